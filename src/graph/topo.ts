/**
 * Order of evaluation of a graph.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Depth-first post-order: every node after its operands. Of several operands the last one's cone comes first; names in
 * program text follow from this order. Uses an explicit stack, so depth is not limited.
 *
 * @param roots Nodes to reach; the first one's cone comes first.
 * @param leaves Nodes whose operands are not followed.
 * @returns Every node reached, once.
 * @throws {ArgumentError} when a root is not a tensor.
 */
export function topologicalOrder(roots: readonly Tensor[], leaves?: ReadonlySet<Tensor>): Tensor[] {
  const order: Tensor[] = [];
  const seen = new Set<Tensor>();
  if (!Array.isArray(roots) || !roots.every((root) => Array.isArray(root?.inputs))) {
    throw new ArgumentError("the outputs of a graph must be tensors; something else was given");
  }
  const stack: [node: Tensor, done: boolean][] = roots.map((root): [Tensor, boolean] => [root, false]).reverse();
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    const [node, done] = top;
    if (done) {
      order.push(node);
      continue;
    }
    if (seen.has(node)) continue;
    seen.add(node);
    stack.push([node, true]);
    if (leaves?.has(node)) continue;
    for (const input of node.inputs) {
      if (!seen.has(input)) stack.push([input, false]);
    }
  }
  return order;
}
