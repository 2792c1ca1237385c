/**
 * The family of this machine.
 *
 * @module
 */

import { brandString, familyOfBrand } from "../../ffi/chip.ts";
import { envText } from "../env.ts";
import { warn } from "../warnings.ts";
import { archForFamily, familyOfArch, MIN_FAMILY } from "./targets.ts";

let ownBrand: string | undefined;

/** The processor's name, asked for once. Only a Mac is asked. */
function thisBrand(): string {
  ownBrand ??= Deno.build.os === "darwin" ? brandString() : "";
  return ownBrand;
}

/**
 * Family of the Neural Engine of this machine: of `ANEFORGE_TARGET` when set, else by the processor's name (`Apple M2 Pro`
 * is M2; Pro, Max and Ultra have more cores, not more operations), else the lowest family, which every chip contains; that
 * is said once, as a warning of the kind `target`.
 *
 * @example
 * ```ts
 * import { detectFamily, limit } from "../../mod.ts";
 *
 * console.log(limit("max_tensor_dim", detectFamily()));
 * ```
 *
 * @param brand Name of the processor. Default: this machine's.
 * @returns The family number.
 * @throws {ArgumentError} `ANEFORGE_TARGET` holds a name that is not known.
 */
export function detectFamily(brand?: string): number {
  const target = envText("ANEFORGE_TARGET");
  if (target) return familyOfArch(target);
  const chip = brand ?? thisBrand();
  const family = familyOfBrand(chip);
  if (family !== undefined) return family;
  warn(
    "target",
    `${chip ? `unknown chip ${JSON.stringify(chip)}` : "no Apple chip found"}: taken for family ${MIN_FAMILY} ` +
      `(${archForFamily(MIN_FAMILY)}, M1); set ANEFORGE_TARGET to another target`,
    "chip",
  );
  return MIN_FAMILY;
}
