/* The loops of local response normalisation (response_norm_loops.h) for every instruction set, for
 * float and double. */
#ifndef FASTCONV_RESPONSE_NORM_H
#define FASTCONV_RESPONSE_NORM_H

#include <math.h>

#include "base/isa.h"

/* Some neighbouring pixels of all channels of a sample; from one channel to the next `step` bytes. */
typedef struct {
    const char *x, *dy;
    char *result;
    ptrdiff_t x_step, dy_step, result_step;
    ptrdiff_t channels, count;
    ptrdiff_t before, after;        /* the window of a channel: so many in front of it and behind */
    double alpha, beta, k;          /* alpha of a square */
    void *scratch;                  /* (channels + 3) * count numbers; backward 3 channels + 3 */
} fastconv_response;

typedef struct {
    void (*forward)(const fastconv_response *p);
    void (*backward)(const fastconv_response *p);
} fastconv_response_norm;

#define FASTCONV_EACH "ops/response_norm_loops.h"
#include "base/regions.h"

static const fastconv_response_norm *const fastconv_response_norm_f[] =
    FASTCONV_TABLE(response_norm_f);
static const fastconv_response_norm *const fastconv_response_norm_d[] =
    FASTCONV_TABLE(response_norm_d);

static inline const fastconv_response_norm *fastconv_response_norm_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_response_norm_f : fastconv_response_norm_d)[isa];
}

#endif
