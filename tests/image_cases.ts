/**
 * Cases of the operations on channels and images.
 *
 * @module
 */

import { dynamicConv } from "../src/compose/convolution.ts";
import {
  affine,
  batchNorm,
  crop,
  depthToSpace,
  einsumNative,
  instanceNorm,
  localResponseNorm,
  pixelShuffle,
  pixelUnshuffle,
  resizeBilinear,
  resizeNearestNeighbor,
  spaceToDepth,
  upsampleBilinear,
} from "../src/graph/images.ts";
import type { Tensor } from "../src/graph/tensor.ts";
import { baked, CONV_ROWS, MAC, moved, numbers, type OpCase } from "./op_case.ts";
import { sizeOf } from "./reference_kernels.ts";

/** Normalisations of channels. */
export function channelNormCases(): OpCase[] {
  type Norm = (x: Tensor, gamma: Float32Array, beta: Float32Array) => Tensor;
  const norm = (op: string, shapes: readonly (readonly number[])[], f: Norm, title = ""): OpCase[] =>
    shapes.map((shape): OpCase => ({
      op,
      title: `[${shape}]${title}`,
      inputs: [{ shape }],
      build: ([x]) => f(x!, numbers(shape[1]!, 3, 0.5, 1.5), numbers(shape[1]!, 4)),
      ane: { max: 8e-3 },
      fast: { max: 2e-3 },
      gradient: sizeOf(shape) > 150 ? false : 0.04,
    }));
  const groups = (count: number, ...shapes: number[][]): OpCase[] =>
    norm("group_norm", shapes, (x, gamma, beta) => x.groupNorm(gamma, beta, count), ` in ${count} groups`);
  return [
    ...norm(
      "channel_layer_norm",
      [[1, 2, 1, 1], [2, 5, 1, 3], [1, 40, 1, 7]],
      (x, gamma, beta) => x.channelLayerNorm(gamma, beta),
    ),
    ...groups(1, [1, 2, 2, 2], [1, 3, 3, 5]),
    ...groups(2, [1, 6, 2, 4], [1, 4, 1, 3], [1, 16, 8, 8]),
    ...groups(4, [1, 4, 3, 3]),
    ...norm(
      "batch_norm",
      [[1, 1, 1], [2, 3, 4], [2, 3, 2, 2], [1, 2, 2, 1, 3]],
      (x, gamma, beta) => {
        const [mean, variance] = [numbers(gamma.length, 5), numbers(gamma.length, 6, 0.25, 2)];
        return batchNorm(x, { gamma, beta, mean, variance });
      },
    ),
    ...norm("instance_norm", [[1, 1, 2, 2], [2, 3, 3, 4], [1, 2, 1, 5], [1, 3, 16, 16]], instanceNorm),
    ...[1, 2, 3, 5, 9].map((size): OpCase => ({
      op: "local_response_norm",
      title: `[1,5,2,3] over ${size} channels`,
      inputs: [{ shape: [1, 5, 2, 3] }],
      build: ([x]) => localResponseNorm(x!, { size, alpha: 0.5, beta: 0.75, k: 1.5 }),
      ane: { rel: 3e-2, abs: 1e-3 },
      fast: { rel: 2e-3, abs: 1e-4 },
      gradient: 0.05,
    })),
  ];
}

