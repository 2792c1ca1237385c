/* gemm_portable.c - micro-kernels over the compiler's generic vectors of four floats. */
#include "numerics.h"

#include <string.h>

typedef float VF __attribute__((vector_size(16)));
typedef uint32_t VI __attribute__((vector_size(16)));
typedef int32_t vs __attribute__((vector_size(16)));
typedef uint16_t vh __attribute__((vector_size(8)));
#define VL 4
#define NV 2
#define MR 4
#define HAS_FMA 0

static inline VF v_set_f(float x) { return (VF){x, x, x, x}; }
static inline VI v_set_i(uint32_t x) { return (VI){x, x, x, x}; }
static inline VF v_load_f(const float *p) {
  VF v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline VI v_load_i(const void *p) {
  VI v;
  memcpy(&v, p, sizeof v);
  return v;
}
static inline void v_store_f(float *p, VF v) { memcpy(p, &v, sizeof v); }
static inline void v_store_i(void *p, VI v) { memcpy(p, &v, sizeof v); }
#define v_mul(a, b) ((a) * (b))
#define v_add_f(a, b) ((a) + (b))
#define v_sub_f(a, b) ((a) - (b))
#define v_add_i(a, b) ((a) + (b))
#define v_sub_i(a, b) ((a) - (b))
#define v_and_i(a, b) ((a) & (b))
#define v_or_i(a, b) ((a) | (b))
#define v_shl(v, n) ((v) << (n))
#define v_as_f(v) ((VF)(v))
#define v_as_i(v) ((VI)(v))
#define v_fma(a, b, c) ((a) * (b) + (c))
#define v_keep(w, m, t) v_as_f(v_as_i(w) & (VI)((m) >= (t)))
#define v_float(v) __builtin_convertvector((vs)(v), VF)
#define v_abs_i(v) (((v) ^ (VI)((vs)(v) >> 31)) - (VI)((vs)(v) >> 31))
#define v_trunc(v) ((VI) __builtin_convertvector(v, vs))
#define v_pin(v) (void)0
static inline VI v_bits(const uint16_t *p) {
  vh h;
  memcpy(&h, p, sizeof h);
  return __builtin_convertvector(h, VI);
}
/* Exponent field 31 moves to 143, which becomes 255 for the infinities and NaNs of fp32. */
static inline VF v_widen(const uint16_t *p) {
  VI h = v_bits(p), magnitude = h & 0x7fff;
  VI bits = v_as_i(v_as_f(magnitude << 13) * 0x1p112f);
  bits |= (VI)(magnitude >= 0x7c00) & 0x7f800000;
  return v_as_f(bits | (h & 0x8000) << 16);
}
static inline void v_narrow(uint16_t *p, VF v) {
  for (int i = 0; i < VL; i++) p[i] = f16_from_float(v[i]);
}

static inline VF v_bytes(const int8_t *p) { return (VF){p[0], p[1], p[2], p[3]}; }
#define v_shr(v, n) ((v) >> (n))
typedef const float *VT;
#define v_table(p) (p)
static inline VF v_pick(VT t, VI v) { return (VF){t[v[0] & 15], t[v[1] & 15], t[v[2] & 15], t[v[3] & 15]}; }

#include "gemm_impl.h"
#include "gemm_compressed_impl.h"

const gemm_kernels gemm_kernels_portable = KERNELS;
