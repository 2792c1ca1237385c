/* engine_test.c - the engine on small programs with known results: what is fused, what is written in place, what is refused.
 * engine_random_test.c has the breadth. */
#include <math.h>
#include <pthread.h>
#include <time.h>

#include "kernels.h"
#include "mil_program.h"
#include "plan.h"
#include "test.h"

static char error[2048];

typedef struct {
  engine_program *program;
  void *in[32], *out[32];
} running;

static running start(mil_text *t) {
  running r = {.program = mil_compile(t, false, error, sizeof error)};
  CHECK(r.program != NULL, "%s", error);
  if (!r.program) return r;
  for (size_t i = 0; i < engine_input_count(r.program); i++)
    r.in[i] = aligned_alloc(64, (engine_input(r.program, i)->bytes + 127) & ~(size_t)63);
  for (size_t i = 0; i < engine_output_count(r.program); i++)
    r.out[i] = aligned_alloc(64, (engine_output(r.program, i)->bytes + 127) & ~(size_t)63);
  return r;
}

static void stop(running *r) {
  if (!r->program) return;
  for (size_t i = 0; i < engine_input_count(r->program); i++) free(r->in[i]);
  for (size_t i = 0; i < engine_output_count(r->program); i++) free(r->out[i]);
  engine_release(r->program);
}

static void set(void *to, const float *from, int n) {
  for (int i = 0; i < n; i++) ((f16 *)to)[i] = f16_from_float(from[i]);
}

static void expect(const void *got, const float *want, int n, const char *what) {
  for (int i = 0; i < n; i++) {
    float g = f16_to_float(((const f16 *)got)[i]);
    CHECK(g == want[i], "%s[%d] is %g, not %g", what, i, (double)g, (double)want[i]);
  }
}

static bool go(running *r) {
  int status = r->program ? engine_execute(r->program, r->in, r->out, error, sizeof error) : 1;
  CHECK(!status, "%s", error);
  return !status;
}

/* One input x, one output: want = f(x). */
static void gives(mil_text *t, const float *x, int n_x, const float *want, int n_want, const char *what) {
  running r = start(t);
  if (!r.program) return;
  CHECK(engine_output(r.program, 0)->bytes == (size_t)n_want * 2, "%s: %zu bytes", what, engine_output(r.program, 0)->bytes);
  set(r.in[0], x, n_x);
  if (go(&r)) expect(r.out[0], want, n_want, what);
  stop(&r);
}

#define F(...) (const float[]){__VA_ARGS__}

/* A program of one statement on x. */
static void op_gives(const char *in_type, const char *out_type, const char *call, const float *x, int n_x, const float *want,
                     int n_want) {
  mil_text t = {0};
  mil_input(&t, in_type, "x");
  mil_op_line(&t, out_type, "y", "%s", call);
  mil_output(&t, "y");
  gives(&t, x, n_x, want, n_want, call);
}

static int count_of(const char *text, const char *part) {
  int n = 0;
  for (const char *at = text; (at = strstr(at, part)); at += strlen(part)) n++;
  return n;
}

/* Steps of the plan; part (or NULL) has to occur in its text, absent (or NULL) not. */
static int steps_of(mil_text *t, const char *part, const char *absent) {
  engine_program *p = mil_compile(t, false, error, sizeof error);
  CHECK(p != NULL, "%s", error);
  if (!p) return -1;
  char *text = engine_explain(p);
  int steps = -1;
  const char *at = strstr(text, "steps ");
  if (at) sscanf(at, "steps %d", &steps);
  if (part) CHECK(count_of(text, part), "no '%s' in\n%s", part, text);
  if (absent) CHECK(!count_of(text, absent), "'%s' in\n%s", absent, text);
  if (getenv("ANEFORGE_TEST_SHOW")) printf("%s", text);
  free(text);
  engine_release(p);
  return steps;
}

/* -- Operations ------------------------------------------------------------------------------------------------------------ */

#define T(dims) "tensor<fp16, [" dims "]>"

TEST(moves) {
  const float x[] = {1, 2, 3, 4, 5, 6};
  op_gives(T("2, 3"), T("3, 2"), "transpose(perm = tensor<int32, [2]>([1, 0]), x = x)", x, 6, F(1, 4, 2, 5, 3, 6), 6);
  op_gives(T("2, 3"), T("2, 3"), "reverse(axes = tensor<int32, [1]>([1]), x = x)", x, 6, F(3, 2, 1, 6, 5, 4), 6);
  op_gives(T("2, 3"), T("2, 3"), "reverse(axes = tensor<int32, [2]>([0, 1]), x = x)", x, 6, F(6, 5, 4, 3, 2, 1), 6);
  op_gives(T("2, 3"), T("2, 6"), "tile(reps = tensor<int32, [2]>([1, 2]), x = x)", x, 6,
           F(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6), 12);
  op_gives(T("2, 3"), T("4, 3"), "tile(reps = tensor<int32, [2]>([2, 1]), x = x)", x, 6,
           F(1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6), 12);
  op_gives(T("2, 3"), T("1, 3"),
           "slice_by_size(begin = tensor<int32, [2]>([1, 0]), size = tensor<int32, [2]>([1, 3]), x = x)", x, 6, F(4, 5, 6), 3);
  op_gives(T("2, 3"), T("2, 2"),
           "slice_by_size(begin = tensor<int32, [2]>([0, 1]), size = tensor<int32, [2]>([2, 2]), x = x)", x, 6, F(2, 3, 5, 6), 4);
  op_gives(T("2, 3"), T("4, 3"), "concat(axis = int32(0), interleave = bool(false), values = (x, x))", x, 6,
           F(1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6), 12);
  op_gives(T("2, 3"), T("2, 6"), "concat(axis = int32(1), interleave = bool(false), values = (x, x))", x, 6,
           F(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6), 12);
  op_gives(T("2, 3"), T("2, 2, 3"), "stack(axis = int32(1), values = (x, x))", x, 6, F(1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6), 12);
  op_gives(T("2, 3"), T("3, 2"), "reshape(shape = tensor<int32, [2]>([3, 2]), x = x)", x, 6, x, 6);
  op_gives(T("2, 3"), T("1, 6"), "flatten2d(axis = int32(0), x = x)", x, 6, x, 6);
  op_gives(T("2, 3"), T("2, 1, 3"), "expand_dims(axes = tensor<int32, [1]>([1]), x = x)", x, 6, x, 6);
}

