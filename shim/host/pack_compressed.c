/* pack_compressed.c - compressed weights: all of them as fp16, and as panels for the matrix kernels. */
#include <stdlib.h>
#include <string.h>

#include "gemm_compressed.h"

/* -- Elements ---------------------------------------------------------------------------------------------------------- */

static int nibble_at(const uint8_t *data, int64_t i) { return data[i / 2] >> (i % 2 * 4) & 15; }
static int bit_at(const uint8_t *mask, int64_t i) { return mask[i / 8] >> (i % 8) & 1; }

void weight_decode(const weight_codes *c, f16 *out) {
  const f16 *values = c->data;
  const int8_t *q = c->data;
  switch (c->kind) {
    case WEIGHT_INT8:
      for (int64_t i = 0, part = 0; i < c->elements; part++) {
        float scale = f16_to_float(c->table[part % c->tables]);
        for (int64_t end = i + c->run; i < end && i < c->elements; i++) out[i] = f16_from_float((float)q[i] * scale + 0.0f); /* never -0 */
      }
      return;
    case WEIGHT_UINT4:
      for (int64_t i = 0; i < c->elements; i++) out[i] = c->table[nibble_at(c->data, i)];
      return;
    case WEIGHT_SPARSE:
      for (int64_t i = 0; i < c->elements; i++) out[i] = bit_at(c->mask, i) ? *values++ : 0;
  }
}

/* Number of set bits in front of each 64th element. */
static uint32_t *count_before(const weight_codes *c) {
  uint32_t *before = malloc((size_t)(c->elements / 64 + 1) * sizeof *before), sum = 0;
  for (int64_t i = 0; before && i <= c->elements; i += 8) {
    if (i % 64 == 0) before[i / 64] = sum;
    unsigned valid = c->elements - i >= 8 ? 0xff : (1u << (c->elements - i)) - 1;
    if (valid) sum += (uint32_t)__builtin_popcount(c->mask[i / 8] & valid);
  }
  return before;
}

/* Place of element i among the values. */
static uint32_t place_of(const weight_codes *c, const uint32_t *before, int64_t i) {
  uint32_t at = before[i / 64];
  for (int64_t j = i / 64 * 64; j + 8 <= i; j += 8) at += (uint32_t)__builtin_popcount(c->mask[j / 8]);
  return i % 8 ? at + (uint32_t)__builtin_popcount(c->mask[i / 8] & ((1u << i % 8) - 1)) : at;
}

/* -- Scales -------------------------------------------------------------------------------------------------------------- */

/* Element index i has scale i / run % tables. It is the same along k when
 *   k runs through neighbours and whole rows of k lie inside a run, or whole runs inside a row;
 *   or k steps over whole rounds of the scales; or whole matrices lie inside a run. */
int64_t coded_run_of(const coded_matrix *m) {
  const weight_codes *c = m->codes;
  if (c->kind != WEIGHT_INT8 || c->tables == 1) return m->k;
  int64_t run = c->run, k = m->k;
  bool rows = m->s_k == 1 && m->s_lane % k == 0 && m->offset % k == 0;
  if (rows && run % k == 0) return k;
  if (rows && k % run == 0) return run;
  if (m->s_k % (run * c->tables) == 0) return k;
  int64_t size = m->lanes * k;
  bool dense = (m->s_k == 1 && m->s_lane == k) || (m->s_lane == 1 && m->s_k == m->lanes);
  return dense && m->offset % size == 0 && run % size == 0 ? k : 0;
}

static f16 scale_at(const coded_matrix *m, int64_t lane, int64_t k) {
  const weight_codes *c = m->codes;
  return c->table[(m->offset + lane * m->s_lane + k * m->s_k) / c->run % c->tables];
}

/* -- Records ------------------------------------------------------------------------------------------------------------- */

typedef struct {
  int32_t max, min; /* as in gemm_panel */
  uint32_t codes;   /* offset in the record */
  uint32_t values;  /* SPARSE: offset of the values */
} coded_header;

typedef struct {
  int64_t lane, count, k0, kc;
  int width, lanes; /* of the panel; of a vector */
} coded_part;

static int64_t first_of(const coded_part *p, int64_t run) { return p->k0 / run; }
static int64_t runs_of(const coded_part *p, int64_t run) { return (p->k0 + p->kc - 1) / run - first_of(p, run) + 1; }

/* Vectors of a panel are grouped by 8 along k: in a right panel the same lanes of 8 steps. */
static int stride_of(bool left, int width, int lanes) { return left ? 1 : width / lanes; }

