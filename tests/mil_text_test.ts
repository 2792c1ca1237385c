import { assertEquals, assertThrows } from "@std/assert";
import { dynamicConv } from "../src/compose/convolution.ts";
import { ArgumentError, DtypeError, UnsupportedOpError } from "../src/errors.ts";
import { hexFloat } from "../src/graph/fp16.ts";
import { concat, conv, convTranspose, imageInput, split, stack } from "../src/graph/functions.ts";
import {
  affine,
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
import { array } from "../src/graph/ndarray.ts";
import { input, parameter, type Tensor } from "../src/graph/tensor.ts";
import { emitMil, type MilProgram } from "../src/mil/emit.ts";
import { OPS } from "../src/ops/all.ts";
import { onWarning, silence, type WarningKind } from "../src/warnings.ts";

/** Statements of the body, without indentation. */
function body({ text }: MilProgram): string[] {
  return text.split("\n").filter((line) => line.startsWith("        ")).map((line) => line.slice(8));
}

/** Values of an fp16 blob whose descriptor lies at `offset`. */
function blob({ weights }: MilProgram, offset: number): number[] {
  const view = new DataView(weights.buffer);
  const length = Number(view.getBigUint64(offset + 8, true));
  const start = Number(view.getBigUint64(offset + 16, true));
  return Array.from({ length: length / 2 }, (_, i) => view.getFloat16(start + 2 * i, true));
}

/**
 * Writes out one expected statement. `TYPE NAME := VALUE` is a constant, `TYPE NAME := blob 64` one in the weight file,
 * `TYPE NAME = CALL` an operation; a leading `|` asks for the tight spelling.
 */
function expand(line: string): string {
  const tight = line.startsWith("|");
  const eq = tight ? "=" : " = ";
  const text = tight ? line.slice(1) : line;
  const [, type, name, sign, rest] = text.match(/^(.*?) (\w+) (:?=) (.*)$/s)!;
  if (sign === "=") return `${type} ${name} = ${rest}[name${eq}string("${name}")];`;
  const value = rest!.startsWith("blob ")
    ? `${type}(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(${rest!.slice(5)})))`
    : rest;
  return `${type} ${name} = const()[name${eq}string("${name}"), val${eq}${value}];`;
}

const F = (...extents: number[]): string => `tensor<fp16, [${extents.join(", ")}]>`;
const B = (...extents: number[]): string => `tensor<bool, [${extents.join(", ")}]>`;
const list = (name: string, ...values: number[]): string =>
  `tensor<int32, [${values.length}]> ${name} := tensor<int32, [${values.length}]>([${values.join(", ")}])`;
const ones = (...shape: number[]) => array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape);

const X23 = F(2, 3);
const img = (c = 2, h = 4, w = 4): Tensor => input([1, c, h, w]);

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
const ROWS: readonly [kind: string, graph: () => Tensor, lines: string[]][] = [
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

for (const [kind, graph, lines] of ROWS) {
  Deno.test(`lowering of ${kind}: ${lines.at(-1)}`, () => {
    assertEquals(body(emitMil([graph()])), lines.map(expand));
  });
}

Deno.test("every operation has a lowering row or a test of its own", () => {
  const covered = new Set([...ROWS.map(([kind]) => kind), "input", "sin", "cos", "split", "affine"]);
  assertEquals([...OPS.keys()].filter((name) => !covered.has(name)), []);
});

Deno.test("linear with bias is written byte for byte", () => {
  const program = emitMil([input([2, 8]).linear(ones(4, 8), [1, 2, 3, 4])]);
  assertEquals(
    program.text,
    `program(1.3)
[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3520.4.1"}, {"coremlc-version", "3520.5.1"}})]
{
    func main<ios18>(tensor<fp16, [2, 8]> t0) {
        tensor<fp16, [4, 8]> t1_w = const()[name = string("t1_w"), val = tensor<fp16, [4, 8]>(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(64)))];
        tensor<fp16, [2, 4]> t1 = matmul(transpose_x = bool(false), transpose_y = bool(true), x = t0, y = t1_w)[name = string("t1")];
        tensor<fp16, [1, 4]> t1_b = const()[name = string("t1_b"), val = tensor<fp16, [1, 4]>(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(192)))];
        tensor<fp16, [2, 4]> t1_bb = add(x = t1, y = t1_b)[name = string("t1_bb")];
    } -> (t1_bb);
}
`,
  );
  assertEquals(program.weights.length, 264);
  assertEquals(blob(program, 64), new Array(32).fill(1));
  assertEquals(blob(program, 192), [1, 2, 3, 4]);
  assertEquals(program.opCount, 1);
  assertEquals(program.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })), [
    { name: "t0", dtype: "fp16", shape: [2, 8] },
  ]);
  assertEquals(program.outputs.map(({ name, shape }) => ({ name, shape })), [{ name: "t1_bb", shape: [2, 4] }]);
});

