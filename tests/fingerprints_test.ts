/**
 * Published error figures of the silicon, recomputed through the public API on the host device.
 *
 * Each figure is one number over all outputs, `||got - ref|| / ||ref||`. The data are NumPy's `default_rng(seed)` normals
 * cast to float32; the reference is the float64 product of those float32 values (convolution weights and Fourier factors stay
 * float64 and are cast to fp16 in one step).
 */

import { assert, assertEquals } from "@std/assert";
import { compile } from "../src/compile/compile.ts";
import { envText } from "../src/env.ts";
import { conv } from "../src/graph/functions.ts";
import { NDArray } from "../src/graph/ndarray.ts";
import { input } from "../src/graph/tensor.ts";
import { NumpyGenerator } from "./numpy_random.ts";
import { arr, conv as convReference, type Window } from "./reference_kernels.ts";

const ane = envText("ANEFORGE_HOST_NUMERICS") !== "fast";

async function digest(bytes: Float64Array<ArrayBuffer> | Float32Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

Deno.test("numpy_random: the bits NumPy 2.4 draws", async () => {
  assertEquals([...new NumpyGenerator(0).normal64(4)], [
    0.1257302210933933,
    -0.1321048632913019,
    0.6404226504432821,
    0.10490011715303971,
  ]);
  assertEquals(
    await digest(new NumpyGenerator(0).normal64(1000) as Float64Array<ArrayBuffer>),
    "cc0b03e91cf55ab725aaa2be63067b7bc76f08787209974cb1e275aad78b4d8e",
  );
  assertEquals(
    await digest(new NumpyGenerator(2 ** 40 + 12345).normal64(1000) as Float64Array<ArrayBuffer>),
    "df91c719bb0b6e83e9d6df371fdbb0da34260e397b50f0b94716bde4ddd1d745",
  );
  assertEquals(
    await digest(new NumpyGenerator(11).normal32(300_000) as Float32Array<ArrayBuffer>),
    "af89e599b7f3463caac918df4c5df9587e2d94358eaf58c0461ed1556c3286c9",
  );
});

/** x [m, k] times the transpose of w [n, k], in float64, over blocks of k that stay in the cache. */
function productF64(x: Float32Array, w: Float32Array, m: number, k: number, n: number): Float64Array {
  const y = new Float64Array(m * n);
  const X = Float64Array.from(x), row = new Float64Array(k);
  for (let j = 0; j < n; j++) {
    for (let p = 0; p < k; p++) row[p] = w[j * k + p]!;
    for (let i = 0; i < m; i++) {
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
      const at = i * k;
      for (let p = 0; p < k; p += 4) {
        s0 += X[at + p]! * row[p]!;
        s1 += X[at + p + 1]! * row[p + 1]!;
        s2 += X[at + p + 2]! * row[p + 2]!;
        s3 += X[at + p + 3]! * row[p + 3]!;
      }
      y[i * n + j] = (s0 + s1) + (s2 + s3);
    }
  }
  return y;
}

/** ||got - ref|| / ||ref||. */
function relativeError(got: Float32Array, ref: Float64Array): number {
  let difference = 0, norm = 0;
  for (let i = 0; i < ref.length; i++) {
    difference += (got[i]! - ref[i]!) ** 2;
    norm += ref[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** Normals / sqrt(k), computed as NumPy does: float32 draws divided by a scalar. */
function scaled(rng: NumpyGenerator, count: number, k: number): Float32Array {
  const root = Math.fround(Math.sqrt(k));
  return rng.normal32(count).map((v) => v / root);
}

const GEMM: readonly (readonly [m: number, k: number, n: number, silicon: readonly number[]])[] = [
  [64, 256, 256, [0.0012522854527169441]],
  [128, 1024, 1024, [0.0055214934910669524, 0.0055214934910669958]],
  [256, 4096, 4096, [0.027275490149715084, 0.027275490149715163, 0.027275490149715073]],
];

for (const [m, k, n, silicon] of GEMM) {
  Deno.test({
    name: `fingerprint: linear ${m} x ${k} x ${n} has the silicon's error to 12 digits`,
    ignore: !ane,
    fn() {
      const rng = new NumpyGenerator(0);
      const x = scaled(rng, m * k, k), w = scaled(rng, n * k, k);
      const port = input([m, k]);
      using net = compile(port.linear(new NDArray(w, [n, k])));
      assertDigits(relativeError(net.run(x).data, productF64(x, w, m, k, n)), silicon);
    },
  });
}

function assertDigits(error: number, silicon: readonly number[]): void {
  for (const published of silicon) {
    const apart = Math.abs(error - published) / published;
    assert(apart < 5e-13, `error ${error}, published ${published}: relative difference ${apart}`);
  }
}

/** Square products; the first 256 rows of x are multiplied. */
for (const [n, silicon] of [[512, 0.00257800397023792], [1024, 0.005528352999597525]] as const) {
  Deno.test({
    name: `fingerprint: square linear of ${n} has the silicon's error to 12 digits`,
    ignore: !ane,
    fn() {
      const rng = new NumpyGenerator(0);
      const x = scaled(rng, n * n, n).subarray(0, 256 * n), w = scaled(rng, n * n, n);
      using net = compile(input([256, n]).linear(new NDArray(w, [n, n])));
      assertDigits(relativeError(net.run(x).data, productF64(x, w, 256, n, n)), [silicon]);
    },
  });
}

/** float64 values on the fp16 grid, for weights that are cast to fp16 in one step. */
function halved(values: Float64Array): Float32Array {
  return Float32Array.from(values, (v) => Math.f16round(v));
}

Deno.test({
  name: "fingerprint: 3 x 3 convolution with ReLU has the error of the direct rule to 12 digits",
  ignore: !ane || !["", "h13", "h14", "h16"].includes(envText("ANEFORGE_TARGET") ?? ""),
  fn() {
    const rng = new NumpyGenerator(1);
    const x = rng.normal32(16 * 32 * 32);
    const w = Float64Array.from(rng.normal32(64 * 16 * 9), (v) => v * Math.sqrt(2 / 144));
    const geometry: Window = { stride: [1, 1], pad: [1, 1, 1, 1], dilation: [1, 1], groups: 1 };
    const reference = convReference(arr([1, 16, 32, 32], x), arr([64, 16, 3, 3], w), geometry);
    const port = input([1, 16, 32, 32]);
    using net = compile(conv(port, new NDArray(halved(w), [64, 16, 3, 3]), { pad: 1 }).relu());
    const error = relativeError(net.run(x).data, reference.data.map((v) => Math.max(v, 0)));
    assertDigits(error, [0.00036636558584241826]);
  },
});

Deno.test({
  name: "fingerprint: a Fourier transform by matrix has the silicon's error to 12 digits",
  ignore: !ane,
  fn() {
    const n = 1024;
    const x = new NumpyGenerator(2).normal64(n);
    const errors = [Math.cos, Math.sin].map((wave) => {
      const w = Float64Array.from({ length: n * n }, (_, i) => wave(-2 * Math.PI * (Math.floor(i / n) * (i % n)) / n));
      const reference = Float64Array.from({ length: n }, (_, j) => {
        let sum = 0;
        for (let k = 0; k < n; k++) sum += w[j * n + k]! * x[k]!;
        return sum;
      });
      using net = compile(input([1, n]).linear(new NDArray(halved(w), [n, n])));
      const y = new Float32Array(n);
      net.runInto([Float16Array.from(x)], [y]);
      return relativeError(y, reference);
    });
    assertDigits((errors[0]! + errors[1]!) / 2, [0.00035014059095186414]);
  },
});

/** fp16 bit patterns as numbers. */
function halves(...bits: number[]): Float16Array {
  return new Float16Array(Uint16Array.from(bits).buffer);
}

function times(bits: number, n: number): number[] {
  return new Array<number>(n).fill(bits);
}

/** Multiply-accumulate vectors: activations, weights, output, all as fp16 bits. */
const VECTORS: readonly (readonly [x: number[], w: number[], y: number])[] = [
  [[0x3c00], [0x0100], 0x0100],
  [[0x3c00], [0x0080], 0x0100],
  [[0x3c00], [0x0040], 0x0000],
  [[0x1800], [0x1c00], 0x0000],
  [[0x1a00], [0x1e00], 0x0000],
  [[0x1c00], [0x1c00], 0x0100],
  [[0x6800, 0x3c00], times(0x3c00, 2), 0x6801],
  [[0x6801, 0x3c00], times(0x3c00, 2), 0x6802],
  [[0xe800, 0xbc00], times(0x3c00, 2), 0xe801],
  [[0x77d0, 0x61e0], times(0x3c00, 2), 0x77ff],
  [[0x7400, 0x7400], times(0x3c00, 2), 0x7c00],
  [times(0x2e66, 3), [0x2e66, 0x3266, 0x34cd], 0x2bae],
  [times(0x1a25, 8), times(0x1c19, 8), 0x0000],
  [times(0x1419, 100), times(0x211f, 100), 0x0000],
  [times(0x3555, 3), times(0x3555, 3), 0x3555],
];

/** linear() on fp16 bits: x [1, k] and w [n, k] in, bits out. */
function linearBits(x: Float16Array, w: Float16Array): number[] {
  const k = x.length, n = w.length / k;
  using net = compile(input([1, k]).linear(new NDArray(Float32Array.from(w), [n, k])));
  const y = new Float16Array(n);
  net.runInto([x], [y]);
  return [...new Uint16Array(y.buffer)];
}

Deno.test({
  name: "the multiply-accumulate rule, bit for bit",
  ignore: !ane,
  fn() {
    for (const [x, w, y] of VECTORS) {
      const shown = `${x.map((v) => v.toString(16))} by ${w.map((v) => v.toString(16))}`;
      assertEquals(linearBits(halves(...x), halves(...w)).map((v) => v.toString(16)), [y.toString(16)], shown);
    }
  },
});

/** Uniform values of the linear congruential generator s = s * 1664525 + 1013904223 mod 2^32, rounded to fp16. */
function congruential(seed: number, count: number, scale: number): Float16Array {
  let s = seed;
  return Float16Array.from({ length: count }, () => {
    s = (Math.imul(s, 1664525) + 1013904223) >>> 0;
    return ((s >>> 8) / 2 ** 24 * 2 - 1) * 0.125 * scale;
  });
}

Deno.test({
  name: "the multiply-accumulate rule over 64 products, bit for bit",
  ignore: !ane,
  fn() {
    for (
      const [seed, scale, expected] of [
        [12345, 1, [0x28e9, 0x25fb, 0x20b8, 0xab4e]],
        [777, 0.1, [0x1480, 0x0e40, 0x9340, 0x0a00]],
      ] as const
    ) {
      const drawn = congruential(seed, 64 + 4 * 64, scale);
      assertEquals(linearBits(drawn.subarray(0, 64), drawn.subarray(64)), [...expected]);
    }
  },
});

Deno.test("the vectors' generator draws what it should", () => {
  const bits = [...new Uint16Array(congruential(12345, 4, 1).buffer)];
  assertEquals(bits, [0xafac, 0xafbc, 0x2186, 0x2851]);
});
