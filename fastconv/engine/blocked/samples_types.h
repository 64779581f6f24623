/* The types of samples.h, for one scalar type. */

typedef void (*TYPED(fastconv_sample_tile))(const SCALAR *w, const SCALAR *x,
                                            const fastconv_sample_loops *loops, SCALAR *out);

typedef void (*TYPED(fastconv_sample_sums))(const SCALAR *dy, const SCALAR *x, const ptrdiff_t *at,
                                            const fastconv_sample_lines *lines, SCALAR *sums);

typedef struct {
    int lanes;                        /* samples in a vector */
    int rows;                         /* output channels of the tallest tile */
    int pixels[FASTCONV_SAMPLE_ROWS]; /* of the widest tile of 1, 2, ... output channels */
    TYPED(fastconv_sample_tile) tiles[FASTCONV_SAMPLE_PIXELS][FASTCONV_SAMPLE_ROWS];
    TYPED(fastconv_sample_tile) lane_tiles[FASTCONV_LANE_PIXELS];
    int sum_rows;                     /* output channels of the most sums */
    int sum_steps[FASTCONV_SUM_ROWS]; /* of the most sums of 1, 2, ... output channels */
    TYPED(fastconv_sample_sums) sums[FASTCONV_SUM_ROWS][FASTCONV_SUM_STEPS];
    void (*gather)(const SCALAR *const *rows, ptrdiff_t count, const ptrdiff_t *at,
                   SCALAR *target);
    void (*scatter)(const SCALAR *source, ptrdiff_t count, const SCALAR *bias,
                    SCALAR *const *rows);
    void (*add_lanes)(const SCALAR *sums, ptrdiff_t count, SCALAR *target);
} TYPED(fastconv_samples);
