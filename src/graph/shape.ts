/**
 * Shape arithmetic and its checks. Every check takes the name of the operation, which starts the message.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { describe } from "./check.ts";
import { MAX_EXTENT, MAX_RANK } from "./limits.ts";

/** Extents of a tensor, outermost first. Rank 0 is `[]`. */
export type Shape = readonly number[];

/**
 * A shape as text.
 *
 * @param shape Extents.
 * @returns For example `[1, 3, 8, 8]`.
 */
export function show(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/**
 * Number of elements.
 *
 * @param shape Extents.
 * @returns Their product, 1 for rank 0.
 */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

/**
 * Whether two shapes are the same.
 *
 * @param a One shape.
 * @param b The other.
 * @returns `true` when rank and every extent agree.
 */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/**
 * Checks that a shape fits the device: rank up to 5, extents 1 to 65536.
 *
 * @param op Operation named in the message.
 * @param shape Extents to check.
 * @throws {ShapeError} naming the operation, the shape and the axis.
 */
export function checkShape(op: string, shape: Shape): void {
  if (shape.length > MAX_RANK) {
    throw new ShapeError(`${op}: shape ${show(shape)} has rank ${shape.length}; the device takes at most ${MAX_RANK}`);
  }
  shape.forEach((extent, axis) => {
    if (Number.isInteger(extent) && extent >= 1 && extent <= MAX_EXTENT) return;
    throw new ShapeError(
      `${op}: axis ${axis} of shape ${
        show(shape)
      } has extent ${extent}; the device takes integers from 1 to ${MAX_EXTENT}`,
    );
  });
}

/**
 * The NumPy broadcast of two shapes: aligned at the right, extents equal or 1.
 *
 * @param op Operation named in the message.
 * @param a One shape.
 * @param b The other.
 * @returns The common shape.
 * @throws {ShapeError} when an axis disagrees.
 */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const result: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left !== right && left !== 1 && right !== 1) {
      throw new ShapeError(
        `${op}: shapes ${show(a)} and ${show(b)} do not broadcast: ${left} against ${right} on axis ${axis - rank}`,
      );
    }
    result.push(left === 1 ? right : left);
  }
  return result;
}

/**
 * One axis, counted from the end when negative, as 0 to rank - 1.
 *
 * @param op Operation named in the message.
 * @param axis The axis as given.
 * @param shape The shape it indexes, or only its rank when the shape is that of the result.
 * @returns The axis counted from the front.
 * @throws {ShapeError} when the axis does not exist.
 */
export function normalizeAxis(op: string, axis: number, shape: Shape | number): number {
  const rank = typeof shape === "number" ? shape : shape.length;
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    const where = typeof shape === "number" ? `a result of rank ${rank}` : `shape ${show(shape)}`;
    const range = rank === 0 ? "a scalar has no axes" : `expected an integer from ${-rank} to ${rank - 1}`;
    throw new ShapeError(`${op}: axis ${axis} is out of range for ${where}; ${range}`);
  }
  return axis < 0 ? axis + rank : axis;
}

/**
 * Several axes in the order given, each as 0 to rank - 1.
 *
 * @param op Operation named in the message.
 * @param axes Axes as given.
 * @param shape The shape they index, or only its rank when the shape is that of the result.
 * @returns The axes counted from the front.
 * @throws {ShapeError} when an axis does not exist or appears twice.
 */
export function normalizeAxes(op: string, axes: readonly number[], shape: Shape | number): number[] {
  if (!Array.isArray(axes)) throw new ShapeError(`${op}: axes must be a list of integers, got ${describe(axes)}`);
  const result = axes.map((axis) => normalizeAxis(op, axis, shape));
  if (new Set(result).size !== result.length) {
    throw new ShapeError(`${op}: axes ${show(axes)} name an axis twice`);
  }
  return result;
}

/**
 * Checks that an operand has a given rank.
 *
 * @param op Operation named in the message.
 * @param label What the operand is.
 * @param shape Its shape.
 * @param rank The rank expected.
 * @param layout How its axes are called, for example `[N, C, H, W]`.
 * @throws {ShapeError} otherwise.
 */
export function checkRank(op: string, label: string, shape: Shape, rank: number, layout: string): void {
  if (shape.length === rank) return;
  throw new ShapeError(`${op}: ${label} has shape ${show(shape)}; expected rank ${rank}, ${layout}`);
}
