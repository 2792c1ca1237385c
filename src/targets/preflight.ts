/**
 * Whether a graph fits a family, from tables alone: no compiler and no device.
 *
 * @module
 */

import { ArgumentError, ShapeError, UnsupportedOpError } from "../errors.ts";
import { NDArray } from "../graph/ndarray.ts";
import { type Shape, show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import {
  FAMILIES,
  familyOf,
  limit,
  type LimitName,
  MAX_FAMILY,
  MIN_FAMILY,
  opFloorRow,
  type OpStatus,
  opStatus,
  supportsMil,
  type Target,
} from "./targets.ts";

/** The first extent of a node that is larger than a limit. */
export interface Excess {
  /** The limit. */
  readonly limit: LimitName;
  /** What is measured: an axis of the result, the kernel width, or an axis that only the lowering has. */
  readonly what: "axis" | "kernel width" | "group size";
  /** Axis of the result, or of the weight for the kernel width; absent for a group size. */
  readonly axis?: number;
  /** What the node has. */
  readonly extent: number;
  /** What the family takes. */
  readonly cap: number;
}

/** One node of a graph, as a family sees it. */
export interface PreflightEntry extends Partial<Excess> {
  /** Name of the operation. */
  readonly op: string;
  /** Extents of the result. */
  readonly shape: Shape;
  /** Whether the family has the operation. */
  readonly status: OpStatus;
  /** Whether an extent is larger than the family takes; `extent` and `cap` then say which. */
  readonly oversize: boolean;
  /** What to do about it; absent when nothing has to be done. */
  readonly suggestion?: string;
}

/** What {@linkcode preflight} found. */
export interface Preflight {
  /** The family that was asked about. */
  readonly family: number;
  /** Nodes it has the operation for, inputs and constants among them. */
  readonly native: readonly PreflightEntry[];
  /** Nodes that need something in their place, see their suggestion. */
  readonly decompose: readonly PreflightEntry[];
  /** Nodes it has nothing for. */
  readonly reject: readonly PreflightEntry[];
  /** Nodes with an extent it does not take; they are in one of the other lists too. */
  readonly oversize: readonly PreflightEntry[];
  /** Whether nothing is rejected and nothing is too large. */
  readonly ok: boolean;
}

/** Depth-first pre-order, the cone of a node's last operand first. */
function preOrder(outs: readonly Tensor[]): Tensor[] {
  const order = new Set<Tensor>();
  const stack = [...outs].reverse();
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (order.has(node)) continue;
    if (!Array.isArray(node?.inputs)) throw new ArgumentError("preflight: expected a tensor or a list of tensors");
    order.add(node);
    stack.push(...node.inputs);
  }
  return [...order];
}

/** Transposes, and inputs that one of them reads: their extents are bounded by the width of an offset. */
function wideNodes(nodes: readonly Tensor[]): Set<Tensor> {
  const transposes = nodes.filter(({ op }) => op === "transpose");
  return new Set([...transposes, ...transposes.flatMap(({ inputs }) => inputs.filter(({ op }) => op === "input"))]);
}

/** Limit of each axis: by what reads it, then by rank. */
function axisLimit(node: Tensor, axis: number, wide: boolean): LimitName {
  if (wide) return "transpose_extent";
  return node.shape.length === 4 && axis === 1 ? "channel_extent" : "max_tensor_dim";
}

/** group_norm becomes [1, G, C/G, H W]: the larger of the last two, while it is more than any axis shows. */
function groupSize({ op, shape, attrs }: Tensor): number {
  if (op !== "group_norm" || shape.length !== 4) return 0;
  const [, channels, height, width] = shape as readonly [number, number, number, number];
  return Math.max(Math.floor(channels / (Number(attrs.groups) || 1)), height * width);
}

/** Columns of a baked convolution kernel; its last axis in both layouts. */
function kernelWidth({ op, attrs }: Tensor): number {
  if (op !== "conv" && op !== "conv_transpose") return 0;
  return attrs.weight instanceof NDArray ? attrs.weight.shape.at(-1) ?? 0 : 0;
}

function findExcess(node: Tensor, family: number, wide: boolean): Excess | undefined {
  const over = (name: LimitName, what: Excess["what"], extent: number, axis?: number): Excess | undefined => {
    const cap = limit(name, family);
    return extent > cap ? { limit: name, what, ...(axis === undefined ? {} : { axis }), extent, cap } : undefined;
  };
  for (const [axis, extent] of node.shape.entries()) {
    const found = over(axisLimit(node, axis, wide), "axis", extent, axis);
    if (found) return found;
  }
  return over("max_tensor_dim", "group size", groupSize(node)) ??
    over("conv_kw_max", "kernel width", kernelWidth(node), 3);
}

/** "family 5 (A16) or later takes it", when that is so. */
function firstFamilyTaking({ limit: name, extent }: Excess, family: number): string {
  for (let later = family + 1; later <= MAX_FAMILY; later++) {
    if (extent <= limit(name, later)) return `, or ${fromFamily(later)}`;
  }
  return "";
}

