/* mil_parse.c - tokens to a program. One pass: a statement is read, its names looked up, checked (mil_check.c), and
 * only then are its results defined. The grammar stands above each function.
 *
 *     program = "program" "(" "1.3" ")" attrs "{" func "}"
 */
#include <math.h>
#include <string.h>

#include "mil_internal.h"

#define MAX_ELEMENTS ((int64_t)1 << 40) /* of one type: sizes in bits stay far from overflow */
#define MAX_NESTING 16

/* -- Names --------------------------------------------------------------------------------------------------------- */

/* Open addressing, at most half full. */
struct mil_names {
  mil_value **slot;
  size_t slots, used;
};

static size_t hash(const char *text, size_t length) {
  uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
  for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
  return (size_t)(h ^ h >> 32);
}

/* The slot of a name: its value, or NULL where it would go. */
static mil_value **find_slot(const struct mil_names *names, const char *text, size_t length) {
  for (size_t i = hash(text, length);; i++) {
    mil_value **slot = &names->slot[i & (names->slots - 1)];
    if (!*slot || (!strncmp((*slot)->name, text, length) && !(*slot)->name[length])) return slot;
  }
}

static void grow_names(mil_reader *r) {
  struct mil_names old = *r->names;
  r->names->slots = old.slots ? old.slots * 2 : 256;
  r->names->slot = mil_alloc(r, r->names->slots, sizeof *r->names->slot);
  for (size_t i = 0; i < old.slots; i++)
    if (old.slot[i]) *find_slot(r->names, old.slot[i]->name, strlen(old.slot[i]->name)) = old.slot[i];
}

static bool is_type_name(const mil_token *t);

/* Makes value known under its name. */
static void define(mil_reader *r, mil_value *value) {
  if (r->names->used * 2 >= r->names->slots) grow_names(r);
  mil_value **slot = find_slot(r->names, value->name, strlen(value->name));
  mil_pos pos = {value->line, value->col};
  if (*slot) mil_fail(r, pos, "'%s' is already defined in line %d", value->name, (*slot)->line);
  *slot = value;
  r->names->used++;
}

static mil_value *look_up(mil_reader *r) {
  const mil_token *t = &r->token;
  mil_value *value = *find_slot(r->names, t->text, t->length);
  if (!value) mil_fail(r, t->pos, "'%.*s' is not defined before this line", (int)t->length, t->text);
  return value;
}

static mil_value *new_value(mil_reader *r, const char *name, mil_type type, mil_pos pos) {
  mil_value *value = mil_alloc(r, 1, sizeof *value);
  value->name = name;
  value->type = type;
  value->line = pos.line;
  value->col = pos.col;
  value->index = r->program->n_values++;
  return value;
}

/* A list of pointers that grows by doubling. */
typedef struct {
  void **item;
  int count, room;
} list;

static void push(mil_reader *r, list *l, void *item) {
  if (l->count == l->room) {
    int room = l->room ? l->room * 2 : 8;
    void **grown = mil_alloc(r, (size_t)room, sizeof *grown);
    if (l->count) memcpy(grown, l->item, (size_t)l->count * sizeof *grown);
    l->item = grown;
    l->room = room;
  }
  l->item[l->count++] = item;
}

/* An identifier that is to name a value, copied. */
static const char *new_name(mil_reader *r, const char *what) {
  char seen[80];
  if (r->token.kind != TK_IDENT)
    mil_fail(r, r->token.pos, "expected the name of %s before %s", what, mil_token_text(&r->token, seen, sizeof seen));
  if (is_type_name(&r->token))
    mil_fail(r, r->token.pos, "%s is a type and cannot name %s", mil_token_text(&r->token, seen, sizeof seen), what);
  const char *name = mil_copy_string(r, r->token.text, r->token.length);
  mil_next(r);
  return name;
}

/* -- Types --------------------------------------------------------------------------------------------------------- */

/* scalar = "fp16" | "fp32" | "bool" | "int8" | "uint8" | .. | "string" */
static bool scalar_of(const mil_token *t, enum mil_dtype *dtype) {
  for (int i = 0; i <= MIL_STRING; i++)
    if (mil_token_is(t, mil_dtype_name((enum mil_dtype)i))) return *dtype = (enum mil_dtype)i, true;
  return false;
}

