/* LANES and VECTOR, the vector of one instruction set and scalar type; its shuffles; transposing a
 * block, and copying a row. */

#define LANES (VECTOR_BYTES / SCALAR_BYTES)
/* Aligned as its elements are: operands lie anywhere. */
#define VECTOR ISA(TYPED(vector))
typedef SCALAR VECTOR __attribute__((vector_size(VECTOR_BYTES), aligned(SCALAR_BYTES)));

/* Every other element of two vectors, and the halves of two vectors element by element. */
#if LANES == 16
#define EVEN(a, b) \
    __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define EVEN_HALF(a) __builtin_shufflevector(a, a, 0, 2, 4, 6, 8, 10, 12, 14)
#define ZIP_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif LANES == 8
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define EVEN_HALF(a) __builtin_shufflevector(a, a, 0, 2, 4, 6)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif LANES == 4
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#else
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 2)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

#define HALF ISA(TYPED(half))
typedef SCALAR HALF __attribute__((vector_size(VECTOR_BYTES / 2), aligned(SCALAR_BYTES)));

/* Transpose a block of LANES vectors in place: a shuffle of vectors i and i + LANES/2 for all i,
 * done log2(LANES) times. */
static inline __attribute__((always_inline)) void ISA(TYPED(turn))(VECTOR block[LANES])
{
    VECTOR shuffled[LANES];

#pragma GCC unroll 4
    for (ptrdiff_t round = 1; round < LANES; round *= 2) {
#pragma GCC unroll 8
        for (ptrdiff_t q = 0; q < LANES / 2; q++) {
            shuffled[2 * q] = ZIP_LOW(block[q], block[q + LANES / 2]);
            shuffled[2 * q + 1] = ZIP_HIGH(block[q], block[q + LANES / 2]);
        }
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            block[q] = shuffled[q];
    }
}

/* target[j] = source[j * step] for j < count. */
static inline __attribute__((always_inline)) void
ISA(TYPED(copy))(const SCALAR *source, ptrdiff_t step, ptrdiff_t count, SCALAR *target)
{
    ptrdiff_t j = 0;

    if (step == 1) {
        for (; j + LANES <= count; j += LANES)
            *(VECTOR *)(target + j) = *(const VECTOR *)(source + j);
        /* What is left ends with the last element, and partly comes again. */
        if (j == count)
            return;
        if (j) {
            *(VECTOR *)(target + count - LANES) = *(const VECTOR *)(source + count - LANES);
        } else if (count >= LANES / 2) {
            *(HALF *)target = *(const HALF *)source;
            *(HALF *)(target + count - LANES / 2) = *(const HALF *)(source + count - LANES / 2);
        } else {
            for (; j < count; j++)
                target[j] = source[j];
        }
        return;
    }
    if (step == 2)
        /* The last vector stops one short: it would read the element behind the last. */
        for (; j + LANES < count; j += LANES)
            *(VECTOR *)(target + j) = EVEN(*(const VECTOR *)(source + 2 * j),
                                           *(const VECTOR *)(source + 2 * j + LANES));
#ifdef EVEN_HALF
    if (step == 2 && count > LANES / 2)
        /* What is left, half a vector at once; the last half is moved back. */
        for (ptrdiff_t left = count - 1 - j; left > 0; left -= LANES / 2) {
            j = left < LANES / 2 ? count - 1 - LANES / 2 : j;
            *(HALF *)(target + j) = EVEN_HALF(*(const VECTOR *)(source + 2 * j));
            j += LANES / 2;
        }
#endif
    if (step == 4)
        for (; j + LANES < count; j += LANES) {
            const VECTOR *from = (const VECTOR *)(source + 4 * j);
            *(VECTOR *)(target + j) = EVEN(EVEN(from[0], from[1]), EVEN(from[2], from[3]));
        }
    for (; j < count; j++)
        target[j] = source[j * step];
}
