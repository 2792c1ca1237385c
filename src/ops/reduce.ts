/**
 * Reductions. The reduced axes stay with extent 1.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { defineOp, type GradientContext, type OpDef } from "../graph/op.ts";
import { normalizeAxes } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { constLike, onesLike, reducedSize, zerosLike } from "./gradients.ts";

interface ReduceAttrs {
  axes: readonly number[];
  detached?: boolean;
}

type Rule = (x: Tensor, g: Tensor, y: Tensor, axes: readonly number[]) => Tensor;

/** Elements equal to the extremum share the gradient evenly. */
const shareTies: Rule = (x, g, y, axes) => {
  const zero = zerosLike(x);
  const ties = x.equal(y).select(zero.adds(1), zero);
  return ties.mul(g.div(ties.sum(axes)));
};

const RULES: readonly [name: string, summary: string, rule: Rule][] = [
  ["reduce_sum", "sum", (x, g) => g.mul(onesLike(x))],
  ["reduce_mean", "mean", (x, g, _y, axes) => g.mul(constLike(x, 1 / reducedSize(x.shape, axes)))],
  ["reduce_max", "largest element", shareTies],
  ["reduce_min", "smallest element", shareTies],
  ["reduce_l1_norm", "sum of magnitudes", (x, g) => g.mul(x.sign())],
  ["reduce_log_sum", "ln of the sum", (x, g, _y, axes) => g.mul(x.sum(axes).inverse()).mul(onesLike(x))],
  ["reduce_sum_square", "sum of squares", (x, g) => g.mul(x.muls(2))],
  ["reduce_log_sum_exp", "ln of the sum of exponentials", (x, g, y) => g.mul(x.sub(y).exp())],
];

/** Reductions. */
export const REDUCE_OPS: readonly OpDef[] = RULES.map(([name, summary, rule]) =>
  defineOp<ReduceAttrs>({
    name,
    category: "reduction",
    summary,
    attrs: {
      axes: "axes reduced, in the order given",
      detached: "whether backward treats the result as a constant",
    },
    infer([x], args) {
      const axes = normalizeAxes(name, args.axes, x!.shape);
      if (axes.length === 0) throw new ShapeError(`${name}: no axes given; expected at least one`);
      const shape = x!.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
      return { shape, attrs: { ...args, axes } };
    },
    lower(node, out) {
      const axes = out.list("ax", node.attrs.axes);
      const keep = out.bool("kd", true);
      out.result(name, { axes, keep_dims: keep, x: out.source(0) });
    },
    gradient: ({ inputs: [x], g, node }: GradientContext<ReduceAttrs>) => [
      node.attrs.detached ? null : rule(x!, g, node, node.attrs.axes),
    ],
  })
);
