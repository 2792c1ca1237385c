/* Reductions, softmax, pooling and upsampling against their scalar twins, over random shapes and all kinds of values. */
#include "kernels_test.h"

static const enum mil_op_id kinds[] = {OP_REDUCE_SUM,     OP_REDUCE_MEAN,       OP_REDUCE_MAX,     OP_REDUCE_MIN,
                                       OP_REDUCE_L1_NORM, OP_REDUCE_L2_NORM,    OP_REDUCE_LOG_SUM, OP_REDUCE_SUM_SQUARE,
                                       OP_REDUCE_LOG_SUM_EXP};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* -- Reductions ---------------------------------------------------------------------------------------------------- */

/* Both twins into separate outputs; the kernel in three pieces. fast_small: absolute error allowed in NUM_FAST mode. */
static void check_reduce(reduce_args *a, const char *what, double fast_small) {
  int64_t units = reduce_units(a), count = 1;
  for (int k = 0; k < a->rank; k++) count *= a->reduced[k] ? a->dim[k] : 1;
  f16 *y = block((size_t)units * 2), *r = block((size_t)units * 2);
  void *scratch = block(reduce_scratch(a));
  a->y = r;
  reduce_run_ref(a, 0, units, scratch);
  a->y = y;
  int64_t cut = random_below(units + 1), cut2 = cut + random_below(units - cut + 1);
  reduce_run(a, cut2, units, scratch);
  reduce_run(a, 0, cut, scratch);
  reduce_run(a, cut, cut2, scratch);
  int bad = 0;
  for (int64_t i = 0; i < units && bad < 3; i++) {
    bool ok = a->profile.mode == NUM_ANE ? y[i] == r[i] : near(y[i], r[i], 1, fast_small);
    bad += !ok;
    CHECK(ok, "%s kind %d count %lld output %lld of %lld: %04x, not %04x", what, (int)a->kind, (long long)count,
          (long long)i, (long long)units, y[i], r[i]);
  }
  free(y), free(r), free(scratch);
}

TEST(reductions_of_random_shapes) {
  static const int64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 64, 65, 130, 300};
  for (int trial = 0; trial < 1200 && !test_current_failed; trial++) {
    reduce_args a = {.profile = trial % 5 == 4 ? fast : ane, .kind = kinds[trial % KINDS]};
    int64_t n;
    do {
      n = 1;
      a.rank = (int)random_below(K_RANK + 1);
      for (int k = 0; k < a.rank; k++) n *= a.dim[k] = sizes[random_below(15)];
    } while (n > 60000);
    for (int k = 0; k < a.rank; k++) a.reduced[k] = random_below(2);
    f16 *x = block((size_t)n * 2);
    fill(x, n, a.profile.mode == NUM_FAST ? 0 : trial % 5);
    a.x = x;
    check_reduce(&a, "random", 0.02);
    free(x);
  }
}

TEST(reductions_longer_than_an_exact_total) {
  static const struct {
    int rank;
    int64_t dim[3];
    bool reduced[3];
  } shape[] = {{1, {20001}, {true}},
               {2, {3, 8193}, {false, true}},
               {2, {9000, 5}, {true, false}},
               {3, {100, 3, 90}, {true, false, true}},
               {3, {95, 2, 100}, {true, true, false}}};
  for (int s = 0; s < 5; s++) {
    for (int k = 0; k < KINDS; k++) {
      for (int kind = 0; kind < 5; kind++) {
        reduce_args a = {.profile = ane, .kind = kinds[k], .rank = shape[s].rank};
        int64_t n = 1;
        for (int d = 0; d < a.rank; d++) n *= a.dim[d] = shape[s].dim[d], a.reduced[d] = shape[s].reduced[d];
        f16 *x = block((size_t)n * 2);
        fill(x, n, kind);
        a.x = x;
        check_reduce(&a, "long", 0);
        free(x);
      }
    }
  }
}

