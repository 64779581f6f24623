/* The sum of the lanes of a vector, by halves.
 *
 * Expects what regions.h and vector.h define. */

#if LANES == 16
#define EIGHT(v)                                                                                   \
    (__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +                                       \
     __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15))
#elif LANES == 8
#define EIGHT(v) v
#endif
#if LANES >= 8
#define FOUR(v)                                                                                    \
    (__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7))
#endif

static inline __attribute__((always_inline)) SCALAR ISA(TYPED(halves))(VECTOR sum)
{
#if LANES >= 8
    const __auto_type eight = EIGHT(sum);
    const __auto_type four = FOUR(eight);
#else
    const VECTOR four = sum;
#endif
#if LANES > 2
    return (four[0] + four[2]) + (four[1] + four[3]);
#else
    return four[0] + four[1];
#endif
}

#undef EIGHT
#undef FOUR
