/**
 * A compiled program on the device: ports to write and read, and a run between them.
 *
 * @module
 */

import {
  type AneforgeError,
  ArgumentError,
  CompileError,
  DeviceError,
  DispatchError,
  DtypeError,
  ReleasedError,
  ShapeError,
} from "../src/errors.ts";
import { PORT_BYTES, type PortDtype } from "../src/graph/dtype.ts";
import { deviceIfOpen, openDevice } from "./device.ts";
import { cString, fromCString } from "./library.ts";
import type { Symbols } from "./symbols.ts";

/** An input or output of a program. */
export interface PortSpec {
  /** Name in the program text. */
  readonly name: string;
  /** Element type. */
  readonly dtype: PortDtype;
  /** Extents, outermost first. */
  readonly shape: readonly number[];
}

/** The typed array whose elements are those of some port. */
export type PortArray =
  | Float16Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>;

/** Per element type: the AF_* code of shim/aneforge.h, and the typed array of its elements. */
export const PORT_KINDS = {
  fp16: { code: 0, array: Float16Array },
  uint8: { code: 1, array: Uint8Array },
  int8: { code: 2, array: Int8Array },
  uint16: { code: 3, array: Uint16Array },
  int16: { code: 4, array: Int16Array },
} as const;

/** Device masks: BNNS 1, GPU 2, ANE 4. Programs are compiled for the ANE alone. */
export const ANE_MASK = 4n;

/** Programs one process can hold at a time; loading one more fails. */
export const MAX_PROGRAMS = 128;

/** Options of {@linkcode Program.compile}. */
export interface ProgramOptions {
  /** Path of the MIL text; the weights lie beside it. */
  readonly milPath: string;
  /** Existing directory for the compiler's own files. */
  readonly cacheDir: string;
  /** Input ports, in the order of the write and view indices. */
  readonly inputs: readonly PortSpec[];
  /** Output ports, in the order of the read and view indices. */
  readonly outputs: readonly PortSpec[];
  /** Devices the compiler may use. Default: {@linkcode ANE_MASK}. */
  readonly deviceMask?: bigint;
  /** Compile with the profiling option. Default: false. */
  readonly profile?: boolean;
}

const AF_PROFILE = 1;

/** Error class of each af_status. */
const STATUS_ERRORS: Readonly<Record<number, new (message: string) => AneforgeError>> = {
  1: DispatchError,
  2: DeviceError,
  3: CompileError,
  4: CompileError,
  5: DispatchError,
  6: DispatchError,
  7: DispatchError,
  8: DeviceError,
};

/** What is left to release when a Program was forgotten. */
interface Slot {
  readonly symbols: Symbols;
  readonly handle: Deno.PointerObject;
  inFlight: boolean;
}

const slots = new Set<Slot>();

function dispose(slot: Slot): void {
  if (!slots.delete(slot)) return;
  slot.symbols.af_program_release(slot.handle);
}

const forgotten = new FinalizationRegistry<Slot>(dispose);

/** A view keeps its program alive: the port's memory belongs to it. */
const viewOwners = new WeakMap<ArrayBufferLike, Program>();

// What is still alive when the process ends in order is given back; a run in flight is not waited for.
globalThis.addEventListener("unload", () => {
  for (const slot of slots) if (!slot.inFlight) dispose(slot);
  const open = deviceIfOpen();
  if (open && slots.size === 0) open.library.symbols.af_device_close(open.handle);
});

/** A port with what the calls on it need, computed once. */
interface Port extends PortSpec {
  readonly elements: number;
  /** Count for C, and its size in bytes as fp32 (-1: not an fp16 port) and as stored. */
  readonly count: bigint;
  readonly f32Bytes: number;
  readonly bytes: number;
  readonly bytesCount: bigint;
}

