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
 * A step function of a finite tensor.
 *
 * @param x The tensor to look at.
 * @param at Where the step is.
 * @param below Value where `x <= at`: a number, or a tensor shaped like `x`.
 * @param above Value where `x > at`, likewise.
 * @returns A tensor shaped like `x`.
 */
export function piecewise(x: Tensor, at: number, below: number | Tensor, above: number | Tensor): Tensor {
  const zero = zerosLike(x);
  const level = (value: number | Tensor): Tensor =>
    typeof value !== "number" ? value : value === 0 ? zero : zero.adds(value);
  return x.greater(level(at)).select(level(above), level(below));
}

/**
 * `slope` where `low < x <= high`, else 0.
 *
 * @param x The tensor to look at.
 * @param low Lower bound, excluded.
 * @param high Upper bound, included.
 * @param slope Value inside.
 * @returns A tensor shaped like `x`.
 */
export function between(x: Tensor, low: number, high: number, slope: number): Tensor {
  const zero = zerosLike(x);
  const inner = x.greater(zero.adds(high)).select(zero, zero.adds(slope));
  return x.greater(low === 0 ? zero : zero.adds(low)).select(inner, zero);
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
 * Puts a tensor back to where it was cut from another one, with zeros around it. The zeros are cut from `whole - whole`
 * at its first element: a cut that starts further right on the last axis saturates on the oldest families.
 *
 * @param context For making concat nodes.
 * @param part The tensor that was cut out, or its gradient.
 * @param whole A tensor of the shape to fill.
 * @param begin First index of the part, per axis.
 * @returns A tensor shaped like `whole`.
 */
export function embed(
  { apply }: Pick<GradientContext<object>, "apply">,
  part: Tensor,
  whole: Tensor,
  begin: readonly number[],
): Tensor {
  if (sameShape(part.shape, whole.shape)) return part;
  const zero = zerosLike(whole);
  const origin = whole.shape.map(() => 0);
  let filled = part;
  for (let axis = 0; axis < whole.rank; axis++) {
    const block = (count: number): Tensor[] => {
      const size = filled.shape.with(axis, count);
      return count === 0 ? [] : [sameShape(size, zero.shape) ? zero : zero.sliceBySize(origin, size)];
    };
    const before = begin[axis]!;
    const after = whole.shape[axis]! - before - filled.shape[axis]!;
    if (before > 0 || after > 0) filled = apply("concat", [...block(before), filled, ...block(after)], { axis });
  }
  return filled;
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
