/* Functions of one element at a time (elementwise_loops.h) for every instruction set, for float and
 * double. All numbers that a function is given are of the type of its table. */
#ifndef FASTCONV_ELEMENTWISE_H
#define FASTCONV_ELEMENTWISE_H

#include <stdint.h>
#include <string.h>

#include "base/isa.h"

/* A function of x, or with the residual dy its gradient, into y. */
typedef void (*fastconv_map)(const void *dy, const void *x, void *y, ptrdiff_t count);

typedef struct {
    fastconv_map relu, tanh, sigmoid;
    fastconv_map relu_backward, tanh_backward, sigmoid_backward;
    void (*exp_below)(const void *x, double shift, void *y, ptrdiff_t count);
} fastconv_elementwise;

#define FASTCONV_EACH "ops/elementwise_loops.h"
#include "base/regions.h"

static const fastconv_elementwise *const fastconv_elementwise_f[] = FASTCONV_TABLE(elementwise_f);
static const fastconv_elementwise *const fastconv_elementwise_d[] = FASTCONV_TABLE(elementwise_d);

#endif
