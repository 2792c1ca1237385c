// opt, validate, precisionRisk, tune, the bound of the cache, and ANEFORGE_DEBUG.

import { assert, assertAlmostEquals, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import * as af from "../mod.ts";
import { graphText } from "../src/compile/build.ts";
import { GRACE_MS, trimCache } from "../src/compile/cache.ts";
import { activationBound, INT8_CEILING } from "../src/compile/bound.ts";
import { FOLD_LIMIT, foldConstants } from "../src/compile/fold.ts";
import { CANONICAL, type Rewrite, rewrite, SCALAR_CHAINS, SUMS_AS_PRODUCTS } from "../src/compile/rewrite.ts";
import { cheapest, type Route, routeCandidates } from "../src/compile/routes.ts";
import { cheapestRoutes, cheapestVariant, graphKey, variantsOf } from "../src/compile/tune.ts";
import { topologicalOrder } from "../src/graph/topo.ts";
import { Random } from "../src/random.ts";

const cache = Deno.makeTempDirSync({ prefix: "aneforge_options_" });
Deno.env.set("ANEFORGE_CACHE_DIR", cache);
globalThis.addEventListener("unload", () => Deno.removeSync(cache, { recursive: true }));
const fast = Deno.env.get("ANEFORGE_HOST_NUMERICS") === "fast";

/** Bits of the output of a graph as written and of another form of it, on random inputs. */
function bothRuns(before: af.Tensor, after: af.Tensor): [Float32Array, Float32Array] {
  const random = new Random(11);
  using a = af.compile(before, { opt: 0 });
  using b = af.compile(after, { opt: 0 });
  // Same inputs, in creation order; sums of them cross binades and rounding ties.
  const feeds = a.inputs.map(({ shape, dtype }) => {
    const size = shape.reduce((x, y) => x * y, 1);
    return dtype === "fp16" ? random.normals(size, 8) : Uint8Array.from({ length: size }, (_, i) => (i * 37) % 256);
  });
  return [a.run(...feeds).data, b.run(...feeds).data];
}

const x = af.input([4, 6]);
const bytes = af.input([4, 6], { dtype: "uint8" });

/** Per rule: a graph it changes, and how many operations are left, inputs not counted. */
const CANONICAL_CASES: Record<string, [af.Tensor, number]> = {
  cast_same: [x.relu().cast(), 1],
  reshape_same: [x.relu().reshape(4, 6), 1],
  reshape_chain: [x.reshape(24).reshape(2, 12).reshape(8, 3).relu(), 2],
  transpose_chain: [x.reshape(1, 4, 6).transpose(2, 0, 1).transpose(1, 2, 0).transpose(2, 0, 1).abs(), 3],
  mul_one: [x.relu().muls(1).muls(1), 1],
  add_zero: [x.abs().adds(0), 1],
  not_not: [x.greater(0).logicalNot().logicalNot().select(x, x.muls(2)), 4],
};

Deno.test("every canonical rewrite changes its graph, and not one bit of the result", () => {
  assertEquals(Object.keys(CANONICAL_CASES).sort(), CANONICAL.map(({ name }) => name).sort());
  for (const [name, [graph, left]] of Object.entries(CANONICAL_CASES)) {
    const { roots: [after], counts } = rewrite([graph], CANONICAL);
    assert((counts[name] ?? 0) > 0, `${name} did not match`);
    assertEquals(topologicalOrder([after!]).filter(({ op }) => op !== "input").length, left, name);
    assertEquals(...bothRuns(graph, after!), name);
  }
});

Deno.test("canonicalisation reaches a fixed point in one pass and leaves other graphs alone", () => {
  for (const [, [graph]] of Object.entries(CANONICAL_CASES)) {
    const once = rewrite([graph], CANONICAL);
    const twice = rewrite(once.roots, CANONICAL);
    assertEquals(twice.counts, {});
    assertStrictEquals(twice.roots[0], once.roots[0]);
  }
  const clean = x.relu().transpose(1, 0).adds(1);
  assertStrictEquals(rewrite([clean], CANONICAL).roots[0], clean);
  assertStrictEquals(rewrite([bytes.cast()], CANONICAL).roots[0]!.op, "cast");
  // A lone identity transpose stays; so does a cast of an input.
  assertEquals(rewrite([x.transpose(0, 1).relu()], CANONICAL).counts, {});
  assertEquals(rewrite([x.cast().relu()], CANONICAL).counts, {});
  // A factor that only rounds to 1 is a factor.
  assertEquals(rewrite([x.muls(1 + 1e-6)], CANONICAL).counts, {});
});

Deno.test("rewriting shares what was shared, and takes linear time", () => {
  const shared = x.muls(1).reshape(24).reshape(4, 6);
  const y = shared.relu().add(shared.abs());
  assertEquals(
    graphText(rewrite([y], CANONICAL).roots),
    "t0 input [4, 6]\nt1 abs [4, 6] <- t0\nt2 relu [4, 6] <- t0\nt3 add [4, 6] <- t2, t1",
  );
  let chain = x;
  for (let i = 0; i < 20000; i++) chain = i % 2 ? chain.reshape(24) : chain.reshape(4, 6).muls(1);
  const start = performance.now();
  const { roots: [left] } = rewrite([chain], CANONICAL);
  assert(performance.now() - start < 2000);
  assertEquals(topologicalOrder([left!]).length, 2);
});

Deno.test("rules are tried in order, and the result of one is looked at again", () => {
  const rules: Rewrite[] = [
    { name: "a", op: "relu", lossless: false, replace: (node) => node.inputs[0]!.abs() },
    { name: "b", op: "abs", lossless: false, replace: (node) => node.inputs[0]!.square() },
    { name: "c", op: "relu", lossless: false, replace: (node) => node.inputs[0]!.exp() },
  ];
  const { roots: [y], counts } = rewrite([x.relu()], rules);
  assertEquals(y!.op, "square");
  assertEquals(counts, { a: 1, b: 1 });
});

Deno.test({
  name: "constants fold to what the device computes, bit for bit",
  ignore: fast,
  fn() {
    const random = new Random(5);
    const a = af.constant(af.array(random.normals(24, 3), [4, 6])),
      b = af.constant(af.array(random.normals(6, 1e-3), [6]));
    const tiny = af.constant(af.array(random.normals(24, 1e-6), [4, 6]));
    const large = af.constant(af.array(random.normals(24, 40000), [4, 6]));
    const cones: Record<string, af.Tensor> = {
      muls: a.muls(0.3).muls(1 / 3),
      adds: a.adds(0.1),
      add: a.add(b),
      sub: a.sub(b).sub(a),
      mul: a.mul(b).mul(tiny),
      relu: large.mul(a).relu(),
      reshape: b.muls(3).reshape(1, 6),
      "products below the grid": tiny.mul(a).mul(b),
      "beyond the largest value": large.add(large),
    };
    for (const [name, cone] of Object.entries(cones)) {
      const y = x.relu().add(cone);
      const { roots: [folded], count } = foldConstants([y]);
      assert(count > 0, name);
      assertEquals(folded!.inputs[1]!.op, "const_array", name);
      assertEquals(...bothRuns(x.muls(0).add(cone), x.muls(0).add(folded!.inputs[1]!)), name);
    }
  },
});

Deno.test("what is large, not constant, or not in the table is not folded", () => {
  const big = af.constant(af.array(new Float32Array(2 * (FOLD_LIMIT / 2 + 1)), [2, FOLD_LIMIT / 2 + 1]));
  assertEquals(foldConstants([big.muls(2)]).count, 0);
  assertEquals(foldConstants([af.constant([1, 2]).exp().add(af.input([2]))]).count, 0);
  const clean = x.muls(2);
  assertStrictEquals(foldConstants([clean]).roots[0], clean);
});

Deno.test("chains of scalars become one, within a rounding of fp16", () => {
  const cases: [af.Tensor, string][] = [
    [x.muls(0.3).muls(7).muls(0.1), "muls"],
    [x.adds(0.3).adds(7).adds(-0.1), "adds"],
  ];
  for (const [graph, op] of cases) {
    const { roots: [after], counts } = rewrite([graph], SCALAR_CHAINS);
    assertEquals([after!.op, after!.inputs[0]!.op], [op, "input"]);
    assertEquals(counts, { [`${op}_${op}`]: 2 });
    const [a, b] = bothRuns(graph, after!);
    a.forEach((v, i) => assertAlmostEquals(v, b[i]!, 4e-3 * (Math.abs(v) + 8)));
  }
  // What does not fit into fp16 as one factor stays two.
  assertEquals(rewrite([x.muls(1000).muls(1000)], SCALAR_CHAINS).counts, {});
});

Deno.test("a sum over one axis can be written as a product, over several not", () => {
  for (const graph of [x.sum(0), x.sum(1)]) {
    const { roots: [after] } = rewrite([graph], SUMS_AS_PRODUCTS);
    assertEquals(after!.shape, graph.shape);
    const [a, b] = bothRuns(graph, after!);
    a.forEach((v, i) => assertAlmostEquals(v, b[i]!, 0.1));
  }
  assertEquals(rewrite([x.sum([0, 1])], SUMS_AS_PRODUCTS).counts, {});
});

Deno.test("routes: native, each node replaced, all replaced; the cheapest, the first of equal ones", () => {
  const routes: Route[] = [{ op: "softsign", replace: (node) => node.inputs[0]!.abs().add(node.inputs[0]!) }];
  const y = x.softsign().relu().softsign();
  const candidates = routeCandidates(y, routes);
  assertEquals(candidates.map(({ name }) => name), ["native", "route:1", "route:3", "route:all"]);
  const softsigns = (root: af.Tensor) => topologicalOrder([root]).filter(({ op }) => op === "softsign").length;
  assertEquals(candidates.map(({ root }) => softsigns(root)), [2, 1, 1, 0]);
  assertStrictEquals(candidates[0]!.root, y);
  assertEquals(cheapest(candidates, softsigns).name, "route:all");
  assertEquals(cheapest(candidates, (root) => Math.min(softsigns(root), 1) || 5).name, "native");
  assertEquals(routeCandidates(x.softsign(), [{ ...routes[0]!, accepts: () => false }]).length, 1);
  assertEquals(routeCandidates(y).length, 1);
});

const REDUNDANT = () => {
  const t = af.input([8, 8]);
  return t.reshape(64).reshape(8, 8).muls(1).muls(0.5).muls(0.25).add(af.constant(new Array(8).fill(1)).muls(2)).relu();
};

Deno.test("each level compiles, computes the same, and writes fewer operations", () => {
  const feed = new Random(1).normals(64, 4);
  const results = ([0, "routes", 1, 2, "max"] as const).map((opt) => {
    using net = af.compile(REDUNDANT(), { opt });
    return { ops: net.nOps, data: net.run(feed).data };
  });
  assertEquals(results.slice(0, 3).map(({ ops }) => ops), [9, 6, 4]);
  for (const { data } of results) {
    data.forEach((v, i) => assertAlmostEquals(v, results[0]!.data[i]!, 2e-3 * (1 + Math.abs(v))));
  }
  assertEquals(results[1]!.data, results[0]!.data);
  using plain = af.compile(REDUNDANT());
  assertEquals(plain.nOps, 6, "routes is the default");
  assertEquals(topologicalOrder([cheapestRoutes(REDUNDANT())]).length, 7);
  assertEquals(cheapestVariant(REDUNDANT()).name, "fold+chains");
});

Deno.test("ports are found by the tensors of the user's graph, whatever became of them", () => {
  const t = af.input([4]);
  const y = t.muls(1).adds(0);
  using net = af.compile(y);
  assertEquals(net.outputs[0]!.tensorId, y.id);
  net.setInput(t, [1, 2, 3, 4]);
  net.execute();
  assertEquals(net.readOutput(y).toNested(), [1, 2, 3, 4]);
});

Deno.test("precisionRisk finds long sums, differences and their size", () => {
  const wide = (k: number) => af.input([2, k]);
  for (const [k, error] of [[256, 0.016], [1024, 0.032], [4096, 0.064]] as const) {
    const risk = af.precisionRisk(wide(k).sum(-1));
    assertEquals(risk.records.map(({ idx, op, kind, fixable }) => [idx, op, kind, fixable]), [[
      1,
      "reduce_sum",
      "narrow_sum",
      "reduce_sum->matmul",
    ]]);
    assertAlmostEquals(risk.graphError, error, 1e-12);
    assertEquals(risk.hotspots, [1]);
  }
  const none = { records: [], hotspots: [], graphError: 0.001 };
  assertEquals(af.precisionRisk(wide(255).sum(-1)), none);
  for (const positive of ["square", "abs", "relu", "relu6", "sigmoid", "exp", "softplus", "softmax"] as const) {
    assertEquals(af.precisionRisk(wide(512)[positive]().sum(-1)), none, positive);
  }
  assertEquals(af.precisionRisk(wide(512).mean(-1)), none);
  // Both axes count; the error is capped.
  assertAlmostEquals(af.precisionRisk(af.input([16, 16]).sum([0, 1])).graphError, 0.016, 1e-12);
  const a = af.input([8, 8]), b = af.input([8, 8]);
  const sub = af.precisionRisk(a.sub(b));
  assertEquals([sub.records[0]!.kind, sub.records[0]!.estError, sub.hotspots], ["cancel_sub", 0.001, []]);
  assertEquals(af.precisionRisk(a.muls(2).sub(b)).records, []);
  assertEquals(af.precisionRisk(af.input([63]).sub(af.input([63]))).records, []);
});

function warnings(body: () => void): [string, string][] {
  const seen: [string, string][] = [];
  const restore = af.onWarning((kind, message) => seen.push([kind, message]));
  try {
    body();
  } finally {
    restore();
  }
  return seen;
}

Deno.test("compile warns about precision and tiny programs, in this order; validate throws instead", () => {
  const y = af.input([128, 16000]).muls(2).sum(-1);
  const seen = warnings(() => af.compile(y).release());
  assertEquals(seen.map(([kind]) => kind), ["precision", "dispatch-floor"]);
  assertMatch(
    seen[0]![1],
    /node 2, reduce_sum of \[128, 16000\]: a sum of 16000 terms .* about 0\.13\); x\.matmul\(ones\)/,
  );
  assertMatch(seen[1]![1], /about 74\.5 us by estimate/);
  const before = warnings(() => {
    assertThrows(() => af.compile(y, { validate: true }), af.ArgumentError, "a sum of 16000 terms");
  });
  assertEquals(before, []);
  warnings(() => af.compile(af.input([3, 777]).relu().sum(-1), { validate: true }).release());
  const large = warnings(() =>
    af.compile(af.input([1, 4096]).linear(af.array(new Float32Array(4096 * 4096), [4096, 4096])), { opt: 0 }).release()
  );
  assertEquals(large, [], "305 us are worth a program");
  // The target is looked at after the signals.
  const gated = warnings(() => {
    assertThrows(() => af.compile(af.input([3, 778]).sum(-1), { target: "h12" }), af.UnsupportedOpError, "H13+");
  });
  assertEquals(gated.map(([kind]) => kind), ["precision"]);
});

