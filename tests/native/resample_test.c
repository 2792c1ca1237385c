/* resample_test.c - operations on images, channels and equations as whole programs, against fp64 references written from their
 * formulas, in both numerics; and the kernels behind them against their scalar twins. */
#include "image.h"
#include "kernels_test.h"
#include "mil_program.h"
#include "plan.h"

typedef struct {
  int rank;
  int64_t dim[5];
} shape;

#define S(...) ((shape){sizeof((int64_t[]){__VA_ARGS__}) / 8, {__VA_ARGS__}})

static int64_t count(shape s) {
  int64_t n = 1;
  for (int i = 0; i < s.rank; i++) n *= s.dim[i];
  return n;
}

static const char *type_text(const char *dtype, shape s) {
  static char text[8][96];
  static int next;
  char *t = text[next++ % 8], *at = t + sprintf(t, "tensor<%s, [", dtype);
  for (int i = 0; i < s.rank; i++) at += sprintf(at, "%s%lld", i ? ", " : "", (long long)s.dim[i]);
  sprintf(at, "]>");
  return t;
}

static double value(f16 h) { return f16_to_float(h); }

static f16 *random_halves(int64_t n) {
  f16 *x = malloc((size_t)n * sizeof *x);
  for (int64_t i = 0; i < n; i++) x[i] = f16_from_float((float)(3 * random_unit()));
  return x;
}

/* -- Running one program in both numerics ------------------------------------------------------------------------------------ */

static char error[1024];
static const char *const modes[] = {"ane", "fast"};

/* want[i] within absolute + relative * |want[i]|, absolute and relative per mode; a tolerance of 0 means the same bits. */
static void gives(mil_text *t, void *const *in, shape out, const double *want, const double *tolerance, const char *what) {
  for (int mode = 0; mode < 2; mode++) {
    setenv("ANEFORGE_HOST_NUMERICS", modes[mode], 1);
    engine_program *p = mil_compile(t, true, error, sizeof error);
    CHECK(p != NULL, "%s: %s", what, error);
    if (!p) break;
    int64_t n = count(out), wrong = 0;
    f16 *y = block((size_t)n * sizeof *y);
    void *outputs[1] = {y};
    int status = engine_execute(p, in, outputs, error, sizeof error);
    CHECK(!status && engine_output(p, 0)->bytes == (size_t)n * sizeof *y, "%s: %s", what, error);
    for (int64_t i = 0; i < n && !wrong && !status; i++) {
      double got = value(y[i]), off = fabs(got - want[i]);
      wrong = !(got == want[i] || off <= tolerance[mode] * (1 + fabs(want[i])));
      if (wrong) CHECK(0, "%s, %s: [%lld] is %g, not %g", what, modes[mode], (long long)i, got, want[i]);
    }
    free(y);
    engine_release(p);
  }
  mil_text_free(t);
}

/* One operand x, one statement. */
static void op_gives(shape in, const f16 *x, shape out, const double *want, const double *tolerance, const char *call) {
  mil_text t = {0};
  mil_input(&t, type_text("fp16", in), "x");
  mil_op_line(&t, type_text("fp16", out), "y", "%s", call);
  mil_output(&t, "y");
  void *inputs[1] = {(void *)(uintptr_t)x};
  gives(&t, inputs, out, want, tolerance, call);
}

static const double exact[2] = {0, 0}, nearly[2] = {1e-12, 1e-12}; /* of a reference that is itself rounded */
/* Weights of fp16 (an error of 2^-12 on each axis, of differences up to 6); fp16 results. */
static const double blended[2] = {0.006, 0.0006};

/* -- Resampling ---------------------------------------------------------------------------------------------------------------- */

/* Position on an axis, by the formulas of the operations. */
static double grid(const char *mode, int64_t i, double from, double to) {
  double g = (double)i * from / to;
  if (!strcmp(mode, "ALIGN_CORNERS")) g = to == 1 ? (from - 1) / 2 : (double)i * ((from - 1) / (to - 1));
  if (!strcmp(mode, "STRICT_ALIGN_CORNERS")) g = to == 1 ? 0 : (double)i * ((from - 1) / (to - 1));
  if (!strcmp(mode, "UNALIGN_CORNERS")) g = ((double)i + 0.5) * (from / to) - 0.5;
  if (!strcmp(mode, "OFFSET_CORNERS")) {
    double d = fmax(1, from - 1) / to;
    g = 0.5 * d + (double)i * d;
  }
  return fmin(fmax(g, 0), from - 1);
}

static double pixel(const f16 *plane, int64_t h, int64_t w, double gy, double gx) {
  int64_t y = (int64_t)floor(gy), x = (int64_t)floor(gx), y1 = y + 1 < h ? y + 1 : y, x1 = x + 1 < w ? x + 1 : x;
  double v = gy - (double)y, u = gx - (double)x;
  return (1 - v) * ((1 - u) * value(plane[y * w + x]) + u * value(plane[y * w + x1])) +
         v * ((1 - u) * value(plane[y1 * w + x]) + u * value(plane[y1 * w + x1]));
}

static void resized(shape in, shape out, const char *mode, const char *call) {
  int64_t h = in.dim[in.rank - 2], w = in.dim[in.rank - 1], oh = out.dim[in.rank - 2], ow = out.dim[in.rank - 1];
  f16 *x = random_halves(count(in));
  double *want = malloc((size_t)count(out) * sizeof *want);
  for (int64_t i = 0; i < count(out); i++) {
    const f16 *plane = x + i / (oh * ow) * h * w;
    int64_t oy = i / ow % oh, ox = i % ow;
    want[i] = strcmp(mode, "NEAREST") ? pixel(plane, h, w, grid(mode, oy, (double)h, (double)oh), grid(mode, ox, (double)w, (double)ow))
                                      : value(plane[oy * h / oh * w + ox * w / ow]);
  }
  op_gives(in, x, out, want, strcmp(mode, "NEAREST") ? blended : exact, call);
  free(x);
  free(want);
}

TEST(resizing) {
  static const char *const kinds[] = {"NEAREST", "DEFAULT", "ALIGN_CORNERS", "STRICT_ALIGN_CORNERS", "UNALIGN_CORNERS", "OFFSET_CORNERS"};
  static const int64_t sizes[][4] = {{1, 1, 1, 1}, {1, 1, 5, 7}, {2, 2, 5, 5}, {5, 7, 1, 1}, {7, 5, 3, 11}, {4, 9, 8, 18},
                                     {6, 6, 6, 6}, {1, 40, 3, 1}, {33, 65, 64, 31}};
  for (size_t k = 0; k < 6; k++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      const int64_t *s = sizes[i];
      shape in = S(2, 3, s[0], s[1]), out = S(2, 3, s[2], s[3]);
      char call[256], mode[80] = "";
      if (k) sprintf(mode, "sampling_mode = string(\"%s\"), ", kinds[k]);
      sprintf(call, "%s(%starget_size_height = int32(%lld), target_size_width = int32(%lld), x = x)",
              k ? "resize_bilinear" : "resize_nearest_neighbor", mode, (long long)s[2], (long long)s[3]);
      resized(in, out, kinds[k], call);
    }
  resized(S(3, 4, 5), S(3, 2, 9), "DEFAULT", "resize_bilinear(target_size_height = int32(2), target_size_width = int32(9), x = x)");
}

