/* gemm_compressed_impl.h - kernels over compressed weights, included behind gemm_impl.h with further primitives:
 *   v_bytes(p)         VL int8 -> fp32
 *   v_shr(v, n)        logical
 *   VT, v_table(p)     16 fp32 values in registers;  v_pick(table, v)  the value each lane's low 4 bits name
 *   v_fnma(a, b, c)    c - a*b
 *   v_spread(mask, p)  (optional) VL fp32: the next fp16 of p where the bit is set, else 0;  v_spread_h: the same as bits
 * A weight is turned into its fp16 value, widened, before it is multiplied: the same value a dense fp16 panel would hold, so
 * results are the same bits.
 *
 * int8: q * s, exact in fp32, is rounded to 11 significant bits by Veltkamp's splitting: t = q * (s * (2^13 + 1)), then
 * t - (t - q * s). s * (2^13 + 1) has 24 bits, so t is rounded once; on a tie, q * s has 12 bits and t 25, of which the last
 * two decide as those of q * s do: to even. Below 2^-13, q * s is a multiple of 2^-24 (s is), hence an fp16 value. */
#include "gemm_compressed.h"

enum { AHEAD = 2048 }; /* bytes: codes are read once, and the hardware stops fetching ahead at the end of a page */

static void coded_int8(const int8_t *q, const float *scale, int period, int64_t n, uint16_t *out) {
  for (int64_t i = 0; i < n; i += period)
    for (int j = 0; j < period; j += VL) v_narrow(out + i + j, v_mul(v_bytes(q + i + j), v_load_f(scale + j)));
}

static void coded_uint4(const uint8_t *codes, const float *table, int64_t groups, int stride, uint16_t *out) {
  const VT t = v_table(table);
  for (int64_t g = 0; g < groups; g++) {
    for (int s = 0; s < stride; s++, codes += 4 * VL) {
      VI d = v_load_i(codes);
      uint16_t *to = out + (8 * g * stride + s) * VL;
      UNROLL for (int j = 0; j < 8; j++) {
        v_narrow(to + j * stride * VL, v_pick(t, d));
        d = v_shr(d, 4);
      }
    }
  }
}

static void coded_sparse(const uint8_t *mask, const uint16_t *values, int64_t n, uint16_t *out) {
#ifdef v_spread
  for (int64_t i = 0; i < n; i += 16) {
    unsigned bits = mask[i / 8] | (unsigned)mask[i / 8 + 1] << 8;
    v_spread_h(bits, values, out + i);
    values += __builtin_popcount(bits);
  }
#else
  for (int64_t i = 0; i < n; i += 8) {
    unsigned bits = mask[i / 8];
    for (int j = 0; j < 8; j++) {
      unsigned bit = bits >> j & 1;
      out[i + j] = *values & (uint16_t)-bit;
      values += bit;
    }
  }
#endif
}

#if HAS_FMA
/* One step of k for the weights w, as tile_fast and narrow() in gemm_impl.h do it. */
INLINE void coded_step(const gemm_tile *tile, int64_t k, const VF *w, int rows, enum gemm_kind mode, int min, VF fast[][NV],
                       VI acc[][NV]) {
  const float *a = tile->a + k * tile->a_stride;
  bool drop = mode == GEMM_NARROW_DROP && tile->a_min[k] + min < 14;
  UNROLL for (int r = 0; r < rows; r++) {
    VF x = v_set_f(a[r]);
    UNROLL for (int v = 0; v < NV; v++) {
      if (mode == GEMM_FAST) {
        fast[r][v] = v_fma(x, w[v], fast[r][v]);
      } else if (drop) {
        VF least = v_set_f(tile->t[k * tile->a_stride + r]);
        acc[r][v] = v_add_i(acc[r][v], v_as_i(v_fma_keep(x, w[v], v_set_f(MAGIC), magnitude(w[v]), least)));
      } else {
        acc[r][v] = v_add_i(acc[r][v], v_as_i(v_fma(x, w[v], v_set_f(MAGIC))));
      }
    }
  }
}

