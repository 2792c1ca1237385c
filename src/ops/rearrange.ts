/**
 * Blocks of pixels as channels and back, r = factor, images `[N, C, H, W]`.
 *
 * pixel_shuffle: out[n, c, h r + i, w r + j] = in[n, c r^2 + i r + j, h, w] (channel-major);
 * depth_to_space: out[n, c, h r + i, w r + j] = in[n, (i r + j) C + c, h, w] (block-major).
 *
 * @module
 */

import { ShapeError } from "../errors.ts";
import { checkInteger } from "../graph/check.ts";
import { defineOp, type Node, type OpDef } from "../graph/op.ts";
import { checkRank, type Shape, show } from "../graph/shape.ts";
import type { Lowering } from "../mil/text.ts";

/** [N, C / r^2, H r, W r]. */
function grown(op: string, shape: Shape, label: string, r: number): Shape {
  checkRank(op, "x", shape, 4, "[N, C, H, W]");
  checkInteger(op, label, r, 1);
  const [N, C, H, W] = shape as [number, number, number, number];
  if (C % (r * r) !== 0) {
    throw new ShapeError(`${op}: blocks of ${r} x ${r} do not divide the ${C} channels of x ${show(shape)}`);
  }
  return [N, C / (r * r), H * r, W * r];
}

/** [N, C r^2, H / r, W / r]. */
function shrunk(op: string, shape: Shape, label: string, r: number): Shape {
  checkRank(op, "x", shape, 4, "[N, C, H, W]");
  checkInteger(op, label, r, 1);
  const [N, C, H, W] = shape as [number, number, number, number];
  if (H % r !== 0 || W % r !== 0) {
    throw new ShapeError(`${op}: blocks of ${r} x ${r} do not tile the ${H} x ${W} pixels of x ${show(shape)}`);
  }
  return [N, C * r * r, H / r, W / r];
}

type Key = "factor" | "blockSize";
type Attrs = Record<Key, number>;

/** One rearrangement and the name of the one that undoes it. */
function rearrangement(
  name: string,
  inverse: string,
  summary: string,
  key: Key,
  extents: typeof grown,
  lower: (node: Node<Attrs>, out: Lowering) => void,
): OpDef {
  return defineOp<Attrs>({
    name,
    category: "shape",
    summary,
    attrs: { [key]: "height and width of a block" } as { [K in Key]: string },
    infer: ([x], attrs) => ({ shape: extents(name, x!.shape, key, attrs[key]) }),
    lower,
    gradient: ({ g, node, apply }) => [apply(inverse, [g], { [key]: node.attrs[key] })],
  });
}

/** Block rearrangements. */
export const REARRANGE_OPS: readonly OpDef[] = [
  rearrangement(
    "pixel_shuffle",
    "pixel_unshuffle",
    "channels as blocks of pixels, channel-major",
    "factor",
    grown,
    (node, spaced) => {
      const out = spaced.tight();
      out.result("pixel_shuffle", { upscale_factor: out.i32("r", node.attrs.factor), x: out.source(0) });
    },
  ),
  rearrangement(
    "pixel_unshuffle",
    "pixel_shuffle",
    "blocks of pixels as channels, channel-major",
    "factor",
    shrunk,
    (node, spaced) => {
      const out = spaced.tight();
      out.result("pixel_unshuffle", { downscale_factor: out.u32("r", node.attrs.factor), x: out.source(0) });
    },
  ),
  rearrangement(
    "space_to_depth",
    "depth_to_space",
    "blocks of pixels as channels, block-major",
    "blockSize",
    shrunk,
    (node, out) => {
      out.result("space_to_depth", { block_size: out.i32("bs", node.attrs.blockSize), x: out.source(0) });
    },
  ),
  rearrangement(
    "depth_to_space",
    "space_to_depth",
    "channels as blocks of pixels, block-major",
    "blockSize",
    grown,
    (node, out) => {
      out.result("depth_to_space", { block_size: out.i32("bs", node.attrs.blockSize), x: out.source(0) });
    },
  ),
];
