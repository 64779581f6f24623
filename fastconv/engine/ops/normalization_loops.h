/* The loops of normalisation, written once: normalization.h includes this file for each instruction
 * set and type.
 *
 * A number has its mean subtracted before anything else: of numbers that are large and near each
 * other that difference is exact, where x * scale + shift would lose it. The mean itself is a
 * double; what it is off the nearest SCALAR, `center`, goes into the constant that is added.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

#define NAME(name) ISA(TYPED(name))
#if SCALAR_BYTES == 4
#define INTEGER int32_t
#else
#define INTEGER int64_t
#endif
#define MASK NAME(norm_mask)
typedef INTEGER MASK __attribute__((vector_size(VECTOR_BYTES), aligned(SCALAR_BYTES)));
#define INLINE static inline __attribute__((always_inline))
#define LOOP(name) static __attribute__((noinline)) void NAME(name)
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

/* The sum of all lanes, by halves. */
#if LANES == 16
#define EIGHT(v)                                                                                   \
    (__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +                                       \
     __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15))
#elif LANES == 8
#define EIGHT(v) v
#endif
#if LANES >= 8
#define FOUR(v)                                                                                    \
    (__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7))
#endif
INLINE double NAME(total)(const VECTOR sums[SUMS])
{
    const VECTOR sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
#if LANES >= 8
    const __auto_type eight = EIGHT(sum);
    const __auto_type four = FOUR(eight);
#else
    const VECTOR four = sum;
#endif
#if LANES > 2
    return (four[0] + four[2]) + (four[1] + four[3]);
#else
    return four[0] + four[1];
#endif
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
#define ADD_REST(j) sums[j] += NAME(kept)(valid, NAME(rest)(x, p->count));
#define DEVIATE(j, v)                                                                              \
    {                                                                                              \
        const VECTOR off = v;                                                                      \
        sums[j] += off;                                                                            \
        squares[j] += off * off;                                                                   \
    }
#define ADD_SQUARE(j, at) DEVIATE(j, LOAD(x + (at)) - near)
#define ADD_SQUARE_REST(j) DEVIATE(j, NAME(kept)(valid, NAME(rest)(x, p->count) - near))

#if SCALAR_BYTES == 4
/* The same in doubles, for numbers whose squares or sums overflow. */
LOOP(wide_moments)(const fastconv_planes *p, double *mean, double *square)
{
    double sum = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++) {
        const char *map = p->at[FASTCONV_X];
        for (ptrdiff_t m = 0; m < p->maps; m++, map += p->step[FASTCONV_X]) {
            const SCALAR *x = (const SCALAR *)map;
            for (ptrdiff_t i = 0; i < p->count; i++)
                if (pass)
                    squares += (x[i] - *mean) * (x[i] - *mean);
                else
                    sum += x[i];
        }
        *mean = sum / ((double)p->maps * p->count);
    }
    *square = squares;
}
#endif

/* Twice over numbers that lie in the first-level cache: first their sum, then what they are off
 * the number nearest to their mean, with what that is off the mean itself. */
LOOP(moments)(const fastconv_planes *p, double *mean, double *square)
{
    const double numbers = (double)p->maps * p->count, share = 1 / numbers;
    const MASK valid = NAME(rest_mask)(p->count);
    VECTOR sums[SUMS] = {0}, squares[SUMS] = {0};
    const char *map = p->at[FASTCONV_X];
    for (ptrdiff_t m = 0; m < p->maps; m++, map += p->step[FASTCONV_X]) {
        const SCALAR *x = (const SCALAR *)map;
        EACH_VECTOR(p->count, ADD, ADD_REST)
    }
    const SCALAR about = (SCALAR)(NAME(total)(sums) * share);
    const VECTOR near = about - (VECTOR){0};
    for (int j = 0; j < SUMS; j++)
        sums[j] = (VECTOR){0};
    map = p->at[FASTCONV_X];
    for (ptrdiff_t m = 0; m < p->maps; m++, map += p->step[FASTCONV_X]) {
        const SCALAR *x = (const SCALAR *)map;
        EACH_VECTOR(p->count, ADD_SQUARE, ADD_SQUARE_REST)
    }
    const double off = NAME(total)(sums) * share;
    *mean = about + off;
    *square = fmax(NAME(total)(squares) - numbers * off * off, 0);
#if SCALAR_BYTES == 4
    if (!isfinite(*mean) || !isfinite(*square))
        NAME(wide_moments)(p, mean, square);
#endif
}

