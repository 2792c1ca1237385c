/**
 * Plain arrays on the host: weights on the way in, results on the way out.
 *
 * @module
 */

import { DtypeError, ShapeError } from "../errors.ts";
import { describe } from "./check.ts";
import { float32ForHalf } from "./fp16.ts";
import { type Shape, show, sizeOf } from "./shape.ts";

/** Typed arrays numbers are read from. The 64 bit integer arrays are not among them. */
export type TypedArray =
  | Float16Array
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array;

/** A number, or lists of equal length of such. */
export type NestedArray = number | readonly NestedArray[];

/** What is accepted wherever numbers are: an NDArray, nested lists, or a typed array, which is one-dimensional. */
export type TensorData = NDArray | NestedArray | TypedArray;

/**
 * A row-major float32 array with a shape.
 *
 * @example
 * ```ts
 * const a = NDArray.from([[1, 2], [3, 4]]);
 * a.shape; // [2, 2]
 * a.at(1, 0); // 3
 * ```
 */
export class NDArray {
  /** Elements, row-major. Shared with the caller, not copied. */
  readonly data: Float32Array;
  /** Extents, outermost first. */
  readonly shape: Shape;

  /**
   * Wraps elements without copying them.
   *
   * @param data Elements, row-major.
   * @param shape Extents; their product is the number of elements.
   * @throws {ShapeError} when data and shape disagree.
   */
  constructor(data: Float32Array, shape: Shape) {
    if (!(data instanceof Float32Array)) {
      throw new DtypeError(`NDArray: data is ${describe(data)}; expected a Float32Array. NDArray.from converts`);
    }
    if (!Array.isArray(shape) || shape.some((extent) => !Number.isInteger(extent) || extent < 0)) {
      throw new ShapeError(`NDArray: shape ${shape} is not a list of integers of at least 0`);
    }
    if (sizeOf(shape) !== data.length) {
      throw new ShapeError(
        `NDArray: ${data.length} elements do not fill shape ${show(shape)}, which holds ${sizeOf(shape)}`,
      );
    }
    this.data = data;
    this.shape = Object.freeze([...shape]);
  }

