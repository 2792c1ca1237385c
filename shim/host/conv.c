/* conv.c - convolution as a matrix product whose right panels are packed straight from the NCHW input. */
#include "conv.h"
#include "gemm_compressed.h"

#include <stdlib.h>
#include <string.h>

enum conv_kind conv_kind_of(const conv_args *c) {
  bool ane = c->profile.mode == NUM_ANE, unit_step = c->stride_h == 1 && c->stride_w == 1 && c->dilation_h == 1 &&
                                                     c->dilation_w == 1;
  bool no_pad = !c->pad_top && !c->pad_bottom && !c->pad_left && !c->pad_right;
  if (c->transpose) return CONV_DIRECT;
  if (ane && conv_group_in(c) == 1 && conv_taps(c) == 1) return CONV_SCALE;
  bool depthwise = c->groups > 1 && c->groups == c->cin;
  /* Published for 3x3; compiler traces show the same task field for 1x3 and not for depthwise. */
  if (ane && c->profile.winograd && c->kw == 3 && (c->kh == 3 || c->kh == 1) && unit_step && !depthwise)
    return CONV_WINOGRAD;
  if (c->groups == 1 && conv_pixels(c) == 1 && no_pad && c->kh == c->h && c->kw == c->w && unit_step) return CONV_LINEAR;
  return CONV_DIRECT;
}

gemm_args conv_as_gemm(const conv_args *c) {
  int64_t k = conv_k(c);
  return (gemm_args){.profile = c->profile, .batch = 1, .m = c->n, .n = c->cout, .k = k, .x_row = k, .x_col = 1, .w_row = 1,
                     .w_col = k, .bias_axis = c->has_bias ? 1 : -1, .packed_w = c->packed_w, .codes = c->codes, .epilogue = c->epilogue,
                     .epilogue_reg = c->epilogue_reg, .x = c->x, .w = c->weight, .bias = c->bias, .y = c->y,
                     .epilogue_args = c->epilogue_args};
}

gemm_block conv_block(const conv_args *c, const gemm_kernels *kern, int64_t image, int64_t group) {
  int64_t rows = conv_group_out(c), pixels = conv_pixels(c);
  return (gemm_block){.kern = kern, .ane = c->profile.mode == NUM_ANE, .chunk = GEMM_KC, .y = c->y, .y_row = pixels,
                      .y_flat = (image * c->cout + group * rows) * pixels,
                      .epilogue = c->epilogue ? &c->epilogue_args : NULL, .epilogue_reg = c->epilogue_reg};
}

/* -- Patches --------------------------------------------------------------------------------------------------------------- */

void conv_copy_row(const f16 *row, int64_t w, int64_t ix0, int64_t step, int64_t n, uint16_t *out) {
  if (row && step == 1 && ix0 >= 0 && ix0 + n <= w) {
    if (n == GEMM_MAX_NR) memcpy(out, row + ix0, GEMM_MAX_NR * sizeof(f16));
    else memcpy(out, row + ix0, (size_t)n * sizeof(f16));
    return;
  }
  int64_t lo = ix0 < 0 ? gemm_ceil_div(-ix0, step) : 0, hi = w > ix0 ? gemm_ceil_div(w - ix0, step) : 0;
  if (!row) lo = hi = n;
  lo = gemm_min(lo, n);
  hi = gemm_min(hi, n);
  int64_t i = 0;
  for (; i < lo; i++) out[i] = 0;
  for (; i < hi; i++) out[i] = row[ix0 + i * step];
  for (; i < n; i++) out[i] = 0;
}

int conv_runs(int64_t ow, int64_t first, int64_t n, conv_run_of *out) {
  int count = 0;
  int64_t oy = first / ow, ox = first % ow;
  for (int64_t at = 0; at < n; oy++, ox = 0) {
    int64_t length = gemm_min(n - at, ow - ox);
    out[count++] = (conv_run_of){(int)at, (int)length, oy, ox};
    at += length;
  }
  return count;
}

/* Gather form of the transposed convolution: output (oy, ox) reads input ((oy + pad - ky*dilation) / stride, ..) where the
 * division is exact, else zero. The zeros are products of 0, so sum and saturation see the same values in the same order of
 * (channel, ky, kx) as a scatter would give; whether the silicon keeps that order is not known. */
