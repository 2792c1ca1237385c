/** The references themselves, against values worked out elsewhere. */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import * as k from "./reference_kernels.ts";
import { arr } from "./reference_kernels.ts";
import { lossAndGradient } from "./reference_training.ts";

const iota = (shape: number[]): k.Arr => arr(shape, Array.from({ length: k.sizeOf(shape) }, (_, i) => i));
const close = (a: ArrayLike<number>, b: readonly number[], tolerance = 1e-12): void => {
  assertEquals(a.length, b.length);
  b.forEach((v, i) => assertAlmostEquals(a[i]!, v, tolerance));
};

Deno.test("erf: published values, odd, both branches", () => {
  const table = [
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [
      2.9,
      0.9999589021219005,
    ],
    [3.1, 0.9999883513426328],
    [4, 0.9999999845827421],
  ];
  for (const [x, y] of table as [number, number][]) {
    assertAlmostEquals(k.erf(x), y, 1e-13);
    assertAlmostEquals(k.erf(-x), -y, 1e-13);
  }
  assertEquals([k.erf(0), k.erf(9), k.erf(-Infinity)], [0, 1, -1]);
});

Deno.test("bilinear grids: 2 -> 5", () => {
  const x = arr([1, 1, 1, 2], [0, 1]);
  const width = (grid: k.Grid): Float64Array => k.bilinear(x, 1, 5, grid).data;
  close(width(k.GRIDS.asymmetric), [0, 0.4, 0.8, 1, 1]);
  close(width(k.GRIDS.alignCorners), [0, 0.25, 0.5, 0.75, 1]);
  close(width(k.GRIDS.halfPixel), [0, 0.1, 0.5, 0.9, 1]);
  close(k.bilinear(arr([1, 1, 1, 3], [1, 2, 4]), 1, 1, k.GRIDS.alignCorners).data, [2]);
});

Deno.test("convolution: the published direct vector, and its transpose as its adjoint", () => {
  let s = 12345;
  const draw = (n: number, scale: number): Float64Array =>
    Float64Array.from({ length: n }, () => {
      s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
      return Math.f16round(((s >>> 8) / 2 ** 24 * 2 - 1) * scale);
    });
  const x = arr([1, 2, 4, 6], draw(48, 1)), w = arr([3, 2, 3, 3], draw(54, 0.5));
  const geometry: k.Window = { stride: [1, 1], pad: [1, 1, 1, 1], dilation: [1, 1], groups: 1 };
  const y = k.conv(x, w, geometry);
  const words =
    "b77d b431 31e8 b7ce 2c51 3844 bbf6 32c1 b633 b979 3cfe b978 ba55 a876 bcc3 a9c3 3bba a8ca 3bdd b10b 35ad " +
    "359d 36bb 37a0";
  const published = new Float16Array(Uint16Array.from(words.split(" "), (word) => parseInt(word, 16)).buffer);
  published.forEach((v, i) => assertAlmostEquals(y.data[i]!, v, 1e-3));
  for (
    const window of [geometry, { ...geometry, stride: [2, 1], dilation: [1, 2], pad: [0, 1, 1, 1] }] as k.Window[]
  ) {
    const out = k.conv(x, w, window);
    const g = arr(out.shape, draw(out.data.length, 1));
    // a stride can leave rows at the end that no window reaches; the transposed form does not make them
    const back = k.convTranspose(g, w, window);
    const left = out.data.reduce((sum, v, i) => sum + v * g.data[i]!, 0);
    const right = k.total([...k.build(back.shape, (i) => k.at(back, i) * k.at(x, i)).data]);
    if (back.shape.every((d, a) => d <= x.shape[a]!)) assertAlmostEquals(left, right, 1e-9);
  }
});

Deno.test("rearrangements: hand-worked orders, and inverses", () => {
  const x = iota([1, 4, 1, 2]);
  close(k.pixelShuffle(x, 2).data, [0, 2, 1, 3, 4, 6, 5, 7]);
  close(k.depthToSpace(x, 2).data, [0, 2, 1, 3, 4, 6, 5, 7]);
  const wide = iota([2, 8, 2, 3]);
  const order = k.pixelShuffle(wide, 2).data;
  assert(order.some((v, i) => v !== k.depthToSpace(wide, 2).data[i]), "channel-major and block-major differ");
  close(k.pixelUnshuffle(k.pixelShuffle(wide, 2), 2).data, [...wide.data]);
  close(k.spaceToDepth(k.depthToSpace(wide, 2), 2).data, [...wide.data]);
  const image = iota([2, 1, 4, 6]);
  const blocks = k.spaceToBatch(image, 2, 3);
  assertEquals(blocks.shape, [12, 1, 2, 2]);
  close(blocks.data.subarray(4, 8), [1, 4, 13, 16]);
  close(k.batchToSpace(blocks, 2, 3).data, [...image.data]);
  close(k.transpose(iota([2, 3]), [1, 0]).data, [0, 3, 1, 4, 2, 5]);
  close(k.concat([iota([1, 2]), iota([1, 1])], 1).data, [0, 1, 0]);
});

Deno.test("norms, pooling and the affine grid: small cases by hand", () => {
  close(k.softmax(arr([1, 2], [0, Math.log(3)]), 1).data, [0.25, 0.75]);
  close(k.standardize(arr([1, 2], [1, 3]), [1], 0).data, [-1, 1]);
  close(k.localResponseNorm(arr([1, 3, 1, 1], [1, 2, 3]), 3, 0.5, 1, 1).data, [1 / 3.5, 2 / 8, 3 / 7.5]);
  close(k.pool(iota([1, 1, 3, 3]), [1, 1, 2, 2], 2, 2, 1, (cells, area) => k.total(cells) / area).data, [
    0,
    0.75,
    2.25,
    6,
  ]);
  const identity = arr([1, 6], [1, 0, 0, 0, 1, 0]);
  for (const corners of [true, false]) {
    close(k.affine(iota([1, 1, 2, 3]), identity, 2, 3, corners).data, [0, 1, 2, 3, 4, 5]);
  }
  const shifted = arr([1, 6], [1, 0, 1, 0, 1, 0]);
  close(k.affine(iota([1, 1, 1, 3]), shifted, 1, 3, true).data, [1, 2, 0]);
  close(k.matmul(iota([2, 1, 2]), iota([2, 2])).data, [2, 3, 6, 11]);
});

Deno.test("the training twin's gradient is the difference quotient of its loss", () => {
  const wave = (n: number, phase: number): Float64Array =>
    Float64Array.from({ length: n }, (_, i) => Math.sin(i * 1.7 + phase));
  const weights = { W1: wave(12, 1), b1: wave(4, 2), W2: wave(8, 3), b2: wave(2, 4) };
  const x = wave(9, 5), target = Float64Array.of(1, 0, 0, 1, 0.5, 0.5);
  const { gradient } = lossAndGradient(weights, x, target);
  for (const name of ["W1", "b1", "W2", "b2"] as const) {
    gradient[name].forEach((g, i) => {
      const at = (v: number): number =>
        lossAndGradient({ ...weights, [name]: weights[name].with(i, v) }, x, target).loss;
      const h = 1e-5, w = weights[name][i]!;
      assertAlmostEquals(g, (at(w + h) - at(w - h)) / (2 * h), 1e-8);
    });
  }
});
