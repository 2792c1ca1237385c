/* plan_ops.c - elementwise, reducing, spatial and moving operations, lowered to nodes. */
#include <string.h>

#include "plan.h"

static const mil_type *result_type(const mil_op *op) { return &op->result[0]->type; }

bool plan_need(plan *p, const mil_op *op, int v, bool only_fp16) {
  if (v < 0) return false;
  enum mil_dtype d = p->value[v].dtype;
  if (d == MIL_FP16 || (!only_fp16 && (d == MIL_BOOL || d == MIL_INT8 || d == MIL_UINT8))) return true;
  return plan_fail(p, op, "the host engine has no kernel for %s operands (cast to fp16 first)", mil_dtype_name(d));
}

int plan_scalar(plan *p, f16 bits, const char *name) {
  f16 *data = plan_alloc(p, sizeof *data);
  if (!data) return -1;
  *data = bits;
  return plan_constant(p, MIL_FP16, 0, NULL, data, true, false, name);
}

/* Whole numbers of an argument that has to be constant. Returns the count, -1 on failure. */
static int const_ints(plan *p, const mil_op *op, const char *name, int64_t *out, int max) {
  const mil_value *v = mil_get(op, name);
  if (!v || !v->is_const) return plan_fail(p, op, "'%s' must be a constant", name), -1;
  int64_t n = mil_elements(&v->type);
  if (n > max) return plan_fail(p, op, "'%s' has more than %d elements", name, max), -1;
  for (int i = 0; i < (int)n; i++) {
    if (v->type.dtype == MIL_INT32) {
      int32_t x;
      memcpy(&x, (const char *)v->data + 4 * i, 4);
      out[i] = x;
    } else if (v->type.dtype == MIL_INT16) {
      int16_t x;
      memcpy(&x, (const char *)v->data + 2 * i, 2);
      out[i] = x;
    } else if (v->type.dtype == MIL_INT8) {
      out[i] = ((const int8_t *)v->data)[i];
    } else {
      return plan_fail(p, op, "'%s' must hold int32", name), -1;
    }
  }
  return (int)n;
}

static int axis_of(int64_t axis, int rank) { return (int)(axis < 0 ? axis + rank : axis); }

/* -- Elementwise ----------------------------------------------------------------------------------------------------- */

/* Which arguments are the parameters of a unary function. */
static const char *const first_parameter[] = {
    [OP_LOG] = "epsilon",      [OP_RSQRT] = "epsilon",         [OP_INVERSE] = "epsilon",
    [OP_ELU] = "alpha",        [OP_LEAKY_RELU] = "alpha",      [OP_THRESHOLD] = "alpha",
    [OP_CLIP] = "alpha",       [OP_THRESHOLDED_RELU] = "alpha", [OP_SCALED_TANH] = "alpha",
    [OP_CLAMPED_RELU] = "alpha", [OP_SIGMOID_HARD] = "alpha",  [OP_LINEAR_ACTIVATION] = "alpha",
};
static const bool has_beta[] = {
    [OP_SCALED_TANH] = true, [OP_CLAMPED_RELU] = true, [OP_SIGMOID_HARD] = true, [OP_LINEAR_ACTIVATION] = true,
    [OP_CLIP] = true,
};

bool lower_unary(plan *p, const mil_op *op, int code) {
  (void)code;
  size_t id = (size_t)mil_op_id_of(op);
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  const char *a = id < sizeof first_parameter / sizeof *first_parameter ? first_parameter[id] : NULL;
  float alpha = a ? (float)mil_real(op, a) : 0;
  float beta = id < sizeof has_beta && has_beta[id] ? (float)mil_real(op, "beta") : 0;
  const unary_fn *fn = unary_get((enum mil_op_id)id, alpha, beta, id == OP_GELU ? mil_string(op, "mode") : NULL, p->profile);
  if (!fn) return plan_fail(p, op, "the host engine could not make its table");
  int out = plan_new_value(p, result_type(op), op->result[0]->name);
  return plan_ew(p, op, EW_UNARY, fn, &x, 1, out) && plan_bind(p, op->result[0], out);
}

/* Also logical_not, which has one operand. */
/* Weights with scales are never -0, so adding +0 to them, which the device wants in front of a product, changes nothing. */
static int plus_zero(plan *p, const mil_op *op, int code) {
  const mil_value *x = mil_get(op, "x"), *y = mil_get(op, "y");
  if (code != EW_ADD || !x->user || !y->is_const || y->type.dtype != MIL_FP16 || mil_elements(&y->type) != 1) return -1;
  int v = (int)(intptr_t)x->user - 1;
  f16 zero;
  memcpy(&zero, y->data, sizeof zero);
  const weight_codes *codes = p->value[v].codes;
  return zero == 0 && codes && codes->kind == WEIGHT_INT8 && y->type.rank <= x->type.rank ? v : -1;
}

