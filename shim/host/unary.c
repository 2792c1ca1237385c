#include "unary.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tables.h"

enum { ONE = 0x3c00, INF = 0x7c00 };

static double value(f16 h) { return (h & 0x7fff) > INF ? (double)INFINITY : (double)f16_to_float(h); }
static f16 half(float v) { return f16_from_float(v); }

/* -- NUM_ANE ------------------------------------------------------------------------------------------------------- */

/* silu = x * (T(x) + 1/2), T the 0.5 * tanh(x / 2) table: what the compilers for A13 emit. Inferred for later families, whose
 * own table is not known. */
static f16 silu_ane(f16 x) { return ane_mul(x, ane_add(table_half_tanh(x), 0x3800)); }

/* EXACT and TANH_APPROXIMATION are the same table; x * sigmoid(1.702 x) is composed. */
static f16 gelu_ane(f16 x, enum gelu_mode mode) {
  return mode == GELU_SIGMOID ? ane_mul(x, table_sigmoid(ane_mul(x, half(1.702f)))) : table_gelu(x);
}

/* Half away from zero; from 1024 on the native operation adds 0.5 in fp16, which moves every odd-spaced integer up. */
static double round_ane(double v) {
  return fabs(v) < 1024 ? round(v) : copysign(trunc(value(f16_rha(fabs(v) + 0.5))), v);
}

/* The native table ends where e^x overflows (ln 65504 = 11.09) and gives 0 from there on. Below: correctly rounded
 * (inferred). */
static double softplus_ane(double v) { return v >= 11.09 ? 0 : log1p(exp(v)); }

static f16 compose_ane(const unary_fn *fn, f16 x) {
  double v = value(x), alpha = fn->alpha;
  f16 a = half(fn->alpha), b = half(fn->beta);
  switch (fn->op) {
    case OP_SILU: return silu_ane(x);
    case OP_GELU: return gelu_ane(x, fn->gelu);
    case OP_SIGMOID: return table_sigmoid(x);
    case OP_TANH: return table_tanh(x);
    case OP_EXP: return table_exp(x);
    case OP_EXP2: return table_exp2(x);
    case OP_SQRT: return table_sqrt(x);
    case OP_ERF: return table_erf(x);
    case OP_ATAN: return table_atan(x);
    case OP_SIN: return table_sin(x);
    case OP_COS: return table_cos(x);
    case OP_LOG: return table_log(ane_add(x, a));
    case OP_RSQRT: return table_rsqrt(ane_add(x, a));
    case OP_INVERSE: return table_reciprocal(ane_add(x, a));
    case OP_SOFTPLUS: return f16_rha(softplus_ane(v));
    case OP_SOFTSIGN: return ane_div(x, ane_add(ONE, x & 0x7fff));
    case OP_ELU: return v >= 0 ? f16_rha(v) : f16_rha(alpha * expm1(v)); /* inferred: correctly rounded */
    case OP_SCALED_TANH: return ane_mul(a, table_tanh(ane_mul(b, x)));
    case OP_FLOOR: return f16_rha(floor(v));
    case OP_CEIL: return f16_rha(ceil(v));
    case OP_ROUND: return f16_rha(round_ane(v));
    case OP_SIGN: return v > 0 ? ONE : v < 0 ? 0x8000 | ONE : 0;
    case OP_RELU: return f16_rha(v > 0 ? v : 0);
    case OP_RELU6: return f16_rha(v > 0 ? fmin(v, 6) : 0);
    case OP_ABS: return f16_rha(fabs(v));
    case OP_SQUARE: return ane_mul(x, x);
    case OP_LEAKY_RELU: return v >= 0 ? f16_rha(v) : ane_mul(a, x);
    case OP_CLAMPED_RELU: return f16_rha(fmin(fn->beta, v >= 0 ? v : value(ane_mul(a, x))));
    case OP_THRESHOLD: return f16_rha(v > alpha ? v : alpha);
    case OP_THRESHOLDED_RELU: return f16_rha(v >= alpha ? v : 0);
    case OP_LINEAR_ACTIVATION: return ane_add(ane_mul(a, x), b);
    case OP_SIGMOID_HARD: return f16_rha(fmin(fmax(value(ane_add(ane_mul(a, x), b)), 0), 1));
    case OP_CLIP: return f16_rha(fmin(fmax(v, alpha), fn->beta));
    default: return 0;
  }
}

