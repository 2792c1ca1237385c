/**
 * From a graph to a model on the device.
 *
 * @module
 */

import { openDevice } from "../../ffi/device.ts";
import { ArgumentError, UnsupportedOpError } from "../errors.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import type { Compressor } from "../mil/compress.ts";
import { estimate } from "../targets/cost.ts";
import { warnSlices } from "../targets/divergence.ts";
import { requireFit } from "../targets/preflight.ts";
import { familyOf, supportsMil, type Target } from "../targets/targets.ts";
import { warn } from "../warnings.ts";
import { build, type BuildJob, computed, Stages } from "./build.ts";
import { checkCompression, COMPRESSION_OPTIONS, type CompressionOptions, compressorOf } from "./compression.ts";
import { Model } from "./model.ts";
import { MultiModel } from "./multi_model.ts";
import { signalPrecision } from "./precision.ts";
import {
  cheapestRoutes,
  cheapestVariant,
  chooseMeasured,
  type TuneOptions,
  type TuneTrial,
  type Variant,
} from "./tune.ts";

/**
 * How much is done to a graph before it is compiled:
 *
 * - `0`: nothing, the program text is that of the graph as written;
 * - `"routes"`: what changes nothing is dropped (a reshape of a reshape, a factor 1, ..), and of operations that have two
 *   forms the cheaper one is taken. Every value stays the same;
 * - `1`: also constants are folded, chains of scalar factors or terms joined, and weights written as int8 where the values
 *   that meet them are known to be small enough (`maxAbs` of inputs says so), each when the estimate says it is no slower;
 * - `2` or `"max"`: the variants are measured on the device, see {@linkcode tune}.
 */
export type OptLevel = 0 | 1 | 2 | "max" | "routes";

/** Options of {@linkcode compile} and {@linkcode compileMulti}. */
export interface CompileOptions extends CompressionOptions {
  /** Directory for the program's files, always written. Default: a directory in the cache, named by their hash. */
  buildDir?: string;
  /**
   * Compiler target such as `h13`, or a family number, whose limits and lowerings are used; the program is always compiled
   * for the device at hand. Default: the device's own.
   */
  target?: Target;
  /** How much is done to the graph (default `"routes"`). {@linkcode compileMulti} takes graphs as they are: only 0. */
  opt?: OptLevel;
  /**
   * Throw, instead of warning, when the graph has a pattern that loses accuracy in fp16; see `precisionRisk`. Not for
   * {@linkcode compileMulti} (default `false`).
   */
  validate?: boolean;
}

const KNOWN: readonly string[] = ["buildDir", "target", "opt", "validate", ...COMPRESSION_OPTIONS];
const OPT_LEVELS: readonly unknown[] = [0, 1, 2, "max", "routes"];

