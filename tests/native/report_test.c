/* report_test.c - what report_run counts on programs whose losses are known, and what the exports of inspect.c do with
 * buffers and with what is not a program. */
#include <math.h>

#include "mil_program.h"
#include "report.h"
#include "test.h"

int64_t aneforge_host_explain(const char *mil_path, const char *target, char *text, uint64_t size);
int64_t aneforge_host_report(const char *mil_path, uint32_t n_inputs, const void *data, const uint64_t *bytes, char *text,
                             uint64_t size);

static char error[2048];

/* The report of a program with one input of n values. Frees the text of the program. */
static char *report_of(mil_text *t, const float *x, int n) {
  char path[MIL_PATH_SIZE];
  f16 data[256];
  uint64_t bytes = (uint64_t)n * sizeof *data;
  for (int i = 0; i < n; i++) data[i] = f16_from_float(x[i]);
  mil_write(t, path);
  char *text = report_run(path, 1, data, &bytes, error, sizeof error);
  CHECK(text != NULL, "%s", error);
  mil_remove(path);
  mil_text_free(t);
  return text ? text : calloc(1, 1);
}

/* The number behind "field" in the line of operation `name`. */
static double number(const char *text, const char *name, const char *field) {
  char key[64];
  snprintf(key, sizeof key, "\"name\": \"%s\"", name);
  const char *line = strstr(text, key);
  snprintf(key, sizeof key, "\"%s\": ", field);
  const char *at = line ? strstr(line, key) : NULL;
  CHECK(at != NULL, "no %s of %s in\n%s", field, name, text);
  return at ? strtod(at + strlen(key), NULL) : NAN;
}

static void is(const char *text, const char *name, const char *field, double want) {
  double got = number(text, name, field);
  CHECK(got == want, "%s.%s is %g, not %g", name, field, got, want);
}

/* x [2, 4] times a weight [4, 3] of one value. */
static char *product(float x, float w) {
  mil_text t = {0};
  f16 weight[12];
  float data[8];
  for (int i = 0; i < 12; i++) weight[i] = f16_from_float(w);
  for (int i = 0; i < 8; i++) data[i] = x;
  mil_input(&t, "tensor<fp16, [2, 4]>", "x");
  mil_weight(&t, "w", "tensor<fp16, [4, 3]>", 1, weight, sizeof weight);
  mil_op_line(&t, "tensor<fp16, [2, 3]>", "y", "matmul(transpose_x = bool(false), transpose_y = bool(false), x = x, y = w)");
  mil_output(&t, "y");
  return report_of(&t, data, 8);
}

TEST(tiny_products_are_dropped) {
  char *text = product(0x1p-9f, 0x1p-9f); /* exponent fields 6 and 6, below 14 in all */
  is(text, "y", "products", 24);
  is(text, "y", "dropped", 24);
  is(text, "y", "error", 1);
  is(text, "y", "accumulated", 1);
  free(text);
  text = product(0x1p-8f, 0x1p-8f); /* 7 and 7 */
  is(text, "y", "products", 24);
  is(text, "y", "dropped", 0);
  is(text, "y", "error", 0);
  free(text);
  text = product(0, 1);
  is(text, "y", "products", 0);
  free(text);
}

TEST(large_sums_saturate) {
  char *text = product(100, 100);
  is(text, "y", "saturated", 6);
  is(text, "y", "overflowed", 0);
  is(text, "y", "error", 0); /* values that are not finite take no part */
  free(text);
  text = product(64, 100);
  is(text, "y", "saturated", 0);
  free(text);
}

static char *activation(const char *call, const float *x) {
  mil_text t = {0};
  mil_input(&t, "tensor<fp16, [6]>", "x");
  mil_op_line(&t, "tensor<fp16, [6]>", "y", "%s", call);
  mil_output(&t, "y");
  return report_of(&t, x, 6);
}