/** Resampling, rearrangement, and products with an operation of their own. */
export function imageCases(): OpCase[] {
  const resampled = (
    op: string,
    title: string,
    shape: readonly number[],
    build: (x: Tensor) => Tensor,
    gradient: number | false = 0.01,
  ): OpCase => ({
    op,
    title,
    inputs: [{ shape }],
    build: ([x]) => build(x!),
    ane: { max: 3e-3 },
    fast: { max: 1.5e-3 },
    gradient,
  });
  const turned = [[0, -1, 0, 1, 0, 0]];
  const oblique = [[0.75, 0.25, 0.125, -0.5, 0.875, -0.25]];
  const each = [...oblique, [1, 0, 0.5, 0, 1, -1.5]];
  const sampled = (shape: readonly number[], m: readonly number[][], h: number, w: number, alignCorners: boolean) => ({
    ...resampled(
      "affine",
      `[${shape}] to ${h} x ${w}, ${alignCorners ? "corners" : "edges"}`,
      shape,
      (x) => affine(x, m, h, w, { alignCorners }),
      false,
    ),
    target: "h14",
  });
  return [
    ...[true, false].flatMap((alignCorners) => [
      resampled(
        "upsample_bilinear",
        `[1,2,3,4] by 2, ${alignCorners}`,
        [1, 2, 3, 4],
        (x) => upsampleBilinear(x, 2, { alignCorners }),
      ),
      resampled(
        "upsample_bilinear",
        `[2,1,1,5] by 3, ${alignCorners}`,
        [2, 1, 1, 5],
        (x) => upsampleBilinear(x, 3, { alignCorners }),
      ),
      ...([[3, 5, 7], [2, 2, 9], [4, 1, 1], [7, 5, 2]] as const).map(([h, height, width]) =>
        resampled(
          "resize_bilinear",
          `[1,2,${h},4] to ${height} x ${width}, ${alignCorners}`,
          [1, 2, h, 4],
          (x) => resizeBilinear(x, height, width, { alignCorners }),
        )
      ),
      sampled([1, 2, 3, 3], turned, 3, 3, alignCorners),
      sampled([2, 1, 4, 5], oblique, 3, 6, alignCorners),
      sampled([2, 1, 4, 5], each, 4, 4, alignCorners),
    ]),
    ...([[3, 4, 6, 8], [3, 4, 2, 7], [5, 1, 3, 4], [1, 1, 3, 2]] as const).map(([h, w, height, width]) =>
      moved(
        "resize_nearest_neighbor",
        `[1,2,${h},${w}] to ${height} x ${width}`,
        [[1, 2, h, w]],
        ([x]) => resizeNearestNeighbor(x!, height, width),
      )
    ),
    moved("crop", "[1,2,4,5], all sides", [[1, 2, 4, 5]], ([x]) => crop(x!, 1, 1, 2, 1)),
    moved("crop", "[2,1,3,3], nothing", [[2, 1, 3, 3]], ([x]) => crop(x!, 0, 0, 0, 0)),
    moved("crop", "[1,1,5,2], one row", [[1, 1, 5, 2]], ([x]) => crop(x!, 4, 0, 0, 1)),
    moved("pixel_shuffle", "[1,8,2,3] by 2", [[1, 8, 2, 3]], ([x]) => pixelShuffle(x!, 2)),
    moved("pixel_shuffle", "[2,9,1,2] by 3", [[2, 9, 1, 2]], ([x]) => pixelShuffle(x!, 3)),
    moved("pixel_unshuffle", "[1,2,4,6] by 2", [[1, 2, 4, 6]], ([x]) => pixelUnshuffle(x!, 2)),
    moved("pixel_unshuffle", "[2,1,3,3] by 3", [[2, 1, 3, 3]], ([x]) => pixelUnshuffle(x!, 3)),
    moved("space_to_depth", "[1,2,4,6] by 2", [[1, 2, 4, 6]], ([x]) => spaceToDepth(x!)),
    moved("space_to_depth", "[2,2,3,3] by 3", [[2, 2, 3, 3]], ([x]) => spaceToDepth(x!, 3)),
    moved("depth_to_space", "[1,8,2,3] by 2", [[1, 8, 2, 3]], ([x]) => depthToSpace(x!)),
    moved("depth_to_space", "[2,18,1,2] by 3", [[2, 18, 1, 2]], ([x]) => depthToSpace(x!, 3)),
    ...([[1, 2, 3, 4, 5], [2, 1, 1, 3, 1], [1, 3, 2, 1, 4]] as const).map(([N, C, H, W, U]): OpCase => ({
      op: "einsum",
      title: `[${[N, C, H, W]}] by [${[N, W, H, U]}]`,
      inputs: [{ shape: [N, C, H, W] }],
      build: ([x]) => einsumNative("nchw,nwhu->nchu", x!, baked([N, W, H, U])),
      ane: MAC,
      fast: MAC,
      gradient: 0.01,
    })),
    ...CONV_ROWS.filter(([x, , options]) => x[0] === 1 && !options?.bias && !options?.dilation).map((
      [x, w, options],
    ): OpCase => ({
      op: "dynamic_conv",
      title: `[${x}] by [${w}] ${JSON.stringify(options ?? {})}`,
      inputs: [{ shape: x }, { shape: w, lo: -1, hi: 1 }],
      build: ([t, weight]) => dynamicConv(t!, weight!, options),
      ane: MAC,
      fast: MAC,
      gradient: options?.stride || options?.groups || sizeOf(x) > 200 ? false : 0.01,
    })),
  ];
}
