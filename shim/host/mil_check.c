/* mil_check.c - an operation's arguments against its row of the table, its result against the shape rule, and what the
 * ANE's compiler rejects although MIL allows it. */
#include <stdio.h>
#include <string.h>

#include "mil_internal.h"

/* Values that exist at run time. The ANE computes in fp16; int32 is for constants only, and so is fp32, but for a value that
 * is cast to fp32 and cast back: the parser takes that, no operation computes with it. */
#define RUNTIME_TYPES                                                                                                  \
  (1 << MIL_FP16 | 1 << MIL_BOOL | 1 << MIL_INT8 | 1 << MIL_UINT8 | 1 << MIL_INT16 | 1 << MIL_UINT16)
#define PORT_TYPES (RUNTIME_TYPES & ~(1 << MIL_BOOL))

static bool in(enum mil_dtype dtype, int mask) { return mask >> dtype & 1; }

/* "fp16, fp32" */
static const char *mask_text(int mask, char *buf, size_t size) {
  size_t used = 0;
  *buf = 0;
  for (int i = 0; i <= MIL_STRING && used < size; i++)
    if (mask >> i & 1)
      used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "", mil_dtype_name((enum mil_dtype)i));
  return buf;
}

static void check_extents(mil_reader *r, mil_pos pos, const char *what, const mil_type *type) {
  char text[160];
  mil_type_text(type, text, sizeof text);
  if (type->rank > MIL_MAX_RANK)
    mil_fail(r, pos, "Rank of the shape parameter must be between 0 and %d: %s is %s", MIL_MAX_RANK, what, text);
  for (int i = 0; i < type->rank; i++)
    if (type->dim[i] < 1 || type->dim[i] > MIL_MAX_EXTENT)
      mil_fail(r, pos, "%s is %s: every axis has 1 to %d elements", what, text, MIL_MAX_EXTENT);
}

/* -- Before the arguments ------------------------------------------------------------------------------------------ */

void mil_check_available(mil_reader *r, mil_pos pos, const mil_op_info *info) {
  char instead[120] = "";
  if (info->hint) snprintf(instead, sizeof instead, "; use %s", info->hint);
  if (info->wall == WALL_NOT_IMPLEMENTED)
    mil_fail(r, pos, "Not implemented: %s is not supported on any backend%s", info->name, instead);
  if (info->wall == WALL_COMPILE)
    mil_fail(r, pos, "ANECCompile() FAILED: %s does not compile for the ANE%s", info->name, instead);
  if (r->family < info->family)
    mil_fail(r, pos,
             "Not implemented: %s is not supported on any backend of this target (capability family %d, needs %d)%s",
             info->name, r->family, info->family, info->id == OP_SIN || info->id == OP_COS ? "; use a polynomial" : "");
  if (info->id == OP_NONE) mil_fail(r, pos, "the host engine has no kernel for %s", info->name);
  if (r->opset < info->since)
    mil_fail(r, pos, "%s needs opset ios%d, the function has ios%d", info->name, info->since, r->opset);
}

/* -- Arguments ----------------------------------------------------------------------------------------------------- */

mil_pos mil_arg_pos(const mil_reader *r, const mil_op *op, const char *name) {
  for (int i = 0; i < op->n_args; i++)
    if (!strcmp(op->arg[i].name, name)) return r->arg_pos[i];
  return r->op_pos;
}

/* Is text one of "A|B|C"? */
static bool is_choice(const char *choices, const char *text) {
  size_t length = strlen(text);
  for (const char *at = choices; at; at = strchr(at, '|'), at = at ? at + 1 : NULL)
    if (!strncmp(at, text, length) && (!at[length] || at[length] == '|') && length) return true;
  return false;
}

