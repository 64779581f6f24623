/* Losses of pairs of numbers, written once: losses.h includes this file for each instruction set
 * and type. A loss is two functions of vectors: its value, and its slope along x.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"
#include "ops/exponential.h"
#include "ops/logarithm.h"

INLINE VECTOR NAME(absolute)(VECTOR x)
{
    const VECTOR zero = {0};
    return (VECTOR)((MASK)x & ~(MASK)(-zero));
}

/* -1, 0, 1, or NaN. */
INLINE VECTOR NAME(sign)(VECTOR x)
{
    const VECTOR zero = {0}, one = zero + 1;
    return NAME(select)(x > zero, one, NAME(select)(x < zero, -one, x));
}

/* exp(x) for any x. */
INLINE VECTOR NAME(exp_any)(VECTOR x)
{
    const VECTOR zero = {0}, below = NAME(exp_vector)(NAME(select)(x > zero, -x, x));
    return NAME(select)(x > zero, 1 / below, below);
}

#define LOSS(name)                                                                                 \
    INLINE VECTOR NAME(name)(VECTOR x, VECTOR t, VECTOR p, const fastconv_pairs *pairs)
#define UNUSED (void)x, (void)t, (void)p, (void)pairs

LOSS(square)
{
    UNUSED;
    return (x - t) * (x - t);
}

LOSS(square_slope)
{
    UNUSED;
    return 2 * (x - t);
}

/* A parabola between the borders, and beyond them straight lines. */
LOSS(huber)
{
    UNUSED;
    const VECTOR d = NAME(absolute)(x - t);
    const SCALAR border = pairs->border, slope = pairs->slope, curve = pairs->curve;
    return NAME(select)(d < (VECTOR){0} + border, d * curve * d, (d - border / 2) * slope);
}

LOSS(huber_slope)
{
    UNUSED;
    const VECTOR d = x - t;
    const SCALAR border = pairs->border, slope = pairs->slope, curve = pairs->curve;
    return NAME(select)(NAME(absolute)(d) < (VECTOR){0} + border, d * (2 * curve),
                        NAME(sign)(d) * slope);
}

/* Logarithms of probabilities stop at -100, as in torch. */
INLINE VECTOR NAME(stopped)(VECTOR log)
{
    const VECTOR least = (VECTOR){0} - 100;
    return NAME(select)(log < least, least, log);
}

LOSS(probability)
{
    UNUSED;
    const VECTOR yes = NAME(stopped)(NAME(log_vector)(x));
    const VECTOR no = NAME(stopped)(NAME(log1p_vector)(-x));
    /* From zero, so that no loss is -0. */
    return (VECTOR){0} - (t * yes + (1 - t) * no);
}

LOSS(probability_slope)
{
    UNUSED;
    const VECTOR least = (VECTOR){0} + (SCALAR)1e-12, spread = (1 - x) * x;
    return (x - t) / NAME(select)(spread < least, least, spread);
}

/* -log sigmoid(x) = max(-x, 0) + log(1 + exp(-|x|)) for what is true, and x more for the rest. */
LOSS(logit)
{
    UNUSED;
    const VECTOR zero = {0}, far = NAME(absolute)(x);
    const VECTOR tail = NAME(log1p_vector)(NAME(exp_vector)(-far));
    const VECTOR share = 1 + (p - 1) * t;
    /* What is large first: it may cancel, and the tail then is all. */
    return ((1 - t) * x + share * NAME(select)(x < zero, -x, zero)) + share * tail;
}

LOSS(logit_slope)
{
    UNUSED;
    const VECTOR zero = {0}, e = NAME(exp_vector)(-NAME(absolute)(x));
    const VECTOR sigmoid = NAME(select)(x < zero, e, zero + 1) / (e + 1);
    return (1 + (p - 1) * t) * sigmoid - p * t;
}

/* t (log t - x); where t is 0, so is the first product. */
LOSS(divergence)
{
    UNUSED;
    const VECTOR zero = {0};
    return NAME(select)(t == zero, zero, t * NAME(log_vector)(t)) - t * x;
}

LOSS(divergence_slope)
{
    UNUSED;
    return -t;
}

