/**
 * Writes ONNX models, as far as the reference models need it: float32 tensors, nodes with integer, float and list
 * attributes. The format is Protocol Buffers; the field numbers are those of onnx.proto3.
 *
 * @module
 */

type Field = readonly [number: number, value: number | string | Uint8Array | Float32Array];

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; bytes.length === 0 || rest > 0; rest = Math.floor(rest / 128)) {
    bytes.push(rest % 128 + (rest >= 128 ? 128 : 0));
  }
  return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** A message: integers as varints, the rest with a length. */
function message(...fields: Field[]): Uint8Array {
  return joined(fields.flatMap(([number, value]) => {
    if (typeof value === "number") return [Uint8Array.from([...varint(number * 8), ...varint(value)])];
    const bytes = typeof value === "string"
      ? new TextEncoder().encode(value)
      : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    return [Uint8Array.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes];
  }));
}

/** An integer >= 0, a list of them, or a float given as a Float32Array of one. */
export type Attribute = number | readonly number[] | Float32Array;

function attribute(name: string, value: Attribute): Uint8Array {
  if (value instanceof Float32Array) {
    const float = joined([Uint8Array.of(2 * 8 + 5), new Uint8Array(value.buffer)]); // fixed32
    return joined([message([1, name]), float, message([20, 1])]);
  }
  if (typeof value === "number") return message([1, name], [3, value], [20, 2]);
  return message([1, name], ...value.map((v): Field => [8, v]), [20, 7]);
}

function port(name: string, shape: readonly number[]): Uint8Array {
  const extents = message(...shape.map((d): Field => [1, message([1, d])]));
  return message([1, name], [2, message([1, message([1, 1], [2, extents])])]);
}

/** A model under construction. Values are named t0, t1, ... */
export class OnnxWriter {
  readonly #nodes: Uint8Array[] = [];
  readonly #tensors: Uint8Array[] = [];
  #next = 0;

  /** A stored float32 tensor. */
  tensor(shape: readonly number[], data: Float32Array): string {
    const name = `t${this.#next++}`;
    this.#tensors.push(message(...shape.map((d): Field => [1, d]), [2, 1], [8, name], [9, data]));
    return name;
  }

  /** A stored list of int64. */
  integers(values: readonly number[]): string {
    const name = `t${this.#next++}`;
    const data = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    this.#tensors.push(message([1, values.length], [2, 7], [8, name], [9, data]));
    return name;
  }

  /** A node with one result. */
  node(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    const name = `t${this.#next++}`;
    const list = Object.entries(attributes).map(([key, value]): Field => [5, attribute(key, value)]);
    this.#nodes.push(message(...inputs.map((v): Field => [1, v]), [2, name], [4, op], ...list));
    return name;
  }

  /** The file: ir_version 9, the default operator set 20. The input is called `x`. */
  model(shape: readonly number[], output: string, outputShape: readonly number[]): Uint8Array {
    const graph = message(
      ...this.#nodes.map((v): Field => [1, v]),
      [2, "graph"],
      ...this.#tensors.map((v): Field => [5, v]),
      [11, port("x", shape)],
      [12, port(output, outputShape)],
    );
    return message([1, 9], [7, graph], [8, message([2, 20])]);
  }
}
