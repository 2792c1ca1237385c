/**
 * Random graphs over every operation, with the float64 value of each node and how far the device may stray from it.
 *
 * A graph grows by uses of operations from `op_cases.ts`. Their operands are earlier nodes brought to the shape and range
 * of the case, or new inputs. Beside its value each node carries a few disturbed ones: every operation, in every trial,
 * adds its documented error with random signs. Their distance from the undisturbed value is the error to expect. A use
 * whose expected error grows beyond a few percent of the values is dropped: such a graph says nothing about the device.
 *
 * @module
 */

import { device } from "../ffi/device.ts";
import { compileMulti } from "../src/compile/compile.ts";
import { roundHalf } from "../src/graph/fp16.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { topologicalOrder } from "../src/graph/topo.ts";
import { Random } from "../src/random.ts";
import { familyOf } from "../src/targets/targets.ts";
import { draw, OP_CASES, type OpCase, type Tolerance, type Values } from "./op_cases.ts";
import { applyRule, type Arr } from "./reference.ts";
import { arr, sizeOf } from "./reference_kernels.ts";

/** Arithmetic whose tolerances apply. */
export type Mode = "ane" | "fast";

/** Disturbed evaluations per node: half with one sign per node, half with one per element. */
const TRIALS = 6;
/** Largest magnitude of a value. */
const MAX_VALUE = 3e4;
/** Expected error, relative to the largest value, beyond which a node is dropped. */
const MAX_SPREAD = 0.03;
/** How often the expected error may be exceeded: six trials do not find the worst signs. */
const SAFETY = 2;

/** Operations that jump: an operand that is not exact could fall on the other side. */
const STEPS = new Set(["floor", "ceil", "round", "sign", "thresholded_relu", "select", "logical_not"]);
/** Operations that round inside, so that cancelling operands cost digits: the error of the operands in fp16. */
const INNER_ROUNDING = new Set([
  "softmax",
  "l2_norm",
  "rms_norm",
  "layer_norm",
  "channel_layer_norm",
  "group_norm",
  "batch_norm",
  "instance_norm",
  "local_response_norm",
  "reduce_sum",
  "reduce_mean",
  "avg_pool",
  "reduce_log_sum",
  "reduce_log_sum_exp",
]);

interface Known {
  readonly tensor: Tensor;
  readonly value: Arr;
  readonly trials: readonly Arr[];
  /** The device has the value bit for bit. */
  readonly exact: boolean;
}

/** A graph and what to expect of it. */
export interface RandomGraph {
  readonly outputs: readonly Known[];
  readonly feeds: ReadonlyMap<number, Float32Array>;
  readonly ops: readonly string[];
}

function largest(values: ArrayLike<number>): number {
  let max = 0;
  for (let i = 0; i < values.length; i++) max = Math.max(max, Math.abs(values[i]!));
  return max;
}

/** Largest distance of a disturbed value from the undisturbed one. */
function spread({ value, trials }: Known): number {
  let max = 0;
  for (const trial of trials) {
    for (let i = 0; i < value.data.length; i++) max = Math.max(max, Math.abs(trial.data[i]! - value.data[i]!));
  }
  return max;
}

function spacing(v: number): number {
  return 2 ** (Math.max(Math.floor(Math.log2(Math.abs(v) || 2 ** -24)), -14) - 10);
}

/** Adds errors of random signs to a value: one sign for all elements in even trials, one each in odd ones. */
function disturb(value: Arr, trial: number, random: Random, error: (v: number) => number): Arr {
  const common = random.below(2) ? 1 : -1;
  const data = value.data.map((v) => v + (trial % 2 ? (random.below(2) ? 1 : -1) : common) * error(v));
  return { shape: value.shape, data };
}

/** Cases the family of the device takes. */
const CASES = OP_CASES.filter(({ target }) => target === undefined || familyOf(target) <= device().family);

/** Names of the operations that can occur. */
export const FUZZED_OPS: ReadonlySet<string> = new Set(CASES.map(({ op }) => op));

