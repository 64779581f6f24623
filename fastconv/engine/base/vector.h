/* LANES and VECTOR, the vector of one instruction set and scalar type; its shuffles; transposing a
 * block, and copying a row. */

#define LANES (VECTOR_BYTES / SCALAR_BYTES)
/* Aligned as its elements are: operands lie anywhere. */
#define VECTOR ISA(TYPED(vector))
typedef SCALAR VECTOR __attribute__((vector_size(VECTOR_BYTES), aligned(SCALAR_BYTES)));

#include "base/epilogue.h"

/* Every other element, even or odd, of two vectors, of one, of half of one; and the halves of two
 * vectors element by element. */
#if LANES == 16
#define EVEN(a, b) \
    __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODD(a, b) \
    __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define EVEN_HALF(a) __builtin_shufflevector(a, a, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD_HALF(a) __builtin_shufflevector(a, a, 1, 3, 5, 7, 9, 11, 13, 15)
#define EVEN_QUARTER(a) __builtin_shufflevector(a, a, 0, 2, 4, 6)
#define ODD_QUARTER(a) __builtin_shufflevector(a, a, 1, 3, 5, 7)
#define ZIP_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#elif LANES == 8
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define EVEN_HALF(a) __builtin_shufflevector(a, a, 0, 2, 4, 6)
#define ODD_HALF(a) __builtin_shufflevector(a, a, 1, 3, 5, 7)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#elif LANES == 4
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2, 4, 6)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3, 5, 7)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#else
#define EVEN(a, b) __builtin_shufflevector(a, b, 0, 2)
#define ODD(a, b) __builtin_shufflevector(a, b, 1, 3)
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 2)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#endif

#define HALF ISA(TYPED(half))
typedef SCALAR HALF __attribute__((vector_size(VECTOR_BYTES / 2), aligned(SCALAR_BYTES)));
#ifdef EVEN_QUARTER
#define QUARTER ISA(TYPED(quarter))
typedef SCALAR QUARTER __attribute__((vector_size(VECTOR_BYTES / 4), aligned(SCALAR_BYTES)));
#endif

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

/* target[j] = source[j * step] for j < count.
 *
 * Nothing behind the last element is read: the last vector, or half or quarter of one, ends with
 * it, and partly comes again. There, what is wanted stands at the odd places. */
static inline __attribute__((always_inline)) void
ISA(TYPED(copy))(const SCALAR *source, ptrdiff_t step, ptrdiff_t count, SCALAR *target)
{
    const SCALAR *last = source + (count - 1) * step;
    SCALAR *end = target + count;
    ptrdiff_t j = 0;

    if (step == 1) {
        for (; j + LANES <= count; j += LANES)
            *(VECTOR *)(target + j) = *(const VECTOR *)(source + j);
        if (j == count)
            return;
        if (j) {
            *(VECTOR *)(end - LANES) = *(const VECTOR *)(last + 1 - LANES);
        } else if (count >= LANES / 2) {
            *(HALF *)target = *(const HALF *)source;
            *(HALF *)(end - LANES / 2) = *(const HALF *)(last + 1 - LANES / 2);
#ifdef QUARTER
        } else if (count >= LANES / 4) {
            *(QUARTER *)target = *(const QUARTER *)source;
            *(QUARTER *)(end - LANES / 4) = *(const QUARTER *)(last + 1 - LANES / 4);
#endif
        } else {
            for (; j < count; j++)
                target[j] = source[j];
        }
        return;
    }
    if (step == 2 && count > LANES) {
        const VECTOR *from = (const VECTOR *)(last + 1 - 2 * LANES);
        for (; j + LANES < count; j += LANES)
            *(VECTOR *)(target + j) = EVEN(*(const VECTOR *)(source + 2 * j),
                                           *(const VECTOR *)(source + 2 * j + LANES));
        *(VECTOR *)(end - LANES) = ODD(from[0], from[1]);
        return;
    }
#ifdef EVEN_HALF
    if (step == 2 && count > LANES / 2) {
        *(HALF *)target = EVEN_HALF(*(const VECTOR *)source);
        *(HALF *)(end - LANES / 2) = ODD_HALF(*(const VECTOR *)(last + 1 - LANES));
        return;
    }
#endif
#ifdef EVEN_QUARTER
    if (step == 2 && count > LANES / 4) {
        *(QUARTER *)target = EVEN_QUARTER(*(const HALF *)source);
        *(QUARTER *)(end - LANES / 4) = ODD_QUARTER(*(const HALF *)(last + 1 - LANES / 2));
        return;
    }
#endif
    if (step == 4 && count > LANES) {
        const VECTOR *from = (const VECTOR *)(last + 1 - 4 * LANES);
        for (; j + LANES < count; j += LANES) {
            const VECTOR *next = (const VECTOR *)(source + 4 * j);
            *(VECTOR *)(target + j) = EVEN(EVEN(next[0], next[1]), EVEN(next[2], next[3]));
        }
        *(VECTOR *)(end - LANES) = ODD(ODD(from[0], from[1]), ODD(from[2], from[3]));
        return;
    }
    for (; j < count; j++)
        target[j] = source[j * step];
}
