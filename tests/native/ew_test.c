/* Elementwise programs and unary functions against their scalar twins: every fp16 value for each function, special by
 * special and random pairs for each operation, random programs over random shapes and strides. */
#include <pthread.h>

#include "kernels_test.h"

typedef struct {
  enum mil_op_id op;
  const char *name;
  float alpha, beta;
  const char *mode;
  int units;    /* NUM_FAST: allowed distance from libm in steps of fp16 */
  double small; /* and an absolute error allowed besides */
} function;

static const function functions[] = {
    {OP_RELU, "relu", 0, 0, NULL, 0, 0},
    {OP_RELU6, "relu6", 0, 0, NULL, 0, 0},
    {OP_SILU, "silu", 0, 0, NULL, 1, 0},
    {OP_GELU, "gelu", 0, 0, "EXACT", 1, 0},
    {OP_GELU, "gelu_tanh", 0, 0, "TANH_APPROXIMATION", 1, 0},
    {OP_GELU, "gelu_sigmoid", 0, 0, "SIGMOID_APPROXIMATION", 1, 0},
    {OP_SIGMOID, "sigmoid", 0, 0, NULL, 1, 0},
    {OP_TANH, "tanh", 0, 0, NULL, 1, 0},
    {OP_EXP, "exp", 0, 0, NULL, 1, 0},
    {OP_EXP2, "exp2", 0, 0, NULL, 1, 0},
    {OP_SQRT, "sqrt", 0, 0, NULL, 0, 0},
    {OP_ABS, "abs", 0, 0, NULL, 0, 0},
    {OP_SQUARE, "square", 0, 0, NULL, 0, 0},
    {OP_SIN, "sin", 0, 0, NULL, 1, 1e-7},
    {OP_COS, "cos", 0, 0, NULL, 1, 1e-7},
    {OP_ERF, "erf", 0, 0, NULL, 1, 0},
    {OP_SOFTPLUS, "softplus", 0, 0, NULL, 1, 0},
    {OP_SOFTSIGN, "softsign", 0, 0, NULL, 1, 0},
    {OP_ATAN, "atan", 0, 0, NULL, 1, 0},
    {OP_FLOOR, "floor", 0, 0, NULL, 0, 0},
    {OP_CEIL, "ceil", 0, 0, NULL, 0, 0},
    {OP_ROUND, "round", 0, 0, NULL, 0, 0},
    {OP_SIGN, "sign", 0, 0, NULL, 0, 0},
    {OP_LOG, "log", 0, 0, NULL, 1, 1e-7},
    {OP_LOG, "log_eps", 1e-3f, 0, NULL, 1, 1e-7},
    {OP_RSQRT, "rsqrt", 0, 0, NULL, 1, 0},
    {OP_RSQRT, "rsqrt_eps", 1e-5f, 0, NULL, 1, 0},
    {OP_INVERSE, "inverse", 0, 0, NULL, 1, 0},
    {OP_INVERSE, "inverse_eps", 1e-4f, 0, NULL, 1, 0},
    {OP_ELU, "elu", 0.7f, 0, NULL, 1, 0},
    {OP_LEAKY_RELU, "leaky_relu", 0.01f, 0, NULL, 0, 0},
    {OP_THRESHOLD, "threshold", -0.3f, 0, NULL, 0, 0},
    {OP_THRESHOLDED_RELU, "thresholded_relu", 0.4f, 0, NULL, 0, 0},
    {OP_SCALED_TANH, "scaled_tanh", 1.7f, 0.66f, NULL, 1, 0},
    {OP_CLAMPED_RELU, "clamped_relu", 0.2f, 4.5f, NULL, 0, 0},
    {OP_SIGMOID_HARD, "sigmoid_hard", 0.2f, 0.5f, NULL, 1, 1e-7},
    {OP_LINEAR_ACTIVATION, "linear_activation", -1.3f, 0.25f, NULL, 1, 1e-7},
    {OP_CLIP, "clip", -1.5f, 2.25f, NULL, 0, 0},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* -- One instruction over dense inputs ----------------------------------------------------------------------------- */

/* Runs the program over n elements with the kernel (fast twin) into y and with the scalar twin into r. */
static void run_both(const ew_program *p, const void *const *in, void *const *y, void *const *r) {
  ew_args args = {.program = p};
  void *scratch = block(ew_scratch(p));
  for (int i = 0; i < p->n_in; i++) args.in[i] = in[i];
  for (int i = 0; i < p->n_out; i++) args.out[i] = r[i];
  ew_run_ref(&args, 0, ew_units(p), scratch);
  for (int i = 0; i < p->n_out; i++) args.out[i] = y[i];
  int64_t units = ew_units(p), cut = random_below(units + 1); /* any split, any order */
  ew_run(&args, cut, units, scratch);
  ew_run(&args, 0, cut, scratch);
  free(scratch);
}

static ew_program flat(num_profile profile, int64_t n, int n_in, ew_instr *instr) {
  ew_program p = {.profile = profile, .rank = 1, .dim = {n}, .n_in = n_in, .n_out = 1, .n_instr = 1, .instr = instr};
  for (int i = 0; i < n_in; i++) p.in[i] = (ew_port){MIL_FP16, (uint8_t)i, {1}};
  p.out[0] = (ew_port){MIL_FP16, 5, {0}};
  return p;
}

TEST(every_value_of_every_function) {
  f16 *x = block(2 * 65536), *y = block(2 * 65536), *r = block(2 * 65536);
  for (int i = 0; i < 65536; i++) x[i] = (f16)i;
  for (int mode = 0; mode < 2; mode++) {
    for (int f = 0; f < FUNCTIONS; f++) {
      const function *fn = &functions[f];
      ew_instr instr = {EW_UNARY, 5, 0, 0, 0, unary_get(fn->op, fn->alpha, fn->beta, fn->mode, mode ? fast : ane)};
      CHECK(instr.fn, "%s", fn->name);
      if (!instr.fn) continue;
      ew_program p = flat(mode ? fast : ane, 65536, 1, &instr);
      run_both(&p, (const void *[]){x}, (void *[]){y}, (void *[]){r});
      int bad = 0;
      for (int i = 0; i < 65536 && bad < 5; i++) {
        bool ok = mode ? near(y[i], r[i], fn->units, fn->small) : y[i] == r[i];
        bool same = r[i] == unary_apply(instr.fn, x[i]) || (mode && near(r[i], unary_apply(instr.fn, x[i]), 0, 0));
        bad += !ok || !same;
        CHECK(ok, "%s %s(%04x) = %04x, not %04x", mode ? "fast" : "ane", fn->name, i, y[i], r[i]);
        CHECK(same, "%s(%04x): %04x and %04x", fn->name, i, r[i], unary_apply(instr.fn, x[i]));
        if (!mode) CHECK((y[i] & 0x7fff) <= 0x7c00 && y[i] != 0x8000, "%s(%04x) = %04x", fn->name, i, y[i]);
      }
    }
  }
  free(x), free(y), free(r);
}

static const struct {
  uint8_t code;
  const char *name;
} binary[] = {{EW_ADD, "add"}, {EW_SUB, "sub"}, {EW_MUL, "mul"}, {EW_DIV, "div"}, {EW_MAX, "max"}, {EW_MIN, "min"},
              {EW_POW, "pow"}, {EW_GT, "gt"},   {EW_GE, "ge"},   {EW_LT, "lt"},   {EW_LE, "le"},   {EW_EQ, "eq"},
              {EW_NE, "ne"}};
enum { BINARY = sizeof binary / sizeof *binary };

static void check_pairs(int o, num_profile profile, const f16 *a, const f16 *b, f16 *y, f16 *r, int64_t n) {
  ew_instr instr = {binary[o].code, 5, 0, 1, 0, NULL};
  ew_program p = flat(profile, n, 2, &instr);
  run_both(&p, (const void *[]){a, b}, (void *[]){y}, (void *[]){r});
  int units = profile.mode == NUM_FAST && binary[o].code == EW_POW ? 1 : 0, bad = 0;
  for (int64_t i = 0; i < n && bad < 5; i++) {
    bool ok = profile.mode == NUM_FAST ? near(y[i], r[i], units, 0) : y[i] == r[i];
    bad += !ok;
    CHECK(ok, "%s %04x %s %04x = %04x, not %04x", profile.mode == NUM_FAST ? "fast" : "ane", a[i], binary[o].name, b[i],
          y[i], r[i]);
  }
}

TEST(pairs_of_every_operation) {
  enum { N = 1 << 20 };
  f16 *a = block(2 * N), *b = block(2 * N), *y = block(2 * N), *r = block(2 * N);
  for (int o = 0; o < BINARY; o++) {
    for (int mode = 0; mode < 2; mode++) {
      for (int i = 0; i < SPECIALS * SPECIALS; i++) a[i] = special[i / SPECIALS], b[i] = special[i % SPECIALS];
      check_pairs(o, mode ? fast : ane, a, b, y, r, SPECIALS * SPECIALS);
      int64_t n = binary[o].code <= EW_MUL && !mode ? N : N / 32;
      for (int kind = 0; kind < 2; kind++) {
        fill(a, n, kind), fill(b, n, kind);
        check_pairs(o, mode ? fast : ane, a, b, y, r, n);
      }
    }
  }
  /* Sums and products near the ties: b within a few steps of half a unit of a. */
  for (int64_t i = 0; i < N; i++) {
    a[i] = (f16)(random_bits() & 0xbfff);
    int exponent = (a[i] >> 10 & 31) - 11 - (int)random_below(4) + (int)random_below(3);
    b[i] = (f16)((exponent < 0 ? 0 : exponent) << 10 | random_below(3) | (random_bits() & 0x8000));
  }
  check_pairs(0, ane, a, b, y, r, N);
  check_pairs(1, ane, a, b, y, r, N);
  for (int64_t i = 0; i < N; i++) { /* subnormal products */
    a[i] = (f16)(random_bits() & 0x9fff);
    b[i] = (f16)((random_bits() & 0x83ff) | (uint32_t)(8 + random_below(8)) << 10);
  }
  check_pairs(2, ane, a, b, y, r, N);
  free(a), free(b), free(y), free(r);
}

TEST(powers_with_one_exponent) {
  enum { N = 700 };
  static const float exponent[] = {2, 3, 0, 1, -1, -2, 0.5f, 8, 9, 2.5f};
  f16 x[N], e[1], y[N], r[N];
  for (int i = 0; i < N; i++) x[i] = i < SPECIALS ? special[i] : f16_from_float((float)(random_unit() * 4));
  for (int k = 0; k < 10; k++) {
    e[0] = f16_from_float(exponent[k]);
    ew_instr instr = {EW_POW, 5, 0, 1, 0, NULL};
    ew_program p = flat(ane, N, 2, &instr);
    p.in[1].stride[0] = 0;
    run_both(&p, (const void *[]){x, e}, (void *[]){y}, (void *[]){r});
    CHECK(differ(y, r, sizeof y) < 0, "exponent %g", exponent[k]);
    for (int i = SPECIALS; i < N; i++) { /* the rule itself, loosely: the tables are good to about 1 % */
      double exact = pow(f16_to_float(x[i]), exponent[k]), got = f16_to_float(y[i]);
      if (exact == exact && fabs(exact) < 60000)
        CHECK(fabs(got - exact) <= 0.03 * fabs(exact) + 1e-3, "%g ^ %g = %g", f16_to_float(x[i]), exponent[k], got);
    }
  }
}

/* -- Random programs ----------------------------------------------------------------------------------------------- */

static int64_t product(const int64_t *dim, int rank) {
  int64_t n = 1;
  for (int k = 0; k < rank; k++) n *= dim[k];
  return n;
}

static void random_shape(ew_program *p) {
  static const int64_t sizes[] = {1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 31, 64, 100};
  do {
    p->rank = (int)random_below(K_RANK + 1);
    for (int k = 0; k < p->rank; k++) p->dim[k] = sizes[random_below(13)];
  } while (product(p->dim, p->rank) > 20000);
}

/* Strides of a dense tensor with some dimensions broadcast, permuted or spread apart; returns the extent it needs. */
static int64_t random_strides(const ew_program *p, int64_t *stride) {
  int order[K_RANK] = {0, 1, 2, 3, 4};
  int64_t step = 1 + (random_below(4) == 0 ? random_below(3) : 0), extent = 1;
  if (random_below(4) == 0)
    for (int k = p->rank - 1; k > 0; k--) {
      int j = (int)random_below(k + 1), t = order[k];
      order[k] = order[j], order[j] = t;
    }
  for (int i = p->rank - 1; i >= 0; i--) {
    int k = order[i];
    bool broadcast = random_below(3) == 0;
    stride[k] = broadcast ? 0 : step;
    if (broadcast) continue;
    extent += (p->dim[k] - 1) * step;
    step *= p->dim[k];
  }
  return extent;
}

static void random_program(ew_program *p, ew_instr *instr, const unary_fn *const *fns) {
  static const enum mil_dtype types[] = {MIL_FP16, MIL_FP16, MIL_FP16, MIL_BOOL, MIL_UINT8, MIL_INT8};
  random_shape(p);
  p->n_in = 1 + (int)random_below(4);
  p->n_out = 1 + (int)random_below(3);
  p->n_instr = 1 + (int)random_below(7);
  p->instr = instr;
  for (int i = 0; i < p->n_in; i++) p->in[i].dtype = types[random_below(6)], p->in[i].reg = (uint8_t)i;
  int live = p->n_in;
  for (int i = 0; i < p->n_instr; i++) {
    ew_instr *s = &instr[i];
    s->code = (uint8_t)random_below(EW_COPY + 1);
    if (s->code == EW_POW && p->profile.mode == NUM_FAST) s->code = EW_MUL;
    s->a = (uint8_t)random_below(live), s->b = (uint8_t)random_below(live), s->c = (uint8_t)random_below(live);
    s->dst = (uint8_t)random_below(live + 1);
    if (s->dst == live) live++;
    s->fn = s->code == EW_UNARY ? fns[random_below(FUNCTIONS)] : NULL;
  }
  for (int i = 0; i < p->n_out; i++) p->out[i].dtype = types[random_below(6)], p->out[i].reg = (uint8_t)random_below(live);
}

static int64_t size_of(enum mil_dtype dtype) { return dtype == MIL_FP16 ? 2 : 1; }

TEST(random_programs_over_random_shapes) {
  const unary_fn *fns[FUNCTIONS];
  for (int f = 0; f < FUNCTIONS; f++)
    fns[f] = unary_get(functions[f].op, functions[f].alpha, functions[f].beta, functions[f].mode, ane);
  for (int trial = 0; trial < 1500; trial++) {
    ew_program p = {.profile = ane};
    ew_instr instr[8];
    random_program(&p, instr, fns);
    int64_t n = product(p.dim, p.rank);
    void *in[EW_IO], *y[EW_IO], *r[EW_IO];
    for (int i = 0; i < p.n_in; i++) {
      int64_t extent = random_strides(&p, p.in[i].stride);
      in[i] = block((size_t)(extent * size_of(p.in[i].dtype)));
      if (p.in[i].dtype == MIL_FP16) fill(in[i], extent, trial % 4);
      else
        for (int64_t k = 0; k < extent; k++)
          ((uint8_t *)in[i])[k] = (uint8_t)(p.in[i].dtype == MIL_BOOL ? random_below(2) : random_bits());
    }
    for (int i = 0; i < p.n_out; i++) {
      y[i] = block((size_t)(n * size_of(p.out[i].dtype)));
      r[i] = block((size_t)(n * size_of(p.out[i].dtype)));
    }
    run_both(&p, (const void *const *)in, y, r);
    for (int i = 0; i < p.n_out; i++) {
      int64_t at = differ(y[i], r[i], n * size_of(p.out[i].dtype));
      CHECK(at < 0, "trial %d output %d byte %lld of %lld", trial, i, (long long)at, (long long)n);
    }
    for (int i = 0; i < p.n_in; i++) free(in[i]);
    for (int i = 0; i < p.n_out; i++) free(y[i]), free(r[i]);
    if (test_current_failed) return;
  }
}

/* -- Special uses -------------------------------------------------------------------------------------------------- */

TEST(output_over_an_input) {
  for (int64_t n = 1; n < 1200; n = n * 3 / 2 + 1) {
    f16 *x = block(2 * (size_t)n), *b = block(2 * (size_t)n), *r = block(2 * (size_t)n);
    fill(x, n, 0), fill(b, n, 0);
    ew_instr instr[2] = {{EW_MUL, 5, 0, 1, 0, NULL}, {EW_SUB, 6, 0, 5, 0, NULL}};
    ew_program p = flat(ane, n, 2, instr);
    p.n_instr = 2, p.n_out = 2;
    p.out[1] = (ew_port){MIL_FP16, 6, {0}};
    f16 *r2 = block(2 * (size_t)n);
    ew_args args = {.program = &p, .in = {x, b}, .out = {r, r2}};
    void *scratch = block(ew_scratch(&p));
    ew_run_ref(&args, 0, ew_units(&p), scratch);
    args.out[0] = x, args.out[1] = b; /* both inputs are replaced */
    ew_run(&args, 0, ew_units(&p), scratch);
    CHECK(differ(x, r, 2 * n) < 0 && differ(b, r2, 2 * n) < 0, "n = %lld", (long long)n);
    free(x), free(b), free(r), free(r2), free(scratch);
  }
}

TEST(tiles_with_a_register_given) {
  enum { ROWS = 9, COLUMNS = 37, N = ROWS * COLUMNS };
  f16 bias[COLUMNS], want[N], y[N];
  float given[N];
  fill(bias, COLUMNS, 0);
  for (int i = 0; i < N; i++) given[i] = f16_to_float(f16_from_float((float)random_unit()));
  for (int mode = 0; mode < 2; mode++) {
    num_profile profile = mode ? fast : ane;
    ew_instr instr[2] = {{EW_ADD, 2, 1, 0, 0, NULL}, {EW_UNARY, 3, 2, 0, 0, unary_get(OP_RELU, 0, 0, NULL, profile)}};
    ew_program p = {.profile = profile, .rank = 2, .dim = {ROWS, COLUMNS}, .n_in = 1, .n_out = 1, .n_instr = 2,
                    .instr = instr, .in = {{MIL_FP16, 0, {0, 1}}}, .out = {{MIL_FP16, 3, {0}}}};
    ew_args args = {.program = &p, .in = {bias}, .out = {y}};
    void *scratch = block(ew_scratch(&p));
    for (int i = 0; i < N; i++) {
      f16 sum = mode ? f16_from_float(given[i] + f16_to_float(bias[i % COLUMNS]))
                     : ane_add(f16_from_float(given[i]), bias[i % COLUMNS]);
      want[i] = sum & 0x8000 ? 0 : sum;
    }
    for (int64_t at = 0; at < N;) {
      int64_t n = 1 + random_below(70);
      if (n > N - at) n = N - at;
      ew_run_tile(&args, at, n, given + at, 1, scratch);
      at += n;
    }
    CHECK(differ(y, want, sizeof y) < 0, "mode %d: %lld", mode, (long long)differ(y, want, sizeof y));
    free(scratch);
  }
}

TEST(functions_are_made_once) {
  const unary_fn *a = unary_get(OP_TANH, 0, 0, NULL, ane);
  CHECK(a == unary_get(OP_TANH, 0, 0, NULL, ane) && a != unary_get(OP_TANH, 0, 0, NULL, fast));
  CHECK(unary_get(OP_ELU, 1, 0, NULL, ane) != unary_get(OP_ELU, 0.5f, 0, NULL, ane));
  CHECK(unary_get(OP_GELU, 0, 0, "EXACT", ane) != unary_get(OP_GELU, 0, 0, "SIGMOID_APPROXIMATION", ane));
  CHECK(!unary_get(OP_MATMUL, 0, 0, NULL, ane) && !unary_get(OP_LOGICAL_NOT, 0, 0, NULL, ane));
}

enum { THREADS = 4, MADE = 12 };

static void *make_functions(void *arg) {
  const unary_fn **made = arg;
  for (int i = 0; i < MADE; i++) made[i] = unary_get(OP_ELU, 0.125f * (float)(i + 1), 0, NULL, ane);
  for (int i = 0; i < MADE; i++)
    if (unary_apply(made[i], 0xfc00) != f16_from_float(-0.125f * (float)(i + 1))) return arg;
  return NULL;
}

TEST(functions_are_made_once_by_many_threads) {
  pthread_t thread[THREADS];
  const unary_fn *made[THREADS][MADE];
  for (int t = 0; t < THREADS; t++) CHECK(!pthread_create(&thread[t], NULL, make_functions, made[t]));
  for (int t = 0; t < THREADS; t++) {
    void *bad = NULL;
    pthread_join(thread[t], &bad);
    CHECK(!bad, "thread %d", t);
  }
  for (int t = 1; t < THREADS; t++)
    for (int i = 0; i < MADE; i++) CHECK(made[t][i] == made[0][i], "thread %d function %d", t, i);
}

static f16 one(enum mil_op_id op, float alpha, float beta, float x) {
  return unary_apply(unary_get(op, alpha, beta, NULL, ane), f16_from_float(x));
}

TEST(published_behaviour_of_functions) {
  f16 inf = 0x7c00, one_ = 0x3c00;
  const f16 nan = 0x7e00;
  CHECK(unary_apply(unary_get(OP_RELU, 0, 0, NULL, ane), nan) == inf);
  CHECK(unary_apply(unary_get(OP_SIGMOID, 0, 0, NULL, ane), nan) == one_);
  CHECK(one(OP_SILU, 0, 0, 0) == 0 && one(OP_SOFTPLUS, 0, 0, INFINITY) == 0 && one(OP_SOFTSIGN, 0, 0, INFINITY) == 0);
  CHECK(one(OP_SOFTPLUS, 0, 0, 11.09375f) == 0 && one(OP_SOFTPLUS, 0, 0, 11.0859375f) == f16_from_float(11.0859375f));
  CHECK(f16_to_float(one(OP_ROUND, 0, 0, 1024)) == 1025 && f16_to_float(one(OP_ROUND, 0, 0, 1025)) == 1026);
  CHECK(f16_to_float(one(OP_ROUND, 0, 0, -2047)) == -2048 && f16_to_float(one(OP_ROUND, 0, 0, 2.5f)) == 3);
  CHECK(f16_to_float(one(OP_ROUND, 0, 0, -0.5f)) == -1 && one(OP_ROUND, 0, 0, 0.4998f) == 0);
  CHECK(f16_to_float(one(OP_LOG, 0, 0, 0)) == -45440 && one(OP_SQRT, 0, 0, -1) == 0 && one(OP_LOG, 0, 0, -1) == 0);
  CHECK(one(OP_SQUARE, 0, 0, 256) == inf && one(OP_INVERSE, 0, 0, -0.0f) == inf && one(OP_RSQRT, 0, 0, -0.0f) == inf);
  CHECK(one(OP_EXP, 0, 0, 11.125f) == inf && one(OP_INVERSE, 1e-4f, 0, 0x1p-14f) == 0x6e10);
}

/* -- Speed, printed only ------------------------------------------------------------------------------------------- */

#include <time.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void time_one(const char *name, num_profile profile, ew_instr instr, int n_in) {
  enum { N = 200000 };
  f16 *a = block(2 * N), *b = block(2 * N), *y = block(2 * N);
  fill(a, N, 0), fill(b, N, 0);
  ew_program p = flat(profile, N, n_in, &instr);
  ew_args args = {.program = &p, .in = {a, b}, .out = {y}};
  void *scratch = block(ew_scratch(&p));
  double best = 1e9;
  for (int i = 0; i < 20; i++) {
    double start = now();
    ew_run(&args, 0, ew_units(&p), scratch);
    best = fmin(best, now() - start);
  }
  printf("  %-12s %-4s %6.2f Gelem/s\n", name, profile.mode == NUM_FAST ? "fast" : "ane", N / best * 1e-9);
  CHECK(best > 0);
  free(a), free(b), free(y), free(scratch);
}

TEST(speed) {
  for (int mode = 0; mode < 2; mode++) {
    num_profile profile = mode ? fast : ane;
    for (int o = 0; o < 4; o++) time_one(binary[o].name, profile, (ew_instr){binary[o].code, 5, 0, 1, 0, NULL}, 2);
    for (int f = 0; f < 11; f++) {
      const unary_fn *fn = unary_get(functions[f].op, functions[f].alpha, functions[f].beta, functions[f].mode, profile);
      time_one(functions[f].name, profile, (ew_instr){EW_UNARY, 5, 0, 0, 0, fn}, 1);
    }
  }
}

static void tests(void) {
  RUN(every_value_of_every_function);
  RUN(pairs_of_every_operation);
  RUN(powers_with_one_exponent);
  RUN(random_programs_over_random_shapes);
  RUN(output_over_an_input);
  RUN(tiles_with_a_register_given);
  RUN(functions_are_made_once);
  RUN(functions_are_made_once_by_many_threads);
  RUN(published_behaviour_of_functions);
  if (getenv("ANEFORGE_TEST_SPEED")) RUN(speed);
}

KERNELS_MAIN(tests)
