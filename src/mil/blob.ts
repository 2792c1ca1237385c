/**
 * The weight container `weights.bin`.
 *
 * All integers are little endian. A 64-byte header (u32 blob count, u32 version 2, zeros) is followed by the blobs, each
 * a 64-byte descriptor (u32 0xDEADBEEF, u32 type code, u64 payload bytes, u64 file offset of the payload, zeros) and its
 * payload. Nothing is padded: the next descriptor starts where the payload ends.
 *
 * @module
 */

/** Type codes of the container for the payloads written here. */
export const BLOB_CODE = { fp16: 1, int8: 4, uint1: 9, uint4: 11 } as const;

/** Payload type of a blob. */
export type BlobType = keyof typeof BLOB_CODE;

const HEADER_BYTES = 64;
const DESCRIPTOR_BYTES = 64;
const MAGIC = 0xdeadbeef;
const VERSION = 2;

/** Collects blobs and writes the container. */
export class BlobWriter {
  readonly #blobs: { type: BlobType; payload: Uint8Array; offset: number }[] = [];
  #end = HEADER_BYTES;

  /** Number of blobs so far. */
  get count(): number {
    return this.#blobs.length;
  }

  /**
   * Appends a blob.
   *
   * @param type Element type of the payload.
   * @param payload Raw bytes; kept, not copied.
   * @returns File offset of the blob's descriptor, which is what program text refers to.
   */
  add(type: BlobType, payload: Uint8Array): number {
    const offset = this.#end;
    this.#blobs.push({ type, payload, offset });
    this.#end = offset + DESCRIPTOR_BYTES + payload.length;
    return offset;
  }

  /**
   * The whole container.
   *
   * @returns Its bytes; 64 when there are no blobs.
   */
  finish(): Uint8Array {
    const bytes = new Uint8Array(this.#end);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, this.#blobs.length, true);
    view.setUint32(4, VERSION, true);
    for (const { type, payload, offset } of this.#blobs) {
      view.setUint32(offset, MAGIC, true);
      view.setUint32(offset + 4, BLOB_CODE[type], true);
      view.setBigUint64(offset + 8, BigInt(payload.length), true);
      view.setBigUint64(offset + 16, BigInt(offset + DESCRIPTOR_BYTES), true);
      bytes.set(payload, offset + DESCRIPTOR_BYTES);
    }
    return bytes;
  }
}
