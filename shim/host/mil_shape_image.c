/* mil_shape_image.c - the shape rules of operations on images and channels, of equations and of constants made from a shape. */
#include <stdio.h>
#include <string.h>

#include "mil_internal.h"

#define TEXT 160

static mil_type type_of(const mil_op *op, const char *name) { return mil_get(op, name)->type; }

static mil_type ranked(mil_reader *r, const mil_op *op, int min, int max, const char *why) {
  mil_type x = type_of(op, "x");
  if (x.rank < min || x.rank > max) mil_fail_arg(r, op, "x", why);
  return x;
}

/* An integer argument of at least 1. */
static int64_t positive(mil_reader *r, const mil_op *op, const char *name) {
  int64_t v = mil_int(op, name);
  if (v < 1 || v > MIL_MAX_EXTENT) mil_fail_arg(r, op, name, "must be 1 to 65536");
  return v;
}

/* -- Channels -------------------------------------------------------------------------------------------------------- */

/* One number per channel, axis 1, when it is given. */
static void per_channel(mil_reader *r, const mil_op *op, const char *name, int64_t channels) {
  const mil_value *v = mil_get(op, name);
  if (v && (v->type.rank != 1 || v->type.dim[0] != channels))
    mil_fail_shapes(r, op, "x", name, "one number per channel (axis 1) is needed");
}

/* batch_norm, instance_norm */
void mil_shape_channel_norm(mil_reader *r, const mil_op *op, mil_type *out) {
  static const char *const names[] = {"mean", "variance", "gamma", "beta"};
  bool instance = mil_op_id_of(op) == OP_INSTANCE_NORM;
  *out = instance ? ranked(r, op, 3, 4, "must be [N, C, W] or [N, C, H, W]") : ranked(r, op, 3, 5, "must be [N, C, ..], rank 3 or more");
  for (int i = 0; i < 4; i++) per_channel(r, op, names[i], out->dim[1]);
}

void mil_shape_softplus_parametric(mil_reader *r, const mil_op *op, mil_type *out) {
  *out = ranked(r, op, 3, 5, "must be [N, C, ..], rank 3 or more");
  per_channel(r, op, "alpha", out->dim[1]);
  per_channel(r, op, "beta", out->dim[1]);
}

/* gamma and beta have the extents of the axes. */
void mil_shape_layer_norm(mil_reader *r, const mil_op *op, mil_type *out) {
  static const char *const names[] = {"gamma", "beta"};
  bool set[MIL_MAX_DIMS];
  *out = ranked(r, op, 1, 5, "must have rank 1 or more");
  if (!mil_axes_of(r, op, "axes", out->rank, set)) mil_fail_arg(r, op, "axes", "is empty: nothing is normalised");
  for (int k = 0; k < 2; k++) {
    const mil_value *v = mil_get(op, names[k]);
    int n = 0;
    bool same = true;
    for (int i = 0; v && i < out->rank; i++) {
      if (!set[i]) continue;
      same = same && n < v->type.rank && v->type.dim[n] == out->dim[i];
      n++;
    }
    if (v && (!same || n != v->type.rank)) mil_fail_shapes(r, op, "x", names[k], "it must have the extents of 'axes'");
  }
}

void mil_shape_l2_norm(mil_reader *r, const mil_op *op, mil_type *out) {
  *out = ranked(r, op, 3, 5, "must be [.., C, H, W], rank 3 or more");
}

void mil_shape_lrn(mil_reader *r, const mil_op *op, mil_type *out) {
  *out = ranked(r, op, 3, 5, "must be [N, C, ..], rank 3 or more");
  positive(r, op, "size");
}

/* -- Resampling ------------------------------------------------------------------------------------------------------ */

void mil_shape_upsample_bilinear(mil_reader *r, const mil_op *op, mil_type *out) {
  static const char *const names[] = {"scale_factor_height", "scale_factor_width"};
  *out = ranked(r, op, 3, 5, "must be [.., H, W], rank 3 or more");
  for (int i = 0; i < 2; i++) {
    double scale = mil_real(op, names[i]);
    if (!(scale >= 1 && scale <= MIL_MAX_EXTENT) || scale != (double)(int64_t)scale)
      mil_fail_arg(r, op, names[i], "must be a whole number from 1: the host engine has no kernel for other factors");
    out->dim[out->rank - 2 + i] *= (int64_t)scale;
  }
  if (mil_bool(op, "align_corners") && mil_get(op, "half_pixel_centers") && mil_bool(op, "half_pixel_centers"))
    mil_fail_arg(r, op, "half_pixel_centers", "cannot be true together with 'align_corners'");
}

