/**
 * What every operation is tried on: shapes, values and accepted errors. The conformance test runs the forward direction on
 * the device, the gradient test the backward one. An operation without a case fails both.
 *
 * @module
 */

import { concat, conv, convTranspose, split, stack } from "../src/graph/functions.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { channelNormCases, imageCases } from "./image_cases.ts";
import {
  baked,
  CONV_ROWS,
  type ConvRow,
  EXACT,
  FAST,
  MAC,
  moved,
  numbers,
  type OpCase,
  ROUNDED,
  type Tolerance,
  type Values,
} from "./op_case.ts";
import { sizeOf } from "./reference_kernels.ts";

export { draw, numbers } from "./op_case.ts";
export type { OpCase, Tolerance, Values } from "./op_case.ts";

const UNARY_SHAPES: readonly (readonly number[])[] = [[1], [7], [1, 1], [3, 5], [2, 1, 9], [1, 3, 2, 5], [
  2,
  1,
  3,
  1,
  5,
], [
  33,
  31,
]];

interface UnaryRow {
  f: (x: Tensor) => Tensor;
  lo?: number;
  hi?: number;
  avoid?: readonly number[];
  ane: Tolerance;
  fast?: Tolerance;
  gradient?: number | false;
}

/**
 * Elementwise functions of one operand. The tolerances of the tabulated ones are the published worst errors of the silicon
 * plus one rounding.
 */
const UNARY: Readonly<Record<string, UnaryRow>> = {
  relu: { f: (x) => x.relu(), avoid: [0], ane: EXACT, fast: EXACT },
  relu6: { f: (x) => x.relu6(), lo: -4, hi: 9, avoid: [0, 6], ane: EXACT, fast: EXACT },
  abs: { f: (x) => x.abs(), avoid: [0], ane: EXACT, fast: EXACT },
  square: { f: (x) => x.square(), ane: ROUNDED, fast: ROUNDED },
  floor: { f: (x) => x.floor(), lo: -40, hi: 40, ane: EXACT, fast: EXACT, gradient: false },
  ceil: { f: (x) => x.ceil(), lo: -40, hi: 40, ane: EXACT, fast: EXACT, gradient: false },
  round: { f: (x) => x.round(), lo: -3000, hi: 3000, ane: EXACT, fast: EXACT, gradient: false },
  sign: { f: (x) => x.sign(), ane: EXACT, fast: EXACT, gradient: false },
  gelu: { f: (x) => x.gelu(), lo: -6, hi: 6, ane: { abs: 6.2e-3, rel: 5e-4 }, gradient: 0.04 },
  silu: { f: (x) => x.silu(), lo: -8, hi: 8, ane: { abs: 1.5e-2, rel: 5e-4 } },
  sigmoid: { f: (x) => x.sigmoid(), lo: -12, hi: 12, ane: { abs: 3.5e-3 } },
  tanh: { f: (x) => x.tanh(), lo: -6, hi: 6, ane: { abs: 1.7e-3 } },
  erf: { f: (x) => x.erf(), lo: -3, hi: 3, ane: { abs: 4.8e-3 } },
  atan: { f: (x) => x.atan(), lo: -8, hi: 8, ane: { abs: 3.5e-2 } },
  softsign: { f: (x) => x.softsign(), avoid: [0], ane: { rel: 1.5e-2, abs: 1e-3 } },
  softplus: { f: (x) => x.softplus(), lo: -8, hi: 14, ane: { abs: 1.5e-2, rel: 2e-3 } },
  exp: { f: (x) => x.exp(), lo: -8, hi: 8, ane: { ulps: 9.6 }, gradient: 0.03 },
  exp2: { f: (x) => x.exp2(), lo: -8, hi: 8, ane: { ulps: 3 } },
  sqrt: { f: (x) => x.sqrt(), lo: 0.1, hi: 60, ane: { ulps: 1.3 } },
  rsqrt: { f: (x) => x.rsqrt(), lo: 0.1, hi: 60, ane: { ulps: 2.6 } },
  inverse: { f: (x) => x.inverse(), lo: 0.1, hi: 60, ane: { ulps: 2.6 } },
  log: { f: (x) => x.log(), lo: 0.1, hi: 60, ane: { abs: 6.7e-3 } },
  sin: { f: (x) => x.sin(), lo: -1.5, hi: 1.5, ane: { abs: 3e-3 }, fast: { abs: 2e-3 } },
  cos: { f: (x) => x.cos(), lo: -1.5, hi: 1.5, ane: { abs: 3e-3 }, fast: { abs: 2e-3 } },
  elu: { f: (x) => x.elu(1.5), avoid: [0], ane: { abs: 1.5e-2 } },
  leaky_relu: { f: (x) => x.leakyRelu(0.125), avoid: [0], ane: ROUNDED, fast: ROUNDED },
  threshold: { f: (x) => x.threshold(0.5), avoid: [0.5], ane: EXACT, fast: EXACT },
  thresholded_relu: { f: (x) => x.thresholdedRelu(0.75), avoid: [0.75], ane: EXACT, fast: EXACT },
  clip: { f: (x) => x.clip(-0.5, 1.25), avoid: [-0.5, 1.25], ane: EXACT, fast: EXACT },
  clamped_relu: { f: (x) => x.clampedRelu(0.25, 1.5), avoid: [0, 1.5], ane: ROUNDED, fast: ROUNDED },
  scaled_tanh: { f: (x) => x.scaledTanh(1.5, 0.5), ane: { abs: 5e-3 } },
  sigmoid_hard: {
    f: (x) => x.sigmoidHard(0.25, 0.5),
    lo: -4,
    hi: 4,
    avoid: [-2, 2],
    ane: { abs: 1e-3 },
    fast: { abs: 1e-3 },
  },
  linear_activation: { f: (x) => x.linearActivation(1.5, -0.25), ane: { ulps: 1.01, abs: 5e-4 }, fast: { ulps: 1.01 } },
  adds: { f: (x) => x.adds(0.375), ane: ROUNDED, fast: ROUNDED },
  muls: { f: (x) => x.muls(-1.375), ane: ROUNDED, fast: ROUNDED },
  cast: { f: (x) => x.cast(), ane: EXACT, fast: EXACT },
};

