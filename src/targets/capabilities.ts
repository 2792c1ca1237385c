/**
 * What the Neural Engine's compiler makes of each operation of its vocabulary, on each chip, and what this module has of it.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";
import { OPS } from "../ops/all.ts";
import catalog from "./data/op_catalog.json" with { type: "json" };
import { familyOfArch, MIN_FAMILY } from "./targets.ts";

/**
 * What becomes of an operation on a chip: it runs (`native`); it needs a program of its own or a formula (`bridge`); there is
 * no way (`walled`).
 */
export type DeviceStatus = "native" | "bridge" | "walled";

/**
 * How an operation is reached: as an operation of the graph that fuses with others (`fused`), as a native layer in a program
 * of its own (`bridge`), by program text only (`reachable`), not at all (`walled`), or not in a program that only feeds
 * forward (`not-authorable`).
 */
export type OpBucket = "fused" | "bridge" | "reachable" | "walled" | "not-authorable";

/** What a sweep over the whole vocabulary saw on an M5. */
export type SweepClass = "reachable+correct" | "reachable" | "not-implemented-on-ANE" | "compile-walled";

/** Chips of the catalog. */
export type Chip = "m1" | "m2" | "m3" | "m4" | "m5";

/** What is known about an operation. */
export interface OpInfo {
  /** Name in the program text. */
  readonly op: string;
  /** Section of the catalog. */
  readonly category: string;
  /** How it is reached. */
  readonly bucket: OpBucket;
  /** What becomes of it on each chip. */
  readonly status: Readonly<Record<Chip, DeviceStatus>>;
  /** Lowest family on which it is native; `undefined` when it is on none. */
  readonly minFamily: number | undefined;
  /** What the sweep on an M5 saw; absent when it was not swept. */
  readonly sweep?: SweepClass;
  /** Largest error of the sweep relative to NumPy; absent when it was not compared. */
  readonly error?: number;
  /** The compiler's layer behind it. */
  readonly layer?: string;
  /** What one has to know, or what to do instead. */
  readonly note?: string;
  /** Whether this module has it, under its name or as a part of another operation. */
  readonly built: boolean;
  /** Public origins of the row. */
  readonly sources: readonly string[];
}

/** A graph operation whose name is not one of the program text. */
export interface Composite {
  /** Name of the graph node. */
  readonly op: string;
  /** Operations it writes. */
  readonly writes: readonly string[];
  /** Whether this module has it. */
  readonly built: boolean;
}

const CHIPS: readonly Chip[] = ["m1", "m2", "m3", "m4", "m5"];

/** Family of a chip: M1 is 2, M4 and M5 are both 5. */
const CHIP_OF_FAMILY: Readonly<Record<number, Chip>> = { 2: "m1", 3: "m2", 4: "m3", 5: "m5" };

const SOURCES: Readonly<Record<string, string>> = catalog.sources;
const CATEGORIES: Readonly<Record<string, string>> = catalog.categories;

/** Graph operations that stand for others. */
export const COMPOSITES: readonly Composite[] = catalog.composites.map(({ op, writes }) => ({
  op,
  writes,
  built: OPS.has(op),
}));

/** Native layers that are reached as programs of their own. */
export const NATIVE_LAYERS: readonly string[] = catalog.layers.map(({ op }) => op);

const writes = (op: string): boolean =>
  OPS.has(op) || COMPOSITES.some((composite) => composite.built && composite.writes.includes(op));

const optional = <T>(key: string, value: T | undefined): Record<string, T> =>
  value === undefined ? {} : { [key]: value };

/** A row of the data file with every column it may have. */
type Row = (typeof catalog.ops)[number] & { sweep?: string; error?: number; layer?: string; note?: string };

function toInfo(row: Row): OpInfo {
  const status = Object.fromEntries(CHIPS.map((chip) => [chip, row[chip]])) as Record<Chip, DeviceStatus>;
  const native = Object.entries(CHIP_OF_FAMILY).find(([, chip]) => status[chip] === "native");
  return {
    op: row.op,
    category: CATEGORIES[row.category]!,
    bucket: row.bucket as OpBucket,
    status,
    minFamily: native && Number(native[0]),
    ...optional("sweep", row.sweep as SweepClass | undefined),
    ...optional("error", row.error),
    ...optional("layer", row.layer),
    ...optional("note", row.note),
    built: writes(row.op),
    sources: row.source.map((key) => SOURCES[key]!),
  };
}

