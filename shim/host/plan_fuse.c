/* plan_fuse.c - nodes become units: one kernel each, with as many elementwise nodes as fit.
 *
 * Units are made in text order, and a unit's number is its place in the run: everything a node reads comes from units with
 * a smaller number, or from inside its own. A node may therefore join a unit only when no operand comes from a later one;
 * then no path can leave a unit and come back to it. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

/* -- Bias ------------------------------------------------------------------------------------------------------------- */

/* Whether b is one value per column of a product ([1, N]), or per channel of a convolution ([1, C, 1, 1]). */
static bool is_bias(const plan *p, const plan_node *g, const plan_value *y, int b) {
  const plan_value *v = &p->value[b], *root = &p->value[v->root];
  int axis = g->kind == NODE_GEMM ? y->rank - 1 : 1, shift = y->rank - v->rank;
  bool given = (root->data || root->input >= 0) && plan_is_whole(p, b);
  if (v->dtype != MIL_FP16 || !given || shift < 0 || axis < shift) return false;
  for (int i = 0; i < v->rank; i++)
    if (v->dim[i] != (i + shift == axis ? y->dim[axis] : 1)) return false;
  return true;
}

static bool same_shape(const plan_value *a, const plan_value *b) {
  return a->rank == b->rank && !memcmp(a->dim, b->dim, sizeof *a->dim * (size_t)a->rank);
}

static void take_bias(plan *p, plan_node *add) {
  for (int side = 0; side < 2; side++) {
    int product = add->in[side], b = add->in[1 - side];
    const plan_value *y = &p->value[p->value[product].root];
    if (y->producer < 0 || y->n_users != 1 || !same_shape(&p->value[product], y)) continue;
    plan_node *g = &p->node[y->producer];
    if ((g->kind != NODE_GEMM && g->kind != NODE_CONV) || g->n_in != 2 || !is_bias(p, g, y, b)) continue;
    if (!same_shape(&p->value[add->out], y)) continue;
    int *in = plan_alloc(p, 3 * sizeof *in);
    if (!in) return; /* the plan has failed */
    in[0] = g->in[0];
    in[1] = g->in[1];
    in[2] = b;
    g->in = in;
    g->n_in = 3;
    g->out = add->out;
    p->value[add->out].producer = (int)(g - p->node);
    add->dead = true;
    if (g->kind == NODE_GEMM) ((gemm_args *)g->args)->bias_axis = 1;
    else ((conv_args *)g->args)->has_bias = true;
    return;
  }
}

void plan_bias(plan *p) {
  for (int i = 0; i < p->n_nodes; i++)
    if (!p->node[i].dead && p->node[i].kind == NODE_EW && p->node[i].code == EW_ADD) take_bias(p, &p->node[i]);
}

/* -- Building the program of a unit ------------------------------------------------------------------------------------ */

typedef struct {
  int value, n_uses, last; /* root; uses inside the unit; last instruction that reads it */
  bool out;
  int reg;
} local;

typedef struct {
  local made[PLAN_GROUP + 1]; /* results inside the unit, the head's product first */
  int n_made;
  local in[EW_IO];
  ew_port port[EW_IO];
  int n_in, n_out;
  int16_t operand[PLAN_GROUP][3]; /* index into made, or -1 - index into in */
  uint8_t dst[PLAN_GROUP];
} build;

static bool same_input(const plan *p, int a, int b) {
  if (a == b) return true;
  const plan_value *x = &p->value[a], *y = &p->value[b];
  if (x->dtype != y->dtype) return false;
  if (x->root == y->root && x->offset == y->offset) return true;
  return plan_is_uniform(p, a) && plan_is_uniform(p, b) && !memcmp(plan_data(p, a), plan_data(p, b), plan_element(x->dtype));
}

