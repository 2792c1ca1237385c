#include "ew.h"

#include <math.h>
#include <string.h>

#include "isa.h"
#include "unary.h"

static ew_tile_fn *tile_fn(void) {
  switch (isa_get()) {
#if defined(__x86_64__)
    case ISA_AVX512: return ew_tile_avx512;
    case ISA_AVX2: return ew_tile_avx2;
#endif
#if defined(__aarch64__)
    case ISA_NEON: return ew_tile_neon;
#endif
    default: return ew_tile_portable;
  }
}

static int64_t elements(const ew_program *p) {
  int64_t n = 1;
  for (int k = 0; k < p->rank; k++) n *= p->dim[k];
  return n;
}

int64_t ew_units(const ew_program *p) { return (elements(p) + EW_TILE - 1) / EW_TILE; }

size_t ew_scratch(const ew_program *p) {
  int top = 0;
  for (int i = 0; i < p->n_in; i++) top = p->in[i].reg > top ? p->in[i].reg : top;
  for (int i = 0; i < p->n_out; i++) top = p->out[i].reg > top ? p->out[i].reg : top;
  for (int i = 0; i < p->n_instr; i++) {
    const ew_instr *s = &p->instr[i];
    const uint8_t reg[4] = {s->dst, s->a, s->b, s->c};
    for (int k = 0; k < 4; k++) top = reg[k] > top ? reg[k] : top;
  }
  return sizeof(float) * EW_REG_STRIDE * (size_t)(top + 1);
}

/* Dimensions of size 1 fall away; two neighbours merge when one stride covers both. */
static ew_view merge(const ew_program *p, const ew_port *port) {
  ew_view v = {0};
  for (int k = 0; k < p->rank; k++) {
    if (p->dim[k] == 1) continue;
    if (v.rank && v.stride[v.rank - 1] == port->stride[k] * p->dim[k]) {
      v.dim[v.rank - 1] *= p->dim[k];
      v.stride[v.rank - 1] = port->stride[k];
      continue;
    }
    v.dim[v.rank] = p->dim[k];
    v.stride[v.rank++] = port->stride[k];
  }
  return v;
}

void ew_run(const ew_args *args, int64_t first, int64_t last, void *scratch) {
  const ew_program *p = args->program;
  const int64_t total = elements(p);
  ew_tile_fn *run = tile_fn();
  ew_view view[EW_IO];
  for (int i = 0; i < p->n_in; i++) view[i] = merge(p, &p->in[i]);
  ew_tile tile = {.args = args, .view = view, .registers = scratch};
  for (int64_t unit = first; unit < last; unit++) {
    tile.begin = unit * EW_TILE;
    tile.n = total - tile.begin < EW_TILE ? total - tile.begin : EW_TILE;
    run(&tile);
  }
}

void ew_run_tile(const ew_args *args, int64_t flat_begin, int64_t n, const float *preloaded, int preloaded_reg, void *scratch) {
  const ew_program *p = args->program;
  ew_view view[EW_IO];
  for (int i = 0; i < p->n_in; i++) view[i] = merge(p, &p->in[i]);
  ew_tile tile = {args, view, flat_begin, n, preloaded, preloaded_reg, scratch};
  tile_fn()(&tile);
}

/* -- The scalar twin ----------------------------------------------------------------------------------------------- */

static float ref_half(int v) { return f16_to_float(f16_from_float((float)v)); }

static float ref_load(const ew_program *p, const ew_port *port, const void *base, int64_t flat) {
  int64_t at = 0;
  for (int k = p->rank - 1; k >= 0; k--) {
    at += flat % p->dim[k] * port->stride[k];
    flat /= p->dim[k];
  }
  switch (port->dtype) {
    case MIL_BOOL: return ((const uint8_t *)base)[at] != 0;
    case MIL_UINT8: return ((const uint8_t *)base)[at];
    case MIL_INT8: return ((const int8_t *)base)[at];
    case MIL_INT16: return ref_half(((const int16_t *)base)[at]);
    case MIL_UINT16: return ref_half(((const uint16_t *)base)[at]);
    default: return f16_to_float(((const f16 *)base)[at]);
  }
}

static void ref_store(const ew_port *port, void *base, int64_t flat, float v) {
  float clean = v == v ? v : 0;
  switch (port->dtype) {
    case MIL_BOOL: ((uint8_t *)base)[flat] = v != 0; return;
    case MIL_UINT8: ((uint8_t *)base)[flat] = (uint8_t)fminf(fmaxf(clean, 0), 255); return;
    case MIL_INT8: ((int8_t *)base)[flat] = (int8_t)fminf(fmaxf(clean, -128), 127); return;
    case MIL_INT16: ((int16_t *)base)[flat] = (int16_t)fminf(fmaxf(clean, -32768), 32767); return;
    case MIL_UINT16: ((uint16_t *)base)[flat] = (uint16_t)fminf(fmaxf(clean, 0), 65535); return;
    default: ((f16 *)base)[flat] = f16_from_float(v);
  }
}

static float ref_step_ane(const ew_instr *s, float x, float y) {
  f16 a = f16_from_float(x), b = f16_from_float(y), r;
  switch (s->code) {
    case EW_ADD: r = ane_add(a, b); break;
    case EW_SUB: r = ane_sub(a, b); break;
    case EW_MUL: r = ane_mul(a, b); break;
    case EW_DIV: r = ane_div(a, b); break;
    case EW_POW: r = ane_pow(a, b); break;
    default: r = unary_apply(s->fn, a);
  }
  return f16_to_float(r);
}

static float ref_step_fast(const ew_instr *s, float x, float y) {
  switch (s->code) {
    case EW_ADD: return x + y;
    case EW_SUB: return x - y;
    case EW_MUL: return x * y;
    case EW_DIV: return x / y;
    case EW_POW: return (float)pow(x, y);
    default: return unary_fast(s->fn, x);
  }
}

static float ref_step(const ew_instr *s, bool ane, float x, float y, float z) {
  switch (s->code) {
    case EW_MAX: return x > y || x != x ? x : y;
    case EW_MIN: return x < y || x != x ? x : y;
    case EW_GT: return x > y;
    case EW_GE: return x >= y;
    case EW_LT: return x < y;
    case EW_LE: return x <= y;
    case EW_EQ: return x == y;
    case EW_NE: return x != y;
    case EW_NOT: return x == 0;
    case EW_SELECT: return x != 0 ? y : z;
    case EW_COPY: return x;
    default: return ane ? ref_step_ane(s, x, y) : ref_step_fast(s, x, y);
  }
}

void ew_run_ref(const ew_args *args, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  const ew_program *p = args->program;
  const bool ane = p->profile.mode == NUM_ANE;
  const int64_t total = elements(p), end = last * EW_TILE < total ? last * EW_TILE : total;
  for (int64_t flat = first * EW_TILE; flat < end; flat++) {
    float r[EW_REGS] = {0};
    for (int i = 0; i < p->n_in; i++) {
      float v = ref_load(p, &p->in[i], args->in[i], flat);
      r[p->in[i].reg] = ane && v != v ? INFINITY : v;
    }
    for (int i = 0; i < p->n_instr; i++) {
      const ew_instr *s = &p->instr[i];
      r[s->dst] = ref_step(s, ane, r[s->a], r[s->b], r[s->c]);
    }
    for (int i = 0; i < p->n_out; i++) ref_store(&p->out[i], args->out[i], flat, r[p->out[i].reg]);
  }
}
