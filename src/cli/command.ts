/**
 * What a command of `aneforge` is.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";
import { type Options, type Positional, UsageError, type Values } from "./args.ts";
import type { Output } from "./output.ts";

/** Exit status: all is well; it failed, or the answer is no; the command line is wrong. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

/** A command as its file writes it. */
export interface CommandSpec<T extends Options> {
  /** Word behind `aneforge`. */
  readonly name: string;
  /** One sentence. */
  readonly summary: string;
  /** More for `--help`. */
  readonly details?: string;
  /** Flags of `deno run` it needs. */
  readonly permissions: string;
  /** Arguments without a name. */
  readonly positionals?: readonly Positional[];
  /** Options, beside those every command has. */
  readonly options: T;
  /** Does it; returns one of {@linkcode EXIT}. */
  run(values: Values<T>, out: Output): number | Promise<number>;
}

/** A command of any options, as kept in the table. */
// deno-lint-ignore no-explicit-any
export type Command = CommandSpec<any>;

/**
 * Fixes the type of a command's options while its object is written.
 *
 * @param spec The command.
 * @returns The same object.
 */
export function defineCommand<const T extends Options>(spec: CommandSpec<T>): Command {
  return spec;
}

/**
 * Turns a complaint about a name from the command line into one about the command line.
 *
 * @param lookUp Looks a name up.
 * @returns What it returns.
 * @throws {UsageError} In place of an ArgumentError.
 */
export function fromUser<T>(lookUp: () => T): T {
  try {
    return lookUp();
  } catch (error) {
    if (error instanceof ArgumentError) throw new UsageError(error.message);
    throw error;
  }
}

/** Number of single-letter changes between two words, up to a small number. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

/**
 * What a mistyped word may have meant.
 *
 * @param word The word.
 * @param known What there is.
 * @returns Up to three names that are close or contain it, in brackets; empty when nothing is.
 */
export function suggestion(word: string, known: readonly string[]): string {
  const close = known.map((name) => ({ name, far: name.includes(word) && word.length > 2 ? 1 : distance(word, name) }))
    .filter(({ name, far }) => far <= Math.max(1, Math.floor(name.length / 3))).sort((a, b) => a.far - b.far);
  return close.length === 0 ? "" : ` (close to ${close.slice(0, 3).map(({ name }) => name).join(", ")})`;
}
