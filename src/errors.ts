/**
 * The errors this module throws. Every message names the operation, what was given, what was expected, and the way out.
 *
 * @module
 */

/** Base class of every error thrown by this module. */
export class AneforgeError extends Error {
  /**
   * An error whose name, printed in front of the message, is that of its class.
   *
   * @param message What went wrong and the way out.
   * @param options Its cause.
   */
  constructor(message?: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A shape, rank, axis or extent is not what the operation accepts. */
export class ShapeError extends AneforgeError {}

/** An element type is not what the operation or port accepts. */
export class DtypeError extends AneforgeError {}

/** An argument other than a shape or dtype is out of range or of the wrong kind. */
export class ArgumentError extends AneforgeError {}

/** The operation, or the combination asked for, does not exist on the device; the message says why. */
export class UnsupportedOpError extends AneforgeError {}

/** The compiler of the device refused the program. */
export class CompileError extends AneforgeError {}

/** A compile was attempted too soon after a failed one, in strict mode (`ANEFORGE_COMPILE_BREAKER_STRICT=1`). */
export class CompileBackoffError extends AneforgeError {}

/** Feeding, running or reading a program failed. */
export class DispatchError extends AneforgeError {}

/** A model, program or array view was used after it was released. */
export class ReleasedError extends AneforgeError {}

/** The device, its library or the C compiler that builds it is missing or unusable. */
export class DeviceError extends AneforgeError {}

/** A file (weights, data set, checkpoint) is missing, truncated or malformed. */
export class DataError extends AneforgeError {}
