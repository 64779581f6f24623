/* The loops of Winograd's convolution. A vector holds the channels of one pixel, so that any tile
 * of a map, wherever it lies, is a square of vectors.
 *
 * Expects what regions.h defines. */

#include "vector.h"
#include "winograd_points.h"

/* LANES neighbouring pixels of `channels` maps, as vectors. What lies `ahead` is wanted next: the
 * many short rows are more than the hardware foresees. */
static inline __attribute__((always_inline)) void
ISA(TYPED(load_block))(const SCALAR *source, ptrdiff_t channel_step, ptrdiff_t channels,
                       ptrdiff_t ahead, VECTOR block[LANES])
{
#pragma GCC unroll 16
    for (ptrdiff_t q = 0; q < LANES; q++)
        __builtin_prefetch(source + q * channel_step + ahead);
#pragma GCC unroll 16
    for (ptrdiff_t q = 0; q < LANES; q++)
        block[q] = q < channels ? *(const VECTOR *)(source + q * channel_step) : (VECTOR){0};
    ISA(TYPED(turn))(block);
}

/* Rows of pixels from `channels` maps into target[row * pitch + column], in vectors. Channels that
 * there are not are zeros. */
static inline __attribute__((always_inline)) void
ISA(TYPED(stage_channels))(const SCALAR *source, ptrdiff_t channel_step, ptrdiff_t channels,
                           ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t rows,
                           ptrdiff_t columns, SCALAR *target, ptrdiff_t pitch)
{
    /* Rows that follow each other in memory are one long row, whose pixels go to several. */
    const ptrdiff_t runs = row_step == columns && column_step == 1 ? 1 : rows;
    const ptrdiff_t count = rows / runs * columns;

    for (ptrdiff_t run = 0; run < runs; run++, source += row_step, target += pitch * LANES) {
        SCALAR *to = target;
        ptrdiff_t column = 0, p = 0;
        if (column_step == 1)
            for (; p + LANES <= count; p += LANES) {
                VECTOR block[LANES];
                ISA(TYPED(load_block))(source + p, channel_step, channels, LANES * channel_step,
                                       block);
                if (column + LANES < columns) {
#pragma GCC unroll 16
                    for (ptrdiff_t q = 0; q < LANES; q++)
                        *(VECTOR *)(to + q * LANES) = block[q];
                    to += LANES * LANES;
                    column += LANES;
                    continue;
                }
#pragma GCC unroll 16
                for (ptrdiff_t q = 0; q < LANES; q++) {
                    *(VECTOR *)to = block[q];
                    to += LANES;
                    if (++column == columns) {
                        column = 0;
                        to += (pitch - columns) * LANES;
                    }
                }
            }
        for (; p < count; p++) {
            const SCALAR *from = source + p * column_step;
            for (ptrdiff_t q = 0; q < LANES; q++)
                to[q] = q < channels ? from[q * channel_step] : 0;
            to += LANES;
            if (++column == columns) {
                column = 0;
                to += (pitch - columns) * LANES;
            }
        }
    }
}

static void ISA(TYPED(stage))(const SCALAR *source, ptrdiff_t channel_step, ptrdiff_t channels,
                              ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t rows,
                              ptrdiff_t columns, SCALAR *target, ptrdiff_t pitch)
{
    if (channels == LANES)
        ISA(TYPED(stage_channels))(source, channel_step, LANES, row_step, column_step, rows,
                                   columns, target, pitch);
    else
        ISA(TYPED(stage_channels))(source, channel_step, channels, row_step, column_step, rows,
                                   columns, target, pitch);
}

/* Both sides of all tiles of `size` pixels, 4 pixels apart, to v[point * point_step + tile *
 * tile_step]. The places of the tile after the next are fetched meanwhile. */
