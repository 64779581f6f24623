/* The table of what tile_loops.h holds, for each instruction set and scalar type. */
#ifndef FASTCONV_BLOCKED_TILE_H
#define FASTCONV_BLOCKED_TILE_H

#include "base/isa.h"
#include "blocked/tile_steps.h"

#define FASTCONV_EACH "blocked/tile_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "blocked/tile_loops.h"
#include "base/regions.h"

static const fastconv_blocked_f *const fastconv_blocked_table_f[] = FASTCONV_TABLE(blocked_f);
static const fastconv_blocked_d *const fastconv_blocked_table_d[] = FASTCONV_TABLE(blocked_d);

/* By the type of `x`, the first argument of all of them. */
#define FASTCONV_BLOCKED(isa, x) FASTCONV_BY_TYPE(x, fastconv_blocked_table)[isa]
#define fastconv_run_tile(isa, kind, rows, columns, a, ...)                                        \
    FASTCONV_BLOCKED(isa, a)->tiles[kind][(columns) - 1][(rows) - 1](a, __VA_ARGS__)
#define fastconv_gather(isa, target, ...) FASTCONV_BLOCKED(isa, target)->gather(target, __VA_ARGS__)
#define fastconv_scatter(isa, source, ...) FASTCONV_BLOCKED(isa, source)->scatter(source, __VA_ARGS__)
#define fastconv_add_lanes(isa, sums, ...) FASTCONV_BLOCKED(isa, sums)->add_lanes(sums, __VA_ARGS__)

/* Numbers of this size in a vector. */
static inline ptrdiff_t fastconv_lanes(int isa, ptrdiff_t itemsize)
{
    return itemsize == sizeof(float) ? fastconv_blocked_table_f[isa]->lanes
                                     : fastconv_blocked_table_d[isa]->lanes;
}

/* Whether there is a tile of so many rows and columns. */
static inline int fastconv_has_tile(int isa, ptrdiff_t itemsize, int kind, ptrdiff_t rows,
                                    ptrdiff_t columns)
{
    if (rows < 1 || rows > FASTCONV_TILE_ROWS || columns < 1 || columns > FASTCONV_TILE_COLUMNS)
        return 0;
    return itemsize == sizeof(float)
               ? fastconv_blocked_table_f[isa]->tiles[kind][columns - 1][rows - 1] != NULL
               : fastconv_blocked_table_d[isa]->tiles[kind][columns - 1][rows - 1] != NULL;
}

#endif
