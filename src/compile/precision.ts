/**
 * What a graph risks by computing in fp16, from its structure alone.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";
import { show, sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { warn } from "../warnings.ts";

/** Kind of a precision risk. */
export type PrecisionKind = "narrow_sum" | "cancel_sub" | "groupnorm_cliff";

/** One place of a graph that may lose accuracy. */
export interface PrecisionRecord {
  /** Place of the node in topological order, inputs included. */
  readonly idx: number;
  /** Its operation. */
  readonly op: string;
  /** What may happen. */
  readonly kind: PrecisionKind;
  /** Relative error to expect; 0 when it is not a matter of rounding. */
  readonly estError: number;
  /** Rewrite that avoids it; empty when there is none. */
  readonly fixable: "reduce_sum->matmul" | "paired-fp16" | "";
  /** The same in words. */
  readonly reason: string;
}

/** What {@linkcode precisionRisk} finds. */
export interface PrecisionRisk {
  /** The places, in topological order; at most one per node. */
  readonly records: readonly PrecisionRecord[];
  /** `idx` of those a compile warns about. */
  readonly hotspots: readonly number[];
  /** Relative error to expect of the whole graph, 0.001 at least. */
  readonly graphError: number;
}

/** Rounding of one fp16 operation, as a relative error. */
const BASE_ERROR = 0.001;
/** From this many terms on a sum counts as long. */
const LONG_SUM = 256;
/** From this many elements on a difference of two values is mentioned. */
const LARGE_DIFFERENCE = 64;
/** Largest extent the grouped form of a group norm may have. */
const GROUP_EXTENT = 65536;

/** Operations whose results are never negative: their sums do not cancel. */
const POSITIVE: ReadonlySet<string> = new Set([
  "square",
  "abs",
  "relu",
  "relu6",
  "sigmoid",
  "exp",
  "softplus",
  "softmax",
]);

type Finding = Omit<PrecisionRecord, "idx" | "op">;
type Rule = (node: Tensor) => Finding | undefined;

/** What is looked for, by operation. */
const RULES: Readonly<Record<string, Rule>> = {
  reduce_sum(node) {
    const { op, shape } = node.inputs[0]!;
    const terms = (node.attrs.axes as readonly number[]).reduce((count, axis) => count * (shape[axis] ?? 1), 1);
    if (terms < LONG_SUM || POSITIVE.has(op)) return undefined;
    return {
      kind: "narrow_sum",
      estError: Math.min(1, BASE_ERROR * Math.sqrt(terms)),
      fixable: "reduce_sum->matmul",
      reason: `a sum of ${terms} terms of either sign, which the device adds up in 12 bits`,
    };
  },
  sub(node) {
    if (sizeOf(node.shape) < LARGE_DIFFERENCE || node.inputs.some(({ op }) => op === "muls")) return undefined;
    return {
      kind: "cancel_sub",
      estError: BASE_ERROR,
      fixable: "paired-fp16",
      reason: "a difference of two rounded values, which loses digits where they are close",
    };
  },
  group_norm(node) {
    const { shape } = node.inputs[0]!;
    if (shape.length !== 4) return undefined;
    const [, channels, height, width] = shape as [number, number, number, number];
    const inner = Math.max(Math.floor(channels / (node.attrs.groups as number)), height * width);
    if (inner <= GROUP_EXTENT) return undefined;
    return {
      kind: "groupnorm_cliff",
      estError: 0,
      fixable: "",
      reason: `its groups have an axis of ${inner} elements, more than the ${GROUP_EXTENT} an axis may have`,
    };
  },
};

/**
 * Looks for patterns that lose accuracy in fp16: long sums of either sign, differences of computed values, group norms over
 * too large an image. Nothing is computed.
 *
 * @example
 * ```ts
 * import { input, precisionRisk } from "../../mod.ts";
 *
 * const { records } = precisionRisk(input([1, 1024]).sum(-1));
 * console.log(records[0]?.kind, records[0]?.estError); // narrow_sum 0.032
 * ```
 *
 * @param out The value to compute.
 * @returns The places found, those a compile warns about, and the error to expect.
 */
export function precisionRisk(out: Tensor): PrecisionRisk {
  const records: PrecisionRecord[] = [];
  topologicalOrder([out]).forEach((node, idx) => {
    const finding = RULES[node.op]?.(node);
    if (finding !== undefined) records.push({ idx, op: node.op, ...finding });
  });
  const hot = records.filter(({ estError, kind }) => estError > BASE_ERROR || kind === "groupnorm_cliff");
  return {
    records,
    hotspots: hot.map(({ idx }) => idx),
    graphError: records.reduce((worst, { estError }) => Math.max(worst, estError), BASE_ERROR),
  };
}

/**
 * Warns about a graph's hotspots, once per message, or throws.
 *
 * @param call Function named in the message.
 * @param out The value to compute.
 * @param validate Throw instead of warning.
 * @throws {ArgumentError} There is a hotspot and `validate` is set.
 */
export function signalPrecision(call: string, out: Tensor, validate: boolean): void {
  const { records, hotspots } = precisionRisk(out);
  if (hotspots.length === 0) return;
  const order = topologicalOrder([out]);
  const lines = records.filter(({ idx }) => hotspots.includes(idx)).map(({ idx, op, reason, estError, fixable }) => {
    const size = estError > 0 ? ` (relative error about ${estError.toPrecision(2)})` : "";
    const way = fixable === "reduce_sum->matmul" ? "; x.matmul(ones) sums wide" : "";
    return `node ${idx}, ${op} of ${show(order[idx]!.inputs[0]!.shape)}: ${reason}${size}${way}`;
  });
  const message = `${call}: ${lines.join("; ")}`;
  if (validate) throw new ArgumentError(`${message}. Change the graph, or compile without validate`);
  warn("precision", message, message);
}