TEST(spatial) {
  const float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  op_gives(T("1, 1, 3, 3"), T("1, 1, 2, 2"),
           "max_pool(ceil_mode = bool(false), kernel_sizes = tensor<int32, [2]>([2, 2]), pad = tensor<int32, [4]>([0, 0, 0, 0]), "
           "pad_type = string(\"custom\"), strides = tensor<int32, [2]>([1, 1]), x = x)", x, 9, F(5, 6, 8, 9), 4);
  op_gives(T("1, 1, 3, 3"), T("1, 1, 2, 2"),
           "avg_pool(ceil_mode = bool(false), exclude_padding_from_average = bool(false), kernel_sizes = tensor<int32, [2]>([2, 2]), "
           "pad = tensor<int32, [4]>([0, 0, 0, 0]), pad_type = string(\"custom\"), strides = tensor<int32, [2]>([1, 1]), x = x)",
           x, 9, F(3, 4, 6, 7), 4);
  op_gives(T("1, 1, 1, 2"), T("1, 1, 2, 4"),
           "upsample_nearest_neighbor(scale_factor_height = int32(2), scale_factor_width = int32(2), x = x)", x, 2,
           F(1, 1, 2, 2, 1, 1, 2, 2), 8);
  op_gives(T("2, 3"), T("2, 1"), "reduce_max(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = x)", x, 6, F(3, 6), 2);
  op_gives(T("2, 3"), T("1, 3"), "reduce_sum(axes = tensor<int32, [1]>([0]), keep_dims = bool(true), x = x)", x, 6, F(5, 7, 9), 3);
}

static mil_text conv_program(const char *op, const char *in, const char *weight_type, const float *weight, int n, const char *rest,
                             const char *out) {
  mil_text t = {0};
  f16 w[64];
  set(w, weight, n);
  mil_input(&t, in, "x");
  mil_weight(&t, "w", weight_type, 1, w, (size_t)n * 2);
  mil_op_line(&t, out, "y", "%s(dilations = tensor<int32, [2]>([1, 1]), groups = int32(1), %s, weight = w, x = x)", op, rest);
  mil_output(&t, "y");
  return t;
}

TEST(convolutions) {
  /* pad = [top, bottom, left, right], all different */
  mil_text t = conv_program("conv", T("1, 2, 1, 3"), T("1, 2, 1, 2"), F(1, 2, 3, 4), 4,
                            "pad = tensor<int32, [4]>([0, 0, 1, 0]), pad_type = string(\"custom\"), strides = tensor<int32, [2]>([1, 1])",
                            T("1, 1, 1, 3"));
  gives(&t, F(1, 2, 3, 4, 5, 6), 6, F(18, 37, 47), 3, "conv");
  t = conv_program("conv_transpose", T("1, 1, 1, 2"), T("1, 1, 1, 2"), F(1, 10), 2,
                   "pad = tensor<int32, [4]>([0, 0, 0, 0]), pad_type = string(\"custom\"), strides = tensor<int32, [2]>([1, 2])",
                   T("1, 1, 1, 4"));
  gives(&t, F(1, 2), 2, F(1, 10, 2, 20), 4, "conv_transpose");
  /* One channel, 1x1: no accumulator, so no limit of 2^15. */
  t = conv_program("conv", T("1, 1, 1, 2"), T("2, 1, 1, 1"), F(1, 2), 2,
                   "pad = tensor<int32, [4]>([0, 0, 0, 0]), pad_type = string(\"custom\"), strides = tensor<int32, [2]>([1, 1])",
                   T("1, 2, 1, 2"));
  gives(&t, F(60000, 3), 2, F(60000, 3, INFINITY, 6), 4, "conv 1x1");
  t = conv_program("conv", T("1, 2, 1, 1"), T("1, 2, 1, 1"), F(1, 0), 2,
                   "pad = tensor<int32, [4]>([0, 0, 0, 0]), pad_type = string(\"custom\"), strides = tensor<int32, [2]>([1, 1])",
                   T("1, 1, 1, 1"));
  gives(&t, F(60000, 3), 2, F(INFINITY), 1, "conv through the accumulator");
}

