/* The loops of pooling, written once: pooling.h includes this file for each instruction set and
 * type. Most are plain C that compilers turn into vector code.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

#define NAME(name) ISA(TYPED(name))
#if SCALAR_BYTES == 4
#define PLACE int32_t
#else
#define PLACE int64_t
#endif
#define LOOP(name) static __attribute__((noinline)) void NAME(name)

/* A row is reduced by vectors. What is left of it ends with its last element, and partly comes
 * again; for that there are shorter vectors, and for each one of as many places. */
#define VECTOR_OF(type, name, bytes)                                                               \
    typedef type NAME(name) __attribute__((vector_size(bytes), aligned(SCALAR_BYTES)));
VECTOR_OF(SCALAR, one, SCALAR_BYTES)
VECTOR_OF(PLACE, place, SCALAR_BYTES)
VECTOR_OF(PLACE, places, VECTOR_BYTES)
VECTOR_OF(PLACE, half_places, VECTOR_BYTES / 2)
#ifdef QUARTER
VECTOR_OF(PLACE, quarter_places, VECTOR_BYTES / 4)
#define QUARTERS(STEP)                                                                             \
    else if (p.hop == SCALAR_BYTES && p.count >= LANES / 4)                                        \
        EACH_LINE(STEP(QUARTER, NAME(quarter_places), 0, SCALAR_BYTES)                             \
                  STEP(QUARTER, NAME(quarter_places), p.count - LANES / 4, SCALAR_BYTES))
#else
#define QUARTERS(STEP)
#endif
#define EACH_LINE(...)                                                                             \
    for (; lines--; x += p.step, to += p.pitch, places += p.pitch) {                               \
        __VA_ARGS__                                                                                \
    }
#define EACH_ROW(STEP)                                                                             \
    if (p.hop == SCALAR_BYTES && p.count >= LANES)                                                 \
        EACH_LINE(                                                                                 \
            for (ptrdiff_t i = 0; i + LANES <= p.count; i += LANES)                                \
                STEP(VECTOR, NAME(places), i, SCALAR_BYTES)                                        \
            if (p.count % LANES)                                                                   \
                STEP(VECTOR, NAME(places), p.count - LANES, SCALAR_BYTES))                         \
    else if (p.hop == SCALAR_BYTES && p.count >= LANES / 2)                                        \
        EACH_LINE(STEP(HALF, NAME(half_places), 0, SCALAR_BYTES)                                   \
                  STEP(HALF, NAME(half_places), p.count - LANES / 2, SCALAR_BYTES))                \
    QUARTERS(STEP)                                                                                 \
    else                                                                                           \
        EACH_LINE(for (ptrdiff_t i = 0; i < p.count; i++)                                          \
                      STEP(NAME(one), NAME(place), i, p.hop))

/* Reduce the rows of windows: a macro STEP does it for a vector of columns. The commonest number of
 * rows is a constant in it. */
