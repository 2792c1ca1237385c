/**
 * Attention from products and softmax. The queries may be cut into tiles, which keeps the score matrices of long sequences
 * small.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { checkInteger, checkRecord } from "../graph/check.ts";
import { concat, split } from "../graph/functions.ts";
import { NDArray, type TensorData } from "../graph/ndarray.ts";
import { broadcastShapes, checkRank, sameShape, show } from "../graph/shape.ts";
import { checkTensor, constant, type Operand, Tensor } from "../graph/tensor.ts";
import { causalMask } from "./softmax.ts";

/**
 * Number of parts the queries of an attention are cut into: one per 512 of them, rounded to the nearest.
 *
 * @param queries Number of queries.
 * @returns At least 1.
 * @example
 * ```ts
 * attentionTiles(1500); // 3
 * ```
 */
export function attentionTiles(queries: number): number {
  checkInteger("attentionTiles", "queries", queries, 1);
  return Math.max(1, Math.floor((queries + 256) / 512));
}

/** Elements along one axis. */
function part(x: Tensor, axis: number, begin: number, size: number): Tensor {
  return x.sliceBySize(x.shape.map((_, i) => (i === axis ? begin : 0)), x.shape.with(axis, size));
}

/** softmax(q kT scale + mask) v, by tiles of queries. `axis` is that of the queries, counted from the end. */
function attend(q: Tensor, kT: Tensor, v: Tensor, scale: number, tiles: number, mask?: Tensor): Tensor {
  const axis = q.rank - 2;
  const whole = (queries: Tensor, hidden?: Tensor): Tensor => {
    const scores = queries.matmul(kT).muls(scale);
    return (hidden === undefined ? scores : scores.add(hidden)).softmax(-1).matmul(v);
  };
  const queries = q.shape[axis]!;
  if (tiles <= 1) return whole(q, mask);
  const size = Math.ceil(queries / tiles);
  const results: Tensor[] = [];
  for (let begin = 0; begin < queries; begin += size) {
    const rows = Math.min(size, queries - begin);
    const shared = mask === undefined || mask.shape.at(-2) === 1;
    const hidden = mask === undefined || shared ? mask : part(mask, mask.rank - 2, begin, rows);
    results.push(whole(part(q, axis, begin, rows), hidden));
  }
  return concat(results, axis);
}

/** [S, D] as [heads, S, D / heads]. */
function toHeads(x: Tensor, heads: number): Tensor {
  const [rows, columns] = x.shape as [number, number];
  return x.reshape(rows, heads, columns / heads).transpose([1, 0, 2]);
}

function checkHeads(op: string, width: number, heads: number): void {
  checkInteger(op, "heads", heads, 1);
  if (width % heads !== 0) {
    throw new ShapeError(`${op}: ${heads} heads do not divide the ${width} columns of the queries`);
  }
}

/** Weights of an attention. Each `w` is `[out, in]`, each `b` `[out]`; biases are optional. */
export interface AttentionWeights {
  /** Query weight. */
  wq: TensorData;
  /** Key weight. */
  wk: TensorData;
  /** Value weight. */
  wv: TensorData;
  /** Output weight. */
  wo: TensorData;
  /** Query bias. */
  bq?: TensorData | null;
  /** Key bias. */
  bk?: TensorData | null;
  /** Value bias. */
  bv?: TensorData | null;
  /** Output bias. */
  bo?: TensorData | null;
}

function multiHead(op: string, x: Tensor, context: Tensor, w: AttentionWeights, heads: number, tiles: number): Tensor {
  checkRecord(op, "weights", w);
  checkRank(op, "x", x.shape, 2, "[S, D]");
  checkRank(op, "the context", context.shape, 2, "[T, D]");
  const q = x.linear(w.wq, w.bq);
  const k = context.linear(w.wk, w.bk);
  const v = context.linear(w.wv, w.bv);
  checkHeads(op, q.shape[1]!, heads);
  checkHeads(op, v.shape[1]!, heads);
  if (k.shape[1] !== q.shape[1]) {
    throw new ShapeError(`${op}: wq gives ${q.shape[1]} columns and wk ${k.shape[1]}; expected as many`);
  }
  const scale = 1 / Math.sqrt(q.shape[1]! / heads);
  const y = attend(toHeads(q, heads), toHeads(k, heads).transpose([0, 2, 1]), toHeads(v, heads), scale, tiles);
  return y.transpose([1, 0, 2]).reshape(x.shape[0]!, v.shape[1]!).linear(w.wo, w.bo);
}

