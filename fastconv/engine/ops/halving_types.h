/* The types of halving.h, for one scalar type. */

typedef struct {
    void (*halve)(const SCALAR *x, ptrdiff_t width, ptrdiff_t rows, ptrdiff_t columns, SCALAR *y,
                  SCALAR *buffer);
    void (*twice)(const SCALAR *dy, ptrdiff_t width, ptrdiff_t rows, ptrdiff_t columns, SCALAR *dx,
                  SCALAR *buffer);
} TYPED(fastconv_halving);