Deno.test("variants: canonical first, folded, joined, both", () => {
  const variants = variantsOf(REDUNDANT());
  assertEquals(variants.map(({ name, lossless }) => [name, lossless]), [
    ["native", true],
    ["fold", true],
    ["fold+chains", false],
  ]);
  assertEquals(variantsOf(x.relu()).map(({ name }) => name), ["native"]);
  assertEquals(variantsOf(x.adds(1).adds(2)).map(({ name }) => name), ["native", "chains"]);
});

Deno.test("the bound of activations follows promises, constants and ranges, and is unknown otherwise", () => {
  const w = af.array([[1, -2], [3, 4], [0.5, 0]], [3, 2]);
  const t = af.input([1, 2], { maxAbs: 10 }), free = af.input([1, 2]);
  const linear = (v: af.Tensor): af.Tensor => v.linear(w);
  const cases: [af.Tensor, number | undefined][] = [
    [linear(t), 10],
    [linear(free), undefined],
    [linear(free.sigmoid()), 1],
    [linear(free.relu6().muls(-3).adds(1)), 19],
    [linear(free.clip(-7, 3)), 7],
    [linear(t.add(free.tanh())), 11],
    [linear(t.mul(t)), 100],
    [linear(t.relu().reshape(2).reshape(1, 2)), 10],
    [linear(linear(t).sliceBySize([0, 0], [1, 2])), 70], // rows sum to 3, 7 and 0.5
    [linear(free.sigmoid()).add(linear(free.exp())), undefined],
    [free.exp(), 0],
    [t.reshape(2, 1).bmm(t), 10],
    [linear(t.threshold(6000)), 6000],
    [linear(t.clampedRelu(-600, 6e4)), 6e4],
    [linear(t.muls(0.01).floor()), 1], // -0.1 becomes -1
    [linear(af.minimum(t, t.muls(0.01))), 10],
    [linear(t.linear(w, [1e4, 0, 0]).sliceBySize([0, 0], [1, 2])), 1e4 + 70],
  ];
  for (const [graph, bound] of cases) assertEquals(activationBound(graph), bound);
});

