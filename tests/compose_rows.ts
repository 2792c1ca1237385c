/**
 * Compositions and the plain float64 loops they are held to.
 *
 * @module
 */

import * as af from "../src/compose/attention.ts";
import * as cv from "../src/compose/convolution.ts";
import { einsum } from "../src/compose/einsum.ts";
import * as ff from "../src/compose/feed_forward.ts";
import { gather, pad, reduceSumToMatmul, unflatten } from "../src/compose/rearrange.ts";
import { causalSoftmax, logSoftmax, softmaxNd, thresholdSoftmax } from "../src/compose/softmax.ts";
import { concat } from "../src/graph/functions.ts";
import { NDArray } from "../src/graph/ndarray.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { numbers } from "./op_case.ts";
import * as k from "./reference_kernels.ts";
import { type Arr, arr, at, build, map, sizeOf, zip } from "./reference_kernels.ts";

type Shapes = readonly (readonly number[])[];

/** One composition. */
export interface Row {
  name: string;
  shapes: Shapes;
  graph: (...x: Tensor[]) => Tensor;
  expected: (...x: Arr[]) => Arr;
  /** Largest error on the device, relative to the largest result or 1. */
  device?: number;
  /** Largest error of the graph in float64. */
  exact?: number;
  lo?: number;
  hi?: number;
}

/** Baked numbers, the same ones as an array of the reference. */
export const w = (seed: number, ...shape: number[]): NDArray => new NDArray(numbers(sizeOf(shape), seed), shape);
/** Baked numbers as the reference reads them. */
export const ref = (a: NDArray): Arr => arr(a.shape, a.data);

const relu = (x: Arr): Arr => map(x, (v) => Math.max(v, 0));
const silu = (x: Arr): Arr => map(x, (v) => v / (1 + Math.exp(-v)));
const gelu = (x: Arr): Arr => map(x, (v) => 0.5 * v * (1 + k.erf(v / Math.SQRT2)));
const add = (...x: Arr[]): Arr => zip(x, (...v) => k.total(v));
const mul = (...x: Arr[]): Arr => zip(x, (...v) => v.reduce((a, b) => a * b));
/** x times the transposed weight, plus a bias. */
export const linear = (x: Arr, weight: NDArray, bias?: NDArray): Arr => {
  const y = k.matmul(x, k.transpose(ref(weight), [1, 0]));
  return bias === undefined ? y : add(y, ref(bias));
};
const part = (x: Arr, axis: number, begin: number, size: number): Arr =>
  build(x.shape.with(axis, size), (i) => at(x, i.with(axis, i[axis]! + begin)));

/** Attention of one head: softmax(q kT scale + mask) v. */
export function head(q: Arr, key: Arr, v: Arr, scale: number, mask?: Arr): Arr {
  const axes = q.shape.map((_, i) => i);
  const kT = k.transpose(key, [...axes.slice(0, -2), q.shape.length - 1, q.shape.length - 2]);
  const scores = map(k.matmul(q, kT), (s) => s * scale);
  return k.matmul(k.softmax(mask ? add(scores, mask) : scores, -1), v);
}

/** Heads cut out of the columns one by one. */
function attention(x: Arr, context: Arr, weights: af.AttentionWeights, heads: number): Arr {
  const { wq, wk, wv, wo, bq, bk, bv, bo } = weights as unknown as Record<string, NDArray>;
  const [q, key, v] = [linear(x, wq!, bq), linear(context, wk!, bk), linear(context, wv!, bv)];
  const width = q.shape[1]! / heads, depth = v.shape[1]! / heads;
  const results = Array.from(
    { length: heads },
    (_, h) =>
      head(part(q, 1, h * width, width), part(key, 1, h * width, width), part(v, 1, h * depth, depth), width ** -0.5),
  );
  return linear(k.concat(results, 1), wo!, bo);
}

