/* exec.c - binds ports to memory and runs the steps.
 *
 * An output may be the memory of an input. Its step may write there when every step that reads the input has run, or when it
 * is the one that reads it, element by element. Otherwise that output is written to a staging buffer and copied when all
 * steps are done. Which of the two is decided when the pointers change. */
#include "exec.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pool.h"

/* Memory of a port in this run. */
typedef struct {
  uintptr_t at, end;
  int port;
} span;

struct exec {
  plan *plan;
  void **in, **out;         /* pointers of the last run */
  bool bound;
  bool *staged;             /* per output */
  int n_staged;
  size_t *stage_at;         /* per output, in stage */
  char *stage;              /* room for all outputs; pages are only touched when used */
  span *span;               /* work space: outputs sorted by address */
  size_t *in_bytes, *out_bytes, *in_element, *out_element;
  int *first_read;          /* per input: its reads are read[first_read[i]] .. */
  char *scratch;
  size_t scratch_stride;
  int workers;
  atomic_flag running;
};

static size_t round_up(size_t n) { return (n + PLAN_ALIGN - 1) & ~(size_t)(PLAN_ALIGN - 1); }

static int by_input(const void *a, const void *b) {
  const plan_read *x = a, *y = b;
  return x->input != y->input ? (x->input < y->input ? -1 : 1) : (x->step > y->step) - (x->step < y->step);
}

static bool set_up(exec *e) {
  plan *p = e->plan;
  size_t n_in = (size_t)p->n_inputs, n_out = (size_t)p->n_outputs, total = 0;
  e->in = calloc(n_in + 1, sizeof *e->in);
  e->out = calloc(n_out + 1, sizeof *e->out);
  e->staged = calloc(n_out + 1, sizeof *e->staged);
  e->stage_at = calloc(n_out + 1, sizeof *e->stage_at);
  e->span = calloc(n_out + 1, sizeof *e->span);
  e->in_bytes = calloc(n_in + 1, sizeof *e->in_bytes);
  e->out_bytes = calloc(n_out + 1, sizeof *e->out_bytes);
  e->in_element = calloc(n_in + 1, sizeof *e->in_element);
  e->out_element = calloc(n_out + 1, sizeof *e->out_element);
  e->first_read = calloc(n_in + 2, sizeof *e->first_read);
  e->workers = pool_threads();
  e->scratch_stride = round_up(p->scratch + PLAN_ALIGN);
  e->scratch = aligned_alloc(PLAN_ALIGN, e->scratch_stride * (size_t)e->workers);
  if (!e->in || !e->out || !e->staged || !e->stage_at || !e->span || !e->in_bytes || !e->out_bytes || !e->in_element ||
      !e->out_element || !e->first_read || !e->scratch)
    return false;
  for (size_t i = 0; i < n_in; i++) {
    e->in_bytes[i] = (size_t)plan_bytes(&p->value[p->input[i]]);
    e->in_element[i] = plan_element(p->value[p->input[i]].dtype);
  }
  for (size_t i = 0; i < n_out; i++) {
    e->out_bytes[i] = (size_t)plan_bytes(&p->value[p->output[i]]);
    e->out_element[i] = plan_element(p->value[p->output[i]].dtype);
    e->stage_at[i] = total;
    total += round_up(e->out_bytes[i]);
  }
  if (p->n_reads) qsort(p->read, (size_t)p->n_reads, sizeof *p->read, by_input);
  for (int i = 0; i < p->n_reads; i++) e->first_read[p->read[i].input + 1]++;
  for (size_t i = 0; i < n_in; i++) e->first_read[i + 1] += e->first_read[i];
  e->stage = aligned_alloc(PLAN_ALIGN, total + PLAN_ALIGN);
  return e->stage != NULL;
}

exec *exec_create(plan *p) {
  exec *e = calloc(1, sizeof *e);
  if (!e) return NULL;
  e->plan = p;
  atomic_flag_clear(&e->running);
  if (set_up(e)) return e;
  exec_free(e);
  return NULL;
}

void exec_free(exec *e) {
  if (!e) return;
  free(e->in);
  free(e->out);
  free(e->staged);
  free(e->stage_at);
  free(e->stage);
  free(e->span);
  free(e->in_bytes);
  free(e->out_bytes);
  free(e->in_element);
  free(e->out_element);
  free(e->first_read);
  free(e->scratch);
  free(e);
}

/* -- Binding ------------------------------------------------------------------------------------------------------------- */

/* Whether output j may be written directly to memory that overlaps input i. */
static bool may_overwrite(const exec *e, int i, int j) {
  const plan_write *w = &e->plan->write[j];
  bool same = e->in[i] == e->out[j] && e->in_bytes[i] == e->out_bytes[j] && e->in_element[i] == e->out_element[j];
  for (int r = e->first_read[i]; r < e->first_read[i + 1]; r++) {
    const plan_read *read = &e->plan->read[r];
    if (read->step < w->first) continue;
    if (!(same && read->step == w->first && read->in_place && w->in_place)) return false;
  }
  return true;
}

