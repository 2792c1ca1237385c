/* report.c - evaluates a program node by node and says what each one lost. Every value is kept, so memory grows with the
 * program: this is a tool for looking at numbers, not a way to run. */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

typedef struct {
  plan plan;
  double **chain;          /* per root value: float64 from the program's inputs on */
  FILE *out;
} run;

/* -- Values as float64 ---------------------------------------------------------------------------------------------------- */

static double element(enum mil_dtype dtype, const void *data, int64_t i) {
  switch (dtype) {
    case MIL_FP16: return (double)f16_to_float(((const f16 *)data)[i]);
    case MIL_INT8: return ((const int8_t *)data)[i];
    case MIL_INT16: return ((const int16_t *)data)[i];
    case MIL_UINT16: return ((const uint16_t *)data)[i];
    default: return ((const uint8_t *)data)[i];
  }
}

/* Dense elements of a value that has been computed. NULL: out of memory. */
static double *as_double(const plan *p, int v) {
  const plan_value *a = &p->value[v];
  int64_t n = plan_elements(a), step = plan_is_uniform(p, v) ? 0 : 1;
  double *d = malloc((size_t)(n + 1) * sizeof *d);
  for (int64_t i = 0; i < n && d; i++) d[i] = element(a->dtype, plan_data(p, v), i * step);
  return d;
}

/* The chain's storage behind a value; that of constants and inputs is made on first use. */
static const double *chained(run *r, int v) {
  int root = r->plan.value[v].root;
  if (!r->chain[root]) r->chain[root] = as_double(&r->plan, root);
  return r->chain[root] ? r->chain[root] + r->plan.value[v].offset : NULL;
}

/* -- Errors ----------------------------------------------------------------------------------------------------------------- */

typedef struct {
  double error, size, largest;
  int64_t lost; /* infinite where the exact value is finite */
} difference;

static difference compare(const plan *p, int v, const double *exact) {
  difference d = {0};
  const plan_value *y = &p->value[v];
  for (int64_t i = 0, n = plan_elements(y); i < n; i++) {
    double got = element(y->dtype, y->data, i);
    d.lost += !isfinite(got) && isfinite(exact[i]);
    if (!isfinite(got) || !isfinite(exact[i])) continue;
    d.error += (got - exact[i]) * (got - exact[i]);
    d.size += exact[i] * exact[i];
    d.largest = fmax(d.largest, fabs(got - exact[i]));
  }
  return d;
}

/* Relative L2 error; 1 where something became of nothing. */
static double relative(difference d) { return d.size > 0 ? sqrt(d.error / d.size) : d.error > 0; }

static void write_name(FILE *f, const char *name) {
  fputc('"', f);
  for (; *name; name++)
    if (*name == '"' || *name == '\\') fprintf(f, "\\%c", *name);
    else if ((unsigned char)*name < ' ') fprintf(f, "\\u%04x", *name);
    else fputc(*name, f);
  fputc('"', f);
}

static void write_line(run *r, const plan_node *n, report_counts c, difference local, difference all) {
  const plan_value *y = &r->plan.value[n->out];
  bool sums = n->kind == NODE_GEMM || n->kind == NODE_CONV;
  fprintf(r->out, "{\"name\": ");
  write_name(r->out, y->name ? y->name : "");
  fprintf(r->out, ", \"op\": \"%s\", \"values\": %lld, \"products\": %lld, \"dropped\": %lld", mil_op_name(n->op),
          (long long)plan_elements(y), (long long)c.products, (long long)c.dropped);
  fprintf(r->out, ", \"saturated\": %lld, \"overflowed\": %lld, \"clamped\": %lld", (long long)(sums ? local.lost : 0),
          (long long)(sums ? 0 : local.lost), (long long)c.clamped);
  fprintf(r->out, ", \"error\": %.9g, \"maxError\": %.9g, \"accumulated\": %.9g}\n", relative(local), local.largest,
          relative(all));
}

/* -- One node ---------------------------------------------------------------------------------------------------------------- */

