/* The scalar arithmetic against published test vectors and statistics of the silicon. */
#include "../../shim/host/numerics.h"
#include "../../shim/host/tables.h"

#include <math.h>

#include "test.h"

enum { MAX_K = 104 };

/* -- fp16 ---------------------------------------------------------------------------------------------------------- */

TEST(every_fp16_value_survives_fp32) {
  for (int h = 0; h < 65536; h++) {
    f16 back = f16_from_float(f16_to_float((f16)h));
    bool nan = (h & 0x7fff) > 0x7c00;
    CHECK(nan ? (back & 0x7fff) > 0x7c00 : back == h, "%04x -> %04x", h, back);
  }
}

/* Rounding against its definition: the nearest of the two neighbours; a tie goes to even (RNE) or away (RHA). */
TEST(rounding_at_every_midpoint) {
  for (int h = 0; h < 0x7c00; h++) {
    double low = f16_to_float((f16)h), high = h == 0x7bff ? 65536 : f16_to_float((f16)(h + 1)), middle = (low + high) / 2;
    double nudge = fmax(middle * 0x1p-23, 0x1p-60);
    for (int sign = 0; sign < 2; sign++) {
      double s = sign ? -1 : 1;
      f16 bit = sign ? 0x8000 : 0, down = bit | (f16)h, up = bit | (f16)(h + 1), even = h & 1 ? up : down;
      CHECK(f16_rha(s * low) == down, "%04x", h);
      CHECK(f16_rha(s * middle) == up, "%04x", h);
      CHECK(f16_rha(s * (middle - nudge)) == down, "%04x", h);
      CHECK(f16_rha(s * (middle + nudge)) == up, "%04x", h);
      CHECK(f16_from_float((float)(s * middle)) == even, "%04x", h);
      CHECK(f16_from_float((float)(s * (middle - nudge))) == down, "%04x", h);
      CHECK(f16_from_float((float)(s * (middle + nudge))) == up, "%04x", h);
    }
  }
  CHECK(f16_from_float(0x1p-25f) == 0 && f16_from_float(0x1.8p-25f) == 1 && f16_from_float(0x1p-149f) == 0);
  CHECK(f16_rha(65519.99) == 0x7bff && f16_rha(65520) == 0x7c00 && f16_rha(-1e30) == 0xfc00);
  CHECK(f16_rha(NAN) == 0x7c00);
}

TEST(double_rounding_of_subnormal_products) {
  /* 855.326 * 2^-24 becomes 855.5 with 11 bits, then 856. */
  CHECK(f16_rha(-855.326 * 0x1p-24) == (0x8000 | 855));
  CHECK(f16_rha2(-855.326 * 0x1p-24) == (0x8000 | 856));
  for (int h = 0x400; h < 0x7c00; h += 7) CHECK(f16_rha2(f16_to_float((f16)h)) == h, "%04x", h);
  CHECK(f16_rha2(INFINITY) == 0x7c00 && f16_rha2(NAN) == 0x7c00);
}

/* -- Multiply-accumulate ------------------------------------------------------------------------------------------- */

static f16 dot(const f16 *x, const f16 *w, int k, f16 bias) { return mac_dot(x, 1, w, 1, k, bias); }

static int64_t grid_sum(const f16 *x, const f16 *w, int k) {
  int64_t sum = 0;
  for (int i = 0; i < k; i++) sum += mac_product(x[i], w[i]);
  return sum;
}

