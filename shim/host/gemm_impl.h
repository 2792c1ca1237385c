/* gemm_impl.h - the micro-kernels, written once over the vector primitives of the including file:
 *   VF, VI             vectors of VL floats / uint32 (arithmetic wraps)
 *   v_zero_i, v_set_f, v_set_i, v_load_f, v_load_i, v_store_f, v_store_i (unaligned)
 *   v_fma(a, b, c)     a*b + c; a*b is exact in fp32 for fp16 operands, so fused or not is the same in tile_fast
 *   v_mul, v_add_f, v_sub_f, v_add_i, v_sub_i, v_and_i, v_or_i, v_as_f, v_as_i
 *   v_keep(w, m, t)    w where m >= t, else 0
 *   v_trunc(v), v_float(v)  fp32 -> int32 toward zero, int32 -> fp32;  v_abs_i(v)
 *   v_widen(p)         VL fp16 -> fp32, IEEE;  v_narrow(p, v): the reverse, nearest even
 *   v_bits(p)          VL fp16 zero-extended to 32 bits
 *   v_fma_keep(a, b, c, m, t)  a*b + c where m >= t, else c
 *   v_shl(v, n)
 *   v_pin(v)           keeps the compiler from reordering the rows of a tile, which costs it registers
 * and MR, NV (vectors per row, nr = NV * VL), HAS_FMA (else only the wide MAC kernel exists).
 *
 * Rounding of products in NUM_ANE, in units of 2^-16 (the left operand carries the factor 2^16):
 * narrow: M = 1.5 * 2^23. fma(x', w, M) is M + the integer nearest to x' * w, because the sum lies in [2^23, 2^24) where
 *   fp32 has a spacing of 1; its bit pattern is bits(M) + that integer, so int32 sums of patterns are sums of products.
 *   x' is x with its last fp32 bit set, which moves the product p = x * w (22 significant bits) away from zero by less than
 *   |p| * 2^-23: ties go away from zero; no other p crosses a tie (if p has fraction bits, the distance to the next tie is
 *   at least one unit of its 22nd bit, twice the move; if p is an integer below 2^22, the move is below 1/2).
 * wide: p is exact in fp32. p + copysign(1/2, p) is exact below 2^22 up to bits that cannot carry, and above it p is an
 *   even integer whose sum rounds back to p; truncation gives p rounded half away. */
#include <string.h>

#include "gemm_kernels.h"

#define NR (NV * VL)
#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#define MAGIC 12582912.0f
#define MAGIC_BITS 0x4B400000u

/* Eight of everything, for tile_slow; the compiler splits them where registers are smaller. */
typedef double vd __attribute__((vector_size(64)));
typedef int64_t vl __attribute__((vector_size(64)));
typedef float vf8 __attribute__((vector_size(32)));
typedef int32_t vi8 __attribute__((vector_size(32)));
typedef uint16_t vh8 __attribute__((vector_size(16)));

INLINE VI sign_bits(VI v) { return v_and_i(v, v_set_i(0x80000000u)); }
INLINE VF magnitude(VF v) { return v_as_f(v_and_i(v_as_i(v), v_set_i(0x7fffffff))); }

/* Exponent field 31 is an ordinary exponent: the bits move into place and 2^112 corrects the bias. */
INLINE VF widen_ane(const uint16_t *p) {
  VI h = v_bits(p);
  VF m = v_mul(v_as_f(v_shl(v_and_i(h, v_set_i(0x7fff)), 13)), v_set_f(0x1p112f));
  return v_as_f(v_or_i(v_as_i(m), v_shl(v_and_i(h, v_set_i(0x8000)), 16)));
}

INLINE void tile_fast(const gemm_tile *tile, int rows, int nv) {
  VF acc[GEMM_MAX_MR][NV];
  float *c = tile->c;
  const float *a = tile->a;
  const uint16_t *b = tile->b;
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < nv; v++) acc[r][v] = v_load_f(c + r * NR + v * VL);
  for (int64_t k = 0; k < tile->kc; k++, a += tile->a_stride, b += tile->b_stride) {
    VF w[NV];
    UNROLL for (int v = 0; v < nv; v++) w[v] = v_widen(b + v * VL);
    UNROLL for (int r = 0; r < rows; r++) {
      VF x = v_set_f(a[r]);
      UNROLL for (int v = 0; v < nv; v++) {
        acc[r][v] = v_fma(x, w[v], acc[r][v]);
        v_pin(acc[r][v]);
      }
    }
  }
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < nv; v++) v_store_f(c + r * NR + v * VL, acc[r][v]);
}

