/* The loops of pooling's gradients: a part of pooling_loops.h, with its macros. Most are plain C
 * that compilers turn into vector code. */

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

LOOP(take)(void *to, const void *x, ptrdiff_t hop, ptrdiff_t count)
{
    SCALAR *restrict out = to;
    EACH(out[i] = AT(SCALAR, x))
}

LOOP(add_to)(void *to, const void *x, ptrdiff_t hop, ptrdiff_t count)
{
    SCALAR *restrict out = to;
    EACH(out[i] += AT(SCALAR, x))
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

/* Add the share of each window to its columns of a line. */
LOOP(spread)(const fastconv_columns *p, const long long *windows, const void *from, void *to,
             ptrdiff_t count)
{
    const SCALAR *shares = from;
    SCALAR *line = to;
    for (ptrdiff_t i = 0; i < count; i++, windows += 3)
        for (ptrdiff_t s = 0; s < windows[1]; s++)
            line[windows[0] + s * p->dilation] += shares[i];
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

/* The slope of |x|^power / power, sign(x) |x|^(power - 1); 0 where x is 0. */
static inline SCALAR NAME(slope)(SCALAR x, SCALAR power)
{
    const SCALAR size = x < 0 ? -x : x;
    SCALAR slope = size;
    if (size > 0)
        slope = power == 1 ? 1 : power == 3 ? size * size : POW(size, power - 1);
    return x < 0 ? -slope : slope;
}

/* gradient *= the slope at x. */
LOOP(times_slope)(void *to, const void *x, ptrdiff_t hop, double of_power, ptrdiff_t count)
{
    const SCALAR power = (SCALAR)of_power;
    SCALAR *restrict gradient = to;
    if (power == 2) {
        EACH(gradient[i] *= AT(SCALAR, x))
    } else {
        EACH(gradient[i] *= NAME(slope)(AT(SCALAR, x), power))
    }
}

#undef EACH_AT
#undef EACH
#undef AT
