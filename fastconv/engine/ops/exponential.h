/* exp of vectors, for the loops of one instruction set and type.
 *
 * exp(x) = 2^n exp(r) with x = n ln(2) + r, and exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1). For
 * x <= 0 that sum does not cancel: for n = 0 it is the polynomial, and below it is at most -0.29.
 * A NaN passes, as it fails every comparison and reaches r.
 *
 * Expects what regions.h and vector.h define; exponential_end.h takes its names back. */

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

/* Coefficients of the highest power first. */
INLINE VECTOR NAME(polynomial)(const SCALAR *coefficients, unsigned count, VECTOR x)
{
    VECTOR q = (VECTOR){0} + coefficients[0];
#pragma GCC unroll 32
    for (unsigned i = 1; i < count; i++)
        q = q * x + coefficients[i];
    return q;
}

/* exp(r) - 1 and *power = 2^n, where x - less = n ln(2) + r, EXP_LIMIT <= x <= 0, and |less| is so
 * small that x alone sets n. */
INLINE VECTOR NAME(reduced_difference)(VECTOR x, VECTOR less, VECTOR *power)
{
    static const SCALAR coefficients[] = {POLYNOMIAL};
    const VECTOR zero = {0};
    /* Added to a small number it leaves the nearest integer in the low bits. */
    const VECTOR shifter = zero + (SCALAR)3 * ((INTEGER)1 << (MANTISSA - 1));
    const VECTOR shifted = x * (SCALAR)1.4426950408889634 + shifter;
    const VECTOR n = shifted - shifter;
    const VECTOR r = (x - n * LN2_HIGH) - n * LN2_LOW - less;
    const MASK one = (MASK){0} + ((INTEGER)BIAS << MANTISSA);
    const VECTOR q = NAME(polynomial)(coefficients, sizeof(coefficients) / SCALAR_BYTES, r);
    *power = (VECTOR)(((MASK)shifted << MANTISSA) + one);
    return r + r * r * q;
}

/* The same for x alone. */
INLINE VECTOR NAME(reduced)(VECTOR x, VECTOR *power)
{
    return NAME(reduced_difference)(x, (VECTOR){0}, power);
}

/* exp(x) for x <= 0. */
INLINE VECTOR NAME(exp_vector)(VECTOR x)
{
    const VECTOR zero = {0};
    VECTOR power;
    const VECTOR p = NAME(reduced)(x, &power);
    return NAME(select)(x < zero + EXP_LIMIT, zero, p * power + power);
}
