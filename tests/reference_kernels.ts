/**
 * Plain float64 loops for every operation: no rounding, no tricks, one formula each. The evaluator in `reference.ts` calls
 * them by node kind.
 *
 * @module
 */

/** A dense float64 array. Booleans are 0 and 1. */
export interface Arr {
  /** Extent of every axis. */
  shape: number[];
  /** Elements, row-major. */
  data: Float64Array;
}

/** Number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** An array from a shape and anything iterable over numbers. */
export function arr(shape: readonly number[], data: ArrayLike<number>): Arr {
  if (sizeOf(shape) !== data.length) throw new Error(`shape [${shape}] does not hold ${data.length} elements`);
  return { shape: [...shape], data: Float64Array.from(data) };
}

/** An array computed element by element from its index. */
export function build(shape: readonly number[], f: (index: number[]) => number): Arr {
  const data = new Float64Array(sizeOf(shape));
  const index = new Array<number>(shape.length).fill(0);
  for (let i = 0; i < data.length; i++) {
    data[i] = f(index);
    for (let a = shape.length - 1; a >= 0; a--) {
      if (++index[a]! < shape[a]!) break;
      index[a] = 0;
    }
  }
  return { shape: [...shape], data };
}

/** Element at an index; axes of extent 1 are broadcast, missing leading axes ignored. */
export function at(x: Arr, index: readonly number[]): number {
  const skip = index.length - x.shape.length;
  let offset = 0;
  for (let a = 0; a < x.shape.length; a++) {
    offset = offset * x.shape[a]! + (x.shape[a] === 1 ? 0 : index[a + skip]!);
  }
  return x.data[offset]!;
}

/** NumPy's right-aligned broadcast shape. */
export function broadcastShape(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((s) => s.length));
  return Array.from({ length: rank }, (_, a) => {
    const extents = shapes.map((s) => s[a - rank + s.length] ?? 1).filter((d) => d !== 1);
    if (new Set(extents).size > 1) throw new Error(`shapes ${JSON.stringify(shapes)} do not broadcast`);
    return extents[0] ?? 1;
  });
}

/** f(x) element by element. */
export function map(x: Arr, f: (v: number) => number): Arr {
  return { shape: [...x.shape], data: x.data.map(f) };
}

/** f over broadcast operands. */
export function zip(operands: readonly Arr[], f: (...v: number[]) => number): Arr {
  const shape = broadcastShape(...operands.map((o) => o.shape));
  return build(shape, (i) => f(...operands.map((o) => at(o, i))));
}

/** erf by its Taylor series below 3, by Lentz's continued fraction of erfc above. */
export function erf(x: number): number {
  if (Number.isNaN(x)) return NaN;
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = a, sum = a;
    for (let n = 1; Math.abs(term) > 1e-18 * sum && n < 200; n++) {
      term *= -a * a / n;
      sum += term / (2 * n + 1);
    }
    return Math.sign(x) * sum * 2 / Math.sqrt(Math.PI);
  }
  let t = a;
  for (let k = 200; k > 0; k--) t = a + (k / 2) / t;
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * t));
}

/** x[.., M, K] . y[.., K, N], leading axes broadcast. */
export function matmul(x: Arr, y: Arr): Arr {
  const [m, k] = x.shape.slice(-2) as [number, number];
  const n = y.shape.at(-1)!;
  const batch = broadcastShape(x.shape.slice(0, -2), y.shape.slice(0, -2));
  if (y.shape.at(-2) !== k) throw new Error(`matmul: [${x.shape}] and [${y.shape}]`);
  return build([...batch, m, n], (index) => {
    const lead = index.slice(0, -2), i = index.at(-2)!, j = index.at(-1)!;
    let sum = 0;
    for (let p = 0; p < k; p++) sum += at(x, [...lead, i, p]) * at(y, [...lead, p, j]);
    return sum;
  });
}

/** Axes permuted: result axis a is source axis perm[a]. */
export function transpose(x: Arr, perm: readonly number[]): Arr {
  const source = new Array<number>(perm.length);
  return build(perm.map((p) => x.shape[p]!), (index) => {
    perm.forEach((p, a) => source[p] = index[a]!);
    return at(x, source);
  });
}

/** Row-major reinterpretation. */
export function reshape(x: Arr, shape: readonly number[]): Arr {
  return arr(shape, x.data);
}

