/**
 * Ranges of `Tensor.slice`.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { type Shape, show } from "./shape.ts";

/** All of an axis, one index, or from a first index to before a second; negative numbers count from the end. */
export type SliceRange = null | number | readonly [begin: number | null, end?: number | null];

/**
 * Turns ranges into a window.
 *
 * @param shape Shape of the tensor.
 * @param ranges One per axis; missing ones mean all.
 * @returns First index and extent per axis.
 * @throws {ShapeError} when a range is empty or leaves the tensor.
 */
export function sliceWindow(shape: Shape, ranges: readonly SliceRange[]): { begin: number[]; size: number[] } {
  if (ranges.length > shape.length) {
    throw new ShapeError(`slice: ${ranges.length} ranges given for shape ${show(shape)}`);
  }
  const bounds = shape.map((extent, axis): [number, number] => {
    const range = ranges[axis] ?? null;
    if (range === null) return [0, extent];
    if (typeof range === "number") {
      const at = range < 0 ? range + extent : range;
      return [at, at + 1];
    }
    const [begin, end] = [range[0] ?? 0, range[1] ?? extent].map((bound) => (bound < 0 ? bound + extent : bound));
    return [begin!, end!];
  });
  bounds.forEach(([begin, end], axis) => {
    if (Number.isInteger(begin) && Number.isInteger(end) && begin >= 0 && begin < end && end <= shape[axis]!) return;
    throw new ShapeError(`slice: the range ${begin} to ${end} on axis ${axis} is empty or leaves shape ${show(shape)}`);
  });
  return { begin: bounds.map(([begin]) => begin), size: bounds.map(([begin, end]) => end - begin) };
}
