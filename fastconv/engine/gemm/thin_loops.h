/* Products with few rows or few steps, whose large operand is read or written once, as it lies.
 *
 * Each sum adds its products in the order of the steps, `depth` of them in a register from zero on,
 * and then these parts, as the tiles of tile_loops.h do: the bits are theirs.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

/* Numbers of a cache line, in which the loops along the steps move. */
#define LINE (64 / SCALAR_BYTES)
/* Steps along a column by which it is fetched ahead. */
#define AHEAD (256 / SCALAR_BYTES)
/* Numbers of a matrix that comes from memory: fewer of its columns are read side by side. */
#define FAR ((4 << 20) / SCALAR_BYTES)
/* Rows of B that are read side by side. */
#define LEVEL_STEPS 8

/* Of each 16 bytes of two vectors: the low or the high half, number by number or by pairs; and the
 * even or odd pieces of 16 bytes of both. */
#if VECTOR_BYTES == 64 && SCALAR_BYTES == 4
#define LOW_1(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29)
#define HIGH_1(a, b) \
    __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31)
#define LOW_2(a, b) \
    __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
#define HIGH_2(a, b) \
    __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31)
#define PIECES(a, b, odd)                                                                          \
    __builtin_shufflevector(a, b, 4 * odd, 4 * odd + 1, 4 * odd + 2, 4 * odd + 3, 4 * odd + 8,     \
                            4 * odd + 9, 4 * odd + 10, 4 * odd + 11, 4 * odd + 16, 4 * odd + 17,   \
                            4 * odd + 18, 4 * odd + 19, 4 * odd + 24, 4 * odd + 25, 4 * odd + 26,  \
                            4 * odd + 27)
#elif VECTOR_BYTES == 64
#define LOW_1(a, b) __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14)
#define HIGH_1(a, b) __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15)
#define PIECES(a, b, odd)                                                                          \
    __builtin_shufflevector(a, b, 2 * odd, 2 * odd + 1, 2 * odd + 4, 2 * odd + 5, 2 * odd + 8,     \
                            2 * odd + 9, 2 * odd + 12, 2 * odd + 13)
#elif VECTOR_BYTES == 32 && SCALAR_BYTES == 4
#define LOW_1(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH_1(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW_2(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_2(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define PIECES(a, b, odd)                                                                          \
    __builtin_shufflevector(a, b, 4 * odd, 4 * odd + 1, 4 * odd + 2, 4 * odd + 3, 4 * odd + 8,     \
                            4 * odd + 9, 4 * odd + 10, 4 * odd + 11)
#elif VECTOR_BYTES == 32
#define LOW_1(a, b) __builtin_shufflevector(a, b, 0, 4, 2, 6)
#define HIGH_1(a, b) __builtin_shufflevector(a, b, 1, 5, 3, 7)
#define PIECES(a, b, odd)                                                                          \
    __builtin_shufflevector(a, b, 2 * odd, 2 * odd + 1, 2 * odd + 4, 2 * odd + 5)
#endif

/* Load and transpose a block of LANES vectors, `stride` apart, with shuffles that stay inside of 16
 * bytes first, and of whole pieces of 16 bytes then: twice as many go through a core as of those that
 * take any number from anywhere. With `fetches`, what lies `ahead` is fetched.
 *
 * One address goes from row to row: gcc would keep one for each, more than there are registers. */
