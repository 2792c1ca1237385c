#include "tables.h"

#include <math.h>
#include <stdbool.h>

/* A table as the compiler lays it out: outside [lo, hi] the result is below / above; 33 knots spaced 2^-shift from
 * `first` on; a line between lo and the first knot and one between the last knot and hi. A table whose first knot is at 0
 * is odd: |x| is looked up and the sign restored. */
typedef struct {
  f16 lo, hi, below, above;
  f16 knot[33];
  f16 left_slope, left_intercept, right_slope, right_intercept;
  int shift, first; /* x of the first knot = first * 2^-shift */
} knot_table;

static const knot_table gelu_knots = {
  0xc466, 0x7c00, 0x0000, 0x7c00,
  {
    0x0000, 0x8e8a, 0x9230, 0x9757, 0x9bf0, 0xa011, 0xa3bf, 0xa6ec, 0xa9bf, 0xac75, 0xae67, 0xb03d, 0xb11e, 0xb184,
    0xb104, 0xaecf, 0x922d, 0x3098, 0x357e, 0x389f, 0x3ab8, 0x3c78, 0x3d9a, 0x3eb9, 0x3fd2, 0x4072, 0x40f8, 0x417c,
    0x41fe, 0x427f, 0x4300, 0x4380, 0x4400},
  0x0000, 0x0000, 0x3c00, 0x0000, 2, -16};

static const knot_table tanh_knots = {
  0x0000, 0x4400, 0x0000, 0x3c00,
  {
    0x0000, 0x2ff5, 0x33d6, 0x35bc, 0x3765, 0x3870, 0x3915, 0x39a2, 0x3a18, 0x3a79, 0x3ac9, 0x3b0a, 0x3b3e, 0x3b67,
    0x3b88, 0x3ba2, 0x3bb6, 0x3bc6, 0x3bd3, 0x3bdd, 0x3be5, 0x3beb, 0x3bef, 0x3bf3, 0x3bf6, 0x3bf8, 0x3bfa, 0x3bfb,
    0x3bfc, 0x3bfd, 0x3bfe, 0x3bfe, 0x3bff},
  0x0000, 0x0000, 0x0000, 0x3c00, 3, 0};

static const knot_table sigmoid_knots = {
  0xc8f8, 0x4829, 0x0000, 0x3c00,
  {
    0x0d7f, 0x1087, 0x1377, 0x1626, 0x1910, 0x1c2b, 0x1eda, 0x21a0, 0x249b, 0x2781, 0x2a12, 0x2cdb, 0x2fa1, 0x31d6,
    0x344e, 0x360a, 0x3800, 0x38fb, 0x39d9, 0x3a8a, 0x3b0c, 0x3b65, 0x3b9f, 0x3bc4, 0x3bdb, 0x3be9, 0x3bf2, 0x3bf8,
    0x3bfb, 0x3bfd, 0x3bfe, 0x3bff, 0x3bff},
  0x09ac, 0x170c, 0x163e, 0x3be6, 1, -16};

static const knot_table half_tanh_knots = {
  0xbc00, 0x4900, 0x0000, 0x3800,
  {
    0x0000, 0x2bf5, 0x2fd6, 0x31bc, 0x3365, 0x3470, 0x3515, 0x35a2, 0x3618, 0x3679, 0x36c9, 0x370a, 0x373e, 0x3767,
    0x3788, 0x37a2, 0x37b6, 0x37c6, 0x37d3, 0x37dd, 0x37e5, 0x37eb, 0x37ef, 0x37f3, 0x37f6, 0x37f8, 0x37fa, 0x37fb,
    0x37fc, 0x37fd, 0x37fe, 0x37fe, 0x37ff},
  0x0000, 0x0000, 0x0800, 0x37fb, 2, 0};

/* Knots known to be fp16(erf(i / 16)). */
static const knot_table erf_knots = {
  0x0000, 0x4000, 0x0000, 0x3c00,
  {
    0x0000, 0x2c82, 0x307d, 0x32b1, 0x346c, 0x3577, 0x3677, 0x376c, 0x382a, 0x3897, 0x38fc, 0x395a, 0x39b0, 0x39ff,
    0x3a46, 0x3a85, 0x3abe, 0x3af0, 0x3b1b, 0x3b41, 0x3b62, 0x3b7e, 0x3b96, 0x3baa, 0x3bbb, 0x3bc8, 0x3bd4, 0x3bdd,
    0x3be5, 0x3beb, 0x3bf0, 0x3bf3, 0x3bf6},
  0x0000, 0x0000, 0x0000, 0x3c00, 4, 0};

