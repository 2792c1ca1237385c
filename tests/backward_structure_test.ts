import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { backward, backwardFrom } from "../src/autograd/backward.ts";
import { ArgumentError, DtypeError, ShapeError, UnsupportedOpError } from "../src/errors.ts";
import { roundHalf } from "../src/graph/fp16.ts";
import { concat, conv, convTranspose, split, stack } from "../src/graph/functions.ts";
import {
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
import { apply, constant, input, parameter, type Tensor } from "../src/graph/tensor.ts";
import { topologicalOrder } from "../src/graph/topo.ts";
import { emitMil } from "../src/mil/emit.ts";
import { OPS } from "../src/ops/all.ts";

const ones = (...shape: number[]): NDArray => array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape);

const image = (): Tensor => input([2, 4, 6, 8]);
const x23 = (): Tensor => input([2, 3]);

/** Graphs by operation kind: the parameters, and a value that depends on them. */
const GRAPHS: readonly [kind: string, params: () => Tensor[], graph: (...p: Tensor[]) => Tensor][] = [
  ...[
    ..."relu relu6 silu gelu sigmoid tanh softsign softplus exp exp2 sqrt abs square erf atan sin cos log rsqrt".split(
      " ",
    ),
    "inverse",
    "elu",
    "leaky_relu",
    "threshold",
    "thresholded_relu",
    "scaled_tanh",
    "clamped_relu",
    "sigmoid_hard",
    "linear_activation",
  ].map((kind): [string, () => Tensor[], (x: Tensor) => Tensor] => [
    kind,
    () => [x23()],
    (x) => apply(kind, [x], { alpha: 0.5, beta: 0.25, eps: 0 }),
  ]),
  ["clip", () => [x23()], (x) => x.clip(-1, 1)],
  ["prelu", () => [image()], (x) => x.prelu([1, 2, 3, 4])],
  ["adds", () => [x23()], (x) => x.adds(1)],
  ["muls", () => [x23()], (x) => x.muls(2)],
  ...["add", "sub", "mul", "real_div", "pow", "maximum", "minimum"].map(
    (kind): [string, () => Tensor[], (a: Tensor, b: Tensor) => Tensor] => [
      kind,
      () => [input([4, 1, 3]), input([2, 1])],
      (a, b) => apply(kind, [a, b]),
    ],
  ),
  ["select", () => [x23(), input([3])], (a, b) => a.greater(b).select(a, b)],
  ["cast", () => [x23()], (x) => x.cast()],
  ["matmul", () => [input([4, 2, 3])], (x) => x.linear(ones(5, 3), [1, 2, 3, 4, 5])],
  ["bmm", () => [input([1, 2, 3]), input([4, 3, 5])], (a, b) => a.bmm(b)],
  ["bmm_w", () => [input([1, 2, 3])], (x) => x.bmmWeight(ones(4, 3, 5))],
  ...[
    ..."reduce_sum reduce_mean reduce_max reduce_min reduce_l1_norm reduce_log_sum reduce_sum_square".split(" "),
    "reduce_log_sum_exp",
  ].map((kind): [string, () => Tensor[], (x: Tensor) => Tensor] => [
    kind,
    () => [input([2, 3, 4])],
    (x) => apply(kind, [x], { axes: [0, -1] }),
  ]),
  ["softmax", () => [x23()], (x) => x.softmax(0)],
  ["l2_norm", () => [x23()], (x) => x.l2Norm(0)],
  ["rms_norm", () => [x23()], (x) => x.rmsNorm([1, 2, 3])],
  ["layer_norm", () => [x23()], (x) => x.layerNorm([1, 2, 3], [1, 2, 3])],
  ["channel_layer_norm", () => [input([2, 3, 1, 4])], (x) => x.channelLayerNorm([1, 2, 3], [1, 2, 3])],
  ["group_norm", () => [input([1, 4, 6, 8])], (x) => x.groupNorm(ones(4), ones(4), 2)],
  ["batch_norm", () => [image()], (x) => {
    const v = [1, 2, 3, 4];
    return batchNorm(x, { gamma: v, beta: v, mean: v, variance: v });
  }],
  ["instance_norm", () => [image()], (x) => instanceNorm(x, [1, 2, 3, 4], ones(4))],
  ["local_response_norm", () => [image()], (x) => localResponseNorm(x, { size: 3 })],
  ["einsum", () => [image()], (x) => einsumNative("nchw,nwhu->nchu", x, ones(2, 8, 6, 3))],
  ["upsample_bilinear", () => [image()], (x) => upsampleBilinear(x)],
  ["resize_nearest_neighbor", () => [image()], (x) => resizeNearestNeighbor(x, 5, 9)],
  ["resize_bilinear", () => [image()], (x) => resizeBilinear(x, 5, 9)],
  ["crop", () => [image()], (x) => crop(x, 1, 0, 2, 3)],
  ["pixel_shuffle", () => [image()], (x) => pixelShuffle(x, 2)],
  ["pixel_unshuffle", () => [image()], (x) => pixelUnshuffle(x, 2)],
  ["space_to_depth", () => [image()], (x) => spaceToDepth(x)],
  ["depth_to_space", () => [image()], (x) => depthToSpace(x)],
  ["conv", () => [image()], (x) => conv(x, ones(6, 2, 3, 2), { groups: 2, stride: 3, pad: [0, 1, 2, 0] })],
  [
    "dynamic_conv",
    () => [input([1, 2, 5, 6]), input([3, 2, 3, 2])],
    (x, w) => apply("dynamic_conv", [x, w], { stride: 1, pad: [1, 0, 0, 1], dilation: 1, groups: 1 }),
  ],
  [
    "conv_transpose",
    () => [image()],
    (x) => convTranspose(x, ones(4, 3, 3, 2), { stride: 2, pad: 1, bias: [1, 2, 3] }),
  ],
  ["max_pool", () => [image()], (x) => x.maxPool(4)],
  ["avg_pool", () => [image()], (x) => x.avgPool(4)],
  ["upsample", () => [image()], (x) => x.upsample(3)],
  ["reshape", () => [x23()], (x) => x.reshape(6)],
  ["transpose", () => [input([2, 3, 4])], (x) => x.transpose(1, 2, 0)],
  ["squeeze", () => [input([1, 3])], (x) => x.squeeze(0)],
  ["expand_dims", () => [x23()], (x) => x.expandDims(1)],
  ["flatten2d", () => [input([2, 3, 4])], (x) => x.flatten2d(2)],
  ["slice_by_size", () => [input([4, 5, 6])], (x) => x.slice([1, 2], null, [2, 5])],
  ["reverse", () => [x23()], (x) => x.reverse([0, 1])],
  ["tile", () => [input([2, 1, 2, 3, 2])], (x) => x.tile([2, 3, 1, 2, 4])],
  ["concat", () => [x23(), input([2, 4])], (a, b) => concat([a, b, a])],
  ["stack", () => [x23(), x23()], (a, b) => stack([a, b, a], 1)],
  ["split", () => [input([2, 6])], (x) => split(x, 3, 1)[1]!],
];

