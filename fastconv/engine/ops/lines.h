/* The loops of pooling over lines, written once: pooling.h includes this file for float and for
 * double. Plain C that compilers turn into vector code; the baseline's instructions are enough,
 * because the lines of a task stay in the first-level cache and memory sets the pace.
 *
 * Expects SCALAR, PLACE (a signed integer of its size) and NAME(stem), which adds a suffix to a
 * function's name. */

/* Whether `value` takes the place of `best`: the first maximum wins, a NaN wins over all but an
 * earlier NaN. Bitwise, so that it becomes a mask. */
#define BEATS(value, best) (((best) == (best)) & !((value) <= (best)))

/* sums = or += a line whose elements are `hop` bytes apart. */
static inline void NAME(take_line)(SCALAR *restrict sums, const char *line, ptrdiff_t hop,
                            ptrdiff_t count, int first)
{
    const SCALAR *restrict x = (const SCALAR *)line;
    if (hop != sizeof(SCALAR)) {
        for (ptrdiff_t i = 0; i < count; i++, line += hop)
            sums[i] = (first ? 0 : sums[i]) + *(const SCALAR *)line;
    } else if (first) {
        for (ptrdiff_t i = 0; i < count; i++)
            sums[i] = x[i];
    } else {
        for (ptrdiff_t i = 0; i < count; i++)
            sums[i] += x[i];
    }
}

/* sums = a + b. */
static inline void NAME(take_two)(SCALAR *restrict sums, const char *a, const char *b, ptrdiff_t count)
{
    const SCALAR *restrict x = (const SCALAR *)a, *restrict y = (const SCALAR *)b;
    for (ptrdiff_t i = 0; i < count; i++)
        sums[i] = x[i] + y[i];
}

/* sums = or += every `hop`-th element. */
static inline void NAME(take_columns)(SCALAR *restrict sums, const SCALAR *restrict x, ptrdiff_t hop,
                               ptrdiff_t count, int first)
{
    if (hop == 2) {
        if (first)
            for (ptrdiff_t i = 0; i < count; i++)
                sums[i] = x[2 * i];
        else
            for (ptrdiff_t i = 0; i < count; i++)
                sums[i] += x[2 * i];
    } else {
        for (ptrdiff_t i = 0; i < count; i++)
            sums[i] = (first ? 0 : sums[i]) + x[hop * i];
    }
}

/* Two neighbouring columns at once: windows of 2 at a distance of 2 are the most common. */
static inline void NAME(take_pairs)(SCALAR *restrict sums, const SCALAR *restrict x, SCALAR factor,
                             ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        sums[i] = (x[2 * i] + x[2 * i + 1]) * factor;
}

static inline void NAME(scale_line)(SCALAR *restrict x, SCALAR factor, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        x[i] *= factor;
}

/* x /= rows * columns[i]. */
static inline void NAME(divide_line)(SCALAR *restrict x, SCALAR rows, const SCALAR *restrict columns,
                         ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        x[i] /= rows * columns[i];
}

/* sums = or += the line's shares, x / (rows * columns[i]), or x * factor where that is not 0. */
static inline void NAME(take_shares)(SCALAR *restrict sums, const char *line, ptrdiff_t hop,
                              SCALAR factor, SCALAR rows, const SCALAR *restrict columns,
                              ptrdiff_t count, int first)
{
    const SCALAR *restrict x = (const SCALAR *)line;
    if (factor != 0 && hop == sizeof(SCALAR)) {
        if (first)
            for (ptrdiff_t i = 0; i < count; i++)
                sums[i] = x[i] * factor;
        else
            for (ptrdiff_t i = 0; i < count; i++)
                sums[i] += x[i] * factor;
    } else {
        for (ptrdiff_t i = 0; i < count; i++, line += hop)
            sums[i] = (first ? 0 : sums[i]) + *(const SCALAR *)line / (rows * columns[i]);
    }
}

