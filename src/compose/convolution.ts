/**
 * Convolutions of sequences and volumes, and chains of convolution and activation as one call.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { checkInteger } from "../graph/check.ts";
import { concat, conv, type ConvOptions } from "../graph/functions.ts";
import type { BatchNorm } from "../graph/images.ts";
import { convKernelWidth, FLOOR_FAMILY } from "../graph/limits.ts";
import { NDArray, type TensorData, weightArray } from "../graph/ndarray.ts";
import { checkRank, sameShape, show } from "../graph/shape.ts";
import { apply, Tensor } from "../graph/tensor.ts";
import { quantizeRows } from "./quantize.ts";
import { gather, pad } from "./rearrange.ts";

/** Options of {@linkcode dynamicConv}: stride, padding and groups of {@linkcode conv}; the device takes no dilation here. */
export type DynamicConvOptions = Omit<ConvOptions, "bias" | "dilation">;

/**
 * 2-D convolution whose weight is computed or fed at run time.
 *
 * @param x `[1, Cin, H, W]`; the device takes batch 1 only.
 * @param weight `[Cout, Cin/groups, kH, kW]`, kernel width at most 15 (13 before A16).
 * @param options Stride, padding, groups.
 * @returns `[1, Cout, (H + top + bottom - kH) / stride + 1, ..]`. Differentiable for stride 1 and one group.
 * @throws {UnsupportedOpError} for a larger batch or too wide a kernel.
 * @throws {ShapeError} when channels do not match or the kernel is larger than the padded image.
 * @example
 * ```ts
 * const y = dynamicConv(input([1, 3, 8, 8]), input([4, 3, 3, 3]), { pad: 1 }); // [1, 4, 8, 8]
 * ```
 */
export function dynamicConv(x: Tensor, weight: Tensor, options: DynamicConvOptions = {}): Tensor {
  if (!(weight instanceof Tensor)) throw new ArgumentError("dynamicConv: weight is not a Tensor; use conv for numbers");
  const { stride = 1, pad = 0, groups = 1 } = options;
  const border = typeof pad === "number" ? [pad, pad, pad, pad] : [...pad];
  return apply("dynamic_conv", [x, weight], { stride, pad: border, dilation: 1, groups });
}

/** Options of {@linkcode conv1d}. */
export interface Conv1dOptions {
  /** Step (default 1). */
  stride?: number;
  /** Zeros on both sides, or `[before, after]` (default 0). */
  pad?: number | readonly [before: number, after: number];
  /** Distance between kernel taps (default 1). */
  dilation?: number;
  /** Number of channel groups (default 1). */
  groups?: number;
  /** One number per output channel. */
  bias?: TensorData | null;
}

/**
 * 1-D convolution (cross-correlation) with a baked weight. The sequence runs along the width of an image, or, for kernels
 * wider than the device takes, along its height, which has no such limit.
 *
 * @param x `[N, Cin, L]`.
 * @param weight `[Cout, Cin/groups, k]`.
 * @param options Stride, padding, dilation, groups, bias.
 * @returns `[N, Cout, (L + before + after - dilation (k - 1) - 1) / stride + 1]`.
 * @throws {ShapeError} when channels do not match or the kernel is longer than the padded sequence.
 * @example
 * ```ts
 * const y = conv1d(input([1, 80, 3000]), weight, { pad: 1 }); // weight [384, 80, 3] gives [1, 384, 3000]
 * ```
 */
