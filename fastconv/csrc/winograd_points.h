/* The matrices of Winograd's convolution with tiles of 6, each as a function of vectors.
 *
 * An output of m elements with a kernel of r taps sees n = m + r - 1 = 6 inputs. It is computed as
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
 * The points 0, +-P and +-Q are exact in binary, and their powers stay near 1, so that the error is
 * a few times smaller than with 0, +-1 and +-2. Pairs of opposite points share all they compute.
 *
 * The gradient of the kernel is a correlation as well, of the input with the residual:
 * dg = G^T [(A dY A^T) * (B^T d B)] G, the transposed matrices with m and r as they are.
 *
 * Each function takes numbers `from_step` vectors apart and writes such `to_step` apart. Expects
 * VECTOR. */

#define P 0.625
#define Q 1.5
#define PP (P * P)
#define QQ (Q * Q)
/* The products in G, of the points 0, +-P and +-Q. */
#define NORM_0 (PP * QQ)
#define NORM_P (2 * PP * (PP - QQ))
#define NORM_Q (2 * QQ * (QQ - PP))
/* A constant of the vectors' type. */
#define K(number) ((SCALAR)(number))
#define INLINE static inline __attribute__((always_inline))

/* 6 inputs to 6 points. */
INLINE void ISA(TYPED(input_points))(const VECTOR *d, ptrdiff_t from_step, VECTOR *v,
                                     ptrdiff_t to_step)
{
    const VECTOR d0 = d[0], d1 = d[from_step], d2 = d[2 * from_step], d3 = d[3 * from_step];
    const VECTOR d4 = d[4 * from_step], d5 = d[5 * from_step];
    const VECTOR even_p = d4 - K(QQ) * d2, odd_p = d3 - K(QQ) * d1;
    const VECTOR even_q = d4 - K(PP) * d2, odd_q = d3 - K(PP) * d1;

    v[0] = d4 - K(PP + QQ) * d2 + K(PP * QQ) * d0;
    v[to_step] = even_p + K(P) * odd_p;
    v[2 * to_step] = even_p - K(P) * odd_p;
    v[3 * to_step] = even_q + K(Q) * odd_q;
    v[4 * to_step] = even_q - K(Q) * odd_q;
    v[5 * to_step] = d5 - K(PP + QQ) * d3 + K(PP * QQ) * d1;
}

/* 6 points to 4 outputs. */
INLINE void ISA(TYPED(points_output))(const VECTOR *m, ptrdiff_t from_step, VECTOR *y,
                                      ptrdiff_t to_step)
{
    const VECTOR m1 = m[from_step], m2 = m[2 * from_step];
    const VECTOR m3 = m[3 * from_step], m4 = m[4 * from_step];
    const VECTOR even_p = m1 + m2, odd_p = m1 - m2, even_q = m3 + m4, odd_q = m3 - m4;

    y[0] = m[0] + even_p + even_q;
    y[to_step] = K(P) * odd_p + K(Q) * odd_q;
    y[2 * to_step] = K(PP) * even_p + K(QQ) * even_q;
    y[3 * to_step] = m[5 * from_step] + K(P * PP) * odd_p + K(Q * QQ) * odd_q;
}

/* 3 taps of a kernel to 6 points. */
INLINE void ISA(TYPED(kernel_points))(const VECTOR *g, ptrdiff_t from_step, VECTOR *u,
                                      ptrdiff_t to_step)
{
    const VECTOR g0 = g[0], g1 = g[from_step], g2 = g[2 * from_step];
    const VECTOR even_p = K(1 / NORM_P) * g0 + K(PP / NORM_P) * g2;
    const VECTOR even_q = K(1 / NORM_Q) * g0 + K(QQ / NORM_Q) * g2;

    u[0] = K(1 / NORM_0) * g0;
    u[to_step] = even_p + K(P / NORM_P) * g1;
    u[2 * to_step] = even_p - K(P / NORM_P) * g1;
    u[3 * to_step] = even_q + K(Q / NORM_Q) * g1;
    u[4 * to_step] = even_q - K(Q / NORM_Q) * g1;
    u[5 * to_step] = g2;
}

/* The transposed matrices: 4 residuals to 6 points. */
INLINE void ISA(TYPED(residual_points))(const VECTOR *y, ptrdiff_t from_step, VECTOR *z,
                                        ptrdiff_t to_step)
{
    const VECTOR y0 = y[0], y1 = y[from_step], y2 = y[2 * from_step], y3 = y[3 * from_step];
    const VECTOR even_p = y0 + K(PP) * y2, odd_p = y1 + K(PP) * y3;
    const VECTOR even_q = y0 + K(QQ) * y2, odd_q = y1 + K(QQ) * y3;

    z[0] = y0;
    z[to_step] = even_p + K(P) * odd_p;
    z[2 * to_step] = even_p - K(P) * odd_p;
    z[3 * to_step] = even_q + K(Q) * odd_q;
    z[4 * to_step] = even_q - K(Q) * odd_q;
    z[5 * to_step] = y3;
}

/* 6 points to 3 taps of a kernel's gradient. */
INLINE void ISA(TYPED(points_kernel))(const VECTOR *m, ptrdiff_t from_step, VECTOR *g,
                                      ptrdiff_t to_step)
{
    const VECTOR m1 = m[from_step], m2 = m[2 * from_step];
    const VECTOR m3 = m[3 * from_step], m4 = m[4 * from_step];
    const VECTOR even_p = m1 + m2, even_q = m3 + m4;

    g[0] = K(1 / NORM_0) * m[0] + K(1 / NORM_P) * even_p + K(1 / NORM_Q) * even_q;
    g[to_step] = K(P / NORM_P) * (m1 - m2) + K(Q / NORM_Q) * (m3 - m4);
    g[2 * to_step] = m[5 * from_step] + K(PP / NORM_P) * even_p + K(QQ / NORM_Q) * even_q;
}

#undef P
#undef Q
#undef PP
#undef QQ
#undef NORM_0
#undef NORM_P
#undef NORM_Q
#undef K
#undef INLINE
