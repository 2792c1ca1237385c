/* gemm_block.c - one block of a product: chunks along k, panels, the choice of the micro-kernel for every tile, and the way
 * from accumulators to values. */
#include <math.h>
#include <string.h>

#include "gemm_compressed.h"

const gemm_kernels *gemm_kernels_get(void) {
  switch (isa_get()) {
#if defined(__x86_64__)
    case ISA_AVX512: return &gemm_kernels_avx512;
    case ISA_AVX2: return &gemm_kernels_avx2;
#elif defined(__aarch64__)
    case ISA_NEON: return &gemm_kernels_neon;
#endif
    default: return &gemm_kernels_portable;
  }
}

static const double UNIT = 65536, LIMIT = 2147483648.0; /* units in 1; 2^15 in units */

/* |h|, exponent field 31 being an ordinary exponent */
static float magnitude_of(int h) {
  uint32_t bits = (uint32_t)(h & 0x7fff) << 13;
  float v;
  memcpy(&v, &bits, 4);
  return v * 0x1p112f;
}

/* -- Memory ---------------------------------------------------------------------------------------------------------------- */

/* A left panel of the current chunk. The parts after `panel` point into the work memory. */
typedef struct {
  gemm_panel panel;
  int width;
  bool has_threshold, has_k_max;
  float *a, *t, *k_max;
  uint16_t *v;
  uint8_t *k_min;
} left_panel;

typedef struct {
  gemm_panel panel;
  bool has_k_max;
  float *k_max;
  uint16_t *v;
  uint8_t *k_min;
} right_panel;

enum { PAD = 64 }; /* bytes: vector loads and stores may run over the end of a panel */

static size_t left_size(const gemm_kernels *kern) {
  size_t values = GEMM_KC * (size_t)kern->mr;
  return 2 * gemm_align(values * sizeof(float) + PAD) + gemm_align(GEMM_KC * sizeof(float)) +
         gemm_align(values * sizeof(f16) + PAD) + GEMM_KC;
}

static size_t right_size(const gemm_kernels *kern) {
  return gemm_align(GEMM_KC * sizeof(float)) + gemm_align(GEMM_KC * (size_t)kern->nr * sizeof(f16) + PAD) + GEMM_KC;
}

size_t gemm_work_size(const gemm_kernels *kern, int64_t rows) {
  size_t panels = (size_t)gemm_ceil_div(rows, kern->mr);
  return gemm_align(panels * sizeof(left_panel)) + panels * left_size(kern) + right_size(kern);
}

static void *carve(unsigned char **at, size_t bytes) {
  void *p = *at;
  *at += gemm_align(bytes);
  return p;
}

static left_panel *carve_work(const gemm_kernels *kern, int64_t panels, void *work, right_panel *right) {
  unsigned char *at = work;
  size_t values = GEMM_KC * (size_t)kern->mr;
  left_panel *left = carve(&at, (size_t)panels * sizeof *left);
  for (int64_t i = 0; i < panels; i++) {
    left[i].a = carve(&at, values * sizeof(float) + PAD);
    left[i].t = carve(&at, values * sizeof(float) + PAD);
    left[i].k_max = carve(&at, GEMM_KC * sizeof(float));
    left[i].v = carve(&at, values * sizeof(f16) + PAD);
    left[i].k_min = carve(&at, GEMM_KC);
  }
  right->k_max = carve(&at, GEMM_KC * sizeof(float));
  right->v = carve(&at, GEMM_KC * (size_t)kern->nr * sizeof(f16) + PAD);
  right->k_min = carve(&at, GEMM_KC);
  return left;
}

size_t gemm_acc_size(const gemm_kernels *kern, int64_t rows, int64_t cols) {
  size_t tiles = (size_t)(gemm_ceil_div(rows, kern->mr) * gemm_ceil_div(cols, kern->nr));
  size_t values = tiles * (size_t)(kern->mr * kern->nr);
  return gemm_align(values * sizeof(int32_t)) + gemm_align(values) + gemm_align(tiles) + gemm_align(tiles * sizeof(double));
}

