/* Losses of scores of classes (class_losses_loops.h) for every instruction set, for float and
 * double. */
#ifndef FASTCONV_CLASS_LOSSES_H
#define FASTCONV_CLASS_LOSSES_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/isa.h"

/* Scores (rows, classes, inner); the numbers are of the type of the loops. */
typedef struct {
    const void *scores;
    const ptrdiff_t *target;   /* the class of each place (rows, inner); or NULL, and */
    const void *probabilities; /* those of all classes, as the scores */
    const void *weight;        /* of the classes; or NULL, which is 1 */
    ptrdiff_t classes, inner;
    ptrdiff_t ignored; /* the class of places that do not count */
    double smoothing;  /* the part of each target that all classes share */
    void *gradient;    /* as the scores; or NULL */
    const void *scale; /* on the gradient: of each place, or one of all */
    ptrdiff_t step;    /* from the scale of one place to that of the next */
} fastconv_classes;

/* With q = weight * target of each class at one place, its loss is mass * log(total) - score. Here
 * are several places; those that are ignored have total 1, and else 0. */
typedef struct {
    double *total; /* of exp(x - largest) */
    double *mass;  /* of q */
    double *score; /* of q (x - largest) */
} fastconv_places;

/* What the loss of a row is made of, whose classes lie side by side; its gradient is written if it
 * is wanted. */
typedef void (*fastconv_row)(const fastconv_classes *, ptrdiff_t row, const fastconv_places *);
/* The same of `count` places of a row, whose classes are `inner` apart; at most
 * FASTCONV_MOST_PLACES. The places, and the scratch with the scores of all classes for them, have
 * room for whole vectors. Where a gradient is wanted, scores are not complete. */
typedef void (*fastconv_block)(const fastconv_classes *, ptrdiff_t row, ptrdiff_t first,
                               ptrdiff_t count, void *scratch, const fastconv_places *);
/* x = log(x). */
typedef void (*fastconv_logs)(void *x, ptrdiff_t count);

typedef struct {
    fastconv_row row;
    fastconv_block block;
    fastconv_logs logs;
} fastconv_class_loops;

/* The most lanes of a vector, and places of a block. */
enum { FASTCONV_MOST_LANES = 16, FASTCONV_MOST_PLACES = 256 };
/* Rows of fewer classes than this are added up one number after the other. */
enum { FASTCONV_FEW_CLASSES = 32 };

#define FASTCONV_EACH "ops/class_losses_loops.h"
#include "base/regions.h"

static const fastconv_class_loops *const fastconv_class_loops_f[] = FASTCONV_TABLE(class_loops_f);
static const fastconv_class_loops *const fastconv_class_loops_d[] = FASTCONV_TABLE(class_loops_d);

static inline const fastconv_class_loops *fastconv_class_loops_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_class_loops_f : fastconv_class_loops_d)[isa];
}

#endif
