/**
 * One use of an operation: operands, how to write it, and what may differ. Shared by the lists of cases.
 *
 * @module
 */

import type { conv } from "../src/graph/functions.ts";
import { roundHalf } from "../src/graph/fp16.ts";
import { NDArray } from "../src/graph/ndarray.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { Random } from "../src/random.ts";
import { sizeOf } from "./reference_kernels.ts";

/** Values of one operand: uniform in [lo, hi], on the fp16 grid, at least 0.06 away from each of `avoid`. */
export interface Values {
  shape: readonly number[];
  lo?: number;
  hi?: number;
  avoid?: readonly number[];
  /** These values instead of random ones. */
  data?: readonly number[];
  dtype?: "fp16" | "uint8" | "int8" | "uint16" | "int16";
}

/**
 * How far the device may be from the float64 formula:
 * - `exact`: the formula's value, rounded to fp16;
 * - `ulps`: that many units in the last place of the formula's value (the fp16 grid at its magnitude);
 * - `abs`, `rel`: absolute error plus error relative to the value;
 * - `max`: relative to the largest magnitude of the result.
 */
export interface Tolerance {
  exact?: true;
  ulps?: number;
  abs?: number;
  rel?: number;
  max?: number;
}

/** One use of an operation. */
export interface OpCase {
  op: string;
  title: string;
  inputs: readonly Values[];
  build(x: readonly Tensor[]): Tensor;
  /** In the device's arithmetic. */
  ane: Tolerance;
  /** With fp16 operands and fp32 sums. */
  fast: Tolerance;
  /** Backward: error on the device relative to the largest gradient or 1; false where there is no rule for this use. */
  gradient: number | false;
  /** Why the gradient cannot be compiled for the device. */
  gradientRefused?: string;
  /** What to compile for when the family of M1 lacks the operation. */
  target?: string;
}

/** Values of an operand, the same for the same seed. */
export function draw(
  { shape, lo = -2, hi = 2, avoid = [], data, dtype = "fp16" }: Values,
  random: Random,
): Float32Array {
  if (data) return Float32Array.from(data);
  return Float32Array.from({ length: sizeOf(shape) }, () => {
    for (;;) {
      const v = dtype === "fp16" ? roundHalf(random.uniform(lo, hi)) : Math.floor(random.uniform(lo, hi + 1));
      if (avoid.every((kink) => Math.abs(v - kink) > 0.06)) return v;
    }
  });
}

/** The formula's value, rounded. */
export const EXACT: Tolerance = { exact: true };
/** One rounding of an exact result, ties and all: within one unit of the rounded value. */
export const ROUNDED: Tolerance = { ulps: 0.5001 };
/** fp16 result of an fp32 computation. */
export const FAST: Tolerance = { ulps: 1.01, abs: 2e-6 };
/** Sums of products of numbers around 1. */
export const MAC: Tolerance = { max: 2e-3 };

/** `n` small numbers that fp16 holds exactly. */
export function numbers(n: number, seed: number, lo = -1, hi = 1): Float32Array {
  return draw({ shape: [n], lo, hi }, new Random(seed));
}

/** The same as an array. */
export function baked(shape: readonly number[], seed = 9, lo = -1, hi = 1): NDArray {
  return new NDArray(numbers(sizeOf(shape), seed, lo, hi), shape);
}

/** A case whose result has the same elements as its operands, or one rule for every mode. */
export function moved(
  op: string,
  title: string,
  shapes: readonly (readonly number[])[],
  build: OpCase["build"],
): OpCase {
  return { op, title, inputs: shapes.map((shape) => ({ shape })), build, ane: EXACT, fast: EXACT, gradient: 1e-3 };
}

/** [x shape, weight shape, options]. */
export type ConvRow = readonly [readonly number[], readonly number[], Parameters<typeof conv>[2]?];

/** Convolutions: plain, padded, dilated, grouped, strided, one row high, wide. */
export const CONV_ROWS: readonly ConvRow[] = [
  [[1, 1, 1, 1], [1, 1, 1, 1]],
  [[1, 3, 5, 7], [2, 3, 1, 1]],
  [[2, 3, 5, 6], [4, 3, 3, 3], { pad: 1 }],
  [[1, 2, 7, 5], [3, 2, 3, 2]],
  [[1, 2, 4, 5], [3, 2, 4, 5]],
  [[1, 2, 6, 6], [2, 2, 3, 3], { pad: [0, 1, 2, 1] }],
  [[1, 2, 7, 7], [2, 2, 3, 3], { dilation: 2, pad: 2 }],
  [[1, 4, 5, 5], [6, 2, 3, 3], { groups: 2, pad: 1 }],
  [[1, 3, 5, 5], [3, 1, 3, 3], { groups: 3, pad: 1 }],
  [[1, 2, 1, 9], [2, 2, 1, 3], { pad: [0, 0, 1, 1], bias: [0.5, -0.25] }],
  [[1, 2, 9, 9], [3, 2, 3, 3], { stride: 2, pad: 1 }],
  [[1, 2, 9, 9], [2, 2, 2, 2], { stride: 3 }],
  [[1, 1, 4, 12], [2, 1, 1, 11]],
  [[1, 8, 12, 12], [8, 8, 5, 5], { pad: 2, bias: Array.from({ length: 8 }, (_, i) => i / 8) }],
];
