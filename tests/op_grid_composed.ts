/**
 * Cases of what is made of several operations: attention, feed-forward layers, fused convolutions, special functions,
 * pairs. Each counts under its public name; the float64 evaluator reads the graph it builds.
 *
 * @module
 */

import * as at from "../src/compose/attention.ts";
import * as cv from "../src/compose/convolution.ts";
import { einsum } from "../src/compose/einsum.ts";
import * as ff from "../src/compose/feed_forward.ts";
import * as qt from "../src/compose/quantize.ts";
import { gather, pad, reduceSumToMatmul, unflatten } from "../src/compose/rearrange.ts";
import { causalSoftmax, logSoftmax, softmaxNd, thresholdSoftmax } from "../src/compose/softmax.ts";
import { concat, imageInput, maximum, minimum, where } from "../src/graph/functions.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { type Paired, paired, pairedSubtract } from "../src/paired.ts";
import * as special from "../src/special.ts";
import { baked, gridCase, product, range, RANKS, type Shape } from "./grid_case.ts";
import { numbers, type OpCase, type Values } from "./op_cases.ts";
import { toleranceOf } from "./tolerance.ts";

type Build = OpCase["build"];

/** A case of a public function with the tolerance of its kind. */
function made(name: string, kind: string, title: string, inputs: readonly (Shape | Values)[], build: Build): OpCase {
  return gridCase(name, title, inputs, build, toleranceOf(kind));
}

/** Shapes with an axis of each rank, counted from both ends. */
const ALONG: readonly (readonly [Shape, number])[] = RANKS.flatMap((shape) =>
  range(shape.length).flatMap((axis) => [[shape, axis] as const, [shape, axis - shape.length] as const])
);

function attentionCases(): OpCase[] {
  const weights = (d: number, width: number, context = d): at.AttentionWeights => ({
    wq: baked([width, d], 1),
    bq: numbers(width, 2),
    wk: baked([width, context], 3),
    wv: baked([width, context], 5),
    bv: numbers(width, 6),
    wo: baked([d, width], 7),
  });
  return [
    ...product([1, 3, 9], [4, 6], [1, 2, 4]).flatMap(([rows, d, heads]) => [
      made(
        "mha",
        "attention",
        `${rows} x ${d}, ${heads} heads`,
        [[rows!, d!]],
        ([x]) => at.mha(x!, weights(d!, 8), heads!),
      ),
      made(
        "crossAttention",
        "attention",
        `${rows} x ${d} on 5 x 3, ${heads} heads`,
        [[rows!, d!], [5, 3]],
        ([x, y]) => at.crossAttention(x!, y!, weights(d!, 8, 3), heads!),
      ),
    ]),
    ...product([1, 2], [1, 3], [1, 4], [1, 6]).flatMap(([batch, heads, rows, columns]) => {
      const q = [batch!, heads!, rows!, 4], k = [batch!, heads!, columns!, 4];
      const square = [batch!, heads!, rows!, 4];
      return [
        made("sdpa", "attention", `[${q}] on [${k}]`, [q, k, k], ([x, y, z]) => at.sdpa(x!, y!, z!)),
        made(
          "sdpa",
          "attention",
          `[${q}] on [${k}], scale`,
          [q, k, k],
          ([x, y, z]) => at.sdpa(x!, y!, z!, { scale: 0.125, attnMask: baked([rows!, columns!], 4) }),
        ),
        made(
          "sdpa",
          "attention",
          `[${square}], causal, ${columns}`,
          [square, square, square],
          ([x, y, z]) => at.sdpa(x!, y!, z!, { isCausal: true }),
        ),
      ];
    }),
    ...product([1, 4], [3, 8], [1, 2, 5]).flatMap(([rows, d, width]) => {
      const w = baked([3 * width!, d!], 1), gamma = numbers(d!, 3, 0.5, 1.5), beta = numbers(d!, 4);
      const joined = ({ q, k, v }: at.Qkv): Tensor => concat([v, q, k], 1);
      const title = `${rows} x ${d} to 3 x ${width}`;
      return [
        made("fusedQkv", "product", title, [[rows!, d!]], ([x]) => joined(at.fusedQkv(x!, w, numbers(3 * width!, 2)))),
        made(
          "fusedQkvNormProj",
          "attention",
          `${title}, layer norm`,
          [[rows!, d!]],
          ([x]) => joined(at.fusedQkvNormProj(x!, { gamma, beta }, w)),
        ),
        made(
          "fusedQkvNormProj",
          "attention",
          `${title}, rms norm`,
          [[rows!, d!]],
          ([x]) => joined(at.fusedQkvNormProj(x!, { gamma }, w)),
        ),
      ];
    }),
  ];
}