TEST(mac_test_vectors) {
  static const struct {
    int k;
    f16 x[3], w[3];
    int repeat;
    int64_t units;
    f16 y;
  } row[] = {
      {1, {0x3c00}, {0x0100}, 1, 1, 0x0100},
      {1, {0x3c00}, {0x0080}, 1, 1, 0x0100},
      {1, {0x3c00}, {0x0040}, 1, 0, 0x0000},
      {1, {0x1800}, {0x1c00}, 1, 0, 0x0000},
      {1, {0x1a00}, {0x1e00}, 1, 0, 0x0000},
      {1, {0x1c00}, {0x1c00}, 1, 1, 0x0100},
      {2, {0x6800, 0x3c00}, {0x3c00, 0x3c00}, 1, 134283264, 0x6801},
      {2, {0x6801, 0x3c00}, {0x3c00, 0x3c00}, 1, 134414336, 0x6802},
      {2, {0xe800, 0xbc00}, {0x3c00, 0x3c00}, 1, -134283264, 0xe801},
      {2, {0x77d0, 0x61e0}, {0x3c00, 0x3c00}, 1, 2146435072, 0x77ff},
      {2, {0x7400, 0x7400}, {0x3c00, 0x3c00}, 1, 2147483648, 0x7c00},
      {3, {0x2e66, 0x2e66, 0x2e66}, {0x2e66, 0x3266, 0x34cd}, 1, 3931, 0x2bae},
      {1, {0x1a25}, {0x1c19}, 8, 0, 0x0000},
      {1, {0x1419}, {0x211f}, 100, 0, 0x0000},
      {1, {0x3555}, {0x3555}, 3, 21834, 0x3555},
  };
  for (size_t r = 0; r < sizeof row / sizeof *row; r++) {
    f16 x[MAX_K], w[MAX_K];
    int k = row[r].k * row[r].repeat;
    for (int i = 0; i < k; i++) x[i] = row[r].x[i % row[r].k], w[i] = row[r].w[i % row[r].k];
    f16 y = dot(x, w, k, 0);
    CHECK(grid_sum(x, w, k) == row[r].units, "row %zu: %lld", r, (long long)grid_sum(x, w, k));
    CHECK(y == row[r].y, "row %zu: %04x", r, y);
  }
}

typedef struct {
  uint32_t state;
} lcg;

/* value = ((s >>> 8) / 2^24 * 2 - 1) * scale; s steps first */
static double lcg_next(lcg *g, double scale) {
  g->state = g->state * 1664525u + 1013904223u;
  return ((g->state >> 8) / 16777216.0 * 2 - 1) * scale;
}

TEST(mac_generated_vectors) {
  static const struct {
    uint32_t seed;
    double factor;
    int64_t units[4];
    f16 y[4];
  } row[] = {
      {12345, 1, {2513, 1531, 604, -3740}, {0x28e9, 0x25fb, 0x20b8, 0xab4e}},
      {777, 0.1, {72, 25, -58, 12}, {0x1480, 0x0e40, 0x9340, 0x0a00}},
  };
  for (int r = 0; r < 2; r++) {
    lcg g = {row[r].seed};
    f16 x[64], w[4][64];
    for (int i = 0; i < 64; i++) x[i] = f16_from_float((float)(lcg_next(&g, 0.125) * row[r].factor));
    for (int o = 0; o < 4; o++)
      for (int i = 0; i < 64; i++) w[o][i] = f16_from_float((float)(lcg_next(&g, 0.125) * row[r].factor));
    if (r == 0) {
      CHECK(x[0] == 0xafac && x[1] == 0xafbc && x[2] == 0x2186 && x[3] == 0x2851);
      CHECK(w[0][0] == 0x29ed && w[0][1] == 0xa8cb && w[0][2] == 0xa889 && w[0][3] == 0x2cb1);
    }
    for (int o = 0; o < 4; o++) {
      CHECK(grid_sum(x, w[o], 64) == row[r].units[o], "seed %u row %d: %lld", row[r].seed, o,
            (long long)grid_sum(x, w[o], 64));
      CHECK(dot(x, w[o], 64, 0) == row[r].y[o], "seed %u row %d: %04x", row[r].seed, o, dot(x, w[o], 64, 0));
    }
  }
}

static f16 h(double v) { return f16_from_float((float)v); }

TEST(mac_range_bias_and_special_operands) {
  f16 one[4] = {0x3c00, 0x3c00, 0x3c00, 0x3c00};
#define SUM(bias, ...) dot((f16[]){__VA_ARGS__}, one, sizeof((f16[]){__VA_ARGS__}) / 2, h(bias))
  CHECK(SUM(0, h(16384), h(16376)) == h(32768)); /* the test is on the sum, not on the rounded output */
  CHECK(SUM(0, h(30000), h(2768)) == 0x7c00);
  CHECK(SUM(0, h(-16384), h(-16384)) == 0xfc00);
  CHECK(SUM(0, h(30000), h(30000), h(-30000), h(-30000)) == 0x7c00); /* sticky */
  CHECK(SUM(-16384, h(16384), h(16384)) == h(16384));
  CHECK(SUM(32, h(32736)) == 0x7c00);
  CHECK(SUM(0x1p-17, 0) == 0x0100 && SUM(0x1p-20, 0) == 0);
  CHECK(SUM(0, 0x8000) == 0 && dot(one, one, 0, 0x8000) == 0);
  f16 small = 0x0c00; /* 2^-12 */
  CHECK(dot((f16[]){0x7c00}, &small, 1, 0) == h(16) && dot((f16[]){0x7e00}, &small, 1, 0) == h(24));
  CHECK(dot((f16[]){0x7fff}, &small, 1, 0) == h(131008 * 0x1p-12));
  CHECK(dot((f16[]){0x7c00}, one, 1, 0) == 0x7c00);
}

