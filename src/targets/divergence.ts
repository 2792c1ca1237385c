/**
 * Where fp16 results differ between families, and slices a family gets wrong.
 *
 * @module
 */

import { NDArray } from "../graph/ndarray.ts";
import { type Shape, show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { warn } from "../warnings.ts";
import { familyOf, limit, supportsMil, type Target } from "./targets.ts";

/**
 * How two families differ on an operation: one turns large values into infinities, they round differently once, they add in
 * another order (at most one unit in the last place), or not at all.
 */
export type Fp16Verdict = "saturation" | "round1" | "ulp1" | "none";

/** What is known about the operation {@linkcode predictFp16Divergence} is asked about. */
export interface Fp16DivergenceOptions {
  /** First index of a slice, per axis. */
  begin?: readonly number[];
  /** Largest magnitude that occurs. Default: not known, so any. */
  maxAbs?: number;
}

/** A pattern of a graph that differs between two families. */
export interface Fp16Risk {
  /** Name of the operation. */
  readonly op: string;
  /** How it differs. */
  readonly verdict: Exclude<Fp16Verdict, "none">;
  /** Extents of the first node of this kind. */
  readonly shape: Shape;
}

/**
 * Largest magnitude that passes a slice that starts behind the first column on families before A15: 65504 / 16, since the
 * elements are moved as fixed-point numbers times 16. What is larger becomes infinite.
 */
export const FP16_SLICE_SAT = 4094;

/** Last family whose slices saturate. A15 is not measured and taken to be clean. */
const LAST_SATURATING = 3;

/** Last family whose concatenated slices come out in the wrong order. */
const LAST_MISPLACING = 4;

const SLICE_KINDS = ["slice", "crop"];
const SQUARE_KINDS = ["square", "rms", "variance", "l2"];
const REDUCE_KINDS = ["reduce", "softmax", "norm", "mean", "sum", "variance", "rms"];

/** Whether a reduction and the square behind it are one step: on no family that takes programs; not known below. */
const fusesSquare = (family: number): boolean | undefined => (supportsMil(family) ? false : undefined);

/** Extent from which sums are ordered differently; not known below the MIL floor. */
const reorderingExtent = (family: number): number | undefined =>
  supportsMil(family) ? limit("reduction_transpose_extent", family) : undefined;

const movesColumns = (begin: readonly number[] | undefined): boolean => (begin?.at(-1) ?? 0) > 0;

/**
 * Says from the compiler's hardware tables whether an operation can have another fp16 result on another family. The first
 * of these that applies:
 *
 * - `saturation`: a slice or crop that starts behind the first column, one of the families is M1 or M2 and the other is
 *   later, and magnitudes above 4094 are possible;
 * - `round1`: a reduction that is squared, where the two are one step on one family only (no two families from M1 on);
 * - `ulp1`: a reduction, softmax or normalisation, one of the families is M1 or M2 and the other is later;
 * - `none`.
 *
 * @example
 * ```ts
 * import { predictFp16Divergence } from "../../mod.ts";
 *
 * predictFp16Divergence("slice", "h13", "h16s", { begin: [0, 2] }); // "saturation"
 * predictFp16Divergence("softmax", "h14", "h15"); // "ulp1"
 * ```
 *
 * @param kind Name or kind of the operation; what it contains decides, case does not matter.
 * @param a One target or family.
 * @param b The other one.
 * @param options First index of a slice, and magnitudes.
 * @returns The verdict; the order of the two families does not matter.
 * @throws {ArgumentError} A target is not known.
 */
export function predictFp16Divergence(
  kind: string,
  a: Target,
  b: Target,
  options: Fp16DivergenceOptions = {},
): Fp16Verdict {
  const [first, second] = [familyOf(a), familyOf(b)];
  const name = kind.toLowerCase();
  const isOneOf = (kinds: readonly string[]): boolean => kinds.some((part) => name.includes(part));
  const { begin, maxAbs = Infinity } = options;
  const oneSaturates = (first <= LAST_SATURATING) !== (second <= LAST_SATURATING);
  if (isOneOf(SLICE_KINDS) && movesColumns(begin) && oneSaturates && maxAbs > FP16_SLICE_SAT) return "saturation";
  if (isOneOf(SQUARE_KINDS) && fusesSquare(first) !== fusesSquare(second)) return "round1";
  if (isOneOf(REDUCE_KINDS) && reorderingExtent(first) !== reorderingExtent(second)) return "ulp1";
  return "none";
}

const NORMS = new Set(["softmax", "l2_norm", "rms_norm", "layer_norm", "group_norm", "instance_norm"]);
const NORMS_BY_SQUARES = new Set(["l2_norm", "rms_norm"]);

/** Kind of a node for the prediction; empty when no family treats it specially. */
function kindOf({ op, inputs }: Tensor): string {
  if (op === "slice_by_size") return "slice";
  if (op === "square" || op === "mul") {
    const reduced = inputs.some((input) => input.op.startsWith("reduce") || NORMS_BY_SQUARES.has(input.op));
    return reduced ? "reduce_square" : "";
  }
  return op.startsWith("reduce") || NORMS.has(op) ? "reduce" : "";
}

/** Largest magnitude a node itself promises: of baked values, or as declared for an input. */
function maxAbsOf({ attrs }: Tensor): number | undefined {
  if (attrs.value instanceof NDArray) return attrs.value.data.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
  return attrs.maxAbs as number | undefined;
}

const beginOf = ({ op, attrs }: Tensor): readonly number[] | undefined =>
  op === "slice_by_size" ? attrs.begin as readonly number[] : undefined;

/**
 * The patterns of a graph whose fp16 result can differ between two families.
 *
 * @param out The value to compute, or several.
 * @param a One target or family.
 * @param b The other one.
 * @returns One item per operation and verdict, sorted by both.
 * @throws {ArgumentError} A target is not known.
 */
export function fp16Risks(out: Tensor | readonly Tensor[], a: Target, b: Target): Fp16Risk[] {
  const risks = new Map<string, Fp16Risk>();
  for (const node of topologicalOrder(Array.isArray(out) ? out : [out as Tensor])) {
    const kind = kindOf(node);
    if (kind === "") continue;
    const [begin, maxAbs] = [beginOf(node), maxAbsOf(node)];
    const verdict = predictFp16Divergence(kind, a, b, {
      ...(begin && { begin }),
      ...(maxAbs !== undefined && { maxAbs }),
    });
    const key = `${node.op} ${verdict}`;
    if (verdict !== "none" && !risks.has(key)) risks.set(key, { op: node.op, verdict, shape: node.shape });
  }
  return [...risks.entries()].sort(([x], [y]) => (x < y ? -1 : 1)).map(([, risk]) => risk);
}

const VERDICTS: Readonly<Record<Fp16Risk["verdict"], string>> = {
  saturation: `magnitudes above ${FP16_SLICE_SAT} become infinite on one of them`,
  round1: "one rounding more on one of them",
  ulp1: "sums in another order, at most one unit in the last place",
};

/**
 * Warns, with the kind `cross-chip-fp16`, about patterns whose result differs between two families.
 *
 * @param call Function named in the message.
 * @param out The value to compute.
 * @param here Family the results are known on.
 * @param target Family the program is for.
 */
export function warnCrossChip(call: string, out: Tensor, here: number, target: number): void {
  const risks = here === target ? [] : fp16Risks(out, here, target);
  if (risks.length === 0) return;
  const items = risks.map(({ op, verdict, shape }) => `${op} ${show(shape)}: ${VERDICTS[verdict]}`);
  warn(
    "cross-chip-fp16",
    `${call}: fp16 results for family ${target} may differ from those of family ${here}: ${items.join("; ")}. ` +
      "The program is valid; only that chip can say what it computes",
  );
}

/**
 * Warns, with the kind `slice`, about slices that start behind the first column where a family gets them wrong. Each
 * message is issued once per process.
 *
 * @param call Function named in the message.
 * @param outs The values to compute.
 * @param family Family the program is for.
 */
export function warnSlices(call: string, outs: readonly Tensor[], family: number): void {
  if (family > LAST_MISPLACING) return;
  const say = (text: string): void => warn("slice", `${call}: family ${family}: ${text}`, `${family} ${text}`);
  for (const node of topologicalOrder(outs)) {
    const parts = node.op === "concat" ? node.inputs.filter((part) => movesColumns(beginOf(part))).length : 0;
    if (parts >= 2) {
      say(
        `concat of ${parts} slices that start behind the first column gives wrong elements. ` +
          "Transpose the sliced axis away from the last place",
      );
    }
    if (family > LAST_SATURATING || !movesColumns(beginOf(node))) continue;
    say(
      `a slice that starts at ${show(beginOf(node)!)} makes magnitudes above ${FP16_SLICE_SAT} infinite. ` +
        "Keep values below, or transpose the sliced axis away from the last place",
    );
  }
}
