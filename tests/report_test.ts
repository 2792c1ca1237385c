// explain and numericsReport: what they say about programs whose losses are known, and about every operation.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import * as af from "../mod.ts";
import { compile } from "../src/compile/compile.ts";
import { input } from "../src/graph/tensor.ts";
import { Random } from "../src/random.ts";
import { draw, OP_CASES } from "./op_cases.ts";

for (const kind of ["dispatch-floor", "precision", "portable-op", "slice"] as const) af.silence(kind);
const fast = Deno.env.get("ANEFORGE_HOST_NUMERICS") === "fast";
const target = Deno.env.get("ANEFORGE_TARGET") ?? "h13";

/** The report of one run of a graph with one input. */
function reportOf(y: af.Tensor, x: af.TensorData): af.NumericsReport {
  using net = af.compile(y, { opt: 0 });
  return af.numericsReport(net, [x]);
}

Deno.test({
  name: "products of tiny operands vanish, and the report counts them",
  ignore: fast,
  fn() {
    const { ops, totals, clean } = reportOf(
      af.input([2, 8]).linear(new Array(4).fill(new Array(8).fill(2 ** -9))),
      new Float32Array(16).fill(2 ** -9),
    );
    assertEquals(totals, { products: 64, dropped: 64, saturated: 0, overflowed: 0, clamped: 0 });
    assertEquals(ops.map(({ op, values, error, accumulated }) => [op, values, error, accumulated]), [[
      "matmul",
      8,
      1,
      1,
    ]]);
    assert(!clean);
  },
});

Deno.test({
  name: "sums that leave the accumulator are counted, once, where they happen",
  ignore: fast,
  fn() {
    const y = af.input([1, 4]).linear([[1, 1, 1, 1], [100, 100, 100, 100]]).muls(0.5);
    const { ops } = reportOf(y, [[100, 100, 100, 100]]);
    assertEquals(ops.map(({ saturated, overflowed }) => [saturated, overflowed]), [[1, 0], [0, 0]]);
    const sum = reportOf(af.input([1, 4]).sum(-1), [[60000, 60000, 0, 0]]);
    assertEquals(sum.totals.overflowed, 1);
  },
});

Deno.test({
  name: "values beyond an activation table are counted",
  ignore: fast,
  fn() {
    const x = [-20, -5, 0, 1, 5, 20];
    assertEquals(reportOf(af.input([6]).gelu(), x).totals.clamped, 4);
    assertEquals(reportOf(af.input([6]).sigmoid(), x).totals.clamped, 2);
    assertEquals(reportOf(af.input([6]).relu(), x).totals.clamped, 0);
  },
});

Deno.test("a clean net is clean, its errors are those of fp16, and the last operation is the output", () => {
  const random = new Random(3);
  const x = af.input([8, 16]);
  const y = x.linear(af.array(random.normals(16 * 16, 0.25), [16, 16]), random.normals(16)).add(x).muls(0.5);
  const data = random.normals(128);
  const report = reportOf(y, data);
  assert(report.clean || fast, String(report));
  assertEquals(report.ops.map(({ op }) => op), ["matmul", "add", "mul"]);
  for (const { error, maxError } of report.ops) assert(error < 1e-3 && maxError < 1e-2, String(report));
  assert(report.ops[2]!.accumulated < 2e-3 && report.ops[2]!.accumulated >= report.ops[2]!.error / 2);
  if (fast) return;
  // The accumulated error is that of the output, computed here in float64.
  const w = new Random(3).normals(16 * 16, 0.25).map((v) => new Float16Array([v])[0]!);
  const random2 = new Random(3);
  random2.normals(16 * 16, 0.25);
  const bias = random2.normals(16).map((v) => new Float16Array([v])[0]!);
  using net = af.compile(y);
  const got = net.run(data).data, half = new Float16Array(data);
  let difference = 0, size = 0;
  for (let row = 0; row < 8; row++) {
    for (let column = 0; column < 16; column++) {
      let sum = bias[column]!;
      for (let k = 0; k < 16; k++) sum += half[row * 16 + k]! * w[column * 16 + k]!;
      const exact = (sum + half[row * 16 + column]!) / 2;
      difference += (got[row * 16 + column]! - exact) ** 2;
      size += exact ** 2;
    }
  }
  const expected = Math.sqrt(difference / size);
  assert(Math.abs(report.ops[2]!.accumulated - expected) < 1e-9, `${report.ops[2]!.accumulated} ${expected}`);
});

