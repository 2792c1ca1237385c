/**
 * Convolutions. Layouts: x `[N, C, H, W]`, pad `[top, bottom, left, right]`.
 *
 * @module
 */

import { ArgumentError, ShapeError, UnsupportedOpError } from "../errors.ts";
import { checkInteger } from "../graph/check.ts";
import { convKernelWidth, MAX_CONV_KERNEL_WIDTH } from "../graph/limits.ts";
import { NDArray } from "../graph/ndarray.ts";
import { defineOp, type GradientContext, type Node, type OpDef } from "../graph/op.ts";
import { checkRank, type Shape, show, sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Lowering, WeightEncoding } from "../mil/text.ts";
import { embed } from "./gradients.ts";

/** How a kernel is moved over an image. */
export interface WindowAttrs {
  stride: number;
  pad: readonly [top: number, bottom: number, left: number, right: number];
  dilation: number;
  groups: number;
}

/** Attributes of convolutions with a baked weight. */
export interface ConvAttrs extends WindowAttrs {
  weight: NDArray;
  bias: NDArray | null;
}

const WINDOW = {
  stride: "step in both directions",
  pad: "zeros around x: top, bottom, left, right (conv_transpose: rows and columns cut off the result)",
  dilation: "distance between kernel taps in both directions",
  groups: "number of channel groups",
} as const;

const ATTRS = { bias: "[Cout], or null", ...WINDOW } as const;

/** Extent a kernel covers: d (k - 1) + 1. */
const reach = (kernel: number, dilation: number): number => dilation * (kernel - 1) + 1;

function checkWindow(op: string, x: Shape, weight: Shape, { stride, pad, dilation, groups }: WindowAttrs): void {
  checkRank(op, "x", x, 4, "[N, C, H, W]");
  checkRank(
    op,
    "weight",
    weight,
    4,
    op === "conv_transpose" ? "[Cin, Cout/groups, kH, kW]" : "[Cout, Cin/groups, kH, kW]",
  );
  if (sizeOf(weight) === 0) throw new ShapeError(`${op}: weight has shape ${show(weight)}, which is empty`);
  checkInteger(op, "stride", stride, 1);
  checkInteger(op, "dilation", dilation, 1);
  checkInteger(op, "groups", groups, 1);
  if (pad.length !== 4) {
    throw new ArgumentError(`${op}: pad ${show(pad)} must be a number or [top, bottom, left, right]`);
  }
  pad.forEach((count, i) => checkInteger(op, `pad[${i}]`, count, 0));
  const width = weight[3]!;
  if (width > MAX_CONV_KERNEL_WIDTH) {
    throw new UnsupportedOpError(
      `${op}: weight ${show(weight)} has kernel width ${width}; the device takes at most ` +
        `${MAX_CONV_KERNEL_WIDTH}. Transpose the image if the kernel is narrow the other way, or rearrange with spaceToDepth`,
    );
  }
}

function checkCommon(op: string, x: Shape, attrs: ConvAttrs): void {
  const { weight, bias, groups } = attrs;
  checkWindow(op, x, weight.shape, attrs);
  const outputs = op === "conv" ? weight.shape[0]! : weight.shape[1]! * groups;
  if (bias !== null && (bias.rank !== 1 || bias.size !== outputs)) {
    throw new ShapeError(
      `${op}: bias has shape ${show(bias.shape)}; the weight gives ${outputs} channels, so expected [${outputs}]`,
    );
  }
}

function checkChannels(op: string, x: Shape, weight: Shape, groups: number, takes: number, splits: number): void {
  if (x[1] !== takes) {
    throw new ShapeError(
      `${op}: x ${show(x)} has ${x[1]} channels; weight ${show(weight)} with ${groups} group(s) takes ${takes}`,
    );
  }
  if (splits % groups !== 0) {
    throw new ShapeError(
      `${op}: ${groups} groups do not divide the ${splits} channels of axis 0 of weight ${show(weight)}`,
    );
  }
}

/** [N, Cout, floor((H + top + bottom - reach) / stride) + 1, ..], once the channels and the window are checked. */
function convolved(op: string, x: Shape, weight: Shape, { stride, pad, dilation, groups }: WindowAttrs): Shape {
  const [top, bottom, left, right] = pad;
  const [outputs, inputs, kernelH, kernelW] = weight as [number, number, number, number];
  checkChannels(op, x, weight, groups, inputs * groups, outputs);
  const padded = [x[2]! + top + bottom, x[3]! + left + right];
  const window = [reach(kernelH, dilation), reach(kernelW, dilation)];
  if (window[0]! > padded[0]! || window[1]! > padded[1]!) {
    throw new ShapeError(
      `${op}: the kernel covers ${show(window)} (weight ${show(weight)}, dilation ${dilation}), more than the ` +
        `padded image ${show(padded)} of x ${show(x)}`,
    );
  }
  const spatial = padded.map((extent, i) => Math.floor((extent - window[i]!) / stride) + 1);
  return [x[0]!, outputs, ...spatial];
}

