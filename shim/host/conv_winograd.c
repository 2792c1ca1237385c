/* conv_winograd.c - 3x3 and 1x3 convolutions of stride 1 on H17 and later: 1-D Winograd F(2,3) along the width.
 *
 * For each output row and pair of columns (2t, 2t+1), with d0..d3 = x[2t - pad .. 2t - pad + 3] of each kernel row:
 *   u0 = d0-d2  u1 = d1+d2  u2 = d2-d1  u3 = d1-d3          (each rounded once, RHA)
 *   v0 = g0  v1 = (g0+g1+g2)/2  v2 = (g0-g1+g2)/2  v3 = g2   (each rounded once, RHA)
 *   m_j = MAC sum over (input channel, kernel row) of u_j * v_j
 *   y(2t) = RHA(m0+m1+m2)   y(2t+1) = RHA(m1-m2-m3)
 * So it is four matrix products over the same pairs. Inferred: every m_j is an accumulator with its own sticky limit, the
 * outputs are limited once more, the bias is where m1 starts (both outputs contain m1), and an odd last column is the
 * first of a pair. */
#include "conv.h"

#include <math.h>
#include <string.h>

f16 conv_winograd_weight(const f16 *g, int j) {
  if (j == 0) return g[0];
  if (j == 3) return g[2];
  double g0 = (double)f16_to_float(g[0]), g1 = (double)f16_to_float(g[1]), g2 = (double)f16_to_float(g[2]);
  double sum = j == 1 ? g0 + g1 + g2 : g0 - g1 + g2; /* 43 bits at most: exact */
  return sum != sum ? 0 : f16_rha(sum / 2);
}

static const struct {
  int a, b;
  float sign;
} input_rule[4] = {{0, 2, -1}, {1, 2, 1}, {2, 1, -1}, {1, 3, -1}};

f16 conv_winograd_input(const f16 *d, int j) {
  f16 a = d[input_rule[j].a], b = d[input_rule[j].b];
  return input_rule[j].sign > 0 ? ane_add(a, b) : ane_sub(a, b);
}

/* -- Sources --------------------------------------------------------------------------------------------------------------- */

typedef struct {
  const conv_args *args;
  const f16 *base; /* x or weight of the group */
  int j;
} transformed;

static int64_t winograd_k(const conv_args *c) { return conv_group_in(c) * c->kh; }

static void get_weights(const gemm_source *s, int64_t first, int64_t count, int width, int64_t k0, int64_t kc, uint16_t *v,
                        uint8_t *k_min, gemm_panel *out) {
  const transformed *t = s->ctx;
  int64_t row = winograd_k(t->args) * 3;
  memset(v, 0, (size_t)(kc * width) * sizeof(f16));
  for (int64_t i = 0; i < count; i++)
    for (int64_t k = 0; k < kc; k++)
      v[k * width + i] = conv_winograd_weight(t->base + (first + i) * row + (k0 + k) * 3, t->j);
  gemm_panel_done(s, v, width, kc, k_min, out);
}

/* The input rows that some runs of a panel see, of one channel, transformed at pairs first .. first + pairs of each row.
 * At most two runs: a window each. More: the middle ones are whole rows, shorter than a panel, and one window of whole rows
 * serves all of them. */
enum { STEP = 16, WINDOW_PAIRS = GEMM_MAX_NR, WINDOW_STRIDE = WINDOW_PAIRS + STEP, WINDOW_ROWS = GEMM_MAX_NR + 3 };

typedef struct {
  int64_t top, rows, first, pairs;
  uint16_t u[WINDOW_ROWS * WINDOW_STRIDE];
} window;

/* n pairs, n a multiple of STEP; h holds d0 of the first pair on, 2n + 2 values and zeros up to 2n + 2 * STEP. */
static void transform_row(const gemm_kernels *kern, const uint16_t *h, int64_t n, int j, uint16_t *out) {
  int special = 0;
  for (int64_t i = 0; i < 2 * n + 2; i++) special |= (h[i] & 0x7fff) >= 0x7c00;
  if (special) {
    for (int64_t i = 0; i < n; i++) out[i] = conv_winograd_input(h + 2 * i, j);
    return;
  }
  enum { ROOM = WINDOW_PAIRS + 2 * STEP };
  _Alignas(64) float d[2 * ROOM], half[2][ROOM];
  kern->expand(h, 2 * n + STEP, d);
  for (int64_t i = 0; i <= n; i++) {
    half[0][i] = d[2 * i];
    half[1][i] = d[2 * i + 1];
  }
  int a = input_rule[j].a, b = input_rule[j].b;
  kern->add_ane(half[a & 1] + a / 2, half[b & 1] + b / 2, input_rule[j].sign, n, out);
}

