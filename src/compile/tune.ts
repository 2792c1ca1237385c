/**
 * Choosing among the ways to write a graph: by estimate, or by measuring them on the device.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { openDevice } from "../../ffi/device.ts";
import { cacheBase, envText, expandHome } from "../env.ts";
import { AneforgeError, ArgumentError, CompileError } from "../errors.ts";
import { checkInteger, checkNumber } from "../graph/check.ts";
import { NDArray } from "../graph/ndarray.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { Random } from "../random.ts";
import { estimate } from "../targets/cost.ts";
import { writeWhole } from "./cache.ts";
import { activationBound, INT8_CEILING } from "./bound.ts";
import { foldConstants } from "./fold.ts";
import { CANONICAL, rewrite, SCALAR_CHAINS } from "./rewrite.ts";
import { cheapest, routeCandidates } from "./routes.ts";

/** One way to write a graph. */
export interface Variant {
  /** What was done: `native`, `route:<node>`, `fold`, `chains`, `int8`, joined by `+`. */
  readonly name: string;
  /** The graph. */
  readonly root: Tensor;
  /** Whether the results stay the same, bit for bit. */
  readonly lossless: boolean;
  /** Whether the weights of products are written as int8. */
  readonly int8: boolean;
  /** Estimated microseconds. */
  readonly estimate: number;
}

/** Microseconds by which graphs are compared: the original's formulas without a target, so that its decisions are kept. */
function cost(root: Tensor, int8 = false): number {
  return estimate(root, { model: "original", int8 });
}

function estimated(name: string, root: Tensor, lossless: boolean, int8 = false): Variant {
  return { name, root, lossless, int8, estimate: cost(root, int8) };
}

/** Whether a graph has weights that can be int8. */
function hasWeights(root: Tensor): boolean {
  return topologicalOrder([root]).some(({ op, attrs }) =>
    (op === "matmul" || op === "conv") && attrs.weight instanceof NDArray
  );
}

/**
 * The canonical form of a graph, with the routes that cost least.
 *
 * @param out The value to compute.
 * @returns A graph with the same values.
 */
export function cheapestRoutes(out: Tensor): Tensor {
  const canonical = rewrite([out], CANONICAL).roots[0]!;
  return cheapest(routeCandidates(canonical), cost).root;
}

/** Names of two steps in one. */
function joined(first: string, second: string): string {
  return first === "native" ? second : `${first}+${second}`;
}

/**
 * All variants of a graph: its routes, and each of them with constants folded, with chains of scalars joined, with both;
 * and each of these with int8 weights.
 *
 * @param out The value to compute.
 * @returns The variants, first the canonical form of the graph itself.
 */
export function variantsOf(out: Tensor): Variant[] {
  const canonical = rewrite([out], CANONICAL).roots[0]!;
  const variants: Variant[] = [];
  for (const { name, root } of routeCandidates(canonical)) {
    variants.push(estimated(name, root, true));
    const folded = foldConstants([root]);
    if (folded.count > 0) variants.push(estimated(joined(name, "fold"), folded.roots[0]!, true));
    const chains = rewrite(folded.roots, SCALAR_CHAINS).roots[0]!;
    if (chains === folded.roots[0]) continue;
    const both = joined(folded.count > 0 ? joined(name, "fold") : name, "chains");
    variants.push(estimated(both, chains, false));
  }
  if (!hasWeights(canonical)) return variants;
  const quantized = variants.map(({ name, root }) => estimated(joined(name, "int8"), root, false, true));
  return [...variants, ...quantized];
}

/** Lossless variants first, each group by estimate; of equal ones the one with fewer operations, then the earlier. */
function ranked(variants: readonly Variant[]): Variant[] {
  const size = new Map(variants.map((variant) => [variant, topologicalOrder([variant.root]).length]));
  return variants.toSorted((a, b) =>
    Number(b.lossless) - Number(a.lossless) || a.estimate - b.estimate || size.get(a)! - size.get(b)!
  );
}

/**
 * The variant with the lowest estimate; of equal ones the smallest graph. Nothing is measured, so int8 weights are only
 * taken when no activation that meets them can be larger than int8 weights allow.
 *
 * @param out The value to compute.
 * @returns The variant.
 */
export function cheapestVariant(out: Tensor): Variant {
  const bound = activationBound(out);
  const safe = bound !== undefined && bound <= INT8_CEILING;
  return ranked(variantsOf(out).filter(({ int8 }) => safe || !int8)).reduce((best, next) => {
    if (next.estimate !== best.estimate) return next.estimate < best.estimate ? next : best;
    return topologicalOrder([next.root]).length < topologicalOrder([best.root]).length ? next : best;
  });
}

/** Settings of a measured choice. */
export interface TuneOptions {
  /** Most variants measured (default 8). */
  budget?: number;
  /** Runs per variant; the fastest counts (default 20). */
  repetitions?: number;
  /** Runs before those (default 5). */
  warmUp?: number;
  /** Largest difference accepted, relative to the largest magnitude of the first variant's output (default 5e-3). */
  tolerance?: number;
  /** Whether to look a decision up and to keep it in `autotune.json` (default `true`). */
  store?: boolean;
}

