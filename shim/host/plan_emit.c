/* plan_emit.c - units become steps: kernels with their sizes and pointers. */
#include <stdlib.h>
#include <string.h>

#include "plan.h"
#include "pool.h"

double plan_share_from = 20000;

/* -- One call per kind ------------------------------------------------------------------------------------------------- */

int64_t step_units(enum node_kind kind, const void *args) {
  switch (kind) {
    case NODE_EW: return ew_units(((const ew_args *)args)->program);
    case NODE_GEMM: return gemm_units(args);
    case NODE_CONV: return conv_units(args);
    case NODE_REDUCE: return reduce_units(args);
    case NODE_SOFTMAX: return softmax_units(args);
    case NODE_POOL: return pool_units(args);
    case NODE_UPSAMPLE: return upsample_units(args);
    case NODE_RESAMPLE: return resample_units(args);
    case NODE_AFFINE: return affine_units(args);
    case NODE_LRN: return lrn_units(args);
    case NODE_COPY: return copy_units(args);
  }
  return 0;
}

size_t step_scratch(enum node_kind kind, const void *args) {
  switch (kind) {
    case NODE_EW: return ew_scratch(((const ew_args *)args)->program);
    case NODE_GEMM: return gemm_scratch(args);
    case NODE_CONV: return conv_scratch(args);
    case NODE_REDUCE: return reduce_scratch(args);
    case NODE_SOFTMAX: return softmax_scratch(args);
    case NODE_RESAMPLE: return resample_scratch(args);
    case NODE_AFFINE: return affine_scratch(args);
    case NODE_LRN: return lrn_scratch(args);
    default: return 0;
  }
}

void step_run(enum node_kind kind, const void *args, int64_t first, int64_t last, void *scratch) {
  switch (kind) {
    case NODE_EW: ew_run(args, first, last, scratch); break;
    case NODE_GEMM: gemm_run(args, first, last, scratch); break;
    case NODE_CONV: conv_run(args, first, last, scratch); break;
    case NODE_REDUCE: reduce_run(args, first, last, scratch); break;
    case NODE_SOFTMAX: softmax_run(args, first, last, scratch); break;
    case NODE_POOL: pool_run(args, first, last, scratch); break;
    case NODE_UPSAMPLE: upsample_run(args, first, last, scratch); break;
    case NODE_RESAMPLE: resample_run(args, first, last, scratch); break;
    case NODE_AFFINE: affine_run(args, first, last, scratch); break;
    case NODE_LRN: lrn_run(args, first, last, scratch); break;
    case NODE_COPY: copy_run(args, first, last, scratch); break;
  }
}

/* Nanoseconds of one thread, roughly. */
static double step_cost(const plan *p, const plan_unit *u, enum node_kind kind, const void *args) {
  double cost = 0, elements = 0;
  if (u->program) {
    elements = 1;
    for (int i = 0; i < u->program->rank; i++) elements *= (double)u->program->dim[i];
    cost = elements * (0.1 * u->program->n_instr + 0.1 * (u->program->n_in + u->program->n_out));
  }
  if (kind == NODE_EW) return cost;
  elements = (double)plan_elements(&p->value[p->node[u->head].out]);
  switch (kind) {
    case NODE_GEMM: return cost + elements * (double)((const gemm_args *)args)->k * 0.05;
    case NODE_CONV: {
      const conv_args *c = args;
      double taps = (double)c->cin / (double)c->groups * (double)c->kh * (double)c->kw;
      return cost + 0.05 * taps * (c->transpose ? (double)(c->n * c->cout * c->h * c->w) : elements);
    }
    case NODE_REDUCE: case NODE_SOFTMAX: return (double)plan_elements(&p->value[p->node[u->head].in[0]]) * 1.0;
    case NODE_POOL: return elements * (double)(((const pool_args *)args)->kh * ((const pool_args *)args)->kw) * 0.5;
    case NODE_RESAMPLE: return elements * 6;
    case NODE_AFFINE: return elements * 15;
    case NODE_LRN: return elements * (20 + 0.5 * (double)((const lrn_args *)args)->size);
    default: return elements * 0.3;
  }
}

/* -- Pointers ------------------------------------------------------------------------------------------------------------ */

