/* mil_ops.c - the operation table, and typed access to the arguments of a checked operation. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mil_internal.h"

/* -- The table ------------------------------------------------------------------------------------------------------
 * mil_ops.inc has one row per MIL operation, sorted by name:
 *
 *     RUN(name, id, since, family, check, args..)     the engine runs it
 *     REST(name, since, family, args..)               the ANE runs it, this engine does not
 *     WALL(name, since, kind, hint, args..)           the ANE refuses it
 *
 * since: first opset. family: first capability family. The forms of arguments are the macros below: domain is a letter
 * (arguments with the same letter have the same dtype) or 0, types a set of dtypes. */
#define H (1 << MIL_FP16)
#define F (1 << MIL_FP32)
#define B (1 << MIL_BOOL)
#define I8 (1 << MIL_INT8)
#define U8 (1 << MIL_UINT8)
#define I16 (1 << MIL_INT16)
#define U16 (1 << MIL_UINT16)
#define I32 (1 << MIL_INT32)
#define U32 (1 << MIL_UINT32)
#define U1 (1 << MIL_UINT1)
#define U4 (1 << MIL_UINT4)
#define S (1 << MIL_STRING)
#define REAL (H | F)
#define NUMBER (H | F | I32)
#define ANY (H | F | B | I8 | U8 | I16 | U16 | I32)
#define INDEX (I8 | I16 | I32)

