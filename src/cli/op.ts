/**
 * `aneforge op`.
 *
 * @module
 */

import { OPS } from "../ops/all.ts";
import { CATALOG, COMPOSITES, NATIVE_LAYERS, opInfo } from "../targets/capabilities.ts";
import { opFloorRow } from "../targets/targets.ts";
import { UsageError } from "./args.ts";
import { defineCommand, EXIT, suggestion } from "./command.ts";
import { CHIPS } from "./ops.ts";

/** Everything `aneforge op` knows something about. */
export const OP_NAMES: readonly string[] = [
  ...new Set([...CATALOG.keys(), ...COMPOSITES.map(({ op }) => op), ...NATIVE_LAYERS, ...OPS.keys()]),
].sort();

/** What is known about a name, as one object. */
function describe(name: string) {
  const def = OPS.get(name);
  const floor = opFloorRow(name);
  const composite = COMPOSITES.find(({ op }) => op === name);
  return {
    op: name,
    ...opInfo(name),
    ...(composite ? { writes: composite.writes } : {}),
    ...(NATIVE_LAYERS.includes(name) ? { nativeLayer: true } : {}),
    ...(floor ? { firstFamily: floor.family, below: floor.below, instead: floor.instead } : {}),
    graph: def === undefined ? null : {
      category: def.category,
      summary: def.summary,
      attrs: def.attrs,
      gradient: def.gradient !== undefined,
      ...(def.noGradient ? { noGradient: def.noGradient } : {}),
    },
  };
}

type Description = ReturnType<typeof describe>;

function lines(found: Description): [string, string][] {
  const { graph, status, writes, below } = found;
  const rows: [string, string | undefined][] = [
    ["operation", found.op],
    ["does", graph?.summary],
    ["category", found.category ?? graph?.category],
    ["reached as", found.bucket ?? (found.nativeLayer ? "a native layer in a program of its own" : undefined)],
    ["writes", writes?.join(", ")],
    ["on chips", status && CHIPS.map((chip) => `${chip.toUpperCase()} ${status[chip]}`).join(", ")],
    ["first family", found.firstFamily === undefined ? found.minFamily?.toString() : String(found.firstFamily)],
    ["below it", below && `${below}: ${found.instead}`],
    ["sweep on an M5", found.sweep],
    ["largest error", found.error?.toString()],
    ["layer", found.layer],
    ["note", found.note],
    ["in this package", graph ? "an operation of the graph" : found.built ? "a part of other operations" : "no"],
    [
      "gradient",
      graph ? (graph.gradient ? "yes" : `none${graph.noGradient ? `: ${graph.noGradient}` : ""}`) : undefined,
    ],
    ["sources", found.sources?.join("; ")],
  ];
  for (const [name, meaning] of Object.entries(graph?.attrs ?? {})) rows.push([`attribute ${name}`, String(meaning)]);
  return rows.flatMap(([name, text]) => text ? [[name, text] as [string, string]] : []);
}

/** One operation. */
export const op = defineCommand({
  name: "op",
  summary: "say everything known about one operation",
  permissions: "none",
  positionals: [{
    name: "NAME",
    help: "name in the program text or of a graph node, such as reduce_sum",
    complete: "op",
  }],
  options: {},
  run({ args: [name = ""] }, out) {
    if (!OP_NAMES.includes(name)) {
      throw new UsageError(
        `unknown operation ${JSON.stringify(name)}${suggestion(name, OP_NAMES)}; \`aneforge ops\` lists them`,
      );
    }
    const found = describe(name);
    if (out.json) out.object(found);
    else out.pairs(lines(found));
    return EXIT.ok;
  },
});
