/**
 * Operations on images `[N, C, H, W]` that are called as functions: normalisation, resampling, rearrangement.
 *
 * @module
 */

import { checkRecord } from "./check.ts";
import { type TensorData, weightArray } from "./ndarray.ts";
import { apply, type Tensor } from "./tensor.ts";
import { ArgumentError } from "../errors.ts";

/** Statistics and affine of a batch normalisation, one number per channel each. */
export interface BatchNorm {
  /** Gain. */
  gamma: TensorData;
  /** Offset. */
  beta: TensorData;
  /** Running mean. */
  mean: TensorData;
  /** Running variance. */
  variance: TensorData;
  /** Added to the variance (default 1e-5). */
  eps?: number;
}

/**
 * Batch normalisation with known statistics: (x - mean) / sqrt(variance + eps) * gamma + beta per channel.
 *
 * @param x `[N, C, ..]`, rank 3 to 5.
 * @param norm Gain, offset, mean and variance, `[C]` each; eps.
 * @returns A tensor shaped like `x`.
 * @throws {ShapeError} when a vector does not have one number per channel.
 * @throws {ArgumentError} when a variance or eps is negative.
 * @example
 * ```ts
 * const y = batchNorm(x, { gamma, beta, mean, variance });
 * ```
 */
export function batchNorm(x: Tensor, norm: BatchNorm): Tensor {
  const { gamma, beta, mean, variance, eps = 1e-5 } = checkRecord("batchNorm", "norm", norm);
  return apply("batch_norm", [x], {
    gamma: weightArray("batchNorm", "gamma", gamma),
    beta: weightArray("batchNorm", "beta", beta),
    mean: weightArray("batchNorm", "mean", mean),
    variance: weightArray("batchNorm", "variance", variance),
    eps,
  });
}

/**
 * Normalises each channel of each image by its own mean and variance.
 *
 * @param x `[N, C, H, W]`.
 * @param gamma Gain `[C]`.
 * @param beta Offset `[C]`.
 * @param eps Added to the variance (default 1e-5).
 * @returns A tensor shaped like `x`.
 * @throws {ShapeError} when x is not of rank 4 or a vector does not have one number per channel.
 * @example
 * ```ts
 * const y = instanceNorm(input([1, 2, 8, 8]), [1, 1], [0, 0]);
 * ```
 */
export function instanceNorm(x: Tensor, gamma: TensorData, beta: TensorData, eps = 1e-5): Tensor {
  const affine = {
    gamma: weightArray("instanceNorm", "gamma", gamma),
    beta: weightArray("instanceNorm", "beta", beta),
  };
  return apply("instance_norm", [x], { ...affine, eps });
}

/** Options of {@linkcode localResponseNorm}. */
export interface LocalResponseNormOptions {
  /** Channels in a window (default 5). */
  size?: number;
  /** Weight of the sum of squares (default 1e-4). */
  alpha?: number;
  /** Exponent (default 0.75). */
  beta?: number;
  /** Offset (default 1). */
  k?: number;
}

/**
 * Divides by a power of the energy of neighbouring channels: x / (k + alpha / size * sum of squares)^beta.
 *
 * @param x `[N, C, H, W]`.
 * @param options Window size, alpha, beta, k.
 * @returns A tensor shaped like `x`.
 * @throws {ShapeError} when x is not of rank 4.
 * @example
 * ```ts
 * const y = localResponseNorm(input([1, 16, 8, 8]), { size: 3 });
 * ```
 */
export function localResponseNorm(x: Tensor, options: LocalResponseNormOptions = {}): Tensor {
  const { size = 5, alpha = 1e-4, beta = 0.75, k = 1 } = checkRecord("localResponseNorm", "options", options);
  return apply("local_response_norm", [x], { size, alpha, beta, k });
}

/** Options of the bilinear resampling functions. */
export interface BilinearOptions {
  /** Let the corner pixels of operand and result fall together (default `false`). */
  alignCorners?: boolean;
}