/* atan(x) = first(x) + second(x); the second is 0 up to 2. */
static const knot_table atan_first_knots = {
  0x0000, 0x4000, 0x0000, 0x3c6e,
  {
    0x0000, 0x2bfd, 0x2ff5, 0x31ee, 0x33d7, 0x34d9, 0x35be, 0x3699, 0x376b, 0x3819, 0x3878, 0x38d1, 0x3926, 0x3975,
    0x39c0, 0x3a06, 0x3a48, 0x3a87, 0x3ac1, 0x3af8, 0x3b2b, 0x3b5c, 0x3b89, 0x3bb4, 0x3bdd, 0x3c02, 0x3c14, 0x3c25,
    0x3c35, 0x3c44, 0x3c53, 0x3c61, 0x3c6e},
  0x3c00, 0x0000, 0x0000, 0x3c6e, 4, 0};

static const knot_table atan_second_knots = {
  0x4000, 0x67d0, 0x0000, 0x3769,
  {
    0xbc6e, 0x0000, 0x32ff, 0x34c7, 0x356e, 0x35d3, 0x3617, 0x3647, 0x366b, 0x3688, 0x369e, 0x36b1, 0x36c1, 0x36ce,
    0x36d9, 0x36e3, 0x36eb, 0x36f3, 0x36f9, 0x36ff, 0x3705, 0x370a, 0x370e, 0x3712, 0x3716, 0x3719, 0x371c, 0x371f,
    0x3722, 0x3724, 0x3727, 0x3729, 0x372b},
  0x0000, 0x0000, 0x0083, 0x372b, -1, 0};

/* Over one octave, or one quarter wave: looked up after range reduction. sin: fp16(sin(i * pi / 64)). */
static const f16 exp2_knots[33] = {
  0x3c00, 0x3c16, 0x3c2d, 0x3c45, 0x3c5d, 0x3c75, 0x3c8e, 0x3ca8, 0x3cc2, 0x3cdc, 0x3cf8, 0x3d14, 0x3d30, 0x3d4d,
  0x3d6b, 0x3d89, 0x3da8, 0x3dc8, 0x3de8, 0x3e09, 0x3e2b, 0x3e4e, 0x3e71, 0x3e95, 0x3eba, 0x3ee0, 0x3f06, 0x3f2e,
  0x3f56, 0x3f7f, 0x3fa9, 0x3fd4, 0x4000};

static const f16 log2_knots[33] = {
  0xbc00, 0xbba5, 0xbb4d, 0xbaf7, 0xbaa4, 0xba53, 0xba04, 0xb9b7, 0xb96d, 0xb924, 0xb8dd, 0xb897, 0xb853, 0xb811,
  0xb79f, 0xb720, 0xb6a4, 0xb62a, 0xb5b3, 0xb53e, 0xb4cb, 0xb45a, 0xb3d8, 0xb2ff, 0xb22a, 0xb159, 0xb08b, 0xaf83,
  0xadf6, 0xac6f, 0xa9dd, 0xa5d1, 0x0000};

static const f16 reciprocal_knots[33] = {
  0x4000, 0x3fc2, 0x3f88, 0x3f50, 0x3f1c, 0x3eeb, 0x3ebd, 0x3e90, 0x3e66, 0x3e3e, 0x3e18, 0x3df4, 0x3dd1, 0x3db0,
  0x3d91, 0x3d72, 0x3d55, 0x3d39, 0x3d1f, 0x3d05, 0x3cec, 0x3cd5, 0x3cbe, 0x3ca8, 0x3c92, 0x3c7e, 0x3c6a, 0x3c57,
  0x3c44, 0x3c32, 0x3c21, 0x3c10, 0x3c00};

