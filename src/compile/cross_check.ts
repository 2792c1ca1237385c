/**
 * Whether a graph compiles for a target this machine does not have.
 *
 * @module
 */

import { openDevice } from "../../ffi/device.ts";
import { compileCheck } from "../../ffi/program.ts";
import { UnsupportedOpError } from "../errors.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { emitMil } from "../mil/emit.ts";
import { OPS } from "../ops/all.ts";
import { warnCrossChip } from "../targets/divergence.ts";
import { obstacle, preflight } from "../targets/preflight.ts";
import { archForFamily, familyOfArch, MAX_FAMILY, type Target } from "../targets/targets.ts";
import { warn } from "../warnings.ts";
import { writeProgram } from "./cache.ts";
import { computed } from "./build.ts";

function requireLowerings(out: Tensor): void {
  const missing = topologicalOrder([out])
    .filter(({ op }) => op !== "input" && OPS.get(op)?.lower === undefined).map(({ op }) => op);
  if (missing.length === 0) return;
  throw new UnsupportedOpError(`crossCompileCheck: no lowering for ${[...new Set(missing)].sort().join(", ")}`);
}

/**
 * Asks the device's compiler whether it takes a graph for another target. This says nothing about the numbers that chip
 * computes. In this order:
 *
 * 1. a target that is not known is refused, since the compiler would silently take its own;
 * 2. the static check of {@linkcode preflight}; when the graph does not fit, the compiler is not started, because it does
 *    not apply the size limits of another family;
 * 3. a warning about fp16 results that may differ from those of this device (kind `cross-chip-fp16`);
 * 4. the compiler. Nothing is replaced by a formula here: native `sin` does not compile for M1.
 *
 * What stands in the way is reported as a warning of the kind `cross-compile`.
 *
 * @example
 * ```ts
 * import { crossCompileCheck, input } from "../../mod.ts";
 *
 * const y = input([1, 64]).relu();
 * console.log(crossCompileCheck(y, "h13"), crossCompileCheck(y, "h17s")); // true true
 * ```
 *
 * @param out The value to compute.
 * @param target Compiler target such as `h13`, or a family number, which stands for `h13`, `h14`, `h15` or `h16s`.
 * @returns Whether the compiler made a program.
 * @throws {ArgumentError} The target is not known, a family below 2 is given by its number, or the graph has no inputs.
 * @throws {UnsupportedOpError} An operation of the graph has no lowering.
 * @throws {DeviceError} The device is missing or cannot compile for other targets.
 */
export function crossCompileCheck(out: Tensor, target: Target): boolean {
  const root = computed(out);
  const arch = typeof target === "number" ? archForFamily(target) : target.trim().toLowerCase();
  const family = familyOfArch(arch);
  const refuse = (why: string): false => {
    warn("cross-compile", `crossCompileCheck: not for ${arch}: ${why}`);
    return false;
  };
  const reason = obstacle(preflight(root, family));
  if (reason !== undefined) return refuse(reason);
  warnCrossChip("crossCompileCheck", root, openDevice().info.family, family);
  requireLowerings(root);
  const { text, weights } = emitMil([root], { family: MAX_FAMILY });
  const { milPath, cacheDir } = writeProgram(text, weights);
  const refusal = compileCheck({ milPath, cacheDir, target: arch });
  return refusal === undefined ? true : refuse(refusal);
}