bool lower_binary(plan *p, const mil_op *op, int code) {
  int same = plus_zero(p, op, code);
  if (same >= 0) return plan_bind(p, op->result[0], same);
  int in[2] = {plan_operand(p, op, "x"), 0}, n = 1;
  if (code != EW_NOT) in[n++] = plan_operand(p, op, "y");
  for (int i = 0; i < n; i++)
    if (!plan_need(p, op, in[i], false)) return false;
  int out = plan_new_value(p, result_type(op), op->result[0]->name);
  return plan_ew(p, op, (uint8_t)code, NULL, in, n, out) && plan_bind(p, op->result[0], out);
}

bool lower_select(plan *p, const mil_op *op, int code) {
  (void)code;
  int in[3] = {plan_operand(p, op, "cond"), plan_operand(p, op, "a"), plan_operand(p, op, "b")};
  for (int i = 0; i < 3; i++)
    if (!plan_need(p, op, in[i], false)) return false;
  int out = plan_new_value(p, result_type(op), op->result[0]->name);
  return plan_ew(p, op, EW_SELECT, NULL, in, 3, out) && plan_bind(p, op->result[0], out);
}

/* To bool: x != 0. To an integer: the store truncates, so the register no longer holds the value. There is no fp32 on the
 * device: an fp32 value between two casts is the fp16 value. */
bool lower_cast(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (x < 0) return false;
  mil_value *result = op->result[0];
  mil_type t = result->type;
  bool wide = t.dtype == MIL_FP32;
  if (wide) t.dtype = MIL_FP16;
  plan_value a = p->value[x];
  int out;
  if (a.dtype == t.dtype) {
    out = plan_view(p, x, 0, a.rank, a.dim, result->name);
  } else if ((out = plan_new_value(p, &t, result->name)) >= 0 && t.dtype == MIL_BOOL) {
    int in[2] = {x, plan_scalar(p, 0, "zero")};
    if (!plan_ew(p, op, EW_NE, NULL, in, 2, out)) return false;
  } else if (out >= 0) {
    if (!plan_ew(p, op, EW_COPY, NULL, &x, 1, out)) return false;
    p->node[p->n_nodes - 1].closes = t.dtype != MIL_FP16 && a.dtype != MIL_BOOL;
  }
  if (out >= 0 && wide) result->user = (void *)(intptr_t)(out + 1);
  return wide ? out >= 0 : plan_bind(p, result, out);
}

/* x > 0 ? x : alpha[c] * x, c on axis 1. */
bool lower_prelu(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x"), alpha = plan_operand(p, op, "alpha");
  if (!plan_need(p, op, x, true) || !plan_need(p, op, alpha, true)) return false;
  const mil_type *t = result_type(op);
  int64_t dim[K_RANK] = {plan_elements(&p->value[alpha]), 1, 1, 1, 1};
  int rank = t->rank > 1 ? t->rank - 1 : 1;
  const char *name = op->result[0]->name;
  int column = plan_view(p, alpha, 0, rank, dim, name);
  int product = plan_new_value(p, t, name), positive = plan_temp(p, MIL_BOOL, t->rank, t->dim, name);
  int out = plan_new_value(p, t, name);
  int mul[2] = {x, column}, greater[2] = {x, plan_scalar(p, 0, "zero")}, select[3] = {positive, x, product};
  return plan_ew(p, op, EW_MUL, NULL, mul, 2, product) && plan_ew(p, op, EW_GT, NULL, greater, 2, positive) &&
         plan_ew(p, op, EW_SELECT, NULL, select, 3, out) && plan_bind(p, op->result[0], out);
}

/* -- Reductions, pooling --------------------------------------------------------------------------------------------- */

bool lower_reduce(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  int out = plan_new_value(p, result_type(op), op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_REDUCE, &x, 1, out, sizeof(reduce_args));
  if (!n) return false;
  reduce_args *a = n->args;
  plan_value v = p->value[x];
  a->profile = p->profile;
  a->kind = mil_op_id_of(op);
  a->rank = v.rank ? v.rank : 1;
  a->dim[0] = 1;
  for (int i = 0; i < v.rank; i++) a->dim[i] = v.dim[i];
  int64_t axes[K_RANK];
  int n_axes = mil_get(op, "axes") ? mil_ints(op, "axes", axes, K_RANK) : -1;
  for (int i = 0; i < n_axes; i++) a->reduced[axis_of(axes[i], v.rank)] = true;
  if (n_axes < 0)
    for (int i = 0; i < a->rank; i++) a->reduced[i] = true;
  return plan_bind(p, op->result[0], out);
}

