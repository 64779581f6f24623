/* Running means, written once: slides.h includes this file for each instruction set. The vectors
 * lie across the lines, each of which is added up in its order.
 *
 * Expects what regions.h defines. */

#if SCALAR_BYTES == 8

#include "base/vector.h"

#define NAME(name) ISA(TYPED(name))
#define INLINE static inline __attribute__((always_inline))
#define LOAD(p) (*(const VECTOR *)(p))
enum { NAME(SLIDES) = 4 };

INLINE void NAME(slide_some)(const int V, const double *x, ptrdiff_t pitch, ptrdiff_t window,
                             ptrdiff_t rows, double *sums, double *y)
{
    const double *ahead = x + window * pitch;
    const double cells = (double)window;
    VECTOR t[NAME(SLIDES)];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++)
        t[v] = LOAD(sums + v * LANES);
    for (ptrdiff_t l = 0; l < rows; l++) {
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) {
            t[v] += LOAD(ahead + v * LANES) - LOAD(x + v * LANES);
            *(VECTOR *)(y + v * LANES) = t[v] / cells;
        }
        ahead += pitch;
        x += pitch;
        y += pitch;
    }
#pragma GCC unroll 4
    for (int v = 0; v < V; v++)
        *(VECTOR *)(sums + v * LANES) = t[v];
}

static void NAME(slide)(const double *x, ptrdiff_t pitch, ptrdiff_t width, ptrdiff_t window,
                        ptrdiff_t rows, double *sums, double *y)
{
    ptrdiff_t j = 0;
    for (; width - j >= NAME(SLIDES) * LANES; j += NAME(SLIDES) * LANES)
        NAME(slide_some)(NAME(SLIDES), x + j, pitch, window, rows, sums + j, y + j);
    for (; j < width; j += LANES)
        NAME(slide_some)(1, x + j, pitch, window, rows, sums + j, y + j);
}

static void NAME(gather)(const double *from, ptrdiff_t from_step, ptrdiff_t rows, double *to,
                         ptrdiff_t to_step)
{
    for (ptrdiff_t l = 0; l < rows; l += LANES) {
        VECTOR block[LANES];
#pragma GCC unroll 8
        for (int c = 0; c < LANES; c++)
            block[c] = LOAD(from + c * from_step + l);
        NAME(turn)(block);
#pragma GCC unroll 8
        for (int i = 0; i < LANES; i++)
            *(VECTOR *)(to + (l + i) * to_step) = block[i];
    }
}

static void NAME(spread)(const double *from, ptrdiff_t from_step, ptrdiff_t rows, double *to,
                         ptrdiff_t to_step)
{
    for (ptrdiff_t l = 0; l < rows; l += LANES) {
        VECTOR block[LANES];
#pragma GCC unroll 8
        for (int i = 0; i < LANES; i++)
            block[i] = LOAD(from + (l + i) * from_step);
        NAME(turn)(block);
#pragma GCC unroll 8
        for (int c = 0; c < LANES; c++)
            *(VECTOR *)(to + c * to_step + l) = block[c];
    }
}

static const fastconv_slides NAME(slides) = {NAME(slide), NAME(gather), NAME(spread)};

#undef LOAD
#undef INLINE
#undef NAME
#include "base/vector_end.h"

#endif
