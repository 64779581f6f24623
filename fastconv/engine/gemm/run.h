#ifndef FASTCONV_RUN_H
#define FASTCONV_RUN_H

#include <stddef.h>

/* Columns first .. first + count of a tile or a panel; at is where they go to or come from, step
 * the distance between them there. All in elements. */
typedef struct {
    ptrdiff_t first, count, at, step;
} fastconv_run;

/* Where a finished tile goes: of row i, the columns of each run to c + i * row + run.at. On the way
 * the bias is added: one number for each row, or one for each column, or neither. */
typedef struct {
    void *c;
    ptrdiff_t row;
    const fastconv_run *runs;
    ptrdiff_t n_runs;
    const void *row_bias, *column_bias;
    int accumulate; /* add to what is there */
} fastconv_target;

/* Rows of the maps that go into planes of a slab (slab.pyx), of one sample and depth. Row i is the
 * one at `at` + i * stride in an axis of `size` rows; outside, it is zeros. In elements. */
typedef struct {
    ptrdiff_t at, stride, size;
    ptrdiff_t hop, step;               /* from row to row of the maps, from column to column */
    ptrdiff_t rows, width, plane;      /* of the slab; from plane to plane */
    ptrdiff_t channel, target_channel; /* from channel to channel of the maps, of the slab */
    ptrdiff_t begin, span;             /* where a channel's numbers are parted at once, or none */
} fastconv_piece;

/* Where the rows of a plane begin, from the piece's: their place in the axis, and their first
 * number inside. Columns low .. high are inside, the others are zeros. */
typedef struct {
    ptrdiff_t at, first, low, high;
} fastconv_plane;

/* Fetch a cache line into the second-level cache. */
#define FASTCONV_FETCH(address) __builtin_prefetch(address, 0, 2)

/* So many numbers are parted at once. */
#define FASTCONV_SPAN 2048

#endif
