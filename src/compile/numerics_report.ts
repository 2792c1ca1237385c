/**
 * What the device's arithmetic loses in one run of a program.
 *
 * @module
 */

import { reportText } from "../../ffi/engine.ts";
import { ArgumentError, UnsupportedOpError } from "../errors.ts";
import type { TensorData } from "../graph/ndarray.ts";
import { toFeed } from "./feed.ts";
import type { Runner } from "./runner.ts";

/** What one operation of a program lost. */
export interface OpNumerics {
  /** Name of the result in the program text. */
  readonly name: string;
  /** Operation of the program text. A product with a bias behind it counts as one, under the name of the sum. */
  readonly op: string;
  /** Number of results. */
  readonly values: number;
  /** Multiplications of a matrix product or convolution whose operands are both not zero. */
  readonly products: number;
  /** Of these, those that count as 0 because the exponents of their operands sum to less than -16. */
  readonly dropped: number;
  /** Sums of products that left the accumulator's range and became infinite. */
  readonly saturated: number;
  /** Other results that are infinite although the exact value is finite. */
  readonly overflowed: number;
  /** Operands beyond the knots of an activation table. */
  readonly clamped: number;
  /** Relative L2 error of the results against float64 from the same operands. */
  readonly error: number;
  /** Largest absolute error of that kind. */
  readonly maxError: number;
  /** Relative L2 error against a float64 computation from the program's inputs on. */
  readonly accumulated: number;
}

/** Sums of the counts of {@linkcode OpNumerics}. */
export type NumericsTotals = Readonly<
  Pick<OpNumerics, "products" | "dropped" | "saturated" | "overflowed" | "clamped">
>;

const COUNTS = ["products", "dropped", "saturated", "overflowed", "clamped"] as const;

/** What a whole program lost; {@linkcode NumericsReport.toString} shows it as a table. */
export class NumericsReport {
  /** The operations in the order they run. Operations on constants alone are computed beforehand and left out. */
  readonly ops: readonly OpNumerics[];
  /** Sums over the operations. */
  readonly totals: Pick<OpNumerics, "products" | "dropped" | "saturated" | "overflowed" | "clamped">;

  /**
   * A report of some operations.
   *
   * @param ops The operations.
   */
  constructor(ops: readonly OpNumerics[]) {
    this.ops = ops;
    const sum = (key: (typeof COUNTS)[number]): number => ops.reduce((total, op) => total + op[key], 0);
    this.totals = {
      products: sum("products"),
      dropped: sum("dropped"),
      saturated: sum("saturated"),
      overflowed: sum("overflowed"),
      clamped: sum("clamped"),
    };
  }

  /** True when nothing was dropped, saturated, overflowed or clamped. */
  get clean(): boolean {
    const { dropped, saturated, overflowed, clamped } = this.totals;
    return dropped + saturated + overflowed + clamped === 0;
  }

  /**
   * The report as a table, one line per operation.
   *
   * @returns Lines of columns.
   */
  toString(): string {
    const head = ["name", "op", "values", ...COUNTS, "error", "accumulated"];
    const rows = this.ops.map((op) => [
      op.name,
      op.op,
      String(op.values),
      ...COUNTS.map((key) => String(op[key])),
      op.error.toExponential(2),
      op.accumulated.toExponential(2),
    ]);
    const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
    const line = (row: readonly string[]): string =>
      row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join("  ").trimEnd();
    return [head, ...rows].map(line).join("\n");
  }
}

/**
 * Runs a compiled model once on the host device, operation by operation, and counts what the Neural Engine's arithmetic
 * loses: products that vanish, sums that saturate, values beyond a table, and the error of each operation and of all up to
 * there against float64. The results are those of a normal run, bit for bit; the time is not.
 *
 * @example
 * ```ts
 * import { compile, input, numericsReport } from "../../mod.ts";
 *
 * const x = input([1, 4]);
 * using net = compile(x.linear([[1e-3, 1e-3, 1e-3, 1e-3]]));
 * const report = numericsReport(net, [new Float32Array(4).fill(1e-3)]);
 * console.log(report.totals.dropped); // 4: every product is below the grid of the accumulator
 * ```
 *
 * @param net A model of `compile` or `compileMulti`; it may have been released.
 * @param inputs One value per input, as for `run`.
 * @returns The operations and what each lost.
 * @throws {ArgumentError} Wrong number of inputs.
 * @throws {ShapeError} Wrong shape or element count.
 * @throws {DtypeError} Elements the port cannot hold.
 * @throws {CompileError} The program's files are gone from the cache; compile again.
 * @throws {UnsupportedOpError} The device is the Neural Engine, which does not report.
 */
export function numericsReport(net: Runner, inputs: readonly TensorData[]): NumericsReport {
  if (inputs.length !== net.inputs.length) {
    throw new ArgumentError(`numericsReport: expected ${net.inputs.length} input(s), got ${inputs.length}`);
  }
  const bytes = net.inputs.map((port, i) => {
    const feed = toFeed(port, i, inputs[i]!);
    const data = feed instanceof Float32Array ? new Float16Array(feed) : feed;
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  });
  const text = reportText(net.milPath, bytes);
  if (text === undefined) {
    throw new UnsupportedOpError(
      "numericsReport: the Neural Engine does not report what it drops; run this program on the host device, which " +
        "computes the same numbers (ANEFORGE_DEVICE=host)",
    );
  }
  return new NumericsReport(text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line)));
}
