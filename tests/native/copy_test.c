/* Strided copies against their scalar twin: transposes, slices, reversals, broadcasts, outputs with strides of their own. */
#include "kernels_test.h"

static int64_t elements(const copy_args *a) {
  int64_t n = 1;
  for (int k = 0; k < a->rank; k++) n *= a->dim[k];
  return n;
}

/* Dense strides in a random order of the dimensions, each dimension padded by up to `slack` elements; returns the extent. */
static int64_t random_layout(const copy_args *a, int64_t *stride, int64_t slack, bool any_order) {
  int order[2 * K_RANK];
  int64_t step = 1;
  for (int k = 0; k < a->rank; k++) order[k] = k;
  for (int k = a->rank - 1; any_order && k > 0; k--) {
    int j = (int)random_below(k + 1), t = order[k];
    order[k] = order[j], order[j] = t;
  }
  for (int i = a->rank - 1; i >= 0; i--) {
    stride[order[i]] = step;
    step *= a->dim[order[i]] + (slack ? random_below(slack + 1) : 0);
  }
  return step;
}

static void check_copy(copy_args *a, int64_t y_extent, int trial) {
  uint8_t *y = block((size_t)(y_extent * a->element)), *r = block((size_t)(y_extent * a->element));
  int64_t units = copy_units(a), cut = random_below(units + 1), cut2 = cut + random_below(units - cut + 1);
  a->y = r;
  copy_run_ref(a, 0, cut, NULL);
  copy_run_ref(a, cut, units, NULL);
  a->y = y;
  copy_run(a, cut2, units, NULL);
  copy_run(a, cut, cut2, NULL);
  copy_run(a, 0, cut, NULL);
  int64_t at = differ(y, r, y_extent * a->element);
  CHECK(at < 0, "trial %d, rank %d, %lld elements of %d bytes: byte %lld", trial, a->rank, (long long)elements(a), a->element,
        (long long)at);
  free(y), free(r);
}

TEST(random_copies) {
  static const int64_t sizes[] = {1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 33, 40, 130};
  for (int trial = 0; trial < 4000 && !test_current_failed; trial++) {
    copy_args a = {.element = 1 + (int)random_below(2)};
    do {
      a.rank = (int)random_below(trial % 3 ? 4 : 11);
      for (int k = 0; k < a.rank; k++) a.dim[k] = sizes[random_below(16)];
    } while (elements(&a) > 50000);
    int64_t x_extent = random_layout(&a, a.x_stride, random_below(3), trial % 4 != 0);
    int64_t y_extent = random_layout(&a, a.y_stride, random_below(2), trial % 8 == 0);
    for (int k = 0; k < a.rank; k++) {
      int how = (int)random_below(6);
      if (how == 0) a.x_stride[k] = 0;
      if (how == 1) a.x_offset += (a.dim[k] - 1) * a.x_stride[k], a.x_stride[k] = -a.x_stride[k];
    }
    uint8_t *x = block((size_t)(x_extent * a.element));
    for (int64_t i = 0; i < x_extent * a.element; i++) x[i] = (uint8_t)random_bits();
    a.x = x;
    check_copy(&a, y_extent, trial);
    free(x);
  }
}

TEST(long_runs_are_cut_into_units) {
  enum { N = 100000 };
  copy_args a = {.element = 2, .rank = 1, .dim = {N}, .x_stride = {1}, .y_stride = {1}};
  f16 *x = block(2 * N);
  fill(x, N, 1);
  a.x = x;
  CHECK(copy_units(&a) > 4, "%lld", (long long)copy_units(&a));
  check_copy(&a, N, -1);
  free(x);
}

TEST(a_transpose_is_a_transpose) {
  enum { R = 37, C = 53 };
  f16 x[R][C], y[C][R];
  fill(&x[0][0], R * C, 1);
  copy_args a = {.element = 2, .rank = 2, .dim = {C, R}, .x_stride = {1, C}, .y_stride = {R, 1}, .x = x, .y = y};
  copy_run(&a, 0, copy_units(&a), NULL);
  for (int i = 0; i < C; i++)
    for (int k = 0; k < R; k++) CHECK(y[i][k] == x[k][i], "%d %d", i, k);
}

#include <time.h>

TEST(speed) {
  enum { N = 1024 };
  f16 *x = block(2 * N * N), *y = block(2 * N * N);
  fill(x, N * N, 1);
  copy_args a = {.element = 2, .rank = 2, .dim = {N, N}, .x_stride = {1, N}, .y_stride = {N, 1}, .x = x, .y = y};
  double best = 1e9;
  for (int i = 0; i < 10; i++) {
    struct timespec t[2];
    clock_gettime(CLOCK_MONOTONIC, &t[0]);
    copy_run(&a, 0, copy_units(&a), NULL);
    clock_gettime(CLOCK_MONOTONIC, &t[1]);
    best = fmin(best, (double)(t[1].tv_sec - t[0].tv_sec) + 1e-9 * (double)(t[1].tv_nsec - t[0].tv_nsec));
  }
  printf("  transpose 1024 x 1024: %.2f Gelem/s\n", N * N / best * 1e-9);
  CHECK(best > 0);
  free(x), free(y);
}

int main(void) {
  RUN(random_copies);
  RUN(long_runs_are_cut_into_units);
  RUN(a_transpose_is_a_transpose);
  if (getenv("ANEFORGE_TEST_SPEED")) RUN(speed);
  return test_end();
}