class Builder {
  readonly known = new Map<Tensor, Known>();
  readonly feeds = new Map<number, Float32Array>();
  readonly inputs: Tensor[] = [];

  constructor(readonly random: Random, readonly mode: Mode) {}

  /** A new input with the values of a case. */
  fresh(values: Values): Known {
    const { shape, dtype = "fp16" } = values;
    const tensor = input(shape, { dtype }), data = draw(values, this.random), value = arr(shape, data);
    const known: Known = { tensor, value, trials: new Array<Arr>(TRIALS).fill(value), exact: true };
    this.feeds.set(tensor.id, data);
    this.inputs.push(tensor);
    this.known.set(tensor, known);
    return known;
  }

  /** Evaluates what is new behind a tensor; undefined when a value leaves the range or gets too uncertain. */
  settle(out: Tensor, tolerance: Tolerance): Known | undefined {
    const added: Tensor[] = [];
    for (const node of topologicalOrder([out])) {
      if (this.known.has(node)) continue;
      const known = this.evaluate(node, tolerance);
      this.known.set(node, known);
      added.push(node);
      const max = largest(known.value.data), uncertain = spread(known) > MAX_SPREAD * (max + 1e-3);
      if (!known.value.data.every(Number.isFinite) || max > MAX_VALUE || uncertain) {
        added.forEach((t) => this.known.delete(t));
        return undefined;
      }
    }
    return this.known.get(out)!;
  }

  evaluate(node: Tensor, { exact, ulps = 0, abs = 0, rel = 0, max = 0 }: Tolerance): Known {
    const operands = node.inputs.map((t) => this.known.get(t)!);
    const value = applyRule(node, operands.map((o) => o.value));
    const sure = operands.every((o) => o.exact);
    if (exact && sure) {
      const rounded = { shape: value.shape, data: value.data.map(roundHalf) };
      return { tensor: node, value: rounded, trials: new Array<Arr>(TRIALS).fill(rounded), exact: true };
    }
    const scale = max * Math.max(1, largest(value.data));
    const error = (v: number): number => (ulps + 1) * spacing(v) + abs + rel * Math.abs(v) + scale;
    const trials = Array.from({ length: TRIALS }, (_, trial) => {
      const fed = operands.map((o) => {
        if (!INNER_ROUNDING.has(node.op)) return o.trials[trial]!;
        const inner = 2e-3 * largest(o.value.data);
        return disturb(o.trials[trial]!, trial, this.random, () => inner);
      });
      return disturb(applyRule(node, fed), trial, this.random, error);
    });
    return { tensor: node, value, trials, exact: false };
  }

  /** An earlier node, as an operand of a case: flattened, cut or repeated, shaped, and clipped to the range. */
  adapt({ shape, lo = -2, hi = 2 }: Values, mustBeExact: boolean): Known | undefined {
    const candidates = [...this.known.values()].filter((k) =>
      k.tensor.dtype === "fp16" && k.tensor.op !== "const_array" && (k.exact || !mustBeExact) && k.tensor.size <= 4096
    );
    if (candidates.length === 0) return undefined;
    const from = candidates[Math.max(this.random.below(candidates.length), this.random.below(candidates.length))]!;
    const size = sizeOf(shape), have = from.tensor.size;
    let t = from.tensor;
    if (t.shape.join() !== shape.join()) {
      if (size !== have) {
        t = t.reshape([have]);
        if (size > have) t = t.tile([Math.ceil(size / have)]);
        const spare = t.size - size;
        if (spare > 0) t = t.sliceBySize([this.random.below(spare + 1)], [size]);
      }
      t = t.reshape(shape);
    }
    const values = this.settle(t, { exact: true });
    if (!values) return undefined;
    const outside = values.value.data.some((v) => v < lo || v > hi);
    return outside ? this.settle(t.clip(roundHalf(lo), roundHalf(hi)), { exact: true }) : values;
  }

