/**
 * Losses.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { sameShape, show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";

/**
 * Mean squared error over all elements: `mean((y - target)^2)`.
 *
 * @param y Prediction.
 * @param target What it should be, same shape.
 * @returns A tensor of extent 1 on every axis.
 * @throws {ShapeError} The shapes differ.
 *
 * @example
 * ```ts
 * const loss = mse(x.matmul(w), target);
 * ```
 */
export function mse(y: Tensor, target: Tensor): Tensor {
  if (!sameShape(y.shape, target.shape)) {
    throw new ShapeError(`mse: prediction ${show(y.shape)} and target ${show(target.shape)} must have the same shape`);
  }
  return y.sub(target).square().mean(y.shape.map((_, axis) => axis));
}

/**
 * Softmax cross entropy, as an objective to train on. There is no logarithm on the device: its gradient with respect to the
 * logits is `softmax(logits) - target`, and the value is computed on the host from the logits.
 */
export class CrossEntropy {
  /** Scores, [rows, classes]. */
  readonly logits: Tensor;
  /** Probabilities, [rows, classes]; usually one-hot. */
  readonly target: Tensor;

  /**
   * Checks and keeps the two.
   *
   * @param logits Scores, [rows, classes].
   * @param target Probabilities, same shape.
   * @throws {ShapeError} The two are not of rank 2 and the same shape.
   */
  constructor(logits: Tensor, target: Tensor) {
    if (logits.rank !== 2 || target.rank !== 2 || !sameShape(logits.shape, target.shape)) {
      throw new ShapeError(
        `softmaxCrossEntropy: logits ${show(logits.shape)} and target ${
          show(target.shape)
        } must both be [rows, classes]`,
      );
    }
    this.logits = logits;
    this.target = target;
  }

  /**
   * The gradient to start the backward pass from: `(softmax(logits) - target) * scale / rows`.
   *
   * @param scale Loss scale. Default: 1.
   * @returns A tensor shaped like the logits.
   */
  seed(scale = 1): Tensor {
    return this.logits.softmax(-1).sub(this.target).muls(scale / this.logits.shape[0]!);
  }
}

/**
 * Softmax cross entropy of logits against targets, averaged over the rows.
 *
 * @param logits Scores, [rows, classes].
 * @param target Probabilities, same shape.
 * @returns The objective, for a trainer or for `backwardFrom(ce.seed(scale), ce.logits, params)`.
 * @throws {ShapeError} The two are not of rank 2 and the same shape.
 *
 * @example
 * ```ts
 * const objective = softmaxCrossEntropy(logits, target);
 * ```
 */
export function softmaxCrossEntropy(logits: Tensor, target: Tensor): CrossEntropy {
  return new CrossEntropy(logits, target);
}

/**
 * Value of the cross entropy on the host: the mean over the rows of `-sum(target * log softmax(logits))`, with the row's
 * maximum subtracted first.
 *
 * @param logits Scores, row-major.
 * @param target Probabilities, row-major.
 * @param classes Length of a row.
 * @returns The mean loss; NaN when a logit is NaN or +infinity; infinite when a target falls on a logit of -infinity.
 */
export function crossEntropyValue(logits: ArrayLike<number>, target: ArrayLike<number>, classes: number): number {
  if (logits.length !== target.length || logits.length % classes !== 0) {
    throw new ShapeError(
      `crossEntropyValue: ${logits.length} logits and ${target.length} targets are not rows of ${classes}`,
    );
  }
  const rows = logits.length / classes;
  let total = 0;
  for (let start = 0; start < logits.length; start += classes) {
    let max = -Infinity, sum = 0, expected = 0, weight = 0;
    for (let i = start; i < start + classes; i++) max = Math.max(max, logits[i]!);
    for (let i = start; i < start + classes; i++) {
      sum += Math.exp(logits[i]! - max);
      if (target[i] !== 0) {
        expected += target[i]! * (logits[i]! - max);
        weight += target[i]!;
      }
    }
    total += weight * Math.log(sum) - expected;
  }
  return total / rows;
}
