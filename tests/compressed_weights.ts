// Reads compressed weights back from a program, independently of the code that writes them: what constexpr_* mean.

import { fromHalfBits } from "../src/graph/fp16.ts";
import type { MilProgram } from "../src/mil/emit.ts";

/** The statement that declares `name`. */
export function declaration(text: string, name: string): string {
  const line = text.split("\n").find((line) => line.includes(` ${name} = `));
  if (line === undefined) throw new Error(`no statement declares ${name}`);
  return line.trim();
}

/** Payload at the descriptor a BLOBFILE names: the n-th of a statement. */
export function payload(program: MilProgram, statement: string, n = 0): Uint8Array {
  const offset = Number([...statement.matchAll(/offset = uint64\((\d+)\)/g)][n]![1]);
  const view = new DataView(program.weights.buffer, program.weights.byteOffset);
  const length = Number(view.getBigUint64(offset + 8, true)), start = Number(view.getBigUint64(offset + 16, true));
  return program.weights.slice(start, start + length);
}

export function halvesOf(bytes: Uint8Array): Float64Array {
  return Float64Array.from(
    { length: bytes.length / 2 },
    (_, i) => fromHalfBits(bytes[2 * i]! | (bytes[2 * i + 1]! << 8)),
  );
}

export function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function round(value: number): number {
  return new Float16Array([value])[0]!;
}

/** Encoding of the weight `name` and its values, as fp16. */
export function decode(program: MilProgram, name: string): { encoding: string; values: Float64Array } {
  const { text } = program, own = declaration(text, name);
  const part = (suffix: string) => payload(program, declaration(text, `${name}_${suffix}`));
  if (own.includes("constexpr_affine_dequantize")) {
    const q = new Int8Array(payload(program, own, 0).buffer), scale = halvesOf(payload(program, own, 1));
    const run = q.length / scale.length;
    return { encoding: "int8", values: Float64Array.from(q, (q, i) => round(q * scale[Math.floor(i / run)]!)) };
  }
  if (own.includes("constexpr_lut_to_dense")) {
    const table = halvesOf(part("lut")), index = part("idx");
    const at = (i: number) => (index[i >> 1]! >> (i % 2 * 4)) & 15;
    return { encoding: "int4", values: Float64Array.from({ length: 2 * index.length }, (_, i) => table[at(i)]!) };
  }
  if (own.includes("constexpr_sparse_to_dense")) {
    const mask = part("mask"), kept = halvesOf(part("nz"));
    const shape = /tensor<fp16, \[([\d, ]+)\]>/.exec(own)![1]!.split(", ").map(Number);
    let next = 0;
    const values = Float64Array.from(
      { length: shape.reduce((a, b) => a * b) },
      (_, i) => (mask[i >> 3]! >> (i & 7)) & 1 ? kept[next++]! : 0,
    );
    return { encoding: "sparse", values };
  }
  if (own.includes("= add(")) {
    const q = new Int8Array(part("d").buffer), scale = halvesOf(part("sc"));
    const run = q.length / scale.length;
    return { encoding: "blockwise", values: Float64Array.from(q, (q, i) => round(q * scale[Math.floor(i / run)]!)) };
  }
  return { encoding: "fp16", values: halvesOf(payload(program, own)) };
}
