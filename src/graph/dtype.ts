/**
 * Element types of graph values.
 *
 * @module
 */

/**
 * Element type of a graph value. Everything the device computes is `fp16`; `bool` exists only between a comparison and
 * `select`; the integer types exist only as input ports and must be cast before use.
 */
export type Dtype = "fp16" | "bool" | "uint8" | "int8" | "uint16" | "int16";

/** Element type an input or output port may have. */
export type PortDtype = Exclude<Dtype, "bool">;

/** Bytes per element of each type a port may have. */
export const PORT_BYTES: Readonly<Record<PortDtype, number>> = { fp16: 2, uint8: 1, int8: 1, uint16: 2, int16: 2 };

/**
 * Whether `dtype` may cross the boundary of a program.
 *
 * @param dtype The element type to look at.
 * @returns `true` for fp16 and the 8 and 16 bit integers.
 */
export function isPortDtype(dtype: string): dtype is PortDtype {
  return Object.hasOwn(PORT_BYTES, dtype);
}
