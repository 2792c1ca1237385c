/**
 * Normalisations of channels: x `[N, C, ..]`, one gain and one offset per channel.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { checkInteger, checkNumber } from "../graph/check.ts";
import { MAX_EXTENT } from "../graph/limits.ts";
import { NDArray } from "../graph/ndarray.ts";
import { defineOp, type GradientContext, type OpDef } from "../graph/op.ts";
import { checkRank, type Shape, show, sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { fp16Literal, type Lowering } from "../mil/text.ts";
import { checkEpsilon } from "./norm.ts";

/** Checks that every vector holds one number per channel of x. */
function checkVectors(op: string, x: Shape, vectors: Record<string, NDArray>): void {
  for (const [label, { shape }] of Object.entries(vectors)) {
    if (shape.length === 1 && shape[0] === x[1]) continue;
    throw new ShapeError(
      `${op}: ${label} has shape ${show(shape)}; x ${show(x)} has ${x[1]} channels, so expected [${x[1]}]`,
    );
  }
}

/** A vector [C] shaped to broadcast along axis 1 of a tensor of the given rank. */
function perChannel(values: Float32Array, rank: number): NDArray {
  return new NDArray(values, [1, values.length, ...new Array<number>(rank - 2).fill(1)]);
}

/** `g * gamma` per channel; a gain of ones needs no product. */
function scaled(g: Tensor, gamma: NDArray): Tensor {
  return gamma.data.every((value) => value === 1) ? g : g.mul(perChannel(gamma.data, g.rank));
}

/** n = (x - mean) r, r = 1/std over `axes`: r (gn - mean(gn) - n mean(gn n)). */
function standardizedGradient(x: Tensor, gn: Tensor, axes: readonly number[], eps: number): Tensor {
  const centered = x.sub(x.mean(axes));
  const r = centered.square().mean(axes).adds(eps).rsqrt();
  const n = centered.mul(r);
  return gn.sub(gn.mean(axes)).sub(n.mul(gn.mul(n).mean(axes))).mul(r);
}

/** Writes `1 / sqrt(variance + eps)` with helpers `ve` and `rr`. */
function inverseDeviation(out: Lowering, variance: string, eps: number, shape: Shape): string {
  const safe = out.packed("ve", "add", { x: variance, y: out.f16("ep", eps) }, shape);
  return out.packed("rr", "rsqrt", { epsilon: "fp16(0.0)", x: safe }, shape);
}

interface Affine {
  gamma: NDArray;
  beta: NDArray;
  eps: number;
}

interface BatchNormAttrs extends Affine {
  mean: NDArray;
  variance: NDArray;
}

const AFFINE = { gamma: "gain [C]", beta: "offset [C]", eps: "added to the variance" } as const;

const affineWeights = ({ attrs: { gamma, beta } }: { attrs: Affine }): NDArray[] => [gamma, beta];

/**
 * Weight of a 1 x 1 convolution that sums channels c - (size - 1) / 2 .. c + size / 2 (rounded down), or, transposed, the
 * channels in whose window c lies.
 */
function channelBand(channels: number, size: number, transposed: boolean): NDArray {
  const weight = new Float32Array(channels * channels);
  for (let c = 0; c < channels; c++) {
    const first = Math.max(c - Math.floor((size - 1) / 2), 0);
    const last = Math.min(c + Math.floor(size / 2), channels - 1);
    for (let j = first; j <= last; j++) weight[transposed ? j * channels + c : c * channels + j] = 1;
  }
  return new NDArray(weight, [channels, channels, 1, 1]);
}

interface LrnAttrs {
  size: number;
  alpha: number;
  beta: number;
  k: number;
}

/**
 * y = x d^-beta with d = k + (alpha / size) sum x_j^2:
 * dx_i = g_i d_i^-beta - (2 alpha beta / size) x_i sum over windows c that contain i of g_c x_c d_c^(-beta - 1).
 */
function lrnGradient({ inputs: [x], g, node, apply }: GradientContext<LrnAttrs>): Tensor {
  const { size, alpha, beta, k } = node.attrs;
  const windowSum = (t: Tensor, transposed: boolean): Tensor => {
    const weight = channelBand(x!.shape[1]!, size, transposed);
    return apply("conv", [t], { weight, bias: null, stride: 1, pad: [0, 0, 0, 0], dilation: 1, groups: 1 });
  };
  const d = windowSum(x!.square(), false).muls(alpha / size).adds(k);
  const direct = g.mul(d.pow(-beta));
  const shared = windowSum(g.mul(x!).mul(d.pow(-beta - 1)), true);
  return direct.sub(x!.mul(shared).muls(2 * alpha * beta / size));
}

