/* rows.h - the vector pieces that reductions, softmax and pooling are made of, one set per instruction set (rows_impl.h).
 *
 * The total of at most ROWS_EXACT terms is exact in a double: group sums are multiples of 2^-24 and below 2^18, four terms
 * each, so 8192 terms stay below 2^29, 53 bits above 2^-24. So the order of summation does not show (NUM_ANE); longer sums are
 * put together from such totals as integers. */
#ifndef ANEFORGE_HOST_ROWS_H
#define ANEFORGE_HOST_ROWS_H

#include <math.h>

#include "kernels.h"

enum { ROWS_EXACT = 8192, ROWS_COLUMNS = 256, ROWS_PAD = 16 };

/* What is summed: x, |x|, RHA2(x^2), exp(x - shift). */
enum row_term { TERM_ITSELF, TERM_ABS, TERM_SQUARE, TERM_EXP };

typedef struct {
  /* n <= ROWS_EXACT values of one row: total in groups of 4; largest or smallest value. */
  double (*sum)(const f16 *x, int64_t n, bool ane, enum row_term term, float shift);
  float (*extreme)(const f16 *x, int64_t n, bool ane, bool minimum);
  /* The same down columns <= ROWS_COLUMNS columns; row r starts at x + row[r]. sum overwrites total, extreme updates. */
  void (*sum_columns)(const f16 *x, const int64_t *row, int64_t rows, int64_t columns, bool ane, enum row_term term,
                      const float *shift, double *total);
  void (*extreme_columns)(const f16 *x, const int64_t *row, int64_t rows, int64_t columns, bool ane, bool minimum,
                          float *extreme);
  /* Totals to results of a reduction over `count` elements; total and shift are readable up to ROWS_PAD past n. */
  void (*finish)(const double *total, const float *shift, int64_t n, const reduce_args *args, int64_t count, f16 *y);
  /* y = exp(x - shift) (NUM_ANE); y = y * factor (NUM_ANE); y = exp(x - shift) * factor (NUM_FAST). step 0: one shift and
   * factor for all, 1: one for each. */
  void (*exp_ane)(const f16 *x, f16 *y, int64_t n, const float *shift, int step);
  void (*scale_ane)(f16 *y, int64_t n, const float *factor, int step);
  void (*exp_scale_fast)(const f16 *x, f16 *y, int64_t n, const float *shift, const float *factor, int step);
  /* Columns [first, first + n) of one output row, n <= ROWS_COLUMNS. */
  void (*pool)(const pool_args *args, const f16 *plane, int64_t oy, int64_t first, int64_t n, f16 *y);
} row_kernels;

extern const row_kernels rows_avx512, rows_avx2, rows_neon, rows_portable;

const row_kernels *rows_get(void);

/* -- Sums longer than ROWS_EXACT ----------------------------------------------------------------------------------- */

typedef struct {
  __int128 units; /* of 2^-24 */
  double rest;    /* infinite parts; everything in NUM_FAST mode */
} wide_sum;

static inline void wide_add(wide_sum *w, double part, bool ane) {
  if (ane && isfinite(part)) w->units += (int64_t)(part * 0x1p24);
  else w->rest += part;
}

static inline double wide_total(const wide_sum *w) { return w->rest + (double)w->units * 0x1p-24; }

#endif
