/* The types of winograd_rows.h, for one scalar type. */

typedef struct {
    void (*input_rows)(const SCALAR *slab, ptrdiff_t line, ptrdiff_t rows, ptrdiff_t tiles,
                       SCALAR *v, ptrdiff_t point_step);
    void (*residual_rows)(const SCALAR *slab, ptrdiff_t line, ptrdiff_t rows, ptrdiff_t tiles,
                          SCALAR *z, ptrdiff_t point_step);
    void (*output_rows)(const SCALAR *m, ptrdiff_t rows, ptrdiff_t tiles, SCALAR *out,
                        ptrdiff_t width);
    void (*kernel_rows)(const SCALAR *w, ptrdiff_t channels, ptrdiff_t channel_step,
                        ptrdiff_t row_step, ptrdiff_t column_step, SCALAR *u,
                        ptrdiff_t point_step);
    void (*kernel_gradients)(const SCALAR *sums, ptrdiff_t point_step, ptrdiff_t channels,
                             SCALAR *dw, ptrdiff_t channel_step, ptrdiff_t row_step,
                             ptrdiff_t column_step);
} TYPED(fastconv_winograd_rows);
