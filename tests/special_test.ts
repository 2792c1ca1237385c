/** Special functions against integrals and series in float64, on the device within what fp16 allows. */

import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { compile } from "../src/compile/compile.ts";
import { ArgumentError, ShapeError } from "../src/errors.ts";
import { roundHalf } from "../src/graph/fp16.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { Paired, paired, pairedSubtract } from "../src/paired.ts";
import { Random } from "../src/random.ts";
import * as special from "../src/special.ts";
import { silence } from "../src/warnings.ts";
import { evaluate } from "./reference.ts";
import { erf } from "./reference_kernels.ts";

/** Integral over [0, end] by the trapezoidal rule, which converges fast for these integrands. */
function integral(f: (t: number) => number, end: number, n = 2000): number {
  let sum = (f(0) + f(end)) / 2;
  for (let i = 1; i < n; i++) sum += f(end * i / n);
  return sum * end / n;
}

/** Stirling's series above 20, reached by x Gamma(x) = Gamma(x + 1). */
function lgamma(x: number): number {
  let shift = 0, z = x;
  for (; z < 20; z++) shift += Math.log(z);
  const series = 1 / (12 * z) - 1 / (360 * z ** 3) + 1 / (1260 * z ** 5);
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series - shift;
}

interface Row {
  f: (x: Tensor) => Tensor;
  expected: (x: number) => number;
  from: number;
  to: number;
  /** Error of the polynomial in float64. */
  exact: number;
  /** Error on the device, relative to max(|value|, 1). */
  device: number;
}

const ROWS: Readonly<Record<string, Row>> = {
  sin: { f: special.sin, expected: Math.sin, from: -1.57, to: 1.57, exact: 1e-5, device: 3e-3 },
  cos: { f: special.cos, expected: Math.cos, from: -1.57, to: 1.57, exact: 2e-5, device: 3e-3 },
  erfc: { f: special.erfc, expected: (x) => 1 - erf(x), from: 0, to: 6, exact: 2e-7, device: 5e-3 },
  expm1: { f: special.expm1, expected: Math.expm1, from: -0.7, to: 0.7, exact: 2e-5, device: 2e-3 },
  log1p: { f: special.log1p, expected: Math.log1p, from: -0.5, to: 1, exact: 7e-5, device: 2e-3 },
  lgamma: { f: special.lgamma, expected: lgamma, from: 1, to: 8, exact: 0.02, device: 0.03 },
  gamma: { f: special.gamma, expected: (x) => Math.exp(lgamma(x)), from: 1, to: 2, exact: 1e-4, device: 3e-3 },
  gammaViaLgamma: {
    f: special.gammaViaLgamma,
    expected: (x) => Math.exp(lgamma(x)),
    from: 1,
    to: 7.5,
    exact: 0.02,
    device: 0.05,
  },
  besselJ0: {
    f: special.besselJ0,
    expected: (x) => integral((t) => Math.cos(x * Math.sin(t)), Math.PI) / Math.PI,
    from: -3,
    to: 3,
    exact: 1e-7,
    device: 5e-3,
  },
  besselI0: {
    f: special.besselI0,
    expected: (x) => integral((t) => Math.exp(x * Math.cos(t)), Math.PI) / Math.PI,
    from: -3.75,
    to: 3.75,
    exact: 1e-6,
    device: 5e-3,
  },
  besselK0: {
    f: special.besselK0,
    expected: (x) => integral((t) => Math.exp(-x * Math.cosh(t)), 8),
    from: 0.1,
    to: 2,
    exact: 1e-6,
    device: 2e-2,
  },
  expWide: { f: (x) => special.expWide(x, 2), expected: Math.exp, from: -8, to: 8, exact: 1e-9, device: 4e-2 },
  logWide: { f: special.logWide, expected: Math.log, from: 0.1, to: 1000, exact: 1e-9, device: 8e-2 },
};