/* The input slot of operand v of a node over shape y; -1 when all slots are taken. */
static int input_slot(const plan *p, build *b, int v, const plan_value *y) {
  int64_t stride[K_RANK] = {0};
  plan_broadcast(p, v, y->rank, y->dim, stride);
  for (int i = 0; i < b->n_in; i++)
    if (same_input(p, b->in[i].value, v) && !memcmp(b->port[i].stride, stride, sizeof stride)) return i;
  if (b->n_in == EW_IO) return -1;
  b->in[b->n_in] = (local){.value = v, .last = -1};
  b->port[b->n_in].dtype = p->value[v].dtype;
  memcpy(b->port[b->n_in].stride, stride, sizeof stride);
  return b->n_in++;
}

static bool collect(plan *p, const plan_unit *u, build *b) {
  int stamp = ++p->stamps;
  b->n_made = b->n_in = b->n_out = 0;
  if (u->head >= 0) {
    int y = p->node[u->head].out;
    p->stamp[y] = stamp;
    p->slot[y] = b->n_made;
    b->made[b->n_made++] = (local){.value = y, .last = -1};
  }
  for (int k = 0; k < u->n_ew; k++) {
    const plan_node *n = &p->node[u->ew[k]];
    for (int j = 0; j < n->n_in; j++) {
      int root = p->value[n->in[j]].root;
      local *from;
      if (p->stamp[root] == stamp) {
        b->operand[k][j] = (int16_t)p->slot[root];
        from = &b->made[p->slot[root]];
      } else {
        int slot = input_slot(p, b, n->in[j], &p->value[n->out]);
        if (slot < 0) return false;
        b->operand[k][j] = (int16_t)(-1 - slot);
        from = &b->in[slot];
      }
      from->n_uses++;
      from->last = k;
    }
    p->stamp[n->out] = stamp;
    p->slot[n->out] = b->n_made;
    b->made[b->n_made++] = (local){.value = n->out, .last = k};
  }
  for (int i = 0; i < b->n_made; i++)
    if ((b->made[i].out = p->value[b->made[i].value].n_users > b->made[i].n_uses)) b->n_out++;
  return b->n_out <= EW_IO;
}

static void release(const local *l, int k, uint32_t *free_regs) {
  if (!l->out && l->last == k) *free_regs |= 1u << l->reg;
}

/* One register per value from where it is made to its last use; outputs keep theirs to the end. */
static bool assign(const plan_unit *u, build *b) {
  _Static_assert(EW_REGS == 32, "the free registers are the bits of an uint32_t");
  uint32_t free_regs = ~0u;
  for (int i = 0; i < b->n_in; i++) {
    b->in[i].reg = i;
    free_regs &= ~(1u << i);
  }
  int k0 = 0;
  if (u->head >= 0) {
    b->made[0].reg = b->n_in;
    free_regs &= ~(1u << b->n_in);
    k0 = 1;
  }
  for (int k = 0; k < u->n_ew; k++) {
    for (int j = 0; j < 3; j++) {
      int o = b->operand[k][j];
      release(o >= 0 ? &b->made[o] : &b->in[-1 - o], k, &free_regs);
    }
    if (!free_regs) return false;
    int reg = __builtin_ctz(free_regs);
    b->made[k0 + k].reg = reg;
    b->dst[k] = (uint8_t)reg;
    free_regs &= ~(1u << reg);
    release(&b->made[k0 + k], k, &free_regs); /* nobody reads it */
  }
  return true;
}

/* Whether the unit's nodes fit one program; b gets it. */
static bool fits(plan *p, const plan_unit *u, build *b) {
  for (int k = 0; k < u->n_ew; k++) b->operand[k][1] = b->operand[k][2] = b->operand[k][0] = 0;
  if (!collect(p, u, b)) return false;
  for (int k = 0; k < u->n_ew; k++) /* absent operands repeat the first */
    for (int j = p->node[u->ew[k]].n_in; j < 3; j++) b->operand[k][j] = b->operand[k][0];
  return assign(u, b);
}

