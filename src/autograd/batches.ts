/**
 * Minibatches from a data set that lies in memory.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { Random } from "../random.ts";

/** Rows of numbers, one behind the other. */
export type Rows = Float32Array | Float16Array | Uint8Array | Int8Array;

/** One value per input. */
export type Batch = ReadonlyMap<Tensor, Rows>;

/** One array of a data set and the buffer its batch is gathered into. */
interface Column {
  readonly tensor: Tensor;
  readonly rows: Rows;
  readonly width: number;
  readonly buffer: Rows;
}

function column(label: string, tensor: Tensor, rows: Rows): Column {
  const batch = tensor.shape[0]!;
  const width = tensor.size / batch;
  if (rows.length % width !== 0) {
    throw new ShapeError(
      `setDataset: ${label}: ${rows.length} elements are not rows of ${width}, see ${show(tensor.shape)}`,
    );
  }
  return { tensor, rows, width, buffer: new (rows.constructor as new (n: number) => Rows)(tensor.size) };
}

/** Draws batches without repetition until fewer rows than a batch are left, then in a new order. */
export class BatchSampler {
  /** Input that receives the examples. */
  readonly x: Tensor;
  /** The current batch; its arrays are reused. */
  readonly batch: Batch;
  readonly #columns: readonly Column[];
  readonly #count: number;
  readonly #size: number;
  readonly #random: Random;
  #order: Uint32Array;
  #next = 0;

  /**
   * @param x Input that receives the examples; its first extent is the batch size.
   * @param examples All examples.
   * @param target Input that receives the targets, same first extent.
   * @param targets All targets.
   * @param seed Seed of the permutations.
   * @throws {ShapeError} The arrays do not fit the inputs or each other.
   */
  constructor(x: Tensor, examples: Rows, target: Tensor, targets: Rows, seed: number) {
    const columns = [column("examples", x, examples), column("targets", target, targets)];
    const [count, other] = columns.map(({ rows, width }) => rows.length / width);
    this.#size = x.shape[0]!;
    if (target.shape[0] !== this.#size) {
      throw new ShapeError(
        `setDataset: inputs ${show(x.shape)} and ${show(target.shape)} differ in their first extent`,
      );
    }
    if (count !== other) throw new ShapeError(`setDataset: ${count} examples, but ${other} targets`);
    if (count! < this.#size) {
      throw new ShapeError(`setDataset: ${count} examples are fewer than one batch of ${this.#size}`);
    }
    this.x = x;
    this.#count = count!;
    this.#columns = columns;
    this.#random = new Random(seed);
    this.#order = this.#random.permutation(this.#count);
    this.batch = new Map(columns.map(({ tensor, buffer }) => [tensor, buffer]));
    this.#gather(this.#order.subarray(0, this.#size));
  }

  /**
   * Gathers the next batch.
   *
   * @returns The batch; the same arrays each time.
   */
  next(): Batch {
    if (this.#next + this.#size > this.#count) {
      this.#order = this.#random.permutation(this.#count);
      this.#next = 0;
    }
    this.#gather(this.#order.subarray(this.#next, this.#next + this.#size));
    this.#next += this.#size;
    return this.batch;
  }

  #gather(order: Uint32Array): void {
    for (const { rows, width, buffer } of this.#columns) {
      for (let i = 0; i < order.length; i++) {
        const from = order[i]! * width;
        buffer.set(rows.subarray(from, from + width), i * width);
      }
    }
  }
}
