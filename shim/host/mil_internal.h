/* mil_internal.h - what the files behind mil.h share: one section per file, in the order of the stages. */
#ifndef ANEFORGE_HOST_MIL_INTERNAL_H
#define ANEFORGE_HOST_MIL_INTERNAL_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mil.h"

typedef struct mil_arena mil_arena;

/* A place in the text: 1-based line, 1-based column in bytes. */
typedef struct {
  int line, col;
} mil_pos;

/* -- arena.c: memory that lives and dies with one program ---------------------------------------------------------- */

mil_arena *arena_new(void);                                     /* NULL when out of memory */
void *arena_alloc(mil_arena *arena, size_t size, size_t align); /* zeroed; NULL when out of memory */
/* Takes over a mapping: unmapped by arena_free. false when out of memory (then the caller still owns it). */
bool arena_keep_mapping(mil_arena *arena, void *data, size_t size);
void arena_free(mil_arena *arena);

/* -- mil_lex.c: text to tokens ------------------------------------------------------------------------------------- */

enum mil_token_kind { TK_EOF, TK_IDENT, TK_NUMBER, TK_STRING, TK_PUNCT };

typedef struct {
  enum mil_token_kind kind;
  const char *text; /* not NUL-terminated; strings without their quotes */
  size_t length;
  mil_pos pos;
} mil_token;

/* The state of one read. Every failure goes through mil_fail(), which writes the message and jumps out; memory is the
 * arena's, so nothing is lost by jumping. */
typedef struct mil_reader {
  jmp_buf failed;
  const char *file; /* as printed in messages */
  const char *text, *end;
  const char *model_dir; /* "@model_path" */
  const char *target;
  int family, opset;
  char *error;
  size_t error_size;

  const char *at; /* next byte to lex */
  int line;
  const char *line_start;
  mil_token token; /* one token of lookahead */

  mil_program *program;
  mil_arena *arena;
  struct mil_names *names;
  struct mil_file *files;

  /* the statement being read */
  const char *statement; /* name of its first result */
  mil_pos *arg_pos;      /* per argument of the operation being checked */
  mil_pos op_pos;
} mil_reader;

