/* plan_fold.c - what can be known before the first run: constants, and what nobody needs. */
#include <string.h>

#include "plan.h"

/* Results that are larger than what they are made of are only worth keeping up to this size. */
enum { FOLD_ELEMENTS = 65536 };

static int64_t fold_cost(const plan *p, const plan_node *n) {
  int64_t out = plan_elements(&p->value[n->out]);
  if (n->kind == NODE_GEMM) return out * ((const gemm_args *)n->args)->k;
  if (n->kind == NODE_CONV) {
    const conv_args *c = n->args;
    return out * c->cin * c->kh * c->kw;
  }
  return out;
}

static bool all_uniform(const plan *p, const plan_node *n) {
  for (int i = 0; i < n->n_in; i++)
    if (!plan_is_uniform(p, n->in[i])) return false;
  return true;
}

/* Whether the result has one value: elementwise on such constants, or copies of equal ones. */
static bool stays_uniform(const plan *p, const plan_node *n) {
  if (!all_uniform(p, n)) return false;
  if (n->kind == NODE_EW) return true;
  if (n->kind != NODE_COPY) return false;
  for (int i = 1; i < n->n_in; i++)
    if (memcmp(plan_data(p, n->in[0]), plan_data(p, n->in[i]), plan_element(p->value[n->out].dtype))) return false;
  return true;
}

/* Elements of their own belong to the value; the one element of a uniform constant belongs to the plan. */
static bool set_constant(plan *p, plan_node *n, void *data, bool uniform) {
  plan_value *v = &p->value[n->out];
  v->data = data;
  v->owned = !uniform;
  v->uniform = uniform || plan_elements(v) == 1;
  v->producer = -1;
  n->dead = true;
  return true;
}

static bool fold_node(plan *p, plan_node *n) {
  plan_value *out = &p->value[n->out];
  size_t element = plan_element(out->dtype);
  /* x - x is +0 for every x, infinities and NaN included, when the engine's arithmetic is the device's. */
  if (p->profile.mode == NUM_ANE && n->kind == NODE_EW && n->code == EW_SUB && out->dtype == MIL_FP16) {
    const plan_value *a = &p->value[n->in[0]], *b = &p->value[n->in[1]];
    bool same = n->in[0] == n->in[1] || (a->root == b->root && a->offset == b->offset && a->rank == b->rank &&
                                         !memcmp(a->dim, b->dim, sizeof *a->dim * (size_t)a->rank));
    if (same) {
      void *zero = plan_alloc(p, element);
      return zero && set_constant(p, n, zero, true);
    }
  }
  int64_t inputs = 0;
  for (int i = 0; i < n->n_in; i++) {
    if (!plan_is_const(p, n->in[i]) || p->value[p->value[n->in[i]].root].codes) return true;
    inputs += plan_is_uniform(p, n->in[i]) ? 1 : plan_elements(&p->value[n->in[i]]);
  }
  bool uniform = stays_uniform(p, n);
  int64_t elements = uniform ? 1 : plan_elements(out);
  if (!uniform && elements > inputs && elements > FOLD_ELEMENTS) return true;
  if (!uniform && fold_cost(p, n) > (n->kind == NODE_EW || n->kind == NODE_COPY ? 1 << 28 : 1 << 22)) return true;
  void *data = uniform ? plan_alloc(p, element) : plan_own(p, (size_t)elements * element);
  if (!data) return false;
  if (uniform && n->kind == NODE_COPY) {
    memcpy(data, plan_data(p, n->in[0]), element);
  } else if (!plan_evaluate(p, n, uniform, data)) {
    if (!uniform) plan_disown(p, data);
    return false;
  }
  return set_constant(p, n, data, uniform);
}

/* In text order, so operands come first. */
bool plan_fold(plan *p) {
  for (int i = 0; i < p->n_nodes; i++)
    if (!p->node[i].dead && !fold_node(p, &p->node[i])) return false;
  return true;
}

void plan_drop_dead(plan *p) {
  for (int i = 0; i < p->n_values; i++) p->value[i].n_users = 0;
  for (int i = 0; i < p->n_outputs; i++) p->value[p->value[p->output[i]].root].n_users++;
  for (int i = p->n_nodes - 1; i >= 0; i--) {
    plan_node *n = &p->node[i];
    if (!n->dead && !p->value[n->out].n_users) n->dead = true;
    for (int j = 0; j < n->n_in && !n->dead; j++) p->value[p->value[n->in[j]].root].n_users++;
  }
}

/* A copy whose innermost axis is walked by 1 or stays, and none backwards: an elementwise program reads the source as well. */
static const copy_args *walkable(const plan *p, int v) {
  const plan_value *a = &p->value[v], *root = &p->value[a->root];
  if (a->root != v || root->producer < 0 || p->node[root->producer].kind != NODE_COPY) return NULL;
  const plan_node *n = &p->node[root->producer];
  const copy_args *c = n->args;
  if (n->n_in != 1 || c->rank != a->rank || root->output >= 0) return NULL;
  int last = -1;
  for (int i = 0; i < c->rank; i++) {
    if (c->x_stride[i] < 0) return NULL;
    if (c->dim[i] != 1) last = i;
  }
  return last >= 0 && c->x_stride[last] <= 1 ? c : NULL;
}

bool plan_see_through(plan *p) {
  int n_values = p->n_values;
  int *reads = plan_alloc(p, ((size_t)n_values + 1) * sizeof *reads); /* per value: by elementwise nodes, as it is */
  int *view = plan_alloc(p, ((size_t)n_values + 1) * sizeof *view);
  if (!reads || !view) return false;
  for (int i = 0; i < p->n_nodes; i++)
    for (int j = 0; j < p->node[i].n_in && !p->node[i].dead && p->node[i].kind == NODE_EW; j++)
      if (walkable(p, p->node[i].in[j])) reads[p->node[i].in[j]]++;
  for (int i = 0; i < p->n_nodes; i++)
    for (int j = 0; j < p->node[i].n_in && !p->node[i].dead && p->node[i].kind == NODE_EW; j++) {
      int v = p->node[i].in[j];
      if (v >= n_values || !reads[v] || reads[v] != p->value[v].n_users) continue;
      const copy_args *c = walkable(p, v);
      if (!view[v]) {
        plan_value a = p->value[v];
        int of = p->node[a.producer].in[0], made = plan_view(p, of, c->x_offset, a.rank, a.dim, a.name);
        if (made < 0) return false;
        p->value[made].strided = true;
        memcpy(p->value[made].stride, c->x_stride, sizeof p->value[made].stride);
        view[v] = made;
      }
      p->node[i].in[j] = view[v];
    }
  return true; /* plan_fuse() drops the copies */
}
