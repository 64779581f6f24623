/* Sums over the taps of a filter, written once: taps_types.h includes this file for each
 * instruction set and type.
 *
 * The image lies in a tile, padded, where every tap is one constant offset. The module is compiled
 * without fused multiply-adds: each product is rounded, as in a loop that knows of no vectors. */

#define INLINE static inline __attribute__((always_inline))
#define LANES (VECTOR_BYTES / NUMBER_BYTES)
#define VECTOR NAME(filter_vector)
typedef NUMBER VECTOR __attribute__((vector_size(VECTOR_BYTES), aligned(NUMBER_BYTES)));
#define LOAD(p) (*(const VECTOR *)(p))

enum {
    /* The rows of a register tile, and its vectors in a row. */
    NAME(TAP_ROWS) = 4,
    NAME(TAP_VECTORS) = REGISTERS / 8
};

INLINE void NAME(weigh_tile)(const int P, const int V, const int fold, const NUMBER *x,
                             ptrdiff_t x_step, const fastconv_taps *taps, const NUMBER *weights,
                             NUMBER *y, ptrdiff_t y_step)
{
    const ptrdiff_t *offsets = taps->offsets, *partners = taps->partners, count = taps->count;
    const VECTOR start = (NUMBER)taps->start - (VECTOR){0};
    VECTOR t[NAME(TAP_ROWS)][NAME(TAP_VECTORS)];

#pragma GCC unroll 4
    for (int p = 0; p < P; p++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++)
            t[p][v] = fold ? LOAD(x + p * x_step + offsets[0] + v * LANES) * weights[0] : start;
    for (ptrdiff_t k = fold ? 1 : 0; k < count; k++) {
        const VECTOR weight = weights[k] - (VECTOR){0};
#pragma GCC unroll 4
        for (int p = 0; p < P; p++)
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) {
                VECTOR seen = LOAD(x + p * x_step + offsets[k] + v * LANES);
                if (fold > 0)
                    seen += LOAD(x + p * x_step + partners[k] + v * LANES);
                if (fold < 0)
                    seen -= LOAD(x + p * x_step + partners[k] + v * LANES);
                t[p][v] += seen * weight;
            }
    }
#pragma GCC unroll 4
    for (int p = 0; p < P; p++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++)
            *(VECTOR *)(y + p * y_step + v * LANES) = t[p][v];
}

/* Have a vector in a register here. Left alone, gcc loads what is seen anew for each row that uses
 * it; and where it knows the taps, it loads all of them first, and spills most. */
#if FASTCONV_X86
#define PIN(vector) __asm__ volatile("" : "+v"(vector))
#else
#define PIN(vector) ((void)0)
#endif

/* Add what the rows LOW to HIGH of a tile see of some neighbours: `weight` is the row LOW's, that
 * of the next row lies a row of the kernel before it. */
INLINE void NAME(share_tap)(const int LOW, const int HIGH, const int V, const NUMBER *x,
                            ptrdiff_t wide, const NUMBER *weight,
                            VECTOR t[NAME(TAP_ROWS)][NAME(TAP_VECTORS)])
{
    VECTOR seen[NAME(TAP_VECTORS)];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
        seen[v] = LOAD(x + v * LANES);
        PIN(seen[v]);
    }
#pragma GCC unroll 4
    for (int p = LOW; p <= HIGH; p++) {
        const VECTOR spread = *(weight - (p - LOW) * wide) - (VECTOR){0};
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
            t[p][v] += seen[v] * spread;
            PIN(t[p][v]);
        }
    }
}

/* The same for all taps of a row of the kernel; WIDE is their number, 3, if it is known, or 0. In a
 * loop of three, gcc would move every sum from register to register. */
INLINE void NAME(share_row)(const int LOW, const int HIGH, const int V, const int WIDE,
                            const NUMBER *x, ptrdiff_t wide, const NUMBER *weights,
                            VECTOR t[NAME(TAP_ROWS)][NAME(TAP_VECTORS)])
{
    if (WIDE == 3) {
        NAME(share_tap)(LOW, HIGH, V, x, wide, weights, t);
        NAME(share_tap)(LOW, HIGH, V, x + 1, wide, weights + 1, t);
        NAME(share_tap)(LOW, HIGH, V, x + 2, wide, weights + 2, t);
        return;
    }
    for (ptrdiff_t s = 0; s < wide; s++)
        NAME(share_tap)(LOW, HIGH, V, x + s, wide, weights + s, t);
}

