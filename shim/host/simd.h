/* simd.h - vectors of VW floats over AVX-512, AVX2, NEON or what the compiler makes of 16 bytes. A file that includes this
 * defines one of SIMD_AVX512, SIMD_AVX2, SIMD_NEON, or none (portable). Arithmetic, comparison (lanes of 0 / -1) and bit
 * operations are the compiler's own vector operators; only conversions, roots and table look-ups need instructions. */
#ifndef ANEFORGE_HOST_SIMD_H
#define ANEFORGE_HOST_SIMD_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "numerics.h"

#if defined(SIMD_AVX512) || defined(SIMD_AVX2)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(SIMD_NEON)
#include <arm_neon.h>
#endif

#if defined(SIMD_AVX512)
enum { VW = 16 };
#elif defined(SIMD_AVX2)
enum { VW = 8 };
#else
enum { VW = 4 };
#endif

typedef float vf __attribute__((vector_size(VW * 4), may_alias));
typedef int32_t vi __attribute__((vector_size(VW * 4), may_alias));
typedef uint32_t vu __attribute__((vector_size(VW * 4), may_alias));
typedef uint16_t vh __attribute__((vector_size(VW * 2), may_alias));
typedef float vf_half __attribute__((vector_size(VW * 2), may_alias)); /* half the lanes */
typedef int32_t vi_half __attribute__((vector_size(VW * 2), may_alias));
typedef double vd __attribute__((vector_size(VW * 4), may_alias));     /* half the lanes */

/* -- Memory -------------------------------------------------------------------------------------------------------- */

static inline vf vf_load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline void vf_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
static inline vf vf_set(float s) { return s - (vf){0}; }
static inline vi vi_set(int32_t s) { return s - (vi){0}; }
static inline vf vf_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
static inline vf vf_and(vi mask, vf a) { return (vf)(mask & (vi)a); }
static inline vf vf_abs(vf v) { return (vf)((vi)v & 0x7fffffff); }
static inline vi vf_sign(vf v) { return (vi)v & INT32_MIN; }
static inline vf vf_or(vf v, vi bits) { return (vf)((vi)v | bits); }

/* -- Square root, a * b + c ---------------------------------------------------------------------------------------- */

#if defined(SIMD_AVX512)
static inline vf vf_sqrt(vf v) { return (vf)_mm512_sqrt_ps((__m512)v); }
static inline vf vf_fma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
#elif defined(SIMD_AVX2)
static inline vf vf_sqrt(vf v) { return (vf)_mm256_sqrt_ps((__m256)v); }
static inline vf vf_fma(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
#elif defined(SIMD_NEON)
static inline vf vf_sqrt(vf v) { return (vf)vsqrtq_f32((float32x4_t)v); }
static inline vf vf_fma(vf a, vf b, vf c) { return (vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#else
static inline vf vf_sqrt(vf v) {
#if defined(__SSE2__)
  return (vf)_mm_sqrt_ps((__m128)v);
#else
  for (int i = 0; i < VW; i++) v[i] = sqrtf(v[i]);
  return v;
#endif
}
static inline vf vf_fma(vf a, vf b, vf c) { return a * b + c; }
#endif

/* -- fp16 <-> fp32 (to nearest even) ------------------------------------------------------------------------------- */

static inline vh vh_load(const f16 *p) {
  vh h;
  memcpy(&h, p, sizeof h);
  return h;
}
static inline void vh_store(f16 *p, vh h) { memcpy(p, &h, sizeof h); }

#if defined(SIMD_AVX512)
static inline vf vf_from_h(vh h) { return (vf)_mm512_cvtph_ps((__m256i)h); }
static inline vh vf_to_h(vf v) { return (vh)_mm512_cvtps_ph((__m512)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#elif defined(SIMD_AVX2)
static inline vf vf_from_h(vh h) { return (vf)_mm256_cvtph_ps((__m128i)h); }
static inline vh vf_to_h(vf v) { return (vh)_mm256_cvtps_ph((__m256)v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
#elif defined(SIMD_NEON)
static inline vf vf_from_h(vh h) { return (vf)vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)h)); }
static inline vh vf_to_h(vf v) { return (vh)vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)v)); }
#else
/* The exponent is rebased by a multiplication, which also normalises subnormals; field 31 is put back by hand. */
static inline vf vf_from_h(vh h) {
  vu bits = __builtin_convertvector(h, vu), magnitude = (bits & 0x7fff) << 13;
  vu special = (vu)(magnitude >= 0x0f800000) & 0x7f800000;
  return (vf)((vu)((vf)magnitude * 0x1p112f) | special | (bits & 0x8000) << 16);
}
/* Normal results: half a unit less one, plus the last bit kept, then cut. Subnormal ones: the unit of 0.5 is 2^-24. */
static inline vh vf_to_h(vf v) {
  vu bits = (vu)v, sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  vu normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - 0x38000000) >> 13;
  vu small = (vu)((vf)magnitude + 0.5f) - 0x3f000000;
  vu nan = 0x7e00 | (magnitude >> 13 & 0x1ff);
  vi is_small = (vi)(magnitude < 0x38800000), is_large = (vi)(magnitude >= 0x477ff000), is_nan = (vi)(magnitude > 0x7f800000);
  vu h = (vu)vf_select(is_small, (vf)small, (vf)normal);
  h = (vu)vf_select(is_large, (vf)(0x7c00 - (vu){0}), (vf)h);
  h = (vu)vf_select(is_nan, (vf)nan, (vf)h) | sign;
  return __builtin_convertvector(h, vh);
}
#endif

