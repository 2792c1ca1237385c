/**
 * Operations a family lacks, replaced by formulas every family has.
 *
 * @module
 */

import { UnsupportedOpError } from "../errors.ts";
import { opOf, Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { warn } from "../warnings.ts";

/**
 * Rebuilds a graph without operations that start above a family. Graphs that have none are returned as they are.
 *
 * @param roots Values to keep.
 * @param family Capability family.
 * @returns One node per root, with the same value.
 * @throws {UnsupportedOpError} when an operation has no formula.
 */
export function substitutePortable(roots: readonly Tensor[], family: number): readonly Tensor[] {
  const order = topologicalOrder(roots);
  if (!order.some((node) => (opOf(node).family ?? 0) > family)) return roots;
  const replaced = new Map<Tensor, Tensor>();
  for (const node of order) {
    const inputs = node.inputs.map((input) => replaced.get(input)!);
    const same = inputs.every((input, i) => input === node.inputs[i]);
    const rebuilt = same ? node : new Tensor(node.op, node.shape, node.dtype, inputs, node.attrs);
    const op = opOf(node);
    if ((op.family ?? 0) <= family) {
      replaced.set(node, rebuilt);
      continue;
    }
    if (op.portable === undefined) {
      throw new UnsupportedOpError(
        `${node.op}: needs capability family ${op.family} or later; the target is ${family}`,
      );
    }
    warn("portable-op", `${node.op}: family ${family} lacks it; ${op.portable.warning}`, node.op);
    replaced.set(node, op.portable.build(rebuilt));
  }
  return roots.map((root) => replaced.get(root)!);
}
