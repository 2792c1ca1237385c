/**
 * The compiler targets the Neural Engine's compiler knows, the family of each, and what a family can do.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";
import { type LimitName, LIMITS, OP_FLOORS, type OpFloorRow, STREAMS, type WeightEncoding } from "./data/families.ts";
import { FAMILY_ROWS, TARGET_ROWS, type TargetRow } from "./data/targets.ts";

export type { TargetRow } from "./data/targets.ts";
export type { LimitName, OpFloorRow, WeightEncoding } from "./data/families.ts";

/** A hardware generation; a larger number has every feature of a smaller one. */
export interface Family {
  /** Number: 1 (A11/A12, below the MIL floor) to 5 (A16 and later). */
  readonly family: number;
  /** Name used in messages. */
  readonly name: string;
  /** Compiler targets of the family. */
  readonly targets: readonly string[];
}

/** A compiler target such as `h13`, or the number of a family. */
export type Target = string | number;

/** What a family makes of an operation: runs it, needs something in its place, or has nothing for it. */
export type OpStatus = "native" | "decompose" | "reject";

/** Lowest family whose compiler takes MIL programs. */
export const MIN_FAMILY = 2;

/** Highest family. */
export const MAX_FAMILY = 5;

/** Every name the compiler knows, also `u1`..`u3`, its own reference targets: no silicon, no family. */
export const TARGETS: readonly TargetRow[] = TARGET_ROWS;

/** All families with their compiler targets. */
export const FAMILIES: readonly Family[] = FAMILY_ROWS.map(({ family, name }) => ({
  family,
  name,
  targets: TARGET_ROWS.filter((row) => row.family === family).map(({ arch }) => arch),
}));

/**
 * Family of a compiler target.
 *
 * @example
 * ```ts
 * import { familyOfArch } from "../../mod.ts";
 *
 * familyOfArch("H17s"); // 5
 * ```
 *
 * @param arch Name such as `h13` or `H17s`; case and surrounding blanks do not matter.
 * @returns The family number.
 * @throws {ArgumentError} The name is unknown. (The vendor's compiler would silently use the host's target.)
 */
export function familyOfArch(arch: string): number {
  const name = typeof arch === "string" ? arch.trim().toLowerCase() : String(arch);
  const row = TARGET_ROWS.find((row) => row.arch === name);
  if (row !== undefined && row.family !== null) return row.family;
  const known = TARGET_ROWS.filter(({ family }) => family !== null && family >= MIN_FAMILY).map((row) => row.arch);
  const hint = row === undefined ? "" : ` (${name} is a reference target of the compiler, without silicon)`;
  throw new ArgumentError(`unknown target ${JSON.stringify(arch)}${hint}: expected one of ${known.join(", ")}`);
}

function checkFamily(family: number): number {
  if (Number.isInteger(family) && family >= 1 && family <= MAX_FAMILY) return family;
  throw new ArgumentError(`unknown family ${family}: expected 1 (A11/A12) to ${MAX_FAMILY} (A16 and later)`);
}

/**
 * Family of a target that is given by name or as a family already.
 *
 * @param target Name such as `h13`, or a family number.
 * @returns The family number.
 * @throws {ArgumentError} The name or number is unknown.
 */
export function familyOf(target: Target): number {
  return typeof target === "number" ? checkFamily(target) : familyOfArch(target);
}

/**
 * The compiler target that stands for a family: `h13`, `h14`, `h15` or `h16s`.
 *
 * @param family Family number.
 * @returns Name of the target.
 * @throws {ArgumentError} No such family, or one below the MIL floor.
 */
export function archForFamily(family: number): string {
  const { representative, name } = FAMILY_ROWS[checkFamily(family) - 1]!;
  if (representative !== null) return representative;
  throw new ArgumentError(
    `family ${family} (${name}) has no target that takes MIL programs; the first is ${MIN_FAMILY}`,
  );
}

/**
 * Whether the compiler takes MIL programs for a family at all.
 *
 * @param family Family number.
 * @returns `true` from family 2 (M1) on.
 */
export function supportsMil(family: number): boolean {
  return family >= MIN_FAMILY;
}

/**
 * Whether a family has the texture engine, which resampling and gathers in hardware need.
 *
 * @param family Family number.
 * @returns `true` from family 3 (M2) on.
 */
export function hasTextureEngine(family: number): boolean {
  return family >= 3;
}

/**
 * The row of an operation that not every family has.
 *
 * @param op Name of the operation.
 * @returns First family and what to do below it; `undefined` for an operation that every family has.
 */
export function opFloorRow(op: string): OpFloorRow | undefined {
  return OP_FLOORS.find((row) => row.op === op);
}

/**
 * First family that has an operation.
 *
 * @param op Name of the operation; names that are not known count as ones every family has.
 * @returns The family number.
 */
export function opFloor(op: string): number {
  return opFloorRow(op)?.family ?? MIN_FAMILY;
}

/**
 * What a family makes of an operation. The name is not checked: one that is not known counts as an operation that starts
 * at family 2.
 *
 * @example
 * ```ts
 * import { opStatus } from "../../mod.ts";
 *
 * opStatus("sin", 2); // "decompose": a polynomial takes its place
 * opStatus("topk", 2); // "reject"
 * ```
 *
 * @param op Name of the operation.
 * @param family Family number.
 * @returns `native`, `decompose` or `reject`.
 */
export function opStatus(op: string, family: number): OpStatus {
  if (family >= opFloor(op)) return "native";
  return (opFloorRow(op)?.below ?? "none") === "none" ? "reject" : "decompose";
}

/** Value of the last step that starts at or below a family. */
function stepAt<T>(steps: readonly (readonly [family: number, value: T])[], family: number): T | undefined {
  return steps.findLast(([first]) => first <= family)?.[1];
}

/**
 * A numeric limit of a family.
 *
 * @example
 * ```ts
 * import { limit } from "../../mod.ts";
 *
 * limit("max_tensor_dim", 2); // 16384
 * limit("conv_kw_max", 5); // 15
 * ```
 *
 * @param name Name of the limit.
 * @param family Family number, 2 or more.
 * @returns The largest value that is accepted.
 * @throws {ArgumentError} No such limit, or a family below the MIL floor.
 */
export function limit(name: LimitName, family: number): number {
  const row = LIMITS.find((row) => row.name === name);
  if (row === undefined) {
    throw new ArgumentError(
      `unknown limit ${JSON.stringify(name)}: expected ${LIMITS.map(({ name }) => name).join(", ")}`,
    );
  }
  const value = stepAt(row.steps, family);
  if (value !== undefined) return value;
  throw new ArgumentError(`limit ${name}: family ${family} is below ${MIN_FAMILY}, the first that takes MIL programs`);
}

/**
 * Encodings of compressed weights that a family decodes while it loads them. Others work too, but are expanded to fp16
 * when the program is compiled: they cost accuracy and save no time.
 *
 * @param family Family number.
 * @returns The encodings.
 */
export function nativeStreams(family: number): ReadonlySet<WeightEncoding> {
  return new Set(stepAt(STREAMS.map((row) => [row.family, row.encodings] as const), family) ?? []);
}
