#include "numerics.h"

#include <math.h>
#include <string.h>

#include "tables.h"

/* -- fp16 ---------------------------------------------------------------------------------------------------------- */

enum { F16_INF = 0x7c00 };

float f16_to_float(f16 h) {
  uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023, bits;
  if (exponent == 31) bits = sign | 0x7f800000 | fraction << 13;
  else if (exponent) bits = sign | (exponent + 112) << 23 | fraction << 13;
  else {
    float v = (float)fraction * 0x1p-24f;
    memcpy(&bits, &v, 4);
    bits |= sign;
  }
  float v;
  memcpy(&v, &bits, 4);
  return v;
}

f16 f16_from_float(float v) {
  uint32_t bits;
  memcpy(&bits, &v, 4);
  uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (f16)(sign | 0x7e00 | (magnitude >> 13 & 0x1ff));
  if (magnitude >= 0x477ff000) return (f16)(sign | F16_INF); /* 65520 and up */
  if (magnitude >= 0x38800000) {                             /* normal result */
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (f16)(sign | ((rounded - 0x38000000) >> 13));
  }
  uint32_t exponent = magnitude >> 23;
  if (exponent < 102) return (f16)sign; /* below 2^-25 */
  uint32_t significand = (magnitude & 0x7fffff) | 0x800000, shift = 126 - exponent;
  uint32_t units = significand >> shift, rest = significand & ((1u << shift) - 1), half = 1u << (shift - 1);
  units += rest > half || (rest == half && (units & 1));
  return (f16)(sign | units);
}

/* |v| to 11 significant bits, ties away: half a unit is added to the bits of the magnitude, a carry moves the exponent. */
static double round11(double v) {
  uint64_t bits;
  memcpy(&bits, &v, 8);
  bits = (bits + (1ull << 41)) & ~((1ull << 42) - 1);
  memcpy(&v, &bits, 8);
  return v;
}

f16 f16_rha(double v) {
  if (v != v) return F16_INF;
  f16 sign = signbit(v) ? 0x8000 : 0;
  double magnitude = fabs(v);
  if (magnitude >= 65520) return sign | F16_INF;
  if (magnitude < 0x1p-14) { /* subnormal: units of 2^-24 */
    double units = magnitude * 0x1p24;
    int whole = (int)units;
    return (f16)(sign | (whole + (units - whole >= 0.5)));
  }
  return sign | f16_from_float((float)round11(magnitude));
}

f16 f16_rha2(double v) { return isfinite(v) ? f16_rha(round11(v)) : f16_rha(v); }

/* -- Multiply-accumulate ------------------------------------------------------------------------------------------- */

/* value = significand * 2^(exponent - 25), exponent = max(field, 1) */
typedef struct {
  int exponent;
  int64_t significand;
} mac_operand;

static mac_operand mac_decode(f16 h) {
  int field = h >> 10 & 31;
  int64_t fraction = h & 1023;
  return field ? (mac_operand){field, fraction | 1024} : (mac_operand){1, fraction};
}

/* units * 2^shift, ties away; units >= 0 */
static int64_t shift_away(int64_t units, int shift) {
  if (shift >= 0) return units << shift;
  return shift < -62 ? 0 : (units + (1ll << (-shift - 1))) >> -shift;
}

int64_t mac_product(f16 x, f16 w) {
  mac_operand a = mac_decode(x), b = mac_decode(w);
  if (a.exponent - 15 + b.exponent - 15 < -16) return 0;
  int64_t units = shift_away(a.significand * b.significand, a.exponent + b.exponent - 50 + 16);
  return (x ^ w) & 0x8000 ? -units : units;
}

f16 mac_dot(const f16 *x, int64_t x_stride, const f16 *w, int64_t w_stride, int64_t k, f16 bias) {
  const int64_t limit = 1ll << 31; /* 2^15 in units of 2^-16 */
  mac_operand start = mac_decode(bias);
  int64_t sum = shift_away(start.significand, start.exponent - 25 + 16);
  if (bias & 0x8000) sum = -sum;
  for (int64_t i = 0; i < k && sum < limit && sum > -limit; i++) sum += mac_product(x[i * x_stride], w[i * w_stride]);
  if (sum >= limit) return F16_INF;
  if (sum <= -limit) return 0x8000 | F16_INF;
  return f16_rha((double)sum * 0x1p-16);
}

/* -- Elementwise --------------------------------------------------------------------------------------------------- */

static double ane_read(f16 h) { return (h & 0x7fff) > F16_INF ? (double)INFINITY : (double)f16_to_float(h); }

static f16 add_exact(double a, double b) {
  double sum = a + b; /* 41 bits at most: exact */
  return sum != sum ? 0 : f16_rha(sum);
}

f16 ane_add(f16 a, f16 b) { return add_exact(ane_read(a), ane_read(b)); }
f16 ane_sub(f16 a, f16 b) { return add_exact(ane_read(a), -ane_read(b)); }

f16 ane_mul(f16 a, f16 b) {
  double product = ane_read(a) * ane_read(b);
  return product != product ? 0 : f16_rha2(product);
}

f16 ane_div(f16 a, f16 b) { return ane_mul(a, table_reciprocal(b)); }

/* -- Reductions ---------------------------------------------------------------------------------------------------- */

/* v cut toward zero to a multiple of 2^exponent */
static double cut(double v, int exponent) { return ldexp(trunc(ldexp(v, -exponent)), exponent); }

/* a (+) b: both cut to 2^(E - 11), E the larger exponent; the bit a carry pushes out is cut as well. */
static double add12(double a, double b) {
  if (!isfinite(a) || !isfinite(b)) return a + b;
  double larger = fmax(fabs(a), fabs(b));
  if (larger == 0) return 0;
  int grid = ilogb(larger) - 11;
  double sum = cut(a, grid) + cut(b, grid);
  return sum == 0 ? 0 : cut(sum, ilogb(sum) - 11);
}

/* Every group total is a multiple of 2^-24 below 2^18, so the wide sum is an integer of 128 bits. +inf and -inf together
 * are indeterminate: +0. */
double reduce_total(const f16 *x, int64_t n, int64_t stride) {
  __int128 units = 0;
  double infinite = 0;
  for (int64_t i = 0; i < n; i += 4) {
    double group = ane_read(x[i * stride]);
    for (int64_t j = i + 1; j < n && j < i + 4; j++) group = add12(group, ane_read(x[j * stride]));
    if (isfinite(group)) units += (int64_t)(group * 0x1p24);
    else infinite += group;
  }
  if (infinite != infinite) return 0;
  return infinite != 0 ? infinite : (double)units * 0x1p-24;
}
