import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { ArgumentError } from "../src/errors.ts";
import { conv, convTranspose } from "../src/graph/functions.ts";
import { NDArray } from "../src/graph/ndarray.ts";
import { apply, input, Tensor } from "../src/graph/tensor.ts";
import { Random } from "../src/random.ts";
import { estimate, estimateProvenance, projectPeak, roofline } from "../src/targets/cost.ts";
import { nearestPointUs, risingPointsUs } from "../src/targets/cost_bridge.ts";
import { type CostChip, costProfile, FITTED } from "../src/targets/cost_fitted.ts";
import { originalConstants } from "../src/targets/cost_original.ts";
import { BRIDGE_ROWS } from "../src/targets/data/cost_dies.ts";
import { MEASURED_ROWS, MEASURED_SOURCES } from "../src/targets/data/cost_measured.ts";
import { TARGETS } from "../src/targets/targets.ts";
import { errorsOf, MACHINES, predictUs, samples } from "../tools/fit_cost.ts";

type Extents = readonly number[];

const zeros = (shape: Extents): NDArray => new NDArray(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
const matmul = (x: Tensor, outputs: number): Tensor =>
  apply("matmul", [x], { weight: zeros([outputs, x.shape.at(-1)!]), bias: null });
const same = (x: Tensor, outputs: number, k: number): Tensor =>
  conv(x, zeros([outputs, x.shape[1]!, k, k]), { pad: (k - 1) / 2 });
/** A node that is only counted. */
const node = (op: string, inputs: readonly Tensor[], shape: Extents): Tensor =>
  new Tensor(op, shape, "fp16", inputs, {});

/** Predicted over expected, within one in a million. */
function assertClose(got: number, expected: number, what: string): void {
  assert(Math.abs(got / expected - 1) < 1e-6, `${what}: ${got}, expected ${expected}`);
}

const original = (out: Tensor, target?: string, int8 = false): number =>
  estimate(out, { model: "original", target, int8 });

function stack16(): Tensor {
  let h = input([1, 64, 32, 32]);
  for (let i = 0; i < 16; i++) h = same(h, 256, 3).relu();
  return h;
}

/** Graph, int8, and the original's figures without a target and for h13, h14, h17s. */
const ESTIMATES: readonly (readonly [string, () => Tensor, boolean, readonly [number, number, number, number]])[] = [
  ["conv 256 3x3 28", () => same(input([1, 256, 28, 28]), 256, 3), false, [63.3, 504.567394, 491.420134, 213.91506]],
  ["conv 512 1x1 32", () => same(input([1, 512, 32, 32]), 512, 1), false, [63.3, 511.271111, 379.383024, 170.322574]],
  ["conv 512 3x3 14", () => same(input([1, 512, 14, 14]), 512, 3), false, [63.3, 788.888889, 491.420134, 213.91506]],
  ["conv 1024 1x1 16", () => same(input([1, 1024, 16, 16]), 1024, 1), false, [
    63.3,
    569.525333,
    379.383024,
    170.322574,
  ]],
  ["conv 2048 1x1 8", () => same(input([1, 2048, 8, 8]), 2048, 1), false, [
    81.026327,
    1210.321778,
    379.383024,
    266.366596,
  ]],
  ["matmul 1 4096 4096", () => matmul(input([1, 4096]), 4096), false, [305.189236, 3950.090667, 799.392, 698.961684]],
  ["the same, int8", () => matmul(input([1, 4096]), 4096), true, [121.652091, 2085.955556, 449.866667, 404.624561]],
  ["matmul 768", () => matmul(input([768, 768]), 768), false, [63.3, 613.216, 486.448084, 211.794344]],
  ["matmul 2048", () => matmul(input([2048, 2048]), 2048), false, [875.486134, 5506.113595, 2495.482488, 2040.32238]],
  ["matmul 64 256 256", () => matmul(input([64, 256]), 256), false, [63.3, 241.845333, 121.20159, 113.449263]],
  ["the same, int8", () => matmul(input([64, 256]), 256), true, [63.002109, 234.563556, 121.20159, 112.299509]],
  ["matmul 256 4096 4096", () => matmul(input([256, 4096]), 4096), false, [
    437.743067,
    4414.304,
    1658.670813,
    1075.16119,
  ]],
  ["relu 64 256", () => input([64, 256]).relu(), false, [63.3, 227.281778, 101.365333, 111.149754]],
  ["relu 4096 4096", () => input([4096, 4096]).relu(), false, [610.080582, 7676.540444, 1498.101333, 1287.348491]],
  ["add, relu", () => input([2048, 4096]).add(input([2048, 4096])).relu(), false, [
    699.300727,
    9540.675556,
    1847.626667,
    1581.685614,
  ]],
  ["16 conv, relu", stack16, false, [63.3, 7764.918821, 7573.666674, 2474.155456]],
];

for (const [name, build, int8, expected] of ESTIMATES) {
  Deno.test(`original: ${name}`, () => {
    const out = build();
    for (const [i, target] of [undefined, "h13", "h14", "h17s"].entries()) {
      assertClose(original(out, target, int8), expected[i]!, target ?? "no target");
    }
  });
}

Deno.test("original: more worked values", () => {
  assertClose(original(same(input([1, 256, 28, 28]), 256, 3), "h15"), 475.655, "h15");
  assertEquals(original(input([4, 4])), 63.3);
  assertEquals(original(input([4, 4]), "h13"), 220);
  const x = input([64, 256]);
  assertClose(original(x.add(x), "h13"), 220 + 3 * 2 * 16384 / 9000, "a source counts once per edge");
  // conv_transpose counts output pixels, bmm broadcasts only its left operand
  const up = convTranspose(input([1, 64, 32, 32]), zeros([64, 64, 2, 2]), { stride: 2 });
  assertClose(
    original(up, "h17s"),
    110 + Math.max(2 * 64 * 64 * 64 * 64 * 4 / 8.9e6, 672768 / 57000),
    "conv_transpose",
  );
});

Deno.test("original: 16 elements of broadcast in bmm", () => {
  const out = input([1, 1, 512, 512]).bmm(input([1, 64, 512, 512]));
  const flops = 2 * 512 ** 3;
  const bytes = 2 * 512 * 512 * (1 + 64 + 64);
  assertClose(original(out), Math.max(bytes / 110000, flops / (1 / 5.096e-8)), "bytes");
});

/** arch, floor, bandwidth, peak, ramp. */
const CONSTANTS: readonly (readonly [string, number, number, number, number | null])[] = [
  ["h11", 249.333333, 9000, 2867647.0588, null],
  ["h13", 220, 9000, 3250000, null],
  ["h13g", 214.590164, 18000, 6663865.5462, null],
  ["t1", 220, 36000, 13000000, null],
  ["h14", 100, 48000, 7300000, 1.8e10],
  ["h14g", 100, 48000, 7300000, 1.8e10],
  ["h14c", 100, 48000, 7300000, 1.8e10],
  ["h15", 93.895349, 48000, 7600239.528, 18740316644.27],
  ["h15g", 93.895349, 48000, 7600239.528, 18740316644.27],
  ["h15c", 81.979695, 384000, 72597888.1915, 179008491431.1],
  ["m11", 387.6, 12000, 788537.4676, 1944338961.27],
  ["h16", 120.388889, 14250, 2107337.1876, null],
  ["h16g", 110, 57000, 8900000, null],
  ["h16c", 110, 57000, 8900000, null],
  ["h16s", 110, 57000, 8900000, null],
  ["h17", 119.723757, 14250, 2087474.4941, null],
  ["h17a", 110, 57000, 8900000, null],
  ["h17g", 110, 57000, 8900000, null],
  ["h17s", 110, 57000, 8900000, null],
  ["h17c", 110, 114000, 17800000, null],
  ["h17d", 110, 228000, 35600000, null],
  ["h18", 110, 57000, 8900000, null],
];

Deno.test("original: constants of 22 targets", () => {
  for (const [arch, floorUs, bandwidth, peak, ramp] of CONSTANTS) {
    const got = originalConstants(arch);
    assertClose(got.floorUs, floorUs, `${arch} floor`);
    assertClose(got.bandwidth, bandwidth, `${arch} bandwidth`);
    assertClose(got.peak, peak, `${arch} peak`);
    if (ramp === null) assertEquals(got.ramp, null, arch);
    else {
      assertClose(got.ramp!.flops, ramp, `${arch} ramp`);
      assertEquals(got.ramp!.exponent, 0.38);
    }
  }
});

Deno.test("projectPeak: clock, cores and ratio of every die", () => {
  const rows: readonly (readonly [string, number, number, number, number])[] = [
    ["h11", 4, 0.882352941, 1.588235294, 1.008],
    ["h13", 4, 1, 1.8, 1.1424],
    ["h13g", 8, 2.050420168, 3.690756303, 1.1712],
    ["t1", 16, 4, 7.2, 1.1424],
    ["h14", 4, 1.012960114, 1.823328205, 1.5504],
    ["h14g", 4, 1.012960114, 1.823328205, 1.5504],
    ["h15", 4, 1.054621849, 1.898319328, 1.6512],
    ["h15c", 32, 10.073803434, 18.132846182, 1.8912],
    ["m11", 1, 0.109418768, 0.196953782, 0.4],
    ["h16", 4, 1.170168067, 2.106302521, 1.728],
    ["h16s", 16, 4.942016807, 8.895630252, 1.8912],
    ["h17", 4, 1.159138655, 2.08644958, 1.7376],
    ["h17s", 16, 4.942016807, 8.895630252, 1.8912],
    ["h17c", 32, 9.884033613, 17.791260504, 1.8912],
    ["h17d", 64, 19.768067227, 35.582521008, 1.8912],
    ["h18", 16, 4.942016807, 8.895630252, 1.8912],
  ];
  for (const [arch, cores, rel, tflops, ghz] of rows) {
    const got = projectPeak(` ${arch.toUpperCase()} `);
    assertEquals(got.cores, cores, arch);
    assertClose(got.relM1, rel, arch);
    assertClose(got.tflops, tflops, arch);
    assertClose(got.ghz, ghz, arch);
  }
  for (const arch of ["h12", "m9", "t0"]) assertThrows(() => projectPeak(arch), ArgumentError, "no clock table");
  assertThrows(() => projectPeak("h19"), ArgumentError, "unknown target");
});

Deno.test("estimateProvenance: anchor and basis of all 25 targets", () => {
  const anchors: Readonly<Record<string, readonly string[]>> = {
    h13: ["h13", "h13g", "t1", "h11", "h12", "m9", "t0"],
    h14: ["h14", "h14g", "h14c", "h15", "h15g", "h15c", "m11"],
    h17s: ["h16", "h16g", "h16c", "h16s", "h17", "h17a", "h17g", "h17s", "h17c", "h17d", "h18"],
  };
  const extrapolated = ["h15", "h15g", "h15c", "m11", "h11", "h12", "m9", "t0"];
  const own: Readonly<Record<string, string>> = { h13: "M1", h13g: "M1 Max", h14: "M2", h17s: "M5" };
  assertEquals(Object.values(anchors).flat().length, 25);
  for (const [anchor, targets] of Object.entries(anchors)) {
    for (const target of targets) {
      const measured = !extrapolated.includes(target);
      const { fitted, ...rest } = estimateProvenance(` ${target.toUpperCase()} `);
      assertEquals(rest, { target, anchor, measured, basis: measured ? "silicon" : `extrapolated-from-${anchor}` });
      assertEquals(fitted.measured, target in own, target);
      assertEquals(fitted.chip, own[target] ?? { h13: "M1", h14: "M2", h17s: "M5" }[anchor]);
      assert(fitted.measured ? fitted.basis === "fitted" : fitted.basis.startsWith("scaled from M"), fitted.basis);
    }
  }
  for (const name of ["u1", "h19", ""]) assertThrows(() => estimateProvenance(name), ArgumentError, "unknown target");
});

/** A bridge node of the size its points are listed by. */
const BRIDGES: readonly (readonly [string, Tensor, number])[] = [
  ["sdpa", node("sdpa", [1, 2, 3].map(() => input([1, 12, 512, 64])), [1, 12, 512, 64]), 3822.6],
  ["topk", node("topk", [input([1, 2048])], [1, 5]), 385.2],
  ["argmax", node("argmax", [input([1, 2048])], [1, 1]), 85.6],
  ["argmax", node("argmax", [input([1, 10])], [1, 1]), 63.3],
  ["lrn", node("lrn", [input([1, 8, 32, 32])], [1, 8, 32, 32]), 95064.2],
  ["flatten", node("flatten", [input([8, 16, 16])], [2048]), 85800.6],
  ["fps", node("fps", [input([128, 3])], [64, 3]), 1166551.0],
  ["cross_product", node("cross_product", [input([4, 3]), input([4, 3])], [4, 3]), 24988.9],
];

Deno.test("original: bridge operations", () => {
  for (const [op, bridge, expected] of BRIDGES) assertClose(nearestPointUs(bridge, 63.3)!, expected, op);
  const sdpa = node("sdpa", [1, 2, 3].map(() => input([1, 8, 128, 64])), [1, 8, 128, 64]);
  for (const [target, us] of [[undefined, 327.6], ["h13", 258.25], ["h14", 210.92], ["h17s", 209.2]] as const) {
    assertAlmostEquals(original(sdpa, target), us, 0.005);
  }
  const before = same(input([1, 8, 32, 32]), 8, 3);
  const lrn = node("lrn", [before], [1, 8, 32, 32]).relu();
  assertClose(original(lrn), 95266.4, "conv, lrn, relu");
  assertAlmostEquals(original(lrn, "h17s"), 421.74, 0.005);
  // A rank the points do not cover: the node's roofline.
  assertClose(original(node("topk", [input([1, 4, 2048])], [1, 4, 5])), 63.3 + 75.6, "topk of rank 3");
});

Deno.test("original: every bridge operation has a size and gives its measured points back", () => {
  const at: Readonly<Record<string, (s: Extents) => Tensor>> = {
    cross_correlation: ([h, w, a, b]) => node("", [input([h!, w!]), input([a!, b!])], [1, 1]),
    cost_volume: ([w, r]) => node("", [input([4, w!]), input([4, w!])], [r! + 1, w!]),
    fps: ([n, k]) => node("", [input([n!, 3])], [k!, 3]),
    radius_search: ([n, c]) => node("", [input([n!, 3])], [n!, c!]),
    batch_to_space: (s) => node("", [input(s)], s),
    flatten: (s) => node("", [input(s)], [1]),
    input_view: ([w, size]) => node("", [input([w!])], [size!]),
    scaled_elementwise: ([w]) => node("", [input([w!]), input([w!])], [w!]),
    argmax: (s) => node("", [input(s)], [1, 1]),
    topk: (s) => node("", [input(s)], [1, 1]),
    sort: (s) => node("", [input(s)], s),
  };
  assertEquals(BRIDGE_ROWS.length, 19);
  for (const { op, points } of BRIDGE_ROWS) {
    for (const [i, [size, us]] of points.entries()) {
      const like = at[op]?.(size) ?? node("", [input([1, ...size])], [1, ...size]);
      const bridge = node(op, like.inputs, like.shape);
      const got = nearestPointUs(bridge, 63.3)!;
      // Of two points with equal work the first one counts.
      assert(got === us || i > 0 && points.slice(0, i).some((point) => point[1] === got), `${op} ${size}: ${got}`);
      assert(risingPointsUs(bridge)! >= us, `${op} ${size}: the rising curve lies below a point`);
    }
  }
});

/** softmax(q k^T s) v, and what the original takes for it and for the native operation. */
const ROUTES: readonly (readonly [h: number, s: number, d: number, native: number, fused: number])[] = [
  [4, 32, 64, 187.1, 63.3],
  [8, 64, 64, 248.1, 63.3],
  [8, 128, 64, 327.6, 63.3],
  [16, 128, 128, 712.7, 63.3],
  [12, 512, 64, 3898.2, 181.868],
  [8, 2048, 64, 40850, 3546.844],
  [8, 2048, 8, 5172.4, 3480.116],
  [8, 2048, 4, 2624, 3475.35],
  [1, 2048, 1, 420.6, 267.809],
];

Deno.test("original: native and fused attention", () => {
  for (const [h, s, d, native, fused] of ROUTES) {
    const [q, k, v] = [1, 2, 3].map(() => input([1, h, s, d])) as [Tensor, Tensor, Tensor];
    assertClose(original(node("sdpa", [q, k, v], q.shape)), native, `native ${h} ${s} ${d}`);
    assertAlmostEquals(original(q.bmm(k.transpose([0, 1, 3, 2])).muls(0.125).softmax(-1).bmm(v)), fused, 6e-4);
  }
});

Deno.test("original: bounds published with it", () => {
  const first = (): Tensor => same(input([1, 256, 28, 28]), 256, 3);
  const of = (target: string): number => original(first(), target);
  assert(of("h17d") <= of("h17s") && of("h17s") < of("h13"));
  assert(original(same(input([1, 2048, 8, 8]), 2048, 1), "h13") > of("h13"));
  assertClose(originalConstants("h17d").bandwidth / originalConstants("h17s").bandwidth, 4, "h17d bandwidth");
  const cube = original(matmul(input([768, 768]), 768), "h14");
  assert(cube > 350 && cube < 596);
});

const MAPPED = TARGETS.filter(({ family }) => family !== null).map(({ arch }) => arch);

Deno.test("int8 is never above fp16", () => {
  for (const target of [undefined, ...MAPPED.filter((arch) => !["h12", "m9", "t0"].includes(arch))]) {
    for (const [m, k, n] of [[1, 64, 64], [1, 4096, 1024], [300, 512, 2048]] as const) {
      const out = matmul(input([m, k]), n);
      assert(original(out, target, true) <= original(out, target), `original ${target}`);
      assert(original(out, target, true) >= (target === undefined ? 32.283 : 0));
      assert(estimate(out, { target, int8: true }) <= estimate(out, { target }), `fitted ${target}`);
    }
  }
  const wide = matmul(input([1, 4096]), 4096);
  assert(estimate(wide, { target: "h14", int8: true }) < 0.7 * estimate(wide, { target: "h14" }));
});

/** A random program and the same with one extent larger, or one operation more. */
const GROWTH: Readonly<Record<string, (r: (most: number) => number, grow: number) => Tensor>> = {
  matmul: (r, g) => {
    const [m, k, n, i] = [r(600), r(3000), r(3000), r(3)];
    return matmul(input([m + (i === 1 ? g : 0), k + (i === 2 ? g : 0)]), n + (i === 3 ? g : 0));
  },
  conv: (r, g) => {
    const [b, c, h, w, o, k, s, i] = [r(4), r(48), r(40) + 14, r(40) + 14, r(48), r(5), r(2), r(6)];
    const more = (at: number): number => i === at ? g : 0;
    const kernel = k + (i === 6 ? 1 : 0) * (g > 0 ? 1 : 0);
    const x = input([b + more(1), c + more(2), h + more(3), w + more(4)]);
    // Padding keeps the result at the size of the image, so only the kernel grows.
    const pad = [0, kernel - 1, 0, kernel - 1] as const;
    return conv(x, zeros([o + more(5), c + more(2), kernel, kernel]), { stride: s, pad });
  },
  softmax: (r, g) => {
    const [m, n, i] = [r(3000), r(3000), r(2)];
    return input([m + (i === 1 ? g : 0), n + (i === 2 ? g : 0)]).softmax();
  },
  attention: (r, g) => {
    const [h, s, d, i] = [r(8), r(300), r(64), r(3)];
    const shape = [1, h + (i === 1 ? g : 0), s + (i === 2 ? g : 0), d + (i === 3 ? g : 0)];
    const [q, k, v] = [input(shape), input(shape), input(shape)];
    return q.bmm(k.transpose([0, 1, 3, 2])).softmax(-1).bmm(v);
  },
  chain: (r, g) => {
    const [m, n, depth] = [r(900), r(900), r(20)];
    let h = input([m, n]);
    for (let i = 0; i < depth + (g > 0 ? 1 : 0); i++) h = i % 2 === 0 ? h.relu() : h.mul(h);
    return h;
  },
  topk: (r, g) => node("topk", [input([r(16), r(4000) + g])], [1, 5]),
  sort: (r, g) => node("sort", [input([1, r(4000) + g])], [1, 5]),
};

Deno.test("fitted: more work never costs less, and nothing less than the floor", () => {
  const random = new Random(7);
  const drawn = (): number => random.uniform();
  for (const [name, build] of Object.entries(GROWTH)) {
    for (let trial = 0; trial < 60; trial++) {
      const numbers = Array.from({ length: 10 }, drawn);
      const grow = 1 + Math.floor(drawn() * (trial % 2 === 0 ? 3 : 500));
      const small = numbers[Symbol.iterator](), large = numbers[Symbol.iterator]();
      const from = (it: Iterator<number>) => (most: number): number => 1 + Math.floor(it.next().value! * most);
      const [less, more] = [build(from(small), 0), build(from(large), name === "conv" ? 1 + grow % 4 : grow)];
      for (const target of ["h13", "h13g", "h14", "h15c", "m11", "h16", "h17s", "h17d", "h18"]) {
        const [a, b] = [estimate(less, { target }), estimate(more, { target })];
        assert(b >= a * (1 - 1e-12), `${name}, ${target}: ${less.shape} ${a} us, ${more.shape} ${b} us`);
        assert(a >= costProfile(target).floorUs, `${name}, ${target}: ${a} us is below the floor`);
      }
    }
  }
});

Deno.test("fitted: every target, family and machine", () => {
  assertEquals(MAPPED.length, 25);
  const graphs = [matmul(input([64, 512]), 512), same(input([1, 64, 32, 32]), 64, 3), input([256, 1024]).softmax()];
  for (const out of graphs) {
    for (const target of MAPPED) {
      const us = estimate(out, { target });
      assert(us > costProfile(target).floorUs && us < 1e4, `${target}: ${us}`);
      assertEquals(estimate(out, { target: target.toUpperCase() }), us);
    }
    for (const [family, arch] of [[2, "h13"], [3, "h14"], [4, "h15"], [5, "h16s"]] as const) {
      assertEquals(estimate(out, { target: family }), estimate(out, { target: arch }));
    }
    assertEquals(estimate(out), estimate(out, { target: "h17s" }));
    assertEquals(estimate(out, { target: "h14", chip: "M2" }), estimate(out, { target: "h14" }));
    assert(estimate(out, { target: "h17d" }) <= estimate(out, { target: "h17s" }));
    assert(estimate(out, { target: "h17s" }) < estimate(out, { target: "h13" }));
  }
  const image = input([8, 64, 64, 64]);
  assert(estimate(image.relu(), { target: "h14", chip: "M2 Pro" }) > estimate(image.relu(), { target: "h14" }));
});

Deno.test("fitted: inputs alone, several results, shared weights, views", () => {
  const { floorUs, readRate, writeRate, stepUs } = costProfile("h17s");
  const x = input([64, 256]);
  assertClose(estimate(x), floorUs + 32768 / readRate + 32768 / writeRate, "an input alone");
  const y = x.relu();
  assertClose(estimate([y, y]), estimate(y), "a result is copied out once");
  assert(estimate([y, x.exp()]) > estimate(y) + 32768 / writeRate);
  assertClose(estimate(x.add(x)), estimate(y), "an input is copied in once");
  assertClose(estimate(x.reshape([256, 64]).reshape([64, 256]).relu()), estimate(y), "views are free");
  const weight = zeros([1024, 1024]);
  const layer = (h: Tensor, w: NDArray): Tensor => apply("matmul", [h], { weight: w, bias: null });
  const row = input([1, 1024]);
  const twice = estimate(layer(layer(row, weight), weight));
  const other = estimate(layer(layer(row, weight), zeros([1024, 1024])));
  const array = 2 * 1024 * 1024 / costProfile("h17s").peak;
  assertClose(twice, estimate(layer(row, weight)) + array + stepUs, "a shared weight streams once");
  assertClose(
    other,
    2 * (estimate(layer(row, weight)) - floorUs) + floorUs - 2048 / readRate - 2048 / writeRate,
    "two",
  );
  // Rows are rounded up to 64 bytes: 16 columns of fp16 take as long as 32.
  assertEquals(estimate(input([1, 512, 16, 16]).relu()) > estimate(input([1, 512, 8, 32]).relu()), true);
  assert(Number.isFinite(estimate(input([]).relu())));
});

Deno.test("fitted: Winograd from H17 on only", () => {
  const out = same(input([4, 256, 64, 64]), 256, 3);
  const flops = 2 * 4 * 64 * 64 * 256 * 256 * 9;
  for (const [target, share] of [["h16s", 1], ["h17s", 2 / 3], ["h18", 2 / 3]] as const) {
    const { floorUs, readRate, writeRate, peak, stepUs } = costProfile(target);
    const copies = 2 * 4 * 256 * 64 * 64;
    assertClose(
      estimate(out, { target }),
      floorUs + copies / readRate + copies / writeRate + flops * share / peak + stepUs,
      target,
    );
  }
});

Deno.test("roofline: rows add up to the estimate and name the bound", () => {
  const x = input([1, 4096]);
  const gemv = roofline(matmul(x, 4096).relu(), "H17s");
  assertEquals(gemv.target, "h17s");
  assertEquals(gemv.ops.map(({ op, bound }) => [op, bound]), [["matmul", "bandwidth"], ["relu", "floor"]]);
  assertEquals(gemv.ops[0]!.flops, 2 * 4096 * 4096);
  assertEquals(gemv.ops[0]!.bytes, 2 * (4096 * 4096 + 8192));
  assertEquals(gemv.ops[0]!.intensity, 2 * 4096 * 4096 / (2 * (4096 * 4096 + 8192)));
  assertEquals(gemv.totals.bound, "bandwidth");
  const square = roofline(same(input([4, 512, 64, 64]), 512, 3), "h17s");
  assertEquals([square.ops[0]!.bound, square.totals.bound], ["compute", "compute"]);
  const small = roofline(input([8, 8]).relu(), 2);
  assertEquals([small.target, small.totals.bound, small.ops[0]!.bound], ["h13", "floor", "floor"]);
  assertEquals(roofline(x).totals.us, estimate(x));
  for (
    const out of [
      stack16(),
      input([512, 512]).softmax(),
      node("lrn", [same(x.reshape([1, 4, 32, 32]), 8, 3)], [1, 8, 32, 32]).relu(),
    ]
  ) {
    for (const target of MAPPED) {
      const { ops, totals } = roofline(out, target);
      const sum = ops.reduce((us, row) => us + row.us, totals.floorUs);
      assertClose(totals.us, sum, target);
      assertClose(totals.us, estimate(out, { target }), target);
    }
  }
});

Deno.test("arguments that are not understood", () => {
  const y = input([2, 2]).relu();
  assertThrows(() => estimate(y, { target: "h19" }), ArgumentError, "unknown target");
  assertThrows(() => estimate(y, { target: "u1" }), ArgumentError, "without silicon");
  assertThrows(() => estimate(y, { target: 6 }), ArgumentError, "family");
  assertThrows(() => estimate(y, { target: "h12", model: "original" }), ArgumentError, "no clock table");
  assertThrows(() => estimate(y, { model: "best" as "fitted" }), ArgumentError, 'model is "best"');
  assertThrows(() => estimate(y, { chip: "M9" as CostChip }), ArgumentError, "expected one of M1, M1 Max");
  assertThrows(() => estimate(y, { chip: "M1", model: "original" }), ArgumentError, "fitted model");
  assertThrows(() => estimate([]), ArgumentError, "at least one");
  assertThrows(() => estimate(3 as unknown as Tensor), ArgumentError, "expected a Tensor");
  assertThrows(() => roofline(y, "x"), ArgumentError, "unknown target");
});

Deno.test("fitted: the measured rows, within the figures of docs/cost.md", () => {
  const data = samples();
  assertEquals(data.length, 256);
  assertEquals(new Set(MEASURED_ROWS.map(({ source }) => source)), new Set(Object.keys(MEASURED_SOURCES)));
  const errors = (chips?: readonly string[]) =>
    errorsOf(
      data.filter(({ row }) => chips?.includes(row.chip) ?? true).map((sample) => [
        predictUs(sample, FITTED),
        sample.row.us,
      ]),
    );
  const all = errors();
  assertAlmostEquals(all.median, 0.053, 0.01);
  assertAlmostEquals(all.p90, 0.36, 0.04);
  assertAlmostEquals(all.ratio, 0.98, 0.02);
  const m5 = errors(["M5", "M5 Pro"]);
  assert(m5.median < 0.06 && m5.p90 < 0.25, JSON.stringify(m5));
  // What is public gives what the table was made with.
  const chips = Object.keys(FITTED.chips);
  for (const { row, graph, work } of data.slice(0, 120)) {
    const { arch: target, chip } = MACHINES[row.chip];
    const us = graph.dispatches * estimate(graph.out, { target, chip, int8: row.int8 ?? false });
    assertClose(us, predictUs({ row, graph, work }, FITTED), `${row.chip} ${row.graph}`);
    assert(chips.includes(chip));
  }
});

Deno.test("original: the published error of its own rows", () => {
  const of = (source: string) => samples(MEASURED_ROWS.filter((row) => row.source === source));
  const rows = of("closure");
  const errors = (chip: string): number[] =>
    rows.filter(({ row }) => row.chip === chip).map(({ row, graph }) =>
      original(graph.out, MACHINES[row.chip].arch) / row.us - 1
    );
  for (
    const [chip, expected] of [
      ["M1", [-0.005, 0.152, -0.052, -0.170, 0.156]],
      ["M5", [-0.010, -0.043, 0.114, -0.313, 0.133]],
    ] as const
  ) {
    const got = errors(chip);
    assertEquals(got.length, 5);
    got.forEach((error, i) => assertAlmostEquals(error, expected[i]!, 6e-4));
  }
  assertAlmostEquals(
    errorsOf(of("gemv").map(({ row, graph }) => [original(graph.out, "h17s"), row.us])).ratio,
    2.24,
    0.01,
  );
});