static inline __attribute__((always_inline)) void
ISA(TYPED(load_turned))(const SCALAR *from, ptrdiff_t stride, ptrdiff_t ahead, const int fetches,
                        VECTOR block[LANES])
{
    VECTOR part[LANES];

#define LOAD(vector)                                                                               \
    do {                                                                                           \
        if (fetches)                                                                               \
            __builtin_prefetch(from + ahead);                                                      \
        vector = *(const VECTOR *)from;                                                            \
        from += stride;                                                                            \
        __asm__("" : "+r"(from));                                                                  \
    } while (0)
#if VECTOR_BYTES == 16
#pragma GCC unroll 4
    for (int q = 0; q < LANES; q++)
        LOAD(block[q]);
    (void)part;
    ISA(TYPED(turn))(block);
#else

    /* In each 16 bytes: as many rows of one column. */
#pragma GCC unroll 16
    for (int q = 0; q < LANES; q += 16 / SCALAR_BYTES) {
        VECTOR row[4];
        LOAD(row[0]);
        LOAD(row[1]);
#if SCALAR_BYTES == 8
        part[q] = LOW_1(row[0], row[1]);
        part[q + 1] = HIGH_1(row[0], row[1]);
#else
        LOAD(row[2]);
        LOAD(row[3]);
        const VECTOR a = LOW_1(row[0], row[1]), b = LOW_1(row[2], row[3]);
        const VECTOR c = HIGH_1(row[0], row[1]), d = HIGH_1(row[2], row[3]);
        part[q] = LOW_2(a, b);
        part[q + 1] = HIGH_2(a, b);
        part[q + 2] = LOW_2(c, d);
        part[q + 3] = HIGH_2(c, d);
#endif
    }
    /* The pieces of a vector belong to columns that lie `piece` apart. */
    enum { piece = 16 / SCALAR_BYTES };
#pragma GCC unroll 4
    for (int q = 0; q < piece; q++) {
#if VECTOR_BYTES == 32
        block[q] = PIECES(part[q], part[q + piece], 0);
        block[q + piece] = PIECES(part[q], part[q + piece], 1);
#else
        const VECTOR *from = part + q;
        const VECTOR a = PIECES(from[0], from[piece], 0), b = PIECES(from[0], from[piece], 1);
        const VECTOR c = PIECES(from[2 * piece], from[3 * piece], 0);
        const VECTOR d = PIECES(from[2 * piece], from[3 * piece], 1);
        block[q] = PIECES(a, c, 0);
        block[q + piece] = PIECES(b, d, 0);
        block[q + 2 * piece] = PIECES(a, c, 1);
        block[q + 3 * piece] = PIECES(b, d, 1);
#endif
    }
#endif
#undef LOAD
}

/* B's columns are rows in memory: its steps are neighbours.
 *
 *     b      k ->         a block of LANES columns and as many steps is transposed in registers,
 *     j  [ . . . . ]      and each vector of it is multiplied with one number of each row of A
 *     |  [ . . . . ]
 *     v  [ . . . . ]
 *
 * The blocks of `groups` vectors of columns move along a cache line of each, then along the next:
 * lines that lie 4 KB apart share one set of the first-level cache, and would not be there any more
 * when the other half is wanted. */

/* Add the steps first .. past of a line that begins at k, maybe before the column or past its end. */
static __attribute__((noinline)) void
ISA(TYPED(add_steps))(const int rows, const int groups, const SCALAR *a, const SCALAR *b,
                      const fastconv_thin *p, ptrdiff_t k, ptrdiff_t first, ptrdiff_t past,
                      VECTOR *sums)
{
    VECTOR block[LANES];

    for (; k < past; k += LANES) {
        const ptrdiff_t from = first > k ? first : k, to = past < k + LANES ? past : k + LANES;
        for (int g = 0; g < groups && from < to; g++) {
            const SCALAR *column = b + g * LANES * p->b_stride;
            if (k >= 0 && k + LANES <= p->steps) {
                ISA(TYPED(load_turned))(column + k, p->b_stride, 0, 0, block);
            } else {
                for (ptrdiff_t q = 0; q < LANES; q++)
                    for (ptrdiff_t l = from; l < to; l++)
                        block[l - k][q] = column[q * p->b_stride + l];
            }
            for (int i = 0; i < rows; i++)
                for (ptrdiff_t l = from; l < to; l++)
                    sums[g * rows + i] += a[i * p->a_row + l] * block[l - k];
        }
    }
}

