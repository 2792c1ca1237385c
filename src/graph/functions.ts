/**
 * Operations that are called as functions rather than as methods of a tensor.
 *
 * @module
 */

import { ArgumentError } from "../errors.ts";
import { checkRecord } from "./check.ts";
import { type TensorData, weightArray } from "./ndarray.ts";
import type { Shape } from "./shape.ts";
import { apply, checkTensor, input, type Operand, Tensor } from "./tensor.ts";

/** Options of {@linkcode conv} and {@linkcode convTranspose}. */
export interface ConvOptions {
  /** Step in both directions (default 1). */
  stride?: number;
  /** Zeros around the image, on all sides or `[top, bottom, left, right]` (default 0). */
  pad?: number | readonly [top: number, bottom: number, left: number, right: number];
  /** Distance between kernel taps in both directions (default 1). */
  dilation?: number;
  /** Number of channel groups (default 1). */
  groups?: number;
  /** One number per output channel. */
  bias?: TensorData | null;
}

function convolve(op: string, label: string, x: Tensor, weight: TensorData, options: ConvOptions): Tensor {
  const { stride = 1, pad = 0, dilation = 1, groups = 1, bias = null } = checkRecord(label, "options", options);
  return apply(op, [x], {
    weight: weightArray(label, "weight", weight),
    bias: bias === null ? null : weightArray(label, "bias", bias),
    stride,
    pad: Array.isArray(pad) ? [...pad] : [pad, pad, pad, pad],
    dilation,
    groups,
  });
}

/**
 * 2-D convolution (cross-correlation) with a baked weight.
 *
 * @param x `[N, Cin, H, W]`.
 * @param weight `[Cout, Cin/groups, kH, kW]`, kernel width at most 15 (13 before A16).
 * @param options Stride, padding, dilation, groups, bias.
 * @returns `[N, Cout, (H + top + bottom - dilation (kH - 1) - 1) / stride + 1, ..]`.
 * @throws {ShapeError} when channels do not match or the kernel is larger than the padded image.
 * @throws {UnsupportedOpError} when the kernel is too wide.
 * @throws {DtypeError} when the weight is an integer array.
 * @example
 * ```ts
 * const h = conv(image, weight, { pad: 1 }).relu();
 * ```
 */
export function conv(x: Tensor, weight: TensorData, options: ConvOptions = {}): Tensor {
  return convolve("conv", "conv", x, weight, options);
}

/**
 * 2-D transposed convolution with a baked weight.
 *
 * @param x `[N, Cin, H, W]`.
 * @param weight `[Cin, Cout/groups, kH, kW]`, kernel width at most 15 (13 before A16).
 * @param options Stride, rows and columns cut off (`pad`), dilation, groups, bias.
 * @returns `[N, Cout, (H - 1) stride + dilation (kH - 1) + 1 - top - bottom, ..]`.
 * @throws {ShapeError} when channels do not match or nothing is left.
 * @throws {UnsupportedOpError} when the kernel is too wide.
 * @throws {DtypeError} when the weight is an integer array.
 * @example
 * ```ts
 * const up = convTranspose(h, weight, { stride: 2 }); // twice as high and wide for a 2 x 2 kernel
 * ```
 */
export function convTranspose(x: Tensor, weight: TensorData, options: ConvOptions = {}): Tensor {
  return convolve("conv_transpose", "convTranspose", x, weight, options);
}

/**
 * Tensors one after the other along an axis.
 *
 * @param tensors One or more; all axes but one agree.
 * @param axis The axis that grows (default 1).
 * @returns The joined tensor.
 * @throws {ShapeError} when another axis differs.
 * @example
 * ```ts
 * concat([input([1, 3]), input([1, 5])]); // [1, 8]
 * ```
 */
export function concat(tensors: readonly Tensor[], axis = 1): Tensor {
  return apply("concat", tensors, { axis });
}

/**
 * Tensors of equal shape along a new axis.
 *
 * @param tensors One or more.
 * @param axis The new axis, counted in the result (default 0).
 * @returns The stacked tensor.
 * @throws {ShapeError} when the shapes differ.
 * @example
 * ```ts
 * stack([input([2, 3]), input([2, 3])]); // [2, 2, 3]
 * ```
 */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  return apply("stack", tensors, { axis });
}

