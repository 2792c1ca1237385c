/* mil_shape.c - the shape rule of every operation the engine runs: result types from argument types. Arguments have
 * been checked against the table: present, constant where they must be, data of rank 0..5 with extents 1..65536. */
#include <string.h>

#include "mil_internal.h"

#define TEXT 160

static mil_type type_of(const mil_op *op, const char *name) { return mil_get(op, name)->type; }

_Noreturn void mil_fail_shapes(mil_reader *r, const mil_op *op, const char *a, const char *b, const char *why) {
  char one[TEXT], other[TEXT];
  mil_type x = type_of(op, a), y = type_of(op, b);
  mil_fail(r, mil_arg_pos(r, op, b), "%s: %s (%s is %s, %s is %s)", mil_op_name(op), why, a,
           mil_type_text(&x, one, sizeof one), b, mil_type_text(&y, other, sizeof other));
}

_Noreturn void mil_fail_arg(mil_reader *r, const mil_op *op, const char *arg, const char *why) {
  char text[TEXT];
  mil_type x = mil_get(op, "x") ? type_of(op, "x") : type_of(op, "values");
  mil_fail(r, mil_arg_pos(r, op, arg), "%s: '%s' %s (x is %s)", mil_op_name(op), arg, why,
           mil_type_text(&x, text, sizeof text));
}

/* An axis of a shape of the given rank, -rank..rank-1, as 0..rank-1. */
static int axis_of(mil_reader *r, const mil_op *op, const char *arg, int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    mil_fail(r, mil_arg_pos(r, op, arg), "%s: '%s' is %lld, accepted are %d to %d", mil_op_name(op), arg,
             (long long)axis, -rank, rank - 1);
  }
  return (int)(axis < 0 ? axis + rank : axis);
}

/* The axes of a list as flags, without repetition. Returns how many. */
int mil_axes_of(mil_reader *r, const mil_op *op, const char *arg, int rank, bool set[MIL_MAX_DIMS]) {
  int64_t axis[MIL_MAX_DIMS + 1];
  memset(set, 0, MIL_MAX_DIMS * sizeof *set);
  int n = mil_ints(op, arg, axis, MIL_MAX_DIMS + 1);
  if (n > rank) mil_fail_arg(r, op, arg, "has more axes than there are");
  for (int i = 0; i < n; i++) {
    int a = axis_of(r, op, arg, axis[i], rank);
    if (set[a]) mil_fail_arg(r, op, arg, "names an axis twice");
    set[a] = true;
  }
  return n;
}

/* A list of exactly n integers in min..max. */
void mil_ints_of(mil_reader *r, const mil_op *op, const char *arg, int n, int64_t min, int64_t max, int64_t *out) {
  mil_value *value = mil_get(op, arg);
  if (value && mil_elements(&value->type) != n) {
    mil_fail(r, mil_arg_pos(r, op, arg), "%s: '%s' has %lld elements, %d are needed", mil_op_name(op), arg,
             (long long)mil_elements(&value->type), n);
  }
  mil_ints(op, arg, out, n);
  for (int i = 0; i < n; i++) {
    if (out[i] < min || out[i] > max) {
      mil_fail(r, mil_arg_pos(r, op, arg), "%s: '%s' holds %lld, accepted are %lld to %lld", mil_op_name(op), arg,
               (long long)out[i], (long long)min, (long long)max);
    }
  }
}

/* NumPy's rule: shapes are aligned at the right, an extent of 1 stretches. false when they do not fit. */
bool mil_broadcast(mil_type *a, const mil_type *b) {
  mil_type out = *a;
  out.rank = a->rank > b->rank ? a->rank : b->rank;
  for (int i = 1; i <= out.rank; i++) {
    int64_t x = i <= a->rank ? a->dim[a->rank - i] : 1, y = i <= b->rank ? b->dim[b->rank - i] : 1;
    if (x != y && x != 1 && y != 1) return false;
    out.dim[out.rank - i] = x == 1 ? y : x;
  }
  *a = out;
  return true;
}

/* -- Elementwise --------------------------------------------------------------------------------------------------- */

void mil_shape_same(mil_reader *r, const mil_op *op, mil_type *out) {
  (void)r;
  *out = type_of(op, "x");
}

void mil_shape_not(mil_reader *r, const mil_op *op, mil_type *out) { mil_shape_same(r, op, out); }