/* The same sums as weigh_tile's for taps that fill planes: the rows of a tile share what they see.
 * SIDE is the length of both sides of the planes if it is known, or 0. */
INLINE void NAME(weigh_planes)(const int V, const int SIDE, const NUMBER *x, ptrdiff_t x_step,
                               const fastconv_taps *taps, const NUMBER *weights, NUMBER *y,
                               ptrdiff_t y_step)
{
    const ptrdiff_t tall = SIDE ? SIDE : taps->tall, wide = SIDE ? SIDE : taps->wide;
    const ptrdiff_t count = taps->count;
    VECTOR t[NAME(TAP_ROWS)][NAME(TAP_VECTORS)];

#pragma GCC unroll 4
    for (int p = 0; p < NAME(TAP_ROWS); p++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++)
            t[p][v] = (NUMBER)taps->start - (VECTOR){0};
    for (ptrdiff_t k = 0; k < count; k += tall * wide) {
        const NUMBER *row = x + taps->offsets[k], *first = weights + k;
        const NUMBER *last = first + (tall - 1) * wide;
#define SHARE(low, high, of) NAME(share_row)(low, high, V, SIDE, row, wide, of, t), row += x_step
        if (tall >= NAME(TAP_ROWS)) {
            SHARE(0, 0, first);
            SHARE(0, 1, first + wide);
            SHARE(0, 2, first + 2 * wide);
            for (const NUMBER *of = first + 3 * wide; of <= last; of += wide)
                SHARE(0, 3, of);
            SHARE(1, 3, last);
            SHARE(2, 3, last);
            SHARE(3, 3, last);
        } else if (tall == 3) {
            SHARE(0, 0, first);
            SHARE(0, 1, first + wide);
            SHARE(0, 2, last);
            SHARE(1, 3, last);
            SHARE(2, 3, last);
            SHARE(3, 3, last);
        } else {
            SHARE(0, 0, first);
            SHARE(0, 1, last);
            SHARE(1, 2, last);
            SHARE(2, 3, last);
            SHARE(3, 3, last);
        }
#undef SHARE
    }
#pragma GCC unroll 4
    for (int p = 0; p < NAME(TAP_ROWS); p++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++)
            *(VECTOR *)(y + p * y_step + v * LANES) = t[p][v];
}

/* All rows of one strip of V vectors. The last tile is moved back to end with the last row, and
 * computes some rows a second time. */
INLINE void NAME(weigh_strip)(const int V, const int fold, const NUMBER *x, ptrdiff_t x_step,
                              ptrdiff_t rows, const fastconv_taps *taps, const NUMBER *weights,
                              NUMBER *y, ptrdiff_t y_step)
{
    const int P = NAME(TAP_ROWS);
    if (rows < P) {
        for (ptrdiff_t i = 0; i < rows; i++)
            NAME(weigh_tile)(1, V, fold, x + i * x_step, x_step, taps, weights, y + i * y_step,
                             y_step);
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i += P) {
        const ptrdiff_t at = i + P <= rows ? i : rows - P;
        if (fold == 0 && V == NAME(TAP_VECTORS) && taps->tall == 3 && taps->wide == 3)
            NAME(weigh_planes)(V, 3, x + at * x_step, x_step, taps, weights, y + at * y_step,
                               y_step);
        else if (fold == 0 && taps->tall)
            NAME(weigh_planes)(V, 0, x + at * x_step, x_step, taps, weights, y + at * y_step,
                               y_step);
        else
            NAME(weigh_tile)(P, V, fold, x + at * x_step, x_step, taps, weights, y + at * y_step,
                             y_step);
    }
}

/* Strips from left to right; the last one is moved back likewise. */
INLINE void NAME(weigh_strips)(const int fold, const NUMBER *x, ptrdiff_t x_step, ptrdiff_t rows,
                               ptrdiff_t width, const fastconv_taps *taps, const NUMBER *weights,
                               NUMBER *y, ptrdiff_t y_step)
{
    const int most = NAME(TAP_VECTORS);
    for (ptrdiff_t j = 0; j < width;) {
        int vectors = width >= most * LANES && width - j > (most / 2) * LANES ? most : most / 2;
        if (width < most / 2 * LANES || width - j <= LANES)
            vectors = 1;
        const ptrdiff_t strip = vectors * LANES, last = width > strip ? width - strip : 0;
        const ptrdiff_t at = j < last ? j : last;
        if (vectors == most)
            NAME(weigh_strip)(NAME(TAP_VECTORS), fold, x + at, x_step, rows, taps, weights, y + at,
                              y_step);
        else if (vectors == most / 2 && vectors > 1)
            NAME(weigh_strip)(NAME(TAP_VECTORS) / 2, fold, x + at, x_step, rows, taps, weights,
                              y + at, y_step);
        else
            NAME(weigh_strip)(1, fold, x + at, x_step, rows, taps, weights, y + at, y_step);
        j = at + strip;
    }
}

