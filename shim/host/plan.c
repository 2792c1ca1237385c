/* plan.c - values and nodes, and the table that lowers each MIL operation. */
#include "plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- Memory ---------------------------------------------------------------------------------------------------------- */

struct plan_chunk {
  plan_chunk *next;
  size_t used, size;
  _Alignas(64) char data[];
};

void *plan_alloc(plan *p, size_t bytes) {
  if (bytes > SIZE_MAX / 2) bytes = SIZE_MAX / 2; /* fails below */
  bytes = (bytes + 15) & ~(size_t)15;
  if (!p->chunks || p->chunks->size - p->chunks->used < bytes) {
    size_t size = bytes > 65536 ? bytes : 65536;
    plan_chunk *c = size < SIZE_MAX / 2 ? aligned_alloc(64, (sizeof *c + size + 63) & ~(size_t)63) : NULL;
    if (!c) {
      plan_fail(p, NULL, "out of memory");
      return NULL;
    }
    memset(c, 0, sizeof *c + size);
    c->next = p->chunks;
    c->size = size;
    p->chunks = c;
  }
  void *at = p->chunks->data + p->chunks->used;
  p->chunks->used += bytes;
  return at;
}

void *plan_own(plan *p, size_t bytes) {
  size_t size = bytes < SIZE_MAX / 2 ? (bytes + PLAN_ALIGN) & ~(size_t)(PLAN_ALIGN - 1) : 0;
  void *data = size ? aligned_alloc(PLAN_ALIGN, size) : NULL;
  if (!data) {
    plan_fail(p, NULL, "out of memory (%zu bytes)", bytes);
    return NULL;
  }
  memset(data, 0, size);
  return data;
}

void plan_disown(plan *p, const void *data) {
  (void)p;
  free((void *)data);
}

bool plan_grow(plan *p, void *array, int count, int *cap, size_t size) {
  if (count < *cap) return true;
  if (*cap > INT32_MAX / 2) return plan_fail(p, NULL, "the program is too large");
  int next = *cap ? *cap * 2 : 16;
  void *old;
  memcpy(&old, array, sizeof old);
  void *grown = realloc(old, (size_t)next * size);
  if (!grown) return plan_fail(p, NULL, "out of memory");
  memset((char *)grown + (size_t)*cap * size, 0, (size_t)(next - *cap) * size);
  memcpy(array, &grown, sizeof grown);
  *cap = next;
  return true;
}

bool plan_fail(plan *p, const mil_op *op, const char *format, ...) {
  if (p->failed || !p->error_size) { /* the first reason is the one that helps */
    p->failed = true;
    return false;
  }
  p->failed = true;
  int used = 0;
  if (op && p->mil && p->mil->path)
    used = snprintf(p->error, p->error_size, "%s:%d:%d: %s: ", p->mil->path, op->line, op->col, mil_op_name(op));
  if (used < 0 || (size_t)used >= p->error_size) return false;
  va_list list;
  va_start(list, format);
  vsnprintf(p->error + used, p->error_size - (size_t)used, format, list);
  va_end(list);
  return false;
}

/* -- Values ---------------------------------------------------------------------------------------------------------- */

size_t plan_element(enum mil_dtype dtype) {
  switch (dtype) {
    case MIL_BOOL: case MIL_INT8: case MIL_UINT8: return 1;
    case MIL_FP16: case MIL_INT16: case MIL_UINT16: return 2;
    default: return 0; /* not data of a program */
  }
}

int64_t plan_elements(const plan_value *v) {
  int64_t n = 1;
  for (int i = 0; i < v->rank; i++) n *= v->dim[i];
  return n;
}

int64_t plan_bytes(const plan_value *v) { return plan_elements(v) * (int64_t)plan_element(v->dtype); }