/* 2^22 elements of 60000 exceed what a double holds in units of 2^-24; their mean must still be exact. */
TEST(mean_of_many_large_values) {
  enum { N = 1 << 22 };
  f16 *x = block(2 * N), y;
  for (int i = 0; i < N; i++) x[i] = f16_from_float(60000);
  reduce_args a = {.profile = ane, .kind = OP_REDUCE_MEAN, .rank = 1, .dim = {N}, .reduced = {true}, .x = x, .y = &y};
  void *scratch = block(reduce_scratch(&a));
  reduce_run(&a, 0, 1, scratch);
  CHECK(y == f16_from_float(60000), "%04x", y);
  a.kind = OP_REDUCE_SUM;
  reduce_run(&a, 0, 1, scratch);
  CHECK(y == 0x7c00, "%04x", y);
  free(x), free(scratch);
}

TEST(published_reduction_values) {
  f16 x[1025], y;
  reduce_args a = {.profile = ane, .kind = OP_REDUCE_SUM, .rank = 1, .dim = {1025}, .reduced = {true}, .x = x, .y = &y};
  void *scratch = block(reduce_scratch(&a));
  for (int i = 0; i < 1025; i++) x[i] = 0x3c00;
  x[0] = f16_from_float(4096);
  reduce_run(&a, 0, 1, scratch);
  CHECK(f16_to_float(y) == 5116, "%g", f16_to_float(y));
  a.dim[0] = 8;
  for (int i = 0; i < 8; i++) x[i] = f16_from_float(i ? 256 : 257);
  reduce_run(&a, 0, 1, scratch);
  CHECK(f16_to_float(y) == 2050, "%g", f16_to_float(y));
  free(scratch);
}

/* -- Softmax ------------------------------------------------------------------------------------------------------- */

static void check_softmax(softmax_args *a) {
  int64_t n = a->outer * a->axis * a->inner, units = softmax_units(a);
  f16 *y = block((size_t)n * 2), *r = block((size_t)n * 2);
  void *scratch = block(softmax_scratch(a));
  a->y = r;
  softmax_run_ref(a, 0, units, scratch);
  a->y = y;
  int64_t cut = random_below(units + 1);
  softmax_run(a, cut, units, scratch);
  softmax_run(a, 0, cut, scratch);
  int bad = 0;
  for (int64_t i = 0; i < n && bad < 3; i++) {
    bool ok = a->profile.mode == NUM_ANE ? y[i] == r[i] : near(y[i], r[i], 1, 1e-7);
    bad += !ok;
    CHECK(ok, "[%lld, %lld, %lld] at %lld: %04x, not %04x", (long long)a->outer, (long long)a->axis, (long long)a->inner,
          (long long)i, y[i], r[i]);
  }
  free(y), free(r), free(scratch);
}

TEST(softmax_of_random_shapes) {
  static const int64_t sizes[] = {1, 2, 3, 5, 8, 13, 16, 31, 64, 100, 300};
  for (int trial = 0; trial < 500 && !test_current_failed; trial++) {
    softmax_args a = {.profile = trial % 4 == 3 ? fast : ane};
    do a.outer = sizes[random_below(8)], a.axis = sizes[random_below(11)], a.inner = trial % 2 ? 1 : sizes[random_below(11)];
    while (a.outer * a.axis * a.inner > 60000);
    f16 *x = block((size_t)(a.outer * a.axis * a.inner) * 2);
    fill(x, a.outer * a.axis * a.inner, a.profile.mode == NUM_FAST ? 0 : trial % 5);
    a.x = x;
    check_softmax(&a);
    free(x);
  }
  softmax_args wide[] = {{ane, 1, 9001, 1, NULL, NULL}, {ane, 1, 8200, 3, NULL, NULL}};
  for (int i = 0; i < 2; i++) {
    f16 *x = block((size_t)(wide[i].axis * wide[i].inner) * 2);
    fill(x, wide[i].axis * wide[i].inner, 0);
    wide[i].x = x;
    check_softmax(&wide[i]);
    free(x);
  }
}