function feedForwardCases(): OpCase[] {
  return [
    ...product([1, 4], [3, 9], [1, 5]).flatMap(([rows, d, width]) => {
      const x = [rows!, d!], title = `${rows} x ${d}, ${width} wide`;
      const w = (seed: number, ...shape: number[]) => baked(shape, seed, -0.5, 0.5);
      return [
        made("geglu", "gated", title, [x], ([t]) => ff.geglu(t!, w(1, 2 * width!, d!), numbers(2 * width!, 2))),
        made(
          "swiglu",
          "gated",
          title,
          [x],
          ([t]) => ff.swiglu(t!, { gate: w(1, width!, d!), up: w(2, width!, d!), down: w(3, d!, width!) }),
        ),
        made(
          "dynamicMatmulPacked",
          "product",
          title,
          [[rows! + width!, d!]],
          ([t]) => ff.dynamicMatmulPacked(t!, rows!),
        ),
        made(
          "dynamicMatmulPackedRelu",
          "product",
          title,
          [[rows! + width!, d!]],
          ([t]) => ff.dynamicMatmulPackedRelu(t!, rows!),
        ),
        made(
          "quantizedLinear",
          "quantized",
          title,
          [x],
          ([t]) => qt.quantizedLinear(t!, baked([width!, d!], 4, 0.25, 1), numbers(width!, 5)),
        ),
      ];
    }),
    ...product([1, 5], [1, 9], [1, 4]).flatMap(([m, k, n]) => [
      made(
        "innerProduct",
        "product",
        `${m} x ${k} x ${n}`,
        [[m!, k!]],
        ([x]) => ff.innerProduct(x!, baked([n!, k!]), numbers(n!, 3)),
      ),
      made("batchMatmul", "product", `${m} x ${k} x ${n}`, [[2, m!, k!], [k!, n!]], ([x, y]) => ff.batchMatmul(x!, y!)),
    ]),
    ...RANKS.slice(1).flatMap((shape) => {
      const channel: Shape = [shape[1]!], title = `[${shape}]`;
      return [
        made("gocScalarScaleBias", "scaleBias", title, [shape], ([x]) => ff.gocScalarScaleBias(x!, -1.25, 0.5)),
        made("dynamicGocScale", "scaleBias", title, [shape, channel], ([x, s]) => ff.dynamicGocScale(x!, s!)),
        made("dynamicGocBias", "scaleBias", title, [shape, channel], ([x, b]) => ff.dynamicGocBias(x!, b!)),
        made(
          "dynamicGocScaleBias",
          "scaleBias",
          title,
          [shape, channel, channel],
          ([x, s, b]) => ff.dynamicGocScaleBias(x!, s!, b!),
        ),
      ];
    }),
    ...ALONG.flatMap(([shape, axis]) => [
      made(
        "dynamicQuantizeOnly",
        "integers",
        `[${shape}] along ${axis}`,
        [shape],
        ([x]) => qt.dynamicQuantizeOnly(x!, axis).q,
      ),
      made(
        "dynamicDequantizeOnly",
        "quantized",
        `[${shape}] along ${axis}`,
        [shape],
        ([x]) => qt.dynamicDequantizeOnly(qt.dynamicQuantizeOnly(x!, axis)),
      ),
    ]),
  ];
}