function toPort(spec: PortSpec): Port {
  const elements = spec.shape.reduce((a, b) => a * b, 1);
  if (!Number.isSafeInteger(elements) || spec.shape.some((extent) => !Number.isInteger(extent) || extent < 0)) {
    throw new ShapeError(`port '${spec.name}': [${spec.shape}] is not a shape`);
  }
  const size = PORT_BYTES[spec.dtype];
  if (!size) throw new DtypeError(`port '${spec.name}': dtype ${spec.dtype} is not one of ${Object.keys(PORT_BYTES)}`);
  const bytes = elements * size;
  return {
    name: spec.name,
    dtype: spec.dtype,
    shape: [...spec.shape],
    elements,
    count: BigInt(elements),
    f32Bytes: spec.dtype === "fp16" ? elements * 4 : -1,
    bytes,
    bytesCount: BigInt(bytes),
  };
}

function load(options: ProgramOptions, ports: readonly Port[]): Slot {
  const { library: { symbols }, handle: device } = openDevice();
  const names = cString(ports.map((port) => port.name).join("\0"));
  const mask = options.deviceMask ?? ANE_MASK;
  const handle = symbols.af_program_compile(
    device,
    cString(options.milPath),
    cString(options.cacheDir),
    mask,
    options.profile ? AF_PROFILE : 0,
    options.inputs.length,
    options.outputs.length,
    names,
    BigInt(names.length),
    Uint32Array.from(ports, (port) => PORT_KINDS[port.dtype].code),
    BigUint64Array.from(ports, (port) => port.count),
  );
  if (handle !== null) return { symbols, handle, inFlight: false };
  const text = fromCString(symbols.af_last_error());
  const full = symbols.af_live_programs() >= MAX_PROGRAMS
    ? `; ${MAX_PROGRAMS} programs are alive in this process, which is the limit: release() some`
    : "";
  throw new CompileError(
    `af_program_compile failed (mil=${options.milPath}, mask=0x${mask.toString(16)}): ${text}${full}`,
  );
}

/** What {@linkcode compileCheck} takes. */
export interface CompileCheckOptions {
  /** Path of the MIL text; the weights lie beside it. */
  readonly milPath: string;
  /** Existing directory for the compiler's own files. */
  readonly cacheDir: string;
  /** Compiler target, lower case. The caller knows that it exists: the compiler takes an unknown one for its own. */
  readonly target: string;
}

const AF_E_COMPILE = 3;

/**
 * Compiles a program for a target without loading it, which only works for the target at hand.
 *
 * @param options The program and the target.
 * @returns Why the compiler refused it, or `undefined` when it did not.
 * @throws {DeviceError} The device cannot compile for other targets.
 */
export function compileCheck({ milPath, cacheDir, target }: CompileCheckOptions): string | undefined {
  const { library: { symbols }, handle } = openDevice();
  const status = symbols.af_compile_check(handle, cString(milPath), cString(cacheDir), ANE_MASK, cString(target));
  if (status === 0) return undefined;
  const text = fromCString(symbols.af_last_error());
  if (status === AF_E_COMPILE) return text;
  throw new (STATUS_ERRORS[status] ?? DeviceError)(
    `af_compile_check failed (mil=${milPath}, target=${target}): ${text}`,
  );
}

/**
 * A program on the device. Not for concurrent use: while a {@linkcode Program.submit} is in flight every other call
 * but `release` throws.
 *
 * A forgotten program is released by the garbage collector, and at the end of the process. A Worker has to release its
 * programs before it ends: nothing of it runs afterwards, and they stay loaded until the process ends.
 *
 * @example
 * ```ts
 * import { Program } from "./program.ts";
 *
 * const port = { dtype: "fp16", shape: [1, 4] } as const;
 * using program = Program.compile({
 *   milPath: "/tmp/relu/model.mil",
 *   cacheDir: "/tmp/relu/cache",
 *   inputs: [{ name: "t0", ...port }],
 *   outputs: [{ name: "t1", ...port }],
 * });
 * program.writeF32(0, new Float32Array([-1, 0, 1, 2]));
 * program.execute();
 * const out = new Float32Array(4);
 * program.readF32(0, out);
 * ```
 */
