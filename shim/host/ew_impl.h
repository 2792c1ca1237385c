/* ew_impl.h - the tile interpreter of elementwise programs, a template over simd.h. The including file defines EW_TILE_FN. */
#include "ew.h"
#include "fastmath.h"
#include "unary.h"

/* -- Loads --------------------------------------------------------------------------------------------------------- */

/* 16-bit integers become fp16 as they are read: above 2048 they are rounded to the nearest, ties to even. */
static float half_integer(int v) { return f16_to_float(f16_from_float((float)v)); }

static float load_one(enum mil_dtype dtype, const void *base, int64_t at, bool ane) {
  switch (dtype) {
    case MIL_BOOL: return ((const uint8_t *)base)[at] != 0;
    case MIL_UINT8: return ((const uint8_t *)base)[at];
    case MIL_INT8: return ((const int8_t *)base)[at];
    case MIL_INT16: return half_integer(((const int16_t *)base)[at]);
    case MIL_UINT16: return half_integer(((const uint16_t *)base)[at]);
    default: {
      float v = f16_to_float(((const f16 *)base)[at]);
      return ane && v != v ? INFINITY : v;
    }
  }
}

/* n values stride apart */
static void load_run(float *d, enum mil_dtype dtype, const void *base, int64_t at, int64_t stride, int64_t n, bool ane) {
  if (stride == 0) {
    float v = load_one(dtype, base, at, ane);
    for (int64_t i = 0; i < n; i++) d[i] = v;
  } else if (dtype == MIL_FP16 && stride == 1) {
    load_halves(d, (const f16 *)base + at, n, ane);
  } else if (dtype == MIL_FP16) {
    f16 part[VW];
    for (int64_t i = 0; i < n; i += VW) {
      int64_t m = n - i < VW ? n - i : VW;
      for (int64_t j = 0; j < m; j++) part[j] = ((const f16 *)base)[at + (i + j) * stride];
      load_halves(d + i, part, m, ane);
    }
  } else if (dtype == MIL_INT16 || dtype == MIL_UINT16) {
    for (int64_t i = 0; i < n; i++) d[i] = load_one(dtype, base, at + i * stride, ane);
  } else if (dtype == MIL_INT8) {
    for (int64_t i = 0; i < n; i++) d[i] = ((const int8_t *)base)[at + i * stride];
  } else if (dtype == MIL_BOOL) {
    for (int64_t i = 0; i < n; i++) d[i] = ((const uint8_t *)base)[at + i * stride] != 0;
  } else {
    for (int64_t i = 0; i < n; i++) d[i] = ((const uint8_t *)base)[at + i * stride];
  }
}

/* Row by row of the innermost merged dimension; a run's overshoot is overwritten by the next. A row that repeats is loaded
 * once. */
static void load_port(float *d, enum mil_dtype dtype, const void *base, const ew_view *v, int64_t begin, int64_t n, bool ane) {
  if (v->rank <= 1) {
    int64_t stride = v->rank ? v->stride[0] : 0;
    load_run(d, dtype, base, begin * stride, stride, n, ane);
    return;
  }
  int last = v->rank - 1;
  int64_t index[K_RANK], at = 0, rest = begin;
  for (int k = last; k >= 0; k--) {
    index[k] = rest % v->dim[k];
    rest /= v->dim[k];
    at += index[k] * v->stride[k];
  }
  int64_t period = v->rank == 2 && v->stride[0] == 0 ? v->dim[1] : n, filled = period < n ? period : n;
  for (int64_t i = 0; i < filled;) {
    int64_t run = v->dim[last] - index[last] < filled - i ? v->dim[last] - index[last] : filled - i;
    load_run(d + i, dtype, base, at, v->stride[last], run, ane);
    i += run;
    index[last] += run;
    at += run * v->stride[last];
    for (int k = last; k > 0 && index[k] == v->dim[k]; k--) {
      at += v->stride[k - 1] - v->dim[k] * v->stride[k];
      index[k] = 0;
      index[k - 1]++;
    }
  }
  for (; filled < n; filled *= 2) /* whole periods so far */
    memcpy(d + filled, d, (size_t)(n - filled < filled ? n - filled : filled) * sizeof *d);
}

