/* plan_image.c - resampling, borders, block rearrangements, slice_by_index and constants made from a shape, lowered to nodes. */
#include <string.h>

#include "plan.h"

static const mil_type *result_type(const mil_op *op) { return &op->result[0]->type; }

/* The arguments of a new node whose result is that of the operation. */
static void *new_node(plan *p, const mil_op *op, enum node_kind kind, const int *in, int n_in, size_t args) {
  int out = plan_new_value(p, result_type(op), op->result[0]->name);
  plan_node *n = plan_new_node(p, op, kind, in, n_in, out, args);
  return n && plan_bind(p, op->result[0], out) ? n->args : NULL;
}

/* -- Resampling ------------------------------------------------------------------------------------------------------------- */

static bool resample(plan *p, const mil_op *op, enum resample_grid grid) {
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  const mil_type *t = result_type(op);
  plan_value v = p->value[x];
  resample_args a = {.profile = p->profile, .planes = 1, .h = v.dim[v.rank - 2], .w = v.dim[v.rank - 1],
                     .oh = t->dim[t->rank - 2], .ow = t->dim[t->rank - 1], .grid = grid};
  for (int i = 0; i < v.rank - 2; i++) a.planes *= v.dim[i];
  resample_tap *row = plan_alloc(p, (size_t)(a.oh + a.ow) * sizeof *row);
  if (!row) return false;
  resample_taps(grid, a.h, a.oh, p->profile.mode, row);
  resample_taps(grid, a.w, a.ow, p->profile.mode, row + a.oh);
  a.row = row;
  a.column = row + a.oh;
  void *args = new_node(p, op, NODE_RESAMPLE, &x, 1, sizeof a);
  if (args) memcpy(args, &a, sizeof a);
  return args != NULL;
}

/* Without align_corners pixels are areas, unless half_pixel_centers says no. */
bool lower_upsample_bilinear(plan *p, const mil_op *op, int code) {
  (void)code;
  if (mil_bool(op, "align_corners")) return resample(p, op, GRID_CORNERS);
  bool centres = !mil_get(op, "half_pixel_centers") || mil_bool(op, "half_pixel_centers");
  return resample(p, op, centres ? GRID_CENTRES : GRID_ORIGINS);
}

bool lower_resize(plan *p, const mil_op *op, int code) {
  (void)code;
  static const struct {
    const char *name;
    enum resample_grid grid;
  } modes[] = {{"DEFAULT", GRID_ORIGINS}, {"ALIGN_CORNERS", GRID_CORNERS}, {"STRICT_ALIGN_CORNERS", GRID_STRICT_CORNERS},
               {"UNALIGN_CORNERS", GRID_CENTRES}, {"OFFSET_CORNERS", GRID_OFFSET}};
  if (mil_op_id_of(op) == OP_RESIZE_NEAREST) return resample(p, op, GRID_NEAREST);
  for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
    if (!strcmp(modes[i].name, mil_string(op, "sampling_mode"))) return resample(p, op, modes[i].grid);
  return plan_fail(p, op, "the host engine has no kernel for sampling_mode '%s'", mil_string(op, "sampling_mode"));
}

bool lower_affine_sampling(plan *p, const mil_op *op, int code) {
  (void)code;
  int in[2] = {plan_operand(p, op, "x"), plan_operand(p, op, "transform_matrix")};
  if (!plan_need(p, op, in[0], true) || !plan_need(p, op, in[1], true)) return false;
  const mil_type *t = result_type(op);
  plan_value v = p->value[in[0]];
  bool shared = p->value[in[1]].dim[0] == 1;
  affine_args *a = new_node(p, op, NODE_AFFINE, in, 2, sizeof *a);
  if (!a) return false;
  *a = (affine_args){.profile = p->profile, .align_corners = mil_bool(op, "align_corners"), .shared_matrix = shared,
                     .n = v.dim[0], .channels = v.dim[1], .h = v.dim[2], .w = v.dim[3], .oh = t->dim[2], .ow = t->dim[3],
                     .padding = f16_from_float((float)mil_real(op, "padding_value"))};
  return true;
}

