/* kernels.h - everything the executor runs.
 *
 * A kernel is described by an args struct filled at plan time (sizes, strides, constants, profile) plus pointers set before
 * each run. Work is counted in units; units are independent, so the executor hands ranges [first, last) to threads in any
 * split: results must not depend on it. scratch is private to the call, 64-byte aligned, of the size the kernel asked for.
 * No kernel allocates. Every kernel has a scalar twin (suffix _ref) used by the tests.
 *
 * Tensors are dense row-major unless strides are given. Strides count elements. */
#ifndef ANEFORGE_HOST_KERNELS_H
#define ANEFORGE_HOST_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "mil.h"
#include "numerics.h"

#define K_RANK 5

/* -- Unary functions: fp16 -> fp16 --------------------------------------------------------------------------------------
 * In NUM_ANE mode a unary function is a 65536-entry map built once per (op, alpha, beta, profile) from the scalar rule
 * (33-knot tables and composites where the facts have them, else the correctly rounded function) and shared by the process.
 * In NUM_FAST mode it is a vectorised fp32 function. Never freed; NULL when out of memory. */
typedef struct unary_fn unary_fn;
const unary_fn *unary_get(enum mil_op_id op, float alpha, float beta, const char *mode, num_profile profile);
f16 unary_apply(const unary_fn *fn, f16 x); /* scalar twin */

/* -- Elementwise programs -------------------------------------------------------------------------------------------------
 * A fused group of elementwise operations over one output shape: a register machine over tiles of EW_TILE values.
 * Registers hold fp32; in NUM_ANE mode every result is rounded to fp16 by its own rule, in NUM_FAST mode only stores round.
 * Booleans are 0/1. Inputs are fp16, bool or integer tensors broadcast to the output shape by strides (0 = broadcast); 16-bit
 * integers are rounded to fp16 as they are read.
 * Per tile: all inputs are loaded, the instructions run in order, all outputs are stored. dst may be one of a, b, c. */
enum { EW_TILE = 512, EW_REGS = 32, EW_IO = 24 };

enum ew_code {
  EW_ADD, EW_SUB, EW_MUL, EW_DIV, EW_MAX, EW_MIN, EW_POW,
  EW_GT, EW_GE, EW_LT, EW_LE, EW_EQ, EW_NE, EW_NOT,
  EW_SELECT,                 /* a ? b : c */
  EW_UNARY,                  /* fn(a) */
  EW_COPY,
};

typedef struct {
  uint8_t code, dst, a, b, c;
  const unary_fn *fn;
} ew_instr;

typedef struct {
  enum mil_dtype dtype;      /* MIL_FP16, MIL_BOOL, MIL_UINT8, MIL_INT8, MIL_UINT16, MIL_INT16 */
  uint8_t reg;               /* loaded into / stored from this register */
  int64_t stride[K_RANK];    /* inputs only, in the output's dims; outputs are dense */
} ew_port;

typedef struct {
  num_profile profile;
  int rank;
  int64_t dim[K_RANK];       /* output shape */
  int n_in, n_out, n_instr;
  ew_port in[EW_IO], out[EW_IO];
  ew_instr *instr;           /* owned by the planner */
} ew_program;

typedef struct {
  const ew_program *program;
  const void *in[EW_IO];
  void *out[EW_IO];          /* may be the memory of an input with full strides */
} ew_args;

int64_t ew_units(const ew_program *p);                        /* tiles */
size_t ew_scratch(const ew_program *p);
void ew_run(const ew_args *args, int64_t first, int64_t last, void *scratch);
void ew_run_ref(const ew_args *args, int64_t first, int64_t last, void *scratch);
/* n <= EW_TILE consecutive output elements from flat_begin on, with register preloaded_reg given (n values, n may be any
 * count): the epilogue of the matrix kernels. preloaded may be NULL (then no register is given). */
void ew_run_tile(const ew_args *args, int64_t flat_begin, int64_t n, const float *preloaded, int preloaded_reg,
                 void *scratch);

/* -- Compressed weights: as the program file holds them ------------------------------------------------------------------
 * Element i (row-major) is fp16(q[i] * table[i / run % tables]), table[q[i]], or the next of `data` where its mask bit is set.
 * INT8 tables are scales without sign, finite. */
enum weight_kind { WEIGHT_INT8, WEIGHT_UINT4, WEIGHT_SPARSE };

typedef struct {
  enum weight_kind kind;
  const void *data;          /* int8; uint4, low nibble first; fp16 */
  const f16 *table;          /* INT8: `tables` scales; UINT4: 16 values */
  const uint8_t *mask;       /* SPARSE: least significant bit first */
  int64_t elements, run, tables;
} weight_codes;

/* All elements as fp16. */
void weight_decode(const weight_codes *codes, f16 *out);

/* -- Matrix products ------------------------------------------------------------------------------------------------------
 * y[b] = x[b] (m x k) . w[b] (k x n), for `batch` index tuples. NUM_ANE: the MAC rule; NUM_FAST: fp32, one rounding.
 * bias: m or n values (bias_axis 0 = per row m, 1 = per column n, -1 = none). NUM_ANE: where the accumulator starts.
 * epilogue (optional): an elementwise program over y's shape whose register `epilogue_reg` holds the product (rounded to fp16
 * in NUM_ANE mode, unrounded in NUM_FAST) before the first instruction; its outputs replace y. Its dim may merge or split
 * axes of y (same dense element order); an input with full strides may be the memory of an output, as in ew_args. */
