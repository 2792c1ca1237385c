/**
 * Cases made by rule: every operation over shapes, axes of both signs, broadcasting patterns and parameters, beside the
 * hand-picked ones of `op_cases.ts`. Elementwise operations and reductions come from their cases there, so that a new one
 * is covered without a line here.
 *
 * @module
 */

import { dynamicConv } from "../src/compose/convolution.ts";
import { concat, conv, type ConvOptions, convTranspose, split, stack } from "../src/graph/functions.ts";
import * as im from "../src/graph/images.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { OPS } from "../src/ops/all.ts";
import { baked, gridCase, product, range, RANKS, type Shape } from "./grid_case.ts";
import { numbers, OP_CASES, type OpCase } from "./op_cases.ts";
import { COMPOSED_CASES } from "./op_grid_composed.ts";
import { sizeOf } from "./reference_kernels.ts";
import { toleranceOf } from "./tolerance.ts";

type Build = OpCase["build"];

/** All subsets but the empty one. */
function subsets(items: readonly number[]): number[][] {
  return range(2 ** items.length).slice(1).map((bits) => items.filter((_, i) => bits >> i & 1));
}

/** All orders. */
function permutations(items: readonly number[]): number[][] {
  if (items.length === 0) return [[]];
  return items.flatMap((item) => permutations(items.filter((other) => other !== item)).map((rest) => [item, ...rest]));
}

const UNARY_SHAPES: readonly Shape[] = [
  [2],
  [9],
  [31],
  [1, 33],
  [5, 1],
  [2, 64],
  [3, 127],
  [1, 1, 1],
  [3, 1, 5],
  [1, 1, 1, 1],
  [1, 7, 1, 3],
  [2, 2, 2, 2],
  [1, 1, 1, 1, 1],
  [2, 3, 1, 2, 3],
  [1, 5, 3, 1, 7],
];

/** Zero, the smallest numbers, the largest, and integers beyond fp16's whole ones. */
const ENDS: readonly number[] = [0, 2 ** -24, -(2 ** -24), 2 ** -14, -(2 ** -14), 1, -1, 2050, -4094, 65504, -65504];

const CATEGORIES: ReadonlySet<string> = new Set(["unary", "activation", "binary", "comparison", "source"]);

/** The first case of each elementwise operation with `n` operands of any one shape. */
function elementwise(n: number): OpCase[] {
  const first = new Map<string, OpCase>();
  for (const trial of OP_CASES) {
    const { op, inputs, target } = trial;
    const fits = inputs.length === n && inputs.every(({ data }) => data === undefined) && target === undefined;
    if (!fits || !CATEGORIES.has(OPS.get(op)?.category ?? "") || first.has(op)) continue;
    if (["prelu", "const_array", "select", "logical_not"].includes(op)) continue;
    first.set(op, trial);
  }
  return [...first.values()];
}

function unaryGrid(): OpCase[] {
  const spread = elementwise(1).flatMap((trial) =>
    UNARY_SHAPES.map((shape): OpCase => ({
      ...trial,
      title: `grid [${shape}]`,
      inputs: [{ ...trial.inputs[0]!, shape }],
    }))
  );
  const ends = elementwise(1).filter(({ op, ane }) => ane.exact && op !== "input" && op !== "cast" && op !== "round");
  return [
    ...spread,
    ...ends.map((trial): OpCase => ({
      ...trial,
      title: "ends of the range",
      inputs: [{ shape: [ENDS.length], data: ENDS }],
    })),
    ...RANKS.slice(2).flatMap((shape) =>
      [1, 2].map((seed) =>
        gridCase(
          "prelu",
          `grid [${shape}], slopes ${seed}`,
          [{ shape, avoid: [0] }],
          ([x]) => x!.prelu(numbers(shape[1]!, seed)),
        )
      )
    ),
  ];
}

const EXTENTS = [2, 3, 1, 4];

/** Left and right shape of every pattern of a rank: per axis the same extent, 1 on the left, 1 on the right. */
function patterns(rank: number): (readonly [Shape, Shape])[] {
  const extents = [5, 2, 3, 4].slice(0, rank);
  return product(...range(rank).map(() => ["both", "left", "right"])).map((kinds) => [
    extents.map((d, i) => kinds[i] === "left" ? 1 : d),
    extents.map((d, i) => kinds[i] === "right" ? 1 : d),
  ]);
}

