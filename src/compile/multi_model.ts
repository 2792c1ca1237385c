/**
 * A compiled graph with several outputs.
 *
 * @module
 */

import type { NDArray, TensorData } from "../graph/ndarray.ts";
import { type LoadedProgram, type PortKey, Runner } from "./runner.ts";

/** Results of a {@linkcode MultiModel}: by port name, and by index in the order the outputs were asked for. */
export type Outputs = Readonly<Record<string | number, NDArray>>;

/**
 * One fused program with several outputs, some of which may feed inputs of the next run. Made by
 * {@linkcode compileMulti}.
 *
 * @example
 * ```ts
 * import { compileMulti, input } from "../../mod.ts";
 *
 * const state = input([1, 4]);
 * const next = state.adds(1);
 * using counter = compileMulti([next]);
 * counter.shareBuffer(next, state);
 * counter.execute();
 * counter.execute();
 * console.log(counter.readOutput(next).at(0, 0)); // 2
 * ```
 */
export class MultiModel extends Runner {
  /**
   * Wraps a loaded program.
   *
   * @param loaded The program and its ports.
   */
  constructor(loaded: LoadedProgram) {
    super(loaded);
  }

  /**
   * Runs once and returns when the results are there.
   *
   * @param inputs One value per input, in the order the inputs were created; see `Model.run`.
   * @returns Fresh fp32 arrays, by index and by port name.
   */
  run(...inputs: TensorData[]): Outputs {
    return this.#named(this.runNow("run", inputs));
  }

  /**
   * Runs once without blocking the event loop; see `Model.runAsync`.
   *
   * @param inputs As for {@linkcode MultiModel.run}.
   * @returns Fresh fp32 arrays, by index and by port name.
   */
  async runAsync(...inputs: TensorData[]): Promise<Outputs> {
    return this.#named(await this.runLater(inputs));
  }

  /**
   * Lets an input read the memory of an output, so that the result of one run is the input of the next without a copy.
   * Only before the first run; the input starts as zeros and can be seeded with `setInput`.
   *
   * @param output Index, name or tensor of the output.
   * @param input Index, name or tensor of the input; same element count and type.
   */
  shareBuffer(output: PortKey, input: PortKey): void {
    this.share(output, input);
  }

  #named(arrays: readonly NDArray[]): Outputs {
    const named: Record<string | number, NDArray> = {};
    arrays.forEach((array, i) => {
      named[i] = array;
      named[this.outputs[i]!.name] = array;
    });
    return named;
  }
}