#define TILES(name, size, matrix)                                                                  \
    static void ISA(TYPED(name))(const SCALAR *stage, ptrdiff_t pitch, ptrdiff_t rows,             \
                                 ptrdiff_t columns, SCALAR *v, ptrdiff_t tile_step,                \
                                 ptrdiff_t point_step)                                             \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < rows; i++, stage += 4 * pitch * LANES)                           \
            for (ptrdiff_t j = 0; j < columns; j++, v += tile_step) {                              \
                const VECTOR *tile = (const VECTOR *)(stage + 4 * j * LANES);                      \
                VECTOR half[6][size], row[6];                                                      \
                _Pragma("GCC unroll 6") for (int s = 0; s < size; s++)                             \
                    ISA(TYPED(matrix))(tile + s, pitch, &half[0][s], size);                        \
                _Pragma("GCC unroll 6") for (int r = 0; r < 6; r++)                                \
                {                                                                                  \
                    ISA(TYPED(matrix))(half[r], 1, row, 1);                                        \
                    _Pragma("GCC unroll 6") for (int s = 0; s < 6; s++)                            \
                    {                                                                              \
                        __builtin_prefetch(v + 2 * tile_step + (6 * r + s) * point_step, 1);       \
                        *(VECTOR *)(v + (6 * r + s) * point_step) = row[s];                        \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
    }
TILES(input_tiles, 6, input_points)
TILES(residual_tiles, 4, residual_points)

/* The tiles' outputs, 4 pixels apart, into `height` x `width` pixels of the stage: what lies beyond
 * them is dropped. The inverse of the above, from m[point * point_step + tile * tile_step]. */
static void ISA(TYPED(output_tiles))(const SCALAR *m, ptrdiff_t tile_step, ptrdiff_t point_step,
                                     const SCALAR *bias, SCALAR *stage, ptrdiff_t rows,
                                     ptrdiff_t columns, ptrdiff_t height, ptrdiff_t width)
{
    const VECTOR shift = *(const VECTOR *)bias;
    const ptrdiff_t step = point_step / LANES;

    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++, m += tile_step) {
            VECTOR half[4][6], y[4][4];
            VECTOR *to = (VECTOR *)stage + 4 * (i * width + j);
#pragma GCC unroll 6
            for (int s = 0; s < 6; s++)
                ISA(TYPED(points_output))((const VECTOR *)m + s * step, 6 * step, &half[0][s], 6);
#pragma GCC unroll 4
            for (int r = 0; r < 4; r++) {
                ISA(TYPED(points_output))(half[r], 1, y[r], 1);
#pragma GCC unroll 4
                for (int s = 0; s < 4; s++)
                    y[r][s] += shift;
            }
            if (4 * i + 4 <= height && 4 * j + 4 <= width) {
#pragma GCC unroll 4
                for (int r = 0; r < 4; r++)
#pragma GCC unroll 4
                    for (int s = 0; s < 4; s++)
                        to[r * width + s] = y[r][s];
            } else {
                for (ptrdiff_t r = 0; r < 4 && 4 * i + r < height; r++)
                    for (ptrdiff_t s = 0; s < 4 && 4 * j + s < width; s++)
                        to[r * width + s] = y[r][s];
            }
        }
}

/* The pixels of a stage to rows of `channels` maps. */
static inline __attribute__((always_inline)) void
ISA(TYPED(unstage_channels))(const SCALAR *stage, ptrdiff_t rows, ptrdiff_t columns,
                             SCALAR *target, ptrdiff_t channel_step, ptrdiff_t channels,
                             ptrdiff_t row_step, ptrdiff_t column_step)
{
    /* As when they were staged: rows that follow each other are one. */
    const ptrdiff_t runs = row_step == columns && column_step == 1 ? 1 : rows;
    const ptrdiff_t count = rows / runs * columns;

    for (ptrdiff_t run = 0; run < runs; run++, target += row_step, stage += count * LANES) {
        ptrdiff_t p = 0;
        if (column_step == 1 && count >= LANES)
            /* The last block ends with the last pixel, and partly comes again. */
            for (; p < count; p += LANES) {
                const ptrdiff_t at = p + LANES <= count ? p : count - LANES;
                VECTOR block[LANES];
                /* The place of the next vector of channels. */
#pragma GCC unroll 16
                for (ptrdiff_t q = LANES; q < 2 * LANES; q++)
                    __builtin_prefetch(target + q * channel_step + at, 1);
#pragma GCC unroll 16
                for (ptrdiff_t q = 0; q < LANES; q++)
                    block[q] = *(const VECTOR *)(stage + (at + q) * LANES);
                ISA(TYPED(turn))(block);
#pragma GCC unroll 16
                for (ptrdiff_t q = 0; q < LANES; q++)
                    if (q < channels)
                        *(VECTOR *)(target + q * channel_step + at) = block[q];
            }
        for (; p < count; p++)
            for (ptrdiff_t q = 0; q < channels; q++)
                target[q * channel_step + p * column_step] = stage[p * LANES + q];
    }
}

static void ISA(TYPED(unstage))(const SCALAR *stage, ptrdiff_t rows, ptrdiff_t columns,
                                SCALAR *target, ptrdiff_t channel_step, ptrdiff_t channels,
                                ptrdiff_t row_step, ptrdiff_t column_step)
{
    if (channels == LANES)
        ISA(TYPED(unstage_channels))(stage, rows, columns, target, channel_step, LANES, row_step,
                                     column_step);
    else
        ISA(TYPED(unstage_channels))(stage, rows, columns, target, channel_step, channels,
                                     row_step, column_step);
}

/* to[i] = vector of source[q * step + i] over q < count, zero beyond; i < length. What lies `ahead`
 * is gathered next. */
static inline __attribute__((always_inline)) void
ISA(TYPED(gather))(const SCALAR *source, ptrdiff_t step, ptrdiff_t count, ptrdiff_t length,
                   ptrdiff_t ahead, VECTOR *to)
{
    ptrdiff_t i = 0;

    if (length >= LANES && count == LANES) {
        /* The last block ends with the last number, and partly comes again. */
        for (; i < length; i += LANES) {
            const ptrdiff_t at = i + LANES <= length ? i : length - LANES;
            ISA(TYPED(load_block))(source + at, step, LANES, ahead, to + at);
        }
        return;
    }
    if (length < LANES && 2 * length > LANES && count == LANES && step >= LANES - length) {
        /* Rows are read on behind themselves, up to the next one; only the last may not be. */
        SCALAR last[LANES] = {0};
        VECTOR block[LANES];
        for (; i < length; i++)
            last[i] = source[(LANES - 1) * step + i];
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            __builtin_prefetch(source + q * step + ahead);
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES - 1; q++)
            block[q] = *(const VECTOR *)(source + q * step);
        block[LANES - 1] = *(const VECTOR *)last;
        ISA(TYPED(turn))(block);
#pragma GCC unroll 16
        for (i = 0; i < LANES; i++)
            if (i < length)
                to[i] = block[i];
        return;
    }
    for (; i < length; i++)
        for (ptrdiff_t q = 0; q < LANES; q++)
            ((SCALAR *)(to + i))[q] = q < count ? source[q * step + i] : 0;
}

