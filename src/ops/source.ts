/**
 * Where values come from: inputs, baked constants, and the cast that turns integer inputs into fp16.
 *
 * @module
 */

import { ArgumentError, DtypeError } from "../errors.ts";
import { isPortDtype, type PortDtype } from "../graph/dtype.ts";
import { checkNumber } from "../graph/check.ts";
import type { NDArray } from "../graph/ndarray.ts";
import { defineOp, type OpDef } from "../graph/op.ts";
import type { Shape } from "../graph/shape.ts";

interface InputAttrs {
  shape: Shape;
  dtype: PortDtype;
  name?: string;
  maxAbs?: number;
  trainable?: boolean;
  value?: Float32Array;
}

/** Operations without a value operand, and `cast`. */
export const SOURCE_OPS: readonly OpDef[] = [
  defineOp<InputAttrs>({
    name: "input",
    category: "source",
    summary: "a value fed to the program",
    attrs: {
      shape: "extents",
      dtype: "element type of the port",
      name: "label for messages",
      maxAbs: "promise that no element is larger in magnitude",
      trainable: "whether it is a parameter",
      value: "fp32 master values of a parameter, mutable",
    },
    arity: 0,
    infer(_inputs, args) {
      if (!isPortDtype(args.dtype)) {
        throw new DtypeError(
          `input: dtype ${args.dtype} cannot enter a program; expected fp16, uint8, int8, uint16 or int16`,
        );
      }
      if (args.maxAbs !== undefined && checkNumber("input", "maxAbs", args.maxAbs) < 0) {
        throw new ArgumentError(`input: maxAbs is ${args.maxAbs}; expected a number of at least 0`);
      }
      return { shape: args.shape, dtype: args.dtype };
    },
    noGradient: "an input has no operands",
  }),
  defineOp<{ value: NDArray }>({
    name: "const_array",
    category: "source",
    summary: "fp16 values baked into the program",
    attrs: { value: "the values" },
    arity: 0,
    infer: (_inputs, { value }) => ({ shape: value.shape }),
    lower: (node, out) => void out.weight(null, node.attrs.value),
    noGradient: "a constant has no operands",
    weights: (node) => [node.attrs.value],
  }),
  defineOp<{ dtype: "fp16" }>({
    name: "cast",
    category: "source",
    summary: "an integer input as fp16",
    attrs: { dtype: "element type of the result" },
    accepts: () => ["fp16", "uint8", "int8", "uint16", "int16"],
    infer: ([x]) => ({ shape: x!.shape }),
    lower: (_node, out) => void out.result("cast", { dtype: out.string("d", "fp16"), x: out.source(0) }),
    gradient: ({ inputs: [x], g }) => [x!.dtype === "fp16" ? g : null],
  }),
];
