/* Products and convolutions of compressed weights: the same bits as with the weights expanded first, in both arithmetics. */
#include "matrix_data.h"

static void run_gemm(const void *args, int64_t first, int64_t last, void *scratch) { gemm_run(args, first, last, scratch); }
static void run_conv(const void *args, int64_t first, int64_t last, void *scratch) { conv_run(args, first, last, scratch); }

typedef struct {
  weight_codes codes;
  void *data;
  f16 *table;
  uint8_t *mask;
  f16 *dense;
} weights;

/* `run` elements share a scale (INT8). Values of every size, few of them special. */
static weights make_weights(enum weight_kind kind, int64_t elements, int64_t run, double scale) {
  weights w = {.codes = {.kind = kind, .elements = elements, .run = run}, .dense = malloc((size_t)elements * sizeof(f16))};
  weight_codes *c = &w.codes;
  int64_t kept = 0, bytes = kind == WEIGHT_INT8 ? elements : (elements + 1) / 2;
  if (kind == WEIGHT_SPARSE) {
    c->mask = w.mask = malloc((size_t)(elements + 7) / 8);
    uint64_t density = (uint64_t)random_in(0, 4);
    for (int64_t i = 0; i < (elements + 7) / 8; i++) w.mask[i] = 0;
    for (int64_t i = 0; i < elements; i++)
      if ((random_bits() & 3) < density) w.mask[i / 8] |= (uint8_t)(1 << i % 8), kept++;
    bytes = 2 * kept;
  }
  c->data = w.data = malloc((size_t)bytes + 1);
  for (int64_t i = 0; i < bytes; i++) ((uint8_t *)w.data)[i] = (uint8_t)random_bits();
  for (int64_t i = 0; i < kept; i++) ((f16 *)w.data)[i] = random_in(0, 30) ? f16_from_float((float)(random_unit() * scale * 100)) : 0;
  c->tables = kind == WEIGHT_INT8 ? elements / run : 16;
  c->table = w.table = malloc((size_t)c->tables * sizeof(f16));
  for (int64_t i = 0; i < c->tables; i++) {
    double v = kind == WEIGHT_INT8 ? fabs(random_unit()) * scale : random_unit() * scale * 100;
    w.table[i] = random_in(0, 40) ? f16_from_float((float)v) : 0;
  }
  weight_decode(c, w.dense);
  return w;
}

static void free_weights(weights *w) {
  free(w->data);
  free(w->table);
  free(w->mask);
  free(w->dense);
}

static const char *const kind_names[] = {"int8", "uint4", "sparse"};

/* Around one, near the limit of the accumulator, and where products are dropped. */
static double random_scale(void) { return (const double[]){0.02, 0.0004, 1.0 / (1 << 20), 4, 500}[random_in(0, 4)]; }

static void check_gemm(int64_t m, int64_t n, int64_t k, enum weight_kind kind, bool transposed, int64_t batch) {
  double scale = random_scale();
  gemm_args g = {.profile = random_profile(false), .batch = batch, .m = m, .n = n, .k = k, .x_row = k, .x_col = 1,
                 .w_row = transposed ? 1 : n, .w_col = transposed ? k : 1, .bias_axis = random_in(0, 1) ? 1 : -1};
  if (batch > 1) {
    g.batch_rank = 1;
    g.batch_dim[0] = batch;
    g.x_batch[0] = m * k;
    g.w_batch[0] = n * k;
  }
  /* scales per row of w^T, per block of such a row, per matrix */
  int64_t run = transposed ? k : n * k;
  if (transposed && random_in(0, 1))
    for (run = random_in(1, 40); k % run; run--) {}
  weights w = make_weights(kind, batch * n * k, run, scale);
  enum data_kind values = (enum data_kind)random_in(0, DATA_KINDS - 1);
  f16 *x = random_values(values, batch * m * k), *bias = random_values(ORDINARY, n);
  int64_t total = batch * m * n;
  f16 *y = malloc((size_t)total * sizeof(f16)), *expected = malloc((size_t)total * sizeof(f16));
  memset(y, 0x55, (size_t)total * sizeof(f16));
  memset(expected, 0xAA, (size_t)total * sizeof(f16));
  g.x = x;
  g.bias = bias;
  g.y = expected;
  g.w = w.dense;
  run_split(run_gemm, &g, gemm_units(&g), gemm_scratch(&g));
  g.w = NULL;
  g.codes = &w.codes;
  g.y = y;
  size_t size = gemm_packed_codes_size(&g);
  CHECK(size > 0, "%s m%d n%d k%d run%d", kind_names[kind], (int)m, (int)n, (int)k, (int)run);
  void *packed = dirty_scratch(size);
  CHECK(size == 0 || gemm_pack_codes(&g, packed), "pack");
  g.packed_w = packed;
  run_split(run_gemm, &g, gemm_units(&g), gemm_scratch(&g));
  int64_t at = first_difference(y, expected, total);
  CHECK(at < 0, "%s m%d n%d k%d batch%d mode%d transposed%d run%d scale %g values%d: [%d] %04x, expected %04x",
        kind_names[kind], (int)m, (int)n, (int)k, (int)batch, g.profile.mode, transposed, (int)run, scale, values, (int)at,
        y[at], expected[at]);
  free(packed);
  free(y);
  free(expected);
  free(x);
  free(bias);
  free_weights(&w);
}

