/* gemm_ref.c - what the matrix product and convolution kernels compute, one output at a time. A unit here is an equal share
 * of the outputs, so ranges of units cover them whatever the kernels' own cut is. */
#include <math.h>

#include "conv.h"

/* The accumulator: units of 2^-16 from the bias on, +-inf for good at 2^15 (NUM_ANE), or fp32 (NUM_FAST). */
typedef struct {
  bool ane;
  int64_t units;
  int sat;
  float value;
} ref_sum;

static void ref_limit(ref_sum *s) {
  if (s->sat || (s->units < 1ll << 31 && s->units > -(1ll << 31))) return;
  s->sat = s->units < 0 ? -1 : 1;
}

static ref_sum ref_start(num_profile profile, const f16 *bias) {
  ref_sum s = {.ane = profile.mode == NUM_ANE};
  if (!bias) return s;
  if (!s.ane) {
    s.value = f16_to_float(*bias);
    return s;
  }
  int field = *bias >> 10 & 31;
  double magnitude = ldexp(field ? 1024 + (*bias & 1023) : *bias & 1023, (field ? field : 1) - 25);
  s.units = (int64_t)floor(magnitude * 65536 + 0.5);
  if (*bias >> 15) s.units = -s.units;
  ref_limit(&s);
  return s;
}

static void ref_add(ref_sum *s, f16 x, f16 w) {
  if (!s->ane) {
    s->value += f16_to_float(x) * f16_to_float(w); /* the product is exact */
    return;
  }
  if (s->sat) return;
  s->units += mac_product(x, w);
  ref_limit(s);
}

static double ref_units(const ref_sum *s) { return s->sat ? s->sat * (double)INFINITY : (double)s->units; }

static float ref_round(double units) { return f16_to_float(f16_rha(units * 0x1p-16)); }

static float ref_value(const ref_sum *s) { return s->ane ? ref_round(ref_units(s)) : s->value; }

static void ref_emit(const ew_args *epilogue, int reg, f16 *y, int64_t flat, float value, void *scratch) {
  if (epilogue) ew_run_tile(epilogue, flat, 1, &value, reg, scratch);
  else y[flat] = f16_from_float(value);
}

/* -- Matrix product -------------------------------------------------------------------------------------------------------- */

static float gemm_element(const gemm_args *g, int64_t flat) {
  int64_t col = flat % g->n, row = flat / g->n % g->m, batch = flat / g->n / g->m;
  const f16 *x = g->x + row * g->x_row, *w = g->w + col * g->w_col;
  for (int d = g->batch_rank - 1; d >= 0; d--) {
    x += batch % g->batch_dim[d] * g->x_batch[d];
    w += batch % g->batch_dim[d] * g->w_batch[d];
    batch /= g->batch_dim[d];
  }
  const f16 *bias = g->bias_axis < 0 ? NULL : g->bias_axis == 0 ? &g->bias[row] : &g->bias[col];
  ref_sum s = ref_start(g->profile, bias);
  for (int64_t k = 0; k < g->k; k++) ref_add(&s, x[k * g->x_col], w[k * g->w_row]);
  return ref_value(&s);
}

void gemm_run_ref(const gemm_args *g, int64_t first, int64_t last, void *scratch) {
  int64_t units = gemm_units(g), total = g->batch * g->m * g->n;
  for (int64_t flat = total * first / units; flat < total * last / units; flat++)
    ref_emit(g->epilogue ? &g->epilogue_args : NULL, g->epilogue_reg, g->y, flat, gemm_element(g, flat), scratch);
}

/* -- Convolution ----------------------------------------------------------------------------------------------------------- */

typedef struct {
  int64_t image, co, oy, ox, group, co_group;
  const f16 *x; /* first input channel of the group */
} output_at;

static output_at locate(const conv_args *c, int64_t flat) {
  output_at o = {.ox = flat % c->ow, .oy = flat / c->ow % c->oh, .co = flat / conv_pixels(c) % c->cout,
                 .image = flat / conv_pixels(c) / c->cout};
  o.group = o.co / conv_group_out(c);
  o.co_group = o.co % conv_group_out(c);
  o.x = c->x + (o.image * c->cin + o.group * conv_group_in(c)) * c->h * c->w;
  return o;
}