void mil_shape_resize(mil_reader *r, const mil_op *op, mil_type *out) {
  *out = ranked(r, op, 3, 5, "must be [.., H, W], rank 3 or more");
  out->dim[out->rank - 2] = positive(r, op, "target_size_height");
  out->dim[out->rank - 1] = positive(r, op, "target_size_width");
}

/* transform_matrix [N or 1, 6] */
void mil_shape_affine(mil_reader *r, const mil_op *op, mil_type *out) {
  *out = ranked(r, op, 4, 4, "must be [N, C, H, W]");
  mil_type matrix = type_of(op, "transform_matrix");
  if (matrix.rank != 2 || matrix.dim[1] != 6 || (matrix.dim[0] != 1 && matrix.dim[0] != out->dim[0]))
    mil_fail_shapes(r, op, "x", "transform_matrix", "it must be [N, 6] or [1, 6]");
  out->dim[2] = positive(r, op, "output_height");
  out->dim[3] = positive(r, op, "output_width");
}

/* -- Borders ----------------------------------------------------------------------------------------------------------- */

void mil_shape_crop(mil_reader *r, const mil_op *op, mil_type *out) {
  static const char *const names[] = {"crop_height", "crop_width"};
  *out = ranked(r, op, 3, 5, "must be [.., H, W], rank 3 or more");
  for (int i = 0; i < 2; i++) {
    int64_t cut[2];
    mil_ints_of(r, op, names[i], 2, 0, MIL_MAX_EXTENT, cut);
    int64_t *dim = &out->dim[out->rank - 2 + i];
    *dim -= cut[0] + cut[1];
    if (*dim < 1) mil_fail_arg(r, op, names[i], "leaves nothing of x");
  }
}

/* pad: before and behind, for the last axes. */
void mil_shape_pad(mil_reader *r, const mil_op *op, mil_type *out) {
  const char *mode = mil_string(op, "mode");
  *out = type_of(op, "x");
  int64_t n = mil_get(op, "pad")->type.dim[0], pad[2 * MIL_MAX_RANK] = {0};
  if (n % 2 || n > 2 * out->rank) mil_fail_arg(r, op, "pad", "must hold two numbers for each of the last axes");
  mil_ints_of(r, op, "pad", (int)n, 0, MIL_MAX_EXTENT, pad);
  for (int i = 0; i < (int)n; i++) {
    int axis = out->rank - (int)n / 2 + i / 2;
    int64_t extent = type_of(op, "x").dim[axis];
    if (pad[i] && strcmp(mode, "constant") && axis < out->rank - 2)
      mil_fail_arg(r, op, "pad", "must leave all but the last two axes alone when 'mode' is not constant");
    if (!strcmp(mode, "reflect") && pad[i] >= extent) mil_fail_arg(r, op, "pad", "must be smaller than the axis it reflects");
    out->dim[axis] += pad[i];
  }
}

/* -- Blocks ------------------------------------------------------------------------------------------------------------ */

static int64_t block_of(mil_reader *r, const mil_op *op, const char **name) {
  static const char *const names[] = {"block_size", "upscale_factor", "downscale_factor"};
  enum mil_op_id id = mil_op_id_of(op);
  *name = names[id == OP_PIXEL_SHUFFLE ? 1 : id == OP_PIXEL_UNSHUFFLE ? 2 : 0];
  return positive(r, op, *name);
}

/* pixel_shuffle, depth_to_space: [N, C, H, W] to [N, C / b^2, H b, W b] */
void mil_shape_grow(mil_reader *r, const mil_op *op, mil_type *out) {
  const char *name;
  int64_t b = block_of(r, op, &name);
  *out = ranked(r, op, 4, 4, "must be [N, C, H, W]");
  if (out->dim[1] % (b * b)) mil_fail_arg(r, op, name, "squared must divide the channels");
  out->dim[1] /= b * b;
  out->dim[2] *= b;
  out->dim[3] *= b;
}

