/* Depthwise convolution along the rows of one plane, written once: kernels.h includes this file
 * for each instruction set and type.
 *
 * The input lies in a tile, padded, where every tap of the kernel is one constant offset. The taps
 * of a run are `x_step` apart there, as far as the rows of the output are: they share each vector
 * that is loaded. Where rows and taps are not equally far apart, each tap is a run of its own.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"
#include "base/interleave.h"

#define NAME(name) ISA(TYPED(name))
#define INLINE static inline __attribute__((always_inline))

enum {
    /* The rows of a register tile, and its vectors in a row: with 4 x 4 or 4 x 2 sums, up to 5 or 3
     * vectors of weights and one row of the input stay in registers beside them. */
    NAME(ROWS) = 4,
    NAME(VECTORS) = REGISTERS / 8
};

/* Hold a vector in a register: left alone, gcc loads it anew for each row that uses it. */
#if FASTCONV_X86
#define KEEP(vector) __asm__("" : "+v"(vector))
#else
#define KEEP(vector) ((void)0)
#endif

/* A loop of its own for each length of a run. */
#define BY_TAPS(taps, loop, ...)                                                                   \
    switch (taps) {                                                                                \
    case 7: loop(7, __VA_ARGS__); break;                                                           \
    case 5: loop(5, __VA_ARGS__); break;                                                           \
    case 3: loop(3, __VA_ARGS__); break;                                                           \
    case 2: loop(2, __VA_ARGS__); break;                                                           \
    default: loop(1, __VA_ARGS__);                                                                 \
    }

/* out[p, j] = bias + sum over runs l, taps r of weights[l, r] * x[p * x_step + offsets[l] +
 * r * x_step + j], added in this order, for p < P rows and V vectors j. */
INLINE void NAME(tile)(const int P, const int V, const int R, const SCALAR *x, ptrdiff_t x_step,
                       const fastconv_subkernel *sub, const SCALAR *weights, const SCALAR *bias,
                       SCALAR *out, ptrdiff_t out_step)
{
    const ptrdiff_t *offsets = sub->offsets, runs = sub->runs;
    VECTOR t[NAME(ROWS)][NAME(VECTORS)] = {{{0}}};

    for (ptrdiff_t l = 0; l < runs; l++) {
        const SCALAR *at = x + offsets[l];
#pragma GCC unroll 16
        for (int i = 0; i < P + R - 1; i++) {
            const VECTOR *row = (const VECTOR *)(at + i * x_step);
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) {
                VECTOR loaded = row[v];
                KEEP(loaded);
#pragma GCC unroll 4
                for (int p = 0; p < P; p++)
                    if (i >= p && i < p + R)
                        t[p][v] += weights[i - p] * loaded;
            }
        }
        weights += R;
    }
#pragma GCC unroll 4
    for (int p = 0; p < P; p++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++)
            ((VECTOR *)(out + p * out_step))[v] = NAME(finish_row)(t[p][v], bias);
}

/* All rows of one strip of V vectors. The last tile is moved back to end with the last row, and
 * computes some rows a second time. */
INLINE void NAME(strip)(const int V, const int R, const SCALAR *x, ptrdiff_t x_step,
                        ptrdiff_t rows, const fastconv_subkernel *sub, const SCALAR *weights,
                        const SCALAR *bias, SCALAR *out, ptrdiff_t out_step)
{
    const int P = NAME(ROWS);
    if (rows < P) {
        for (ptrdiff_t i = 0; i < rows; i++)
            NAME(tile)(1, V, R, x + i * x_step, x_step, sub, weights, bias, out + i * out_step,
                       out_step);
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i += P) {
        const ptrdiff_t at = i + P <= rows ? i : rows - P;
        NAME(tile)(P, V, R, x + at * x_step, x_step, sub, weights, bias, out + at * out_step,
                   out_step);
    }
}

/* Strips from left to right; the last one is moved back likewise. */
INLINE void NAME(strips)(const int R, const SCALAR *x, ptrdiff_t x_step, ptrdiff_t rows,
                         ptrdiff_t width, const fastconv_subkernel *sub, const SCALAR *weights,
                         const SCALAR *bias, SCALAR *out, ptrdiff_t out_step)
{
    for (ptrdiff_t j = 0, strip; j < width; j += strip) {
        strip = width - j > LANES && width >= 2 * LANES ? 2 * LANES : LANES;
        if (NAME(VECTORS) == 4 && width - j > 2 * LANES && width >= 4 * LANES)
            strip = 4 * LANES;
        ptrdiff_t at = width - j >= strip ? j : width - strip;
        if (at < 0)
            at = 0;
        if (strip == 4 * LANES)
            NAME(strip)(NAME(VECTORS), R, x + at, x_step, rows, sub, weights, bias, out + at,
                        out_step);
        else if (strip == 2 * LANES)
            NAME(strip)(2, R, x + at, x_step, rows, sub, weights, bias, out + at, out_step);
        else
            NAME(strip)(1, R, x + at, x_step, rows, sub, weights, bias, out + at, out_step);
    }
}

