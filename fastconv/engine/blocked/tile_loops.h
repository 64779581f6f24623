/* What all arrangements of few channels have in common: one register tile, and the transposition
 * that lays maps out as vectors and writes them back. The rooms' docstring draws the layouts.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

/* The groups whose numbers one load of eight bytes can repeat in all lanes. */
#define TURNS (8 / SCALAR_BYTES)
#if TURNS > 1
typedef long long ISA(pairs) __attribute__((vector_size(VECTOR_BYTES)));
typedef long long ISA(pair) __attribute__((may_alias, aligned(SCALAR_BYTES)));
#endif

/* target[at[j] + lane] = rows[lane][j] for j < count; a row that is NULL gives zeros.
 *
 * The last block of columns is moved back, and partly comes again. */
static void ISA(TYPED(gather))(SCALAR *target, const SCALAR *const *rows, ptrdiff_t count,
                               const ptrdiff_t *at)
{
    SCALAR few[LANES][LANES];
    VECTOR block[LANES];

    if (count < LANES) {
        for (ptrdiff_t q = 0; q < LANES; q++)
            if (rows[q])
                ISA(TYPED(copy))(rows[q], 1, count, few[q]);
            else
                *(VECTOR *)few[q] = (VECTOR){0};
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            block[q] = *(const VECTOR *)few[q];
        ISA(TYPED(turn))(block);
        for (ptrdiff_t q = 0; q < LANES; q++)
            *(VECTOR *)few[q] = block[q];
        for (ptrdiff_t j = 0; j < count; j++)
            *(VECTOR *)(target + at[j]) = *(const VECTOR *)few[j];
        return;
    }
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const ptrdiff_t first = i + LANES <= count ? i : count - LANES;
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            block[q] = rows[q] ? *(const VECTOR *)(rows[q] + first) : (VECTOR){0};
        ISA(TYPED(turn))(block);
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            *(VECTOR *)(target + at[first + q]) = block[q];
    }
}

/* rows[lane][j] = source[j * LANES + lane] (+ bias[lane]) for j < count, and what ends them; rows,
 * bias and that may be NULL. */
static void ISA(TYPED(scatter))(const SCALAR *source, ptrdiff_t count, const SCALAR *bias,
                                const fastconv_ending *ending, SCALAR *const *rows)
{
    SCALAR few[LANES][LANES];
    VECTOR block[LANES];

    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const ptrdiff_t number = count < LANES ? count : LANES;
        const ptrdiff_t first = i + number <= count ? i : count - number;
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++) {
            const SCALAR *from = source + (first + (q < number ? q : 0)) * LANES;
            block[q] = ISA(TYPED(finish))(*(const VECTOR *)from, bias);
        }
        ISA(TYPED(turn))(block);
        if (number == LANES) {
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                if (rows[q])
                    *(VECTOR *)(rows[q] + first) = block[q];
            continue;
        }
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            *(VECTOR *)few[q] = block[q];
        for (ptrdiff_t q = 0; q < LANES; q++)
            if (rows[q])
                ISA(TYPED(copy))(few[q], 1, number, rows[q]);
    }
    for (ptrdiff_t q = 0; ending && q < LANES; q++)
        if (rows[q])
            ISA(TYPED(end_rows))(rows[q], 1, 0, count, 1, ending);
}

/* target[j] = the sum of the lanes of vector j, for j < count, a multiple of LANES: half of the
 * lanes at a time, by the shuffles of `turn`. */
