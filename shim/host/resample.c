/* resample.c - images of another size, and images sampled at affinely mapped positions. */
#include <math.h>
#include <string.h>

#include "image.h"

/* -- Shared ---------------------------------------------------------------------------------------------------------- */

static inline double read_value(f16 h, bool ane) {
  double v = f16_to_float(h);
  return ane && v != v ? (double)INFINITY : v;
}

static inline f16 write_value(double v, bool ane) {
  if (!ane) return f16_from_float((float)v);
  return v != v ? 0 : f16_rha(v);
}

/* (1 - t) a + t b; what has weight 0 does not count, even when it is infinite. */
static inline double blend(double a, double b, double t) {
  double keep = t == 1 ? 0 : (1 - t) * a, take = t == 0 ? 0 : t * b;
  return keep + take;
}

static float round_weight(double weight, enum num_mode mode) {
  return mode == NUM_ANE ? f16_to_float(f16_from_float((float)weight)) : (float)weight;
}

/* -- Resampling ------------------------------------------------------------------------------------------------------ */

double resample_position(enum resample_grid grid, int64_t i, int64_t from, int64_t to) {
  double n = (double)from, m = (double)to, at = (double)i * n / m;
  if (grid == GRID_NEAREST) return (double)(i * from / to);
  if (grid == GRID_CENTRES) at = ((double)i + 0.5) * n / m - 0.5;
  if (grid == GRID_CORNERS) at = to == 1 ? (n - 1) / 2 : (double)i * (n - 1) / (m - 1);
  if (grid == GRID_STRICT_CORNERS) at = to == 1 ? 0 : (double)i * (n - 1) / (m - 1);
  if (grid == GRID_OFFSET) at = ((double)i + 0.5) * (from > 1 ? n - 1 : 1) / m;
  return fmin(fmax(at, 0), n - 1);
}

void resample_taps(enum resample_grid grid, int64_t from, int64_t to, enum num_mode mode, resample_tap *out) {
  for (int64_t i = 0; i < to; i++) {
    double at = resample_position(grid, i, from, to);
    int32_t low = (int32_t)at;
    float weight = low + 1 < from ? round_weight(at - low, mode) : 0;
    if (weight == 1) {
      low++;
      weight = 0;
    }
    out[i] = (resample_tap){low, weight == 0 ? low : low + 1, weight};
  }
}

int64_t resample_units(const resample_args *a) { return a->planes * a->oh; }

/* Two rows of the operand as fp64, and one blended row. */
size_t resample_scratch(const resample_args *a) { return 3 * sizeof(double) * (size_t)a->w; }

/* The last two rows that were widened: consecutive output rows mostly need the same ones. */
typedef struct {
  double *row[2];
  int64_t id[2];
  int older;
} row_cache;

static const double *widen(row_cache *c, const resample_args *a, int64_t id, int64_t keep) {
  for (int k = 0; k < 2; k++)
    if (c->id[k] == id) return c->row[k];
  int k = c->id[c->older] == keep ? 1 - c->older : c->older;
  const bool ane = a->profile.mode == NUM_ANE;
  const f16 *x = a->x + id * a->w;
  double *d = c->row[k];
  for (int64_t i = 0; i < a->w; i++) d[i] = read_value(x[i], ane);
  c->id[k] = id;
  c->older = 1 - k;
  return d;
}

static bool columns_are_plain(const resample_args *a) {
  if (a->ow != a->w) return false;
  for (int64_t i = 0; i < a->ow; i++)
    if (a->column[i].low != i || a->column[i].weight != 0) return false;
  return true;
}

/* Rows and columns that are only picked are moved: every bit pattern stays what it is. */
static void pick_row(const resample_args *a, const f16 *x, f16 *y, bool plain) {
  if (plain) memcpy(y, x, (size_t)a->ow * sizeof *y);
  else
    for (int64_t i = 0; i < a->ow; i++) y[i] = x[a->column[i].low];
}

static bool only_picks(const resample_args *a) {
  for (int64_t i = 0; i < a->oh; i++)
    if (a->row[i].weight != 0) return false;
  for (int64_t i = 0; i < a->ow; i++)
    if (a->column[i].weight != 0) return false;
  return true;
}

void resample_run(const resample_args *a, int64_t first, int64_t last, void *scratch) {
  const bool ane = a->profile.mode == NUM_ANE, picks = only_picks(a), plain = columns_are_plain(a);
  double *room = scratch;
  row_cache cache = {{room, room + a->w}, {-1, -1}, 0};
  double *mixed = room + 2 * a->w;
  for (int64_t unit = first; unit < last; unit++) {
    int64_t plane = unit / a->oh * a->h;
    const resample_tap t = a->row[unit % a->oh];
    f16 *y = a->y + unit * a->ow;
    if (picks) {
      pick_row(a, a->x + (plane + t.low) * a->w, y, plain);
      continue;
    }
    const double *v = widen(&cache, a, plane + t.low, -1);
    if (t.weight != 0) {
      const double *high = widen(&cache, a, plane + t.high, plane + t.low);
      const double w = t.weight, keep = 1 - w;
      for (int64_t i = 0; i < a->w; i++) mixed[i] = keep * v[i] + w * high[i];
      v = mixed;
    }
    for (int64_t i = 0; i < a->ow; i++) {
      const resample_tap c = a->column[i];
      y[i] = write_value(blend(v[c.low], v[c.high], c.weight), ane);
    }
  }
}