static void sort_spans(span *s, int n) { /* shell sort: no allocation */
  for (int gap = n / 2; gap > 0; gap /= 2)
    for (int i = gap; i < n; i++) {
      span v = s[i];
      int j = i;
      for (; j >= gap && s[j - gap].at > v.at; j -= gap) s[j] = s[j - gap];
      s[j] = v;
    }
}

/* Outputs that share memory with each other or with inputs that are read too late get staged. */
static void stage_outputs(exec *e) {
  const plan *p = e->plan;
  int n = p->n_outputs;
  for (int j = 0; j < n; j++) {
    e->staged[j] = false;
    e->span[j] = (span){(uintptr_t)e->out[j], (uintptr_t)e->out[j] + e->out_bytes[j], j};
  }
  sort_spans(e->span, n);
  uintptr_t longest = 0; /* a span that meets [a, b) starts after a - longest */
  for (int j = 0; j < n; j++) {
    uintptr_t length = e->span[j].end - e->span[j].at;
    if (length > longest) longest = length;
    for (int k = j + 1; k < n && e->span[k].at < e->span[j].end; k++) e->staged[e->span[k].port] = e->staged[e->span[j].port] = true;
  }
  for (int i = 0; i < p->n_inputs; i++) {
    uintptr_t at = (uintptr_t)e->in[i], end = at + e->in_bytes[i];
    int low = 0, high = n;
    while (low < high) {
      int middle = (low + high) / 2;
      if (e->span[middle].at + longest <= at) low = middle + 1;
      else high = middle;
    }
    for (; low < n && e->span[low].at < end; low++)
      if (e->span[low].end > at && !may_overwrite(e, i, e->span[low].port)) e->staged[e->span[low].port] = true;
  }
}

static int complain(char *error, size_t size, const char *what, const char *name) {
  if (size) snprintf(error, size, "%s '%s'", what, name);
  return 1;
}

static int bind(exec *e, void *const *inputs, void *const *outputs, char *error, size_t error_size) {
  plan *p = e->plan;
  e->bound = false;
  for (int i = 0; i < p->n_inputs; i++) {
    if (!inputs[i]) return complain(error, error_size, "no memory for input", p->value[p->input[i]].name);
    if ((uintptr_t)inputs[i] % e->in_element[i])
      return complain(error, error_size, "misaligned memory for input", p->value[p->input[i]].name);
    e->in[i] = inputs[i];
  }
  for (int j = 0; j < p->n_outputs; j++) {
    if (!outputs[j]) return complain(error, error_size, "no memory for output", p->value[p->output[j]].name);
    if ((uintptr_t)outputs[j] % e->out_element[j])
      return complain(error, error_size, "misaligned memory for output", p->value[p->output[j]].name);
    e->out[j] = outputs[j];
  }
  stage_outputs(e);
  e->n_staged = 0;
  for (int j = 0; j < p->n_outputs; j++) e->n_staged += e->staged[j];
  for (int i = 0; i < p->n_in_patches; i++) {
    const plan_patch *patch = &p->in_patch[i];
    *patch->at = (char *)e->in[patch->port] + patch->offset;
  }
  for (int i = 0; i < p->n_out_patches; i++) {
    const plan_patch *patch = &p->out_patch[i];
    char *base = e->staged[patch->port] ? e->stage + e->stage_at[patch->port] : e->out[patch->port];
    *patch->at = base + patch->offset;
  }
  e->bound = true;
  return 0;
}

static bool still_bound(const exec *e, void *const *inputs, void *const *outputs) {
  if (!e->bound) return false;
  for (int i = 0; i < e->plan->n_inputs; i++)
    if (e->in[i] != inputs[i]) return false;
  for (int j = 0; j < e->plan->n_outputs; j++)
    if (e->out[j] != outputs[j]) return false;
  return true;
}

/* -- Running -------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const exec *exec;
  const plan_step *step;
} shared_step;

static void run_shared(const void *args, int64_t first, int64_t last, int worker) {
  const shared_step *s = args;
  step_run(s->step->kind, s->step->args, first, last, s->exec->scratch + s->exec->scratch_stride * (size_t)worker);
}

int exec_run(exec *e, void *const *inputs, void *const *outputs, char *error, size_t error_size) {
  if (atomic_flag_test_and_set_explicit(&e->running, memory_order_acquire)) {
    if (error_size) snprintf(error, error_size, "the program is already running");
    return 1;
  }
  int status = still_bound(e, inputs, outputs) ? 0 : bind(e, inputs, outputs, error, error_size);
  const plan *p = e->plan;
  for (int i = 0; i < p->n_steps && !status; i++) {
    const plan_step *s = &p->step[i];
    if (!s->parallel) {
      step_run(s->kind, s->args, 0, s->units, e->scratch);
    } else {
      shared_step shared = {e, s};
      pool_share(run_shared, &shared, s->units, s->chunk, e->workers);
    }
  }
  for (int j = 0; j < p->n_outputs && e->n_staged && !status; j++)
    if (e->staged[j]) memcpy(e->out[j], e->stage + e->stage_at[j], e->out_bytes[j]);
  atomic_flag_clear_explicit(&e->running, memory_order_release);
  return status;
}