static void NAME(weigh)(const void *from, ptrdiff_t x_step, ptrdiff_t rows, ptrdiff_t width,
                        const fastconv_taps *taps, const void *weights, void *to, ptrdiff_t y_step)
{
    const NUMBER *x = from;
    NUMBER *y = to;
    const ptrdiff_t strip = NAME(TAP_VECTORS) * LANES;
#define STRIPS(x, x_step, rows, width, y, y_step)                                                  \
    {                                                                                              \
        if (taps->fold == 0)                                                                       \
            NAME(weigh_strips)(0, x, x_step, rows, width, taps, weights, y, y_step);               \
        else if (taps->fold > 0)                                                                   \
            NAME(weigh_strips)(1, x, x_step, rows, width, taps, weights, y, y_step);               \
        else                                                                                       \
            NAME(weigh_strips)(-1, x, x_step, rows, width, taps, weights, y, y_step);              \
    }
    if (rows == 1 && width >= NAME(TAP_ROWS) * strip) {
        /* One row is seen as several, one behind the other: a row alone would wait for its sums. */
        const ptrdiff_t done = width / strip * strip;
        fastconv_taps unshared = *taps;
        unshared.tall = 0;
        taps = &unshared;
        STRIPS(x, strip, width / strip, strip, y, strip)
        if (done < width) {
            const ptrdiff_t at = width - done > LANES ? width - strip : width - LANES;
            STRIPS(x + at, x_step, 1, width - at, y + at, y_step)
        }
        return;
    }
    STRIPS(x, x_step, rows, width, y, y_step)
#undef STRIPS
}

static void NAME(fill)(const void *value, ptrdiff_t count, void *to)
{
    const NUMBER filled = *(const NUMBER *)value;
    for (ptrdiff_t i = 0; i < count; i++)
        ((NUMBER *)to)[i] = filled;
}

#define READ(type, name)                                                                           \
    static void NAME(read_##name)(const char *from, ptrdiff_t step, ptrdiff_t count, void *to)     \
    {                                                                                              \
        NUMBER *restrict into = to;                                                                \
        if (step == sizeof(type)) {                                                                \
            const type *restrict row = (const type *)from;                                         \
            for (ptrdiff_t i = 0; i < count; i++)                                                  \
                into[i] = (NUMBER)row[i];                                                          \
            return;                                                                                \
        }                                                                                          \
        for (ptrdiff_t i = 0; i < count; i++)                                                      \
            into[i] = (NUMBER) * (const type *)(from + i * step);                                  \
    }
#define WRITE(type, name)                                                                          \
    static void NAME(write_##name)(const void *from, ptrdiff_t count, char *to, ptrdiff_t step)    \
    {                                                                                              \
        const NUMBER *restrict row = from;                                                         \
        if (step == sizeof(type)) {                                                                \
            type *restrict into = (type *)to;                                                      \
            for (ptrdiff_t i = 0; i < count; i++)                                                  \
                into[i] = AS(type, name, row[i]);                                                  \
            return;                                                                                \
        }                                                                                          \
        for (ptrdiff_t i = 0; i < count; i++)                                                      \
            *(type *)(to + i * step) = AS(type, name, row[i]);                                     \
    }
OWN(READ)
OWN(WRITE)
#undef READ
#undef WRITE

#define READER(type, name) [FASTCONV_IS_##name] = NAME(read_##name),
#define WRITER(type, name) [FASTCONV_IS_##name] = NAME(write_##name),
static const fastconv_filter_loops NAME(filter_loops) = {
    NUMBER_BYTES, LANES, {PLAIN}, NAME(weigh), NAME(fill), {OWN(READER)}, {OWN(WRITER)}};
#undef READER
#undef WRITER

#undef PIN
#undef LOAD
#undef VECTOR
#undef LANES
#undef INLINE
