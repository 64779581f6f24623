/* exp of vectors, for the loops of one instruction set and type.
 *
 * Where a register holds a table of 2^(i/PARTS), i < PARTS, its lanes are looked up by number:
 * exp(x) = 2^(k/PARTS) exp(r) with x = k ln(2)/PARTS + r. A root's bits stand there without what i
 * adds to the exponent when k is shifted into place. Elsewhere PARTS is 1.
 *
 * exp(x) - 1 = 2^n (exp(r) - 1) + (2^n - 1), with PARTS = 1: for x <= 0 that sum does not cancel. For
 * n = 0 it is the polynomial, and below it is at most -0.29. A NaN passes, as it fails every
 * comparison and reaches r.
 *
 * Expects what regions.h and vector.h define; exponential_end.h takes its names back. */

#define NAME(name) ISA(TYPED(name))
/* DIFFERENCE: of (exp(r) - 1 - r) / r^2 for |r| <= ln(2)/2, interpolated at the Chebyshev points;
 * relative to exp(r) - 1 the error is below 2^-29 (float) and 2^-59 (double). */
#if SCALAR_BYTES == 4
#define INTEGER int32_t
#define MANTISSA 23
#define BIAS 127
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#define DIFFERENCE                                                                                 \
    0x1.a124f2p-13f, 0x1.6d4324p-10f, 0x1.1110ep-7f, 0x1.5554eap-5f, 0x1.555556p-3f, 0.5f
#define EXP_LIMIT -0x1.601e68p6f /* -127 ln(2): 2^-127 has no bit set, and exp is taken for 0 */
#else
#define INTEGER int64_t
#define MANTISSA 52
#define BIAS 1023
#define LN2_HIGH 0x1.62e42fefa3p-1
#define LN2_LOW 0x1.3de6af278ece6p-42
#define DIFFERENCE                                                                                 \
    2.0914686968086876e-09, 2.5105217004720745e-08, 2.75572736431103e-07, 2.7557255400206422e-06,  \
        2.4801587325547743e-05, 0.00019841269874820627, 0.0013888888888883748,                     \
        0.008333333333326136, 0.04166666666666667, 0.1666666666666667, 0.5
#define EXP_LIMIT -0x1.628b76e3a7b61p9 /* -1023 ln(2) */
#endif

/* PART: of (exp(r) - 1) / r for |r| <= ln(2)/2 / PARTS; relative to exp(r) the error is below 2^-29
 * (16 parts), 2^-25 (8 parts, float) and 2^-57 (8 parts, double). ROOTS: as above. */
#if FASTCONV_X86 && VECTOR_BYTES == 64 && SCALAR_BYTES == 4
#define PARTS 16
#define PARTS_LOG 4
#define PART 0x1.555708p-3f, 0x1.00022p-1f, 1.0f
#define ROOTS                                                                                      \
    0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7,            \
        0x3f75583f, 0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf,        \
        0x3f7ac0c7, 0x3f7d257d
#define LOOKED_UP(table, i) (MASK) _mm512_permutexvar_epi32((__m512i)(i), (__m512i)(table))
#elif FASTCONV_X86 && VECTOR_BYTES == 32 && SCALAR_BYTES == 4
#define PARTS 8
#define PARTS_LOG 3
#define PART 0x1.555c2p-3f, 0x1.00087ep-1f, 1.0f
#define ROOTS                                                                                      \
    0x3f800000, 0x3f7b95c2, 0x3f7837f0, 0x3f75fed7, 0x3f7504f3, 0x3f75672a, 0x3f7744fd, 0x3f7ac0c7
#define LOOKED_UP(table, i) (MASK) _mm256_permutevar8x32_epi32((__m256i)(table), (__m256i)(i))
#elif FASTCONV_X86 && VECTOR_BYTES == 64
#define PARTS 8
#define PARTS_LOG 3
#define PART                                                                                       \
    0x1.a01edd94e0c6ep-13, 0x1.6c1c38e12909dp-10, 0x1.1111110c65bbfp-7, 0x1.5555554ad3d18p-5,      \
        0x1.555555555559dp-3, 0x1.00000000000a2p-1, 1.0
#define ROOTS                                                                                      \
    0x3ff0000000000000, 0x3fef72b83c7d517b, 0x3fef06fe0a31b715, 0x3feebfdad5362a27,                \
        0x3feea09e667f3bcd, 0x3feeace5422aa0db, 0x3feee89f995ad3ad, 0x3fef5818dcfba487
#define LOOKED_UP(table, i) (MASK) _mm512_permutexvar_epi64((__m512i)(i), (__m512i)(table))
#else
#define PARTS 1
#define PARTS_LOG 0
#endif

/* Whether products are fused with sums. */
#define FUSED (FASTCONV_X86 && VECTOR_BYTES > 16)

/* What comparisons of vectors make. */
#define MASK NAME(mask)
typedef INTEGER MASK __attribute__((vector_size(VECTOR_BYTES), aligned(SCALAR_BYTES)));
#define INLINE static inline __attribute__((always_inline))

INLINE VECTOR NAME(select)(MASK chosen, VECTOR a, VECTOR b)
{
    return (VECTOR)((chosen & (MASK)a) | (~chosen & (MASK)b));
}

