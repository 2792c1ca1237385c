/**
 * Reverse-mode differentiation: gradients are more graph, made of the same operations.
 *
 * @module
 */

import { ArgumentError, DtypeError, ShapeError, UnsupportedOpError } from "../errors.ts";
import { FP16_MAX } from "../graph/fp16.ts";
import { sameShape, show } from "../graph/shape.ts";
import { apply, opOf, Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { constLike } from "../ops/gradients.ts";

/** Options of {@linkcode backwardFrom}. */
export interface BackwardFromOptions {
  /**
   * Tensors that are taken as leaves: gradients reach them and go no further (default: the parameters). This keeps an
   * unrolled training step first-order.
   */
  stop?: readonly Tensor[];
}

/** Options of {@linkcode backward}. */
export interface BackwardOptions extends BackwardFromOptions {
  /** Gradient of the loss with respect to itself, at most 65504 (default 1). */
  lossScale?: number;
}

/**
 * Gradients of a loss.
 *
 * @param loss The loss; with more than one element, their sum.
 * @param params Tensors to differentiate by.
 * @param options Loss scale and stop tensors.
 * @returns For each parameter the gradient times the loss scale, same shape.
 * @throws {ArgumentError} when the loss does not depend on a parameter, or the loss scale is not an fp16 number.
 * @throws {UnsupportedOpError} when an operation on the way has no gradient.
 * @example
 * ```ts
 * const w = parameter([[1], [2]]);
 * const loss = x.matmul(w).sub(target).square().mean();
 * const gradient = backward(loss, [w]).get(w);
 * ```
 */
export function backward(
  loss: Tensor,
  params: readonly Tensor[],
  options: BackwardOptions = {},
): Map<Tensor, Tensor> {
  const scale = options.lossScale ?? 1;
  if (typeof scale !== "number" || !(Math.abs(scale) <= FP16_MAX) || scale === 0) {
    throw new ArgumentError(
      `backward: lossScale is ${scale}; expected a number other than 0 and at most ${FP16_MAX}, the largest fp16 value`,
    );
  }
  checkRoot("backward", loss);
  return reverse("backward", constLike(loss, scale), loss, params, options.stop ?? params);
}

/**
 * Gradients from a known gradient at some tensor, for example at the logits of a classifier.
 *
 * @param gradRoot Gradient of the loss with respect to `root`, same shape.
 * @param root The tensor to start from.
 * @param params Tensors to differentiate by.
 * @param options Stop tensors.
 * @returns For each parameter its gradient, same shape.
 * @throws {ShapeError} when gradient and root differ in shape.
 * @throws {ArgumentError} when `root` does not depend on a parameter.
 * @throws {UnsupportedOpError} when an operation on the way has no gradient.
 * @example
 * ```ts
 * const seed = logits.softmax().sub(target).muls(1 / batch);
 * const gradients = backwardFrom(seed, logits, [w]);
 * ```
 */
export function backwardFrom(
  gradRoot: Tensor,
  root: Tensor,
  params: readonly Tensor[],
  options: BackwardFromOptions = {},
): Map<Tensor, Tensor> {
  checkRoot("backwardFrom", root);
  checkRoot("backwardFrom", gradRoot);
  if (!sameShape(gradRoot.shape, root.shape)) {
    throw new ShapeError(
      `backwardFrom: the gradient has shape ${show(gradRoot.shape)}, the root ${show(root.shape)}; they must be equal`,
    );
  }
  return reverse("backwardFrom", gradRoot, root, params, options.stop ?? params);
}

function checkRoot(name: string, root: Tensor): void {
  if (!(root instanceof Tensor)) throw new ArgumentError(`${name}: the value to differentiate is not a Tensor`);
  if (root.dtype === "fp16") return;
  throw new DtypeError(`${name}: ${root.op} ${show(root.shape)} is ${root.dtype}; only fp16 values have gradients`);
}

/** Walks from the root to the parameters and adds up what arrives at each node. */
function reverse(
  name: string,
  seed: Tensor,
  root: Tensor,
  params: readonly Tensor[],
  stop: readonly Tensor[],
): Map<Tensor, Tensor> {
  const leaves = new Set(stop);
  const order = topologicalOrder([root], leaves);
  const wanted = new Set(params);
  for (const node of order) {
    if (!leaves.has(node) && node.inputs.some((input) => wanted.has(input))) wanted.add(node);
  }
  const gradients = new Map([[root, seed]]);
  for (const node of order.reverse()) {
    const g = gradients.get(node);
    if (g === undefined || leaves.has(node) || node.inputs.length === 0 || !wanted.has(node)) continue;
    propagate(name, node, g, wanted, gradients);
  }
  return new Map(params.map((param, i) => {
    const gradient = gradients.get(param);
    if (gradient !== undefined) return [param, gradient];
    const label = param.attrs?.name === undefined ? "" : ` "${param.attrs.name}"`;
    throw new ArgumentError(`${name}: the value does not depend on parameter ${i}${label}, ${param}`);
  }));
}

function propagate(
  name: string,
  node: Tensor,
  g: Tensor,
  wanted: ReadonlySet<Tensor>,
  gradients: Map<Tensor, Tensor>,
): void {
  const op = opOf(node);
  const needs = (i: number): boolean => wanted.has(node.inputs[i]!);
  if (op.gradient === undefined) {
    const reason = op.noGradient ?? "no rule is defined";
    throw new UnsupportedOpError(`${name}: ${node.op} ${show(node.shape)} has no gradient: ${reason}`);
  }
  const parts = op.gradient({ node, inputs: node.inputs, g, needs, apply });
  parts.forEach((part, i) => {
    const input = node.inputs[i]!;
    if (part === null || !needs(i)) return;
    if (!sameShape(part.shape, input.shape)) {
      throw new ShapeError(
        `${name}: the gradient rule of ${node.op} gave ${show(part.shape)} for an operand of shape ${
          show(input.shape)
        }`,
      );
    }
    const sum = gradients.get(input);
    gradients.set(input, sum === undefined ? part : sum.add(part));
  });
}
