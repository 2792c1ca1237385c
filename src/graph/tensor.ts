/**
 * The graph: tensors are nodes, methods add nodes. Nothing is computed until a graph is compiled.
 *
 * @module
 */

import { ArgumentError, DtypeError, ShapeError, UnsupportedOpError } from "../errors.ts";
import { OPS } from "../ops/all.ts";
import { checkRecord, describe } from "./check.ts";
import type { Dtype, PortDtype } from "./dtype.ts";
import { NDArray, type TensorData, transposeLast, weightArray } from "./ndarray.ts";
import type { OpDef } from "./op.ts";
import { checkRank, checkShape, normalizeAxis, type Shape, show, sizeOf } from "./shape.ts";
import { type SliceRange, sliceWindow } from "./slice.ts";

export type { Dtype, PortDtype } from "./dtype.ts";
export type { Shape } from "./shape.ts";
export type { SliceRange } from "./slice.ts";

/** Second operand of an elementwise operation: a computed value, or numbers that are baked into the program. */
export type Operand = Tensor | TensorData;

/** One axis or several, negative ones counted from the end. */
export type Axes = number | readonly number[];

/** Options of the reductions. */
export interface ReduceOptions {
  /** Keep the reduced axes with extent 1 (default `true`). With `false` a reshape follows. */
  keepDims?: boolean;
}

/** Options of {@linkcode Tensor.maxPool}. */
export interface PoolOptions {
  /** Step in both directions (default: the kernel). */
  stride?: number;
  /** Border on all four sides (default 0). */
  pad?: number;
  /** Let a last window reach beyond the border (default `false`). */
  ceilMode?: boolean;
}

/** Options of {@linkcode Tensor.avgPool}. */
export interface AvgPoolOptions extends PoolOptions {
  /** Leave the border out of the mean (default `false`). */
  excludePad?: boolean;
}

let created = 0;

/**
 * A node of the graph: the value an operation will give. Immutable.
 *
 * @example
 * ```ts
 * const x = input([1, 8]);
 * const y = x.mul(2).relu().sum(-1); // shape [1, 1]
 * ```
 */
export class Tensor {
  /** Creation number, unique in the process. */
  readonly id: number;
  /** Name of the operation. */
  readonly op: string;
  /** Extents. */
  readonly shape: Shape;
  /** Element type. */
  readonly dtype: Dtype;
  /** Operands. */
  readonly inputs: readonly Tensor[];
  /** Attributes of the operation; which ones is said in its definition. */
  readonly attrs: Readonly<Record<string, unknown>>;

  /**
   * Makes a node without any check. Use {@linkcode input} and the methods instead.
   *
   * @param op Name of the operation.
   * @param shape Extents.
   * @param dtype Element type.
   * @param inputs Operands.
   * @param attrs Attributes.
   */
  constructor(
    op: string,
    shape: Shape,
    dtype: Dtype,
    inputs: readonly Tensor[],
    attrs: Readonly<Record<string, unknown>>,
  ) {
    this.id = created++;
    this.op = op;
    this.shape = shape;
    this.dtype = dtype;
    this.inputs = inputs;
    this.attrs = attrs;
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return sizeOf(this.shape);
  }

  // Elementwise functions.

  /** max(x, 0). */
  relu(): Tensor {
    return apply("relu", [this]);
  }

  /** min(max(x, 0), 6). */
  relu6(): Tensor {
    return apply("relu6", [this]);
  }

  /** 0.5 x (1 + erf(x / sqrt 2)), the exact form. */
  gelu(): Tensor {
    return apply("gelu", [this]);
  }

  /** x * sigmoid(x). */
  silu(): Tensor {
    return apply("silu", [this]);
  }

  /** 1 / (1 + exp(-x)). */
  sigmoid(): Tensor {
    return apply("sigmoid", [this]);
  }

  /** Hyperbolic tangent. */
  tanh(): Tensor {
    return apply("tanh", [this]);
  }

  /** e^x; infinite from 11.09 on. */
  exp(): Tensor {
    return apply("exp", [this]);
  }

  /** 2^x; infinite from 16 on. */
  exp2(): Tensor {
    return apply("exp2", [this]);
  }

  /** Square root. */
  sqrt(): Tensor {
    return apply("sqrt", [this]);
  }

  /** Magnitude. The gradient at 0 is that of the negative side, -1. */
  abs(): Tensor {
    return apply("abs", [this]);
  }

  /** x * x; infinite from 256 on. */
  square(): Tensor {
    return apply("square", [this]);
  }

  /** Sine. Families before A15 (M1, M2) use a polynomial that holds for -pi/2 to pi/2. */
  sin(): Tensor {
    return apply("sin", [this]);
  }

  /** Cosine. Families before A15 (M1, M2) use a polynomial that holds for -pi/2 to pi/2. */
  cos(): Tensor {
    return apply("cos", [this]);
  }

  /** Arc tangent. */
  atan(): Tensor {
    return apply("atan", [this]);
  }