static void copy_transposed(const conv_args *c, const f16 *plane, int64_t ky, int64_t kx, const conv_run_of *run,
                            uint16_t *out) {
  memset(out, 0, (size_t)run->n * sizeof(f16));
  int64_t y = run->oy + c->pad_top - ky * c->dilation_h, x = run->ox + c->pad_left - kx * c->dilation_w;
  if (y < 0 || y % c->stride_h || y / c->stride_h >= c->h) return;
  const f16 *row = plane + y / c->stride_h * c->w;
  int64_t i = x < 0 ? -x : (c->stride_w - x % c->stride_w) % c->stride_w;
  for (int64_t ix = (x + i) / c->stride_w; i < run->n && ix < c->w; i += c->stride_w, ix++) out[i] = row[ix];
}

typedef struct {
  const conv_args *args;
  const f16 *x; /* first input channel of the group in the image */
  int64_t ci, ky, kx;
} patches;

static patches patches_at(const gemm_source *s, int64_t k) {
  patches p = *(const patches *)s->ctx;
  int64_t taps = conv_taps(p.args), tap = k % taps;
  p.ci = k / taps;
  p.ky = tap / p.args->kw;
  p.kx = tap % p.args->kw;
  return p;
}

static void next_tap(patches *p) {
  if (++p->kx < p->args->kw) return;
  p->kx = 0;
  if (++p->ky < p->args->kh) return;
  p->ky = 0;
  p->ci++;
}

static const f16 *plane_of(const patches *p) { return p->x + p->ci * p->args->h * p->args->w; }

static void zero_rest(uint16_t *to, int64_t count, int width) {
  for (int64_t i = count; i < width; i++) to[i] = 0;
}

static void get_patches(const gemm_source *s, int64_t first, int64_t count, int width, int64_t k0, int64_t kc, uint16_t *v,
                        uint8_t *k_min, gemm_panel *out) {
  patches p = patches_at(s, k0);
  const conv_args *c = p.args;
  conv_run_of run[GEMM_MAX_NR];
  int runs = conv_runs(c->ow, first, count, run);
  uint16_t *to = v;
  for (int64_t k = 0; k < kc; k++, to += width, next_tap(&p)) {
    const f16 *plane = plane_of(&p);
    for (int r = 0; r < runs; r++) {
      if (c->transpose) {
        copy_transposed(c, plane, p.ky, p.kx, &run[r], to + run[r].at);
        continue;
      }
      int64_t iy = run[r].oy * c->stride_h - c->pad_top + p.ky * c->dilation_h;
      int64_t ix = run[r].ox * c->stride_w - c->pad_left + p.kx * c->dilation_w;
      conv_copy_row(iy < 0 || iy >= c->h ? NULL : plane + iy * c->w, c->w, ix, c->stride_w, run[r].n, to + run[r].at);
    }
    zero_rest(to, count, width);
  }
  gemm_panel_done(s, v, width, kc, k_min, out);
}

/* Images narrower than a panel: the rows a panel sees of one channel, padding included, go to a window once; every tap then
 * is the same copy at another offset. Copies run over the end by less than 8 values, into what is written next. */
enum { WINDOW = 4096 };

static int64_t window_width(const conv_args *c) { return c->ow + (c->kw - 1) * c->dilation_w; }

static int64_t window_rows(const conv_args *c, int64_t output_rows) {
  return (output_rows - 1) * c->stride_h + (c->kh - 1) * c->dilation_h + 1;
}

static bool fits_window(const conv_args *c, int nr) {
  return !c->transpose && c->stride_w == 1 && c->ow < nr &&
         window_rows(c, gemm_min(c->oh, nr / c->ow + 2)) * window_width(c) + 8 <= WINDOW;
}