static void carve_acc(const gemm_block *b, gemm_acc *acc, void *memory) {
  const gemm_kernels *kern = b->kern;
  unsigned char *at = memory;
  acc->row_panels = gemm_ceil_div(b->rows, kern->mr);
  acc->col_panels = gemm_ceil_div(b->cols, kern->nr);
  size_t tiles = (size_t)(acc->row_panels * acc->col_panels), values = tiles * (size_t)(kern->mr * kern->nr);
  acc->c = carve(&at, values * sizeof(int32_t));
  acc->sat = carve(&at, values);
  acc->tile_sat = carve(&at, tiles);
  acc->reach = carve(&at, tiles * sizeof(double));
}

/* -- Start: bias or zero ------------------------------------------------------------------------------------------------- */

typedef struct {
  uint32_t word; /* int32 units or fp32 bits */
  int8_t sat;
  double reach;
} start_value;

/* Units of 2^-16, half away; at 2^15 and above the accumulator starts saturated. */
static start_value start_of(bool ane, f16 bias) {
  start_value s = {0};
  if (!ane) {
    float v = f16_to_float(bias);
    memcpy(&s.word, &v, 4);
    return s;
  }
  double units = floor((double)magnitude_of(bias) * UNIT + 0.5);
  bool negative = bias >> 15;
  if (units >= LIMIT) {
    s.sat = negative ? -1 : 1;
    return s;
  }
  s.word = negative ? 0u - (uint32_t)units : (uint32_t)units;
  s.reach = units;
  return s;
}

/* Sets n accumulators to s. */
static void start_fill(gemm_acc *acc, int64_t tile, size_t at, int n, start_value s) {
  uint32_t *c = (uint32_t *)acc->c + at;
  for (int i = 0; i < n; i++) c[i] = s.word;
  if (s.reach > acc->reach[tile]) acc->reach[tile] = s.reach;
  if (s.sat && !acc->tile_sat[tile]) {
    acc->tile_sat[tile] = 1;
  }
  if (acc->tile_sat[tile]) memset(acc->sat + at, s.sat, (size_t)n);
}

static void start(const gemm_block *b, gemm_acc *acc) {
  int mr = b->kern->mr, nr = b->kern->nr;
  size_t size = (size_t)(mr * nr);
  for (int64_t i = 0, tile = 0; i < acc->row_panels; i++) {
    for (int64_t j = 0; j < acc->col_panels; j++, tile++) {
      size_t base = (size_t)tile * size;
      memset((int32_t *)acc->c + base, 0, size * sizeof(int32_t));
      acc->tile_sat[tile] = 0;
      acc->reach[tile] = 0;
      if (!b->bias) continue;
      int rows = (int)gemm_min(mr, b->rows - i * mr), cols = (int)gemm_min(nr, b->cols - j * nr);
      memset(acc->sat + base, 0, size);
      if (!b->bias_columns) {
        for (int r = 0; r < rows; r++)
          start_fill(acc, tile, base + (size_t)(r * nr), cols, start_of(b->ane, b->bias[b->row0 + i * mr + r]));
        continue;
      }
      for (int col = 0; col < cols; col++) {
        start_value s = start_of(b->ane, b->bias[b->col0 + j * nr + col]);
        for (int r = 0; r < rows; r++) start_fill(acc, tile, base + (size_t)(r * nr + col), 1, s);
      }
    }
  }
}

/* -- Limits -------------------------------------------------------------------------------------------------------------- */

static void k_max(const gemm_panel *p, int width, int64_t kc, float *out) {
  for (int64_t k = 0; k < kc; k++) {
    int max = 0;
    for (int i = 0; i < width; i++) {
      int m = p->v[k * p->stride + i] & 0x7fff;
      max = m > max ? m : max;
    }
    out[k] = magnitude_of(max);
  }
}

static void find_k_max(left_panel *left, right_panel *right, int nr, int64_t kc) {
  if (!left->has_k_max) k_max(&left->panel, left->width, kc, left->k_max);
  if (!right->has_k_max) k_max(&right->panel, nr, kc, right->k_max);
  left->has_k_max = right->has_k_max = true;
}