/** The catalog, in its own order. */
export const CATALOG: ReadonlyMap<string, OpInfo> = new Map(catalog.ops.map((row) => [row.op, toInfo(row)]));

/**
 * What the Python original has and this module does not: operations the catalog calls fused, composites, native layers.
 * There is no function for them, so none can come into a graph.
 */
export const NOT_BUILT: readonly string[] = [
  ...[...CATALOG.values()].filter(({ bucket, built }) => bucket === "fused" && !built).map(({ op }) => op),
  ...COMPOSITES.filter(({ built }) => !built).map(({ op }) => op),
  ...NATIVE_LAYERS.filter((op) => !OPS.has(op)),
];

/** Forms of an operation and operations outside the catalog that the sweep tried as well. */
export const SWEPT_ONLY: readonly { readonly op: string; readonly sweep: SweepClass }[] = catalog.sweptOnly.map((
  { op, sweep },
) => ({ op, sweep: sweep as SweepClass }));

/**
 * What is known about an operation of the program text.
 *
 * @example
 * ```ts
 * import { opInfo } from "../../mod.ts";
 *
 * console.log(opInfo("cumsum")?.note); // what to do instead
 * ```
 *
 * @param op Name in the program text, such as `reduce_sum`.
 * @returns Its row of the catalog; `undefined` for a name that is not in it.
 */
export function opInfo(op: string): OpInfo | undefined {
  return CATALOG.get(op);
}

/** Chip of `m1`..`m5`, of a generation `a13`..`a17`, or of a compiler target. */
function chipOf(name: string): Chip {
  const key = name.trim().toLowerCase();
  if ((CHIPS as readonly string[]).includes(key)) return key as Chip;
  const generation = /^a1([3-7])$/.exec(key)?.[1];
  const family = generation === undefined ? familyOfArch(key) : Math.min(Number(generation) - 1, 5);
  const chip = CHIP_OF_FAMILY[family];
  if (chip !== undefined) return chip;
  throw new ArgumentError(
    `chip ${JSON.stringify(name)} is of family ${family}; the catalog starts at ${MIN_FAMILY} (M1)`,
  );
}

/**
 * What becomes of an operation on a chip.
 *
 * @example
 * ```ts
 * import { deviceStatus } from "../../mod.ts";
 *
 * deviceStatus("sin", "m1"); // "bridge"
 * deviceStatus("sin", "h17s"); // "native"
 * ```
 *
 * @param op Name in the program text.
 * @param chip `m1` to `m5`, `a13` to `a17`, or a compiler target. Default: `m1`.
 * @returns The status; `undefined` for an operation that is not in the catalog.
 * @throws {ArgumentError} The chip is not known.
 */
export function deviceStatus(op: string, chip = "m1"): DeviceStatus | undefined {
  const key = chipOf(chip);
  return CATALOG.get(op)?.status[key];
}

/**
 * Whether an operation runs on a chip as it is.
 *
 * @param op Name in the program text.
 * @param chip As for {@linkcode deviceStatus}.
 * @returns `true` when it is native there.
 * @throws {ArgumentError} The chip is not known.
 */
export function isNative(op: string, chip: string): boolean {
  return deviceStatus(op, chip) === "native";
}

/**
 * Operations with one status on a chip.
 *
 * @param chip As for {@linkcode deviceStatus}.
 * @param status The status. Default: `native`.
 * @returns Their names, sorted.
 * @throws {ArgumentError} The chip is not known.
 */
export function opsOn(chip: string, status: DeviceStatus = "native"): string[] {
  const key = chipOf(chip);
  return [...CATALOG.values()].filter((info) => info.status[key] === status).map(({ op }) => op).sort();
}

/**
 * Lowest family on which an operation is native.
 *
 * @param op Name in the program text.
 * @returns The family number; `undefined` when it is native nowhere or not in the catalog.
 */
export function minNativeFamily(op: string): number | undefined {
  return CATALOG.get(op)?.minFamily;
}

/**
 * Operations no chip has a way for.
 *
 * @returns Their names, sorted.
 */
export function walledEverywhere(): string[] {
  const walled = [...CATALOG.values()].filter(({ status }) => CHIPS.every((chip) => status[chip] === "walled"));
  return walled.map(({ op }) => op).sort();
}

/**
 * Sections of the catalog.
 *
 * @returns Their names.
 */
export function categories(): string[] {
  return Object.values(CATEGORIES);
}
