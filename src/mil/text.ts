/**
 * Statements and constants of program text.
 *
 * @module
 */

import type { Dtype } from "../graph/dtype.ts";
import { halfBytes, hexFloat } from "../graph/fp16.ts";
import { NDArray } from "../graph/ndarray.ts";
import { type Shape, show, sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { warn } from "../warnings.ts";
import type { WeightEncoding } from "../targets/data/families.ts";
import type { BlobType, BlobWriter } from "./blob.ts";

/**
 * Spelling of a tensor type.
 *
 * @param dtype Element type as program text spells it.
 * @param shape Extents.
 * @returns For example `tensor<fp16, [1, 4]>`.
 */
export function tensorType(dtype: string, shape: Shape): string {
  return `tensor<${dtype}, ${show(shape)}>`;
}

/**
 * An fp16 scalar literal.
 *
 * @param value Any number.
 * @returns For example `fp16(0x1.0000000000000p-1)`.
 */
export function fp16Literal(value: number): string {
  return `fp16(${hexFloat(value)})`;
}

/**
 * How blanks are set: `spaced` is `x = t0`, `tight` is `x=t0`. Both occur in one program; which nodes are tight is part
 * of the format.
 */
export type TextStyle = "spaced" | "tight";

const EQUALS: Readonly<Record<TextStyle, string>> = { spaced: " = ", tight: "=" };

export type { WeightEncoding } from "../targets/data/families.ts";

/** A weight on its way into the program. */
export interface Weight {
  /** Result name of the constant. */
  name: string;
  /** Values. */
  data: NDArray;
  /** Shape it is declared with. */
  shape: Shape;
  /** Encodings the consumer can take besides plain fp16. */
  allow: readonly WeightEncoding[];
  /** The node it belongs to. */
  node: Tensor;
}

/**
 * Declares a weight in another encoding than fp16. Returns false to leave the weight to the plain form.
 */
export type WeightEncoder = (weight: Weight, body: ProgramBody) => boolean;

/** The statements of one function, in order, and the blobs they refer to. */
export class ProgramBody {
  /** Statements so far, without indentation. */
  readonly statements: string[] = [];
  /** Where constants too big for text go. */
  readonly blobs: BlobWriter;

  /**
   * Starts an empty body.
   *
   * @param blobs Where constants too big for text go.
   */
  constructor(blobs: BlobWriter) {
    this.blobs = blobs;
  }

  /**
   * Appends `TYPE NAME = const()[name = string("NAME"), val = VALUE];`.
   *
   * @param type Type spelling.
   * @param name Result name.
   * @param value Literal.
   * @param style Where blanks go.
   * @returns `name`.
   */
  constant(type: string, name: string, value: string, style: TextStyle = "spaced"): string {
    const eq = EQUALS[style];
    this.statements.push(`${type} ${name} = const()[name${eq}string("${name}"), val${eq}${value}];`);
    return name;
  }

  /**
   * Appends a constant whose payload lies in the weight container.
   *
   * @param name Result name.
   * @param type Element type.
   * @param shape Extents.
   * @param payload Raw bytes.
   * @returns `name`.
   */
  blob(name: string, type: BlobType, shape: Shape, payload: Uint8Array): string {
    const spelled = tensorType(type, shape);
    return this.constant(spelled, name, `${spelled}(${this.blobReference(type, payload)})`);
  }

  /**
   * Adds a payload to the weight container.
   *
   * @param type Element type.
   * @param payload Raw bytes.
   * @returns The `BLOBFILE(..)` that names it.
   */
  blobReference(type: BlobType, payload: Uint8Array): string {
    const offset = this.blobs.add(type, payload);
    return `BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(${offset}))`;
  }
}

/** What the lowering of one node writes to: helper constants `<n>_<suffix>` and statements. */
export class Lowering {
  /** Name of the node. */
  readonly name: string;
  /** Spelling of its own type. */
  readonly type: string;
  /** The body written to; for forms that have no method here. */
  readonly body: ProgramBody;
  readonly #node: Tensor;
  readonly #names: Map<Tensor, string>;
  readonly #encoder: WeightEncoder | undefined;
  readonly #style: TextStyle;
  readonly #splits: Map<string, string>;

  /**
   * Prepares the lowering of one node.
   *
   * @param node The node.
   * @param state What all nodes of the program share.
   * @param style Where blanks go.
   */
  constructor(node: Tensor, state: LoweringState, style: TextStyle = "spaced") {
    this.#node = node;
    this.#names = state.names;
    this.#encoder = state.encoder;
    this.#splits = state.splits;
    this.#style = style;
    this.body = state.body;
    this.name = state.names.get(node)!;
    this.type = tensorType(node.dtype, node.shape);
  }

  /**
   * The same node, written without blanks around `=`.
   *
   * @returns A lowering whose small constants and statements are tight.
   */
  tight(): Lowering {
    const state = { body: this.body, names: this.#names, encoder: this.#encoder, splits: this.#splits };
    return new Lowering(this.#node, state, "tight");
  }

  /**
   * Name of an operand's value.
   *
   * @param i Which operand.
   * @returns Its current name.
   */
  source(i: number): string {
    return this.#names.get(this.#node.inputs[i]!)!;
  }

  /**
   * Names of all operands as a tuple.
   *
   * @returns For example `(t0, t1)`.
   */
  sources(): string {
    return `(${this.#node.inputs.map((input) => this.#names.get(input)).join(", ")})`;
  }

  /** Declares an `int32` scalar `<n>_<suffix>`. */
  i32(suffix: string, value: number): string {
    return this.#scalar("int32", suffix, String(value));
  }

  /** Declares a `uint32` scalar `<n>_<suffix>`. */
  u32(suffix: string, value: number): string {
    return this.#scalar("uint32", suffix, String(value));
  }

  /** Declares a `bool` scalar `<n>_<suffix>`. */
  bool(suffix: string, value: boolean): string {
    return this.#scalar("bool", suffix, String(value));
  }

  /** Declares a `string` scalar `<n>_<suffix>`. */
  string(suffix: string, value: string): string {
    return this.#scalar("string", suffix, `"${value}"`);
  }

  /** Declares an `fp16` scalar `<n>_<suffix>`. */
  f16(suffix: string, value: number): string {
    return this.#scalar("fp16", suffix, hexFloat(value));
  }

  /** Declares an `int32` list `<n>_<suffix>`. */
  list(suffix: string, values: readonly number[]): string {
    const comma = this.#style === "tight" ? "," : ", ";
    const type = `tensor<int32,${this.#style === "tight" ? "" : " "}[${values.length}]>`;
    return this.body.constant(type, `${this.name}_${suffix}`, `${type}([${values.join(comma)}])`, this.#style);
  }

  /**
   * Declares a weight `<n>_<suffix>`, compressed when the program is and the consumer allows it.
   *
   * @param suffix Helper suffix; `null` for a constant under the node's own name.
   * @param data Values.
   * @param shape Shape it is declared with, the array's own unless given.
   * @param allow Encodings the consumer can take besides plain fp16.
   * @returns Its name.
   */
  weight(
    suffix: string | null,
    data: NDArray,
    shape: Shape = data.shape,
    allow: readonly WeightEncoding[] = [],
  ): string {
    const name = suffix === null ? this.name : `${this.name}_${suffix}`;
    if (suffix !== null && this.#encoder?.({ name, data, shape, allow, node: this.#node }, this.body)) return name;
    const payload = halfBytes(data.data);
    warnOverflow(this.#node.op, data.data, payload);
    return this.body.blob(name, "fp16", shape, payload);
  }

  /**
   * Declares an fp16 constant `<n>_<suffix>` of the node's shape, filled with one value.
   *
   * @param suffix Helper suffix.
   * @param value The value.
   * @returns Its name.
   */
  filled(suffix: string, value: number): string {
    const { shape } = this.#node;
    return this.weight(suffix, new NDArray(new Float32Array(sizeOf(shape)).fill(value), shape));
  }

  /**
   * Appends the statement that gives the node's own value, `TYPE n = OP(args)[name = string("n")];`.
   *
   * @param op MIL operation.
   * @param args Arguments in the order the format asks for, spelled.
   * @returns The node's name.
   */
  result(op: string, args: Record<string, string>): string {
    return this.#statement(this.type, this.name, op, args);
  }

  /**
   * Appends a statement that gives a helper value `<n>_<suffix>`.
   *
   * @param suffix Helper suffix.
   * @param op MIL operation.
   * @param args Arguments in the order the format asks for, spelled.
   * @param shape Its shape, the node's own unless given.
   * @param dtype Its element type, fp16 unless given.
   * @returns Its name.
   */
  helper(
    suffix: string,
    op: string,
    args: Record<string, string>,
    shape: Shape = this.#node.shape,
    dtype: Dtype = "fp16",
  ): string {
    return this.#statement(tensorType(dtype, shape), `${this.name}_${suffix}`, op, args);
  }

  /**
   * Like {@linkcode Lowering.helper} for an fp16 value, with the type spelled without blanks: `tensor<fp16,[1,4]>`. Some
   * helpers of tight nodes are.
   *
   * @param suffix Helper suffix.
   * @param op MIL operation.
   * @param args Arguments in the order the format asks for, spelled.
   * @param shape Its shape.
   * @returns Its name.
   */
  packed(suffix: string, op: string, args: Record<string, string>, shape: Shape): string {
    return this.#statement(`tensor<fp16,[${shape.join(",")}]>`, `${this.name}_${suffix}`, op, args);
  }

  /**
   * Makes another value the node's result: consumers and the output list use its name.
   *
   * @param name Name of a value written before.
   */
  rename(name: string): void {
    this.#names.set(this.#node, name);
  }

  /**
   * Name stem of a split that is emitted once for all its parts.
   *
   * @param key What the parts have in common.
   * @returns The stem, and whether it is new and must be written now.
   */
  split(key: string): { stem: string; isNew: boolean } {
    const stem = this.#splits.get(key);
    if (stem !== undefined) return { stem, isNew: false };
    this.#splits.set(key, this.name);
    return { stem: this.name, isNew: true };
  }

  #scalar(type: string, suffix: string, value: string): string {
    return this.body.constant(type, `${this.name}_${suffix}`, `${type}(${value})`, this.#style);
  }

  #statement(type: string, name: string, op: string, args: Record<string, string>): string {
    const eq = EQUALS[this.#style];
    const list = Object.entries(args).map(([key, value]) => `${key}${eq}${value}`).join(", ");
    this.body.statements.push(`${type} ${name} = ${op}(${list})[name${eq}string("${name}")];`);
    return name;
  }
}

/** What the lowerings of all nodes of a program share. */
export interface LoweringState {
  /** Statements and blobs. */
  body: ProgramBody;
  /** Name of every node's value. */
  names: Map<Tensor, string>;
  /** Compression, if any. */
  encoder: WeightEncoder | undefined;
  /** Name stems of splits written so far, by what their parts have in common. */
  splits: Map<string, string>;
}

/** Warns when finite weights become infinite in fp16. */
function warnOverflow(op: string, values: Float32Array, payload: Uint8Array): void {
  const words = new Uint16Array(payload.buffer);
  for (let i = 0; i < words.length; i++) {
    if ((words[i]! & 0x7fff) === 0x7c00 && Number.isFinite(values[i]!)) {
      warn("fp16-range", `${op}: weight element ${i} is ${values[i]}; it becomes infinite in fp16 (largest 65504)`);
      return;
    }
  }
}
