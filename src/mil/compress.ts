/**
 * Weights in fewer bytes: which encoding each one gets, and how it is written.
 *
 * @module
 */

import { halfBytes } from "../graph/fp16.ts";
import { sizeOf } from "../graph/shape.ts";
import type { WarningKind } from "../warnings.ts";
import { warn } from "../warnings.ts";
import { findCodebook, PALETTE_SIZE } from "./codebook.ts";
import { type ProgramBody, tensorType, type Weight, type WeightEncoder, type WeightEncoding } from "./text.ts";

/** How weights are compressed; `auto` takes what the target's family decodes while it loads. */
export type Compression = WeightEncoding | "auto";

/** Every {@linkcode Compression}. */
export const COMPRESSIONS: readonly Compression[] = ["int8", "int4", "sparse", "blockwise", "auto"];

/** Settings of a {@linkcode Compressor}. */
export interface CompressorSettings {
  /** Which encoding. */
  readonly mode: Compression;
  /** Largest relative error an `int4` or `blockwise` weight may have. */
  readonly atol: number;
  /** Elements that share a scale in `blockwise`, at most. */
  readonly blockSize: number;
  /** For `auto`: what the target decodes. */
  readonly streams: ReadonlySet<WeightEncoding>;
}

const WARNING: WarningKind = "compression-fallback";
const SMALLEST_SCALE = Math.fround(1e-8);
const INT8_MAX = 127;
/** Adding and taking off 1.5 * 2^52 rounds a double to an integer, ties to even. */
const TO_INTEGER = 6755399441055744;

/** int8 codes, and the float32 scale of each run of `run` elements. */
export interface Quantized {
  /** One per element. */
  readonly codes: Int8Array;
  /** One per run, before it is rounded to fp16. */
  readonly scales: Float32Array;
}

/**
 * Codes of -127 to 127 and a scale per run of elements: the largest magnitude of the run / 127, at least 1e-8.
 *
 * @param values Elements, a multiple of `run`.
 * @param run Elements that share a scale.
 * @returns `round(value / scale)`, ties to even, and the scales.
 */
export function quantize(values: Float32Array, run: number): Quantized {
  const codes = new Int8Array(values.length);
  const scales = new Float32Array(values.length / run);
  for (let r = 0; r < scales.length; r++) {
    const start = r * run, end = start + run;
    let largest = 0;
    for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(values[i]!));
    const scale = Math.max(Math.fround(largest / INT8_MAX), SMALLEST_SCALE);
    scales[r] = scale;
    for (let i = start; i < end; i++) {
      const q = Math.fround(values[i]! / scale) + TO_INTEGER - TO_INTEGER;
      codes[i] = Math.max(-INT8_MAX, Math.min(INT8_MAX, q));
    }
  }
  return { codes, scales };
}

/**
 * Elements that share a scale in blockwise weights: the largest number up to the wish that divides a row.
 *
 * @param columns Elements of a row.
 * @param wish Block size asked for.
 * @returns For example 4 for rows of 16 and a wish of 6.
 */
export function blockSizeFor(columns: number, wish: number): number {
  let size = wish;
  while (size > 1 && columns % size !== 0) size--;
  return size;
}

/** `|approximation - values| / |values|` over the whole tensor. */
function relativeError(values: Float32Array, approximation: (i: number) => number): number {
  let difference = 0, total = 0;
  for (let i = 0; i < values.length; i++) {
    const v = values[i]!, d = approximation(i) - v;
    difference += d * d;
    total += v * v;
  }
  return Math.sqrt(difference) / (Math.sqrt(total) + 1e-12);
}

function halves(values: Float32Array): Float16Array {
  return new Float16Array(values);
}

function bytesOf(codes: Int8Array): Uint8Array {
  return new Uint8Array(codes.buffer, codes.byteOffset, codes.length);
}

/** Two entries per byte, the first in the low half. */
function packNibbles(index: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(index.length / 2));
  for (let j = 0; j < bytes.length; j++) bytes[j] = index[2 * j]! | ((index[2 * j + 1] ?? 0) << 4);
  return bytes;
}

/** A bit per element, set where it is not zero, the first in the lowest bit; and those elements. */
function packNonzero(values: Float32Array, count: number): { mask: Uint8Array; kept: Float32Array } {
  const mask = new Uint8Array(Math.ceil(values.length / 8));
  const kept = new Float32Array(count);
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    if (values[i] === 0) continue;
    mask[i >> 3]! |= 1 << (i & 7);
    kept[at++] = values[i]!;
  }
  return { mask, kept };
}

/** Rows of a weight seen as a matrix of its first axis by the rest. */
function rowsOf({ shape }: Weight): number {
  return shape[0] ?? 1;
}

/**
 * Chooses and writes the encoding of every weight of one compile. Weights are tried in this order, as far as the mode asks
 * for it and the consumer allows it: sparse (at least half of it zeros, but not all), int4 (error within the tolerance),
 * blockwise (the same), int8 (always taken, unless a row is not finite), fp16.
 *
 * @example
 * ```ts
 * import { Compressor } from "./compress.ts";
 *
 * const compressor = new Compressor({ mode: "int4", atol: 0.05, blockSize: 32, streams: new Set() });
 * // emitMil(outputs, { encoder: compressor.encode });
 * compressor.report("compile");
 * ```
 */
export class Compressor {
  readonly #settings: CompressorSettings;
  readonly #rejected: Map<WeightEncoding, number> = new Map();
  #weights = 0;

  /**
   * Starts a compile.
   *
   * @param settings Mode and tolerances.
   */
  constructor(settings: CompressorSettings) {
    this.#settings = settings;
  }