/* -- Borders ------------------------------------------------------------------------------------------------------------------ */

bool lower_crop(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  plan_value v = p->value[x];
  int64_t rows[2], columns[2], stride[K_RANK];
  mil_ints(op, "crop_height", rows, 2);
  mil_ints(op, "crop_width", columns, 2);
  plan_dense_strides(v.rank, v.dim, stride);
  return plan_slice(p, op, x, rows[0] * v.dim[v.rank - 1] + columns[0], stride, columns[0] > 0);
}

/* The parts of a padded tensor: along each axis what is in front, x itself, and what is behind. */
enum { FRONT, INSIDE, BEHIND };

typedef struct {
  const plan_value *x;
  int64_t stride[K_RANK], out_stride[K_RANK], front[K_RANK], behind[K_RANK];
  enum { PAD_CONSTANT, PAD_REFLECT, PAD_REPLICATE } mode;
  copy_args *args; /* NULL: only count */
  int *in, n, operand, value;
} padding;

/* Adds the parts that agree with `c` on the axes before `axis`. A constant part takes all of the axes behind. */
static void add_parts(padding *d, copy_args c, int axis, bool constant) {
  if (axis == K_RANK || axis == c.rank) {
    if (d->args) {
      d->args[d->n] = c;
      if (constant) memset(d->args[d->n].x_stride, 0, sizeof c.x_stride), d->args[d->n].x_offset = 0;
      d->in[d->n] = constant ? d->value : d->operand;
    }
    d->n++;
    return;
  }
  const int64_t extent = d->x->dim[axis], step = d->stride[axis], front = d->front[axis], behind = d->behind[axis];
  if (constant) {
    c.dim[axis] = front + extent + behind;
    add_parts(d, c, axis + 1, true);
    return;
  }
  for (int part = FRONT; part <= BEHIND; part++) {
    copy_args q = c;
    q.dim[axis] = part == FRONT ? front : part == INSIDE ? extent : behind;
    if (!q.dim[axis]) continue;
    q.y_offset += (part == FRONT ? 0 : part == INSIDE ? front : front + extent) * d->out_stride[axis];
    if (part == INSIDE) q.x_stride[axis] = step;
    else if (d->mode == PAD_REFLECT) {
      q.x_offset += (part == FRONT ? front : extent - 2) * step;
      q.x_stride[axis] = -step;
    } else if (d->mode == PAD_REPLICATE) {
      q.x_offset += part == FRONT ? 0 : (extent - 1) * step;
      q.x_stride[axis] = 0;
    }
    add_parts(d, q, axis + 1, part != INSIDE && d->mode == PAD_CONSTANT);
  }
}

/* The operand with its borders: a value, or -1. Nothing to add gives a view. */
static int pad(plan *p, const mil_op *op, padding *d, const char *name) {
  plan_value v = p->value[d->operand];
  int64_t dim[K_RANK];
  copy_args c = {.element = (int)plan_element(v.dtype), .rank = v.rank};
  bool any = false;
  for (int i = 0; i < v.rank; i++) {
    dim[i] = d->front[i] + v.dim[i] + d->behind[i];
    any |= dim[i] != v.dim[i];
  }
  if (!any) return plan_view(p, d->operand, 0, v.rank, v.dim, name);
  plan_dense_strides(v.rank, v.dim, d->stride);
  plan_dense_strides(v.rank, dim, d->out_stride);
  memcpy(c.y_stride, d->out_stride, sizeof d->out_stride);
  d->x = &v;
  add_parts(d, c, 0, false);
  d->in = plan_alloc(p, (size_t)d->n * sizeof *d->in);
  d->args = plan_alloc(p, (size_t)d->n * sizeof *d->args);
  if (!d->in || !d->args) return -1;
  d->n = 0;
  add_parts(d, c, 0, false);
  int out = plan_temp(p, v.dtype, v.rank, dim, name);
  plan_node *n = plan_new_node(p, op, NODE_COPY, d->in, d->n, out, (size_t)d->n * sizeof *d->args);
  if (!n) return -1;
  memcpy(n->args, d->args, (size_t)d->n * sizeof *d->args);
  return out;
}

