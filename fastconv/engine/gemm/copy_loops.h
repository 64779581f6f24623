/* The loops that copy: rows into slabs, slabs into panels, and transposition.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"
#include "base/interleave.h"

/* Zeros beside a row: mostly one or two, for which the compiler would call memset. */
static inline __attribute__((always_inline)) void ISA(TYPED(clear))(SCALAR *target,
                                                                    ptrdiff_t count)
{
    for (ptrdiff_t j = 0; j < count; j++) {
        target[j] = 0;
        __asm__ volatile("" ::: "memory");
    }
}

static void ISA(TYPED(copy_row))(const SCALAR *source, ptrdiff_t step, ptrdiff_t count,
                                 SCALAR *target)
{
    ISA(TYPED(copy))(source, step, count, target);
}

static inline __attribute__((always_inline)) void
ISA(TYPED(copy_plane))(const SCALAR *source, const ptrdiff_t step, const fastconv_piece *piece,
                       const fastconv_plane *plane, SCALAR *target)
{
    const ptrdiff_t rows = piece->rows, width = piece->width, size = piece->size;
    const ptrdiff_t low = plane->low, high = plane->high;

    for (ptrdiff_t i = 0, at = piece->at + plane->at; i < rows; i++, at += piece->stride) {
        const int holds = at >= 0 && at < size;
        const ptrdiff_t from = holds ? low : 0, to = holds ? high : 0;

        /* The next channel's row, meanwhile. */
        for (ptrdiff_t j = 0; j < (to - from) * step; j += 64 / SCALAR_BYTES)
            __builtin_prefetch(source + piece->channel + j);
        ISA(TYPED(clear))(target, from);
        ISA(TYPED(copy))(source, step, to - from, target + from);
        ISA(TYPED(clear))(target + to, width - to);
        source += piece->hop;
        target += width;
    }
}

/* The planes of a piece, for some channels. */
static void ISA(TYPED(copy_planes))(const SCALAR *source, const fastconv_piece *piece,
                                    const fastconv_plane *planes, ptrdiff_t n_planes,
                                    ptrdiff_t channels, SCALAR *target)
{
    for (ptrdiff_t c = 0; c < channels; c++) {
        for (ptrdiff_t i = 0; i < n_planes; i++) {
            const SCALAR *from = source + planes[i].first;
            SCALAR *to = target + i * piece->plane;
            if (piece->step == 1)
                ISA(TYPED(copy_plane))(from, 1, piece, planes + i, to);
            else
                ISA(TYPED(copy_plane))(from, piece->step, piece, planes + i, to);
        }
        source += piece->channel;
        target += piece->target_channel;
    }
}

/* Steps by which what is packed is fetched ahead: they lie far apart. */
#define AHEAD 4
/* The vectors of a full run. */
#define FULL 3

/* Panels of columns: for each step, the runs of source + at[l], each to its place. With `overrun` their
 * numbers are neighbours.
 *
 * Steps are `width` apart and written in order, so that a run may be written past its end: what
 * belongs there comes later, and a panel has room for one more vector at its end. Reading past the
 * end of a run is allowed where `overrun` says so. All panels of a step are written before the next
 * step: a row of the source is then read from end to end, which the hardware foresees. */
static void ISA(TYPED(pack_columns))(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t steps,
                                     const fastconv_run *runs, ptrdiff_t n_runs, int overrun,
                                     ptrdiff_t width, SCALAR *panels)
{
    ptrdiff_t longest = 0;

    for (ptrdiff_t i = 0; i < n_runs; i++)
        longest = runs[i].count > longest ? runs[i].count : longest;
    for (ptrdiff_t l = 0; l < steps; l++, panels += width) {
        const SCALAR *row = source + at[l];
        if (!overrun) {
            const SCALAR *ahead = source + at[l + AHEAD < steps ? l + AHEAD : steps - 1];
            for (ptrdiff_t i = 0; i < n_runs; i++) {
                const SCALAR *from = row + runs[i].at;
                SCALAR *to = panels + runs[i].first;

                for (ptrdiff_t j = 0; j < runs[i].count * runs[i].step; j += 64 / SCALAR_BYTES)
                    __builtin_prefetch(ahead + runs[i].at + j);
                if (runs[i].step != 1) {
                    ISA(TYPED(copy))(from, runs[i].step, runs[i].count, to);
                    continue;
                }
                if (runs[i].count != FULL * LANES) {
                    ISA(TYPED(copy))(from, 1, runs[i].count, to);
                    continue;
                }
#pragma GCC unroll 4
                for (ptrdiff_t j = 0; j < FULL * LANES; j += LANES)
                    *(VECTOR *)(to + j) = *(const VECTOR *)(from + j);
            }
        } else if (longest <= LANES)
            /* One vector for each run: the rows of small maps. */
#pragma GCC unroll 4
            for (ptrdiff_t i = 0; i < n_runs; i++)
                *(VECTOR *)(panels + runs[i].first) = *(const VECTOR *)(row + runs[i].at);
        else
            for (ptrdiff_t i = 0; i < n_runs; i++)
                for (ptrdiff_t j = 0; j < runs[i].count; j += LANES)
                    *(VECTOR *)(panels + runs[i].first + j) =
                        *(const VECTOR *)(row + runs[i].at + j);
    }
}

