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
/* A tile of pixels has at most so many, of so many vectors of output channels; it may take 1, 3 or
 * 5 steps at once. */
#define FASTCONV_PIXELS 14
#define FASTCONV_PIXEL_VECTORS 3
#define FASTCONV_SPANS 3
/* In Winograd's products the pixels lie a vector apart or are neighbours; so many vectors at most. */
#define FASTCONV_LAYOUTS 2
#define FASTCONV_BLOCKED_VECTORS 2

#define FASTCONV_EACH "gemm/tile_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "gemm/tile_loops.h"
#include "base/regions.h"

static const fastconv_tiles_f *const fastconv_tile_table_f[] = FASTCONV_TABLE(tiles_f);
static const fastconv_tiles_d *const fastconv_tile_table_d[] = FASTCONV_TABLE(tiles_d);

#endif
