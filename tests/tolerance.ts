/**
 * When a result counts as right: what an operation may be off by, and what the silicon was measured to be off by.
 *
 * @module
 */

import { roundHalf } from "../src/graph/fp16.ts";
import { OP_CASES, type Tolerance } from "./op_cases.ts";

/** The arithmetic of the host device: the chip's own, or fp16 operands with fp32 sums. */
export type Mode = "ane" | "fast";

/** What an operation may be off by, in both arithmetics. */
export type Tolerances = Readonly<Record<Mode, Tolerance>>;

/** Distance of two neighbouring fp16 numbers at a magnitude. */
export function spacing(v: number): number {
  return 2 ** (Math.max(Math.floor(Math.log2(Math.abs(v))), -14) - 10);
}

/** Half of the distance of two neighbours with 11 significant bits, for magnitudes that fp16 holds with fewer; else 0. */
function firstRounding(v: number): number {
  return v === 0 || Math.abs(v) >= 2 ** -14 ? 0 : 2 ** (Math.floor(Math.log2(Math.abs(v))) - 11);
}

/**
 * How far a value may be from `expected`, when `largest` is the largest magnitude of the result. Small products are
 * rounded twice on the chip: to 11 bits, then to what fp16 has below 2^-14.
 */
export function allowed(expected: number, largest: number, { ulps = 0, abs = 0, rel = 0, max = 0 }: Tolerance): number {
  const unit = ulps && ulps * (expected === 0 ? 2 ** -24 : spacing(expected)) + firstRounding(expected);
  return unit + abs + rel * Math.abs(expected) + max * largest;
}

/** A result held against its formula. */
export interface Verdict {
  /** Largest error, relative to the largest magnitude of the formula. */
  maxRel: number;
  /** Largest error. */
  maxAbs: number;
  /** The first element that is off by more than allowed, as the rest of a sentence. */
  failure?: string;
}

/** Holds a result against its formula. */
export function judge(got: ArrayLike<number>, expected: Float64Array, tolerance: Tolerance): Verdict {
  if (got.length !== expected.length) {
    return { maxRel: Infinity, maxAbs: Infinity, failure: `${got.length} elements, expected ${expected.length}` };
  }
  const largest = expected.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  let maxAbs = 0, failure: string | undefined;
  expected.forEach((v, i) => {
    const limit = tolerance.exact ? 0 : allowed(v, largest, tolerance);
    const target = tolerance.exact ? roundHalf(v) : v;
    const error = got[i] === target ? 0 : Math.abs(got[i]! - target);
    if (!(error <= maxAbs)) maxAbs = error; // a NaN stays
    if (error <= limit) return;
    failure ??= `element ${i} is ${got[i]}, expected ${target} within ${limit} (off ${error})`;
  });
  return { maxRel: maxAbs === 0 ? 0 : maxAbs / largest, maxAbs, failure };
}

const SAME = (tolerance: Tolerance): Tolerances => ({ ane: tolerance, fast: tolerance });

/**
 * Tolerances of what is made of several operations. Sums of products: two roundings of fp16 at the size of the result;
 * with a table behind them, the table's published worst error times what it is multiplied by.
 */
const COMPOSED: Readonly<Record<string, Tolerances>> = {
  product: SAME({ max: 2e-3, abs: 1e-3 }),
  attention: { ane: { max: 2e-2, abs: 1e-3 }, fast: { max: 4e-3, abs: 1e-3 } },
  gated: { ane: { max: 2e-2, abs: 2e-2 }, fast: { max: 4e-3, abs: 1e-3 } },
  chain: SAME({ max: 6e-3, abs: 1e-3 }),
  scaleBias: SAME({ ulps: 1.51, abs: 2e-3 }),
  softmax: { ane: { abs: 3e-3, rel: 2e-2 }, fast: { abs: 1e-3, rel: 4e-3 } },
  logSoftmax: { ane: { abs: 2e-2, rel: 5e-3 }, fast: { abs: 5e-3, rel: 2e-3 } },
  moved: SAME({ exact: true }),
  root: SAME({ rel: 8e-3, abs: 2e-3 }),
  quantized: SAME({ max: 2.5e-2, abs: 1e-3 }),
  integers: SAME({ abs: 1 }),
  polynomial: { ane: { abs: 4e-3, rel: 1e-2 }, fast: { abs: 4e-3, rel: 6e-3 } },
  gamma: { ane: { abs: 3e-2, rel: 5e-2 }, fast: { abs: 3e-2, rel: 5e-2 } },
  wide: { ane: { abs: 8e-2, rel: 4e-2 }, fast: { abs: 2e-2, rel: 6e-3 } },
  pair: SAME({ ulps: 0.51, abs: 2e-5 }),
  pairSum: SAME({ ulps: 1.51, abs: 2e-3 }),
};

/** What an operation of the table of cases, or a composition of a kind, may be off by. */
export function toleranceOf(name: string): Tolerances {
  const found = COMPOSED[name] ?? OP_CASES.find(({ op }) => op === name);
  if (found === undefined) throw new Error(`no tolerance for '${name}'`);
  return found;
}

/** A worst error measured on silicon. */
export interface Published {
  /** Absolute. */
  abs?: number;
  /** In units in the last place. */
  ulps?: number;
  /** Of the whole result: length of the error over the length of the result. */
  rel?: number;
  /** The arguments it was measured over. */
  over?: string;
}

/** Published errors of single operations. The ranges are those of the cases or wider. */
export const PUBLISHED: Readonly<Record<string, Published>> = {
  sigmoid: { abs: 3.355e-3, over: "-12 to 12" },
  tanh: { abs: 1.613e-3, over: "-6 to 6" },
  gelu: { abs: 6.159e-3, over: "-8 to 8" },
  exp: { ulps: 9.1, over: "-12 to 10" },
  log: { abs: 6.638e-3, over: "2^-10 to 1000" },
  sqrt: { abs: 1.81e-2, ulps: 1.2, over: "2^-10 to 1000" },
  rsqrt: { abs: 8.139e-3, ulps: 2.1, over: "2^-6 to 1000" },
  inverse: { abs: 4.375e-1, ulps: 13.5, over: "2^-6 to 1000, epsilon 1e-4" },
  erf: { abs: 8.642e-4, ulps: 3, over: "-2 to 2" },
  sin: { abs: 6.329e-4, over: "-8 to 8" },
  silu: { abs: 1.491e-2, over: "-12 to 12" },
  atan: { rel: 1.9e-2 },
  elu: { rel: 5e-3 },
  matmul: { rel: 3e-4 },
  conv: { rel: 3e-4 },
  layer_norm: { rel: 6.667e-4, over: "[197, 768], normal" },
  rms_norm: { rel: 5.58e-4, over: "[197, 768], normal" },
  group_norm: { rel: 7.41e-4, over: "[1, 256, 64, 64] in 32 groups, normal" },
  mha: { rel: 1.574e-3, over: "197 rows" },
};