static void get_narrow_patches(const gemm_source *s, int64_t first, int64_t count, int width, int64_t k0, int64_t kc,
                               uint16_t *v, uint8_t *k_min, gemm_panel *out) {
  patches p = patches_at(s, k0);
  const conv_args *c = p.args;
  uint16_t window[WINDOW];
  conv_run_of run[GEMM_MAX_NR];
  int runs = conv_runs(c->ow, first, count, run);
  int64_t across = window_width(c), top = run[0].oy * c->stride_h - c->pad_top, loaded = -1;
  int64_t rows = window_rows(c, run[runs - 1].oy - run[0].oy + 1);
  memset(window + rows * across, 0, 8 * sizeof *window);
  uint16_t *to = v;
  for (int64_t k = 0; k < kc; k++, to += width, next_tap(&p)) {
    for (int64_t r = 0; p.ci != loaded && r < rows; r++) {
      int64_t iy = top + r;
      conv_copy_row(iy < 0 || iy >= c->h ? NULL : plane_of(&p) + iy * c->w, c->w, -c->pad_left, 1, across,
                    window + r * across);
    }
    loaded = p.ci;
    const uint16_t *from = window + p.ky * c->dilation_h * across + p.kx * c->dilation_w;
    for (int r = 0; r < runs; r++) {
      const uint16_t *src = from + (run[r].oy - run[0].oy) * c->stride_h * across + run[r].ox;
      for (int i = 0; i < run[r].n; i += 8) memcpy(to + run[r].at + i, src + i, 8 * sizeof *src);
    }
    zero_rest(to, count, width);
  }
  gemm_panel_done(s, v, width, kc, k_min, out);
}

/* -- Weights --------------------------------------------------------------------------------------------------------------- */

/* Transposed: [cin, cout/groups, kh, kw]; base is the first input channel of the group. */
static void get_transposed_weights(const gemm_source *s, int64_t first, int64_t count, int width, int64_t k0, int64_t kc,
                                   uint16_t *v, uint8_t *k_min, gemm_panel *out) {
  const conv_args *c = s->ctx;
  int64_t taps = conv_taps(c), per_channel = conv_group_out(c) * taps;
  for (int64_t k = 0; k < kc; k++) {
    const f16 *src = s->base + (k0 + k) / taps * per_channel + (k0 + k) % taps;
    gemm_pack(src + first * taps, taps, 1, count, width, 1, v + k * width);
  }
  gemm_panel_done(s, v, width, kc, k_min, out);
}

static gemm_source weights_of(const conv_args *c, int64_t group, bool ane) {
  int64_t k = conv_k(c), rows = conv_group_out(c);
  const f16 *base = c->weight + group * rows * k; /* both layouts hold rows * k values per group */
  if (!c->transpose) return gemm_source_strided(base, k, 1, ane, false);
  return (gemm_source){.get = get_transposed_weights, .ctx = c, .ane = ane, .base = base};
}

static size_t group_size(const conv_args *c) {
  return gemm_align(gemm_packed_size(conv_group_out(c), gemm_kernels_get()->mr, conv_k(c)));
}

size_t conv_packed_w_size(const conv_args *c) {
  switch (conv_kind_of(c)) {
    case CONV_SCALE: return (size_t)c->cout * sizeof(f16);
    case CONV_WINOGRAD: return conv_winograd_packed_size(c);
    case CONV_LINEAR: {
      gemm_args g = conv_as_gemm(c);
      return gemm_packed_w_size(&g);
    }
    default: return (size_t)c->groups * group_size(c);
  }
}

void conv_pack_w(const conv_args *c, void *packed) {
  switch (conv_kind_of(c)) {
    case CONV_SCALE: memcpy(packed, c->weight, (size_t)c->cout * sizeof(f16)); return;
    case CONV_WINOGRAD: conv_winograd_pack(c, packed); return;
    case CONV_LINEAR: {
      gemm_args g = conv_as_gemm(c);
      gemm_pack_w(&g, packed);
      return;
    }
    default: break;
  }
  for (int64_t group = 0; group < c->groups; group++) {
    gemm_source from = weights_of(c, group, true);
    gemm_packed_fill(&from, true, conv_group_out(c), gemm_kernels_get()->mr, conv_k(c),
                     (unsigned char *)packed + (size_t)group * group_size(c));
  }
}

static coded_matrix coded_of(const conv_args *c, int64_t group) {
  int64_t k = conv_k(c), rows = conv_group_out(c);
  return (coded_matrix){.codes = c->codes, .offset = group * rows * k, .s_lane = k, .s_k = 1, .lanes = rows, .k = k,
                        .full_width = gemm_kernels_get()->mr, .left = true};
}

