/* The loops of Winograd's convolution. A vector holds the channels of one pixel, so that any tile
 * of a map, wherever it lies, is a square of vectors. What a form of tiles has for itself is in
 * form.h.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

/* LANES neighbouring pixels of `channels` maps, as vectors. What lies `ahead`, if anything, is
 * wanted next: the many short rows are more than the hardware foresees. */
static inline __attribute__((always_inline)) void
ISA(TYPED(load_block))(const SCALAR *source, ptrdiff_t channel_step, ptrdiff_t channels,
                       ptrdiff_t ahead, VECTOR block[LANES])
{
    if (ahead)
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            __builtin_prefetch(source + q * channel_step + ahead);
#pragma GCC unroll 16
    for (ptrdiff_t q = 0; q < LANES; q++)
        block[q] = q < channels ? *(const VECTOR *)(source + q * channel_step) : (VECTOR){0};
    ISA(TYPED(turn))(block);
}

/* Rows of pixels from `channels` maps into target[row * pitch + column], in vectors. Channels that
 * there are not are zeros. What is staged next lies `ahead`. */
static inline __attribute__((always_inline)) void
ISA(TYPED(stage_channels))(const SCALAR *source, ptrdiff_t channel_step, ptrdiff_t channels,
                           ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t rows,
                           ptrdiff_t columns, ptrdiff_t ahead, SCALAR *target, ptrdiff_t pitch)
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
                ISA(TYPED(load_block))(source + p, channel_step, channels, ahead, block);
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
                              ptrdiff_t columns, ptrdiff_t ahead, SCALAR *target,
                              ptrdiff_t pitch)
{
    if (channels == LANES)
        ISA(TYPED(stage_channels))(source, channel_step, LANES, row_step, column_step, rows,
                                   columns, ahead, target, pitch);
    else
        ISA(TYPED(stage_channels))(source, channel_step, channels, row_step, column_step, rows,
                                   columns, ahead, target, pitch);
}

/* The pixels of a stage to rows of `channels` maps, and end them unless that is NULL. */
static inline __attribute__((always_inline)) void
ISA(TYPED(unstage_channels))(const SCALAR *stage, ptrdiff_t rows, ptrdiff_t columns,
                             SCALAR *target, ptrdiff_t channel_step, ptrdiff_t channels,
                             ptrdiff_t row_step, ptrdiff_t column_step,
                             const fastconv_ending *ending)
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
                if (ending)
                    ISA(TYPED(end_rows))(target + at, channels, channel_step, LANES, 1, ending);
            }
        if (p >= count)
            continue;
        for (ptrdiff_t i = p; i < count; i++)
            for (ptrdiff_t q = 0; q < channels; q++)
                target[q * channel_step + i * column_step] = stage[i * LANES + q];
        if (ending)
            ISA(TYPED(end_rows))
            (target + p * column_step, channels, channel_step, count - p, column_step, ending);
    }
}

static void ISA(TYPED(unstage))(const SCALAR *stage, ptrdiff_t rows, ptrdiff_t columns,
                                SCALAR *target, ptrdiff_t channel_step, ptrdiff_t channels,
                                ptrdiff_t row_step, ptrdiff_t column_step,
                                const fastconv_ending *ending)
{
    if (channels == LANES)
        ISA(TYPED(unstage_channels))(stage, rows, columns, target, channel_step, LANES, row_step,
                                     column_step, ending);
    else
        ISA(TYPED(unstage_channels))(stage, rows, columns, target, channel_step, channels,
                                     row_step, column_step, ending);
}

/* to[i] = vector of source[q * step + i] over q < count, zero beyond; i < length. What lies
 * `ahead`, if anything, is gathered next. */
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
        /* Rows are read past their ends, up to the next row; only the last may not be. */
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

/* `count` taps of at most a vector of kernels, vectors of the kernels, to kernels that are
 * `channel_step` apart, of taps that are neighbours. */
static void ISA(TYPED(kernels_of_taps))(const SCALAR *taps, ptrdiff_t count, ptrdiff_t channels,
                                        SCALAR *kernels, ptrdiff_t channel_step)
{
    const VECTOR *from = (const VECTOR *)taps;
    ptrdiff_t first = 0;

    if (count >= LANES && channels == LANES) {
        /* The last block ends with the last tap, and partly comes again. */
        for (; first < count; first += LANES) {
            const ptrdiff_t at = first + LANES <= count ? first : count - LANES;
            VECTOR block[LANES];
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                block[q] = from[at + q];
            ISA(TYPED(turn))(block);
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                *(VECTOR *)(kernels + q * channel_step + at) = block[q];
        }
        return;
    }
    for (ptrdiff_t q = 0; q < channels; q++)
        for (ptrdiff_t t = 0; t < count; t++)
            kernels[q * channel_step + t] = taps[t * LANES + q];
}

#define TAPS 1
#include "winograd/points.h"
#define TAPS 2
#include "winograd/points.h"
#define TAPS 3
#include "winograd/points.h"
#define TAPS 5
#include "winograd/points.h"
#define TAPS 7
#include "winograd/points.h"

#define ROW_TAPS 2
#define COLUMN_TAPS 2
#include "winograd/form.h"
#define ROW_TAPS 3
#define COLUMN_TAPS 3
#include "winograd/form.h"
#define ROW_TAPS 5
#define COLUMN_TAPS 5
#include "winograd/form.h"
#define ROW_TAPS 1
#define COLUMN_TAPS 2
#include "winograd/form.h"
#define ROW_TAPS 2
#define COLUMN_TAPS 1
#include "winograd/form.h"
#define ROW_TAPS 1
#define COLUMN_TAPS 3
#include "winograd/form.h"
#define ROW_TAPS 3
#define COLUMN_TAPS 1
#include "winograd/form.h"
#define ROW_TAPS 1
#define COLUMN_TAPS 5
#include "winograd/form.h"
#define ROW_TAPS 5
#define COLUMN_TAPS 1
#include "winograd/form.h"
#define ROW_TAPS 1
#define COLUMN_TAPS 7
#include "winograd/form.h"
#define ROW_TAPS 7
#define COLUMN_TAPS 1
#include "winograd/form.h"

#include "base/vector_end.h"
