/**
 * The table of operations the host's checker is built from, `shim/host/mil_ops.inc`, read as data: names, first opset and
 * family, and per argument its form, element types, domain and allowed texts.
 *
 * @module
 */

/** How an argument is given. */
export type Form = "DATA" | "WEIGHT" | "ARRAY" | "SCALAR" | "LIST" | "TUPLE" | "OTHER";

/** One argument of an operation. */
export interface ArgRow {
  name: string;
  form: Form;
  optional: boolean;
  /** Arguments of the same letter have the same element type. */
  domain: string | undefined;
  /** Element types it may have; every one when absent. */
  types: ReadonlySet<string> | undefined;
  /** Texts it may be; every one when absent. */
  choices: ReadonlySet<string> | undefined;
}

/** One operation. */
export interface OpRow {
  name: string;
  /** First opset, 15 for iOS 15. */
  since: number;
  /** First capability family; none where the chip refuses the operation. */
  family: number | undefined;
  args: readonly ArgRow[];
}

type Item = string | number | Call;

interface Call {
  macro: string;
  items: Item[][];
}

const LETTERS: Readonly<Record<string, string>> = {
  H: "fp16",
  F: "fp32",
  B: "bool",
  I8: "int8",
  U8: "uint8",
  I16: "int16",
  U16: "uint16",
  I32: "int32",
  U32: "uint32",
  U1: "uint1",
  U4: "uint4",
  S: "string",
};

const SETS: Readonly<Record<string, string>> = {
  REAL: "H F",
  NUMBER: "H F I32",
  ANY: "H F B I8 U8 I16 U16 I32",
  INDEX: "I8 I16 I32",
};

/** macro ( item { "|" item } { "," .. } ), items being calls, words, numbers and texts; adjacent texts join. */
function calls(source: string): Call[] {
  const words = source.replace(/\/\*.*?\*\//gs, "").match(/"[^"]*"|'[^']*'|[\w.+-]+|[(),|]/g)!;
  let next = 0;
  const item = (): Item => {
    const word = words[next++]!;
    if (word.startsWith('"')) {
      let text = word.slice(1, -1);
      while (words[next]?.startsWith('"')) text += words[next++]!.slice(1, -1);
      return `"${text}`;
    }
    return words[next] === "(" ? call(word) : word;
  };
  const call = (macro: string): Call => {
    const items: Item[][] = [];
    do {
      next++; // "(" or ","
      const parts = [item()];
      while (words[next] === "|") {
        next++;
        parts.push(item());
      }
      items.push(parts);
    } while (words[next] === ",");
    if (words[next++] !== ")") throw new Error(`mil_ops.inc: ${macro} is not closed before ${words[next - 1]}`);
    return { macro, items };
  };
  const found: Call[] = [];
  while (next < words.length) found.push(item() as Call);
  return found;
}

const textOf = (parts: readonly Item[] | undefined): string | undefined =>
  typeof parts?.[0] === "string" && parts[0].startsWith('"') ? parts[0].slice(1) : undefined;

function typesOf(parts: readonly Item[]): ReadonlySet<string> | undefined {
  const letters = parts.flatMap((part) => (SETS[part as string] ?? part as string).split(" "));
  if (letters.join() === "0") return undefined;
  return new Set(letters.map((letter) => {
    const type = LETTERS[letter];
    if (type === undefined) throw new Error(`mil_ops.inc: ${letter} is not a type`);
    return type;
  }));
}

/** [OPT_]FORM[_OR](name, domain, types, ..); FLAG is a bool scalar, TEXT a string scalar with choices. */
function argOf({ macro, items }: Call): ArgRow {
  const [, absent, kind, or] = macro.match(/^(OPT_)?(DATA|WEIGHT|ARRAY|SCALAR|FLAG|TEXT|LIST|TUPLE|OTHER)(_OR)?$/) ??
    [];
  const name = textOf(items[0]);
  if (kind === undefined || name === undefined) throw new Error(`mil_ops.inc: ${macro} is not an argument`);
  const row = { name, optional: absent !== undefined || or !== undefined, domain: undefined, choices: undefined };
  if (kind === "FLAG") return { ...row, form: "SCALAR", types: new Set(["bool"]) };
  if (kind === "TEXT") {
    const choices = textOf(items[1]);
    return {
      ...row,
      form: "SCALAR",
      types: new Set(["string"]),
      choices: choices && new Set(choices.split("|")) || undefined,
    };
  }
  if (kind === "TUPLE" || kind === "OTHER") return { ...row, form: kind, types: undefined };
  const letter = items[1]![0] as string;
  return {
    ...row,
    form: kind as Form,
    domain: letter === "0" ? undefined : letter.slice(1, -1),
    types: typesOf(items[2]!),
  };
}

function rowOf({ macro, items }: Call): OpRow {
  const args = items.filter(([item]) => typeof item === "object").map(([item]) => argOf(item as Call));
  const name = textOf(items[0]);
  const [since, family] = ({ RUN: [2, 3], REST: [1, 2], WALL: [1, undefined] } as const)[macro] ?? [];
  if (name === undefined || since === undefined) throw new Error(`mil_ops.inc: ${macro} is not an operation`);
  return { name, since: Number(items[since]![0]), family: family && Number(items[family]![0]), args };
}

/**
 * Reads the table.
 *
 * @param source Text of `mil_ops.inc`.
 * @returns One row per operation, in order.
 * @throws {Error} when a row has another form than those known.
 */
export function milTable(source: string): OpRow[] {
  return calls(source).map(rowOf);
}

/** The table of this tree. */
export const MIL_TABLE: readonly OpRow[] = milTable(
  Deno.readTextFileSync(new URL("../shim/host/mil_ops.inc", import.meta.url)),
);
