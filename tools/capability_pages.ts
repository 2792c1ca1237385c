/**
 * The pages about operations and limits, from the definitions in src/ops/ and the tables in src/targets/.
 *
 * @module
 */

import { PORT_BYTES } from "../src/graph/dtype.ts";
import { MAX_EXTENT, MAX_RANK } from "../src/graph/limits.ts";
import type { OpDef } from "../src/graph/op.ts";
import { OPS } from "../src/ops/all.ts";
import {
  CATALOG,
  categories,
  type Chip,
  COMPOSITES,
  NATIVE_LAYERS,
  NOT_BUILT,
  type OpBucket,
  type OpInfo,
  type SweepClass,
  SWEPT_ONLY,
  walledEverywhere,
} from "../src/targets/capabilities.ts";
import { LIMITS, OP_FLOORS, type OpFloorRow } from "../src/targets/data/families.ts";
import { FAMILY_ROWS, TARGET_ROWS } from "../src/targets/data/targets.ts";
import { limit, MIN_FAMILY, nativeStreams, opStatus, type WeightEncoding } from "../src/targets/targets.ts";

const BUCKETS: Readonly<Record<OpBucket, string>> = {
  "fused": "an operation of the graph; fuses with its neighbours into one program",
  "bridge": "a native layer, in a program of its own",
  "reachable": "compiles and runs from program text; without a function in the Python original",
  "walled": "no way on the device; see the note for what to do instead",
  "not-authorable": "control flow, lists, state and recurrence, which a program that only feeds forward cannot hold",
};

