/* log of vectors, for the loops of one instruction set and type.
 *
 * x = 2^k m with m from sqrt(1/2) to sqrt(2), and log m = 2 atanh(s) with s = (m - 1) / (m + 1);
 * the polynomials of s^2 are those of FreeBSD's libm (e_log.c, e_logf.c). The error is below two
 * units in the last place. Denormals are flushed to zero, whose logarithm is -Inf; that of a
 * negative number is NaN.
 *
 * Expects exponential.h. */

#if SCALAR_BYTES == 4
#define UNSIGNED uint32_t
#define SQRT_HALF 0x3f3504f3u /* the bits of sqrt(1/2) */
#define ATANH 0.24279078841f, 0.28498786688f, 0.40000972152f, 0.66666662693f
#else
#define UNSIGNED uint64_t
#define SQRT_HALF 0x3fe6a09e667f3bcdu
#define ATANH                                                                                      \
    1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,                  \
        2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,              \
        6.666666666666735130e-01
#endif
#define BITS NAME(bits)
typedef UNSIGNED BITS __attribute__((vector_size(VECTOR_BYTES), aligned(SCALAR_BYTES)));

INLINE VECTOR NAME(log_vector)(VECTOR x)
{
    static const SCALAR coefficients[] = {ATANH};
    const VECTOR zero = {0}, infinity = zero + (SCALAR)INFINITY;
    const VECTOR shifter = zero + (SCALAR)3 * ((INTEGER)1 << (MANTISSA - 1));
    const UNSIGNED one = (UNSIGNED)BIAS << MANTISSA, mask = ((UNSIGNED)1 << MANTISSA) - 1;
    const BITS shifted = (BITS)x + (one - SQRT_HALF);
    const BITS exponent = (shifted >> MANTISSA) - BIAS;
    const VECTOR k = (VECTOR)(exponent + (BITS)shifter) - shifter;
    const VECTOR f = (VECTOR)((shifted & mask) + SQRT_HALF) - 1;
    const VECTOR s = f / (f + 2), z = s * s, half = f * f * (SCALAR)0.5;
    VECTOR q = zero + coefficients[0];
#pragma GCC unroll 8
    for (unsigned i = 1; i < sizeof(coefficients) / sizeof(coefficients[0]); i++)
        q = q * z + coefficients[i];
    const VECTOR low = s * (half + z * q) + k * LN2_LOW;
    const VECTOR found = k * LN2_HIGH - ((half - low) - f);
    /* A NaN and Inf are their own logarithms. */
    const VECTOR special = NAME(select)(x < zero, zero + (SCALAR)NAN,
                                        NAME(select)(x == zero, -infinity, x));
    return NAME(select)((x > zero) & (x < infinity), found, special);
}

/* log(1 + x), with the rounding error of 1 + x put back. */
INLINE VECTOR NAME(log1p_vector)(VECTOR x)
{
    const VECTOR zero = {0}, y = x + 1, lost = (x - (y - 1)) / y;
    const MASK usual = (y > zero) & (y < zero + (SCALAR)INFINITY);
    return NAME(log_vector)(y) + NAME(select)(usual, lost, zero);
}