static int64_t groups_of(bool left, int width, int lanes, int64_t kc) {
  return left ? gemm_ceil_div(gemm_ceil_div(kc * width, lanes), 8) : gemm_ceil_div(kc, 8);
}

static void set_nibble(const coded_matrix *m, const coded_part *p, uint8_t *codes, int64_t k, int i, int q) {
  int stride = stride_of(m->left, p->width, p->lanes);
  int64_t flat = k * p->width + i, vector = flat / p->lanes, row = vector / stride;
  int64_t dword = (row / 8 * stride + vector % stride) * p->lanes + flat % p->lanes;
  int nibble = (int)(row % 8);
  codes[4 * dword + nibble / 2] |= (uint8_t)(q << (nibble % 2 * 4));
}

/* What packing needs besides the place in the matrix. */
typedef struct {
  const coded_matrix *matrix;
  const uint32_t *before; /* SPARSE: values in front of each 64th element; and in all */
  uint32_t kept;
  const gemm_kernels *kern;
} coded_packer;

/* Whether element `from` is kept, without a branch: its value is written in any case, behind the last one. */
static size_t keep_if(const coded_packer *packer, int64_t from, uint32_t at, unsigned char *value) {
  const weight_codes *c = packer->matrix->codes;
  memcpy(value, (const f16 *)c->data + (at < packer->kept ? at : 0), sizeof(f16));
  return (size_t)bit_at(c->mask, from);
}

static size_t fill_sparse(const coded_packer *packer, const coded_part *p, int64_t base, unsigned char *record) {
  const coded_matrix *m = packer->matrix;
  const weight_codes *c = m->codes;
  size_t bits = ((size_t)(p->kc * p->width + 15) / 16 * 2 + 15) & ~(size_t)15, kept = 0;
  coded_header header = {.codes = sizeof header, .values = (uint32_t)(sizeof header + bits)};
  bool rows = m->s_k == 1; /* place: of the next value of each lane, when k runs through neighbours */
  uint32_t place[GEMM_MAX_NR];
  for (int i = 0; i < p->count; i++) place[i] = place_of(c, packer->before, base + i * m->s_lane);
  if (!record && rows) {
    for (int i = 0; i < p->count; i++) kept += place_of(c, packer->before, base + i * m->s_lane + p->kc) - place[i];
    return header.values + 2 * kept;
  }
  if (record) {
    memset(record, 0, header.values);
    memcpy(record, &header, sizeof header);
  }
  for (int64_t k = 0; k < p->kc && packer->kept; k++) {
    for (int i = 0; i < p->count; i++) {
      int64_t from = base + i * m->s_lane + k * m->s_k, flat = k * p->width + i;
      uint32_t at = rows ? place[i] : place_of(c, packer->before, from);
      unsigned char spare[sizeof(f16)];
      size_t bit = keep_if(packer, from, at, record ? record + header.values + 2 * kept : spare);
      if (record) record[header.codes + (size_t)flat / 8] |= (uint8_t)(bit << flat % 8);
      place[i] += (uint32_t)bit;
      kept += bit;
    }
  }
  return header.values + 2 * kept;
}

/* Header and codes at record; sizes only when it is NULL. */
static size_t fill_record(const coded_packer *packer, const coded_part *p, int64_t run, unsigned char *record) {
  const coded_matrix *m = packer->matrix;
  const weight_codes *c = m->codes;
  coded_header header = {.codes = sizeof header};
  int64_t values = p->kc * p->width;
  int64_t base = m->offset + p->lane * m->s_lane + p->k0 * m->s_k;
  if (c->kind == WEIGHT_UINT4) {
    int64_t groups = groups_of(m->left, p->width, p->lanes, p->kc);
    size_t size = header.codes + (size_t)(groups * stride_of(m->left, p->width, p->lanes) * p->lanes * 4);
    if (record) memset(record, 0, size);
    int64_t whole = 0; /* steps whose eight nibbles are a word of the source */
    if (record && !m->left && m->s_k == 1 && base % 2 == 0 && m->s_lane % 2 == 0) {
      whole = p->kc / 8 * 8;
      for (int i = 0; i < p->count; i++)
        for (int64_t k = 0; k < whole; k += 8)
          memcpy(record + header.codes + 4 * (k / 8 * p->width + i), (const uint8_t *)c->data + (base + i * m->s_lane + k) / 2, 4);
    }
    if (record)
      for (int64_t k = whole; k < p->kc; k++)
        for (int i = 0; i < p->count; i++)
          set_nibble(m, p, record + header.codes, k, i, nibble_at(c->data, base + i * m->s_lane + k * m->s_k));
    if (record) memcpy(record, &header, sizeof header);
    return size;
  }
  if (c->kind == WEIGHT_INT8) {
    int64_t runs = runs_of(p, run);
    size_t scales = (size_t)(runs * p->width) * sizeof(f16);
    header.codes = (uint32_t)((sizeof header + scales + 15) & ~(size_t)15);
    if (values >= 4096) header.codes = (uint32_t)gemm_align(header.codes);
    if (record) {
      memset(record, 0, header.codes + (size_t)values);
      f16 *scale = (f16 *)(void *)(record + sizeof header);
      int8_t *q = (int8_t *)record + header.codes;
      for (int64_t r = 0; r < runs; r++)
        for (int i = 0; i < p->count; i++)
          scale[r * p->width + i] = scale_at(m, p->lane + i, r ? (first_of(p, run) + r) * run : p->k0);
      for (int i = 0; i < p->count; i++)
        for (int64_t k = 0; k < p->kc; k++)
          q[k * p->width + i] = ((const int8_t *)c->data)[base + i * m->s_lane + k * m->s_k];
      memcpy(record, &header, sizeof header);
    }
    return header.codes + (size_t)values;
  }
  return fill_sparse(packer, p, base, record);
}

