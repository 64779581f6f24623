/* The types of tile.h, for one scalar type. */

typedef void (*TYPED(fastconv_tile))(const SCALAR *const *a, const ptrdiff_t *a_at,
                                     const SCALAR *b, const ptrdiff_t *b_at, ptrdiff_t steps,
                                     const fastconv_target *target);

typedef void (*TYPED(fastconv_dot))(const SCALAR *const *a, const SCALAR *const *b,
                                    ptrdiff_t vectors, SCALAR *sums, ptrdiff_t row);

typedef void (*TYPED(fastconv_pixels))(const SCALAR *x, const ptrdiff_t *x_at, const SCALAR *w,
                                       ptrdiff_t steps, const SCALAR *start, SCALAR *sums,
                                       int accumulate, ptrdiff_t x_ahead, ptrdiff_t w_ahead);

typedef struct {
    fastconv_sizes sizes;
    TYPED(fastconv_tile) tiles[FASTCONV_VECTORS][FASTCONV_ROWS];
    TYPED(fastconv_dot) dots[FASTCONV_DOT_ROWS];
    TYPED(fastconv_pixels) pixels[FASTCONV_KINDS][FASTCONV_PIXEL_VECTORS][FASTCONV_PIXELS];
} TYPED(fastconv_tiles);