TEST(bilinear_upsampling) {
  static const int64_t sizes[][4] = {{1, 1, 2, 3}, {2, 2, 2, 2}, {5, 3, 1, 4}, {7, 16, 3, 1}, {1, 9, 5, 2}};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int corners = 0; corners < 3; corners++) {
      const int64_t *s = sizes[i];
      shape in = S(1, 2, s[0], s[1]), out = S(1, 2, s[0] * s[2], s[1] * s[3]);
      char call[256];
      sprintf(call, "upsample_bilinear(align_corners = bool(%s), %sscale_factor_height = fp32(%lld.0), scale_factor_width = fp32(%lld.0), x = x)",
              corners == 1 ? "true" : "false", corners == 2 ? "half_pixel_centers = bool(false), " : "", (long long)s[2], (long long)s[3]);
      resized(in, out, corners == 1 ? "ALIGN_CORNERS" : corners ? "DEFAULT" : "UNALIGN_CORNERS", call);
    }
}

/* The published results for 2 -> 5, and a neighbour of weight 0 that is infinite. */
TEST(known_grids) {
  f16 x[2] = {0, 0x3c00};
  const double tolerance[2] = {0.0003, 0.0003};
  op_gives(S(1, 1, 1, 2), x, S(1, 1, 1, 5), (double[]){0, 0.4, 0.8, 1, 1}, tolerance,
           "resize_bilinear(target_size_height = int32(1), target_size_width = int32(5), x = x)");
  op_gives(S(1, 1, 1, 2), x, S(1, 1, 1, 5), (double[]){0, 0.1, 0.5, 0.9, 1}, tolerance,
           "resize_bilinear(sampling_mode = string(\"UNALIGN_CORNERS\"), target_size_height = int32(1), target_size_width = int32(5), x = x)");
  x[0] = 0x7c00;
  op_gives(S(1, 1, 1, 2), x, S(1, 1, 1, 3), (double[]){INFINITY, INFINITY, 1}, exact,
           "resize_bilinear(sampling_mode = string(\"ALIGN_CORNERS\"), target_size_height = int32(1), target_size_width = int32(3), x = x)");
}

/* -- Affine sampling ------------------------------------------------------------------------------------------------------------- */

static double tap(const f16 *plane, int64_t h, int64_t w, int64_t y, int64_t x, double outside) {
  return y < 0 || y >= h || x < 0 || x >= w ? outside : value(plane[y * w + x]);
}

static void sampled(shape in, int64_t oh, int64_t ow, const float *matrix, int rows, bool corners, float outside, const double *tolerance) {
  f16 m[32], *x = random_halves(count(in));
  for (int i = 0; i < 6 * rows; i++) m[i] = f16_from_float(matrix[i]);
  shape out = S(in.dim[0], in.dim[1], oh, ow);
  double *want = malloc((size_t)count(out) * sizeof *want), h = (double)in.dim[2], w = (double)in.dim[3];
  for (int64_t i = 0; i < count(out); i++) {
    int64_t oy = i / ow % oh, ox = i % ow, plane = i / (oh * ow);
    const f16 *a = m + (rows > 1 ? plane / in.dim[1] * 6 : 0);
    double cx = corners ? (ow == 1 ? 0 : 2.0 * (double)ox / (double)(ow - 1) - 1) : 2 * ((double)ox + 0.5) / (double)ow - 1;
    double cy = corners ? (oh == 1 ? 0 : 2.0 * (double)oy / (double)(oh - 1) - 1) : 2 * ((double)oy + 0.5) / (double)oh - 1;
    double sx = value(a[0]) * cx + value(a[1]) * cy + value(a[2]), sy = value(a[3]) * cx + value(a[4]) * cy + value(a[5]);
    double px = corners ? (sx + 1) / 2 * (w - 1) : ((sx + 1) * w - 1) / 2;
    double py = corners ? (sy + 1) / 2 * (h - 1) : ((sy + 1) * h - 1) / 2;
    int64_t x0 = (int64_t)floor(px), y0 = (int64_t)floor(py);
    double u = px - (double)x0, v = py - (double)y0;
    const f16 *from = x + plane * in.dim[2] * in.dim[3];
    double o = value(f16_from_float(outside));
    want[i] = (1 - v) * ((1 - u) * tap(from, in.dim[2], in.dim[3], y0, x0, o) + u * tap(from, in.dim[2], in.dim[3], y0, x0 + 1, o)) +
              v * ((1 - u) * tap(from, in.dim[2], in.dim[3], y0 + 1, x0, o) + u * tap(from, in.dim[2], in.dim[3], y0 + 1, x0 + 1, o));
  }
  for (int given = 0; given < 2; given++) { /* the matrix as a constant and as an input */
    mil_text t = {0};
    char what[96];
    mil_input(&t, type_text("fp16", in), "x");
    if (given) mil_input(&t, type_text("fp16", S(rows, 6)), "m");
    else mil_weight(&t, "m", type_text("fp16", S(rows, 6)), 1, m, 12 * (size_t)rows);
    mil_op_line(&t, type_text("fp16", out), "y",
                "affine(align_corners = bool(%s), coordinates_mode = string(\"normalized_minus_one_to_one\"), output_height = "
                "int32(%lld), output_width = int32(%lld), padding_mode = string(\"constant\"), padding_value = fp16(%a), "
                "sampling_mode = string(\"bilinear\"), transform_matrix = m, x = x)",
                corners ? "true" : "false", (long long)oh, (long long)ow, (double)outside);
    mil_output(&t, "y");
    void *inputs[2] = {x, m};
    sprintf(what, "affine %g %g .. to %lld x %lld, corners %d, given %d", (double)matrix[0], (double)matrix[1], (long long)oh, (long long)ow, corners, given);
    gives(&t, inputs, out, want, tolerance, what);
  }
  free(x);
  free(want);
}

