/* Depthwise convolution of several small planes at once, written once: rows.h includes this file at
 * its end.
 *
 * A small plane is less work than the calls that lead to it, so that whole blocks of planes take
 * each step together: first all are copied into the slab, then all are computed, then all are
 * written. The time between the steps hides that a vector cannot be loaded at once where two
 * stores have written it.
 *
 * A plane's rows lie `slab_row` apart, and share the zeros of the padding: those behind a row are
 * those before the next. Where taps share no loads, the plane is computed as one long row: the
 * vectors run across the rows' ends, and what comes out between the rows is dropped. */

#include "base/vector.h"

#if VECTOR_BYTES == 32 && SCALAR_BYTES == 4
INLINE __m256i NAME(mask)(ptrdiff_t count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#elif VECTOR_BYTES == 32
INLINE __m256i NAME(mask)(ptrdiff_t count)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
}
#endif

/* The first `count` numbers, at most a vector, and zeros. */
INLINE VECTOR NAME(load_some)(const SCALAR *from, ptrdiff_t count)
{
#if VECTOR_BYTES == 64 && SCALAR_BYTES == 4
    return (VECTOR)_mm512_maskz_loadu_ps(count >= LANES ? -1 : (1 << count) - 1, from);
#elif VECTOR_BYTES == 64
    return (VECTOR)_mm512_maskz_loadu_pd(count >= LANES ? -1 : (1 << count) - 1, from);
#elif VECTOR_BYTES == 32 && SCALAR_BYTES == 4
    return (VECTOR)_mm256_maskload_ps(from, NAME(mask)(count));
#elif VECTOR_BYTES == 32
    return (VECTOR)_mm256_maskload_pd(from, NAME(mask)(count));
#else
    VECTOR some = {0};
    if (count >= LANES)
        return *(const VECTOR *)from;
    for (ptrdiff_t j = 0; j < count; j++)
        ((SCALAR *)&some)[j] = from[j];
    return some;
#endif
}

INLINE void NAME(store_some)(SCALAR *to, VECTOR some, ptrdiff_t count)
{
#if VECTOR_BYTES == 64 && SCALAR_BYTES == 4
    _mm512_mask_storeu_ps(to, count >= LANES ? -1 : (1 << count) - 1, (__m512)some);
#elif VECTOR_BYTES == 64
    _mm512_mask_storeu_pd(to, count >= LANES ? -1 : (1 << count) - 1, (__m512d)some);
#elif VECTOR_BYTES == 32 && SCALAR_BYTES == 4
    _mm256_maskstore_ps(to, NAME(mask)(count), (__m256)some);
#elif VECTOR_BYTES == 32
    _mm256_maskstore_pd(to, NAME(mask)(count), (__m256d)some);
#else
    if (count >= LANES)
        *(VECTOR *)to = some;
    else
        for (ptrdiff_t j = 0; j < count; j++)
            to[j] = ((const SCALAR *)&some)[j];
#endif
}

/* The first `count` of the numbers that are `step` apart, at most a vector, and zeros. */
INLINE VECTOR NAME(load_spaced)(const SCALAR *from, const int step, ptrdiff_t count)
{
    const ptrdiff_t reach = 2 * count - 1;
    VECTOR rest = {0};
    if (step == 1)
        return NAME(load_some)(from, count);
    if (reach > LANES)
        rest = NAME(load_some)(from + LANES, reach - LANES);
    return EVEN(NAME(load_some)(from, reach), rest);
}

/* Copy rows of n numbers, which are `step` apart, in whole vectors: zeros come behind a row, and
 * the next row over them. */
