/* The table of the loops that copy, for each instruction set and scalar type. */
#ifndef FASTCONV_COPY_H
#define FASTCONV_COPY_H

#include <string.h>

#include "base/isa.h"
#include "gemm/run.h"

#define FASTCONV_EACH "gemm/copy_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "gemm/copy_loops.h"
#include "base/regions.h"

static const fastconv_copies_f *const fastconv_copy_table_f[] = FASTCONV_TABLE(copies_f);
static const fastconv_copies_d *const fastconv_copy_table_d[] = FASTCONV_TABLE(copies_d);

#endif
