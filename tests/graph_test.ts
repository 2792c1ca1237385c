import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { type AneforgeError, ArgumentError, DtypeError, ShapeError, UnsupportedOpError } from "../src/errors.ts";
import { float32ForHalf, fromHalfBits, halfBytes, hexFloat, roundHalf, toHalfBits } from "../src/graph/fp16.ts";
import {
  concat,
  conv,
  convTranspose,
  imageInput,
  maximum,
  minimum,
  select,
  split,
  stack,
  where,
} from "../src/graph/functions.ts";
import { convKernelWidth, FLOOR_FAMILY } from "../src/graph/limits.ts";
import { array, NDArray, type TensorData, transposeLast } from "../src/graph/ndarray.ts";
import { apply, constant, input, opOf, parameter, type Tensor } from "../src/graph/tensor.ts";
import { topologicalOrder } from "../src/graph/topo.ts";
import { OPS } from "../src/ops/all.ts";

const ones = (...shape: number[]): NDArray => array(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape);

/** Value of half bits from the format's definition. */
function decodeHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}

Deno.test("all 65536 fp16 patterns convert both ways", () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = decodeHalf(bits);
    assertStrictEquals(fromHalfBits(bits), value);
    if (Number.isNaN(value)) assertEquals(toHalfBits(value) & 0x7fff, 0x7e00);
    else assertStrictEquals(toHalfBits(value), bits);
  }
});

Deno.test("halfway cases round to even, all others to the nearest", () => {
  for (let bits = 0; bits < 0x7c00; bits++) {
    const low = decodeHalf(bits);
    const high = bits === 0x7bff ? 65536 : decodeHalf(bits + 1);
    const middle = (low + high) / 2;
    const even = bits % 2 === 0 ? bits : bits + 1;
    const step = (high - low) * 2 ** -20;
    for (const sign of [0, 0x8000]) {
      const s = sign ? -1 : 1;
      assertStrictEquals(toHalfBits(s * middle), sign | even);
      assertStrictEquals(toHalfBits(s * (middle - step)), sign | bits);
      assertStrictEquals(toHalfBits(s * (middle + step)), sign | (bits + 1));
      // The detour through float32 must not change where a double goes.
      for (const value of [middle - step, middle, middle + step, low + step]) {
        assertStrictEquals(toHalfBits(float32ForHalf(s * value)), toHalfBits(s * value));
      }
    }
  }
  assertStrictEquals(roundHalf(65520), Infinity);
  assertStrictEquals(roundHalf(65519.999), 65504);
  assertStrictEquals(float32ForHalf(Infinity), Infinity);
  assertStrictEquals(float32ForHalf(NaN), NaN);
  assertStrictEquals(float32ForHalf(1e300), Infinity);
  assertStrictEquals(float32ForHalf(-0), -0);
});

Deno.test("bytes are little endian and the spelling of every pattern reads back", () => {
  assertEquals([...halfBytes([1, -2])], [0x00, 0x3c, 0x00, 0xc0]);
  for (let bits = 0; bits < 65536; bits++) {
    const value = decodeHalf(bits);
    const text = hexFloat(value);
    if (!Number.isFinite(value)) {
      assertEquals(text, Number.isNaN(value) ? "nan" : value > 0 ? "inf" : "-inf");
      continue;
    }
    const [, sign, whole, digits, exponent] = text.match(/^(-?)0x([01])\.([0-9a-f]+)p([+-]\d+)$/)!;
    const fraction = parseInt(digits!, 16) / 16 ** digits!.length;
    assertStrictEquals((sign ? -1 : 1) * (Number(whole) + fraction) * 2 ** Number(exponent), value);
    assertEquals(digits!.length, value === 0 ? 1 : 13);
  }
});

