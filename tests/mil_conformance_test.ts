/**
 * Every statement the emitter writes, over all cases and compressions, against the grammar of the format and the table of
 * operations.
 */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { type CompressionOptions, compressorOf } from "../src/compile/compression.ts";
import { computed } from "../src/compile/build.ts";
import { array } from "../src/graph/ndarray.ts";
import { input } from "../src/graph/tensor.ts";
import { emitMil, type MilProgram } from "../src/mil/emit.ts";
import { familyOf } from "../src/targets/targets.ts";
import { silence, WARNING_KINDS, type WarningKind } from "../src/warnings.ts";
import { graphOf } from "./conformance.ts";
import { baked } from "./grid_case.ts";
import { parseMil } from "./mil_grammar.ts";
import { violations } from "./mil_rules.ts";
import { MIL_TABLE, milTable } from "./mil_table.ts";
import { OP_CASES, type OpCase } from "./op_cases.ts";
import { GRID_CASES } from "./op_grid.ts";

function quiet(): Disposable {
  const handles = Object.keys(WARNING_KINDS).map((kind) => silence(kind as WarningKind));
  return { [Symbol.dispose]: () => handles.forEach((restore) => restore()) };
}

/** What is wrong with the program of a graph; the operations it uses are added to `used`. */
function faults(program: MilProgram, family: number, used: Set<string>): string[] {
  const parsed = parseMil(program.text);
  parsed.statements.forEach(({ op }) => used.add(op));
  const ports = parsed.params.map(({ name }) => name).sort();
  assertEquals(ports, program.inputs.map(({ name }) => name).sort());
  assertEquals(parsed.outputs, [...new Set(program.outputs.map(({ name }) => name))]);
  return violations(parsed, program.weights, family);
}

const FAMILIES: readonly number[] = [2, 3, 5];

Deno.test("every emitted statement follows the table and the grammar", () => {
  using _quiet = quiet();
  const used = new Set<string>();
  let programs = 0;
  const tried = (trial: OpCase, family: number): void => {
    const program = emitMil([computed(graphOf(trial).out)], { family });
    assertEquals(faults(program, family, used), [], `${trial.op} ${trial.title}, family ${family}`);
    programs++;
  };
  const own = (trial: OpCase): number => trial.target === undefined ? 2 : familyOf(trial.target);
  for (const trial of OP_CASES) FAMILIES.filter((family) => family >= own(trial)).forEach((f) => tried(trial, f));
  GRID_CASES.filter((_, i) => i % 3 === 0).forEach((trial) => tried(trial, own(trial)));
  assert(programs > 4000, `${programs} programs`);
  assert(used.size > 80, `${used.size} operations of the format`);
});

Deno.test("compressed weights follow the table and the grammar", () => {
  using _quiet = quiet();
  const used = new Set<string>();
  const x = input([4, 64]), image = input([1, 64, 6, 6]);
  const graphs = [
    x.linear(baked([32, 64], 3)).relu(),
    x.linear(array(baked([32, 64], 3).data.map((v) => Math.abs(v) < 0.7 ? 0 : v), [32, 64])),
    image.reshape(1, 36, 64).bmmWeight(baked([1, 64, 8], 4)),
  ];
  const modes: readonly CompressionOptions[] = [
    { compress: "int8" },
    { compress: "int4", compressAtol: 1 },
    { compress: "sparse", compressAtol: 1 },
    { compress: "blockwise", compressAtol: 1 },
    { compress: "auto", compressAtol: 1 },
    { int8: true },
  ];
  for (const options of modes) {
    for (const family of FAMILIES) {
      for (const graph of graphs) {
        const { encode } = compressorOf(options, family)!;
        assertEquals(faults(emitMil([graph], { family, encoder: encode }), family, used), [], JSON.stringify(options));
      }
    }
  }
  const encodings = ["affine_dequantize", "lut_to_dense", "sparse_to_dense", "blockwise_shift_scale"];
  assertEquals(encodings.filter((name) => !used.has(`constexpr_${name}`)), []);
});

/** A program to damage: an operation with constants, an inline value, a tuple, several results and a weight. */
function sound(): MilProgram {
  const x = input([2, 8]);
  const y = x.linear(baked([4, 8])).gelu().softmax();
  return emitMil([y.log(0.5).add(y.tile([1, 1]))], { family: 2 });
}