/** What happened to a variant. */
export interface TuneTrial {
  /** Name of the variant. */
  readonly name: string;
  /** Whether its results are the same bit for bit. */
  readonly lossless: boolean;
  /** Estimated microseconds. */
  readonly estimate: number;
  /** `measured` and accepted, `inaccurate`, `refused` by the device, `pruned` by its estimate, or `over-budget`. */
  readonly state: "measured" | "inaccurate" | "refused" | "pruned" | "over-budget";
  /** Fastest run, microseconds. */
  readonly us?: number;
  /** Difference to the first variant, relative to its largest magnitude. */
  readonly error?: number;
}

/** A measured choice. */
export interface Tuning {
  /** The variant chosen. */
  readonly winner: Variant;
  /** Key of the graph's structure. */
  readonly key: string;
  /** What was tried; empty when the decision was stored or there was nothing to choose. */
  readonly trials: readonly TuneTrial[];
  /** Whether the decision came from `autotune.json`. */
  readonly stored: boolean;
}

/** A program that can be measured. */
export interface Measurable {
  /** Shapes and types of the inputs. */
  readonly inputs: readonly { readonly shape: readonly number[]; readonly dtype: string }[];
  /** Runs once. */
  run(...inputs: NDArray[]): NDArray;
  /** Runs once with the inputs in place. */
  execute(): void;
  /** Gives the program back. */
  release(): void;
}

/** A lossy variant whose estimate is larger than this times the best one is not measured. */
const PRUNE = 1.5;
/** A lossy variant must be this much faster than the first lossless one. */
const LOSSY_GAIN = 1.1;
const SEED = 0xa9e;

function checkTuneOptions(call: string, options: TuneOptions): Required<TuneOptions> {
  const { budget = 8, repetitions = 20, warmUp = 5, tolerance = 5e-3, store = true } = options;
  checkInteger(call, "budget", budget, 1);
  checkInteger(call, "repetitions", repetitions, 1);
  checkInteger(call, "warmUp", warmUp, 0);
  if (checkNumber(call, "tolerance", tolerance) < 0) {
    throw new ArgumentError(`${call}: tolerance is ${tolerance}; expected a number of at least 0`);
  }
  return { budget, repetitions, warmUp, tolerance, store };
}

/** Standard normal values; those near zero are moved half away from it, so that nothing divides by almost nothing. */
function synthetic(random: Random, shape: readonly number[], dtype: string): NDArray {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = Float32Array.from({ length: size }, () => {
    const x = random.normal();
    const apart = Math.abs(x) < 0.25 ? x + (x < 0 ? -0.5 : 0.5) : x;
    return dtype === "fp16" ? apart : Math.round(Math.abs(apart));
  });
  return new NDArray(data, [...shape]);
}

function relativeError(got: NDArray, reference: NDArray): number {
  let worst = 0, largest = 0;
  for (let i = 0; i < got.size; i++) {
    const a = got.data[i]!, b = reference.data[i]!;
    const difference = a === b ? 0 : Math.abs(a - b);
    if (Number.isNaN(difference)) return NaN;
    worst = Math.max(worst, difference);
    largest = Math.max(largest, Math.abs(b));
  }
  return largest === Infinity ? (worst > 0 ? Infinity : 0) : worst / (largest + 1e-6);
}

/** What is measured about one variant. */
interface Measurement {
  us: number;
  output: NDArray;
}

function measure(program: Measurable, { repetitions, warmUp }: Required<TuneOptions>): Measurement {
  const random = new Random(SEED);
  const output = program.run(...program.inputs.map(({ shape, dtype }) => synthetic(random, shape, dtype)));
  for (let i = 0; i < warmUp; i++) program.execute();
  let us = Infinity;
  for (let i = 0; i < repetitions; i++) {
    const start = performance.now();
    program.execute();
    us = Math.min(us, (performance.now() - start) * 1000);
  }
  return { us, output };
}

/** A value of an attribute as the graph's key sees it: arrays by shape alone. */
function keyed(value: unknown): unknown {
  if (value instanceof NDArray) return { shape: value.shape };
  if (ArrayBuffer.isView(value)) return { bytes: value.byteLength };
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/**
 * Key of a graph's structure: operations, shapes, operands by position, attributes; of weights the shape alone.
 *
 * @param out The value to compute.
 * @returns 32 hex digits.
 */
export function graphKey(out: Tensor): string {
  const order = topologicalOrder([out]);
  const place = new Map(order.map((node, i) => [node, i]));
  const hash = createHash("sha256");
  for (const node of order) {
    const attrs = Object.entries(node.attrs).filter(([name]) =>
      name !== "name" && name !== "value" || node.op !== "input"
    )
      .sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, value]) => [name, keyed(value)]);
    const inputs = node.inputs.map((input) => place.get(input)!);
    hash.update(`${JSON.stringify([node.op, node.shape, node.dtype, inputs, attrs])}\n`);
  }
  return hash.digest("hex").slice(0, 32);
}

