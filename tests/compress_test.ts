// Compressed weights: their bytes, which weight gets which encoding, and what the device makes of them.

import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { planText } from "../ffi/engine.ts";
import * as af from "../mod.ts";
import { type CompileOptions, NDArray, type Tensor } from "../mod.ts";
import { compressorOf } from "../src/compile/compression.ts";
import { findCodebook, pairwiseSum } from "../src/mil/codebook.ts";
import { blockSizeFor, quantize } from "../src/mil/compress.ts";
import { emitMil, type MilProgram } from "../src/mil/emit.ts";
import { declaration, decode, hex, payload } from "./compressed_weights.ts";

af.silence("dispatch-floor");
const cache = Deno.makeTempDirSync({ prefix: "aneforge_compress_" });
Deno.env.set("ANEFORGE_CACHE_DIR", cache);
globalThis.addEventListener("unload", () => Deno.removeSync(cache, { recursive: true }));

/** Numbers in [-1, 1) from a 32-bit generator, as float32. */
function random(n: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: n }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32 * 2 - 1;
  });
}

function weight(shape: number[], seed = 1, scale = 0.2): NDArray {
  return new NDArray(random(shape.reduce((a, b) => a * b), seed).map((v) => v * scale), shape);
}

/** About a third of the elements, the others zero. */
function sparse(shape: number[], seed = 1): NDArray {
  const keep = random(shape.reduce((a, b) => a * b), seed + 1);
  return new NDArray(weight(shape, seed).data.map((v, i) => keep[i]! > 0.33 ? v : 0), shape);
}

/** Four values and zero: a palette holds them. */
function few(shape: number[], seed = 1): NDArray {
  return new NDArray(random(shape.reduce((a, b) => a * b), seed).map((v) => Math.round(v * 2) / 8), shape);
}

/** The program as `compile` writes it, and the warnings. */
function emit(out: Tensor, options: CompileOptions, family?: number): MilProgram & { warnings: string[] } {
  const warnings: string[] = [];
  const restore = af.onWarning((kind, message) => void warnings.push(`${kind}: ${message}`));
  try {
    const compressor = compressorOf(options, family);
    const program = emitMil([out], { encoder: compressor?.encode, family });
    compressor?.report("compile");
    return { ...program, warnings };
  } finally {
    restore();
  }
}

const GOLDEN = new NDArray(Float32Array.from({ length: 64 }, (_, i) => ((37 * i) % 64 - 32) / 16), [4, 16]);
const golden = (): Tensor => af.input([1, 16]).linear(GOLDEN);

/** Hexadecimal half words of little-endian bytes. */
function words(bytes: Uint8Array): string {
  return Array.from({ length: bytes.length / 2 }, (_, i) => hex(bytes.slice(2 * i, 2 * i + 2).reverse())).join(" ");
}

Deno.test("int8: bytes and statement", () => {
  const program = emit(golden(), { compress: "int8" });
  assertEquals(
    declaration(program.text, "t1_w"),
    'tensor<fp16, [4, 16]> t1_w = constexpr_affine_dequantize()[axis = int32(0), name = string("t1_w"), quantized_data = ' +
      'tensor<int8, [4, 16]>(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(64))), scale = ' +
      'tensor<fp16, [4]>(BLOBFILE(path = string("@model_path/weights.bin"), offset = uint64(192))), zero_point = int8(0)];',
  );
  const statement = declaration(program.text, "t1_w");
  const q = new Int8Array(payload(program, statement, 0).buffer);
  assertEquals([...q.slice(0, 16)], [-127, 20, -87, 60, -48, 99, -8, -115, 32, -75, 71, -36, 111, 4, -103, 44]);
  assertEquals(words(payload(program, statement, 1)), "2408 23d0 23d0 234f");
  assertEquals(program.warnings, []);
});

