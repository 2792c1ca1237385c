/** Operations on images: shapes, and what is refused before it reaches the device. */

import { assertEquals, assertThrows } from "@std/assert";
import { dynamicConv } from "../src/compose/convolution.ts";
import { type AneforgeError, ArgumentError, ShapeError, UnsupportedOpError } from "../src/errors.ts";
import {
  affine,
  type BatchNorm,
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
import { array, type NDArray } from "../src/graph/ndarray.ts";
import { apply, input, opOf, type Tensor } from "../src/graph/tensor.ts";

const ones = (...shape: number[]): NDArray => array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape);
const x23 = (): Tensor => input([2, 3]);
const image = (): Tensor => input([1, 4, 6, 8]);
const bn = (channels: number): BatchNorm => {
  const one = ones(channels);
  return { gamma: one, beta: one, mean: one, variance: one };
};
const WINDOW = { stride: 1, pad: [0, 0, 0, 0], dilation: 1, groups: 1 };

const SHAPES: readonly [graph: () => Tensor, shape: number[]][] = [
  [() => image().groupNorm(ones(4), ones(4), 2), [1, 4, 6, 8]],
  [() => image().groupNorm(input([1, 4, 1, 1]), input([1, 4, 1, 1]), 2), [1, 4, 6, 8]],
  [() => input([2, 3, 1, 4]).channelLayerNorm(input([1, 3, 1, 1]), input([1, 3, 1, 1])), [2, 3, 1, 4]],
  [() => batchNorm(input([2, 3, 4]), bn(3)), [2, 3, 4]],
  [() => instanceNorm(image(), ones(4), ones(4)), [1, 4, 6, 8]],
  [() => localResponseNorm(image(), { size: 9 }), [1, 4, 6, 8]],
  [() => upsampleBilinear(image()), [1, 4, 12, 16]],
  [() => resizeBilinear(image(), 1, 65536), [1, 4, 1, 65536]],
  [() => resizeNearestNeighbor(image(), 3, 4), [1, 4, 3, 4]],
  [() => affine(input([2, 1, 6, 8]), ones(2, 6), 4, 5), [2, 1, 4, 5]],
  [() => crop(image(), 5, 0, 0, 7), [1, 4, 1, 1]],
  [() => pixelShuffle(image(), 2), [1, 1, 12, 16]],
  [() => pixelUnshuffle(image(), 2), [1, 16, 3, 4]],
  [() => spaceToDepth(image()), [1, 16, 3, 4]],
  [() => depthToSpace(image()), [1, 1, 12, 16]],
  [() => einsumNative(" nchw, nwhu->nchu", image(), ones(1, 8, 6, 2)), [1, 4, 6, 2]],
  [() => dynamicConv(image(), input([6, 2, 3, 3]), { stride: 2, pad: [1, 0, 0, 1], groups: 2 }), [1, 6, 3, 4]],
  [() => image().l2Pool(3, { stride: 3, ceilMode: true }), [1, 4, 2, 3]],
  [() => x23().cumsum(1), [2, 3]],
];

Deno.test("shapes of operations on images", () => {
  for (const [graph, shape] of SHAPES) assertEquals(graph().shape, shape, graph.toString());
});

