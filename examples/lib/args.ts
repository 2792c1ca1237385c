/**
 * Command line options for the examples: a table in, checked values out.
 *
 * @module
 */

/** The command line is wrong; the message says how. Examples print it and exit with status 2. */
export class UsageError extends Error {
  /** Class name, as printed in front of the message. */
  override name = "UsageError";
}

/** One option. */
export type Option =
  | { kind: "flag"; help: string }
  | { kind: "text"; help: string; value: string; default?: string }
  | { kind: "integer"; help: string; default: number; min: number; max: number }
  | { kind: "number"; help: string; default: number; above: number; max: number }
  | { kind: "choice"; help: string; default: string; choices: readonly string[] };

/** The options of a program, by name without the dashes. */
export type Options = Record<string, Option>;

/** Type of an option's value. */
export type ValueOf<T extends Option> = T extends { kind: "flag" } ? boolean
  : T extends { kind: "integer" | "number" } ? number
  : T extends { kind: "choice"; choices: readonly (infer C)[] } ? C
  : T extends { kind: "text"; default: string } ? string
  : string | undefined;

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

/**
 * Reads `--name value`, `--name=value` and `--flag`. `--help` (or `-h`) is always known.
 *
 * @param args What follows the program's name.
 * @param options The table.
 * @returns A value for every option, and `help`.
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
): { [K in keyof T]: ValueOf<T[K]> } & { help: boolean } {
  const values: Record<string, unknown> = { help: false };
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
    const match = /^--([a-z][a-z0-9-]*)(?:=([\s\S]*))?$/.exec(arg);
    if (!match) throw new UsageError(`unexpected argument ${JSON.stringify(arg)}; --help lists the options`);
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
  return values as { [K in keyof T]: ValueOf<T[K]> } & { help: boolean };
}

/** The text of `--help`. */
export function usage(command: string, purpose: string, options: Options): string {
  const rows = Object.entries(options).map(([name, option]): [string, string] => {
    switch (option.kind) {
      case "flag":
        return [`--${name}`, option.help];
      case "choice":
        return [`--${name} ${option.choices.join("|")}`, `${option.help} (default ${option.default})`];
      case "text":
        return [
          `--${name} ${option.value}`,
          option.default === undefined ? option.help : `${option.help} (default ${option.default})`,
        ];
      default:
        return [`--${name} N`, `${option.help} (default ${option.default})`];
    }
  });
  rows.push(["--help", "print this text"]);
  const width = Math.max(...rows.map(([left]) => left.length));
  const lines = rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
  return `${purpose}\n\nUsage: ${command} [options]\n\n${lines.join("\n")}`;
}
