/**
 * Limits of the device that hold when a graph is built or lowered.
 *
 * @module
 */

import { limit, MAX_FAMILY, MIN_FAMILY } from "../targets/targets.ts";

/** Family that is assumed when none is given: M1, the lowest one that takes programs. */
export const FLOOR_FAMILY = MIN_FAMILY;

/** Largest rank of a tensor. */
export const MAX_RANK = 5;

/** Largest extent of one axis on any family; most families stop earlier. */
export const MAX_EXTENT: number = limit("max_tensor_dim", MAX_FAMILY);

/** Widest convolution kernel of any family: what the graph accepts before a target is known. */
export const MAX_CONV_KERNEL_WIDTH: number = limit("conv_kw_max", MAX_FAMILY);

/**
 * Widest convolution kernel of one family: 13 columns up to A15, 15 from A16 on. The height has no cap of its own.
 *
 * @param family Capability family, 2 (M1) and up.
 * @returns The largest kernel width that compiles.
 */
export function convKernelWidth(family: number): number {
  return limit("conv_kw_max", family);
}