/**
 * An image a whole number of times as high and wide, bilinear. Without `alignCorners` pixel centres are mapped:
 * 2 pixels become 5 at positions 0, 0.1, 0.5, 0.9, 1.
 *
 * @param x `[N, C, H, W]`.
 * @param scale The factor (default 2).
 * @param options How the corners fall.
 * @returns `[N, C, H scale, W scale]`.
 * @throws {ShapeError} when x is not of rank 4.
 * @example
 * ```ts
 * upsampleBilinear(input([1, 3, 8, 8])); // [1, 3, 16, 16]
 * ```
 */
export function upsampleBilinear(x: Tensor, scale = 2, options: BilinearOptions = {}): Tensor {
  const { alignCorners = false } = checkRecord("upsampleBilinear", "options", options);
  return apply("upsample_bilinear", [x], { scale, alignCorners });
}

/**
 * An image of another size: pixel i reads pixel floor(i H / height).
 *
 * @param x `[N, C, H, W]`.
 * @param height Rows of the result.
 * @param width Columns of the result.
 * @returns `[N, C, height, width]`.
 * @throws {ShapeError} when x is not of rank 4.
 * @example
 * ```ts
 * resizeNearestNeighbor(input([1, 3, 8, 8]), 5, 12); // [1, 3, 5, 12]
 * ```
 */
export function resizeNearestNeighbor(x: Tensor, height: number, width: number): Tensor {
  return apply("resize_nearest_neighbor", [x], { height, width });
}

/**
 * An image of another size, bilinear: pixel i reads position i H / height. Pixel 0 falls on pixel 0 and the last one
 * short of the border, as the device's DEFAULT mode does.
 *
 * @param x `[N, C, H, W]`.
 * @param height Rows of the result.
 * @param width Columns of the result.
 * @param options How the corners fall.
 * @returns `[N, C, height, width]`.
 * @throws {ShapeError} when x is not of rank 4.
 * @example
 * ```ts
 * resizeBilinear(input([1, 3, 8, 8]), 5, 12, { alignCorners: true }); // [1, 3, 5, 12]
 * ```
 */
export function resizeBilinear(x: Tensor, height: number, width: number, options: BilinearOptions = {}): Tensor {
  const { alignCorners = false } = checkRecord("resizeBilinear", "options", options);
  return apply("resize_bilinear", [x], { height, width, alignCorners });
}

/**
 * Samples an image at affinely mapped positions, bilinear, zeros outside. Positions run from -1 to 1 over the image:
 * x' = a0 x + a1 y + a2, y' = a3 x + a4 y + a5. Needs family 3 (M2) or later. No gradient.
 *
 * @param x `[N, C, H, W]`.
 * @param transform `[1, 6]` for all images or `[N, 6]`.
 * @param height Rows of the result.
 * @param width Columns of the result.
 * @param options How the corners fall: with `alignCorners` -1 and 1 are the centres of the outer pixels, else their edges.
 * @returns `[N, C, height, width]`.
 * @throws {ShapeError} when the transform has another shape.
 * @throws {UnsupportedOpError} when compiled for M1.
 * @example
 * ```ts
 * affine(input([1, 3, 8, 8]), [[0, -1, 0, 1, 0, 0]], 8, 8); // turned by a quarter
 * ```
 */
export function affine(
  x: Tensor,
  transform: TensorData,
  height: number,
  width: number,
  options: BilinearOptions = {},
): Tensor {
  const matrix = weightArray("affine", "transform", transform);
  const { alignCorners = false } = checkRecord("affine", "options", options);
  return apply("affine", [x], { transform: matrix, height, width, alignCorners });
}

/**
 * An image without some rows and columns at its border.
 *
 * @param x `[N, C, H, W]`.
 * @param top Rows removed above.
 * @param bottom Rows removed below.
 * @param left Columns removed at the left.
 * @param right Columns removed at the right.
 * @returns `[N, C, H - top - bottom, W - left - right]`.
 * @throws {ShapeError} when nothing is left.
 * @example
 * ```ts
 * crop(input([1, 3, 8, 8]), 1, 1, 2, 2); // [1, 3, 6, 4]
 * ```
 */