export function conv1d(x: Tensor, weight: TensorData, options: Conv1dOptions = {}): Tensor {
  const { pad: amount = 0, ...rest } = options;
  const kernel = weightArray("conv1d", "weight", weight);
  checkRank("conv1d", "x", x.shape, 3, "[N, C, L]");
  checkRank("conv1d", "weight", kernel.shape, 3, "[Cout, Cin/groups, k]");
  const [before, after] = typeof amount === "number" ? [amount, amount] : amount;
  const upright = kernel.shape[2]! > convKernelWidth(FLOOR_FAMILY);
  const [N, C, L] = x.shape as [number, number, number];
  const [outputs, inputs, k] = kernel.shape as [number, number, number];
  const image = conv(
    x.reshape(upright ? [N, C, L, 1] : [N, C, 1, L]),
    new NDArray(kernel.data, upright ? [outputs, inputs, k, 1] : [outputs, inputs, 1, k]),
    { ...rest, pad: upright ? [before, after, 0, 0] : [0, 0, before, after] },
  );
  return image.reshape(N, outputs, image.size / (N * outputs));
}

/** Options of {@linkcode conv3d}: as for {@linkcode conv}, with padding also in front of and behind the volume. */
export interface Conv3dOptions extends Omit<ConvOptions, "pad"> {
  /** Zeros on all six sides or `[front, back, top, bottom, left, right]` (default 0). */
  pad?: number | readonly [front: number, back: number, top: number, bottom: number, left: number, right: number];
}

/** [Cout, Cin/groups, kD, kH, kW] as [Cout, kD Cin/groups, kH, kW]. */
function flattenDepth(kernel: NDArray): NDArray {
  const [outputs, inputs, kD, kH, kW] = kernel.shape as [number, number, number, number, number];
  const tap = kH * kW;
  const result = new Float32Array(kernel.size);
  for (let o = 0; o < outputs; o++) {
    for (let c = 0; c < inputs; c++) {
      for (let t = 0; t < kD; t++) {
        const from = ((o * inputs + c) * kD + t) * tap;
        result.set(kernel.data.subarray(from, from + tap), ((o * kD + t) * inputs + c) * tap);
      }
    }
  }
  return new NDArray(result, [outputs, kD * inputs, kH, kW]);
}

/**
 * 3-D convolution (cross-correlation) with a baked weight. The depths a kernel reads become channels side by side, the
 * depths of the result become images of a batch, so that it is one 2-D convolution.
 *
 * @param x `[N, Cin, D, H, W]`.
 * @param weight `[Cout, Cin/groups, kD, kH, kW]`, kernel width at most 15 (13 before A16).
 * @param options Stride and dilation in all three directions, padding, groups, bias.
 * @returns `[N, Cout, (D + front + back - dilation (kD - 1) - 1) / stride + 1, ..]`.
 * @throws {ShapeError} when channels do not match or the kernel is larger than the padded volume.
 * @throws {UnsupportedOpError} when the kernel is too wide.
 * @example
 * ```ts
 * const y = conv3d(input([1, 2, 4, 8, 8]), weight, { pad: 1 }); // weight [3, 2, 3, 3, 3] gives [1, 3, 4, 8, 8]
 * ```
 */
