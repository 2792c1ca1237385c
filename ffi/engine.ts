/**
 * What the host device's engine tells about a program file.
 *
 * @module
 */

import { CompileError, DeviceError } from "../src/errors.ts";
import { openDevice } from "./device.ts";
import { cString, fromCString } from "./library.ts";
import type { Symbols } from "./symbols.ts";

const AF_E_MISSING = 8;
const FIRST_SIZE = 1 << 16;

type Call = (
  symbols: Symbols,
  handle: Deno.PointerObject,
  text: Uint8Array<ArrayBuffer>,
  length: BigUint64Array<
    ArrayBuffer
  >,
) => number;

/** Text of a call that writes to a buffer, asked again when it did not fit; undefined when the device has no such call. */
function textOf(name: string, milPath: string, call: Call): string | undefined {
  const { library: { symbols }, handle } = openDevice();
  const length = new BigUint64Array(1);
  for (let size = FIRST_SIZE;;) {
    const text = new Uint8Array(size);
    const status = call(symbols, handle, text, length);
    if (status === AF_E_MISSING) return undefined;
    if (status !== 0) {
      const Kind = status === 3 ? CompileError : DeviceError;
      throw new Kind(`${name} failed (mil=${milPath}): ${fromCString(symbols.af_last_error())}`);
    }
    const bytes = Number(length[0]);
    if (bytes < size) return new TextDecoder().decode(text.subarray(0, bytes));
    size = bytes + 1;
  }
}

/**
 * How the device runs a program: steps, fused groups, memory.
 *
 * @param milPath Path of the MIL text; the weights lie beside it.
 * @param target Compiler target. Default: this device's own.
 * @returns The text; on the ane device a sentence, since the vendor's compiler does not report it.
 * @throws {CompileError} The program is not valid.
 */
export function planText(milPath: string, target = ""): string {
  const path = cString(milPath), arch = cString(target);
  const call: Call = (symbols, handle, text, length) =>
    symbols.af_explain(
      handle,
      path as Uint8Array<ArrayBuffer>,
      arch as Uint8Array<ArrayBuffer>,
      text,
      BigInt(text.length),
      length,
    );
  return textOf("af_explain", milPath, call) ?? "the vendor's compiler does not report how it runs a program\n";
}

/**
 * Runs a program once, operation by operation, and says what the arithmetic lost.
 *
 * @param milPath Path of the MIL text; the weights lie beside it.
 * @param inputs The inputs' bytes in port order.
 * @returns A line per operation, or undefined on a device that does not report.
 * @throws {CompileError} The program is not valid, or an input has another size.
 */
export function reportText(milPath: string, inputs: readonly Uint8Array[]): string | undefined {
  const path = cString(milPath);
  const sizes = BigUint64Array.from(inputs, (bytes) => BigInt(bytes.length));
  const data = new Uint8Array(inputs.reduce((sum, bytes) => sum + bytes.length, 0));
  inputs.reduce((at, bytes) => (data.set(bytes, at), at + bytes.length), 0);
  const call: Call = (symbols, handle, text, length) =>
    symbols.af_report(
      handle,
      path as Uint8Array<ArrayBuffer>,
      inputs.length,
      data,
      sizes,
      text,
      BigInt(text.length),
      length,
    );
  return textOf("af_report", milPath, call);
}
