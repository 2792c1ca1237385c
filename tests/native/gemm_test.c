/* Matrix products: published vectors, and every vector kernel against its scalar twin. */
#include "matrix_data.h"

static void run_gemm(const void *args, int64_t first, int64_t last, void *scratch) { gemm_run(args, first, last, scratch); }

static void run_all(run_fn *run, const gemm_args *g) { run_split(run, g, gemm_units(g), gemm_scratch(g)); }

static const num_profile ANE = {.mode = NUM_ANE, .family = 2};

static gemm_args plain(int64_t m, int64_t n, int64_t k, const f16 *x, const f16 *w, f16 *y) {
  return (gemm_args){.profile = ANE, .batch = 1, .m = m, .n = n, .k = k, .x_row = k, .x_col = 1, .w_row = n, .w_col = 1,
                     .bias_axis = -1, .x = x, .w = w, .y = y};
}

/* The same dot product in every place of an m x n output, so that every kernel shape sees it. */
static void check_dot(const char *name, const f16 *x, const f16 *w, int64_t k, const f16 *bias, f16 expected) {
  static const int64_t sizes[][2] = {{1, 1}, {1, 40}, {40, 1}, {2, 33}, {3, 5}, {13, 70}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    int64_t m = sizes[s][0], n = sizes[s][1];
    f16 *y = malloc((size_t)(m * n) * sizeof(f16)), *biases = malloc((size_t)n * sizeof(f16));
    gemm_args g = plain(m, n, k, x, w, y);
    g.x_row = g.w_col = 0;
    g.w_row = 1;
    if (bias) {
      for (int64_t i = 0; i < n; i++) biases[i] = *bias;
      g.bias_axis = 1;
      g.bias = biases;
    }
    run_all(run_gemm, &g);
    for (int64_t i = 0; i < m * n; i++) {
      CHECK(y[i] == expected, "%s %dx%d [%d]: %04x, expected %04x", name, (int)m, (int)n, (int)i, y[i], expected);
      if (y[i] != expected) break;
    }
    free(y);
    free(biases);
  }
}

TEST(published_products) {
  static const struct {
    f16 x[4], w[4];
    int n, repeat;
    f16 y;
  } cases[] = {
      {{0x3c00}, {0x0100}, 1, 1, 0x0100},
      {{0x3c00}, {0x0080}, 1, 1, 0x0100},
      {{0x3c00}, {0x0040}, 1, 1, 0x0000},
      {{0x1800}, {0x1c00}, 1, 1, 0x0000},
      {{0x1a00}, {0x1e00}, 1, 1, 0x0000},
      {{0x1c00}, {0x1c00}, 1, 1, 0x0100},
      {{0x6800, 0x3c00}, {0x3c00, 0x3c00}, 2, 1, 0x6801},
      {{0x6801, 0x3c00}, {0x3c00, 0x3c00}, 2, 1, 0x6802},
      {{0xe800, 0xbc00}, {0x3c00, 0x3c00}, 2, 1, 0xe801},
      {{0x77d0, 0x61e0}, {0x3c00, 0x3c00}, 2, 1, 0x77ff},
      {{0x7400, 0x7400}, {0x3c00, 0x3c00}, 2, 1, 0x7c00},
      {{0x2e66, 0x2e66, 0x2e66}, {0x2e66, 0x3266, 0x34cd}, 3, 1, 0x2bae},
      {{0x1a25}, {0x1c19}, 1, 8, 0x0000},
      {{0x1419}, {0x211f}, 1, 100, 0x0000},
      {{0x3555}, {0x3555}, 1, 3, 0x3555},
      /* 16384 + 16376 = 32760 is finite; 30000 + 2768 and -32768 are not; -0 comes out as +0 */
      {{0x7400, 0x73ff}, {0x3c00, 0x3c00}, 2, 1, 0x7800},
      {{0x7753, 0x6968}, {0x3c00, 0x3c00}, 2, 1, 0x7c00},
      {{0xf400, 0xf400}, {0x3c00, 0x3c00}, 2, 1, 0xfc00},
      {{0x8000}, {0x3c00}, 1, 1, 0x0000},
      /* a sum that has been past the limit stays there */
      {{0x7400, 0x7400, 0xf400, 0xf400}, {0x3c00, 0x3c00, 0x3c00, 0x3c00}, 4, 1, 0x7c00},
      {{0x7400, 0xf400, 0x7400, 0xf400}, {0x3c00, 0x3c00, 0x3c00, 0x3c00}, 4, 100, 0x0000},
      /* exponent field 31 is an ordinary exponent: times 2^-12 */
      {{0x7c00}, {0x0c00}, 1, 1, 0x4c00},
      {{0x7e00}, {0x0c00}, 1, 1, 0x4e00},
      {{0x7fff}, {0x0c00}, 1, 1, 0x4fff},
      {{0x0c00}, {0x7e01}, 1, 1, 0x4e01},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    f16 x[400], w[400];
    int k = 0;
    for (int r = 0; r < cases[i].repeat; r++) {
      for (int j = 0; j < cases[i].n; j++, k++) {
        x[k] = cases[i].x[j];
        w[k] = cases[i].w[j];
      }
    }
    char name[32];
    snprintf(name, sizeof name, "case %d", (int)i);
    check_dot(name, x, w, k, NULL, cases[i].y);
    check_dot(name, w, x, k, NULL, cases[i].y);
  }
}

