/**
 * Routes: operations that exist both as a native layer, which cuts the program in two, and as a formula that fuses. The
 * cheaper form by estimate is taken; the value is the same.
 *
 * @module
 */

import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { rebuild } from "./rewrite.ts";

/** An operation with a second form. */
export interface Route {
  /** The operation. */
  readonly op: string;
  /** Whether this node has the second form, for operations that have it only in part; always unless given. */
  readonly accepts?: (node: Tensor) => boolean;
  /** The second form of a node. */
  readonly replace: (node: Tensor) => Tensor;
}

/** One way to write a graph. */
export interface RouteCandidate {
  /** Which nodes are replaced, by their place in topological order: `native`, `route:4`, `route:all`. */
  readonly name: string;
  /** The graph. */
  readonly root: Tensor;
}

/** Every operation with two forms. A graph without one of them has a single candidate: itself. */
export const ROUTES: readonly Route[] = [];

/**
 * All ways to write a graph: as it is, each single node replaced, all of them replaced.
 *
 * @param root The value to compute.
 * @param routes Operations with two forms.
 * @returns The candidates; the first is the graph itself.
 */
export function routeCandidates(root: Tensor, routes: readonly Route[] = ROUTES): RouteCandidate[] {
  const candidates: RouteCandidate[] = [{ name: "native", root }];
  if (routes.length === 0) return candidates;
  const byOp = new Map(routes.map((route) => [route.op, route]));
  const found = topologicalOrder([root]).map((node, i) => ({ node, i })).filter(({ node }) => {
    const route = byOp.get(node.op);
    return route !== undefined && (route.accepts?.(node) ?? true);
  });
  const without = (nodes: ReadonlySet<Tensor>): Tensor =>
    rebuild([root], (node, original) => (nodes.has(original) ? byOp.get(node.op)!.replace(node) : node))[0]!;
  for (const { node, i } of found) candidates.push({ name: `route:${i}`, root: without(new Set([node])) });
  if (found.length > 1) {
    candidates.push({ name: "route:all", root: without(new Set(found.map(({ node }) => node))) });
  }
  return candidates;
}

/**
 * The candidate with the lowest cost; of equal ones the first.
 *
 * @param candidates At least one.
 * @param cost Cost of a graph.
 * @returns The cheapest.
 */
export function cheapest<C extends { readonly root: Tensor }>(
  candidates: readonly C[],
  cost: (root: Tensor) => number,
): C {
  let best = candidates[0]!;
  if (candidates.length === 1) return best;
  let lowest = cost(best.root);
  for (const candidate of candidates.slice(1)) {
    const own = cost(candidate.root);
    if (own < lowest) [best, lowest] = [candidate, own];
  }
  return best;
}