export function conv3d(x: Tensor, weight: TensorData, options: Conv3dOptions = {}): Tensor {
  const { pad: amount = 0, stride = 1, dilation = 1, groups = 1, bias = null } = options;
  const kernel = weightArray("conv3d", "weight", weight);
  checkRank("conv3d", "x", x.shape, 5, "[N, C, D, H, W]");
  checkRank("conv3d", "weight", kernel.shape, 5, "[Cout, Cin/groups, kD, kH, kW]");
  checkInteger("conv3d", "stride", stride, 1);
  checkInteger("conv3d", "dilation", dilation, 1);
  const sides = typeof amount === "number" ? new Array<number>(6).fill(amount) : amount;
  const [front, back, top, bottom, left, right] = sides as [number, number, number, number, number, number];
  const padded = pad(x, [[front, back], [0, 0], [0, 0]]);
  const [N, C, D, H, W] = padded.shape as [number, number, number, number, number];
  const [outputs, inputs, kD] = kernel.shape as [number, number, number];
  if (inputs * groups !== C) {
    throw new ShapeError(
      `conv3d: x ${show(x.shape)} has ${C} channels; weight ${show(kernel.shape)} with ${groups} group(s) takes ${
        inputs * groups
      }`,
    );
  }
  const depth = Math.floor((D - dilation * (kD - 1) - 1) / stride) + 1;
  if (depth < 1) {
    throw new ShapeError(
      `conv3d: the kernel covers ${dilation * (kD - 1) + 1} of the padded depth ${D} of x ${show(x.shape)}`,
    );
  }
  const frames = padded.reshape(N, C, D, H * W).transpose([0, 2, 1, 3]).reshape(N, D, C * H * W);
  const taps = Array.from({ length: kD }, (_, t) => {
    const at = t * dilation;
    const read = stride === 1
      ? frames.sliceBySize([0, at, 0], [N, depth, C * H * W])
      : gather(frames, Array.from({ length: depth }, (_, d) => at + d * stride), 1);
    return read.reshape(N * depth, groups, inputs, H * W);
  });
  const image = concat(taps, 2).reshape(N * depth, kD * C, H, W);
  const y = conv(image, flattenDepth(kernel), { stride, pad: [top, bottom, left, right], dilation, groups, bias });
  const [, , outH, outW] = y.shape as [number, number, number, number];
  return y.reshape(N, depth, outputs, outH * outW).transpose([0, 2, 1, 3]).reshape(N, outputs, depth, outH, outW);
}

/** A weight `[Cout, Cin]` or `[Cout, Cin, 1, 1]` as the latter. */
function pointwise(op: string, weight: TensorData): NDArray {
  const array = weightArray(op, "weight", weight);
  if (array.rank === 2) return new NDArray(array.data, [...array.shape, 1, 1]);
  if (array.rank === 4 && array.shape[2] === 1 && array.shape[3] === 1) return array;
  throw new ShapeError(`${op}: weight has shape ${show(array.shape)}; expected [Cout, Cin] or [Cout, Cin, 1, 1]`);
}

/**
 * 1 x 1 convolution: a product over channels at every pixel.
 *
 * @param x `[N, Cin, H, W]`.
 * @param weight `[Cout, Cin]` or `[Cout, Cin, 1, 1]`.
 * @param bias `[Cout]`, or none.
 * @returns `[N, Cout, H, W]`.
 * @throws {ShapeError} when channels do not match.
 * @example
 * ```ts
 * conv1x1(input([1, 64, 8, 8]), weight); // weight [128, 64] gives [1, 128, 8, 8]
 * ```
 */
export function conv1x1(x: Tensor, weight: TensorData, bias: TensorData | null = null): Tensor {
  return conv(x, pointwise("conv1x1", weight), { bias });
}

/** Activations of the chains. */
export type ChainActivation = "relu" | "gelu" | "silu";

/**
 * 1 x 1 convolutions one after the other.
 *
 * @param x `[N, C, H, W]`.
 * @param weights One `[Cout, Cin]` per convolution.
 * @param activation Applied between them, not behind the last; none unless given.
 * @returns `[N, C of the last weight, H, W]`.
 * @throws {ShapeError} when channels do not match or no weight is given.
 * @example
 * ```ts
 * conv1x1Chain(x, [w1, w2, w3], "relu");
 * ```
 */
export function conv1x1Chain(x: Tensor, weights: readonly TensorData[], activation?: ChainActivation): Tensor {
  if (weights.length === 0) throw new ShapeError("conv1x1Chain: no weights given; expected at least one");
  return weights.reduce((h: Tensor, weight, i) => {
    const y = conv1x1(h, weight);
    return activation === undefined || i === weights.length - 1 ? y : y[activation]();
  }, x);
}

/**
 * {@linkcode conv1x1Chain} with the values weights have after quantisation to int8, one scale per output channel. Compiled
 * with int8 compression the weights are stored so, without further loss.
 *
 * @param x `[N, C, H, W]`.
 * @param weights One `[Cout, Cin]` per convolution.
 * @param activation Applied between them, not behind the last; none unless given.
 * @returns `[N, C of the last weight, H, W]`.
 * @throws {ShapeError} when channels do not match or no weight is given.
 * @example
 * ```ts
 * conv1x1Int8Chain(x, [w1, w2], "relu");
 * ```
 */