/* No rounded product of step k is larger, in units: half a unit for the rounding. */
static double step_limit(const left_panel *left, const right_panel *right, int64_t k) {
  return (double)left->k_max[k] * (double)right->k_max[k] * UNIT + 0.5;
}

/* The largest accumulator of a tile, in units. Saturated ones do not count and are set to 0: fast kernels add to them too. */
static double largest(const gemm_kernels *kern, gemm_acc *acc, int64_t tile, size_t base, int n) {
  int32_t *c = (int32_t *)acc->c + base;
  const int8_t *sat = acc->sat + base;
  if (acc->tile_sat[tile])
    for (int i = 0; i < n; i++) c[i] = sat[i] ? 0 : c[i];
  return kern->largest(c, n);
}

/* -- Tiles ---------------------------------------------------------------------------------------------------------------- */

static int log2_of(int width) { return width == 1 ? 0 : width == 2 ? 1 : width == 4 ? 2 : 3; }

/* Whether the products of a tile can be added without an accumulator leaving int32; keeps acc->reach. */
static bool stays_inside(const gemm_kernels *kern, gemm_acc *acc, int64_t tile, size_t base, left_panel *left,
                         right_panel *right, int64_t kc, double product) {
  double limit = (product * UNIT + 0.5) * (double)kc;
  if (acc->reach[tile] + limit >= LIMIT) {
    find_k_max(left, right, kern->nr, kc);
    double sum = 0;
    for (int64_t k = 0; k < kc; k++) sum += step_limit(left, right, k);
    limit = fmin(limit, sum);
  }
  if (acc->reach[tile] + limit >= LIMIT) acc->reach[tile] = largest(kern, acc, tile, base, left->width * kern->nr);
  acc->reach[tile] += limit;
  return acc->reach[tile] < LIMIT;
}

static gemm_tile part_of(const gemm_tile *t, int64_t k, int64_t kc) {
  gemm_tile part = *t;
  part.kc = kc;
  part.a += k * t->a_stride;
  part.t += k * t->a_stride;
  part.b += k * t->b_stride;
  part.a_min += k;
  part.b_min += k;
  return part;
}

/* A chunk that might leave int32, in parts: as many steps at once as provably stay inside from the accumulators' present
 * values; where not even a few do, the exact kernel with its saturation. */
static void run_near_limit(const gemm_kernels *kern, gemm_acc *acc, int64_t tile, size_t base, const gemm_tile *t,
                           left_panel *left, right_panel *right, gemm_tile_fn *fast) {
  enum { FEW = 8, SLOW = 32 };
  int n = left->width * kern->nr;
  for (int64_t k = 0; k < t->kc;) {
    double reach = largest(kern, acc, tile, base, n), next;
    int64_t end = k;
    while (end < t->kc && (next = reach + step_limit(left, right, end)) < LIMIT) reach = next, end++;
    if (end == t->kc || end - k >= FEW) {
      gemm_tile part = part_of(t, k, end - k);
      fast(&part);
    } else {
      end = gemm_min(k + SLOW, t->kc);
      if (!acc->tile_sat[tile]) memset(acc->sat + base, 0, (size_t)(kern->mr * kern->nr));
      acc->tile_sat[tile] = 1;
      gemm_tile part = part_of(t, k, end - k);
      kern->slow(&part, left->width, acc->sat + base);
    }
    k = end;
  }
  acc->reach[tile] = largest(kern, acc, tile, base, n);
}

