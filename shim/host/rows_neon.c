#if defined(__aarch64__)
#define SIMD_NEON
#define ROWS_NAME rows_neon
#include "rows_impl.h"
#endif
