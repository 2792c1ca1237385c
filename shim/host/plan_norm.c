/* plan_norm.c - normalisations and other operations that are chains of simpler ones. Each step of a chain rounds as the
 * operation it is (NUM_ANE); the chains are those the device's compiler is known or taken to make. */
#include <math.h>
#include <string.h>

#include "plan.h"

/* -- Steps of a chain: the value that is made, or -1 ------------------------------------------------------------------------ */

static int elementwise(plan *p, const mil_op *op, uint8_t code, const unary_fn *fn, int a, int b) {
  bool one = code == EW_UNARY || code == EW_COPY;
  if (a < 0 || (!one && b < 0)) return -1;
  plan_value x = p->value[a], y = p->value[one ? a : b];
  int rank = x.rank > y.rank ? x.rank : y.rank, in[2] = {a, b};
  int64_t dim[K_RANK] = {0};
  for (int i = 0; i < rank; i++) {
    int ix = i - (rank - x.rank), iy = i - (rank - y.rank);
    int64_t dx = ix < 0 ? 1 : x.dim[ix], dy = iy < 0 ? 1 : y.dim[iy];
    dim[i] = dx == 1 ? dy : dx;
  }
  int out = plan_temp(p, MIL_FP16, rank, dim, op->result[0]->name);
  return plan_ew(p, op, code, fn, in, one ? 1 : 2, out) ? out : -1;
}

static int unary(plan *p, const mil_op *op, enum mil_op_id id, int x) {
  const unary_fn *fn = unary_get(id, 0, 0, NULL, p->profile);
  if (!fn) return plan_fail(p, op, "the host engine could not make its table"), -1;
  return elementwise(p, op, EW_UNARY, fn, x, -1);
}

/* Over the flagged axes, which stay with extent 1. */
static int reduce(plan *p, const mil_op *op, enum mil_op_id kind, int x, const bool *reduced) {
  if (x < 0) return -1;
  plan_value v = p->value[x];
  int64_t dim[K_RANK] = {0};
  for (int i = 0; i < v.rank; i++) dim[i] = reduced[i] ? 1 : v.dim[i];
  int out = plan_temp(p, MIL_FP16, v.rank, dim, op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_REDUCE, &x, 1, out, sizeof(reduce_args));
  if (!n) return -1;
  reduce_args *a = n->args;
  *a = (reduce_args){.profile = p->profile, .kind = kind, .rank = v.rank};
  for (int i = 0; i < v.rank; i++) {
    a->dim[i] = v.dim[i];
    a->reduced[i] = reduced[i];
  }
  return out;
}

/* 1 / sqrt(x + epsilon). Inside the device's fused normalisations an epsilon below the smallest normal number is 0. */
static int inverse_root(plan *p, const mil_op *op, int x) {
  enum { SMALLEST_NORMAL = 0x0400, SIGN = 0x8000 };
  f16 epsilon = f16_from_float((float)mil_real(op, "epsilon"));
  bool none = p->profile.mode == NUM_ANE ? (epsilon & ~SIGN) < SMALLEST_NORMAL : !(epsilon & ~SIGN);
  if (!none) x = elementwise(p, op, EW_ADD, NULL, x, plan_scalar(p, epsilon, "epsilon"));
  return unary(p, op, OP_RSQRT, x);
}

/* A constant vector along some axes: its view with the given shape. */
static int shaped(plan *p, const mil_op *op, const char *name, int rank, const int64_t *dim) {
  int v = plan_operand(p, op, name);
  return plan_need(p, op, v, true) ? plan_view(p, v, 0, rank, dim, name) : -1;
}

/* -- Normalisations ----------------------------------------------------------------------------------------------------------- */

/* centred = x - mean; centred * rsqrt(mean(centred^2) + epsilon) [* gamma] [+ beta], mean and variance over the flagged axes;
 * dim is the shape of gamma and beta against x. */
static bool standardise(plan *p, const mil_op *op, int x, const bool *reduced, int rank, const int64_t *dim) {
  int centred = elementwise(p, op, EW_SUB, NULL, x, reduce(p, op, OP_REDUCE_MEAN, x, reduced));
  int squared = elementwise(p, op, EW_MUL, NULL, centred, centred);
  int scale = inverse_root(p, op, reduce(p, op, OP_REDUCE_MEAN, squared, reduced));
  int y = elementwise(p, op, EW_MUL, NULL, centred, scale);
  if (mil_get(op, "gamma")) y = elementwise(p, op, EW_MUL, NULL, y, shaped(p, op, "gamma", rank, dim));
  if (mil_get(op, "beta")) y = elementwise(p, op, EW_ADD, NULL, y, shaped(p, op, "beta", rank, dim));
  return plan_bind(p, op->result[0], y);
}

/* [C, 1, ..] against [N, C, ..] */
static int channel_shape(const plan_value *x, int64_t *dim) {
  for (int i = 0; i < K_RANK; i++) dim[i] = 1;
  dim[0] = x->dim[1];
  return x->rank - 1;
}