Deno.test("fp16 scalars are spelled as the format's table says", () => {
  const table: [number, string][] = [
    [0, "0x0.0p+0"],
    [-0, "-0x0.0p+0"],
    [1, "0x1.0000000000000p+0"],
    [-1, "-0x1.0000000000000p+0"],
    [0.5, "0x1.0000000000000p-1"],
    [0.1, "0x1.9980000000000p-4"],
    [0.2, "0x1.9980000000000p-3"],
    [0.01, "0x1.47c0000000000p-7"],
    [0.75, "0x1.8000000000000p-1"],
    [6, "0x1.8000000000000p+2"],
    [10, "0x1.4000000000000p+3"],
    [-10, "-0x1.4000000000000p+3"],
    [1024, "0x1.0000000000000p+10"],
    [65504, "0x1.ffc0000000000p+15"],
    [65519.99, "0x1.ffc0000000000p+15"],
    [65520, "inf"],
    [-65520, "-inf"],
    [NaN, "nan"],
    [1e-3, "0x1.0640000000000p-10"],
    [1e-4, "0x1.a380000000000p-14"],
    [1e-5, "0x1.5000000000000p-17"],
    [1e-12, "0x0.0p+0"],
    [Math.sqrt(1e-12), "0x1.1000000000000p-20"],
    [Math.fround(1 / 255), "0x1.0100000000000p-8"],
    [1 / Math.sqrt(8), "0x1.6a00000000000p-2"],
    [1 / 8, "0x1.0000000000000p-3"],
    [Math.sqrt(8e-5), "0x1.2500000000000p-7"],
    [Math.sqrt(64e-5), "0x1.9e80000000000p-6"],
    [-1e4, "-0x1.3880000000000p+13"],
    [1 / 30000, "0x1.1780000000000p-15"],
    [5.96e-8, "0x1.0000000000000p-24"],
    [2 ** -25, "0x0.0p+0"],
    [2.99e-8, "0x1.0000000000000p-24"],
    [-1.206, "-0x1.34c0000000000p+0"],
    [3.14159, "0x1.9200000000000p+1"],
  ];
  for (const [value, spelling] of table) assertEquals(hexFloat(value), spelling, String(value));
});

Deno.test("the last operand's cone is ordered first, inputs are listed in creation order", () => {
  const a = input([1, 4]);
  const b = input([1, 4]);
  const program = emitMil([a.add(b)]);
  assertEquals(program.text.includes("(tensor<fp16, [1, 4]> t1, tensor<fp16, [1, 4]> t0)"), true);
  assertEquals(body(program), [expand(`${F(1, 4)} t2 = add(x = t1, y = t0)`)]);
  assertEquals(program.text.endsWith("    } -> (t2);\n}\n"), true);
  assertEquals(program.inputs.map(({ tensor, name }) => [tensor.id, name]), [[a.id, "t1"], [b.id, "t0"]]);
});