/* *at = where v is; ports are filled in before a run. */
static bool point(plan *p, int v, void **at) {
  int64_t offset;
  const plan_value *r = &p->value[plan_place(p, v, &offset)];
  if (r->data) {
    *at = (void *)plan_data(p, v);
    p->value[p->value[v].root].needs_data = true;
    return true;
  }
  if (r->input >= 0) {
    if (!plan_grow(p, &p->in_patch, p->n_in_patches, &p->cap_in_patches, sizeof *p->in_patch)) return false;
    p->in_patch[p->n_in_patches++] = (plan_patch){at, r->input, offset};
  } else if (r->output >= 0) {
    if (!plan_grow(p, &p->out_patch, p->n_out_patches, &p->cap_out_patches, sizeof *p->out_patch)) return false;
    p->out_patch[p->n_out_patches++] = (plan_patch){at, r->output, offset};
  } else {
    *at = p->arena + r->at + offset;
  }
  return true;
}

static bool point_read(plan *p, int v, bool in_place, const void *at) {
  int64_t offset;
  const plan_value *r = &p->value[plan_place(p, v, &offset)];
  if (r->input >= 0 && !r->data) {
    if (!plan_grow(p, &p->read, p->n_reads, &p->cap_reads, sizeof *p->read)) return false;
    p->read[p->n_reads++] = (plan_read){r->input, p->n_steps, in_place};
  }
  return point(p, v, (void **)(uintptr_t)at);
}

static bool point_write(plan *p, int v, bool in_place, void *at) {
  int64_t offset;
  const plan_value *r = &p->value[plan_place(p, v, &offset)];
  if (r->output >= 0) {
    plan_write *w = &p->write[r->output];
    if (w->first < 0) *w = (plan_write){p->n_steps, in_place && offset == 0 && plan_bytes(&p->value[v]) == plan_bytes(r)};
    else w->in_place = false;
  }
  return point(p, v, at);
}

static bool point_program(plan *p, const plan_unit *u, ew_args *a) {
  a->program = u->program;
  for (int k = 0; k < u->program->n_in; k++)
    if (!point_read(p, u->in[k], plan_reads_in_place(p, u, k), &a->in[k])) return false;
  for (int k = 0; k < u->program->n_out; k++)
    if (!point_write(p, u->out[k], true, &a->out[k])) return false;
  return true;
}

/* -- Steps ------------------------------------------------------------------------------------------------------------------ */

static bool add_step(plan *p, int unit, enum node_kind kind, void *args) {
  if (!plan_grow(p, &p->step, p->n_steps, &p->cap_steps, sizeof *p->step)) return false;
  int64_t units = step_units(kind, args), chunk = units / (4 * (int64_t)pool_threads());
  size_t scratch = step_scratch(kind, args);
  if (scratch > p->scratch) p->scratch = scratch;
  bool parallel = units > 1 && step_cost(p, &p->unit[unit], kind, args) > plan_share_from;
  /* A read is in place only when it is the step's one read of that port. */
  for (int i = p->n_reads - 1; i >= 0 && p->read[i].step == p->n_steps; i--)
    for (int j = i - 1; j >= 0 && p->read[j].step == p->n_steps; j--)
      if (p->read[i].input == p->read[j].input) p->read[i].in_place = p->read[j].in_place = false;
  p->step[p->n_steps++] = (plan_step){kind, args, units, chunk > 0 ? chunk : 1, parallel, unit};
  return true;
}

/* Memory that dies with the plan. */
static void *keep(plan *p, size_t bytes) {
  int64_t dim = (int64_t)bytes;
  int v = plan_temp(p, MIL_UINT8, 1, &dim, "packed weights");
  if (v < 0) return NULL;
  p->value[v].data = plan_own(p, bytes);
  p->value[v].owned = p->value[v].needs_data = p->value[v].data != NULL;
  p->packed_bytes += bytes;
  return (void *)p->value[v].data;
}

/* Compressed weights stay as they are where the kernels can take them so. */
static bool codes_of_gemm(plan *p, int w, gemm_args *g, size_t *size) {
  g->codes = p->value[p->value[w].root].codes;
  *size = g->codes ? gemm_packed_codes_size(g) : 0;
  if (*size) return true;
  g->codes = NULL;
  if (!plan_decode(p, w)) return false;
  g->w = plan_data(p, w);
  *size = gemm_packed_w_size(g);
  return true;
}

