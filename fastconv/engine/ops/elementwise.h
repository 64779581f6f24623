/* Functions of one element at a time (elementwise_loops.h) for every instruction set, for float and
 * double. All numbers that a function is given are of the type of its table. */
#ifndef FASTCONV_ELEMENTWISE_H
#define FASTCONV_ELEMENTWISE_H

#include <stdint.h>
#include <string.h>

#include "base/isa.h"

/* y = exp(x less the number that `maximum` points to). */
typedef struct {
    void (*exp_below)(const void *maximum, const void *x, void *y, ptrdiff_t count);
} fastconv_elementwise;

#define FASTCONV_EACH "ops/elementwise_loops.h"
#include "base/regions.h"

static const fastconv_elementwise *const fastconv_elementwise_f[] = FASTCONV_TABLE(elementwise_f);
static const fastconv_elementwise *const fastconv_elementwise_d[] = FASTCONV_TABLE(elementwise_d);

static inline const fastconv_elementwise *fastconv_elementwise_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_elementwise_f : fastconv_elementwise_d)[isa];
}

#endif