#define ARG(n, f, k, d, t, ...)                                                                                        \
  { .name = n, .form = FORM_##f, .default_kind = DEFAULT_##k, .domain = d, .types = t, __VA_ARGS__ }
#define DATA(n, d, t) ARG(n, DATA, NONE, d, t, )
#define OPT_DATA(n, d, t) ARG(n, DATA, ABSENT, d, t, )
#define WEIGHT(n, d, t) ARG(n, WEIGHT, NONE, d, t, )
#define ARRAY(n, d, t) ARG(n, ARRAY, NONE, d, t, )
#define OPT_ARRAY(n, d, t) ARG(n, ARRAY, ABSENT, d, t, )
#define SCALAR(n, d, t) ARG(n, SCALAR, NONE, d, t, )
#define OPT_SCALAR(n, d, t) ARG(n, SCALAR, ABSENT, d, t, )
#define SCALAR_OR(n, d, t, v) ARG(n, SCALAR, NUMBER, d, t, .number = v)
#define FLAG(n) ARG(n, SCALAR, NONE, 0, B, )
#define FLAG_OR(n, v) ARG(n, SCALAR, NUMBER, 0, B, .number = v)
#define TEXT(n, c) ARG(n, SCALAR, NONE, 0, S, .choices = c)
#define TEXT_OR(n, c, v) ARG(n, SCALAR, TEXT, 0, S, .choices = c, .text = v)
#define LIST(n, d, t) ARG(n, LIST, NONE, d, t, )
#define OPT_LIST(n, d, t) ARG(n, LIST, ABSENT, d, t, )
#define LIST_OR(n, d, t, k) ARG(n, LIST, k, d, t, )
#define TUPLE(n) ARG(n, TUPLE, NONE, 0, 0, )
#define OTHER(n) ARG(n, OTHER, NONE, 0, 0, )

#define ARGS(...)                                                                                                      \
  .arg = (const mil_arg_info[]){__VA_ARGS__}, .n_args = sizeof((mil_arg_info[]){__VA_ARGS__}) / sizeof(mil_arg_info)
#define RUN(n, i, s, f, c, ...) {.name = n, .id = i, .since = s, .family = f, .check = c, ARGS(__VA_ARGS__)},
#define REST(n, s, f, ...) {.name = n, .since = s, .family = f, ARGS(__VA_ARGS__)},
#define WALL(n, s, w, h, ...) {.name = n, .since = s, .family = 2, .wall = WALL_##w, .hint = h, ARGS(__VA_ARGS__)},

const mil_op_info mil_op_table[] = {
#include "mil_ops.inc"
};

const int mil_op_count = sizeof mil_op_table / sizeof *mil_op_table;

/* strcmp of a string of given length (without NUL in it) and a C string. */
static int compare(const char *text, size_t length, const char *name) {
  int order = strncmp(text, name, length);
  return order ? order : name[length] ? -1 : 0;
}

const mil_op_info *mil_find_op(const char *name, size_t length) {
  int low = 0, high = mil_op_count;
  while (low < high) {
    int middle = (low + high) / 2, order = compare(name, length, mil_op_table[middle].name);
    if (!order) return &mil_op_table[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

const mil_arg_info *mil_find_arg(const mil_op_info *info, const char *name, size_t length) {
  for (int i = 0; i < info->n_args; i++)
    if (!compare(name, length, info->arg[i].name)) return &info->arg[i];
  return NULL;
}

/* -- Types --------------------------------------------------------------------------------------------------------- */

static const struct {
  const char *name;
  int bits;
} dtypes[] = {
    [MIL_FP16] = {"fp16", 16},     [MIL_FP32] = {"fp32", 32},   [MIL_BOOL] = {"bool", 8},
    [MIL_INT8] = {"int8", 8},      [MIL_UINT8] = {"uint8", 8},  [MIL_INT16] = {"int16", 16},
    [MIL_UINT16] = {"uint16", 16}, [MIL_INT32] = {"int32", 32}, [MIL_UINT32] = {"uint32", 32},
    [MIL_UINT64] = {"uint64", 64}, [MIL_UINT1] = {"uint1", 1},  [MIL_UINT4] = {"uint4", 4},
    [MIL_STRING] = {"string", 0},
};

int mil_dtype_bits(enum mil_dtype dtype) { return dtypes[dtype].bits; }
const char *mil_dtype_name(enum mil_dtype dtype) { return dtypes[dtype].name; }

int64_t mil_elements(const mil_type *type) {
  int64_t n = 1;
  for (int i = 0; i < type->rank; i++) n *= type->dim[i];
  return n;
}

size_t mil_bytes(const mil_type *type) {
  return ((size_t)mil_elements(type) * (size_t)dtypes[type->dtype].bits + 7) / 8;
}

const char *mil_type_text(const mil_type *type, char *buf, size_t size) {
  if (!type->rank) {
    snprintf(buf, size, "%s", mil_dtype_name(type->dtype));
    return buf;
  }
  size_t used = (size_t)snprintf(buf, size, "tensor<%s, [", mil_dtype_name(type->dtype));
  for (int i = 0; i < type->rank && used < size; i++)
    used += (size_t)snprintf(buf + used, size - used, i ? ", %lld" : "%lld", (long long)type->dim[i]);
  if (used < size) snprintf(buf + used, size - used, "]>");
  return buf;
}

/* -- Arguments ----------------------------------------------------------------------------------------------------- */

const char *mil_op_name(const mil_op *op) { return op->info->name; }
enum mil_op_id mil_op_id_of(const mil_op *op) { return (enum mil_op_id)op->info->id; }

mil_value *const *mil_get_tuple(const mil_op *op, const char *name, int *count) {
  for (int i = 0; i < op->n_args; i++)
    if (!strcmp(op->arg[i].name, name)) return *count = op->arg[i].count, op->arg[i].value;
  *count = 0;
  return NULL;
}

mil_value *mil_get(const mil_op *op, const char *name) {
  int count;
  mil_value *const *value = mil_get_tuple(op, name, &count);
  return value ? value[0] : NULL;
}

int64_t mil_const_int(const mil_value *value, int64_t i) {
  const char *at = (const char *)value->data + i * (dtypes[value->type.dtype].bits / 8);
  union {
    int8_t i8;
    uint8_t u8;
    int16_t i16;
    uint16_t u16;
    int32_t i32;
    uint32_t u32;
    uint64_t u64;
  } v = {0};
  memcpy(&v, at, (size_t)dtypes[value->type.dtype].bits / 8);
  switch (value->type.dtype) {
  case MIL_INT8: return v.i8;
  case MIL_BOOL:
  case MIL_UINT8: return v.u8;
  case MIL_INT16: return v.i16;
  case MIL_UINT16: return v.u16;
  case MIL_INT32: return v.i32;
  case MIL_UINT32: return v.u32;
  case MIL_UINT64: return (int64_t)v.u64;
  default: return 0;
  }
}

static double half_to_double(uint16_t h) {
  int exponent = h >> 10 & 31, mantissa = h & 1023;
  double magnitude = exponent == 31 ? (mantissa ? (double)NAN : (double)INFINITY)
                     : exponent     ? ldexp(mantissa + 1024, exponent - 25)
                                    : ldexp(mantissa, -24);
  return h & 0x8000 ? -magnitude : magnitude;
}

/* The table row of an argument that is absent: its default. */
static const mil_arg_info *absent(const mil_op *op, const char *name) {
  return mil_find_arg(op->info, name, strlen(name));
}

double mil_real(const mil_op *op, const char *name) {
  const mil_value *value = mil_get(op, name);
  if (!value) {
    const mil_arg_info *info = absent(op, name);
    return info ? info->number : 0;
  }
  if (value->type.dtype == MIL_FP16) {
    uint16_t half;
    memcpy(&half, value->data, 2);
    return half_to_double(half);
  }
  if (value->type.dtype == MIL_FP32) {
    float single;
    memcpy(&single, value->data, 4);
    return single;
  }
  return (double)mil_const_int(value, 0);
}

int64_t mil_int(const mil_op *op, const char *name) {
  const mil_value *value = mil_get(op, name);
  return value ? mil_const_int(value, 0) : (int64_t)mil_real(op, name);
}

bool mil_bool(const mil_op *op, const char *name) { return mil_int(op, name) != 0; }

const char *mil_string(const mil_op *op, const char *name) {
  const mil_value *value = mil_get(op, name);
  if (value) return value->data;
  const mil_arg_info *info = absent(op, name);
  return info ? info->text : NULL;
}

int mil_ints(const mil_op *op, const char *name, int64_t *out, int max) {
  const mil_value *value = mil_get(op, name), *x = mil_get(op, "x");
  int n = 0;
  if (value) {
    int64_t length = mil_elements(&value->type);
    for (; n < length && n < max; n++) out[n] = mil_const_int(value, n);
    return n;
  }
  const mil_arg_info *info = absent(op, name);
  if (!info || !x) return 0;
  int rank = x->type.rank, spatial = rank > 2 ? rank - 2 : 0;
  switch (info->default_kind) {
  case DEFAULT_ONES:
    for (; n < spatial && n < max; n++) out[n] = 1;
    return n;
  case DEFAULT_ZEROS:
    for (; n < 2 * spatial && n < max; n++) out[n] = 0;
    return n;
  case DEFAULT_ALL_AXES:
    for (; n < rank && n < max; n++) out[n] = n;
    return n;
  case DEFAULT_UNIT_AXES:
    for (int axis = 0; axis < rank && n < max; axis++)
      if (x->type.dim[axis] == 1) out[n++] = axis;
    return n;
  default: return 0;
  }
}