static const f16 sqrt_knots[33] = {
  0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x39a8, 0x3a00, 0x3a53, 0x3aa2, 0x3aee, 0x3b36,
  0x3b7c, 0x3bbf, 0x3c00, 0x3c20, 0x3c3e, 0x3c5c, 0x3c79, 0x3c95, 0x3cb1, 0x3ccc, 0x3ce6, 0x3d00, 0x3d19, 0x3d32,
  0x3d4b, 0x3d63, 0x3d7a, 0x3d91, 0x3da8};

static const f16 rsqrt_knots[33] = {
  0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x0000, 0x3da8, 0x3d55, 0x3d0f, 0x3cd3, 0x3c9e, 0x3c70,
  0x3c47, 0x3c22, 0x3c00, 0x3bc3, 0x3b8b, 0x3b57, 0x3b28, 0x3afc, 0x3ad3, 0x3aac, 0x3a88, 0x3a66, 0x3a47, 0x3a29,
  0x3a0c, 0x39f1, 0x39d8, 0x39bf, 0x39a8};

static const f16 sin_knots[33] = {
  0x0000, 0x2a48, 0x2e46, 0x30b2, 0x323e, 0x33c6, 0x34a5, 0x3564, 0x361f, 0x36d7, 0x378b, 0x381d, 0x3872, 0x38c4,
  0x3913, 0x395f, 0x39a8, 0x39ed, 0x3a2f, 0x3a6d, 0x3aa7, 0x3add, 0x3b0e, 0x3b3b, 0x3b64, 0x3b88, 0x3ba8, 0x3bc3,
  0x3bd9, 0x3bea, 0x3bf6, 0x3bfe, 0x3c00};

enum { INF = 0x7c00, ONE = 0x3c00 };

static double value(f16 h) { return (h & 0x7fff) > INF ? (double)INFINITY : (double)f16_to_float(h); }

/* The line through the two knots around u (in knot spacings from the first), from the knot at the end of the segment
 * nearer to zero: y = RHA(k[c] + RHA2(d * (u - c))), d = RHA(k[i+1] - k[i]). */
static f16 between_knots(const f16 *knot, double u, bool from_upper) {
  int i = (int)u < 31 ? (int)u : 31, c = from_upper ? i + 1 : i;
  double difference = value(f16_rha(value(knot[i + 1]) - value(knot[i])));
  return f16_rha(value(knot[c]) + value(f16_rha2(difference * (u - c))));
}

static f16 line(f16 slope, f16 intercept, double x) {
  if (!(slope & 0x7fff)) return intercept;
  return f16_rha(value(f16_rha2(value(slope) * x)) + value(intercept));
}

static f16 on_table(const knot_table *t, double x) {
  if (x < value(t->lo)) return t->below;
  if (x > value(t->hi)) return t->above;
  double u = ldexp(x, t->shift) - t->first;
  if (u < 0) return line(t->left_slope, t->left_intercept, x);
  if (u > 32) return line(t->right_slope, t->right_intercept, x);
  return between_knots(t->knot, u, x < 0);
}

/* The sign of a negative x, never on a zero. */
static f16 with_sign(f16 y, double x) { return x < 0 && y ? y | 0x8000 : y; }

static f16 odd_table(const knot_table *t, f16 x) {
  double v = value(x);
  return with_sign(on_table(t, fabs(v)), v);
}

f16 table_gelu(f16 x) { return on_table(&gelu_knots, value(x)); }
f16 table_sigmoid(f16 x) { return on_table(&sigmoid_knots, value(x)); }
f16 table_tanh(f16 x) { return odd_table(&tanh_knots, x); }
f16 table_half_tanh(f16 x) { return odd_table(&half_tanh_knots, x); }

/* The piece beyond 2 is not known; its published error, below 8.7e-4, rules out a jump to 1. Inferred: correctly rounded. */
f16 table_erf(f16 x) {
  double v = value(x);
  return fabs(v) > 2 ? f16_rha(erf(v)) : odd_table(&erf_knots, x);
}

f16 table_atan(f16 x) {
  return f16_rha(value(odd_table(&atan_first_knots, x)) + value(odd_table(&atan_second_knots, x)));
}

