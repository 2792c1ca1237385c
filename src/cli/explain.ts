/**
 * `aneforge explain`.
 *
 * @module
 */

import { explain as explainGraph } from "../compile/explain.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { defineCommand, EXIT } from "./command.ts";
import { GRAPH_ARGUMENT, loadGraph } from "./graph_file.ts";
import { oneTarget } from "./target_args.ts";

/** Levels of `--opt`; the measuring ones have nothing to explain. */
const LEVELS = { "0": 0, routes: "routes", "1": 1 } as const;

/** The nodes of a graph in the order of the program, operands by their place in the list. */
function nodesOf(out: Tensor) {
  const order = topologicalOrder([out]);
  return order.map(({ op, shape, inputs }) => ({ op, shape, inputs: inputs.map((node) => order.indexOf(node)) }));
}

/** What becomes of a graph. */
export const explain = defineCommand({
  name: "explain",
  summary: "show what a graph is rewritten to, its program text, and how the device runs it",
  details: "Several outputs are explained one by one. Nothing is run.",
  permissions: "--allow-ffi --allow-read --allow-write --allow-env --allow-run",
  positionals: [GRAPH_ARGUMENT],
  options: {
    target: {
      kind: "text",
      value: "TARGET",
      help: "`own`, or a name such as h13 or M1, whose lowerings are used (default own)",
      complete: "target",
    },
    opt: { kind: "choice", choices: ["0", "routes", "1"], default: "routes", help: "how much is done to the graph" },
  },
  async run({ target, opt, args: [file = ""] }, out) {
    const arch = target === undefined ? undefined : oneTarget(target).arch;
    const { outputs } = await loadGraph(file);
    const options = { opt: LEVELS[opt as keyof typeof LEVELS], ...(arch === undefined ? {} : { target: arch }) };
    const texts = outputs.map((node) => explainGraph(node, options));
    if (out.json) {
      out.object({ file, outputs: outputs.map((node, i) => ({ nodes: nodesOf(node), text: texts[i] })) });
    } else {
      texts.forEach((text, i) => {
        if (texts.length > 1) out.line(`output ${i + 1} of ${texts.length}`);
        out.line(text.trimEnd());
      });
    }
    return EXIT.ok;
  },
});