TEST(casts) {
  mil_text t = {0};
  mil_input(&t, "tensor<uint8, [4]>", "x");
  mil_op_line(&t, T("4"), "y", "cast(dtype = string(\"fp16\"), x = x)");
  mil_op_line(&t, T("4"), "z", "add(x = y, y = fp16(0.5))");
  mil_op_line(&t, "tensor<uint8, [4]>", "w", "cast(dtype = string(\"uint8\"), x = z)");
  mil_op_line(&t, T("4"), "v", "cast(dtype = string(\"fp16\"), x = w)");
  mil_op_line(&t, T("4"), "u", "mul(x = v, y = fp16(2.0))");
  mil_output(&t, "z");
  mil_output(&t, "u");
  running r = start(&t);
  if (r.program) {
    memcpy(r.in[0], (const uint8_t[]){0, 1, 200, 255}, 4);
    if (go(&r)) {
      expect(r.out[0], F(0.5, 1.5, 200.5, 255.5), 4, "z");
      expect(r.out[1], F(0, 2, 400, 510), 4, "u"); /* truncated in between */
    }
  }
  stop(&r);
}

TEST(prelu_and_select) {
  mil_text t = {0};
  f16 alpha[2];
  set(alpha, F(0.5, 2), 2);
  mil_input(&t, T("1, 2, 2"), "x");
  mil_weight(&t, "a", T("2"), 1, alpha, 4);
  mil_op_line(&t, T("1, 2, 2"), "y", "prelu(x = x, alpha = a)");
  mil_output(&t, "y");
  gives(&t, F(-4, 4, -3, 0), 4, F(-2, 4, -6, 0), 4, "prelu");
  t = (mil_text){0};
  mil_input(&t, T("2, 2"), "x");
  mil_op_line(&t, T("2, 2"), "n", "sub(x = x, y = fp16(3.0))");
  mil_op_line(&t, "tensor<bool, [2, 2]>", "c", "greater(x = n, y = x)");
  mil_op_line(&t, "tensor<bool, [2, 2]>", "d", "logical_not(x = c)");
  mil_op_line(&t, T("2, 2"), "y", "select(cond = d, a = n, b = fp16(9.0))");
  mil_output(&t, "y");
  gives(&t, F(-4, 4, -3, 0), 4, F(-7, 1, -6, -3), 4, "select");
}

/* A13, A14: a slice that starts inside the last axis saturates above 4094; later families and other axes do not. */
TEST(slice_cliff) {
  const char *slice = "slice_by_size(begin = tensor<int32, [2]>([0, 1]), size = tensor<int32, [2]>([2, 2]), x = x)";
  const char *rows = "slice_by_size(begin = tensor<int32, [2]>([1, 0]), size = tensor<int32, [2]>([1, 3]), x = x)";
  const float x[] = {1, 4094, 4096, -5000, -4096, -4094};
  op_gives(T("2, 3"), T("2, 2"), slice, x, 6, F(4094, INFINITY, -INFINITY, -4094), 4);
  op_gives(T("2, 3"), T("1, 3"), rows, x, 6, F(-5000, -4096, -4094), 3);
  setenv("ANEFORGE_TARGET", "h16", 1);
  op_gives(T("2, 3"), T("2, 2"), slice, x, 6, F(4094, 4096, -4096, -4094), 4);
  unsetenv("ANEFORGE_TARGET");
}

/* x - x is +0 for every x, whatever the planner makes of it. */
TEST(difference_with_itself) {
  for (int x = 0; x < 65536; x++)
    if (ane_sub((f16)x, (f16)x)) CHECK(0, "%04x - %04x is %04x", x, x, ane_sub((f16)x, (f16)x));
  mil_text t = {0};
  mil_input(&t, T("1, 3"), "x");
  mil_op_line(&t, T("1, 3"), "z", "sub(x = x, y = x)");
  mil_op_line(&t, T("1, 3"), "c", "add(x = z, y = fp16(3.0))");
  mil_op_line(&t, T("1, 3"), "e", "mul(x = c, y = c)");
  mil_op_line(&t, T("1, 3"), "y", "add(x = x, y = e)");
  mil_output(&t, "y");
  running r = start(&t);
  if (r.program) {
    char *text = engine_explain(r.program);
    CHECK(strstr(text, "group: add\n"), "%s", text);
    free(text);
    set(r.in[0], F(1, INFINITY, -2), 3);
    if (go(&r)) expect(r.out[0], F(10, INFINITY, 7), 3, "y");
  }
  stop(&r);
}

/* -- Compressed weights ------------------------------------------------------------------------------------------------------ */

static mil_text with_weight(void) {
  mil_text t = {0};
  mil_input(&t, T("2, 4"), "x");
  return t;
}

static void weight_is(mil_text *t, const float *want, const char *what) {
  mil_op_line(t, T("2, 4"), "y", "add(x = x, y = w)");
  mil_output(t, "y");
  gives(t, F(0, 0, 0, 0, 0, 0, 0, 0), 8, want, 8, what);
}

