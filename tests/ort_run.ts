/**
 * Runs one ONNX model with ONNX Runtime, in a process of its own without the project's lock file (whatever stands there is
 * fetched by every command): `ort_run.ts PACKAGE MODEL INPUT DIMS OUTPUT`. Arrays are files of float32. Exit code 3: the
 * package cannot be loaded.
 *
 * @module
 */

const [name, model, input, dims, output] = Deno.args;
const ort = await import(name!).then((module) => module.default ?? module).catch((error) => {
  console.error(String(error));
  Deno.exit(3);
});
const session = await ort.InferenceSession.create(await Deno.readFile(model!));
const data = new Float32Array((await Deno.readFile(input!)).buffer);
const results = await session.run({ x: new ort.Tensor("float32", data, dims!.split(",").map(Number)) });
const y: Float32Array = results[session.outputNames[0]].data;
await Deno.writeFile(output!, new Uint8Array(y.buffer, y.byteOffset, y.byteLength));