/** Every pattern of equal ranks, every pair of different ones, and degenerate shapes. */
export const BROADCASTS: readonly (readonly [Shape, Shape])[] = [
  ...[1, 2, 3, 4].flatMap(patterns),
  ...product([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]).filter(([a, b]) => a !== b).map(([a, b]) => {
    const full = [3, ...EXTENTS];
    return [full.slice(5 - a!), full.slice(5 - b!)] as const;
  }),
  [[1, 1, 1, 1], [1, 1, 1, 1]],
  [[1, 1, 1, 1, 1], [2, 1, 3, 1, 2]],
  [[2, 1, 3, 1, 2], [1]],
];

function binaryGrid(): OpCase[] {
  const ones = ["", "c", "a", "b", "ca", "cb", "ab"]; // which of three operands have extent 1 there
  return [
    ...elementwise(2).flatMap((trial) =>
      BROADCASTS.map(([left, right]): OpCase => ({
        ...trial,
        title: `grid [${left}] and [${right}]`,
        inputs: [{ ...trial.inputs[0]!, shape: left }, { ...trial.inputs[1]!, shape: right }],
      }))
    ),
    ...product(ones, ones).map(([rows, columns]) => {
      const shape = (who: string): Shape => [rows!.includes(who) ? 1 : 3, columns!.includes(who) ? 1 : 5];
      const [c, a, b] = ["c", "a", "b"].map(shape);
      const build: Build = ([x, y, z]) => x!.greater(0).select(y!, z!);
      return gridCase("select", `grid [${c}], [${a}] and [${b}]`, [{ shape: c!, avoid: [0] }, a!, b!], build);
    }),
    ...RANKS.map((shape) =>
      gridCase("logical_not", `grid [${shape}]`, [shape], ([x]) => x!.greater(0).logicalNot().select(1, 0))
    ),
    ...RANKS.flatMap((shape) =>
      (["maximum", "minimum"] as const).map((op) =>
        gridCase(op, `grid [${shape}] and baked`, [shape], ([x]) => x![op](baked(shape)))
      )
    ),
  ];
}

/** How each reduction is called. */
const REDUCTIONS: Readonly<Record<string, (x: Tensor, axes: Shape | undefined, keepDims: boolean) => Tensor>> = {
  reduce_sum: (x, axes, keepDims) => x.sum(axes, { keepDims }),
  reduce_mean: (x, axes, keepDims) => x.mean(axes, { keepDims }),
  reduce_max: (x, axes, keepDims) => x.amax(axes, { keepDims }),
  reduce_min: (x, axes, keepDims) => x.amin(axes, { keepDims }),
  reduce_l1_norm: (x, axes) => x.l1Norm(axes),
  reduce_log_sum: (x, axes, keepDims) => x.logSum(axes, { keepDims }),
  reduce_sum_square: (x, axes, keepDims) => x.sumSquare(axes, { keepDims }),
  reduce_log_sum_exp: (x, axes, keepDims) => x.reduceLogSumExp(axes, { keepDims }),
};

/** Every set of axes of every rank, counted from the front, from the end, and mixed. */
function axisSets(): (readonly [Shape, number[]])[] {
  return RANKS.flatMap((shape) =>
    subsets(range(shape.length)).flatMap((axes) => {
      const negative = axes.map((a) => a - shape.length);
      const mixed = axes.map((a, i) => i % 2 ? a : a - shape.length).reverse();
      return [axes, negative, ...(axes.length > 1 ? [mixed] : [])].map((set) => [shape, set] as const);
    })
  );
}

function reductionGrid(): OpCase[] {
  return Object.entries(REDUCTIONS).flatMap(([op, f]) => {
    const values = OP_CASES.find((trial) => trial.op === op)!.inputs[0]!;
    const trial = (shape: Shape, axes: Shape | undefined, keepDims = true): OpCase =>
      gridCase(
        op,
        `grid [${shape}] over ${axes ?? "everything"}${keepDims ? "" : ", dropped"}`,
        [{ ...values, shape }],
        ([x]) => f(x!, axes, keepDims),
      );
    return [
      ...axisSets().map(([shape, axes]) => trial(shape, axes)),
      ...RANKS.map((shape) => trial(shape, undefined)),
      ...(op === "reduce_l1_norm" ? [] : RANKS.slice(1).map((shape) => trial(shape, [-1], false))),
    ];
  });
}

