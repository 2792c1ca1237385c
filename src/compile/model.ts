/**
 * A compiled graph with one output.
 *
 * @module
 */

import type { NDArray, TensorData } from "../graph/ndarray.ts";
import { type LoadedProgram, Runner } from "./runner.ts";

/**
 * One fused program on the device. Made by {@linkcode compile}.
 *
 * @example
 * ```ts
 * import { compile, input } from "../../mod.ts";
 *
 * const x = input([1, 4]);
 * using net = compile(x.relu());
 * const y = net.run([[-1, 0, 1, 2]]);
 * console.log(y.toNested()); // [[0, 0, 1, 2]]
 * ```
 */
export class Model extends Runner {
  /**
   * Wraps a loaded program with one output.
   *
   * @param loaded The program and its ports.
   */
  constructor(loaded: LoadedProgram) {
    super(loaded);
  }

  /**
   * Runs once and returns when the result is there.
   *
   * @param inputs One value per input, in the order the inputs were created: an NDArray or nested arrays of the port's
   * shape, or a typed array of its element count. NaN and infinities are fed as they are.
   * @returns The output as fp32, a fresh array each time.
   * @throws {ArgumentError} Wrong number of inputs.
   * @throws {ShapeError} Wrong shape or element count.
   * @throws {DtypeError} Elements the port cannot hold.
   * @throws {DispatchError} The run failed, or calls of `runAsync` have not ended.
   * @throws {ReleasedError} The model was released.
   */
  run(...inputs: TensorData[]): NDArray {
    return this.runNow("run", inputs)[0]!;
  }

  /**
   * Runs once without blocking the event loop. The inputs are copied before this returns; calls on one model run one
   * behind the other, calls on different models side by side.
   *
   * @param inputs As for {@linkcode Model.run}.
   * @returns The output as fp32.
   */
  async runAsync(...inputs: TensorData[]): Promise<NDArray> {
    return (await this.runLater(inputs))[0]!;
  }
}
