/**
 * What a model accepts for an input, and how it becomes what the port takes.
 *
 * @module
 */

import { PORT_KINDS, type PortArray, type PortSpec, type Program } from "../../ffi/program.ts";
import { DtypeError, ShapeError } from "../errors.ts";
import { NDArray, type TensorData } from "../graph/ndarray.ts";
import { sameShape, show, sizeOf } from "../graph/shape.ts";

/** Data as a port takes it without another conversion in TypeScript: fp32 or fp16 for fp16 ports, else the port's own type. */
export type FeedArray = Float32Array | PortArray;

/** Smallest and largest value of each integer port type. */
const RANGES = { uint8: [0, 255], int8: [-128, 127], uint16: [0, 65535], int16: [-32768, 32767] } as const;

function label(port: PortSpec, i: number): string {
  return `input '${port.name}' (index ${i})`;
}

/** Elements of a flat or nested value, checked against the port's shape; a typed array has a length only. */
function flatten(port: PortSpec, i: number, value: TensorData): Float32Array | Exclude<TensorData, NDArray> {
  if (ArrayBuffer.isView(value)) {
    const expected = sizeOf(port.shape);
    const length = (value as { length?: number }).length;
    if (length === expected) return value;
    throw new ShapeError(
      `${label(port, i)}: expected ${expected} elements for shape ${show(port.shape)}, got ${length}`,
    );
  }
  const array = toArray(port, i, value);
  if (sameShape(array.shape, port.shape)) return array.data;
  throw new ShapeError(`${label(port, i)}: expected shape ${show(port.shape)}, got ${show(array.shape)}`);
}

function toArray(port: PortSpec, i: number, value: TensorData): NDArray {
  if (typeof value !== "number" && !Array.isArray(value) && !ArrayBuffer.isView(value) && !(value instanceof NDArray)) {
    const kind = value === null || value === undefined ? String(value) : typeof value;
    throw new DtypeError(
      `${label(port, i)}: expected an NDArray, a typed array or nested arrays of numbers, got ${kind}`,
    );
  }
  try {
    return NDArray.from(value);
  } catch (error) {
    if (error instanceof Error) error.message = `${label(port, i)}: ${error.message}`;
    throw error;
  }
}

function toInteger(port: PortSpec, i: number, data: ArrayLike<number>): PortArray {
  const dtype = port.dtype as keyof typeof RANGES;
  const [low, high] = RANGES[dtype];
  const out = new PORT_KINDS[dtype].array(data.length);
  for (let k = 0; k < data.length; k++) {
    const value = data[k]!;
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new DtypeError(
        `${label(port, i)} is ${dtype}: element ${k} is ${value}, expected an integer from ${low} to ${high}`,
      );
    }
    out[k] = value;
  }
  return out;
}

/**
 * Checks an input and brings it into a form the port takes. Data that is in such a form already is not copied.
 *
 * @param port The port.
 * @param i Its index, for the message.
 * @param value What the caller gave.
 * @returns The data; may share memory with `value`.
 * @throws {ShapeError} Wrong shape or element count.
 * @throws {DtypeError} Not numbers, or not integers of the port's range for an integer port.
 */
export function toFeed(port: PortSpec, i: number, value: TensorData): FeedArray {
  const flat = flatten(port, i, value);
  if (port.dtype === "fp16") {
    if (flat instanceof Float32Array || flat instanceof Float16Array) return flat as FeedArray;
    return toArray(port, i, flat).data;
  }
  if (flat instanceof PORT_KINDS[port.dtype].array) return flat as PortArray;
  return toInteger(port, i, flat instanceof Float32Array ? flat : numbersOf(port, i, flat));
}

/** Elements as they are: an fp32 copy could round a wide integer into the port's range. */
function numbersOf(port: PortSpec, i: number, flat: Exclude<TensorData, NDArray>): ArrayLike<number> {
  if (ArrayBuffer.isView(flat) && !(flat instanceof BigInt64Array) && !(flat instanceof BigUint64Array)) {
    return flat as unknown as ArrayLike<number>;
  }
  return toArray(port, i, flat).data;
}

/**
 * Like {@linkcode toFeed}, but the result shares nothing with `value`.
 *
 * @param port The port.
 * @param i Its index, for the message.
 * @param value What the caller gave.
 * @returns A copy the caller cannot change any more.
 */
export function captureFeed(port: PortSpec, i: number, value: TensorData): FeedArray {
  const feed = toFeed(port, i, value);
  const source = value instanceof NDArray ? value.data : value;
  return feed === source ? feed.slice() as FeedArray : feed;
}

/**
 * Writes data from {@linkcode toFeed} to its port.
 *
 * @param program The program.
 * @param i Index of the input.
 * @param data The data.
 */
export function writeFeed(program: Program, i: number, data: FeedArray): void {
  if (data instanceof Float32Array) program.writeF32(i, data);
  else if (data instanceof Float16Array) program.writeF16(i, data);
  else program.writeBytes(i, data);
}