/* One instruction of x86, where the compiler sees a comparison and three steps. */
#if !FASTCONV_X86
#define LARGER(a, b) NAME(select)(a > b, a, b)
#define SMALLER(a, b) NAME(select)(a < b, a, b)
#else
#if VECTOR_BYTES == 64
#define OF_WIDTH(name) FASTCONV_JOIN(_mm512_, name)
#elif VECTOR_BYTES == 32
#define OF_WIDTH(name) FASTCONV_JOIN(_mm256_, name)
#else
#define OF_WIDTH(name) FASTCONV_JOIN(_mm_, name)
#endif
#if SCALAR_BYTES == 4
#define NATIVE(name) FASTCONV_JOIN(OF_WIDTH(name), _ps)
#else
#define NATIVE(name) FASTCONV_JOIN(OF_WIDTH(name), _pd)
#endif
#define REGISTER __typeof__(NATIVE(setzero)())
#define LARGER(a, b) (VECTOR) NATIVE(max)((REGISTER)(a), (REGISTER)(b))
#define SMALLER(a, b) (VECTOR) NATIVE(min)((REGISTER)(a), (REGISTER)(b))
#endif

/* A NaN of x stays: where a comparison fails, it is the second operand that comes out. */
INLINE VECTOR NAME(at_least)(VECTOR x, VECTOR least) { return LARGER(least, x); }
INLINE VECTOR NAME(at_most)(VECTOR x, VECTOR most) { return SMALLER(most, x); }

/* Coefficients of the highest power first. */
INLINE VECTOR NAME(polynomial)(const SCALAR *coefficients, unsigned count, VECTOR x)
{
    VECTOR q = (VECTOR){0} + coefficients[0];
#pragma GCC unroll 32
    for (unsigned i = 1; i < count; i++)
        q = q * x + coefficients[i];
    return q;
}

/* The same with coefficient * factor^(power + 1), which are known when this is compiled. */
INLINE VECTOR NAME(stretched)(const SCALAR *coefficients, unsigned count, SCALAR factor, VECTOR x)
{
    VECTOR q = {0};
#pragma GCC unroll 32
    for (unsigned i = 0; i < count; i++) {
        SCALAR coefficient = coefficients[i];
#pragma GCC unroll 32
        for (unsigned j = i; j < count; j++)
            coefficient *= factor;
        q = i ? q * x + coefficient : q + coefficient;
    }
    return q;
}

/* r where factor (x - less) = k ln(2)/parts + factor r, and *bits with k in the low bits. The factor
 * is a power of 2 or its negative; |less| is so small that x alone sets k. */
INLINE VECTOR NAME(remainder)(VECTOR x, VECTOR less, SCALAR factor, SCALAR parts, MASK *bits)
{
    const VECTOR zero = {0};
    /* Added to a small number it leaves the nearest integer in the low bits. */
    const VECTOR shifter = zero + (SCALAR)3 * ((INTEGER)1 << (MANTISSA - 1));
    const VECTOR shifted = x * (factor * parts * (SCALAR)1.4426950408889634) + shifter;
    const VECTOR k = shifted - shifter;
    const SCALAR high = LN2_HIGH / (factor * parts), low = LN2_LOW / (factor * parts);
    *bits = (MASK)shifted;
    return (x - k * high) - k * low - less;
}

/* exp(r) - 1 and *power = 2^n, where x = n ln(2) + r and EXP_LIMIT <= x <= 0. */
INLINE VECTOR NAME(reduced)(VECTOR x, VECTOR *power)
{
    static const SCALAR coefficients[] = {DIFFERENCE};
    const MASK one = (MASK){0} + ((INTEGER)BIAS << MANTISSA);
    MASK bits;
    const VECTOR r = NAME(remainder)(x, (VECTOR){0}, 1, 1, &bits);
    const VECTOR q = NAME(polynomial)(coefficients, sizeof(coefficients) / SCALAR_BYTES, r);
    *power = (VECTOR)((bits << MANTISSA) + one);
    return r + r * r * q;
}

/* exp(factor (x - less)), as in `remainder`, from EXP_LIMIT, where it is 0, to 0. */
INLINE VECTOR NAME(exp_product)(VECTOR x, VECTOR less, SCALAR factor)
{
    MASK bits;
    const VECTOR r = NAME(remainder)(x, less, factor, PARTS, &bits);
#ifdef ROOTS
    static const SCALAR coefficients[] = {PART};
    static const MASK roots = {ROOTS};
    const VECTOR q =
        NAME(stretched)(coefficients, sizeof(coefficients) / SCALAR_BYTES, factor, r);
    const VECTOR p = r * q;
    const VECTOR power = (VECTOR)((bits << (MANTISSA - PARTS_LOG)) + LOOKED_UP(roots, bits));
#else
    static const SCALAR coefficients[] = {DIFFERENCE};
    const VECTOR s = r * factor;
    const VECTOR q = NAME(polynomial)(coefficients, sizeof(coefficients) / SCALAR_BYTES, s);
    const VECTOR p = s + s * s * q;
    const VECTOR power = (VECTOR)((bits << MANTISSA) + ((INTEGER)BIAS << MANTISSA));
#endif
#if FUSED
    return p * power + power;
#else
    /* A product p * power may be too small to count beside the power where they are near 1e-36. */
    return (p + 1) * power;
#endif
}

/* exp(x) for x <= 0. */
INLINE VECTOR NAME(exp_vector)(VECTOR x)
{
    const VECTOR zero = {0};
    return NAME(exp_product)(NAME(at_least)(x, zero + EXP_LIMIT), zero, 1);
}
