/* The loops of pooling, written once: pooling.h includes this file for each instruction set and
 * type.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

#define NAME(name) ISA(TYPED(name))
#if SCALAR_BYTES == 4
#define PLACE int32_t
#define POW powf
#define SQRT sqrtf
#define ABSOLUTE 0x7fffffff
#else
#define PLACE int64_t
#define POW pow
#define SQRT sqrt
#define ABSOLUTE 0x7fffffffffffffff
#endif
#define LOOP(name) static __attribute__((noinline)) void NAME(name)
#define INLINE(name) static inline __attribute__((always_inline)) void NAME(name)

/* A row is reduced by vectors. What is left of it ends with its last element, and partly comes
 * again; for that there are shorter vectors, and for each one of as many places. Single numbers are
 * vectors of one, so that a formula is written once. */
#define VECTORS_OF(type, name)                                                                     \
    typedef type NAME(name##_all) __attribute__((vector_size(LANES * sizeof(type)), aligned(1)));  \
    typedef type NAME(name##_half)                                                                 \
        __attribute__((vector_size(LANES / 2 * sizeof(type)), aligned(1)));                        \
    typedef type NAME(name##_one) __attribute__((vector_size(sizeof(type)), aligned(1)));
VECTORS_OF(SCALAR, scalars)
VECTORS_OF(PLACE, places)
#if SCALAR_BYTES == 4
VECTORS_OF(uint8_t, unsigned)
VECTORS_OF(int8_t, signed)
#endif
#ifdef QUARTER
#define QUARTER_OF(type, name)                                                                     \
    typedef type NAME(name##_quarter)                                                              \
        __attribute__((vector_size(LANES / 4 * sizeof(type)), aligned(1)));
QUARTER_OF(SCALAR, scalars)
QUARTER_OF(PLACE, places)
#if SCALAR_BYTES == 4
QUARTER_OF(uint8_t, unsigned)
QUARTER_OF(int8_t, signed)
#endif
#undef QUARTER_OF
#define QUARTERS(STEP, ITEM)                                                                       \
    else if (p.hop == ITEM && p.count >= LANES / 4)                                                \
        EACH_LINE(STEP(quarter, 0, ITEM, 1) STEP(quarter, p.count - LANES / 4, ITEM, 1))
#else
#define QUARTERS(STEP, ITEM)
#endif
#define SCALARS(part) NAME(scalars_##part)
#define PLACES(part) NAME(places_##part)
#define PART(part) (ptrdiff_t)(sizeof(SCALARS(part)) / SCALAR_BYTES)

#define EACH_LINE(...)                                                                             \
    for (; lines--; x += p.step, to += p.pitch, places += p.pitch) {                               \
        __VA_ARGS__                                                                                \
    }
/* Four vectors at a time where windows are tall: else a page would be left after each of its lines,
 * and met again for the next. */
#define EACH_ROW(STEP, ITEM)                                                                       \
    if (p.hop == ITEM && p.count >= LANES)                                                         \
        EACH_LINE(ptrdiff_t i = 0; if (depth * rows > 3) for (; i + 4 * LANES <= p.count;          \
                                                              i += 4 * LANES)                      \
                      STEP(all, i, ITEM, 4) for (; i + LANES <= p.count; i += LANES)               \
                          STEP(all, i, ITEM, 1) if (i < p.count)                                   \
                              STEP(all, p.count - LANES, ITEM, 1))                                 \
    else if (p.hop == ITEM && p.count >= LANES / 2)                                                \
        EACH_LINE(STEP(half, 0, ITEM, 1) STEP(half, p.count - LANES / 2, ITEM, 1))                 \
    QUARTERS(STEP, ITEM)                                                                           \
    else                                                                                           \
        EACH_LINE(for (ptrdiff_t i = 0; i < p.count; i++) STEP(one, i, p.hop, 1))

/* Reduce the rows of windows: a macro STEP does it for V vectors of columns, whose elements are
 * ITEM bytes. The commonest numbers of rows are constants in it. */
#define REDUCE_ROWS(name, STEP, ITEM)                                                              \
    INLINE(name##_of)(const fastconv_rows p, const char *x, ptrdiff_t lines, ptrdiff_t depth,      \
                      ptrdiff_t rows, SCALAR *to, PLACE *places)                                   \
    {                                                                                              \
        EACH_ROW(STEP, ITEM)                                                                       \
    }                                                                                              \
    LOOP(name)(const fastconv_rows *p, const char *x, ptrdiff_t lines, ptrdiff_t depth,            \
               ptrdiff_t rows, void *to, void *places)                                             \
    {                                                                                              \
        if (depth == 1 && rows == 2)                                                               \
            NAME(name##_of)(*p, x, lines, 1, 2, to, places);                                       \
        else if (depth == 1 && rows == 3)                                                          \
            NAME(name##_of)(*p, x, lines, 1, 3, to, places);                                       \
        else                                                                                       \
            NAME(name##_of)(*p, x, lines, depth, rows, to, places);                                \
    }

/* `first` for the first row, `next` for the others, each for V vectors `value`. */
#define EACH_TAP(part, i, HOP, V, first, next)                                                     \
    {                                                                                              \
        const char *at = x + (i) * HOP;                                                            \
        _Pragma("GCC unroll 4") for (ptrdiff_t v = 0; v < V; v++)                                  \
        {                                                                                          \
            const SCALARS(part) value = LOAD(part, at + v * PART(part) * HOP);                     \
            first;                                                                                 \
        }                                                                                          \
        for (ptrdiff_t t = 0; t < depth; t++)                                                      \
            for (ptrdiff_t r = !t; r < rows; r++) {                                                \
                const char *row = at + t * p.plane_step + r * p.row_step;                          \
                _Pragma("GCC unroll 4") for (ptrdiff_t v = 0; v < V; v++)                          \
                {                                                                                  \
                    const SCALARS(part) value = LOAD(part, row + v * PART(part) * HOP);            \
                    next;                                                                          \
                }                                                                                  \
            }                                                                                      \
    }
#define STORE(part, to, i, V, from)                                                                \
    _Pragma("GCC unroll 4") for (ptrdiff_t v = 0; v < V; v++)                                      \
        *(__typeof__(&from[0]))(to + (i) + v * PART(part)) = from[v];

#define ADD(part, i, HOP, V)                                                                       \
    {                                                                                              \
        SCALARS(part) sum[V];                                                                      \
        EACH_TAP(part, i, HOP, V, sum[v] = value, sum[v] += value)                                 \
        STORE(part, to, i, V, sum)                                                                 \
    }

/* |value|^power. */
#define POWER(part, value)                                                                         \
    ({                                                                                             \
        const SCALARS(part) size = (SCALARS(part))((PLACES(part))value & (PLACE)ABSOLUTE);         \
        SCALARS(part) result = size;                                                               \
        if (p.whole)                                                                               \
            for (int n = 1; n < p.whole; n++)                                                      \
                result *= size;                                                                    \
        else                                                                                       \
            for (int lane = 0; lane < PART(part); lane++)                                          \
                result[lane] = POW(size[lane], (SCALAR)p.power);                                   \
        result;                                                                                    \
    })
#define ADD_POWERS(part, i, HOP, V)                                                                \
    {                                                                                              \
        SCALARS(part) sum[V];                                                                      \
        EACH_TAP(part, i, HOP, V, sum[v] = POWER(part, value), sum[v] += POWER(part, value))       \
        STORE(part, to, i, V, sum)                                                                 \
    }

/* Whether values take the place of the best: the first maximum wins, a NaN wins over all but an
 * earlier NaN. Masks of vectors, and the choice between two by them. */
#define BEATS(value, best) (((best) == (best)) & ~((value) <= (best)))
#define CHOOSE(type, mask, a, b) (((mask) & (type)(a)) | (~(mask) & (type)(b)))
#define LARGER(part, i, HOP, V)                                                                    \
    {                                                                                              \
        SCALARS(part) best[V];                                                                     \
        EACH_TAP(part, i, HOP, V, best[v] = value, {                                               \
            const PLACES(part) better = BEATS(value, best[v]);                                     \
            best[v] = (SCALARS(part))CHOOSE(PLACES(part), better, value, best[v]);                 \
        })                                                                                         \
        STORE(part, to, i, V, best)                                                                \
    }

/* The same with the place of each best row in its window. */
#define LARGER_AT(part, i, HOP, V)                                                                 \
    {                                                                                              \
        SCALARS(part) best[V];                                                                     \
        PLACES(part) place[V];                                                                     \
        EACH_TAP(part, i, HOP, V, best[v] = value; place[v] = (PLACES(part)){0}, {                 \
            const PLACES(part) better = BEATS(value, best[v]);                                     \
            const PLACES(part) here =                                                              \
                (PLACES(part)){0} + (PLACE)(t * p.plane_place + r * p.row_place);                  \
            best[v] = (SCALARS(part))CHOOSE(PLACES(part), better, value, best[v]);                 \
            place[v] = CHOOSE(PLACES(part), better, here, place[v]);                               \
        })                                                                                         \
        STORE(part, to, i, V, best)                                                                \
        STORE(part, places, i, V, place)                                                           \
    }

#define LOAD(part, at) (*(const SCALARS(part) *)(at))
REDUCE_ROWS(add_rows, ADD, SCALAR_BYTES)
REDUCE_ROWS(add_power_rows, ADD_POWERS, SCALAR_BYTES)
REDUCE_ROWS(larger_rows, LARGER, SCALAR_BYTES)
REDUCE_ROWS(larger_rows_at, LARGER_AT, SCALAR_BYTES)
#undef LOAD
#if SCALAR_BYTES == 4
#define LOAD(part, at)                                                                             \
    __builtin_convertvector(*(const NAME(unsigned_##part) *)(at), SCALARS(part))
REDUCE_ROWS(larger_unsigned_rows, LARGER, 1)
REDUCE_ROWS(larger_unsigned_rows_at, LARGER_AT, 1)
#undef LOAD
#define LOAD(part, at)                                                                             \
    __builtin_convertvector(*(const NAME(signed_##part) *)(at), SCALARS(part))
REDUCE_ROWS(larger_signed_rows, LARGER, 1)
REDUCE_ROWS(larger_signed_rows_at, LARGER_AT, 1)
#undef LOAD
#endif

/* Reduce the columns of a window, or of a vector of windows whose first columns begin at `from`: a
 * macro GET loads them. */
#define ADD_COLUMNS(part, GET)                                                                     \
    {                                                                                              \
        SCALARS(part) sum = GET(SCALARS(part), from);                                              \
        for (ptrdiff_t s = 1; s < taps; s++)                                                       \
            sum += GET(SCALARS(part), from + s * dilation);                                        \
        *(SCALARS(part) *)(to + i) = sum * factor;                                                 \
    }
#define LARGER_COLUMNS(part, GET)                                                                  \
    {                                                                                              \
        SCALARS(part) best = GET(SCALARS(part), from);                                             \
        for (ptrdiff_t s = 1; s < taps; s++) {                                                     \
            const SCALARS(part) value = GET(SCALARS(part), from + s * dilation);                   \
            const PLACES(part) better = BEATS(value, best);                                        \
            best = (SCALARS(part))CHOOSE(PLACES(part), better, value, best);                       \
        }                                                                                          \
        *(SCALARS(part) *)(to + i) = best;                                                         \
    }
/* Each column is the first maximum of its own rows; of equal ones, and of two NaN, that of the
 * upper row comes first in the window. */
#define LARGER_COLUMNS_AT(part, GET)                                                               \
    {                                                                                              \
        SCALARS(part) best = GET(SCALARS(part), from);                                             \
        PLACES(part) place = GET(PLACES(part), number);                                            \
        for (ptrdiff_t s = 1; s < taps; s++) {                                                     \
            const SCALARS(part) value = GET(SCALARS(part), from + s * dilation);                   \
            const PLACES(part) here =                                                              \
                GET(PLACES(part), number + s * dilation) + (PLACE)(s * dilation);                  \
            const PLACES(part) better =                                                            \
                BEATS(value, best) |                                                               \
                ((here < place) & ((value == best) | ((value != value) & (best != best))));        \
            best = (SCALARS(part))CHOOSE(PLACES(part), better, value, best);                       \
            place = CHOOSE(PLACES(part), better, here, place);                                     \
        }                                                                                          \
        *(SCALARS(part) *)(to + i) = best;                                                         \
        *(PLACES(part) *)(to_places + i) = place;                                                  \
    }

#define NEXT(type, at) (*(const type *)(at))
#define SECOND(type, at) EVEN(NEXT(type, at), NEXT(type, (at) + LANES))
/* The windows of lines that lie behind each other, and those of one line by a table. `x` and
 * `places` may be read up to one number beyond the last window. */
#define REDUCE_COLUMNS(columns_name, windows_name, STEP)                                           \
    INLINE(columns_name##_of)(const SCALAR factor, ptrdiff_t stride, ptrdiff_t taps,               \
                              ptrdiff_t dilation, const SCALAR *x, const PLACE *places,            \
                              SCALAR *to, PLACE *to_places, ptrdiff_t count)                       \
    {                                                                                              \
        const SCALAR *from = x;                                                                    \
        const PLACE *number = places;                                                              \
        ptrdiff_t i = 0;                                                                           \
        (void)factor, (void)number, (void)to_places;                                               \
        if (stride == 1)                                                                           \
            for (; i + LANES <= count; i += LANES, from += LANES, number += LANES)                 \
                STEP(all, NEXT)                                                                    \
        else if (stride == 2)                                                                      \
            for (; i + LANES <= count; i += LANES, from += 2 * LANES, number += 2 * LANES)         \
                STEP(all, SECOND)                                                                  \
        for (; i < count; i++, from += stride, number += stride)                                   \
            STEP(one, NEXT)                                                                        \
    }                                                                                              \
    LOOP(columns_name)(const fastconv_columns *p, const void *x, const void *places, void *to,     \
                       void *to_places, ptrdiff_t count)                                           \
    {                                                                                              \
        const SCALAR factor = (SCALAR)p->factor;                                                   \
        if (p->stride == 2 && p->dilation == 1 && p->taps == 2)                                    \
            NAME(columns_name##_of)(factor, 2, 2, 1, x, places, to, to_places, count);             \
        else if (p->stride == 2 && p->dilation == 1 && p->taps == 3)                               \
            NAME(columns_name##_of)(factor, 2, 3, 1, x, places, to, to_places, count);             \
        else                                                                                       \
            NAME(columns_name##_of)(factor, p->stride, p->taps, p->dilation, x, places, to,        \
                                    to_places, count);                                             \
    }                                                                                              \
    LOOP(windows_name)(const fastconv_columns *p, const long long *windows, const void *x,         \
                       const void *places, void *out, void *out_places, ptrdiff_t count)           \
    {                                                                                              \
        const SCALAR factor = (SCALAR)p->factor;                                                   \
        const ptrdiff_t dilation = p->dilation;                                                    \
        SCALAR *to = out;                                                                          \
        PLACE *to_places = out_places;                                                             \
        (void)factor, (void)to_places;                                                             \
        for (ptrdiff_t i = 0; i < count; i++, windows += 3) {                                      \
            const SCALAR *from = (const SCALAR *)x + windows[0];                                   \
            const PLACE *number = (const PLACE *)places + windows[0];                              \
            const ptrdiff_t taps = windows[1];                                                     \
            (void)number;                                                                          \
            STEP(one, NEXT)                                                                        \
        }                                                                                          \
    }
REDUCE_COLUMNS(add_columns, add_windows, ADD_COLUMNS)
REDUCE_COLUMNS(larger_columns, larger_windows, LARGER_COLUMNS)
REDUCE_COLUMNS(larger_columns_at, larger_windows_at, LARGER_COLUMNS_AT)

LOOP(fill)(void *to, double value, ptrdiff_t count)
{
    SCALAR *x = to;
    for (ptrdiff_t i = 0; i < count; i++)
        x[i] = (SCALAR)value;
}

LOOP(fill_places)(void *to, ptrdiff_t value, ptrdiff_t count)
{
    PLACE *places = to;
    for (ptrdiff_t i = 0; i < count; i++)
        places[i] = (PLACE)value;
}

/* Where the maxima of a line are in their plane: its windows begin at the places of a table, or at
 * `first` and then every `stride`. */
LOOP(name_places)(long long *index, const void *from, const long long *windows, ptrdiff_t first,
                  ptrdiff_t stride, ptrdiff_t count)
{
    const PLACE *places = from;
    if (windows)
        for (ptrdiff_t i = 0; i < count; i++)
            index[i] = first + windows[3 * i] + places[i];
    else
        for (ptrdiff_t i = 0; i < count; i++)
            index[i] = first + i * stride + places[i];
}

/* Bytes, signed or not, that were widened come back. */
LOOP(narrow)(void *to, const void *from, ptrdiff_t count)
{
    const SCALAR *x = from;
    uint8_t *bytes = to;
    for (ptrdiff_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(int)x[i];
}

/* The cells of the windows of a line, from a column of their table; without it, 1. */
LOOP(count_cells)(void *to, const long long *windows, ptrdiff_t count)
{
    SCALAR *cells = to;
    for (ptrdiff_t i = 0; i < count; i++)
        cells[i] = windows ? (SCALAR)windows[3 * i] : 1;
}

/* x /= rows * columns[i]. */
LOOP(divide)(void *sums, double row_cells, const void *cells, ptrdiff_t count)
{
    const SCALAR rows = (SCALAR)row_cells, *restrict columns = cells;
    SCALAR *restrict x = sums;
    for (ptrdiff_t i = 0; i < count; i++)
        x[i] /= rows * columns[i];
}

/* x = (x * factor)^(1 / power). */
LOOP(root)(void *sums, double times, double power, ptrdiff_t count)
{
    const SCALAR factor = (SCALAR)times, inverse = (SCALAR)(1 / power);
    SCALAR *x = sums;
    if (power == 2)
        for (ptrdiff_t i = 0; i < count; i++)
            x[i] = SQRT(x[i] * factor);
    else
        for (ptrdiff_t i = 0; i < count; i++)
            x[i] = power == 1 ? x[i] * factor : POW(x[i] * factor, inverse);
}

#include "ops/pooling_gradient_loops.h"

#if SCALAR_BYTES == 4
#define OF_BYTES(rows, columns, windows)                                                           \
    {                                                                                              \
        {NAME(larger_unsigned_##rows), NAME(columns), NAME(windows)},                              \
            {NAME(larger_signed_##rows), NAME(columns), NAME(windows)},                            \
    }
#else
#define OF_BYTES(rows, columns, windows) {{0}}
#endif
static const fastconv_pooling NAME(pooling) = {
    {NAME(add_rows), NAME(add_columns), NAME(add_windows)},
    {NAME(add_power_rows), NAME(add_columns), NAME(add_windows)},
    {NAME(larger_rows), NAME(larger_columns), NAME(larger_windows)},
    {NAME(larger_rows_at), NAME(larger_columns_at), NAME(larger_windows_at)},
    OF_BYTES(rows, larger_columns, larger_windows),
    OF_BYTES(rows_at, larger_columns_at, larger_windows_at),
    NAME(fill),
    NAME(fill_places),
    NAME(name_places),
    NAME(narrow),
    NAME(count_cells),
    NAME(divide),
    NAME(root),
    NAME(take),
    NAME(add_to),
    NAME(share),
    NAME(spread),
    NAME(interleave),
    NAME(twice),
    NAME(repeat_rows),
    NAME(times_slope),
};

#undef NAME
#undef PLACE
#undef POW
#undef SQRT
#undef ABSOLUTE
#undef LOOP
#undef INLINE
#undef VECTORS_OF
#undef QUARTERS
#undef SCALARS
#undef PLACES
#undef PART
#undef EACH_LINE
#undef EACH_ROW
#undef REDUCE_ROWS
#undef EACH_TAP
#undef STORE
#undef ADD
#undef POWER
#undef ADD_POWERS
#undef BEATS
#undef CHOOSE
#undef LARGER
#undef LARGER_AT
#undef ADD_COLUMNS
#undef LARGER_COLUMNS
#undef LARGER_COLUMNS_AT
#undef NEXT
#undef SECOND
#undef REDUCE_COLUMNS
#undef OF_BYTES
#include "base/vector_end.h"