Deno.test("int8 weights: level 1 takes them where the estimate gains and the bound allows, tune where they measure so", () => {
  const weight = af.array(new Random(2).normals(2048 * 2048, 0.02), [2048, 2048]);
  const graph = (maxAbs?: number): af.Tensor => af.input([1, 2048], { maxAbs }).linear(weight);
  assertEquals(cheapestVariant(graph(100)).name, "int8");
  assertEquals(cheapestVariant(graph(INT8_CEILING)).name, "int8");
  assertEquals(cheapestVariant(graph(INT8_CEILING + 2)).name, "native");
  assertEquals(cheapestVariant(graph()).name, "native");
  assertMatch(af.explain(graph(100), { opt: 1 }), /constexpr_affine_dequantize/);
  assert(!af.explain(graph(), { opt: 1 }).includes("constexpr"));
  const feed = new Random(4).normals(2048);
  using plain = af.compile(graph(100), { opt: 0 });
  using small = af.compile(graph(100), { opt: 1 });
  using asked = af.compile(graph(100), { int8: true });
  assertEquals(small.run(feed).data, asked.run(feed).data);
  const a = plain.run(feed).data, b = small.run(feed).data;
  const norm = (f: (i: number) => number): number => Math.sqrt(a.reduce((sum, _, i) => sum + f(i) ** 2, 0));
  const error = norm((i) => a[i]! - b[i]!) / norm((i) => a[i]!);
  assert(error > 0 && error < 0.02, String(error));
  const { model, trials } = af.tune(graph(), { repetitions: 2, warmUp: 0, store: false });
  model.release();
  assertEquals(trials.map(({ name, lossless }) => [name, lossless]), [["native", true], ["int8", false]]);
});

