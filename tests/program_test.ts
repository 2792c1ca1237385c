// Program: ports, copies, views, asynchronous runs, the end of life. The MIL texts are written by hand.

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { liveProgramCount, MAX_PROGRAMS, type PortSpec, Program } from "../ffi/program.ts";
import { ArgumentError, CompileError, DispatchError, DtypeError, ReleasedError, ShapeError } from "../src/errors.ts";

const HEADER = `program(1.3)
[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3520.4.1"}, {"coremlc-version", "3520.5.1"}})]
{
    func main<ios18>(`;

const dir = Deno.makeTempDirSync({ prefix: "aneforge_program_" });
globalThis.addEventListener("unload", () => Deno.removeSync(dir, { recursive: true }));
let written = 0;

/** Writes a program and gives its files. */
function files(text: string, weights?: Uint8Array): { milPath: string; cacheDir: string } {
  const own = `${dir}/${written++}`;
  Deno.mkdirSync(`${own}/cache`, { recursive: true });
  Deno.writeTextFileSync(`${own}/model.mil`, text);
  if (weights) Deno.writeFileSync(`${own}/weights.bin`, weights);
  return { milPath: `${own}/model.mil`, cacheDir: `${own}/cache` };
}

const fp16 = (name: string, ...shape: number[]): PortSpec => ({ name, dtype: "fp16", shape });

const RELU = `${HEADER}tensor<fp16, [1, 4]> t0) {
        tensor<fp16, [1, 4]> t1 = relu(x = t0)[name = string("t1")];
    } -> (t1);
}
`;

function relu(): Program {
  return Program.compile({ ...files(RELU), inputs: [fp16("t0", 1, 4)], outputs: [fp16("t1", 1, 4)] });
}

const COUNTER = `${HEADER}tensor<fp16, [1, 4]> t0) {
        fp16 t1_k = const()[name = string("t1_k"), val = fp16(0x1.0000000000000p+0)];
        tensor<fp16, [1, 4]> t1 = add(x = t0, y = t1_k)[name = string("t1")];
    } -> (t1);
}
`;

function counter(): Program {
  return Program.compile({ ...files(COUNTER), inputs: [fp16("t0", 1, 4)], outputs: [fp16("t1", 1, 4)] });
}

Deno.test("a program runs, and its ports can be written and read as fp32 and fp16", () => {
  using program = relu();
  const out = new Float32Array(4);
  program.writeF32(0, new Float32Array([-1, 0.1, 65520, 1e-8]));
  program.execute();
  program.readF32(0, out);
  assertEquals([...out], [0, Math.f16round(0.1), Infinity, 0]);
  program.writeF16(0, new Float16Array([NaN, -Infinity, Infinity, -0.5]));
  program.execute();
  const half = new Float16Array(4);
  program.readF16(0, half);
  assertEquals([...half].slice(1), [0, Infinity, 0]);
  program.writeF16(0, new Uint16Array([0x3c00, 0xbc00, 0x7bff, 0x0001])); // bits of 1, -1, 65504, 2^-24
  program.execute();
  const bits = new Uint16Array(4);
  program.readF16(0, bits);
  assertEquals([...bits], [0x3c00, 0, 0x7bff, 0x0001]);
});

Deno.test("inputs keep their values between runs", () => {
  using program = relu();
  const out = new Float32Array(4);
  program.execute();
  program.readF32(0, out);
  assertEquals([...out], [0, 0, 0, 0]);
  program.writeF32(0, new Float32Array([1, 2, 3, 4]));
  for (let i = 0; i < 3; i++) {
    program.execute();
    program.readF32(0, out);
    assertEquals([...out], [1, 2, 3, 4]);
  }
});

Deno.test("views are the ports' memory: the same array each time, empty after release", () => {
  const program = relu();
  const x = program.inputView(0) as Float16Array;
  const y = program.outputView(0);
  assertStrictEquals(program.inputView(0), x);
  assertStrictEquals(program.outputView(0), y);
  assertEquals([x.constructor, x.length, y.length], [Float16Array, 4, 4]);
  x.set([-2, 3, 0.5, -0.25]);
  program.execute();
  assertEquals([...y], [0, 3, 0.5, 0]);
  program.release();
  assertEquals([x.length, y.length, x[0]], [0, 0, undefined]);
  x[0] = 1; // goes nowhere
  assertThrows(() => program.inputView(0), ReleasedError, "inputView");
});

