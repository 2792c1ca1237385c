/* mil.h - a MIL program in memory: read (mil_read.c, mil_lex.c, mil_parse.c), weights attached (blob.c), checked (mil_check.c).
 *
 * Everything hangs on one arena and dies with mil_free(). After mil_read() has returned a program it is sound: every name
 * is defined once and before its use, every operation is known with valid arguments, every declared type is the one the
 * shape rule gives, every constant has its payload. */
#ifndef ANEFORGE_HOST_MIL_H
#define ANEFORGE_HOST_MIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mil_dtype {
  MIL_FP16, MIL_FP32, MIL_BOOL, MIL_INT8, MIL_UINT8, MIL_INT16, MIL_UINT16,
  MIL_INT32, MIL_UINT32, MIL_UINT64, MIL_UINT1, MIL_UINT4, MIL_STRING,
};

#define MIL_MAX_RANK 5      /* of data tensors */
#define MIL_MAX_DIMS 8      /* of any declared type (LUTs have rank + 2) */
#define MIL_MAX_EXTENT 65536

/* A scalar is rank 0. */
typedef struct {
  enum mil_dtype dtype;
  int rank;
  int64_t dim[MIL_MAX_DIMS];
} mil_type;

typedef struct mil_value mil_value;
typedef struct mil_op mil_op;
typedef struct mil_op_info mil_op_info;

/* A parameter, a constant or a result. Inline literals of arguments are anonymous constants (name ""). */
struct mil_value {
  const char *name;
  mil_type type;
  int line, col;
  mil_op *producer;   /* NULL for parameters and literals; the "const" op for declared constants */
  bool is_const;      /* data is valid. constexpr_* results are NOT const: the planner decides what to do with them */
  const void *data;   /* dense row-major: fp16/int16/uint16 2 bytes, fp32/int32/uint32 4, uint64 8, bool/int8/uint8 1,
                         uint4 packed low nibble first, uint1 packed LSB first, string NUL-terminated char* */
  size_t bytes;
  int index;          /* parameters: position in the signature; others: dense id over all values. Free for the planner */
  void *user;         /* free for the planner */
};

/* One argument by name; `values` of concat, stack and einsum has several. */
typedef struct {
  const char *name;
  mil_value **value;
  int count;
} mil_arg;

struct mil_op {
  const mil_op_info *info;
  mil_arg *arg;
  int n_args;
  mil_value **result;
  int n_results;
  int line, col;
};

typedef struct {
  const char *path;
  mil_value **param;   int n_params;
  mil_op **op;         int n_ops;      /* text order, without "const" */
  mil_value **output;  int n_outputs;
  int n_values;                        /* values have index 0..n_values-1 */
  size_t weight_bytes;                 /* size of the mapped weight file */
  struct mil_arena *arena;
} mil_program;

/* One row per MIL operation: what the grammar allows (from the operation table) and how it is checked.
 * Rows the engine cannot run carry a reason instead of an id. */
