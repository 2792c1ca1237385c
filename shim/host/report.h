/* report.h - one run of a program, operation by operation, with what the arithmetic lost. Not used by normal runs.
 *
 *   report.c        reads and lowers the program, evaluates its nodes one after the other, writes the lines
 *   report_exact.c  every kind of node in float64
 *   report_count.c  products that were dropped, values beyond a table */
#ifndef ANEFORGE_HOST_REPORT_H
#define ANEFORGE_HOST_REPORT_H

#include "plan.h"

/* data: the inputs in port order one behind the other, bytes[i] each. One line of JSON per operation:
 *   name, op      as in the program
 *   values        results
 *   products      multiplications of a matrix product or convolution with both operands other than zero
 *   dropped       of these, those that count as 0 because the exponents of their operands sum to less than -16
 *   saturated     sums of products that left the accumulator's range and became infinite
 *   overflowed    other results that are infinite although the float64 value of the same operands is finite
 *   clamped       operands beyond the knots of an activation table
 *   error         relative L2 error of the results against float64 from the same operands; null where there is none
 *   maxError      largest absolute difference of that kind
 *   accumulated   relative L2 error against float64 from the program's inputs on
 * Values that are not finite on one of the two sides take no part in the errors. Free with free(); NULL on failure. */
char *report_run(const char *mil_path, uint32_t n_inputs, const void *data, const uint64_t *bytes, char *error,
                 size_t error_size);

/* The node's results in float64 from operands in float64: dense values of the shape of each operand. */
void report_exact(const plan *p, const plan_node *n, const double *const *in, double *out);

typedef struct {
  int64_t products, dropped, clamped;
} report_counts;

/* in: dense fp16 values of each operand that is fp16, else NULL. */
report_counts report_count(const plan *p, const plan_node *n, const f16 *const *in);

/* Every product of a convolution or a matrix product: calls visit(context, index of y, index of x, index of w). */
typedef void report_visit(void *context, int64_t y, int64_t x, int64_t w);
void report_conv(const conv_args *c, report_visit *visit, void *context);
void report_gemm(const gemm_args *g, report_visit *visit, void *context);

#endif
