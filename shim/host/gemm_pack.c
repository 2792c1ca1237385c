/* gemm_pack.c - panels: from strided memory, from packed constants, and what the MAC kernels must know about them. */
#include <string.h>

#include "gemm_kernels.h"

typedef uint16_t h8 __attribute__((vector_size(16)));
typedef int16_t s8 __attribute__((vector_size(16)));

#if defined(__x86_64__)
#include <emmintrin.h>
static s8 min8(s8 a, s8 b) { return (s8)_mm_min_epi16((__m128i)a, (__m128i)b); }
static s8 max8(s8 a, s8 b) { return (s8)_mm_max_epi16((__m128i)a, (__m128i)b); }
#else /* recognised by the compilers of arm64 */
static s8 min8(s8 a, s8 b) { return (a & (a < b)) | (b & ~(a < b)); }
static s8 max8(s8 a, s8 b) { return (a & (a > b)) | (b & ~(a > b)); }
#endif

static h8 load8(const void *p) {
  h8 v;
  memcpy(&v, p, sizeof v);
  return v;
}

static void store8(void *p, h8 v) { memcpy(p, &v, sizeof v); }

/* -- Packing --------------------------------------------------------------------------------------------------------------- */

#define LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)

/* Eight rows of eight, s apart, to eight columns, d apart: three rounds of interleaving rows i and i + 4. */
static void transpose8(const f16 *src, int64_t s, uint16_t *dst, int64_t d) {
  h8 a[8], b[8];
  for (int i = 0; i < 8; i++) a[i] = load8(src + i * s);
  for (int i = 0; i < 4; i++) {
    b[2 * i] = LOW(a[i], a[i + 4]);
    b[2 * i + 1] = HIGH(a[i], a[i + 4]);
  }
  for (int i = 0; i < 4; i++) {
    a[2 * i] = LOW(b[i], b[i + 4]);
    a[2 * i + 1] = HIGH(b[i], b[i + 4]);
  }
  for (int i = 0; i < 4; i++) {
    store8(dst + 2 * i * d, LOW(a[i], a[i + 4]));
    store8(dst + (2 * i + 1) * d, HIGH(a[i], a[i + 4]));
  }
}

static void pack_lanes(const f16 *src, int64_t s_k, int64_t count, int width, int64_t kc, uint16_t *dst) {
  size_t bytes = (size_t)count * sizeof(f16), rest = (size_t)(width - count) * sizeof(f16);
  for (int64_t k = 0; k < kc; k++, src += s_k, dst += width) {
    if (width == GEMM_MAX_NR && !rest) {
      memcpy(dst, src, GEMM_MAX_NR * sizeof(f16));
    } else {
      memcpy(dst, src, bytes);
      memset(dst + count, 0, rest);
    }
  }
}

static void pack_each(const f16 *src, int64_t s_lane, int64_t s_k, int64_t count, int width, int64_t kc, uint16_t *dst) {
  for (int64_t k = 0; k < kc; k++, src += s_k, dst += width) {
    int64_t i = 0;
    for (; i < count; i++) dst[i] = src[i * s_lane];
    for (; i < width; i++) dst[i] = 0;
  }
}

void gemm_pack(const f16 *src, int64_t s_lane, int64_t s_k, int64_t count, int width, int64_t kc, uint16_t *dst) {
  if (s_lane == 1 && width > 1) {
    pack_lanes(src, s_k, count, width, kc, dst);
    return;
  }
  if (width == 1 && s_k == 1) {
    memcpy(dst, src, (size_t)kc * sizeof(f16));
    return;
  }
  int64_t lane = 0, whole = s_k == 1 && width % 8 == 0 ? kc / 8 * 8 : 0;
  if (whole) {
    for (; lane + 8 <= count; lane += 8)
      for (int64_t k = 0; k < whole; k += 8) transpose8(src + lane * s_lane + k, s_lane, dst + k * width + lane, width);
    for (int64_t i = lane; i < width; i++)
      for (int64_t k = 0; k < whole; k++) dst[k * width + i] = i < count ? src[i * s_lane + k] : 0;
  }
  pack_each(src + whole * s_k, s_lane, s_k, count, width, kc - whole, dst + whole * width);
}

/* -- Limits ---------------------------------------------------------------------------------------------------------------- */

enum { NONE = 0x7fff }; /* stands for a zero operand: never the smallest */

static int field_of(int magnitude) {
  int field = magnitude >> 10;
  return field ? field : 1;
}

static int horizontal_min(s8 v) {
  s8 w = __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
  v = min8(v, w);
  w = __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
  v = min8(v, w);
  return v[0] < v[1] ? v[0] : v[1];
}

static int horizontal_max(s8 v) {
  int max = 0;
  for (int i = 0; i < 8; i++) max = v[i] > max ? v[i] : max;
  return max;
}

static void limits8(gemm_panel *panel, int width, int64_t kc, uint8_t *k_min) {
  s8 most = {0};
  int smallest = NONE;
  for (int64_t k = 0; k < kc; k++) {
    const uint16_t *row = panel->v + k * panel->stride;
    s8 least = (s8){0} + NONE;
    for (int i = 0; i < width; i += 8) {
      s8 m = (s8)(load8(row + i) & 0x7fff);
      most = max8(m, most);
      least = min8(m | ((m == 0) & NONE), least);
    }
    int min = horizontal_min(least);
    k_min[k] = (uint8_t)field_of(min);
    smallest = min < smallest ? min : smallest;
  }
  panel->max = horizontal_max(most);
  panel->min = field_of(smallest);
}

