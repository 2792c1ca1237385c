#include <string.h>

#include "rows.h"
#include "unary.h"

enum { SHORT = 32 };

/* The axes with neighbours of one kind merged: kept and reduced dimensions by turns. A list of reduced dimensions gives the
 * places of the elements of one output, in row-major order; the last reduced dimension is a dense run when it is the last of
 * all, otherwise outputs lie side by side in columns. */
typedef struct {
  int kept, reduced;                            /* how many */
  int64_t kept_dim[K_RANK], kept_stride[K_RANK];
  int64_t reduced_dim[K_RANK], reduced_stride[K_RANK];
  int64_t outputs, count;                       /* elements per output */
  bool columns;
} reduce_plan;

static reduce_plan make_plan(const reduce_args *a) {
  reduce_plan p = {.outputs = 1, .count = 1};
  int64_t stride = 1;
  int last = -1; /* -1 none, 0 kept, 1 reduced: the kind of the dimension before (inside) */
  for (int k = a->rank - 1; k >= 0; stride *= a->dim[k], k--) {
    if (a->dim[k] == 1) continue;
    bool reduced = a->reduced[k];
    int *n = reduced ? &p.reduced : &p.kept;
    int64_t *dim = reduced ? p.reduced_dim : p.kept_dim, *step = reduced ? p.reduced_stride : p.kept_stride;
    *(reduced ? &p.count : &p.outputs) *= a->dim[k];
    if (last < 0) p.columns = !reduced;
    if (last == (int)reduced) {
      dim[*n - 1] *= a->dim[k];
    } else {
      dim[*n] = a->dim[k];
      step[(*n)++] = stride;
    }
    last = reduced;
  }
  return p;
}

/* Place of element `index` of a list of dimensions, innermost first. */
static int64_t place(int n, const int64_t *dim, const int64_t *stride, int64_t index) {
  int64_t at = 0;
  for (int k = 0; k < n - 1; k++) {
    at += index % dim[k] * stride[k];
    index /= dim[k];
  }
  return n ? at + index * stride[n - 1] : at;
}

int64_t reduce_units(const reduce_args *args) { return make_plan(args).outputs; }

/* Places of the rows of a column block, or elements brought together: of one output, or of a block with few each. */
size_t reduce_scratch(const reduce_args *args) {
  (void)args;
  _Static_assert(SHORT * (sizeof(int64_t) + ROWS_COLUMNS * sizeof(f16)) <= ROWS_EXACT * sizeof(int64_t), "all uses fit");
  return ROWS_EXACT * sizeof(int64_t);
}

static enum row_term term_of_kind(enum mil_op_id kind) {
  switch (kind) {
    case OP_REDUCE_L1_NORM: return TERM_ABS;
    case OP_REDUCE_L2_NORM: case OP_REDUCE_SUM_SQUARE: return TERM_SQUARE;
    case OP_REDUCE_LOG_SUM_EXP: return TERM_EXP;
    default: return TERM_ITSELF;
  }
}

static bool is_extreme(enum mil_op_id kind) { return kind == OP_REDUCE_MAX || kind == OP_REDUCE_MIN; }

/* What is subtracted before exp: the largest element; in NUM_FAST mode 0 where that is infinite. */
static float exp_shift(float largest, bool ane) { return ane || isfinite(largest) ? largest : 0; }

/* -- Outputs whose elements are runs ------------------------------------------------------------------------------- */

/* Elements [first, first + n) of the output at x, in order; from the tensor itself where they are one run. */
static const f16 *gather(const reduce_plan *p, const f16 *x, int64_t first, int64_t n, f16 *scratch) {
  if (p->reduced <= 1) return x + first;
  int64_t run = p->reduced_dim[0];
  for (int64_t done = 0; done < n;) {
    int64_t inner = (first + done) % run, m = run - inner < n - done ? run - inner : n - done;
    int64_t outer = place(p->reduced - 1, p->reduced_dim + 1, p->reduced_stride + 1, (first + done) / run);
    memcpy(scratch + done, x + outer + inner, (size_t)m * sizeof *x);
    done += m;
  }
  return scratch;
}

