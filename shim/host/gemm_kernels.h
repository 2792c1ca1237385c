/* gemm_kernels.h - inside of gemm*.c and conv*.c: the micro-kernels of one instruction set, panels, blocks.
 *
 * A product is cut into blocks (one unit of work: rows x columns of the output), a block into chunks of GEMM_KC along k, and
 * a chunk into panels: `width` rows of the left operand, or nr columns of the right one, stored [k][width] in fp16. The left
 * panel is widened to fp32 once per block and chunk; the right one stays fp16 and is widened in registers. So constant
 * weights keep one times their size in memory, and both arithmetics share one packed form.
 *
 * A tile is one left panel by one right panel. Its accumulators live in scratch between chunks: int32 in units of 2^-16
 * (NUM_ANE) or fp32 (NUM_FAST). Every accumulator sees its products in order of k, whatever the blocking, so neither
 * arithmetic depends on threads or instruction sets. */
#ifndef ANEFORGE_HOST_GEMM_KERNELS_H
#define ANEFORGE_HOST_GEMM_KERNELS_H

#include "isa.h"
#include "kernels.h"

enum { GEMM_KC = 256, GEMM_MAX_NR = 32, GEMM_MAX_MR = 8 };

/* -- Micro-kernels (gemm_impl.h, once per instruction set) --------------------------------------------------------------
 * FAST         fp32 multiply-add
 * NARROW       MAC rule; needs |x*w| < 64 in the whole tile and no right operand with exponent field 31
 * NARROW_DROP  the same, for tiles in which the exponent rule can drop a product
 * WIDE         MAC rule without those limits
 * All three MAC kernels need every partial sum to stay inside int32; SLOW does not (gemm_kernels.slow). */
enum gemm_kind { GEMM_FAST, GEMM_NARROW, GEMM_NARROW_DROP, GEMM_WIDE, GEMM_KINDS };

typedef struct {
  int64_t kc;
  const float *a;             /* [kc][a_stride]; NUM_ANE: in expand_ane form */
  const float *t;             /* [kc][a_stride]: smallest |w| that is not dropped */
  int64_t a_stride;
  const uint8_t *a_min, *b_min; /* per k: smallest exponent field of a nonzero operand (subnormal: 1) */
  const uint16_t *b;          /* [kc][b_stride] fp16 */
  int64_t b_stride;
  void *c;                    /* [rows][nr], added to */
} gemm_tile;

typedef void gemm_tile_fn(const gemm_tile *tile);

/* A right panel of compressed weights (gemm_compressed.h) and what the kernels that read it in place need. */
typedef struct {
  enum weight_kind kind;
  const uint8_t *codes;
  const f16 *scale;           /* INT8: [runs][nr] */
  int64_t first_run, run;     /* steps of k with the first scales; with each of the others */
  const float *table;         /* UINT4 */
  const f16 *values;          /* SPARSE */
  int min;                    /* smallest exponent field of the panel */
  const unsigned char *record;
  int64_t k0;
} gemm_coded;

typedef void gemm_coded_fn(const gemm_tile *tile, const gemm_coded *coded);
enum { GEMM_CODED_ROWS = 3 /* 1, 2 or 4 rows */, GEMM_CODED_KINDS = 3, GEMM_CODED_MODES = 3 /* the first of gemm_kind */ };

/* From codes to fp16. Both write whole vectors; values are [k][width]. */
typedef struct {
  /* n values of q[i] * scale[i % period]; period is a multiple of `lanes`. */
  void (*int8)(const int8_t *q, const float *scale, int period, int64_t n, uint16_t *out);
  /* 8 * groups * stride vectors: dword l of codes[g][s] holds, from its low end on, lane l of vectors (8g + 0..7) * stride + s. */
  void (*uint4)(const uint8_t *codes, const float *table, int64_t groups, int stride, uint16_t *out);
  /* n values, 0 where the mask bit is 0; reads up to a vector beyond the last value. */
  void (*sparse)(const uint8_t *mask, const uint16_t *values, int64_t n, uint16_t *out);
  gemm_coded_fn *tile[GEMM_CODED_KINDS][GEMM_CODED_MODES][GEMM_CODED_ROWS]; /* [kind][gemm_kind][log2 rows], or NULL */
} gemm_coded_kernels;

