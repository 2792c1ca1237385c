/**
 * Published error figures of the silicon, each with the computation that reproduces it through the public API.
 *
 * A figure is one number over all outputs, `||got - ref|| / ||ref||`, unless it says otherwise. The data are NumPy's
 * `default_rng(seed)` normals cast to float32; references are float64, except where the publisher's were not. Figures of
 * 3 x 3 convolutions belong to one kind of chip; the others hold for every target.
 *
 * @module
 */

import { compile } from "../src/compile/compile.ts";
import { mha } from "../src/compose/attention.ts";
import { conv } from "../src/graph/functions.ts";
import { NDArray } from "../src/graph/ndarray.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import {
  agreement,
  convF64,
  gramFma32,
  halved,
  productF64,
  relativeError,
  scaled,
  stencilFma32,
} from "./fingerprint_math.ts";
import { measure, type Statistic, STATISTICS } from "./fingerprint_statistics.ts";
import { NumpyGenerator } from "./numpy_random.ts";

/** Convolution of the chip: direct up to M4, Winograd along the width from M5 on; most figures do not depend on it. */
export type Rule = "any" | "direct" | "winograd";

/** Who runs a figure: the tests, the default run, or the full one. */
export type Size = "quick" | "default" | "full";

/** A published number. */
export interface Published {
  readonly chip: string;
  readonly value: number;
  /** As it was printed, when few digits were: ours must round to it. */
  readonly printed?: string;
}

/** One computation and the numbers it has to give. */
export interface Figure {
  readonly name: string;
  readonly rule: Rule;
  readonly size: Size;
  /** Digits that must agree; 0: not reproduced by any known rule, listed for comparison. */
  readonly required: number;
  /** Per result of `compute`, what was published for it. */
  readonly published: readonly (readonly Published[])[];
  compute(): readonly number[];
}

/** One line of the report. */
export interface Result {
  name: string;
  chip: string;
  published: number;
  ours: number;
  /** Digits that agree. */
  digits: number;
  /** Digits that must. */
  required: number;
  ok: boolean;
}

function resultOf(name: string, { chip, value, printed }: Published, ours: number, required: number): Result {
  const digits = Math.round(agreement(ours, value) * 10) / 10;
  if (printed === undefined) return { name, chip, published: value, ours, digits, required, ok: digits >= required };
  const [mantissa, exponent = "0"] = printed.split("e");
  const unit = 10 ** (Number(exponent) - (mantissa!.split(".")[1]?.length ?? 0));
  const ok = required === 0 || Math.abs(ours - value) <= unit * 0.5000001;
  return { name, chip, published: value, ours, digits, required, ok };
}

/** Computes a figure and compares it. */
export function check(figure: Figure): Result[] {
  return figure.compute().flatMap((ours, i) =>
    figure.published[i]!.map((published) => resultOf(figure.name, published, ours, figure.required))
  );
}

const on = (chip: string, value: number): Published => ({ chip, value });

/** Digits of an aggregate computed from a rule that is known bit for bit. */
const EXACT = 12;

function figure(
  name: string,
  published: readonly Published[],
  compute: () => number,
  rest: Partial<Figure> = {},
): Figure {
  return {
    name,
    rule: "any",
    size: "default",
    required: EXACT,
    ...rest,
    published: [published],
    compute: () => [compute()],
  };
}

function linearError(x: Float32Array, w: Float32Array, m: number, k: number, n: number): number {
  using net = compile(input([m, k]).linear(new NDArray(w, [n, k])));
  return relativeError(net.run(x).data, productF64(x, w, m, k, n));
}

function gemm(m: number, k: number, n: number, size: Size, ...published: Published[]): Figure {
  return figure(`linear ${m} x ${k} x ${n}`, published, () => {
    const rng = new NumpyGenerator(0);
    const x = scaled(rng, m * k, k), w = scaled(rng, n * k, k);
    return linearError(x, w, m, k, n);
  }, { size });
}

/** Both operands n x n; the first 256 rows are compared. */
function square(n: number, size: Size, chip: string, value: number): Figure {
  return figure(`square linear ${n}, 256 rows`, [on(chip, value)], () => {
    const rng = new NumpyGenerator(0);
    const x = scaled(rng, n * n, n).slice(0, 256 * n), w = scaled(rng, n * n, n);
    return linearError(x, w, 256, n, n);
  }, { size });
}

