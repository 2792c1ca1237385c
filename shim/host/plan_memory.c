/* plan_memory.c - where each value lives: in a port, as a part of a larger value, or in the one arena, whose bytes are used
 * again when a value's last reader has run. Time is the position in the plan's order of units. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"

int plan_place(const plan *p, int v, int64_t *offset) {
  const plan_value *a = &p->value[v];
  *offset = a->offset * (int64_t)plan_element(a->dtype);
  int root = a->root;
  while (p->value[root].placed >= 0) {
    *offset += p->value[root].at;
    root = p->value[root].placed;
  }
  return root;
}

bool plan_reads_in_place(const plan *p, const plan_unit *u, int k) {
  const ew_program *e = u->program;
  int64_t dense[K_RANK];
  plan_dense_strides(e->rank, e->dim, dense);
  for (int i = 0; i < e->rank; i++)
    if (e->dim[i] != 1 && e->in[k].stride[i] != dense[i]) return false;
  const plan_value *v = &p->value[u->in[k]];
  return plan_is_whole(p, u->in[k]) && p->value[v->root].placed < 0;
}

/* Reads of a unit one after the other: the head's operands, then the program's inputs. -1 at the end. */
static int read_of(const plan *p, const plan_unit *u, int i) {
  int head = u->head >= 0 ? p->node[u->head].n_in : 0;
  if (i < head) return p->node[u->head].in[i];
  i -= head;
  return u->program && i < u->program->n_in ? u->in[i] : -1;
}

static int made_by(const plan *p, const plan_unit *u, int i) {
  if (u->program) return i < u->program->n_out ? u->out[i] : -1;
  return i == 0 ? p->node[u->head].out : -1;
}

/* A part of a concatenation that is all of a value and fills consecutive bytes is made in place. */
static void place_parts(plan *p) {
  for (int t = 0; t < p->n_order; t++) {
    const plan_unit *u = &p->unit[p->order[t]];
    if (u->head < 0 || p->node[u->head].kind != NODE_COPY || p->node[u->head].n_in < 2) continue;
    const plan_node *n = &p->node[u->head];
    for (int i = 0; i < n->n_in; i++) {
      copy_args c = ((const copy_args *)n->args)[i];
      plan_copy_merge(&c);
      plan_value *r = &p->value[p->value[n->in[i]].root];
      bool run = c.rank == 1 && c.x_stride[0] == 1 && c.y_stride[0] == 1 && c.x_offset == 0 && c.dim[0] == plan_elements(r);
      if (!run || !plan_is_whole(p, n->in[i]) || r->data || r->producer < 0 || r->output >= 0 || r->placed >= 0) continue;
      r->placed = n->out;
      r->at = c.y_offset * c.element;
    }
  }
}

static void lifetimes(plan *p) {
  for (int t = 0; t < p->n_order; t++) {
    const plan_unit *u = &p->unit[p->order[t]];
    int64_t ignore;
    for (int i = 0, v; (v = made_by(p, u, i)) >= 0; i++) {
      plan_value *r = &p->value[plan_place(p, v, &ignore)];
      if (r->first < 0) r->first = t;
      r->last = t;
    }
    for (int i = 0, v; (v = read_of(p, u, i)) >= 0; i++) p->value[plan_place(p, v, &ignore)].last = t;
  }
}

static bool in_arena(const plan_value *v) { return v->first >= 0 && v->output < 0 && v->input < 0 && !v->data && v->placed < 0; }

/* -- The arena -------------------------------------------------------------------------------------------------------- */

typedef struct {
  int64_t at, size;
} hole;

/* Free bytes below the end, by address, never two touching. */
typedef struct {
  hole *list;
  int n, cap;
  int64_t end;
} holes;

static int64_t take(holes *h, int64_t size) {
  int best = -1;
  for (int i = 0; i < h->n; i++)
    if (h->list[i].size >= size && (best < 0 || h->list[i].size < h->list[best].size)) best = i;
  if (best < 0) {
    int64_t at = h->end;
    if (h->n && h->list[h->n - 1].at + h->list[h->n - 1].size == h->end) at = h->list[--h->n].at;
    if (__builtin_add_overflow(at, size, &h->end)) return -1;
    return at;
  }
  int64_t at = h->list[best].at;
  h->list[best].at += size;
  h->list[best].size -= size;
  if (!h->list[best].size) {
    memmove(&h->list[best], &h->list[best + 1], (size_t)(h->n - best - 1) * sizeof *h->list);
    h->n--;
  }
  return at;
}

