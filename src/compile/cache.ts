/**
 * Directories of compiled programs:
 *
 * ```
 * <base>/<key>/model.mil      program text
 *              weights.bin    weight container
 *              cache/         the device compiler's own files
 * ```
 *
 * `<key>` is the first 24 hex digits of SHA-256(text, weights); `<base>` is `ANEFORGE_CACHE_DIR`, else `programs/` in the
 * base of the cache. (The Python original keeps them in `~/Models`; a hidden cache is what one expects to be able to
 * delete.)
 *
 * The programs together take at most `ANEFORGE_CACHE_LIMIT` bytes: when a new one is written, the least recently used
 * ones are removed. A use is the time stamp of the directory. Programs of this process and those used in the last minutes
 * stay, so that no process loses one between writing and loading it; a loaded program does not need its files.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, randomUUID } from "node:crypto";
import { cacheBase, envNumber, envText, expandHome } from "../env.ts";
import { DataError } from "../errors.ts";

/** Where the files of a program are. */
export interface ProgramFiles {
  /** Directory of the program. */
  readonly dir: string;
  /** Program text. */
  readonly milPath: string;
  /** Weight container. */
  readonly weightsPath: string;
  /** Existing directory for the device compiler. */
  readonly cacheDir: string;
}

/**
 * Key of a program.
 *
 * @param text Program text.
 * @param weights Weight container.
 * @returns 24 hex digits.
 */
export function programKey(text: string, weights: Uint8Array): string {
  return createHash("sha256").update(text).update(weights).digest("hex").slice(0, 24);
}

/**
 * Base directory of the programs.
 *
 * @returns `ANEFORGE_CACHE_DIR`, else `programs/` in the base of the cache.
 */
export function programsDir(): string {
  const own = envText("ANEFORGE_CACHE_DIR");
  return own ? expandHome(own) : `${cacheBase()}/programs`;
}

function sizeOf(path: string): number {
  try {
    const info = Deno.statSync(path);
    return info.isFile ? info.size : -1;
  } catch {
    return -1;
  }
}

/** Whether a file has exactly this content; a damaged one must not become a wrong result. */
function holds(path: string, bytes: Uint8Array): boolean {
  if (sizeOf(path) !== bytes.length) return false;
  try {
    return Buffer.compare(Deno.readFileSync(path), bytes) === 0;
  } catch {
    return false;
  }
}

/**
 * Writes beside the target and renames: a reader sees the old file or the whole new one.
 *
 * @param path Where to.
 * @param bytes What.
 */
export function writeWhole(path: string, bytes: Uint8Array): void {
  const temp = `${path}.${Deno.pid}-${randomUUID().slice(0, 8)}.part`;
  try {
    Deno.writeFileSync(temp, bytes);
    Deno.renameSync(temp, path);
  } catch (error) {
    try {
      Deno.removeSync(temp);
    } catch {
      // It was never created.
    }
    throw error;
  }
}

/** Bytes of all programs unless `ANEFORGE_CACHE_LIMIT` says otherwise. */
export const CACHE_LIMIT = 2 ** 31;
/** Milliseconds for which a program counts as in use by whoever touched it. */
export const GRACE_MS = 5 * 60_000;

const KEY = /^[0-9a-f]{24}$/;
/** Left behind by {@linkcode removeProgram} when its process died. */
const LEAVING = /^[0-9a-f]{24}\.[0-9a-f]{8}\.old$/;

/** Programs this process has written or found in the cache. */
const used = new Set<string>();

/** One program in the cache. */
interface Entry {
  readonly dir: string;
  readonly bytes: number;
  /** Time of the last use, ms since 1970. */
  readonly at: number;
}

function bytesUnder(dir: string): number {
  let bytes = 0;
  for (const { name, isDirectory, isFile } of Deno.readDirSync(dir)) {
    if (isDirectory) bytes += bytesUnder(`${dir}/${name}`);
    else if (isFile) bytes += Math.max(sizeOf(`${dir}/${name}`), 0);
  }
  return bytes;
}

