/* The operation table: every operation with good and bad types, encoded weights, defaults. */
#include "mil_fixture.h"

/* -- Operations ---------------------------------------------------------------------------------------------------- */

#define A "tensor<fp16, [2, 4]> a"
#define C "tensor<fp16, [1, 4, 6, 8]> c"
#define I1(v) "tensor<int32, [1]>([" #v "])"
#define I2(v, w) "tensor<int32, [2]>([" #v ", " #w "])"
#define I4(v, w, x, y) "tensor<int32, [4]>([" #v ", " #w ", " #x ", " #y "])"
#define F4 "tensor<fp16, [4]>([1, 2, 3, 4])"
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
    /* images and channels */
    {"tensor<fp16, [2, 3, 5, 4]> c", "tensor<fp16, [2, 3, 7, 2]>",
     "affine(align_corners = bool(true), coordinates_mode = string(\"normalized_minus_one_to_one\"), output_height = "
     "int32(7), output_width = int32(2), padding_mode = string(\"constant\"), padding_value = fp16(0x0p+0), "
     "sampling_mode = string(\"bilinear\"), transform_matrix = tensor<fp16, [1, 6]>([[1, 0, 0, 0, 1, 0]]), x = c)"},
    {C, "tensor<fp16, [1, 4, 6, 8]>",
     "batch_norm(beta = " F4 ", epsilon = fp16(1e-5), gamma = " F4 ", mean = " F4 ", variance = " F4 ", x = c)"},
    {C, "tensor<fp16, [1, 4, 6, 8]>", "batch_norm(mean = " F4 ", variance = " F4 ", x = c)"},
    {C, "tensor<fp16, [1, 4, 6, 8]>",
     "instance_norm(beta = " F4 ", epsilon = fp16(1e-5), gamma = " F4 ", x = c)"},
    {"tensor<fp16, [2, 4, 9]> c", "tensor<fp16, [2, 4, 9]>", "instance_norm(x = c)"},
    {C, "tensor<fp16, [1, 4, 6, 8]>", "layer_norm(axes = " I1(1) ", gamma = " F4 ", x = c)"},
    {A, "tensor<fp16, [2, 4]>", "layer_norm(axes = " I1(-1) ", gamma = " F4 ", beta = " F4 ", x = a)"},
    {A, "tensor<fp16, [2, 4]>", "layer_norm(x = a)"},
    {C, "tensor<fp16, [1, 4, 6, 8]>", "l2_norm(x = c)"},
    {C, "tensor<fp16, [1, 4, 6, 8]>",
     "local_response_norm(alpha = fp16(1e-4), beta = fp16(0.75), k = fp16(1), size = int32(5), x = c)"},
    {C, "tensor<fp16, [1, 4, 6, 8]>", "softplus_parametric(alpha = " F4 ", beta = " F4 ", x = c)"},
    {C, "tensor<fp16, [1, 4, 12, 24]>",
     "upsample_bilinear(align_corners = bool(false), scale_factor_height = fp32(2.0), scale_factor_width = fp32(3.0), x "
     "= c)"},
    {"tensor<fp16, [3, 6, 8]> c", "tensor<fp16, [3, 12, 8]>",
     "upsample_bilinear(half_pixel_centers = bool(false), align_corners = bool(false), scale_factor_height = int32(2), x "
     "= c)"},
    {C, "tensor<fp16, [1, 4, 5, 11]>",
     "resize_nearest_neighbor(target_size_height = int32(5), target_size_width = int32(11), x = c)"},
    {C, "tensor<fp16, [1, 4, 5, 11]>",
     "resize_bilinear(sampling_mode = string(\"OFFSET_CORNERS\"), target_size_height = int32(5), target_size_width = "
     "int32(11), x = c)"},
    {C, "tensor<fp16, [1, 4, 1, 1]>", "resize_bilinear(x = c)"},
    {C, "tensor<fp16, [1, 4, 3, 6]>", "crop(crop_height = " I2(1, 2) ", crop_width = " I2(0, 2) ", x = c)"},
    {C, "tensor<fp16, [1, 4, 9, 8]>", "pad(pad = " I4(1, 2, 0, 0) ", x = c)"},
    {C, "tensor<fp16, [1, 4, 6, 22]>", "pad(mode = string(\"reflect\"), pad = " I2(7, 7) ", x = c)"},
    {A, "tensor<fp16, [5, 4]>", "pad(constant_val = fp16(2), mode = string(\"replicate\"), pad = " I4(1, 2, 0, 0) ", x = a)"},
    {C, "tensor<fp16, [1, 1, 12, 16]>", "pixel_shuffle(upscale_factor=int32(2), x=c)"},
    {C, "tensor<fp16, [1, 16, 3, 4]>", "pixel_unshuffle(downscale_factor=uint32(2), x=c)"},
    {C, "tensor<fp16, [1, 1, 12, 16]>", "depth_to_space(block_size = int32(2), x = c)"},
    {C, "tensor<fp16, [1, 16, 3, 4]>", "space_to_depth(block_size = int32(2), x = c)"},
    {C, "tensor<fp16, [6, 4, 4, 3]>",
     "space_to_batch(block_shape = " I2(2, 3) ", paddings = tensor<int32, [2, 2]>([[1, 1], [0, 1]]), x = c)"},
    {"tensor<fp16, [6, 4, 4, 3]> c", "tensor<fp16, [1, 4, 6, 8]>",
     "batch_to_space(block_shape = " I2(2, 3) ", crops = tensor<int32, [2, 2]>([[1, 1], [0, 1]]), x = c)"},
    {C, "tensor<fp16, [1, 2, 8]>",
     "slice_by_index(begin = " I4(0, 1, -1, 0) ", end = " I4(1, 99, 0, 0) ", end_mask = tensor<bool, [4]>([false, false, "
     "false, true]), squeeze_mask = tensor<bool, [4]>([false, false, true, false]), stride = " I4(1, 2, 1, 1) ", x = c)"},
    {A, "tensor<fp16, [2, 2]>", "slice_by_index(begin = " I2(0, -1) ", end = " I2(2, 0) ", stride = " I2(1, -2) ", x = a)"},
    {A, "tensor<fp16, [3, 5]>", "fill(shape = " I2(3, 5) ", value = fp16(2))"},
    {A, "tensor<fp16, [2, 4]>", "fill_like(ref_tensor = a, value = fp16(2))"},
    {A, "tensor<fp16, [2, 4]>", "floor_div(x = a, y = a)"},
    {"tensor<fp16, [2, 3, 5, 4]> c, tensor<fp16, [2, 4, 5, 7]> d", "tensor<fp16, [2, 3, 5, 7]>",
     "einsum(equation = string(\"nchw,nwhu->nchu\"), values = (c, d))"},
    {A ", tensor<fp16, [3, 2, 4]> d", "tensor<fp16, [3]>", "einsum(equation = string(\"Ab, xAb -> x\"), values = (a, d))"},
    {"tensor<fp16, [2, 3, 5, 8]> q, tensor<fp16, [2, 3, 7, 8]> k, tensor<fp16, [2, 3, 7, 4]> v",
     "tensor<fp16, [2, 3, 5, 4]>", "scaled_dot_product_attention(key = k, query = q, value = v)"},
    {"tensor<fp16, [2, 5, 8]> q, tensor<fp16, [2, 7, 8]> k, tensor<fp16, [1, 7]> m", "tensor<fp16, [2, 5, 8]>",
     "scaled_dot_product_attention(attn_mask = m, key = k, query = q, value = k)"},
    {"tensor<int8, [2, 4]> a", "tensor<fp16, [2, 4]>",
     "dequantize(axis = int32(-1), input = a, scale = " F4 ", zero_point = tensor<int8, [4]>([1, 2, 3, 4]))"},
    {"tensor<uint8, [2, 4]> a", "tensor<fp16, [2, 4]>", "dequantize(input = a, scale = fp16(2))"},
    {A, "tensor<fp32, [2, 4]>", "cast(dtype = string(\"fp32\"), x = a)"},
    {A, "tensor<uint16, [2, 4]>", "cast(dtype = string(\"uint16\"), x = a)"},
    {"tensor<int16, [2, 4]> a", "tensor<fp16, [2, 4]>", "cast(dtype = string(\"fp16\"), x = a)"},
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

