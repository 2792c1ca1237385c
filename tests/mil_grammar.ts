/**
 * A reader of program text, for tests: recursive descent over the grammar of the format, written from its rules and from
 * nothing that writes or runs programs.
 *
 * ```
 * program   = "program" "(" "1.3" ")" attrs "{" func "}"
 * attrs     = "[" ident "=" value { "," ident "=" value } "]"
 * func      = "func" ident "<" ident ">" "(" [ type ident { "," type ident } ] ")" "{" { stmt } "}"
 *             "->" "(" ident { "," ident } ")" ";"
 * stmt      = type ident { "," type ident } "=" ident "(" [ ident "=" value { "," ident "=" value } ] ")" attrs ";"
 * value     = ident | "(" ident { "," ident } ")" | type "(" literal ")"
 * literal   = number | "true" | "false" | string | list | blob | dict
 * list      = "[" [ literal { "," literal } ] "]"
 * blob      = "BLOBFILE" "(" "path" "=" "string" "(" string ")" "," "offset" "=" "uint64" "(" integer ")" ")"
 * dict      = "{" [ "{" literal "," literal "}" { "," "{" literal "," literal "}" } ] "}"
 * type      = scalar | "tensor" "<" scalar "," "[" [ integer { "," integer } ] "]" ">" | "dict" "<" type "," type ">"
 * ```
 *
 * @module
 */

/** Element types. */
export const SCALARS: ReadonlySet<string> = new Set(
  "fp16 fp32 int8 int16 int32 uint1 uint4 uint8 uint16 uint32 uint64 bool string".split(" "),
);

/** A type; scalars have no shape. */
export interface MilType {
  dtype: string;
  shape?: number[];
}

/** A literal: numbers, text, nested lists, a place in the weight file, or pairs. */
export type Literal =
  | { kind: "number"; value: number; text: string }
  | { kind: "bool"; value: boolean }
  | { kind: "string"; value: string }
  | { kind: "list"; items: Literal[] }
  | { kind: "blob"; path: string; offset: number }
  | { kind: "dict"; pairs: [Literal, Literal][] };

/** What an argument or attribute is given. */
export type Value =
  | { kind: "name"; name: string }
  | { kind: "tuple"; names: string[] }
  | { kind: "typed"; type: MilType; literal: Literal };

/** A name with its type. */
export interface Declared {
  type: MilType;
  name: string;
}

/** One statement. */
export interface Statement {
  results: Declared[];
  op: string;
  args: Map<string, Value>;
  attrs: Map<string, Value>;
}

/** A program of one function. */
export interface Program {
  attrs: Map<string, Value>;
  name: string;
  opset: string;
  params: Declared[];
  statements: Statement[];
  outputs: string[];
}

