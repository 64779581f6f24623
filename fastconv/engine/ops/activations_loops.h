/* Activations, written once: activations.h includes this file for each instruction set and type.
 *
 * With y = |x|, an exponential is taken of -y, which cannot overflow, and what is below zero is the
 * mirror of what is above: silu(x) = max(x, 0) - y sigmoid(-y), and so on. Where the exponential is 0
 * y has a bound, so that an infinity does not meet that 0. A NaN passes, as it fails every comparison.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"
#include "ops/exponential.h"
#include "ops/logarithm.h"

/* NORMAL: of exp(x^2/2) P(X < -x) / u in 2u - 1, where X is a standard normal variable and
 * u = NORMAL_SCALE / (NORMAL_SCALE + x), for 0 <= x <= NORMAL_LIMIT, highest power first;
 * interpolated at the Chebyshev points the error is below 2^-29 (float) and 2^-61 (double). */
#if SCALAR_BYTES == 4
#define TANH_LIMIT -20.0f /* of -2 |x|: beyond it tanh rounds to 1 */
#define EXPM1_LIMIT -20.0f
#define DECAY_LIMIT 88.0f /* its 2^n has no bit set: exp(-88) is 0 */
#define UPPER_HALF 12 /* bits of a mantissa that are not in its upper half */
#define NORMAL_SCALE 3.0f
#define NORMAL_LIMIT 13.27f /* squared and halved it is beyond where an exponential is 0 */
#define NORMAL                                                                                     \
    0x1.348f12p-16f, -0x1.73687ep-15f, -0x1.55d036p-14f, 0x1.695f08p-12f, 0x1.65f814p-12f,         \
        -0x1.3082a8p-9f, -0x1.c91af8p-9f, 0x1.021e16p-6f, 0x1.3a0d02p-4f, 0x1.5bb438p-3f,          \
        0x1.f1b89cp-3f
#else
#define TANH_LIMIT -40.0
#define EXPM1_LIMIT -40.0
#define DECAY_LIMIT 709.0
#define UPPER_HALF 27
#define NORMAL_SCALE 5.5
#define NORMAL_LIMIT 37.66
#define NORMAL                                                                                     \
    -0x1.2b70196afb9d4p-34, 0x1.563fd0be2791ap-33, 0x1.4ae2a24f87c79p-31, -0x1.a65c8ab25e83p-30,   \
        -0x1.206a41e987ee6p-28, 0x1.52c5f9f65f423p-27, 0x1.141c590309718p-25,                      \
        -0x1.a73fca0c23ce6p-25, -0x1.217e09d31df8bp-22, 0x1.5dd7a222b536ep-24,                     \
        0x1.27b9d7450aba4p-19, 0x1.8e3f29e2523f7p-19, -0x1.b3afdb8fcaacbp-17,                      \
        -0x1.eef655229e376p-15, -0x1.9b335247c70ffp-15, 0x1.d1c14d7025ca5p-12,                     \
        0x1.4bd0a2614524p-9, 0x1.0caee556eae6dp-7, 0x1.46cba7fbd45a2p-6, 0x1.4482d67efac9bp-5,     \
        0x1.1159f895b645cp-4, 0x1.8edf9169d214bp-4, 0x1.fe4657fd76be5p-4, 0x1.201fa9259b7acp-3
#endif

INLINE VECTOR NAME(at_least)(VECTOR x, VECTOR least)
{
    return NAME(select)(x < least, least, x);
}

INLINE VECTOR NAME(at_most)(VECTOR x, VECTOR most)
{
    return NAME(select)(x > most, most, x);
}

INLINE VECTOR NAME(magnitude)(VECTOR x)
{
    return (VECTOR)((MASK)x & ~(MASK)(-(VECTOR){0}));
}

/* |x|, or the number at which an exponential has come to 0. */
INLINE VECTOR NAME(bounded)(VECTOR x)
{
    return NAME(at_most)(NAME(magnitude)(x), (VECTOR){0} + DECAY_LIMIT);
}

/* exp(-y) for y from `bounded`; 0 at its bound. */
INLINE VECTOR NAME(decay)(VECTOR y)
{
    VECTOR power;
    const VECTOR p = NAME(reduced)(-y, &power);
    return p * power + power;
}

/* exp(x) - 1 for x <= 0. */
INLINE VECTOR NAME(expm1_vector)(VECTOR x)
{
    VECTOR power;
    const VECTOR p = NAME(reduced)(NAME(at_least)(x, (VECTOR){0} + EXPM1_LIMIT), &power);
    return p * power + (power - 1);
}

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
    const VECTOR zero = {0}, e = NAME(exp_vector)(-NAME(magnitude)(x));
    return NAME(select)(x < zero, e, zero + 1) / (e + 1);
}