/** Weights sqrt(2 / (9 cin)) times float32 normals, in float64. */
function heWeights(rng: NumpyGenerator, cin: number, cout: number): Float64Array {
  const scale = Math.sqrt(2 / (9 * cin));
  return Float64Array.from(rng.normal32(cout * cin * 9), (v) => v * scale);
}

/** Images [batch, cin, side, side] through `layers` 3 x 3 convolutions; image 0 is compared. */
interface Convolutions {
  batch: number;
  cin: number;
  cout: number;
  side: number;
  layers: number;
  relu: boolean;
}

function convolutionError({ batch, cin, cout, side, layers, relu }: Convolutions): number {
  const rng = new NumpyGenerator(1);
  const area = side * side, x = rng.normal32(batch * cin * area);
  let y: Tensor = input([batch, cin, side, side]);
  let reference: ArrayLike<number> = x.subarray(0, cin * area);
  for (let layer = 0; layer < layers; layer++) {
    const from = layer === 0 ? cin : cout, w = heWeights(rng, from, cout);
    y = conv(y, new NDArray(halved(w), [cout, from, 3, 3]), { pad: 1 });
    if (relu) y = y.relu();
    // the publisher's patches are float32
    const next = convF64(Float32Array.from(reference), w, from, cout, side, side);
    reference = relu ? next.map((v) => Math.max(v, 0)) : next;
  }
  using net = compile(y);
  return relativeError(net.run(x).data.subarray(0, cout * area), reference);
}

function convolution(rule: Rule, size: Size, shape: Partial<Convolutions>, chip: string, value: number): Figure {
  const full = { batch: 1, cin: 64, cout: 64, side: 64, layers: 1, relu: false, ...shape };
  const what = full.layers > 1 ? `${full.layers} convolutions` : "convolution";
  const batch = full.batch > 1 ? `, batch ${full.batch}` : "";
  const name = `${what} ${full.cin} to ${full.cout}, ${full.side} x ${full.side}${full.relu ? ", ReLU" : ""}${batch}`;
  return figure(`${name} (${rule})`, [on(chip, value)], () => convolutionError(full), { rule, size });
}

const SINGLE = { cin: 16, cout: 64, side: 32, relu: true };
const STACK = { cin: 64, cout: 256, side: 32, layers: 16, relu: true };

function channels(count: number, batch: number): Partial<Convolutions> {
  return { cin: count, cout: count, batch };
}

/** 32 steps of the heat equation as 3 x 3 convolutions of one channel. */
function stencilError(): number {
  const n = 256, steps = 32;
  const u = new NumpyGenerator(3).normal32(n * n);
  const tenth = Math.fround(0.1), centre = Math.fround(1 + Math.fround(-4 * tenth));
  const kernel = Float32Array.of(0, tenth, 0, tenth, centre, tenth, 0, tenth, 0);
  let y: Tensor = input([1, 1, n, n]), reference = u;
  for (let step = 0; step < steps; step++) {
    y = conv(y, new NDArray(kernel, [1, 1, 3, 3]), { pad: 1 });
    reference = stencilFma32(reference, kernel, n);
  }
  using net = compile(y);
  return relativeError(net.run(u).data, reference);
}

function fourierError(): number {
  const n = 1024;
  const x = new NumpyGenerator(2).normal64(n);
  const errors = [Math.cos, Math.sin].map((wave) => {
    const w = Float64Array.from({ length: n * n }, (_, i) => wave(-2 * Math.PI * (Math.floor(i / n) * (i % n)) / n));
    using net = compile(input([1, n]).linear(new NDArray(halved(w), [n, n])));
    const y = new Float32Array(n);
    net.runInto([Float16Array.from(x)], [y]);
    return relativeError(y, productF64(x, w, 1, n, n));
  });
  return (errors[0]! + errors[1]!) / 2;
}

