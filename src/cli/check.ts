/**
 * `aneforge check`.
 *
 * @module
 */

import { crossCompileCheck } from "../compile/cross_check.ts";
import type { Tensor } from "../graph/tensor.ts";
import { onWarning } from "../warnings.ts";
import { defineCommand, EXIT } from "./command.ts";
import { GRAPH_ARGUMENT, loadGraph } from "./graph_file.ts";
import { targetRows } from "./target_args.ts";

/** What the compiler says about one target. */
interface Verdict {
  /** The target. */
  readonly target: string;
  /** Whether every output compiles. */
  readonly ok: boolean;
  /** Why not, and what else one has to know. */
  readonly notes: readonly string[];
}

/** Compiles every output for a target; what is said meanwhile belongs to the answer. */
function verdictOf(outputs: readonly Tensor[], target: string): Verdict {
  const notes = new Set<string>();
  const restore = onWarning((_, message) => notes.add(message.replace(/^crossCompileCheck: /, "")));
  try {
    const ok = outputs.map((out) => crossCompileCheck(out, target)).every((compiles) => compiles);
    return { target, ok, notes: [...notes] };
  } finally {
    restore();
  }
}

/** Targets with the same verdict, in the order of the first of each. */
function alike(verdicts: readonly Verdict[]): (Omit<Verdict, "target"> & { targets: string[] })[] {
  const groups = new Map<string, Omit<Verdict, "target"> & { targets: string[] }>();
  for (const { target, ...verdict } of verdicts) {
    const key = JSON.stringify([verdict.ok, verdict.notes.map((note) => note.replace(target, ""))]);
    const group = groups.get(key);
    if (group) group.targets.push(target);
    else groups.set(key, { ...verdict, targets: [target] });
  }
  return [...groups.values()];
}

/** Whether a graph compiles. */
export const check = defineCommand({
  name: "check",
  summary: "compile a graph for other targets, without running it",
  details:
    "The device's compiler is asked, after the static check of `preflight`. Exit status 1 when a target does not take the graph.",
  permissions: "--allow-ffi --allow-read --allow-write --allow-env --allow-run",
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
    const rows = targetRows(target);
    const { outputs } = await loadGraph(file);
    const targets = rows.map(({ arch }) => verdictOf(outputs, arch));
    const ok = targets.every((row) => row.ok);
    if (out.json) {
      out.object({ file, ok, targets });
    } else {
      out.table([
        { head: "targets", cell: ({ targets }) => targets.join(", "), wrap: true },
        { head: "compiles", cell: ({ ok }) => ok ? "yes" : "no", style: ({ ok }) => ok ? "good" : "bad" },
        { head: "notes", cell: ({ notes }) => notes.join("; ").replaceAll(/\s+/g, " "), wrap: true },
      ], alike(targets));
    }
    return ok ? EXIT.ok : EXIT.failed;
  },
});