enum mil_op_id {
  OP_NONE, OP_CONST,
  OP_CONSTEXPR_AFFINE, OP_CONSTEXPR_LUT, OP_CONSTEXPR_SPARSE, OP_CONSTEXPR_BLOCKWISE,
  /* unary */
  OP_RELU, OP_RELU6, OP_SILU, OP_GELU, OP_SIGMOID, OP_TANH, OP_EXP, OP_EXP2, OP_SQRT, OP_ABS, OP_SQUARE, OP_SIN, OP_COS,
  OP_ERF, OP_SOFTPLUS, OP_SOFTSIGN, OP_ATAN, OP_FLOOR, OP_CEIL, OP_ROUND, OP_SIGN, OP_LOGICAL_NOT, OP_LOG, OP_RSQRT,
  OP_INVERSE, OP_ELU, OP_LEAKY_RELU, OP_THRESHOLD, OP_THRESHOLDED_RELU, OP_SCALED_TANH, OP_CLAMPED_RELU,
  OP_SIGMOID_HARD, OP_LINEAR_ACTIVATION, OP_CLIP, OP_SOFTPLUS_PARAMETRIC, OP_PRELU, OP_CAST,
  /* binary, compare, select */
  OP_ADD, OP_SUB, OP_MUL, OP_REAL_DIV, OP_MAXIMUM, OP_MINIMUM, OP_POW, OP_FLOOR_DIV,
  OP_GREATER, OP_GREATER_EQUAL, OP_LESS, OP_LESS_EQUAL, OP_EQUAL, OP_NOT_EQUAL, OP_SELECT,
  /* linear */
  OP_MATMUL, OP_LINEAR, OP_CONV, OP_CONV_TRANSPOSE, OP_EINSUM, OP_SDPA,
  /* reduce, normalise */
  OP_REDUCE_SUM, OP_REDUCE_MEAN, OP_REDUCE_MAX, OP_REDUCE_MIN, OP_REDUCE_L1_NORM, OP_REDUCE_L2_NORM, OP_REDUCE_LOG_SUM,
  OP_REDUCE_SUM_SQUARE, OP_REDUCE_LOG_SUM_EXP, OP_SOFTMAX, OP_BATCH_NORM, OP_INSTANCE_NORM, OP_LAYER_NORM, OP_L2_NORM,
  OP_LOCAL_RESPONSE_NORM,
  /* spatial */
  OP_MAX_POOL, OP_AVG_POOL, OP_UPSAMPLE_NEAREST, OP_UPSAMPLE_BILINEAR, OP_RESIZE_NEAREST, OP_RESIZE_BILINEAR, OP_AFFINE,
  /* shape */
  OP_RESHAPE, OP_TRANSPOSE, OP_SQUEEZE, OP_EXPAND_DIMS, OP_FLATTEN2D, OP_SLICE_BY_SIZE, OP_REVERSE, OP_TILE, OP_CONCAT,
  OP_STACK, OP_SPLIT, OP_IDENTITY, OP_SLICE_BY_INDEX, OP_CROP, OP_PAD, OP_PIXEL_SHUFFLE, OP_PIXEL_UNSHUFFLE,
  OP_SPACE_TO_DEPTH, OP_DEPTH_TO_SPACE, OP_SPACE_TO_BATCH, OP_BATCH_TO_SPACE, OP_FILL, OP_FILL_LIKE,
  OP_DEQUANTIZE,
};

/* Capability family of a compiler target: 2 (A13, M1) .. 5 (A16 and later), 1 below the MIL floor, 0 unknown or NULL. */
int mil_target_family(const char *target);

const char *mil_op_name(const mil_op *op);
enum mil_op_id mil_op_id_of(const mil_op *op);

/* Reads, attaches weights, checks for a target ("h13", ...; an unknown name means h13, as the device takes its own
 * architecture). NULL on failure with the message in error. */
mil_program *mil_read(const char *path, const char *target, char *error, size_t error_size);
/* The same from memory (tests, fuzzing). model_dir stands for "@model_path". */
mil_program *mil_read_text(const char *text, size_t length, const char *model_dir, const char *target, char *error,
                           size_t error_size);
void mil_free(mil_program *program);

/* Arguments of a checked operation. mil_get: NULL when absent. The typed forms give the declared default of the
 * operation table when the argument is absent; they may only be asked for arguments the table marks const. */
mil_value *mil_get(const mil_op *op, const char *name);
mil_value *const *mil_get_tuple(const mil_op *op, const char *name, int *count);
int64_t mil_int(const mil_op *op, const char *name);
bool mil_bool(const mil_op *op, const char *name);
double mil_real(const mil_op *op, const char *name);       /* fp16 / fp32 literal or const */
const char *mil_string(const mil_op *op, const char *name);
/* int32 list; returns its length, at most max. Axes come as written: checked, negative ones count from the end. */
int mil_ints(const mil_op *op, const char *name, int64_t *out, int max);

/* The letters of "ab,bc->ac" without blanks, an equation of two operands; false when it is not one. */
typedef struct {
  char operand[2][MIL_MAX_RANK + 1], result[MIL_MAX_RANK + 1];
} mil_equation;
bool mil_read_equation(const char *text, mil_equation *out);

/* What slice_by_index takes of each axis, with Python's rules: `size` elements from `begin` on, `step` apart. dropped: the axis
 * is not in the result. false when a list has another length than x has axes, or a step is 0. */
typedef struct {
  int64_t begin[MIL_MAX_RANK], size[MIL_MAX_RANK], step[MIL_MAX_RANK];
  bool dropped[MIL_MAX_RANK];
} mil_slice;
bool mil_read_slice(const mil_op *op, mil_slice *out);

int64_t mil_elements(const mil_type *type);
size_t mil_bytes(const mil_type *type);
const char *mil_dtype_name(enum mil_dtype dtype);
/* "tensor<fp16, [1, 4]>" into buf. */
const char *mil_type_text(const mil_type *type, char *buf, size_t size);

#endif
