/**
 * Which chip this Mac has.
 *
 * @module
 */

import { cString } from "./library.ts";

/** Capability family of each generation: `Apple M<n>`. */
const FAMILY_OF_M: Readonly<Record<string, number>> = { "1": 2, "2": 3, "3": 4, "4": 5, "5": 5 };

/**
 * Capability family of a processor.
 *
 * @param brand Brand string, such as `Apple M2 Pro`.
 * @returns The family, or undefined for a processor that is not known.
 */
export function familyOfBrand(brand: string): number | undefined {
  const generation = /Apple M(\d+)/.exec(brand)?.[1];
  return generation === undefined ? undefined : FAMILY_OF_M[generation];
}

/**
 * The processor's brand string, from the kernel of a Mac.
 *
 * @returns `machdep.cpu.brand_string`; empty when it cannot be read.
 */
export function brandString(): string {
  try {
    const system = Deno.dlopen("/usr/lib/libSystem.B.dylib", {
      sysctlbyname: {
        parameters: [
          /* name */ "buffer",
          /* oldp */ "buffer",
          /* oldlenp */ "buffer",
          /* newp */ "pointer",
          /* newlen */ "usize",
        ],
        result: "i32",
      },
    });
    const text = new Uint8Array(256);
    const length = new BigUint64Array([BigInt(text.length)]);
    const failed = system.symbols.sysctlbyname(cString("machdep.cpu.brand_string"), text, length, null, 0n);
    system.close();
    return failed ? "" : new TextDecoder().decode(text.subarray(0, Math.max(0, Number(length[0]) - 1)));
  } catch {
    return "";
  }
}
