/* ew.h - between ew.c and the tile interpreters of the instruction sets (ew_impl.h). */
#ifndef ANEFORGE_HOST_EW_H
#define ANEFORGE_HOST_EW_H

#include "kernels.h"

enum { EW_REG_STRIDE = EW_TILE + 16 }; /* floats: loads may write one vector past the tile */

/* An input over the output's elements, with mergeable dimensions merged: rank 0 is a scalar; rank 1 with stride 1 is dense. */
typedef struct {
  int rank;
  int64_t dim[K_RANK], stride[K_RANK];
} ew_view;

/* Runs the program for output elements [begin, begin + n), n <= EW_TILE. preloaded fills register preloaded_reg. */
typedef struct {
  const ew_args *args;
  const ew_view *view;
  int64_t begin, n;
  const float *preloaded;
  int preloaded_reg;
  float *registers;
} ew_tile;

typedef void ew_tile_fn(const ew_tile *tile);
ew_tile_fn ew_tile_avx512, ew_tile_avx2, ew_tile_neon, ew_tile_portable;

#endif
