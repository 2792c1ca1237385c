/**
 * A float64 evaluator of the graph, written from the operations' formulas and independent of everything that compiles or
 * runs them: it reads node kinds, shapes and attributes, nothing else. Values are never rounded.
 *
 * @module
 */

import type { NDArray } from "../src/graph/ndarray.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import * as k from "./reference_kernels.ts";
import { type Arr, arr, at, build, map, reduce, zip } from "./reference_kernels.ts";

export type { Arr } from "./reference_kernels.ts";

// deno-lint-ignore no-explicit-any
type Attrs = any;

/** Value of a node from the values of its operands. */
type Rule = (inputs: Arr[], attrs: Attrs, shape: readonly number[]) => Arr;

const baked = (value: NDArray): Arr => arr(value.shape, value.data);
const unary = (f: (x: number) => number): Rule => ([x]) => map(x!, f);
const alphaBeta = (f: (x: number, a: number, b: number) => number): Rule => ([x], { alpha, beta }) =>
  map(x!, (v) => f(v, alpha, beta));
const withEps = (f: (x: number) => number): Rule => ([x], { eps }) => map(x!, (v) => f(v + eps));
const binary = (f: (a: number, b: number) => number): Rule => (inputs) => zip(inputs, f);
const compare = (f: (a: number, b: number) => boolean): Rule => (inputs) => zip(inputs, (a, b) => Number(f(a!, b!)));
const reduction = (f: (values: number[]) => number): Rule => ([x], { axes }) => reduce(x!, axes, f);

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const pair = (v: number | [number, number]): [number, number] => (typeof v === "number" ? [v, v] : v);

/** Pads of a window: one number, or top, bottom, left, right. */
function pads(pad: number | [number, number, number, number]): [number, number, number, number] {
  return typeof pad === "number" ? [pad, pad, pad, pad] : pad;
}

function windowOf({ stride, pad, dilation, groups }: Attrs): k.Window {
  return { stride: pair(stride), pad: pads(pad), dilation: pair(dilation), groups };
}

/** Adds one value per channel (axis 1). */
function perChannel(x: Arr, values: NDArray | null | undefined): Arr {
  return values ? build(x.shape, (i) => at(x, i) + values.data[i[1]!]!) : x;
}

/** Affine map per channel (axis 1): x * gamma[c] + beta[c]. */
function channelAffine(x: Arr, gamma: NDArray, beta: NDArray): Arr {
  return build(x.shape, (i) => at(x, i) * gamma.data[i[1]!]! + beta.data[i[1]!]!);
}

/** Pooling of the window attributes; windows reach over the far border where the output shape says so. */
function pool(f: (cells: number[], area: number) => number): Rule {
  return ([x], { kernel, stride, pad }, shape) => k.pool(x!, shape, kernel, stride, pad, f);
}

