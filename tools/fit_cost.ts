/**
 * Fits the cost model to the measured rows and writes its parameters (src/targets/data/cost_fitted.json) and the tables
 * of docs/cost.md. `--check` fits again and compares instead.
 *
 * The fit minimises the sum over rows of |ln(predicted / measured)|, rounded off at 2 %, plus a weak pull of each machine's
 * parameters to those of the M5 brought to its clock and cores. It is a coordinate search over the logarithms of the
 * parameters: no randomness, no library.
 *
 * @module
 */

import {
  type CostChip,
  type CostProfile,
  costProfile,
  type FittedParameters,
  fittedUs,
} from "../src/targets/cost_fitted.ts";
import { originalUs } from "../src/targets/cost_original.ts";
import { countWork, type Work } from "../src/targets/cost_work.ts";
import { MEASURED_ROWS, MEASURED_SOURCES, type MeasuredRow } from "../src/targets/data/cost_measured.ts";
import { classOf, type MeasuredGraph, measuredGraph, type RowClass } from "./cost_graphs.ts";
import { formatted } from "./gen_docs.ts";

/** Target and parameters a machine is predicted with. The M4 has no parameters of its own: it tests the scaling. */
export const MACHINES: Readonly<Record<MeasuredRow["chip"], { arch: string; chip: CostChip }>> = {
  "M1": { arch: "h13", chip: "M1" },
  "M1 Max": { arch: "h13g", chip: "M1 Max" },
  "M2": { arch: "h14", chip: "M2" },
  "M2 Pro": { arch: "h14", chip: "M2 Pro" },
  "M4": { arch: "h16", chip: "M5" },
  "M5": { arch: "h17s", chip: "M5" },
  "M5 Pro": { arch: "h17s", chip: "M5" },
};

/** A row with its program, rebuilt and counted. */
export interface Sample {
  /** The row. */
  readonly row: MeasuredRow;
  /** Its program. */
  readonly graph: MeasuredGraph;
  /** What the program asks for. */
  readonly work: Work;
}

/**
 * Rebuilds and counts measured rows.
 *
 * @param rows The rows (default: all).
 * @returns The samples.
 */
export function samples(rows: readonly MeasuredRow[] = MEASURED_ROWS): Sample[] {
  return rows.map((row) => {
    const graph = measuredGraph(row);
    const { arch, chip } = MACHINES[row.chip];
    return { row, graph, work: countWork([graph.out], costProfile(arch, chip).winograd) };
  });
}

type Profiles = Readonly<Record<MeasuredRow["chip"], CostProfile>>;

function profilesOf(parameters: FittedParameters): Profiles {
  const entries = Object.entries(MACHINES).map(([name, { arch, chip }]) => [name, costProfile(arch, chip, parameters)]);
  return Object.fromEntries(entries);
}

function predictWith({ row, graph, work }: Sample, profiles: Profiles, { shared }: FittedParameters): number {
  return graph.dispatches * fittedUs(work, row.int8 ?? false, profiles[row.chip], shared);
}

/**
 * Prediction for a row.
 *
 * @param sample The row.
 * @param parameters Parameters.
 * @returns Microseconds.
 */
export function predictUs(sample: Sample, parameters: FittedParameters): number {
  return predictWith(sample, profilesOf(parameters), parameters);
}

/** Where the search starts: round figures of the right order, the same for all machines but the clock and cores. */
const START: FittedParameters = {
  shared: {
    flopsPerCycle: 8192, // 16 cores of 256 multiply-accumulate units
    weightCapacity: 16e6,
    restreamRate: 5e4,
    arenaCapacity: 16e6,
    arenaRate: 1e4,
    stepUs: 1,
    passUs: { elementwise: 10, softmax: 100, layer_norm: 1000, rms_norm: 1000, group_norm: 100 },
  },
  chips: {
    "M1": { floorUs: 150, readRate: 1e4, writeRate: 1e4, weightRate: 5e4 },
    "M1 Max": { floorUs: 150, readRate: 1e4, writeRate: 1e4, weightRate: 5e4 },
    "M2": { floorUs: 100, readRate: 1e4, writeRate: 1e4, weightRate: 5e4 },
    "M2 Pro": { floorUs: 100, readRate: 1e4, writeRate: 1e4, weightRate: 5e4 },
    "M5": { floorUs: 75, readRate: 2e4, writeRate: 2e4, weightRate: 1e5 },
  },
};

