/* The loops of normalisation (normalization_loops.h) for every instruction set, for float and double.
 * All numbers that a function reads from arrays are of the type of its table; steps are in bytes. */
#ifndef FASTCONV_NORMALIZATION_H
#define FASTCONV_NORMALIZATION_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/isa.h"
#include "ops/moments.h"

/* The arrays that a loop may meet. */
enum {
    FASTCONV_X,         /* the input */
    FASTCONV_RESIDUAL,  /* what is added behind the normalisation */
    FASTCONV_Y,         /* the output */
    FASTCONV_DY,        /* the gradients with respect to these */
    FASTCONV_DX,
    FASTCONV_DRESIDUAL,
    FASTCONV_ARRAYS,
};

/* Some planes: in each array `maps` runs of `count` neighbours, from one to the next `step` bytes. */
typedef struct {
    char *at[FASTCONV_ARRAYS];
    ptrdiff_t step[FASTCONV_ARRAYS];
    ptrdiff_t maps, count;
    int streams; /* whether results are written past the caches */
    /* What will be read next, fetched while results are written. */
    const char *next[3];
    ptrdiff_t next_step[3];
} fastconv_planes;

/* What a plane is normalised by: y = (x - mean) * inverse * weight + bias, and at most `upper` where
 * that is asked for. */
typedef struct {
    double mean, inverse, weight, bias, upper;
} fastconv_affine;

/* What is added to `weight * inverse * dy` in a gradient: level + slope * (x - mean). */
typedef struct {
    double level, slope;
} fastconv_line;

/* Channels of a sample that share mean and variance, and lie behind each other. */
typedef struct {
    const void *x, *dy;
    void *result;              /* y, or the gradient with respect to x */
    const void *weight, *bias; /* of the channels; NULL: 1 and 0 */
    ptrdiff_t channels, size;  /* numbers of a channel */
    double mean, inverse;
    int streams;
} fastconv_group;

/* Where the residual passes: everywhere, or where the output is not <= 0, which is computed again
 * from x, or read; with an upper bound, where it is not >= that either. */
enum {
    FASTCONV_ALL,
    FASTCONV_BY_X,
    FASTCONV_BY_Y,
    FASTCONV_BELOW_BY_X,
    FASTCONV_BELOW_BY_Y,
    FASTCONV_MASKS,
};

typedef void (*fastconv_apply)(const fastconv_planes *p, const fastconv_affine *a);

typedef struct {
    /* The mean of all numbers of x, and the sum of the squares of what they are off it. */
    void (*moments)(const fastconv_planes *p, double *mean, double *square);
    /* y of x, by itself; with a ReLU; with the residual added and a ReLU; and bounded above. */
    fastconv_apply apply, apply_relu, apply_add_relu, apply_below, apply_add_below;
    /* Sums of g and of g * (x - mean), where g is dy as far as it passes; g goes to the gradient of
     * the residual where there is one. */
    void (*sums[FASTCONV_MASKS])(const fastconv_planes *p, const fastconv_affine *a, double *sum,
                                 double *product);
    /* dx = weight * inverse * g, and the line where there is one. */
    void (*gradient[FASTCONV_MASKS])(const fastconv_planes *p, const fastconv_affine *a,
                                     const fastconv_line *line);
    /* Planes of a few numbers, to lie in one run, and back. */
    void (*gather)(const char *from, ptrdiff_t step, ptrdiff_t maps, ptrdiff_t count, void *to);
    void (*scatter)(const void *from, char *to, ptrdiff_t step, ptrdiff_t maps, ptrdiff_t count);
    ptrdiff_t lanes;
} fastconv_normalization;

/* The loops of groups, a table of their own: no module has need of both, and what it has no need of
 * the compiler leaves out. */
typedef struct {
    void (*moments)(const fastconv_planes *p, double *mean, double *square);
    /* y; the sums of each channel, of dy and of dy * (x - mean); and the gradient with respect to
     * x. */
    void (*apply)(const fastconv_group *g);
    void (*sums)(const fastconv_group *g, double *sums, double *products);
    void (*gradients)(const fastconv_group *g, const fastconv_line *line);
} fastconv_group_normalization;

#define FASTCONV_EACH "ops/normalization_loops.h"
#include "base/regions.h"

static const fastconv_normalization *const fastconv_normalization_f[] =
    FASTCONV_TABLE(normalization_f);
static const fastconv_normalization *const fastconv_normalization_d[] =
    FASTCONV_TABLE(normalization_d);

static inline const fastconv_normalization *fastconv_normalization_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_normalization_f : fastconv_normalization_d)[isa];
}

static const fastconv_group_normalization *const fastconv_group_normalization_f[] =
    FASTCONV_TABLE(group_normalization_f);
static const fastconv_group_normalization *const fastconv_group_normalization_d[] =
    FASTCONV_TABLE(group_normalization_d);

static inline const fastconv_group_normalization *
fastconv_group_normalization_of(int isa, ptrdiff_t itemsize)
{
    return (itemsize == sizeof(float) ? fastconv_group_normalization_f
                                      : fastconv_group_normalization_d)[isa];
}

#endif
