/* convert_avx2.c - fp32 <-> fp16 with F16C, 8 elements at a time; the rest goes through a block of 8. */
typedef int af_convert_avx2_is_empty_elsewhere;

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#include "internal.h"

void af_convert_to_f16_avx2(uint16_t *dst, const float *src, uint64_t n) {
  uint64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128((__m128i *)(dst + i), _mm256_cvtps_ph(_mm256_loadu_ps(src + i), _MM_FROUND_TO_NEAREST_INT));
  if (i == n) return;
  float from[8] = {0};
  uint16_t to[8];
  memcpy(from, src + i, (n - i) * sizeof *src);
  _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_TO_NEAREST_INT));
  memcpy(dst + i, to, (n - i) * sizeof *dst);
}

void af_convert_to_f32_avx2(float *dst, const uint16_t *src, uint64_t n) {
  uint64_t i = 0;
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(src + i))));
  if (i == n) return;
  uint16_t from[8] = {0};
  float to[8];
  memcpy(from, src + i, (n - i) * sizeof *src);
  _mm256_storeu_ps(to, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from)));
  memcpy(dst + i, to, (n - i) * sizeof *dst);
}

#endif
