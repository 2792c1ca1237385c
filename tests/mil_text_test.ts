import { assertEquals, assertThrows } from "@std/assert";
import { ArgumentError, DtypeError, UnsupportedOpError } from "../src/errors.ts";
import { hexFloat } from "../src/graph/fp16.ts";
import { conv, imageInput, split } from "../src/graph/functions.ts";
import { affine } from "../src/graph/images.ts";
import { input, parameter } from "../src/graph/tensor.ts";
import { emitMil } from "../src/mil/emit.ts";
import { OPS } from "../src/ops/all.ts";
import { onWarning, silence, type WarningKind } from "../src/warnings.ts";
import { blob, body, expand, F, img, ones, X23 } from "./mil_lines.ts";
import { ROWS } from "./mil_rows.ts";

for (const [kind, graph, lines] of ROWS) {
  Deno.test(`lowering of ${kind}: ${lines.at(-1)}`, () => {
    assertEquals(body(emitMil([graph()])), lines.map(expand));
  });
}

Deno.test("every operation has a lowering row or a test of its own", () => {
  const covered = new Set([...ROWS.map(([kind]) => kind), "input", "sin", "cos", "split", "affine"]);
  assertEquals([...OPS.keys()].filter((name) => !covered.has(name)), []);
});

Deno.test("linear with bias is written byte for byte", () => {
  const program = emitMil([input([2, 8]).linear(ones(4, 8), [1, 2, 3, 4])]);
  assertEquals(
    program.text,
    `program(1.3)
[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3520.4.1"}, {"coremlc-version", "3520.5.1"}})]
{
    func main<ios18>(tensor<fp16, [2, 8]> t0) {
        tensor<fp16, [4, 8]> t1_w = const()[name = string("t1_w"), val = tensor<fp16, [4, 8]>(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(64)))];
        tensor<fp16, [2, 4]> t1 = matmul(transpose_x = bool(false), transpose_y = bool(true), x = t0, y = t1_w)[name = string("t1")];
        tensor<fp16, [1, 4]> t1_b = const()[name = string("t1_b"), val = tensor<fp16, [1, 4]>(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(192)))];
        tensor<fp16, [2, 4]> t1_bb = add(x = t1, y = t1_b)[name = string("t1_bb")];
    } -> (t1_bb);
}
`,
  );
  assertEquals(program.weights.length, 264);
  assertEquals(blob(program, 64), new Array(32).fill(1));
  assertEquals(blob(program, 192), [1, 2, 3, 4]);
  assertEquals(program.opCount, 1);
  assertEquals(program.inputs.map(({ name, dtype, shape }) => ({ name, dtype, shape })), [
    { name: "t0", dtype: "fp16", shape: [2, 8] },
  ]);
  assertEquals(program.outputs.map(({ name, shape }) => ({ name, shape })), [{ name: "t1_bb", shape: [2, 4] }]);
});

Deno.test("fp16 scalars are spelled as the format's table says", () => {
  const table: [number, string][] = [
    [0, "0x0.0p+0"],
    [-0, "-0x0.0p+0"],
    [1, "0x1.0000000000000p+0"],
    [-1, "-0x1.0000000000000p+0"],
    [0.5, "0x1.0000000000000p-1"],
    [0.1, "0x1.9980000000000p-4"],
    [0.2, "0x1.9980000000000p-3"],
    [0.01, "0x1.47c0000000000p-7"],
    [0.75, "0x1.8000000000000p-1"],
    [6, "0x1.8000000000000p+2"],
    [10, "0x1.4000000000000p+3"],
    [-10, "-0x1.4000000000000p+3"],
    [1024, "0x1.0000000000000p+10"],
    [65504, "0x1.ffc0000000000p+15"],
    [65519.99, "0x1.ffc0000000000p+15"],
    [65520, "inf"],
    [-65520, "-inf"],
    [NaN, "nan"],
    [1e-3, "0x1.0640000000000p-10"],
    [1e-4, "0x1.a380000000000p-14"],
    [1e-5, "0x1.5000000000000p-17"],
    [1e-12, "0x0.0p+0"],
    [Math.sqrt(1e-12), "0x1.1000000000000p-20"],
    [Math.fround(1 / 255), "0x1.0100000000000p-8"],
    [1 / Math.sqrt(8), "0x1.6a00000000000p-2"],
    [1 / 8, "0x1.0000000000000p-3"],
    [Math.sqrt(8e-5), "0x1.2500000000000p-7"],
    [Math.sqrt(64e-5), "0x1.9e80000000000p-6"],
    [-1e4, "-0x1.3880000000000p+13"],
    [1 / 30000, "0x1.1780000000000p-15"],
    [5.96e-8, "0x1.0000000000000p-24"],
    [2 ** -25, "0x0.0p+0"],
    [2.99e-8, "0x1.0000000000000p-24"],
    [-1.206, "-0x1.34c0000000000p+0"],
    [3.14159, "0x1.9200000000000p+1"],
  ];
  for (const [value, spelling] of table) assertEquals(hexFloat(value), spelling, String(value));
});

