/**
 * What one run costs beyond the arithmetic: relu of four values, from the most comfortable call to the bare engine.
 *
 * @module
 */

import { compile, input } from "../mod.ts";
import { Program } from "../ffi/program.ts";
import { emitMil } from "../src/mil/emit.ts";
import { writeProgram } from "../src/compile/cache.ts";
import type { PortDtype } from "../src/graph/dtype.ts";

const x = input([1, 4]);
const y = x.relu();
const net = compile(y);
const values = new Float32Array([-1, 0, 1, 2]);
const nested = [[-1, 0, 1, 2]];
const out = new Float32Array(4);
const inputs = [values], outputs = [out];
const xView = net.inputView(x), yView = net.outputView(y);

const mil = emitMil([y]);
const ports = (list: typeof mil.inputs) => list.map((port) => ({ ...port, dtype: port.dtype as PortDtype }));
const program = Program.compile({
  ...writeProgram(mil.text, mil.weights),
  inputs: ports(mil.inputs),
  outputs: ports(mil.outputs),
});

globalThis.addEventListener("unload", () => {
  net.release();
  program.release();
});

Deno.bench("run, nested arrays", { group: "relu [1,4]" }, () => {
  net.run(nested);
});

Deno.bench("run, Float32Array", { group: "relu [1,4]", baseline: true }, () => {
  net.run(values);
});

Deno.bench("runInto, Float32Array", { group: "relu [1,4]" }, () => {
  net.runInto(inputs, outputs);
});

Deno.bench("bound views and execute", { group: "relu [1,4]" }, () => {
  xView[0] = 1;
  net.execute();
  if (yView[0] !== 1) throw new Error("wrong result");
});

Deno.bench("Program: writeF32, execute, readF32", { group: "relu [1,4]" }, () => {
  program.writeF32(0, values);
  program.execute();
  program.readF32(0, out);
});

Deno.bench("Program: execute (the engine's own share)", { group: "relu [1,4]" }, () => {
  program.execute();
});

Deno.bench("Program: writeF32 (one call across the border)", { group: "relu [1,4]" }, () => {
  program.writeF32(0, values);
});

Deno.bench("runAsync, Float32Array", { group: "relu [1,4]" }, async () => {
  await net.runAsync(values);
});
