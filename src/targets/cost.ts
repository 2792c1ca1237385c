/**
 * How long a program takes on an engine, without one: estimates from a model fitted to published latencies, and from the
 * original's formulas.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";
import { type Shape, sizeOf } from "../graph/shape.ts";
import { Tensor } from "../graph/tensor.ts";
import { anchorOf } from "./cost_die.ts";
import {
  type CostChip,
  type CostProfile,
  costProfile,
  dispatchUs,
  FITTED,
  fittedUs,
  type NodeTime,
  nodeTime,
  spillShare,
} from "./cost_fitted.ts";
import { originalUs, weightElements } from "./cost_original.ts";
import { countWork, type NodeWork } from "./cost_work.ts";
import { archForFamily, familyOfArch, type Target } from "./targets.ts";

export type { CostChip } from "./cost_fitted.ts";
export { type PeakProjection, projectPeak } from "./cost_die.ts";

/** Options of {@linkcode estimate}. */
export interface EstimateOptions {
  /** Compiler target such as `h13`, or a family number (default: the M5 and M5 Pro most measurements come from). */
  target?: Target;
  /** Count the weights of matmul as int8 (default `false`). */
  int8?: boolean;
  /** `fitted` (default), or `original` for the formulas of the Python original. */
  model?: "fitted" | "original";
  /**
   * Machine whose measurements count, for `fitted` (default: the target's). Machines with one target differ in the rate of
   * copies: M2 and M2 Pro are both `h14`.
   */
  chip?: CostChip;
}

/** What an estimate for a target rests on. */
export interface EstimateProvenance {
  /** The target, lower case. */
  readonly target: string;
  /** The original's anchor: the measured target that stands for this one. */
  readonly anchor: string;
  /** Whether silicon of the target's family was measured. */
  readonly measured: boolean;
  /** `silicon`, or `extrapolated-from-` and the anchor. */
  readonly basis: string;
  /** The same for the fitted model. */
  readonly fitted: {
    /** Machine whose measurements count. */
    readonly chip: CostChip;
    /** Whether that machine has this very target. */
    readonly measured: boolean;
    /** `fitted`, or how its figures were brought to this target. */
    readonly basis: string;
  };
}

/** What decides about the time of an operation. */
export type Bound = "compute" | "bandwidth" | "floor";

/** One operation of {@linkcode roofline}. */
export interface RooflineRow {
  /** Name of the operation. */
  readonly op: string;
  /** Extents of the result. */
  readonly shape: Shape;
  /** Multiplications and additions. */
  readonly flops: number;
  /** Bytes of operands, result and weights in fp16. */
  readonly bytes: number;
  /** flops / bytes. */
  readonly intensity: number;
  /** What takes longest: arithmetic, moving data, or the operation's share of the dispatch floor. */
  readonly bound: Bound;
  /** Microseconds, without the floor. */
  readonly us: number;
}

/** What {@linkcode roofline} gives. */
export interface Roofline {
  /** The target, lower case. */
  readonly target: string;
  /** Operations per microsecond the array reaches. */
  readonly peak: number;
  /** One row per node, inputs left out, in the order of evaluation. */
  readonly ops: readonly RooflineRow[];
  /** Sums over the rows; `us` contains the floor and is what {@linkcode estimate} gives. */
  readonly totals: Omit<RooflineRow, "op" | "shape"> & { readonly floorUs: number };
}

/** Target of the fitted model when none is given. */
const DEFAULT_ARCH = "h17s";

function rootsOf(call: string, out: Tensor | readonly Tensor[]): readonly Tensor[] {
  const outs = out instanceof Tensor ? [out] : out;
  if (Array.isArray(outs) && outs.length > 0 && outs.every((node) => node instanceof Tensor)) return outs;
  throw new ArgumentError(`${call}: expected a Tensor or a list of at least one`);
}

/** Lower case name of a target; a family is its representative. Checks that it is known. */
function archOf(target: Target): string {
  const arch = typeof target === "number" ? archForFamily(target) : target.trim().toLowerCase();
  familyOfArch(arch);
  return arch;
}

const CHIP_NAMES = Object.keys(FITTED.chips);

function profileOf(call: string, target: Target | undefined, chip: CostChip | undefined): CostProfile {
  if (chip !== undefined && !CHIP_NAMES.includes(chip)) {
    throw new ArgumentError(`${call}: chip is ${JSON.stringify(chip)}; expected one of ${CHIP_NAMES.join(", ")}`);
  }
  return costProfile(target === undefined ? DEFAULT_ARCH : archOf(target), chip);
}

