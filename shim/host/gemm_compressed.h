/* gemm_compressed.h - inside of gemm*.c, conv.c and pack_compressed.c: panels of compressed weights.
 *
 * The packed form of one or more equal matrices is, for each of them, a table of 64-bit offsets [chunk][panel] of records;
 * then the records. A record is a coded_header, scales, then the codes of [k][width] values, width as for fp16 panels:
 *   INT8    fp16 scale[runs][width], runs of k with the same scales touching the chunk; int8 [k][width]
 *   UINT4   groups of 8 vectors, see gemm_coded_kernels.uint4; right panels keep the 8 values of a column together
 *   SPARSE  a bit per value; the fp16 values whose bit is set
 * Unlike fp16 panels, there is no k_min per step: all steps have the panel's. */
#ifndef ANEFORGE_HOST_GEMM_COMPRESSED_H
#define ANEFORGE_HOST_GEMM_COMPRESSED_H

#include "gemm_kernels.h"

/* A matrix inside the codes: lane i, step k is element offset + i * s_lane + k * s_k. */
typedef struct {
  const weight_codes *codes;
  int64_t offset, s_lane, s_k, lanes, k;
  int full_width;
  bool left;
} coded_matrix;

/* Steps of k that have the same scales, from multiples of it on; 0: scales do not go with lanes and such runs. */
int64_t coded_run_of(const coded_matrix *matrix);
/* Bytes of the packed form of n matrices; fills it unless packed is NULL. 0: no memory. */
size_t coded_pack(const coded_matrix *matrix, int64_t n, void *packed);
/* Panels of matrix `index` of n. lazy: right panels are left in their form for gemm_coded_kernels.tile. */
typedef struct {
  coded_matrix matrix;
  const unsigned char *packed, *offsets;
  int64_t run;
  bool lazy;
  float table[16];
  gemm_coded coded;
} coded_panels;

gemm_source coded_source(coded_panels *panels, const coded_matrix *matrix, int64_t index, const void *packed, bool ane, bool lazy);
/* Fills in a panel that was left in its form. */
void gemm_coded_expand(const gemm_source *source, int64_t kc, int width, uint16_t *v, uint8_t *k_min, gemm_panel *panel);

#endif