Deno.test("arrays are read from nested lists, typed arrays and arrays", () => {
  const nested = array([[1, 2, 3], [4, 5, 6]]);
  assertEquals(nested.shape, [2, 3]);
  assertEquals(nested.rank, 2);
  assertEquals(nested.size, 6);
  assertEquals(nested.at(1, -1), 6);
  assertEquals(nested.toNested(), [[1, 2, 3], [4, 5, 6]]);
  assertEquals(array(7).shape, []);
  assertEquals(array(7).item(), 7);
  assertEquals(array([]).shape, [0]);
  assertEquals(array([[], []]).shape, [2, 0]);
  assertEquals(array([[[5]]]).item(), 5);
  for (
    const typed of [
      new Float16Array([1, 2]),
      new Float64Array([1, 2]),
      new Int8Array([1, 2]),
      new Uint8Array([1, 2]),
      new Uint8ClampedArray([1, 2]),
      new Int16Array([1, 2]),
      new Uint16Array([1, 2]),
      new Int32Array([1, 2]),
      new Uint32Array([1, 2]),
    ]
  ) assertEquals(array(typed).toNested(), [1, 2]);
  const own = new Float32Array([1, 2, 3, 4]);
  assertStrictEquals(new NDArray(own, [2, 2]).data, own);
  assertEquals(array(own).data === own, false);
  assertStrictEquals(array(nested), nested);
  assertStrictEquals(array(nested, [3, 2]).data, nested.data);
  assertEquals(transposeLast(array([[[1, 2, 3], [4, 5, 6]]])).toNested(), [[[1, 4], [2, 5], [3, 6]]]);
  assertEquals(String(nested), "NDArray [2, 3] [[1, 2, 3], [4, 5, 6]]");
  assertEquals(String(array(0.1)), "NDArray [] 0.1");
  assertEquals(
    String(array(Float32Array.from({ length: 20 }, (_, i) => i))),
    "NDArray [20] [0, 1, 2, ..., 17, 18, 19]",
  );
});

Deno.test("arrays refuse what does not fit", () => {
  const bad = (data: unknown) => data as TensorData;
  assertThrows(() => array([[1, 2], [3]]), ShapeError, "ragged");
  assertThrows(() => array([1, [2]]), ShapeError, "ragged");
  assertThrows(() => array([[1], 2]), ShapeError, "ragged");
  assertThrows(() => array(bad(["1"])), DtypeError, "element 0 is a string");
  assertThrows(() => array(bad(null)), DtypeError, "element 0 is null");
  assertThrows(() => array(bad([undefined])), DtypeError, "undefined");
  assertThrows(() => array(bad(new BigInt64Array(2))), DtypeError, "BigInt64Array");
  assertThrows(() => array([1, 2, 3], [2, 2]), ShapeError, "3 elements do not fill shape [2, 2], which holds 4");
  assertThrows(() => array([1, 2], [-2, -1]), ShapeError, "integers of at least 0");
  assertThrows(() => new NDArray([1] as unknown as Float32Array, [1]), DtypeError, "a Array");
  assertThrows(() => array([1, 2]).item(), ShapeError, "2 elements; expected exactly 1");
  assertThrows(() => array([1, 2]).at(2), ShapeError, "index 2 is out of range on axis 0");
  assertThrows(() => array([1, 2]).at(0, 0), ShapeError, "2 indices given");
});

Deno.test("nodes know their operation, operands and shape", () => {
  const x = input([2, 3], { name: "x", maxAbs: 4 });
  assertEquals([x.op, x.shape, x.dtype, x.rank, x.size], ["input", [2, 3], "fp16", 2, 6]);
  assertEquals([x.attrs.name, x.attrs.maxAbs], ["x", 4]);
  const y = x.relu();
  assertEquals(y.inputs, [x]);
  assertEquals(y.id > x.id, true);
  assertEquals(String(y), "Tensor relu fp16 [2, 3]");
  assertEquals(Deno.inspect(y), "Tensor relu fp16 [2, 3]");
  assertEquals(opOf(y).category, "unary");
  const init = new Float32Array([1, 2]);
  const w = parameter(init, { name: "w" });
  assertEquals([w.op, w.shape, w.attrs.trainable, w.attrs.name], ["input", [2], true, "w"]);
  (w.attrs.value as Float32Array)[0] = 5;
  assertEquals(init[0], 1);
  assertEquals(parameter(3).shape, []);
  assertEquals(constant([[1, 2]]).shape, [1, 2]);
});

const x23 = (): Tensor => input([2, 3]);
const image = (): Tensor => input([1, 4, 6, 8]);