TEST(softmax_in_place_and_special_lanes) {
  f16 x[4] = {f16_from_float(1000), 0x3c00, 0x4000, 0x4200}, y[4];
  softmax_args a = {.profile = ane, .outer = 1, .axis = 4, .inner = 1, .x = x, .y = y};
  softmax_run(&a, 0, 1, NULL);
  CHECK(y[0] == 0x3c00 && !y[1] && !y[2] && !y[3]);
  for (int i = 0; i < 4; i++) x[i] = 0x3800;
  a.y = x;
  softmax_run(&a, 0, 1, NULL);
  CHECK(x[0] == 0x3400 && x[3] == 0x3400, "%04x", x[0]);
  x[1] = 0x7e00, a.y = y;
  softmax_run(&a, 0, 1, NULL);
  CHECK(y[1] == 0x3c00 && !y[0] && !y[2] && !y[3]);
}

/* -- Pooling ------------------------------------------------------------------------------------------------------- */

static void check_pool(pool_args *a) {
  int64_t units = pool_units(a), n = units * a->ow;
  f16 *y = block((size_t)n * 2), *r = block((size_t)n * 2);
  a->y = r;
  pool_run_ref(a, 0, units, NULL);
  a->y = y;
  int64_t cut = random_below(units + 1);
  pool_run(a, cut, units, NULL);
  pool_run(a, 0, cut, NULL);
  int bad = 0;
  for (int64_t i = 0; i < n && bad < 3; i++) {
    bool ok = a->profile.mode == NUM_ANE ? y[i] == r[i] : near(y[i], r[i], 1, 1e-3);
    bad += !ok;
    CHECK(ok, "%s %lldx%lld window %lldx%lld stride %lld,%lld at %lld: %04x, not %04x", a->average ? "average" : "maximum",
          (long long)a->h, (long long)a->w, (long long)a->kh, (long long)a->kw, (long long)a->stride_h,
          (long long)a->stride_w, (long long)i, y[i], r[i]);
  }
  free(y), free(r);
}

static int64_t outputs(int64_t size, int64_t pad, int64_t window, int64_t stride) { return (size + pad - window) / stride + 1; }

TEST(pooling_of_random_shapes) {
  for (int trial = 0; trial < 600 && !test_current_failed; trial++) {
    pool_args a = {.profile = trial % 4 == 3 ? fast : ane, .average = random_below(2), .exclude_pad = random_below(2)};
    a.planes = 1 + random_below(3), a.h = 1 + random_below(20), a.w = 1 + random_below(trial % 10 ? 40 : 600);
    a.kh = 1 + random_below(5), a.kw = 1 + random_below(5);
    a.stride_h = 1 + random_below(3), a.stride_w = 1 + random_below(3);
    a.pad_top = random_below(a.kh), a.pad_bottom = random_below(a.kh);
    a.pad_left = random_below(a.kw + 2), a.pad_right = random_below(a.kw + 2);
    if (a.h + a.pad_top + a.pad_bottom < a.kh || a.w + a.pad_left + a.pad_right < a.kw) continue;
    a.oh = outputs(a.h, a.pad_top + a.pad_bottom, a.kh, a.stride_h);
    a.ow = outputs(a.w, a.pad_left + a.pad_right, a.kw, a.stride_w);
    f16 *x = block((size_t)(a.planes * a.h * a.w) * 2);
    fill(x, a.planes * a.h * a.w, a.profile.mode == NUM_FAST ? 0 : trial % 5);
    a.x = x;
    check_pool(&a);
    free(x);
  }
  pool_args whole = {.profile = ane, .average = true, .planes = 2, .h = 100, .w = 90, .oh = 1, .ow = 1, .kh = 100, .kw = 90,
                     .stride_h = 1, .stride_w = 1};
  f16 *x = block(2 * 100 * 90 * 2);
  fill(x, 2 * 100 * 90, 3);
  whole.x = x;
  check_pool(&whole);
  free(x);
}

