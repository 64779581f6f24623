/* Activations, written once: elementwise.h includes this file for each instruction set and type.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"
#include "ops/exponential.h"

/* Of -2 |x|: beyond it tanh rounds to 1. */
#if SCALAR_BYTES == 4
#define TANH_LIMIT -20.0f
#else
#define TANH_LIMIT -40.0
#endif

INLINE VECTOR NAME(tanh_vector)(VECTOR x)
{
    const VECTOR zero = {0};
    const MASK sign = (MASK)(-zero), bits = (MASK)x;
    VECTOR y = (VECTOR)(bits & ~sign) * -2, power;
    y = NAME(select)(y < zero + TANH_LIMIT, zero + TANH_LIMIT, y);
    /* With t = exp(-2|x|) - 1: tanh|x| = -t / (t + 2). */
    const VECTOR p = NAME(reduced)(y, &power);
    const VECTOR t = p * power + (power - 1);
    return (VECTOR)(((MASK)(t / (t + 2)) & ~sign) | (bits & sign));
}

INLINE VECTOR NAME(sigmoid_vector)(VECTOR x)
{
    const VECTOR zero = {0};
    const MASK below = x < zero;
    const VECTOR e = NAME(exp_vector)(NAME(select)(below, x, zero - x));
    return NAME(select)(below, e, zero + 1) / (e + 1);
}

/* Not x < 0: a denormal counts as zero, and must not come out negative. */
INLINE VECTOR NAME(relu_vector)(VECTOR x)
{
    const VECTOR zero = {0};
    return NAME(select)(x <= zero, zero, x);
}

/* Vectors at a time: each is a chain of operations that wait for each other. */
#define ABREAST 4
/* The tail runs the same arithmetic on a vector filled up with zeros. */
#define MAP(name, value)                                                                           \
    static __attribute__((noinline)) void NAME(name)(const void *beside, const void *from,         \
                                                     void *to, ptrdiff_t count)                    \
    {                                                                                              \
        const SCALAR *other = beside, *x = from;                                                   \
        SCALAR *y = to;                                                                            \
        ptrdiff_t i = 0;                                                                           \
        (void)other;                                                                               \
        for (; i + ABREAST * LANES <= count; i += ABREAST * LANES) {                               \
            VECTOR several[ABREAST];                                                               \
            for (int j = 0; j < ABREAST; j++)                                                      \
                several[j] = *(const VECTOR *)(x + i + j * LANES);                                 \
            for (int j = 0; j < ABREAST; j++) {                                                    \
                const VECTOR v = several[j];                                                       \
                several[j] = value;                                                                \
            }                                                                                      \
            for (int j = 0; j < ABREAST; j++)                                                      \
                *(VECTOR *)(y + i + j * LANES) = several[j];                                       \
        }                                                                                          \
        for (; i + LANES <= count; i += LANES) {                                                   \
            const VECTOR v = *(const VECTOR *)(x + i);                                             \
            *(VECTOR *)(y + i) = value;                                                            \
        }                                                                                          \
        if (i < count) {                                                                           \
            VECTOR v = {0};                                                                        \
            memcpy(&v, x + i, (count - i) * SCALAR_BYTES);                                         \
            v = value;                                                                             \
            memcpy(y + i, &v, (count - i) * SCALAR_BYTES);                                         \
        }                                                                                          \
    }
MAP(relu, NAME(relu_vector)(v))
MAP(tanh, NAME(tanh_vector)(v))
MAP(sigmoid, NAME(sigmoid_vector)(v))
/* Of x less the maximum that `other` points to. */
MAP(exp_below, NAME(exp_vector)(v - *other))
#undef MAP
#undef ABREAST

#define GRADIENT(name, value)                                                                      \
    static __attribute__((noinline)) void NAME(name)(const void *residual, const void *output,     \
                                                     void *to, ptrdiff_t count)                    \
    {                                                                                              \
        const SCALAR *dy = residual, *y = output;                                                  \
        SCALAR *dx = to;                                                                           \
        for (ptrdiff_t i = 0; i < count; i++)                                                      \
            dx[i] = value;                                                                         \
    }
/* Not y > 0: the residual passes where the output is a NaN. */
GRADIENT(relu_backward, y[i] <= 0 ? 0 : dy[i])
GRADIENT(tanh_backward, dy[i] * (1 - y[i] * y[i]))
GRADIENT(sigmoid_backward, dy[i] * ((1 - y[i]) * y[i]))
#undef GRADIENT

static const fastconv_elementwise NAME(elementwise) = {
    NAME(relu),          NAME(tanh),          NAME(sigmoid),          NAME(exp_below),
    NAME(relu_backward), NAME(tanh_backward), NAME(sigmoid_backward),
};

#undef TANH_LIMIT
#include "ops/exponential_end.h"
#include "base/vector_end.h"