TEST(published_bias) {
  const f16 one = 0x3c00, zero = 0, big[2] = {0x7400, 0x7400}, ones[2] = {0x3c00, 0x3c00};
  const struct {
    f16 bias, y;
  } small[] = {{0x0080, 0x0100}, {0x0010, 0x0000}, {0x8080, 0x8100}, {0x8000, 0x0000}, {0x7800, 0x7c00}, {0xfc00, 0xfc00}};
  for (size_t i = 0; i < sizeof small / sizeof *small; i++)
    check_dot("bias alone", &zero, &one, 1, &small[i].bias, small[i].y);
  const f16 below = 0xf400, above = 0x5000, x = 0x77fe; /* -16384, 32, 32736 */
  check_dot("bias -16384", big, ones, 2, &below, 0x7400);
  check_dot("bias 32", &x, &one, 1, &above, 0x7c00);
}

TEST(published_sequences) {
  static const f16 expected[2][4] = {{0x28e9, 0x25fb, 0x20b8, 0xab4e}, {0x1480, 0x0e40, 0x9340, 0x0a00}};
  for (int which = 0; which < 2; which++) {
    uint32_t s = which ? 777 : 12345;
    f16 x[64], w[256], y[4];
    for (int i = 0; i < 64 + 256; i++) {
      f16 v = which ? lcg_value(&s, 0.125 * 0.1) : lcg_value(&s, 0.125);
      if (i < 64) x[i] = v;
      else w[i - 64] = v;
    }
    gemm_args g = plain(1, 4, 64, x, w, y);
    g.w_row = 1;
    g.w_col = 64;
    run_all(run_gemm, &g);
    for (int i = 0; i < 4; i++) CHECK(y[i] == expected[which][i], "%d: %04x", i, y[i]);
    for (int i = 0; i < 4; i++) check_dot("sequence", x, w + 64 * i, 64, NULL, expected[which][i]);
  }
}

/* Every pair of exponents with random significands, against the scalar product: rounding, ties and drops one by one. */
TEST(single_products) {
  for (int round = 0; round < 8; round++) {
    f16 x[64], w[64], y[64 * 64], expected[64 * 64];
    for (int i = 0; i < 64; i++) {
      uint16_t low = (uint16_t[]){0, 1, 0x200, 0x3ff, 0x155}[random_in(0, 4)];
      x[i] = (f16)((i % 32) << 10 | (round < 2 ? low : random_bits() & 0x3ff) | (i & 32) << 10);
      w[i] = (f16)((i % 32) << 10 | (round < 2 ? low : random_bits() & 0x3ff) | (random_bits() & 0x8000));
    }
    gemm_args g = plain(64, 64, 1, x, w, y);
    run_all(run_gemm, &g);
    for (int i = 0; i < 64 * 64; i++) expected[i] = mac_dot(&x[i / 64], 1, &w[i % 64], 1, 1, 0);
    int64_t at = first_difference(y, expected, 64 * 64);
    CHECK(at < 0, "%04x * %04x: %04x, expected %04x", x[at / 64], w[at % 64], y[at], expected[at]);
  }
}