static size_t pack_codes(const conv_args *c, void *packed) {
  enum conv_kind kind = conv_kind_of(c);
  if (kind == CONV_LINEAR) {
    gemm_args g = conv_as_gemm(c);
    if (!packed) return gemm_packed_codes_size(&g);
    return gemm_pack_codes(&g, packed);
  }
  if (kind != CONV_DIRECT || c->transpose) return 0;
  coded_matrix *matrix = malloc((size_t)c->groups * sizeof *matrix);
  bool fits = matrix != NULL;
  for (int64_t i = 0; fits && i < c->groups; i++) {
    matrix[i] = coded_of(c, i);
    fits = coded_run_of(&matrix[i]) > 0;
  }
  size_t size = fits ? coded_pack(matrix, c->groups, packed) : 0;
  free(matrix);
  return size;
}

size_t conv_packed_codes_size(const conv_args *c) { return pack_codes(c, NULL); }
bool conv_pack_codes(const conv_args *c, void *packed) { return pack_codes(c, packed) > 0; }

/* -- Direct ---------------------------------------------------------------------------------------------------------------- */

static gemm_split direct_split(const conv_args *c) {
  return gemm_split_of(c->n * c->groups, conv_group_out(c), conv_pixels(c), conv_k(c));
}

static void direct_unit(const conv_args *c, const gemm_split *p, int64_t unit, void *scratch) {
  int64_t per_matrix = p->row_blocks * p->col_blocks, matrix = unit / per_matrix, block = unit % per_matrix;
  int64_t image = matrix / c->groups, group = matrix % c->groups;
  bool ane = c->profile.mode == NUM_ANE, one_by_one = conv_taps(c) == 1 && !c->transpose && c->oh == c->h && c->ow == c->w &&
                                                      !c->pad_top && !c->pad_left && c->stride_h == 1 && c->stride_w == 1;
  patches input = {.args = c, .x = c->x + (image * c->cin + group * conv_group_in(c)) * c->h * c->w};
  gemm_source right = {.get = get_patches, .ctx = &input, .ane = ane, .few_rows = p->rows <= 2}, left;
  if (fits_window(c, p->kern->nr)) right.get = get_narrow_patches;
  if (one_by_one) right = gemm_source_strided(input.x, 1, c->h * c->w, ane, p->rows <= 2);
  coded_panels coded;
  if (c->codes) {
    coded_matrix matrix = coded_of(c, group);
    left = coded_source(&coded, &matrix, group, c->packed_w, ane, false);
  } else if (c->packed_w) {
    const unsigned char *packed = (const unsigned char *)c->packed_w + (size_t)group * group_size(c);
    left = gemm_source_packed(packed, p->rows, p->kern->mr, conv_k(c));
  } else {
    left = weights_of(c, group, ane);
  }
  gemm_block b = conv_block(c, p->kern, image, group);
  b.row0 = block / p->col_blocks * p->mc;
  b.col0 = block % p->col_blocks * p->nc;
  b.rows = gemm_min(p->mc, p->rows - b.row0);
  b.cols = gemm_min(p->nc, p->cols - b.col0);
  b.k = conv_k(c);
  b.a = &left;
  b.b = &right;
  b.bias = c->has_bias ? c->bias + group * p->rows : NULL;
  unsigned char *at = scratch;
  unsigned char *work = at + gemm_acc_size(p->kern, p->mc, p->nc), *emit = work + gemm_work_size(p->kern, p->mc);
  gemm_acc acc;
  gemm_accumulate(&b, &acc, at, work);
  gemm_finish(&b, &acc, emit);
}

/* -- Scale: RHA2(x * w), then RHA(+ bias); no accumulator, no limit at 2^15. One unit is one output plane. ---------------- */

static bool any_special(const uint16_t *h, int64_t n) {
  int any = 0;
  for (int64_t i = 0; i < n; i++) any |= (h[i] & 0x7fff) >= 0x7c00;
  return any;
}