int plan_temp(plan *p, enum mil_dtype dtype, int rank, const int64_t *dim, const char *name) {
  if (rank > K_RANK) return plan_fail(p, NULL, "'%s' has rank %d, more than %d", name, rank, K_RANK), -1;
  int64_t bytes = (int64_t)plan_element(dtype);
  if (!bytes)
    return plan_fail(p, NULL, "'%s' is %s: the host engine computes with fp16, bool, int8, uint8, int16 and uint16", name,
                     mil_dtype_name(dtype)), -1;
  for (int i = 0; i < rank; i++)
    if (dim[i] < 1 || __builtin_mul_overflow(bytes, dim[i], &bytes) || bytes > INT64_MAX / 64)
      return plan_fail(p, NULL, "'%s' is too large", name), -1;
  if (!plan_grow(p, &p->value, p->n_values, &p->cap_values, sizeof *p->value)) return -1;
  plan_value *v = &p->value[p->n_values];
  *v = (plan_value){.dtype = dtype, .rank = rank, .name = name, .root = p->n_values, .producer = -1, .packed = -1,
                    .input = -1, .output = -1, .placed = -1, .at = -1, .first = -1, .last = -1};
  for (int i = 0; i < rank; i++) v->dim[i] = dim[i];
  return p->n_values++;
}

int plan_new_value(plan *p, const mil_type *type, const char *name) {
  return plan_temp(p, type->dtype, type->rank, type->dim, name);
}

int plan_view(plan *p, int of, int64_t offset, int rank, const int64_t *dim, const char *name) {
  int v = plan_temp(p, p->value[of].dtype, rank, dim, name);
  if (v < 0) return -1;
  p->value[v].root = p->value[of].root;
  p->value[v].offset = p->value[of].offset + offset;
  return v;
}

int plan_constant(plan *p, enum mil_dtype dtype, int rank, const int64_t *dim, const void *data, bool uniform,
                  bool owned, const char *name) {
  int v = plan_temp(p, dtype, rank, dim, name);
  if (v < 0) return -1;
  p->value[v].data = data;
  p->value[v].uniform = uniform || plan_elements(&p->value[v]) == 1;
  p->value[v].owned = owned;
  return v;
}

bool plan_is_const(const plan *p, int v) { return p->value[p->value[v].root].data != NULL; }
bool plan_is_uniform(const plan *p, int v) { return plan_is_const(p, v) && p->value[p->value[v].root].uniform; }

const void *plan_data(const plan *p, int v) {
  const plan_value *root = &p->value[p->value[v].root];
  return (const char *)root->data + (root->uniform ? 0 : p->value[v].offset * (int64_t)plan_element(root->dtype));
}

const void *plan_dense(plan *p, int v) {
  plan_value *root = &p->value[p->value[v].root];
  int64_t n = plan_elements(root);
  if (root->uniform && n > 1) {
    size_t size = plan_element(root->dtype);
    char *data = plan_own(p, (size_t)n * size);
    if (!data) return NULL;
    for (int64_t i = 0; i < n; i++) memcpy(data + (size_t)i * size, root->data, size);
    if (root->owned) plan_disown(p, root->data);
    root->data = data;
    root->owned = true;
    root->uniform = false;
  }
  return plan_data(p, v);
}

bool plan_is_whole(const plan *p, int v) {
  const plan_value *a = &p->value[v], *root = &p->value[a->root];
  return !a->strided && a->offset == 0 && plan_elements(a) == plan_elements(root);
}

int plan_value_of(plan *p, const mil_op *op, const mil_value *v) {
  if (v->user) {
    int known = (int)(intptr_t)v->user - 1;
    return plan_decode(p, known) ? known : -1;
  }
  if (!v->is_const)
    return plan_fail(p, op, "'%s' is not a value the host engine computes", v->name), -1;
  size_t element = plan_element(v->type.dtype);
  const void *data = v->data;
  bool owned = false;
  if (element && v->type.rank <= K_RANK && (uintptr_t)data % element) { /* payloads in the file may be misaligned */
    void *copy = plan_own(p, v->bytes);
    if (!copy) return -1;
    memcpy(copy, data, v->bytes);
    data = copy;
    owned = true;
  }
  int id = plan_constant(p, v->type.dtype, v->type.rank, v->type.dim, data, false, owned, v->name);
  if (id < 0 && owned) plan_disown(p, data);
  if (id >= 0) ((mil_value *)v)->user = (void *)(intptr_t)(id + 1);
  return id;
}