/** Writes the constants and the convolution. */
function lowerWindow(node: Node<WindowAttrs>, out: Lowering, op: "conv" | "conv_transpose", weight: string): void {
  const { stride, pad, dilation, groups } = node.attrs;
  const padType = out.string("pt", "custom");
  const strides = out.list("st", [stride, stride]);
  const padding = out.list("pd", pad);
  const dilations = out.list("dl", [dilation, dilation]);
  const count = out.i32("g", groups);
  out.result(op, { dilations, groups: count, pad: padding, pad_type: padType, strides, weight, x: out.source(0) });
}

/** Writes weight, convolution, and the bias as an addition behind it. */
function lower(node: Node<ConvAttrs>, out: Lowering, op: "conv" | "conv_transpose"): void {
  const { weight, bias } = node.attrs;
  const allow: WeightEncoding[] = op === "conv" ? ["int8", "int4", "sparse", "blockwise"] : [];
  lowerWindow(node, out, op, out.weight("w", weight, weight.shape, allow));
  if (bias === null) return;
  const b = out.weight("bw", bias, [1, bias.size, 1, 1]);
  out.rename(out.helper("b", "add", { x: out.name, y: b }));
}

/** A family may take narrower kernels than the graph does. */
function refuseWide(weight: Shape, family: number): string | undefined {
  const cap = convKernelWidth(family);
  const width = weight[3]!;
  if (width <= cap) return undefined;
  return `weight ${show(weight)} has kernel width ${width}; capability family ${family} takes at most ${cap}`;
}

const refuses = ({ attrs: { weight } }: Node<ConvAttrs>, family: number): string | undefined =>
  refuseWide(weight.shape, family);

const weights = ({ attrs: { weight, bias } }: Node<ConvAttrs>): NDArray[] => bias === null ? [weight] : [weight, bias];

/**
 * Of x: a convolution of g with the weight turned around and its channels swapped. Of the weight, for every tap (u, v):
 * dw[o, c, u, v] = sum over i, j of g[o, i, j] x[c, i + u, j + v], a product of two matrices.
 */
function dynamicGradient({ inputs: [x, w], g, node, needs, apply }: GradientContext<WindowAttrs>): (Tensor | null)[] {
  const { stride, groups, pad } = node.attrs;
  const [top, bottom, left, right] = pad;
  const [outputs, channels, kernelH, kernelW] = w!.shape as [number, number, number, number];
  const around = [kernelH - 1 - top, kernelH - 1 - bottom, kernelW - 1 - left, kernelW - 1 - right];
  if (stride !== 1 || groups !== 1 || around.some((count) => count < 0)) {
    throw new UnsupportedOpError(
      `dynamic_conv: the gradient exists only for stride 1, one group and padding below the kernel's extent; this one has ` +
        `stride ${stride}, ${groups} group(s), pad ${show(pad)}, weight ${show(w!.shape)}`,
    );
  }
  const turned = (): Tensor =>
    apply("dynamic_conv", [g, w!.reverse([2, 3]).transpose([1, 0, 2, 3])], { ...node.attrs, pad: around });
  const weightGradient = (): Tensor => {
    const [, , height, width] = g.shape as [number, number, number, number];
    const rows = g.reshape([outputs, height * width]);
    const framed = zeroFrame(apply, x!, pad);
    const taps = Array.from({ length: kernelH * kernelW }, (_, tap) => {
      const begin = [0, 0, Math.floor(tap / kernelW), tap % kernelW];
      const read = framed.sliceBySize(begin, [1, channels, height, width]).reshape([channels, height * width]);
      return rows.bmm(read.transpose([1, 0]));
    });
    return apply("stack", taps, { axis: 2 }).reshape(w!.shape);
  };
  return [needs(0) ? turned() : null, needs(1) ? weightGradient() : null];
}

/** Zeros around an image, joined from constants. */
function zeroFrame(apply: GradientContext<object>["apply"], x: Tensor, pad: WindowAttrs["pad"]): Tensor {
  let framed = x;
  for (const [axis, before, after] of [[2, pad[0], pad[1]], [3, pad[2], pad[3]]] as const) {
    const block = (count: number): Tensor[] => {
      if (count === 0) return [];
      const shape = framed.shape.with(axis, count);
      return [apply("const_array", [], { value: new NDArray(new Float32Array(sizeOf(shape)), shape) })];
    };
    if (before + after > 0) framed = apply("concat", [...block(before), framed, ...block(after)], { axis });
  }
  return framed;
}