const familyName = (family: number): string => FAMILIES[family - 1]!.name;

function shrink(excess: Excess, family: number): string {
  const { what, axis, cap } = excess;
  const way = what === "kernel width"
    ? "transpose image and kernel, since the height has no cap, or add the results of two narrower kernels"
    : what === "group size"
    ? "use more groups, or normalise the image in tiles"
    : `reshape so that axis ${axis} becomes two, or work on slices of at most ${cap}`;
  return way + firstFamilyTaking(excess, family);
}

const fromFamily = (family: number): string => `choose a target of family ${family} (${familyName(family)}) or later`;

/** What to do about an operation the family lacks. */
function advise(op: string, status: OpStatus): string | undefined {
  if (status === "native") return undefined;
  const row = opFloorRow(op)!;
  return status === "decompose" ? row.instead : `${fromFamily(row.family)}, or: ${row.instead}`;
}

function toEntry(node: Tensor, family: number, wide: boolean): PreflightEntry {
  const { op, shape } = node;
  if (!supportsMil(family)) {
    return { op, shape, status: "reject", oversize: false, suggestion: fromFamily(MIN_FAMILY) };
  }
  const status = opStatus(op, family);
  const excess = findExcess(node, family, wide);
  const advice = [advise(op, status), excess && shrink(excess, family)].filter((text) => text !== undefined);
  return {
    op,
    shape,
    status,
    oversize: excess !== undefined,
    ...excess,
    ...(advice.length > 0 ? { suggestion: advice.join("; ") } : {}),
  };
}

/**
 * Sorts the nodes of a graph by what a family makes of them. Nothing is compiled. On a family below 2 (M1) every node is
 * rejected.
 *
 * @example
 * ```ts
 * import { input, preflight } from "../../mod.ts";
 *
 * const report = preflight(input([1, 20000]).relu(), "h13");
 * console.log(report.ok, report.oversize[0]); // false, { op: "relu", axis: 1, extent: 20000, cap: 16384, .. }
 * ```
 *
 * @param out The value to compute, or several.
 * @param target Compiler target such as `h13`, or a family number.
 * @returns The nodes by status, and whether the graph fits.
 * @throws {ArgumentError} The target is not known, or a value is not a tensor.
 */
export function preflight(out: Tensor | readonly Tensor[], target: Target): Preflight {
  const family = familyOf(target);
  const nodes = preOrder(Array.isArray(out) ? out : [out as Tensor]);
  const wide = wideNodes(nodes);
  const entries = nodes.map((node) => toEntry(node, family, wide.has(node)));
  const of = (status: OpStatus): PreflightEntry[] => entries.filter((entry) => entry.status === status);
  const reject = of("reject");
  const oversize = entries.filter((entry) => entry.oversize);
  const ok = reject.length === 0 && oversize.length === 0;
  return { family, native: of("native"), decompose: of("decompose"), reject, oversize, ok };
}

/** "relu [1, 20000]: axis 1 has 20000 elements, the family takes 16384; reshape ..". */
function tooLarge({ op, shape, what, axis, extent, cap, suggestion }: PreflightEntry): string {
  const part = what === "axis" ? `axis ${axis} has ${extent} elements` : `its ${what} is ${extent}`;
  return `${op} ${show(shape)}: ${part}, the family takes ${cap}; ${suggestion}`;
}

/**
 * What keeps a graph from a family, in one sentence.
 *
 * @param report What {@linkcode preflight} found.
 * @returns The rejected operations, else the largest excess; `undefined` when the graph fits.
 */
export function obstacle({ family, reject, oversize }: Preflight): string | undefined {
  const name = `capability family ${family} (${familyName(family)})`;
  if (!supportsMil(family)) return `${name} takes no MIL programs; ${fromFamily(MIN_FAMILY)}`;
  if (reject.length > 0) {
    const ops = [...new Set(reject.map(({ op }) => op))].sort();
    const ways = [...new Set(reject.map(({ suggestion }) => suggestion))];
    return `${name} has no ${ops.join(", ")}; ${ways.join("; ")}`;
  }
  if (oversize.length === 0) return undefined;
  const worst = oversize.reduce((a, b) => (b.extent! / b.cap! > a.extent! / a.cap! ? b : a));
  const more = oversize.length > 1 ? ` (and ${oversize.length - 1} more like it)` : "";
  return `${name}: ${tooLarge(worst)}${more}`;
}

/**
 * Lets a graph pass that fits a family.
 *
 * @param call Function named in the message.
 * @param outs The values to compute.
 * @param family Family number, 2 or more.
 * @throws {UnsupportedOpError} The family has nothing for an operation.
 * @throws {ShapeError} An extent is larger than the family takes.
 */
export function requireFit(call: string, outs: readonly Tensor[], family: number): void {
  const report = preflight(outs, family);
  if (report.ok) return;
  const Kind = report.reject.length > 0 ? UnsupportedOpError : ShapeError;
  throw new Kind(`${call}: ${obstacle(report)}`);
}
