/**
 * Matrix products.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { NDArray, transposeLast } from "../graph/ndarray.ts";
import { defineOp, type NoAttrs, type OpDef } from "../graph/op.ts";
import { broadcastShapes, checkRank, type Shape, show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Lowering } from "../mil/text.ts";
import { unbroadcast } from "./gradients.ts";

/** Arguments of every product written here; only the weight of `matmul` is stored transposed. */
function product(out: Lowering, transposeY: boolean, y: string): void {
  const transpose = { transpose_x: "bool(false)", transpose_y: `bool(${transposeY})` };
  out.result("matmul", { ...transpose, x: out.source(0), y });
}

/** `[.., M, K] x [.., K, N]` with broadcast leading axes. */
function batchedShape(op: string, x: Shape, y: Shape): Shape {
  if (x.length < 2 || y.length < 2) {
    throw new ShapeError(`${op}: operands have shapes ${show(x)} and ${show(y)}; expected rank 2 or more each`);
  }
  if (x.at(-1) !== y.at(-2)) {
    throw new ShapeError(
      `${op}: inner extents of ${show(x)} and ${show(y)} differ: ${x.at(-1)} columns against ${y.at(-2)} rows`,
    );
  }
  const batch = broadcastShapes(op, x.slice(0, -2), y.slice(0, -2));
  return [...batch, x.at(-2)!, y.at(-1)!];
}

function swapLast(t: Tensor): Tensor {
  const axes = t.shape.map((_, axis) => axis);
  return t.transpose([...axes.slice(0, -2), t.rank - 1, t.rank - 2]);
}

/** [N, W, H, U] as [N, U, H, W]. */
function swapOuter(weight: NDArray): NDArray {
  const [N, W, H, U] = weight.shape as [number, number, number, number];
  const result = new Float32Array(weight.size);
  weight.data.forEach((value, i) => {
    const u = i % U, h = Math.floor(i / U) % H, w = Math.floor(i / (U * H)) % W, n = Math.floor(i / (U * H * W));
    result[((n * U + u) * H + h) * W + w] = value;
  });
  return new NDArray(result, [N, U, H, W]);
}

/** The one equation the device has as an operation of its own. */
const NATIVE_EINSUM = "nchw,nwhu->nchu";

/** Matrix products. */
export const LINEAR_OPS: readonly OpDef[] = [
  defineOp<{ weight: NDArray; bias: NDArray | null }>({
    name: "matmul",
    category: "linear",
    summary: "x times the transpose of a baked weight, plus a bias",
    attrs: { weight: "[N, K], one row per output column", bias: "[N], or null" },
    infer([x], { weight, bias }) {
      const [columns, inner] = weight.shape as [number, number];
      const { shape } = x!;
      if (shape.length === 0 || shape.at(-1) !== inner) {
        throw new ShapeError(
          `matmul: x has shape ${show(shape)}; the weight takes ${inner} columns and gives ${columns}`,
        );
      }
      if (bias !== null && (bias.rank !== 1 || bias.size !== columns)) {
        throw new ShapeError(
          `matmul: bias has shape ${show(bias.shape)}; the weight gives ${columns} columns, so expected [${columns}]`,
        );
      }
      return { shape: [...shape.slice(0, -1), columns] };
    },
    lower(node, out) {
      const { weight, bias } = node.attrs;
      product(out, true, out.weight("w", weight, weight.shape, ["int8", "int4", "sparse", "blockwise"]));
      if (bias === null) return;
      const b = out.weight("b", bias, [1, bias.size]);
      out.rename(out.helper("bb", "add", { x: out.name, y: b }));
    },
    gradient: ({ g, node }) => [g.matmul(node.attrs.weight)],
    flops: ({ shape, attrs }) => 2 * shape.reduce((a, b) => a * b, 1) * attrs.weight.shape[1]!,
    weights: ({ attrs }) => (attrs.bias === null ? [attrs.weight] : [attrs.weight, attrs.bias]),
  }),
  defineOp<NoAttrs>({
    name: "bmm",
    category: "linear",
    summary: "product of two computed matrices, leading axes broadcast",
    attrs: {},
    arity: 2,
    infer: ([x, y]) => ({ shape: batchedShape("bmm", x!.shape, y!.shape) }),
    lower: (_node, out) => product(out, false, out.source(1)),
    gradient: ({ inputs: [x, y], g, needs }) => [
      needs(0) ? unbroadcast(g.bmm(swapLast(y!)), x!.shape) : null,
      needs(1) ? unbroadcast(swapLast(x!).bmm(g), y!.shape) : null,
    ],
    flops: ({ shape, inputs }) => 2 * shape.reduce((a, b) => a * b, 1) * inputs[0]!.shape.at(-1)!,
  }),
  defineOp<{ weight: NDArray }>({
    name: "bmm_w",
    category: "linear",
    summary: "batched product with a baked weight",
    attrs: { weight: "[B, K, N]" },
    infer: ([x], { weight }) => ({ shape: batchedShape("bmm_w", x!.shape, weight.shape) }),
    lower: (node, out) => {
      const { weight } = node.attrs;
      product(out, false, out.weight("w", weight, weight.shape, ["int8", "int4", "blockwise"]));
    },
    gradient: ({ inputs: [x], g, node }) => [
      unbroadcast(g.bmmWeight(transposeLast(node.attrs.weight)), x!.shape),
    ],
    flops: ({ shape, attrs }) => 2 * shape.reduce((a, b) => a * b, 1) * attrs.weight.shape[1]!,
    weights: ({ attrs }) => [attrs.weight],
  }),
  // out[n, c, h, u] = sum over w of x[n, c, h, w] weight[n, w, h, u]
  defineOp<{ weight: NDArray }>({
    name: "einsum",
    category: "linear",
    summary: `${NATIVE_EINSUM} with a baked second operand`,
    attrs: { weight: "[N, W, H, U]" },
    infer([x], { weight }) {
      const { shape } = x!;
      checkRank("einsum", "x", shape, 4, "[N, C, H, W]");
      checkRank("einsum", "the second operand", weight.shape, 4, "[N, W, H, U]");
      const [N, C, H, W] = shape as [number, number, number, number];
      const [n, w, h, U] = weight.shape as [number, number, number, number];
      if (n !== N || w !== W || h !== H) {
        throw new ShapeError(
          `einsum: x ${show(shape)} and ${
            show(weight.shape)
          } disagree in ${NATIVE_EINSUM}; expected [${N}, ${W}, ${H}, U]`,
        );
      }
      return { shape: [N, C, H, U] };
    },
    lower: (node, out) => {
      const b = out.weight("b", node.attrs.weight);
      out.result("einsum", { equation: out.string("eq", NATIVE_EINSUM), values: `(${out.source(0)}, ${b})` });
    },
    gradient: ({ g, node: { attrs: { weight } }, apply }) => [apply("einsum", [g], { weight: swapOuter(weight) })],
    flops: ({ shape, attrs }) => 2 * shape.reduce((a, b) => a * b, 1) * attrs.weight.shape[1]!,
    weights: ({ attrs }) => [attrs.weight],
  }),
];
