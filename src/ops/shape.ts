/**
 * Operations that move elements without computing.
 *
 * @module
 */

import { ArgumentError, ShapeError } from "../errors.ts";
import { checkInteger } from "../graph/check.ts";
import { defineOp, type OpDef } from "../graph/op.ts";
import { normalizeAxes, normalizeAxis, sameShape, type Shape, show, sizeOf } from "../graph/shape.ts";
import type { Tensor } from "../graph/tensor.ts";
import { tensorType } from "../mil/text.ts";
import { embed, sumTiles } from "./gradients.ts";

/** Resolves one extent of -1 from the number of elements. */
function resolveReshape(from: Shape, to: Shape): Shape {
  const size = sizeOf(from);
  const known = sizeOf(to.filter((extent) => extent !== -1));
  const free = to.filter((extent) => extent === -1).length;
  if (free > 1) throw new ShapeError(`reshape: shape ${show(to)} leaves ${free} extents open; at most one may be -1`);
  const result = to.map((extent) => (extent === -1 ? size / known : extent));
  if (!result.every((extent) => Number.isInteger(extent) && extent >= 1) || sizeOf(result) !== size) {
    throw new ShapeError(
      `reshape: ${show(from)} has ${size} elements, which shape ${show(to)} does not hold` +
        (free === 1 ? `: ${size} is not a multiple of ${known}` : ` (it holds ${known})`),
    );
  }
  return result;
}

const unit = (shape: Shape, axis: number, at: number): number[] => shape.map((_, i) => (i === axis ? at : 0));

const back = ({ inputs: [x], g }: { inputs: readonly Tensor[]; g: Tensor }): Tensor[] => [g.reshape(x!.shape)];

/** All operands of concat must agree on every axis but one; for stack on every axis. */
function checkParts(op: string, parts: readonly Tensor[], axis: number | null): void {
  const first = parts[0]!.shape;
  parts.forEach(({ shape }, i) => {
    const agrees = shape.length === first.length &&
      shape.every((extent, other) => other === axis || extent === first[other]);
    if (agrees) return;
    const where = axis === null ? "all axes" : `all axes but ${axis}`;
    throw new ShapeError(
      `${op}: operand ${i} has shape ${show(shape)}, operand 0 has ${show(first)}; ${where} must agree`,
    );
  });
}

