// Targets, limits, the static check, and its agreement with the compiler of the host device.

import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import * as af from "../mod.ts";
import { compileCheck } from "../ffi/program.ts";
import { writeProgram } from "../src/compile/cache.ts";
import { OPS } from "../src/ops/all.ts";
import { emitMil } from "../src/mil/emit.ts";
import { OP_FLOORS } from "../src/targets/data/families.ts";
import { CATALOG, COMPOSITES, NATIVE_LAYERS, NOT_BUILT, SWEPT_ONLY } from "../src/targets/capabilities.ts";
import { familyOf, MAX_FAMILY, opFloor } from "../src/targets/targets.ts";
import { contradictsSweep } from "../tools/capability_pages.ts";
import { OP_CASES } from "./op_cases.ts";

// The device is opened, and the pacing of compiles set up, on first use: for the lowest family, and switched on.
const cache = Deno.makeTempDirSync({ prefix: "aneforge_targets_" });
const settings = {
  ANEFORGE_CACHE_DIR: cache,
  ANEFORGE_TARGET: undefined,
  ANEFORGE_DISABLE_COMPILE_BREAKER: undefined,
};
const before = Object.keys(settings).map((name) => [name, Deno.env.get(name)] as const);
const apply = (values: Iterable<readonly [string, string | undefined]>) => {
  for (const [name, value] of values) value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
};
apply(Object.entries(settings));
globalThis.addEventListener("unload", () => {
  apply(before);
  Deno.removeSync(cache, { recursive: true });
});

const { ArgumentError, ShapeError, UnsupportedOpError } = af;

/** Runs the body with `ANEFORGE_TARGET` set or removed. */
function withTarget(value: string | undefined, body: () => void): void {
  apply([["ANEFORGE_TARGET", value]]);
  try {
    body();
  } finally {
    apply([["ANEFORGE_TARGET", undefined]]);
  }
}

/** Warnings issued while the body runs. */
function warnings(body: () => void): [af.WarningKind, string][] {
  const seen: [af.WarningKind, string][] = [];
  const restore = af.onWarning((kind, message) => seen.push([kind, message]));
  try {
    body();
  } finally {
    restore();
  }
  return seen;
}

/** A node without the checks of the graph: shapes no device takes are the point here. */
function node(op: string, shape: number[], inputs: af.Tensor[] = [], attrs: Record<string, unknown> = {}): af.Tensor {
  return new af.Tensor(op, shape, "fp16", inputs, attrs);
}

/** The operation table of the host's compiler. */
const MIL_TABLE = Deno.readTextFileSync(new URL("../shim/host/mil_ops.inc", import.meta.url));

const ones = (...shape: number[]): af.NDArray => af.array(new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);

// Targets and families.

const FAMILY_OF: Readonly<Record<number, string>> = {
  1: "h11 h12 m9 t0",
  2: "h13 h13g t1",
  3: "h14 h14g h14c",
  4: "h15 h15g h15c m11",
  5: "h16 h16g h16c h16s h17 h17a h17g h17s h17c h17d h18",
};
const ARCHS = Object.entries(FAMILY_OF).flatMap(([family, names]) =>
  names.split(" ").map((name): [string, number] => [name, Number(family)])
);

Deno.test("28 targets, 25 of them with a family, found in any case and with blanks", () => {
  assertEquals(af.TARGETS.length, 28);
  assertEquals(ARCHS.length, 25);
  assertEquals(
    af.TARGETS.filter(({ family }) => family !== null).map(({ arch }) => arch).sort(),
    ARCHS.map(([a]) => a).sort(),
  );
  for (const [arch, family] of ARCHS) {
    assertEquals(af.familyOfArch(arch), family, arch);
    assertEquals(af.familyOfArch(` ${arch.toUpperCase()}\t`), family, arch);
    assertEquals(familyOf(arch), family);
  }
  for (const name of ["u1", "u2", "u3", "", " ", "h19", "m1", "zzz", "h13 g", "2"]) {
    assertThrows(() => af.familyOfArch(name), ArgumentError, `unknown target ${JSON.stringify(name)}`);
  }
  assertThrows(() => af.familyOfArch("U2"), ArgumentError, "reference target");
});

Deno.test("every row names a public origin", () => {
  for (const { source } of [...af.TARGETS, ...OP_FLOORS]) assertMatch(source, /^sbryngelson\/ANEForge \S+$/);
});

Deno.test("each family has one target that stands for it, except the first", () => {
  assertEquals([2, 3, 4, 5].map(af.archForFamily), ["h13", "h14", "h15", "h16s"]);
  for (const family of [2, 3, 4, 5]) assertEquals(af.familyOfArch(af.archForFamily(family)), family);
  assertThrows(() => af.archForFamily(1), ArgumentError, "no target that takes MIL programs");
  for (const family of [0, 6, -1, 2.5, NaN, Infinity]) {
    assertThrows(() => af.archForFamily(family), ArgumentError, "unknown family");
    assertThrows(() => familyOf(family), ArgumentError, "unknown family");
  }
  assertEquals([1, 2, 3, 4, 5].map(familyOf), [1, 2, 3, 4, 5]);
  assertEquals([1, 2, 3, 4, 5].map(af.supportsMil), [false, true, true, true, true]);
  assertEquals([1, 2, 3, 4, 5].map(af.hasTextureEngine), [false, false, true, true, true]);
  assertEquals(af.MIN_FAMILY, 2);
});

