/** The `aneforge` command: results against the functions behind it, exit statuses, help, width, colours, completions. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import * as af from "../mod.ts";
import { main, type Sink } from "../src/cli/main.ts";
import { wrapText } from "../src/cli/output.ts";
import { OP_NAMES } from "../src/cli/op.ts";
import { formatSafetensors, parseSafetensors, toFloat32 } from "../src/data/safetensors.ts";
import { CATALOG } from "../src/targets/capabilities.ts";

const SCRIPT = new URL("../src/cli/main.ts", import.meta.url).pathname;
const MOD = new URL("../mod.ts", import.meta.url).href;
const COMMANDS = [
  ...["info", "doctor", "ops", "op", "targets", "estimate", "preflight", "check", "explain", "bench", "run"],
  "completions",
];

class Memory implements Sink {
  readonly #parts: string[] = [];
  readonly #terminal: boolean;
  constructor(terminal = false) {
    this.#terminal = terminal;
  }
  /** Takes at most 1000 bytes at a time, as a pipe may. */
  writeSync(bytes: Uint8Array): number {
    const part = bytes.subarray(0, 1000);
    this.#parts.push(Array.from(part, (byte) => String.fromCharCode(byte)).join(""));
    return part.length;
  }
  isTerminal(): boolean {
    return this.#terminal;
  }
  get text(): string {
    return new TextDecoder().decode(Uint8Array.from(this.#parts.join(""), (c) => c.charCodeAt(0)));
  }
}

async function cli(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const out = new Memory(), err = new Memory();
  const code = await main(args, out, err);
  return { code, out: out.text, err: err.text };
}

// deno-lint-ignore no-explicit-any
async function json(...args: string[]): Promise<any> {
  const { code, out } = await cli(...args, "--json");
  assert(code < 2, `${args.join(" ")}: exit ${code}`);
  return JSON.parse(out);
}

const dir = Deno.makeTempDirSync({ prefix: "cli-" });
globalThis.addEventListener("unload", () => Deno.removeSync(dir, { recursive: true }));

let files = 0;
/** A module in a file of its own; `af` is this package. */
function module(body: string, name = `graph${files++}.ts`): string {
  const path = `${dir}/${name}`;
  Deno.writeTextFileSync(path, `import * as af from ${JSON.stringify(MOD)};\n${body}\n`);
  return path;
}

const small = module("export default af.input([1, 4]).relu();");
const two = module("const x = af.input([1, 4]); export const graph = () => [x.relu(), x.adds(1)];");
const wide = module("export default af.input([1, 20000]).sin();");
const conv = module(
  "export default () => af.conv(af.input([1, 3, 16, 16]), af.array(new Float32Array(216).fill(0.5), [8, 3, 3, 3]), { pad: 1 }).relu();",
);

const FILE_COMMANDS = ["estimate", "preflight", "check", "explain", "bench", "run"];

Deno.test("cli: --help lists all commands, and every option of each, in the width there is", async () => {
  const overview = await cli("--help");
  assertEquals(overview.code, 0);
  for (const name of COMMANDS) {
    assertMatch(overview.out, new RegExp(`^  ${name} `, "m"));
    for (const width of [60, 100]) {
      const { code, out } = await cli(name, "--help", "--width", String(width));
      assertEquals(code, 0);
      for (const text of [`Usage: aneforge ${name}`, "--json", "--width N", "--help", "Permissions: "]) {
        assertStringIncludes(out, text);
      }
      if (width === 100) { for (const line of out.split("\n")) assert(line.length <= width, `${name}: ${line}`); }
    }
  }
  assertStringIncludes((await cli("estimate", "-h")).out, "--plot SVG");
  assertMatch((await cli("--version")).out, /^aneforge \d+\.\d+\.\d+\n$/);
});

Deno.test("cli: a wrong command line is status 2, says why, and prints nothing on stdout", async () => {
  const none = module("export const other = 1;");
  const number = module("export default 3;");
  const emptyList = module("export default [];");
  const mixed = module("export default [af.input([1]), 'x'];");
  const foreign = module("class Tensor { op = 'relu'; } export default new Tensor();");
  const cases: readonly (readonly [string[], RegExp])[] = [
    [["estimat"], /unknown command "estimat" \(close to estimate\)/],
    [["ops", "--nope"], /unknown option --nope/],
    [["ops", "--status", "good"], /expected one of native, bridge, walled/],
    [["ops", "extra"], /unexpected argument "extra"/],
    [["ops", "--chip", "M9"], /--chip "M9": expected one of M1, M2, M3, M4, M5/],
    [["ops", "--category", "zzz"], /--category "zzz"/],
    [["op"], /NAME is missing/],
    [["op", "sofmax"], /unknown operation "sofmax" \(close to softmax/],
    [["targets", "h99"], /unknown target "h99"/],
    [["targets", "u1"], /reference target of the compiler/],
    [["completions", "tcsh"], /unknown shell "tcsh"/],
    [["estimate", small, "--by-op"], /--by-op needs one target/],
    [["estimate", small, "--target", "h13", "--by-op", "--int8"], /--by-op goes with the fitted model/],
    [["bench", small, "--seconds", "0"], /--seconds "0"/],
    [["run", small, "--input", `${dir}/none.json`], /no file .*none\.json/],
    [["run", small, "--input", `${dir}/x.csv`], /expected a file \.safetensors or \.json/],
    [["run", none], /exports no graph: .* found other/],
    [["run", number], /its export default is a number/],
    [["run", emptyList], /an empty list/],
    [["run", mixed], /a list with a string/],
    [["run", foreign], /a Tensor of another copy of this package/],
    ...FILE_COMMANDS.flatMap((name): [string[], RegExp][] => [
      [[name], /FILE is missing/],
      [[name, `${dir}/none.ts`], /no file .*none\.ts/],
      [[name, dir], /is not a file/],
    ]),
    ...["estimate", "preflight", "check", "explain"].map((name): [string[], RegExp] => [
      [name, small, "--target", "h99"],
      /unknown target "h99".*`aneforge targets` lists them/,
    ]),
  ];
  for (const [args, message] of cases) {
    const { code, out, err } = await cli(...args);
    assertEquals([code, out], [2, ""], `${args.join(" ")}: ${err}`);
    assertMatch(err, message);
    assert(err.startsWith("aneforge: "), err);
  }
  const { code, out } = await cli();
  assertEquals(code, 2);
  assertStringIncludes(out, "Usage: aneforge COMMAND");
});

Deno.test("cli: a module that fails, and an ONNX file, are status 1", async () => {
  const onnx = `${dir}/net.onnx`;
  Deno.writeFileSync(onnx, new Uint8Array(8));
  const cases: readonly (readonly [string, RegExp])[] = [
    [onnx, /UnsupportedOpError: .*net\.onnx: the ONNX importer is not built yet/],
    [module("throw new Error('boom');"), /DataError: .* cannot be loaded: Error: boom/],
    [module("export default () => { throw new Error('late'); };"), /DataError: .* its function failed: Error: late/],
    [module("export default () => af.input([1, 2]).matmul(new Float32Array(3));"), /Error: .*graph\d+\.ts: /],
    [module("export default (;"), /DataError: .* cannot be loaded/],
  ];
  for (const [file, message] of cases) {
    const { code, out, err } = await cli("run", file);
    assertEquals([code, out], [1, ""], err);
    assertMatch(err, message);
  }
});

Deno.test("cli ops: the rows of the catalog, filtered as the functions of the registry do", async () => {
  const all = await json("ops");
  assertEquals(all.length, CATALOG.size);
  // deno-lint-ignore no-explicit-any
  const names = (rows: any[]): string[] => rows.map(({ op }) => op).sort();
  for (const status of ["native", "bridge", "walled"] as const) {
    for (const chip of ["m1", "m5"]) {
      const rows = await json("ops", "--chip", chip.toUpperCase(), "--status", status);
      assertEquals(names(rows), af.opsOn(chip, status));
    }
  }
  const fused = await json("ops", "--bucket", "fused", "--built");
  assertEquals(names(fused), names([...CATALOG.values()].filter(({ bucket, built }) => bucket === "fused" && built)));
  const reductions = await json("ops", "--category", "reduc");
  assert(reductions.length > 3 && names(reductions).every((op) => CATALOG.get(op)?.category === "Reductions"));
});

Deno.test("cli op: every name that is offered is known", async () => {
  for (const name of OP_NAMES) {
    const { code, out } = await cli("op", name, "--json");
    assertEquals(code, 0, name);
    assertEquals(JSON.parse(out).op, name);
    assertEquals((await cli("op", name)).code, 0, name);
  }
  const { note, status } = await json("op", "sin");
  assertEquals([note, status], [af.opInfo("sin")!.note, af.opInfo("sin")!.status]);
});

Deno.test("cli targets: all 28, and the limits of one", async () => {
  const all = await json("targets");
  assertEquals(all.length, af.TARGETS.length);
  const [h13, m5] = await json("targets", "M1,h17s");
  assertEquals([h13.arch, h13.limits.max_tensor_dim], ["h13", af.limit("max_tensor_dim", 2)]);
  assertEquals([m5.arch, m5.limits.conv_kw_max], ["h17s", af.limit("conv_kw_max", 5)]);
  assertMatch((await cli("targets", "m1")).out, /max_tensor_dim +16384/);
});

Deno.test("cli estimate: as the cost model says, for every target and both models", async () => {
  const { default: make } = await import(conv);
  const graph = make() as af.Tensor;
  for (const model of ["fitted", "original"] as const) {
    const { estimates } = await json("estimate", conv, "--model", model, "--int8");
    assertEquals(estimates.length, af.TARGETS.filter(({ family }) => family !== null && family >= 2).length);
    for (const { target, us } of estimates) {
      assertEquals(us, af.estimate(graph, { target, model, int8: true }), `${model} ${target}`);
    }
  }
  const { roofline } = await json("estimate", conv, "--target", "M1", "--by-op");
  assertEquals(roofline.totals.us, af.estimate(graph, { target: "h13" }));
  // deno-lint-ignore no-explicit-any
  assertEquals(roofline.ops.map(({ op }: any) => op), ["conv", "relu"]);
  assertMatch((await cli("estimate", conv, "--target", "h13", "--by-op")).out, /^all /m);
});

Deno.test("cli estimate --plot: SVG files with the targets and the operations", async () => {
  const latency = `${dir}/latency.svg`, roof = `${dir}/roof.svg`;
  assertEquals((await cli("estimate", conv, "--plot", latency)).err, `wrote ${latency}\n`);
  assertEquals((await cli("estimate", conv, "--target", "h13", "--by-op", "--plot", roof)).code, 0);
  const bars = Deno.readTextFileSync(latency), points = Deno.readTextFileSync(roof);
  for (const svg of [bars, points]) {
    assertMatch(svg, /^<svg [^>]*xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    assert(svg.trimEnd().endsWith("</svg>") && !svg.includes("NaN"));
  }
  for (const name of ["h13 (M1)", "h18", "measured machine"]) assertStringIncludes(bars, name);
  for (const name of ["roofline of h13", ">conv<", "bound by"]) assertStringIncludes(points, name);
  const { code, err } = await cli("estimate", conv, "--plot", `${dir}/none/x.svg`);
  assertEquals(code, 1);
  assertMatch(err, /cannot be written/);
});

Deno.test("cli preflight and check: the verdicts of the functions, and status 1 for a no", async () => {
  const { default: graph } = await import(wide);
  const all = await json("preflight", wide);
  assertEquals(all.families.map(({ ok }: { ok: boolean }) => ok), [2, 3, 4, 5].map((f) => af.preflight(graph, f).ok));
  assertEquals(all.ok, false);
  assertEquals((await cli("preflight", wide)).code, 1);
  assertEquals((await cli("preflight", wide, "--target", "h17s")).code, 0);
  assertMatch((await cli("preflight", wide, "--target", "h13")).out, /sin +\[1, 20000\] +decompose, too large/);
  const checked = await json("check", wide, "--target", "h13,h17s");
  assertEquals(checked.targets.map(({ ok }: { ok: boolean }) => ok), [false, true]);
  assertMatch(checked.targets[0].notes[0], /axis 1 has 20000 elements/);
  assertEquals((await cli("check", wide)).code, 1);
  assertEquals((await cli("check", wide, "--target", "M5")).code, 0);
  assertEquals((await cli("check", two)).code, 0);
});

Deno.test("cli explain: the text of the function, for each output", async () => {
  const { default: graph } = await import(small);
  const { outputs } = await json("explain", small);
  assertEquals(outputs[0].text, af.explain(graph));
  assertEquals(outputs[0].nodes, [{ op: "input", shape: [1, 4], inputs: [] }, {
    op: "relu",
    shape: [1, 4],
    inputs: [0],
  }]);
  const { code, out } = await cli("explain", two, "--opt", "0", "--target", "own");
  assertEquals(code, 0);
  for (const text of ["output 1 of 2", "output 2 of 2", "program(1.3)", "plan:"]) assertStringIncludes(out, text);
});

Deno.test("cli run: what the model computes, from made up values and from files", async () => {
  const { default: graph } = await import(small);
  using model = af.compile(graph as af.Tensor);
  const values = new af.Random(7).normals(4);
  const { outputs } = await json("run", small, "--seed", "7");
  assertEquals(outputs[0].data, [...model.run(values).data]);
  assertEquals((await json("run", small, "--fill", "ones")).outputs[0].data, [1, 1, 1, 1]);

  const given = `${dir}/in.json`,
    named = `${dir}/named.json`,
    stored = `${dir}/in.safetensors`,
    result = `${dir}/out.safetensors`;
  Deno.writeTextFileSync(given, "[[[-1, 0, 1, 70000]]]");
  const infinite = (await json("run", small, "--input", given, "--output", result)).outputs[0];
  assertEquals([infinite.data, infinite.nonFinite, infinite.max], [[0, 0, 1, "Infinity"], 1, 1]);
  const [written] = parseSafetensors(Deno.readFileSync(result)).tensors.values();
  assertEquals([...toFloat32(written!)], [0, 0, 1, Infinity]);
  Deno.writeTextFileSync(named, JSON.stringify({ x: [[5, -5, 6, -6]] }));
  assertEquals((await json("run", small, "--input", named)).outputs[0].data, [5, 0, 6, 0]);
  Deno.writeFileSync(stored, formatSafetensors({ t0: { shape: [1, 4], data: new Float32Array([-2, 2, -3, 3]) } }));
  const both = await json("run", two, "--input", stored);
  assertEquals(both.outputs.map(({ data }: { data: number[] }) => data), [[0, 2, 0, 3], [-1, 3, -2, 4]]);
  assertMatch((await cli("run", two, "--input", stored)).out, /\[1, 4\] +-2 +1 +4 +0 +-1 3 -2 4/);

  for (
    const [text, message] of [["[1", /is not JSON/], ["3", /expected a list or an object/], [
      "[[1],[2]]",
      /the inputs are/,
    ], ["[[1, 2]]", /ShapeError/]] as const
  ) {
    Deno.writeTextFileSync(given, text);
    const { code, err } = await cli("run", small, "--input", given);
    assertEquals(code, 1, err);
    assertMatch(err, message);
  }
});

Deno.test("cli run: integer ports get integers", async () => {
  const bytes = module("export default af.input([1, 64], { dtype: 'uint8' }).cast();");
  const [{ data }] = (await json("run", bytes)).outputs;
  assert(data.every((v: number) => Number.isInteger(v) && v >= 0 && v < 128) && new Set(data).size > 10);
});

Deno.test("cli bench: ordered statistics of at least three runs", async () => {
  const report = await json("bench", small, "--seconds", "0.05");
  const { runs, minUs, medianUs, meanUs, p95Us, maxUs, compileMs, operations } = report;
  assert(runs >= 3 && compileMs > 0 && operations === 1 && meanUs > 0);
  assert(minUs <= medianUs && medianUs <= p95Us && p95Us <= maxUs, JSON.stringify(report));
  assertMatch((await cli("bench", two, "--seconds", "0.01")).out, /^median +\d/m);
});

Deno.test("cli info: what device() says", async () => {
  const report = await json("info");
  const { name, target, family, library } = af.device();
  assertEquals([report.device, report.target, report.family, report.library], [name, target, family, library]);
  assertMatch((await cli("info")).out, /^device +host$/m);
});

Deno.test("cli doctor: healthy here, and both programs are right", async () => {
  const { ok, checks } = await json("doctor");
  const bad = checks.filter(({ status }: { status: string }) => status === "failed");
  assertEquals([ok, bad], [true, []]);
  for (const name of ["relu", "convolution"]) {
    const found = checks.find(({ check }: { check: string }) => check === name);
    assertMatch(found.detail, /^\d+ values right; compiled in .* runs in /);
    assert(found.compileMs > 0 && found.runUs > 0);
  }
});

const TABLES: readonly (readonly string[])[] = [
  ["ops", "--chip", "M1"],
  ["op", "sin"],
  ["targets"],
  ["targets", "h13"],
  ["preflight", wide, "--target", "h13"],
  ["check", wide],
];

Deno.test("cli: tables keep to the width and lose no word", async () => {
  const words = (text: string): string[] => text.replaceAll(/\s+/g, "").split("").sort();
  for (const args of TABLES) {
    const full = await cli(...args, "--width", "5000");
    for (const width of [76, 100, 140]) {
      const { out } = await cli(...args, "--width", String(width));
      for (const line of out.split("\n")) assert(line.length <= width, `${args.join(" ")} at ${width}: ${line}`);
      assertEquals(words(out).join(""), words(full.out).join(""), args.join(" "));
    }
  }
  for (const args of TABLES) {
    const { out } = await cli(...args, "--width", "44");
    for (const line of out.split("\n")) assert(line.length <= 44, `${args.join(" ")} at 44: ${line}`);
  }
  assertMatch(
    (await cli("preflight", wide, "--width", "44")).out,
    /^family +2 \(A13\)\ntargets +h13, h13g, t1\nfits +no$/m,
  );
  assertEquals(wrapText("aa bb cccccccc d", 5), ["aa bb", "ccccc", "ccc d"]);
  assertEquals(wrapText("", 5), [""]);
});

Deno.test("cli: colours on a terminal only, and not with NO_COLOR", async () => {
  const before = Deno.env.get("NO_COLOR");
  const coloured = async (terminal: boolean): Promise<boolean> => {
    const out = new Memory(terminal);
    await main(["targets"], out, new Memory());
    return out.text.includes("\x1b[");
  };
  try {
    Deno.env.delete("NO_COLOR");
    assertEquals([await coloured(true), await coloured(false)], [true, false]);
    Deno.env.set("NO_COLOR", "1");
    assertEquals([await coloured(true), await coloured(false)], [false, false]);
  } finally {
    if (before === undefined) Deno.env.delete("NO_COLOR");
    else Deno.env.set("NO_COLOR", before);
  }
});

/** Runs a program; its status, stdout and stderr. */
async function spawn(program: string, args: string[], options: Deno.CommandOptions = {}) {
  const { code, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null", ...options }).output();
  const text = new TextDecoder();
  return { code, out: text.decode(stdout), err: text.decode(stderr) };
}

const deno = (flags: string[], ...args: string[]) =>
  spawn(Deno.execPath(), ["run", "--no-prompt", ...flags, SCRIPT, ...args]);

Deno.test("cli completions: scripts for three shells; bash takes its own and completes", async () => {
  for (const shell of ["bash", "zsh", "fish"]) {
    const { script } = await json("completions", shell);
    for (const name of [...COMMANDS, "h17s"]) assertStringIncludes(script, name);
    const syntax = await spawn(shell, ["-n", "-c", script]).catch(() => undefined);
    if (syntax) assertEquals([syntax.code, syntax.err], [0, ""], shell);
  }
  const { out: script } = await cli("completions", "bash");
  const complete = async (...words: string[]): Promise<string[]> => {
    const line = words.map((word) => `'${word}'`).join(" ");
    const text = `${script}\nCOMP_WORDS=(${line}); COMP_CWORD=${
      words.length - 1
    }; _aneforge; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return (await spawn("bash", ["-c", text])).out.trim().split("\n");
  };
  assertEquals(await complete("aneforge", "e"), ["estimate", "explain"]);
  assertEquals(await complete("aneforge", "ops", "--st"), ["--status"]);
  assertEquals(await complete("aneforge", "ops", "--status", "n"), ["native"]);
  assertEquals(await complete("aneforge", "check", "x.ts", "--target", "h17s"), ["h17s"]);
  assertEquals(await complete("aneforge", "op", "softm"), ["softmax"]);
  assert((await complete("aneforge", "run", dir.slice(0, -1))).includes(dir));
});

Deno.test("cli: commands without a device need no more permissions than they say", async () => {
  const ops = await deno([], "ops", "--json");
  assertEquals([ops.code, JSON.parse(ops.out).length, ops.err], [0, CATALOG.size, ""]);
  assertEquals((await deno(["--allow-read"], "estimate", small, "--target", "h13")).code, 0);
  assertEquals((await deno(["--allow-read"], "preflight", small)).code, 0);
  const refused = await deno([], "estimate", small);
  assertEquals(refused.code, 1);
  assertMatch(refused.err, /--allow-read/);
  const doctor = await deno([], "doctor");
  assertEquals(doctor.code, 1);
  assertMatch(doctor.out, /permissions +warning +not granted as a whole: --allow-ffi/);
});

Deno.test("cli doctor: a missing library is named, and is status 1", async () => {
  const env = { ANEFORGE_SHIM: `${dir}/nowhere`, NO_COLOR: "1" };
  const { code, out } = await spawn(Deno.execPath(), ["run", "-A", SCRIPT, "doctor", "--json"], { env });
  assertEquals(code, 1);
  const { ok, checks } = JSON.parse(out);
  const status = Object.fromEntries(checks.map(({ check, status }: Record<string, string>) => [check, status]));
  assertEquals([ok, status.system, status.device, status.relu], [false, "ok", "failed", "failed"]);
  const detail = (name: string): string => checks.find(({ check }: { check: string }) => check === name).detail;
  assertMatch(detail("device"), /ANEFORGE_SHIM/);
  assertEquals(detail("relu"), "as for device");
});

Deno.test("cli: a reader that stops early is no failure", async () => {
  const pipeline = `"$0" run --no-prompt "$1" ops --json | head -c 10 >/dev/null; echo "\${PIPESTATUS[0]}"`;
  const { out, err } = await spawn("bash", ["-c", pipeline, Deno.execPath(), SCRIPT]);
  assertEquals([out, err], ["0\n", ""]);
});

Deno.test("cli: the task takes paths relative to where it is started", async () => {
  const cwd = new URL("../examples/", import.meta.url).pathname;
  const args = ["task", "--quiet", "aneforge", "preflight", "classifier.ts", "--target", "h13", "--json"];
  // A task started by a task, as here, would hand down its own directory.
  const { code, out, err } = await spawn(Deno.execPath(), args, { cwd, env: { INIT_CWD: cwd } });
  assertEquals(code, 0, err);
  assertEquals(JSON.parse(out).ok, true);
});
