/* engine_random_test.c - random graphs: planned with and without fusion, on one and three threads, with outputs in the memory
 * of inputs, against an interpreter that evaluates one operation after the other with the scalar rules. */
#include "kernels.h"
#include "mil_program.h"
#include "plan.h"
#include "test.h"

enum { MAX_VALUES = 80, MAX_ELEMENTS = 1 << 16 };

static uint64_t state;

static uint32_t random_bits(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)(state >> 16);
}
static int below(int n) { return (int)(random_bits() % (uint32_t)n); }

/* -- Graph: values in order, each computed by the interpreter as soon as it is made ------------------------------------------- */

enum made { INPUT, CONSTANT, EW, PRODUCT, OTHER };

typedef struct {
  enum made made;
  int code;              /* EW: enum ew_code */
  int in[3], n_in;
  int rank;
  int64_t dim[K_RANK];
  bool boolean, constant;
  bool hidden;           /* no later operation reads it */
  bool shown;            /* is a program output */
  f16 *data;             /* bool values: 0 or 1 as fp16 */
  gemm_args gemm;        /* PRODUCT */
  conv_args conv;
  bool is_conv;
} value;

static value graph[MAX_VALUES];
static int n_values;
static mil_text text;
static const num_profile profile = {NUM_ANE, 5, false};

static int64_t count(const value *v) {
  int64_t n = 1;
  for (int i = 0; i < v->rank; i++) n *= v->dim[i];
  return n;
}

static void type_of(const value *v, char *out) {
  out += sprintf(out, "tensor<%s, [", v->boolean ? "bool" : "fp16");
  for (int i = 0; i < v->rank; i++) out += sprintf(out, "%s%lld", i ? ", " : "", (long long)v->dim[i]);
  sprintf(out, "]>");
}

static value *add_value(enum made made, int rank, const int64_t *dim) {
  value *v = &graph[n_values++];
  *v = (value){.made = made, .rank = rank};
  for (int i = 0; i < rank; i++) v->dim[i] = dim[i];
  v->data = calloc((size_t)count(v) + 1, sizeof *v->data);
  return v;
}

static f16 random_f16(int style) {
  if (style == 0) return (f16)random_bits();                                   /* anything, NaN and infinities too */
  if (style == 1) return f16_from_float((float)(below(17) - 8));               /* small integers */
  return f16_from_float((float)(below(4001) - 2000) / 1000.0f);
}

static void fill(value *v) {
  int style = below(8) == 0 ? 0 : 1 + below(2);
  for (int64_t i = 0; i < count(v); i++) v->data[i] = random_f16(style);
}

static void name_of(int v, char *out) { sprintf(out, "v%d", v); }

static int add_input(int rank, const int64_t *dim) {
  value *v = add_value(INPUT, rank, dim);
  char type[96], name[16];
  fill(v);
  type_of(v, type);
  name_of(n_values - 1, name);
  mil_input(&text, type, name);
  return n_values - 1;
}

static int add_constant(int rank, const int64_t *dim) {
  value *v = add_value(CONSTANT, rank, dim);
  char type[96], name[16];
  fill(v);
  v->constant = true;
  type_of(v, type);
  name_of(n_values - 1, name);
  mil_weight(&text, name, type, 1, v->data, (size_t)count(v) * 2);
  return n_values - 1;
}

/* -- Interpreter ------------------------------------------------------------------------------------------------------------ */

static f16 at(const value *v, const value *over, int64_t flat) {
  int64_t index = 0, step = 1;
  for (int i = over->rank - 1, a = v->rank - 1; a >= 0; i--, a--) {
    int64_t k = flat % over->dim[i];
    flat /= over->dim[i];
    if (v->dim[a] != 1) index += k * step;
    step *= v->dim[a];
  }
  return v->data[index];
}

static const unary_fn *unary_of(int op) { return unary_get((enum mil_op_id)op, 0, 0, "EXACT", profile); }

static f16 ew_one(int code, const unary_fn *fn, f16 a, f16 b, f16 c) {
  float x = f16_to_float(a), y = f16_to_float(b);
  enum { ONE = 0x3c00 };
  switch (code) {
    case EW_ADD: return ane_add(a, b);
    case EW_SUB: return ane_sub(a, b);
    case EW_MUL: return ane_mul(a, b);
    case EW_DIV: return ane_div(a, b);
    case EW_GT: return x > y ? ONE : 0;
    case EW_GE: return x >= y ? ONE : 0;
    case EW_LT: return x < y ? ONE : 0;
    case EW_LE: return x <= y ? ONE : 0;
    case EW_EQ: return x == y ? ONE : 0;
    case EW_NE: return x != y ? ONE : 0;
    case EW_NOT: return x == 0 ? ONE : 0;
    case EW_SELECT: return x != 0 ? b : c;
    default: return unary_apply(fn, a);
  }
}

