/* kernels_test.h - what the kernel tests share: random data, and a main() that runs the same tests once per instruction set
 * this machine has, each in a process of its own (the choice is made once per process). */
#ifndef ANEFORGE_KERNELS_TEST_H
#define ANEFORGE_KERNELS_TEST_H

#include <math.h>
#include <stdint.h>

#include "../../shim/host/isa.h"
#include "../../shim/host/kernels.h"
#include "test.h"

static const num_profile ane = {NUM_ANE, 2, false};
static const num_profile fast = {NUM_FAST, 2, false};

static uint64_t random_state = 88172645463325252ull;

__attribute__((unused)) static uint32_t random_bits(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 16);
}

__attribute__((unused)) static int64_t random_below(int64_t n) { return (int64_t)(random_bits() % (uint64_t)n); }

__attribute__((unused)) static double random_unit(void) { return random_bits() * 0x1p-31 - 1; } /* [-1, 1) */

static const f16 special[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff, 0x0400, 0x8400, 0x0fff, 0x1400, 0x1419,
                              0x2e66, 0x3555, 0x37ff, 0x3800, 0xb800, 0x3bff, 0x3c00, 0xbc00, 0x3c01, 0x3e00, 0x4000,
                              0xc000, 0x4900, 0x498c, 0x6400, 0x6401, 0xe7ff, 0x6800, 0x6801, 0x7400, 0x77ff, 0x7800,
                              0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7c01, 0x7e00, 0xfe00, 0xffff, 0x7fff};
enum { SPECIALS = sizeof special / sizeof *special };

/* Kinds of data: 0 near one, 1 any bits, 2 special values, 3 a mixture, 4 small integers */
__attribute__((unused)) static void fill(f16 *x, int64_t n, int kind) {
  for (int64_t i = 0; i < n; i++) {
    int k = kind == 3 ? (int)random_below(3) : kind;
    if (k == 1) x[i] = (f16)random_bits();
    else if (k == 2) x[i] = special[random_below(SPECIALS)];
    else if (k == 4) x[i] = f16_from_float((float)(random_below(17) - 8));
    else x[i] = f16_from_float((float)(random_unit() + random_unit() + random_unit()));
  }
}

/* The first difference between two arrays of bytes, -1 if there is none. */
__attribute__((unused)) static int64_t differ(const void *a, const void *b, int64_t bytes) {
  for (int64_t i = 0; i < bytes; i++)
    if (((const uint8_t *)a)[i] != ((const uint8_t *)b)[i]) return i;
  return -1;
}

/* NUM_FAST: `units` is the allowed distance in fp16 steps, `small` an absolute error allowed besides. */
__attribute__((unused)) static bool near(f16 a, f16 b, int units, double small) {
  bool nan_a = (a & 0x7fff) > 0x7c00, nan_b = (b & 0x7fff) > 0x7c00;
  if (nan_a || nan_b) return nan_a == nan_b;
  int x = a & 0x8000 ? -(a & 0x7fff) : a, y = b & 0x8000 ? -(b & 0x7fff) : b;
  return abs(x - y) <= units || fabs(f16_to_float(a) - f16_to_float(b)) <= small;
}

/* Memory that ends at its last byte for the address sanitizer, aligned for scratch. */
__attribute__((unused)) static void *block(size_t bytes) {
  void *p = NULL;
  if (posix_memalign(&p, 64, bytes ? bytes : 1)) abort();
  memset(p, 0xa5, bytes);
  return p;
}

__attribute__((unused)) static void run_on(const char *program, const char *isa) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    setenv("ANEFORGE_HOST_ISA", isa, 1);
    setenv("ANEFORGE_TEST_CHILD", "1", 1);
    execl(program, program, (char *)NULL);
    _exit(127);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  CHECK(status == 0, "%s", isa);
}

/* Each instruction set up to the best of this machine; the lesser ones may be missing (NEON on x86). */
#define KERNELS_MAIN(tests)                                                    \
  int main(int argc, char **argv) {                                            \
    (void)argc;                                                                \
    if (getenv("ANEFORGE_TEST_CHILD")) {                                       \
      printf("instruction set: %s\n", isa_name(isa_get()));                    \
      if (strcmp(isa_name(isa_get()), getenv("ANEFORGE_HOST_ISA"))) return 0;  \
      tests();                                                                 \
      return test_end();                                                       \
    }                                                                          \
    for (int i = ISA_PORTABLE; i <= (int)isa_get(); i++) {                     \
      test_current_failed = 0;                                                 \
      run_on(argv[0], isa_name((enum isa)i));                                  \
      if (test_current_failed) test_failed++; else test_passed++;              \
    }                                                                          \
    return test_end();                                                         \
  }

#endif
