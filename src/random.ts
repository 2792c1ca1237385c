/**
 * A small seeded generator for initial weights, shuffles and test data: the same numbers on every machine.
 *
 * @module
 */

import { ArgumentError } from "./errors.ts";

/**
 * xoshiro128** with its state filled by SplitMix32 from one seed.
 *
 * @example
 * ```ts
 * const random = new Random(0);
 * const w = random.normals(784 * 256, Math.sqrt(2 / 784));
 * ```
 */
export class Random {
  readonly #s = new Uint32Array(4);
  #spare: number | undefined;

  /**
   * Starts the sequence of a seed.
   *
   * @param seed A safe integer >= 0.
   * @throws {ArgumentError} When the seed is anything else.
   */
  constructor(seed = 0) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new ArgumentError(`Random: seed must be an integer from 0 to 2^53 - 1, got ${seed}`);
    }
    let z = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b)) >>> 0;
    for (let i = 0; i < 4; i++) {
      z = (z + 0x9e3779b9) >>> 0;
      let v = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      v = Math.imul(v ^ (v >>> 15), 0x735a2d97);
      this.#s[i] = v ^ (v >>> 15);
    }
  }

  /** The next 32 bits as an unsigned integer. */
  uint32(): number {
    const s = this.#s;
    const m = Math.imul(s[1]!, 5);
    const result = Math.imul((m << 7) | (m >>> 25), 9) >>> 0;
    const t = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= t;
    s[3] = (s[3]! << 11) | (s[3]! >>> 21);
    return result;
  }

  /** Uniform in [lo, hi), 53 random bits. */
  uniform(lo = 0, hi = 1): number {
    const u = ((this.uint32() >>> 5) * 2 ** 26 + (this.uint32() >>> 6)) / 2 ** 53;
    return lo + u * (hi - lo);
  }

  /** Uniform integer in [0, n), without bias: draws beyond the largest multiple of n are thrown away. */
  below(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
      throw new ArgumentError(`Random.below: n must be an integer from 1 to 2^32, got ${n}`);
    }
    const limit = 2 ** 32 - (2 ** 32 % n);
    for (;;) {
      const v = this.uint32();
      if (v < limit) return v % n;
    }
  }

  /** Standard normal draw (Marsaglia's polar method). */
  normal(): number {
    if (this.#spare !== undefined) {
      const v = this.#spare;
      this.#spare = undefined;
      return v;
    }
    for (;;) {
      const u = this.uniform(-1, 1), v = this.uniform(-1, 1);
      const s = u * u + v * v;
      if (s >= 1 || s === 0) continue;
      const f = Math.sqrt(-2 * Math.log(s) / s);
      this.#spare = v * f;
      return u * f;
    }
  }

  /** `n` normal draws with the given scale, as fp32. */
  normals(n: number, scale = 1): Float32Array {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = this.normal() * scale;
    return out;
  }

  /** A random permutation of 0 .. n-1 (Fisher-Yates). */
  permutation(n: number): Uint32Array {
    const out = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const t = out[i]!;
      out[i] = out[j]!;
      out[j] = t;
    }
    return out;
  }
}
