/* Depthwise convolution over rows of one plane, written once: kernels.h includes this file for
 * each instruction set and type.
 *
 * The input lies in a slab, padded, where every tap of the kernel is one constant shift. `taps`
 * taps of a kernel column are `in_step` apart there, as far as the rows of the output are; they
 * share each vector that is loaded. Where rows and taps are not equally far apart, `taps` is 1 and
 * every tap is a column of its own.
 *
 * Expects what regions.h defines. */

#define NAME(name) ISA(TYPED(name))
/* Shuffle two vectors of 16 bytes apart, and together. */
#if SCALAR_BYTES == 4
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#define LOWER 0, 4, 1, 5
#define UPPER 2, 6, 3, 7
#else
#define EVEN 0, 2
#define ODD 1, 3
#define LOWER 0, 2
#define UPPER 1, 3
#endif

/* Aligned as its elements are: rows begin anywhere. */
typedef SCALAR NAME(vector) __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(SCALAR))));
/* Short rows are moved in pieces of this size: the compiler's own loops end number by number. */
typedef SCALAR NAME(few) __attribute__((vector_size(16), aligned(sizeof(SCALAR))));

enum {
    NAME(LANES) = VECTOR_BYTES / sizeof(SCALAR),
    /* The rows of a tile, and its vectors in a row: with 4 x 4 or 4 x 2 sums, up to 5 or 3
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

#define INLINE static inline __attribute__((always_inline))

/* out[p, j] = bias + sum over l, r of weights[l, r] * slab[p * in_step + shifts[l] + r * in_step +
 * j], added in this order, for p < P rows and V vectors j. */
INLINE void NAME(tile)(const int P, const int V, const int R, const SCALAR *slab,
                       ptrdiff_t in_step, const ptrdiff_t *shifts, ptrdiff_t columns,
                       const SCALAR *weights, SCALAR bias, SCALAR *out, ptrdiff_t out_step)
{
    NAME(vector) t[NAME(ROWS)][NAME(VECTORS)] = {{{0}}};

    for (ptrdiff_t l = 0; l < columns; l++) {
        const SCALAR *at = slab + shifts[l];
#pragma GCC unroll 16
        for (int i = 0; i < P + R - 1; i++) {
            const NAME(vector) *x = (const NAME(vector) *)(at + i * in_step);
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) {
                NAME(vector) loaded = x[v];
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
            ((NAME(vector) *)(out + p * out_step))[v] = t[p][v] + bias;
}

/* All rows of one strip of V vectors. The last tile is moved back to end with the last row, and
 * computes some rows a second time. */
INLINE void NAME(strip)(const int V, const int R, const SCALAR *slab, ptrdiff_t in_step,
                        ptrdiff_t rows, const ptrdiff_t *shifts, ptrdiff_t columns,
                        const SCALAR *weights, SCALAR bias, SCALAR *out, ptrdiff_t out_step)
{
    const int P = NAME(ROWS);
    if (rows < P) {
        for (ptrdiff_t i = 0; i < rows; i++)
            NAME(tile)(1, V, R, slab + i * in_step, in_step, shifts, columns, weights, bias,
                       out + i * out_step, out_step);
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i += P) {
        const ptrdiff_t at = i + P <= rows ? i : rows - P;
        NAME(tile)(P, V, R, slab + at * in_step, in_step, shifts, columns, weights, bias,
                   out + at * out_step, out_step);
    }
}

/* Strips from left to right; the last one is moved back likewise. */
INLINE void NAME(strips)(const int R, const SCALAR *slab, ptrdiff_t in_step, ptrdiff_t rows,
                         ptrdiff_t width, const ptrdiff_t *shifts, ptrdiff_t columns,
                         const SCALAR *weights, SCALAR bias, SCALAR *out, ptrdiff_t out_step)
{
    const ptrdiff_t lanes = NAME(LANES);
    for (ptrdiff_t j = 0, strip; j < width; j += strip) {
        const ptrdiff_t rest = width - j;
        strip = lanes;
        if (rest > lanes && width >= 2 * lanes)
            strip = 2 * lanes;
        if (NAME(VECTORS) == 4 && rest > 2 * lanes && width >= 4 * lanes)
            strip = 4 * lanes;
        ptrdiff_t at = rest >= strip ? j : width - strip;
        if (at < 0)
            at = 0;
        if (strip == 4 * lanes)
            NAME(strip)(NAME(VECTORS), R, slab + at, in_step, rows, shifts, columns, weights, bias,
                        out + at, out_step);
        else if (strip == 2 * lanes)
            NAME(strip)(2, R, slab + at, in_step, rows, shifts, columns, weights, bias, out + at,
                        out_step);
        else
            NAME(strip)(1, R, slab + at, in_step, rows, shifts, columns, weights, bias, out + at,
                        out_step);
    }
}

/* out[i, j] for i < rows and j < width; a row of less than a vector is written as a vector. */
static void NAME(correlate)(const SCALAR *slab, ptrdiff_t in_step, ptrdiff_t rows,
                            ptrdiff_t width, const ptrdiff_t *shifts, ptrdiff_t columns,
                            ptrdiff_t taps, const SCALAR *weights, SCALAR bias, SCALAR *out,
                            ptrdiff_t out_step)
{
    switch (taps) {
    case 7:
        NAME(strips)(7, slab, in_step, rows, width, shifts, columns, weights, bias, out, out_step);
        break;
    case 5:
        NAME(strips)(5, slab, in_step, rows, width, shifts, columns, weights, bias, out, out_step);
        break;
    case 3:
        NAME(strips)(3, slab, in_step, rows, width, shifts, columns, weights, bias, out, out_step);
        break;
    case 2:
        NAME(strips)(2, slab, in_step, rows, width, shifts, columns, weights, bias, out, out_step);
        break;
    default:
        NAME(strips)(1, slab, in_step, rows, width, shifts, columns, weights, bias, out, out_step);
    }
}

/* sums[l, r] += sum over i, j of dy[i, j] * slab[i * in_step + shifts[l] + r * in_step + j] for
 * C columns l, lane by lane: for P rows i, all vectors j. */
INLINE void NAME(products)(const int P, const int C, const int R, const SCALAR *slab,
                           ptrdiff_t in_step, ptrdiff_t vectors, const ptrdiff_t *shifts,
                           const SCALAR *dy, ptrdiff_t dy_step, NAME(vector) t[9][7])
{
    for (ptrdiff_t j = 0; j < vectors; j++) {
        NAME(vector) d[NAME(ROWS)];
#pragma GCC unroll 4
        for (int p = 0; p < P; p++)
            d[p] = ((const NAME(vector) *)(dy + p * dy_step))[j];
#pragma GCC unroll 9
        for (int c = 0; c < C; c++) {
#pragma GCC unroll 16
            for (int i = 0; i < P + R - 1; i++) {
                NAME(vector) x = ((const NAME(vector) *)(slab + shifts[c] + i * in_step))[j];
                if (P > 1)
                    KEEP(x);
#pragma GCC unroll 4
                for (int p = 0; p < P; p++)
                    if (i >= p && i < p + R)
                        t[c][i - p] += d[p] * x;
            }
        }
    }
}

INLINE void NAME(gather)(const int C, const int R, const SCALAR *slab, ptrdiff_t in_step,
                         ptrdiff_t rows, ptrdiff_t vectors, const ptrdiff_t *shifts,
                         const SCALAR *dy, ptrdiff_t dy_step, SCALAR *sums)
{
    const int P = R > 1 ? NAME(ROWS) : 1;
    NAME(vector) t[9][7];
    ptrdiff_t i = 0;
#pragma GCC unroll 9
    for (int c = 0; c < C; c++)
#pragma GCC unroll 7
        for (int r = 0; r < R; r++)
            t[c][r] = ((NAME(vector) *)sums)[c * R + r];
    for (; i + P <= rows; i += P)
        NAME(products)(P, C, R, slab + i * in_step, in_step, vectors, shifts, dy + i * dy_step,
                       dy_step, t);
    for (; i < rows; i++)
        NAME(products)(1, C, R, slab + i * in_step, in_step, vectors, shifts, dy + i * dy_step,
                       dy_step, t);
#pragma GCC unroll 9
    for (int c = 0; c < C; c++)
#pragma GCC unroll 7
        for (int r = 0; r < R; r++)
            ((NAME(vector) *)sums)[c * R + r] = t[c][r];
}

/* All columns, as many at a time as there are registers for the sums. */
INLINE void NAME(gathers)(const int R, const SCALAR *slab, ptrdiff_t in_step, ptrdiff_t rows,
                          ptrdiff_t vectors, const ptrdiff_t *shifts, ptrdiff_t columns,
                          const SCALAR *dy, ptrdiff_t dy_step, SCALAR *sums)
{
    const int C = R == 1 ? 9 : R == 2 ? 4 : R == 3 ? 3 : (REGISTERS == 32 ? 25 : 11) / R;
    ptrdiff_t l = 0;
    for (; l + C <= columns; l += C)
        NAME(gather)(C, R, slab, in_step, rows, vectors, shifts + l, dy, dy_step,
                     sums + l * R * NAME(LANES));
    if (C > 3)
        for (; l + 3 <= columns; l += 3)
            NAME(gather)(3, R, slab, in_step, rows, vectors, shifts + l, dy, dy_step,
                         sums + l * R * NAME(LANES));
    for (; l < columns; l++)
        NAME(gather)(1, R, slab, in_step, rows, vectors, shifts + l, dy, dy_step,
                     sums + l * R * NAME(LANES));
}

static void NAME(accumulate)(const SCALAR *slab, ptrdiff_t in_step, ptrdiff_t rows,
                             ptrdiff_t vectors, const ptrdiff_t *shifts, ptrdiff_t columns,
                             ptrdiff_t taps, const SCALAR *dy, ptrdiff_t dy_step, SCALAR *sums)
{
    switch (taps) {
    case 7:
        NAME(gathers)(7, slab, in_step, rows, vectors, shifts, columns, dy, dy_step, sums);
        break;
    case 5:
        NAME(gathers)(5, slab, in_step, rows, vectors, shifts, columns, dy, dy_step, sums);
        break;
    case 3:
        NAME(gathers)(3, slab, in_step, rows, vectors, shifts, columns, dy, dy_step, sums);
        break;
    case 2:
        NAME(gathers)(2, slab, in_step, rows, vectors, shifts, columns, dy, dy_step, sums);
        break;
    default:
        NAME(gathers)(1, slab, in_step, rows, vectors, shifts, columns, dy, dy_step, sums);
    }
}

/* Copy rows of n numbers in vectors of which the last is moved back. */
static void NAME(copy_rows)(SCALAR *to, ptrdiff_t to_step, const SCALAR *from,
                            ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t n)
{
    typedef SCALAR half __attribute__((vector_size(VECTOR_BYTES / 2), aligned(sizeof(SCALAR))));
    const ptrdiff_t lanes = NAME(LANES), few = sizeof(NAME(few)) / sizeof(SCALAR);
    for (ptrdiff_t i = 0; i < rows; i++) {
        if (n >= lanes) {
            for (ptrdiff_t j = 0; j + lanes < n; j += lanes)
                *(NAME(vector) *)(to + j) = *(const NAME(vector) *)(from + j);
            *(NAME(vector) *)(to + n - lanes) = *(const NAME(vector) *)(from + n - lanes);
        } else if (n >= lanes / 2) {
            *(half *)to = *(const half *)from;
            *(half *)(to + n - lanes / 2) = *(const half *)(from + n - lanes / 2);
        } else if (n >= few) {
            *(NAME(few) *)to = *(const NAME(few) *)from;
            *(NAME(few) *)(to + n - few) = *(const NAME(few) *)(from + n - few);
        } else {
            for (ptrdiff_t j = 0; j < n; j++)
                to[j] = from[j];
        }
        to += to_step;
        from += from_step;
    }
}

/* Part rows of n pairs into even and odd columns. `first`: an odd one stands before them; `last`:
 * an even one stands behind. */
static void NAME(split)(SCALAR *restrict even, SCALAR *restrict odd, ptrdiff_t to_step,
                        const SCALAR *restrict from, ptrdiff_t from_step, ptrdiff_t rows,
                        ptrdiff_t n, int first, int last)
{
    const ptrdiff_t few = sizeof(NAME(few)) / sizeof(SCALAR);
    for (ptrdiff_t i = 0; i < rows; i++) {
        if (first)
            odd[-1] = from[-1];
        if (n >= few && n < 16) {
            for (ptrdiff_t j = 0; j < n; j += few) {
                const ptrdiff_t at = j + few <= n ? j : n - few;
                const NAME(few) a = *(const NAME(few) *)(from + 2 * at);
                const NAME(few) b = *(const NAME(few) *)(from + 2 * at + few);
                *(NAME(few) *)(even + at) = __builtin_shufflevector(a, b, EVEN);
                *(NAME(few) *)(odd + at) = __builtin_shufflevector(a, b, ODD);
            }
        } else {
            for (ptrdiff_t j = 0; j < n; j++) {
                even[j] = from[2 * j];
                odd[j] = from[2 * j + 1];
            }
        }
        if (last)
            even[n] = from[2 * n];
        even += to_step;
        odd += to_step;
        from += from_step;
    }
}

/* Put even and odd columns together again, as rows of n numbers. */
static void NAME(merge)(SCALAR *restrict to, ptrdiff_t to_step, const SCALAR *restrict even,
                        const SCALAR *restrict odd, ptrdiff_t from_step, ptrdiff_t rows,
                        ptrdiff_t n)
{
    const ptrdiff_t few = sizeof(NAME(few)) / sizeof(SCALAR);
    for (ptrdiff_t i = 0; i < rows; i++) {
        if (n / 2 >= few && n < 32) {
            for (ptrdiff_t j = 0; j < n / 2; j += few) {
                const ptrdiff_t at = j + few <= n / 2 ? j : n / 2 - few;
                const NAME(few) a = *(const NAME(few) *)(even + at);
                const NAME(few) b = *(const NAME(few) *)(odd + at);
                *(NAME(few) *)(to + 2 * at) = __builtin_shufflevector(a, b, LOWER);
                *(NAME(few) *)(to + 2 * at + few) = __builtin_shufflevector(a, b, UPPER);
            }
        } else {
            for (ptrdiff_t j = 0; j < n / 2; j++) {
                to[2 * j] = even[j];
                to[2 * j + 1] = odd[j];
            }
        }
        if (n % 2)
            to[n - 1] = even[n / 2];
        to += to_step;
        even += from_step;
        odd += from_step;
    }
}

#undef EVEN
#undef ODD
#undef LOWER
#undef UPPER

#include "depthwise/planes.h"

static const TYPED(fastconv_depthwise) NAME(depthwise) = {
    VECTOR_BYTES, NAME(correlate), NAME(accumulate),       NAME(copy_rows),
    NAME(split),  NAME(merge),     NAME(correlate_planes), NAME(accumulate_planes),
};

#undef INLINE
#undef KEEP
#undef NAME