/* One alpha per channel, axis 1. */
void mil_shape_prelu(mil_reader *r, const mil_op *op, mil_type *out) {
  *out = type_of(op, "x");
  mil_type alpha = type_of(op, "alpha");
  if (out->rank < 3) mil_fail_arg(r, op, "x", "must have rank 3 or more");
  if (alpha.rank != 1 || alpha.dim[0] != out->dim[1])
    mil_fail_shapes(r, op, "x", "alpha", "one alpha per channel is needed");
}

void mil_shape_cast(mil_reader *r, const mil_op *op, mil_type *out) {
  (void)r;
  *out = type_of(op, "x");
  for (int i = 0; i < MIL_STRING; i++)
    if (!strcmp(mil_string(op, "dtype"), mil_dtype_name((enum mil_dtype)i))) out->dtype = (enum mil_dtype)i;
}

void mil_shape_binary(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type y = type_of(op, "y");
  *out = type_of(op, "x");
  if (!mil_broadcast(out, &y)) mil_fail_shapes(r, op, "x", "y", "the shapes do not broadcast");
}

/* Is value a constant of one element that is +-0? */
static bool is_zero(const mil_value *value) {
  uint16_t half;
  if (!value->is_const || value->type.dtype != MIL_FP16 || mil_elements(&value->type) != 1) return false;
  memcpy(&half, value->data, 2);
  return !(half & 0x7fff);
}

/* A factor that is zero in fp16, also by underflow, breaks the code generator behind a reduction. */
void mil_shape_mul(mil_reader *r, const mil_op *op, mil_type *out) {
  static const char *const names[] = {"x", "y", "x"};
  for (int i = 0; i < 2; i++) {
    const mil_value *value = mil_get(op, names[i]), *factor = mil_get(op, names[i + 1]);
    if (mil_is_reduction(mil_source(value)) && is_zero(factor))
      mil_fail(r, mil_arg_pos(r, op, names[i + 1]),
               "ANECCompile() FAILED: '%s', the result of %s, times a factor that is zero in fp16; write sub(x, x)",
               value->name, mil_op_name(value->producer));
  }
  mil_shape_binary(r, op, out);
}

void mil_shape_compare(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_shape_binary(r, op, out);
  out->dtype = MIL_BOOL;
}

void mil_shape_select(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type b = type_of(op, "b"), cond = type_of(op, "cond");
  *out = type_of(op, "a");
  if (out->dtype != MIL_FP16) mil_fail_shapes(r, op, "a", "b", "the host engine selects between fp16 values only");
  if (!mil_broadcast(out, &b)) mil_fail_shapes(r, op, "a", "b", "the shapes do not broadcast");
  if (!mil_broadcast(out, &cond)) mil_fail_shapes(r, op, "a", "cond", "the shapes do not broadcast");
}

/* -- Linear -------------------------------------------------------------------------------------------------------- */

static void swap_last(mil_type *type) {
  int64_t last = type->dim[type->rank - 1];
  type->dim[type->rank - 1] = type->dim[type->rank - 2];
  type->dim[type->rank - 2] = last;
}

/* [.., m, k] x [.., k, n] = [.., m, n], leading axes broadcast; a rank-1 x is a row and gives a row. */
void mil_shape_matmul(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type x = type_of(op, "x"), y = type_of(op, "y");
  if (x.rank < 1) mil_fail_arg(r, op, "x", "must have rank 1 or more");
  if (y.rank < 2) mil_fail_shapes(r, op, "x", "y", "y must have rank 2 or more");
  for (int i = 0; i < 2; i++) {
    const mil_value *value = mil_get(op, i ? "y" : "x");
    if (mil_source(value) == OP_TRANSPOSE && value->type.rank == 5)
      mil_fail(r, mil_arg_pos(r, op, i ? "y" : "x"),
               "ANECCompile() FAILED: '%s', a transpose of rank 5, feeds matmul; reshape to rank 4 first", value->name);
  }
  bool row = x.rank == 1;
  if (row && mil_bool(op, "transpose_x")) mil_fail_arg(r, op, "transpose_x", "cannot be true for an x of rank 1");
  if (row) {
    x.rank = 2;
    x.dim[1] = x.dim[0];
    x.dim[0] = 1;
  } else if (mil_bool(op, "transpose_x")) {
    swap_last(&x);
  }
  if (mil_bool(op, "transpose_y")) swap_last(&y);
  int64_t m = x.dim[x.rank - 2], n = y.dim[y.rank - 1];
  if (x.dim[x.rank - 1] != y.dim[y.rank - 2]) mil_fail_shapes(r, op, "x", "y", "the inner extents differ");
  x.rank -= 2;
  y.rank -= 2;
  if (!mil_broadcast(&x, &y)) mil_fail_shapes(r, op, "x", "y", "the leading axes do not broadcast");
  if (!row) x.dim[x.rank++] = m;
  x.dim[x.rank++] = n;
  *out = x;
}