/* Where the pieces between and beside the knots end; atan has no line beside its last knot but a long one. */
bool table_clamps(table_id table, f16 x) {
  static const knot_table *const tables[] = {&gelu_knots, &tanh_knots, &sigmoid_knots, &half_tanh_knots, &erf_knots,
                                             &atan_second_knots};
  const knot_table *t = tables[table];
  double v = t->first < 0 && table != TABLE_ATAN ? value(x) : fabs(value(x));
  if (table == TABLE_GELU && v > value(t->knot[32])) return true; /* a line of slope 1 */
  return v > value(t->hi) || (v < value(t->lo) && table != TABLE_ATAN);
}

/* sin(x + quarter * pi / 2). The argument is reduced exactly: pi/2 in two parts, the first short enough that its multiples
 * are exact for every fp16 value. */
static f16 quarter_wave(f16 x, int quarter) {
  const double first = 0x1.921fb544p0, second = 0x1.0b4611a626331p-34;
  double v = value(x), magnitude = fabs(v);
  if (isinf(v)) return 0;
  double turns = floor(magnitude / (first + second));
  double rest = (magnitude - turns * first) - turns * second;
  int negative = v < 0 && quarter == 0;
  int q = (int)turns + quarter;
  double u = rest * (32 / (first + second));
  u = u < 0 ? 0 : u > 32 ? 32 : u;
  f16 y = between_knots(sin_knots, q & 1 ? 32 - u : u, false);
  return with_sign(y, (q >> 1 & 1) != negative ? -1 : 1);
}

f16 table_sin(f16 x) { return quarter_wave(x, 0); }
f16 table_cos(f16 x) { return quarter_wave(x, 1); }

/* 2^z = T(32 (z - n)) * 2^n, n = floor(z); 0 up to -25, infinite above 16 */
static f16 power_of_two(double z) {
  if (z <= -25) return 0;
  if (z > 16) return INF;
  double n = floor(z);
  return f16_rha2(ldexp(value(between_knots(exp2_knots, 32 * (z - n), false)), (int)n));
}

f16 table_exp2(f16 x) { return power_of_two(value(x)); }

/* e^x = 2^RHA(x * fp16(log2 e)) */
f16 table_exp(f16 x) { return power_of_two(value(f16_rha(value(x) * 1.4423828125))); }

/* log x = RHA(T((m - 1/2) * 64) + k) * fp16(log 2), x = m * 2^k, 1/2 <= m < 1. log2(0) is -inf, which the multiplication
 * reads as an ordinary -2^16: -45440. log(inf) and the log of negative numbers are 0. */
f16 table_log(f16 x) {
  const double log_2 = 0.693359375;
  double v = value(x);
  if (v < 0 || isinf(v)) return 0;
  if (v == 0) return f16_rha(-65536 * log_2);
  int k;
  double m = frexp(v, &k);
  f16 log2 = f16_rha(value(between_knots(log2_knots, (m - 0.5) * 64, false)) + k);
  f16 y = f16_rha2(value(log2) * log_2);
  return y == 0x8000 ? 0 : y;
}

/* 1/x = T((m - 1/2) * 64) * 2^-k; 1/0 and 1/-0 are +inf */
f16 table_reciprocal(f16 x) {
  double v = value(x);
  if (v == 0) return INF;
  if (isinf(v)) return 0;
  int k;
  double m = frexp(fabs(v), &k);
  return with_sign(f16_rha2(ldexp(value(between_knots(reciprocal_knots, (m - 0.5) * 64, false)), -k)), v);
}

/* v = m * 4^half, 1/2 <= m < 2; returns m */
static double even_exponent(double v, int *half) {
  int k;
  double m = frexp(v, &k);
  *half = (k & 1 ? k - 1 : k) / 2;
  return k & 1 ? 2 * m : m;
}

f16 table_sqrt(f16 x) {
  double v = value(x);
  if (v <= 0) return 0;
  if (isinf(v)) return INF;
  int half;
  double m = even_exponent(v, &half);
  return f16_rha2(ldexp(value(between_knots(sqrt_knots, 16 * m, false)), half));
}

f16 table_rsqrt(f16 x) {
  double v = value(x);
  if (v == 0) return INF;
  if (v < 0 || isinf(v)) return 0;
  int half;
  double m = even_exponent(v, &half);
  return f16_rha2(ldexp(value(between_knots(rsqrt_knots, 16 * m, false)), -half));
}
