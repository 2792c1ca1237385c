/**
 * Operations that run as programs of their own between the fused ones, and what they cost: measured points, scaled by the
 * amount of work.
 *
 * @module
 */

import { sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { BRIDGE_ROWS, type BridgeRow } from "./data/cost_dies.ts";

/** Extents of operand `i` without its first `drop` axes, when it has rank `rank`. */
function operand(i: number, rank: number, drop = 0): (node: Tensor) => readonly number[] | undefined {
  return ({ inputs }) => inputs[i]?.shape.length === rank ? inputs[i]!.shape.slice(drop) : undefined;
}

const image = operand(0, 4, 1);
const matrix = operand(0, 2);
const product = (size: readonly number[]): number => sizeOf(size);

/** How the size of a node is read and what work it stands for. */
interface BridgeSize {
  readonly size: (node: Tensor) => readonly number[] | undefined;
  readonly work: (size: readonly number[]) => number;
}

/** By operation; sizes are written as in the table of points. */
const SIZES: Readonly<Record<string, BridgeSize>> = {
  sdpa: { size: image, work: ([h, s, d]) => h! * s! * s! * d! },
  argmax: { size: matrix, work: product },
  topk: { size: matrix, work: product },
  sort: { size: matrix, work: product },
  cross_product: { size: () => [], work: product },
  cross_correlation: {
    size: (node) => {
      const a = matrix(node), b = operand(1, 2)(node);
      return a && b && [...a, ...b];
    },
    work: product,
  },
  cost_volume: {
    size: ({ shape }) => shape.length === 2 ? [shape[1]!, shape[0]! - 1] : undefined,
    work: ([width, range]) => (range! + 1) * width!,
  },
  fps: {
    size: (node) => {
      const points = matrix(node);
      return points && node.shape.length > 0 ? [points[0]!, node.shape[0]!] : undefined;
    },
    work: product,
  },
  radius_search: { size: ({ shape }) => shape.length === 2 ? shape : undefined, work: product },
  minmax_norm: { size: image, work: product },
  lrn: { size: image, work: product },
  space_to_channel: { size: image, work: product },
  channel_to_space: { size: image, work: product },
  space_to_batch: { size: image, work: product },
  batch_to_space: { size: operand(0, 4), work: product },
  flatten: { size: operand(0, 3), work: product },
  input_view: {
    size: ({ inputs, shape }) => inputs.length > 0 && shape.length > 0 ? [inputs[0]!.size, shape[0]!] : undefined,
    work: ([, size]) => size!,
  },
  dynamic_slice: { size: () => [], work: product },
  scaled_elementwise: { size: ({ inputs }) => inputs.length > 0 ? [inputs[0]!.size] : undefined, work: product },
};

const ROWS: ReadonlyMap<string, BridgeRow> = new Map(BRIDGE_ROWS.map((row) => [row.op, row]));

/**
 * Whether an operation is a program of its own.
 *
 * @param op Name of the operation.
 * @returns `true` for the 19 bridge operations.
 */
export function isBridge(op: string): boolean {
  return ROWS.has(op);
}

/** Work of a node and of the points measured for its operation; `undefined` when the node has no size of that form. */
function measuredWork(node: Tensor): { work: number; points: [work: number, us: number][] } | undefined {
  const row = ROWS.get(node.op);
  const kind = SIZES[node.op];
  const size = row && kind?.size(node);
  if (row === undefined || kind === undefined || size === undefined) return undefined;
  return { work: kind.work(size), points: row.points.map(([size, us]) => [kind.work(size), us]) };
}

/**
 * The original's cost of a bridge operation: the nearest measured point by the logarithm of work, times the ratio of work,
 * at least the floor. The first of two equally near points wins.
 *
 * Formula: sbryngelson/ANEForge `aneforge/_cost.py`.
 *
 * @param node The node.
 * @param floorUs Least cost of a program.
 * @returns Microseconds, or `undefined` when the operands have a rank the points do not cover.
 */
export function nearestPointUs(node: Tensor, floorUs: number): number | undefined {
  const measured = measuredWork(node);
  if (measured === undefined) return undefined;
  const { work, points } = measured;
  const log = (value: number): number => Math.log(Math.max(value, 1e-9));
  let best = points[0]!;
  for (const point of points) {
    if (Math.abs(log(work) - log(point[0])) < Math.abs(log(work) - log(best[0]))) best = point;
  }
  return Math.max(floorUs, best[1] * work / best[0]);
}

/**
 * A cost of a bridge operation that never falls with its work: the running maximum of the measured points, linear in
 * between, the first point below all of them, proportional to work above.
 *
 * @param node The node.
 * @returns Microseconds on the M5 Pro, or `undefined` when the operands have a rank the points do not cover.
 */
export function risingPointsUs(node: Tensor): number | undefined {
  const measured = measuredWork(node);
  if (measured === undefined) return undefined;
  const { work } = measured;
  let [w0, us0] = [0, 0];
  for (const [w, us] of measured.points.sort((a, b) => a[0] - b[0])) {
    const next = Math.max(us, us0);
    if (work < w) return w0 === 0 ? next : us0 + (work - w0) / (w - w0) * (next - us0);
    [w0, us0] = [w, next];
  }
  return us0 * work / w0;
}
