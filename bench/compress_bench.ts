/**
 * Compressed weights against fp16 in one product of one row, [1, 4096] by [4096, 4096]: bytes, error and time.
 *
 *     deno run --allow-ffi --allow-read --allow-write --allow-run --allow-env bench/compress_bench.ts
 *
 * The models take turns, so that whatever else the machine does meets all of them.
 *
 * @module
 */

import { planText } from "../ffi/engine.ts";
import { compile, type Compression, input, type Model, NDArray, silence } from "../mod.ts";

const SIZE = 4096;
const ROUNDS = 60;

silence("precision");
silence("compression-fallback");

/** Normal numbers from a 32-bit generator. */
function normal(n: number, seed: number, scale: number): Float32Array {
  let state = seed;
  const next = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return Float32Array.from({ length: n }, () => {
    const radius = Math.sqrt(-2 * Math.log(next() + 1e-12));
    return radius * Math.cos(2 * Math.PI * next()) * scale;
  });
}

const dense = new NDArray(normal(SIZE * SIZE, 1, 1 / Math.sqrt(SIZE)), [SIZE, SIZE]);
/** The same with the 68 % smallest set to zero. */
const pruned = new NDArray(dense.data.map((v) => Math.abs(v) * Math.sqrt(SIZE) < 0.9945 ? 0 : v), [SIZE, SIZE]);
const x = normal(SIZE, 2, 1);

/** x . w^T in float64. */
function exact({ data }: NDArray): Float64Array {
  return Float64Array.from({ length: SIZE }, (_, row) => {
    let sum = 0;
    for (let k = 0; k < SIZE; k++) sum += x[k]! * data[row * SIZE + k]!;
    return sum;
  });
}

function relativeError(y: Float32Array, expected: Float64Array): number {
  let difference = 0, total = 0;
  expected.forEach((v, i) => {
    difference += (y[i]! - v) ** 2;
    total += v * v;
  });
  return Math.sqrt(difference / total);
}

const MODES: readonly [name: string, compress: Compression | null, weight: NDArray][] = [
  ["fp16", null, dense],
  ["int8", "int8", dense],
  ["int4", "int4", dense],
  ["blockwise", "blockwise", dense],
  ["sparse, 68 % zeros", "sparse", pruned],
];

interface Candidate {
  readonly name: string;
  readonly net: Model;
  readonly bytes: number;
  readonly error: number;
  readonly times: number[];
}

function prepare([name, compress, weight]: typeof MODES[number]): Candidate {
  const buildDir = Deno.makeTempDirSync({ prefix: "aneforge_bench_" });
  const net = compile(input([1, SIZE]).linear(weight), { compress, compressAtol: 0.15, opt: 0, buildDir });
  const number = (text: string) => Number(new RegExp(`${text} (\\d+)`).exec(planText(`${buildDir}/model.mil`))?.[1]);
  const bytes = number("packed weight bytes") + number("folded constant bytes");
  Deno.removeSync(buildDir, { recursive: true });
  return { name, net, bytes, error: relativeError(net.run(x).data, exact(weight)), times: [] };
}

function measure(numerics: string): void {
  Deno.env.set("ANEFORGE_HOST_NUMERICS", numerics);
  const candidates = MODES.map(prepare);
  for (let round = 0; round < ROUNDS; round++) {
    for (const { net, times } of candidates) {
      const start = performance.now();
      net.execute();
      times.push(performance.now() - start);
    }
  }
  const median = (times: number[]) => times.toSorted((a, b) => a - b)[times.length >> 1]!;
  const base = candidates[0]!;
  for (const { name, net, bytes, error, times } of candidates) {
    const ratio = median(times) / median(base.times), least = Math.min(...times) / Math.min(...base.times);
    console.log(
      `| ${numerics} | ${name} | ${(bytes / 1e6).toFixed(2)} | ${(bytes / base.bytes).toFixed(3)} | ${
        error.toExponential(1)
      } | ${median(times).toFixed(3)} | ${ratio.toFixed(2)} | ${least.toFixed(2)} |`,
    );
    net.release();
  }
}

if (import.meta.main) {
  console.log("| numerics | weights | MB in memory | of fp16 | error of y | ms, median | of fp16 | of fp16, fastest |");
  console.log("| --- | --- | --- | --- | --- | --- | --- | --- |");
  for (const numerics of ["ane", "fast"]) measure(numerics);
}
