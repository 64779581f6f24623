/* The inner loops of depthwise convolution (depthwise_rows.h) for every instruction set, for float
 * and double. */
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

typedef void (*fastconv_correlate_f)(const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                     const ptrdiff_t *, ptrdiff_t, ptrdiff_t, const float *, float,
                                     float *, ptrdiff_t);
typedef void (*fastconv_correlate_d)(const double *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                     const ptrdiff_t *, ptrdiff_t, ptrdiff_t, const double *,
                                     double, double *, ptrdiff_t);
typedef void (*fastconv_accumulate_f)(const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                      const ptrdiff_t *, ptrdiff_t, ptrdiff_t, const float *,
                                      ptrdiff_t, float *);
typedef void (*fastconv_accumulate_d)(const double *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                      const ptrdiff_t *, ptrdiff_t, ptrdiff_t, const double *,
                                      ptrdiff_t, double *);
typedef void (*fastconv_copy_f)(float *, ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t);
typedef void (*fastconv_copy_d)(double *, ptrdiff_t, const double *, ptrdiff_t, ptrdiff_t,
                                ptrdiff_t);
typedef void (*fastconv_split_f)(float *, float *, ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t,
                                 ptrdiff_t, int, int);
typedef void (*fastconv_split_d)(double *, double *, ptrdiff_t, const double *, ptrdiff_t, ptrdiff_t,
                                 ptrdiff_t, int, int);
typedef void (*fastconv_merge_f)(float *, ptrdiff_t, const float *, const float *, ptrdiff_t,
                                 ptrdiff_t, ptrdiff_t);
typedef void (*fastconv_merge_d)(double *, ptrdiff_t, const double *, const double *, ptrdiff_t,
                                 ptrdiff_t, ptrdiff_t);

typedef void (*fastconv_correlate_planes_f)(const fastconv_planes *, const fastconv_maps *,
                                            const char *, const fastconv_maps *, char *, ptrdiff_t,
                                            const float *, float *, float *, float *);
typedef void (*fastconv_correlate_planes_d)(const fastconv_planes *, const fastconv_maps *,
                                            const char *, const fastconv_maps *, char *, ptrdiff_t,
                                            const double *, double *, double *, double *);
typedef void (*fastconv_accumulate_planes_f)(const fastconv_planes *, const fastconv_maps *,
                                             const char *, const fastconv_maps *, const char *,
                                             ptrdiff_t, float *, float *, float *, float *);
typedef void (*fastconv_accumulate_planes_d)(const fastconv_planes *, const fastconv_maps *,
                                             const char *, const fastconv_maps *, const char *,
                                             ptrdiff_t, double *, double *, double *, double *);

typedef struct {
    int vector_bytes;
    fastconv_correlate_f correlate_f;
    fastconv_accumulate_f accumulate_f;
    fastconv_copy_f copy_f;
    fastconv_split_f split_f;
    fastconv_merge_f merge_f;
    fastconv_correlate_planes_f correlate_planes_f;
    fastconv_accumulate_planes_f accumulate_planes_f;
    fastconv_correlate_d correlate_d;
    fastconv_accumulate_d accumulate_d;
    fastconv_copy_d copy_d;
    fastconv_split_d split_d;
    fastconv_merge_d merge_d;
    fastconv_correlate_planes_d correlate_planes_d;
    fastconv_accumulate_planes_d accumulate_planes_d;
} fastconv_depthwise_row;

#define FASTCONV_EACH "depthwise/rows.h"
#include "base/regions.h"

#define FASTCONV_TYPE(isa, t)                                                          \
    fastconv_##isa##_correlate_##t, fastconv_##isa##_accumulate_##t,                   \
        fastconv_##isa##_copy_rows_##t, fastconv_##isa##_split_##t,                    \
        fastconv_##isa##_merge_##t, fastconv_##isa##_correlate_planes_##t,             \
        fastconv_##isa##_accumulate_planes_##t
#define FASTCONV_ROW(isa, _)                                                           \
    {fastconv_##isa##_vector_bytes_f, FASTCONV_TYPE(isa, f), FASTCONV_TYPE(isa, d)},
static const fastconv_depthwise_row fastconv_depthwise[] = {FASTCONV_EACH_ISA(FASTCONV_ROW, _)};
#undef FASTCONV_ROW
#undef FASTCONV_TYPE

#endif