bool lower_softmax(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  int out = plan_new_value(p, result_type(op), op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_SOFTMAX, &x, 1, out, sizeof(softmax_args));
  if (!n) return false;
  softmax_args *a = n->args;
  plan_value v = p->value[x];
  int axis = axis_of(mil_int(op, "axis"), v.rank);
  *a = (softmax_args){.profile = p->profile, .outer = 1, .axis = 1, .inner = 1};
  for (int i = 0; i < v.rank; i++) *(i < axis ? &a->outer : i == axis ? &a->axis : &a->inner) *= v.dim[i];
  return plan_bind(p, op->result[0], out);
}

/* Padding in front and behind for the output size `out`; kind is pad_type, list the pad argument ([front, behind] per
 * axis). */
static void padding(const char *kind, const int64_t *list, int axis, int64_t in, int64_t out, int64_t reach,
                    int64_t stride, int64_t *front, int64_t *behind) {
  *front = *behind = 0;
  if (!strcmp(kind, "custom")) {
    *front = list[2 * axis];
    *behind = list[2 * axis + 1];
  } else if (strcmp(kind, "valid")) {
    int64_t total = (out - 1) * stride + reach - in;
    if (total < 0) total = 0;
    *front = strcmp(kind, "same_lower") ? total / 2 : total - total / 2;
    *behind = total - *front;
  }
}

bool lower_pool(plan *p, const mil_op *op, int code) {
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  const mil_type *t = result_type(op);
  int spatial = t->rank - 2;
  if (spatial != 1 && spatial != 2) return plan_fail(p, op, "the host engine has no kernel for rank %d", t->rank);
  int64_t k[2] = {1, 1}, s[2] = {1, 1}, pad[4] = {0};
  mil_ints(op, "kernel_sizes", k, 2);
  if (mil_get(op, "strides")) mil_ints(op, "strides", s, 2);
  if (mil_get(op, "pad")) mil_ints(op, "pad", pad, 4);
  int out = plan_new_value(p, t, op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_POOL, &x, 1, out, sizeof(pool_args));
  if (!n) return false;
  plan_value v = p->value[x];
  pool_args *a = n->args;
  *a = (pool_args){.profile = p->profile, .average = code, .planes = v.dim[0] * v.dim[1], .h = 1, .oh = 1, .kh = 1,
                   .stride_h = 1};
  a->exclude_pad = code && mil_bool(op, "exclude_padding_from_average");
  const char *kind = mil_string(op, "pad_type");
  int w = spatial - 1;
  a->w = v.dim[2 + w];
  a->ow = t->dim[2 + w];
  a->kw = k[w];
  a->stride_w = s[w];
  padding(kind, pad, w, a->w, a->ow, a->kw, a->stride_w, &a->pad_left, &a->pad_right);
  if (spatial == 2) {
    a->h = v.dim[2];
    a->oh = t->dim[2];
    a->kh = k[0];
    a->stride_h = s[0];
    padding(kind, pad, 0, a->h, a->oh, a->kh, a->stride_h, &a->pad_top, &a->pad_bottom);
  }
  return plan_bind(p, op->result[0], out);
}

bool lower_upsample(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  const mil_type *t = result_type(op);
  plan_value v = p->value[x];
  if (v.rank < 3) return plan_fail(p, op, "the host engine has no kernel for rank %d", v.rank);
  int out = plan_new_value(p, t, op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_UPSAMPLE, &x, 1, out, sizeof(upsample_args));
  if (!n) return false;
  upsample_args *a = n->args;
  *a = (upsample_args){.planes = 1, .h = v.dim[v.rank - 2], .w = v.dim[v.rank - 1]};
  for (int i = 0; i < v.rank - 2; i++) a->planes *= v.dim[i];
  a->scale_h = t->dim[t->rank - 2] / a->h;
  a->scale_w = t->dim[t->rank - 1] / a->w;
  if (a->scale_h * a->h != t->dim[t->rank - 2] || a->scale_w * a->w != t->dim[t->rank - 1])
    return plan_fail(p, op, "the host engine has no kernel for scales that are not whole numbers");
  return plan_bind(p, op->result[0], out);
}

/* -- Shape ----------------------------------------------------------------------------------------------------------- */

