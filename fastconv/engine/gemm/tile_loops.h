/* The micro-kernel: a register tile, written once for every instruction set and scalar type, and
 * unrolled for every number of rows and vectors.
 *
 *     t[i][j] = sum over l < steps of a[i][a_at[l]] * b[b_at[l] + j]
 *
 * for i < rows and j < vectors * (numbers in a vector). A step multiplies one number of each row
 * of A, broadcast, with the same vectors of B; the sums stay in registers and are added in the
 * order of the steps. A packed operand is a list of offsets like any other: it costs the same.
 *
 * Then the tile leaves: what the target holds (where it accumulates), plus the sum, plus the bias,
 * and what ends it. The columns of a tile are those of its runs; other columns are dropped.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

/* The bytes by which packed operands are fetched ahead from the second-level cache. A's rows share
 * their cache lines, which pays where each step has one of its own. Small tiles have no load to
 * spare. */
#define B_AHEAD 1536
#define A_AHEAD 512
/* The most vectors of a tile's row where they are output channels. The tile should be nearly square:
 * the widest needs registers for as many rows as vectors. Only tiles of so many fetch rows of A. */
#define OUTPUT_VECTORS (REGISTERS == 32 ? FASTCONV_VECTORS : FASTCONV_VECTORS - 1)

/* A run of one row leaves. */
static inline __attribute__((always_inline)) void
ISA(TYPED(store_run))(const SCALAR *from, ptrdiff_t count, ptrdiff_t step, int accumulate,
                      const SCALAR *row_bias, const SCALAR *column_bias, SCALAR *c)
{
    for (ptrdiff_t j = 0; j < count; j++) {
        const SCALAR sum = accumulate ? c[j * step] + from[j] : from[j];
        c[j * step] = ISA(TYPED(finish_one))(ISA(TYPED(finish_one))(sum, row_bias),
                                             column_bias ? column_bias + j : NULL);
    }
}

/* The same of neighbours that are added to what is there, without a bias. The last vector, or half of
 * one, ends with the run: it is added up before what it shares with the others is stored. */
static inline __attribute__((always_inline)) void
ISA(TYPED(add_run))(const SCALAR *from, ptrdiff_t count, SCALAR *c)
{
    if (count >= LANES) {
        const ptrdiff_t end = count - LANES;
        const VECTOR last = *(const VECTOR *)(c + end) + *(const VECTOR *)(from + end);
        for (ptrdiff_t j = 0; j < end; j += LANES)
            *(VECTOR *)(c + j) = *(const VECTOR *)(c + j) + *(const VECTOR *)(from + j);
        *(VECTOR *)(c + end) = last;
    } else if (count >= LANES / 2) {
        const ptrdiff_t end = count - LANES / 2;
        const HALF last = *(const HALF *)(c + end) + *(const HALF *)(from + end);
        *(HALF *)c = *(const HALF *)c + *(const HALF *)from;
        *(HALF *)(c + end) = last;
    } else {
        for (ptrdiff_t j = 0; j < count; j++)
            c[j] = c[j] + from[j];
    }
}

/* Without a bias, to every other place, as the phases of an input gradient. What stands between them
 * is read, and written as it was: it is of another phase, and nobody's at that time. */
static inline __attribute__((always_inline)) void
ISA(TYPED(store_every_other))(const SCALAR *from, ptrdiff_t count, int accumulate, SCALAR *c)
{
    ptrdiff_t j = 0;

    for (; j + LANES < count; j += LANES) {
        VECTOR *to = (VECTOR *)(c + 2 * j);
        const VECTOR between = ODD(to[0], to[1]), there = EVEN(to[0], to[1]);
        VECTOR sum = *(const VECTOR *)(from + j);
        if (accumulate)
            sum = there + sum;
        to[0] = ZIP_LOW(sum, between);
        to[1] = ZIP_HIGH(sum, between);
    }
    ISA(TYPED(store_run))(from + j, count - j, 2, accumulate, NULL, NULL, c + 2 * j);
}

