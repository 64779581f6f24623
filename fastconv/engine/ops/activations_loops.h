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

/* Of exp(x^2/2) P(X < -x), where X is a standard normal variable and 0 <= x <= NORMAL_LIMIT:
 *
 * NORMAL: over u in 2u - 1, where u = NORMAL_SCALE / (NORMAL_SCALE + x), highest power first; the
 * error is below 2^-25 (float, minimax) and 2^-61 (double, interpolated at the Chebyshev points).
 * SHARES: instead, where two registers hold 32 floats: polynomials of degree 4 in what x + 1 is above
 * an eighth of its power of 2, interpolated at the Chebyshev points; the error is below 2^-23.
 * The last bits of the exponent and the first three of the mantissa number them. */
#if SCALAR_BYTES == 4
#define TANH_LIMIT -20.0f /* of -2 |x|: beyond it tanh rounds to 1 */
#define EXPM1_LIMIT -20.0f
#define UPPER_HALF 12 /* bits of a mantissa that are not in its upper half */
#define NORMAL_LIMIT 13.26873f /* squared and halved it is where an exponential is 0 */
#define NORMAL_SCALE 3.0f
#define NORMAL                                                                                     \
    -0x1.f1f23p-17f, -0x1.2f434cp-14f, 0x1.4ad6fcp-12f, 0x1.66e9f2p-12f, -0x1.2f3314p-9f,          \
        -0x1.c93676p-9f, 0x1.021882p-6f, 0x1.3a0d14p-4f, 0x1.5bb43ep-3f, 0x1.f1b89cp-3f
