/**
 * A cost model fitted to published latencies. A dispatch costs
 *
 *     floor
 *     + bytes read / read rate + bytes written / write rate                copies between host and surfaces
 *     + per node:  max(operations / peak, weights / weight rate)           weights stream while the array computes
 *                  + (rows / 128 - 1)+ (weights - capacity)+ / restream rate
 *                                                                          weights that do not fit are streamed again
 *                                                                          for every further block of 128 rows
 *                  + elements * time of the pass + step
 *     + 2 (kept - arena)+ / arena rate                                     values between nodes that leave the chip
 *
 * with rows of surfaces rounded up to 64 bytes, and peak = operations per cycle * highest clock. Every term grows with its
 * counts. docs/cost.md compares it with the measurements and says where it does not extrapolate.
 *
 * @module
 */

import fitted from "./data/cost_fitted.json" with { type: "json" };
import { anchorOf, type Die, dieOf } from "./cost_die.ts";
import type { NodeWork, Pass, Work } from "./cost_work.ts";
import { familyOfArch } from "./targets.ts";

/** A machine whose measurements were fitted. */
export type CostChip = "M1" | "M1 Max" | "M2" | "M2 Pro" | "M5";

/** What was fitted per machine. */
export interface ChipParameters {
  /** Microseconds per dispatch. */
  readonly floorUs: number;
  /** Bytes per microsecond copied in. */
  readonly readRate: number;
  /** Bytes per microsecond copied out. */
  readonly writeRate: number;
  /** Bytes of weights per microsecond. */
  readonly weightRate: number;
}

/** What was fitted for all machines together. */
export interface SharedParameters {
  /** Operations per cycle of the highest clock. */
  readonly flopsPerCycle: number;
  /** Bytes of weights that stay on the chip. */
  readonly weightCapacity: number;
  /** Bytes per microsecond of weights that are streamed again. */
  readonly restreamRate: number;
  /** Bytes of values between nodes that stay on the chip. */
  readonly arenaCapacity: number;
  /** Bytes per microsecond of values that do not. */
  readonly arenaRate: number;
  /** Microseconds per node, on an M5. */
  readonly stepUs: number;
  /** Microseconds per million elements, on an M5. */
  readonly passUs: Readonly<Record<Pass, number>>;
}

/** All parameters. */
export interface FittedParameters {
  readonly shared: SharedParameters;
  readonly chips: Readonly<Record<CostChip, ChipParameters>>;
}

/** The parameters in use, written by tools/fit_cost.ts. */
export const FITTED: FittedParameters = fitted;

/** Rows of the left operand that one pass over the weights serves. */
const ROWS_PER_PASS = 128;

/** Machine that stands for a measured target, and the bytes one int8 weight takes while it streams there. */
const CHIPS: Readonly<Record<CostChip, { arch: string; int8Bytes: number }>> = {
  "M1": { arch: "h13", int8Bytes: 2 }, // expanded to fp16 when compiled
  "M1 Max": { arch: "h13g", int8Bytes: 2 },
  "M2": { arch: "h14", int8Bytes: 1 }, // 1.6 to 1.8 times as fast as fp16
  "M2 Pro": { arch: "h14", int8Bytes: 1 },
  "M5": { arch: "h17s", int8Bytes: 2 }, // 0.999 to 1.002 times as fast as fp16
};

/** Dies of 4, 8 and 16 cores reach the same operations per cycle; below and above, cores count in proportion. */
const EQUAL_CORES = { least: 4, most: 16 } as const;

/** What an estimate computes with: the parameters of a machine, brought to a target. */
export interface CostProfile extends ChipParameters {
  /** Machine whose measurements count. */
  readonly chip: CostChip;
  /** Whether the target is the machine's own, so that nothing was scaled. */
  readonly own: boolean;
  /** Operations per microsecond. */
  readonly peak: number;
  /** Microseconds per node. */
  readonly stepUs: number;
  /** Time of passes and bridges, relative to an M5. */
  readonly slowness: number;
  /** Bytes an int8 weight takes while it streams. */
  readonly int8Bytes: number;
  /** Whether convolutions use Winograd's F(2,3). */
  readonly winograd: boolean;
}

/** Targets of family 1 without a clock table get that of h11. */
function dieOrOldest(arch: string): Die {
  const name = arch.trim().toLowerCase();
  return familyOfArch(name) === 1 ? dieOf("h11") : dieOf(name);
}

/** peak = operations per cycle * highest clock * (1, or the cores' ratio outside 4..16). */
function peakOf({ row: { cores, maxMhz } }: Die, flopsPerCycle: number): number {
  const factor = Math.min(1, cores / EQUAL_CORES.least) * Math.max(1, cores / EQUAL_CORES.most);
  return flopsPerCycle * maxMhz * factor;
}

/** The machine that stands for a target. */
function chipOf(arch: string): CostChip {
  const own = (Object.keys(CHIPS) as CostChip[]).find((chip) => CHIPS[chip].arch === arch);
  return own ?? chipOf(anchorOf(arch).arch);
}

