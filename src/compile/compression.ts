/**
 * The options of compile that ask for compressed weights.
 *
 * @module
 */

import { ArgumentError, UnsupportedOpError } from "../errors.ts";
import { type Compression, COMPRESSIONS, Compressor } from "../mil/compress.ts";
import type { WeightEncoding } from "../mil/text.ts";
import { nativeStreams } from "../targets/targets.ts";

export type { Compression } from "../mil/compress.ts";

/** How the baked weights of products and convolutions are stored. */
export interface CompressionOptions {
  /**
   * - `"int8"`: a scale per row, half the bytes of fp16;
   * - `"int4"`: 16 values per weight, a quarter; where the error is too large, int8;
   * - `"sparse"`: a bit per element and the elements that are not zero, when at least half of them are;
   * - `"blockwise"`: int8 with a scale per `blockSize` elements of a row;
   * - `"auto"`: sparse, int4 or int8, as far as the target's family decodes them while it loads;
   * - `null`, the default: fp16.
   *
   * What cannot be written as asked for stays fp16 (warning kind `compression-fallback`). The graph is compiled as
   * written: not together with an `opt` other than 0 and `"routes"`.
   */
  compress?: Compression | null;
  /** Largest relative error of an `int4` or `blockwise` weight, `|decoded - weight| / |weight|` (default 0.05). */
  compressAtol?: number;
  /** Elements that share a scale in `blockwise`; less where a row is not a multiple (default 32). */
  blockSize?: number;
  /** The same as `compress: "int8"`, but rewrites of `opt: "routes"` still take place (default `false`). */
  int8?: boolean;
}

/** Names of the options. */
export const COMPRESSION_OPTIONS: readonly (keyof CompressionOptions)[] = [
  "compress",
  "compressAtol",
  "blockSize",
  "int8",
];

const DEFAULT_ATOL = 0.05;
const DEFAULT_BLOCK_SIZE = 32;

/**
 * Checks the options.
 *
 * @param call Name of the call, for messages.
 * @param options Options of the call.
 * @throws {ArgumentError} A value is not one of those that are known, or out of range.
 * @throws {UnsupportedOpError} Compression together with an `opt` that rewrites the graph.
 */
export function checkCompression(call: string, options: CompressionOptions & { opt?: unknown }): void {
  const { compress, compressAtol, blockSize, int8, opt } = options as Record<string, unknown>;
  if (compress !== undefined && compress !== null && !(COMPRESSIONS as readonly unknown[]).includes(compress)) {
    throw new ArgumentError(
      `${call}: unknown compress=${JSON.stringify(compress)} (use null, ${
        COMPRESSIONS.map((mode) => `'${mode}'`).join(", ")
      })`,
    );
  }
  if (compressAtol !== undefined && !(typeof compressAtol === "number" && compressAtol >= 0)) {
    throw new ArgumentError(
      `${call}: compressAtol must be a number of at least 0, got ${JSON.stringify(compressAtol)}`,
    );
  }
  if (blockSize !== undefined && !(Number.isSafeInteger(blockSize) && blockSize as number >= 1)) {
    throw new ArgumentError(
      `${call}: blockSize must be a whole number of at least 1, got ${JSON.stringify(blockSize)}`,
    );
  }
  if (int8 !== undefined && typeof int8 !== "boolean") {
    throw new ArgumentError(`${call}: int8 must be true or false, got ${JSON.stringify(int8)}`);
  }
  const rewrites = opt !== undefined && opt !== 0 && opt !== "routes";
  if (rewrites && (compress || int8)) {
    throw new UnsupportedOpError(
      `${call}: ${compress ? "compress" : "int8"} is not available with opt=${JSON.stringify(opt)}; ` +
        "use opt=0 for compressed weights",
    );
  }
}

/**
 * What writes the weights of one compile.
 *
 * @param options Checked options.
 * @param family Capability family that `auto` chooses for; every encoding counts as decoded when it is not given.
 * @returns The compressor, or nothing when weights stay fp16.
 */
export function compressorOf(options: CompressionOptions, family?: number): Compressor | undefined {
  const mode = options.compress ?? (options.int8 ? "int8" : null);
  if (mode === null) return undefined;
  const all: ReadonlySet<WeightEncoding> = new Set(["int8", "int4", "sparse", "blockwise"]);
  return new Compressor({
    mode,
    atol: options.compressAtol ?? DEFAULT_ATOL,
    blockSize: options.blockSize ?? DEFAULT_BLOCK_SIZE,
    streams: family === undefined ? all : nativeStreams(family),
  });
}