Deno.test("tune measures, keeps the decision, and finds it again", () => {
  const path = `${cache}/autotune.json`;
  Deno.writeTextFileSync(path, "{}");
  const first = af.tune(REDUNDANT(), { repetitions: 3, warmUp: 1 });
  assert(!first.stored);
  assertEquals(first.trials.map(({ name }) => name).sort(), ["fold", "fold+chains", "native"]);
  for (const { state, us, error } of first.trials) assert(state === "measured" && us! > 0 && error! <= 5e-3);
  assert(first.trials.some(({ name }) => name === first.variant));
  first.model.release();
  const stored = JSON.parse(Deno.readTextFileSync(path));
  const [entry] = Object.entries(stored).filter(([key]) => key.endsWith(first.key)) as [string, { variant: string }][];
  assertEquals(entry![1].variant, first.variant);
  assertMatch(entry![0], /^host:/);
  const again = af.tune(REDUNDANT());
  assertEquals([again.stored, again.trials, again.variant, again.key], [true, [], first.variant, first.key]);
  again.model.release();
  // A damaged store, or a variant that no longer exists, is measured again.
  Deno.writeTextFileSync(path, "{");
  const damaged = af.tune(REDUNDANT(), { repetitions: 1 });
  assert(!damaged.stored);
  damaged.model.release();
  Deno.writeTextFileSync(path, JSON.stringify({ [entry![0]]: { variant: "gone", us: 1 } }));
  const renamed = af.tune(REDUNDANT(), { repetitions: 1, budget: 1 });
  assertEquals(renamed.trials.map(({ state }) => state), ["measured", "over-budget", "over-budget"]);
  renamed.model.release();
  const off = af.tune(REDUNDANT(), { store: false, repetitions: 1 });
  assert(!off.stored);
  off.model.release();
  assertEquals([...Deno.readDirSync(cache)].filter(({ name }) => name.endsWith(".part")), []);
});

