/* plan_linear.c - matmul, linear, conv, conv_transpose, lowered to nodes. */
#include <string.h>

#include "plan.h"

static bool need_fp16(plan *p, const mil_op *op, int v) {
  if (v < 0) return false;
  enum mil_dtype d = p->value[v].dtype;
  return d == MIL_FP16 || plan_fail(p, op, "the host engine has no kernel for %s operands", mil_dtype_name(d));
}

/* An operand as strides over its own shape. A transposition or slice in front of it becomes strides too, so that its copy
 * is not needed. Returns the value whose first element is element [0..] of v. */
static int strided(plan *p, int v, int64_t *stride) {
  const plan_value *a = &p->value[v], *root = &p->value[a->root];
  plan_dense_strides(a->rank, a->dim, stride);
  if (plan_is_uniform(p, v)) {
    memset(stride, 0, sizeof *stride * (size_t)a->rank);
    return v;
  }
  bool same = a->offset == 0 && a->rank == root->rank && !memcmp(a->dim, root->dim, sizeof *a->dim * (size_t)a->rank);
  if (!same || root->producer < 0 || p->node[root->producer].kind != NODE_COPY) return v;
  const plan_node *n = &p->node[root->producer];
  const copy_args *c = n->args;
  if (n->n_in != 1 || c->rank != a->rank) return v;
  for (int i = 0; i < c->rank; i++)
    if (c->x_stride[i] < 0) return v;
  memcpy(stride, c->x_stride, sizeof *stride * (size_t)c->rank);
  if (!c->x_offset) return n->in[0];
  int64_t one = 1;
  return plan_view(p, n->in[0], c->x_offset, 1, &one, a->name);
}

void plan_merge_batch(gemm_args *g) {
  int n = 0;
  for (int i = 0; i < g->batch_rank; i++) {
    if (g->batch_dim[i] == 1) continue;
    if (n && g->x_batch[n - 1] == g->x_batch[i] * g->batch_dim[i] && g->w_batch[n - 1] == g->w_batch[i] * g->batch_dim[i]) {
      g->batch_dim[n - 1] *= g->batch_dim[i];
    } else {
      g->batch_dim[n++] = g->batch_dim[i];
    }
    g->x_batch[n - 1] = g->x_batch[i];
    g->w_batch[n - 1] = g->w_batch[i];
  }
  while (n && g->w_batch[n - 1] == 0 && (g->m == 1 || g->x_batch[n - 1] == g->x_row * g->m)) {
    if (g->m == 1) g->x_row = g->x_batch[n - 1];
    g->m *= g->batch_dim[--n];
  }
  g->batch_rank = n;
  g->batch = 1;
  for (int i = 0; i < n; i++) g->batch *= g->batch_dim[i];
}

/* y = x . w over the last two axes of both, after the optional transpositions; an x of rank 1 is a row and gives a row. */
static bool product(plan *p, const mil_op *op, int x, int w, bool transpose_x, bool transpose_w, int bias) {
  if (!need_fp16(p, op, x) || !need_fp16(p, op, w) || (bias >= 0 && !need_fp16(p, op, bias))) return false;
  const mil_type *t = &op->result[0]->type;
  plan_value a = p->value[x], b = p->value[w];
  if (b.rank < 2) return plan_fail(p, op, "the host engine has no kernel for a second operand of rank %d", b.rank);
  int64_t xs[K_RANK], ws[K_RANK];
  int in[3] = {strided(p, x, xs), strided(p, w, ws), bias};
  bool row = a.rank == 1;
  if (row) {
    a.rank = 2;
    a.dim[1] = a.dim[0];
    xs[1] = xs[0];
    a.dim[0] = 1;
    xs[0] = 0;
  }
  int out = plan_new_value(p, t, op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_GEMM, in, bias >= 0 ? 3 : 2, out, sizeof(gemm_args));
  if (!n) return false;
  gemm_args *g = n->args;
  int xr = a.rank - 2 + transpose_x, xc = a.rank - 1 - transpose_x;
  int wr = b.rank - 2 + transpose_w, wc = b.rank - 1 - transpose_w;
  g->profile = p->profile;
  g->m = a.dim[xr];
  g->k = a.dim[xc];
  g->n = b.dim[wc];
  g->x_row = xs[xr];
  g->x_col = xs[xc];
  g->w_row = ws[wr];
  g->w_col = ws[wc];
  if (b.dim[wr] != g->k) return plan_fail(p, op, "the inner sizes %lld and %lld differ", (long long)g->k, (long long)b.dim[wr]);
  g->batch_rank = t->rank - (row ? 1 : 2);
  for (int i = 0; i < g->batch_rank; i++) {
    int ax = i - (g->batch_rank + 2 - a.rank), aw = i - (g->batch_rank + 2 - b.rank);
    g->batch_dim[i] = t->dim[i];
    g->x_batch[i] = ax < 0 || a.dim[ax] == 1 ? 0 : xs[ax];
    g->w_batch[i] = aw < 0 || b.dim[aw] == 1 ? 0 : ws[aw];
  }
  plan_merge_batch(g);
  g->bias_axis = bias >= 0 ? 1 : -1;
  return plan_bind(p, op->result[0], out);
}

bool lower_matmul(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x"), y = plan_weight(p, op, "y");
  return product(p, op, x, y, mil_bool(op, "transpose_x"), mil_bool(op, "transpose_y"), -1);
}

bool lower_linear(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x"), w = plan_weight(p, op, "weight"), bias = -1;
  if (mil_get(op, "bias") && (bias = plan_operand(p, op, "bias")) < 0) return false;
  if (x < 0 || w < 0) return false;
  int64_t n = p->value[w].rank == 2 ? p->value[w].dim[0] : 0;
  if (bias >= 0 && plan_elements(&p->value[bias]) != n)
    return plan_fail(p, op, "'bias' needs %lld elements", (long long)n);
  return product(p, op, x, w, false, true, bias);
}

