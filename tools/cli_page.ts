/**
 * The page about the command line. What needs no device is run for it, what does was copied from a terminal.
 *
 * @module
 */

import { COMMANDS } from "../src/cli/commands.ts";
import { main, type Sink } from "../src/cli/main.ts";

/** Output kept in memory. */
class Memory implements Sink {
  text = "";
  writeSync(bytes: Uint8Array): number {
    this.text += new TextDecoder().decode(bytes);
    return bytes.length;
  }
  isTerminal(): boolean {
    return false;
  }
}

const EXAMPLE = "examples/classifier.ts";

/** A command with what it prints, as a block of the page. */
async function shown(command: string): Promise<string> {
  const out = new Memory();
  const path = new URL(`../${EXAMPLE}`, import.meta.url).pathname;
  const args = command.split(" ").map((word) => word === EXAMPLE ? path : word);
  const code = await main([...args, "--width", "100"], out, out);
  if (code !== 0) throw new Error(`aneforge ${command}: exit ${code}: ${out.text}`);
  return block(command, out.text);
}

const block = (command: string, output: string): string =>
  `\`\`\`console\n$ aneforge ${command}\n${output.trimEnd()}\n\`\`\``;

const DOCTOR = `
aneforge 0.1.0, Deno 2.9.6, V8 15.0.245.2-rusty
check            found
system       ok  linux 6.18.44 x86_64
chip         ok  x86_64, 2 CPUs
permissions  ok  --allow-ffi --allow-read --allow-write --allow-env --allow-run
environment  ok  no variable of this package is set
C compiler   ok  /usr/bin/clang
cache        ok  ~/.cache/aneforge, writable
device       ok  host (no Neural Engine on linux x86_64); target h13, family 2 (A13), arithmetic
                 ane, 2 threads
library      ok  ~/.cache/aneforge/lib/aneforge_host-261eca662c5d25b7b1c589eb-e76a49b71c6e/libanefor
                 ge_host.so; provider host, ABI 1
symbols      ok  all 42 found
relu         ok  64 values right; compiled in 17.4 ms, runs in 3.4 us
convolution  ok  256 values right; compiled in 1.7 ms, runs in 6.5 us`.trim();

const CHECK = `
targets                      compiles  notes
h13, h13g, t1, h14, h14g,    yes
h14c
h15, h15g, h15c, m11         yes       fp16 results for family 4 may differ from those of family 2:
                                       reduce_mean [1, 128, 1, 1]: sums in another order, at most
                                       one unit in the last place; softmax [1, 10]: sums in another
                                       order, at most one unit in the last place. The program is
                                       valid; only that chip can say what it computes
h16, h16g, h16c, h16s, h17,  yes       fp16 results for family 5 may differ from those of family 2:
h17a, h17g, h17s, h17c,                reduce_mean [1, 128, 1, 1]: sums in another order, at most
h17d, h18                              one unit in the last place; softmax [1, 10]: sums in another
                                       order, at most one unit in the last place. The program is
                                       valid; only that chip can say what it computes`.trim();

const BENCH = `
device            host (this CPU, arithmetic ane)
operations        10
compile           26.65 ms
runs              196
median            1.51 ms, 664 per second
least             1.01 ms
mean              4.10 ms
95 %              12.18 ms
most              18.28 ms
rate              13.71 GFLOP/s
estimate for h13  205.7 us`.trim();

const RUN = `
output  shape         min     mean      max  not finite  first values
t10     [1, 10]  0.038483  0.10001  0.33423           0  0.046509 0.04071 0.098877 0.039825 0.098083
                                                         0.052826 …`.trim();

