/* plan.h - from a checked MIL program to steps. Internal to the planner and the executor.
 *
 *   lower  (plan.c, plan_ops.c, plan_linear.c, plan_const.c)  MIL operations -> values and nodes
 *   fold   (plan_fold.c)    constants computed, dead nodes dropped
 *   fuse   (plan_fuse.c)    nodes -> units: one kernel each, elementwise groups inside or behind it; their order
 *   memory (plan_memory.c)  where each value lives
 *   emit   (plan_emit.c)    units -> steps with bound pointers
 *   text   (plan_text.c)    the plan as text */
#ifndef ANEFORGE_HOST_PLAN_H
#define ANEFORGE_HOST_PLAN_H

#include "image.h"
#include "kernels.h"
#include "mil.h"

enum { PLAN_GROUP = 192 /* most elementwise nodes of one unit */, PLAN_ALIGN = 64 };

/* A tensor, dense row-major. A view has another value's storage (root) and an offset in it; a root is its own root. */
typedef struct {
  enum mil_dtype dtype;
  int rank;
  int64_t dim[K_RANK];
  const char *name;
  int root;
  int64_t offset; /* elements */
  bool strided;   /* a view that walks its root with `stride`; only elementwise programs read such a view */
  int64_t stride[K_RANK];
  /* roots only */
  int packed;       /* last node that packed it as weights, or -1 */
  const void *data; /* constants */
  const weight_codes *codes; /* not NULL: data is in this form; only products read such a value (plan_weight) */
  bool uniform;     /* a constant whose elements are all data[0], which is the only one stored */
  bool owned;       /* data was made by the planner (plan_own) */
  bool needs_data;  /* some step reads data when it runs */
  int producer;     /* node, or -1 */
  int n_users;      /* operands that read it + program outputs that are it */
  int input;        /* port it lives in, or -1 */
  int output;       /* port it lives in, or -1 */
  int placed;       /* root it is a part of (concat), or -1 */
  int64_t at;       /* byte offset: in `placed`, else in the arena (-1: no place) */
  int first, last;  /* steps between which it is alive */
} plan_value;

enum node_kind { NODE_EW, NODE_GEMM, NODE_CONV, NODE_REDUCE, NODE_SOFTMAX, NODE_POOL, NODE_UPSAMPLE, NODE_RESAMPLE, NODE_AFFINE, NODE_LRN, NODE_COPY };

/* One kernel call before fusion. NODE_GEMM, NODE_CONV: in = x, w[, bias]. NODE_AFFINE: in = x, matrix. NODE_COPY: each input has
 * a copy_args. */
typedef struct {
  enum node_kind kind;
  const mil_op *op;
  int *in, n_in, out;
  void *args;          /* gemm_args, conv_args, reduce_args, softmax_args, .., copy_args[n_in] */
  uint8_t code;        /* NODE_EW */
  const unary_fn *fn;
  bool closes;         /* NODE_EW: the stored result is not what the register holds (cast to an integer) */
  bool dead;
  int unit;
} plan_node;

/* What one step runs: a head node, or a group of elementwise nodes, or a GEMM / convolution with such a group behind it. */
typedef struct {
  int head;                      /* -1: elementwise only */
  int *ew, n_ew, cap_ew;         /* nodes in text order */
  int needs;                     /* latest unit it reads from, or -1 */
  int rank;                      /* shape of the group without size-1 axes */
  int64_t dim[K_RANK];
  bool dead;
  bool late;                     /* makes nothing but program outputs */
  ew_program *program;           /* built from ew */
  int product_reg;
  int in[EW_IO], out[EW_IO];     /* values behind program->in, out */
} plan_unit;

typedef struct plan_chunk plan_chunk;

/* A pointer of a step's arguments that follows a port. */
typedef struct {
  void **at;
  int port;
  int64_t offset;
} plan_patch;

/* An input port read by a step. in_place: element by element, so that the same step may write over it. */
typedef struct {
  int input, step;
  bool in_place;
} plan_read;

/* How an output port is written. in_place: by one elementwise step, element by element. */
typedef struct {
  int first;
  bool in_place;
} plan_write;

