/**
 * The original's estimator, rule for rule: sbryngelson/ANEForge `aneforge/_cost.py`.
 *
 * @module
 */

import { NDArray } from "../graph/ndarray.ts";
import { sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { isBridge, nearestPointUs } from "./cost_bridge.ts";
import { anchorOf, dieOf, relativeToM1 } from "./cost_die.ts";
import { HOST_ROW, TARGET_CUT_US } from "./data/cost_dies.ts";

/** What the form with a target computes with. */
export interface OriginalConstants {
  /** Microseconds per region. */
  readonly floorUs: number;
  /** Bytes per microsecond. */
  readonly bandwidth: number;
  /** Operations per microsecond. */
  readonly peak: number;
  /** Below `flops` operations the peak falls with the power `exponent` of their share. */
  readonly ramp: { readonly flops: number; readonly exponent: number } | null;
}

/**
 * Every array a node holds: weights, bias, gains, baked constants.
 *
 * @param node The node.
 * @returns The arrays.
 */
export function weightArrays({ attrs }: Tensor): NDArray[] {
  return Object.values(attrs).filter((value) => value instanceof NDArray);
}

/**
 * Elements of every array a node holds.
 *
 * @param node The node.
 * @returns Their number.
 */
export function weightElements(node: Tensor): number {
  return weightArrays(node).reduce((sum, { size }) => sum + size, 0);
}

function kernel({ attrs }: Tensor): readonly number[] | undefined {
  return attrs.weight instanceof NDArray ? attrs.weight.shape : undefined;
}

/** Closed forms; every other operation counts 0. conv_transpose counts output pixels, as the original does. */
const FLOPS: Readonly<Record<string, (node: Tensor) => number>> = {
  matmul: (node) => 2 * node.size * (kernel(node)?.[1] ?? node.inputs[0]!.shape.at(-1)!),
  bmm: ({ inputs: [a, b] }) => 2 * a!.size * b!.shape.at(-1)!,
  conv: (node) => {
    const weight = kernel(node);
    return weight === undefined ? 0 : 2 * node.size * sizeOf(weight.slice(1));
  },
  conv_transpose: (node) => {
    const weight = kernel(node);
    return weight === undefined ? 0 : 2 * node.shape[0]! * sizeOf(node.shape.slice(2)) * sizeOf(weight);
  },
};

const flopsOf = (node: Tensor): number => FLOPS[node.op]?.(node) ?? 0;

/** 2 bytes per element of every operand (once per edge), the result and the weights; int8 halves those of a matmul. */
function bytesOf(node: Tensor, int8: boolean): number {
  const activations = node.inputs.reduce((sum, { size }) => sum + size, node.size);
  return 2 * activations + (int8 && node.op === "matmul" ? 1 : 2) * weightElements(node);
}

/**
 * Constants of a target: those of its anchor, the floor scaled by the clock, bandwidth by the cores, the peak by both.
 *
 * @param arch Name of the target.
 * @returns The constants.
 * @throws {ArgumentError} The target is unknown, or has no clock table.
 */
export function originalConstants(arch: string): OriginalConstants {
  const die = dieOf(arch);
  const anchor = anchorOf(arch);
  const base = dieOf(anchor.arch);
  const rel = relativeToM1(die) / relativeToM1(base);
  return {
    floorUs: anchor.floorUs / (die.clock / base.clock),
    bandwidth: anchor.bandwidth * die.row.cores / base.row.cores,
    peak: anchor.peak * rel,
    ramp: anchor.ramp && { flops: anchor.ramp.flops * rel, exponent: anchor.ramp.exponent },
  };
}

interface Parts {
  readonly region: readonly Tensor[];
  readonly bridges: readonly Tensor[];
  /** Fused programs; n bridges cut a graph into n + 1. */
  readonly regions: number;
}

function partsOf(outs: readonly Tensor[]): Parts {
  const nodes = topologicalOrder(outs).filter(({ op }) => op !== "input");
  const bridges = nodes.filter(({ op }) => isBridge(op));
  const region = nodes.filter(({ op }) => !isBridge(op));
  return { region, bridges, regions: bridges.length === 0 ? 1 : region.length > 0 ? bridges.length + 1 : 0 };
}

/** floor + sum of max(0, max(floor, bytes/B, flops/P) - floor), bridges by measured points, less an int8 discount. */
function hostUs(outs: readonly Tensor[], int8: boolean): number {
  const { floorUs, cutUs, bandwidth, peak } = HOST_ROW;
  const { region, bridges, regions } = partsOf(outs);
  const nodeUs = (node: Tensor): number => Math.max(floorUs, bytesOf(node, int8) / bandwidth, flopsOf(node) / peak);
  const work = region.reduce((sum, node) => sum + nodeUs(node) - floorUs, 0);
  const bridgeUs = bridges.reduce((sum, node) => sum + (nearestPointUs(node, floorUs) ?? nodeUs(node)) + cutUs, 0);
  const products = region.filter(({ op }) => op === "matmul");
  const elements = products.reduce((sum, node) => sum + weightElements(node), 0);
  const discount = int8 ? Math.min(0.49 * floorUs, 0.5 * elements / bandwidth) : 0;
  return regions * floorUs + work + bridgeUs - discount;
}

/** floor + sum of max(bytes/bandwidth, flops/(peak min(1, (flops/F)^q))), 200 us more per bridge. */
function targetUs(outs: readonly Tensor[], arch: string, int8: boolean): number {
  const { floorUs, bandwidth, peak, ramp } = originalConstants(arch);
  const { region, bridges, regions } = partsOf(outs);
  const nodeUs = (node: Tensor): number => {
    const flops = flopsOf(node);
    const share = ramp && flops > 0 ? Math.min(1, (flops / ramp.flops) ** ramp.exponent) : 1;
    return Math.max(bytesOf(node, int8) / bandwidth, flops / (peak * share));
  };
  const work = [...region, ...bridges].reduce((sum, node) => sum + nodeUs(node), 0);
  return regions * floorUs + work + bridges.length * TARGET_CUT_US;
}

/**
 * The original's estimate of a graph.
 *
 * @param outs The values to compute.
 * @param arch Target; without one the calibration of an M5 Pro counts.
 * @param int8 Whether weights of matmul are int8.
 * @returns Microseconds.
 */
export function originalUs(outs: readonly Tensor[], arch: string | undefined, int8: boolean): number {
  return arch === undefined ? hostUs(outs, int8) : targetUs(outs, arch, int8);
}