/** Convolutions. */
export const CONV_OPS: readonly OpDef[] = [
  defineOp<ConvAttrs>({
    name: "conv",
    category: "convolution",
    summary: "2-D cross-correlation with a baked weight",
    attrs: { weight: "[Cout, Cin/groups, kH, kW]", ...ATTRS },
    infer([x], attrs) {
      checkCommon("conv", x!.shape, attrs);
      return { shape: convolved("conv", x!.shape, attrs.weight.shape, attrs) };
    },
    lower: (node, out) => lower(node, out, "conv"),
    // conv_transpose with the same weight. Rows and columns behind the last window have gradient 0; with a stride there
    // may be some, in the bottom or right padding (then less is cut off) or in x itself (then zeros are appended).
    gradient(context) {
      const { inputs: [x], g, node } = context;
      const { weight, stride, pad, dilation, groups } = node.attrs;
      const cut = [...pad];
      for (const [axis, end] of [[2, 1], [3, 3]] as const) {
        const padded = x!.shape[axis]! + pad[end - 1]! + pad[end]!;
        const unused = (padded - reach(weight.shape[axis]!, dilation)) % stride;
        cut[end] = Math.max(pad[end]! - unused, 0);
      }
      const spread = context.apply("conv_transpose", [g], { weight, bias: null, stride, pad: cut, dilation, groups });
      return [embed(context, spread, x!, [0, 0, 0, 0])];
    },
    refuses,
    flops: ({ shape, attrs: { weight } }) => 2 * sizeOf(shape) * sizeOf(weight.shape.slice(1)),
    weights,
  }),
  defineOp<ConvAttrs>({
    name: "conv_transpose",
    category: "convolution",
    summary: "2-D transposed convolution with a baked weight",
    attrs: { weight: "[Cin, Cout/groups, kH, kW]", ...ATTRS },
    infer([x], attrs) {
      const { shape } = x!;
      checkCommon("conv_transpose", shape, attrs);
      const { weight, stride, pad: [top, bottom, left, right], dilation, groups } = attrs;
      const [inputs, outputs, kernelH, kernelW] = weight.shape as [number, number, number, number];
      checkChannels("conv_transpose", shape, weight.shape, groups, inputs, inputs);
      const full = [
        (shape[2]! - 1) * stride + reach(kernelH, dilation),
        (shape[3]! - 1) * stride + reach(kernelW, dilation),
      ];
      const spatial = [full[0]! - top - bottom, full[1]! - left - right];
      if (spatial.some((extent) => extent < 1)) {
        throw new ShapeError(
          `conv_transpose: pad ${show([top, bottom, left, right])} cuts away the whole result ${show(full)} of x ${
            show(shape)
          }`,
        );
      }
      return { shape: [shape[0]!, outputs * groups, ...spatial] };
    },
    lower: (node, out) => lower(node, out, "conv_transpose"),
    gradient: ({ g, node: { attrs: { bias: _, ...rest } }, apply }) => [apply("conv", [g], { ...rest, bias: null })],
    refuses,
    flops: ({ inputs: [x], attrs: { weight } }) => 2 * sizeOf(x!.shape) * sizeOf(weight.shape.slice(1)),
    weights,
  }),
  defineOp<WindowAttrs>({
    name: "dynamic_conv",
    category: "convolution",
    summary: "2-D cross-correlation with a computed weight [Cout, Cin/groups, kH, kW], batch 1",
    attrs: WINDOW,
    arity: 2,
    infer([x, weight], attrs) {
      checkWindow("dynamic_conv", x!.shape, weight!.shape, attrs);
      if (x!.shape[0] !== 1) {
        throw new UnsupportedOpError(
          `dynamic_conv: x has shape ${show(x!.shape)}; with a computed weight the device takes batch 1 only. ` +
            "Convolve image by image and concat, or bake the weight with conv",
        );
      }
      if (attrs.dilation !== 1) {
        throw new UnsupportedOpError(
          `dynamic_conv: dilation is ${attrs.dilation}; with a computed weight the device takes 1 only. ` +
            "Write zeros between the taps of the weight",
        );
      }
      return { shape: convolved("dynamic_conv", x!.shape, weight!.shape, attrs) };
    },
    lower: (node, out) => lowerWindow(node, out, "conv", out.source(1)),
    gradient: dynamicGradient,
    refuses: ({ inputs }, family) => refuseWide(inputs[1]!.shape, family),
    flops: ({ shape, inputs }) => 2 * sizeOf(shape) * sizeOf(inputs[1]!.shape.slice(1)),
  }),
];
