/**
 * References of the published figures: float64 products and convolutions, and float32 fused multiply-add, which the
 * machines that published them used for two of their references.
 *
 * @module
 */

import type { NumpyGenerator } from "./numpy_random.ts";

/** ||got - ref|| / ||ref||. */
export function relativeError(got: ArrayLike<number>, ref: ArrayLike<number>): number {
  let difference = 0, norm = 0;
  for (let i = 0; i < ref.length; i++) {
    difference += (got[i]! - ref[i]!) ** 2;
    norm += ref[i]! ** 2;
  }
  return Math.sqrt(difference / norm);
}

/** Digits in which two numbers agree: -log10 of their relative difference, 17 when they are equal. */
export function agreement(ours: number, published: number): number {
  return ours === published ? 17 : Math.max(0, -Math.log10(Math.abs(ours - published) / Math.abs(published)));
}

/** Normals / sqrt(k), computed as NumPy does: float32 draws divided by a scalar. */
export function scaled(rng: NumpyGenerator, count: number, k: number): Float32Array {
  const root = Math.fround(Math.sqrt(k)), values = rng.normal32(count);
  for (let i = 0; i < count; i++) values[i] = values[i]! / root;
  return values;
}

/** float64 values on the fp16 grid, for weights that are cast to fp16 in one step. */
export function halved(values: ArrayLike<number>): Float32Array {
  const out = new Float32Array(values.length);
  for (let i = 0; i < out.length; i++) out[i] = Math.f16round(values[i]!);
  return out;
}

/** x [m, k] times the transpose of w [n, k] in float64, four rows by two at a time. */
export function productF64(x: ArrayLike<number>, w: ArrayLike<number>, m: number, k: number, n: number): Float64Array {
  const y = new Float64Array(m * n);
  const X = Float64Array.from(x), left = new Float64Array(k), right = new Float64Array(k);
  for (let j = 0; j < n; j += 2) {
    const second = Math.min(j + 1, n - 1);
    for (let p = 0; p < k; p++) {
      left[p] = w[j * k + p]!;
      right[p] = w[second * k + p]!;
    }
    for (let i = 0; i < m; i += 4) {
      const a = i * k, b = Math.min(i + 1, m - 1) * k, c = Math.min(i + 2, m - 1) * k, d = Math.min(i + 3, m - 1) * k;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
      for (let p = 0; p < k; p++) {
        const l = left[p]!, r = right[p]!, x0 = X[a + p]!, x1 = X[b + p]!, x2 = X[c + p]!, x3 = X[d + p]!;
        s0 += x0 * l;
        s1 += x1 * l;
        s2 += x2 * l;
        s3 += x3 * l;
        t0 += x0 * r;
        t1 += x1 * r;
        t2 += x2 * r;
        t3 += x3 * r;
      }
      const sums = [s0, t0, s1, t1, s2, t2, s3, t3];
      for (let q = 0; q < 4 && i + q < m; q++) {
        y[(i + q) * n + j] = sums[2 * q]!;
        if (second > j) y[(i + q) * n + second] = sums[2 * q + 1]!;
      }
    }
  }
  return y;
}

/** One image [cin, h, w] convolved with [cout, cin, 3, 3], stride 1, pad 1, in float64: patches, then a product. */
export function convF64(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  cin: number,
  cout: number,
  height: number,
  width: number,
): Float64Array {
  const area = height * width, k = cin * 9;
  const y = new Float64Array(cout * area), strip = Math.min(height, 8), patches = new Float64Array(strip * width * k);
  for (let top = 0; top < height; top += strip) {
    const rows = Math.min(strip, height - top);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < width; j++) {
        const at = (i * width + j) * k;
        for (let c = 0; c < cin; c++) {
          for (let tap = 0; tap < 9; tap++) {
            const r = top + i + Math.floor(tap / 3) - 1, s = j + tap % 3 - 1;
            const inside = r >= 0 && r < height && s >= 0 && s < width;
            patches[at + c * 9 + tap] = inside ? x[c * area + r * width + s]! : 0;
          }
        }
      }
    }
    const part = productF64(patches.subarray(0, rows * width * k), w, rows * width, k, cout);
    for (let i = 0; i < rows * width; i++) {
      for (let o = 0; o < cout; o++) y[o * area + top * width + i] = part[i * cout + o]!;
    }
  }
  return y;
}

const cell = new Float64Array(1), words = new BigUint64Array(cell.buffer), low = new Uint32Array(cell.buffer);

/**
 * float32 a * b + c with one rounding. The product of two float32 is exact in float64. The sum may be rounded there once
 * and again to float32, which only matters when the first lands on a tie of the second: the error of the first decides.
 */
export function fma32(a: number, b: number, c: number): number {
  const p = a * b, s = p + c;
  cell[0] = s;
  if ((low[0]! & 0x1fffffff) !== 0x10000000) return Math.fround(s);
  const part = s - p, error = (p - (s - part)) + (c - part);
  if (error !== 0) words[0] = words[0]! + ((error > 0) === (s > 0) ? 1n : -1n);
  return Math.fround(cell[0]!);
}

/** M [n, k] times its transpose in float32, each element one chain of fused multiply-adds over k. */
export function gramFma32(M: Float32Array, n: number, k: number): Float32Array {
  const y = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let p = 0; p < k; p++) {
        const a = M[i * k + p]! * M[j * k + p]!, s = a + sum;
        cell[0] = s;
        sum = (low[0]! & 0x1fffffff) === 0x10000000 ? fma32(M[i * k + p]!, M[j * k + p]!, sum) : Math.fround(s);
      }
      y[i * n + j] = y[j * n + i] = sum;
    }
  }
  return y;
}

/** One step of a 3 x 3 stencil over [n, n] with a border of zeros: a chain of float32 fused multiply-adds over the taps. */
export function stencilFma32(u: Float32Array, kernel: Float32Array, n: number): Float32Array {
  const v = new Float32Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let tap = 0; tap < 9; tap++) {
        const r = i + Math.floor(tap / 3) - 1, s = j + tap % 3 - 1;
        if (r >= 0 && r < n && s >= 0 && s < n) sum = fma32(kernel[tap]!, u[r * n + s]!, sum);
      }
      v[i * n + j] = sum;
    }
  }
  return v;
}

/** A uniform sequence of `count` values from lo to hi, both included, as NumPy's `linspace` or `geomspace`. */
export function space(kind: "linear" | "geometric", lo: number, hi: number, count: number): Float64Array {
  const [from, to] = kind === "linear" ? [lo, hi] : [Math.log10(lo), Math.log10(hi)];
  return Float64Array.from({ length: count }, (_, i) => {
    const v = from + (to - from) * i / (count - 1);
    return kind === "linear" ? v : 10 ** v;
  });
}