/* -- Stores -------------------------------------------------------------------------------------------------------- */

/* Toward zero, to the nearest end of the range; NaN is 0. */
static inline int to_integer(float v, int low, int high) {
  if (v != v) return 0;
  return v > (float)low ? (v < (float)high ? (int)v : high) : low;
}

static void store_port(void *base, enum mil_dtype dtype, int64_t begin, const float *s, int64_t n) {
  switch (dtype) {
    case MIL_BOOL:
      for (int64_t i = 0; i < n; i++) ((uint8_t *)base)[begin + i] = s[i] != 0;
      return;
    case MIL_UINT8:
      for (int64_t i = 0; i < n; i++) ((uint8_t *)base)[begin + i] = (uint8_t)to_integer(s[i], 0, 255);
      return;
    case MIL_INT8:
      for (int64_t i = 0; i < n; i++) ((int8_t *)base)[begin + i] = (int8_t)to_integer(s[i], -128, 127);
      return;
    case MIL_INT16:
      for (int64_t i = 0; i < n; i++) ((int16_t *)base)[begin + i] = (int16_t)to_integer(s[i], -32768, 32767);
      return;
    case MIL_UINT16:
      for (int64_t i = 0; i < n; i++) ((uint16_t *)base)[begin + i] = (uint16_t)to_integer(s[i], 0, 65535);
      return;
    default: break;
  }
  store_halves((f16 *)base + begin, s, n);
}

/* -- Instructions -------------------------------------------------------------------------------------------------- */

/* d = expression of x (and y), for the whole tile; then the function is done. */
#define EACH(expression)                   \
  {                                        \
    for (int64_t i = 0; i < n; i += VW) {  \
      vf x = vf_load(a + i);               \
      vf_store(d + i, expression);         \
    }                                      \
    return;                                \
  }

#define EACH2(expression)                             \
  {                                                   \
    for (int64_t i = 0; i < n; i += VW) {             \
      vf x = vf_load(a + i), y = vf_load(b + i);      \
      vf_store(d + i, expression);                    \
    }                                                 \
    return;                                           \
  }

static inline vf truth(vi mask) { return vf_and(mask, vf_set(1)); }

static void unary_ane_tile(const unary_fn *fn, const float *a, float *d, int64_t n) {
  const vf alpha = vf_set(fn->alpha), beta = vf_set(fn->beta), zero = {0}, one = vf_set(1), six = vf_set(6);
  if (fn->map) EACH(vf_map(fn->map, x));
  switch (fn->op) { /* "+ zero" makes -0 +0 */
    case OP_RELU: EACH(ane_vmax(x, zero));
    case OP_RELU6: EACH(ane_vmin(ane_vmax(x, zero), six));
    case OP_ABS: EACH(vf_abs(x));
    case OP_SQUARE: EACH(ane_vmul(x, x));
    case OP_LEAKY_RELU: EACH(vf_select((vi)(x >= zero), x, ane_vmul(alpha, x)) + zero);
    case OP_CLAMPED_RELU: EACH(ane_vmin(vf_select((vi)(x >= zero), x, ane_vmul(alpha, x)), beta) + zero);
    case OP_THRESHOLD: EACH(ane_vmax(x, alpha) + zero);
    case OP_THRESHOLDED_RELU: EACH(vf_and((vi)(x >= alpha), x) + zero);
    case OP_LINEAR_ACTIVATION: EACH(ane_vadd(ane_vmul(alpha, x), beta) + zero);
    case OP_SIGMOID_HARD: EACH(ane_vmin(ane_vmax(ane_vadd(ane_vmul(alpha, x), beta), zero), one));
    case OP_CLIP: EACH(ane_vmin(ane_vmax(x, alpha), beta) + zero);
    default: EACH(x);
  }
}

