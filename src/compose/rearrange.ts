/**
 * Padding, gathering at fixed positions, and sums on the accumulator of the matrix unit.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { checkInteger, checkNumber } from "../graph/check.ts";
import { concat } from "../graph/functions.ts";
import { NDArray } from "../graph/ndarray.ts";
import { normalizeAxis, type Shape, show, sizeOf } from "../graph/shape.ts";
import { constant, Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";

/** How {@linkcode pad} fills the border. */
export type PadMode = "constant" | "reflect" | "replicate";

/** Options of {@linkcode pad}. */
export interface PadOptions {
  /** `constant` (default) writes `value`; `reflect` mirrors without the edge; `replicate` repeats the edge. */
  mode?: PadMode;
  /** What `constant` writes (default 0). */
  value?: number;
}

/** Elements from `begin` on along one axis. */
function window(x: Tensor, axis: number, begin: number, size: number): Tensor {
  if (begin === 0 && size === x.shape[axis]) return x;
  return x.sliceBySize(x.shape.map((_, i) => (i === axis ? begin : 0)), x.shape.with(axis, size));
}

function border(x: Tensor, axis: number, count: number, front: boolean, mode: PadMode, value: number): Tensor[] {
  if (count === 0) return [];
  const extent = x.shape[axis]!;
  if (mode === "constant") {
    const shape = x.shape.with(axis, count);
    return [constant(new NDArray(new Float32Array(sizeOf(shape)).fill(value), shape))];
  }
  if (mode === "replicate") {
    const edge = window(x, axis, front ? 0 : extent - 1, 1);
    return new Array<Tensor>(count).fill(edge);
  }
  if (count >= extent) {
    throw new ShapeError(
      `pad: ${count} elements do not reflect along axis ${axis} of ${show(x.shape)}; at most ${extent - 1}`,
    );
  }
  return [window(x, axis, front ? 1 : extent - 1 - count, count).reverse(axis)];
}

/**
 * A tensor with more elements around it, joined from blocks: one concat per axis that grows.
 *
 * @param x The tensor.
 * @param amounts Elements added `[before, after]`, one pair per axis; missing pairs belong to the first axes, which stay.
 * @param options What the border holds.
 * @returns The padded tensor.
 * @throws {ArgumentError} when an amount is not an integer of at least 0.
 * @throws {ShapeError} when there are more pairs than axes, or a mirror is longer than the axis.
 * @example
 * ```ts
 * pad(input([1, 3, 8, 8]), [[1, 1], [2, 2]]); // [1, 3, 10, 12]
 * pad(input([4]), [[2, 0]], { mode: "reflect" }); // [0, 1, 2, 3] gives [2, 1, 0, 1, 2, 3]
 * ```
 */
export function pad(x: Tensor, amounts: readonly (readonly [number, number])[], options: PadOptions = {}): Tensor {
  const { mode = "constant", value = 0 } = options;
  checkNumber("pad", "value", value);
  if (!["constant", "reflect", "replicate"].includes(mode)) {
    throw new ArgumentError(`pad: mode is ${mode}; expected constant, reflect or replicate`);
  }
  if (amounts.length > x.rank) {
    throw new ShapeError(`pad: ${amounts.length} pairs given for ${show(x.shape)}, which has ${x.rank} axes`);
  }
  let result = x;
  amounts.forEach(([before, after], i) => {
    const axis = x.rank - amounts.length + i;
    checkInteger("pad", `amounts[${i}][0]`, before, 0);
    checkInteger("pad", `amounts[${i}][1]`, after, 0);
    const parts = [
      ...border(result, axis, before, true, mode, value),
      result,
      ...border(result, axis, after, false, mode, value),
    ];
    if (parts.length > 1) result = concat(parts, axis);
  });
  return result;
}

/**
 * Elements at fixed positions along an axis, in the order given: one slice per position, joined. The device cannot read
 * at computed positions.
 *
 * @param x The tensor.
 * @param indices Positions, 0 to extent - 1; may repeat.
 * @param axis The axis (default 0).
 * @returns `x` with as many elements along the axis as there are positions.
 * @throws {ShapeError} when a position does not exist or none is given.
 * @example
 * ```ts
 * gather(input([5, 8]), [4, 0, 0]); // [3, 8]
 * ```
 */