TEST(affine_sampling) {
  static const float identity[6] = {1, 0, 0, 0, 1, 0}, away[6] = {1, 0, 5, 0, 1, 0}, zero[6] = {0, 0, 0, 0, 0, 0};
  static const float turned[12] = {0.8f, -0.6f, 0.1f, 0.6f, 0.8f, -0.2f, 0, 1, 0, -1, 0, 0}, large[6] = {60000, 0, 0, 0, 60000, 0};
  setenv("ANEFORGE_TARGET", "h14", 1);
  for (int corners = 0; corners < 2; corners++) {
    sampled(S(2, 3, 5, 7), 5, 7, identity, 1, corners, 0, nearly);
    sampled(S(1, 1, 8, 6), 3, 5, identity, 1, corners, 0, blended);
    sampled(S(2, 2, 6, 9), 7, 4, turned, 2, corners, 0, blended);
    sampled(S(1, 2, 4, 4), 1, 1, turned, 1, corners, 0, blended);
    sampled(S(1, 1, 1, 1), 4, 4, turned, 1, corners, 0, blended);
    sampled(S(1, 1, 4, 4), 6, 6, turned, 1, corners, 1.5f, blended);
    sampled(S(2, 1, 3, 3), 3, 3, away, 1, corners, 0, exact);
    sampled(S(1, 1, 3, 4), 3, 3, zero, 1, corners, 0, blended);
    sampled(S(1, 1, 3, 4), 2, 2, large, 1, corners, -2, exact);
  }
  unsetenv("ANEFORGE_TARGET");
}

/* -- Normalisations --------------------------------------------------------------------------------------------------------------- */

TEST(local_response) {
  static const struct { int64_t c, size; double alpha, beta, k; } rows[] = {
      {6, 5, 1e-4, 0.75, 1}, {6, 1, 1, 0.5, 2}, {7, 2, 0.5, 1, 1}, {5, 4, 2, 0.75, 0.5}, {3, 9, 1, 2, 1}, {1, 3, 1, 0.75, 1},
      {9, 3, 1, 0.3, 1}, {4, 100, 1, 0, 1}};
  static const double tolerance[2] = {0.0006, 0.0006};
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
    for (int spatial = 1; spatial < 4; spatial++) {
      shape s = {2 + spatial, {2, rows[r].c, 3, 5, 2}};
      double alpha = value(f16_from_float((float)rows[r].alpha)), beta = value(f16_from_float((float)rows[r].beta));
      int64_t inner = count(s) / 2 / rows[r].c, size = rows[r].size;
      f16 *x = random_halves(count(s));
      double *want = malloc((size_t)count(s) * sizeof *want);
      for (int64_t i = 0; i < count(s); i++) {
        int64_t c = i / inner % rows[r].c;
        double sum = 0;
        for (int64_t j = c - (size - 1) / 2; j <= c + size / 2; j++)
          if (j >= 0 && j < rows[r].c) sum += pow(value(x[i + (j - c) * inner]), 2);
        want[i] = value(x[i]) / pow(rows[r].k + alpha / (double)size * sum, beta);
      }
      char call[200];
      sprintf(call, "local_response_norm(alpha = fp16(%a), beta = fp16(%a), k = fp16(%a), size = int32(%lld), x = x)",
              rows[r].alpha, rows[r].beta, rows[r].k, (long long)size);
      op_gives(s, x, s, want, tolerance, call);
      free(x);
      free(want);
    }
}

/* x with one number per channel (or per position of the normalised axes) for each letter of `given`: gamma, beta, mean,
 * variance. */
static void normalised(const char *op, shape s, const char *rest, const char *given, shape vector, const f16 *x, const double *want,
                       f16 *const *vectors, const double *tolerance) {
  static const char *const names[] = {"gamma", "beta", "mean", "variance"};
  mil_text t = {0};
  char args[200] = "";
  mil_input(&t, type_text("fp16", s), "x");
  for (int i = 0; i < 4; i++) {
    if (!strchr(given, names[i][0])) continue;
    mil_weight(&t, names[i], type_text("fp16", vector), 1, vectors[i], (size_t)count(vector) * 2);
    sprintf(args + strlen(args), "%s = %s, ", names[i], names[i]);
  }
  mil_op_line(&t, type_text("fp16", s), "y", "%s(%s%sx = x)", op, args, rest);
  mil_output(&t, "y");
  void *inputs[1] = {(void *)(uintptr_t)x};
  char what[300];
  snprintf(what, sizeof what, "%s %s given %s rank %d", op, rest, given, s.rank);
  gives(&t, inputs, s, want, tolerance, what);
}

static void make_vectors(f16 **v, int64_t n) {
  for (int i = 0; i < 4; i++) v[i] = random_halves(n);
  for (int64_t i = 0; i < n; i++) v[3][i] = f16_from_float(0.3f + fabsf(f16_to_float(v[3][i])));
}

TEST(batch_normalisation) {
  static const shape shapes[] = {{3, {2, 5, 3}}, {4, {1, 3, 2, 7}}, {4, {2, 1, 1, 1}}, {5, {1, 4, 2, 3, 2}}, {4, {1, 70, 9, 9}}};
  static const char *const given[] = {"gbmv", "mv", "gmv", "bmv"};
  static const double tolerance[2] = {0.008, 0.0006};
  for (size_t i = 0; i < 5; i++)
    for (int k = 0; k < 4; k++) {
      shape s = shapes[i];
      int64_t channels = s.dim[1], inner = count(s) / s.dim[0] / channels;
      f16 *v[4], *x = random_halves(count(s));
      make_vectors(v, channels);
      double *want = malloc((size_t)count(s) * sizeof *want), eps = value(f16_from_float(1e-5f));
      for (int64_t j = 0; j < count(s); j++) {
        int64_t c = j / inner % channels;
        double g = strchr(given[k], 'g') ? value(v[0][c]) : 1, b = strchr(given[k], 'b') ? value(v[1][c]) : 0;
        want[j] = (value(x[j]) - value(v[2][c])) / sqrt(value(v[3][c]) + eps) * g + b;
      }
      normalised("batch_norm", s, "epsilon = fp16(0x1.5p-17), ", given[k], S(channels), x, want, v, tolerance);
      for (int j = 0; j < 4; j++) free(v[j]);
      free(x);
      free(want);
    }
}