export function conv1x1Int8Chain(x: Tensor, weights: readonly TensorData[], activation?: ChainActivation): Tensor {
  return conv1x1Chain(x, weights.map((w) => quantizeRows(pointwise("conv1x1Int8Chain", w))), activation);
}

/**
 * Convolution, then max(x, 0).
 *
 * @param x `[N, Cin, H, W]`.
 * @param weight `[Cout, Cin/groups, kH, kW]`.
 * @param options As for {@linkcode conv}.
 * @returns As {@linkcode conv}.
 * @throws As {@linkcode conv}.
 * @example
 * ```ts
 * convRelu(image, weight, { pad: 1 });
 * ```
 */
export function convRelu(x: Tensor, weight: TensorData, options: ConvOptions = {}): Tensor {
  return conv(x, weight, options).relu();
}

/**
 * Convolution, then GELU.
 *
 * @param x `[N, Cin, H, W]`.
 * @param weight `[Cout, Cin/groups, kH, kW]`.
 * @param options As for {@linkcode conv}.
 * @returns As {@linkcode conv}.
 * @throws As {@linkcode conv}.
 * @example
 * ```ts
 * convGelu(image, weight, { stride: 2 });
 * ```
 */
export function convGelu(x: Tensor, weight: TensorData, options: ConvOptions = {}): Tensor {
  return conv(x, weight, options).gelu();
}

/** A convolution that includes a batch normalisation. */
export interface FoldedConv {
  /** Weight, each output channel multiplied by gamma / sqrt(variance + eps). */
  weight: NDArray;
  /** beta + (bias - mean) gamma / sqrt(variance + eps). */
  bias: NDArray;
}

/**
 * Folds the batch normalisation behind a convolution into its weight and bias.
 *
 * @param weight `[Cout, ..]`.
 * @param bias `[Cout]`, or none.
 * @param norm Statistics and affine, `[Cout]` each.
 * @returns Weight and bias of one convolution with the same result.
 * @throws {ShapeError} when a vector does not have one number per output channel.
 * @throws {ArgumentError} when a variance is not positive after eps is added.
 * @example
 * ```ts
 * const folded = foldBatchNorm(weight, null, { gamma, beta, mean, variance });
 * conv(x, folded.weight, { bias: folded.bias });
 * ```
 */
export function foldBatchNorm(weight: TensorData, bias: TensorData | null, norm: BatchNorm): FoldedConv {
  const kernel = weightArray("foldBatchNorm", "weight", weight);
  const channels = kernel.shape[0] ?? 0;
  const vector = (label: string, data: TensorData): Float32Array => {
    const array = weightArray("foldBatchNorm", label, data);
    if (array.rank === 1 && array.size === channels) return array.data;
    throw new ShapeError(
      `foldBatchNorm: ${label} has shape ${show(array.shape)}; weight ${
        show(kernel.shape)
      } gives ${channels} channels, ` +
        `so expected [${channels}]`,
    );
  };
  const [gamma, beta] = [vector("gamma", norm.gamma), vector("beta", norm.beta)];
  const [mean, variance] = [vector("mean", norm.mean), vector("variance", norm.variance)];
  const offset = bias === null ? new Float32Array(channels) : vector("bias", bias);
  const eps = norm.eps ?? 1e-5;
  const factors = Array.from(gamma, (g, c) => {
    if (variance[c]! + eps > 0) return g / Math.sqrt(variance[c]! + eps);
    throw new ArgumentError(`foldBatchNorm: variance[${c}] + eps is ${variance[c]! + eps}; expected a positive number`);
  });
  const row = kernel.size / channels;
  return {
    weight: new NDArray(kernel.data.map((v, i) => v * factors[Math.floor(i / row)]!), kernel.shape),
    bias: new NDArray(offset.map((b, c) => beta[c]! + (b - mean[c]!) * factors[c]!), [channels]),
  };
}

