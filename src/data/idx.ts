/**
 * The IDX files MNIST comes in: reader and writer.
 *
 * Format, big endian: two zero bytes, a type code (0x08 = unsigned byte), the rank, one uint32 per axis, then the elements
 * row-major.
 *
 * @module
 */

import { DataError } from "../errors.ts";

/** An array of bytes read from an IDX file. */
export interface IdxArray {
  /** Extent of every axis. */
  shape: number[];
  /** Elements, row-major. */
  data: Uint8Array;
}

const TYPES: Record<number, string> = {
  0x08: "uint8",
  0x09: "int8",
  0x0b: "int16",
  0x0c: "int32",
  0x0d: "float32",
  0x0e: "float64",
};

/**
 * Reads the bytes of an (uncompressed) IDX file of unsigned bytes.
 *
 * @param bytes The whole file.
 * @param name What to call it in messages.
 * @throws {DataError} When the header is not IDX, the type is not uint8, or the length does not fit the header.
 *
 * @example
 * ```ts
 * const { shape, data } = parseIdx(await Deno.readFile("t10k-images-idx3-ubyte"));
 * ```
 */
export function parseIdx(bytes: Uint8Array, name = "IDX file"): IdxArray {
  if (bytes.length < 4) throw new DataError(`${name}: ${bytes.length} bytes are too few for an IDX header (4 needed)`);
  if (bytes[0] !== 0 || bytes[1] !== 0) {
    const magic = [...bytes.subarray(0, 4)].map((b) => b.toString(16).padStart(2, "0")).join(" ");
    throw new DataError(`${name}: not an IDX file: it begins with ${magic}, expected 00 00 08 <rank>`);
  }
  const type = bytes[2]!;
  if (type !== 0x08) {
    throw new DataError(
      `${name}: element type 0x${type.toString(16)} (${TYPES[type] ?? "unknown"}) is not supported, only uint8 (0x08)`,
    );
  }
  const rank = bytes[3]!;
  const header = 4 + 4 * rank;
  if (rank < 1 || rank > 5) throw new DataError(`${name}: rank ${rank} is outside 1..5`);
  if (bytes.length < header) {
    throw new DataError(`${name}: truncated: ${bytes.length} bytes, the header of rank ${rank} needs ${header}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const count = shape.reduce((a, b) => a * b, 1);
  if (bytes.length - header !== count) {
    const what = bytes.length - header < count ? "truncated" : "too long";
    throw new DataError(
      `${name}: ${what}: shape [${shape.join(", ")}] needs ${count} bytes after the header, found ${
        bytes.length - header
      }`,
    );
  }
  return { shape, data: bytes.subarray(header) };
}

/** The bytes of an IDX file holding unsigned bytes. */
export function formatIdx(array: IdxArray): Uint8Array<ArrayBuffer> {
  const count = array.shape.reduce((a, b) => a * b, 1);
  if (count !== array.data.length) {
    throw new DataError(`formatIdx: shape [${array.shape.join(", ")}] needs ${count} bytes, got ${array.data.length}`);
  }
  const header = 4 + 4 * array.shape.length;
  const out = new Uint8Array(header + count);
  const view = new DataView(out.buffer);
  out.set([0, 0, 0x08, array.shape.length]);
  array.shape.forEach((extent, i) => view.setUint32(4 + 4 * i, extent));
  out.set(array.data, header);
  return out;
}

/** Undoes gzip when the bytes begin with its magic (1f 8b); other bytes are returned as they are. */
export async function gunzip(bytes: Uint8Array<ArrayBuffer>, name = "file"): Promise<Uint8Array<ArrayBuffer>> {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes;
  try {
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (cause) {
    throw new DataError(`${name}: damaged or truncated gzip data (${(cause as Error).message})`, { cause });
  }
}

/** Images and their labels. */
export interface LabelledImages {
  /** Number of images. */
  count: number;
  /** Pixels of one image. */
  pixels: number;
  /** All images, one row of `pixels` bytes each. */
  images: Uint8Array;
  /** One class per image. */
  labels: Uint8Array;
}

/**
 * Puts an images file ([N, H, W]) and a labels file ([N]) together.
 *
 * @throws {DataError} When ranks or counts do not match, or a label is not below `classes`.
 */
export function labelledImages(images: IdxArray, labels: IdxArray, classes = 10): LabelledImages {
  if (images.shape.length !== 3) {
    throw new DataError(`images: expected rank 3 [N, H, W], got [${images.shape.join(", ")}]`);
  }
  if (labels.shape.length !== 1) throw new DataError(`labels: expected rank 1 [N], got [${labels.shape.join(", ")}]`);
  const [count, height, width] = images.shape as [number, number, number];
  if (count !== labels.shape[0]) throw new DataError(`${count} images, but ${labels.shape[0]} labels`);
  const bad = labels.data.findIndex((label) => label >= classes);
  if (bad >= 0) throw new DataError(`label ${labels.data[bad]} of image ${bad} is not below ${classes}`);
  return { count, pixels: height * width, images: images.data, labels: labels.data };
}
