/* The table of loops for one scalar type; rows.h says what they do. */

typedef struct {
    fastconv_registers registers;
    void (*correlate)(const SCALAR *x, ptrdiff_t x_step, ptrdiff_t rows, ptrdiff_t width,
                      const fastconv_subkernel *sub, const SCALAR *weights, const SCALAR *bias,
                      SCALAR *out, ptrdiff_t out_step);
    void (*accumulate)(const SCALAR *x, ptrdiff_t x_step, ptrdiff_t rows, ptrdiff_t vectors,
                       const fastconv_subkernel *sub, const SCALAR *dy, ptrdiff_t dy_step,
                       SCALAR *sums);
    void (*pack_rows)(SCALAR *to, ptrdiff_t to_row, ptrdiff_t to_phase, const SCALAR *from,
                      ptrdiff_t from_row, ptrdiff_t column, ptrdiff_t stride, ptrdiff_t rows,
                      const fastconv_span *spans, ptrdiff_t phases);
    void (*interleave)(SCALAR *to, ptrdiff_t to_row, const SCALAR *even, const SCALAR *odd,
                       ptrdiff_t from_row, ptrdiff_t rows, ptrdiff_t n);
} TYPED(fastconv_depthwise);