const INTRO = `
\`deno task aneforge COMMAND\` in a checkout; without one, straight from the module:

\`\`\`sh
deno run jsr:@aneforge/core/cli ops --chip M1
deno install -g -A -n aneforge jsr:@aneforge/core/cli # from then on: aneforge ops --chip M1
\`\`\`

The device's libraries are built from files, not from addresses: where the module is not a checkout, the commands that use a
device need \`ANEFORGE_SHIM\`, a directory with libraries built by \`deno task build\` elsewhere.

Every command takes \`--json\`, \`--width N\` and \`--help\`. Tables are as wide as the terminal, or 100 columns where there is
none; long cells go on in the next line, and where that is not enough rows are written one below the other. Numbers that are not finite are text in JSON: \`"Infinity"\`, \`"NaN"\`. Colours
appear on a terminal only, and not when \`NO_COLOR\` is set. Results go to standard output, everything else to standard
error.

| exit status | meaning                                                                         |
| ----------- | ------------------------------------------------------------------------------- |
| 0           | all is well                                                                     |
| 1           | it failed, or the answer is no (\`preflight\`, \`check\`, \`doctor\`)                 |
| 2           | the command line is wrong: unknown command, option, file, operation, or target |
`.trim();

const GRAPHS = `
Commands that take FILE load a TypeScript or JavaScript module whose default export, or export \`graph\`, is a Tensor,
a list of Tensors, or a function that returns one of these or a promise of it. The module runs with the permissions of
the command. It has to import the same copy of this package as the command; one of another copy is refused with the
address of the right one. ONNX files are refused: the importer is not built yet.

\`\`\`ts
// net.ts
import * as af from "jsr:@aneforge/core";

export default af.input([1, 64]).relu();
\`\`\`

TARGET is a compiler target such as \`h13\`, a chip such as \`M1\`, \`own\` for that of this machine, \`all\`, or several with
commas. A chip that several targets carry counts as the first of them.
`.trim();

function commandTable(): string {
  const rows = COMMANDS.map(({ name, summary, permissions }) =>
    `| \`${name}\` | ${summary} | ${permissions.replaceAll(/--allow-[a-zA-Z=_]+/g, "`$&`")} |`
  );
  return ["| command | what it does | permissions |", "| --- | --- | --- |", ...rows].join("\n");
}

/**
 * The page.
 *
 * @param mark What stands below its title.
 * @returns Markdown.
 */
export async function cliPage(mark: string): Promise<string> {
  const helps = COMMANDS.map(({ name }) => shown(`${name} --help`));
  return [
    "# The command line",
    mark,
    INTRO,
    commandTable(),
    "## Graphs and targets",
    GRAPHS,
    "## What chips can do",
    await shown("op sin"),
    await shown("ops --chip M1 --status walled --category special"),
    "`--json` gives all that is known, for a script:",
    block(
      `ops --json | jq -r '.[] | select(.status.m1 == "walled" and .status.m5 == "native") | .op'`,
      "argsort\ntopk\naffine\ncrop_resize\nresample",
    ),
    await shown("targets M1"),
    "## What becomes of a graph",
    "`estimate` computes times from published measurements, without a device; [cost.md](cost.md) says how far off they are.",
    await shown(`estimate ${EXAMPLE} --target M1,M2,M3,M4,M5`),
    await shown(`estimate ${EXAMPLE} --target M1 --by-op`),
    "`--plot FILE` draws the first as bars by target, the second as a roofline, as SVG. The plotting library is loaded for it " +
    "only.",
    "`preflight` looks into tables, `check` asks the device's compiler. Both end with status 1 when one of the targets does " +
    "not take the graph.",
    await shown(`preflight ${EXAMPLE} --target M1`),
    block(`check ${EXAMPLE}`, CHECK),
    "`explain` shows the rewrites, the program text and, on the host device, the plan: which operations share a step, and " +
    "where values lie.",
    "## Running",
    block(`run ${EXAMPLE}`, RUN),
    "`--input` takes safetensors, by port name or in order, or JSON: an object by port name, or a list with one nested array " +
    "per input. Without it values are drawn with `--seed`. `--output` writes safetensors.",
    block(`bench ${EXAMPLE}`, BENCH),
    "`doctor` writes one block for a bug report; the home directory is not in it.",
    block("doctor", DOCTOR),
    "## Completions",
    "`source <(aneforge completions bash)` in `~/.bashrc`, the same with `zsh` in `~/.zshrc` behind `compinit`, and " +
    "`aneforge completions fish | source` in `config.fish`.",
    "## All options",
    ...await Promise.all(helps),
    "",
  ].join("\n\n");
}