function checkOptions(call: string, options: CompileOptions): void {
  for (const [key, value] of Object.entries(options)) {
    if (value === undefined || KNOWN.includes(key)) continue;
    throw new ArgumentError(`${call}: unknown option ${JSON.stringify(key)}; the options are ${KNOWN.join(", ")}`);
  }
  const { opt, buildDir, validate } = options as Record<string, unknown>;
  if (opt !== undefined && !OPT_LEVELS.includes(opt)) {
    throw new ArgumentError(`${call}: unknown opt=${JSON.stringify(opt)} (use 0, 1, 2, 'max', or 'routes')`);
  }
  if (validate !== undefined && typeof validate !== "boolean") {
    throw new ArgumentError(`${call}: validate must be true or false, got ${JSON.stringify(validate)}`);
  }
  if (buildDir !== undefined && (typeof buildDir !== "string" || buildDir === "")) {
    throw new ArgumentError(`${call}: buildDir must be the path of a directory, got ${JSON.stringify(buildDir)}`);
  }
  checkCompression(call, options);
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

/** Capability family of the target, once the graphs are known to fit it. */
function gate(call: string, outs: readonly Tensor[], target: Target | undefined): number {
  const family = resolveFamily(call, target);
  warnSlices(call, outs, family);
  requireFit(call, outs, family);
  return family;
}

/** A program that takes less than this many floors is mostly dispatch. */
const FLOOR_FACTOR = 1.5;
/** Microseconds of an empty dispatch, by the measurements the original's estimate rests on. */
const FLOOR_US = 63.3;

/** Warns about a program whose cost is that of starting it; once per estimate, since most small programs share one. */
function signalFloor(call: string, out: Tensor): void {
  const us = estimate(out, { model: "original" });
  if (us > FLOOR_FACTOR * FLOOR_US) return;
  warn(
    "dispatch-floor",
    `${call}: this program takes about ${
      us.toFixed(1)
    } us by estimate, where starting any program takes ${FLOOR_US} us; ` +
      "put more work into one program, or several items into one batch",
    `${us}`,
  );
}

function checkGraph(call: string, outs: readonly Tensor[]): void {
  if (!Array.isArray(outs)) throw new ArgumentError(`${call}: expected a list of tensors`);
  if (outs.length === 0) throw new ArgumentError(`${call}: no outputs given`);
  if (!topologicalOrder(outs).some((node) => node.op === "input")) {
    throw new ArgumentError(
      `${call}: graph has no inputs; its value is a constant that can be computed without the device`,
    );
  }
}

/** What compile and tune share: checks, signals, and the graph that is to be computed. */
function prepare(call: string, out: Tensor, options: CompileOptions): { root: Tensor; family: number } {
  const { validate = false, target } = options;
  checkOptions(call, options);
  checkGraph(call, [out]);
  const root = computed(out);
  signalPrecision(call, root, validate);
  signalFloor(call, root);
  return { root, family: gate(call, [root], target) };
}

/** A graph as {@linkcode compile} would compile it. */
export interface ChosenGraph {
  /** The value asked for, computed. */
  readonly root: Tensor;
  /** What is compiled for it. */
  readonly chosen: Tensor;
  /** What writes its weights; fp16 without. */
  readonly compressor?: Compressor;
  /** Capability family it is written for. */
  readonly family: number;
}

/** The graph that an unmeasured level compiles. */
const REWRITES: Readonly<Record<string, (root: Tensor) => Pick<Variant, "root" | "int8">>> = {
  "0": (root) => ({ root, int8: false }),
  "1": cheapestVariant,
  routes: (root) => ({ root: cheapestRoutes(root), int8: false }),
};

/** What writes the weights of a form: compressed as the options say, or as the form was chosen. */
function compressorFor(options: CompileOptions, int8: boolean, family: number): Compressor | undefined {
  return compressorOf(int8 ? { int8 } : options, family);
}

/**
 * The graph a compile with these options would write, without writing it and without warnings about it.
 *
 * @param call Function named in messages.
 * @param out The value to compute.
 * @param options Options of the compile.
 * @returns The graph before and after rewriting.
 * @throws {UnsupportedOpError} `opt` asks for measuring.
 */
export function chooseGraph(call: string, out: Tensor, options: CompileOptions): ChosenGraph {
  checkOptions(call, options);
  checkGraph(call, [out]);
  const { opt = "routes", compress, target } = options;
  const level = REWRITES[compress ? 0 : opt];
  if (level === undefined) {
    throw new UnsupportedOpError(
      `${call}: opt=${JSON.stringify(opt)} measures on the device; tune() says what it chose`,
    );
  }
  const root = computed(out);
  const family = gate(call, [root], target);
  const { root: chosen, int8 } = level(root);
  return { root, chosen: computed(chosen), compressor: compressorFor(options, int8, family), family };
}

/**
 * Compiles a graph into one fused program. In this order: what loses accuracy in fp16 and what is too small to be worth a
 * program is warned about (kinds `precision`, `dispatch-floor`); the graph is held against the target's operations and
 * limits; the graph is rewritten as `opt` says; the program is written and loaded.
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
 * @param options Where to keep the program, for which target, and how much to optimise.
 * @returns The model, to be released when it is no longer needed.
 * @throws {ArgumentError} The graph has no inputs, an option is not known, or `validate` found a precision risk.
 * @throws {UnsupportedOpError} The target lacks an operation, or an option is not available.
 * @throws {ShapeError} An extent is larger than the target takes.
 * @throws {CompileError} The device refused the program.
 * @throws {DataError} The program's directory is not writable.
 * @throws {DeviceError} The device is missing.
 */
export function compile(out: Tensor, options: CompileOptions = {}): Model {
  const { opt = "routes", buildDir, compress } = options;
  if (opt === 2 || opt === "max") return tune(out, options).model;
  const stages = new Stages();
  const { root, family } = prepare("compile", out, options);
  stages.end("check");
  const chosen = REWRITES[compress ? 0 : opt]!(root);
  stages.end("rewrite");
  const compressor = compressorFor(options, chosen.int8, family), encoder = compressor?.encode;
  const model = new Model(build({ asked: [out], roots: [computed(chosen.root)], family, buildDir, stages, encoder }));
  compressor?.report("compile");
  return model;
}

/** A model whose form was chosen by measuring. */
export interface Tuned {
  /** The model, to be released when it is no longer needed. */
  readonly model: Model;
  /** Name of the variant it was made from: `native`, `fold`, `chains`, `int8`, .. */
  readonly variant: string;
  /** Key of the graph's structure. */
  readonly key: string;
  /** What was tried; empty when the decision was stored or there was nothing to choose. */
  readonly trials: readonly TuneTrial[];
  /** Whether the decision came from `autotune.json`. */
  readonly stored: boolean;
}

/**
 * Compiles the variants of a graph, measures them on the device, and keeps the fastest whose results hold. Inputs are
 * made up; the first variant is the reference, and one that may round differently must be 1.10 times faster to win. The
 * decision is kept in `autotune.json`, beside the compiled programs, under a key of the graph's structure and the device,
 * so that the next call only compiles.
 *
 * @example
 * ```ts
 * import { input, tune } from "../../mod.ts";
 *
 * const x = input([64, 256]);
 * const { model, variant, trials } = tune(x.muls(0.5).muls(0.25).relu());
 * console.log(variant, trials.map(({ name, us }) => `${name} ${us} us`));
 * model.release();
 * ```
 *
 * @param out The value to compute.
 * @param options As for {@linkcode compile}, without `opt`, and how to measure.
 * @returns The model and how it was chosen.
 * @throws {ArgumentError} As `compile`, or a setting is out of range.
 * @throws {UnsupportedOpError} The target lacks an operation, or an option is not available.
 * @throws {ShapeError} An extent is larger than the target takes.
 * @throws {CompileError} The device refused every variant.
 * @throws {DataError} The program's directory is not writable.
 * @throws {DeviceError} The device is missing.
 */
export function tune(out: Tensor, options: CompileOptions & TuneOptions = {}): Tuned {
  const { budget, repetitions, warmUp, tolerance, store, ...rest } = options;
  checkCompression("tune", { ...rest, opt: "max" });
  const stages = new Stages();
  const { root, family } = prepare("tune", out, rest);
  stages.end("check");
  const job = (variant: Variant): BuildJob => ({
    asked: [out],
    roots: [computed(variant.root)],
    family,
    encoder: compressorFor({}, variant.int8, family)?.encode,
  });
  const settings = { budget, repetitions, warmUp, tolerance, store };
  const { winner, ...tuning } = chooseMeasured("tune", root, (variant) => new Model(build(job(variant))), settings);
  stages.end("measure");
  const model = new Model(build({ ...job(winner), buildDir: rest.buildDir, stages }));
  return { ...tuning, variant: winner.name, model };
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
  if (options.opt) {
    throw new UnsupportedOpError(
      `compileMulti: opt=${JSON.stringify(options.opt)}: it compiles graphs as written, opt=0`,
    );
  }
  if (options.validate) {
    throw new UnsupportedOpError("compileMulti: validate: use precisionRisk on each of the outputs");
  }
  checkGraph("compileMulti", outs);
  const stages = new Stages();
  const family = gate("compileMulti", outs, options.target);
  stages.end("check");
  const compressor = compressorOf(options), encoder = compressor?.encode;
  const model = new MultiModel(
    build({ asked: outs, roots: outs, family, buildDir: options.buildDir, stages, encoder }),
  );
  compressor?.report("compileMulti");
  return model;
}
