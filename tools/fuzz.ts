/**
 * Random graphs on the device against float64, and random wrong calls of the public functions:
 * `deno task fuzz [--graphs N] [--calls N] [--seed N]`.
 *
 * @module
 */

import { envText } from "../src/env.ts";
import { Random } from "../src/random.ts";
import { onWarning } from "../src/warnings.ts";
import { fuzzCalls } from "../tests/fuzz_calls.ts";
import { fuzzGraphs } from "../tests/fuzz_graph.ts";

/** Numbers given as `--name N` or `--name=N`. */
function numbers(args: readonly string[], defaults: Readonly<Record<string, number>>): Record<string, number> {
  const found = { ...defaults };
  const words = args.flatMap((arg) => arg.split("="));
  for (let i = 0; i < words.length; i += 2) {
    const name = words[i]!.replace(/^--/, ""), text = words[i + 1] ?? "";
    if (!Object.hasOwn(defaults, name) || !/^\d+$/.test(text)) {
      const known = Object.keys(defaults).map((key) => `--${key} N`).join(", ");
      throw new Error(`${words[i]} ${text}: expected ${known}`);
    }
    found[name] = Number(text);
  }
  return found;
}

function main(args: readonly string[]): number {
  const { graphs, calls, seed } = numbers(args, { graphs: 2000, calls: 2000, seed: 1 });
  const mode = envText("ANEFORGE_HOST_NUMERICS") === "fast" ? "fast" : "ane";
  onWarning(() => {});
  const g = fuzzGraphs(graphs!, seed!, mode);
  g.failures.forEach((text) => console.log(text));
  console.log(
    `${g.graphs} graphs (${mode}), ${g.nodes} nodes, ${g.ops.size} operations, largest error ${
      g.worst.toFixed(2)
    } of ` +
      `what is allowed, ${g.failures.length} failed`,
  );
  const c = fuzzCalls(calls!, new Random(seed!));
  c.failures.forEach((text) => console.log(text));
  console.log(
    `${c.refused} calls refused by ${c.functions.size} functions, ${c.accepted} accepted, ${c.failures.length} failed`,
  );
  return g.failures.length + c.failures.length;
}

if (import.meta.main) Deno.exit(main(Deno.args) > 0 ? 1 : 0);