#define REDUCE(name, STEP)                                                                         \
    static inline __attribute__((always_inline)) void NAME(name##_of)(                             \
        const fastconv_rows p, const char *x, ptrdiff_t lines, ptrdiff_t depth, ptrdiff_t rows,    \
        SCALAR *to, PLACE *places)                                                                 \
    {                                                                                              \
        EACH_ROW(STEP)                                                                             \
    }                                                                                              \
    LOOP(name)(const fastconv_rows *p, const char *x, ptrdiff_t lines, ptrdiff_t depth,            \
               ptrdiff_t rows, void *to, void *places)                                             \
    {                                                                                              \
        if (depth == 1 && rows == 2)                                                               \
            NAME(name##_of)(*p, x, lines, 1, 2, to, places);                                       \
        else                                                                                       \
            NAME(name##_of)(*p, x, lines, depth, rows, to, places);                                \
    }

#define EACH_TAP(type, at, ...)                                                                    \
    for (ptrdiff_t t = 0; t < depth; t++)                                                          \
        for (ptrdiff_t r = !t; r < rows; r++) {                                                    \
            const type value =                                                                     \
                *(const type *)(x + (at) + t * p.plane_step + r * p.row_step);                     \
            __VA_ARGS__                                                                            \
        }

#define ADD(type, places_type, i, HOP)                                                             \
    {                                                                                              \
        type sum = *(const type *)(x + (i) * HOP);                                                 \
        EACH_TAP(type, (i) * HOP, sum += value;)                                                   \
        *(type *)(to + (i)) = sum;                                                                 \
    }
REDUCE(add_rows, ADD)

/* Whether values take the place of the best: the first maximum wins, a NaN wins over all but an
 * earlier NaN. Masks of vectors, and the choice between two by them. */
#define BEATS(value, best) (((best) == (best)) & ~((value) <= (best)))
#define CHOOSE(type, mask, a, b) (((mask) & (type)(a)) | (~(mask) & (type)(b)))

#define LARGER(type, places_type, i, HOP)                                                          \
    {                                                                                              \
        type best = *(const type *)(x + (i) * HOP);                                                \
        EACH_TAP(type, (i) * HOP, {                                                                \
            const places_type better = BEATS(value, best);                                         \
            best = (type)CHOOSE(places_type, better, value, best);                                 \
        })                                                                                         \
        *(type *)(to + (i)) = best;                                                                \
    }
REDUCE(larger_rows, LARGER)

/* The same with the number of each best row. */
#define LARGER_AT(type, places_type, i, HOP)                                                       \
    {                                                                                              \
        type best = *(const type *)(x + (i) * HOP);                                                \
        places_type row = {0};                                                                     \
        EACH_TAP(type, (i) * HOP, {                                                                \
            const places_type better = BEATS(value, best);                                         \
            const places_type here = better - better + (PLACE)(t * p.numbers + r);                 \
            best = (type)CHOOSE(places_type, better, value, best);                                 \
            row = CHOOSE(places_type, better, here, row);                                          \
        })                                                                                         \
        *(type *)(to + (i)) = best;                                                                \
        *(places_type *)(places + (i)) = row;                                                      \
    }
REDUCE(larger_rows_at, LARGER_AT)

/* Run a statement for each i < count. The commonest distances are constants in it: vectors can load
 * neighbours, and every other element. */
#define EACH_AT(distance, statement)                                                               \
    {                                                                                              \
        const ptrdiff_t HOP = distance;                                                            \
        for (ptrdiff_t i = 0; i < count; i++)                                                      \
            statement;                                                                             \
    }
#define EACH(statement)                                                                            \
    if (hop == SCALAR_BYTES)                                                                       \
        EACH_AT(SCALAR_BYTES, statement)                                                           \
    else if (hop == 2 * SCALAR_BYTES)                                                              \
        EACH_AT(2 * SCALAR_BYTES, statement)                                                       \
    else                                                                                           \
        EACH_AT(hop, statement)
#define AT(type, first) (*(const type *)((const char *)(first) + i * HOP))

/* The same of single numbers, for compilers to make masks of. */
#undef BEATS
#define BEATS(value, best) (((best) == (best)) & !((value) <= (best)))
/* Whether the column `value`, of `row`, takes the place of `best`, of `best_row`. Each is the first
 * of its own column; of equal ones, and of two NaN, the upper row's comes first in the window. */
#define TAKES(value, row, best, best_row)                                                          \
    (BEATS(value, best) |                                                                          \
     (((row) < (best_row)) &                                                                       \
      (((value) == (best)) | (((value) != (value)) & ((best) != (best))))))

LOOP(take)(void *to, const void *x, ptrdiff_t hop, ptrdiff_t count)
{
    SCALAR *restrict out = to;
    EACH(out[i] = AT(SCALAR, x))
}

LOOP(add)(void *to, const void *x, ptrdiff_t hop, ptrdiff_t count)
{
    SCALAR *restrict out = to;
    EACH(out[i] += AT(SCALAR, x))
}

LOOP(larger)(void *to, const void *x, ptrdiff_t hop, ptrdiff_t count)
{
    SCALAR *restrict best = to;
    EACH(best[i] = BEATS(AT(SCALAR, x), best[i]) ? AT(SCALAR, x) : best[i])
}

/* The places of the first column of each window: its row. */
LOOP(take_places)(void *rows, void *columns, const void *from, ptrdiff_t hop, ptrdiff_t count)
{
    PLACE *restrict row = rows, *restrict column = columns;
    EACH({
        row[i] = AT(PLACE, from);
        column[i] = 0;
    })
}

/* The better of the best so far and of column `number`, with its row and column. */
LOOP(larger_column)(void *to, void *rows, void *columns, const void *x, const void *from,
                    ptrdiff_t hop, ptrdiff_t number, ptrdiff_t count)
{
    SCALAR *restrict best = to;
    PLACE *restrict row = rows, *restrict column = columns;
    const PLACE here = number;
    EACH({
        const SCALAR value = AT(SCALAR, x);
        const PLACE value_row = AT(PLACE, from);
        const int better = TAKES(value, value_row, best[i], row[i]);
        best[i] = better ? value : best[i];
        row[i] = better ? value_row : row[i];
        column[i] = better ? here : column[i];
    })
}

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
LOOP(name_places)(long long *index, const void *rows, const void *columns,
                  const ptrdiff_t *offsets, ptrdiff_t dilation, const long long *windows,
                  ptrdiff_t first, ptrdiff_t stride, ptrdiff_t count)
{
    const PLACE *row = rows, *column = columns;
    for (ptrdiff_t i = 0; i < count; i++)
        index[i] = first + (windows ? windows[3 * i] : i * stride) + offsets[row[i]] +
                   column[i] * dilation;
}

/* y = factor times the sums of two neighbours; one number beyond them is read. */
LOOP(halve)(void *to, const void *from, double times, ptrdiff_t count)
{
    const SCALAR *x = from, factor = (SCALAR)times;
    SCALAR *y = to;
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES, x += 2 * LANES)
        *(VECTOR *)(y + i) = (EVEN(*(const VECTOR *)x, *(const VECTOR *)(x + LANES)) +
                              EVEN(*(const VECTOR *)(x + 1), *(const VECTOR *)(x + 1 + LANES))) *
                             factor;
    for (; i < count; i++, x += 2)
        y[i] = (x[0] + x[1]) * factor;
}

LOOP(scale)(void *to, double times, ptrdiff_t count)
{
    const SCALAR factor = (SCALAR)times;
    SCALAR *x = to;
    for (ptrdiff_t i = 0; i < count; i++)
        x[i] *= factor;
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

/* sums = or += the shares x / (rows * columns[i]), or x * factor where that is not 0. */
LOOP(share)(void *to, const void *x, ptrdiff_t hop, double times, double row_cells,
            const void *cells, ptrdiff_t count, int first)
{
    const SCALAR factor = (SCALAR)times, rows = (SCALAR)row_cells, *restrict columns = cells;
    SCALAR *restrict sums = to;
    if (factor != 0 && first) {
        EACH(sums[i] = AT(SCALAR, x) * factor)
    } else if (factor != 0) {
        EACH(sums[i] += AT(SCALAR, x) * factor)
    } else {
        EACH(sums[i] = (first ? 0 : sums[i]) + AT(SCALAR, x) / (rows * columns[i]))
    }
}

/* x[hop * i + p] = phases[p * size + i] for all phases p < hop. */
LOOP(interleave)(void *to, const void *from, ptrdiff_t size, ptrdiff_t hop, ptrdiff_t count)
{
    const SCALAR *restrict phases = from;
    SCALAR *restrict x = to;
    if (hop == 2)
        for (ptrdiff_t i = 0; i < count; i++) {
            x[2 * i] = phases[i];
            x[2 * i + 1] = phases[size + i];
        }
    else
        for (ptrdiff_t p = 0; p < hop; p++)
            for (ptrdiff_t i = 0; i < count; i++)
                x[hop * i + p] = phases[p * size + i];
}

/* x[2 i] = x[2 i + 1] = shares[i] * factor. */
LOOP(twice)(void *to, const void *from, double times, ptrdiff_t count)
{
    const SCALAR *shares = from, factor = (SCALAR)times;
    SCALAR *x = to;
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const VECTOR share = *(const VECTOR *)(shares + i) * factor;
        *(VECTOR *)(x + 2 * i) = ZIP_LOW(share, share);
        *(VECTOR *)(x + 2 * i + LANES) = ZIP_HIGH(share, share);
    }
    for (; i < count; i++)
        x[2 * i] = x[2 * i + 1] = shares[i] * factor;
}

/* Write each line into so many rows of x, of `width` elements: its own, then zeros. The lines lie
 * `pitch` elements apart. */
LOOP(repeat_rows)(void *to, ptrdiff_t width, const void *from, ptrdiff_t pitch, ptrdiff_t rows,
                  ptrdiff_t times, ptrdiff_t count)
{
    const SCALAR *line = from, *end = line + rows * pitch;
    SCALAR *x = to;
    for (ptrdiff_t left = times; line < end; x += width) {
        NAME(copy)(line, 1, count, x);
        for (ptrdiff_t j = count; j < width; j++)
            x[j] = 0;
        if (!--left) {
            left = times;
            line += pitch;
        }
    }
}

static const fastconv_pooling NAME(pooling) = {
    NAME(add_rows),    NAME(larger_rows),   NAME(larger_rows_at), NAME(take),
    NAME(add),         NAME(larger),        NAME(take_places),    NAME(larger_column),
    NAME(fill),        NAME(fill_places),   NAME(name_places),    NAME(halve),
    NAME(scale),       NAME(count_cells),   NAME(divide),         NAME(share),
    NAME(interleave),  NAME(twice),         NAME(repeat_rows),
};

#undef NAME
#undef PLACE
#undef LOOP
#undef VECTOR_OF
#undef QUARTERS
#undef EACH_LINE
#undef EACH_ROW
#undef REDUCE
#undef EACH_TAP
#undef ADD
#undef LARGER
#undef LARGER_AT
#undef CHOOSE
#undef EACH_AT
#undef EACH
#undef AT
#undef BEATS
#undef TAKES
#include "base/vector_end.h"