for (const [kind, params, graph] of GRAPHS) {
  Deno.test(`gradient of ${kind} has the operands' shapes and compiles`, () => {
    const operands = params();
    const root = graph(...operands);
    assertStrictEquals(root.op, kind);
    const gradients = backward(root.mul(root).sum(), operands);
    assertEquals([...gradients.keys()], operands);
    for (const [param, gradient] of gradients) assertEquals(gradient.shape, param.shape);
    for (const node of topologicalOrder([...gradients.values()])) {
      const factor = node.op === "muls" ? roundHalf(node.attrs.k as number) : 1;
      assertEquals(factor === 0, false, "a product with zero does not compile behind a reduction");
    }
    const program = emitMil([...gradients.values()], { family: 5 });
    assertEquals(program.outputs.length, operands.length);
  });
}

Deno.test("every operation with a gradient is in the list above", () => {
  const covered = new Set(GRAPHS.map(([kind]) => kind));
  const missing = [...OPS.values()].filter((op) => op.gradient !== undefined && !covered.has(op.name));
  assertEquals(missing.map(({ name }) => name), []);
});

/** Operation kinds of a graph in evaluation order, without inputs. */
const kinds = (root: Tensor): string[] =>
  topologicalOrder([root]).filter(({ op }) => op !== "input").map(({ op }) => op);

Deno.test("constants are a difference plus a number, and relu gates with select", () => {
  const x = x23();
  const g = x23();
  const gradient = backwardFrom(g, x.relu(), [x]).get(x)!;
  assertEquals(kinds(gradient), ["sub", "greater", "select"]);
  const loss = x.mean();
  assertEquals(kinds(backward(loss, [x]).get(x)!), ["sub", "adds", "reduce_mean", "sub", "adds", "mul"]);
  const nodes = topologicalOrder([backward(loss, [x], { lossScale: 1024 }).get(x)!]);
  assertEquals(nodes.filter(({ op }) => op === "adds").map(({ attrs }) => attrs.k), [1 / 6, 1024]);
});