int plan_operand(plan *p, const mil_op *op, const char *name) {
  const mil_value *v = mil_get(op, name);
  if (!v) return plan_fail(p, op, "'%s' is missing", name), -1;
  return plan_value_of(p, op, v);
}

int plan_weight(plan *p, const mil_op *op, const char *name) {
  const mil_value *v = mil_get(op, name);
  if (v && v->user && p->value[(intptr_t)v->user - 1].codes) return (int)(intptr_t)v->user - 1;
  return plan_operand(p, op, name);
}

bool plan_decode(plan *p, int v) {
  plan_value *root = &p->value[p->value[v].root];
  if (!root->codes) return true;
  f16 *data = plan_own(p, (size_t)plan_bytes(root));
  if (!data) return false;
  weight_decode(root->codes, data);
  root->data = data;
  root->owned = true;
  root->codes = NULL;
  return true;
}

bool plan_bind(plan *p, const mil_value *result, int v) {
  if (v < 0) return false;
  const plan_value *a = &p->value[v];
  bool same = a->dtype == result->type.dtype && a->rank == result->type.rank;
  for (int i = 0; same && i < a->rank; i++) same = a->dim[i] == result->type.dim[i];
  if (!same) {
    char text[128];
    return plan_fail(p, result->producer, "'%s' is declared as %s, which is not what the operation gives", result->name,
                     mil_type_text(&result->type, text, sizeof text));
  }
  ((mil_value *)result)->user = (void *)(intptr_t)(v + 1);
  return true;
}

/* -- Nodes ----------------------------------------------------------------------------------------------------------- */

plan_node *plan_new_node(plan *p, const mil_op *op, enum node_kind kind, const int *in, int n_in, int out, size_t args) {
  if (out < 0) return NULL;
  for (int i = 0; i < n_in; i++)
    if (in[i] < 0) return NULL;
  if (!plan_grow(p, &p->node, p->n_nodes, &p->cap_nodes, sizeof *p->node)) return NULL;
  plan_node *n = &p->node[p->n_nodes];
  *n = (plan_node){.kind = kind, .op = op, .n_in = n_in, .out = out, .unit = -1};
  n->in = plan_alloc(p, (size_t)n_in * sizeof *in);
  if (args) n->args = plan_alloc(p, args);
  if (!n->in || (args && !n->args)) return NULL;
  memcpy(n->in, in, (size_t)n_in * sizeof *in);
  p->value[out].producer = p->n_nodes++;
  return n;
}

bool plan_ew(plan *p, const mil_op *op, uint8_t code, const unary_fn *fn, const int *in, int n_in, int out) {
  plan_node *n = plan_new_node(p, op, NODE_EW, in, n_in, out, 0);
  if (!n) return false;
  n->code = code;
  n->fn = fn;
  return true;
}

/* -- Strides --------------------------------------------------------------------------------------------------------- */

void plan_dense_strides(int rank, const int64_t *dim, int64_t *stride) {
  int64_t step = 1;
  for (int i = rank - 1; i >= 0; i--) {
    stride[i] = step;
    step *= dim[i];
  }
}

int plan_squeeze(int rank, const int64_t *dim, int64_t *out) {
  int n = 0;
  for (int i = 0; i < rank; i++)
    if (dim[i] != 1) out[n++] = dim[i];
  return n;
}

int plan_broadcast(const plan *p, int v, int rank, const int64_t *dim, int64_t *stride) {
  const plan_value *a = &p->value[v];
  int64_t dense[K_RANK];
  if (a->strided) memcpy(dense, a->stride, sizeof dense);
  else plan_dense_strides(a->rank, a->dim, dense);
  bool uniform = plan_is_uniform(p, v);
  int n = 0;
  for (int i = 0; i < rank; i++) {
    if (dim[i] == 1) continue;
    int axis = i - (rank - a->rank); /* shapes are right-aligned */
    stride[n++] = uniform || axis < 0 || a->dim[axis] == 1 ? 0 : dense[axis];
  }
  return n;
}