export class Program {
  readonly #symbols: Symbols;
  readonly #slot: Slot;
  readonly #in: readonly Port[];
  readonly #out: readonly Port[];
  readonly #views = new Map<Port, PortArray>();
  /** The handle while calls are allowed: null when released or in flight. */
  #ready: Deno.PointerObject | null;
  #released = false;

  private constructor(slot: Slot, inputs: readonly Port[], outputs: readonly Port[]) {
    this.#symbols = slot.symbols;
    this.#slot = slot;
    this.#in = inputs;
    this.#out = outputs;
    this.#ready = slot.handle;
    slots.add(slot);
    forgotten.register(this, slot, this);
  }

  /**
   * Compiles and loads a MIL file.
   *
   * @param options Files and ports.
   * @returns The loaded program.
   * @throws {CompileError} The device refused it; the message holds the device's text.
   * @throws {DtypeError} An output that is not fp16.
   */
  static compile(options: ProgramOptions): Program {
    const inputs = options.inputs.map(toPort);
    const outputs = options.outputs.map(toPort);
    const wrong = outputs.find((port) => port.dtype !== "fp16");
    if (wrong) throw new DtypeError(`output '${wrong.name}' is ${wrong.dtype}: the device writes fp16 outputs only`);
    return new Program(load(options, [...inputs, ...outputs]), inputs, outputs);
  }

  /** Input ports. */
  get inputs(): readonly PortSpec[] {
    return this.#in;
  }

  /** Output ports. */
  get outputs(): readonly PortSpec[] {
    return this.#out;
  }

  /** True once `release` was called. */
  get released(): boolean {
    return this.#released;
  }

  /** True between a `submit` and its end. */
  get inFlight(): boolean {
    return this.#slot.inFlight;
  }

  /**
   * Feeds an fp16 input with fp32 values, rounding to nearest even.
   *
   * @param i Index of the input.
   * @param data One value per element.
   */
  writeF32(i: number, data: Float32Array): void {
    const port = this.#in[i];
    const handle = this.#ready;
    if (handle === null || port === undefined || data.byteLength !== port.f32Bytes) {
      throw this.#refusal("writeF32", i, this.#in, data, 4);
    }
    const status = this.#symbols.af_write_f32(handle, i, data as Float32Array<ArrayBuffer>, port.count);
    if (status !== 0) throw this.#failure("writeF32", status);
  }

  /**
   * Feeds an fp16 input with fp16 values as they are.
   *
   * @param i Index of the input.
   * @param data One value per element; a Uint16Array holds the bits.
   */
  writeF16(i: number, data: Float16Array | Uint16Array): void {
    const port = this.#in[i];
    const handle = this.#ready;
    if (handle === null || port === undefined || port.f32Bytes < 0 || data.byteLength !== port.bytes) {
      throw this.#refusal("writeF16", i, this.#in, data, 2);
    }
    const status = this.#symbols.af_write_f16(handle, i, data as Uint16Array<ArrayBuffer>, port.count);
    if (status !== 0) throw this.#failure("writeF16", status);
  }

  /**
   * Feeds an integer input with elements of its own type.
   *
   * @param i Index of the input.
   * @param data As many bytes as the port has.
   */
  writeBytes(i: number, data: Uint8Array | Int8Array | Uint16Array | Int16Array): void {
    const port = this.#in[i];
    const handle = this.#ready;
    if (handle === null || port === undefined || port.f32Bytes >= 0 || data.byteLength !== port.bytes) {
      throw this.#refusal("writeBytes", i, this.#in, data, 0);
    }
    const status = this.#symbols.af_write_bytes(handle, i, data as Uint8Array<ArrayBuffer>, port.bytesCount);
    if (status !== 0) throw this.#failure("writeBytes", status);
  }

  /**
   * Runs once and returns when the outputs are there.
   *
   * @throws {DispatchError} The device reported a failure.
   */
  execute(): void {
    const handle = this.#ready;
    if (handle === null) throw this.#unusable("execute");
    const status = this.#symbols.af_execute(handle);
    if (status !== 0) throw this.#failure("execute", status);
  }