/* pixel_unshuffle, space_to_depth: the reverse */
void mil_shape_shrink(mil_reader *r, const mil_op *op, mil_type *out) {
  const char *name;
  int64_t b = block_of(r, op, &name);
  *out = ranked(r, op, 4, 4, "must be [N, C, H, W]");
  if (out->dim[2] % b || out->dim[3] % b) mil_fail_arg(r, op, name, "must divide height and width");
  out->dim[1] *= b * b;
  out->dim[2] /= b;
  out->dim[3] /= b;
}

/* block_shape [2] and the four numbers of paddings or crops, [2, 2]. */
static void batch_blocks(mil_reader *r, const mil_op *op, const char *border, int64_t block[2], int64_t cut[4]) {
  mil_ints_of(r, op, "block_shape", 2, 1, MIL_MAX_EXTENT, block);
  mil_type type = type_of(op, border);
  if (type.rank != 2 || type.dim[0] != 2 || type.dim[1] != 2) mil_fail_shapes(r, op, "x", border, "it must be [2, 2]");
  mil_ints_of(r, op, border, 4, 0, MIL_MAX_EXTENT, cut);
}

/* The order of batch and block in the new batch is only known to be the same everywhere for a batch of 1. */
void mil_shape_space_to_batch(mil_reader *r, const mil_op *op, mil_type *out) {
  int64_t block[2], pad[4];
  *out = ranked(r, op, 4, 4, "must be [1, C, H, W]");
  batch_blocks(r, op, "paddings", block, pad);
  if (out->dim[0] != 1) mil_fail_arg(r, op, "x", "must have a batch of 1");
  for (int i = 0; i < 2; i++) {
    int64_t extent = out->dim[2 + i] + pad[2 * i] + pad[2 * i + 1];
    if (extent % block[i]) mil_fail_arg(r, op, "block_shape", "must divide the padded height and width");
    out->dim[2 + i] = extent / block[i];
  }
  out->dim[0] = block[0] * block[1];
}

void mil_shape_batch_to_space(mil_reader *r, const mil_op *op, mil_type *out) {
  int64_t block[2], cut[4];
  *out = ranked(r, op, 4, 4, "must be [N, C, H, W]");
  batch_blocks(r, op, "crops", block, cut);
  if (out->dim[0] != block[0] * block[1]) mil_fail_arg(r, op, "block_shape", "must have the batch as its product");
  out->dim[0] = 1;
  for (int i = 0; i < 2; i++) {
    out->dim[2 + i] = out->dim[2 + i] * block[i] - cut[2 * i] - cut[2 * i + 1];
    if (out->dim[2 + i] < 1) mil_fail_arg(r, op, "crops", "leaves nothing of x");
  }
}

/* -- slice_by_index ---------------------------------------------------------------------------------------------------- */

/* An index of an axis, negative ones from its end, kept inside low..high. */
static int64_t clamped(int64_t index, int64_t extent, int64_t low, int64_t high) {
  if (index < 0) index += extent;
  return index < low ? low : index > high ? high : index;
}

bool mil_read_slice(const mil_op *op, mil_slice *s) {
  static const char *const names[] = {"begin", "end", "stride", "begin_mask", "end_mask", "squeeze_mask"};
  const mil_type *x = &mil_get(op, "x")->type;
  int64_t list[6][MIL_MAX_RANK];
  for (int k = 0; k < 6; k++) {
    for (int i = 0; i < MIL_MAX_RANK; i++) list[k][i] = k == 2;
    const mil_value *v = mil_get(op, names[k]);
    if (v && mil_elements(&v->type) != x->rank) return false;
    mil_ints(op, names[k], list[k], MIL_MAX_RANK);
  }
  for (int i = 0; i < x->rank; i++) {
    int64_t extent = x->dim[i], step = list[2][i], begin = list[0][i], end = list[1][i];
    if (!step) return false;
    s->step[i] = step;
    s->dropped[i] = list[5][i];
    if (s->dropped[i]) {
      if (begin < 0) begin += extent;
      s->begin[i] = begin;
      s->size[i] = begin >= 0 && begin < extent;
      continue;
    }
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? extent : extent - 1;
    begin = list[3][i] ? (step > 0 ? low : high) : clamped(begin, extent, low, high);
    end = list[4][i] ? (step > 0 ? high : low) : clamped(end, extent, low, high);
    int64_t span = step > 0 ? end - begin : begin - end, stride = step > 0 ? step : -step;
    s->begin[i] = begin;
    s->size[i] = span > 0 ? (span + stride - 1) / stride : 0;
  }
  return true;
}