  /** Error function. */
  erf(): Tensor {
    return apply("erf", [this]);
  }

  /** ln(1 + e^x), for all x (the native operation fails from 11.09 on and is not used there). */
  softplus(): Tensor {
    return apply("softplus", [this]);
  }

  /** x / (1 + |x|). */
  softsign(): Tensor {
    return apply("softsign", [this]);
  }

  /** Largest integer not above x. No gradient. */
  floor(): Tensor {
    return apply("floor", [this]);
  }

  /** Smallest integer not below x. No gradient. */
  ceil(): Tensor {
    return apply("ceil", [this]);
  }

  /** Nearest integer, for all x (the native operation fails from 1024 on and is not used there). No gradient. */
  round(): Tensor {
    return apply("round", [this]);
  }

  /** -1, 0 or 1. No gradient. */
  sign(): Tensor {
    return apply("sign", [this]);
  }

  /** -x. */
  neg(): Tensor {
    return this.muls(-1);
  }

  /**
   * ln(x + eps).
   *
   * @param eps Added to x; below 3e-8 it is 0 in fp16 (default 0).
   */
  log(eps = 0): Tensor {
    return apply("log", [this], { eps });
  }

  /**
   * 1 / sqrt(x + eps).
   *
   * @param eps Added to x; below 3e-8 it is 0 in fp16 (default 0).
   */
  rsqrt(eps = 0): Tensor {
    return apply("rsqrt", [this], { eps });
  }

  /**
   * 1 / (x + eps).
   *
   * @param eps Added to x; below 3e-8 it is 0 in fp16 (default 0).
   */
  inverse(eps = 0): Tensor {
    return apply("inverse", [this], { eps });
  }

  /**
   * x > 0 ? x : alpha (e^x - 1).
   *
   * @param alpha Limit on the negative side, negated (default 1).
   */
  elu(alpha = 1): Tensor {
    return apply("elu", [this], { alpha });
  }

  /**
   * x >= 0 ? x : alpha x.
   *
   * @param alpha Slope on the negative side (default 0.01).
   */
  leakyRelu(alpha = 0.01): Tensor {
    return apply("leaky_relu", [this], { alpha });
  }

  /**
   * min(max(x, lo), hi). The gradient is 1 where lo < x <= hi.
   *
   * @param lo Lower bound.
   * @param hi Upper bound, at least `lo`.
   * @throws {ArgumentError} when `lo` is above `hi`.
   */
  clip(lo: number, hi: number): Tensor {
    return apply("clip", [this], { lo, hi });
  }

  /**
   * Another name of {@linkcode Tensor.clip}.
   *
   * @param lo Lower bound.
   * @param hi Upper bound.
   */
  clamp(lo: number, hi: number): Tensor {
    return this.clip(lo, hi);
  }

  /**
   * alpha tanh(beta x).
   *
   * @param alpha Factor outside (default 1).
   * @param beta Factor inside (default 1).
   */
  scaledTanh(alpha = 1, beta = 1): Tensor {
    return apply("scaled_tanh", [this], { alpha, beta });
  }

  /**
   * max(x, alpha).
   *
   * @param alpha Lower bound (default 0).
   */
  threshold(alpha = 0): Tensor {
    return apply("threshold", [this], { alpha });
  }

  /**
   * x >= alpha ? x : 0.
   *
   * @param alpha Smallest value let through (default 1).
   */
  thresholdedRelu(alpha = 1): Tensor {
    return apply("thresholded_relu", [this], { alpha });
  }

  /**
   * min(beta, x >= 0 ? x : alpha x).
   *
   * @param alpha Slope on the negative side (default 0).
   * @param beta Upper bound (default 6).
   */
  clampedRelu(alpha = 0, beta = 6): Tensor {
    return apply("clamped_relu", [this], { alpha, beta });
  }

  /**
   * min(max(alpha x + beta, 0), 1).
   *
   * @param alpha Slope (default 0.2).
   * @param beta Value at 0 (default 0.5).
   */
  sigmoidHard(alpha = 0.2, beta = 0.5): Tensor {
    return apply("sigmoid_hard", [this], { alpha, beta });
  }

  /**
   * alpha x + beta.
   *
   * @param alpha Slope (default 1).
   * @param beta Value at 0 (default 0).
   */
  linearActivation(alpha = 1, beta = 0): Tensor {
    return apply("linear_activation", [this], { alpha, beta });
  }

  /**
   * x > 0 ? x : alpha[c] x, one slope per channel (axis 1) of a tensor of rank 3 or more.
   *
   * @param alpha `[C]` numbers, baked; or a tensor that broadcasts (`[1, C, 1, 1]`), which can be trained.
   * @throws {ShapeError} when there is not one slope per channel.
   */
  prelu(alpha: Operand): Tensor {
    if (!(alpha instanceof Tensor)) return apply("prelu", [this], { alpha: weightArray("prelu", "alpha", alpha) });
    const positive = this.relu();
    return positive.add(alpha.mul(this.sub(positive)));
  }