/** Machine a machine's parameters are pulled to. */
const PARENTS: readonly (readonly [CostChip, CostChip])[] = [
  ["M1", "M5"],
  ["M1 Max", "M5"],
  ["M2", "M5"],
  ["M2 Pro", "M2"],
];
const PULL = 0.1;
const ROUNDING = 0.02;
const RATES = ["readRate", "writeRate", "weightRate"] as const;

/** Sum over machines of (ln parameter - ln parameter of the parent, scaled)^2. */
function pull(parameters: FittedParameters): number {
  let sum = 0;
  for (const [chip, parent] of PARENTS) {
    const own = parameters.chips[chip];
    const scaled = costProfile(MACHINES[chip].arch, parent, parameters);
    for (const key of ["floorUs", ...RATES] as const) sum += Math.log(own[key] / scaled[key]) ** 2;
  }
  return PULL * sum;
}

function loss(data: readonly Sample[], parameters: FittedParameters): number {
  const profiles = profilesOf(parameters);
  const misfit = data.reduce((sum, sample) => {
    const r = Math.log(predictWith(sample, profiles, parameters) / sample.row.us);
    return sum + Math.sqrt(r * r + ROUNDING * ROUNDING);
  }, 0);
  return misfit + pull(parameters);
}

/** A parameter by its place, and the machines whose rows it changes (none: all of them). */
interface Coordinate {
  readonly path: readonly string[];
  readonly chip?: CostChip;
}

// deno-lint-ignore no-explicit-any
type Tree = any;

function coordinates(tree: Tree, path: readonly string[] = []): Coordinate[] {
  return Object.entries(tree).flatMap(([key, value]): Coordinate[] => {
    const here = [...path, key];
    if (typeof value !== "number") return coordinates(value, here);
    return [{ path: here, ...(here[0] === "chips" ? { chip: here[1] as CostChip } : {}) }];
  });
}

function scaled(parameters: Tree, [key, ...rest]: readonly string[], factor: number): Tree {
  const inner = rest.length > 0 ? scaled(parameters[key!], rest, factor) : parameters[key!] * factor;
  return { ...parameters, [key!]: inner };
}

const rounded = (value: number): number => Number(value.toPrecision(3));
const roundAll = (tree: Tree): Tree =>
  typeof tree === "number"
    ? rounded(tree)
    : Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, roundAll(value)]));

/**
 * Fits the parameters.
 *
 * @param data Rows to fit to.
 * @returns The parameters, three digits each.
 */
export function fit(data: readonly Sample[]): FittedParameters {
  let best: FittedParameters = START;
  const all = coordinates(START);
  // Each parameter has its own step; it grows with success and shrinks without.
  const steps = all.map(() => 0.5);
  for (let sweep = 0; sweep < 400 && Math.max(...steps) > 1e-3; sweep++) {
    for (const [i, { path, chip }] of all.entries()) {
      const touched = chip === undefined ? data : data.filter(({ row }) => MACHINES[row.chip].chip === chip);
      const before = loss(touched, best);
      const trials = [1, -1].map((sign) => scaled(best, path, Math.exp(sign * steps[i]!)) as FittedParameters);
      const after = trials.map((trial) => loss(touched, trial));
      const winner = after[0]! <= after[1]! ? 0 : 1;
      const better = after[winner]! < before - 1e-9;
      if (better) best = trials[winner]!;
      steps[i] = Math.min(0.5, steps[i]! * (better ? 1.5 : 0.6));
    }
  }
  return roundAll(best);
}

/**
 * Predictions for the rows of each source from a fit without them.
 *
 * @param data All rows.
 * @returns One prediction per row, microseconds.
 */