for (const [name, { f, expected, from, to, exact, device }] of Object.entries(ROWS)) {
  Deno.test(`special.${name}`, () => {
    using _quiet = { [Symbol.dispose]: silence("fp16-range") };
    const points = Float32Array.from({ length: 65 }, (_, i) => roundHalf(from + (to - from) * i / 64))
      .map((v) => Math.min(Math.max(v, from), to)).map(roundHalf);
    const x = input([1, 65]);
    const y = f(x);
    const ideal = [...points].map(expected);
    const scale = ideal.map((v) => Math.max(Math.abs(v), 1));
    evaluate(y, new Map([[x, points]])).data.forEach((v, i) =>
      assertAlmostEquals(v, ideal[i]!, exact * scale[i]!, `${name}(${points[i]}) in float64`)
    );
    using net = compile(y);
    net.run(points).data.forEach((v, i) =>
      assertAlmostEquals(v, ideal[i]!, device * scale[i]!, `${name}(${points[i]}) on the device`)
    );
  });
}

Deno.test("special functions keep what a difference would lose", () => {
  const x = input([1, 4]);
  const points = [2.5, 2.75, 3, 3.25];
  using direct = compile(special.erfc(x));
  direct.run([points]).data.forEach((v, i) => {
    const ideal = 1 - erf(points[i]!);
    assert(Math.abs(v - ideal) < 0.1 * ideal + 2e-6, `erfc(${points[i]}) is ${v}, expected ${ideal}`);
  });
  using small = compile(special.expm1(x).add(special.log1p(x)));
  small.run([[0, 2 ** -11, -(2 ** -11), 2 ** -9]]).data.forEach((v, i) =>
    assertAlmostEquals(v, [0, 2 ** -10, -(2 ** -10), 2 ** -8][i]!, 2 ** -18)
  );
  assertThrows(() => special.expWide(x, -1), ArgumentError, "expWide: splits is -1");
  assertThrows(() => special.logWide(x, 0.5), ArgumentError, "logWide: roots is 0.5");
});

/** Two fp16 numbers that carry a float64 value. */
function pair(values: Float64Array): [Float32Array, Float32Array] {
  const hi = Float32Array.from(values, roundHalf);
  return [hi, Float32Array.from(values, (v, i) => roundHalf(v - hi[i]!))];
}

/** Runs a graph of pairs: each operand is fed as two tensors. */
function run(
  shapes: readonly number[][],
  values: readonly Float64Array[],
  f: (...p: Paired[]) => Tensor,
): Float32Array {
  const pairs = shapes.map((shape) => paired(input(shape), input(shape)));
  using net = compile(f(...pairs));
  const feeds = new Map(pairs.flatMap(({ hi, lo }, i) => {
    const [a, b] = pair(values[i]!);
    return [[hi.id, a], [lo.id, b]] as const;
  }));
  return net.run(...net.inputs.map(({ tensorId }) => feeds.get(tensorId)!)).data;
}

const random = (n: number, seed: number, lo: number, hi: number): Float64Array => {
  const source = new Random(seed);
  return Float64Array.from({ length: n }, () => source.uniform(lo, hi));
};

const worst = (got: ArrayLike<number>, ideal: Float64Array): number =>
  ideal.reduce((max, v, i) => Math.max(max, Math.abs(got[i]! - v)), 0);

Deno.test("differences of pairs keep the digits below fp16", () => {
  const a = random(256, 1, 100, 101), b = random(256, 2, 100, 101);
  const ideal = a.map((v, i) => v - b[i]!);
  const shape = [4, 64];
  const exact = worst(run([shape, shape], [a, b], (p, q) => p!.sub(q!).toTensor()), ideal);
  const plain = worst(run([shape, shape], [a, b], (p, q) => p!.hi.sub(q!.hi)), ideal);
  assert(exact < 5e-4 && plain > 0.05, `${exact} against ${plain}`);
  const shared = worst(run([shape, shape], [a, b], (p, q) => pairedSubtract(p!, q!)), ideal);
  assertEquals(shared, exact);
});