Deno.test("integer ports take their own element type only", () => {
  const text = `${HEADER}tensor<uint8, [1, 3]> t0) {
        string t1_d = const()[name = string("t1_d"), val = string("fp16")];
        tensor<fp16, [1, 3]> t1 = cast(dtype = t1_d, x = t0)[name = string("t1")];
    } -> (t1);
}
`;
  using program = Program.compile({
    ...files(text),
    inputs: [{ name: "t0", dtype: "uint8", shape: [1, 3] }],
    outputs: [fp16("t1", 1, 3)],
  });
  program.writeBytes(0, new Uint8Array([0, 128, 255]));
  program.execute();
  assertEquals([...program.outputView(0)], [0, 128, 255]);
  assertEquals(program.inputView(0), new Uint8Array([0, 128, 255]));
  assertThrows(() => program.writeF32(0, new Float32Array(3)), DtypeError, "input 't0' (index 0) is uint8");
  assertThrows(() => program.writeF16(0, new Float16Array(3)), DtypeError, "use writeBytes");
  assertThrows(
    () => program.writeBytes(0, new Uint8Array(4)),
    ShapeError,
    "expected 3 elements in 3 bytes, got 4 bytes",
  );
});

Deno.test("wrong sizes, types and indices are refused before they reach the device", () => {
  using program = relu();
  for (const n of [0, 3, 5]) {
    assertThrows(() => program.writeF32(0, new Float32Array(n)), ShapeError, `got ${4 * n} bytes`);
    assertThrows(() => program.readF32(0, new Float32Array(n)), ShapeError, `got ${4 * n} bytes`);
    assertThrows(() => program.writeF16(0, new Uint16Array(n)), ShapeError, `got ${2 * n} bytes`);
    assertThrows(() => program.readF16(0, new Uint16Array(n)), ShapeError, `got ${2 * n} bytes`);
  }
  for (const i of [-1, 1, 0.5, NaN]) {
    assertThrows(() => program.writeF32(i, new Float32Array(4)), ArgumentError, "the program has 1: t0");
    assertThrows(() => program.readF32(i, new Float32Array(4)), ArgumentError, "the program has 1: t1");
    assertThrows(() => program.inputView(i), ArgumentError, "no input");
    assertThrows(() => program.outputView(i), ArgumentError, "no output");
    assertThrows(() => program.shareBuffer(0, i), ArgumentError, "no input");
    assertThrows(() => program.shareBuffer(i, 0), ArgumentError, "no output");
  }
  assertThrows(() => program.writeBytes(0, new Uint8Array(8)), DtypeError, "is fp16; use writeF32 or writeF16");
  // A short array of small elements must not be read as a long one.
  assertThrows(() => program.writeF32(0, new Uint8Array(4) as unknown as Float32Array), ShapeError, "got 4 bytes");
});

Deno.test("a shared buffer carries the state from run to run", () => {
  using program = counter();
  const before = program.inputView(0);
  program.shareBuffer(0, 0);
  assertEquals(before.length, 0, "the input's own memory is gone");
  const state = program.outputView(0);
  for (let i = 1; i <= 3; i++) {
    program.execute();
    assertEquals([...state], [i, i, i, i]);
  }
  program.writeF32(0, new Float32Array([10, 20, 30, 40])); // seeds the shared memory
  program.execute();
  assertEquals([...state], [11, 21, 31, 41]);
  assertNotStrictEquals(program.inputView(0), before);
  assertEquals([...program.inputView(0)], [11, 21, 31, 41]);
});

Deno.test("buffers can be shared only before the first run, and only between equal ports", () => {
  using program = counter();
  program.execute();
  assertThrows(() => program.shareBuffer(0, 0), DispatchError);
  const text = RELU.replace("t0) {", "t0, tensor<fp16, [1, 3]> u) {").replace(
    "    } -> (t1)",
    '        tensor<fp16, [1, 3]> v = relu(x = u)[name = string("v")];\n    } -> (t1, v)',
  );
  using other = Program.compile({
    ...files(text),
    inputs: [fp16("t0", 1, 4), fp16("u", 1, 3)],
    outputs: [fp16("t1", 1, 4), fp16("v", 1, 3)],
  });
  assertThrows(() => other.shareBuffer(0, 1), ShapeError, "output 't1' is fp16 [1,4], input 'u' fp16 [1,3]");
});

