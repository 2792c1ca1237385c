/**
 * Resampling and cropping of images `[N, C, H, W]`.
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { checkInteger } from "../graph/check.ts";
import { NDArray } from "../graph/ndarray.ts";
import { defineOp, type OpDef } from "../graph/op.ts";
import { checkRank, type Shape, show } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { opFloor } from "../targets/targets.ts";
import { embed } from "./gradients.ts";

/** Position in the operand that element `i` of the result reads: extents `from` and `to`. */
type Grid = (i: number, from: number, to: number) => number;

/** First and last pixels fall together; a single pixel reads the middle. */
const alignedCorners: Grid = (i, from, to) => to === 1 ? (from - 1) / 2 : i * (from - 1) / (to - 1);
/** Pixels are areas; centres are mapped. */
const pixelCentres: Grid = (i, from, to) => (i + 0.5) * from / to - 0.5;
/** Pixels are points; the first ones fall together. */
const pixelOrigins: Grid = (i, from, to) => i * from / to;
/** The pixel at or before the position. */
const nearest: Grid = (i, from, to) => Math.floor(i * from / to);

/** The matrix [to, from] that interpolates linearly between the two pixels around each position. */
function interpolation(from: number, to: number, grid: Grid): NDArray {
  const weights = new Float32Array(to * from);
  for (let i = 0; i < to; i++) {
    const at = Math.min(Math.max(grid(i, from, to), 0), from - 1);
    const low = Math.floor(at);
    weights[i * from + low]! += 1 - (at - low);
    if (low + 1 < from) weights[i * from + low + 1]! += at - low;
  }
  return new NDArray(weights, [to, from]);
}

/** The transpose of a separable resampling: both axes are multiplied with the transposed interpolation matrix. */
function resampleGradient(g: Tensor, [, , height, width]: Shape, grid: Grid): Tensor {
  const [, , outHeight, outWidth] = g.shape as [number, number, number, number];
  const rows = g.matmul(interpolation(width!, outWidth, grid));
  return rows.transpose([0, 1, 3, 2]).matmul(interpolation(height!, outHeight, grid)).transpose([0, 1, 3, 2]);
}

function checkTarget(op: string, x: Shape, height: number, width: number): Shape {
  checkRank(op, "x", x, 4, "[N, C, H, W]");
  checkInteger(op, "height", height, 1);
  checkInteger(op, "width", width, 1);
  return [x[0]!, x[1]!, height, width];
}

const SIZE = { height: "rows of the result", width: "columns of the result" } as const;
const CORNERS = "whether the corner pixels of operand and result fall together";

interface Size {
  height: number;
  width: number;
}

