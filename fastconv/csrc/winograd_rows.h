/* The table of the loops of Winograd's convolution along rows, for each instruction set and scalar
 * type. */
#ifndef FASTCONV_WINOGRAD_ROWS_H
#define FASTCONV_WINOGRAD_ROWS_H

#include "isa.h"
#include "winograd_rows_sizes.h"

#define FASTCONV_EACH "winograd_rows_types.h"
#include "scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "winograd_rows_loops.h"
#include "regions.h"

static const fastconv_winograd_rows_f *const fastconv_winograd_rows_table_f[] =
    FASTCONV_TABLE(winograd_rows_f);
static const fastconv_winograd_rows_d *const fastconv_winograd_rows_table_d[] =
    FASTCONV_TABLE(winograd_rows_d);

#endif
