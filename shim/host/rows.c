#include "rows.h"

#include "isa.h"

const row_kernels *rows_get(void) {
  switch (isa_get()) {
#if defined(__x86_64__)
    case ISA_AVX512: return &rows_avx512;
    case ISA_AVX2: return &rows_avx2;
#endif
#if defined(__aarch64__)
    case ISA_NEON: return &rows_neon;
#endif
    default: return &rows_portable;
  }
}
