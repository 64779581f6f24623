/* log of vectors, for the loops of one instruction set and type.
 *
 * x = 2^k m with m from sqrt(1/2) to sqrt(2), and log m = 2 atanh(s) with s = (m - 1) / (m + 1);
 * the polynomials of s^2 are those of FreeBSD's libm (e_log.c, e_logf.c). The error is below two
 * units in the last place. Denormals are flushed to zero, whose logarithm is -Inf; that of a
 * negative number is NaN.
 *
 * UNIT: of (log1p(e) - 2 s) / s^3 in s^2, where s = e/(e + 2) and 0 <= e <= 1, interpolated at the
 * Chebyshev points, highest power first; relative to log1p(e) the error is below 2^-31 (float) and
 * 2^-62 (double).
 *
 * Expects exponential.h. */

#if SCALAR_BYTES == 4
#define UNSIGNED uint32_t
#define SQRT_HALF 0x3f3504f3u /* the bits of sqrt(1/2) */
#define ATANH 0.24279078841f, 0.28498786688f, 0.40000972152f, 0.66666662693f
#define UNIT 0x1.dba26p-3f, 0x1.bc8cf8p-3f, 0x1.24c926p-2f, 0x1.9998d4p-2f, 0x1.555556p-1f
#else
#define UNSIGNED uint64_t
#define SQRT_HALF 0x3fe6a09e667f3bcdu
#define ATANH                                                                                      \
    1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,                  \
        2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,              \
        6.666666666666735130e-01
#define UNIT                                                                                       \
    0x1.401d3e65cdc48p-3, 0x1.32e0d25c9c761p-4, 0x1.bc37f0140c19ep-4, 0x1.e0a2d581ab68fp-4,        \
        0x1.111abdc8abe16p-3, 0x1.3b13515f6f9efp-3, 0x1.745d19937b1fcp-3, 0x1.c71c71bedea97p-3,    \
        0x1.2492492499d46p-2, 0x1.9999999999944p-2, 0x1.5555555555555p-1
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
    const VECTOR q = NAME(polynomial)(coefficients, sizeof(coefficients) / SCALAR_BYTES, z);
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

/* The same for 0 <= x <= 1 alone, half as long, and more accurate: 2 atanh(s) with 2s = x - s x. */
INLINE VECTOR NAME(log1p_unit)(VECTOR x)
{
    static const SCALAR coefficients[] = {UNIT};
    const VECTOR s = x / (x + 2), square = s * s;
    return x - s * (x - square * NAME(polynomial)(coefficients,
                                                  sizeof(coefficients) / SCALAR_BYTES, square));
}