export function leaveOneSourceOut(data: readonly Sample[]): number[] {
  const parameters = new Map(
    Object.keys(MEASURED_SOURCES).map((source) => [source, fit(data.filter(({ row }) => row.source !== source))]),
  );
  return data.map((sample) => predictUs(sample, parameters.get(sample.row.source)!));
}

/** How far predictions are off. */
export interface Errors {
  /** Rows. */
  readonly rows: number;
  /** Median of |predicted / measured - 1|. */
  readonly median: number;
  /** Nine of ten rows are within this. */
  readonly p90: number;
  /** Geometric mean of predicted / measured. */
  readonly ratio: number;
}

/**
 * Errors of predictions.
 *
 * @param pairs Predicted and measured.
 * @returns The errors.
 */
export function errorsOf(pairs: readonly (readonly [predicted: number, measured: number])[]): Errors {
  const sorted = pairs.map(([p, m]) => Math.abs(p / m - 1)).sort((a, b) => a - b);
  const at = (q: number): number => sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)]!;
  const middle = sorted.length >> 1;
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  const ratio = Math.exp(pairs.reduce((sum, [p, m]) => sum + Math.log(p / m), 0) / pairs.length);
  return { rows: pairs.length, median, p90: at(0.9), ratio };
}

/** Predictions of every model for a row. */
export interface Judged extends Sample {
  /** The fitted model. */
  readonly fitted: number;
  /** The fitted model without the row's source. */
  readonly left: number;
  /** The original with the machine's target. */
  readonly original: number;
  /** The original without a target. */
  readonly none: number;
}

/**
 * Predictions of the models for all rows.
 *
 * @param data All rows.
 * @param parameters The fit.
 * @param left Predictions of {@linkcode leaveOneSourceOut}.
 * @returns The rows with their predictions.
 */
export function judge(data: readonly Sample[], parameters: FittedParameters, left: readonly number[]): Judged[] {
  return data.map((sample, i) => {
    const { row, graph } = sample;
    const original = (arch?: string): number => graph.dispatches * originalUs([graph.out], arch, row.int8 ?? false);
    return {
      ...sample,
      fitted: predictUs(sample, parameters),
      left: left[i]!,
      original: original(MACHINES[row.chip].arch),
      none: original(),
    };
  });
}

