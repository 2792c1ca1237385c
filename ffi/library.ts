/**
 * Finds libaneforge, opens it and checks that it speaks this module's ABI.
 *
 * @module
 */

import { envText, expandHome } from "../src/env.ts";
import { DeviceError } from "../src/errors.ts";
import { buildLibrary } from "./build.ts";
import { ABI_VERSION, libraryFile } from "./sources.ts";
import { SYMBOLS, type Symbols } from "./symbols.ts";

/** Paths of the two libraries. */
export interface LibraryPaths {
  /** Path of libaneforge. */
  readonly shim: string;
  /** Path of libaneforge_host, when it was asked for. */
  readonly host?: string;
  /** Why these: the variable that named them, or the cache. */
  readonly from: string;
}

/** An opened libaneforge. */
export interface Library extends LibraryPaths {
  /** Its functions. */
  readonly symbols: Symbols;
}

const encoder = new TextEncoder();

/**
 * A NUL-terminated UTF-8 copy of a string, for a `const char *` parameter.
 *
 * @param text String without NUL.
 * @returns Its bytes.
 */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(`${text}\0`);
}

/**
 * The string at a `const char *` result.
 *
 * @param pointer Address, or null.
 * @returns The text; empty for null.
 */
export function fromCString(pointer: Deno.PointerValue): string {
  return pointer === null ? "" : Deno.UnsafePointerView.getCString(pointer);
}

function mustExist(path: string, variable: string): string {
  try {
    if (Deno.statSync(path).isFile) return path;
  } catch (cause) {
    throw new DeviceError(`${variable}: no library at ${path} (${cause instanceof Error ? cause.message : cause})`, {
      cause,
    });
  }
  throw new DeviceError(`${variable}: ${path} is not a file`);
}

/**
 * Where the libraries are: `ANEFORGE_DYLIB`, `ANEFORGE_SHIM`, else the cache, built on first use.
 *
 * @param withHost Whether libaneforge_host is needed.
 * @returns The paths.
 * @throws {DeviceError} A variable names a file that is not there, or the build failed.
 */
export function findLibraries(withHost: boolean): LibraryPaths {
  const file = envText("ANEFORGE_DYLIB");
  const dir = envText("ANEFORGE_SHIM");
  if (!file && !dir) {
    const shim = buildLibrary("aneforge");
    return { shim, ...(withHost ? { host: buildLibrary("aneforge_host") } : {}), from: "built from the sources" };
  }
  const from = file ? "ANEFORGE_DYLIB" : "ANEFORGE_SHIM";
  const own = expandHome(file || `${dir!.replace(/\/+$/, "")}/${libraryFile("aneforge")}`);
  const shim = mustExist(own.includes("/") ? own : `./${own}`, from);
  if (!withHost) return { shim, from };
  const host = mustExist(shim.slice(0, shim.lastIndexOf("/") + 1) + libraryFile("aneforge_host"), from);
  return { shim, host, from };
}

/**
 * Opens libaneforge.
 *
 * @param paths Where it is.
 * @returns The library with its functions.
 * @throws {DeviceError} It cannot be opened, lacks a function, or speaks another ABI.
 */
export function openLibrary(paths: LibraryPaths): Library {
  let opened: Deno.DynamicLibrary<typeof SYMBOLS>;
  try {
    opened = Deno.dlopen(paths.shim, SYMBOLS);
  } catch (cause) {
    const way = cause instanceof Deno.errors.NotCapable
      ? "run with --allow-ffi"
      : `it is damaged or of another version (${paths.from}): rebuild it with \`deno task build\``;
    throw new DeviceError(`cannot open ${paths.shim}: ${cause instanceof Error ? cause.message : cause}; ${way}`, {
      cause,
    });
  }
  const found = opened.symbols.af_abi_version();
  if (found !== ABI_VERSION) {
    opened.close();
    throw new DeviceError(
      `${paths.shim} speaks ABI ${found}, this module ABI ${ABI_VERSION} (${paths.from}): rebuild it with \`deno task build\``,
    );
  }
  return { ...paths, symbols: opened.symbols };
}