/* The 3 x 3 kernels of `outputs` output channels, at most a vector, and `channels` input channels,
 * transformed: u[point * point_step + channel * channel_step]. */
static void ISA(TYPED(kernels))(const SCALAR *w, ptrdiff_t output_step, ptrdiff_t outputs,
                                ptrdiff_t w_channel_step, ptrdiff_t channels, ptrdiff_t row_step,
                                ptrdiff_t column_step, SCALAR *u, ptrdiff_t channel_step,
                                ptrdiff_t point_step)
{
    enum { TOGETHER = 16 };
    VECTOR taps[TOGETHER * 9];
    /* Kernels whose taps are neighbours, upright or turned, are gathered in blocks. */
    const int upright = row_step == 3 && column_step == 1;
    const int turned = row_step == -3 && column_step == -1;
    const ptrdiff_t together = upright && w_channel_step == 9 ? TOGETHER : 1;

    for (ptrdiff_t c = 0; c < channels; c += together, w += together * w_channel_step) {
        const ptrdiff_t count = channels - c < together ? channels - c : together;
        if (upright || turned)
            ISA(TYPED(gather))(turned ? w - 8 : w, output_step, outputs, 9 * count,
                               together * w_channel_step, taps);
        else
            for (int t = 0; t < 9; t++)
                ISA(TYPED(gather))(w + t / 3 * row_step + t % 3 * column_step, output_step,
                                   outputs, 1, 0, taps + t);
        for (ptrdiff_t i = 0; i < count; i++, u += channel_step) {
            const VECTOR *first = taps + 9 * i + (turned ? 8 : 0);
            const ptrdiff_t step = turned ? -1 : 1;
            VECTOR half[6][3], row[6];
#pragma GCC unroll 3
            for (int s = 0; s < 3; s++)
                ISA(TYPED(kernel_points))(first + s * step, 3 * step, &half[0][s], 3);
#pragma GCC unroll 6
            for (int r = 0; r < 6; r++) {
                ISA(TYPED(kernel_points))(half[r], 1, row, 1);
#pragma GCC unroll 6
                for (int s = 0; s < 6; s++)
                    *(VECTOR *)(u + (6 * r + s) * point_step) = row[s];
            }
        }
    }
}

