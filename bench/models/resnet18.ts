/**
 * ResNet-18 for images of 224 x 224, batch normalisation folded into the convolutions.
 *
 * @module
 */

import { conv } from "../../src/graph/functions.ts";
import { NDArray } from "../../src/graph/ndarray.ts";
import { input, type Tensor } from "../../src/graph/tensor.ts";
import type { Random } from "../../src/random.ts";

/** A convolution with its bias. */
export interface Convolution {
  /** `[Cout, Cin, k, k]`. */
  weight: NDArray;
  /** `[Cout]`. */
  bias: NDArray;
  stride: number;
  pad: number;
}

/** Two 3 x 3 convolutions and, where the shape changes, a 1 x 1 one beside them. */
export interface Block {
  first: Convolution;
  second: Convolution;
  shortcut?: Convolution;
}

/** Weights of the network. */
export interface ResnetWeights {
  stem: Convolution;
  blocks: readonly Block[];
  /** `[1000, 512]`. */
  classifier: NDArray;
  /** `[1000]`. */
  classifierBias: NDArray;
}

/** Random weights that keep the size of the activations: He's for a rectified sum, half the variance for the second half of a block. */
export function randomResnetWeights(random: Random): ResnetWeights {
  const array = (shape: number[], scale: number): NDArray =>
    new NDArray(random.normals(shape.reduce((a, b) => a * b), scale), shape);
  const layer = (cin: number, cout: number, k: number, stride: number, gain: number): Convolution => ({
    weight: array([cout, cin, k, k], Math.sqrt(gain / (cin * k * k))),
    bias: array([cout], 0.05),
    stride,
    pad: (k - 1) / 2,
  });
  const blocks: Block[] = [];
  let cin = 64;
  for (const [stage, cout] of [64, 128, 256, 512].entries()) {
    for (const place of [0, 1]) {
      const stride = stage > 0 && place === 0 ? 2 : 1;
      const shortcut = cin === cout && stride === 1 ? undefined : layer(cin, cout, 1, stride, 1);
      blocks.push({ first: layer(cin, cout, 3, stride, 2), second: layer(cout, cout, 3, 1, 0.5), shortcut });
      cin = cout;
    }
  }
  return {
    stem: layer(3, 64, 7, 2, 2),
    blocks,
    classifier: array([1000, 512], Math.sqrt(1 / 512)),
    classifierBias: array([1000], 0.05),
  };
}

/**
 * Builds the network.
 *
 * @param w Its weights.
 * @returns The input `[1, 3, 224, 224]` and the logits `[1, 1000]`.
 */
export function resnet18(w: ResnetWeights): { image: Tensor; logits: Tensor } {
  const apply = (x: Tensor, { weight, bias, stride, pad }: Convolution): Tensor =>
    conv(x, weight, { bias, stride, pad });
  const image = input([1, 3, 224, 224]);
  let x = apply(image, w.stem).relu().maxPool(3, { stride: 2, pad: 1 });
  for (const { first, second, shortcut } of w.blocks) {
    x = apply(apply(x, first).relu(), second).add(shortcut ? apply(x, shortcut) : x).relu();
  }
  return { image, logits: x.mean([2, 3]).reshape([1, 512]).linear(w.classifier, w.classifierBias) };
}