#if HAS_FMA
/* Every step adds bits(M) once to every lane, dropped or not; kc of them are taken off at the end. */
INLINE void narrow(const gemm_tile *tile, int rows, int nv, bool drop) {
  VI acc[GEMM_MAX_MR][NV];
  uint32_t *c = tile->c;
  const float *a = tile->a, *t = tile->t;
  const uint16_t *b = tile->b;
  const VF magic = v_set_f(MAGIC);
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < nv; v++) acc[r][v] = v_zero_i();
  for (int64_t k = 0; k < tile->kc; k++, a += tile->a_stride, b += tile->b_stride) {
    VF w[NV];
    UNROLL for (int v = 0; v < nv; v++) w[v] = v_widen(b + v * VL);
    if (drop && tile->a_min[k] + tile->b_min[k] < 14) {
      const float *limit = t + k * tile->a_stride;
      VF m[NV];
      UNROLL for (int v = 0; v < nv; v++) m[v] = magnitude(w[v]);
      UNROLL for (int r = 0; r < rows; r++) {
        VF x = v_set_f(a[r]), least = v_set_f(limit[r]);
        UNROLL for (int v = 0; v < nv; v++) {
          acc[r][v] = v_add_i(acc[r][v], v_as_i(v_fma_keep(x, w[v], magic, m[v], least)));
          v_pin(acc[r][v]);
        }
      }
    } else {
      UNROLL for (int r = 0; r < rows; r++) {
        VF x = v_set_f(a[r]);
        UNROLL for (int v = 0; v < nv; v++) {
          acc[r][v] = v_add_i(acc[r][v], v_as_i(v_fma(x, w[v], magic)));
          v_pin(acc[r][v]);
        }
      }
    }
  }
  const VI offset = v_set_i((uint32_t)tile->kc * MAGIC_BITS);
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < nv; v++) {
    uint32_t *to = c + r * NR + v * VL;
    v_store_i(to, v_add_i(v_load_i(to), v_sub_i(acc[r][v], offset)));
  }
}

INLINE void tile_narrow(const gemm_tile *tile, int rows, int nv) { narrow(tile, rows, nv, false); }
INLINE void tile_narrow_drop(const gemm_tile *tile, int rows, int nv) { narrow(tile, rows, nv, true); }
#endif

INLINE void tile_wide(const gemm_tile *tile, int rows, int nv) {
  VI acc[GEMM_MAX_MR][NV];
  uint32_t *c = tile->c;
  const float *a = tile->a, *t = tile->t;
  const uint16_t *b = tile->b;
  const VI half = v_as_i(v_set_f(0.5f));
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < nv; v++) acc[r][v] = v_load_i(c + r * NR + v * VL);
  for (int64_t k = 0; k < tile->kc; k++, a += tile->a_stride, t += tile->a_stride, b += tile->b_stride) {
    VF w[NV], m[NV];
    UNROLL for (int v = 0; v < nv; v++) {
      w[v] = widen_ane(b + v * VL);
      m[v] = magnitude(w[v]);
    }
    UNROLL for (int r = 0; r < rows; r++) {
      VF x = v_as_f(v_and_i(v_as_i(v_set_f(a[r])), v_set_i(~1u))), least = v_set_f(t[r]);
      UNROLL for (int v = 0; v < nv; v++) {
        VF p = v_mul(x, v_keep(w[v], m[v], least));
        VF away = v_as_f(v_or_i(sign_bits(v_as_i(p)), half));
        acc[r][v] = v_add_i(acc[r][v], v_trunc(v_add_f(p, away)));
        v_pin(acc[r][v]);
      }
    }
  }
  UNROLL for (int r = 0; r < rows; r++) UNROLL for (int v = 0; v < nv; v++) v_store_i(c + r * NR + v * VL, acc[r][v]);
}

INLINE float from_bits(uint32_t bits) {
  float v;
  memcpy(&v, &bits, 4);
  return v;
}

