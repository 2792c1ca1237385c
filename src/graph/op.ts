/**
 * How an operation is defined: one object says what it accepts, which shape it gives, how it is lowered, and how it is
 * differentiated.
 *
 * @module
 */

import type { Dtype } from "./dtype.ts";
import type { NDArray } from "./ndarray.ts";
import type { Shape } from "./shape.ts";
import type { Tensor } from "./tensor.ts";
import type { Lowering } from "../mil/text.ts";

/** Sections of the op catalog. */
export type OpCategory =
  | "source"
  | "unary"
  | "activation"
  | "binary"
  | "comparison"
  | "linear"
  | "reduction"
  | "normalization"
  | "convolution"
  | "pooling"
  | "resampling"
  | "shape";

/** A graph node whose attributes have a known type. */
export type Node<A> = Omit<Tensor, "attrs"> & { readonly attrs: Readonly<A> };

/** What an operation makes of its operands. */
export interface NodeSpec<A> {
  /** Extents of the result. */
  shape: Shape;
  /** Element type of the result, fp16 unless given. */
  dtype?: Dtype;
  /** Attributes of the node, when they differ from the arguments (axes counted from the front, and so on). */
  attrs?: A;
}

/** What a gradient rule works with. */
export interface GradientContext<A> {
  /** The node to differentiate. */
  node: Node<A> & Tensor;
  /** Its operands. */
  inputs: readonly Tensor[];
  /** Gradient of the loss with respect to the node, same shape. */
  g: Tensor;
  /** Whether anybody wants the gradient of operand `i`; the rule may return `null` for it otherwise. */
  needs(i: number): boolean;
  /** Makes a node by operation name, for what has no method on Tensor. */
  apply(op: string, inputs: readonly Tensor[], attrs?: Record<string, unknown>): Tensor;
}

/** An operation. `A` is the type of its node attributes. */
export interface OpSpec<A> {
  /** Name of the graph node, snake_case. */
  name: string;
  /** Section of the catalog. */
  category: OpCategory;
  /** One line: what it computes. */
  summary: string;
  /** What each node attribute holds. */
  attrs: { readonly [K in keyof A]-?: string };
  /** Number of operands, 1 unless given. */
  arity?: number | "any";
  /** Element types operand `i` may have; fp16 only unless given. */
  accepts?: (i: number) => readonly Dtype[];
  /** Checks operands and arguments and gives the result's shape, element type and final attributes. */
  infer(inputs: readonly Tensor[], args: A): NodeSpec<A>;
  /** Writes the node's constants and statements. Inputs of a program have none. */
  lower?(node: Node<A>, out: Lowering): void;
  /** Gradient per operand, `null` for none. */
  gradient?(context: GradientContext<A>): readonly (Tensor | null)[];
  /** Why there is no gradient rule. */
  noGradient?: string;
  /** First capability family that has the operation; every family unless given. */
  family?: number;
  /** The same value from operations every family has, for families below `family`. */
  portable?: { warning: string; build(node: Node<A>): Tensor };
  /** What a family refuses about this node, as the rest of a sentence, or `undefined` when it is fine. */
  refuses?(node: Node<A>, family: number): string | undefined;
  /** Multiplications and additions; none unless given. */
  flops?(node: Node<A>): number;
  /** Arrays the node bakes into the program. */
  weights?(node: Node<A>): readonly NDArray[];
}

/** An operation of any attribute type, as kept in tables. */
// deno-lint-ignore no-explicit-any
export type OpDef = OpSpec<any>;

/** Attributes of an operation that has none. */
export type NoAttrs = Record<never, never>;

/**
 * Fixes the attribute type of an operation while its object is written.
 *
 * @param spec The operation.
 * @returns The same object.
 */
export function defineOp<A extends object>(spec: OpSpec<A>): OpDef {
  return spec;
}
