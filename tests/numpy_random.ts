/**
 * NumPy's `default_rng(seed).standard_normal()`: SeedSequence -> PCG64 (XSL-RR 128/64) -> ziggurat of 256 layers in double
 * precision. The published error figures of the device were made with this generator. Draws are equal bit for bit; only in
 * the tail (|x| > 3.65, one draw in 3700) can one in a hundred differ in the last bit, where `log1p` does.
 *
 * @module
 */

/** SeedSequence with its default pool of four words: hashes a non-negative integer seed into `words` 32-bit words. */
export function seedSequence(seed: number, words: number): Uint32Array {
  const entropy: number[] = [];
  for (let rest = seed; rest > 0 || entropy.length === 0; rest = Math.floor(rest / 2 ** 32)) entropy.push(rest >>> 0);
  let hash = 0x43b0d7e5;
  const hashmix = (value: number): number => {
    value = (value ^ hash) >>> 0;
    hash = Math.imul(hash, 0x931e8875) >>> 0;
    value = Math.imul(value, hash) >>> 0;
    return (value ^ (value >>> 16)) >>> 0;
  };
  const mix = (x: number, y: number): number => {
    const r = (Math.imul(x, 0xca01f9dd) - Math.imul(y, 0x4973f715)) >>> 0;
    return (r ^ (r >>> 16)) >>> 0;
  };
  const pool = [0, 1, 2, 3].map((i) => hashmix(entropy[i] ?? 0));
  for (let src = 0; src < 4; src++) {
    for (let dst = 0; dst < 4; dst++) if (src !== dst) pool[dst] = mix(pool[dst]!, hashmix(pool[src]!));
  }
  for (const word of entropy.slice(4)) {
    for (let dst = 0; dst < 4; dst++) pool[dst] = mix(pool[dst]!, hashmix(word));
  }
  let out = 0x8b51f9dd;
  return Uint32Array.from({ length: words }, (_, i) => {
    let value = (pool[i & 3]! ^ out) >>> 0;
    out = Math.imul(out, 0x58f38ded) >>> 0;
    value = Math.imul(value, out) >>> 0;
    return (value ^ (value >>> 16)) >>> 0;
  });
}

/** 128-bit numbers as eight 16-bit limbs, least significant first: products of two limbs add up exactly in a double. */
function limbs(value: bigint): Float64Array {
  return Float64Array.from({ length: 8 }, (_, i) => Number((value >> BigInt(16 * i)) & 0xffffn));
}

const MULTIPLIER = limbs((2549297995355413924n << 64n) | 4865540595714422341n);

/** PCG64 XSL-RR. After {@link Pcg64.next} the 64-bit output is in `high` and `low`. */
export class Pcg64 {
  /** Upper 32 bits of the last output. */
  high = 0;
  /** Lower 32 bits of the last output. */
  low = 0;
  readonly #state = new Float64Array(8);
  readonly #increment: Float64Array;
  readonly #sum = new Float64Array(8);

  constructor(seed: number) {
    const w = seedSequence(seed, 8);
    const u64 = (i: number): bigint => (BigInt(w[2 * i + 1]!) << 32n) | BigInt(w[2 * i]!);
    const initial = (u64(0) << 64n) | u64(1);
    const sequence = (u64(2) << 64n) | u64(3);
    this.#increment = limbs((sequence << 1n) | 1n);
    this.#step();
    const start = limbs(initial);
    let carry = 0;
    for (let i = 0; i < 8; i++) {
      const v = this.#state[i]! + start[i]! + carry;
      this.#state[i] = v % 65536;
      carry = v >= 65536 ? 1 : 0;
    }
    this.#step();
  }

