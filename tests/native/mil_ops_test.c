/* The operation table: every operation with good and bad types, encoded weights, defaults. */
#include "mil_fixture.h"

/* -- Operations ---------------------------------------------------------------------------------------------------- */

#define A "tensor<fp16, [2, 4]> a"
#define C "tensor<fp16, [1, 4, 6, 8]> c"
#define I1(v) "tensor<int32, [1]>([" #v "])"
#define I2(v, w) "tensor<int32, [2]>([" #v ", " #w "])"
#define I4(v, w, x, y) "tensor<int32, [4]>([" #v ", " #w ", " #x ", " #y "])"
#define POOL(k, s, p, ceil)                                                                                            \
  "ceil_mode = bool(" ceil "), kernel_sizes = " I2(k, k) ", pad = " I4(                                                \
      p, p, p, p) ", pad_type = string(\"custom\"), strides = " I2(s, s) ", x = c)"
#define BLOB(type, name) type "(BLOBFILE(path = string(\"@model_path/weights.bin\"), offset = uint64(" name ")))"

/* The offsets of make_weights(). */
#define W48 BLOB("tensor<fp16, [4, 8]>", "64")
#define CONV_W BLOB("tensor<fp16, [2, 4, 2, 1]>", "330")

/* params, result type, statement. Reads as declared; any other declared type is refused. */
static const char *const happy[][3] = {
    {A, "tensor<fp16, [2, 4]>", "relu(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "relu6(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "silu(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "gelu(mode = string(\"EXACT\"), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "gelu(mode = string(\"SIGMOID_APPROXIMATION\"), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "sigmoid(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "tanh(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "exp(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "exp2(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "sqrt(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "abs(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "square(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "erf(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "softplus(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "softsign(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "atan(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "floor(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "ceil(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "round(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "sign(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "sin(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "cos(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "log(epsilon = fp16(0x0.0p+0), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "rsqrt(epsilon=fp16(0.0), x=a)"},
    {A, "tensor<fp16, [2, 4]>", "rsqrt(x = a)"},
    {A, "tensor<fp16, [2, 4]>", "inverse(epsilon = fp32(1e-4), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "elu(alpha = fp16(1), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "leaky_relu(alpha = fp16(0.01), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "threshold(alpha = fp16(0), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "thresholded_relu(alpha = fp16(1), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "scaled_tanh(alpha = fp16(1), beta = fp16(1), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "clamped_relu(alpha = fp16(0), beta = fp16(6), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "sigmoid_hard(alpha = fp16(0.2), beta = fp16(0.5), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "linear_activation(alpha = fp16(1), beta = fp16(0), x = a)"},
    {A, "tensor<fp16, [2, 4]>", "clip(alpha = fp16(-1), beta = fp16(1), x = a)"},
    {C, "tensor<fp16, [1, 4, 6, 8]>", "prelu(alpha = tensor<fp16, [4]>([1, 2, 3, 4]), x = c)"},
    {"tensor<uint8, [2, 4]> a", "tensor<fp16, [2, 4]>", "cast(dtype = string(\"fp16\"), x = a)"},
    {A, "tensor<uint8, [2, 4]>", "cast(dtype = string(\"uint8\"), x = a)"},
    {A, "tensor<int8, [2, 4]>", "cast(dtype = string(\"int8\"), x = a)"},
    /* binary: broadcasting from the right, scalars */
    {A ", tensor<fp16, [4]> d", "tensor<fp16, [2, 4]>", "add(x = a, y = d)"},
    {A ", tensor<fp16, [3, 2, 1]> d", "tensor<fp16, [3, 2, 4]>", "sub(x = d, y = a)"},
    {A ", tensor<fp16, [2, 1]> d", "tensor<fp16, [2, 4]>", "mul(x = d, y = a)"},
    {A, "tensor<fp16, [2, 4]>", "mul(x = a, y = fp16(0))"},
    {A, "tensor<fp16, [2, 4]>", "real_div(x = fp16(1), y = a)"},
    {A, "tensor<fp16, [2, 4]>", "maximum(x = a, y = a)"},
    {A, "tensor<fp16, [2, 4]>", "minimum(x = a, y = fp16(10))"},
    {A, "tensor<fp16, [2, 4]>", "pow(x = a, y = fp16(2))"},
    {A, "tensor<bool, [2, 4]>", "greater(x = a, y = fp16(0))"},
    {A, "tensor<bool, [2, 4]>", "greater_equal(x = a, y = a)"},
    {A, "tensor<bool, [2, 4]>", "less(x = a, y = a)"},
    {A, "tensor<bool, [2, 4]>", "less_equal(x = a, y = a)"},
    {A, "tensor<bool, [2, 4]>", "equal(x = a, y = a)"},
    {A, "tensor<bool, [2, 4]>", "not_equal(x = a, y = a)"},
    {A, "tensor<bool, [2]>", "logical_not(x = tensor<bool, [2]>([true, false]))"},
    {A, "tensor<fp16, [2, 4]>", "select(a = a, b = fp16(0), cond = tensor<bool, [2, 1]>([[true], [false]]))"},
    /* linear */
    {"tensor<fp16, [2, 8]> a", "tensor<fp16, [2, 4]>", "matmul(transpose_y = bool(true), x = a, y = " W48 ")"},
    {"tensor<fp16, [8]> a", "tensor<fp16, [4]>", "matmul(transpose_y = bool(true), x = a, y = " W48 ")"},
    {"tensor<fp16, [5, 1, 2, 3]> a, tensor<fp16, [4, 3, 6]> d", "tensor<fp16, [5, 4, 2, 6]>", "matmul(x = a, y = d)"},
    {"tensor<fp16, [3, 2]> a, tensor<fp16, [6, 3]> d", "tensor<fp16, [2, 6]>",
     "matmul(transpose_x = bool(true), transpose_y = bool(true), x = a, y = d)"},
    {"tensor<fp16, [3, 2, 8]> a", "tensor<fp16, [3, 2, 4]>", "linear(weight = " W48 ", x = a)"},
    {"tensor<fp16, [2, 8]> a", "tensor<fp16, [2, 4]>",
     "linear(bias = tensor<fp16, [4]>([1, 2, 3, 4]), weight = " W48 ", x = a)"},
    {C, "tensor<fp16, [1, 2, 5, 8]>", "conv(weight = " CONV_W ", x = c)"},
    {C, "tensor<fp16, [1, 2, 4, 4]>",
     "conv(dilations = " I2(3, 1) ", groups = int32(1), pad = " I4(
         0, 1, 0, 0) ", pad_type = string(\"custom\"), strides = " I2(1,
                                                                      2) ", weight = " CONV_W
                                                                         ", x = c, bias = tensor<fp16, [2]>([1, 2]))"},
    {C, "tensor<fp16, [1, 2, 3, 4]>",
     "conv(pad_type = string(\"same\"), strides = " I2(2, 2) ", weight = " CONV_W ", x = c)"},
    {"tensor<fp16, [1, 8, 6, 8]> c", "tensor<fp16, [1, 2, 5, 8]>",
     "conv(groups = int32(2), weight = " CONV_W ", x = c)"},
    {"tensor<fp16, [1, 4, 9]> c, tensor<fp16, [6, 4, 3]> w", "tensor<fp16, [1, 6, 7]>", "conv(weight = w, x = c)"},
    {"tensor<fp16, [1, 2, 6, 8]> c", "tensor<fp16, [1, 4, 12, 15]>",
     "conv_transpose(strides = " I2(2, 2) ", weight = " CONV_W ", x = c)"},
    {"tensor<fp16, [1, 2, 6, 8]> c", "tensor<fp16, [1, 8, 5, 8]>",
     "conv_transpose(groups = int32(2), pad = " I4(1, 1, 0, 0) ", pad_type = string(\"custom\"), weight = " CONV_W
                                                               ", x = c)"},
    /* reduce, softmax */
    {A, "tensor<fp16, [2]>", "reduce_sum(axes = " I1(-1) ", x = a)"},
    {A, "tensor<fp16, [2, 1]>", "reduce_mean(axes = " I1(1) ", keep_dims = bool(true), x = a)"},
    {A, "fp16", "reduce_max(x = a)"},
    {A, "tensor<fp16, [1, 1]>", "reduce_min(axes = " I2(1, 0) ", keep_dims = bool(true), x = a)"},
    {A, "tensor<fp16, [4]>", "reduce_l1_norm(axes = " I1(0) ", x = a)"},
    {A, "tensor<fp16, [4]>", "reduce_l2_norm(axes = " I1(0) ", x = a)"},
    {A, "tensor<fp16, [4]>", "reduce_log_sum(axes = " I1(0) ", x = a)"},
    {A, "tensor<fp16, [4]>", "reduce_sum_square(axes = " I1(0) ", x = a)"},
    {A, "tensor<fp16, [4]>", "reduce_log_sum_exp(axes = " I1(0) ", x = a)"},
    {A, "tensor<fp16, [2, 4]>", "softmax(x = a)"},
    /* spatial: odd sizes, ceil with and without the window that would start in the padding */
    {C, "tensor<fp16, [1, 4, 3, 4]>", "max_pool(" POOL(2, 2, 0, "false")},
    {C, "tensor<fp16, [1, 4, 3, 4]>", "max_pool(" POOL(3, 2, 1, "false")},
    {C, "tensor<fp16, [1, 4, 2, 3]>", "max_pool(" POOL(3, 3, 0, "true")},
    {"tensor<fp16, [1, 4, 5, 7]> c", "tensor<fp16, [1, 4, 3, 4]>", "max_pool(" POOL(2, 2, 0, "true")},
    {"tensor<fp16, [1, 1, 4, 5]> c", "tensor<fp16, [1, 1, 2, 2]>", "max_pool(" POOL(2, 4, 1, "true")},
    {C, "tensor<fp16, [1, 4, 6, 8]>", "avg_pool(exclude_padding_from_average = bool(true), " POOL(3, 1, 1, "false")},
    {C, "tensor<fp16, [1, 4, 12, 24]>",
     "upsample_nearest_neighbor(scale_factor_height = int32(2), scale_factor_width = int32(3), x = c)"},
    {C, "tensor<fp16, [1, 4, 12, 16]>",
     "upsample_nearest_neighbor(scale_factor_height = fp32(2.0), scale_factor_width = fp32(2.0), x = c)"},
    /* shape */
    {A, "tensor<fp16, [8]>", "reshape(shape = " I1(8) ", x = a)"},
    {A, "tensor<fp16, [4, 2]>", "reshape(shape = " I2(-1, 2) ", x = a)"},
    {"tensor<fp16, [1, 1]> a", "fp16", "reshape(shape = tensor<int32, [0]>([]), x = a)"},
    {"tensor<uint8, [2, 4]> a", "tensor<uint8, [4, 2]>", "transpose(perm = " I2(-1, 0) ", x = a)"},
    {C, "tensor<fp16, [4, 6, 8]>", "squeeze(axes = " I1(0) ", x = c)"},
    {C, "tensor<fp16, [4, 6, 8]>", "squeeze(x = c)"},
    {A, "tensor<fp16, [1, 2, 4, 1]>", "expand_dims(axes = " I2(-1, 0) ", x = a)"},
    {C, "tensor<fp16, [4, 48]>", "flatten2d(axis = int32(-2), x = c)"},
    {C, "tensor<fp16, [1, 192]>", "flatten2d(x = c)"},
    {C, "tensor<fp16, [192, 1]>", "flatten2d(axis = int32(4), x = c)"},
    {A, "tensor<fp16, [1, 3]>", "slice_by_size(begin = " I2(1, 1) ", size = " I2(1, -1) ", x = a)"},
    {A, "tensor<fp16, [2, 4]>", "reverse(axes = " I1(1) ", x = a)"},
    {A, "tensor<fp16, [2, 4]>", "reverse(x = a)"},
    {A, "tensor<fp16, [2, 12]>", "tile(reps = " I2(1, 3) ", x = a)"},
    {A ", tensor<fp16, [2, 3]> d", "tensor<fp16, [2, 11]>", "concat(axis = int32(-1), values = (a, d, a))"},
    {A, "tensor<fp16, [2, 4, 2]>", "stack(axis = int32(-1), values = (a, a))"},
    {A, "tensor<fp16, [1, 2, 4]>", "stack(axis = int32(0), values = (a))"},
    {A, "tensor<fp16, [1, 4]> q, tensor<fp16, [1, 4]>", "split(axis = int32(0), num_splits = int32(2), x = a)"},
    {A, "tensor<fp16, [2, 1]> q, tensor<fp16, [2, 3]>", "split(axis = int32(1), split_sizes = " I2(1, 3) ", x = a)"},
    /* encoded weights */
    {A, "tensor<fp16, [4, 8]>",
     "constexpr_affine_dequantize(axis = int32(0), quantized_data = " BLOB(
         "tensor<int8, [4, 8]>", "426") ", scale = " BLOB("tensor<fp16, [4]>", "522") ", zero_point = int8(0))"},
    {A, "tensor<fp16, [4, 8]>",
     "constexpr_affine_dequantize(axis = int32(-2), quantized_data = " BLOB(
         "tensor<int8, [4, 8]>", "426") ", scale = fp16(0.5), zero_point = tensor<int8, [4]>([1, 2, 3, 4]))"},
    {A, "tensor<fp16, [4, 8]>",
     "constexpr_lut_to_dense(indices = " BLOB("tensor<uint4, [4, 8]>",
                                              "594") ", lut = " BLOB("tensor<fp16, [1, 1, 16, 1]>", "674") ")"},
    {A, "tensor<fp16, [1, 12]>",
     "constexpr_sparse_to_dense(mask = " BLOB("tensor<uint1, [1, 12]>",
                                              "770") ", nonzero_data = " BLOB("tensor<fp16, [3]>", "836") ")"},
    {A, "tensor<fp16, [4, 8]>",
     "constexpr_blockwise_shift_scale(data = " BLOB("tensor<int8, [4, 8]>",
                                                    "426") ", scale = " BLOB("tensor<fp16, [4, 1]>", "522") ")"},
    {A, "tensor<fp16, [2, 2, 2, 4]>",
     "constexpr_blockwise_shift_scale(data = " BLOB("tensor<int8, [2, 2, 2, 4]>", "426") ", scale = " BLOB(
         "tensor<fp16, [2, 2]>", "522") ", offset = tensor<int8, [2, 2]>([[0, 1], [2, 3]]))"},
};

/* Reads one statement with a declared result; the program's output is another one, so that results may be bool. */
static mil_program *read_statement(const char *params, const char *result, const char *statement) {
  text all = {0}, body = {0};
  text_add(&all, "%s, fp16 z0", params);
  text_add(&body, "%s b = %s[name = string(\"b\")]; fp16 z = relu(x = z0)[name = string(\"z\")];", result, statement);
  mil_program *p = read_program("h15", all.data, body.data, "z");
  text_free(&all);
  text_free(&body);
  return p;
}

TEST(every_operation_and_its_wrong_types) {
  for (size_t i = 0; i < sizeof happy / sizeof *happy; i++) {
    mil_program *p = read_statement(happy[i][0], happy[i][1], happy[i][2]);
    CHECK(p, "%s\n    %s", happy[i][2], error);
    if (p) {
      char shown[200];
      const mil_value *result = p->op[0]->result[p->op[0]->n_results - 1];
      const char *last =
          strrchr(happy[i][1], ' ') && strstr(happy[i][1], " q, ") ? strstr(happy[i][1], " q, ") + 4 : happy[i][1];
      mil_type_text(&result->type, shown, sizeof shown);
      CHECK(!strcmp(shown, last), "%s", shown);
      CHECK(!result->is_const && result->producer == p->op[0]);
    }
    mil_free(p);
    static const char *const wrong[] = {"tensor<fp16, [7, 7]>", "tensor<int8, [2, 2]>", "fp32"};
    for (int k = 0; k < 3; k++) {
      text result = {0};
      const char *q = strstr(happy[i][1], " q, ");
      text_add(&result, "%.*s%s", q ? (int)(q - happy[i][1]) + 4 : 0, happy[i][1], wrong[k]);
      p = read_statement(happy[i][0], result.data, happy[i][2]);
      CHECK(!p && has("'b' is declared ") && has(wrong[k]), "%s as %s: %s", happy[i][2], wrong[k], error);
      mil_free(p);
      text_free(&result);
    }
  }
}

TEST(the_table_is_sorted_and_every_row_is_tested) {
  int running = 0, walled = 0;
  for (int i = 0; i < mil_op_count; i++) {
    const mil_op_info *info = &mil_op_table[i];
    CHECK(!i || strcmp(mil_op_table[i - 1].name, info->name) < 0, "%s", info->name);
    CHECK(mil_find_op(info->name, strlen(info->name)) == info);
    CHECK((info->id != OP_NONE) + (info->wall != WALL_NONE) <= 1, "%s", info->name);
    CHECK(info->n_args > 0 && info->since >= 15 && info->since <= 18 && info->family >= 2 && info->family <= 5, "%s",
          info->name);
    if (info->id == OP_CONST) continue;
    CHECK((info->id != OP_NONE) == (info->check != NULL), "%s", info->name);
    char call[80];
    snprintf(call, sizeof call, "%s(", info->name);
    if (info->id != OP_NONE) {
      bool found = false;
      for (size_t k = 0; k < sizeof happy / sizeof *happy; k++) found |= !strncmp(happy[k][2], call, strlen(call));
      CHECK(found, "no row for %s", info->name);
      running++;
      continue;
    }
    mil_program *p =
        read_program("h17s", "fp16 a", (snprintf(call, sizeof call, "fp16 b = %s()[];", info->name), call), "b");
    const char *wanted = info->wall == WALL_NOT_IMPLEMENTED ? "Not implemented: %s is not supported on any backend"
                         : info->wall == WALL_COMPILE       ? "ANECCompile() FAILED: %s does not compile"
                                                            : "the host engine has no kernel for %s";
    char message[160];
    snprintf(message, sizeof message, wanted, info->name);
    CHECK(!p && has(message), "%s", error);
    walled += info->wall != WALL_NONE;
  }
  CHECK(mil_op_count == 167, "%d", mil_op_count);
  printf("  %d of %d operations run, %d are refused by the ANE\n", running, mil_op_count, walled);
}

/* -- Encoded weights, rejections ----------------------------------------------------------------------------------- */

#define Q8 BLOB("tensor<int8, [4, 8]>", "426")
#define IDX BLOB("tensor<uint4, [4, 8]>", "594")
#define BLOCKWISE                                                                                                      \
  "tensor<fp16, [4, 8]> w = constexpr_blockwise_shift_scale(data = " Q8                                                \
  ", scale = " BLOB("tensor<fp16, [4, 1]>", "522") ")[name = string(\"w\")];"
#define AFFINE                                                                                                         \
  "tensor<fp16, [4, 8]> w = constexpr_affine_dequantize()[axis = int32(0), name = string(\"w\"), quantized_data = " Q8 \
  ", scale = " BLOB("tensor<fp16, [4]>", "522") ", zero_point = int8(0)];"
#define USE "tensor<fp16, [2, 4]> b = matmul(transpose_y = bool(true), x = a, y = w)[name = string(\"b\")];"

/* body over tensor<fp16, [2, 8]> a; message, or NULL for accepted */
static const char *const encoded[][2] = {
    {AFFINE USE, NULL},
    {BLOCKWISE "fp16 z = const()[name = string(\"z\"), val = fp16(0x0p+0)]; tensor<fp16, [4, 8]> v = add(x = w, y = "
               "z)[name = string(\"v\")];"
               "tensor<fp16, [2, 4]> b = matmul(transpose_y = bool(true), x = a, y = v)[name = string(\"b\")];",
     NULL},
    {BLOCKWISE USE, "'w', the result of constexpr_blockwise_shift_scale, as an operand of matmul"},
    {BLOCKWISE "tensor<fp16, [2, 4]> b = linear(weight = w, x = a)[name = string(\"b\")];", "as an operand of linear"},
    {AFFINE "tensor<fp16, [8, 4]> v = reshape(shape = tensor<int32, [2]>([8, 4]), x = w)[name = string(\"v\")];",
     "Not implemented: reshape of 'w', the result of constexpr_affine_dequantize"},
    {AFFINE, "'b' is not defined"},
    {"tensor<fp16, [4, 8]> b = constexpr_affine_dequantize()[axis = int32(0), name = string(\"b\"), quantized_data "
     "= " Q8 ", scale = fp16(1), zero_point = int8(0)];",
     "output 'b' is a constant"},
    {"tensor<fp16, [4, 8]> w = constexpr_blockwise_shift_scale()[name = string(\"w\"), data = " Q8
     ", scale = fp16(1)];",
     "written as attributes they crash"},
    {"tensor<fp16, [4, 8]> w = constexpr_affine_dequantize()[axis = int32(0), name = string(\"w\"), quantized_data "
     "= " Q8 ", scale = fp16(1)];",
     "constexpr_affine_dequantize: the argument 'zero_point' is missing"},
    {"tensor<fp16, [4, 8]> w = constexpr_affine_dequantize()[axis = int32(1), name = string(\"w\"), quantized_data "
     "= " Q8 ", scale = " BLOB("tensor<fp16, [4]>", "522") ", zero_point = int8(0)];",
     "one value per index of 'axis'"},
    {"tensor<fp16, [4, 8]> w = constexpr_affine_dequantize()[axis = int32(1), name = string(\"w\"), quantized_data "
     "= " Q8 ", scale = fp16(1), zero_point = uint8(0)];",
     "the dtype of 'quantized_data'"},
    {"tensor<fp16, [4, 8]> w = constexpr_affine_dequantize()[axis = int32(1), name = string(\"w\"), quantized_data = "
     "a, scale = fp16(1), "
     "zero_point = int8(0)];",
     "'quantized_data' must be a constant"},
    {"tensor<fp32, [4, 8]> w = constexpr_affine_dequantize()[axis = int32(1), name = string(\"w\"), quantized_data "
     "= " Q8 ", scale = fp32(1), zero_point = int8(0)];",
     "the ANE computes in fp16, fp32 is for constants"},
    {"tensor<fp16, [4, 8]> w = constexpr_lut_to_dense(indices = " IDX
     ", lut = " BLOB("tensor<fp16, [16, 1]>", "674") ")[name = string(\"w\")];",
     "its rank must be that of 'indices' plus 2"},
    {"tensor<fp16, [4, 8]> w = constexpr_lut_to_dense(indices = " IDX
     ", lut = " BLOB("tensor<fp16, [1, 1, 8, 2]>", "674") ")[name = string(\"w\")];",
     "it must have 2^bits entries"},
    {"tensor<fp16, [1, 12]> w = constexpr_sparse_to_dense(mask = " BLOB(
         "tensor<uint1, [1, 12]>", "770") ", nonzero_data = " BLOB("tensor<fp16, [4]>",
                                                                   "522") ")[name = string(\"w\")];",
     "'mask' has 3 bits set, 'nonzero_data' has 4 values"},
    {"tensor<fp16, [1, 8]> w = constexpr_sparse_to_dense(mask = " BLOB(
         "tensor<uint1, [1, 8]>", "770") ", nonzero_data = " BLOB("tensor<fp16, [3]>",
                                                                  "836") ")[name = string(\"w\")];",
     "has 2 bytes, tensor<uint1, [1, 8]> needs 1"},
    {"tensor<fp16, [1, 9]> w = constexpr_sparse_to_dense(mask = " BLOB(
         "tensor<uint1, [1, 9]>",
         "770") ", nonzero_data = " BLOB("tensor<fp16, [3]>",
                                         "836") ")[name = string(\"w\")];"
                                                "tensor<fp16, [2, 9]> b = tile(reps = tensor<int32, [2]>([2, 1]), x = "
                                                "w)[name = string(\"b\")];",
     NULL},
    {"tensor<fp16, [4, 8]> w = constexpr_blockwise_shift_scale(data = " Q8
     ", scale = " BLOB("tensor<fp16, [1, 4]>", "522") ", offset = int8(1))[name = string(\"w\")];",
     "it must have the shape of 'scale'"},
    {"tensor<fp16, [4, 8]> w = constexpr_blockwise_shift_scale(data = " Q8
     ", scale = " BLOB("tensor<fp16, [4]>", "522") ")[name = string(\"w\")];",
     "its rank must be that of 'data'"},
    {"tensor<fp16, [4, 8]> w = constexpr_blockwise_shift_scale(data = " Q8
     ", scale = " BLOB("tensor<fp16, [1, 3]>", "836") ")[name = string(\"w\")];",
     "its blocks must divide 'data'"},
    {"tensor<fp16, [4, 9]> w = constexpr_lut_to_dense(indices = " BLOB("tensor<uint4, [4, 9]>",
                                                                       "594") ", lut = fp16(1))[name = string(\"w\")];",
     "has 16 bytes, tensor<uint4, [4, 9]> needs 18"},
};

TEST(encoded_weights) {
  for (size_t i = 0; i < sizeof encoded / sizeof *encoded; i++) {
    mil_program *p = read_program("h13", "tensor<fp16, [2, 8]> a", encoded[i][0], "b");
    CHECK(!p == !!encoded[i][1] && (p || has(encoded[i][1])), "row %zu: %s", i, error);
    mil_free(p);
  }
}

/* -- Arguments of checked operations ------------------------------------------------------------------------------- */

static mil_program *one_op(const char *params, const char *result, const char *statement) {
  mil_program *p = read_statement(params, result, statement);
  CHECK(p, "%s", error);
  if (!p) exit(1);
  return p;
}

TEST(defaults_of_absent_arguments) {
  int64_t v[8];
  mil_program *p = one_op(C, "tensor<fp16, [1, 2, 5, 8]>", "conv(weight = " CONV_W ", x = c)");
  const mil_op *op = p->op[0];
  CHECK(mil_ints(op, "strides", v, 8) == 2 && v[0] == 1 && v[1] == 1 && mil_ints(op, "dilations", v, 1) == 1);
  CHECK(mil_ints(op, "pad", v, 8) == 4 && !v[0] && !v[3] && mil_int(op, "groups") == 1);
  CHECK(!strcmp(mil_string(op, "pad_type"), "valid") && !mil_get(op, "bias") && !mil_get(op, "pad"));
  mil_free(p);
  p = one_op(A, "tensor<fp16, [2, 4]>", "softmax(x = a)");
  CHECK(mil_int(p->op[0], "axis") == -1);
  mil_free(p);
  p = one_op(A, "fp16", "reduce_sum(x = a)");
  CHECK(mil_ints(p->op[0], "axes", v, 8) == 2 && v[0] == 0 && v[1] == 1 && !mil_bool(p->op[0], "keep_dims"));
  mil_free(p);
  p = one_op("tensor<fp16, [1, 4, 1]> a", "tensor<fp16, [4]>", "squeeze(x = a)");
  CHECK(mil_ints(p->op[0], "axes", v, 8) == 2 && v[0] == 0 && v[1] == 2);
  mil_free(p);
  p = one_op(A, "tensor<fp16, [2, 4]>", "rsqrt(x = a)");
  CHECK(mil_real(p->op[0], "epsilon") == 1e-12);
  mil_free(p);
  p = one_op(A, "tensor<fp16, [2, 4]>", "inverse(x = a)");
  CHECK(mil_real(p->op[0], "epsilon") == 1e-4);
  mil_free(p);
  p = one_op(C, "tensor<fp16, [1, 4, 6, 8]>", "upsample_nearest_neighbor(x = c)");
  CHECK(mil_real(p->op[0], "scale_factor_height") == 1 && mil_int(p->op[0], "scale_factor_width") == 1);
  mil_free(p);
  p = one_op(C, "tensor<fp16, [1, 192]>", "flatten2d(x = c)");
  CHECK(mil_int(p->op[0], "axis") == 1);
  mil_free(p);
}

TEST(arguments_that_are_given) {
  int64_t v[8];
  mil_program *p = one_op(A, "tensor<fp16, [2, 4]>", "clamped_relu(alpha = fp16(-0.1), beta = fp16(0x1p-24), x = a)");
  CHECK(mil_real(p->op[0], "alpha") == -0x1.998p-4 && mil_real(p->op[0], "beta") == 0x1p-24);
  mil_free(p);
  p = one_op(A, "tensor<fp16, [2, 4]>", "elu(alpha = fp32(0.1), x = a)");
  CHECK(mil_real(p->op[0], "alpha") == (double)0.1f);
  mil_free(p);
  p = one_op(A, "tensor<fp16, [2, 4]>", "gelu(mode = string(\"TANH_APPROXIMATION\"), x = a)");
  CHECK(!strcmp(mil_string(p->op[0], "mode"), "TANH_APPROXIMATION"));
  mil_free(p);
  p = one_op(A, "tensor<fp16, [1, 3]>",
             "slice_by_size(begin = tensor<int16, [2]>([1, 1]), size = tensor<int16, [2]>([1, -1]), x = a)");
  CHECK(mil_ints(p->op[0], "begin", v, 8) == 2 && v[0] == 1 && mil_ints(p->op[0], "size", v, 8) == 2 && v[1] == -1);
  mil_free(p);
  p = one_op(A, "tensor<fp16, [2, 4, 2]>", "stack(axis = int32(2), values = (a, a))");
  int count = 0;
  mil_value *const *values = mil_get_tuple(p->op[0], "values", &count);
  CHECK(count == 2 && values[0] == p->param[0] && values[1] == p->param[0] && mil_get(p->op[0], "values") == values[0]);
  CHECK(!mil_get_tuple(p->op[0], "nothing", &count) && count == 0);
  mil_free(p);
  p = one_op(C, "tensor<fp16, [1, 4, 12, 16]>",
             "upsample_nearest_neighbor(scale_factor_height = int32(2), scale_factor_width = int32(2), x = c)");
  CHECK(mil_real(p->op[0], "scale_factor_height") == 2 && mil_int(p->op[0], "scale_factor_width") == 2);
  mil_free(p);
}

TEST(sizes_and_texts_of_types) {
  static const struct {
    mil_type type;
    int64_t elements;
    size_t bytes;
    const char *text;
  } cases[] = {{{MIL_FP16, 0, {0}}, 1, 2, "fp16"},
               {{MIL_INT32, 1, {0}}, 0, 0, "tensor<int32, [0]>"},
               {{MIL_FP16, 2, {1, 4}}, 4, 8, "tensor<fp16, [1, 4]>"},
               {{MIL_UINT4, 2, {3, 3}}, 9, 5, "tensor<uint4, [3, 3]>"},
               {{MIL_UINT1, 1, {17}}, 17, 3, "tensor<uint1, [17]>"},
               {{MIL_UINT64, 1, {2}}, 2, 16, "tensor<uint64, [2]>"},
               {{MIL_BOOL, 3, {2, 1, 5}}, 10, 10, "tensor<bool, [2, 1, 5]>"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char buf[80];
    CHECK(mil_elements(&cases[i].type) == cases[i].elements && mil_bytes(&cases[i].type) == cases[i].bytes);
    CHECK(!strcmp(mil_type_text(&cases[i].type, buf, sizeof buf), cases[i].text), "%s", buf);
    for (size_t n = 1; n < 30; n++) CHECK(strlen(mil_type_text(&cases[i].type, buf, n)) < n);
  }
}

int main(void) {
  if (!make_fixture()) return 1;
  RUN(every_operation_and_its_wrong_types);
  RUN(the_table_is_sorted_and_every_row_is_tested);
  RUN(encoded_weights);
  RUN(defaults_of_absent_arguments);
  RUN(arguments_that_are_given);
  RUN(sizes_and_texts_of_types);
  drop_fixture();
  return test_end();
}