Deno.test("tune keeps to its tolerance and checks its settings", () => {
  const strict = af.tune(x.muls(0.3).muls(0.7).muls(1.1), { tolerance: 0, store: false, repetitions: 1 });
  assertEquals([strict.variant, strict.trials.map(({ state }) => state)], ["native", ["measured", "inaccurate"]]);
  strict.model.release();
  assertThrows(() => af.tune(x.relu(), { budget: 0 }), af.ArgumentError, "budget is 0");
  assertThrows(() => af.tune(x.relu(), { tolerance: -1 }), af.ArgumentError, "tolerance is -1");
  assertThrows(() => af.tune(x.relu(), { repetitions: 1.5 }), af.ArgumentError, "repetitions is 1.5");
});

Deno.test("the key of a graph is its structure, not its numbers in weights", () => {
  const graph = (value: number, k = 0.5) => {
    const t = af.input([2, 2]);
    return t.linear([[value, 1], [2, 3]]).muls(k);
  };
  assertMatch(graphKey(graph(1)), /^[0-9a-f]{32}$/);
  assertEquals(graphKey(graph(1)), graphKey(graph(2)));
  assert(graphKey(graph(1)) !== graphKey(graph(1, 0.25)));
  assert(graphKey(af.input([2]).relu()) !== graphKey(af.input([3]).relu()));
  const a = af.input([2]), b = af.input([2]);
  assert(graphKey(a.sub(b)) === graphKey(b.sub(a)), "inputs have no identity");
  assert(graphKey(a.sub(b)) !== graphKey(a.sub(a)));
});

