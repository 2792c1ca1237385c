/**
 * Reading and spelling statements of program text.
 *
 * @module
 */

import { array, type NDArray } from "../src/graph/ndarray.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import type { MilProgram } from "../src/mil/emit.ts";

/** Statements of the body, without indentation. */
export function body({ text }: MilProgram): string[] {
  return text.split("\n").filter((line) => line.startsWith("        ")).map((line) => line.slice(8));
}

/** Values of an fp16 blob whose descriptor lies at `offset`. */
export function blob({ weights }: MilProgram, offset: number): number[] {
  const view = new DataView(weights.buffer);
  const length = Number(view.getBigUint64(offset + 8, true));
  const start = Number(view.getBigUint64(offset + 16, true));
  return Array.from({ length: length / 2 }, (_, i) => view.getFloat16(start + 2 * i, true));
}

/**
 * Writes out one expected statement. `TYPE NAME := VALUE` is a constant, `TYPE NAME := blob 64` one in the weight file,
 * `TYPE NAME = CALL` an operation; a leading `|` asks for the tight spelling.
 */
export function expand(line: string): string {
  const tight = line.startsWith("|");
  const eq = tight ? "=" : " = ";
  const text = tight ? line.slice(1) : line;
  const [, type, name, sign, rest] = text.match(/^(.*?) (\w+) (:?=) (.*)$/s)!;
  if (sign === "=") return `${type} ${name} = ${rest}[name${eq}string("${name}")];`;
  const value = rest!.startsWith("blob ")
    ? `${type}(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(${rest!.slice(5)})))`
    : rest;
  return `${type} ${name} = const()[name${eq}string("${name}"), val${eq}${value}];`;
}

/** An fp16 tensor type. */
export const F = (...extents: number[]): string => `tensor<fp16, [${extents.join(", ")}]>`;
/** A bool tensor type. */
export const B = (...extents: number[]): string => `tensor<bool, [${extents.join(", ")}]>`;
/** An int32 list. */
export const list = (name: string, ...values: number[]): string =>
  `tensor<int32, [${values.length}]> ${name} := tensor<int32, [${values.length}]>([${values.join(", ")}])`;
/** An array of ones. */
export const ones = (...shape: number[]): NDArray =>
  array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape);

/** Type of most small examples. */
export const X23 = F(2, 3);
/** An image to feed. */
export const img = (c = 2, h = 4, w = 4): Tensor => input([1, c, h, w]);