/* -- Elementwise --------------------------------------------------------------------------------------------------- */

TEST(elementwise_outputs_measured_on_silicon) {
  f16 nan = 0x7e00, inf = 0x7c00;
  CHECK(ane_add(h(2048), h(1)) == h(2050) && ane_add(h(-2048), h(-1)) == h(-2050));
  CHECK(ane_sub(h(-2048), h(1)) == h(-2050) && ane_add(h(4096), h(2)) == h(4100));
  CHECK(ane_add(h(1), h(0x1p-11)) == h(1 + 0x1p-10) && ane_add(h(16384), h(16384)) == h(32768));
  CHECK(ane_add(h(65504), 0) == h(65504) && ane_add(h(0x1p-24), 0) == 1);
  CHECK(ane_mul(h(0x1p-12), h(0x1p-12)) == 1 && ane_mul(h(0x1p-7), h(0x1p-10)) == h(0x1p-17));
  CHECK(ane_mul(h(200), h(200)) == h(40000) && ane_mul(h(256), h(256)) == inf);
  CHECK(ane_sub(h(1), h(0x1p-11)) == h(0.99951171875));
  CHECK(ane_add(nan, h(1)) == inf && ane_mul(nan, h(1)) == inf && ane_sub(inf, h(1)) == inf);
}

TEST(indeterminate_results_are_zero) {
  f16 inf = 0x7c00, minus_inf = 0xfc00, nan = 0xfe01;
  CHECK(ane_sub(inf, inf) == 0 && ane_add(inf, minus_inf) == 0 && ane_sub(nan, inf) == 0);
  CHECK(ane_mul(0, inf) == 0 && ane_mul(0x8000, minus_inf) == 0 && ane_mul(inf, h(2)) == inf);
  CHECK(ane_mul(inf, h(-2)) == minus_inf && ane_add(nan, 0) == inf);
  CHECK(ane_add(0x8000, 0) == 0 && ane_add(h(3), h(-3)) == 0);
  CHECK(ane_div(0, 0) == 0 && ane_div(inf, inf) == 0 && ane_div(h(1), 0x8000) == inf && ane_div(h(1), inf) == 0);
  CHECK(ane_div(h(6), h(2)) == h(3) && ane_div(h(-1), h(4)) == h(-0.25));
}

/* The Jacobi output that shows the double rounding of the multiplication is the only element published; every other
 * product is the exact one rounded once. */
TEST(products_and_sums_of_all_kinds) {
  lcg g = {1};
  for (int i = 0; i < 2000000; i++) {
    lcg_next(&g, 1);
    f16 a = g.state >> 16;
    lcg_next(&g, 1);
    f16 b = g.state >> 16;
    if ((a & 0x7c00) == 0x7c00 || (b & 0x7c00) == 0x7c00) continue;
    double x = f16_to_float(a), y = f16_to_float(b), sum = x + y, product = x * y;
    double got = f16_to_float(ane_add(a, b));
    if (fabs(sum) < 65520) {
      double ulp = fabs(sum) < 0x1p-14 ? 0x1p-24 : ldexp(1, ilogb(sum) - 10);
      double away = trunc(fabs(sum) / ulp + 0.5) * ulp;
      CHECK(got == copysign(away, sum), "%04x + %04x = %g", a, b, got);
    } else CHECK(isinf(got), "%04x + %04x", a, b);
    got = f16_to_float(ane_mul(a, b));
    if (fabs(product) < 65520 && fabs(product) >= 0x1p-14) {
      double ulp = ldexp(1, ilogb(product) - 10);
      CHECK(got == copysign(trunc(fabs(product) / ulp + 0.5) * ulp, product), "%04x * %04x = %g", a, b, got);
    } else if (fabs(product) < 0x1p-14) CHECK(fabs(got - product) <= 0x1p-25 + fabs(product) * 0x1p-11, "%04x * %04x = %g", a, b, got);
  }
}