TEST(upsampling) {
  for (int64_t scale_h = 1; scale_h <= 3; scale_h++) {
    for (int64_t scale_w = 1; scale_w <= 4; scale_w++) {
      enum { PLANES = 3, H = 5, W = 7 };
      f16 x[PLANES * H * W];
      fill(x, PLANES * H * W, 1);
      int64_t oh = H * scale_h, ow = W * scale_w;
      f16 *y = block((size_t)(PLANES * oh * ow) * 2);
      upsample_args a = {PLANES, H, W, scale_h, scale_w, x, y};
      upsample_run(&a, 4, upsample_units(&a), NULL);
      upsample_run(&a, 0, 4, NULL);
      for (int64_t i = 0; i < PLANES * oh * ow; i++) {
        int64_t p = i / (oh * ow), r = i / ow % oh, c = i % ow;
        CHECK(y[i] == x[(p * H + r / scale_h) * W + c / scale_w], "scale %lld,%lld at %lld", (long long)scale_h,
              (long long)scale_w, (long long)i);
      }
      free(y);
    }
  }
}

/* -- Speed, printed only ------------------------------------------------------------------------------------------- */

#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

TEST(speed) {
  enum { ROWS = 512, COLUMNS = 1024, N = ROWS * COLUMNS };
  f16 *x = block(2 * N), *y = block(2 * N);
  void *scratch = block(1 << 20);
  fill(x, N, 0);
  for (int mode = 0; mode < 2; mode++) {
    for (int axis = 0; axis < 2; axis++) {
      double best = 1e9, best_softmax = 1e9;
      for (int i = 0; i < 10; i++) {
        reduce_args a = {.profile = mode ? fast : ane, .kind = OP_REDUCE_SUM, .rank = 2, .dim = {ROWS, COLUMNS},
                         .reduced = {axis == 0, axis == 1}, .x = x, .y = y};
        double start = now();
        reduce_run(&a, 0, reduce_units(&a), scratch);
        best = fmin(best, now() - start);
        softmax_args s = {mode ? fast : ane, axis ? ROWS : 1, axis ? COLUMNS : ROWS, axis ? 1 : COLUMNS, x, y};
        start = now();
        softmax_run(&s, 0, softmax_units(&s), scratch);
        best_softmax = fmin(best_softmax, now() - start);
      }
      printf("  axis %d %-4s sum %6.2f  softmax %6.2f Gelem/s\n", axis, mode ? "fast" : "ane", N / best * 1e-9,
             N / best_softmax * 1e-9);
    }
    for (int average = 0; average < 2; average++) {
      pool_args p = {.profile = mode ? fast : ane, .average = average, .planes = 32, .h = 128, .w = 128, .oh = 64, .ow = 64,
                     .kh = 3, .kw = 3, .stride_h = 2, .stride_w = 2, .pad_top = 1, .pad_left = 1, .x = x, .y = y};
      double start = now();
      pool_run(&p, 0, pool_units(&p), scratch);
      printf("  %s pool 3x3 stride 2 %-4s %.3f Goutput/s\n", average ? "average" : "maximum", mode ? "fast" : "ane",
             32 * 64 * 64 / (now() - start) * 1e-9);
    }
  }
  CHECK(x && y);
  free(x), free(y), free(scratch);
}

static void tests(void) {
  RUN(reductions_of_random_shapes);
  RUN(reductions_longer_than_an_exact_total);
  RUN(mean_of_many_large_values);
  RUN(published_reduction_values);
  RUN(softmax_of_random_shapes);
  RUN(softmax_in_place_and_special_lanes);
  RUN(pooling_of_random_shapes);
  RUN(upsampling);
  if (getenv("ANEFORGE_TEST_SPEED")) RUN(speed);
}

KERNELS_MAIN(tests)
