#if defined(__x86_64__)
#define SIMD_AVX512
#define EW_TILE_FN ew_tile_avx512
#include "ew_impl.h"
#endif