bool lower_reshape(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (x < 0) return false;
  const mil_type *t = result_type(op);
  if (t->rank > K_RANK || mil_elements(t) != plan_elements(&p->value[x]))
    return plan_fail(p, op, "the result has another number of elements");
  return plan_bind(p, op->result[0], plan_view(p, x, 0, t->rank, t->dim, op->result[0]->name));
}

bool plan_move(plan *p, const mil_op *op, const mil_value *result, int x, int64_t offset, const int64_t *stride) {
  const mil_type *t = &result->type;
  copy_args a = {.element = (int)plan_element(t->dtype), .rank = t->rank, .x_offset = offset};
  memcpy(a.dim, t->dim, (size_t)t->rank * sizeof *a.dim);
  memcpy(a.x_stride, stride, (size_t)t->rank * sizeof *stride);
  plan_dense_strides(t->rank, a.dim, a.y_stride);
  copy_args merged = a;
  plan_copy_merge(&merged);
  if (merged.rank == 1 && (merged.x_stride[0] == 1 || merged.dim[0] == 1))
    return plan_bind(p, result, plan_view(p, x, offset, t->rank, t->dim, result->name));
  int out = plan_new_value(p, t, result->name);
  plan_node *n = plan_new_node(p, op, NODE_COPY, &x, 1, out, sizeof a);
  if (!n) return false;
  memcpy(n->args, &a, sizeof a);
  return plan_bind(p, result, out);
}

bool lower_transpose(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (x < 0) return false;
  const plan_value *v = &p->value[x];
  int64_t perm[K_RANK], dense[K_RANK], stride[K_RANK];
  mil_ints(op, "perm", perm, K_RANK);
  plan_dense_strides(v->rank, v->dim, dense);
  for (int i = 0; i < v->rank; i++) stride[i] = dense[axis_of(perm[i], v->rank)];
  return plan_move(p, op, op->result[0], x, 0, stride);
}

/* Up to A14 a slice that starts inside the last axis goes through a fixed-point path of 1/16 of the fp16 range:
 * above 4094 it gives infinity. */
static bool slice_cliff(plan *p, const mil_op *op, int x) {
  enum { CLIFF = 0x6bff, INF = 0x7c00, SIGN = 0x8000 };
  const mil_value *result = op->result[0];
  const mil_type *t = &result->type;
  int above = plan_temp(p, MIL_BOOL, t->rank, t->dim, result->name);
  int below = plan_temp(p, MIL_BOOL, t->rank, t->dim, result->name);
  int upper = plan_new_value(p, t, result->name), out = plan_new_value(p, t, result->name);
  int gt[2] = {x, plan_scalar(p, CLIFF, "4094")}, lt[2] = {x, plan_scalar(p, CLIFF | SIGN, "-4094")};
  int high[3] = {above, plan_scalar(p, INF, "inf"), x}, low[3] = {below, plan_scalar(p, INF | SIGN, "-inf"), upper};
  return plan_ew(p, op, EW_GT, NULL, gt, 2, above) && plan_ew(p, op, EW_LT, NULL, lt, 2, below) &&
         plan_ew(p, op, EW_SELECT, NULL, high, 3, upper) && plan_ew(p, op, EW_SELECT, NULL, low, 3, out) &&
         plan_bind(p, result, out);
}

bool plan_slice(plan *p, const mil_op *op, int x, int64_t offset, const int64_t *stride, bool inside) {
  const mil_value *result = op->result[0];
  if (!plan_move(p, op, result, x, offset, stride)) return false;
  bool cliff = inside && p->profile.mode == NUM_ANE && p->profile.family <= 3 && p->value[x].dtype == MIL_FP16 && !plan_is_const(p, x);
  return !cliff || slice_cliff(p, op, (int)(intptr_t)result->user - 1);
}

bool lower_slice(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (x < 0) return false;
  plan_value v = p->value[x];
  const mil_value *result = op->result[0];
  int64_t begin[K_RANK], stride[K_RANK], offset = 0;
  if (const_ints(p, op, "begin", begin, K_RANK) != v.rank) return plan_fail(p, op, "'begin' needs %d elements", v.rank);
  plan_dense_strides(v.rank, v.dim, stride);
  for (int i = 0; i < v.rank; i++) {
    if (begin[i] < 0) begin[i] += v.dim[i];
    if (begin[i] < 0 || begin[i] + result->type.dim[i] > v.dim[i]) return plan_fail(p, op, "the slice leaves axis %d", i);
    offset += begin[i] * stride[i];
  }
  return plan_slice(p, op, x, offset, stride, v.rank && begin[v.rank - 1] > 0);
}