void gemm_panel_limits(gemm_panel *panel, int width, int64_t kc, uint8_t *k_min) {
  panel->k_min = k_min;
  if (width % 8 == 0) {
    limits8(panel, width, kc, k_min);
    return;
  }
  int max = 0, smallest = NONE;
  for (int64_t k = 0; k < kc; k++) {
    int min = NONE;
    for (int i = 0; i < width; i++) {
      int m = panel->v[k * panel->stride + i] & 0x7fff;
      max = m > max ? m : max;
      min = m && m < min ? m : min;
    }
    k_min[k] = (uint8_t)field_of(min);
    smallest = min < smallest ? min : smallest;
  }
  panel->max = max;
  panel->min = field_of(smallest);
}

void gemm_panel_max(gemm_panel *panel, int width, int64_t kc) {
  static const uint8_t may_drop[GEMM_KC];
  s8 most = {0};
  for (int64_t k = 0; k < kc; k++) {
    for (int i = 0; i < width; i += 8) {
      s8 m = (s8)(load8(panel->v + k * panel->stride + i) & 0x7fff);
      most = max8(m, most);
    }
  }
  panel->max = horizontal_max(most);
  panel->min = 0;
  panel->k_min = may_drop;
}

/* -- Sources --------------------------------------------------------------------------------------------------------------- */

void gemm_panel_done(const gemm_source *source, const uint16_t *v, int width, int64_t kc, uint8_t *k_min, gemm_panel *out) {
  out->v = v;
  out->stride = width;
  if (!source->ane) return;
  if (source->few_rows && width % 8 == 0) gemm_panel_max(out, width, kc);
  else gemm_panel_limits(out, width, kc, k_min);
}

static void get_strided(const gemm_source *s, int64_t first, int64_t count, int width, int64_t k0, int64_t kc, uint16_t *v,
                        uint8_t *k_min, gemm_panel *out) {
  const f16 *src = s->base + first * s->s_lane + k0 * s->s_k;
  if (s->few_rows && s->s_lane == 1 && count == width && width % 8 == 0) {
    out->v = src;
    out->stride = s->s_k;
    if (s->ane) gemm_panel_max(out, width, kc);
    return;
  }
  gemm_pack(src, s->s_lane, s->s_k, count, width, kc, v);
  gemm_panel_done(s, v, width, kc, k_min, out);
}

gemm_source gemm_source_strided(const f16 *base, int64_t s_lane, int64_t s_k, bool ane, bool few_rows) {
  return (gemm_source){.get = get_strided, .ane = ane, .base = base, .s_lane = s_lane, .s_k = s_k, .few_rows = few_rows};
}

int gemm_left_width(int64_t count) {
  int width = 1;
  while (width < count) width *= 2;
  return width;
}

/* -- Packed constants ------------------------------------------------------------------------------------------------------ */

typedef struct {
  int32_t max, min;
} record_header;

enum { HEADER = 64 };

static size_t record_size(int full_width, int64_t kc) {
  return HEADER + gemm_align((size_t)kc) + gemm_align((size_t)kc * (size_t)full_width * sizeof(f16));
}

static size_t record_offset(int64_t lanes, int full_width, int64_t k, int64_t lane0, int64_t k0) {
  size_t panels = (size_t)gemm_ceil_div(lanes, full_width);
  int64_t kc = gemm_min(GEMM_KC, k - k0);
  return (size_t)(k0 / GEMM_KC) * panels * record_size(full_width, GEMM_KC) +
         (size_t)(lane0 / full_width) * record_size(full_width, kc);
}

size_t gemm_packed_size(int64_t lanes, int full_width, int64_t k) {
  int64_t last = (k - 1) / GEMM_KC * GEMM_KC;
  size_t panels = (size_t)gemm_ceil_div(lanes, full_width);
  return record_offset(lanes, full_width, k, 0, last) + panels * record_size(full_width, k - last) + 64;
}

void gemm_packed_fill(const gemm_source *from, bool left, int64_t lanes, int full_width, int64_t k, void *packed) {
  memset(packed, 0, gemm_packed_size(lanes, full_width, k));
  for (int64_t k0 = 0; k0 < k; k0 += GEMM_KC) {
    int64_t kc = gemm_min(GEMM_KC, k - k0);
    for (int64_t lane = 0; lane < lanes; lane += full_width) {
      int64_t count = gemm_min(full_width, lanes - lane);
      int width = left ? gemm_left_width(count) : full_width;
      unsigned char *record = (unsigned char *)packed + record_offset(lanes, full_width, k, lane, k0);
      uint8_t *k_min = record + HEADER;
      uint16_t *v = (uint16_t *)(void *)(k_min + gemm_align((size_t)kc));
      gemm_panel panel = {0};
      from->get(from, lane, count, width, k0, kc, v, k_min, &panel);
      record_header header = {panel.max, panel.min};
      memcpy(record, &header, sizeof header);
    }
  }
}

static void get_packed(const gemm_source *s, int64_t first, int64_t count, int width, int64_t k0, int64_t kc, uint16_t *v,
                       uint8_t *k_min, gemm_panel *out) {
  (void)count, (void)v, (void)k_min;
  const unsigned char *record = s->packed + record_offset(s->lanes, s->full_width, s->k, first, k0);
  record_header header;
  memcpy(&header, record, sizeof header);
  out->max = header.max;
  out->min = header.min;
  out->k_min = record + HEADER;
  out->v = (const uint16_t *)(const void *)(record + HEADER + gemm_align((size_t)kc));
  out->stride = width;
}

gemm_source gemm_source_packed(const void *packed, int64_t lanes, int full_width, int64_t k) {
  return (gemm_source){.get = get_packed, .packed = packed, .lanes = lanes, .full_width = full_width, .k = k};
}