bool lower_instance_norm(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  plan_value v = p->value[x];
  int64_t dim[K_RANK];
  static const bool reduced[K_RANK] = {false, false, true, true, true};
  int rank = channel_shape(&v, dim);
  return standardise(p, op, x, reduced, rank, dim);
}

bool lower_layer_norm(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  plan_value v = p->value[x];
  int64_t axes[K_RANK], dim[K_RANK];
  bool reduced[K_RANK] = {false};
  int n = mil_ints(op, "axes", axes, K_RANK);
  for (int i = 0; i < n; i++) reduced[axes[i] < 0 ? axes[i] + v.rank : axes[i]] = true;
  for (int i = 0; i < v.rank; i++) dim[i] = reduced[i] ? v.dim[i] : 1;
  return standardise(p, op, x, reduced, v.rank, dim);
}

/* x / sqrt(sum over the last three axes of x^2 + epsilon) */
bool lower_l2_norm(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  bool reduced[K_RANK] = {false};
  for (int i = 1; i <= 3; i++) reduced[p->value[x].rank - i] = true;
  int scale = inverse_root(p, op, reduce(p, op, OP_REDUCE_SUM_SQUARE, x, reduced));
  return plan_bind(p, op->result[0], elementwise(p, op, EW_MUL, NULL, x, scale));
}

/* A constant of one number per channel made of doubles. */
static int channel_constant(plan *p, const mil_op *op, const plan_value *x, const double *value) {
  int64_t dim[K_RANK];
  int rank = channel_shape(x, dim);
  f16 *data = plan_own(p, (size_t)dim[0] * sizeof *data);
  if (!data) return -1;
  for (int64_t c = 0; c < dim[0]; c++) data[c] = f16_from_float((float)value[c]);
  int v = plan_constant(p, MIL_FP16, rank, dim, data, false, true, op->result[0]->name);
  if (v < 0) plan_disown(p, data);
  return v;
}

static const f16 *channel_data(plan *p, const mil_op *op, const char *name, bool *ok) {
  if (!mil_get(op, name)) return NULL;
  int v = plan_operand(p, op, name);
  const f16 *data = plan_need(p, op, v, true) ? plan_dense(p, v) : NULL;
  *ok = *ok && data;
  return data;
}

/* NUM_ANE: folded into a gain and an offset, the stage behind every engine: fp16(gamma / sqrt(variance + epsilon)) * x, then +
 * fp16(beta - mean * gain) with the unrounded gain. NUM_FAST: ((x - mean) * gain) + beta, the gain in two parts so that it is
 * as good as fp32. */
bool lower_batch_norm(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  plan_value v = p->value[x];
  bool ok = true, ane = p->profile.mode == NUM_ANE;
  const f16 *mean = channel_data(p, op, "mean", &ok), *variance = channel_data(p, op, "variance", &ok);
  const f16 *gamma = channel_data(p, op, "gamma", &ok), *beta = channel_data(p, op, "beta", &ok);
  double epsilon = mil_real(op, "epsilon");
  int64_t channels = v.dim[1];
  double *gain = ok ? plan_alloc(p, (size_t)channels * sizeof *gain) : NULL;
  double *rest = gain ? plan_alloc(p, (size_t)channels * sizeof *rest) : NULL;
  double *offset = rest ? plan_alloc(p, (size_t)channels * sizeof *offset) : NULL;
  if (!offset) return false;
  for (int64_t c = 0; c < channels; c++) {
    double m = f16_to_float(mean[c]), g = gamma ? f16_to_float(gamma[c]) : 1, b = beta ? f16_to_float(beta[c]) : 0;
    gain[c] = g / sqrt(f16_to_float(variance[c]) + epsilon);
    rest[c] = gain[c] - f16_to_float(f16_from_float((float)gain[c]));
    if (!(fabs(rest[c]) < 1)) rest[c] = 0; /* an infinite gain */
    offset[c] = ane ? b - m * gain[c] : b;
  }
  int y = x, high = channel_constant(p, op, &v, gain);
  if (!ane) {
    int64_t dim[K_RANK];
    int rank = channel_shape(&v, dim);
    y = elementwise(p, op, EW_SUB, NULL, x, shaped(p, op, "mean", rank, dim));
  }
  int product = elementwise(p, op, EW_MUL, NULL, y, high);
  if (!ane) {
    int low = elementwise(p, op, EW_MUL, NULL, y, channel_constant(p, op, &v, rest));
    product = elementwise(p, op, EW_ADD, NULL, product, low);
  }
  return plan_bind(p, op->result[0], elementwise(p, op, EW_ADD, NULL, product, channel_constant(p, op, &v, offset)));
}

bool lower_lrn(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  int out = plan_new_value(p, &op->result[0]->type, op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_LRN, &x, 1, out, sizeof(lrn_args));
  if (!n) return false;
  lrn_args *a = n->args;
  plan_value v = p->value[x];
  *a = (lrn_args){.profile = p->profile, .outer = v.dim[0], .channels = v.dim[1], .inner = 1, .size = mil_int(op, "size"),
                  .beta = mil_real(op, "beta"), .k = mil_real(op, "k")};
  a->scale = mil_real(op, "alpha") / (double)a->size;
  for (int i = 2; i < v.rank; i++) a->inner *= v.dim[i];
  return plan_bind(p, op->result[0], out);
}