/* -- Rejections of single operations ------------------------------------------------------------------------------- */

/* params, statement, message */
static const char *const refused[][3] = {
    {C, "batch_norm(mean = " F4 ", variance = tensor<fp16, [3]>([1, 2, 3]), x = c)", "one number per channel (axis 1)"},
    {A, "batch_norm(mean = " F4 ", variance = " F4 ", x = a)", "rank 3 or more"},
    {"tensor<fp16, [1, 4, 2, 2, 2]> c", "instance_norm(x = c)", "must be [N, C, W] or [N, C, H, W]"},
    {A, "l2_norm(x = a)", "rank 3 or more"},
    {A, "layer_norm(axes = " I1(0) ", gamma = " F4 ", x = a)", "the extents of 'axes'"},
    {A, "layer_norm(axes = " I2(1, -1) ", x = a)", "names an axis twice"},
    {C, "local_response_norm(size = int32(0), x = c)", "'size' must be 1 to 65536"},
    {C, "upsample_bilinear(scale_factor_height = fp32(1.5), x = c)", "must be a whole number from 1"},
    {C, "upsample_bilinear(half_pixel_centers = bool(true), x = c)", "together with 'align_corners'"},
    {C, "resize_bilinear(target_size_height = int32(0), x = c)", "'target_size_height' must be 1 to 65536"},
    {C, "resize_bilinear(sampling_mode = string(\"CORNERS\"), x = c)", "accepted are: STRICT_ALIGN_CORNERS"},
    {C, "crop(crop_height = " I2(3, 3) ", crop_width = " I2(0, 0) ", x = c)", "leaves nothing of x"},
    {C, "crop(crop_height = " I2(-1, 3) ", crop_width = " I2(0, 0) ", x = c)", "'crop_height' holds -1"},
    {C, "pad(pad = " I1(1) ", x = c)", "two numbers for each of the last axes"},
    {C, "pad(mode = string(\"reflect\"), pad = " I2(8, 0) ", x = c)", "must be smaller than the axis it reflects"},
    {C, "pad(mode = string(\"replicate\"), pad = tensor<int32, [6]>([1, 0, 0, 0, 0, 0]), x = c)", "all but the last two axes"},
    {C, "pixel_shuffle(upscale_factor=int32(3), x=c)", "squared must divide the channels"},
    {C, "space_to_depth(block_size = int32(4), x = c)", "must divide height and width"},
    {A, "depth_to_space(block_size = int32(1), x = a)", "must be [N, C, H, W]"},
    {"tensor<fp16, [2, 1, 2, 2]> c",
     "space_to_batch(block_shape = " I2(2, 2) ", paddings = tensor<int32, [2, 2]>([[0, 0], [0, 0]]), x = c)", "a batch of 1"},
    {C, "space_to_batch(block_shape = " I2(4, 2) ", paddings = tensor<int32, [2, 2]>([[0, 0], [0, 0]]), x = c)",
     "divide the padded height"},
    {C, "batch_to_space(block_shape = " I2(2, 2) ", crops = tensor<int32, [2, 2]>([[0, 0], [0, 0]]), x = c)",
     "have the batch as its product"},
    {A, "slice_by_index(begin = " I1(0) ", end = " I1(1) ", x = a)", "one number per axis"},
    {A, "slice_by_index(begin = " I2(0, 0) ", end = " I2(2, 4) ", stride = " I2(1, 0) ", x = a)", "strides not 0"},
    {A, "slice_by_index(begin = " I2(0, 3) ", end = " I2(2, 3) ", x = a)", "take nothing of an axis"},
    {"tensor<int8, [2, 4]> a", "dequantize(input = a, scale = " F4 ")", "one value per index of 'axis'"},
    {"tensor<int8, [2, 4]> a", "dequantize(axis = int32(2), input = a, scale = fp16(1))", "accepted are -2 to 1"},
    {A, "fill(shape = " I2(3, 0) ")", "'shape' holds 0"},
    {A, "fill(shape = " I1(3) ", value = int32(0))", "fills with fp16 only"},
    {A, "einsum(equation = string(\"ab->ab\"), values = (a, a))", "\"letters,letters->letters\""},
    {A, "einsum(equation = string(\"aa,ab->ab\"), values = (a, a))", "no letter twice"},
    {A, "einsum(equation = string(\"ab,ab->abc\"), values = (a, a))", "'c' is in the result only"},
    {A, "einsum(equation = string(\"ab,cb->a\"), values = (a, a))", "'c' is summed over one value"},
    {A, "einsum(equation = string(\"ab,bc->ac\"), values = (a, a))", "'b' has two extents"},
    {A, "einsum(equation = string(\"abc,bc->a\"), values = (a, a))", "another number of letters"},
    {A, "einsum(equation = string(\"ab,ab->ab\"), values = (a))", "two values are needed"},
    {"tensor<fp16, [2, 5, 8]> q, tensor<fp16, [2, 7, 9]> k",
     "scaled_dot_product_attention(key = k, query = q, value = k)", "the last axes differ"},
    {"tensor<fp16, [2, 5, 8]> q, tensor<fp16, [4, 5]> m",
     "scaled_dot_product_attention(attn_mask = m, key = q, query = q, value = q)", "broadcast to the scores"},
    {"tensor<fp16, [1, 3, 5, 4]> c",
     "affine(align_corners = bool(true), coordinates_mode = string(\"normalized_minus_one_to_one\"), output_height = "
     "int32(7), output_width = int32(2), padding_mode = string(\"constant\"), padding_value = fp16(0x0p+0), "
     "sampling_mode = string(\"bilinear\"), transform_matrix = tensor<fp16, [2, 6]>([[1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 1, "
     "0]]), x = c)",
     "it must be [N, 6] or [1, 6]"},
};