Deno.test("a computed kernel is differentiated where the device can", () => {
  const [x, w] = [input([1, 2, 5, 6]), input([2, 2, 3, 3])];
  for (const rest of [{ stride: 2 }, { groups: 2 }, { pad: [3, 0, 0, 0] }]) {
    const kernel = "groups" in rest ? input([2, 1, 3, 3]) : w;
    const y = apply("dynamic_conv", [x, kernel], { stride: 1, pad: [0, 0, 0, 0], dilation: 1, groups: 1, ...rest });
    assertThrows(
      () => backward(y.sum(), [x]),
      UnsupportedOpError,
      "dynamic_conv: the gradient exists only for stride 1",
    );
  }
});

Deno.test("contributions add up in the order they arrive", () => {
  const x = x23();
  const g = x23();
  const gradient = backwardFrom(g, x.muls(2).add(x.muls(3)), [x]).get(x)!;
  assertEquals(gradient.op, "add");
  assertEquals(gradient.inputs.map(({ attrs }) => attrs.k), [2, 3]);
  assertStrictEquals(backwardFrom(g, x, [x]).get(x), g);
  assertStrictEquals(backwardFrom(g, x.adds(1), [x]).get(x), g);
  const twice = backwardFrom(g, x.add(x), [x]).get(x)!;
  assertEquals(twice.inputs, [g, g]);
});

Deno.test("gradients stop at parameters that are computed, and at stop tensors", () => {
  const w = parameter([[1, 2, 3]]);
  const g = input([1, 3]);
  const updated = w.sub(w.square());
  const loss = updated.muls(3);
  assertEquals(kinds(backwardFrom(g, loss, [updated]).get(updated)!), ["muls"]);
  assertThrows(() => backwardFrom(g, loss, [w], { stop: [updated] }), ArgumentError, "does not depend on parameter 0");
  assertEquals(backwardFrom(g, loss, [updated, w], { stop: [] }).size, 2);
  // A parameter behind another one gets nothing by default: both are leaves.
  assertThrows(() => backwardFrom(g, loss, [updated, w]), ArgumentError, "parameter 1");
});

Deno.test("operations without a gradient matter only on the way to a parameter", () => {
  const x = x23();
  const w = parameter(ones(2, 3), { name: "w" });
  const loss = x.floor().mul(w).sum();
  assertEquals(backward(loss, [w]).get(w)!.shape, [2, 3]);
  for (const kind of ["floor", "ceil", "round", "sign"] as const) {
    assertThrows(
      () => backward(w[kind]().sum(), [w]),
      UnsupportedOpError,
      `backward: ${kind} [2, 3] has no gradient: it is`,
    );
  }
  const gated = w.greater(x).select(x, 0).sum();
  assertThrows(
    () => backward(gated, [w]),
    ArgumentError,
    'does not depend on parameter 0 "w", Tensor input fp16 [2, 3]',
  );
  assertThrows(() => backward(loss, [x]), UnsupportedOpError, "floor");
  const [a] = [parameter([1])];
  assertThrows(() => backward(w.sum(), [w, a!]), ArgumentError, "does not depend on parameter 1");
});

Deno.test("the shift of logSoftmax is a constant to backward", () => {
  const x = x23();
  const nodes = kinds(backward(x.logSoftmax().sum(), [x]).get(x)!);
  assertEquals(nodes.filter((kind) => kind === "reduce_max").length, 1);
  assertEquals(nodes.includes("equal"), false);
});

Deno.test("nothing is built for operands nobody asked about", () => {
  const x = x23();
  const gradient = backward(x.pow(3).sum(), [x]).get(x)!;
  const nodes = topologicalOrder([gradient]);
  assertEquals(nodes.some(({ op }) => op === "log"), false);
  // The lowered exponent is baked.
  assertEquals(nodes.filter(({ op }) => op === "const_array").map(({ attrs }) => (attrs.value as NDArray).item()), [
    2,
    3,
  ]);
  const norm = backward(x.rmsNorm(ones(3)).sum(), [x]).get(x)!;
  assertEquals(topologicalOrder([norm]).some(({ op }) => op === "const_array"), false);
});