/** Normalisations of channels. */
export const CHANNEL_NORM_OPS: readonly OpDef[] = [
  defineOp<Affine>({
    name: "channel_layer_norm",
    category: "normalization",
    summary: "(x - mean) / sqrt(variance + eps) * gamma + beta over the channels of each position",
    attrs: AFFINE,
    infer([x], { gamma, beta, eps }) {
      checkEpsilon("channel_layer_norm", eps);
      checkRank("channel_layer_norm", "x", x!.shape, 4, "[N, C, 1, S]");
      if (x!.shape[2] !== 1) {
        throw new ShapeError(
          `channel_layer_norm: x has shape ${show(x!.shape)}; expected [N, C, 1, S], so axis 2 of extent 1`,
        );
      }
      checkVectors("channel_layer_norm", x!.shape, { gamma, beta });
      return { shape: x!.shape };
    },
    lower(node, spaced) {
      const out = spaced.tight();
      const { gamma, beta, eps } = node.attrs;
      const [N, C, , S] = node.shape as [number, number, number, number];
      const reduced = [N, 1, 1, S];
      const gain = out.weight("g", gamma, [1, C, 1, 1]);
      const offset = out.weight("b", beta, [1, C, 1, 1]);
      const reduction = { axes: out.list("ax", [1]), keep_dims: out.bool("kd", true) };
      const mean = out.packed("mu", "reduce_mean", { ...reduction, x: out.source(0) }, reduced);
      const centered = out.helper("xc", "sub", { x: out.source(0), y: mean });
      const squared = out.helper("sq", "mul", { x: centered, y: centered });
      const variance = out.packed("var", "reduce_mean", { ...reduction, x: squared }, reduced);
      const unit = out.helper("xn", "mul", { x: centered, y: inverseDeviation(out, variance, eps, reduced) });
      const gained = out.helper("gg", "mul", { x: unit, y: gain });
      out.result("add", { x: gained, y: offset });
    },
    gradient: ({ inputs: [x], g, node: { attrs: { gamma, eps } } }) => [
      standardizedGradient(x!, scaled(g, gamma), [1], eps),
    ],
    weights: affineWeights,
  }),
  // Sums of rows first, then of columns: at most three axes of [1, G, C/G, H W] and none longer than the device takes.
  defineOp<Affine & { groups: number }>({
    name: "group_norm",
    category: "normalization",
    summary: "(x - mean) / sqrt(variance + eps) * gamma + beta over each group of channels",
    attrs: { ...AFFINE, groups: "number of groups" },
    infer([x], { gamma, beta, eps, groups }) {
      const { shape } = x!;
      checkEpsilon("group_norm", eps);
      checkRank("group_norm", "x", shape, 4, "[1, C, H, W]");
      checkInteger("group_norm", "groups", groups, 1);
      const [N, C, H, W] = shape as [number, number, number, number];
      if (N !== 1) throw new ShapeError(`group_norm: x has shape ${show(shape)}; expected batch 1, [1, C, H, W]`);
      if (C % groups !== 0) {
        throw new ShapeError(`group_norm: ${groups} groups do not divide the ${C} channels of x ${show(shape)}`);
      }
      if (Math.max(C / groups, H * W) > MAX_EXTENT) {
        throw new ShapeError(
          `group_norm: x ${show(shape)} becomes [1, ${groups}, ${C / groups}, ${
            H * W
          }]; no axis may exceed ${MAX_EXTENT}`,
        );
      }
      checkVectors("group_norm", shape, { gamma, beta });
      return { shape };
    },
    lower(node, spaced) {
      const out = spaced.tight();
      const { gamma, beta, eps, groups } = node.attrs;
      const [, C, H, W] = node.shape as [number, number, number, number];
      const grouped = [1, groups, C / groups, H * W];
      const rows = [1, groups, C / groups, 1];
      const single = [1, groups, 1, 1];
      const gain = out.weight("g", gamma, [1, C, 1, 1]);
      const offset = out.weight("b", beta, [1, C, 1, 1]);
      const groupShape = out.list("gs", grouped);
      const ownShape = out.list("os", node.shape);
      const [columns, lines] = [out.list("a2", [2]), out.list("a3", [3])];
      const keep_dims = out.bool("kd", true);
      const xg = out.packed("xg", "reshape", { shape: groupShape, x: out.source(0) }, grouped);
      const s3 = out.packed("s3", "reduce_sum", { axes: lines, keep_dims, x: xg }, rows);
      const sum = out.packed("ss", "reduce_sum", { axes: columns, keep_dims, x: s3 }, single);
      const share = out.f16("id", 1 / (grouped[2]! * grouped[3]!));
      const mean = out.packed("mu", "mul", { x: sum, y: share }, single);
      const centered = out.packed("xc", "sub", { x: xg, y: mean }, grouped);
      const squared = out.packed("sq", "mul", { x: centered, y: centered }, grouped);
      const v3 = out.packed("v3", "reduce_sum", { axes: lines, keep_dims, x: squared }, rows);
      const vs = out.packed("vs", "reduce_sum", { axes: columns, keep_dims, x: v3 }, single);
      const variance = out.packed("var", "mul", { x: vs, y: share }, single);
      const scale = inverseDeviation(out, variance, eps, single);
      const unit = out.packed("xn", "mul", { x: centered, y: scale }, grouped);
      const image = out.helper("n4", "reshape", { shape: ownShape, x: unit });
      const gained = out.helper("gg", "mul", { x: image, y: gain });
      out.result("add", { x: gained, y: offset });
    },
    gradient({ inputs: [x], g, node: { attrs: { gamma, eps, groups }, shape } }) {
      const grouped = [1, groups, sizeOf(shape) / groups];
      const gn = scaled(g, gamma).reshape(grouped);
      return [standardizedGradient(x!.reshape(grouped), gn, [2], eps).reshape(shape)];
    },
    weights: affineWeights,
  }),
  defineOp<BatchNormAttrs>({
    name: "batch_norm",
    category: "normalization",
    summary: "(x - mean[c]) / sqrt(variance[c] + eps) * gamma[c] + beta[c] with known statistics",
    attrs: { ...AFFINE, mean: "mean [C]", variance: "variance [C]" },
    infer([x], { gamma, beta, mean, variance, eps }) {
      const { shape } = x!;
      checkEpsilon("batch_norm", eps);
      if (shape.length < 3) {
        throw new ShapeError(`batch_norm: x has shape ${show(shape)}; expected rank 3 or more, [N, C, ..]`);
      }
      checkVectors("batch_norm", shape, { gamma, beta, mean, variance });
      const negative = variance.data.findIndex((v) => !(v >= 0));
      if (negative >= 0) {
        throw new ArgumentError(
          `batch_norm: variance[${negative}] is ${variance.data[negative]}; expected numbers of at least 0`,
        );
      }
      return { shape };
    },
    lower(node, out) {
      const { gamma, beta, mean, variance, eps } = node.attrs;
      const [g, b, m, v] = [
        out.weight("g", gamma),
        out.weight("b", beta),
        out.weight("m", mean),
        out.weight("v", variance),
      ];
      out.result("batch_norm", {
        beta: b,
        epsilon: fp16Literal(eps),
        gamma: g,
        mean: m,
        variance: v,
        x: out.source(0),
      });
    },
    gradient({ g, node: { attrs: { gamma, variance, eps } } }) {
      const factors = gamma.data.map((value, c) => value / Math.sqrt(variance.data[c]! + eps));
      return [g.mul(perChannel(factors, g.rank))];
    },
    flops: ({ shape }) => 2 * sizeOf(shape),
    weights: ({ attrs: { gamma, beta, mean, variance } }) => [gamma, beta, mean, variance],
  }),
  defineOp<Affine>({
    name: "instance_norm",
    category: "normalization",
    summary: "(x - mean) / sqrt(variance + eps) * gamma + beta over each image of each channel",
    attrs: AFFINE,
    infer([x], { gamma, beta, eps }) {
      checkEpsilon("instance_norm", eps);
      checkRank("instance_norm", "x", x!.shape, 4, "[N, C, H, W]");
      checkVectors("instance_norm", x!.shape, { gamma, beta });
      return { shape: x!.shape };
    },
    lower(node, out) {
      const { gamma, beta, eps } = node.attrs;
      const [g, b] = [out.weight("g", gamma), out.weight("b", beta)];
      out.result("instance_norm", { beta: b, epsilon: fp16Literal(eps), gamma: g, x: out.source(0) });
    },
    gradient: ({ inputs: [x], g, node: { attrs: { gamma, eps } } }) => [
      standardizedGradient(x!, scaled(g, gamma), [2, 3], eps),
    ],
    weights: affineWeights,
  }),
  defineOp<LrnAttrs>({
    name: "local_response_norm",
    category: "normalization",
    summary: "x / (k + alpha / size * sum of squares over neighbouring channels)^beta",
    attrs: {
      size: "channels in a window: (size - 1) / 2 before, size / 2 behind, rounded down",
      alpha: "weight of the sum",
      beta: "exponent",
      k: "offset",
    },
    infer([x], { size, alpha, beta, k }) {
      checkRank("local_response_norm", "x", x!.shape, 4, "[N, C, H, W]");
      checkInteger("local_response_norm", "size", size, 1);
      checkNumber("local_response_norm", "alpha", alpha);
      checkNumber("local_response_norm", "beta", beta);
      checkNumber("local_response_norm", "k", k);
      return { shape: x!.shape };
    },
    lower(node, out) {
      const { size, alpha, beta, k } = node.attrs;
      const numbers = { alpha: fp16Literal(alpha), beta: fp16Literal(beta), k: fp16Literal(k) };
      out.result("local_response_norm", { ...numbers, size: out.i32("sz", size), x: out.source(0) });
    },
    gradient: (context) => [lrnGradient(context)],
  }),
];
