/**
 * Handwriting-like digits, drawn from strokes: what the digit examples learn when there is no MNIST at hand.
 *
 * Each digit has a few skeletons of polylines and arcs in the unit square. A sample takes one, moves its points, applies
 * a random affine map, draws it with a pen of random width, and adds gaps, specks and noise.
 *
 * @module
 */

import type { LabelledImages } from "../../src/data/idx.ts";
import { Random } from "../../src/random.ts";

/** Height and width of a drawing. */
export const SIDE = 28;

type Point = readonly [number, number];

/** Points of an elliptic arc, angles in degrees, clockwise from the right (y points down). */
function arc(cx: number, cy: number, rx: number, ry: number, from: number, to: number): Point[] {
  const steps = Math.max(3, Math.ceil(Math.abs(to - from) / 30));
  return Array.from({ length: steps + 1 }, (_, i): Point => {
    const t = (from + (to - from) * i / steps) * Math.PI / 180;
    return [cx + rx * Math.cos(t), cy + ry * Math.sin(t)];
  });
}

/** SKELETONS[digit] = variants, each a list of strokes. */
const SKELETONS: readonly (readonly (readonly Point[])[])[][] = [
  [[arc(0.5, 0.5, 0.27, 0.4, -90, 270)], [arc(0.5, 0.5, 0.2, 0.42, -70, 285)]],
  [[[[0.5, 0.1], [0.5, 0.9]]], [[[0.36, 0.26], [0.54, 0.1], [0.54, 0.9]]], [
    [[0.38, 0.26], [0.52, 0.1], [0.52, 0.9]],
    [[0.34, 0.9], [0.7, 0.9]],
  ]],
  [[[...arc(0.5, 0.32, 0.24, 0.22, -160, 30), [0.26, 0.9], [0.77, 0.9]]], [
    [...arc(0.5, 0.3, 0.22, 0.2, -170, 40), [0.34, 0.76]],
    arc(0.36, 0.8, 0.1, 0.09, 0, 360),
    [[0.38, 0.84], [0.8, 0.88]],
  ]],
  [[[...arc(0.47, 0.29, 0.23, 0.19, -150, 80)], [...arc(0.47, 0.69, 0.26, 0.21, -80, 150)]], [
    [[0.26, 0.12], [0.72, 0.12], [0.46, 0.44]],
    arc(0.47, 0.67, 0.25, 0.23, -90, 145),
  ]],
  [[[[0.6, 0.1], [0.24, 0.62], [0.8, 0.62]], [[0.62, 0.36], [0.62, 0.92]]], [
    [[0.3, 0.12], [0.28, 0.5], [0.72, 0.5]],
    [[0.7, 0.12], [0.68, 0.92]],
  ]],
  [[[[0.74, 0.11], [0.33, 0.11], [0.3, 0.45]], arc(0.46, 0.65, 0.27, 0.24, -125, 140)], [
    [[0.34, 0.14], [0.3, 0.46]],
    arc(0.46, 0.66, 0.25, 0.23, -120, 150),
    [[0.34, 0.13], [0.76, 0.11]],
  ]],
  [[[...arc(0.72, 0.5, 0.44, 0.42, -110, -190)], arc(0.5, 0.68, 0.22, 0.22, 0, 360)], [
    [[0.6, 0.09], [0.36, 0.42], [0.29, 0.68]],
    arc(0.5, 0.7, 0.21, 0.2, -180, 180),
  ]],
  [[[[0.24, 0.13], [0.76, 0.13], [0.42, 0.9]]], [[[0.24, 0.13], [0.76, 0.13], [0.44, 0.9]], [[0.36, 0.5], [
    0.72,
    0.5,
  ]]]],
  [[arc(0.5, 0.3, 0.2, 0.19, -90, 270), arc(0.5, 0.7, 0.24, 0.21, -90, 270)], [
    [...arc(0.5, 0.3, 0.2, 0.19, -20, -270), ...arc(0.5, 0.7, 0.22, 0.21, -90, 200), [0.64, 0.38]],
  ]],
  [[arc(0.5, 0.32, 0.22, 0.22, 0, 360), [[0.72, 0.32], [0.66, 0.9]]], [
    arc(0.5, 0.32, 0.21, 0.21, -20, 340),
    [[0.7, 0.26], [0.71, 0.6], [0.6, 0.86], [0.36, 0.88]],
  ]],
];