/* Lane i of h[j] is p[4 g + j], g a numbering of the VW groups of 4 that depends on the instruction set. */
#if defined(SIMD_AVX512)
static inline void vh_load_groups(const f16 *p, vh h[4]) {
  __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 32);
  for (int j = 0; j < 4; j++) {
    __m128i low = _mm512_cvtepi64_epi16(_mm512_srli_epi64(a, 16 * (unsigned)j));
    __m128i high = _mm512_cvtepi64_epi16(_mm512_srli_epi64(b, 16 * (unsigned)j));
    h[j] = (vh)_mm256_set_m128i(high, low);
  }
}
#elif defined(SIMD_AVX2)
static inline void vh_load_groups(const f16 *p, vh h[4]) {
  __m256i a = _mm256_loadu_si256((const __m256i *)p), b = _mm256_loadu_si256((const __m256i *)(p + 16));
  const __m256i low = _mm256_set1_epi64x(0xffff);
  for (int j = 0; j < 4; j++) {
    __m256i x = _mm256_and_si256(_mm256_srli_epi64(a, 16 * j), low), y = _mm256_and_si256(_mm256_srli_epi64(b, 16 * j), low);
    __m256i both = _mm256_or_si256(x, _mm256_slli_epi64(y, 32));
    h[j] = (vh)_mm_packus_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
  }
}
#elif defined(SIMD_NEON)
static inline void vh_load_groups(const f16 *p, vh h[4]) {
  uint16x4x4_t all = vld4_u16(p);
  for (int j = 0; j < 4; j++) h[j] = (vh)all.val[j];
}
#else
static inline void vh_load_groups(const f16 *p, vh h[4]) {
  f16 column[4][VW];
  for (int i = 0; i < VW; i++)
    for (int j = 0; j < 4; j++) column[j][i] = p[4 * i + j];
  for (int j = 0; j < 4; j++) h[j] = vh_load(column[j]);
}
#endif

/* -- Look-up in a map of 65536 fp16 values by fp16 values held as fp32. Loads one by one: faster than the gathers of AVX2 and
 * AVX-512 where these were measured. ------------------------------------------------------------------------------- */

static inline vf vf_map(const f16 *map, vf v) {
  vh h = vf_to_h(v), y = h;
  for (int i = 0; i < VW; i++) y[i] = map[h[i]];
  return vf_from_h(y);
}

/* -- Halves and doubles -------------------------------------------------------------------------------------------- */