Deno.test("int4: bytes and statements, and the gate on both sides of the error", () => {
  const program = emit(golden(), { compress: "int4", compressAtol: 0.07 });
  const index = declaration(program.text, "t1_w_idx"), lut = declaration(program.text, "t1_w_lut");
  assertEquals(
    index,
    'tensor<uint4, [4, 16]> t1_w_idx = const()[name = string("t1_w_idx"), val = tensor<uint4, [4, 16]>(BLOBFILE(path = ' +
      'string("@model_path/weights.bin"), offset = uint64(64)))];',
  );
  assertStringIncludes(lut, 'tensor<fp16, [1, 1, 16, 1]> t1_w_lut = const()[name = string("t1_w_lut"), val = ');
  assertEquals(
    declaration(program.text, "t1_w"),
    'tensor<fp16, [4, 16]> t1_w = constexpr_lut_to_dense(indices = t1_w_idx, lut = t1_w_lut)[name = string("t1_w")];',
  );
  assertEquals(hex(payload(program, index)), "90b2e5073a5c8fa1d4f6294b7e90c3e5183a6d8fb2d407295c7ea1c3f6184b6d");
  const palette = "bfa0 bea0 bda0 bca0 bb40 b940 b680 b100 2e00 3580 38c0 3ac0 3c60 3d60 3e60 3f60";
  assertEquals(words(payload(program, lut)), palette);
  const encodingAt = (compressAtol: number) =>
    decode(emit(golden(), { compress: "int4", compressAtol }), "t1_w").encoding;
  assertEquals(encodingAt(0.0605), "int8"); // the error is 0.0605005
  assertEquals(encodingAt(0.060501), "int4");
  assertEquals(decode(emit(golden(), { compress: "int4" }), "t1_w").encoding, "int8");
});

Deno.test("sparse: bytes and statements", () => {
  const values = af.array([[0, 1.5, 0, 0, 0, -2, 0, 0, 0.25, 0, 0, 0]]);
  const program = emit(af.input([1, 12]).linear(values), { compress: "sparse" });
  const mask = declaration(program.text, "t1_w_mask"), kept = declaration(program.text, "t1_w_nz");
  assertStringIncludes(mask, 'tensor<uint1, [1, 12]> t1_w_mask = const()[name = string("t1_w_mask"), val = ');
  assertStringIncludes(kept, 'tensor<fp16, [3]> t1_w_nz = const()[name = string("t1_w_nz"), val = ');
  assertEquals(
    declaration(program.text, "t1_w"),
    "tensor<fp16, [1, 12]> t1_w = constexpr_sparse_to_dense(nonzero_data = t1_w_nz, mask = t1_w_mask)" +
      '[name = string("t1_w")];',
  );
  assertEquals(hex(payload(program, mask)), "2201");
  assertEquals(hex(payload(program, kept)), "003e00c00034");
});

Deno.test("blockwise: bytes and statements", () => {
  const program = emit(golden(), { compress: "blockwise", blockSize: 6 });
  const data = declaration(program.text, "t1_w_d"), scale = declaration(program.text, "t1_w_sc");
  assertStringIncludes(data, "tensor<int8, [4, 16]> t1_w_d = const()[");
  assertStringIncludes(scale, "tensor<fp16, [4, 4]> t1_w_sc = const()[");
  const q = new Int8Array(payload(program, data).buffer);
  assertEquals([...q.slice(0, 16)], [-127, 20, -87, 60, -53, 109, -9, -127, 53, -127, 120, -60, 127, 5, -118, 50]);
  assertEquals(words(payload(program, scale)).slice(0, 19), "2408 234f 20ca 230e");
  const lines = program.text.split("\n").map((line) => line.trim());
  const at = lines.findIndex((line) => line.includes(" t1_w_bw = "));
  assertEquals(lines.slice(at, at + 3), [
    "tensor<fp16, [4, 16]> t1_w_bw = constexpr_blockwise_shift_scale(data = t1_w_d, scale = t1_w_sc)" +
    '[name = string("t1_w_bw")];',
    'fp16 t1_w_bz = const()[name = string("t1_w_bz"), val = fp16(0x0p+0)];',
    'tensor<fp16, [4, 16]> t1_w = add(x = t1_w_bw, y = t1_w_bz)[name = string("t1_w")];',
  ]);
  const encodingAt = (compressAtol: number) =>
    decode(emit(golden(), { compress: "blockwise", blockSize: 6, compressAtol }), "t1_w").encoding;
  assertEquals(encodingAt(0.00297), "fp16"); // the error is 0.0029724
  assertEquals(encodingAt(0.00298), "blockwise");
});