/* maximum, minimum and the passage of special values are the kernels' business: one operation at a time through their twin. */
static void ew_value(value *v, const unary_fn *fn) {
  bool twin = v->code == EW_MAX || v->code == EW_MIN || v->code == EW_SELECT || (v->code >= EW_GT && v->code <= EW_NE);
  for (int64_t i = 0; i < count(v); i++) {
    f16 x[3] = {0, 0, 0};
    for (int j = 0; j < v->n_in; j++) x[j] = at(&graph[v->in[j]], v, i);
    if (!twin) {
      v->data[i] = ew_one(v->code, fn, x[0], x[1], x[2]);
      continue;
    }
    ew_instr instr = {.code = (uint8_t)v->code, .dst = 3, .a = 0, .b = 1, .c = 2};
    ew_program p = {.profile = profile, .rank = 1, .dim = {1}, .n_in = 3, .n_out = 1, .n_instr = 1, .instr = &instr};
    ew_args a = {.program = &p, .in = {&x[0], &x[1], &x[2]}, .out = {&v->data[i]}};
    for (int j = 0; j < 3; j++) p.in[j] = (ew_port){.dtype = MIL_FP16, .reg = (uint8_t)j};
    p.out[0] = (ew_port){.dtype = MIL_FP16, .reg = 3};
    ew_run_ref(&a, 0, 1, NULL);
  }
}

static void product_value(value *v, int bias) {
  const value *x = &graph[v->in[0]], *w = &graph[v->in[1]];
  const f16 *b = bias >= 0 ? graph[bias].data : NULL;
  if (v->is_conv) {
    conv_args c = v->conv;
    c.x = x->data, c.weight = w->data, c.bias = b, c.y = v->data, c.has_bias = b != NULL;
    void *scratch = aligned_alloc(64, (conv_scratch(&c) + 127) & ~(size_t)63);
    conv_run_ref(&c, 0, conv_units(&c), scratch);
    free(scratch);
    return;
  }
  const gemm_args *g = &v->gemm;
  for (int64_t i = 0; i < count(v); i++) {
    int64_t n = i % g->n, m = i / g->n % g->m, rest = i / g->n / g->m, xo = 0, wo = 0;
    for (int d = g->batch_rank - 1; d >= 0; d--) {
      xo += rest % g->batch_dim[d] * g->x_batch[d];
      wo += rest % g->batch_dim[d] * g->w_batch[d];
      rest /= g->batch_dim[d];
    }
    v->data[i] = mac_dot(x->data + xo + m * g->x_row, g->x_col, w->data + wo + n * g->w_col, g->w_row, g->k, b ? b[n] : 0);
  }
}

/* -- Operations ---------------------------------------------------------------------------------------------------------------- */

static bool compatible(const value *a, const value *b, int64_t *dim, int *rank) {
  *rank = a->rank > b->rank ? a->rank : b->rank;
  int64_t n = 1;
  for (int i = 0; i < *rank; i++) {
    int ia = i - (*rank - a->rank), ib = i - (*rank - b->rank);
    int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];
    if (da != db && da != 1 && db != 1) return false;
    dim[i] = da > db ? da : db;
    n *= dim[i];
  }
  return n <= MAX_ELEMENTS;
}

static int pick(bool boolean) {
  for (int tries = 0; tries < 40; tries++) {
    int v = below(3) ? n_values - 1 - below(n_values < 6 ? n_values : 6) : below(n_values);
    if (graph[v].boolean == boolean && !graph[v].hidden) return v;
  }
  return 0; /* the first value is an fp16 input */
}

/* A value that broadcasts with a, or a new constant that does. */
static int partner(int a) {
  int64_t dim[K_RANK];
  int rank;
  for (int tries = 0; tries < 10; tries++) {
    int b = pick(false);
    if (compatible(&graph[a], &graph[b], dim, &rank)) return b;
  }
  value v = graph[a];
  for (int i = 0; i < v.rank; i++)
    if (below(2)) v.dim[i] = 1;
  return below(2) ? add_constant(v.rank, v.dim) : below(2) ? add_input(v.rank, v.dim) : add_constant(0, NULL);
}

static value *emit_ew(int code, int n_in, const int *in, const unary_fn *fn, const char *op) {
  static const char *const arg[] = {"x", "y"}, *const select[] = {"cond", "a", "b"};
  value shape = graph[in[0]];
  for (int i = 1; i < n_in; i++) {
    int64_t dim[K_RANK];
    int rank;
    if (!compatible(&shape, &graph[in[i]], dim, &rank)) return NULL;
    shape.rank = rank;
    memcpy(shape.dim, dim, sizeof dim);
  }
  value *v = add_value(EW, shape.rank, shape.dim);
  v->code = code;
  v->n_in = n_in;
  v->boolean = code >= EW_GT && code <= EW_NOT;
  v->constant = true;
  for (int i = 0; i < n_in; i++) {
    v->in[i] = in[i];
    v->constant &= graph[in[i]].constant;
  }
  if (code == EW_SUB && in[0] == in[1]) v->constant = true;
  ew_value(v, fn);
  char type[96], call[128], name[16], *c = call;
  type_of(v, type);
  name_of(n_values - 1, name);
  c += sprintf(c, "%s(", op);
  for (int i = 0; i < n_in; i++) c += sprintf(c, "%s%s = v%d", i ? ", " : "", code == EW_SELECT ? select[i] : arg[i], in[i]);
  mil_op_line(&text, type, name, "%s)", call);
  return v;
}

