#if defined(__x86_64__)
#define SIMD_AVX2
#define EW_TILE_FN ew_tile_avx2
#include "ew_impl.h"
#endif