/* One value for one argument: constant where it must be, of the right rank and dtype. */
static void check_value(mil_reader *r, const mil_op *op, const mil_arg_info *info, const mil_value *value,
                        mil_pos pos) {
  char text[160], types[160];
  const char *name = mil_op_name(op), *arg = info->name;
  bool decoded = mil_is_constexpr(mil_source(value)), weights = mil_is_constexpr(mil_op_id_of(op));
  mil_type_text(&value->type, text, sizeof text);
  bool constant = info->form == FORM_SCALAR || info->form == FORM_LIST || info->form == FORM_ARRAY;
  if (constant && !value->is_const)
    mil_fail(r, pos, "%s: '%s' must be a constant, '%s' is computed", name, arg, value->name);
  if (info->form == FORM_WEIGHT && !value->is_const && !decoded)
    mil_fail(r, pos, "%s: '%s' must be a constant or a constexpr result, '%s' is neither", name, arg, value->name);
  if (info->form == FORM_SCALAR && value->type.rank)
    mil_fail(r, pos, "%s: '%s' must be a scalar, it is %s", name, arg, text);
  if (info->form == FORM_LIST && value->type.rank != 1)
    mil_fail(r, pos, "%s: '%s' must be a list, it is %s", name, arg, text);
  if (info->types && !in(value->type.dtype, info->types))
    mil_fail(r, pos, "%s: '%s' is %s, accepted are: %s", name, arg, text, mask_text(info->types, types, sizeof types));
  bool data = info->form == FORM_DATA || info->form == FORM_TUPLE || info->form == FORM_WEIGHT;
  bool cast = mil_op_id_of(op) == OP_CAST && value->type.dtype == MIL_FP32 && !value->is_const;
  if ((data || (info->form == FORM_ARRAY && value->type.dtype == MIL_FP32)) && !weights && !cast &&
      !in(value->type.dtype, RUNTIME_TYPES))
    mil_fail(r, pos, "%s: '%s' is %s: the ANE computes in fp16", name, arg, text);
  if (data) check_extents(r, pos, arg, &value->type);
  if (info->choices && !is_choice(info->choices, value->data))
    mil_fail(r, pos, "%s: '%s' is \"%.40s\", accepted are: %s", name, arg, (const char *)value->data, info->choices);
}

/* Arguments of one domain have one dtype. */
static void check_domains(mil_reader *r, const mil_op *op) {
  char one[160], other[160];
  for (int i = 0; i < op->n_args; i++) {
    const mil_arg_info *a = mil_find_arg(op->info, op->arg[i].name, strlen(op->arg[i].name));
    for (int k = 0; k < i && a->domain; k++) {
      const mil_arg_info *b = mil_find_arg(op->info, op->arg[k].name, strlen(op->arg[k].name));
      const mil_type *x = &op->arg[i].value[0]->type, *y = &op->arg[k].value[0]->type;
      if (a->domain == b->domain && x->dtype != y->dtype)
        mil_fail(r, r->arg_pos[i], "%s: '%s' is %s and '%s' is %s: they must have the same dtype", mil_op_name(op),
                 b->name, mil_type_text(y, one, sizeof one), a->name, mil_type_text(x, other, sizeof other));
    }
  }
}

static void check_args(mil_reader *r, const mil_op *op) {
  int count;
  for (int i = 0; i < op->info->n_args; i++) {
    const mil_arg_info *info = &op->info->arg[i];
    mil_value *const *value = mil_get_tuple(op, info->name, &count);
    if (!value && info->default_kind == DEFAULT_NONE)
      mil_fail(r, r->op_pos, "%s: the argument '%s' is missing%s%s%s", mil_op_name(op), info->name,
               info->choices ? " (" : "", info->choices ? info->choices : "", info->choices ? ")" : "");
    for (int k = 0; k < count; k++) check_value(r, op, info, value[k], mil_arg_pos(r, op, info->name));
  }
  check_domains(r, op);
}

/* -- What the compiler rejects ------------------------------------------------------------------------------------- */

/* Where the result of a constexpr operation may go. */
static void check_constexpr_use(mil_reader *r, const mil_op *op, const mil_value *value, mil_pos pos) {
  enum mil_op_id id = mil_op_id_of(op), source = mil_source(value);
  if (!mil_is_constexpr(source)) return;
  if (id == OP_RESHAPE)
    mil_fail(r, pos, "Not implemented: reshape of '%s', the result of %s; store the weight in its final shape",
             value->name, mil_op_name(value->producer));
  if (source == OP_CONSTEXPR_BLOCKWISE && !mil_is_elementwise(id))
    mil_fail(r, pos,
             "Not implemented: '%s', the result of constexpr_blockwise_shift_scale, as an operand of %s; it may feed "
             "elementwise "
             "operations only, such as an add of zero",
             value->name, mil_op_name(op));
}