/* Of a function f with f(x) + f(-x) = 1 and f(-|x|) = w. */
INLINE VECTOR NAME(mirrored)(VECTOR x, VECTOR w)
{
    return NAME(select)(x > (VECTOR){0}, 1 - w, w);
}

/* Not x < 0: a denormal counts as zero, and must not come out negative. */
INLINE VECTOR NAME(relu_vector)(VECTOR x)
{
    const VECTOR zero = {0};
    return NAME(select)(x <= zero, zero, x);
}

/* P(X < -y) for a standard normal X and 0 <= y <= NORMAL_LIMIT, and *density = exp(-y^2/2). The upper
 * half of the bits of y has an exact square: what is left of y^2 is small. */
INLINE VECTOR NAME(normal_tail)(VECTOR y, VECTOR *density)
{
    static const SCALAR coefficients[] = {NORMAL};
    const VECTOR upper = (VECTOR)((MASK)y & -((INTEGER)1 << UPPER_HALF));
    const VECTOR rest = (y - upper) * (y + upper) * (SCALAR)0.5;
    const VECTOR u = NORMAL_SCALE / (y + NORMAL_SCALE);
    const VECTOR q =
        NAME(polynomial)(coefficients, sizeof(coefficients) / SCALAR_BYTES, u + u - 1);
    VECTOR power;
    const VECTOR p = NAME(reduced_difference)(upper * upper * (SCALAR)-0.5, rest, &power);
    *density = p * power + power;
    return *density * (u * q);
}

INLINE VECTOR NAME(gelu_vector)(VECTOR x)
{
    const VECTOR y = NAME(at_most)(NAME(magnitude)(x), (VECTOR){0} + NORMAL_LIMIT);
    VECTOR density;
    return NAME(relu_vector)(x) - y * NAME(normal_tail)(y, &density);
}

INLINE VECTOR NAME(gelu_gradient)(VECTOR x)
{
    const VECTOR y = NAME(at_most)(NAME(magnitude)(x), (VECTOR){0} + NORMAL_LIMIT);
    VECTOR density;
    const VECTOR tail = NAME(normal_tail)(y, &density);
    /* 1 / sqrt(2 pi) */
    return NAME(mirrored)(x, tail - y * (SCALAR)0.3989422804014327 * density);
}

/* (1 + tanh(w)) / 2 = sigmoid(2w), where 2w = 2 sqrt(2/pi) (x + 0.044715 x^3). Beyond |x| = 32 it is
 * 0 or 1. */
#define GELU_ROOT ((SCALAR)1.5957691216057308)
#define GELU_CUBIC ((SCALAR)0.07135481627260025)
INLINE VECTOR NAME(gelu_tanh_vector)(VECTOR x)
{
    const VECTOR y = NAME(at_most)(NAME(magnitude)(x), (VECTOR){0} + 32);
    const VECTOR e = NAME(decay)(NAME(bounded)(y * (GELU_ROOT + GELU_CUBIC * (y * y))));
    return NAME(relu_vector)(x) - y * (e / (1 + e));
}

INLINE VECTOR NAME(gelu_tanh_gradient)(VECTOR x)
{
    const VECTOR y = NAME(at_most)(NAME(magnitude)(x), (VECTOR){0} + 32), square = y * y;
    const VECTOR e = NAME(decay)(NAME(bounded)(y * (GELU_ROOT + GELU_CUBIC * square)));
    const VECTOR large = 1 / (1 + e), small = e * large;
    const VECTOR slope = GELU_ROOT + 3 * GELU_CUBIC * square;
    return NAME(mirrored)(x, small - y * slope * (small * large));
}
#undef GELU_ROOT
#undef GELU_CUBIC

INLINE VECTOR NAME(silu_vector)(VECTOR x)
{
    const VECTOR y = NAME(bounded)(x), e = NAME(decay)(y);
    return NAME(relu_vector)(x) - y * (e / (1 + e));
}

INLINE VECTOR NAME(silu_gradient)(VECTOR x)
{
    const VECTOR y = NAME(bounded)(x), e = NAME(decay)(y);
    const VECTOR large = 1 / (1 + e), small = e * large;
    return NAME(mirrored)(x, small - y * (small * large));
}

/* tanh(softplus(x)) = n/(n + 2) with n = e (e + 2) and e = exp(x); with e = exp(-x) it is
 * 1 - 2 e^2 / (1 + 2e + 2 e^2). */
