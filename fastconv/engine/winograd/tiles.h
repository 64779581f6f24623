/* The table of the loops of Winograd's convolution, for each instruction set and scalar type. */
#ifndef FASTCONV_WINOGRAD_H
#define FASTCONV_WINOGRAD_H

#include "base/ending.h"
#include "base/isa.h"

#define FASTCONV_EACH "winograd/tiles_loops.h"
#include "base/regions.h"

/* The tables of a loop, for each form, in the order of forms.h, and instruction set. */
#define FASTCONV_FORMS(name, type)                                                                 \
    static __typeof__(&fastconv_portable_##name##33_##type) const                                  \
        fastconv_##name##_forms_##type[][FASTCONV_ISAS] = {                                        \
            FASTCONV_TABLE(name##22_##type), FASTCONV_TABLE(name##33_##type),                      \
            FASTCONV_TABLE(name##55_##type), FASTCONV_TABLE(name##12_##type),                      \
            FASTCONV_TABLE(name##21_##type), FASTCONV_TABLE(name##13_##type),                      \
            FASTCONV_TABLE(name##31_##type),                                                       \
            FASTCONV_TABLE(name##15_##type), FASTCONV_TABLE(name##51_##type),                      \
            FASTCONV_TABLE(name##17_##type), FASTCONV_TABLE(name##71_##type)};
#define FASTCONV_FORM_LOOP(name) FASTCONV_FORMS(name, f) FASTCONV_FORMS(name, d)
/* A loop of a form, for the type that the first pointer has. */
#define FASTCONV_OF_FORM(name, form, isa, x, ...)                                                  \
    FASTCONV_BY_TYPE(x, fastconv_##name##_forms)[form][isa](x, __VA_ARGS__)

FASTCONV_LOOP(stage)
FASTCONV_LOOP(unstage)
FASTCONV_LOOP(kernels_of_taps)
FASTCONV_LOOP(free_lines33)
FASTCONV_FORM_LOOP(input_tiles)
FASTCONV_FORM_LOOP(residual_tiles)
FASTCONV_FORM_LOOP(output_tiles)
FASTCONV_FORM_LOOP(kernels)
FASTCONV_FORM_LOOP(kernel_gradients)
#define fastconv_stage(isa, ...) FASTCONV_CALL(stage, isa, __VA_ARGS__)
#define fastconv_unstage(isa, ...) FASTCONV_CALL(unstage, isa, __VA_ARGS__)
#define fastconv_kernels_of_taps(isa, ...) FASTCONV_CALL(kernels_of_taps, isa, __VA_ARGS__)
#define fastconv_free_inputs(isa, ...) FASTCONV_CALL(free_lines33, isa, __VA_ARGS__)
#define fastconv_input_tiles(form, isa, ...) FASTCONV_OF_FORM(input_tiles, form, isa, __VA_ARGS__)
#define fastconv_residual_tiles(form, isa, ...)                                                    \
    FASTCONV_OF_FORM(residual_tiles, form, isa, __VA_ARGS__)
#define fastconv_output_tiles(form, isa, ...) FASTCONV_OF_FORM(output_tiles, form, isa, __VA_ARGS__)
#define fastconv_kernels(form, isa, ...) FASTCONV_OF_FORM(kernels, form, isa, __VA_ARGS__)
#define fastconv_kernel_gradients(form, isa, ...)                                                  \
    FASTCONV_OF_FORM(kernel_gradients, form, isa, __VA_ARGS__)

#endif