static f16 input_at(const conv_args *c, const output_at *o, int64_t ci, int64_t iy, int64_t ix) {
  return iy < 0 || ix < 0 || iy >= c->h || ix >= c->w ? 0 : o->x[(ci * c->h + iy) * c->w + ix];
}

/* The input under a tap; a transposed convolution has one where the strides divide. */
static f16 tap_input(const conv_args *c, const output_at *o, int64_t ci, int64_t ky, int64_t kx) {
  if (!c->transpose)
    return input_at(c, o, ci, o->oy * c->stride_h - c->pad_top + ky * c->dilation_h,
                    o->ox * c->stride_w - c->pad_left + kx * c->dilation_w);
  int64_t y = o->oy + c->pad_top - ky * c->dilation_h, x = o->ox + c->pad_left - kx * c->dilation_w;
  if (y < 0 || x < 0 || y % c->stride_h || x % c->stride_w) return 0;
  return input_at(c, o, ci, y / c->stride_h, x / c->stride_w);
}

static const f16 *weights_at(const conv_args *c, const output_at *o, int64_t ci) {
  if (!c->transpose) return c->weight + (o->co * conv_group_in(c) + ci) * conv_taps(c);
  return c->weight + ((o->group * conv_group_in(c) + ci) * conv_group_out(c) + o->co_group) * conv_taps(c);
}

static float direct_element(const conv_args *c, const output_at *o) {
  ref_sum s = ref_start(c->profile, c->has_bias ? &c->bias[o->co] : NULL);
  for (int64_t ci = 0; ci < conv_group_in(c); ci++) {
    const f16 *w = weights_at(c, o, ci);
    for (int64_t ky = 0; ky < c->kh; ky++)
      for (int64_t kx = 0; kx < c->kw; kx++) ref_add(&s, tap_input(c, o, ci, ky, kx), w[ky * c->kw + kx]);
  }
  return ref_value(&s);
}

static float winograd_element(const conv_args *c, const output_at *o) {
  double m[4], out[2];
  for (int j = 0; j < 4; j++) {
    ref_sum s = ref_start(c->profile, c->has_bias && j == 1 ? &c->bias[o->co] : NULL);
    for (int64_t ci = 0; ci < conv_group_in(c); ci++) {
      for (int64_t ky = 0; ky < c->kh; ky++) {
        f16 d[4];
        for (int i = 0; i < 4; i++)
          d[i] = input_at(c, o, ci, o->oy - c->pad_top + ky, o->ox / 2 * 2 - c->pad_left + i);
        ref_add(&s, conv_winograd_input(d, j), conv_winograd_weight(weights_at(c, o, ci) + ky * 3, j));
      }
    }
    m[j] = ref_units(&s);
  }
  conv_winograd_output(m, out);
  return ref_round(out[o->ox % 2]);
}

static float scale_element(const conv_args *c, const output_at *o) {
  f16 y = ane_mul(tap_input(c, o, 0, 0, 0), c->weight[o->co]);
  return f16_to_float(c->has_bias ? ane_add(y, c->bias[o->co]) : y);
}

void conv_run_ref(const conv_args *c, int64_t first, int64_t last, void *scratch) {
  int64_t units = conv_units(c), total = c->n * c->cout * conv_pixels(c);
  enum conv_kind kind = conv_kind_of(c);
  for (int64_t flat = total * first / units; flat < total * last / units; flat++) {
    output_at o = locate(c, flat);
    float value = kind == CONV_SCALE      ? scale_element(c, &o)
                  : kind == CONV_WINOGRAD ? winograd_element(c, &o)
                                          : direct_element(c, &o);
    ref_emit(c->epilogue ? &c->epilogue_args : NULL, c->epilogue_reg, c->y, flat, value, scratch);
  }
}
