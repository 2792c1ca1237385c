/* report_exact.c - every kind of node in float64, as its formula says. */
#include <math.h>
#include <string.h>

#include "report.h"
#include "unary.h"

/* -- Elementwise -------------------------------------------------------------------------------------------------------- */

static double gelu(double x, enum gelu_mode mode) {
  if (mode == GELU_SIGMOID) return x / (1 + exp(-1.702 * x));
  if (mode == GELU_TANH) return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  return 0.5 * x * erfc(-x * M_SQRT1_2);
}

static double unary(const unary_fn *fn, double x) {
  double a = (double)fn->alpha, b = (double)fn->beta;
  switch ((int)fn->op) {
    case OP_SILU: return x / (1 + exp(-x));
    case OP_GELU: return gelu(x, fn->gelu);
    case OP_SIGMOID: return 1 / (1 + exp(-x));
    case OP_TANH: return tanh(x);
    case OP_EXP: return exp(x);
    case OP_EXP2: return exp2(x);
    case OP_SQRT: return sqrt(x);
    case OP_ERF: return erf(x);
    case OP_ATAN: return atan(x);
    case OP_SIN: return sin(x);
    case OP_COS: return cos(x);
    case OP_LOG: return log(x + a);
    case OP_RSQRT: return 1 / sqrt(x + a);
    case OP_INVERSE: return 1 / (x + a);
    case OP_SOFTPLUS: return fmax(x, 0) + log1p(exp(-fabs(x)));
    case OP_SOFTSIGN: return x / (1 + fabs(x));
    case OP_ELU: return x >= 0 ? x : a * expm1(x);
    case OP_SCALED_TANH: return a * tanh(b * x);
    case OP_FLOOR: return floor(x);
    case OP_CEIL: return ceil(x);
    case OP_ROUND: return round(x);
    case OP_SIGN: return (x > 0) - (x < 0);
    case OP_RELU: return fmax(x, 0);
    case OP_RELU6: return fmin(fmax(x, 0), 6);
    case OP_ABS: return fabs(x);
    case OP_SQUARE: return x * x;
    case OP_LEAKY_RELU: return x >= 0 ? x : a * x;
    case OP_CLAMPED_RELU: return fmin(b, x >= 0 ? x : a * x);
    case OP_THRESHOLD: return fmax(x, a);
    case OP_THRESHOLDED_RELU: return x >= a ? x : 0;
    case OP_LINEAR_ACTIVATION: return a * x + b;
    case OP_SIGMOID_HARD: return fmin(fmax(a * x + b, 0), 1);
    case OP_CLIP: return fmin(fmax(x, a), b);
    default: return NAN;
  }
}

static double combine(const plan_node *n, const double *v) {
  double a = v[0], b = v[1];
  switch ((enum ew_code)n->code) {
    case EW_ADD: return a + b;
    case EW_SUB: return a - b;
    case EW_MUL: return a * b;
    case EW_DIV: return a / b;
    case EW_MAX: return fmax(a, b);
    case EW_MIN: return fmin(a, b);
    case EW_POW: return pow(a, b);
    case EW_GT: return a > b;
    case EW_GE: return a >= b;
    case EW_LT: return a < b;
    case EW_LE: return a <= b;
    case EW_EQ: return a == b;
    case EW_NE: return a != b;
    case EW_NOT: return a == 0;
    case EW_SELECT: return a != 0 ? b : v[2];
    case EW_UNARY: return unary(n->fn, a);
    case EW_COPY: return n->closes ? trunc(a) : a;
  }
  return NAN;
}

static void elementwise(const plan *p, const plan_node *n, const double *const *in, double *out) {
  const plan_value *y = &p->value[n->out];
  int64_t stride[3][K_RANK] = {{0}}, index[K_RANK] = {0}, count = plan_elements(y);
  for (int k = 0; k < n->n_in && k < 3; k++) {
    const plan_value *x = &p->value[n->in[k]];
    int64_t own[K_RANK];
    plan_dense_strides(x->rank, x->dim, own);
    for (int i = 0; i < x->rank; i++) stride[k][i + y->rank - x->rank] = x->dim[i] == 1 ? 0 : own[i];
  }
  for (int64_t i = 0; i < count; i++) {
    double v[3] = {0, 0, 0};
    for (int k = 0; k < n->n_in && k < 3; k++) {
      int64_t at = 0;
      for (int axis = 0; axis < y->rank; axis++) at += index[axis] * stride[k][axis];
      v[k] = in[k][at];
    }
    out[i] = combine(n, v);
    for (int axis = y->rank - 1; axis >= 0 && ++index[axis] == y->dim[axis]; axis--) index[axis] = 0;
  }
}

