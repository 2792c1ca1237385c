/**
 * Every environment variable this module or its C libraries read. Nothing else calls `Deno.env`.
 *
 * Reading never asks for a permission: a variable that may not be read counts as unset.
 *
 * @module
 */

import { ArgumentError } from "./errors.ts";

/** One environment variable: what `docs/environment.md` shows about it. */
export interface EnvVariable {
  /** Name as it is set in the shell. */
  readonly name: string;
  /** Value used when it is unset, as text for the reader. */
  readonly fallback: string;
  /** The values that are accepted; absent when any text is. */
  readonly values?: readonly string[];
  /** What it does. */
  readonly meaning: string;
}

const rows = [
  {
    name: "ANEFORGE_DEVICE",
    fallback: "`ane` on an Apple-silicon Mac, `host` elsewhere",
    values: ["ane", "host"],
    meaning: "Device that runs the programs. There is never a silent fallback from `ane` to `host`.",
  },
  {
    name: "ANEFORGE_TARGET",
    fallback: "the chip of this Mac; `h13` (M1) on the host device",
    meaning: "Compiler target whose family sets limits and lowerings, and whose arithmetic the host device follows.",
  },
  {
    name: "ANEFORGE_HOST_NUMERICS",
    fallback: "`ane`",
    values: ["ane", "fast"],
    meaning: "Arithmetic of the host device: the Neural Engine's, or fp16 operands with fp32 accumulation.",
  },
  {
    name: "ANEFORGE_HOST_STRICT",
    fallback: "unset",
    values: ["0", "1"],
    meaning: "`1`: the host device aborts with the broken rule on any wrong use of a handle and on leaks at exit.",
  },
  {
    name: "ANEFORGE_HOST_THREADS",
    fallback: "one per CPU",
    meaning: "Threads of the host device. Results do not depend on it.",
  },
  {
    name: "ANEFORGE_HOST_ISA",
    fallback: "the best this CPU has",
    values: ["avx512", "avx2", "neon", "portable"],
    meaning: "Asks the host device for a lesser instruction set. Results do not depend on it.",
  },
  {
    name: "ANEFORGE_HOST_FUSE",
    fallback: "`1`",
    values: ["0", "1"],
    meaning: "`0` keeps the host device from fusing operations, for tests. Results do not depend on it.",
  },
  {
    name: "ANEFORGE_CACHE",
    fallback: "`$XDG_CACHE_HOME/aneforge`, else `~/.cache/aneforge`",
    meaning: "Base of the cache: built libraries in `lib/`, compiled programs in `programs/`.",
  },
  {
    name: "ANEFORGE_CACHE_DIR",
    fallback: "`programs/` in the base of the cache",
    meaning: "Directory of the compiled programs.",
  },
  {
    name: "ANEFORGE_CACHE_LIMIT",
    fallback: "`2147483648` (2 GiB)",
    meaning: "Bytes the compiled programs may take; the least recently used ones go first. `0` or less: no limit.",
  },
  {
    name: "ANEFORGE_SHIM",
    fallback: "unset",
    meaning: "Directory with prebuilt `libaneforge` and `libaneforge_host`; nothing is built.",
  },
  {
    name: "ANEFORGE_DYLIB",
    fallback: "unset",
    meaning: "Path of a prebuilt `libaneforge`; the host library is looked for beside it. Wins over `ANEFORGE_SHIM`.",
  },
  {
    name: "ANEFORGE_NO_AUTOBUILD",
    fallback: "unset",
    meaning: "Any non-empty value forbids building the libraries on first use.",
  },
  {
    name: "ANEFORGE_COMPILE_BACKOFF",
    fallback: "`15.0`",
    meaning: "Seconds a compile is held back after a failed one; 0 or less switches the pacing off.",
  },
  {
    name: "ANEFORGE_DISABLE_COMPILE_BREAKER",
    fallback: "unset",
    meaning: "`1` switches the pacing of compiles off.",
  },
  {
    name: "ANEFORGE_COMPILE_BREAKER_STRICT",
    fallback: "unset",
    meaning: "`1` throws `CompileBackoffError` instead of waiting.",
  },
  {
    name: "ANEFORGE_PROFILE",
    fallback: "unset",
    meaning: "Any value, even an empty one, compiles programs with the device's profiling option.",
  },
  {
    name: "ANEFORGE_DEBUG",
    fallback: "`0`",
    meaning:
      "`1` reports each compile on stderr with the time of its stages, `2` also the graph and the plan, `3` the text.",
  },
  {
    name: "ANEFORGE_MNIST_DIR",
    fallback: "unset",
    meaning: "Directory with the four MNIST IDX files (plain or `.gz`) for tests and examples.",
  },
  {
    name: "ANEFORGE_NETPLIST_WORKER",
    fallback: "`1`",
    values: ["0", "1"],
    meaning: "`0` runs each native-layer program in a process of its own instead of a persistent worker.",
  },
  { name: "NO_COLOR", fallback: "unset", meaning: "Any non-empty value keeps the output free of colours." },
  { name: "CC", fallback: "`clang`, `cc`, `gcc`, the first one found", meaning: "C compiler for the libraries." },
  { name: "PATH", fallback: "the usual directories", meaning: "Where the C compiler is looked for." },
  { name: "HOME", fallback: "unset", meaning: "Home directory: `~` in the paths above." },
  { name: "XDG_CACHE_HOME", fallback: "`~/.cache`", meaning: "Where caches live." },
] as const satisfies readonly EnvVariable[];