f16 unary_ane(const unary_fn *fn, f16 x) {
  f16 y = compose_ane(fn, x);
  return y == 0x8000 ? 0 : y; /* a function never gives -0 */
}

/* Functions the vector kernels compute without a map. */
static bool is_direct(enum mil_op_id op) {
  switch (op) {
    case OP_RELU: case OP_RELU6: case OP_ABS: case OP_SQUARE: case OP_LEAKY_RELU: case OP_CLAMPED_RELU: case OP_THRESHOLD:
    case OP_THRESHOLDED_RELU: case OP_LINEAR_ACTIVATION: case OP_SIGMOID_HARD: case OP_CLIP:
      return true;
    default: return false;
  }
}

/* -- Maps of the kernels ------------------------------------------------------------------------------------------- */

static f16 maps[MAPS][65536];

static void build_maps(void) {
  for (int x = 0; x < 65536; x++) {
    maps[MAP_RECIPROCAL][x] = table_reciprocal((f16)x);
    maps[MAP_EXP][x] = table_exp((f16)x);
    maps[MAP_LOG][x] = table_log((f16)x);
    maps[MAP_SQRT][x] = table_sqrt((f16)x);
  }
}

const f16 *kernel_map(enum kernel_map which) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, build_maps);
  return maps[which];
}

/* A negative x takes the sign of an odd whole y and is indeterminate, +0, for a y that is not whole. */
f16 ane_pow(f16 x, f16 y) {
  double v = value(x), e = value(y);
  bool whole = e == trunc(e), negative_odd = v < 0 && whole && fmod(e, 2) != 0;
  f16 r = ONE;
  if (whole && fabs(e) <= 8) {
    for (int i = 0; i < (int)fabs(e); i++) r = ane_mul(r, x);
    return e < 0 ? kernel_map(MAP_RECIPROCAL)[r] : r;
  }
  if (v < 0 && !whole) return 0;
  if (isinf(v)) r = e > 0 ? INF : 0; /* the log table says 0 there */
  else r = kernel_map(MAP_EXP)[ane_mul(y, kernel_map(MAP_LOG)[x & 0x7fff])];
  return negative_odd && r ? r | 0x8000 : r;
}

/* -- NUM_FAST ------------------------------------------------------------------------------------------------------ */

/* x / (1 + e^t), 0 where that is inf / inf */
static double over_one_plus_exp(double x, double t) {
  double e = exp(t);
  return isinf(e) ? 0 : x / (1 + e);
}

static double gelu_exact(double x, enum gelu_mode mode) {
  switch (mode) {
    case GELU_TANH: return over_one_plus_exp(x, -2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x));
    case GELU_SIGMOID: return over_one_plus_exp(x, -1.702 * x);
    default: return x == -INFINITY ? 0 : 0.5 * x * erfc(-x * M_SQRT1_2);
  }
}