static inline __attribute__((always_inline)) void
ISA(TYPED(turned_groups))(const int rows, const int groups, const SCALAR *a, const SCALAR *b,
                          const SCALAR *bias, SCALAR *c, const fastconv_thin *p)
{
    const ptrdiff_t stride = p->b_stride, row = p->a_row;
    /* Columns that are all aligned alike are read in whole cache lines. */
    const ptrdiff_t shift = stride % LINE ? 0 : (ptrdiff_t)((uintptr_t)b / SCALAR_BYTES % LINE);

    for (ptrdiff_t step = 0; step < p->steps; step += p->depth) {
        const ptrdiff_t past = step + p->depth < p->steps ? step + p->depth : p->steps;
        ptrdiff_t k = (step + shift) / LINE * LINE - shift;
        VECTOR t[FASTCONV_THIN_GROUPS * FASTCONV_THIN_ROWS];

#pragma GCC unroll 32
        for (int i = 0; i < groups * rows; i++)
            t[i] = (VECTOR){0};
        if (k < step) {
            ISA(TYPED(add_steps))
            (rows, groups, a, b, p, k, step, k + LINE < past ? k + LINE : past, t);
            k += LINE;
        }
        for (; k + LINE <= past; k += LINE) {
            /* Of these columns, then of the next ones. */
            const ptrdiff_t ahead =
                k + AHEAD < p->steps ? AHEAD : AHEAD - p->steps + groups * LANES * stride;
#pragma GCC unroll 4
            for (int g = 0; g < groups; g++) {
                const SCALAR *column = b + g * LANES * stride + k;
#pragma GCC unroll 4
                for (int part = 0; part < LINE; part += LANES) {
                    VECTOR block[LANES];
                    ISA(TYPED(load_turned))(column + part, stride, ahead, part == 0, block);
#pragma GCC unroll 16
                    for (int q = 0; q < LANES; q++)
#pragma GCC unroll 8
                        for (int i = 0; i < rows; i++)
                            t[g * rows + i] += a[i * row + k + part + q] * block[q];
                }
            }
        }
        if (k < past)
            ISA(TYPED(add_steps))(rows, groups, a, b, p, k, k > step ? k : step, past, t);
#pragma GCC unroll 4
        for (int g = 0; g < groups; g++)
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++) {
                VECTOR *to = (VECTOR *)(c + i * p->c_row + g * LANES);
                const VECTOR sum = step ? *to + t[g * rows + i] : t[g * rows + i];
                *to = ISA(TYPED(finish))(sum, bias && past == p->steps ? bias + g * LANES : NULL);
            }
    }
}

/* There are LANES columns at least. The last vector ends with the last column, and partly comes
 * again. */
static inline __attribute__((always_inline)) void
ISA(TYPED(turned))(const int rows, const int groups, const SCALAR *a, const SCALAR *b,
                   const SCALAR *bias, SCALAR *c, const fastconv_thin *p)
{
    ptrdiff_t j = 0;

    if (p->columns * p->b_stride < FAR)
        for (; j + groups * LANES <= p->columns; j += groups * LANES)
            ISA(TYPED(turned_groups))
            (rows, groups, a, b + j * p->b_stride, bias ? bias + j : NULL, c + j, p);
    else if (groups > 1 && REGISTERS == 16)
        for (; j + 2 * LANES <= p->columns; j += 2 * LANES)
            ISA(TYPED(turned_groups))
            (rows, 2, a, b + j * p->b_stride, bias ? bias + j : NULL, c + j, p);
    for (; j < p->columns; j += LANES) {
        if (j + LANES > p->columns)
            j = p->columns - LANES;
        ISA(TYPED(turned_groups))
        (rows, 1, a, b + j * p->b_stride, bias ? bias + j : NULL, c + j, p);
    }
}

/* Write such columns side by side, for tiles: target[k * width + j] = b[j * stride + k].
 *
 * There are LANES columns and LANES steps at least: the last block of either ends with the last one,
 * and partly comes again, as the first does where lines begin behind it. */
