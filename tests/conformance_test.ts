/** The cases made by rule, a part of them; `deno task conformance` runs all. */

import { assert, assertEquals } from "@std/assert";
import type { NDArray } from "../src/graph/ndarray.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { OPS } from "../src/ops/all.ts";
import { Random } from "../src/random.ts";
import { silence, WARNING_KINDS, type WarningKind } from "../src/warnings.ts";
import { conform, conformOne, currentMode, graphOf } from "./conformance.ts";
import { OP_CASES, type OpCase } from "./op_cases.ts";
import { BROADCASTS, GRID_CASES } from "./op_grid.ts";
import { judge, PUBLISHED, toleranceOf } from "./tolerance.ts";

const mode = currentMode();

function quiet(): Disposable {
  const handles = Object.keys(WARNING_KINDS).map((kind) => silence(kind as WarningKind));
  return { [Symbol.dispose]: () => handles.forEach((restore) => restore()) };
}

/** Three cases of every operation, and as many others. */
function sample(): OpCase[] {
  const random = new Random(20);
  const byOp = Map.groupBy(GRID_CASES, ({ op }) => op);
  return [...byOp.values()].flatMap((trials) =>
    [...random.permutation(trials.length)].slice(0, 3 + Math.ceil(trials.length / 16)).map((i) => trials[i]!)
  );
}

Deno.test(`a sample of the cases made by rule (${mode})`, () => {
  using _quiet = quiet();
  const outcomes = conform(sample(), mode);
  assert(outcomes.length > 900, `${outcomes.length} cases`);
  for (const outcome of outcomes) {
    assertEquals(outcome.failure, undefined, `${outcome.trial.op} ${outcome.trial.title}`);
  }
});

Deno.test("the cases cover the surface", () => {
  const all = [...OP_CASES, ...GRID_CASES];
  const ops = new Set(all.map(({ op }) => op));
  assert(ops.size >= 120, `${ops.size} operations`);
  assert(all.length >= 2500, `${all.length} cases`);
  assertEquals([...OPS.keys()].filter((op) => !ops.has(op)), []);
  assertEquals(Object.keys(PUBLISHED).filter((op) => !ops.has(op)), []);
  const titles = GRID_CASES.map(({ op, title }) => `${op} ${title}`);
  assertEquals(titles.length, new Set(titles).size, "two cases have the same title, and so the same values");
  // per rank n and axis: both extents the same, 1 on the left, 1 on the right
  const equalRanks = BROADCASTS.filter(([a, b]) => a.length === b.length && a.length <= 4);
  const kinds = new Set(equalRanks.map(([a, b]) => a.map((d, i) => Math.sign(d - b[i]!)).join()));
  assertEquals(kinds.size, 3 + 9 + 27 + 81);
});

Deno.test("the convolutions and pools cover their parameters", () => {
  const node = (trial: OpCase): Tensor => graphOf(trial).out;
  type Numbers = Readonly<Record<"stride" | "dilation", number | readonly number[]>>;
  const first = (v: number | readonly number[]): number => typeof v === "number" ? v : v[0]!;
  for (const op of ["conv", "conv_transpose"]) {
    const found = new Set<string>();
    for (const trial of GRID_CASES.filter((t) => t.op === op)) {
      const { inputs: [x], attrs } = node(trial);
      const { stride, dilation } = attrs as Numbers, pad = attrs.pad as number | readonly number[];
      const [, , kh, kw] = (attrs.weight as NDArray).shape as [number, number, number, number];
      const groups = attrs.groups as number;
      if (first(stride) > Math.max(kh, kw)) found.add("stride beyond the kernel");
      if (kh === x!.shape[2] && kw === x!.shape[3]) found.add("kernel of the input's size");
      if (first(dilation) > 1) found.add("dilation");
      if (groups > 1) found.add(groups === x!.shape[1] ? "depthwise" : "groups");
      if (attrs.bias) found.add("bias");
      if (typeof pad !== "number" && new Set(pad).size > 1) found.add("uneven border");
      if (first(pad) > 0) found.add("border");
    }
    assertEquals(found.size, 8, `${op}: ${[...found]}`);
  }
  for (const op of ["max_pool", "avg_pool"]) {
    const attrs = GRID_CASES.filter((t) => t.op === op).map((t) => node(t).attrs as Record<string, number | boolean>);
    assert(attrs.some(({ kernel, stride }) => stride! > kernel!), `${op}: stride beyond the kernel`);
    assert(attrs.some(({ kernel, stride }) => stride! < kernel!), `${op}: windows that overlap`);
    assert(attrs.some(({ ceilMode, pad }) => ceilMode && pad), `${op}: rounded up, with a border`);
  }
  const modes = new Set(GRID_CASES.filter(({ op }) => op === "pad").map(({ title }) => title.split(" ")[1]));
  assertEquals([...modes].sort(), ["constant", "reflect", "replicate"]);
});

Deno.test("graphs of a case are the same every time", () => {
  for (const trial of [GRID_CASES[0]!, GRID_CASES.at(-1)!]) {
    assertEquals([...graphOf(trial).values.values()], [...graphOf(trial).values.values()]);
  }
  const [a, b] = GRID_CASES.filter(({ op }) => op === "relu");
  assert(graphOf(a!).values !== graphOf(b!).values);
});

Deno.test("a wrong result is found", () => {
  using _quiet = quiet();
  const ideal = Float64Array.of(1, 2, -4);
  assertEquals(judge([1, 2, -4], ideal, { exact: true }), { maxRel: 0, maxAbs: 0, failure: undefined });
  assertEquals(judge([1, 2.5, -4], ideal, { abs: 0.5 }), { maxRel: 0.125, maxAbs: 0.5, failure: undefined });
  assert(judge([1, 2.5, -4], ideal, { abs: 0.4 }).failure?.startsWith("element 1 is 2.5, expected 2 within 0.4"));
  assert(judge([1, 2, NaN], ideal, { abs: 100 }).failure?.startsWith("element 2 is NaN"));
  assert(judge([1, 2], ideal, { abs: 100 }).failure === "2 elements, expected 3");
  assertEquals(judge([2], Float64Array.of(2 + 2 ** -10), { exact: true }).failure, undefined, "a tie goes to even");
  assert(judge([2 + 2 ** -9], Float64Array.of(2 + 2 ** -10), { exact: true }).failure !== undefined);
  const tanh = OP_CASES.find(({ op, inputs }) => op === "tanh" && inputs[0]!.shape.join() === "33,31")!;
  const outcome = conformOne({ ...tanh, ane: { exact: true }, fast: { ulps: 0.1 } }, mode);
  assert(outcome.failure !== undefined, "tanh is not exact in either arithmetic");
  const refused = conformOne({ ...tanh, build: ([x]) => x!.reshape(7) }, mode);
  assert(refused.failure?.startsWith("refused: ShapeError"));
});

Deno.test("one refused graph does not take the others of its program with it", () => {
  using _quiet = quiet();
  const [good, other] = OP_CASES.filter(({ op }) => op === "relu");
  const bad: OpCase = { ...good!, ...toleranceOf("relu"), build: ([x]) => x!.reshape(1234567) };
  const failures = conform([good!, bad, other!], mode).map(({ failure }) => failure);
  assertEquals(failures.map((failure) => failure === undefined), [true, false, true]);
});