bool lower_reverse(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (x < 0) return false;
  const plan_value *v = &p->value[x];
  int64_t axes[K_RANK], stride[K_RANK], offset = 0;
  bool flip[K_RANK] = {false};
  int n = mil_get(op, "axes") ? mil_ints(op, "axes", axes, K_RANK) : -1;
  for (int i = 0; i < n; i++) flip[axis_of(axes[i], v->rank)] = true;
  plan_dense_strides(v->rank, v->dim, stride);
  for (int i = 0; i < v->rank; i++)
    if (n < 0 || flip[i]) {
      offset += (v->dim[i] - 1) * stride[i];
      stride[i] = -stride[i];
    }
  return plan_move(p, op, op->result[0], x, offset, stride);
}

/* y[r, i] = x[i] on each axis: an axis of step 0 in front of every axis that repeats. */
bool lower_tile(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (x < 0) return false;
  const mil_value *result = op->result[0];
  plan_value v = p->value[x];
  int64_t dense[K_RANK];
  plan_dense_strides(v.rank, v.dim, dense);
  copy_args a = {.element = (int)plan_element(v.dtype)};
  bool repeats = false;
  for (int i = 0; i < v.rank; i++) {
    int64_t reps = result->type.dim[i] / v.dim[i];
    if (reps * v.dim[i] != result->type.dim[i]) return plan_fail(p, op, "axis %d is not a multiple", i);
    repeats |= reps > 1;
    a.dim[a.rank] = reps;
    a.x_stride[a.rank++] = 0;
    a.dim[a.rank] = v.dim[i];
    a.x_stride[a.rank++] = dense[i];
  }
  if (!repeats) return plan_bind(p, result, plan_view(p, x, 0, v.rank, v.dim, result->name));
  int64_t step = 1;
  for (int i = a.rank - 1; i >= 0; i--) {
    a.y_stride[i] = step;
    step *= a.dim[i];
  }
  int out = plan_new_value(p, &result->type, result->name);
  plan_node *n = plan_new_node(p, op, NODE_COPY, &x, 1, out, sizeof a);
  if (!n) return false;
  memcpy(n->args, &a, sizeof a);
  return plan_bind(p, result, out);
}

/* concat, and stack (code 1), whose inputs get a size-1 axis. One copy per input, side by side on the axis. */
bool lower_concat(plan *p, const mil_op *op, int code) {
  int count;
  mil_value *const *values = mil_get_tuple(op, "values", &count);
  const mil_value *result = op->result[0];
  const mil_type *t = &result->type;
  if (count < 1) return plan_fail(p, op, "'values' is empty");
  int axis = axis_of(mil_int(op, "axis"), t->rank);
  bool interleave = !code && mil_bool(op, "interleave");
  int *in = plan_alloc(p, (size_t)count * sizeof *in);
  if (!in) return false;
  for (int i = 0; i < count; i++)
    if ((in[i] = plan_value_of(p, op, values[i])) < 0) return false;
  if (count == 1) return plan_bind(p, result, plan_view(p, in[0], 0, t->rank, t->dim, result->name));
  int out = plan_new_value(p, t, result->name);
  plan_node *n = plan_new_node(p, op, NODE_COPY, in, count, out, (size_t)count * sizeof(copy_args));
  if (!n) return false;
  int64_t at = 0;
  for (int i = 0; i < count; i++) {
    copy_args *a = (copy_args *)n->args + i;
    const plan_value *v = &p->value[in[i]];
    a->element = (int)plan_element(t->dtype);
    a->rank = t->rank;
    memcpy(a->dim, t->dim, (size_t)t->rank * sizeof *a->dim);
    a->dim[axis] = code ? 1 : v->dim[axis];
    plan_dense_strides(t->rank, a->dim, a->x_stride);
    plan_dense_strides(t->rank, t->dim, a->y_stride);
    a->y_offset = (interleave ? i : at) * a->y_stride[axis];
    if (interleave) a->y_stride[axis] *= count;
    at += a->dim[axis];
  }
  return plan_bind(p, result, out);
}

bool lower_split(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (x < 0) return false;
  int64_t stride[K_RANK], at = 0;
  plan_value v = p->value[x];
  int axis = axis_of(mil_int(op, "axis"), v.rank);
  plan_dense_strides(v.rank, v.dim, stride);
  for (int i = 0; i < op->n_results; i++) {
    if (!plan_move(p, op, op->result[i], x, at * stride[axis], stride)) return false;
    at += op->result[i]->type.dim[axis];
  }
  return at == v.dim[axis] || plan_fail(p, op, "the parts do not fill axis %d", axis);
}
