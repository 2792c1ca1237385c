/**
 * The graphs that published latencies were measured on, rebuilt from the rows' extents. Weights are zeros: the cost of a
 * program does not depend on their values.
 *
 * @module
 */

import { conv } from "../src/graph/functions.ts";
import { NDArray } from "../src/graph/ndarray.ts";
import { sizeOf } from "../src/graph/shape.ts";
import { apply, input, Tensor } from "../src/graph/tensor.ts";
import type { MeasuredRow } from "../src/targets/data/cost_measured.ts";

/** A rebuilt program. */
export interface MeasuredGraph {
  /** Its result. */
  readonly out: Tensor;
  /** How often the measurement ran it. */
  readonly dispatches: number;
}

type Extents = readonly number[];

/** Zeros; the pages are never touched, so large ones cost nothing. */
const zeros = (shape: Extents): NDArray => new NDArray(new Float32Array(sizeOf(shape)), shape);

const linear = (x: Tensor, outputs: number, bias = true): Tensor =>
  apply("matmul", [x], { weight: zeros([outputs, x.shape.at(-1)!]), bias: bias ? zeros([outputs]) : null });

const same = (x: Tensor, w: Extents, stride = 1, bias = false): Tensor =>
  conv(x, zeros(w), { pad: Math.floor(w[2]! / 2), stride, ...(bias ? { bias: zeros([w[0]!]) } : {}) });

const layerNorm = (x: Tensor): Tensor => x.layerNorm(zeros([x.shape[1]!]), zeros([x.shape[1]!]));

/** A node as it is counted, whatever its definition accepts. */
const node = (op: string, x: Tensor, shape: Extents = x.shape, attrs: Record<string, unknown> = {}): Tensor =>
  new Tensor(op, shape, "fp16", [x], attrs);

const groupNorm = (x: Tensor): Tensor =>
  node("group_norm", x, x.shape, { gamma: zeros([x.shape[1]!]), beta: zeros([x.shape[1]!]) });

/** softmax(q k^T scale) v of [B, H, S, D]. */
function attention(q: Tensor, k: Tensor, v: Tensor, scale?: number): Tensor {
  const scores = q.bmm(k.transpose([0, 1, 3, 2]));
  return (scale === undefined ? scores : scores.muls(scale)).softmax(-1).bmm(v);
}

/** Self-attention of x [B S, D]: four biased projections, heads split and joined. */
function selfAttention(x: Tensor, batch: number, rows: number, heads: number): Tensor {
  const width = x.shape[1]!;
  const split = (t: Tensor): Tensor => t.reshape([batch, rows, heads, width / heads]).transpose([0, 2, 1, 3]);
  const [q, k, v] = [0, 1, 2].map(() => split(linear(x, width))) as [Tensor, Tensor, Tensor];
  const joined = attention(q, k, v, (width / heads) ** -0.5).transpose([0, 2, 1, 3]).reshape([batch * rows, width]);
  return linear(joined, width);
}

/** Attention and a two-layer network, each behind a norm and added to what they got. */
function encoderBlock(x: Tensor, batch: number, rows: number, heads: number, hidden: number): Tensor {
  const attended = x.add(selfAttention(layerNorm(x), batch, rows, heads));
  return attended.add(linear(linear(layerNorm(attended), hidden).gelu(), x.shape[1]!));
}

/** Stem, four stages of two basic blocks, mean, classifier; batch norms folded into biases. */
function resnet18(image: Tensor): Tensor {
  let x = same(image, [64, 3, 7, 7], 2, true).relu().maxPool(3, { stride: 2, pad: 1 });
  for (const [stage, channels] of [64, 128, 256, 512].entries()) {
    for (let block = 0; block < 2; block++) {
      const inputs = x.shape[1]!;
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const skip = inputs === channels ? x : same(x, [channels, inputs, 1, 1], stride, true);
      const inner = same(x, [channels, inputs, 3, 3], stride, true).relu();
      x = same(inner, [channels, channels, 3, 3], 1, true).add(skip).relu();
    }
  }
  return linear(x.mean([2, 3]).reshape([1, 512]), 1000);
}

const repeat = (x: Tensor, times: number, step: (x: Tensor) => Tensor): Tensor => {
  for (let i = 0; i < times; i++) x = step(x);
  return x;
};