static bool is_type_name(const mil_token *t) {
  enum mil_dtype ignored;
  return scalar_of(t, &ignored) || mil_token_is(t, "tensor") || mil_token_is(t, "dict") || mil_token_is(t, "state") ||
         mil_token_is(t, "list");
}

static enum mil_dtype parse_scalar(mil_reader *r) {
  enum mil_dtype dtype;
  char seen[80];
  if (!scalar_of(&r->token, &dtype))
    mil_fail(r, r->token.pos,
             "%s is not a type this engine knows (fp16, fp32, bool, int8, uint8, int16, uint16, int32, uint32, uint64, "
             "uint1, uint4, string)",
             mil_token_text(&r->token, seen, sizeof seen));
  mil_next(r);
  return dtype;
}

/* type = scalar | "tensor" "<" scalar "," "[" [ integer { "," integer } ] "]" ">" */
static mil_type parse_type(mil_reader *r) {
  mil_type type = {0};
  if (mil_peek(r, "state"))
    mil_fail(r, r->token.pos, "state is not supported: make it an input and an output that share one buffer");
  if (!mil_accept(r, "tensor")) {
    type.dtype = parse_scalar(r);
    return type;
  }
  mil_expect(r, "<");
  type.dtype = parse_scalar(r);
  mil_expect(r, ",");
  mil_pos pos = r->token.pos;
  mil_expect(r, "[");
  int64_t elements = 1;
  while (!mil_peek(r, "]")) {
    if (type.rank) mil_expect(r, ",");
    if (type.rank == MIL_MAX_DIMS)
      mil_fail(r, pos, "Rank of the shape parameter must be between 0 and %d", MIL_MAX_RANK);
    int64_t dim = mil_lex_int(r, 0, MAX_ELEMENTS);
    if (dim && elements > MAX_ELEMENTS / dim) mil_fail(r, pos, "the tensor has more than 2^40 elements");
    if (dim) elements *= dim; /* zeros are passed over, so that the product of any of the extents is in range */
    type.dim[type.rank++] = dim;
  }
  mil_next(r);
  mil_expect(r, ">");
  return type;
}

/* -- Literals ------------------------------------------------------------------------------------------------------ */

static const char *parse_string(mil_reader *r) {
  char seen[80];
  if (r->token.kind != TK_STRING)
    mil_fail(r, r->token.pos, "expected a string before %s", mil_token_text(&r->token, seen, sizeof seen));
  const char *text = mil_copy_string(r, r->token.text, r->token.length);
  mil_next(r);
  return text;
}

/* string "(" '"' .. '"' ")" */
static const char *parse_typed_string(mil_reader *r) {
  mil_expect(r, "string");
  mil_expect(r, "(");
  const char *text = parse_string(r);
  mil_expect(r, ")");
  return text;
}

/* double to IEEE half in one rounding, ties to even. Halves have 11 significant bits and a last place of at least
 * 2^-24; value * 2^-e below is exact, so the one rounding is nearbyint's. */
static uint16_t half_of(double value) {
  uint16_t sign = signbit(value) ? 0x8000 : 0;
  if (isnan(value)) return sign | 0x7e00;
  double a = fabs(value);
  if (a >= 65520) return sign | 0x7c00;
  if (a == 0) return sign;
  int e;
  frexp(a, &e); /* a = f * 2^e, 0.5 <= f < 1 */
  int last = e - 11 < -24 ? -24 : e - 11;
  int q = (int)nearbyint(ldexp(a, -last)); /* at most 2048 */
  /* last = -24: q counts the smallest subnormals, and the encoding is q itself (1024 is the first normal). */
  return (uint16_t)(sign | (uint16_t)(((last + 24) << 10) + q));
}