Deno.test("block sizes divide the row", () => {
  assertEquals([[16, 6], [30, 32], [4096, 32], [31, 8], [7, 7], [1, 5]].map(([n, b]) => blockSizeFor(n!, b!)), [
    4,
    30,
    32,
    1,
    7,
    1,
  ]);
});

Deno.test("int8 codes are rounded to even and a row of zeros stays zero", () => {
  // scale 1/4 exactly: 31.75 / 127
  const { codes, scales } = quantize(Float32Array.of(31.75, 0.125, 0.375, -0.125, -0.375, 0.625, 0, 0, 0, 0, 0, 0), 6);
  assertEquals([...codes], [127, 0, 2, 0, -2, 2, 0, 0, 0, 0, 0, 0]);
  assertEquals([...scales], [0.25, Math.fround(1e-8)]);
});

Deno.test("sums and palettes are NumPy's to the bit", () => {
  const a = random(5003, 7);
  const sums: [number, number][] = [
    [7, 0.9157141447067261],
    [8, 0.02192676067352295],
    [100, 1.2316803932189941],
    [128, 5.769230842590332],
    [129, 6.730405330657959],
    [1000, -18.557903289794922],
    [5003, 35.82286834716797],
  ];
  for (const [n, sum] of sums) assertEquals(pairwiseSum(a, 0, n), sum, `${n} values`);
  const check = (values: Float32Array, centroids: string, hash: number) => {
    const book = findCodebook(values);
    assertEquals([...new Uint32Array(book.centroids.buffer)].map((bits) => bits.toString(16)).join(" "), centroids);
    assertEquals(book.index.reduce((sum, i) => (Math.imul(sum, 31) + i) >>> 0, 0), hash);
  };
  check(
    random(37 * 90, 3).map((v) => Math.fround(Math.fround(v * v) * v)),
    "bf675bd9 bf320d26 bf003345 beb29031 be69c003 be0db71a bd99bf8e bcf83304 3a9a44f0 3d34e295 3dd5b050 3e3ef421 3e9dc78f " +
      "3eee483f 3f2d09ee 3f600466",
    3822625350,
  );
  // Equal centroids, and a value so far away that distances round to the same float32.
  const steps = random(600, 9).map((v) => {
    const scaled = v * 4, low = Math.floor(scaled), rest = scaled - low;
    return (rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1) / 4;
  });
  steps[5] = 1000;
  check(
    steps,
    "bf800000 bf400000 bf200000 bf000000 bf000000 be800000 be000000 0 0 3e000000 3e800000 3ec00000 3f000000 3f200000 " +
      "3f4fb587 447a0000",
    2036674580,
  );
});

/** Encodings of the weights of two products, a batched product and a convolution, and of a bias. */
function encodings(options: CompileOptions, family?: number): string {
  const dense = weight([8, 16]), x = af.input([1, 16]);
  const graphs: [string, Tensor][] = [
    ["w", x.linear(dense)],
    ["w", x.linear(sparse([8, 16]))],
    ["w", x.linear(few([8, 16]))],
    ["w", af.input([1, 15]).linear(weight([8, 15]))],
    ["w", af.input([2, 3, 16]).bmmWeight(few([2, 16, 8]))],
    ["w", af.conv(af.input([1, 4, 5, 5]), few([6, 4, 3, 3]))],
    ["b", x.linear(dense, random(8, 1))],
    ["a", af.input([1, 4, 5, 5]).prelu([0, 0, 0, 0.5])],
  ];
  return graphs.map(([suffix, out]) => {
    const { text, weights, inputs, outputs, opCount } = emit(out, options, family);
    return decode({ text, weights, inputs, outputs, opCount }, `t1_${suffix}`).encoding;
  }).join(" ");
}

