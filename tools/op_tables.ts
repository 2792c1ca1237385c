/**
 * The tables of docs/graph-and-ops.md: operations from their definitions, compositions from their doc comments.
 *
 * @module
 */

import * as aneforge from "../mod.ts";
import { MIN_FAMILY } from "../src/targets/targets.ts";
import { OPS } from "../src/ops/all.ts";

/** What a user calls, where it is not the operation's name in camelCase. */
const CALLS: Readonly<Record<string, string>> = {
  const_array: "constant",
  adds: "add",
  muls: "mul",
  real_div: "div",
  bmm: "matmul",
  bmm_w: "bmmWeight",
  einsum: "einsumNative",
  reduce_sum: "sum",
  reduce_mean: "mean",
  reduce_max: "amax",
  reduce_min: "amin",
  reduce_l1_norm: "l1Norm",
  reduce_log_sum: "logSum",
  reduce_sum_square: "sumSquare",
};

/** Files of compositions, in the order of the page. */
const COMPOSITIONS: readonly string[] = [
  "src/compose/attention.ts",
  "src/compose/feed_forward.ts",
  "src/compose/convolution.ts",
  "src/compose/quantize.ts",
  "src/compose/einsum.ts",
  "src/compose/rearrange.ts",
  "src/compose/softmax.ts",
  "src/paired.ts",
  "src/special.ts",
];

const camelCase = (name: string): string => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

/** `x.relu` for a method, `conv` for a function. */
function call(op: string): string {
  const name = CALLS[op] ?? camelCase(op);
  if (name in aneforge) {
    return `\`${name}(x)\``.replace("(x)", name === "input" || name === "constant" ? "(..)" : "(x, ..)");
  }
  if (name in aneforge.Tensor.prototype) return `\`x.${name}\``;
  throw new Error(`${op}: there is no function or method ${name}; add a row to CALLS`);
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

function operations(): string[] {
  const categories = new Set([...OPS.values()].map(({ category }) => category));
  return [...categories].flatMap((category) => [
    `### ${category[0]!.toUpperCase()}${category.slice(1)}`,
    "",
    "| call | node | computes | gradient |",
    "| --- | --- | --- | --- |",
    ...[...OPS.values()].filter((op) => op.category === category).map((op) => {
      const family = op.family ?? MIN_FAMILY;
      const since = family === MIN_FAMILY
        ? ""
        : op.portable === undefined
        ? ` (family ${family} and later)`
        : ` (family ${family} and later; before, ${op.portable.warning})`;
      return `| ${call(op.name)} | ${op.name} | ${cell(op.summary + since)} | ${
        op.noGradient ? `no: ${op.noGradient}` : "yes"
      } |`;
    }),
    "",
  ]);
}

/** First sentence of a doc comment. */
function sentence(comment: string): string {
  const text = comment.split("\n").map((line) => line.replace(/^\s*\*? ?/, "")).join(" ").split(
    / @(?=param|returns|throws|example|module)/,
  )[0]!;
  const plain = text.replace(/\{@linkcode ([\w.]+)\}/g, "`$1`").replace(/\s+/g, " ").trim();
  return plain.match(/^.*?\.(?= [A-Z]|$)/)?.[0] ?? plain;
}

function compositions(): string[] {
  return COMPOSITIONS.flatMap((path) => {
    const text = Deno.readTextFileSync(new URL(`../${path}`, import.meta.url));
    const title = sentence(text.match(/^\/\*\*([\s\S]*?)\*\//)![1]!).replace(/[:.].*$/, "");
    const prefix = path.endsWith("special.ts") ? "special." : "";
    const rows = [...text.matchAll(/\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\nexport function (\w+)/g)].map(
      ([, comment, name]) => {
        if (prefix === "" && !(name! in aneforge)) throw new Error(`${path}: ${name} is not exported by mod.ts`);
        return `| \`${prefix}${name}\` | ${cell(sentence(comment!))} |`;
      },
    );
    return [`### ${title}`, "", "| function | builds |", "| --- | --- |", ...rows, ""];
  });
}

/**
 * A page with its generated part renewed: what lies between `<!-- tables: begin -->` and `<!-- tables: end -->`.
 *
 * @param page The page.
 * @returns The page with the tables of today.
 */
export function withTables(page: string): string {
  const [before, rest] = page.split("<!-- tables: begin -->");
  const after = rest?.split("<!-- tables: end -->")[1];
  if (after === undefined) throw new Error("docs/graph-and-ops.md lacks its marks <!-- tables: begin --> and end");
  const tables = ["## Operations", "", ...operations(), "## Compositions", "", ...compositions()];
  return `${before}<!-- tables: begin -->\n\n${tables.join("\n")}\n<!-- tables: end -->${after}`;
}