static bool give(plan *p, holes *h, int64_t at, int64_t size) {
  int i = h->n;
  while (i > 0 && h->list[i - 1].at > at) i--;
  bool before = i > 0 && h->list[i - 1].at + h->list[i - 1].size == at;
  bool behind = i < h->n && at + size == h->list[i].at;
  if (before && behind) {
    h->list[i - 1].size += size + h->list[i].size;
    memmove(&h->list[i], &h->list[i + 1], (size_t)(h->n - i - 1) * sizeof *h->list);
    h->n--;
  } else if (before) {
    h->list[i - 1].size += size;
  } else if (behind) {
    h->list[i].at = at;
    h->list[i].size += size;
  } else {
    if (!plan_grow(p, &h->list, h->n, &h->cap, sizeof *h->list)) return false;
    memmove(&h->list[i + 1], &h->list[i], (size_t)(h->n - i) * sizeof *h->list);
    h->list[i] = (hole){at, size};
    h->n++;
  }
  return true;
}

static int64_t slot_size(const plan_value *v) { return (plan_bytes(v) + PLAN_ALIGN - 1) & -(int64_t)PLAN_ALIGN; }

/* A value that dies in this unit and is read element by element can be overwritten by one of the same size. Returns it. */
static int inherit(const plan *p, const plan_unit *u, int t, int64_t bytes, size_t element) {
  for (int k = 0; u->program && k < u->program->n_in; k++) {
    int root = p->value[u->in[k]].root;
    const plan_value *r = &p->value[root];
    if (!in_arena(r) || r->at < 0 || r->last != t || r->first == t || !plan_reads_in_place(p, u, k)) continue;
    if (plan_bytes(r) != bytes || plan_element(r->dtype) != element) continue;
    int reads = 0;
    int64_t ignore;
    for (int i = 0, v; (v = read_of(p, u, i)) >= 0; i++) reads += plan_place(p, v, &ignore) == root;
    if (reads == 1) return root;
  }
  return -1;
}

/* Chains of values that start or end at each time. */
typedef struct {
  int *first, *next;
} chains;

static bool make_chains(plan *p, chains *c, bool ends) {
  c->first = plan_alloc(p, ((size_t)p->n_order + 1) * sizeof(int));
  c->next = plan_alloc(p, ((size_t)p->n_values + 1) * sizeof(int));
  if (!c->first || !c->next) return false;
  for (int v = p->n_values - 1; v >= 0; v--) {
    if (!in_arena(&p->value[v])) continue;
    int t = ends ? p->value[v].last : p->value[v].first;
    c->next[v] = c->first[t];
    c->first[t] = v + 1;
  }
  return true;
}

static bool arena(plan *p, holes *h) {
  chains starts, ends;
  bool *handed = plan_alloc(p, (size_t)p->n_values + 1); /* its bytes belong to a later value now */
  if (!handed || !make_chains(p, &starts, false) || !make_chains(p, &ends, true)) return false;
  for (int t = 0; t < p->n_order; t++) {
    const plan_unit *u = &p->unit[p->order[t]];
    for (int v = starts.first[t] - 1; v >= 0; v = starts.next[v] - 1) {
      plan_value *r = &p->value[v];
      int from = -1;
      if (u->program && r->producer >= 0 && p->node[r->producer].unit == p->order[t])
        from = inherit(p, u, t, plan_bytes(r), plan_element(r->dtype));
      if (from >= 0 && !handed[from]) {
        r->at = p->value[from].at;
        handed[from] = true;
      } else if ((r->at = take(h, slot_size(r))) < 0) {
        return plan_fail(p, NULL, "the program needs too much memory");
      }
    }
    for (int v = ends.first[t] - 1; v >= 0; v = ends.next[v] - 1)
      if (!handed[v] && !give(p, h, p->value[v].at, slot_size(&p->value[v]))) return false;
  }
  return true;
}

bool plan_memory(plan *p) {
  place_parts(p);
  lifetimes(p);
  holes h = {0};
  bool ok = arena(p, &h);
  free(h.list);
  p->arena_bytes = h.end;
  return ok;
}
