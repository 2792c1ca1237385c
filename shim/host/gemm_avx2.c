/* gemm_avx2.c - micro-kernels for AVX2, FMA and F16C. */
#if defined(__x86_64__)
#include <immintrin.h>

typedef __m256 VF;
typedef __m256i VI;
#define VL 8
#define NV 3
#define MR 4
#define HAS_FMA 1

#define v_zero_i() _mm256_setzero_si256()
#define v_set_f(x) _mm256_set1_ps(x)
#define v_set_i(x) _mm256_set1_epi32((int)(x))
#define v_load_f(p) _mm256_loadu_ps(p)
#define v_load_i(p) _mm256_loadu_si256((const __m256i *)(p))
#define v_store_f(p, v) _mm256_storeu_ps(p, v)
#define v_store_i(p, v) _mm256_storeu_si256((__m256i *)(p), v)
#define v_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define v_mul(a, b) _mm256_mul_ps(a, b)
#define v_add_f(a, b) _mm256_add_ps(a, b)
#define v_sub_f(a, b) _mm256_sub_ps(a, b)
#define v_add_i(a, b) _mm256_add_epi32(a, b)
#define v_sub_i(a, b) _mm256_sub_epi32(a, b)
#define v_and_i(a, b) _mm256_and_si256(a, b)
#define v_or_i(a, b) _mm256_or_si256(a, b)
#define v_shl(v, n) _mm256_slli_epi32(v, n)
#define v_as_f(v) _mm256_castsi256_ps(v)
#define v_as_i(v) _mm256_castps_si256(v)
#define v_keep(w, m, t) _mm256_and_ps(w, _mm256_cmp_ps(m, t, _CMP_GE_OQ))
#define v_fma_keep(a, b, c, m, t) v_fma(a, v_keep(b, m, t), c)
#define v_float(v) _mm256_cvtepi32_ps(v)
#define v_abs_i(v) _mm256_abs_epi32(v)
#define v_trunc(v) _mm256_cvttps_epi32(v)
#define v_pin(v) __asm__ volatile("" : "+x"(v))
#define v_bits(p) _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(p)))
#define v_widen(p) _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))
#define v_narrow(p, v) _mm_storeu_si128((__m128i *)(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT))

#define v_bytes(p) _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#define v_fnma(a, b, c) _mm256_fnmadd_ps(a, b, c)
#define v_shr(v, n) _mm256_srli_epi32(v, n)
typedef struct {
  __m256 low, high;
} VT;
static inline VT v_table(const float *p) { return (VT){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline VF v_pick(VT t, VI v) {
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(t.low, v), _mm256_permutevar8x32_ps(t.high, v),
                          _mm256_castsi256_ps(_mm256_slli_epi32(v, 28)));
}

#include "gemm_impl.h"
#include "gemm_compressed_impl.h"

const gemm_kernels gemm_kernels_avx2 = KERNELS;
#else
typedef int gemm_avx2_is_empty;
#endif