/* want over groups: element j belongs to group[j], has gamma and beta index[j]. */
static void standardised(const char *op, shape s, const char *rest, shape vector, const int64_t *group, int64_t groups, const int64_t *index) {
  static const char *const given[] = {"gb", "", "g", "b"};
  static const double tolerance[2] = {0.012, 0.004};
  int64_t n = count(s);
  f16 *v[4], *x = random_halves(n);
  make_vectors(v, count(vector));
  double *want = malloc((size_t)n * sizeof *want), *mean = calloc((size_t)groups, sizeof *mean), *var = calloc((size_t)groups, sizeof *var);
  for (int64_t j = 0; j < n; j++) mean[group[j]] += value(x[j]) / (double)(n / groups);
  for (int64_t j = 0; j < n; j++) var[group[j]] += pow(value(x[j]) - mean[group[j]], 2) / (double)(n / groups);
  for (int k = 0; k < 4; k++) {
    for (int64_t j = 0; j < n; j++) {
      double g = strchr(given[k], 'g') ? value(v[0][index[j]]) : 1, b = strchr(given[k], 'b') ? value(v[1][index[j]]) : 0;
      want[j] = (value(x[j]) - mean[group[j]]) / sqrt(var[group[j]] + 0.01) * g + b;
    }
    normalised(op, s, rest, given[k], vector, x, want, v, tolerance);
  }
  for (int j = 0; j < 4; j++) free(v[j]);
  free(x);
  free(want);
  free(mean);
  free(var);
}

TEST(instance_and_layer_normalisation) {
  static int64_t group[4096], index[4096];
  static const shape shapes[] = {{4, {2, 3, 5, 7}}, {3, {1, 4, 9}}, {4, {1, 2, 1, 1}}, {4, {1, 3, 16, 20}}};
  for (size_t i = 0; i < 4; i++) {
    shape s = shapes[i];
    int64_t groups = s.dim[0] * s.dim[1], inner = count(s) / groups;
    for (int64_t j = 0; j < count(s); j++) group[j] = j / inner, index[j] = j / inner % s.dim[1];
    standardised("instance_norm", s, "epsilon = fp16(0.01), ", S(s.dim[1]), group, groups, index);
  }
  shape s = S(3, 4, 5);
  for (int64_t j = 0; j < 60; j++) group[j] = j / 5, index[j] = j % 5;
  standardised("layer_norm", s, "axes = tensor<int32, [1]>([-1]), epsilon = fp16(0.01), ", S(5), group, 12, index);
  for (int64_t j = 0; j < 60; j++) group[j] = j / 20, index[j] = j % 20;
  standardised("layer_norm", s, "axes = tensor<int32, [2]>([1, 2]), epsilon = fp16(0.01), ", S(4, 5), group, 3, index);
  for (int64_t j = 0; j < 60; j++) group[j] = j / 20 * 5 + j % 5, index[j] = j / 5 % 4;
  standardised("layer_norm", s, "axes = tensor<int32, [1]>([1]), epsilon = fp16(0.01), ", S(4), group, 15, index);
  for (int64_t j = 0; j < 60; j++) group[j] = 0, index[j] = j;
  standardised("layer_norm", s, "epsilon = fp16(0.01), ", s, group, 1, index);
}

/* A plane of one value has no variance; what is left is beta. */
TEST(constant_planes) {
  f16 x[12], beta[2] = {0x3c00, 0xc000};
  f16 *vectors[4] = {NULL, beta, NULL, NULL};
  for (int i = 0; i < 12; i++) x[i] = i < 6 ? 0x4500 : 0xc900;
  double want[12];
  for (int i = 0; i < 12; i++) want[i] = i < 6 ? 1 : -2;
  normalised("instance_norm", S(1, 2, 2, 3), "", "b", S(2), x, want, vectors, exact);
}

TEST(l2_normalisation) {
  static const shape shapes[] = {{3, {2, 3, 4}}, {4, {2, 3, 1, 5}}, {5, {2, 2, 3, 2, 2}}};
  static const double tolerance[2] = {0.003, 0.002};
  for (size_t i = 0; i < 3; i++) {
    shape s = shapes[i];
    int64_t n = count(s), inner = s.dim[s.rank - 1] * s.dim[s.rank - 2] * s.dim[s.rank - 3];
    f16 *x = random_halves(n);
    double *want = malloc((size_t)n * sizeof *want);
    for (int64_t j = 0; j < n; j++) {
      double sum = 0.25;
      for (int64_t k = j / inner * inner; k < (j / inner + 1) * inner; k++) sum += pow(value(x[k]), 2);
      want[j] = value(x[j]) / sqrt(sum);
    }
    op_gives(s, x, s, want, tolerance, "l2_norm(epsilon = fp16(0.25), x = x)");
    free(x);
    free(want);
  }
}

/* -- Moving pixels ------------------------------------------------------------------------------------------------------------------ */

/* from[i] is the element result element i is, or -1 for `outside`. */
static void moved(shape in, shape out, const int64_t *from, double outside, const char *call) {
  f16 *x = random_halves(count(in));
  double *want = malloc((size_t)count(out) * sizeof *want);
  for (int64_t i = 0; i < count(out); i++) want[i] = from[i] < 0 ? outside : value(x[from[i]]);
  op_gives(in, x, out, want, exact, call);
  free(x);
  free(want);
}

static int64_t at4(shape s, int64_t n, int64_t c, int64_t h, int64_t w) {
  return ((n * s.dim[1] + c) * s.dim[2] + h) * s.dim[3] + w;
}

TEST(block_rearrangements) {
  static int64_t grow[2][8192], shrink[2][8192];
  static const int64_t sizes[][5] = {{1, 1, 1, 1, 1}, {2, 3, 2, 4, 2}, {1, 2, 3, 1, 3}, {2, 1, 5, 7, 4}, {1, 5, 4, 4, 1}};
  for (size_t i = 0; i < 5; i++) {
    int64_t N = sizes[i][0], C = sizes[i][1], H = sizes[i][2], W = sizes[i][3], b = sizes[i][4];
    shape large = S(N, C, H * b, W * b), small = S(N, C * b * b, H, W);
    for (int64_t n = 0; n < N; n++)
      for (int64_t c = 0; c < C; c++)
        for (int64_t y = 0; y < H * b; y++)
          for (int64_t x = 0; x < W * b; x++) {
            int64_t l = at4(large, n, c, y, x);
            int64_t shuffled = at4(small, n, c * b * b + y % b * b + x % b, y / b, x / b);
            int64_t blocked = at4(small, n, (y % b * b + x % b) * C + c, y / b, x / b);
            grow[0][l] = shuffled, shrink[0][shuffled] = l;
            grow[1][l] = blocked, shrink[1][blocked] = l;
          }
    char call[100];
    sprintf(call, "pixel_shuffle(upscale_factor=int32(%lld), x=x)", (long long)b);
    moved(small, large, grow[0], 0, call);
    sprintf(call, "pixel_unshuffle(downscale_factor=uint32(%lld), x=x)", (long long)b);
    moved(large, small, shrink[0], 0, call);
    sprintf(call, "depth_to_space(block_size = int32(%lld), x = x)", (long long)b);
    moved(small, large, grow[1], 0, call);
    sprintf(call, "space_to_depth(block_size = int32(%lld), x = x)", (long long)b);
    moved(large, small, shrink[1], 0, call);
  }
}