/* -- Reductions ---------------------------------------------------------------------------------------------------- */

/* 16 times +B, -B and +1, in the order of pattern ('+', '-', '1') */
static double triples(const char *pattern, double b) {
  f16 x[3 * 16];
  for (int i = 0; i < 3 * 16; i++) x[i] = h(pattern[i % 3] == '1' ? 1 : pattern[i % 3] == '+' ? b : -b);
  return f16_to_float(f16_rha(reduce_total(x, 3 * 16, 1)));
}

TEST(reduction_probes_of_the_silicon) {
  static const double kept[] = {1024, 3000, 4090}, lost[] = {4096, 8000, 16000, 30000};
  static const char *const order[] = {"+-1", "+1-"};
  for (int o = 0; o < 2; o++) {
    for (int i = 0; i < 3; i++) CHECK(triples(order[o], kept[i]) == 16, "B = %g: %g", kept[i], triples(order[o], kept[i]));
    for (int i = 0; i < 4; i++) CHECK(triples(order[o], lost[i]) == 4, "B = %g: %g", lost[i], triples(order[o], lost[i]));
  }
  static f16 x[16384];
  for (int i = 0; i < 16384; i++) x[i] = h(1);
  CHECK(reduce_total(x, 16384, 1) == 16384 && reduce_total(x, 16000, 1) == 16000 && reduce_total(x, 0, 1) == 0);
  x[0] = h(4096);
  CHECK(reduce_total(x, 1025, 1) == 5117 && f16_rha(reduce_total(x, 1025, 1)) == h(5116));
  x[0] = h(8192);
  CHECK(reduce_total(x, 17, 1) == 8205 && f16_rha(reduce_total(x, 17, 1)) == h(8208));
  for (int i = 0; i < 8; i++) x[i] = h(i == 0 ? 257 : 256);
  CHECK(f16_rha(reduce_total(x, 8, 1)) == h(2050));
  f16 strided[12] = {h(1), 9, 9, h(2), 9, 9, h(3), 9, 9, h(4), 9, 9};
  CHECK(reduce_total(strided, 4, 3) == 10);
}

TEST(reductions_of_special_values) {
  f16 x[6] = {h(1), 0x7e00, h(-5), h(2), h(3), h(4)};
  CHECK(reduce_total(x, 6, 1) == (double)INFINITY);
  x[5] = 0xfc00;
  CHECK(reduce_total(x, 6, 1) == 0);
  x[1] = 0;
  CHECK(reduce_total(x, 6, 1) == -(double)INFINITY);
  f16 tiny[5] = {1, 1, 0x8003, 0, 5};
  CHECK(reduce_total(tiny, 5, 1) == 4 * 0x1p-24);
}

/* -- Activation tables --------------------------------------------------------------------------------------------- */

static void check_row(const char *name, f16 (*function)(f16), const f16 *x, const f16 *y, int n) {
  for (int i = 0; i < n; i++) CHECK(function(x[i]) == y[i], "%s(%04x) = %04x, not %04x", name, x[i], function(x[i]), y[i]);
}

static f16 reciprocal_eps(f16 x) { return table_reciprocal(ane_add(x, 0x068e)); }

