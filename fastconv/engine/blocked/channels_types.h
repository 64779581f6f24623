/* The types of channels.h, for one scalar type. */

typedef void (*TYPED(fastconv_channel_tile))(const SCALAR *w, const SCALAR *x,
                                             const fastconv_channel_loops *loops, SCALAR *out);

typedef void (*TYPED(fastconv_channel_sums))(const SCALAR *dy, const SCALAR *x,
                                             const fastconv_channel_lines *lines, SCALAR *sums);

typedef struct {
    int lanes;                            /* numbers in a vector */
    int groups;                           /* the most groups of a vector */
    int most[FASTCONV_CHANNEL_VECTORS];   /* pixels of a tile, or rows of sums, so many vectors wide */
    TYPED(fastconv_channel_tile)
    tiles[FASTCONV_CHANNEL_GROUPS][FASTCONV_CHANNEL_VECTORS][FASTCONV_CHANNEL_PIXELS];
    TYPED(fastconv_channel_sums)
    sums[FASTCONV_CHANNEL_GROUPS][FASTCONV_CHANNEL_VECTORS][FASTCONV_CHANNEL_PIXELS];
} TYPED(fastconv_channels);
