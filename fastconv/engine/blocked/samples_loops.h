/* Convolution with samples in the lanes: a pixel is a vector, of one number of each sample; or with
 * channels in the lanes, which have weights of their own each: the weights are vectors, too.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

/* target[at[j] + lane] = rows[lane][j] for j < count; a row that is NULL gives zeros.
 *
 * The last block of columns is moved back, and partly comes again. */
static void ISA(TYPED(gather))(const SCALAR *const *rows, ptrdiff_t count, const ptrdiff_t *at,
                               SCALAR *target)
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

/* rows[lane][j] = source[j * LANES + lane] (+ bias[lane]) for j < count; rows and bias may be
 * NULL. */
static void ISA(TYPED(scatter))(const SCALAR *source, ptrdiff_t count, const SCALAR *bias,
                                SCALAR *const *rows)
{
    SCALAR few[LANES][LANES];
    VECTOR block[LANES];

    for (ptrdiff_t i = 0; i < count; i += LANES) {
        const ptrdiff_t number = count < LANES ? count : LANES;
        const ptrdiff_t first = i + number <= count ? i : count - number;
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++) {
            block[q] = *(const VECTOR *)(source + (first + (q < number ? q : 0)) * LANES);
            if (bias)
                block[q] += *(const VECTOR *)bias;
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
}

/* A tile of some output channels and neighbouring pixels:
 *
 *     out[i * out_row + j * out_pixel] = sum over c, r, s of
 *         w[c * w_hop[0] + r * w_hop[1] + s * w_hop[2] + i * w_row] *
 *         x[c * x_hop[0] + r * x_hop[1] + s * x_hop[2] + j * x_pixel]
 *
 * in the order of the loops; x and out are vectors, and so is w if `across`. */
static inline __attribute__((always_inline)) void
ISA(TYPED(sample_tile))(const int rows, const int pixels, const int across,
                        const SCALAR *first_w, const SCALAR *first_x,
                        const fastconv_sample_loops *loops, SCALAR *out)
{
    VECTOR t[FASTCONV_SAMPLE_ROWS][FASTCONV_LANE_PIXELS];
    const ptrdiff_t x_pixel = loops->x_pixel, w_hop = loops->w_hop[2], x_hop = loops->x_hop[2];
    /* Two addresses and two distances for eight rows: general registers are few. */
    const ptrdiff_t hop = loops->w_row * SCALAR_BYTES, hop3 = 3 * hop;

#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < pixels; j++)
            t[i][j] = (VECTOR){0};
    for (ptrdiff_t c = 0; c < loops->count[0]; c++)
        for (ptrdiff_t r = 0; r < loops->count[1]; r++) {
            const SCALAR *x = first_x + c * loops->x_hop[0] + r * loops->x_hop[1];
            const SCALAR *w = first_w + c * loops->w_hop[0] + r * loops->w_hop[1];
            const SCALAR *w4 = w + 4 * loops->w_row;
            for (ptrdiff_t s = loops->count[2]; s > 0; s--, x += x_hop, w += w_hop, w4 += w_hop) {
                VECTOR row[FASTCONV_LANE_PIXELS];
#pragma GCC unroll 8
                for (int j = 0; j < pixels; j++)
                    row[j] = *(const VECTOR *)(x + j * x_pixel);
#pragma GCC unroll 8
                for (int i = 0; i < rows; i++) {
                    const char *at = (const char *)(i < 4 ? w : w4);
                    const SCALAR *factor =
                        (const SCALAR *)(at + (i % 4 == 3 ? hop3 : i % 4 * hop));
#pragma GCC unroll 8
                    for (int j = 0; j < pixels; j++)
                        if (across)
                            t[i][j] += *(const VECTOR *)factor * row[j];
                        else
                            t[i][j] += *factor * row[j];
                }
            }
        }
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 8
        for (int j = 0; j < pixels; j++)
            *(VECTOR *)(out + i * loops->out_row + j * loops->out_pixel) = t[i][j];
}

#define TILE(ROWS, PIXELS)                                                                         \
    static __attribute__((noinline)) void ISA(TYPED(sample_tile_##ROWS##x##PIXELS))(               \
        const SCALAR *w, const SCALAR *x, const fastconv_sample_loops *loops, SCALAR *out)         \
    {                                                                                              \
        ISA(TYPED(sample_tile))(ROWS, PIXELS, 0, w, x, loops, out);                                \
    }

/* Likewise with channels in the lanes: one output channel of each. */
#define LANE_TILE(PIXELS)                                                                          \
    static __attribute__((noinline)) void ISA(TYPED(lane_tile_##PIXELS))(                          \
        const SCALAR *w, const SCALAR *x, const fastconv_sample_loops *loops, SCALAR *out)         \
    {                                                                                              \
        ISA(TYPED(sample_tile))(1, PIXELS, 1, w, x, loops, out);                                   \
    }

/* Sums of the weight gradient, one vector for each output channel and step:
 *
 *     sums[i * sums_row + j * LANES] += sum over m < lines, p < pixels of
 *         dy[i * dy_row + m * dy_line + p * LANES] * x[at[j] + m * x_line + p * x_pixel]
 *
 * or = for the first of them. */
static inline __attribute__((always_inline)) void
ISA(TYPED(sample_sums))(const int rows, const int steps, const SCALAR *dy, const SCALAR *x,
                        const ptrdiff_t *at, const fastconv_sample_lines *lines, SCALAR *sums)
{
    VECTOR t[FASTCONV_SUM_ROWS][FASTCONV_SUM_STEPS];
    ptrdiff_t offset[FASTCONV_SUM_STEPS];
    const ptrdiff_t x_pixel = lines->x_pixel;
    /* One address and two distances for four rows: general registers are few. */
    const ptrdiff_t hop = lines->dy_row * SCALAR_BYTES, hop3 = 3 * hop;

#pragma GCC unroll 9
    for (int j = 0; j < steps; j++)
        offset[j] = at[j];
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 9
        for (int j = 0; j < steps; j++)
            t[i][j] = (VECTOR){0};
    if (!lines->first) {
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 9
            for (int j = 0; j < steps; j++)
                t[i][j] = *(const VECTOR *)(sums + i * lines->sums_row + j * LANES);
    }
    for (ptrdiff_t m = 0; m < lines->lines; m++) {
        const SCALAR *y = dy + m * lines->dy_line, *from = x + m * lines->x_line;
        for (ptrdiff_t p = lines->pixels; p > 0; p--, y += LANES, from += x_pixel) {
            VECTOR factor[FASTCONV_SUM_ROWS];
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++)
                factor[i] = *(const VECTOR *)((const char *)y + (i == 3 ? hop3 : i * hop));
#pragma GCC unroll 9
            for (int j = 0; j < steps; j++) {
                const VECTOR column = *(const VECTOR *)(from + offset[j]);
#pragma GCC unroll 4
                for (int i = 0; i < rows; i++)
                    t[i][j] += factor[i] * column;
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 9
        for (int j = 0; j < steps; j++)
            *(VECTOR *)(sums + i * lines->sums_row + j * LANES) = t[i][j];
}

#define SUMS(ROWS, STEPS)                                                                          \
    static __attribute__((noinline)) void ISA(TYPED(sample_sums_##ROWS##x##STEPS))(                \
        const SCALAR *dy, const SCALAR *x, const ptrdiff_t *at,                                    \
        const fastconv_sample_lines *lines, SCALAR *sums)                                          \
    {                                                                                              \
        ISA(TYPED(sample_sums))(ROWS, STEPS, dy, x, at, lines, sums);                              \
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

#define EACH_ROWS_4(X, PIXELS) X(1, PIXELS) X(2, PIXELS) X(3, PIXELS) X(4, PIXELS)
#define EACH_ROWS_6(X, PIXELS) EACH_ROWS_4(X, PIXELS) X(5, PIXELS) X(6, PIXELS)
#define EACH_ROWS_8(X, PIXELS) EACH_ROWS_6(X, PIXELS) X(7, PIXELS) X(8, PIXELS)
#define EACH_PIXELS(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#define EACH_STEPS_6(X, ROWS)                                                                      \
    X(ROWS, 1) X(ROWS, 2) X(ROWS, 3) X(ROWS, 4) X(ROWS, 5) X(ROWS, 6)
#define EACH_STEPS_9(X, ROWS) EACH_STEPS_6(X, ROWS) X(ROWS, 7) X(ROWS, 8) X(ROWS, 9)
#if REGISTERS == 32
EACH_ROWS_8(TILE, 1) EACH_ROWS_8(TILE, 2) EACH_ROWS_8(TILE, 3) EACH_ROWS_6(TILE, 4)
EACH_STEPS_9(SUMS, 1) EACH_STEPS_9(SUMS, 2) EACH_STEPS_9(SUMS, 3) EACH_STEPS_6(SUMS, 4)
#else
EACH_ROWS_4(TILE, 1) EACH_ROWS_4(TILE, 2) EACH_ROWS_4(TILE, 3)
EACH_STEPS_9(SUMS, 1) EACH_STEPS_6(SUMS, 2)
#endif
EACH_PIXELS(LANE_TILE)

#define TILE_NAME(ROWS, PIXELS) ISA(TYPED(sample_tile_##ROWS##x##PIXELS)),
#define LANE_TILE_NAME(PIXELS) ISA(TYPED(lane_tile_##PIXELS)),
#define SUMS_NAME(ROWS, STEPS) ISA(TYPED(sample_sums_##ROWS##x##STEPS)),
static const TYPED(fastconv_samples) ISA(TYPED(samples)) = {
    .lanes = LANES,
#if REGISTERS == 32
    .rows = 8,
    .pixels = {4, 4, 4, 4, 4, 4, 3, 3},
    .tiles = {{EACH_ROWS_8(TILE_NAME, 1)}, {EACH_ROWS_8(TILE_NAME, 2)},
              {EACH_ROWS_8(TILE_NAME, 3)}, {EACH_ROWS_6(TILE_NAME, 4)}},
    .sum_rows = 4,
    .sum_steps = {9, 9, 9, 6},
    .sums = {{EACH_STEPS_9(SUMS_NAME, 1)}, {EACH_STEPS_9(SUMS_NAME, 2)},
             {EACH_STEPS_9(SUMS_NAME, 3)}, {EACH_STEPS_6(SUMS_NAME, 4)}},
#else
    .rows = 4,
    .pixels = {3, 3, 3, 3},
    .tiles = {{EACH_ROWS_4(TILE_NAME, 1)}, {EACH_ROWS_4(TILE_NAME, 2)},
              {EACH_ROWS_4(TILE_NAME, 3)}},
    .sum_rows = 2,
    .sum_steps = {9, 6},
    .sums = {{EACH_STEPS_9(SUMS_NAME, 1)}, {EACH_STEPS_6(SUMS_NAME, 2)}},
#endif
    .lane_tiles = {EACH_PIXELS(LANE_TILE_NAME)},
    .gather = ISA(TYPED(gather)),
    .scatter = ISA(TYPED(scatter)),
    .add_lanes = ISA(TYPED(add_lanes)),
};

#undef TILE
#undef TILE_NAME
#undef LANE_TILE
#undef LANE_TILE_NAME
#undef SUMS
#undef SUMS_NAME
#undef EACH_ROWS_4
#undef EACH_ROWS_6
#undef EACH_ROWS_8
#undef EACH_PIXELS
#undef EACH_STEPS_6
#undef EACH_STEPS_9
#include "base/vector_end.h"