  // Elementwise operations of two operands.

  /**
   * x + b, broadcast.
   *
   * @param b Tensor, or numbers to bake in.
   * @throws {ShapeError} when the shapes do not broadcast.
   * @example
   * ```ts
   * input([2, 3]).add(input([3])); // [2, 3]
   * ```
   */
  add(b: Operand): Tensor {
    return apply("add", [this, operand("add", b)]);
  }

  /**
   * x - b, broadcast.
   *
   * @param b Tensor, or numbers to bake in.
   * @throws {ShapeError} when the shapes do not broadcast.
   */
  sub(b: Operand): Tensor {
    return apply("sub", [this, operand("sub", b)]);
  }

  /**
   * x * b, broadcast. A plain number becomes a scalar factor of the operation, see {@linkcode Tensor.muls}.
   *
   * @param b Tensor, number, or numbers to bake in.
   * @throws {ShapeError} when the shapes do not broadcast.
   */
  mul(b: Operand): Tensor {
    return typeof b === "number" ? this.muls(b) : apply("mul", [this, operand("mul", b)]);
  }

  /**
   * x / b, broadcast.
   *
   * @param b Tensor, or numbers to bake in.
   * @throws {ShapeError} when the shapes do not broadcast.
   */
  div(b: Operand): Tensor {
    return apply("real_div", [this, operand("div", b)]);
  }

  /**
   * x to the power of b, broadcast.
   *
   * @param b Tensor, or numbers to bake in.
   * @throws {ShapeError} when the shapes do not broadcast.
   */
  pow(b: Operand): Tensor {
    return apply("pow", [this, operand("pow", b)]);
  }

  /**
   * The larger of x and b, broadcast. Where they are equal each gets half of the gradient.
   *
   * @param b Tensor, or numbers to bake in.
   * @throws {ShapeError} when the shapes do not broadcast.
   */
  maximum(b: Operand): Tensor {
    return apply("maximum", [this, operand("maximum", b)]);
  }

  /**
   * The smaller of x and b, broadcast. Where they are equal each gets half of the gradient.
   *
   * @param b Tensor, or numbers to bake in.
   * @throws {ShapeError} when the shapes do not broadcast.
   */
  minimum(b: Operand): Tensor {
    return apply("minimum", [this, operand("minimum", b)]);
  }

  /**
   * x + k as an operation with a scalar parameter.
   *
   * @param k The number added, rounded to fp16.
   */
  adds(k: number): Tensor {
    return apply("adds", [this], { k });
  }

  /**
   * x * k as an operation with a scalar parameter.
   *
   * @param k The factor, rounded to fp16.
   */
  muls(k: number): Tensor {
    return apply("muls", [this], { k });
  }

  /**
   * x > b, a bool tensor for {@linkcode Tensor.select}.
   *
   * @param b Tensor, or numbers to bake in.
   */
  greater(b: Operand): Tensor {
    return apply("greater", [this, operand("greater", b)]);
  }

  /**
   * x < b, a bool tensor for {@linkcode Tensor.select}.
   *
   * @param b Tensor, or numbers to bake in.
   */
  less(b: Operand): Tensor {
    return apply("less", [this, operand("less", b)]);
  }

  /**
   * x = b, a bool tensor for {@linkcode Tensor.select}.
   *
   * @param b Tensor, or numbers to bake in.
   */
  equal(b: Operand): Tensor {
    return apply("equal", [this, operand("equal", b)]);
  }

  /**
   * x differs from b, a bool tensor for {@linkcode Tensor.select}.
   *
   * @param b Tensor, or numbers to bake in.
   */
  notEqual(b: Operand): Tensor {
    return apply("not_equal", [this, operand("notEqual", b)]);
  }

  /**
   * x <= b, a bool tensor for {@linkcode Tensor.select}.
   *
   * @param b Tensor, or numbers to bake in.
   */
  lessEqual(b: Operand): Tensor {
    return apply("less_equal", [this, operand("lessEqual", b)]);
  }

  /**
   * x >= b, a bool tensor for {@linkcode Tensor.select}.
   *
   * @param b Tensor, or numbers to bake in.
   */
  greaterEqual(b: Operand): Tensor {
    return apply("greater_equal", [this, operand("greaterEqual", b)]);
  }

  /**
   * The opposite of a bool tensor.
   *
   * @throws {DtypeError} when this is not bool.
   */
  logicalNot(): Tensor {
    return apply("logical_not", [this]);
  }

  /**
   * `a` where this bool tensor is true, else `b`; all three broadcast.
   *
   * @param a Tensor, or numbers to bake in.
   * @param b Tensor, or numbers to bake in.
   * @throws {DtypeError} when this is not bool.
   * @example
   * ```ts
   * x.greater(0).select(x, 0); // max(x, 0)
   * ```
   */
  select(a: Operand, b: Operand): Tensor {
    return apply("select", [this, operand("select", a), operand("select", b)]);
  }