Deno.test("status of operations by family", () => {
  const N = "native", D = "decompose", R = "reject";
  const expected: [ops: string, status: string[]][] = [
    ["crop_resize resample affine gather_hw sq_after_reduce topk sort dynamic_slice", [R, R, N, N, N]],
    ["sin cos dropout random", [D, D, D, N, N]],
    ["global_argmax global_argmin", [R, R, R, N, N]],
    ["conv relu atan transpose unlisted_name", [R, N, N, N, N]],
  ];
  for (const [ops, status] of expected) {
    for (const op of ops.split(" ")) assertEquals([1, 2, 3, 4, 5].map((f) => af.opStatus(op, f)), status, op);
  }
  assertEquals(OP_FLOORS.length, 14);
  for (const [name, op] of OPS) assertEquals(op.family ?? 2, opFloor(name), `${name}: its floor is in the table`);
  const decomposed = OP_FLOORS.filter(({ op, below }) => below === "formula" && OPS.has(op));
  for (const { op } of decomposed) assert(OPS.get(op)!.portable, `${op} has a formula`);
});

const LIMITS: Readonly<Record<af.LimitName, number[]>> = {
  max_tensor_dim: [16384, 16384, 16384, 65536],
  channel_extent: [65536, 65536, 65536, 65536],
  transpose_extent: [8388607, 8388607, 8388607, 16777215],
  conv_kw_max: [13, 13, 13, 15],
  reduction_transpose_extent: [192, 192, 384, 384],
};

Deno.test("limits by family", () => {
  for (const [name, values] of Object.entries(LIMITS)) {
    assertEquals([2, 3, 4, 5].map((family) => af.limit(name as af.LimitName, family)), values, name);
    assertEquals(af.limit(name as af.LimitName, 6), values.at(-1), "a later family keeps the last value");
    for (const family of [1, 0, NaN]) {
      assertThrows(() => af.limit(name as af.LimitName, family), ArgumentError, "below 2");
    }
  }
  assertThrows(() => af.limit("conv_kh_max" as af.LimitName, 2), ArgumentError, "unknown limit");
});

Deno.test("encodings that stream, by family", () => {
  const all = ["blockwise", "int4", "int8", "sparse"];
  const expected = [all, ["int4", "sparse"], ["int4", "int8", "sparse"], all, all];
  assertEquals([1, 2, 3, 4, 5].map((family) => [...af.nativeStreams(family)].sort()), expected);
});

Deno.test("the family of a machine: the variable, the processor, the floor with one warning", () => {
  const chips: [string, number][] = [
    ["Apple M1", 2],
    ["Apple M1 Max", 2],
    ["Apple M2 Pro", 3],
    ["Apple M3 Max", 4],
    ["Apple M4", 5],
    ["Apple M5 Pro", 5],
  ];
  const unknown = ["Apple M6 Max", "Apple Silicon Unknown", "", "MacBookPro17,1", "Mac17,8"];
  withTarget(undefined, () => {
    const known = warnings(() =>
      chips.forEach(([brand, family]) => assertEquals(af.detectFamily(brand), family, brand))
    );
    assertEquals(known, []);
    const seen = warnings(() => unknown.forEach((brand) => assertEquals(af.detectFamily(brand), 2, brand)));
    assertEquals(seen.map(([kind]) => kind), ["target"]);
    assertMatch(seen[0]![1], /unknown chip "Apple M6 Max": taken for family 2 .*ANEFORGE_TARGET/);
    if (Deno.build.os !== "darwin") assertEquals(af.detectFamily(), 2);
  });
  withTarget("", () => assertEquals(af.detectFamily("Apple M3"), 4));
  withTarget(" H17s ", () => {
    assertEquals(warnings(() => assertEquals(af.detectFamily("Apple M6"), 5)), []);
  });
  withTarget("h99", () => assertThrows(() => af.detectFamily("Apple M1"), ArgumentError, 'unknown target "h99"'));
});

// The static check.

