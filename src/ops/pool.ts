/**
 * Pooling and nearest-neighbour upsampling of `[N, C, H, W]`.
 *
 * @module
 */

import { ArgumentError, ShapeError, UnsupportedOpError } from "../errors.ts";
import { checkInteger } from "../graph/check.ts";
import { defineOp, type Node, type OpDef } from "../graph/op.ts";
import { checkRank, sameShape, type Shape, show } from "../graph/shape.ts";
import type { Lowering } from "../mil/text.ts";
import { embed, zerosLike } from "./gradients.ts";

interface PoolAttrs {
  kernel: number;
  stride: number;
  pad: number;
  ceilMode: boolean;
}

interface AvgPoolAttrs extends PoolAttrs {
  excludePad: boolean;
}

const ATTRS = {
  kernel: "extent of the square window",
  stride: "step in both directions",
  pad: "border on all four sides",
  ceilMode: "whether a last window may reach beyond the border",
} as const;

/**
 * Extent after pooling: floor((H + 2p - k) / s) + 1. With ceilMode the division rounds up, except that a window that
 * would start in the bottom or right border is dropped.
 */
function pooledExtent(extent: number, { kernel, stride, pad, ceilMode }: PoolAttrs): number {
  const free = extent + 2 * pad - kernel;
  if (!ceilMode) return Math.floor(free / stride) + 1;
  const count = Math.ceil(free / stride) + 1;
  return pad > 0 && (count - 1) * stride >= extent + pad ? count - 1 : count;
}

function pooledShape(op: string, shape: Shape, attrs: PoolAttrs): Shape {
  const { kernel, stride, pad } = attrs;
  checkRank(op, "x", shape, 4, "[N, C, H, W]");
  checkInteger(op, "kernel", kernel, 1);
  checkInteger(op, "stride", stride, 1);
  checkInteger(op, "pad", pad, 0);
  if (pad >= kernel) {
    throw new ArgumentError(
      `${op}: pad ${pad} with kernel ${kernel} puts whole windows into the border; use pad < kernel`,
    );
  }
  for (const axis of [2, 3]) {
    if (shape[axis]! + 2 * pad >= kernel) continue;
    throw new ShapeError(
      `${op}: kernel ${kernel} is larger than axis ${axis} of x ${show(shape)}, ${shape[axis]! + 2 * pad} with padding`,
    );
  }
  const [height, width] = [pooledExtent(shape[2]!, attrs), pooledExtent(shape[3]!, attrs)];
  for (const [axis, extent] of [[2, height], [3, width]] as const) {
    if ((extent - 1) * stride < shape[axis]! + pad) continue;
    throw new ShapeError(
      `${op}: with ceilMode the last window of axis ${axis} starts at ${(extent - 1) * stride - pad}, outside x ` +
        `${show(shape)}; use ceilMode: false or a stride of at most the kernel (${kernel})`,
    );
  }
  return [shape[0]!, shape[1]!, height, width];
}

function lower(node: Node<PoolAttrs>, out: Lowering, excludePad?: boolean): void {
  const { kernel, stride, pad, ceilMode } = node.attrs;
  const padType = out.string("pt", "custom");
  const kernels = out.list("ks", [kernel, kernel]);
  const strides = out.list("st", [stride, stride]);
  const padding = out.list("pd", [pad, pad, pad, pad]);
  const exclude: Record<string, string> = excludePad === undefined
    ? {}
    : { exclude_padding_from_average: out.bool("ep", excludePad) };
  const ceil = out.bool("cm", ceilMode);
  const window = { kernel_sizes: kernels, pad: padding, pad_type: padType, strides };
  out.result(node.op, { ceil_mode: ceil, ...exclude, ...window, x: out.source(0) });
}

/**
 * The pixels windows cover when they tile the image: the operand without a remainder narrower than a window. Gradients
 * exist only for that case, where every pixel belongs to one window.
 */
function coveredShape({ op, attrs, inputs, shape }: Node<PoolAttrs>): Shape {
  const { kernel, stride, pad } = attrs;
  const [, , height, width] = inputs[0]!.shape as [number, number, number, number];
  const covered = [shape[0]!, shape[1]!, shape[2]! * kernel, shape[3]! * kernel];
  if (stride === kernel && pad === 0 && covered[2]! <= height && covered[3]! <= width) return covered;
  throw new UnsupportedOpError(
    `${op}: the gradient exists only for windows that do not overlap and lie inside the image (stride = kernel, pad 0); ` +
      `this one has kernel ${kernel}, stride ${stride}, pad ${pad}${attrs.ceilMode ? ", ceilMode" : ""} on ${
        show(inputs[0]!.shape)
      }`,
  );
}

/** Pooling and upsampling. */
export const POOL_OPS: readonly OpDef[] = [
  defineOp<PoolAttrs>({
    name: "max_pool",
    category: "pooling",
    summary: "largest element of each window",
    attrs: ATTRS,
    infer: ([x], attrs) => ({ shape: pooledShape("max_pool", x!.shape, attrs) }),
    lower: (node, out) => lower(node, out),
    // Every element equal to its window's maximum receives the window's gradient.
    gradient(context) {
      const { inputs: [x], g, node } = context;
      const covered = coveredShape(node);
      const { kernel } = node.attrs;
      const window = sameShape(covered, x!.shape) ? x! : x!.sliceBySize([0, 0, 0, 0], covered);
      const spread = g.upsample(kernel);
      const smaller = node.upsample(kernel).greater(window);
      return [embed(context, smaller.select(zerosLike(window), spread), x!, [0, 0, 0, 0])];
    },
  }),
  defineOp<AvgPoolAttrs>({
    name: "avg_pool",
    category: "pooling",
    summary: "mean of each window",
    attrs: { ...ATTRS, excludePad: "whether the border is left out of the mean" },
    infer: ([x], attrs) => ({ shape: pooledShape("avg_pool", x!.shape, attrs) }),
    lower: (node, out) => lower(node, out, node.attrs.excludePad),
    gradient(context) {
      const { inputs: [x], g, node } = context;
      coveredShape(node);
      const { kernel } = node.attrs;
      return [embed(context, g.upsample(kernel).muls(1 / (kernel * kernel)), x!, [0, 0, 0, 0])];
    },
  }),
  defineOp<{ scale: number }>({
    name: "upsample",
    category: "resampling",
    summary: "each pixel repeated scale x scale times",
    attrs: { scale: "factor in both directions" },
    infer([x], { scale }) {
      const { shape } = x!;
      checkRank("upsample", "x", shape, 4, "[N, C, H, W]");
      checkInteger("upsample", "scale", scale, 1);
      return { shape: [shape[0]!, shape[1]!, shape[2]! * scale, shape[3]! * scale] };
    },
    lower(node, out) {
      const factor = `int32(${node.attrs.scale})`;
      const scales = { scale_factor_height: factor, scale_factor_width: factor };
      out.result("upsample_nearest_neighbor", { ...scales, x: out.source(0) });
    },
    gradient: ({ g, node: { attrs: { scale } } }) => [g.avgPool(scale).muls(scale * scale)],
  }),
];
