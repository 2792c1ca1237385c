/**
 * From a graph to a model on the device.
 *
 * @module
 */

import { openDevice } from "../../ffi/device.ts";
import { Program } from "../../ffi/program.ts";
import { envNumber, envText } from "../env.ts";
import { ArgumentError, UnsupportedOpError } from "../errors.ts";
import { isPortDtype, type PortDtype } from "../graph/dtype.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { emitMil, type MilPort, type MilProgram } from "../mil/emit.ts";
import { warnSlices } from "../targets/divergence.ts";
import { requireFit } from "../targets/preflight.ts";
import { familyOf, supportsMil, type Target } from "../targets/targets.ts";
import { compileBreaker } from "./backoff.ts";
import { writeProgram } from "./cache.ts";
import { Model } from "./model.ts";
import { MultiModel } from "./multi_model.ts";
import type { LoadedProgram, PortInfo } from "./runner.ts";

/** Options of {@linkcode compile} and {@linkcode compileMulti}. */
export interface CompileOptions {
  /** Directory for the program's files, always written. Default: a directory in the cache, named by their hash. */
  buildDir?: string;
  /**
   * Compiler target such as `h13`, or a family number, whose limits and lowerings are used; the program is always compiled
   * for the device at hand. Default: the device's own.
   */
  target?: Target;
  /** Optimisation level. Only 0, which is the default: the graph as it was written. */
  opt?: 0;
}

/** Options that exist elsewhere in this field, and why they are refused here. */
const UNAVAILABLE: Readonly<Record<string, string>> = {
  compress: "weights are written as fp16; compressed weights are not available",
  compressAtol: "weights are written as fp16; compressed weights are not available",
  blockSize: "weights are written as fp16; compressed weights are not available",
  int8: "weights are written as fp16; int8 weights are not available",
  validate: "there is no precision check at compile time; compare against a float64 reference instead",
};

const OPT_LEVELS: readonly unknown[] = [0, 1, 2, "max", "routes"];

function checkOptions(call: string, options: CompileOptions): void {
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || key === "buildDir" || key === "target" || key === "opt") continue;
    const reason = UNAVAILABLE[key];
    if (reason) throw new UnsupportedOpError(`${call}: ${key}=${JSON.stringify(value)}: ${reason}`);
    throw new ArgumentError(`${call}: unknown option ${JSON.stringify(key)}; the options are buildDir, target and opt`);
  }
  const { opt, buildDir } = options as { opt?: unknown; buildDir?: unknown };
  if (opt !== undefined && !OPT_LEVELS.includes(opt)) {
    throw new ArgumentError(`${call}: unknown opt=${JSON.stringify(opt)} (use 0, 1, 2, or 'max')`);
  }
  if (opt) {
    throw new UnsupportedOpError(
      `${call}: opt=${JSON.stringify(opt)} is not available; programs are compiled with opt=0`,
    );
  }
  if (buildDir !== undefined && (typeof buildDir !== "string" || buildDir === "")) {
    throw new ArgumentError(`${call}: buildDir must be the path of a directory, got ${JSON.stringify(buildDir)}`);
  }
}

/** Capability family to compile for: of `target` when given, else the device's. */
function resolveFamily(call: string, target: Target | undefined): number {
  const family = target === undefined ? openDevice().info.family : familyOf(target);
  if (supportsMil(family)) return family;
  throw new UnsupportedOpError(
    `${call}: target ${
      target ?? "of this device"
    } is of family ${family}; MIL is only supported for H13+ ANE architectures`,
  );
}

/** Program text of a graph that fits the target's family. */
function lowerFor(call: string, outs: readonly Tensor[], target: Target | undefined): MilProgram {
  const family = resolveFamily(call, target);
  warnSlices(call, outs, family);
  requireFit(call, outs, family);
  return emitMil(outs, { family });
}

function checkGraph(call: string, outs: readonly Tensor[]): void {
  if (outs.length === 0) throw new ArgumentError(`${call}: no outputs given`);
  if (!topologicalOrder(outs).some((node) => node.op === "input")) {
    throw new ArgumentError(
      `${call}: graph has no inputs; its value is a constant that can be computed without the device`,
    );
  }
}

/**
 * A value that is computed: an input times 1, since an empty body does not survive the device's compiler.
 *
 * @param out The value asked for.
 * @returns The value itself unless it is an input.
 */