/* x [.., K], weight [N, K], bias [N] */
void mil_shape_linear(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type weight = type_of(op, "weight");
  *out = type_of(op, "x");
  if (out->rank < 1 || out->rank > 3) mil_fail_arg(r, op, "x", "must have rank 1 to 3; use matmul");
  if (weight.rank != 2 || weight.dim[1] != out->dim[out->rank - 1])
    mil_fail_shapes(r, op, "x", "weight", "weight must be [N, K]");
  if (mil_get(op, "bias")) {
    mil_type bias = type_of(op, "bias");
    if (bias.rank != 1 || bias.dim[0] != weight.dim[0]) mil_fail_shapes(r, op, "weight", "bias", "bias must be [N]");
  }
  out->dim[out->rank - 1] = weight.dim[0];
}

/* -- Windows ------------------------------------------------------------------------------------------------------- */

#define MAX_WINDOW ((int64_t)1 << 30)

typedef struct {
  int spatial;
  int64_t kernel[3], stride[3], dilation[3], pad[6]; /* pad: before and after, per axis */
  bool ceil;
} window;

/* Effective kernel of an axis: d(k-1)+1. */
static int64_t reach(const window *w, int i) { return (w->kernel[i] - 1) * w->dilation[i] + 1; }

/* strides and pads; "same" pads so that the output has ceil(in / stride), the odd one behind ("same_lower": in front).
 * Padding as wide as the window would give outputs that see nothing of x. */
static void read_window(mil_reader *r, const mil_op *op, const mil_type *x, window *w) {
  const char *kind = mil_string(op, "pad_type");
  mil_ints_of(r, op, "strides", w->spatial, 1, MAX_WINDOW, w->stride);
  if (!strcmp(kind, "custom") && !mil_get(op, "pad")) mil_fail_arg(r, op, "pad_type", "is custom: it needs 'pad'");
  mil_ints_of(r, op, "pad", 2 * w->spatial, 0, MAX_WINDOW, w->pad);
  if (!strcmp(kind, "custom")) return;
  memset(w->pad, 0, sizeof w->pad);
  if (!strcmp(kind, "valid")) return;
  bool lower = !strcmp(kind, "same_lower");
  if (lower && r->opset < 16) mil_fail_arg(r, op, "pad_type", "same_lower needs opset ios16");
  for (int i = 0; i < w->spatial; i++) {
    int64_t in = x->dim[2 + i], s = w->stride[i], total = (in + s - 1) / s * s - in + reach(w, i) - s;
    if (total < 0) total = 0;
    w->pad[2 * i] = lower ? total - total / 2 : total / 2;
    w->pad[2 * i + 1] = total - w->pad[2 * i];
  }
}

/* out = floor((in + pads - reach) / stride) + 1; rounded up with ceil, and then one less when the last window would
 * start in the padding behind. */
static void apply_window(mil_reader *r, const mil_op *op, const window *w, mil_type *out) {
  for (int i = 0; i < w->spatial; i++) {
    int64_t in = out->dim[2 + i], before = w->pad[2 * i], pads = before + w->pad[2 * i + 1], s = w->stride[i];
    int64_t room = in + pads - reach(w, i);
    if (room < 0) mil_fail_arg(r, op, "x", "is smaller than the window");
    int64_t n = (room + (w->ceil ? s - 1 : 0)) / s + 1;
    if (w->ceil && pads > 0 && (n - 1) * s >= in + before) n--;
    if (w->ceil && (n - 1) * s >= in + before) mil_fail_arg(r, op, "ceil_mode", "adds a window that lies outside x");
    out->dim[2 + i] = n;
  }
}