/** Name of a variable of {@linkcode ENVIRONMENT}. */
export type EnvName = (typeof rows)[number]["name"];

/** The table of all environment variables. */
export const ENVIRONMENT: readonly (EnvVariable & { readonly name: EnvName })[] = rows;

/**
 * The value of a variable, or undefined when it is unset or may not be read.
 *
 * @param name Name of the variable.
 * @returns Its text, which may be empty.
 */
export function envText(name: EnvName): string | undefined {
  if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") return undefined;
  return Deno.env.get(name);
}

/**
 * True when a variable is exactly `1`.
 *
 * @param name Name of the variable.
 * @returns Whether it is `1`.
 */
export function envFlag(name: EnvName): boolean {
  return envText(name) === "1";
}

/**
 * The value of a variable with a closed list of values.
 *
 * @param name Name of a variable that has `values` in {@linkcode ENVIRONMENT}.
 * @returns One of its values, or undefined when it is unset or empty.
 * @throws {ArgumentError} It holds anything else.
 */
export function envChoice(name: EnvName): string | undefined {
  const text = envText(name);
  if (text === undefined || text === "") return undefined;
  const values: readonly string[] = ENVIRONMENT.find((row) => row.name === name)?.values ?? [];
  if (!values.includes(text)) {
    throw new ArgumentError(`${name}=${JSON.stringify(text)}: expected ${values.join(", ")}, or unset`);
  }
  return text;
}

/**
 * The value of a variable that holds a number.
 *
 * @param name Name of the variable.
 * @param fallback Result when it is unset.
 * @returns The number.
 * @throws {ArgumentError} The text is not a finite number.
 */
export function envNumber(name: EnvName, fallback: number): number {
  const text = envText(name);
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) {
    throw new ArgumentError(`${name}=${JSON.stringify(text)}: expected a number`);
  }
  return value;
}

/**
 * Replaces a leading `~` by the home directory.
 *
 * @param path A path from the user.
 * @returns The path without `~`.
 * @throws {ArgumentError} The path starts with `~` and `HOME` is unset or may not be read.
 */
export function expandHome(path: string): string {
  if (path !== "~" && !path.startsWith("~/")) return path;
  const home = envText("HOME");
  if (!home) {
    throw new ArgumentError(`cannot expand ${JSON.stringify(path)}: HOME is unset or --allow-env=HOME is missing`);
  }
  return home + path.slice(1);
}

/**
 * Base directory of everything this module keeps on disk: `ANEFORGE_CACHE`, else `$XDG_CACHE_HOME/aneforge`, else
 * `~/.cache/aneforge`.
 *
 * @returns The directory; it may not exist yet.
 * @throws {ArgumentError} None of the three is known.
 */
export function cacheBase(): string {
  const own = envText("ANEFORGE_CACHE");
  if (own) return expandHome(own);
  const xdg = envText("XDG_CACHE_HOME");
  if (xdg) return `${xdg}/aneforge`;
  const home = envText("HOME");
  if (home) return `${home}/.cache/aneforge`;
  throw new ArgumentError(
    "no cache directory: set ANEFORGE_CACHE to a writable directory, or allow HOME to be read (--allow-env=HOME,ANEFORGE_CACHE)",
  );
}
