/* rows_impl.h - sums, extremes, softmax and pooling rows, a template over simd.h. The including file defines ROWS_NAME. */
#include "fastmath.h"
#include "rows.h"
#include "unary.h"

#define INLINE static inline __attribute__((always_inline))

typedef uint64_t vl __attribute__((vector_size(VW * 4), may_alias)); /* as many lanes as vd */

/* -- The adder ----------------------------------------------------------------------------------------------------- */

/* a (+) b. The larger operand has at most 12 bits, so only the smaller is cut, toward zero, to the grid 2^(E - 11): adding
 * 2^(E + 12) rounds to it, what went up comes down. The sum keeps 12 bits. */
INLINE vf add12(vf a, vf b) {
  vi swap = (vi)(vf_abs(b) > vf_abs(a));
  vf large = vf_select(swap, b, a), small = vf_select(swap, a, b), magnitude = vf_abs(small);
  vf power = (vf)((vi)large & 0x7f800000), anchor = power * 0x1p12f;
  vf cut = (magnitude + anchor) - anchor;
  cut = cut - vf_and((vi)(cut > magnitude), power * 0x1p-11f);
  vf sum = (vf)((vi)(large + vf_or(cut, vf_sign(small))) & ~0xfff);
  return vf_select((vi)(power == INFINITY), a + b, sum);
}

INLINE vf group_add(vf a, vf b, bool ane) {
  if (ane) return add12(a, b);
  return a + b;
}

INLINE vf term_of(vf x, bool ane, enum row_term term, vf shift, const f16 *exp_map) {
  if (term == TERM_ABS) return vf_abs(x);
  if (term == TERM_SQUARE && ane) return ane_vmul(x, x);
  if (term == TERM_SQUARE) return x * x;
  if (term == TERM_EXP && ane) return vf_map(exp_map, ane_vsub(x, shift));
  if (term == TERM_EXP) return fm_exp(x - shift);
  return x;
}

/* -- One row ------------------------------------------------------------------------------------------------------- */

INLINE double sum_row(const f16 *x, int64_t n, bool ane, enum row_term term, float shift) {
  const f16 *map = ane && term == TERM_EXP ? kernel_map(MAP_EXP) : NULL;
  const vf s = vf_set(shift);
  vd low = {0}, high = {0};
  vh h[4];
  if (term == TERM_EXP && shift == -INFINITY) return (double)n; /* all are -inf, and exp(-inf - -inf) is exp(+0) */
  int64_t i = 0;
  for (; i + 4 * VW <= n; i += 4 * VW) {
    vh_load_groups(x + i, h);
    vf group = term_of(vf_operand(h[0], ane), ane, term, s, map);
    for (int j = 1; j < 4; j++) group = group_add(group, term_of(vf_operand(h[j], ane), ane, term, s, map), ane);
    low += vd_low(group);
    high += vd_high(group);
  }
  if (i < n) { /* what is missing becomes a term of +0, which changes no group */
    f16 rest[4 * VW];
    for (int k = 0; k < 4 * VW; k++) rest[k] = term == TERM_EXP ? 0xfc00 : 0;
    memcpy(rest, x + i, (size_t)(n - i) * sizeof *x);
    vh_load_groups(rest, h);
    vf group = term_of(vf_operand(h[0], ane), ane, term, s, map);
    for (int j = 1; j < 4; j++) group = group_add(group, term_of(vf_operand(h[j], ane), ane, term, s, map), ane);
    low += vd_low(group);
    high += vd_high(group);
  }
  double total = 0;
  low += high;
  for (int k = 0; k < VW / 2; k++) total += low[k];
  return total;
}

static double sum(const f16 *x, int64_t n, bool ane, enum row_term term, float shift) {
  switch (term) {
    case TERM_ABS: return ane ? sum_row(x, n, true, TERM_ABS, 0) : sum_row(x, n, false, TERM_ABS, 0);
    case TERM_SQUARE: return ane ? sum_row(x, n, true, TERM_SQUARE, 0) : sum_row(x, n, false, TERM_SQUARE, 0);
    case TERM_EXP: return ane ? sum_row(x, n, true, TERM_EXP, shift) : sum_row(x, n, false, TERM_EXP, shift);
    default: return ane ? sum_row(x, n, true, TERM_ITSELF, 0) : sum_row(x, n, false, TERM_ITSELF, 0);
  }
}

/* NaN stays (NUM_FAST; in NUM_ANE mode operands are never NaN). */
INLINE vf extreme_of(vf x, vf y, bool minimum) {
  return vf_select((minimum ? (vi)(x < y) : (vi)(x > y)) | (vi)(x != x), x, y);
}