/* -- Products -------------------------------------------------------------------------------------------------------------- */

void report_gemm(const gemm_args *g, report_visit *visit, void *context) {
  for (int64_t b = 0; b < g->batch; b++) {
    int64_t x = 0, w = 0, rest = b;
    for (int i = g->batch_rank - 1; i >= 0; rest /= g->batch_dim[i], i--) {
      x += rest % g->batch_dim[i] * g->x_batch[i];
      w += rest % g->batch_dim[i] * g->w_batch[i];
    }
    for (int64_t i = 0; i < g->m; i++)
      for (int64_t j = 0; j < g->n; j++)
        for (int64_t k = 0; k < g->k; k++)
          visit(context, (b * g->m + i) * g->n + j, x + i * g->x_row + k * g->x_col, w + k * g->w_row + j * g->w_col);
  }
}

/* All taps of input channel ci (of the group) and output channel co (of the group). */
static void conv_plane(const conv_args *c, const int64_t at[4], report_visit *visit, void *context) {
  int64_t image = at[0], group = at[1], ci = at[2], co = at[3];
  int64_t in = c->cin / c->groups, outs = c->cout / c->groups;
  int64_t x = (image * c->cin + group * in + ci) * c->h * c->w, y = (image * c->cout + group * outs + co) * c->oh * c->ow;
  int64_t w = (c->transpose ? (group * in + ci) * outs + co : (group * outs + co) * in + ci) * c->kh * c->kw;
  int64_t rows = c->transpose ? c->h : c->oh, columns = c->transpose ? c->w : c->ow;
  int64_t other_rows = c->transpose ? c->oh : c->h, other_columns = c->transpose ? c->ow : c->w;
  for (int64_t ky = 0; ky < c->kh; ky++)
    for (int64_t kx = 0; kx < c->kw; kx++)
      for (int64_t r = 0; r < rows; r++)
        for (int64_t s = 0; s < columns; s++) {
          int64_t far_r = r * c->stride_h - c->pad_top + ky * c->dilation_h;
          int64_t far_s = s * c->stride_w - c->pad_left + kx * c->dilation_w;
          if (far_r < 0 || far_r >= other_rows || far_s < 0 || far_s >= other_columns) continue;
          int64_t near = r * columns + s, far = far_r * other_columns + far_s;
          visit(context, y + (c->transpose ? far : near), x + (c->transpose ? near : far), w + ky * c->kw + kx);
        }
}

void report_conv(const conv_args *c, report_visit *visit, void *context) {
  int64_t in = c->cin / c->groups, outs = c->cout / c->groups;
  for (int64_t image = 0; image < c->n; image++)
    for (int64_t group = 0; group < c->groups; group++)
      for (int64_t co = 0; co < outs; co++)
        for (int64_t ci = 0; ci < in; ci++) conv_plane(c, (const int64_t[4]){image, group, ci, co}, visit, context);
}

typedef struct {
  const double *x, *w;
  double *y;
} product;

static void accumulate(void *context, int64_t y, int64_t x, int64_t w) {
  const product *p = context;
  p->y[y] += p->x[x] * p->w[w];
}

static void gemm(const gemm_args *g, const double *const *in, double *out) {
  int64_t rows = g->batch * g->m;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < g->n; j++)
      out[i * g->n + j] = g->bias_axis < 0 ? 0 : in[2][g->bias_axis == 0 ? i % g->m : j];
  report_gemm(g, accumulate, &(product){in[0], in[1], out});
}

static void conv(const conv_args *c, const double *const *in, double *out) {
  int64_t pixels = c->oh * c->ow;
  for (int64_t i = 0; i < c->n * c->cout * pixels; i++) out[i] = c->has_bias ? in[2][i / pixels % c->cout] : 0;
  report_conv(c, accumulate, &(product){in[0], in[1], out});
}

