/**
 * From graphs as they are to a program on the device: lowering, files, loading, and the report of it.
 *
 * @module
 */

import { openDevice } from "../../ffi/device.ts";
import { planText } from "../../ffi/engine.ts";
import { liveProgramCount, MAX_PROGRAMS, Program } from "../../ffi/program.ts";
import { envNumber, envText } from "../env.ts";
import { UnsupportedOpError } from "../errors.ts";
import { isPortDtype, type PortDtype } from "../graph/dtype.ts";
import { show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { emitMil, type MilPort, type MilProgram } from "../mil/emit.ts";
import type { WeightEncoder } from "../mil/text.ts";
import { compileBreaker } from "./backoff.ts";
import { writeProgram } from "./cache.ts";
import type { LoadedProgram, PortInfo } from "./runner.ts";

/** Measures the stages of one compile, for the report on stderr. */
export class Stages {
  readonly #names: string[] = [];
  readonly #ms: number[] = [];
  #last = performance.now();

  /**
   * Ends a stage.
   *
   * @param name What was done since the stage before.
   */
  end(name: string): void {
    const now = performance.now();
    this.#names.push(name);
    this.#ms.push(now - this.#last);
    this.#last = now;
  }

  /**
   * The stages in one line.
   *
   * @returns For example `check 0.2, lower 1.1, load 3.0; 4.3 ms`.
   */
  toString(): string {
    const parts = this.#names.map((name, i) => `${name} ${this.#ms[i]!.toFixed(1)}`);
    return `${parts.join(", ")}; ${this.#ms.reduce((a, b) => a + b, 0).toFixed(1)} ms`;
  }
}

/** A graph on its way to the device. */
export interface BuildJob {
  /** The values as the user asked for them: ports are found by these. */
  readonly asked: readonly Tensor[];
  /** What is computed for them: the same, or rewritten. */
  readonly roots: readonly Tensor[];
  /** Capability family to write for. */
  readonly family: number;
  /** Directory for the files; the cache unless given. */
  readonly buildDir?: string;
  /** Writes weights in compressed form. */
  readonly encoder?: WeightEncoder;
  /** Where timings go. */
  readonly stages?: Stages;
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
function toPorts(ports: readonly MilPort[], tensors: readonly Tensor[]): PortInfo[] {
  const names = [...new Set(ports.map((port) => port.name))];
  return ports.map((port, i) => ({
    name: port.name,
    dtype: portDtype(port),
    shape: port.shape,
    tensorId: tensors[i]!.id,
    slot: names.indexOf(port.name),
  }));
}

function bySlot(ports: readonly PortInfo[]): PortInfo[] {
  return ports.filter((port, i) => ports.findIndex((other) => other.slot === port.slot) === i);
}

/**
 * A graph as text: one node per line in the order of the program, with its operands.
 *
 * @param roots Values to compute.
 * @returns For example `t1 relu [1, 4] <- t0`.
 */
export function graphText(roots: readonly Tensor[]): string {
  const order = topologicalOrder(roots);
  const names = new Map(order.map((node, i) => [node, `t${i}`]));
  return order.map((node) => {
    const operands = node.inputs.map((input) => names.get(input)!).join(", ");
    return `${names.get(node)} ${node.op} ${show(node.shape)}${operands ? ` <- ${operands}` : ""}`;
  }).join("\n");
}

/** What `ANEFORGE_DEBUG` asks for: 1 one line with timings, 2 graph and plan, 3 the program text. */
function report(job: BuildJob, mil: MilProgram, dir: string, milPath: string): void {
  const level = envNumber("ANEFORGE_DEBUG", 0);
  if (level < 1) return;
  console.error(
    `aneforge: compiled ${mil.opCount} ops, ${mil.weights.length} bytes of weights (${job.stages}): ${dir}`,
  );
  if (level >= 2) console.error(`${graphText(job.roots)}\n${planText(milPath)}`);
  if (level >= 3) console.error(mil.text);
}

/**
 * Lowers a graph, puts the program on disk and loads it.
 *
 * @param job The graph.
 * @returns The loaded program with its ports.
 * @throws {CompileError} The device refused the program.
 * @throws {DataError} The directory is not writable.
 */
export function build(job: BuildJob): LoadedProgram {
  openDevice();
  const mil = emitMil(job.roots, { family: job.family, encoder: job.encoder });
  const inputs = toPorts(mil.inputs, mil.inputs.map(({ tensor }) => tensor));
  const outputs = toPorts(mil.outputs, job.asked);
  job.stages?.end("lower");
  const { dir, milPath, cacheDir } = writeProgram(mil.text, mil.weights, job.buildDir);
  job.stages?.end("write");
  const breaker = compileBreaker();
  breaker.guard();
  let program: Program | undefined;
  try {
    const profile = envText("ANEFORGE_PROFILE") !== undefined;
    program = Program.compile({ milPath, cacheDir, inputs, outputs: bySlot(outputs), profile });
  } finally {
    // That the device is full says nothing about the program.
    if (program || liveProgramCount() < MAX_PROGRAMS) breaker.record(program !== undefined);
  }
  job.stages?.end("load");
  report(job, mil, dir, milPath);
  return { program, inputs, outputs, nOps: mil.opCount, milPath };
}
