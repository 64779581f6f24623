/* Sums of arrays (joining_loops.h) for every instruction set, for float and double. */
#ifndef FASTCONV_JOINING_H
#define FASTCONV_JOINING_H

#include <stddef.h>

#include "base/isa.h"

typedef struct {
    /* y = a + b; y may be either of them. */
    void (*add)(const void *a, const void *b, void *y, ptrdiff_t count);
} fastconv_joining;

#define FASTCONV_EACH "ops/joining_loops.h"
#include "base/regions.h"

static const fastconv_joining *const fastconv_joining_f[] = FASTCONV_TABLE(joining_f);
static const fastconv_joining *const fastconv_joining_d[] = FASTCONV_TABLE(joining_d);

static inline const fastconv_joining *fastconv_joining_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_joining_f : fastconv_joining_d)[isa];
}

#endif
