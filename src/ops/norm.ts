/**
 * Softmax and normalisations.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { checkNumber } from "../graph/check.ts";
import { NDArray } from "../graph/ndarray.ts";
import { defineOp, type OpDef } from "../graph/op.ts";
import { checkRank, normalizeAxis, type Shape, show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";

/** Checks `[M, D]` and one vector `[D]` per column. */
function checkAffine(op: string, x: Tensor, vectors: Record<string, NDArray>): void {
  checkRank(op, "x", x.shape, 2, "[M, D]; reshape to two axes first");
  for (const [label, { shape }] of Object.entries(vectors)) {
    if (shape.length === 1 && shape[0] === x.shape[1]) continue;
    throw new ShapeError(
      `${op}: ${label} has shape ${show(shape)}; x is ${show(x.shape)}, so expected [${x.shape[1]}]`,
    );
  }
}

/** `g * gamma` per column; a gain of ones needs no product. */
function scaled(g: Tensor, gamma: NDArray): Tensor {
  if (gamma.data.every((value) => value === 1)) return g;
  return g.mul(new NDArray(gamma.data, [1, gamma.size]));
}

/** `value` where the norm is above its floor, else 0. */
function above(norm: Tensor, floor: number, value: Tensor): Tensor {
  return norm.greater(norm.sub(norm).adds(floor)).select(value, value.sub(value));
}

/**
 * Checks the small number of a normalisation.
 *
 * @param op Operation named in the message.
 * @param eps The number.
 * @throws {ArgumentError} when it is negative or not a number.
 */
export function checkEpsilon(op: string, eps: number): void {
  if (checkNumber(op, "eps", eps) < 0) throw new ArgumentError(`${op}: eps is ${eps}; expected a number of at least 0`);
}

const reduced = (shape: Shape, axis: number): Shape => shape.map((extent, i) => (i === axis ? 1 : extent));