TEST(values_beyond_a_table_are_counted) {
  const float x[6] = {-20, -3, 0, 1, 3, 20};
  char *text = activation("sigmoid(x = x)", x);
  is(text, "y", "clamped", 2);
  CHECK(number(text, "y", "error") < 4e-3 && number(text, "y", "error") > 0);
  free(text);
  text = activation("gelu(mode = string(\"EXACT\"), x = x)", x);
  is(text, "y", "clamped", 2);
  free(text);
  text = activation("tanh(x = x)", x);
  is(text, "y", "clamped", 2);
  free(text);
  text = activation("relu(x = x)", x);
  is(text, "y", "clamped", 0);
  is(text, "y", "error", 0);
  free(text);
  text = activation("mul(x = x, y = fp16(0x1.4p+12))", x); /* 5120 * 20 */
  is(text, "y", "overflowed", 2);
  free(text);
}

/* The exact chain goes through every operation; errors of single operations stay where they were made. */
TEST(errors_add_up_along_the_chain) {
  mil_text t = {0};
  const float x[6] = {1, 2, 3, 4, 5, 6};
  mil_input(&t, "tensor<fp16, [2, 3]>", "x");
  mil_op_line(&t, "tensor<fp16, [2, 3]>", "third", "mul(x = x, y = fp16(0x1.554p-2))");
  mil_op_line(&t, "tensor<fp16, [3, 2]>", "turned", "transpose(perm = tensor<int32, [2]>([1, 0]), x = third)");
  mil_op_line(&t, "tensor<fp16, [3, 1]>", "sum", "reduce_sum(axes = tensor<int32, [1]>([1]), keep_dims = bool(true), x = turned)");
  mil_op_line(&t, "tensor<fp16, [1, 3]>", "flat", "reshape(shape = tensor<int32, [2]>([1, 3]), x = sum)");
  mil_op_line(&t, "tensor<fp16, [1, 3]>", "y", "mul(x = flat, y = fp16(0x1p+1))");
  mil_output(&t, "y");
  char *text = report_of(&t, x, 6);
  CHECK(number(text, "third", "error") > 0);
  is(text, "turned", "error", 0);
  CHECK(number(text, "turned", "accumulated") == number(text, "third", "accumulated"));
  is(text, "y", "error", 0);
  CHECK(number(text, "y", "accumulated") == number(text, "sum", "accumulated"));
  CHECK(number(text, "y", "accumulated") > 0 && number(text, "y", "accumulated") < 2e-3);
  free(text);
}

TEST(a_bias_belongs_to_its_product) {
  mil_text t = {0};
  const float x[2] = {1, 2};
  const f16 w[4] = {0x3c00, 0, 0, 0x3c00}, b[2] = {0x3c00, 0x4000};
  mil_input(&t, "tensor<fp16, [1, 2]>", "x");
  mil_weight(&t, "w", "tensor<fp16, [2, 2]>", 1, w, sizeof w);
  mil_weight(&t, "b", "tensor<fp16, [1, 2]>", 1, b, sizeof b);
  mil_op_line(&t, "tensor<fp16, [1, 2]>", "p", "matmul(transpose_x = bool(false), transpose_y = bool(false), x = x, y = w)");
  mil_op_line(&t, "tensor<fp16, [1, 2]>", "y", "add(x = p, y = b)");
  mil_output(&t, "y");
  char *text = report_of(&t, x, 2);
  CHECK(strstr(text, "\"name\": \"y\", \"op\": \"matmul\"") != NULL, "%s", text);
  is(text, "y", "error", 0);
  is(text, "y", "products", 2);
  free(text);
}