/** Shapes a graph gives: what it is, the graph, the extents. */
const SHAPES: readonly [string, () => Tensor, number[]][] = [
  ["broadcast", () => x23().add(input([3])), [2, 3]],
  ["broadcast both", () => input([2, 1]).mul(input([5, 1, 3])), [5, 2, 3]],
  ["broadcast with a scalar", () => x23().sub(constant(1)), [2, 3]],
  ["broadcast with numbers", () => x23().div([[1], [2]]), [2, 3]],
  ["scalar result", () => constant(1).add(2), []],
  ["pow", () => x23().pow(2), [2, 3]],
  ["maximum", () => maximum(x23(), 0), [2, 3]],
  ["minimum", () => minimum(x23(), input([4, 1, 1])), [4, 2, 3]],
  ["select broadcasts the condition", () => select(x23().greater(0), constant(1), constant(0)), [2, 3]],
  ["where", () => where(input([3]).less(0), x23(), 0), [2, 3]],
  ["neg", () => x23().neg(), [2, 3]],
  ["prelu with a tensor", () => image().prelu(input([1, 4, 1, 1])), [1, 4, 6, 8]],
  ["matmul", () => input([5, 2, 3]).matmul(ones(3, 7)), [5, 2, 7]],
  ["matmul of a vector", () => input([3]).matmul(ones(3, 7)), [7]],
  ["linear", () => x23().linear(ones(7, 3), [1, 2, 3, 4, 5, 6, 7]), [2, 7]],
  ["bmm", () => input([4, 2, 3]).matmul(input([4, 3, 5])), [4, 2, 5]],
  ["bmm broadcasts to the right", () => input([1, 2, 3]).bmm(input([4, 3, 5])), [4, 2, 5]],
  ["bmm broadcasts to the left", () => input([6, 1, 2, 3]).bmm(input([4, 3, 5])), [6, 4, 2, 5]],
  ["bmmWeight", () => input([4, 2, 3]).bmmWeight(ones(4, 3, 5)), [4, 2, 5]],
  ["sum over all", () => x23().sum(), [1, 1]],
  ["sum without dims", () => x23().sum(undefined, { keepDims: false }), []],
  ["sum of a scalar", () => x23().sum(undefined, { keepDims: false }).sum(), []],
  ["mean", () => input([2, 3, 4]).mean([0, -1]), [1, 3, 1]],
  ["mean without dims", () => input([2, 3, 4]).mean([0, -1], { keepDims: false }), [3]],
  ["logSoftmax", () => x23().logSoftmax(0), [2, 3]],
  ["l2Norm", () => input([2, 3, 4]).l2Norm(0), [2, 3, 4]],
  ["rmsNorm with a tensor", () => x23().rmsNorm(input([3])), [2, 3]],
  ["layerNorm with tensors", () => x23().layerNorm(input([1, 3]), input([1, 3])), [2, 3]],
  ["reshape", () => x23().reshape(-1, 2), [3, 2]],
  ["reshape list", () => x23().reshape([6]), [6]],
  ["reshape to rank 0", () => input([1, 1]).reshape([]), []],
  ["transpose", () => input([2, 3, 4]).transpose(-1, 0, 1), [4, 2, 3]],
  ["squeeze", () => input([1, 2, 1]).squeeze([0, -1]), [2]],
  ["expandDims", () => x23().expandDims([1, -1]), [2, 1, 3, 1]],
  ["flatten2d", () => input([2, 3, 4]).flatten2d(), [2, 12]],
  ["flatten2d from 0", () => input([2, 3, 4]).flatten2d(0), [1, 24]],
  ["slice", () => input([4, 6]).slice([1, 3], [null, -2]), [2, 4]],
  ["slice of one index", () => input([4, 6]).slice(-1), [1, 6]],
  ["slice open end", () => input([4, 6]).slice(null, [4]), [4, 2]],
  ["tile", () => x23().tile([2, 4]), [4, 12]],
  ["concat", () => concat([x23(), input([2, 5])], -1), [2, 8]],
  ["stack", () => stack([x23(), x23()]), [2, 2, 3]],
  ["stack at the end", () => stack([x23(), x23()], -1), [2, 3, 2]],
  ["split", () => split(input([4, 6]), 3, -1)[2]!, [4, 2]],
  ["conv", () => conv(image(), ones(5, 4, 3, 3)), [1, 5, 4, 6]],
  ["conv same", () => conv(image(), ones(5, 4, 3, 3), { pad: 1, stride: 2 }), [1, 5, 3, 4]],
  ["conv dilated", () => conv(image(), ones(4, 2, 3, 3), { dilation: 2, groups: 2, pad: [2, 0, 1, 0] }), [1, 4, 4, 5]],
  ["conv kernel as large as the image", () => conv(image(), ones(1, 4, 6, 8)), [1, 1, 1, 1]],
  ["conv as wide as allowed", () => conv(input([1, 1, 1, 15]), ones(1, 1, 1, 15)), [1, 1, 1, 1]],
  ["convTranspose", () => convTranspose(image(), ones(4, 3, 2, 2), { stride: 2 }), [1, 3, 12, 16]],
  ["convTranspose groups", () => convTranspose(image(), ones(4, 3, 3, 3), { groups: 2, pad: 1 }), [1, 6, 6, 8]],
  ["maxPool", () => input([1, 1, 5, 7]).maxPool(2), [1, 1, 2, 3]],
  ["maxPool ceil", () => input([1, 1, 5, 7]).maxPool(2, { ceilMode: true }), [1, 1, 3, 4]],
  ["maxPool pad", () => input([1, 1, 5, 7]).maxPool(3, { stride: 2, pad: 1 }), [1, 1, 3, 4]],
  // The last window would start in the border (row 6 of 5 + 1), so it does not exist.
  ["avgPool ceil and pad", () => input([1, 1, 5, 5]).avgPool(2, { stride: 3, pad: 1, ceilMode: true }), [1, 1, 2, 2]],
  ["upsample", () => image().upsample(), [1, 4, 12, 16]],
  ["upsample by one", () => image().upsample(1), [1, 4, 6, 8]],
  ["imageInput", () => imageInput([1, 3, 4, 4], { scale: [1, 2, 3] }), [1, 3, 4, 4]],
  ["largest extent", () => input([65536]).relu(), [65536]],
  ["rank 5", () => input([1, 1, 1, 1, 2]), [1, 1, 1, 1, 2]],
];

