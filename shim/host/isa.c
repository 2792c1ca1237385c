#include "isa.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"portable", "neon", "avx2", "avx512"};

const char *isa_name(enum isa isa) { return names[isa]; }

static int supported(enum isa isa) {
  switch (isa) {
    case ISA_PORTABLE: return 1;
#if defined(__aarch64__)
    case ISA_NEON: return 1;
#endif
#if defined(__x86_64__)
    case ISA_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); /* F16C came before AVX2 */
    case ISA_AVX512:
      return supported(ISA_AVX2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#endif
    default: return 0;
  }
}

static enum isa chosen;

static void choose(void) {
  const char *wish = getenv("ANEFORGE_HOST_ISA");
  for (int i = ISA_AVX512; i >= ISA_PORTABLE; i--) {
    if (!supported((enum isa)i)) continue;
    if (wish && *wish && strcmp(wish, names[i]) != 0 && i != ISA_PORTABLE) continue;
    chosen = (enum isa)i;
    return;
  }
}

enum isa isa_get(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, choose);
  return chosen;
}