static void run_mac(const gemm_block *b, gemm_acc *acc, int64_t tile, const gemm_tile *t, left_panel *left,
                    right_panel *right, int full) {
  const gemm_kernels *kern = b->kern;
  size_t base = (size_t)tile * (size_t)(kern->mr * kern->nr);
  double product = (double)magnitude_of(left->panel.max) * (double)magnitude_of(right->panel.max);
  if (product == 0) return;
  bool narrow = product < 64 && right->panel.max < 0x7c00 && kern->tile[GEMM_NARROW][0][0];
  bool drop = left->panel.min + right->panel.min < 14;
  enum gemm_kind kind = !narrow ? GEMM_WIDE : drop ? GEMM_NARROW_DROP : GEMM_NARROW;
  if (kind != GEMM_NARROW && !left->has_threshold) {
    kern->threshold(left->a, t->kc * left->width, left->t);
    left->has_threshold = true;
  }
  gemm_tile_fn *fast = kern->tile[kind][full][log2_of(left->width)];
  if (stays_inside(kern, acc, tile, base, left, right, t->kc, product)) fast(t);
  else run_near_limit(kern, acc, tile, base, t, left, right, fast);
}

static void run_column(const gemm_block *b, gemm_acc *acc, int64_t j, int64_t kc, left_panel *left, right_panel *right) {
  const gemm_kernels *kern = b->kern;
  int full = b->cols - j * kern->nr > kern->lanes;
  for (int64_t i = 0; i < acc->row_panels; i++) {
    int64_t tile = i * acc->col_panels + j;
    gemm_tile t = {.kc = kc, .a = left[i].a, .t = left[i].t, .a_stride = left[i].width, .a_min = left[i].panel.k_min,
                   .b_min = right->panel.k_min, .b = right->panel.v, .b_stride = right->panel.stride,
                   .c = (int32_t *)acc->c + tile * kern->mr * kern->nr};
    if (b->ane) run_mac(b, acc, tile, &t, &left[i], right, full);
    else kern->tile[GEMM_FAST][full][log2_of(left[i].width)](&t);
  }
}

/* A tile whose right panel stays compressed; false where only the kernels for fp16 panels will do. */
static bool run_coded(const gemm_block *b, gemm_acc *acc, int64_t tile, int64_t kc, left_panel *left, const gemm_panel *right) {
  const gemm_kernels *kern = b->kern;
  size_t size = (size_t)(left->width * kern->nr);
  if (left->width > 1 << (GEMM_CODED_ROWS - 1) || right->max >= 0x7c00) return false;
  gemm_coded_fn *const (*fast)[GEMM_CODED_ROWS] = kern->coded.tile[right->coded->kind];
  gemm_tile t = {.kc = kc, .a = left->a, .t = left->t, .a_stride = left->width, .a_min = left->panel.k_min,
                 .c = (int32_t *)acc->c + tile * kern->mr * kern->nr};
  enum gemm_kind kind = GEMM_FAST;
  if (b->ane) {
    double product = (double)magnitude_of(left->panel.max) * (double)magnitude_of(right->max);
    double limit = (product * UNIT + 0.5) * (double)kc;
    if (product == 0) return true;
    if (product >= 64) return false;
    if (acc->reach[tile] + limit >= LIMIT)
      acc->reach[tile] = largest(kern, acc, tile, (size_t)tile * (size_t)(kern->mr * kern->nr), (int)size);
    if (acc->reach[tile] + limit >= LIMIT) return false;
    acc->reach[tile] += limit;
    kind = left->panel.min + right->min < 14 ? GEMM_NARROW_DROP : GEMM_NARROW;
    if (kind == GEMM_NARROW_DROP && !left->has_threshold) {
      kern->threshold(left->a, kc * left->width, left->t);
      left->has_threshold = true;
    }
  }
  if (!fast[kind][log2_of(left->width)]) return false;
  fast[kind][log2_of(left->width)](&t, right->coded);
  return true;
}

static void load_left(const gemm_block *b, int64_t i, int64_t k0, int64_t kc, left_panel *left) {
  const gemm_kernels *kern = b->kern;
  int64_t count = gemm_min(kern->mr, b->rows - i * kern->mr);
  left->width = gemm_left_width(count);
  left->has_threshold = left->has_k_max = false;
  b->a->get(b->a, b->row0 + i * kern->mr, count, left->width, k0, kc, left->v, left->k_min, &left->panel);
  (b->ane ? kern->expand_ane : kern->expand)(left->panel.v, kc * left->width, left->a);
}