typedef struct {
    SCALAR center, scale, offset;
} NAME(factors);

/* Not inlined: forward and backward get the same bits, and so the same mask. */
static __attribute__((noinline)) NAME(factors) NAME(round_affine)(const fastconv_affine *a)
{
    const double scale = a->inverse * a->weight;
    NAME(factors) f;
    f.center = (SCALAR)a->mean;
    f.scale = (SCALAR)scale;
    f.offset = (SCALAR)(a->bias - (a->mean - f.center) * scale);
    return f;
}

INLINE VECTOR NAME(normal)(VECTOR x, const NAME(factors) *f)
{
    return (x - f->center) * f->scale + f->offset;
}

/* Where y <= 0: 0, else v; a NaN in y lets v pass. */
INLINE VECTOR NAME(passed)(VECTOR y, VECTOR v)
{
    return NAME(kept)(~(MASK)(y <= (VECTOR){0}), v);
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
#define WRITE_RUN(result, count, VALUE)                                                            \
    {                                                                                              \
        const ptrdiff_t end = count - LANES;                                                       \
        const VECTOR last = VALUE(end);                                                            \
        ptrdiff_t i = 0;                                                                           \
        if (p->streams && count >= 8 * LANES) {                                                    \
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

/* A run that is shorter than a vector, with zeros behind it. */
INLINE const SCALAR *NAME(filled)(const SCALAR *run, ptrdiff_t count, SCALAR buffer[LANES])
{
    STORE(buffer) = (VECTOR){0};
    if (run)
        memcpy(buffer, run, count * SCALAR_BYTES);
    return buffer;
}

#define RUN(array) ((SCALAR *)(p->at[array] + m * p->step[array]))

INLINE void NAME(normalize_run)(const fastconv_planes *p, const SCALAR *x, const SCALAR *residual,
                                SCALAR *y, ptrdiff_t count, const NAME(factors) * f, int adds,
                                int relu)
{
#define VALUE(i)                                                                                   \
    ({                                                                                             \
        const VECTOR sum = NAME(normal)(LOAD(x + (i)), f) + (adds ? LOAD(residual + (i)) : zero);  \
        relu ? NAME(passed)(sum, sum) : sum;                                                       \
    })
    const VECTOR zero = {0};
    WRITE_RUN(y, count, VALUE)
#undef VALUE
}

INLINE void NAME(normalize)(const fastconv_planes *p, const fastconv_affine *a, int adds, int relu)
{
    const NAME(factors) f = NAME(round_affine)(a);
    SCALAR buffers[3][LANES];
    for (ptrdiff_t m = 0; m < p->maps; m++) {
        const SCALAR *x = RUN(FASTCONV_X), *residual = adds ? RUN(FASTCONV_RESIDUAL) : NULL;
        SCALAR *y = RUN(FASTCONV_Y);
        if (p->count >= LANES) {
            NAME(normalize_run)(p, x, residual, y, p->count, &f, adds, relu);
        } else {
            x = NAME(filled)(x, p->count, buffers[0]);
            residual = NAME(filled)(residual, p->count, buffers[1]);
            NAME(normalize_run)(p, x, residual, buffers[2], LANES, &f, adds, relu);
            memcpy(y, buffers[2], p->count * SCALAR_BYTES);
        }
    }
}

LOOP(apply)(const fastconv_planes *p, const fastconv_affine *a) { NAME(normalize)(p, a, 0, 0); }
LOOP(apply_relu)(const fastconv_planes *p, const fastconv_affine *a)
{
    NAME(normalize)(p, a, 0, 1);
}
LOOP(apply_add_relu)(const fastconv_planes *p, const fastconv_affine *a)
{
    NAME(normalize)(p, a, 1, 1);
}

/* What passes of a vector of dy: g. */
INLINE VECTOR NAME(pass)(VECTOR dy, VECTOR x, const SCALAR *y, const NAME(factors) * f, int mask)
{
    if (mask == FASTCONV_BY_X)
        return NAME(passed)(NAME(normal)(x, f), dy);
    return mask == FASTCONV_BY_Y ? NAME(passed)(LOAD(y), dy) : dy;
}

INLINE void NAME(add_run)(const SCALAR *dy, const SCALAR *x, const SCALAR *y, SCALAR *g,
                          ptrdiff_t count, MASK valid, const NAME(factors) * f, int mask,
                          VECTOR sums[SUMS], VECTOR products[SUMS])
{
#define PASS(i) NAME(pass)(LOAD(dy + (i)), LOAD(x + (i)), y + (i), f, mask)
#define ADD_PASSED(j, at)                                                                          \
    {                                                                                              \
        const VECTOR v = PASS(at);                                                                 \
        sums[j] += v;                                                                              \
        products[j] += v * (LOAD(x + (at)) - f->center);                                           \
        if (g)                                                                                     \
            STORE(g + (at)) = v;                                                                   \
    }
#define ADD_LAST(j)                                                                                \
    {                                                                                              \
        sums[j] += NAME(kept)(valid, last);                                                        \
        products[j] += NAME(kept)(valid, last * (last_x - f->center));                             \
    }
    const VECTOR last = PASS(count - LANES), last_x = LOAD(x + count - LANES);
    EACH_VECTOR(count, ADD_PASSED, ADD_LAST)
    if (g)
        STORE(g + count - LANES) = last;
#undef PASS
#undef ADD_PASSED
#undef ADD_LAST
}

INLINE void NAME(add_planes)(const fastconv_planes *p, const fastconv_affine *a, double *sum,
                             double *product, int mask)
{
    const NAME(factors) f = NAME(round_affine)(a);
    VECTOR sums[SUMS] = {0}, products[SUMS] = {0};
    const MASK valid = NAME(rest_mask)(p->count);
    SCALAR buffers[4][LANES];
    for (ptrdiff_t m = 0; m < p->maps; m++) {
        const SCALAR *dy = RUN(FASTCONV_DY), *x = RUN(FASTCONV_X);
        const SCALAR *y = mask == FASTCONV_BY_Y ? RUN(FASTCONV_Y) : NULL;
        SCALAR *g = p->at[FASTCONV_DRESIDUAL] ? RUN(FASTCONV_DRESIDUAL) : NULL;
        if (p->count >= LANES) {
            if (g)
                NAME(add_run)(dy, x, y, g, p->count, valid, &f, mask, sums, products);
            else
                NAME(add_run)(dy, x, y, NULL, p->count, valid, &f, mask, sums, products);
        } else {
            dy = NAME(filled)(dy, p->count, buffers[0]);
            x = NAME(filled)(x, p->count, buffers[1]);
            y = NAME(filled)(y, p->count, buffers[2]);
            /* The zeros behind the run count nothing: dy is 0 there. */
            NAME(add_run)(dy, x, y, buffers[3], LANES, valid, &f, mask, sums, products);
            if (g)
                memcpy(g, buffers[3], p->count * SCALAR_BYTES);
        }
    }
    *sum = NAME(total)(sums);
    *product = NAME(total)(products) - (a->mean - f.center) * *sum;
}

INLINE void NAME(grade_run)(const fastconv_planes *p, const SCALAR *dy, const SCALAR *x,
                            const SCALAR *y, SCALAR *dx, ptrdiff_t count, const NAME(factors) * f,
                            int mask, int lined, SCALAR slope, SCALAR level)
{
#define VALUE(i)                                                                                   \
    ({                                                                                             \
        const VECTOR from = lined || mask == FASTCONV_BY_X ? LOAD(x + (i)) : zero;                 \
        const VECTOR g = NAME(pass)(LOAD(dy + (i)), from, y + (i), f, mask);                       \
        lined ? g * f->scale + ((from - f->center) * slope + level) : g * f->scale;                \
    })
    const VECTOR zero = {0};
    WRITE_RUN(dx, count, VALUE)
#undef VALUE
}

INLINE void NAME(grade)(const fastconv_planes *p, const fastconv_affine *a,
                        const fastconv_line *line, int mask, int lined)
{
    const NAME(factors) f = NAME(round_affine)(a);
    const SCALAR slope = lined ? (SCALAR)line->slope : 0;
    const SCALAR level =
        lined ? (SCALAR)(line->level - (a->mean - f.center) * line->slope) : 0;
    SCALAR buffers[4][LANES];
    for (ptrdiff_t m = 0; m < p->maps; m++) {
        const SCALAR *dy = RUN(FASTCONV_DY), *x = RUN(FASTCONV_X);
        const SCALAR *y = mask == FASTCONV_BY_Y ? RUN(FASTCONV_Y) : NULL;
        SCALAR *dx = RUN(FASTCONV_DX);
        if (p->count >= LANES) {
            NAME(grade_run)(p, dy, x, y, dx, p->count, &f, mask, lined, slope, level);
        } else {
            dy = NAME(filled)(dy, p->count, buffers[0]);
            x = NAME(filled)(x, p->count, buffers[1]);
            y = NAME(filled)(y, p->count, buffers[2]);
            NAME(grade_run)(p, dy, x, y, buffers[3], LANES, &f, mask, lined, slope, level);
            memcpy(dx, buffers[3], p->count * SCALAR_BYTES);
        }
    }
}

/* The loops of a mask. */
#define MASKED(mask)                                                                               \
    LOOP(sums_##mask)(const fastconv_planes *p, const fastconv_affine *a, double *sum,             \
                      double *product)                                                             \
    {                                                                                              \
        NAME(add_planes)(p, a, sum, product, mask);                                                \
    }                                                                                              \
    LOOP(gradient_##mask)(const fastconv_planes *p, const fastconv_affine *a,                      \
                          const fastconv_line *line)                                               \
    {                                                                                              \
        if (line)                                                                                  \
            NAME(grade)(p, a, line, mask, 1);                                                      \
        else                                                                                       \
            NAME(grade)(p, a, NULL, mask, 0);                                                      \
    }
MASKED(FASTCONV_ALL)
MASKED(FASTCONV_BY_X)
MASKED(FASTCONV_BY_Y)

LOOP(gather)(const char *from, ptrdiff_t step, ptrdiff_t maps, ptrdiff_t count, void *to)
{
    SCALAR *run = to;
    for (; maps--; from += step)
        for (ptrdiff_t i = 0; i < count; i++)
            *run++ = ((const SCALAR *)from)[i];
}

LOOP(scatter)(const void *from, char *to, ptrdiff_t step, ptrdiff_t maps, ptrdiff_t count)
{
    const SCALAR *run = from;
    for (; maps--; to += step)
        for (ptrdiff_t i = 0; i < count; i++)
            ((SCALAR *)to)[i] = *run++;
}

static const fastconv_normalization NAME(normalization) = {
    NAME(moments),
    NAME(apply),
    NAME(apply_relu),
    NAME(apply_add_relu),
    {NAME(sums_FASTCONV_ALL), NAME(sums_FASTCONV_BY_X), NAME(sums_FASTCONV_BY_Y)},
    {NAME(gradient_FASTCONV_ALL), NAME(gradient_FASTCONV_BY_X), NAME(gradient_FASTCONV_BY_Y)},
    NAME(gather),
    NAME(scatter),
    LANES,
};

#undef MASKED
#undef RUN
#undef WRITE_RUN
#undef STREAM
#undef DEVIATE
#undef ADD
#undef ADD_REST
#undef ADD_SQUARE
#undef ADD_SQUARE_REST
#undef EACH_VECTOR
#undef LOAD
#undef STORE
#undef SUMS
#undef EIGHT
#undef FOUR
#undef LOOP
#undef INLINE
#undef MASK
#undef INTEGER
#undef NAME
#include "base/vector_end.h"