Deno.test("multiplying by 1 keeps a program with no other operation from being empty", () => {
  const program = emitMil([input([1, 4]).mul(1)]);
  assertEquals(body(program), [
    expand(`fp16 t1_k := fp16(0x1.0000000000000p+0)`),
    expand(`${F(1, 4)} t1 = mul(x = t0, y = t1_k)`),
  ]);
});

Deno.test("an image input is cast and scaled in the program", () => {
  const program = emitMil([imageInput([1, 3, 4, 4])]);
  assertEquals(program.inputs[0]!.dtype, "uint8");
  assertEquals(program.text.includes("main<ios18>(tensor<uint8, [1, 3, 4, 4]> t0)"), true);
  assertEquals(
    body(program),
    [
      `string t1_d := string("fp16")`,
      `${F(1, 3, 4, 4)} t1 = cast(dtype = t1_d, x = t0)`,
      `fp16 t2_k := fp16(0x1.0100000000000p-8)`,
      `${F(1, 3, 4, 4)} t2 = mul(x = t1, y = t2_k)`,
    ].map(expand),
  );
  assertEquals(body(emitMil([imageInput([1, 3, 4, 4], { scale: 1, bias: 0 })])).length, 2);
  const perChannel = emitMil([imageInput([1, 3, 4, 4], { scale: [1, 2, 3], bias: [4, 5, 6] })]);
  assertEquals(
    body(perChannel).slice(0, 2),
    [`${F(1, 3, 1, 1)} t0 := blob 64`, `${F(1, 3, 1, 1)} t1 := blob 134`].map(expand),
  );
  assertEquals([blob(perChannel, 64), blob(perChannel, 134)], [[4, 5, 6], [1, 2, 3]]);
});

Deno.test("a number becomes a scalar constant, which is ordered before the input", () => {
  const program = emitMil([input([2, 8]).add(5)]);
  assertEquals(body(program), [expand(`${F()} t0 := blob 64`), expand(`${F(2, 8)} t2 = add(x = t1, y = t0)`)]);
  assertEquals([...program.weights.slice(128)], [0x00, 0x45]);
});

Deno.test("the parts of a split are one statement, named after the part seen first", () => {
  const [first, second] = split(input([2, 4]), 2, 1);
  const program = emitMil([first!.add(second!)]);
  assertEquals(body(program), [
    expand("int32 t1_ns := int32(2)"),
    expand("int32 t1_ax := int32(1)"),
    `${F(2, 2)} t1_part0, ${
      F(2, 2)
    } t1_part1 = split(axis = t1_ax, num_splits = t1_ns, x = t0)[name = string("t1_split")];`,
    expand(`${F(2, 2)} t3 = add(x = t1_part0, y = t1_part1)`),
  ]);
  // Different numbers of parts, another axis or another operand are statements of their own.
  const x = input([4, 4]);
  const parts = [split(x, 2, 0)[0]!, split(x, 4, 0)[3]!, split(x, 2, 1)[0]!, split(x.relu(), 2, 0)[0]!];
  const many = emitMil([...parts, split(x, 2, 0)[0]!]);
  assertEquals(body(many).filter((line) => line.includes(" = split(")).length, 4);
  assertEquals(many.outputs[0]!.name, many.outputs[4]!.name);
});

Deno.test("statements follow the order of the graph, weights in front of each operation, bias behind it", () => {
  const x = input([2, 3]);
  const program = emitMil([x.linear(ones(4, 3), [1, 2, 3, 4]).relu().linear(ones(2, 4), [1, 2])]);
  const names = body(program).map((line) => line.split(" = ")[0]!.split(" ").at(-1));
  assertEquals(names, ["t1_w", "t1", "t1_b", "t1_bb", "t2", "t3_w", "t3", "t3_b", "t3_bb"]);
  assertEquals(body(program)[4], expand(`${F(2, 4)} t2 = relu(x = t1_bb)`));
});

