/* Weighted sums of rows and of the numbers of a row (resampling_loops.h) for every instruction set,
 * for float and double. */
#ifndef FASTCONV_RESAMPLING_H
#define FASTCONV_RESAMPLING_H

#include <stdint.h>
#include <string.h>

#include "base/isa.h"

typedef struct {
    /* v = weight * x, or with `adds` what v holds and that. */
    void (*blend)(const void *x, double weight, int adds, void *v, ptrdiff_t count);
    /* y[j] = the sum of weights[t, j] * v[places[t, j]] over t < taps; a weight 0 takes nothing. */
    void (*pick)(const void *v, const int32_t *places, const void *weights, ptrdiff_t taps, void *y,
                 ptrdiff_t count);
    /* Whether at most two taps take each vector of `count` numbers from a vector's length of a
     * source of `columns`; and where that begins, tap by tap. */
    int (*find_bases)(const int32_t *places, ptrdiff_t taps, ptrdiff_t count, ptrdiff_t columns,
                      int32_t *bases);
    /* The same as `pick`, by these. */
    void (*pick_near)(const void *v, const int32_t *places, const int32_t *bases,
                      const void *weights, ptrdiff_t taps, void *y, ptrdiff_t count);
} fastconv_resampling;

#define FASTCONV_EACH "ops/resampling_loops.h"
#include "base/regions.h"

static const fastconv_resampling *const fastconv_resampling_f[] = FASTCONV_TABLE(resampling_f);
static const fastconv_resampling *const fastconv_resampling_d[] = FASTCONV_TABLE(resampling_d);

static inline const fastconv_resampling *fastconv_resampling_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_resampling_f : fastconv_resampling_d)[isa];
}

#endif
