/* The table of what tile_loops.h holds, for each instruction set and scalar type. */
#ifndef FASTCONV_BLOCKED_TILE_H
#define FASTCONV_BLOCKED_TILE_H

#include "base/ending.h"
#include "base/isa.h"
#include "blocked/tile_steps.h"

#define FASTCONV_EACH "blocked/tile_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "blocked/tile_loops.h"
#include "base/regions.h"

static const fastconv_blocked_f *const fastconv_blocked_table_f[] = FASTCONV_TABLE(blocked_f);
static const fastconv_blocked_d *const fastconv_blocked_table_d[] = FASTCONV_TABLE(blocked_d);

/* Those of the instruction set in use: what calls them chooses it when it is imported. */
static const fastconv_blocked_f *fastconv_blocked_now_f;
static const fastconv_blocked_d *fastconv_blocked_now_d;

static inline void fastconv_choose_blocked(int isa)
{
    fastconv_blocked_now_f = fastconv_blocked_table_f[isa];
    fastconv_blocked_now_d = fastconv_blocked_table_d[isa];
}

/* By the type of the first pointer. */
#define FASTCONV_BLOCKED(x) FASTCONV_BY_TYPE(x, fastconv_blocked_now)
#define fastconv_run_tile(kind, rows, columns, a, ...)                                             \
    FASTCONV_BLOCKED(a)->tiles[kind][(columns) - 1][(rows) - 1](a, __VA_ARGS__)
#define fastconv_gather(target, ...) FASTCONV_BLOCKED(target)->gather(target, __VA_ARGS__)
#define fastconv_scatter(source, ...) FASTCONV_BLOCKED(source)->scatter(source, __VA_ARGS__)
#define fastconv_add_lanes(sums, ...) FASTCONV_BLOCKED(sums)->add_lanes(sums, __VA_ARGS__)

/* Numbers of this size in a vector. */
static inline ptrdiff_t fastconv_lanes(ptrdiff_t itemsize)
{
    return itemsize == sizeof(float) ? fastconv_blocked_now_f->lanes : fastconv_blocked_now_d->lanes;
}

/* Whether there is a tile of so many rows and columns. */
static inline int fastconv_has_tile(ptrdiff_t itemsize, int kind, ptrdiff_t rows, ptrdiff_t columns)
{
    if (rows < 1 || rows > FASTCONV_TILE_ROWS || columns < 1 || columns > FASTCONV_TILE_COLUMNS)
        return 0;
    return itemsize == sizeof(float)
               ? fastconv_blocked_now_f->tiles[kind][columns - 1][rows - 1] != NULL
               : fastconv_blocked_now_d->tiles[kind][columns - 1][rows - 1] != NULL;
}

#endif