TEST(activation_test_vectors) {
  static const f16 x[] = {0x0000, 0x8000, 0x2c00, 0xac00, 0x3400, 0xb400, 0x3555, 0xb555, 0x3c00, 0xbc00,
                          0x4248, 0xc248, 0x43ff, 0x4400, 0xc3ff, 0xc400, 0xc466, 0x4900, 0x0001, 0x9000};
  static const f16 gelu[] = {0x922d, 0x922d, 0x2885, 0xa6f4, 0x3098, 0xaecf, 0x32b9, 0xafe2, 0x3ab8, 0xb11e,
                             0x4247, 0x9989, 0x43ff, 0x4400, 0x8034, 0x0000, 0x0000, 0x4900, 0x922d, 0x93de};
  static const f16 tanh_[] = {0x0000, 0x0000, 0x2bf5, 0xabf5, 0x33d6, 0xb3d6, 0x3521, 0xb521, 0x3a18, 0xba18,
                              0x3bf8, 0xbbf8, 0x3bff, 0x3bff, 0xbbff, 0xbbff, 0xbc00, 0x3c00, 0x0001, 0x8ff5};
  static const f16 sigmoid[] = {0x3800, 0x3800, 0x381f, 0x37c1, 0x387e, 0x3705, 0x38a7, 0x36b2, 0x39d9, 0x344e,
                                0x3ba9, 0x296b, 0x3bdb, 0x3bdb, 0x249e, 0x249b, 0x225b, 0x3c00, 0x3800, 0x3800};
  static const f16 exp_[] = {0x3c00, 0x3c00, 0x3c42, 0x3b84, 0x3d23, 0x3a3b, 0x3d95, 0x39bc, 0x4170, 0x35e3,
                             0x4dc8, 0x2989, 0x52cd, 0x52d2, 0x24b5, 0x24b2, 0x224e, 0x755c, 0x3c00, 0x3bff};
  check_row("gelu", table_gelu, x, gelu, 20);
  check_row("tanh", table_tanh, x, tanh_, 20);
  check_row("sigmoid", table_sigmoid, x, sigmoid, 20);
  check_row("exp", table_exp, x, exp_, 20);
  static const f16 p[] = {0x0400, 0x1000, 0x2c00, 0x3555, 0x3800, 0x3c00, 0x3e00,
                          0x4200, 0x4900, 0x5640, 0x63d0, 0x7bff, 0x0001};
  static const f16 log_[] = {0xc8db, 0xc7a1, 0xc18c, 0xbc66, 0xb98c, 0x0000, 0x367d,
                             0x3c65, 0x409b, 0x449b, 0x46e9, 0x498c, 0xcc29};
  static const f16 inverse[] = {0x7400, 0x6800, 0x4c00, 0x4200, 0x4000, 0x3c00, 0x3955,
                                0x3555, 0x2e66, 0x211f, 0x1419, 0x0100, 0x7c00};
  static const f16 inverse_eps[] = {0x6e10, 0x66a4, 0x4bfc, 0x4200, 0x4000, 0x3c00, 0x3955,
                                    0x3555, 0x2e66, 0x211f, 0x1419, 0x0100, 0x70e1};
  static const f16 sqrt_[] = {0x2000, 0x25a8, 0x3400, 0x389e, 0x39a8, 0x3c00, 0x3ce6,
                              0x3eee, 0x4253, 0x4900, 0x4fe8, 0x5c00, 0x0c00};
  static const f16 rsqrt[] = {0x5800, 0x51a8, 0x4400, 0x3eef, 0x3da8, 0x3c00, 0x3a88,
                              0x389e, 0x350f, 0x2e66, 0x280d, 0x1c00, 0x6c00};
  check_row("log", table_log, p, log_, 13);
  check_row("inverse", table_reciprocal, p, inverse, 13);
  check_row("inverse, eps 1e-4", reciprocal_eps, p, inverse_eps, 13);
  check_row("sqrt", table_sqrt, p, sqrt_, 13);
  check_row("rsqrt", table_rsqrt, p, rsqrt, 13);
}

TEST(activations_of_special_values) {
  f16 nan = 0x7e00, inf = 0x7c00, minus_inf = 0xfc00, one = 0x3c00, minus_one = 0xbc00;
  CHECK(table_sigmoid(nan) == one && table_tanh(nan) == one && table_erf(nan) == one && table_exp(nan) == inf);
  CHECK(table_sqrt(minus_one) == 0 && table_rsqrt(minus_one) == 0 && table_log(minus_one) == 0);
  CHECK(f16_to_float(table_log(0)) == -45440 && table_log(inf) == 0 && table_cos(inf) == 0);
  CHECK(table_reciprocal(0x8000) == inf && table_rsqrt(0x8000) == inf && table_sqrt(0x8000) == 0);
  CHECK(table_exp(minus_inf) == 0 && table_exp(inf) == inf && table_tanh(minus_inf) == minus_one);
  CHECK(table_gelu(inf) == inf && table_gelu(minus_inf) == 0 && table_sigmoid(minus_inf) == 0);
  CHECK(table_reciprocal(inf) == 0 && table_reciprocal(minus_inf) == 0 && table_rsqrt(inf) == 0);
  CHECK(table_atan(inf) == h(1.5703125) && table_atan(minus_inf) == h(-1.5703125));
  CHECK(table_exp(h(11.0859375)) != inf && table_exp(h(11.125)) == inf);
}

