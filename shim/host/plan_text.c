/* plan_text.c - the plan as text, for people. */
#include <stdio.h>
#include <stdlib.h>

#include "isa.h"
#include "plan.h"

static const char *const kind_name[] = {
    [NODE_EW] = "elementwise", [NODE_GEMM] = "gemm", [NODE_CONV] = "conv", [NODE_REDUCE] = "reduce",
    [NODE_SOFTMAX] = "softmax", [NODE_POOL] = "pool", [NODE_UPSAMPLE] = "upsample", [NODE_RESAMPLE] = "resample",
    [NODE_AFFINE] = "affine", [NODE_LRN] = "lrn", [NODE_COPY] = "copy",
};

static void write_shape(FILE *f, const plan_value *v) {
  fprintf(f, "[");
  for (int i = 0; i < v->rank; i++) fprintf(f, "%s%lld", i ? ", " : "", (long long)v->dim[i]);
  fprintf(f, "]");
}

static void write_value(FILE *f, const plan *p, int v) {
  int64_t offset;
  const plan_value *r = &p->value[plan_place(p, v, &offset)];
  fprintf(f, " %s", p->value[v].name && p->value[v].name[0] ? p->value[v].name : "literal");
  write_shape(f, &p->value[v]);
  if (r->data) fprintf(f, "@const");
  else if (r->input >= 0) fprintf(f, "@in%d", r->input);
  else if (r->output >= 0) fprintf(f, "@out%d", r->output);
  else if (r->at >= 0) fprintf(f, "@%lld", (long long)(r->at + offset));
}

static const char *packed_name(const void *packed, const weight_codes *codes) {
  static const char *const names[] = {[WEIGHT_INT8] = " packed int8", [WEIGHT_UINT4] = " packed uint4",
                                      [WEIGHT_SPARSE] = " packed sparse"};
  return !packed ? "" : codes ? names[codes->kind] : " packed";
}

static void write_details(FILE *f, const plan *p, const plan_step *s) {
  if (s->kind == NODE_GEMM) {
    const gemm_args *g = s->args;
    fprintf(f, " batch %lld m %lld k %lld n %lld%s%s", (long long)g->batch, (long long)g->m, (long long)g->k,
            (long long)g->n, g->bias_axis >= 0 ? " bias" : "", packed_name(g->packed_w, g->codes));
  } else if (s->kind == NODE_CONV) {
    const conv_args *c = s->args;
    fprintf(f, " %lldx%lld groups %lld%s%s%s", (long long)c->kh, (long long)c->kw, (long long)c->groups,
            c->transpose ? " transposed" : "", c->has_bias ? " bias" : "", packed_name(c->packed_w, c->codes));
  }
  const plan_unit *u = &p->unit[s->unit];
  fprintf(f, " units %lld%s\n", (long long)s->units, s->parallel ? " shared" : "");
  if (u->head >= 0) {
    const plan_node *n = &p->node[u->head];
    fprintf(f, "     %s:", n->op ? mil_op_name(n->op) : "output");
    for (int i = 0; i < n->n_in; i++) write_value(f, p, n->in[i]);
    if (!u->program) {
      fprintf(f, " ->");
      write_value(f, p, n->out);
    }
    fprintf(f, "\n");
  }
  if (!u->program) return;
  fprintf(f, "     %s:", u->head >= 0 ? "epilogue" : "group");
  for (int i = 0; i < u->n_ew; i++) {
    const plan_node *n = &p->node[u->ew[i]];
    fprintf(f, " %s", n->op ? mil_op_name(n->op) : "?");
  }
  fprintf(f, "\n     reads:");
  for (int i = 0; i < u->program->n_in; i++) write_value(f, p, u->in[i]);
  fprintf(f, "\n     writes:");
  for (int i = 0; i < u->program->n_out; i++) write_value(f, p, u->out[i]);
  fprintf(f, "\n");
}

char *plan_text(const plan *p) {
  char *text = NULL;
  size_t size = 0;
  FILE *f = open_memstream(&text, &size);
  if (!f) return NULL;
  fprintf(f, "numerics %s family %d%s\n", p->profile.mode == NUM_ANE ? "ane" : "fast", p->profile.family,
          p->profile.winograd ? " winograd" : "");
  fprintf(f, "instructions %s\n", isa_name(isa_get()));
  fprintf(f, "steps %d operations %d\n", p->n_steps, p->mil->n_ops);
  fprintf(f, "arena bytes %lld\n", (long long)p->arena_bytes);
  fprintf(f, "packed weight bytes %zu\nfolded constant bytes %zu\nweight file bytes %zu\n", p->packed_bytes, p->folded_bytes,
          p->mil->weight_bytes);
  for (int i = 0; i < p->n_steps; i++) {
    const plan_step *s = &p->step[i];
    fprintf(f, "%4d %s", i, kind_name[s->kind]);
    write_details(f, p, s);
  }
  if (fclose(f)) {
    free(text);
    return NULL;
  }
  return text;
}
