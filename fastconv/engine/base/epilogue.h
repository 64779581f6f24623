/* The epilogue: what a finished sum meets on its way into the output, in every kernel. The bias is
 * added here and nowhere else; a residual and an activation will join it.
 *
 * `bias` points to one number for each lane, or is NULL; in `finish_row` it is the same for all
 * lanes, in `finish_one` there is a single lane.
 *
 * Included by vector.h, which defines VECTOR. */

static inline __attribute__((always_inline, unused)) VECTOR
ISA(TYPED(finish))(VECTOR sum, const SCALAR *bias)
{
    return bias ? sum + *(const VECTOR *)bias : sum;
}

static inline __attribute__((always_inline, unused)) VECTOR
ISA(TYPED(finish_row))(VECTOR sum, const SCALAR *bias)
{
    return bias ? sum + *bias : sum;
}

static inline __attribute__((always_inline, unused)) SCALAR
ISA(TYPED(finish_one))(SCALAR sum, const SCALAR *bias)
{
    return bias ? sum + *bias : sum;
}
