/**
 * The safetensors format: reader and writer over bytes.
 *
 * Layout, little endian: u64 length n of the header, n bytes of JSON (may end in spaces), then the data. The JSON maps each
 * name to `{"dtype", "shape", "data_offsets": [begin, end]}`, offsets counted from the start of the data;
 * `__metadata__` maps strings to strings. The tensors cover the data without gaps or overlaps.
 *
 * @module
 */

import { ArgumentError, DataError } from "../errors.ts";

/** Element types of the format and their size in bytes. */
export const SAFETENSORS_DTYPES: Readonly<Record<string, number>> = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  F64: 8,
  I64: 8,
  U64: 8,
};

const HEADER_LIMIT = 100_000_000;

/** One tensor inside a safetensors file. */
export interface StoredTensor {
  /** Element type, a key of {@link SAFETENSORS_DTYPES}. */
  dtype: string;
  /** Extent of every axis; empty for a scalar. */
  shape: number[];
  /** The elements' bytes: a view into the file. */
  bytes: Uint8Array;
}

/** What a safetensors file holds. */
export interface StoredTensors {
  /** Tensors by name, in file order. */
  tensors: Map<string, StoredTensor>;
  /** The free-form `__metadata__` entries. */
  metadata: Record<string, string>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

/** Reads the JSON header; returns it with the offset of the data. */
function parseHeader(bytes: Uint8Array, name: string): { header: Record<string, unknown>; start: number } {
  if (bytes.length < 8) throw new DataError(`${name}: ${bytes.length} bytes are too few for a safetensors file`);
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(HEADER_LIMIT)) {
    throw new DataError(`${name}: not a safetensors file: a header of ${length} bytes (limit ${HEADER_LIMIT})`);
  }
  const start = 8 + Number(length);
  if (start > bytes.length) {
    throw new DataError(`${name}: truncated: the header needs ${start} bytes, the file has ${bytes.length}`);
  }
  if (bytes[8] !== 0x7b) throw new DataError(`${name}: not a safetensors file: the header does not begin with "{"`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(8, start)));
  } catch (cause) {
    throw new DataError(`${name}: the header is not valid JSON (${(cause as Error).message})`, { cause });
  }
  if (!isRecord(header)) throw new DataError(`${name}: the header is not a JSON object`);
  return { header, start };
}

function parseMetadata(value: unknown, name: string): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value) || Object.values(value).some((v) => typeof v !== "string")) {
    throw new DataError(`${name}: __metadata__ must map strings to strings`);
  }
  return value as Record<string, string>;
}

/**
 * Reads a safetensors file. The tensors are views into `bytes`.
 *
 * @param bytes The whole file.
 * @param name What to call it in messages.
 * @throws {DataError} When the header, a dtype, a shape or an offset is not what the format says.
 *
 * @example
 * ```ts
 * const { tensors } = parseSafetensors(await Deno.readFile("model.safetensors"));
 * const w = toFloat32(tensors.get("fc.weight")!);
 * ```
 */
export function parseSafetensors(bytes: Uint8Array, name = "safetensors file"): StoredTensors {
  const { header, start } = parseHeader(bytes, name);
  const size = bytes.length - start;
  const spans: { tensor: string; begin: number; end: number }[] = [];
  const tensors = new Map<string, StoredTensor>();
  for (const [key, value] of Object.entries(header)) {
    if (key === "__metadata__") continue;
    const where = `${name}: tensor "${key}"`;
    if (!isRecord(value)) throw new DataError(`${where}: its entry is not a JSON object`);
    const { dtype, shape, data_offsets: offsets } = value;
    const width = typeof dtype === "string" && Object.hasOwn(SAFETENSORS_DTYPES, dtype)
      ? SAFETENSORS_DTYPES[dtype]!
      : undefined;
    if (width === undefined) throw new DataError(`${where}: unknown dtype ${JSON.stringify(dtype)}`);
    if (!Array.isArray(shape) || !shape.every(isCount)) {
      throw new DataError(`${where}: shape must be a list of integers >= 0, got ${JSON.stringify(shape)}`);
    }
    if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
      throw new DataError(`${where}: data_offsets must be two integers >= 0, got ${JSON.stringify(offsets)}`);
    }
    const [begin, end] = offsets as [number, number];
    if (begin > end || end > size) {
      throw new DataError(`${where}: offsets [${begin}, ${end}] do not lie in the ${size} bytes of data`);
    }
    const needed = (shape as number[]).reduce((a, b) => a * b, width);
    if (needed !== end - begin) {
      throw new DataError(
        `${where}: ${dtype} [${shape.join(", ")}] needs ${needed} bytes, its offsets span ${end - begin}`,
      );
    }
    spans.push({ tensor: key, begin, end });
    tensors.set(key, { dtype: dtype as string, shape, bytes: bytes.subarray(start + begin, start + end) });
  }
  checkCoverage(spans, size, name);
  return { tensors, metadata: parseMetadata(header["__metadata__"], name) };
}