/* Constant weights are packed once; steps that want the same form share it. */
static bool pack_gemm(plan *p, int node, gemm_args *g) {
  int w = p->node[node].in[1], root = p->value[w].root;
  if (!plan_is_const(p, w)) return true;
  size_t size;
  if (!codes_of_gemm(p, w, g, &size)) return false;
  if (!size) return true;
  int before = p->value[root].packed;
  if (before >= 0 && p->node[before].kind == NODE_GEMM) {
    const gemm_args *o = p->node[before].args;
    bool same = o->packed_w && o->codes == g->codes && p->node[before].in[1] == w && o->k == g->k && o->n == g->n && o->w_row == g->w_row &&
                o->w_col == g->w_col && o->batch_rank == g->batch_rank && o->m == g->m &&
                !memcmp(o->batch_dim, g->batch_dim, sizeof g->batch_dim) && !memcmp(o->w_batch, g->w_batch, sizeof g->w_batch);
    if (same) {
      g->packed_w = o->packed_w;
      return true;
    }
  }
  void *packed = keep(p, size);
  if (!packed) return false;
  if (!g->codes) gemm_pack_w(g, packed);
  else if (!gemm_pack_codes(g, packed)) return plan_fail(p, p->node[node].op, "out of memory");
  g->packed_w = packed;
  p->value[root].packed = node;
  return true;
}

static bool pack_conv(plan *p, int node, conv_args *c) {
  int w = p->node[node].in[1];
  if (!plan_is_const(p, w)) return true;
  c->codes = p->value[p->value[w].root].codes;
  size_t size = c->codes ? conv_packed_codes_size(c) : 0;
  if (!size) {
    c->codes = NULL;
    if (!plan_decode(p, w) || !(c->weight = plan_dense(p, w))) return false;
    size = conv_packed_w_size(c);
  }
  void *packed = size ? keep(p, size) : NULL;
  if (!size) return true;
  if (!packed) return false;
  if (!c->codes) conv_pack_w(c, packed);
  else if (!conv_pack_codes(c, packed)) return plan_fail(p, p->node[node].op, "out of memory");
  c->packed_w = packed;
  return true;
}

/* A constant with one value has no strides. */
static void flatten_uniform(const plan *p, const plan_node *n, gemm_args *g) {
  if (plan_is_uniform(p, n->in[0])) {
    g->x_row = g->x_col = 0;
    memset(g->x_batch, 0, sizeof g->x_batch);
  }
  if (plan_is_uniform(p, n->in[1])) {
    g->w_row = g->w_col = 0;
    memset(g->w_batch, 0, sizeof g->w_batch);
  }
}

/* The bias kernels read n dense values. */
static bool point_bias(plan *p, const plan_node *n, const f16 **at) {
  if (n->n_in < 3) return true;
  if (plan_is_const(p, n->in[2]) && !plan_dense(p, n->in[2])) return false;
  return point_read(p, n->in[2], false, at);
}

static bool emit_gemm(plan *p, int unit, int node) {
  const plan_unit u = p->unit[unit];
  gemm_args *g = p->node[node].args;
  flatten_uniform(p, &p->node[node], g);
  if (!pack_gemm(p, node, g)) return false;
  const plan_node *n = &p->node[node];
  if (!point_read(p, n->in[0], false, &g->x) || !point_bias(p, n, &g->bias)) return false;
  if (g->packed_w) g->w = NULL;
  else if (!point_read(p, n->in[1], false, &g->w)) return false;
  if (u.program) {
    g->epilogue = u.program;
    g->epilogue_reg = u.product_reg;
    if (!point_program(p, &u, &g->epilogue_args)) return false;
  } else if (!point_write(p, n->out, false, &g->y)) {
    return false;
  }
  return add_step(p, unit, NODE_GEMM, g);
}

static bool emit_conv(plan *p, int unit, int node) {
  const plan_unit u = p->unit[unit];
  conv_args *c = p->node[node].args;
  if (!pack_conv(p, node, c)) return false;
  const plan_node *n = &p->node[node];
  if (plan_is_const(p, n->in[0]) && !plan_dense(p, n->in[0])) return false;
  if (!point_read(p, n->in[0], false, &c->x) || !point_bias(p, n, &c->bias)) return false;
  if (c->packed_w) c->weight = NULL;
  else if (!point_read(p, n->in[1], false, &c->weight)) return false;
  if (u.program) {
    c->epilogue = u.program;
    c->epilogue_reg = u.product_reg;
    if (!point_program(p, &u, &c->epilogue_args)) return false;
  } else if (!point_write(p, n->out, false, &c->y)) {
    return false;
  }
  return add_step(p, unit, NODE_CONV, c);
}

