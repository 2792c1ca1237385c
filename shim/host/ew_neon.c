#if defined(__aarch64__)
#define SIMD_NEON
#define EW_TILE_FN ew_tile_neon
#include "ew_impl.h"
#endif
