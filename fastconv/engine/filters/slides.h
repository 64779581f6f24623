/* Running means of doubles (slides_loops.h) for every instruction set. */
#ifndef FASTCONV_SLIDES_H
#define FASTCONV_SLIDES_H

#include "base/isa.h"

typedef struct {
    /* Means of the `window` rows behind each of `rows` rows, `width` columns side by side. `sums`
     * are the sums from the first row on: y[l] = (sums += x[l + window] - x[l]) / window. Whole
     * vectors of columns are computed. */
    void (*slide)(const double *x, ptrdiff_t pitch, ptrdiff_t width, ptrdiff_t window,
                  ptrdiff_t rows, double *sums, double *y);
    /* Rows to columns: to[l, c] = from[c, l] for a vector of columns and l < rows, and back. Whole
     * vectors of rows are written. */
    void (*gather)(const double *from, ptrdiff_t from_step, ptrdiff_t rows, double *to,
                   ptrdiff_t to_step);
    void (*spread)(const double *from, ptrdiff_t from_step, ptrdiff_t rows, double *to,
                   ptrdiff_t to_step);
} fastconv_slides;

#define FASTCONV_EACH "filters/slides_loops.h"
#include "base/regions.h"

static const fastconv_slides *const fastconv_slide_rows[] = FASTCONV_TABLE(slides_d);

#endif
