/* unary.h - what a unary function is made of: shared by unary.c, the elementwise kernels and the reductions. */
#ifndef ANEFORGE_HOST_UNARY_H
#define ANEFORGE_HOST_UNARY_H

#include "kernels.h"

enum gelu_mode { GELU_EXACT, GELU_TANH, GELU_SIGMOID };

struct unary_fn {
  enum mil_op_id op;
  float alpha, beta; /* fp16 values in NUM_ANE mode; the epsilon of log, rsqrt and inverse is alpha */
  enum gelu_mode gelu;
  num_profile profile;
  const f16 *map;    /* NUM_ANE: 65536 results; NULL for the functions a few vector instructions compute */
  struct unary_fn *next;
};

/* Maps the kernels need of themselves, in static memory, built at first use. */
enum kernel_map { MAP_RECIPROCAL, MAP_EXP, MAP_LOG, MAP_SQRT, MAPS };
const f16 *kernel_map(enum kernel_map which);

/* x^y, NUM_ANE: products for whole |y| <= 8 (and the reciprocal of that for y < 0), else exp(y * log |x|). Inferred. */
f16 ane_pow(f16 x, f16 y);

/* The scalar rules: fp16 in NUM_ANE mode, fp32 (unrounded) in NUM_FAST mode. */
f16 unary_ane(const unary_fn *fn, f16 x);
float unary_fast(const unary_fn *fn, float x);

#endif
