/**
 * Compositions: what is built from several operations, against plain float64 loops. Each is evaluated twice, as a graph in
 * float64 (the composition itself) and on the device.
 */

import { assert, assertAlmostEquals, assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { backward } from "../src/autograd/backward.ts";
import { compile } from "../src/compile/compile.ts";
import * as af from "../src/compose/attention.ts";
import * as cv from "../src/compose/convolution.ts";
import { einsum } from "../src/compose/einsum.ts";
import * as ff from "../src/compose/feed_forward.ts";
import * as qt from "../src/compose/quantize.ts";
import { gather, pad, reduceSumToMatmul, unflatten } from "../src/compose/rearrange.ts";
import { causalMask, causalSoftmax, logSoftmax, softmaxNd, thresholdSoftmax } from "../src/compose/softmax.ts";
import { ArgumentError, ShapeError, UnsupportedOpError } from "../src/errors.ts";
import { concat } from "../src/graph/functions.ts";
import { NDArray } from "../src/graph/ndarray.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { topologicalOrder } from "../src/graph/topo.ts";
import { Random } from "../src/random.ts";
import { silence } from "../src/warnings.ts";
import { compiled, draw, numbers } from "./op_cases.ts";
import { evaluate } from "./reference.ts";
import * as k from "./reference_kernels.ts";
import { type Arr, arr, at, build, map, sizeOf, zip } from "./reference_kernels.ts";

type Shapes = readonly (readonly number[])[];

interface Row {
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
const w = (seed: number, ...shape: number[]): NDArray => new NDArray(numbers(sizeOf(shape), seed), shape);
const ref = (a: NDArray): Arr => arr(a.shape, a.data);

const relu = (x: Arr): Arr => map(x, (v) => Math.max(v, 0));
const silu = (x: Arr): Arr => map(x, (v) => v / (1 + Math.exp(-v)));
const gelu = (x: Arr): Arr => map(x, (v) => 0.5 * v * (1 + k.erf(v / Math.SQRT2)));
const add = (...x: Arr[]): Arr => zip(x, (...v) => k.total(v));
const mul = (...x: Arr[]): Arr => zip(x, (...v) => v.reduce((a, b) => a * b));
const linear = (x: Arr, weight: NDArray, bias?: NDArray): Arr => {
  const y = k.matmul(x, k.transpose(ref(weight), [1, 0]));
  return bias === undefined ? y : add(y, ref(bias));
};
const part = (x: Arr, axis: number, begin: number, size: number): Arr =>
  build(x.shape.with(axis, size), (i) => at(x, i.with(axis, i[axis]! + begin)));

/** Attention of one head: softmax(q kT scale + mask) v. */
function head(q: Arr, key: Arr, v: Arr, scale: number, mask?: Arr): Arr {
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

const MHA = { wq: w(1, 6, 4), bq: w(2, 6), wk: w(3, 6, 4), bk: w(4, 6), wv: w(5, 6, 4), bv: w(6, 6), wo: w(7, 4, 6) };
const CROSS = { wq: w(1, 6, 4), wk: w(3, 6, 3), wv: w(5, 9, 3), wo: w(7, 5, 9), bo: w(8, 5) };
const NORM = { gamma: w(1, 5), beta: w(2, 5), mean: w(3, 5), variance: new NDArray(numbers(5, 4, 0.25, 2), [5]) };

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

const q4 = [1, 2, 3, 4], k4 = [1, 2, 5, 4];

const ROWS: readonly Row[] = [
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

function check({ name, shapes, graph, expected, device = 5e-3, exact = 1e-9, lo, hi }: Row): void {
  using _quiet = { [Symbol.dispose]: silence("slice") };
  const random = new Random(11);
  const xs = shapes.map((shape) => input(shape));
  const values = shapes.map((shape) => draw({ shape, lo, hi }, random));
  const y = graph(...xs);
  const wanted = expected(...shapes.map((shape, i) => arr(shape, values[i]!)));
  assertEquals([...y.shape], wanted.shape, name);
  const largest = Math.max(1, ...wanted.data.map(Math.abs));
  const compare = (got: ArrayLike<number>, limit: number, where: string): void =>
    wanted.data.forEach((v, i) => {
      const error = Math.abs(got[i]! - v) / largest;
      assert(error <= limit, `${name}, ${where}: element ${i} is ${got[i]}, expected ${v} within ${limit}`);
    });
  compare(evaluate(y, new Map(xs.map((x, i) => [x, values[i]!]))).data, exact, "float64");
  using net = compiled(() => compile(y));
  if (net === undefined) return;
  const given = new Map(xs.map((x, i) => [x.id, values[i]!]));
  compare(net.run(...net.inputs.map(({ tensorId }) => given.get(tensorId)!)).data, device, "device");
}

for (const row of ROWS) Deno.test(`composition: ${row.name}`, () => check(row));

Deno.test("tiles of queries give what one product gives", () => {
  assertEquals([1, 255, 511, 512, 767, 768, 1500, 4096].map(af.attentionTiles), [1, 1, 1, 1, 1, 2, 3, 8]);
  const q = input([1, 1, 770, 1]), key = input([1, 1, 2, 1]);
  const tiled = af.sdpa(q, key, key, { attnMask: w(3, 1, 1, 770, 2) });
  const products = topologicalOrder([tiled]).filter(({ op }) => op === "softmax").map(({ shape }) => shape[2]);
  assertEquals(products, [385, 385]);
  const values = [numbers(770, 1), numbers(2, 2)] as const;
  const [a, b] = [arr(q.shape, values[0]), arr(key.shape, values[1])];
  const got = evaluate(tiled, new Map([[q, values[0]], [key, values[1]]]));
  head(a, b, b, 1, ref(w(3, 1, 1, 770, 2))).data.forEach((v, i) => assertAlmostEquals(got.data[i]!, v, 1e-12));
  const uneven = topologicalOrder([af.mha(input([1281, 4]), MHA, 2)]).filter(({ op }) => op === "softmax");
  assertEquals(uneven.map(({ shape }) => shape[1]), [427, 427, 427]);
});

Deno.test("quantised values lie on 255 steps per row", () => {
  const values = numbers(24, 5, -3, 3);
  values.fill(0, 16); // the last row
  const x = input([3, 8]);
  const { q, scale } = qt.dynamicQuantizeOnly(x);
  const feeds = new Map([[x, values]]);
  const [steps, sizes] = [evaluate(q, feeds).data, evaluate(scale, feeds).data];
  const back = evaluate(qt.dynamicDequantizeOnly({ q, scale }), feeds).data;
  steps.forEach((step, i) => {
    const row = Math.floor(i / 8);
    assert(Number.isInteger(step) && Math.abs(step) <= 127);
    assertAlmostEquals(back[i]!, values[i]!, sizes[row]! / 2 + 1e-9);
  });
  assertEquals([...steps.subarray(16)], new Array(8).fill(0));
  assertEquals(Math.max(...steps.subarray(0, 8).map(Math.abs)), 127);
});

Deno.test("a quantised linear layer is within the steps of both operands, on the device too", () => {
  const [K, N] = [40, 6];
  const values = numbers(5 * K, 3, -2, 2), weight = w(4, N, K), bias = w(6, N);
  const x = input([5, K]);
  const y = qt.quantizedLinear(x, weight, bias);
  const ideal = linear(arr([5, K], values), weight, bias).data;
  const limit = K * (2 * 1 / 254 + 1 * 2 / 254) / 4; // half a step of each operand, errors of random sign
  evaluate(y, new Map([[x, values]])).data.forEach((v, i) => assertAlmostEquals(v, ideal[i]!, limit));
  using net = compile(y);
  net.run(values).data.forEach((v, i) => assertAlmostEquals(v, ideal[i]!, limit));
});

Deno.test("compositions are differentiable", () => {
  const graphs: readonly (readonly [string, (x: Tensor) => Tensor, readonly number[]])[] = [
    ["mha", (x) => af.mha(x, MHA, 2), [5, 4]],
    ["sdpa", (x) => af.sdpa(x, x, x, { isCausal: true }), [1, 1, 3, 4]],
    ["geglu", (x) => ff.geglu(x, w(1, 10, 4)), [3, 4]],
    ["conv1d", (x) => cv.conv1d(x, w(1, 3, 2, 3), { pad: 1 }), [1, 2, 5]],
    ["conv3d", (x) => cv.conv3d(x, w(1, 3, 2, 2, 2, 2), { pad: 1 }), [1, 2, 2, 3, 3]],
    ["einsum", (x) => einsum("bii,bj->ij", x, x.sum(2).reshape(2, 3)), [2, 3, 3]],
    ["softmaxNd", (x) => softmaxNd(x, [0, 1]).square(), [2, 3]],
    ["causalSoftmax", (x) => causalSoftmax(x).square(), [3, 3]],
    ["thresholdSoftmax", (x) => thresholdSoftmax(x, -3).square(), [3, 3]],
    ["pad", (x) => pad(x, [[1, 1]], { mode: "reflect" }).square(), [3, 3]],
    ["gather", (x) => gather(x, [2, 0, 2], 1).square(), [2, 3]],
    ["cumsum", (x) => x.cumsum().square(), [2, 3]],
  ];
  for (const [name, graph, shape] of graphs) {
    const x = input(shape), values = numbers(sizeOf(shape), 8);
    const loss = graph(x).sum();
    const gradient = evaluate(backward(loss, [x]).get(x)!, new Map([[x, values]])).data;
    const at = (i: number, step: number): number =>
      evaluate(loss, new Map([[x, Float64Array.from(values).with(i, values[i]! + step)]])).data[0]!;
    gradient.forEach((g, i) => {
      const difference = (at(i, 2 ** -12) - at(i, -(2 ** -12))) / 2 ** -11;
      assertAlmostEquals(g, difference, 1e-4 * Math.max(1, Math.abs(difference)), `${name}, element ${i}`);
    });
  }
});

Deno.test("sums stay where they are when there is nothing to move to the matrix unit", () => {
  const x = input([2, 3]);
  const y = x.relu().sum([0, 1]).exp();
  assertStrictEquals(reduceSumToMatmul(y), y);
  const moved = topologicalOrder([reduceSumToMatmul(x.sum(0).exp().mul(x))]).map(({ op }) => op);
  assertEquals(moved.filter((op) => op !== "input"), ["transpose", "matmul", "transpose", "exp", "mul"]);
});

Deno.test("a causal mask hides what comes later", () => {
  assertEquals(causalMask(2).toNested(), [[0, -1e4], [0, 0]]);
  assertEquals(causalMask(2, 3).toNested(), [[0, 0, -1e4], [0, 0, 0]]);
  assertEquals(causalMask(2, 1).toNested(), [[-1e4], [0]]);
});

Deno.test("bad arguments of compositions are named", () => {
  const x = input([3, 4]), image = input([1, 3, 4, 4]);
  type ErrorClass = new (message?: string) => Error;
  const refused: readonly (readonly [() => unknown, ErrorClass, string])[] = [
    [() => af.mha(x, MHA, 4), ShapeError, "mha: 4 heads do not divide the 6 columns"],
    [() => af.mha(x, MHA, 0), ArgumentError, "mha: heads is 0"],
    [() => af.mha(image, MHA, 2), ShapeError, "mha: x has shape [1, 3, 4, 4]; expected rank 2"],
    [() => af.mha(x, { ...MHA, wk: w(1, 4, 4), bk: null }, 2), ShapeError, "wq gives 6 columns and wk 4"],
    [() => af.sdpa(x, x, x), ShapeError, "sdpa: q has shape [3, 4]; expected rank 4"],
    [() => af.sdpa(input(q4), input(k4), input(q4)), ShapeError, "sdpa: k is [1, 2, 5, 4] and v [1, 2, 3, 4]"],
    [() => af.sdpa(input(q4), input(k4), input(k4), { isCausal: true }), ShapeError, "as many queries as keys"],
    [() => af.sdpa(input(k4), input(k4), input(k4), { isCausal: true, attnMask: 0 }), ArgumentError, "not both"],
    [() => af.sdpa(input(q4), input(k4), input(k4), { attnMask: w(1, 4, 5) }), ShapeError, "sdpa: shapes"],
    [() => af.sdpa(input(q4), input(k4), input(k4), { attnMask: w(1, 2, 1, 3, 5) }), ShapeError, "does not broadcast"],
    [() => af.fusedQkv(x, w(1, 7, 4)), ShapeError, "the weight has 7 rows; expected a multiple of 3"],
    [() => ff.geglu(x, w(1, 5, 4)), ShapeError, "geglu: w has shape [5, 4]; axis 0 must be even"],
    [() => ff.dynamicMatmulPacked(x, 3), ShapeError, "none is left"],
    [() => ff.dynamicGocScale(image, input([4])), ShapeError, "x [1, 3, 4, 4] has 3 channels"],
    [() => ff.dynamicGocBias(image, 1 as unknown as Tensor), ArgumentError, "bias is not a Tensor"],
    [() => cv.conv1d(x, w(1, 2, 4, 3)), ShapeError, "conv1d: x has shape [3, 4]; expected rank 3"],
    [() => cv.conv1d(input([1, 4, 2]), w(1, 2, 4, 3)), ShapeError, "more than the padded image"],
    [() => cv.conv3d(input([1, 2, 2, 3, 3]), w(1, 2, 2, 3, 3, 3)), ShapeError, "covers 3 of the padded depth 2"],
    [() => cv.conv3d(input([1, 3, 4, 4, 4]), w(1, 2, 2, 3, 3, 3)), ShapeError, "has 3 channels"],
    [() => cv.conv3d(image, w(1, 2, 2, 3, 3, 3)), ShapeError, "conv3d: x has shape [1, 3, 4, 4]; expected rank 5"],
    [() => cv.conv1x1(image, w(1, 2, 3, 3, 3)), ShapeError, "expected [Cout, Cin] or [Cout, Cin, 1, 1]"],
    [() => cv.conv1x1Chain(image, []), ShapeError, "no weights given"],
    [() => cv.conv1x1AddRelu(image, w(1, 2, 3), image), ShapeError, "the convolution gives [1, 2, 4, 4]"],
    [() => cv.foldBatchNorm(w(1, 4, 3), null, NORM), ShapeError, "foldBatchNorm: gamma has shape [5]"],
    [
      () => cv.foldBatchNorm(w(1, 5, 3), null, { ...NORM, variance: [1, 1, -1, 1, 1] }),
      ArgumentError,
      "variance[2] + eps is",
    ],
    [() => cv.dynamicConv(image, w(1, 2, 3, 3, 3) as unknown as Tensor), ArgumentError, "use conv for numbers"],
    [() => cv.dynamicConv(input([2, 3, 4, 4]), input([2, 3, 3, 3])), UnsupportedOpError, "takes batch 1 only"],
    [() => cv.dynamicConv(image, input([2, 3, 3, 16])), UnsupportedOpError, "kernel width 16"],
    [() => softmaxNd(x, [0, 0]), ShapeError, "name an axis twice"],
    [() => causalSoftmax(input([5])), ShapeError, "causalSoftmax: x has shape [5]"],
    [() => causalSoftmax(input([3, 2])), ShapeError, "T at least S"],
    [() => x.cumsum(0), UnsupportedOpError, "cumsum: axis 0 of [3, 4] is not the last one"],
    [() => pad(x, [[1, -1]]), ArgumentError, "pad: amounts[0][1] is -1"],
    [() => pad(x, [[1, 1], [1, 1], [1, 1]]), ShapeError, "3 pairs given for [3, 4]"],
    [() => pad(x, [[0, 4]], { mode: "reflect" }), ShapeError, "at most 3"],
    [() => pad(x, [[1, 1]], { mode: "wrap" as "reflect" }), ArgumentError, "mode is wrap"],
    [
      () => unflatten(x, 1, [3, -1]),
      ShapeError,
      "unflatten: axis 1 of [3, 4] has 4 elements, which [3, -1] do not hold",
    ],
    [() => unflatten(x, 1, [-1, -1]), ShapeError, "do not hold"],
    [() => unflatten(x, 2, [1]), ShapeError, "unflatten: axis 2"],
    [() => gather(x, [3]), ShapeError, "gather: index 3 is out of range on axis 0 of [3, 4]; expected 0 to 2"],
    [() => gather(x, [-1]), ShapeError, "index -1"],
    [() => gather(x, []), ShapeError, "no indices"],
    [() => einsum("ij,jk->ik", x), ArgumentError, "has 2 operand(s), but 1 tensor(s) were given"],
    [() => einsum("ij"), ArgumentError, "no operands"],
    [() => einsum("ij->ik", x), ArgumentError, "index k of the result"],
    [() => einsum("ij->ii", x), UnsupportedOpError, "repeats an index in the result"],
    [() => einsum("ijk->i", x), ShapeError, "operand 0 of ijk->i has shape [3, 4]; its subscript names 3 axes"],
    [() => einsum("ij,jk->ik", x, x), ShapeError, "index j of ij,jk->ik is 4, but 3 in operand 1 [3, 4]"],
    [() => einsum("i1->i", x), ArgumentError, "1 in subscript i1 is not a letter"],
    [() => einsum("i->j->i", x), ArgumentError, "more than one arrow"],
    [() => einsum("...->", x), ArgumentError, "leaves out the axes of the ellipsis"],
    [() => einsum("...i...->i", x), ArgumentError, ". in subscript ...i... is not a letter"],
    [() => einsum("...,...->...", x, input([2])), ShapeError, "an axis of the ellipsis"],
    [() => einsum("ii->i", x), ShapeError, "index i of ii->i is 3, but 4"],
    [() => einsum("ij->ij", [[1]] as unknown as Tensor), ArgumentError, "operand 0 is not a Tensor"],
  ];
  for (const [call, type, message] of refused) assertThrows(call, type, message);
});
