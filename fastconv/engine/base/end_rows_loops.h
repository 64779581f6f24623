/* The ending of rows that are stored, for kernels that do not end them. */

#include "base/vector.h"

static void ISA(TYPED(ended))(SCALAR *c, ptrdiff_t rows, ptrdiff_t row, ptrdiff_t count,
                              ptrdiff_t step, const fastconv_ending *ending)
{
    ISA(TYPED(end_rows))(c, rows, row, count, step, ending);
}

#include "base/vector_end.h"
