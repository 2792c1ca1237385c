/**
 * What the compiler's hardware tables say about a target: its die, clocks and cores, and which measurements stand for it.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";
import {
  ANCHOR_ROWS,
  type AnchorRow,
  CLOCK_SHARE,
  DIE_ROWS,
  type DieRow,
  FAMILY_DIE,
  HEADLINE_TFLOPS,
} from "./data/cost_dies.ts";
import { familyOfArch } from "./targets.ts";

/** A die at the clock it sustains. */
export interface Die {
  /** Its table. */
  readonly row: DieRow;
  /** Sustained clock, MHz: 0.8 of the highest. */
  readonly clock: number;
  /** Effective clock there, MHz. */
  readonly effective: number;
}

/** What {@linkcode projectPeak} gives. */
export interface PeakProjection {
  /** Projected peak, TFLOP/s. */
  readonly tflops: number;
  /** Cores times effective clock, relative to the M1. */
  readonly relM1: number;
  /** Cores of the die's table. */
  readonly cores: number;
  /** Sustained clock, GHz. */
  readonly ghz: number;
}

/** Linear between the points of the table, constant outside. */
function effectiveAt(points: DieRow["effectiveMhz"], clock: number): number {
  const above = points.findIndex(([f]) => f >= clock);
  if (above < 0) return points.at(-1)![1];
  if (above === 0) return points[0]![1];
  const [f0, e0] = points[above - 1]!;
  const [f1, e1] = points[above]!;
  return e0 + (clock - f0) / (f1 - f0) * (e1 - e0);
}

function dieOfRow(row: DieRow): Die {
  const clock = CLOCK_SHARE * row.maxMhz;
  return { row, clock, effective: effectiveAt(row.effectiveMhz, clock) };
}

const findDie = (name: string | undefined): DieRow | undefined => DIE_ROWS.find(({ die }) => die === name);

/**
 * The die of a target: its own table, else that of its family.
 *
 * Formula: sbryngelson/ANEForge `aneforge/_cost.py`, curve lookup.
 *
 * @param arch Name of the target.
 * @returns The die.
 * @throws {ArgumentError} The target is unknown, or is of family 1 without a table of its own.
 */
export function dieOf(arch: string): Die {
  const name = arch.trim().toLowerCase();
  const row = findDie(name) ?? findDie(FAMILY_DIE[familyOfArch(name)]);
  if (row !== undefined) return dieOfRow(row);
  throw new ArgumentError(`target ${name}: there is no clock table for it, and none for its family (A11/A12)`);
}

const H13 = dieOf("h13");

/**
 * Cores times effective clock, relative to the M1.
 *
 * @param die The die.
 * @returns The ratio; 1 for h13.
 */
export function relativeToM1({ row, effective }: Die): number {
  return row.cores * effective / (H13.row.cores * H13.effective);
}

/**
 * The measured anchor that stands for a target: its own, else h17s for A16, h14 for A14 and A15, h13 below.
 *
 * @param arch Name of the target.
 * @returns The anchor.
 */
export function anchorOf(arch: string): AnchorRow {
  const name = arch.trim().toLowerCase();
  const family = familyOfArch(name);
  const stand = family >= 5 ? "h17s" : family >= 3 ? "h14" : "h13";
  return ANCHOR_ROWS.find((row) => row.arch === name) ?? ANCHOR_ROWS.find((row) => row.arch === stand)!;
}

/**
 * Projects the peak of a target from cores and clock alone: 1.8 TFLOP/s x cores x effective clock, relative to the M1.
 *
 * This is the original's headline (sbryngelson/ANEForge `aneforge/_cost.py`, `project_peak`). Measured peaks do not follow
 * it: see docs/cost.md for what the engines reach.
 *
 * @example
 * ```ts
 * import { projectPeak } from "../../mod.ts";
 *
 * projectPeak("h17s"); // { tflops: 8.8956.., relM1: 4.942.., cores: 16, ghz: 1.8912 }
 * ```
 *
 * @param arch Name of the target, such as `h13`.
 * @returns Peak, ratio to the M1, cores and clock.
 * @throws {ArgumentError} The target is unknown, or has no clock table (`h12`, `m9`, `t0`).
 */
export function projectPeak(arch: string): PeakProjection {
  const die = dieOf(arch);
  const relM1 = relativeToM1(die);
  return { tflops: HEADLINE_TFLOPS * relM1, relM1, cores: die.row.cores, ghz: die.clock / 1000 };
}