static float extreme(const f16 *x, int64_t n, bool ane, bool minimum) {
  vf best = vf_set(minimum ? INFINITY : -INFINITY);
  int64_t i = 0;
  for (; i + VW <= n; i += VW) best = extreme_of(vf_operand(vh_load(x + i), ane), best, minimum);
  if (i < n) {
    f16 rest[VW];
    for (int k = 0; k < VW; k++) rest[k] = x[i + k < n ? i + k : i];
    best = extreme_of(vf_operand(vh_load(rest), ane), best, minimum);
  }
  float result = best[0];
  for (int k = 1; k < VW; k++)
    if ((minimum ? best[k] < result : best[k] > result) || best[k] != best[k]) result = best[k];
  return result + 0.0f; /* -0 is +0 */
}

/* -- Columns ------------------------------------------------------------------------------------------------------- */

INLINE void sum_down(const f16 *x, const int64_t *row, int64_t rows, int64_t columns, bool ane, enum row_term term,
                     const float *shift, double *total) {
  const f16 *map = ane && term == TERM_EXP ? kernel_map(MAP_EXP) : NULL;
  memset(total, 0, (size_t)(columns + VW) * sizeof *total);
  for (int64_t r = 0; r < rows; r += 4) {
    int64_t group_rows = rows - r < 4 ? rows - r : 4;
    for (int64_t c = 0; c < columns; c += VW) {
      const vf s = term == TERM_EXP ? vf_load(shift + c) : (vf){0};
      bool whole = c + VW <= columns;
      vf group = {0};
      for (int64_t j = 0; j < group_rows; j++) {
        const f16 *p = x + row[r + j] + c;
        vf v = term_of(vf_operand(whole ? vh_load(p) : vh_load_part(p, columns - c), ane), ane, term, s, map);
        group = j == 0 ? v : group_add(group, v, ane);
      }
      vd low, high;
      memcpy(&low, total + c, sizeof low);
      memcpy(&high, total + c + VW / 2, sizeof high);
      low += vd_low(group);
      high += vd_high(group);
      memcpy(total + c, &low, sizeof low);
      memcpy(total + c + VW / 2, &high, sizeof high);
    }
  }
}

static void sum_columns(const f16 *x, const int64_t *row, int64_t rows, int64_t columns, bool ane, enum row_term term,
                        const float *shift, double *total) {
#define DOWN(a, t) sum_down(x, row, rows, columns, a, t, shift, total)
  switch (term) {
    case TERM_ABS: ane ? DOWN(true, TERM_ABS) : DOWN(false, TERM_ABS); return;
    case TERM_SQUARE: ane ? DOWN(true, TERM_SQUARE) : DOWN(false, TERM_SQUARE); return;
    case TERM_EXP: ane ? DOWN(true, TERM_EXP) : DOWN(false, TERM_EXP); return;
    default: ane ? DOWN(true, TERM_ITSELF) : DOWN(false, TERM_ITSELF); return;
  }
#undef DOWN
}

static void extreme_columns(const f16 *x, const int64_t *row, int64_t rows, int64_t columns, bool ane, bool minimum,
                            float *best) {
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < columns; c += VW) {
      const f16 *p = x + row[r] + c;
      vh h = c + VW <= columns ? vh_load(p) : vh_load_part(p, columns - c);
      vf_store(best + c, extreme_of(vf_operand(h, ane), vf_load(best + c), minimum) + 0.0f);
    }
  }
}

/* -- Totals to results --------------------------------------------------------------------------------------------- */

/* RHA of doubles, NaN to +0. Normal: half a unit added to the bits. Subnormal: to the nearest multiple of 2^-24; the addition
 * rounds a tie to even, and one that went down is put up. */
INLINE vd rha_double(vd v) {
  v = (vd)((vl)(v == v) & (vl)v);
  vl sign = (vl)v & (1ull << 63), bits = (vl)v ^ sign;
  vd normal = (vd)((bits + (1ull << 41)) & ~((1ull << 42) - 1));
  normal = (vd)(((vl)(normal >= 65536.0) & (vl)((vd){0} + (double)INFINITY)) | (~(vl)(normal >= 65536.0) & (vl)normal));
  vd units = (vd)bits * 0x1p24, whole = (units + 0x1p52) - 0x1p52;
  whole = whole + (vd)((vl)(units - whole == 0.5) & (vl)((vd){0} + 1.0));
  vl small = (vl)((vd)bits < 0x1p-14);
  return (vd)((small & (vl)(whole * 0x1p-24)) | (~small & (vl)normal) | sign);
}