/** The programs of a directory; those another process is removing are left out. */
function listPrograms(base: string): Entry[] {
  const entries: Entry[] = [];
  let names: string[] = [];
  try {
    names = [...Deno.readDirSync(base)].filter((entry) => entry.isDirectory).map((entry) => entry.name);
  } catch {
    // Nothing there, or nothing that may be read.
  }
  for (const name of names.filter((name) => KEY.test(name) || LEAVING.test(name))) {
    const dir = `${base}/${name}`;
    try {
      entries.push({ dir, bytes: bytesUnder(dir), at: lastUse(dir) });
    } catch {
      // It went away while it was looked at.
    }
  }
  return entries;
}

const lastUse = (dir: string): number => Deno.statSync(dir).mtime?.getTime() ?? 0;

/** Renames first: of two processes one succeeds, and nobody finds half a program. One that was used meanwhile stays. */
function removeProgram(dir: string, at: number): boolean {
  try {
    if (lastUse(dir) !== at) return false;
    const leaving = LEAVING.test(dir.slice(dir.lastIndexOf("/") + 1)) ? dir : `${dir}.${randomUUID().slice(0, 8)}.old`;
    if (leaving !== dir) Deno.renameSync(dir, leaving);
    Deno.removeSync(leaving, { recursive: true });
    return true;
  } catch {
    return false;
  }
}

/** Marks a program as used now. */
function touch(dir: string): void {
  used.add(dir);
  const now = new Date();
  try {
    Deno.utimeSync(dir, now, now);
  } catch {
    // Somebody else's cache: it keeps its own time.
  }
}

/**
 * Removes the least recently used programs until the others take at most `limit` bytes. Programs this process uses, and
 * those anybody used in the last minutes, are never removed. Safe beside other processes that do the same.
 *
 * @param base Directory of the programs.
 * @param limit Bytes; 0 or less: no limit.
 * @param now Time, ms since 1970.
 * @returns Directories removed.
 */
export function trimCache(base: string, limit: number, now: number = Date.now()): string[] {
  if (limit <= 0) return [];
  const entries = listPrograms(base).sort((a, b) => a.at - b.at);
  let total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  const removed: string[] = [];
  for (const { dir, bytes, at } of entries) {
    if (total <= limit) break;
    if (used.has(dir) || now - at < GRACE_MS || !removeProgram(dir, at)) continue;
    total -= bytes;
    removed.push(dir);
  }
  return removed;
}

/** Bytes written since the cache was last looked through; the first program of a process has it looked through. */
let unseen = Infinity;

/** Keeps the cache within its limit, without looking through it for every small program. */
function keepWithin(written: number): void {
  const limit = envNumber("ANEFORGE_CACHE_LIMIT", CACHE_LIMIT);
  unseen += written;
  if (unseen <= limit / 32) return;
  unseen = 0;
  trimCache(programsDir(), limit);
}

/**
 * Puts a program on disk. In the cache, files with the right content are kept; in an explicit directory they are always
 * written.
 *
 * @param text Program text.
 * @param weights Weight container.
 * @param buildDir Directory to use instead of the cache.
 * @returns Where the files are.
 * @throws {DataError} The directory is not writable; the message names it and the variable that moves it.
 */
export function writeProgram(text: string, weights: Uint8Array, buildDir?: string): ProgramFiles {
  const dir = buildDir === undefined ? `${programsDir()}/${programKey(text, weights)}` : expandHome(buildDir);
  const files = { dir, milPath: `${dir}/model.mil`, weightsPath: `${dir}/weights.bin`, cacheDir: `${dir}/cache` };
  const mil = new TextEncoder().encode(text);
  let kept = false;
  try {
    Deno.mkdirSync(files.cacheDir, { recursive: true });
    if (buildDir === undefined) touch(dir);
    kept = buildDir === undefined && holds(files.milPath, mil) && holds(files.weightsPath, weights);
    if (!kept) {
      writeWhole(files.weightsPath, weights);
      writeWhole(files.milPath, mil);
    }
  } catch (cause) {
    const way = buildDir === undefined
      ? "set ANEFORGE_CACHE_DIR to a writable directory (and allow it with --allow-write)"
      : "choose another buildDir";
    throw new DataError(
      `cannot write the program to ${dir}: ${cause instanceof Error ? cause.message : cause}; ${way}`,
      { cause },
    );
  }
  if (buildDir === undefined && !kept) keepWithin(mil.length + weights.length);
  return files;
}
