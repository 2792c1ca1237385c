/**
 * Einstein summation from transposes, reshapes, products and sums.
 *
 * @module
 */

import { ArgumentError, ShapeError, UnsupportedOpError } from "../errors.ts";
import { NDArray } from "../graph/ndarray.ts";
import { type Shape, show, sizeOf } from "../graph/shape.ts";
import { Tensor } from "../graph/tensor.ts";

/** A value and the letter of each of its axes. */
interface Term {
  t: Tensor;
  letters: string[];
}

const ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** Letters of one subscript, with `...` replaced by the last `rank - letters` of the free ones. */
function expand(subscript: string, rank: number, free: readonly string[]): string[] {
  const [before, after] = subscript.split("...");
  if (after === undefined) return [...subscript];
  const count = Math.max(rank - before!.length - after.length, 0);
  return [...before!, ...free.slice(free.length - count), ...after];
}

interface Equation {
  inputs: string[][];
  output: string[];
}

/** Splits an equation into the letters of each operand and of the result. */
function parse(equation: string, operands: readonly Tensor[]): Equation {
  const [left = "", right, extra] = equation.replaceAll(" ", "").split("->");
  if (extra !== undefined) throw new ArgumentError(`einsum: equation ${equation} has more than one arrow`);
  const subscripts = left.split(",");
  if (subscripts.length !== operands.length) {
    throw new ArgumentError(
      `einsum: equation ${equation} has ${subscripts.length} operand(s), but ${operands.length} tensor(s) were given`,
    );
  }
  for (const subscript of right === undefined ? subscripts : [...subscripts, right]) {
    const wrong = [...subscript.replace("...", "")].find((ch) => !ALPHABET.includes(ch));
    if (wrong !== undefined) throw new ArgumentError(`einsum: ${wrong} in subscript ${subscript} is not a letter`);
  }
  const hidden = subscripts.map((subscript, i) =>
    subscript.includes("...") ? operands[i]!.rank - (subscript.length - 3) : 0
  );
  const free = [...ALPHABET].filter((ch) => !equation.includes(ch)).slice(0, Math.max(...hidden, 0));
  const inputs = subscripts.map((subscript, i) => expand(subscript, operands[i]!.rank, free));
  if (right === undefined) {
    const all = inputs.flat();
    const once = [...new Set(all)].filter((ch) => !free.includes(ch) && all.indexOf(ch) === all.lastIndexOf(ch));
    return { inputs, output: [...free, ...once.sort()] };
  }
  if (free.length > 0 && !right.includes("...")) {
    throw new ArgumentError(
      `einsum: the result ${right} of ${equation} leaves out the axes of the ellipsis; write ...`,
    );
  }
  return { inputs, output: expand(right, free.length + right.replace("...", "").length, free) };
}

/** Checks ranks, extents and the result's letters. */
function checkEquation(equation: string, { inputs, output }: Equation, operands: readonly Tensor[]): void {
  const extents = new Map<string, number>();
  inputs.forEach((letters, i) => {
    const { shape } = operands[i]!;
    if (letters.length !== shape.length) {
      throw new ShapeError(
        `einsum: operand ${i} of ${equation} has shape ${show(shape)}; its subscript names ${letters.length} axes`,
      );
    }
    letters.forEach((letter, axis) => {
      const known = extents.get(letter);
      if (known !== undefined && known !== shape[axis]) {
        const what = equation.includes(letter) ? `index ${letter}` : "an axis of the ellipsis";
        throw new ShapeError(
          `einsum: ${what} of ${equation} is ${known}, but ${shape[axis]} in operand ${i} ${show(shape)}`,
        );
      }
      extents.set(letter, shape[axis]!);
    });
  });
  const unknown = output.find((letter) => !extents.has(letter));
  if (unknown !== undefined) {
    throw new ArgumentError(`einsum: index ${unknown} of the result of ${equation} is in no operand`);
  }
  if (new Set(output).size !== output.length) {
    throw new UnsupportedOpError(
      `einsum: ${equation} repeats an index in the result; the device cannot write to a diagonal. Multiply by an identity matrix`,
    );
  }
}

/** Keeps the diagonal of axes that share a letter: times an identity matrix, summed over the second of them. */
function diagonal({ t, letters }: Term): Term {
  const repeated = letters.filter((letter, axis) => letters.indexOf(letter) !== axis).sort()[0];
  if (repeated === undefined) return { t, letters };
  const first = letters.indexOf(repeated);
  const second = letters.indexOf(repeated, first + 1);
  const n = t.shape[first]!;
  const identity = new Float32Array(n * n);
  for (let i = 0; i < n; i++) identity[i * n + i] = 1;
  const shape = t.shape.map((_, axis) => (axis === first || axis === second ? n : 1));
  const kept = t.mul(new NDArray(identity, shape)).sum(second).squeeze(second);
  return diagonal({ t: kept, letters: letters.toSpliced(second, 1) });
}

