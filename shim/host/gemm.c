/* gemm.c - matrix products: how one is cut into units, and the packed form of constant weights. */
#include <stdlib.h>

#include "gemm_compressed.h"

enum {
  MAX_MC = 128, MIN_NC = 512, MAX_NC = 4096, MAX_BLOCK = MAX_MC * MIN_NC,
  WANTED_UNITS = 48,              /* enough for 16 threads of uneven speed */
  NEEDED_UNITS = 16,              /* worth doing some packing twice */
  FEW_ROWS = 2, IN_PLACE_CHUNK = 8, /* rows of w read side by side, so that each is a stream */
};
static const double MIN_UNIT = 1 << 18; /* multiply-adds worth a hand-over to another thread */

static int64_t half_of(int64_t size, int64_t step) { return gemm_round_up(gemm_ceil_div(size, 2), step); }

/* Blocks are halved while there are too few units: first the columns (the left panels are widened again for each), then,
 * while threads would be idle, the rows (the right panels are packed again for each). */
gemm_split gemm_split_of(int64_t matrices, int64_t rows, int64_t cols, int64_t k) {
  gemm_split s = {.kern = gemm_kernels_get(), .rows = rows, .cols = cols};
  int mr = s.kern->mr, nr = s.kern->nr;
  s.mc = gemm_min(gemm_round_up(rows, mr), MAX_MC);
  int64_t most = gemm_min(MAX_BLOCK / s.mc, MAX_NC);
  s.nc = gemm_min(gemm_round_up(cols, nr), most / nr * nr);
  for (;;) {
    s.row_blocks = gemm_ceil_div(rows, s.mc);
    s.col_blocks = gemm_ceil_div(cols, s.nc);
    s.units = matrices * s.row_blocks * s.col_blocks;
    double work = (double)gemm_min(s.mc, rows) * (double)gemm_min(s.nc, cols) * (double)k;
    if (s.units >= WANTED_UNITS || work < 2 * MIN_UNIT) return s;
    if (s.nc > (rows <= FEW_ROWS ? 8 : 4) * nr) s.nc = half_of(s.nc, nr);
    else if (s.units < NEEDED_UNITS && s.mc > 4 * mr) s.mc = half_of(s.mc, mr);
    else if (s.units < NEEDED_UNITS && s.nc > nr) s.nc = half_of(s.nc, nr);
    else if (s.units < NEEDED_UNITS && s.mc > mr) s.mc = half_of(s.mc, mr);
    else return s;
  }
}

/* With one column (n = 1) the operands are swapped: y^T = w^T . x^T is one row, so the rows of x fill the vector lanes. */
static bool is_swapped(const gemm_args *g) { return g->n == 1 && g->m > 1; }

static gemm_split split_of(const gemm_args *g) {
  return is_swapped(g) ? gemm_split_of(g->batch, 1, g->m, g->k) : gemm_split_of(g->batch, g->m, g->n, g->k);
}

int64_t gemm_units(const gemm_args *g) { return split_of(g).units; }

size_t gemm_scratch(const gemm_args *g) {
  gemm_split p = split_of(g);
  return gemm_acc_size(p.kern, p.mc, p.nc) + gemm_work_size(p.kern, p.mc) + gemm_emit_size(g->epilogue);
}

/* -- Packed weights -------------------------------------------------------------------------------------------------------- */

/* Lanes and width of the weights' panels. */
static int64_t weight_lanes(const gemm_args *g, int *full_width) {
  const gemm_kernels *kern = gemm_kernels_get();
  *full_width = is_swapped(g) ? kern->mr : kern->nr;
  return g->n;
}

static int64_t weight_matrices(const gemm_args *g) {
  int64_t count = 1;
  for (int i = 0; i < g->batch_rank; i++) count *= g->w_batch[i] ? g->batch_dim[i] : 1;
  return count;
}

static size_t matrix_size(const gemm_args *g) {
  int full_width;
  int64_t lanes = weight_lanes(g, &full_width);
  return gemm_align(gemm_packed_size(lanes, full_width, g->k));
}

size_t gemm_packed_w_size(const gemm_args *g) { return (size_t)weight_matrices(g) * matrix_size(g); }

/* Offset of the i-th matrix of w. */
static int64_t matrix_offset(const gemm_args *g, int64_t i) {
  int64_t offset = 0;
  for (int d = g->batch_rank - 1; d >= 0; d--) {
    if (!g->w_batch[d]) continue;
    offset += i % g->batch_dim[d] * g->w_batch[d];
    i /= g->batch_dim[d];
  }
  return offset;
}

void gemm_pack_w(const gemm_args *g, void *packed) {
  int full_width;
  int64_t lanes = weight_lanes(g, &full_width), matrices = weight_matrices(g);
  for (int64_t i = 0; i < matrices; i++) {
    gemm_source from = gemm_source_strided(g->w + matrix_offset(g, i), g->w_col, g->w_row, true, false);
    gemm_packed_fill(&from, is_swapped(g), lanes, full_width, g->k, (unsigned char *)packed + (size_t)i * matrix_size(g));
  }
}