/* -- Convolution ----------------------------------------------------------------------------------------------------- */

/* strides, dilations and pad of one spatial axis. */
typedef struct {
  int64_t stride, dilation, front, behind;
} window;

static bool windows(plan *p, const mil_op *op, const plan_value *x, const plan_value *w, bool transpose, int spatial,
                    window *out) {
  int64_t stride[2] = {1, 1}, dilation[2] = {1, 1}, pad[4] = {0};
  if (mil_get(op, "strides")) mil_ints(op, "strides", stride, 2);
  if (mil_get(op, "dilations")) mil_ints(op, "dilations", dilation, 2);
  if (mil_get(op, "pad")) mil_ints(op, "pad", pad, 4);
  if (transpose && mil_get(op, "output_shape")) return plan_fail(p, op, "the host engine has no kernel for 'output_shape'");
  const char *kind = mil_string(op, "pad_type");
  bool custom = !strcmp(kind, "custom"), valid = !strcmp(kind, "valid"), lower = !strcmp(kind, "same_lower");
  if (transpose && !custom && !valid) return plan_fail(p, op, "the host engine has no kernel for pad_type '%s'", kind);
  const mil_type *t = &op->result[0]->type;
  for (int i = 0; i < spatial; i++) {
    window *v = &out[i];
    *v = (window){stride[i], dilation[i], 0, 0};
    if (custom) {
      v->front = pad[2 * i];
      v->behind = pad[2 * i + 1];
    } else if (!valid) {
      int64_t total = (t->dim[2 + i] - 1) * v->stride + (w->dim[2 + i] - 1) * v->dilation + 1 - x->dim[2 + i];
      if (total < 0) total = 0;
      v->front = lower ? total - total / 2 : total / 2;
      v->behind = total - v->front;
    }
  }
  return true;
}

/* A 1x1 convolution of one channel is a multiplication per output channel: it does not go through the accumulator. */
static bool scale_channels(plan *p, const mil_op *op, int x, int w, int bias) {
  if (!plan_decode(p, w)) return false;
  const mil_value *result = op->result[0];
  const mil_type *t = &result->type;
  int64_t dim[K_RANK] = {t->dim[1], 1, 1};
  int in[2] = {x, plan_view(p, w, 0, t->rank - 1, dim, result->name)}, out = plan_new_value(p, t, result->name);
  if (!plan_ew(p, op, EW_MUL, NULL, in, 2, out)) return false;
  if (bias >= 0) {
    int add[2] = {out, plan_view(p, bias, 0, t->rank - 1, dim, result->name)};
    out = plan_new_value(p, t, result->name);
    if (!plan_ew(p, op, EW_ADD, NULL, add, 2, out)) return false;
  }
  return plan_bind(p, result, out);
}

bool lower_conv(plan *p, const mil_op *op, int code) {
  bool transpose = code;
  const mil_type *t = &op->result[0]->type;
  int in[3] = {plan_operand(p, op, "x"), plan_weight(p, op, "weight"), -1};
  if (!need_fp16(p, op, in[0]) || !need_fp16(p, op, in[1])) return false;
  int bias = mil_get(op, "bias") ? plan_operand(p, op, "bias") : -1;
  if (mil_get(op, "bias") && !need_fp16(p, op, bias)) return false;
  if (bias >= 0 && plan_elements(&p->value[bias]) != t->dim[1])
    return plan_fail(p, op, "'bias' needs %lld elements", (long long)t->dim[1]);
  in[2] = bias;
  plan_value x = p->value[in[0]], w = p->value[in[1]];
  int spatial = t->rank - 2;
  if (spatial != 1 && spatial != 2) return plan_fail(p, op, "the host engine has no kernel for rank %d", t->rank);
  window v[2];
  if (!windows(p, op, &x, &w, transpose, spatial, v)) return false;
  conv_args a = {.profile = p->profile, .transpose = transpose, .n = x.dim[0], .cin = x.dim[1], .cout = t->dim[1],
                 .h = 1, .kh = 1, .oh = 1, .stride_h = 1, .dilation_h = 1, .groups = mil_int(op, "groups"),
                 .has_bias = bias >= 0};
  int i = spatial - 1;
  a.w = x.dim[2 + i];
  a.kw = w.dim[2 + i];
  a.ow = t->dim[2 + i];
  a.stride_w = v[i].stride;
  a.dilation_w = v[i].dilation;
  a.pad_left = v[i].front;
  a.pad_right = v[i].behind;
  if (spatial == 2) {
    a.h = x.dim[2];
    a.kh = w.dim[2];
    a.oh = t->dim[2];
    a.stride_h = v[0].stride;
    a.dilation_h = v[0].dilation;
    a.pad_top = v[0].front;
    a.pad_bottom = v[0].behind;
  }
  bool plain = a.kh == 1 && a.kw == 1 && a.stride_h == 1 && a.stride_w == 1 && a.oh == a.h && a.ow == a.w;
  if (!transpose && plain && a.cin == 1 && a.groups == 1 && !(a.pad_top | a.pad_bottom | a.pad_left | a.pad_right) &&
      p->profile.mode == NUM_ANE)
    return scale_channels(p, op, in[0], in[1], bias);
  int out = plan_new_value(p, t, op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_CONV, in, bias >= 0 ? 3 : 2, out, sizeof a);
  if (!n) return false;
  memcpy(n->args, &a, sizeof a);
  return plan_bind(p, op->result[0], out);
}