static void ISA(TYPED(add_lanes))(const SCALAR *sums, ptrdiff_t count, SCALAR *target)
{
    VECTOR block[LANES];

    for (ptrdiff_t j = 0; j < count; j += LANES) {
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            block[q] = *(const VECTOR *)(sums + (j + q) * LANES);
#pragma GCC unroll 4
        for (ptrdiff_t half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
            for (ptrdiff_t q = 0; q < half; q++)
                block[q] = ZIP_LOW(block[q], block[q + half])
                           + ZIP_HIGH(block[q], block[q + half]);
        *(VECTOR *)(target + j) = block[0];
    }
}

#define SUMS(kind) ((kind) != FASTCONV_SAMPLES && (kind) != FASTCONV_GROUPS)
#define LISTED(kind) ((kind) == FASTCONV_CHANNELS || (kind) == FASTCONV_PAIRS)
#define PAIRED(kind) ((kind) == FASTCONV_PAIRS || (kind) == FASTCONV_PAIR_SUMS)

/* A vector of what lies at `a`: one number in all lanes, those of two groups by turns, or a vector.
 * To subtract nothing is how a number becomes a vector: it costs nothing, and keeps -0. */
static inline __attribute__((always_inline)) VECTOR
ISA(TYPED(factor))(const int kind, const SCALAR *a)
{
    if (kind == FASTCONV_GROUPS || kind == FASTCONV_LANE_SUMS)
        return *(const VECTOR *)a;
#if TURNS > 1
    if (PAIRED(kind))
        return (VECTOR)((ISA(pairs)){0} + *(const ISA(pair) *)a);
#endif
    return *a - (VECTOR){0};
}

/* One step of a tile: sum[i][j] += A(i) * B(j).
 *
 * A's rows are reached from two addresses by two distances, as general registers are few: `a4` is
 * that of row 4, `hop` and `hop3` are one row and three, in bytes. In the order of the loops what is
 * read is used at once: LANE_SUMS holds few rows of A, the others few columns of B. */
static inline __attribute__((always_inline)) void
ISA(TYPED(step))(const int kind, const int rows, const int columns, const SCALAR *a,
                 const SCALAR *a4, ptrdiff_t hop, ptrdiff_t hop3, const SCALAR *b,
                 ptrdiff_t b_column, const ptrdiff_t *b_at,
                 VECTOR sum[FASTCONV_TILE_ROWS][FASTCONV_TILE_COLUMNS])
{
    VECTOR few[FASTCONV_TILE_COLUMNS];

    if (kind == FASTCONV_LANE_SUMS) {
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
            few[i] = *(const VECTOR *)((const char *)a + (i == 3 ? hop3 : i * hop));
#pragma GCC unroll 9
        for (int j = 0; j < columns; j++) {
            const VECTOR column = *(const VECTOR *)(b + b_at[j]);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++)
                sum[i][j] += few[i] * column;
        }
        return;
    }
#pragma GCC unroll 9
    for (int j = 0; j < columns; j++)
        few[j] = *(const VECTOR *)(b + j * b_column);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
        const SCALAR *from = a + i * (LISTED(kind) ? LANES : PAIRED(kind) ? TURNS : 1);
        if (kind == FASTCONV_SAMPLES || kind == FASTCONV_GROUPS)
            from = (const SCALAR *)((const char *)(i < 4 ? a : a4)
                                    + (i % 4 == 3 ? hop3 : i % 4 * hop));
#pragma GCC unroll 9
        for (int j = 0; j < columns; j++)
            sum[i][j] += ISA(TYPED(factor))(kind, from) * few[j];
    }
}

/* A register tile:
 *
 *     out[i * out_row + j * out_column] (+)= sum over the steps of A(i) * B(j)
 *
 * in the order of the three loops. B(j) and the sums are vectors; tile_steps.h says what A and B
 * are. */