TEST(compressed_weights) {
  mil_text t = with_weight();
  f16 scale[4];
  set(scale, F(0.5, 2, 4, 0.25), 4);
  const int8_t q[8] = {1, -2, 3, 127, -127, 5, 0, 1};
  size_t dq = mil_blob(&t, 4, q, 8), ds = mil_blob(&t, 1, scale, 4);
  mil_body(&t, "        %s w = constexpr_affine_dequantize()[axis = int32(0), name = string(\"w\"), quantized_data = tensor<int8, [2, 4]>(" BLOB
               "), scale = tensor<fp16, [2]>(" BLOB "), zero_point = int8(0)];\n", T("2, 4"), dq, ds);
  weight_is(&t, F(0.5, -1, 1.5, 63.5, -254, 10, 0, 2), "affine");

  t = with_weight();
  f16 lut[16];
  for (int i = 0; i < 16; i++) lut[i] = f16_from_float((float)(i * i));
  mil_weight(&t, "i", "tensor<uint4, [2, 4]>", 11, (const uint8_t[]){0x10, 0x32, 0xf4, 0x0e}, 4);
  mil_weight(&t, "l", T("1, 1, 16, 1"), 1, lut, 32);
  mil_op_line(&t, T("2, 4"), "w", "constexpr_lut_to_dense(indices = i, lut = l)");
  weight_is(&t, F(0, 1, 4, 9, 16, 225, 196, 0), "lut");

  t = with_weight();
  mil_weight(&t, "m", "tensor<uint1, [2, 4]>", 9, (const uint8_t[]){0x92}, 1); /* an odd length: what follows is misaligned */
  mil_weight(&t, "n", T("3"), 1, scale, 6);
  mil_op_line(&t, T("2, 4"), "w", "constexpr_sparse_to_dense(nonzero_data = n, mask = m)");
  weight_is(&t, F(0, 0.5, 0, 0, 2, 0, 0, 4), "sparse");

  t = with_weight();
  mil_weight(&t, "d", "tensor<int8, [2, 4]>", 4, q, 8);
  mil_weight(&t, "s", T("2, 2"), 1, scale, 8);
  mil_op_line(&t, T("2, 4"), "w", "constexpr_blockwise_shift_scale(data = d, scale = s)");
  weight_is(&t, F(0.5, -1, 6, 254, -508, 20, 0, 0.25), "blockwise");
}

/* -- Fusion -------------------------------------------------------------------------------------------------------------------- */

TEST(elementwise_chains_are_one_step) {
  mil_text t = {0};
  mil_input(&t, T("8, 16"), "x");
  mil_op_line(&t, T("8, 16"), "a", "relu(x = x)"); /* a diamond, both ends are outputs too */
  mil_op_line(&t, T("8, 16"), "b", "tanh(x = a)");
  mil_op_line(&t, T("8, 16"), "c", "mul(x = a, y = fp16(0.5))");
  mil_op_line(&t, T("8, 16"), "d", "add(x = b, y = c)");
  mil_op_line(&t, T("8, 1, 16"), "e", "expand_dims(axes = tensor<int32, [1]>([1]), x = d)");
  mil_op_line(&t, T("8, 1, 16"), "f", "mul(x = e, y = e)");
  mil_output(&t, "a");
  mil_output(&t, "f");
  CHECK(steps_of(&t, "group: relu tanh mul add mul", NULL) == 1, " ");
}

/* A group must not reach around a reduction that it feeds and reads. */
TEST(groups_are_convex) {
  mil_text t = {0};
  mil_input(&t, T("8, 16"), "x");
  mil_op_line(&t, T("8, 16"), "a", "mul(x = x, y = fp16(2.0))");
  mil_op_line(&t, T("8, 1"), "m", "reduce_max(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = a)");
  mil_op_line(&t, T("8, 16"), "b", "sub(x = a, y = m)");
  mil_op_line(&t, T("8, 16"), "c", "exp(x = b)");
  mil_output(&t, "c");
  CHECK(steps_of(&t, "group: sub exp", NULL) == 3, " ");
}

/* What only a later group needs is computed there, not stored. */
TEST(groups_sink) {
  mil_text t = {0};
  mil_input(&t, T("8, 16"), "x");
  mil_input(&t, T("8, 16"), "y");
  mil_op_line(&t, T("8, 16"), "a", "relu(x = x)");
  mil_op_line(&t, T("8, 1"), "m", "reduce_max(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = y)");
  mil_op_line(&t, T("8, 16"), "b", "sub(x = a, y = m)");
  mil_output(&t, "b");
  CHECK(steps_of(&t, "group: relu sub", NULL) == 2, " ");
}

static mil_text dense_layer(const char *product_shown) {
  static f16 w[32 * 16], b[32];
  for (int i = 0; i < 32 * 16; i++) w[i] = f16_from_float((float)(i % 7 - 3));
  for (int i = 0; i < 32; i++) b[i] = f16_from_float((float)i);
  mil_text t = {0};
  mil_input(&t, T("2, 4, 16"), "x");
  mil_input(&t, T("2, 4, 32"), "r");
  mil_weight(&t, "w", T("32, 16"), 1, w, sizeof w);
  mil_weight(&t, "b", T("1, 1, 32"), 1, b, sizeof b);
  mil_op_line(&t, T("2, 4, 32"), "p", "matmul(transpose_x = bool(false), transpose_y = bool(true), x = x, y = w)");
  mil_op_line(&t, T("2, 4, 32"), "q", "add(x = p, y = b)");
  mil_op_line(&t, T("2, 4, 32"), "g", "relu(x = q)");
  mil_op_line(&t, T("2, 4, 32"), "s", "add(x = g, y = r)");
  mil_output(&t, "s");
  if (product_shown) mil_output(&t, product_shown);
  return t;
}