static float run_extreme(const row_kernels *rows, const reduce_plan *p, const f16 *x, bool ane, bool minimum, f16 *scratch) {
  float best = minimum ? INFINITY : -INFINITY;
  for (int64_t at = 0; at < p->count; at += ROWS_EXACT) {
    int64_t n = p->count - at < ROWS_EXACT ? p->count - at : ROWS_EXACT;
    float part = rows->extreme(gather(p, x, at, n, scratch), n, ane, minimum);
    if (part != part) return part;
    if (minimum ? part < best : part > best) best = part;
  }
  return best;
}

static double run_sum(const row_kernels *rows, const reduce_plan *p, const f16 *x, bool ane, enum row_term term, float shift,
                      f16 *scratch) {
  if (p->count <= ROWS_EXACT) return rows->sum(gather(p, x, 0, p->count, scratch), p->count, ane, term, shift);
  wide_sum wide = {0};
  for (int64_t at = 0; at < p->count; at += ROWS_EXACT) {
    int64_t n = p->count - at < ROWS_EXACT ? p->count - at : ROWS_EXACT;
    wide_add(&wide, rows->sum(gather(p, x, at, n, scratch), n, ane, term, shift), ane);
  }
  return wide_total(&wide);
}

static void reduce_runs(const reduce_args *a, const reduce_plan *p, int64_t first, int64_t last, f16 *scratch) {
  const row_kernels *rows = rows_get();
  const bool ane = a->profile.mode == NUM_ANE, needs_max = a->kind == OP_REDUCE_LOG_SUM_EXP;
  double total[ROWS_PAD * 2] = {0};
  float shift[ROWS_PAD * 2] = {0};
  for (int64_t out = first; out < last; out += ROWS_PAD) {
    int64_t n = last - out < ROWS_PAD ? last - out : ROWS_PAD;
    for (int64_t i = 0; i < n; i++) {
      const f16 *x = a->x + place(p->kept, p->kept_dim, p->kept_stride, out + i);
      if (is_extreme(a->kind)) {
        a->y[out + i] = f16_from_float(run_extreme(rows, p, x, ane, a->kind == OP_REDUCE_MIN, scratch));
        continue;
      }
      if (needs_max) shift[i] = exp_shift(run_extreme(rows, p, x, ane, false, scratch), ane);
      total[i] = run_sum(rows, p, x, ane, term_of_kind(a->kind), shift[i], scratch);
    }
    if (!is_extreme(a->kind)) rows->finish(total, shift, n, a, p->count, a->y + out);
  }
}

/* -- Outputs side by side ------------------------------------------------------------------------------------------ */

/* Places of the rows [first, first + n) of a block. */
static void row_places(const reduce_plan *p, int64_t first, int64_t n, int64_t *row) {
  for (int64_t r = 0; r < n; r++) row[r] = place(p->reduced, p->reduced_dim, p->reduced_stride, first + r);
}

typedef struct {
  const f16 *x;
  int64_t columns;
  bool ane;
  int64_t *row; /* scratch */
} column_block;

static void block_extreme(const row_kernels *rows, const reduce_plan *p, const column_block *b, bool minimum, float *best) {
  for (int64_t i = 0; i < b->columns + ROWS_PAD; i++) best[i] = minimum ? INFINITY : -INFINITY;
  for (int64_t at = 0; at < p->count; at += ROWS_EXACT) {
    int64_t n = p->count - at < ROWS_EXACT ? p->count - at : ROWS_EXACT;
    row_places(p, at, n, b->row);
    rows->extreme_columns(b->x, b->row, n, b->columns, b->ane, minimum, best);
  }
}

static void block_sum(const row_kernels *rows, const reduce_plan *p, const column_block *b, enum row_term term,
                      const float *shift, double *total) {
  wide_sum wide[ROWS_COLUMNS];
  if (p->count > ROWS_EXACT) memset(wide, 0, sizeof wide);
  for (int64_t at = 0; at < p->count; at += ROWS_EXACT) {
    int64_t n = p->count - at < ROWS_EXACT ? p->count - at : ROWS_EXACT;
    row_places(p, at, n, b->row);
    rows->sum_columns(b->x, b->row, n, b->columns, b->ane, term, shift, total);
    if (p->count > ROWS_EXACT)
      for (int64_t i = 0; i < b->columns; i++) wide_add(&wide[i], total[i], b->ane);
  }
  if (p->count > ROWS_EXACT)
    for (int64_t i = 0; i < b->columns; i++) total[i] = wide_total(&wide[i]);
}

