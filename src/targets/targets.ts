/**
 * The compiler targets the Neural Engine's compiler knows, and the family of each.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";

/** A hardware generation; a larger number has every feature of a smaller one. */
export interface Family {
  /** Number: 1 (A11/A12, below the MIL floor) to 5 (A16 and later). */
  readonly family: number;
  /** Name used in messages. */
  readonly name: string;
  /** Compiler targets of the family. */
  readonly targets: readonly string[];
}

/** Lowest family whose compiler takes MIL programs. */
export const MIN_FAMILY = 2;

/** All families with their compiler targets. `u1`..`u3` are the compiler's own reference targets: no silicon, no family. */
export const FAMILIES: readonly Family[] = [
  { family: 1, name: "A11/A12", targets: ["h11", "h12", "m9", "t0"] },
  { family: 2, name: "A13", targets: ["h13", "h13g", "t1"] },
  { family: 3, name: "A14", targets: ["h14", "h14g", "h14c"] },
  { family: 4, name: "A15", targets: ["h15", "h15g", "h15c", "m11"] },
  {
    family: 5,
    name: "A16",
    targets: ["h16", "h16g", "h16c", "h16s", "h17", "h17a", "h17g", "h17s", "h17c", "h17d", "h18"],
  },
];

/**
 * Family of a compiler target.
 *
 * @param target Name such as `h13` or `H17s`; case and surrounding blanks do not matter.
 * @returns The family number.
 * @throws {ArgumentError} The name is unknown. (The vendor's compiler would silently use the host's target.)
 */
export function familyOf(target: string): number {
  const name = target.trim().toLowerCase();
  const found = FAMILIES.find((row) => row.targets.includes(name));
  if (found) return found.family;
  const known = FAMILIES.filter((row) => row.family >= MIN_FAMILY).flatMap((row) => row.targets);
  throw new ArgumentError(`unknown target ${JSON.stringify(target)}: expected one of ${known.join(", ")}`);
}
