/**
 * Elementwise functions of one operand and no parameter.
 *
 * @module
 */

import { checkNumber } from "../graph/check.ts";
import { defineOp, type GradientContext, type NoAttrs, type OpDef } from "../graph/op.ts";
import type { Tensor } from "../graph/tensor.ts";
import { fp16Literal, type Lowering } from "../mil/text.ts";
import { opFloor } from "../targets/targets.ts";
import { between, piecewise, zerosLike } from "./gradients.ts";

/** Derivative with respect to x, times g. */
type Rule = (x: Tensor, g: Tensor, y: Tensor) => Tensor;

/** One line per function: name, formula, gradient or the reason there is none. */
const RULES: readonly [name: string, summary: string, rule: Rule | string][] = [
  ["relu", "max(x, 0)", (x, g) => {
    const zero = zerosLike(x);
    return x.greater(zero).select(g, zero);
  }],
  ["relu6", "min(max(x, 0), 6)", (x, g) => g.mul(between(x, 0, 6, 1))],
  ["silu", "x * sigmoid(x)", (x, g) => {
    const s = x.sigmoid();
    return g.mul(s.mul(x.mul(s.muls(-1).adds(1)).adds(1)));
  }],
  ["gelu", "0.5 x (1 + erf(x / sqrt 2))", (x, g) => {
    const cdf = x.muls(Math.SQRT1_2).erf().adds(1).muls(0.5);
    const pdf = x.square().muls(-0.5).exp().muls(1 / Math.sqrt(2 * Math.PI));
    return g.mul(cdf.add(x.mul(pdf)));
  }],
  ["sigmoid", "1 / (1 + exp(-x))", (x, g) => {
    const s = x.sigmoid();
    return g.mul(s.mul(s.muls(-1).adds(1)));
  }],
  ["tanh", "tanh(x)", (x, g) => g.mul(x.tanh().square().muls(-1).adds(1))],
  ["softsign", "x / (1 + |x|)", (x, g) => g.mul(x.abs().adds(1).inverse().square())],
  ["softplus", "ln(1 + exp(x))", (x, g) => g.mul(x.sigmoid())],
  ["exp", "e^x", (_x, g, y) => g.mul(y)],
  ["exp2", "2^x", (_x, g, y) => g.mul(y.muls(Math.LN2))],
  ["sqrt", "square root", (x, g) => g.mul(x.rsqrt().muls(0.5))],
  ["abs", "|x|", (x, g) => g.mul(piecewise(x, 0, -1, 1))],
  ["square", "x * x", (x, g) => g.mul(x.muls(2))],
  ["erf", "error function", (x, g) => g.mul(x.square().muls(-1).exp().muls(2 / Math.sqrt(Math.PI)))],
  ["atan", "arc tangent", (x, g) => g.mul(x.square().adds(1).inverse())],
  ["floor", "largest integer not above x", "it is constant between integers, so its derivative is 0 where it exists"],
  ["ceil", "smallest integer not below x", "it is constant between integers, so its derivative is 0 where it exists"],
  ["round", "nearest integer", "it is constant between half integers, so its derivative is 0 where it exists"],
  ["sign", "-1, 0 or 1", "it is constant on both sides of 0, so its derivative is 0 where it exists"],
];

/** Lowerings that are not the function's own MIL operation. */
const LOWERINGS: Readonly<Record<string, (out: Lowering) => void>> = {
  gelu: (out) => {
    const mode = out.string("m", "EXACT");
    out.result("gelu", { x: out.source(0), mode });
  },
  // The native square fails to compile in front of a nonlinearity.
  square: (out) => void out.result("mul", { x: out.source(0), y: out.source(0) }),
  // The native round adds 0.5 in fp16, which moves integers from 1024 on; those are integers already.
  round: (out) => {
    const x = out.source(0);
    const limit = out.f16("c", 1024);
    const magnitude = out.helper("a", "abs", { x });
    const small = out.helper("lt", "less", { x: magnitude, y: limit }, undefined, "bool");
    const rounded = out.helper("r", "round", { x });
    out.result("select", { cond: small, a: rounded, b: x });
  },
  // The native softplus gives 0 from ln(65504) = 11.09 on: softplus(min(x, 10)) + relu(x - 10).
  softplus: (out) => {
    const x = out.source(0);
    const capped = out.helper("m", "minimum", { x, y: out.f16("c", 10) });
    const low = out.helper("s", "softplus", { x: capped });
    const excess = out.helper("t", "add", { x, y: out.f16("nc", -10) });
    const high = out.helper("r", "relu", { x: excess });
    out.result("add", { x: low, y: high });
  },
};