TEST(epilogues) {
  mil_text t = dense_layer(NULL);
  CHECK(steps_of(&t, "m 8 k 16 n 32 bias packed", "group:") == 1, " ");
  t = dense_layer("q");
  CHECK(steps_of(&t, "epilogue: relu add", "group:") == 1, " ");
  t = dense_layer("p"); /* the product is needed without its bias */
  CHECK(steps_of(&t, "epilogue: add relu add", "bias") == 1, " ");
  t = (mil_text){0};
  mil_input(&t, T("1, 2, 8, 8"), "x");
  mil_input(&t, T("1, 3, 1, 1"), "b");
  static f16 w[3 * 2 * 9];
  mil_weight(&t, "w", T("3, 2, 3, 3"), 1, w, sizeof w);
  mil_op_line(&t, T("1, 3, 8, 8"), "c",
              "conv(dilations = tensor<int32, [2]>([1, 1]), groups = int32(1), pad = tensor<int32, [4]>([1, 1, 1, 1]), pad_type = "
              "string(\"custom\"), strides = tensor<int32, [2]>([1, 1]), weight = w, x = x)");
  mil_op_line(&t, T("1, 3, 8, 8"), "d", "add(x = b, y = c)");
  mil_op_line(&t, T("1, 3, 8, 8"), "e", "relu(x = d)");
  mil_output(&t, "e");
  CHECK(steps_of(&t, "3x3 groups 1 bias packed", "group:") == 1, " ");
}

/* Transposed and sliced operands of a product are strides, not copies. */
TEST(products_read_strides) {
  mil_text t = {0};
  mil_input(&t, T("6, 2, 8"), "q");
  mil_input(&t, T("6, 2, 8"), "k");
  mil_op_line(&t, T("2, 6, 8"), "a", "transpose(perm = tensor<int32, [3]>([1, 0, 2]), x = q)");
  mil_op_line(&t, T("2, 8, 6"), "b", "transpose(perm = tensor<int32, [3]>([1, 2, 0]), x = k)");
  mil_op_line(&t, T("2, 6, 6"), "y", "matmul(transpose_x = bool(false), transpose_y = bool(false), x = a, y = b)");
  mil_output(&t, "y");
  CHECK(steps_of(&t, "gemm batch 2 m 6 k 8 n 6", "copy") == 1, " ");
}

/* Halves of a row, as gated units read them. */
TEST(elementwise_groups_read_slices) {
  mil_text t = {0};
  mil_input(&t, T("2, 6"), "x");
  mil_body(&t, "        %s a, %s b = split(axis = int32(1), num_splits = int32(2), x = x)[name = string(\"s\")];\n", T("2, 3"), T("2, 3"));
  mil_op_line(&t, T("2, 3"), "r", "relu(x = b)");
  mil_op_line(&t, T("2, 3"), "y", "mul(x = a, y = r)");
  mil_output(&t, "y");
  running r = start(&t);
  if (r.program) {
    char *text = engine_explain(r.program);
    CHECK(strstr(text, "steps 1 ") && strstr(text, "group: relu mul"), "%s", text);
    free(text);
    set(r.in[0], F(1, 2, 3, 4, -5, 6, 7, 8, 9, 10, 11, 12), 12);
    if (go(&r)) expect(r.out[0], F(4, 0, 18, 70, 88, 108), 6, "y");
  }
  stop(&r);
}

/* m' = m / 2 + g, w' = w - m' behind the product that makes g, after everything that reads w. */
TEST(updates_run_last) {
  mil_text t = {0};
  mil_input(&t, T("4, 8"), "x");
  mil_input(&t, T("4, 8"), "d");
  mil_input(&t, T("8, 8"), "w");
  mil_input(&t, T("8, 8"), "m");
  mil_op_line(&t, T("8, 8"), "g", "matmul(transpose_x = bool(true), transpose_y = bool(false), x = x, y = d)");
  mil_op_line(&t, T("8, 8"), "h", "mul(x = m, y = fp16(0.5))");
  mil_op_line(&t, T("8, 8"), "n", "add(x = h, y = g)");
  mil_op_line(&t, T("8, 8"), "v", "sub(x = w, y = n)");
  mil_op_line(&t, T("4, 8"), "e", "matmul(transpose_x = bool(false), transpose_y = bool(true), x = d, y = w)");
  mil_op_line(&t, T("4, 8"), "f", "relu(x = e)");
  mil_op_line(&t, T("4, 1"), "l", "reduce_max(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = f)");
  mil_output(&t, "n");
  mil_output(&t, "v");
  mil_output(&t, "l");
  engine_program *p = mil_compile(&t, false, error, sizeof error);
  CHECK(p != NULL, "%s", error);
  if (!p) return;
  char *text = engine_explain(p);
  const char *forward = strstr(text, "epilogue: relu"), *update = strstr(text, "epilogue: mul add sub");
  CHECK(forward && update && forward < update && strstr(text, "steps 3 "), "%s", text);
  free(text);
  engine_release(p);
}