/** f over the elements along `axes`, which stay with extent 1. */
export function reduce(x: Arr, axes: readonly number[], f: (values: number[]) => number): Arr {
  const norm = new Set(axes.map((a) => (a + x.shape.length) % x.shape.length));
  const shape = x.shape.map((d, a) => norm.has(a) ? 1 : d);
  const inner = x.shape.map((d, a) => norm.has(a) ? d : 1);
  return build(shape, (index) => {
    const values: number[] = [];
    build(inner, (j) => values.push(at(x, index.map((v, a) => norm.has(a) ? j[a]! : v))));
    return f(values);
  });
}

/** Sum. */
export function total(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

/** Arithmetic mean. */
export function average(values: readonly number[]): number {
  return total(values) / values.length;
}

/** exp(x - max) / sum along one axis. */
export function softmax(x: Arr, axis: number): Arr {
  const max = reduce(x, [axis], (v) => Math.max(...v));
  const e = zip([x, max], (v, m) => Math.exp(v - m));
  return zip([e, reduce(e, [axis], total)], (v, s) => v / s);
}

/** (x - mean) / sqrt(var + eps) over `axes`, population variance. */
export function standardize(x: Arr, axes: readonly number[], eps: number): Arr {
  const centred = zip([x, reduce(x, axes, average)], (v, m) => v - m);
  const variance = reduce(centred, axes, (v) => average(v.map((d) => d * d)));
  return zip([centred, variance], (v, s) => v / Math.sqrt(s + eps));
}

/** Geometry of a 2-D window. pad = top, bottom, left, right. */
export interface Window {
  /** Step, [vertical, horizontal]. */
  stride: readonly [number, number];
  /** Zeros around the input: top, bottom, left, right. */
  pad: readonly [number, number, number, number];
  /** Distance of neighbouring taps, [vertical, horizontal]. */
  dilation: readonly [number, number];
  /** Channel groups. */
  groups: number;
}

/**
 * Cross-correlation, NCHW; w [Cout, Cin/g, kH, kW]:
 * y[n,o,i,j] = sum x[n, c, i*s + u*d - top, j*s + v*d - left] * w[o,c,u,v].
 */
export function conv(x: Arr, w: Arr, { stride, pad, dilation, groups }: Window): Arr {
  const [N, , H, W] = x.shape as [number, number, number, number];
  const [cout, cpg, kh, kw] = w.shape as [number, number, number, number];
  const oh = Math.floor((H + pad[0] + pad[1] - dilation[0] * (kh - 1) - 1) / stride[0]) + 1;
  const ow = Math.floor((W + pad[2] + pad[3] - dilation[1] * (kw - 1) - 1) / stride[1]) + 1;
  return build([N, cout, oh, ow], (index) => {
    const [n, o, i, j] = index as [number, number, number, number];
    const base = Math.floor(o / (cout / groups)) * cpg;
    let sum = 0;
    for (let c = 0; c < cpg; c++) {
      for (let u = 0; u < kh; u++) {
        for (let v = 0; v < kw; v++) {
          const h = i * stride[0] + u * dilation[0] - pad[0], q = j * stride[1] + v * dilation[1] - pad[2];
          if (h >= 0 && h < H && q >= 0 && q < W) sum += at(x, [n, base + c, h, q]) * at(w, [o, c, u, v]);
        }
      }
    }
    return sum;
  });
}

/**
 * Transposed convolution; w [Cin, Cout/g, kH, kW]: every input pixel adds x * w at (h*s + u*d, w*s + v*d) of the full
 * result, which is then cropped by pad.
 */
export function convTranspose(x: Arr, w: Arr, { stride, pad, dilation, groups }: Window): Arr {
  const [N, cin, H, W] = x.shape as [number, number, number, number];
  const [, cpg, kh, kw] = w.shape as [number, number, number, number];
  const oh = (H - 1) * stride[0] + dilation[0] * (kh - 1) + 1 - pad[0] - pad[1];
  const ow = (W - 1) * stride[1] + dilation[1] * (kw - 1) + 1 - pad[2] - pad[3];
  const cout = cpg * groups;
  const y = new Float64Array(N * cout * oh * ow);
  build([N, cin, H, W, cpg, kh, kw], (index) => {
    const [n, c, h, q, o, u, v] = index as [number, number, number, number, number, number, number];
    const i = h * stride[0] + u * dilation[0] - pad[0], j = q * stride[1] + v * dilation[1] - pad[2];
    if (i >= 0 && i < oh && j >= 0 && j < ow) {
      const channel = Math.floor(c / (cin / groups)) * cpg + o;
      y[((n * cout + channel) * oh + i) * ow + j]! += at(x, [n, c, h, q]) * at(w, [c, o, u, v]);
    }
    return 0;
  });
  return arr([N, cout, oh, ow], y);
}

/** Pooling over k x k windows with symmetric padding: `f` sees the cells inside the image and the window's area. */
export function pool(
  x: Arr,
  out: readonly number[],
  k: number,
  stride: number,
  pad: number,
  f: (cells: number[], area: number) => number,
): Arr {
  const [, , H, W] = x.shape as [number, number, number, number];
  return build(out, (index) => {
    const [n, c, i, j] = index as [number, number, number, number];
    const cells: number[] = [];
    for (let u = 0; u < k; u++) {
      for (let v = 0; v < k; v++) {
        const h = i * stride + u - pad, w = j * stride + v - pad;
        if (h >= 0 && h < H && w >= 0 && w < W) cells.push(at(x, [n, c, h, w]));
      }
    }
    return f(cells, k * k);
  });
}

/** Source coordinate of an output coordinate. */
export type Grid = (i: number, inSize: number, outSize: number) => number;

/** The bilinear grids by name. */
export const GRIDS = {
  asymmetric: (i, n, m) => i * n / m,
  alignCorners: (i, n, m) => m === 1 ? (n - 1) / 2 : i * (n - 1) / (m - 1),
  halfPixel: (i, n, m) => (i + 0.5) * n / m - 0.5,
} as const satisfies Record<string, Grid>;

/** Bilinear resize of the last two axes; the coordinate is clamped to the image. */
export function bilinear(x: Arr, th: number, tw: number, grid: Grid): Arr {
  const [N, C, H, W] = x.shape as [number, number, number, number];
  const sample = (i: number, n: number, m: number): [number, number, number] => {
    const g = Math.min(Math.max(grid(i, n, m), 0), n - 1);
    const lo = Math.floor(g);
    return [lo, Math.min(lo + 1, n - 1), g - lo];
  };
  return build([N, C, th, tw], (index) => {
    const [n, c, i, j] = index as [number, number, number, number];
    const [h0, h1, fh] = sample(i, H, th), [w0, w1, fw] = sample(j, W, tw);
    const top = at(x, [n, c, h0, w0]) * (1 - fw) + at(x, [n, c, h0, w1]) * fw;
    const bottom = at(x, [n, c, h1, w0]) * (1 - fw) + at(x, [n, c, h1, w1]) * fw;
    return top * (1 - fh) + bottom * fh;
  });
}

/**
 * Affine resampling. Output pixel centres in [-1, 1] are mapped by x' = a0 x + a1 y + a2, y' = a3 x + a4 y + a5 and sampled
 * bilinearly, zero outside.
 */
export function affine(x: Arr, m: Arr, oh: number, ow: number, alignCorners: boolean): Arr {
  const [N, C, H, W] = x.shape as [number, number, number, number];
  const unit = (i: number, n: number): number =>
    alignCorners ? (n === 1 ? 0 : -1 + 2 * i / (n - 1)) : (2 * i + 1) / n - 1;
  const pixel = (c: number, n: number): number => alignCorners ? (c + 1) / 2 * (n - 1) : ((c + 1) * n - 1) / 2;
  const inside = (n: number, c: number, h: number, w: number): number =>
    h >= 0 && h < H && w >= 0 && w < W ? at(x, [n, c, h, w]) : 0;
  return build([N, C, oh, ow], (index) => {
    const [n, c, i, j] = index as [number, number, number, number];
    const a = (k: number): number => m.data[(m.shape[0] === 1 ? 0 : n) * 6 + k]!;
    const u = unit(j, ow), v = unit(i, oh);
    const px = pixel(a(0) * u + a(1) * v + a(2), W), py = pixel(a(3) * u + a(4) * v + a(5), H);
    const w0 = Math.floor(px), h0 = Math.floor(py), fw = px - w0, fh = py - h0;
    return inside(n, c, h0, w0) * (1 - fh) * (1 - fw) + inside(n, c, h0, w0 + 1) * (1 - fh) * fw +
      inside(n, c, h0 + 1, w0) * fh * (1 - fw) + inside(n, c, h0 + 1, w0 + 1) * fh * fw;
  });
}

/** out[n, c, h*r+i, w*r+j] = in[n, c*r*r + i*r + j, h, w]. */
export function pixelShuffle(x: Arr, r: number): Arr {
  const [N, C, H, W] = x.shape as [number, number, number, number];
  return build(
    [N, C / (r * r), H * r, W * r],
    ([n, c, h, w]) => at(x, [n!, c! * r * r + (h! % r) * r + (w! % r), Math.floor(h! / r), Math.floor(w! / r)]),
  );
}

/** out[n, c*r*r + i*r + j, h, w] = in[n, c, h*r+i, w*r+j]. */
export function pixelUnshuffle(x: Arr, r: number): Arr {
  const [N, C, H, W] = x.shape as [number, number, number, number];
  return build([N, C * r * r, H / r, W / r], ([n, c, h, w]) => {
    const part = c! % (r * r);
    return at(x, [n!, Math.floor(c! / (r * r)), h! * r + Math.floor(part / r), w! * r + part % r]);
  });
}

/** out[n, (i*b+j)*C + c, h, w] = in[n, c, h*b+i, w*b+j]. */
export function spaceToDepth(x: Arr, b: number): Arr {
  const [N, C, H, W] = x.shape as [number, number, number, number];
  return build([N, C * b * b, H / b, W / b], ([n, o, h, w]) => {
    const block = Math.floor(o! / C);
    return at(x, [n!, o! % C, h! * b + Math.floor(block / b), w! * b + block % b]);
  });
}

/** out[n, c, h*b+i, w*b+j] = in[n, (i*b+j)*C' + c, h, w], C' = C / b^2. */
export function depthToSpace(x: Arr, b: number): Arr {
  const [N, C, H, W] = x.shape as [number, number, number, number];
  const cout = C / (b * b);
  return build(
    [N, cout, H * b, W * b],
    ([n, c, h, w]) => at(x, [n!, ((h! % b) * b + w! % b) * cout + c!, Math.floor(h! / b), Math.floor(w! / b)]),
  );
}

/** out[(n*bh+i)*bw+j, c, h, w] = in[n, c, h*bh+i, w*bw+j]. */
export function spaceToBatch(x: Arr, bh: number, bw: number): Arr {
  const [N, C, H, W] = x.shape as [number, number, number, number];
  return build([N * bh * bw, C, H / bh, W / bw], ([b, c, h, w]) => {
    const j = b! % bw, i = Math.floor(b! / bw) % bh, n = Math.floor(b! / (bh * bw));
    return at(x, [n, c!, h! * bh + i, w! * bw + j]);
  });
}

/** out[n, c, h*bh+i, w*bw+j] = in[(n*bh+i)*bw+j, c, h, w]. */
export function batchToSpace(x: Arr, bh: number, bw: number): Arr {
  const [B, C, H, W] = x.shape as [number, number, number, number];
  return build(
    [B / (bh * bw), C, H * bh, W * bw],
    ([n, c, h, w]) => at(x, [(n! * bh + h! % bh) * bw + w! % bw, c!, Math.floor(h! / bh), Math.floor(w! / bw)]),
  );
}

/** x / (k + scale * sum of squares over neighbouring channels)^beta; window c-(size-1)//2 .. c+size//2, clipped. */
export function localResponseNorm(x: Arr, size: number, scale: number, beta: number, k: number): Arr {
  const C = x.shape[1]!;
  return build(x.shape, (index) => {
    const c = index[1]!;
    let sum = 0;
    for (let j = c - Math.floor((size - 1) / 2); j <= c + Math.floor(size / 2); j++) {
      if (j < 0 || j >= C) continue;
      const v = at(x, [index[0]!, j, ...index.slice(2)]);
      sum += v * v;
    }
    return at(x, index) / (k + scale * sum) ** beta;
  });
}

/** Parts of the arrays one behind the other along an axis. */
export function concat(parts: readonly Arr[], axis: number): Arr {
  const shape = [...parts[0]!.shape];
  shape[axis] = total(parts.map((p) => p.shape[axis]!));
  return build(shape, (index) => {
    let i = index[axis]!;
    for (const part of parts) {
      if (i < part.shape[axis]!) return at(part, index.map((v, a) => a === axis ? i : v));
      i -= part.shape[axis]!;
    }
    throw new Error("concat: index outside");
  });
}