/** Coefficients in x^2, lowest first, of sin(x)/x and cos(x) on [-pi/2, pi/2]. */
const SIN_COEFFICIENTS = [1, -0.1666589028907664, 0.008315949363584022, -0.0001860843359648393];
const COS_COEFFICIENTS = [1, -0.4999308182201791, 0.041511585587052556, -0.0012786608784929124];

/** Horner's rule in `x`; a coefficient c is the node chain exp(x * 0) * c. */
function polynomial(x: Tensor, coefficients: readonly number[]): Tensor {
  const constant = (c: number): Tensor => x.muls(0).exp().muls(c);
  let sum = constant(coefficients.at(-1)!);
  for (const c of coefficients.slice(0, -1).reverse()) sum = sum.mul(x).add(constant(c));
  return sum;
}

function trigonometric(
  name: string,
  summary: string,
  rule: Rule,
  build: (x: Tensor) => Tensor,
): OpDef {
  return defineOp<NoAttrs>({
    name,
    category: "unary",
    summary,
    attrs: {},
    infer: ([x]) => ({ shape: x!.shape }),
    lower: (_node, out) => void out.result(name, { x: out.source(0) }),
    gradient: ({ inputs: [x], g, node }) => [rule(x!, g, node)],
    family: opFloor(name),
    portable: {
      warning: "a polynomial that holds for -pi/2 <= x <= pi/2 is used, reduce larger arguments first",
      build: (node) => build(node.inputs[0]!),
    },
  });
}

function epsilonOp(name: string, summary: string, rule: (context: GradientContext<{ eps: number }>) => Tensor): OpDef {
  return defineOp<{ eps: number }>({
    name,
    category: "unary",
    summary,
    attrs: { eps: "number added to x; below 3e-8 it is 0 in fp16" },
    infer([x], { eps }) {
      checkNumber(name, "eps", eps);
      return { shape: x!.shape };
    },
    lower: (node, out) => void out.result(name, { epsilon: fp16Literal(node.attrs.eps), x: out.source(0) }),
    gradient: (context) => [rule(context)],
  });
}

/** Elementwise functions of one operand. */
export const UNARY_OPS: readonly OpDef[] = [
  ...RULES.map(([name, summary, rule]) =>
    defineOp<NoAttrs>({
      name,
      category: "unary",
      summary,
      attrs: {},
      infer: ([x]) => ({ shape: x!.shape }),
      lower: (_node, out) => {
        const special = LOWERINGS[name];
        if (special === undefined) out.result(name, { x: out.source(0) });
        else special(out);
      },
      ...(typeof rule === "string"
        ? { noGradient: rule }
        : { gradient: ({ inputs: [x], g, node }: GradientContext<NoAttrs>) => [rule(x!, g, node)] }),
    })
  ),
  trigonometric("sin", "sine", (x, g) => g.mul(x.cos()), (x) => x.mul(polynomial(x.mul(x), SIN_COEFFICIENTS))),
  trigonometric("cos", "cosine", (x, g) => g.mul(x.sin().muls(-1)), (x) => polynomial(x.mul(x), COS_COEFFICIENTS)),
  epsilonOp("log", "ln(x + eps)", ({ inputs: [x], g, node }) => g.mul(x!.inverse(node.attrs.eps))),
  epsilonOp("rsqrt", "1 / sqrt(x + eps)", ({ g, node }) => g.mul(node.mul(node).mul(node).muls(-0.5))),
  epsilonOp("inverse", "1 / (x + eps)", ({ g, node }) => g.mul(node.mul(node).muls(-1))),
];