INLINE uint32_t to_bits(float v) {
  uint32_t bits;
  memcpy(&bits, &v, 4);
  return bits;
}

/* Smallest |w| with e(x) + e(w) >= -16, 0 when every w qualifies (even the subnormals, e = -14). x is in expand_ane form:
 * its fp32 exponent field is e(x) + 16 + 127, with subnormal fp16 values at e = -14. */
INLINE float threshold_of(uint32_t bits) {
  int32_t e = (int32_t)(bits >> 23 & 0xff) - 143;
  e = e < -14 ? -14 : e;
  return from_bits(e < -2 ? (uint32_t)(111 - e) << 23 : 0);
}

static void threshold(const float *a, int64_t n, float *t) {
  for (int64_t i = 0; i < n; i++) t[i] = threshold_of(to_bits(a[i]));
}

/* Doubles hold everything: x * (1 + 2^-41) has 52 bits, so a tie p moves away by about |p| * 2^-41 and adding 1.5 * 2^52
 * rounds it to the integer away from zero. From |p| = 2^40 on the result can be off by units, but then the sum is past 2^31
 * anyway. An infinite accumulator stays infinite: products are finite. */
static void tile_slow(const gemm_tile *tile, int rows, int8_t *sat) {
  const double magic = 0x1.8p52, limit = 0x1p31;
  const vd infinity = (vd){0} + (double)__builtin_inf();
  for (int r = 0; r < rows; r++) {
    for (int v = 0; v < NR; v += 8) {
      vd acc;
      int32_t *c = (int32_t *)tile->c + r * NR + v;
      int8_t *s = sat + r * NR + v;
      for (int i = 0; i < 8; i++) acc[i] = s[i] ? s[i] * (double)__builtin_inf() : c[i];
      const uint16_t *b = tile->b + v;
      for (int64_t k = 0; k < tile->kc; k++, b += tile->b_stride) {
        uint32_t bits = to_bits(tile->a[k * tile->a_stride + r]) & ~1u;
        double x = (double)from_bits(bits) * (1 + 0x1p-41), least = threshold_of(bits);
        vh8 h;
        memcpy(&h, b, sizeof h);
        vi8 wide = __builtin_convertvector(h, vi8);
        vd m = __builtin_convertvector((vf8)((wide & 0x7fff) << 13) * 0x1p112f, vd);
        vl sign = __builtin_convertvector(wide >> 15, vl) << 63;
        vd p = ((vd)((vl)m | sign) * x + magic) - magic;
        acc += (vd)((vl)p & (m >= least));
        acc = (vd)(((vl)infinity & (acc >= limit)) | ((vl)acc & (acc < limit)));
        acc = (vd)(((vl)-infinity & (acc <= -limit)) | ((vl)acc & (acc > -limit)));
      }
      for (int i = 0; i < 8; i++) {
        s[i] = (int8_t)(acc[i] >= limit ? 1 : acc[i] <= -limit ? -1 : 0);
        c[i] = s[i] ? 0 : (int32_t)acc[i];
      }
    }
  }
}

static void expand(const uint16_t *h, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i += VL) v_store_f(out + i, v_widen(h + i));
}

static void expand_ane(const uint16_t *h, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i += VL) {
    VF x = v_mul(widen_ane(h + i), v_set_f(0x1p16f));
    VF nudged = v_as_f(v_or_i(v_as_i(x), v_set_i(1)));
    v_store_f(out + i, v_keep(nudged, magnitude(x), v_set_f(0x1p-9f)));
  }
}

/* fp32 magnitude to 11 significant bits, ties away: half a unit is added to the bits, a carry moves the exponent. */
INLINE VF round11(VF v) { return v_as_f(v_and_i(v_add_i(v_as_i(v), v_set_i(0x1000)), v_set_i(~0x1fffu))); }


/* Results are multiples of 2^-16, so fp16 subnormals among them are exact. Bits below the 24 of fp32 are cut: the half bit
 * that decides is always above them. |c| < 2^31. */
static void round_ane(const int32_t *c, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i += VL) {
    VI units = v_load_i(c + i), m = v_abs_i(units);
    VF low = v_keep(v_as_f(v_set_i(0xff)), v_float(m), v_set_f(0x1p24f));
    VF v = v_mul(v_float(v_sub_i(m, v_and_i(m, v_as_i(low)))), v_set_f(0x1p-16f));
    v_store_f(out + i, v_as_f(v_or_i(v_as_i(round11(v)), sign_bits(units))));
  }
}

