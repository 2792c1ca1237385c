/**
 * `aneforge doctor`.
 *
 * @module
 */

import { compile } from "../compile/compile.ts";
import { programsDir } from "../compile/cache.ts";
import { cacheBase, ENVIRONMENT, envText } from "../env.ts";
import { brandString, familyOfBrand } from "../../ffi/chip.ts";
import { lookupCompiler } from "../../ffi/compiler.ts";
import { device, type DeviceInfo } from "../../ffi/device.ts";
import { conv } from "../graph/functions.ts";
import { array, type NDArray } from "../graph/ndarray.ts";
import { input, type Tensor } from "../graph/tensor.ts";
import { FAMILIES } from "../targets/targets.ts";
import { silence } from "../warnings.ts";
import { defineCommand, EXIT } from "./command.ts";
import { RUNTIME, VERSION } from "./info.ts";
import { duration, type Output, type Style } from "./output.ts";
import { withoutHome } from "./paths.ts";

/** How a check ended. */
type Status = "ok" | "warning" | "failed";

/** One line of the report. */
interface Finding {
  /** What was looked at. */
  readonly check: string;
  /** How it ended. */
  readonly status: Status;
  /** What was found. */
  readonly detail: string;
  /** Milliseconds of the compile and microseconds of a run, for the two programs. */
  readonly compileMs?: number;
  /** Median of the runs. */
  readonly runUs?: number;
}

const STATUS_STYLE: Readonly<Record<Status, Style>> = { ok: "good", warning: "weak", failed: "bad" };

/** Runs of a program that are timed. */
const RUNS = 100;

type Verdict = Omit<Finding, "check">;
const ok = (detail: string): Verdict => ({ status: "ok", detail });
const warning = (detail: string): Verdict => ({ status: "warning", detail });
const failed = (detail: string): Verdict => ({ status: "failed", detail });

/** The operating system; its release only where that may be asked. */
function system(): Verdict {
  const may = Deno.permissions.querySync({ name: "sys", kind: "osRelease" }).state === "granted";
  const os = `${Deno.build.os} ${may ? `${Deno.osRelease()} ` : ""}${Deno.build.arch}`;
  return Deno.build.os === "windows" ? failed(`${os}: only macOS and Linux are supported`) : ok(os);
}

/** Name of a processor by the kernel's list; empty where there is none. */
function linuxChip(): string {
  try {
    return /^model name\s*:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? "";
  } catch {
    return "";
  }
}

function chip(): Verdict {
  const brand = Deno.build.os === "darwin" ? brandString() : linuxChip();
  const name = `${brand || Deno.build.arch}, ${navigator.hardwareConcurrency} CPUs`;
  if (Deno.build.os !== "darwin") return ok(name);
  const family = familyOfBrand(brand);
  return family === undefined
    ? warning(`${name}: not a chip with a known engine; set ANEFORGE_TARGET`)
    : ok(`${name}, family ${family}`);
}

const PERMISSIONS = ["ffi", "read", "write", "env", "run"] as const;

function permissions(): Verdict {
  const missing = PERMISSIONS.filter((name) => Deno.permissions.querySync({ name }).state !== "granted");
  if (missing.length === 0) return ok(PERMISSIONS.map((name) => `--allow-${name}`).join(" "));
  return warning(`not granted as a whole: ${missing.map((name) => `--allow-${name}`).join(" ")}`);
}

function environment(): Verdict {
  const set = ENVIRONMENT.filter(({ name }) => /^(ANEFORGE_|CC$)/.test(name)).flatMap(({ name }) => {
    const value = envText(name);
    return value === undefined ? [] : [`${name}=${value}`];
  });
  return ok(set.join(" ") || "no variable of this package is set");
}

function compiler(): Verdict {
  const found = lookupCompiler();
  if (found) return ok([found.path, ...found.args].join(" "));
  return warning("no C compiler; it is needed once, unless ANEFORGE_SHIM names built libraries");
}

/** Writes and removes a file where programs are kept. */
function cache(): Verdict {
  const dir = programsDir();
  Deno.mkdirSync(dir, { recursive: true });
  const probe = Deno.makeTempFileSync({ dir, prefix: "doctor-" });
  Deno.removeSync(probe);
  return ok(
    dir === `${cacheBase()}/programs` ? `${cacheBase()}, writable` : `${cacheBase()}; programs in ${dir}, writable`,
  );
}

function deviceInUse(): Verdict {
  const { name, reason, target, family, numerics, threads, isa } = device();
  const host = threads === undefined ? "" : `, ${threads} threads${isa ? `, ${isa}` : ""}`;
  return ok(
    `${name} (${reason}); target ${target}, family ${family} (${
      FAMILIES[family - 1]!.name
    }), arithmetic ${numerics}${host}`,
  );
}

const library = (): Verdict => {
  const { library, provider } = device();
  return ok(`${library}; provider ${provider.provider ?? "?"}, ABI ${provider.abi ?? "?"}`);
};

/** The vendor's functions: all of them found, or which are not. */
function symbols(provider: DeviceInfo["provider"]): Verdict {
  const rows = Object.entries(provider).filter(([key]) => key.startsWith("symbol."));
  const lacking = rows.filter(([, state]) => state !== "found");
  if (lacking.length === 0) return ok(`all ${rows.length} found`);
  const text = lacking.map(([key, state]) => `${key.slice("symbol.".length)} ${state}`).join(", ");
  return lacking.some(([, state]) => state === "missing-required") ? failed(text) : warning(text);
}