/** Sums over the axes whose letters are not in `keep`. */
function sumOut({ t, letters }: Term, keep: ReadonlySet<string>): Term {
  const axes = letters.flatMap((letter, axis) => (keep.has(letter) ? [] : [axis]));
  if (axes.length === 0) return { t, letters };
  const shape = t.shape.filter((_, axis) => !axes.includes(axis));
  return {
    t: t.sum(axes).reshape(shape.length === 0 ? [1] : shape),
    letters: letters.filter((letter) => keep.has(letter)),
  };
}

/** Axes in the order of `order`, which names the same letters. */
function align({ t, letters }: Term, order: readonly string[]): Tensor {
  const perm = order.map((letter) => letters.indexOf(letter));
  return perm.every((axis, i) => axis === i) ? t : t.transpose(perm);
}

/** Product of two terms, summed over letters that are not in `keep`. */
function contract(left: Term, right: Term, keep: ReadonlySet<string>): Term {
  const a = sumOut(left, new Set([...keep, ...right.letters]));
  const b = sumOut(right, new Set([...keep, ...left.letters]));
  const shared = a.letters.filter((letter) => b.letters.includes(letter));
  const batch = shared.filter((letter) => keep.has(letter));
  const summed = shared.filter((letter) => !keep.has(letter));
  const rows = a.letters.filter((letter) => !shared.includes(letter));
  const columns = b.letters.filter((letter) => !shared.includes(letter));
  const letters = [...batch, ...rows, ...columns];
  if (summed.length === 0) return { t: spread(a, letters).mul(spread(b, letters)), letters };
  const extents = (term: Term, names: readonly string[]): Shape =>
    names.map((name) => term.t.shape[term.letters.indexOf(name)]!);
  const [B, M, K, N] = [extents(a, batch), extents(a, rows), extents(a, summed), extents(b, columns)];
  const lead = batch.length > 0 ? [sizeOf(B)] : [];
  const x = align(a, [...batch, ...rows, ...summed]).reshape([...lead, sizeOf(M), sizeOf(K)]);
  const y = align(b, [...batch, ...summed, ...columns]).reshape([...lead, sizeOf(K), sizeOf(N)]);
  const shape = [...B, ...M, ...N];
  return { t: x.matmul(y).reshape(shape.length === 0 ? [1] : shape), letters };
}

/** A term with an axis of extent 1 for every letter it lacks. */
function spread(term: Term, letters: readonly string[]): Tensor {
  const own = letters.filter((letter) => term.letters.includes(letter));
  const aligned = align(term, own);
  if (own.length === letters.length) return aligned;
  return aligned.reshape(letters.map((letter) => {
    const axis = own.indexOf(letter);
    return axis < 0 ? 1 : aligned.shape[axis]!;
  }));
}

/**
 * Einstein summation of computed tensors: any equation NumPy takes, except repeated indices in the result and ellipsis axes
 * of different extents. Operands are combined from left to right, each pair as one batched product.
 *
 * @param equation Subscripts such as `bij,bjk->bik`; `...` stands for leading axes, a letter twice in one operand for its
 * diagonal. Without an arrow the result has the letters that occur once, sorted.
 * @param operands One tensor per subscript.
 * @returns The result; one element of shape `[1]` when no index is left.
 * @throws {ArgumentError} when the equation is malformed or an operand is not a tensor.
 * @throws {ShapeError} when ranks or extents disagree.
 * @throws {UnsupportedOpError} for a repeated index in the result.
 * @example
 * ```ts
 * einsum("bhqd,bhkd->bhqk", q, k); // scores of attention
 * einsum("...ii->...", input([2, 4, 4])); // traces, [2]
 * ```
 */
export function einsum(equation: string, ...operands: readonly Tensor[]): Tensor {
  if (operands.length === 0) throw new ArgumentError("einsum: no operands given; expected at least one tensor");
  operands.forEach((operand, i) => {
    if (!(operand instanceof Tensor)) {
      throw new ArgumentError(`einsum: operand ${i} is not a Tensor; bake numbers with constant`);
    }
  });
  const parsed = parse(equation, operands);
  checkEquation(equation, parsed, operands);
  const terms = operands.map((t, i) => diagonal({ t, letters: parsed.inputs[i]! }));
  let result = terms[0]!;
  for (let i = 1; i < terms.length; i++) {
    const later = terms.slice(i + 1).flatMap(({ letters }) => letters);
    result = contract(result, terms[i]!, new Set([...parsed.output, ...later]));
  }
  return align(sumOut(result, new Set(parsed.output)), parsed.output);
}