function folded(op: string, x: Tensor, weight: TensorData, norm: BatchNorm): Tensor {
  const { weight: w, bias } = foldBatchNorm(pointwise(op, weight), null, norm);
  return conv(x, w, { bias });
}

/**
 * 1 x 1 convolution, batch normalisation (folded into the weight), max(x, 0).
 *
 * @param x `[N, Cin, H, W]`.
 * @param weight `[Cout, Cin]`.
 * @param norm Statistics and affine, `[Cout]` each.
 * @returns `[N, Cout, H, W]`.
 * @throws {ShapeError} when channels do not match.
 * @example
 * ```ts
 * conv1x1BatchNormRelu(x, weight, { gamma, beta, mean, variance });
 * ```
 */
export function conv1x1BatchNormRelu(x: Tensor, weight: TensorData, norm: BatchNorm): Tensor {
  return folded("conv1x1BatchNormRelu", x, weight, norm).relu();
}

/**
 * 1 x 1 convolution, batch normalisation (folded into the weight), x * sigmoid(x).
 *
 * @param x `[N, Cin, H, W]`.
 * @param weight `[Cout, Cin]`.
 * @param norm Statistics and affine, `[Cout]` each.
 * @returns `[N, Cout, H, W]`.
 * @throws {ShapeError} when channels do not match.
 * @example
 * ```ts
 * conv1x1BatchNormSilu(x, weight, { gamma, beta, mean, variance });
 * ```
 */
export function conv1x1BatchNormSilu(x: Tensor, weight: TensorData, norm: BatchNorm): Tensor {
  return folded("conv1x1BatchNormSilu", x, weight, norm).silu();
}

/**
 * The end of a residual block: max(conv1x1(x) + residual, 0).
 *
 * @param x `[N, Cin, H, W]`.
 * @param weight `[Cout, Cin]`.
 * @param residual `[N, Cout, H, W]`.
 * @param bias `[Cout]`, or none.
 * @returns `[N, Cout, H, W]`.
 * @throws {ShapeError} when channels do not match.
 * @example
 * ```ts
 * conv1x1AddRelu(h, weight, x);
 * ```
 */
export function conv1x1AddRelu(
  x: Tensor,
  weight: TensorData,
  residual: Tensor,
  bias: TensorData | null = null,
): Tensor {
  const y = conv(x, pointwise("conv1x1AddRelu", weight), { bias });
  checkResidual("conv1x1AddRelu", y, residual);
  return y.add(residual).relu();
}

/**
 * The end of a residual block whose shortcut changes the number of channels: conv1x1(x, weight) + conv1x1(residual,
 * projection).
 *
 * @param x `[N, Cin, H, W]`.
 * @param weight `[Cout, Cin]`.
 * @param residual `[N, Cres, H, W]`.
 * @param projection `[Cout, Cres]`.
 * @returns `[N, Cout, H, W]`.
 * @throws {ShapeError} when channels do not match.
 * @example
 * ```ts
 * conv1x1ProjectAdd(h, weight, x, projection);
 * ```
 */
export function conv1x1ProjectAdd(
  x: Tensor,
  weight: TensorData,
  residual: Tensor,
  projection: TensorData,
): Tensor {
  const y = conv(x, pointwise("conv1x1ProjectAdd", weight));
  const shortcut = conv(residual, pointwise("conv1x1ProjectAdd", projection));
  checkResidual("conv1x1ProjectAdd", y, shortcut);
  return y.add(shortcut);
}

function checkResidual(op: string, y: Tensor, residual: Tensor): void {
  if (sameShape(y.shape, residual.shape)) return;
  throw new ShapeError(
    `${op}: the convolution gives ${show(y.shape)}, the shortcut is ${show(residual.shape)}; expected the same`,
  );
}