INLINE vf result_ane(vf v, enum mil_op_id kind, vf shift) {
  if (kind == OP_REDUCE_L2_NORM) return vf_map(kernel_map(MAP_SQRT), v);
  if (kind == OP_REDUCE_LOG_SUM) return vf_map(kernel_map(MAP_LOG), v);
  if (kind == OP_REDUCE_LOG_SUM_EXP) return ane_vadd(shift, vf_map(kernel_map(MAP_LOG), v));
  return v;
}

INLINE vf result_fast(vf v, enum mil_op_id kind, vf shift) {
  if (kind == OP_REDUCE_L2_NORM) return vf_sqrt(v);
  if (kind == OP_REDUCE_LOG_SUM) return fm_log(v);
  if (kind == OP_REDUCE_LOG_SUM_EXP) return shift + fm_log(v);
  return v;
}

static void finish(const double *total, const float *shift, int64_t n, const reduce_args *args, int64_t count, f16 *y) {
  const bool ane = args->profile.mode == NUM_ANE;
  const double divisor = args->kind == OP_REDUCE_MEAN ? (double)count : 1;
  for (int64_t i = 0; i < n; i += VW) {
    vd low, high;
    memcpy(&low, total + i, sizeof low);
    memcpy(&high, total + i + VW / 2, sizeof high);
    low /= divisor;
    high /= divisor;
    vf v = ane ? result_ane(vf_join(rha_double(low), rha_double(high)), args->kind, vf_load(shift + i))
               : result_fast(vf_join(low, high), args->kind, vf_load(shift + i));
    if (i + VW <= n) vh_store(y + i, vf_to_h(v));
    else vh_store_part(y + i, vf_to_h(v), n - i);
  }
}

/* -- Softmax ------------------------------------------------------------------------------------------------------- */

INLINE vf stepped(const float *p, int64_t i, int step) { return step ? vf_load(p + i) : vf_set(*p); }

static void exp_ane(const f16 *x, f16 *y, int64_t n, const float *shift, int step) {
  const f16 *map = kernel_map(MAP_EXP);
  int64_t i = 0;
  for (; i + VW <= n; i += VW)
    vh_store(y + i, vf_to_h(vf_map(map, ane_vsub(vf_operand(vh_load(x + i), true), stepped(shift, i, step)))));
  if (i < n) {
    vf v = ane_vsub(vf_operand(vh_load_part(x + i, n - i), true), stepped(shift, i, step));
    vh_store_part(y + i, vf_to_h(vf_map(map, v)), n - i);
  }
}

static void scale_ane(f16 *y, int64_t n, const float *factor, int step) {
  int64_t i = 0;
  for (; i + VW <= n; i += VW) vh_store(y + i, vf_to_h(ane_vmul(vf_from_h(vh_load(y + i)), stepped(factor, i, step))));
  if (i < n)
    vh_store_part(y + i, vf_to_h(ane_vmul(vf_from_h(vh_load_part(y + i, n - i)), stepped(factor, i, step))), n - i);
}

static void exp_scale_fast(const f16 *x, f16 *y, int64_t n, const float *shift, const float *factor, int step) {
  for (int64_t i = 0; i < n; i += VW) {
    bool whole = i + VW <= n;
    vf v = vf_from_h(whole ? vh_load(x + i) : vh_load_part(x + i, n - i));
    v = fm_exp(v - stepped(shift, i, step)) * stepped(factor, i, step);
    if (whole) vh_store(y + i, vf_to_h(v));
    else vh_store_part(y + i, vf_to_h(v), n - i);
  }
}

/* -- Pooling ------------------------------------------------------------------------------------------------------- */

/* Values at x[first + i * stride] for i < n, `pad` where that is outside [0, width). */
static void window_values(float *d, const f16 *x, int64_t width, int64_t first, int64_t stride, int64_t n, float pad,
                          bool ane) {
  int64_t begin = first >= 0 ? 0 : (-first + stride - 1) / stride;
  int64_t end = first >= width ? 0 : (width - 1 - first) / stride + 1;
  begin = begin < n ? begin : n;
  end = end < begin ? begin : end < n ? end : n;
  for (int64_t i = 0; i < begin; i++) d[i] = pad;
  const f16 *p = begin < end ? x + first + begin * stride : x;
  if (stride == 1) {
    load_halves(d + begin, p, end - begin, ane);
  } else {
    f16 part[VW] = {0};
    for (int64_t i = begin; i < end; i += VW, p += VW * stride) {
      int64_t m = end - i < VW ? end - i : VW;
      for (int64_t k = 0; k < m; k++) part[k] = p[k * stride];
      vf_store(d + i, vf_operand(vh_load(part), ane));
    }
  }
  for (int64_t i = end; i < n; i++) d[i] = pad;
}