static void op_elementwise(void) {
  static const struct { int code; const char *name; } binary[] = {
      {EW_ADD, "add"}, {EW_SUB, "sub"}, {EW_MUL, "mul"}, {EW_MAX, "maximum"}, {EW_MIN, "minimum"}, {EW_DIV, "real_div"},
      {EW_GT, "greater"}, {EW_GE, "greater_equal"}, {EW_LT, "less"}, {EW_LE, "less_equal"}, {EW_EQ, "equal"}, {EW_NE, "not_equal"}};
  static const struct { int op; const char *name; } unary[] = {
      {OP_RELU, "relu"}, {OP_ABS, "abs"}, {OP_TANH, "tanh"}, {OP_SIGMOID, "sigmoid"}, {OP_SIGN, "sign"}, {OP_FLOOR, "floor"}};
  int kind = below(8), in[3] = {pick(false)};
  if (kind < 2) {
    int k = below(6);
    const unary_fn *fn = unary_of(unary[k].op);
    emit_ew(EW_UNARY, 1, in, fn, unary[k].name);
  } else if (kind == 7) {
    int cond = pick(true);
    if (!graph[cond].boolean) return;
    in[0] = cond;
    in[1] = pick(false);
    in[2] = pick(false);
    int64_t dim[K_RANK];
    int rank;
    if (below(4) == 0) emit_ew(EW_NOT, 1, in, NULL, "logical_not");
    else if (compatible(&graph[in[1]], &graph[in[2]], dim, &rank)) emit_ew(EW_SELECT, 3, in, NULL, "select");
  } else {
    int k = below(12);
    in[1] = k == 1 && below(3) == 0 ? in[0] : partner(in[0]);
    emit_ew(binary[k].code, 2, in, NULL, binary[k].name);
  }
}

static value *emit_other(enum made made, const value *shape, const int *in, int n_in, const char *call) {
  value *v = add_value(made, shape->rank, shape->dim);
  v->boolean = shape->boolean;
  v->n_in = n_in < 3 ? n_in : 3;
  v->constant = true;
  for (int i = 0; i < n_in; i++) {
    if (i < 3) v->in[i] = in[i];
    v->constant &= graph[in[i]].constant;
  }
  char type[96], name[16];
  type_of(v, type);
  name_of(n_values - 1, name);
  mil_op_line(&text, type, name, "%s", call);
  return v;
}

static char *write_list(char *c, const int64_t *list, int n) {
  c += sprintf(c, "tensor<int32, [%d]>([", n);
  for (int i = 0; i < n; i++) c += sprintf(c, "%s%lld", i ? ", " : "", (long long)list[i]);
  return c + sprintf(c, "])");
}

/* transpose, reverse, slice_by_size, tile: y[i] = x[map(i)] per axis. */
static void op_move(void) {
  int x = pick(false);
  value a = graph[x], shape = a;
  if (!a.rank) return;
  int64_t begin[K_RANK] = {0}, list[K_RANK], perm[K_RANK];
  bool flip[K_RANK] = {false};
  char call[256], *c = call;
  for (int i = 0; i < a.rank; i++) perm[i] = i;
  int kind = below(4), n = 0;
  if (kind == 0) {
    for (int i = a.rank - 1; i > 0; i--) {
      int j = below(i + 1);
      int64_t t = perm[i];
      perm[i] = perm[j];
      perm[j] = t;
    }
    for (int i = 0; i < a.rank; i++) shape.dim[i] = a.dim[perm[i]];
    c = write_list(c + sprintf(c, "transpose(perm = "), perm, a.rank);
  } else if (kind == 1) {
    for (int i = 0; i < a.rank; i++)
      if ((flip[i] = below(2))) list[n++] = i;
    if (!n) flip[list[n++] = 0] = true;
    c = write_list(c + sprintf(c, "reverse(axes = "), list, n);
  } else if (kind == 2) {
    for (int i = 0; i < a.rank; i++) {
      if (below(2) || a.dim[i] == 1) continue;
      begin[i] = below((int)a.dim[i]);
      shape.dim[i] = 1 + below((int)(a.dim[i] - begin[i]));
    }
    c = write_list(c + sprintf(c, "slice_by_size(begin = "), begin, a.rank);
    c = write_list(c + sprintf(c, ", size = "), shape.dim, a.rank);
  } else {
    for (int i = 0; i < a.rank; i++) shape.dim[i] *= list[i] = below(3) ? 1 : 2;
    if (count(&shape) > MAX_ELEMENTS) return;
    c = write_list(c + sprintf(c, "tile(reps = "), list, a.rank);
  }
  sprintf(c, ", x = v%d)", x);
  value *y = emit_other(OTHER, &shape, &x, 1, call);
  int64_t stride[K_RANK], step = 1;
  for (int i = a.rank - 1; i >= 0; i--) {
    stride[i] = step;
    step *= a.dim[i];
  }
  for (int64_t f = 0; f < count(y); f++) {
    int64_t rest = f, from = 0;
    for (int i = a.rank - 1; i >= 0; i--) {
      int64_t k = rest % y->dim[i];
      rest /= y->dim[i];
      if (kind == 0) from += k * stride[perm[i]];
      else from += (flip[i] ? a.dim[i] - 1 - k : (k + begin[i]) % a.dim[i]) * stride[i];
    }
    y->data[f] = a.data[from];
  }
}

