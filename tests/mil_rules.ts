/**
 * What a program must keep to besides the grammar: every statement against the operation table, names, and references into
 * the weight file.
 *
 * @module
 */

import type { Declared, Literal, MilType, Program, Statement, Value } from "./mil_grammar.ts";
import { type ArgRow, MIL_TABLE, type OpRow } from "./mil_table.ts";

const ROWS: ReadonlyMap<string, OpRow> = new Map(MIL_TABLE.map((row) => [row.name, row]));

/** Element types of ports. */
const PORTS: ReadonlySet<string> = new Set(["fp16", "int8", "uint8", "int16", "uint16"]);

/** Type code and bits per element of what a weight file may hold. */
const BLOBS: Readonly<Record<string, readonly [code: number, bits: number]>> = {
  fp16: [1, 16],
  fp32: [2, 32],
  uint8: [3, 8],
  int8: [4, 8],
  uint1: [9, 1],
  uint4: [11, 4],
};

/** The operation whose parameters stand among the attributes; its parentheses are empty. */
const AMONG_ATTRIBUTES = "constexpr_affine_dequantize";

const spell = ({ dtype, shape }: MilType): string => shape === undefined ? dtype : `tensor<${dtype}, [${shape}]>`;
const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

/** A value as it is known where it is used. */
interface Known {
  type: MilType;
  /** Known when the program is compiled: a constant, or what is decoded from constants. */
  fixed: boolean;
  /** The text of a string constant. */
  text?: string;
}

/** What is wrong with a program, one sentence each. */
export function violations(program: Program, weights: Uint8Array, family: number): string[] {
  return new Rules(program, weights, family).check();
}

class Rules {
  readonly #found: string[] = [];
  readonly #known = new Map<string, Known>();
  readonly #program: Program;
  readonly #weights: DataView;
  readonly #family: number;

  constructor(program: Program, weights: Uint8Array, family: number) {
    this.#program = program;
    this.#weights = new DataView(weights.buffer, weights.byteOffset, weights.byteLength);
    this.#family = family;
  }

  check(): string[] {
    const { params, statements, outputs, opset } = this.#program;
    if (!/^ios1[5-8]$/.test(opset)) this.#fail(opset, "is not an opset");
    for (const param of params) {
      if (!PORTS.has(param.type.dtype)) this.#fail(param.name, `is a port of ${param.type.dtype}`);
      this.#declare(param, { type: param.type, fixed: false });
    }
    for (const statement of statements) this.#statement(statement);
    for (const name of outputs) {
      const value = this.#known.get(name);
      if (value === undefined) this.#fail(name, "is given but never computed");
      else if (!PORTS.has(value.type.dtype)) this.#fail(name, `is a port of ${value.type.dtype}`);
    }
    if (new Set(outputs).size < outputs.length) this.#fail("outputs", "are not distinct");
    return this.#found;
  }