/* Outputs [out, out + b->columns) */
static void reduce_block(const reduce_args *a, const reduce_plan *p, const column_block *b, int64_t out) {
  const row_kernels *rows = rows_get();
  const int64_t n = b->columns;
  float best[ROWS_COLUMNS + ROWS_PAD];
  double total[ROWS_COLUMNS + ROWS_PAD];
  if (is_extreme(a->kind)) {
    block_extreme(rows, p, b, a->kind == OP_REDUCE_MIN, best);
    for (int64_t i = 0; i < n; i++) a->y[out + i] = f16_from_float(best[i]);
    return;
  }
  memset(best, 0, (size_t)(n + ROWS_PAD) * sizeof *best);
  if (a->kind == OP_REDUCE_LOG_SUM_EXP) {
    block_extreme(rows, p, b, false, best);
    for (int64_t i = 0; i < n; i++) best[i] = exp_shift(best[i], b->ane);
  }
  block_sum(rows, p, b, term_of_kind(a->kind), best, total);
  rows->finish(total, best, n, a, p->count, a->y + out);
}

static void reduce_columns(const reduce_args *a, const reduce_plan *p, int64_t first, int64_t last, int64_t *row) {
  const int64_t width = p->kept_dim[0];
  for (int64_t out = first; out < last;) {
    int64_t n = width - out % width < last - out ? width - out % width : last - out;
    if (n > ROWS_COLUMNS) n = ROWS_COLUMNS;
    column_block b = {a->x + place(p->kept, p->kept_dim, p->kept_stride, out), n, a->profile.mode == NUM_ANE, row};
    reduce_block(a, p, &b, out);
    out += n;
  }
}

/* Few elements per output: they are laid side by side and reduced as columns. */
static void reduce_short(const reduce_args *a, const reduce_plan *p, int64_t first, int64_t last, int64_t *row) {
  const reduce_plan side = {.reduced = 1, .reduced_dim = {p->count}, .reduced_stride = {ROWS_COLUMNS}, .count = p->count};
  f16 *block = (f16 *)(void *)(row + SHORT);
  int64_t element[SHORT];
  for (int64_t e = 0; e < p->count; e++) element[e] = place(p->reduced, p->reduced_dim, p->reduced_stride, e);
  for (int64_t out = first; out < last; out += ROWS_COLUMNS) {
    int64_t n = last - out < ROWS_COLUMNS ? last - out : ROWS_COLUMNS;
    for (int64_t i = 0; i < n; i++) {
      const f16 *x = a->x + place(p->kept, p->kept_dim, p->kept_stride, out + i);
      for (int64_t e = 0; e < p->count; e++) block[e * ROWS_COLUMNS + i] = x[element[e]];
    }
    column_block b = {block, n, a->profile.mode == NUM_ANE, row};
    reduce_block(a, &side, &b, out);
  }
}

void reduce_run(const reduce_args *args, int64_t first, int64_t last, void *scratch) {
  reduce_plan plan = make_plan(args);
  if (plan.columns && plan.reduced) reduce_columns(args, &plan, first, last, scratch);
  else if (plan.count <= SHORT) reduce_short(args, &plan, first, last, scratch);
  else reduce_runs(args, &plan, first, last, scratch);
}

/* -- The scalar twin ----------------------------------------------------------------------------------------------- */

/* Place of element `index` of output `out`: both counted over the dimensions as given. */
static int64_t ref_place(const reduce_args *a, int64_t out, int64_t index) {
  int64_t at = 0, stride = 1;
  for (int k = a->rank - 1; k >= 0; k--) {
    int64_t *from = a->reduced[k] ? &index : &out;
    at += *from % a->dim[k] * stride;
    *from /= a->dim[k];
    stride *= a->dim[k];
  }
  return at;
}

static double operand(f16 h) { return (h & 0x7fff) > 0x7c00 ? (double)INFINITY : (double)f16_to_float(h); }

