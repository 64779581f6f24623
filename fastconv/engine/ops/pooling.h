/* The loops of pooling (pooling_loops.h) for every instruction set, for float and double. All numbers
 * that a function is given are of the type of its table, and so wide are places, the integers beside
 * them. Distances between elements (`hop`), and between rows, are in bytes. */
#ifndef FASTCONV_POOLING_H
#define FASTCONV_POOLING_H

#include <stdint.h>
#include <string.h>

#include "base/isa.h"

/* How the rows of windows lie in maps: from one window, plane or row to the next, and between the
 * columns, of which there are `count`. */
typedef struct {
    ptrdiff_t step, plane_step, row_step, hop, count;
    ptrdiff_t pitch;   /* elements from one line of results to the next */
    ptrdiff_t numbers; /* a plane has so many numbers of rows */
} fastconv_rows;

typedef void (*fastconv_reduce)(const fastconv_rows *p, const char *x, ptrdiff_t lines,
                                ptrdiff_t depth, ptrdiff_t rows, void *to, void *places);
/* out = or op= x. */
typedef void (*fastconv_join)(void *out, const void *x, ptrdiff_t hop, ptrdiff_t count);

typedef struct {
    fastconv_reduce add_rows, larger_rows, larger_rows_at;
    fastconv_join take, add, larger;
    void (*take_places)(void *row, void *column, const void *rows, ptrdiff_t hop, ptrdiff_t count);
    void (*larger_column)(void *best, void *row, void *column, const void *x, const void *rows,
                          ptrdiff_t hop, ptrdiff_t number, ptrdiff_t count);
    void (*fill)(void *x, double value, ptrdiff_t count);
    void (*fill_places)(void *places, ptrdiff_t value, ptrdiff_t count);
    void (*name_places)(long long *index, const void *row, const void *column,
                        const ptrdiff_t *offsets, ptrdiff_t dilation, const long long *windows,
                        ptrdiff_t first, ptrdiff_t stride, ptrdiff_t count);
    void (*halve)(void *y, const void *x, double factor, ptrdiff_t count);
    void (*scale)(void *x, double factor, ptrdiff_t count);
    void (*count_cells)(void *cells, const long long *windows, ptrdiff_t count);
    void (*divide)(void *x, double rows, const void *columns, ptrdiff_t count);
    void (*share)(void *sums, const void *x, ptrdiff_t hop, double factor, double rows,
                  const void *columns, ptrdiff_t count, int first);
    void (*interleave)(void *x, const void *phases, ptrdiff_t size, ptrdiff_t hop, ptrdiff_t count);
    void (*twice)(void *x, const void *shares, double factor, ptrdiff_t count);
    void (*repeat_rows)(void *x, ptrdiff_t width, const void *lines, ptrdiff_t pitch,
                        ptrdiff_t rows, ptrdiff_t times, ptrdiff_t count);
} fastconv_pooling;

#define FASTCONV_EACH "ops/pooling_loops.h"
#include "base/regions.h"

static const fastconv_pooling *const fastconv_pooling_f[] = FASTCONV_TABLE(pooling_f);
static const fastconv_pooling *const fastconv_pooling_d[] = FASTCONV_TABLE(pooling_d);

static inline const fastconv_pooling *fastconv_pooling_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_pooling_f : fastconv_pooling_d)[isa];
}

#endif