Deno.test("the last operand's cone is ordered first, inputs are listed in creation order", () => {
  const a = input([1, 4]);
  const b = input([1, 4]);
  const program = emitMil([a.add(b)]);
  assertEquals(program.text.includes("(tensor<fp16, [1, 4]> t1, tensor<fp16, [1, 4]> t0)"), true);
  assertEquals(body(program), [expand(`${F(1, 4)} t2 = add(x = t1, y = t0)`)]);
  assertEquals(program.text.endsWith("    } -> (t2);\n}\n"), true);
  assertEquals(program.inputs.map(({ tensor, name }) => [tensor.id, name]), [[a.id, "t1"], [b.id, "t0"]]);
});

Deno.test("multiplying by 1 keeps a program with no other operation from being empty", () => {
  const program = emitMil([input([1, 4]).mul(1)]);
  assertEquals(body(program), [
    expand(`fp16 t1_k := fp16(0x1.0000000000000p+0)`),
    expand(`${F(1, 4)} t1 = mul(x = t0, y = t1_k)`),
  ]);
});

Deno.test("an image input is cast and scaled in the program", () => {
  const program = emitMil([imageInput([1, 3, 4, 4])]);
  assertEquals(program.inputs[0]!.dtype, "uint8");
  assertEquals(program.text.includes("main<ios18>(tensor<uint8, [1, 3, 4, 4]> t0)"), true);
  assertEquals(
    body(program),
    [
      `string t1_d := string("fp16")`,
      `${F(1, 3, 4, 4)} t1 = cast(dtype = t1_d, x = t0)`,
      `fp16 t2_k := fp16(0x1.0100000000000p-8)`,
      `${F(1, 3, 4, 4)} t2 = mul(x = t1, y = t2_k)`,
    ].map(expand),
  );
  assertEquals(body(emitMil([imageInput([1, 3, 4, 4], { scale: 1, bias: 0 })])).length, 2);
  const perChannel = emitMil([imageInput([1, 3, 4, 4], { scale: [1, 2, 3], bias: [4, 5, 6] })]);
  assertEquals(
    body(perChannel).slice(0, 2),
    [`${F(1, 3, 1, 1)} t0 := blob 64`, `${F(1, 3, 1, 1)} t1 := blob 134`].map(expand),
  );
  assertEquals([blob(perChannel, 64), blob(perChannel, 134)], [[4, 5, 6], [1, 2, 3]]);
});

Deno.test("a number becomes a scalar constant, which is ordered before the input", () => {
  const program = emitMil([input([2, 8]).add(5)]);
  assertEquals(body(program), [expand(`${F()} t0 := blob 64`), expand(`${F(2, 8)} t2 = add(x = t1, y = t0)`)]);
  assertEquals([...program.weights.slice(128)], [0x00, 0x45]);
});

Deno.test("the parts of a split are one statement, named after the part seen first", () => {
  const [first, second] = split(input([2, 4]), 2, 1);
  const program = emitMil([first!.add(second!)]);
  assertEquals(body(program), [
    expand("int32 t1_ns := int32(2)"),
    expand("int32 t1_ax := int32(1)"),
    `${F(2, 2)} t1_part0, ${
      F(2, 2)
    } t1_part1 = split(axis = t1_ax, num_splits = t1_ns, x = t0)[name = string("t1_split")];`,
    expand(`${F(2, 2)} t3 = add(x = t1_part0, y = t1_part1)`),
  ]);
  // Different numbers of parts, another axis or another operand are statements of their own.
  const x = input([4, 4]);
  const parts = [split(x, 2, 0)[0]!, split(x, 4, 0)[3]!, split(x, 2, 1)[0]!, split(x.relu(), 2, 0)[0]!];
  const many = emitMil([...parts, split(x, 2, 0)[0]!]);
  assertEquals(body(many).filter((line) => line.includes(" = split(")).length, 4);
  assertEquals(many.outputs[0]!.name, many.outputs[4]!.name);
});

