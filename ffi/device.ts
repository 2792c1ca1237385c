/**
 * The device programs run on: which one, and why.
 *
 * @module
 */

import { envChoice, envNumber, envText } from "../src/env.ts";
import { ArgumentError, DeviceError } from "../src/errors.ts";
import { detectFamily } from "../src/targets/detect.ts";
import { familyOf } from "../src/targets/targets.ts";
import { cString, findLibraries, fromCString, type Library, openLibrary } from "./library.ts";
import { HOST_PLATFORM, type Platform } from "./sources.ts";

/** Name of a device: Apple's Neural Engine, or this module's engine on the CPU. */
export type DeviceName = "ane" | "host";

/** What {@linkcode device} reports. */
export interface DeviceInfo {
  /** Which device runs the programs. */
  readonly name: DeviceName;
  /** Why this one. */
  readonly reason: string;
  /** Path of the library behind it: libaneforge for `ane`, libaneforge_host for `host`. */
  readonly library: string;
  /** What the library reports: `provider`, `abi` and the state of each vendor symbol. */
  readonly provider: Readonly<Record<string, string>>;
  /** Arithmetic: `ane` (the silicon's), or `fast` on the host device when asked for. */
  readonly numerics: string;
  /** Compiler target, such as `h13`; `auto` on the ane device, where it is the chip's own. */
  readonly target: string;
  /** Capability family of the target: 2 (M1) to 5 (M4 and later). */
  readonly family: number;
  /** Instruction set asked for on the host device; absent: the best one. */
  readonly isa?: string;
  /** Threads of the host device. */
  readonly threads?: number;
}

/** An open device: what {@linkcode Program} needs. */
export interface OpenDevice {
  /** Report for the user. */
  readonly info: DeviceInfo;
  /** The opened library. */
  readonly library: Library;
  /** af_device handle. */
  readonly handle: Deno.PointerObject;
}

/** Compiler target the host device follows when `ANEFORGE_TARGET` is unset: the lowest family, M1. */
export const DEFAULT_HOST_TARGET = "h13";

/**
 * Which device to use: `ANEFORGE_DEVICE`, else `ane` on an Apple-silicon Mac and `host` elsewhere.
 *
 * @param asked Value of `ANEFORGE_DEVICE`, if set.
 * @param platform This machine.
 * @returns The name and the reason.
 */
export function selectDevice(
  asked: string | undefined,
  platform: Platform = HOST_PLATFORM,
): { name: DeviceName; reason: string } {
  if (asked === "ane" || asked === "host") return { name: asked, reason: `ANEFORGE_DEVICE=${asked}` };
  if (platform.os === "darwin" && platform.arch === "aarch64") return { name: "ane", reason: "Apple-silicon Mac" };
  return { name: "host", reason: `no Neural Engine on ${platform.os} ${platform.arch}` };
}

function parseInfo(text: string): Record<string, string> {
  const info: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const at = line.indexOf("=");
    if (at > 0) info[line.slice(0, at)] = line.slice(at + 1);
  }
  return info;
}

/** Settings of the host library, checked here because it reads them itself and takes what it does not know for unset. */
function hostSettings(): Pick<DeviceInfo, "numerics" | "target" | "family" | "isa" | "threads"> {
  const target = (envText("ANEFORGE_TARGET") || DEFAULT_HOST_TARGET).trim().toLowerCase();
  const family = familyOf(target);
  const threads = envNumber("ANEFORGE_HOST_THREADS", navigator.hardwareConcurrency);
  if (!Number.isInteger(threads) || threads < 1) {
    throw new ArgumentError(`ANEFORGE_HOST_THREADS=${threads}: expected a whole number from 1`);
  }
  envChoice("ANEFORGE_HOST_STRICT");
  envChoice("ANEFORGE_HOST_FUSE");
  const isa = envChoice("ANEFORGE_HOST_ISA");
  return { numerics: envChoice("ANEFORGE_HOST_NUMERICS") ?? "ane", target, family, threads, ...(isa ? { isa } : {}) };
}

/** Settings of the ane device; a Mac that is not known counts as the lowest family. */
function aneSettings(): Pick<DeviceInfo, "numerics" | "target" | "family"> {
  const target = envText("ANEFORGE_TARGET")?.trim().toLowerCase();
  return { numerics: "ane", target: target || "auto", family: detectFamily() };
}

function wayOut(name: DeviceName): string {
  if (name === "host") return "rebuild it with `deno task build`";
  return "the ane device needs an Apple-silicon Mac with macOS 14 or later; ANEFORGE_DEVICE=host runs on this CPU instead";
}

function open(): OpenDevice {
  const { name, reason } = selectDevice(envChoice("ANEFORGE_DEVICE"));
  const settings = name === "host" ? hostSettings() : aneSettings();
  const library = openLibrary(findLibraries(name === "host"));
  const handle = library.symbols.af_device_open(cString(name), library.host ? cString(library.host) : null);
  if (handle === null) {
    const text = fromCString(library.symbols.af_last_error());
    throw new DeviceError(`cannot open the ${name} device (${reason}): ${text}; ${wayOut(name)}`);
  }
  const provider = parseInfo(fromCString(library.symbols.af_device_info(handle)));
  return { info: { name, reason, library: library.host ?? library.shim, provider, ...settings }, library, handle };
}

let current: OpenDevice | undefined;

/**
 * Opens the device on first use; it stays open for the life of the process. A failure is not remembered.
 *
 * @returns The open device.
 * @throws {DeviceError} The device or its library is missing or unusable.
 * @throws {ArgumentError} An environment variable holds a value that is not known.
 */
export function openDevice(): OpenDevice {
  current ??= open();
  return current;
}

/**
 * The device if it has been opened, without opening it.
 *
 * @returns The open device, or undefined.
 */
export function deviceIfOpen(): OpenDevice | undefined {
  return current;
}

/**
 * Says which device runs the programs, and why. Opens it, and builds its library, when that has not happened yet.
 *
 * @example
 * ```ts
 * import { device } from "./device.ts";
 *
 * const { name, reason } = device();
 * console.log(`${name}: ${reason}`);
 * ```
 *
 * @returns Name, reason, library, arithmetic and target.
 * @throws {DeviceError} The device or its library is missing or unusable.
 */
export function device(): DeviceInfo {
  return openDevice().info;
}