_Noreturn void mil_fail(mil_reader *r, mil_pos pos, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A failure that has no place in the text. */
_Noreturn void mil_fail_file(mil_reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *mil_alloc(mil_reader *r, size_t count, size_t size); /* zeroed, overflow-checked, never NULL */
char *mil_copy_string(mil_reader *r, const char *text, size_t length);

void mil_next(mil_reader *r);
bool mil_token_is(const mil_token *token, const char *text);
bool mil_peek(const mil_reader *r, const char *text); /* identifier or punctuation */
bool mil_accept(mil_reader *r, const char *text);
void mil_expect(mil_reader *r, const char *text);
/* Numbers of the text. The value is the current token, which is consumed. */
double mil_lex_real(mil_reader *r);
int64_t mil_lex_int(mil_reader *r, int64_t min, int64_t max);
uint64_t mil_lex_uint64(mil_reader *r);
/* The token for a message: quoted and clipped. buf may be short. */
const char *mil_token_text(const mil_token *token, char *buf, size_t size);

/* -- mil_parse.c: tokens to a program ------------------------------------------------------------------------------ */

void mil_parse(mil_reader *r);

/* -- blob.c: weight files ------------------------------------------------------------------------------------------ */

/* Maps a regular file for reading. An empty file gives data NULL and size 0. false with errno set on failure. */
bool mil_map_file(const char *path, void **data, size_t *size);
/* The payload of the descriptor at offset in the file that path names, checked against type. */
const void *mil_blob(mil_reader *r, mil_pos pos, const char *path, uint64_t offset, const mil_type *type);

/* -- mil_ops.c: the operation table -------------------------------------------------------------------------------- */

enum mil_form {
  FORM_DATA,   /* a runtime value or a constant */
  FORM_SCALAR, /* constant of rank 0 */
  FORM_LIST,   /* constant of rank 1 */
  FORM_ARRAY,  /* constant of any rank */
  FORM_WEIGHT, /* constant of any rank or the result of a constexpr operation */
  FORM_TUPLE,
  FORM_OTHER, /* lists, states and blocks: none of the operations that run has one */
};

enum mil_default_kind {
  DEFAULT_NONE,   /* required */
  DEFAULT_ABSENT, /* optional without a value */
  DEFAULT_NUMBER, /* int, bool or real in number */
  DEFAULT_TEXT,
  DEFAULT_ONES,      /* one per spatial axis of x */
  DEFAULT_ZEROS,     /* two per spatial axis of x */
  DEFAULT_ALL_AXES,  /* 0 .. rank(x)-1 */
  DEFAULT_UNIT_AXES, /* the axes of x with extent 1 */
};

typedef struct {
  const char *name;
  uint8_t form, default_kind;
  char domain;         /* arguments with the same letter have the same dtype; 0 = none */
  uint16_t types;      /* mask of 1 << mil_dtype */
  double number;       /* default */
  const char *text;    /* default */
  const char *choices; /* "A|B|C" */
} mil_arg_info;

/* Fills out[0 .. op->n_results) or fails. */
typedef void mil_check(mil_reader *r, const mil_op *op, mil_type *out);

enum mil_wall { WALL_NONE, WALL_NOT_IMPLEMENTED, WALL_COMPILE };

struct mil_op_info {
  const char *name;
  uint8_t id;       /* OP_NONE: not run by this engine */
  uint8_t since;    /* first opset: 15 .. 18 */
  uint8_t family;   /* first capability family the ANE has it on */
  uint8_t wall;     /* why the ANE itself refuses it */
  const char *hint; /* what to use instead, or NULL */
  mil_check *check; /* NULL unless id is set */
  const mil_arg_info *arg;
  int n_args;
};

extern const mil_op_info mil_op_table[];
extern const int mil_op_count;
const mil_op_info *mil_find_op(const char *name, size_t length);
const mil_arg_info *mil_find_arg(const mil_op_info *info, const char *name, size_t length);
int mil_dtype_bits(enum mil_dtype dtype);
/* Element i of a constant of integer type. */
int64_t mil_const_int(const mil_value *value, int64_t i);

static inline bool mil_is_reduction(enum mil_op_id id) { return id >= OP_REDUCE_SUM && id <= OP_REDUCE_LOG_SUM_EXP; }
static inline bool mil_is_elementwise(enum mil_op_id id) { return id >= OP_RELU && id <= OP_SELECT; }
static inline bool mil_is_constexpr(enum mil_op_id id) {
  return id >= OP_CONSTEXPR_AFFINE && id <= OP_CONSTEXPR_BLOCKWISE;
}
/* Id of the operation that computes value; OP_NONE for parameters and literals. */
static inline enum mil_op_id mil_source(const mil_value *value) {
  return value->producer ? mil_op_id_of(value->producer) : OP_NONE;
}

/* -- mil_check.c: arguments against the table, then what the ANE's compiler rejects -------------------------------- */

/* Refuses an operation that cannot run on the target, before its arguments are read. */
void mil_check_available(mil_reader *r, mil_pos pos, const mil_op_info *info);
void mil_check_op(mil_reader *r, const mil_op *op);
void mil_check_param(mil_reader *r, const mil_value *param);
void mil_check_output(mil_reader *r, mil_pos pos, const mil_value *output);
/* Position of the named argument of the operation being checked (of the operation itself when absent). */
mil_pos mil_arg_pos(const mil_reader *r, const mil_op *op, const char *name);

/* -- mil_shape.c: one check per operation, listed here for the table ----------------------------------------------- */

mil_check mil_shape_same, mil_shape_not, mil_shape_prelu, mil_shape_cast, mil_shape_binary, mil_shape_mul,
    mil_shape_compare, mil_shape_select, mil_shape_matmul, mil_shape_linear, mil_shape_conv, mil_shape_conv_transpose,
    mil_shape_pool, mil_shape_upsample, mil_shape_reduce, mil_shape_softmax, mil_shape_reshape, mil_shape_transpose,
    mil_shape_squeeze, mil_shape_expand_dims, mil_shape_flatten2d, mil_shape_slice_by_size, mil_shape_reverse,
    mil_shape_tile, mil_shape_concat, mil_shape_stack, mil_shape_split, mil_shape_affine_weight, mil_shape_lut_weight,
    mil_shape_sparse_weight, mil_shape_blockwise_weight;

/* What they share. The message of a bad argument or pair of arguments names their types. */
_Noreturn void mil_fail_arg(mil_reader *r, const mil_op *op, const char *arg, const char *why);
_Noreturn void mil_fail_shapes(mil_reader *r, const mil_op *op, const char *a, const char *b, const char *why);
/* The axes of a list as flags, without repetition; returns how many. A list of exactly n integers in min..max. */
int mil_axes_of(mil_reader *r, const mil_op *op, const char *arg, int rank, bool set[MIL_MAX_DIMS]);
void mil_ints_of(mil_reader *r, const mil_op *op, const char *arg, int n, int64_t min, int64_t max, int64_t *out);
/* NumPy's rule: shapes are aligned at the right, an extent of 1 stretches. false when they do not fit. */
bool mil_broadcast(mil_type *a, const mil_type *b);

/* -- mil_shape_image.c: the same for images, channels and equations ------------------------------------------------ */

mil_check mil_shape_channel_norm, mil_shape_layer_norm, mil_shape_l2_norm, mil_shape_lrn, mil_shape_softplus_parametric,
    mil_shape_upsample_bilinear, mil_shape_resize, mil_shape_affine, mil_shape_crop, mil_shape_pad, mil_shape_grow,
    mil_shape_shrink, mil_shape_space_to_batch, mil_shape_batch_to_space, mil_shape_slice_by_index, mil_shape_fill,
    mil_shape_fill_like, mil_shape_einsum, mil_shape_attention, mil_shape_dequantize;

/* -- mil_target.c: compiler targets and the limits of their families ----------------------------------------------- */

#define MIL_DEFAULT_TARGET "h13"

/* Widest convolution kernel the family's compiler accepts. */
int mil_max_kernel_width(int family);

#endif
