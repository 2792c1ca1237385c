/**
 * Optimizer steps as graph operations, so that they run on the device in fp16.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { sameShape, show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";

/** Options of {@linkcode adamStep}. */
export interface AdamStepOptions {
  /** Decay rates of the two moments. Default: [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment; 1e-8, the default, is 0 in fp16. */
  readonly eps?: number;
}

/** Parameters and moments after a step. */
export interface AdamState {
  /** Updated parameters. */
  readonly params: Tensor[];
  /** Updated first moments. */
  readonly m: Tensor[];
  /** Updated second moments. */
  readonly v: Tensor[];
}

function checkLists(owner: string, lists: Readonly<Record<string, readonly Tensor[]>>): void {
  const [first, ...rest] = Object.entries(lists);
  for (const [name, list] of rest) {
    if (list.length !== first![1].length) {
      throw new ShapeError(`${owner}: ${first![1].length} ${first![0]}, but ${list.length} ${name}`);
    }
    list.forEach((tensor, i) => {
      const { shape } = first![1][i]!;
      if (!sameShape(tensor.shape, shape)) {
        throw new ShapeError(`${owner}: ${name}[${i}] is ${show(tensor.shape)}, its parameter ${show(shape)}`);
      }
    });
  }
}

/**
 * One Adam update: m' = b1 m + (1-b1) g, v' = b2 v + (1-b2) g^2, w' = w - lr_t m' / (sqrt(v') + eps).
 *
 * A loss scale in the gradients cancels in m' / sqrt(v') and is not divided out. Where a weight never gets a gradient the
 * quotient is 0 / 0, which is 0 on the device.
 *
 * @param params Parameters.
 * @param m First moments, shaped like the parameters.
 * @param v Second moments, likewise.
 * @param grads Gradients, likewise.
 * @param lr Step size with the bias correction in it, see {@linkcode adamRate}; broadcasts, usually an input [1, 1].
 * @param options Decay rates and eps.
 * @returns The new parameters and moments.
 * @throws {ShapeError} The lists do not fit together.
 *
 * @example
 * ```ts
 * const next = adamStep([w], [m], [v], [g], input([1, 1]));
 * ```
 */
export function adamStep(
  params: readonly Tensor[],
  m: readonly Tensor[],
  v: readonly Tensor[],
  grads: readonly Tensor[],
  lr: Tensor,
  options: AdamStepOptions = {},
): AdamState {
  const { betas: [b1, b2] = [0.9, 0.999], eps = 1e-8 } = options;
  checkLists("adamStep", { params, m, v, grads });
  const m1 = m.map((moment, i) => moment.muls(b1).add(grads[i]!.muls(1 - b1)));
  const v1 = v.map((moment, i) => moment.muls(b2).add(grads[i]!.square().muls(1 - b2)));
  return {
    params: params.map((param, i) => {
      const quotient = rate(lr, param).mul(m1[i]!).div(v1[i]!.sqrt().adds(eps));
      return param.sub(quotient);
    }),
    m: m1,
    v: v1,
  };
}

/** The rate in a shape that broadcasts to the parameter's without raising its rank. */
function rate(lr: Tensor, param: Tensor): Tensor {
  if (lr.rank <= param.rank) return lr;
  return lr.reshape(param.shape.map(() => 1));
}

/**
 * The step size to feed at step `t` (from 1): `lr * sqrt(1 - b2^t) / (1 - b1^t)`.
 *
 * @param lr Learning rate.
 * @param t Number of the step, from 1.
 * @param betas Decay rates. Default: [0.9, 0.999].
 * @returns The step size.
 */
export function adamRate(lr: number, t: number, betas: readonly [number, number] = [0.9, 0.999]): number {
  return lr * Math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t);
}

/**
 * One step of gradient descent: w' = w - lr_t g.
 *
 * @param params Parameters.
 * @param grads Gradients, shaped like the parameters.
 * @param lr Learning rate divided by the loss scale; broadcasts, usually an input [1, 1].
 * @returns The new parameters.
 * @throws {ShapeError} The lists do not fit together.
 *
 * @example
 * ```ts
 * const [next] = sgdStep([w], [g], input([1, 1]));
 * ```
 */
export function sgdStep(params: readonly Tensor[], grads: readonly Tensor[], lr: Tensor): Tensor[] {
  checkLists("sgdStep", { params, grads });
  return params.map((param, i) => param.sub(rate(lr, param).mul(grads[i]!)));
}
