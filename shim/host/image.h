/* image.h - kernels of images and channels: resampling, affine sampling, local response normalisation. Work is counted and
 * handed out as in kernels.h. */
#ifndef ANEFORGE_HOST_IMAGE_H
#define ANEFORGE_HOST_IMAGE_H

#include "kernels.h"

/* -- Resampling of the last two axes -------------------------------------------------------------------------------------
 * Each axis has a table of taps: output i is (1 - weight) x[low] + weight x[high]. A weight of 0 has high = low, so that a
 * neighbour that does not count is not read. Rows are blended first, then columns.
 * NUM_ANE (inferred): weights are rounded to fp16 as baked constants are, 1 - weight is exact, the sum is rounded once (RHA);
 * indeterminate forms are +0. NUM_FAST: fp32 weights, one rounding. */
typedef struct {
  int32_t low, high;
  float weight;
} resample_tap;

/* Position in `from` elements that output i of `to` reads. */
enum resample_grid {
  GRID_NEAREST,        /* floor(i from / to) */
  GRID_ORIGINS,        /* i from / to */
  GRID_CENTRES,        /* (i + 1/2) from / to - 1/2 */
  GRID_CORNERS,        /* i (from - 1) / (to - 1); one output reads the middle */
  GRID_STRICT_CORNERS, /* the same; one output reads the first */
  GRID_OFFSET,         /* (i + 1/2) d, d = max(1, from - 1) / to */
};

/* Inside 0 .. from - 1. */
double resample_position(enum resample_grid grid, int64_t i, int64_t from, int64_t to);
void resample_taps(enum resample_grid grid, int64_t from, int64_t to, enum num_mode mode, resample_tap *out);

typedef struct {
  num_profile profile;
  int64_t planes, h, w, oh, ow;
  enum resample_grid grid;
  const resample_tap *row, *column; /* oh and ow */
  const f16 *x;
  f16 *y;
} resample_args;

int64_t resample_units(const resample_args *args); /* output rows */
size_t resample_scratch(const resample_args *args);
void resample_run(const resample_args *args, int64_t first, int64_t last, void *scratch);
void resample_run_ref(const resample_args *args, int64_t first, int64_t last, void *scratch);

/* -- Affine sampling -----------------------------------------------------------------------------------------------------
 * Output pixel (ox, oy) has coordinates in [-1, 1]; the matrix row (a0 a1 a2 b0 b1 b2) of its image gives the position
 * (a0 x + a1 y + a2, b0 x + b1 y + b2) in the same coordinates of the operand, read bilinearly; pixels outside have the value
 * `padding`. align_corners: -1 and 1 are the centres of the corner pixels, else their outer edges.
 * Coordinates are computed in fp64 and weights as above (inferred). */
typedef struct {
  num_profile profile;
  bool align_corners, shared_matrix;
  int64_t n, channels, h, w, oh, ow;
  f16 padding;
  const f16 *x, *matrix;
  f16 *y;
} affine_args;

/* Where output pixel (ox, oy) reads, in pixels of the operand; m is a row of the matrix. */
void affine_position(const affine_args *args, const double *m, int64_t ox, int64_t oy, double *px, double *py);

int64_t affine_units(const affine_args *args); /* output rows of all channels of an image */
size_t affine_scratch(const affine_args *args);
void affine_run(const affine_args *args, int64_t first, int64_t last, void *scratch);
void affine_run_ref(const affine_args *args, int64_t first, int64_t last, void *scratch);

/* -- Local response normalisation over the middle axis of [outer, channels, inner] -----------------------------------------
 * y = x / (k + scale * sum of x_j^2)^beta, j from c - (size - 1) / 2 to c + size / 2 inside the axis; scale = alpha / size.
 * NUM_ANE (inferred; the one measured error is that of a single rounding): fp64 inside, one RHA rounding. */
typedef struct {
  num_profile profile;
  int64_t outer, channels, inner, size;
  double scale, beta, k;
  const f16 *x;
  f16 *y;
} lrn_args;

int64_t lrn_units(const lrn_args *args);
size_t lrn_scratch(const lrn_args *args);
void lrn_run(const lrn_args *args, int64_t first, int64_t last, void *scratch);
void lrn_run_ref(const lrn_args *args, int64_t first, int64_t last, void *scratch);

#endif