/* out[i, j] for i < rows and j < width; a row of less than a vector is written as a vector. */
static void NAME(correlate)(const SCALAR *x, ptrdiff_t x_step, ptrdiff_t rows, ptrdiff_t width,
                            const fastconv_subkernel *sub, const SCALAR *weights,
                            const SCALAR *bias, SCALAR *out, ptrdiff_t out_step)
{
    /* For all that the compiler knows, a store may change what `bias` points to. */
    const SCALAR kept = *bias;
    BY_TAPS(sub->shared, NAME(strips), x, x_step, rows, width, sub, weights, &kept, out, out_step)
}

/* t[l, r] += sum over p, j of dy[p, j] * x[p * x_step + offsets[l] + r * x_step + j] for L runs l,
 * lane by lane: for P rows p, all vectors j. */
INLINE void NAME(products)(const int P, const int L, const int R, const SCALAR *x, ptrdiff_t x_step,
                           ptrdiff_t vectors, const ptrdiff_t *offsets, const SCALAR *dy,
                           ptrdiff_t dy_step, VECTOR t[9][7])
{
    for (ptrdiff_t j = 0; j < vectors; j++) {
        VECTOR d[NAME(ROWS)];
#pragma GCC unroll 4
        for (int p = 0; p < P; p++)
            d[p] = ((const VECTOR *)(dy + p * dy_step))[j];
#pragma GCC unroll 9
        for (int l = 0; l < L; l++) {
#pragma GCC unroll 16
            for (int i = 0; i < P + R - 1; i++) {
                VECTOR loaded = ((const VECTOR *)(x + offsets[l] + i * x_step))[j];
                if (P > 1)
                    KEEP(loaded);
#pragma GCC unroll 4
                for (int p = 0; p < P; p++)
                    if (i >= p && i < p + R)
                        t[l][i - p] += d[p] * loaded;
            }
        }
    }
}

/* The same for all rows and L runs, whose sums stay in registers. */
INLINE void NAME(hold)(const int L, const int R, const SCALAR *x, ptrdiff_t x_step, ptrdiff_t rows,
                       ptrdiff_t vectors, const ptrdiff_t *offsets, const SCALAR *dy,
                       ptrdiff_t dy_step, SCALAR *sums)
{
    const int P = R > 1 ? NAME(ROWS) : 1;
    VECTOR t[9][7];
    ptrdiff_t i = 0;
#pragma GCC unroll 9
    for (int l = 0; l < L; l++)
#pragma GCC unroll 7
        for (int r = 0; r < R; r++)
            t[l][r] = ((VECTOR *)sums)[l * R + r];
    for (; i + P <= rows; i += P)
        NAME(products)(P, L, R, x + i * x_step, x_step, vectors, offsets, dy + i * dy_step, dy_step,
                       t);
    for (; i < rows; i++)
        NAME(products)(1, L, R, x + i * x_step, x_step, vectors, offsets, dy + i * dy_step, dy_step,
                       t);
#pragma GCC unroll 9
    for (int l = 0; l < L; l++)
#pragma GCC unroll 7
        for (int r = 0; r < R; r++)
            ((VECTOR *)sums)[l * R + r] = t[l][r];
}

/* All runs, as many at a time as there are registers for their sums. */
INLINE void NAME(runs)(const int R, const SCALAR *x, ptrdiff_t x_step, ptrdiff_t rows,
                       ptrdiff_t vectors, const fastconv_subkernel *sub, const SCALAR *dy,
                       ptrdiff_t dy_step, SCALAR *sums)
{
    const int L = fastconv_held_runs(REGISTERS, R);
    ptrdiff_t l = 0;
#define HOLD(count)                                                                                \
    for (; l + (count) <= sub->runs; l += (count))                                                 \
    NAME(hold)(count, R, x, x_step, rows, vectors, sub->offsets + l, dy, dy_step,                  \
               sums + l * R * LANES)
    HOLD(L);
    if (L > 3)
        HOLD(3);
    HOLD(1);
#undef HOLD
}