/* One literal of type dtype, stored at out. */
static void parse_element(mil_reader *r, enum mil_dtype dtype, void *out) {
  char seen[80];
  mil_pos pos = r->token.pos;
  switch (dtype) {
  case MIL_FP16: {
    uint16_t half = half_of(mil_lex_real(r));
    memcpy(out, &half, 2);
    return;
  }
  case MIL_FP32: {
    float single = (float)mil_lex_real(r);
    memcpy(out, &single, 4);
    return;
  }
  case MIL_BOOL:
    if (!mil_peek(r, "true") && !mil_peek(r, "false"))
      mil_fail(r, pos, "expected true or false before %s", mil_token_text(&r->token, seen, sizeof seen));
    *(uint8_t *)out = mil_peek(r, "true");
    mil_next(r);
    return;
  case MIL_INT8: *(int8_t *)out = (int8_t)mil_lex_int(r, INT8_MIN, INT8_MAX); return;
  case MIL_UINT8: *(uint8_t *)out = (uint8_t)mil_lex_int(r, 0, UINT8_MAX); return;
  case MIL_INT16: *(int16_t *)out = (int16_t)mil_lex_int(r, INT16_MIN, INT16_MAX); return;
  case MIL_UINT16: *(uint16_t *)out = (uint16_t)mil_lex_int(r, 0, UINT16_MAX); return;
  case MIL_INT32: *(int32_t *)out = (int32_t)mil_lex_int(r, INT32_MIN, INT32_MAX); return;
  case MIL_UINT32: *(uint32_t *)out = (uint32_t)mil_lex_int(r, 0, UINT32_MAX); return;
  case MIL_UINT64: *(uint64_t *)out = mil_lex_uint64(r); return;
  default:
    mil_fail(r, pos, "a %s cannot be written inline: refer to a weight file with BLOBFILE", mil_dtype_name(dtype));
  }
}

/* The elements of a tensor: lists nested like its dimensions. Recursion is bounded by the rank. */
static void parse_elements(mil_reader *r, const mil_type *type, int axis, char **out) {
  if (axis == type->rank) {
    parse_element(r, type->dtype, *out);
    *out += mil_dtype_bits(type->dtype) / 8;
    return;
  }
  mil_expect(r, "[");
  for (int64_t i = 0; i < type->dim[axis]; i++) {
    if (mil_peek(r, "]"))
      mil_fail(r, r->token.pos, "the list has %lld elements, its type %lld", (long long)i, (long long)type->dim[axis]);
    if (i) mil_expect(r, ",");
    parse_elements(r, type, axis + 1, out);
  }
  if (!mil_peek(r, "]"))
    mil_fail(r, r->token.pos, "the list has more elements than its type, %lld", (long long)type->dim[axis]);
  mil_next(r);
}

/* blobref = "BLOBFILE" "(" "path" "=" "string" "(" string ")" "," "offset" "=" "uint64" "(" integer ")" ")" */
static const void *parse_blob(mil_reader *r, const mil_type *type) {
  mil_pos pos = r->token.pos;
  mil_next(r);
  mil_expect(r, "(");
  mil_expect(r, "path");
  mil_expect(r, "=");
  const char *path = parse_typed_string(r);
  mil_expect(r, ",");
  mil_expect(r, "offset");
  mil_expect(r, "=");
  mil_expect(r, "uint64");
  mil_expect(r, "(");
  uint64_t offset = mil_lex_uint64(r);
  mil_expect(r, ")");
  mil_expect(r, ")");
  return mil_blob(r, pos, path, offset, type);
}

/* type "(" ( literal | blobref ) ")": an anonymous constant. */
static mil_value *parse_literal(mil_reader *r) {
  mil_pos pos = r->token.pos;
  mil_value *value = new_value(r, "", parse_type(r), pos);
  const mil_type *type = &value->type;
  value->is_const = true;
  value->bytes = mil_bytes(type);
  mil_expect(r, "(");
  pos = r->token.pos;
  if (mil_peek(r, "BLOBFILE")) {
    value->data = parse_blob(r, type);
  } else if (type->dtype == MIL_STRING) {
    if (type->rank) mil_fail(r, pos, "a tensor of strings is not supported");
    value->data = parse_string(r);
    value->bytes = strlen(value->data);
  } else {
    /* an element takes at least two characters: never allocate more than the text can fill */
    int64_t elements = mil_elements(type);
    if (elements > (r->end - r->at) / 2 + 1)
      mil_fail(r, pos, "the type has %lld elements, more than the text that is left", (long long)elements);
    char *data = mil_alloc(r, (size_t)(elements ? elements : 1), 8), *out = data;
    parse_elements(r, type, 0, &out);
    value->data = data;
  }
  mil_expect(r, ")");
  return value;
}

/* -- Program attributes: read and dropped -------------------------------------------------------------------------- */