  /**
   * Makes an array from numbers. An NDArray is returned as it is (or with the new shape over the same elements);
   * anything else is copied.
   *
   * @param data NDArray, nested lists, or a typed array.
   * @param shape Extents, if other than the data's own.
   * @returns The array.
   * @throws {ShapeError} for ragged lists, or when data and shape disagree.
   * @throws {DtypeError} for elements that are not numbers, and 64 bit integers.
   */
  static from(data: TensorData, shape?: Shape): NDArray {
    if (data instanceof NDArray) return shape === undefined ? data : new NDArray(data.data, shape);
    if (ArrayBuffer.isView(data)) {
      const values = fromTypedArray(data);
      return new NDArray(values, shape ?? [values.length]);
    }
    const own = nestedShape(data);
    const values = new Float32Array(sizeOf(own));
    fill(data, own, values);
    return new NDArray(values, shape ?? own);
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get size(): number {
    return this.data.length;
  }

  /**
   * The only element.
   *
   * @returns Its value.
   * @throws {ShapeError} when there is not exactly one.
   */
  item(): number {
    if (this.data.length !== 1) {
      throw new ShapeError(`item: shape ${show(this.shape)} has ${this.data.length} elements; expected exactly 1`);
    }
    return this.data[0]!;
  }

  /**
   * One element.
   *
   * @param index One index per axis; negative ones count from the end.
   * @returns Its value.
   * @throws {ShapeError} when an index is missing or out of range.
   */
  at(...index: number[]): number {
    if (index.length !== this.shape.length) {
      throw new ShapeError(`at: ${index.length} indices given for shape ${show(this.shape)}`);
    }
    let offset = 0;
    this.shape.forEach((extent, axis) => {
      const i = index[axis]! < 0 ? index[axis]! + extent : index[axis]!;
      if (!Number.isInteger(i) || i < 0 || i >= extent) {
        throw new ShapeError(`at: index ${index[axis]} is out of range on axis ${axis} of shape ${show(this.shape)}`);
      }
      offset = offset * extent + i;
    });
    return this.data[offset]!;
  }

  /**
   * The elements as nested lists.
   *
   * @returns A number for rank 0, otherwise lists of lists.
   */
  toNested(): NestedArray {
    const build = (axis: number, offset: number): NestedArray => {
      if (axis === this.shape.length) return this.data[offset]!;
      const step = sizeOf(this.shape.slice(axis + 1));
      return Array.from({ length: this.shape[axis]! }, (_, i) => build(axis + 1, offset + i * step));
    };
    return build(0, 0);
  }

  /**
   * The array as text: shape and values, long axes shortened to their first and last three.
   *
   * @returns For example `NDArray [2, 2] [[1, 2], [3, 4]]`.
   */
  toString(): string {
    const write = (axis: number, offset: number): string => {
      if (axis === this.shape.length) return String(Number(this.data[offset]!.toPrecision(6)));
      const extent = this.shape[axis]!;
      const step = sizeOf(this.shape.slice(axis + 1));
      const items: string[] = [];
      for (let i = 0; i < extent; i++) {
        if (extent > 8 && i === 3) {
          items.push("...");
          i = extent - 3;
        }
        items.push(write(axis + 1, offset + i * step));
      }
      return `[${items.join(", ")}]`;
    };
    return `NDArray ${show(this.shape)} ${write(0, 0)}`;
  }

  /**
   * What `console.log` prints.
   *
   * @returns The same text as {@linkcode NDArray.toString}.
   */
  [Symbol.for("Deno.customInspect")](): string {
    return this.toString();
  }
}

/**
 * Makes an array from numbers: the short name of {@linkcode NDArray.from}.
 *
 * @param data NDArray, nested lists, or a typed array.
 * @param shape Extents, if other than the data's own.
 * @returns The array.
 * @throws {ShapeError} for ragged lists, or when data and shape disagree.
 * @example
 * ```ts
 * const w = array(new Float32Array(6), [2, 3]);
 * ```
 */
export function array(data: TensorData, shape?: Shape): NDArray {
  return NDArray.from(data, shape);
}

/**
 * Reads an argument that is baked into the program as fp16: a weight, a bias, a constant.
 *
 * @param op Operation named in the message.
 * @param label What the argument is.
 * @param data The argument.
 * @returns Its values, such that rounding them to fp16 equals rounding the given numbers.
 * @throws {DtypeError} for integer arrays: the device computes in fp16, and an integer type usually is a mistake.
 */
export function weightArray(op: string, label: string, data: TensorData): NDArray {
  if (ArrayBuffer.isView(data) && !isFloatArray(data)) {
    throw new DtypeError(
      `${op}: ${label} is ${describe(data)}; weights are fp16 on the device, so pass a Float16Array, Float32Array or ` +
        `Float64Array (bf16 held in a Uint16Array must be widened first)`,
    );
  }
  try {
    return NDArray.from(data);
  } catch (error) {
    if (error instanceof Error) error.message = `${op}: ${label}: ${error.message}`;
    throw error;
  }
}

/**
 * Swaps the last two axes of an array.
 *
 * @param source An array of rank 2 or more.
 * @returns A new array, `[.., N, K]` for `[.., K, N]`.
 */
export function transposeLast(source: NDArray): NDArray {
  const rows = source.shape.at(-2)!;
  const columns = source.shape.at(-1)!;
  const result = new Float32Array(source.data.length);
  for (let base = 0; base < result.length; base += rows * columns) {
    for (let row = 0; row < rows; row++) {
      const from = base + row * columns;
      for (let column = 0; column < columns; column++) {
        result[base + column * rows + row] = source.data[from + column]!;
      }
    }
  }
  return new NDArray(result, [...source.shape.slice(0, -2), columns, rows]);
}

function isFloatArray(data: ArrayBufferView): boolean {
  return data instanceof Float32Array || data instanceof Float64Array || data instanceof Float16Array;
}

function fromTypedArray(data: ArrayBufferView): Float32Array {
  if (data instanceof Float64Array) return Float32Array.from(data, float32ForHalf);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array || data instanceof DataView) {
    throw new DtypeError(`array: data is ${describe(data)}; expected floating-point or 8 to 32 bit integer elements`);
  }
  return new Float32Array(data as TypedArray);
}

function nestedShape(data: NestedArray): number[] {
  const shape: number[] = [];
  let level: unknown = data;
  while (Array.isArray(level)) {
    if (shape.length === 32) throw new ShapeError("array: lists are nested more than 32 deep");
    shape.push(level.length);
    level = level[0];
  }
  // An empty list ends the walk: [] has shape [0], [[], []] has shape [2, 0].
  return shape;
}

function fill(data: NestedArray, shape: Shape, values: Float32Array): void {
  let next = 0;
  const walk = (item: unknown, axis: number): void => {
    if (axis === shape.length) {
      if (typeof item === "number") values[next++] = float32ForHalf(item);
      else if (Array.isArray(item)) throw ragged(axis);
      else throw new DtypeError(`array: element ${next} is ${describe(item)}; expected a number`);
      return;
    }
    if (!Array.isArray(item) || item.length !== shape[axis]) throw ragged(axis);
    for (const inner of item) walk(inner, axis + 1);
  };
  const ragged = (axis: number): ShapeError =>
    new ShapeError(
      `array: nested lists are ragged: their first elements give shape ${show(shape)}, axis ${axis} differs`,
    );
  walk(data, 0);
}
