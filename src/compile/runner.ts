/**
 * What all compiled models share: named ports, feeding, running now or later, and the end of life.
 *
 * @module
 */

import type { PortArray, Program } from "../../ffi/program.ts";
import { ArgumentError, DispatchError, ReleasedError, ShapeError } from "../errors.ts";
import type { PortDtype } from "../graph/dtype.ts";
import { NDArray, type TensorData } from "../graph/ndarray.ts";
import { type Shape, show, sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { captureFeed, type FeedArray, toFeed, writeFeed } from "./feed.ts";

/** An input or output of a compiled model. */
export interface PortInfo {
  /** Name in the program. */
  readonly name: string;
  /** Element type. */
  readonly dtype: PortDtype;
  /** Extents, outermost first. */
  readonly shape: Shape;
  /** `id` of the graph tensor it stands for. */
  readonly tensorId: number;
  /** Index of the program's port; outputs that are the same value share one. */
  readonly slot: number;
}

/** Names a port: its index, its name in the program, or the graph tensor it stands for. */
export type PortKey = number | string | Tensor;

/** A program with its ports, as the compile step hands it over. */
export interface LoadedProgram {
  /** The loaded program. */
  readonly program: Program;
  /** Inputs, in the order they were created. */
  readonly inputs: readonly PortInfo[];
  /** Outputs, in the order they were asked for. */
  readonly outputs: readonly PortInfo[];
  /** Graph operations in the program. */
  readonly nOps: number;
  /** Path of the program text; the weights lie beside it. */
  readonly milPath: string;
}

/** Base of {@linkcode Model} and {@linkcode MultiModel}. */
export abstract class Runner {
  /** Inputs, in the order they were created; `run` takes them in this order. */
  readonly inputs: readonly PortInfo[];
  /** Outputs, in the order they were asked for. */
  readonly outputs: readonly PortInfo[];
  /** Graph operations in the program, inputs not counted. */
  readonly nOps: number;
  /** Path of the program text; the weights lie beside it. The cache may drop both while the model lives on. */
  readonly milPath: string;

  readonly #program: Program;
  /** Calls of runAsync that have not ended; they run one behind the other. */
  #queued = 0;
  #tail: Promise<unknown> = Promise.resolve();
  #running = false;
  #released = false;

  /**
   * Wraps a loaded program.
   *
   * @param loaded The program and its ports.
   */
  protected constructor(loaded: LoadedProgram) {
    this.#program = loaded.program;
    this.inputs = loaded.inputs;
    this.outputs = loaded.outputs;
    this.nOps = loaded.nOps;
    this.milPath = loaded.milPath;
  }

  /** True once `release` was called. */
  get released(): boolean {
    return this.#released;
  }

  /**
   * Runs once into buffers of the caller: no garbage, no copies beyond the ports.
   *
   * @param inputs One value per input; typed arrays are the fast way.
   * @param outputs One Float32Array or Float16Array per output, of its element count.
   * @throws {ArgumentError} Wrong number of inputs or outputs.
   * @throws {ShapeError} Wrong shape or element count.
   * @throws {DispatchError} The run failed, or calls of `runAsync` have not ended.
   */
  runInto(inputs: readonly TensorData[], outputs: readonly (Float32Array | Float16Array)[]): void {
    this.#checkIdle("runInto");
    if (!Array.isArray(inputs) || !Array.isArray(outputs)) {
      throw new ArgumentError("runInto: expected a list of inputs and a list of output buffers");
    }
    this.#checkCount(inputs.length);
    if (outputs.length !== this.outputs.length) {
      throw new ArgumentError(`expected ${this.outputs.length} output buffer(s), got ${outputs.length}`);
    }
    for (let i = 0; i < outputs.length; i++) this.#checkOutput(i, outputs[i]!);
    this.#feedAll(inputs);
    this.#program.execute();
    for (let i = 0; i < outputs.length; i++) this.#read(i, outputs[i]!);
  }

  /**
   * Runs once on what is in the input buffers: after writing through {@linkcode Runner.inputView}, or with shared
   * buffers.
   *
   * @throws {DispatchError} The run failed, or calls of `runAsync` have not ended.
   */
  execute(): void {
    this.#checkIdle("execute");
    this.#program.execute();
  }

  /**
   * The memory of an input, without a copy; the same array each time. Empty after `release`.
   *
   * @param which Index, name or tensor. Default: the first.
   * @returns A typed array of the port's element type.
   */
  inputView(which: PortKey = 0): PortArray {
    return this.#program.inputView(this.#find("inputView", which, this.inputs).slot);
  }

  /**
   * The memory of an output, without a copy; the same array each time. Empty after `release`.
   *
   * @param which Index, name or tensor. Default: the first.
   * @returns The fp16 values of the last run.
   */
  outputView(which: PortKey = 0): Float16Array<ArrayBuffer> {
    return this.#program.outputView(this.#find("outputView", which, this.outputs).slot);
  }

  /**
   * Writes one input, which then keeps its value until it is written again.
   *
   * @param which Index, name or tensor.
   * @param value The data.
   */
  setInput(which: PortKey, value: TensorData): void {
    this.#checkIdle("setInput");
    const port = this.#find("setInput", which, this.inputs);
    writeFeed(this.#program, port.slot, toFeed(port, port.slot, value));
  }

  /**
   * Copies one output of the last run.
   *
   * @param which Index, name or tensor. Default: the first.
   * @returns A fresh array.
   */
  readOutput(which: PortKey = 0): NDArray {
    this.#checkIdle("readOutput");
    return this.#collect(this.#find("readOutput", which, this.outputs));
  }

  /**
   * Gives the program back; views become empty. A run in flight ends first, queued calls of `runAsync` reject with
   * `ReleasedError`. Calling it again does nothing.
   */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    if (!this.#running) this.#program.release();
  }

  /** Same as {@linkcode Runner.release}, for `using`. */
  [Symbol.dispose](): void {
    this.release();
  }

  /**
   * Feeds, runs and collects.
   *
   * @param call Name of the method, for messages.
   * @param values One value per input.
   * @returns One array per output.
   */
  protected runNow(call: string, values: readonly TensorData[]): NDArray[] {
    this.#checkIdle(call);
    this.#checkCount(values.length);
    this.#feedAll(values);
    this.#program.execute();
    return this.outputs.map((port) => this.#collect(port));
  }

  /**
   * Copies the inputs now and runs when the calls before have ended, without blocking the event loop.
   *
   * @param values One value per input.
   * @returns One array per output.
   */
  protected runLater(values: readonly TensorData[]): Promise<NDArray[]> {
    let feeds: FeedArray[];
    try {
      this.#checkAlive("runAsync");
      this.#checkCount(values.length);
      feeds = values.map((value, i) => captureFeed(this.inputs[i]!, i, value));
    } catch (error) {
      return Promise.reject(error);
    }
    this.#queued++;
    const job = this.#tail.then(() => this.#runQueued(feeds));
    this.#tail = job.catch(() => {});
    return job;
  }

  /**
   * Lets an input read an output's memory.
   *
   * @param output Index, name or tensor of the output.
   * @param input Index, name or tensor of the input.
   */
  protected share(output: PortKey, input: PortKey): void {
    this.#checkIdle("shareBuffer");
    const from = this.#find("shareBuffer", output, this.outputs);
    this.#program.shareBuffer(from.slot, this.#find("shareBuffer", input, this.inputs).slot);
  }

  async #runQueued(feeds: readonly FeedArray[]): Promise<NDArray[]> {
    try {
      if (this.#released) throw new ReleasedError("runAsync: the model was released before this call ran");
      feeds.forEach((data, i) => writeFeed(this.#program, i, data));
      this.#running = true;
      await this.#program.submit();
      return this.outputs.map((port) => this.#collect(port));
    } finally {
      this.#queued--;
      this.#running = false;
      if (this.#released) this.#program.release();
    }
  }

  #feedAll(values: readonly TensorData[]): void {
    for (let i = 0; i < values.length; i++) writeFeed(this.#program, i, toFeed(this.inputs[i]!, i, values[i]!));
  }

  #collect(port: PortInfo): NDArray {
    const data = new Float32Array(sizeOf(port.shape));
    this.#program.readF32(port.slot, data);
    return new NDArray(data, port.shape);
  }

  #read(i: number, out: Float32Array | Float16Array): void {
    const { slot } = this.outputs[i]!;
    if (out instanceof Float32Array) this.#program.readF32(slot, out);
    else this.#program.readF16(slot, out);
  }

  #checkOutput(i: number, out: Float32Array | Float16Array): void {
    const port = this.outputs[i]!;
    const typed = out instanceof Float32Array || out instanceof Float16Array;
    if (typed && out.length === sizeOf(port.shape)) return;
    const got = typed ? `${out.length} elements` : typeof out;
    throw new ShapeError(
      `output '${port.name}' (index ${i}): expected a Float32Array or Float16Array of ${sizeOf(port.shape)} elements ` +
        `for shape ${show(port.shape)}, got ${got}`,
    );
  }

  #checkCount(count: number): void {
    if (count === this.inputs.length) return;
    const names = this.inputs.map((port) => `${port.name} ${show(port.shape)}`).join(", ");
    throw new ArgumentError(`expected ${this.inputs.length} input(s), got ${count}; the inputs are ${names}`);
  }

  #checkAlive(call: string): void {
    if (this.#released) throw new ReleasedError(`${call}: the model was released`);
  }

  #checkIdle(call: string): void {
    this.#checkAlive(call);
    if (this.#queued === 0) return;
    throw new DispatchError(`${call}: ${this.#queued} call(s) of runAsync have not ended; await them first`);
  }

  #find(call: string, which: PortKey, ports: readonly PortInfo[]): PortInfo {
    this.#checkAlive(call);
    const found = typeof which === "number"
      ? ports[which]
      : typeof which === "string"
      ? ports.find((port) => port.name === which)
      : ports.find((port) => port.tensorId === which?.id);
    if (found) return found;
    const side = ports === this.inputs ? "input" : "output";
    const name = typeof which === "object" ? `tensor of shape ${show(which?.shape ?? [])}` : JSON.stringify(which);
    const known = ports.map((port, i) => `${i} '${port.name}' ${show(port.shape)}`).join(", ");
    throw new ArgumentError(`${call}: no ${side} ${name}; the model has ${known}`);
  }
}