/* Merges neighbouring axes that every input walks as one. */
static void merge_axes(ew_program *e) {
  int n = 0;
  for (int i = 0; i < e->rank; i++) {
    bool joins = n > 0;
    for (int k = 0; k < e->n_in && joins; k++)
      joins = e->in[k].stride[n - 1] == e->in[k].stride[i] * e->dim[i];
    int to = joins ? n - 1 : n++;
    e->dim[to] = joins ? e->dim[to] * e->dim[i] : e->dim[i];
    for (int k = 0; k < e->n_in; k++) e->in[k].stride[to] = e->in[k].stride[i];
  }
  e->rank = n;
  if (!n) {
    e->rank = 1;
    e->dim[0] = 1;
  }
}

static bool write_program(plan *p, plan_unit *u, const build *b) {
  ew_program *e = plan_alloc(p, sizeof *e);
  ew_instr *instr = e ? plan_alloc(p, (size_t)u->n_ew * sizeof *instr) : NULL;
  if (!instr) return false;
  *e = (ew_program){.profile = p->profile, .rank = u->rank, .n_in = b->n_in, .n_instr = u->n_ew, .instr = instr};
  memcpy(e->dim, u->dim, sizeof e->dim);
  for (int i = 0; i < b->n_in; i++) {
    e->in[i] = b->port[i];
    e->in[i].reg = (uint8_t)b->in[i].reg;
    u->in[i] = b->in[i].value;
  }
  u->late = true;
  for (int i = 0; i < b->n_made; i++) {
    if (!b->made[i].out) continue;
    const plan_value *v = &p->value[b->made[i].value];
    u->late &= v->output >= 0 && v->n_users == b->made[i].n_uses + 1;
    u->out[e->n_out] = b->made[i].value;
    e->out[e->n_out++] = (ew_port){.dtype = p->value[b->made[i].value].dtype, .reg = (uint8_t)b->made[i].reg};
  }
  for (int k = 0; k < u->n_ew; k++) {
    uint8_t reg[3];
    for (int j = 0; j < 3; j++) {
      int o = b->operand[k][j];
      reg[j] = (uint8_t)(o >= 0 ? b->made[o].reg : b->in[-1 - o].reg);
    }
    const plan_node *n = &p->node[u->ew[k]];
    instr[k] = (ew_instr){.code = n->code, .dst = b->dst[k], .a = reg[0], .b = reg[1], .c = reg[2], .fn = n->fn};
  }
  merge_axes(e);
  u->program = e;
  u->product_reg = u->head >= 0 ? b->made[0].reg : 0;
  return true;
}

/* -- Grouping ----------------------------------------------------------------------------------------------------------- */

static bool same_squeezed(const plan_unit *u, const plan_value *v) {
  int64_t dim[K_RANK];
  int n = plan_squeeze(v->rank, v->dim, dim);
  return n == u->rank && !memcmp(dim, u->dim, sizeof *dim * (size_t)n);
}

/* Whether v, made in unit u, can be taken from its register. */
static bool in_register(const plan *p, const plan_unit *u, int v) {
  const plan_value *root = &p->value[p->value[v].root];
  return plan_is_whole(p, v) && same_squeezed(u, &p->value[v]) && !p->node[root->producer].closes;
}

static int unit_of(const plan *p, int v) {
  int producer = p->value[p->value[v].root].producer;
  return producer < 0 ? -1 : p->node[producer].unit;
}

static bool add_ew(plan *p, plan_unit *u, int node) {
  if (!plan_grow(p, &u->ew, u->n_ew, &u->cap_ew, sizeof *u->ew)) return false;
  u->ew[u->n_ew++] = node;
  return true;
}

/* Puts the node at the end of unit id if it may be there. */
static bool join(plan *p, int id, int node, build *b) {
  plan_unit *u = &p->unit[id];
  const plan_node *n = &p->node[node];
  if (u->rank < 0 || u->n_ew == PLAN_GROUP || !same_squeezed(u, &p->value[n->out])) return false;
  for (int j = 0; j < n->n_in; j++)
    if (unit_of(p, n->in[j]) == id && !in_register(p, u, n->in[j])) return false;
  if (!add_ew(p, u, node)) return false;
  if (fits(p, u, b)) return true;
  u->n_ew--;
  return false;
}

