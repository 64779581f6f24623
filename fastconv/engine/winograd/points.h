/* The matrices of Winograd's convolution on one axis, each as a function of vectors. Included once
 * for each number of taps, with which their names end.
 *
 * An output of m elements with a kernel of r taps sees n = m + r - 1 inputs. It is computed as
 *
 *     y = A^T [(G g) * (B^T d)]        m x n, n x r and n x n matrices, * element by element,
 *
 * and in two dimensions Y = A^T [(G g G^T) * (B^T d B)] A (A. Lavin and S. Gray, "Fast algorithms
 * for convolutional neural networks", arXiv 1509.09308). The matrices follow from n - 1 points p_j
 * and infinity (Toom-Cook; B. Barabasz et al., "Error analysis and improving the accuracy of
 * Winograd convolution for deep neural networks", arXiv 1803.10986):
 *
 *     A[j][i] = p_j^i                                         infinity: 1 at i = m - 1
 *     G[j][i] = p_j^i / product of (p_j - p_l), l != j        infinity: 1 at i = r - 1
 *     B[i][j] = factor of x^i in the product of (x - p_l), l != j; infinity: of all (x - p_l)
 *
 * On an axis of several taps m is 4, or STEP. The points are 0 and pairs +-P, +-Q and, with 8 or
 * 10 of them, +-R and +-S. They are exact in binary, and their powers stay near 1: with +-5/8 and
 * +-3/2 the error is a few times smaller than with +-1 and +-2; for 8 points +-1/2, +-1 and +-2 had
 * the smallest of 60 such sets, and for 10 points these have one of the smallest of 1001. An odd
 * number of points has no 0, since beside three pairs and 0 one more would stand alone, and the
 * error was larger; the 9 are the best of all sets of four pairs of 13 small fractions, and the 5
 * have the smallest bound of all sets of two pairs. A pair
 * shares all it computes: the even and the odd terms, whose sum and difference are the numbers of
 * its two points. On an axis of one tap m is 1, and each matrix is the number 1.
 *
 * The gradient of the kernel is a correlation as well, of the input with the residual:
 * dg = G^T [(A dY A^T) * (B^T d B)] G, the transposed matrices with m and r as they are.
 *
 * Each function takes numbers `from_step` vectors apart and writes such `to_step` apart. Expects
 * VECTOR, TAPS and, unless it is as above, STEP. */

#define AXIS(name) ISA(TYPED(FASTCONV_JOIN(name, TAPS)))
#ifndef STEP
#define STEP (TAPS == 1 ? 1 : 4)
#endif
#define POINTS (STEP + TAPS - 1)
#define ZERO (POINTS % 2 == 0) /* whether 0 is a point */
#define PAIRS ((POINTS - 1) / 2)
/* A constant of the vectors' type, and a power of at most 6. */
#define K(number) ((SCALAR)(number))
#define UP_TO_CUBE(p, i) ((i) == 0 ? 1 : (i) == 1 ? (p) : (i) == 2 ? (p) * (p) : (p) * (p) * (p))
#define POWER(p, i)                                                                                \
    ((i) <= 3 ? UP_TO_CUBE(p, i) : UP_TO_CUBE(p, 3) * UP_TO_CUBE(p, (i) - 3))
#define INLINE static inline __attribute__((always_inline))

/* The outputs of a tile, and its points. */
enum { AXIS(step) = STEP, AXIS(size) = POINTS };

#if TAPS == 1
/* Each matrix is the number 1. */
#define COPY(name)                                                                                 \
    INLINE void AXIS(name)(const VECTOR *from, ptrdiff_t from_step, VECTOR *to, ptrdiff_t to_step) \
    {                                                                                              \
        to[0] = from[0];                                                                           \
    }
COPY(input_points)
COPY(points_output)
COPY(kernel_points)
COPY(residual_points)
COPY(points_kernel)
#undef COPY
#else

/* The pairs; those that there are not are 0. */
#if POINTS == 5
#define P 0.5
#define Q 1.25
#define R 0.0
#define S 0.0
#elif POINTS == 6
#define P 0.625
#define Q 1.5
#define R 0.0
#define S 0.0
#elif POINTS == 8
#define P 0.5
#define Q 1.0
#define R 2.0
#define S 0.0
#elif POINTS == 9
#define P 0.25
#define Q 0.75
#define R 1.0
#define S 2.5
#else
#define P 0.5
#define Q 0.75
#define R 1.25
#define S 2.5
#endif
#define PP (P * P)
#define QQ (Q * Q)
#define RR (R * R)
#define SS (S * S)
static const double AXIS(points)[4] = {P, Q, R, S};
/* The factors of 1, x^2, x^4, ... in the product of all (x^2 - p^2), and in those without one. The
 * pairs that there are not shift them. */