const DAMAGE: readonly (readonly [from: string | RegExp, to: string, complaint: string])[] = [
  ["= gelu(", "= gelu2(", "gelu2 is not an operation"],
  ["= gelu(", "= cumsum(", "cumsum is refused by the chip"],
  ["ios18", "ios19", "ios19: is not an opset"],
  ['"EXACT"', '"EXACTLY"', 'mode is "EXACTLY"'],
  [/, mode = \w+\)/, ")", "gelu lacks mode"],
  ["= gelu(", "= gelu(y = t1, ", "gelu has no argument y"],
  ["= softmax(axis = ", "= softmax(x2 = t1, axis = ", "softmax has no argument x2"],
  [
    /int32 (\w+)_ax = const\(\)\[name = string\("\w+"\), val = int32\(1\)\]/,
    'fp16 $1_ax = const()[name = string("$1_ax"), val = fp16(1.0)]',
    "axis is fp16, not int32",
  ],
  [/val = int32\(1\)\]/, "val = int32(2147483648)]", "2147483648 for int32"],
  [/val = int32\(1\)\]/, "val = bool(true)]", "is int32, its value bool"],
  [/axis = \w+,/, "axis = t0,", "axis is not constant"],
  [/x = t1, mode/, "x = t99, mode", "t99 is used before it is computed"],
  [/name = string\("t2"\)/, 'name = string("t3")', "its name attribute is another"],
  [/-> \(\w+\)/, "-> (t77)", "t77: is given but never computed"],
  [/offset = uint64\(64\)/, "offset = uint64(65)", "no blob at 65"],
  [/offset = uint64\(64\)/, "offset = uint64(6400)", "no blob at 6400"],
  ["@model_path/weights.bin", "weights.bin", 'the weight file is "weights.bin"'],
  [/tensor<fp16, \[4, 8\]>/g, "tensor<fp16, [4, 9]>", "64 bytes for tensor<fp16, [4,9]>"],
  [/tensor<fp16, \[4, 8\]>/g, "tensor<int8, [4, 8]>", "the blob at 64 is not int8"],
  [/tensor<fp16, \[2, 8\]> t0/, "tensor<bool, [2, 8]> t0", "is a port of bool"],
  [/tensor<fp16, \[2, 8\]> t0/, "tensor<int8, [2, 8]> t0", "x is int8, not fp16"],
  ["tensor<int32, [2]>([1, 1])", "tensor<int32, [2]>([1, 1, 1])", "a list for tensor<int32, [2]>"],
];

Deno.test("a damaged program is found", () => {
  using _quiet = quiet();
  const { text, weights } = sound();
  assertEquals(violations(parseMil(text), weights, 2), []);
  for (const [from, to, complaint] of DAMAGE) {
    const damaged = text.replace(from, to);
    assert(damaged !== text, `${from} is not in the program\n${text}`);
    const found = violations(parseMil(damaged), weights, 2);
    assert(found.some((line) => line.includes(complaint)), `${from}: expected "${complaint}", found ${found}`);
  }
});

Deno.test("text outside of the grammar is refused", () => {
  using _quiet = quiet();
  const { text } = sound();
  const spoilt: readonly (readonly [string | RegExp, string])[] = [
    ["program(1.3)", "program(1.4)"],
    ["func main", "function main"],
    ["<ios18>", ""],
    [/;\n {4}\}/, "\n    }"],
    ["[name = ", "[name = name = "],
    [/\[name = string\("\w+"\)\];/, ";"],
    [/\[name = string\("\w+"\)\];/, "[];"],
    [/-> \(\w+\)/, "-> ()"],
    ["tensor<fp16, [2, 8]>", "tensor<fp17, [2, 8]>"],
    ["tensor<fp16, [2, 8]>", "tensor<fp16, [2, -8]>"],
    ["tensor<fp16, [2, 8]>", "tensor<fp16, [2, 8.5]>"],
    ["tensor<fp16, [2, 8]>", "vector<fp16, [2, 8]>"],
    ["BLOBFILE(path", "BLOBFILE(@path"],
    [/x = t1,/, "x = t1, x = t1,"],
    [/x = t1,/, "x = ,"],
    ['string("EXACT")', 'string("EXACT)'],
    [/\}\s*$/, ""],
    [/\}\s*$/, "} }"],
  ];
  parseMil(text);
  for (const [from, to] of spoilt) {
    const changed = text.replace(from, to);
    assert(changed !== text, `${from} is not in the program`);
    assertThrows(() => parseMil(changed), SyntaxError, undefined, `${from} to ${to}`);
  }
});

Deno.test("both ways to set blanks read the same", () => {
  using _quiet = quiet();
  const { text } = sound();
  const [tight, airy] = [
    text.replace(/ ?([=,]) ?/g, "$1"),
    text.replace(/([=,()[\]{}<>;])/g, " $1 ").replace("- >", "->"),
  ];
  assertEquals(parseMil(tight), parseMil(text));
  assertEquals(parseMil(airy), parseMil(text));
  const numbers = "fp16(-0x1.8000000000000p+1) fp16(0x0p+0) fp16(-inf) fp16(1e-2) fp32(2.0)".split(" ").map((value) => {
    const { statements } = parseMil(`program(1.3)[a=bool(true)]{func f<ios18>(){fp16 c=const()[val=${value}];}->(c);}`);
    const val = statements[0]!.attrs.get("val");
    return val?.kind === "typed" && val.literal.kind === "number" ? val.literal.value : undefined;
  });
  assertEquals(numbers, [-3, 0, -Infinity, 0.01, 2]);
});

Deno.test("the table holds the vocabulary", () => {
  assertEquals(MIL_TABLE.length, 167);
  const names = MIL_TABLE.map(({ name }) => name);
  assertEquals(names, names.toSorted(), "sorted by name, each once");
  assertEquals(new Set(names).size, names.length);
  const conv = MIL_TABLE.find(({ name }) => name === "conv")!;
  assertEquals(conv.args.map(({ name }) => name).join(), "x,weight,bias,strides,pad_type,pad,dilations,groups");
  assertEquals([...conv.args[4]!.choices!], ["valid", "same", "custom", "same_lower"]);
  assertEquals(conv.args.filter(({ optional }) => !optional).map(({ name }) => name), ["x", "weight"]);
  assertThrows(() => milTable('RUN("a", 15, 2, NULL, DATUM("x", 0, H))'), Error, "DATUM is not an argument");
  assertThrows(() => milTable('RAN("a", 15, 2, DATA("x", 0, H))'), Error, "RAN is not an operation");
  assertThrows(() => milTable('REST("a", 15, 2, DATA("x", 0, Q))'), Error, "Q is not a type");
});
