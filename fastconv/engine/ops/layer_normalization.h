/* The loops of layer normalisation (layer_normalization_loops.h) for every instruction set, for
 * float and double. */
#ifndef FASTCONV_LAYER_NORMALIZATION_H
#define FASTCONV_LAYER_NORMALIZATION_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/isa.h"
#include "ops/moments.h"

/* Rows that lie behind each other, from the first on, and what they become; all numbers are of the
 * type of the table, unless another is said. */
typedef struct {
    const void *x, *dy;         /* dy: the gradient with respect to the output */
    void *result;               /* y, or the gradient with respect to x */
    const void *weight, *bias;  /* of `length` numbers, or NULL: 1 and 0 */
    double *mean, *inverse;     /* of each row: its mean, and 1 / its standard deviation */
    ptrdiff_t rows, length;
    double eps;                 /* added to the variance */
    int streams;                /* whether results are written past the caches */
} fastconv_rows;

/* The most rows that are added up in the type of the table. */
enum { FASTCONV_ROWS = 128 };

typedef struct {
    /* y and the statistics of x. */
    void (*normalize)(const fastconv_rows *p);
    /* The gradient with respect to x, by the statistics. */
    void (*gradient)(const fastconv_rows *p);
    /* Add to `sums` what at most FASTCONV_ROWS rows have, in each of `count` columns from `first` on,
     * of dy times the normalised x; and to what follows `apart` numbers behind, of dy. */
    void (*columns)(const fastconv_rows *p, ptrdiff_t first, ptrdiff_t count, double *sums,
                    ptrdiff_t apart);
} fastconv_layer_normalization;

#define FASTCONV_EACH "ops/layer_normalization_loops.h"
#include "base/regions.h"

static const fastconv_layer_normalization *const fastconv_layer_normalization_f[] =
    FASTCONV_TABLE(layer_normalization_f);
static const fastconv_layer_normalization *const fastconv_layer_normalization_d[] =
    FASTCONV_TABLE(layer_normalization_d);

static inline const fastconv_layer_normalization *
fastconv_layer_normalization_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_layer_normalization_f
                                      : fastconv_layer_normalization_d)[isa];
}

#endif
