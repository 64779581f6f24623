/* The loops of lines.h for both types; the first argument's type chooses. */
#ifndef FASTCONV_POOLING_H
#define FASTCONV_POOLING_H

#include <stddef.h>

#include "base/isa.h"

#define SCALAR float
#define PLACE int
#define NAME(stem) stem##_f
#include "ops/lines.h"
#define SCALAR double
#define PLACE long long
#define NAME(stem) stem##_d
#include "ops/lines.h"

#define take_line(x, ...) FASTCONV_BY_TYPE(x, take_line)(x, __VA_ARGS__)
#define take_two(x, ...) FASTCONV_BY_TYPE(x, take_two)(x, __VA_ARGS__)
#define take_columns(x, ...) FASTCONV_BY_TYPE(x, take_columns)(x, __VA_ARGS__)
#define take_pairs(x, ...) FASTCONV_BY_TYPE(x, take_pairs)(x, __VA_ARGS__)
#define take_shares(x, ...) FASTCONV_BY_TYPE(x, take_shares)(x, __VA_ARGS__)
#define scale_line(x, ...) FASTCONV_BY_TYPE(x, scale_line)(x, __VA_ARGS__)
#define divide_line(x, ...) FASTCONV_BY_TYPE(x, divide_line)(x, __VA_ARGS__)
#define interleave(x, ...) FASTCONV_BY_TYPE(x, interleave)(x, __VA_ARGS__)
#define double_columns(x, ...) FASTCONV_BY_TYPE(x, double_columns)(x, __VA_ARGS__)
#define larger_line(x, ...) FASTCONV_BY_TYPE(x, larger_line)(x, __VA_ARGS__)
#define larger_columns(x, ...) FASTCONV_BY_TYPE(x, larger_columns)(x, __VA_ARGS__)
#define larger_line_at(x, ...) FASTCONV_BY_TYPE(x, larger_line_at)(x, __VA_ARGS__)
#define larger_columns_at(x, ...) FASTCONV_BY_TYPE(x, larger_columns_at)(x, __VA_ARGS__)

#endif