static void scale_values(const gemm_kernels *kern, const uint16_t *h, int64_t n, f16 w, const f16 *bias, float *out) {
  if (any_special(h, n) || any_special(&w, 1) || (bias && any_special(bias, 1))) {
    for (int64_t i = 0; i < n; i++) {
      f16 y = ane_mul(h[i], w);
      out[i] = f16_to_float(bias ? ane_add(y, *bias) : y);
    }
    return;
  }
  _Alignas(64) float x[EW_TILE], offset[EW_TILE];
  _Alignas(64) f16 y[EW_TILE];
  kern->expand(h, n, x);
  kern->scale_ane(x, f16_to_float(w), n, y);
  if (bias && any_special(y, n)) { /* overflow */
    for (int64_t i = 0; i < n; i++) y[i] = ane_add(y[i], *bias);
  } else if (bias) {
    kern->expand(y, n, x);
    for (int64_t i = 0; i < EW_TILE; i++) offset[i] = f16_to_float(*bias);
    kern->add_ane(x, offset, 1.0f, n, y);
  }
  kern->expand(y, n, out);
}

static void scale_unit(const conv_args *c, const gemm_kernels *kern, int64_t unit, void *scratch) {
  int64_t image = unit / c->cout, co = unit % c->cout, ci = co / conv_group_out(c);
  const f16 *plane = c->x + (image * c->cin + ci) * c->h * c->w;
  const f16 *weight = c->packed_w ? c->packed_w : c->weight;
  gemm_block b = conv_block(c, kern, image, 0);
  int64_t flat = b.y_flat + co * b.y_row, pixels = conv_pixels(c);
  for (int64_t first = 0; first < pixels; first += EW_TILE) {
    _Alignas(64) uint16_t h[EW_TILE];
    _Alignas(64) float values[EW_TILE];
    int64_t n = gemm_min(EW_TILE, pixels - first);
    for (int64_t i = 0; i < n;) {
      int64_t oy = (first + i) / c->ow, ox = (first + i) % c->ow, length = gemm_min(n - i, c->ow - ox);
      int64_t iy = oy * c->stride_h - c->pad_top, ix = ox * c->stride_w - c->pad_left;
      conv_copy_row(iy < 0 || iy >= c->h ? NULL : plane + iy * c->w, c->w, ix, c->stride_w, length, h + i);
      i += length;
    }
    for (int64_t i = n; i < EW_TILE && i < n + GEMM_MAX_NR; i++) h[i] = 0;
    scale_values(kern, h, n, weight[co], c->has_bias ? c->bias + co : NULL, values);
    gemm_emit(&b, flat + first, n, values, scratch);
  }
}

/* -- Dispatch -------------------------------------------------------------------------------------------------------------- */

int64_t conv_units(const conv_args *c) {
  switch (conv_kind_of(c)) {
    case CONV_SCALE: return c->n * c->cout;
    case CONV_WINOGRAD: return conv_winograd_split(c).units;
    case CONV_LINEAR: {
      gemm_args g = conv_as_gemm(c);
      return gemm_units(&g);
    }
    default: return direct_split(c).units;
  }
}

size_t conv_scratch(const conv_args *c) {
  switch (conv_kind_of(c)) {
    case CONV_SCALE: return gemm_emit_size(c->epilogue);
    case CONV_WINOGRAD: return conv_winograd_scratch(c);
    case CONV_LINEAR: {
      gemm_args g = conv_as_gemm(c);
      return gemm_scratch(&g);
    }
    default: {
      gemm_split p = direct_split(c);
      return gemm_acc_size(p.kern, p.mc, p.nc) + gemm_work_size(p.kern, p.mc) + gemm_emit_size(c->epilogue);
    }
  }
}

void conv_run(const conv_args *c, int64_t first, int64_t last, void *scratch) {
  switch (conv_kind_of(c)) {
    case CONV_SCALE: {
      const gemm_kernels *kern = gemm_kernels_get();
      for (int64_t unit = first; unit < last; unit++) scale_unit(c, kern, unit, scratch);
      return;
    }
    case CONV_WINOGRAD: conv_winograd_run(c, first, last, scratch); return;
    case CONV_LINEAR: {
      gemm_args g = conv_as_gemm(c);
      gemm_run(&g, first, last, scratch);
      return;
    }
    default: {
      gemm_split p = direct_split(c);
      for (int64_t unit = first; unit < last; unit++) direct_unit(c, &p, unit, scratch);
    }
  }
}