/* "{" .. "}" of a dict, nested lists and plain literals; bounded depth. */
static void skip_literal(mil_reader *r, int depth) {
  char seen[80];
  if (depth == MAX_NESTING) mil_fail(r, r->token.pos, "literals are nested deeper than %d", MAX_NESTING);
  const char *close = mil_peek(r, "{") ? "}" : mil_peek(r, "[") ? "]" : NULL;
  if (close) {
    mil_next(r);
    for (bool first = true; !mil_peek(r, close); first = false) {
      if (!first) mil_expect(r, ",");
      skip_literal(r, depth + 1);
    }
  } else if (r->token.kind == TK_PUNCT || r->token.kind == TK_EOF) {
    mil_fail(r, r->token.pos, "expected a literal before %s", mil_token_text(&r->token, seen, sizeof seen));
  }
  mil_next(r);
}

/* type = .. | "dict" "<" type "," type ">" */
static void skip_type(mil_reader *r, int depth) {
  if (depth == MAX_NESTING) mil_fail(r, r->token.pos, "types are nested deeper than %d", MAX_NESTING);
  if (!mil_accept(r, "dict")) {
    parse_type(r);
    return;
  }
  mil_expect(r, "<");
  skip_type(r, depth + 1);
  mil_expect(r, ",");
  skip_type(r, depth + 1);
  mil_expect(r, ">");
}

/* attrs = "[" ident "=" type "(" literal ")" { "," .. } "]" */
static void skip_attrs(mil_reader *r) {
  char seen[80];
  mil_expect(r, "[");
  do {
    if (r->token.kind != TK_IDENT)
      mil_fail(r, r->token.pos, "expected an attribute before %s", mil_token_text(&r->token, seen, sizeof seen));
    mil_next(r);
    mil_expect(r, "=");
    skip_type(r, 0);
    mil_expect(r, "(");
    skip_literal(r, 0);
    mil_expect(r, ")");
  } while (mil_accept(r, ","));
  mil_expect(r, "]");
}

/* -- Statements ---------------------------------------------------------------------------------------------------- */

/* value = ident | "(" ident { "," ident } ")" | type "(" literal ")" */
static void parse_value(mil_reader *r, const mil_op *op, const mil_arg_info *info, mil_arg *arg) {
  char seen[80];
  list values = {0};
  mil_pos pos = r->token.pos;
  bool tuple = mil_accept(r, "(");
  if (tuple != (info->form == FORM_TUPLE))
    mil_fail(r, pos, tuple ? "%s: '%s' takes one value, not a tuple" : "%s: '%s' takes a tuple: (a, b)",
             mil_op_name(op), info->name);
  do {
    if (r->token.kind == TK_IDENT && is_type_name(&r->token)) {
      push(r, &values, parse_literal(r));
    } else if (mil_peek(r, "const") || mil_peek(r, "BLOBFILE")) {
      mil_fail(r, r->token.pos, "a value here is a name or a typed literal such as bool(true), not %s",
               mil_token_text(&r->token, seen, sizeof seen));
    } else if (r->token.kind == TK_IDENT) {
      push(r, &values, look_up(r));
      mil_next(r);
    } else {
      mil_fail(r, r->token.pos, "expected a value before %s", mil_token_text(&r->token, seen, sizeof seen));
    }
  } while (tuple && mil_accept(r, ","));
  if (tuple) mil_expect(r, ")");
  arg->value = (mil_value **)values.item;
  arg->count = values.count;
}

/* arg = ident "=" value, for an argument of the operation's table row that has not been given yet. */
static void parse_arg(mil_reader *r, mil_op *op) {
  char seen[80];
  mil_pos pos = r->token.pos;
  if (r->token.kind != TK_IDENT)
    mil_fail(r, pos, "expected an argument before %s", mil_token_text(&r->token, seen, sizeof seen));
  const mil_arg_info *info = mil_find_arg(op->info, r->token.text, r->token.length);
  if (!info) mil_fail(r, pos, "%s has no argument %s", mil_op_name(op), mil_token_text(&r->token, seen, sizeof seen));
  for (int i = 0; i < op->n_args; i++)
    if (op->arg[i].name == info->name) mil_fail(r, pos, "%s: '%s' is given twice", mil_op_name(op), info->name);
  mil_next(r);
  mil_expect(r, "=");
  mil_arg *arg = &op->arg[op->n_args];
  arg->name = info->name;
  r->arg_pos[op->n_args] = pos;
  parse_value(r, op, info, arg);
  op->n_args++;
}

/* attrs of a statement. "name" is the result's; constants also have their arguments here:
 *     fp16 k = const()[name = string("k"), val = fp16(0x1p+0)];
 *     T w = constexpr_affine_dequantize()[axis = .., name = string("w"), quantized_data = .., scale = .., ..]; */
