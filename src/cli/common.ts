/**
 * What all commands share.
 *
 * @module
 */

import type { Options } from "./args.ts";
import type { Command } from "./command.ts";

/** All commands, asked for when they are needed. */
export type CommandTable = () => readonly Command[];

/** Options of every command. */
export const COMMON = {
  json: { kind: "flag", help: "print the result as JSON" },
  width: { kind: "integer", help: "columns of tables, 0: those of the terminal", default: 0, min: 0, max: 10000 },
} as const satisfies Options;
