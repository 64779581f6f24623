/* Two rows put together, number by number.
 *
 * Expects what vector.h defines. */

/* to[2 i] = even[i] and to[2 i + 1] = odd[i], `n` numbers in all. Up to a vector is read past the end of
 * either; of at least a vector, the last one is moved back. */
static inline __attribute__((always_inline)) void
ISA(TYPED(interleave_rows))(SCALAR *to, const SCALAR *even, const SCALAR *odd, ptrdiff_t n)
{
    ptrdiff_t j = 0;

    if (n < LANES)
        for (; j < n; j++)
            to[j] = j % 2 ? odd[j / 2] : even[j / 2];
    for (; j + 2 * LANES <= n; j += 2 * LANES) {
        const VECTOR a = *(const VECTOR *)(even + j / 2), b = *(const VECTOR *)(odd + j / 2);
        *(VECTOR *)(to + j) = ZIP_LOW(a, b);
        *(VECTOR *)(to + j + LANES) = ZIP_HIGH(a, b);
    }
    for (; j < n; j += LANES) {
        const ptrdiff_t at = j + LANES <= n ? j : n - LANES;
        const SCALAR *first = at % 2 ? odd : even, *second = at % 2 ? even + 1 : odd;
        const VECTOR a = *(const VECTOR *)(first + at / 2);
        const VECTOR b = *(const VECTOR *)(second + at / 2);
        *(VECTOR *)(to + at) = ZIP_LOW(a, b);
    }
}