static bool new_unit(plan *p, int node) {
  plan_node *n = &p->node[node];
  if (!plan_grow(p, &p->unit, p->n_units, &p->cap_units, sizeof *p->unit)) return false;
  plan_unit *u = &p->unit[p->n_units];
  *u = (plan_unit){.head = n->kind == NODE_EW ? -1 : node, .rank = -1, .needs = -1};
  n->unit = p->n_units++;
  if (n->kind == NODE_EW || n->kind == NODE_GEMM || n->kind == NODE_CONV) {
    u->rank = plan_squeeze(p->value[n->out].rank, p->value[n->out].dim, u->dim);
    if (n->kind == NODE_EW && !add_ew(p, u, node)) return false;
  }
  return true;
}

/* Moves the elementwise unit `from` into the unit `to` if they fit one program. 1: done, 0: they do not, -1: failed. */
static int merge_units(plan *p, int from, int to, build *b) {
  plan_unit *u = &p->unit[from], *v = &p->unit[to];
  int n = u->n_ew + v->n_ew;
  if (n > PLAN_GROUP || v->rank < 0 || u->rank != v->rank || memcmp(u->dim, v->dim, sizeof *u->dim * (size_t)u->rank)) return 0;
  int *merged = malloc((size_t)n * sizeof *merged);
  if (!merged) return plan_fail(p, NULL, "out of memory"), -1;
  for (int i = 0, j = 0, k = 0; k < n; k++)
    merged[k] = j == v->n_ew || (i < u->n_ew && u->ew[i] < v->ew[j]) ? u->ew[i++] : v->ew[j++];
  plan_unit both = *v;
  both.ew = merged;
  both.n_ew = both.cap_ew = n;
  if (u->needs > both.needs) both.needs = u->needs;
  if (!fits(p, &both, b)) {
    free(merged);
    return 0;
  }
  for (int i = 0; i < u->n_ew; i++) p->node[u->ew[i]].unit = to;
  free(v->ew);
  *v = both;
  free(u->ew);
  *u = (plan_unit){.head = -1, .rank = -1, .needs = -1, .dead = true};
  return 1;
}

/* A node reads a product and a later elementwise unit that could as well run with the product: the unit moves there.
 * Returns the unit that is now the latest one the node reads from. */
static int hoist(plan *p, int node, int made, build *b) {
  const plan_node *n = &p->node[node];
  int product = -1;
  for (int j = 0; j < n->n_in; j++) {
    int unit = unit_of(p, n->in[j]);
    if (unit >= 0 && unit != made && unit > product) product = unit;
  }
  if (product < 0 || p->unit[made].head >= 0 || p->unit[product].head < 0 || p->unit[made].needs >= product) return made;
  if (p->unit[product].rank < 0 || !same_squeezed(&p->unit[product], &p->value[n->out])) return made;
  return merge_units(p, made, product, b) > 0 ? product : made;
}

/* Tries the latest unit that made an operand, then the latest one that reads the same values. */
static bool group(plan *p, int *last_reader, build *b) {
  for (int i = 0; i < p->n_nodes; i++) {
    plan_node *n = &p->node[i];
    if (n->dead) continue;
    int made = -1, read = -1;
    for (int j = 0; j < n->n_in; j++) {
      int unit = unit_of(p, n->in[j]), root = p->value[n->in[j]].root;
      if (unit > made) made = unit;
      if (!plan_is_const(p, root) && last_reader[root] - 1 > read) read = last_reader[root] - 1;
    }
    bool try = p->fuse && n->kind == NODE_EW;
    if (try && made >= 0) made = hoist(p, i, made, b);
    if (try && made >= 0 && join(p, made, i, b)) n->unit = made;
    else if (try && read > made && join(p, read, i, b)) n->unit = read;
    else if (!new_unit(p, i)) return false;
    if (p->failed) return false;
    for (int j = 0; j < n->n_in; j++) {
      int from = unit_of(p, n->in[j]);
      if (from != n->unit && from > p->unit[n->unit].needs) p->unit[n->unit].needs = from;
      last_reader[p->value[n->in[j]].root] = n->unit + 1;
    }
  }
  return true;
}