export function computed(out: Tensor): Tensor {
  if (out.op !== "input") return out;
  return out.dtype === "fp16" ? out.muls(1) : out.cast();
}

function portDtype(port: MilPort): PortDtype {
  if (isPortDtype(port.dtype)) return port.dtype;
  throw new UnsupportedOpError(`port '${port.name}' is ${port.dtype}, which cannot cross the border of a program`);
}

/** Ports as models keep them: no reference to the graph, which holds the weights. */
function toPorts(ports: readonly MilPort[]): PortInfo[] {
  const names = [...new Set(ports.map((port) => port.name))];
  return ports.map((port) => ({
    name: port.name,
    dtype: portDtype(port),
    shape: port.shape,
    tensorId: port.tensor.id,
    slot: names.indexOf(port.name),
  }));
}

function bySlot(ports: readonly PortInfo[]): PortInfo[] {
  return ports.filter((port, i) => ports.findIndex((other) => other.slot === port.slot) === i);
}

function report(mil: MilProgram, dir: string, milliseconds: number): void {
  const level = envNumber("ANEFORGE_DEBUG", 0);
  if (level < 1) return;
  console.error(
    `aneforge: compiled ${mil.opCount} ops, ${mil.weights.length} bytes of weights in ${
      milliseconds.toFixed(1)
    } ms: ${dir}`,
  );
  if (level >= 2) console.error(mil.text);
}

function load(mil: MilProgram, buildDir: string | undefined): LoadedProgram {
  const inputs = toPorts(mil.inputs);
  const outputs = toPorts(mil.outputs);
  openDevice();
  const { dir, milPath, cacheDir } = writeProgram(mil.text, mil.weights, buildDir);
  const breaker = compileBreaker();
  breaker.guard();
  const start = performance.now();
  let program: Program | undefined;
  try {
    const profile = envText("ANEFORGE_PROFILE") !== undefined;
    program = Program.compile({ milPath, cacheDir, inputs, outputs: bySlot(outputs), profile });
  } finally {
    breaker.record(program !== undefined);
  }
  report(mil, dir, performance.now() - start);
  return { program, inputs, outputs, nOps: mil.opCount };
}

/**
 * Compiles a graph into one fused program.
 *
 * @example
 * ```ts
 * import { compile, input } from "../../mod.ts";
 *
 * const x = input([1, 4]);
 * using net = compile(x.relu());
 * console.log(net.run(new Float32Array([-1, 0, 1, 2])).data);
 * ```
 *
 * @param out The value to compute.
 * @param options Where to keep the program, and for which target.
 * @returns The model, to be released when it is no longer needed.
 * @throws {ArgumentError} The graph has no inputs, or an option is not known.
 * @throws {UnsupportedOpError} The target lacks an operation, or an option is not available.
 * @throws {ShapeError} An extent is larger than the target takes.
 * @throws {CompileError} The device refused the program.
 * @throws {DataError} The program's directory is not writable.
 * @throws {DeviceError} The device is missing.
 */
export function compile(out: Tensor, options: CompileOptions = {}): Model {
  checkOptions("compile", options);
  checkGraph("compile", [out]);
  return new Model(load(lowerFor("compile", [computed(out)], options.target), options.buildDir));
}

/**
 * Compiles several values of one graph into one fused program.
 *
 * @example
 * ```ts
 * import { compileMulti, input } from "../../mod.ts";
 *
 * const x = input([1, 4]);
 * using net = compileMulti([x.relu(), x.tanh()]);
 * const { 0: positive, 1: squashed } = net.run(new Float32Array([-1, 0, 1, 2]));
 * console.log(positive, squashed);
 * ```
 *
 * @param outs The values to compute.
 * @param options As for {@linkcode compile}.
 * @returns The model, to be released when it is no longer needed.
 * @throws {ArgumentError} No outputs, no inputs, or an option is not known.
 * @throws {UnsupportedOpError} The target lacks an operation, or an option is not available.
 * @throws {ShapeError} An extent is larger than the target takes.
 * @throws {CompileError} The device refused the program.
 * @throws {DataError} The program's directory is not writable.
 * @throws {DeviceError} The device is missing.
 */
export function compileMulti(outs: readonly Tensor[], options: CompileOptions = {}): MultiModel {
  checkOptions("compileMulti", options);
  checkGraph("compileMulti", outs);
  return new MultiModel(load(lowerFor("compileMulti", outs, options.target), options.buildDir));
}