/* What conv and conv_transpose share: weight [a, b, kernel..], bias [channels], groups. */
static int64_t read_conv(mil_reader *r, const mil_op *op, const mil_type *x, const mil_type *weight, window *w) {
  if (x->rank < 3 || x->rank > 4)
    mil_fail_arg(r, op, "x", "must be [N, C, W] or [N, C, H, W]: the host engine has no other convolution");
  if (weight->rank != x->rank) mil_fail_shapes(r, op, "x", "weight", "the ranks differ");
  w->spatial = x->rank - 2;
  for (int i = 0; i < w->spatial; i++) w->kernel[i] = weight->dim[2 + i];
  mil_ints_of(r, op, "dilations", w->spatial, 1, MIL_MAX_EXTENT, w->dilation);
  read_window(r, op, x, w);
  int64_t width = w->kernel[w->spatial - 1];
  if (width > mil_max_kernel_width(r->family))
    mil_fail(r, mil_arg_pos(r, op, "weight"),
             "ANECCompile() FAILED: %s with a kernel %lld wide; this target takes up to %d (its height is free)",
             mil_op_name(op), (long long)width, mil_max_kernel_width(r->family));
  int64_t groups = mil_int(op, "groups");
  if (groups < 1 || x->dim[1] % groups) mil_fail_arg(r, op, "groups", "must divide the channels of x");
  return groups;
}

static void check_bias(mil_reader *r, const mil_op *op, int64_t channels) {
  const mil_value *bias = mil_get(op, "bias");
  if (!bias) return;
  if (!bias->is_const) mil_fail_arg(r, op, "bias", "must be a constant; add a computed one with add");
  if (bias->type.rank != 1 || bias->type.dim[0] != channels)
    mil_fail_shapes(r, op, "weight", "bias", "one bias per output channel is needed");
}

/* x [N, Cin, ..], weight [Cout, Cin/groups, ..] */
void mil_shape_conv(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type x = type_of(op, "x"), weight = type_of(op, "weight");
  window w = {0};
  const mil_value *given = mil_get(op, "weight");
  int64_t groups = read_conv(r, op, &x, &weight, &w);
  if (weight.dim[1] != x.dim[1] / groups) mil_fail_shapes(r, op, "x", "weight", "weight must be [Cout, Cin/groups, ..]");
  if (weight.dim[0] % groups) mil_fail_shapes(r, op, "x", "weight", "groups must divide Cout");
  if (!given->is_const && !mil_is_constexpr(mil_source(given))) {
    if (x.dim[0] > 1)
      mil_fail(r, mil_arg_pos(r, op, "weight"),
               "ANECCompile() FAILED: conv with a computed weight and a batch of %lld; the batch must be 1",
               (long long)x.dim[0]);
    for (int i = 0; i < w.spatial; i++)
      if (w.dilation[i] > 1) mil_fail_arg(r, op, "dilations", "must be 1 for a computed weight");
  }
  check_bias(r, op, weight.dim[0]);
  *out = x;
  out->dim[1] = weight.dim[0];
  apply_window(r, op, &w, out);
}

/* x [N, Cin, ..], weight [Cin, Cout/groups, ..]: (in-1)*stride + reach - pads, or in*stride for "same". */
void mil_shape_conv_transpose(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type x = type_of(op, "x"), weight = type_of(op, "weight");
  window w = {0};
  const mil_value *given = mil_get(op, "weight");
  int64_t groups = read_conv(r, op, &x, &weight, &w);
  if (weight.dim[0] != x.dim[1]) mil_fail_shapes(r, op, "x", "weight", "weight must be [Cin, Cout/groups, ..]");
  if (!given->is_const && !mil_is_constexpr(mil_source(given))) mil_fail_arg(r, op, "weight", "must be a constant");
  if (mil_get(op, "output_shape"))
    mil_fail_arg(r, op, "output_shape", "is not supported: the host engine crops with 'pad'");
  if (!strcmp(mil_string(op, "pad_type"), "same"))
    mil_fail_arg(r, op, "pad_type", "same is not supported: the host engine takes valid and custom");
  *out = x;
  out->dim[1] = weight.dim[1] * groups;
  check_bias(r, op, out->dim[1]);
  for (int i = 0; i < w.spatial; i++) {
    out->dim[2 + i] = (x.dim[2 + i] - 1) * w.stride[i] + reach(&w, i) - w.pad[2 * i] - w.pad[2 * i + 1];
    if (out->dim[2 + i] < 1) mil_fail_arg(r, op, "pad", "leaves nothing of the output");
  }
}

