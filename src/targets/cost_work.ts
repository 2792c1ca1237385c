/**
 * What a graph asks of an engine, counted: bytes through the ports, weights, multiplications, elements passed over.
 *
 * @module
 */

import type { NDArray } from "../graph/ndarray.ts";
import type { Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { OPS } from "../ops/all.ts";
import { isBridge, risingPointsUs } from "./cost_bridge.ts";
import { weightArrays, weightElements } from "./cost_original.ts";

/** Ways the vector unit goes over a tensor; each has a time per element. */
export type Pass = "elementwise" | "softmax" | "layer_norm" | "rms_norm" | "group_norm";

/** One node, counted. */
export interface NodeWork {
  /** The node. */
  readonly node: Tensor;
  /** Multiplications and additions, as the textbook counts them. */
  readonly flops: number;
  /** The same after Winograd, where the target has it. */
  readonly arrayFlops: number;
  /** Bytes of weights in fp16. */
  readonly weights: number;
  /** Whether all its weights were streamed for an earlier node. */
  readonly again: boolean;
  /** Whether int8 makes the weights smaller. */
  readonly packable: boolean;
  /** How the vector unit goes over it; `undefined` for products, views and constants. */
  readonly pass: Pass | undefined;
  /** Elements of the largest operand or the result. */
  readonly elements: number;
  /** Whether it takes a step of its own; views and constants do not. */
  readonly step: boolean;
  /** Bytes copied in for this node: program inputs it is the first to read. */
  readonly read: number;
  /** Bytes copied out of this node. */
  readonly written: number;
  /** Bytes it keeps inside the program. */
  readonly kept: number;
  /** Microseconds of a bridge operation on an M5 Pro. */
  readonly bridgeUs: number | undefined;
}

/** A graph, counted. */
export interface Work {
  /** Every node but the inputs, in the order of evaluation. */
  readonly nodes: readonly NodeWork[];
  /** Fused programs. */
  readonly regions: number;
  /** Bytes copied straight from an input to an output. */
  readonly passed: number;
}

/** Operations that only give their operand another shape. */
const VIEWS: ReadonlySet<string> = new Set(["reshape", "squeeze", "expand_dims", "flatten2d"]);

/** Operations without a row here are elementwise, whatever they do. */
const PASSES: Readonly<Record<string, Pass>> = {
  softmax: "softmax",
  layer_norm: "layer_norm",
  channel_layer_norm: "layer_norm",
  rms_norm: "rms_norm",
  group_norm: "group_norm",
  instance_norm: "group_norm",
  local_response_norm: "group_norm",
};

/** Rows of a surface start at multiples of 64 bytes. */
const ROW_ALIGNMENT = 64;

/** Bytes of a tensor in a surface: rows (last axis) rounded up to the alignment. */
function surfaceBytes({ shape, size, dtype }: Tensor): number {
  const width = dtype === "uint8" || dtype === "int8" || dtype === "bool" ? 1 : 2;
  const columns = shape.at(-1) ?? 1;
  return size / columns * Math.ceil(columns * width / ROW_ALIGNMENT) * ROW_ALIGNMENT;
}

/** F(2,3) along the width: 4 products instead of 6. For kernels 3 wide and 1 or 3 high, stride 1, not depthwise. */
function winogradShare({ op, attrs }: Tensor): number {
  if (op !== "conv") return 1;
  const { weight, stride, dilation } = attrs as unknown as {
    weight: { shape: readonly number[] };
    stride: number;
    dilation: number;
  };
  const [, inputs, height, width] = weight.shape;
  const fits = width === 3 && (height === 1 || height === 3) && stride === 1 && dilation === 1 && inputs! > 1;
  return fits ? 2 / 3 : 1;
}

/**
 * Counts a graph.
 *
 * @param outs The values to compute.
 * @param winograd Whether the target's convolutions use Winograd's F(2,3) (H17 and later).
 * @returns The counts.
 */
export function countWork(outs: readonly Tensor[], winograd: boolean): Work {
  const roots = new Set(outs);
  const order = topologicalOrder(outs);
  const nodes = order.filter(({ op }) => op !== "input");
  const bridges = nodes.filter(({ op }) => isBridge(op));
  const crossing = new Set(bridges.flatMap(({ inputs }) => inputs));
  const fed = new Set<Tensor>();
  const readBy = ({ op, inputs }: Tensor): number => {
    if (isBridge(op)) return 0;
    const fresh = [...new Set(inputs)].filter((x) => (x.op === "input" || isBridge(x.op)) && !fed.has(x));
    fresh.forEach((x) => fed.add(x));
    return fresh.reduce((sum, x) => sum + surfaceBytes(x), 0);
  };
  const streamed = new Set<NDArray>();
  const seen = (node: Tensor): boolean => {
    const arrays = weightArrays(node).filter((array) => !streamed.has(array));
    arrays.forEach((array) => streamed.add(array));
    return arrays.length === 0;
  };
  const regions = bridges.length === 0 ? 1 : nodes.length > bridges.length ? bridges.length + 1 : 0;
  return {
    nodes: nodes.map((node) => ({
      ...countNode(node, winograd, roots.has(node) || crossing.has(node)),
      read: readBy(node),
      again: seen(node),
    })),
    regions,
    passed: [...roots].filter(({ op }) => op === "input").reduce((sum, x) => sum + surfaceBytes(x), 0),
  };
}

/** Operations of the multiply-accumulate array; the vector unit does the rest. */
function isProduct(op: string): boolean {
  const category = OPS.get(op)?.category;
  return category === "linear" || category === "convolution";
}

/** What does not depend on the nodes before it. */
function countNode(node: Tensor, winograd: boolean, leaves: boolean): Omit<NodeWork, "read" | "again"> {
  const bridge = isBridge(node.op);
  const flops = OPS.get(node.op)?.flops?.(node as never) ?? 0;
  const idle = bridge || VIEWS.has(node.op) || node.op === "const_array";
  const bytes = bridge || idle && !leaves ? 0 : surfaceBytes(node);
  return {
    node,
    flops,
    arrayFlops: winograd ? flops * winogradShare(node) : flops,
    weights: 2 * weightElements(node),
    packable: node.op === "matmul",
    pass: idle || isProduct(node.op) ? undefined : PASSES[node.op] ?? "elementwise",
    elements: node.inputs.reduce((most, { size }) => Math.max(most, size), node.size),
    step: !idle,
    written: leaves ? bytes : 0,
    kept: leaves ? 0 : bytes,
    bridgeUs: bridge ? risingPointsUs(node) ?? 0 : undefined,
  };
}