const RULES: Readonly<Record<string, Rule>> = {
  const_array: (_, { value }) => baked(value),
  cast: ([x]) => x!,

  relu: unary((x) => Math.max(x, 0)),
  relu6: unary((x) => Math.min(Math.max(x, 0), 6)),
  gelu: unary((x) => 0.5 * x * (1 + k.erf(x / Math.SQRT2))),
  silu: unary((x) => x * sigmoid(x)),
  sigmoid: unary(sigmoid),
  tanh: unary(Math.tanh),
  softsign: unary((x) => x / (1 + Math.abs(x))),
  softplus: unary((x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  exp: unary(Math.exp),
  exp2: unary((x) => 2 ** x),
  sqrt: unary(Math.sqrt),
  abs: unary(Math.abs),
  square: unary((x) => x * x),
  erf: unary(k.erf),
  atan: unary(Math.atan),
  sin: unary(Math.sin),
  cos: unary(Math.cos),
  floor: unary(Math.floor),
  ceil: unary(Math.ceil),
  round: unary((x) => Math.sign(x) * Math.floor(Math.abs(x) + 0.5)),
  sign: unary(Math.sign),
  logical_not: unary((x) => 1 - x),
  log: withEps(Math.log),
  rsqrt: withEps((x) => 1 / Math.sqrt(x)),
  inverse: withEps((x) => 1 / x),

  elu: alphaBeta((x, a) => x > 0 ? x : a * Math.expm1(x)),
  leaky_relu: alphaBeta((x, a) => x >= 0 ? x : a * x),
  threshold: alphaBeta((x, a) => Math.max(x, a)),
  thresholded_relu: alphaBeta((x, a) => x >= a ? x : 0),
  clamped_relu: alphaBeta((x, a, b) => Math.min(b, x >= 0 ? x : a * x)),
  scaled_tanh: alphaBeta((x, a, b) => a * Math.tanh(b * x)),
  sigmoid_hard: alphaBeta((x, a, b) => Math.min(Math.max(a * x + b, 0), 1)),
  linear_activation: alphaBeta((x, a, b) => a * x + b),
  clip: ([x], { lo, hi }) => map(x!, (v) => Math.min(Math.max(v, lo), hi)),
  prelu: ([x], { alpha }) =>
    build(x!.shape, (i) => {
      const v = at(x!, i);
      return v > 0 ? v : alpha.data[i[1]!] * v;
    }),
  adds: ([x], { k }) => map(x!, (v) => v + k),
  muls: ([x], { k }) => map(x!, (v) => v * k),

  add: binary((a, b) => a + b),
  sub: binary((a, b) => a - b),
  mul: binary((a, b) => a * b),
  real_div: binary((a, b) => a / b),
  pow: binary((a, b) => a ** b),
  maximum: binary(Math.max),
  minimum: binary(Math.min),
  greater: compare((a, b) => a > b),
  less: compare((a, b) => a < b),
  equal: compare((a, b) => a === b),
  not_equal: compare((a, b) => a !== b),
  less_equal: compare((a, b) => a <= b),
  greater_equal: compare((a, b) => a >= b),
  select: (inputs) => zip(inputs, (c, a, b) => c ? a! : b!),

  matmul: ([x], { weight, bias }) => {
    const y = k.matmul(
      x!.shape.length === 1 ? k.reshape(x!, [1, x!.shape[0]!]) : x!,
      k.transpose(baked(weight), [1, 0]),
    );
    const shaped = x!.shape.length === 1 ? k.reshape(y, [y.shape[1]!]) : y;
    return bias ? zip([shaped, baked(bias)], (v, b) => v! + b!) : shaped;
  },
  bmm: ([x, y]) => k.matmul(x!, y!),
  bmm_w: ([x], { weight }) => k.matmul(x!, baked(weight)),
  einsum: ([x], { weight }) =>
    k.transpose(
      k.matmul(k.transpose(x!, [0, 2, 1, 3]), k.transpose(baked(weight), [0, 2, 1, 3])),
      [0, 2, 1, 3],
    ),

  reduce_sum: reduction(k.total),
  reduce_mean: reduction(k.average),
  reduce_max: reduction((v) => Math.max(...v)),
  reduce_min: reduction((v) => Math.min(...v)),
  reduce_l1_norm: reduction((v) => k.total(v.map(Math.abs))),
  reduce_log_sum: reduction((v) => Math.log(k.total(v))),
  reduce_sum_square: reduction((v) => k.total(v.map((x) => x * x))),
  reduce_log_sum_exp: reduction((v) => {
    const max = Math.max(...v);
    return max + Math.log(k.total(v.map((x) => Math.exp(x - max))));
  }),
  softmax: ([x], { axis }) => k.softmax(x!, axis),
  l2_norm: ([x], { axis, eps }) => {
    const norm = reduce(x!, [axis], (v) => Math.max(Math.sqrt(k.total(v.map((d) => d * d))), Math.sqrt(eps)));
    return zip([x!, norm], (v, n) => v! / n!);
  },
  rms_norm: ([x], { gamma, eps }) => {
    const D = x!.shape.at(-1)!;
    const norm = reduce(x!, [-1], (v) => Math.max(Math.sqrt(k.total(v.map((d) => d * d))), Math.sqrt(D * eps)));
    return zip([x!, norm, baked(gamma)], (v, n, g) => v! / n! * g! * Math.sqrt(D));
  },
  layer_norm: ([x], { gamma, beta, eps }) =>
    zip([k.standardize(x!, [-1], eps), baked(gamma), baked(beta)], (v, g, b) => v! * g! + b!),
  channel_layer_norm: ([x], { gamma, beta, eps }) => channelAffine(k.standardize(x!, [1], eps), gamma, beta),
  group_norm: ([x], { gamma, beta, groups, eps }) => {
    const [N, C, H, W] = x!.shape as [number, number, number, number];
    const grouped = k.reshape(x!, [N, groups, C / groups, H * W]);
    return channelAffine(k.reshape(k.standardize(grouped, [2, 3], eps), x!.shape), gamma, beta);
  },
  batch_norm: ([x], { gamma, beta, mean, variance, eps }) =>
    build(x!.shape, (i) => {
      const c = i[1]!;
      return (at(x!, i) - mean.data[c]) / Math.sqrt(variance.data[c] + eps) * gamma.data[c] + beta.data[c];
    }),
  instance_norm: ([x], { gamma, beta, eps }) => channelAffine(k.standardize(x!, [2, 3], eps), gamma, beta),
  local_response_norm: ([x], { size, alpha, beta, k: offset }) =>
    k.localResponseNorm(x!, size, alpha / size, beta, offset),

  conv: ([x], attrs) => perChannel(k.conv(x!, baked(attrs.weight), windowOf(attrs)), attrs.bias),
  dynamic_conv: ([x, w], attrs) => k.conv(x!, w!, windowOf(attrs)),
  conv_transpose: ([x], attrs) => perChannel(k.convTranspose(x!, baked(attrs.weight), windowOf(attrs)), attrs.bias),
  max_pool: pool((cells) => Math.max(...cells)),
  avg_pool: (inputs, attrs, shape) =>
    pool((cells, area) => k.total(cells) / (attrs.excludePad ? cells.length : area))(inputs, attrs, shape),
  upsample: ([x], { scale }, shape) =>
    build(shape, ([n, c, h, w]) => at(x!, [n!, c!, Math.floor(h! / scale), Math.floor(w! / scale)])),
  upsample_bilinear: ([x], { alignCorners }, shape) =>
    k.bilinear(x!, shape[2]!, shape[3]!, alignCorners ? k.GRIDS.alignCorners : k.GRIDS.halfPixel),
  resize_nearest_neighbor: ([x], _, shape) =>
    build(shape, ([n, c, h, w]) => {
      const source = (i: number, axis: number): number => Math.floor(i * x!.shape[axis]! / shape[axis]!);
      return at(x!, [n!, c!, source(h!, 2), source(w!, 3)]);
    }),
  resize_bilinear: ([x], { alignCorners }, shape) =>
    k.bilinear(x!, shape[2]!, shape[3]!, alignCorners ? k.GRIDS.alignCorners : k.GRIDS.asymmetric),
  affine: ([x], { transform, alignCorners }, shape) =>
    k.affine(x!, baked(transform), shape[2]!, shape[3]!, alignCorners ?? false),
  crop: ([x], { top, left }, shape) => build(shape, ([n, c, h, w]) => at(x!, [n!, c!, h! + top, w! + left])),
  pixel_shuffle: ([x], { factor }) => k.pixelShuffle(x!, factor),
  pixel_unshuffle: ([x], { factor }) => k.pixelUnshuffle(x!, factor),
  space_to_depth: ([x], { blockSize }) => k.spaceToDepth(x!, blockSize),
  depth_to_space: ([x], { blockSize }) => k.depthToSpace(x!, blockSize),

  reshape: ([x], _, shape) => k.reshape(x!, shape),
  squeeze: ([x], _, shape) => k.reshape(x!, shape),
  expand_dims: ([x], _, shape) => k.reshape(x!, shape),
  flatten2d: ([x], _, shape) => k.reshape(x!, shape),
  transpose: ([x], { perm }) => k.transpose(x!, perm),
  slice_by_size: ([x], { begin, size }) => build(size, (i) => at(x!, i.map((v, a) => v + begin[a]))),
  reverse: ([x], { axes }) =>
    build(x!.shape, (i) => at(x!, i.map((v, a) => axes.includes(a) ? x!.shape[a]! - 1 - v : v))),
  tile: ([x], _, shape) => build(shape, (i) => at(x!, i.map((v, a) => v % x!.shape[a]!))),
  concat: (inputs, { axis }) => k.concat(inputs, axis),
  stack: (inputs, { axis }) => k.concat(inputs.map((x) => k.reshape(x, x.shape.toSpliced(axis, 0, 1))), axis),
  split: ([x], { axis, which }, shape) =>
    build(shape, (i) => at(x!, i.map((v, a) => a === axis ? v + which * shape[axis]! : v))),
};

/** Names of the operations the evaluator knows, `input` included. */
export const REFERENCE_OPS: ReadonlySet<string> = new Set(["input", ...Object.keys(RULES)]);

/** Values of inputs. */
export type Feeds = ReadonlyMap<Tensor, ArrayLike<number>>;

/**
 * Evaluates tensors in float64. Inputs without a feed use the value they carry (parameters, constants fed by rules).
 */
export function evaluateAll(outs: readonly Tensor[], feeds: Feeds): Arr[] {
  const values = new Map<Tensor, Arr>();
  const stack: Tensor[] = [...outs];
  while (stack.length > 0) {
    const node = stack.at(-1)!;
    if (values.has(node)) {
      stack.pop();
      continue;
    }
    const missing = node.inputs.filter((input) => !values.has(input));
    if (missing.length > 0) {
      stack.push(...missing);
      continue;
    }
    stack.pop();
    values.set(node, valueOf(node, node.inputs.map((input) => values.get(input)!), feeds));
  }
  return outs.map((out) => values.get(out)!);
}

function valueOf(node: Tensor, inputs: Arr[], feeds: Feeds): Arr {
  if (node.op === "input") {
    const value = feeds.get(node) ?? node.attrs.value as ArrayLike<number> | undefined;
    if (!value) throw new Error(`reference: input [${node.shape}] has no value`);
    return arr(node.shape, value);
  }
  return applyRule(node, inputs);
}

/** Value of a node that is not an input, from the values of its operands. */
export function applyRule(node: Tensor, inputs: Arr[]): Arr {
  const rule = RULES[node.op];
  if (!rule) throw new Error(`reference: no formula for op '${node.op}'`);
  const value = rule(inputs, node.attrs, node.shape);
  if (value.shape.join() !== node.shape.join()) {
    throw new Error(`reference: '${node.op}' gives [${value.shape}], the graph says [${node.shape}]`);
  }
  return value;
}

/** Evaluates one tensor in float64. */
export function evaluate(out: Tensor, feeds: Feeds): Arr {
  return evaluateAll([out], feeds)[0]!;
}