/* max_pool and avg_pool. An output needs a cell of x in its window, so the padding is smaller than the window. */
void mil_shape_pool(mil_reader *r, const mil_op *op, mil_type *out) {
  window w = {.dilation = {1, 1, 1}, .ceil = mil_bool(op, "ceil_mode")};
  *out = type_of(op, "x");
  if (out->rank < 3 || out->rank > 4)
    mil_fail_arg(r, op, "x", "must be [N, C, W] or [N, C, H, W]: the host engine has no other pooling");
  w.spatial = out->rank - 2;
  mil_ints_of(r, op, "kernel_sizes", w.spatial, 1, MAX_WINDOW, w.kernel);
  read_window(r, op, out, &w);
  if (w.ceil && !strncmp(mil_string(op, "pad_type"), "same", 4))
    mil_fail_arg(r, op, "ceil_mode", "must be false with same padding");
  for (int i = 0; i < w.spatial; i++) {
    if (w.ceil && w.pad[2 * i] != w.pad[2 * i + 1]) mil_fail_arg(r, op, "pad", "must be symmetric with ceil_mode");
    if (w.pad[2 * i] >= w.kernel[i] || w.pad[2 * i + 1] >= w.kernel[i])
      mil_fail_arg(r, op, "pad", "must be smaller than the window");
  }
  apply_window(r, op, &w, out);
}

void mil_shape_upsample(mil_reader *r, const mil_op *op, mil_type *out) {
  static const char *const names[] = {"scale_factor_height", "scale_factor_width"};
  *out = type_of(op, "x");
  if (out->rank != 4) mil_fail_arg(r, op, "x", "must be [N, C, H, W]: the host engine has no other upsampling");
  for (int i = 0; i < 2; i++) {
    double scale = mil_real(op, names[i]);
    if (!(scale >= 1 && scale <= MIL_MAX_EXTENT) || scale != (double)(int64_t)scale)
      mil_fail_arg(r, op, names[i], "must be a whole number from 1: the host engine has no kernel for other factors");
    out->dim[2 + i] *= (int64_t)scale;
  }
}

/* -- Reduce and normalise ------------------------------------------------------------------------------------------ */

void mil_shape_reduce(mil_reader *r, const mil_op *op, mil_type *out) {
  bool reduced[MIL_MAX_DIMS], keep = mil_bool(op, "keep_dims");
  mil_type x = type_of(op, "x");
  if (!mil_axes_of(r, op, "axes", x.rank, reduced)) mil_fail_arg(r, op, "axes", "is empty: nothing is reduced");
  *out = (mil_type){.dtype = x.dtype};
  for (int i = 0; i < x.rank; i++)
    if (!reduced[i] || keep) out->dim[out->rank++] = reduced[i] ? 1 : x.dim[i];
}

void mil_shape_softmax(mil_reader *r, const mil_op *op, mil_type *out) {
  *out = type_of(op, "x");
  axis_of(r, op, "axis", mil_int(op, "axis"), out->rank);
}

/* -- Shape --------------------------------------------------------------------------------------------------------- */

/* One extent may be -1: what is left. */
void mil_shape_reshape(mil_reader *r, const mil_op *op, mil_type *out) {
  char from[TEXT], to[TEXT];
  mil_type x = type_of(op, "x");
  int64_t shape[MIL_MAX_RANK] = {0}, given = mil_get(op, "shape")->type.dim[0], left = mil_elements(&x);
  if (given > MIL_MAX_RANK)
    mil_fail(r, mil_arg_pos(r, op, "shape"),
             "Rank of the shape parameter must be between 0 and %d: reshape to rank %lld", MIL_MAX_RANK,
             (long long)given);
  mil_ints_of(r, op, "shape", (int)given, -1, MIL_MAX_EXTENT, shape);
  int open = -1;
  bool fits = true;
  for (int i = 0; i < (int)given; i++) {
    if (!shape[i]) mil_fail_arg(r, op, "shape", "holds 0: every axis has at least one element");
    if (shape[i] < 0 && open >= 0) mil_fail_arg(r, op, "shape", "holds -1 twice");
    if (shape[i] < 0)
      open = i;
    else if (left % shape[i])
      fits = false;
    else
      left /= shape[i];
  }
  *out = (mil_type){.dtype = x.dtype, .rank = (int)given};
  if (open >= 0) shape[open] = left;
  for (int i = 0; i < out->rank; i++) out->dim[i] = shape[i];
  if (!fits || (open < 0 && left != 1))
    mil_fail(r, mil_arg_pos(r, op, "shape"), "reshape: %s does not have the elements of %s",
             mil_type_text(&x, from, sizeof from), mil_type_text(out, to, sizeof to));
}

