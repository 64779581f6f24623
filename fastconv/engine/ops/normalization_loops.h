/* The loops of normalisation, written once: normalization.h includes this file for each instruction
 * set and type.
 *
 * A number has its mean subtracted before anything else: of numbers that are large and near each
 * other that difference is exact, where x * scale + shift would lose it. The mean itself is a
 * double; what it is off the nearest SCALAR, `center`, goes into the constant that is added.
 *
 * Expects what regions.h defines. */

#include "ops/runs.h"

#define LOOP(name) static __attribute__((noinline)) void NAME(name)

LOOP(moments)(const fastconv_planes *p, double *mean, double *square)
{
    NAME(find_moments)(p->at[FASTCONV_X], p->step[FASTCONV_X], p->maps, p->count, mean, square);
}

typedef struct {
    SCALAR center, scale, offset, upper;
} NAME(factors);

/* What stands behind the normalisation; a bound above comes with a ReLU. */
#define RELU 1
#define BELOW 2

/* Not inlined: forward and backward get the same bits, and so the same mask. */
static __attribute__((noinline)) NAME(factors) NAME(round_affine)(const fastconv_affine *a, int tail)
{
    const double scale = a->inverse * a->weight;
    NAME(factors) f;
    f.center = (SCALAR)a->mean;
    f.scale = (SCALAR)scale;
    f.offset = (SCALAR)(a->bias - (a->mean - f.center) * scale);
    f.upper = tail == BELOW ? (SCALAR)a->upper : 0;
    return f;
}

INLINE VECTOR NAME(normal)(VECTOR x, const NAME(factors) *f)
{
    return (x - f->center) * f->scale + f->offset;
}

/* Where y <= 0: 0, else v; a NaN in y lets v pass. */
INLINE VECTOR NAME(passed)(VECTOR y, VECTOR v)
{
    return NAME(kept)(~(MASK)(y <= (VECTOR){0}), v);
}

/* The same, and 0 where y >= upper. */
INLINE VECTOR NAME(passed_below)(VECTOR y, VECTOR v, SCALAR upper)
{
    return NAME(kept)(~((MASK)(y <= (VECTOR){0}) | (MASK)(y >= upper - (VECTOR){0})), v);
}

/* The smaller one; a NaN stays. */
INLINE VECTOR NAME(bounded)(VECTOR y, SCALAR upper)
{
    const VECTOR most = upper - (VECTOR){0};
    const MASK above = (MASK)(y > most);
    return (VECTOR)((above & (MASK)most) | (~above & (MASK)y));
}

/* A run that is shorter than a vector, with zeros behind it. */
INLINE const SCALAR *NAME(filled)(const SCALAR *run, ptrdiff_t count, SCALAR buffer[LANES])
{
    STORE(buffer) = (VECTOR){0};
    if (run)
        memcpy(buffer, run, count * SCALAR_BYTES);
    return buffer;
}

#define RUN(array) ((SCALAR *)(p->at[array] + m * p->step[array]))
#define NEXT(number) ((const SCALAR *)(p->next[number] + m * p->next_step[number]))
/* Into the second-level cache, where it waits. */
#define FETCH(address) __builtin_prefetch(address, 0, 2)

INLINE void NAME(normalize_run)(const fastconv_planes *p, const SCALAR *x, const SCALAR *residual,
                                SCALAR *y, ptrdiff_t count, const NAME(factors) * f, int adds,
                                int tail, const SCALAR *const next[3])
{
#define VALUE(i)                                                                                   \
    ({                                                                                             \
        FETCH(next[0] + (i));                                                                      \
        if (adds)                                                                                  \
            FETCH(next[1] + (i));                                                                  \
        const VECTOR sum = NAME(normal)(LOAD(x + (i)), f) + (adds ? LOAD(residual + (i)) : zero);  \
        const VECTOR cut = tail ? NAME(passed)(sum, sum) : sum;                                     \
        tail == BELOW ? NAME(bounded)(cut, f->upper) : cut;                                         \
    })
    const VECTOR zero = {0};
    WRITE_RUN(y, count, p->streams, VALUE)
#undef VALUE
}

INLINE void NAME(normalize)(const fastconv_planes *p, const fastconv_affine *a, int adds, int tail)
{
    const NAME(factors) f = NAME(round_affine)(a, tail);
    SCALAR buffers[3][LANES];
    for (ptrdiff_t m = 0; m < p->maps; m++) {
        const SCALAR *x = RUN(FASTCONV_X), *residual = adds ? RUN(FASTCONV_RESIDUAL) : NULL;
        SCALAR *y = RUN(FASTCONV_Y);
        if (p->count >= LANES) {
            const SCALAR *const next[3] = {NEXT(0), NEXT(1)};
            NAME(normalize_run)(p, x, residual, y, p->count, &f, adds, tail, next);
        } else {
            x = NAME(filled)(x, p->count, buffers[0]);
            residual = NAME(filled)(residual, p->count, buffers[1]);
            const SCALAR *const next[3] = {x, x};
            NAME(normalize_run)(p, x, residual, buffers[2], LANES, &f, adds, tail, next);
            memcpy(y, buffers[2], p->count * SCALAR_BYTES);
        }
    }
}

