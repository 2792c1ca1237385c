/* fastmath.h - functions on vectors of fp32, relative error about 1e-6: NUM_FAST mode. A template over simd.h; the scalar
 * twin is libm (unary_fast). Polynomials are those of the Cephes library. */
#ifndef ANEFORGE_HOST_FASTMATH_H
#define ANEFORGE_HOST_FASTMATH_H

#include "simd.h"

/* c[0] x^(n-1) + ... + c[n-1] */
static inline vf fm_poly(vf x, const float *c, int n) {
  vf y = vf_set(c[0]);
  for (int i = 1; i < n; i++) y = vf_fma(y, x, vf_set(c[i]));
  return y;
}

/* To the nearest integer, |x| < 2^22 */
static inline vf fm_nearest(vf x) { return (x + 0x1.8p23f) - 0x1.8p23f; }

static inline vf fm_exp(vf x) {
  static const float c[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 0.5f};
  vf v = vf_select((vi)(x > 90.0f), vf_set(90), vf_select((vi)(x < -104.0f), vf_set(-104), x));
  vf n = fm_nearest(v * 1.44269504088896341f);
  vf r = vf_fma(n, vf_set(-0.693359375f), v);
  r = vf_fma(n, vf_set(2.12194440e-4f), r);
  vf y = vf_fma(fm_poly(r, c, 6) * r, r, r) + 1.0f;
  vi k = __builtin_convertvector(vf_select((vi)(x == x), n, (vf){0}), vi), k2 = k >> 1; /* in two steps: 2^n may be subnormal */
  y = y * (vf)((k2 + 127) << 23) * (vf)((k - k2 + 127) << 23);
  y = vf_select((vi)(x > 88.73f), vf_set(INFINITY), y);
  return vf_select((vi)(x == x), y, x);
}

static inline vf fm_log(vf x) {
  static const float c[] = {7.0376836292e-2f,  -1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                            -1.6668057665e-1f, 2.0000714765e-1f,  -2.4999993993e-1f, 3.3333331174e-1f};
  vi tiny = (vi)(x < 0x1p-126f);
  vf v = vf_select(tiny, x * 0x1p23f, x);
  vi bits = (vi)v;
  vf m = (vf)((bits & 0x7fffff) | 0x3f000000); /* [1/2, 1) */
  vi below = (vi)(m < 0.707106781186547524f);
  vi k = (bits >> 23) - 126 + below - (tiny & 23);
  vf e = __builtin_convertvector(k, vf);
  vf f = m - 1.0f + vf_and(below, m), z = f * f;
  vf y = fm_poly(f, c, 9) * f * z;
  y = vf_fma(e, vf_set(-2.12194440e-4f), y) - 0.5f * z;
  y = vf_fma(e, vf_set(0.693359375f), f + y);
  y = vf_select((vi)(x == 0.0f), vf_set(-INFINITY), y);
  y = vf_select((vi)(x == INFINITY), x, y);
  return vf_select((vi)(x >= 0.0f), y, vf_set(NAN));
}

static inline vf fm_exp2(vf x) {
  /* 2^n exactly, e^(f log 2) for the rest */
  vf v = vf_select((vi)(x > 200.0f), vf_set(200), vf_select((vi)(x < -200.0f), vf_set(-200), x)), n = fm_nearest(v);
  vf y = fm_exp((v - n) * 0.693147180559945309f);
  vi k = __builtin_convertvector(vf_select((vi)(x == x), n, (vf){0}), vi), k2 = k >> 1;
  return vf_select((vi)(x == x), y * (vf)((k2 + 127) << 23) * (vf)((k - k2 + 127) << 23), x);
}

/* log(1 + t) for t >= 0 without losing t: log(u) * t / (u - 1), u = fl(1 + t) */
static inline vf fm_log1p(vf t) {
  vf u = 1.0f + t;
  return vf_select((vi)(u == 1.0f), t, fm_log(u) * (t / (u - 1.0f)));
}

static inline vf fm_sigmoid(vf x) { return 1.0f / (1.0f + fm_exp(-x)); }

static inline vf fm_softplus(vf x) {
  vf y = vf_select((vi)(x > 0.0f), x, (vf){0}) + fm_log1p(fm_exp(-vf_abs(x)));
  y = vf_select((vi)(vf_abs(x) == INFINITY), vf_select((vi)(x > 0.0f), x, (vf){0}), y);
  return vf_select((vi)(x == x), y, x);
}

static inline vf fm_tanh(vf x) {
  static const float c[] = {-5.70498872745e-3f, 2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f};
  vf a = vf_abs(x), z = x * x;
  vf small = vf_fma(fm_poly(z, c, 5) * z, x, x), large = 1.0f - 2.0f / (fm_exp(2.0f * a) + 1.0f);
  return vf_select((vi)(a < 0.625f), small, vf_or(large, vf_sign(x)));
}

/* e^x - 1 */
static inline vf fm_expm1(vf x) {
  static const float c[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 0.5f};
  return vf_select((vi)(vf_abs(x) < 0.3465f), vf_fma(fm_poly(x, c, 6) * x, x, x), fm_exp(x) - 1.0f);
}

/* erfc(a), a >= 0: the Chebyshev fit of Numerical Recipes, relative error 1.2e-7 */
static inline vf fm_erfc_positive(vf a) {
  static const float c[] = {0.17087277f, -0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f,
                            -0.18628806f, 0.09678418f, 0.37409196f, 1.00002368f, -1.26551223f};
  vf t = 1.0f / (1.0f + 0.5f * a);
  /* exp(-a^2 + p): a is split so that its square is exact */
  vf high = (vf)((vi)a & (int32_t)0xfffff000), rest = (a - high) * (a + high);
  vf y = t * fm_exp(-high * high) * fm_exp(fm_poly(t, c, 10) - rest);
  return vf_select((vi)(a == INFINITY), (vf){0}, y);
}