static __attribute__((noinline)) void
ISA(TYPED(pack_turned))(const SCALAR *b, ptrdiff_t stride, ptrdiff_t columns, ptrdiff_t steps,
                        SCALAR *target, ptrdiff_t width)
{
    const ptrdiff_t shift = stride % LANES ? 0 : (ptrdiff_t)((uintptr_t)b / SCALAR_BYTES % LANES);

    for (ptrdiff_t j = 0; j < columns; j += LANES) {
        if (j + LANES > columns)
            j = columns - LANES;
        for (ptrdiff_t k = 0, next; k < steps; k = next) {
            VECTOR block[LANES];
            next = k + LANES - (k == 0 ? shift : 0);
            if (k + LANES > steps)
                k = steps - LANES;
            ISA(TYPED(load_turned))(b + j * stride + k, stride, AHEAD, 1, block);
#pragma GCC unroll 16
            for (int q = 0; q < LANES; q++)
                *(VECTOR *)(target + (k + q) * width + j) = block[q];
        }
    }
}

/* B's rows are rows in memory, and its columns neighbours. Some rows are read side by side, in long
 * stretches, as the hardware foresees it; the sums wait in the first-level cache. */

/* Add the products of `steps` rows of B to the sums, or to zeros; for whole vectors. */
static inline __attribute__((always_inline)) void
ISA(TYPED(level_steps))(const int rows, const int vectors, ptrdiff_t steps, const SCALAR *a,
                        const SCALAR *b, const fastconv_thin *p, ptrdiff_t columns, int begins,
                        SCALAR *sums, ptrdiff_t sums_row)
{
    const ptrdiff_t row = p->a_row, stride = p->b_stride;

    for (ptrdiff_t j = 0; j < columns; j += vectors * LANES) {
        VECTOR t[FASTCONV_THIN_ROWS][4];
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) {
                t[i][v] = (VECTOR){0};
                if (!begins)
                    t[i][v] = *(const VECTOR *)(sums + i * sums_row + j + v * LANES);
            }
#pragma GCC unroll 8
        for (ptrdiff_t l = 0; l < steps; l++) {
            const SCALAR *from = b + l * stride + j;
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                if (v * LANES % LINE == 0)
                    __builtin_prefetch(from + LEVEL_STEPS * stride + v * LANES, 0, 2);
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
                for (int v = 0; v < vectors; v++)
                    t[i][v] += a[i * row + l] * *(const VECTOR *)(from + v * LANES);
        }
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                *(VECTOR *)(sums + i * sums_row + j + v * LANES) = t[i][v];
    }
}

/* The same of all steps for whole vectors of a stretch. */
static inline __attribute__((always_inline)) void
ISA(TYPED(level_stretch))(const int rows, const int vectors, const SCALAR *a, const SCALAR *b,
                          const SCALAR *bias, SCALAR *c, const fastconv_thin *p,
                          ptrdiff_t columns, SCALAR *sums)
{
    const ptrdiff_t wide = columns - columns % (vectors * LANES);

    for (ptrdiff_t step = 0; step < p->steps; step += p->depth) {
        const ptrdiff_t past = step + p->depth < p->steps ? step + p->depth : p->steps;
        /* The first part stands where the result does. */
        SCALAR *to = step ? sums : c;
        const ptrdiff_t row = step ? columns : p->c_row;
        ptrdiff_t l = step;

        for (; l + LEVEL_STEPS <= past; l += LEVEL_STEPS) {
            /* Sums of more rows would not stay in the registers. */
            const int most = REGISTERS == 32 || rows <= 4 ? rows : 4, rest = rows - most;
            const SCALAR *from = b + l * p->b_stride, *others = a + l + most * p->a_row;
            ISA(TYPED(level_steps))
            (most, vectors, LEVEL_STEPS, a + l, from, p, wide, l == step, to, row);
            if (rest)
                ISA(TYPED(level_steps))
                (rest, vectors, LEVEL_STEPS, others, from, p, wide, l == step, to + most * row, row);
            ISA(TYPED(level_steps))
            (rows, 1, LEVEL_STEPS, a + l, from + wide, p, columns - wide, l == step, to + wide, row);
        }
        for (; l < past; l++)
            ISA(TYPED(level_steps))
            (rows, 1, 1, a + l, b + l * p->b_stride, p, columns, l == step, to, row);
        for (int i = 0; i < rows && (step || (bias && past == p->steps)); i++)
            for (ptrdiff_t j = 0; j < columns; j += LANES) {
                VECTOR *target = (VECTOR *)(c + i * p->c_row + j);
                const VECTOR sum = step ? *target + *(VECTOR *)(sums + i * columns + j) : *target;
                *target = ISA(TYPED(finish))(sum, bias && past == p->steps ? bias + j : NULL);
            }
    }
}