LOOP(apply)(const fastconv_planes *p, const fastconv_affine *a) { NAME(normalize)(p, a, 0, 0); }
LOOP(apply_relu)(const fastconv_planes *p, const fastconv_affine *a)
{
    NAME(normalize)(p, a, 0, RELU);
}
LOOP(apply_add_relu)(const fastconv_planes *p, const fastconv_affine *a)
{
    NAME(normalize)(p, a, 1, RELU);
}
LOOP(apply_below)(const fastconv_planes *p, const fastconv_affine *a)
{
    NAME(normalize)(p, a, 0, BELOW);
}
LOOP(apply_add_below)(const fastconv_planes *p, const fastconv_affine *a)
{
    NAME(normalize)(p, a, 1, BELOW);
}

#define BY_X(mask) (mask == FASTCONV_BY_X || mask == FASTCONV_BELOW_BY_X)
#define BY_Y(mask) (mask == FASTCONV_BY_Y || mask == FASTCONV_BELOW_BY_Y)
#define TAIL(mask) (mask >= FASTCONV_BELOW_BY_X ? BELOW : RELU)

/* What passes of a vector of dy: g. */
INLINE VECTOR NAME(pass)(VECTOR dy, VECTOR x, const SCALAR *y, const NAME(factors) * f, int mask)
{
    if (mask == FASTCONV_ALL)
        return dy;
    const VECTOR from = BY_Y(mask) ? LOAD(y) : NAME(normal)(x, f);
    return TAIL(mask) == BELOW ? NAME(passed_below)(from, dy, f->upper) : NAME(passed)(from, dy);
}

INLINE void NAME(add_run)(const SCALAR *dy, const SCALAR *x, const SCALAR *y, SCALAR *g,
                          ptrdiff_t count, MASK valid, const NAME(factors) * f, int mask,
                          VECTOR sums[SUMS], VECTOR products[SUMS])
{
#define PASS(i) NAME(pass)(LOAD(dy + (i)), LOAD(x + (i)), y + (i), f, mask)
#define ADD_PASSED(j, at)                                                                          \
    {                                                                                              \
        const VECTOR v = PASS(at);                                                                 \
        sums[j] += v;                                                                              \
        products[j] += v * (LOAD(x + (at)) - f->center);                                           \
        if (g)                                                                                     \
            STORE(g + (at)) = v;                                                                   \
    }
#define ADD_LAST(j)                                                                                \
    {                                                                                              \
        sums[j] += NAME(kept)(valid, last);                                                        \
        products[j] += NAME(kept)(valid, last * (last_x - f->center));                             \
    }
    const VECTOR last = PASS(count - LANES), last_x = LOAD(x + count - LANES);
    EACH_VECTOR(count, ADD_PASSED, ADD_LAST)
    if (g)
        STORE(g + count - LANES) = last;
#undef PASS
#undef ADD_PASSED
#undef ADD_LAST
}

INLINE void NAME(add_planes)(const fastconv_planes *p, const fastconv_affine *a, double *sum,
                             double *product, int mask)
{
    const NAME(factors) f = NAME(round_affine)(a, TAIL(mask));
    VECTOR sums[SUMS] = {0}, products[SUMS] = {0};
    const MASK valid = NAME(rest_mask)(p->count);
    SCALAR buffers[4][LANES];
    for (ptrdiff_t m = 0; m < p->maps; m++) {
        const SCALAR *dy = RUN(FASTCONV_DY), *x = RUN(FASTCONV_X);
        const SCALAR *y = BY_Y(mask) ? RUN(FASTCONV_Y) : NULL;
        SCALAR *g = p->at[FASTCONV_DRESIDUAL] ? RUN(FASTCONV_DRESIDUAL) : NULL;
        if (p->count >= LANES) {
            if (g)
                NAME(add_run)(dy, x, y, g, p->count, valid, &f, mask, sums, products);
            else
                NAME(add_run)(dy, x, y, NULL, p->count, valid, &f, mask, sums, products);
        } else {
            dy = NAME(filled)(dy, p->count, buffers[0]);
            x = NAME(filled)(x, p->count, buffers[1]);
            y = NAME(filled)(y, p->count, buffers[2]);
            /* The zeros behind the run count nothing: dy is 0 there. */
            NAME(add_run)(dy, x, y, buffers[3], LANES, valid, &f, mask, sums, products);
            if (g)
                memcpy(g, buffers[3], p->count * SCALAR_BYTES);
        }
    }
    *sum = NAME(total)(sums);
    *product = NAME(total)(products) - (a->mean - f.center) * *sum;
}

