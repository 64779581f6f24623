/* The types of winograd.h, for one scalar type. */

typedef struct {
    int lanes;                 /* numbers in a vector */
    int row_taps, column_taps; /* of a kernel */
    int row_step, column_step; /* outputs of a tile */
    void (*stage)(const SCALAR *source, ptrdiff_t channel_step, ptrdiff_t channels,
                  ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t rows, ptrdiff_t columns,
                  ptrdiff_t ahead, SCALAR *target, ptrdiff_t pitch);
    /* Only for kernels of 3x3. */
    void (*free_inputs)(SCALAR *stage, ptrdiff_t step, ptrdiff_t next, ptrdiff_t count,
                        ptrdiff_t outputs);
    void (*input_tiles)(const SCALAR *stage, ptrdiff_t pitch, ptrdiff_t rows, ptrdiff_t columns,
                        SCALAR *v, ptrdiff_t tile_step, ptrdiff_t point_step);
    void (*residual_tiles)(const SCALAR *stage, ptrdiff_t pitch, ptrdiff_t rows,
                           ptrdiff_t columns, SCALAR *v, ptrdiff_t tile_step,
                           ptrdiff_t point_step);
    void (*output_tiles)(const SCALAR *m, ptrdiff_t tile_step, ptrdiff_t point_step,
                         const SCALAR *bias, SCALAR *stage, ptrdiff_t rows, ptrdiff_t columns,
                         ptrdiff_t height, ptrdiff_t width);
    void (*unstage)(const SCALAR *stage, ptrdiff_t rows, ptrdiff_t columns, SCALAR *target,
                    ptrdiff_t channel_step, ptrdiff_t channels, ptrdiff_t row_step,
                    ptrdiff_t column_step);
    void (*kernels)(const SCALAR *w, ptrdiff_t output_step, ptrdiff_t outputs,
                    ptrdiff_t w_channel_step, ptrdiff_t channels, ptrdiff_t row_step,
                    ptrdiff_t column_step, SCALAR *u, ptrdiff_t channel_step,
                    ptrdiff_t point_step);
    void (*kernel_gradients)(const SCALAR *m, ptrdiff_t point_step, SCALAR *dw,
                             ptrdiff_t channel_step, ptrdiff_t channels, ptrdiff_t row_step,
                             ptrdiff_t column_step);
} TYPED(fastconv_winograd);
