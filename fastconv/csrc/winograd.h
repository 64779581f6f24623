/* The table of the loops of Winograd's convolution, for each instruction set and scalar type. */
#ifndef FASTCONV_WINOGRAD_H
#define FASTCONV_WINOGRAD_H

#include "isa.h"

#define FASTCONV_EACH "winograd_types.h"
#include "scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "winograd_loops.h"
#include "regions.h"

/* By the taps of a kernel's side. */
static const fastconv_winograd_f *const fastconv_winograd_table3_f[] = FASTCONV_TABLE(winograd3_f);
static const fastconv_winograd_d *const fastconv_winograd_table3_d[] = FASTCONV_TABLE(winograd3_d);
static const fastconv_winograd_f *const fastconv_winograd_table5_f[] = FASTCONV_TABLE(winograd5_f);
static const fastconv_winograd_d *const fastconv_winograd_table5_d[] = FASTCONV_TABLE(winograd5_d);

#endif