/** Softmax and normalisations. */
export const NORM_OPS: readonly OpDef[] = [
  defineOp<{ axis: number }>({
    name: "softmax",
    category: "normalization",
    summary: "exp(x) / sum(exp(x)) along one axis",
    attrs: { axis: "the axis that sums to 1" },
    infer: ([x], { axis }) => ({ shape: x!.shape, attrs: { axis: normalizeAxis("softmax", axis, x!.shape) } }),
    lower: (node, out) => {
      const axis = out.i32("ax", node.attrs.axis);
      out.result("softmax", { axis, x: out.source(0) });
    },
    gradient({ inputs: [x], g, node }) {
      const y = x!.softmax(node.attrs.axis);
      return [y.mul(g.sub(g.mul(y).sum(node.attrs.axis)))];
    },
  }),
  // y = x / max(|x|, sqrt(eps)): eps is a floor under the norm, not an addend.
  defineOp<{ axis: number; eps: number }>({
    name: "l2_norm",
    category: "normalization",
    summary: "x / max(sqrt(sum(x^2)), sqrt(eps)) along one axis",
    attrs: { axis: "the axis whose norm becomes 1", eps: "square of the smallest norm divided by" },
    infer([x], { axis, eps }) {
      checkEpsilon("l2_norm", eps);
      return { shape: x!.shape, attrs: { axis: normalizeAxis("l2_norm", axis, x!.shape), eps } };
    },
    lower(node, spaced) {
      const out = spaced.tight();
      const { axis, eps } = node.attrs;
      const shape = reduced(node.shape, axis);
      const axes = out.list("ax", [axis]);
      const keep = out.bool("kd", true);
      const norm = out.helper("nrm", "reduce_l2_norm", { axes, keep_dims: keep, x: out.source(0) }, shape);
      const floored = out.helper("sn", "maximum", { x: norm, y: out.f16("ep", eps ** 0.5) }, shape);
      out.result("real_div", { x: out.source(0), y: floored });
    },
    // (g - y sum(g y)) / |x| above the floor, g / sqrt(eps) on it. |x| is sum(x y), which does not overflow before |x| does,
    // unlike sum(x^2); on the floor it is x^2 / sqrt(eps), which is below the floor as well.
    gradient({ inputs: [x], g, node }) {
      const { axis, eps } = node.attrs;
      const floor = Math.sqrt(eps), norm = x!.mul(node).sum(axis);
      return [g.sub(above(norm, floor, node.mul(g.mul(node).sum(axis)))).div(norm.threshold(floor))];
    },
  }),
  // y = x sqrt(D) gamma / max(|x|, sqrt(D eps)): sqrt(D) is folded into the gain.
  defineOp<{ gamma: NDArray; eps: number }>({
    name: "rms_norm",
    category: "normalization",
    summary: "x / max(sqrt(mean(x^2)), sqrt(eps)) * gamma per row",
    attrs: { gamma: "gain [D]", eps: "square of the smallest root mean square divided by" },
    infer([x], { gamma, eps }) {
      checkEpsilon("rms_norm", eps);
      checkAffine("rms_norm", x!, { gamma });
      return { shape: x!.shape };
    },
    lower(node, spaced) {
      const out = spaced.tight();
      const { gamma, eps } = node.attrs;
      const [rows, columns] = node.shape as [number, number];
      const root = Math.fround(Math.sqrt(columns));
      const gain = out.weight("g", new NDArray(gamma.data.map((v) => v * root), [1, columns]));
      const axes = out.list("ax", [1]);
      const keep = out.bool("kd", true);
      const norm = out.helper("nrm", "reduce_l2_norm", { axes, keep_dims: keep, x: out.source(0) }, [rows, 1]);
      const floored = out.helper("sn", "maximum", { x: norm, y: out.f16("ep", (columns * eps) ** 0.5) }, [rows, 1]);
      const unit = out.helper("dv", "real_div", { x: out.source(0), y: floored });
      out.result("mul", { x: unit, y: gain });
    },
    // n = x r, r = 1/max(rms, sqrt(eps)): r (g gamma - n mean(g gamma n)) above the floor, r g gamma on it.
    gradient({ inputs: [x], g, node }) {
      const gn = scaled(g, node.attrs.gamma);
      const floor = Math.sqrt(node.attrs.eps), rms = x!.square().mean(1).sqrt();
      const r = rms.threshold(floor).inverse();
      const n = x!.mul(r);
      return [gn.sub(above(rms, floor, n.mul(gn.mul(n).mean(1)))).mul(r)];
    },
    weights: (node) => [node.attrs.gamma],
  }),
  defineOp<{ gamma: NDArray; beta: NDArray; eps: number }>({
    name: "layer_norm",
    category: "normalization",
    summary: "(x - mean) / sqrt(variance + eps) * gamma + beta per row",
    attrs: { gamma: "gain [D]", beta: "offset [D]", eps: "added to the variance" },
    infer([x], { gamma, beta, eps }) {
      checkEpsilon("layer_norm", eps);
      checkAffine("layer_norm", x!, { gamma, beta });
      return { shape: x!.shape };
    },
    lower(node, spaced) {
      const out = spaced.tight();
      const { gamma, beta, eps } = node.attrs;
      const row = [node.shape[0]!, 1];
      const gain = out.weight("g", gamma, [1, gamma.size]);
      const offset = out.weight("b", beta, [1, beta.size]);
      const reduction = { axes: out.list("ax", [1]), keep_dims: out.bool("kd", true) };
      const mean = out.helper("mu", "reduce_mean", { ...reduction, x: out.source(0) }, row);
      const centered = out.helper("xc", "sub", { x: out.source(0), y: mean });
      const squared = out.helper("sq", "mul", { x: centered, y: centered });
      const variance = out.helper("var", "reduce_mean", { ...reduction, x: squared }, row);
      const safe = out.helper("ve", "add", { x: variance, y: out.f16("ep", eps) }, row);
      const scale = out.helper("rr", "rsqrt", { epsilon: "fp16(0.0)", x: safe }, row);
      const unit = out.helper("xn", "mul", { x: centered, y: scale });
      const gained = out.helper("gg", "mul", { x: unit, y: gain });
      out.result("add", { x: gained, y: offset });
    },
    // n = (x - mean) r, r = 1/std: r (g gamma - mean(g gamma) - n mean(g gamma n)).
    gradient({ inputs: [x], g, node }) {
      const gn = scaled(g, node.attrs.gamma);
      const centered = x!.sub(x!.mean(1));
      const r = centered.square().mean(1).adds(node.attrs.eps).rsqrt();
      const n = centered.mul(r);
      return [gn.sub(gn.mean(1)).sub(n.mul(gn.mul(n).mean(1))).mul(r)];
    },
    weights: (node) => [node.attrs.gamma, node.attrs.beta],
  }),
];