/** The tensors must lie one behind the other and fill the data. */
function checkCoverage(spans: { tensor: string; begin: number; end: number }[], size: number, name: string): void {
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { tensor, begin, end } of spans) {
    if (begin !== at) {
      const what = begin > at ? `${begin - at} bytes before it belong to no tensor` : "it overlaps the one before";
      throw new DataError(`${name}: tensor "${tensor}" begins at ${begin}: ${what}`);
    }
    at = end;
  }
  if (at !== size) {
    throw new DataError(`${name}: the tensors end at byte ${at} of ${size}: truncated header or extra data`);
  }
}

/**
 * The elements of a stored F16, BF16, F32 or F64 tensor as fp32.
 *
 * @throws {DataError} When the tensor has another element type.
 */
export function toFloat32(tensor: StoredTensor): Float32Array {
  const copy = tensor.bytes.slice().buffer;
  switch (tensor.dtype) {
    case "F32":
      return new Float32Array(copy);
    case "F64":
      return Float32Array.from(new Float64Array(copy));
    case "F16":
      return Float32Array.from(new Float16Array(copy));
    case "BF16":
      return new Float32Array(Uint32Array.from(new Uint16Array(copy), (bits) => bits << 16).buffer);
    default:
      throw new DataError(`a tensor of ${tensor.dtype} cannot be read as floats; supported: F16, BF16, F32, F64`);
  }
}

/** A tensor to be written: the array's type decides the stored type (F32 or F16). */
export interface TensorToStore {
  /** Extent of every axis. */
  shape: readonly number[];
  /** Elements, row-major. */
  data: Float32Array | Float16Array;
}

/**
 * The bytes of a safetensors file. Tensors are stored in the order given; the header is padded with spaces so that the data
 * begins at a multiple of 8.
 *
 * @throws {ArgumentError} When a shape does not fit its data, or a tensor is called `__metadata__`.
 *
 * @example
 * ```ts
 * const bytes = formatSafetensors({ "fc.weight": { shape: [2, 2], data: new Float32Array(4) } });
 * ```
 */
export function formatSafetensors(
  tensors: Record<string, TensorToStore>,
  metadata: Record<string, string> = {},
): Uint8Array<ArrayBuffer> {
  const header: Record<string, unknown> = {};
  if (Object.keys(metadata).length > 0) header["__metadata__"] = metadata;
  let size = 0;
  for (const [name, { shape, data }] of Object.entries(tensors)) {
    if (name === "__metadata__") throw new ArgumentError(`formatSafetensors: a tensor cannot be called "__metadata__"`);
    const count = shape.reduce((a, b) => a * b, 1);
    if (count !== data.length) {
      throw new ArgumentError(
        `formatSafetensors: tensor "${name}": shape [${
          shape.join(", ")
        }] holds ${count} elements, data has ${data.length}`,
      );
    }
    const dtype = data instanceof Float16Array ? "F16" : "F32";
    header[name] = { dtype, shape, data_offsets: [size, size + data.byteLength] };
    size += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const start = Math.ceil((8 + json.length) / 8) * 8;
  const out = new Uint8Array(start + size).fill(0x20, 8, start);
  new DataView(out.buffer).setBigUint64(0, BigInt(start - 8), true);
  out.set(json, 8);
  let at = start;
  for (const { data } of Object.values(tensors)) {
    out.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return out;
}
