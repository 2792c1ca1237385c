/**
 * Folding of constants: nodes whose whole cone is baked are computed here, with the rounding of the device.
 *
 * @module
 */

import { FP16_MAX, roundHalf } from "../graph/fp16.ts";
import { NDArray } from "../graph/ndarray.ts";
import { type Shape, sizeOf } from "../graph/shape.ts";
import { apply, type Tensor } from "../graph/tensor.ts";
import { rebuild } from "./rewrite.ts";

/** Most elements a folded constant may have; larger ones would only swell the weights. */
export const FOLD_LIMIT = 65536;

/** Nearest multiple of 2^quantum, ties away from zero. */
function toGrid(value: number, quantum: number): number {
  const units = Math.abs(value) / 2 ** quantum;
  return Math.sign(value) * Math.floor(units + 0.5) * 2 ** quantum;
}

function exponent(value: number): number {
  let e = Math.floor(Math.log2(Math.abs(value)));
  if (2 ** e > Math.abs(value)) e--;
  if (2 ** (e + 1) <= Math.abs(value)) e++;
  return e;
}

/** To fp16, ties away from zero; NaN to +inf. */
function roundAway(value: number): number {
  if (Number.isNaN(value)) return Infinity;
  if (value === 0 || !Number.isFinite(value)) return value;
  const rounded = toGrid(value, Math.max(exponent(value) - 10, -24));
  return Math.abs(rounded) > FP16_MAX ? Math.sign(value) * Infinity : rounded;
}

/** A sum: exact, then rounded once. Indeterminate ones are 0. */
const add = (a: number, b: number): number => (Number.isNaN(a + b) ? 0 : roundAway(a + b));

/** A product: rounded to 11 significant bits, then to fp16. Indeterminate ones are 0. */
function multiply(a: number, b: number): number {
  const exact = a * b;
  if (Number.isNaN(exact)) return 0;
  return roundAway(exact === 0 || !Number.isFinite(exact) ? exact : toGrid(exact, exponent(exact) - 10));
}

/** An operand as the device reads it: fp16, NaN as +inf. */
function read(value: number): number {
  const half = roundHalf(value);
  return Number.isNaN(half) ? Infinity : half;
}

type Values = Float32Array<ArrayBuffer>;

function map(x: NDArray, f: (value: number) => number): Values {
  return Float32Array.from(x.data, (value) => f(read(value)));
}

/** f over two arrays, broadcast to `shape`. */
function zip(a: NDArray, b: NDArray, shape: Shape, f: (a: number, b: number) => number): Values {
  const steps = [a, b].map(({ shape: own }) => {
    let step = 1;
    const result = own.map(() => 0);
    for (let i = own.length - 1; i >= 0; i--) {
      result[i] = own[i] === 1 ? 0 : step;
      step *= own[i]!;
    }
    return [...new Array<number>(shape.length - own.length).fill(0), ...result];
  });
  const at = (i: number, step: readonly number[]): number => {
    let offset = 0;
    for (let axis = shape.length - 1, rest = i; axis >= 0; rest = Math.floor(rest / shape[axis]!), axis--) {
      offset += (rest % shape[axis]!) * step[axis]!;
    }
    return offset;
  };
  const result = new Float32Array(sizeOf(shape));
  return result.map((_, i) => f(read(a.data[at(i, steps[0]!)]!), read(b.data[at(i, steps[1]!)]!)));
}

type Rule = (node: Tensor, values: readonly NDArray[]) => Values;

const scalar = (node: Tensor): number => read(node.attrs.k as number);

/** How constants are computed, by operation. What is not here stays in the program. */
const RULES: Readonly<Record<string, Rule>> = {
  muls: (node, [x]) => map(x!, (value) => multiply(value, scalar(node))),
  adds: (node, [x]) => map(x!, (value) => add(value, scalar(node))),
  add: (node, [a, b]) => zip(a!, b!, node.shape, add),
  sub: (node, [a, b]) => zip(a!, b!, node.shape, (x, y) => add(x, -y)),
  mul: (node, [a, b]) => zip(a!, b!, node.shape, multiply),
  relu: (_node, [x]) => map(x!, (value) => Math.max(value, 0)),
  reshape: (_node, [x]) => map(x!, (value) => value),
  cast: (_node, [x]) => map(x!, (value) => value),
};

/** A graph with constants folded. */
export interface Folded {
  /** One node per root. */
  readonly roots: readonly Tensor[];
  /** Nodes that became constants. */
  readonly count: number;
}

/**
 * Computes what depends on constants alone: scalar and elementwise sums and products, relu, reshape. The numbers are those
 * of the device's own arithmetic, bit for bit.
 *
 * @param roots Values to keep.
 * @returns The new roots; without anything to fold, those given.
 */
export function foldConstants(roots: readonly Tensor[]): Folded {
  let count = 0;
  const folded = rebuild(roots, (node) => {
    const rule = RULES[node.op];
    const constant = node.inputs.length > 0 && node.inputs.every(({ op }) => op === "const_array");
    if (rule === undefined || !constant || node.size > FOLD_LIMIT) return node;
    count++;
    const values = rule(node, node.inputs.map(({ attrs }) => attrs.value as NDArray));
    return apply("const_array", [], { value: new NDArray(values, node.shape) });
  });
  return { roots: folded, count };
}