typedef struct {
  enum node_kind kind;
  void *args;
  int64_t units, chunk;          /* chunk: units handed out at once */
  bool parallel;
  int unit;
} plan_step;

typedef struct {
  const mil_program *mil;
  num_profile profile;
  bool fuse, failed;
  char *error;
  size_t error_size;
  plan_chunk *chunks;            /* what plan_alloc gave */

  plan_value *value;
  int n_values, cap_values;
  plan_node *node;
  int n_nodes, cap_nodes;
  plan_unit *unit;
  int n_units, cap_units;
  int *order, n_order;           /* units as they run */
  int n_inputs, n_outputs;
  int *input, *output;           /* value of each port */

  plan_step *step;
  int n_steps, cap_steps;
  plan_patch *in_patch, *out_patch;
  int n_in_patches, cap_in_patches, n_out_patches, cap_out_patches;
  plan_read *read;
  int n_reads, cap_reads;
  plan_write *write;             /* per output */

  int64_t arena_bytes;           /* of intermediate values */
  char *arena;
  size_t scratch;                /* most any step asks for, per worker */
  size_t packed_bytes, folded_bytes;

  int *slot, *stamp, stamps;     /* work space of plan_fuse.c, one per value */
} plan;

/* -- plan.c */
bool plan_build(plan *p, const mil_program *mil, num_profile profile, bool fuse, char *error, size_t error_size);
/* The first half of it: nodes in an order they can run in, constants folded, biases taken, no steps yet. */
bool plan_lower(plan *p, const mil_program *mil, num_profile profile, char *error, size_t error_size);
void plan_free(plan *p);
/* Zeroed memory that lives as long as the plan; NULL (and a message) when there is none. */
void *plan_alloc(plan *p, size_t bytes);
/* Memory of its own, 64-byte aligned and readable up to the next multiple of 64. Free with plan_disown. */
void *plan_own(plan *p, size_t bytes);
void plan_disown(plan *p, const void *data);
/* Makes room for one more element in a growing array. */
bool plan_grow(plan *p, void *array, int count, int *cap, size_t size);
/* Sets the message, with the place of op (may be NULL), and returns false. */
bool plan_fail(plan *p, const mil_op *op, const char *format, ...) __attribute__((format(printf, 3, 4)));

size_t plan_element(enum mil_dtype dtype);
int64_t plan_elements(const plan_value *v);
int64_t plan_bytes(const plan_value *v);
/* Value of a MIL value; -1 (and a message) when it cannot be data of a program. */
int plan_value_of(plan *p, const mil_op *op, const mil_value *v);
int plan_operand(plan *p, const mil_op *op, const char *name);
/* The same for the weight of a product, which may stay compressed; every other reader gets it expanded. */
int plan_weight(plan *p, const mil_op *op, const char *name);
bool plan_decode(plan *p, int v);
int plan_new_value(plan *p, const mil_type *type, const char *name);
int plan_temp(plan *p, enum mil_dtype dtype, int rank, const int64_t *dim, const char *name);
int plan_view(plan *p, int of, int64_t offset, int rank, const int64_t *dim, const char *name);
/* The result of op stands for value v. */
bool plan_bind(plan *p, const mil_value *result, int v);
plan_node *plan_new_node(plan *p, const mil_op *op, enum node_kind kind, const int *in, int n_in, int out, size_t args);
bool plan_ew(plan *p, const mil_op *op, uint8_t code, const unary_fn *fn, const int *in, int n_in, int out);
int plan_constant(plan *p, enum mil_dtype dtype, int rank, const int64_t *dim, const void *data, bool uniform,
                  bool owned, const char *name);