Deno.test("a diamond is written once, several outputs in the order asked for", () => {
  const x = input([2, 3]);
  const shared = x.exp();
  const left = shared.relu();
  const right = shared.tanh();
  const program = emitMil([right, left.add(right), left, right]);
  assertEquals(
    body(program),
    [
      `${X23} t1 = exp(x = t0)`,
      `${X23} t2 = tanh(x = t1)`,
      `${X23} t3 = relu(x = t1)`,
      `${X23} t4 = add(x = t3, y = t2)`,
    ].map(expand),
  );
  assertEquals(program.text.endsWith("} -> (t2, t4, t3);\n}\n"), true);
  assertEquals(program.outputs.map(({ name }) => name), ["t2", "t4", "t3", "t2"]);
  assertEquals(program.opCount, 4);
});

Deno.test("weights are stored as the operations read them", () => {
  const streamed = emitMil([input([1, 2]).matmul([[1, 2, 3], [4, 5, 6]])]);
  assertEquals(blob(streamed, 64), [1, 4, 2, 5, 3, 6]);
  const rms = emitMil([input([1, 4]).rmsNorm([1, 2, 3, 4])]);
  assertEquals(blob(rms, 64), [2, 4, 6, 8]);
  const filled = emitMil([input([2, 2]).round().mul(0.1)]);
  assertEquals(blob(filled, 64), new Array(4).fill(Math.f16round(0.1)));
  // Directly to fp16: through float32 this would land on a tie and round to even.
  const exact = 1 + 2 ** -11 + 2 ** -40;
  assertEquals(blob(emitMil([input([1, 1]).matmul(new Float64Array([exact]).length ? [[exact]] : [])]), 64), [
    1 + 2 ** -10,
  ]);
});

Deno.test("parameters are inputs in creation order", () => {
  const w = parameter([[1, 2], [3, 4]]);
  const x = input([1, 2]);
  const program = emitMil([x.matmul(w)]);
  assertEquals(program.inputs.map(({ tensor }) => tensor), [w, x]);
  assertEquals(program.weights.length, 64);
});

Deno.test("sin and cos are native from A15 on and a polynomial below", () => {
  const x = input([1, 2]);
  assertEquals(body(emitMil([x.sin()], { family: 4 })), [expand(`${F(1, 2)} t1 = sin(x = t0)`)]);
  assertEquals(body(emitMil([x.cos()], { family: 5 })), [expand(`${F(1, 2)} t1 = cos(x = t0)`)]);
  const seen: WarningKind[] = [];
  const restore = onWarning((kind) => seen.push(kind));
  try {
    const portable = emitMil([x.cos().relu(), x], { family: 2 });
    const T = F(1, 2);
    const term = (i: number, c: string): string[] => [
      `${T} t${i} = sub(x = t1, y = t1)`,
      `${T} t${i + 1} = exp(x = t${i})`,
      `fp16 t${i + 2}_k := fp16(${c})`,
      `${T} t${i + 2} = mul(x = t${i + 1}, y = t${i + 2}_k)`,
    ];
    const polynomial = [
      `${T} t1 = mul(x = t0, y = t0)`,
      ...term(2, "0x1.0000000000000p+0"),
      ...term(5, hexFloat(-0.4999308182201791)),
      ...term(8, hexFloat(0.041511585587052556)),
      ...term(11, hexFloat(-0.0012786608784929124)),
      `${T} t14 = mul(x = t13, y = t1)`,
      `${T} t15 = add(x = t14, y = t10)`,
      `${T} t16 = mul(x = t15, y = t1)`,
      `${T} t17 = add(x = t16, y = t7)`,
      `${T} t18 = mul(x = t17, y = t1)`,
      `${T} t19 = add(x = t18, y = t4)`,
      `${T} t20 = relu(x = t19)`,
    ];
    assertEquals(body(portable), polynomial.map(expand));
    assertEquals(portable.opCount, 20);
    assertEquals(portable.outputs.map(({ name }) => name), ["t20", "t0"]);
    assertEquals(body(emitMil([x.sin()])).at(-1)!.includes(" = mul(x = t0, y = "), true);
  } finally {
    restore();
  }
  assertEquals(seen.every((kind) => kind === "portable-op"), true);
});