static void unary_fast_tile(const unary_fn *fn, const float *a, float *d, int64_t n) {
  const vf alpha = vf_set(fn->alpha), beta = vf_set(fn->beta), zero = {0}, one = vf_set(1), six = vf_set(6);
  switch (fn->op) {
    case OP_RELU: EACH(vf_select((vi)(x <= zero), zero, x));
    case OP_RELU6: EACH(vf_select((vi)(x <= zero), zero, vf_select((vi)(x > six), six, x)));
    case OP_SILU: EACH(fm_silu(x));
    case OP_GELU:
      if (fn->gelu == GELU_TANH) EACH(fm_gelu_tanh(x));
      if (fn->gelu == GELU_SIGMOID) EACH(fm_gelu_sigmoid(x));
      EACH(fm_gelu(x));
    case OP_SIGMOID: EACH(fm_sigmoid(x));
    case OP_TANH: EACH(fm_tanh(x));
    case OP_EXP: EACH(fm_exp(x));
    case OP_EXP2: EACH(fm_exp2(x));
    case OP_SQRT: EACH(vf_sqrt(x));
    case OP_ABS: EACH(vf_abs(x));
    case OP_SQUARE: EACH(x * x);
    case OP_SIN: EACH(fm_wave(x, 0));
    case OP_COS: EACH(fm_wave(x, 1));
    case OP_ERF: EACH(fm_erf(x));
    case OP_SOFTPLUS: EACH(fm_softplus(x));
    case OP_SOFTSIGN: EACH(x / (1.0f + vf_abs(x)));
    case OP_ATAN: EACH(fm_atan(x));
    case OP_FLOOR: EACH(fm_floor(x));
    case OP_CEIL: EACH(fm_ceil(x));
    case OP_ROUND: EACH(fm_round(x));
    case OP_SIGN: EACH(truth((vi)(x > zero)) - truth((vi)(x < zero)));
    case OP_LOG: EACH(fm_log(x + alpha));
    case OP_RSQRT: EACH(1.0f / vf_sqrt(x + alpha));
    case OP_INVERSE: EACH(1.0f / (x + alpha));
    case OP_ELU: EACH(vf_select((vi)(x >= zero), x, alpha * fm_expm1(x)));
    case OP_LEAKY_RELU: EACH(vf_select((vi)(x >= zero), x, alpha * x));
    case OP_CLAMPED_RELU:
      EACH(vf_select((vi)(vf_select((vi)(x >= zero), x, alpha * x) > beta), beta, vf_select((vi)(x >= zero), x, alpha * x)));
    case OP_THRESHOLD: EACH(vf_select((vi)(x <= alpha), alpha, x));
    case OP_THRESHOLDED_RELU: EACH(vf_select((vi)(x < alpha), zero, x));
    case OP_SCALED_TANH: EACH(alpha * fm_tanh(beta * x));
    case OP_SIGMOID_HARD:
      EACH(vf_select((vi)(alpha * x + beta < zero), zero, vf_select((vi)(alpha * x + beta > one), one, alpha * x + beta)));
    case OP_LINEAR_ACTIVATION: EACH(alpha * x + beta);
    case OP_CLIP: EACH(vf_select((vi)(x < alpha), alpha, vf_select((vi)(x > beta), beta, x)));
    default: EACH(x);
  }
}

/* Small whole exponents, the usual case, one for the whole tile: products. */
static void pow_ane_tile(const float *a, const float *b, float *d, int64_t n) {
  bool uniform = true;
  for (int64_t i = 1; i < n && uniform; i++) uniform = b[i] == b[0];
  if (uniform && (b[0] == 2 || b[0] == 3)) {
    bool cube = b[0] == 3;
    EACH(cube ? ane_vmul(ane_vmul(x, x), x) : ane_vmul(x, x));
  }
  for (int64_t i = 0; i < n; i++) d[i] = f16_to_float(ane_pow(f16_from_float(a[i]), f16_from_float(b[i])));
}