  /**
   * An integer input as fp16.
   *
   * @param dtype Element type of the result.
   */
  cast(dtype: "fp16" = "fp16"): Tensor {
    if (dtype !== "fp16") throw new DtypeError(`cast: dtype is ${dtype}; the device computes in fp16 only`);
    return apply("cast", [this], { dtype });
  }

  // Matrix products.

  /**
   * Matrix product. With numbers the weight is baked in and streamed; with a tensor both sides are computed
   * ({@linkcode Tensor.bmm}).
   *
   * @param w `[K, N]` numbers, or a tensor `[.., K, N]`.
   * @returns `[.., N]` for x `[.., K]`.
   * @throws {ShapeError} when the inner extents differ.
   * @throws {DtypeError} when the weight is an integer array.
   * @example
   * ```ts
   * input([2, 3]).matmul([[1, 0], [0, 1], [1, 1]]); // [2, 2]
   * ```
   */
  matmul(w: Operand): Tensor {
    if (w instanceof Tensor) return this.bmm(w);
    const weight = weightArray("matmul", "w", w);
    checkRank("matmul", "w", weight.shape, 2, "[K, N]");
    return apply("matmul", [this], { weight: transposeLast(weight), bias: null });
  }

  /**
   * Fully connected layer: x times the transpose of w, plus a bias.
   *
   * @param w `[out, in]` numbers.
   * @param bias `[out]` numbers.
   * @returns `[.., out]` for x `[.., in]`.
   * @throws {ShapeError} when extents differ.
   * @throws {DtypeError} when weight or bias is an integer array.
   */
  linear(w: TensorData, bias: TensorData | null = null): Tensor {
    const weight = weightArray("linear", "w", w);
    checkRank("linear", "w", weight.shape, 2, "[out, in]");
    return apply("matmul", [this], { weight, bias: bias === null ? null : weightArray("linear", "bias", bias) });
  }

  /**
   * Product of two computed matrices; leading axes broadcast.
   *
   * @param y `[.., K, N]`.
   * @returns `[.., M, N]` for x `[.., M, K]`.
   * @throws {ShapeError} when the inner extents differ or the leading axes do not broadcast.
   */
  bmm(y: Tensor): Tensor {
    return apply("bmm", [this, y]);
  }

  /**
   * Batched product with a baked weight.
   *
   * @param w `[B, K, N]` numbers.
   * @returns `[B, M, N]` for x `[B, M, K]`.
   * @throws {ShapeError} when extents differ.
   * @throws {DtypeError} when the weight is an integer array.
   */
  bmmWeight(w: TensorData): Tensor {
    const weight = weightArray("bmmWeight", "w", w);
    checkRank("bmmWeight", "w", weight.shape, 3, "[B, K, N]");
    return apply("bmm_w", [this], { weight });
  }

  /**
   * Running sums along the last axis: a product with a triangle of ones, since the device has no cumulative sum.
   *
   * @param axis The last axis, as -1 or rank - 1 (default -1).
   * @returns A tensor shaped like this one.
   * @throws {UnsupportedOpError} for another axis; transpose first.
   * @example
   * ```ts
   * input([2, 4]).cumsum(); // [1, 2, 3, 4] gives [1, 3, 6, 10]
   * ```
   */
  cumsum(axis = -1): Tensor {
    const last = this.rank - 1;
    if (normalizeAxis("cumsum", axis, this.shape) !== last) {
      throw new UnsupportedOpError(
        `cumsum: axis ${axis} of ${show(this.shape)} is not the last one, ${last}; transpose it there first`,
      );
    }
    const n = this.shape[last]!;
    const triangle = new Float32Array(n * n);
    for (let row = 0; row < n; row++) triangle.fill(1, row * n, row * n + row + 1);
    return apply("matmul", [this], { weight: new NDArray(triangle, [n, n]), bias: null });
  }

  // Reductions.

  /**
   * Sum over axes.
   *
   * @param axes Axes to reduce (default: all).
   * @param options Whether to keep the axes.
   * @throws {ShapeError} when an axis does not exist.
   */
  sum(axes?: Axes, options?: ReduceOptions): Tensor {
    return reduce("reduce_sum", this, axes, options);
  }

  /**
   * Mean over axes.
   *
   * @param axes Axes to reduce (default: all).
   * @param options Whether to keep the axes.
   */
  mean(axes?: Axes, options?: ReduceOptions): Tensor {
    return reduce("reduce_mean", this, axes, options);
  }

  /**
   * Largest element over axes. Elements that tie share the gradient evenly.
   *
   * @param axes Axes to reduce (default: all).
   * @param options Whether to keep the axes.
   */
  amax(axes?: Axes, options?: ReduceOptions): Tensor {
    return reduce("reduce_max", this, axes, options);
  }