#define CUBIC(a, b, c)                                                                             \
    {-(a) * (b) * (c), (a) * (b) + (a) * (c) + (b) * (c), -((a) + (b) + (c)), 1}
#define ALL(i) AXIS(all)[(i) + 4 - PAIRS]
#define OTHERS(j, i) AXIS(others)[j][(i) + 4 - PAIRS]
static const double AXIS(all)[5] = {
    PP * QQ * RR * SS, -(PP * QQ * (RR + SS) + (PP + QQ) * RR * SS),
    PP * QQ + (PP + QQ) * (RR + SS) + RR * SS, -(PP + QQ + RR + SS), 1};
static const double AXIS(others)[4][4] = {CUBIC(QQ, RR, SS), CUBIC(PP, RR, SS), CUBIC(PP, QQ, SS),
                                          CUBIC(PP, QQ, RR)};
/* The products in G. */
#define FACTOR(p, q) ((q) != 0 ? (p) * (p) - (q) * (q) : 1)
#define NORM(p, a, b, c)                                                                           \
    (2 * (ZERO ? (p) * (p) : (p)) * FACTOR(p, a) * FACTOR(p, b) * FACTOR(p, c))
static const double AXIS(norms)[4] = {NORM(P, Q, R, S), NORM(Q, P, R, S), NORM(R, P, Q, S),
                                      NORM(S, P, Q, R)};
#define NORM_0 ALL(0)

/* POINTS inputs to as many points. */
INLINE void AXIS(input_points)(const VECTOR *d, ptrdiff_t from_step, VECTOR *v, ptrdiff_t to_step)
{
    VECTOR first = d[2 * PAIRS * from_step], last = d[(2 * PAIRS + ZERO) * from_step];

#pragma GCC unroll 4
    for (int i = PAIRS - 1; i >= 0; i--) {
        first += K(ALL(i)) * d[2 * i * from_step];
        last += K(ALL(i)) * d[(2 * i + ZERO) * from_step];
    }
    if (ZERO)
        v[0] = first;
    v[(POINTS - 1) * to_step] = last;
#pragma GCC unroll 4
    for (int j = 0; j < PAIRS; j++) {
        /* The factors of (x^2 - q^2) for the other pairs, times x and times p. */
        VECTOR by_x = d[(2 * PAIRS - 1 + ZERO) * from_step];
        VECTOR by_p = d[(2 * PAIRS - 2 + ZERO) * from_step];
#pragma GCC unroll 4
        for (int i = PAIRS - 2; i >= 0; i--) {
            by_x += K(OTHERS(j, i)) * d[(2 * i + 1 + ZERO) * from_step];
            by_p += K(OTHERS(j, i)) * d[(2 * i + ZERO) * from_step];
        }
        v[(2 * j + ZERO) * to_step] = by_x + K(AXIS(points)[j]) * by_p;
        v[(2 * j + ZERO + 1) * to_step] = by_x - K(AXIS(points)[j]) * by_p;
    }
}

/* POINTS points to STEP outputs. */
INLINE void AXIS(points_output)(const VECTOR *m, ptrdiff_t from_step, VECTOR *y, ptrdiff_t to_step)
{
    VECTOR sums[STEP];

#pragma GCC unroll 4
    for (int j = 0; j < PAIRS; j++) {
        const VECTOR plus = m[(2 * j + ZERO) * from_step];
        const VECTOR minus = m[(2 * j + ZERO + 1) * from_step];
        const VECTOR even = plus + minus, odd = plus - minus;
#pragma GCC unroll 5
        for (int i = 0; i < STEP; i++) {
            const VECTOR term = K(POWER(AXIS(points)[j], i)) * (i % 2 ? odd : even);
            sums[i] = j ? sums[i] + term : i || !ZERO ? term : m[0] + term;
        }
    }
    sums[STEP - 1] += m[(POINTS - 1) * from_step];
#pragma GCC unroll 5
    for (int i = 0; i < STEP; i++)
        y[i * to_step] = sums[i];
}

