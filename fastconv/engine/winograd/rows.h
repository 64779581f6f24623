/* The table of the loops of Winograd's convolution along rows, for each instruction set and scalar
 * type. */
#ifndef FASTCONV_WINOGRAD_ROWS_H
#define FASTCONV_WINOGRAD_ROWS_H

#include "base/isa.h"
#include "winograd/rows_sizes.h"

#define FASTCONV_EACH "winograd/rows_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "winograd/rows_loops.h"
#include "base/regions.h"

static const fastconv_winograd_rows_f *const fastconv_winograd_rows_table_f[] =
    FASTCONV_TABLE(winograd_rows_f);
static const fastconv_winograd_rows_d *const fastconv_winograd_rows_table_d[] =
    FASTCONV_TABLE(winograd_rows_d);

#endif