bool lower_pad(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  const char *mode = mil_string(op, "mode");
  int64_t list[2 * K_RANK];
  int n = mil_ints(op, "pad", list, 2 * K_RANK) / 2, rank = p->value[x].rank;
  padding d = {.operand = x};
  d.mode = !strcmp(mode, "constant") ? PAD_CONSTANT : !strcmp(mode, "reflect") ? PAD_REFLECT : PAD_REPLICATE;
  d.value = plan_scalar(p, f16_from_float((float)mil_real(op, "constant_val")), "constant_val");
  for (int i = 0; i < n; i++) {
    d.front[rank - n + i] = list[2 * i];
    d.behind[rank - n + i] = list[2 * i + 1];
  }
  return d.value >= 0 && plan_bind(p, op->result[0], pad(p, op, &d, op->result[0]->name));
}

/* -- Blocks: y[i0..] = x[i . stride] over up to six axes whose product is the result, in its order ------------------------------ */

static bool rearrange(plan *p, const mil_op *op, int x, int64_t offset, int rank, const int64_t *dim, const int64_t *stride) {
  copy_args a = {.element = (int)plan_element(p->value[x].dtype), .rank = rank, .x_offset = offset}, merged;
  memcpy(a.dim, dim, (size_t)rank * sizeof *dim);
  memcpy(a.x_stride, stride, (size_t)rank * sizeof *stride);
  plan_dense_strides(rank, dim, a.y_stride);
  merged = a;
  plan_copy_merge(&merged);
  const mil_type *t = result_type(op);
  if (merged.rank == 1 && (merged.x_stride[0] == 1 || merged.dim[0] == 1))
    return plan_bind(p, op->result[0], plan_view(p, x, offset, t->rank, t->dim, op->result[0]->name));
  void *args = new_node(p, op, NODE_COPY, &x, 1, sizeof a);
  if (args) memcpy(args, &a, sizeof a);
  return args != NULL;
}

/* The channel of block element (i, j), b = block size, C channels of the image with fewer of them:
 *   pixel_shuffle, pixel_unshuffle  c b^2 + i b + j
 *   space_to_depth, depth_to_space  (i b + j) C + c */
bool lower_blocks(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  enum mil_op_id id = mil_op_id_of(op);
  bool grows = id == OP_PIXEL_SHUFFLE || id == OP_DEPTH_TO_SPACE, inner = id == OP_PIXEL_SHUFFLE || id == OP_PIXEL_UNSHUFFLE;
  const mil_type *t = result_type(op);
  plan_value v = p->value[x];
  const int64_t *large = grows ? t->dim : v.dim, *small = grows ? v.dim : t->dim; /* by height and width */
  int64_t b = large[2] / small[2], n = v.dim[0], channels = large[1], h = small[2], w = small[3];
  int64_t c_step = inner ? b * b : 1, i_step = inner ? b : b * channels, j_step = inner ? 1 : channels;
  if (grows) { /* n, c, h, i, w, j */
    int64_t dim[6] = {n, channels, h, b, w, b}, plane = h * w;
    int64_t stride[6] = {channels * b * b * plane, c_step * plane, w, i_step * plane, 1, j_step * plane};
    return rearrange(p, op, x, 0, 6, dim, stride);
  }
  int64_t plane = h * b * w * b;
  if (inner) { /* n, c, i, j, h, w */
    int64_t dim[6] = {n, channels, b, b, h, w}, stride[6] = {channels * plane, plane, w * b, 1, b * w * b, b};
    return rearrange(p, op, x, 0, 6, dim, stride);
  }
  int64_t dim[6] = {n, b, b, channels, h, w}, stride[6] = {channels * plane, w * b, 1, plane, b * w * b, b};
  return rearrange(p, op, x, 0, 6, dim, stride);
}