/** Compiles a graph of one input, compares every value, and measures. */
function probe(out: Tensor, values: Float32Array, expected: readonly number[]): Verdict {
  const start = performance.now();
  using model = compile(out);
  const compileMs = performance.now() - start;
  const result = new Float32Array(expected.length);
  const times = Array.from({ length: RUNS }, () => {
    const before = performance.now();
    model.runInto([values], [result]);
    return 1000 * (performance.now() - before);
  }).sort((a, b) => a - b);
  const runUs = times[RUNS >> 1]!;
  const wrong = expected.flatMap((value, i) => result[i] === value ? [] : [i]);
  const timing = `compiled in ${compileMs.toFixed(1)} ms, runs in ${duration(runUs)}`;
  if (wrong.length === 0) return { ...ok(`${expected.length} values right; ${timing}`), compileMs, runUs };
  const i = wrong[0]!;
  const detail = `${wrong.length} of ${expected.length} values wrong, the first at ${i}: ${result[i]}, expected ${
    expected[i]
  }; ${timing}`;
  return { ...failed(detail), compileMs, runUs };
}

function relu(): Verdict {
  const values = Float32Array.from({ length: 64 }, (_, i) => (i - 32) / 4);
  return probe(input([1, 64]).relu(), values, [...values].map((v) => Math.max(v, 0)));
}

/** y[o][r][c] = sum over i, u, v of x[i][r + u - 1][c + v - 1] w[o][i][u][v], zeros around the image. */
function convolve(x: Float32Array, { data: w }: NDArray, channels: number, kernels: number, side: number): number[] {
  return Array.from({ length: kernels * side * side }, (_, k) => {
    const [o, r, c] = [Math.floor(k / side / side), Math.floor(k / side) % side, k % side];
    let sum = 0;
    for (let i = 0; i < channels; i++) {
      for (let t = 0; t < 9; t++) {
        const row = r + Math.floor(t / 3) - 1, column = c + t % 3 - 1;
        if (row < 0 || column < 0 || row >= side || column >= side) continue;
        sum += x[(i * side + row) * side + column]! * w[(o * channels + i) * 9 + t]!;
      }
    }
    return sum;
  });
}

/** A 3x3 convolution of small integers, which every arithmetic of an engine computes exactly. */
function convolution(): Verdict {
  const [channels, kernels, side] = [3, 4, 8];
  const values = Float32Array.from({ length: channels * side * side }, (_, i) => (i * 7) % 5 - 2);
  const weight = array(Float32Array.from({ length: kernels * channels * 9 }, (_, i) => (i * 5) % 7 - 3), [
    kernels,
    channels,
    3,
    3,
  ]);
  const out = conv(input([1, channels, side, side]), weight, { pad: 1 });
  return probe(out, values, convolve(values, weight, channels, kernels, side));
}

/** Everything that is looked at, in an order in which a failure explains those after it. */
const CHECKS: readonly (readonly [string, () => Verdict])[] = [
  ["system", system],
  ["chip", chip],
  ["permissions", permissions],
  ["environment", environment],
  ["C compiler", compiler],
  ["cache", cache],
  ["device", deviceInUse],
  ["library", library],
  ["symbols", () => symbols(device().provider)],
  ["relu", relu],
  ["convolution", convolution],
];

function examine([check, look]: (typeof CHECKS)[number]): Finding {
  try {
    const { detail, ...verdict } = look();
    return { check, detail: withoutHome(detail), ...verdict };
  } catch (error) {
    const detail = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { check, ...failed(withoutHome(detail)) };
  }
}

/** A failure that was reported already is named only. */
function shortened(findings: readonly Finding[]): Finding[] {
  return findings.map((finding) => {
    const first = findings.find(({ detail }) => detail === finding.detail)!;
    return first === finding || first.status !== "failed" ? finding : { ...finding, detail: `as for ${first.check}` };
  });
}

function print(out: Output, findings: readonly Finding[]): void {
  out.line(`aneforge ${VERSION}, ${RUNTIME}`);
  out.table([
    { head: "check", cell: ({ check }) => check },
    { head: "", cell: ({ status }) => status, style: ({ status }) => STATUS_STYLE[status] },
    { head: "found", cell: ({ detail }) => detail.replaceAll(/\s+/g, " "), wrap: true },
  ], findings);
}

/** Whether all works here. */
export const doctor = defineCommand({
  name: "doctor",
  summary: "check that everything works here, in one block to paste into a bug report",
  details:
    "Two small programs are compiled, run, compared value by value and timed. Exit status 1 when a check failed.",
  permissions:
    "--allow-ffi --allow-read --allow-write --allow-env --allow-run --allow-sys=osRelease; it says which are missing",
  options: {},
  run(_, out) {
    const restore = silence("dispatch-floor");
    const findings = shortened(CHECKS.map(examine));
    restore();
    const healthy = findings.every(({ status }) => status !== "failed");
    if (out.json) out.object({ version: VERSION, runtime: RUNTIME, ok: healthy, checks: findings });
    else print(out, findings);
    return healthy ? EXIT.ok : EXIT.failed;
  },
});