void mil_shape_transpose(mil_reader *r, const mil_op *op, mil_type *out) {
  int64_t perm[MIL_MAX_RANK];
  bool seen[MIL_MAX_DIMS];
  mil_type x = type_of(op, "x");
  mil_ints_of(r, op, "perm", x.rank, -x.rank, x.rank - 1, perm);
  mil_axes_of(r, op, "perm", x.rank, seen);
  *out = x;
  for (int i = 0; i < x.rank; i++) out->dim[i] = x.dim[perm[i] < 0 ? perm[i] + x.rank : perm[i]];
}

void mil_shape_squeeze(mil_reader *r, const mil_op *op, mil_type *out) {
  bool dropped[MIL_MAX_DIMS];
  mil_type x = type_of(op, "x");
  mil_axes_of(r, op, "axes", x.rank, dropped);
  *out = (mil_type){.dtype = x.dtype};
  for (int i = 0; i < x.rank; i++) {
    if (dropped[i] && x.dim[i] != 1) mil_fail_arg(r, op, "axes", "names an axis that has more than one element");
    if (!dropped[i]) out->dim[out->rank++] = x.dim[i];
  }
}

/* Axes count in the result. */
void mil_shape_expand_dims(mil_reader *r, const mil_op *op, mil_type *out) {
  bool inserted[MIL_MAX_DIMS];
  mil_type x = type_of(op, "x");
  int64_t n = mil_get(op, "axes")->type.dim[0];
  if (n > MIL_MAX_RANK - x.rank)
    mil_fail(r, mil_arg_pos(r, op, "axes"),
             "Rank of the shape parameter must be between 0 and %d: expand_dims gives rank %lld", MIL_MAX_RANK,
             (long long)(x.rank + n));
  *out = (mil_type){.dtype = x.dtype, .rank = x.rank + (int)n};
  mil_axes_of(r, op, "axes", out->rank, inserted);
  for (int i = 0, from = 0; i < out->rank; i++) out->dim[i] = inserted[i] ? 1 : x.dim[from++];
}

/* [product before axis, product from axis] */
void mil_shape_flatten2d(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type x = type_of(op, "x");
  int64_t axis = mil_int(op, "axis");
  if (axis != x.rank) axis = axis_of(r, op, "axis", axis, x.rank);
  *out = (mil_type){.dtype = x.dtype, .rank = 2, .dim = {1, 1}};
  for (int i = 0; i < x.rank; i++) out->dim[i >= axis] *= x.dim[i];
}

/* A size of -1 reaches to the end. */
void mil_shape_slice_by_size(mil_reader *r, const mil_op *op, mil_type *out) {
  int64_t begin[MIL_MAX_RANK], size[MIL_MAX_RANK];
  *out = type_of(op, "x");
  mil_ints_of(r, op, "begin", out->rank, 0, MIL_MAX_EXTENT, begin);
  mil_ints_of(r, op, "size", out->rank, -1, MIL_MAX_EXTENT, size);
  for (int i = 0; i < out->rank; i++) {
    if (begin[i] >= out->dim[i]) mil_fail_arg(r, op, "begin", "lies outside x");
    if (size[i] < 0) size[i] = out->dim[i] - begin[i];
    if (!size[i] || size[i] > out->dim[i] - begin[i]) mil_fail_arg(r, op, "size", "must be positive and stay inside x");
    out->dim[i] = size[i];
  }
}

void mil_shape_reverse(mil_reader *r, const mil_op *op, mil_type *out) {
  bool set[MIL_MAX_DIMS];
  *out = type_of(op, "x");
  mil_axes_of(r, op, "axes", out->rank, set);
}

void mil_shape_tile(mil_reader *r, const mil_op *op, mil_type *out) {
  int64_t reps[MIL_MAX_RANK];
  *out = type_of(op, "x");
  mil_ints_of(r, op, "reps", out->rank, 1, MIL_MAX_EXTENT, reps);
  for (int i = 0; i < out->rank; i++) out->dim[i] *= reps[i];
}