TEST(batches_of_blocks) {
  static int64_t from[8192];
  static const int64_t rows[][9] = {/* C H W bh bw top bottom left right */ {1, 4, 6, 2, 3, 0, 0, 0, 0}, {3, 5, 3, 2, 2, 1, 0, 0, 1},
                                    {2, 1, 1, 3, 1, 1, 1, 0, 0}, {2, 4, 4, 1, 1, 0, 0, 0, 0}, {1, 6, 8, 3, 4, 0, 3, 2, 2}};
  for (size_t i = 0; i < 5; i++) {
    const int64_t *r = rows[i];
    int64_t h = (r[1] + r[5] + r[6]) / r[3], w = (r[2] + r[7] + r[8]) / r[4];
    shape space = S(1, r[0], r[1], r[2]), batch = S(r[3] * r[4], r[0], h, w);
    char call[220];
    for (int64_t j = 0; j < count(batch); j++) {
      int64_t b = j / (r[0] * h * w), c = j / (h * w) % r[0], y = j / w % h * r[3] + b / r[4] - r[5], x = j % w * r[4] + b % r[4] - r[7];
      from[j] = y < 0 || y >= r[1] || x < 0 || x >= r[2] ? -1 : at4(space, 0, c, y, x);
    }
    sprintf(call, "space_to_batch(block_shape = tensor<int32, [2]>([%lld, %lld]), paddings = tensor<int32, [2, 2]>([[%lld, %lld], [%lld, %lld]]), x = x)",
            (long long)r[3], (long long)r[4], (long long)r[5], (long long)r[6], (long long)r[7], (long long)r[8]);
    moved(space, batch, from, 0, call);
    for (int64_t j = 0; j < count(space); j++) {
      int64_t c = j / (r[1] * r[2]), y = j / r[2] % r[1] + r[5], x = j % r[2] + r[7];
      from[j] = at4(batch, y % r[3] * r[4] + x % r[4], c, y / r[3], x / r[4]);
    }
    sprintf(call, "batch_to_space(block_shape = tensor<int32, [2]>([%lld, %lld]), crops = tensor<int32, [2, 2]>([[%lld, %lld], [%lld, %lld]]), x = x)",
            (long long)r[3], (long long)r[4], (long long)r[5], (long long)r[6], (long long)r[7], (long long)r[8]);
    moved(batch, space, from, 0, call);
  }
}

TEST(borders) {
  static int64_t from[8192];
  static const int64_t rows[][4] = {{0, 0, 0, 0}, {1, 0, 0, 2}, {0, 3, 1, 0}, {2, 1, 3, 2}, {0, 0, 2, 0}, {1, 1, 0, 0}};
  static const char *const kinds[] = {"crop", "constant", "reflect", "replicate"};
  shape s = S(2, 2, 5, 6);
  for (size_t i = 0; i < 6; i++)
    for (int kind = 0; kind < 4; kind++) {
      const int64_t *r = rows[i];
      int64_t sign = kind ? 1 : -1, h = 5 + sign * (r[0] + r[1]), w = 6 + sign * (r[2] + r[3]);
      shape out = S(2, 2, h, w);
      for (int64_t j = 0; j < count(out); j++) {
        int64_t y = j / w % h - sign * r[0], x = j % w - sign * r[2];
        bool outside = y < 0 || y >= 5 || x < 0 || x >= 6;
        if (kind == 2) y = y < 0 ? -y : y >= 5 ? 8 - y : y, x = x < 0 ? -x : x >= 6 ? 10 - x : x;
        if (kind == 3) y = y < 0 ? 0 : y >= 5 ? 4 : y, x = x < 0 ? 0 : x >= 6 ? 5 : x;
        from[j] = kind == 1 && outside ? -1 : at4(s, j / (2 * h * w), j / (h * w) % 2, y, x);
      }
      char call[200];
      if (kind)
        sprintf(call, "pad(constant_val = fp16(-1.5), mode = string(\"%s\"), pad = tensor<int32, [4]>([%lld, %lld, %lld, %lld]), x = x)",
                kinds[kind], (long long)r[0], (long long)r[1], (long long)r[2], (long long)r[3]);
      else
        sprintf(call, "crop(crop_height = tensor<int32, [2]>([%lld, %lld]), crop_width = tensor<int32, [2]>([%lld, %lld]), x = x)",
                (long long)r[0], (long long)r[1], (long long)r[2], (long long)r[3]);
      moved(s, out, from, -1.5, call);
    }
  for (int64_t j = 0; j < 24; j++) from[j] = j < 6 || j >= 18 ? -1 : j - 6; /* only in front of and behind the first axis */
  moved(S(2, 6), S(4, 6), from, 2, "pad(constant_val = fp16(2), pad = tensor<int32, [4]>([1, 1, 0, 0]), x = x)");
  for (int64_t j = 0; j < 3 * 4 * 3; j++) { /* every axis */
    int64_t a = j / 12 - 1, b = j / 3 % 4 - 2, c = j % 3;
    from[j] = a < 0 || a > 1 || b < 0 || b > 1 || c > 1 ? -1 : a * 4 + b * 2 + c;
  }
  moved(S(2, 2, 2), S(3, 4, 3), from, 0, "pad(pad = tensor<int32, [6]>([1, 0, 2, 0, 0, 1]), x = x)");
}

/* A part that is padded and used again is made where the padded tensor holds it. */
TEST(padding_in_place) {
  mil_text t = {0};
  f16 x[4] = {0x3c00, 0x4000, 0x4200, 0x4400};
  mil_input(&t, "tensor<fp16, [2, 2]>", "x");
  mil_op_line(&t, "tensor<fp16, [2, 2]>", "a", "mul(x = x, y = fp16(2.0))");
  mil_op_line(&t, "tensor<fp16, [4, 2]>", "p", "pad(constant_val = fp16(9), pad = tensor<int32, [4]>([1, 1, 0, 0]), x = a)");
  mil_op_line(&t, "tensor<fp16, [2, 1]>", "m", "reduce_max(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = a)");
  mil_op_line(&t, "tensor<fp16, [4, 1]>", "n", "pad(mode = string(\"replicate\"), pad = tensor<int32, [4]>([1, 1, 0, 0]), x = m)");
  mil_op_line(&t, "tensor<fp16, [4, 2]>", "y", "add(x = p, y = n)");
  mil_output(&t, "y");
  void *in[1] = {x};
  gives(&t, in, S(4, 2), (double[]){13, 13, 6, 8, 14, 16, 17, 17}, exact, "padding in place");
}