Deno.test("who gets which encoding", () => {
  // dense, sparse, few values, odd columns, batched (few), convolution (few), bias, slopes
  assertEquals(encodings({}), "fp16 fp16 fp16 fp16 fp16 fp16 fp16 fp16");
  assertEquals(encodings({ compress: "int8" }), "int8 int8 int8 int8 int8 int8 fp16 fp16");
  assertEquals(encodings({ int8: true }), "int8 int8 int8 int8 int8 int8 fp16 fp16");
  assertEquals(encodings({ compress: "int4" }), "int8 int8 int4 int8 int4 int4 fp16 fp16");
  assertEquals(encodings({ compress: "sparse" }), "fp16 sparse fp16 fp16 fp16 fp16 fp16 fp16");
  assertEquals(encodings({ compress: "sparse", int8: true }), encodings({ compress: "sparse" }));
  assertEquals(
    encodings({ compress: "blockwise" }),
    "blockwise blockwise blockwise blockwise blockwise blockwise fp16 fp16",
  );
  assertEquals(encodings({ compress: "blockwise", compressAtol: 1e-6 }), "fp16 fp16 fp16 fp16 fp16 fp16 fp16 fp16");
  assertEquals(encodings({ compress: "int4", compressAtol: 10 }), "int4 int4 int4 int8 int4 int4 fp16 fp16");
  // auto: M1 has no int8; blockwise is never chosen
  assertEquals(encodings({ compress: "auto" }, 2), "fp16 sparse int4 fp16 int4 int4 fp16 fp16");
  assertEquals(encodings({ compress: "auto" }, 3), "int8 sparse int4 int8 int4 int4 fp16 fp16");
  assertEquals(encodings({ compress: "auto" }, 5), "int8 sparse int4 int8 int4 int4 fp16 fp16");
  assertEquals(encodings({ compress: "auto" }), "int8 sparse int4 int8 int4 int4 fp16 fp16");
});

Deno.test("sparse takes half zeros, not less, and not all", () => {
  const encodingOf = (values: number[]) =>
    decode(emit(af.input([1, 8]).linear(af.array([values])), { compress: "sparse" }), "t1_w").encoding;
  assertEquals(encodingOf([1, 2, 3, 4, 0, 0, 0, 0]), "sparse");
  assertEquals(encodingOf([1, 2, 3, 4, 5, 0, 0, 0]), "fp16");
  assertEquals(encodingOf([0, 0, 0, 0, 0, 0, 0, 0]), "fp16");
  assertEquals(encodingOf([1e-9, -0, 0, 0, 0, 0, 0, 0]), "sparse"); // counted before rounding
});

Deno.test("one warning per compile, with the counts", () => {
  const two = af.input([1, 16]).linear(weight([16, 16]), random(16, 2)).linear(few([8, 16]));
  assertEquals(emit(two, { compress: "int4" }).warnings, [
    "compression-fallback: aneforge.compile: compress='int4' rejected 1/3 weights (int4: 1); applied int8. To widen the " +
    'tolerance, raise compressAtol (currently 0.05). Silence: silence("compression-fallback").',
  ]);
  assertMatch(emit(two, { compress: "sparse" }).warnings[0]!, /rejected 2\/3 weights \(sparse: 2\); applied fp16\./);
  const blockwise = { compress: "blockwise", compressAtol: 1e-5 } as const;
  assertMatch(emit(two, blockwise).warnings[0]!, /\(blockwise: 2\); applied fp16.*currently 0\.00001\)/);
  assertMatch(
    emit(two, { compress: "auto" }, 2).warnings[0]!,
    /'auto' rejected 3\/3 weights \(int4: 1, sparse: 2\); applied fp16/,
  );
  assertEquals(emit(two, { compress: "int8" }).warnings, []);
  const infinite = af.input([1, 2]).linear(af.array([[Infinity, 1]]));
  assertMatch(emit(infinite, { compress: "int8" }).warnings[0]!, /\(int8: 1\); applied fp16/);
  const warnings: string[] = [];
  const restore = af.onWarning((kind) => void warnings.push(kind));
  af.compile(two, { compress: "int4" }).release();
  af.compileMulti([two, two.relu()], { compress: "int4" }).release();
  restore();
  assertEquals(warnings.filter((kind) => kind === "compression-fallback").length, 2);
});

