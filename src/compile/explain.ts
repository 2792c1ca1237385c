/**
 * What becomes of a graph, as text.
 *
 * @module
 */

import { openDevice } from "../../ffi/device.ts";
import { planText } from "../../ffi/engine.ts";
import { show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { emitMil, type MilPort } from "../mil/emit.ts";
import { estimate } from "../targets/cost.ts";
import { archForFamily } from "../targets/targets.ts";
import { writeProgram } from "./cache.ts";
import { chooseGraph, type CompileOptions } from "./compile.ts";
import { CANONICAL, rewrite } from "./rewrite.ts";

function portList(ports: readonly MilPort[]): string {
  return ports.map(({ name, dtype, shape }) => `${name} ${dtype} ${show(shape)}`).join(", ");
}

function indented(text: string): string {
  return text.trimEnd().split("\n").map((line) => `  ${line}`).join("\n");
}

/** What canonicalisation does to the graph, by rule. */
function rewrites(root: Tensor): string {
  const counts = Object.entries(rewrite([root], CANONICAL).counts).sort(([a], [b]) => (a < b ? -1 : 1));
  return counts.length === 0 ? "nothing to drop" : counts.map(([name, count]) => `${name} ${count}`).join(", ");
}

/**
 * Says what {@linkcode compile} would make of a graph: which rewrites apply, the region that becomes a program with its
 * ports, the estimated time, the program text, the size of the weights, and how the host device's engine runs it: steps,
 * fused groups, memory. On the ane device the last part is missing, since the vendor's compiler does not report it.
 * Writes the program's files, loads and runs nothing.
 *
 * @example
 * ```ts
 * import { explain, input } from "../../mod.ts";
 *
 * console.log(explain(input([1, 4]).reshape(4).reshape(2, 2).relu()));
 * ```
 *
 * @param out The value to compute.
 * @param options As for `compile`; `opt` 2 and `"max"`, which measure, are not taken.
 * @returns The text.
 * @throws {ArgumentError} The graph has no inputs, or an option is not known.
 * @throws {UnsupportedOpError} The target lacks an operation, or an option is not available here.
 * @throws {ShapeError} An extent is larger than the target takes.
 * @throws {CompileError} The host device's engine refuses the program.
 * @throws {DataError} The program's directory is not writable.
 */
export function explain(out: Tensor, options: CompileOptions = {}): string {
  const { root, chosen, compressor, family } = chooseGraph("explain", out, options);
  const { opt = "routes", compress, buildDir } = options;
  const mil = emitMil([chosen], { family, encoder: compressor?.encode });
  compressor?.report("explain");
  const { dir, milPath } = writeProgram(mil.text, mil.weights, buildDir);
  const { info } = openDevice();
  const us = estimate(chosen, { model: "original" });
  return [
    `level: opt ${JSON.stringify(compress ? 0 : opt)}; ${compress || opt === 0 ? "as written" : rewrites(root)}`,
    `target: family ${family} (${archForFamily(family)} and up); device ${info.name}, ${info.target}`,
    `regions: 1, one program of ${mil.opCount} operations, about ${us.toFixed(1)} us by estimate`,
    `  takes ${portList(mil.inputs)}`,
    `  gives ${portList(mil.outputs)}`,
    `weights: ${mil.weights.length} bytes`,
    `files: ${dir}`,
    "program:",
    indented(mil.text),
    "plan:",
    indented(planText(milPath)),
    "",
  ].join("\n");
}