TEST(slices_by_index) {
  static const struct { const char *args; int64_t n, from[12]; shape out; } rows[] = { /* of [3, 4] */
      {"begin = tensor<int32, [2]>([0, 0]), end = tensor<int32, [2]>([3, 4])", 12, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {2, {3, 4}}},
      {"begin = tensor<int32, [2]>([1, 1]), end = tensor<int32, [2]>([-1, -1])", 2, {5, 6}, {2, {1, 2}}},
      {"begin = tensor<int32, [2]>([-1, -1]), end = tensor<int32, [2]>([0, 0]), end_mask = tensor<bool, [2]>([true, true]), stride = "
       "tensor<int32, [2]>([-2, -3])", 4, {11, 8, 3, 0}, {2, {2, 2}}},
      {"begin = tensor<int8, [2]>([0, 1]), end = tensor<int8, [2]>([100, 4]), stride = tensor<int8, [2]>([2, 2])", 4, {1, 3, 9, 11}, {2, {2, 2}}},
      {"begin = tensor<int32, [2]>([-2, 0]), begin_mask = tensor<bool, [2]>([false, true]), end = tensor<int32, [2]>([0, 2]), squeeze_mask = "
       "tensor<bool, [2]>([true, false])", 2, {4, 5}, {1, {2}}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char call[300];
    sprintf(call, "slice_by_index(%s, x = x)", rows[i].args);
    moved(S(3, 4), rows[i].out, rows[i].from, 0, call);
  }
}

/* A13 and A14: what starts inside the last axis saturates above 4094, whichever operation it is. */
TEST(crops_and_the_cliff) {
  f16 x[3] = {f16_from_float(1), f16_from_float(4094), f16_from_float(4096)};
  const char *crop = "crop(crop_height = tensor<int32, [2]>([0, 0]), crop_width = tensor<int32, [2]>([1, 0]), x = x)";
  const char *slice = "slice_by_index(begin = tensor<int32, [3]>([0, 0, 1]), end = tensor<int32, [3]>([1, 1, 3]), x = x)";
  for (int i = 0; i < 2; i++)
    for (int family = 0; family < 2; family++) {
      setenv("ANEFORGE_TARGET", family ? "h15" : "h14", 1);
      setenv("ANEFORGE_HOST_NUMERICS", "ane", 1);
      mil_text t = {0};
      mil_input(&t, "tensor<fp16, [1, 1, 3]>", "x");
      mil_op_line(&t, "tensor<fp16, [1, 1, 2]>", "y", "%s", i ? slice : crop);
      mil_output(&t, "y");
      engine_program *p = mil_compile(&t, false, error, sizeof error);
      f16 y[2] = {0};
      void *in[1] = {x}, *out[1] = {y};
      CHECK(p && !engine_execute(p, in, out, error, sizeof error), "%s", error);
      CHECK(y[0] == x[1] && y[1] == (family ? x[2] : 0x7c00), "%04x %04x", y[0], y[1]);
      engine_release(p);
    }
  unsetenv("ANEFORGE_TARGET");
}

/* -- Equations, attention -------------------------------------------------------------------------------------------------------------- */

static void equation(const char *text, shape a, shape b, shape out, bool constant) {
  const char *letters[3] = {text, strchr(text, ',') + 1, strchr(text, '>') + 1};
  shape s[3] = {a, b, out};
  f16 *x = random_halves(count(a)), *w = random_halves(count(b));
  char all[16] = "";
  int64_t extent[16], total = 1, most = 1;
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < s[k].rank; i++) {
      char *there = strchr(all, letters[k][i]);
      size_t at = there ? (size_t)(there - all) : strlen(all);
      if (!there) all[at] = letters[k][i], all[at + 1] = 0, extent[at] = 1;
      if (s[k].dim[i] > extent[at]) extent[at] = s[k].dim[i];
    }
  for (size_t i = 0; all[i]; i++) total *= extent[i];
  double *want = calloc((size_t)count(out), sizeof *want);
  for (int64_t j = 0; j < total; j++) {
    int64_t index[16], rest = j, at[3] = {0, 0, 0};
    for (size_t i = 0; all[i]; i++) index[i] = rest % extent[i], rest /= extent[i];
    for (int k = 0; k < 3; k++)
      for (int i = 0; i < s[k].rank; i++) at[k] = at[k] * s[k].dim[i] + (s[k].dim[i] == 1 ? 0 : index[strchr(all, letters[k][i]) - all]);
    want[at[2]] += value(x[at[0]]) * value(w[at[1]]);
  }
  most = total / count(out);
  double tolerance[2] = {0.0006 + 1e-5 * (double)most, 0.0006 + 1e-6 * (double)most};
  mil_text t = {0};
  mil_input(&t, type_text("fp16", a), "x");
  if (constant) mil_weight(&t, "w", type_text("fp16", b), 1, w, (size_t)count(b) * 2);
  else mil_input(&t, type_text("fp16", b), "w");
  mil_op_line(&t, type_text("fp16", out), "y", "einsum(equation = string(\"%s\"), values = (x, w))", text);
  mil_output(&t, "y");
  void *in[2] = {x, w};
  gives(&t, in, out, want, tolerance, text);
  free(x);
  free(w);
  free(want);
}

TEST(equations) {
  for (int constant = 0; constant < 2; constant++) {
    equation("nchw,nwhu->nchu", S(2, 3, 4, 5), S(2, 5, 4, 7), S(2, 3, 4, 7), constant);
    equation("nchw,nwhu->nchu", S(1, 1, 1, 1), S(1, 1, 1, 1), S(1, 1, 1, 1), constant);
    equation("nchw,nwhu->nchu", S(2, 3, 1, 5), S(1, 5, 4, 7), S(2, 3, 4, 7), constant); /* batch axes broadcast */
    equation("chw,whr->chr", S(3, 4, 5), S(5, 4, 6), S(3, 4, 6), constant);
    equation("ab,bc->ac", S(9, 17), S(17, 33), S(9, 33), constant);
    equation("ab,bc->ca", S(9, 17), S(17, 33), S(33, 9), constant);
    equation("ba,cb->ac", S(17, 9), S(33, 17), S(9, 33), constant);
    equation("ab,ab->ab", S(3, 4), S(3, 4), S(3, 4), constant); /* no sum */
    equation("a,b->ba", S(5), S(6), S(6, 5), constant);
    equation("abc,cbd->ad", S(4, 3, 5), S(5, 3, 6), S(4, 6), constant); /* two axes summed, in other orders */
    equation("abc,bcd->ad", S(4, 3, 5), S(3, 5, 6), S(4, 6), constant);
    equation("abcd,dbef->aecf", S(2, 3, 4, 5), S(5, 3, 2, 3), S(2, 2, 4, 3), constant);
    equation("ab,ab->a", S(6, 40), S(6, 40), S(6), constant);
    equation("bthd,bshd->bhts", S(1, 5, 2, 8), S(1, 6, 2, 8), S(1, 2, 5, 6), constant);
  }
}

