/* The table of the loops with the channels of a map in the lanes, for each instruction set and
 * scalar type. */
#ifndef FASTCONV_CHANNELS_H
#define FASTCONV_CHANNELS_H

#include "base/isa.h"
#include "blocked/channels_steps.h"

#define FASTCONV_EACH "blocked/channels_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "blocked/channels_loops.h"
#include "base/regions.h"

static const fastconv_channels_f *const fastconv_channels_table_f[] = FASTCONV_TABLE(channels_f);
static const fastconv_channels_d *const fastconv_channels_table_d[] = FASTCONV_TABLE(channels_d);

#endif
