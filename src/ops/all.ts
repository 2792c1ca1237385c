/**
 * Every operation by name.
 *
 * @module
 */

import type { OpDef } from "../graph/op.ts";
import { ACTIVATION_OPS } from "./activation.ts";
import { BINARY_OPS } from "./binary.ts";
import { CHANNEL_NORM_OPS } from "./channel_norm.ts";
import { CONV_OPS } from "./conv.ts";
import { LINEAR_OPS } from "./linear.ts";
import { NORM_OPS } from "./norm.ts";
import { POOL_OPS } from "./pool.ts";
import { REARRANGE_OPS } from "./rearrange.ts";
import { REDUCE_OPS } from "./reduce.ts";
import { RESAMPLE_OPS } from "./resample.ts";
import { SHAPE_OPS } from "./shape.ts";
import { SOURCE_OPS } from "./source.ts";
import { UNARY_OPS } from "./unary.ts";

/** Every operation by node name. */
export const OPS: ReadonlyMap<string, OpDef> = new Map(
  [
    SOURCE_OPS,
    UNARY_OPS,
    ACTIVATION_OPS,
    BINARY_OPS,
    LINEAR_OPS,
    REDUCE_OPS,
    NORM_OPS,
    CHANNEL_NORM_OPS,
    CONV_OPS,
    POOL_OPS,
    RESAMPLE_OPS,
    SHAPE_OPS,
    REARRANGE_OPS,
  ].flat().map((op) => [op.name, op]),
);
