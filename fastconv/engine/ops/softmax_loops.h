/* Softmax along lines, written once: softmax.h includes this file for each instruction set and type.
 *
 * Neighbouring lines are taken as columns, a line to a lane; a line that is contiguous as a row, all
 * lanes on one line. Sums are compensated (W. Kahan, "Further remarks on reducing truncation errors",
 * 1965): they err by a few roundings, however long they are.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"
#include "ops/exponential.h"

/* Vectors at a time. */
#define ABREAST 4

/* A sum, and by how much it is too large. */
#define SUM NAME(compensated)
typedef struct {
    VECTOR sum, excess;
} SUM;

INLINE void NAME(add)(SUM *s, VECTOR term)
{
    const VECTOR less = term - s->excess, sum = s->sum + less;
    s->excess = (sum - s->sum) - less;
    s->sum = sum;
}

/* The lanes in double precision, added by halves. */
INLINE double NAME(total)(const SUM *s)
{
    enum { WIDE = SCALAR_BYTES == 4 ? LANES / 2 : LANES };
    typedef double wide __attribute__((vector_size(VECTOR_BYTES)));
    SCALAR lanes[2 * LANES];
    *(VECTOR *)lanes = s->sum;
    *(VECTOR *)(lanes + LANES) = s->excess;
#if SCALAR_BYTES == 4
#define WIDENED(i) __builtin_convertvector(*(const HALF *)(lanes + (i)), wide)
    wide sums = (WIDENED(0) - WIDENED(LANES)) + (WIDENED(LANES / 2) - WIDENED(LANES + LANES / 2));
#undef WIDENED
#else
    wide sums = s->sum - s->excess;
#endif
    for (int half = WIDE / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++)
            sums[lane] += sums[lane + half];
    return sums[0];
}

INLINE VECTOR NAME(larger)(VECTOR a, VECTOR b)
{
    return LARGER(a, b);
}

/* Less than a vector: by halves of it, since a call of memcpy takes as long as several vectors. */
INLINE void NAME(copy_bytes)(void *to, const void *from, ptrdiff_t bytes)
{
    char *into = to;
    const char *source = from;
#define COPY(size)                                                                                 \
    if (bytes & size) {                                                                            \
        memcpy(into, source, size);                                                                \
        into += size, source += size;                                                              \
    }
    COPY(32)
    COPY(16)
    COPY(8)
    COPY(4)
#undef COPY
}

/* Some bytes of a vector; the others are those of `rest`. */
INLINE VECTOR NAME(some)(const SCALAR *x, ptrdiff_t bytes, VECTOR rest)
{
    if (bytes >= VECTOR_BYTES)
        return *(const VECTOR *)x;
    NAME(copy_bytes)(&rest, x, bytes);
    return rest;
}

INLINE void NAME(put)(SCALAR *y, VECTOR v, ptrdiff_t bytes)
{
    if (bytes >= VECTOR_BYTES)
        *(VECTOR *)y = v;
    else
        NAME(copy_bytes)(y, &v, bytes);
}

/* ---- rows --------------------------------------------------------------------------------------- */

/* Vectors of a row from i on, and the bytes of the last. */
#define EACH_VECTOR                                                                                \
    for (ptrdiff_t i = 0, bytes; bytes = (n - i) * SCALAR_BYTES, i < n; i += LANES)

/* The maximum; a NaN may be passed over: it reaches the sum. */
INLINE SCALAR NAME(row_maximum)(const SCALAR *x, ptrdiff_t n)
{
    VECTOR most[ABREAST];
    ptrdiff_t i = 0;
    for (int j = 0; j < ABREAST; j++)
        most[j] = (VECTOR){0} + x[0];
    for (; i + ABREAST * LANES <= n; i += ABREAST * LANES)
        for (int j = 0; j < ABREAST; j++)
            most[j] = NAME(larger)(*(const VECTOR *)(x + i + j * LANES), most[j]);
    for (; i < n; i += LANES)
        most[0] = NAME(larger)(NAME(some)(x + i, (n - i) * SCALAR_BYTES, most[0]), most[0]);
    VECTOR all = NAME(larger)(NAME(larger)(most[0], most[1]), NAME(larger)(most[2], most[3]));
    for (int half = LANES / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++)
            all[lane] = all[lane + half] > all[lane] ? all[lane + half] : all[lane];
    return all[0];
}

/* Two sums of what `term` gives for the vectors of a row, taken in turns: an addition waits for the one
 * before it. Terms are of x, or of dy and x; a tail is filled up with `rest`. */
#define ROW_SUM(sums, term, rest)                                                                  \
    do {                                                                                           \
        ptrdiff_t i = 0;                                                                           \
        for (; i + 2 * ABREAST * LANES <= n; i += 2 * ABREAST * LANES) {                           \
            ADD_FOUR(sums, i, term, rest);                                                         \
            ADD_FOUR(sums + 1, i + ABREAST * LANES, term, rest);                                   \
        }                                                                                          \
        if (i + ABREAST * LANES <= n) {                                                            \
            ADD_FOUR(sums, i, term, rest);                                                         \
            i += ABREAST * LANES;                                                                  \
        }                                                                                          \
        for (; i < n; i += LANES)                                                                  \
            NAME(add)(sums + 1, term(i, (n - i) * SCALAR_BYTES, rest));                            \
    } while (0)