  /** Writes one weight, or leaves it to fp16. */
  readonly encode: WeightEncoder = (weight, body) => {
    this.#weights++;
    return this.#trySparse(weight, body) || this.#tryInt4(weight, body) || this.#tryBlockwise(weight, body) ||
      this.#tryInt8(weight, body);
  };

  /**
   * Warns, once, when weights could not be written as asked for.
   *
   * @param call Name of the call, for the message.
   */
  report(call: string): void {
    const counts = [...this.#rejected].sort(([a], [b]) => a < b ? -1 : 1);
    const total = counts.reduce((sum, [, count]) => sum + count, 0);
    if (total === 0) return;
    const { mode, atol } = this.#settings;
    const list = counts.map(([encoding, count]) => `${encoding}: ${count}`).join(", ");
    const applied = (mode === "int8" || mode === "int4") && !this.#rejected.has("int8") ? "int8" : "fp16";
    warn(
      WARNING,
      `aneforge.${call}: compress='${mode}' rejected ${total}/${this.#weights} weights (${list}); applied ${applied}. ` +
        `To widen the tolerance, raise compressAtol (currently ${atol}). Silence: silence("${WARNING}").`,
    );
  }

  #wants(encoding: WeightEncoding, weight: Weight): boolean {
    const { mode, streams } = this.#settings;
    return (mode === encoding || (mode === "auto" && streams.has(encoding))) && weight.allow.includes(encoding);
  }

  #reject(encoding: WeightEncoding): boolean {
    this.#rejected.set(encoding, (this.#rejected.get(encoding) ?? 0) + 1);
    return false;
  }

  #trySparse(weight: Weight, body: ProgramBody): boolean {
    if (!this.#wants("sparse", weight)) return false;
    const { name, shape } = weight, values = weight.data.data;
    let count = 0;
    for (let i = 0; i < values.length; i++) if (values[i] !== 0) count++;
    if (count === 0 || count > Math.floor(values.length / 2)) return this.#reject("sparse");
    const { mask, kept } = packNonzero(values, count);
    body.blob(`${name}_mask`, "uint1", shape, mask);
    body.blob(`${name}_nz`, "fp16", [count], halfBytes(kept));
    statement(body, weight, name, `constexpr_sparse_to_dense(nonzero_data = ${name}_nz, mask = ${name}_mask)`);
    return true;
  }

  #tryInt4(weight: Weight, body: ProgramBody): boolean {
    const { name, shape } = weight, values = weight.data.data;
    if (!this.#wants("int4", weight) || (sizeOf(shape) / rowsOf(weight)) % 2 !== 0) return false;
    const { centroids, index } = findCodebook(values);
    const palette = halves(centroids);
    const error = relativeError(values, (i) => palette[index[i]!]!);
    if (!(error <= this.#settings.atol)) return this.#reject("int4");
    body.blob(`${name}_idx`, "uint4", shape, packNibbles(index));
    body.blob(`${name}_lut`, "fp16", [...shape.map(() => 1), PALETTE_SIZE, 1], halfBytes(centroids));
    statement(body, weight, name, `constexpr_lut_to_dense(indices = ${name}_idx, lut = ${name}_lut)`);
    return true;
  }

  #tryBlockwise(weight: Weight, body: ProgramBody): boolean {
    const { name, shape } = weight, values = weight.data.data;
    if (this.#settings.mode !== "blockwise" || !this.#wants("blockwise", weight)) return false;
    const rows = rowsOf(weight), columns = sizeOf(shape) / rows;
    const run = blockSizeFor(columns, this.#settings.blockSize);
    const { codes, scales } = quantize(values, run);
    const rounded = halves(scales);
    const error = relativeError(values, (i) => codes[i]! * rounded[Math.floor(i / run)]!);
    if (!(error <= this.#settings.atol)) return this.#reject("blockwise");
    body.blob(`${name}_d`, "int8", shape, bytesOf(codes));
    body.blob(`${name}_sc`, "fp16", [rows, columns / run], halfBytes(scales));
    statement(body, weight, `${name}_bw`, `constexpr_blockwise_shift_scale(data = ${name}_d, scale = ${name}_sc)`);
    // The device refuses the decoded weight as an operand of a product, but not a sum with it.
    body.constant("fp16", `${name}_bz`, "fp16(0x0p+0)");
    statement(body, weight, name, `add(x = ${name}_bw, y = ${name}_bz)`);
    return true;
  }

  #tryInt8(weight: Weight, body: ProgramBody): boolean {
    const { mode } = this.#settings, { name, shape } = weight;
    if (!weight.allow.includes("int8") || !(mode === "int4" || this.#wants("int8", weight))) return false;
    const rows = rowsOf(weight);
    const { codes, scales } = quantize(weight.data.data, weight.data.size / rows);
    if (!halves(scales).every(Number.isFinite)) return this.#reject("int8");
    const data = `${tensorType("int8", shape)}(${body.blobReference("int8", bytesOf(codes))})`;
    const scale = `${tensorType("fp16", [rows])}(${body.blobReference("fp16", halfBytes(scales))})`;
    body.statements.push(
      `${
        tensorType("fp16", shape)
      } ${name} = constexpr_affine_dequantize()[axis = int32(0), name = string("${name}"), ` +
        `quantized_data = ${data}, scale = ${scale}, zero_point = int8(0)];`,
    );
    return true;
  }
}

function statement(body: ProgramBody, { shape }: Weight, name: string, value: string): void {
  body.statements.push(`${tensorType("fp16", shape)} ${name} = ${value}[name = string("${name}")];`);
}