function unaryCases(): OpCase[] {
  return Object.entries(UNARY).flatMap(([op, { f, lo, hi, avoid, ane, fast = FAST, gradient = 0.03 }]) =>
    UNARY_SHAPES.map((shape): OpCase => ({
      op,
      title: `[${shape}]`,
      inputs: [{ shape, lo, hi, avoid }],
      build: ([x]) => f(x!),
      ane,
      fast,
      gradient: sizeOf(shape) > 64 ? false : gradient,
    }))
  );
}

/** Every way shapes can broadcast, up to rank 5. */
const BROADCASTS: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[3], [3]],
  [[5], [1]],
  [[1], [5]],
  [[1], [1]],
  [[2, 3], [3]],
  [[3], [2, 3]],
  [[2, 3], [2, 1]],
  [[1, 3], [2, 3]],
  [[2, 1], [1, 3]],
  [[4, 1, 3], [2, 1]],
  [[2, 3, 4], [4]],
  [[2, 3, 4], [3, 1]],
  [[1, 3, 1, 5], [2, 1, 4, 5]],
  [[2, 1, 3, 1, 2], [1, 4, 1, 3, 1]],
  [[2, 3, 1, 2, 2], [2, 1]],
  [[17, 33], [17, 33]],
];

interface BinaryRow {
  f: (a: Tensor, b: Tensor) => Tensor;
  a?: Partial<Values>;
  b?: Partial<Values>;
  ane: Tolerance;
  fast?: Tolerance;
  gradient?: number | false;
}

const TRUTH: BinaryRow["f"][] = [
  (a, b) => a.greater(b),
  (a, b) => a.less(b),
  (a, b) => a.equal(b),
  (a, b) => a.notEqual(b),
  (a, b) => a.lessEqual(b),
  (a, b) => a.greaterEqual(b),
];

const COMPARISONS = ["greater", "less", "equal", "not_equal", "less_equal", "greater_equal"];