float unary_fast(const unary_fn *fn, float x) {
  double v = x, a = fn->alpha, b = fn->beta;
  switch (fn->op) {
    case OP_SILU: return (float)over_one_plus_exp(v, -v);
    case OP_GELU: return (float)gelu_exact(v, fn->gelu);
    case OP_SIGMOID: return (float)(1 / (1 + exp(-v)));
    case OP_TANH: return (float)tanh(v);
    case OP_EXP: return (float)exp(v);
    case OP_EXP2: return (float)exp2(v);
    case OP_SQRT: return (float)sqrt(v);
    case OP_ERF: return (float)erf(v);
    case OP_ATAN: return (float)atan(v);
    case OP_SIN: return (float)sin(v);
    case OP_COS: return (float)cos(v);
    case OP_LOG: return logf(x + fn->alpha);
    case OP_RSQRT: return 1 / sqrtf(x + fn->alpha);
    case OP_INVERSE: return 1 / (x + fn->alpha);
    case OP_SOFTPLUS: return (float)(fmax(v, 0) + log1p(exp(-fabs(v))));
    case OP_SOFTSIGN: return (float)(v / (1 + fabs(v)));
    case OP_ELU: return (float)(v >= 0 ? v : a * expm1(v));
    case OP_SCALED_TANH: return (float)(a * tanh(b * v));
    case OP_FLOOR: return floorf(x);
    case OP_CEIL: return ceilf(x);
    case OP_ROUND: return roundf(x);
    case OP_SIGN: return (float)((v > 0) - (v < 0));
    case OP_RELU: return v > 0 || v != v ? x : 0;
    case OP_RELU6: return v > 0 || v != v ? (v > 6 ? 6 : x) : 0;
    case OP_ABS: return fabsf(x);
    case OP_SQUARE: return x * x;
    case OP_LEAKY_RELU: return v >= 0 ? x : fn->alpha * x;
    case OP_CLAMPED_RELU: return (float)(v >= 0 ? (v > b ? b : v) : (a * v > b ? b : a * v));
    case OP_THRESHOLD: return v > a || v != v ? x : fn->alpha;
    case OP_THRESHOLDED_RELU: return v >= a || v != v ? x : 0;
    case OP_LINEAR_ACTIVATION: return fn->alpha * x + fn->beta;
    case OP_SIGMOID_HARD: v = a * v + b; return (float)(v < 0 ? 0 : v > 1 ? 1 : v);
    case OP_CLIP: return v < a ? fn->alpha : v > b ? fn->beta : x;
    default: return 0;
  }
}

/* -- The process-wide cache ---------------------------------------------------------------------------------------- */

f16 unary_apply(const unary_fn *fn, f16 x) {
  if (fn->profile.mode == NUM_FAST) return f16_from_float(unary_fast(fn, f16_to_float(x)));
  return fn->map ? fn->map[x] : unary_ane(fn, x);
}

static bool is_unary(enum mil_op_id op) {
  return op >= OP_RELU && op <= OP_CLIP && op != OP_LOGICAL_NOT;
}

static enum gelu_mode parse_gelu(const char *mode) {
  if (mode && !strcmp(mode, "TANH_APPROXIMATION")) return GELU_TANH;
  if (mode && !strcmp(mode, "SIGMOID_APPROXIMATION")) return GELU_SIGMOID;
  return GELU_EXACT;
}

static bool same_float(float a, float b) { return !memcmp(&a, &b, sizeof a); }

static bool same(const unary_fn *a, const unary_fn *b) {
  return a->op == b->op && same_float(a->alpha, b->alpha) && same_float(a->beta, b->beta) && a->gelu == b->gelu &&
         a->profile.mode == b->profile.mode && a->profile.family == b->profile.family &&
         a->profile.winograd == b->profile.winograd;
}

static unary_fn *make(const unary_fn *key) {
  unary_fn *fn = malloc(sizeof *fn);
  if (!fn) return NULL;
  *fn = *key;
  if (key->profile.mode == NUM_FAST || is_direct(key->op)) return fn;
  f16 *map = malloc(65536 * sizeof *map);
  if (!map) {
    free(fn);
    return NULL;
  }
  for (int x = 0; x < 65536; x++) map[x] = unary_ane(fn, (f16)x);
  fn->map = map;
  return fn;
}

const unary_fn *unary_get(enum mil_op_id op, float alpha, float beta, const char *mode, num_profile profile) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static unary_fn *known;
  if (!is_unary(op)) return NULL;
  unary_fn key = {.op = op, .alpha = alpha, .beta = beta, .gelu = parse_gelu(mode), .profile = profile};
  if (profile.mode == NUM_ANE) {
    key.alpha = f16_to_float(half(alpha));
    key.beta = f16_to_float(half(beta));
  }
  pthread_mutex_lock(&lock);
  unary_fn *fn = known;
  while (fn && !same(fn, &key)) fn = fn->next;
  if (!fn && (fn = make(&key))) {
    fn->next = known;
    known = fn;
  }
  pthread_mutex_unlock(&lock);
  return fn;
}
