/**
 * The digit classifier trained in float64 with plain loops: what the device's training is compared to. Written from the
 * formulas, without the graph, the gradient rules or the optimizers of the module.
 *
 * @module
 */

import { erf } from "./reference_kernels.ts";

/** Weights by layer, row-major. */
export interface Weights {
  /** [pixels, hidden] */
  W1: Float64Array;
  /** [hidden] */
  b1: Float64Array;
  /** [hidden, classes] */
  W2: Float64Array;
  /** [classes] */
  b2: Float64Array;
}

/** x [m, k] times w [k, n]. */
function product(x: Float64Array, w: Float64Array, m: number, k: number, n: number): Float64Array {
  const y = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const v = x[i * k + p]!;
      if (v === 0) continue;
      for (let j = 0; j < n; j++) y[i * n + j]! += v * w[p * n + j]!;
    }
  }
  return y;
}

function transposed(x: Float64Array, m: number, n: number): Float64Array {
  const y = new Float64Array(x.length);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) y[j * m + i] = x[i * n + j]!;
  return y;
}

function addRow(x: Float64Array, row: Float64Array): Float64Array {
  return x.map((v, i) => v + row[i % row.length]!);
}

function columnSums(x: Float64Array, n: number): Float64Array {
  const sums = new Float64Array(n);
  x.forEach((v, i) => sums[i % n]! += v);
  return sums;
}

const gelu = (v: number): number => 0.5 * v * (1 + erf(v / Math.SQRT2));
const geluSlope = (v: number): number =>
  0.5 * (1 + erf(v / Math.SQRT2)) + v * Math.exp(-v * v / 2) / Math.sqrt(2 * Math.PI);

/** Loss before the update, and its gradient. */
export function lossAndGradient(
  { W1, b1, W2, b2 }: Weights,
  x: Float64Array,
  target: Float64Array,
): { loss: number; gradient: Weights } {
  const hidden = b1.length, classes = b2.length, pixels = W1.length / hidden, rows = target.length / classes;
  const z = addRow(product(x, W1, rows, pixels, hidden), b1);
  const h = z.map(gelu);
  const logits = addRow(product(h, W2, rows, hidden, classes), b2);
  const delta = new Float64Array(logits.length);
  let loss = 0;
  for (let i = 0; i < rows; i++) {
    const row = logits.subarray(i * classes, (i + 1) * classes);
    const max = Math.max(...row);
    const e = row.map((v) => Math.exp(v - max));
    const sum = e.reduce((a, b) => a + b, 0);
    for (let c = 0; c < classes; c++) {
      const t = target[i * classes + c]!;
      delta[i * classes + c] = (e[c]! / sum - t) / rows;
      loss -= t * Math.log(e[c]! / sum) / rows;
    }
  }
  const dh = product(delta, transposed(W2, hidden, classes), rows, classes, hidden);
  const dz = dh.map((v, i) => v * geluSlope(z[i]!));
  return {
    loss,
    gradient: {
      W1: product(transposed(x, rows, pixels), dz, pixels, rows, hidden),
      b1: columnSums(dz, hidden),
      W2: product(transposed(h, rows, hidden), delta, hidden, rows, classes),
      b2: columnSums(delta, classes),
    },
  };
}

/** Adam in float64: m, v with bias correction, or plain descent. */
export class ReferenceTraining {
  /** Current weights. */
  readonly weights: Weights;
  readonly #lr: number;
  readonly #m: Weights;
  readonly #v: Weights;
  #t = 0;

  constructor(weights: Weights, lr: number) {
    this.weights = weights;
    this.#lr = lr;
    const zeros = (): Weights => ({
      W1: new Float64Array(weights.W1.length),
      b1: new Float64Array(weights.b1.length),
      W2: new Float64Array(weights.W2.length),
      b2: new Float64Array(weights.b2.length),
    });
    this.#m = zeros();
    this.#v = zeros();
  }

  /** One step of Adam; returns the loss before it. */
  step(x: Float64Array, target: Float64Array): number {
    const { loss, gradient } = lossAndGradient(this.weights, x, target);
    this.#t++;
    const c1 = 1 - 0.9 ** this.#t, c2 = 1 - 0.999 ** this.#t;
    for (const name of ["W1", "b1", "W2", "b2"] as const) {
      const w = this.weights[name], g = gradient[name], m = this.#m[name], v = this.#v[name];
      for (let k = 0; k < w.length; k++) {
        m[k] = 0.9 * m[k]! + 0.1 * g[k]!;
        v[k] = 0.999 * v[k]! + 0.001 * g[k]! * g[k]!;
        w[k]! -= this.#lr * (m[k]! / c1) / (Math.sqrt(v[k]! / c2) + 1e-8);
      }
    }
    return loss;
  }
}