static inline __attribute__((always_inline)) void
ISA(TYPED(tile))(const int kind, const int rows, const int columns, const SCALAR *first_a,
                 const SCALAR *first_b, const fastconv_steps *steps, SCALAR *out)
{
    VECTOR sum[FASTCONV_TILE_ROWS][FASTCONV_TILE_COLUMNS];
    ptrdiff_t b_at[FASTCONV_TILE_COLUMNS];
    const ptrdiff_t a_hop = SUMS(kind) ? LANES : steps->a_hop[2], b_hop = steps->b_hop[2];
    const ptrdiff_t b_column = SUMS(kind) ? LANES : steps->b_column;
    const ptrdiff_t out_row = steps->out_row;
    const ptrdiff_t out_column = kind == FASTCONV_LANE_SUMS ? LANES : steps->out_column;
    const ptrdiff_t hop = steps->a_row * SCALAR_BYTES, hop3 = 3 * hop;

    if (kind == FASTCONV_LANE_SUMS) {
#pragma GCC unroll 9
        for (int j = 0; j < columns; j++)
            b_at[j] = steps->b_at[j];
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 9
        for (int j = 0; j < columns; j++)
            sum[i][j] = (VECTOR){0};
    if (SUMS(kind) && !steps->first) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 9
            for (int j = 0; j < columns; j++)
                sum[i][j] = *(const VECTOR *)(out + i * out_row + j * out_column);
    }
    if (LISTED(kind)) {
        const ptrdiff_t *inner = steps->inner_at, *past = inner + steps->count[2];
        for (ptrdiff_t c = 0; c < steps->count[0]; c++) {
            const SCALAR *a = first_a + steps->outer_at[c], *b = first_b + c * steps->b_hop[0];
            ptrdiff_t next = *inner;
            for (const ptrdiff_t *at = inner; at < past; b += b_hop) {
                const SCALAR *from = a + next;
                /* The next address, ahead of the products that wait for it. */
                next = *++at;
                /* No index: load and product stay one operation. */
                __asm__("" : "+r"(from));
                ISA(TYPED(step))(kind, rows, columns, from, NULL, 0, 0, b, b_column, NULL, sum);
            }
        }
    } else {
        for (ptrdiff_t c = 0; c < (SUMS(kind) ? 1 : steps->count[0]); c++)
            for (ptrdiff_t r = 0; r < steps->count[1]; r++) {
                const SCALAR *a = first_a + c * steps->a_hop[0] + r * steps->a_hop[1];
                const SCALAR *b = first_b + c * steps->b_hop[0] + r * steps->b_hop[1];
                const SCALAR *a4 = a + 4 * steps->a_row;
                for (ptrdiff_t s = steps->count[2]; s > 0;
                     s--, a += a_hop, a4 += a_hop, b += b_hop)
                    ISA(TYPED(step))(kind, rows, columns, a, a4, hop, hop3, b, b_column, b_at, sum);
            }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 9
        for (int j = 0; j < columns; j++)
            *(VECTOR *)(out + i * out_row + j * out_column) = sum[i][j];
}

/* Every tile that fits into the registers, X(kind, rows, columns). */
#define ROWS_4(X, K, J) X(K, 1, J) X(K, 2, J) X(K, 3, J) X(K, 4, J)
#define ROWS_6(X, K, J) ROWS_4(X, K, J) X(K, 5, J) X(K, 6, J)
#define ROWS_8(X, K, J) ROWS_6(X, K, J) X(K, 7, J) X(K, 8, J)
#define ROWS_10(X, K, J) ROWS_8(X, K, J) X(K, 9, J) X(K, 10, J)
#define ROWS_14(X, K, J) ROWS_10(X, K, J) X(K, 11, J) X(K, 12, J) X(K, 13, J) X(K, 14, J)
#define COLUMNS_6(X, K, I) X(K, I, 1) X(K, I, 2) X(K, I, 3) X(K, I, 4) X(K, I, 5) X(K, I, 6)
#define COLUMNS_9(X, K, I) COLUMNS_6(X, K, I) X(K, I, 7) X(K, I, 8) X(K, I, 9)
#if REGISTERS == 32
#define EACH_SAMPLES(X)                                                                            \
    ROWS_8(X, SAMPLES, 1) ROWS_8(X, SAMPLES, 2) ROWS_8(X, SAMPLES, 3) ROWS_6(X, SAMPLES, 4)
#define EACH_LANE_SUMS(X)                                                                          \
    COLUMNS_9(X, LANE_SUMS, 1) COLUMNS_9(X, LANE_SUMS, 2) COLUMNS_9(X, LANE_SUMS, 3)               \
    COLUMNS_6(X, LANE_SUMS, 4)
#define EACH_CHANNELS(X, K) ROWS_14(X, K, 1) ROWS_14(X, K, 2)
#else
#define EACH_SAMPLES(X) ROWS_4(X, SAMPLES, 1) ROWS_4(X, SAMPLES, 2) ROWS_4(X, SAMPLES, 3)
#define EACH_LANE_SUMS(X) COLUMNS_9(X, LANE_SUMS, 1) COLUMNS_6(X, LANE_SUMS, 2)
#define EACH_CHANNELS(X, K) ROWS_10(X, K, 1) ROWS_6(X, K, 2)
#endif
#define EACH_GROUPS(X) COLUMNS_6(X, GROUPS, 1) X(GROUPS, 1, 7) X(GROUPS, 1, 8)
#if TURNS > 1
#define EACH_PAIRS(X) EACH_CHANNELS(X, PAIRS) EACH_CHANNELS(X, PAIR_SUMS)
#else
#define EACH_PAIRS(X)
#endif
#define EACH_TILE(X)                                                                               \
    EACH_SAMPLES(X) EACH_GROUPS(X) EACH_LANE_SUMS(X) EACH_CHANNELS(X, CHANNELS)                    \
    EACH_CHANNELS(X, CHANNEL_SUMS) EACH_PAIRS(X)

#define TILE(KIND, ROWS, COLUMNS)                                                                  \
    static __attribute__((noinline)) void ISA(TYPED(tile_##KIND##_##ROWS##x##COLUMNS))(            \
        const SCALAR *a, const SCALAR *b, const fastconv_steps *steps, SCALAR *out)                \
    {                                                                                              \
        ISA(TYPED(tile))(FASTCONV_##KIND, ROWS, COLUMNS, a, b, steps, out);                        \
    }
EACH_TILE(TILE)

#define PLACE(KIND, ROWS, COLUMNS)                                                                 \
    [FASTCONV_##KIND][COLUMNS - 1][ROWS - 1] = ISA(TYPED(tile_##KIND##_##ROWS##x##COLUMNS)),
static const TYPED(fastconv_blocked) ISA(TYPED(blocked)) = {
    .lanes = LANES,
    .tiles = {EACH_TILE(PLACE)},
    .gather = ISA(TYPED(gather)),
    .scatter = ISA(TYPED(scatter)),
    .add_lanes = ISA(TYPED(add_lanes)),
};

#undef TURNS
#undef SUMS
#undef LISTED
#undef PAIRED
#undef ROWS_4
#undef ROWS_6
#undef ROWS_8
#undef ROWS_10
#undef ROWS_14
#undef COLUMNS_6
#undef COLUMNS_9
#undef EACH_SAMPLES
#undef EACH_LANE_SUMS
#undef EACH_CHANNELS
#undef EACH_GROUPS
#undef EACH_PAIRS
#undef EACH_TILE
#undef TILE
#undef PLACE
#include "base/vector_end.h"