#define ADD_FOUR(sum, first, term, rest)                                                           \
    do {                                                                                           \
        VECTOR terms[ABREAST];                                                                     \
        for (int j = 0; j < ABREAST; j++) {                                                        \
            const ptrdiff_t at = (first) + j * LANES, bytes = VECTOR_BYTES;                        \
            terms[j] = term(at, bytes, rest);                                                      \
        }                                                                                          \
        NAME(add)(sum, (terms[0] + terms[1]) + (terms[2] + terms[3]));                             \
    } while (0)

static __attribute__((noinline)) void NAME(row_softmax)(const SCALAR *x, SCALAR *y, ptrdiff_t n)
{
    const VECTOR most = (VECTOR){0} + NAME(row_maximum)(x, n);
    SUM sums[2] = {{{0}, {0}}};
    VECTOR e;
#define TERM(at, bytes, rest)                                                                      \
    (e = NAME(exp_vector)(NAME(some)(x + (at), bytes, rest) - most),                               \
     NAME(put)(y + (at), e, bytes), e)
    ROW_SUM(sums, TERM, (VECTOR){0} - (SCALAR)INFINITY);
#undef TERM
    const SCALAR scale = (SCALAR)(1 / (NAME(total)(sums) + NAME(total)(sums + 1)));
    EACH_VECTOR NAME(put)(y + i, NAME(some)(y + i, bytes, (VECTOR){0}) * scale, bytes);
}

static __attribute__((noinline)) void NAME(row_log_softmax)(const SCALAR *x, SCALAR *y,
                                                            ptrdiff_t n)
{
    const VECTOR most = (VECTOR){0} + NAME(row_maximum)(x, n);
    SUM sums[2] = {{{0}, {0}}};
#define TERM(at, bytes, rest) NAME(exp_vector)(NAME(some)(x + (at), bytes, rest) - most)
    ROW_SUM(sums, TERM, (VECTOR){0} - (SCALAR)INFINITY);
#undef TERM
    const SCALAR less = (SCALAR)log((NAME(total)(sums) + NAME(total)(sums + 1)));
    EACH_VECTOR NAME(put)(y + i, (NAME(some)(x + i, bytes, most) - most) - less, bytes);
}

static __attribute__((noinline)) void
NAME(row_softmax_backward)(const SCALAR *dy, const SCALAR *y, SCALAR *dx, ptrdiff_t n)
{
    SUM sums[2] = {{{0}, {0}}};
#define TERM(at, bytes, rest)                                                                      \
    (NAME(some)(dy + (at), bytes, rest) * NAME(some)(y + (at), bytes, rest))
    ROW_SUM(sums, TERM, (VECTOR){0});
#undef TERM
    const SCALAR mean = (SCALAR)(NAME(total)(sums) + NAME(total)(sums + 1));
    EACH_VECTOR NAME(put)(dx + i,
                          NAME(some)(y + i, bytes, (VECTOR){0})
                              * (NAME(some)(dy + i, bytes, (VECTOR){0}) - mean),
                          bytes);
}

static __attribute__((noinline)) void
NAME(row_log_softmax_backward)(const SCALAR *dy, const SCALAR *y, SCALAR *dx, ptrdiff_t n)
{
    SUM sums[2] = {{{0}, {0}}};
#define TERM(at, bytes, rest) NAME(some)(dy + (at), bytes, rest)
    ROW_SUM(sums, TERM, (VECTOR){0});
#undef TERM
    const SCALAR total = (SCALAR)(NAME(total)(sums) + NAME(total)(sums + 1));
    EACH_VECTOR NAME(put)(dx + i,
                          NAME(some)(dy + i, bytes, (VECTOR){0})
                              - NAME(exp_vector)(NAME(some)(y + i, bytes, (VECTOR){0})) * total,
                          bytes);
}
#undef ROW_SUM
#undef ADD_FOUR
#undef EACH_VECTOR

/* ---- columns ------------------------------------------------------------------------------------ */

/* For each of the n elements of so many vectors of columns; the last vector has so many bytes. */
#define EACH_ELEMENT                                                                               \
    for (ptrdiff_t i = 0, at = 0; i < n; i++, at += step)                                          \
        _Pragma("GCC unroll 4") for (int j = 0; j < vectors; j++)
#define AT(x) NAME(some)(x + at + j * LANES, bytes, (VECTOR){0})
#define PUT(y, value) NAME(put)(y + at + j * LANES, value, bytes)

/* log(x) of each lane. */
INLINE VECTOR NAME(logarithms)(const SUM *s)
{
    VECTOR result = {0};
    for (int lane = 0; lane < LANES; lane++)
        result[lane] = (SCALAR)log((double)s->sum[lane] - (double)s->excess[lane]);
    return result;
}