/* Panels of rows that are neighbours, as many as a tile is high: for each panel and step, its rows side
 * by side. All panels of some steps at once, so that the source is read from end to end. */
static inline __attribute__((always_inline)) void
ISA(TYPED(pack_neighbours))(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t steps,
                            ptrdiff_t panels, const ptrdiff_t height, ptrdiff_t panel_step,
                            SCALAR *packed)
{
    for (ptrdiff_t i = 0; i < panels; i++, source += height, packed += panel_step)
        for (ptrdiff_t l = 0; l < steps; l++)
            __builtin_memcpy(packed + l * height, source + at[l], height * SCALAR_BYTES);
}

static void ISA(TYPED(pack_panels))(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t steps,
                                    ptrdiff_t panels, ptrdiff_t height, ptrdiff_t panel_step,
                                    SCALAR *packed)
{
    if (height == 4)
        ISA(TYPED(pack_neighbours))(source, at, steps, panels, 4, panel_step, packed);
    else if (height == 8)
        ISA(TYPED(pack_neighbours))(source, at, steps, panels, 8, panel_step, packed);
    else
        ISA(TYPED(pack_neighbours))(source, at, steps, panels, height, panel_step, packed);
}

/* A panel of rows: for each step, the numbers of the rows side by side, `height` apart. */
static void ISA(TYPED(pack_rows))(const SCALAR *source, ptrdiff_t row, ptrdiff_t rows,
                                  const ptrdiff_t *at, ptrdiff_t steps, ptrdiff_t height,
                                  SCALAR *panel)
{
    if (row == 1) {
        for (ptrdiff_t l = 0; l < steps; l++, panel += height)
            ISA(TYPED(copy))(source + at[l], 1, rows, panel);
        return;
    }
    const ptrdiff_t distance = row < 0 ? -row : row;
    const ptrdiff_t hop = distance && distance < LANES ? LANES / distance : 1;

    for (ptrdiff_t l = 0; l < steps; l++, panel += height) {
        const SCALAR *ahead = source + at[l + AHEAD < steps ? l + AHEAD : steps - 1];

        /* Steps lie far apart: the hardware does not foresee them. */
        for (ptrdiff_t i = 0; i < rows; i += hop)
            __builtin_prefetch(ahead + i * row);
        for (ptrdiff_t i = 0; i < rows; i++)
            panel[i] = source[at[l] + i * row];
    }
}

/* Rows so long are transposed one block of rows after the other, which the hardware foresees; shorter
 * ones side by side. */
#define LONG 256

static inline __attribute__((always_inline)) void
ISA(TYPED(transpose_block))(const SCALAR *source, ptrdiff_t source_row, const int fetches,
                            SCALAR *target, ptrdiff_t target_row)
{
    VECTOR block[LANES];

#pragma GCC unroll 16
    for (ptrdiff_t q = 0; q < LANES; q++) {
        if (fetches)
            __builtin_prefetch(source + q * source_row + 2 * LANES);
        block[q] = *(const VECTOR *)(source + q * source_row);
    }
    ISA(TYPED(turn))(block);
#pragma GCC unroll 16
    for (ptrdiff_t q = 0; q < LANES; q++)
        *(VECTOR *)(target + q * target_row) = block[q];
}

/* target[j * target_row + i] = source[i * source_row + j] for i < rows, j < columns.
 *
 * Whole blocks go through the registers, and so does half a block of rows at the end; the last block
 * of columns is moved back. Rows may lie pages apart, which the hardware does not foresee: their next
 * but one vectors are fetched. */
