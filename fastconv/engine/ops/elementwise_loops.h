/* Exponentials, written once: elementwise.h includes this file for each instruction set and type.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"
#include "ops/exponential.h"

/* Vectors at a time: each is a chain of operations that wait for each other. */
#define ABREAST 4
/* The tail runs the same arithmetic on a vector filled up with zeros. */
#define MAP(name, value)                                                                           \
    static __attribute__((noinline)) void NAME(name)(const void *beside, const void *from,         \
                                                     void *to, ptrdiff_t count)                    \
    {                                                                                              \
        const SCALAR *other = beside, *x = from;                                                   \
        SCALAR *y = to;                                                                            \
        ptrdiff_t i = 0;                                                                           \
        (void)other;                                                                               \
        for (; i + ABREAST * LANES <= count; i += ABREAST * LANES) {                               \
            VECTOR several[ABREAST];                                                               \
            for (int j = 0; j < ABREAST; j++)                                                      \
                several[j] = *(const VECTOR *)(x + i + j * LANES);                                 \
            for (int j = 0; j < ABREAST; j++) {                                                    \
                const VECTOR v = several[j];                                                       \
                several[j] = value;                                                                \
            }                                                                                      \
            for (int j = 0; j < ABREAST; j++)                                                      \
                *(VECTOR *)(y + i + j * LANES) = several[j];                                       \
        }                                                                                          \
        for (; i + LANES <= count; i += LANES) {                                                   \
            const VECTOR v = *(const VECTOR *)(x + i);                                             \
            *(VECTOR *)(y + i) = value;                                                            \
        }                                                                                          \
        if (i < count) {                                                                           \
            VECTOR v = {0};                                                                        \
            memcpy(&v, x + i, (count - i) * SCALAR_BYTES);                                         \
            v = value;                                                                             \
            memcpy(y + i, &v, (count - i) * SCALAR_BYTES);                                         \
        }                                                                                          \
    }
/* Of x less the maximum that `other` points to. */
MAP(exp_below, NAME(exp_vector)(v - *other))
#undef MAP
#undef ABREAST

static const fastconv_elementwise NAME(elementwise) = {NAME(exp_below)};

#include "ops/exponential_end.h"
#include "base/vector_end.h"
