/**
 * Random calls of the public functions with arguments that do not belong there. A call may succeed; when it fails, the
 * error must be one of this module's own.
 *
 * @module
 */

import * as af from "../mod.ts";
import type { Random } from "../src/random.ts";

/** What a run saw. */
export interface CallReport {
  /** Calls that threw. */
  refused: number;
  /** Calls that were accepted. */
  accepted: number;
  /** Functions that refused a call. */
  functions: Set<string>;
  /** Calls that threw something else. */
  failures: string[];
}

type Method = (...args: unknown[]) => unknown;

/** Methods that are not about a call's arguments. */
const SKIPPED = new Set(["constructor", "toString"]);

/** Functions that make, read or convert something else than graphs. */
const FUNCTIONS: readonly (keyof typeof af)[] = [
  "affine",
  "array",
  "batchNorm",
  "causalMask",
  "compile",
  "compileMulti",
  "concat",
  "constant",
  "conv",
  "convTranspose",
  "crop",
  "crossAttention",
  "depthToSpace",
  "dynamicConv",
  "einsum",
  "einsumNative",
  "imageInput",
  "input",
  "instanceNorm",
  "localResponseNorm",
  "maximum",
  "mha",
  "minimum",
  "parameter",
  "pixelShuffle",
  "pixelUnshuffle",
  "preflight",
  "resizeBilinear",
  "resizeNearestNeighbor",
  "sdpa",
  "select",
  "spaceToDepth",
  "split",
  "stack",
  "upsampleBilinear",
];

const NUMBERS = [NaN, Infinity, -Infinity, -1, 0, 1, 2, 3, 1.5, -7, 65537, 2 ** 31, 2 ** 53, 1e300, -0];
const OTHERS = [null, undefined, true, "", "mean", "abc,cd->abd", "fp32", [], [[]], {}, [[1, 2], [3]], ["a"], () => 1];

function tensorOf(random: Random): af.Tensor {
  const shape = Array.from({ length: 1 + random.below(5) }, () => [1, 2, 3, 4, 7][random.below(5)]!);
  const dtype = (["fp16", "fp16", "fp16", "int8", "uint8"] as const)[random.below(5)]!;
  const x = af.input(shape, { dtype });
  return dtype === "fp16" && random.below(6) === 0 ? x.greater(0) : x;
}

/** Anything a caller might pass by mistake. */
function junk(random: Random, depth = 0): unknown {
  const number = (): number => NUMBERS[random.below(NUMBERS.length)]!;
  const small = (): number => random.below(6) - 1;
  switch (random.below(depth < 2 ? 11 : 6)) {
    case 0:
      return number();
    case 1:
      return OTHERS[random.below(OTHERS.length)];
    case 2:
      return Array.from({ length: random.below(7) }, small);
    case 3:
      return tensorOf(random);
    case 4:
      return small();
    case 5:
      return Array.from({ length: random.below(4) }, () => (random.below(2) ? number() : small()));
    case 6:
      return new Float32Array(random.below(9)).fill(number());
    case 7:
      return new Int32Array(random.below(9));
    case 8: {
      const shape = Array.from({ length: 1 + random.below(4) }, () => 1 + random.below(4));
      return new af.NDArray(random.normals(shape.reduce((a, b) => a * b)), shape);
    }
    case 9:
      return Array.from({ length: random.below(4) }, () => junk(random, depth + 1));
    default: {
      const keys = ["axis", "keepDims", "stride", "pad", "dilation", "groups", "bias", "dtype", "eps", "mask", "scale"];
      const entries = Array.from(
        { length: random.below(4) },
        () => [keys[random.below(keys.length)]!, junk(random, 2)],
      );
      return Object.fromEntries(entries);
    }
  }
}

/** A value as it would be written in a call. */
function spell(value: unknown): string {
  if (value instanceof af.Tensor) return `${value.dtype}[${value.shape}]`;
  if (value instanceof af.NDArray) return `array[${value.shape}]`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}(${value})`;
  if (Array.isArray(value)) return `[${value.map(spell).join(", ")}]`;
  if (typeof value === "object" && value !== null) {
    return `{${Object.entries(value).map(([key, v]) => `${key}: ${spell(v)}`).join(", ")}}`;
  }
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}

/** Methods of Tensor, by name. */
const METHODS = Object.getOwnPropertyNames(af.Tensor.prototype).filter((name) =>
  !SKIPPED.has(name) && typeof Object.getOwnPropertyDescriptor(af.Tensor.prototype, name)!.value === "function"
);

/** A compiled model to feed and to ask for what it does not have. */
const MODEL_METHODS = ["run", "runInto", "setInput", "inputView", "outputView"] as const;

/**
 * Calls until `calls` of them were refused.
 *
 * @param calls How many refused calls.
 * @param random Where the choices come from.
 */
export function fuzzCalls(calls: number, random: Random): CallReport {
  const report: CallReport = { refused: 0, accepted: 0, functions: new Set(), failures: [] };
  using net = af.compile(af.input([2, 3]).relu());
  const choose = (): [name: string, target: unknown, call: Method] => {
    const kind = random.below(12);
    if (kind === 0) {
      const name = MODEL_METHODS[random.below(MODEL_METHODS.length)]!;
      return [`net.${name}`, net, net[name] as Method];
    }
    if (kind < 5) {
      const name = FUNCTIONS[random.below(FUNCTIONS.length)]!;
      return [name, undefined, af[name] as Method];
    }
    const x = tensorOf(random), name = METHODS[random.below(METHODS.length)]!;
    return [`${spell(x)}.${name}`, x, x[name as keyof af.Tensor] as unknown as Method];
  };
  for (let tries = 0; report.refused < calls && tries < calls * 20; tries++) {
    const [name, target, call] = choose();
    const args = Array.from({ length: random.below(5) }, () => junk(random));
    if (!target && random.below(2)) args[0] = tensorOf(random);
    try {
      const result = call.apply(target, args);
      if (result instanceof af.Model || result instanceof af.MultiModel) result.release();
      report.accepted++;
    } catch (error) {
      report.refused++;
      report.functions.add(name.replace(/^.*\]\./, "."));
      const text = `${name}(${args.map(spell).join(", ")})`;
      if (!(error instanceof af.AneforgeError)) report.failures.push(`${text.slice(0, 300)}: ${error}`);
      else if (error.message === "") report.failures.push(`${text.slice(0, 300)}: no message`);
    }
  }
  return report;
}