/* -- Others --------------------------------------------------------------------------------------------------------------------- */

/* alpha[c] * softplus(beta[c] * x) */
bool lower_softplus_parametric(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  int64_t dim[K_RANK];
  int rank = channel_shape(&p->value[x], dim);
  int y = elementwise(p, op, EW_MUL, NULL, x, shaped(p, op, "beta", rank, dim));
  y = unary(p, op, OP_SOFTPLUS, y);
  return plan_bind(p, op->result[0], elementwise(p, op, EW_MUL, NULL, y, shaped(p, op, "alpha", rank, dim)));
}

bool lower_floor_div(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x"), y = plan_operand(p, op, "y");
  if (!plan_need(p, op, x, true) || !plan_need(p, op, y, true)) return false;
  return plan_bind(p, op->result[0], unary(p, op, OP_FLOOR, elementwise(p, op, EW_DIV, NULL, x, y)));
}

/* (input - zero_point) * scale, the difference exact. */
bool lower_dequantize(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "input"), scale = plan_operand(p, op, "scale");
  if (!plan_need(p, op, x, false) || !plan_need(p, op, scale, true)) return false;
  plan_value v = p->value[x];
  int64_t dim[K_RANK] = {1, 1, 1, 1, 1}, axis = mil_get(op, "axis") ? mil_int(op, "axis") : 0;
  if (axis < 0) axis += v.rank;
  int y = elementwise(p, op, EW_COPY, NULL, x, -1), zero = mil_get(op, "zero_point") ? plan_operand(p, op, "zero_point") : -1;
  if (zero >= 0) {
    dim[axis] = plan_elements(&p->value[zero]);
    y = elementwise(p, op, EW_SUB, NULL, y, elementwise(p, op, EW_COPY, NULL, plan_view(p, zero, 0, v.rank, dim, "zero_point"), -1));
  } else if (mil_get(op, "zero_point")) {
    return false;
  }
  dim[axis] = plan_elements(&p->value[scale]);
  return plan_bind(p, op->result[0], elementwise(p, op, EW_MUL, NULL, y, plan_view(p, scale, 0, v.rank, dim, "scale")));
}

/* x . w over the last two axes, transposed: w is [.., N, K]. Leading axes are the same. */
static int product(plan *p, const mil_op *op, int x, int w, bool transposed) {
  if (x < 0 || w < 0) return -1;
  plan_value a = p->value[x], b = p->value[w];
  int64_t dim[K_RANK], m = a.dim[a.rank - 2], k = a.dim[a.rank - 1], n = b.dim[b.rank - (transposed ? 2 : 1)];
  memcpy(dim, a.dim, sizeof dim);
  dim[a.rank - 1] = n;
  int in[2] = {x, w}, out = plan_temp(p, MIL_FP16, a.rank, dim, op->result[0]->name);
  plan_node *node = plan_new_node(p, op, NODE_GEMM, in, 2, out, sizeof(gemm_args));
  if (!node) return -1;
  gemm_args *g = node->args;
  *g = (gemm_args){.profile = p->profile, .m = m, .n = n, .k = k, .x_row = k, .x_col = 1, .w_row = transposed ? 1 : n,
                   .w_col = transposed ? k : 1, .batch_rank = 1, .batch_dim = {1}, .x_batch = {m * k}, .w_batch = {n * k},
                   .bias_axis = -1};
  for (int i = 0; i < a.rank - 2; i++) g->batch_dim[0] *= a.dim[i];
  plan_merge_batch(g);
  return out;
}

/* softmax(query . key' / sqrt(E) + mask) . value; the scale multiplies the scores. */
bool lower_attention(plan *p, const mil_op *op, int code) {
  (void)code;
  int q = plan_operand(p, op, "query"), k = plan_operand(p, op, "key"), v = plan_operand(p, op, "value");
  if (!plan_need(p, op, q, true) || !plan_need(p, op, k, true) || !plan_need(p, op, v, true)) return false;
  plan_value query = p->value[q];
  f16 scale = f16_from_float((float)(1 / sqrt((double)query.dim[query.rank - 1])));
  int scores = product(p, op, q, k, true);
  scores = elementwise(p, op, EW_MUL, NULL, scores, plan_scalar(p, scale, "scale"));
  if (mil_get(op, "attn_mask")) {
    int mask = plan_operand(p, op, "attn_mask");
    if (!plan_need(p, op, mask, true)) return false;
    scores = elementwise(p, op, EW_ADD, NULL, scores, mask);
  }
  if (scores < 0) return false;
  plan_value s = p->value[scores];
  int weights = plan_temp(p, MIL_FP16, s.rank, s.dim, op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_SOFTMAX, &scores, 1, weights, sizeof(softmax_args));
  if (!n) return false;
  int64_t axis = s.dim[s.rank - 1];
  *(softmax_args *)n->args =
      (softmax_args){.profile = p->profile, .outer = plan_elements(&s) / axis, .axis = axis, .inner = 1};
  return plan_bind(p, op->result[0], product(p, op, weights, v, false));
}
