/* The inner loops of depthwise convolution (rows.h) for every instruction set, for float and
 * double. */
#ifndef FASTCONV_DEPTHWISE_H
#define FASTCONV_DEPTHWISE_H

#include "base/isa.h"

/* Taps of one kernel column that share what they load: the most that there is a loop for, of those
 * that divide the column. */
static inline ptrdiff_t fastconv_shared_taps(ptrdiff_t taps)
{
    return taps % 7 == 0 ? 7 : taps % 5 == 0 ? 5 : taps % 3 == 0 ? 3 : taps % 2 == 0 ? 2 : 1;
}

/* The taps of one phase on each axis, column by column. */
typedef struct {
    ptrdiff_t columns;       /* of `shared` taps each */
    ptrdiff_t shared;
    const ptrdiff_t *shifts; /* where each column begins in the slab */
    ptrdiff_t first_tap;     /* in the list of all phases' taps */
} fastconv_part;

/* What a row of the slab holds of the input: from column `first`, a stride apart, the places from
 * `low` to `high`; the others are padding. */
typedef struct {
    ptrdiff_t first, low, high;
} fastconv_border;

/* Small planes: where the slab holds the input, and where the buffer the output. Rows of the padded
 * input are parted by phase of the stride (row_splits, slab_phase), columns likewise (splits,
 * slab_split). All in elements. */
typedef struct {
    ptrdiff_t rows, columns;               /* outputs of a phase */
    ptrdiff_t out_rows, out_columns;       /* of all phases */
    ptrdiff_t read_first, read_rows;       /* rows of the input */
    ptrdiff_t top;                         /* where the first of them lies in the padded input */
    ptrdiff_t row_splits, splits;
    ptrdiff_t slab_row, slab_split, slab_phase, slab_plane;
    ptrdiff_t row_step, column_step;       /* phases of the output: 1 or 2 */
    ptrdiff_t row_first[2];                /* where those of the rows begin */
    int odd_first;                         /* the odd columns' phase comes first */
    ptrdiff_t buffer_part, buffer_plane;
    ptrdiff_t out_channels, taps;
    const fastconv_border *borders;
    const fastconv_part *parts;
} fastconv_planes;

/* How maps lie in memory: distances in bytes. */
typedef struct {
    ptrdiff_t rows, columns;
    ptrdiff_t group_hop, channel_hop, row_hop, hop;
} fastconv_maps;

#define FASTCONV_EACH "depthwise/types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "depthwise/rows.h"
#include "base/regions.h"

static const fastconv_depthwise_f *const fastconv_depthwise_table_f[] = FASTCONV_TABLE(depthwise_f);
static const fastconv_depthwise_d *const fastconv_depthwise_table_d[] = FASTCONV_TABLE(depthwise_d);

#define FASTCONV_DEPTHWISE(name, isa, x, ...)                                                      \
    FASTCONV_BY_TYPE(x, fastconv_depthwise_table)[isa]->name(x, __VA_ARGS__)
#define fastconv_correlate(isa, ...) FASTCONV_DEPTHWISE(correlate, isa, __VA_ARGS__)
#define fastconv_accumulate(isa, ...) FASTCONV_DEPTHWISE(accumulate, isa, __VA_ARGS__)
#define fastconv_copy_rows(isa, ...) FASTCONV_DEPTHWISE(copy_rows, isa, __VA_ARGS__)
#define fastconv_split(isa, ...) FASTCONV_DEPTHWISE(split, isa, __VA_ARGS__)
#define fastconv_merge(isa, ...) FASTCONV_DEPTHWISE(merge, isa, __VA_ARGS__)
#define fastconv_correlate_planes(isa, ...) FASTCONV_DEPTHWISE(correlate_planes, isa, __VA_ARGS__)
#define fastconv_accumulate_planes(isa, ...) FASTCONV_DEPTHWISE(accumulate_planes, isa, __VA_ARGS__)

static inline ptrdiff_t fastconv_vector_bytes(int isa)
{
    return fastconv_depthwise_table_f[isa]->vector_bytes;
}

#endif