Deno.test("statements follow the order of the graph, weights in front of each operation, bias behind it", () => {
  const x = input([2, 3]);
  const program = emitMil([x.linear(ones(4, 3), [1, 2, 3, 4]).relu().linear(ones(2, 4), [1, 2])]);
  const names = body(program).map((line) => line.split(" = ")[0]!.split(" ").at(-1));
  assertEquals(names, ["t1_w", "t1", "t1_b", "t1_bb", "t2", "t3_w", "t3", "t3_b", "t3_bb"]);
  assertEquals(body(program)[4], expand(`${F(2, 4)} t2 = relu(x = t1_bb)`));
});

Deno.test("a diamond is written once, several outputs in the order asked for", () => {
  const x = input([2, 3]);
  const shared = x.exp();
  const left = shared.relu();
  const right = shared.tanh();
  const program = emitMil([right, left.add(right), left, right]);
  assertEquals(
    body(program),
    [
      `${X23} t1 = exp(x = t0)`,
      `${X23} t2 = tanh(x = t1)`,
      `${X23} t3 = relu(x = t1)`,
      `${X23} t4 = add(x = t3, y = t2)`,
    ].map(expand),
  );
  assertEquals(program.text.endsWith("} -> (t2, t4, t3);\n}\n"), true);
  assertEquals(program.outputs.map(({ name }) => name), ["t2", "t4", "t3", "t2"]);
  assertEquals(program.opCount, 4);
});

Deno.test("weights are stored as the operations read them", () => {
  const streamed = emitMil([input([1, 2]).matmul([[1, 2, 3], [4, 5, 6]])]);
  assertEquals(blob(streamed, 64), [1, 4, 2, 5, 3, 6]);
  const rms = emitMil([input([1, 4]).rmsNorm([1, 2, 3, 4])]);
  assertEquals(blob(rms, 64), [2, 4, 6, 8]);
  const filled = emitMil([input([2, 2]).round().mul(0.1)]);
  assertEquals(blob(filled, 64), new Array(4).fill(Math.f16round(0.1)));
  // Directly to fp16: through float32 this would land on a tie and round to even.
  const exact = 1 + 2 ** -11 + 2 ** -40;
  assertEquals(blob(emitMil([input([1, 1]).matmul(new Float64Array([exact]).length ? [[exact]] : [])]), 64), [
    1 + 2 ** -10,
  ]);
});

Deno.test("parameters are inputs in creation order", () => {
  const w = parameter([[1, 2], [3, 4]]);
  const x = input([1, 2]);
  const program = emitMil([x.matmul(w)]);
  assertEquals(program.inputs.map(({ tensor }) => tensor), [w, x]);
  assertEquals(program.weights.length, 64);
});

Deno.test("sin and cos are native from A15 on and a polynomial below", () => {
  const x = input([1, 2]);
  assertEquals(body(emitMil([x.sin()], { family: 4 })), [expand(`${F(1, 2)} t1 = sin(x = t0)`)]);
  assertEquals(body(emitMil([x.cos()], { family: 5 })), [expand(`${F(1, 2)} t1 = cos(x = t0)`)]);
  const seen: WarningKind[] = [];
  const restore = onWarning((kind) => seen.push(kind));
  try {
    const portable = emitMil([x.cos().relu(), x], { family: 2 });
    const T = F(1, 2);
    const term = (i: number, c: string): string[] => [
      `${T} t${i} = sub(x = t1, y = t1)`,
      `${T} t${i + 1} = exp(x = t${i})`,
      `fp16 t${i + 2}_k := fp16(${c})`,
      `${T} t${i + 2} = mul(x = t${i + 1}, y = t${i + 2}_k)`,
    ];
    const polynomial = [
      `${T} t1 = mul(x = t0, y = t0)`,
      ...term(2, "0x1.0000000000000p+0"),
      ...term(5, hexFloat(-0.4999308182201791)),
      ...term(8, hexFloat(0.041511585587052556)),
      ...term(11, hexFloat(-0.0012786608784929124)),
      `${T} t14 = mul(x = t13, y = t1)`,
      `${T} t15 = add(x = t14, y = t10)`,
      `${T} t16 = mul(x = t15, y = t1)`,
      `${T} t17 = add(x = t16, y = t7)`,
      `${T} t18 = mul(x = t17, y = t1)`,
      `${T} t19 = add(x = t18, y = t4)`,
      `${T} t20 = relu(x = t19)`,
    ];
    assertEquals(body(portable), polynomial.map(expand));
    assertEquals(portable.opCount, 20);
    assertEquals(portable.outputs.map(({ name }) => name), ["t20", "t0"]);
    assertEquals(body(emitMil([x.sin()])).at(-1)!.includes(" = mul(x = t0, y = "), true);
  } finally {
    restore();
  }
  assertEquals(seen.every((kind) => kind === "portable-op"), true);
});

