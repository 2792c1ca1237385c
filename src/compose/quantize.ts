/**
 * Products with quantised operands. The device has no integer arithmetic: integers are held in fp16, which is exact up to
 * 2048, and scales are applied around the product.
 *
 * @module
 */

import { NDArray, type TensorData, weightArray } from "../graph/ndarray.ts";
import { checkRank } from "../graph/shape.ts";
import type { Axes, Tensor } from "../graph/tensor.ts";

/** Largest magnitude of a symmetric int8. */
const INT8_MAX = 127;

/**
 * The values a weight has after symmetric quantisation to int8: round(w / s) s with s = max |w| / 127 per output row.
 *
 * @param weight `[Cout, ..]`.
 * @returns An array of the same shape.
 * @example
 * ```ts
 * quantizeRows(array([[127, 0.6]])); // [[127, 1]]
 * ```
 */
export function quantizeRows(weight: NDArray): NDArray {
  const row = weight.size / (weight.shape[0] || 1);
  const result = new Float32Array(weight.size);
  for (let begin = 0; begin < weight.size; begin += row) {
    const values = weight.data.subarray(begin, begin + row);
    const scale = values.reduce((max, v) => Math.max(max, Math.abs(v)), 0) / INT8_MAX;
    if (scale > 0) values.forEach((v, i) => result[begin + i] = Math.round(v / scale) * scale);
  }
  return new NDArray(result, weight.shape);
}

/** Integers and what one of them is worth. */
export interface Quantized {
  /** Integers from -127 to 127, held in fp16. */
  q: Tensor;
  /** Value of one step; the reduced axes have extent 1. */
  scale: Tensor;
}

/**
 * Quantises a computed tensor with a scale taken from its own values: scale = max |x| / 127, q = round(x / scale).
 *
 * @param x The tensor.
 * @param axes The axes that share a scale (default: the last, one scale per row).
 * @returns Integers from -127 to 127 in fp16, and the scale. A row of zeros gives zeros.
 * @throws {ShapeError} when an axis does not exist.
 * @example
 * ```ts
 * const { q, scale } = dynamicQuantizeOnly(input([4, 64])); // q [4, 64], scale [4, 1]
 * ```
 */
export function dynamicQuantizeOnly(x: Tensor, axes: Axes = -1): Quantized {
  // 2^-14 is the smallest normal fp16 number: below it the quotient would not be worth 127 steps.
  const scale = x.abs().amax(axes).muls(1 / INT8_MAX).threshold(2 ** -14);
  return { q: x.div(scale).round().clip(-INT8_MAX, INT8_MAX), scale };
}

/**
 * Undoes {@linkcode dynamicQuantizeOnly}: q * scale.
 *
 * @param quantized Integers and scale.
 * @returns Values, shaped like the integers.
 * @example
 * ```ts
 * const rounded = dynamicDequantizeOnly(dynamicQuantizeOnly(x)); // x on a grid of 255 steps per row
 * ```
 */
export function dynamicDequantizeOnly(quantized: Quantized): Tensor {
  return quantized.q.mul(quantized.scale);
}

/**
 * Linear layer on int8 values: rows of x are quantised by their own largest element, rows of the weight when the graph is
 * built, and the product is scaled back. What is multiplied stays within [-1, 1] so that the accumulator does not saturate.
 *
 * @param x `[.., K]`.
 * @param weight `[N, K]`.
 * @param bias `[N]`, or none; not quantised.
 * @returns `[.., N]`.
 * @throws {ShapeError} when the weight does not fit.
 * @example
 * ```ts
 * const y = quantizedLinear(input([4, 64]), weight, bias);
 * ```
 */
export function quantizedLinear(x: Tensor, weight: TensorData, bias: TensorData | null = null): Tensor {
  const array = weightArray("quantizedLinear", "weight", weight);
  checkRank("quantizedLinear", "weight", array.shape, 2, "[N, K]");
  const { q, scale } = dynamicQuantizeOnly(x);
  const y = q.muls(1 / INT8_MAX).linear(quantizeRows(array)).mul(scale.muls(INT8_MAX));
  return bias === null ? y : y.add(weightArray("quantizedLinear", "bias", bias));
}