Deno.test("preflight: the published cases", () => {
  const convOf = (width: number) =>
    node("conv", [1, 1, 4, 20], [node("input", [1, 1, 4, 33])], { weight: ones(1, 1, 1, width) });
  const norm = (shape: number[], groups?: number) =>
    node("group_norm", shape, [node("input", shape)], groups === undefined ? {} : { groups });
  const unary = (op: string, ...shape: number[]) => node(op, shape, [node("input", shape)]);
  const wide = node("transpose", [2, 1048576], [node("input", [1048576, 2])], { perm: [1, 0] });
  const cases: [string, af.Tensor, verdicts: string][] = [
    ["relu (1,20000)", unary("relu", 1, 20000), "oversize oversize oversize ok"],
    ["relu (1,65536,1,1)", unary("relu", 1, 65536, 1, 1), "ok ok ok ok"],
    ["relu (1,65537,1,1)", unary("relu", 1, 65537, 1, 1), "oversize oversize oversize oversize"],
    ["transpose of (1048576,2)", wide, "ok ok ok ok"],
    ["group_norm, 16900 on H W", norm([1, 32, 130, 130], 1), "oversize oversize oversize ok"],
    ["group_norm, 640 channels", norm([1, 640, 64, 64], 32), "ok ok ok ok"],
    ["kernel 14 wide", convOf(14), "oversize oversize oversize ok"],
    ["sin", unary("sin", 1, 8), "decompose decompose ok ok"],
    ["crop_resize", unary("crop_resize", 1, 1, 8, 8), "reject ok ok ok"],
    ["topk", unary("topk", 1, 8), "reject ok ok ok"],
  ];
  for (const [title, out, verdicts] of cases) {
    const got = [2, 3, 4, 5].map((family) => {
      const { reject, oversize, decompose, ok } = af.preflight(out, family);
      assertEquals(ok, reject.length === 0 && oversize.length === 0, title);
      return reject.length ? "reject" : oversize.length ? "oversize" : decompose.length ? "decompose" : "ok";
    });
    assertEquals(got.join(" "), verdicts, title);
  }
});

/** The three sizes around a cap, and whether they pass. */
const around = (cap: number): [number, boolean][] => [[cap - 1, true], [cap, true], [cap + 1, false]];

for (const family of [2, 3, 4, 5]) {
  const at = (name: af.LimitName): number => LIMITS[name][family - 2]!;
  const check = (title: string, out: af.Tensor, passes: boolean, excess?: Partial<af.PreflightEntry>): void => {
    const { ok, oversize } = af.preflight(out, family);
    assertEquals(ok, passes, `${title}, family ${family}`);
    if (passes || excess === undefined) return;
    const entry = oversize.find(({ op }) => op === out.op)!;
    for (const [key, value] of Object.entries(excess)) {
      assertEquals(entry[key as keyof af.PreflightEntry], value, `${title}: ${key}`);
    }
    assert(entry.suggestion, title);
  };

  Deno.test(`limits of family ${family}: one less, the limit, one more`, () => {
    for (const [extent, passes] of around(at("max_tensor_dim"))) {
      const cap = at("max_tensor_dim");
      for (const rank of [1, 2, 3, 5]) {
        for (let axis = 0; axis < rank; axis++) {
          const shape = Array.from({ length: rank }, (_, i) => (i === axis ? extent : 1));
          const what = { limit: "max_tensor_dim", what: "axis", axis, extent, cap } as const;
          check(`relu of rank ${rank}`, node("relu", shape, [node("input", shape)]), passes, what);
        }
      }
      for (const axis of [0, 2, 3]) {
        const shape = [1, 1, 1, 1].map((one, i) => (i === axis ? extent : one));
        check("relu of rank 4", node("relu", shape, [node("input", shape)]), passes, { axis, extent, cap });
      }
      const out = node("group_norm", [1, 4, extent, 1], [node("input", [1, 4, 1, 1])], { groups: 2 });
      check("group_norm rows", out, passes, { what: "axis" });
    }
    for (const [extent, passes] of around(at("channel_extent"))) {
      const shape = [1, extent, 1, 1];
      const what = { limit: "channel_extent", axis: 1, extent, cap: 65536 } as const;
      check("channels", node("relu", shape, [node("input", shape)]), passes, what);
    }
    for (const [extent, passes] of around(at("transpose_extent"))) {
      for (const shape of [[extent, 2], [2, extent], [1, extent, 1, 1], [1, 1, 1, extent]]) {
        const back = [...shape].reverse();
        const what = { limit: "transpose_extent", extent, cap: at("transpose_extent") } as const;
        check("transpose", node("transpose", back, [node("input", shape)]), passes, what);
      }
    }
    for (const [width, passes] of around(at("conv_kw_max"))) {
      for (const op of ["conv", "conv_transpose"]) {
        const what = { limit: "conv_kw_max", what: "kernel width", axis: 3, extent: width } as const;
        const out = node(op, [1, 1, 1, 1], [node("input", [1, 1, 1, 1])], { weight: ones(1, 1, 40, width) });
        check(op, out, passes, what);
      }
    }
    const cap = at("max_tensor_dim");
    const groups: [shape: number[], attrs: Record<string, unknown>, passes: boolean][] = [
      [[1, 1, cap / 4, 4], { groups: 1 }, true],
      [[1, 1, cap / 4 + 1, 4], { groups: 1 }, false],
      [[1, cap, 1, 1], {}, true],
      [[1, cap, 1, 1], { groups: 0 }, true],
      [[1, 2 * cap, 1, 1], { groups: 2 }, 2 * cap <= 65536],
      [[1, 2 * cap + 2, 1, 1], { groups: 2 }, false],
      [[1, 2 * cap + 1, 1, 1], { groups: 2 }, 2 * cap + 1 <= 65536],
      [[1, 65536, 1, 1], {}, 65536 <= cap],
    ];
    for (const [shape, attrs, passes] of groups) {
      check(
        `group_norm ${shape} ${attrs.groups}`,
        node("group_norm", shape, [node("input", [1, 1, 1, 1])], attrs),
        passes,
      );
    }
    for (const extent of [192, 193, 384, 385]) {
      check("the order of a sum is no limit", node("reduce_sum", [1, 1], [node("input", [1, extent])]), true);
    }
  });
}