TEST(concatenations_are_made_in_place) {
  mil_text t = {0};
  mil_input(&t, T("2, 4"), "x");
  mil_op_line(&t, T("2, 4"), "a", "relu(x = x)");
  mil_op_line(&t, T("2, 1"), "m", "reduce_max(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = a)");
  mil_op_line(&t, T("2, 4"), "b", "sub(x = a, y = m)");
  mil_op_line(&t, T("4, 4"), "y", "concat(axis = int32(0), interleave = bool(false), values = (a, b))");
  mil_output(&t, "y");
  CHECK(steps_of(&t, NULL, "copy") == 3, " ");
}

/* Many values alive at once: more than the registers and ports of one program hold. */
TEST(wide_groups_are_split) {
  mil_text t = {0};
  enum { N = 60 };
  float want[N];
  mil_input(&t, T("1, 1"), "x");
  char name[16];
  for (int i = 0; i < N; i++) {
    snprintf(name, sizeof name, "a%d", i);
    mil_op_line(&t, T("1, 1"), name, "add(x = x, y = fp16(%d.0))", i);
    want[i] = 1 + (float)i;
  }
  for (int i = 0; i < N; i++) {
    snprintf(name, sizeof name, "b%d", i);
    mil_op_line(&t, T("1, 1"), name, "mul(x = a%d, y = a%d)", i, N - 1 - i);
  }
  mil_body(&t, "        %s y = concat(axis = int32(1), interleave = bool(false), values = (", T("1, 60"));
  for (int i = 0; i < N; i++) mil_body(&t, "%sb%d", i ? ", " : "", i);
  mil_body(&t, "))[name = string(\"y\")];\n");
  mil_output(&t, "y");
  float squares[N];
  for (int i = 0; i < N; i++) squares[i] = want[i] * want[N - 1 - i];
  gives(&t, F(1), 1, squares, N, "wide");
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

TEST(ten_thousand_operations) {
  mil_text t = {0};
  char name[16];
  mil_input(&t, T("1, 8"), "a0");
  for (int i = 1; i <= 10000; i++) {
    snprintf(name, sizeof name, "a%d", i);
    if (i % 3 == 0) mil_op_line(&t, T("1, 8"), name, "add(x = a%d, y = fp16(1.0))", i - 1);
    else if (i % 3 == 1) mil_op_line(&t, T("1, 8"), name, "relu(x = a%d)", i - 1);
    else mil_op_line(&t, T("1, 8"), name, "sub(x = a%d, y = fp16(0.5))", i - 1);
  }
  mil_output(&t, "a10000");
  double before = seconds();
  running r = start(&t);
  double took = seconds() - before;
  CHECK(took < 20, "%g s", took);
  if (getenv("ANEFORGE_TEST_SHOW")) printf("  10000 operations: %.3f s\n", took);
  float want[8];
  for (int i = 0; i < 8; i++) want[i] = 0;
  for (int i = 1; i <= 10000; i++)
    for (int k = 0; k < 8; k++) {
      float v = want[k];
      want[k] = f16_to_float(f16_rha(i % 3 == 0 ? v + 1 : i % 3 == 1 ? fmaxf(v, 0) : v - 0.5f));
    }
  if (r.program) {
    memset(r.in[0], 0, 16);
    if (go(&r)) expect(r.out[0], want, 8, "chain");
  }
  stop(&r);
}

/* -- Memory of inputs as memory of outputs --------------------------------------------------------------------------------------- */

TEST(resident_weights) { /* w' = w - x^T g, while w is read by x w */
  mil_text t = {0};
  mil_input(&t, T("2, 3"), "x");
  mil_input(&t, T("3, 2"), "w");
  mil_op_line(&t, T("2, 2"), "y", "matmul(transpose_x = bool(false), transpose_y = bool(false), x = x, y = w)");
  mil_op_line(&t, T("3, 2"), "g", "matmul(transpose_x = bool(true), transpose_y = bool(false), x = x, y = y)");
  mil_op_line(&t, T("3, 2"), "u", "sub(x = w, y = g)");
  mil_op_line(&t, T("2, 2"), "z", "matmul(transpose_x = bool(false), transpose_y = bool(false), x = y, y = y)");
  mil_output(&t, "u");
  mil_output(&t, "z");
  running r = start(&t);
  if (!r.program) return;
  float w[6] = {1, 2, 3, 4, 5, 6}, x[6] = {1, 0, 1, 0, 1, 0};
  set(r.in[0], x, 6);
  set(r.in[1], w, 6);
  void *own = r.out[0];
  r.out[0] = r.in[1];
  for (int step = 0; step < 3 && go(&r); step++) {
    float y[4], g, z[4];
    for (int i = 0; i < 2; i++)
      for (int j = 0; j < 2; j++) y[2 * i + j] = x[3 * i] * w[j] + x[3 * i + 1] * w[2 + j] + x[3 * i + 2] * w[4 + j];
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 2; j++) {
        g = x[i] * y[j] + x[3 + i] * y[2 + j];
        w[2 * i + j] -= g;
      }
    for (int i = 0; i < 4; i++) z[i] = y[i / 2 * 2] * y[i % 2] + y[i / 2 * 2 + 1] * y[2 + i % 2];
    expect(r.in[1], w, 6, "w");
    expect(r.out[1], z, 4, "z");
  }
  r.out[0] = own;
  stop(&r);
}