const WINDOW: k.Window = { stride: [1, 1], pad: [0, 0, 0, 0], dilation: [1, 1], groups: 1 };
const point = (weight: NDArray): Arr => arr([...weight.shape, 1, 1], weight.data);
const conv1x1 = (x: Arr, weight: NDArray): Arr => k.conv(x, point(weight), WINDOW);
const perChannel = (values: NDArray): Arr => arr([1, values.size, 1, 1], values.data);

/** y[n,o,z,i,j] = sum x[n, c, z*s + t*d - front, ..] * w[o,c,t,u,v], one product at a time. */
function conv3d(x: Arr, weight: Arr, stride: number, pads: readonly number[], dilation: number, groups: number): Arr {
  const [N, , ...volume] = x.shape as [number, number, number, number, number];
  const [outputs, inputs, ...kernel] = weight.shape as [number, number, number, number, number];
  const extents = volume.map((d, a) =>
    Math.floor((d + pads[2 * a]! + pads[2 * a + 1]! - dilation * (kernel[a]! - 1) - 1) / stride) + 1
  );
  return build([N, outputs, ...extents], ([n, o, ...position]) => {
    const base = Math.floor(o! / (outputs / groups)) * inputs;
    let sum = 0;
    build([inputs, ...kernel], ([c, ...tap]) => {
      const source = position.map((p, a) => p * stride + tap[a]! * dilation - pads[2 * a]!);
      if (source.every((p, a) => p >= 0 && p < volume[a]!)) {
        sum += at(x, [n!, base + c!, ...source]) * at(weight, [o!, c!, ...tap]);
      }
      return 0;
    });
    return sum;
  });
}

/** Every index of the equation runs over its extent; products are added up where the result's indices say. */
function contraction(inputs: readonly string[], output: string, xs: readonly Arr[]): Arr {
  const extents: Record<string, number> = {};
  inputs.forEach((s, i) => [...s].forEach((letter, a) => extents[letter] = xs[i]!.shape[a]!));
  const letters = Object.keys(extents);
  const shape = [...output].map((letter) => extents[letter]!);
  const result = new Float64Array(sizeOf(shape));
  build(letters.map((letter) => extents[letter]!), (index) => {
    const pick = (s: string): number[] => [...s].map((letter) => index[letters.indexOf(letter)]!);
    const offset = pick(output).reduce((sum, i, a) => sum * shape[a]! + i, 0);
    result[offset]! += inputs.reduce((product, s, i) => product * at(xs[i]!, pick(s)), 1);
    return 0;
  });
  return arr(shape.length === 0 ? [1] : shape, result);
}

/** Weights of an attention of [S, 4] with 6 columns of queries. */
export const MHA = {
  wq: w(1, 6, 4),
  bq: w(2, 6),
  wk: w(3, 6, 4),
  bk: w(4, 6),
  wv: w(5, 6, 4),
  bv: w(6, 6),
  wo: w(7, 4, 6),
};
const CROSS = { wq: w(1, 6, 4), wk: w(3, 6, 3), wv: w(5, 9, 3), wo: w(7, 5, 9), bo: w(8, 5) };
/** Statistics of 5 channels. */
export const NORM = {
  gamma: w(1, 5),
  beta: w(2, 5),
  mean: w(3, 5),
  variance: new NDArray(numbers(5, 4, 0.25, 2), [5]),
};

function normalized(x: Arr): Arr {
  const { gamma, beta, mean, variance } = NORM;
  return build(x.shape, (i) => {
    const c = i[1]!;
    return (at(x, i) - mean.data[c]!) / Math.sqrt(variance.data[c]! + 1e-5) * gamma.data[c]! + beta.data[c]!;
  });
}

/** Masks of [rows, columns] as the reference adds them. */
const mask = (rows: number, columns = rows): Arr =>
  build([rows, columns], ([i, j]) => j! - (columns - rows) > i! ? -1e4 : 0);

/** Shape of some queries, and of keys and values for them. */
export const q4 = [1, 2, 3, 4], k4 = [1, 2, 5, 4];