static coded_matrix coded_of(const gemm_args *g, int64_t i) {
  coded_matrix m = {.codes = g->codes, .offset = matrix_offset(g, i), .s_lane = g->w_col, .s_k = g->w_row, .k = g->k,
                    .left = is_swapped(g)};
  m.lanes = weight_lanes(g, &m.full_width);
  return m;
}

static size_t pack_codes(const gemm_args *g, void *packed) {
  int64_t n = weight_matrices(g);
  coded_matrix *matrix = malloc((size_t)n * sizeof *matrix);
  bool fits = matrix != NULL;
  for (int64_t i = 0; fits && i < n; i++) {
    matrix[i] = coded_of(g, i);
    fits = coded_run_of(&matrix[i]) > 0;
  }
  size_t size = fits ? coded_pack(matrix, n, packed) : 0;
  free(matrix);
  return size;
}

size_t gemm_packed_codes_size(const gemm_args *g) { return pack_codes(g, NULL); }
bool gemm_pack_codes(const gemm_args *g, void *packed) { return pack_codes(g, packed) > 0; }

/* -- Run ------------------------------------------------------------------------------------------------------------------- */

typedef struct {
  int64_t x, w, w_matrix;
} batch_offset;

static batch_offset offset_of(const gemm_args *g, int64_t batch) {
  batch_offset o = {0};
  int64_t matrix_step = 1;
  for (int d = g->batch_rank - 1; d >= 0; d--) {
    int64_t index = batch % g->batch_dim[d];
    batch /= g->batch_dim[d];
    o.x += index * g->x_batch[d];
    o.w += index * g->w_batch[d];
    if (!g->w_batch[d]) continue;
    o.w_matrix += index * matrix_step;
    matrix_step *= g->batch_dim[d];
  }
  return o;
}

static void run_unit(const gemm_args *g, const gemm_split *p, int64_t unit, void *scratch) {
  int64_t per_matrix = p->row_blocks * p->col_blocks, batch = unit / per_matrix, block = unit % per_matrix;
  batch_offset offset = offset_of(g, batch);
  bool ane = g->profile.mode == NUM_ANE, swapped = is_swapped(g), few_rows = p->rows <= FEW_ROWS;
  bool in_place = few_rows && !g->packed_w && (swapped ? g->x_row : g->w_col) == 1;
  gemm_source x = gemm_source_strided(g->x + offset.x, g->x_row, g->x_col, ane, swapped && few_rows);
  gemm_source w;
  coded_panels coded;
  if (g->codes) {
    coded_matrix matrix = coded_of(g, offset.w_matrix);
    w = coded_source(&coded, &matrix, offset.w_matrix, g->packed_w, ane, !swapped && p->rows <= 1 << (GEMM_CODED_ROWS - 1));
  } else if (g->packed_w) {
    int full_width = swapped ? p->kern->mr : p->kern->nr;
    const unsigned char *packed = g->packed_w;
    if (offset.w_matrix) packed += (size_t)offset.w_matrix * matrix_size(g);
    w = gemm_source_packed(packed, g->n, full_width, g->k);
  } else {
    w = gemm_source_strided(g->w + offset.w, g->w_col, g->w_row, ane, few_rows && !swapped);
  }
  gemm_block b = {.kern = p->kern, .ane = ane, .k = g->k, .y = g->y, .y_row = g->n, .y_flat = batch * g->m * g->n,
                  .chunk = in_place ? IN_PLACE_CHUNK : GEMM_KC,
                  .row0 = block / p->col_blocks * p->mc, .col0 = block % p->col_blocks * p->nc,
                  .a = swapped ? &w : &x, .b = swapped ? &x : &w,
                  .bias = g->bias_axis >= 0 ? g->bias : NULL, .bias_columns = (g->bias_axis == 1) != swapped,
                  .epilogue = g->epilogue ? &g->epilogue_args : NULL, .epilogue_reg = g->epilogue_reg};
  b.rows = gemm_min(p->mc, p->rows - b.row0);
  b.cols = gemm_min(p->nc, p->cols - b.col0);
  unsigned char *at = scratch;
  unsigned char *work = at + gemm_acc_size(p->kern, p->mc, p->nc), *emit = work + gemm_work_size(p->kern, p->mc);
  gemm_acc acc;
  gemm_accumulate(&b, &acc, at, work);
  gemm_finish(&b, &acc, emit);
}

void gemm_run(const gemm_args *g, int64_t first, int64_t last, void *scratch) {
  gemm_split p = split_of(g);
  for (int64_t unit = first; unit < last; unit++) run_unit(g, &p, unit, scratch);
}