const BINARY: Readonly<Record<string, BinaryRow>> = {
  add: { f: (a, b) => a.add(b), ane: ROUNDED, fast: ROUNDED },
  sub: { f: (a, b) => a.sub(b), ane: ROUNDED, fast: ROUNDED },
  mul: { f: (a, b) => a.mul(b), ane: ROUNDED, fast: ROUNDED },
  real_div: { f: (a, b) => a.div(b), b: { lo: 0.25, hi: 4 }, ane: { ulps: 4.1 }, fast: ROUNDED },
  pow: { f: (a, b) => a.pow(b), a: { lo: 0.25, hi: 3 }, ane: { rel: 3e-2 }, fast: { ulps: 1.01 }, gradient: 0.05 },
  // operands on two grids that never meet: ties have no derivative
  maximum: { f: (a, b) => a.maximum(b), b: { lo: -1.3, hi: 1.7 }, ane: EXACT, fast: EXACT },
  minimum: { f: (a, b) => a.minimum(b), b: { lo: -1.3, hi: 1.7 }, ane: EXACT, fast: EXACT },
  ...Object.fromEntries(COMPARISONS.map((op, i): [string, BinaryRow] => {
    const small = { lo: -1.5, hi: 2.5, dtype: "int8" as const }; // few values, so that many are equal
    return [op, {
      f: (a, b) => TRUTH[i]!(a.cast(), b.cast()).select(1, 0),
      a: small,
      b: small,
      ane: EXACT,
      fast: EXACT,
      gradient: false,
    }];
  })),
};

function binaryCases(): OpCase[] {
  return Object.entries(BINARY).flatMap(([op, { f, a, b, ane, fast = FAST, gradient = 0.03 }]) => [
    ...BROADCASTS.map(([left, right]): OpCase => ({
      op,
      title: `[${left}] and [${right}]`,
      inputs: [{ shape: left, ...a }, { shape: right, ...b }],
      build: ([x, y]) => f(x!, y!),
      ane,
      fast,
      gradient: sizeOf(left) > 64 ? false : gradient,
    })),
    {
      op,
      title: "an operand with itself",
      inputs: [{ shape: [2, 5], lo: 0.25, hi: 1.75, ...a }],
      build: ([x]) => f(x!, x!),
      ane,
      fast,
      // the halves of a tie add up to the whole
      gradient,
    },
  ]);
}

function sourceCases(): OpCase[] {
  const integers = (dtype: "uint8" | "int8" | "uint16" | "int16", lo: number, hi: number): OpCase => ({
    op: "cast",
    title: `${dtype} [2,5]`,
    inputs: [{ shape: [2, 5], dtype, lo, hi }],
    build: ([x]) => x!.cast(),
    ane: dtype.endsWith("16") ? ROUNDED : EXACT,
    fast: EXACT,
    gradient: false,
  });
  return [
    { ...moved("input", "[2,3]", [[2, 3]], ([x]) => x!), gradient: false },
    {
      ...moved("const_array", "baked [3,4]", [[2, 3, 4]], ([x]) => x!.maximum(baked([3, 4]))),
      gradient: false,
    },
    { ...moved("const_array", "a number", [[2, 3]], ([x]) => x!.maximum(0.5)), gradient: false },
    integers("uint8", 0, 255),
    integers("int8", -128, 127),
    integers("uint16", 0, 65503),
    integers("int16", -32768, 32767),
    {
      ...moved("logical_not", "of a comparison", [[3, 5]], ([x]) => x!.greater(0).logicalNot().select(1, 0)),
      gradient: false,
    },
    moved(
      "select",
      "three operands, broadcast",
      [[2, 3, 1], [3, 4], [2, 1, 1]],
      ([c, a, b]) => c!.greater(9).logicalNot().select(a!, b!),
    ),
    {
      ...moved("select", "the same shape", [[3, 7], [3, 7], [3, 7]], ([c, a, b]) => c!.greater(0).select(a!, b!)),
      inputs: [{ shape: [3, 7], avoid: [0] }, { shape: [3, 7] }, { shape: [3, 7] }],
    },
    ...[[2, 3], [2, 3, 4], [1, 3, 2, 2], [2, 1, 2, 1, 3]].map((shape): OpCase => ({
      ...moved("prelu", `[${shape}]`, [], ([x]) => x!.prelu(numbers(shape[1]!, 5))),
      op: "prelu",
      inputs: [{ shape, avoid: [0] }],
      ane: ROUNDED,
      fast: ROUNDED,
    })).slice(1),
  ];
}

