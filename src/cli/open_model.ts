/**
 * A graph from a file, compiled.
 *
 * @module
 */

import { compile, compileMulti } from "../compile/compile.ts";
import type { Runner } from "../compile/runner.ts";
import { silence } from "../warnings.ts";
import { loadGraph } from "./graph_file.ts";

/** A compiled graph. */
export interface OpenModel {
  /** The program, to be released. */
  readonly model: Runner;
  /** Milliseconds the compile took, from the graph to the loaded program. */
  readonly compileMs: number;
  /** The graph. */
  readonly graph: Awaited<ReturnType<typeof loadGraph>>;
}

/**
 * Loads and compiles a graph; one output with the usual rewrites, several as written.
 *
 * @param file Module of the graph.
 * @returns The model.
 */
export async function openModel(file: string): Promise<OpenModel> {
  const graph = await loadGraph(file);
  const restore = silence("dispatch-floor");
  try {
    const start = performance.now();
    const model = graph.outputs.length === 1 ? compile(graph.outputs[0]!) : compileMulti(graph.outputs);
    return { model, compileMs: performance.now() - start, graph };
  } finally {
    restore();
  }
}
