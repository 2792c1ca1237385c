/* tables.h - the engine's activation functions: 33-knot piecewise linear tables and what is composed from them.
 * NaN reads as +inf; no function returns NaN or -0. */
#ifndef ANEFORGE_HOST_TABLES_H
#define ANEFORGE_HOST_TABLES_H

#include "numerics.h"

f16 table_gelu(f16 x);
f16 table_tanh(f16 x);
f16 table_sigmoid(f16 x);
f16 table_half_tanh(f16 x); /* 0.5 * tanh(x / 2): sigmoid - 0.5 of the older compilers, used by silu */
f16 table_erf(f16 x);
f16 table_atan(f16 x);
f16 table_sin(f16 x);
f16 table_cos(f16 x);

/* Whether x lies beyond the knots of one of the tables above: the result is then a constant, for large x of gelu x itself,
 * and for erf not from the table. */
typedef enum { TABLE_GELU, TABLE_TANH, TABLE_SIGMOID, TABLE_HALF_TANH, TABLE_ERF, TABLE_ATAN } table_id;
bool table_clamps(table_id table, f16 x);

f16 table_exp(f16 x);
f16 table_exp2(f16 x);
f16 table_log(f16 x);
f16 table_reciprocal(f16 x);
f16 table_sqrt(f16 x);
f16 table_rsqrt(f16 x);

#endif
