/* plan_const.c - compressed weights (constexpr_*): as they are where products can read them so, else expanded once. */
#include <string.h>

#include "plan.h"

/* Element i of packed integers. */
static int64_t integer_at(const mil_value *v, int64_t i) {
  const uint8_t *b = v->data;
  switch (v->type.dtype) {
    case MIL_INT8: return (int8_t)b[i];
    case MIL_UINT4: return b[i / 2] >> (i % 2 * 4) & 15;
    case MIL_UINT1: return b[i / 8] >> (i % 8) & 1;
    default: return b[i];
  }
}

static float real_at(const mil_value *v, int64_t i) {
  if (v->type.dtype == MIL_FP16) {
    f16 h;
    memcpy(&h, (const char *)v->data + 2 * i, 2);
    return f16_to_float(h);
  }
  if (v->type.dtype == MIL_FP32) {
    float f;
    memcpy(&f, (const char *)v->data + 4 * i, 4);
    return f;
  }
  return (float)integer_at(v, i);
}

/* An argument that must be a constant. */
static const mil_value *constant(plan *p, const mil_op *op, const char *name) {
  const mil_value *v = mil_get(op, name);
  if (v && v->is_const) return v;
  plan_fail(p, op, "'%s' must be a constant", name);
  return NULL;
}

static f16 *expand(plan *p, const mil_op *op) {
  const mil_type *t = &op->result[0]->type;
  if (t->dtype != MIL_FP16) {
    plan_fail(p, op, "the host engine has no kernel for %s results", mil_dtype_name(t->dtype));
    return NULL;
  }
  return plan_own(p, mil_bytes(t));
}

static bool bind(plan *p, const mil_op *op, f16 *data) {
  const mil_type *t = &op->result[0]->type;
  int v = plan_constant(p, MIL_FP16, t->rank, t->dim, data, false, true, op->result[0]->name);
  if (v < 0) plan_disown(p, data);
  return v >= 0 && plan_bind(p, op->result[0], v);
}

/* The result stands for the codes until somebody other than a product reads it (plan_decode). */
static bool bind_codes(plan *p, const mil_op *op, weight_codes codes) {
  const mil_type *t = &op->result[0]->type;
  weight_codes *kept = plan_alloc(p, sizeof *kept);
  int v = kept ? plan_constant(p, MIL_FP16, t->rank, t->dim, codes.data, false, false, op->result[0]->name) : -1;
  if (v < 0) return false;
  *kept = codes;
  kept->elements = mil_elements(t);
  p->value[v].codes = kept;
  return plan_bind(p, op->result[0], v);
}

/* Whether the result can be kept compressed at all. */
static bool is_fp16_tensor(const mil_op *op) {
  const mil_type *t = &op->result[0]->type;
  return t->dtype == MIL_FP16 && mil_elements(t) > 1;
}

/* fp16 and finite; and without sign, if asked for. */
static bool is_plain(const mil_value *v, bool sign) {
  if (v->type.dtype != MIL_FP16) return false;
  for (int64_t i = 0, n = mil_elements(&v->type); i < n; i++) {
    f16 h;
    memcpy(&h, (const char *)v->data + 2 * i, 2);
    if ((sign ? h & 0x7fff : h) >= 0x7c00) return false;
  }
  return true;
}

/* Then no value is -0 or NaN. */
static bool plain_scales(const mil_value *scale) { return is_plain(scale, false); }

static bool all_zero(const mil_value *v) {
  for (int64_t i = 0, n = mil_elements(&v->type); i < n; i++)
    if (real_at(v, i) != 0) return false;
  return true;
}

/* (q - zero_point) * scale along axis; scale and zero_point are scalars or one value per index. */
bool lower_affine(plan *p, const mil_op *op, int code) {
  (void)code;
  const mil_value *q = constant(p, op, "quantized_data"), *scale = constant(p, op, "scale");
  const mil_value *zero = constant(p, op, "zero_point");
  if (!q || !scale || !zero) return false;
  const mil_type *t = &q->type;
  int64_t axis = mil_int(op, "axis"), inner = 1;
  if (axis < 0) axis += t->rank;
  for (int i = (int)axis + 1; i < t->rank; i++) inner *= t->dim[i];
  int64_t n = mil_elements(t), rows = t->rank ? t->dim[axis] : 1;
  int64_t n_scale = mil_elements(&scale->type), n_zero = mil_elements(&zero->type);
  if ((n_scale != 1 && n_scale != rows) || (n_zero != 1 && n_zero != rows))
    return plan_fail(p, op, "'scale' and 'zero_point' need 1 or %lld elements", (long long)rows);
  if (is_fp16_tensor(op) && t->dtype == MIL_INT8 && plain_scales(scale) && all_zero(zero))
    return bind_codes(p, op, (weight_codes){.kind = WEIGHT_INT8, .data = q->data, .table = scale->data,
                                            .run = n_scale == 1 ? n : inner, .tables = n_scale});
  f16 *y = expand(p, op);
  if (!y) return false;
  for (int64_t i = 0; i < n; i++) {
    int64_t r = i / inner % rows;
    float s = real_at(scale, n_scale == 1 ? 0 : r), z = real_at(zero, n_zero == 1 ? 0 : r);
    y[i] = f16_from_float(((float)integer_at(q, i) - z) * s);
  }
  return bind(p, op, y);
}

