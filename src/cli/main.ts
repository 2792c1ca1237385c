/**
 * The `aneforge` command: what this machine has, what the targets can do, and what they make of a graph.
 *
 * @example
 * ```sh
 * deno run jsr:@aneforge/core/cli ops --chip M1
 * ```
 *
 * @module
 */

import { AneforgeError } from "../errors.ts";
import { onWarning } from "../warnings.ts";
import { type Options, parseArgs, usage, UsageError, type Values } from "./args.ts";
import { type Command, EXIT, suggestion } from "./command.ts";
import { COMMON } from "./common.ts";
import { COMMANDS } from "./commands.ts";
import { VERSION } from "./info.ts";
import { Output, type Sink, wrapText } from "./output.ts";

export type { Sink } from "./output.ts";

/** How a shell starts this. */
const PROGRAM = "aneforge";

/** Text of `aneforge --help`. */
function overview(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  return [
    "Programs the Apple Neural Engine: what this machine has, what each chip can do, what becomes of a graph.",
    "",
    `Usage: ${PROGRAM} COMMAND [options]`,
    "",
    ...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    "",
    `\`${PROGRAM} COMMAND --help\` lists the options of a command, --version prints the version.`,
    "Exit status: 0 all is well, 1 it failed or the answer is no, 2 the command line is wrong.",
  ].join("\n");
}

/** Text of `aneforge COMMAND --help`. */
function helpOf({ name, summary, details, permissions, positionals, options }: Command, width: number): string {
  const purpose = `${summary[0]!.toUpperCase()}${summary.slice(1)}.${details ? ` ${details}` : ""}`;
  const text = usage(`${PROGRAM} ${name}`, purpose, { ...options, ...COMMON }, positionals, width);
  return `${text}\n\n${wrapText(`Permissions: ${permissions}`, width).join("\n")}`;
}

async function dispatch(args: readonly string[], out: Sink, err: Sink): Promise<number> {
  const plain = new Output(out, err);
  const [word, ...rest] = args;
  if (word === undefined || word === "--help" || word === "-h" || word === "help") {
    plain.line(overview());
    return word === undefined ? EXIT.usage : EXIT.ok;
  }
  if (word === "--version") {
    plain.line(`${PROGRAM} ${VERSION}`);
    return EXIT.ok;
  }
  const command = COMMANDS.find(({ name }) => name === word);
  if (!command) {
    const names = COMMANDS.map(({ name }) => name);
    throw new UsageError(`unknown command ${JSON.stringify(word)}${suggestion(word, names)}; --help lists them`);
  }
  const known: Options = { ...command.options, ...COMMON };
  const values = parseArgs(rest, known, command.positionals) as unknown as Values<typeof COMMON>;
  if (values.help) {
    plain.line(helpOf(command, values.width || plain.width));
    return EXIT.ok;
  }
  return await command.run(values, new Output(out, err, { json: values.json, width: values.width }));
}

/**
 * Runs the command.
 *
 * @param args What follows `aneforge`.
 * @param out Where results go (default standard output).
 * @param err Where messages go (default standard error).
 * @returns Exit status: 0 all is well, 1 it failed or the answer is no, 2 the command line is wrong.
 */
export async function main(args: readonly string[], out: Sink = Deno.stdout, err: Sink = Deno.stderr): Promise<number> {
  const messages = new Output(err, err);
  const restore = onWarning((kind, message) => messages.note(`${PROGRAM} [${kind}] ${message}`));
  try {
    return await dispatch(args, out, err);
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return EXIT.ok;
    if (error instanceof UsageError) {
      messages.note(`${PROGRAM}: ${error.message}`);
      return EXIT.usage;
    }
    if (!(error instanceof AneforgeError) && !(error instanceof Deno.errors.NotCapable)) throw error;
    messages.note(`${PROGRAM}: ${error.name}: ${error.message}`);
    return EXIT.failed;
  } finally {
    restore();
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
