/**
 * Linear and gated feed-forward layers, products of packed operands, gains and offsets.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { checkInteger } from "../graph/check.ts";
import { NDArray, type TensorData, weightArray } from "../graph/ndarray.ts";
import { checkRank, show, sizeOf } from "../graph/shape.ts";
import { Tensor } from "../graph/tensor.ts";

/**
 * Linear layer, the function form of {@linkcode Tensor.linear}: x times the transposed weight, plus a bias.
 *
 * @param x `[.., K]`.
 * @param w `[N, K]`.
 * @param bias `[N]`, or none.
 * @returns `[.., N]`.
 * @throws {ShapeError} when the weight does not fit.
 * @example
 * ```ts
 * innerProduct(input([2, 8]), w, b); // w [4, 8] gives [2, 4]
 * ```
 */
export function innerProduct(x: Tensor, w: TensorData, bias: TensorData | null = null): Tensor {
  return x.linear(w, bias);
}

/**
 * Product of two computed matrices, leading axes broadcast: the function form of {@linkcode Tensor.bmm}.
 *
 * @param x `[.., M, K]`.
 * @param y `[.., K, N]`.
 * @returns `[.., M, N]`.
 * @throws {ShapeError} when the inner extents differ.
 * @example
 * ```ts
 * batchMatmul(input([4, 2, 3]), input([4, 3, 5])); // [4, 2, 5]
 * ```
 */
export function batchMatmul(x: Tensor, y: Tensor): Tensor {
  return x.bmm(y);
}

/** The first and second half of the rows of a weight or the elements of a bias. */
function halves(op: string, label: string, data: TensorData): [NDArray, NDArray] {
  const all = weightArray(op, label, data);
  const [rows = 1] = all.shape;
  if (rows % 2 !== 0) {
    throw new ShapeError(
      `${op}: ${label} has shape ${show(all.shape)}; axis 0 must be even, value rows then gate rows`,
    );
  }
  const shape = [rows / 2, ...all.shape.slice(1)];
  const size = sizeOf(shape);
  return [new NDArray(all.data.subarray(0, size), shape), new NDArray(all.data.subarray(size), shape)];
}

/**
 * Gated linear unit with GELU: value * gelu(gate), both from one weight that is split when the graph is built.
 *
 * @param x `[.., D]`.
 * @param w `[2 F, D]`: the value rows, then the gate rows.
 * @param bias `[2 F]`, or none.
 * @returns `[.., F]`.
 * @throws {ShapeError} when the weight does not have an even number of rows or does not fit.
 * @example
 * ```ts
 * const y = geglu(input([16, 64]), w, b); // w [512, 64] gives [16, 256]
 * ```
 */
export function geglu(x: Tensor, w: TensorData, bias: TensorData | null = null): Tensor {
  const [value, gate] = halves("geglu", "w", w);
  const [valueBias, gateBias] = bias === null ? [null, null] : halves("geglu", "bias", bias);
  return x.linear(value, valueBias).mul(x.linear(gate, gateBias).gelu());
}

/** Weights of {@linkcode swiglu}, `[out, in]`. */
export interface SwigluWeights {
  /** Gate `[F, D]`. */
  gate: TensorData;
  /** Value `[F, D]`. */
  up: TensorData;
  /** Output `[D, F]`; without it the product of gate and value is returned. */
  down?: TensorData;
}

/**
 * The feed-forward layer of LLaMA: down(silu(gate(x)) * up(x)).
 *
 * @param x `[.., D]`.
 * @param weights Gate, value and output.
 * @returns `[.., D]`, or `[.., F]` without an output weight.
 * @throws {ShapeError} when a weight does not fit.
 * @example
 * ```ts
 * const y = swiglu(input([16, 64]), { gate, up, down });
 * ```
 */
export function swiglu(x: Tensor, weights: SwigluWeights): Tensor {
  const h = x.linear(weights.gate).silu().mul(x.linear(weights.up));
  return weights.down === undefined ? h : h.linear(weights.down);
}

/**
 * The product of two computed matrices that come through one port.
 *
 * @param packed `[M + N, K]`: the rows of x `[M, K]`, then those of the weight `[N, K]`, one per output column.
 * @param m Number of rows of x, M.
 * @returns x times the transposed weight, `[M, N]`.
 * @throws {ShapeError} when no row is left for the weight.
 * @example
 * ```ts
 * dynamicMatmulPacked(input([4 + 16, 32]), 4); // [4, 16]
 * ```
 */
