/**
 * Graphs on the command line: modules that export one.
 *
 * @module
 */

import { toFileUrl } from "./paths.ts";
import { UsageError } from "./args.ts";
import type { Positional } from "./args.ts";
import { AneforgeError, DataError, UnsupportedOpError } from "../errors.ts";
import { Tensor } from "../graph/tensor.ts";

/** The argument that names a graph. */
export const GRAPH_ARGUMENT: Positional = {
  name: "FILE",
  help: "module whose default export, or export `graph`, is a Tensor, a list of them, or a function that returns one",
  complete: "file",
};

/** A graph from a file. */
export interface GraphFile {
  /** As on the command line. */
  readonly file: string;
  /** The values it computes, at least one. */
  readonly outputs: readonly Tensor[];
}

/** What was exported, in a few words. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) {
    return value.length === 0 ? "an empty list" : `a list with ${kindOf(value.find((v) => !(v instanceof Tensor)))}`;
  }
  if (typeof value === "object") return `an object of class ${value.constructor?.name ?? "null"}`;
  return `a ${typeof value}`;
}

/** Whether a value comes from a Tensor class that is not this module's. */
function isForeign(value: unknown): boolean {
  const node = Array.isArray(value) ? value[0] : value;
  return !(node instanceof Tensor) &&
    (node as { constructor?: { name?: string } } | null)?.constructor?.name === "Tensor";
}

async function load(file: string): Promise<Record<string, unknown>> {
  const url = /^[a-z][a-z0-9+.-]+:/i.test(file) ? file : toFileUrl(file);
  try {
    return await import(url);
  } catch (error) {
    throw new DataError(
      `${file} cannot be loaded: ${error instanceof Error ? `${error.name}: ${error.message}` : error}`,
      {
        cause: error,
      },
    );
  }
}

function checkFile(file: string): void {
  if (/^[a-z][a-z0-9+.-]+:/i.test(file)) return;
  let info: Deno.FileInfo;
  try {
    info = Deno.statSync(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new DataError(`${file} cannot be read: run with --allow-read`, { cause: error });
    }
    throw new UsageError(`no file ${file}`);
  }
  if (!info.isFile) throw new UsageError(`${file} is not a file`);
}

async function called(file: string, make: () => unknown): Promise<unknown> {
  try {
    return await make();
  } catch (error) {
    if (error instanceof AneforgeError) {
      error.message = `${file}: ${error.message}`;
      throw error;
    }
    throw new DataError(
      `${file}: its function failed: ${error instanceof Error ? `${error.name}: ${error.message}` : error}`,
      {
        cause: error,
      },
    );
  }
}

/**
 * Loads the graph a module exports.
 *
 * @param file Path, or URL, of the module.
 * @returns The graph.
 * @throws {UsageError} There is no such file, or it exports no graph.
 * @throws {UnsupportedOpError} It is an ONNX file.
 * @throws {DataError} The module, or its function, failed.
 */
export async function loadGraph(file: string): Promise<GraphFile> {
  checkFile(file);
  if (/\.onnx$/i.test(file)) {
    throw new UnsupportedOpError(
      `${file}: the ONNX importer is not built yet; write the model as a module that exports a graph`,
    );
  }
  const exports = await load(file);
  const name = exports.default !== undefined ? "default" : "graph";
  const exported = exports[name];
  if (exported === undefined) {
    const found = Object.keys(exports);
    throw new UsageError(
      `${file} exports no graph: expected a default export or one called graph, found ${
        found.length > 0 ? found.join(", ") : "nothing"
      }`,
    );
  }
  const value = typeof exported === "function" ? await called(file, exported as () => unknown) : exported;
  const outputs: readonly unknown[] = value instanceof Tensor ? [value] : Array.isArray(value) ? value : [];
  if (outputs.length > 0 && outputs.every((node) => node instanceof Tensor)) return { file, outputs };
  const what = `${file}: its export ${name} ${exported === value ? "is" : "returns"}`;
  if (isForeign(value)) {
    throw new UsageError(
      `${what} a Tensor of another copy of this package: import the one this command belongs to, ${new URL(
        "../../mod.ts",
        import.meta.url,
      )}`,
    );
  }
  throw new UsageError(
    `${what} ${kindOf(value)}: expected a Tensor, a list of Tensors, or a function that returns one`,
  );
}