TEST(products) {
  for (int i = 0; i < 400; i++)
    check_gemm(random_in(1, 9), random_in(1, 90), random_in(1, 90), (enum weight_kind)(i % 3), random_bits() & 1,
               random_in(0, 2) ? 1 : random_in(2, 3));
}

TEST(rows) {
  for (int i = 0; i < 200; i++)
    check_gemm((int64_t[]){1, 1, 2, 3, 4, 5, 8, 20}[random_in(0, 7)], random_in(1, 200), random_in(200, 1200),
               (enum weight_kind)(i % 3), random_in(0, 3) > 0, 1);
}

TEST(one_column) {
  for (int i = 0; i < 60; i++)
    check_gemm(random_in(1, 60), 1, random_in(1, 600), (enum weight_kind)(i % 3), random_bits() & 1, random_in(1, 2));
}

/* Every code with every significand of a scale, at exponents where the product is subnormal, normal, and near the largest. */
TEST(every_product) {
  enum { N = 1024 };
  static int8_t q[N];
  static f16 scale[N], y[N];
  const f16 one = 0x3c00;
  for (int code = -127; code <= 127; code++) {
    for (int e = 0; e < 31; e += 3) {
      memset(q, code, sizeof q);
      for (int i = 0; i < N; i++) scale[i] = (f16)(e << 10 | i);
      weight_codes codes = {.kind = WEIGHT_INT8, .data = q, .table = scale, .elements = N, .run = 1, .tables = N};
      gemm_args g = {.profile = {.mode = NUM_FAST, .family = 2}, .batch = 1, .m = 1, .n = N, .k = 1, .x_row = 1, .x_col = 1,
                     .w_row = 1, .w_col = 1, .bias_axis = -1, .x = &one, .y = y, .codes = &codes};
      void *packed = dirty_scratch(gemm_packed_codes_size(&g));
      gemm_pack_codes(&g, packed);
      g.packed_w = packed;
      run_split(run_gemm, &g, gemm_units(&g), gemm_scratch(&g));
      free(packed);
      for (int i = 0; i < N; i++) {
        f16 expected = f16_from_float((float)code * f16_to_float(scale[i]));
        if ((y[i] & 0x7fff) == 0 && (expected & 0x7fff) == 0) continue;
        CHECK(y[i] == expected, "%d * %04x: %04x, expected %04x", code, scale[i], y[i], expected);
        if (y[i] != expected) return;
      }
    }
  }
}

/* Scales along k do not go with panels. */
TEST(refused) {
  weights w = make_weights(WEIGHT_INT8, 24, 6, 1);
  gemm_args g = {.profile = {.mode = NUM_ANE, .family = 2}, .batch = 1, .m = 1, .n = 6, .k = 4, .w_row = 6, .w_col = 1,
                 .bias_axis = -1, .codes = &w.codes};
  CHECK(gemm_packed_codes_size(&g) == 0, "scale per k");
  free_weights(&w);
}