TEST(wrong_inputs_and_programs_are_refused) {
  mil_text t = {0};
  char path[MIL_PATH_SIZE], text[512];
  const f16 x[4] = {0};
  uint64_t bytes[2] = {8, 8};
  mil_input(&t, "tensor<fp16, [4]>", "x");
  mil_op_line(&t, "tensor<fp16, [4]>", "y", "relu(x = x)");
  mil_output(&t, "y");
  mil_write(&t, path);
  CHECK(aneforge_host_report(path, 1, x, bytes, text, sizeof text) == (int64_t)strlen(text), "%s", text);
  CHECK(aneforge_host_report(path, 2, x, bytes, text, sizeof text) == -1);
  CHECK(strstr(text, "1 inputs, got 2") != NULL, "%s", text);
  bytes[0] = 6;
  CHECK(aneforge_host_report(path, 1, x, bytes, text, sizeof text) == -1);
  CHECK(strstr(text, "input 'x' has 8 bytes, got 6") != NULL, "%s", text);
  int64_t length = aneforge_host_explain(path, NULL, text, sizeof text);
  CHECK(length > 0 && strstr(text, "group: relu") != NULL, "%s", text);
  char cut[8];
  CHECK(aneforge_host_explain(path, NULL, cut, sizeof cut) == length && strlen(cut) == 7);
  CHECK(aneforge_host_explain(path, "h17s", text, sizeof text) > 0 && strstr(text, "family 5 winograd") != NULL, "%s", text);
  mil_remove(path);
  CHECK(aneforge_host_explain(path, NULL, text, sizeof text) == -1 && text[0] != 0);
  mil_text_free(&t);
}

/* What only moves loses nothing; what blends loses little against its formula. */
TEST(images_against_their_formulas) {
  float x[60];
  for (int i = 0; i < 60; i++) x[i] = sinf((float)i) * 3;
  mil_text t = {0};
  mil_input(&t, "tensor<fp16, [1, 3, 4, 5]>", "x");
  mil_op_line(&t, "tensor<fp16, [1, 3, 7, 3]>", "r", "resize_bilinear(sampling_mode = string(\"ALIGN_CORNERS\"), "
              "target_size_height = int32(7), target_size_width = int32(3), x = x)");
  mil_op_line(&t, "tensor<fp16, [1, 3, 6, 9]>", "n", "resize_nearest_neighbor(target_size_height = int32(6), target_size_width = "
              "int32(9), x = x)");
  mil_op_line(&t, "tensor<fp16, [1, 3, 5, 6]>", "a",
              "affine(align_corners = bool(false), coordinates_mode = string(\"normalized_minus_one_to_one\"), output_height = "
              "int32(5), output_width = int32(6), padding_mode = string(\"constant\"), padding_value = fp16(0x1p-1), "
              "sampling_mode = string(\"bilinear\"), transform_matrix = tensor<fp16, [1, 6]>([[0.9, 0.2, 0.3, -0.1, 1.1, 0]]), x = x)");
  mil_op_line(&t, "tensor<fp16, [1, 3, 4, 5]>", "l", "local_response_norm(alpha = fp16(0.5), beta = fp16(0.75), k = fp16(2), "
              "size = int32(2), x = x)");
  mil_op_line(&t, "tensor<fp16, [1, 3, 6, 9]>", "p", "pad(mode = string(\"reflect\"), pad = tensor<int32, [4]>([1, 1, 2, 2]), x = x)");
  const char *const names[] = {"r", "n", "a", "l", "p"};
  for (int i = 0; i < 5; i++) mil_output(&t, names[i]);
  setenv("ANEFORGE_TARGET", "h14", 1);
  char *text = report_of(&t, x, 60);
  setenv("ANEFORGE_TARGET", "h13", 1);
  for (int i = 0; i < 5; i++) {
    double lost = number(text, names[i], "error");
    bool moves = i == 1 || i == 4;
    CHECK(moves ? lost == 0 : lost > 1e-5 && lost < 5e-4, "%s lost %g", names[i], lost);
  }
  free(text);
}

int main(void) {
  setenv("ANEFORGE_TARGET", "h13", 1);
  setenv("ANEFORGE_HOST_NUMERICS", "ane", 1);
  RUN(tiny_products_are_dropped);
  RUN(large_sums_saturate);
  RUN(values_beyond_a_table_are_counted);
  RUN(errors_add_up_along_the_chain);
  RUN(a_bias_belongs_to_its_product);
  RUN(images_against_their_formulas);
  RUN(wrong_inputs_and_programs_are_refused);
  return test_end();
}
