/* The types of copy.h, for one scalar type. */

typedef struct {
    void (*copy_row)(const SCALAR *source, ptrdiff_t step, ptrdiff_t count, SCALAR *target);
    void (*copy_planes)(const SCALAR *source, const fastconv_piece *piece,
                        const fastconv_plane *planes, ptrdiff_t n_planes, ptrdiff_t channels,
                        SCALAR *target);
    void (*pack_columns)(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t steps,
                         const fastconv_run *runs, ptrdiff_t n_runs, int overrun,
                         ptrdiff_t width, SCALAR *panels);
    void (*pack_panels)(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t steps,
                        ptrdiff_t panels, ptrdiff_t height, ptrdiff_t panel_step, SCALAR *packed);
    void (*pack_rows)(const SCALAR *source, ptrdiff_t row, ptrdiff_t rows, const ptrdiff_t *at,
                      ptrdiff_t steps, ptrdiff_t height, SCALAR *panel);
    void (*transpose)(const SCALAR *source, ptrdiff_t source_row, ptrdiff_t rows,
                      ptrdiff_t columns, SCALAR *target, ptrdiff_t target_row);
    void (*transpose_rows)(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t rows,
                           ptrdiff_t columns, SCALAR *target, ptrdiff_t target_row);
    void (*store_pixels)(const SCALAR *source, ptrdiff_t source_row, ptrdiff_t pixels,
                         ptrdiff_t channels, const SCALAR *bias, SCALAR *target,
                         ptrdiff_t target_row, ptrdiff_t step, const fastconv_ending *ending);
    void (*pack_taps)(const SCALAR *source, ptrdiff_t row, ptrdiff_t steps, ptrdiff_t channels,
                      ptrdiff_t taps, SCALAR *panels);
    void (*add_vectors)(const SCALAR *source, const ptrdiff_t *at, ptrdiff_t count,
                        SCALAR *target);
    void (*join_columns)(const SCALAR *source, ptrdiff_t row, ptrdiff_t columns,
                         const fastconv_run *runs, ptrdiff_t n_runs, SCALAR *target);
} TYPED(fastconv_copies);