  #fail(where: string, what: string): void {
    this.#found.push(`${where}: ${what}`);
  }

  /** Single assignment, and extents a tensor can have. */
  #declare({ name, type }: Declared, value: Known): void {
    if (this.#known.has(name)) this.#fail(name, "is assigned twice");
    this.#known.set(name, value);
    const { shape = [] } = type;
    if (shape.length > 5) this.#fail(name, `has rank ${shape.length}`);
    const list = value.fixed && shape.length === 1; // an empty list is a constant like any other
    if (shape.some((d) => d > 65536 || (d < 1 && !list))) this.#fail(name, `has shape [${shape}]`);
  }

  #statement(statement: Statement): void {
    const { results, op, args, attrs } = statement;
    const where = results[0]!.name;
    const row = ROWS.get(op);
    const name = attrs.get("name");
    const expected = op === "split" ? where.replace(/_part0$/, "_split") : where;
    if (name?.kind !== "typed" || name.literal.kind !== "string" || name.literal.value !== expected) {
      this.#fail(where, "its name attribute is another");
    }
    const others = new Map([...attrs].filter(([key]) => key !== "name"));
    const parameters = op === AMONG_ATTRIBUTES ? others : args;
    if (parameters === others ? args.size > 0 : [...others.keys()].some((key) => op !== "const" || key !== "val")) {
      this.#fail(where, `arguments ${[...args.keys()]} and attributes ${[...others.keys()]}`);
    }
    if (results.length > 1 && op !== "split") this.#fail(where, `${op} has one result`);
    if (row === undefined) return this.#fail(where, `${op} is not an operation`);
    const opset = Number(this.#program.opset.slice(3));
    if (row.since > opset) this.#fail(where, `${op} came with iOS ${row.since}`);
    if (row.family === undefined) this.#fail(where, `${op} is refused by the chip`);
    else if (row.family > this.#family) this.#fail(where, `${op} came with family ${row.family}`);
    const known = op === "const" ? this.#constant(statement) : this.#operation(row, parameters, where);
    for (const result of results) this.#declare(result, { ...known, type: result.type });
  }

  /** const()[name, val]: the value has the declared type. */
  #constant({ results, args, attrs }: Statement): Omit<Known, "type"> {
    const [{ name, type }] = results as [Declared];
    const val = attrs.get("val");
    if (args.size > 0) this.#fail(name, "a constant has no arguments");
    if (val?.kind !== "typed") {
      this.#fail(name, "a constant has a value");
      return { fixed: true };
    }
    if (spell(val.type) !== spell(type)) this.#fail(name, `is ${spell(type)}, its value ${spell(val.type)}`);
    this.#literal(name, val.type, val.literal);
    return { fixed: true, text: val.literal.kind === "string" ? val.literal.value : undefined };
  }

  #operation(row: OpRow, args: ReadonlyMap<string, Value>, where: string): Omit<Known, "type"> {
    const domains = new Map<string, string>();
    let fixed = row.name.startsWith("constexpr_");
    for (const [name, value] of args) {
      const arg = row.args.find((a) => a.name === name);
      if (arg === undefined) {
        this.#fail(where, `${row.name} has no argument ${name}`);
        continue;
      }
      const known = this.#argument(where, arg, value);
      if (known === undefined) continue;
      fixed &&= known.fixed;
      const { dtype } = known.type;
      if (arg.domain === undefined) continue;
      const first = domains.get(arg.domain) ?? dtype;
      domains.set(arg.domain, first);
      if (first !== dtype) this.#fail(where, `${name} is ${dtype} beside ${first}`);
    }
    for (const { name, optional } of row.args) {
      if (!optional && !args.has(name)) this.#fail(where, `${row.name} lacks ${name}`);
    }
    return { fixed };
  }

  #argument(where: string, arg: ArgRow, value: Value): Known | undefined {
    if (value.kind === "tuple") {
      if (arg.form !== "TUPLE") this.#fail(where, `${arg.name} is a tuple`);
      const parts = value.names.map((name) => this.#named(where, name));
      const types = new Set(parts.map((part) => part?.type.dtype));
      if (types.size > 1) this.#fail(where, `${arg.name} holds ${[...types].join(" and ")}`);
      return undefined;
    }
    if (arg.form === "TUPLE") this.#fail(where, `${arg.name} is not a tuple`);
    const known = value.kind === "name" ? this.#named(where, value.name) : this.#inline(where, value);
    if (known === undefined) return undefined;
    const { type: { dtype, shape }, fixed, text } = known;
    const rank = shape?.length ?? 0;
    if (arg.form !== "DATA" && !fixed) this.#fail(where, `${arg.name} is not constant`);
    if (arg.types && !arg.types.has(dtype)) this.#fail(where, `${arg.name} is ${dtype}, not ${[...arg.types].join()}`);
    if (arg.form === "SCALAR" && rank > 0) this.#fail(where, `${arg.name} has rank ${rank}`);
    if (arg.form === "LIST" && rank !== 1) this.#fail(where, `${arg.name} has rank ${rank}`);
    if (arg.choices && !arg.choices.has(text ?? "")) this.#fail(where, `${arg.name} is "${text}"`);
    return known;
  }

  #named(where: string, name: string): Known | undefined {
    const known = this.#known.get(name);
    if (known === undefined) this.#fail(where, `${name} is used before it is computed`);
    return known;
  }

  #inline(where: string, { type, literal }: Value & { kind: "typed" }): Known {
    this.#literal(where, type, literal);
    return { type, fixed: true, text: literal.kind === "string" ? literal.value : undefined };
  }

  /** A literal fits its type: text, truth, numbers in range, as many as the shape says, or a blob of that size. */
  #literal(where: string, { dtype, shape }: MilType, literal: Literal): void {
    const misfit = (): void => this.#fail(where, `a ${literal.kind} for ${spell({ dtype, shape })}`);
    if (literal.kind === "blob") return this.#blob(where, { dtype, shape }, literal);
    if (literal.kind === "list") {
      if (shape === undefined || shape[0] !== literal.items.length) return misfit();
      for (const item of literal.items) {
        this.#literal(where, { dtype, shape: shape.length > 1 ? shape.slice(1) : undefined }, item);
      }
      return;
    }
    if (shape !== undefined && shape.length > 0) return misfit();
    if (literal.kind === "string" ? dtype !== "string" : literal.kind === "bool" ? dtype !== "bool" : false) misfit();
    if (literal.kind === "number") this.#number(where, dtype, literal);
    if (literal.kind === "dict") misfit();
  }

  #number(where: string, dtype: string, { value, text }: Literal & { kind: "number" }): void {
    const [, sign, bits] = dtype.match(/^(u?)int(\d+)$/) ?? [];
    if (bits !== undefined) {
      const span = 2 ** Number(bits), low = sign === "u" ? 0 : -span / 2;
      if (!Number.isInteger(value) || value < low || value >= low + span) this.#fail(where, `${text} for ${dtype}`);
    } else if (dtype === "fp16") {
      const half = new DataView(new ArrayBuffer(2));
      half.setFloat16(0, value);
      if (!Object.is(half.getFloat16(0), value)) this.#fail(where, `${text} is not an fp16 number`);
    } else if (dtype !== "fp32") {
      this.#fail(where, `${text} for ${dtype}`);
    }
  }

  /** A descriptor lies at the offset, and says what the type says. */
  #blob(where: string, { dtype, shape = [] }: MilType, { path, offset }: Literal & { kind: "blob" }): void {
    const view = this.#weights, form = BLOBS[dtype];
    if (path !== "@model_path/weights.bin") this.#fail(where, `the weight file is "${path}"`);
    if (form === undefined) return this.#fail(where, `a blob of ${dtype}`);
    if (offset < 64 || offset + 64 > view.byteLength || view.getUint32(offset, true) !== 0xdeadbeef) {
      return this.#fail(where, `no blob at ${offset}`);
    }
    const [code, bits] = form;
    const length = Number(view.getBigUint64(offset + 8, true)), start = Number(view.getBigUint64(offset + 16, true));
    if (view.getUint32(offset + 4, true) !== code) this.#fail(where, `the blob at ${offset} is not ${dtype}`);
    if (length !== Math.ceil(sizeOf(shape) * bits / 8)) {
      this.#fail(where, `${length} bytes for ${spell({ dtype, shape })}`);
    }
    if (start + length > view.byteLength) this.#fail(where, `the blob at ${offset} ends outside of the file`);
  }
}