static bool emit_copy(plan *p, int unit, int node) {
  const plan_node n = p->node[node];
  for (int i = 0; i < n.n_in; i++) {
    copy_args *c = (copy_args *)n.args + i;
    int64_t from, to;
    if (plan_is_uniform(p, n.in[i])) {
      c->x_offset = 0;
      memset(c->x_stride, 0, sizeof c->x_stride);
    }
    plan_copy_merge(c);
    bool same = plan_place(p, n.in[i], &from) == plan_place(p, n.out, &to);
    if (same && from == to + c->y_offset * c->element) continue; /* was made there */
    if (!point_read(p, n.in[i], false, &c->x) || !point_write(p, n.out, false, &c->y)) return false;
    if (!add_step(p, unit, NODE_COPY, c)) return false;
  }
  return true;
}

static bool emit_plain(plan *p, int unit, int node) {
  const plan_node n = p->node[node];
  const void *x;
  void *y;
  switch (n.kind) {
    case NODE_REDUCE: x = &((reduce_args *)n.args)->x; y = &((reduce_args *)n.args)->y; break;
    case NODE_SOFTMAX: x = &((softmax_args *)n.args)->x; y = &((softmax_args *)n.args)->y; break;
    case NODE_POOL: x = &((pool_args *)n.args)->x; y = &((pool_args *)n.args)->y; break;
    case NODE_RESAMPLE: x = &((resample_args *)n.args)->x; y = &((resample_args *)n.args)->y; break;
    case NODE_AFFINE: x = &((affine_args *)n.args)->x; y = &((affine_args *)n.args)->y; break;
    case NODE_LRN: x = &((lrn_args *)n.args)->x; y = &((lrn_args *)n.args)->y; break;
    default: x = &((upsample_args *)n.args)->x; y = &((upsample_args *)n.args)->y; break;
  }
  for (int i = 0; i < n.n_in; i++)
    if (plan_is_const(p, n.in[i]) && !plan_dense(p, n.in[i])) return false;
  if (n.kind == NODE_AFFINE && !point_read(p, n.in[1], false, &((affine_args *)n.args)->matrix)) return false;
  return point_read(p, n.in[0], false, x) && point_write(p, n.out, false, y) && add_step(p, unit, n.kind, n.args);
}

static bool emit_unit(plan *p, int unit) {
  int head = p->unit[unit].head;
  if (head < 0) {
    ew_args *a = plan_alloc(p, sizeof *a);
    plan_unit u = p->unit[unit];
    return a && point_program(p, &u, a) && add_step(p, unit, NODE_EW, a);
  }
  switch (p->node[head].kind) {
    case NODE_GEMM: return emit_gemm(p, unit, head);
    case NODE_CONV: return emit_conv(p, unit, head);
    case NODE_COPY: return emit_copy(p, unit, head);
    default: return emit_plain(p, unit, head);
  }
}

bool plan_emit(plan *p) {
  p->arena = aligned_alloc(PLAN_ALIGN, (size_t)p->arena_bytes + PLAN_ALIGN);
  p->write = plan_alloc(p, (size_t)(p->n_outputs + 1) * sizeof *p->write);
  if (!p->arena || !p->write) return plan_fail(p, NULL, "out of memory (%lld bytes)", (long long)p->arena_bytes);
  for (int i = 0; i < p->n_outputs; i++) p->write[i].first = -1;
  for (int t = 0; t < p->n_order; t++)
    if (!emit_unit(p, p->order[t])) return false;
  for (int i = 0; i < p->n_values; i++) {
    plan_value *v = &p->value[i];
    if (v->owned && !v->needs_data) { /* weights that are only used packed */
      plan_disown(p, v->data);
      v->data = NULL;
      v->owned = false;
    } else if (v->owned) {
      p->folded_bytes += (size_t)plan_bytes(v);
    }
  }
  p->folded_bytes -= p->packed_bytes;
  return true;
}

/* -- Constants -------------------------------------------------------------------------------------------------------------- */

static bool run_now(plan *p, enum node_kind kind, const void *args) {
  void *scratch = plan_own(p, step_scratch(kind, args) + PLAN_ALIGN);
  if (!scratch) return false;
  step_run(kind, args, 0, step_units(kind, args), scratch);
  plan_disown(p, scratch);
  return true;
}

