/**
 * One row per lowering: the operation kind, a graph over input t0, and the statements it becomes.
 *
 * @module
 */

import { dynamicConv } from "../src/compose/convolution.ts";
import { concat, conv, convTranspose, stack } from "../src/graph/functions.ts";
import {
  batchNorm,
  crop,
  depthToSpace,
  einsumNative,
  instanceNorm,
  localResponseNorm,
  pixelShuffle,
  pixelUnshuffle,
  resizeBilinear,
  resizeNearestNeighbor,
  spaceToDepth,
  upsampleBilinear,
} from "../src/graph/images.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { B, F, img, list, ones, X23 } from "./mil_lines.ts";

/** Operation kinds whose statement is `T n = kind(x = s0)`. */
const PLAIN = "relu silu sigmoid tanh exp sqrt abs erf relu6 softsign atan exp2 floor ceil sign".split(" ");
const REDUCTIONS: readonly [string, (x: Tensor) => Tensor][] = [
  ["reduce_mean", (x) => x.mean([1, 0])],
  ["reduce_sum", (x) => x.sum([1, 0])],
  ["reduce_max", (x) => x.amax([1, 0])],
  ["reduce_min", (x) => x.amin([1, 0])],
  ["reduce_l1_norm", (x) => x.l1Norm([1, 0])],
  ["reduce_log_sum", (x) => x.logSum([1, 0])],
  ["reduce_sum_square", (x) => x.sumSquare([1, 0])],
  ["reduce_log_sum_exp", (x) => x.reduceLogSumExp([1, 0])],
];
const BINARY: readonly [string, (a: Tensor, b: Tensor) => Tensor][] = [
  ["add", (a, b) => a.add(b)],
  ["sub", (a, b) => a.sub(b)],
  ["mul", (a, b) => a.mul(b)],
  ["real_div", (a, b) => a.div(b)],
  ["pow", (a, b) => a.pow(b)],
  ["maximum", (a, b) => a.maximum(b)],
  ["minimum", (a, b) => a.minimum(b)],
];
const COMPARISONS: readonly [string, (a: Tensor, b: Tensor) => Tensor][] = [
  ["greater", (a, b) => a.greater(b)],
  ["less", (a, b) => a.less(b)],
  ["equal", (a, b) => a.equal(b)],
  ["not_equal", (a, b) => a.notEqual(b)],
  ["less_equal", (a, b) => a.lessEqual(b)],
  ["greater_equal", (a, b) => a.greaterEqual(b)],
];