  /**
   * Runs once without blocking the event loop. Ports must not be touched, not even through views, until it ends.
   *
   * @returns Resolves when the outputs are there; rejects with `DispatchError` when the run failed.
   */
  async submit(): Promise<void> {
    const handle = this.#ready;
    if (handle === null) throw this.#unusable("submit");
    const started = this.#symbols.af_submit(handle);
    if (started !== 0) throw this.#failure("submit", started);
    this.#ready = null;
    this.#slot.inFlight = true;
    let status = 0;
    let text = "";
    try {
      status = await this.#symbols.af_wait(handle);
      if (status !== 0) text = this.#programError(handle);
    } finally {
      this.#slot.inFlight = false;
      if (this.#released) dispose(this.#slot);
      else this.#ready = handle;
    }
    if (status !== 0) throw new (STATUS_ERRORS[status] ?? DispatchError)(`submit: ${text}`);
  }

  /**
   * Copies an output as fp32.
   *
   * @param i Index of the output.
   * @param out Receives one value per element.
   */
  readF32(i: number, out: Float32Array): void {
    const port = this.#out[i];
    const handle = this.#ready;
    if (handle === null || port === undefined || out.byteLength !== port.f32Bytes) {
      throw this.#refusal("readF32", i, this.#out, out, 4);
    }
    const status = this.#symbols.af_read_f32(handle, i, out as Float32Array<ArrayBuffer>, port.count);
    if (status !== 0) throw this.#failure("readF32", status);
  }

  /**
   * Copies an output as fp16.
   *
   * @param i Index of the output.
   * @param out Receives one value per element; a Uint16Array receives the bits.
   */
  readF16(i: number, out: Float16Array | Uint16Array): void {
    const port = this.#out[i];
    const handle = this.#ready;
    if (handle === null || port === undefined || out.byteLength !== port.bytes) {
      throw this.#refusal("readF16", i, this.#out, out, 2);
    }
    const status = this.#symbols.af_read_f16(handle, i, out as Uint16Array<ArrayBuffer>, port.count);
    if (status !== 0) throw this.#failure("readF16", status);
  }

  /**
   * The memory of an input, without a copy. The same array each time. It is empty (detached) after `release`, and
   * after the input was given an output's memory by `shareBuffer`.
   *
   * @param i Index of the input.
   * @returns A typed array of the port's element type.
   */
  inputView(i: number): PortArray {
    return this.#view("inputView", i, this.#in);
  }

  /**
   * The memory of an output, without a copy. The same array each time, with the values of the last run. It is empty
   * (detached) after `release`.
   *
   * @param i Index of the output.
   * @returns The fp16 values.
   */
  outputView(i: number): Float16Array<ArrayBuffer> {
    return this.#view("outputView", i, this.#out) as Float16Array<ArrayBuffer>;
  }

  /**
   * Lets an input read the memory of an output, so that the result of one run is the input of the next. Only before the
   * first run.
   *
   * @param output Index of the output.
   * @param input Index of the input; same element count and type.
   */
  shareBuffer(output: number, input: number): void {
    const handle = this.#ready;
    if (handle === null) throw this.#unusable("shareBuffer");
    const from = this.#out[output];
    const to = this.#in[input];
    if (!from || !to) throw this.#noPort("shareBuffer", from ? input : output, from ? this.#in : this.#out);
    if (from.elements !== to.elements || from.dtype !== to.dtype) {
      throw new ShapeError(
        `shareBuffer: output '${from.name}' is ${from.dtype} [${from.shape}], input '${to.name}' ${to.dtype} [${to.shape}]; ` +
          "element count and dtype must be equal",
      );
    }
    const status = this.#symbols.af_share_buffer(handle, output, input);
    if (status !== 0) throw this.#failure("shareBuffer", status);
    this.#detach(to);
  }

  /** Number of asynchronous submits that ended. */
  get signaledValue(): bigint {
    const handle = this.#ready;
    if (handle === null) throw this.#unusable("signaledValue");
    return this.#symbols.af_signaled_value(handle);
  }

  /** Gives the program back; views become empty. A run in flight ends first. Calling it again does nothing. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#ready = null;
    forgotten.unregister(this);
    for (const port of [...this.#views.keys()]) this.#detach(port);
    if (!this.#slot.inFlight) dispose(this.#slot);
  }

  /** Same as {@linkcode Program.release}, for `using`. */
  [Symbol.dispose](): void {
    this.release();
  }

  #view(call: string, i: number, ports: readonly Port[]): PortArray {
    const handle = this.#ready;
    if (handle === null) throw this.#unusable(call);
    const port = ports[i];
    if (!port) throw this.#noPort(call, i, ports);
    const known = this.#views.get(port);
    if (known) return known;
    const pointer = ports === this.#in
      ? this.#symbols.af_input_data(handle, i)
      : this.#symbols.af_output_data(handle, i);
    if (pointer === null) throw new DispatchError(`${call}: no zero-copy buffer for port '${port.name}'`);
    const buffer = Deno.UnsafePointerView.getArrayBuffer(pointer, port.bytes) as ArrayBuffer;
    const view = new PORT_KINDS[port.dtype].array(buffer, 0, port.elements);
    viewOwners.set(buffer, this);
    this.#views.set(port, view);
    return view;
  }

