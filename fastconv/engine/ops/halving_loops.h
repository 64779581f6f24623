/* Means of two by two, and their gradient, written once: halving.h includes this file for each
 * instruction set and type.
 *
 * A strip of rows goes through a buffer in which rows have no gap and no tail, so that all but the
 * sums of two rows (or their copies) is one loop over the strip.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

/* target = a + b for neighbours; what is left ends with the last element, and partly comes again. */
static inline __attribute__((always_inline)) void
ISA(TYPED(add_rows))(const SCALAR *a, const SCALAR *b, ptrdiff_t count, SCALAR *target)
{
    ptrdiff_t j = 0;

    for (; j + LANES <= count; j += LANES)
        *(VECTOR *)(target + j) = *(const VECTOR *)(a + j) + *(const VECTOR *)(b + j);
    if (j == count)
        return;
    if (j) {
        j = count - LANES;
        *(VECTOR *)(target + j) = *(const VECTOR *)(a + j) + *(const VECTOR *)(b + j);
    } else if (count >= LANES / 2) {
        *(HALF *)target = *(const HALF *)a + *(const HALF *)b;
        j = count - LANES / 2;
        *(HALF *)(target + j) = *(const HALF *)(a + j) + *(const HALF *)(b + j);
    } else {
        for (; j < count; j++)
            target[j] = a[j] + b[j];
    }
}

/* y[i][j] = the mean of x[2i][2j], x[2i + 1][2j], x[2i][2j + 1] and x[2i + 1][2j + 1]. The buffer
 * has room for 2 * rows * columns + 1 numbers. */
static __attribute__((noinline)) void ISA(TYPED(halve))(const SCALAR *x, ptrdiff_t width,
                                                        ptrdiff_t rows, ptrdiff_t columns,
                                                        SCALAR *y, SCALAR *buffer)
{
    const ptrdiff_t count = rows * columns;
    const SCALAR *from;
    ptrdiff_t j = 0;

    for (ptrdiff_t i = 0; i < rows; i++, x += 2 * width)
        ISA(TYPED(add_rows))(x, x + width, 2 * columns, buffer + i * 2 * columns);
    for (; j + LANES <= count; j += LANES) {
        from = buffer + 2 * j;
        *(VECTOR *)(y + j) =
            (EVEN(*(const VECTOR *)from, *(const VECTOR *)(from + LANES)) +
             EVEN(*(const VECTOR *)(from + 1), *(const VECTOR *)(from + 1 + LANES))) *
            (SCALAR)0.25;
    }
    for (; j < count; j++)
        y[j] = (buffer[2 * j] + buffer[2 * j + 1]) * (SCALAR)0.25;
}

/* The gradient: dx[2i + 0, 1][2j + 0, 1] = dy[i][j] / 4. The buffer has room for
 * 2 * rows * columns numbers. */
static __attribute__((noinline)) void ISA(TYPED(twice))(const SCALAR *dy, ptrdiff_t width,
                                                        ptrdiff_t rows, ptrdiff_t columns,
                                                        SCALAR *dx, SCALAR *buffer)
{
    const ptrdiff_t count = rows * columns;
    ptrdiff_t j = 0;

    for (; j + LANES <= count; j += LANES) {
        const VECTOR share = *(const VECTOR *)(dy + j) * (SCALAR)0.25;
        *(VECTOR *)(buffer + 2 * j) = ZIP_LOW(share, share);
        *(VECTOR *)(buffer + 2 * j + LANES) = ZIP_HIGH(share, share);
    }
    for (; j < count; j++)
        buffer[2 * j] = buffer[2 * j + 1] = dy[j] * (SCALAR)0.25;
    for (ptrdiff_t i = 0; i < 2 * rows; i++, dx += width) {
        ISA(TYPED(copy))(buffer + i / 2 * 2 * columns, 1, 2 * columns, dx);
        for (j = 2 * columns; j < width; j++)
            dx[j] = 0;
    }
}

static const TYPED(fastconv_halving) ISA(TYPED(halving)) = {
    ISA(TYPED(halve)),
    ISA(TYPED(twice)),
};

#include "base/vector_end.h"
