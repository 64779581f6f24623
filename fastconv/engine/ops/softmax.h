/* Softmax, its logarithm, and their gradients (softmax_loops.h) for every instruction set, for float
 * and double. */
#ifndef FASTCONV_SOFTMAX_H
#define FASTCONV_SOFTMAX_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/isa.h"

/* Of `count` lines of n elements, which lie `step` apart; the lines are neighbours, or, with step 1,
 * follow each other. A gradient takes the residual dy and what forward returned, x. */
typedef void (*fastconv_softmax)(const void *dy, const void *x, void *y, ptrdiff_t n,
                                 ptrdiff_t step, ptrdiff_t count);

typedef struct {
    fastconv_softmax softmax, log_softmax, softmax_backward, log_softmax_backward;
} fastconv_softmaxes;

#define FASTCONV_EACH "ops/softmax_loops.h"
#include "base/regions.h"

static const fastconv_softmaxes *const fastconv_softmaxes_f[] = FASTCONV_TABLE(softmaxes_f);
static const fastconv_softmaxes *const fastconv_softmaxes_d[] = FASTCONV_TABLE(softmaxes_d);

static inline const fastconv_softmaxes *fastconv_softmaxes_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_softmaxes_f : fastconv_softmaxes_d)[isa];
}

#endif
