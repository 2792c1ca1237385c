/**
 * Command line options: a table in, checked values and the text of `--help` out.
 *
 * @module
 */

import { wrapText } from "./output.ts";

/** The command line is wrong; the message says how. Programs print it and exit with status 2. */
export class UsageError extends Error {
  /** Class name, as printed in front of the message. */
  override name = "UsageError";
}

/** What a value names, for shell completion. */
export type Completion = "file" | "target" | "op";

/** One option. */
export type Option =
  | { kind: "flag"; help: string }
  | { kind: "text"; help: string; value: string; default?: string; complete?: Completion }
  | { kind: "integer"; help: string; default: number; min: number; max: number }
  | { kind: "number"; help: string; default: number; above: number; max: number }
  | { kind: "choice"; help: string; default?: string; choices: readonly string[] };

/** The options of a program, by name without the dashes. */
export type Options = Readonly<Record<string, Option>>;

/** An argument without a name. */
export interface Positional {
  /** Name in `--help`, upper case. */
  readonly name: string;
  /** What it is. */
  readonly help: string;
  /** May be left out (default `false`); only at the end. */
  readonly optional?: boolean;
  /** What it names, or the list of its values. */
  readonly complete?: Completion | readonly string[];
}

/** Type of an option's value. */
export type ValueOf<T extends Option> = T extends { kind: "flag" } ? boolean
  : T extends { kind: "integer" | "number" } ? number
  : T extends { kind: "choice"; choices: readonly (infer C)[] } ? (T extends { default: string } ? C : C | undefined)
  : T extends { kind: "text"; default: string } ? string
  : string | undefined;

/** What {@linkcode parseArgs} returns. */
export type Values<T extends Options> =
  & { -readonly [K in keyof T]: ValueOf<T[K]> }
  & { help: boolean; args: string[] };

function convert(name: string, option: Exclude<Option, { kind: "flag" }>, text: string): string | number {
  const bad = (expected: string): UsageError =>
    new UsageError(`--${name} ${JSON.stringify(text)}: expected ${expected}`);
  switch (option.kind) {
    case "text":
      if (text === "") throw bad(option.value);
      return text;
    case "choice":
      if (!option.choices.includes(text)) throw bad(`one of ${option.choices.join(", ")}`);
      return text;
    case "integer": {
      const v = Number(text);
      if (!/^\d+$/.test(text) || v < option.min || v > option.max) {
        throw bad(`an integer from ${option.min} to ${option.max}`);
      }
      return v;
    }
    case "number": {
      const v = Number(text);
      if (text.trim() === "" || !Number.isFinite(v) || v <= option.above || v > option.max) {
        throw bad(`a number above ${option.above}, at most ${option.max}`);
      }
      return v;
    }
  }
}

function checkCount(args: readonly string[], positionals: readonly Positional[]): void {
  if (args.length > positionals.length) {
    throw new UsageError(`unexpected argument ${JSON.stringify(args[positionals.length])}; --help lists the options`);
  }
  const missing = positionals[args.length];
  if (missing && !missing.optional) throw new UsageError(`${missing.name} is missing: ${missing.help}`);
}

/**
 * Reads `--name value`, `--name=value`, `--flag` and arguments without a name; after `--` everything is one of the
 * latter, and so is a single `-`. `--help` (or `-h`) is always known, and with it nothing has to be there.
 *
 * @param args What follows the program's name.
 * @param options The table of options.
 * @param positionals The arguments without a name, in order (default none).
 * @returns A value for every option, `help`, and the arguments without a name as `args`.
 * @throws {UsageError} For an unknown or repeated option, a missing or bad value, or a stray argument.
 *
 * @example
 * ```ts
 * const { epochs } = parseArgs(Deno.args, { epochs: { kind: "integer", help: "", default: 5, min: 1, max: 100 } });
 * ```
 */
export function parseArgs<const T extends Options>(
  args: readonly string[],
  options: T,
  positionals: readonly Positional[] = [],
): Values<T> {
  const plain: string[] = [];
  const values: Record<string, unknown> = { help: false, args: plain };
  for (const [name, option] of Object.entries(options)) {
    values[name] = option.kind === "flag" ? false : option.default;
  }
  const seen = new Set<string>();
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === "--help" || arg === "-h") {
      values.help = true;
      continue;
    }
    if (arg === "--") {
      plain.push(...args.slice(i + 1));
      break;
    }
    const match = /^--([a-z][a-z0-9-]*)(?:=([\s\S]*))?$/.exec(arg);
    if (!match) {
      if (positionals.length === 0 || (arg.startsWith("-") && arg !== "-")) {
        throw new UsageError(`unexpected argument ${JSON.stringify(arg)}; --help lists the options`);
      }
      plain.push(arg);
      continue;
    }
    const name = match[1]!;
    if (!Object.hasOwn(options, name)) throw new UsageError(`unknown option --${name}; --help lists the options`);
    if (seen.has(name)) throw new UsageError(`--${name} is given twice`);
    seen.add(name);
    const option = options[name]!;
    if (option.kind === "flag") {
      if (match[2] !== undefined) throw new UsageError(`--${name} takes no value`);
      values[name] = true;
      continue;
    }
    const text = match[2] ?? args[++i];
    if (text === undefined || (match[2] === undefined && text.startsWith("--"))) {
      throw new UsageError(`--${name} needs a value`);
    }
    values[name] = convert(name, option, text);
  }
  if (!values.help) checkCount(plain, positionals);
  return values as Values<T>;
}

/** Left and right column of an option in `--help`. */
function helpRow(name: string, option: Option): [string, string] {
  const withDefault = (text: string, value: unknown): string =>
    value === undefined ? text : `${text} (default ${value})`;
  switch (option.kind) {
    case "flag":
      return [`--${name}`, option.help];
    case "choice":
      return [`--${name} ${option.choices.join("|")}`, withDefault(option.help, option.default)];
    case "text":
      return [`--${name} ${option.value}`, withDefault(option.help, option.default)];
    default:
      return [`--${name} N`, withDefault(option.help, option.default)];
  }
}

/**
 * The text of `--help`.
 *
 * @param command How the program is started.
 * @param purpose What it does.
 * @param options The table of options.
 * @param positionals The arguments without a name (default none).
 * @param width Columns there are (default: any number).
 * @returns Several lines, without a newline at the end.
 */
export function usage(
  command: string,
  purpose: string,
  options: Options,
  positionals: readonly Positional[] = [],
  width = Infinity,
): string {
  const rows: [string, string][] = positionals.map(({ name, help }) => [name, help]);
  for (const [name, option] of Object.entries(options)) rows.push(helpRow(name, option));
  rows.push(["--help", "print this text"]);
  const first = Math.max(...rows.map(([left]) => left.length)) + 4;
  const lines = rows.flatMap(([left, right]) =>
    wrapText(right, Math.max(20, width - first)).map((text, i) => `  ${i > 0 ? "" : left}`.padEnd(first) + text)
  );
  const shown = positionals.map(({ name, optional }) => optional ? `[${name}] ` : `${name} `).join("");
  return `${wrapText(purpose, width).join("\n")}\n\nUsage: ${command} ${shown}[options]\n\n${lines.join("\n")}`;
}