static coded_header header_of(const unsigned char *record) {
  coded_header header;
  memcpy(&header, record, sizeof header);
  return header;
}

/* -- From records to fp16 panels --------------------------------------------------------------------------------------- */

/* [width] scales as [period] floats, period a multiple of the vector's lanes. */
static int widen_scales(const gemm_kernels *kern, const f16 *scale, int width, float *out) {
  int period = width > kern->lanes ? width : kern->lanes;
  f16 wide[GEMM_MAX_NR + 16];
  for (int i = 0; i < period; i++) wide[i] = scale[i % width];
  kern->expand(wide, period, out);
  return period;
}

static void expand_record(const coded_panels *c, const unsigned char *record, int width, int64_t k0, int64_t kc, uint16_t *v) {
  const gemm_kernels *kern = gemm_kernels_get();
  const gemm_coded_kernels *k = &kern->coded;
  coded_header h = header_of(record);
  const unsigned char *codes = record + h.codes;
  switch (c->matrix.codes->kind) {
    case WEIGHT_INT8: {
      const f16 *scale = (const f16 *)(const void *)(record + sizeof h);
      float pattern[GEMM_MAX_NR + 16];
      for (int64_t at = 0; at < kc; scale += width) {
        int64_t n = gemm_min(c->run - (k0 + at) % c->run, kc - at);
        int period = widen_scales(kern, scale, width, pattern);
        k->int8((const int8_t *)codes + at * width, pattern, period, n * width, v + at * width);
        at += n;
      }
      return;
    }
    case WEIGHT_UINT4:
      k->uint4(codes, c->table, groups_of(c->matrix.left, width, kern->lanes, kc), stride_of(c->matrix.left, width, kern->lanes), v);
      return;
    case WEIGHT_SPARSE:
      k->sparse(codes, (const uint16_t *)(const void *)(record + h.values), kc * width, v);
  }
}

/* -- Packing ------------------------------------------------------------------------------------------------------------- */

static int64_t chunks_of(const coded_matrix *m) { return gemm_ceil_div(m->k, GEMM_KC); }
static int64_t panels_of(const coded_matrix *m) { return gemm_ceil_div(m->lanes, m->full_width); }
static size_t table_size(const coded_matrix *m) { return (size_t)(chunks_of(m) * panels_of(m)) * sizeof(uint64_t); }

/* The largest value and the smallest exponent of a record. */
static void set_limits(const coded_panels *panels, const coded_part *p, unsigned char *record) {
  _Alignas(64) uint16_t v[GEMM_KC * GEMM_MAX_NR + 64];
  uint8_t k_min[GEMM_KC];
  gemm_panel panel = {.v = v, .stride = p->width};
  expand_record(panels, record, p->width, p->k0, p->kc, v);
  gemm_panel_limits(&panel, p->width, p->kc, k_min);
  coded_header h = header_of(record);
  h.max = panel.max;
  h.min = panel.min;
  memcpy(record, &h, sizeof h);
}

