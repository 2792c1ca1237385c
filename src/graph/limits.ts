/**
 * Limits of the device that hold when a graph is built or lowered.
 *
 * @module
 */

/** Family that is assumed when none is given: M1, the lowest one that takes programs. */
export { MIN_FAMILY as FLOOR_FAMILY } from "../targets/targets.ts";

/** Largest rank of a tensor. */
export const MAX_RANK = 5;

/** Largest extent of one axis on any family; most families stop earlier. */
export const MAX_EXTENT = 65536;

/** `[first family, limit]`, ascending: the limit holds from that family on. */
type Steps = readonly (readonly [family: number, limit: number])[];

/** Widest convolution kernel: 13 columns up to A15, 15 from A16 on. The height has no cap of its own. */
const CONV_KERNEL_WIDTH: Steps = [[2, 13], [5, 15]];

/** Widest convolution kernel of any family: what the graph accepts before a target is known. */
export const MAX_CONV_KERNEL_WIDTH = 15;

/**
 * Widest convolution kernel of one family.
 *
 * @param family Capability family, 2 (M1) and up.
 * @returns The largest kernel width that compiles.
 */
export function convKernelWidth(family: number): number {
  return CONV_KERNEL_WIDTH.findLast(([first]) => first <= family)?.[1] ?? CONV_KERNEL_WIDTH[0]![1];
}
