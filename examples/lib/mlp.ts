/**
 * The classifier of the digit examples: pixels -> hidden GELU units -> 10 classes.
 *
 * @module
 */

import { type CrossEntropy, softmaxCrossEntropy } from "../../src/autograd/losses.ts";
import type { LabelledImages } from "../../src/data/idx.ts";
import { NDArray } from "../../src/graph/ndarray.ts";
import { input, parameter, type Tensor } from "../../src/graph/tensor.ts";
import { Random } from "../../src/random.ts";

/** Number of digits. */
export const CLASSES = 10;

/** The graph with what it is fed with. */
export interface Mlp {
  /** Images, [batch, pixels]. */
  x: Tensor;
  /** One-hot labels, [batch, 10]. */
  target: Tensor;
  /** Scores, [batch, 10]. */
  logits: Tensor;
  /** W1 [pixels, hidden], b1 [1, hidden], W2 [hidden, 10], b2 [1, 10]. */
  params: Tensor[];
  /** What to minimize. */
  objective: CrossEntropy;
}

/**
 * Builds the network: logits = gelu(x W1 + b1) W2 + b2. Weights are normal with variance 2 / fan-in and 1 / fan-in, biases 0.
 *
 * @example
 * ```ts
 * const { objective, params } = buildMlp(128, 784, 256, 0);
 * ```
 */
export function buildMlp(batch: number, pixels: number, hidden: number, seed: number): Mlp {
  const random = new Random(seed);
  const weights = (name: string, rows: number, columns: number, variance: number): Tensor =>
    parameter(new NDArray(random.normals(rows * columns, Math.sqrt(variance)), [rows, columns]), { name });
  const zeros = (name: string, columns: number): Tensor =>
    parameter(new NDArray(new Float32Array(columns), [1, columns]), { name });
  const x = input([batch, pixels]), target = input([batch, CLASSES]);
  const W1 = weights("W1", pixels, hidden, 2 / pixels), b1 = zeros("b1", hidden);
  const W2 = weights("W2", hidden, CLASSES, 1 / hidden), b2 = zeros("b2", CLASSES);
  const logits = x.matmul(W1).add(b1).gelu().matmul(W2).add(b2);
  return { x, target, logits, params: [W1, b1, W2, b2], objective: softmaxCrossEntropy(logits, target) };
}

/** Pixels as fp16 in [0, 1], one row per image. */
export function pixelRows({ images }: LabelledImages): Float16Array {
  const scale = Float16Array.from({ length: 256 }, (_, v) => v / 255);
  const rows = new Float16Array(images.length);
  for (let i = 0; i < images.length; i++) rows[i] = scale[images[i]!]!;
  return rows;
}

/** Labels as one-hot rows. */
export function oneHotRows({ labels }: LabelledImages): Float16Array {
  const rows = new Float16Array(labels.length * CLASSES);
  labels.forEach((label, i) => rows[i * CLASSES + label] = 1);
  return rows;
}

/** counts[truth][guess] over all examples. */
export function confusion(scores: NDArray, labels: Uint8Array): number[][] {
  const counts = Array.from({ length: CLASSES }, () => new Array<number>(CLASSES).fill(0));
  labels.forEach((label, i) => {
    const row = scores.data.subarray(i * CLASSES, (i + 1) * CLASSES);
    counts[label]![row.indexOf(Math.max(...row))]!++;
  });
  return counts;
}

/** Share of the examples on the diagonal. */
export function accuracyOf(counts: readonly (readonly number[])[]): number {
  const all = counts.flat().reduce((a, b) => a + b, 0);
  return counts.reduce((sum, row, digit) => sum + row[digit]!, 0) / all;
}

/** The table for people: truth down, guess across. */
export function confusionTable(counts: readonly (readonly number[])[]): string {
  const width = Math.max(4, ...counts.flat().map((n) => String(n).length + 1));
  const cells = (row: readonly (string | number)[]): string =>
    row.map((v) => String(v || "·").padStart(width)).join("");
  const head = `truth\\guess${cells(counts.map((_, digit) => String(digit)))}`;
  return [head, ...counts.map((row, digit) => `${String(digit).padStart(11)}${cells(row)}`)].join("\n");
}