void mil_shape_slice_by_index(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type x = type_of(op, "x");
  mil_slice s;
  if (!mil_read_slice(op, &s)) mil_fail_arg(r, op, "begin", "and the other lists need one number per axis, strides not 0");
  *out = (mil_type){.dtype = x.dtype};
  for (int i = 0; i < x.rank; i++) {
    if (!s.size[i]) mil_fail_arg(r, op, "begin", "and 'end' take nothing of an axis");
    if (!s.dropped[i]) out->dim[out->rank++] = s.size[i];
  }
}

/* -- Constants ----------------------------------------------------------------------------------------------------------- */

static void fp16_value(mil_reader *r, const mil_op *op) {
  const mil_value *v = mil_get(op, "value");
  if (v && v->type.dtype != MIL_FP16)
    mil_fail(r, mil_arg_pos(r, op, "value"), "%s: 'value' is %s: the host engine fills with fp16 only", mil_op_name(op),
             mil_dtype_name(v->type.dtype));
}

void mil_shape_fill(mil_reader *r, const mil_op *op, mil_type *out) {
  int64_t n = mil_get(op, "shape")->type.dim[0];
  if (n > MIL_MAX_RANK)
    mil_fail(r, mil_arg_pos(r, op, "shape"), "Rank of the shape parameter must be between 0 and %d: fill to rank %lld",
             MIL_MAX_RANK, (long long)n);
  fp16_value(r, op);
  *out = (mil_type){.dtype = MIL_FP16, .rank = (int)n};
  mil_ints_of(r, op, "shape", (int)n, 1, MIL_MAX_EXTENT, out->dim);
}

void mil_shape_fill_like(mil_reader *r, const mil_op *op, mil_type *out) {
  fp16_value(r, op);
  *out = type_of(op, "ref_tensor");
  out->dtype = MIL_FP16;
}

/* zero_point and scale are scalars or have one value per index of axis. */
void mil_shape_dequantize(mil_reader *r, const mil_op *op, mil_type *out) {
  static const char *const names[] = {"zero_point", "scale"};
  *out = type_of(op, "input");
  int64_t axis = mil_get(op, "axis") ? mil_int(op, "axis") : 0;
  if (mil_get(op, "axis") && (axis < -out->rank || axis >= out->rank))
    mil_fail(r, mil_arg_pos(r, op, "axis"), "dequantize: 'axis' is %lld, accepted are %d to %d", (long long)axis, -out->rank,
             out->rank - 1);
  if (axis < 0) axis += out->rank;
  for (int i = 0; i < 2; i++) {
    const mil_value *v = mil_get(op, names[i]);
    if (!v || !v->type.rank) continue;
    if (!mil_get(op, "axis") || v->type.rank != 1 || v->type.dim[0] != out->dim[axis])
      mil_fail_shapes(r, op, "input", names[i], "it must be a scalar or have one value per index of 'axis'");
  }
  out->dtype = type_of(op, "scale").dtype;
}

/* -- Equations ----------------------------------------------------------------------------------------------------------- */

/* Letters up to `end` ("": of the text), at most MIL_MAX_RANK, none twice. Returns what follows. */
static const char *read_letters(const char *text, const char *end, char *out) {
  int n = 0;
  for (; *text && (!*end || strncmp(text, end, strlen(end))); text++) {
    if (*text == ' ') continue;
    bool letter = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z');
    if (!letter || n == MIL_MAX_RANK || memchr(out, *text, (size_t)n)) return NULL;
    out[n++] = *text;
  }
  out[n] = 0;
  return strncmp(text, end, strlen(end)) ? NULL : text + strlen(end);
}

bool mil_read_equation(const char *text, mil_equation *e) {
  text = read_letters(text, ",", e->operand[0]);
  if (text) text = read_letters(text, "->", e->operand[1]);
  if (text) text = read_letters(text, "", e->result);
  return text != NULL;
}