const SWEEPS: Readonly<Record<SweepClass, string>> = {
  "reachable+correct": "right",
  "reachable": "runs",
  "not-implemented-on-ANE": "not implemented",
  "compile-walled": "does not compile",
};

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string[] => [
  `| ${head.join(" | ")} |`,
  `| ${head.map(() => "---").join(" | ")} |`,
  ...rows.map((row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`),
  "",
];

const code = (text: string): string => `\`${text}\``;
const codes = (names: readonly string[]): string => names.map(code).join(", ");
const listed = (names: readonly string[]): string => codes(names) || "none";
const yes = (flag: boolean): string => (flag ? "yes" : "");
const infos = (): OpInfo[] => [...CATALOG.values()];

/** Whether the catalog's M5 column and the sweep on an M5 say different things. */
export function contradictsSweep({ sweep, status: { m5 } }: OpInfo): boolean {
  if (sweep === undefined) return false;
  return m5 === "bridge" || (m5 === "native") !== sweep.startsWith("reachable");
}

const chipCells = ({ status }: OpInfo): string[] => (["m1", "m2", "m3", "m5"] as Chip[]).map((chip) => status[chip]);

/**
 * The page with all operations of the compiler's vocabulary.
 *
 * @param mark Comment that says where the page comes from.
 * @returns Markdown.
 */
export function catalogPage(mark: string): string {
  const sections = categories().flatMap((category) => [
    `## ${category}`,
    "",
    ...table(
      ["op", "reached as", "here", "M1", "M2", "M3", "M4, M5", "seen on M5", "error", "note"],
      infos().filter((info) => info.category === category).map((info) => [
        code(info.op),
        info.bucket,
        yes(info.built),
        ...chipCells(info),
        info.sweep === undefined ? "" : SWEEPS[info.sweep],
        info.error === undefined ? "" : String(info.error),
        info.note ?? "",
      ]),
    ),
  ]);
  const sources = [...new Set(infos().flatMap((info) => info.sources))];
  return [
    "# Op catalog",
    "",
    mark,
    "",
    `All ${CATALOG.size} operations of the compiler's vocabulary. A chip has an operation natively, needs a bridge (a program`,
    "of its own, or a formula), or has no way (walled). *Here* says whether this module has it, under its name or as part of another.",
    "*Seen on M5* is what a sweep over the vocabulary found; *error* is its largest difference to NumPy, relative.",
    "`af.opInfo(name)` gives the same rows.",
    "",
    "The host device runs what is marked *here*. Everything else it refuses with the reason.",
    "",
    ...sections,
    "## Where catalog and sweep disagree",
    "",
    "The column of the M5 comes from the compiler's tables, the sweep from a run. Trust the sweep.",
    "",
    ...table(
      ["op", "catalog", "sweep"],
      infos().filter(contradictsSweep).map((info) => [code(info.op), info.status.m5, SWEEPS[info.sweep!]]),
    ),
    "## Also swept",
    "",
    ...table(["op", "seen on M5"], SWEPT_ONLY.map(({ op, sweep }) => [code(op), SWEEPS[sweep]])),
    "## Sources",
    "",
    ...sources.map((source) => `- ${code(source)}`),
    "",
  ].join("\n");
}

const families = FAMILY_ROWS.filter(({ family }) => family >= MIN_FAMILY);
const familyHeads = families.map(({ family, name, macs }) => `${family} ${name} (${macs})`);

function coverage(): string[] {
  const rows = (Object.keys(BUCKETS) as OpBucket[]).map((bucket) => {
    const all = infos().filter((info) => info.bucket === bucket);
    return [bucket, String(all.length), String(all.filter(({ built }) => built).length), BUCKETS[bucket]];
  });
  const composites = COMPOSITES.filter(({ built }) => built).map(({ op }) => op);
  return [
    "## Coverage",
    "",
    `The compiler's vocabulary has ${CATALOG.size} operations. [Op catalog](op-catalog.md) lists them by chip.`,
    "",
    ...table(["reached as", "operations", "here", "meaning"], rows),
    `Composites, which have a name in the graph but not in the vocabulary: ${codes(composites)}.`,
    "",
    "### Not built yet",
    "",
    "The Python original (`sbryngelson/ANEForge`) has these, this module does not:",
    "",
    `- operations: ${listed(NOT_BUILT.filter((op) => !NATIVE_LAYERS.includes(op)))}`,
    `- native layers: ${listed(NOT_BUILT.filter((op) => NATIVE_LAYERS.includes(op)))}`,
    "",
  ];
}

function gradientCell(op: OpDef): string {
  return op.gradient ? "yes" : `no: ${op.noGradient ?? "no rule"}`;
}

function operations(): string[] {
  const sections = [...new Set([...OPS.values()].map(({ category }) => category))];
  return [
    "## Operations of this module",
    "",
    ...sections.flatMap((category) => [
      `### ${category}`,
      "",
      ...table(
        ["node", "value", "gradient"],
        [...OPS.values()].filter((op) => op.category === category)
          .map((op) => [code(op.name), op.summary, gradientCell(op)]),
      ),
    ]),
  ];
}

function dtypes(): string[] {
  return [
    "## Element types",
    "",
    ...table(["type", "enters and leaves a program", "is computed with"], [
      ["fp16", "yes", "yes"],
      ...Object.keys(PORT_BYTES).filter((dtype) => dtype !== "fp16")
        .map((dtype) => [dtype, "enters", "after `cast`"]),
      ["bool", "no", "between a comparison and `select`"],
      ["fp32, int32, bf16", "no", "no"],
    ]),
    "Shapes are fixed when a graph is built. For inputs of several lengths compile one program per length, or pad.",
    "",
  ];
}

function limits(): string[] {
  return [
    "## Limits",
    "",
    "Checked before the compiler is started, for the family of the device or of `target`; `af.limit(name, family)`. A graph",
    `takes no axis of more than ${MAX_EXTENT} elements, transposes included, and no more than ${MAX_RANK} axes.`,
    "",
    ...table(
      ["limit", ...familyHeads, "what it bounds", "how it is known"],
      LIMITS.map(({ name, meaning, evidence }) => [
        code(name),
        ...families.map(({ family }) => String(limit(name, family))),
        meaning,
        evidence,
      ]),
    ),
  ];
}

const floorCell = (op: string, family: number): string => opStatus(op, family);

const BELOW: Readonly<Record<OpFloorRow["below"], string>> = {
  formula: "formula in the graph",
  host: "by the host",
  none: "none",
};

function floors(): string[] {
  return [
    "## Operations some families lack",
    "",
    "All others start at family 2 (M1). `af.opStatus(name, family)`. Some of these names stand for a part of the hardware",
    "and not for an operation of the graph.",
    "",
    ...table(
      ["op", ...familyHeads, "in its place", "instead"],
      OP_FLOORS.map((row) => [
        code(row.op),
        ...families.map(({ family }) => floorCell(row.op, family)),
        BELOW[row.below],
        row.instead,
      ]),
    ),
  ];
}

function streams(): string[] {
  const encodings: readonly WeightEncoding[] = ["int4", "int8", "sparse", "blockwise"];
  return [
    "## Compressed weights",
    "",
    "Which encodings a family decodes while it loads weights; the others are expanded to fp16 when the program is",
    "compiled. `af.nativeStreams(family)`. How to ask for them: [Compression](compression.md).",
    "",
    ...table(
      ["encoding", ...familyHeads],
      encodings.map((name) => [name, ...families.map(({ family }) => yes(nativeStreams(family).has(name)))]),
    ),
  ];
}

function targets(): string[] {
  const name = (family: number | null): string =>
    family === null ? "none" : `${family} ${FAMILY_ROWS[family - 1]!.name}`;
  return [
    "## Compiler targets",
    "",
    ...table(
      ["target", "family", "cores", "chip"],
      TARGET_ROWS.map(({ arch, family, cores, chip }) => [code(arch), name(family), String(cores ?? ""), chip ?? ""]),
    ),
    "`u1`, `u2` and `u3` are reference targets of the compiler without silicon. Family 1 takes no MIL programs.",
    "",
  ];
}

/**
 * The page about what can be done.
 *
 * @param mark Comment that says where the page comes from.
 * @returns Markdown.
 */
export function capabilitiesPage(mark: string): string {
  const walled = walledEverywhere().filter((op) => CATALOG.get(op)!.sweep?.startsWith("reachable") !== true);
  return [
    "# Capabilities",
    "",
    mark,
    "",
    "What the Neural Engine takes and what of it this module has. How a graph is checked against a chip is in",
    "[Targets and cost](targets.md), what the numbers are like in [Numerics](numerics.md).",
    "",
    ...coverage(),
    ...operations(),
    ...dtypes(),
    ...limits(),
    ...floors(),
    ...streams(),
    "## Operations without hardware",
    "",
    "No chip has a way for these. What to do instead:",
    "",
    ...table(["op", "instead"], walled.map((op) => [code(op), CATALOG.get(op)!.note ?? ""])),
    ...targets(),
  ].join("\n");
}