Deno.test("sums and products of pairs keep their rounding errors", () => {
  const a = random(256, 3, 1, 2), b = random(256, 4, 1, 2), c = random(256, 5, 1, 2);
  const shape = [256];
  // a b - c with a result near 0: the error of the product is what is left
  const products = a.map((v, i) => v * b[i]!);
  const near = products.map((v) => Math.round(v * 64) / 64);
  const ideal = products.map((v, i) => v - near[i]!);
  const exact = worst(run([shape, shape, shape], [a, b, near], (p, q, r) => p!.mul(q!).sub(r!).toTensor()), ideal);
  const plain = worst(run([shape, shape, shape], [a, b, near], (p, q, r) => p!.hi.mul(q!.hi).sub(r!.hi)), ideal);
  assert(exact < 1e-5 && plain > 5e-4, `${exact} against ${plain}`);
  const sums = a.map((v, i) => v + b[i]! - c[i]! - 1.5);
  const added = run([shape, shape, shape], [a, b, c], (p, q, r) => {
    const one = paired(p!.hi.sub(p!.hi).adds(1.5));
    return p!.add(q!).add(r!.neg()).sub(one).toTensor();
  });
  const naive = run([shape, shape, shape], [a, b, c], (p, q, r) => p!.hi.add(q!.hi).sub(r!.hi).adds(-1.5));
  assert(worst(added, sums) < 1e-3 && worst(naive, sums) > 1e-3, `${worst(added, sums)} ${worst(naive, sums)}`);
  const halved = run([shape], [a], (p) => p!.mul(0.5).mul(2).sub(p!).toTensor());
  assert(halved.every((v) => Math.abs(v) <= 2 ** -23), "halving loses at most the last bit of a low part near 2^-14");
});

Deno.test("a product of sums of pairs does not cancel", () => {
  const [M, K] = [3, 64];
  const a = random(M * K, 6, -1, 1), b = random(M * K, 7, -1, 1);
  // the second half repeats the first with the other sign and a small change
  for (let i = 0; i < M; i++) {
    for (let j = K / 2; j < K; j++) {
      a[i * K + j] = -a[i * K + j - K / 2]!;
      b[i * K + j] = b[i * K + j - K / 2]! + 1e-3;
    }
  }
  const ideal = Float64Array.from(
    { length: M },
    (_, i) => a.subarray(i * K, (i + 1) * K).reduce((sum, v, j) => sum + v * b[i * K + j]!, 0),
  );
  const shape = [M, K];
  const exact = worst(run([shape, shape], [a, b], (p, q) => p!.dot(q!).toTensor()), ideal);
  const plain = worst(run([shape, shape], [a, b], (p, q) => p!.hi.mul(q!.hi).sum(-1)), ideal);
  assert(exact < plain / 3, `${exact} against ${plain}`);
  const columns = run(
    [[K, M], [K, M]],
    [a, b].map((t) => t.map((_, i) => t[(i % M) * K + Math.floor(i / M)]!)),
    (p, q) => p!.dot(q!, 0).toTensor(),
  );
  assert(worst(columns, ideal) < plain / 3);
});

Deno.test("pairs check their operands", () => {
  const x = input([2, 3]);
  assertThrows(() => paired(x, input([3])), ShapeError, "paired: hi is [2, 3] and lo [3]");
  assertThrows(() => paired(1 as unknown as Tensor), ArgumentError, "hi is not a Tensor");
  assertThrows(() => new Paired(x, 0 as unknown as Tensor), ArgumentError, "must be tensors");
  assertThrows(() => paired(x).dot(paired(input([3]))), ShapeError, "dot: operands are [2, 3] and [3]");
  assertThrows(() => paired(x).dot(x, 2), ShapeError, "dot: axis 2");
  assertEquals(paired(x).shape, [2, 3]);
});