Deno.test("a submitted run does not block, and everything else waits for it", async () => {
  using program = relu();
  program.writeF32(0, new Float32Array([-1, 2, -3, 4]));
  const before = program.signaledValue;
  const run = program.submit();
  assert(program.inFlight);
  for (
    const call of [
      () => program.execute(),
      () => program.writeF32(0, new Float32Array(4)),
      () => program.readF32(0, new Float32Array(4)),
      () => program.inputView(0),
      () => program.shareBuffer(0, 0),
    ]
  ) assertThrows(call, DispatchError, "still in flight");
  await assertRejects(() => program.submit(), DispatchError, "still in flight");
  await run;
  assert(!program.inFlight);
  assertEquals(program.signaledValue, before + 1n);
  assertEquals([...program.outputView(0)], [0, 2, 0, 4]);
});

Deno.test("programs run side by side", async () => {
  const programs = Array.from({ length: 8 }, relu);
  programs.forEach((program, i) => program.writeF32(0, new Float32Array([i, -i, 2 * i, 1])));
  await Promise.all(programs.map((program) => program.submit()));
  programs.forEach((program, i) => assertEquals([...program.outputView(0)], [i, 0, 2 * i, 1]));
  programs.forEach((program) => program.release());
});

Deno.test("release is final, happens once, and waits for a run in flight", async () => {
  const count = liveProgramCount();
  const program = relu();
  assertEquals(liveProgramCount(), count + 1);
  program.release();
  program.release();
  program[Symbol.dispose]();
  assertEquals([program.released, liveProgramCount()], [true, count]);
  for (
    const call of [
      () => program.execute(),
      () => program.writeF32(0, new Float32Array(4)),
      () => program.writeBytes(0, new Uint8Array(8)),
      () => program.readF16(0, new Uint16Array(4)),
      () => program.outputView(0),
      () => program.shareBuffer(0, 0),
      () => program.signaledValue,
    ]
  ) assertThrows(call, ReleasedError, "the program was released");
  await assertRejects(() => program.submit(), ReleasedError);

  const flying = relu();
  const run = flying.submit();
  flying.release();
  assert(flying.released);
  await run;
  assertEquals(liveProgramCount(), count);
});

Deno.test("a forgotten program is given back by the garbage collector", async () => {
  const script = `import { liveProgramCount, Program } from ${
    JSON.stringify(new URL("../ffi/program.ts", import.meta.url).href)
  };
    const port = (name) => ({ name, dtype: "fp16", shape: [1, 4] });
    const files = ${JSON.stringify(files(RELU))};
    const make = () => Program.compile({ ...files, inputs: [port("t0")], outputs: [port("t1")] });
    const view = make().outputView(0); // keeps its program
    for (let i = 0; i < 20; i++) make();
    for (let i = 0; i < 50 && liveProgramCount() > 1; i++) { gc(); await new Promise((r) => setTimeout(r, 10)); }
    view[0] = 1;
    console.log(liveProgramCount(), view[0]);`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", "--v8-flags=--expose-gc", script],
    stderr: "piped",
  }).output();
  assertEquals(new TextDecoder().decode(stdout).trim(), "1 1", new TextDecoder().decode(stderr));
});

Deno.test(`a process holds ${MAX_PROGRAMS} programs; releasing one makes room`, () => {
  const room = MAX_PROGRAMS - liveProgramCount();
  const held = Array.from({ length: room }, relu);
  assertEquals(liveProgramCount(), MAX_PROGRAMS);
  const error = assertThrows(relu, CompileError);
  assertMatch(error.message, /128 programs are alive in this process, which is the limit: release\(\) some/);
  held.pop()!.release();
  relu().release();
  held.forEach((program) => program.release());
  assertEquals(liveProgramCount(), MAX_PROGRAMS - room);
});

