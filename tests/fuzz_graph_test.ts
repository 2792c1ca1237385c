/**
 * Random graphs on the device against float64, and random wrong calls; `deno task fuzz` runs more of both. A graph that
 * fails is named by its seed.
 */

import { assert, assertEquals } from "@std/assert";
import { envText } from "../src/env.ts";
import { OPS } from "../src/ops/all.ts";
import { Random } from "../src/random.ts";
import { onWarning } from "../src/warnings.ts";
import { fuzzCalls } from "./fuzz_calls.ts";
import { FUZZED_OPS, fuzzGraphs } from "./fuzz_graph.ts";

const mode = envText("ANEFORGE_HOST_NUMERICS") === "fast" ? "fast" : "ane";

function quiet(): Disposable {
  const restore = onWarning(() => {});
  return { [Symbol.dispose]: restore };
}

Deno.test(`random graphs compile, run and agree with float64 (${mode})`, () => {
  using _quiet = quiet();
  const { failures, ops, worst, nodes } = fuzzGraphs(150, 1, mode);
  assertEquals(failures, []);
  assert(nodes > 150 * 8, `only ${nodes} nodes in 150 graphs`);
  assert(worst > 0.05, `the largest error is ${worst} of what is allowed: the tolerance says nothing`);
  const reachable = [...OPS.keys()].filter((op) => FUZZED_OPS.has(op));
  assert(ops.size > reachable.length * 0.75, `only ${ops.size} of ${reachable.length} operations occurred`);
});

Deno.test("wrong calls are refused with this module's own errors", () => {
  using _quiet = quiet();
  const { failures, functions, refused } = fuzzCalls(1000, new Random(1));
  assertEquals(failures, []);
  assertEquals(refused, 1000);
  assert(functions.size > 80, `only ${functions.size} functions refused a call`);
});