for (const [label, graph, shape] of SHAPES) {
  Deno.test(`shape of ${label} is [${shape}]`, () => assertEquals(graph().shape, shape));
}

type ErrorClass = new (message?: string) => AneforgeError;

/** What is refused: the graph, the class of the error, and a part of its message. */
const REFUSED: readonly [graph: () => unknown, type: ErrorClass, message: string][] = [
  [() => input([0]), ShapeError, "input: axis 0 of shape [0] has extent 0; the device takes integers from 1 to 65536"],
  [() => input([2, 65537]), ShapeError, "axis 1 of shape [2, 65537] has extent 65537"],
  [() => input([1.5]), ShapeError, "extent 1.5"],
  [() => input([-1]), ShapeError, "extent -1"],
  [() => input([NaN]), ShapeError, "extent NaN"],
  [() => input([1, 1, 1, 1, 1, 1]), ShapeError, "has rank 6; the device takes at most 5"],
  [() => input(5 as unknown as number[]), ArgumentError, "shape is 5"],
  [() => input([1], { dtype: "bool" as "fp16" }), DtypeError, "dtype bool cannot enter a program"],
  [() => input([1], { dtype: "fp32" as "fp16" }), DtypeError, "dtype fp32 cannot enter a program"],
  [() => input([1], { maxAbs: -1 }), ArgumentError, "maxAbs is -1"],
  [() => input([1], { maxAbs: NaN }), ArgumentError, "maxAbs is NaN"],
  [() => parameter(new Int32Array(2)), DtypeError, "parameter: init is a Int32Array"],
  [() => x23().add(input([2])), ShapeError, "add: shapes [2, 3] and [2] do not broadcast: 3 against 2 on axis -1"],
  [() => x23().div([1, 2]), ShapeError, "real_div: shapes [2, 3] and [2]"],
  [() => x23().greater(input([4, 3])), ShapeError, "greater: shapes [2, 3] and [4, 3]"],
  [() => x23().add(new Int32Array(3)), DtypeError, "add: operand is a Int32Array; weights are fp16"],
  [() => x23().add("1" as unknown as number), DtypeError, "a string"],
  [() => x23().adds(NaN), ArgumentError, "adds: k is NaN"],
  [() => x23().muls("2" as unknown as number), ArgumentError, "muls: k is a string"],
  [
    () => x23().mul(x23().less(0)),
    DtypeError,
    "mul: operand 1 [2, 3] is bool; expected fp16. Comparisons feed select",
  ],
  [() => x23().select(1, 0), DtypeError, "select: operand 0 [2, 3] is fp16; expected bool. Compare it first"],
  [() => x23().logicalNot(), DtypeError, "logical_not: operand 0 [2, 3] is fp16; expected bool"],
  [() => select(true as unknown as Tensor, x23(), x23()), ArgumentError, "the condition is not a Tensor"],
  [() => input([4], { dtype: "uint8" }).relu(), DtypeError, "relu: operand 0 [4] is uint8; expected fp16. Call cast()"],
  [() => x23().greater(0).cast(), DtypeError, "cast: operand 0 [2, 3] is bool"],
  [() => x23().cast("fp32" as "fp16"), DtypeError, "cast: dtype is fp32"],
  [() => x23().select(input([5]), 0), DtypeError, "select"],
  [() => select(input([5]).less(0), x23(), 0), ShapeError, "select: shapes [5] and [2, 3]"],
  [() => x23().clip(2, 1), ArgumentError, "clip: lo 2 is above hi 1"],
  [() => x23().elu(NaN), ArgumentError, "elu: alpha is NaN"],
  [() => x23().log("a" as unknown as number), ArgumentError, "log: eps is a string"],
  [() => x23().prelu([1, 2, 3]), ShapeError, "prelu: x has shape [2, 3]; expected rank 3 or more"],
  [() => image().prelu([1, 2, 3]), ShapeError, "alpha has shape [3]; x [1, 4, 6, 8] has 4 channels, so expected [4]"],
  [() => image().prelu(ones(4, 1)), ShapeError, "alpha has shape [4, 1]"],
  [() => x23().matmul(ones(2, 3)), ShapeError, "matmul: x has shape [2, 3]; the weight takes 2 columns and gives 3"],
  [() => x23().matmul(ones(3)), ShapeError, "matmul: w has shape [3]; expected rank 2, [K, N]"],
  [() => x23().matmul(new Int8Array(3)), DtypeError, "matmul: w is a Int8Array"],
  [() => x23().matmul(new Uint16Array(3)), DtypeError, "bf16 held in a Uint16Array must be widened"],
  [() => x23().matmul(new BigInt64Array(3) as unknown as TensorData), DtypeError, "a BigInt64Array"],
  [() => x23().matmul([[1, 2], [3]]), ShapeError, "matmul: w: array: nested lists are ragged"],
  [() => x23().matmul(ones(3, 0)), ShapeError, "matmul: axis 1 of shape [2, 0] has extent 0"],
  [() => x23().linear(ones(3, 2)), ShapeError, "matmul: x has shape [2, 3]; the weight takes 2 columns and gives 3"],
  [
    () => x23().linear(ones(4, 3), [1, 2]),
    ShapeError,
    "bias has shape [2]; the weight gives 4 columns, so expected [4]",
  ],
  [() => x23().linear(ones(4, 3), new Int32Array(4)), DtypeError, "linear: bias is a Int32Array"],
  [() => x23().bmm(input([4, 2])), ShapeError, "inner extents of [2, 3] and [4, 2] differ: 3 columns against 4 rows"],
  [() => x23().bmm(input([3])), ShapeError, "expected rank 2 or more each"],
  [() => input([2, 2, 3]).bmm(input([4, 3, 2])), ShapeError, "bmm: shapes [2] and [4] do not broadcast"],
  [() => input([2, 2, 3]).bmmWeight(ones(3, 2)), ShapeError, "bmmWeight: w has shape [3, 2]; expected rank 3"],
  [() => x23().bmm([[1]] as unknown as Tensor), ArgumentError, "bmm: operand 1 is not a Tensor"],
  [
    () => x23().sum(2),
    ShapeError,
    "reduce_sum: axis 2 is out of range for shape [2, 3]; expected an integer from -2 to 1",
  ],
  [() => x23().sum([0, -2]), ShapeError, "reduce_sum: axes [0, -2] name an axis twice"],
  [() => x23().sum([]), ShapeError, "reduce_sum: no axes given"],
  [() => x23().softmax(-3), ShapeError, "softmax: axis -3 is out of range"],
  [() => x23().softmax(0.5), ShapeError, "softmax: axis 0.5 is out of range"],
  [() => x23().sum(undefined, { keepDims: false }).softmax(), ShapeError, "a scalar has no axes"],
  [() => x23().l2Norm(5), ShapeError, "l2_norm: axis 5"],
  [() => x23().l2Norm(-1, -1), ArgumentError, "l2_norm: eps is -1"],
  [() => input([2, 3, 4]).rmsNorm(ones(4)), ShapeError, "rms_norm: x has shape [2, 3, 4]; expected rank 2, [M, D]"],
  [() => x23().rmsNorm(ones(2)), ShapeError, "rms_norm: gamma has shape [2]; x is [2, 3], so expected [3]"],
  [() => input([3]).rmsNorm(input([3])), ShapeError, "rmsNorm: x has shape [3]; expected rank 2"],
  [() => x23().layerNorm(ones(3), ones(2)), ShapeError, "layer_norm: beta has shape [2]"],
  [() => x23().layerNorm(input([3]), ones(3)), ArgumentError, "both be tensors or both be numbers"],
  [() => x23().reshape(4), ShapeError, "reshape: [2, 3] has 6 elements, which shape [4] does not hold (it holds 4)"],
  [() => x23().reshape(4, -1), ShapeError, "6 is not a multiple of 4"],
  [() => x23().reshape(-1, -1), ShapeError, "leaves 2 extents open; at most one may be -1"],
  [() => x23().reshape(0, -1), ShapeError, "does not hold"],
  [() => x23().reshape(-2, -3), ShapeError, "does not hold"],
  [() => x23().reshape(1.5, 4), ShapeError, "does not hold"],
  [() => x23().reshape(1, 1, 1, 1, 2, 3), ShapeError, "reshape: shape [1, 1, 1, 1, 2, 3] has rank 6"],
  [() => input([65536, 2]).reshape(-1), ShapeError, "reshape: axis 0 of shape [131072] has extent 131072"],
  [() => x23().transpose(0), ShapeError, "transpose: perm [0] names 1 axes; x [2, 3] has 2"],
  [() => x23().transpose(1, 1), ShapeError, "transpose: axes [1, 1] name an axis twice"],
  [() => x23().transpose(0, 2), ShapeError, "transpose: axis 2 is out of range"],
  [() => x23().squeeze(0), ShapeError, "squeeze: axis 0 of shape [2, 3] has extent 2; expected 1"],
  [() => x23().squeeze([]), ShapeError, "squeeze: no axes given"],
  [() => x23().expandDims(3), ShapeError, "expand_dims: axis 3 is out of range for a result of rank 3"],
  [() => x23().expandDims([0, -4]), ShapeError, "expand_dims: axes [0, -4] name an axis twice"],
  [() => x23().expandDims([]), ShapeError, "expand_dims: no axes given"],
  [() => input([1, 1, 1, 1, 1]).expandDims(0), ShapeError, "has rank 6"],
  [() => x23().flatten2d(2), ShapeError, "flatten2d: axis 2"],
  [() => x23().sliceBySize([0], [1]), ShapeError, "one entry per axis of [2, 3]"],
  [() => x23().sliceBySize([0, 2], [1, 2]), ShapeError, "begin 2, size 2 leaves axis 1 of shape [2, 3]"],
  [() => x23().sliceBySize([-1, 0], [1, 1]), ShapeError, "begin -1"],
  [() => x23().sliceBySize([0, 0], [1, 0]), ShapeError, "size 0"],
  [() => x23().slice([1, 1]), ShapeError, "slice: the range 1 to 1 on axis 0 is empty or leaves shape [2, 3]"],
  [() => x23().slice(2), ShapeError, "the range 2 to 3 on axis 0"],
  [() => x23().slice(null, [0, 9]), ShapeError, "the range 0 to 9 on axis 1"],
  [() => x23().slice(null, null, null), ShapeError, "slice: 3 ranges given"],
  [() => x23().reverse([0, 0]), ShapeError, "reverse: axes [0, 0] name an axis twice"],
  [() => x23().reverse([]), ShapeError, "reverse: no axes given"],
  [() => x23().tile([2]), ShapeError, "tile: reps [2] must have one entry per axis of [2, 3]"],
  [() => x23().tile([2, 0]), ArgumentError, "tile: reps[1] is 0"],
  [() => input([65536]).tile([2]), ShapeError, "extent 131072"],
  [() => concat([]), ArgumentError, "concat: 0 operands given; expected 1 or more"],
  [
    () => concat([x23(), input([3, 3])]),
    ShapeError,
    "operand 1 has shape [3, 3], operand 0 has [2, 3]; all axes but 1",
  ],
  [() => concat([x23(), input([2])]), ShapeError, "operand 1 has shape [2]"],
  [() => concat([x23()], 2), ShapeError, "concat: axis 2"],
  [() => stack([]), ArgumentError, "stack: 0 operands given"],
  [() => stack([x23(), input([3, 2])]), ShapeError, "all axes must agree"],
  [() => stack([x23()], 3), ShapeError, "stack: axis 3 is out of range for a result of rank 3"],
  [() => split(x23(), 2, 1), ShapeError, "split: axis 1 of shape [2, 3] has extent 3, which 2 parts do not divide"],
  [() => split(x23(), 0), ArgumentError, "split: numSplits is 0"],
  [() => split(x23(), 2, 2), ShapeError, "split: axis 2"],
  [() => conv(x23(), ones(1, 1, 1, 1)), ShapeError, "conv: x has shape [2, 3]; expected rank 4, [N, C, H, W]"],
  [() => conv(image(), ones(5, 4, 3)), ShapeError, "conv: weight has shape [5, 4, 3]; expected rank 4"],
  [() => conv(image(), ones(5, 3, 3, 3)), ShapeError, "has 4 channels; weight [5, 3, 3, 3] with 1 group(s) takes 3"],
  [() => conv(image(), ones(5, 2, 3, 3), { groups: 2 }), ShapeError, "2 groups do not divide the 5 channels"],
  [() => conv(image(), ones(5, 4, 7, 3)), ShapeError, "conv: the kernel covers [7, 3]"],
  [() => conv(image(), ones(5, 4, 3, 3), { dilation: 3 }), ShapeError, "more than the padded image [6, 8]"],
  [
    () => conv(input([1, 1, 8, 20]), ones(1, 1, 1, 16)),
    UnsupportedOpError,
    "kernel width 16; the device takes at most 15",
  ],
  [
    () => conv(image(), ones(5, 4, 3, 3), { bias: [1] }),
    ShapeError,
    "conv: bias has shape [1]; the weight gives 5 channels",
  ],
  [() => conv(image(), ones(5, 4, 3, 3), { stride: 0 }), ArgumentError, "conv: stride is 0"],
  [() => conv(image(), ones(5, 4, 3, 3), { stride: 1.5 }), ArgumentError, "conv: stride is 1.5"],
  [() => conv(image(), ones(5, 4, 3, 3), { dilation: 0 }), ArgumentError, "dilation is 0"],
  [() => conv(image(), ones(5, 4, 3, 3), { groups: 0 }), ArgumentError, "groups is 0"],
  [() => conv(image(), ones(5, 4, 3, 3), { pad: -1 }), ArgumentError, "pad[0] is -1"],
  [() => conv(image(), ones(5, 4, 3, 3), { pad: [1, 1] as unknown as number }), ArgumentError, "pad [1, 1] must be"],
  [() => conv(image(), new Int8Array(4)), DtypeError, "conv: weight is a Int8Array"],
  [() => conv(image(), ones(0, 4, 3, 3)), ShapeError, "which is empty"],
  [() => convTranspose(image(), ones(3, 4, 3, 3)), ShapeError, "has 4 channels; weight [3, 4, 3, 3]"],
  [() => convTranspose(image(), ones(4, 4, 1, 1), { pad: 3 }), ShapeError, "cuts away the whole result [6, 8]"],
  [() => convTranspose(image(), ones(4, 1, 1, 16)), UnsupportedOpError, "kernel width 16"],
  [() => convTranspose(image(), ones(4, 3, 1, 1), { groups: 2, bias: [1, 2, 3] }), ShapeError, "gives 6 channels"],
  [() => convTranspose(image(), ones(4, 3, 1, 1), { groups: 3 }), ShapeError, "3 groups do not divide the 4 channels"],
  [() => x23().maxPool(2), ShapeError, "max_pool: x has shape [2, 3]; expected rank 4"],
  [
    () => image().maxPool(1, { stride: 2, ceilMode: true }),
    ShapeError,
    "max_pool: with ceilMode the last window of axis 2",
  ],
  [() => image().maxPool(7), ShapeError, "max_pool: kernel 7 is larger than axis 2 of x [1, 4, 6, 8]"],
  [() => image().maxPool(0), ArgumentError, "max_pool: kernel is 0"],
  [
    () => image().avgPool(2, { pad: 2 }),
    ArgumentError,
    "avg_pool: pad 2 with kernel 2 puts whole windows into the border",
  ],
  [() => image().avgPool(2, { pad: -1 }), ArgumentError, "avg_pool: pad is -1"],
  [() => image().avgPool(2, { stride: -1 }), ArgumentError, "avg_pool: stride is -1"],
  [() => image().upsample(0), ArgumentError, "upsample: scale is 0"],
  [() => image().upsample(65536), ShapeError, "upsample: axis 2"],
  [() => imageInput([1, 3, 4, 4], { scale: [1, 2] }), ArgumentError, "imageInput: scale has 2 numbers"],
  [() => imageInput([3, 4], { bias: [1, 2, 3] }), ArgumentError, "needs rank 4"],
  [() => apply("nonsense", []), ArgumentError, "no operation is called nonsense"],
  [() => apply("relu", []), ArgumentError, "relu: 0 operands given; expected 1"],
];