Deno.test("only a transpose and the inputs it reads have its wider limit", () => {
  const x = node("input", [20000, 2]);
  assert(af.preflight(node("transpose", [2, 20000], [x]), 2).ok);
  const computed = node("relu", [20000, 2], [x]);
  const report = af.preflight(node("transpose", [2, 20000], [computed]), 2);
  assertEquals(report.oversize.map(({ op }) => op), ["relu", "input"]);
  // Read by both: the input is wide, the other reader is not.
  const both = node("add", [1, 1], [node("transpose", [2, 20000], [x]), computed]);
  assertEquals(af.preflight(both, 2).oversize.map(({ op }) => op), ["relu"]);
});

Deno.test("nodes are listed once, in pre-order with the last operand first, as one record in two lists", () => {
  const a = node("input", [1, 2]), b = node("input", [1, 3]);
  const s = node("sin", [1, 20000], [a]);
  const out = node("add", [1, 5], [s, node("mul", [1, 4], [b, s])]);
  const report = af.preflight(out, "H13 ");
  assertEquals(report.family, 2);
  assertEquals(report.native.map(({ op, shape }) => `${op} ${shape}`), [
    "add 1,5",
    "mul 1,4",
    "input 1,2",
    "input 1,3",
  ]);
  assertEquals(report.decompose.map(({ op }) => op), ["sin"]);
  assertStrictEquals(report.decompose[0], report.oversize[0]);
  assertEquals(report.ok, false);
  assertMatch(report.decompose[0]!.suggestion!, /polynomial.*; reshape .*16384.*family 5 \(A16\)/);
  const several = af.preflight([a, b, a], 2);
  assertEquals(several.native.map(({ shape }) => shape), [[1, 2], [1, 3]]);
});

Deno.test("below the floor everything is rejected, inputs included, and no limit is looked up", () => {
  const out = node("sin", [1, 99999], [node("input", [1, 99999])]);
  for (const target of [1, "h11", "h12", "m9", "t0"]) {
    const report = af.preflight(out, target);
    assertEquals(report.reject.map(({ op }) => op), ["sin", "input"]);
    assertEquals([report.native, report.decompose, report.oversize, report.ok], [[], [], [], false]);
    assertMatch(report.reject[0]!.suggestion!, /family 2 \(A13\)/);
  }
  for (const target of ["u1", "h19", 0, 6]) assertThrows(() => af.preflight(out, target), ArgumentError);
});

Deno.test("what is refused comes with a way out", () => {
  const advice = (out: af.Tensor, family: number) => {
    const { reject, decompose, oversize } = af.preflight(out, family);
    return [...reject, ...decompose, ...oversize][0]!.suggestion!;
  };
  assertMatch(advice(node("topk", [1, 4]), 2), /family 3 \(A14\) or later, or: .*host/);
  assertMatch(advice(node("dropout", [1, 4]), 3), /host.*input/);
  assertMatch(advice(node("conv", [1, 1, 1, 1], [], { weight: ones(1, 1, 1, 15) }), 4), /height has no cap.*family 5/);
  assertMatch(advice(node("relu", [1, 65537, 1, 1]), 2), /axis 1 becomes two/);
  assert(!advice(node("relu", [1, 65537, 1, 1]), 2).includes("family"), "no family takes that");
  assertMatch(advice(node("group_norm", [1, 2, 200, 200], [], { groups: 2 }), 2), /tiles.*family 5/);
});

// fp16 results.

const { predictFp16Divergence: predict } = af;

Deno.test("fp16 divergence: the published cases", () => {
  const cases: [string, number, number, number[] | undefined, number | undefined, af.Fp16Verdict][] = [
    ["slice", 2, 5, [0, 0, 0, 2], undefined, "saturation"],
    ["slice_by_size", 5, 2, [0, 0, 0, 1], undefined, "saturation"],
    ["slice", 2, 5, [0, 0, 0, 2], 100, "none"],
    ["slice", 2, 5, [0, 0, 2, 0], undefined, "none"],
    ["slice", 3, 5, [0, 0, 0, 2], undefined, "saturation"],
    ["slice", 2, 3, [0, 0, 0, 2], undefined, "none"],
    ["reduce_square", 2, 5, undefined, undefined, "ulp1"],
    ["reduce_square", 2, 3, undefined, undefined, "none"],
    ["reduce_square", 3, 5, undefined, undefined, "ulp1"],
    ["reduce", 2, 5, undefined, undefined, "ulp1"],
    ["softmax", 3, 4, undefined, undefined, "ulp1"],
    ["reduce", 2, 3, undefined, undefined, "none"],
    ["reduce", 5, 5, undefined, undefined, "none"],
    ["slice", 2, 2, [0, 0, 0, 2], undefined, "none"],
    ["add", 2, 5, undefined, undefined, "none"],
  ];
  for (const [kind, a, b, begin, maxAbs, verdict] of cases) {
    assertEquals(predict(kind, a, b, { begin, maxAbs }), verdict, `${kind} ${a} ${b} ${begin} ${maxAbs}`);
    assertEquals(predict(kind, b, a, { begin, maxAbs }), verdict, "in either order");
  }
});