/** Shapes with an axis of each rank, counted from both ends. */
export const ALONG: readonly (readonly [Shape, number])[] = [...RANKS, [1], [1, 1], [2, 65]].flatMap((shape) =>
  range(shape.length).flatMap((axis) => [[shape, axis] as const, [shape, axis - shape.length] as const])
);

function normalizationGrid(): OpCase[] {
  type Norm = (x: Tensor, gamma: Float32Array, beta: Float32Array) => Tensor;
  const norm = (op: string, shapes: readonly Shape[], f: Norm, note = ""): OpCase[] =>
    shapes.map((shape) =>
      gridCase(
        op,
        `grid [${shape}]${note}`,
        [shape],
        ([x]) => f(x!, numbers(shape[1]!, 11, 0.5, 1.5), numbers(shape[1]!, 12)),
      )
    );
  const matrices = product([1, 2, 7, 33], [2, 5, 16, 67]);
  const images = product([1], [2, 4, 6], [1, 3], [2, 5]);
  return [
    ...ALONG.flatMap(([shape, axis]) => [
      gridCase("softmax", `grid [${shape}] along ${axis}`, [shape], ([x]) => x!.softmax(axis)),
      gridCase("l2_norm", `grid [${shape}] along ${axis}`, [shape], ([x]) => x!.l2Norm(axis)),
    ]),
    ...norm("rms_norm", matrices, (x, gamma) => x.rmsNorm(gamma)),
    ...norm("layer_norm", matrices, (x, gamma, beta) => x.layerNorm(gamma, beta)),
    ...norm("layer_norm", matrices.slice(0, 4), (x, gamma, beta) => x.layerNorm(gamma, beta, 0.5), ", eps 0.5"),
    ...norm(
      "channel_layer_norm",
      product([1, 2], [4, 9, 32], [1], [1, 5]),
      (x, gamma, beta) => x.channelLayerNorm(gamma, beta),
    ),
    ...[1, 2].flatMap((groups) =>
      norm("group_norm", images, (x, gamma, beta) => x.groupNorm(gamma, beta, groups), ` in ${groups} groups`)
    ),
    ...norm("instance_norm", images, im.instanceNorm),
    ...norm("batch_norm", [...images, [2, 3, 5], [1, 1, 1], [1, 2, 2, 1, 3]], (x, gamma, beta) => {
      const [mean, variance] = [numbers(gamma.length, 13), numbers(gamma.length, 14, 0.25, 2)];
      return im.batchNorm(x, { gamma, beta, mean, variance });
    }),
    ...product([1, 3, 5, 7], [1, 4, 9]).map(([size, channels]) =>
      gridCase(
        "local_response_norm",
        `grid ${channels} channels, size ${size}`,
        [[1, channels!, 2, 3]],
        ([x]) => im.localResponseNorm(x!, { size, alpha: 0.5, beta: 0.75, k: 1.5 }),
      )
    ),
  ];
}

/** Products of random signs may cancel, so that small results keep the rounding of large terms. */
const PRODUCT = toleranceOf("product");