/* Let the columns of the runs leave, for a tile whose sums lie in memory, `width` to a row. */
static void ISA(TYPED(store))(int rows, const SCALAR *sums, ptrdiff_t width,
                              const fastconv_target *target)
{
    const SCALAR *biases = target->row_bias, *columns = target->column_bias;

    for (int i = 0; i < rows; i++, sums += width) {
        const SCALAR number = biases ? biases[i] : 0, *bias = biases ? &number : NULL;
        for (ptrdiff_t r = 0; r < target->n_runs; r++) {
            const fastconv_run run = target->runs[r];
            const SCALAR *from = sums + run.first, *along = columns ? columns + run.first : NULL;
            SCALAR *c = (SCALAR *)target->c + i * target->row + run.at;
            /* Rows that are neighbours would lie between, maybe another thread's. */
            if (run.step == 2 && target->row != 1 && !bias && !along)
                ISA(TYPED(store_every_other))(from, run.count, target->accumulate, c);
            else if (run.step != 1)
                ISA(TYPED(store_run))
                (from, run.count, run.step, target->accumulate, bias, along, c);
            else if (target->accumulate && !bias && !along)
                ISA(TYPED(add_run))(from, run.count, c);
            else if (target->accumulate)
                ISA(TYPED(store_run))(from, run.count, 1, 1, bias, along, c);
            else if (bias || along)
                ISA(TYPED(store_run))(from, run.count, 1, 0, bias, along, c);
            else
                ISA(TYPED(copy))(from, 1, run.count, c);
            if (target->ending)
                ISA(TYPED(end_rows))(c, 1, 0, run.count, run.step, target->ending);
        }
    }
}

/* A step of a tile. */
static inline __attribute__((always_inline)) void
ISA(TYPED(add_step))(const int rows, const int vectors, const SCALAR *const *a, ptrdiff_t at,
                     const SCALAR *b, VECTOR (*t)[FASTCONV_VECTORS])
{
    const VECTOR *row = (const VECTOR *)b;

    if (rows * vectors >= 16) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            __builtin_prefetch((const char *)(row + j) + B_AHEAD);
        if (rows * SCALAR_BYTES >= 64)
            __builtin_prefetch((const char *)(a[0] + at) + A_AHEAD);
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        const SCALAR factor = a[i][at];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            t[i][j] += factor * row[j];
    }
}

static inline __attribute__((always_inline)) void
ISA(TYPED(tile))(const int rows, const int vectors, const SCALAR *const *a, const ptrdiff_t *a_at,
                 const SCALAR *b, const ptrdiff_t *b_at, ptrdiff_t steps,
                 const fastconv_target *target)
{
    const fastconv_run *run = target->runs, *last = run + target->n_runs - 1;
    SCALAR *to = target->c;
    VECTOR t[FASTCONV_ROWS][FASTCONV_VECTORS];

    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < vectors; j++)
            __builtin_prefetch(to + i * target->row + run->at + j * LANES, 1);
        __builtin_prefetch(to + i * target->row + last->at, 1);
    }
    const fastconv_ending *ending = target->ending;
    /* The residual mostly comes from memory. */
    if (vectors > 1 && ending && ending->residual)
#pragma GCC unroll 1
        for (int i = 0; i < rows; i++) {
            const char *row = (const char *)(to + i * target->row + run->at) + ending->residual;
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                __builtin_prefetch(row + j * VECTOR_BYTES);
            __builtin_prefetch(row + vectors * VECTOR_BYTES - 1);
        }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            t[i][j] = (VECTOR){0};
    const ptrdiff_t a_ahead = target->a_ahead;
    ptrdiff_t fetched = ~a_at[0], l = 0;
    /* A loop of its own, in the tiles that are ever asked for it: a test in every step took all tiles
     * 4 % of their time. Once for each cache line, and so for all rows: all at once before the tile,
     * they would wait for each other. */
    if (vectors == OUTPUT_VECTORS && a_ahead)
        for (; l < steps; l++) {
            if ((a_at[l] ^ fetched) & -(64 / SCALAR_BYTES))
#pragma GCC unroll 1
                for (int i = 0; i < rows; i++)
                    __builtin_prefetch(a[i] + a_at[l] + a_ahead, 0, 2);
            fetched = a_at[l];
            ISA(TYPED(add_step))(rows, vectors, a, a_at[l], b + b_at[l], t);
        }
    for (; l < steps; l++)
        ISA(TYPED(add_step))(rows, vectors, a, a_at[l], b + b_at[l], t);
    if (target->n_runs == 1 && run->count == vectors * LANES && run->step == 1) {
        const SCALAR *biases = target->row_bias, *along = target->column_bias;
        /* In the registers where that is not much code: for the tiles of convolutions. */
        const int briefly = vectors == 3 && ending && ISA(TYPED(is_brief))(ending);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            VECTOR *c = (VECTOR *)(to + i * target->row + run->at);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) {
                VECTOR sum = t[i][j];
                if (target->accumulate)
                    sum = c[j] + sum;
                sum = ISA(TYPED(finish_row))(sum, biases ? biases + i : NULL);
                c[j] = briefly ? ISA(TYPED(end_vector))(sum, (SCALAR *)(c + j), ending) : sum;
            }
        }
        for (int i = 0; i < rows && along; i++) {
            VECTOR *c = (VECTOR *)(to + i * target->row + run->at);
            for (int j = 0; j < vectors; j++)
                c[j] = ISA(TYPED(finish))(c[j], along + j * LANES);
        }
        if (ending && !briefly)
            ISA(TYPED(end_rows))
            (to + run->at, rows, target->row, vectors * LANES, 1, ending);
        return;
    }
    SCALAR sums[FASTCONV_ROWS][FASTCONV_VECTORS * LANES];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            *(VECTOR *)&sums[i][j * LANES] = t[i][j];
    ISA(TYPED(store))(rows, &sums[0][0], FASTCONV_VECTORS * LANES, target);
}

