/**
 * IEEE 754 binary16: conversion, rounding, and the spelling program text uses.
 *
 * @module
 */

/** Largest finite fp16 value. */
export const FP16_MAX = 65504;

const half = new Float16Array(1);
const halfWord = new Uint16Array(half.buffer);
const double = new Float64Array(1);
const doubleWords = new Uint32Array(double.buffer);
const single = new Float32Array(1);
const singleWord = new Uint32Array(single.buffer);

/**
 * The 16 bits of `value` rounded to fp16, nearest even.
 *
 * @param value Any number; beyond 65520 in magnitude it becomes infinity.
 * @returns Bits, 0 to 65535.
 */
export function toHalfBits(value: number): number {
  half[0] = value;
  return halfWord[0]!;
}

/**
 * The number fp16 bits stand for.
 *
 * @param bits Bits, 0 to 65535.
 * @returns The exact value.
 */
export function fromHalfBits(bits: number): number {
  halfWord[0] = bits;
  return half[0]!;
}

/**
 * `value` rounded to fp16, nearest even.
 *
 * @param value Any number.
 * @returns The nearest fp16 value.
 */
export function roundHalf(value: number): number {
  half[0] = value;
  return half[0]!;
}

/**
 * The little-endian fp16 bytes of `values`, each rounded to nearest even.
 *
 * @param values Numbers to convert.
 * @returns Two bytes per value.
 */
export function halfBytes(values: Float32Array | Float64Array | readonly number[]): Uint8Array {
  return new Uint8Array(new Float16Array(values).buffer);
}

/**
 * A float32 for `value` that rounds to the same fp16 as `value` itself does. Plain float32 rounding can land exactly
 * between two fp16 values and then round the wrong way; in that case the float32 next to it, on the side of `value`, is
 * returned.
 *
 * @param value A double.
 * @returns The nearest float32, or its neighbour.
 */
export function float32ForHalf(value: number): number {
  const nearest = Math.fround(value);
  if (nearest === value || Number.isNaN(value) || toHalfBits(nearest) === toHalfBits(value)) return nearest;
  single[0] = nearest;
  singleWord[0]! += (value > nearest) === (nearest > 0) ? 1 : -1;
  return single[0]!;
}

/**
 * `value` rounded to fp16 and spelled the way program text spells it: C's `%a` of the double with 13 fraction digits,
 * `0x0.0p+0` for zero, `inf` and `nan`.
 *
 * @param value Any number.
 * @returns For example `0x1.9980000000000p-4` for 0.1.
 */
export function hexFloat(value: number): string {
  const rounded = roundHalf(value);
  if (Number.isNaN(rounded)) return "nan";
  const sign = rounded < 0 || Object.is(rounded, -0) ? "-" : "";
  if (rounded === 0) return `${sign}0x0.0p+0`;
  if (!Number.isFinite(rounded)) return `${sign}inf`;
  double[0] = rounded;
  const low = doubleWords[0]!;
  const high = doubleWords[1]!;
  const digits = (high & 0xfffff).toString(16).padStart(5, "0") + low.toString(16).padStart(8, "0");
  const exponent = ((high >>> 20) & 0x7ff) - 1023;
  return `${sign}0x1.${digits}p${exponent < 0 ? "" : "+"}${exponent}`;
}