export function crop(x: Tensor, top: number, bottom: number, left: number, right: number): Tensor {
  return apply("crop", [x], { top, bottom, left, right });
}

/**
 * Channels as blocks of pixels, channel-major (PyTorch's order): out[n, c, h r + i, w r + j] = x[n, c r^2 + i r + j, h, w].
 *
 * @param x `[N, C r^2, H, W]`.
 * @param factor Height and width of a block, r.
 * @returns `[N, C, H r, W r]`.
 * @throws {ShapeError} when blocks do not divide the channels.
 * @example
 * ```ts
 * pixelShuffle(input([1, 12, 8, 8]), 2); // [1, 3, 16, 16]
 * ```
 */
export function pixelShuffle(x: Tensor, factor: number): Tensor {
  return apply("pixel_shuffle", [x], { factor });
}

/**
 * Blocks of pixels as channels, channel-major: undoes {@linkcode pixelShuffle}.
 *
 * @param x `[N, C, H r, W r]`.
 * @param factor Height and width of a block, r.
 * @returns `[N, C r^2, H, W]`.
 * @throws {ShapeError} when blocks do not tile the image.
 * @example
 * ```ts
 * pixelUnshuffle(input([1, 3, 16, 16]), 2); // [1, 12, 8, 8]
 * ```
 */
export function pixelUnshuffle(x: Tensor, factor: number): Tensor {
  return apply("pixel_unshuffle", [x], { factor });
}

/**
 * Blocks of pixels as channels, block-major (TensorFlow's order): out[n, (i b + j) C + c, h, w] = x[n, c, h b + i, w b + j].
 *
 * @param x `[N, C, H b, W b]`.
 * @param blockSize Height and width of a block, b (default 2).
 * @returns `[N, C b^2, H, W]`.
 * @throws {ShapeError} when blocks do not tile the image.
 * @example
 * ```ts
 * spaceToDepth(input([1, 3, 16, 16])); // [1, 12, 8, 8]
 * ```
 */
export function spaceToDepth(x: Tensor, blockSize = 2): Tensor {
  return apply("space_to_depth", [x], { blockSize });
}

/**
 * Channels as blocks of pixels, block-major: undoes {@linkcode spaceToDepth}.
 *
 * @param x `[N, C b^2, H, W]`.
 * @param blockSize Height and width of a block, b (default 2).
 * @returns `[N, C, H b, W b]`.
 * @throws {ShapeError} when blocks do not divide the channels.
 * @example
 * ```ts
 * depthToSpace(input([1, 12, 8, 8])); // [1, 3, 16, 16]
 * ```
 */
export function depthToSpace(x: Tensor, blockSize = 2): Tensor {
  return apply("depth_to_space", [x], { blockSize });
}

/** What the one native einsum computes, blanks left out. */
const NATIVE_EINSUM = "nchw,nwhu->nchu";

/**
 * The one einsum the device has as an operation of its own, `nchw,nwhu->nchu`. {@linkcode einsum} takes any equation and
 * computed operands.
 *
 * @param equation `nchw,nwhu->nchu`, blanks ignored.
 * @param a `[N, C, H, W]`.
 * @param b Numbers `[N, W, H, U]`.
 * @returns `[N, C, H, U]`.
 * @throws {ArgumentError} for another equation.
 * @throws {ShapeError} when the operands disagree.
 * @example
 * ```ts
 * einsumNative("nchw,nwhu->nchu", input([1, 2, 3, 4]), weight); // weight [1, 4, 3, 5] gives [1, 2, 3, 5]
 * ```
 */
export function einsumNative(equation: string, a: Tensor, b: TensorData): Tensor {
  if (typeof equation !== "string" || equation.replaceAll(" ", "") !== NATIVE_EINSUM) {
    throw new ArgumentError(`einsumNative: the device has ${NATIVE_EINSUM} only, not ${equation}; use einsum`);
  }
  return apply("einsum", [a], { weight: weightArray("einsumNative", "b", b) });
}
