/**
 * Whole models against ONNX Runtime on the same weights: ResNet-18 and a MiniLM-shaped encoder. Skipped with a message
 * when the npm package `onnxruntime-node` or its native library cannot be loaded.
 */

import { assert } from "@std/assert";
import { type EncoderLayer, HEADS, HIDDEN, minilm, randomMinilmWeights } from "../bench/models/minilm.ts";
import { type Convolution, randomResnetWeights, resnet18, type ResnetWeights } from "../bench/models/resnet18.ts";
import { compile } from "../src/compile/compile.ts";
import type { NDArray } from "../src/graph/ndarray.ts";
import { Random } from "../src/random.ts";
import { OnnxWriter } from "./onnx_writer.ts";

/**
 * Pinned here and not in deno.json: what stands there is fetched by every command of the project, and this is 300 MB. Its
 * native library is part of the npm package; the install script, which Deno does not run, would fetch CUDA's.
 */
const PACKAGE = "npm:onnxruntime-node@1.30.0";

/** What ONNX Runtime makes of an input, or undefined when it cannot be loaded. */
async function runOrt(model: Uint8Array, x: Float32Array, shape: readonly number[]): Promise<Float32Array | undefined> {
  const dir = await Deno.makeTempDir({ prefix: "aneforge-ort-" });
  try {
    await Deno.writeFile(`${dir}/model.onnx`, model);
    await Deno.writeFile(`${dir}/x`, new Uint8Array(x.buffer, x.byteOffset, x.byteLength));
    const script = new URL("ort_run.ts", import.meta.url).pathname;
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-lock", "--no-config", "--no-check", "--no-prompt", "-A", script].concat(
        [PACKAGE, `${dir}/model.onnx`, `${dir}/x`, shape.join(), `${dir}/y`],
      ),
      env: { NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder().decode(stderr).trim();
    if (code === 3) console.warn(`skipped: ${PACKAGE} cannot be loaded: ${text}`);
    if (code === 3) return undefined;
    if (code !== 0) throw new Error(`ort_run.ts ended with ${code}: ${text}`);
    return new Float32Array((await Deno.readFile(`${dir}/y`)).buffer);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

function cosine(a: Float32Array, b: Float32Array): number {
  let ab = 0, aa = 0, bb = 0;
  for (let i = 0; i < a.length; i++) {
    ab += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return ab / Math.sqrt(aa * bb);
}

function store(onnx: OnnxWriter, values: NDArray): string {
  return onnx.tensor(values.shape, values.data);
}

function resnetOnnx(w: ResnetWeights): Uint8Array {
  const onnx = new OnnxWriter();
  const conv = (x: string, { weight, bias, stride, pad }: Convolution): string => {
    const attributes = { strides: [stride, stride], pads: [pad, pad, pad, pad], kernel_shape: weight.shape.slice(2) };
    return onnx.node("Conv", [x, store(onnx, weight), store(onnx, bias)], attributes);
  };
  const relu = (x: string): string => onnx.node("Relu", [x]);
  const pool = { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] };
  let x = onnx.node("MaxPool", [relu(conv("x", w.stem))], pool);
  for (const { first, second, shortcut } of w.blocks) {
    const y = conv(relu(conv(x, first)), second);
    x = relu(onnx.node("Add", [y, shortcut ? conv(x, shortcut) : x]));
  }
  const flat = onnx.node("Flatten", [onnx.node("GlobalAveragePool", [x])], { axis: 1 });
  const logits = onnx.node("Gemm", [flat, store(onnx, w.classifier), store(onnx, w.classifierBias)], { transB: 1 });
  return onnx.model([1, 3, 224, 224], logits, [1, 1000]);
}

function minilmOnnx(layers: readonly EncoderLayer[], tokens: number): Uint8Array {
  const onnx = new OnnxWriter(), width = HIDDEN / HEADS;
  const linear = (x: string, w: NDArray, b: NDArray): string =>
    onnx.node("Gemm", [x, store(onnx, w), store(onnx, b)], { transB: 1 });
  const split = onnx.integers([tokens, HEADS, width]), whole = onnx.integers([tokens, HIDDEN]);
  const scale = onnx.tensor([], Float32Array.of(1 / Math.sqrt(width)));
  const heads = (x: string, perm: number[]): string =>
    onnx.node("Transpose", [onnx.node("Reshape", [x, split])], { perm });
  const norm = (x: string, gamma: NDArray, beta: NDArray): string =>
    onnx.node("LayerNormalization", [x, store(onnx, gamma), store(onnx, beta)], {
      axis: 1,
      epsilon: Float32Array.of(1e-5),
    });
  let x = "x";
  for (const w of layers) {
    const q = heads(linear(x, w.wq, w.bq), [1, 0, 2]), k = heads(linear(x, w.wk, w.bk), [1, 2, 0]);
    const scores = onnx.node("Mul", [onnx.node("MatMul", [q, k]), scale]);
    const mixed = onnx.node("MatMul", [
      onnx.node("Softmax", [scores], { axis: 2 }),
      heads(linear(x, w.wv, w.bv), [1, 0, 2]),
    ]);
    const rows = onnx.node("Reshape", [onnx.node("Transpose", [mixed], { perm: [1, 0, 2] }), whole]);
    x = norm(onnx.node("Add", [x, linear(rows, w.wo, w.bo)]), w.gamma1, w.beta1);
    const up = onnx.node("Gelu", [linear(x, w.w1, w.b1)]);
    x = norm(onnx.node("Add", [x, linear(up, w.w2, w.b2)]), w.gamma2, w.beta2);
  }
  return onnx.model([tokens, HIDDEN], x, [tokens, HIDDEN]);
}

/** Least cosine of the device's and ONNX Runtime's results. */
const LEAST = 0.9999;

async function compare(
  name: string,
  model: Uint8Array,
  shape: readonly number[],
  x: Float32Array,
  got: Float32Array,
): Promise<void> {
  const expected = await runOrt(model, x, shape);
  if (!expected) return;
  assert(expected.length === got.length && got.every(Number.isFinite));
  const same = cosine(got, expected);
  console.log(`${name}: cosine ${same.toFixed(7)}`);
  assert(same >= LEAST, `${name}: cosine ${same}, expected at least ${LEAST}`);
}

Deno.test({
  name: "ResNet-18 agrees with ONNX Runtime",
  async fn() {
    const random = new Random(18), weights = randomResnetWeights(random), x = random.normals(3 * 224 * 224);
    const { logits } = resnet18(weights);
    using net = compile(logits);
    await compare("ResNet-18", resnetOnnx(weights), [1, 3, 224, 224], x, net.run(x).data);
  },
});

Deno.test({
  name: "a MiniLM encoder agrees with ONNX Runtime",
  async fn() {
    const tokens = 128,
      random = new Random(6),
      layers = randomMinilmWeights(random),
      x = random.normals(tokens * HIDDEN);
    const { hidden } = minilm(layers, tokens);
    using net = compile(hidden);
    await compare("MiniLM", minilmOnnx(layers, tokens), [tokens, HIDDEN], x, net.run(x).data);
  },
});