/** What is refused: the graph, the class of the error, and a part of its message. */
const REFUSED: readonly [graph: () => unknown, type: new (message?: string) => AneforgeError, message: string][] = [
  [
    () => input([1, 3, 2, 4]).channelLayerNorm(ones(3), ones(3)),
    ShapeError,
    "expected [N, C, 1, S], so axis 2 of extent 1",
  ],
  [() => input([1, 3, 1, 4]).channelLayerNorm(ones(3), ones(4)), ShapeError, "channel_layer_norm: beta has shape [4]"],
  [() => input([3, 4]).channelLayerNorm(input([1]), input([1])), ShapeError, "channel_layer_norm: x has shape [3, 4]"],
  [() => input([1, 3, 1, 4]).channelLayerNorm(ones(3), input([1, 3, 1, 1])), ArgumentError, "must both be tensors"],
  [() => image().groupNorm(ones(4), ones(4), 3), ShapeError, "group_norm: 3 groups do not divide the 4 channels"],
  [() => image().groupNorm(ones(4), ones(4), 0), ArgumentError, "group_norm: groups is 0"],
  [() => image().groupNorm(ones(4), ones(4), 2, -1), ArgumentError, "group_norm: eps is -1"],
  [() => image().groupNorm(ones(3), ones(4), 2), ShapeError, "group_norm: gamma has shape [3]"],
  [() => input([2, 4, 2, 2]).groupNorm(ones(4), ones(4), 2), ShapeError, "expected batch 1"],
  [
    () => input([1, 1, 300, 300]).groupNorm(ones(1), ones(1), 1),
    ShapeError,
    "becomes [1, 1, 1, 90000]; no axis may exceed 65536",
  ],
  [() => batchNorm(x23(), bn(3)), ShapeError, "batch_norm: x has shape [2, 3]; expected rank 3 or more"],
  [() => batchNorm(image(), bn(3)), ShapeError, "batch_norm: gamma has shape [3]; x [1, 4, 6, 8] has 4 channels"],
  [() => batchNorm(image(), { ...bn(4), variance: [1, 1, -2, 1] }), ArgumentError, "variance[2] is -2"],
  [() => instanceNorm(input([1, 4, 6]), ones(4), ones(4)), ShapeError, "instance_norm: x has shape [1, 4, 6]"],
  [() => localResponseNorm(image(), { size: 0 }), ArgumentError, "local_response_norm: size is 0"],
  [() => localResponseNorm(image(), { k: NaN }), ArgumentError, "local_response_norm: k is NaN"],
  [() => upsampleBilinear(image(), 1.5), ArgumentError, "upsample_bilinear: scale is 1.5"],
  [() => upsampleBilinear(x23()), ShapeError, "upsample_bilinear: x has shape [2, 3]; expected rank 4"],
  [() => resizeBilinear(image(), 0, 4), ArgumentError, "resize_bilinear: height is 0"],
  [() => resizeNearestNeighbor(image(), 4, -1), ArgumentError, "resize_nearest_neighbor: width is -1"],
  [() => resizeNearestNeighbor(image(), 65537, 1), ShapeError, "axis 2 of shape [1, 4, 65537, 1]"],
  [() => affine(image(), [[1, 0, 0, 0, 1]], 4, 4), ShapeError, "affine: transform has shape [1, 5]"],
  [
    () => affine(image(), ones(2, 6), 4, 4),
    ShapeError,
    "affine: transform has shape [2, 6]; x [1, 4, 6, 8] needs [1, 6]",
  ],
  [() => crop(image(), 3, 3, 0, 0), ShapeError, "leave nothing of x [1, 4, 6, 8]"],
  [() => crop(image(), -1, 0, 0, 0), ArgumentError, "crop: top is -1"],
  [() => pixelShuffle(image(), 3), ShapeError, "pixel_shuffle: blocks of 3 x 3 do not divide the 4 channels"],
  [() => pixelUnshuffle(image(), 4), ShapeError, "pixel_unshuffle: blocks of 4 x 4 do not tile the 6 x 8 pixels"],
  [() => spaceToDepth(image(), 0), ArgumentError, "space_to_depth: blockSize is 0"],
  [() => depthToSpace(x23()), ShapeError, "depth_to_space: x has shape [2, 3]"],
  [() => einsumNative("ij,jk->ik", image(), ones(1, 1, 1, 1)), ArgumentError, "the device has nchw,nwhu->nchu only"],
  [() => einsumNative("nchw,nwhu->nchu", image(), ones(1, 7, 6, 2)), ShapeError, "expected [1, 8, 6, U]"],
  [() => einsumNative("nchw,nwhu->nchu", x23(), ones(1, 7, 6, 2)), ShapeError, "einsum: x has shape [2, 3]"],
  [
    () => apply("dynamic_conv", [image(), input([2, 4, 3, 3])], { ...WINDOW, dilation: 2 }),
    UnsupportedOpError,
    "dilation is 2",
  ],
];

for (const [graph, type, message] of REFUSED) {
  Deno.test(`refused: ${graph.toString().slice(6)}`, () => void assertThrows(graph, type, message));
}

Deno.test("costs of operations on images", () => {
  const flops = (node: Tensor): number => opOf(node).flops?.(node) ?? 0;
  assertEquals(flops(dynamicConv(image(), input([6, 2, 3, 3]), { groups: 2, pad: 1 })), 2 * 6 * 6 * 8 * 2 * 9);
  assertEquals(flops(einsumNative("nchw,nwhu->nchu", image(), ones(1, 8, 6, 5))), 2 * 4 * 6 * 5 * 8);
  assertEquals(flops(batchNorm(image(), bn(4))), 2 * 4 * 6 * 8);
  const weights = (node: Tensor): number[] => (opOf(node).weights?.(node) ?? []).map(({ size }) => size);
  assertEquals(weights(batchNorm(image(), bn(4))), [4, 4, 4, 4]);
  assertEquals(weights(image().groupNorm(ones(4), ones(4), 2)), [4, 4]);
  assertEquals(weights(affine(image(), ones(1, 6), 2, 2)), [6]);
});