/* -- Random products against the twin ---------------------------------------------------------------------------------- */

typedef struct {
  int64_t m, n, k;
  enum data_kind kind;
  bool transpose_x, transpose_w, wide_rows, packed, epilogue;
  int bias_axis;
  num_profile profile;
  int batch_rank;
} gemm_case;

static int64_t matrix_strides(int64_t rows, int64_t cols, bool transposed, bool wide, int64_t *row, int64_t *col) {
  int64_t pad = wide ? 3 : 0;
  *row = transposed ? 1 : cols + pad;
  *col = transposed ? rows + pad : 1;
  return (rows - 1) * *row + (cols - 1) * *col + 1;
}

static void set_batch(gemm_args *g, int rank, int64_t x_size, int64_t w_size, int64_t *x_total, int64_t *w_total) {
  g->batch_rank = rank;
  *x_total = x_size;
  *w_total = w_size;
  for (int d = 0; d < rank; d++) {
    g->batch_dim[d] = random_in(1, 3);
    g->batch *= g->batch_dim[d];
    g->x_batch[d] = random_in(0, 2) ? *x_total : 0;
    g->w_batch[d] = random_in(0, 1) ? *w_total : 0;
    if (g->x_batch[d]) *x_total *= g->batch_dim[d];
    if (g->w_batch[d]) *w_total *= g->batch_dim[d];
  }
}

static void check_case(const gemm_case *c) {
  gemm_args g = {.profile = c->profile, .batch = 1, .m = c->m, .n = c->n, .k = c->k, .bias_axis = c->bias_axis};
  int64_t x_size = matrix_strides(c->m, c->k, c->transpose_x, c->wide_rows, &g.x_row, &g.x_col), x_total;
  int64_t w_size = matrix_strides(c->k, c->n, c->transpose_w, c->wide_rows, &g.w_row, &g.w_col), w_total;
  set_batch(&g, c->batch_rank, x_size, w_size, &x_total, &w_total);
  enum data_kind w_kind = c->kind == LARGE || c->kind == CANCELLING ? ORDINARY : c->kind;
  if (c->kind == LARGE && random_in(0, 1)) w_kind = TINY;
  f16 *x = random_values(c->kind, x_total), *w = random_values(w_kind, w_total);
  int64_t total = g.batch * c->m * c->n;
  f16 *bias = random_values(random_in(0, 3) ? ORDINARY : LARGE, c->m > c->n ? c->m : c->n);
  f16 *y = malloc((size_t)total * sizeof(f16)), *expected = malloc((size_t)total * sizeof(f16));
  f16 *side = random_values(ORDINARY, total);
  memset(y, 0x55, (size_t)total * sizeof(f16));
  memset(expected, 0xAA, (size_t)total * sizeof(f16));
  g.x = x;
  g.w = w;
  g.bias = bias;
  test_epilogue epilogue;
  int64_t dim[3] = {g.batch, g.m, g.n};
  make_epilogue(&epilogue, c->profile, 3, dim);
  if (c->epilogue) {
    g.epilogue = g.epilogue_args.program = &epilogue.program;
    g.epilogue_args.in[0] = side;
  }
  g.y = expected;
  g.epilogue_args.out[0] = expected;
  void *scratch = dirty_scratch(gemm_scratch(&g));
  gemm_run_ref(&g, 0, gemm_units(&g), scratch);
  free(scratch);
  g.y = c->epilogue ? NULL : y;
  g.epilogue_args.out[0] = y;
  void *packed = NULL;
  if (c->packed) {
    packed = dirty_scratch(gemm_packed_w_size(&g));
    gemm_pack_w(&g, packed);
    g.packed_w = packed;
    g.w = NULL;
  }
  run_all(run_gemm, &g);
  int64_t at = first_difference(y, expected, total);
  CHECK(at < 0,
        "m%d n%d k%d batch%d mode%d kind%d tx%d tw%d wide%d packed%d ep%d bias%d: [%d] %04x, expected %04x", (int)c->m,
        (int)c->n, (int)c->k, (int)g.batch, c->profile.mode, c->kind, c->transpose_x, c->transpose_w, c->wide_rows,
        c->packed, c->epilogue, c->bias_axis, (int)at, y[at], expected[at]);
  free(packed);
  free(side);
  free(expected);
  free(y);
  free(bias);
  free(w);
  free(x);
}