  /** state = state * multiplier + increment (mod 2^128). */
  #step(): void {
    const s = this.#state, m = MULTIPLIER, sum = this.#sum;
    let carry = 0;
    for (let k = 0; k < 8; k++) {
      let v = this.#increment[k]! + carry;
      for (let i = 0; i <= k; i++) v += s[i]! * m[k - i]!;
      carry = Math.floor(v / 65536);
      sum[k] = v - carry * 65536;
    }
    s.set(sum);
  }

  /** Draws 64 bits: the xor of the state's halves, rotated right by its top six bits. */
  next(): void {
    this.#step();
    const s = this.#state;
    const low = ((s[1]! * 65536 + s[0]!) ^ (s[5]! * 65536 + s[4]!)) >>> 0;
    const high = ((s[3]! * 65536 + s[2]!) ^ (s[7]! * 65536 + s[6]!)) >>> 0;
    const rotation = s[7]! >>> 10;
    const [a, b] = rotation & 32 ? [high, low] : [low, high];
    const r = rotation & 31;
    this.low = r ? ((a >>> r) | (b << (32 - r))) >>> 0 : a;
    this.high = r ? ((b >>> r) | (a << (32 - r))) >>> 0 : b;
  }

  /** Uniform double in [0, 1): the top 53 bits. */
  double(): number {
    this.next();
    return (this.high * 2 ** 21 + (this.low >>> 11)) / 2 ** 53;
  }
}

const R = 3.6541528853610088; // where the tail begins
const V = 0.004928673233974652; // area of a layer
const TWO_52 = 2 ** 52;

/** Rounds to an integer, ties to even. */
function rint(v: number): number {
  const f = Math.floor(v);
  return v - f === 0.5 ? f + (f % 2) : Math.round(v);
}

/**
 * The layers, from the outermost (x = R) inwards: x_i = f^-1(V / x_{i+1} + f(x_{i+1})), f(x) = exp(-x^2/2).
 * width[i] = x_i / 2^52, height[i] = f(x_i), keep[i] = 2^52 * x_{i-1} / x_i. NumPy's published table is this computation
 * in double precision, save for height[38], which lies one ulp above the correctly rounded value.
 */
function ziggurat(): { width: Float64Array; height: Float64Array; keep: Float64Array } {
  const width = new Float64Array(256), height = new Float64Array(256), keep = new Float64Array(256);
  let outer = R;
  let f = Math.exp(-0.5 * outer * outer);
  width[255] = outer / TWO_52;
  width[0] = V / f / TWO_52;
  height[255] = f;
  height[0] = 1;
  keep[0] = rint(outer * f / V * TWO_52);
  for (let i = 254; i > 0; i--) {
    const x = Math.sqrt(-2 * Math.log(V / outer + f));
    keep[i + 1] = rint(x / outer * TWO_52);
    width[i] = x / TWO_52;
    f = i === 38 ? 0.6773880362187735 : Math.exp(-0.5 * x * x);
    height[i] = f;
    outer = x;
  }
  keep[1] = 0;
  return { width, height, keep };
}

const TABLE = ziggurat();

/** NumPy's `Generator`, as far as normal draws go. */
export class NumpyGenerator {
  readonly #bits: Pcg64;

  constructor(seed: number) {
    this.#bits = new Pcg64(seed);
  }

  /** One standard normal draw in double precision. */
  standardNormal(): number {
    const bits = this.#bits;
    const { width, height, keep } = TABLE;
    for (;;) {
      bits.next();
      const layer = bits.low & 0xff;
      const magnitude = (bits.high & 0x1fffffff) * 2 ** 23 + (bits.low >>> 9);
      let x = magnitude * width[layer]!;
      if (bits.low & 0x100) x = -x;
      if (magnitude < keep[layer]!) return x;
      if (layer === 0) {
        // bit 8 of the magnitude is bit 17 of the draw
        const negative = (bits.low >>> 17) & 1;
        for (;;) {
          const xx = -0.27366123732975828 * Math.log1p(-bits.double());
          const yy = -Math.log1p(-bits.double());
          if (yy + yy > xx * xx) return negative ? -(R + xx) : R + xx;
        }
      }
      const drop = (height[layer - 1]! - height[layer]!) * bits.double() + height[layer]!;
      if (drop < Math.exp(-0.5 * x * x)) return x;
    }
  }

  /** `standard_normal(n)` in double precision. */
  normal64(n: number): Float64Array {
    const out = new Float64Array(n);
    for (let i = 0; i < n; i++) out[i] = this.standardNormal();
    return out;
  }

  /** `standard_normal(n).astype(float32)`. */
  normal32(n: number): Float32Array {
    const out = new Float32Array(n);
    for (let i = 0; i < n; i++) out[i] = this.standardNormal();
    return out;
  }
}