Deno.test("wrong options are refused", () => {
  const out = golden();
  const refused = (options: unknown, kind: new (...args: never[]) => Error, text: string) => {
    assertThrows(() => af.compile(out, options as CompileOptions), kind, text);
    assertThrows(() => af.compileMulti([out], options as CompileOptions), Error);
  };
  refused({ compress: "int2" }, af.ArgumentError, "unknown compress=\"int2\" (use null, 'int8', 'int4', 'sparse', ");
  refused({ compress: 8 }, af.ArgumentError, "unknown compress=8");
  refused({ compressAtol: -0.1 }, af.ArgumentError, "compressAtol must be a number of at least 0, got -0.1");
  refused({ compressAtol: NaN }, af.ArgumentError, "compressAtol must be");
  refused({ blockSize: 0 }, af.ArgumentError, "blockSize must be a whole number of at least 1, got 0");
  refused({ blockSize: 2.5 }, af.ArgumentError, "blockSize must be");
  refused({ int8: 1 }, af.ArgumentError, "int8 must be true or false");
  refused({ compress: "int8", opt: 1 }, af.UnsupportedOpError, "use opt=0 for compressed weights");
  refused({ int8: true, opt: "max" }, af.UnsupportedOpError, "use opt=0 for compressed weights");
  af.compile(out, { compress: null, compressAtol: 0, opt: "routes" }).release();
  af.compile(out, { compress: "int8", opt: "routes" }).release();
});

// -- On the device ------------------------------------------------------------------------------------------------------

/** |a - b| / |b| */
function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0, total = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2;
    total += b[i]! ** 2;
  }
  return Math.sqrt(difference / total);
}

function rounded(values: Float32Array): Float64Array {
  return Float64Array.from(new Float16Array(values));
}

/** x . w^T in float64. */
function product(x: Float64Array, w: Float64Array, rows: number, k: number, n: number): Float64Array {
  return Float64Array.from({ length: rows * n }, (_, i) => {
    const row = Math.floor(i / n) * k, column = (i % n) * k;
    let sum = 0;
    for (let j = 0; j < k; j++) sum += x[row + j]! * w[column + j]!;
    return sum;
  });
}

const MODES = ["int8", "int4", "sparse", "blockwise"] as const;
/** Products are rounded to 2^-16, results to 11 bits. */
const ARITHMETIC = 1e-3;

Deno.test("products of every encoding, for one row and many", () => {
  const k = 320, n = 70;
  for (const mode of MODES) {
    const w = mode === "sparse" ? sparse([n, k], 3) : weight([n, k], 3);
    const values = decode(emit(af.input([1, k]).linear(w), { compress: mode, compressAtol: 0.1 }), "t1_w");
    assertEquals(values.encoding, mode);
    for (const rows of [1, 2, 3, 5, 40]) {
      using net = af.compile(af.input([rows, k]).linear(w), { compress: mode, compressAtol: 0.1 });
      const x = random(rows * k, 11);
      const y = net.run(x).data;
      assert(distance(y, product(rounded(x), values.values, rows, k, n)) < ARITHMETIC, `${mode}, ${rows} rows`);
      const exact = product(rounded(x), Float64Array.from(w.data), rows, k, n);
      assert(distance(y, exact) < 0.11, `${mode}, ${rows} rows: within the gate`);
    }
  }
});

Deno.test("a batched product and a bias", () => {
  for (const mode of ["int8", "int4", "blockwise"] as const) {
    const w = weight([3, 24, 10], 5);
    const values = decode(emit(af.input([3, 2, 24]).bmmWeight(w), { compress: mode, compressAtol: 0.1 }), "t1_w");
    assertEquals(values.encoding, mode);
    using net = af.compile(af.input([3, 2, 24]).bmmWeight(w), { compress: mode, compressAtol: 0.1 });
    const x = random(3 * 2 * 24, 12), xs = rounded(x);
    const expected = Float64Array.from({ length: 60 }, (_, i) => {
      const b = Math.floor(i / 20), row = Math.floor(i / 10) % 2, column = i % 10;
      let sum = 0;
      for (let j = 0; j < 24; j++) sum += xs[(b * 2 + row) * 24 + j]! * values.values[(b * 24 + j) * 10 + column]!;
      return sum;
    });
    assert(distance(net.run(x).data, expected) < ARITHMETIC, mode);
  }
  const bias = random(8, 3).map((v) => v * 4);
  using net = af.compile(golden().add(new NDArray(bias.slice(0, 4), [1, 4])), { compress: "int8" });
  const values = decode(emit(golden(), { compress: "int8" }), "t1_w").values, x = random(16, 4);
  const expected = product(rounded(x), values, 1, 16, 4).map((v, i) => v + rounded(bias)[i]!);
  assert(distance(net.run(x).data, expected) < ARITHMETIC);
});

