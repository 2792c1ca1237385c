/**
 * From a graph to the text and weights of one program.
 *
 * @module
 */

import { ArgumentError, DtypeError, UnsupportedOpError } from "../errors.ts";
import { type Dtype, isPortDtype } from "../graph/dtype.ts";
import { FLOOR_FAMILY } from "../graph/limits.ts";
import { type Shape, show } from "../graph/shape.ts";
import { opOf, type Tensor } from "../graph/tensor.ts";
import { topologicalOrder } from "../graph/topo.ts";
import { BlobWriter } from "./blob.ts";
import { substitutePortable } from "./portable.ts";
import { Lowering, type LoweringState, ProgramBody, tensorType, type WeightEncoder } from "./text.ts";

/** One input or output of a program. */
export interface MilPort {
  /** Name in the program text. */
  name: string;
  /** Element type. */
  dtype: Dtype;
  /** Extents. */
  shape: Shape;
  /** The graph node it stands for. */
  tensor: Tensor;
}

/** A program: text, weights, and what it takes and gives. */
export interface MilProgram {
  /** Program text. */
  text: string;
  /** The weight container the text refers to. */
  weights: Uint8Array;
  /** Inputs in creation order. */
  inputs: MilPort[];
  /** Outputs in the order asked for; outputs that are the same value share a name and appear once in the text. */
  outputs: MilPort[];
  /** Graph nodes other than inputs. */
  opCount: number;
}

/** Options of {@linkcode emitMil}. */
export interface EmitOptions {
  /** Capability family the program is for; 2 (M1), the floor, unless given. */
  family?: number;
  /** Writes weights in compressed form. */
  encoder?: WeightEncoder;
}

const HEADER = `program(1.3)
[buildInfo = dict<string, string>({{"coremlc-component-MIL", "3520.4.1"}, {"coremlc-version", "3520.5.1"}})]
`;

/**
 * Writes a graph as one program.
 *
 * @param outputs The values the program gives, in this order.
 * @param options Target family and weight encoder.
 * @returns Text, weight container and ports.
 * @throws {ArgumentError} when there is nothing to compute: no outputs, no inputs, or no operation.
 * @throws {DtypeError} when an output is bool.
 * @throws {UnsupportedOpError} when the family lacks an operation or refuses one of its arguments.
 * @example
 * ```ts
 * const x = input([2, 8]);
 * const program = emitMil([x.relu()]);
 * ```
 */
export function emitMil(outputs: readonly Tensor[], options: EmitOptions = {}): MilProgram {
  const family = options.family ?? FLOOR_FAMILY;
  checkOutputs(outputs);
  const roots = substitutePortable(outputs, family);
  const order = topologicalOrder(roots);
  const names = new Map(order.map((node, i) => [node, `t${i}`]));
  const body = new ProgramBody(new BlobWriter());
  const state: LoweringState = { body, names, encoder: options.encoder, splits: new Map() };
  let opCount = 0;
  for (const node of order) {
    const op = opOf(node);
    const refusal = op.refuses?.(node, family);
    if (refusal !== undefined) throw new UnsupportedOpError(`${node.op}: ${refusal}`);
    if (op.lower === undefined) continue;
    op.lower(node, new Lowering(node, state));
    opCount++;
  }
  const inputs = order.filter((node) => node.op === "input").sort((a, b) => a.id - b.id)
    .map((tensor) => port(tensor, tensor, names));
  if (inputs.length === 0) throw new ArgumentError("emitMil: the graph has no inputs; a program needs at least one");
  if (body.statements.length === 0) {
    throw new ArgumentError("emitMil: the graph has no operations; the device refuses an empty body. Use x.mul(1)");
  }
  const ports = outputs.map((tensor, i) => port(tensor, roots[i]!, names));
  return { text: spell(inputs, ports, body.statements), weights: body.blobs.finish(), inputs, outputs: ports, opCount };
}

function checkOutputs(outputs: readonly Tensor[]): void {
  if (outputs.length === 0) throw new ArgumentError("emitMil: no outputs given; a program needs at least one");
  outputs.forEach(({ dtype, shape, op }, i) => {
    if (isPortDtype(dtype)) return;
    throw new DtypeError(
      `emitMil: output ${i} (${op}, ${
        show(shape)
      }) is ${dtype}, which cannot leave a program; use select to make it fp16`,
    );
  });
}

function port(tensor: Tensor, lowered: Tensor, names: Map<Tensor, string>): MilPort {
  return { name: names.get(lowered)!, dtype: tensor.dtype, shape: tensor.shape, tensor };
}

function spell(inputs: readonly MilPort[], outputs: readonly MilPort[], statements: readonly string[]): string {
  const signature = inputs.map(({ name, dtype, shape }) => `${tensorType(dtype, shape)} ${name}`).join(", ");
  const results = [...new Set(outputs.map(({ name }) => name))].join(", ");
  const lines = statements.map((statement) => `        ${statement}\n`).join("");
  return `${HEADER}{\n    func main<ios18>(${signature}) {\n${lines}    } -> (${results});\n}\n`;
}