TEST(attention) {
  static const double tolerance[2] = {0.01, 0.004};
  for (int masked = 0; masked < 2; masked++) {
    int64_t B = 2, H = 3, L = 5, S_ = 7, E = 8, V = 4;
    f16 *q = random_halves(B * H * L * E), *k = random_halves(B * H * S_ * E), *v = random_halves(B * H * S_ * V), *m = random_halves(L * S_);
    double want[2 * 3 * 5 * 4];
    for (int64_t b = 0; b < B * H; b++)
      for (int64_t l = 0; l < L; l++) {
        double score[7], total = 0, sum[4] = {0};
        for (int64_t s = 0; s < S_; s++) {
          double dot = 0;
          for (int64_t e = 0; e < E; e++) dot += value(q[(b * L + l) * E + e]) * value(k[(b * S_ + s) * E + e]);
          score[s] = exp(dot / sqrt((double)E) + (masked ? value(m[l * S_ + s]) : 0));
          total += score[s];
          for (int64_t e = 0; e < V; e++) sum[e] += score[s] * value(v[(b * S_ + s) * V + e]);
        }
        for (int64_t e = 0; e < V; e++) want[(b * L + l) * V + e] = sum[e] / total;
      }
    mil_text t = {0};
    mil_input(&t, type_text("fp16", S(B, H, L, E)), "q");
    mil_input(&t, type_text("fp16", S(B, H, S_, E)), "k");
    mil_input(&t, type_text("fp16", S(B, H, S_, V)), "v");
    if (masked) mil_input(&t, type_text("fp16", S(L, S_)), "m");
    mil_op_line(&t, type_text("fp16", S(B, H, L, V)), "y", "scaled_dot_product_attention(%skey = k, query = q, value = v)",
                masked ? "attn_mask = m, " : "");
    mil_output(&t, "y");
    void *in[4] = {q, k, v, m};
    gives(&t, in, S(B, H, L, V), want, tolerance, masked ? "masked attention" : "attention");
    free(q);
    free(k);
    free(v);
    free(m);
  }
}

/* -- Others ------------------------------------------------------------------------------------------------------------------------------ */

TEST(filled_and_divided) {
  f16 x[4], alpha[2] = {0x3c00, 0x4000}, beta[2] = {0x3800, 0xbc00};
  const float given[4] = {7, -7, 8, 0.5f};
  for (int i = 0; i < 4; i++) x[i] = f16_from_float(given[i]);
  op_gives(S(4), x, S(4), (double[]){3, -4, 4, 0}, exact, "floor_div(x = x, y = fp16(2))");
  mil_text t = {0};
  mil_input(&t, "tensor<fp16, [4]>", "x");
  mil_op_line(&t, "tensor<fp16, [2, 4]>", "f", "fill(shape = tensor<int32, [2]>([2, 4]), value = fp16(2.5))");
  mil_op_line(&t, "tensor<fp16, [2, 4]>", "z", "fill(shape = tensor<int32, [2]>([2, 4]))");
  mil_op_line(&t, "tensor<fp16, [2, 4]>", "l", "fill_like(ref_tensor = f, value = fp16(1))");
  mil_op_line(&t, "tensor<fp16, [2, 4]>", "a", "add(x = f, y = x)");
  mil_op_line(&t, "tensor<fp16, [2, 4]>", "b", "add(x = z, y = l)");
  mil_op_line(&t, "tensor<fp16, [2, 4]>", "y", "add(x = a, y = b)");
  mil_output(&t, "y");
  void *in[1] = {x};
  gives(&t, in, S(2, 4), (double[]){10.5, -3.5, 11.5, 4, 10.5, -3.5, 11.5, 4}, exact, "fill");
  t = (mil_text){0};
  mil_input(&t, "tensor<fp16, [1, 2, 2]>", "x");
  mil_weight(&t, "alpha", "tensor<fp16, [2]>", 1, alpha, 4);
  mil_weight(&t, "beta", "tensor<fp16, [2]>", 1, beta, 4);
  mil_op_line(&t, "tensor<fp16, [1, 2, 2]>", "y", "softplus_parametric(alpha = alpha, beta = beta, x = x)");
  mil_output(&t, "y");
  double want[4];
  for (int i = 0; i < 4; i++) want[i] = (i < 2 ? 1 : 2) * log1p(exp((i < 2 ? 0.5 : -1) * (double)given[i]));
  gives(&t, in, S(1, 2, 2), want, (double[]){0.004, 0.002}, "softplus_parametric");
}

/* 16-bit lanes become fp16 as they are read: exact to 2048, then rounded; stores truncate and clamp. fp32 between casts is fp16. */
TEST(integer_lanes) {
  mil_text t = {0};
  mil_input(&t, "tensor<int16, [5]>", "i");
  mil_input(&t, "tensor<uint16, [5]>", "u");
  mil_op_line(&t, "tensor<fp16, [5]>", "a", "cast(dtype = string(\"fp16\"), x = i)");
  mil_op_line(&t, "tensor<fp16, [5]>", "b", "cast(dtype = string(\"fp16\"), x = u)");
  mil_op_line(&t, "tensor<fp16, [5]>", "d", "sub(x = b, y = a)");
  mil_op_line(&t, "tensor<fp32, [5]>", "f", "cast(dtype = string(\"fp32\"), x = d)");
  mil_op_line(&t, "tensor<int16, [5]>", "c", "cast(dtype = string(\"int16\"), x = f)");
  mil_op_line(&t, "tensor<fp16, [5]>", "g", "add(x = d, y = fp16(0.75))");
  mil_op_line(&t, "tensor<uint16, [5]>", "e", "cast(dtype = string(\"uint16\"), x = g)");
  mil_op_line(&t, "tensor<uint16, [5]>", "r", "reverse(x = u)");
  const char *const outs[] = {"a", "b", "c", "e", "r"};
  for (int i = 0; i < 5; i++) mil_output(&t, outs[i]);
  for (int mode = 0; mode < 2; mode++) {
    setenv("ANEFORGE_HOST_NUMERICS", modes[mode], 1);
    int16_t i[5] = {-3, 0, 2047, 2051, -32768}, c[5];
    uint16_t u[5] = {0, 1, 2048, 4101, 60000}, e[5], r[5];
    f16 a[5], b[5];
    void *in[2] = {i, u}, *out[5] = {a, b, c, e, r};
    engine_program *p = mil_compile(&t, true, error, sizeof error);
    CHECK(p && !engine_execute(p, in, out, error, sizeof error), "%s", error);
    const float wa[5] = {-3, 0, 2047, 2052, -32768}, wb[5] = {0, 1, 2048, 4100, 60000};
    const int16_t wc[5] = {3, 1, 1, 2048, 32767};
    const uint16_t we[5] = {3, 1, 1, 2048, 65535};
    for (int k = 0; p && k < 5; k++) {
      CHECK(f16_to_float(a[k]) == wa[k] && f16_to_float(b[k]) == wb[k], "%d: %g %g", k, (double)f16_to_float(a[k]), (double)f16_to_float(b[k]));
      CHECK(c[k] == wc[k] && (e[k] == we[k] || k == 3) && r[k] == u[4 - k], "%s %d: %d %u %u", modes[mode], k, c[k], e[k], r[k]);
    }
    engine_release(p);
  }
  mil_text_free(&t);
}

