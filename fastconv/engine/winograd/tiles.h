/* The table of the loops of Winograd's convolution, for each instruction set and scalar type. */
#ifndef FASTCONV_WINOGRAD_H
#define FASTCONV_WINOGRAD_H

#include "base/isa.h"

#define FASTCONV_EACH "winograd/tiles_types.h"
#include "base/scalars.h"
#undef FASTCONV_EACH

#define FASTCONV_EACH "winograd/tiles_loops.h"
#include "base/regions.h"

/* Of each form of tiles. */
enum { FASTCONV_WINOGRAD_FORMS = 8 };
#define FASTCONV_FORMS(type)                                                                       \
    {FASTCONV_TABLE(winograd33_##type), FASTCONV_TABLE(winograd55_##type),                         \
     FASTCONV_TABLE(winograd13_##type), FASTCONV_TABLE(winograd31_##type),                         \
     FASTCONV_TABLE(winograd15_##type), FASTCONV_TABLE(winograd51_##type),                         \
     FASTCONV_TABLE(winograd17_##type), FASTCONV_TABLE(winograd71_##type)}

static const fastconv_winograd_f *const fastconv_winograd_forms_f[][FASTCONV_ISAS] =
    FASTCONV_FORMS(f);
static const fastconv_winograd_d *const fastconv_winograd_forms_d[][FASTCONV_ISAS] =
    FASTCONV_FORMS(d);
#undef FASTCONV_FORMS

/* A loop of a form of tiles, for the type that the first pointer has. */
#define FASTCONV_WINOGRAD(name, form, isa, x, ...)                                                 \
    FASTCONV_BY_TYPE(x, fastconv_winograd_forms)[form][isa]->name(x, __VA_ARGS__)
#define fastconv_stage(form, isa, ...) FASTCONV_WINOGRAD(stage, form, isa, __VA_ARGS__)
#define fastconv_free_inputs(form, isa, ...) FASTCONV_WINOGRAD(free_inputs, form, isa, __VA_ARGS__)
#define fastconv_input_tiles(form, isa, ...) FASTCONV_WINOGRAD(input_tiles, form, isa, __VA_ARGS__)
#define fastconv_residual_tiles(form, isa, ...)                                                    \
    FASTCONV_WINOGRAD(residual_tiles, form, isa, __VA_ARGS__)
#define fastconv_output_tiles(form, isa, ...)                                                      \
    FASTCONV_WINOGRAD(output_tiles, form, isa, __VA_ARGS__)
#define fastconv_unstage(form, isa, ...) FASTCONV_WINOGRAD(unstage, form, isa, __VA_ARGS__)
#define fastconv_kernels(form, isa, ...) FASTCONV_WINOGRAD(kernels, form, isa, __VA_ARGS__)
#define fastconv_kernel_gradients(form, isa, ...)                                                  \
    FASTCONV_WINOGRAD(kernel_gradients, form, isa, __VA_ARGS__)

#endif
