/* plan_einsum.c - an equation of two operands as a batched matrix product between two rearrangements. */
#include <string.h>

#include "plan.h"

/* One operand: its letters, and the steps of its axes. */
typedef struct {
  int value;
  const char *letters;
  int64_t dim[K_RANK], stride[K_RANK];
} side;

static int find(const side *s, char letter) {
  const char *at = strchr(s->letters, letter);
  return at ? (int)(at - s->letters) : -1;
}

static int64_t extent(const side *s, char letter) {
  int i = find(s, letter);
  return i < 0 ? 1 : s->dim[i];
}

static int64_t step(const side *s, char letter) {
  int i = find(s, letter);
  return i < 0 || s->dim[i] == 1 ? 0 : s->stride[i];
}

/* The letters as one axis: its extent, and its step if there is one (else 0, and false). */
static bool as_one(const side *s, const char *letters, int64_t *size, int64_t *stride) {
  bool joined = true;
  *size = 1;
  *stride = 0;
  for (int i = (int)strlen(letters) - 1; i >= 0; i--) {
    int64_t n = extent(s, letters[i]);
    if (n == 1) continue;
    if (*size == 1) *stride = step(s, letters[i]);
    else joined = joined && step(s, letters[i]) == *stride * *size;
    *size *= n;
  }
  return joined;
}

/* Copies an operand so that its letters come in the given order. */
static bool reorder(plan *p, const mil_op *op, side *s, const char *order) {
  copy_args a = {.element = 2, .rank = (int)strlen(order)};
  for (int i = 0; i < a.rank; i++) {
    a.dim[i] = extent(s, order[i]);
    a.x_stride[i] = step(s, order[i]);
  }
  plan_dense_strides(a.rank, a.dim, a.y_stride);
  int out = plan_temp(p, MIL_FP16, a.rank, a.dim, op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_COPY, &s->value, 1, out, sizeof a);
  if (!n) return false;
  memcpy(n->args, &a, sizeof a);
  s->value = out;
  s->letters = order;
  memcpy(s->dim, a.dim, sizeof s->dim);
  memcpy(s->stride, a.y_stride, sizeof s->stride);
  return true;
}

static void add(char *letters, char letter) {
  size_t n = strlen(letters);
  letters[n] = letter;
  letters[n + 1] = 0;
}

/* Letters by role: in both and the result, in x or w only, in both only. */
typedef struct {
  char batch[8], rows[8], columns[8], sum[8];
} roles;

static roles assign(const mil_equation *e) {
  roles r = {"", "", "", ""};
  for (const char *c = e->result; *c; c++) {
    bool x = strchr(e->operand[0], *c), w = strchr(e->operand[1], *c);
    add(x && w ? r.batch : x ? r.rows : r.columns, *c);
  }
  for (const char *c = e->operand[0]; *c; c++)
    if (!strchr(e->result, *c)) add(r.sum, *c);
  return r;
}

static bool operand(plan *p, const mil_op *op, int i, const mil_equation *e, side *s) {
  int count;
  mil_value *const *values = mil_get_tuple(op, "values", &count);
  s->value = plan_value_of(p, op, values[i]);
  if (!plan_need(p, op, s->value, true)) return false;
  if (plan_is_const(p, s->value) && !plan_dense(p, s->value)) return false;
  s->letters = e->operand[i];
  const plan_value *v = &p->value[s->value];
  memcpy(s->dim, v->dim, sizeof s->dim);
  plan_dense_strides(v->rank, v->dim, s->stride);
  return true;
}

/* The product as [batch.., rows.., columns..]; its value, or -1. */
static int multiply(plan *p, const mil_op *op, side *x, side *w, const roles *r) {
  char order[2][24];
  int64_t m, n, k, x_row, x_col, w_row, w_col, dim[3] = {1, 0, 0};
  strcat(strcat(strcpy(order[0], r->batch), r->rows), r->sum);
  strcat(strcat(strcpy(order[1], r->batch), r->sum), r->columns);
  if ((!as_one(x, r->rows, &m, &x_row) || !as_one(x, r->sum, &k, &x_col)) && !reorder(p, op, x, order[0])) return -1;
  if ((!as_one(w, r->sum, &k, &w_row) || !as_one(w, r->columns, &n, &w_col)) && !reorder(p, op, w, order[1])) return -1;
  as_one(x, r->rows, &m, &x_row);
  as_one(x, r->sum, &k, &x_col);
  as_one(w, r->sum, &k, &w_row);
  as_one(w, r->columns, &n, &w_col);
  gemm_args g = {.profile = p->profile, .m = m, .n = n, .k = k, .x_row = x_row, .x_col = x_col, .w_row = w_row, .w_col = w_col,
                 .bias_axis = -1};
  for (const char *c = r->batch; *c; c++) {
    int64_t a = extent(x, *c), b = extent(w, *c), i = g.batch_rank++;
    g.batch_dim[i] = a > b ? a : b;
    g.x_batch[i] = step(x, *c);
    g.w_batch[i] = step(w, *c);
    dim[0] *= g.batch_dim[i];
  }
  dim[1] = m;
  dim[2] = n;
  plan_merge_batch(&g);
  int in[2] = {x->value, w->value}, out = plan_temp(p, MIL_FP16, 3, dim, op->result[0]->name);
  plan_node *node = plan_new_node(p, op, NODE_GEMM, in, 2, out, sizeof g);
  if (node) memcpy(node->args, &g, sizeof g);
  return node ? out : -1;
}

bool lower_einsum(plan *p, const mil_op *op, int code) {
  (void)code;
  mil_equation e;
  side x, w;
  if (!mil_read_equation(mil_string(op, "equation"), &e)) return plan_fail(p, op, "the equation is not one of two operands");
  if (!operand(p, op, 0, &e, &x) || !operand(p, op, 1, &e, &w)) return false;
  roles r = assign(&e);
  const mil_type *t = &op->result[0]->type;
  int y = multiply(p, op, &x, &w, &r);
  if (y < 0) return false;
  char order[24];
  strcat(strcat(strcpy(order, r.batch), r.rows), r.columns);
  int64_t stride[K_RANK] = {0}, next = 1;
  for (int i = (int)strlen(order) - 1; i >= 0; i--) {
    int axis = (int)(strchr(e.result, order[i]) - e.result);
    stride[axis] = next;
    next *= t->dim[axis];
  }
  return plan_move(p, op, op->result[0], y, 0, stride);
}