Deno.test("affine sampling exists from family 3 on", () => {
  const y = affine(img(2, 3, 4), [[1, 0, 0, 0, 1, 0]], 5, 6, { alignCorners: true });
  assertThrows(() => emitMil([y]), UnsupportedOpError, "affine: needs capability family 3 or later; the target is 2");
  assertEquals(
    body(emitMil([y], { family: 3 })),
    [
      `${F(1, 6)} t1_tm := blob 64`,
      `int32 t1_oh := int32(5)`,
      `int32 t1_ow := int32(6)`,
      `string t1_sm := string("bilinear")`,
      `string t1_pm := string("constant")`,
      `fp16 t1_pv := fp16(0x0p+0)`,
      `string t1_cm := string("normalized_minus_one_to_one")`,
      `bool t1_ac := bool(true)`,
      `${F(1, 2, 5, 6)} t1 = affine(align_corners = t1_ac, coordinates_mode = t1_cm, output_height = t1_oh, ` +
      `output_width = t1_ow, padding_mode = t1_pm, padding_value = t1_pv, sampling_mode = t1_sm, ` +
      `transform_matrix = t1_tm, x = t0)`,
    ].map(expand),
  );
});

Deno.test("a kernel too wide for the family is refused when the program is written", () => {
  const wide = conv(input([1, 1, 4, 20]), ones(1, 1, 1, 15));
  assertEquals(body(emitMil([wide], { family: 5 })).length, 7);
  assertThrows(() => emitMil([wide]), UnsupportedOpError, "kernel width 15; capability family 2 takes at most 13");
  assertThrows(() => emitMil([wide], { family: 4 }), UnsupportedOpError, "at most 13");
  emitMil([conv(input([1, 1, 20, 20]), ones(1, 1, 16, 13))]);
});

Deno.test("programs that cannot exist are refused", () => {
  const x = input([1, 4]);
  assertThrows(() => emitMil([]), ArgumentError, "no outputs");
  assertThrows(() => emitMil([x]), ArgumentError, "no operations");
  assertThrows(() => emitMil([x.greater(x)]), DtypeError, "output 0 (greater, [1, 4]) is bool");
});

Deno.test("weights beyond fp16 are reported, and the report can be silenced", () => {
  const seen: string[] = [];
  const restore = onWarning((kind, message) => seen.push(`${kind}: ${message}`));
  try {
    emitMil([input([1, 1]).matmul([[1e6]])]);
    assertEquals(seen, [
      "fp16-range: matmul: weight element 0 is 1000000; it becomes infinite in fp16 (largest 65504)",
    ]);
    input([1]).adds(70000);
    assertEquals(seen.length, 2);
    input([1]).adds(Infinity).adds(65519);
    const speak = silence("fp16-range");
    input([1]).muls(-70000);
    speak();
    assertEquals(seen.length, 2);
    input([1]).muls(-70000);
    assertEquals(seen.length, 3);
  } finally {
    restore();
  }
});

Deno.test("a chain of 10,000 operations is written in linear time", () => {
  const chain = (length: number): number => {
    let y = input([2, 8]);
    for (let i = 0; i < length; i++) y = y.tanh();
    const start = performance.now();
    const program = emitMil([y]);
    assertEquals(program.opCount, length);
    return performance.now() - start;
  };
  chain(1000);
  const elapsed = chain(10_000);
  assertEquals(elapsed < 1000, true, `took ${elapsed} ms`);
});