/* -- Rows ------------------------------------------------------------------------------------------------------------------- */

static double term(enum mil_op_id kind, double x, double largest) {
  switch ((int)kind) {
    case OP_REDUCE_L1_NORM: return fabs(x);
    case OP_REDUCE_L2_NORM: case OP_REDUCE_SUM_SQUARE: return x * x;
    case OP_REDUCE_LOG_SUM_EXP: return isfinite(largest) ? exp(x - largest) : exp(x);
    default: return x;
  }
}

static double total(enum mil_op_id kind, double sum, double largest, double smallest, int64_t count) {
  switch ((int)kind) {
    case OP_REDUCE_MAX: return largest;
    case OP_REDUCE_MIN: return smallest;
    case OP_REDUCE_MEAN: return sum / (double)count;
    case OP_REDUCE_L2_NORM: return sqrt(sum);
    case OP_REDUCE_LOG_SUM: return log(sum);
    case OP_REDUCE_LOG_SUM_EXP: return log(sum) + (isfinite(largest) ? largest : 0);
    default: return sum;
  }
}

/* Element `index` of the given kind of axes (reduced or kept), as an offset. */
static int64_t place(const reduce_args *r, bool reduced, int64_t index) {
  int64_t at = 0, stride = 1;
  for (int i = r->rank - 1; i >= 0; stride *= r->dim[i], i--) {
    if (r->reduced[i] != reduced) continue;
    at += index % r->dim[i] * stride;
    index /= r->dim[i];
  }
  return at;
}

static void reduce(const reduce_args *r, const double *x, double *out) {
  int64_t outputs = 1, count = 1;
  for (int i = 0; i < r->rank; i++) *(r->reduced[i] ? &count : &outputs) *= r->dim[i];
  for (int64_t o = 0; o < outputs; o++) {
    const double *from = x + place(r, false, o);
    double largest = -INFINITY, smallest = INFINITY, sum = 0;
    for (int64_t i = 0; i < count; i++) {
      double v = from[place(r, true, i)];
      largest = fmax(largest, v);
      smallest = fmin(smallest, v);
    }
    for (int64_t i = 0; i < count; i++) sum += term(r->kind, from[place(r, true, i)], largest);
    out[o] = total(r->kind, sum, largest, smallest, count);
  }
}

static void softmax(const softmax_args *s, const double *x, double *out) {
  for (int64_t i = 0; i < s->outer * s->inner; i++) {
    int64_t at = i / s->inner * s->axis * s->inner + i % s->inner;
    double largest = -INFINITY, sum = 0;
    for (int64_t k = 0; k < s->axis; k++) largest = fmax(largest, x[at + k * s->inner]);
    for (int64_t k = 0; k < s->axis; k++) sum += out[at + k * s->inner] = exp(x[at + k * s->inner] - largest);
    for (int64_t k = 0; k < s->axis; k++) out[at + k * s->inner] /= sum;
  }
}

/* -- Images and copies -------------------------------------------------------------------------------------------------------- */

static double window(const pool_args *a, const double *x, int64_t oy, int64_t ox) {
  double sum = 0, largest = -INFINITY;
  int64_t inside = 0;
  for (int64_t ky = 0; ky < a->kh; ky++)
    for (int64_t kx = 0; kx < a->kw; kx++) {
      int64_t y = oy * a->stride_h - a->pad_top + ky, z = ox * a->stride_w - a->pad_left + kx;
      if (y < 0 || y >= a->h || z < 0 || z >= a->w) continue;
      inside++;
      sum += x[y * a->w + z];
      largest = fmax(largest, x[y * a->w + z]);
    }
  if (!a->average) return largest;
  return sum / (double)(a->exclude_pad ? inside : a->kh * a->kw);
}

static void pool(const pool_args *a, const double *x, double *out) {
  int64_t pixels = a->oh * a->ow;
  for (int64_t i = 0; i < a->planes * pixels; i++)
    out[i] = window(a, x + i / pixels * a->h * a->w, i % pixels / a->ow, i % a->ow);
}