/** One row per lowering: the operation kind, a graph over input t0, and the statements it becomes. */
export const ROWS: readonly [kind: string, graph: () => Tensor, lines: string[]][] = [
  ...PLAIN.map((kind): [string, () => Tensor, string[]] => {
    const method = kind as "relu";
    return [kind, () => input([2, 3])[method](), [`${X23} t1 = ${kind}(x = t0)`]];
  }),
  ["gelu", () => input([2, 3]).gelu(), [`string t1_m := string("EXACT")`, `${X23} t1 = gelu(x = t0, mode = t1_m)`]],
  ["log", () => input([2, 3]).log(1e-3), [`${X23} t1 = log(epsilon = fp16(0x1.0640000000000p-10), x = t0)`]],
  ["rsqrt", () => input([2, 3]).rsqrt(), [`${X23} t1 = rsqrt(epsilon = fp16(0x0.0p+0), x = t0)`]],
  ["inverse", () => input([2, 3]).inverse(1e-12), [`${X23} t1 = inverse(epsilon = fp16(0x0.0p+0), x = t0)`]],
  ["elu", () => input([2, 3]).elu(), [`${X23} t1 = elu(alpha = fp16(0x1.0000000000000p+0), x = t0)`]],
  ["leaky_relu", () => input([2, 3]).leakyRelu(), [
    `${X23} t1 = leaky_relu(alpha = fp16(0x1.47c0000000000p-7), x = t0)`,
  ]],
  ["threshold", () => input([2, 3]).threshold(), [`${X23} t1 = threshold(alpha = fp16(0x0.0p+0), x = t0)`]],
  ["thresholded_relu", () => input([2, 3]).thresholdedRelu(), [
    `${X23} t1 = thresholded_relu(alpha = fp16(0x1.0000000000000p+0), x = t0)`,
  ]],
  ["scaled_tanh", () => input([2, 3]).scaledTanh(0.5, -1), [
    `${X23} t1 = scaled_tanh(alpha = fp16(0x1.0000000000000p-1), beta = fp16(-0x1.0000000000000p+0), x = t0)`,
  ]],
  ["clamped_relu", () => input([2, 3]).clampedRelu(), [
    `${X23} t1 = clamped_relu(alpha = fp16(0x0.0p+0), beta = fp16(0x1.8000000000000p+2), x = t0)`,
  ]],
  ["sigmoid_hard", () => input([2, 3]).sigmoidHard(), [
    `${X23} t1 = sigmoid_hard(alpha = fp16(0x1.9980000000000p-3), beta = fp16(0x1.0000000000000p-1), x = t0)`,
  ]],
  ["linear_activation", () => input([2, 3]).linearActivation(), [
    `${X23} t1 = linear_activation(alpha = fp16(0x1.0000000000000p+0), beta = fp16(0x0.0p+0), x = t0)`,
  ]],
  ["clip", () => input([2, 3]).clip(-10, 10), [
    `${X23} t1 = clip(alpha = fp16(-0x1.4000000000000p+3), beta = fp16(0x1.4000000000000p+3), x = t0)`,
  ]],
  ["prelu", () => input([2, 3, 4]).prelu([0.1, 0.2, 0.3]), [
    `${F(3)} t1_a := blob 64`,
    `${F(2, 3, 4)} t1 = prelu(x = t0, alpha = t1_a)`,
  ]],
  ...BINARY.map(([kind, f]): [string, () => Tensor, string[]] => {
    return [kind, () => f(input([2, 3]), input([3])), [`${X23} t2 = ${kind}(x = t1, y = t0)`]];
  }),
  ...COMPARISONS.map(([kind, f]): [string, () => Tensor, string[]] => [kind, () => {
    const [a, b] = [input([2, 3]), input([2, 3])];
    return f(a, b).select(a, b);
  }, [`${B(2, 3)} t2 = ${kind}(x = t1, y = t0)`, `${X23} t3 = select(cond = t2, a = t1, b = t0)`]]),
  ["logical_not", () => {
    const x = input([2, 3]);
    return x.greater(x).logicalNot().select(x, x);
  }, [
    `${B(2, 3)} t1 = greater(x = t0, y = t0)`,
    `${B(2, 3)} t2 = logical_not(x = t1)`,
    `${X23} t3 = select(cond = t2, a = t0, b = t0)`,
  ]],
  ["select", () => {
    const x = input([2, 3]);
    return x.less(x).select(x, x);
  }, [`${B(2, 3)} t1 = less(x = t0, y = t0)`, `${X23} t2 = select(cond = t1, a = t0, b = t0)`]],
  ["square", () => input([2, 3]).square(), [`${X23} t1 = mul(x = t0, y = t0)`]],
  ["adds", () => input([2, 3]).adds(6), [
    `fp16 t1_k := fp16(0x1.8000000000000p+2)`,
    `${X23} t1 = add(x = t0, y = t1_k)`,
  ]],
  ["cast", () => input([2, 3], { dtype: "uint8" }).cast(), [
    `string t1_d := string("fp16")`,
    `${X23} t1 = cast(dtype = t1_d, x = t0)`,
  ]],
  ["const_array", () => input([2, 3]).div([1, 2, 3]), [
    `${F(3)} t0 := blob 64`,
    `${X23} t2 = real_div(x = t1, y = t0)`,
  ]],
  ["bmm", () => input([2, 3]).matmul(input([3, 4])), [
    `${F(2, 4)} t2 = matmul(transpose_x = bool(false), transpose_y = bool(false), x = t1, y = t0)`,
  ]],
  ["reshape", () => input([2, 3]).reshape(3, -1, 1), [
    list("t1_sh", 3, 2, 1),
    `${F(3, 2, 1)} t1 = reshape(shape = t1_sh, x = t0)`,
  ]],
  ["reshape", () => input([1, 1]).reshape().mul(input([1, 1])), [
    `tensor<int32, [0]> t2_sh := tensor<int32, [0]>([])`,
    `${F()} t2 = reshape(shape = t2_sh, x = t1)`,
    `${F(1, 1)} t3 = mul(x = t2, y = t0)`,
  ]],
  ["transpose", () => input([2, 3, 4]).transpose([2, 0, -2]), [
    list("t1_p", 2, 0, 1),
    `${F(4, 2, 3)} t1 = transpose(perm = t1_p, x = t0)`,
  ]],
  ["squeeze", () => input([1, 3, 1]).squeeze([-1, 0]), [
    list("t1_ax", 2, 0),
    `${F(3)} t1 = squeeze(axes = t1_ax, x = t0)`,
  ]],
  ["expand_dims", () => input([2, 3]).expandDims([-1, 0]), [
    list("t1_ax", 0, 3),
    `${F(1, 2, 3, 1)} t1 = expand_dims(axes = t1_ax, x = t0)`,
  ]],
  ["flatten2d", () => input([2, 3, 4]).flatten2d(-1), [
    `int32 t1_ax := int32(2)`,
    `${F(6, 4)} t1 = flatten2d(axis = t1_ax, x = t0)`,
  ]],
  ["slice_by_size", () => input([2, 3]).sliceBySize([1, 0], [1, 2]), [
    list("t1_b", 1, 0),
    list("t1_sz", 1, 2),
    `${F(1, 2)} t1 = slice_by_size(begin = t1_b, size = t1_sz, x = t0)`,
  ]],
  ["reverse", () => input([2, 3]).reverse(-1), [list("t1_ax", 1), `${X23} t1 = reverse(x = t0, axes = t1_ax)`]],
  ["tile", () => input([2, 3]).tile([2, 1]), [list("t1_r", 2, 1), `${F(4, 3)} t1 = tile(x = t0, reps = t1_r)`]],
  ["concat", () => concat([input([2, 3]), input([2, 1])]), [
    `int32 t2_ax := int32(1)`,
    `bool t2_il := bool(false)`,
    `${F(2, 4)} t2 = concat(axis = t2_ax, interleave = t2_il, values = (t1, t0))`,
  ]],
  ["concat", () => concat([input([2, 3])], 0), [
    `int32 t1_ax := int32(0)`,
    `bool t1_il := bool(false)`,
    `${X23} t1 = concat(axis = t1_ax, interleave = t1_il, values = (t0))`,
  ]],
  ["stack", () => stack([input([2, 3]), input([2, 3])], -1), [
    `int32 t2_ax := int32(2)`,
    `${F(2, 3, 2)} t2 = stack(axis = t2_ax, values = (t1, t0))`,
  ]],
  ...REDUCTIONS.map(([kind, f]): [string, () => Tensor, string[]] => [kind, () => f(input([2, 3])), [
    list("t1_ax", 1, 0),
    `bool t1_kd := bool(true)`,
    `${F(1, 1)} t1 = ${kind}(axes = t1_ax, keep_dims = t1_kd, x = t0)`,
  ]]),
  ["softmax", () => input([2, 3]).softmax(), [`int32 t1_ax := int32(1)`, `${X23} t1 = softmax(axis = t1_ax, x = t0)`]],
  ["upsample", () => img(2, 3, 4).upsample(3), [
    `${
      F(1, 2, 9, 12)
    } t1 = upsample_nearest_neighbor(scale_factor_height = int32(3), scale_factor_width = int32(3), x = t0)`,
  ]],
  ["round", () => input([2, 3]).round(), [
    `fp16 t1_c := fp16(0x1.0000000000000p+10)`,
    `${X23} t1_a = abs(x = t0)`,
    `${B(2, 3)} t1_lt = less(x = t1_a, y = t1_c)`,
    `${X23} t1_r = round(x = t0)`,
    `${X23} t1 = select(cond = t1_lt, a = t1_r, b = t0)`,
  ]],
  ["softplus", () => input([2, 3]).softplus(), [
    `fp16 t1_c := fp16(0x1.4000000000000p+3)`,
    `${X23} t1_m = minimum(x = t0, y = t1_c)`,
    `${X23} t1_s = softplus(x = t1_m)`,
    `fp16 t1_nc := fp16(-0x1.4000000000000p+3)`,
    `${X23} t1_t = add(x = t0, y = t1_nc)`,
    `${X23} t1_r = relu(x = t1_t)`,
    `${X23} t1 = add(x = t1_s, y = t1_r)`,
  ]],
  ["muls", () => input([2, 3]).mul(0), [`${X23} t1 = sub(x = t0, y = t0)`]],
  ["muls", () => input([2, 3]).mul(-0), [`${X23} t1 = sub(x = t0, y = t0)`]],
  ["muls", () => input([2, 3]).mul(2 ** -25), [`fp16 t1_k := fp16(0x0.0p+0)`, `${X23} t1 = mul(x = t0, y = t1_k)`]],
  ["muls", () => input([2, 3]).floor().mul(0.5), [
    `${X23} t1 = floor(x = t0)`,
    `${X23} t2_kf := blob 64`,
    `${X23} t2 = mul(x = t1, y = t2_kf)`,
  ]],
  ["mul", () => input([2, 3]).ceil().mul([[0.5]]), [
    `${F(1, 1)} t0 := blob 64`,
    `${X23} t2 = ceil(x = t1)`,
    `${X23} t3_kf := blob 130`,
    `${X23} t3 = mul(x = t2, y = t3_kf)`,
  ]],
  ["mul", () => input([2, 3]).ceil().mul([0.5, 1, 2]), [
    `${F(3)} t0 := blob 64`,
    `${X23} t2 = ceil(x = t1)`,
    `${X23} t3 = mul(x = t2, y = t0)`,
  ]],
  ["matmul", () => input([2, 3]).matmul(ones(3, 4)), [
    `${F(4, 3)} t1_w := blob 64`,
    `${F(2, 4)} t1 = matmul(transpose_x = bool(false), transpose_y = bool(true), x = t0, y = t1_w)`,
  ]],
  ["bmm_w", () => input([2, 5, 3]).bmmWeight(ones(2, 3, 4)), [
    `${F(2, 3, 4)} t1_w := blob 64`,
    `${F(2, 5, 4)} t1 = matmul(transpose_x = bool(false), transpose_y = bool(false), x = t0, y = t1_w)`,
  ]],
  [
    "conv",
    () => conv(img(), ones(4, 1, 3, 3), { stride: 2, pad: [1, 0, 2, 1], groups: 2, bias: [1, 2, 3, 4] }).relu(),
    [
      `${F(4, 1, 3, 3)} t1_w := blob 64`,
      `string t1_pt := string("custom")`,
      list("t1_st", 2, 2),
      list("t1_pd", 1, 0, 2, 1),
      list("t1_dl", 1, 1),
      `int32 t1_g := int32(2)`,
      `${F(1, 4, 2, 3)} t1 = conv(dilations = t1_dl, groups = t1_g, pad = t1_pd, pad_type = t1_pt, strides = t1_st, ` +
      `weight = t1_w, x = t0)`,
      `${F(1, 4, 1, 1)} t1_bw := blob 200`,
      `${F(1, 4, 2, 3)} t1_b = add(x = t1, y = t1_bw)`,
      `${F(1, 4, 2, 3)} t2 = relu(x = t1_b)`,
    ],
  ],
  ["conv_transpose", () => convTranspose(img(), ones(2, 3, 2, 2), { stride: 2, dilation: 2, bias: [1, 2, 3] }), [
    `${F(2, 3, 2, 2)} t1_w := blob 64`,
    `string t1_pt := string("custom")`,
    list("t1_st", 2, 2),
    list("t1_pd", 0, 0, 0, 0),
    list("t1_dl", 2, 2),
    `int32 t1_g := int32(1)`,
    `${F(1, 3, 9, 9)} t1 = conv_transpose(dilations = t1_dl, groups = t1_g, pad = t1_pd, pad_type = t1_pt, ` +
    `strides = t1_st, weight = t1_w, x = t0)`,
    `${F(1, 3, 1, 1)} t1_bw := blob 176`,
    `${F(1, 3, 9, 9)} t1_b = add(x = t1, y = t1_bw)`,
  ]],
  ["max_pool", () => img().maxPool(3, { stride: 2, pad: 1, ceilMode: true }), [
    `string t1_pt := string("custom")`,
    list("t1_ks", 3, 3),
    list("t1_st", 2, 2),
    list("t1_pd", 1, 1, 1, 1),
    `bool t1_cm := bool(true)`,
    `${F(1, 2, 3, 3)} t1 = max_pool(ceil_mode = t1_cm, kernel_sizes = t1_ks, pad = t1_pd, pad_type = t1_pt, ` +
    `strides = t1_st, x = t0)`,
  ]],
  ["avg_pool", () => img().avgPool(2, { excludePad: true }), [
    `string t1_pt := string("custom")`,
    list("t1_ks", 2, 2),
    list("t1_st", 2, 2),
    list("t1_pd", 0, 0, 0, 0),
    `bool t1_ep := bool(true)`,
    `bool t1_cm := bool(false)`,
    `${F(1, 2, 2, 2)} t1 = avg_pool(ceil_mode = t1_cm, exclude_padding_from_average = t1_ep, kernel_sizes = t1_ks, ` +
    `pad = t1_pd, pad_type = t1_pt, strides = t1_st, x = t0)`,
  ]],
  ["l2_norm", () => input([2, 3]).l2Norm(), [
    `|tensor<int32,[1]> t1_ax := tensor<int32,[1]>([1])`,
    `|bool t1_kd := bool(true)`,
    `|${F(2, 1)} t1_nrm = reduce_l2_norm(axes=t1_ax, keep_dims=t1_kd, x=t0)`,
    `|fp16 t1_ep := fp16(0x1.1000000000000p-20)`,
    `|${F(2, 1)} t1_sn = maximum(x=t1_nrm, y=t1_ep)`,
    `|${X23} t1 = real_div(x=t0, y=t1_sn)`,
  ]],
  ["rms_norm", () => input([2, 8]).rmsNorm(ones(8)), [
    `${F(1, 8)} t1_g := blob 64`,
    `|tensor<int32,[1]> t1_ax := tensor<int32,[1]>([1])`,
    `|bool t1_kd := bool(true)`,
    `|${F(2, 1)} t1_nrm = reduce_l2_norm(axes=t1_ax, keep_dims=t1_kd, x=t0)`,
    `|fp16 t1_ep := fp16(0x1.2500000000000p-7)`,
    `|${F(2, 1)} t1_sn = maximum(x=t1_nrm, y=t1_ep)`,
    `|${F(2, 8)} t1_dv = real_div(x=t0, y=t1_sn)`,
    `|${F(2, 8)} t1 = mul(x=t1_dv, y=t1_g)`,
  ]],
  ["layer_norm", () => input([2, 3]).layerNorm(ones(3), ones(3)), [
    `${F(1, 3)} t1_g := blob 64`,
    `${F(1, 3)} t1_b := blob 134`,
    `|tensor<int32,[1]> t1_ax := tensor<int32,[1]>([1])`,
    `|bool t1_kd := bool(true)`,
    `|${F(2, 1)} t1_mu = reduce_mean(axes=t1_ax, keep_dims=t1_kd, x=t0)`,
    `|${X23} t1_xc = sub(x=t0, y=t1_mu)`,
    `|${X23} t1_sq = mul(x=t1_xc, y=t1_xc)`,
    `|${F(2, 1)} t1_var = reduce_mean(axes=t1_ax, keep_dims=t1_kd, x=t1_sq)`,
    `|fp16 t1_ep := fp16(0x1.5000000000000p-17)`,
    `|${F(2, 1)} t1_ve = add(x=t1_var, y=t1_ep)`,
    `|${F(2, 1)} t1_rr = rsqrt(epsilon=fp16(0.0), x=t1_ve)`,
    `|${X23} t1_xn = mul(x=t1_xc, y=t1_rr)`,
    `|${X23} t1_gg = mul(x=t1_xn, y=t1_g)`,
    `|${X23} t1 = add(x=t1_gg, y=t1_b)`,
  ]],
  ["channel_layer_norm", () => input([2, 3, 1, 4]).channelLayerNorm(ones(3), ones(3)), [
    `${F(1, 3, 1, 1)} t1_g := blob 64`,
    `${F(1, 3, 1, 1)} t1_b := blob 134`,
    `|tensor<int32,[1]> t1_ax := tensor<int32,[1]>([1])`,
    `|bool t1_kd := bool(true)`,
    `|tensor<fp16,[2,1,1,4]> t1_mu = reduce_mean(axes=t1_ax, keep_dims=t1_kd, x=t0)`,
    `|${F(2, 3, 1, 4)} t1_xc = sub(x=t0, y=t1_mu)`,
    `|${F(2, 3, 1, 4)} t1_sq = mul(x=t1_xc, y=t1_xc)`,
    `|tensor<fp16,[2,1,1,4]> t1_var = reduce_mean(axes=t1_ax, keep_dims=t1_kd, x=t1_sq)`,
    `|fp16 t1_ep := fp16(0x1.5000000000000p-17)`,
    `|tensor<fp16,[2,1,1,4]> t1_ve = add(x=t1_var, y=t1_ep)`,
    `|tensor<fp16,[2,1,1,4]> t1_rr = rsqrt(epsilon=fp16(0.0), x=t1_ve)`,
    `|${F(2, 3, 1, 4)} t1_xn = mul(x=t1_xc, y=t1_rr)`,
    `|${F(2, 3, 1, 4)} t1_gg = mul(x=t1_xn, y=t1_g)`,
    `|${F(2, 3, 1, 4)} t1 = add(x=t1_gg, y=t1_b)`,
  ]],
  ["group_norm", () => input([1, 6, 2, 4]).groupNorm(ones(6), ones(6), 2, 0.5), [
    `${F(1, 6, 1, 1)} t1_g := blob 64`,
    `${F(1, 6, 1, 1)} t1_b := blob 140`,
    `|tensor<int32,[4]> t1_gs := tensor<int32,[4]>([1,2,3,8])`,
    `|tensor<int32,[4]> t1_os := tensor<int32,[4]>([1,6,2,4])`,
    `|tensor<int32,[1]> t1_a2 := tensor<int32,[1]>([2])`,
    `|tensor<int32,[1]> t1_a3 := tensor<int32,[1]>([3])`,
    `|bool t1_kd := bool(true)`,
    `|tensor<fp16,[1,2,3,8]> t1_xg = reshape(shape=t1_gs, x=t0)`,
    `|tensor<fp16,[1,2,3,1]> t1_s3 = reduce_sum(axes=t1_a3, keep_dims=t1_kd, x=t1_xg)`,
    `|tensor<fp16,[1,2,1,1]> t1_ss = reduce_sum(axes=t1_a2, keep_dims=t1_kd, x=t1_s3)`,
    `|fp16 t1_id := fp16(0x1.5540000000000p-5)`,
    `|tensor<fp16,[1,2,1,1]> t1_mu = mul(x=t1_ss, y=t1_id)`,
    `|tensor<fp16,[1,2,3,8]> t1_xc = sub(x=t1_xg, y=t1_mu)`,
    `|tensor<fp16,[1,2,3,8]> t1_sq = mul(x=t1_xc, y=t1_xc)`,
    `|tensor<fp16,[1,2,3,1]> t1_v3 = reduce_sum(axes=t1_a3, keep_dims=t1_kd, x=t1_sq)`,
    `|tensor<fp16,[1,2,1,1]> t1_vs = reduce_sum(axes=t1_a2, keep_dims=t1_kd, x=t1_v3)`,
    `|tensor<fp16,[1,2,1,1]> t1_var = mul(x=t1_vs, y=t1_id)`,
    `|fp16 t1_ep := fp16(0x1.0000000000000p-1)`,
    `|tensor<fp16,[1,2,1,1]> t1_ve = add(x=t1_var, y=t1_ep)`,
    `|tensor<fp16,[1,2,1,1]> t1_rr = rsqrt(epsilon=fp16(0.0), x=t1_ve)`,
    `|tensor<fp16,[1,2,3,8]> t1_xn = mul(x=t1_xc, y=t1_rr)`,
    `|${F(1, 6, 2, 4)} t1_n4 = reshape(shape=t1_os, x=t1_xn)`,
    `|${F(1, 6, 2, 4)} t1_gg = mul(x=t1_n4, y=t1_g)`,
    `|${F(1, 6, 2, 4)} t1 = add(x=t1_gg, y=t1_b)`,
  ]],
  [
    "batch_norm",
    () => batchNorm(input([2, 3, 4]), { gamma: ones(3), beta: ones(3), mean: ones(3), variance: ones(3), eps: 1e-3 }),
    [
      `${F(3)} t1_g := blob 64`,
      `${F(3)} t1_b := blob 134`,
      `${F(3)} t1_m := blob 204`,
      `${F(3)} t1_v := blob 274`,
      `${F(2, 3, 4)} t1 = batch_norm(beta = t1_b, epsilon = fp16(0x1.0640000000000p-10), gamma = t1_g, mean = t1_m, ` +
      `variance = t1_v, x = t0)`,
    ],
  ],
  ["instance_norm", () => instanceNorm(img(), ones(2), ones(2)), [
    `${F(2)} t1_g := blob 64`,
    `${F(2)} t1_b := blob 132`,
    `${F(1, 2, 4, 4)} t1 = instance_norm(beta = t1_b, epsilon = fp16(0x1.5000000000000p-17), gamma = t1_g, x = t0)`,
  ]],
  ["local_response_norm", () => localResponseNorm(img()), [
    `int32 t1_sz := int32(5)`,
    `${F(1, 2, 4, 4)} t1 = local_response_norm(alpha = fp16(0x1.a380000000000p-14), ` +
    `beta = fp16(0x1.8000000000000p-1), k = fp16(0x1.0000000000000p+0), size = t1_sz, x = t0)`,
  ]],
  ["einsum", () => einsumNative("nchw, nwhu -> nchu", img(2, 3, 4), ones(1, 4, 3, 5)), [
    `${F(1, 4, 3, 5)} t1_b := blob 64`,
    `string t1_eq := string("nchw,nwhu->nchu")`,
    `${F(1, 2, 3, 5)} t1 = einsum(equation = t1_eq, values = (t0, t1_b))`,
  ]],
  ["dynamic_conv", () => dynamicConv(img(), input([4, 1, 3, 3]), { stride: 2, pad: 1, groups: 2 }), [
    `string t2_pt := string("custom")`,
    list("t2_st", 2, 2),
    list("t2_pd", 1, 1, 1, 1),
    list("t2_dl", 1, 1),
    `int32 t2_g := int32(2)`,
    `${F(1, 4, 2, 2)} t2 = conv(dilations = t2_dl, groups = t2_g, pad = t2_pd, pad_type = t2_pt, strides = t2_st, ` +
    `weight = t0, x = t1)`,
  ]],
  ["upsample_bilinear", () => upsampleBilinear(img(), 3), [
    `bool t1_ac := bool(false)`,
    `${F(1, 2, 12, 12)} t1 = upsample_bilinear(align_corners = t1_ac, scale_factor_height = fp32(3.0), ` +
    `scale_factor_width = fp32(3.0), x = t0)`,
  ]],
  ["resize_nearest_neighbor", () => resizeNearestNeighbor(img(), 3, 6), [
    `int32 t1_th := int32(3)`,
    `int32 t1_tw := int32(6)`,
    `${F(1, 2, 3, 6)} t1 = resize_nearest_neighbor(target_size_height = t1_th, target_size_width = t1_tw, x = t0)`,
  ]],
  ...(["DEFAULT", "ALIGN_CORNERS"] as const).map((mode): [string, () => Tensor, string[]] => [
    "resize_bilinear",
    () => resizeBilinear(img(), 3, 6, { alignCorners: mode === "ALIGN_CORNERS" }),
    [
      `int32 t1_th := int32(3)`,
      `int32 t1_tw := int32(6)`,
      `string t1_sm := string("${mode}")`,
      `${F(1, 2, 3, 6)} t1 = resize_bilinear(sampling_mode = t1_sm, target_size_height = t1_th, ` +
      `target_size_width = t1_tw, x = t0)`,
    ],
  ]),
  ["crop", () => crop(img(), 1, 0, 0, 2), [
    list("t1_ch", 1, 0),
    list("t1_cw", 0, 2),
    `${F(1, 2, 3, 2)} t1 = crop(crop_height = t1_ch, crop_width = t1_cw, x = t0)`,
  ]],
  ["pixel_shuffle", () => pixelShuffle(img(8), 2), [
    `|int32 t1_r := int32(2)`,
    `|${F(1, 2, 8, 8)} t1 = pixel_shuffle(upscale_factor=t1_r, x=t0)`,
  ]],
  ["pixel_unshuffle", () => pixelUnshuffle(img(), 2), [
    `|uint32 t1_r := uint32(2)`,
    `|${F(1, 8, 2, 2)} t1 = pixel_unshuffle(downscale_factor=t1_r, x=t0)`,
  ]],
  ["space_to_depth", () => spaceToDepth(img()), [
    `int32 t1_bs := int32(2)`,
    `${F(1, 8, 2, 2)} t1 = space_to_depth(block_size = t1_bs, x = t0)`,
  ]],
  ["depth_to_space", () => depthToSpace(img(8)), [
    `int32 t1_bs := int32(2)`,
    `${F(1, 2, 8, 8)} t1 = depth_to_space(block_size = t1_bs, x = t0)`,
  ]],
];
