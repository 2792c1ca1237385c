/**
 * How large the values of a graph can become, as far as its structure says.
 *
 * @module
 */

import { NDArray } from "../graph/ndarray.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";

/** Largest activation that the decoding of int8 weights is known to take; beyond it products become infinite. */
export const INT8_CEILING = 4094;

/** A bound, or `undefined` when nothing is known. */
type Bound = number | undefined;
type Rule = (node: Tensor, of: readonly Bound[]) => Bound;

/** A normalised value is taken to stay within so many standard deviations. */
const NORM_SIGMA = 8;

const both = (of: readonly Bound[], f: (a: number, b: number) => number): Bound => {
  const [a, b] = of;
  return a === undefined || b === undefined ? undefined : f(a, b);
};
const scaled = (bound: Bound, f: (a: number) => number): Bound => (bound === undefined ? undefined : f(bound));

function largest(value: unknown): Bound {
  return value instanceof NDArray ? value.data.reduce((max, v) => Math.max(max, Math.abs(v)), 0) : undefined;
}

/** Largest sum of magnitudes of a row of [N, K]. */
function rowSum(weight: NDArray): number {
  const inner = weight.shape.at(-1)!;
  let worst = 0;
  for (let row = 0; row < weight.size; row += inner) {
    let sum = 0;
    for (let k = 0; k < inner; k++) sum += Math.abs(weight.data[row + k]!);
    worst = Math.max(worst, sum);
  }
  return worst;
}

const constantly = (bound: number): Rule => () => bound;
const unchanged: Rule = (_node, [a]) => a;
const normalised: Rule = ({ attrs: { gamma, beta } }) =>
  scaled(largest(gamma), (gain) => gain * NORM_SIGMA + (largest(beta) ?? 0));

function rows(names: readonly string[], rule: Rule): Record<string, Rule> {
  return Object.fromEntries(names.map((name) => [name, rule]));
}

/** Bound of a result from those of its operands, by operation; what is not here is unknown. */
const RULES: Readonly<Record<string, Rule>> = {
  ...rows(["sigmoid", "tanh", "softmax", "softsign", "erf", "sigmoid_hard", "l2_norm", "sign"], constantly(1)),
  ...rows(["relu", "abs", "thresholded_relu"], unchanged),
  ...rows(["floor", "ceil", "round"], (_node, [a]) => scaled(a, Math.ceil)),
  ...rows(["reverse", "transpose", "reshape", "squeeze", "expand_dims"], unchanged),
  ...rows(["flatten2d", "slice_by_size", "tile", "identity"], unchanged),
  ...rows(["layer_norm", "rms_norm", "group_norm", "instance_norm"], normalised),
  ...rows(["add", "sub"], (_node, of) => both(of, (a, b) => a + b)),
  ...rows(["maximum", "minimum"], (_node, of) => both(of, Math.max)),
  mul: (_node, of) => both(of, (a, b) => a * b),
  relu6: constantly(6),
  input: ({ attrs }) => attrs.maxAbs as Bound,
  const_array: ({ attrs }) => largest(attrs.value),
  clip: ({ attrs }) => Math.max(Math.abs(attrs.lo as number), Math.abs(attrs.hi as number)),
  threshold: ({ attrs }, [a]) => scaled(a, (bound) => Math.max(bound, Math.abs(attrs.alpha as number))),
  clamped_relu: ({ attrs }, [a]) =>
    scaled(a, (bound) => Math.max(bound, bound * Math.abs(attrs.alpha as number), Math.abs(attrs.beta as number))),
  adds: ({ attrs }, [a]) => scaled(a, (bound) => bound + Math.abs(attrs.k as number)),
  muls: ({ attrs }, [a]) => scaled(a, (bound) => bound * Math.abs(attrs.k as number)),
  matmul: ({ attrs }, [a]) =>
    scaled(a, (bound) => bound * rowSum(attrs.weight as NDArray) + (largest(attrs.bias) ?? 0)),
  bmm: ({ inputs }, of) => both(of, (a, b) => a * b * inputs[0]!.shape.at(-1)!),
};

const PRODUCTS: ReadonlySet<string> = new Set(["matmul", "bmm", "conv"]);

/**
 * The largest magnitude that can enter a product of a graph: promises of inputs (`maxAbs`), constants, and the range of
 * activations, carried through.
 *
 * @param out The value to compute.
 * @returns The bound, 0 without products, `undefined` when it is not known.
 */
export function activationBound(out: Tensor): number | undefined {
  const bounds = new Map<Tensor, Bound>();
  let worst: Bound = 0;
  for (const node of topologicalOrder([out])) {
    const of = node.inputs.map((input) => bounds.get(input));
    bounds.set(node, RULES[node.op]?.(node, of));
    if (PRODUCTS.has(node.op)) worst = both([worst, of[0]], Math.max);
  }
  return worst;
}
