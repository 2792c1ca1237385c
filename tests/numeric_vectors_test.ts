/**
 * Vectors of the arithmetic, bit for bit through the public API: multiply-accumulate, activation tables, and a 3 x 3
 * convolution by both rules.
 */

import { assertEquals } from "@std/assert";
import { compile } from "../src/compile/compile.ts";
import { envText } from "../src/env.ts";
import { conv } from "../src/graph/functions.ts";
import { NDArray } from "../src/graph/ndarray.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";

const ane = envText("ANEFORGE_HOST_NUMERICS") !== "fast";

/** fp16 bit patterns as numbers. */
function halves(...bits: number[]): Float16Array<ArrayBuffer> {
  return new Float16Array(Uint16Array.from(bits).buffer);
}

/** Hex words as numbers. */
function words(text: string): number[] {
  return text.trim().split(/\s+/).map((word) => parseInt(word, 16));
}

function hex(values: Float16Array): string[] {
  return [...new Uint16Array(values.buffer, values.byteOffset, values.length)].map((v) =>
    v.toString(16).padStart(4, "0")
  );
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

/** Arguments and values of the activation tables, as fp16 bits. */
const X = "0000 8000 2c00 ac00 3400 b400 3555 b555 3c00 bc00 4248 c248 43ff 4400 c3ff c400 c466 4900 0001 9000";
const P = "0400 1000 2c00 3555 3800 3c00 3e00 4200 4900 5640 63d0 7bff 0001";
const TABLES: Readonly<Record<string, readonly [f: (x: Tensor) => Tensor, x: string, y: string]>> = {
  gelu: [
    (x) => x.gelu(),
    X,
    "922d 922d 2885 a6f4 3098 aecf 32b9 afe2 3ab8 b11e 4247 9989 43ff 4400 8034 0000 0000 4900 922d 93de",
  ],
  tanh: [
    (x) => x.tanh(),
    X,
    "0000 0000 2bf5 abf5 33d6 b3d6 3521 b521 3a18 ba18 3bf8 bbf8 3bff 3bff bbff bbff bc00 3c00 0001 8ff5",
  ],
  sigmoid: [
    (x) => x.sigmoid(),
    X,
    "3800 3800 381f 37c1 387e 3705 38a7 36b2 39d9 344e 3ba9 296b 3bdb 3bdb 249e 249b 225b 3c00 3800 3800",
  ],
  exp: [
    (x) => x.exp(),
    X,
    "3c00 3c00 3c42 3b84 3d23 3a3b 3d95 39bc 4170 35e3 4dc8 2989 52cd 52d2 24b5 24b2 224e 755c 3c00 3bff",
  ],
  log: [(x) => x.log(), P, "c8db c7a1 c18c bc66 b98c 0000 367d 3c65 409b 449b 46e9 498c cc29"],
  "inverse(0)": [(x) => x.inverse(0), P, "7400 6800 4c00 4200 4000 3c00 3955 3555 2e66 211f 1419 0100 7c00"],
  "inverse(1e-4)": [(x) => x.inverse(1e-4), P, "6e10 66a4 4bfc 4200 4000 3c00 3955 3555 2e66 211f 1419 0100 70e1"],
  sqrt: [(x) => x.sqrt(), P, "2000 25a8 3400 389e 39a8 3c00 3ce6 3eee 4253 4900 4fe8 5c00 0c00"],
  rsqrt: [(x) => x.rsqrt(), P, "5800 51a8 4400 3eef 3da8 3c00 3a88 389e 350f 2e66 280d 1c00 6c00"],
};

for (const [name, [f, x, y]] of Object.entries(TABLES)) {
  Deno.test({
    name: `${name}: the table, bit for bit`,
    ignore: !ane,
    fn() {
      const fed = halves(...words(x)), got = new Float16Array(fed.length);
      using net = compile(f(input([1, fed.length])));
      net.runInto([fed], [got]);
      assertEquals(hex(got), hex(halves(...words(y))));
    },
  });
}

/** Output channel 0 of the convolution below. */
const CONVOLUTION = {
  direct: "b77d b431 31e8 b7ce 2c51 3844 bbf6 32c1 b633 b979 3cfe b978 ba55 a876 bcc3 a9c3 3bba a8ca 3bdd b10b 35ad " +
    "359d 36bb 37a0",
  winograd: "b77d b432 31ea b7cf 2c4c 3845 bbf7 32c2 b633 b979 3cfe b978 ba56 a87e bcc4 a9d2 3bbb a8c4 3bdd b10a " +
    "35ac 359d 36bd 37a0",
};

Deno.test({
  name: "a 3 x 3 convolution, bit for bit, by the rule of the target",
  ignore: !ane,
  fn() {
    const drawn = congruential(12345, 2 * 4 * 6 + 3 * 2 * 9, 8);
    const x = drawn.slice(0, 48), w = drawn.slice(48).map((v) => v * 0.5);
    assertEquals([hex(x).slice(0, 4), hex(w).slice(0, 4)], [
      ["bbac", "bbbc", "2d86", "3451"],
      ["a97f", "3339", "b162", "32ce"],
    ]);
    using net = compile(conv(input([1, 2, 4, 6]), new NDArray(Float32Array.from(w), [3, 2, 3, 3]), { pad: 1 }));
    const y = new Float16Array(3 * 24);
    net.runInto([x], [y]);
    const rule = /^h1[78]/.test(envText("ANEFORGE_TARGET") ?? "") ? "winograd" : "direct";
    assertEquals(hex(y.slice(0, 24)), words(CONVOLUTION[rule]).map((v) => v.toString(16)));
  },
});

Deno.test({
  name: "the other convolution rule (subprocess)",
  ignore: !ane || (envText("ANEFORGE_TARGET") ?? "") !== "",
  async fn() {
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", import.meta.filename!],
      env: { ANEFORGE_TARGET: "h17s", NO_COLOR: "1" },
    }).output();
    const text = new TextDecoder();
    assertEquals(code, 0, text.decode(stdout) + text.decode(stderr));
  },
});