INLINE VECTOR NAME(mish_vector)(VECTOR x)
{
    const MASK above = x > (VECTOR){0};
    const VECTOR y = NAME(bounded)(x), e = NAME(decay)(y), n = e * (e + 2);
    const VECTOR square = 2 * e * e;
    const VECTOR share = NAME(select)(above, square, n)
                         / NAME(select)(above, 1 + 2 * e + square, n + 2);
    return NAME(relu_vector)(x) - y * share;
}

/* t + x sigmoid(x) (1 - t^2), where t = n/d and 1 - t^2 = (d - n) (d + n) / d^2. */
INLINE VECTOR NAME(mish_gradient)(VECTOR x)
{
    const VECTOR zero = {0};
    const MASK above = x > zero;
    const VECTOR y = NAME(bounded)(x), e = NAME(decay)(y);
    const VECTOR n = NAME(select)(above, 1 + 2 * e, e * (e + 2));
    const VECTOR more = NAME(select)(above, 2 * e * e, zero + 2), d = n + more, inverse = 1 / d;
    const VECTOR slope = y * NAME(select)(above, zero + 1, -e) / (1 + e);
    return n * inverse + slope * ((more * inverse) * ((n + d) * inverse));
}

/* y / (1 + y); beyond the bound it is 1, also for an infinity. */
INLINE VECTOR NAME(softsign_size)(VECTOR y)
{
    const VECTOR most = NAME(at_most)(y, (VECTOR){0} + (SCALAR)1e30);
    return most / (1 + most);
}

INLINE VECTOR NAME(sigmoid_of_decay)(VECTOR x, VECTOR e)
{
    return NAME(select)(x < (VECTOR){0}, e, (VECTOR){0} + 1) / (1 + e);
}

/* Where a function bends at a and b: 0, between and 1. */
INLINE VECTOR NAME(inside)(VECTOR x, VECTOR a, VECTOR b, VECTOR d)
{
    return NAME(select)((x <= a) | (x >= b), (VECTOR){0}, d);
}

/* Vectors at a time: each is a chain of operations that wait for each other. */
#define ABREAST 4
/* `value` is of x (or what was saved of forward), of the residual d, which is only read if
 * `gradient`, and of the options a, b, c. The tail runs the same arithmetic on a vector filled up
 * with zeros. */
#define LOOP(name, gradient, value)                                                                \
    static __attribute__((noinline)) void NAME(name)(const double *options, const void *residual,  \
                                                     const void *from, void *to, ptrdiff_t count)  \
    {                                                                                              \
        const VECTOR zero = {0}, a = zero + (SCALAR)options[0], b = zero + (SCALAR)options[1],     \
                     c = zero + (SCALAR)options[2];                                                \
        const SCALAR *dy = residual, *source = from;                                               \
        SCALAR *y = to;                                                                            \
        ptrdiff_t i = 0;                                                                           \
        (void)a, (void)b, (void)c, (void)dy;                                                       \
        for (; i + ABREAST * LANES <= count; i += ABREAST * LANES) {                               \
            VECTOR xs[ABREAST], ds[ABREAST] = {0};                                                 \
            for (int j = 0; j < ABREAST; j++)                                                      \
                xs[j] = *(const VECTOR *)(source + i + j * LANES);                                 \
            for (int j = 0; gradient && j < ABREAST; j++)                                          \
                ds[j] = *(const VECTOR *)(dy + i + j * LANES);                                     \
            for (int j = 0; j < ABREAST; j++) {                                                    \
                const VECTOR x = xs[j], d = ds[j];                                                 \
                (void)d;                                                                           \
                xs[j] = value;                                                                     \
            }                                                                                      \
            for (int j = 0; j < ABREAST; j++)                                                      \
                *(VECTOR *)(y + i + j * LANES) = xs[j];                                            \
        }                                                                                          \
        for (; i < count; i += LANES) {                                                            \
            const ptrdiff_t bytes = (count - i < LANES ? count - i : LANES) * SCALAR_BYTES;        \
            VECTOR x = zero, d = zero;                                                             \
            memcpy(&x, source + i, bytes);                                                         \
            if (gradient)                                                                          \
                memcpy(&d, dy + i, bytes);                                                         \
            x = value;                                                                             \
            memcpy(y + i, &x, bytes);                                                              \
        }                                                                                          \
    }
