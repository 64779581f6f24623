/* Sums over maps, written once: sums.h includes this file for each instruction set and type.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"
#include "ops/halves.h"

/* So many vectors are summed by themselves: additions that do not wait for each other. */
#define SUMS 4

/* The sum of x[m * step + i] for m < maps and i < count: lane by lane, then the lanes by halves. */
static __attribute__((noinline)) SCALAR ISA(TYPED(sum))(const SCALAR *x, ptrdiff_t step,
                                                        ptrdiff_t maps, ptrdiff_t count)
{
    VECTOR sums[SUMS] = {0};
    SCALAR lanes[LANES] = {0};

    for (; maps--; x += step) {
        ptrdiff_t i = 0;
        for (; i + SUMS * LANES <= count; i += SUMS * LANES)
            for (int v = 0; v < SUMS; v++)
                sums[v] += *(const VECTOR *)(x + i + v * LANES);
        for (; i + LANES <= count; i += LANES)
            sums[0] += *(const VECTOR *)(x + i);
        for (int lane = 0; i < count; i++, lane++)
            lanes[lane] += x[i];
    }
    VECTOR total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    if (count % LANES)
        total += *(VECTOR *)lanes;
    return ISA(TYPED(halves))(total);
}

#undef SUMS
#include "base/vector_end.h"
