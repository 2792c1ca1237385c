/**
 * Activations with parameters, and sums and products with a number.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { FP16_MAX } from "../graph/fp16.ts";
import { checkNumber } from "../graph/check.ts";
import { NDArray } from "../graph/ndarray.ts";
import { defineOp, type GradientContext, type OpDef, type OpSpec } from "../graph/op.ts";
import { show } from "../graph/shape.ts";
import { fp16Literal } from "../mil/text.ts";
import { warn } from "../warnings.ts";
import type { Tensor } from "../graph/tensor.ts";
import { between, piecewise, zerosLike } from "./gradients.ts";

/** Parameter names, in the order of the program text's `alpha`, `beta`. */
type Parameters<K extends string> = Readonly<Record<K, string>>;

/** An activation whose parameters are written as `alpha` and `beta` of one MIL operation. */
function activation<K extends string>(
  name: string,
  summary: string,
  attrs: Parameters<K>,
  gradient: (x: Tensor, g: Tensor, attrs: Readonly<Record<K, number>>) => Tensor,
): OpDef {
  const keys = Object.keys(attrs) as K[];
  return defineOp<Record<K, number>>({
    name,
    category: "activation",
    summary,
    attrs: attrs as OpSpec<Record<K, number>>["attrs"],
    infer([x], args) {
      for (const key of keys) checkNumber(name, key, args[key]);
      if (name === "clip" && (args as Record<string, number>).lo! > (args as Record<string, number>).hi!) {
        const { lo, hi } = args as Record<string, number>;
        throw new ArgumentError(`clip: lo ${lo} is above hi ${hi}`);
      }
      return { shape: x!.shape };
    },
    lower(node, out) {
      const args: Record<string, string> = { alpha: fp16Literal(node.attrs[keys[0]!]) };
      if (keys.length > 1) args.beta = fp16Literal(node.attrs[keys[1]!]);
      out.result(name, { ...args, x: out.source(0) });
    },
    gradient: ({ inputs: [x], g, node }: GradientContext<Record<K, number>>) => [gradient(x!, g, node.attrs)],
  });
}

function checkScalar(op: string, k: number): void {
  checkNumber(op, "k", k);
  if (Number.isFinite(k) && Math.abs(k) >= FP16_MAX + 16) {
    warn("fp16-range", `${op}: the constant ${k} becomes infinite in fp16 (largest ${FP16_MAX})`);
  }
}

const ROUNDING = new Set(["floor", "ceil", "round"]);

/**
 * Whether a node rounds to integers. A scalar factor behind such a node is fused into it and lost, so the factor is
 * written out in full.
 *
 * @param node The node.
 * @returns `true` for floor, ceil and round.
 */
export function isRounding(node: Tensor): boolean {
  return ROUNDING.has(node.op);
}

const alpha = { alpha: "slope or bound" };
const alphaBeta = { alpha: "first parameter of the formula", beta: "second parameter of the formula" };

/** Activations with parameters. */
export const ACTIVATION_OPS: readonly OpDef[] = [
  activation(
    "elu",
    "x > 0 ? x : alpha (exp(x) - 1)",
    alpha,
    (x, g, { alpha }) => g.mul(piecewise(x, 0, x.exp().muls(alpha), 1)),
  ),
  activation(
    "leaky_relu",
    "x >= 0 ? x : alpha x",
    alpha,
    (x, g, { alpha }) => g.mul(piecewise(x, 0, alpha, 1)),
  ),
  activation("threshold", "max(x, alpha)", alpha, (x, g, { alpha }) => piecewise(x, alpha, 0, g)),
  activation("thresholded_relu", "x >= alpha ? x : 0", alpha, (x, g, { alpha }) => {
    const zero = zerosLike(x);
    return x.greaterEqual(zero.adds(alpha)).select(g, zero);
  }),
  activation(
    "clip",
    "min(max(x, lo), hi)",
    { lo: "lower bound", hi: "upper bound" },
    (x, g, { lo, hi }) => g.mul(between(x, lo, hi, 1)),
  ),
  activation(
    "scaled_tanh",
    "alpha tanh(beta x)",
    alphaBeta,
    (x, g, { alpha, beta }) => g.mul(x.muls(beta).tanh().square().muls(-1).adds(1).muls(alpha * beta)),
  ),
  activation(
    "clamped_relu",
    "min(beta, x >= 0 ? x : alpha x)",
    alphaBeta,
    (x, g, { alpha, beta }) => g.mul(piecewise(x.leakyRelu(alpha), beta, piecewise(x, 0, alpha, 1), 0)),
  ),
  activation(
    "sigmoid_hard",
    "min(max(alpha x + beta, 0), 1)",
    alphaBeta,
    (x, g, { alpha, beta }) => g.mul(between(x.muls(alpha).adds(beta), 0, 1, alpha)),
  ),
  activation("linear_activation", "alpha x + beta", alphaBeta, (_x, g, { alpha }) => g.muls(alpha)),
  defineOp<{ alpha: NDArray }>({
    name: "prelu",
    category: "activation",
    summary: "x > 0 ? x : alpha[c] x, one slope per channel (axis 1)",
    attrs: { alpha: "slopes [C]" },
    infer([x], { alpha }) {
      const { shape } = x!;
      if (shape.length < 3) {
        throw new ShapeError(`prelu: x has shape ${show(shape)}; expected rank 3 or more, [N, C, ..]`);
      }
      if (alpha.rank !== 1 || alpha.size !== shape[1]) {
        throw new ShapeError(
          `prelu: alpha has shape ${show(alpha.shape)}; x ${show(shape)} has ${shape[1]} channels, so expected [${
            shape[1]
          }]`,
        );
      }
      return { shape };
    },
    lower(node, out) {
      const slopes = out.weight("a", node.attrs.alpha);
      out.result("prelu", { x: out.source(0), alpha: slopes });
    },
    gradient({ inputs: [x], g, node }) {
      const shape = [1, node.shape[1]!, ...node.shape.slice(2).map(() => 1)];
      const slopes = zerosLike(x!).add(new NDArray(node.attrs.alpha.data, shape));
      return [g.mul(piecewise(x!, 0, slopes, 1))];
    },
    weights: (node) => [node.attrs.alpha],
  }),
  defineOp<{ k: number }>({
    name: "adds",
    category: "binary",
    summary: "x + k, k a number",
    attrs: { k: "the number added" },
    infer([x], { k }) {
      checkScalar("adds", k);
      return { shape: x!.shape };
    },
    lower: (node, out) => {
      const k = out.f16("k", node.attrs.k);
      out.result("add", { x: out.source(0), y: k });
    },
    gradient: ({ g }) => [g],
  }),
  defineOp<{ k: number }>({
    name: "muls",
    category: "binary",
    summary: "x * k, k a number",
    attrs: { k: "the factor" },
    infer([x], { k }) {
      checkScalar("muls", k);
      return { shape: x!.shape };
    },
    lower(node, out) {
      const x = out.source(0);
      const { k } = node.attrs;
      // A reduction times zero does not compile.
      if (k === 0) out.result("sub", { x, y: x });
      else out.result("mul", { x, y: isRounding(node.inputs[0]!) ? out.filled("kf", k) : out.f16("k", k) });
    },
    gradient: ({ g, node }) => [g.muls(node.attrs.k)],
  }),
];