INLINE void NAME(columns)(int logarithm, const SCALAR *x, SCALAR *y, ptrdiff_t n, ptrdiff_t step,
                          int vectors, ptrdiff_t bytes)
{
    VECTOR most[ABREAST];
    SUM sums[ABREAST] = {{{0}, {0}}};
    for (int j = 0; j < vectors; j++)
        most[j] = NAME(some)(x + j * LANES, bytes, (VECTOR){0});
    EACH_ELEMENT most[j] = NAME(larger)(AT(x), most[j]);
    EACH_ELEMENT
    {
        const VECTOR e = NAME(exp_vector)(AT(x) - most[j]);
        NAME(add)(&sums[j], e);
        if (!logarithm)
            PUT(y, e);
    }
    if (logarithm) {
        VECTOR less[ABREAST];
        for (int j = 0; j < vectors; j++)
            less[j] = NAME(logarithms)(&sums[j]);
        EACH_ELEMENT PUT(y, (AT(x) - most[j]) - less[j]);
    } else {
        VECTOR scale[ABREAST];
        for (int j = 0; j < vectors; j++)
            scale[j] = 1 / (sums[j].sum - sums[j].excess);
        EACH_ELEMENT PUT(y, AT(y) * scale[j]);
    }
}

INLINE void NAME(columns_backward)(int logarithm, const SCALAR *dy, const SCALAR *y, SCALAR *dx,
                                   ptrdiff_t n, ptrdiff_t step, int vectors, ptrdiff_t bytes)
{
    SUM sums[ABREAST] = {{{0}, {0}}};
    VECTOR total[ABREAST];
    EACH_ELEMENT NAME(add)(&sums[j], logarithm ? AT(dy) : AT(dy) * AT(y));
    for (int j = 0; j < vectors; j++)
        total[j] = sums[j].sum - sums[j].excess;
    EACH_ELEMENT PUT(dx, logarithm ? AT(dy) - NAME(exp_vector)(AT(y)) * total[j]
                                   : AT(y) * (AT(dy) - total[j]));
}
#undef EACH_ELEMENT
#undef AT
#undef PUT

/* ---- both --------------------------------------------------------------------------------------- */

#define FORWARD(name, logarithm)                                                                   \
    static void NAME(name)(const void *residual, const void *from, void *to, ptrdiff_t n,          \
                           ptrdiff_t step, ptrdiff_t count)                                        \
    {                                                                                              \
        const SCALAR *x = from;                                                                    \
        SCALAR *y = to;                                                                            \
        ptrdiff_t i = 0;                                                                           \
        (void)residual;                                                                            \
        if (step == 1) {                                                                           \
            for (; i < count; i++)                                                                 \
                NAME(row_##name)(x + i * n, y + i * n, n);                                         \
            return;                                                                                \
        }                                                                                          \
        for (; i + ABREAST * LANES <= count; i += ABREAST * LANES)                                 \
            NAME(columns)(logarithm, x + i, y + i, n, step, ABREAST, VECTOR_BYTES);                \
        for (; i < count; i += LANES)                                                              \
            NAME(columns)(logarithm, x + i, y + i, n, step, 1, (count - i) * SCALAR_BYTES);        \
    }
#define BACKWARD(name, logarithm)                                                                  \
    static void NAME(name##_backward)(const void *residual, const void *from, void *to,            \
                                      ptrdiff_t n, ptrdiff_t step, ptrdiff_t count)                \
    {                                                                                              \
        const SCALAR *dy = residual, *y = from;                                                    \
        SCALAR *dx = to;                                                                           \
        ptrdiff_t i = 0;                                                                           \
        if (step == 1) {                                                                           \
            for (; i < count; i++)                                                                 \
                NAME(row_##name##_backward)(dy + i * n, y + i * n, dx + i * n, n);                 \
            return;                                                                                \
        }                                                                                          \
        for (; i + ABREAST * LANES <= count; i += ABREAST * LANES)                                 \
            NAME(columns_backward)(logarithm, dy + i, y + i, dx + i, n, step, ABREAST,             \
                                   VECTOR_BYTES);                                                  \
        for (; i < count; i += LANES)                                                              \
            NAME(columns_backward)(logarithm, dy + i, y + i, dx + i, n, step, 1,                   \
                                   (count - i) * SCALAR_BYTES);                                    \
    }
FORWARD(softmax, 0)
FORWARD(log_softmax, 1)
BACKWARD(softmax, 0)
BACKWARD(log_softmax, 1)
#undef FORWARD
#undef BACKWARD

static const fastconv_softmaxes NAME(softmaxes) = {
    NAME(softmax),
    NAME(log_softmax),
    NAME(softmax_backward),
    NAME(log_softmax_backward),
};

#undef SUM
#undef ABREAST
#include "ops/exponential_end.h"
#include "base/vector_end.h"
