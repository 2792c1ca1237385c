/**
 * Values for the inputs of a program: made up, or from a file.
 *
 * @module
 */

import { parseSafetensors, toFloat32 } from "../data/safetensors.ts";
import { DataError } from "../errors.ts";
import type { TensorData } from "../graph/ndarray.ts";
import { show, sizeOf } from "../graph/shape.ts";
import type { PortInfo } from "../compile/runner.ts";
import { Random } from "../random.ts";
import { UsageError } from "./args.ts";

/** How values are made up. */
export const FILLS = ["normal", "uniform", "zeros", "ones"] as const;

/** One of {@linkcode FILLS}. */
export type Fill = (typeof FILLS)[number];

/** Integers that every integer port can hold: 0..127. */
const INTEGERS = 128;

/**
 * Values for every input: standard normal or uniform in -1..1 (integers 0..127 on integer ports), zeros or ones.
 *
 * @param ports The inputs.
 * @param fill How.
 * @param seed Seed of the random ones.
 * @returns One array per input.
 */
export function makeFeeds(ports: readonly PortInfo[], fill: Fill, seed: number): Float32Array[] {
  const random = new Random(seed);
  const next: Record<Fill, () => number> = {
    normal: () => random.normal(),
    uniform: () => random.uniform(-1, 1),
    zeros: () => 0,
    ones: () => 1,
  };
  return ports.map(({ shape, dtype }) => {
    const drawn = dtype !== "fp16" && (fill === "normal" || fill === "uniform");
    return Float32Array.from({ length: sizeOf(shape) }, drawn ? () => random.below(INTEGERS) : next[fill]);
  });
}

/**
 * Whether a file can be one with values, before anything else is done.
 *
 * @param file Path.
 * @throws {UsageError} There is no such file, or it has another ending than `.safetensors` or `.json`.
 */
export function checkFeedFile(file: string): void {
  if (!/\.(safetensors|json)$/i.test(file)) throw new UsageError(`${file}: expected a file .safetensors or .json`);
  try {
    Deno.statSync(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new UsageError(`no file ${file}`);
    throw new DataError(`${file}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

function readFile(file: string): Uint8Array<ArrayBuffer> {
  try {
    return Deno.readFileSync(file);
  } catch (error) {
    throw new DataError(`${file}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

const names = (ports: readonly PortInfo[]): string =>
  ports.map(({ name, dtype, shape }) => `${name} ${dtype} ${show(shape)}`).join(", ");

/** Values by the name of the port, else by its place. */
function assign<T>(file: string, ports: readonly PortInfo[], values: ReadonlyMap<string, T>): T[] {
  if (ports.every(({ name }) => values.has(name))) return ports.map(({ name }) => values.get(name)!);
  if (values.size === ports.length) return [...values.values()];
  throw new DataError(
    `${file} has values for ${[...values.keys()].join(", ") || "nothing"}; the inputs are ${names(ports)}`,
  );
}

/**
 * Values for every input from a file: safetensors, or JSON with an object of nested arrays by port name, or a list with
 * one nested array per input. Names that are not those of the ports count in their order.
 *
 * @param file Path ending in `.safetensors` or `.json`.
 * @param ports The inputs.
 * @returns One value per input.
 * @throws {UsageError} There is no such file, or it has another ending.
 * @throws {DataError} It is damaged, or has other values.
 */
export function readFeeds(file: string, ports: readonly PortInfo[]): TensorData[] {
  checkFeedFile(file);
  const bytes = readFile(file);
  if (/\.safetensors$/i.test(file)) return assign(file, ports, parseSafetensors(bytes, file).tensors).map(toFloat32);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new DataError(`${file} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof value !== "object" || value === null) {
    throw new DataError(`${file}: expected a list or an object with one nested array per input: ${names(ports)}`);
  }
  return assign(file, ports, new Map(Object.entries(value as Record<string, TensorData>)));
}