/** A cache with programs of `size` bytes, used so many minutes ago. */
function fakeCache(programs: readonly [name: string, size: number, minutes: number][]): string {
  const base = Deno.makeTempDirSync({ prefix: "aneforge_cache_" });
  for (const [name, size, minutes] of programs) {
    Deno.mkdirSync(`${base}/${name}/cache`, { recursive: true });
    Deno.writeFileSync(`${base}/${name}/weights.bin`, new Uint8Array(size - 10));
    Deno.writeFileSync(`${base}/${name}/cache/x`, new Uint8Array(10));
    const at = new Date(Date.now() - minutes * 60_000);
    Deno.utimeSync(`${base}/${name}`, at, at);
  }
  return base;
}

const key = (digit: string): string => digit.repeat(24);
const left = (base: string): string[] => [...Deno.readDirSync(base)].map(({ name }) => name).sort();

Deno.test("the cache drops the least recently used programs, and nothing that is in use", () => {
  const base = fakeCache([[key("a"), 100, 60], [key("b"), 100, 30], [key("c"), 100, 90], [key("d"), 100, 1]]);
  Deno.writeTextFileSync(`${base}/autotune.json`, "{}");
  Deno.mkdirSync(`${base}/mine`);
  assertEquals(trimCache(base, 400), []);
  assertEquals(trimCache(base, 0), []);
  assertEquals(trimCache(base, 250), [`${base}/${key("c")}`, `${base}/${key("a")}`]);
  assertEquals(left(base), ["autotune.json", key("b"), key("d"), "mine"]);
  // What was used in the last minutes stays, even beyond the limit.
  assertEquals(trimCache(base, 1), [`${base}/${key("b")}`]);
  assertEquals(trimCache(base, 1, Date.now() + 2 * GRACE_MS), [`${base}/${key("d")}`]);
  assertEquals(trimCache(`${base}/missing`, 1), []);
  Deno.removeSync(base, { recursive: true });
});

