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
import { causalMask, causalSoftmax, softmaxNd, thresholdSoftmax } from "../src/compose/softmax.ts";
import { ArgumentError, ShapeError, UnsupportedOpError } from "../src/errors.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { topologicalOrder } from "../src/graph/topo.ts";
import { Random } from "../src/random.ts";
import { silence } from "../src/warnings.ts";
import { draw, numbers } from "./op_case.ts";
import { evaluate } from "./reference.ts";
import { head, k4, linear, MHA, NORM, q4, ref, type Row, ROWS, w } from "./compose_rows.ts";
import { arr, sizeOf } from "./reference_kernels.ts";

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
  using net = compile(y);
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

Deno.test("softmaxNd over more elements than fp16 can count stays finite", () => {
  using net = compile(softmaxNd(input([1, 300, 300]), [1, 2]));
  const y = net.run(new Float32Array(90_000)).data;
  for (const v of y) assert(Math.abs(v * 90_000 - 1) < 0.02, `${v}`);
});