for (const [graph, type, message] of REFUSED) {
  Deno.test(`refused: ${graph.toString().slice(6)}`, () => void assertThrows(graph, type, message));
}

Deno.test("every operation is defined completely", () => {
  for (const [name, op] of OPS) {
    assertEquals(name, op.name);
    assertEquals(/^[a-z][a-z0-9_]*$/.test(name), true);
    assertEquals(op.summary.length > 0, true);
    assertEquals((op.gradient === undefined) !== (op.noGradient === undefined), true, `${name}: gradient or a reason`);
    assertEquals(op.lower === undefined, name === "input");
    if (op.portable !== undefined) assertEquals(op.family !== undefined, true, `${name}: replaced below which family?`);
  }
});

Deno.test("costs are counted from shapes and weights", () => {
  const flops = (node: Tensor): number => opOf(node).flops?.(node) ?? 0;
  assertEquals(flops(input([5, 3]).matmul(ones(3, 7))), 2 * 5 * 3 * 7);
  assertEquals(flops(input([2, 5, 3]).bmm(input([1, 3, 7]))), 2 * 2 * 5 * 3 * 7);
  assertEquals(flops(input([2, 5, 3]).bmmWeight(ones(2, 3, 7))), 2 * 2 * 5 * 3 * 7);
  assertEquals(flops(conv(image(), ones(6, 2, 3, 3), { groups: 2, pad: 1 })), 2 * 6 * 6 * 8 * 2 * 9);
  assertEquals(flops(convTranspose(image(), ones(4, 5, 3, 3))), 2 * 4 * 6 * 8 * 5 * 9);
  assertEquals(flops(image().relu()), 0);
  const weights = (node: Tensor): number[] => (opOf(node).weights?.(node) ?? []).map(({ size }) => size);
  assertEquals(weights(x23().linear(ones(4, 3), [1, 2, 3, 4])), [12, 4]);
  assertEquals(weights(x23().matmul(ones(3, 4))), [12]);
  assertEquals(weights(x23().relu()), []);
});

Deno.test("kernel widths follow the family", () => {
  assertEquals([2, 3, 4, 5, 6].map(convKernelWidth), [13, 13, 13, 15, 15]);
  assertEquals(FLOOR_FAMILY, 2);
});

Deno.test("deep graphs do not exhaust the stack", () => {
  let y = input([1, 4]);
  for (let i = 0; i < 50_000; i++) y = y.adds(1);
  const order = topologicalOrder([y]);
  assertEquals(order.length, 50_001);
  assertEquals(order[0]!.op, "input");
  assertStrictEquals(order.at(-1), y);
  const leaf = y.inputs[0]!;
  assertEquals(topologicalOrder([y], new Set([leaf])), [leaf, y]);
});