static void upsample(const upsample_args *a, const double *x, double *out) {
  int64_t oh = a->h * a->scale_h, ow = a->w * a->scale_w;
  for (int64_t i = 0; i < a->planes * oh * ow; i++) {
    int64_t y = i / ow % oh / a->scale_h, z = i % ow / a->scale_w;
    out[i] = x[(i / (oh * ow) * a->h + y) * a->w + z];
  }
}

/* Between the four pixels around (px, py) of an h x w plane; pixels outside have the value `outside`. */
static double bilinear(const double *x, int64_t h, int64_t w, double px, double py, double outside) {
  if (!(px > -1 && px < (double)w && py > -1 && py < (double)h)) return outside;
  int64_t left = (int64_t)floor(px), top = (int64_t)floor(py);
  double u = px - (double)left, v = py - (double)top, sum = 0;
  for (int i = 0; i < 4; i++) {
    int64_t c = left + i % 2, r = top + i / 2;
    double weight = (i % 2 ? u : 1 - u) * (i / 2 ? v : 1 - v);
    if (weight != 0) sum += weight * (c < 0 || c >= w || r < 0 || r >= h ? outside : x[r * w + c]);
  }
  return sum;
}

static void resample(const resample_args *a, const double *x, double *out) {
  for (int64_t i = 0; i < a->planes * a->oh * a->ow; i++) {
    double py = resample_position(a->grid, i / a->ow % a->oh, a->h, a->oh);
    out[i] = bilinear(x + i / (a->oh * a->ow) * a->h * a->w, a->h, a->w, resample_position(a->grid, i % a->ow, a->w, a->ow), py, 0);
  }
}

static void affine(const affine_args *a, const double *const *in, double *out) {
  for (int64_t i = 0; i < a->n * a->channels * a->oh * a->ow; i++) {
    int64_t plane = i / (a->oh * a->ow);
    double px, py;
    affine_position(a, in[1] + (a->shared_matrix ? 0 : 6 * (plane / a->channels)), i % a->ow, i / a->ow % a->oh, &px, &py);
    out[i] = bilinear(in[0] + plane * a->h * a->w, a->h, a->w, px, py, (double)f16_to_float(a->padding));
  }
}

static void local_response(const lrn_args *a, const double *x, double *out) {
  for (int64_t i = 0; i < a->outer * a->channels * a->inner; i++) {
    int64_t c = i / a->inner % a->channels;
    double sum = 0;
    for (int64_t j = -((a->size - 1) / 2); j <= a->size / 2; j++)
      if (c + j >= 0 && c + j < a->channels) sum += x[i + j * a->inner] * x[i + j * a->inner];
    out[i] = x[i] * pow(a->k + a->scale * sum, -a->beta);
  }
}

static void copy(const copy_args *c, const double *x, double *out) {
  int64_t index[2 * K_RANK] = {0}, count = 1;
  for (int i = 0; i < c->rank; i++) count *= c->dim[i];
  for (int64_t i = 0; i < count; i++) {
    int64_t from = c->x_offset, to = c->y_offset;
    for (int axis = 0; axis < c->rank; axis++) {
      from += index[axis] * c->x_stride[axis];
      to += index[axis] * c->y_stride[axis];
    }
    out[to] = x[from];
    for (int axis = c->rank - 1; axis >= 0 && ++index[axis] == c->dim[axis]; axis--) index[axis] = 0;
  }
}

void report_exact(const plan *p, const plan_node *n, const double *const *in, double *out) {
  switch (n->kind) {
    case NODE_EW: elementwise(p, n, in, out); return;
    case NODE_GEMM: gemm(n->args, in, out); return;
    case NODE_CONV: conv(n->args, in, out); return;
    case NODE_REDUCE: reduce(n->args, in[0], out); return;
    case NODE_SOFTMAX: softmax(n->args, in[0], out); return;
    case NODE_POOL: pool(n->args, in[0], out); return;
    case NODE_UPSAMPLE: upsample(n->args, in[0], out); return;
    case NODE_RESAMPLE: resample(n->args, in[0], out); return;
    case NODE_AFFINE: affine(n->args, in, out); return;
    case NODE_LRN: local_response(n->args, in[0], out); return;
    case NODE_COPY:
      for (int i = 0; i < n->n_in; i++) copy((const copy_args *)n->args + i, in[i], out);
      return;
  }
}