/** Path of the store: `autotune.json` beside the compiled programs or in the base of the cache. */
function storePath(): string {
  const own = envText("ANEFORGE_CACHE_DIR");
  return `${own ? expandHome(own) : cacheBase()}/autotune.json`;
}

type Store = Record<string, { variant: string; us: number }>;

/** The stored decisions; a missing or damaged file holds none. */
function readStore(): Store {
  try {
    const parsed: unknown = JSON.parse(Deno.readTextFileSync(storePath()));
    return typeof parsed === "object" && parsed !== null && !Array.isArray(parsed) ? parsed as Store : {};
  } catch {
    return {};
  }
}

/** Adds one decision; written beside the file and renamed. A directory that cannot be written keeps none. */
function writeStore(key: string, decision: Store[string]): void {
  const path = storePath();
  const text = `${JSON.stringify({ ...readStore(), [key]: decision }, null, 1)}\n`;
  try {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    writeWhole(path, new TextEncoder().encode(text));
  } catch {
    // The next tune measures again.
  }
}

/** What a decision holds for: the graph, the tolerance, the device, its target and arithmetic. */
function storeKey(key: string, { tolerance }: { readonly tolerance: number }): string {
  const { name, target, numerics } = openDevice().info;
  return `${name}:${target}:${numerics}:${tolerance}:${key}`;
}

/** State of a measured choice. */
class Contest {
  readonly trials: TuneTrial[] = [];
  #reference: NDArray | undefined;
  #baseline: { variant: Variant; us: number } | undefined;
  #best: { variant: Variant; us: number } | undefined;
  #measured = 0;

  constructor(
    readonly settings: Required<TuneOptions>,
    readonly compile: (variant: Variant) => Measurable,
  ) {}

  get winner(): { variant: Variant; us: number } | undefined {
    return this.#best;
  }

  /** Measures one variant and keeps it when it is the best so far. */
  enter(variant: Variant): void {
    const { name, lossless, estimate } = variant;
    const note = (state: TuneTrial["state"], more: Partial<TuneTrial> = {}): void => {
      this.trials.push({ name, lossless, estimate, state, ...more });
    };
    if (this.#measured >= this.settings.budget) return note("over-budget");
    const late = this.#best !== undefined && estimate > PRUNE * this.#best.variant.estimate;
    if (!lossless && (late || this.#baseline === undefined)) return note("pruned");
    this.#measured++;
    const result = this.#try(variant);
    if (result === undefined) return note("refused");
    const { us, output } = result;
    this.#reference ??= output;
    const error = relativeError(output, this.#reference);
    if (!(error <= this.settings.tolerance)) return note("inaccurate", { us, error });
    note("measured", { us, error });
    if (lossless) this.#baseline ??= { variant, us };
    if (!lossless && us * LOSSY_GAIN > this.#baseline!.us) return;
    if (this.#best === undefined || us < this.#best.us) this.#best = { variant, us };
  }

  #try(variant: Variant): Measurement | undefined {
    let program: Measurable | undefined;
    try {
      program = this.compile(variant);
      return measure(program, this.settings);
    } catch (error) {
      if (error instanceof AneforgeError) return undefined;
      throw error;
    } finally {
      program?.release();
    }
  }
}

/**
 * Measures the variants of a graph and picks the fastest whose results hold.
 *
 * @param call Function named in messages.
 * @param out The value to compute.
 * @param compile Compiles a variant.
 * @param options Settings.
 * @returns The choice.
 * @throws {CompileError} No variant compiles and runs.
 */
export function chooseMeasured(
  call: string,
  out: Tensor,
  compile: (variant: Variant) => Measurable,
  options: TuneOptions = {},
): Tuning {
  const settings = checkTuneOptions(call, options);
  const key = graphKey(out);
  const variants = ranked(variantsOf(out));
  if (variants.length === 1) return { winner: variants[0]!, key, trials: [], stored: false };
  const known = settings.store ? readStore()[storeKey(key, settings)] : undefined;
  const stored = variants.find(({ name }) => name === known?.variant);
  if (stored !== undefined) return { winner: stored, key, trials: [], stored: true };
  const contest = new Contest(settings, compile);
  for (const variant of variants) contest.enter(variant);
  const best = contest.winner;
  if (best === undefined) {
    // Shows why: the first variant fails here as it did in the contest.
    compile(variants[0]!).release();
    throw new CompileError(
      `${call}: no variant of the graph ran; tried ${variants.map(({ name }) => name).join(", ")}`,
    );
  }
  if (settings.store) writeStore(storeKey(key, settings), { variant: best.variant.name, us: best.us });
  return { winner: best.variant, key, trials: contest.trials, stored: false };
}