const CONV1D: readonly cv.Conv1dOptions[] = [
  {},
  { pad: 1 },
  { pad: [2, 0], stride: 2 },
  { dilation: 2, pad: 2 },
  { groups: 2, bias: numbers(4, 2) },
  { stride: 5 },
];

const CONV3D: readonly cv.Conv3dOptions[] = [
  {},
  { pad: 1, bias: numbers(4, 2) },
  { stride: 2, groups: 2 },
  { dilation: 2, pad: [1, 0, 0, 1, 1, 1] },
  { stride: 3 },
];

function convolutionCases(): OpCase[] {
  const channels = product([1, 3], [1, 2, 5], [1, 3]);
  return [
    ...product([1, 3, 9], range(CONV1D.length)).map(([k, i]) => {
      const options = CONV1D[i!]!;
      const w = [4, 4 / (options.groups ?? 1), k!];
      return made("conv1d", "product", `kernel ${k} ${i}`, [[2, 4, 17]], ([x]) => cv.conv1d(x!, baked(w), options));
    }),
    ...product([1, 2, 3], range(CONV3D.length)).map(([k, i]) => {
      const options = CONV3D[i!]!;
      const w = [4, 2 / (options.groups ?? 1), k!, 2, k!];
      return made(
        "conv3d",
        "product",
        `kernel ${k} ${i}`,
        [[1, 2, 5, 4, 6]],
        ([x]) => cv.conv3d(x!, baked(w), options),
      );
    }),
    ...channels.flatMap(([inputs, outputs, size]) => {
      const x = [1, inputs!, size!, 4], y = [1, outputs!, size!, 4], title = `${inputs} to ${outputs} on ${size} x 4`;
      const w = baked([outputs!, inputs!]), kernel = baked([outputs!, inputs!, 3, 3]), bias = numbers(outputs!, 4);
      const chain = [w, baked([3, outputs!], 3), baked([2, 3], 4)];
      const norm: Parameters<typeof cv.conv1x1BatchNormRelu>[2] = {
        gamma: numbers(outputs!, 1, 0.5, 1.5),
        beta: numbers(outputs!, 2),
        mean: numbers(outputs!, 3),
        variance: numbers(outputs!, 4, 0.5, 2),
      };
      const options = { pad: 1, bias };
      return [
        made("conv1x1", "product", title, [x], ([t]) => cv.conv1x1(t!, w, bias)),
        made("conv1x1Chain", "chain", title, [x], ([t]) => cv.conv1x1Chain(t!, chain, "relu")),
        made("conv1x1Int8Chain", "chain", title, [x], ([t]) => cv.conv1x1Int8Chain(t!, chain, "relu")),
        made("convRelu", "product", title, [x], ([t]) => cv.convRelu(t!, kernel, options)),
        made("convGelu", "gated", title, [x], ([t]) => cv.convGelu(t!, kernel, options)),
        made("conv1x1BatchNormRelu", "chain", title, [x], ([t]) => cv.conv1x1BatchNormRelu(t!, w, norm)),
        made("conv1x1BatchNormSilu", "gated", title, [x], ([t]) => cv.conv1x1BatchNormSilu(t!, w, norm)),
        made("conv1x1AddRelu", "chain", title, [x, y], ([t, r]) => cv.conv1x1AddRelu(t!, w, r!, bias)),
        made(
          "conv1x1ProjectAdd",
          "chain",
          title,
          [x, x],
          ([t, s]) => cv.conv1x1ProjectAdd(t!, w, s!, baked([outputs!, inputs!], 8)),
        ),
      ];
    }),
  ];
}

const EQUATIONS: readonly (readonly [string, ...Shape[]])[] = [
  ["ij,jk->ik", [3, 4], [4, 5]],
  ["ij,kj->ik", [3, 4], [5, 4]],
  ["ij,ij->", [3, 4], [3, 4]],
  ["ij->ji", [3, 4]],
  ["ij->i", [3, 4]],
  ["ii->i", [3, 3]],
  ["i,j->ij", [3], [4]],
  ["bij,bjk->bik", [2, 3, 4], [2, 4, 5]],
  ["bhqd,bhkd->bhqk", [1, 2, 3, 4], [1, 2, 5, 4]],
  ["...ij,...jk->...ik", [2, 3, 4], [2, 4, 2]],
];