LOSS(log_divergence)
{
    UNUSED;
    return NAME(exp_any)(t) * (t - x);
}

LOSS(log_divergence_slope)
{
    UNUSED;
    return -NAME(exp_any)(t);
}
#undef LOSS
#undef UNUSED

/* A vector of numbers, of which `count` are there; beyond them it holds zeros. */
INLINE VECTOR NAME(begin)(const SCALAR *x, ptrdiff_t count)
{
    VECTOR v = {0};
    if (count >= LANES)
        return *(const VECTOR *)x;
    memcpy(&v, x, count * SCALAR_BYTES);
    return v;
}

/* The function of the pairs from `i` on, with its factors. */
#define OF_PAIRS(function, i, left)                                                                \
    (NAME(function)(NAME(begin)(x + i, left), NAME(begin)(t + i, left),                            \
                    positive ? NAME(begin)(positive + i, left) : one, pairs) *                     \
     (factor ? scale * NAME(begin)(factor + i, left) : scale))

#define OPERANDS                                                                                   \
    const SCALAR *x = pairs->x, *t = pairs->target, *positive = pairs->positive;                   \
    const SCALAR *factor = pairs->factor;                                                          \
    const VECTOR one = (VECTOR){0} + 1, scale = (VECTOR){0} + (SCALAR)pairs->scale

#define EACH(name, function)                                                                       \
    static __attribute__((noinline)) void NAME(name)(const fastconv_pairs *pairs, void *to,        \
                                                     ptrdiff_t count)                              \
    {                                                                                              \
        OPERANDS;                                                                                  \
        SCALAR *y = to;                                                                            \
        ptrdiff_t i = 0;                                                                           \
        for (; i + LANES <= count; i += LANES)                                                     \
            *(VECTOR *)(y + i) = OF_PAIRS(function, i, LANES);                                     \
        if (i < count) {                                                                           \
            const VECTOR last = OF_PAIRS(function, i, count - i);                                  \
            memcpy(y + i, &last, (count - i) * SCALAR_BYTES);                                      \
        }                                                                                          \
    }

/* Lane by lane, then the lanes by halves. */
#define TOTAL(name, function)                                                                      \
    static __attribute__((noinline)) double NAME(name)(const fastconv_pairs *pairs,                \
                                                       ptrdiff_t count)                            \
    {                                                                                              \
        OPERANDS;                                                                                  \
        VECTOR sum = {0};                                                                          \
        ptrdiff_t i = 0;                                                                           \
        for (; i + LANES <= count; i += LANES)                                                     \
            sum += OF_PAIRS(function, i, LANES);                                                   \
        if (i < count) {                                                                           \
            const VECTOR last = OF_PAIRS(function, i, count - i);                                  \
            for (int lane = 0; i < count; i++, lane++)                                             \
                sum[lane] += last[lane];                                                           \
        }                                                                                          \
        for (int half = LANES / 2; half; half /= 2)                                                \
            for (int lane = 0; lane < half; lane++)                                                \
                sum[lane] += sum[lane + half];                                                     \
        return sum[0];                                                                             \
    }

#define LOOPS(name)                                                                                \
    EACH(name##_each, name)                                                                        \
    TOTAL(name##_total, name)                                                                      \
    EACH(name##_slopes, name##_slope)
LOOPS(square)
LOOPS(huber)
LOOPS(probability)
LOOPS(logit)
LOOPS(divergence)
LOOPS(log_divergence)
#undef LOOPS
#undef TOTAL
#undef EACH
#undef OPERANDS
#undef OF_PAIRS

#define ROW(name) {NAME(name##_each), NAME(name##_total), NAME(name##_slopes)}
static const fastconv_loss NAME(losses)[] = {
    [FASTCONV_SQUARE] = ROW(square),
    [FASTCONV_HUBER] = ROW(huber),
    [FASTCONV_PROBABILITY] = ROW(probability),
    [FASTCONV_LOGIT] = ROW(logit),
    [FASTCONV_DIVERGENCE] = ROW(divergence),
    [FASTCONV_LOG_DIVERGENCE] = ROW(log_divergence),
};
#undef ROW

#include "ops/logarithm_end.h"
#include "ops/exponential_end.h"
#include "base/vector_end.h"
