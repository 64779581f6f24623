/* Functions of one element at a time (elementwise_loops.h) for every instruction set, for float and
 * double. */
#ifndef FASTCONV_ELEMENTWISE_H
#define FASTCONV_ELEMENTWISE_H

#include <stdint.h>
#include <string.h>

#include "base/isa.h"

typedef void (*fastconv_map_f)(const float *, float *, ptrdiff_t);
typedef void (*fastconv_map_d)(const double *, double *, ptrdiff_t);
typedef void (*fastconv_gradient_f)(const float *, const float *, float *, ptrdiff_t);
typedef void (*fastconv_gradient_d)(const double *, const double *, double *, ptrdiff_t);
typedef void (*fastconv_exp_f)(const float *, float, float *, ptrdiff_t);
typedef void (*fastconv_exp_d)(const double *, double, double *, ptrdiff_t);

typedef struct {
    fastconv_map_f relu_f, tanh_f, sigmoid_f;
    fastconv_gradient_f relu_backward_f, tanh_backward_f, sigmoid_backward_f;
    fastconv_exp_f exp_below_f;
    fastconv_map_d relu_d, tanh_d, sigmoid_d;
    fastconv_gradient_d relu_backward_d, tanh_backward_d, sigmoid_backward_d;
    fastconv_exp_d exp_below_d;
} fastconv_elementwise_row;

#define FASTCONV_EACH "ops/elementwise_loops.h"
#include "base/regions.h"

#define FASTCONV_ROW(isa, _)                                                                       \
    {fastconv_##isa##_relu_f,          fastconv_##isa##_tanh_f,                                    \
     fastconv_##isa##_sigmoid_f,       fastconv_##isa##_relu_backward_f,                           \
     fastconv_##isa##_tanh_backward_f, fastconv_##isa##_sigmoid_backward_f,                        \
     fastconv_##isa##_exp_below_f,     fastconv_##isa##_relu_d,                                    \
     fastconv_##isa##_tanh_d,          fastconv_##isa##_sigmoid_d,                                 \
     fastconv_##isa##_relu_backward_d, fastconv_##isa##_tanh_backward_d,                           \
     fastconv_##isa##_sigmoid_backward_d, fastconv_##isa##_exp_below_d},
static const fastconv_elementwise_row fastconv_elementwise[] = {FASTCONV_EACH_ISA(FASTCONV_ROW, _)};
#undef FASTCONV_ROW

#endif