static _Noreturn void bad_equation(mil_reader *r, const mil_op *op, const char *why, char letter) {
  char one[TEXT], other[TEXT], name[8] = "";
  int count;
  mil_value *const *v = mil_get_tuple(op, "values", &count);
  if (letter) snprintf(name, sizeof name, "'%c' ", letter);
  mil_fail(r, mil_arg_pos(r, op, "equation"), "einsum: \"%.60s\": %s%s (values are %s and %s)", mil_string(op, "equation"),
           name, why, mil_type_text(&v[0]->type, one, sizeof one),
           count > 1 ? mil_type_text(&v[1]->type, other, sizeof other) : "nothing else");
}

/* Letters in both operands and the result are batch axes, which broadcast; in both operands only: summed; in one operand:
 * kept. */
void mil_shape_einsum(mil_reader *r, const mil_op *op, mil_type *out) {
  int count;
  mil_value *const *v = mil_get_tuple(op, "values", &count);
  mil_equation e;
  if (count != 2) bad_equation(r, op, "two values are needed; write more of them as several einsum", 0);
  if (!mil_read_equation(mil_string(op, "equation"), &e))
    bad_equation(r, op, "it must read \"letters,letters->letters\", no letter twice in one of them", 0);
  for (int k = 0; k < 2; k++) {
    if (v[k]->type.dtype != MIL_FP16) bad_equation(r, op, "the values must be fp16", 0);
    if ((int)strlen(e.operand[k]) != v[k]->type.rank) bad_equation(r, op, "it has another number of letters than a value has axes", 0);
    for (const char *c = e.operand[k]; *c; c++) {
      const char *there = strchr(e.operand[1 - k], *c);
      int64_t a = v[k]->type.dim[c - e.operand[k]], b = there ? v[1 - k]->type.dim[there - e.operand[1 - k]] : 1;
      bool kept = strchr(e.result, *c) != NULL;
      if (!there && !kept) bad_equation(r, op, "is summed over one value; reduce_sum it first", *c);
      if (there && a != b && (!kept || (a != 1 && b != 1))) bad_equation(r, op, "has two extents", *c);
    }
  }
  *out = (mil_type){.dtype = MIL_FP16};
  for (const char *c = e.result; *c; c++) {
    int64_t extent = 0;
    for (int k = 0; k < 2; k++) {
      const char *there = strchr(e.operand[k], *c);
      int64_t dim = there ? v[k]->type.dim[there - e.operand[k]] : 0;
      if (dim > extent) extent = dim;
    }
    if (!extent) bad_equation(r, op, "is in the result only", *c);
    out->dim[out->rank++] = extent;
  }
}

/* query [.., L, E], key [.., S, E], value [.., S, V], attn_mask broadcasting to [.., L, S]: [.., L, V] */
void mil_shape_attention(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type q = type_of(op, "query"), k = type_of(op, "key"), v = type_of(op, "value");
  if (q.rank < 3 || q.rank > 5 || k.rank != q.rank || v.rank != q.rank)
    mil_fail_shapes(r, op, "query", k.rank != q.rank ? "key" : "value", "all need one rank of 3 or more");
  for (int i = 0; i < q.rank - 2; i++)
    if (k.dim[i] != q.dim[i] || v.dim[i] != q.dim[i])
      mil_fail_shapes(r, op, "query", k.dim[i] != q.dim[i] ? "key" : "value", "the leading axes differ");
  if (k.dim[k.rank - 1] != q.dim[q.rank - 1]) mil_fail_shapes(r, op, "query", "key", "the last axes differ");
  if (v.dim[v.rank - 2] != k.dim[k.rank - 2]) mil_fail_shapes(r, op, "key", "value", "their second last axes differ");
  mil_type scores = q;
  scores.dim[q.rank - 1] = k.dim[k.rank - 2];
  if (mil_get(op, "attn_mask")) {
    mil_type mask = type_of(op, "attn_mask"), both = scores;
    bool fits = mask.dtype == MIL_FP16 && mil_broadcast(&both, &mask) && both.rank == scores.rank;
    for (int i = 0; fits && i < both.rank; i++) fits = both.dim[i] == scores.dim[i];
    if (!fits) mil_fail_shapes(r, op, "query", "attn_mask", "it must be fp16 and broadcast to the scores");
  }
  *out = q;
  out->dim[q.rank - 1] = v.dim[v.rank - 1];
}