TEST(swapped_state) { /* a' = b, b' = a, and a rotation of three with arithmetic */
  mil_text t = {0};
  mil_input(&t, T("1, 4"), "a");
  mil_input(&t, T("1, 4"), "b");
  mil_input(&t, T("1, 4"), "c");
  mil_op_line(&t, T("1, 4"), "x", "reshape(shape = tensor<int32, [2]>([1, 4]), x = b)");
  mil_op_line(&t, T("1, 4"), "y", "add(x = c, y = fp16(1.0))");
  mil_op_line(&t, T("1, 4"), "z", "reshape(shape = tensor<int32, [2]>([1, 4]), x = a)");
  mil_output(&t, "x");
  mil_output(&t, "y");
  mil_output(&t, "z");
  running r = start(&t);
  if (!r.program) return;
  set(r.in[0], F(1, 2, 3, 4), 4);
  set(r.in[1], F(10, 20, 30, 40), 4);
  set(r.in[2], F(100, 200, 300, 400), 4);
  void *own[3] = {r.out[0], r.out[1], r.out[2]};
  for (int i = 0; i < 3; i++) r.out[i] = r.in[i];
  for (int i = 0; i < 3; i++) go(&r);
  expect(r.in[0], F(2, 3, 4, 5), 4, "a");
  expect(r.in[1], F(11, 21, 31, 41), 4, "b");
  expect(r.in[2], F(101, 201, 301, 401), 4, "c");
  for (int i = 0; i < 3; i++) r.out[i] = own[i];
  stop(&r);
}

/* Outputs that are the same value, a part of a value, or the operand of another output. */
TEST(outputs_of_outputs) {
  mil_text t = {0};
  mil_input(&t, T("2, 2"), "x");
  mil_op_line(&t, T("2, 2"), "a", "add(x = x, y = fp16(1.0))");
  mil_op_line(&t, T("4"), "b", "reshape(shape = tensor<int32, [1]>([4]), x = a)");
  mil_op_line(&t, T("2, 1"), "c", "reduce_max(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = a)");
  mil_op_line(&t, T("1, 2"), "d", "slice_by_size(begin = tensor<int32, [2]>([1, 0]), size = tensor<int32, [2]>([1, 2]), x = a)");
  mil_op_line(&t, T("2, 2"), "e", "sub(x = a, y = a)");
  const char *const names[] = {"a", "b", "c", "d", "e"};
  for (int i = 0; i < 5; i++) mil_output(&t, names[i]);
  running r = start(&t);
  if (r.program) {
    set(r.in[0], F(1, 2, 3, 4), 4);
    if (go(&r)) {
      expect(r.out[0], F(2, 3, 4, 5), 4, "a");
      expect(r.out[1], F(2, 3, 4, 5), 4, "b");
      expect(r.out[2], F(3, 5), 2, "c");
      expect(r.out[3], F(4, 5), 2, "d");
      expect(r.out[4], F(0, 0, 0, 0), 4, "e");
    }
  }
  stop(&r);
}

/* -- Threads --------------------------------------------------------------------------------------------------------------------- */

static mil_text busy_program(int rows) {
  mil_text t = {0};
  char type[64];
  snprintf(type, sizeof type, "tensor<fp16, [%d, 300]>", rows);
  mil_input(&t, type, "x");
  mil_op_line(&t, type, "a", "tanh(x = x)");
  mil_op_line(&t, type, "s", "softmax(axis = int32(1), x = a)");
  mil_op_line(&t, type, "y", "add(x = s, y = x)");
  mil_output(&t, "y");
  return t;
}

static void *run_often(void *arg) {
  running *r = arg;
  char message[256];
  intptr_t failed = 0;
  for (int i = 0; i < 40; i++) failed |= engine_execute(r->program, r->in, r->out, message, sizeof message);
  return (void *)failed;
}

static void programs_at_once(void) {
  enum { N = 4 };
  running r[N];
  f16 *want[N];
  pthread_t thread[N];
  for (int i = 0; i < N; i++) {
    mil_text t = busy_program(40 + i);
    r[i] = start(&t);
    for (int k = 0; k < (40 + i) * 300; k++) ((f16 *)r[i].in[0])[k] = f16_from_float((float)(k % 601 - 300) / 100);
    go(&r[i]);
    want[i] = malloc(engine_output(r[i].program, 0)->bytes);
    memcpy(want[i], r[i].out[0], engine_output(r[i].program, 0)->bytes);
  }
  for (int i = 0; i < N; i++) pthread_create(&thread[i], NULL, run_often, &r[i]);
  for (int i = 0; i < N; i++) {
    void *failed;
    pthread_join(thread[i], &failed);
    CHECK(!failed, " ");
    CHECK(!memcmp(want[i], r[i].out[0], engine_output(r[i].program, 0)->bytes), "program %d", i);
    free(want[i]);
    stop(&r[i]);
  }
}

/* In a child: the number of threads is a process's own. */
static void in_child(void (*body)(void), const char *threads) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    setenv("ANEFORGE_HOST_THREADS", threads, 1);
    plan_share_from = 0;
    test_current_failed = 0;
    body();
    fflush(NULL);
    exit(test_current_failed);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(status == 0, "status %d", status);
}

TEST(several_programs_at_once) {
  in_child(programs_at_once, "3");
  in_child(programs_at_once, "1");
}

#if !defined(__SANITIZE_THREAD__) /* a forked child may not start threads under it */
static void fork_while_threads_wait(void) {
  programs_at_once();
  in_child(programs_at_once, "2");
}
TEST(fork_after_use) { in_child(fork_while_threads_wait, "3"); }
#endif