Deno.test("convolutions of every encoding: several pixels, one pixel, groups", () => {
  const cases = [
    { input: [1, 6, 7, 9], weight: [10, 6, 3, 3], groups: 1 },
    { input: [1, 6, 3, 3], weight: [10, 6, 3, 3], groups: 1 },
    { input: [1, 8, 5, 5], weight: [12, 4, 2, 2], groups: 2 },
  ];
  for (const mode of MODES) {
    for (const { input, weight: shape, groups } of cases) {
      const w = mode === "sparse" ? sparse(shape, 7) : weight(shape, 7);
      const out = () => af.conv(af.input(input), w, { groups });
      const options = { compress: mode, compressAtol: 0.2 } as const;
      const values = decode(emit(out(), options), "t1_w");
      assertEquals(values.encoding, mode);
      using plain = af.compile(
        af.conv(af.input(input), new NDArray(Float32Array.from(values.values), shape), { groups }),
      );
      using net = af.compile(out(), options);
      const x = random(input.reduce((a, b) => a * b), 13);
      assertEquals(net.run(x).data, plain.run(x).data, `${mode}, ${JSON.stringify(shape)}`);
    }
  }
});

Deno.test("a weight that two products read", () => {
  const w = few([16, 16], 2), x = af.input([16, 16]);
  using net = af.compile(x.linear(w).add(x.linear(w)), { compress: "int4" });
  using plain = af.compile(x.linear(w).add(x.linear(w)), { opt: 0 });
  const data = random(256, 3);
  assertEquals(net.run(data).data, plain.run(data).data);
});

/** Bytes of weights in memory, from the plan of the host device. */
function residentBytes(out: Tensor, options: CompileOptions): { bytes: number; step: string } {
  const dir = Deno.makeTempDirSync({ dir: cache });
  af.compile(out, { ...options, buildDir: dir }).release();
  const plan = planText(`${dir}/model.mil`);
  const number = (name: string) => Number(new RegExp(`${name} (\\d+)`).exec(plan)![1]);
  return {
    bytes: number("packed weight bytes") + number("folded constant bytes"),
    step: /gemm .*|conv .*/.exec(plan)![0],
  };
}

Deno.test("weights stay compressed in memory", () => {
  const k = 1024, n = 192, elements = k * n;
  const nonzero = sparse([n, k]).data.filter((v) => v !== 0).length;
  const nominal: Record<string, [string, number]> = {
    int8: ["packed int8", elements + 2 * n],
    int4: ["packed uint4", elements / 2 + 32],
    sparse: ["packed sparse", elements / 8 + 2 * nonzero],
    blockwise: ["packed int8", elements + 2 * elements / 32],
  };
  for (const mode of MODES) {
    const [step, bytes] = nominal[mode]!, options = { compress: mode, compressAtol: 0.2 };
    const matrix = mode === "sparse" ? sparse([n, k]) : weight([n, k]);
    for (const rows of [1, 64]) {
      const found = residentBytes(af.input([rows, k]).linear(matrix), options);
      assert(found.bytes <= 1.1 * bytes, `${mode}, ${rows} rows: ${found.bytes} bytes, nominal ${bytes}`);
      assertStringIncludes(found.step, step);
    }
    const found = residentBytes(af.conv(af.input([1, k, 4, 4]), new NDArray(matrix.data, [n, k, 1, 1])), options);
    assert(found.bytes <= 1.1 * bytes, `${mode}, convolution: ${found.bytes} bytes, nominal ${bytes}`);
  }
  assertAlmostEquals(residentBytes(af.input([1, k]).linear(weight([n, k])), {}).bytes / (2 * elements), 1, 0.1);
});
