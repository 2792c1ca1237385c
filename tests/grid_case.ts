/**
 * How cases made by rule are written.
 *
 * @module
 */

import { NDArray } from "../src/graph/ndarray.ts";
import { numbers, type OpCase, type Values } from "./op_cases.ts";
import { sizeOf } from "./reference_kernels.ts";
import { toleranceOf, type Tolerances } from "./tolerance.ts";

/** Extents. */
export type Shape = readonly number[];

/** Baked numbers, the same for the same shape and seed. */
export function baked(shape: Shape, seed = 9, lo = -1, hi = 1): NDArray {
  return new NDArray(numbers(sizeOf(shape), seed, lo, hi), shape);
}

/** A case whose tolerance is that of `kind`, the operation itself unless given. */
export function gridCase(
  op: string,
  title: string,
  inputs: readonly (Shape | Values)[],
  build: OpCase["build"],
  tolerance: Tolerances = toleranceOf(op),
): OpCase {
  const operands = inputs.map((x) => "shape" in x ? x : { shape: x });
  return { op, title, inputs: operands, build, ane: tolerance.ane, fast: tolerance.fast, gradient: false };
}

/** All combinations, the last list fastest. */
export function product<T>(...lists: readonly (readonly T[])[]): T[][] {
  return lists.reduce<T[][]>((rows, list) => rows.flatMap((row) => list.map((item) => [...row, item])), [[]]);
}

/** 0 to n - 1. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** One shape per rank, with a size-1 axis from rank 3 on. */
export const RANKS: readonly Shape[] = [[5], [3, 4], [2, 1, 5], [2, 3, 1, 4], [2, 1, 3, 2, 3]];
