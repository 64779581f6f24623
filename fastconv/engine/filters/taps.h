/* The loops of filters (taps_loops.h) for every instruction set, and for each type in which they
 * add: float, double, and unsigned integers of 32 and 64 bits, which wrap around as integers do. */
#ifndef FASTCONV_TAPS_H
#define FASTCONV_TAPS_H

#include <stdint.h>
#include <string.h>

#include "base/isa.h"

/* The types of images, in the order of `TYPES` in types.py; and, for results alone, m8: u8 that are
 * the negatives of -x where x is negative, as SciPy computes sums over kernels. That counts beyond
 * the 63 bits of i8, where a cast of a negative number alone has no defined result. */
#define FASTCONV_EACH_TYPE(DO)                                                                     \
    DO(uint8_t, bool)                                                                              \
    DO(uint8_t, u1)                                                                                \
    DO(uint16_t, u2)                                                                               \
    DO(uint32_t, u4)                                                                               \
    DO(uint64_t, u8)                                                                               \
    DO(int8_t, i1)                                                                                 \
    DO(int16_t, i2)                                                                                \
    DO(int32_t, i4)                                                                                \
    DO(int64_t, i8)                                                                                \
    DO(float, f4)                                                                                  \
    DO(double, f8)                                                                                 \
    DO(uint64_t, m8)
#define FASTCONV_CODE(type, name) FASTCONV_IS_##name,
enum { FASTCONV_EACH_TYPE(FASTCONV_CODE) FASTCONV_TYPES };
#undef FASTCONV_CODE

/* Which numbers of a tile an output is made of, as offsets from the first that it sees. */
typedef struct {
    /* 0: each tap has a weight of its own. 1 or -1: taps in pairs, whose numbers are added, or the
     * second subtracted from the first, before they are weighed; the tap in the middle comes first
     * and has no partner. */
    int fold;
    ptrdiff_t count;           /* of taps, or of pairs and the middle */
    const ptrdiff_t *offsets;
    const ptrdiff_t *partners; /* of the second of each pair */
    double start;              /* what the sum begins with, if not with the middle */
    /* Of taps that fill whole planes of `tall` rows and `wide` columns, one after the other, the
     * offset of each plane's first is that of its first tap. Otherwise `tall` is 0. */
    ptrdiff_t tall, wide;
} fastconv_taps;

typedef struct {
    ptrdiff_t itemsize, lanes;
    int plain[2]; /* types of images that need no conversion */
    /* y[p, j] = sum over taps k of weights[k] * x[p * x_step + offsets[k] + j], in this order and
     * with each product rounded, for p < rows and j < width. Where the width is less than a vector,
     * a vector is written. */
    void (*weigh)(const void *x, ptrdiff_t x_step, ptrdiff_t rows, ptrdiff_t width,
                  const fastconv_taps *taps, const void *weights, void *y, ptrdiff_t y_step);
    void (*fill)(const void *value, ptrdiff_t count, void *to);
    /* Numbers that are `step` bytes apart in an image, from and to neighbours in a tile. */
    void (*read[FASTCONV_TYPES])(const char *from, ptrdiff_t step, ptrdiff_t count, void *to);
    void (*write[FASTCONV_TYPES])(const void *from, ptrdiff_t count, char *to, ptrdiff_t step);
} fastconv_filter_loops;

/* Doubles as integers: what x86 makes of numbers outside of the type, too, in vectors or not. */
#define FASTCONV_AS_bool(x) ((uint8_t)(int32_t)(x))
#define FASTCONV_AS_u1(x) ((uint8_t)(int32_t)(x))
#define FASTCONV_AS_u2(x) ((uint16_t)(int32_t)(x))
#define FASTCONV_AS_u4(x) ((uint32_t)(int64_t)(x))
#define FASTCONV_AS_u8(x)                                                                          \
    ((x) >= 0x1p63 ? (uint64_t)(int64_t)((x) - 0x1p63) ^ (uint64_t)1 << 63 : (uint64_t)(int64_t)(x))
#define FASTCONV_AS_m8(x) ((x) > -1 ? FASTCONV_AS_u8(x) : -FASTCONV_AS_u8(-(x)))
#define FASTCONV_AS_i1(x) ((int8_t)(int32_t)(x))
#define FASTCONV_AS_i2(x) ((int16_t)(int32_t)(x))
#define FASTCONV_AS_i4(x) ((int32_t)(x))
#define FASTCONV_AS_i8(x) ((int64_t)(x))
#define FASTCONV_AS_f4(x) ((float)(x))
#define FASTCONV_AS_f8(x) (x)

#define FASTCONV_EACH "filters/taps_types.h"
#include "base/regions.h"

/* Sums of floats, doubles, and integers of 32 and 64 bits: the order of `SUMS` in types.py. */
static const fastconv_filter_loops *const fastconv_filters[][FASTCONV_ISAS] = {
    FASTCONV_TABLE(filter_loops_f),
    FASTCONV_TABLE(filter_loops_d),
    FASTCONV_TABLE(filter_loops_w),
    FASTCONV_TABLE(filter_loops_l),
};

#endif
