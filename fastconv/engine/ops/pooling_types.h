/* What the loops of pooling take. All numbers that a function is given are of the type of its table,
 * and so wide are places, the integers beside them. Distances between elements (`hop`), and between
 * rows, are in bytes. */
#ifndef FASTCONV_POOLING_TYPES_H
#define FASTCONV_POOLING_TYPES_H

#include <stddef.h>

/* How the rows of windows lie in maps: from one window, plane or row to the next, and between the
 * columns, of which there are `count`. */
typedef struct {
    ptrdiff_t step, plane_step, row_step, hop, count;
    ptrdiff_t pitch;                  /* elements from one line of results to the next */
    ptrdiff_t plane_place, row_place; /* from one plane or row of a window to the next, in cells */
    double power;                     /* of the absolute values that are added */
    int whole;                        /* the same if it is a small integer, else 0 */
} fastconv_rows;

/* How the columns of windows lie in lines: windows `stride` elements apart, their columns
 * `dilation`. Sums are multiplied by `factor`. */
typedef struct {
    ptrdiff_t stride, taps, dilation;
    double factor;
} fastconv_columns;

typedef void (*fastconv_reduce_rows)(const fastconv_rows *p, const char *x, ptrdiff_t lines,
                                     ptrdiff_t depth, ptrdiff_t rows, void *to, void *places);
typedef void (*fastconv_reduce_columns)(const fastconv_columns *p, const void *x,
                                        const void *places, void *to, void *to_places,
                                        ptrdiff_t count);
typedef void (*fastconv_reduce_windows)(const fastconv_columns *p, const long long *windows,
                                        const void *x, const void *places, void *to,
                                        void *to_places, ptrdiff_t count);

/* out = or += x. */
typedef void (*fastconv_join)(void *out, const void *x, ptrdiff_t hop, ptrdiff_t count);

/* What is left of windows, in two steps; `windows` takes the place of `columns` where a table says
 * where they lie. */
typedef struct {
    fastconv_reduce_rows rows;
    fastconv_reduce_columns columns;
    fastconv_reduce_windows windows;
} fastconv_reduction;

typedef struct {
    fastconv_reduction add, add_powers, larger, larger_at;
    /* Of unsigned and signed bytes, in the table of float. */
    fastconv_reduction larger_of_bytes[2], larger_of_bytes_at[2];
    void (*fill)(void *x, double value, ptrdiff_t count);
    void (*fill_places)(void *places, ptrdiff_t value, ptrdiff_t count);
    void (*name_places)(long long *index, const void *places, const long long *windows,
                        ptrdiff_t first, ptrdiff_t stride, ptrdiff_t count);
    void (*narrow)(void *bytes, const void *x, ptrdiff_t count);
    void (*count_cells)(void *cells, const long long *windows, ptrdiff_t count);
    void (*divide)(void *x, double rows, const void *columns, ptrdiff_t count);
    void (*root)(void *x, double factor, double power, ptrdiff_t count);
    fastconv_join take, add_to;
    void (*share)(void *sums, const void *x, ptrdiff_t hop, double factor, double rows,
                  const void *columns, ptrdiff_t count, int first);
    void (*spread)(const fastconv_columns *p, const long long *windows, const void *shares,
                   void *line, ptrdiff_t count);
    void (*interleave)(void *x, const void *phases, ptrdiff_t size, ptrdiff_t hop, ptrdiff_t count);
    void (*twice)(void *x, const void *shares, double factor, ptrdiff_t count);
    void (*repeat_rows)(void *x, ptrdiff_t width, const void *lines, ptrdiff_t pitch,
                        ptrdiff_t rows, ptrdiff_t times, ptrdiff_t count);
    void (*times_slope)(void *gradient, const void *x, ptrdiff_t hop, double power,
                        ptrdiff_t count);
} fastconv_pooling;

#endif
