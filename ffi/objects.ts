/**
 * Objects of the C sources, named by everything that went into them, so that an unchanged file is compiled once.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { compileObjects, type CompileOptions, type Compiler } from "./compiler.ts";

/** A C file to compile. */
export interface ObjectSource {
  /** Path as the compiler gets it. */
  readonly path: string;
  /** Its text. */
  readonly bytes: Uint8Array;
  /** Compiler flags. */
  readonly flags: readonly string[];
}

/**
 * SHA-256 over some parts.
 *
 * @param parts Strings and bytes, one behind the other.
 * @returns Hex digits.
 */
export function sha256(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

/**
 * Whether there is something at a path.
 *
 * @param path Path of a file or directory.
 * @returns False also when it may not be read.
 */
export function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

/**
 * Makes the objects that `dir` does not hold yet.
 *
 * @param compiler Compiler to run.
 * @param sources C files.
 * @param headers Bytes of every file the sources may include.
 * @param dir Existing directory of the objects.
 * @param options Options of the compile.
 * @returns Object of each source path.
 * @throws {DeviceError} A file does not compile.
 */
export function makeObjects(
  compiler: Compiler,
  sources: readonly ObjectSource[],
  headers: readonly Uint8Array[],
  dir: string,
  options: CompileOptions = {},
): Map<string, string> {
  const shared = sha256(...headers, compiler.identity, ...compiler.args, options.strict ? "strict" : "");
  const objects = new Map<string, string>();
  for (const { path, bytes, flags } of sources) {
    objects.set(path, `${dir}/${sha256(shared, path, flags.join(" "), bytes).slice(0, 32)}.o`);
  }
  const jobs = sources.filter(({ path }) => !exists(objects.get(path)!)).sort((a, b) => b.bytes.length - a.bytes.length)
    .map(({ path, flags }) => ({ source: path, object: objects.get(path)!, flags }));
  compileObjects(compiler, jobs, options);
  return objects;
}