typedef struct {
  int mr, nr, lanes;
  gemm_tile_fn *tile[GEMM_KINDS][2][4]; /* [kind][0: only the first `lanes` columns, 1: all nr][log2 rows] */
  /* One chunk in order of k with the sticky saturation; sat: [rows][nr], 0 or the sign of the infinity reached. */
  void (*slow)(const gemm_tile *tile, int rows, int8_t *sat);
  /* fp16 -> fp32; both write up to a multiple of `lanes` values. expand_ane: exponent field 31 is an ordinary exponent,
   * times 2^16, and nonzero values get their last bit set (see tile_narrow). */
  void (*expand)(const uint16_t *h, int64_t n, float *out);
  void (*expand_ane)(const uint16_t *h, int64_t n, float *out);
  void (*threshold)(const float *a, int64_t n, float *t); /* from expand_ane form */
  /* round_ane, add_ane and scale_ane also work on whole vectors. */
  void (*round_ane)(const int32_t *c, int64_t n, float *out); /* units of 2^-16 -> RHA, as fp32 */
  void (*store)(const float *v, int64_t n, f16 *out);         /* exactly n values, round to nearest even */
  uint32_t (*largest)(const int32_t *c, int64_t n);           /* magnitude */
  /* RHA(a[i] + sign * b[i]) and RHA2(a[i] * w), for finite fp16 values in fp32. */
  void (*add_ane)(const float *a, const float *b, float sign, int64_t n, f16 *out);
  void (*scale_ane)(const float *a, float w, int64_t n, f16 *out);
  gemm_coded_kernels coded;
} gemm_kernels;

const gemm_kernels *gemm_kernels_get(void);
extern const gemm_kernels gemm_kernels_portable;
#if defined(__x86_64__)
extern const gemm_kernels gemm_kernels_avx2, gemm_kernels_avx512;
#elif defined(__aarch64__)
extern const gemm_kernels gemm_kernels_neon;
#endif

/* -- Panels (gemm_pack.c) ------------------------------------------------------------------------------------------------ */
typedef struct {
  const uint16_t *v; /* [kc][stride] */
  int64_t stride;
  const uint8_t *k_min;
  int max, min;      /* of the panel: largest |bits|; smallest exponent field as in gemm_tile */
  const gemm_coded *coded; /* not NULL: v is not there yet (gemm_coded_expand) */
} gemm_panel;

/* dst[k*width + i] = src[i*s_lane + k*s_k] for i < count, 0 for count <= i < width. */
void gemm_pack(const f16 *src, int64_t s_lane, int64_t s_k, int64_t count, int width, int64_t kc, uint16_t *dst);
/* Fills max, min and k_min (kc bytes) of a panel whose v and stride are set. */
void gemm_panel_limits(gemm_panel *panel, int width, int64_t kc, uint8_t *k_min);
/* Only max, for panels read in place: min and k_min then say "may drop". */
void gemm_panel_max(gemm_panel *panel, int width, int64_t kc);

/* Where panels come from. get() may use v (kc*width fp16) and k_min (kc bytes), or point into its own memory. */
typedef struct gemm_source gemm_source;
struct gemm_source {
  void (*get)(const gemm_source *source, int64_t first, int64_t count, int width, int64_t k0, int64_t kc, uint16_t *v,
              uint8_t *k_min, gemm_panel *out);
  const void *ctx;
  bool ane;
  /* gemm_source_strided, gemm_source_packed */
  const f16 *base;
  int64_t s_lane, s_k;
  bool few_rows; /* right panels meet so few rows that neither copying nor k_min is worth while */
  const unsigned char *packed;
  int64_t lanes, full_width, k;
};