TEST(dequantised) {
  const int8_t q[6] = {-128, 0, 127, 5, -6, 7}, zero[3] = {-128, 3, -1};
  f16 scale[3] = {f16_from_float(0.5f), f16_from_float(2), f16_from_float(0.1f)};
  double want[6];
  for (int i = 0; i < 6; i++) want[i] = (q[i] - zero[i % 3]) * value(scale[i % 3]);
  mil_text t = {0};
  mil_input(&t, "tensor<int8, [2, 3]>", "q");
  mil_weight(&t, "z", "tensor<int8, [3]>", 4, zero, 3);
  mil_weight(&t, "s", "tensor<fp16, [3]>", 1, scale, 6);
  mil_op_line(&t, "tensor<fp16, [2, 3]>", "y", "dequantize(axis = int32(1), input = q, scale = s, zero_point = z)");
  mil_output(&t, "y");
  void *in[1] = {(void *)(uintptr_t)q};
  gives(&t, in, S(2, 3), want, (double[]){0.0005, 0.0005}, "dequantize");
  t = (mil_text){0};
  for (int i = 0; i < 6; i++) want[i] = 2 * (q[i] - 7);
  mil_input(&t, "tensor<int8, [2, 3]>", "q");
  mil_op_line(&t, "tensor<fp16, [2, 3]>", "y", "dequantize(input = q, scale = fp16(2), zero_point = int8(7))");
  mil_output(&t, "y");
  gives(&t, in, S(2, 3), want, exact, "dequantize");
}

/* -- Kernels against their twins ------------------------------------------------------------------------------------------------------------ */

static bool same_halves(const f16 *a, const f16 *b, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (!near(a[i], b[i], 0, 0)) return false;
  return true;
}

/* Any split of the units gives the same. */
#define TWIN(kind, args, n)                                                                       \
  do {                                                                                            \
    f16 *one = block((size_t)(n) * 2), *other = block((size_t)(n) * 2);                           \
    void *scratch = block(kind##_scratch(&args) + 64);                                            \
    int64_t units = kind##_units(&args), cut = random_below(units + 1);                           \
    args.y = one;                                                                                 \
    kind##_run(&args, cut, units, scratch);                                                       \
    kind##_run(&args, 0, cut, scratch);                                                           \
    args.y = other;                                                                               \
    kind##_run_ref(&args, 0, units, scratch);                                                     \
    CHECK(same_halves(one, other, n), #kind " round %d", round);                                  \
    free(one);                                                                                    \
    free(other);                                                                                  \
    free(scratch);                                                                                \
  } while (0)

TEST(kernels_and_twins) {
  for (int round = 0; round < 200; round++) {
    num_profile profile = round % 2 ? fast : ane;
    int64_t n = 1 + random_below(2), c = 1 + random_below(9), h = 1 + random_below(9), w = 1 + random_below(40);
    int64_t oh = 1 + random_below(12), ow = 1 + random_below(40);
    f16 *x = block((size_t)(n * c * h * w) * 2), matrix[12];
    fill(x, n * c * h * w, (int)random_below(4));
    resample_tap taps[64];
    resample_taps((enum resample_grid)random_below(6), h, oh, profile.mode, taps);
    resample_taps((enum resample_grid)random_below(6), w, ow, profile.mode, taps + oh);
    resample_args r = {.profile = profile, .planes = n * c, .h = h, .w = w, .oh = oh, .ow = ow, .row = taps, .column = taps + oh, .x = x};
    TWIN(resample, r, n * c * oh * ow);
    fill(matrix, 12, round % 5 == 0 ? 3 : 0);
    affine_args a = {.profile = profile, .align_corners = random_below(2), .shared_matrix = random_below(2), .n = n, .channels = c,
                     .h = h, .w = w, .oh = oh, .ow = ow, .padding = (f16)(random_below(2) ? 0x3c00 : 0), .x = x, .matrix = matrix};
    TWIN(affine, a, n * c * oh * ow);
    static const double betas[] = {0.75, 0.5, 1, 0.3, -0.5};
    lrn_args l = {.profile = profile, .outer = n, .channels = c, .inner = h * w, .size = 1 + random_below(12), .scale = random_unit(),
                  .beta = betas[random_below(5)], .k = random_unit() + 1, .x = x};
    TWIN(lrn, l, n * c * h * w);
    free(x);
  }
}

/* Small pieces of wide tensors: the tile of a long window shrinks. */
TEST(long_windows) {
  int round = 0;
  int64_t n = 3000 * 30;
  f16 *x = block((size_t)n * 2);
  fill(x, n, 0);
  lrn_args l = {.profile = ane, .outer = 1, .channels = 3000, .inner = 30, .size = 2999, .scale = 0.001, .beta = 0.75, .k = 1, .x = x};
  TWIN(lrn, l, n);
  free(x);
}

static void tests(void) {
  setenv("ANEFORGE_HOST_THREADS", "2", 1);
  unsetenv("ANEFORGE_TARGET");
  unsetenv("ANEFORGE_HOST_FUSE");
  plan_share_from = 0; /* every step in pieces */
  RUN(resizing);
  RUN(bilinear_upsampling);
  RUN(known_grids);
  RUN(affine_sampling);
  RUN(local_response);
  RUN(batch_normalisation);
  RUN(instance_and_layer_normalisation);
  RUN(constant_planes);
  RUN(l2_normalisation);
  RUN(block_rearrangements);
  RUN(batches_of_blocks);
  RUN(borders);
  RUN(padding_in_place);
  RUN(slices_by_index);
  RUN(crops_and_the_cliff);
  RUN(equations);
  RUN(attention);
  RUN(filled_and_divided);
  RUN(integer_lanes);
  RUN(dequantised);
  RUN(kernels_and_twins);
  RUN(long_windows);
}

KERNELS_MAIN(tests)
