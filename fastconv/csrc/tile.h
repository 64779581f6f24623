/* The register tile, written once: isa.h includes this file for each instruction set, type and
 * width, inside a region that tells the compiler which instructions it may use.
 *
 *     sums[i * width + j] = sum over l of a[i][a_steps[l]] * b[b_steps[l] + j]
 *
 * for i < FASTCONV_MR and j < VECTORS * (numbers in a vector). Each step multiplies one number of
 * each of the FASTCONV_MR rows with the same VECTORS vectors; the sums stay in registers, and are
 * added in the order of the steps, one rounding (fused multiply-add) or two each.
 *
 * Expects SCALAR, VECTOR_BYTES, VECTORS and TILE (the function's name). */

static __attribute__((noinline)) void TILE(const SCALAR *const *a, const ptrdiff_t *a_steps,
                                           const SCALAR *b, const ptrdiff_t *b_steps,
                                           ptrdiff_t steps, SCALAR *sums, ptrdiff_t width)
{
    enum { LANES = VECTOR_BYTES / sizeof(SCALAR) };
    /* Aligned as its elements are: operands and sums lie anywhere. */
    typedef SCALAR vector __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(SCALAR))));
    vector t[FASTCONV_MR][VECTORS] = {{{0}}};

    for (ptrdiff_t l = 0; l < steps; l++) {
        const vector *row = (const vector *)(b + b_steps[l]);
        const ptrdiff_t at = a_steps[l];
#pragma GCC unroll 8
        for (int i = 0; i < FASTCONV_MR; i++) {
            const SCALAR factor = a[i][at];
#pragma GCC unroll 4
            for (int j = 0; j < VECTORS; j++)
                t[i][j] += factor * row[j];
        }
    }
    for (int i = 0; i < FASTCONV_MR; i++)
        for (int j = 0; j < VECTORS; j++)
            *(vector *)(sums + i * width + j * LANES) = t[i][j];
}

#undef SCALAR
#undef VECTOR_BYTES
#undef VECTORS
#undef TILE
