/* The loops of lines.h for both types; the first argument's type chooses. */
#ifndef FASTCONV_POOLING_H
#define FASTCONV_POOLING_H

#include <stddef.h>

#define SCALAR float
#define PLACE int
#define NAME(stem) stem##_f
#include "ops/lines.h"
#define SCALAR double
#define PLACE long long
#define NAME(stem) stem##_d
#include "ops/lines.h"

#define FASTCONV_TYPED(stem, x, ...)                                                               \
    _Generic((x), float *: stem##_f, double *: stem##_d)(x, __VA_ARGS__)
#define take_line(x, ...) FASTCONV_TYPED(take_line, x, __VA_ARGS__)
#define take_two(x, ...) FASTCONV_TYPED(take_two, x, __VA_ARGS__)
#define take_columns(x, ...) FASTCONV_TYPED(take_columns, x, __VA_ARGS__)
#define take_pairs(x, ...) FASTCONV_TYPED(take_pairs, x, __VA_ARGS__)
#define take_shares(x, ...) FASTCONV_TYPED(take_shares, x, __VA_ARGS__)
#define scale_line(x, ...) FASTCONV_TYPED(scale_line, x, __VA_ARGS__)
#define divide_line(x, ...) FASTCONV_TYPED(divide_line, x, __VA_ARGS__)
#define interleave(x, ...) FASTCONV_TYPED(interleave, x, __VA_ARGS__)
#define double_columns(x, ...) FASTCONV_TYPED(double_columns, x, __VA_ARGS__)
#define larger_line(x, ...) FASTCONV_TYPED(larger_line, x, __VA_ARGS__)
#define larger_columns(x, ...) FASTCONV_TYPED(larger_columns, x, __VA_ARGS__)
#define larger_line_at(x, ...) FASTCONV_TYPED(larger_line_at, x, __VA_ARGS__)
#define larger_columns_at(x, ...) FASTCONV_TYPED(larger_columns_at, x, __VA_ARGS__)

#endif