/**
 * Estimates how long a dispatch of a graph takes, host to host.
 *
 * The fitted model and how far off it is are described in docs/cost.md. `original` follows sbryngelson/ANEForge
 * `aneforge/_cost.py` to the digit; there no target means its calibration on an M5 Pro.
 *
 * @example
 * ```ts
 * import { estimate, input } from "../../mod.ts";
 *
 * const x = input([256, 1024]);
 * estimate(x.softmax(), { target: "h13" }); // microseconds on an M1
 * estimate(x.softmax(), { model: "original" });
 * ```
 *
 * @param out The value to compute, or several.
 * @param options Target, weights, model.
 * @returns Microseconds.
 * @throws {ArgumentError} The target, model or chip is unknown; for `original` also a target without a clock table.
 */
export function estimate(out: Tensor | readonly Tensor[], options: EstimateOptions = {}): number {
  const outs = rootsOf("estimate", out);
  const { target, int8 = false, model = "fitted", chip } = options;
  if (model === "original") {
    if (chip !== undefined) throw new ArgumentError("estimate: chip belongs to the fitted model, not to the original");
    return originalUs(outs, target === undefined ? undefined : archOf(target), int8);
  }
  if (model !== "fitted") {
    throw new ArgumentError(`estimate: model is ${JSON.stringify(model)}; expected "fitted" or "original"`);
  }
  const profile = profileOf("estimate", target, chip);
  return fittedUs(countWork(outs, profile.winograd), int8, profile);
}

/**
 * Says what an estimate for a target rests on: measurements of it, or of another one, scaled.
 *
 * @example
 * ```ts
 * import { estimateProvenance } from "../../mod.ts";
 *
 * estimateProvenance("h15").basis; // "extrapolated-from-h14"
 * ```
 *
 * @param arch Name of the target.
 * @returns Anchor and basis, for both models.
 * @throws {ArgumentError} The target is unknown.
 */
export function estimateProvenance(arch: string): EstimateProvenance {
  const target = archOf(arch);
  const anchor = anchorOf(target).arch;
  const measured = [2, 3, 5].includes(familyOfArch(target));
  const { chip, own } = costProfile(target);
  return {
    target,
    anchor,
    measured,
    basis: measured ? "silicon" : `extrapolated-from-${anchor}`,
    fitted: {
      chip,
      measured: own,
      basis: own ? "fitted" : `scaled from ${chip}: floor by clock, rates by cores, peak by the target's own clock`,
    },
  };
}

function rowOf({ node, flops }: NodeWork, { computeUs, bandwidthUs, us }: NodeTime, share: number): RooflineRow {
  const elements = node.inputs.reduce((sum, { shape }) => sum + sizeOf(shape), node.size) + weightElements(node);
  const bytes = 2 * elements;
  const bound = us < share ? "floor" : computeUs >= bandwidthUs ? "compute" : "bandwidth";
  return { op: node.op, shape: node.shape, flops, bytes, intensity: flops / bytes, bound, us };
}

/**
 * Says for every operation of a graph what it asks for and what its time is bound by, with the fitted model.
 *
 * Copies of an input count for the operation that reads it first, copies of a result for the one that computes it. An
 * operation is bound by the floor when it takes less time than its equal share of it: then fusing more operations into
 * the program pays, making this one faster does not.
 *
 * @example
 * ```ts
 * import { input, roofline } from "../../mod.ts";
 *
 * const { ops, totals } = roofline(input([64, 256]).relu(), "h17s");
 * console.log(ops[0].bound, totals.us);
 * ```
 *
 * @param out The value to compute, or several.
 * @param target Compiler target, or a family number (default as in {@linkcode estimate}).
 * @returns A row per operation, and the sums.
 * @throws {ArgumentError} The target is unknown.
 */
export function roofline(out: Tensor | readonly Tensor[], target?: Target): Roofline {
  const outs = rootsOf("roofline", out);
  const profile = profileOf("roofline", target, undefined);
  const work = countWork(outs, profile.winograd);
  const floorUs = dispatchUs(work, profile);
  const spill = spillShare(work);
  const times = work.nodes.map((node) => nodeTime(node, spill, false, profile));
  const ops = work.nodes.map((node, i) => rowOf(node, times[i]!, floorUs / work.nodes.length));
  const sum = (of: (i: number) => number): number => ops.reduce((total, _, i) => total + of(i), 0);
  const [compute, bandwidth] = [sum((i) => times[i]!.computeUs), sum((i) => times[i]!.bandwidthUs)];
  const [flops, bytes, us] = [sum((i) => ops[i]!.flops), sum((i) => ops[i]!.bytes), sum((i) => ops[i]!.us)];
  const bound = us < floorUs ? "floor" : compute >= bandwidth ? "compute" : "bandwidth";
  const totals = { flops, bytes, intensity: bytes > 0 ? flops / bytes : 0, bound, us: us + floorUs, floorUs } as const;
  return { target: target === undefined ? DEFAULT_ARCH : archOf(target), peak: profile.peak, ops, totals };
}