/* Every size of tile is a function of its own. A tile may use about all the registers: its sums,
 * the vectors of a step, and a broadcast. */
#define TILE(ROWS, VECTORS, _)                                                                     \
    static __attribute__((noinline)) void ISA(TYPED(tile_##ROWS##x##VECTORS))(                     \
        const SCALAR *const *a, const ptrdiff_t *a_at, const SCALAR *b, const ptrdiff_t *b_at,     \
        ptrdiff_t steps, const fastconv_target *target)                                            \
    {                                                                                              \
        ISA(TYPED(tile))(ROWS, VECTORS, a, a_at, b, b_at, steps, target);                          \
    }
/* For each number of rows or pixels, up to the tallest tile: the same each time that this is read. */
#define EACH_OF_2(X, V, S) X(1, V, S) X(2, V, S)
#define EACH_OF_4(X, V, S) EACH_OF_2(X, V, S) X(3, V, S) X(4, V, S)
#define EACH_OF_6(X, V, S) EACH_OF_4(X, V, S) X(5, V, S) X(6, V, S)
#define EACH_OF_8(X, V, S) EACH_OF_6(X, V, S) X(7, V, S) X(8, V, S)
#define EACH_OF_10(X, V, S) EACH_OF_8(X, V, S) X(9, V, S) X(10, V, S)
#define EACH_OF_12(X, V, S) EACH_OF_10(X, V, S) X(11, V, S) X(12, V, S)
#define EACH_OF_14(X, V, S) EACH_OF_12(X, V, S) X(13, V, S) X(14, V, S)
#if REGISTERS == 32
#define EACH_ROWS_1 EACH_OF_12
#define EACH_ROWS_2 EACH_OF_12
#define EACH_ROWS_3 EACH_OF_8
#define EACH_ROWS_4 EACH_OF_6
#define EACH_DOTS EACH_OF_6
#define EACH_PIXELS_1 EACH_OF_14
#define EACH_PIXELS_2 EACH_OF_14
#define EACH_PIXELS_3 EACH_OF_8
#else
#define EACH_ROWS_1 EACH_OF_8
#define EACH_ROWS_2 EACH_OF_6
#define EACH_ROWS_3 EACH_OF_4
#define EACH_ROWS_4 EACH_OF_2
#define EACH_DOTS EACH_OF_2
#define EACH_PIXELS_1 EACH_OF_10
#define EACH_PIXELS_2 EACH_OF_6
#define EACH_PIXELS_3 EACH_OF_4
#endif
EACH_ROWS_1(TILE, 1, )
EACH_ROWS_2(TILE, 2, )
EACH_ROWS_3(TILE, 3, )
EACH_ROWS_4(TILE, 4, )

/* The tile with the roles changed: output channels in the lanes, pixels in the rows.
 *
 *     sums[i][j] (+)= start[i][j] + sum over l < steps of x[x_at[l] + i] * w[l][j]
 *
 * for i < pixels and j < vectors * LANES; no start is zeros. The pixels are neighbours, or a vector
 * apart, so that one address serves all of them, and the weights are packed: w, start and sums
 * have rows of vectors * LANES.
 *
 * A tile of one vector has a load for each multiplication, twice as many as the processor can do.
 * Where `span` steps in a row read neighbours, too (the taps of a row of the kernel), each number
 * that is loaded serves all of them. The order of the additions stays that of the steps.
 *
 * Winograd's products fetch the operands of the next point meanwhile. Of pixels a vector apart they
 * lie `x_ahead` and `w_ahead`, and step l fetches those of one pixel. Of neighbours these are where
 * two shares of them begin, of which each step fetches a cache line. */
static inline __attribute__((always_inline)) void
ISA(TYPED(pixels))(const int pixels, const int vectors, const int kind, const SCALAR *x,
                   const ptrdiff_t *x_at, const SCALAR *w, ptrdiff_t steps, const SCALAR *start,
                   SCALAR *sums, int accumulate, ptrdiff_t x_ahead, ptrdiff_t w_ahead)
{
    const int fetches = kind >= FASTCONV_APART, span = fetches ? 1 : 2 * kind + 1;
    const int apart = kind == FASTCONV_APART ? LANES : 1;
    const SCALAR *first = w;
    VECTOR t[FASTCONV_PIXELS][FASTCONV_PIXEL_VECTORS];

    if (start)
#pragma GCC unroll 16
        for (int i = 0; i < pixels; i++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                t[i][j] = *(const VECTOR *)(start + (i * vectors + j) * LANES);
    else
#pragma GCC unroll 16
        for (int i = 0; i < pixels; i++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                t[i][j] = (VECTOR){0};
    for (ptrdiff_t l = 0; l < steps; l += span, w += span * vectors * LANES) {
        const SCALAR *from = x + x_at[l];
        const VECTOR *row = (const VECTOR *)w;
        /* An address without an index, which would make two operations of each multiplication. */
        __asm__("" : "+r"(from));
        if (fetches && apart == 1) {
            __builtin_prefetch(x + x_ahead + l * (64 / SCALAR_BYTES));
            __builtin_prefetch(first + w_ahead + l * (64 / SCALAR_BYTES));
        } else if (fetches) {
            __builtin_prefetch(from + x_ahead + l % LANES * (LANES - 1));
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                __builtin_prefetch(w + w_ahead + j * LANES);
        }
#pragma GCC unroll 32
        for (int q = 0; q < pixels + span - 1; q++) {
            const SCALAR factor = from[q * apart];
#pragma GCC unroll 8
            for (int s = 0; s < span; s++)
                if (q >= s && q - s < pixels)
#pragma GCC unroll 4
                    for (int j = 0; j < vectors; j++)
                        t[q - s][j] += factor * row[s * vectors + j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            VECTOR *c = (VECTOR *)(sums + (i * vectors + j) * LANES);
            *c = accumulate ? *c + t[i][j] : t[i][j];
        }
}

#define PIXELS(COUNT, VECTORS, KIND)                                                               \
    static __attribute__((noinline)) void ISA(TYPED(pixels_##COUNT##x##VECTORS##k##KIND))(         \
        const SCALAR *x, const ptrdiff_t *x_at, const SCALAR *w, ptrdiff_t steps,                  \
        const SCALAR *start, SCALAR *sums, int accumulate, ptrdiff_t x_ahead, ptrdiff_t w_ahead)   \
    {                                                                                              \
        ISA(TYPED(pixels))                                                                         \
        (COUNT, VECTORS, KIND, x, x_at, w, steps, start, sums, accumulate, x_ahead, w_ahead);      \
    }
EACH_PIXELS_1(PIXELS, 1, 0)
EACH_PIXELS_2(PIXELS, 2, 0)
EACH_PIXELS_3(PIXELS, 3, 0)
EACH_PIXELS_1(PIXELS, 1, 1)
EACH_PIXELS_1(PIXELS, 1, 2)
EACH_PIXELS_1(PIXELS, 1, 3)
EACH_PIXELS_2(PIXELS, 2, 3)
EACH_PIXELS_1(PIXELS, 1, 4)
EACH_PIXELS_2(PIXELS, 2, 4)

/* Sums of products along the vectors, for outputs that are too few to fill them:
 *
 *     sums[(i * row + j) * LANES + lane] += sum over p of a[i][p] * b[j][p]
 *
 * for i < rows and j < FASTCONV_DOT_COLUMNS, where p runs over whole vectors. Each lane adds up its
 * share; the lanes of a sum are added at the very end. */
static inline __attribute__((always_inline)) void
ISA(TYPED(dot))(const int rows, const SCALAR *const *a, const SCALAR *const *b, ptrdiff_t vectors,
                SCALAR *sums, ptrdiff_t row)
{
    VECTOR t[FASTCONV_DOT_ROWS][FASTCONV_DOT_COLUMNS];

#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < FASTCONV_DOT_COLUMNS; j++)
            t[i][j] = *(const VECTOR *)(sums + (i * row + j) * LANES);
    for (ptrdiff_t p = 0; p < vectors * LANES; p += LANES) {
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const VECTOR factor = *(const VECTOR *)(a[i] + p);
#pragma GCC unroll 4
            for (int j = 0; j < FASTCONV_DOT_COLUMNS; j++)
                t[i][j] += factor * *(const VECTOR *)(b[j] + p);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < FASTCONV_DOT_COLUMNS; j++)
            *(VECTOR *)(sums + (i * row + j) * LANES) = t[i][j];
}

#define DOT(ROWS, _1, _2)                                                                          \
    static __attribute__((noinline)) void ISA(TYPED(dot_##ROWS))(                                  \
        const SCALAR *const *a, const SCALAR *const *b, ptrdiff_t vectors, SCALAR *sums,           \
        ptrdiff_t row)                                                                             \
    {                                                                                              \
        ISA(TYPED(dot))(ROWS, a, b, vectors, sums, row);                                           \
    }
EACH_DOTS(DOT, , )

#define SIZE(ROWS, VECTORS, _) ISA(TYPED(tile_##ROWS##x##VECTORS)),
#define DOT_SIZE(ROWS, _1, _2) ISA(TYPED(dot_##ROWS)),
#define PIXEL_SIZE(COUNT, VECTORS, KIND) ISA(TYPED(pixels_##COUNT##x##VECTORS##k##KIND)),
static const TYPED(fastconv_tiles) ISA(TYPED(tiles)) = {
#if REGISTERS == 32
    .sizes = {LANES, {12, 12, 8, 6}, OUTPUT_VECTORS, 6, {14, 14, 8}},
#else
    .sizes = {LANES, {8, 6, 4, 2}, OUTPUT_VECTORS, 2, {10, 6, 4}},
#endif
    .tiles = {{EACH_ROWS_1(SIZE, 1, )},
              {EACH_ROWS_2(SIZE, 2, )},
              {EACH_ROWS_3(SIZE, 3, )},
              {EACH_ROWS_4(SIZE, 4, )}},
    .dots = {EACH_DOTS(DOT_SIZE, , )},
    .pixels = {{{EACH_PIXELS_1(PIXEL_SIZE, 1, 0)},
                {EACH_PIXELS_2(PIXEL_SIZE, 2, 0)},
                {EACH_PIXELS_3(PIXEL_SIZE, 3, 0)}},
               {{EACH_PIXELS_1(PIXEL_SIZE, 1, 1)}},
               {{EACH_PIXELS_1(PIXEL_SIZE, 1, 2)}},
               {{EACH_PIXELS_1(PIXEL_SIZE, 1, 3)}, {EACH_PIXELS_2(PIXEL_SIZE, 2, 3)}},
               {{EACH_PIXELS_1(PIXEL_SIZE, 1, 4)}, {EACH_PIXELS_2(PIXEL_SIZE, 2, 4)}}},
};

#undef A_AHEAD
#undef B_AHEAD
#undef OUTPUT_VECTORS
#undef TILE
#undef SIZE
#undef DOT
#undef DOT_SIZE
#undef PIXELS
#undef PIXEL_SIZE
#undef EACH_ROWS_1
#undef EACH_ROWS_2
#undef EACH_ROWS_3
#undef EACH_ROWS_4
#undef EACH_DOTS
#undef EACH_PIXELS_1
#undef EACH_PIXELS_2
#undef EACH_PIXELS_3
#include "base/vector_end.h"
