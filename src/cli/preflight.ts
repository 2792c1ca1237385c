/**
 * `aneforge preflight`.
 *
 * @module
 */

import { obstacle, preflight as preflightGraph, type PreflightEntry } from "../targets/preflight.ts";
import { show } from "../graph/shape.ts";
import { FAMILIES, type TargetRow } from "../targets/targets.ts";
import { defineCommand, EXIT } from "./command.ts";
import { GRAPH_ARGUMENT, loadGraph } from "./graph_file.ts";
import type { Output, Style } from "./output.ts";
import { targetRows } from "./target_args.ts";

/** The families of targets, each with those that were asked about. */
function byFamily(rows: readonly TargetRow[]): { family: number; targets: string[] }[] {
  const families = [...new Set(rows.map(({ family }) => family!))].sort((a, b) => a - b);
  return families.map((family) => ({
    family,
    targets: rows.filter((row) => row.family === family).map(({ arch }) => arch),
  }));
}

const verdict = ({ status, oversize }: PreflightEntry): string => oversize ? `${status}, too large` : status;

function styleOf({ status, oversize }: PreflightEntry): Style {
  return oversize || status === "reject" ? "bad" : status === "native" ? "good" : "weak";
}

type Report = ReturnType<typeof preflightGraph> & { targets: readonly string[] };

function printFamilies(out: Output, reports: readonly Report[]): void {
  out.table([
    { head: "family", cell: ({ family }) => `${family} (${FAMILIES[family - 1]!.name})` },
    { head: "targets", cell: ({ targets }) => targets.join(", "), wrap: true },
    { head: "fits", cell: ({ ok }) => ok ? "yes" : "no", style: ({ ok }) => ok ? "good" : "bad" },
    { head: "native", cell: ({ native }) => String(native.length), right: true },
    { head: "replaced", cell: ({ decompose }) => String(decompose.length), right: true },
    { head: "rejected", cell: ({ reject }) => String(reject.length), right: true },
    { head: "too large", cell: ({ oversize }) => String(oversize.length), right: true },
    { head: "why", cell: (report) => obstacle(report) ?? "", wrap: true },
  ], reports);
}

function printNodes(out: Output, { family, targets, native, decompose, reject, ok }: Report): void {
  out.table([
    { head: "operation", cell: ({ op }) => op },
    { head: "shape", cell: ({ shape }) => show(shape), wrap: true },
    { head: "verdict", cell: verdict, style: styleOf },
    { head: "what to do", cell: ({ suggestion }) => suggestion ?? "", wrap: true },
  ], [...reject, ...decompose, ...native]);
  out.note(
    `the graph ${ok ? "fits" : "does not fit"} ${targets.join(", ")}, family ${family} (${FAMILIES[family - 1]!.name})`,
  );
}

/** Whether a graph fits. */
export const preflight = defineCommand({
  name: "preflight",
  summary: "check a graph against the operations and limits of targets, from tables alone",
  details:
    "One family is shown node by node, several in a line each. Exit status 1 when the graph does not fit one that was asked about.",
  permissions: "--allow-read; --allow-env=ANEFORGE_TARGET and, on a Mac, --allow-ffi for --target own",
  positionals: [GRAPH_ARGUMENT],
  options: {
    target: {
      kind: "text",
      value: "TARGET",
      default: "all",
      help: "`all`, `own`, or names such as h13 or M1, with commas",
      complete: "target",
    },
  },
  async run({ target, args: [file = ""] }, out) {
    const families = byFamily(targetRows(target));
    const { outputs } = await loadGraph(file);
    const reports = families.map(({ family, targets }) => ({ targets, ...preflightGraph(outputs, family) }));
    const ok = reports.every((report) => report.ok);
    if (out.json) {
      out.object({ file, ok, families: reports.map((report) => ({ ...report, obstacle: obstacle(report) ?? null })) });
    } else if (reports.length === 1) {
      printNodes(out, reports[0]!);
    } else {
      printFamilies(out, reports);
    }
    return ok ? EXIT.ok : EXIT.failed;
  },
});
