/**
 * Runs cases on the device and holds them against the float64 formulas, many graphs in one program.
 *
 * @module
 */

import { compile, compileMulti, type CompileOptions } from "../src/compile/compile.ts";
import { envText } from "../src/env.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { topologicalOrder } from "../src/graph/topo.ts";
import { Random } from "../src/random.ts";
import { draw, type OpCase, type Values } from "./op_cases.ts";
import { evaluate } from "./reference.ts";
import { judge, type Mode, type Verdict } from "./tolerance.ts";

/** What became of one case. */
export interface Outcome extends Verdict {
  trial: OpCase;
}

/** Graphs compiled into one program. */
const BATCH = 32;

/** The arithmetic the environment asks for. */
export function currentMode(): Mode {
  return envText("ANEFORGE_HOST_NUMERICS") === "fast" ? "fast" : "ane";
}

/** FNV-1a: the same values for the same case, whatever is run beside it. */
function seedOf({ op, title }: OpCase): number {
  let hash = 0x811c9dc5;
  for (const letter of `${op} ${title}`) hash = Math.imul(hash ^ letter.charCodeAt(0), 0x01000193);
  return hash >>> 0;
}

interface Graph {
  trial: OpCase;
  out: Tensor;
  values: Map<Tensor, Float32Array>;
}

const BYTES: Pick<Values, "lo" | "hi"> = { lo: 0, hi: 255 };

/** Builds the graph and draws its inputs; ports the graph made itself (images) get whole numbers. */
export function graphOf(trial: OpCase, seed = seedOf(trial)): Graph {
  const random = new Random(seed);
  const xs = trial.inputs.map(({ shape, dtype = "fp16" }) => input(shape, { dtype }));
  const out = trial.build(xs);
  const values = new Map(xs.map((x, i) => [x, draw(trial.inputs[i]!, random)]));
  for (const node of topologicalOrder([out])) {
    if (node.op !== "input" || values.has(node)) continue;
    values.set(node, draw({ shape: node.shape, dtype: "uint8", ...BYTES }, random));
  }
  return { trial, out, values };
}

function feeds(graphs: readonly Graph[], inputs: readonly { tensorId: number }[]): Float32Array[] {
  const given = new Map(graphs.flatMap(({ values }) => [...values].map(([x, v]) => [x.id, v] as const)));
  return inputs.map(({ tensorId }) => given.get(tensorId)!);
}

function verdict({ trial, out, values }: Graph, got: ArrayLike<number>, mode: Mode): Outcome {
  return { trial, ...judge(got, evaluate(out, values).data, trial[mode]) };
}

/** Runs one case in a program of its own. */
export function conformOne(trial: OpCase, mode: Mode, seed?: number, options: CompileOptions = {}): Outcome {
  try {
    const graph = graphOf(trial, seed);
    using net = compile(graph.out, { target: trial.target, ...options });
    return verdict(graph, net.run(...feeds([graph], net.inputs)).data, mode);
  } catch (error) {
    return { trial, maxRel: Infinity, maxAbs: Infinity, failure: `refused: ${error}` };
  }
}

/** Runs cases of one target in one program; one by one when the device refuses it as a whole. */
function conformBatch(trials: readonly OpCase[], mode: Mode): Outcome[] {
  try {
    const graphs = trials.map((trial) => graphOf(trial));
    using net = compileMulti(graphs.map(({ out }) => out), { target: trials[0]!.target });
    const results = net.run(...feeds(graphs, net.inputs));
    return graphs.map((graph, i) => verdict(graph, results[i]!.data, mode));
  } catch {
    return trials.map((trial) => conformOne(trial, mode));
  }
}

/**
 * Runs cases. Those for another target than the environment's are left out: the device has one family.
 *
 * @param trials The cases.
 * @param mode Which tolerances hold.
 * @returns One outcome per case that was run.
 */
export function conform(trials: readonly OpCase[], mode: Mode): Outcome[] {
  const own = trials.filter(({ target }) => target === undefined || target === envText("ANEFORGE_TARGET"));
  const outcomes: Outcome[] = [];
  for (let i = 0; i < own.length; i += BATCH) outcomes.push(...conformBatch(own.slice(i, i + BATCH), mode));
  return outcomes;
}
