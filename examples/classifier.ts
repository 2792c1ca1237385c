/**
 * A small image classifier with random weights: a graph for the command line, `deno task aneforge run
 * examples/classifier.ts`.
 *
 * @module
 */

import { array, conv, input, Random, type Tensor } from "../mod.ts";

/**
 * The graph: three convolutions, the mean over the image, a matrix product, probabilities.
 *
 * @returns Probabilities of ten classes, [1, 10].
 */
export default function classifier(): Tensor {
  const random = new Random(0);
  const weight = (...shape: number[]) => {
    const fanIn = shape.length === 4 ? shape[1]! * shape[2]! * shape[3]! : shape[0]!;
    return array(random.normals(shape.reduce((a, b) => a * b), Math.sqrt(2 / fanIn)), shape);
  };
  let image = input([1, 3, 64, 64]);
  for (const [from, to] of [[3, 32], [32, 64], [64, 128]] as const) {
    image = conv(image, weight(to, from, 3, 3), { pad: 1, stride: 2 }).gelu();
  }
  return image.mean([2, 3]).reshape([1, 128]).matmul(weight(128, 10)).softmax();
}