  /**
   * Smallest element over axes. Elements that tie share the gradient evenly.
   *
   * @param axes Axes to reduce (default: all).
   * @param options Whether to keep the axes.
   */
  amin(axes?: Axes, options?: ReduceOptions): Tensor {
    return reduce("reduce_min", this, axes, options);
  }

  /**
   * Sum of magnitudes over axes.
   *
   * @param axes Axes to reduce (default: all).
   * @param options Whether to keep the axes.
   */
  l1Norm(axes?: Axes, options?: ReduceOptions): Tensor {
    return reduce("reduce_l1_norm", this, axes, options);
  }

  /**
   * ln of the sum over axes.
   *
   * @param axes Axes to reduce (default: all).
   * @param options Whether to keep the axes.
   */
  logSum(axes?: Axes, options?: ReduceOptions): Tensor {
    return reduce("reduce_log_sum", this, axes, options);
  }

  /**
   * Sum of squares over axes.
   *
   * @param axes Axes to reduce (default: all).
   * @param options Whether to keep the axes.
   */
  sumSquare(axes?: Axes, options?: ReduceOptions): Tensor {
    return reduce("reduce_sum_square", this, axes, options);
  }

  /**
   * ln of the sum of exponentials over axes.
   *
   * @param axes Axes to reduce (default: all).
   * @param options Whether to keep the axes.
   */
  reduceLogSumExp(axes?: Axes, options?: ReduceOptions): Tensor {
    return reduce("reduce_log_sum_exp", this, axes, options);
  }

  // Normalisation.

  /**
   * exp(x) / sum(exp(x)) along one axis.
   *
   * @param axis The axis that sums to 1 (default the last).
   */
  softmax(axis = -1): Tensor {
    return apply("softmax", [this], { axis });
  }

  /**
   * ln(softmax(x)) along one axis: x - max(x), minus ln(sum(exp)). The maximum is a constant to backward, because the
   * result does not depend on it.
   *
   * @param axis The axis normalised (default the last).
   */
  logSoftmax(axis = -1): Tensor {
    const shifted = this.sub(apply("reduce_max", [this], { axes: [axis], detached: true }));
    return shifted.sub(shifted.exp().sum(axis).log());
  }

  /**
   * x / max(|x|, sqrt(eps)) along one axis; eps is a floor under the norm.
   *
   * @param axis The axis whose norm becomes 1 (default the last).
   * @param eps Square of the smallest norm divided by (default 1e-12).
   */
  l2Norm(axis = -1, eps = 1e-12): Tensor {
    return apply("l2_norm", [this], { axis, eps });
  }

  /**
   * x / max(rms(x), sqrt(eps)) * gamma over the rows of `[M, D]`; eps is a floor under the root mean square.
   *
   * @param gamma Gain `[D]`: numbers to bake in, or a tensor (`[D]` or `[1, D]`), which can be trained.
   * @param eps Square of the smallest root mean square divided by (default 1e-5).
   * @throws {ShapeError} when x is not `[M, D]` or the gain does not fit.
   */
  rmsNorm(gamma: Operand, eps = 1e-5): Tensor {
    if (!(gamma instanceof Tensor)) {
      return apply("rms_norm", [this], { gamma: weightArray("rmsNorm", "gamma", gamma), eps });
    }
    return apply("rms_norm", [this], { gamma: columns("rmsNorm", this, 1), eps }).mul(gamma);
  }

  /**
   * (x - mean) / sqrt(variance + eps) * gamma + beta over the rows of `[M, D]`.
   *
   * @param gamma Gain `[D]`: numbers to bake in, or a tensor (`[D]` or `[1, D]`), which can be trained.
   * @param beta Offset `[D]`, numbers or a tensor like gamma.
   * @param eps Added to the variance (default 1e-5).
   * @throws {ShapeError} when x is not `[M, D]` or gain or offset do not fit.
   * @throws {ArgumentError} when only one of gain and offset is a tensor.
   */
  layerNorm(gamma: Operand, beta: Operand, eps = 1e-5): Tensor {
    if (gamma instanceof Tensor && beta instanceof Tensor) {
      const affine = { gamma: columns("layerNorm", this, 1), beta: columns("layerNorm", this, 0) };
      return apply("layer_norm", [this], { ...affine, eps }).mul(gamma).add(beta);
    }
    if (gamma instanceof Tensor || beta instanceof Tensor) {
      throw new ArgumentError("layerNorm: gamma and beta must both be tensors or both be numbers");
    }
    const affine = {
      gamma: weightArray("layerNorm", "gamma", gamma),
      beta: weightArray("layerNorm", "beta", beta),
    };
    return apply("layer_norm", [this], { ...affine, eps });
  }

