/* convert.c - fp32 <-> fp16 (IEEE binary16). To nearest even; overflow to infinity; a NaN keeps its sign and the upper bits
 * of its payload and becomes quiet. All versions give the same bits. */
#include <string.h>

#include "internal.h"

#if defined(__aarch64__)

#include <arm_neon.h>

/* FCVTN and FCVTL on 4 elements; the rest one by one. */
void af_f32_to_f16(uint16_t *dst, const float *src, uint64_t n) {
  uint64_t i = 0;
  for (; i + 4 <= n; i += 4) vst1_u16(dst + i, vreinterpret_u16_f16(vcvt_f16_f32(vld1q_f32(src + i))));
  for (; i < n; i++) {
    __fp16 h = (__fp16)src[i];
    memcpy(&dst[i], &h, sizeof h);
  }
}

void af_f16_to_f32(float *dst, const uint16_t *src, uint64_t n) {
  uint64_t i = 0;
  for (; i + 4 <= n; i += 4) vst1q_f32(dst + i, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(src + i))));
  for (; i < n; i++) {
    __fp16 h;
    memcpy(&h, &src[i], sizeof h);
    dst[i] = (float)h;
  }
}

#else

/* fp32: sign 1, exponent 8 (bias 127), fraction 23. fp16: sign 1, exponent 5 (bias 15), fraction 10. */
static uint16_t to_f16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  if (magnitude >= 0x47800000) return (uint16_t)(sign | 0x7c00);           /* 65536 and more */
  if (magnitude < 0x33000000) return (uint16_t)sign;                       /* less than half the least subnormal */
  uint32_t shift = 13, fraction = magnitude - 0x38000000;                  /* exponent from bias 127 to 15 */
  if (magnitude < 0x38800000) {                                            /* subnormal: a multiple of 2^-24 */
    shift = 126 - (magnitude >> 23);
    fraction = (magnitude & 0x7fffff) | 0x800000;
  }
  uint32_t half = 1u << (shift - 1), rest = fraction & ((1u << shift) - 1), q = fraction >> shift;
  q += rest > half || (rest == half && (q & 1)); /* a carry runs into the exponent, up to infinity */
  return (uint16_t)(sign | q);
}

static float to_f32(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3ff, bits;
  if (exponent == 31)
    bits = sign | 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0);
  else if (exponent)
    bits = sign | (exponent + 112) << 23 | fraction << 13;
  else if (fraction) { /* subnormal: fraction * 2^-24, made normal */
    uint32_t up = (uint32_t)__builtin_clz(fraction) - 21;
    bits = sign | (113 - up) << 23 | (fraction << (up + 13) & 0x7fffff);
  } else
    bits = sign;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* F16C came before AVX2, so AVX2 implies it. */
void af_f32_to_f16(uint16_t *dst, const float *src, uint64_t n) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    af_convert_to_f16_avx2(dst, src, n);
    return;
  }
#endif
  for (uint64_t i = 0; i < n; i++) dst[i] = to_f16(src[i]);
}

void af_f16_to_f32(float *dst, const uint16_t *src, uint64_t n) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    af_convert_to_f32_avx2(dst, src, n);
    return;
  }
#endif
  for (uint64_t i = 0; i < n; i++) dst[i] = to_f32(src[i]);
}

#endif
