// compile, Model, MultiModel: what goes in, what comes out, and every wrong way to use them.

import {
  assert,
  assertEquals,
  assertMatch,
  assertNotStrictEquals,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import * as af from "../mod.ts";
import { programKey, programsDir, writeProgram } from "../src/compile/cache.ts";
import type { CompileOptions } from "../mod.ts";

af.silence("dispatch-floor");
const cache = Deno.makeTempDirSync({ prefix: "aneforge_model_" });
Deno.env.set("ANEFORGE_CACHE_DIR", cache);
globalThis.addEventListener("unload", () => Deno.removeSync(cache, { recursive: true }));

/** relu(x) of [2, 3]. */
function relu(): af.Model {
  return af.compile(af.input([2, 3]).relu());
}

const SIX = [[-1, 2, -3], [4, -5, 6]];
const RECTIFIED = [[0, 2, 0], [4, 0, 6]];

Deno.test("run takes NDArrays, nested arrays and typed arrays, and gives a fresh NDArray", () => {
  using net = relu();
  const flat = SIX.flat();
  const forms: af.TensorData[] = [
    SIX,
    af.array(SIX),
    new Float32Array(flat),
    new Float64Array(flat),
    new Float16Array(flat),
    new Int8Array(flat),
    new Int16Array(flat),
    new Int32Array(flat),
  ];
  const results = forms.map((form) => net.run(form));
  for (const [i, result] of results.entries()) {
    assert(result instanceof af.NDArray);
    assertEquals(result.toNested(), RECTIFIED, `form ${i}`);
  }
  assertNotStrictEquals(results[0]!.data, results[1]!.data);
  assertEquals(net.run(new Uint16Array([1, 2, 3, 4, 5, 65535])).toNested(), [[1, 2, 3], [4, 5, Infinity]]);
});

Deno.test("numbers are rounded once, to nearest even fp16; NaN and infinities pass", () => {
  using net = af.compile(af.input([6]).muls(1));
  // Via fp32 the first would round twice: 1 + 2^-11 + 2^-40 is above the middle of 1 and 1 + 2^-10.
  const values = [1 + 2 ** -11 + 2 ** -40, 1 + 2 ** -11, 65519.99, 65520, NaN, -Infinity];
  // The Neural Engine takes a NaN for plus infinity.
  const expected = [1 + 2 ** -10, 1, 65504, Infinity, Infinity, -Infinity];
  assertEquals([...net.run(values).data], expected);
  assertEquals([...net.run(new Float64Array(values)).data], expected);
});

Deno.test("a bare input is copied, an integer input cast", () => {
  using copy = af.compile(af.input([2, 3]));
  assertEquals(copy.run(SIX).toNested(), SIX);
  using cast = af.compile(af.input([4], { dtype: "uint8" }));
  assertEquals([...cast.run(new Uint8Array([0, 1, 254, 255])).data], [0, 1, 254, 255]);
});

Deno.test("inputs come in the order they were created, whatever the graph's order", () => {
  const a = af.input([2]), b = af.input([3]), c = af.input([2]);
  using net = af.compile(af.concat([c.sub(a), b], 0));
  assertEquals(net.inputs.map((port) => port.tensorId), [a.id, b.id, c.id]);
  assertEquals(net.inputs.map((port) => port.shape), [[2], [3], [2]]);
  assertEquals([...net.run([1, 2], [3, 4, 5], [10, 20]).data], [9, 18, 3, 4, 5]);
  assertEquals(net.nOps, 2);
});

Deno.test("integer ports take integers of their range from anywhere, and nothing else", () => {
  using net = af.compile(af.input([1, 3], { dtype: "uint8" }).cast().muls(2));
  const expected = [0, 256, 510];
  for (
    const form of [
      new Uint8Array([0, 128, 255]),
      new Uint8ClampedArray([0, 128, 255]),
      new Int16Array([0, 128, 255]),
      new Uint32Array([0, 128, 255]),
      new Float32Array([0, 128, 255]),
      new Float64Array([0, 128, 255]),
      [[0, 128, 255]],
      af.array([[0, 128, 255]]),
    ]
  ) assertEquals([...net.run(form).data], expected, form.constructor.name);
  for (const bad of [0.5, 256, -1, NaN, Infinity]) {
    assertThrows(
      () => net.run([[0, bad, 0]]),
      af.DtypeError,
      `input '${net.inputs[0]!.name}' (index 0) is uint8: element 1`,
    );
    assertThrows(() => net.run(new Float32Array([0, bad, 0])), af.DtypeError, "expected an integer from 0 to 255");
  }
  assertThrows(() => net.run(new Int32Array([0, 2 ** 24 + 1, 0])), af.DtypeError, "is 16777217");
});

Deno.test("wrong inputs are refused with the port, what was expected and what came", () => {
  using net = relu();
  const name = net.inputs[0]!.name;
  const bad: [unknown[], new (...args: never[]) => Error, string][] = [
    [[], af.ArgumentError, "expected 1 input(s), got 0"],
    [[SIX, SIX], af.ArgumentError, "expected 1 input(s), got 2"],
    [[[1, 2, 3, 4, 5, 6]], af.ShapeError, `input '${name}' (index 0): expected shape [2, 3], got [6]`],
    [[[[1, 2], [3, 4], [5, 6]]], af.ShapeError, "expected shape [2, 3], got [3, 2]"],
    [[[[1, 2, 3], [4, 5]]], af.ShapeError, `input '${name}' (index 0): array: nested lists are ragged`],
    [[[]], af.ShapeError, "expected shape [2, 3], got [0]"],
    [[1], af.ShapeError, "expected shape [2, 3], got []"],
    [[new Float32Array(5)], af.ShapeError, "expected 6 elements for shape [2, 3], got 5"],
    [[new Float16Array(7)], af.ShapeError, "expected 6 elements for shape [2, 3], got 7"],
    [[new DataView(new ArrayBuffer(6))], af.ShapeError, "got undefined"],
    [[new BigInt64Array(6)], af.DtypeError, "BigInt64Array"],
    [[[["1", 2, 3], [4, 5, 6]]], af.DtypeError, "expected a number"],
    [[null], af.DtypeError, "got null"],
    [[undefined], af.DtypeError, "got undefined"],
    [["abcdef"], af.DtypeError, "got string"],
    [[{ length: 6 }], af.DtypeError, "got object"],
    [[af.input([2, 3])], af.DtypeError, "got object"],
  ];
  for (const [inputs, kind, text] of bad) {
    assertThrows(() => net.run(...inputs as af.TensorData[]), kind as never, text);
  }
  assertEquals(net.run(SIX).toNested(), RECTIFIED, "the model still works");
});

Deno.test("runInto writes into the caller's buffers and checks them first", () => {
  using net = relu();
  const out = new Float32Array(6), half = new Float16Array(6);
  net.runInto([new Float32Array(SIX.flat())], [out]);
  assertEquals([...out], RECTIFIED.flat());
  net.runInto([SIX], [half]);
  assertEquals([...half], RECTIFIED.flat());
  assertThrows(() => net.runInto([SIX], []), af.ArgumentError, "expected 1 output buffer(s), got 0");
  assertThrows(() => net.runInto([SIX], [new Float32Array(5)]), af.ShapeError, "got 5 elements");
  assertThrows(() => net.runInto([SIX], [new Uint8Array(6) as never]), af.ShapeError, "expected a Float32Array");
  assertThrows(() => net.runInto([], [out]), af.ArgumentError, "expected 1 input(s), got 0");
});

Deno.test("views and execute run without a copy", () => {
  const x = af.input([2, 3]), y = x.relu();
  using net = af.compile(y);
  const view = net.inputView(x);
  assertStrictEquals(net.inputView(), view);
  assertStrictEquals(net.inputView(net.inputs[0]!.name), view);
  view.set(SIX.flat());
  net.execute();
  assertEquals([...net.outputView(y)], RECTIFIED.flat());
  assertEquals(net.readOutput().toNested(), RECTIFIED);
  net.setInput(0, [[1, 1, 1], [-1, -1, -1]]);
  net.execute();
  assertEquals([...net.outputView()], [1, 1, 1, 0, 0, 0]);
  for (const key of [1, -1, "nothing", af.input([2, 3])]) {
    assertThrows(() => net.inputView(key), af.ArgumentError, "inputView: no input");
    assertThrows(() => net.outputView(key), af.ArgumentError, "outputView: no output");
  }
});

Deno.test("a multi model gives its outputs by index and by name", () => {
  const x = af.input([4]);
  const positive = x.relu(), doubled = x.muls(2);
  using net = af.compileMulti([doubled, positive, doubled]);
  const out = net.run([-1, 2, -3, 4]);
  assertEquals([...out[0]!.data], [-2, 4, -6, 8]);
  assertEquals([...out[1]!.data], [0, 2, 0, 4]);
  assertEquals([...out[2]!.data], [-2, 4, -6, 8]);
  for (const [i, port] of net.outputs.entries()) assertEquals(out[port.name]!.data, out[i]!.data);
  assertEquals([...net.outputView(positive)], [0, 2, 0, 4]);
  assertEquals([...net.outputView(doubled)], [-2, 4, -6, 8]);
});

Deno.test("a multi model shares an output with an input, by tensor, index or name", () => {
  for (const by of ["tensor", "index", "name"]) {
    const state = af.input([1, 2]), step = af.input([1, 2]);
    const next = state.add(step);
    using net = af.compileMulti([next, next.muls(10)]);
    if (by === "tensor") net.shareBuffer(next, state);
    else if (by === "index") net.shareBuffer(0, 0);
    else net.shareBuffer(net.outputs[0]!.name, net.inputs[0]!.name);
    net.setInput(step, [[1, 2]]);
    for (let i = 1; i <= 4; i++) {
      net.execute();
      assertEquals(net.readOutput(1).toNested(), [[10 * i, 20 * i]], by);
    }
    assertThrows(() => net.shareBuffer(0, 0), af.DispatchError);
    assertThrows(() => net.shareBuffer(5, 0), af.ArgumentError, "no output 5");
  }
});

Deno.test("asynchronous runs take their inputs when called and end in order", async () => {
  using net = relu();
  const x = new Float32Array(6);
  const ends: number[] = [];
  const runs = Array.from({ length: 10 }, (_, i) => {
    x.fill(i);
    const run = net.runAsync(x);
    run.then(() => ends.push(i));
    return run;
  });
  x.fill(-1);
  let ticks = 0;
  const timer = setInterval(() => ticks++, 0);
  const results = await Promise.all(runs);
  clearInterval(timer);
  results.forEach((result, i) => assertEquals([...result.data], Array(6).fill(i)));
  assertEquals(ends, [...ends].sort((a, b) => a - b));
  const nested = [[1, -1, 1], [1, 1, 1]];
  const array = af.array(nested);
  const late = [net.runAsync(nested), net.runAsync(array), net.runAsync(new Float16Array(nested.flat()))];
  nested[0]![0] = 7;
  array.data[0] = 7;
  for (const result of await Promise.all(late)) assertEquals(result.at(0, 0), 1);
});

Deno.test("the event loop goes on while a long run is in flight", async () => {
  let y = af.input([1, 512]);
  const w = af.array(new Float32Array(512 * 512).fill(0.001), [512, 512]);
  for (let i = 0; i < 40; i++) y = y.matmul(w).relu();
  using net = af.compile(y);
  let ticks = 0, done = false;
  const run = net.runAsync(new Float32Array(512)).then(() => done = true);
  while (!done) {
    ticks++;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await run;
  assert(ticks >= 1);
});

Deno.test("synchronous calls are refused while asynchronous ones are under way", async () => {
  using net = relu();
  const first = net.runAsync(SIX), second = net.runAsync(SIX);
  for (const call of [() => net.run(SIX), () => net.execute(), () => net.setInput(0, SIX), () => net.readOutput()]) {
    assertThrows(call, af.DispatchError, "2 call(s) of runAsync have not ended; await them first");
  }
  await Promise.all([first, second]);
  assertEquals(net.run(SIX).toNested(), RECTIFIED);
});

Deno.test("wrong inputs of runAsync reject and do not hold up the queue", async () => {
  using net = relu();
  const results = await Promise.allSettled([net.runAsync(SIX), net.runAsync([1]), net.runAsync(), net.runAsync(SIX)]);
  assertEquals(results.map((result) => result.status), ["fulfilled", "rejected", "rejected", "fulfilled"]);
  assert((results[1] as PromiseRejectedResult).reason instanceof af.ShapeError);
  assert((results[2] as PromiseRejectedResult).reason instanceof af.ArgumentError);
});

Deno.test("release lets the run in flight end and rejects the queued ones", async () => {
  const count = af.liveProgramCount();
  const net = relu();
  const runs = [net.runAsync(SIX), net.runAsync(SIX), net.runAsync(SIX)];
  await Promise.resolve(); // the first one starts
  net.release();
  assert(net.released);
  const results = await Promise.allSettled(runs);
  assertEquals(results.map((result) => result.status), ["fulfilled", "rejected", "rejected"]);
  assertEquals((results[0] as PromiseFulfilledResult<af.NDArray>).value.toNested(), RECTIFIED);
  assert((results[2] as PromiseRejectedResult).reason instanceof af.ReleasedError);
  assertEquals(af.liveProgramCount(), count);
});

Deno.test("a released model refuses everything, and releasing again does nothing", async () => {
  const count = af.liveProgramCount();
  const net = relu();
  const view = net.outputView();
  net.release();
  net.release();
  net[Symbol.dispose]();
  assertEquals([net.released, view.length, af.liveProgramCount()], [true, 0, count]);
  const calls = [
    () => net.run(SIX),
    () => net.runInto([SIX], [new Float32Array(6)]),
    () => net.execute(),
    () => net.inputView(),
    () => net.outputView(),
    () => net.setInput(0, SIX),
    () => net.readOutput(),
  ];
  for (const call of calls) assertThrows(call, af.ReleasedError, "the model was released");
  await assertRejects(() => net.runAsync(SIX), af.ReleasedError);
});

Deno.test("graphs that cannot be compiled are refused", () => {
  const x = af.input([4]);
  assertThrows(() => af.compile(af.constant([1, 2, 3]).muls(2)), af.ArgumentError, "graph has no inputs");
  assertThrows(() => af.compileMulti([]), af.ArgumentError, "no outputs given");
  assertThrows(() => af.compile(x.greater(0)), af.DtypeError, "bool");
  assertThrows(() => af.compile(x.relu(), { target: "h99" }), af.ArgumentError, 'unknown target "h99"');
  assertThrows(() => af.compile(x.relu(), { target: "h12" }), af.UnsupportedOpError, "MIL is only supported for H13+");
  const option = (options: unknown) => () => af.compile(x.relu(), options as CompileOptions);
  assertThrows(option({ opt: 7 }), af.ArgumentError, "unknown opt=7 (use 0, 1, 2, 'max', or 'routes')");
  assertThrows(option({ validate: 1 }), af.ArgumentError, "validate must be true or false");
  assertThrows(() => af.compileMulti([x.relu()], { opt: 1 }), af.UnsupportedOpError, "compiles graphs as written");
  assertThrows(() => af.compileMulti([x.relu()], { validate: true }), af.UnsupportedOpError, "precisionRisk");
  assertThrows(option({ compress: "int7" }), af.ArgumentError, 'unknown compress="int7"');
  assertThrows(option({ builddir: "x" }), af.ArgumentError, 'unknown option "builddir"');
  assertThrows(option({ buildDir: "" }), af.ArgumentError, "buildDir must be the path");
  assertThrows(option({ buildDir: 3 }), af.ArgumentError, "buildDir must be the path");
  af.compile(x.relu(), { target: "H17s", opt: 0 }).release();
});

Deno.test("programs are cached by their hash, and damaged files are written again", () => {
  const graph = () => af.input([1, 4]).matmul(af.array([[1, 2], [3, 4], [5, 6], [7, 8]]));
  const names = () => [...Deno.readDirSync(cache)].map((entry) => entry.name).sort();
  const before = names();
  af.compile(graph()).release();
  const added = names().filter((name) => !before.includes(name));
  assertEquals(added.length, 1);
  const dir = `${cache}/${added[0]}`;
  const text = Deno.readTextFileSync(`${dir}/model.mil`), weights = Deno.readFileSync(`${dir}/weights.bin`);
  assertEquals(added[0], programKey(text, weights));
  assertMatch(added[0]!, /^[0-9a-f]{24}$/);
  assertEquals(programsDir(), cache);

  const mtime = Deno.statSync(`${dir}/weights.bin`).mtime;
  af.compile(graph()).release();
  assertEquals(Deno.statSync(`${dir}/weights.bin`).mtime, mtime, "whole files are kept");
  const damages = [
    () => Deno.writeFileSync(`${dir}/weights.bin`, weights.subarray(0, 70)),
    () => Deno.removeSync(`${dir}/weights.bin`),
    () => Deno.writeFileSync(`${dir}/weights.bin`, weights.map((byte, i) => (i < 128 ? byte : 0))),
    () => Deno.writeTextFileSync(`${dir}/model.mil`, "program("),
    () => Deno.removeSync(dir, { recursive: true }),
  ];
  for (const damage of damages) {
    damage();
    using net = af.compile(graph());
    assertEquals([...net.run([[1, 1, 1, 1]]).data], [16, 20]);
    assertEquals(Deno.readFileSync(`${dir}/weights.bin`), weights);
    assertEquals([...Deno.readDirSync(dir)].map((entry) => entry.name).sort(), ["cache", "model.mil", "weights.bin"]);
  }
});

Deno.test("an explicit directory is used as it is and always written", () => {
  const buildDir = `${cache}/own/deep`;
  using net = af.compile(af.input([1, 4]).relu(), { buildDir });
  assertEquals(net.run([[-1, 0, 1, 2]]).toNested(), [[0, 0, 1, 2]]);
  Deno.writeTextFileSync(`${buildDir}/model.mil`, "x".repeat(Deno.statSync(`${buildDir}/model.mil`).size));
  af.compile(af.input([1, 4]).relu(), { buildDir }).release();
  assert(Deno.readTextFileSync(`${buildDir}/model.mil`).startsWith("program(1.3)\n"));
});

Deno.test("a directory that cannot be written is named", () => {
  const file = `${cache}/file`;
  Deno.writeTextFileSync(file, "");
  const x = af.input([4]).relu();
  assertThrows(
    () => af.compile(x, { buildDir: `${file}/x` }),
    af.DataError,
    `cannot write the program to ${file}/x`,
  );
  Deno.env.set("ANEFORGE_CACHE_DIR", file);
  try {
    assertThrows(() => af.compile(x), af.DataError, "set ANEFORGE_CACHE_DIR to a writable directory");
  } finally {
    Deno.env.set("ANEFORGE_CACHE_DIR", cache);
  }
});

Deno.test("one program too many is an error that says so, and releasing makes room", () => {
  const held: af.Model[] = [];
  while (af.liveProgramCount() < af.MAX_PROGRAMS) held.push(relu());
  assertThrows(relu, af.CompileError, "128 programs are alive");
  held.pop()!.release();
  relu().release();
  held.forEach((net) => net.release());
});

Deno.test("a failed compile holds back the next one, strictly if asked", async () => {
  const script = `import * as af from ${JSON.stringify(new URL("../mod.ts", import.meta.url).href)};
    const held = [];
    const names = [];
    const attempt = (graph = af.input([4]).relu()) => {
      try { held.push(af.compile(graph)); } catch (error) { names.push(error.name); }
    };
    while (held.length < af.MAX_PROGRAMS) attempt();
    attempt(); // a full device is no reason to wait
    held.pop().release();
    const x = af.input([1, 1, 2, 3, 4]);
    attempt(x.transpose([0, 1, 2, 4, 3]).matmul(x)); // refused by the compiler
    attempt();
    af.resetCompileBreaker();
    attempt();
    console.log(names.join(" "), held.length);`;
  const env = {
    ANEFORGE_COMPILE_BREAKER_STRICT: "1",
    ANEFORGE_COMPILE_BACKOFF: "60",
    ANEFORGE_DISABLE_COMPILE_BREAKER: "0",
  };
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args: ["eval", "--quiet", script], env })
    .output();
  const text = new TextDecoder().decode(stdout).trim();
  assertEquals(text, "CompileError CompileError CompileBackoffError 128", new TextDecoder().decode(stderr));
});

Deno.test("a program file appears whole: text and weights by rename", () => {
  const dir = `${cache}/whole`;
  writeProgram("text", new Uint8Array(3), dir);
  const first = Deno.statSync(`${dir}/weights.bin`).ino;
  writeProgram("other", new Uint8Array(5), dir);
  assertEquals(Deno.readTextFileSync(`${dir}/model.mil`), "other");
  assert(Deno.statSync(`${dir}/weights.bin`).ino !== first);
  assertEquals([...Deno.readDirSync(dir)].length, 3);
});
