/* Sums of arrays, written once: joining.h includes this file for each instruction set and type.
 *
 * Expects what regions.h defines. */

static void ISA(TYPED(add_arrays))(const void *first, const void *second, void *to, ptrdiff_t count)
{
    const SCALAR *a = first, *b = second;
    SCALAR *y = to;
    for (ptrdiff_t i = 0; i < count; i++)
        y[i] = a[i] + b[i];
}

static const fastconv_joining ISA(TYPED(joining)) = {ISA(TYPED(add_arrays))};