TEST(single_operations_are_refused) {
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    mil_program *p = read_statement(refused[i][0], "fp16", refused[i][1]);
    CHECK(!p && has(refused[i][2]), "%s: %s", refused[i][1], error);
    mil_free(p);
  }
  /* the texture unit comes with A14 */
  const char *affine = "tensor<fp16, [1, 1, 2, 2]> b = affine(align_corners = bool(true), x = a)[name = string(\"b\")];";
  mil_program *p = read_program("h13", "tensor<fp16, [1, 1, 2, 2]> a", affine, "b");
  CHECK(!p && has("capability family 2, needs 3"), "%s", error);
  p = read_program("h14", "tensor<fp16, [1, 1, 2, 2]> a", affine, "b");
  CHECK(!p && has("the argument 'transform_matrix' is missing"), "%s", error);
}

/* fp32 exists between two casts only. */
TEST(fp32_is_cast_back) {
  static const char *const cases[][2] = {
      {"tensor<fp32, [2]> f = cast(dtype = string(\"fp32\"), x = a)[name = string(\"f\")]; tensor<fp16, [2]> b = cast(dtype "
       "= string(\"fp16\"), x = f)[name = string(\"b\")];",
       NULL},
      {"tensor<fp32, [2]> f = cast(dtype = string(\"fp32\"), x = a)[name = string(\"f\")]; tensor<fp32, [2]> b = relu(x = "
       "f)[name = string(\"b\")];",
       "relu: 'x' is tensor<fp32, [2]>: the ANE computes in fp16"},
      {"tensor<fp32, [2]> b = cast(dtype = string(\"fp32\"), x = a)[name = string(\"b\")];", "output 'b' is tensor<fp32, [2]>"},
      {"tensor<fp16, [2]> b = cast(dtype = string(\"fp16\"), x = tensor<fp32, [2]>([1, 2]))[name = string(\"b\")];",
       "the ANE computes in fp16"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    mil_program *p = read_program("h13", "tensor<fp16, [2]> a", cases[i][0], "b");
    CHECK(!p == !!cases[i][1] && (p || has(cases[i][1])), "row %zu: %s", i, error);
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
  RUN(single_operations_are_refused);
  RUN(fp32_is_cast_back);
  RUN(defaults_of_absent_arguments);
  RUN(arguments_that_are_given);
  RUN(sizes_and_texts_of_types);
  drop_fixture();
  return test_end();
}
