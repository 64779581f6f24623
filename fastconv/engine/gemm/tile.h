/* The table of micro-kernels: for each instruction set and scalar type, the tiles of every size. */
#ifndef FASTCONV_TILE_H
#define FASTCONV_TILE_H

#include "base/isa.h"
#include "gemm/run.h"

/* A tile has at most so many rows, and so many vectors to a row. */
#define FASTCONV_ROWS 12
#define FASTCONV_VECTORS 4
/* And the sums along the vectors: at most so many rows, always so many columns. */
#define FASTCONV_DOT_ROWS 6
#define FASTCONV_DOT_COLUMNS 4
/* A tile of pixels has at most so many, of so many vectors of output channels. It is of a kind: it
 * takes 1, 3 or 5 steps at once; or, in Winograd's products, it fetches the next operands, and its
 * pixels lie a vector apart or are neighbours, with fewer vectors. */
#define FASTCONV_PIXELS 14
#define FASTCONV_PIXEL_VECTORS 3
#define FASTCONV_KINDS 5
#define FASTCONV_APART 3
#define FASTCONV_NEIGHBOURS 4
#define FASTCONV_BLOCKED_VECTORS 2

/* The sizes of one row of the table. */
typedef struct {
    int lanes;                              /* numbers in a vector */
    int max_rows[FASTCONV_VECTORS];         /* rows of the tallest tile of 1, 2, ... vectors */
    int output_vectors;                     /* most vectors of a tile's row of output channels */
    int dot_rows;                           /* most rows of sums along the vectors */
    int max_pixels[FASTCONV_PIXEL_VECTORS]; /* most pixels of a tile of 1, 2, ... vectors */
} fastconv_sizes;

#define FASTCONV_EACH "gemm/tile_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "gemm/tile_loops.h"
#include "base/regions.h"

static const fastconv_tiles_f *const fastconv_tile_table_f[] = FASTCONV_TABLE(tiles_f);
static const fastconv_tiles_d *const fastconv_tile_table_d[] = FASTCONV_TABLE(tiles_d);

static inline const fastconv_sizes *fastconv_sizes_of(int isa, ptrdiff_t itemsize)
{
    return itemsize == sizeof(float) ? &fastconv_tile_table_f[isa]->sizes
                                     : &fastconv_tile_table_d[isa]->sizes;
}

/* The type of the second operand chooses; tile_types.h says what the others are. */
#define fastconv_run_tile(isa, rows, vectors, a, a_at, b, ...)                                     \
    FASTCONV_BY_TYPE(b, fastconv_tile_table)                                                       \
    [isa]->tiles[(vectors)-1][(rows)-1](a, a_at, b, __VA_ARGS__)
#define fastconv_run_dots(isa, rows, a, b, vectors, sums, row)                                     \
    FASTCONV_BY_TYPE(sums, fastconv_tile_table)[isa]->dots[(rows)-1](a, b, vectors, sums, row)
#define fastconv_run_pixels(isa, pixels_, vectors, kind, x, ...)                                   \
    FASTCONV_BY_TYPE(x, fastconv_tile_table)                                                       \
    [isa]->pixels[kind][(vectors)-1][(pixels_)-1](x, __VA_ARGS__)

#endif