function linearCases(): OpCase[] {
  const mac = (
    op: string,
    title: string,
    shapes: readonly (readonly number[])[],
    build: OpCase["build"],
    grad: number | false = 0.01,
  ): OpCase => ({
    op,
    title,
    inputs: shapes.map((shape) => ({ shape })),
    build,
    ane: MAC,
    fast: MAC,
    gradient: grad,
  });
  const dense = ([m, k, n]: readonly [number, number, number], lead: readonly number[]): OpCase =>
    mac(
      "matmul",
      `[${[...lead, m, k]}] by [${n},${k}]`,
      [[...lead, m, k]],
      ([x]) => x!.linear(baked([n, k])),
      sizeOf([...lead, m, k]) > 200 ? false : 0.01,
    );
  const batched: readonly (readonly [readonly number[], readonly number[]])[] = [
    [[1, 1], [1, 1]],
    [[3, 5], [5, 2]],
    [[1, 7], [7, 1]],
    [[2, 3, 4], [2, 4, 5]],
    [[2, 3, 4], [4, 5]],
    [[3, 4], [2, 4, 5]],
    [[2, 1, 3, 2], [1, 3, 2, 4]],
    [[1, 2, 2, 3, 2], [2, 1, 1, 2, 3]],
  ];
  return [
    dense([1, 1, 1], []),
    dense([3, 5, 2], []),
    dense([1, 17, 9], []),
    dense([4, 3, 5], [2]),
    dense([2, 3, 4], [1, 2]),
    dense([2, 3, 4], [1, 2, 2]),
    dense([33, 65, 47], []),
    mac("matmul", "rank 1", [[6]], ([x]) => x!.linear(baked([4, 6]))),
    mac("matmul", "with a bias", [[3, 6]], ([x]) => x!.linear(baked([4, 6]), numbers(4, 3))),
    mac("matmul", "x by w [K, N]", [[3, 6]], ([x]) => x!.matmul(baked([6, 4]))),
    ...batched.map(([a, b]): OpCase => ({
      ...mac("bmm", `[${a}] by [${b}]`, [a, b], ([x, y]) => x!.matmul(y!)),
      gradientRefused: a.length === 5 ? "a transpose of rank 5" : undefined,
    })),
    mac("bmm", "large", [[40, 70], [70, 50]], ([x, y]) => x!.matmul(y!), false),
    mac("bmm", "a matrix by itself", [[3, 3]], ([x]) => x!.matmul(x!)),
    mac("bmm", "one side transposed", [[3, 4], [5, 4]], ([x, y]) => x!.matmul(y!.transpose([1, 0]))),
    mac("bmm_w", "[2,3,4] by [2,4,5]", [[2, 3, 4]], ([x]) => x!.bmmWeight(baked([2, 4, 5]))),
    mac("bmm_w", "[3,4] by [2,4,1]", [[3, 4]], ([x]) => x!.bmmWeight(baked([2, 4, 1]))),
  ];
}

const REDUCE_SHAPES: readonly (readonly [readonly number[], readonly number[] | number])[] = [
  [[1], 0],
  [[7], -1],
  [[3, 5], 1],
  [[3, 5], -2],
  [[3, 5], [0, 1]],
  [[2, 1, 9], 1],
  [[2, 3, 4], [0, 2]],
  [[2, 3, 4], [2, 1]],
  [[1, 3, 2, 5], [-1, -2]],
  [[2, 3, 2, 1, 5], [1, 3]],
  [[2, 3, 2, 2, 2], [0, 1, 2, 3, 4]],
  [[4, 129], 1],
];

interface ReduceRow {
  f: (x: Tensor, axes: readonly number[] | number) => Tensor;
  lo?: number;
  hi?: number;
  avoid?: readonly number[];
  ane: Tolerance;
  fast?: Tolerance;
  gradient?: number;
}