/* pad, crop, slice_by_index, pixel_shuffle: y[i] is an element of x, or the border's value. */
static void op_border(void) {
  static const char *const modes[] = {"constant", "reflect", "replicate"};
  int x = pick(false), kind = below(4), mode = below(3);
  value a = graph[x], shape = a;
  if (a.rank < 2 || (kind == 1 && a.rank < 3) || (kind == 3 && (a.rank != 4 || a.dim[1] % 4))) return;
  int64_t front[K_RANK] = {0}, behind[K_RANK] = {0}, step[K_RANK], list[2 * K_RANK];
  for (int i = 0; i < a.rank; i++) step[i] = 1;
  for (int i = a.rank - 2; i < a.rank && kind < 3; i++) {
    int64_t most = kind == 0 ? (mode == 1 ? a.dim[i] - 1 : 2) : (a.dim[i] - 1) / 2;
    front[i] = below((int)(most < 2 ? most : 2) + 1);
    behind[i] = below((int)(most < 2 ? most : 2) + 1);
    shape.dim[i] += (kind ? -1 : 1) * (front[i] + behind[i]);
    if (kind == 2 && below(2)) step[i] = 2, shape.dim[i] = (shape.dim[i] + 1) / 2;
  }
  if (kind == 3) shape.dim[1] /= 4, shape.dim[2] *= 2, shape.dim[3] *= 2;
  if (count(&shape) > MAX_ELEMENTS) return;
  char call[400], *c = call;
  for (int i = 0; i < 2; i++) list[2 * i] = front[a.rank - 2 + i], list[2 * i + 1] = behind[a.rank - 2 + i];
  if (kind == 0) {
    c = write_list(c + sprintf(c, "pad(constant_val = fp16(-1.5), mode = string(\"%s\"), pad = ", modes[mode]), list, 4);
  } else if (kind == 1) {
    c = write_list(c + sprintf(c, "crop(crop_height = "), list, 2);
    c = write_list(c + sprintf(c, ", crop_width = "), list + 2, 2);
  } else if (kind == 2) {
    int64_t end[K_RANK];
    for (int i = 0; i < a.rank; i++) end[i] = a.dim[i] - behind[i];
    c = write_list(c + sprintf(c, "slice_by_index(begin = "), front, a.rank);
    c = write_list(c + sprintf(c, ", end = "), end, a.rank);
    c = write_list(c + sprintf(c, ", stride = "), step, a.rank);
  } else {
    c += sprintf(c, "pixel_shuffle(upscale_factor = int32(2)");
  }
  sprintf(c, ", x = v%d)", x);
  value *y = emit_other(OTHER, &shape, &x, 1, call);
  for (int64_t f = 0; f < count(y); f++) {
    int64_t rest = f, index[K_RANK], from = 0;
    bool outside = false;
    for (int i = a.rank - 1; i >= 0; i--) {
      index[i] = rest % y->dim[i] * step[i] + (kind ? front[i] : -front[i]);
      rest /= y->dim[i];
    }
    if (kind == 3) {
      index[1] = index[1] * 4 + index[2] % 2 * 2 + index[3] % 2;
      index[2] /= 2;
      index[3] /= 2;
    }
    for (int i = 0; i < a.rank; i++) {
      int64_t k = index[i], last = a.dim[i] - 1;
      outside |= k < 0 || k > last;
      if (k < 0) k = mode == 1 ? -k : 0;
      if (k > last) k = mode == 1 ? 2 * last - k : last;
      from = from * a.dim[i] + k;
    }
    y->data[f] = outside && mode == 0 ? f16_from_float(-1.5f) : a.data[from];
  }
}

/* local_response_norm, resize_bilinear, through the twins. */
static void op_image(void) {
  int x = pick(false);
  value a = graph[x], shape = a;
  if (a.rank != 4) return;
  char call[256];
  void *scratch;
  if (below(2)) {
    sprintf(call, "local_response_norm(alpha = fp16(0.5), beta = fp16(0.75), k = fp16(1), size = int32(3), x = v%d)", x);
    value *y = emit_other(OTHER, &shape, &x, 1, call);
    lrn_args l = {.profile = profile, .outer = a.dim[0], .channels = a.dim[1], .inner = a.dim[2] * a.dim[3], .size = 3,
                  .scale = 0.5 / 3, .beta = 0.75, .k = 1, .x = a.data, .y = y->data};
    scratch = aligned_alloc(64, (lrn_scratch(&l) + 127) & ~(size_t)63);
    lrn_run_ref(&l, 0, lrn_units(&l), scratch);
  } else {
    resample_tap taps[64];
    shape.dim[2] = 1 + below(20);
    shape.dim[3] = 1 + below(20);
    if (count(&shape) > MAX_ELEMENTS) return;
    sprintf(call, "resize_bilinear(target_size_height = int32(%lld), target_size_width = int32(%lld), x = v%d)",
            (long long)shape.dim[2], (long long)shape.dim[3], x);
    value *y = emit_other(OTHER, &shape, &x, 1, call);
    resample_taps(GRID_ORIGINS, a.dim[2], shape.dim[2], NUM_ANE, taps);
    resample_taps(GRID_ORIGINS, a.dim[3], shape.dim[3], NUM_ANE, taps + shape.dim[2]);
    resample_args r = {.profile = profile, .planes = a.dim[0] * a.dim[1], .h = a.dim[2], .w = a.dim[3], .oh = shape.dim[2],
                       .ow = shape.dim[3], .row = taps, .column = taps + shape.dim[2], .x = a.data, .y = y->data};
    scratch = aligned_alloc(64, (resample_scratch(&r) + 127) & ~(size_t)63);
    resample_run_ref(&r, 0, resample_units(&r), scratch);
  }
  free(scratch);
}

