/* The table of the loops that copy, for each instruction set and scalar type. */
#ifndef FASTCONV_COPY_H
#define FASTCONV_COPY_H

#include <string.h>

#include "base/ending.h"
#include "base/isa.h"
#include "gemm/run.h"

/* Rows of the maps that go into planes of a slab (slab.pyx), of one sample and depth. Row i is the
 * one at `at` + i * stride in an axis of `size` rows; outside, it is zeros. In elements. */
typedef struct {
    ptrdiff_t at, stride, size;
    ptrdiff_t hop, step;               /* from row to row of the maps, from column to column */
    ptrdiff_t rows, width, plane;      /* of the slab; from plane to plane */
    ptrdiff_t channel, target_channel; /* from channel to channel of the maps, of the slab */
} fastconv_piece;

/* Where the rows of a plane begin, from the piece's: their place in the axis, and their first
 * number inside. Columns low .. high are inside, the others are zeros. */
typedef struct {
    ptrdiff_t at, first, low, high;
} fastconv_plane;

#define FASTCONV_EACH "gemm/copy_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "gemm/copy_loops.h"
#include "base/regions.h"

static const fastconv_copies_f *const fastconv_copy_table_f[] = FASTCONV_TABLE(copies_f);
static const fastconv_copies_d *const fastconv_copy_table_d[] = FASTCONV_TABLE(copies_d);

/* A loop of the table: the type of the source chooses. */
#define FASTCONV_COPIES(name, isa, source, ...)                                                    \
    FASTCONV_BY_TYPE(source, fastconv_copy_table)[isa]->name(source, __VA_ARGS__)
#define fastconv_copy_row(isa, ...) FASTCONV_COPIES(copy_row, isa, __VA_ARGS__)
#define fastconv_copy_planes(isa, ...) FASTCONV_COPIES(copy_planes, isa, __VA_ARGS__)
#define fastconv_pack_columns(isa, ...) FASTCONV_COPIES(pack_columns, isa, __VA_ARGS__)
#define fastconv_pack_panels(isa, ...) FASTCONV_COPIES(pack_panels, isa, __VA_ARGS__)
#define fastconv_pack_rows(isa, ...) FASTCONV_COPIES(pack_rows, isa, __VA_ARGS__)
#define fastconv_transpose(isa, ...) FASTCONV_COPIES(transpose, isa, __VA_ARGS__)
#define fastconv_transpose_rows(isa, ...) FASTCONV_COPIES(transpose_rows, isa, __VA_ARGS__)
#define fastconv_store_pixels(isa, ...) FASTCONV_COPIES(store_pixels, isa, __VA_ARGS__)
#define fastconv_pack_taps(isa, ...) FASTCONV_COPIES(pack_taps, isa, __VA_ARGS__)
#define fastconv_add_vectors(isa, ...) FASTCONV_COPIES(add_vectors, isa, __VA_ARGS__)
#define fastconv_join_columns(isa, ...) FASTCONV_COPIES(join_columns, isa, __VA_ARGS__)

#endif
