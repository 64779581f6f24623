/* The loops of one form of Winograd's tiles: POINTS x POINTS pixels, of which kernels of
 * TAPS x TAPS make STEP x STEP outputs. Included once for each form, whose names end with TAPS. */

#define STEP 4
#define POINTS (STEP + TAPS - 1)
#define SQUARE (TAPS * TAPS)
#define FORM(name) ISA(TYPED(FASTCONV_JOIN(name, TAPS)))

#include "winograd_points.h"

#if POINTS == 6
/* The free inputs of `count` rows or columns of the stage, which begin `next` vectors apart. */
static void FORM(free_lines)(SCALAR *stage, ptrdiff_t step, ptrdiff_t next, ptrdiff_t count,
                             ptrdiff_t outputs)
{
    for (ptrdiff_t i = 0; i < count; i++)
        FORM(free_inputs)((VECTOR *)stage + i * next, step, outputs);
}
#endif

/* Both sides of all tiles of `size` pixels, STEP pixels apart, to v[point * point_step + tile *
 * tile_step]. The places of the tile after the next are fetched meanwhile. */
#define TILES(name, size, points)                                                                  \
    static void FORM(name)(const SCALAR *stage, ptrdiff_t pitch, ptrdiff_t rows,                   \
                           ptrdiff_t columns, SCALAR *v, ptrdiff_t tile_step,                      \
                           ptrdiff_t point_step)                                                   \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < rows; i++, stage += STEP * pitch * LANES)                        \
            for (ptrdiff_t j = 0; j < columns; j++, v += tile_step) {                              \
                const VECTOR *tile = (const VECTOR *)(stage + STEP * j * LANES);                   \
                VECTOR half[POINTS][size], row[POINTS];                                            \
                _Pragma("GCC unroll 8") for (int s = 0; s < size; s++)                             \
                    FORM(points)(tile + s, pitch, &half[0][s], size);                              \
                _Pragma("GCC unroll 8") for (int r = 0; r < POINTS; r++)                           \
                {                                                                                  \
                    FORM(points)(half[r], 1, row, 1);                                              \
                    _Pragma("GCC unroll 8") for (int s = 0; s < POINTS; s++)                       \
                    {                                                                              \
                        __builtin_prefetch(v + 2 * tile_step + (POINTS * r + s) * point_step, 1);  \
                        *(VECTOR *)(v + (POINTS * r + s) * point_step) = row[s];                   \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
    }
TILES(input_tiles, POINTS, input_points)
TILES(residual_tiles, STEP, residual_points)

/* The tiles' outputs, STEP pixels apart, into `height` x `width` pixels of the stage: what lies
 * beyond them is dropped. The inverse of the above, from m[point * point_step + tile * tile_step]. */
static void FORM(output_tiles)(const SCALAR *m, ptrdiff_t tile_step, ptrdiff_t point_step,
                               const SCALAR *bias, SCALAR *stage, ptrdiff_t rows,
                               ptrdiff_t columns, ptrdiff_t height, ptrdiff_t width)
{
    const VECTOR shift = *(const VECTOR *)bias;
    const ptrdiff_t step = point_step / LANES;

    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++, m += tile_step) {
            VECTOR half[STEP][POINTS], y[STEP][STEP];
            VECTOR *to = (VECTOR *)stage + STEP * (i * width + j);
#pragma GCC unroll 8
            for (int s = 0; s < POINTS; s++)
                FORM(points_output)((const VECTOR *)m + s * step, POINTS * step, &half[0][s],
                                    POINTS);
#pragma GCC unroll 4
            for (int r = 0; r < STEP; r++) {
                FORM(points_output)(half[r], 1, y[r], 1);
#pragma GCC unroll 4
                for (int s = 0; s < STEP; s++)
                    y[r][s] += shift;
            }
            if (STEP * (i + 1) <= height && STEP * (j + 1) <= width) {
#pragma GCC unroll 4
                for (int r = 0; r < STEP; r++)
#pragma GCC unroll 4
                    for (int s = 0; s < STEP; s++)
                        to[r * width + s] = y[r][s];
            } else {
                for (ptrdiff_t r = 0; r < STEP && STEP * i + r < height; r++)
                    for (ptrdiff_t s = 0; s < STEP && STEP * j + s < width; s++)
                        to[r * width + s] = y[r][s];
            }
        }
}

/* The kernels of `outputs` output channels, at most a vector, and `channels` input channels,
 * transformed: u[point * point_step + channel * channel_step]. */
static void FORM(kernels)(const SCALAR *w, ptrdiff_t output_step, ptrdiff_t outputs,
                          ptrdiff_t w_channel_step, ptrdiff_t channels, ptrdiff_t row_step,
                          ptrdiff_t column_step, SCALAR *u, ptrdiff_t channel_step,
                          ptrdiff_t point_step)
{
    enum { TOGETHER = 144 / SQUARE };
    VECTOR taps[TOGETHER * SQUARE];
    /* Kernels whose taps are neighbours, upright or turned, are gathered in blocks. */
    const int upright = row_step == TAPS && column_step == 1;
    const int turned = row_step == -TAPS && column_step == -1;
    const ptrdiff_t together = upright && w_channel_step == SQUARE ? TOGETHER : 1;

    for (ptrdiff_t c = 0; c < channels; c += together, w += together * w_channel_step) {
        const ptrdiff_t count = channels - c < together ? channels - c : together;
        if (upright || turned)
            ISA(TYPED(gather))(turned ? w - (SQUARE - 1) : w, output_step, outputs,
                               SQUARE * count, together * w_channel_step, taps);
        else
            for (int t = 0; t < SQUARE; t++)
                ISA(TYPED(gather))(w + t / TAPS * row_step + t % TAPS * column_step, output_step,
                                   outputs, 1, 0, taps + t);
        for (ptrdiff_t i = 0; i < count; i++, u += channel_step) {
            const VECTOR *first = taps + SQUARE * i + (turned ? SQUARE - 1 : 0);
            const ptrdiff_t step = turned ? -1 : 1;
            VECTOR half[POINTS][TAPS], row[POINTS];
#pragma GCC unroll 5
            for (int s = 0; s < TAPS; s++)
                FORM(kernel_points)(first + s * step, TAPS * step, &half[0][s], TAPS);
#pragma GCC unroll 8
            for (int r = 0; r < POINTS; r++) {
                FORM(kernel_points)(half[r], 1, row, 1);
#pragma GCC unroll 8
                for (int s = 0; s < POINTS; s++)
                    *(VECTOR *)(u + (POINTS * r + s) * point_step) = row[s];
            }
        }
    }
}

/* The gradients of at most a vector of kernels, from m[point * point_step] to
 * dw[channel * channel_step + row * row_step + column * column_step]. */
static void FORM(kernel_gradients)(const SCALAR *m, ptrdiff_t point_step, SCALAR *dw,
                                   ptrdiff_t channel_step, ptrdiff_t channels, ptrdiff_t row_step,
                                   ptrdiff_t column_step)
{
    enum { SPACE = SQUARE + LANES };
    const ptrdiff_t step = point_step / LANES;
    const int whole = channels == LANES && channel_step == SQUARE && row_step == TAPS &&
                      column_step == 1;
    VECTOR half[TAPS][POINTS], taps[SPACE] = {{0}};

#pragma GCC unroll 8
    for (int s = 0; s < POINTS; s++)
        FORM(points_kernel)((const VECTOR *)m + s * step, POINTS * step, &half[0][s], POINTS);
#pragma GCC unroll 5
    for (int r = 0; r < TAPS; r++)
        FORM(points_kernel)(half[r], 1, taps + TAPS * r, 1);
    if (!whole) {
        for (ptrdiff_t t = 0; t < SQUARE; t++)
            for (ptrdiff_t q = 0; q < channels; q++)
                dw[q * channel_step + t / TAPS * row_step + t % TAPS * column_step] = taps[t][q];
        return;
    }
    /* Blocks of taps; the last ends with the last tap, and partly comes again. If a block is more
     * than a kernel, what it has too much is written over by the next kernel. */
    for (ptrdiff_t t = 0; t < SQUARE; t += LANES) {
        const ptrdiff_t at = t + LANES <= SQUARE || SQUARE < LANES ? t : SQUARE - LANES;
        VECTOR block[LANES];
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            block[q] = taps[at + q];
        ISA(TYPED(turn))(block);
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            if (q < LANES - 1 || SQUARE >= LANES)
                *(VECTOR *)(dw + q * SQUARE + at) = block[q];
    }
    if (SQUARE < LANES)
        for (ptrdiff_t t = 0; t < SQUARE; t++)
            dw[(LANES - 1) * SQUARE + t] = taps[t][LANES - 1];
}

static const TYPED(fastconv_winograd) FORM(winograd) = {
    .lanes = LANES,
    .stage = ISA(TYPED(stage)),
#if POINTS == 6
    .free_inputs = FORM(free_lines),
#endif
    .input_tiles = FORM(input_tiles),
    .residual_tiles = FORM(residual_tiles),
    .output_tiles = FORM(output_tiles),
    .unstage = ISA(TYPED(unstage)),
    .kernels = FORM(kernels),
    .kernel_gradients = FORM(kernel_gradients),
};

#undef TILES
#undef FORM
#undef SQUARE
#undef POINTS
#undef STEP
