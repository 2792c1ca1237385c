#include <string.h>

#include "rows.h"

/* A unit is one output row. Maximum: padding is -inf. Average: numerics of a reduction, see rows_impl.h; that the engine sums a
 * window this way is inferred. */

int64_t pool_units(const pool_args *args) { return args->planes * args->oh; }

void pool_run(const pool_args *args, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  const row_kernels *rows = rows_get();
  for (int64_t unit = first; unit < last; unit++) {
    const f16 *plane = args->x + unit / args->oh * args->h * args->w;
    for (int64_t c = 0; c < args->ow; c += ROWS_COLUMNS) {
      int64_t n = args->ow - c < ROWS_COLUMNS ? args->ow - c : ROWS_COLUMNS;
      rows->pool(args, plane, unit % args->oh, c, n, args->y + unit * args->ow + c);
    }
  }
}

/* -- The scalar twin ----------------------------------------------------------------------------------------------- */

/* Element (r, c) of the window at (oy, ox), or NULL in the padding. */
static const f16 *window_element(const pool_args *a, const f16 *plane, int64_t oy, int64_t ox, int64_t r, int64_t c) {
  int64_t y = oy * a->stride_h - a->pad_top + r, x = ox * a->stride_w - a->pad_left + c;
  return y >= 0 && y < a->h && x >= 0 && x < a->w ? plane + y * a->w + x : NULL;
}

static f16 ref_max(const pool_args *a, const f16 *plane, int64_t oy, int64_t ox) {
  double best = -INFINITY;
  for (int64_t at = 0; at < a->kh * a->kw; at++) {
    const f16 *x = window_element(a, plane, oy, ox, at / a->kw, at % a->kw);
    if (!x) continue;
    double v = f16_to_float(*x);
    if (v != v && a->profile.mode == NUM_ANE) v = INFINITY;
    if (v > best || v != v) best = v;
  }
  return f16_from_float((float)(best + 0.0));
}

static f16 ref_average(const pool_args *a, const f16 *plane, int64_t oy, int64_t ox) {
  const bool ane = a->profile.mode == NUM_ANE;
  int64_t count = a->kh * a->kw, inside = 0;
  wide_sum wide = {0};
  double sum = 0;
  bool infinite[2] = {false, false};
  for (int64_t at = 0; at < count; at += 4) {
    f16 group[4] = {0};
    for (int64_t j = 0; j < 4 && at + j < count; j++) {
      const f16 *x = window_element(a, plane, oy, ox, (at + j) / a->kw, (at + j) % a->kw);
      if (!x) continue;
      group[j] = *x;
      inside++;
      if ((*x & 0x7c00) == 0x7c00) infinite[*x == 0xfc00] = true;
      sum += f16_to_float(*x);
    }
    if (ane) wide_add(&wide, reduce_total(group, 4, 1), true);
  }
  int64_t divisor = a->exclude_pad ? inside : count;
  double total = ane ? wide_total(&wide) : sum;
  if (!divisor || (ane && infinite[0] && infinite[1])) return 0;
  return ane ? f16_rha(total / (double)divisor) : f16_from_float((float)(total / (double)divisor));
}

void pool_run_ref(const pool_args *args, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  for (int64_t unit = first; unit < last; unit++) {
    const f16 *plane = args->x + unit / args->oh * args->h * args->w;
    for (int64_t ox = 0; ox < args->ow; ox++)
      args->y[unit * args->ow + ox] = args->average ? ref_average(args, plane, unit % args->oh, ox)
                                                    : ref_max(args, plane, unit % args->oh, ox);
  }
}

/* -- Nearest upsampling: a unit is one input row ------------------------------------------------------------------- */

int64_t upsample_units(const upsample_args *args) { return args->planes * args->h; }

void upsample_run(const upsample_args *args, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  const int64_t width = args->w * args->scale_w;
  for (int64_t unit = first; unit < last; unit++) {
    const f16 *x = args->x + unit * args->w;
    f16 *y = args->y + unit * args->scale_h * width;
    if (args->scale_w == 1) {
      memcpy(y, x, (size_t)width * sizeof *y);
    } else if (args->scale_w == 2) {
      for (int64_t i = 0; i < args->w; i++) y[2 * i] = y[2 * i + 1] = x[i];
    } else {
      for (int64_t i = 0; i < args->w; i++)
        for (int64_t k = 0; k < args->scale_w; k++) y[i * args->scale_w + k] = x[i];
    }
    for (int64_t k = 1; k < args->scale_h; k++) memcpy(y + k * width, y, (size_t)width * sizeof *y);
  }
}
