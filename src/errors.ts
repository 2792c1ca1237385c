/**
 * The errors this module throws. Every message names the operation, what was given, what was expected, and the way out.
 *
 * @module
 */

/** Base class of every error thrown by this module. */
export class AneforgeError extends Error {
  /** Class name, as printed in front of the message. */
  override name = "AneforgeError";
}

/** A shape, rank, axis or extent is not what the operation accepts. */
export class ShapeError extends AneforgeError {
  override name = "ShapeError";
}

/** An element type is not what the operation or port accepts. */
export class DtypeError extends AneforgeError {
  override name = "DtypeError";
}

/** An argument other than a shape or dtype is out of range or of the wrong kind. */
export class ArgumentError extends AneforgeError {
  override name = "ArgumentError";
}

/** The operation, or the combination asked for, does not exist on the device; the message says why. */
export class UnsupportedOpError extends AneforgeError {
  override name = "UnsupportedOpError";
}

/** The compiler of the device refused the program. */
export class CompileError extends AneforgeError {
  override name = "CompileError";
}

/** A compile was attempted too soon after a failed one, in strict mode (`ANEFORGE_COMPILE_BREAKER_STRICT=1`). */
export class CompileBackoffError extends AneforgeError {
  override name = "CompileBackoffError";
}

/** Feeding, running or reading a program failed. */
export class DispatchError extends AneforgeError {
  override name = "DispatchError";
}

/** A model, program or array view was used after it was released. */
export class ReleasedError extends AneforgeError {
  override name = "ReleasedError";
}

/** The device, its library or the C compiler that builds it is missing or unusable. */
export class DeviceError extends AneforgeError {
  override name = "DeviceError";
}

/** A file (weights, data set, checkpoint) is missing, truncated or malformed. */
export class DataError extends AneforgeError {
  override name = "DataError";
}