/**
 * Multi-head attention of a sequence with itself.
 *
 * @param x `[S, D]`.
 * @param weights Projections to queries, keys and values, and of the result.
 * @param heads Number of heads; divides the columns of the queries.
 * @returns `[S, Dout]`, Dout the rows of `wo`.
 * @throws {ShapeError} when heads do not divide the columns or a weight does not fit.
 * @example
 * ```ts
 * const y = mha(input([128, 384]), { wq, bq, wk, bk, wv, bv, wo, bo }, 12);
 * ```
 */
export function mha(x: Tensor, weights: AttentionWeights, heads: number): Tensor {
  checkTensor("mha", "x", x);
  return multiHead("mha", x, x, weights, heads, attentionTiles(x.shape[0] ?? 1));
}

/**
 * Multi-head attention of a sequence to another one.
 *
 * @param x Where queries come from, `[S, D]`.
 * @param context Where keys and values come from, `[T, Dctx]`.
 * @param weights Projections to queries, keys and values, and of the result.
 * @param heads Number of heads; divides the columns of the queries.
 * @returns `[S, Dout]`, Dout the rows of `wo`.
 * @throws {ShapeError} when heads do not divide the columns or a weight does not fit.
 * @example
 * ```ts
 * const y = crossAttention(image, text, { wq, wk, wv, wo, bo }, 8);
 * ```
 */
export function crossAttention(x: Tensor, context: Tensor, weights: AttentionWeights, heads: number): Tensor {
  checkTensor("crossAttention", "x", x);
  checkTensor("crossAttention", "the context", context);
  const [queries, keys] = [x.shape[0] ?? 1, context.shape[0] ?? 1];
  const tiles = queries >= 768 && keys >= 512 ? attentionTiles(queries) : 1;
  return multiHead("crossAttention", x, context, weights, heads, tiles);
}

/** Options of {@linkcode sdpa}. */
export interface SdpaOptions {
  /** Factor of the scores (default 1 / sqrt(D)). */
  scale?: number;
  /** Let query i see keys 0 to i only; needs as many queries as keys (default `false`). */
  isCausal?: boolean;
  /** Added to the scores: a tensor or numbers that broadcast to `[N, heads, S, T]`; -10000 hides a key. */
  attnMask?: Operand | null;
}

/**
 * Scaled dot product attention: softmax(q kT scale + mask) v.
 *
 * @param q Queries `[N, heads, S, D]`.
 * @param k Keys `[N, heads, T, D]`.
 * @param v Values, shaped like the keys.
 * @param options Factor and mask.
 * @returns `[N, heads, S, D]`.
 * @throws {ShapeError} when the shapes do not fit together.
 * @throws {ArgumentError} when both a mask and `isCausal` are given.
 * @example
 * ```ts
 * const y = sdpa(q, k, v, { isCausal: true });
 * ```
 */
