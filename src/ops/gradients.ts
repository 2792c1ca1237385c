/**
 * Pieces gradient rules are made of. Everything is built from operations of the device. A graph has no literal that
 * costs nothing, so constants are made as `(t - t) + c`; a product with zero is avoided because a reduction times zero
 * does not compile.
 *
 * @module
 */

import type { GradientContext } from "../graph/op.ts";
import { sameShape, type Shape, sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";

/**
 * Zeros shaped like a finite tensor.
 *
 * @param t The tensor.
 * @returns `t - t`.
 */
export function zerosLike(t: Tensor): Tensor {
  return t.sub(t);
}

/**
 * A constant shaped like a finite tensor.
 *
 * @param t The tensor.
 * @param value The constant.
 * @returns `(t - t) + value`.
 */
export function constLike(t: Tensor, value: number): Tensor {
  return zerosLike(t).adds(value);
}

/**
 * Ones shaped like a finite tensor.
 *
 * @param t The tensor.
 * @returns `(t - t) + 1`.
 */
export function onesLike(t: Tensor): Tensor {
  return constLike(t, 1);
}

/**
 * The transpose of broadcasting: sums a gradient over the axes an operand was repeated along.
 *
 * @param g Gradient of the broadcast result.
 * @param shape Shape of the operand.
 * @returns The gradient of the operand.
 */
export function unbroadcast(g: Tensor, shape: Shape): Tensor {
  let sum = g;
  while (sum.rank > shape.length) sum = sum.sum(0).reshape(sum.shape.slice(1));
  const axes = shape.flatMap((extent, axis) => (extent === 1 && sum.shape[axis] !== 1 ? [axis] : []));
  return axes.length > 0 ? sum.sum(axes) : sum;
}

/**
 * `g` where `condition` holds and 0 elsewhere.
 *
 * @param condition A bool tensor.
 * @param g The gradient.
 * @returns `select(condition, g, 0)`.
 */
export function gate(condition: Tensor, g: Tensor): Tensor {
  return condition.select(g, zerosLike(g));
}

/**
 * Puts zeros before and after a tensor on several axes. The zeros are cut from `t - t` starting at its first element, in
 * as many pieces as needed: a cut that starts further right on the last axis saturates on the oldest families.
 *
 * @param context For making concat nodes.
 * @param t The tensor.
 * @param before Number of zeros in front, per axis.
 * @param after Number of zeros behind, per axis.
 * @returns The larger tensor.
 */
export function padZeros(
  { apply }: Pick<GradientContext<object>, "apply">,
  t: Tensor,
  before: readonly number[],
  after: readonly number[],
): Tensor {
  let padded = t;
  for (let axis = 0; axis < t.rank; axis++) {
    if (before[axis] === 0 && after[axis] === 0) continue;
    const zero = zerosLike(padded);
    const block = (count: number): Tensor[] => {
      const pieces: Tensor[] = [];
      for (let left = count; left > 0;) {
        const width = Math.min(left, zero.shape[axis]!);
        const size = zero.shape.map((extent, i) => (i === axis ? width : extent));
        pieces.push(sameShape(size, zero.shape) ? zero : zero.sliceBySize(size.map(() => 0), size));
        left -= width;
      }
      return pieces;
    };
    padded = apply("concat", [...block(before[axis]!), padded, ...block(after[axis]!)], { axis });
  }
  return padded;
}

/**
 * The transpose of tiling: sums the `reps[i]` copies along every axis.
 *
 * @param g Gradient of the tiled tensor.
 * @param shape Shape before tiling.
 * @param reps Copies per axis.
 * @returns The gradient of the tensor that was tiled.
 */
export function sumTiles(g: Tensor, shape: Shape, reps: readonly number[]): Tensor {
  let sum = g;
  reps.forEach((rep, axis) => {
    if (rep === 1) return;
    const before = sum.shape.slice(0, axis);
    const after = sum.shape.slice(axis + 1);
    const kept = [...before, shape[axis]!, ...after];
    // [.., rep, extent, ..] needs one more axis than the tensor has; the others are merged to stay within rank 5.
    const groups = mergeAxes([...before], [shape[axis]!, ...after], 4);
    sum = sum.reshape([...groups.before, rep, ...groups.after]).sum(groups.before.length).reshape(kept);
  });
  return sum;
}

/** Merges neighbouring axes, smallest product first, until at most `rank` are left. */
function mergeAxes(before: number[], after: number[], rank: number): { before: number[]; after: number[] } {
  const result = { before, after };
  while (result.before.length + result.after.length > rank) {
    const candidates = [result.before, result.after].flatMap((list) =>
      list.slice(1).map((extent, i) => ({ list, i, product: extent * list[i]! }))
    );
    const best = candidates.reduce((a, b) => (b.product < a.product ? b : a));
    best.list.splice(best.i, 2, best.product);
  }
  return result;
}

/**
 * Number of elements a reduction combines into one.
 *
 * @param shape Shape before the reduction.
 * @param axes Axes reduced.
 * @returns Product of the extents.
 */
export function reducedSize(shape: Shape, axes: readonly number[]): number {
  return sizeOf(axes.map((axis) => shape[axis]!));
}