/* The values of concat and stack have one dtype and one rank; returns them with the type of the first. */
static mil_value *const *values_of(mil_reader *r, const mil_op *op, int *count, mil_type *first) {
  char one[TEXT], other[TEXT];
  mil_value *const *value = mil_get_tuple(op, "values", count);
  *first = value[0]->type;
  for (int i = 1; i < *count; i++)
    if (value[i]->type.dtype != first->dtype || value[i]->type.rank != first->rank)
      mil_fail(r, mil_arg_pos(r, op, "values"), "%s: '%s' is %s and '%s' is %s: dtype and rank must be the same",
               mil_op_name(op), value[0]->name, mil_type_text(first, one, sizeof one), value[i]->name,
               mil_type_text(&value[i]->type, other, sizeof other));
  return value;
}

void mil_shape_concat(mil_reader *r, const mil_op *op, mil_type *out) {
  char one[TEXT], other[TEXT];
  int count;
  mil_type first;
  mil_value *const *value = values_of(r, op, &count, &first);
  int axis = axis_of(r, op, "axis", mil_int(op, "axis"), first.rank);
  if (mil_bool(op, "interleave"))
    mil_fail_arg(r, op, "interleave", "must be false: the host engine has no kernel for interleaved concat");
  *out = first;
  for (int i = 1; i < count; i++) {
    const mil_type *type = &value[i]->type;
    for (int k = 0; k < first.rank; k++)
      if (k != axis && type->dim[k] != first.dim[k])
        mil_fail(r, mil_arg_pos(r, op, "values"), "concat: '%s' is %s and '%s' is %s: they differ outside axis %d",
                 value[0]->name, mil_type_text(&first, one, sizeof one), value[i]->name,
                 mil_type_text(type, other, sizeof other), axis);
    out->dim[axis] += type->dim[axis];
  }
}

void mil_shape_stack(mil_reader *r, const mil_op *op, mil_type *out) {
  char one[TEXT], other[TEXT];
  int count;
  mil_type first;
  mil_value *const *value = values_of(r, op, &count, &first);
  for (int i = 1; i < count; i++)
    for (int k = 0; k < first.rank; k++)
      if (value[i]->type.dim[k] != first.dim[k])
        mil_fail(r, mil_arg_pos(r, op, "values"), "stack: '%s' is %s and '%s' is %s: the shapes must be the same",
                 value[0]->name, mil_type_text(&first, one, sizeof one), value[i]->name,
                 mil_type_text(&value[i]->type, other, sizeof other));
  int axis = axis_of(r, op, "axis", mil_int(op, "axis"), first.rank + 1);
  *out = (mil_type){.dtype = first.dtype, .rank = first.rank + 1};
  for (int i = 0, from = 0; i < out->rank; i++) out->dim[i] = i == axis ? count : first.dim[from++];
}

/* num_splits equal parts, or parts of split_sizes. */
void mil_shape_split(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type x = type_of(op, "x");
  const mil_value *count = mil_get(op, "num_splits"), *sizes = mil_get(op, "split_sizes");
  int axis = axis_of(r, op, "axis", mil_int(op, "axis"), x.rank);
  if (!count && !sizes) mil_fail(r, r->op_pos, "split: 'num_splits' or 'split_sizes' is needed");
  int64_t parts = count ? mil_int(op, "num_splits") : sizes->type.dim[0], total = 0;
  if (sizes && parts != sizes->type.dim[0]) mil_fail_arg(r, op, "num_splits", "is not the length of 'split_sizes'");
  if (parts != op->n_results)
    mil_fail(r, r->op_pos, "split: %d results are declared for %lld parts", op->n_results, (long long)parts);
  if (!sizes && x.dim[axis] % parts) mil_fail_arg(r, op, "num_splits", "must divide the axis");
  for (int i = 0; i < op->n_results; i++) {
    out[i] = x;
    out[i].dim[axis] = sizes ? mil_const_int(sizes, i) : x.dim[axis] / parts;
    if (out[i].dim[axis] < 1) mil_fail_arg(r, op, "split_sizes", "must be positive");
    total += out[i].dim[axis];
  }
  if (total != x.dim[axis]) mil_fail_arg(r, op, "split_sizes", "must add up to the axis");
}

/* -- Encoded weights ----------------------------------------------------------------------------------------------- */

static _Noreturn void fail_weight(mil_reader *r, const mil_op *op, const char *arg, const char *why) {
  char text[TEXT];
  mil_type type = type_of(op, arg);
  mil_fail(r, mil_arg_pos(r, op, arg), "%s: '%s' is %s, %s", mil_op_name(op), arg,
           mil_type_text(&type, text, sizeof text), why);
}