static void check_conv(enum weight_kind kind) {
  int64_t groups = random_in(0, 2) ? 1 : random_in(2, 3);
  conv_args c = {.profile = random_profile(false), .n = random_in(1, 2), .cin = groups * random_in(2, 70),
                 .cout = groups * random_in(1, 20), .h = random_in(4, 12), .w = random_in(4, 12), .kh = random_in(1, 3),
                 .kw = random_in(1, 3), .groups = groups, .stride_h = random_in(1, 2), .stride_w = random_in(1, 2),
                 .dilation_h = 1, .dilation_w = 1, .has_bias = random_bits() & 1};
  if (random_in(0, 4) == 0) c.kh = c.h, c.kw = c.w, c.stride_h = c.stride_w = 1;
  c.oh = (c.h - c.kh) / c.stride_h + 1;
  c.ow = (c.w - c.kw) / c.stride_w + 1;
  int64_t per = c.cin / groups * c.kh * c.kw, total = c.n * c.cout * c.oh * c.ow, run = per;
  if (random_in(0, 1))
    for (run = random_in(1, 40); per % run; run--) {}
  weights w = make_weights(kind, c.cout * per, run, random_scale());
  f16 *x = random_values(ORDINARY, c.n * c.cin * c.h * c.w), *bias = random_values(ORDINARY, c.cout);
  f16 *y = malloc((size_t)total * sizeof(f16)), *expected = malloc((size_t)total * sizeof(f16));
  c.x = x;
  c.bias = bias;
  c.weight = w.dense;
  c.y = expected;
  run_split(run_conv, &c, conv_units(&c), conv_scratch(&c));
  c.weight = NULL;
  c.codes = &w.codes;
  c.y = y;
  size_t size = conv_packed_codes_size(&c);
  CHECK(size > 0, "conv %s", kind_names[kind]);
  void *packed = dirty_scratch(size);
  CHECK(size == 0 || conv_pack_codes(&c, packed), "pack");
  c.packed_w = packed;
  run_split(run_conv, &c, conv_units(&c), conv_scratch(&c));
  int64_t at = first_difference(y, expected, total);
  CHECK(at < 0, "conv %s %dx%d cin%d cout%d groups%d mode%d: [%d] %04x, expected %04x", kind_names[kind], (int)c.kh,
        (int)c.kw, (int)c.cin, (int)c.cout, (int)groups, c.profile.mode, (int)at, y[at], expected[at]);
  free(packed);
  free(y);
  free(expected);
  free(x);
  free(bias);
  free_weights(&w);
}

TEST(convolutions) {
  for (int i = 0; i < 120; i++) check_conv((enum weight_kind)(i % 3));
}

/* At sizes that fill the panels, the packed form is hardly larger than the codes. */
TEST(bytes) {
  static const double nominal[] = {1, 0.5, 2};
  for (int kind = 0; kind < 3; kind++) {
    enum { N = 192, K = 1024 };
    weights w;
    int64_t kept;
    for (;;) { /* some weights are there */
      w = make_weights((enum weight_kind)kind, N * K, K, 1);
      kept = 0;
      for (int64_t i = 0; kind == WEIGHT_SPARSE && i < N * K; i++) kept += w.mask[i / 8] >> (i % 8) & 1;
      if (kind != WEIGHT_SPARSE || kept > N * K / 8) break;
      free_weights(&w);
    }
    double bytes = kind == WEIGHT_SPARSE ? N * K / 8.0 + 2.0 * (double)kept : nominal[kind] * N * K;
    gemm_args g = {.profile = {.mode = NUM_ANE, .family = 2}, .batch = 1, .m = 1, .n = N, .k = K, .w_row = 1, .w_col = K,
                   .bias_axis = -1, .codes = &w.codes};
    double packed = (double)gemm_packed_codes_size(&g);
    CHECK(packed <= 1.1 * bytes, "%s: %.0f bytes, %.0f nominal", kind_names[kind], packed, bytes);
    conv_args c = {.profile = g.profile, .n = 1, .cin = K, .cout = N, .h = 4, .w = 4, .kh = 1, .kw = 1, .oh = 4, .ow = 4,
                   .groups = 1, .stride_h = 1, .stride_w = 1, .dilation_h = 1, .dilation_w = 1, .codes = &w.codes};
    packed = (double)conv_packed_codes_size(&c);
    CHECK(packed <= 1.1 * bytes, "conv %s: %.0f bytes, %.0f nominal", kind_names[kind], packed, bytes);
    free_weights(&w);
  }
}

static int tests(void) {
  RUN(products);
  RUN(rows);
  RUN(one_column);
  RUN(every_product);
  RUN(refused);
  RUN(convolutions);
  RUN(bytes);
  return test_end();
}

int main(int argc, char **argv) { return for_each_isa(argc, argv, tests); }