Deno.test("affine sampling exists from family 3 on", () => {
  const y = affine(img(2, 3, 4), [[1, 0, 0, 0, 1, 0]], 5, 6, { alignCorners: true });
  assertThrows(() => emitMil([y]), UnsupportedOpError, "affine: needs capability family 3 or later; the target is 2");
  assertEquals(
    body(emitMil([y], { family: 3 })),
    [
      `${F(1, 6)} t1_tm := blob 64`,
      `int32 t1_oh := int32(5)`,
      `int32 t1_ow := int32(6)`,
      `string t1_sm := string("bilinear")`,
      `string t1_pm := string("constant")`,
      `fp16 t1_pv := fp16(0x0p+0)`,
      `string t1_cm := string("normalized_minus_one_to_one")`,
      `bool t1_ac := bool(true)`,
      `${F(1, 2, 5, 6)} t1 = affine(align_corners = t1_ac, coordinates_mode = t1_cm, output_height = t1_oh, ` +
      `output_width = t1_ow, padding_mode = t1_pm, padding_value = t1_pv, sampling_mode = t1_sm, ` +
      `transform_matrix = t1_tm, x = t0)`,
    ].map(expand),
  );
});

Deno.test("a kernel too wide for the family is refused when the program is written", () => {
  const wide = conv(input([1, 1, 4, 20]), ones(1, 1, 1, 15));
  assertEquals(body(emitMil([wide], { family: 5 })).length, 7);
  assertThrows(() => emitMil([wide]), UnsupportedOpError, "kernel width 15; capability family 2 takes at most 13");
  assertThrows(() => emitMil([wide], { family: 4 }), UnsupportedOpError, "at most 13");
  emitMil([conv(input([1, 1, 20, 20]), ones(1, 1, 16, 13))]);
});

Deno.test("programs that cannot exist are refused", () => {
  const x = input([1, 4]);
  assertThrows(() => emitMil([]), ArgumentError, "no outputs");
  assertThrows(() => emitMil([x]), ArgumentError, "no operations");
  assertThrows(() => emitMil([x.greater(x)]), DtypeError, "output 0 (greater, [1, 4]) is bool");
});

Deno.test("weights beyond fp16 are reported, and the report can be silenced", () => {
  const seen: string[] = [];
  const restore = onWarning((kind, message) => seen.push(`${kind}: ${message}`));
  try {
    emitMil([input([1, 1]).matmul([[1e6]])]);
    assertEquals(seen, [
      "fp16-range: matmul: weight element 0 is 1000000; it becomes infinite in fp16 (largest 65504)",
    ]);
    input([1]).adds(70000);
    assertEquals(seen.length, 2);
    input([1]).adds(Infinity).adds(65519);
    const speak = silence("fp16-range");
    input([1]).muls(-70000);
    speak();
    assertEquals(seen.length, 2);
    input([1]).muls(-70000);
    assertEquals(seen.length, 3);
  } finally {
    restore();
  }
});

Deno.test("a chain of 10,000 operations is written in linear time", () => {
  const chain = (length: number): number => {
    let y = input([2, 8]);
    for (let i = 0; i < length; i++) y = y.tanh();
    const start = performance.now();
    const program = emitMil([y]);
    assertEquals(program.opCount, length);
    return performance.now() - start;
  };
  chain(1000);
  const elapsed = chain(10_000);
  assertEquals(elapsed < 1000, true, `took ${elapsed} ms`);
});
