/* Losses of pairs of numbers (losses_loops.h) for every instruction set, for float and double. */
#ifndef FASTCONV_LOSSES_H
#define FASTCONV_LOSSES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/isa.h"

/* What the loops read: all arrays are of the type of their table. */
typedef struct {
    const void *x, *target;
    const void *positive; /* of logits: the weights of what is true; or NULL, which is 1 */
    const void *factor;   /* on each loss, or on its slope; or NULL, which is 1 */
    double scale;         /* on all of them, together with the factors */
    double border, curve, slope; /* of `huber` */
} fastconv_pairs;

/* The losses, or their slopes, of `count` pairs into `y`. */
typedef void (*fastconv_each)(const fastconv_pairs *pairs, void *y, ptrdiff_t count);
/* The sum of the losses. No lane adds up more than `count` / 4 numbers. */
typedef double (*fastconv_total)(const fastconv_pairs *pairs, ptrdiff_t count);

typedef struct {
    fastconv_each each;
    fastconv_total total;
    fastconv_each slopes;
} fastconv_loss;

/* The places of the losses in their tables. */
enum {
    FASTCONV_SQUARE,
    FASTCONV_HUBER,
    FASTCONV_PROBABILITY,
    FASTCONV_LOGIT,
    FASTCONV_DIVERGENCE,
    FASTCONV_LOG_DIVERGENCE,
    FASTCONV_LOSSES
};

#define FASTCONV_EACH "ops/losses_loops.h"
#include "base/regions.h"

typedef fastconv_loss fastconv_loss_table[FASTCONV_LOSSES];
static const fastconv_loss_table *const fastconv_losses_f[] = FASTCONV_TABLE(losses_f);
static const fastconv_loss_table *const fastconv_losses_d[] = FASTCONV_TABLE(losses_d);

static inline const fastconv_loss *fastconv_loss_of(int isa, ptrdiff_t itemsize, int kind)
{
    return &(*(itemsize == sizeof(float) ? fastconv_losses_f : fastconv_losses_d)[isa])[kind];
}

#endif