void plan_copy_merge(copy_args *c) {
  int n = 0;
  for (int i = 0; i < c->rank; i++) {
    if (c->dim[i] == 1) continue;
    if (n && c->x_stride[n - 1] == c->x_stride[i] * c->dim[i] && c->y_stride[n - 1] == c->y_stride[i] * c->dim[i]) {
      c->dim[n - 1] *= c->dim[i];
      c->x_stride[n - 1] = c->x_stride[i];
      c->y_stride[n - 1] = c->y_stride[i];
      continue;
    }
    c->dim[n] = c->dim[i];
    c->x_stride[n] = c->x_stride[i];
    c->y_stride[n++] = c->y_stride[i];
  }
  if (!n) {
    c->dim[0] = c->x_stride[0] = c->y_stride[0] = 1;
    n = 1;
  }
  c->rank = n;
}

/* -- The table ------------------------------------------------------------------------------------------------------- */

static const struct {
  plan_lower_fn *lower;
  int code;
} table[] = {
    [OP_CONSTEXPR_AFFINE] = {lower_affine, 0},
    [OP_CONSTEXPR_LUT] = {lower_lut, 0},
    [OP_CONSTEXPR_SPARSE] = {lower_sparse, 0},
    [OP_CONSTEXPR_BLOCKWISE] = {lower_blockwise, 0},
    [OP_RELU] = {lower_unary, 0},
    [OP_RELU6] = {lower_unary, 0},
    [OP_SILU] = {lower_unary, 0},
    [OP_GELU] = {lower_unary, 0},
    [OP_SIGMOID] = {lower_unary, 0},
    [OP_TANH] = {lower_unary, 0},
    [OP_EXP] = {lower_unary, 0},
    [OP_EXP2] = {lower_unary, 0},
    [OP_SQRT] = {lower_unary, 0},
    [OP_ABS] = {lower_unary, 0},
    [OP_SQUARE] = {lower_unary, 0},
    [OP_SIN] = {lower_unary, 0},
    [OP_COS] = {lower_unary, 0},
    [OP_ERF] = {lower_unary, 0},
    [OP_SOFTPLUS] = {lower_unary, 0},
    [OP_SOFTSIGN] = {lower_unary, 0},
    [OP_ATAN] = {lower_unary, 0},
    [OP_FLOOR] = {lower_unary, 0},
    [OP_CEIL] = {lower_unary, 0},
    [OP_ROUND] = {lower_unary, 0},
    [OP_SIGN] = {lower_unary, 0},
    [OP_LOG] = {lower_unary, 0},
    [OP_RSQRT] = {lower_unary, 0},
    [OP_INVERSE] = {lower_unary, 0},
    [OP_ELU] = {lower_unary, 0},
    [OP_LEAKY_RELU] = {lower_unary, 0},
    [OP_THRESHOLD] = {lower_unary, 0},
    [OP_THRESHOLDED_RELU] = {lower_unary, 0},
    [OP_SCALED_TANH] = {lower_unary, 0},
    [OP_CLAMPED_RELU] = {lower_unary, 0},
    [OP_SIGMOID_HARD] = {lower_unary, 0},
    [OP_LINEAR_ACTIVATION] = {lower_unary, 0},
    [OP_CLIP] = {lower_unary, 0},
    [OP_PRELU] = {lower_prelu, 0},
    [OP_SOFTPLUS_PARAMETRIC] = {lower_softplus_parametric, 0},
    [OP_CAST] = {lower_cast, 0},
    [OP_LOGICAL_NOT] = {lower_binary, EW_NOT},
    [OP_ADD] = {lower_binary, EW_ADD},
    [OP_SUB] = {lower_binary, EW_SUB},
    [OP_MUL] = {lower_binary, EW_MUL},
    [OP_REAL_DIV] = {lower_binary, EW_DIV},
    [OP_MAXIMUM] = {lower_binary, EW_MAX},
    [OP_MINIMUM] = {lower_binary, EW_MIN},
    [OP_POW] = {lower_binary, EW_POW},
    [OP_FLOOR_DIV] = {lower_floor_div, 0},
    [OP_GREATER] = {lower_binary, EW_GT},
    [OP_GREATER_EQUAL] = {lower_binary, EW_GE},
    [OP_LESS] = {lower_binary, EW_LT},
    [OP_LESS_EQUAL] = {lower_binary, EW_LE},
    [OP_EQUAL] = {lower_binary, EW_EQ},
    [OP_NOT_EQUAL] = {lower_binary, EW_NE},
    [OP_SELECT] = {lower_select, 0},
    [OP_MATMUL] = {lower_matmul, 0},
    [OP_LINEAR] = {lower_linear, 0},
    [OP_CONV] = {lower_conv, 0},
    [OP_CONV_TRANSPOSE] = {lower_conv, 1},
    [OP_EINSUM] = {lower_einsum, 0},
    [OP_SDPA] = {lower_attention, 0},
    [OP_REDUCE_SUM] = {lower_reduce, 0},
    [OP_REDUCE_MEAN] = {lower_reduce, 0},
    [OP_REDUCE_MAX] = {lower_reduce, 0},
    [OP_REDUCE_MIN] = {lower_reduce, 0},
    [OP_REDUCE_L1_NORM] = {lower_reduce, 0},
    [OP_REDUCE_L2_NORM] = {lower_reduce, 0},
    [OP_REDUCE_LOG_SUM] = {lower_reduce, 0},
    [OP_REDUCE_SUM_SQUARE] = {lower_reduce, 0},
    [OP_REDUCE_LOG_SUM_EXP] = {lower_reduce, 0},
    [OP_SOFTMAX] = {lower_softmax, 0},
    [OP_BATCH_NORM] = {lower_batch_norm, 0},
    [OP_INSTANCE_NORM] = {lower_instance_norm, 0},
    [OP_LAYER_NORM] = {lower_layer_norm, 0},
    [OP_L2_NORM] = {lower_l2_norm, 0},
    [OP_LOCAL_RESPONSE_NORM] = {lower_lrn, 0},
    [OP_MAX_POOL] = {lower_pool, 0},
    [OP_AVG_POOL] = {lower_pool, 1},
    [OP_UPSAMPLE_NEAREST] = {lower_upsample, 0},
    [OP_UPSAMPLE_BILINEAR] = {lower_upsample_bilinear, 0},
    [OP_RESIZE_NEAREST] = {lower_resize, 0},
    [OP_RESIZE_BILINEAR] = {lower_resize, 0},
    [OP_AFFINE] = {lower_affine_sampling, 0},
    [OP_RESHAPE] = {lower_reshape, 0},
    [OP_SQUEEZE] = {lower_reshape, 0},
    [OP_EXPAND_DIMS] = {lower_reshape, 0},
    [OP_FLATTEN2D] = {lower_reshape, 0},
    [OP_IDENTITY] = {lower_reshape, 0},
    [OP_TRANSPOSE] = {lower_transpose, 0},
    [OP_SLICE_BY_SIZE] = {lower_slice, 0},
    [OP_REVERSE] = {lower_reverse, 0},
    [OP_TILE] = {lower_tile, 0},
    [OP_CONCAT] = {lower_concat, 0},
    [OP_STACK] = {lower_concat, 1},
    [OP_SPLIT] = {lower_split, 0},
    [OP_SLICE_BY_INDEX] = {lower_slice_by_index, 0},
    [OP_CROP] = {lower_crop, 0},
    [OP_PAD] = {lower_pad, 0},
    [OP_PIXEL_SHUFFLE] = {lower_blocks, 0},
    [OP_PIXEL_UNSHUFFLE] = {lower_blocks, 0},
    [OP_SPACE_TO_DEPTH] = {lower_blocks, 0},
    [OP_DEPTH_TO_SPACE] = {lower_blocks, 0},
    [OP_SPACE_TO_BATCH] = {lower_space_to_batch, 0},
    [OP_BATCH_TO_SPACE] = {lower_batch_to_space, 0},
    [OP_FILL] = {lower_fill, 0},
    [OP_FILL_LIKE] = {lower_fill, 0},
    [OP_DEQUANTIZE] = {lower_dequantize, 0},
};

