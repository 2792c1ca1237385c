#if defined(__x86_64__)
#define SIMD_AVX512
#define ROWS_NAME rows_avx512
#include "rows_impl.h"
#endif
