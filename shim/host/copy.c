#include <stdbool.h>
#include <string.h>

#include "kernels.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

enum { DIMS = 2 * K_RANK, RUN_PIECE = 16384, SHORT_RUN = 64, LINES = 64, BLOCK = 16 };

/* The same copy with dimensions of size 1 dropped and neighbours merged that one pair of strides covers; innermost last. When
 * the output is dense along the innermost dimension and the input along another one, that other one is `crossed`: both are
 * walked in blocks, a unit being BLOCK lines of it. Otherwise a unit is a piece of an innermost run, or LINES short runs. */
typedef struct {
  int rank, crossed; /* crossed: -1 if there is none */
  int64_t dim[DIMS], x[DIMS], y[DIMS];
  int along;         /* the dimension units are pieces of, */
  int64_t piece;     /* of this many */
  int64_t pieces, units;
} copy_plan;

static copy_plan make_plan(const copy_args *a) {
  copy_plan p = {.crossed = -1};
  for (int k = 0; k < a->rank; k++) {
    if (a->dim[k] == 1) continue;
    int last = p.rank - 1;
    if (p.rank && p.x[last] == a->x_stride[k] * a->dim[k] && p.y[last] == a->y_stride[k] * a->dim[k]) {
      p.dim[last] *= a->dim[k];
      p.x[last] = a->x_stride[k];
      p.y[last] = a->y_stride[k];
      continue;
    }
    p.dim[p.rank] = a->dim[k];
    p.x[p.rank] = a->x_stride[k];
    p.y[p.rank++] = a->y_stride[k];
  }
  if (p.rank == 0) p.dim[p.rank] = 1, p.x[p.rank] = p.y[p.rank] = 1, p.rank = 1;
  int inner = p.rank - 1;
  for (int k = inner - 1; k >= 0 && p.crossed < 0; k--)
    if (p.y[inner] == 1 && p.x[inner] != 1 && p.x[inner] != 0 && p.x[k] == 1 && p.dim[k] >= 4) p.crossed = k;
  if (p.crossed >= 0) p.along = p.crossed, p.piece = BLOCK;
  else if (inner > 0 && p.dim[inner] < SHORT_RUN) p.along = inner - 1, p.piece = LINES;
  else p.along = inner, p.piece = RUN_PIECE;
  p.pieces = p.units = (p.dim[p.along] + p.piece - 1) / p.piece;
  for (int k = 0; k < inner; k++)
    if (k != p.along) p.units *= p.dim[k];
  return p;
}

int64_t copy_units(const copy_args *args) { return make_plan(args).units; }

/* -- Runs ---------------------------------------------------------------------------------------------------------- */

#define COPY_RUN(type)                                                                       \
  {                                                                                          \
    const type *x = from;                                                                    \
    type *y = to;                                                                            \
    if (xs == 0 && ys == 1) {                                                                \
      const type v = *x;                                                                     \
      for (int64_t i = 0; i < n; i++) y[i] = v;                                              \
    } else if (ys == 1) {                                                                    \
      for (int64_t i = 0; i < n; i++) y[i] = x[i * xs];                                      \
    } else {                                                                                 \
      for (int64_t i = 0; i < n; i++) y[i * ys] = x[i * xs];                                 \
    }                                                                                        \
  }

static void copy_run_of(int element, const void *from, void *to, int64_t xs, int64_t ys, int64_t n) {
  if (xs == 1 && ys == 1) memcpy(to, from, (size_t)n * (size_t)element);
  else if (element == 1) COPY_RUN(uint8_t)
  else COPY_RUN(uint16_t)
}

/* -- Blocks: y[r * ys + c] = x[c * xs + r] ------------------------------------------------------------------------- */

static void transpose8(const uint16_t *x, int64_t xs, uint16_t *y, int64_t ys) {
#if defined(__SSE2__)
  __m128i a[8], b[8];
  for (int i = 0; i < 8; i++) a[i] = _mm_loadu_si128((const __m128i *)(x + i * xs));
  for (int i = 0; i < 4; i++) { /* interleave lines 4 apart, three times: a perfect shuffle of the 64 values each */
    b[2 * i] = _mm_unpacklo_epi16(a[i], a[i + 4]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);
  }
  for (int i = 0; i < 4; i++) {
    a[2 * i] = _mm_unpacklo_epi16(b[i], b[i + 4]);
    a[2 * i + 1] = _mm_unpackhi_epi16(b[i], b[i + 4]);
  }
  for (int i = 0; i < 4; i++) {
    b[2 * i] = _mm_unpacklo_epi16(a[i], a[i + 4]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[i], a[i + 4]);
  }
  for (int i = 0; i < 8; i++) _mm_storeu_si128((__m128i *)(y + i * ys), b[i]);
#elif defined(__aarch64__)
  uint16x8_t a[8], b[8];
  for (int i = 0; i < 8; i++) a[i] = vld1q_u16(x + i * xs);
  for (int i = 0; i < 4; i++) b[2 * i] = vzip1q_u16(a[i], a[i + 4]), b[2 * i + 1] = vzip2q_u16(a[i], a[i + 4]);
  for (int i = 0; i < 4; i++) a[2 * i] = vzip1q_u16(b[i], b[i + 4]), a[2 * i + 1] = vzip2q_u16(b[i], b[i + 4]);
  for (int i = 0; i < 4; i++) b[2 * i] = vzip1q_u16(a[i], a[i + 4]), b[2 * i + 1] = vzip2q_u16(a[i], a[i + 4]);
  for (int i = 0; i < 8; i++) vst1q_u16(y + i * ys, b[i]);
#else
  for (int r = 0; r < 8; r++)
    for (int c = 0; c < 8; c++) y[r * ys + c] = x[c * xs + r];
#endif
}