static void pool_max(const pool_args *a, const f16 *plane, int64_t oy, int64_t first, int64_t n, f16 *y) {
  const bool ane = a->profile.mode == NUM_ANE;
  float best[ROWS_COLUMNS + VW], v[ROWS_COLUMNS + VW];
  for (int64_t i = 0; i < n + VW; i++) best[i] = v[i] = -INFINITY;
  for (int64_t r = 0; r < a->kh; r++) {
    int64_t iy = oy * a->stride_h - a->pad_top + r;
    if (iy < 0 || iy >= a->h) continue;
    for (int64_t c = 0; c < a->kw; c++) {
      window_values(v, plane + iy * a->w, a->w, first * a->stride_w - a->pad_left + c, a->stride_w, n, -INFINITY, ane);
      for (int64_t i = 0; i < n; i += VW)
        vf_store(best + i, extreme_of(vf_load(v + i), vf_load(best + i), false) + 0.0f);
    }
  }
  store_halves(y, best, n);
}

/* How many of the window's rows (or columns) from `first` on lie inside [0, size). */
static inline int64_t inside(int64_t first, int64_t window, int64_t size) {
  int64_t begin = first > 0 ? first : 0, end = first + window < size ? first + window : size;
  return end > begin ? end - begin : 0;
}

/* The window in row-major order, padding read as 0, is summed like any reduction; one division by the number of elements,
 * one rounding. An empty window gives 0. */
static void pool_average(const pool_args *a, const f16 *plane, int64_t oy, int64_t first, int64_t n, f16 *y) {
  const bool ane = a->profile.mode == NUM_ANE;
  const int64_t top = oy * a->stride_h - a->pad_top, count = a->kh * a->kw;
  float v[ROWS_COLUMNS + VW], group[ROWS_COLUMNS + VW];
  double total[ROWS_COLUMNS + VW];
  wide_sum wide[ROWS_COLUMNS];
  memset(v, 0, (size_t)(n + VW) * sizeof *v);
  memset(total, 0, (size_t)(n + VW) * sizeof *total);
  memset(wide, 0, (size_t)n * sizeof *wide);
  for (int64_t at = 0; at < count; at++) {
    int64_t iy = top + at / a->kw, left = first * a->stride_w - a->pad_left + at % a->kw;
    bool row_inside = iy >= 0 && iy < a->h;
    window_values(v, plane + (row_inside ? iy : 0) * a->w, row_inside ? a->w : 0, left, a->stride_w, n, 0, ane);
    for (int64_t i = 0; i < n; i += VW) {
      vf x = vf_load(v + i);
      vf_store(group + i, at % 4 ? group_add(vf_load(group + i), x, ane) : x);
    }
    if (at % 4 == 3 || at == count - 1)
      for (int64_t i = 0; i < n; i++) total[i] += (double)group[i];
    if (at % ROWS_EXACT == ROWS_EXACT - 1)
      for (int64_t i = 0; i < n; i++) wide_add(&wide[i], total[i], ane), total[i] = 0;
  }
  int64_t rows = inside(top, a->kh, a->h);
  for (int64_t i = 0; i < n; i++) {
    int64_t columns = inside((first + i) * a->stride_w - a->pad_left, a->kw, a->w);
    int64_t divisor = a->exclude_pad ? rows * columns : count;
    if (count > ROWS_EXACT) wide_add(&wide[i], total[i], ane), total[i] = wide_total(&wide[i]);
    total[i] = divisor ? total[i] / (double)divisor : 0;
  }
  for (int64_t i = 0; i < n; i += VW) {
    vd low, high;
    memcpy(&low, total + i, sizeof low);
    memcpy(&high, total + i + VW / 2, sizeof high);
    vf_store(v + i, ane ? vf_join(rha_double(low), rha_double(high)) : vf_join(low, high));
  }
  store_halves(y, v, n);
}

static void pool(const pool_args *args, const f16 *plane, int64_t oy, int64_t first, int64_t n, f16 *y) {
  if (args->average) pool_average(args, plane, oy, first, n, y);
  else pool_max(args, plane, oy, first, n, y);
}

const row_kernels ROWS_NAME = {sum,     extreme,   sum_columns,    extreme_columns, finish,
                               exp_ane, scale_ane, exp_scale_fast, pool};

#undef INLINE