/** Resampling and cropping. */
export const RESAMPLE_OPS: readonly OpDef[] = [
  defineOp<{ scale: number; alignCorners: boolean }>({
    name: "upsample_bilinear",
    category: "resampling",
    summary: "an image scale times as high and wide, bilinear",
    attrs: { scale: "factor in both directions", alignCorners: CORNERS },
    infer([x], { scale }) {
      const { shape } = x!;
      checkRank("upsample_bilinear", "x", shape, 4, "[N, C, H, W]");
      checkInteger("upsample_bilinear", "scale", scale, 1);
      return { shape: [shape[0]!, shape[1]!, shape[2]! * scale, shape[3]! * scale] };
    },
    lower(node, out) {
      const { scale, alignCorners } = node.attrs;
      const factor = `fp32(${scale.toFixed(1)})`;
      out.result("upsample_bilinear", {
        align_corners: out.bool("ac", alignCorners),
        scale_factor_height: factor,
        scale_factor_width: factor,
        x: out.source(0),
      });
    },
    gradient: ({ inputs: [x], g, node }) => [
      resampleGradient(g, x!.shape, node.attrs.alignCorners ? alignedCorners : pixelCentres),
    ],
  }),
  defineOp<Size>({
    name: "resize_nearest_neighbor",
    category: "resampling",
    summary: "an image of another size: pixel i reads pixel floor(i H / height)",
    attrs: SIZE,
    infer: ([x], { height, width }) => ({ shape: checkTarget("resize_nearest_neighbor", x!.shape, height, width) }),
    lower(node, out) {
      const [height, width] = [out.i32("th", node.attrs.height), out.i32("tw", node.attrs.width)];
      const target = { target_size_height: height, target_size_width: width };
      out.result("resize_nearest_neighbor", { ...target, x: out.source(0) });
    },
    gradient: ({ inputs: [x], g }) => [resampleGradient(g, x!.shape, nearest)],
  }),
  defineOp<Size & { alignCorners: boolean }>({
    name: "resize_bilinear",
    category: "resampling",
    summary: "an image of another size, bilinear: pixel i reads position i H / height",
    attrs: { ...SIZE, alignCorners: CORNERS },
    infer: ([x], { height, width }) => ({ shape: checkTarget("resize_bilinear", x!.shape, height, width) }),
    lower(node, out) {
      const [height, width] = [out.i32("th", node.attrs.height), out.i32("tw", node.attrs.width)];
      const mode = out.string("sm", node.attrs.alignCorners ? "ALIGN_CORNERS" : "DEFAULT");
      const target = { target_size_height: height, target_size_width: width };
      out.result("resize_bilinear", { sampling_mode: mode, ...target, x: out.source(0) });
    },
    gradient: ({ inputs: [x], g, node }) => [
      resampleGradient(g, x!.shape, node.attrs.alignCorners ? alignedCorners : pixelOrigins),
    ],
  }),
  defineOp<Size & { transform: NDArray; alignCorners: boolean }>({
    name: "affine",
    category: "resampling",
    summary: "an image sampled at affinely mapped positions, bilinear, 0 outside",
    attrs: { transform: "[N or 1, 6]: x' = a0 x + a1 y + a2, y' = a3 x + a4 y + a5", ...SIZE, alignCorners: CORNERS },
    infer([x], { transform, height, width }) {
      const shape = checkTarget("affine", x!.shape, height, width);
      const [rows, columns] = transform.shape;
      if (transform.rank !== 2 || columns !== 6 || (rows !== 1 && rows !== shape[0])) {
        throw new ShapeError(
          `affine: transform has shape ${show(transform.shape)}; x ${show(x!.shape)} needs [1, 6] or [${shape[0]}, 6]`,
        );
      }
      return { shape };
    },
    lower(node, out) {
      const { transform, height, width, alignCorners } = node.attrs;
      const matrix = out.weight("tm", transform);
      const [rows, columns] = [out.i32("oh", height), out.i32("ow", width)];
      const [sampling, padding] = [out.string("sm", "bilinear"), out.string("pm", "constant")];
      const value = out.body.constant("fp16", `${out.name}_pv`, "fp16(0x0p+0)");
      const coordinates = out.string("cm", "normalized_minus_one_to_one");
      out.result("affine", {
        align_corners: out.bool("ac", alignCorners),
        coordinates_mode: coordinates,
        output_height: rows,
        output_width: columns,
        padding_mode: padding,
        padding_value: value,
        sampling_mode: sampling,
        transform_matrix: matrix,
        x: out.source(0),
      });
    },
    noGradient: "the device cannot add pixels up at computed positions, which the transpose of sampling does",
    family: opFloor("affine"),
    weights: ({ attrs }) => [attrs.transform],
  }),
  defineOp<{ top: number; bottom: number; left: number; right: number }>({
    name: "crop",
    category: "shape",
    summary: "an image without some rows and columns at its border",
    attrs: {
      top: "rows removed above",
      bottom: "rows removed below",
      left: "columns removed at the left",
      right: "columns removed at the right",
    },
    infer([x], border) {
      const { shape } = x!;
      checkRank("crop", "x", shape, 4, "[N, C, H, W]");
      for (const [side, count] of Object.entries(border)) checkInteger("crop", side, count, 0);
      const { top, bottom, left, right } = border;
      const [height, width] = [shape[2]! - top - bottom, shape[3]! - left - right];
      if (height < 1 || width < 1) {
        throw new ShapeError(
          `crop: top ${top}, bottom ${bottom}, left ${left}, right ${right} leave nothing of x ${show(shape)}`,
        );
      }
      return { shape: [shape[0]!, shape[1]!, height, width] };
    },
    lower(node, out) {
      const { top, bottom, left, right } = node.attrs;
      const rows = out.list("ch", [top, bottom]);
      out.result("crop", { crop_height: rows, crop_width: out.list("cw", [left, right]), x: out.source(0) });
    },
    gradient: (context) => {
      const { top, left } = context.node.attrs;
      return [embed(context, context.g, context.inputs[0]!, [0, 0, top, left])];
    },
  }),
];
