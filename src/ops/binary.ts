/**
 * Elementwise operations of two operands, comparisons, and `select`.
 *
 * @module
 */

import type { Dtype } from "../graph/dtype.ts";
import { NDArray } from "../graph/ndarray.ts";
import { defineOp, type GradientContext, type NoAttrs, type OpDef } from "../graph/op.ts";
import { broadcastShapes } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { isRounding } from "./activation.ts";
import { unbroadcast, zerosLike } from "./gradients.ts";

type Context = GradientContext<NoAttrs>;

/** Gradients of both operands before summing back to their shapes. */
type Rule = (context: Context) => readonly [Tensor | null, Tensor | null];

/** The larger (or smaller) operand gets the gradient; where both are equal each gets half. */
function extremum(wins: (a: Tensor, b: Tensor) => Tensor): Rule {
  return ({ inputs: [a, b], g }) => {
    const zero = zerosLike(g);
    const share = (mine: Tensor, other: Tensor): Tensor =>
      wins(mine, other).select(g, mine.equal(other).select(g.muls(0.5), zero));
    return [share(a!, b!), share(b!, a!)];
  };
}

/** Exponent minus one; of a baked exponent it is baked too. */
function decremented(exponent: Tensor): Tensor | NDArray {
  if (exponent.op !== "const_array") return exponent.adds(-1);
  const { data, shape } = exponent.attrs.value as NDArray;
  return new NDArray(data.map((value) => value - 1), shape);
}

const ARITHMETIC: readonly [name: string, summary: string, rule: Rule][] = [
  ["add", "a + b", ({ g }) => [g, g]],
  ["sub", "a - b", ({ g, needs }) => [g, needs(1) ? g.muls(-1) : null]],
  ["mul", "a * b", ({ inputs: [a, b], g, needs }) => [needs(0) ? g.mul(b!) : null, needs(1) ? g.mul(a!) : null]],
  ["real_div", "a / b", ({ inputs: [, b], g, node, needs }) => {
    const quotient = g.div(b!);
    return [quotient, needs(1) ? quotient.mul(node).muls(-1) : null];
  }],
  ["pow", "a to the power of b", ({ inputs: [a, b], g, node, needs }) => [
    needs(0) ? g.mul(b!.mul(a!.pow(decremented(b!)))) : null,
    needs(1) ? g.mul(node.mul(a!.log())) : null,
  ]],
  ["maximum", "the larger of a and b", extremum((a, b) => a.greater(b))],
  ["minimum", "the smaller of a and b", extremum((a, b) => a.less(b))],
];

/** The factor to write out in full when a rounding result is multiplied by a single baked number, else undefined. */
function roundingFactor(node: { inputs: readonly Tensor[] }): { rounded: number; factor: number } | undefined {
  for (const rounded of [0, 1]) {
    const constant = node.inputs[1 - rounded]!;
    if (constant.op !== "const_array" || constant.size !== 1 || !isRounding(node.inputs[rounded]!)) continue;
    return { rounded, factor: (constant.attrs.value as NDArray).item() };
  }
  return undefined;
}

const COMPARISONS: readonly [name: string, summary: string][] = [
  ["greater", "a > b"],
  ["less", "a < b"],
  ["equal", "a = b"],
  ["not_equal", "a differs from b"],
  ["less_equal", "a <= b"],
  ["greater_equal", "a >= b"],
];

const BOOL: readonly Dtype[] = ["bool"];
const FP16: readonly Dtype[] = ["fp16"];

/** Elementwise operations of two or three operands, and logical_not. */
export const BINARY_OPS: readonly OpDef[] = [
  ...ARITHMETIC.map(([name, summary, rule]) =>
    defineOp<NoAttrs>({
      name,
      category: "binary",
      summary,
      attrs: {},
      arity: 2,
      infer: ([a, b]) => ({ shape: broadcastShapes(name, a!.shape, b!.shape) }),
      lower(node, out) {
        const full = name === "mul" ? roundingFactor(node) : undefined;
        if (full === undefined) out.result(name, { x: out.source(0), y: out.source(1) });
        else out.result("mul", { x: out.source(full.rounded), y: out.filled("kf", full.factor) });
      },
      gradient: (context) =>
        rule(context).map((g, i) => g !== null && context.needs(i) ? unbroadcast(g, context.inputs[i]!.shape) : null),
    })
  ),
  ...COMPARISONS.map(([name, summary]) =>
    defineOp<NoAttrs>({
      name,
      category: "comparison",
      summary,
      attrs: {},
      arity: 2,
      infer: ([a, b]) => ({ shape: broadcastShapes(name, a!.shape, b!.shape), dtype: "bool" }),
      lower: (_node, out) => void out.result(name, { x: out.source(0), y: out.source(1) }),
      noGradient: "a comparison is constant wherever its derivative exists",
    })
  ),
  defineOp<NoAttrs>({
    name: "logical_not",
    category: "comparison",
    summary: "true where the operand is false",
    attrs: {},
    accepts: () => BOOL,
    infer: ([x]) => ({ shape: x!.shape, dtype: "bool" }),
    lower: (_node, out) => void out.result("logical_not", { x: out.source(0) }),
    noGradient: "its operand is a truth value",
  }),
  defineOp<NoAttrs>({
    name: "select",
    category: "comparison",
    summary: "a where the condition holds, else b",
    attrs: {},
    arity: 3,
    accepts: (i) => (i === 0 ? BOOL : FP16),
    infer: ([condition, a, b]) => {
      const shape = broadcastShapes("select", a!.shape, b!.shape);
      return { shape: broadcastShapes("select", condition!.shape, shape) };
    },
    lower: (_node, out) => void out.result("select", { cond: out.source(0), a: out.source(1), b: out.source(2) }),
    gradient({ inputs: [condition, a, b], g, needs }) {
      const zero = zerosLike(g);
      return [
        null,
        needs(1) ? unbroadcast(condition!.select(g, zero), a!.shape) : null,
        needs(2) ? unbroadcast(condition!.select(zero, g), b!.shape) : null,
      ];
    },
  }),
];