typedef struct {
  num_profile profile;
  int64_t batch, m, n, k;
  int64_t x_row, x_col, w_row, w_col; /* element strides inside one matrix */
  int batch_rank;
  int64_t batch_dim[K_RANK], x_batch[K_RANK], w_batch[K_RANK]; /* batch strides; 0 broadcasts */
  int bias_axis;
  const void *packed_w;               /* from gemm_pack_w, or NULL: packed on the fly */
  const weight_codes *codes;          /* w is given in this form instead; then packed_w is from gemm_pack_codes */
  const ew_program *epilogue;
  int epilogue_reg;
  /* pointers */
  const f16 *x, *w, *bias;
  f16 *y;                             /* unused with an epilogue */
  ew_args epilogue_args;
} gemm_args;

/* Constant weights are packed once, at plan time. Size of the packed form in bytes; then the packing itself. */
size_t gemm_packed_w_size(const gemm_args *args);
void gemm_pack_w(const gemm_args *args, void *packed);
/* The same for args->codes, which stay compressed. Size 0: their scales do not go with rows or columns, or no memory. */
size_t gemm_packed_codes_size(const gemm_args *args);
bool gemm_pack_codes(const gemm_args *args, void *packed);
int64_t gemm_units(const gemm_args *args);
size_t gemm_scratch(const gemm_args *args);
void gemm_run(const gemm_args *args, int64_t first, int64_t last, void *scratch);
void gemm_run_ref(const gemm_args *args, int64_t first, int64_t last, void *scratch);

/* -- Convolution (NCHW) ------------------------------------------------------------------------------------------------------
 * 1-D convolutions come with h = kh = 1. weight [cout, cin/groups, kh, kw]; conv_transpose: [cin, cout/groups, kh, kw].
 * Same bias (per output channel), epilogue and packing rules as gemm. */
typedef struct {
  num_profile profile;
  bool transpose;
  int64_t n, cin, h, w, cout, kh, kw, oh, ow, groups;
  int64_t stride_h, stride_w, dilation_h, dilation_w, pad_top, pad_bottom, pad_left, pad_right;
  bool has_bias;
  const void *packed_w;
  const weight_codes *codes;
  const ew_program *epilogue;
  int epilogue_reg;
  const f16 *x, *weight, *bias;
  f16 *y;
  ew_args epilogue_args;
} conv_args;

size_t conv_packed_w_size(const conv_args *args);
void conv_pack_w(const conv_args *args, void *packed);
size_t conv_packed_codes_size(const conv_args *args);
bool conv_pack_codes(const conv_args *args, void *packed);
int64_t conv_units(const conv_args *args);
size_t conv_scratch(const conv_args *args);
void conv_run(const conv_args *args, int64_t first, int64_t last, void *scratch);
void conv_run_ref(const conv_args *args, int64_t first, int64_t last, void *scratch);

/* -- Reductions -----------------------------------------------------------------------------------------------------------------
 * Any set of axes. kind: one of OP_REDUCE_*. The output is dense over the kept axes. */
typedef struct {
  num_profile profile;
  enum mil_op_id kind;
  int rank;
  int64_t dim[K_RANK];
  bool reduced[K_RANK];
  const f16 *x;
  f16 *y;
} reduce_args;

int64_t reduce_units(const reduce_args *args);
size_t reduce_scratch(const reduce_args *args);
void reduce_run(const reduce_args *args, int64_t first, int64_t last, void *scratch);
void reduce_run_ref(const reduce_args *args, int64_t first, int64_t last, void *scratch);

/* Softmax over the middle axis of [outer, axis, inner]. */
typedef struct {
  num_profile profile;
  int64_t outer, axis, inner;
  const f16 *x;
  f16 *y;
} softmax_args;

int64_t softmax_units(const softmax_args *args);
size_t softmax_scratch(const softmax_args *args);
void softmax_run(const softmax_args *args, int64_t first, int64_t last, void *scratch);
void softmax_run_ref(const softmax_args *args, int64_t first, int64_t last, void *scratch);

/* -- Pooling and nearest upsampling (planes = N*C) ----------------------------------------------------------------------------- */
typedef struct {
  num_profile profile;
  bool average, exclude_pad;
  int64_t planes, h, w, oh, ow, kh, kw, stride_h, stride_w, pad_top, pad_bottom, pad_left, pad_right;
  const f16 *x;
  f16 *y;
} pool_args;

int64_t pool_units(const pool_args *args);
void pool_run(const pool_args *args, int64_t first, int64_t last, void *scratch);
void pool_run_ref(const pool_args *args, int64_t first, int64_t last, void *scratch);

typedef struct {
  int64_t planes, h, w, scale_h, scale_w;
  const f16 *x;
  f16 *y;
} upsample_args;

int64_t upsample_units(const upsample_args *args);
void upsample_run(const upsample_args *args, int64_t first, int64_t last, void *scratch);

/* -- Data movement: y (dense, dims) [i0..] = x[offset + sum i*stride] for 1- or 2-byte elements ---------------------------------
 * transpose, slice (offset), reverse (negative strides), tile (the planner splits the axis and gives one part stride 0),
 * and concat (y with its own strides) are all this copy. */
typedef struct {
  int element;                 /* bytes: 1 or 2 */
  int rank;
  int64_t dim[2 * K_RANK], x_stride[2 * K_RANK], y_stride[2 * K_RANK];
  int64_t x_offset, y_offset;
  const void *x;
  void *y;
} copy_args;

int64_t copy_units(const copy_args *args);
void copy_run(const copy_args *args, int64_t first, int64_t last, void *scratch);
void copy_run_ref(const copy_args *args, int64_t first, int64_t last, void *scratch);

#endif
