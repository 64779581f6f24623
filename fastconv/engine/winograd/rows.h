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

/* A loop for the type that the first pointer has. */
#define FASTCONV_ROWS(name, isa, x, ...)                                                           \
    FASTCONV_BY_TYPE(x, fastconv_winograd_rows_table)[isa]->name(x, __VA_ARGS__)
#define fastconv_input_rows(isa, ...) FASTCONV_ROWS(input_rows, isa, __VA_ARGS__)
#define fastconv_residual_rows(isa, ...) FASTCONV_ROWS(residual_rows, isa, __VA_ARGS__)
#define fastconv_output_rows(isa, ...) FASTCONV_ROWS(output_rows, isa, __VA_ARGS__)
#define fastconv_kernel_rows(isa, ...) FASTCONV_ROWS(kernel_rows, isa, __VA_ARGS__)
#define fastconv_kernel_gradients(isa, ...) FASTCONV_ROWS(kernel_gradients, isa, __VA_ARGS__)

#endif
