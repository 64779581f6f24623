/* Resampling, written once: resampling.h includes this file for each instruction set and type.
 *
 * Plain loops: the compiler makes gathers of them where the instruction set has such.
 *
 * Expects what regions.h defines. */

#define NAME(name) ISA(TYPED(name))

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
#undef TERM

static const fastconv_resampling NAME(resampling) = {NAME(blend), NAME(pick)};
#undef NAME