/**
 * The constants of a target. A target nobody measured gets those of its anchor: the floor over the ratio of clocks, rates
 * times the ratio of cores (both as in sbryngelson/ANEForge `aneforge/_cost.py`), the peak by its own clock.
 *
 * @param arch Name of the target.
 * @param chip Machine whose measurements count (default: that of the target or of its anchor).
 * @param parameters Parameters (default: the ones in use).
 * @returns The constants.
 * @throws {ArgumentError} The target is unknown.
 */
export function costProfile(arch: string, chip?: CostChip, parameters: FittedParameters = FITTED): CostProfile {
  const name = arch.trim().toLowerCase();
  const die = dieOrOldest(name);
  const stand = chip ?? chipOf(name);
  const base = dieOf(CHIPS[stand].arch);
  const own = CHIPS[stand].arch === name;
  const { floorUs, readRate, writeRate, weightRate } = parameters.chips[stand];
  const cores = own ? 1 : die.row.cores / base.row.cores;
  const slowness = dieOf(CHIPS.M5.arch).clock / die.clock;
  return {
    chip: stand,
    own,
    floorUs: own ? floorUs : floorUs * base.clock / die.clock,
    readRate: readRate * cores,
    writeRate: writeRate * cores,
    weightRate: weightRate * cores,
    peak: peakOf(die, parameters.shared.flopsPerCycle),
    stepUs: parameters.shared.stepUs * slowness,
    slowness,
    int8Bytes: CHIPS[stand].int8Bytes,
    winograd: /^h1[78]/.test(name),
  };
}

/** Time of one node, by cause. */
export interface NodeTime {
  /** The array and the vector unit, microseconds. */
  readonly computeUs: number;
  /** Copies, weights and values that leave the chip. */
  readonly bandwidthUs: number;
  /** Both, as far as they do not overlap. */
  readonly us: number;
}

/** (rows / 128 - 1)+ (weights - capacity)+ / restream rate; rows = operations / (2 weight elements). */
function restreamUs(work: NodeWork, bytes: number, shared: SharedParameters): number {
  const excess = bytes - shared.weightCapacity;
  if (excess <= 0) return 0;
  const rows = work.flops / work.weights;
  return Math.max(0, rows / ROWS_PER_PASS - 1) * excess / shared.restreamRate;
}

/**
 * Time of one node, without the floor.
 *
 * @param work The node, counted.
 * @param spill Share of the values between nodes that leaves the chip.
 * @param int8 Whether weights of matmul are int8.
 * @param profile Constants of the target.
 * @param shared Parameters all targets share.
 * @returns The times.
 */
export function nodeTime(
  work: NodeWork,
  spill: number,
  int8: boolean,
  profile: CostProfile,
  shared: SharedParameters = FITTED.shared,
): NodeTime {
  const { readRate, writeRate, weightRate, peak, slowness } = profile;
  const copies = work.read / readRate + work.written / writeRate;
  if (work.bridgeUs !== undefined) {
    const us = Math.max(profile.floorUs, work.bridgeUs * slowness);
    return { computeUs: us, bandwidthUs: copies, us: us + copies };
  }
  const bytes = int8 && work.packable ? work.weights * profile.int8Bytes / 2 : work.weights;
  const array = work.arrayFlops / peak;
  const stream = (work.again ? Math.max(0, bytes - shared.weightCapacity) : bytes) / weightRate;
  const pass = work.pass === undefined ? 0 : shared.passUs[work.pass] * work.elements * 1e-6 * slowness;
  const step = work.step ? profile.stepUs : 0;
  const moved = copies + restreamUs(work, bytes, shared) +
    2 * work.kept * spill / shared.arenaRate;
  return {
    computeUs: array + pass + step,
    bandwidthUs: stream + moved,
    us: Math.max(array, stream) + pass + step + moved,
  };
}

/**
 * Share of the values between nodes that leaves the chip: (kept - capacity)+ / kept.
 *
 * @param nodes The nodes, counted.
 * @param shared Parameters all targets share.
 * @returns 0 to 1.
 */
export function spillShare({ nodes }: Work, shared: SharedParameters = FITTED.shared): number {
  const kept = nodes.reduce((sum, node) => sum + node.kept, 0);
  return kept > shared.arenaCapacity ? (kept - shared.arenaCapacity) / kept : 0;
}

/**
 * Time outside the nodes: floors, and inputs handed through.
 *
 * @param work The graph, counted.
 * @param profile Constants of the target.
 * @returns Microseconds.
 */
export function dispatchUs({ regions, passed }: Work, { floorUs, readRate, writeRate }: CostProfile): number {
  return regions * floorUs + passed / readRate + passed / writeRate;
}

/**
 * Estimate of a graph that was counted.
 *
 * @param work The graph, counted.
 * @param int8 Whether weights of matmul are int8.
 * @param profile Constants of the target.
 * @param shared Parameters all targets share.
 * @returns Microseconds.
 */
export function fittedUs(
  work: Work,
  int8: boolean,
  profile: CostProfile,
  shared: SharedParameters = FITTED.shared,
): number {
  const spill = spillShare(work, shared);
  return work.nodes.reduce(
    (sum, node) => sum + nodeTime(node, spill, int8, profile, shared).us,
    dispatchUs(work, profile),
  );
}
