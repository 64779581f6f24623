#ifndef FASTCONV_RUN_H
#define FASTCONV_RUN_H

#include <stddef.h>

/* Columns first .. first + count of a tile or a panel; at is where they go to or come from, step
 * the distance between them there. All in elements. */
typedef struct {
    ptrdiff_t first, count, at, step;
} fastconv_run;

/* Where a finished tile goes: of row i, the columns of each run to c + i * row + run.at. On the way
 * the bias is added: one number for each row, or one for each column, or neither. Then comes the
 * ending (base/epilogue.h), or NULL.
 *
 * Meanwhile the rows of A of the next tile may be fetched: `a_ahead` behind the tile's own, or 0. */
typedef struct {
    void *c;
    ptrdiff_t row;
    const fastconv_run *runs;
    ptrdiff_t n_runs;
    const void *row_bias, *column_bias;
    const void *ending;
    int accumulate; /* add to what is there */
    ptrdiff_t a_ahead;
} fastconv_target;

/* Fetch a cache line into the second-level cache. */
#define FASTCONV_FETCH(address) __builtin_prefetch(address, 0, 2)

#endif