  /** One use of an operation; false when it was dropped. */
  grow(): boolean {
    const use: OpCase = CASES[this.random.below(CASES.length)]!;
    const mustBeExact = STEPS.has(use.op);
    const operands = use.inputs.map((values) => {
      const own = values.data || (values.dtype ?? "fp16") !== "fp16" || this.random.below(5) === 0;
      return (own ? undefined : this.adapt(values, mustBeExact)) ?? this.fresh(values);
    });
    return this.settle(use.build(operands.map((o) => o.tensor)), use[this.mode]) !== undefined;
  }
}

/**
 * Draws a graph.
 *
 * @param random Where the choices come from.
 * @param mode Whose tolerances apply.
 * @returns A graph of up to 40 operations, rarely a few more: a use of an operation may be several nodes.
 */
export function randomGraph(random: Random, mode: Mode): RandomGraph {
  const builder = new Builder(random, mode), wanted = 1 + random.below(38);
  const count = (): number => builder.known.size - builder.inputs.length;
  while (count() < wanted) builder.grow();
  const used = new Set([...builder.known.keys()].flatMap((t) => t.inputs));
  const sinks = [...builder.known.values()].filter((k) =>
    !used.has(k.tensor) && !["input", "const_array"].includes(k.tensor.op) && k.tensor.dtype === "fp16"
  );
  // the last few results; the rest of the graph is what they need
  const outputs = sinks.slice(-(1 + random.below(4)));
  const nodes = topologicalOrder(outputs.map((o) => o.tensor));
  return { outputs, feeds: builder.feeds, ops: nodes.map((n) => n.op) };
}

/** Largest error of a graph on the device, as a part of what is allowed, or a text that says what is wrong. */
export function runGraph({ outputs, feeds }: RandomGraph, buildDir: string): number | string {
  using net = compileMulti(outputs.map((o) => o.tensor), { buildDir });
  const results = net.outputs.map((port) => new Float32Array(sizeOf(port.shape)));
  net.runInto(net.inputs.map((port) => feeds.get(port.tensorId)!), results);
  let worst = 0;
  for (const [at, known] of outputs.entries()) {
    const { value } = known, got = results[at]!;
    const allowed = known.exact ? 0 : SAFETY * spread(known);
    for (let i = 0; i < got.length; i++) {
      const error = Math.abs(got[i]! - value.data[i]!);
      if (error <= allowed) worst = Math.max(worst, error === 0 ? 0 : error / allowed);
      else {return `output ${at} (${known.tensor.op} [${value.shape}]), element ${i}: ${got[i]} for ${
          value.data[i]
        }, allowed ${allowed}`;}
    }
  }
  return worst;
}

/** What a run of the fuzzer saw. */
export interface GraphReport {
  graphs: number;
  /** Operations in all graphs, and the names that occurred. */
  nodes: number;
  ops: Set<string>;
  /** Largest error as a part of what was allowed. */
  worst: number;
  /** Seeds and texts of graphs that failed. */
  failures: string[];
}

/**
 * Draws, compiles and runs graphs.
 *
 * @param graphs How many.
 * @param seed Graph i uses seed + i, so each can be had alone.
 * @param mode Whose tolerances apply.
 */
export function fuzzGraphs(graphs: number, seed: number, mode: Mode): GraphReport {
  const report: GraphReport = { graphs, nodes: 0, ops: new Set(), worst: 0, failures: [] };
  const dir = Deno.makeTempDirSync({ prefix: "aneforge-fuzz-" });
  try {
    for (let i = 0; i < graphs; i++) {
      const graph = randomGraph(new Random(seed + i), mode);
      report.nodes += graph.ops.length;
      graph.ops.forEach((op) => report.ops.add(op));
      try {
        const result = runGraph(graph, `${dir}/program`);
        if (typeof result === "number") report.worst = Math.max(report.worst, result);
        else report.failures.push(`seed ${seed + i}: ${result}; ${graph.ops.join(" ")}`);
      } catch (error) {
        report.failures.push(`seed ${seed + i}: ${error}; ${graph.ops.join(" ")}`);
      }
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
  return report;
}