static bool lower(plan *p, const mil_op *op) {
  size_t id = (size_t)mil_op_id_of(op);
  if (id == OP_CONST) return true;
  if (id >= sizeof table / sizeof *table || !table[id].lower) return plan_fail(p, op, "the host engine has no kernel");
  if (table[id].lower(p, op, table[id].code)) return true;
  return plan_fail(p, op, "out of memory"); /* only when there is no message yet */
}

/* Each output port gets a value of its own: one that owns its storage, is computed, and is no other port. Everything else
 * (an input, a constant, a part of a value, the same value twice) is copied there. */
static bool bind_outputs(plan *p) {
  for (int i = 0; i < p->n_outputs; i++) {
    int v = p->output[i], root = p->value[v].root;
    plan_value *r = &p->value[root];
    if (r->input < 0 && !r->data && r->output < 0 && plan_is_whole(p, v)) {
      r->output = i;
      p->output[i] = root;
      continue;
    }
    plan_value a = p->value[v];
    int copy = plan_temp(p, a.dtype, a.rank, a.dim, a.name);
    plan_node *n = plan_new_node(p, NULL, NODE_COPY, &v, 1, copy, sizeof(copy_args));
    if (!n) return false;
    copy_args *c = n->args;
    c->element = (int)plan_element(a.dtype);
    c->rank = 1;
    c->dim[0] = plan_elements(&a);
    c->x_stride[0] = plan_is_uniform(p, v) ? 0 : 1;
    c->y_stride[0] = 1;
    p->value[copy].output = i;
    p->output[i] = copy;
  }
  return true;
}