// A float64 twin that is wrong in one operation shows here as an error far above what fp16 makes.
Deno.test("every operation has a float64 twin in the report", () => {
  for (const trial of OP_CASES) {
    if (trial.target !== undefined && trial.target !== target) continue;
    const random = new Random(7);
    const xs = trial.inputs.map(({ shape, dtype = "fp16" }) => input(shape, { dtype }));
    const values = trial.inputs.map((operand) => draw(operand, random));
    const given = new Map(xs.map((x, i) => [x.id, values[i]!]));
    using net = compile(trial.build(xs), { target: trial.target });
    const { ops } = af.numericsReport(net, net.inputs.map(({ tensorId }) => given.get(tensorId)!));
    for (const { op, name, error, maxError } of ops) {
      // What the tables and the 12-bit adder are known to be off by.
      assert(error < 0.02 || maxError < 5e-3, `${trial.op} (${trial.title}): ${op} ${name} is off by ${error}`);
    }
  }
});

Deno.test("the table has a line per operation, and wrong inputs are refused", () => {
  const x = af.input([1, 4]);
  using net = af.compile(x.relu().muls(2));
  const lines = af.numericsReport(net, [[[1, 2, 3, 4]]]).toString().split("\n");
  assertEquals(lines.length, 3);
  assertMatch(lines[0]!, /^name +op +values +products +dropped +saturated +overflowed +clamped +error +accumulated$/);
  assertMatch(lines[1]!, /^t1 +relu +4 +0 +0 +0 +0 +0 +0\.00e\+0 +0\.00e\+0$/);
  assertThrows(() => af.numericsReport(net, []), af.ArgumentError, "expected 1 input(s), got 0");
  assertThrows(() => af.numericsReport(net, [new Float32Array(3)]), af.ShapeError);
});

Deno.test("a program whose files are gone says so", () => {
  const buildDir = Deno.makeTempDirSync();
  using net = af.compile(af.input([1, 4]).relu(), { buildDir });
  Deno.removeSync(buildDir, { recursive: true });
  assertThrows(() => af.numericsReport(net, [new Float32Array(4)]), af.CompileError, "model.mil");
});

Deno.test("explain shows rewrites, region, text, weights and the plan", () => {
  const x = af.input([2, 8]);
  const y = x.reshape(16).reshape(2, 8).muls(1).linear(new Array(4).fill(new Array(8).fill(0.5))).relu();
  const text = af.explain(y);
  assertMatch(text, /^level: opt "routes"; mul_one 1, reshape_chain 1, reshape_same 1$/m);
  assertMatch(text, /^regions: 1, one program of 2 operations, about 63\.3 us by estimate$/m);
  assertMatch(text, /^ {2}takes t0 fp16 \[2, 8\]$/m);
  assertMatch(text, /^weights: 192 bytes$/m);
  assertMatch(text, /func main<ios18>\(tensor<fp16, \[2, 8\]> t0\)/);
  assertMatch(text, /gemm batch 1 m 2 k 8 n 4/);
  assertMatch(text, /epilogue: relu/);
  assertMatch(text, /arena bytes \d+/);
  assertMatch(af.explain(y, { opt: 0 }), /^level: opt 0; as written$/m);
  assertThrows(() => af.explain(y, { opt: 2 }), af.UnsupportedOpError, "tune()");
  assertThrows(() => af.explain(af.constant([1]).relu()), af.ArgumentError, "graph has no inputs");
});
