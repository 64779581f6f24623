/* The steps of the register tile of tile_loops.h, for those that call it. */
#ifndef FASTCONV_BLOCKED_STEPS_H
#define FASTCONV_BLOCKED_STEPS_H

#include <stddef.h>

/* What A and B are in a tile sum[i][j] += A(i) * B(j):
 *
 *                     A(i)                                    B(j)
 *     SAMPLES         a weight of output channel i            pixel j
 *     GROUPS          a weight of each group, i = 0           pixel j
 *     LANE_SUMS       a pixel of output channel i             the pixel of the input at step j
 *     CHANNELS        a number of pixel i                     weights of output channels, vector j
 *     CHANNEL_SUMS    a number of input channel i             a pixel's output channels, vector j
 *
 * PAIRS and PAIR_SUMS are the last two with the numbers of two groups by turns. The sums are those of
 * the weight gradient. */
enum {
    FASTCONV_SAMPLES,
    FASTCONV_GROUPS,
    FASTCONV_LANE_SUMS,
    FASTCONV_CHANNELS,
    FASTCONV_PAIRS,
    FASTCONV_CHANNEL_SUMS,
    FASTCONV_PAIR_SUMS,
    FASTCONV_TILES
};

/* The most rows, i, and columns, j, of a tile. */
#define FASTCONV_TILE_ROWS 14
#define FASTCONV_TILE_COLUMNS 9

/* The steps of a tile, in three loops, the outermost first; and where A(i), B(j) and sum[i][j] lie, in
 * elements. What is not named here is constant: it lies side by side. The sums have no outer loop. */
typedef struct {
    ptrdiff_t count[3], a_hop[3], b_hop[3];
    const ptrdiff_t *outer_at, *inner_at; /* CHANNELS: where A lies at each step of the outer and the
                                             inner loop; the inner list has one place more */
    const ptrdiff_t *b_at;    /* LANE_SUMS: where B(j) lies */
    ptrdiff_t a_row;          /* SAMPLES, LANE_SUMS: from A(i) to A(i + 1) */
    ptrdiff_t b_column;       /* SAMPLES, GROUPS: from B(j) to B(j + 1) */
    ptrdiff_t out_row;        /* from sum[i][j] to sum[i + 1][j] */
    ptrdiff_t out_column;     /* all but LANE_SUMS, whose columns are neighbours */
    int first;                /* nothing was added to these sums yet */
} fastconv_steps;

#endif