Deno.test("fp16 divergence: all pairs, kinds and magnitudes", () => {
  const late = (family: number) => family >= 4;
  for (const a of [2, 3, 4, 5]) {
    for (const b of [2, 3, 4, 5]) {
      const differ = late(a) !== late(b);
      assertEquals(predict("slice", a, b, { begin: [1] }), differ ? "saturation" : "none");
      for (const kind of ["Reduce_Sum", "softmax", "layer_NORM", "mean", "cumsum", "variance", "rms_norm", "l2_norm"]) {
        assertEquals(predict(kind, a, b), differ ? "ulp1" : "none", kind);
      }
      for (const kind of ["add", "square", "conv", "", "slice", "crop"]) {
        assertEquals(predict(kind, a, b), "none", kind);
      }
    }
  }
  assertEquals(af.FP16_SLICE_SAT, 4094);
  const at = (maxAbs: number) => predict("my_CROP_op", "h13", "h17s", { begin: [0, 1], maxAbs });
  assertEquals([at(4094), at(4094.5), at(0), at(Infinity)], ["none", "saturation", "none", "saturation"]);
  assertEquals(predict("slice", 2, 5, { begin: [] }), "none");
  assertEquals(predict("slice_then_reduce", 2, 5, { begin: [0], maxAbs: 1 }), "ulp1", "the next rule applies");
  // Nothing is known of family 1, so it differs from all others.
  assertEquals([2, 3, 4, 5].map((f) => predict("square", 1, f)), ["round1", "round1", "round1", "round1"]);
  assertEquals(predict("softmax", 1, 2), "ulp1");
  assertEquals(predict("rms", 1, 1), "none");
  assertEquals(predict("slice", 1, 5, { begin: [3] }), "saturation");
  assertThrows(() => predict("slice", "u1", 2), ArgumentError);
});

Deno.test("risks of a graph: one per operation and verdict, sorted, with the first shape", () => {
  const x = af.input([4, 8]);
  const sliced = x.slice(null, [2, 6]);
  const total = x.sum(-1);
  const out = sliced.softmax(-1).add(x.slice(null, [4, 8]).softmax(-1)).add(total.mul(total)).add(total.square())
    .add(x.slice([1, 2], [0, 4]).mul(3));
  assertEquals(af.fp16Risks(out, 2, 5), [
    { op: "mul", verdict: "ulp1", shape: [4, 1] },
    { op: "reduce_sum", verdict: "ulp1", shape: [4, 1] },
    { op: "slice_by_size", verdict: "saturation", shape: [4, 4] },
    { op: "softmax", verdict: "ulp1", shape: [4, 4] },
    { op: "square", verdict: "ulp1", shape: [4, 1] },
  ]);
  assertEquals(af.fp16Risks(out, "h13", "h14g"), []);
  assertEquals(af.fp16Risks(out, 4, 5), []);
  assertEquals(af.fp16Risks(x.mul(x).square(), 2, 5), [], "a square that follows no reduction");
});

// compile.

Deno.test("compile takes names and numbers, refuses what does not fit, and leaves families below 2 alone", () => {
  const x = af.input([1, 20000]);
  for (const target of ["h13", 2, "m11", undefined]) {
    const message = "axis 1 has 20000 elements, the family takes 16384";
    assertThrows(() => af.compile(x.relu(), { target }), ShapeError, message);
  }
  for (const target of ["h16", " H17S", 5]) af.compile(x.relu(), { target }).release();
  assertThrows(
    () => af.compileMulti([af.input([1, 4]).relu(), x], { target: 3 }),
    ShapeError,
    "compileMulti: capability",
  );
  for (const target of ["h11", 1]) {
    assertThrows(
      () => af.compile(x, { target }),
      UnsupportedOpError,
      "MIL is only supported for H13+ ANE architectures",
    );
  }
  for (const target of ["u1", "h19", 0, 6, 2.5]) {
    assertThrows(() => af.compile(x, { target }), ArgumentError, "unknown");
  }
  const wide = af.conv(af.input([1, 1, 4, 20]), ones(1, 1, 1, 15));
  assertThrows(() => af.compile(wide, { target: 4 }), ShapeError, "kernel width is 15, the family takes 13");
  const topk = node("topk", [1, 4], [af.input([1, 8])]);
  assertThrows(
    () => af.compile(topk, { target: 2 }),
    UnsupportedOpError,
    "compile: capability family 2 (A13) has no topk",
  );
  assertThrows(() => af.compile(node("dropout", [1, 8], [af.input([1, 8])]), { target: 2 }), Error, "dropout");
});