/* `sums` has room for FASTCONV_THIN_SUMS bytes. */
static inline __attribute__((always_inline)) void
ISA(TYPED(level))(const int rows, const int vectors, const SCALAR *a, const SCALAR *b,
                  const SCALAR *bias, SCALAR *c, const fastconv_thin *p, SCALAR *sums)
{
    const ptrdiff_t longest = FASTCONV_THIN_SUMS / SCALAR_BYTES / rows / 64 * 64;
    const ptrdiff_t whole = p->columns - p->columns % LANES;

    for (ptrdiff_t j = 0; j < whole; j += longest)
        ISA(TYPED(level_stretch))
        (rows, vectors, a, b + j, bias ? bias + j : NULL, c + j, p,
         longest < whole - j ? longest : whole - j, sums);
    if (whole < p->columns) {
        /* The last vector ends with the last column; only what is missing is kept. */
        const ptrdiff_t last = p->columns - LANES;
        SCALAR copy[FASTCONV_THIN_ROWS][LANES];
        fastconv_thin q = *p;
        q.c_row = LANES;
        ISA(TYPED(level_stretch))
        (rows, 1, a, b + last, bias ? bias + last : NULL, copy[0], &q, LANES, sums);
        for (int i = 0; i < rows; i++)
            for (ptrdiff_t j = whole; j < p->columns; j++)
                c[i * p->c_row + j] = copy[i][j - last];
    }
}

/* Few steps: sums that are short, and written in the order of memory. */
static inline __attribute__((always_inline)) void
ISA(TYPED(outer))(const int steps, const SCALAR *a, const SCALAR *b, SCALAR *c, ptrdiff_t rows,
                  const fastconv_thin *p)
{
    /* Copies: for all the compiler knows, *p is written with C. */
    const ptrdiff_t columns = p->columns, stride = p->b_stride;

    for (ptrdiff_t i = 0; i < rows; i++, c += p->c_row) {
        VECTOR factors[FASTCONV_THIN_STEPS];
#pragma GCC unroll 8
        for (int l = 0; l < steps; l++)
            factors[l] = a[i * p->a_row + l * p->a_step] - (VECTOR){0};
        for (ptrdiff_t j = 0; j < columns; j += LANES) {
            if (j + LANES > columns)
                j = columns - LANES;
            VECTOR sum = {0};
#pragma GCC unroll 8
            for (int l = 0; l < steps; l++)
                sum += factors[l] * *(const VECTOR *)(b + l * stride + j);
            *(VECTOR *)(c + j) = sum;
        }
    }
}