/* Image (i, j) of the batch is x[0, :, i::bh, j::bw], x padded with zeros. */
bool lower_space_to_batch(plan *p, const mil_op *op, int code) {
  (void)code;
  padding d = {.operand = plan_operand(p, op, "x"), .mode = PAD_CONSTANT, .value = plan_scalar(p, 0, "zero")};
  if (!plan_need(p, op, d.operand, true) || d.value < 0) return false;
  int64_t block[2], pads[4];
  mil_ints(op, "block_shape", block, 2);
  mil_ints(op, "paddings", pads, 4);
  for (int i = 0; i < 2; i++) {
    d.front[2 + i] = pads[2 * i];
    d.behind[2 + i] = pads[2 * i + 1];
  }
  int x = pad(p, op, &d, op->result[0]->name);
  if (x < 0) return false;
  const mil_type *t = result_type(op);
  int64_t h = t->dim[2], w = t->dim[3], wide = w * block[1];
  int64_t dim[5] = {block[0], block[1], t->dim[1], h, w};
  int64_t stride[5] = {wide, 1, h * block[0] * wide, block[0] * wide, block[1]};
  return rearrange(p, op, x, 0, 5, dim, stride);
}

/* The reverse; then the crop, as a second copy. */
bool lower_batch_to_space(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (!plan_need(p, op, x, true)) return false;
  plan_value v = p->value[x];
  int64_t block[2], cut[4], plane = v.dim[2] * v.dim[3], c = v.dim[1];
  mil_ints(op, "block_shape", block, 2);
  mil_ints(op, "crops", cut, 4);
  int64_t full[4] = {1, c, v.dim[2] * block[0], v.dim[3] * block[1]}, stride[4];
  int whole = plan_temp(p, v.dtype, 4, full, op->result[0]->name);
  plan_node *n = plan_new_node(p, op, NODE_COPY, &x, 1, whole, sizeof(copy_args));
  if (!n) return false;
  copy_args *a = n->args; /* c, h, i, w, j */
  *a = (copy_args){.element = (int)plan_element(v.dtype), .rank = 5, .dim = {c, v.dim[2], block[0], v.dim[3], block[1]},
                   .x_stride = {plane, v.dim[3], block[1] * c * plane, 1, c * plane}};
  plan_dense_strides(5, a->dim, a->y_stride);
  plan_dense_strides(4, full, stride);
  return plan_slice(p, op, whole, cut[0] * full[3] + cut[2], stride, cut[2] > 0);
}

/* -- slice_by_index, fill ------------------------------------------------------------------------------------------------------- */

bool lower_slice_by_index(plan *p, const mil_op *op, int code) {
  (void)code;
  int x = plan_operand(p, op, "x");
  if (x < 0) return false;
  plan_value v = p->value[x];
  mil_slice s;
  if (!mil_read_slice(op, &s)) return plan_fail(p, op, "the lists do not have one number per axis");
  int64_t dense[K_RANK], stride[K_RANK], offset = 0;
  plan_dense_strides(v.rank, v.dim, dense);
  int n = 0;
  for (int i = 0; i < v.rank; i++) {
    offset += s.begin[i] * dense[i];
    if (!s.dropped[i]) stride[n++] = s.step[i] * dense[i];
  }
  return plan_slice(p, op, x, offset, stride, v.rank && s.begin[v.rank - 1] > 0 && s.step[v.rank - 1] > 0);
}

/* fill and fill_like: a constant of one value. */
bool lower_fill(plan *p, const mil_op *op, int code) {
  (void)code;
  const mil_type *t = result_type(op);
  f16 *data = plan_alloc(p, sizeof *data);
  if (!data) return false;
  *data = f16_from_float((float)mil_real(op, "value"));
  return plan_bind(p, op->result[0], plan_constant(p, MIL_FP16, t->rank, t->dim, data, true, false, op->result[0]->name));
}