function linearGrid(): OpCase[] {
  const sizes = product([1, 3, 16], [1, 5, 33], [1, 4, 17]);
  const leads: readonly (readonly [Shape, Shape])[] = [
    ...([1, 2, 3].flatMap(patterns)),
    [[], [2]],
    [[2], []],
    [[3], [2, 3]],
    [[2, 1, 2], [2]],
  ];
  return [
    ...sizes.flatMap(([m, k, n]) => {
      const title = `grid ${m} x ${k} x ${n}`;
      return [
        gridCase("matmul", `${title}, linear`, [[m!, k!]], ([x]) => x!.linear(baked([n!, k!])), PRODUCT),
        gridCase(
          "matmul",
          `${title}, bias`,
          [[m!, k!]],
          ([x]) => x!.linear(baked([n!, k!]), numbers(n!, 3)),
          PRODUCT,
        ),
        gridCase("matmul", `${title}, [K, N]`, [[m!, k!]], ([x]) => x!.matmul(baked([k!, n!])), PRODUCT),
        gridCase("bmm", title, [[m!, k!], [k!, n!]], ([x, y]) => x!.matmul(y!), PRODUCT),
        gridCase("bmm_w", title, [[2, m!, k!]], ([x]) => x!.bmmWeight(baked([2, k!, n!])), PRODUCT),
      ];
    }),
    ...product([1, 2], [1, 3], [1, 4], [1, 5], [1, 2]).map(([N, C, H, W, U]) =>
      gridCase(
        "einsum",
        `grid [${[N, C, H, W]}] by [${[N, W, H, U]}]`,
        [[N!, C!, H!, W!]],
        ([x]) => im.einsumNative("nchw,nwhu->nchu", x!, baked([N!, W!, H!, U!])),
        PRODUCT,
      )
    ),
    ...leads.map(([a, b]) => {
      const [x, y] = [[...a, 2, 3], [...b, 3, 4]];
      return gridCase("bmm", `grid [${x}] by [${y}]`, [x, y], ([s, t]) => s!.matmul(t!), PRODUCT);
    }),
  ];
}

interface Window {
  x: Shape;
  w: Shape;
  options: ConvOptions;
}

const PADS = [0, 1, [1, 0, 2, 1], [0, 2, 0, 0]] as const;

/** Kernels x strides x pads x dilations x groups over a 7 x 6 image of 4 channels. */
function windows(): Window[] {
  const kernels = [[1, 1], [3, 3], [2, 3], [7, 6], [1, 5]];
  return kernels.flatMap(([kh, kw]) =>
    [1, 2, 3].flatMap((stride) =>
      PADS.flatMap((pad) =>
        [1, 2].flatMap((dilation) =>
          [1, 2, 4].map((groups): Window => ({
            x: [1, 4, 7, 6],
            w: [4, 4 / groups, kh!, kw!],
            options: { stride, pad, dilation, groups, bias: (kh! + stride) % 2 ? numbers(4, 3) : null },
          }))
        )
      )
    )
  );
}

/** Extent of a result along one axis. */
function reach({ x, w, options: { stride = 1, pad = 0, dilation = 1 } }: Window, transposed: boolean): number[] {
  const pads = typeof pad === "number" ? [pad, pad, pad, pad] : pad;
  return [0, 1].map((a) => {
    const span = dilation * (w[2 + a]! - 1) + 1, border = pads[2 * a]! + pads[2 * a + 1]!, d = x[2 + a]!;
    return transposed ? (d - 1) * stride + span - border : Math.floor((d + border - span) / stride) + 1;
  });
}

function convolutionGrid(): OpCase[] {
  const grid = (op: string, transposed: boolean, f: typeof conv): OpCase[] =>
    windows().filter((window) => reach(window, transposed).every((d) => d > 0)).map(({ x, w, options }) =>
      gridCase(
        op,
        `grid [${x}] by [${w}] ${JSON.stringify({ ...options, bias: options.bias ? "yes" : "no" })}`,
        [x],
        ([t]) => f(t!, baked(w), options),
        PRODUCT,
      )
    );
  const dynamic = windows().filter((window) => {
    const { dilation, groups } = window.options;
    return dilation === 1 && groups !== 4 && reach(window, false).every((d) => d > 0);
  });
  const degenerate: readonly Window[] = [
    { x: [1, 1, 1, 1], w: [1, 1, 1, 1], options: { stride: 3 } },
    { x: [3, 1, 1, 5], w: [2, 1, 1, 5], options: {} },
    { x: [2, 2, 5, 1], w: [1, 2, 5, 1], options: {} },
    { x: [1, 2, 2, 2], w: [3, 2, 1, 1], options: { stride: 4 } },
    { x: [1, 1, 1, 1], w: [1, 1, 3, 3], options: { pad: 1 } },
    { x: [1, 2, 17, 1], w: [2, 2, 15, 1], options: {} },
  ];
  return [
    ...grid("conv", false, conv),
    ...grid("conv_transpose", true, convTranspose),
    ...degenerate.map(({ x, w, options }) =>
      gridCase(
        "conv",
        `[${x}] by [${w}] ${JSON.stringify(options)}`,
        [x],
        ([t]) => conv(t!, baked(w), options),
        PRODUCT,
      )
    ),
    ...dynamic.map(({ x, w, options: { bias: _, dilation: __, ...options } }) =>
      gridCase(
        "dynamic_conv",
        `grid [${x}] by [${w}] ${JSON.stringify(options)}`,
        [x, { shape: w, lo: -1, hi: 1 }],
        ([t, weight]) => dynamicConv(t!, weight!, options),
        PRODUCT,
      )
    ),
  ];
}