const percent = (value: number): string => `${(100 * value).toFixed(0)} %`;
const table = (head: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [head, head.map((_, i) => i === 0 ? "---" : "---:"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

function errorCells(group: readonly Judged[]): string[] {
  const of = (key: "fitted" | "left" | "original"): Errors => errorsOf(group.map((j) => [j[key], j.row.us]));
  return [
    String(group.length),
    ...(["fitted", "left", "original"] as const).flatMap((key) => {
      const { median, p90, ratio } = of(key);
      return [percent(median), percent(p90), ratio.toFixed(2)];
    }),
  ];
}

const HEAD = ["rows", ...["fitted", "left out", "original"].flatMap((m) => [`${m}: median`, "90 %", "ratio"])];

function errorTable(first: string, judged: readonly Judged[], key: (j: Judged) => string): string {
  const groups = Map.groupBy(judged, key);
  return table([first, ...HEAD], [
    ...[...groups].map(([name, group]) => [name, ...errorCells(group)]),
    ["**all**", ...errorCells(judged)],
  ]);
}

function parameterTables({ shared, chips }: FittedParameters): string {
  const { passUs, ...rest } = shared;
  const rows = [
    ...Object.entries(rest),
    ...Object.entries(passUs).map(([pass, us]) => [`passUs.${pass}`, us] as const),
  ];
  return [
    table(
      ["machine", "floor, us", "read, GB/s", "write, GB/s", "weights, GB/s", "peak, TFLOP/s"],
      (Object.keys(chips) as CostChip[]).map((chip) => {
        const { floorUs, readRate, writeRate, weightRate } = chips[chip];
        const { peak } = costProfile(MACHINES[chip].arch, chip, { shared, chips });
        return [
          chip,
          floorUs,
          ...[readRate, writeRate, weightRate].map((rate) => (rate / 1e3).toPrecision(3)),
          (peak / 1e6).toPrecision(3),
        ];
      }),
    ),
    table(["for all machines", "value"], rows.map(([key, value]) => [`\`${key}\``, value])),
  ].join("\n\n");
}

/** Rows that are off by more than 40 %. */
function outliers(judged: readonly Judged[]): string {
  const far = judged.filter(({ fitted, row }) => Math.abs(fitted / row.us - 1) > 0.4);
  return table(
    ["row", "machine", "source", "measured, us", "fitted, us", "original, us"],
    far.map(({ row, fitted, original }) => [
      `${row.graph} [${row.x.join(", ")}]${row.w ? ` by [${row.w.join(", ")}]` : ""}${row.int8 ? " int8" : ""}`,
      row.chip,
      row.source,
      row.us.toFixed(0),
      fitted.toFixed(0),
      original.toFixed(0),
    ]),
  );
}

const CLASSES: readonly RowClass[] = [
  "matrix times vector",
  "matrix product",
  "convolution",
  "elementwise, reduction, norm",
  "several operations",
];

/** The generated part of docs/cost.md. */
function section(parameters: FittedParameters, judged: readonly Judged[]): string {
  const byClass = judged.toSorted((a, b) => CLASSES.indexOf(classOf(a.row)) - CLASSES.indexOf(classOf(b.row)));
  const chips = Object.keys(MACHINES);
  const byChip = byClass.toSorted((a, b) => chips.indexOf(a.row.chip) - chips.indexOf(b.row.chip));
  const m5 = judged.filter(({ row }) => MACHINES[row.chip].arch === "h17s");
  const none = errorsOf(m5.map(({ none, row }) => [none, row.us]));
  return [
    "### Parameters",
    parameterTables(parameters),
    "### By machine and kind of operation",
    errorTable("machine, kind", byChip, ({ row }) => `${row.chip}, ${classOf(row)}`),
    `The original without a target, on the ${none.rows} rows of M5 and M5 Pro: median ${
      percent(none.median)
    }, 90 % of the ` +
    `rows within ${percent(none.p90)}, ratio ${none.ratio.toFixed(2)}.`,
    "### By source",
    errorTable("source", judged, ({ row }) => row.source),
    "### Rows that are off by more than 40 %",
    outliers(judged),
  ].join("\n\n");
}

const BEGIN = "<!-- Written by tools/fit_cost.ts from here -->";
const END = "<!-- to here -->";

/** The page with its generated part replaced. */
async function page(url: URL, text: string): Promise<[old: string, fresh: string]> {
  const old = await Deno.readTextFile(url);
  const [begin, end] = [old.indexOf(BEGIN), old.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${url.pathname}: the marks of the generated part are missing`);
  const fresh = `${old.slice(0, begin)}${BEGIN}\n\n${text}\n\n${old.slice(end)}`;
  return [old, await formatted(fresh)];
}

async function main(check: boolean): Promise<number> {
  const data = samples();
  const parameters = fit(data);
  const judged = judge(data, parameters, leaveOneSourceOut(data));
  const files = [
    ["src/targets/data/cost_fitted.json", `${JSON.stringify(parameters, null, 2)}\n`],
    ["docs/cost.md", section(parameters, judged)],
  ] as const;
  let stale = 0;
  for (const [path, text] of files) {
    const url = new URL(`../${path}`, import.meta.url);
    const [old, fresh] = path.endsWith(".md") ? await page(url, text) : [await Deno.readTextFile(url), text];
    if (old === fresh) continue;
    stale++;
    if (check) console.error(`${path} is out of date: run deno task fit-cost`);
    else await Deno.writeTextFile(url, fresh);
  }
  for (const key of ["fitted", "left", "original"] as const) {
    const { rows, median, p90 } = errorsOf(judged.map((j) => [j[key], j.row.us]));
    console.log(`${key}: ${rows} rows, median ${percent(median)}, 90 % within ${percent(p90)}`);
  }
  return check ? stale : 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args.includes("--check")) > 0 ? 1 : 0);