INLINE void NAME(grade_run)(const fastconv_planes *p, const SCALAR *dy, const SCALAR *x,
                            const SCALAR *y, SCALAR *dx, ptrdiff_t count, const NAME(factors) * f,
                            int mask, int lined, SCALAR slope, SCALAR level,
                            const SCALAR *const next[3])
{
#define VALUE(i)                                                                                   \
    ({                                                                                             \
        if (lined) {                                                                               \
            FETCH(next[0] + (i));                                                                  \
            FETCH(next[1] + (i));                                                                  \
            if (mask == FASTCONV_ALL)                                                              \
                FETCH(next[2] + (i));                                                              \
        }                                                                                          \
        const VECTOR from = lined || BY_X(mask) ? LOAD(x + (i)) : zero;                             \
        const VECTOR g = NAME(pass)(LOAD(dy + (i)), from, y + (i), f, mask);                       \
        lined ? g * f->scale + ((from - f->center) * slope + level) : g * f->scale;                \
    })
    const VECTOR zero = {0};
    WRITE_RUN(dx, count, p->streams, VALUE)
#undef VALUE
}

INLINE void NAME(grade)(const fastconv_planes *p, const fastconv_affine *a,
                        const fastconv_line *line, int mask, int lined)
{
    const NAME(factors) f = NAME(round_affine)(a, TAIL(mask));
    const SCALAR slope = lined ? (SCALAR)line->slope : 0;
    const SCALAR level =
        lined ? (SCALAR)(line->level - (a->mean - f.center) * line->slope) : 0;
    SCALAR buffers[4][LANES];
    for (ptrdiff_t m = 0; m < p->maps; m++) {
        const SCALAR *dy = RUN(FASTCONV_DY), *x = RUN(FASTCONV_X);
        const SCALAR *y = BY_Y(mask) ? RUN(FASTCONV_Y) : NULL;
        SCALAR *dx = RUN(FASTCONV_DX);
        if (p->count >= LANES) {
            const SCALAR *const next[3] = {NEXT(0), NEXT(1), NEXT(2)};
            NAME(grade_run)(p, dy, x, y, dx, p->count, &f, mask, lined, slope, level, next);
        } else {
            dy = NAME(filled)(dy, p->count, buffers[0]);
            x = NAME(filled)(x, p->count, buffers[1]);
            y = NAME(filled)(y, p->count, buffers[2]);
            const SCALAR *const next[3] = {x, x, x};
            NAME(grade_run)(p, dy, x, y, buffers[3], LANES, &f, mask, lined, slope, level, next);
            memcpy(dx, buffers[3], p->count * SCALAR_BYTES);
        }
    }
}

/* The loops of a mask. */
#define MASKED(mask)                                                                               \
    LOOP(sums_##mask)(const fastconv_planes *p, const fastconv_affine *a, double *sum,             \
                      double *product)                                                             \
    {                                                                                              \
        NAME(add_planes)(p, a, sum, product, mask);                                                \
    }                                                                                              \
    LOOP(gradient_##mask)(const fastconv_planes *p, const fastconv_affine *a,                      \
                          const fastconv_line *line)                                               \
    {                                                                                              \
        if (line)                                                                                  \
            NAME(grade)(p, a, line, mask, 1);                                                      \
        else                                                                                       \
            NAME(grade)(p, a, NULL, mask, 0);                                                      \
    }
MASKED(FASTCONV_ALL)
MASKED(FASTCONV_BY_X)
MASKED(FASTCONV_BY_Y)
MASKED(FASTCONV_BELOW_BY_X)
MASKED(FASTCONV_BELOW_BY_Y)

LOOP(gather)(const char *from, ptrdiff_t step, ptrdiff_t maps, ptrdiff_t count, void *to)
{
    SCALAR *run = to;
    for (; maps--; from += step)
        for (ptrdiff_t i = 0; i < count; i++)
            *run++ = ((const SCALAR *)from)[i];
}

LOOP(scatter)(const void *from, char *to, ptrdiff_t step, ptrdiff_t maps, ptrdiff_t count)
{
    const SCALAR *run = from;
    for (; maps--; to += step)
        for (ptrdiff_t i = 0; i < count; i++)
            ((SCALAR *)to)[i] = *run++;
}

#include "ops/group_normalization_loops.h"

static const fastconv_normalization NAME(normalization) = {
    NAME(moments),
    NAME(apply),
    NAME(apply_relu),
    NAME(apply_add_relu),
    NAME(apply_below),
    NAME(apply_add_below),
    {NAME(sums_FASTCONV_ALL), NAME(sums_FASTCONV_BY_X), NAME(sums_FASTCONV_BY_Y),
     NAME(sums_FASTCONV_BELOW_BY_X), NAME(sums_FASTCONV_BELOW_BY_Y)},
    {NAME(gradient_FASTCONV_ALL), NAME(gradient_FASTCONV_BY_X), NAME(gradient_FASTCONV_BY_Y),
     NAME(gradient_FASTCONV_BELOW_BY_X), NAME(gradient_FASTCONV_BELOW_BY_Y)},
    NAME(gather),
    NAME(scatter),
    LANES,
};

static const fastconv_group_normalization NAME(group_normalization) = {
    NAME(moments),
    NAME(apply_channels),
    NAME(channel_sums),
    NAME(channel_gradients),
};

#undef MASKED
#undef BY_X
#undef BY_Y
#undef TAIL
#undef RELU
#undef BELOW
#undef RUN
#undef NEXT
#undef FETCH
#undef LOOP
#include "ops/runs_end.h"