function softmaxCases(): OpCase[] {
  return [
    ...ALONG.flatMap(([shape, axis]) => {
      const title = `[${shape}] along ${axis}`;
      return [
        made("logSoftmax", "logSoftmax", title, [shape], ([x]) => logSoftmax(x!, axis)),
        made("softmaxNd", "softmax", title, [shape], ([x]) => softmaxNd(x!, axis)),
        made(
          "thresholdSoftmax",
          "softmax",
          title,
          [{ shape, avoid: [0.25] }],
          ([x]) => thresholdSoftmax(x!, 0.25, axis),
        ),
      ];
    }),
    ...RANKS.slice(1).map((shape) =>
      made("softmaxNd", "softmax", `[${shape}], two axes`, [shape], ([x]) => softmaxNd(x!, [0, -1]))
    ),
    ...product([1, 2, 5], [1, 5, 8]).filter(([rows, columns]) => rows! <= columns!).map(([rows, columns]) =>
      made("causalSoftmax", "softmax", `${rows} x ${columns}`, [[2, rows!, columns!]], ([x]) => causalSoftmax(x!))
    ),
    // sums along another axis than the last transpose, which no product takes in rank 5
    ...ALONG.filter(([shape, axis]) => shape.length < 5 || axis === 4 || axis === -1).map(([shape, axis]) =>
      made(
        "reduceSumToMatmul",
        "product",
        `[${shape}] along ${axis}`,
        [shape],
        ([x]) => reduceSumToMatmul(x!.sum(axis)),
      )
    ),
    ...RANKS.flatMap((shape) =>
      [-1, shape.length - 1].map((axis) =>
        made("cumsum", "product", `[${shape}] along ${axis}`, [shape], ([x]) => x!.cumsum(axis))
      )
    ),
    ...EQUATIONS.map(([equation, ...shapes]) =>
      made("einsum()", "product", equation, shapes, (xs) => einsum(equation, ...xs))
    ),
  ];
}

function rearrangementCases(): OpCase[] {
  const amounts = product([[0, 0], [1, 0], [0, 2], [2, 1]], [[0, 0], [1, 2]]);
  return [
    ...(["constant", "reflect", "replicate"] as const).flatMap((mode) =>
      [[4, 5], [2, 4, 3], [1, 2, 4, 3]].flatMap((shape) =>
        amounts.map((pairs) => {
          const lead = shape.slice(2).map(() => [0, 0] as const);
          const each = [...lead, ...pairs] as (readonly [number, number])[];
          const options = mode === "constant" ? { mode, value: 0.5 } : { mode };
          return made(
            "pad",
            "moved",
            `[${shape}] ${mode} ${pairs.join(" ")}`,
            [shape],
            ([x]) => pad(x!, each, options),
          );
        })
      )
    ),
    ...ALONG.map(([shape, axis]) => {
      const last = shape.at(axis)! - 1;
      return made("gather", "moved", `[${shape}] on ${axis}`, [shape], ([x]) => gather(x!, [last, 0, last], axis));
    }),
    ...ALONG.filter(([shape]) => shape.length < 5).map(([shape, axis]) => {
      const source = shape.with(axis, 6);
      return made("unflatten", "moved", `[${source}] on ${axis}`, [source], ([x]) => unflatten(x!, axis, [2, -1]));
    }),
    ...product([1, 2, 3], [1, 2], [0, 1]).filter(([kernel, , border]) => border! < kernel!).map((
      [kernel, stride, border],
    ) =>
      made(
        "l2Pool",
        "root",
        `by ${kernel}, stride ${stride}, border ${border}`,
        [[1, 2, 7, 6]],
        ([x]) => x!.l2Pool(kernel!, { stride, pad: border }),
      )
    ),
    ...RANKS.flatMap((shape) => [
      made("neg", "moved", `[${shape}]`, [shape], ([x]) => x!.neg()),
      made("clamp", "moved", `[${shape}]`, [shape], ([x]) => x!.clamp(-0.5, 1)),
      made("maximum()", "moved", `[${shape}]`, [shape, shape], ([x, y]) => maximum(x!, y!)),
      made("minimum()", "moved", `[${shape}]`, [shape, shape], ([x, y]) => minimum(x!, y!)),
      made("where", "moved", `[${shape}]`, [{ shape, avoid: [0] }, shape], ([x, y]) => where(x!.greater(0), y!, 0.5)),
      made("slice", "moved", `[${shape}]`, [shape], ([x]) => x!.slice([1, 2])),
    ]).filter(({ op, inputs }) => op !== "slice" || inputs[0]!.shape[0]! > 1),
    ...[[1, 3, 4, 4], [1, 1, 1, 5], [2, 3, 2, 2]].flatMap((shape) => [
      made("imageInput", "scaleBias", `[${shape}], scale`, [], () => imageInput(shape)),
      made(
        "imageInput",
        "scaleBias",
        `[${shape}], per channel`,
        [],
        () => imageInput(shape, { scale: [...numbers(shape[1]!, 1, 0.01, 0.02)], bias: [...numbers(shape[1]!, 2)] }),
      ),
    ]),
  ];
}