static bool evaluate_ew(plan *p, const plan_node *n, bool first_only, void *data) {
  const plan_value *y = &p->value[n->out];
  ew_instr instr = {.code = n->code, .dst = 3, .a = 0, .b = n->n_in > 1 ? 1 : 0, .c = n->n_in > 2 ? 2 : 0, .fn = n->fn};
  ew_program e = {.profile = p->profile, .rank = 1, .dim = {1}, .n_in = n->n_in, .n_out = 1, .n_instr = 1, .instr = &instr};
  ew_args a = {.program = &e, .out = {data}};
  int rank = first_only ? 0 : plan_squeeze(y->rank, y->dim, e.dim);
  if (rank) e.rank = rank;
  else e.dim[0] = 1;
  e.out[0] = (ew_port){.dtype = y->dtype, .reg = 3};
  for (int i = 0; i < n->n_in; i++) {
    e.in[i] = (ew_port){.dtype = p->value[n->in[i]].dtype, .reg = (uint8_t)i};
    if (rank) plan_broadcast(p, n->in[i], y->rank, y->dim, e.in[i].stride);
    a.in[i] = plan_data(p, n->in[i]);
  }
  return run_now(p, NODE_EW, &a);
}

bool plan_evaluate(plan *p, const plan_node *n, bool first_only, void *data) {
  if (n->kind == NODE_EW) return evaluate_ew(p, n, first_only, data);
  union {
    gemm_args gemm;
    conv_args conv;
    reduce_args reduce;
    softmax_args softmax;
    pool_args pool;
    upsample_args upsample;
    resample_args resample;
    affine_args affine;
    lrn_args lrn;
    copy_args copy;
  } a;
  const f16 *in[3] = {NULL, NULL, NULL};
  for (int i = 0; i < n->n_in && i < 3 && n->kind != NODE_COPY; i++) {
    bool spread = n->kind == NODE_GEMM && i < 2;
    if (!(in[i] = spread ? plan_data(p, n->in[i]) : plan_dense(p, n->in[i]))) return false;
  }
  switch (n->kind) {
    case NODE_GEMM:
      a.gemm = *(const gemm_args *)n->args;
      flatten_uniform(p, n, &a.gemm);
      a.gemm.x = in[0], a.gemm.w = in[1], a.gemm.bias = in[2], a.gemm.y = data;
      return run_now(p, n->kind, &a.gemm);
    case NODE_CONV:
      a.conv = *(const conv_args *)n->args;
      a.conv.x = in[0], a.conv.weight = in[1], a.conv.bias = in[2], a.conv.y = data;
      return run_now(p, n->kind, &a.conv);
    case NODE_REDUCE:
      a.reduce = *(const reduce_args *)n->args;
      a.reduce.x = in[0], a.reduce.y = data;
      return run_now(p, n->kind, &a.reduce);
    case NODE_SOFTMAX:
      a.softmax = *(const softmax_args *)n->args;
      a.softmax.x = in[0], a.softmax.y = data;
      return run_now(p, n->kind, &a.softmax);
    case NODE_POOL:
      a.pool = *(const pool_args *)n->args;
      a.pool.x = in[0], a.pool.y = data;
      return run_now(p, n->kind, &a.pool);
    case NODE_UPSAMPLE:
      a.upsample = *(const upsample_args *)n->args;
      a.upsample.x = in[0], a.upsample.y = data;
      return run_now(p, n->kind, &a.upsample);
    case NODE_RESAMPLE:
      a.resample = *(const resample_args *)n->args;
      a.resample.x = in[0], a.resample.y = data;
      return run_now(p, n->kind, &a.resample);
    case NODE_AFFINE:
      a.affine = *(const affine_args *)n->args;
      a.affine.x = in[0], a.affine.matrix = in[1], a.affine.y = data;
      return run_now(p, n->kind, &a.affine);
    case NODE_LRN:
      a.lrn = *(const lrn_args *)n->args;
      a.lrn.x = in[0], a.lrn.y = data;
      return run_now(p, n->kind, &a.lrn);
    default: break;
  }
  for (int i = 0; i < n->n_in; i++) {
    a.copy = ((const copy_args *)n->args)[i];
    if (plan_is_uniform(p, n->in[i])) {
      a.copy.x_offset = 0;
      memset(a.copy.x_stride, 0, sizeof a.copy.x_stride);
    }
    plan_copy_merge(&a.copy);
    a.copy.x = plan_data(p, n->in[i]);
    a.copy.y = data;
    if (!run_now(p, NODE_COPY, &a.copy)) return false;
  }
  return true;
}