/* (quantized_data - zero_point) * scale; scale and zero_point are scalars or have one value per index of axis. */
void mil_shape_affine_weight(mil_reader *r, const mil_op *op, mil_type *out) {
  static const char *const names[] = {"scale", "zero_point"};
  *out = type_of(op, "quantized_data");
  int axis = axis_of(r, op, "axis", mil_int(op, "axis"), out->rank);
  mil_type zero = type_of(op, "zero_point");
  if (zero.dtype != out->dtype) fail_weight(r, op, "zero_point", "it must have the dtype of 'quantized_data'");
  for (int i = 0; i < 2; i++) {
    mil_type type = type_of(op, names[i]);
    if (type.rank > 1 || (type.rank && type.dim[0] != out->dim[axis]))
      fail_weight(r, op, names[i], "it must be a scalar or have one value per index of 'axis'");
  }
  out->dtype = type_of(op, "scale").dtype;
}

/* lut [blocks.., 2^bits, 1]: element i of a block is lut[block, indices[i], 0]. */
void mil_shape_lut_weight(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type indices = type_of(op, "indices"), lut = type_of(op, "lut");
  if (lut.rank != indices.rank + 2) fail_weight(r, op, "lut", "its rank must be that of 'indices' plus 2");
  if (lut.dim[indices.rank] != (int64_t)1 << mil_dtype_bits(indices.dtype))
    fail_weight(r, op, "lut", "it must have 2^bits entries");
  if (lut.dim[indices.rank + 1] != 1 || mil_get(op, "vector_axis"))
    fail_weight(r, op, "lut", "the host engine has no kernel for vector palettes");
  for (int i = 0; i < indices.rank; i++)
    if (lut.dim[i] < 1 || indices.dim[i] % lut.dim[i]) fail_weight(r, op, "lut", "its blocks must divide 'indices'");
  *out = indices;
  out->dtype = lut.dtype;
}

/* nonzero_data in row-major order where mask has a bit, zero elsewhere. */
void mil_shape_sparse_weight(mil_reader *r, const mil_op *op, mil_type *out) {
  const mil_value *mask = mil_get(op, "mask");
  mil_type values = type_of(op, "nonzero_data");
  if (values.rank != 1) fail_weight(r, op, "nonzero_data", "it must be a list");
  const uint8_t *bits = mask->data;
  int64_t elements = mil_elements(&mask->type), set = 0;
  for (int64_t i = 0; i < elements / 8; i++) set += __builtin_popcount(bits[i]);
  if (elements % 8) set += __builtin_popcount(bits[elements / 8] & ((1u << elements % 8) - 1));
  if (set != values.dim[0])
    mil_fail(r, mil_arg_pos(r, op, "mask"),
             "constexpr_sparse_to_dense: 'mask' has %lld bits set, 'nonzero_data' has %lld values", (long long)set,
             (long long)values.dim[0]);
  *out = mask->type;
  out->dtype = values.dtype;
}

/* scale * (data - offset), scale and offset constant over blocks. scale has the rank of data, or rank 2 for data seen
 * as [first extent, all others]. */
void mil_shape_blockwise_weight(mil_reader *r, const mil_op *op, mil_type *out) {
  mil_type data = type_of(op, "data"), scale = type_of(op, "scale"), seen = data;
  if (data.dtype != MIL_INT8 && data.dtype != MIL_UINT8 && data.dtype != MIL_UINT4)
    fail_weight(r, op, "data", "the host engine takes int8, uint8 and uint4");
  if (scale.rank != data.rank && scale.rank == 2 && data.rank > 2) {
    seen.rank = 2;
    for (int i = 2; i < data.rank; i++) seen.dim[1] *= data.dim[i];
  }
  if (scale.rank != seen.rank) fail_weight(r, op, "scale", "its rank must be that of 'data'");
  for (int i = 0; i < seen.rank; i++)
    if (scale.dim[i] < 1 || seen.dim[i] % scale.dim[i]) fail_weight(r, op, "scale", "its blocks must divide 'data'");
  const mil_value *offset = mil_get(op, "offset");
  if (offset) {
    if (offset->type.dtype != data.dtype) fail_weight(r, op, "offset", "it must have the dtype of 'data'");
    bool same = offset->type.rank == scale.rank;
    for (int i = 0; same && i < scale.rank; i++) same = offset->type.dim[i] == scale.dim[i];
    if (!same) fail_weight(r, op, "offset", "it must have the shape of 'scale'");
  }
  *out = data;
  out->dtype = scale.dtype;
}