static void op_reshape(void) {
  int x = pick(false);
  value a = graph[x], shape = a;
  char call[256], *c = call;
  if (!a.rank) return;
  switch (below(3)) {
    case 0: shape.rank = 1, shape.dim[0] = count(&a); break;
    case 1:
      if (a.rank == K_RANK) return;
      for (int i = a.rank; i > 0; i--) shape.dim[i] = a.dim[i - 1];
      shape.rank = a.rank + 1, shape.dim[0] = 1;
      break;
    default: shape.rank = 2, shape.dim[0] = a.dim[a.rank - 1], shape.dim[1] = count(&a) / shape.dim[0];
  }
  c = write_list(c + sprintf(c, "reshape(shape = "), shape.dim, shape.rank);
  sprintf(c, ", x = v%d)", x);
  value *y = emit_other(OTHER, &shape, &x, 1, call);
  memcpy(y->data, a.data, (size_t)count(y) * sizeof *y->data);
}

static void op_join(void) {
  int in[3] = {pick(false)}, n = 2 + below(2);
  value a = graph[in[0]];
  if (!a.rank || a.rank == K_RANK) return;
  int axis = below(a.rank);
  for (int i = 1; i < n; i++) {
    in[i] = pick(false);
    for (int tries = 0; tries < 5; tries++) {
      const value *b = &graph[in[i]];
      bool same = b->rank == a.rank;
      for (int k = 0; same && k < a.rank; k++) same = k == axis || b->dim[k] == a.dim[k];
      if (same) break;
      in[i] = tries < 4 ? pick(false) : in[0];
    }
  }
  bool stack = below(3) == 0;
  value shape = a;
  for (int i = 1; i < n; i++) {
    bool same = graph[in[i]].rank == a.rank && graph[in[i]].dim[axis] == a.dim[axis];
    stack = stack && same;
    shape.dim[axis] += graph[in[i]].dim[axis];
  }
  if (stack) {
    shape = a;
    for (int i = a.rank; i > axis; i--) shape.dim[i] = a.dim[i - 1];
    shape.rank++, shape.dim[axis] = n;
  }
  if (count(&shape) > MAX_ELEMENTS) return;
  char call[256], *c = call;
  c += stack ? sprintf(c, "stack(axis = int32(%d), values = (", axis) : sprintf(c, "concat(axis = int32(%d), interleave = bool(false), values = (", axis);
  for (int i = 0; i < n; i++) c += sprintf(c, "%sv%d", i ? ", " : "", in[i]);
  sprintf(c, "))");
  value *y = emit_other(OTHER, &shape, in, n, call);
  int64_t outer = 1, done = 0, row = 1;
  for (int i = 0; i < axis; i++) outer *= shape.dim[i];
  for (int i = axis; i < shape.rank; i++) row *= shape.dim[i];
  for (int i = 0; i < n; i++) {
    int64_t part = count(&graph[in[i]]) / outer;
    for (int64_t o = 0; o < outer; o++)
      memcpy(y->data + o * row + done, graph[in[i]].data + o * part, (size_t)part * sizeof *y->data);
    done += part;
  }
}

static void op_split(void) {
  int x = pick(false);
  value a = graph[x];
  int axis = a.rank ? below(a.rank) : 0, parts = 2;
  if (!a.rank || a.dim[axis] % parts || n_values + parts > MAX_VALUES - 8) return;
  a.dim[axis] /= parts;
  char type[96];
  mil_body(&text, "        ");
  int64_t outer = 1, row = count(&a);
  for (int i = 0; i < axis; i++) outer *= a.dim[i];
  row /= outer;
  for (int i = 0; i < parts; i++) {
    value *y = add_value(OTHER, a.rank, a.dim);
    y->in[0] = x, y->n_in = 1, y->constant = graph[x].constant;
    type_of(y, type);
    mil_body(&text, "%s%s v%d", i ? ", " : "", type, n_values - 1);
    for (int64_t o = 0; o < outer; o++)
      memcpy(y->data + o * row, graph[x].data + (o * parts + i) * row, (size_t)row * sizeof *y->data);
  }
  mil_body(&text, " = split(axis = int32(%d), num_splits = int32(%d), x = v%d)[name = string(\"s%d\")];\n", axis, parts, x, n_values);
}

