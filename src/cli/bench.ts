/**
 * `aneforge bench`.
 *
 * @module
 */

import { device } from "../../ffi/device.ts";
import type { Runner } from "../compile/runner.ts";
import { sizeOf } from "../graph/shape.ts";
import { estimate, roofline } from "../targets/cost.ts";
import { archForFamily } from "../targets/targets.ts";
import { defineCommand, EXIT } from "./command.ts";
import { type Fill, FILLS, makeFeeds } from "./feeds.ts";
import { GRAPH_ARGUMENT } from "./graph_file.ts";
import { openModel } from "./open_model.ts";
import { duration } from "./output.ts";

/** Runs are timed in this share of the time after a warm-up in the rest. */
const TIMED = 0.8;
/** At least this many runs, and no more than this many samples are kept. */
const LEAST_RUNS = 3, MOST_RUNS = 1_000_000;

/** Microseconds of each run: at least three, and as many as fit into the time. */
function measure(model: Runner, feeds: readonly Float32Array[], seconds: number): Float64Array {
  const results = model.outputs.map(({ shape }) => new Float32Array(sizeOf(shape)));
  const warm = performance.now() + (1 - TIMED) * seconds * 1000;
  do model.runInto(feeds, results); while (performance.now() < warm);
  const samples: number[] = [];
  const end = performance.now() + TIMED * seconds * 1000;
  for (let now = performance.now(); samples.length < MOST_RUNS && (now < end || samples.length < LEAST_RUNS);) {
    model.runInto(feeds, results);
    const after = performance.now();
    samples.push(1000 * (after - now));
    now = after;
  }
  return Float64Array.from(samples).sort();
}

/** Statistics of sorted samples. */
function summarize(sorted: Float64Array) {
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!;
  const meanUs = sorted.reduce((a, b) => a + b, 0) / sorted.length;
  return { runs: sorted.length, minUs: sorted[0]!, medianUs: at(0.5), meanUs, p95Us: at(0.95), maxUs: at(1) };
}

/** How long a graph takes here. */
export const bench = defineCommand({
  name: "bench",
  summary: "compile a graph, run it on the device and measure",
  details:
    "Inputs are made up. Each run writes the inputs, runs the program and reads the outputs. On the host device the time is that of this CPU, not of an engine.",
  permissions: "--allow-ffi --allow-read --allow-write --allow-env --allow-run",
  positionals: [GRAPH_ARGUMENT],
  options: {
    seconds: { kind: "number", help: "time to spend, a fifth of it for warming up", default: 1, above: 0, max: 3600 },
    fill: { kind: "choice", choices: FILLS, default: "normal", help: "values of the inputs" },
    seed: { kind: "integer", help: "seed of the values", default: 0, min: 0, max: 2 ** 32 - 1 },
  },
  async run({ seconds, fill, seed, args: [file = ""] }, out) {
    const { model: opened, compileMs, graph } = await openModel(file);
    using model = opened;
    const stats = summarize(measure(model, makeFeeds(model.inputs, fill as Fill, seed), seconds));
    const { name, family, target, numerics } = device();
    const arch = target === "auto" ? archForFamily(family) : target;
    const { flops } = roofline(graph.outputs, arch).totals;
    const report = {
      file,
      device: name,
      target: arch,
      numerics,
      operations: model.nOps,
      compileMs,
      ...stats,
      gflops: flops / stats.medianUs / 1e3,
      estimateUs: estimate(graph.outputs, { target: arch }),
    };
    if (out.json) {
      out.object(report);
      return EXIT.ok;
    }
    out.pairs([
      ["device", `${name}${name === "host" ? ` (this CPU, arithmetic ${numerics})` : ""}`],
      ["operations", String(model.nOps)],
      ["compile", duration(1000 * compileMs)],
      ["runs", String(stats.runs)],
      ["median", `${duration(stats.medianUs)}, ${(1e6 / stats.medianUs).toFixed(0)} per second`],
      ["least", duration(stats.minUs)],
      ["mean", duration(stats.meanUs)],
      ["95 %", duration(stats.p95Us)],
      ["most", duration(stats.maxUs)],
      ["rate", `${report.gflops.toFixed(2)} GFLOP/s`],
      [`estimate for ${arch}`, duration(report.estimateUs)],
    ]);
    return EXIT.ok;
  },
});
