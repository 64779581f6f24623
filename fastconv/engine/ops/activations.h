/* Activations and their gradients (activations_loops.h) for every instruction set, for float and
 * double. */
#ifndef FASTCONV_ACTIVATIONS_H
#define FASTCONV_ACTIVATIONS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/isa.h"

/* Each activation, and the multiply-adds that an element is worth. */
#define FASTCONV_EACH_ACTIVATION(DO)                                                               \
    DO(relu, 2)                                                                                    \
    DO(leaky_relu, 2)                                                                              \
    DO(hardtanh, 2)                                                                                \
    DO(hardsigmoid, 2)                                                                             \
    DO(hardswish, 4)                                                                               \
    DO(softsign, 8)                                                                                \
    DO(sigmoid, 16)                                                                                \
    DO(tanh, 16)                                                                                   \
    DO(elu, 16)                                                                                    \
    DO(silu, 16)                                                                                   \
    DO(softplus, 24)                                                                               \
    DO(logsigmoid, 24)                                                                             \
    DO(mish, 24)                                                                                   \
    DO(gelu, 32)                                                                                   \
    DO(gelu_tanh, 24)

/* A function of x into y, or a gradient: of the residual dy and what forward saved. `options` holds
 * the numbers that an activation has, at most three. */
typedef void (*fastconv_activation)(const double *options, const void *dy, const void *x, void *y,
                                    ptrdiff_t count);

enum {
#define FASTCONV_NUMBER(name, cost) fastconv_number_##name,
    FASTCONV_EACH_ACTIVATION(FASTCONV_NUMBER)
#undef FASTCONV_NUMBER
        FASTCONV_ACTIVATIONS
};

typedef struct {
    fastconv_activation forward[FASTCONV_ACTIVATIONS], backward[FASTCONV_ACTIVATIONS];
    /* The sum of dy * x where x is not positive. */
    double (*slope_sum)(const void *dy, const void *x, ptrdiff_t count);
} fastconv_activations;

#define FASTCONV_EACH "ops/activations_loops.h"
#include "base/regions.h"

static const fastconv_activations *const fastconv_activations_f[] = FASTCONV_TABLE(activations_f);
static const fastconv_activations *const fastconv_activations_d[] = FASTCONV_TABLE(activations_d);

static inline const fastconv_activations *fastconv_activations_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_activations_f : fastconv_activations_d)[isa];
}

static const char *const fastconv_activation_names[] = {
#define FASTCONV_NAME(name, cost) #name,
    FASTCONV_EACH_ACTIVATION(FASTCONV_NAME)
#undef FASTCONV_NAME
};

static const double fastconv_activation_costs[] = {
#define FASTCONV_COST(name, cost) cost,
    FASTCONV_EACH_ACTIVATION(FASTCONV_COST)
#undef FASTCONV_COST
};

#endif