const REDUCE: Readonly<Record<string, ReduceRow>> = {
  reduce_sum: { f: (x, a) => x.sum(a), lo: 0, ane: { rel: 2e-3 } },
  reduce_mean: { f: (x, a) => x.mean(a), lo: 0, ane: { rel: 3e-3 } },
  reduce_max: { f: (x, a) => x.amax(a), ane: EXACT, fast: EXACT },
  reduce_min: { f: (x, a) => x.amin(a), ane: EXACT, fast: EXACT },
  reduce_l1_norm: { f: (x, a) => x.l1Norm(a), avoid: [0], ane: { rel: 2e-3 } },
  reduce_log_sum: { f: (x, a) => x.logSum(a), lo: 0.5, ane: { abs: 1.2e-2, rel: 2e-3 } },
  reduce_sum_square: { f: (x, a) => x.sumSquare(a), ane: { rel: 3e-3 } },
  reduce_log_sum_exp: { f: (x, a) => x.reduceLogSumExp(a), ane: { abs: 1.5e-2, rel: 2e-3 } },
};

function reduceCases(): OpCase[] {
  const rows = Object.entries(REDUCE).flatMap(([op, { f, lo, hi, avoid, ane, fast = FAST, gradient = 0.03 }]) =>
    REDUCE_SHAPES.map(([shape, axes]): OpCase => ({
      op,
      title: `[${shape}] over ${axes}`,
      inputs: [{ shape, lo, hi, avoid }],
      build: ([x]) => f(x!, axes),
      ane,
      fast,
      gradient: sizeOf(shape) > 100 ? false : gradient,
    }))
  );
  const along = (
    op: string,
    shapes: readonly (readonly [readonly number[], number])[],
    f: (x: Tensor, axis: number) => Tensor,
    ane: Tolerance,
  ): OpCase[] =>
    shapes.map(([shape, axis]): OpCase => ({
      op,
      title: `[${shape}] along ${axis}`,
      inputs: [{ shape }],
      build: ([x]) => f(x!, axis),
      ane,
      fast: { ulps: 2, abs: 1e-4 },
      gradient: sizeOf(shape) > 100 ? false : 0.03,
    }));
  const axes: readonly (readonly [readonly number[], number])[] = [
    [[5], 0],
    [[3, 1], 1],
    [[3, 5], -1],
    [[3, 5], 0],
    [[2, 3, 4], 1],
    [[1, 2, 3, 3], -3],
    [[2, 1, 2, 3, 2], 3],
    [[3, 200], 1],
  ];
  const affine = (op: string, f: (x: Tensor, gamma: Float32Array, beta: Float32Array) => Tensor): OpCase[] =>
    [[1, 3], [3, 5], [4, 7], [2, 160]].map((shape): OpCase => ({
      op,
      title: `[${shape}]`,
      inputs: [{ shape }],
      build: ([x]) => f(x!, numbers(shape[1]!, 3, 0.5, 1.5), numbers(shape[1]!, 4)),
      ane: { max: 6e-3 },
      fast: { max: 2e-3 },
      gradient: sizeOf(shape) > 100 ? false : 0.04,
    }));
  return [
    ...rows,
    ...along("softmax", axes, (x, axis) => x.softmax(axis), { abs: 2e-3, rel: 1.5e-2 }),
    ...along("l2_norm", axes, (x, axis) => x.l2Norm(axis), { max: 6e-3 }),
    ...affine("rms_norm", (x, gamma) => x.rmsNorm(gamma)),
    // Every row below the floor of the norm, where it is a division by a constant.
    { ...affine("rms_norm", (x, gamma) => x.rmsNorm(gamma, 100))[1]!, title: "[3,5] below the floor" },
    {
      ...along("l2_norm", [[[3, 5], 1]], (x, axis) => x.l2Norm(axis, 400), { max: 6e-3 })[0]!,
      title: "below the floor",
    },
    ...affine("layer_norm", (x, gamma, beta) => x.layerNorm(gamma, beta)),
  ];
}

