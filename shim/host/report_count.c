/* report_count.c - what the arithmetic drops: products below the grid, values beyond a table. */
#include <string.h>

#include "conv.h"
#include "report.h"
#include "tables.h"
#include "unary.h"

/* Whether a product of two operands other than zero counts as 0: see mac_product(). */
static bool drops(f16 x, f16 w) {
  int a = x >> 10 & 31, b = w >> 10 & 31;
  return (a ? a : 1) + (b ? b : 1) < 30 - 16;
}

static void count_one(report_counts *counts, f16 x, f16 w) {
  if (!(x & 0x7fff) || !(w & 0x7fff)) return;
  counts->products++;
  counts->dropped += drops(x, w);
}

typedef struct {
  const f16 *x, *w;
  report_counts counts;
} products;

static void visit(void *context, int64_t y, int64_t x, int64_t w) {
  products *p = context;
  (void)y;
  count_one(&p->counts, p->x[x], p->w[w]);
}

/* The four products of one pair of output columns and one kernel row. */
static void count_pair(report_counts *counts, const conv_args *c, const f16 *row, int64_t t, const f16 *g) {
  f16 d[4];
  for (int i = 0; i < 4; i++) {
    int64_t x = 2 * t - c->pad_left + i;
    d[i] = x >= 0 && x < c->w ? row[x] : 0;
  }
  for (int j = 0; j < 4; j++) count_one(counts, conv_winograd_input(d, j), conv_winograd_weight(g, j));
}

/* Products of transformed values; the rows outside the image are zero. */
static report_counts count_winograd(const conv_args *c, const f16 *x, const f16 *w) {
  report_counts counts = {0};
  int64_t in = conv_group_in(c), outs = conv_group_out(c), rows = c->oh * c->kh;
  for (int64_t i = 0; i < c->n * c->cout * in; i++) {
    int64_t ci = i % in, co = i / in % c->cout, image = i / in / c->cout;
    const f16 *plane = x + (image * c->cin + co / outs * in + ci) * c->h * c->w;
    const f16 *taps = w + (co * in + ci) * c->kh * c->kw;
    for (int64_t r = 0; r < rows; r++) {
      int64_t y = r / c->kh - c->pad_top + r % c->kh;
      if (y < 0 || y >= c->h) continue;
      for (int64_t t = 0; t < conv_pairs(c); t++) count_pair(&counts, c, plane + y * c->w, t, taps + r % c->kh * c->kw);
    }
  }
  return counts;
}

static report_counts count_conv(const conv_args *c, const f16 *const *in) {
  enum conv_kind kind = conv_kind_of(c);
  if (kind == CONV_SCALE) return (report_counts){0}; /* an elementwise multiplication */
  if (kind == CONV_WINOGRAD) return count_winograd(c, in[0], in[1]);
  products p = {.x = in[0], .w = in[1]};
  report_conv(c, visit, &p);
  return p.counts;
}

/* Tables by operation; silu looks up tanh(x / 2) / 2. */
static bool table_of(const unary_fn *fn, table_id *table) {
  switch ((int)fn->op) {
    case OP_GELU: *table = TABLE_GELU; return fn->gelu != GELU_SIGMOID;
    case OP_TANH: *table = TABLE_TANH; return true;
    case OP_SIGMOID: *table = TABLE_SIGMOID; return true;
    case OP_SILU: *table = TABLE_HALF_TANH; return true;
    case OP_ERF: *table = TABLE_ERF; return true;
    case OP_ATAN: *table = TABLE_ATAN; return true;
    default: return false;
  }
}

static int64_t count_clamped(const plan *p, const plan_node *n, const f16 *x) {
  table_id table;
  int64_t clamped = 0, count = plan_elements(&p->value[n->in[0]]);
  if (n->code != EW_UNARY || !x || !table_of(n->fn, &table)) return 0;
  for (int64_t i = 0; i < count; i++) clamped += table_clamps(table, x[i]);
  return clamped;
}

report_counts report_count(const plan *p, const plan_node *n, const f16 *const *in) {
  if (p->profile.mode != NUM_ANE) return (report_counts){0};
  if (n->kind == NODE_EW) return (report_counts){.clamped = count_clamped(p, n, in[0])};
  if (n->kind == NODE_CONV) return count_conv(n->args, in);
  if (n->kind != NODE_GEMM) return (report_counts){0};
  products products = {.x = in[0], .w = in[1]};
  report_gemm(n->args, visit, &products);
  return products.counts;
}
