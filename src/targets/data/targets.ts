/**
 * The compiler's target names and the families they belong to.
 *
 * @module
 */

/** A capability family: a hardware generation that has every feature of the ones below it. */
export interface FamilyRow {
  /** Number, 1 to 5. */
  readonly family: number;
  /** Generation of the A-series the number stands for. */
  readonly name: string;
  /** Compiler target that stands for the whole family; null below the MIL floor. */
  readonly representative: string | null;
  /** Macs of the family. */
  readonly macs: string;
  /** Public origin of the row. */
  readonly source: string;
}

/** A name the compiler takes as `TargetArchitecture`. */
export interface TargetRow {
  /** Name, lower case. */
  readonly arch: string;
  /** Its family; null for the compiler's own reference targets, which are no silicon. */
  readonly family: number | null;
  /** Engine cores the suffix stands for (none 4, g 8, s 16, c 32, d 64), where that is known. */
  readonly cores: number | null;
  /** What carries it, where that is known. */
  readonly chip: string | null;
  /** Public origin of the row. */
  readonly source: string;
}

const code = "sbryngelson/ANEForge aneforge/_targets.py";
const docs = "sbryngelson/ANEForge docs/cross-chip.md";

/** The five families. A17 and A18 only add cores, so they count as A16. */
export const FAMILY_ROWS: readonly FamilyRow[] = [
  { family: 1, name: "A11/A12", representative: null, macs: "none", source: code },
  { family: 2, name: "A13", representative: "h13", macs: "M1", source: code },
  { family: 3, name: "A14", representative: "h14", macs: "M2", source: code },
  { family: 4, name: "A15", representative: "h15", macs: "M3", source: code },
  { family: 5, name: "A16", representative: "h16s", macs: "M4, M5", source: code },
];

/** All 28 targets: 25 with a family, 3 without. */
export const TARGET_ROWS: readonly TargetRow[] = [
  { arch: "h11", family: 1, cores: 4, chip: null, source: code },
  { arch: "h12", family: 1, cores: 4, chip: null, source: code },
  { arch: "m9", family: 1, cores: null, chip: null, source: code },
  { arch: "t0", family: 1, cores: null, chip: null, source: code },
  { arch: "h13", family: 2, cores: 4, chip: "M1", source: code },
  { arch: "h13g", family: 2, cores: 8, chip: "M1 Max", source: code },
  { arch: "t1", family: 2, cores: 16, chip: null, source: code },
  { arch: "h14", family: 3, cores: 4, chip: "M2", source: code },
  { arch: "h14g", family: 3, cores: 8, chip: null, source: code },
  { arch: "h14c", family: 3, cores: 32, chip: null, source: code },
  { arch: "h15", family: 4, cores: 4, chip: "M3", source: code },
  { arch: "h15g", family: 4, cores: 8, chip: null, source: code },
  { arch: "h15c", family: 4, cores: 32, chip: null, source: code },
  { arch: "m11", family: 4, cores: 1, chip: "one efficiency core at 500 MHz", source: code },
  { arch: "h16", family: 5, cores: 4, chip: "M4", source: code },
  { arch: "h16g", family: 5, cores: 8, chip: null, source: code },
  { arch: "h16c", family: 5, cores: 32, chip: null, source: code },
  { arch: "h16s", family: 5, cores: 16, chip: null, source: code },
  { arch: "h17", family: 5, cores: 4, chip: null, source: code },
  { arch: "h17a", family: 5, cores: null, chip: null, source: code },
  { arch: "h17g", family: 5, cores: 8, chip: null, source: code },
  { arch: "h17s", family: 5, cores: 16, chip: "M5, M5 Pro", source: code },
  { arch: "h17c", family: 5, cores: 32, chip: null, source: code },
  { arch: "h17d", family: 5, cores: 64, chip: "64-core die", source: code },
  { arch: "h18", family: 5, cores: 4, chip: null, source: code },
  { arch: "u1", family: null, cores: null, chip: null, source: docs },
  { arch: "u2", family: null, cores: null, chip: null, source: docs },
  { arch: "u3", family: null, cores: null, chip: null, source: docs },
];