static void parse_statement_attrs(mil_reader *r, mil_op *op) {
  char seen[80];
  enum mil_op_id id = mil_op_id_of(op);
  bool arguments = id == OP_CONST || mil_is_constexpr(id), named = false;
  mil_pos open = r->token.pos;
  mil_expect(r, "[");
  do {
    mil_pos pos = r->token.pos;
    if (mil_peek(r, "name")) {
      if (named) mil_fail(r, pos, "the name attribute is given twice");
      mil_next(r);
      mil_expect(r, "=");
      mil_pos at = r->token.pos;
      const char *name = parse_typed_string(r);
      if (op->n_results == 1 && strcmp(name, op->result[0]->name))
        mil_fail(r, at, "the name attribute is \"%s\" and the result is '%s'", name, op->result[0]->name);
      named = true;
    } else if (arguments) {
      if (id == OP_CONSTEXPR_BLOCKWISE)
        mil_fail(
            r, pos,
            "constexpr_blockwise_shift_scale takes its arguments in the call: written as attributes they crash the "
            "ANE's compiler");
      parse_arg(r, op);
    } else {
      mil_fail(r, pos, "unknown attribute %s: a statement has [name = string(..)]",
               mil_token_text(&r->token, seen, sizeof seen));
    }
  } while (mil_accept(r, ","));
  mil_expect(r, "]");
  if (!named) mil_fail(r, open, "the name attribute is missing: [name = string(\"%s\")]", op->result[0]->name);
}

/* type ident { "," type ident } "=" */
static void parse_results(mil_reader *r, mil_op *op) {
  list results = {0};
  do {
    mil_pos type_pos = r->token.pos;
    mil_type type = parse_type(r);
    mil_pos pos = r->token.pos;
    mil_value *value = new_value(r, new_name(r, "a result"), type, pos);
    if (type.dtype == MIL_STRING && type.rank) mil_fail(r, type_pos, "a tensor of strings is not supported");
    value->producer = op;
    push(r, &results, value);
  } while (mil_accept(r, ","));
  op->result = (mil_value **)results.item;
  op->n_results = results.count;
  r->statement = op->result[0]->name;
  mil_expect(r, "=");
}

/* The declared constant takes over the payload of its literal. */
static void finish_const(mil_reader *r, mil_op *op) {
  char declared[160], given[160];
  mil_value *result = op->result[0];
  if (op->n_results != 1) mil_fail(r, r->op_pos, "const has one result");
  if (!op->n_args) mil_fail(r, r->op_pos, "const: 'val' is missing");
  const mil_value *literal = op->arg[0].value[0];
  if (!literal->is_const || *literal->name) mil_fail(r, r->arg_pos[0], "const: 'val' must be a typed literal");
  mil_type_text(&result->type, declared, sizeof declared);
  mil_type_text(&literal->type, given, sizeof given);
  if (strcmp(declared, given))
    mil_fail(r, r->arg_pos[0], "'%s' is declared %s, but its value is %s", result->name, declared, given);
  result->is_const = true;
  result->data = literal->data;
  result->bytes = literal->bytes;
}

/* stmt = type ident { "," type ident } "=" ident "(" [ arg { "," arg } ] ")" attrs ";" */
static mil_op *parse_statement(mil_reader *r) {
  char seen[80];
  mil_op *op = mil_alloc(r, 1, sizeof *op);
  parse_results(r, op);
  if (r->token.kind != TK_IDENT)
    mil_fail(r, r->token.pos, "expected an operation before %s", mil_token_text(&r->token, seen, sizeof seen));
  r->op_pos = r->token.pos;
  op->line = r->op_pos.line;
  op->col = r->op_pos.col;
  op->info = mil_find_op(r->token.text, r->token.length);
  if (!op->info) mil_fail(r, r->op_pos, "MIL has no operation %s", mil_token_text(&r->token, seen, sizeof seen));
  mil_check_available(r, r->op_pos, op->info);
  mil_next(r);
  op->arg = mil_alloc(r, (size_t)op->info->n_args, sizeof *op->arg);
  r->arg_pos = mil_alloc(r, (size_t)op->info->n_args, sizeof *r->arg_pos);
  mil_expect(r, "(");
  if (!mil_peek(r, ")")) do
      parse_arg(r, op);
    while (mil_accept(r, ","));
  mil_expect(r, ")");
  parse_statement_attrs(r, op);
  mil_expect(r, ";");
  if (mil_op_id_of(op) == OP_CONST)
    finish_const(r, op);
  else
    mil_check_op(r, op);
  for (int i = 0; i < op->n_results; i++) define(r, op->result[i]);
  return op;
}