static inline vf fm_erf(vf x) {
  static const float c[] = {7.853861353153693e-5f, -8.010193625184903e-4f, 5.188327685732524e-3f, -2.685381193529856e-2f,
                            1.128358514861418e-1f, -3.761262582423300e-1f, 1.128379165726710e+0f};
  vf a = vf_abs(x);
  return vf_select((vi)(a < 1.0f), x * fm_poly(x * x, c, 7), vf_or(1.0f - fm_erfc_positive(a), vf_sign(x)));
}

/* x * erfc(-x / sqrt 2) / 2 */
static inline vf fm_gelu(vf x) {
  vf a = vf_abs(x), tail = 0.5f * fm_erfc_positive(a * 0.70710678118654752f);
  vf share = vf_select((vi)(x < 0.0f), tail, 1.0f - tail);
  return vf_select((vi)(share == 0.0f), (vf){0}, x * share);
}
static inline vf fm_over_one_plus_exp(vf x, vf t) { /* x / (1 + e^t) */
  vf e = fm_exp(t);
  return vf_select((vi)(e == INFINITY), (vf){0}, x / (1.0f + e));
}
static inline vf fm_gelu_tanh(vf x) {
  return fm_over_one_plus_exp(x, -1.5957691216057308f * (x + 0.044715f * x * x * x));
}
static inline vf fm_gelu_sigmoid(vf x) { return fm_over_one_plus_exp(x, -1.702f * x); }
static inline vf fm_silu(vf x) { return fm_over_one_plus_exp(x, -x); }

/* sin(x + quarter pi / 2). The reduction runs in double, exact enough for every fp16 argument. */
static inline vd fm_reduce(vd x, vd *turns) {
  vd n = (x * 0.63661977236758134 + 0x1.8p52) - 0x1.8p52;
  *turns = n;
  return (x - n * 0x1.921fb54400000p0) - n * 0x1.0b4611a626331p-34;
}
static inline vf fm_wave(vf x, int quarter) {
  static const float s[] = {-1.9515295891e-4f, 8.3321608736e-3f, -1.6666654611e-1f};
  static const float c[] = {2.443315711809948e-5f, -1.388731625493765e-3f, 4.166664568298827e-2f};
  vi defined = (vi)(vf_abs(x) < 0x1p21f);
  vf v = vf_and(defined, x);
  vd low, high, r_low = fm_reduce(vd_low(v), &low), r_high = fm_reduce(vd_high(v), &high);
  vf r = vf_join(r_low, r_high), z = r * r;
  vi q = __builtin_convertvector(vf_join(low, high), vi) + quarter;
  vf sine = vf_fma(fm_poly(z, s, 3) * z, r, r);
  vf cosine = vf_fma(fm_poly(z, c, 3) * z, z, 1.0f - 0.5f * z);
  vf y = vf_select(-(q & 1), cosine, sine);
  return vf_select(defined, (vf)((vi)y ^ (q & 2) << 30), vf_set(NAN));
}

static inline vf fm_atan(vf x) {
  static const float c[] = {8.05374449538e-2f, -1.38776856032e-1f, 1.99777106478e-1f, -3.33329491539e-1f};
  vf a = vf_abs(x);
  vi far = (vi)(a > 2.414213562373095f), near = (vi)(a > 0.4142135623730950f) & ~far;
  vf t = vf_select(far, -1.0f / a, vf_select(near, (a - 1.0f) / (a + 1.0f), a));
  vf base = vf_select(far, vf_set(1.5707963267948966f), vf_and(near, vf_set(0.7853981633974483f))), z = t * t;
  return vf_or(base + vf_fma(fm_poly(z, c, 4) * z, t, t), vf_sign(x));
}

static inline vf fm_trunc(vf x) {
  vf t = __builtin_convertvector(__builtin_convertvector(vf_select((vi)(vf_abs(x) < 0x1p23f), x, (vf){0}), vi), vf);
  return vf_select((vi)(vf_abs(x) < 0x1p23f), vf_or(t, vf_sign(x)), x);
}
static inline vf fm_floor(vf x) {
  vf t = fm_trunc(x);
  return t - vf_and((vi)(t > x), vf_set(1));
}
static inline vf fm_ceil(vf x) { return -fm_floor(-x); }
static inline vf fm_round(vf x) { /* half away from zero */
  vf t = fm_trunc(x), rest = vf_abs(x - t);
  return t + vf_and((vi)(rest >= 0.5f), vf_or(vf_set(1), vf_sign(x)));
}

/* x^y; a negative x needs an integer y */
static inline vf fm_pow(vf x, vf y) {
  vf whole = fm_trunc(y), half_whole = fm_trunc(y * 0.5f) * 2.0f;
  vi integer = (vi)(whole == y), odd = integer & (vi)(half_whole != y);
  vf magnitude = fm_exp(y * fm_log(vf_abs(x)));
  vf r = vf_or(magnitude, odd & vf_sign(x));
  r = vf_select((vi)(x < 0.0f) & (vi)(x > -INFINITY) & ~integer, vf_set(NAN), r);
  vi one = (vi)(y == 0.0f) | (vi)(x == 1.0f) | ((vi)(x == -1.0f) & (vi)(vf_abs(y) == INFINITY));
  return vf_select(one, vf_set(1), r);
}

#endif
