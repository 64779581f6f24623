/* The types of kernels.h, for one scalar type; rows.h and planes.h say what the loops do. */

typedef struct {
    ptrdiff_t vector_bytes;
    void (*correlate)(const SCALAR *slab, ptrdiff_t in_step, ptrdiff_t rows, ptrdiff_t width,
                      const ptrdiff_t *shifts, ptrdiff_t columns, ptrdiff_t taps,
                      const SCALAR *weights, SCALAR bias, SCALAR *out, ptrdiff_t out_step);
    void (*accumulate)(const SCALAR *slab, ptrdiff_t in_step, ptrdiff_t rows, ptrdiff_t vectors,
                       const ptrdiff_t *shifts, ptrdiff_t columns, ptrdiff_t taps,
                       const SCALAR *dy, ptrdiff_t dy_step, SCALAR *sums);
    void (*copy_rows)(SCALAR *to, ptrdiff_t to_step, const SCALAR *from, ptrdiff_t from_step,
                      ptrdiff_t rows, ptrdiff_t n);
    void (*split)(SCALAR *even, SCALAR *odd, ptrdiff_t to_step, const SCALAR *from,
                  ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t n, int first, int last);
    void (*merge)(SCALAR *to, ptrdiff_t to_step, const SCALAR *even, const SCALAR *odd,
                  ptrdiff_t from_step, ptrdiff_t rows, ptrdiff_t n);
    void (*correlate_planes)(const SCALAR *weights, const fastconv_planes *p,
                             const fastconv_maps *x, const char *first, const fastconv_maps *y,
                             char *out, ptrdiff_t planes, SCALAR *slab, SCALAR *buffers,
                             SCALAR *stage);
    void (*accumulate_planes)(SCALAR *sums, const fastconv_planes *p, const fastconv_maps *x,
                              const char *first, const fastconv_maps *dy, const char *residual,
                              ptrdiff_t planes, SCALAR *slab, SCALAR *buffers, SCALAR *stage);
} TYPED(fastconv_depthwise);
