/**
 * `aneforge run`.
 *
 * @module
 */

import { device } from "../../ffi/device.ts";
import type { PortInfo } from "../compile/runner.ts";
import { formatSafetensors } from "../data/safetensors.ts";
import { show, sizeOf } from "../graph/shape.ts";
import { defineCommand, EXIT } from "./command.ts";
import { checkFeedFile, type Fill, FILLS, makeFeeds, readFeeds } from "./feeds.ts";
import { writeFileAtomic } from "./files.ts";
import { GRAPH_ARGUMENT } from "./graph_file.ts";
import { openModel } from "./open_model.ts";

/** Elements of an output that are printed. */
const SHOWN = 6;

/** What one output came to. */
interface Result {
  /** Port. */
  readonly name: string;
  /** Extents. */
  readonly shape: readonly number[];
  /** Values. */
  readonly data: Float32Array;
}

const number = (value: number): string => Number.isFinite(value) ? String(Number(value.toPrecision(5))) : String(value);

/** Least, mean and largest of the finite values, and how many are not. */
function statistics(data: Float32Array) {
  const finite = data.filter(Number.isFinite);
  const least = finite.reduce((a, b) => Math.min(a, b), Infinity);
  const most = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  const mean = finite.reduce((a, b) => a + b, 0) / finite.length;
  return { min: least, mean, max: most, nonFinite: data.length - finite.length };
}

/** Distinct names for the tensors of a file: two outputs may be the same value. */
function stored(results: readonly Result[]): Record<string, { shape: readonly number[]; data: Float32Array }> {
  return Object.fromEntries(results.map(({ name, shape, data }) => [name, { shape, data }]));
}

/** What a graph computes. */
export const run = defineCommand({
  name: "run",
  summary: "compile a graph, run it once on the device and show the results",
  permissions: "--allow-ffi --allow-read --allow-write --allow-env --allow-run",
  positionals: [GRAPH_ARGUMENT],
  options: {
    input: {
      kind: "text",
      value: "DATA",
      help: "values of the inputs: .safetensors, or .json with a nested array for each",
      complete: "file",
    },
    fill: { kind: "choice", choices: FILLS, default: "normal", help: "values of the inputs without --input" },
    seed: { kind: "integer", help: "seed of the values", default: 0, min: 0, max: 2 ** 32 - 1 },
    output: {
      kind: "text",
      value: "DATA",
      help: "write the results to this file (safetensors, fp32)",
      complete: "file",
    },
  },
  async run({ input, fill, seed, output, args: [file = ""] }, out) {
    if (input !== undefined) checkFeedFile(input);
    const { model: opened } = await openModel(file);
    using model = opened;
    const feeds = input === undefined ? makeFeeds(model.inputs, fill as Fill, seed) : readFeeds(input, model.inputs);
    const results: Result[] = model.outputs.map(({ name, shape }: PortInfo) => ({
      name,
      shape,
      data: new Float32Array(sizeOf(shape)),
    }));
    model.runInto(feeds, results.map(({ data }) => data));
    if (output !== undefined) await writeFileAtomic(output, formatSafetensors(stored(results)));
    const rows = results.map((result) => ({ ...result, ...statistics(result.data) }));
    if (out.json) {
      const outputs = rows.map(({ data, ...row }) => ({ ...row, data: [...data] }));
      const inputs = model.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape }));
      out.object({ file, device: device().name, inputs, outputs });
    } else {
      out.table([
        { head: "output", cell: ({ name }) => name },
        { head: "shape", cell: ({ shape }) => show(shape), wrap: true },
        { head: "min", cell: ({ min }) => number(min), right: true },
        { head: "mean", cell: ({ mean }) => number(mean), right: true },
        { head: "max", cell: ({ max }) => number(max), right: true },
        { head: "not finite", cell: ({ nonFinite }) => String(nonFinite), right: true },
        {
          head: "first values",
          cell: ({ data }) => [...data.subarray(0, SHOWN)].map(number).join(" ") + (data.length > SHOWN ? " …" : ""),
          wrap: true,
        },
      ], rows);
    }
    if (output !== undefined) out.note(`wrote ${output}`);
    return EXIT.ok;
  },
});
