/**
 * The training loop: forward, backward and update as programs on the device.
 *
 * @module
 */

import { compileMulti } from "../compile/compile.ts";
import type { MultiModel } from "../compile/multi_model.ts";
import { formatSafetensors, parseSafetensors, toFloat32 } from "../data/safetensors.ts";
import { ArgumentError, DataError, ReleasedError, ShapeError } from "../errors.ts";
import { NDArray } from "../graph/ndarray.ts";
import { sameShape, show } from "../graph/shape.ts";
import { input, type Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { warn } from "../warnings.ts";
import { backward, backwardFrom } from "./backward.ts";
import { BatchSampler, type Rows } from "./batches.ts";
import { adamRate, adamStep, sgdStep } from "./device_optimizer.ts";
import { CrossEntropy, crossEntropyValue } from "./losses.ts";
import { Adam, checkBetas, checkPositive, type HostOptimizer, masterOf, SGD } from "./optimizers.ts";

/** What a {@linkcode Trainer} minimizes: a tensor with one element, or a cross entropy. */
export type Objective = Tensor | CrossEntropy;

/** Options of {@linkcode Trainer}. */
export interface TrainerOptions {
  /** Learning rate. Default: 1e-3. */
  readonly lr?: number;
  /** Factor on the loss that keeps gradients inside the fp16 range. Default: 1. */
  readonly lossScale?: number;
  /** Update rule. Default: `sgd`. */
  readonly optimizer?: "sgd" | "adam";
  /** Adam's decay rates. Default: [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /**
   * Adam's eps, for gradients without the loss scale. Default: 1e-8. On the device, where gradients keep the loss scale and
   * a second moment below 2^-25 is 0, it is used times lossScale, and at least 2^-12: the root of what is lost.
   */
  readonly eps?: number;
  /** Compute the update on the device in fp16; the state travels to the host and back. Default: false. */
  readonly deviceOptimizer?: boolean;
  /** Keep parameters and moments on the device between steps; implies the device optimizer. Default: false. */
  readonly residentState?: boolean;
  /** Values of the inputs that are not parameters; may be changed in {@linkcode Trainer.data} later. */
  readonly dataInputs?: ReadonlyMap<Tensor, Rows>;
  /** What {@linkcode Trainer.predict} computes. Default: the logits of a cross entropy. */
  readonly prediction?: Tensor;
}

/** Smallest eps beside the root of a second moment in fp16; a smaller one lets m / (0 + eps) grow without bound. */
const LEAST_DEVICE_EPS = 2 ** -12;

/** A state tensor of the device optimizer: what a step reads and what it writes. */
interface StateSlot {
  readonly before: Tensor;
  readonly after: Tensor;
}

/**
 * Trains parameters in place of the objective's graph, in one of three ways:
 *
 * - host optimizer (default): a step computes the gradients on the device, the host updates the fp32 masters;
 * - `deviceOptimizer`: the update is part of the program, the fp16 state is carried by the host;
 * - `residentState`: as before, and every updated state is the memory the next step reads. The host sends the batch and the
 *   learning rate, nothing else.
 *
 * Every step is one run of one program, which also delivers the loss before the update. A step is never half done: between
 * two calls the state is whole, and `sync`, `save` and `release` are allowed at any time.
 *
 * @example
 * ```ts
 * const x = input([128, 784]), target = input([128, 10]);
 * const w = parameter(weights), b = parameter(bias);
 * const objective = softmaxCrossEntropy(x.matmul(w).add(b), target);
 * using trainer = new Trainer(objective, [w, b], { optimizer: "adam", lossScale: 1024, residentState: true });
 * trainer.setDataset(x, images, target, oneHot);
 * for (let i = 0; i < 468; i++) trainer.step();
 * console.log(trainer.accuracy(testImages, testLabels));
 * ```
 */
export class Trainer {
  /** Learning rate; may be changed between steps. */
  lr: number;
  /** Values of the inputs that are not parameters; may be changed between steps. */
  readonly data: Map<Tensor, Rows>;
  /** The parameters, whose masters {@linkcode Trainer.sync} brings up to date. */
  readonly params: readonly Tensor[];
  /** Factor on the loss. */
  readonly lossScale: number;

  readonly #objective: Objective;
  /** What the step delivers to compute the loss from: the logits, or the loss itself. */
  readonly #head: Tensor;
  readonly #prediction: Tensor | undefined;
  readonly #betas: readonly [number, number];
  readonly #optimizer: "sgd" | "adam";
  readonly #resident: boolean;
  readonly #host: HostOptimizer | undefined;
  readonly #gradients: readonly Tensor[];
  readonly #state: readonly StateSlot[];
  readonly #rate: Tensor | undefined;
  readonly #program: MultiModel;
  readonly #fed: readonly Tensor[];
  readonly #evaluators = new Map<Tensor, Evaluator>();
  #sampler: BatchSampler | undefined;
  #steps = 0;
  /** The masters are behind the device's state. */
  #stale = false;
  /** The device's copy of the parameters is behind the masters. */
  #unseeded = true;
  #released = false;

  /**
   * Builds the gradient graph and compiles it.
   *
   * @param objective What to minimize.
   * @param params Trainable parameters.
   * @param options How.
   * @throws {ArgumentError} No parameters, one that is not trainable or has no influence, or a bad option.
   * @throws {ShapeError} The objective has more than one element.
   */
  constructor(objective: Objective, params: readonly Tensor[], options: TrainerOptions = {}) {
    const { lr = 1e-3, lossScale = 1, optimizer = "sgd", betas = [0.9, 0.999], eps = 1e-8 } = options;
    if (params.length === 0) throw new ArgumentError("Trainer: no parameters given");
    params.forEach(masterOf);
    if (new Set(params).size !== params.length) throw new ArgumentError("Trainer: a parameter is given twice");
    if (optimizer !== "sgd" && optimizer !== "adam") {
      throw new ArgumentError(`Trainer: unknown optimizer ${JSON.stringify(optimizer)}; use "sgd" or "adam"`);
    }
    this.lr = checkPositive("Trainer", "lr", lr);
    this.lossScale = checkPositive("Trainer", "lossScale", lossScale);
    this.#betas = checkBetas("Trainer", betas);
    this.#objective = objective;
    this.#optimizer = optimizer;
    this.params = [...params];
    this.data = new Map(options.dataInputs);
    this.#resident = options.residentState ?? false;
    this.#head = objective instanceof CrossEntropy ? objective.logits : objective;
    this.#prediction = options.prediction ?? (objective instanceof CrossEntropy ? objective.logits : undefined);
    this.#gradients = this.#differentiate();
    if (this.#resident || options.deviceOptimizer) {
      this.#rate = input([1, 1]);
      this.#state = this.#updates(this.#rate, eps);
      this.#program = compileMulti([this.#head, ...this.#state.map(({ after }) => after)]);
      if (this.#resident) { for (const { before, after } of this.#state) this.#program.shareBuffer(after, before); }
    } else {
      this.#state = [];
      this.#host = optimizer === "adam"
        ? new Adam(params, { lr, lossScale, betas, eps })
        : new SGD(params, { lr, lossScale });
      this.#program = compileMulti([this.#head, ...this.#gradients]);
    }
    const own = new Set<Tensor | undefined>([...params, this.#rate, ...this.#state.map(({ before }) => before)]);
    const inputs = inputsOf([this.#head, ...this.#gradients]);
    this.#fed = inputs.filter((tensor) => !own.has(tensor));
  }

  /** Number of steps taken since the start or the last `load`. */
  get steps(): number {
    return this.#steps;
  }

  /** Steps of the host optimizer that were skipped in a row because a gradient was not finite. */
  get skipped(): number {
    return this.#host?.skipped ?? 0;
  }

  /**
   * Gives the data to draw minibatches from. Their size is the first extent of `x`; the order is a new permutation each
   * time fewer rows than that are left.
   *
   * @param x Input that receives the examples.
   * @param examples All examples, row-major.
   * @param target Input that receives the targets.
   * @param targets All targets, row-major, one row per example.
   * @param seed Seed of the permutations. Default: 0.
   * @throws {ShapeError} The arrays are not whole rows, differ in their number, or hold less than one batch.
   */
  setDataset(x: Tensor, examples: Rows, target: Tensor, targets: Rows, seed = 0): void {
    this.#check("setDataset");
    this.#sampler = new BatchSampler(x, examples, target, targets, seed);
    for (const [tensor, rows] of this.#sampler.batch) this.data.set(tensor, rows);
  }

  /**
   * Takes one step on the next minibatch, or on what is in {@linkcode Trainer.data}.
   *
   * @returns The loss on that batch before the update.
   * @throws {ArgumentError} An input has no value.
   * @throws {ReleasedError} The trainer was released.
   */
  step(): number {
    this.#check("step");
    const program = this.#program;
    const batch = this.#sampler?.next();
    if (batch) { for (const [tensor, rows] of batch) this.data.set(tensor, rows); }
    if (this.#unseeded) this.#seed();
    for (const tensor of this.#fed) {
      const value = this.data.get(tensor);
      if (value) program.setInput(tensor, value);
      else this.#valueOf(tensor); // throws unless #seed wrote it
    }
    if (this.#rate) program.setInput(this.#rate, Float32Array.of(this.#rateAt(this.#steps + 1)));
    program.execute();
    const loss = this.#lossOf(program.outputView(this.#head));
    if (this.#host) {
      this.#host.lr = this.lr;
      const gradients = this.#gradients.map((tensor) => program.readOutput(tensor).data);
      if (this.#host.step(gradients)) this.#unseeded = true;
    } else {
      if (!this.#resident) {
        for (const { before, after } of this.#state) program.setInput(before, program.outputView(after));
      }
      this.#stale = true;
    }
    this.#steps++;
    for (const evaluator of this.#evaluators.values()) evaluator.stale = true;
    return loss;
  }

  /**
   * The loss on what is in {@linkcode Trainer.data} (the last minibatch, after a step) with the parameters as they are now.
   *
   * @returns Its value.
   */
  loss(): number {
    this.#check("loss");
    const evaluator = this.#evaluator(this.#head);
    for (const tensor of evaluator.fed) evaluator.model.setInput(tensor, this.#valueOf(tensor));
    evaluator.model.execute();
    return this.#lossOf(evaluator.model.outputView(this.#head));
  }

  /**
   * The prediction for any number of examples, in batches; the last one is filled up with zeros.
   *
   * @param examples Examples, row-major, for the input given to `setDataset` (or the only one that is not a parameter).
   * @returns One row of predictions per example.
   * @throws {ShapeError} The array is not whole rows.
   * @throws {ArgumentError} There is no prediction, or it is not clear which input takes the examples.
   */
  predict(examples: Rows): NDArray {
    this.#check("predict");
    const out = this.#prediction;
    if (!out) throw new ArgumentError("predict: pass `prediction` to the Trainer to say which tensor is predicted");
    const evaluator = this.#evaluator(out);
    const x = this.#exampleInput(evaluator);
    const rows = x.shape[0]!, width = x.size / rows, outWidth = out.size / rows;
    if (out.shape[0] !== rows) {
      throw new ShapeError(`predict: prediction ${show(out.shape)} has not one row per example of ${show(x.shape)}`);
    }
    if (examples.length % width !== 0) {
      throw new ShapeError(`predict: ${examples.length} elements are not rows of ${width}, see input ${show(x.shape)}`);
    }
    for (const tensor of evaluator.fed) {
      if (tensor !== x) evaluator.model.setInput(tensor, this.#valueOf(tensor));
    }
    const count = examples.length / width;
    const result = new Float32Array(count * outWidth);
    const part = new Float32Array(rows * outWidth);
    for (let start = 0; start < count; start += rows) {
      const here = Math.min(rows, count - start);
      let chunk = examples.subarray(start * width, (start + here) * width) as Rows;
      if (here < rows) {
        const padded = new (examples.constructor as new (n: number) => Rows)(x.size);
        padded.set(chunk);
        chunk = padded;
      }
      evaluator.model.setInput(x, chunk);
      evaluator.model.execute();
      part.set(evaluator.model.outputView(out));
      result.set(part.subarray(0, here * outWidth), start * outWidth);
    }
    return new NDArray(result, [count, ...out.shape.slice(1)]);
  }

  /**
   * Share of examples whose largest prediction is their label.
   *
   * @param examples Examples, row-major.
   * @param labels One class index per example.
   * @returns A number in [0, 1].
   * @throws {ShapeError} The number of labels differs from the number of examples.
   */
  accuracy(examples: Rows, labels: ArrayLike<number>): number {
    const { data, shape } = this.predict(examples);
    const count = shape[0]!;
    if (labels.length !== count || count === 0) {
      throw new ShapeError(`accuracy: ${labels.length} labels for ${count} examples`);
    }
    const classes = data.length / count;
    let right = 0;
    for (let i = 0; i < count; i++) {
      let best = 0;
      for (let c = 1; c < classes; c++) if (data[i * classes + c]! > data[i * classes + best]!) best = c;
      if (best === labels[i]) right++;
    }
    return right / count;
  }

  /**
   * Reads the parameters back into their masters. Does nothing when they are up to date. Warns when a value is not finite.
   */
  sync(): void {
    this.#check("sync");
    if (!this.#stale) return;
    this.params.forEach((param, i) => {
      const master = masterOf(param);
      this.#program.outputView(this.#state[i]!.after).forEach((v, k) => master[k] = v);
      if (!master.every(Number.isFinite)) {
        warn(
          "non-finite",
          `parameter ${i} ${show(param.shape)} holds values that are not finite after ${this.#steps} steps. ` +
            `Lower lossScale (now ${this.lossScale}) or the learning rate`,
        );
      }
    });
    this.#stale = false;
  }

  /**
   * The parameters as a safetensors file, by the names given to {@linkcode Trainer.load}.
   *
   * @param names One name per parameter. Default: its own, else `param.0`, `param.1`, ..
   * @returns The file's bytes.
   */
  save(names: readonly string[] = this.#names()): Uint8Array<ArrayBuffer> {
    this.#checkNames("save", names);
    this.sync();
    return formatSafetensors(
      Object.fromEntries(this.params.map((param, i) => [names[i]!, { shape: param.shape, data: masterOf(param) }])),
    );
  }

  /**
   * Replaces the parameters by those of a safetensors file; moments and the step count start anew.
   *
   * @param bytes The file.
   * @param names One name per parameter. Default: its own, else `param.0`, `param.1`, ..
   * @throws {DataError} A parameter is missing or has another shape; nothing is changed then.
   */
  load(bytes: Uint8Array, names: readonly string[] = this.#names()): void {
    this.#check("load");
    this.#checkNames("load", names);
    const { tensors } = parseSafetensors(bytes);
    const values = this.params.map((param, i) => {
      const stored = tensors.get(names[i]!);
      if (!stored) throw new DataError(`load: no tensor "${names[i]}"; the file has ${[...tensors.keys()].join(", ")}`);
      if (!sameShape(stored.shape, param.shape)) {
        throw new DataError(`load: "${names[i]}" is ${show(stored.shape)}, the parameter ${show(param.shape)}`);
      }
      return toFloat32(stored);
    });
    values.forEach((value, i) => masterOf(this.params[i]!).set(value));
    this.#host?.reset();
    this.#steps = 0;
    this.#stale = false;
    this.#unseeded = true;
    for (const evaluator of this.#evaluators.values()) evaluator.stale = true;
  }

  /** Gives the programs back; the masters keep what the last `sync`, `loss`, `predict` or `save` read. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    this.#program.release();
    for (const { model } of this.#evaluators.values()) model.release();
    this.#evaluators.clear();
  }

  /** Same as {@linkcode Trainer.release}, for `using`. */
  [Symbol.dispose](): void {
    this.release();
  }

  #check(call: string): void {
    if (this.#released) throw new ReleasedError(`${call}: the trainer was released`);
  }

  #names(): string[] {
    return this.params.map((param, i) => (param.attrs.name as string | undefined) ?? `param.${i}`);
  }

  #checkNames(call: string, names: readonly string[]): void {
    if (names.length === this.params.length && new Set(names).size === names.length) return;
    throw new ArgumentError(`${call}: expected ${this.params.length} different names, got ${names.join(", ")}`);
  }

  /** One gradient per parameter, scaled by lossScale. */
  #differentiate(): Tensor[] {
    const objective = this.#objective;
    if (!(objective instanceof CrossEntropy) && objective.size !== 1) {
      throw new ShapeError(
        `Trainer: the objective is ${show(objective.shape)}; expected one element, or a cross entropy`,
      );
    }
    const gradients = objective instanceof CrossEntropy
      ? backwardFrom(objective.seed(this.lossScale), objective.logits, this.params)
      : backward(objective, this.params, { lossScale: this.lossScale });
    return this.params.map((param, i) => {
      const gradient = gradients.get(param);
      if (!gradient) {
        throw new ArgumentError(`Trainer: parameter ${i} ${show(param.shape)} has no influence on the loss`);
      }
      return gradient;
    });
  }

  /** The device optimizer's state: parameters first, then Adam's moments. */
  #updates(lr: Tensor, eps: number): StateSlot[] {
    const pair = (before: readonly Tensor[], after: readonly Tensor[]): StateSlot[] =>
      before.map((tensor, i) => ({ before: tensor, after: after[i]! }));
    if (this.#optimizer === "sgd") return pair(this.params, sgdStep(this.params, this.#gradients, lr));
    const m = this.params.map((param) => input(param.shape));
    const v = this.params.map((param) => input(param.shape));
    const deviceEps = Math.max(eps * this.lossScale, LEAST_DEVICE_EPS);
    const next = adamStep(this.params, m, v, this.#gradients, lr, { betas: this.#betas, eps: deviceEps });
    return [...pair(this.params, next.params), ...pair(m, next.m), ...pair(v, next.v)];
  }

  #rateAt(t: number): number {
    return this.#optimizer === "adam" ? adamRate(this.lr, t, this.#betas) : this.lr / this.lossScale;
  }

  /** Brings the masters and what stays constant to the device; moments become zero. */
  #seed(): void {
    for (const param of this.params) this.#program.setInput(param, masterOf(param));
    for (const tensor of this.#fed) {
      if (tensor.attrs.value !== undefined) this.#program.setInput(tensor, tensor.attrs.value as Rows);
    }
    for (const { before } of this.#state.slice(this.params.length)) {
      this.#program.setInput(before, new Float16Array(before.size));
    }
    this.#unseeded = false;
  }

  #valueOf(tensor: Tensor): Rows {
    const value = this.data.get(tensor) ?? tensor.attrs.value as Rows | undefined;
    if (value) return value;
    throw new ArgumentError(`input ${show(tensor.shape)} has no value: put one into data, or call setDataset`);
  }

  #lossOf(head: Float16Array): number {
    if (!(this.#objective instanceof CrossEntropy)) return head[0]!;
    const { target, logits } = this.#objective;
    return crossEntropyValue(head, this.#valueOf(target), logits.shape[1]!);
  }

  /** The program that computes a tensor, with the parameters as they are now in it. */
  #evaluator(out: Tensor): Evaluator {
    this.sync();
    let evaluator = this.#evaluators.get(out);
    if (!evaluator) {
      const inputs = inputsOf([out]);
      evaluator = {
        model: compileMulti([out]),
        params: this.params.filter((param) => inputs.includes(param)),
        fed: inputs.filter((tensor) => !this.params.includes(tensor)),
        stale: true,
      };
      this.#evaluators.set(out, evaluator);
    }
    if (evaluator.stale) { for (const param of evaluator.params) evaluator.model.setInput(param, masterOf(param)); }
    evaluator.stale = false;
    return evaluator;
  }

  #exampleInput({ fed }: Evaluator): Tensor {
    const known = this.#sampler?.x;
    if (known && fed.includes(known)) return known;
    const open = fed.filter((tensor) => tensor.attrs.value === undefined);
    if (open.length === 1) return open[0]!;
    throw new ArgumentError(
      `predict: ${open.length} inputs could take the examples; call setDataset to say which one does`,
    );
  }
}

/** A forward program and what it needs. */
interface Evaluator {
  readonly model: MultiModel;
  readonly params: readonly Tensor[];
  readonly fed: readonly Tensor[];
  /** Its copy of the parameters is behind the masters. */
  stale: boolean;
}

function inputsOf(roots: readonly Tensor[]): Tensor[] {
  return topologicalOrder(roots).filter((node) => node.op === "input");
}

export type { Rows };