/**
 * Divides a tensor into equal parts.
 *
 * @param x The tensor.
 * @param numSplits Number of parts; divides the extent.
 * @param axis The axis divided (default 0).
 * @returns The parts in order.
 * @throws {ShapeError} when the parts would not be equal.
 * @example
 * ```ts
 * const [q, k, v] = split(input([4, 96]), 3, 1); // [4, 32] each
 * ```
 */
export function split(x: Tensor, numSplits: number, axis = 0): Tensor[] {
  const first = apply("split", [x], { numSplits, axis, which: 0 });
  return Array.from(
    { length: numSplits },
    (_, which) => which === 0 ? first : apply("split", [x], { numSplits, axis, which }),
  );
}

/**
 * The larger of two values, broadcast.
 *
 * @param a Tensor.
 * @param b Tensor, or numbers to bake in.
 * @returns The elementwise maximum.
 * @example
 * ```ts
 * maximum(x, 0);
 * ```
 */
export function maximum(a: Tensor, b: Operand): Tensor {
  checkTensor("maximum", "a", a);
  return a.maximum(b);
}

/**
 * The smaller of two values, broadcast.
 *
 * @param a Tensor.
 * @param b Tensor, or numbers to bake in.
 * @returns The elementwise minimum.
 * @example
 * ```ts
 * minimum(x, y);
 * ```
 */
export function minimum(a: Tensor, b: Operand): Tensor {
  checkTensor("minimum", "a", a);
  return a.minimum(b);
}

/**
 * `a` where the condition holds, else `b`; all three broadcast.
 *
 * @param condition A bool tensor from a comparison.
 * @param a Tensor, or numbers to bake in.
 * @param b Tensor, or numbers to bake in.
 * @returns The chosen elements.
 * @throws {DtypeError} when the condition is not bool.
 * @example
 * ```ts
 * select(x.greater(0), x, x.mul(0.1));
 * ```
 */
export function select(condition: Tensor, a: Operand, b: Operand): Tensor {
  if (!(condition instanceof Tensor)) throw new ArgumentError("select: the condition is not a Tensor");
  return condition.select(a, b);
}

/** Another name of {@linkcode select}. */
export const where: typeof select = select;

/** Options of {@linkcode imageInput}. */
export interface ImageInputOptions {
  /** Factor, one number or one per channel (default 1/255). */
  scale?: number | readonly number[];
  /** Added after the factor, one number or one per channel (default 0). */
  bias?: number | readonly number[];
}

/**
 * An image of bytes that is turned into fp16 on the device: cast, times scale, plus bias.
 *
 * @param shape Extents; `[N, C, H, W]` when scale or bias are per channel.
 * @param options Factor and offset; they pass through float32.
 * @returns The fp16 image. Its port takes uint8.
 * @throws {ArgumentError} when a list does not have one number per channel.
 * @example
 * ```ts
 * const x = imageInput([1, 3, 224, 224]); // bytes / 255
 * ```
 */
export function imageInput(shape: Shape, options: ImageInputOptions = {}): Tensor {
  const { scale = 1 / 255, bias = 0 } = checkRecord("imageInput", "options", options);
  const perChannel = (label: string, values: readonly number[]): TensorData => {
    if (shape.length !== 4 || values.length !== shape[1]) {
      throw new ArgumentError(
        `imageInput: ${label} has ${values.length} numbers; shape [${
          shape.join(", ")
        }] needs rank 4 and one per channel`,
      );
    }
    return [values.map((value) => [[Math.fround(value)]])];
  };
  let image = input(shape, { dtype: "uint8" }).cast();
  if (typeof scale !== "number") image = image.mul(perChannel("scale", scale));
  else if (Math.fround(scale) !== 1) image = image.muls(Math.fround(scale));
  if (typeof bias !== "number") image = image.add(perChannel("bias", bias));
  else if (Math.fround(bias) !== 0) image = image.adds(Math.fround(bias));
  return image;
}
