/* The table of the loops for products with few rows or few steps (thin.pyx), for each instruction
 * set and scalar type. */
#ifndef FASTCONV_THIN_H
#define FASTCONV_THIN_H

#include <stdint.h>

#include "base/isa.h"

/* The most rows of A, and the most steps of an outer product on any instruction set. */
#define FASTCONV_THIN_ROWS 8
#define FASTCONV_THIN_STEPS 8
/* The most vectors of columns that are transposed in turn. */
#define FASTCONV_THIN_GROUPS 4
/* Bytes of sums that wait in the first-level cache. */
#define FASTCONV_THIN_SUMS 16384

/* C = A B + bias for some columns of B. Strides are in elements. */
typedef struct {
    ptrdiff_t columns, steps;
    ptrdiff_t depth;            /* steps that are summed at once */
    ptrdiff_t a_row, a_step;
    ptrdiff_t b_stride;         /* from column to column, or from step to step */
    ptrdiff_t c_row;            /* columns of C are neighbours */
} fastconv_thin;

#define FASTCONV_EACH "gemm/thin_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "gemm/thin_loops.h"
#include "base/regions.h"

static const fastconv_thins_f *const fastconv_thin_table_f[] = FASTCONV_TABLE(thins_f);
static const fastconv_thins_d *const fastconv_thin_table_d[] = FASTCONV_TABLE(thins_d);

static inline ptrdiff_t fastconv_thin_lanes(int isa, ptrdiff_t itemsize)
{
    return itemsize == sizeof(float) ? fastconv_thin_table_f[isa]->lanes
                                     : fastconv_thin_table_d[isa]->lanes;
}

/* The most steps of an outer product. */
static inline ptrdiff_t fastconv_thin_steps(int isa, ptrdiff_t itemsize)
{
    return itemsize == sizeof(float) ? fastconv_thin_table_f[isa]->steps
                                     : fastconv_thin_table_d[isa]->steps;
}

/* Columns that the loop along the steps takes at once. */
static inline ptrdiff_t fastconv_thin_columns(int isa, ptrdiff_t itemsize, ptrdiff_t rows)
{
    return itemsize == sizeof(float) ? fastconv_thin_table_f[isa]->columns[rows - 1]
                                     : fastconv_thin_table_d[isa]->columns[rows - 1];
}

/* A loop of the table: the type of A chooses. */
#define fastconv_thin_pack_turned(isa, b, ...)                                                     \
    FASTCONV_BY_TYPE(b, fastconv_thin_table)[isa]->pack_turned(b, __VA_ARGS__)
#define fastconv_thin_turned(isa, rows, a, ...)                                                    \
    FASTCONV_BY_TYPE(a, fastconv_thin_table)[isa]->turned[(rows)-1](a, __VA_ARGS__)
#define fastconv_thin_level(isa, rows, a, ...)                                                     \
    FASTCONV_BY_TYPE(a, fastconv_thin_table)[isa]->level[(rows)-1](a, __VA_ARGS__)
#define fastconv_thin_outer(isa, steps, a, ...)                                                    \
    FASTCONV_BY_TYPE(a, fastconv_thin_table)[isa]->outer[(steps)-1](a, __VA_ARGS__)

#endif