static window *open_window(const conv_args *c, const conv_run_of *run, int runs, window *w) {
  w->top = run[0].oy - c->pad_top;
  w->rows = run[runs - 1].oy - run[0].oy + c->kh;
  w->first = runs == 1 ? run[0].ox : 0;
  w->pairs = runs == 1 ? run[0].n : conv_pairs(c);
  return w;
}

static void fill_window(const transformed *t, const gemm_kernels *kern, int64_t ci, window *w) {
  const conv_args *c = t->args;
  uint16_t h[2 * WINDOW_PAIRS + 4 * STEP] = {0};
  for (int64_t r = 0; r < w->rows; r++) {
    int64_t iy = w->top + r;
    const f16 *row = iy < 0 || iy >= c->h ? NULL : t->base + (ci * c->h + iy) * c->w;
    conv_copy_row(row, c->w, 2 * w->first - c->pad_left, 1, 2 * w->pairs + 2, h);
    transform_row(kern, h, gemm_round_up(w->pairs, STEP), t->j, w->u + r * WINDOW_STRIDE);
  }
}

static void get_inputs(const gemm_source *s, int64_t first, int64_t count, int width, int64_t k0, int64_t kc, uint16_t *v,
                       uint8_t *k_min, gemm_panel *out) {
  const transformed *t = s->ctx;
  const conv_args *c = t->args;
  const gemm_kernels *kern = gemm_kernels_get();
  conv_run_of run[GEMM_MAX_NR];
  int runs = conv_runs(conv_pairs(c), first, count, run), per_window = runs > 2 ? runs : 1;
  window windows[2], *of[GEMM_MAX_NR];
  for (int r = 0; r < runs; r++) of[r] = r % per_window ? of[0] : open_window(c, run + r, per_window, &windows[r]);
  for (int64_t k = 0; k < kc; k++) {
    int64_t ci = (k0 + k) / c->kh, ky = (k0 + k) % c->kh;
    uint16_t *to = v + k * width;
    for (int r = 0; (k == 0 || ky == 0) && r < runs; r += per_window) fill_window(t, kern, ci, of[r]);
    for (int r = 0; r < runs; r++) {
      const uint16_t *src = of[r]->u + (run[r].oy - c->pad_top + ky - of[r]->top) * WINDOW_STRIDE + run[r].ox - of[r]->first;
      /* up to 7 values too many, into what is written next */
      for (int i = 0; i < run[r].n; i += 8) memcpy(to + run[r].at + i, src + i, 8 * sizeof *src);
    }
    for (int64_t i = count; i < width; i++) to[i] = 0;
  }
  gemm_panel_done(s, v, width, kc, k_min, out);
}

/* -- Packed weights: for each group, the four transforms --------------------------------------------------------------------- */

static size_t transform_size(const conv_args *c) {
  return gemm_align(gemm_packed_size(conv_group_out(c), gemm_kernels_get()->mr, winograd_k(c)));
}

size_t conv_winograd_packed_size(const conv_args *c) { return (size_t)c->groups * 4 * transform_size(c); }

void conv_winograd_pack(const conv_args *c, void *packed) {
  int64_t rows = conv_group_out(c), k = winograd_k(c);
  for (int64_t i = 0; i < 4 * c->groups; i++) {
    transformed t = {c, c->weight + i / 4 * rows * k * 3, (int)(i % 4)};
    gemm_source from = {.get = get_weights, .ctx = &t, .ane = true};
    gemm_packed_fill(&from, true, rows, gemm_kernels_get()->mr, k, (unsigned char *)packed + (size_t)i * transform_size(c));
  }
}

/* -- Run ------------------------------------------------------------------------------------------------------------------- */

gemm_split conv_winograd_split(const conv_args *c) {
  return gemm_split_of(c->n * c->groups, conv_group_out(c), c->oh * conv_pairs(c), winograd_k(c));
}

