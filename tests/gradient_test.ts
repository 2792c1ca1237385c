/**
 * The gradient rule of every operation, against central differences of the float64 reference: once by evaluating the
 * gradient graph in float64 (the rule itself), once on the device (the rule in fp16).
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { backward, backwardFrom } from "../src/autograd/backward.ts";
import { compileMulti } from "../src/compile/compile.ts";
import { CompileError, UnsupportedOpError } from "../src/errors.ts";
import { roundHalf } from "../src/graph/fp16.ts";
import { NDArray } from "../src/graph/ndarray.ts";
import { input, parameter, type Tensor } from "../src/graph/tensor.ts";
import { OPS } from "../src/ops/all.ts";
import { Random } from "../src/random.ts";
import { silence } from "../src/warnings.ts";
import { draw, OP_CASES, type OpCase } from "./op_cases.ts";
import { evaluate, evaluateAll } from "./reference.ts";

/** A case made concrete: operands with values, the result, and the gradient that comes in. */
interface Trial {
  /** All operands. */
  all: Tensor[];
  /** Those with a gradient. */
  xs: Tensor[];
  y: Tensor;
  g: Tensor;
  gradients: Tensor[];
}

function prepare({ inputs, build }: OpCase): Trial {
  const random = new Random(42);
  const xs = inputs.map((values) => parameter(new NDArray(draw(values, random), values.shape)));
  const y = build(xs);
  const g = input(y.shape);
  Object.assign(g, { attrs: { ...g.attrs, value: draw({ shape: y.shape, lo: -1, hi: 1 }, random) } });
  const smooth = wanted(y, xs);
  const map = backwardFrom(g, y, smooth);
  return { all: xs, xs: smooth, y, g, gradients: smooth.map((x) => map.get(x)!) };
}

/** Operands the result depends on smoothly: not those that only steer a comparison. */
function wanted(y: Tensor, xs: readonly Tensor[]): Tensor[] {
  const steering = (node: Tensor): boolean => node.dtype === "bool";
  const reached = new Set<Tensor>();
  const visit = (node: Tensor): void => {
    if (reached.has(node) || steering(node)) return;
    reached.add(node);
    node.inputs.forEach(visit);
  };
  visit(y);
  return xs.filter((x) => reached.has(x));
}

/** d sum(g * y) / dx by central differences with step 2^-13. */
function differences(x: Tensor, y: Tensor, g: Tensor): Float64Array {
  const weights = g.attrs.value as Float32Array;
  const value = Float64Array.from(x.attrs.value as Float32Array);
  const h = 2 ** -13;
  const at = (k: number, v: number): number => {
    const { data } = evaluate(y, new Map([[x, value.with(k, v)]]));
    return data.reduce((sum, d, i) => sum + d * weights[i]!, 0);
  };
  return value.map((v, k) => (at(k, v + h) - at(k, v - h)) / (2 * h));
}

function largest(a: ArrayLike<number>): number {
  let max = 0;
  for (let i = 0; i < a.length; i++) max = Math.max(max, Math.abs(a[i]!));
  return max;
}

function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let max = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i]! - b[i]!);
    if (!(d <= max)) max = Number.isNaN(d) ? Infinity : d;
  }
  return max;
}

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let ab = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += a[i]! * b[i]!;
    aa += a[i]! * a[i]!;
    bb += b[i]! * b[i]!;
  }
  return ab / Math.sqrt(aa * bb);
}

const differentiable = OP_CASES.filter(({ gradient }) => gradient !== false);

Deno.test("every operation with a gradient rule has a case, every other one says why it has none", () => {
  const covered = new Set(differentiable.map(({ op }) => op));
  const missing = [...OPS.values()].filter((op) => op.gradient && !covered.has(op.name)).map((op) => op.name);
  assertEquals(missing, [], "add a case with a gradient to tests/op_cases.ts");
  for (const op of OPS.values()) assert(op.gradient || op.noGradient, `${op.name}: neither a rule nor a reason`);
});

for (const op of new Set(differentiable.map(({ op }) => op))) {
  Deno.test(`gradient of ${op}: the rule`, () => {
    for (const trial of differentiable.filter((c) => c.op === op)) {
      const { xs, y, g, gradients } = prepare(trial);
      const values = evaluateAll(gradients, new Map());
      xs.forEach((x, i) => {
        const expected = differences(x, y, g);
        const error = largestDifference(values[i]!.data, expected) / Math.max(largest(expected), 1e-3);
        assert(error < 1e-5, `${trial.title}, operand ${i}: relative error ${error}`);
      });
    }
  });

  Deno.test(`gradient of ${op}: on the device`, () => {
    using _quiet = { [Symbol.dispose]: silence("portable-op") };
    for (const trial of differentiable.filter((c) => c.op === op)) {
      const { all, xs, g, gradients } = prepare(trial);
      const roots = gradients.map((t) => (t.op === "input" ? t.muls(1) : t));
      if (trial.gradientRefused !== undefined) {
        assertThrows(() => compileMulti(roots), CompileError, trial.gradientRefused);
        continue;
      }
      using net = compileMulti(roots);
      const known = new Map([...all, g].map((t) => [t.id, t.attrs.value as Float32Array]));
      const results = net.run(...net.inputs.map(({ tensorId }) => known.get(tensorId)!));
      const expected = evaluateAll(gradients, new Map());
      xs.forEach((_, i) => {
        const got = results[i]!.data, ideal = expected[i]!.data;
        const error = largestDifference(got, ideal) / Math.max(largest(ideal), 1);
        const where = `${trial.title}, operand ${i}`;
        assert(error <= (trial.gradient as number), `${where}: relative error ${error}`);
        if (got.length >= 8 && largest(ideal) > 0.05) {
          assert(cosine(got, ideal) > 0.995, `${where}: cosine ${cosine(got, ideal)}`);
        }
      });
    }
  });
}

Deno.test("gradients accumulate where a value is used more than once, and stop where told", () => {
  const x = parameter([[0.5, -1, 2]]);
  const h = x.mul(x).add(x);
  const y = h.mul(h).sum();
  const dx = evaluate(backward(y, [x]).get(x)!, new Map()).data;
  const expected = [0.5, -1, 2].map((v) => 2 * (v * v + v) * (2 * v + 1));
  assertEquals([...dx], expected);
  const scaled = evaluate(backward(y, [x], { lossScale: 8 }).get(x)!, new Map()).data;
  assertEquals([...scaled], expected.map((v) => 8 * v));
  const both = backward(y, [x, h], { stop: [x] });
  assertEquals([...evaluate(both.get(x)!, new Map()).data], expected);
  assertEquals([...evaluate(both.get(h)!, new Map()).data], [0.5, -1, 2].map((v) => 2 * (v * v + v)));
});

Deno.test("an operation without a rule is refused by name", () => {
  const x = parameter([[0.5, 1.5]]);
  assertThrows(() => backward(x.floor().sum(), [x]), UnsupportedOpError, "floor");
  assertThrows(() => backward(x.greater(0).select(x.round(), 1).sum(), [x]), UnsupportedOpError, "round");
});

Deno.test("test values lie on the fp16 grid and away from kinks", () => {
  const values = draw({ shape: [500], lo: -2, hi: 2, avoid: [0, 1] }, new Random(1));
  assert(values.every((v) => roundHalf(v) === v && Math.abs(v) > 0.06 && Math.abs(v - 1) > 0.06));
});
