/* The loops that copy: rows into slabs, slabs into panels, and transposition.
 *
 * Expects what regions.h defines. */

#include "vector.h"

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

/* Rows `hop` apart, into columns low .. high of rows of `width`, with zeros beside them. Row i is
 * the one at `at` + i * stride of `size`; outside, it is zeros. */
static void ISA(TYPED(copy_rows))(const SCALAR *source, ptrdiff_t hop, ptrdiff_t step,
                                  ptrdiff_t rows, ptrdiff_t at, ptrdiff_t stride, ptrdiff_t size,
                                  ptrdiff_t low, ptrdiff_t high, ptrdiff_t width, SCALAR *target)
{
    for (ptrdiff_t i = 0; i < rows; i++, at += stride, source += hop, target += width) {
        const int holds = at >= 0 && at < size;
        const ptrdiff_t from = holds ? low : 0, to = holds ? high : 0;

        ISA(TYPED(clear))(target, from);
        ISA(TYPED(copy))(source, step, to - from, target + from);
        ISA(TYPED(clear))(target + to, width - to);
    }
}

/* Panels of columns: for each step, the runs of source + at[l], each to its place.
 *
 * Steps are `width` apart and written in order, so that a run may write on behind itself: what
 * stands there comes later, and a panel has room for one more vector at its end. Reading on behind
 * a run is allowed where `overrun` says so. All panels of a step are written before the next step:
 * a row of the source is then read from end to end, which the hardware foresees. */
static void ISA(TYPED(pack_columns))(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t steps,
                                     const fastconv_run *runs, ptrdiff_t n_runs, int overrun,
                                     ptrdiff_t width, SCALAR *panels)
{
    ptrdiff_t longest = 0;

    for (ptrdiff_t i = 0; i < n_runs; i++)
        longest = runs[i].count > longest ? runs[i].count : longest;
    for (ptrdiff_t l = 0; l < steps; l++, panels += width) {
        const SCALAR *row = source + at[l];
        if (!overrun)
            for (ptrdiff_t i = 0; i < n_runs; i++)
                ISA(TYPED(copy))(row + runs[i].at, 1, runs[i].count, panels + runs[i].first);
        else if (longest <= LANES)
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
    for (ptrdiff_t l = 0; l < steps; l++, panel += height)
        for (ptrdiff_t i = 0; i < rows; i++)
            panel[i] = source[at[l] + i * row];
}

/* target[j * target_row + i] = source[i * source_row + j] for i < rows, j < columns.
 *
 * Whole blocks go through the registers, and so does half a block of rows at the end. */
static void ISA(TYPED(transpose))(const SCALAR *source, ptrdiff_t source_row, ptrdiff_t rows,
                                  ptrdiff_t columns, SCALAR *target, ptrdiff_t target_row)
{
    const ptrdiff_t whole_columns = columns - columns % LANES;
    ptrdiff_t whole_rows = rows - rows % LANES;

    for (ptrdiff_t j = 0; j < whole_columns; j += LANES)
        for (ptrdiff_t i = 0; i < whole_rows; i += LANES) {
            VECTOR block[LANES];
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                block[q] = *(const VECTOR *)(source + (i + q) * source_row + j);
            ISA(TYPED(turn))(block);
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                *(VECTOR *)(target + (j + q) * target_row + i) = block[q];
        }
    if (rows - whole_rows == LANES / 2) {
        for (ptrdiff_t j = 0; j < whole_columns; j += LANES) {
            const SCALAR *from = source + whole_rows * source_row + j;
            VECTOR block[LANES];
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                block[q] = *(const VECTOR *)(from + q % (LANES / 2) * source_row);
            ISA(TYPED(turn))(block);
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                *(HALF *)(target + (j + q) * target_row + whole_rows) = *(const HALF *)&block[q];
        }
        whole_rows = rows;
    }
    for (ptrdiff_t j = 0; j < columns; j++)
        for (ptrdiff_t i = j < whole_columns ? whole_rows : 0; i < rows; i++)
            target[j * target_row + i] = source[i * source_row + j];
}

/* Let sums leave that have pixels in their rows and output channels in their lanes:
 *
 *     target[j * target_row + i * step] = source[i * source_row + j] (+ bias[j])
 *
 * for i < pixels, j < channels. The rows of the source and the bias hold whole vectors. The last
 * block of pixels is moved back, and partly comes again. */
static void ISA(TYPED(store_pixels))(const SCALAR *source, ptrdiff_t source_row, ptrdiff_t pixels,
                                     ptrdiff_t channels, const SCALAR *bias, SCALAR *target,
                                     ptrdiff_t target_row, ptrdiff_t step)
{
    const ptrdiff_t number = pixels < LANES ? pixels : LANES;
    SCALAR rows[LANES][LANES];

    for (ptrdiff_t j = 0; j < channels; j += LANES)
        for (ptrdiff_t i = 0; i < pixels; i += LANES) {
            const ptrdiff_t first = i + number > pixels ? pixels - number : i;
            const SCALAR *from = source + first * source_row + j;
            SCALAR *to = target + j * target_row + first * step;
            VECTOR block[LANES];
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++) {
                block[q] = *(const VECTOR *)(from + (q < number ? q : 0) * source_row);
                if (bias)
                    block[q] += *(const VECTOR *)(bias + j);
            }
            ISA(TYPED(turn))(block);
            if (number == LANES && step == 1) {
#pragma GCC unroll 16
                for (ptrdiff_t q = 0; q < LANES; q++)
                    if (j + q < channels)
                        *(VECTOR *)(to + q * target_row) = block[q];
                continue;
            }
#pragma GCC unroll 16
            for (ptrdiff_t q = 0; q < LANES; q++)
                *(VECTOR *)rows[q] = block[q];
            for (ptrdiff_t q = 0; q < LANES && j + q < channels; q++)
                for (ptrdiff_t p = 0; p < number; p++)
                    to[q * target_row + p * step] = rows[q][p];
        }
}

static const TYPED(fastconv_copies) ISA(TYPED(copies)) = {
    .copy_row = ISA(TYPED(copy_row)),
    .copy_rows = ISA(TYPED(copy_rows)),
    .pack_columns = ISA(TYPED(pack_columns)),
    .pack_rows = ISA(TYPED(pack_rows)),
    .transpose = ISA(TYPED(transpose)),
    .store_pixels = ISA(TYPED(store_pixels)),
};

#include "vector_end.h"