/** 25 steps x <- (b - R x) / d of A = M M^T / n + n I, with R and d the parts of A off and on its diagonal. */
function jacobiError(): number {
  const n = 512, steps = 25;
  const rng = new NumpyGenerator(8);
  const A = gramFma32(rng.normal32(n * n), n, n), b = rng.normal32(n), d = new Float32Array(n);
  for (let i = 0; i < n * n; i++) A[i] = Math.fround(A[i]! / n) + (i % (n + 1) === 0 ? n : 0);
  for (let i = 0; i < n; i++) {
    d[i] = A[i * (n + 1)]!;
    A[i * (n + 1)] = 0;
  }
  const start = input([1, n]), rhs = input([1, n]), inverse = input([1, n]);
  let x: Tensor = start, reference = new Float64Array(n);
  for (let step = 0; step < steps; step++) {
    x = rhs.sub(x.linear(new NDArray(A, [n, n]))).mul(inverse);
    const Rx = productF64(reference, A, 1, n, n);
    reference = Rx.map((v, i) => (b[i]! - v) / d[i]!);
  }
  using net = compile(x);
  return relativeError(net.run(new Float32Array(n), b, d.map((v) => 1 / v)).data, reference);
}

const WIDTH = 4096;

/** The published blocks were drawn one behind the other from one generator, on one chip. */
function blocks(
  name: string,
  rows: readonly (readonly [count: number, value: number])[],
  chip: string,
  rest: Partial<Figure>,
  error: (x: Float32Array, count: number) => number,
  /** Blocks that were drawn before and are not compared. */
  skip: readonly number[] = [],
): Figure {
  return {
    name: `${name}, blocks of ${rows.map(([count]) => count)} rows`,
    rule: "any",
    size: "default",
    required: EXACT,
    ...rest,
    published: rows.map(([count, value]) => [on(`${chip}, ${count} rows`, value)]),
    compute() {
      const rng = new NumpyGenerator(11);
      for (const count of skip) for (let i = 0; i < count * WIDTH; i++) rng.standardNormal();
      return rows.map(([count]) => error(rng.normal32(count * WIDTH), count));
    },
  };
}

function runRows(f: (x: Tensor) => Tensor, x: Float32Array, count: number): Float32Array {
  using net = compile(f(input([count, WIDTH])));
  return net.run(x).data;
}

/** The tanh form; its cubic polynomial was computed in float32. */
function geluError(x: Float32Array, count: number): number {
  const y = runRows((t) => t.gelu(), x, count), c = Math.fround(0.044715), root = Math.sqrt(2 / Math.PI);
  const reference = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) {
    const v = x[i]!, inner = Math.fround(v + Math.fround(c * Math.fround(v * v * v)));
    reference[i] = 0.5 * v * (1 + Math.tanh(root * inner));
  }
  return relativeError(y, reference);
}

function sumError(x: Float32Array, count: number): number {
  const y = runRows((t) => t.sum(-1), x, count), reference = new Float64Array(count);
  for (let i = 0; i < x.length; i++) reference[Math.floor(i / WIDTH)]! += x[i]!;
  return relativeError(y, reference);
}

function softmaxError(x: Float32Array, count: number): number {
  const y = runRows((t) => t.softmax(), x, count), reference = new Float64Array(x.length);
  for (let row = 0; row < count; row++) {
    let sum = 0;
    for (let i = row * WIDTH; i < (row + 1) * WIDTH; i++) sum += reference[i] = Math.exp(x[i]!);
    for (let i = row * WIDTH; i < (row + 1) * WIDTH; i++) reference[i]! /= sum;
  }
  return relativeError(y, reference);
}

type Norm = "layer_norm" | "rms_norm" | "group_norm";

/** Rows (groups of an image) to mean 0 and variance 1, or to mean square 1, then the gain and the offset. */
function normError(kind: Norm): number {
  const shape = kind === "group_norm" ? [1, 256, 64, 64] : [197, 768];
  const length = kind === "group_norm" ? 8 * 64 * 64 : 768, columns = shape[1]!;
  const rng = new NumpyGenerator(7), x = rng.normal32(shape.reduce((a, b) => a * b));
  const tenth = Math.fround(0.1), gain = rng.normal32(columns).map((v) => Math.fround(v * tenth) + 1);
  const offset = rng.normal32(columns).map((v) => v * tenth);
  const reference = new Float64Array(x.length);
  for (let at = 0; at < x.length; at += length) {
    let sum = 0, squares = 0;
    for (let i = at; i < at + length; i++) sum += x[i]!;
    const mean = kind === "rms_norm" ? 0 : sum / length;
    for (let i = at; i < at + length; i++) squares += (x[i]! - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / length + 1e-5);
    for (let i = at; i < at + length; i++) {
      const c = kind === "group_norm" ? Math.floor(i / 4096) : i % 768;
      reference[i] = (x[i]! - mean) * scale * gain[c]! + (kind === "rms_norm" ? 0 : offset[c]!);
    }
  }
  const t = input(shape);
  const build = {
    layer_norm: () => t.layerNorm(gain, offset),
    rms_norm: () => t.rmsNorm(gain),
    group_norm: () => t.groupNorm(gain, offset, 32),
  };
  using net = compile(build[kind]());
  return relativeError(net.run(x).data, reference);
}

