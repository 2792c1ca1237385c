/* convert_avx2.c - fp32 <-> fp16 with F16C, 8 elements at a time. */
typedef int af_convert_avx2_is_empty_elsewhere;

#if defined(__x86_64__)

#include <immintrin.h>

#include "internal.h"

void af_convert_to_f16_avx2(uint16_t *dst, const float *src, uint64_t n) {
  uint64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128((__m128i *)(dst + i), _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
  if (i + 4 <= n) {
    _mm_storel_epi64((__m128i *)(dst + i), _mm_cvtps_ph(_mm_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
    i += 4;
  }
  for (; i < n; i++) dst[i] = (uint16_t)_cvtss_sh(src[i], _MM_FROUND_TO_NEAREST_INT);
}

void af_convert_to_f32_avx2(float *dst, const uint16_t *src, uint64_t n) {
  uint64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(src + i))));
  if (i + 4 <= n) {
    _mm_storeu_ps(dst + i, _mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(src + i))));
    i += 4;
  }
  for (; i < n; i++) dst[i] = _cvtsh_ss(src[i]);
}

#endif
