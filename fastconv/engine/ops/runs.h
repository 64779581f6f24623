/* Runs of numbers in vectors: what all normalisations are made of. Their moments, and results written
 * run by run, past the caches or not.
 *
 * Expects what regions.h defines; runs_end.h takes back what is defined here. */

#include "base/vector.h"
#include "ops/halves.h"

#define NAME(name) ISA(TYPED(name))
#if SCALAR_BYTES == 4
#define INTEGER int32_t
#else
#define INTEGER int64_t
#endif
#define MASK NAME(norm_mask)
typedef INTEGER MASK __attribute__((vector_size(VECTOR_BYTES), aligned(SCALAR_BYTES)));
#define INLINE static inline __attribute__((always_inline))
/* So many vectors are added up by themselves: additions that do not wait for each other. */
#define SUMS 4
#define LOAD(p) (*(const VECTOR *)(p))
#define STORE(p) (*(VECTOR *)(p))

/* What is left of a run behind its whole vectors: the run's last vector, of which the front has come
 * already, or a short run filled up with zeros. */
INLINE VECTOR NAME(rest)(const SCALAR *x, ptrdiff_t count)
{
    VECTOR v = {0};
    if (count >= LANES)
        return LOAD(x + count - LANES);
    memcpy(&v, x, count * SCALAR_BYTES);
    return v;
}

/* Which lanes of it count. */
INLINE MASK NAME(rest_mask)(ptrdiff_t count)
{
    static const INTEGER lanes[2 * LANES] = {
        [LANES] = -1, -1,
#if LANES > 2
        -1, -1,
#endif
#if LANES > 4
        -1, -1, -1, -1,
#endif
#if LANES > 8
        -1, -1, -1, -1, -1, -1, -1, -1,
#endif
    };
    if (count >= LANES)
        return *(const MASK *)(lanes + count % LANES);
    return ~*(const MASK *)(lanes + LANES - count);
}

INLINE VECTOR NAME(kept)(MASK mask, VECTOR v) { return (VECTOR)(mask & (MASK)v); }

INLINE double NAME(total)(const VECTOR sums[SUMS])
{
    return NAME(halves)((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

/* Run STEP(number of a sum, place) for the vectors of a run, and REST for what is left. */
#define EACH_VECTOR(count, STEP, REST)                                                             \
    {                                                                                              \
        ptrdiff_t i = 0;                                                                           \
        for (; i + SUMS * LANES <= count; i += SUMS * LANES)                                       \
            for (int j = 0; j < SUMS; j++)                                                         \
                STEP(j, i + j * LANES)                                                             \
        for (int j = 0; j < SUMS - 1; j++)                                                         \
            if (i + LANES <= count) {                                                              \
                STEP(j, i)                                                                         \
                i += LANES;                                                                        \
            }                                                                                      \
        if (i < count)                                                                             \
            REST(SUMS - 1)                                                                         \
    }

#define ADD(j, at) sums[j] += LOAD(x + (at));
#define ADD_REST(j) sums[j] += NAME(kept)(valid, NAME(rest)(x, count));
#define DEVIATE(j, v)                                                                              \
    {                                                                                              \
        const VECTOR off = v;                                                                      \
        sums[j] += off;                                                                            \
        squares[j] += off * off;                                                                   \
    }
#define ADD_SQUARE(j, at) DEVIATE(j, LOAD(x + (at)) - near)
#define ADD_SQUARE_REST(j) DEVIATE(j, NAME(kept)(valid, NAME(rest)(x, count) - near))

#if SCALAR_BYTES == 4
/* The same in doubles, for numbers whose squares or sums overflow. */
static __attribute__((noinline)) void NAME(wide_moments)(const char *at, ptrdiff_t step,
                                                         ptrdiff_t maps, ptrdiff_t count,
                                                         double *mean, double *square)
{
    double sum = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++) {
        const char *map = at;
        for (ptrdiff_t m = 0; m < maps; m++, map += step) {
            const SCALAR *x = (const SCALAR *)map;
            for (ptrdiff_t i = 0; i < count; i++)
                if (pass)
                    squares += (x[i] - *mean) * (x[i] - *mean);
                else
                    sum += x[i];
        }
        *mean = sum / ((double)maps * count);
    }
    *square = squares;
}
#endif

/* Twice over numbers that lie in the first-level cache: first their sum, then what they are off
 * the number nearest to their mean, with what that is off the mean itself. */
INLINE void NAME(find_moments)(const char *at, ptrdiff_t step, ptrdiff_t maps, ptrdiff_t count,
                               double *mean, double *square)
{
    const double numbers = (double)maps * count, share = 1 / numbers;
    const MASK valid = NAME(rest_mask)(count);
    VECTOR sums[SUMS] = {0}, squares[SUMS] = {0};
    const char *map = at;
    for (ptrdiff_t m = 0; m < maps; m++, map += step) {
        const SCALAR *x = (const SCALAR *)map;
        EACH_VECTOR(count, ADD, ADD_REST)
    }
    const SCALAR about = (SCALAR)(NAME(total)(sums) * share);
    const VECTOR near = about - (VECTOR){0};
    for (int j = 0; j < SUMS; j++)
        sums[j] = (VECTOR){0};
    map = at;
    for (ptrdiff_t m = 0; m < maps; m++, map += step) {
        const SCALAR *x = (const SCALAR *)map;
        EACH_VECTOR(count, ADD_SQUARE, ADD_SQUARE_REST)
    }
    const double off = NAME(total)(sums) * share;
    *mean = about + off;
    *square = fmax(NAME(total)(squares) - numbers * off * off, 0);
#if SCALAR_BYTES == 4
    if (!isfinite(*mean) || !isfinite(*square))
        NAME(wide_moments)(at, step, maps, count, mean, square);
#endif
}

/* Past the caches, to an address that VECTOR_BYTES divide. */
#if !FASTCONV_X86
#define STREAM(to, v) STORE(to) = v
#elif VECTOR_BYTES == 64
#define STREAM(to, v) _mm512_stream_ps((float *)(to), (__m512)(v))
#elif VECTOR_BYTES == 32
#define STREAM(to, v) _mm256_stream_ps((float *)(to), (__m256)(v))
#else
#define STREAM(to, v) _mm_stream_ps((float *)(to), (__m128)(v))
#endif

/* result[i] = VALUE(i) for a run of at least a vector. What is left behind the whole vectors is the
 * run's last vector, and where they begin at an aligned address, its first: both are computed before
 * the others and written after them, for the result may be an operand. */
#define WRITE_RUN(result, count, streams, VALUE)                                                   \
    {                                                                                              \
        const ptrdiff_t end = count - LANES;                                                       \
        const VECTOR last = VALUE(end);                                                            \
        ptrdiff_t i = 0;                                                                           \
        if (streams && count >= 8 * LANES) {                                                       \
            const VECTOR first = VALUE(0);                                                         \
            i = (ptrdiff_t)(-(uintptr_t)(result) % VECTOR_BYTES / SCALAR_BYTES);                   \
            for (; i < end; i += LANES)                                                            \
                STREAM(result + i, VALUE(i));                                                      \
            STORE(result) = first;                                                                 \
        } else {                                                                                   \
            for (; i < end - LANES; i += 2 * LANES) {                                              \
                const VECTOR first = VALUE(i), second = VALUE(i + LANES);                          \
                STORE(result + i) = first;                                                         \
                STORE(result + i + LANES) = second;                                                \
            }                                                                                      \
            if (i < end)                                                                           \
                STORE(result + i) = VALUE(i);                                                      \
        }                                                                                          \
        STORE(result + end) = last;                                                                \
    }
