#include <string.h>

#include "rows.h"
#include "unary.h"

/* A unit is one line along the axis: units [o * inner, (o + 1) * inner) belong to outer index o.
 *
 * NUM_ANE: m = max x; e = exp(RHA(x - m)); s = RHA(sum e by the reduction rule); y = e * (1 / s), exp and reciprocal from their
 * tables. An infinite (or NaN) lane takes all mass: inf - inf is +0, every other lane exp(-inf) = 0.
 * NUM_FAST: the same in fp32, one rounding at the end. */

int64_t softmax_units(const softmax_args *args) { return args->outer * args->inner; }

size_t softmax_scratch(const softmax_args *args) {
  int64_t rows = args->axis < ROWS_EXACT ? args->axis : ROWS_EXACT;
  return args->inner == 1 ? 0 : (size_t)rows * sizeof(int64_t);
}

/* The scale of a line from the total of its exponentials. */
static float scale_of(double total, bool ane) {
  if (!ane) return (float)(1 / total);
  return f16_to_float(kernel_map(MAP_RECIPROCAL)[f16_rha(total)]);
}

static void line(const row_kernels *rows, const softmax_args *a, const f16 *x, f16 *y) {
  const bool ane = a->profile.mode == NUM_ANE;
  const float shift = rows->extreme(x, a->axis, ane, false);
  if (ane) rows->exp_ane(x, y, a->axis, &shift, 0);
  wide_sum wide = {0};
  for (int64_t at = 0; at < a->axis; at += ROWS_EXACT) {
    int64_t n = a->axis - at < ROWS_EXACT ? a->axis - at : ROWS_EXACT;
    wide_add(&wide, ane ? rows->sum(y + at, n, true, TERM_ITSELF, 0) : rows->sum(x + at, n, false, TERM_EXP, shift), ane);
  }
  const float factor = scale_of(wide_total(&wide), ane);
  if (ane) rows->scale_ane(y, a->axis, &factor, 0);
  else rows->exp_scale_fast(x, y, a->axis, &shift, &factor, 0);
}

/* n lines side by side */
static void block(const row_kernels *rows, const softmax_args *a, const f16 *x, f16 *y, int64_t n, int64_t *row) {
  const bool ane = a->profile.mode == NUM_ANE;
  float shift[ROWS_COLUMNS + ROWS_PAD], factor[ROWS_COLUMNS + ROWS_PAD];
  double total[ROWS_COLUMNS + ROWS_PAD];
  wide_sum wide[ROWS_COLUMNS];
  memset(wide, 0, (size_t)n * sizeof *wide);
  memset(factor, 0, sizeof factor);
  for (int64_t i = 0; i < n + ROWS_PAD; i++) shift[i] = -INFINITY;
  int64_t places = a->axis < ROWS_EXACT ? a->axis : ROWS_EXACT;
  for (int64_t r = 0; r < places; r++) row[r] = r * a->inner;
  for (int64_t at = 0; at < a->axis; at += places) {
    int64_t m = a->axis - at < places ? a->axis - at : places;
    rows->extreme_columns(x + at * a->inner, row, m, n, ane, false, shift);
  }
  for (int64_t r = 0; ane && r < a->axis; r++) rows->exp_ane(x + r * a->inner, y + r * a->inner, n, shift, 1);
  for (int64_t at = 0; at < a->axis; at += places) {
    int64_t m = a->axis - at < places ? a->axis - at : places;
    rows->sum_columns((ane ? y : x) + at * a->inner, row, m, n, ane, ane ? TERM_ITSELF : TERM_EXP, shift, total);
    for (int64_t i = 0; i < n; i++) wide_add(&wide[i], total[i], ane);
  }
  for (int64_t i = 0; i < n; i++) factor[i] = scale_of(wide_total(&wide[i]), ane);
  for (int64_t r = 0; r < a->axis; r++) {
    if (ane) rows->scale_ane(y + r * a->inner, n, factor, 1);
    else rows->exp_scale_fast(x + r * a->inner, y + r * a->inner, n, shift, factor, 1);
  }
}

void softmax_run(const softmax_args *args, int64_t first, int64_t last, void *scratch) {
  const row_kernels *rows = rows_get();
  for (int64_t unit = first; unit < last;) {
    int64_t outer = unit / args->inner, inner = unit % args->inner, at = outer * args->axis * args->inner + inner;
    int64_t n = args->inner - inner < last - unit ? args->inner - inner : last - unit;
    if (n > ROWS_COLUMNS) n = ROWS_COLUMNS;
    if (args->inner == 1) line(rows, args, args->x + at, args->y + at);
    else block(rows, args, args->x + at, args->y + at, n, scratch);
    unit += n;
  }
}

/* -- The scalar twin ----------------------------------------------------------------------------------------------- */

static void ref_line_ane(const softmax_args *a, const f16 *x, f16 *y) {
  f16 largest = 0xfc00;
  for (int64_t i = 0; i < a->axis; i++) {
    f16 v = ane_add(x[i * a->inner], 0);
    if (f16_to_float(v) > f16_to_float(largest)) largest = v;
  }
  for (int64_t i = 0; i < a->axis; i++) y[i * a->inner] = kernel_map(MAP_EXP)[ane_sub(x[i * a->inner], largest)];
  f16 factor = kernel_map(MAP_RECIPROCAL)[f16_rha(reduce_total(y, a->axis, a->inner))];
  for (int64_t i = 0; i < a->axis; i++) y[i * a->inner] = ane_mul(y[i * a->inner], factor);
}

static void ref_line_fast(const softmax_args *a, const f16 *x, f16 *y) {
  double largest = -INFINITY, total = 0;
  for (int64_t i = 0; i < a->axis; i++) {
    double v = f16_to_float(x[i * a->inner]);
    if (v > largest || v != v) largest = v;
  }
  for (int64_t i = 0; i < a->axis; i++) total += exp(f16_to_float(x[i * a->inner]) - largest);
  for (int64_t i = 0; i < a->axis; i++)
    y[i * a->inner] = f16_from_float((float)(exp(f16_to_float(x[i * a->inner]) - largest) / total));
}

void softmax_run_ref(const softmax_args *args, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  for (int64_t unit = first; unit < last; unit++) {
    int64_t at = unit / args->inner * args->axis * args->inner + unit % args->inner;
    if (args->profile.mode == NUM_ANE) ref_line_ane(args, args->x + at, args->y + at);
    else ref_line_fast(args, args->x + at, args->y + at);
  }
}