#if FASTCONV_X86 && VECTOR_BYTES == 64
#define SHARES                                                                                     \
    {0x1.ec2f96p-8f, 0x1.47feb2p-8f, 0x1.be3938p-9f, 0x1.35658ap-9f, 0x1.b4c2f4p-10f,              \
     0x1.396eb6p-10f, 0x1.c8da58p-11f, 0x1.51c4bcp-11f, 0x1.b973eap-12f, 0x1.03ee92p-12f,          \
     0x1.3f4288p-13f, 0x1.96d2a4p-14f, 0x1.0bb4ccp-14f, 0x1.6a7f34p-15f, 0x1.f7625ep-16f,          \
     0x1.657198p-16f, 0x1.bd61d6p-17f, 0x1.f41e48p-18f, 0x1.290ebcp-18f, 0x1.71ca0ep-19f,          \
     0x1.ded196p-20f, 0x1.409316p-20f, 0, 0, 0x1.c103bcp-5f, 0x1.5aa6ep-5f, 0x1.0d852ep-5f,        \
     0x1.a5fa08p-6f, 0x1.4c87a2p-6f, 0x1.07ba3p-6f, 0x1.a4ebep-7f, 0x1.51ec96p-7f},                \
    {-0x1.95008cp-6f, -0x1.1b6bbp-6f, -0x1.94a0d4p-7f, -0x1.262ecep-7f, -0x1.b313fcp-8f,           \
     -0x1.46cd16p-8f, -0x1.f21728p-9f, -0x1.80af5cp-9f, -0x1.2784cap-9f, -0x1.76a56ep-10f,         \
     -0x1.edcaccp-11f, -0x1.5089cap-11f, -0x1.d852c2p-12f, -0x1.5403b2p-12f,                       \
     -0x1.f4a2e8p-13f, -0x1.77f09ep-13f, -0x1.1967c4p-13f, -0x1.594f16p-14f,                       \
     -0x1.bd716ap-15f, -0x1.2b603cp-15f, -0x1.a07c7p-16f, -0x1.2a4182p-16f, 0, 0,                  \
     -0x1.0eaa6p-3f, -0x1.ada63cp-4f, -0x1.576818p-4f, -0x1.145668p-4f, -0x1.bfa4f2p-5f,           \
     -0x1.6cdc0cp-5f, -0x1.2b30b8p-5f, -0x1.ed8ca8p-6f},                                           \
    {0x1.fc84d4p-5f, 0x1.7b4f5ap-5f, 0x1.2024d8p-5f, 0x1.bd21eep-6f, 0x1.5d17e2p-6f,               \
     0x1.1599eep-6f, 0x1.bf22b8p-7f, 0x1.6c4e18p-7f, 0x1.2bb73ep-7f, 0x1.a24746p-8f,               \
     0x1.2da888p-8f, 0x1.bf80bep-9f, 0x1.54071cp-9f, 0x1.07cd8cp-9f, 0x1.a0d1ep-10f,               \
     0x1.4e91b6p-10f, 0x1.1007f8p-10f, 0x1.75ca42p-11f, 0x1.0b3d08p-11f, 0x1.8abaccp-12f,          \
     0x1.2b79c2p-12f, 0x1.d0d2ccp-13f, 0, 0, 0x1.ffed08p-3f, 0x1.a4d322p-3f, 0x1.5c4bb2p-3f,       \
     0x1.2226f4p-3f, 0x1.e67554p-4f, 0x1.9a3c04p-4f, 0x1.5bf06ep-4f, 0x1.28b91p-4f},               \
    {-0x1.1951c4p-3f, -0x1.c4927ap-4f, -0x1.71bfep-4f, -0x1.32537p-4f, -0x1.00f9aap-4f,            \
     -0x1.b4058ap-5f, -0x1.75ab36p-5f, -0x1.432af8p-5f, -0x1.19cdaep-5f, -0x1.b6023p-6f,           \
     -0x1.5cf8b8p-6f, -0x1.1be252p-6f, -0x1.d6145ep-7f, -0x1.8b18fcp-7f, -0x1.506888p-7f,          \
     -0x1.21ae6cp-7f, -0x1.f7d2ccp-8f, -0x1.86b6dap-8f, -0x1.378062p-8f, -0x1.fbf1f4p-9f,          \
     -0x1.a5da4p-9f, -0x1.63cf78p-9f, 0, 0, -0x1.98842ep-2f, -0x1.5e6e52p-2f,                      \
     -0x1.2e863cp-2f, -0x1.06bfap-2f, -0x1.cb0612p-3f, -0x1.93233ap-3f, -0x1.63e062p-3f,           \
     -0x1.3baf4cp-3f},                                                                             \
    {0x1.0bdb2ep-2f, 0x1.d898dep-3f, 0x1.a57056p-3f, 0x1.7b5abep-3f, 0x1.5845dcp-3f,               \
     0x1.3aaddep-3f, 0x1.217252p-3f, 0x1.0bb968p-3f, 0x1.f1b89ap-4f, 0x1.b396f8p-4f,               \
     0x1.82b4bcp-4f, 0x1.5b5accp-4f, 0x1.3b0fbcp-4f, 0x1.201faap-4f, 0x1.095608p-4f,               \
     0x1.eba5fep-5f, 0x1.c9e12p-5f, 0x1.926972p-5f, 0x1.66ccb8p-5f, 0x1.43a38ap-5f,                \
     0x1.26b4dp-5f, 0x1.0e7dcep-5f, 0, 0, 0x1p-1f, 0x1.d0af2cp-2f, 0x1.a7f808p-2f,                 \
     0x1.84b706p-2f, 0x1.66027ap-2f, 0x1.4b1de2p-2f, 0x1.337024p-2f, 0x1.1e7c2ep-2f},
#endif
#else
#define TANH_LIMIT -40.0
#define EXPM1_LIMIT -40.0
#define UPPER_HALF 27
#define NORMAL_SCALE 5.5
#define NORMAL_LIMIT 37.658719
#define NORMAL                                                                                     \
    -0x1.2b70196afb9d4p-34, 0x1.563fd0be2791ap-33, 0x1.4ae2a24f87c79p-31, -0x1.a65c8ab25e83p-30,   \
        -0x1.206a41e987ee6p-28, 0x1.52c5f9f65f423p-27, 0x1.141c590309718p-25,                      \
        -0x1.a73fca0c23ce6p-25, -0x1.217e09d31df8bp-22, 0x1.5dd7a222b536ep-24,                     \
        0x1.27b9d7450aba4p-19, 0x1.8e3f29e2523f7p-19, -0x1.b3afdb8fcaacbp-17,                      \
        -0x1.eef655229e376p-15, -0x1.9b335247c70ffp-15, 0x1.d1c14d7025ca5p-12,                     \
        0x1.4bd0a2614524p-9, 0x1.0caee556eae6dp-7, 0x1.46cba7fbd45a2p-6, 0x1.4482d67efac9bp-5,     \
        0x1.1159f895b645cp-4, 0x1.8edf9169d214bp-4, 0x1.fe4657fd76be5p-4, 0x1.201fa9259b7acp-3