/* The result becomes a constant: what reads it can be evaluated like a folded operation. */
static bool evaluate(plan *p, plan_node *n) {
  for (int i = 0; i < n->n_in; i++)
    if (!plan_decode(p, n->in[i])) return false;
  void *data = plan_own(p, (size_t)plan_bytes(&p->value[n->out]));
  if (!data) return false;
  plan_value *y = &p->value[n->out];
  y->data = data;
  y->owned = true;
  return plan_evaluate(p, n, false, data);
}

static bool report_node(run *r, plan_node *n) {
  plan *p = &r->plan;
  size_t n_in = (size_t)n->n_in, bytes = (size_t)(plan_elements(&p->value[n->out]) + 1) * sizeof(double);
  const double **given = calloc(n_in + 1, sizeof *given), **linked = calloc(n_in + 1, sizeof *linked);
  const f16 *raw[3] = {NULL, NULL, NULL};
  double *exact = malloc(bytes), *chain = malloc(bytes);
  bool ok = given && linked && exact && chain && evaluate(p, n);
  for (size_t i = 0; i < n_in && ok; i++) {
    given[i] = as_double(p, n->in[i]);
    linked[i] = chained(r, n->in[i]);
    if (i < 3 && p->value[n->in[i]].dtype == MIL_FP16) ok = (raw[i] = plan_dense(p, n->in[i])) != NULL;
    ok = ok && given[i] && linked[i];
  }
  if (ok) {
    report_exact(p, n, given, exact);
    report_exact(p, n, linked, chain);
    r->chain[n->out] = chain;
    if (n->op) write_line(r, n, report_count(p, n, raw), compare(p, n->out, exact), compare(p, n->out, chain));
  } else {
    free(chain);
  }
  for (size_t i = 0; i < n_in && given; i++) free((void *)(uintptr_t)given[i]);
  free(given);
  free(linked);
  free(exact);
  return ok;
}

/* -- Program ------------------------------------------------------------------------------------------------------------------ */

static bool take_inputs(plan *p, uint32_t n_inputs, const char *data, const uint64_t *bytes, char *error, size_t size) {
  if (n_inputs != (uint32_t)p->n_inputs) {
    snprintf(error, size, "the program has %d inputs, got %u", p->n_inputs, n_inputs);
    return false;
  }
  for (uint32_t i = 0; i < n_inputs; data += bytes[i], i++) {
    plan_value *v = &p->value[p->input[i]];
    if (bytes[i] != (uint64_t)plan_bytes(v)) {
      snprintf(error, size, "input '%s' has %lld bytes, got %llu", v->name, (long long)plan_bytes(v),
               (unsigned long long)bytes[i]);
      return false;
    }
    void *copy = plan_own(p, (size_t)bytes[i]);
    if (!copy) return false;
    memcpy(copy, data, (size_t)bytes[i]);
    v->data = copy;
    v->owned = true;
  }
  return true;
}

static bool report_all(run *r) {
  for (int i = 0; i < r->plan.n_nodes; i++)
    if (!r->plan.node[i].dead && !report_node(r, &r->plan.node[i])) return false;
  return true;
}

static void finish(run *r, int n_chains) {
  for (int i = 0; i < n_chains && r->chain; i++) free(r->chain[i]);
  free(r->chain);
  plan_free(&r->plan);
}

char *report_run(const char *mil_path, uint32_t n_inputs, const void *data, const uint64_t *bytes, char *error,
                 size_t error_size) {
  num_profile profile;
  bool loadable;
  mil_program *mil = engine_read(mil_path, NULL, &profile, &loadable, error, error_size);
  if (!mil) return NULL;
  run r = {0};
  char *text = NULL;
  size_t length = 0;
  bool ok = plan_lower(&r.plan, mil, profile, error, error_size) &&
            take_inputs(&r.plan, n_inputs, data, bytes, error, error_size);
  int n_chains = r.plan.n_values;
  if (ok) {
    snprintf(error, error_size, "out of memory");
    r.chain = calloc((size_t)n_chains + 1, sizeof *r.chain);
    r.out = open_memstream(&text, &length);
    ok = r.chain && r.out && report_all(&r);
    if (r.out && fclose(r.out)) ok = false;
  }
  finish(&r, n_chains);
  mil_free(mil);
  if (ok) return text;
  free(text);
  return NULL;
}