bool plan_is_const(const plan *p, int v);
/* Where a constant's elements are (one element when it is uniform). */
const void *plan_data(const plan *p, int v);
bool plan_is_uniform(const plan *p, int v);
/* Dense elements of a constant; makes them when it is uniform. NULL when out of memory. */
const void *plan_dense(plan *p, int v);
/* True when v is all of its root. */
bool plan_is_whole(const plan *p, int v);
void plan_dense_strides(int rank, const int64_t *dim, int64_t *stride);
/* Steps of v seen from the broadcast shape `dim` without its size-1 axes. Returns how many. */
int plan_broadcast(const plan *p, int v, int rank, const int64_t *dim, int64_t *stride);
int plan_squeeze(int rank, const int64_t *dim, int64_t *out);
/* Drops size-1 axes and merges neighbours that run on in both x and y. */
void plan_copy_merge(copy_args *args);

/* False (and a message) unless the value is fp16, or, when not only_fp16, another type elementwise programs read. */
bool plan_need(plan *p, const mil_op *op, int v, bool only_fp16);
int plan_scalar(plan *p, f16 bits, const char *name);
/* result[i..] = x[offset + i . stride]; a view when the elements are already in that order. */
bool plan_move(plan *p, const mil_op *op, const mil_value *result, int x, int64_t offset, const int64_t *stride);
/* The same for a slice, whose values may saturate when it starts inside the last axis. */
bool plan_slice(plan *p, const mil_op *op, int x, int64_t offset, const int64_t *stride, bool inside);
/* Drops size-1 batch axes, merges neighbours, and turns batch axes that share w into more rows of x. */
void plan_merge_batch(gemm_args *g);

/* -- one per operation family, for the table in plan.c: code is the row's */
typedef bool plan_lower_fn(plan *p, const mil_op *op, int code);
plan_lower_fn lower_unary, lower_binary, lower_select, lower_cast, lower_prelu;                       /* plan_ops.c */
plan_lower_fn lower_reduce, lower_softmax, lower_pool, lower_upsample;                                /* plan_ops.c */
plan_lower_fn lower_reshape, lower_transpose, lower_slice, lower_reverse, lower_tile, lower_concat, lower_split;
plan_lower_fn lower_instance_norm, lower_batch_norm, lower_layer_norm, lower_l2_norm, lower_lrn;         /* plan_norm.c */
plan_lower_fn lower_softplus_parametric, lower_floor_div, lower_attention, lower_dequantize;           /* plan_norm.c */
plan_lower_fn lower_upsample_bilinear, lower_resize, lower_affine_sampling, lower_crop, lower_pad;     /* plan_image.c */
plan_lower_fn lower_blocks, lower_space_to_batch, lower_batch_to_space, lower_slice_by_index, lower_fill;
plan_lower_fn lower_einsum;                                                                            /* plan_einsum.c */
plan_lower_fn lower_matmul, lower_linear, lower_conv;                                                 /* plan_linear.c */
plan_lower_fn lower_affine, lower_lut, lower_sparse, lower_blockwise;                                 /* plan_const.c */

bool plan_fold(plan *p);
/* Slices, tiles and the like that only elementwise nodes read need not be copied. */
bool plan_see_through(plan *p);
void plan_drop_dead(plan *p);
/* bias: an addition right behind a product becomes where its accumulator starts. Part of the arithmetic, not a choice. */
void plan_bias(plan *p);
bool plan_fuse(plan *p);
bool plan_memory(plan *p);
/* The root a value is stored in once parts are placed in larger values, and the byte offset there. */
int plan_place(const plan *p, int v, int64_t *offset);
/* Whether input k of the unit's program is read element by element over the whole of its value. */
bool plan_reads_in_place(const plan *p, const plan_unit *u, int k);
bool plan_emit(plan *p);
/* Steps that take less than this many nanoseconds (estimated) are not worth waking anybody for. Tests lower it. */
extern double plan_share_from;
char *plan_text(const plan *p);

/* Runs one node whose operands are constants (plan_emit.c); data gets the elements of its result, or just the first. */
bool plan_evaluate(plan *p, const plan_node *node, bool first_only, void *data);

/* One call per kind, so that every kernel is called through its own type. */
int64_t step_units(enum node_kind kind, const void *args);
size_t step_scratch(enum node_kind kind, const void *args);
void step_run(enum node_kind kind, const void *args, int64_t first, int64_t last, void *scratch);

#endif
