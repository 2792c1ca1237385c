/**
 * Recomputes the published error figures of the silicon on the host device: `deno task fingerprints [--json] [--full]
 * [--quick]`. Convolutions follow the chip, so the work is split between two processes, one per target.
 *
 * With `--target=NAME` the figures of one target are computed in this process and printed as JSON lines.
 *
 * @module
 */

import { check, type Figure, FIGURES, type Result, type Rule, type Size } from "../tests/fingerprint_figures.ts";
import { onWarning } from "../src/warnings.ts";

/** Targets the figures are computed for, and the convolution rule of each. Others go with the first. */
const TARGETS: Readonly<Record<string, Rule>> = { h13: "direct", h17s: "winograd" };

const SIZES: readonly Size[] = ["quick", "default", "full"];

/** Figures of a target up to a size. Those that hold for every target are computed once, with the first. */
function select(target: string, size: Size): Figure[] {
  const rule = TARGETS[target];
  if (!rule) throw new Error(`--target=${target}: expected ${Object.keys(TARGETS).join(" or ")}`);
  const shared = target === Object.keys(TARGETS)[0];
  return FIGURES.filter((figure) =>
    SIZES.indexOf(figure.size) <= SIZES.indexOf(size) && (figure.rule === rule || (figure.rule === "any" && shared))
  );
}

/** One line per figure on stdout, as soon as it is there: its index in the table and its results. */
function compute(target: string, size: Size): void {
  for (const figure of select(target, size)) {
    console.log(JSON.stringify({ index: FIGURES.indexOf(figure), results: check(figure) }));
  }
}

async function computeApart(target: string, size: Size): Promise<{ index: number; results: Result[] }[]> {
  const { code, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", import.meta.filename!, `--target=${target}`, `--${size}`],
    env: {
      ANEFORGE_TARGET: target,
      ANEFORGE_DEVICE: "host",
      ANEFORGE_HOST_NUMERICS: "ane",
      ANEFORGE_DISABLE_COMPILE_BREAKER: "1",
      NO_COLOR: "1",
    },
    stderr: "inherit",
  }).output();
  if (code !== 0) throw new Error(`the figures of ${target} ended with ${code}`);
  return new TextDecoder().decode(stdout).trim().split("\n").map((line) => JSON.parse(line));
}

/**
 * Computes the figures of all targets up to a size, one process per target, side by side.
 *
 * @param size How many: `quick` is seconds, `default` about a minute, `full` several.
 * @param targets Only these.
 * @returns One result per published number, in the order of the table.
 */
export async function fingerprints(size: Size, targets = Object.keys(TARGETS)): Promise<Result[]> {
  const parts = await Promise.all(targets.map((target) => computeApart(target, size)));
  return parts.flat().sort((a, b) => a.index - b.index).flatMap(({ results }) => results);
}

/** Markdown table of results. */
export function table(results: readonly Result[]): string {
  const lines = results.map(({ name, chip, published, ours, digits, required, ok }) => {
    const verdict = required === 0 ? "not reproduced" : ok ? "yes" : "NO";
    return `| ${name} | ${chip} | ${published} | ${ours} | ${digits} | ${verdict} |`;
  });
  return ["| figure | silicon | published | host device | digits | agrees |", "| --- | --- | --- | --- | --- | --- |"]
    .concat(lines).join("\n");
}

async function main(args: readonly string[]): Promise<number> {
  const known = ["--json", ...SIZES.map((size) => `--${size}`)];
  const size = SIZES.find((name) => args.includes(`--${name}`)) ?? "default";
  const target = args.find((arg) => arg.startsWith("--target="))?.slice("--target=".length);
  const unknown = args.find((arg) => !known.includes(arg) && !arg.startsWith("--target="));
  if (unknown) throw new Error(`${unknown}: expected ${known.join(", ")} or --target=NAME`);
  if (target) {
    onWarning(() => {}); // the figures are meant to be what the warnings are about
    compute(target, size);
    return 0;
  }
  const figures = await fingerprints(size);
  const failed = figures.filter(({ ok }) => !ok).length;
  if (args.includes("--json")) console.log(JSON.stringify({ figures, failed }));
  else console.log(`${table(figures)}\n\n${figures.length} figures, ${failed} failed`);
  return failed;
}

if (import.meta.main) Deno.exit(await main(Deno.args) > 0 ? 1 : 0);
