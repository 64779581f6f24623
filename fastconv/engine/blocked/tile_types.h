/* The types of tile.h, for one scalar type. */

typedef void (*TYPED(fastconv_tile))(const SCALAR *a, const SCALAR *b, const fastconv_steps *steps,
                                     SCALAR *out);

typedef struct {
    int lanes;
    /* By what they are, columns and rows; NULL where there are too few registers. */
    TYPED(fastconv_tile) tiles[FASTCONV_TILES][FASTCONV_TILE_COLUMNS][FASTCONV_TILE_ROWS];
    void (*gather)(SCALAR *target, const SCALAR *const *rows, ptrdiff_t count, const ptrdiff_t *at);
    void (*scatter)(const SCALAR *source, ptrdiff_t count, const SCALAR *bias,
                    const fastconv_ending *ending, SCALAR *const *rows);
    void (*add_lanes)(const SCALAR *sums, ptrdiff_t count, SCALAR *target);
} TYPED(fastconv_blocked);