static void op_reduce(void) {
  static const struct { int op; const char *name; } kinds[] = {
      {OP_REDUCE_SUM, "reduce_sum"}, {OP_REDUCE_MAX, "reduce_max"}, {OP_REDUCE_MEAN, "reduce_mean"}, {OP_REDUCE_MIN, "reduce_min"}};
  int x = pick(false), k = below(4);
  value a = graph[x], shape = a;
  if (!a.rank) return;
  char call[256], *c = call;
  if (below(3) == 0) {
    int axis = below(a.rank);
    sprintf(c, "softmax(axis = int32(%d), x = v%d)", axis, x);
    value *y = emit_other(OTHER, &shape, &x, 1, call);
    softmax_args s = {.profile = profile, .outer = 1, .axis = a.dim[axis], .inner = 1, .x = a.data, .y = y->data};
    for (int i = 0; i < axis; i++) s.outer *= y->dim[i];
    for (int i = axis + 1; i < y->rank; i++) s.inner *= y->dim[i];
    void *scratch = aligned_alloc(64, (softmax_scratch(&s) + 127) & ~(size_t)63);
    softmax_run_ref(&s, 0, softmax_units(&s), scratch);
    free(scratch);
    return;
  }
  reduce_args r = {.profile = profile, .kind = (enum mil_op_id)kinds[k].op, .rank = a.rank, .x = a.data};
  int64_t axes[K_RANK];
  int n = 0;
  for (int i = 0; i < a.rank; i++) {
    r.dim[i] = a.dim[i];
    if (!(r.reduced[i] = below(2))) continue;
    axes[n++] = i;
    shape.dim[i] = 1;
  }
  if (!n) return;
  c = write_list(c + sprintf(c, "%s(axes = ", kinds[k].name), axes, n);
  sprintf(c, ", keep_dims = bool(true), x = v%d)", x);
  r.y = emit_other(OTHER, &shape, &x, 1, call)->data;
  void *scratch = aligned_alloc(64, (reduce_scratch(&r) + 127) & ~(size_t)63);
  reduce_run_ref(&r, 0, reduce_units(&r), scratch);
  free(scratch);
}

static int fresh(int rank, const int64_t *dim) { return below(2) ? add_constant(rank, dim) : add_input(rank, dim); }

/* The last value is a product. An addition right behind it that is its only reader is its bias; whether it is the only one is
 * made certain: either it is hidden from all later operations, or it is a program output. */
static void finish_product(int rank, const int64_t *bias_dim) {
  int product = n_values - 1;
  value *y = &graph[product];
  product_value(y, -1);
  int kind = y->constant ? 2 : below(3);
  y->hidden = kind < 2;
  y->shown = kind == 2;
  if (kind == 0) {
    int bias = fresh(rank, bias_dim), add[2] = {product, bias};
    if (below(3) == 0) add[0] = bias, add[1] = product;
    value *sum = emit_ew(EW_ADD, 2, add, NULL, "add");
    value with_bias = *y;
    with_bias.data = sum->data;
    product_value(&with_bias, bias);
  } else if (kind == 1) {
    emit_ew(EW_UNARY, 1, &product, unary_of(OP_RELU), "relu");
  }
}

/* matmul with a new or an old right operand, often with a bias or something like one behind it. */
static void op_product(void) {
  int x = pick(false);
  value a = graph[x];
  if (a.rank < 2 || a.rank > 4) return;
  bool tx = below(4) == 0, ty = below(2);
  int64_t m = a.dim[a.rank - 2 + tx], k = a.dim[a.rank - 1 - tx], n = 1 + below(40);
  if (k > 300 || m * n > MAX_ELEMENTS) return;
  int w = -1;
  for (int tries = 0; tries < 6 && w < 0; tries++) {
    int v = pick(false);
    if (graph[v].rank == a.rank && graph[v].dim[a.rank - 2 + ty] == k && (a.rank == 2 || graph[v].dim[0] == a.dim[0] || graph[v].dim[0] == 1))
      w = v;
    for (int i = 0; w >= 0 && i < a.rank - 2; i++)
      if (graph[w].dim[i] != a.dim[i] && graph[w].dim[i] != 1) w = -1;
  }
  if (w < 0) {
    int64_t dim[2] = {ty ? n : k, ty ? k : n};
    w = fresh(2, dim);
  }
  value b = graph[w], shape = a;
  n = b.dim[b.rank - 1 - ty];
  shape.dim[a.rank - 2] = m;
  shape.dim[a.rank - 1] = n;
  if (count(&shape) > MAX_ELEMENTS || (double)count(&shape) * (double)k > 3e6) return;
  char call[256];
  sprintf(call, "matmul(transpose_x = bool(%s), transpose_y = bool(%s), x = v%d, y = v%d)", tx ? "true" : "false", ty ? "true" : "false", x, w);
  int in[2] = {x, w};
  value *y = emit_other(PRODUCT, &shape, in, 2, call);
  gemm_args *g = &y->gemm;
  g->m = m, g->k = k, g->n = n;
  g->x_row = tx ? 1 : k, g->x_col = tx ? m : 1;
  g->w_row = ty ? 1 : n, g->w_col = ty ? k : 1;
  g->batch_rank = a.rank - 2;
  int64_t sx = m * k, sw = k * n;
  for (int i = a.rank - 3; i >= 0; i--) {
    int ib = i - (a.rank - b.rank);
    g->batch_dim[i] = a.dim[i];
    g->x_batch[i] = sx;
    g->w_batch[i] = ib < 0 || b.dim[ib] == 1 ? 0 : sw;
    sx *= a.dim[i];
    if (ib >= 0) sw *= b.dim[ib];
  }
  int64_t bias[2] = {1, n};
  finish_product(2, bias);
}