/* lut[block of i][index[i]]: the lut's leading axes divide the axes of indices into blocks; entries are single values. */
bool lower_lut(plan *p, const mil_op *op, int code) {
  (void)code;
  const mil_value *index = constant(p, op, "indices"), *lut = constant(p, op, "lut");
  if (!index || !lut) return false;
  const mil_type *t = &index->type, *l = &lut->type;
  if (l->rank != t->rank + 2 || l->dim[l->rank - 1] != 1)
    return plan_fail(p, op, "the host engine has no kernel for vector palettes");
  int64_t entries = l->dim[l->rank - 2], n = mil_elements(t);
  for (int a = 0; a < t->rank; a++)
    if (l->dim[a] < 1 || t->dim[a] % l->dim[a]) return plan_fail(p, op, "'lut' does not divide axis %d of 'indices'", a);
  if (is_fp16_tensor(op) && t->dtype == MIL_UINT4 && mil_elements(l) == 16 && entries == 16 && is_plain(lut, true))
    return bind_codes(p, op, (weight_codes){.kind = WEIGHT_UINT4, .data = index->data, .table = lut->data});
  f16 *y = expand(p, op);
  if (!y) return false;
  for (int64_t i = 0; i < n; i++) {
    int64_t rest = i, block = 0, step = 1, q = integer_at(index, i);
    for (int a = t->rank - 1; a >= 0; a--) {
      block += rest % t->dim[a] / (t->dim[a] / l->dim[a]) * step;
      step *= l->dim[a];
      rest /= t->dim[a];
    }
    if (q >= entries) {
      plan_disown(p, y);
      return plan_fail(p, op, "index %lld is outside the palette of %lld", (long long)q, (long long)entries);
    }
    y[i] = f16_from_float(real_at(lut, block * entries + q));
  }
  return bind(p, op, y);
}

/* nonzero_data in order where mask is 1, else 0. */
bool lower_sparse(plan *p, const mil_op *op, int code) {
  (void)code;
  const mil_value *mask = constant(p, op, "mask"), *data = constant(p, op, "nonzero_data");
  if (!mask || !data) return false;
  int64_t n = mil_elements(&mask->type), kept = mil_elements(&data->type), used = 0;
  for (int64_t i = 0; i < n; i++) used += integer_at(mask, i);
  if (used != kept)
    return plan_fail(p, op, "'mask' has %lld ones, 'nonzero_data' %lld values", (long long)used, (long long)kept);
  if (is_fp16_tensor(op) && mask->type.dtype == MIL_UINT1 && data->type.dtype == MIL_FP16)
    return bind_codes(p, op, (weight_codes){.kind = WEIGHT_SPARSE, .data = data->data, .mask = mask->data});
  f16 *y = expand(p, op);
  if (!y) return false;
  for (int64_t i = 0, at = 0; i < n; i++)
    if (integer_at(mask, i)) y[i] = f16_from_float(real_at(data, at++));
  return bind(p, op, y);
}

/* scale[block] * (data - offset[block]). The scale has the rank of data, each axis dividing it into blocks, or rank 2 with
 * data seen as [first axis, the rest]. */
bool lower_blockwise(plan *p, const mil_op *op, int code) {
  (void)code;
  const mil_value *data = constant(p, op, "data"), *scale = constant(p, op, "scale");
  const mil_value *offset = mil_get(op, "offset");
  if (!data || !scale || (offset && !constant(p, op, "offset"))) return false;
  mil_type t = data->type;
  const mil_type *s = &scale->type;
  if (s->rank == 2 && t.rank > 2) {
    for (int a = 2; a < t.rank; a++) t.dim[1] *= t.dim[a];
    t.rank = 2;
  }
  if (s->rank != t.rank) return plan_fail(p, op, "'scale' must have the rank of 'data'");
  for (int a = 0; a < t.rank; a++)
    if (s->dim[a] < 1 || t.dim[a] % s->dim[a]) return plan_fail(p, op, "'scale' does not divide axis %d of 'data'", a);
  int64_t n = mil_elements(&t), n_scale = mil_elements(s), n_offset = offset ? mil_elements(&offset->type) : 1;
  if (n_offset != 1 && n_offset != n_scale) return plan_fail(p, op, "'offset' must have the shape of 'scale'");
  bool last_axis = true; /* blocks are runs of neighbours */
  for (int a = 0; a + 1 < t.rank; a++) last_axis = last_axis && s->dim[a] == t.dim[a];
  if (last_axis && is_fp16_tensor(op) && t.dtype == MIL_INT8 && plain_scales(scale) && (!offset || all_zero(offset)))
    return bind_codes(p, op, (weight_codes){.kind = WEIGHT_INT8, .data = data->data, .table = scale->data, .run = n / n_scale,
                                            .tables = n_scale});
  f16 *y = expand(p, op);
  if (!y) return false;
  for (int64_t i = 0; i < n; i++) {
    int64_t rest = i, block = 0, step = 1;
    for (int a = t.rank - 1; a >= 0; a--) {
      block += rest % t.dim[a] / (t.dim[a] / s->dim[a]) * step;
      step *= s->dim[a];
      rest /= t.dim[a];
    }
    float o = offset ? real_at(offset, n_offset == 1 ? 0 : block) : 0;
    y[i] = f16_from_float(real_at(scale, block) * (real_at(data, i) - o));
  }
  return bind(p, op, y);
}
