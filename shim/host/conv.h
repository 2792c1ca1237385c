/* conv.h - inside of conv*.c and gemm_ref.c: which rule a convolution follows, and its geometry. */
#ifndef ANEFORGE_HOST_CONV_H
#define ANEFORGE_HOST_CONV_H

#include "gemm_kernels.h"

enum conv_kind {
  CONV_SCALE,    /* 1x1, one input channel per group, NUM_ANE: an elementwise multiplication, not the MAC */
  CONV_WINOGRAD, /* F(2,3) along the width */
  CONV_LINEAR,   /* one output pixel that sees the whole input: a matrix product with images as rows */
  CONV_DIRECT,   /* weights [cout/groups, k] times patches [k, pixels], per image and group; transposed ones too */
};

enum conv_kind conv_kind_of(const conv_args *c);

static inline int64_t conv_taps(const conv_args *c) { return c->kh * c->kw; }
static inline int64_t conv_group_in(const conv_args *c) { return c->cin / c->groups; }
static inline int64_t conv_group_out(const conv_args *c) { return c->cout / c->groups; }
static inline int64_t conv_pixels(const conv_args *c) { return c->oh * c->ow; }
/* k = (input channel of the group, ky, kx), in this order: the order of the sticky saturation. */
static inline int64_t conv_k(const conv_args *c) { return conv_group_in(c) * conv_taps(c); }
/* The matrix product a CONV_LINEAR is. */
gemm_args conv_as_gemm(const conv_args *c);

/* Winograd: pairs of output columns per row. An odd last column is computed as the first of a pair (inferred). */
static inline int64_t conv_pairs(const conv_args *c) { return (c->ow + 1) / 2; }

/* n values of one input row, ix0, ix0 + step, ..; 0 outside [0, w) and for row = NULL. */
void conv_copy_row(const f16 *row, int64_t w, int64_t ix0, int64_t step, int64_t n, uint16_t *out);

/* n <= GEMM_MAX_NR consecutive pixels as runs inside output rows of `ow`. */
typedef struct {
  int at, n;
  int64_t oy, ox;
} conv_run_of;
int conv_runs(int64_t ow, int64_t first, int64_t n, conv_run_of *out);

/* The transformed weight v_j of the taps g0, g1, g2: g0, (g0+g1+g2)/2, (g0-g1+g2)/2, g2, rounded once. */
f16 conv_winograd_weight(const f16 *g, int j);
/* The transformed input u_j of d0..d3: d0-d2, d1+d2, d2-d1, d1-d3. */
f16 conv_winograd_input(const f16 *d, int j);
/* From the four sums in units (+-inf where saturated) to the two outputs: m0+m1+m2 and m1-m2-m3, again limited to 2^15;
 * inf - inf is +0 (inferred). Units of 2^-16 or +-inf. */
static inline void conv_winograd_output(const double m[4], double out[2]) {
  out[0] = m[0] + m[1] + m[2];
  out[1] = m[1] - m[2] - m[3];
  for (int i = 0; i < 2; i++) {
    if (out[i] != out[i]) out[i] = 0;
    else if (out[i] >= 0x1p31) out[i] = __builtin_inf();
    else if (out[i] <= -0x1p31) out[i] = -__builtin_inf();
  }
}

size_t conv_winograd_packed_size(const conv_args *c);
void conv_winograd_pack(const conv_args *c, void *packed);
gemm_split conv_winograd_split(const conv_args *c);
size_t conv_winograd_scratch(const conv_args *c);
void conv_winograd_run(const conv_args *c, int64_t first, int64_t last, void *scratch);

/* The block's destination and epilogue for image and group; bias is left to the caller. */
gemm_block conv_block(const conv_args *c, const gemm_kernels *kern, int64_t image, int64_t group);

#endif
