/* Activations, written once: elementwise.h includes this file for each instruction set and type.
 *
 * exp(x) = 2^n exp(r) with x = n ln(2) + r, and exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1). For
 * x <= 0 that sum does not cancel: for n = 0 it is the polynomial, and below it is at most -0.29.
 * A NaN passes, as it fails every comparison and reaches r.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

#define NAME(name) ISA(TYPED(name))
/* POLYNOMIAL: of (exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2, interpolated at the Chebyshev points;
 * relative to exp(r) - 1 the error is below 2^-29 (float) and 2^-59 (double). */
#if SCALAR_BYTES == 4
#define INTEGER int32_t
#define MANTISSA 23
#define BIAS 127
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#define POLYNOMIAL                                                                                 \
    0x1.a124f2p-13f, 0x1.6d4324p-10f, 0x1.1110ep-7f, 0x1.5554eap-5f, 0x1.555556p-3f, 0.5f
#define TANH_LIMIT -20.0f /* of -2 |x|: beyond it tanh rounds to 1 */
#define EXP_LIMIT -87.0f  /* of x: beyond it exp is taken for 0 */
#else
#define INTEGER int64_t
#define MANTISSA 52
#define BIAS 1023
#define LN2_HIGH 0x1.62e42fefa3p-1
#define LN2_LOW 0x1.3de6af278ece6p-42
#define POLYNOMIAL                                                                                 \
    2.0914686968086876e-09, 2.5105217004720745e-08, 2.75572736431103e-07, 2.7557255400206422e-06,  \
        2.4801587325547743e-05, 0.00019841269874820627, 0.0013888888888883748,                     \
        0.008333333333326136, 0.04166666666666667, 0.1666666666666667, 0.5
#define TANH_LIMIT -40.0
#define EXP_LIMIT -708.0
#endif

/* What comparisons of vectors make. */
#define MASK NAME(mask)
typedef INTEGER MASK __attribute__((vector_size(VECTOR_BYTES), aligned(SCALAR_BYTES)));
#define INLINE static inline __attribute__((always_inline))

INLINE VECTOR NAME(select)(MASK chosen, VECTOR a, VECTOR b)
{
    return (VECTOR)((chosen & (MASK)a) | (~chosen & (MASK)b));
}

/* exp(r) - 1 and *power = 2^n, where x = n ln(2) + r and EXP_LIMIT <= x <= 0. */
INLINE VECTOR NAME(reduced)(VECTOR x, VECTOR *power)
{
    static const SCALAR coefficients[] = {POLYNOMIAL};
    const VECTOR zero = {0};
    /* Added to a small number it leaves the nearest integer in the low bits. */
    const VECTOR shifter = zero + (SCALAR)3 * ((INTEGER)1 << (MANTISSA - 1));
    const VECTOR shifted = x * (SCALAR)1.4426950408889634 + shifter;
    const VECTOR n = shifted - shifter;
    const VECTOR r = (x - n * LN2_HIGH) - n * LN2_LOW;
    const MASK one = (MASK){0} + ((INTEGER)BIAS << MANTISSA);
    VECTOR q = zero + coefficients[0];
#pragma GCC unroll 16
    for (unsigned i = 1; i < sizeof(coefficients) / sizeof(coefficients[0]); i++)
        q = q * r + coefficients[i];
    *power = (VECTOR)(((MASK)shifted << MANTISSA) + one);
    return r + r * r * q;
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

/* exp(x) for x <= 0. */
INLINE VECTOR NAME(exp_vector)(VECTOR x)
{
    const VECTOR zero = {0};
    const MASK gone = x < zero + EXP_LIMIT;
    VECTOR power;
    const VECTOR p = NAME(reduced)(NAME(select)(gone, zero, x), &power);
    return NAME(select)(gone, zero, p * power + power);
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

#undef MASK
#undef INLINE
#undef INTEGER
#undef NAME
#undef MANTISSA
#undef BIAS
#undef LN2_HIGH
#undef LN2_LOW
#undef POLYNOMIAL
#undef TANH_LIMIT
#undef EXP_LIMIT
#include "base/vector_end.h"