/** Adds a line of the given half width to the ink, as 1 - (distance - radius) clipped to [0, 1]. */
function ink(canvas: Float64Array, a: Point, b: Point, radius: number): void {
  const [ax, ay] = a, dx = b[0] - ax, dy = b[1] - ay;
  const length2 = dx * dx + dy * dy || 1e-9;
  const reach = radius + 1;
  const clip = (v: number): number => Math.min(Math.max(v, 0), SIDE - 1);
  const [x0, x1] = [clip(Math.floor(Math.min(ax, b[0]) - reach)), clip(Math.ceil(Math.max(ax, b[0]) + reach))];
  const [y0, y1] = [clip(Math.floor(Math.min(ay, b[1]) - reach)), clip(Math.ceil(Math.max(ay, b[1]) + reach))];
  for (let y = y0; y <= y1; y++) {
    for (let x = x0; x <= x1; x++) {
      const t = Math.min(Math.max(((x - ax) * dx + (y - ay) * dy) / length2, 0), 1);
      const ex = x - ax - t * dx, ey = y - ay - t * dy;
      const v = 1 - (Math.sqrt(ex * ex + ey * ey) - radius);
      if (v > canvas[y * SIDE + x]!) canvas[y * SIDE + x] = Math.min(v, 1);
    }
  }
}

/** A random map from the unit square to the canvas: rotation, slant, scale and shift around the centre. */
function placement(random: Random): (p: Point) => Point {
  const angle = random.normal() * 0.14, slant = random.normal() * 0.2;
  const sx = 21 * random.uniform(0.72, 1.08), sy = 22 * random.uniform(0.78, 1.05);
  const cx = SIDE / 2 - 0.5 + random.normal() * 1.1, cy = SIDE / 2 - 0.5 + random.normal() * 1.1;
  const cos = Math.cos(angle), sin = Math.sin(angle);
  return ([x, y]) => {
    const v = (y - 0.5) * sy, u = (x - 0.5) * sx - slant * v;
    return [cx + cos * u - sin * v, cy + sin * u + cos * v];
  };
}

/** Draws one digit into `out` (SIDE * SIDE bytes, 0 = paper, 255 = ink). */
export function drawDigit(digit: number, random: Random, out: Uint8Array): void {
  const variants = SKELETONS[digit]!;
  const strokes = variants[random.below(variants.length)]!;
  const place = placement(random);
  const radius = random.uniform(0.5, 1.5);
  const wobble = random.uniform(0.012, 0.045);
  const canvas = new Float64Array(SIDE * SIDE);
  for (const stroke of strokes) {
    const points = stroke.map(([x, y]) => place([x + random.normal() * wobble, y + random.normal() * wobble]));
    for (let i = 1; i < points.length; i++) {
      if (points.length > 3 && random.uniform() < 0.04) continue; // the pen lifts
      ink(canvas, points[i - 1]!, points[i]!, radius * random.uniform(0.85, 1.15));
    }
  }
  if (random.uniform() < 0.35) { // a speck or a stray line
    const from: Point = [random.uniform(0, SIDE), random.uniform(0, SIDE)];
    const length = random.uniform(0, 7), angle = random.uniform(0, 2 * Math.PI);
    ink(
      canvas,
      from,
      [from[0] + length * Math.cos(angle), from[1] + length * Math.sin(angle)],
      random.uniform(0.3, 0.9),
    );
  }
  const strength = random.uniform(0.65, 1), noise = random.uniform(0, 0.09);
  for (let i = 0; i < canvas.length; i++) {
    const v = canvas[i]! * strength + random.normal() * noise;
    out[i] = Math.round(255 * Math.min(Math.max(v, 0), 1));
  }
}

/**
 * Draws `count` digits, the classes in turn. The same seed gives the same bytes.
 *
 * @example
 * ```ts
 * const test = drawDigits(1000, 1);
 * ```
 */
export function drawDigits(count: number, seed: number): LabelledImages {
  const random = new Random(seed);
  const pixels = SIDE * SIDE;
  const images = new Uint8Array(count * pixels);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 10);
  for (let i = 0; i < count; i++) drawDigit(labels[i]!, random, images.subarray(i * pixels, (i + 1) * pixels));
  return { count, pixels, images, labels };
}