gemm_source gemm_source_strided(const f16 *base, int64_t s_lane, int64_t s_k, bool ane, bool few_rows);
/* Sets v and stride of a packed right or left panel, and its limits where they are needed. */
void gemm_panel_done(const gemm_source *source, const uint16_t *v, int width, int64_t kc, uint8_t *k_min, gemm_panel *out);

/* The packed form of a constant operand with `lanes` rows or columns: for each chunk, for each panel, one record: header,
 * k_min, values. full_width is mr for a left operand, nr for a right one. */
size_t gemm_packed_size(int64_t lanes, int full_width, int64_t k);
void gemm_packed_fill(const gemm_source *from, bool left, int64_t lanes, int full_width, int64_t k, void *packed);
gemm_source gemm_source_packed(const void *packed, int64_t lanes, int full_width, int64_t k);

/* Width of a left panel with `count` <= mr rows: the smallest power of two that holds them. Right panels have nr always. */
int gemm_left_width(int64_t count);

/* -- Units: `matrices` products of rows x cols x k, each cut into row_blocks x col_blocks blocks of mc x nc (gemm.c) -------- */
typedef struct {
  const gemm_kernels *kern;
  int64_t rows, cols, mc, nc, row_blocks, col_blocks, units;
} gemm_split;

gemm_split gemm_split_of(int64_t matrices, int64_t rows, int64_t cols, int64_t k);

/* -- Blocks (gemm_block.c) ------------------------------------------------------------------------------------------------- */
typedef struct {
  const gemm_kernels *kern;
  bool ane;
  int64_t row0, rows, col0, cols, k; /* row0 is a multiple of mr, col0 of nr */
  int64_t chunk;     /* at most GEMM_KC; exactly that with packed operands */
  const gemm_source *a, *b;
  const f16 *bias;   /* of row 0 or column 0 of the whole matrix, or NULL */
  bool bias_columns;
  f16 *y;            /* the whole output; row i, column j of the product has flat index y_flat + i * y_row + j */
  int64_t y_row;
  const ew_args *epilogue; /* or NULL: y is stored */
  int epilogue_reg;
  int64_t y_flat;
} gemm_block;

/* Accumulators of a block, in scratch. */
typedef struct {
  int64_t row_panels, col_panels;
  void *c;             /* [row panel][column panel][mr][nr] */
  int8_t *sat;         /* same layout; valid where tile_sat is set */
  uint8_t *tile_sat;
  double *reach;       /* per tile: no accumulator is larger, in units */
} gemm_acc;

size_t gemm_acc_size(const gemm_kernels *kern, int64_t rows, int64_t cols);
size_t gemm_work_size(const gemm_kernels *kern, int64_t rows); /* panels */
size_t gemm_emit_size(const ew_program *epilogue);
/* Carves acc from memory (gemm_acc_size bytes) and fills it with the products. */
void gemm_accumulate(const gemm_block *block, gemm_acc *acc, void *memory, void *work);
/* One row of accumulators, columns [first, first + n) of the block; first a multiple of nr, room for n rounded up to nr.
 * _row: as fp32, in NUM_ANE rounded to fp16. _units: NUM_ANE, unrounded in units of 2^-16, +-inf where saturated. */
void gemm_acc_row(const gemm_block *block, const gemm_acc *acc, int64_t row, int64_t first, int64_t n, float *out);
void gemm_acc_units(const gemm_block *block, const gemm_acc *acc, int64_t row, int64_t first, int64_t n, double *out);
/* Gives n <= EW_TILE finished values at flat index `flat` to the epilogue or to y. */
void gemm_emit(const gemm_block *block, int64_t flat, int64_t n, const float *values, void *scratch);
void gemm_finish(const gemm_block *block, const gemm_acc *acc, void *emit);

static inline int64_t gemm_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t gemm_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t gemm_round_up(int64_t a, int64_t b) { return gemm_ceil_div(a, b) * b; }
static inline size_t gemm_align(size_t bytes) { return (bytes + 63) & ~(size_t)63; }

#endif
