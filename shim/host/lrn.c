/* lrn.c - local response normalisation. A unit is a tile of positions with all its channels; the squares of the channels in
 * the window are kept, so that each value is widened once. */
#include <math.h>

#include "image.h"

enum { TILE = 256, WINDOW_VALUES = 65536 };

static int64_t window(const lrn_args *a) { return a->size < a->channels ? a->size : a->channels; }

static int64_t tile(const lrn_args *a) {
  int64_t fit = WINDOW_VALUES / window(a);
  return fit < 1 ? 1 : fit < TILE ? fit : TILE;
}

static int64_t tiles(const lrn_args *a) { return (a->inner + tile(a) - 1) / tile(a); }

int64_t lrn_units(const lrn_args *a) { return a->outer * tiles(a); }

/* The squares and one row of sums. */
size_t lrn_scratch(const lrn_args *a) { return sizeof(double) * (size_t)(tile(a) * (window(a) + 1)); }

static inline double read_value(const lrn_args *a, f16 h) {
  double v = f16_to_float(h);
  return a->profile.mode == NUM_ANE && v != v ? (double)INFINITY : v;
}

/* d^-beta */
static inline double inverse_power(double d, double beta) {
  if (beta == 0.75) return 1 / (sqrt(d) * sqrt(sqrt(d)));
  if (beta == 0.5) return 1 / sqrt(d);
  return beta == 1 ? 1 / d : pow(d, -beta);
}

static inline f16 normalised(const lrn_args *a, f16 x, double sum) {
  double v = read_value(a, x) * inverse_power(a->k + a->scale * sum, a->beta);
  if (a->profile.mode != NUM_ANE) return f16_from_float((float)v);
  return v != v ? 0 : f16_rha(v);
}

/* First and last channel of the window of c. */
static int64_t low(const lrn_args *a, int64_t c) {
  int64_t reach = (a->size - 1) / 2;
  return reach < c ? c - reach : 0;
}

static int64_t high(const lrn_args *a, int64_t c) {
  int64_t reach = a->size / 2;
  return reach < a->channels - 1 - c ? c + reach : a->channels - 1;
}

static void run_tile(const lrn_args *a, const f16 *x, f16 *y, int64_t n, double *squares, double *sum) {
  const int64_t rows = window(a);
  int64_t known = 0; /* channels whose squares were made; the last `rows` of them are kept */
  for (int64_t c = 0; c < a->channels; c++) {
    for (; known <= high(a, c); known++) {
      double *d = squares + known % rows * n;
      for (int64_t i = 0; i < n; i++) {
        double v = read_value(a, x[known * a->inner + i]);
        d[i] = v * v;
      }
    }
    for (int64_t i = 0; i < n; i++) sum[i] = 0;
    for (int64_t j = low(a, c); j <= high(a, c); j++) {
      const double *d = squares + j % rows * n;
      for (int64_t i = 0; i < n; i++) sum[i] += d[i];
    }
    for (int64_t i = 0; i < n; i++) y[c * a->inner + i] = normalised(a, x[c * a->inner + i], sum[i]);
  }
}

void lrn_run(const lrn_args *a, int64_t first, int64_t last, void *scratch) {
  const int64_t step = tile(a);
  double *squares = scratch;
  for (int64_t unit = first; unit < last; unit++) {
    int64_t begin = unit % tiles(a) * step, n = a->inner - begin < step ? a->inner - begin : step;
    int64_t at = unit / tiles(a) * a->channels * a->inner + begin;
    run_tile(a, a->x + at, a->y + at, n, squares, squares + step * window(a));
  }
}

void lrn_run_ref(const lrn_args *a, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  const int64_t step = tile(a);
  for (int64_t unit = first; unit < last; unit++) {
    const int64_t begin = unit % tiles(a) * step, end = begin + step < a->inner ? begin + step : a->inner;
    for (int64_t k = 0; k < a->channels * (end - begin); k++) {
      int64_t c = k / (end - begin), at = unit / tiles(a) * a->channels * a->inner + begin + k % (end - begin);
      double sum = 0;
      for (int64_t j = low(a, c); j <= high(a, c); j++) {
        double v = read_value(a, a->x[at + j * a->inner]);
        sum += v * v;
      }
      a->y[at + c * a->inner] = normalised(a, a->x[at + c * a->inner], sum);
    }
  }
}