/** [function, tolerance, lowest and highest argument]. */
const SPECIAL: Readonly<Record<string, readonly [(x: Tensor) => Tensor, string, number, number]>> = {
  sin: [special.sin, "polynomial", -1.57, 1.57],
  cos: [special.cos, "polynomial", -1.57, 1.57],
  erfc: [special.erfc, "polynomial", 0, 4],
  expm1: [special.expm1, "polynomial", -0.7, 0.7],
  log1p: [special.log1p, "polynomial", -0.5, 1],
  lgamma: [special.lgamma, "gamma", 1, 8],
  gamma: [special.gamma, "polynomial", 1, 2],
  gammaViaLgamma: [special.gammaViaLgamma, "gamma", 1, 7.5],
  besselJ0: [special.besselJ0, "polynomial", -3, 3],
  besselI0: [special.besselI0, "polynomial", -3.75, 3.75],
  besselK0: [special.besselK0, "wide", 0.1, 2],
  expWide: [special.expWide, "wide", -6, 6],
  logWide: [special.logWide, "wide", 0.1, 1000],
};

const PAIRS: Readonly<Record<string, readonly [string, (a: Paired, b: Paired) => Paired]>> = {
  "Paired.add": ["pair", (a, b) => a.add(b)],
  "Paired.sub": ["pair", (a, b) => a.sub(b)],
  "Paired.mul": ["pair", (a, b) => a.mul(b)],
  "Paired.neg": ["pair", (a, b) => a.neg().add(b)],
  "Paired.dot": ["pairSum", (a, b) => a.dot(b)],
};

function specialCases(): OpCase[] {
  return [
    ...Object.entries(SPECIAL).flatMap(([name, [f, kind, lo, hi]]) =>
      [...RANKS, [1, 65]].map((shape) =>
        made(`special.${name}`, kind, `[${shape}]`, [{ shape, lo, hi }], ([x]) => f(x!))
      )
    ),
    ...Object.entries(PAIRS).flatMap(([name, [kind, f]]) =>
      RANKS.map((shape) =>
        made(name, kind, `[${shape}]`, [shape, shape], ([a, b]) => f(paired(a!), paired(b!)).toTensor())
      )
    ),
    ...RANKS.map((shape) =>
      made("pairedSubtract", "pair", `[${shape}]`, [shape, shape], ([a, b]) => pairedSubtract(a!, b!))
    ),
  ];
}

/** Every case. */
export const COMPOSED_CASES: readonly OpCase[] = [
  ...attentionCases(),
  ...feedForwardCases(),
  ...convolutionCases(),
  ...softmaxCases(),
  ...rearrangementCases(),
  ...specialCases(),
];