export function gather(x: Tensor, indices: readonly number[], axis = 0): Tensor {
  const along = normalizeAxis("gather", axis, x.shape);
  const extent = x.shape[along]!;
  if (indices.length === 0) throw new ShapeError("gather: no indices given; expected at least one");
  for (const index of indices) {
    if (Number.isInteger(index) && index >= 0 && index < extent) continue;
    throw new ShapeError(
      `gather: index ${index} is out of range on axis ${along} of ${show(x.shape)}; expected 0 to ${extent - 1}`,
    );
  }
  // Slices that start inside the last axis go wrong on the oldest families, so that axis is moved first.
  if (along === x.rank - 1) {
    if (x.rank === 1) return gather(x.reshape([extent, 1]), indices).reshape([indices.length]);
    const axes = x.shape.map((_, i) => i);
    const swapped = [...axes.slice(0, -2), along, along - 1];
    return gather(x.transpose(swapped), indices, along - 1).transpose(swapped);
  }
  const size = x.shape.with(along, 1);
  return concat(indices.map((index) => x.sliceBySize(size.map((_, i) => (i === along ? index : 0)), size)), along);
}

/**
 * One axis as several: the inverse of merging axes.
 *
 * @param x The tensor.
 * @param axis The axis divided.
 * @param sizes Extents it becomes, row-major; one may be -1 and is worked out.
 * @returns `x` with more axes.
 * @throws {ShapeError} when the extents do not multiply to that of the axis.
 * @example
 * ```ts
 * unflatten(input([2, 12]), 1, [3, -1]); // [2, 3, 4]
 * ```
 */
export function unflatten(x: Tensor, axis: number, sizes: Shape): Tensor {
  const at = normalizeAxis("unflatten", axis, x.shape);
  const known = sizeOf(sizes.filter((size) => size !== -1));
  const inner = sizes.map((size) => (size === -1 ? x.shape[at]! / known : size));
  if (
    sizes.filter((size) => size === -1).length > 1 || !inner.every(Number.isInteger) || sizeOf(inner) !== x.shape[at]
  ) {
    throw new ShapeError(
      `unflatten: axis ${at} of ${show(x.shape)} has ${x.shape[at]} elements, which ${show(sizes)} do not hold`,
    );
  }
  return x.reshape(x.shape.toSpliced(at, 1, ...inner));
}

/** A sum over one axis as a product with ones. */
function sumAsProduct(x: Tensor, axis: number): Tensor {
  const ones = new NDArray(new Float32Array(x.shape[axis]!).fill(1), [x.shape[axis]!, 1]);
  if (axis === x.rank - 1) return x.matmul(ones);
  const axes = x.shape.map((_, i) => i);
  const perm = [...axes.filter((i) => i !== axis), axis];
  return x.transpose(perm).matmul(ones).transpose(axes.map((i) => perm.indexOf(i)));
}

/**
 * Rewrites a graph so that sums over one axis run on the wide accumulator of the matrix unit instead of the narrow one of
 * the reductions: `x.sum(-1)` becomes `x @ ones`. Sums over several axes stay, and those of rank 5 along
 * another axis than the last: a transpose of rank 5 must not feed a product. The value is the same up to rounding, which is
 * smaller.
 *
 * @param out The value to compute.
 * @returns The value in the new form; `out` itself when nothing changes.
 * @example
 * ```ts
 * const y = reduceSumToMatmul(input([4, 512]).sum(-1)); // a product with [512, 1]
 * ```
 */
export function reduceSumToMatmul(out: Tensor): Tensor {
  const rebuilt = new Map<Tensor, Tensor>();
  for (const node of topologicalOrder([out])) {
    const inputs = node.inputs.map((input) => rebuilt.get(input)!);
    const axes = node.attrs.axes as readonly number[];
    if (node.op === "reduce_sum" && axes.length === 1 && (node.rank < 5 || axes[0] === 4)) {
      rebuilt.set(node, sumAsProduct(inputs[0]!, axes[0]!));
      continue;
    }
    const same = inputs.every((input, i) => input === node.inputs[i]);
    rebuilt.set(node, same ? node : new Tensor(node.op, node.shape, node.dtype, inputs, node.attrs));
  }
  return rebuilt.get(out)!;
}