void gemm_accumulate(const gemm_block *b, gemm_acc *acc, void *memory, void *work) {
  const gemm_kernels *kern = b->kern;
  carve_acc(b, acc, memory);
  right_panel right;
  left_panel *left = carve_work(kern, acc->row_panels, work, &right);
  start(b, acc);
  for (int64_t k0 = 0; k0 < b->k; k0 += b->chunk) {
    int64_t kc = gemm_min(b->chunk, b->k - k0);
    for (int64_t i = 0; i < acc->row_panels; i++) load_left(b, i, k0, kc, &left[i]);
    for (int64_t j = 0; j < acc->col_panels; j++) {
      int64_t count = gemm_min(kern->nr, b->cols - j * kern->nr);
      right.has_k_max = false;
      right.panel.coded = NULL;
      b->b->get(b->b, b->col0 + j * kern->nr, count, kern->nr, k0, kc, right.v, right.k_min, &right.panel);
      if (right.panel.coded && acc->row_panels == 1 && run_coded(b, acc, j, kc, left, &right.panel)) continue;
      if (right.panel.coded) gemm_coded_expand(b->b, kc, kern->nr, right.v, right.k_min, &right.panel);
      run_column(b, acc, j, kc, left, &right);
    }
  }
}

/* -- From accumulators to values ------------------------------------------------------------------------------------------ */

void gemm_acc_row(const gemm_block *b, const gemm_acc *acc, int64_t row, int64_t first, int64_t n, float *out) {
  int mr = b->kern->mr, nr = b->kern->nr;
  for (int64_t j = first / nr; n > 0; j++, n -= nr, out += nr) {
    int64_t tile = row / mr * acc->col_panels + j;
    size_t at = (size_t)((tile * mr + row % mr) * nr);
    if (!b->ane) {
      memcpy(out, (float *)acc->c + at, (size_t)nr * sizeof(float));
      continue;
    }
    b->kern->round_ane((int32_t *)acc->c + at, nr, out);
    if (!acc->tile_sat[tile]) continue;
    for (int i = 0; i < nr; i++)
      if (acc->sat[at + (size_t)i]) out[i] = acc->sat[at + (size_t)i] * INFINITY;
  }
}

void gemm_acc_units(const gemm_block *b, const gemm_acc *acc, int64_t row, int64_t first, int64_t n, double *out) {
  int mr = b->kern->mr, nr = b->kern->nr;
  for (int64_t j = first / nr; n > 0; j++, n -= nr, out += nr) {
    int64_t tile = row / mr * acc->col_panels + j;
    size_t at = (size_t)((tile * mr + row % mr) * nr);
    const int32_t *c = (int32_t *)acc->c + at;
    for (int i = 0; i < nr; i++) out[i] = c[i];
    if (!acc->tile_sat[tile]) continue;
    for (int i = 0; i < nr; i++)
      if (acc->sat[at + (size_t)i]) out[i] = acc->sat[at + (size_t)i] * (double)INFINITY;
  }
}

size_t gemm_emit_size(const ew_program *epilogue) { return epilogue ? gemm_align(ew_scratch(epilogue)) : 0; }

void gemm_emit(const gemm_block *b, int64_t flat, int64_t n, const float *values, void *scratch) {
  if (b->epilogue) ew_run_tile(b->epilogue, flat, n, values, b->epilogue_reg, scratch);
  else b->kern->store(values, n, b->y + flat);
}

void gemm_finish(const gemm_block *b, const gemm_acc *acc, void *emit) {
  _Alignas(64) float values[EW_TILE];
  int64_t segment = EW_TILE / b->kern->nr * b->kern->nr;
  for (int64_t row = 0; row < b->rows; row++) {
    for (int64_t col = 0; col < b->cols; col += segment) {
      int64_t n = gemm_min(segment, b->cols - col);
      gemm_acc_row(b, acc, row, col, n, values);
      gemm_emit(b, b->y_flat + (b->row0 + row) * b->y_row + b->col0 + col, n, values, emit);
    }
  }
}