void resample_run_ref(const resample_args *a, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  const bool ane = a->profile.mode == NUM_ANE, picks = only_picks(a);
  for (int64_t at = first * a->ow; at < last * a->ow; at++) {
    const resample_tap r = a->row[at / a->ow % a->oh], c = a->column[at % a->ow];
    const f16 *low = a->x + (at / a->ow / a->oh * a->h + r.low) * a->w, *high = low + (r.high - r.low) * a->w;
    double left = blend(read_value(low[c.low], ane), read_value(high[c.low], ane), r.weight);
    double right = blend(read_value(low[c.high], ane), read_value(high[c.high], ane), r.weight);
    a->y[at] = picks ? low[c.low] : write_value(blend(left, right, c.weight), ane);
  }
}

/* -- Affine sampling --------------------------------------------------------------------------------------------------- */

/* The four pixels around a position: offsets in a plane, -1 outside. */
typedef struct {
  int64_t at[4]; /* top left, top right, bottom left, bottom right */
  double right, down;
} sample;

/* Coordinate of pixel i of n, and the reverse. */
static double to_unit(int64_t i, int64_t n, bool corners) {
  if (!corners) return (2 * (double)i + 1) / (double)n - 1;
  return n == 1 ? 0 : 2 * (double)i / (double)(n - 1) - 1;
}

static double to_pixel(double c, int64_t n, bool corners) {
  return corners ? (c + 1) / 2 * (double)(n - 1) : ((c + 1) * (double)n - 1) / 2;
}

void affine_position(const affine_args *a, const double *m, int64_t ox, int64_t oy, double *px, double *py) {
  double x = to_unit(ox, a->ow, a->align_corners), y = to_unit(oy, a->oh, a->align_corners);
  *px = to_pixel(m[0] * x + m[1] * y + m[2], a->w, a->align_corners);
  *py = to_pixel(m[3] * x + m[4] * y + m[5], a->h, a->align_corners);
}

static sample locate(const affine_args *a, const f16 *row, int64_t oy, int64_t ox) {
  double m[6], px, py;
  for (int i = 0; i < 6; i++) m[i] = f16_to_float(row[i]);
  affine_position(a, m, ox, oy, &px, &py);
  sample s = {{-1, -1, -1, -1}, 0, 0};
  if (!(px > -1 && px < (double)a->w && py > -1 && py < (double)a->h)) return s; /* NaN too */
  int64_t left = (int64_t)floor(px), top = (int64_t)floor(py);
  s.right = round_weight(px - (double)left, a->profile.mode);
  s.down = round_weight(py - (double)top, a->profile.mode);
  for (int i = 0; i < 4; i++) {
    int64_t c = left + i % 2, r = top + i / 2;
    if (c >= 0 && c < a->w && r >= 0 && r < a->h) s.at[i] = r * a->w + c;
  }
  return s;
}

static f16 take(const affine_args *a, const sample *s, const f16 *plane) {
  const bool ane = a->profile.mode == NUM_ANE;
  double v[4];
  for (int i = 0; i < 4; i++) v[i] = read_value(s->at[i] < 0 ? a->padding : plane[s->at[i]], ane);
  return write_value(blend(blend(v[0], v[2], s->down), blend(v[1], v[3], s->down), s->right), ane);
}

int64_t affine_units(const affine_args *a) { return a->n * a->oh; }
size_t affine_scratch(const affine_args *a) { return sizeof(sample) * (size_t)a->ow; }

/* Positions are the same for all channels. */
void affine_run(const affine_args *a, int64_t first, int64_t last, void *scratch) {
  sample *s = scratch;
  for (int64_t unit = first; unit < last; unit++) {
    int64_t image = unit / a->oh, oy = unit % a->oh;
    const f16 *row = a->matrix + (a->shared_matrix ? 0 : 6 * image);
    for (int64_t ox = 0; ox < a->ow; ox++) s[ox] = locate(a, row, oy, ox);
    for (int64_t c = 0; c < a->channels; c++) {
      int64_t plane = image * a->channels + c;
      f16 *y = a->y + (plane * a->oh + oy) * a->ow;
      for (int64_t ox = 0; ox < a->ow; ox++) y[ox] = take(a, &s[ox], a->x + plane * a->h * a->w);
    }
  }
}

void affine_run_ref(const affine_args *a, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  for (int64_t unit = first; unit < last; unit++)
    for (int64_t k = 0; k < a->channels * a->ow; k++) {
      int64_t image = unit / a->oh, oy = unit % a->oh, plane = image * a->channels + k / a->ow, ox = k % a->ow;
      sample s = locate(a, a->matrix + (a->shared_matrix ? 0 : 6 * image), oy, ox);
      a->y[(plane * a->oh + oy) * a->ow + ox] = take(a, &s, a->x + plane * a->h * a->w);
    }
}
