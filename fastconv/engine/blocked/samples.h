/* The table of the loops with samples in the lanes, for each instruction set and scalar type. */
#ifndef FASTCONV_SAMPLES_H
#define FASTCONV_SAMPLES_H

#include "base/isa.h"
#include "blocked/samples_steps.h"

#define FASTCONV_EACH "blocked/samples_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "blocked/samples_loops.h"
#include "base/regions.h"

static const fastconv_samples_f *const fastconv_samples_table_f[] = FASTCONV_TABLE(samples_f);
static const fastconv_samples_d *const fastconv_samples_table_d[] = FASTCONV_TABLE(samples_d);

#endif