/** Every composition. */
export const ROWS: readonly Row[] = [
  {
    name: "mha",
    shapes: [[5, 4]],
    graph: (x) => af.mha(x!, MHA, 2),
    expected: (x) => attention(x, x, MHA, 2),
    device: 8e-3,
  },
  {
    name: "mha with one head per column",
    shapes: [[3, 4]],
    graph: (x) => af.mha(x!, MHA, 6),
    expected: (x) => attention(x, x, MHA, 6),
    device: 8e-3,
  },
  {
    name: "crossAttention",
    shapes: [[5, 4], [7, 3]],
    graph: (x, y) => af.crossAttention(x!, y!, CROSS, 3),
    expected: (x, y) => attention(x, y, CROSS, 3),
    device: 8e-3,
  },
  {
    name: "sdpa",
    shapes: [q4, k4, k4],
    graph: (q, x, v) => af.sdpa(q!, x!, v!),
    expected: (q, x, v) => head(q, x, v, 0.5),
    device: 8e-3,
  },
  {
    name: "sdpa with a scale, a batch of 2",
    shapes: [[2, 1, 3, 4], [2, 1, 2, 4], [2, 1, 2, 4]],
    graph: (q, x, v) => af.sdpa(q!, x!, v!, { scale: 0.25 }),
    expected: (q, x, v) => head(q, x, v, 0.25),
    device: 8e-3,
  },
  {
    name: "sdpa, causal",
    shapes: [k4, k4, k4],
    graph: (q, x, v) => af.sdpa(q!, x!, v!, { isCausal: true }),
    expected: (q, x, v) => head(q, x, v, 0.5, mask(5)),
    device: 8e-3,
  },
  {
    name: "sdpa with baked and computed masks",
    shapes: [q4, k4, k4, [1, 1, 3, 5]],
    graph: (q, x, v, m) =>
      af.sdpa(q!, x!, v!, { attnMask: m! }).add(af.sdpa(q!, x!, v!, { attnMask: w(9, 1, 2, 1, 5) })),
    expected: (q, x, v, m) => add(head(q, x, v, 0.5, m), head(q, x, v, 0.5, ref(w(9, 1, 2, 1, 5)))),
    device: 1.2e-2,
  },
  {
    name: "fusedQkv",
    shapes: [[3, 4]],
    graph: (x) => {
      const { q, k: key, v } = af.fusedQkv(x!, w(1, 6, 4), w(2, 6));
      return concat([q, v, key], 0);
    },
    expected: (x) => {
      const y = linear(x, w(1, 6, 4), w(2, 6));
      return k.concat([part(y, 1, 0, 2), part(y, 1, 4, 2), part(y, 1, 2, 2)], 0);
    },
  },
  ...[undefined, w(4, 4)].map((beta): Row => ({
    name: `fusedQkvNormProj, ${beta ? "layer" : "rms"} norm`,
    shapes: [[3, 4]],
    graph: (x) => {
      const { q, k: key, v } = af.fusedQkvNormProj(x!, { gamma: w(3, 4), beta }, w(1, 6, 4));
      return concat([q, key, v], 1);
    },
    expected: (x) => {
      const rms = k.reduce(x, [1], (v) => Math.sqrt(k.average(v.map((d) => d * d))));
      const unit = beta ? k.standardize(x, [1], 1e-5) : zip([x, rms], (v, r) => v! / r!);
      const scaled = mul(unit, ref(w(3, 4)));
      return linear(beta ? add(scaled, ref(beta)) : scaled, w(1, 6, 4));
    },
    device: 8e-3,
  })),

  {
    name: "innerProduct and batchMatmul",
    shapes: [[3, 4], [2, 5, 2]],
    graph: (x, y) => ff.batchMatmul(ff.innerProduct(x!, w(1, 5, 4), w(2, 5)), y!),
    expected: (x, y) => k.matmul(linear(x, w(1, 5, 4), w(2, 5)), y),
    device: 1e-2,
  },
  {
    name: "unflatten",
    shapes: [[2, 12, 1]],
    graph: (x) => unflatten(x!, -2, [3, -1]).transpose([0, 2, 1, 3]),
    expected: (x) => k.transpose(k.reshape(x, [2, 3, 4, 1]), [0, 2, 1, 3]),
  },
  {
    name: "geglu",
    shapes: [[3, 4]],
    graph: (x) => ff.geglu(x!, w(1, 10, 4), w(2, 10)),
    expected: (x) => {
      const y = linear(x, w(1, 10, 4), w(2, 10));
      return mul(part(y, 1, 0, 5), gelu(part(y, 1, 5, 5)));
    },
    device: 1.5e-2,
  },
  {
    name: "geglu without a bias, rank 3",
    shapes: [[2, 3, 4]],
    graph: (x) => ff.geglu(x!, w(1, 2, 4)),
    expected: (x) => {
      const y = linear(x, w(1, 2, 4));
      return mul(part(y, 2, 0, 1), gelu(part(y, 2, 1, 1)));
    },
    device: 1.5e-2,
  },
  {
    name: "swiglu",
    shapes: [[3, 4]],
    graph: (x) => ff.swiglu(x!, { gate: w(1, 5, 4), up: w(2, 5, 4), down: w(3, 4, 5) }),
    expected: (x) => linear(mul(silu(linear(x, w(1, 5, 4))), linear(x, w(2, 5, 4))), w(3, 4, 5)),
    device: 2e-2,
  },
  {
    name: "dynamicMatmulPacked",
    shapes: [[7, 4]],
    graph: (x) => ff.dynamicMatmulPacked(x!, 3),
    expected: (x) => k.matmul(part(x, 0, 0, 3), k.transpose(part(x, 0, 3, 4), [1, 0])),
  },
  {
    name: "dynamicMatmulPackedRelu",
    shapes: [[2, 5]],
    graph: (x) => ff.dynamicMatmulPackedRelu(x!, 1),
    expected: (x) => relu(k.matmul(part(x, 0, 0, 1), k.transpose(part(x, 0, 1, 1), [1, 0]))),
  },
  {
    name: "gocScalarScaleBias",
    shapes: [[3, 5]],
    graph: (x) => ff.gocScalarScaleBias(x!, 1.25, 0.25),
    expected: (x) => map(x, (v) => 1.25 * v + 0.25),
  },
  {
    name: "dynamicGocScaleBias",
    shapes: [[2, 3, 2, 2], [3], [1, 3, 1, 1]],
    graph: (x, s, b) => ff.dynamicGocScaleBias(x!, s!, b!),
    expected: (x, s, b) => add(mul(x, arr([1, 3, 1, 1], s.data)), b),
  },
  {
    name: "dynamicGocScale and dynamicGocBias of rows",
    shapes: [[2, 3], [3]],
    graph: (x, s) => ff.dynamicGocScale(ff.dynamicGocBias(x!, s!), s!),
    expected: (x, s) => mul(add(x, s), s),
  },

  {
    name: "conv1d",
    shapes: [[2, 4, 9]],
    graph: (x) => cv.conv1d(x!, w(1, 6, 2, 3), { pad: [2, 1], stride: 2, dilation: 2, groups: 2, bias: w(2, 6) }),
    expected: (x) => {
      const image = arr([2, 4, 1, 9], x.data), kernel = arr([6, 2, 1, 3], w(1, 6, 2, 3).data);
      const y = k.conv(image, kernel, { stride: [1, 2], pad: [0, 0, 2, 1], dilation: [1, 2], groups: 2 });
      return k.reshape(add(y, perChannel(w(2, 6))), [2, 6, 4]);
    },
  },
  {
    name: "conv1d with a kernel of 20",
    shapes: [[1, 2, 25]],
    graph: (x) => cv.conv1d(x!, w(1, 3, 2, 20), { pad: 1 }),
    expected: (x) => {
      const y = k.conv(arr([1, 2, 1, 25], x.data), arr([3, 2, 1, 20], w(1, 3, 2, 20).data), {
        ...WINDOW,
        pad: [0, 0, 1, 1],
      });
      return k.reshape(y, [1, 3, 8]);
    },
  },
  ...([
    [[1, 2, 3, 4, 5], [3, 2, 2, 3, 2], {}],
    [[2, 2, 3, 3, 4], [2, 2, 3, 3, 3], { pad: 1, bias: w(3, 2) }],
    [[1, 4, 5, 4, 4], [4, 2, 2, 2, 2], { groups: 2, stride: 2 }],
    [[2, 1, 5, 5, 5], [2, 1, 3, 2, 2], { dilation: 2, pad: [1, 0, 0, 1, 1, 1] }],
    [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1], {}],
  ] as readonly [number[], number[], cv.Conv3dOptions][]).map(([x, kernel, options]): Row => ({
    name: `conv3d [${x}] by [${kernel}] ${Object.keys(options)}`,
    shapes: [x],
    graph: (t) => cv.conv3d(t!, w(1, ...kernel), options),
    expected: (t) => {
      const { stride = 1, pad: amount = 0, dilation = 1, groups = 1, bias } = options;
      const pads = typeof amount === "number" ? new Array<number>(6).fill(amount) : amount;
      const y = conv3d(t, ref(w(1, ...kernel)), stride, pads, dilation, groups);
      return bias ? add(y, arr([1, kernel[0]!, 1, 1, 1], (bias as NDArray).data)) : y;
    },
  })),
  {
    name: "conv1x1Chain",
    shapes: [[2, 3, 2, 3]],
    graph: (x) => cv.conv1x1Chain(x!, [w(1, 4, 3), w(2, 5, 4), w(3, 2, 5)], "silu"),
    expected: (x) => conv1x1(silu(conv1x1(silu(conv1x1(x, w(1, 4, 3))), w(2, 5, 4))), w(3, 2, 5)),
    device: 3e-2,
  },
  {
    name: "conv1x1Int8Chain",
    shapes: [[1, 3, 2, 3]],
    graph: (x) => cv.conv1x1Int8Chain(x!, [w(1, 4, 3), w(2, 2, 4)], "relu"),
    expected: (x) => {
      const rows = (a: NDArray): NDArray => {
        const width = a.shape[1]!;
        const scale = (row: number): number =>
          Math.max(...a.data.subarray(row * width, (row + 1) * width).map(Math.abs)) / 127;
        const steps = a.data.map((v, i) => {
          const s = scale(Math.floor(i / width));
          return Math.round(v / s) * s;
        });
        return new NDArray(steps, a.shape);
      };
      return conv1x1(relu(conv1x1(x, rows(w(1, 4, 3)))), rows(w(2, 2, 4)));
    },
    exact: 1e-6,
  },
  {
    name: "convRelu and convGelu",
    shapes: [[1, 2, 4, 5]],
    graph: (x) =>
      cv.convRelu(x!, w(1, 3, 2, 3, 3), { pad: 1 }).add(cv.convGelu(x!, w(2, 3, 2, 1, 1), { bias: w(3, 3) })),
    expected: (x) =>
      add(
        relu(k.conv(x, ref(w(1, 3, 2, 3, 3)), { ...WINDOW, pad: [1, 1, 1, 1] })),
        gelu(add(k.conv(x, ref(w(2, 3, 2, 1, 1)), WINDOW), perChannel(w(3, 3)))),
      ),
    device: 8e-3,
  },
  {
    name: "conv1x1BatchNormRelu",
    shapes: [[1, 3, 2, 2]],
    graph: (x) => cv.conv1x1BatchNormRelu(x!, w(7, 5, 3), NORM),
    expected: (x) => relu(normalized(conv1x1(x, w(7, 5, 3)))),
    exact: 1e-6,
  },
  {
    name: "conv1x1BatchNormSilu",
    shapes: [[1, 3, 2, 2]],
    graph: (x) => cv.conv1x1BatchNormSilu(x!, w(7, 5, 3), NORM),
    expected: (x) => silu(normalized(conv1x1(x, w(7, 5, 3)))),
    exact: 1e-6,
    device: 2e-2,
  },
  {
    name: "conv1x1AddRelu",
    shapes: [[1, 3, 2, 2], [1, 5, 2, 2]],
    graph: (x, y) => cv.conv1x1AddRelu(x!, w(1, 5, 3), y!, w(2, 5)),
    expected: (x, y) => relu(add(conv1x1(x, w(1, 5, 3)), perChannel(w(2, 5)), y)),
  },
  {
    name: "conv1x1ProjectAdd",
    shapes: [[1, 3, 2, 2], [1, 2, 2, 2]],
    graph: (x, y) => cv.conv1x1ProjectAdd(x!, w(1, 5, 3), y!, w(2, 5, 2)),
    expected: (x, y) => add(conv1x1(x, w(1, 5, 3)), conv1x1(y, w(2, 5, 2))),
  },

  {
    name: "softmaxNd over two axes",
    shapes: [[2, 3, 4]],
    graph: (x) => softmaxNd(x!, [0, -1]),
    expected: (x) => {
      const e = map(x, Math.exp);
      return zip([e, k.reduce(e, [0, 2], k.total)], (v, s) => v! / s!);
    },
    device: 8e-3,
  },
  {
    name: "softmaxNd over one axis, logSoftmax",
    shapes: [[3, 4]],
    graph: (x) => softmaxNd(x!, 0).add(logSoftmax(x!)),
    expected: (x) => add(k.softmax(x, 0), map(k.softmax(x, 1), Math.log)),
    device: 1.5e-2,
  },
  ...([[4, 4], [2, 5], [1, 3]] as const).map(([rows, columns]): Row => ({
    name: `causalSoftmax of ${rows} x ${columns}`,
    shapes: [[2, rows, columns]],
    graph: (x) => causalSoftmax(x!),
    expected: (x) => k.softmax(add(x, mask(rows, columns)), -1),
    device: 8e-3,
  })),
  {
    name: "thresholdSoftmax",
    shapes: [[3, 7]],
    graph: (x) => thresholdSoftmax(x!, 0.25),
    expected: (x) => k.softmax(map(x, (v) => (v > 0.25 ? v : -1e4)), 1),
    device: 8e-3,
  },

  {
    name: "cumsum",
    shapes: [[2, 3, 5]],
    graph: (x) => x!.cumsum(),
    expected: (x) =>
      build(x.shape, ([i, j, n]) => k.total(Array.from({ length: n! + 1 }, (_, m) => at(x, [i!, j!, m])))),
  },
  {
    name: "l2Pool",
    shapes: [[1, 2, 5, 5]],
    graph: (x) => x!.l2Pool(3, { stride: 2, pad: 1 }),
    expected: (x) => k.pool(x, [1, 2, 3, 3], 3, 2, 1, (cells) => Math.sqrt(k.total(cells.map((v) => v * v)))),
  },
  {
    name: "pad with a number",
    shapes: [[2, 3, 4]],
    graph: (x) => pad(x!, [[1, 0], [2, 3]], { value: 0.5 }),
    expected: (x) => build([2, 4, 9], ([i, j, n]) => (j! < 1 || n! < 2 || n! >= 6 ? 0.5 : at(x, [i!, j! - 1, n! - 2]))),
  },
  {
    name: "pad by reflection",
    shapes: [[4, 3]],
    graph: (x) => pad(x!, [[3, 2], [0, 2]], { mode: "reflect" }),
    expected: (x) => {
      const mirror = (i: number, n: number): number => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i);
      return build([9, 5], ([i, j]) => at(x, [mirror(i! - 3, 4), mirror(j!, 3)]));
    },
  },
  {
    name: "pad by repetition",
    shapes: [[2, 3]],
    graph: (x) => pad(x!, [[1, 0], [1, 4]], { mode: "replicate" }),
    expected: (x) => build([3, 8], ([i, j]) => at(x, [Math.max(i! - 1, 0), Math.min(Math.max(j! - 1, 0), 2)])),
  },
  ...([[[5, 3], [4, 0, 0], 0], [[2, 4, 3], [3, 1], 1], [[2, 3, 4], [0, 3, 2], -1], [[6], [5, 0, 5, 1], 0]] as const)
    .map(
      ([shape, indices, axis]): Row => ({
        name: `gather [${shape}] at ${indices} along ${axis}`,
        shapes: [shape],
        graph: (x) => gather(x!, indices, axis),
        expected: (x) => {
          const along = (axis + shape.length) % shape.length;
          return build(x.shape.with(along, indices.length), (i) => at(x, i.with(along, indices[i[along]!]!)));
        },
      }),
    ),
  {
    name: "reduceSumToMatmul",
    shapes: [[3, 4, 5]],
    graph: (x) => reduceSumToMatmul(x!.sum(-1).add(x!.sum(1)).add(x!.sum([0, 1]))),
    expected: (x) => add(k.reduce(x, [2], k.total), k.reduce(x, [1], k.total), k.reduce(x, [0, 1], k.total)),
  },
  ...([
    ["ij,jk->ik", [[3, 4], [4, 2]]],
    ["ij,jk", [[3, 4], [4, 2]]],
    ["bij,bjk->bik", [[2, 3, 4], [2, 4, 2]]],
    ["ij->ji", [[3, 4]]],
    ["abc->cab", [[2, 3, 4]]],
    ["i,j->ij", [[3], [4]]],
    ["ij,j->i", [[3, 4], [4]]],
    ["ij,ij->i", [[3, 4], [3, 4]]],
    ["i,i->", [[5], [5]]],
    ["ij->", [[3, 4]]],
    ["bi,ij,bj->b", [[2, 3], [3, 4], [2, 4]]],
    ["bhqd, bhkd -> bhqk", [[2, 2, 3, 4], [2, 2, 5, 4]]],
    ["ij,jk,kl->il", [[2, 3], [3, 4], [4, 2]]],
    ["abcd,abce->abde", [[2, 2, 3, 2], [2, 2, 3, 4]]],
    ["ijk,ik->i", [[2, 3, 4], [2, 4]]],
    ["ii->i", [[4, 4]]],
    ["ii", [[4, 4]]],
    ["bii->b", [[2, 3, 3]]],
    ["iii->i", [[3, 3, 3]]],
    ["iji,jk->ki", [[2, 3, 2], [3, 4]]],
    ["a,b,c->cab", [[2], [3], [2]]],
    ["ij,kj->", [[2, 3], [4, 3]]],
  ] as readonly [string, number[][]][]).map(([equation, shapes]): Row => ({
    name: `einsum ${equation}`,
    shapes,
    graph: (...xs) => einsum(equation, ...xs),
    expected: (...xs) => {
      const [left, right] = equation.replaceAll(" ", "").split("->") as [string, string?];
      const all = left.replaceAll(",", "");
      const once = [...all].filter((c) => all.split(c).length === 2).sort().join("");
      return contraction(left.split(","), right ?? once, xs);
    },
  })),
  ...([
    ["...ij,...jk->...ik", [[2, 3, 4], [2, 4, 2]], ["zij", "zjk"], "zik"],
    ["...ij->...ji", [[2, 3, 2, 4]], ["yzij"], "yzji"],
    ["i...,i->...", [[3, 2, 4], [3]], ["izy", "i"], "zy"],
    ["...ii->...", [[2, 3, 3]], ["zii"], "z"],
    ["...a,ab", [[2, 3], [3, 4]], ["za", "ab"], "zb"],
    ["b...,...b->b...", [[2, 3, 4], [3, 4, 2]], ["byz", "yzb"], "byz"],
    ["...,...->...", [[2, 3], [3]], ["yz", "z"], "yz"],
  ] as readonly [string, number[][], string[], string][]).map(([equation, shapes, letters, out]): Row => ({
    name: `einsum ${equation}`,
    shapes,
    graph: (...xs) => einsum(equation, ...xs),
    expected: (...xs) => contraction(letters, out, xs),
  })),
];
