/* matrix_data.h - what gemm_test.c and conv_test.c share: random operands of several kinds, the epilogue they use, runs over
 * random splits of the units, comparison, and one child process per instruction set. */
#ifndef ANEFORGE_TEST_MATRIX_DATA_H
#define ANEFORGE_TEST_MATRIX_DATA_H

#include <math.h>

#include "isa.h"
#include "kernels.h"
#include "test.h"

static uint64_t random_state = 88172645463325252ull;

static uint32_t random_bits(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 32);
}

static int64_t random_in(int64_t low, int64_t high) { return low + (int64_t)(random_bits() % (uint64_t)(high - low + 1)); }
static double random_unit(void) { return (double)random_bits() / 4294967296.0 * 2 - 1; }

/* The 32-bit generator of the published vectors. */
__attribute__((unused)) static f16 lcg_value(uint32_t *s, double scale) {
  *s = *s * 1664525u + 1013904223u;
  return f16_from_float((float)(((double)(*s >> 8) / 16777216.0 * 2 - 1) * scale));
}

enum data_kind { ORDINARY, SMALL, TINY, LARGE, ANY_BITS, CANCELLING, INTEGERS, SPARSE, ONE_HUGE, DATA_KINDS };

static f16 random_value(enum data_kind kind, int64_t i) {
  double u = random_unit();
  switch (kind) {
    case ORDINARY: return f16_from_float((float)(u * 3));
    case SMALL: return f16_from_float((float)(u / 32));
    case TINY: return f16_from_float((float)ldexp(u, (int)-random_in(5, 24)));
    case LARGE: return f16_from_float((float)(u * 60000));
    case ANY_BITS: return (f16)random_bits();
    case CANCELLING: return f16_from_float((float)((i % 7 < 3 ? 1 : -1) * (100 + 120 * fabs(u))));
    case INTEGERS: return f16_from_float((float)random_in(-40, 40));
    case SPARSE: return random_in(0, 5) ? 0 : (f16)random_bits();
    default: return random_in(0, 60) ? f16_from_float((float)u) : f16_from_float((float)(u * 30000));
  }
}

/* Exactly n values, so that reading past them is seen by the sanitizers. */
static f16 *random_values(enum data_kind kind, int64_t n) {
  f16 *v = malloc((size_t)n * sizeof(f16));
  for (int64_t i = 0; i < n; i++) v[i] = random_value(kind, i);
  return v;
}

static void *dirty_scratch(size_t size) {
  void *p = NULL;
  if (posix_memalign(&p, 64, size ? size : 64)) abort();
  memset(p, 0xA5, size);
  return p;
}

typedef void run_fn(const void *args, int64_t first, int64_t last, void *scratch);

/* All units in ranges of random length, in random order of two halves. */
static void run_split(run_fn *run, const void *args, int64_t units, size_t scratch_size) {
  void *scratch = dirty_scratch(scratch_size);
  int64_t middle = random_in(0, units);
  for (int half = 0; half < 2; half++) {
    int64_t at = half ? 0 : middle, end = half ? middle : units;
    while (at < end) {
      int64_t next = at + random_in(1, end - at);
      run(args, at, next, scratch);
      at = next;
    }
  }
  free(scratch);
}

static bool is_nan(f16 v) { return (v & 0x7fff) > 0x7c00; }

/* Index of the first difference, -1 when equal; NaNs of NUM_FAST may differ in their bits. */
static int64_t first_difference(const f16 *a, const f16 *b, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (a[i] != b[i] && !(is_nan(a[i]) && is_nan(b[i]))) return i;
  return -1;
}

/* The epilogue of the tests: out = max(product + side, product). side is dense over the output. */
typedef struct {
  ew_program program;
  ew_instr instr[2];
} test_epilogue;

__attribute__((unused)) static void make_epilogue(test_epilogue *e, num_profile profile, int rank, const int64_t *dim) {
  memset(e, 0, sizeof *e);
  e->program = (ew_program){.profile = profile, .rank = rank, .n_in = 1, .n_out = 1, .n_instr = 2, .instr = e->instr};
  int64_t stride = 1;
  for (int d = rank - 1; d >= 0; d--) {
    e->program.dim[d] = dim[d];
    e->program.in[0].stride[d] = stride;
    stride *= dim[d];
  }
  e->program.in[0].dtype = e->program.out[0].dtype = MIL_FP16;
  e->program.in[0].reg = 1;
  e->program.out[0].reg = 3;
  e->instr[0] = (ew_instr){.code = EW_ADD, .dst = 2, .a = 0, .b = 1};
  e->instr[1] = (ew_instr){.code = EW_MAX, .dst = 3, .a = 2, .b = 0};
}

static num_profile random_profile(bool winograd) {
  bool fast = random_in(0, 3) == 0;
  return (num_profile){.mode = fast ? NUM_FAST : NUM_ANE, .family = 5, .winograd = winograd};
}

/* Runs body once per instruction set of this machine, each in a fresh process; or once, when one is asked for. */
static int for_each_isa(int argc, char **argv, int (*body)(void)) {
  (void)argc;
  const char *asked = getenv("ANEFORGE_HOST_ISA");
  if (asked && strcmp(asked, isa_name(isa_get())) != 0) return test_end(); /* this machine has not got it */
  if (asked) {
    printf("-- %s\n", asked);
    return body();
  }
  static const char *const names[] = {"avx512", "avx2", "neon", "portable"};
  int passed = 0, failed = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char command[512], line[512];
    snprintf(command, sizeof command, "ANEFORGE_HOST_ISA=%s %s '%s'", names[i],
             getenv("ANEFORGE_TEST_RUNNER") ? getenv("ANEFORGE_TEST_RUNNER") : "", argv[0]);
    FILE *child = popen(command, "r");
    if (!child) return 1;
    int p = 0, f = 0, said = 0;
    while (fgets(line, sizeof line, child)) {
      if (sscanf(line, "%d passed, %d failed", &p, &f) == 2) said = 1;
      else fputs(line, stdout);
    }
    int status = pclose(child);
    if (!said || (status && !f)) {
      printf("FAIL %s ended with status %d\n", names[i], status);
      f++;
    }
    passed += p;
    failed += f;
  }
  printf("%d passed, %d failed\n", passed, failed);
  return failed ? 1 : 0;
}

#endif