/* The nonlinear functions of one value: the look-up-table units. */
static bool is_nonlinear(enum mil_op_id id) {
  return id >= OP_RELU && id <= OP_PRELU && id != OP_ABS && id != OP_SQUARE && id != OP_LOGICAL_NOT &&
         id != OP_LINEAR_ACTIVATION && id != OP_CLIP;
}

static void check_operand(mil_reader *r, const mil_op *op, const mil_value *value, mil_pos pos) {
  enum mil_op_id id = mil_op_id_of(op);
  const mil_type *type = &value->type;
  if (type->dtype == MIL_BOOL && !value->is_const && id != OP_SELECT && id != OP_LOGICAL_NOT && id != OP_CAST)
    mil_fail(r, pos, "%s: '%s' is bool: comparisons feed select, logical_not and cast only", mil_op_name(op),
             value->name);
  check_constexpr_use(r, op, value, pos);
  if (mil_source(value) == OP_SQUARE && is_nonlinear(id) && type->rank && type->dim[type->rank - 1] % 128 > 64)
    mil_fail(r, pos,
             "ANECCompile() FAILED: square followed by %s with a width of %lld (width mod 128 > 64); write mul(x, x)",
             mil_op_name(op), (long long)type->dim[type->rank - 1]);
}

static bool same_type(const mil_type *a, const mil_type *b) {
  if (a->dtype != b->dtype || a->rank != b->rank) return false;
  for (int i = 0; i < a->rank; i++)
    if (a->dim[i] != b->dim[i]) return false;
  return true;
}

/* Declared against computed. */
static void check_result(mil_reader *r, const mil_op *op, const mil_value *result, const mil_type *type) {
  char declared[160], computed[160];
  mil_pos pos = {result->line, result->col};
  check_extents(r, pos, result->name, type);
  mil_type_text(&result->type, declared, sizeof declared);
  mil_type_text(type, computed, sizeof computed);
  if (!same_type(&result->type, type))
    mil_fail(r, pos, "'%s' is declared %s, but %s gives %s", result->name, declared, mil_op_name(op), computed);
  if (!in(type->dtype, RUNTIME_TYPES) && !(type->dtype == MIL_FP32 && mil_op_id_of(op) == OP_CAST))
    mil_fail(r, pos, "'%s' is %s: the ANE computes in fp16, %s is for constants", result->name, declared,
             mil_dtype_name(type->dtype));
}

void mil_check_op(mil_reader *r, const mil_op *op) {
  if (op->n_results != 1 && mil_op_id_of(op) != OP_SPLIT)
    mil_fail(r, r->op_pos, "%s has one result, not %d", mil_op_name(op), op->n_results);
  check_args(r, op);
  for (int i = 0; i < op->n_args; i++)
    for (int k = 0; k < op->arg[i].count; k++) check_operand(r, op, op->arg[i].value[k], r->arg_pos[i]);
  mil_type *computed = mil_alloc(r, (size_t)op->n_results, sizeof *computed);
  op->info->check(r, op, computed);
  for (int i = 0; i < op->n_results; i++) check_result(r, op, op->result[i], &computed[i]);
}

/* -- Ports --------------------------------------------------------------------------------------------------------- */

static void check_port(mil_reader *r, mil_pos pos, const mil_value *value, const char *what) {
  char text[160], types[160];
  if (!in(value->type.dtype, PORT_TYPES))
    mil_fail(r, pos, "%s '%s' is %s: a port is one of %s", what, value->name,
             mil_type_text(&value->type, text, sizeof text), mask_text(PORT_TYPES, types, sizeof types));
}

void mil_check_param(mil_reader *r, const mil_value *param) {
  mil_pos pos = {param->line, param->col};
  check_port(r, pos, param, "input");
  check_extents(r, pos, param->name, &param->type);
}

void mil_check_output(mil_reader *r, mil_pos pos, const mil_value *output) {
  if (!output->producer)
    mil_fail(r, pos,
             "unordered_map::at: key not found: output '%s' is an input, nothing computes it; multiply it by 1.0",
             output->name);
  if (output->is_const || mil_is_constexpr(mil_source(output)))
    mil_fail(r, pos, "unordered_map::at: key not found: output '%s' is a constant, nothing computes it", output->name);
  check_port(r, pos, output, "output");
}
