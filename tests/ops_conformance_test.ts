/**
 * Every operation on the host device against the float64 formulas of `reference.ts`, in both arithmetics: this file runs in
 * the one it finds, and once more in a subprocess with the other.
 */

import { assertEquals } from "@std/assert";
import { compile } from "../src/compile/compile.ts";
import { envText } from "../src/env.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { OPS } from "../src/ops/all.ts";
import { silence } from "../src/warnings.ts";
import { conformOne, currentMode } from "./conformance.ts";
import { OP_CASES } from "./op_cases.ts";
import { REFERENCE_OPS } from "./reference.ts";

const mode = currentMode();
const quiet = (): Disposable => ({ [Symbol.dispose]: silence("portable-op") });

Deno.test("every operation has a case and a formula", () => {
  const tried = new Set(OP_CASES.map(({ op }) => op));
  assertEquals([...OPS.keys()].filter((op) => !tried.has(op)), [], "add a case to tests/op_cases.ts");
  assertEquals([...OPS.keys()].filter((op) => !REFERENCE_OPS.has(op)), [], "add a formula to tests/reference.ts");
});

for (const op of new Set(OP_CASES.map(({ op }) => op))) {
  Deno.test(`${op} (${mode})`, () => {
    using _quiet = quiet();
    for (const trial of OP_CASES.filter((c) => c.op === op)) {
      if (trial.target !== undefined && trial.target !== envText("ANEFORGE_TARGET")) continue;
      assertEquals(conformOne(trial, mode, 7).failure, undefined, trial.title);
    }
  });
}

/** Applies an operation to rows of values at once. */
function apply(rows: readonly (readonly number[])[], f: (...x: Tensor[]) => Tensor): number[] {
  const n = rows[0]!.length;
  const xs = rows.map(() => input([1, n]));
  using net = compile(f(...xs));
  const given = new Map(xs.map((x, i) => [x.id, Float32Array.from(rows[i]!)]));
  return [...net.run(...net.inputs.map(({ tensorId }) => given.get(tensorId)!)).data];
}

Deno.test({
  name: "elementwise results measured on silicon (ane)",
  ignore: mode !== "ane",
  fn() {
    const e = (k: number): number => 2 ** k;
    assertEquals(
      apply([[2048, -2048, 4096, 1, 16384, 65504, e(-24)], [1, -1, 2, e(-11), 16384, 0, 0]], (a, b) => a.add(b)),
      [2050, -2050, 4100, 1 + e(-10), 32768, 65504, e(-24)],
    );
    assertEquals(
      apply([[e(-12), e(-7), 200, 256], [e(-12), e(-10), 200, 256]], (a, b) => a.mul(b)),
      [e(-24), e(-17), 40000, Infinity],
    );
    assertEquals(apply([[1], [e(-11)]], (a, b) => a.sub(b)), [0.99951171875]);
    assertEquals(apply([[NaN, Infinity], [1, -1]], (a, b) => a.add(b)), [Infinity, Infinity]);
    assertEquals(apply([[NaN], [1]], (a, b) => a.mul(b)), [Infinity]);
  },
});

Deno.test({
  name: "there is no NaN: indeterminate forms are 0, a NaN that is fed reads as infinity (ane)",
  ignore: mode !== "ane",
  fn() {
    const { NaN: nan, Infinity: inf } = globalThis;
    assertEquals(apply([[inf, -inf, nan], [inf, -inf, nan]], (a, b) => a.sub(b)), [0, 0, 0]);
    assertEquals(apply([[0, inf, nan], [inf, 0, 0]], (a, b) => a.mul(b)), [0, 0, 0]);
    assertEquals(apply([[0, inf], [0, inf]], (a, b) => a.div(b)), [0, 0]);
    assertEquals(apply([[nan, -inf, inf]], (a) => a.relu()), [inf, 0, inf]);
    assertEquals(apply([[nan, -inf, inf]], (a) => a.sigmoid()), [1, 0, 1]);
    assertEquals(apply([[nan, -inf, inf]], (a) => a.tanh()), [1, -1, 1]);
    assertEquals(apply([[nan, -inf, inf, 11.5]], (a) => a.exp()), [inf, 0, inf, inf]);
    assertEquals(apply([[-1]], (a) => a.sqrt()), [0]);
    assertEquals(apply([[-1]], (a) => a.rsqrt()), [0]);
    assertEquals(apply([[nan], [3]], (a, b) => a.maximum(b)), [inf]);
    assertEquals(apply([[nan, 1]], (a) => a.notEqual(a).select(1, 0)), [0, 0]);
    assertEquals(apply([[nan, 1, 2, 3]], (a) => a.softmax()), [1, 0, 0, 0]);
    assertEquals(apply([[1000, 1, 2, 3]], (a) => a.softmax()), [1, 0, 0, 0]);
    assertEquals(apply([[7, 7, 7, 7]], (a) => a.softmax()), [0.25, 0.25, 0.25, 0.25]);
  },
});

Deno.test({
  name: "NaN and infinity follow IEEE 754 (fast)",
  ignore: mode !== "fast",
  fn() {
    assertEquals(apply([[Infinity, 65504, 65504], [-1, 65504, -65504]], (a, b) => a.add(b)), [Infinity, Infinity, 0]);
    assertEquals(apply([[1000, 1, 2, 3]], (a) => a.softmax()), [1, 0, 0, 0]);
    assertEquals(apply([[0, 1]], (a) => a.log()), [-Infinity, 0]);
  },
});

Deno.test({
  name: "the accumulator saturates at 2^15 (ane)",
  ignore: mode !== "ane",
  fn() {
    const row = (k: number, v: number): number => {
      const x = input([1, k]);
      using net = compile(x.linear([Array.from({ length: k }, () => 1)]));
      return net.run(new Float32Array(k).fill(v)).data[0]!;
    };
    assertEquals([row(32, 1000), row(33, 1000), row(27, 1200)], [32000, Infinity, 32400]);
  },
});

/** Runs tests of this file in a process of their own. */
async function rerun(env: Record<string, string>, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "-A", "--no-check", ...args, new URL(import.meta.url).pathname],
    env: { ...env, NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  assertEquals(code, 0, text.decode(stdout) + text.decode(stderr));
}

Deno.test({
  name: "operations of later families (subprocesses)",
  ignore: mode === "fast" || envText("ANEFORGE_TARGET") !== undefined,
  async fn() {
    for (const target of new Set(OP_CASES.flatMap((c) => c.target ?? []))) {
      const ops = new Set(OP_CASES.filter((c) => c.target === target).map(({ op }) => op));
      const filter = `--filter=/^(${[...ops].join("|")}) /`;
      await rerun({ ANEFORGE_TARGET: target }, filter);
      await rerun({ ANEFORGE_TARGET: target, ANEFORGE_HOST_NUMERICS: "fast" }, filter);
    }
  },
});

Deno.test({
  name: "the other arithmetic (subprocess)",
  ignore: mode === "fast",
  fn: () => rerun({ ANEFORGE_HOST_NUMERICS: "fast" }),
});
