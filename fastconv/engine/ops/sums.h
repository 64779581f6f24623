/* Sums over maps (sums_loops.h) for every instruction set, for float and double. */
#ifndef FASTCONV_SUMS_H
#define FASTCONV_SUMS_H

#include "base/isa.h"

typedef float (*fastconv_sum_f)(const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t);
typedef double (*fastconv_sum_d)(const double *, ptrdiff_t, ptrdiff_t, ptrdiff_t);

#define FASTCONV_EACH "ops/sums_loops.h"
#include "base/regions.h"

static const fastconv_sum_f fastconv_sums_f[] = FASTCONV_TABLE(sum_f);
static const fastconv_sum_d fastconv_sums_d[] = FASTCONV_TABLE(sum_d);

#define fastconv_sum(isa, x, ...) FASTCONV_BY_TYPE(x, fastconv_sums)[isa](x, __VA_ARGS__)

#endif
