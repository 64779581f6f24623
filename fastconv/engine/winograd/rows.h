/* The table of the loops of Winograd's convolution along rows, for each instruction set and scalar
 * type. */
#ifndef FASTCONV_WINOGRAD_ROWS_H
#define FASTCONV_WINOGRAD_ROWS_H

#include "base/isa.h"
#include "winograd/rows_sizes.h"

#define FASTCONV_EACH "winograd/rows_loops.h"
#include "base/regions.h"

FASTCONV_LOOP(input_rows)
FASTCONV_LOOP(residual_rows)
FASTCONV_LOOP(output_rows)
FASTCONV_LOOP(kernel_rows)
FASTCONV_LOOP(kernel_gradients)
#define fastconv_input_rows(isa, ...) FASTCONV_CALL(input_rows, isa, __VA_ARGS__)
#define fastconv_residual_rows(isa, ...) FASTCONV_CALL(residual_rows, isa, __VA_ARGS__)
#define fastconv_output_rows(isa, ...) FASTCONV_CALL(output_rows, isa, __VA_ARGS__)
#define fastconv_kernel_rows(isa, ...) FASTCONV_CALL(kernel_rows, isa, __VA_ARGS__)
#define fastconv_kernel_gradients(isa, ...) FASTCONV_CALL(kernel_gradients, isa, __VA_ARGS__)

#endif