static inline vd vd_low(vf v) {
  vf_half h;
  memcpy(&h, &v, sizeof h);
  return __builtin_convertvector(h, vd);
}
static inline vd vd_high(vf v) {
  vf_half h;
  memcpy(&h, (char *)&v + sizeof h, sizeof h);
  return __builtin_convertvector(h, vd);
}
static inline vf vf_join(vd low, vd high) {
  vf_half part[2] = {__builtin_convertvector(low, vf_half), __builtin_convertvector(high, vf_half)};
  vf v;
  memcpy(&v, part, sizeof v);
  return v;
}

/* -- The engine's rounding on fp32 --------------------------------------------------------------------------------- */

/* NaN as operand: +inf. NaN as result: +0. */
static inline vf ane_operand(vf v) { return vf_select((vi)(v == v), v, vf_set(INFINITY)); }
static inline vf ane_defined(vf v) { return vf_and((vi)(v == v), v); }

/* To 11 significant bits, ties away, 65520 and above to infinity. This is RHA for every value that is normal in fp16 and for
 * every subnormal that is already on the 2^-24 grid. */
static inline vf round11(vf v) {
  vu bits = ((vu)v + 0x1000) & ~(uint32_t)0x1fff;
  vi large = (vi)((bits & 0x7fffffff) >= 0x47800000);
  return vf_select(large, (vf)((bits & 0x80000000) | 0x7f800000), (vf)bits);
}

/* RHA2 of an exact fp32 product: 11 bits first; then, below 2^-14, the 2^-24 grid, ties away. Adding 0.5 rounds to that grid
 * with ties to even; a value of 11 bits moved up by one unit of fp32 is never a tie and passes no other value. */
static inline vf round_product(vf v) {
  vf r = round11(v), magnitude = vf_abs(r);
  vf grid = ((vf)((vu)magnitude + 1) + 0.5f) - 0.5f;
  return vf_select((vi)(magnitude < 0x1p-14f), vf_or(grid, vf_sign(r)), r);
}

/* The fp32 sum of two fp16 values, rounded by round11, is RHA of the exact sum. It is inexact only when the operands are at
 * least 14 binary places apart (11 + 13 bits fit in 24): then |b| < 2^(E-13), E the exponent of a, while the ties next to a
 * lie 2^(E-11) above and at least 2^(E-12) below it, so neither the exact nor the rounded sum leaves a's interval. A sum
 * below 2^-14 is a multiple of 2^-24 with at most 10 bits: exact. */
static inline vf ane_vadd(vf a, vf b) { return round11(ane_defined(a + b)); }
static inline vf ane_vsub(vf a, vf b) { return round11(ane_defined(a - b)); }
/* A product of two 11-bit values has 22 bits and is at least 2^-48: exact in fp32. */
static inline vf ane_vmul(vf a, vf b) { return round_product(ane_defined(a * b)); }
static inline vf ane_vmax(vf a, vf b) { return vf_select((vi)(a > b), a, b); }
static inline vf ane_vmin(vf a, vf b) { return vf_select((vi)(a < b), a, b); }

/* -- Runs of fp16 -------------------------------------------------------------------------------------------------- */

static inline vf vf_operand(vh h, bool ane) { return ane ? ane_operand(vf_from_h(h)) : vf_from_h(h); }

/* The first n < VW values; the other lanes are 0. */
static inline vh vh_load_part(const f16 *p, int64_t n) {
  vh h = {0};
  memcpy(&h, p, (size_t)n * sizeof *p);
  return h;
}
static inline void vh_store_part(f16 *p, vh h, int64_t n) { memcpy(p, &h, (size_t)n * sizeof *p); }

/* May write up to the next multiple of VW floats. */
static inline void load_halves(float *d, const f16 *p, int64_t n, bool ane) {
  int64_t i = 0;
  for (; i + VW <= n; i += VW) vf_store(d + i, vf_operand(vh_load(p + i), ane));
  if (i < n) vf_store(d + i, vf_operand(vh_load_part(p + i, n - i), ane));
}

/* May read up to the next multiple of VW floats. */
static inline void store_halves(f16 *p, const float *s, int64_t n) {
  int64_t i = 0;
  for (; i + VW <= n; i += VW) vh_store(p + i, vf_to_h(vf_load(s + i)));
  if (i < n) vh_store_part(p + i, vf_to_h(vf_load(s + i)), n - i);
}

#endif