Deno.test("leftovers of a process that died while removing are removed", () => {
  const base = fakeCache([[`${key("a")}.01234567.old`, 100, 60], [key("b"), 100, 1]]);
  trimCache(base, 50);
  assertEquals(left(base), [key("b")]);
  Deno.removeSync(base, { recursive: true });
});

Deno.test("two processes that trim one cache agree", async () => {
  const names = Array.from({ length: 40 }, (_, i) => i.toString(16).padStart(24, "0"));
  const base = fakeCache(names.map((name, i) => [name, 100, 100 - i]));
  const module = new URL("../src/compile/cache.ts", import.meta.url);
  const script = `import { trimCache } from "${module}"; trimCache(${JSON.stringify(base)}, 1000);`;
  const run = () =>
    new Deno.Command(Deno.execPath(), { args: ["eval", "--quiet", "--no-check", script], cwd: "." }).output();
  const results = await Promise.all([run(), run()]);
  for (const { code, stderr } of results) assertEquals(code, 0, new TextDecoder().decode(stderr));
  const rest = left(base);
  assert(rest.length <= 10 && rest.every((name) => names.includes(name)), rest.join());
  assertEquals(rest, names.slice(names.length - rest.length), "the newest stay");
  Deno.removeSync(base, { recursive: true });
});

Deno.test("compile keeps the cache within ANEFORGE_CACHE_LIMIT, and its own programs in it", async () => {
  const base = fakeCache([[key("a"), 5000, 60], [key("b"), 5000, 30]]);
  const script = `
    import * as af from "${new URL("../mod.ts", import.meta.url)}";
    af.onWarning(() => {});
    for (const k of [2, 3]) af.compile(af.input([4]).muls(k)).release();
    for (const { name } of Deno.readDirSync(${JSON.stringify(base)})) console.log(name);`;
  const env = { ANEFORGE_CACHE_DIR: base, ANEFORGE_CACHE_LIMIT: "6000" };
  const run = await new Deno.Command(Deno.execPath(), { args: ["eval", "--quiet", "--no-check", script], env })
    .output();
  const names = new TextDecoder().decode(run.stdout).trim().split("\n");
  assertEquals(names.length, 3, new TextDecoder().decode(run.stderr));
  assert(names.includes(key("b")) && !names.includes(key("a")));
  const wrong = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", "--no-check", script.replace("[2, 3]", "[5]")],
    env: { ...env, ANEFORGE_CACHE_LIMIT: "much" },
  }).output();
  assertMatch(new TextDecoder().decode(wrong.stderr), /ANEFORGE_CACHE_LIMIT="much": expected a number/);
  Deno.removeSync(base, { recursive: true });
});

Deno.test("ANEFORGE_DEBUG shows timings, then graph and plan, then text", () => {
  const lines: string[] = [];
  const print = console.error;
  console.error = (text: string) => lines.push(text);
  const at = (level: string): string => {
    Deno.env.set("ANEFORGE_DEBUG", level);
    lines.length = 0;
    af.compile(af.input([2, 3]).relu().muls(1), { opt: "routes" }).release();
    return lines.join("\n");
  };
  try {
    assertEquals(at("0"), "");
    const one = at("1");
    assertMatch(
      one,
      /^aneforge: compiled 1 ops, 64 bytes of weights \(check [\d.]+, rewrite [\d.]+, lower [\d.]+, write [\d.]+, load [\d.]+; [\d.]+ ms\): \S+$/,
    );
    const two = at("2");
    assertMatch(two, /\nt0 input \[2, 3\]\nt1 relu \[2, 3\] <- t0\n/);
    assertMatch(two, /group: relu/);
    assert(!two.includes("func main"));
    assertMatch(at("3"), /func main<ios18>/);
  } finally {
    console.error = print;
    Deno.env.delete("ANEFORGE_DEBUG");
  }
});