static void op_conv(void) {
  int x = pick(false);
  value a = graph[x];
  if (a.rank != 4) return;
  int64_t cout = 1 + below(6), kh = 1 + below(3), kw = 1 + below(3), dim[4] = {cout, a.dim[1], kh, kw};
  int64_t pad[4] = {below(2), below(2), below(2), below(2)}, stride = 1 + below(2);
  value shape = a;
  shape.dim[1] = cout;
  shape.dim[2] = (a.dim[2] + pad[0] + pad[1] - kh) / stride + 1;
  shape.dim[3] = (a.dim[3] + pad[2] + pad[3] - kw) / stride + 1;
  if (a.dim[2] + pad[0] + pad[1] < kh || a.dim[3] + pad[2] + pad[3] < kw || a.dim[1] < 2) return;
  if (count(&shape) > MAX_ELEMENTS || (double)count(&shape) * (double)(a.dim[1] * kh * kw) > 3e6) return;
  int w = add_constant(4, dim);
  char call[512], *c = call;
  int64_t strides[2] = {stride, stride}, ones[2] = {1, 1};
  c = write_list(c + sprintf(c, "conv(dilations = "), ones, 2);
  c = write_list(c + sprintf(c, ", groups = int32(1), pad = "), pad, 4);
  c = write_list(c + sprintf(c, ", pad_type = string(\"custom\"), strides = "), strides, 2);
  sprintf(c, ", weight = v%d, x = v%d)", w, x);
  int in[2] = {x, w};
  value *y = emit_other(PRODUCT, &shape, in, 2, call);
  y->is_conv = true;
  y->conv = (conv_args){.profile = profile, .n = a.dim[0], .cin = a.dim[1], .h = a.dim[2], .w = a.dim[3], .cout = cout, .kh = kh,
                        .kw = kw, .oh = shape.dim[2], .ow = shape.dim[3], .groups = 1, .stride_h = stride, .stride_w = stride,
                        .dilation_h = 1, .dilation_w = 1, .pad_top = pad[0], .pad_bottom = pad[1], .pad_left = pad[2],
                        .pad_right = pad[3]};
  int64_t bias[4] = {1, cout, 1, 1};
  finish_product(4, bias);
}

/* -- Running ------------------------------------------------------------------------------------------------------------------- */

static void make_graph(uint64_t seed) {
  static void (*const ops[])(void) = {op_elementwise, op_elementwise, op_elementwise, op_elementwise, op_move, op_reshape,
                                      op_join, op_split, op_reduce, op_product, op_product, op_conv, op_border,
                                      op_image};
  static const int64_t shapes[][4] = {{1, 4, 0, 0}, {7, 33, 0, 0}, {2, 3, 5, 0}, {1, 6, 9, 8}, {64, 515, 0, 0}, {1, 1, 0, 0}, {3, 1, 17, 0},
                                      {2, 4, 6, 6}, {9, 0, 0, 0}};
  state = seed * 0x9E3779B97F4A7C15u + 1;
  for (int i = 0; i < 8; i++) random_bits();
  n_values = 0;
  const int64_t *dim = shapes[below(sizeof shapes / sizeof *shapes)];
  int rank = 0;
  while (rank < 4 && dim[rank]) rank++;
  add_input(rank, dim);
  if (below(2)) add_input(rank, dim);
  int wanted = 1 + below(40);
  for (int i = 0; i < wanted && n_values < MAX_VALUES - 10; i++) ops[below(sizeof ops / sizeof *ops)]();
  int shown = 0;
  for (int i = 0; i < n_values; i++) {
    if (graph[i].boolean || graph[i].hidden || graph[i].made <= CONSTANT) continue;
    if (i == n_values - 1 || below(8) == 0) graph[i].shown = true;
  }
  for (int i = 0; i < n_values; i++) shown += graph[i].shown;
  if (!shown) { /* a program needs something computed */
    int in[2] = {0, 0};
    emit_ew(EW_ADD, 2, in, NULL, "add")->shown = true;
  }
  for (int i = 0; i < n_values; i++) {
    char name[16];
    name_of(i, name);
    if (graph[i].shown) mil_output(&text, name);
  }
}

static void free_graph(void) {
  for (int i = 0; i < n_values; i++) free(graph[i].data);
  mil_text_free(&text);
}