#define COPY_BLOCK(type)                                                                     \
  {                                                                                          \
    const type *x = from;                                                                    \
    type *y = to;                                                                            \
    for (int64_t r = first_row; r < rows; r++)                                               \
      for (int64_t c = first_column; c < columns; c++) y[r * ys + c] = x[c * xs + r];        \
  }

static void copy_rest(int element, const void *from, void *to, int64_t xs, int64_t ys, int64_t first_row, int64_t rows,
                      int64_t first_column, int64_t columns) {
  if (element == 1) COPY_BLOCK(uint8_t)
  else COPY_BLOCK(uint16_t)
}

/* rows <= BLOCK lines of `columns` elements, in strips of BLOCK columns. */
static void copy_crossed(int element, const char *from, char *to, int64_t xs, int64_t ys, int64_t rows, int64_t columns) {
  for (int64_t c = 0; c < columns; c += BLOCK) {
    int64_t n = columns - c < BLOCK ? columns - c : BLOCK;
    const char *x = from + c * xs * element;
    char *y = to + c * element;
    int64_t whole_rows = element == 2 ? rows & ~7 : 0, whole_columns = n & ~7;
    for (int64_t r = 0; r < whole_rows; r += 8)
      for (int64_t k = 0; k < whole_columns; k += 8)
        transpose8((const uint16_t *)(const void *)x + k * xs + r, xs, (uint16_t *)(void *)y + r * ys + k, ys);
    copy_rest(element, x, y, xs, ys, whole_rows, rows, 0, n);
    copy_rest(element, x, y, xs, ys, 0, whole_rows, whole_columns, n);
  }
}

/* -- Units --------------------------------------------------------------------------------------------------------- */

void copy_run(const copy_args *args, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  const copy_plan p = make_plan(args);
  const int inner = p.rank - 1, element = args->element;
  for (int64_t unit = first; unit < last; unit++) {
    int64_t piece = unit % p.pieces, rest = unit / p.pieces, x = args->x_offset, y = args->y_offset;
    for (int k = inner - 1; k >= 0; k--) {
      if (k == p.along) continue;
      x += rest % p.dim[k] * p.x[k];
      y += rest % p.dim[k] * p.y[k];
      rest /= p.dim[k];
    }
    int64_t begin = piece * p.piece, n = p.dim[p.along] - begin < p.piece ? p.dim[p.along] - begin : p.piece;
    const char *from = (const char *)args->x + (x + begin * p.x[p.along]) * element;
    char *to = (char *)args->y + (y + begin * p.y[p.along]) * element;
    if (p.crossed >= 0) {
      copy_crossed(element, from, to, p.x[inner], p.y[p.crossed], n, p.dim[inner]);
    } else if (p.along == inner) {
      copy_run_of(element, from, to, p.x[inner], p.y[inner], n);
    } else {
      for (int64_t i = 0; i < n; i++)
        copy_run_of(element, from + i * p.x[p.along] * element, to + i * p.y[p.along] * element, p.x[inner], p.y[inner],
                    p.dim[inner]);
    }
  }
}

/* The scalar twin walks the dimensions as given; a range is that share of all elements. */
void copy_run_ref(const copy_args *args, int64_t first, int64_t last, void *scratch) {
  (void)scratch;
  const int64_t units = copy_units(args);
  int64_t total = 1;
  for (int k = 0; k < args->rank; k++) total *= args->dim[k];
  for (int64_t i = total * first / units; i < total * last / units; i++) {
    int64_t x = args->x_offset, y = args->y_offset, rest = i;
    for (int k = args->rank - 1; k >= 0; k--) {
      x += rest % args->dim[k] * args->x_stride[k];
      y += rest % args->dim[k] * args->y_stride[k];
      rest /= args->dim[k];
    }
    for (int b = 0; b < args->element; b++)
      ((char *)args->y)[y * args->element + b] = ((const char *)args->x)[x * args->element + b];
  }
}