typedef struct {
  const char *name;
  f16 (*function)(f16);
  double (*exact)(double);
  double low, high;
  const char *max_abs, *max_ulp, *at; /* as printed by the published study */
  bool geometric;
} statistic;

static double exact_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double exact_gelu(double x) { return 0.5 * x * erfc(-x * M_SQRT1_2); }
static double exact_rsqrt(double x) { return 1 / sqrt(x); }
static double exact_inverse(double x) { return 1 / x; }

static void check_statistic(const statistic *s) {
  double worst_abs = 0, worst_ulp = 0, at = 0;
  f16 got_at = 0, previous = 0;
  bool first = true;
  for (int i = 0; i < 524288; i++) { /* the study's points: 524288 of a line or a geometric series, cast to fp16 */
    double t = i / 524287.0;
    f16 x = f16_from_float((float)(s->geometric ? s->low * pow(s->high / s->low, t) : s->low + (s->high - s->low) * t));
    if (!first && x == previous) continue;
    previous = x, first = false;
    f16 y = s->function(x);
    double exact = s->exact(f16_to_float(x)), error = fabs(f16_to_float(y) - exact);
    double ulp = fabs(exact) < 0x1p-14 ? 0x1p-24 : ldexp(1, ilogb(exact) - 10);
    if (error > worst_abs) worst_abs = error;
    if (error / ulp > worst_ulp) worst_ulp = error / ulp, at = f16_to_float(x), got_at = y;
  }
  char text[3][32];
  snprintf(text[0], 32, "%.3e", worst_abs);
  snprintf(text[1], 32, "%.1f", worst_ulp);
  snprintf(text[2], 32, "%.4g", at);
  printf("  %s: %s / %s @ %s (%.4g)\n", s->name, text[0], text[1], text[2], f16_to_float(got_at));
  CHECK(!strcmp(text[0], s->max_abs), "%s: %s, published %s", s->name, text[0], s->max_abs);
  CHECK(!s->max_ulp || !strcmp(text[1], s->max_ulp), "%s: %s ulp, published %s", s->name, text[1], s->max_ulp);
  CHECK(!s->at || !strcmp(text[2], s->at), "%s: at %s, published %s", s->name, text[2], s->at);
}

TEST(activation_statistics_of_the_silicon) {
  static const statistic row[] = {
      {"sigmoid", table_sigmoid, exact_sigmoid, -12, 12, "3.355e-03", "810.8", "-9.938", false},
      {"tanh", table_tanh, tanh, -6, 6, "1.613e-03", "11.0", "-0.0002403", false},
      {"gelu", table_gelu, exact_gelu, -8, 8, "6.159e-03", "12632.0", "-1.526e-05", false},
      {"exp", table_exp, exp, -12, 10, "1.008e+02", "9.1", "9.703", false},
      {"log", table_log, log, 0x1p-10, 1000, "6.638e-03", "91.0", "1.004", true},
      {"sqrt", table_sqrt, sqrt, 0x1p-10, 1000, "1.810e-02", "1.2", "0.002054", true},
      {"rsqrt", table_rsqrt, exact_rsqrt, 0x1p-6, 1000, "8.139e-03", "2.1", "0.0332", true},
      {"inverse", reciprocal_eps, exact_inverse, 0x1p-6, 1000, "4.375e-01", "13.5", "0.01587", true},
      {"erf", table_erf, erf, -4, 4, "8.642e-04", "3.0", "-0.001701", false},
      {"sin", table_sin, sin, -8, 8, "6.329e-04", NULL, NULL, false},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) check_statistic(&row[i]);
}

int main(void) {
  RUN(every_fp16_value_survives_fp32);
  RUN(rounding_at_every_midpoint);
  RUN(double_rounding_of_subnormal_products);
  RUN(mac_test_vectors);
  RUN(mac_generated_vectors);
  RUN(mac_range_bias_and_special_operands);
  RUN(elementwise_outputs_measured_on_silicon);
  RUN(indeterminate_results_are_zero);
  RUN(products_and_sums_of_all_kinds);
  RUN(reduction_probes_of_the_silicon);
  RUN(reductions_of_special_values);
  RUN(activation_test_vectors);
  RUN(activations_of_special_values);
  RUN(activation_statistics_of_the_silicon);
  return test_end();
}