function poolGrid(): OpCase[] {
  const rows = product<number | boolean>([1, 2, 3, 5], [1, 2, 3, 5], [0, 1, 2], [false, true]) as unknown as [
    number,
    number,
    number,
    boolean,
  ][];
  // with a stride beyond the kernel a last window that is rounded up to would lie outside
  return rows.filter(([kernel, stride, pad, ceil]) => 2 * pad <= kernel && !(ceil && stride > kernel)).flatMap((
    [kernel, stride, pad, ceilMode],
  ) =>
    [[1, 2, 7, 6], [2, 1, 5, 9]].flatMap((x) => {
      const options = { stride, pad, ceilMode };
      const title = `grid [${x}] by ${kernel} ${JSON.stringify(options)}`;
      return [
        gridCase("max_pool", title, [x], ([t]) => t!.maxPool(kernel, options)),
        gridCase("avg_pool", title, [x], ([t]) => t!.avgPool(kernel, options)),
        gridCase(
          "avg_pool",
          `${title}, border left out`,
          [x],
          ([t]) => t!.avgPool(kernel, { ...options, excludePad: true }),
        ),
      ];
    })
  );
}

function resamplingGrid(): OpCase[] {
  const sizes = product([1, 2, 5], [1, 3], [1, 4, 7], [2, 3]);
  const blocks = product([1, 2], [1, 3], [1, 2], [1, 3], [2, 3]);
  return [
    ...product([1, 2, 3, 4], [1, 3], [1, 2, 5]).map(([scale, h, w]) =>
      gridCase("upsample", `grid ${h} x ${w} by ${scale}`, [[1, 2, h!, w!]], ([x]) => x!.upsample(scale))
    ),
    ...[true, false].flatMap((alignCorners) => [
      ...product([2, 3], [1, 3, 4], [2, 5]).map(([scale, h, w]) =>
        gridCase(
          "upsample_bilinear",
          `grid ${h} x ${w} by ${scale}, ${alignCorners}`,
          [[1, 2, h!, w!]],
          ([x]) => im.upsampleBilinear(x!, scale, { alignCorners }),
        )
      ),
      ...sizes.map(([h, w, height, width]) =>
        gridCase(
          "resize_bilinear",
          `grid ${h} x ${w} to ${height} x ${width}, ${alignCorners}`,
          [[1, 2, h!, w!]],
          ([x]) => im.resizeBilinear(x!, height!, width!, { alignCorners }),
        )
      ),
    ]),
    ...sizes.map(([h, w, height, width]) =>
      gridCase(
        "resize_nearest_neighbor",
        `grid ${h} x ${w} to ${height} x ${width}`,
        [[1, 2, h!, w!]],
        ([x]) => im.resizeNearestNeighbor(x!, height!, width!),
      )
    ),
    ...product([0, 1, 3], [0, 2], [0, 1], [0, 3]).map(([t, b, l, r]) =>
      gridCase("crop", `grid ${[t, b, l, r]}`, [[1, 2, 6, 7]], ([x]) => im.crop(x!, t!, b!, l!, r!))
    ),
    ...blocks.flatMap(([n, c, h, w, r]) => {
      const deep = [n!, c! * r! * r!, h!, w!], wide = [n!, c!, h! * r!, w! * r!];
      return [
        gridCase("pixel_shuffle", `grid [${deep}] by ${r}`, [deep], ([x]) => im.pixelShuffle(x!, r!)),
        gridCase("pixel_unshuffle", `grid [${wide}] by ${r}`, [wide], ([x]) => im.pixelUnshuffle(x!, r!)),
        gridCase("depth_to_space", `grid [${deep}] by ${r}`, [deep], ([x]) => im.depthToSpace(x!, r!)),
        gridCase("space_to_depth", `grid [${wide}] by ${r}`, [wide], ([x]) => im.spaceToDepth(x!, r!)),
      ];
    }),
  ];
}