/* The even and the odd part of a polynomial of `count` numbers, divided by `norm`, at p. */
INLINE void AXIS(evaluate)(const VECTOR *numbers, ptrdiff_t step, const int count, const double p,
                           const double norm, VECTOR *even, VECTOR *odd)
{
    *even = K(1 / norm) * numbers[0];
    *odd = ZERO ? numbers[step] : K(p / norm) * numbers[step];
#pragma GCC unroll 3
    for (int i = 2; i < count; i += 2)
        *even += K(POWER(p, i) / norm) * numbers[i * step];
#pragma GCC unroll 3
    for (int i = 3; i < count; i += 2)
        *odd += K(ZERO ? POWER(p, i - 1) : POWER(p, i) / norm) * numbers[i * step];
    if (ZERO)
        *odd *= K(p / norm);
}

/* TAPS taps of a kernel to POINTS points. */
INLINE void AXIS(kernel_points)(const VECTOR *g, ptrdiff_t from_step, VECTOR *u, ptrdiff_t to_step)
{
    if (ZERO)
        u[0] = K(1 / NORM_0) * g[0];
    u[(POINTS - 1) * to_step] = g[(TAPS - 1) * from_step];
#pragma GCC unroll 4
    for (int j = 0; j < PAIRS; j++) {
        VECTOR even, odd;
        AXIS(evaluate)(g, from_step, TAPS, AXIS(points)[j], AXIS(norms)[j], &even, &odd);
        u[(2 * j + ZERO) * to_step] = even + odd;
        /* Without 0 the norm of -p is that of p with the other sign. */
        u[(2 * j + ZERO + 1) * to_step] = ZERO ? even - odd : odd - even;
    }
}

/* The transposed matrices: STEP residuals to POINTS points. */
INLINE void AXIS(residual_points)(const VECTOR *y, ptrdiff_t from_step, VECTOR *z,
                                  ptrdiff_t to_step)
{
    if (ZERO)
        z[0] = y[0];
    z[(POINTS - 1) * to_step] = y[(STEP - 1) * from_step];
#pragma GCC unroll 4
    for (int j = 0; j < PAIRS; j++) {
        VECTOR even, odd;
        AXIS(evaluate)(y, from_step, STEP, AXIS(points)[j], 1, &even, &odd);
        z[(2 * j + ZERO) * to_step] = even + odd;
        z[(2 * j + ZERO + 1) * to_step] = even - odd;
    }
}

/* POINTS points to TAPS taps of a kernel's gradient. */
INLINE void AXIS(points_kernel)(const VECTOR *m, ptrdiff_t from_step, VECTOR *g, ptrdiff_t to_step)
{
    VECTOR sums[TAPS];

#pragma GCC unroll 4
    for (int j = 0; j < PAIRS; j++) {
        const double p = AXIS(points)[j], norm = AXIS(norms)[j];
        const VECTOR plus = m[(2 * j + ZERO) * from_step];
        const VECTOR minus = m[(2 * j + ZERO + 1) * from_step];
        const VECTOR even = ZERO ? plus + minus : plus - minus;
        const VECTOR odd = ZERO ? plus - minus : plus + minus;
#pragma GCC unroll 7
        for (int i = 0; i < TAPS; i++) {
            const VECTOR term = K(POWER(p, i) / norm) * (i % 2 ? odd : even);
            sums[i] = j ? sums[i] + term : i || !ZERO ? term : K(1 / NORM_0) * m[0] + term;
        }
    }
    sums[TAPS - 1] += m[(POINTS - 1) * from_step];
#pragma GCC unroll 7
    for (int i = 0; i < TAPS; i++)
        g[i * to_step] = sums[i];
}

#if TAPS == 3
/* Of the last tile of a row only the first `outputs`, 1 or 2, may be wanted: all its inputs but the
 * first outputs + 2 are free. With these, the products of the point Q vanish, or of Q and -Q. */
INLINE void AXIS(free_inputs)(VECTOR *d, ptrdiff_t step, ptrdiff_t outputs)
{
    const VECTOR third = K(PP) * d[step], fourth = K(PP) * d[2 * step];

    if (outputs == 1) {
        d[3 * step] = third;
        d[4 * step] = fourth;
    } else {
        d[4 * step] = fourth - K(Q) * (d[3 * step] - third);
    }
}
#endif

#undef P
#undef Q
#undef R
#undef S
#undef PP
#undef QQ
#undef RR
#undef SS
#undef CUBIC
#undef ALL
#undef OTHERS
#undef FACTOR
#undef NORM
#undef NORM_0
#endif /* TAPS > 1 */

#undef AXIS
#undef STEP
#undef POINTS
#undef ZERO
#undef PAIRS
#undef K
#undef UP_TO_CUBE
#undef POWER
#undef INLINE
#undef TAPS