/* -- Sinking: a group whose results are only used by one later group moves into it ----------------------------------------- */

typedef struct {
  int *first, *node; /* readers of root r: node[first[r]] .. node[first[r + 1] - 1] */
} readers;

static bool list_readers(plan *p, readers *r) {
  r->first = plan_alloc(p, ((size_t)p->n_values + 2) * sizeof(int));
  size_t total = 0;
  for (int i = 0; i < p->n_nodes; i++) total += p->node[i].dead ? 0 : (size_t)p->node[i].n_in;
  r->node = plan_alloc(p, (total + 1) * sizeof(int));
  if (!r->first || !r->node) return false;
  for (int pass = 0; pass < 2; pass++) {
    for (int i = 0; i < p->n_nodes; i++)
      for (int j = 0; j < p->node[i].n_in && !p->node[i].dead; j++) {
        int root = p->value[p->node[i].in[j]].root;
        if (pass) r->node[r->first[root + 1]++] = i;
        else r->first[root + 2]++;
      }
    for (int v = 2; v < p->n_values + 2 && !pass; v++) r->first[v] += r->first[v - 1];
  }
  return true; /* first[root + 1] has moved to its end, which is the start of the next */
}

/* The unit everything u makes goes to, or -1. */
static int only_reader(const plan *p, const readers *r, int id) {
  const plan_unit *u = &p->unit[id];
  int to = -1;
  for (int k = 0; k < u->n_ew; k++) {
    int v = p->node[u->ew[k]].out;
    if (p->value[v].output >= 0) return -1;
    for (int i = r->first[v]; i < r->first[v + 1]; i++) {
      const plan_node *n = &p->node[r->node[i]];
      if (n->unit == id) continue;
      if (n->kind != NODE_EW || (to >= 0 && n->unit != to)) return -1;
      to = n->unit;
      for (int j = 0; j < n->n_in; j++)
        if (p->value[n->in[j]].root == v && !in_register(p, u, n->in[j])) return -1;
    }
  }
  return to;
}

static bool sink(plan *p, const readers *r, int id, build *b) {
  if (p->unit[id].head >= 0 || p->unit[id].dead) return true;
  int to = only_reader(p, r, id);
  return to < 0 || merge_units(p, id, to, b) >= 0;
}

/* -- Order ---------------------------------------------------------------------------------------------------------------- */

/* Units that only make program outputs run last, so that the memory they may overwrite has been read by then. */
static bool order(plan *p) {
  p->order = plan_alloc(p, ((size_t)p->n_units + 1) * sizeof *p->order);
  if (!p->order) return false;
  for (int late = 0; late < 2; late++)
    for (int i = 0; i < p->n_units; i++)
      if (!p->unit[i].dead && p->unit[i].late == late) p->order[p->n_order++] = i;
  return true;
}

bool plan_fuse(plan *p) {
  plan_drop_dead(p); /* counts users again: the bias rule has moved some */
  p->slot = plan_alloc(p, ((size_t)p->n_values + 1) * sizeof *p->slot);
  p->stamp = plan_alloc(p, ((size_t)p->n_values + 1) * sizeof *p->stamp);
  int *last_reader = plan_alloc(p, ((size_t)p->n_values + 1) * sizeof *last_reader);
  build *b = plan_alloc(p, sizeof *b);
  readers r;
  if (!p->slot || !p->stamp || !last_reader || !b || !group(p, last_reader, b) || !list_readers(p, &r)) return false;
  for (int i = p->n_units - 1; i >= 0 && p->fuse; i--)
    if (!sink(p, &r, i, b)) return false;
  for (int i = 0; i < p->n_units; i++) {
    plan_unit *u = &p->unit[i];
    if (u->dead) continue;
    if (!u->n_ew) {
      const plan_value *y = &p->value[p->node[u->head].out];
      u->late = y->output >= 0 && y->n_users == 1;
      continue;
    }
    if (!fits(p, u, b)) return plan_fail(p, NULL, "an elementwise operation has too many operands");
    if (!write_program(p, u, b)) return false;
  }
  return order(p);
}