Deno.test("the channel axis may be larger than the others", () => {
  using net = af.compile(af.input([1, 20000, 1, 1]).relu(), { target: "h13" });
  assertEquals(net.run(new Float32Array(20000).fill(-1)).data.every((v) => v === 0), true);
});

Deno.test("slices behind the first column: what a family gets wrong is said once", () => {
  const x = af.input([2, 12]);
  const part = (begin: number) => x.slice(null, [begin, begin + 3]);
  const graphs: [string, af.Tensor][] = [
    ["one", part(3).relu()],
    ["two in a concat", af.concat([part(3), part(6)], 0)],
    ["one of two at column 0", af.concat([part(0), part(6)], 1)],
    ["rows", x.slice([1, 2]).relu()],
  ];
  const kinds = (out: af.Tensor, family: number): string[] =>
    warnings(() => af.compile(out, { target: family }).release()).filter(([kind]) => kind === "slice")
      .map((
        [, text],
      ) => (text.includes("wrong elements") ? "misplaced" : text.includes("infinite") ? "infinite" : text));
  const expected: Record<number, string[][]> = {
    5: [[], [], [], []],
    4: [[], ["misplaced"], [], []],
    3: [["infinite"], ["infinite", "misplaced"], [], []],
    2: [["infinite"], ["infinite", "misplaced"], [], []],
  };
  // [0, 3] and [0, 6] are two messages; the first graph has already said the one about [0, 3].
  for (const [family, rows] of Object.entries(expected)) {
    const got = graphs.map(([, out]) => kinds(out, Number(family)).sort());
    assertEquals(got, rows, `family ${family}`);
    assertEquals(graphs.flatMap(([, out]) => kinds(out, Number(family))), [], "said before");
  }
});

// The compiler.

/** What the compiler says about a graph as it is, for a target: nothing is replaced, nothing is checked before. */
function verdict(out: af.Tensor, target: string): string | undefined {
  const root = out.op === "input" ? out.mul(1) : out;
  const { text, weights } = emitMil([root], { family: MAX_FAMILY });
  const { milPath, cacheDir } = writeProgram(text, weights);
  return compileCheck({ milPath, cacheDir, target });
}

Deno.test("every operation on every family: the static check and the compiler agree", () => {
  const restore = af.onWarning(() => {});
  const tried = new Set<string>();
  for (const { op, title, inputs, build } of OP_CASES) {
    const out = build(inputs.map(({ shape, dtype = "fp16" }) => af.input(shape, { dtype })));
    tried.add(op);
    for (const [family, arch] of [[1, "h11"], [2, "h13"], [3, "h14"], [4, "h15"], [5, "h17s"]] as const) {
      const { ok, decompose } = af.preflight(out, family);
      const refusal = verdict(out, arch);
      assertEquals(refusal === undefined, ok && decompose.length === 0, `${op}, ${title}, ${arch}: ${refusal}`);
      assertEquals(af.crossCompileCheck(out, arch), refusal === undefined, `${op}, ${title}, ${arch}`);
    }
  }
  restore();
  assertEquals(tried, new Set(OPS.keys()));
});

Deno.test("the compiler knows the family of each target, and takes a name it does not know for its own", () => {
  const x = af.input([1, 1, 4, 20]);
  const sine = x.sin(), wide = af.conv(x, ones(1, 1, 1, 14)), plain = x.relu();
  for (const [arch, family] of ARCHS) {
    assertEquals(verdict(plain, arch) === undefined, family >= 2, arch);
    assertEquals(verdict(sine, arch) === undefined, family >= 4, arch);
    assertEquals(verdict(wide, arch) === undefined, family >= 5, arch);
  }
  const own = af.archForFamily(af.device().family);
  for (const name of ["u1", "zzz"]) {
    for (const out of [plain, sine, wide]) {
      assertEquals(verdict(out, name) === undefined, verdict(out, own) === undefined);
    }
  }
});

Deno.test("the compiler does not apply the size limits of a family, the check before it does", () => {
  const out = af.input([1, 20000]).relu();
  assertEquals(verdict(out, "h13"), undefined);
  const seen = warnings(() => assertEquals(af.crossCompileCheck(out, "h13"), false));
  assertEquals(seen.map(([kind]) => kind), ["cross-compile"]);
  assertMatch(seen[0]![1], /not for h13: .*axis 1 has 20000 elements/);
  assertEquals(af.crossCompileCheck(out, "h16"), true);
});