function shapeGrid(): OpCase[] {
  return [
    ...RANKS.slice(0, 4).flatMap((shape) =>
      permutations(range(shape.length)).map((perm) =>
        gridCase("transpose", `grid [${shape}] by ${perm}`, [shape], ([x]) => x!.transpose(perm))
      )
    ),
    ...axisSets().map(([shape, axes]) =>
      gridCase("reverse", `grid [${shape}] axes ${axes}`, [shape], ([x]) => x!.reverse(axes))
    ),
    ...axisSets().flatMap(([shape, axes]) => {
      const ones = shape.map((d, i) => axes.some((a) => (a + shape.length) % shape.length === i) ? 1 : d);
      if (axes.length === shape.length) return [];
      return [gridCase("squeeze", `grid [${ones}] axes ${axes}`, [ones], ([x]) => x!.squeeze(axes))];
    }),
    ...RANKS.slice(0, 4).flatMap((shape) =>
      range(shape.length + 1).flatMap((axis) =>
        [axis, axis - shape.length - 1].map((a) =>
          gridCase("expand_dims", `grid [${shape}] axis ${a}`, [shape], ([x]) => x!.expandDims(a))
        )
      )
    ),
    ...RANKS.flatMap((shape) =>
      range(shape.length).map((axis) =>
        gridCase("flatten2d", `grid [${shape}] at ${axis}`, [shape], ([x]) => x!.flatten2d(axis))
      )
    ),
    ...RANKS.flatMap((shape) =>
      product(...shape.map((d) => d > 1 ? [0, 1] : [0])).map((begin) =>
        gridCase(
          "slice_by_size",
          `grid [${shape}] from ${begin}`,
          [shape],
          ([x]) => x!.sliceBySize(begin, shape.map((d, i) => Math.max(d - begin[i]! - 1, 1))),
        )
      )
    ),
    ...RANKS.flatMap((shape) =>
      product(...shape.map(() => [1, 2])).map((reps) =>
        gridCase("tile", `grid [${shape}] by ${reps}`, [shape], ([x]) => x!.tile(reps))
      )
    ),
    ...RANKS.flatMap((from) =>
      RANKS.filter((to) => sizeOf(to) <= sizeOf(from)).map((to) => {
        const shape = [...to.slice(0, -1), to.at(-1)! * sizeOf(from)];
        const source = [...from.slice(0, -1), from.at(-1)! * sizeOf(to)];
        return gridCase("reshape", `grid [${source}] to [${shape}]`, [source], ([x]) => x!.reshape(shape));
      })
    ),
    ...ALONG.flatMap(([shape, axis]) => {
      const other = shape.with(axis < 0 ? axis + shape.length : axis, 2);
      return [
        gridCase("concat", `grid [${shape}] and [${other}] on ${axis}`, [shape, other], (x) => concat(x, axis)),
        ...(shape.length < 5
          ? [gridCase("stack", `grid [${shape}] on ${axis}`, [shape, shape, shape], (x) => stack(x, axis))]
          : []),
      ];
    }),
    ...ALONG.flatMap(([shape, axis]) => {
      const at = axis < 0 ? axis + shape.length : axis;
      return [2, 3].map((n) => {
        const source = shape.with(at, n * Math.min(shape[at]!, 3));
        return gridCase(
          "split",
          `grid [${source}] in ${n} on ${axis}`,
          [source],
          ([x]) => concat(split(x!, n, axis).reverse(), axis),
        );
      });
    }),
  ];
}

/** Every case made by rule, compositions and public functions included. */
export const GRID_CASES: readonly OpCase[] = [
  ...unaryGrid(),
  ...binaryGrid(),
  ...linearGrid(),
  ...reductionGrid(),
  ...normalizationGrid(),
  ...convolutionGrid(),
  ...poolGrid(),
  ...resamplingGrid(),
  ...shapeGrid(),
  ...COMPOSED_CASES,
];