INLINE void NAME(spread)(SCALAR *to, ptrdiff_t to_row, const SCALAR *from, ptrdiff_t from_row,
                         const int step, ptrdiff_t rows, ptrdiff_t n)
{
    /* A phase may hold nothing but padding. */
    if (n == 0)
        return;
    if (n <= LANES) {
        for (ptrdiff_t i = 0; i < rows; i++)
            *(VECTOR *)(to + i * to_row) = NAME(load_spaced)(from + i * from_row, step, n);
        return;
    }
    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < n; j += LANES)
            *(VECTOR *)(to + i * to_row + j) =
                NAME(load_spaced)(from + i * from_row + step * j, step, n - j);
}

/* Put a plane whose numbers are not neighbours, or not a whole number of them apart, in order. */
static const SCALAR *NAME(gather_plane)(const fastconv_maps *maps, const char *plane,
                                        SCALAR *to)
{
    for (ptrdiff_t i = 0; i < maps->rows; i++)
        for (ptrdiff_t j = 0; j < maps->columns; j++)
            to[i * maps->columns + j] =
                *(const SCALAR *)(plane + i * maps->row_hop + j * maps->hop);
    return to;
}

/* The plane of a group and channel, and how far its rows are apart; `stage` is room for one. */
INLINE const SCALAR *NAME(find_plane)(const fastconv_maps *maps, const char *first, ptrdiff_t group,
                                      ptrdiff_t channel, SCALAR *stage, ptrdiff_t *row)
{
    const char *plane = first + group * maps->group_hop + channel * maps->channel_hop;
    if (maps->hop == SCALAR_BYTES && maps->row_hop % SCALAR_BYTES == 0) {
        *row = maps->row_hop / SCALAR_BYTES;
        return (const SCALAR *)plane;
    }
    *row = maps->columns;
    return NAME(gather_plane)(maps, plane, stage);
}

/* Copy planes of the input into the slab, which has zeros around them. */
static void NAME(fill_planes)(const fastconv_planes *p, const fastconv_maps *x, const char *first,
                              ptrdiff_t planes, SCALAR *slab, SCALAR *stage)
{
    for (ptrdiff_t a = 0; a < p->row_splits; a++) {
        /* The rows of this phase: places a, a + row_splits ... of the padded plane. Divisions cost
         * more than a row, and stay out of the loop over planes. */
        const ptrdiff_t skip = (p->row_splits + a - p->top % p->row_splits) % p->row_splits;
        const ptrdiff_t rows = (p->read_rows - skip + p->row_splits - 1) / p->row_splits;
        const ptrdiff_t at = a * p->slab_phase + (p->top + skip) / p->row_splits * p->slab_row;
        for (ptrdiff_t g = 0; g < planes; g++) {
            ptrdiff_t row;
            const SCALAR *from = NAME(find_plane)(x, first, g, 0, stage, &row);
            SCALAR *to = slab + g * p->slab_plane + at;
            from += (p->read_first + skip) * row;
            row *= p->row_splits;
            for (ptrdiff_t b = 0; b < p->splits; b++) {
                const ptrdiff_t low = p->borders[b].low, n = p->borders[b].high - low;
                const SCALAR *column = from + p->borders[b].first + p->splits * low;
                if (p->splits == 1)
                    NAME(spread)(to + low, p->slab_row, column, row, 1, rows, n);
                else
                    NAME(spread)(to + low, p->slab_row, column, row, 2, rows, n);
                to += p->slab_split;
            }
        }
    }
}

/* Write the phases of a plane from the buffer into the output. */
INLINE void NAME(write_plane)(const fastconv_planes *p, const SCALAR *buffer, SCALAR *out)
{
    for (ptrdiff_t a = 0; a < p->row_step; a++) {
        const SCALAR *even = buffer + a * p->column_step * p->buffer_part;
        const SCALAR *odd = even;
        if (p->column_step == 2 && p->odd_first)
            even += p->buffer_part;
        else if (p->column_step == 2)
            odd += p->buffer_part;
        for (ptrdiff_t i = p->row_first[a]; i < p->out_rows; i += p->row_step) {
            SCALAR *to = out + i * p->out_columns;
            const VECTOR l = *(const VECTOR *)even, r = *(const VECTOR *)odd;
            if (p->column_step == 1) {
                NAME(store_some)(to, l, p->out_columns);
            } else {
                NAME(store_some)(to, ZIP_LOW(l, r), p->out_columns);
                if (p->out_columns > LANES)
                    NAME(store_some)(to + LANES, ZIP_HIGH(l, r), p->out_columns - LANES);
            }
            even += p->slab_row;
            odd += p->slab_row;
        }
    }
}