Deno.test("what the device cannot compile is a CompileError with its text and the path", () => {
  const compile = (text: string, inputs = [fp16("t0", 1, 4)], outputs = [fp16("t1", 1, 4)]) => () => {
    Program.compile({ ...files(text), inputs, outputs }).release();
  };
  const line = 'tensor<fp16, [1, 4]> t1 = relu(x = t0)[name = string("t1")];';
  const error = assertThrows(compile(RELU.replace(line, "tensor<fp16, [1, 4]> t1 = ")), CompileError);
  assertMatch(error.message, /af_program_compile failed \(mil=.*model\.mil, mask=0x4\): /);
  assertMatch(error.message, /model\.mil:\d+:\d+/, "the place in the text");
  for (
    const [name, text] of [
      ["empty file", ""],
      ["binary", "\0\0\0\0"],
      ["unknown op", RELU.replace("relu", "relux")],
      ["undefined name", RELU.replace("x = t0", "x = t9")],
      ["empty body", RELU.replace(line, "").replace("(t1)", "(t0)")],
      ["wrong result shape", RELU.replace("tensor<fp16, [1, 4]> t1", "tensor<fp16, [1, 5]> t1")],
    ]
  ) assertThrows(compile(text!), CompileError, "af_program_compile failed", name);
  assertThrows(compile(RELU, [fp16("x", 1, 4)]), CompileError, "x");
  assertThrows(compile(RELU, [fp16("t0", 1, 4)], [fp16("y", 1, 4)]), CompileError, "y");
  assertThrows(
    compile(RELU, [fp16("t0", 1, 4)], [{ name: "t1", dtype: "uint8", shape: [1, 4] }]),
    DtypeError,
    "fp16 outputs only",
  );
  assertThrows(compile(RELU, [fp16("t0", 1, -4)]), ShapeError);
  assertThrows(
    () =>
      Program.compile({
        milPath: `${dir}/nowhere/model.mil`,
        cacheDir: dir,
        inputs: [fp16("t0", 1, 4)],
        outputs: [fp16("t1", 1, 4)],
      }),
    CompileError,
    "nowhere/model.mil",
  );
});

Deno.test("weights that are missing, cut or damaged are a CompileError", () => {
  const text = `${HEADER}tensor<fp16, [1, 4]> t0) {
        tensor<fp16, [1, 4]> w = const()[name = string("w"), val = tensor<fp16, [1, 4]>(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(64)))];
        tensor<fp16, [1, 4]> t1 = mul(x = t0, y = w)[name = string("t1")];
    } -> (t1);
}
`;
  const good = new Uint8Array(136);
  const view = new DataView(good.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, 2, true);
  view.setUint32(64, 0xdeadbeef, true);
  view.setUint32(68, 1, true);
  view.setBigUint64(72, 8n, true);
  view.setBigUint64(80, 128n, true);
  [1, 2, 3, 4].forEach((value, i) => view.setFloat16(128 + 2 * i, value, true));
  const compile = (weights?: Uint8Array) =>
    Program.compile({ ...files(text, weights), inputs: [fp16("t0", 1, 4)], outputs: [fp16("t1", 1, 4)] });
  using program = compile(good);
  program.writeF32(0, new Float32Array([1, 1, 1, 1]));
  program.execute();
  assertEquals([...program.outputView(0)], [1, 2, 3, 4]);
  const patched = (at: number, byte: number): Uint8Array => {
    const bytes = good.slice();
    bytes[at] = byte;
    return bytes;
  };
  const bad: [string, Uint8Array | undefined][] = [
    ["missing", undefined],
    ["empty", new Uint8Array(0)],
    ["header only", good.subarray(0, 64)],
    ["cut in the payload", good.subarray(0, 135)],
    ["magic", patched(64, 0)],
    ["dtype", patched(68, 3)],
    ["length", patched(72, 6)],
    ["offset beyond the file", patched(81, 1)],
    ["huge offset", patched(87, 0xff)],
    ["huge length", patched(79, 0xff)],
  ];
  for (const [name, weights] of bad) {
    assertThrows(() => compile(weights), CompileError, "af_program_compile failed", name);
  }
});
