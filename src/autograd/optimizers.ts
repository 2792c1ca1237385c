/**
 * Optimizers that run on the host in fp32.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { warn } from "../warnings.ts";

/**
 * The fp32 master values of a trainable parameter.
 *
 * @param param A tensor made by `parameter`.
 * @returns Its values, shared.
 * @throws {ArgumentError} The tensor is not trainable.
 */
export function masterOf(param: Tensor): Float32Array {
  const value = param.attrs.value;
  if (!param.attrs.trainable || !(value instanceof Float32Array)) {
    throw new ArgumentError(`${param.op} ${show(param.shape)} is not a parameter; make it with parameter(init)`);
  }
  return value;
}

/** Checks a learning rate or a scale. */
export function checkPositive(owner: string, label: string, value: number): number {
  if (!Number.isFinite(value) || value <= 0) {
    throw new ArgumentError(`${owner}: ${label} must be above 0, got ${value}`);
  }
  return value;
}

/** Checks Adam's decay rates. */
export function checkBetas(owner: string, betas: readonly [number, number]): readonly [number, number] {
  if (betas.length !== 2 || betas.some((b) => !(b >= 0 && b < 1))) {
    throw new ArgumentError(`${owner}: betas must be two numbers in [0, 1), got [${betas}]`);
  }
  return betas;
}

/** Options every host optimizer has. */
export interface OptimizerOptions {
  /** Learning rate. */
  readonly lr: number;
  /** Factor the gradients carry; they are divided by it. Default: 1. */
  readonly lossScale?: number;
}

/** What the host optimizers share: the check of the gradients before anything changes. */
export abstract class HostOptimizer {
  /** Learning rate; may be changed between steps. */
  lr: number;
  /** Factor the gradients carry. */
  readonly lossScale: number;
  /** Parameters whose masters are updated. */
  readonly params: readonly Tensor[];
  #skipped = 0;

  /**
   * Starts with no step taken.
   *
   * @param owner Name for messages.
   * @param params Parameters to update.
   * @param options Learning rate and loss scale.
   */
  constructor(owner: string, params: readonly Tensor[], { lr, lossScale = 1 }: OptimizerOptions) {
    params.forEach(masterOf);
    this.params = params;
    this.lr = checkPositive(owner, "lr", lr);
    this.lossScale = checkPositive(owner, "lossScale", lossScale);
  }

  /** Steps skipped in a row because a gradient was not finite. */
  get skipped(): number {
    return this.#skipped;
  }

  /**
   * Applies one update. When any gradient holds an infinity or NaN nothing changes, and a warning is issued on the first
   * such step in a row and on every hundredth.
   *
   * @param grads One array per parameter, in order.
   * @returns Whether the update was applied.
   * @throws {ShapeError} The number of arrays or the length of one does not fit the parameters.
   */
  step(grads: readonly Float32Array[]): boolean {
    if (grads.length !== this.params.length) {
      throw new ShapeError(`step: expected ${this.params.length} gradients, got ${grads.length}`);
    }
    this.params.forEach((param, i) => {
      if (grads[i]!.length !== param.size) {
        throw new ShapeError(
          `step: gradient ${i} has ${grads[i]!.length} elements, its parameter is ${show(param.shape)}`,
        );
      }
    });
    const bad = grads.flatMap((g, i) => (g.every(Number.isFinite) ? [] : [i]));
    if (bad.length > 0) {
      this.#skipped++;
      if (this.#skipped === 1 || this.#skipped % 100 === 0) {
        warn(
          "non-finite",
          `${bad.length} of ${grads.length} parameter gradients are not finite (indices ${
            bad.join(", ")
          }): the step is ` +
            `skipped, ${this.#skipped} in a row. Lower lossScale (now ${this.lossScale})`,
        );
      }
      return false;
    }
    this.#skipped = 0;
    this.apply(grads);
    return true;
  }

  /** Forgets moments and counts, as if no step had been taken. */
  reset(): void {
    this.#skipped = 0;
  }

  /** Updates the masters from finite gradients. */
  protected abstract apply(grads: readonly Float32Array[]): void;
}

/**
 * Gradient descent: `w -= lr * g / lossScale`.
 *
 * @example
 * ```ts
 * const optimizer = new SGD([w], { lr: 0.1 });
 * optimizer.step([gradient]);
 * ```
 */
export class SGD extends HostOptimizer {
  /**
   * Starts with no step taken.
   *
   * @param params Parameters to update.
   * @param options Learning rate and loss scale.
   */
  constructor(params: readonly Tensor[], options: OptimizerOptions) {
    super("SGD", params, options);
  }

  /** Updates the masters from finite gradients. */
  protected override apply(grads: readonly Float32Array[]): void {
    this.params.forEach((param, i) => {
      const w = masterOf(param), g = grads[i]!;
      for (let k = 0; k < w.length; k++) w[k]! -= this.lr * (g[k]! / this.lossScale);
    });
  }
}

/** Options of {@linkcode Adam}. */
export interface AdamOptions extends Partial<OptimizerOptions> {
  /** Decay rates of the two moments. Default: [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root of the second moment. Default: 1e-8. */
  readonly eps?: number;
}

/**
 * Adam with bias correction, on g / lossScale:
 * m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2, w -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps).
 *
 * @example
 * ```ts
 * const optimizer = new Adam(params, { lr: 1e-3, lossScale: 1024 });
 * ```
 */
export class Adam extends HostOptimizer {
  /** Decay rates. */
  readonly betas: readonly [number, number];
  /** Added to the root of the second moment. */
  readonly eps: number;
  /** Updates applied so far. */
  t = 0;
  readonly #m: Float32Array[];
  readonly #v: Float32Array[];

  /**
   * Starts with no step taken and both moments zero.
   *
   * @param params Parameters to update.
   * @param options Learning rate (default 1e-3), loss scale, decay rates, eps.
   */
  constructor(params: readonly Tensor[], options: AdamOptions = {}) {
    const { lr = 1e-3, lossScale, betas = [0.9, 0.999], eps = 1e-8 } = options;
    super("Adam", params, { lr, lossScale });
    this.betas = checkBetas("Adam", betas);
    this.eps = eps;
    this.#m = params.map((param) => new Float32Array(param.size));
    this.#v = params.map((param) => new Float32Array(param.size));
  }

  /** Forgets moments and counts, as if no step had been taken. */
  override reset(): void {
    super.reset();
    this.t = 0;
    for (const moment of [...this.#m, ...this.#v]) moment.fill(0);
  }

  /** Updates the masters from finite gradients. */
  protected override apply(grads: readonly Float32Array[]): void {
    this.t++;
    const [b1, b2] = this.betas;
    const c1 = 1 - b1 ** this.t, c2 = 1 - b2 ** this.t;
    this.params.forEach((param, i) => {
      const w = masterOf(param), m = this.#m[i]!, v = this.#v[i]!, g = grads[i]!;
      for (let k = 0; k < w.length; k++) {
        const d = g[k]! / this.lossScale;
        m[k] = b1 * m[k]! + (1 - b1) * d;
        v[k] = b2 * v[k]! + (1 - b2) * d * d;
        w[k]! -= this.lr * (m[k]! / c1) / (Math.sqrt(v[k]! / c2) + this.eps);
      }
    });
  }
}