/* y = x * weights + bias for a block of planes. Each kernel's weights are followed by its bias.
 * The workspace holds `planes` slabs, as many buffers, and a plane of the input. */
static void NAME(correlate_planes)(const SCALAR *weights, const fastconv_planes *p,
                                   const fastconv_maps *x, const char *first,
                                   const fastconv_maps *y, char *out, ptrdiff_t planes,
                                   SCALAR *slab, SCALAR *buffers, SCALAR *stage)
{
    const ptrdiff_t length = (p->rows - 1) * p->slab_row + p->columns;

    NAME(fill_planes)(p, x, first, planes, slab, stage);
    for (ptrdiff_t k = 0; k < p->out_channels; k++) {
        SCALAR *buffer = buffers;
        for (ptrdiff_t g = 0; g < planes; g++) {
            const SCALAR *kernel = weights + (g * p->out_channels + k) * (p->taps + 1);
            for (ptrdiff_t i = 0; i < p->row_step * p->column_step; i++) {
                const fastconv_part *part = p->parts + i;
                const int shared = part->shared > 1;
                NAME(correlate)(slab + g * p->slab_plane, p->slab_row, shared ? p->rows : 1,
                                shared ? p->columns : length, part->shifts, part->columns,
                                part->shared, kernel + part->first_tap, kernel[p->taps],
                                buffer + i * p->buffer_part, p->slab_row);
            }
            buffer += p->buffer_plane;
        }
        for (ptrdiff_t g = 0; g < planes; g++)
            NAME(write_plane)(p, buffers + g * p->buffer_plane,
                              (SCALAR *)(out + g * y->group_hop + k * y->channel_hop));
    }
}

/* Add the products of a block of planes to the sums of each kernel's taps. The buffers have zeros
 * where no residual comes. */
static void NAME(accumulate_planes)(SCALAR *sums, const fastconv_planes *p,
                                    const fastconv_maps *x, const char *first,
                                    const fastconv_maps *dy, const char *residual,
                                    ptrdiff_t planes, SCALAR *slab, SCALAR *buffers,
                                    SCALAR *stage)
{
    const fastconv_part *part = p->parts;
    const int shared = part->shared > 1;
    const ptrdiff_t length = (p->rows - 1) * p->slab_row + p->columns;
    const ptrdiff_t step = shared ? LANES : p->slab_row;
    /* Rows of zeros behind the last make whole tiles. */
    const ptrdiff_t rows = shared ? (p->rows + NAME(ROWS) - 1) / NAME(ROWS) * NAME(ROWS) : 1;
    const ptrdiff_t vectors = shared ? 1 : (length + LANES - 1) / LANES;

    NAME(fill_planes)(p, x, first, planes, slab, stage);
    for (ptrdiff_t k = 0; k < p->out_channels; k++) {
        for (ptrdiff_t g = 0; g < planes; g++) {
            ptrdiff_t row;
            const SCALAR *plane = NAME(find_plane)(dy, residual, g, k, stage, &row);
            NAME(spread)(buffers + g * p->buffer_plane, step, plane, row, 1, p->rows, p->columns);
        }
        for (ptrdiff_t g = 0; g < planes; g++)
            NAME(accumulate)(slab + g * p->slab_plane, p->slab_row, rows, vectors, part->shifts,
                             part->columns, part->shared, buffers + g * p->buffer_plane, step,
                             sums + (g * p->out_channels + k) * p->taps * LANES);
    }
}

#include "base/vector_end.h"