static void ISA(TYPED(transpose))(const SCALAR *source, ptrdiff_t source_row, ptrdiff_t rows,
                                  ptrdiff_t columns, SCALAR *target, ptrdiff_t target_row)
{
    /* Columns that are done in blocks: all of them, or too few for one. */
    const ptrdiff_t whole_columns = columns < LANES ? 0 : columns;
    ptrdiff_t whole_rows = rows - rows % LANES;

    if (columns >= LONG)
        for (ptrdiff_t i = 0; i < whole_rows; i += LANES)
            for (ptrdiff_t j = 0; j < whole_columns; j += LANES) {
                const ptrdiff_t at = j + LANES <= columns ? j : columns - LANES;
                ISA(TYPED(transpose_block))
                (source + i * source_row + at, source_row, 0, target + at * target_row + i,
                 target_row);
            }
    else
        for (ptrdiff_t j = 0; j < whole_columns; j += LANES) {
            const ptrdiff_t at = j + LANES <= columns ? j : columns - LANES;
            for (ptrdiff_t i = 0; i < whole_rows; i += LANES)
                ISA(TYPED(transpose_block))
                (source + i * source_row + at, source_row, 1, target + at * target_row + i,
                 target_row);
        }
    if (rows - whole_rows == LANES / 2) {
        for (ptrdiff_t j = 0; j < whole_columns; j += LANES) {
            const ptrdiff_t at = j + LANES <= columns ? j : columns - LANES;
            const SCALAR *from = source + whole_rows * source_row + at;
            VECTOR block[LANES];
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                block[q] = *(const VECTOR *)(from + q % (LANES / 2) * source_row);
            ISA(TYPED(turn))(block);
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                *(HALF *)(target + (at + q) * target_row + whole_rows) = *(const HALF *)&block[q];
        }
        whole_rows = rows;
    }
    for (ptrdiff_t j = 0; j < columns; j++)
        for (ptrdiff_t i = j < whole_columns ? whole_rows : 0; i < rows; i++)
            target[j * target_row + i] = source[i * source_row + j];
}

/* target[j * target_row + i] = source[at[i] + j] for i < rows, j < columns.
 *
 * Whole blocks are read and written: past the last row it is read again, and there is room
 * for whole vectors past the last column. */
static void ISA(TYPED(transpose_rows))(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t rows,
                                       ptrdiff_t columns, SCALAR *target, ptrdiff_t target_row)
{
    for (ptrdiff_t i = 0; i < rows; i += LANES)
        for (ptrdiff_t j = 0; j < columns; j += LANES) {
            VECTOR block[LANES];
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                block[q] = *(const VECTOR *)(source + at[i + q < rows ? i + q : rows - 1] + j);
            ISA(TYPED(turn))(block);
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                *(VECTOR *)(target + (j + q) * target_row + i) = block[q];
        }
}

/* Let sums leave that have pixels in their rows and output channels in their lanes:
 *
 *     target[j * target_row + i * step] = source[i * source_row + j] (+ bias[j])
 *
 * for i < pixels, j < channels, and end unless that is NULL. The rows of the source and the bias hold
 * whole vectors. The last block of pixels is moved back, and partly comes again. */
static void ISA(TYPED(store_pixels))(const SCALAR *source, ptrdiff_t source_row, ptrdiff_t pixels,
                                     ptrdiff_t channels, const SCALAR *bias, SCALAR *target,
                                     ptrdiff_t target_row, ptrdiff_t step,
                                     const fastconv_ending *ending)
{
    const ptrdiff_t number = pixels < LANES ? pixels : LANES;
    const int briefly = ending && ISA(TYPED(is_brief))(ending);
    SCALAR rows[LANES][LANES];

    for (ptrdiff_t j = 0; j < channels; j += LANES)
        for (ptrdiff_t i = 0; i < pixels; i += LANES) {
            const ptrdiff_t first = i + number > pixels ? pixels - number : i;
            const SCALAR *from = source + first * source_row + j;
            SCALAR *to = target + j * target_row + first * step;
            VECTOR block[LANES];
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++) {
                const VECTOR sum = *(const VECTOR *)(from + (q < number ? q : 0) * source_row);
                block[q] = ISA(TYPED(finish))(sum, bias ? bias + j : NULL);
            }
            ISA(TYPED(turn))(block);
            if (number == LANES && step == 1) {
#pragma GCC unroll 16
                for (ptrdiff_t q = 0; q < LANES; q++)
                    if (j + q < channels) {
                        VECTOR *row = (VECTOR *)(to + q * target_row);
                        *row = briefly ? ISA(TYPED(end_vector))(block[q], (SCALAR *)row, ending)
                                       : block[q];
                    }
                if (briefly)
                    continue;
            } else {
#pragma GCC unroll 16
                for (ptrdiff_t q = 0; q < LANES; q++)
                    *(VECTOR *)rows[q] = block[q];
                for (ptrdiff_t q = 0; q < LANES && j + q < channels; q++)
                    for (ptrdiff_t p = 0; p < number; p++)
                        to[q * target_row + p * step] = rows[q][p];
            }
            if (ending)
                ISA(TYPED(end_rows))
                (to, channels - j < LANES ? channels - j : LANES, target_row, number, step, ending);
        }
}