/* -- Function ------------------------------------------------------------------------------------------------------ */

/* "func" "main" "<" "ios15" .. "ios18" ">" "(" [ type ident { "," type ident } ] ")" */
static void parse_signature(mil_reader *r) {
  char seen[80];
  mil_expect(r, "func");
  if (!mil_peek(r, "main"))
    mil_fail(r, r->token.pos, "the one function of a program is 'main', not %s",
             mil_token_text(&r->token, seen, sizeof seen));
  mil_next(r);
  mil_expect(r, "<");
  static const char *const opsets[] = {"ios15", "ios16", "ios17", "ios18"};
  for (int i = 0; i < 4; i++)
    if (mil_peek(r, opsets[i])) r->opset = 15 + i;
  if (!r->opset)
    mil_fail(r, r->token.pos, "expected an opset, ios15 to ios18, before %s",
             mil_token_text(&r->token, seen, sizeof seen));
  mil_next(r);
  mil_expect(r, ">");
  mil_expect(r, "(");
  list params = {0};
  if (!mil_peek(r, ")")) do {
      mil_pos pos = r->token.pos;
      mil_type type = parse_type(r);
      mil_value *param = new_value(r, new_name(r, "an input"), type, pos);
      mil_check_param(r, param);
      define(r, param);
      push(r, &params, param);
    } while (mil_accept(r, ","));
  mil_expect(r, ")");
  r->program->param = (mil_value **)params.item;
  r->program->n_params = params.count;
}

/* "(" ident { "," ident } ")". Every output is computed by an operation, and named once. */
static void parse_outputs(mil_reader *r) {
  char seen[80];
  list outputs = {0};
  bool *listed = mil_alloc(r, (size_t)r->program->n_values + 1, sizeof *listed);
  mil_expect(r, "(");
  do {
    if (r->token.kind != TK_IDENT)
      mil_fail(r, r->token.pos, "expected the name of an output before %s",
               mil_token_text(&r->token, seen, sizeof seen));
    mil_value *value = look_up(r);
    if (listed[value->index]) mil_fail(r, r->token.pos, "output '%s' is listed twice", value->name);
    listed[value->index] = true;
    mil_check_output(r, r->token.pos, value);
    push(r, &outputs, value);
    mil_next(r);
  } while (mil_accept(r, ","));
  mil_expect(r, ")");
  r->program->output = (mil_value **)outputs.item;
  r->program->n_outputs = outputs.count;
}

/* func = "func" ident "<" ident ">" "(" [ params ] ")" "{" { stmt } "}" "->" "(" outputs ")" ";" */
static void parse_func(mil_reader *r) {
  parse_signature(r);
  mil_expect(r, "{");
  list ops = {0};
  while (!mil_peek(r, "}")) {
    if (mil_peek(r, "func") || r->token.kind == TK_EOF) mil_expect(r, "}");
    mil_op *op = parse_statement(r);
    if (mil_op_id_of(op) != OP_CONST) push(r, &ops, op);
  }
  mil_next(r);
  r->program->op = (mil_op **)ops.item;
  r->program->n_ops = ops.count;
  mil_expect(r, "->");
  parse_outputs(r);
  mil_expect(r, ";");
}

void mil_parse(mil_reader *r) {
  char seen[80];
  r->names = mil_alloc(r, 1, sizeof *r->names);
  grow_names(r);
  mil_next(r);
  mil_expect(r, "program");
  mil_expect(r, "(");
  if (r->token.length != 3 || memcmp(r->token.text, "1.3", 3))
    mil_fail(r, r->token.pos, "program version %s is not supported: expected 1.3",
             mil_token_text(&r->token, seen, sizeof seen));
  mil_next(r);
  mil_expect(r, ")");
  if (mil_peek(r, "[")) skip_attrs(r);
  mil_expect(r, "{");
  parse_func(r);
  if (mil_peek(r, "func")) mil_fail(r, r->token.pos, "a program has one function, 'main'");
  mil_expect(r, "}");
  if (r->token.kind != TK_EOF)
    mil_fail(r, r->token.pos, "expected the end of the text before %s", mil_token_text(&r->token, seen, sizeof seen));
}