const TRANSPOSE_ROWS: readonly ConvRow[] = [
  [[1, 1, 1, 1], [1, 1, 1, 1]],
  [[1, 3, 4, 5], [3, 2, 3, 3]],
  [[2, 2, 3, 4], [2, 3, 3, 2], { pad: 1 }],
  [[1, 2, 3, 3], [2, 2, 2, 2], { stride: 2 }],
  [[1, 2, 3, 4], [2, 2, 3, 3], { stride: 2, pad: 1, bias: [1, -1] }],
  [[1, 2, 3, 3], [2, 2, 2, 2], { stride: 3 }],
  [[1, 2, 3, 3], [2, 1, 3, 3], { dilation: 2, pad: 1 }],
  [[1, 4, 3, 3], [4, 2, 3, 3], { groups: 2, pad: 1 }],
];

function spatialCases(): OpCase[] {
  const convolution = (op: string, f: typeof conv, rows: readonly ConvRow[]): OpCase[] =>
    rows.map(([x, w, options]): OpCase => ({
      op,
      title: `[${x}] by [${w}] ${JSON.stringify(options ?? {})}`,
      inputs: [{ shape: x }],
      build: ([t]) => f(t!, baked(w), options),
      ane: MAC,
      fast: MAC,
      gradient: (op === "conv" && (options?.stride ?? 1) > 1) || sizeOf(x) > 500 ? false : 0.01,
    }));
  const pools: readonly (readonly [readonly number[], number, Parameters<Tensor["avgPool"]>[1]?])[] = [
    [[1, 1, 1, 1], 1],
    [[1, 2, 4, 6], 2],
    [[2, 3, 6, 9], 3],
    [[1, 2, 5, 7], 2],
    [[1, 2, 5, 5], 5],
    [[1, 2, 5, 7], 3, { stride: 2 }],
    [[1, 2, 5, 7], 3, { stride: 1, pad: 1 }],
    [[1, 2, 7, 7], 2, { stride: 3 }],
    [[1, 2, 6, 6], 3, { stride: 2, ceilMode: true }],
    [[1, 2, 7, 5], 3, { stride: 2, pad: 1, ceilMode: true }],
    [[1, 2, 6, 7], 3, { stride: 2, pad: 1, excludePad: true }],
  ];
  const tiles = (k: number, o?: { stride?: number; pad?: number }): boolean => (o?.stride ?? k) === k && !o?.pad;
  const plain = (o?: Parameters<Tensor["avgPool"]>[1]): Parameters<Tensor["maxPool"]>[1] => {
    const { excludePad: _, ...rest } = o ?? {};
    return rest;
  };
  return [
    ...convolution("conv", conv, CONV_ROWS),
    ...convolution("conv_transpose", convTranspose, TRANSPOSE_ROWS),
    ...pools.flatMap(([shape, kernel, options]): OpCase[] => {
      const title = `[${shape}] by ${kernel} ${JSON.stringify(options ?? {})}`;
      const inputs = [{ shape }];
      const gradient = tiles(kernel, options) && !options?.ceilMode ? 0.01 : false;
      return [
        {
          op: "max_pool",
          title,
          inputs,
          build: ([x]) => x!.maxPool(kernel, plain(options)),
          ane: EXACT,
          fast: EXACT,
          gradient,
        },
        {
          op: "avg_pool",
          title,
          inputs,
          build: ([x]) => x!.avgPool(kernel, options),
          ane: { max: 3e-3 },
          fast: FAST,
          gradient,
        },
      ];
    }),
    moved("upsample", "[1,2,3,4] by 2", [[1, 2, 3, 4]], ([x]) => x!.upsample()),
    moved("upsample", "[2,1,1,5] by 3", [[2, 1, 1, 5]], ([x]) => x!.upsample(3)),
    moved("upsample", "[1,2,3,3] by 1", [[1, 2, 3, 3]], ([x]) => x!.upsample(1)),
  ];
}

const PERMUTATIONS: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[4], [0]],
  [[3, 5], [1, 0]],
  [[2, 3, 4], [0, 2, 1]],
  [[2, 3, 4], [2, 0, 1]],
  [[1, 3, 2, 5], [0, 2, 3, 1]],
  [[1, 3, 2, 5], [3, 2, 1, 0]],
  [[2, 1, 3, 2, 2], [4, 0, 3, 1, 2]],
  [[33, 65], [1, 0]],
];

