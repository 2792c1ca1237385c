/* numerics.h - the arithmetic of the engine, one value at a time. The scalar twins of every kernel are built from these;
 * a vector kernel is right when it gives the same bits. */
#ifndef ANEFORGE_HOST_NUMERICS_H
#define ANEFORGE_HOST_NUMERICS_H

#include <stdbool.h>
#include <stdint.h>

typedef uint16_t f16; /* IEEE binary16 bits */

enum num_mode { NUM_ANE, NUM_FAST };

/* What the arithmetic depends on: the mode (ANEFORGE_HOST_NUMERICS) and the capability family of the target
 * (2 = A13/M1 .. 5 = A16 and later; winograd: H17 and later). */
typedef struct {
  enum num_mode mode;
  int family;
  bool winograd;
} num_profile;

/* fp16 <-> fp32. f16_from_float rounds to nearest even. */
float f16_to_float(f16 h);
f16 f16_from_float(float v);

/* RHA: round to fp16, ties away from zero, overflow (>= 65520) to infinity, subnormals kept, NaN to +inf. */
f16 f16_rha(double v);
/* RHA2: first to 11 significant bits with ties away and unbounded exponent, then RHA. */
f16 f16_rha2(double v);

/* The multiply-accumulate path: products on the 2^-16 grid, ties away, dropped below exponent sum -16; the exact sum starts
 * at bias (rounded to the grid, ties away), is taken in order of k, and saturates to +-inf for good at 2^15; RHA output.
 * Operands with exponent field 31 are ordinary numbers (inf = 2^16). */
int64_t mac_product(f16 x, f16 w);
f16 mac_dot(const f16 *x, int64_t x_stride, const f16 *w, int64_t w_stride, int64_t k, f16 bias);

/* Elementwise operands as the planar engine reads them: NaN is +inf. Results are never NaN (they become +0). */
f16 ane_add(f16 a, f16 b);
f16 ane_sub(f16 a, f16 b);
f16 ane_mul(f16 a, f16 b);
f16 ane_div(f16 a, f16 b); /* table reciprocal, then mul */

/* The reduction adder: groups of 4 adjacent elements, 12-bit significand with alignment truncation inside the group, exact
 * over the groups. reduce_total returns the unrounded total of n elements stride apart. */
double reduce_total(const f16 *x, int64_t n, int64_t stride);

#endif