/* Appends the records of one matrix behind `at`. */
static size_t pack_matrix(const coded_packer *packer, int64_t index, size_t at, unsigned char *packed) {
  const coded_matrix *m = packer->matrix;
  coded_panels panels;
  if (packed) coded_source(&panels, m, index, packed, true, false);
  int64_t run = coded_run_of(m), record = index * chunks_of(m) * panels_of(m);
  for (int64_t k0 = 0; k0 < m->k; k0 += GEMM_KC) {
    for (int64_t lane = 0; lane < m->lanes; lane += m->full_width, record++) {
      coded_part part = {.lane = lane, .count = gemm_min(m->full_width, m->lanes - lane), .k0 = k0,
                         .kc = gemm_min(GEMM_KC, m->k - k0), .width = m->full_width, .lanes = packer->kern->lanes};
      if (m->left) part.width = gemm_left_width(part.count);
      bool large = part.kc * part.width >= 4096;
      at = large ? gemm_align(at) : (at + 15) & ~(size_t)15;
      if (packed) {
        uint64_t offset = at;
        memcpy(packed + (size_t)record * sizeof offset, &offset, sizeof offset);
      }
      size_t size = fill_record(packer, &part, run, packed ? packed + at : NULL);
      if (packed) set_limits(&panels, &part, packed + at);
      at += size;
    }
  }
  return at;
}

size_t coded_pack(const coded_matrix *first, int64_t n, void *packed) {
  uint32_t *before = NULL;
  if (first->codes->kind == WEIGHT_SPARSE && !(before = count_before(first->codes))) return 0;
  size_t at = (size_t)n * table_size(first);
  for (int64_t i = 0; i < n; i++) {
    coded_packer packer = {first + i, before, before ? place_of(first->codes, before, first->codes->elements) : 0,
                           gemm_kernels_get()};
    at = pack_matrix(&packer, i, at, packed);
  }
  free(before);
  return at + 64; /* vectors may be read beyond the last value */
}

/* -- Sources ------------------------------------------------------------------------------------------------------------- */

static void finish_panel(const gemm_source *s, const coded_header *h, const uint16_t *v, int width, int64_t kc, uint8_t *k_min,
                         gemm_panel *out) {
  out->v = v;
  out->stride = width;
  out->max = h->max;
  out->min = h->min;
  out->k_min = k_min;
  out->coded = NULL;
  if (s->ane) memset(k_min, h->min, (size_t)kc);
}

static void get_coded(const gemm_source *s, int64_t first, int64_t count, int width, int64_t k0, int64_t kc, uint16_t *v,
                      uint8_t *k_min, gemm_panel *out) {
  (void)count;
  coded_panels *c = (coded_panels *)(uintptr_t)s->ctx;
  int64_t index = k0 / GEMM_KC * panels_of(&c->matrix) + first / c->matrix.full_width;
  uint64_t offset;
  memcpy(&offset, c->offsets + (size_t)index * sizeof offset, sizeof offset);
  const unsigned char *record = c->packed + offset;
  coded_header h = header_of(record);
  if (!c->lazy) {
    expand_record(c, record, width, k0, kc, v);
    finish_panel(s, &h, v, width, kc, k_min, out);
    return;
  }
  c->coded = (gemm_coded){.kind = c->matrix.codes->kind, .codes = record + h.codes, .table = c->table, .run = c->run,
                          .scale = (const f16 *)(const void *)(record + sizeof h), .first_run = c->run - k0 % c->run,
                          .min = h.min, .values = (const f16 *)(const void *)(record + h.values), .record = record, .k0 = k0};
  out->max = h.max;
  out->min = h.min;
  out->coded = &c->coded;
  if (index + 1 < panels_of(&c->matrix) * chunks_of(&c->matrix)) { /* header and scales of the next panel */
    memcpy(&offset, c->offsets + (size_t)(index + 1) * sizeof offset, sizeof offset);
    for (int i = 0; i < 640; i += 64) __builtin_prefetch(c->packed + offset + i);
  }
}

void gemm_coded_expand(const gemm_source *s, int64_t kc, int width, uint16_t *v, uint8_t *k_min, gemm_panel *panel) {
  const coded_panels *c = s->ctx;
  coded_header h = header_of(panel->coded->record);
  expand_record(c, panel->coded->record, width, panel->coded->k0, kc, v);
  finish_panel(s, &h, v, width, kc, k_min, panel);
}

gemm_source coded_source(coded_panels *c, const coded_matrix *matrix, int64_t index, const void *packed, bool ane, bool lazy) {
  *c = (coded_panels){.matrix = *matrix, .packed = packed, .run = coded_run_of(matrix)};
  c->offsets = c->packed + (size_t)index * table_size(matrix);
  c->lazy = lazy && gemm_kernels_get()->coded.tile[matrix->codes->kind][GEMM_FAST][0];
  for (int i = 0; i < 16 && matrix->codes->kind == WEIGHT_UINT4; i++) c->table[i] = f16_to_float(matrix->codes->table[i]);
  return (gemm_source){.get = get_coded, .ctx = c, .ane = ane};
}
