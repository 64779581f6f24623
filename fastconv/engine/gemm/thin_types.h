/* The types of thin.h, for one scalar type. */

/* C = A B + bias: of the first, `b` is the first column; bias may be NULL. */
typedef struct {
    int lanes, steps;
    int columns[FASTCONV_THIN_ROWS];
    void (*pack_turned)(const SCALAR *b, ptrdiff_t stride, ptrdiff_t columns, ptrdiff_t steps,
                        SCALAR *target, ptrdiff_t width);
    void (*turned[FASTCONV_THIN_ROWS])(const SCALAR *a, const SCALAR *b, const SCALAR *bias,
                                       SCALAR *c, const fastconv_thin *p);
    void (*level[FASTCONV_THIN_ROWS])(const SCALAR *a, const SCALAR *b, const SCALAR *bias,
                                      SCALAR *c, const fastconv_thin *p, SCALAR *sums);
    void (*outer[FASTCONV_THIN_STEPS])(const SCALAR *a, const SCALAR *b, SCALAR *c,
                                       ptrdiff_t rows, const fastconv_thin *p);
} TYPED(fastconv_thins);
