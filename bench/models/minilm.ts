/**
 * The encoder of MiniLM: six transformer layers, 384 wide, 12 heads, normalisation behind each half of a layer. It starts
 * from embeddings; looking up tokens is the host's work.
 *
 * @module
 */

import { mha } from "../../src/compose/attention.ts";
import { NDArray } from "../../src/graph/ndarray.ts";
import { input, type Tensor } from "../../src/graph/tensor.ts";
import type { Random } from "../../src/random.ts";

/** Width of the rows between the layers. */
export const HIDDEN = 384;
/** Attention heads. */
export const HEADS = 12;

/** Weights of a layer. Each `w` is `[out, in]`, each `b` `[out]`. */
export interface EncoderLayer {
  wq: NDArray;
  wk: NDArray;
  wv: NDArray;
  wo: NDArray;
  bq: NDArray;
  bk: NDArray;
  bv: NDArray;
  bo: NDArray;
  w1: NDArray;
  b1: NDArray;
  w2: NDArray;
  b2: NDArray;
  gamma1: NDArray;
  beta1: NDArray;
  gamma2: NDArray;
  beta2: NDArray;
}

/** Random weights: variance 1 / inputs, gains around 1. */
export function randomMinilmWeights(random: Random, layers = 6): EncoderLayer[] {
  const matrix = (out: number, inner: number): NDArray =>
    new NDArray(random.normals(out * inner, Math.sqrt(1 / inner)), [out, inner]);
  const vector = (n: number, scale: number, offset = 0): NDArray =>
    new NDArray(random.normals(n, scale).map((v) => v + offset), [n]);
  const square = (): NDArray => matrix(HIDDEN, HIDDEN);
  const bias = (): NDArray => vector(HIDDEN, 0.02);
  return Array.from({ length: layers }, () => ({
    wq: square(),
    wk: square(),
    wv: square(),
    wo: square(),
    bq: bias(),
    bk: bias(),
    bv: bias(),
    bo: bias(),
    w1: matrix(4 * HIDDEN, HIDDEN),
    b1: vector(4 * HIDDEN, 0.02),
    w2: matrix(HIDDEN, 4 * HIDDEN),
    b2: bias(),
    gamma1: vector(HIDDEN, 0.1, 1),
    beta1: vector(HIDDEN, 0.05),
    gamma2: vector(HIDDEN, 0.1, 1),
    beta2: vector(HIDDEN, 0.05),
  }));
}

/**
 * Builds the encoder.
 *
 * @param layers Weights of each layer.
 * @param tokens Number of rows.
 * @returns The embeddings `[tokens, 384]` and the last hidden state `[tokens, 384]`.
 */
export function minilm(layers: readonly EncoderLayer[], tokens = 128): { embeddings: Tensor; hidden: Tensor } {
  const embeddings = input([tokens, HIDDEN]);
  let x: Tensor = embeddings;
  for (const w of layers) {
    x = x.add(mha(x, w, HEADS)).layerNorm(w.gamma1, w.beta1);
    x = x.add(x.linear(w.w1, w.b1).gelu().linear(w.w2, w.b2)).layerNorm(w.gamma2, w.beta2);
  }
  return { embeddings, hidden: x };
}
