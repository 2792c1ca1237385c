/**
 * Rewriting of graphs: patterns and what replaces them. Nodes are never changed; a node whose operands were replaced is
 * made anew, an untouched graph comes back as the same objects.
 *
 * @module
 */

import { roundHalf } from "../graph/fp16.ts";
import { NDArray } from "../graph/ndarray.ts";
import { sameShape } from "../graph/shape.ts";
import { apply, Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";

/** One pattern and its replacement. */
export interface Rewrite {
  /** Name in the report. */
  readonly name: string;
  /** Operation at the root of the pattern. */
  readonly op: string;
  /** Whether the value stays the same, bit for bit, for every finite input (a zero may lose its sign). */
  readonly lossless: boolean;
  /** The replacement of a node whose operands are rewritten already, or `undefined` when the pattern does not match. */
  replace(node: Tensor): Tensor | undefined;
}

/** Rewrites that have been applied: how often, by name. */
export type RewriteCounts = Record<string, number>;

/** A rewritten graph. */
export interface Rewritten {
  /** One node per root. */
  readonly roots: readonly Tensor[];
  /** What was done. */
  readonly counts: RewriteCounts;
}

const source = (node: Tensor): Tensor => node.inputs[0]!;

/** A row whose replacement is the operand when `drops` holds. */
function dropping(name: string, op: string, drops: (node: Tensor) => boolean): Rewrite {
  return { name, op, lossless: true, replace: (node) => (drops(node) ? source(node) : undefined) };
}

/** A transpose of a transpose: perm[i] = inner[outer[i]]; nothing when that is the identity. */
function joinTransposes(node: Tensor): Tensor | undefined {
  const inner = source(node);
  if (inner.op !== "transpose") return undefined;
  const first = inner.attrs.perm as readonly number[];
  const perm = (node.attrs.perm as readonly number[]).map((axis) => first[axis]!);
  return perm.every((axis, i) => axis === i) ? source(inner) : source(inner).transpose(perm);
}

/**
 * Rewrites that keep every value. First match per node wins; a node is tried again until none matches, so the result of
 * one pass from the operands up has no match left.
 */
export const CANONICAL: readonly Rewrite[] = [
  dropping("cast_same", "cast", (node) => source(node).dtype === "fp16" && source(node).op !== "input"),
  dropping("reshape_same", "reshape", (node) => sameShape(node.shape, source(node).shape)),
  {
    name: "reshape_chain",
    op: "reshape",
    lossless: true,
    replace: (node) => (source(node).op === "reshape" ? source(source(node)).reshape(node.shape) : undefined),
  },
  { name: "transpose_chain", op: "transpose", lossless: true, replace: joinTransposes },
  dropping("mul_one", "muls", (node) => node.attrs.k === 1),
  dropping("add_zero", "adds", (node) => node.attrs.k === 0),
  {
    name: "not_not",
    op: "logical_not",
    lossless: true,
    replace: (node) => (source(node).op === "logical_not" ? source(source(node)) : undefined),
  },
];

/** k2 of (k1 of x) as one operation, its number rounded to fp16: one rounding of the value instead of two. */
function scalarChain(name: string, op: "muls" | "adds", join: (a: number, b: number) => number): Rewrite {
  return {
    name,
    op,
    lossless: false,
    replace(node) {
      const inner = source(node);
      if (inner.op !== op) return undefined;
      const k = roundHalf(join(roundHalf(inner.attrs.k as number), roundHalf(node.attrs.k as number)));
      return Number.isFinite(k) ? apply(op, [source(inner)], { k }) : undefined;
    },
  };
}

/** Chains of scalar factors or scalar terms become one. */
export const SCALAR_CHAINS: readonly Rewrite[] = [
  scalarChain("muls_muls", "muls", (a, b) => a * b),
  scalarChain("adds_adds", "adds", (a, b) => a + b),
];

/** sum over one axis as a product with ones[K, 1], which sums wide; the axis goes last and back. */
function sumAsProduct(node: Tensor): Tensor | undefined {
  const axes = node.attrs.axes as readonly number[];
  if (axes.length !== 1) return undefined;
  const x = source(node);
  const [axis] = axes as [number];
  const last = x.rank - 1;
  const ones = new NDArray(new Float32Array(x.shape[axis]!).fill(1), [x.shape[axis]!, 1]);
  if (axis === last) return x.matmul(ones);
  const swap = x.shape.map((_, i) => (i === axis ? last : i === last ? axis : i));
  return x.transpose(swap).matmul(ones).transpose(swap);
}

/** Sums over one axis, written as matrix products. Other rounding, and saturation at 2^15. */
export const SUMS_AS_PRODUCTS: readonly Rewrite[] = [
  { name: "reduce_sum_to_matmul", op: "reduce_sum", lossless: false, replace: sumAsProduct },
];

/**
 * A node with other operands.
 *
 * @param node The node.
 * @param inputs Its operands to be.
 * @returns The node itself when they are the ones it has.
 */
export function withInputs(node: Tensor, inputs: readonly Tensor[]): Tensor {
  if (inputs.every((input, i) => input === node.inputs[i])) return node;
  return new Tensor(node.op, node.shape, node.dtype, inputs, node.attrs);
}

/**
 * Replaces nodes from the operands up, in one pass.
 *
 * @param roots Values to keep.
 * @param replace The replacement of a node with rewritten operands (the original comes second), or the node itself.
 * @returns One node per root.
 */
export function rebuild(
  roots: readonly Tensor[],
  replace: (node: Tensor, original: Tensor) => Tensor,
): readonly Tensor[] {
  const replaced = new Map<Tensor, Tensor>();
  for (const node of topologicalOrder(roots)) {
    const inputs = node.inputs.map((input) => replaced.get(input)!);
    replaced.set(node, replace(withInputs(node, inputs), node));
  }
  return roots.map((root) => replaced.get(root)!);
}

/**
 * Applies rewrites until none matches. Takes time linear in the number of nodes: every replacement has operands that are
 * rewritten already, so only the new node itself is looked at again.
 *
 * @param roots Values to keep.
 * @param rules The rewrites, first match wins.
 * @returns The new roots and what was done. Without a match the roots are those given.
 */
export function rewrite(roots: readonly Tensor[], rules: readonly Rewrite[]): Rewritten {
  const counts: RewriteCounts = {};
  const byOp = Map.groupBy(rules, (rule) => rule.op);
  const once = (node: Tensor): Tensor | undefined => {
    for (const rule of byOp.get(node.op) ?? []) {
      const result = rule.replace(node);
      if (result === undefined) continue;
      counts[rule.name] = (counts[rule.name] ?? 0) + 1;
      return result;
    }
    return undefined;
  };
  const result = rebuild(roots, (node) => {
    let current = node;
    for (let next = once(current); next !== undefined; next = once(current)) current = next;
    return current;
  });
  return { roots: result, counts };
}
