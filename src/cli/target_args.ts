/**
 * Targets on the command line.
 *
 * @module
 */

import { UsageError } from "./args.ts";
import { suggestion } from "./command.ts";
import { detectFamily } from "../targets/detect.ts";
import { archForFamily, MIN_FAMILY, type TargetRow, TARGETS } from "../targets/targets.ts";

/** Targets a program can be compiled for. */
export const MIL_TARGETS: readonly TargetRow[] = TARGETS.filter(({ family }) =>
  family !== null && family >= MIN_FAMILY
);

/** Name, or what carries the chip, in the form they are compared in. */
const fold = (text: string): string => text.trim().toLowerCase().replaceAll(" ", "");

/**
 * The rows of TARGET: `all`, `own`, or names such as `h13` or `M1`, with commas between them.
 *
 * @param text From the command line.
 * @param every What `all` stands for (default: what takes MIL programs).
 * @returns At least one row, each once.
 * @throws {UsageError} A name is not known.
 */
export function targetRows(text: string, every: readonly TargetRow[] = MIL_TARGETS): TargetRow[] {
  const rows = new Set<TargetRow>();
  for (const word of text.split(",")) {
    if (fold(word) === "all") every.forEach((row) => rows.add(row));
    else rows.add(oneTarget(word));
  }
  return [...rows];
}

/**
 * The row of one target.
 *
 * @param text Name such as `h13`, chip such as `M1`, or `own`.
 * @returns Its row.
 * @throws {UsageError} The name is not known, or has no silicon.
 */
export function oneTarget(text: string): TargetRow {
  const word = fold(text) === "own" ? archForFamily(detectFamily()) : fold(text);
  const row = TARGETS.find(({ arch, chip }) =>
    arch === word || (chip !== null && chip.split(", ").some((name) => fold(name) === word))
  );
  if (row !== undefined && row.family !== null) return row;
  const names = TARGETS.flatMap(({ arch, family }) => family === null ? [] : [arch]);
  const why = row === undefined ? suggestion(word, names) : " (a reference target of the compiler, without silicon)";
  throw new UsageError(`unknown target ${JSON.stringify(text.trim())}${why}; \`aneforge targets\` lists them`);
}
