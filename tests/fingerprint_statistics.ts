/**
 * The published statistics of the activation tables: over all fp16 values of a range, the largest absolute error, the
 * largest error in units in the last place, and where that one is.
 *
 * @module
 */

import { compile } from "../src/compile/compile.ts";
import { input, type Tensor } from "../src/graph/tensor.ts";
import { space } from "./fingerprint_math.ts";
import { erf } from "./reference_kernels.ts";

/** One row: function, range, its float64 formula, and the figures as they were printed. */
export interface Statistic {
  readonly name: string;
  readonly range: readonly ["linear" | "geometric", number, number];
  readonly f: (x: Tensor) => Tensor;
  readonly exact: (x: number) => number;
  /** Largest absolute error, largest error in ulp, position of the latter; null where it is not known to be reproduced. */
  readonly printed: readonly [abs: string, ulp: string | null, at: string | null];
  /** Only arguments up to this magnitude count. */
  readonly within?: number;
  /** True for a function that only newer chips compute natively. */
  readonly newer?: true;
  /** False for a function whose table is not known: listed only. */
  readonly known?: false;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Published for M6. */
export const STATISTICS: readonly Statistic[] = [
  {
    name: "sigmoid",
    range: ["linear", -12, 12],
    f: (x) => x.sigmoid(),
    exact: sigmoid,
    printed: ["3.355e-3", "810.8", "-9.938"],
  },
  {
    name: "tanh",
    range: ["linear", -6, 6],
    f: (x) => x.tanh(),
    exact: Math.tanh,
    printed: ["1.613e-3", "11.0", "-0.0002403"],
  },
  {
    name: "gelu",
    range: ["linear", -8, 8],
    f: (x) => x.gelu(),
    exact: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    printed: ["6.159e-3", "12632.0", "-1.526e-5"],
  },
  {
    name: "exp",
    range: ["linear", -12, 10],
    f: (x) => x.exp(),
    exact: Math.exp,
    printed: ["1.008e2", "9.1", "9.703"],
  },
  {
    name: "log",
    range: ["geometric", 2 ** -10, 1000],
    f: (x) => x.log(),
    exact: Math.log,
    printed: ["6.638e-3", "91.0", "1.004"],
  },
  {
    name: "sqrt",
    range: ["geometric", 2 ** -10, 1000],
    f: (x) => x.sqrt(),
    exact: Math.sqrt,
    printed: ["1.810e-2", "1.2", "0.002054"],
  },
  {
    name: "rsqrt",
    range: ["geometric", 2 ** -6, 1000],
    f: (x) => x.rsqrt(),
    exact: (x) => 1 / Math.sqrt(x),
    printed: ["8.139e-3", "2.1", "0.0332"],
  },
  {
    name: "inverse, eps 1e-4",
    range: ["geometric", 2 ** -6, 1000],
    f: (x) => x.inverse(1e-4),
    exact: (x) => 1 / x,
    printed: ["4.375e-1", "13.5", "0.01587"],
  },
  {
    name: "erf, up to 2",
    range: ["linear", -4, 4],
    f: (x) => x.erf(),
    exact: erf,
    printed: ["8.642e-4", "3.0", "-0.001701"],
    within: 2,
  },
  {
    name: "sin",
    range: ["linear", -8, 8],
    f: (x) => x.sin(),
    exact: Math.sin,
    printed: ["6.329e-4", null, null],
    newer: true,
  },
  {
    name: "silu",
    range: ["linear", -12, 12],
    f: (x) => x.silu(),
    exact: (x) => x * sigmoid(x),
    printed: ["1.491e-2", "28560", "-2.289e-5"],
    known: false,
  },
];

/** Distance of two neighbouring fp16 numbers at a magnitude. */
function spacing(v: number): number {
  return 2 ** (Math.max(Math.floor(Math.log2(Math.abs(v))), -14) - 10);
}

/** Largest absolute error, largest error in ulp of the exact value, and the argument of the latter. */
export function measure({ range: [kind, lo, hi], f, exact, within = Infinity }: Statistic): [number, number, number] {
  const x = Float16Array.from(new Set(Float16Array.from(space(kind, lo, hi, 524288))));
  const rows = Math.ceil(x.length / 4096), padded = new Float16Array(rows * 4096).fill(1), y = padded.slice();
  padded.set(x);
  using net = compile(f(input([rows, 4096])));
  net.runInto([padded], [y]);
  let abs = 0, ulp = 0, at = 0;
  x.forEach((v, i) => {
    if (Math.abs(v) > within) return;
    const expected = exact(v), error = Math.abs(y[i]! - expected), units = error / spacing(expected);
    abs = Math.max(abs, error);
    if (units > ulp) [ulp, at] = [units, v];
  });
  return [abs, ulp, at];
}
