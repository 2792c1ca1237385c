/**
 * Holds every operation, on the device at hand, against float64 formulas: the hand-picked cases, the cases made by rule, and
 * compositions under their public names. Prints the worst error of each beside the one measured on silicon, where there is
 * one. Cases of families the device is not of run in a process of their own, where the host device takes that target.
 *
 * `--json` prints one line of JSON instead of a table; `--op=name` runs one operation.
 *
 * @module
 */

import { silence, WARNING_KINDS, type WarningKind } from "../src/warnings.ts";
import { conform, currentMode, type Outcome } from "../tests/conformance.ts";
import { OP_CASES, type OpCase } from "../tests/op_cases.ts";
import { GRID_CASES } from "../tests/op_grid.ts";
import { PUBLISHED, type Published } from "../tests/tolerance.ts";

/** Worst errors of one operation. */
interface Row {
  op: string;
  cases: number;
  maxRel: number;
  maxAbs: number;
  published?: Published;
}

/** What a run found. */
interface Report {
  numerics: string;
  ops: number;
  cases: number;
  failed: number;
  seconds: number;
  worst: Row[];
  failures: string[];
}

function rowsOf(outcomes: readonly Outcome[]): Row[] {
  const rows = new Map<string, Row>();
  for (const outcome of outcomes) {
    const { op } = outcome.trial;
    const row = rows.get(op) ?? { op, cases: 0, maxRel: 0, maxAbs: 0, published: PUBLISHED[op] };
    rows.set(op, row);
    row.cases++;
    row.maxRel = Math.max(row.maxRel, outcome.maxRel);
    row.maxAbs = Math.max(row.maxAbs, outcome.maxAbs);
  }
  return [...rows.values()].sort((a, b) => a.op < b.op ? -1 : 1);
}

function reportOf(outcomes: readonly Outcome[], seconds: number): Report {
  const worst = rowsOf(outcomes);
  const failures = outcomes.flatMap((outcome) =>
    outcome.failure !== undefined ? [`${outcome.trial.op} ${outcome.trial.title}: ${outcome.failure}`] : []
  );
  const [ops, cases, failed] = [worst.length, outcomes.length, failures.length];
  return { numerics: currentMode(), ops, cases, failed, seconds, worst, failures };
}

/** Runs the cases of another target in a process whose device is of it. */
async function reportOfTarget(target: string, args: readonly string[]): Promise<Report> {
  const permissions = ["ffi", "read", "write", "run", "env", "sys"].map((name) => `--allow-${name}`);
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", ...permissions, new URL(import.meta.url).pathname, "--json", `--target=${target}`, ...args],
    env: { ANEFORGE_TARGET: target, ANEFORGE_DEVICE: "host" },
  }).output();
  const line = new TextDecoder().decode(stdout).trim().split("\n").at(-1)!;
  if (line === "") throw new Error(`target ${target}: exit ${code}\n${new TextDecoder().decode(stderr)}`);
  return JSON.parse(line);
}

function merged(reports: readonly Report[]): Report {
  const rows = new Map<string, Row>();
  for (const row of reports.flatMap(({ worst }) => worst)) {
    const { cases = 0, maxRel = 0, maxAbs = 0 } = rows.get(row.op) ?? {};
    rows.set(row.op, {
      ...row,
      cases: row.cases + cases,
      maxRel: Math.max(row.maxRel, maxRel),
      maxAbs: Math.max(row.maxAbs, maxAbs),
    });
  }
  const total = (key: "cases" | "failed"): number => reports.reduce((sum, r) => sum + r[key], 0);
  return {
    numerics: reports[0]!.numerics,
    ops: rows.size,
    cases: total("cases"),
    failed: total("failed"),
    seconds: Math.max(...reports.map(({ seconds }) => seconds)),
    worst: [...rows.values()].sort((a, b) => a.op < b.op ? -1 : 1),
    failures: reports.flatMap(({ failures }) => failures),
  };
}

const digits = (v: number): string => v === 0 ? "0" : v.toPrecision(3);

function publishedText({ abs, rel, ulps, over }: Published): string {
  const parts = [
    abs === undefined ? "" : `abs ${abs}`,
    rel === undefined ? "" : `rel ${rel}`,
    ulps === undefined ? "" : `${ulps} ulp`,
  ].filter((part) => part !== "");
  return parts.join(", ") + (over === undefined ? "" : ` (${over})`);
}

function printTable({ worst, ops, cases, failed, seconds, numerics }: Report): void {
  console.log(`${"operation".padEnd(28)}${"cases".padStart(6)}  ${"max rel".padEnd(10)}${"max abs".padEnd(10)}silicon`);
  for (const { op, cases, maxRel, maxAbs, published } of worst) {
    const errors = `${digits(maxRel).padEnd(10)}${digits(maxAbs).padEnd(10)}`;
    console.log(`${op.padEnd(28)}${String(cases).padStart(6)}  ${errors}${published ? publishedText(published) : ""}`);
  }
  console.log(`${ops} operations, ${cases} cases, ${failed} failed; ${numerics}, ${seconds.toFixed(1)} s`);
}

async function main(args: readonly string[]): Promise<number> {
  for (const kind of Object.keys(WARNING_KINDS)) silence(kind as WarningKind);
  const option = (name: string): string | undefined =>
    args.find((arg) => arg.startsWith(`--${name}=`))?.slice(name.length + 3);
  const unknown = args.find((arg) => arg !== "--json" && !/^--(op|target)=/.test(arg));
  if (unknown !== undefined) {
    console.error(`conformance: unknown argument ${unknown}; known: --json, --op=NAME`);
    return 2;
  }
  const start = performance.now();
  const [op, target] = [option("op"), option("target")];
  const trials: OpCase[] = [...OP_CASES, ...GRID_CASES].filter((trial) => op === undefined || trial.op === op);
  if (trials.length === 0) {
    console.error(`conformance: there is no case of '${op}'`);
    return 2;
  }
  const others = [...new Set(trials.flatMap((trial) => trial.target ?? []))];
  const elsewhere = target === undefined
    ? others.map((other) => reportOfTarget(other, op === undefined ? [] : [`--op=${op}`]))
    : [];
  const here = conform(trials.filter((trial) => trial.target === target), currentMode());
  const own = reportOf(here, (performance.now() - start) / 1000);
  const report = merged([own, ...await Promise.all(elsewhere)]);
  report.seconds = Math.round((performance.now() - start) / 100) / 10;
  if (!args.includes("--json")) printTable(report);
  for (const failure of report.failures) console.error(failure);
  if (args.includes("--json")) console.log(JSON.stringify(report));
  return report.failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
