/**
 * Files that are either whole or not there.
 *
 * @module
 */

import { DataError } from "../errors.ts";

/**
 * Writes a file under a private name beside its target and renames it.
 *
 * @param path Where to.
 * @param bytes What.
 * @throws {DataError} When the directory cannot be written to.
 */
export async function writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
  const temporary = `${path}.${Deno.pid}-${crypto.randomUUID().slice(0, 8)}.part`;
  try {
    await Deno.writeFile(temporary, bytes);
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw new DataError(`${path} cannot be written: ${(error as Error).message}`, { cause: error });
  }
}

/**
 * Finds out before the work, not after it, whether {@linkcode writeFileAtomic} can write a file.
 *
 * @param path Where to.
 * @throws {DataError} When it cannot be written.
 */
export async function checkWritable(path: string): Promise<void> {
  const temporary = `${path}.${Deno.pid}-${crypto.randomUUID().slice(0, 8)}.part`;
  try {
    if ((await Deno.stat(path).catch(() => undefined))?.isDirectory) throw new Error("it is a directory");
    await Deno.writeFile(temporary, new Uint8Array());
    await Deno.remove(temporary);
  } catch (error) {
    throw new DataError(`${path} cannot be written: ${(error as Error).message}`, { cause: error });
  }
}