/* A sum of terms by reduce_total's rule, groups of 4 at a time, so that the terms need no memory. +inf and -inf among the
 * terms make it 0. */
static f16 ref_sum_ane(const reduce_args *a, int64_t out, int64_t count, f16 largest) {
  wide_sum wide = {0};
  bool infinite[2] = {false, false};
  for (int64_t i = 0; i < count; i += 4) {
    f16 term[4];
    int64_t n = count - i < 4 ? count - i : 4;
    for (int64_t j = 0; j < n; j++) {
      f16 x = a->x[ref_place(a, out, i + j)];
      switch (term_of_kind(a->kind)) {
        case TERM_ABS: term[j] = x & 0x7fff; break;
        case TERM_SQUARE: term[j] = ane_mul(x, x); break;
        case TERM_EXP: term[j] = kernel_map(MAP_EXP)[ane_sub(x, largest)]; break;
        default: term[j] = x;
      }
      if ((term[j] & 0x7c00) == 0x7c00) infinite[term[j] == 0xfc00] = true;
    }
    wide_add(&wide, reduce_total(term, n, 1), true);
  }
  double total = wide_total(&wide);
  if (infinite[0] && infinite[1]) return 0;
  return f16_rha(a->kind == OP_REDUCE_MEAN ? total / (double)count : total);
}

static f16 ref_ane(const reduce_args *a, int64_t out, int64_t count) {
  double best = a->kind == OP_REDUCE_MIN ? INFINITY : -INFINITY;
  for (int64_t i = 0; i < count; i++) {
    double v = operand(a->x[ref_place(a, out, i)]);
    best = a->kind == OP_REDUCE_MIN ? fmin(best, v) : fmax(best, v);
  }
  f16 extreme = f16_rha(best == 0 ? 0 : best);
  if (is_extreme(a->kind)) return extreme;
  f16 sum = ref_sum_ane(a, out, count, extreme);
  if (a->kind == OP_REDUCE_L2_NORM) return kernel_map(MAP_SQRT)[sum];
  if (a->kind == OP_REDUCE_LOG_SUM) return kernel_map(MAP_LOG)[sum];
  if (a->kind == OP_REDUCE_LOG_SUM_EXP) return ane_add(extreme, kernel_map(MAP_LOG)[sum]);
  return sum;
}

static f16 ref_fast(const reduce_args *a, int64_t out, int64_t count) {
  double sum = 0, squares = 0, magnitudes = 0, exps = 0, low = INFINITY, high = -INFINITY;
  for (int64_t i = 0; i < count; i++) {
    double v = f16_to_float(a->x[ref_place(a, out, i)]);
    sum += v;
    squares += v * v;
    magnitudes += fabs(v);
    low = v < low || v != v ? v : low;
    high = v > high || v != v ? v : high;
  }
  double shift = isfinite(high) ? high : 0;
  for (int64_t i = 0; i < count; i++) exps += exp(f16_to_float(a->x[ref_place(a, out, i)]) - shift);
  switch (a->kind) {
    case OP_REDUCE_MIN: return f16_from_float((float)(low + 0.0));
    case OP_REDUCE_MAX: return f16_from_float((float)(high + 0.0));
    case OP_REDUCE_MEAN: return f16_from_float((float)(sum / (double)count));
    case OP_REDUCE_L1_NORM: return f16_from_float((float)magnitudes);
    case OP_REDUCE_L2_NORM: return f16_from_float((float)sqrt(squares));
    case OP_REDUCE_SUM_SQUARE: return f16_from_float((float)squares);
    case OP_REDUCE_LOG_SUM: return f16_from_float((float)log(sum));
    case OP_REDUCE_LOG_SUM_EXP: return f16_from_float((float)(shift + log(exps)));
    default: return f16_from_float((float)sum);
  }
}

void reduce_run_ref(const reduce_args *args, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  int64_t count = 1;
  for (int k = 0; k < args->rank; k++) count *= args->reduced[k] ? args->dim[k] : 1;
  for (int64_t out = first; out < last; out++)
    args->y[out] = args->profile.mode == NUM_ANE ? ref_ane(args, out, count) : ref_fast(args, out, count);
}
