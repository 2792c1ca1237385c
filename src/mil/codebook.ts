/**
 * A palette of 16 values for a tensor, to the bit as NumPy computes it.
 *
 * @module
 */

/** Entries of a palette. */
export const PALETTE_SIZE = 16;

const ROUNDS = 20;
const NO_SHORTCUT = 255;

/**
 * Sum in float32 by NumPy's pairwise rule: below 8 values in order; up to 128, eight sums of every eighth value, joined as
 * `((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7))`, then the rest in order; above, the two halves, the first one cut down to a
 * multiple of 8.
 *
 * @param a Values.
 * @param start First of them.
 * @param n How many.
 * @returns The sum, a float32 value.
 */
export function pairwiseSum(a: Float32Array, start: number, n: number): number {
  if (n < 8) {
    let sum = Math.fround(0);
    for (let i = start; i < start + n; i++) sum = Math.fround(sum + a[i]!);
    return sum;
  }
  if (n <= 128) return blockSum(a, start, n);
  const half = Math.floor(n / 2);
  const first = half - half % 8;
  return Math.fround(pairwiseSum(a, start, first) + pairwiseSum(a, start + first, n - first));
}

function blockSum(a: Float32Array, start: number, n: number): number {
  let r0 = a[start]!, r1 = a[start + 1]!, r2 = a[start + 2]!, r3 = a[start + 3]!;
  let r4 = a[start + 4]!, r5 = a[start + 5]!, r6 = a[start + 6]!, r7 = a[start + 7]!;
  const whole = start + n - n % 8;
  for (let i = start + 8; i < whole; i += 8) {
    r0 = Math.fround(r0 + a[i]!);
    r1 = Math.fround(r1 + a[i + 1]!);
    r2 = Math.fround(r2 + a[i + 2]!);
    r3 = Math.fround(r3 + a[i + 3]!);
    r4 = Math.fround(r4 + a[i + 4]!);
    r5 = Math.fround(r5 + a[i + 5]!);
    r6 = Math.fround(r6 + a[i + 6]!);
    r7 = Math.fround(r7 + a[i + 7]!);
  }
  const low = Math.fround(Math.fround(r0 + r1) + Math.fround(r2 + r3));
  let sum = Math.fround(low + Math.fround(Math.fround(r4 + r5) + Math.fround(r6 + r7)));
  for (let i = whole; i < start + n; i++) sum = Math.fround(sum + a[i]!);
  return sum;
}

/** Value at k/16 of the sorted values, between two of them by NumPy's linear rule. */
function quantile(sorted: Float32Array, k: number): number {
  const position = (sorted.length - 1) * (k / PALETTE_SIZE);
  const low = Math.floor(position), t = position - low;
  if (low >= sorted.length - 1) return sorted[sorted.length - 1]!;
  const a = sorted[low]!, b = sorted[low + 1]!, d = Math.fround(b - a);
  return t < 0.5 ? a + d * t : b - d * (1 - t);
}

function firstCentroids(values: Float32Array): Float32Array {
  const sorted = values.slice().sort();
  const edges = Array.from({ length: PALETTE_SIZE + 1 }, (_, k) => quantile(sorted, k));
  return Float32Array.from({ length: PALETTE_SIZE }, (_, k) => (edges[k]! + edges[k + 1]!) / 2);
}

/** Index of the smallest float32 distance, the lowest one on ties. */
function nearest(x: number, centroids: Float32Array): number {
  let best = 0, least = Infinity;
  for (let k = 0; k < PALETTE_SIZE; k++) {
    const distance = Math.abs(Math.fround(x - centroids[k]!));
    if (distance < least) {
      least = distance;
      best = k;
    }
  }
  return best;
}

/**
 * The answer for all values whose upper 16 bits are the same, or {@linkcode NO_SHORTCUT}. It holds when the same centroid
 * is nearest at both ends of the range, and nearer than any other by so much that rounding the distances cannot matter: the
 * difference of the distances to two centroids is monotonic, so the ends decide.
 */
function shortcut(bucket: number, ends: Float32Array, bits: Uint32Array, centroids: Float32Array): number {
  bits[0] = bucket << 16;
  bits[1] = (bucket << 16) | 0xffff;
  const k = nearest(ends[0]!, centroids);
  for (const x of ends) {
    const own = Math.abs(x - centroids[k]!);
    if (!Number.isFinite(own)) return NO_SHORTCUT;
    for (let j = 0; j < PALETTE_SIZE; j++) {
      const other = Math.abs(x - centroids[j]!);
      if (j !== k && !(other - own > other * 2 ** -21)) return NO_SHORTCUT;
    }
  }
  return k;
}

/** Assigns every value to its nearest centroid. */
class Assignment {
  readonly index: Uint8Array;
  readonly counts: Uint32Array = new Uint32Array(PALETTE_SIZE);
  readonly #values: Float32Array;
  readonly #bits: Uint32Array;
  readonly #buckets: readonly number[];
  readonly #shortcuts: Uint8Array = new Uint8Array(1 << 16).fill(NO_SHORTCUT);

  constructor(values: Float32Array) {
    this.#values = values;
    this.#bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
    this.index = new Uint8Array(values.length);
    const seen = new Uint8Array(1 << 16);
    for (let i = 0; i < values.length; i++) seen[this.#bits[i]! >>> 16] = 1;
    this.#buckets = [...seen.keys()].filter((bucket) => seen[bucket]);
  }

  update(centroids: Float32Array): void {
    const ends = new Float32Array(2), endBits = new Uint32Array(ends.buffer);
    const shortcuts = this.#shortcuts, bits = this.#bits, index = this.index, counts = this.counts;
    for (const bucket of this.#buckets) shortcuts[bucket] = shortcut(bucket, ends, endBits, centroids);
    counts.fill(0);
    for (let i = 0; i < index.length; i++) {
      let k = shortcuts[bits[i]! >>> 16]!;
      if (k === NO_SHORTCUT) k = nearest(this.#values[i]!, centroids);
      index[i] = k;
      counts[k]!++;
    }
  }

  /** Moves each centroid that has members to their mean, summed in the order of the tensor. */
  moveToMeans(centroids: Float32Array, members: Float32Array): void {
    const at = new Uint32Array(PALETTE_SIZE);
    for (let k = 1; k < PALETTE_SIZE; k++) at[k] = at[k - 1]! + this.counts[k - 1]!;
    const starts = at.slice();
    const { index } = this, values = this.#values;
    for (let i = 0; i < index.length; i++) members[at[index[i]!]!++] = values[i]!;
    this.counts.forEach((count, k) => {
      if (count > 0) centroids[k] = pairwiseSum(members, starts[k]!, count) / count;
    });
  }
}

/** A palette and the entry of every element. */
export interface Codebook {
  /** 16 float32 values, in no particular order. */
  readonly centroids: Float32Array;
  /** Entry of each element, 0 to 15. */
  readonly index: Uint8Array;
}

/**
 * Finds a palette: it starts between the sixteenths of the sorted values, and 20 times every value goes to the nearest
 * entry and every entry to the mean of its values. Deterministic.
 *
 * @param values Row-major elements, at least one.
 * @returns The palette, and the nearest entry of each element.
 */
export function findCodebook(values: Float32Array): Codebook {
  const centroids = firstCentroids(values);
  const assignment = new Assignment(values);
  const members = new Float32Array(values.length);
  for (let round = 0; round < ROUNDS; round++) {
    assignment.update(centroids);
    assignment.moveToMeans(centroids, members);
  }
  assignment.update(centroids);
  return { centroids, index: assignment.index };
}
