/* The loops of pooling (pooling_loops.h) for every instruction set, for float and double. */
#ifndef FASTCONV_POOLING_H
#define FASTCONV_POOLING_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/isa.h"
#include "ops/pooling_types.h"

#define FASTCONV_EACH "ops/pooling_loops.h"
#include "base/regions.h"

static const fastconv_pooling *const fastconv_pooling_f[] = FASTCONV_TABLE(pooling_f);
static const fastconv_pooling *const fastconv_pooling_d[] = FASTCONV_TABLE(pooling_d);

static inline const fastconv_pooling *fastconv_pooling_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(double) ? fastconv_pooling_d : fastconv_pooling_f)[isa];
}

#endif