Deno.test("a window's gradient is put back with zeros cut at the first element", () => {
  const x = input([4, 6]);
  const g = input([2, 3]);
  const gradient = backwardFrom(g, x.sliceBySize([1, 2], [2, 3]), [x]).get(x)!;
  const nodes = topologicalOrder([gradient]);
  const cuts = nodes.filter(({ op }) => op === "slice_by_size");
  assertEquals(cuts.every(({ attrs }) => (attrs.begin as number[]).every((at) => at === 0)), true);
  assertEquals(cuts.map(({ shape }) => shape).sort(), [[1, 3], [1, 3], [4, 1], [4, 2]]);
  assertEquals(nodes.filter(({ op }) => op === "concat").map(({ shape }) => shape), [[4, 3], [4, 6]]);
  const whole = backwardFrom(x, x.sliceBySize([0, 0], [4, 6]), [x]).get(x)!;
  assertStrictEquals(whole, x);
});

Deno.test("the gradient of a strided convolution covers the rows and columns behind the last window", () => {
  const x = input([1, 1, 8, 9]);
  const g = input([1, 1, 3, 3]);
  // Rows: 2 * 3 + 1 of 8 are covered. Columns: 2 * 3 + 2 of 9 and 1 of padding, so one of x is not.
  const y = conv(x, ones(1, 1, 1, 2), { stride: 3, pad: [0, 0, 0, 1] });
  assertEquals(y.shape, [1, 1, 3, 3]);
  const gradient = backwardFrom(g, y, [x]).get(x)!;
  const spread = topologicalOrder([gradient]).find(({ op }) => op === "conv_transpose")!;
  assertEquals(spread.attrs.pad, [0, 0, 0, 0]);
  assertEquals(spread.shape, [1, 1, 7, 8]);
  assertEquals(gradient.shape, [1, 1, 8, 9]);
  const exact = conv(x, ones(1, 1, 2, 3), { stride: 3 });
  assertEquals(backwardFrom(g, exact, [x]).get(x)!.op, "conv_transpose");
});

Deno.test("pooling that overlaps, is padded or reaches out has no gradient", () => {
  const x = image();
  for (
    const y of [
      x.maxPool(3, { stride: 2 }),
      x.avgPool(2, { pad: 1 }),
      x.maxPool(4, { ceilMode: true }),
      x.avgPool(2, { stride: 3 }),
    ]
  ) assertThrows(() => backward(y.sum(), [x]), UnsupportedOpError, `${y.op}: the gradient exists only for windows`);
  assertEquals(backward(x.maxPool(2, { ceilMode: true }).sum(), [x]).get(x)!.shape, x.shape);
});

Deno.test("the start is checked", () => {
  const x = x23();
  const y = x.relu();
  assertThrows(() => backward(x.greater(0), [x]), DtypeError, "backward: greater [2, 3] is bool");
  assertThrows(() => backward(5 as unknown as Tensor, [x]), ArgumentError, "not a Tensor");
  for (const lossScale of [0, NaN, Infinity, 65536, "1" as unknown as number]) {
    assertThrows(() => backward(y, [x], { lossScale }), ArgumentError, `lossScale is ${lossScale}`);
  }
  assertEquals(backward(y, [x], { lossScale: -65504 }).size, 1);
  assertThrows(() => backwardFrom(input([3]), y, [x]), ShapeError, "the gradient has shape [3], the root [2, 3]");
  assertThrows(() => backward(constant(1), [x]), ArgumentError, "does not depend on parameter 0");
  assertEquals(backward(y, []).size, 0);
});

Deno.test("scalars are differentiated like everything else", () => {
  const x = parameter(2);
  const loss = x.mul(x23()).sum(undefined, { keepDims: false });
  assertEquals(loss.shape, []);
  assertEquals(backward(loss, [x]).get(x)!.shape, []);
});

Deno.test("a chain of 10,000 operations does not exhaust the stack", () => {
  const x = x23();
  let y = x;
  for (let i = 0; i < 10_000; i++) y = y.tanh();
  const start = performance.now();
  const gradient = backward(y.sum(), [x]).get(x)!;
  const program = emitMil([gradient]);
  assertEquals(program.opCount > 50_000, true);
  const elapsed = performance.now() - start;
  assertEquals(elapsed < 10_000, true, `took ${elapsed} ms`);
});
