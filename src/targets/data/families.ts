/**
 * What differs between families: operations, extents, compressed weights.
 *
 * @module
 */

/** An operation that not every family has. Operations without a row start at family 2. */
export interface OpFloorRow {
  /** Name of the operation. */
  readonly op: string;
  /** First family that has it. */
  readonly family: number;
  /** What there is below: a formula in the graph, numbers made by the host, or nothing. */
  readonly below: "formula" | "host" | "none";
  /** What to do on a family below. */
  readonly instead: string;
  /** Public origin of the row. */
  readonly source: string;
}

/** Name of a limit. */
export type LimitName =
  | "max_tensor_dim"
  | "channel_extent"
  | "transpose_extent"
  | "conv_kw_max"
  | "reduction_transpose_extent";

/** A numeric limit. */
export interface LimitRow {
  /** Name of the limit. */
  readonly name: LimitName;
  /** What it bounds. */
  readonly meaning: string;
  /** `[first family, value]`, ascending: a value holds from that family on. */
  readonly steps: readonly (readonly [family: number, value: number])[];
  /** How it is known. */
  readonly evidence: string;
  /** Public origin of the row. */
  readonly source: string;
}

/** A way to store weights in fewer bits. */
export type WeightEncoding = "int4" | "int8" | "sparse" | "blockwise";

/** Encodings a family decodes while it loads weights; the others are expanded to fp16 when the program is compiled. */
export interface StreamRow {
  /** First family the row holds for. */
  readonly family: number;
  /** The encodings. */
  readonly encodings: readonly WeightEncoding[];
  /** How it is known. */
  readonly evidence: string;
  /** Public origin of the row. */
  readonly source: string;
}

const code = "sbryngelson/ANEForge aneforge/_targets.py";

const polynomial = "a polynomial that holds for -pi/2 <= x <= pi/2 takes its place";
const hostNumbers = "draw the numbers on the host and feed them as an input";
const texture = "it needs the texture engine; resample on the host before the values enter the program";

/** Operations with a floor. */
export const OP_FLOORS: readonly OpFloorRow[] = [
  { op: "sin", family: 4, below: "formula", instead: polynomial, source: code },
  { op: "cos", family: 4, below: "formula", instead: polynomial, source: code },
  { op: "dropout", family: 4, below: "host", instead: hostNumbers, source: code },
  { op: "random", family: 4, below: "host", instead: hostNumbers, source: code },
  { op: "crop_resize", family: 3, below: "none", instead: texture, source: code },
  { op: "resample", family: 3, below: "none", instead: texture, source: code },
  { op: "affine", family: 3, below: "none", instead: texture, source: code },
  {
    op: "gather_hw",
    family: 3,
    below: "none",
    instead: "multiply by a baked one-hot matrix, or concatenate slices",
    source: code,
  },
  {
    op: "sq_after_reduce",
    family: 3,
    below: "none",
    instead: "write the reduction and the product as two operations",
    source: code,
  },
  { op: "topk", family: 3, below: "none", instead: "return the scores and sort them on the host", source: code },
  { op: "sort", family: 3, below: "none", instead: "return the values and sort them on the host", source: code },
  { op: "dynamic_slice", family: 3, below: "none", instead: "multiply by a mask that is an input", source: code },
  { op: "global_argmax", family: 4, below: "none", instead: "return the values and search on the host", source: code },
  { op: "global_argmin", family: 4, below: "none", instead: "return the values and search on the host", source: code },
];

/** All limits. */
export const LIMITS: readonly LimitRow[] = [
  {
    name: "max_tensor_dim",
    meaning: "extent of an axis that is not a channel axis",
    steps: [[2, 16384], [5, 65536]],
    evidence: "M1 takes 16384 and refuses 16385, M2 by bisection the same; M5 takes 65536",
    source: code,
  },
  {
    name: "channel_extent",
    meaning: "extent of axis 1 of a rank-4 tensor",
    steps: [[2, 65536]],
    evidence: "M1, M2 and M5 take 65536, M1 refuses 65537",
    source: code,
  },
  {
    name: "transpose_extent",
    meaning: "extent of any axis of a transpose and of an input it reads",
    steps: [[2, 8388607], [5, 16777215]],
    evidence: "M2 up to 2^23 - 1; M5 at least to 2^24 - 1",
    source: code,
  },
  {
    name: "conv_kw_max",
    meaning: "kernel width of a convolution; the height has no cap of its own",
    steps: [[2, 13], [5, 15]],
    evidence: "M1 takes 13 and refuses 14, M5 takes 15 and refuses 16; A14 and A15 are taken to be like A13",
    source: code,
  },
  {
    name: "reduction_transpose_extent",
    meaning: "extent from which a reduction goes through a transpose, which changes the order of its sums",
    steps: [[2, 192], [4, 384]],
    evidence: "read from the compiler's hardware tables",
    source: code,
  },
];

const ALL: readonly WeightEncoding[] = ["int4", "int8", "sparse", "blockwise"];

/** Streams, ascending. */
export const STREAMS: readonly StreamRow[] = [
  { family: 1, encodings: ALL, evidence: "not known, nothing is left out", source: code },
  {
    family: 2,
    encodings: ["int4", "sparse"],
    evidence: "M1: int4 2.37 times as fast as fp16, sparse 1.55 to 1.64 times",
    source: code,
  },
  {
    family: 3,
    encodings: ["int4", "int8", "sparse"],
    evidence: "M2: 1.6 to 1.8 times as fast as fp16; blockwise 0.985, no gain",
    source: code,
  },
  {
    family: 4,
    encodings: ALL,
    evidence: "M5: int4 1.34 to 1.67, sparse 1.38 to 1.82 times as fast as fp16; int8 1.00, no gain",
    source: code,
  },
];