function shapeCases(): OpCase[] {
  return [
    ...PERMUTATIONS.map(([shape, perm]) =>
      moved("transpose", `[${shape}] by ${perm}`, [shape], ([x]) => x!.transpose(perm))
    ),
    moved("reshape", "[2,6] to [3,4]", [[2, 6]], ([x]) => x!.reshape([3, 4])),
    moved("reshape", "[12] to [1,2,1,3,2]", [[12]], ([x]) => x!.reshape(1, 2, 1, 3, 2)),
    moved("squeeze", "[1,3,1,2] axes 0, 2", [[1, 3, 1, 2]], ([x]) => x!.squeeze([0, 2])),
    moved("squeeze", "[3,1] axis -1", [[3, 1]], ([x]) => x!.squeeze(-1)),
    moved("expand_dims", "[3,2] axes 0, 2, 4", [[3, 2]], ([x]) => x!.expandDims([0, 2, 4])),
    moved("expand_dims", "[3] axis -1", [[3]], ([x]) => x!.expandDims(-1)),
    moved("flatten2d", "[2,3,4] at 1", [[2, 3, 4]], ([x]) => x!.flatten2d()),
    moved("flatten2d", "[2,3,4] at 2", [[2, 3, 4]], ([x]) => x!.flatten2d(2)),
    moved("flatten2d", "[2,3] at 0", [[2, 3]], ([x]) => x!.flatten2d(0)),
    moved("slice_by_size", "[5] from 2", [[5]], ([x]) => x!.sliceBySize([2], [2])),
    moved("slice_by_size", "[3,5,4] inner", [[3, 5, 4]], ([x]) => x!.sliceBySize([1, 0, 2], [2, 3, 1])),
    moved(
      "slice_by_size",
      "[2,1,3,1,4] all axes",
      [[2, 1, 3, 1, 4]],
      ([x]) => x!.sliceBySize([1, 0, 1, 0, 1], [1, 1, 2, 1, 3]),
    ),
    moved("reverse", "[5]", [[5]], ([x]) => x!.reverse(0)),
    moved("reverse", "[2,3,4] axes 0, -1", [[2, 3, 4]], ([x]) => x!.reverse([0, -1])),
    moved("tile", "[3] by 2", [[3]], ([x]) => x!.tile([2])),
    moved("tile", "[2,3,2] by 2,1,3", [[2, 3, 2]], ([x]) => x!.tile([2, 1, 3])),
    moved("tile", "[1,2,1,2,1] by 2,2,1,1,3", [[1, 2, 1, 2, 1]], ([x]) => x!.tile([2, 2, 1, 1, 3])),
    moved("concat", "one operand", [[2, 3]], (x) => concat(x)),
    moved("concat", "three operands, axis 1", [[2, 3], [2, 1], [2, 4]], (x) => concat(x)),
    moved("concat", "axis 0 of rank 1", [[3], [2]], (x) => concat(x, 0)),
    moved("concat", "axis -2 of rank 4", [[1, 2, 3, 2], [1, 2, 1, 2]], (x) => concat(x, -2)),
    moved("concat", "an operand twice", [[2, 3]], ([x]) => concat([x!, x!], 0)),
    moved("stack", "axis 0", [[2, 3], [2, 3]], (x) => stack(x)),
    moved("stack", "axis -1", [[2, 3], [2, 3], [2, 3]], (x) => stack(x, -1)),
    moved("split", "first of three", [[6, 2]], ([x]) => split(x!, 3)[0]!),
    moved("split", "last of two, axis -1", [[2, 3, 4]], ([x]) => split(x!, 2, -1)[1]!),
    moved("split", "all parts swapped", [[4, 3]], ([x]) => concat(split(x!, 2).reverse(), 0)),
  ];
}

/** Every case. */
export const OP_CASES: readonly OpCase[] = [
  ...sourceCases(),
  ...unaryCases(),
  ...binaryCases(),
  ...linearCases(),
  ...reduceCases(),
  ...spatialCases(),
  ...channelNormCases(),
  ...imageCases(),
  ...shapeCases(),
];
