/**
 * `aneforge targets`.
 *
 * @module
 */

import { LIMITS } from "../targets/data/families.ts";
import {
  FAMILIES,
  hasTextureEngine,
  limit,
  nativeStreams,
  supportsMil,
  type TargetRow,
  TARGETS,
} from "../targets/targets.ts";
import { defineCommand, EXIT } from "./command.ts";
import type { Output } from "./output.ts";
import { targetRows } from "./target_args.ts";

const orDash = (value: string | number | null): string => value === null ? "-" : String(value);

/** A target with what its family can do. */
function describe({ arch, family, cores, chip }: TargetRow) {
  if (family === null || !supportsMil(family)) return { arch, family, cores, chip, mil: false };
  return {
    arch,
    family,
    cores,
    chip,
    mil: true,
    textureEngine: hasTextureEngine(family),
    weightStreams: [...nativeStreams(family)],
    limits: Object.fromEntries(LIMITS.map(({ name }) => [name, limit(name, family)])),
  };
}

function printOne(out: Output, row: TargetRow): void {
  const { limits, weightStreams, ...rest } = describe(row);
  const name = row.family === null ? "none" : `${row.family} (${FAMILIES[row.family - 1]!.name})`;
  const pairs: [string, string][] = [["target", row.arch], ["family", name]];
  pairs.push(["engine cores", orDash(row.cores)], ["chip", orDash(row.chip)], [
    "takes MIL programs",
    rest.mil ? "yes" : "no",
  ]);
  if (rest.mil) {
    pairs.push(["texture engine", rest.textureEngine ? "yes" : "no"]);
    pairs.push(["weights decoded while loading", weightStreams!.join(", ") || "none"]);
    for (const { name, meaning } of LIMITS) pairs.push([name, `${limits![name]}: ${meaning}`]);
  }
  out.pairs(pairs);
}

/** Targets of the compiler. */
export const targets = defineCommand({
  name: "targets",
  summary: "list the targets of the compiler, or say what one can do",
  permissions: "none; --allow-env=ANEFORGE_TARGET and, on a Mac, --allow-ffi for `own`",
  positionals: [{
    name: "TARGET",
    help: "`own`, or names such as h13 or M1, with commas",
    optional: true,
    complete: "target",
  }],
  options: {},
  run({ args }, out) {
    const asked = args[0] === undefined ? TARGETS : targetRows(args[0]);
    if (out.json) {
      out.object(asked.map(describe));
    } else if (asked.length === 1) {
      printOne(out, asked[0]!);
    } else {
      out.table([
        { head: "target", cell: ({ arch }) => arch },
        { head: "family", cell: ({ family }) => orDash(family), right: true },
        { head: "generation", cell: ({ family }) => family === null ? "reference" : FAMILIES[family - 1]!.name },
        { head: "cores", cell: ({ cores }) => orDash(cores), right: true },
        { head: "chip", cell: ({ chip }) => orDash(chip), wrap: true },
        { head: "MIL", cell: ({ family }) => family !== null && supportsMil(family) ? "yes" : "no" },
      ], asked);
    }
    return EXIT.ok;
  },
});
