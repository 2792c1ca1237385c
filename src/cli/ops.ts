/**
 * `aneforge ops`.
 *
 * @module
 */

import { CATALOG, categories, type Chip, type DeviceStatus, type OpInfo } from "../targets/capabilities.ts";
import { UsageError } from "./args.ts";
import { defineCommand, EXIT } from "./command.ts";
import type { Column, Style } from "./output.ts";

/** Chips the catalog tells apart. */
export const CHIPS: readonly Chip[] = ["m1", "m2", "m3", "m4", "m5"];

/** Colour of each status. */
export const STATUS_STYLE: Readonly<Record<DeviceStatus, Style>> = { native: "good", bridge: "weak", walled: "bad" };

function chipNamed(text: string): Chip {
  const chip = CHIPS.find((name) => name === text.trim().toLowerCase());
  if (chip) return chip;
  throw new UsageError(
    `--chip ${JSON.stringify(text)}: expected one of ${CHIPS.map((name) => name.toUpperCase()).join(", ")}`,
  );
}

function categoryNamed(text: string): string {
  const found = categories().filter((name) => name.toLowerCase().includes(text.toLowerCase()));
  if (found.length === 1) return found[0]!;
  throw new UsageError(`--category ${JSON.stringify(text)}: expected a part of one of ${categories().join(", ")}`);
}

const statusColumn = (chip: Chip): Column<OpInfo> => ({
  head: chip.toUpperCase(),
  cell: ({ status }) => status[chip],
  style: ({ status }) => STATUS_STYLE[status[chip]],
});

/** The catalog of operations. */
export const ops = defineCommand({
  name: "ops",
  summary: "list the operations of the program text and what becomes of each on a chip",
  details: "With --status and without --chip: operations that have the status on any chip.",
  permissions: "none",
  options: {
    chip: { kind: "text", value: "CHIP", help: "only the column of M1, M2, M3, M4 or M5" },
    status: { kind: "choice", choices: ["native", "bridge", "walled"], help: "only operations with this status" },
    bucket: {
      kind: "choice",
      choices: ["fused", "bridge", "reachable", "walled", "not-authorable"],
      help: "only operations reached this way",
    },
    category: { kind: "text", value: "TEXT", help: "only the section whose name contains this" },
    built: { kind: "flag", help: "only operations this package writes" },
  },
  run({ chip, status, bucket, category, built }, out) {
    const chips = chip === undefined ? CHIPS : [chipNamed(chip)];
    const section = category === undefined ? undefined : categoryNamed(category);
    const rows = [...CATALOG.values()].filter((row) =>
      (status === undefined || chips.some((name) => row.status[name] === status)) &&
      (bucket === undefined || row.bucket === bucket) &&
      (section === undefined || row.category === section) && (!built || row.built)
    );
    if (out.json) {
      out.object(rows);
    } else {
      out.table([
        { head: "operation", cell: ({ op }) => op, wrap: true },
        { head: "category", cell: ({ category }) => category, wrap: true },
        { head: "reached as", cell: ({ bucket }) => bucket },
        ...chips.map(statusColumn),
        { head: "here", cell: ({ built }) => built ? "yes" : "no" },
      ], rows);
      out.note(`${rows.length} operations`);
    }
    return EXIT.ok;
  },
});