static bool lower_all(plan *p) {
  const mil_program *mil = p->mil;
  p->n_inputs = mil->n_params;
  p->n_outputs = mil->n_outputs;
  p->input = plan_alloc(p, (size_t)(p->n_inputs + 1) * sizeof(int));
  p->output = plan_alloc(p, (size_t)(p->n_outputs + 1) * sizeof(int));
  if (!p->input || !p->output) return false;
  for (int i = 0; i < p->n_inputs; i++) {
    int v = plan_new_value(p, &mil->param[i]->type, mil->param[i]->name);
    if (v < 0) return false;
    p->value[v].input = i;
    p->input[i] = v;
    mil->param[i]->user = (void *)(intptr_t)(v + 1);
  }
  for (int i = 0; i < mil->n_ops; i++)
    if (!lower(p, mil->op[i])) return false;
  for (int i = 0; i < p->n_outputs; i++)
    if ((p->output[i] = plan_value_of(p, NULL, mil->output[i])) < 0) return false;
  return true;
}

bool plan_lower(plan *p, const mil_program *mil, num_profile profile, char *error, size_t error_size) {
  *p = (plan){.mil = mil, .profile = profile, .error = error, .error_size = error_size};
  if (error_size) error[0] = 0;
  if (!lower_all(p)) return false;
  plan_drop_dead(p);
  if (!plan_fold(p) || !bind_outputs(p)) return false;
  plan_drop_dead(p);
  plan_bias(p);
  return !p->failed;
}

bool plan_build(plan *p, const mil_program *mil, num_profile profile, bool fuse, char *error, size_t error_size) {
  if (!plan_lower(p, mil, profile, error, error_size)) return false;
  p->fuse = fuse;
  if (fuse && !plan_see_through(p)) return false;
  return plan_fuse(p) && plan_memory(p) && plan_emit(p) && !p->failed;
}

void plan_free(plan *p) {
  for (int i = 0; i < p->n_values; i++)
    if (p->value[i].owned) plan_disown(p, p->value[i].data);
  for (int i = 0; i < p->n_units; i++) free(p->unit[i].ew);
  while (p->chunks) {
    plan_chunk *next = p->chunks->next;
    free(p->chunks);
    p->chunks = next;
  }
  free(p->value);
  free(p->node);
  free(p->unit);
  free(p->step);
  free(p->in_patch);
  free(p->out_patch);
  free(p->read);
  *p = (plan){0};
}