  /** Empties the view of a port whose memory is going away: reads give undefined, writes do nothing. */
  #detach(port: Port): void {
    this.#views.get(port)?.buffer.transfer(0);
    this.#views.delete(port);
  }

  #unusable(call: string): AneforgeError {
    if (this.#released) return new ReleasedError(`${call}: the program was released`);
    return new DispatchError(`${call}: a submitted run is still in flight; await it first`);
  }

  #noPort(call: string, i: number, ports: readonly Port[]): AneforgeError {
    const side = ports === this.#in ? "input" : "output";
    return new ArgumentError(`${call}: no ${side} ${i}; the program has ${ports.length}: ${ports.map((p) => p.name)}`);
  }

  /** Why a copy is not made: released, in flight, no such port, wrong dtype or wrong size. */
  #refusal(
    call: string,
    i: number,
    ports: readonly Port[],
    data: ArrayBufferView,
    elementBytes: number,
  ): AneforgeError {
    if (this.#ready === null) return this.#unusable(call);
    const port = ports[i];
    if (!port) return this.#noPort(call, i, ports);
    const name = `${call}: ${ports === this.#in ? "input" : "output"} '${port.name}' (index ${i})`;
    if ((port.dtype === "fp16") !== (elementBytes > 0)) {
      return new DtypeError(
        `${name} is ${port.dtype}; use ${port.dtype === "fp16" ? "writeF32 or writeF16" : "writeBytes"}`,
      );
    }
    const expected = port.elements * (elementBytes || PORT_BYTES[port.dtype]);
    return new ShapeError(
      `${name} has shape [${port.shape}]: expected ${port.elements} elements in ${expected} bytes, got ${data.byteLength} bytes`,
    );
  }

  #failure(call: string, status: number): AneforgeError {
    return new (STATUS_ERRORS[status] ?? DispatchError)(`${call}: ${fromCString(this.#symbols.af_last_error())}`);
  }

  #programError(handle: Deno.PointerObject): string {
    const size = Number(this.#symbols.af_program_error(handle, null, 0n)) + 1;
    const text = new Uint8Array(size);
    this.#symbols.af_program_error(handle, text, BigInt(size));
    return new TextDecoder().decode(text.subarray(0, size - 1));
  }
}

/**
 * Programs alive in this process.
 *
 * @returns Their number; 0 before the device was opened.
 */
export function liveProgramCount(): number {
  return deviceIfOpen()?.library.symbols.af_live_programs() ?? 0;
}