/* Weights of up to LANES channels: for each step a vector of channels for each tap, in panels of two
 * taps (the last may have one). The taps of all channels of a step are neighbours.
 *
 * A whole vector is read from each channel's row, and what is past its taps is dropped. */
static void ISA(TYPED(pack_taps))(const SCALAR *source, ptrdiff_t row, ptrdiff_t steps,
                                  ptrdiff_t channels, ptrdiff_t taps, SCALAR *panels)
{
    const SCALAR *end = source + (steps - 1) * row + channels * taps;

    for (ptrdiff_t l = 0; l < steps; l++, source += row) {
        const SCALAR *ahead = source + (l + AHEAD < steps ? AHEAD * row : 0);

        for (ptrdiff_t i = 0; i < channels * taps; i += 64 / SCALAR_BYTES)
            __builtin_prefetch(ahead + i);
        for (ptrdiff_t t = 0; t < taps; t += LANES) {
            const ptrdiff_t count = taps - t < LANES ? taps - t : LANES;
            VECTOR block[LANES];
            if (channels == LANES && source + (LANES - 1) * taps + t + LANES <= end) {
#pragma GCC unroll 16
                for (ptrdiff_t q = 0; q < LANES; q++)
                    block[q] = *(const VECTOR *)(source + q * taps + t);
            } else {
                SCALAR rows[LANES][LANES] = {{0}};
                for (ptrdiff_t q = 0; q < channels; q++)
                    for (ptrdiff_t i = 0; i < count; i++)
                        rows[q][i] = source[q * taps + t + i];
#pragma GCC unroll 16
                for (ptrdiff_t q = 0; q < LANES; q++)
                    block[q] = *(const VECTOR *)rows[q];
            }
            ISA(TYPED(turn))(block);
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                if (q < count) {
                    const ptrdiff_t first = (t + q) / 2 * 2, width = taps - first < 2 ? 1 : 2;
                    *(VECTOR *)(panels + (first * steps + l * width + q % 2) * LANES) = block[q];
                }
        }
    }
}

/* Add a row of vectors to those of the target, each to its place; less than 0 is none. */
static void ISA(TYPED(add_vectors))(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t count,
                                    SCALAR *target)
{
    for (ptrdiff_t i = 0; i < count; i++, source += LANES)
        if (at[i] >= 0)
            *(VECTOR *)(target + at[i]) += *(const VECTOR *)source;
}

/* Put the columns of patches side by side: for each run
 *
 *     target[at + (i * columns + s) * step] = source[s * row + first + i]    for i < count, s < columns
 *
 * Up to a vector is read past the end of the runs. */
static void ISA(TYPED(join_columns))(const SCALAR *source, ptrdiff_t row, ptrdiff_t columns,
                                     const fastconv_run *runs, ptrdiff_t n_runs, SCALAR *target)
{
    for (ptrdiff_t r = 0; r < n_runs; r++) {
        const fastconv_run run = runs[r];
        const SCALAR *from = source + run.first;
        SCALAR *to = target + run.at;

        if (columns == 1 && run.step == 1)
            ISA(TYPED(copy))(from, 1, run.count, to);
        else if (columns == 2 && run.step == 1)
            ISA(TYPED(interleave_rows))(to, from, from + row, 2 * run.count);
        else if (run.step == 1)
            ISA(TYPED(transpose))(from, row, columns, run.count, to, columns);
        else
            for (ptrdiff_t s = 0; s < columns; s++)
                for (ptrdiff_t i = 0; i < run.count; i++)
                    to[(i * columns + s) * run.step] = from[s * row + i];
    }
}

static const TYPED(fastconv_copies) ISA(TYPED(copies)) = {
    .copy_row = ISA(TYPED(copy_row)),
    .copy_planes = ISA(TYPED(copy_planes)),
    .pack_columns = ISA(TYPED(pack_columns)),
    .pack_panels = ISA(TYPED(pack_panels)),
    .pack_rows = ISA(TYPED(pack_rows)),
    .transpose = ISA(TYPED(transpose)),
    .transpose_rows = ISA(TYPED(transpose_rows)),
    .store_pixels = ISA(TYPED(store_pixels)),
    .pack_taps = ISA(TYPED(pack_taps)),
    .add_vectors = ISA(TYPED(add_vectors)),
    .join_columns = ISA(TYPED(join_columns)),
};

#undef AHEAD
#undef FULL
#undef LONG
#include "base/vector_end.h"