/** softmax(q k^T / 8) v of 12 heads, in float64; rows [S, 768]. */
function headsF64(q: Float64Array, k: Float64Array, v: Float64Array, S: number): Float64Array {
  const D = 768, dh = 64, out = new Float64Array(S * D);
  const take = (x: Float64Array, head: number): Float64Array =>
    Float64Array.from({ length: S * dh }, (_, i) => x[Math.floor(i / dh) * D + head * dh + i % dh]!);
  for (let head = 0; head < D / dh; head++) {
    const scores = productF64(take(q, head), take(k, head), S, dh, S).map((s) => s / Math.sqrt(dh));
    for (let i = 0; i < S; i++) {
      const row = scores.subarray(i * S, (i + 1) * S), max = row.reduce((a, b) => Math.max(a, b));
      row.forEach((s, j) => row[j] = Math.exp(s - max));
      const sum = row.reduce((a, b) => a + b);
      row.forEach((s, j) => row[j] = s / sum);
    }
    const values = take(v, head);
    const turned = Float64Array.from({ length: S * dh }, (_, i) => values[(i % S) * dh + Math.floor(i / S)]!);
    productF64(scores, turned, S, S, dh).forEach((y, i) => {
      out[Math.floor(i / dh) * D + head * dh + i % dh] = y;
    });
  }
  return out;
}

function attentionError(S: number): number {
  const D = 768, rng = new NumpyGenerator(5), scale = 1 / Math.sqrt(D), hundredth = Math.fround(0.01);
  const weights = [0, 1, 2, 3].map(() => Float64Array.from(rng.normal32(D * D), (v) => v * scale));
  const biases = [0, 1, 2, 3].map(() => rng.normal32(D).map((v) => v * hundredth));
  const x = rng.normal32(S * D);
  const project = (rows: ArrayLike<number>, i: number): Float64Array =>
    productF64(rows, weights[i]!, S, D, D).map((v, at) => v + biases[i]![at % D]!);
  const mixed = headsF64(project(x, 0), project(x, 1), project(x, 2), S);
  const [wq, wk, wv, wo] = weights.map((w) => new NDArray(halved(w), [D, D]));
  const [bq, bk, bv, bo] = biases;
  const all = { wq: wq!, wk: wk!, wv: wv!, wo: wo!, bq, bk, bv, bo };
  using net = compile(mha(input([S, D]), all, 12));
  return relativeError(net.run(x).data, project(mixed, 3));
}

function statistic(row: Statistic): Figure {
  const labels = ["largest absolute error", "largest error in ulp", "argument of the latter"];
  return {
    name: `${row.name} over [${row.range.slice(1)}]`,
    rule: row.newer ? "winograd" : "any",
    size: "quick",
    required: row.known === false ? 0 : 2,
    published: row.printed.map((text, i) =>
      text === null ? [] : [{ chip: `M6, ${labels[i]}`, value: Number(text), printed: text }]
    ),
    compute: () => measure(row),
  };
}

/** Aggregates no known rule reproduces; ours beside them. */
const LISTED = { required: 0 };

const NORMS: readonly (readonly [Norm, string, number, number])[] = [
  ["layer_norm", "197 x 768", 0.0006666825403169065, 0.0006721924948683699],
  ["rms_norm", "197 x 768", 0.0005579519158440576, 0.0005661251602187821],
  ["group_norm", "256 x 64 x 64 in 32 groups", 0.0007409982149321947, 0.0007410157930155374],
];

