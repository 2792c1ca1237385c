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
 * @module
 */

import { createHash, randomUUID } from "node:crypto";
import { cacheBase, envText, expandHome } from "../env.ts";
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

/** Writes beside the target and renames: a reader sees the old file or the whole new one. */
function writeWhole(path: string, bytes: Uint8Array): void {
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

/**
 * Puts a program on disk. In the cache, files of the right size are kept; in an explicit directory they are always
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
  try {
    Deno.mkdirSync(files.cacheDir, { recursive: true });
    const kept = buildDir === undefined && sizeOf(files.milPath) === mil.length &&
      sizeOf(files.weightsPath) === weights.length;
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
  return files;
}