  /**
   * Normalises the channels of every position: (x - mean) / sqrt(variance + eps) * gamma + beta.
   *
   * @param gamma Gain `[C]`, or a trainable tensor `[1, C, 1, 1]`.
   * @param beta Offset `[C]`, or a trainable tensor `[1, C, 1, 1]`; of the same kind as gamma.
   * @param eps Added to the variance (default 1e-5).
   * @returns A tensor shaped like this one, which is `[N, C, 1, S]`.
   * @throws {ShapeError} when the shape is another.
   * @throws {ArgumentError} when one of gamma and beta is a tensor and the other is not.
   * @example
   * ```ts
   * const y = input([1, 64, 1, 128]).channelLayerNorm(gamma, beta);
   * ```
   */
  channelLayerNorm(gamma: Operand, beta: Operand, eps = 1e-5): Tensor {
    return channelAffine("channel_layer_norm", "channelLayerNorm", this, gamma, beta, { eps });
  }

  /**
   * Normalises each group of channels: (x - mean) / sqrt(variance + eps) * gamma + beta.
   *
   * @param gamma Gain `[C]`, or a trainable tensor `[1, C, 1, 1]`.
   * @param beta Offset `[C]`, or a trainable tensor `[1, C, 1, 1]`; of the same kind as gamma.
   * @param numGroups Number of groups; divides C.
   * @param eps Added to the variance (default 1e-5).
   * @returns A tensor shaped like this one, which is `[1, C, H, W]`.
   * @throws {ShapeError} when the shape is another, or groups do not divide the channels.
   * @throws {ArgumentError} when one of gamma and beta is a tensor and the other is not.
   * @example
   * ```ts
   * const y = input([1, 8, 16, 16]).groupNorm(gamma, beta, 4);
   * ```
   */
  groupNorm(gamma: Operand, beta: Operand, numGroups: number, eps = 1e-5): Tensor {
    return channelAffine("group_norm", "groupNorm", this, gamma, beta, { groups: numGroups, eps });
  }

  // Pooling and upsampling of [N, C, H, W].

  /**
   * Largest element of square windows of `[N, C, H, W]`.
   *
   * @param kernel Extent of the window.
   * @param options Stride, border, rounding.
   * @throws {ShapeError} when the window is larger than the image with its border.
   */
  maxPool(kernel: number, options: PoolOptions = {}): Tensor {
    const { stride, pad = 0, ceilMode = false } = checkRecord("maxPool", "options", options);
    return apply("max_pool", [this], { kernel, stride: stride || kernel, pad, ceilMode });
  }

  /**
   * Mean of square windows of `[N, C, H, W]`. The border counts as zeros unless `excludePad` is set.
   *
   * @param kernel Extent of the window.
   * @param options Stride, border, rounding.
   * @throws {ShapeError} when the window is larger than the image with its border.
   */
  avgPool(kernel: number, options: AvgPoolOptions = {}): Tensor {
    const { stride, pad = 0, ceilMode = false, excludePad = false } = checkRecord("avgPool", "options", options);
    return apply("avg_pool", [this], { kernel, stride: stride || kernel, pad, ceilMode, excludePad });
  }

  /**
   * Root of the sum of squares of each window.
   *
   * @param kernel Extent of the square window.
   * @param options Step (default: the kernel), border of zeros, `ceilMode`.
   * @returns `[N, C, (H + 2 pad - kernel) / stride + 1, ..]`. Elements from 256 on overflow when squared.
   * @throws {ShapeError} when the tensor is not of rank 4 or smaller than a window.
   * @example
   * ```ts
   * input([1, 8, 16, 16]).l2Pool(2); // [1, 8, 8, 8]
   * ```
   */
  l2Pool(kernel: number, options: PoolOptions = {}): Tensor {
    return this.square().avgPool(kernel, options).muls(kernel * kernel).sqrt();
  }

  /**
   * Every pixel of `[N, C, H, W]` repeated `scale` times in both directions.
   *
   * @param scale Factor (default 2).
   */
  upsample(scale = 2): Tensor {
    return apply("upsample", [this], { scale });
  }

  // Shape.

  /**
   * The same elements, row-major, in another shape.
   *
   * @param shape The new extents, as one list or as separate arguments; one may be -1.
   * @throws {ShapeError} when the number of elements differs.
   * @example
   * ```ts
   * input([2, 3, 4]).reshape(2, -1); // [2, 12]
   * ```
   */
  reshape(...shape: readonly number[] | [Shape]): Tensor {
    const extents = Array.isArray(shape[0]) ? shape[0] : shape;
    return apply("reshape", [this], { shape: extents });
  }

  /**
   * Axes in another order.
   *
   * @param perm Result axis i is axis `perm[i]` of x; as one list or as separate arguments.
   * @throws {ShapeError} when an axis is missing or named twice.
   */
  transpose(...perm: readonly number[] | [readonly number[]]): Tensor {
    return apply("transpose", [this], { perm: Array.isArray(perm[0]) ? perm[0] : perm });
  }

  /**
   * Removes axes of extent 1.
   *
   * @param axes Axes to remove.
   * @throws {ShapeError} when an extent is not 1.
   */
  squeeze(axes: Axes): Tensor {
    return apply("squeeze", [this], { axes: listed(axes) });
  }

