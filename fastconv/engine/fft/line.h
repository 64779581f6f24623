/* Transforms of lines, a vector of lines at a time, and what brings the numbers of images into them,
 * and back: the types; lines.h has the loops.
 *
 * A cell is a vector of real parts and, behind it, one of imaginary parts: the numbers of LANES
 * lines at one place. */
#ifndef FASTCONV_LINE_H
#define FASTCONV_LINE_H

#include <stddef.h>

enum { FASTCONV_MOST_FACTORS = 32 };

/* The transform of a line: its length is the product of the factors, which are 2, 3, 4, 5 or 8. */
typedef struct {
    ptrdiff_t length, factors;
    ptrdiff_t factor[FASTCONV_MOST_FACTORS];
    ptrdiff_t first[FASTCONV_MOST_FACTORS]; /* where the twiddles of a step begin, in scalars */
    const void *twiddles;
} fastconv_line;

/* The cells of an image that a block of rows and columns lies over: row i, column j is there if it
 * is within the bounds, and `first` <= i * pitch + j < `end`, which cuts a line into rows. Strides
 * are in bytes; `data` is where row 0 and column 0 are, or would be. */
typedef struct {
    char *data;
    ptrdiff_t row, column;
    ptrdiff_t top, bottom, left, right;
    ptrdiff_t pitch, first, end;
} fastconv_window;

typedef struct {
    ptrdiff_t lanes;
    /* Transform a line in place; what comes out is in the order of the digits of the places, the
     * last first. `inverse` takes that order, and does not divide by the length. */
    void (*forward)(const fastconv_line *line, void *cells);
    void (*inverse)(const fastconv_line *line, void *cells);
    /* `rows` cells from columns of an image: the real parts are the rows 0, 1, ... of the window,
     * the imaginary parts those from `rows` on; times a complex number for each row. */
    void (*read_columns)(const fastconv_window *from, ptrdiff_t rows, ptrdiff_t column,
                         ptrdiff_t width, const void *factors, void *cells);
    /* Back: times the conjugate numbers, times `scale`, and plus the bias, which may be NULL. */
    void (*write_columns)(const void *cells, ptrdiff_t rows, ptrdiff_t column, ptrdiff_t width,
                          const void *factors, double scale, const void *bias,
                          const fastconv_window *to);
    /* Turn LANES cells, `step` scalars from one block of them to the next, so that what was a cell
     * is a lane; `count` columns. */
    void (*turn_in)(const void *blocks, ptrdiff_t step, ptrdiff_t count, void *cells);
    void (*turn_out)(const void *cells, ptrdiff_t count, void *blocks, ptrdiff_t step);
    /* to[i] = a sum over channels c of x[c][i] * w[c][i], or its conjugate. */
    void (*weigh)(const void *x, ptrdiff_t x_step, const void *w, ptrdiff_t w_step,
                  ptrdiff_t channels, ptrdiff_t count, void *to);
    void (*weigh_conjugate)(const void *x, ptrdiff_t x_step, const void *w, ptrdiff_t w_step,
                            ptrdiff_t channels, ptrdiff_t count, void *to);
    /* total[i] += x[i] * the conjugate of r[i]. */
    void (*add_products)(const void *x, const void *r, ptrdiff_t count, double *total);
} fastconv_line_loops;

#endif
