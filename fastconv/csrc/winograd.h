/* The table of the loops of Winograd's convolution, for each instruction set and scalar type. */
#ifndef FASTCONV_WINOGRAD_H
#define FASTCONV_WINOGRAD_H

#include "isa.h"

#define FASTCONV_EACH "winograd_types.h"
#include "scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "winograd_loops.h"
#include "regions.h"

static const fastconv_winograd_f *const fastconv_winograd_table_f[] = FASTCONV_TABLE(winograd_f);
static const fastconv_winograd_d *const fastconv_winograd_table_d[] = FASTCONV_TABLE(winograd_d);

#endif