/* x[hop * i + p] = phases[p * size + i] for all phases p < hop. */
static inline void NAME(interleave)(SCALAR *restrict x, const SCALAR *restrict phases, ptrdiff_t size,
                             ptrdiff_t hop, ptrdiff_t count)
{
    if (hop == 2) {
        const SCALAR *restrict odd = phases + size;
        for (ptrdiff_t i = 0; i < count; i++) {
            x[2 * i] = phases[i];
            x[2 * i + 1] = odd[i];
        }
    } else {
        for (ptrdiff_t p = 0; p < hop; p++)
            for (ptrdiff_t i = 0; i < count; i++)
                x[hop * i + p] = phases[p * size + i];
    }
}

/* x[2 i] = x[2 i + 1] = shares[i]. */
static inline void NAME(double_columns)(SCALAR *restrict x, const SCALAR *restrict shares,
                                 ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        x[2 * i] = shares[i];
        x[2 * i + 1] = shares[i];
    }
}

/* The better of each column so far and of this line. */
static inline void NAME(larger_line)(SCALAR *restrict best, const char *line, ptrdiff_t hop,
                              ptrdiff_t count)
{
    const SCALAR *restrict x = (const SCALAR *)line;
    if (hop != sizeof(SCALAR)) {
        for (ptrdiff_t i = 0; i < count; i++, line += hop) {
            const SCALAR value = *(const SCALAR *)line;
            best[i] = BEATS(value, best[i]) ? value : best[i];
        }
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++)
        best[i] = BEATS(x[i], best[i]) ? x[i] : best[i];
}

/* The same every `hop`-th element. */
static inline void NAME(larger_columns)(SCALAR *restrict best, const SCALAR *restrict x, ptrdiff_t hop,
                                 ptrdiff_t count)
{
    if (hop == 2)
        for (ptrdiff_t i = 0; i < count; i++)
            best[i] = BEATS(x[2 * i], best[i]) ? x[2 * i] : best[i];
    else
        for (ptrdiff_t i = 0; i < count; i++)
            best[i] = BEATS(x[hop * i], best[i]) ? x[hop * i] : best[i];
}

/* The same with the place of each column's best. */
static inline void NAME(larger_line_at)(SCALAR *restrict best, PLACE *restrict at, const char *line,
                                 ptrdiff_t hop, PLACE place, ptrdiff_t count)
{
    const SCALAR *restrict x = (const SCALAR *)line;
    if (hop != sizeof(SCALAR)) {
        for (ptrdiff_t i = 0; i < count; i++, line += hop) {
            const SCALAR value = *(const SCALAR *)line;
            const int better = BEATS(value, best[i]);
            best[i] = better ? value : best[i];
            at[i] = better ? place : at[i];
        }
        return;
    }
    for (ptrdiff_t i = 0; i < count; i++) {
        const int better = BEATS(x[i], best[i]);
        best[i] = better ? x[i] : best[i];
        at[i] = better ? place : at[i];
    }
}

/* Whether the column `value`, of `row`, takes the place of `best`, of `best_row`. Each is the first
 * of its own column; of equal ones, and of two NaN, the upper row's comes first in the window. */
#define TAKES(value, row, best, best_row)                                                              (BEATS(value, best) |                                                                               (((row) < (best_row)) &                                                                             (((value) == (best)) | (((value) != (value)) & ((best) != (best))))))

/* The same every `hop`-th element; `number` is the column's in the window. */
static inline void NAME(larger_columns_at)(SCALAR *restrict best, PLACE *restrict row,
                                    PLACE *restrict column, const SCALAR *restrict x,
                                    const PLACE *restrict rows, ptrdiff_t hop, PLACE number,
                                    ptrdiff_t count)
{
    if (hop == 2)
        for (ptrdiff_t i = 0; i < count; i++) {
            const int better = TAKES(x[2 * i], rows[2 * i], best[i], row[i]);
            best[i] = better ? x[2 * i] : best[i];
            row[i] = better ? rows[2 * i] : row[i];
            column[i] = better ? number : column[i];
        }
    else
        for (ptrdiff_t i = 0; i < count; i++) {
            const int better = TAKES(x[hop * i], rows[hop * i], best[i], row[i]);
            best[i] = better ? x[hop * i] : best[i];
            row[i] = better ? rows[hop * i] : row[i];
            column[i] = better ? number : column[i];
        }
}

#undef BEATS
#undef TAKES
#undef SCALAR
#undef PLACE
#undef NAME
