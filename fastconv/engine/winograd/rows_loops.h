/* The loops of Winograd's convolution along rows: a pixel is a vector, of one number of each
 * sample. 9 pixels of a row make 5 outputs of a row of 5 taps, with 9 products, by the matrices of
 * points.h on one axis.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

#define TAPS FASTCONV_ROW_TAPS
#define STEP FASTCONV_ROW_STEP
#include "winograd/points.h"

#define TAPS FASTCONV_ROW_TAPS
#define STEP FASTCONV_ROW_STEP
#define POINTS FASTCONV_ROW_POINTS
#define ROWS(name) ISA(TYPED(name))
/* The matrices, by name. */
#define AXIS(name) ISA(TYPED(FASTCONV_JOIN(name, TAPS)))

/* `rows` rows of `tiles` tiles, STEP pixels apart, to v[point * point_step + tile * LANES]; the
 * tiles of all rows follow each other. Of the input, and of the residual. */
#define TILES(name, points)                                                                        \
    static void ROWS(name)(const SCALAR *slab, ptrdiff_t line, ptrdiff_t rows, ptrdiff_t tiles,    \
                           SCALAR *v, ptrdiff_t point_step)                                        \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < rows; i++, slab += line)                                         \
            for (ptrdiff_t t = 0; t < tiles; t++, v += LANES)                                      \
                AXIS(points)((const VECTOR *)slab + STEP * t, 1, (VECTOR *)v, point_step / LANES); \
    }
TILES(input_rows, input_points)
TILES(residual_rows, residual_points)
#undef TILES

/* The tiles' outputs, from m[tile * POINTS + point], into rows of `width` pixels. What a row's last
 * tile has too much is written over by the next row; past the last row there is room for it. */
static void ROWS(output_rows)(const SCALAR *m, ptrdiff_t rows, ptrdiff_t tiles, SCALAR *out,
                              ptrdiff_t width)
{
    for (ptrdiff_t i = 0; i < rows; i++, out += width * LANES)
        for (ptrdiff_t t = 0; t < tiles; t++, m += POINTS * LANES)
            AXIS(points_output)((const VECTOR *)m, 1, (VECTOR *)out + STEP * t, 1);
}

/* The rows of `channels` kernels of TAPS x TAPS, to u[point * point_step + channel * TAPS + row],
 * filled up to whole vectors. */
static void ROWS(kernel_rows)(const SCALAR *w, ptrdiff_t channels, ptrdiff_t channel_step,
                              ptrdiff_t row_step, ptrdiff_t column_step, SCALAR *u,
                              ptrdiff_t point_step)
{
    ptrdiff_t c = 0, r = 0;

    for (ptrdiff_t i = 0; i < channels * TAPS; i += LANES, u += LANES) {
        VECTOR g[TAPS] = {{0}};
        for (ptrdiff_t q = 0; q < LANES && c < channels; q++) {
            for (ptrdiff_t s = 0; s < TAPS; s++)
                ((SCALAR *)g)[s * LANES + q] = w[c * channel_step + r * row_step + s * column_step];
            if (++r == TAPS) {
                r = 0;
                c++;
            }
        }
        AXIS(kernel_points)(g, 1, (VECTOR *)u, point_step / LANES);
    }
}

/* The gradients of the kernels of `channels` channels, from
 * sums[point * point_step + channel * TAPS + row], filled up to whole vectors. */
static void ROWS(kernel_gradients)(const SCALAR *sums, ptrdiff_t point_step, ptrdiff_t channels,
                                   SCALAR *dw, ptrdiff_t channel_step, ptrdiff_t row_step,
                                   ptrdiff_t column_step)
{
    ptrdiff_t c = 0, r = 0;

    for (ptrdiff_t i = 0; i < channels * TAPS; i += LANES) {
        VECTOR g[TAPS];
        AXIS(points_kernel)((const VECTOR *)(sums + i), point_step / LANES, g, 1);
        for (ptrdiff_t q = 0; q < LANES && c < channels; q++) {
            for (ptrdiff_t s = 0; s < TAPS; s++)
                dw[c * channel_step + r * row_step + s * column_step] = g[s][q];
            if (++r == TAPS) {
                r = 0;
                c++;
            }
        }
    }
}

#undef TAPS
#undef STEP
#undef POINTS
#undef ROWS
#undef AXIS

#include "base/vector_end.h"
