/* Resampling, written once: resampling.h includes this file for each instruction set and type.
 *
 * Plain loops: the compiler makes gathers of them where the instruction set has such. Where the
 * places of a vector of the result lie within one of the source, it is loaded and shuffled, which is
 * several times as fast as a gather.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

#define NAME(name) ISA(TYPED(name))
/* Shuffles by a variable: of GCC's language, and no single instruction before AVX2. */
#if VECTOR_BYTES > 16 && !defined(__clang__)
#define SHUFFLES 1
#else
#define SHUFFLES 0
#endif

static __attribute__((noinline)) void NAME(blend)(const void *from, double weight, int adds,
                                                  void *to, ptrdiff_t count)
{
    const SCALAR *restrict x = from;
    const SCALAR w = (SCALAR)weight;
    SCALAR *restrict v = to;
    if (adds)
        for (ptrdiff_t i = 0; i < count; i++)
            v[i] += w * x[i];
    else
        for (ptrdiff_t i = 0; i < count; i++)
            v[i] = w * x[i];
}

/* An infinity with weight 0 must not become a NaN. */
#define TERM(t) (w[(t) * count + j] != 0 ? w[(t) * count + j] * v[places[(t) * count + j]] : 0)

static __attribute__((noinline)) void NAME(pick)(const void *from, const int32_t *places,
                                                 const void *weights, ptrdiff_t taps, void *to,
                                                 ptrdiff_t count)
{
    const SCALAR *restrict v = from;
    const SCALAR *restrict w = weights;
    SCALAR *restrict y = to;
    ptrdiff_t t = 0;
    if (taps == 1) {
        for (ptrdiff_t j = 0; j < count; j++)
            y[j] = TERM(0);
        return;
    }
    if (taps == 2) {
        for (ptrdiff_t j = 0; j < count; j++)
            y[j] = TERM(0) + TERM(1);
        return;
    }
    memset(y, 0, count * SCALAR_BYTES);
    for (; t + 4 <= taps; t += 4)
        for (ptrdiff_t j = 0; j < count; j++)
            y[j] += (TERM(t) + TERM(t + 1)) + (TERM(t + 2) + TERM(t + 3));
    for (; t < taps; t++)
        for (ptrdiff_t j = 0; j < count; j++)
            y[j] += TERM(t);
}

#if SHUFFLES
#if SCALAR_BYTES == 4
#define INTEGER int32_t
#else
#define INTEGER int64_t
#endif
typedef INTEGER NAME(numbers) __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t NAME(places)
    __attribute__((vector_size(LANES * sizeof(int32_t)), aligned(sizeof(int32_t))));

/* What one tap adds to a vector of the result. */
static inline __attribute__((always_inline)) VECTOR NAME(shuffled)(const SCALAR *v,
                                                                   const int32_t *places,
                                                                   int32_t base, const SCALAR *w)
{
    const NAME(numbers) at =
        __builtin_convertvector(*(const NAME(places) *)places - base, NAME(numbers));
    const VECTOR weight = *(const VECTOR *)w;
    const VECTOR product = weight * __builtin_shuffle(*(const VECTOR *)(v + base), at);
    return (VECTOR)((NAME(numbers))product & (NAME(numbers))(weight != 0));
}
#endif

static __attribute__((noinline)) int NAME(find_bases)(const int32_t *places, ptrdiff_t taps,
                                                      ptrdiff_t count, ptrdiff_t columns,
                                                      int32_t *bases)
{
    if (!SHUFFLES || taps > 2 || columns < LANES)
        return 0;
    for (ptrdiff_t t = 0; t < taps; t++)
        for (ptrdiff_t j = 0; j + LANES <= count; j += LANES) {
            const int32_t *at = places + t * count + j;
            int32_t least = at[0], most = at[0];
            for (int i = 1; i < LANES; i++) {
                least = at[i] < least ? at[i] : least;
                most = at[i] > most ? at[i] : most;
            }
            if (most - least >= LANES)
                return 0;
            *bases++ = least < columns - LANES ? least : (int32_t)(columns - LANES);
        }
    return 1;
}

static __attribute__((noinline)) void NAME(pick_near)(const void *from, const int32_t *places,
                                                      const int32_t *bases, const void *weights,
                                                      ptrdiff_t taps, void *to, ptrdiff_t count)
{
    const SCALAR *restrict v = from;
    const SCALAR *restrict w = weights;
    SCALAR *restrict y = to;
    ptrdiff_t j = 0;
#if SHUFFLES
    const int32_t *second = bases + count / LANES;
    for (; j + LANES <= count; j += LANES) {
        VECTOR sum = NAME(shuffled)(v, places + j, *bases++, w + j);
        if (taps == 2)
            sum += NAME(shuffled)(v, places + count + j, *second++, w + count + j);
        *(VECTOR *)(y + j) = sum;
    }
#endif
    for (; j < count; j++)
        y[j] = taps == 2 ? TERM(0) + TERM(1) : TERM(0);
}
#undef TERM
#undef SHUFFLES
#undef INTEGER

static const fastconv_resampling NAME(resampling) = {
    NAME(blend),
    NAME(pick),
    NAME(find_bases),
    NAME(pick_near),
};
#undef NAME
#include "base/vector_end.h"