static size_t rounded(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

typedef struct {
  engine_program *program;
  int in[MAX_VALUES], out[MAX_VALUES], n_in, n_out;
} run;

/* Runs with the given memory per output (NULL: memory of its own) and compares every output. */
static bool check_run(run *r, void **in, void **out, const char *what, uint64_t seed) {
  char error[512] = "";
  for (int i = 0; i < r->n_in; i++) memcpy(in[i], graph[r->in[i]].data, (size_t)count(&graph[r->in[i]]) * 2);
  int status = engine_execute(r->program, in, out, error, sizeof error);
  CHECK(!status, "seed %llu %s: %s", (unsigned long long)seed, what, error);
  for (int j = 0; j < r->n_out && !status; j++) {
    const value *v = &graph[r->out[j]];
    const f16 *got = out[j];
    for (int64_t k = 0; k < count(v); k++) {
      if (got[k] == v->data[k]) continue;
      CHECK(0, "seed %llu %s: v%d[%lld] is %04x, not %04x", (unsigned long long)seed, what, r->out[j], (long long)k, got[k], v->data[k]);
      if (getenv("ANEFORGE_TEST_SHOW")) {
        char *explained = engine_explain(r->program);
        printf("%s", explained);
        free(explained);
      }
      return false;
    }
  }
  return !status;
}

static bool run_graph(uint64_t seed, bool fuse) {
  char error[1024];
  run r = {.n_in = 0};
  setenv("ANEFORGE_HOST_FUSE", fuse ? "1" : "0", 1);
  r.program = mil_compile(&text, true, error, sizeof error);
  CHECK(r.program != NULL, "seed %llu: %s", (unsigned long long)seed, error);
  if (!r.program) return false;
  void *in[MAX_VALUES], *out[MAX_VALUES], *own[MAX_VALUES];
  for (int i = 0; i < n_values; i++) {
    if (graph[i].made == INPUT) {
      in[r.n_in] = aligned_alloc(64, rounded((size_t)count(&graph[i]) * 2 + 2));
      r.in[r.n_in++] = i;
    }
    if (graph[i].shown) {
      own[r.n_out] = out[r.n_out] = aligned_alloc(64, rounded((size_t)count(&graph[i]) * 2 + 2));
      r.out[r.n_out++] = i;
    }
  }
  bool ok = check_run(&r, in, out, fuse ? "fused" : "unfused", seed);
  for (int tries = 0; tries < 6 && ok && r.n_in; tries++) { /* outputs in the memory of inputs */
    bool taken[MAX_VALUES] = {false};
    for (int j = 0; j < r.n_out; j++) {
      out[j] = own[j];
      for (int t = 0; t < 4 && out[j] == own[j]; t++) {
        int i = below(r.n_in);
        if (taken[i] || count(&graph[r.in[i]]) != count(&graph[r.out[j]])) continue;
        out[j] = in[i];
        taken[i] = true;
      }
    }
    ok = check_run(&r, in, out, "in place", seed);
  }
  size_t total = 0; /* everything in one block, outputs shifted against the inputs they overlap */
  for (int i = 0; i < r.n_in; i++) total += rounded((size_t)count(&graph[r.in[i]]) * 2);
  for (int j = 0; j < r.n_out; j++) total += rounded((size_t)count(&graph[r.out[j]]) * 2);
  char *block = aligned_alloc(64, total + 256);
  void *some_in[MAX_VALUES];
  size_t at = 64, out_at = 64 + 2 * (size_t)below(20);
  for (int i = 0; i < r.n_in; i++) {
    some_in[i] = block + at;
    at += rounded((size_t)count(&graph[r.in[i]]) * 2);
  }
  for (int j = 0; j < r.n_out; j++) {
    out[j] = block + out_at;
    out_at += (size_t)count(&graph[r.out[j]]) * 2;
  }
  if (ok) ok = check_run(&r, some_in, out, "overlapping", seed);
  free(block);
  for (int i = 0; i < r.n_in; i++) free(in[i]);
  for (int j = 0; j < r.n_out; j++) free(own[j]);
  engine_release(r.program);
  return ok;
}

static void run_seeds(int first, int last) {
  for (int seed = first; seed < last; seed++) {
    make_graph((uint64_t)seed);
    if (getenv("ANEFORGE_TEST_SHOW")) printf("-- seed %d, %d values\n", seed, n_values);
    bool ok = run_graph((uint64_t)seed, true) && run_graph((uint64_t)seed, false);
    free_graph();
    if (!ok) break;
  }
}

static int first_seed = 1, last_seed = 200;

static void in_child(const char *threads, const char *isa) {
  fflush(NULL);
  pid_t pid = fork();
  if (pid == 0) {
    setenv("ANEFORGE_HOST_THREADS", threads, 1);
    if (isa) setenv("ANEFORGE_HOST_ISA", isa, 1);
    plan_share_from = 0;
    test_current_failed = 0;
    run_seeds(first_seed, last_seed);
    fflush(NULL);
    exit(test_current_failed);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  CHECK(status == 0, "%s threads: status %d", threads, status);
}

TEST(random_graphs_on_one_thread) { in_child("1", NULL); }
TEST(random_graphs_on_three_threads) { in_child("3", NULL); }
TEST(random_graphs_on_two_threads_portable) { in_child("2", "portable"); }

int main(int argc, char **argv) {
  setenv("ANEFORGE_TARGET", "h16", 1);
  unsetenv("ANEFORGE_HOST_NUMERICS");
  if (argc > 1) first_seed = atoi(argv[1]), last_seed = argc > 2 ? atoi(argv[2]) : first_seed + 1;
  RUN(random_graphs_on_one_thread);
  RUN(random_graphs_on_three_threads);
  RUN(random_graphs_on_two_threads_portable);
  return test_end();
}