INLINE void coded_run(const gemm_tile *tile, const gemm_coded *coded, int rows, enum gemm_kind mode, VF fast[][NV],
                      VI acc[][NV]) {
  if (coded->kind == WEIGHT_INT8) {
    const int8_t *q = (const int8_t *)coded->codes;
    const f16 *scale = coded->scale;
    for (int64_t k = 0, end = gemm_min(coded->first_run, tile->kc); k < tile->kc;
         end = gemm_min(end + coded->run, tile->kc), scale += NR) {
      VF s[NV], split[NV], w[NV];
      UNROLL for (int v = 0; v < NV; v++) {
        s[v] = v_widen(scale + v * VL);
        split[v] = v_mul(s[v], v_set_f(8193));
      }
      for (; k < end; k++, q += NR) {
        __builtin_prefetch(q + AHEAD);
        UNROLL for (int v = 0; v < NV; v++) {
          VF i = v_bytes(q + v * VL), t = v_mul(i, split[v]);
          w[v] = v_sub_f(t, v_fnma(i, s[v], t));
        }
        coded_step(tile, k, w, rows, mode, coded->min, fast, acc);
      }
    }
    return;
  }
#ifdef v_spread
  if (coded->kind == WEIGHT_SPARSE) {
    const uint8_t *mask = coded->codes;
    const f16 *values = coded->values;
    for (int64_t k = 0; k < tile->kc; k++, mask += NR / 8) {
      VF w[NV];
      __builtin_prefetch((const char *)values + AHEAD);
      UNROLL for (int v = 0; v < NV; v++) {
        unsigned bits = mask[v * VL / 8] | (unsigned)mask[v * VL / 8 + 1] << 8;
        w[v] = v_spread(bits, values);
        values += __builtin_popcount(bits);
      }
      coded_step(tile, k, w, rows, mode, coded->min, fast, acc);
    }
    return;
  }
#endif
  const VT t = v_table(coded->table);
  const uint8_t *codes = coded->codes;
  VI d[NV];
  VF w[NV];
  int64_t k = 0, whole = tile->kc & ~(int64_t)7;
  for (; k < whole; k += 8, codes += 4 * NR) {
    for (int i = 0; i < 4 * NR; i += 64) __builtin_prefetch(codes + AHEAD + i);
    UNROLL for (int v = 0; v < NV; v++) d[v] = v_load_i(codes + 4 * v * VL);
    UNROLL for (int j = 0; j < 8; j++) {
      UNROLL for (int v = 0; v < NV; v++) {
        w[v] = v_pick(t, d[v]);
        d[v] = v_shr(d[v], 4);
      }
      coded_step(tile, k + j, w, rows, mode, coded->min, fast, acc);
    }
  }
  if (k == tile->kc) return;
  UNROLL for (int v = 0; v < NV; v++) d[v] = v_load_i(codes + 4 * v * VL);
  for (; k < tile->kc; k++) {
    UNROLL for (int v = 0; v < NV; v++) {
      w[v] = v_pick(t, d[v]);
      d[v] = v_shr(d[v], 4);
    }
    coded_step(tile, k, w, rows, mode, coded->min, fast, acc);
  }
}

INLINE void coded_tile(const gemm_tile *tile, const gemm_coded *coded, int rows, enum gemm_kind mode) {
  VF fast[4][NV];
  VI acc[4][NV];
  char *c = tile->c;
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < NV; v++) {
    fast[r][v] = v_load_f((float *)(void *)c + r * NR + v * VL);
    acc[r][v] = v_zero_i();
  }
  coded_run(tile, coded, rows, mode, fast, acc);
  const VI offset = v_set_i((uint32_t)tile->kc * MAGIC_BITS);
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < NV; v++) {
    uint32_t *to = (uint32_t *)(void *)c + r * NR + v * VL;
    if (mode == GEMM_FAST) v_store_f((float *)(void *)to, fast[r][v]);
    else v_store_i(to, v_add_i(v_load_i(to), v_sub_i(acc[r][v], offset)));
  }
}

#define CODED(name, code, mode, rows)                                                                                  \
  static void name##_##mode##_##rows(const gemm_tile *tile, const gemm_coded *coded) {                                 \
    gemm_coded c = *coded;                                                                                             \
    c.kind = code;                                                                                                     \
    coded_tile(tile, &c, rows, mode);                                                                                  \
  }
#define CODED_MODE(name, code, mode) CODED(name, code, mode, 1) CODED(name, code, mode, 2) CODED(name, code, mode, 4)
#define CODED_KIND(name, code)                                                                                         \
  CODED_MODE(name, code, GEMM_FAST) CODED_MODE(name, code, GEMM_NARROW) CODED_MODE(name, code, GEMM_NARROW_DROP)
#define CODED_ROWS(name, mode) [mode] = {name##_##mode##_1, name##_##mode##_2, name##_##mode##_4}
#define CODED_MODES(name)                                                                                              \
  {CODED_ROWS(name, GEMM_FAST), CODED_ROWS(name, GEMM_NARROW), CODED_ROWS(name, GEMM_NARROW_DROP)}

CODED_KIND(int8, WEIGHT_INT8)
CODED_KIND(uint4, WEIGHT_UINT4)
#ifdef v_spread
CODED_KIND(sparse, WEIGHT_SPARSE)
#define SPARSE_TILES [WEIGHT_SPARSE] = CODED_MODES(sparse),
#else
#define SPARSE_TILES
#endif
#define CODED_TILES .tile = {[WEIGHT_INT8] = CODED_MODES(int8), SPARSE_TILES [WEIGHT_UINT4] = CODED_MODES(uint4)}
#else
#define CODED_TILES .tile = {{{0}}}
#endif

#define CODED_KERNELS {.int8 = coded_int8, .uint4 = coded_uint4, .sparse = coded_sparse, CODED_TILES}
