/* gemm_neon.c - micro-kernels for arm64. */
#if defined(__aarch64__)
#include <arm_neon.h>

typedef float32x4_t VF;
typedef uint32x4_t VI;
#define VL 4
#define NV 2
#define MR 8
#define HAS_FMA 1

#define v_zero_i() vdupq_n_u32(0)
#define v_set_f(x) vdupq_n_f32(x)
#define v_set_i(x) vdupq_n_u32((uint32_t)(x))
#define v_load_f(p) vld1q_f32(p)
#define v_load_i(p) vld1q_u32((const uint32_t *)(p))
#define v_store_f(p, v) vst1q_f32(p, v)
#define v_store_i(p, v) vst1q_u32(p, v)
#define v_fma(a, b, c) vfmaq_f32(c, a, b)
#define v_mul(a, b) vmulq_f32(a, b)
#define v_add_f(a, b) vaddq_f32(a, b)
#define v_sub_f(a, b) vsubq_f32(a, b)
#define v_add_i(a, b) vaddq_u32(a, b)
#define v_sub_i(a, b) vsubq_u32(a, b)
#define v_and_i(a, b) vandq_u32(a, b)
#define v_or_i(a, b) vorrq_u32(a, b)
#define v_shl(v, n) vshlq_n_u32(v, n)
#define v_as_f(v) vreinterpretq_f32_u32(v)
#define v_as_i(v) vreinterpretq_u32_f32(v)
#define v_keep(w, m, t) v_as_f(vandq_u32(v_as_i(w), vcgeq_f32(m, t)))
#define v_fma_keep(a, b, c, m, t) v_fma(a, v_keep(b, m, t), c)
#define v_float(v) vcvtq_f32_u32(v)
#define v_abs_i(v) vreinterpretq_u32_s32(vabsq_s32(vreinterpretq_s32_u32(v)))
#define v_trunc(v) vreinterpretq_u32_s32(vcvtq_s32_f32(v))
#define v_pin(v) __asm__ volatile("" : "+w"(v))
#define v_bits(p) vmovl_u16(vld1_u16(p))
#define v_widen(p) vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))
#define v_narrow(p, v) vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)))

#define v_fnma(a, b, c) vfmsq_f32(c, a, b)
#define v_shr(v, n) vshrq_n_u32(v, n)
static inline VF v_bytes(const int8_t *p) {
  int32_t four;
  __builtin_memcpy(&four, p, sizeof four);
  return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four))))));
}
typedef uint8x16x4_t VT;
static inline VT v_table(const float *p) { return vld1q_u8_x4((const uint8_t *)p); }
/* The four bytes of entry i are bytes 4i .. 4i + 3 of the table. */
static inline VF v_pick(VT t, VI v) {
  VI at = vmlaq_n_u32(vdupq_n_u32(0x03020100), vandq_u32(v, vdupq_n_u32(15)), 0x04040404);
  return vreinterpretq_f32_u8(vqtbl4q_u8(t, vreinterpretq_u8_u32(at)));
}

#include "gemm_impl.h"
#include "gemm_compressed_impl.h"

const gemm_kernels gemm_kernels_neon = KERNELS;
#else
typedef int gemm_neon_is_empty;
#endif