/** Operations that move elements. */
export const SHAPE_OPS: readonly OpDef[] = [
  defineOp<{ shape: Shape }>({
    name: "reshape",
    category: "shape",
    summary: "the same elements, row-major, in another shape",
    attrs: { shape: "the new extents" },
    infer([x], args) {
      const shape = resolveReshape(x!.shape, args.shape);
      return { shape, attrs: { shape } };
    },
    lower: (node, out) => {
      const shape = out.list("sh", node.attrs.shape);
      out.result("reshape", { shape, x: out.source(0) });
    },
    gradient: back,
  }),
  defineOp<{ perm: readonly number[] }>({
    name: "transpose",
    category: "shape",
    summary: "axes in another order",
    attrs: { perm: "result axis i is operand axis perm[i]" },
    infer([x], args) {
      const { shape } = x!;
      if (args.perm.length !== shape.length) {
        throw new ShapeError(
          `transpose: perm ${show(args.perm)} names ${args.perm.length} axes; x ${show(shape)} has ${shape.length}`,
        );
      }
      const perm = normalizeAxes("transpose", args.perm, shape);
      return { shape: perm.map((axis) => shape[axis]!), attrs: { perm } };
    },
    lower: (node, out) => {
      const perm = out.list("p", node.attrs.perm);
      out.result("transpose", { perm, x: out.source(0) });
    },
    gradient: ({ g, node: { attrs: { perm } } }) => [g.transpose(perm.map((_, axis) => perm.indexOf(axis)))],
  }),
  defineOp<{ axes: readonly number[] }>({
    name: "squeeze",
    category: "shape",
    summary: "without some axes of extent 1",
    attrs: { axes: "axes removed" },
    infer([x], args) {
      const { shape } = x!;
      const axes = normalizeAxes("squeeze", args.axes, shape);
      for (const axis of axes) {
        if (shape[axis] === 1) continue;
        throw new ShapeError(`squeeze: axis ${axis} of shape ${show(shape)} has extent ${shape[axis]}; expected 1`);
      }
      if (axes.length === 0) throw new ShapeError("squeeze: no axes given; expected at least one");
      return { shape: shape.filter((_, axis) => !axes.includes(axis)), attrs: { axes } };
    },
    lower: (node, out) => {
      const axes = out.list("ax", node.attrs.axes);
      out.result("squeeze", { axes, x: out.source(0) });
    },
    gradient: back,
  }),
  defineOp<{ axes: readonly number[] }>({
    name: "expand_dims",
    category: "shape",
    summary: "with more axes of extent 1",
    attrs: { axes: "axes added, counted in the result, ascending" },
    infer([x], args) {
      const { shape } = x!;
      if (args.axes.length === 0) throw new ShapeError("expand_dims: no axes given; expected at least one");
      const rank = shape.length + args.axes.length;
      const axes = normalizeAxes("expand_dims", args.axes, rank).sort((a, b) => a - b);
      const result = [...shape];
      for (const axis of axes) result.splice(axis, 0, 1);
      return { shape: result, attrs: { axes } };
    },
    lower: (node, out) => {
      const axes = out.list("ax", node.attrs.axes);
      out.result("expand_dims", { axes, x: out.source(0) });
    },
    gradient: back,
  }),
  defineOp<{ axis: number }>({
    name: "flatten2d",
    category: "shape",
    summary: "[product of the axes before, product of the rest]",
    attrs: { axis: "first axis of the second group" },
    infer([x], args) {
      const { shape } = x!;
      const axis = normalizeAxis("flatten2d", args.axis, shape);
      return { shape: [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis))], attrs: { axis } };
    },
    lower: (node, out) => {
      const axis = out.i32("ax", node.attrs.axis);
      out.result("flatten2d", { axis, x: out.source(0) });
    },
    gradient: back,
  }),
  defineOp<{ begin: readonly number[]; size: Shape }>({
    name: "slice_by_size",
    category: "shape",
    summary: "a window",
    attrs: { begin: "first index per axis", size: "extents of the window" },
    infer([x], { begin, size }) {
      const { shape } = x!;
      if (!Array.isArray(begin) || !Array.isArray(size)) {
        throw new ShapeError("slice_by_size: begin and size must be lists with one integer per axis");
      }
      if (begin.length !== shape.length || size.length !== shape.length) {
        throw new ShapeError(
          `slice_by_size: begin ${show(begin)} and size ${show(size)} must have one entry per axis of ${show(shape)}`,
        );
      }
      shape.forEach((extent, axis) => {
        const [first, count] = [begin[axis]!, size[axis]!];
        const fits = Number.isInteger(first) && Number.isInteger(count) && first >= 0 && count > 0 &&
          first + count <= extent;
        if (fits) return;
        throw new ShapeError(
          `slice_by_size: begin ${first}, size ${count} leaves axis ${axis} of shape ${
            show(shape)
          }, which has extent ${extent}`,
        );
      });
      return { shape: [...size], attrs: { begin: [...begin], size: [...size] } };
    },
    lower(node, out) {
      const begin = out.list("b", node.attrs.begin);
      const size = out.list("sz", node.attrs.size);
      out.result("slice_by_size", { begin, size, x: out.source(0) });
    },
    gradient: (context) => [embed(context, context.g, context.inputs[0]!, context.node.attrs.begin)],
  }),
  defineOp<{ axes: readonly number[] }>({
    name: "reverse",
    category: "shape",
    summary: "elements in opposite order along some axes",
    attrs: { axes: "axes reversed" },
    infer([x], args) {
      const axes = normalizeAxes("reverse", args.axes, x!.shape);
      if (axes.length === 0) throw new ShapeError("reverse: no axes given; expected at least one");
      return { shape: x!.shape, attrs: { axes } };
    },
    lower: (node, out) => {
      const axes = out.list("ax", node.attrs.axes);
      out.result("reverse", { x: out.source(0), axes });
    },
    gradient: ({ g, node }) => [g.reverse(node.attrs.axes)],
  }),
  defineOp<{ reps: readonly number[] }>({
    name: "tile",
    category: "shape",
    summary: "copies side by side",
    attrs: { reps: "copies per axis" },
    infer([x], { reps }) {
      const { shape } = x!;
      if (!Array.isArray(reps) || reps.length !== shape.length) {
        throw new ShapeError(
          `tile: reps ${Array.isArray(reps) ? show(reps) : String(reps)} must have one entry per axis of ${
            show(shape)
          }`,
        );
      }
      reps.forEach((rep, axis) => checkInteger("tile", `reps[${axis}]`, rep, 1));
      return { shape: shape.map((extent, axis) => extent * reps[axis]!), attrs: { reps: [...reps] } };
    },
    lower: (node, out) => {
      const reps = out.list("r", node.attrs.reps);
      out.result("tile", { x: out.source(0), reps });
    },
    gradient: ({ inputs: [x], g, node }) => [sumTiles(g, x!.shape, node.attrs.reps)],
  }),
  defineOp<{ axis: number }>({
    name: "concat",
    category: "shape",
    summary: "operands one after the other along an axis",
    attrs: { axis: "the axis that grows" },
    arity: "any",
    infer(parts, args) {
      const first = parts[0]!.shape;
      const axis = normalizeAxis("concat", args.axis, first);
      checkParts("concat", parts, axis);
      const extent = parts.reduce((sum, { shape }) => sum + shape[axis]!, 0);
      return { shape: first.map((other, i) => (i === axis ? extent : other)), attrs: { axis } };
    },
    lower(node, out) {
      const axis = out.i32("ax", node.attrs.axis);
      const interleave = out.bool("il", false);
      out.result("concat", { axis, interleave, values: out.sources() });
    },
    gradient({ inputs, g, node: { attrs: { axis } }, needs }) {
      let begin = 0;
      return inputs.map(({ shape }, i) => {
        const at = begin;
        begin += shape[axis]!;
        if (!needs(i)) return null;
        return sameShape(shape, g.shape) ? g : g.sliceBySize(unit(shape, axis, at), shape);
      });
    },
  }),
  defineOp<{ axis: number }>({
    name: "stack",
    category: "shape",
    summary: "operands along a new axis",
    attrs: { axis: "the new axis, counted in the result" },
    arity: "any",
    infer(parts, args) {
      checkParts("stack", parts, null);
      const { shape } = parts[0]!;
      const axis = normalizeAxis("stack", args.axis, shape.length + 1);
      return { shape: shape.toSpliced(axis, 0, parts.length), attrs: { axis } };
    },
    lower(node, out) {
      const axis = out.i32("ax", node.attrs.axis);
      out.result("stack", { axis, values: out.sources() });
    },
    gradient: ({ inputs, g, node: { attrs: { axis } }, needs }) =>
      inputs.map(({ shape }, i) => {
        if (!needs(i)) return null;
        const size = shape.toSpliced(axis, 0, 1);
        return (sameShape(size, g.shape) ? g : g.sliceBySize(unit(size, axis, i), size)).reshape(shape);
      }),
  }),
  defineOp<{ numSplits: number; axis: number; which: number }>({
    name: "split",
    category: "shape",
    summary: "one of several equal parts; all parts become one statement",
    attrs: { numSplits: "number of parts", axis: "the axis divided", which: "which part this is" },
    infer([x], args) {
      const { shape } = x!;
      const axis = normalizeAxis("split", args.axis, shape);
      const numSplits = checkInteger("split", "numSplits", args.numSplits, 1);
      const which = checkInteger("split", "which", args.which, 0);
      if (which >= numSplits) throw new ArgumentError(`split: part ${which} of ${numSplits} does not exist`);
      if (shape[axis]! % numSplits !== 0) {
        throw new ShapeError(
          `split: axis ${axis} of shape ${show(shape)} has extent ${
            shape[axis]
          }, which ${numSplits} parts do not divide`,
        );
      }
      const part = shape.map((extent, i) => (i === axis ? extent / numSplits : extent));
      return { shape: part, attrs: { numSplits, axis, which } };
    },
    lower(node, out) {
      const { numSplits, axis, which } = node.attrs;
      const { stem, isNew } = out.split(`${out.source(0)} ${numSplits} ${axis}`);
      if (isNew) {
        const count = out.i32("ns", numSplits);
        const along = out.i32("ax", axis);
        const type = tensorType("fp16", node.shape);
        const parts = Array.from({ length: numSplits }, (_, i) => `${type} ${stem}_part${i}`).join(", ");
        const args = `axis = ${along}, num_splits = ${count}, x = ${out.source(0)}`;
        out.body.statements.push(`${parts} = split(${args})[name = string("${stem}_split")];`);
      }
      out.rename(`${stem}_part${which}`);
    },
    gradient(context) {
      const { inputs: [x], g, node } = context;
      const { axis, which } = node.attrs;
      return [embed(context, g, x!, unit(x!.shape, axis, which * g.shape[axis]!))];
    },
  }),
];
