/**
 * Values carried as two fp16 numbers, `hi + lo`: about twice the digits, from fp16 additions and products only. Sums and
 * products keep the rounding error they make (TwoSum, TwoProduct) and add it to the low part.
 *
 * It works where each fp16 operation rounds once, to nearest: additions of the device do; products do where both factors
 * and their error are far from the ends of the range.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "./errors.ts";
import { NDArray } from "./graph/ndarray.ts";
import { normalizeAxis, sameShape, type Shape, show } from "./graph/shape.ts";
import { Tensor } from "./graph/tensor.ts";

/** 2^6 + 1 splits the 11 significant bits of fp16 into two halves whose products are exact. */
const SPLIT = 65;

type Pair = readonly [Tensor, Tensor];

/** s = a + b rounded and e with s + e = a + b exactly (Knuth). */
function twoSum(a: Tensor, b: Tensor): Pair {
  const s = a.add(b);
  const bb = s.sub(a);
  return [s, a.sub(s.sub(bb)).add(b.sub(bb))];
}

/** The upper half of the significant bits, and the rest (Veltkamp). */
function halves(t: Tensor): Pair {
  const c = t.muls(SPLIT);
  const high = c.sub(c.sub(t));
  return [high, t.sub(high)];
}

/** p = a b rounded and e with p + e = a b exactly (Dekker). */
function twoProduct(a: Tensor, b: Tensor): Pair {
  const p = a.mul(b);
  const [ah, al] = halves(a);
  const [bh, bl] = halves(b);
  return [p, ah.mul(bh).sub(p).add(ah.mul(bl)).add(al.mul(bh)).add(al.mul(bl))];
}

/**
 * A value held as the sum of two tensors, the second being what the first lost to rounding. Made by {@linkcode paired}.
 *
 * @example
 * ```ts
 * const difference = paired(a).sub(paired(b)).toTensor();
 * ```
 */
export class Paired {
  /** The value rounded to fp16. */
  readonly hi: Tensor;
  /** What the rounding lost. */
  readonly lo: Tensor;

  /**
   * Holds two tensors of the same shape.
   *
   * @param hi The value rounded to fp16.
   * @param lo What the rounding lost.
   * @throws {ShapeError} when the shapes differ.
   */
  constructor(hi: Tensor, lo: Tensor) {
    if (!(hi instanceof Tensor) || !(lo instanceof Tensor)) {
      throw new ArgumentError("paired: hi and lo must be tensors");
    }
    if (!sameShape(hi.shape, lo.shape)) {
      throw new ShapeError(`paired: hi is ${show(hi.shape)} and lo ${show(lo.shape)}; expected the same shape`);
    }
    this.hi = hi;
    this.lo = lo;
  }

  /** Extents. */
  get shape(): Shape {
    return this.hi.shape;
  }

  /**
   * Sum, broadcast.
   *
   * @param b A pair, or a tensor whose low part is 0.
   * @returns The sum as a pair.
   */
  add(b: Paired | Tensor): Paired {
    const other = asPaired(b);
    const [s, e] = twoSum(this.hi, other.hi);
    return normalized(s, e.add(this.lo.add(other.lo)));
  }

  /**
   * Difference, broadcast.
   *
   * @param b A pair, or a tensor whose low part is 0.
   * @returns The difference as a pair.
   */
  sub(b: Paired | Tensor): Paired {
    return this.add(asPaired(b).neg());
  }

  /**
   * Product, broadcast. With a number both parts are scaled, which is exact for powers of two.
   *
   * @param b A pair, a tensor whose low part is 0, or a number.
   * @returns The product as a pair.
   */
  mul(b: Paired | Tensor | number): Paired {
    if (typeof b === "number") return new Paired(this.hi.muls(b), this.lo.muls(b));
    const [p, e] = this.#product(asPaired(b));
    return normalized(p, e);
  }

  /**
   * The value with the other sign.
   *
   * @returns A pair.
   */
  neg(): Paired {
    return this.mul(-1);
  }

  /**
   * Sum of products along an axis, on the wide accumulator of the matrix unit.
   *
   * @param b A pair or tensor of the same shape.
   * @param axis The axis summed over (default: the last).
   * @returns The sum as a pair; the axis stays with extent 1.
   * @throws {ShapeError} when the shapes differ.
   */
  dot(b: Paired | Tensor, axis = -1): Paired {
    const other = asPaired(b);
    if (!sameShape(this.shape, other.shape)) {
      throw new ShapeError(`dot: operands are ${show(this.shape)} and ${show(other.shape)}; expected the same shape`);
    }
    const along = normalizeAxis("dot", axis, this.shape);
    const axes = this.shape.map((_, i) => i);
    const perm = [...axes.filter((i) => i !== along), along];
    const back = axes.map((i) => perm.indexOf(i));
    const ones = new NDArray(new Float32Array(this.shape[along]!).fill(1), [this.shape[along]!, 1]);
    const last = along === this.shape.length - 1;
    const sum = (t: Tensor): Tensor => last ? t.matmul(ones) : t.transpose(perm).matmul(ones).transpose(back);
    const [p, e] = this.#product(other);
    const [s, rest] = twoSum(sum(p), sum(e));
    return normalized(s, rest);
  }

  /**
   * The value as one tensor, hi + lo.
   *
   * @returns The nearest fp16 value.
   */
  toTensor(): Tensor {
    return this.hi.add(this.lo);
  }

  /** Rounded product and error; the product of both low parts lies below the last digit and is left out. */
  #product(other: Paired): Pair {
    const [p, e] = twoProduct(this.hi, other.hi);
    return [p, e.add(this.hi.mul(other.lo).add(this.lo.mul(other.hi)))];
  }
}

/** hi = s + e rounded, lo = the rest; |e| is at most |s|. */
function normalized(s: Tensor, e: Tensor): Paired {
  const hi = s.add(e);
  return new Paired(hi, e.sub(hi.sub(s)));
}

function asPaired(value: Paired | Tensor): Paired {
  return value instanceof Paired ? value : paired(value);
}

/**
 * Starts a computation in pairs.
 *
 * @param hi The value, or its upper part.
 * @param lo The lower part, 0 unless given.
 * @returns A pair.
 * @throws {ShapeError} when the shapes differ.
 * @example
 * ```ts
 * const y = paired(a).dot(paired(b)).toTensor();
 * ```
 */
export function paired(hi: Tensor, lo?: Tensor): Paired {
  if (!(hi instanceof Tensor)) throw new ArgumentError("paired: hi is not a Tensor");
  return new Paired(hi, lo ?? hi.sub(hi));
}

/**
 * A difference of nearly equal values, with the rounding of the subtraction carried along.
 *
 * @param a Minuend; a pair brings its low part.
 * @param b Subtrahend, likewise.
 * @returns The nearest fp16 value of the difference.
 * @example
 * ```ts
 * pairedSubtract(conditional, unconditional);
 * ```
 */
export function pairedSubtract(a: Paired | Tensor, b: Paired | Tensor): Tensor {
  return asPaired(a).sub(b).toTensor();
}