size_t conv_winograd_scratch(const conv_args *c) {
  gemm_split p = conv_winograd_split(c);
  return 4 * gemm_acc_size(p.kern, p.mc, p.nc) + gemm_work_size(p.kern, p.mc) + gemm_emit_size(c->epilogue);
}

enum { SEGMENT = EW_TILE / 2 };

/* n <= SEGMENT pairs of one row of the block, from its pair column `first` on: consecutive outputs. */
static void emit_pairs(const conv_args *c, const gemm_block *b, const gemm_acc acc[4], int64_t row, int64_t first, int64_t n,
                       void *scratch) {
  _Alignas(64) double m[4][SEGMENT], sums[EW_TILE];
  _Alignas(64) int32_t units[EW_TILE];
  _Alignas(64) float values[EW_TILE];
  for (int j = 0; j < 4; j++) gemm_acc_units(b, &acc[j], row, first, n, m[j]);
  int64_t pairs = conv_pairs(c), start = b->col0 + first, t = start % pairs, count = 0;
  for (int64_t i = 0; i < n; i++) {
    double pair[4] = {m[0][i], m[1][i], m[2][i], m[3][i]};
    conv_winograd_output(pair, sums + count);
    count += 2 * t + 1 < c->ow ? 2 : 1;
    t = t + 1 == pairs ? 0 : t + 1;
  }
  for (int64_t i = 0; i < count; i++) units[i] = isinf(sums[i]) ? 0 : (int32_t)sums[i];
  b->kern->round_ane(units, count, values);
  for (int64_t i = 0; i < count; i++) values[i] = isinf(sums[i]) ? (float)sums[i] : values[i];
  int64_t flat = b->y_flat + (b->row0 + row) * b->y_row + start / pairs * c->ow + start % pairs * 2;
  gemm_emit(b, flat, count, values, scratch);
}

static void winograd_unit(const conv_args *c, const gemm_split *p, int64_t unit, void *scratch) {
  int64_t per_matrix = p->row_blocks * p->col_blocks, matrix = unit / per_matrix, block = unit % per_matrix;
  int64_t image = matrix / c->groups, group = matrix % c->groups, k = winograd_k(c);
  const f16 *x = c->x + (image * c->cin + group * conv_group_in(c)) * c->h * c->w;
  size_t acc_size = gemm_acc_size(p->kern, p->mc, p->nc);
  unsigned char *at = scratch, *work = at + 4 * acc_size, *emit = work + gemm_work_size(p->kern, p->mc);
  gemm_block b = conv_block(c, p->kern, image, group);
  b.row0 = block / p->col_blocks * p->mc;
  b.col0 = block % p->col_blocks * p->nc;
  b.rows = gemm_min(p->mc, p->rows - b.row0);
  b.cols = gemm_min(p->nc, p->cols - b.col0);
  b.k = k;
  gemm_acc acc[4];
  for (int j = 0; j < 4; j++) {
    transformed input = {c, x, j}, weight = {c, c->packed_w ? NULL : c->weight + group * p->rows * k * 3, j};
    gemm_source right = {.get = get_inputs, .ctx = &input, .ane = true};
    gemm_source left = {.get = get_weights, .ctx = &weight, .ane = true};
    if (c->packed_w) {
      const unsigned char *packed = (const unsigned char *)c->packed_w + (size_t)(group * 4 + j) * transform_size(c);
      left = gemm_source_packed(packed, p->rows, p->kern->mr, k);
    }
    b.a = &left;
    b.b = &right;
    b.bias = c->has_bias && j == 1 ? c->bias + group * p->rows : NULL;
    gemm_accumulate(&b, &acc[j], at + (size_t)j * acc_size, work);
  }
  int64_t segment = SEGMENT / p->kern->nr * p->kern->nr;
  for (int64_t row = 0; row < b.rows; row++)
    for (int64_t col = 0; col < b.cols; col += segment)
      emit_pairs(c, &b, acc, row, col, gemm_min(segment, b.cols - col), emit);
}

void conv_winograd_run(const conv_args *c, int64_t first, int64_t last, void *scratch) {
  gemm_split p = conv_winograd_split(c);
  for (int64_t unit = first; unit < last; unit++) winograd_unit(c, &p, unit, scratch);
}