/* Comparisons, selection: the same in both modes. */
static void step_common(const ew_instr *s, const float *a, const float *b, const float *c, float *d, int64_t n) {
  switch (s->code) {
    case EW_GT: EACH2(truth((vi)(x > y)));
    case EW_GE: EACH2(truth((vi)(x >= y)));
    case EW_LT: EACH2(truth((vi)(x < y)));
    case EW_LE: EACH2(truth((vi)(x <= y)));
    case EW_EQ: EACH2(truth((vi)(x == y)));
    case EW_NE: EACH2(truth((vi)(x != y)));
    case EW_NOT: EACH(truth((vi)(x == 0.0f)));
    case EW_SELECT: EACH2(vf_select((vi)(x != 0.0f), y, vf_load(c + i)));
    default: EACH(x);
  }
}

static void step_ane(const ew_instr *s, const float *a, const float *b, const float *c, float *d, int64_t n) {
  switch (s->code) {
    case EW_ADD: EACH2(ane_vadd(x, y));
    case EW_SUB: EACH2(ane_vsub(x, y));
    case EW_MUL: EACH2(ane_vmul(x, y));
    case EW_DIV: {
      const f16 *reciprocal = kernel_map(MAP_RECIPROCAL);
      EACH2(ane_vmul(x, vf_map(reciprocal, y)));
    }
    case EW_MAX: EACH2(ane_vmax(x, y));
    case EW_MIN: EACH2(ane_vmin(x, y));
    case EW_POW: pow_ane_tile(a, b, d, n); return;
    case EW_UNARY: unary_ane_tile(s->fn, a, d, n); return;
    default: step_common(s, a, b, c, d, n);
  }
}

static void step_fast(const ew_instr *s, const float *a, const float *b, const float *c, float *d, int64_t n) {
  switch (s->code) {
    case EW_ADD: EACH2(x + y);
    case EW_SUB: EACH2(x - y);
    case EW_MUL: EACH2(x * y);
    case EW_DIV: EACH2(x / y);
    case EW_MAX: EACH2(vf_select((vi)(x > y) | (vi)(x != x), x, y));
    case EW_MIN: EACH2(vf_select((vi)(x < y) | (vi)(x != x), x, y));
    case EW_POW: EACH2(fm_pow(x, y));
    case EW_UNARY: unary_fast_tile(s->fn, a, d, n); return;
    default: step_common(s, a, b, c, d, n);
  }
}

void EW_TILE_FN(const ew_tile *t) {
  const ew_program *p = t->args->program;
  const bool ane = p->profile.mode == NUM_ANE;
  if (t->preloaded) {
    float *d = t->registers + t->preloaded_reg * EW_REG_STRIDE;
    memcpy(d, t->preloaded, (size_t)t->n * sizeof *d);
    memset(d + t->n, 0, VW * sizeof *d);
  }
  for (int i = 0; i < p->n_in; i++) {
    float *d = t->registers + p->in[i].reg * EW_REG_STRIDE;
    load_port(d, p->in[i].dtype, t->args->in[i], &t->view[i], t->begin, t->n, ane);
    for (int64_t k = t->n; k % VW; k++) d[k] = 0;
  }
  for (int i = 0; i < p->n_instr; i++) {
    const ew_instr *s = &p->instr[i];
    const float *a = t->registers + s->a * EW_REG_STRIDE, *b = t->registers + s->b * EW_REG_STRIDE;
    const float *c = t->registers + s->c * EW_REG_STRIDE;
    float *d = t->registers + s->dst * EW_REG_STRIDE;
    if (ane) step_ane(s, a, b, c, d, t->n);
    else step_fast(s, a, b, c, d, t->n);
  }
  for (int i = 0; i < p->n_out; i++)
    store_port(t->args->out[i], p->out[i].dtype, t->begin, t->registers + p->out[i].reg * EW_REG_STRIDE, t->n);
}

#undef EACH
#undef EACH2
