/**
 * `aneforge estimate`.
 *
 * @module
 */

import { estimate as estimateUs, estimateProvenance, roofline, type RooflineRow } from "../targets/cost.ts";
import { DataError } from "../errors.ts";
import { show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { TargetRow } from "../targets/targets.ts";
import { UsageError } from "./args.ts";
import { defineCommand, EXIT, fromUser } from "./command.ts";
import { writeFileAtomic } from "./files.ts";
import { GRAPH_ARGUMENT, loadGraph } from "./graph_file.ts";
import { duration, type Output } from "./output.ts";
import { targetRows } from "./target_args.ts";

type Model = "fitted" | "original";

/** A target with what the graph is estimated to take there. */
export interface Estimate {
  /** Target. */
  readonly target: string;
  /** Machine that has it, where that is known. */
  readonly chip: string | null;
  /** Microseconds per dispatch. */
  readonly us: number;
  /** Whether a machine with the target, or with its family for the original's formulas, was measured. */
  readonly measured: boolean;
  /** What the estimate rests on. */
  readonly basis: string;
}

function estimateFor(outputs: readonly Tensor[], { arch, chip }: TargetRow, model: Model, int8: boolean): Estimate {
  const us = fromUser(() => estimateUs(outputs, { target: arch, model, int8 }));
  const provenance = estimateProvenance(arch);
  const { measured, basis } = model === "original" ? provenance : provenance.fitted;
  return { target: arch, chip, us, measured, basis };
}

/** FLOP per microsecond as text. */
const rate = (flops: number, us: number): string => us > 0 ? `${(flops / us / 1e3).toFixed(1)}` : "-";

function printRoofline(out: Output, target: string, outputs: readonly Tensor[]): void {
  const { ops, totals } = roofline(outputs, target);
  const all: RooflineRow = { op: "all", shape: [], ...totals };
  const label = (row: RooflineRow): string => row === all ? "" : show(row.shape);
  out.table([
    { head: "operation", cell: ({ op }) => op },
    { head: "shape", cell: label, wrap: true },
    { head: "MFLOP", cell: ({ flops }) => (flops / 1e6).toFixed(3), right: true },
    { head: "kB", cell: ({ bytes }) => (bytes / 1e3).toFixed(1), right: true },
    { head: "FLOP/B", cell: ({ intensity }) => intensity.toFixed(2), right: true },
    { head: "GFLOP/s", cell: ({ flops, us }) => rate(flops, us), right: true },
    { head: "bound by", cell: ({ bound }) => bound },
    { head: "time", cell: ({ us }) => duration(us), right: true },
  ], [...ops, all]);
  out.note(`for ${target}; \`all\` contains the dispatch floor of ${duration(totals.floorUs)}`);
}

function printEstimates(out: Output, rows: readonly Estimate[]): void {
  out.table([
    { head: "target", cell: ({ target }) => target },
    { head: "chip", cell: ({ chip }) => chip ?? "-" },
    { head: "time", cell: ({ us }) => duration(us), right: true },
    { head: "per second", cell: ({ us }) => (1e6 / us).toFixed(0), right: true },
    {
      head: "basis",
      cell: ({ basis }) => basis.split(":")[0]!,
      wrap: true,
      style: ({ measured }) => measured ? "good" : "dim",
    },
  ], rows);
}

/** The charts; their library is no part of anything else. */
async function loadCharts(): Promise<typeof import("./plot.ts")> {
  try {
    return await import("./plot.ts");
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : cause;
    throw new DataError(`--plot: the plotting library cannot be loaded, it comes from npm: ${why}`, { cause });
  }
}

async function plot(
  path: string,
  file: string,
  rows: readonly Estimate[],
  byOp: boolean,
  outputs: readonly Tensor[],
): Promise<void> {
  const { latencyChart, rooflineChart } = await loadCharts();
  const svg = byOp ? await rooflineChart(file, roofline(outputs, rows[0]!.target)) : await latencyChart(file, rows);
  await writeFileAtomic(path, new TextEncoder().encode(svg));
}

/** How long a graph takes. */
export const estimate = defineCommand({
  name: "estimate",
  summary: "estimate how long a graph takes on each target, without a device",
  details:
    "docs/cost.md says how far off the estimates are. With --plot the chart is latency by target, or the roofline with --by-op.",
  permissions:
    "--allow-read; --allow-write for --plot; --allow-env=ANEFORGE_TARGET and, on a Mac, --allow-ffi for --target own",
  positionals: [GRAPH_ARGUMENT],
  options: {
    target: {
      kind: "text",
      value: "TARGET",
      default: "all",
      help: "`all`, `own`, or names such as h13 or M1, with commas",
      complete: "target",
    },
    model: { kind: "choice", choices: ["fitted", "original"], default: "fitted", help: "formulas" },
    int8: { kind: "flag", help: "count the weights of matmul as int8" },
    "by-op": { kind: "flag", help: "say for each operation what it takes and what bounds it; for one target" },
    plot: { kind: "text", value: "SVG", help: "write a chart to this file", complete: "file" },
  },
  async run(options, out) {
    const { target, model, int8, "by-op": byOp, plot: svg, args: [file = ""] } = options;
    const targets = targetRows(target);
    if (byOp && targets.length !== 1) throw new UsageError("--by-op needs one target: --target h13");
    if (byOp && (int8 || model !== "fitted")) {
      throw new UsageError("--by-op goes with the fitted model and fp16 weights only");
    }
    const { outputs } = await loadGraph(file);
    const estimates = targets.map((row) => estimateFor(outputs, row, model as Model, int8));
    if (svg !== undefined) await plot(svg, file, estimates, byOp, outputs);
    if (out.json) {
      out.object({ file, model, int8, estimates, ...(byOp ? { roofline: roofline(outputs, targets[0]!.arch) } : {}) });
    } else if (byOp) {
      printRoofline(out, targets[0]!.arch, outputs);
    } else {
      printEstimates(out, estimates);
    }
    if (svg !== undefined) out.note(`wrote ${svg}`);
    return EXIT.ok;
  },
});