export function dynamicMatmulPacked(packed: Tensor, m: number): Tensor {
  checkRank("dynamicMatmulPacked", "packed", packed.shape, 2, "[M + N, K]");
  checkInteger("dynamicMatmulPacked", "m", m, 1);
  const [rows, inner] = packed.shape as [number, number];
  if (m >= rows) {
    throw new ShapeError(`dynamicMatmulPacked: ${m} rows of ${show(packed.shape)} are x; none is left for the weight`);
  }
  const x = packed.sliceBySize([0, 0], [m, inner]);
  return x.matmul(packed.sliceBySize([m, 0], [rows - m, inner]).transpose([1, 0]));
}

/**
 * {@linkcode dynamicMatmulPacked} followed by max(x, 0).
 *
 * @param packed `[M + N, K]`: the rows of x, then those of the weight.
 * @param m Number of rows of x, M.
 * @returns `[M, N]`.
 * @throws {ShapeError} when no row is left for the weight.
 * @example
 * ```ts
 * dynamicMatmulPackedRelu(input([4 + 16, 32]), 4); // [4, 16]
 * ```
 */
export function dynamicMatmulPackedRelu(packed: Tensor, m: number): Tensor {
  return dynamicMatmulPacked(packed, m).relu();
}

/**
 * Gain and offset with numbers: scale x + bias in one operation.
 *
 * @param x The tensor.
 * @param scale Gain.
 * @param bias Offset.
 * @returns A tensor shaped like `x`.
 * @example
 * ```ts
 * gocScalarScaleBias(x, 1.25, 0.2);
 * ```
 */
export function gocScalarScaleBias(x: Tensor, scale: number, bias: number): Tensor {
  return x.linearActivation(scale, bias);
}

/** A computed vector with one element per channel, shaped to broadcast over x. */
function perChannel(op: string, label: string, x: Tensor, values: Tensor): Tensor {
  if (!(values instanceof Tensor)) {
    throw new ArgumentError(`${op}: ${label} is not a Tensor; bake numbers with mul or add`);
  }
  if (x.rank < 2) throw new ShapeError(`${op}: x has shape ${show(x.shape)}; expected rank 2 or more, [N, C, ..]`);
  const shape = [1, x.shape[1]!, ...x.shape.slice(2).map(() => 1)];
  if (values.size !== x.shape[1]) {
    throw new ShapeError(
      `${op}: ${label} has shape ${show(values.shape)}; x ${show(x.shape)} has ${x.shape[1]} channels, so expected ${
        show(shape)
      }`,
    );
  }
  return values.shape.join() === shape.join() ? values : values.reshape(shape);
}

/**
 * A computed gain per channel: x * scale[c].
 *
 * @param x `[N, C, ..]`.
 * @param scale C elements, `[C]` or `[1, C, 1, ..]`.
 * @returns A tensor shaped like `x`.
 * @throws {ShapeError} when there is not one element per channel.
 * @example
 * ```ts
 * dynamicGocScale(input([1, 8, 4, 4]), input([8]));
 * ```
 */
export function dynamicGocScale(x: Tensor, scale: Tensor): Tensor {
  return x.mul(perChannel("dynamicGocScale", "scale", x, scale));
}

/**
 * A computed offset per channel: x + bias[c].
 *
 * @param x `[N, C, ..]`.
 * @param bias C elements, `[C]` or `[1, C, 1, ..]`.
 * @returns A tensor shaped like `x`.
 * @throws {ShapeError} when there is not one element per channel.
 * @example
 * ```ts
 * dynamicGocBias(input([1, 8, 4, 4]), input([8]));
 * ```
 */
export function dynamicGocBias(x: Tensor, bias: Tensor): Tensor {
  return x.add(perChannel("dynamicGocBias", "bias", x, bias));
}

/**
 * A computed gain and offset per channel: x * scale[c] + bias[c].
 *
 * @param x `[N, C, ..]`.
 * @param scale C elements, `[C]` or `[1, C, 1, ..]`.
 * @param bias C elements, likewise.
 * @returns A tensor shaped like `x`.
 * @throws {ShapeError} when there is not one element per channel.
 * @example
 * ```ts
 * dynamicGocScaleBias(input([1, 8, 4, 4]), input([8]), input([8]));
 * ```
 */
export function dynamicGocScaleBias(x: Tensor, scale: Tensor, bias: Tensor): Tensor {
  return dynamicGocBias(dynamicGocScale(x, scale), bias);
}
