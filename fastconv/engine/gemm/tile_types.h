/* The types of tile.h, for one scalar type. */

/* Where a finished tile goes: of row i, the columns of each run to c + i * row + run.at. */
typedef struct {
    SCALAR *c;
    ptrdiff_t row;
    const fastconv_run *runs;
    ptrdiff_t n_runs;
    const SCALAR *bias; /* one number for each row of the tile, or NULL */
    int accumulate;     /* add to what is there */
} TYPED(fastconv_target);

typedef void (*TYPED(fastconv_tile))(const SCALAR *const *a, const ptrdiff_t *a_at,
                                     const SCALAR *b, const ptrdiff_t *b_at, ptrdiff_t steps,
                                     const TYPED(fastconv_target) * target);

typedef void (*TYPED(fastconv_dot))(const SCALAR *const *a, const SCALAR *const *b,
                                    ptrdiff_t vectors, SCALAR *sums, ptrdiff_t row);

typedef void (*TYPED(fastconv_pixels))(const SCALAR *x, const ptrdiff_t *x_at, const SCALAR *w,
                                       ptrdiff_t steps, const SCALAR *start, SCALAR *sums,
                                       int accumulate);

typedef void (*TYPED(fastconv_blocked))(const SCALAR *x, const ptrdiff_t *x_at, const SCALAR *w,
                                        ptrdiff_t steps, SCALAR *sums, int accumulate,
                                        ptrdiff_t x_ahead, ptrdiff_t w_ahead);

typedef struct {
    int lanes;                      /* numbers in a vector */
    int max_rows[FASTCONV_VECTORS]; /* rows of the tallest tile of 1, 2, ... vectors */
    TYPED(fastconv_tile) tiles[FASTCONV_VECTORS][FASTCONV_ROWS];
    int dot_rows;
    TYPED(fastconv_dot) dots[FASTCONV_DOT_ROWS];
    int max_pixels[FASTCONV_PIXEL_VECTORS]; /* of a tile of 1, 2, ... vectors */
    TYPED(fastconv_pixels) pixels[FASTCONV_SPANS][FASTCONV_PIXEL_VECTORS][FASTCONV_PIXELS];
    /* Pixels a vector apart, and neighbours. */
    TYPED(fastconv_blocked)
    blocked[FASTCONV_LAYOUTS][FASTCONV_BLOCKED_VECTORS][FASTCONV_PIXELS];
} TYPED(fastconv_tiles);
