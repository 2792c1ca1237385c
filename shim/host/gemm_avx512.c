/* gemm_avx512.c - micro-kernels for AVX-512 F, BW, DQ, VL. */
#if defined(__x86_64__)
#include <immintrin.h>

typedef __m512 VF;
typedef __m512i VI;
#define VL 16
#define NV 2
#define MR 8
#define HAS_FMA 1

#define v_zero_i() _mm512_setzero_si512()
#define v_set_f(x) _mm512_set1_ps(x)
#define v_set_i(x) _mm512_set1_epi32((int)(x))
#define v_load_f(p) _mm512_loadu_ps(p)
#define v_load_i(p) _mm512_loadu_si512(p)
#define v_store_f(p, v) _mm512_storeu_ps(p, v)
#define v_store_i(p, v) _mm512_storeu_si512(p, v)
#define v_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define v_mul(a, b) _mm512_mul_ps(a, b)
#define v_add_f(a, b) _mm512_add_ps(a, b)
#define v_sub_f(a, b) _mm512_sub_ps(a, b)
#define v_add_i(a, b) _mm512_add_epi32(a, b)
#define v_sub_i(a, b) _mm512_sub_epi32(a, b)
#define v_and_i(a, b) _mm512_and_si512(a, b)
#define v_or_i(a, b) _mm512_or_si512(a, b)
#define v_shl(v, n) _mm512_slli_epi32(v, n)
#define v_as_f(v) _mm512_castsi512_ps(v)
#define v_as_i(v) _mm512_castps_si512(v)
#define v_keep(w, m, t) _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(m, t, _CMP_GE_OQ), w)
#define v_fma_keep(a, b, c, m, t) _mm512_mask3_fmadd_ps(a, b, c, _mm512_cmp_ps_mask(m, t, _CMP_GE_OQ))
#define v_float(v) _mm512_cvtepi32_ps(v)
#define v_abs_i(v) _mm512_abs_epi32(v)
#define v_trunc(v) _mm512_cvttps_epi32(v)
#define v_pin(v) __asm__ volatile("" : "+v"(v))
#define v_bits(p) _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(p)))
#define v_widen(p) _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p)))
#define v_narrow(p, v) _mm256_storeu_si256((__m256i *)(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT))

#define v_bytes(p) _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define v_fnma(a, b, c) _mm512_fnmadd_ps(a, b, c)
#define v_shr(v, n) _mm512_srli_epi32(v, n)
typedef __m512 VT;
#define v_table(p) _mm512_loadu_ps(p)
#define v_pick(table, v) _mm512_permutexvar_ps(v, table)
#define v_spread(mask, p) _mm512_maskz_expand_ps((__mmask16)(mask), v_widen(p))
#define v_spread_h(mask, p, out)                                                                                         \
  _mm256_storeu_si256((__m256i *)(out), _mm512_cvtepi32_epi16(_mm512_maskz_expand_epi32((__mmask16)(mask), v_bits(p))))

#include "gemm_impl.h"
#include "gemm_compressed_impl.h"

const gemm_kernels gemm_kernels_avx512 = KERNELS;
#else
typedef int gemm_avx512_is_empty;
#endif