  /**
   * Adds axes of extent 1.
   *
   * @param axes Positions in the result.
   * @throws {ShapeError} when a position does not exist or is named twice.
   */
  expandDims(axes: Axes): Tensor {
    return apply("expand_dims", [this], { axes: listed(axes) });
  }

  /**
   * Two axes: the product of the extents before `axis` and that of the others.
   *
   * @param axis First axis of the second group (default 1).
   */
  flatten2d(axis = 1): Tensor {
    return apply("flatten2d", [this], { axis });
  }

  /**
   * A window.
   *
   * @param begin First index per axis.
   * @param size Extents of the window.
   * @throws {ShapeError} when the window leaves the tensor.
   */
  sliceBySize(begin: readonly number[], size: Shape): Tensor {
    return apply("slice_by_size", [this], { begin, size });
  }

  /**
   * A window by ranges. Axes without a range are kept whole; no axis disappears.
   *
   * @param ranges Per axis `null` for all, an index for one, or `[begin, end]` with `end` excluded; negative numbers
   * count from the end and either bound may be `null`.
   * @throws {ShapeError} when a range is empty or leaves the tensor.
   * @example
   * ```ts
   * input([4, 6]).slice(null, [1, -1]); // [4, 4]
   * ```
   */
  slice(...ranges: readonly SliceRange[]): Tensor {
    const { begin, size } = sliceWindow(this.shape, ranges);
    return this.sliceBySize(begin, size);
  }

  /**
   * Elements in opposite order along some axes.
   *
   * @param axes Axes to reverse.
   */
  reverse(axes: Axes): Tensor {
    return apply("reverse", [this], { axes: listed(axes) });
  }

  /**
   * Copies side by side. The device is known to take 2, 3, 4 and 8 copies per axis.
   *
   * @param reps Copies per axis, one entry for each.
   */
  tile(reps: readonly number[]): Tensor {
    return apply("tile", [this], { reps });
  }

  /**
   * The node as text.
   *
   * @returns For example `Tensor relu fp16 [1, 8]`.
   */
  toString(): string {
    return `Tensor ${this.op} ${this.dtype} ${show(this.shape)}`;
  }

  /**
   * What `console.log` prints: the node, not the graph behind it.
   *
   * @returns The same text as {@linkcode Tensor.toString}.
   */
  [Symbol.for("Deno.customInspect")](): string {
    return this.toString();
  }
}

/**
 * The definition of a node's operation.
 *
 * @param node The node.
 * @returns Its definition.
 */
export function opOf(node: Tensor): OpDef {
  return lookup(node.op);
}

function lookup(name: string): OpDef {
  const op = OPS.get(name);
  if (op === undefined) throw new ArgumentError(`no operation is called ${name}`);
  return op;
}

const FP16_ONLY: readonly Dtype[] = ["fp16"];

/** What to do about an operand of a type the operation does not take. */
const WAY_OUT: Readonly<Partial<Record<Dtype, string>>> = {
  bool: "Comparisons feed select and logicalNot only",
  fp16: "Compare it first",
};

/**
 * Makes a node: checks the operands against the operation's definition, infers the result, and checks its shape.
 *
 * @param name Operation.
 * @param inputs Operands.
 * @param args Arguments.
 * @returns The node.
 * @throws {ArgumentError} for a wrong number of operands or something that is not a tensor.
 * @throws {DtypeError} for an operand type the operation does not take.
 * @throws {ShapeError} when shapes do not fit the operation or the device.
 */
export function apply(name: string, inputs: readonly Tensor[], args: Record<string, unknown> = {}): Tensor {
  const op = lookup(name);
  const arity = op.arity ?? 1;
  if (!Array.isArray(inputs)) throw new ArgumentError(`${name}: expected a list of tensors, got ${describe(inputs)}`);
  if (arity === "any" ? inputs.length === 0 : inputs.length !== arity) {
    throw new ArgumentError(
      `${name}: ${inputs.length} operands given; expected ${arity === "any" ? "1 or more" : arity}`,
    );
  }
  inputs.forEach((input, i) => {
    if (!(input instanceof Tensor)) throw new ArgumentError(`${name}: operand ${i} is not a Tensor`);
    const accepted = op.accepts?.(i) ?? FP16_ONLY;
    if (accepted.includes(input.dtype)) return;
    const wayOut = WAY_OUT[input.dtype] ?? "Call cast() on it first";
    throw new DtypeError(
      `${name}: operand ${i} ${show(input.shape)} is ${input.dtype}; expected ${accepted.join(" or ")}. ${wayOut}`,
    );
  });
  const { shape, dtype = "fp16", attrs = args } = op.infer(inputs, args);
  checkShape(name, shape);
  return new Tensor(name, Object.freeze([...shape]), dtype, inputs, Object.freeze(attrs) as Record<string, unknown>);
}

function listed(axes: Axes): readonly number[] {
  if (typeof axes !== "number" && !Array.isArray(axes)) {
    throw new ShapeError(`axes must be an integer or a list of integers, got ${describe(axes)}`);
  }
  return typeof axes === "number" ? [axes] : axes;
}

