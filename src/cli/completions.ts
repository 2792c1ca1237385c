/**
 * `aneforge completions`.
 *
 * @module
 */

import type { Completion, Option, Options, Positional } from "./args.ts";
import { UsageError } from "./args.ts";
import { type CommandTable, COMMON } from "./common.ts";
import { type Command, defineCommand, EXIT } from "./command.ts";
import { OP_NAMES } from "./op.ts";
import { MIL_TARGETS } from "./target_args.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;

/** A word list, or `undefined` where a file is expected. */
function wordsOf(complete: Completion | readonly string[] | undefined): readonly string[] | undefined {
  if (complete === "target") return ["all", "own", ...MIL_TARGETS.map(({ arch }) => arch)];
  if (complete === "op") return OP_NAMES;
  return complete === "file" || complete === undefined ? undefined : complete;
}

/** What can follow an option: words, a file, anything, or nothing. */
function valueOf(option: Option): { words?: readonly string[]; file?: boolean } | undefined {
  if (option.kind === "flag") return undefined;
  if (option.kind === "choice") return { words: option.choices };
  if (option.kind !== "text") return {};
  return { words: wordsOf(option.complete), file: option.complete === "file" };
}

const allOptions = ({ options }: Command): Options => ({ ...options, ...COMMON });
const flagsOf = (command: Command): string[] =>
  [...Object.keys(allOptions(command)), "help"].map((name) => `--${name}`);

/** Names that begin a line in a `case` of the shell, each with what it prints. */
function bashValues(command: Command): string[] {
  return Object.entries(allOptions(command)).flatMap(([name, option]) => {
    const value = valueOf(option);
    if (!value) return [];
    const words = value.words
      ? `COMPREPLY=($(compgen -W '${value.words.join(" ")}' -- "$cur"))`
      : value.file
      ? `COMPREPLY=($(compgen -f -- "$cur"))`
      : "COMPREPLY=()";
    return [`    ${command.name}:--${name}) ${words}; return ;;`];
  });
}

function bashPositional({ name, positionals = [] }: Command): string[] {
  const [first] = positionals;
  if (!first) return [];
  const words = wordsOf(first.complete);
  return [`    ${name}) COMPREPLY=($(compgen ${words ? `-W '${words.join(" ")}'` : "-f"} -- "$cur")) ;;`];
}

function bash(commands: readonly Command[]): string {
  return `# Completion of aneforge for bash: source <(aneforge completions bash)
_aneforge() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]}
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(" ")} --help --version' -- "$cur"))
    return
  fi
  case "$command:$prev" in
${commands.flatMap(bashValues).join("\n")}
  esac
  if [[ $cur == -* ]]; then
    case $command in
${
    commands.map((command) =>
      `    ${command.name}) COMPREPLY=($(compgen -W '${flagsOf(command).join(" ")}' -- "$cur")) ;;`
    ).join("\n")
  }
    esac
    return
  fi
  case $command in
${commands.flatMap(bashPositional).join("\n")}
  esac
}
complete -o filenames -F _aneforge aneforge
`;
}

/** A text inside '..' and [..] of a zsh specification. */
const zshText = (text: string): string => text.replaceAll("'", "'\\''").replaceAll(/[[\]:]/g, "\\$&");

function zshAction(words: readonly string[] | undefined, file: boolean | undefined): string {
  return words ? `(${words.join(" ")})` : file ? "_files" : " ";
}

function zshCase({ name, positionals = [], ...command }: Command): string {
  const options = Object.entries(allOptions({ name, ...command })).map(([option, row]) => {
    const value = valueOf(row);
    const action = value ? `:value:${zshAction(value.words, value.file)}` : "";
    return `'--${option}${value ? "=" : ""}[${zshText(row.help)}]${action}'`;
  });
  const plain = positionals.map(({ name, complete }: Positional, i) =>
    `'${i + 1}:${name}:${zshAction(wordsOf(complete), complete === "file")}'`
  );
  return `    ${name}) _arguments ${[...options, "'--help[print help]'", ...plain].join(" ")} ;;`;
}

function zsh(commands: readonly Command[]): string {
  return `#compdef aneforge
# Completion of aneforge for zsh: source <(aneforge completions zsh)
_aneforge() {
  if (( CURRENT == 2 )); then
    local -a commands=(
${commands.map(({ name, summary }) => `      '${name}:${zshText(summary)}'`).join("\n")}
    )
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${commands.map(zshCase).join("\n")}
  esac
}
compdef _aneforge aneforge
`;
}

const fishText = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

function fishLines(command: Command): string[] {
  const inside = `complete -c aneforge -n '__fish_seen_subcommand_from ${command.name}'`;
  const options = Object.entries(allOptions(command)).map(([name, option]) => {
    const value = valueOf(option);
    const words = value?.words
      ? ` -x -a ${fishText(value.words.join(" "))}`
      : value?.file
      ? " -r -F"
      : value
      ? " -x"
      : "";
    return `${inside} -l ${name}${words} -d ${fishText(option.help)}`;
  });
  const [first] = command.positionals ?? [];
  const words = first && wordsOf(first.complete);
  return [...options, ...(first ? [words ? `${inside} -a ${fishText(words.join(" "))}` : `${inside} -F`] : [])];
}

function fish(commands: readonly Command[]): string {
  const top = commands.map(({ name, summary }) =>
    `complete -c aneforge -n __fish_use_subcommand -a ${name} -d ${fishText(summary)}`
  );
  return `# Completion of aneforge for fish: aneforge completions fish | source
complete -c aneforge -f
${[...top, ...commands.flatMap(fishLines)].join("\n")}
`;
}

/**
 * The command that writes completions for all the others.
 *
 * @param table All commands, this one too.
 * @returns The command.
 */
export function completionsFor(table: CommandTable): Command {
  const scripts = { bash, zsh, fish };
  return defineCommand({
    name: "completions",
    summary: "print the completion script of a shell",
    details:
      "bash: source <(aneforge completions bash); zsh: the same with zsh; fish: aneforge completions fish | source",
    permissions: "none",
    positionals: [{ name: "SHELL", help: SHELLS.join(", "), complete: SHELLS }],
    options: {},
    run({ args: [name = ""] }, out) {
      const shell = SHELLS.find((known) => known === name);
      if (!shell) throw new UsageError(`unknown shell ${JSON.stringify(name)}: expected ${SHELLS.join(", ")}`);
      const script = scripts[shell](table());
      if (out.json) out.object({ shell, script });
      else out.line(script.trimEnd());
      return EXIT.ok;
    },
  });
}