#define THIN(ROWS, GROUPS, VECTORS)                                                                \
    static __attribute__((noinline)) void ISA(TYPED(turned_##ROWS))(                               \
        const SCALAR *a, const SCALAR *b, const SCALAR *bias, SCALAR *c, const fastconv_thin *p)   \
    {                                                                                              \
        ISA(TYPED(turned))(ROWS, GROUPS, a, b, bias, c, p);                                        \
    }                                                                                              \
    static __attribute__((noinline)) void ISA(TYPED(level_##ROWS))(                                \
        const SCALAR *a, const SCALAR *b, const SCALAR *bias, SCALAR *c, const fastconv_thin *p,   \
        SCALAR *sums)                                                                              \
    {                                                                                              \
        ISA(TYPED(level))(ROWS, VECTORS, a, b, bias, c, p, sums);                                  \
    }
#define OUTER(STEPS)                                                                               \
    static __attribute__((noinline)) void ISA(TYPED(outer_##STEPS))(                               \
        const SCALAR *a, const SCALAR *b, SCALAR *c, ptrdiff_t rows, const fastconv_thin *p)       \
    {                                                                                              \
        ISA(TYPED(outer))(STEPS, a, b, c, rows, p);                                                \
    }
/* Rows; groups and vectors, so many that no sum waits for itself, as far as the registers go. */
#if REGISTERS == 32 && SCALAR_BYTES == 4
#define EACH_THIN(X) \
    X(1, 2, 4) X(2, 2, 4) X(3, 2, 4) X(4, 1, 4) X(5, 1, 4) X(6, 1, 4) X(7, 1, 2) X(8, 1, 2)
#elif REGISTERS == 32
#define EACH_THIN(X) \
    X(1, 4, 4) X(2, 2, 4) X(3, 2, 4) X(4, 2, 4) X(5, 2, 4) X(6, 2, 4) X(7, 1, 2) X(8, 1, 2)
#elif SCALAR_BYTES == 4
#define EACH_THIN(X) \
    X(1, 4, 4) X(2, 2, 4) X(3, 2, 3) X(4, 2, 3) X(5, 1, 3) X(6, 1, 3) X(7, 1, 3) X(8, 1, 3)
#else
#define EACH_THIN(X) \
    X(1, 4, 4) X(2, 4, 4) X(3, 2, 3) X(4, 2, 3) X(5, 1, 3) X(6, 1, 3) X(7, 1, 3) X(8, 1, 3)
#endif
/* With AVX-512 and more steps the tiles, which share what they load among rows, are faster. The
 * portable set would gain, too: it is left out for the size of the wheel. */
#if VECTOR_BYTES == 32
#define MOST_STEPS 8
#define EACH_OUTER(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#else
#define MOST_STEPS 4
#define EACH_OUTER(X) X(1) X(2) X(3) X(4)
#endif
EACH_THIN(THIN)
EACH_OUTER(OUTER)

#define THIN_COLUMNS(ROWS, GROUPS, VECTORS) GROUPS *LANES,
#define THIN_TURNED(ROWS, GROUPS, VECTORS) ISA(TYPED(turned_##ROWS)),
#define THIN_LEVEL(ROWS, GROUPS, VECTORS) ISA(TYPED(level_##ROWS)),
#define THIN_OUTER(STEPS) ISA(TYPED(outer_##STEPS)),
static const TYPED(fastconv_thins) ISA(TYPED(thins)) = {
    .lanes = LANES,
    .steps = MOST_STEPS,
    .columns = {EACH_THIN(THIN_COLUMNS)},
    .pack_turned = ISA(TYPED(pack_turned)),
    .turned = {EACH_THIN(THIN_TURNED)},
    .level = {EACH_THIN(THIN_LEVEL)},
    .outer = {EACH_OUTER(THIN_OUTER)},
};

#undef LOW_1
#undef HIGH_1
#undef LOW_2
#undef HIGH_2
#undef PIECES
#undef LINE
#undef AHEAD
#undef FAR
#undef LEVEL_STEPS
#undef THIN
#undef OUTER
#undef EACH_THIN
#undef EACH_OUTER
#undef MOST_STEPS
#undef THIN_COLUMNS
#undef THIN_TURNED
#undef THIN_LEVEL
#undef THIN_OUTER
#include "base/vector_end.h"