function reduce(op: string, x: Tensor, axes: Axes | undefined, options: ReduceOptions = {}): Tensor {
  if (axes === undefined && x.rank === 0) return reduce(op, x.reshape([1]), 0, { keepDims: false });
  const list = axes === undefined ? x.shape.map((_, axis) => axis) : listed(axes);
  const kept = apply(op, [x], { axes: list });
  if (checkRecord(op, "options", options).keepDims ?? true) return kept;
  const reduced = kept.attrs.axes as readonly number[];
  return kept.reshape(kept.shape.filter((_, axis) => !reduced.includes(axis)));
}

/**
 * Checks that an argument is a tensor.
 *
 * @param op Operation named in the message.
 * @param label What the tensor is.
 * @param value The argument.
 * @throws {ArgumentError} when it is something else.
 */
export function checkTensor(op: string, label: string, value: unknown): void {
  if (!(value instanceof Tensor)) throw new ArgumentError(`${op}: ${label} must be a Tensor, got ${describe(value)}`);
}

/** A tensor as it is; numbers as a baked constant. */
function operand(op: string, value: Operand): Tensor {
  return value instanceof Tensor ? value : apply("const_array", [], { value: weightArray(op, "operand", value) });
}

/** A normalisation with a gain and an offset per channel: baked, or unit with trainable ones behind it. */
function channelAffine(
  op: string,
  method: string,
  x: Tensor,
  gamma: Operand,
  beta: Operand,
  rest: Record<string, number>,
): Tensor {
  if (gamma instanceof Tensor && beta instanceof Tensor) {
    checkRank(op, "x", x.shape, 4, "[N, C, H, W]");
    const filled = (value: number): NDArray => weightArray(method, "gamma", new Float32Array(x.shape[1]!).fill(value));
    return apply(op, [x], { gamma: filled(1), beta: filled(0), ...rest }).mul(gamma).add(beta);
  }
  if (gamma instanceof Tensor || beta instanceof Tensor) {
    throw new ArgumentError(`${method}: gamma and beta must both be tensors or both be numbers`);
  }
  const affine = { gamma: weightArray(method, "gamma", gamma), beta: weightArray(method, "beta", beta) };
  return apply(op, [x], { ...affine, ...rest });
}

/** A baked vector with one equal entry per column of `[M, D]`. */
function columns(op: string, x: Tensor, value: number): NDArray {
  checkRank(op, "x", x.shape, 2, "[M, D]; reshape to two axes first");
  return weightArray(op, "gamma", new Float32Array(x.shape[1]!).fill(value));
}

/** Options of {@linkcode input}. */
export interface InputOptions {
  /** Element type of the port (default fp16). Integer inputs must be cast before use. */
  dtype?: PortDtype;
  /** Label for messages. */
  name?: string;
  /** Promise that no element is larger in magnitude; used by the optimizer, never enforced. */
  maxAbs?: number;
}

/**
 * A value fed to the program at each run. Programs take their inputs in creation order.
 *
 * @param shape Extents.
 * @param options Element type, label, bound.
 * @returns The graph node.
 * @throws {ShapeError} when the rank is above 5 or an extent is not from 1 to 65536.
 * @throws {DtypeError} for an element type that cannot enter a program.
 * @example
 * ```ts
 * const image = input([1, 3, 32, 32]);
 * ```
 */
export function input(shape: Shape, options: InputOptions = {}): Tensor {
  if (!Array.isArray(shape)) throw new ArgumentError(`input: shape is ${shape}; expected a list of extents`);
  return apply("input", [], { ...options, shape: Object.freeze([...shape]), dtype: options.dtype ?? "fp16" });
}

/** Options of {@linkcode parameter}. */
export interface ParameterOptions {
  /** Label for messages. */
  name?: string;
}

/**
 * A trainable value: an input with an fp32 master, `attrs.value`, which is fed at each run and changed by an optimizer
 * without compiling again.
 *
 * @param init First values; copied.
 * @param options Label.
 * @returns The graph node, `attrs.trainable` true.
 * @throws {ShapeError} when the shape does not fit the device.
 * @example
 * ```ts
 * const w = parameter([[0.1, -0.2], [0.3, 0.4]]);
 * const y = input([1, 2]).matmul(w);
 * ```
 */
export function parameter(init: TensorData, options: ParameterOptions = {}): Tensor {
  const { data, shape } = weightArray("parameter", "init", init);
  return apply("input", [], { ...options, shape, dtype: "fp16", trainable: true, value: data.slice() });
}

/**
 * Values baked into the program as fp16.
 *
 * @param data Numbers.
 * @returns The graph node.
 * @throws {DtypeError} for integer arrays.
 * @example
 * ```ts
 * constant(1).sub(x.sigmoid());
 * ```
 */
export function constant(data: TensorData): Tensor {
  return operand("constant", data);
}
