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