/* -- Entry points ------------------------------------------------------------------------------------------------------------------ */

static mil_text tiny(void) {
  mil_text t = {0};
  mil_input(&t, T("1, 4"), "x");
  mil_op_line(&t, T("1, 4"), "y", "relu(x = x)");
  mil_output(&t, "y");
  return t;
}

TEST(bad_calls) {
  mil_text t = tiny();
  running r = start(&t);
  if (!r.program) return;
  CHECK(!engine_input(r.program, 1) && !engine_output(r.program, 1), " ");
  CHECK(!strcmp(engine_input(r.program, 0)->name, "x") && engine_input(r.program, 0)->bytes == 8, " ");
  void *none = NULL, *odd = (char *)r.in[0] + 1;
  CHECK(engine_execute(r.program, &none, r.out, error, sizeof error) && strstr(error, "input 'x'"), "%s", error);
  CHECK(engine_execute(r.program, r.in, &none, error, sizeof error) && strstr(error, "output 'y'"), "%s", error);
  CHECK(engine_execute(r.program, &odd, r.out, error, sizeof error) && strstr(error, "misaligned"), "%s", error);
  set(r.in[0], F(-1, 2, -3, 4), 4);
  if (go(&r)) expect(r.out[0], F(0, 2, 0, 4), 4, "after errors");
  stop(&r);
  engine_release(NULL);
}

TEST(settings) {
  mil_text t = tiny();
  setenv("ANEFORGE_HOST_NUMERICS", "exact", 1);
  CHECK(!mil_compile(&t, true, error, sizeof error) && strstr(error, "exact") && strstr(error, "fast"), "%s", error);
  setenv("ANEFORGE_HOST_NUMERICS", "fast", 1);
  gives(&t, F(-1, 2, -3, 4), 4, F(0, 2, 0, 4), 4, "fast");
  unsetenv("ANEFORGE_HOST_NUMERICS");
  t = tiny();
  setenv("ANEFORGE_TARGET", "z80", 1);
  CHECK(!mil_compile(&t, true, error, sizeof error) && strstr(error, "z80"), "%s", error);
  static const struct { const char *target, *says; } targets[] = {
      {"h13g", "family 2\n"}, {"h14", "family 3\n"}, {"h15", "family 4\n"}, {"h16s", "family 5\n"}, {"h17s", "family 5 winograd\n"},
      {" H17D\t", "family 5 winograd\n"}, {"m11", "family 4\n"}};
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
    setenv("ANEFORGE_TARGET", targets[i].target, 1);
    mil_text again = tiny();
    steps_of(&again, targets[i].says, NULL);
  }
  unsetenv("ANEFORGE_TARGET");
  mil_text_free(&t);
}

TEST(stand_in_target) {
  char dir[] = "/tmp/aneforge-engine-XXXXXX", path[64];
  if (!mkdtemp(dir)) return;
  snprintf(path, sizeof path, "%s/model.mil", dir);
  const char *text = "program(1.3)\n[buildInfo = dict<string, string>({{\"a\", \"b\"}})]\n{\n    func main<ios18>(tensor<fp16, [4]> x) {\n"
                     "        tensor<fp16, [4]> y = relu(x = x)[name = string(\"y\")];\n    } -> (y);\n}\n";
  write_file(path, text, strlen(text));
  static const struct { const char *target; int loadable; } rows[] = {{NULL, 1}, {"", 1}, {"h13", 1}, {" H13", 1},
                                                               {"h16", 0},  {"u1", 1}, {"zzz", 1}, {"a name that is far too long", 1}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    engine_program *p = engine_compile(path, rows[i].target, error, sizeof error);
    CHECK(p && engine_loadable(p) == rows[i].loadable, "%s: %s", rows[i].target ? rows[i].target : "none", error);
    engine_release(p);
  }
  CHECK(!engine_compile("/nowhere/model.mil", NULL, error, sizeof error) && error[0], " ");
  CHECK(!engine_compile("/nowhere/model.mil", NULL, NULL, 0), " ");
  unlink(path);
  rmdir(dir);
}

int main(void) {
  setenv("ANEFORGE_HOST_THREADS", "1", 1); /* threads only in children */
  unsetenv("ANEFORGE_TARGET");
  unsetenv("ANEFORGE_HOST_NUMERICS");
  unsetenv("ANEFORGE_HOST_FUSE");
  RUN(moves);
  RUN(spatial);
  RUN(convolutions);
  RUN(casts);
  RUN(prelu_and_select);
  RUN(slice_cliff);
  RUN(difference_with_itself);
  RUN(compressed_weights);
  RUN(elementwise_chains_are_one_step);
  RUN(groups_are_convex);
  RUN(groups_sink);
  RUN(epilogues);
  RUN(products_read_strides);
  RUN(elementwise_groups_read_slices);
  RUN(updates_run_last);
  RUN(concatenations_are_made_in_place);
  RUN(wide_groups_are_split);
  RUN(ten_thousand_operations);
  RUN(resident_weights);
  RUN(swapped_state);
  RUN(outputs_of_outputs);
  RUN(several_programs_at_once);
#if !defined(__SANITIZE_THREAD__)
  RUN(fork_after_use);
#endif
  RUN(bad_calls);
  RUN(settings);
  RUN(stand_in_target);
  return test_end();
}