/** Graphs of more than one operation. */
const GRAPHS: Readonly<Record<string, (row: MeasuredRow) => Tensor>> = {
  conv_relu: ({ x, w }) => same(input(x), w!).relu(),
  conv_relu_16: ({ x }) => repeat(input(x), 16, (h) => same(h, [256, h.shape[1]!, 3, 3]).relu()),
  conv_3: ({ x }) => repeat(input(x), 3, (h) => same(h, [256, 256, 3, 3])),
  stencil_32: ({ x }) => repeat(input(x), 32, (h) => same(h, [1, 1, 3, 3])),
  conv_norm_gelu: ({ x }) => groupNorm(same(input(x), [x[1]!, x[1]!, 1, 1])).gelu().gelu(),
  // x <- x - D^-1 (A x - b), A one weight
  jacobi_25: ({ x }) => {
    const [a, b, d] = [zeros([x[1]!, x[1]!]), zeros(x), zeros(x)];
    return repeat(input(x), 25, (h) => h.sub(apply("matmul", [h], { weight: a, bias: null }).sub(b).mul(d)));
  },
  attention: ({ x }) => attention(input(x), input(x), input(x)),
  attention_block: ({ x: [rows, width, heads] }) => selfAttention(input([rows!, width!]), 1, rows!, heads!),
  encoder_block: ({ x: [batch, rows, width, heads, hidden] }) =>
    encoderBlock(input([batch! * rows!, width!]), batch!, rows!, heads!, hidden!),
  resnet18: ({ x }) => resnet18(input(x)),
  // patches of 16 x 16 x 3 come in flattened
  vit_b16: ({ x: [rows, width, heads] }) => {
    const tokens = linear(input([rows!, 768]), width!).add(zeros([rows!, width!]));
    const encoded = repeat(tokens, 12, (h) => encoderBlock(h, 1, rows!, heads!, 4 * width!));
    return linear(layerNorm(encoded).sliceBySize([0, 0], [1, width!]), 1000);
  },
};

/** Graphs of one operation; the rest keep their operand's shape and have no weight. */
const SINGLE: Readonly<Record<string, (row: MeasuredRow) => Tensor>> = {
  matmul: ({ x, w }) => apply("matmul", [input(x)], { weight: zeros(w!), bias: null }),
  conv: ({ x, w, stride }) => same(input(x), w!, stride),
  layer_norm: ({ x }) => layerNorm(input(x)),
  rms_norm: ({ x }) => input(x).rmsNorm(zeros([x[1]!])),
  group_norm: ({ x }) => groupNorm(input(x)),
  softmax: ({ x }) => input(x).softmax(-1),
  reduce_sum: ({ x }) => input(x).sum(-1),
  max_pool: ({ x }) => input(x).maxPool(2),
  avg_pool: ({ x }) => input(x).avgPool(2),
  pixel_shuffle: ({ x: [n, c, h, w] }) => node("pixel_shuffle", input([n!, c!, h!, w!]), [n!, c! / 4, 2 * h!, 2 * w!]),
};

/** Classes of the error table. */
export type RowClass =
  | "matrix times vector"
  | "matrix product"
  | "convolution"
  | "elementwise, reduction, norm"
  | "several operations";

/**
 * Class of a row.
 *
 * @param row The row.
 * @returns The class.
 */
export function classOf({ graph, x }: MeasuredRow): RowClass {
  if (graph === "matmul") return x[0] === 1 ? "matrix times vector" : "matrix product";
  if (graph === "conv") return "convolution";
  return graph in GRAPHS || graph === "matmul_twice" ? "several operations" : "elementwise, reduction, norm";
}

/**
 * Rebuilds the program of a row.
 *
 * @param row The row.
 * @returns The program and how often it ran.
 */
export function measuredGraph(row: MeasuredRow): MeasuredGraph {
  if (row.graph === "matmul_twice") return { out: SINGLE.matmul!(row), dispatches: 2 };
  const build = GRAPHS[row.graph] ?? SINGLE[row.graph] ?? (({ graph, x }) => node(graph, input(x)));
  return { out: build(row), dispatches: 1 };
}
