#if defined(__x86_64__)
#define SIMD_AVX2
#define ROWS_NAME rows_avx2
#include "rows_impl.h"
#endif