/* The gradients of at most a vector of 3 x 3 kernels, from m[point * point_step] to
 * dw[channel * channel_step + row * row_step + column * column_step]. */
static void ISA(TYPED(kernel_gradients))(const SCALAR *m, ptrdiff_t point_step, SCALAR *dw,
                                         ptrdiff_t channel_step, ptrdiff_t channels,
                                         ptrdiff_t row_step, ptrdiff_t column_step)
{
    enum { TAPS = 9, SPACE = TAPS + LANES };
    const ptrdiff_t step = point_step / LANES;
    const int whole = channels == LANES && channel_step == TAPS && row_step == 3 && column_step == 1;
    VECTOR half[3][6], taps[SPACE] = {{0}};
    ptrdiff_t t = 0;

#pragma GCC unroll 6
    for (int s = 0; s < 6; s++)
        ISA(TYPED(points_kernel))((const VECTOR *)m + s * step, 6 * step, &half[0][s], 6);
#pragma GCC unroll 3
    for (int r = 0; r < 3; r++)
        ISA(TYPED(points_kernel))(half[r], 1, taps + 3 * r, 1);
    if (whole && LANES > TAPS) {
        /* What a kernel has too much is written over by the next. */
        ISA(TYPED(turn))(taps);
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES - 1; q++)
            *(VECTOR *)(dw + q * TAPS) = taps[q];
        for (; t < TAPS; t++)
            dw[(LANES - 1) * TAPS + t] = taps[LANES - 1][t];
        return;
    }
    if (whole)
#pragma GCC unroll 2
        for (; t + LANES <= TAPS; t += LANES) {
            ISA(TYPED(turn))(taps + t);
#pragma GCC unroll 8
            for (ptrdiff_t q = 0; q < LANES; q++)
                *(VECTOR *)(dw + q * TAPS + t) = taps[t + q];
        }
    for (; t < TAPS; t++)
        for (ptrdiff_t q = 0; q < channels; q++)
            dw[q * channel_step + t / 3 * row_step + t % 3 * column_step] = taps[t][q];
}

static const TYPED(fastconv_winograd) ISA(TYPED(winograd)) = {
    .lanes = LANES,
    .stage = ISA(TYPED(stage)),
    .input_tiles = ISA(TYPED(input_tiles)),
    .residual_tiles = ISA(TYPED(residual_tiles)),
    .output_tiles = ISA(TYPED(output_tiles)),
    .unstage = ISA(TYPED(unstage)),
    .kernels = ISA(TYPED(kernels)),
    .kernel_gradients = ISA(TYPED(kernel_gradients)),
};

#undef TILES
#include "vector_end.h"
