/**
 * Paths on the command line.
 *
 * @module
 */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { envText } from "../env.ts";

/**
 * The URL of a file.
 *
 * @param path Path, relative to the working directory or absolute.
 * @returns Its `file:` URL.
 */
export function toFileUrl(path: string): string {
  return pathToFileURL(resolve(path)).href;
}

/**
 * A path for a report that is shown to others: the home directory becomes `~`.
 *
 * @param text Any text.
 * @returns The same without the name of the home directory.
 */
export function withoutHome(text: string): string {
  const home = envText("HOME");
  return home && home !== "/" ? text.replaceAll(home, "~") : text;
}
