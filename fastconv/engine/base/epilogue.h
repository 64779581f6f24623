/* The epilogue: what a finished sum meets on its way into the output, in every kernel: the bias,
 * then a residual, then an activation, each rounded as if it were an operation of its own.
 *
 * The bias is added here and nowhere else, in registers. `bias` points to one number for each lane,
 * or is NULL; in `finish_row` it is the same for all lanes, in `finish_one` there is a single lane.
 *
 * What comes after it, the ending, is for few calls: it meets rows that have just been stored, and
 * are in the first-level cache still. The residual lies in memory as the output does, so that one
 * distance leads from each number to its own.
 *
 * Included by vector.h, which defines VECTOR. */

#include "base/ending.h"

static inline __attribute__((always_inline, unused)) VECTOR
ISA(TYPED(finish))(VECTOR sum, const SCALAR *bias)
{
    return bias ? sum + *(const VECTOR *)bias : sum;
}

static inline __attribute__((always_inline, unused)) VECTOR
ISA(TYPED(finish_row))(VECTOR sum, const SCALAR *bias)
{
    return bias ? sum + *bias : sum;
}

static inline __attribute__((always_inline, unused)) SCALAR
ISA(TYPED(finish_one))(SCALAR sum, const SCALAR *bias)
{
    return bias ? sum + *bias : sum;
}

/* A NaN fails every comparison, and stays. */
static inline __attribute__((always_inline, unused)) SCALAR
ISA(TYPED(activate_one))(const int activation, SCALAR x, SCALAR low, SCALAR high)
{
    if (activation == FASTCONV_RELU)
        return x <= 0 ? 0 : x;
    if (activation == FASTCONV_LEAKY)
        return x > 0 ? x : x * low;
    if (activation == FASTCONV_CLAMP) {
        x = x < low ? low : x;
        return x > high ? high : x;
    }
    return x;
}

#define PICK(chosen, a, b)                                                                         \
    (VECTOR)(((chosen) & (__typeof__(chosen))(a)) | (~(chosen) & (__typeof__(chosen))(b)))
static inline __attribute__((always_inline, unused)) VECTOR
ISA(TYPED(activate))(const int activation, VECTOR x, VECTOR low, VECTOR high)
{
    const VECTOR zero = {0};
    if (activation == FASTCONV_RELU)
        return PICK(x <= zero, zero, x);
    if (activation == FASTCONV_LEAKY)
        return PICK(x > zero, x, x * low);
    if (activation == FASTCONV_CLAMP) {
        x = PICK(x < low, low, x);
        return PICK(x > high, high, x);
    }
    return x;
}
#undef PICK

static inline __attribute__((always_inline, unused)) void
ISA(TYPED(end_all))(const int activation, const int adds, SCALAR *c, ptrdiff_t rows, ptrdiff_t row,
                    ptrdiff_t count, ptrdiff_t step, const fastconv_ending *ending)
{
    const SCALAR low = (SCALAR)ending->low, high = (SCALAR)ending->high;
    const VECTOR lows = low - (VECTOR){0}, highs = high - (VECTOR){0};

    for (ptrdiff_t i = 0; i < rows; i++, c += row) {
        const SCALAR *residual = (const SCALAR *)((const char *)c + ending->residual);
        ptrdiff_t j = 0;
        for (; step == 1 && j + LANES <= count; j += LANES) {
            VECTOR sum = *(const VECTOR *)(c + j);
            if (adds)
                sum += *(const VECTOR *)(residual + j);
            *(VECTOR *)(c + j) = ISA(TYPED(activate))(activation, sum, lows, highs);
        }
        for (; j < count; j++) {
            const SCALAR sum = adds ? c[j * step] + residual[j * step] : c[j * step];
            c[j * step] = ISA(TYPED(activate_one))(activation, sum, low, high);
        }
    }
}

/* Whether an ending is a residual or a ReLU or both: `end_vector` serves these, the most frequent. */
static inline __attribute__((always_inline, unused)) int
ISA(TYPED(is_brief))(const fastconv_ending *ending)
{
    return ending->activation == FASTCONV_NO_ACTIVATION || ending->activation == FASTCONV_RELU;
}

/* End a vector of sums that is about to go to `c`. */
static inline __attribute__((always_inline, unused)) VECTOR
ISA(TYPED(end_vector))(VECTOR sum, const SCALAR *c, const fastconv_ending *ending)
{
    if (ending->residual)
        sum += *(const VECTOR *)((const char *)c + ending->residual);
    if (ending->activation == FASTCONV_RELU)
        sum = ISA(TYPED(activate))(FASTCONV_RELU, sum, sum, sum);
    return sum;
}

/* End sums, with their bias, that have been stored: c[i * row + j * step] for i < rows, j < count. */
static __attribute__((noinline, unused)) void
ISA(TYPED(end_rows))(SCALAR *c, ptrdiff_t rows, ptrdiff_t row, ptrdiff_t count, ptrdiff_t step,
                     const fastconv_ending *ending)
{
#define END(activation)                                                                            \
    case activation:                                                                               \
        if (ending->residual)                                                                      \
            ISA(TYPED(end_all))(activation, 1, c, rows, row, count, step, ending);                 \
        else                                                                                       \
            ISA(TYPED(end_all))(activation, 0, c, rows, row, count, step, ending);                 \
        break;
    switch (ending->activation) {
        END(FASTCONV_RELU)
        END(FASTCONV_CLAMP)
        END(FASTCONV_LEAKY)
        END(FASTCONV_NO_ACTIVATION)
    }
#undef END
}