static gemm_case random_case(int64_t largest) {
  gemm_case c = {.m = random_in(1, largest), .n = random_in(1, largest), .k = random_in(1, largest),
                 .kind = (enum data_kind)random_in(0, DATA_KINDS - 1), .transpose_x = random_bits() & 1,
                 .transpose_w = random_bits() & 1, .wide_rows = random_bits() & 1, .packed = random_bits() & 1,
                 .epilogue = random_in(0, 3) == 0, .bias_axis = (int)random_in(-1, 1), .profile = random_profile(false),
                 .batch_rank = (int)random_in(0, 2)};
  if (random_in(0, 7) == 0) c.m = 1;
  if (random_in(0, 7) == 0) c.n = 1;
  if (random_in(0, 7) == 0) c.k = 1;
  return c;
}

TEST(random_small) {
  for (int i = 0; i < 600; i++) {
    gemm_case c = random_case(i % 3 ? 20 : 70);
    check_case(&c);
    if (test_current_failed) return;
  }
}

TEST(random_deep) { /* several chunks along k */
  for (int i = 0; i < 60; i++) {
    gemm_case c = random_case(40);
    c.k = random_in(250, 1100);
    c.batch_rank = 0;
    check_case(&c);
    if (test_current_failed) return;
  }
}

TEST(random_wide) { /* several blocks and units */
  for (int i = 0; i < 6; i++) {
    gemm_case c = random_case(40);
    c.m = random_in(100, 300);
    c.n = random_in(100, 700);
    c.k = random_in(30, 300);
    c.batch_rank = 0;
    check_case(&c);
    if (test_current_failed) return;
  }
  gemm_case row = random_case(40);
  row.m = 1;
  row.n = 5000;
  row.k = 300;
  row.batch_rank = 0;
  check_case(&row);
}

/* Sums that walk along the limit: some columns pass it, some come back before, in every chunk. */
TEST(saturation) {
  for (int i = 0; i < 40; i++) {
    gemm_case c = random_case(30);
    c.kind = i % 2 ? CANCELLING : ONE_HUGE;
    c.profile.mode = NUM_ANE;
    c.k = random_in(200, 900);
    c.batch_rank = 0;
    check_case(&c);
    if (test_current_failed) return;
  }
}

/* The result of a unit does not depend on the instruction set: one checksum for all of them. */
TEST(same_bits_everywhere) {
  enum { M = 37, N = 53, K = 400 };
  static f16 x[M * K], w[K * N], y[M * N];
  uint32_t s = 1;
  for (int i = 0; i < M * K; i++) x[i] = lcg_value(&s, 2);
  for (int i = 0; i < K * N; i++) w[i] = lcg_value(&s, 0.25);
  static const uint32_t expected[2] = {0xc8aa4ddc, 0x3d495dd7};
  for (int mode = 0; mode < 2; mode++) {
    gemm_args g = plain(M, N, K, x, w, y);
    g.profile.mode = mode ? NUM_FAST : NUM_ANE;
    run_all(run_gemm, &g);
    uint32_t sum = 0;
    for (int i = 0; i < M * N; i++) sum = sum * 31 + y[i];
    CHECK(sum == expected[mode], "mode %d: 0x%08x", mode, sum);
  }
}

static int tests(void) {
  RUN(published_products);
  RUN(published_bias);
  RUN(published_sequences);
  RUN(single_products);
  RUN(random_small);
  RUN(random_deep);
  RUN(random_wide);
  RUN(saturation);
  RUN(same_bits_everywhere);
  return test_end();
}

int main(int argc, char **argv) { return for_each_isa(argc, argv, tests); }