Deno.test("the operation table of the host's compiler has the same floors", () => {
  const rows = [...MIL_TABLE.matchAll(/^(?:RUN\("(\w+)", \w+|REST\("(\w+)"), \d+, (\d)[,)]/gm)];
  assert(rows.length > 100, `${rows.length} rows read`);
  for (const [, run, rest, family] of rows) {
    const name = (run ?? rest)!;
    assertEquals(Number(family), opFloor(name), name);
  }
});

Deno.test("crossCompileCheck: unknown targets first, then the static check, then missing lowerings, then the compiler", () => {
  const broken = node("topk", [1, 4], [af.input([1, 8])]);
  for (const target of ["h19", "zzz", "u1", "", 0, 1, 6]) {
    assertThrows(() => af.crossCompileCheck(broken, target), ArgumentError);
  }
  const quiet = af.onWarning(() => {});
  for (const target of ["h11", "h12", "m9", "t0", "h13", "T1"]) {
    assertEquals(af.crossCompileCheck(broken, target), false);
  }
  const two = node("concat", [1, 8], [broken, node("sort", [1, 4], [broken])]);
  for (const target of ["h14", 4, "h18"]) {
    assertThrows(() => af.crossCompileCheck(two, target), UnsupportedOpError, "no lowering for sort, topk");
  }
  const sine = af.input([1, 8]).sin();
  assertEquals([2, 3, 4, 5].map((family) => af.crossCompileCheck(sine, family)), [false, false, true, true]);
  assertEquals(af.crossCompileCheck(af.input([2, 3]), "h13"), true, "an input by itself");
  assertEquals(af.crossCompileCheck(af.input([2, 3], { dtype: "uint8" }), " H17D "), true);
  quiet();
  assertThrows(() => af.crossCompileCheck(af.constant(new Float32Array(4)), "h13"), ArgumentError, "no inputs");
});

Deno.test("crossCompileCheck says where results differ, for another family only", () => {
  const out = af.input([4, 300]).softmax(-1).slice(null, [1, 3]);
  const own = af.device().family;
  const other = own <= 3 ? 5 : 2;
  const seen = warnings(() => assertEquals(af.crossCompileCheck(out, other), true));
  assertEquals(seen.map(([kind]) => kind), ["cross-chip-fp16"]);
  assertMatch(seen[0]![1], /slice_by_size \[4, 2\]: magnitudes above 4094.*softmax \[4, 300\]: sums in another order/);
  assertEquals(warnings(() => af.crossCompileCheck(out, own)), []);
  const refused = warnings(() => assertEquals(af.crossCompileCheck(af.input([1, 8]).sin(), "h13"), false));
  assertMatch(refused.at(-1)![1], /not for h13: .*sin is not supported on any backend/);
});

Deno.test("a failed check does not hold back the next compile", () => {
  const restore = af.onWarning(() => {});
  assertEquals(af.crossCompileCheck(af.input([1, 8]).sin(), "h13"), false);
  restore();
  const start = performance.now();
  af.compile(af.input([1, 8]).relu()).release();
  assert(performance.now() - start < 5000);
});

// The registry.

const registry = [...CATALOG.values()];
const count = (key: (info: af.OpInfo) => string): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const info of registry) counts[key(info)] = (counts[key(info)] ?? 0) + 1;
  return counts;
};

Deno.test("the catalog has the published counts", () => {
  assertEquals(registry.length, 187);
  assertEquals(af.categories().length, 14);
  assertEquals(new Set(registry.map(({ category }) => category)), new Set(af.categories()));
  assertEquals(count(({ bucket }) => bucket), {
    "fused": 90,
    "reachable": 30,
    "walled": 37,
    "bridge": 18,
    "not-authorable": 12,
  });
  const native = (chip: string) => af.opsOn(chip).length;
  assertEquals(["m1", "m2", "m3", "m4", "m5"].map(native), [113, 124, 131, 131, 131]);
  assertEquals(["m1", "m2", "m3", "m5"].map((chip) => af.opsOn(chip, "walled").length), [40, 35, 35, 35]);
  assertEquals(["m1", "m2", "m3", "m5"].map((chip) => af.opsOn(chip, "bridge").length), [34, 28, 21, 21]);
  assertEquals(af.walledEverywhere().length, 35);
  const swept = [...registry.flatMap(({ sweep }) => sweep ?? []), ...SWEPT_ONLY.map(({ sweep }) => sweep)];
  const classes = ["reachable+correct", "reachable", "not-implemented-on-ANE", "compile-walled"];
  assertEquals(swept.length, 166);
  assertEquals(classes.map((name) => swept.filter((sweep) => sweep === name).length), [97, 19, 36, 14]);
  assertEquals(registry.filter(contradictsSweep).length, 21);
});

Deno.test("rows are sound: sections, statuses, floors and origins", () => {
  for (const info of registry) {
    const { op, status, minFamily, bucket } = info;
    assertEquals(af.opInfo(op), info);
    const columns = [status.m1, status.m2, status.m3, status.m5];
    for (const cell of [...columns, status.m4]) assert(["native", "bridge", "walled"].includes(cell), op);
    assertEquals(status.m4, status.m5, op);
    const first = columns.indexOf("native");
    assertEquals(minFamily, first < 0 ? undefined : first + 2, op);
    assertEquals(af.minNativeFamily(op), minFamily);
    if (first >= 0) {
      assert(columns.slice(first).every((cell) => cell === "native"), `${op}: later families have it too`);
    }
    if (bucket === "walled" || bucket === "not-authorable") assert(info.note, `${op} says what to do instead`);
    assert(info.sources.length > 0, op);
    for (const source of info.sources) assertMatch(source, /^sbryngelson\/ANEForge \S+$/);
  }
  // The catalog's floors and those of the static check are the same where both know the operation.
  for (const { op, family } of OP_FLOORS) {
    const known = af.minNativeFamily(op);
    if (known !== undefined) assertEquals(known, family, op);
  }
});