const TOKEN =
  /\s*(?:("[^"]*")|(-?(?:0x[0-9a-f]*\.?[0-9a-f]+p[+-]?\d+|inf\b|nan\b|\d+\.?\d*(?:e[+-]?\d+)?))|([A-Za-z_]\w*)|(->|[()[\]{}<>,;=])|($))/iy;

type Kind = "string" | "number" | "ident" | "punctuation" | "end";
const KINDS: readonly Kind[] = ["string", "number", "ident", "punctuation", "end"];

interface Token {
  kind: Kind;
  text: string;
  at: number;
}

function tokens(text: string): Token[] {
  const found: Token[] = [];
  TOKEN.lastIndex = 0;
  for (;;) {
    const at = TOKEN.lastIndex, match = TOKEN.exec(text);
    if (match === null) throw new SyntaxError(`no token at ${at}: ${JSON.stringify(text.slice(at, at + 30))}`);
    const group = match.slice(1).findIndex((part) => part !== undefined);
    found.push({ kind: KINDS[group]!, text: match[group + 1]!, at });
    if (KINDS[group] === "end") return found;
  }
}

/** Value of a number as C's strtod reads it. */
function numberOf(text: string): number {
  const hex = text.match(/^(-?)0x([0-9a-f]*)\.?([0-9a-f]*)p([+-]?\d+)$/i);
  if (hex === null) return text.endsWith("inf") ? (text.startsWith("-") ? -Infinity : Infinity) : Number(text);
  const [, sign, whole, fraction, exponent] = hex as unknown as [string, string, string, string, string];
  const mantissa = parseInt(`0${whole}${fraction}`, 16);
  return (sign === "-" ? -1 : 1) * mantissa * 2 ** (Number(exponent) - 4 * fraction.length);
}

class Reader {
  readonly #tokens: Token[];
  #next = 0;

  constructor(text: string) {
    this.#tokens = tokens(text);
  }

  /** The text of the next token, taken if it is of the kind, and is `text` when given. */
  take(kind: Kind, text?: string): string {
    const token = this.#tokens[this.#next]!;
    if (token.kind !== kind || (text !== undefined && token.text !== text)) {
      throw new SyntaxError(`expected ${text ?? kind} at ${token.at}, found ${token.text || "the end"}`);
    }
    this.#next++;
    return token.text;
  }

  is(text: string): boolean {
    const { kind, text: found } = this.#tokens[this.#next]!;
    return found === text && kind !== "string";
  }

  accept(text: string): boolean {
    if (!this.is(text)) return false;
    this.#next++;
    return true;
  }

  /** item { "," item }, or nothing where `close` follows at once. */
  list<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    if (!this.is(close)) {
      do items.push(item()); while (this.accept(","));
    }
    this.take("punctuation", close);
    return items;
  }

  program(): Program {
    this.take("ident", "program");
    this.take("punctuation", "(");
    this.take("number", "1.3");
    this.take("punctuation", ")");
    const attrs = this.attrs();
    this.take("punctuation", "{");
    this.take("ident", "func");
    const name = this.take("ident");
    this.take("punctuation", "<");
    const opset = this.take("ident");
    this.take("punctuation", ">");
    this.take("punctuation", "(");
    const params = this.list(")", () => this.declared());
    this.take("punctuation", "{");
    const statements: Statement[] = [];
    while (!this.accept("}")) statements.push(this.statement());
    this.take("punctuation", "->");
    this.take("punctuation", "(");
    const outputs = this.list(")", () => this.take("ident"));
    this.take("punctuation", ";");
    this.take("punctuation", "}");
    this.take("end");
    if (outputs.length === 0) throw new SyntaxError("a function gives at least one value");
    return { attrs, name, opset, params, statements, outputs };
  }

  statement(): Statement {
    const results = [this.declared()];
    while (this.accept(",")) results.push(this.declared());
    this.take("punctuation", "=");
    const op = this.take("ident");
    this.take("punctuation", "(");
    const args = this.named(")");
    const attrs = this.attrs();
    this.take("punctuation", ";");
    return { results, op, args, attrs };
  }

  attrs(): Map<string, Value> {
    this.take("punctuation", "[");
    const found = this.named("]");
    if (found.size === 0) throw new SyntaxError("empty attributes");
    return found;
  }

  /** ident "=" value { "," .. }, each name once. */
  named(close: string): Map<string, Value> {
    const found = new Map<string, Value>();
    this.list(close, () => {
      const name = this.take("ident");
      this.take("punctuation", "=");
      if (found.has(name)) throw new SyntaxError(`${name} is given twice`);
      found.set(name, this.value());
    });
    return found;
  }

  declared(): Declared {
    const type = this.type();
    return { type, name: this.take("ident") };
  }

  value(): Value {
    if (this.accept("(")) {
      const names = this.list(")", () => this.take("ident"));
      if (names.length === 0) throw new SyntaxError("an empty tuple");
      return { kind: "tuple", names };
    }
    const { text } = this.#tokens[this.#next]!;
    if (!SCALARS.has(text) && text !== "tensor" && text !== "dict") return { kind: "name", name: this.take("ident") };
    const type = this.type();
    this.take("punctuation", "(");
    const literal = this.literal();
    this.take("punctuation", ")");
    return { kind: "typed", type, literal };
  }

  literal(): Literal {
    const { kind, text } = this.#tokens[this.#next]!;
    if (kind === "number") return { kind, value: numberOf(this.take(kind)), text };
    if (kind === "string") return { kind, value: this.take(kind).slice(1, -1) };
    if (this.accept("true")) return { kind: "bool", value: true };
    if (this.accept("false")) return { kind: "bool", value: false };
    if (this.accept("[")) return { kind: "list", items: this.list("]", () => this.literal()) };
    if (this.accept("BLOBFILE")) return this.blob();
    this.take("punctuation", "{");
    const pairs = this.list("}", (): [Literal, Literal] => {
      this.take("punctuation", "{");
      const key = this.literal();
      this.take("punctuation", ",");
      const value = this.literal();
      this.take("punctuation", "}");
      return [key, value];
    });
    return { kind: "dict", pairs };
  }

  blob(): Literal {
    for (const text of ["(", "path", "=", "string", "("]) this.take(/\w/.test(text) ? "ident" : "punctuation", text);
    const path = this.take("string").slice(1, -1);
    for (const text of [")", ",", "offset", "=", "uint64", "("]) {
      this.take(/\w/.test(text) ? "ident" : "punctuation", text);
    }
    const offset = this.integer();
    this.take("punctuation", ")");
    this.take("punctuation", ")");
    return { kind: "blob", path, offset };
  }

  type(): MilType {
    const name = this.take("ident");
    if (SCALARS.has(name)) return { dtype: name };
    this.#punctuate("<");
    if (name === "dict") {
      const [key, value] = [this.type(), (this.#punctuate(","), this.type())];
      this.#punctuate(">");
      return { dtype: `dict<${key.dtype}, ${value.dtype}>` };
    }
    if (name !== "tensor") throw new SyntaxError(`${name} is not a type`);
    const dtype = this.take("ident");
    if (!SCALARS.has(dtype)) throw new SyntaxError(`${dtype} is not an element type`);
    this.#punctuate(",");
    this.#punctuate("[");
    const shape = this.list("]", () => this.integer());
    this.#punctuate(">");
    return { dtype, shape };
  }

  #punctuate(text: string): void {
    this.take("punctuation", text);
  }

  integer(): number {
    const text = this.take("number");
    if (!/^\d+$/.test(text)) throw new SyntaxError(`${text} is not a whole number`);
    return Number(text);
  }
}

/**
 * Reads a program.
 *
 * @param text Program text.
 * @returns Its parts.
 * @throws {SyntaxError} when the text does not follow the grammar.
 */
export function parseMil(text: string): Program {
  return new Reader(text).program();
}