/** All figures, in the order of the report. */
export const FIGURES: readonly Figure[] = [
  gemm(64, 256, 256, "quick", on("M1, M2, M5", 0.0012522854527169441)),
  gemm(128, 1024, 1024, "quick", on("M2, M5", 0.0055214934910669524), on("M1", 0.0055214934910669958)),
  gemm(
    256,
    4096,
    4096,
    "default",
    on("M5", 0.027275490149715084),
    on("M1", 0.027275490149715163),
    on("M2", 0.027275490149715073),
  ),
  square(512, "quick", "M1, M2 Max, M4 Max, M6", 0.00257800397023792),
  square(1024, "quick", "M1, M2 Max, M4 Max, M6", 0.005528352999597525),
  square(2048, "default", "M1, M2 Max, M4 Max, M6", 0.012131920427695623),
  square(4096, "default", "M1, M2 Max, M4 Max, M6", 0.027237621125542212),
  square(6144, "full", "M4 Max", 0.043990474210234866),
  square(8192, "full", "M4 Max", 0.061638068725750665),
  figure("Fourier matrix 1024, mean of both parts", [on("M1, M2, M5", 0.00035014059095186414)], fourierError, {
    size: "quick",
  }),
  convolution("direct", "quick", SINGLE, "M1, M2", 0.00036636558584241826),
  convolution("direct", "quick", channels(64, 8), "M1, M2", 0.0003671660721200675),
  convolution("direct", "default", channels(128, 8), "M2 Max", 0.00037520404231831825),
  convolution("direct", "default", channels(256, 4), "M2 Max", 0.00039007837442013344),
  convolution("direct", "default", channels(64, 16), "M4 Max", 0.00036713452579315676),
  convolution("direct", "default", channels(128, 16), "M4 Max", 0.000373510899298669),
  convolution("direct", "default", STACK, "M1, M2", 0.0014396985212474691),
  figure("stencil 256 x 256, 32 steps (direct)", [on("M1, M2", 0.00146473466886763)], stencilError, {
    rule: "direct",
    size: "quick",
  }),
  convolution("winograd", "quick", SINGLE, "M5", 0.0005102488034377338),
  convolution("winograd", "quick", channels(64, 8), "M6", 0.0005162338465671137),
  convolution("winograd", "default", channels(128, 8), "M6", 0.0005214500415248461),
  convolution("winograd", "default", channels(256, 4), "M6", 0.0005323365234218932),
  convolution("winograd", "default", channels(512, 2), "M6", 0.0005551710379119106),
  convolution("winograd", "default", STACK, "M5", 0.003343217049092961),
  figure("stencil 256 x 256, 32 steps (winograd)", [on("M5", 0.013931483142566859)], stencilError, {
    rule: "winograd",
    size: "quick",
  }),
  figure("Jacobi 512, 25 steps", [on("M5", 0.0003998604341057898)], jacobiError, { size: "quick" }),
  blocks(
    "gelu",
    [[64, 0.0024077288650788567], [256, 0.0023955107862632993]],
    "M5",
    { required: 8, size: "quick" },
    geluError,
  ),
  blocks(
    "gelu",
    [[1024, 0.0024012110017771985], [2048, 0.002399864679010996], [4096, 0.0024024174412155303]],
    "M5",
    { required: 8 },
    geluError,
    [64, 256],
  ),
  blocks(
    "gelu",
    [[8192, 0.0024034491677650187], [16384, 0.0024015598368060226]],
    "M5",
    { required: 8, size: "full" },
    geluError,
    [64, 256, 1024, 2048, 4096],
  ),
  blocks("gelu", [[256, 0.0023991258399848753], [2048, 0.0024010734360187438]], "M6", { required: 8 }, geluError),
  blocks("gelu", [[8192, 0.002402333254135391]], "M6", { required: 8, size: "full" }, geluError, [256, 2048]),
  ...STATISTICS.map(statistic),
  blocks("reduce_sum", [[64, 0.0007592270061840784], [256, 0.0008192885359946541]], "M5", LISTED, sumError),
  blocks("softmax", [[64, 0.0010453731724024647], [256, 0.0010302605562656905]], "M5", LISTED, softmaxError),
  ...NORMS.map(([kind, shape, m1, m5]) =>
    figure(`${kind} ${shape}`, [on("M1", m1), on("M5", m5)], () => normError(kind), LISTED)
  ),
  ...([[197, 0.0015743203944934068, 0.0016295418085633957], [
    512,
    0.002349398736464838,
    0.0023463584022740125,
  ]] as const)
    .map(([S, m1, m5]) =>
      figure(`attention, ${S} x 768, 12 heads`, [on("M1", m1), on("M5", m5)], () => attentionError(S), LISTED)
    ),
];