Deno.test("chips go by name, generation and target; unknown ones are refused", () => {
  const expected: [chips: string, string][] = [
    ["m1 a13 h13 t1 H13G", "bridge"],
    ["m2 A14 h14 h14c", "bridge"],
    ["m3 a15 h15 m11", "native"],
    ["m4 m5 M5 a16 a17 h16 h17 h17s h18", "native"],
  ];
  for (const [chips, status] of expected) {
    for (const chip of chips.split(" ")) {
      assertEquals(af.deviceStatus("sin", chip), status, chip);
      assertEquals(af.isNative("sin", chip), status === "native", chip);
    }
  }
  assertEquals(af.deviceStatus("topk"), "walled", "M1 by default");
  assertEquals(af.deviceStatus("no_such_op", "m1"), undefined);
  assertEquals([af.opInfo("no_such_op"), af.minNativeFamily("no_such_op")], [undefined, undefined]);
  assertEquals(af.isNative("no_such_op", "m1"), false);
  for (const chip of ["m6", "m0", "a12", "a18", "h11", "u1", "", "intel"]) {
    assertThrows(() => af.deviceStatus("relu", chip), ArgumentError);
    assertThrows(() => af.opsOn(chip), ArgumentError);
  }
  assertEquals(af.opsOn("m1"), [...af.opsOn("m1")].sort());
});

Deno.test("the registry and the definitions agree on what is there", () => {
  const composites = new Map(COMPOSITES.map((row) => [row.op, row]));
  for (const [name, { lower }] of OPS) {
    if (lower === undefined) continue;
    const listed = af.opInfo(name)?.bucket === "fused" || composites.has(name) || NATIVE_LAYERS.includes(name);
    assert(listed, `${name} has a lowering: its row in op_catalog.json must say fused, or it is a composite there`);
    assert(af.opInfo(name)?.built ?? composites.get(name)?.built ?? true, name);
  }
  assertEquals(NATIVE_LAYERS.length, 19);
  for (const name of NOT_BUILT) assert(!OPS.has(name), name);
  // The page says so too.
  const page = Deno.readTextFileSync(new URL("../docs/capabilities.md", import.meta.url));
  const section = page.slice(page.indexOf("### Not built yet"), page.indexOf("## Operations of this module"));
  const shown = [...section.matchAll(/`(\w+)`/g)].map(([, name]) => name!);
  assertEquals(shown, [...NOT_BUILT], "run deno task docs");
});

/** MIL operations in the text of each graph operation's cases. */
function writtenBy(): Map<string, Set<string>> {
  const byOp = new Map<string, Set<string>>();
  for (const { op, inputs, build } of OP_CASES) {
    const out = build(inputs.map(({ shape, dtype = "fp16" }) => af.input(shape, { dtype })));
    const root = out.op === "input" ? out.mul(1) : out;
    const { text } = emitMil([root], { family: MAX_FAMILY });
    const names = [...text.matchAll(/ = (\w+)\(/g)].map(([, name]) => name!).filter((name) => CATALOG.has(name));
    byOp.set(op, new Set([...byOp.get(op) ?? [], ...names]));
  }
  return byOp;
}

Deno.test("what is marked as built is what the lowerings write, and the host runs it", () => {
  const byOp = writtenBy();
  const written = new Set([...byOp.values()].flatMap((names) => [...names]));
  const runs = new Set([...MIL_TABLE.matchAll(/^RUN\("(\w+)"/gm)].map(([, op]) => op!));
  for (const name of written) {
    assert(af.opInfo(name)!.built, `${name} is written, but not marked`);
    assert(runs.has(name), `${name} is written, but the host does not run it`);
  }
  for (const { op, built } of registry) {
    if (built && !written.has(op)) assert(byOp.has(op), `${op} is marked, but neither written nor an operation`);
  }
  for (const { op, built, writes } of COMPOSITES) {
    if (built) assertEquals(writes.filter((name) => !byOp.get(op)!.has(name)), [], op);
  }
});

Deno.test("what the host's compiler refuses for good did not run on an M5, and what it runs is no wall", () => {
  const rows = (kind: string) =>
    new Set([...MIL_TABLE.matchAll(new RegExp(`^${kind}\\("(\\w+)"`, "gm"))].map(([, op]) => op!));
  const walls = rows("WALL"), runs = rows("RUN");
  assert(walls.size > 40 && runs.size > 60);
  for (const { op, sweep, bucket } of registry) {
    if (walls.has(op)) assert(!sweep?.startsWith("reachable"), `${op} is refused, but ran on an M5`);
    if (runs.has(op)) {
      assert(["fused", "reachable", "bridge"].includes(bucket), `${op} runs on the host, but is ${bucket}`);
    }
  }
});