#define ACTIVATION(name, value, gradient)                                                          \
    LOOP(name##_forward, 0, value) LOOP(name##_backward, 1, gradient)

/* Gradients of the first four are from the output, called x like the input of the others. A residual
 * passes where the output is a NaN. */
ACTIVATION(relu, NAME(relu_vector)(x), NAME(select)(x <= zero, zero, d))
ACTIVATION(tanh, NAME(tanh_vector)(x), d * (1 - x * x))
ACTIVATION(sigmoid, NAME(sigmoid_vector)(x), d * ((1 - x) * x))
/* From a to b. */
ACTIVATION(hardtanh, NAME(at_most)(NAME(at_least)(x, a), b), NAME(inside)(x, a, b, d))
/* The slope a below zero. */
ACTIVATION(leaky_relu, NAME(select)(x > zero, x, x * a), NAME(select)(x > zero, d, d * a))
/* The slope a from -b to c - b. */
ACTIVATION(hardsigmoid, NAME(at_most)(NAME(at_least)(x + b, zero), c) * a,
           NAME(inside)(x, -b, c - b, d * a))
ACTIVATION(hardswish,
           NAME(at_least)(x, zero - 3)
               * (NAME(at_most)(NAME(at_least)(x + 3, zero), zero + 6) * (SCALAR)(1.0 / 6)),
           NAME(select)(x >= zero + 3, d,
                        NAME(select)(x <= zero - 3, zero,
                                     d * (x * (SCALAR)(1.0 / 3) + (SCALAR)0.5))))
ACTIVATION(softsign,
           (VECTOR)(((MASK)NAME(softsign_size)(NAME(magnitude)(x))) | ((MASK)x & (MASK)(-zero))),
           d / (1 + NAME(magnitude)(x)) / (1 + NAME(magnitude)(x)))
/* b x above zero, a (exp(c x) - 1) below. */
ACTIVATION(elu, NAME(select)(x > zero, x * b, NAME(expm1_vector)(x * c) * a),
           d * NAME(select)(x > zero, b, NAME(exp_vector)(x * c) * (a * c)))
ACTIVATION(silu, NAME(silu_vector)(x), d * NAME(silu_gradient)(x))
/* log(1 + exp(a x)) * c, and x where a x is above b. */
ACTIVATION(softplus,
           NAME(select)(x * a > b, x,
                        (NAME(at_least)(x * a, zero)
                         + NAME(log1p_unit)(NAME(decay)(NAME(bounded)(x * a)))) * c),
           NAME(select)(x * a > b, d,
                        d * NAME(sigmoid_of_decay)(x * a, NAME(decay)(NAME(bounded)(x * a)))))
ACTIVATION(logsigmoid,
           NAME(at_most)(x, zero) - NAME(log1p_unit)(NAME(decay)(NAME(bounded)(x))),
           d * NAME(sigmoid_of_decay)(-x, NAME(decay)(NAME(bounded)(x))))
ACTIVATION(mish, NAME(mish_vector)(x), d * NAME(mish_gradient)(x))
ACTIVATION(gelu, NAME(gelu_vector)(x), d * NAME(gelu_gradient)(x))
ACTIVATION(gelu_tanh, NAME(gelu_tanh_vector)(x), d * NAME(gelu_tanh_gradient)(x))
#undef ACTIVATION
#undef LOOP

/* No lane adds more numbers than a block has for it; the lanes are added in double precision. */
static __attribute__((noinline)) double NAME(slope_sum)(const void *residual, const void *from,
                                                        ptrdiff_t count)
{
    const SCALAR *dy = residual, *x = from;
    const VECTOR zero = {0};
    VECTOR sums[ABREAST] = {0};
    double total = 0;
    ptrdiff_t i = 0;

    for (; i + ABREAST * LANES <= count; i += ABREAST * LANES)
        for (int j = 0; j < ABREAST; j++) {
            const VECTOR v = *(const VECTOR *)(x + i + j * LANES);
            sums[j] += NAME(select)(v > zero, zero, *(const VECTOR *)(dy + i + j * LANES) * v);
        }
    for (; i < count; i++)
        total += x[i] > 0 ? 0 : dy[i] * x[i];
    sums[0] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (int lane = 0; lane < LANES; lane++)
        total += sums[0][lane];
    return total;
}
#undef ABREAST

#define FORWARD(name, cost) NAME(name##_forward),
#define BACKWARD(name, cost) NAME(name##_backward),
static const fastconv_activations NAME(activations) = {
    {FASTCONV_EACH_ACTIVATION(FORWARD)},
    {FASTCONV_EACH_ACTIVATION(BACKWARD)},
    NAME(slope_sum),
};
#undef FORWARD
#undef BACKWARD

#undef TANH_LIMIT
#undef EXPM1_LIMIT
#undef DECAY_LIMIT
#undef UPPER_HALF
#undef NORMAL_SCALE
#undef NORMAL_LIMIT
#undef NORMAL
#include "ops/logarithm_end.h"
#include "ops/exponential_end.h"
#include "base/vector_end.h"