export function sdpa(q: Tensor, k: Tensor, v: Tensor, options: SdpaOptions = {}): Tensor {
  for (const [label, value] of [["q", q], ["k", k], ["v", v]] as const) checkTensor("sdpa", label, value);
  const { scale, isCausal = false, attnMask = null } = checkRecord("sdpa", "options", options);
  checkRank("sdpa", "q", q.shape, 4, "[N, heads, S, D]");
  checkRank("sdpa", "k", k.shape, 4, "[N, heads, T, D]");
  const [N, heads, queries, columns] = q.shape as [number, number, number, number];
  const keys = k.shape[2]!;
  if (!sameShape(k.shape, v.shape)) {
    throw new ShapeError(`sdpa: k is ${show(k.shape)} and v ${show(v.shape)}; expected the same`);
  }
  if (!sameShape(k.shape, [N, heads, keys, columns])) {
    throw new ShapeError(`sdpa: q is ${show(q.shape)} and k ${show(k.shape)}; only axis 2 may differ`);
  }
  if (isCausal && attnMask !== null) {
    throw new ArgumentError("sdpa: give isCausal or attnMask, not both; add causalMask to the mask instead");
  }
  if (isCausal && queries !== keys) {
    throw new ShapeError(`sdpa: isCausal needs as many queries as keys; q is ${show(q.shape)}, k ${show(k.shape)}`);
  }
  let mask: Tensor | undefined;
  if (isCausal) mask = constant(new NDArray(causalMask(queries).data, [1, 1, queries, keys]));
  else if (attnMask instanceof Tensor) mask = attnMask;
  else if (attnMask !== null) mask = constant(attnMask);
  if (mask !== undefined) {
    const scores = [N, heads, queries, keys];
    if (!sameShape(broadcastShapes("sdpa", scores, mask.shape), scores)) {
      throw new ShapeError(`sdpa: attnMask ${show(mask.shape)} does not broadcast to the scores ${show(scores)}`);
    }
  }
  return attend(q, k.transpose([0, 1, 3, 2]), v, scale ?? 1 / Math.sqrt(columns), attentionTiles(queries), mask);
}

/** Queries, keys and values. */
export interface Qkv {
  /** Queries `[S, D]`. */
  q: Tensor;
  /** Keys `[S, D]`. */
  k: Tensor;
  /** Values `[S, D]`. */
  v: Tensor;
}

/**
 * Queries, keys and values from one product.
 *
 * @param x `[S, Din]`.
 * @param w `[3 D, Din]`: the rows of the query, key and value weights, one after the other.
 * @param bias `[3 D]`, or none.
 * @returns The three parts, `[S, D]` each.
 * @throws {ShapeError} when the rows of the weight are not a multiple of 3.
 * @example
 * ```ts
 * const { q, k, v } = fusedQkv(input([128, 384]), wqkv, bqkv);
 * ```
 */
export function fusedQkv(x: Tensor, w: TensorData, bias: TensorData | null = null): Qkv {
  checkRank("fusedQkv", "x", x.shape, 2, "[S, Din]");
  const all = x.linear(w, bias);
  if (all.shape[1]! % 3 !== 0) {
    throw new ShapeError(
      `fusedQkv: the weight has ${all.shape[1]} rows; expected a multiple of 3, queries, keys and values`,
    );
  }
  const [q, k, v] = split(all, 3, 1) as [Tensor, Tensor, Tensor];
  return { q, k, v };
}

/** The normalisation in front of {@linkcode fusedQkvNormProj}. */
export interface RowNorm {
  /** Gain `[Din]`. */
  gamma: TensorData;
  /** Offset `[Din]` of a layer normalisation; without one it is a root-mean-square normalisation. */
  beta?: TensorData;
  /** See {@linkcode Tensor.layerNorm} and {@linkcode Tensor.rmsNorm} (default 1e-5). */
  eps?: number;
}

/**
 * The front of a transformer block: rows normalised, then projected to queries, keys and values by one product.
 *
 * @param x `[S, Din]`.
 * @param norm The normalisation.
 * @param w `[3 D, Din]`: the rows of the query, key and value weights, one after the other.
 * @param bias `[3 D]`, or none.
 * @returns The three parts, `[S, D]` each.
 * @throws {ShapeError} when the rows of the weight are not a multiple of 3.
 * @example
 * ```ts
 * const { q, k, v } = fusedQkvNormProj(x, { gamma }, wqkv);
 * ```
 */
export function fusedQkvNormProj(x: Tensor, norm: RowNorm, w: TensorData, bias: TensorData | null = null): Qkv {
  const { gamma, beta, eps } = norm;
  return fusedQkv(beta === undefined ? x.rmsNorm(gamma, eps) : x.layerNorm(gamma, beta, eps), w, bias);
}