static void store(const float *v, int64_t n, f16 *out) {
  int64_t i = 0;
  for (; i + VL <= n; i += VL) v_narrow(out + i, v_load_f(v + i));
  if (i < n) {
    float rest[VL] = {0};
    uint16_t h[VL];
    memcpy(rest, v + i, (size_t)(n - i) * sizeof(float));
    v_narrow(h, v_load_f(rest));
    memcpy(out + i, h, (size_t)(n - i) * sizeof(f16));
  }
}

/* The fp32 sum may be rounded before round11 sees it, but never onto a tie: if it is inexact and its leading bit is 2^m, the
 * smaller operand is below 2^(m-13), while the larger one is a multiple of 2^(m-10) and ties are 2^(m-11) away from those.
 * Sums below 2^-14 are multiples of 2^-24: exact. From 65520 on v_narrow makes infinity. */
static void add_ane(const float *a, const float *b, float sign, int64_t n, f16 *out) {
  for (int64_t i = 0; i < n; i += VL)
    v_narrow(out + i, round11(v_add_f(v_load_f(a + i), v_mul(v_load_f(b + i), v_set_f(sign)))));
}

/* After the rounding to 11 bits, magnitudes below 2^-14 are rounded once more, to the subnormal grid 2^-24. */
static void scale_ane(const float *a, float w, int64_t n, f16 *out) {
  for (int64_t i = 0; i < n; i += VL) {
    VF r = round11(v_mul(v_load_f(a + i), v_set_f(w))), m = magnitude(r);
    VF normal = v_keep(m, m, v_set_f(0x1p-14f)), small = v_sub_f(m, normal);
    VI units = v_trunc(v_add_f(v_mul(small, v_set_f(0x1p24f)), v_set_f(0.5f)));
    VF rounded = v_add_f(normal, v_mul(v_float(units), v_set_f(0x1p-24f)));
    v_narrow(out + i, v_as_f(v_or_i(v_as_i(rounded), sign_bits(v_as_i(r)))));
  }
}

static uint32_t largest(const int32_t *c, int64_t n) {
  uint32_t max = 0;
  for (int64_t i = 0; i < n; i++) {
    uint32_t m = c[i] < 0 ? 0u - (uint32_t)c[i] : (uint32_t)c[i];
    max = m > max ? m : max;
  }
  return max;
}

#define TILE(kind, name, rows, nv)                                                                                     \
  static void kind##_##rows##_##name(const gemm_tile *tile) { tile_##kind(tile, rows, nv); }
#define TILE2(kind, rows) TILE(kind, part, rows, 1) TILE(kind, full, rows, NV)
#if MR == 8
#define TILES(kind) TILE2(kind, 1) TILE2(kind, 2) TILE2(kind, 4) TILE2(kind, 8)
#define ROW(kind, name) {kind##_1_##name, kind##_2_##name, kind##_4_##name, kind##_8_##name}
#else
#define TILES(kind) TILE2(kind, 1) TILE2(kind, 2) TILE2(kind, 4)
#define ROW(kind, name) {kind##_1_##name, kind##_2_##name, kind##_4_##name, NULL}
#endif
#define ROWS(kind) {ROW(kind, part), ROW(kind, full)}

TILES(fast)
TILES(wide)
#if HAS_FMA
TILES(narrow)
TILES(narrow_drop)
#define NARROW_ROWS [GEMM_NARROW] = ROWS(narrow), [GEMM_NARROW_DROP] = ROWS(narrow_drop),
#else
#define NARROW_ROWS
#endif

#define KERNELS                                                                                                        \
  {.mr = MR, .nr = NR, .lanes = VL, .tile = {[GEMM_FAST] = ROWS(fast), [GEMM_WIDE] = ROWS(wide), NARROW_ROWS},         \
   .slow = tile_slow, .expand = expand, .expand_ane = expand_ane, .threshold = threshold, .round_ane = round_ane,      \
   .store = store, .largest = largest, .add_ane = add_ane, .scale_ane = scale_ane,         \
   .coded = CODED_KERNELS}