#endif

INLINE VECTOR NAME(magnitude)(VECTOR x)
{
    return (VECTOR)((MASK)x & ~(MASK)(-(VECTOR){0}));
}

/* |x|, or the number at which an exponential has come to 0. */
INLINE VECTOR NAME(bounded)(VECTOR x)
{
    return NAME(at_most)(NAME(magnitude)(x), (VECTOR){0} - EXP_LIMIT);
}

/* exp(-y) for y from `bounded`; 0 at its bound. */
INLINE VECTOR NAME(decay)(VECTOR y) { return NAME(exp_product)(y, (VECTOR){0}, -1); }

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
    y = NAME(at_least)(y, zero + TANH_LIMIT);
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

/* y^2 rounded, and *excess with what is too much in it. */
INLINE VECTOR NAME(square)(VECTOR y, VECTOR *excess)
{
#if FUSED
    const VECTOR square = y * y;
    *excess = (VECTOR)NATIVE(fnmadd)((REGISTER)y, (REGISTER)y, (REGISTER)square);
    return square;
#else
    /* The upper half of the bits of y has an exact square. */
    const VECTOR upper = (VECTOR)((MASK)y & -((INTEGER)1 << UPPER_HALF));
    *excess = (upper - y) * (upper + y);
    return upper * upper;
#endif
}

/* exp(y^2/2) P(X < -y). */
INLINE VECTOR NAME(normal_share)(VECTOR y)
{
#ifdef SHARES
    static const SCALAR coefficients[][2 * LANES] = {SHARES};
    const VECTOR t = y + 1;
    const MASK i = (MASK)t >> 20;
    const VECTOR d = t - (VECTOR)((MASK)t & -((INTEGER)1 << 20));
    VECTOR q = (VECTOR){0};
#pragma GCC unroll 8
    for (unsigned j = 0; j < sizeof(coefficients) / sizeof(coefficients[0]); j++) {
        const VECTOR c = (VECTOR)_mm512_permutex2var_ps(
            (__m512)*(const VECTOR *)coefficients[j], (__m512i)i,
            (__m512)*(const VECTOR *)(coefficients[j] + LANES));
        q = j ? q * d + c : c;
    }
    return q;
#else
    static const SCALAR coefficients[] = {NORMAL};
    const VECTOR u = NORMAL_SCALE / (y + NORMAL_SCALE);
    return u * NAME(polynomial)(coefficients, sizeof(coefficients) / SCALAR_BYTES, u + u - 1);
#endif
}

/* P(X < -y) for a standard normal X and 0 <= y <= NORMAL_LIMIT, and *density = exp(-y^2/2). */
INLINE VECTOR NAME(normal_tail)(VECTOR y, VECTOR *density)
{
    VECTOR excess;
    const VECTOR square = NAME(square)(y, &excess);
    *density = NAME(exp_product)(square, excess, (SCALAR)-0.5);
    return *density * NAME(normal_share)(y);
}

INLINE VECTOR NAME(gelu_vector)(VECTOR x)
{
    const VECTOR y = NAME(at_most)(NAME(magnitude)(x), (VECTOR){0} + NORMAL_LIMIT);
    VECTOR density;
    return NAME(at_least)(x, (VECTOR){0}) - y * NAME(normal_tail)(y, &density);
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
        for (; i + LANES <= count; i += LANES) {                                                   \
            const VECTOR x = *(const VECTOR *)(source + i);                                        \
            const VECTOR d = gradient ? *(const VECTOR *)(dy + i) : zero;                          \
            (void)d;                                                                               \
            *(VECTOR *)(y + i) = value;                                                            \
        }                                                                                          \
        if (i < count) {                                                                           \
            const ptrdiff_t bytes = (count - i) * SCALAR_BYTES;                                    \
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

/* Sums at a time. */
#define ABREAST 4
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
#undef UPPER_HALF
#undef NORMAL_SCALE
#undef NORMAL_LIMIT
#undef NORMAL
#undef SHARES
#include "ops/logarithm_end.h"
#include "ops/exponential_end.h"
#include "base/vector_end.h"
