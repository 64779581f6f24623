/* The table of the loops that halve and double a map, for each instruction set and scalar type. */
#ifndef FASTCONV_HALVING_H
#define FASTCONV_HALVING_H

#include <string.h>

#include "base/isa.h"

#define FASTCONV_EACH "ops/halving_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "ops/halving_loops.h"
#include "base/regions.h"

static const fastconv_halving_f *const fastconv_halving_table_f[] = FASTCONV_TABLE(halving_f);
static const fastconv_halving_d *const fastconv_halving_table_d[] = FASTCONV_TABLE(halving_d);

#define fastconv_halve(isa, x, ...)                                                                \
    FASTCONV_BY_TYPE(x, fastconv_halving_table)[isa]->halve(x, __VA_ARGS__)
#define fastconv_twice(isa, x, ...)                                                                \
    FASTCONV_BY_TYPE(x, fastconv_halving_table)[isa]->twice(x, __VA_ARGS__)

#endif
