/**
 * Softmax over several axes, masked, and in logarithms.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { checkInteger } from "../graph/check.ts";
import { MAX_EXTENT } from "../graph/limits.ts";
import { NDArray } from "../graph/ndarray.ts";
import { normalizeAxes, show } from "../graph/shape.ts";
import { apply, type Axes, type Tensor } from "../graph/tensor.ts";

/** Largest finite fp16 value. */
const LARGEST_SUM = 65504;

/** What is added to masked elements, or written in their place: its exponential is 0 beside any score of usual size. */
const MASKED = -1e4;

/**
 * Softmax over several axes at once: exp(x) / sum(exp(x)).
 *
 * @param x The tensor.
 * @param axes The axes whose elements together sum to 1 (default: the last).
 * @returns A tensor shaped like `x`.
 * @throws {ShapeError} when an axis does not exist or none is given.
 * @example
 * ```ts
 * softmaxNd(input([2, 4, 4]), [1, 2]); // each 4 x 4 matrix sums to 1
 * ```
 */
export function softmaxNd(x: Tensor, axes: Axes = -1): Tensor {
  const list = normalizeAxes("softmaxNd", typeof axes === "number" ? [axes] : axes, x.shape);
  if (list.length === 1) return x.softmax(list[0]!);
  const e = x.sub(apply("reduce_max", [x], { axes: list, detached: true })).exp();
  const count = list.reduce((product, axis) => product * x.shape[axis]!, 1);
  const small = count > LARGEST_SUM ? e.muls(LARGEST_SUM / 2 / count) : e; // the sum of count ones must stay finite
  return small.div(small.sum(list));
}

/**
 * Logarithm of softmax along one axis: the function form of {@linkcode Tensor.logSoftmax}.
 *
 * @param x The tensor.
 * @param axis The axis (default: the last).
 * @returns A tensor shaped like `x`.
 * @example
 * ```ts
 * logSoftmax(input([2, 10]));
 * ```
 */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  return x.logSoftmax(axis);
}

/**
 * A mask for attention in which position i sees positions 0 to i: 0 on and below the diagonal, -10000 above.
 *
 * @param rows Positions that look.
 * @param columns Positions looked at (default: as many). With more columns than rows, the last row sees all.
 * @returns `[rows, columns]`, to be added to scores.
 * @throws {ArgumentError} when an extent is not an integer from 1 to the largest of a tensor.
 * @example
 * ```ts
 * causalMask(2).toNested(); // [[0, -10000], [0, 0]]
 * ```
 */
export function causalMask(rows: number, columns: number = rows): NDArray {
  for (const [label, extent] of [["rows", rows], ["columns", columns]] as const) {
    if (checkInteger("causalMask", label, extent, 1) <= MAX_EXTENT) continue;
    throw new ArgumentError(`causalMask: ${label} is ${extent}; a tensor has at most ${MAX_EXTENT} per axis`);
  }
  const data = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const last = row + columns - rows;
    data.fill(MASKED, row * columns + Math.max(last + 1, 0), (row + 1) * columns);
  }
  return new NDArray(data, [rows, columns]);
}

/**
 * Softmax of scores along the last axis in which position i sees positions 0 to i only.
 *
 * @param x Scores `[.., S, T]`; T may be larger than S, then the last rows of a T x T triangle are meant.
 * @returns Probabilities shaped like `x`; elements above the diagonal are 0.
 * @throws {ShapeError} when x has fewer than two axes, or T is smaller than S.
 * @example
 * ```ts
 * causalSoftmax(q.matmul(k.transpose([0, 2, 1]))); // [heads, S, S]
 * ```
 */
export function causalSoftmax(x: Tensor): Tensor {
  const [rows, columns] = [x.shape.at(-2) ?? 0, x.shape.at(-1) ?? 0];
  if (x.rank < 2 || columns < rows) {
    throw new ShapeError(`causalSoftmax: x has shape ${show(x.shape)}; expected [.., S, T] with T at least S`);
  }
  return x.add(causalMask(rows, columns)).softmax(-1);
}

/**
 * Softmax over the elements above a threshold; the others get 0. Where no element is above, all get the same share.
 *
 * @param x The tensor.
 * @param threshold Elements at or below it are left out.
 * @param axis The axis (default: the last).
 * @returns A tensor shaped like `x`.
 * @example
 * ```ts
 * thresholdSoftmax(input([1, 3]), 0); // [1, -1, 1] gives [0.5, 0, 0.5]
 * ```
 */
export function thresholdSoftmax(x: Tensor, threshold: number, axis = -1): Tensor {
  return x.greater(threshold).select(x, MASKED).softmax(axis);
}