/* Add the products of a residual, in whole vectors, and what each tap reads to the tap's sums. */
static void NAME(accumulate)(const SCALAR *x, ptrdiff_t x_step, ptrdiff_t rows, ptrdiff_t vectors,
                             const fastconv_subkernel *sub, const SCALAR *dy, ptrdiff_t dy_step,
                             SCALAR *sums)
{
    BY_TAPS(sub->shared, NAME(runs), x, x_step, rows, vectors, sub, dy, dy_step, sums)
}

INLINE void NAME(split)(const SCALAR *from, SCALAR *even, SCALAR *odd)
{
    const VECTOR a = *(const VECTOR *)from, b = *(const VECTOR *)(from + LANES);
    *(VECTOR *)even = EVEN(a, b);
    *(VECTOR *)odd = ODD(a, b);
}

/* Part rows into even and odd columns. Where both are there, they are read once; before these pairs
 * an odd column may stand alone, and an even one past their end. */
static void NAME(pack_pairs)(SCALAR *even, ptrdiff_t to_row, ptrdiff_t to_phase, const SCALAR *from,
                             ptrdiff_t from_row, ptrdiff_t rows, const fastconv_span *spans)
{
    const ptrdiff_t low = spans[0].low, high = spans[1].high > low ? spans[1].high : low;
    const int before = spans[1].low < low, after = high < spans[0].high;
    SCALAR *odd = even + to_phase;
    from += spans[0].first;
    for (ptrdiff_t i = 0; i < rows; i++) {
        if (before)
            odd[low - 1] = from[2 * low - 1];
        if (high - low >= LANES) {
            for (ptrdiff_t j = low; j < high - LANES; j += LANES) {
                /* Maps that are in no cache: without it doubles take a third longer. */
                __builtin_prefetch(from + 4 * from_row + 2 * j);
                __builtin_prefetch(from + 4 * from_row + 2 * j + LANES);
                NAME(split)(from + 2 * j, even + j, odd + j);
            }
            NAME(split)(from + 2 * (high - LANES), even + high - LANES, odd + high - LANES);
        } else if (high > low) {
            NAME(copy)(from + 2 * low, 2, high - low, even + low);
            NAME(copy)(from + 2 * low + 1, 2, high - low, odd + low);
        }
        if (after)
            even[high] = from[2 * high];
        even += to_row;
        odd += to_row;
        from += from_row;
    }
}

/* Copy rows of the input into rows of its tile, one behind the other the columns of each phase of
 * the stride. The input's columns are `column` numbers apart. */
static void NAME(pack_rows)(SCALAR *to, ptrdiff_t to_row, ptrdiff_t to_phase, const SCALAR *from,
                            ptrdiff_t from_row, ptrdiff_t column, ptrdiff_t stride, ptrdiff_t rows,
                            const fastconv_span *spans, ptrdiff_t phases)
{
    const ptrdiff_t step = stride * column;
    if (step == 2 && phases == 2) {
        NAME(pack_pairs)(to, to_row, to_phase, from, from_row, rows, spans);
        return;
    }
    for (ptrdiff_t s = 0; s < phases; s++) {
        const ptrdiff_t low = spans[s].low, n = spans[s].high - low;
        const SCALAR *source = from + spans[s].first * column + low * step;
        SCALAR *target = to + s * to_phase + low;
        if (n == 0)
            continue;
        if (step == 1)
            for (ptrdiff_t i = 0; i < rows; i++)
                NAME(copy)(source + i * from_row, 1, n, target + i * to_row);
        else
            for (ptrdiff_t i = 0; i < rows; i++)
                NAME(copy)(source + i * from_row, step, n, target + i * to_row);
    }
}

/* Put even and odd columns together again, as rows of n numbers. Up to a vector is read past the end
 * of either; of rows of at least a vector, the last one is moved back. */
static void NAME(interleave)(SCALAR *to, ptrdiff_t to_row, const SCALAR *even, const SCALAR *odd,
                             ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t n)
{
    for (ptrdiff_t i = 0; i < rows; i++) {
        NAME(interleave_rows)(to, even, odd, n);
        to += to_row;
        even += from_row;
        odd += from_row;
    }
}

#if SCALAR_BYTES == 4
static const fastconv_registers ISA(registers) = {REGISTERS, VECTOR_BYTES, NAME(ROWS), NAME(VECTORS)};
#endif

#undef BY_TAPS
#undef INLINE
#undef KEEP
#undef NAME
#include "base/vector_end.h"
