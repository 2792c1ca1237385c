/**
 * Checks of scalar arguments. Every check takes the name of the operation, which starts the message.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";

/**
 * What a value is, for messages.
 *
 * @param value Anything.
 * @returns For example `a Uint8Array` or `undefined`.
 */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "object") return `a ${value.constructor?.name ?? "object"}`;
  return `a ${typeof value}`;
}

/**
 * Checks that a number is an integer of at least `least`.
 *
 * @param op Operation named in the message.
 * @param label What the number is.
 * @param value The number.
 * @param least Smallest value accepted.
 * @returns `value`.
 * @throws {ArgumentError} otherwise.
 */
export function checkInteger(op: string, label: string, value: number, least: number): number {
  if (Number.isInteger(value) && value >= least) return value;
  throw new ArgumentError(`${op}: ${label} is ${value}; expected an integer of at least ${least}`);
}

/**
 * Checks an argument that is an object with named parts.
 *
 * @param op Operation named in the message.
 * @param label What the object is.
 * @param value The argument.
 * @returns `value`.
 * @throws {ArgumentError} when it is something else.
 */
export function checkRecord<T extends object>(op: string, label: string, value: T): T {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new ArgumentError(`${op}: ${label} must be an object, got ${describe(value)}`);
}

/**
 * Checks a scalar argument.
 *
 * @param op Operation named in the message.
 * @param label What the number is.
 * @param value The number; infinities are allowed.
 * @returns `value`.
 * @throws {ArgumentError} when it is not a number or is NaN.
 */
export function checkNumber(op: string, label: string, value: unknown): number {
  if (typeof value === "number" && !Number.isNaN(value)) return value;
  throw new ArgumentError(`${op}: ${label} is ${Number.isNaN(value) ? "NaN" : describe(value)}; expected a number`);
}
