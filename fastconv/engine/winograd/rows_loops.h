/* The loops of Winograd's convolution along rows: a pixel is a vector, of one number of each
 * sample. 9 pixels of a row make 5 outputs of a row of 5 taps, with 9 products:
 *
 *     y = A^T [(G g) * (B^T d)]        9 x STEP, 9 x TAPS and 9 x 9 matrices
 *
 * which winograd_points.h derives. The points are four pairs +-p and infinity, exact in binary:
 * with 0 and three pairs, a ninth point would stand alone, and the error was larger.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

#define TAPS FASTCONV_ROW_TAPS
#define STEP FASTCONV_ROW_STEP
#define POINTS FASTCONV_ROW_POINTS
#define PAIRS (POINTS / 2)
#define ROWS(name) ISA(TYPED(name))
/* A constant of the vectors' type, and a power of at most 4. */
#define K(number) ((SCALAR)(number))
#define SQUARED(p) ((p) * (p))
#define POWER(p, i)                                                                                \
    (((i) % 2 ? (p) : 1) * ((i) / 2 % 2 ? SQUARED(p) : 1) * ((i) == 4 ? SQUARED(SQUARED(p)) : 1))

#define P 0.25
#define Q 0.75
#define R 1.0
#define S 2.5
/* The factors of 1, x^2, x^4 in the product of (x^2 - a^2) for three points. */
#define CUBIC(a, b, c)                                                                             \
    {-SQUARED((a) * (b) * (c)), SQUARED((a) * (b)) + SQUARED((b) * (c)) + SQUARED((a) * (c)),      \
     -(SQUARED(a) + SQUARED(b) + SQUARED(c))}
/* That product, where x is a point, and the other factor of the norm in G. */
#define NORM(x, a, b, c)                                                                           \
    (2 * (x) * (SQUARED(x) - SQUARED(a)) * (SQUARED(x) - SQUARED(b)) * (SQUARED(x) - SQUARED(c)))
static const double ROWS(row_points)[PAIRS] = {P, Q, R, S};
static const double ROWS(row_others)[PAIRS][PAIRS - 1] = {CUBIC(Q, R, S), CUBIC(P, R, S),
                                                          CUBIC(P, Q, S), CUBIC(P, Q, R)};
static const double ROWS(row_norms)[PAIRS] = {NORM(P, Q, R, S), NORM(Q, P, R, S),
                                              NORM(R, P, Q, S), NORM(S, P, Q, R)};
/* The factors of 1, x^2, x^4, x^6 in the product for all four. */
static const double ROWS(row_all)[PAIRS] = {
    SQUARED(P * Q * R * S),
    -(SQUARED(P * Q * R) + SQUARED(P * Q * S) + SQUARED(P * R * S) + SQUARED(Q * R * S)),
    SQUARED(P * Q) + SQUARED(P * R) + SQUARED(P * S) + SQUARED(Q * R) + SQUARED(Q * S) +
        SQUARED(R * S),
    -(SQUARED(P) + SQUARED(Q) + SQUARED(R) + SQUARED(S))};

/* `rows` rows of `tiles` tiles, STEP pixels apart, to v[point * point_step + tile * LANES]; the
 * tiles of all rows follow each other. */
static void ROWS(input_rows)(const SCALAR *slab, ptrdiff_t line, ptrdiff_t rows, ptrdiff_t tiles,
                             SCALAR *v, ptrdiff_t point_step)
{
    for (ptrdiff_t i = 0; i < rows; i++, slab += line)
        for (ptrdiff_t t = 0; t < tiles; t++, v += LANES) {
            const VECTOR *d = (const VECTOR *)slab + STEP * t;
            VECTOR last = d[2 * PAIRS];
#pragma GCC unroll 4
            for (int j = PAIRS - 1; j >= 0; j--)
                last += K(ROWS(row_all)[j]) * d[2 * j];
            *(VECTOR *)(v + 2 * PAIRS * point_step) = last;
#pragma GCC unroll 4
            for (int j = 0; j < PAIRS; j++) {
                VECTOR even = d[2 * PAIRS - 2], odd = d[2 * PAIRS - 1];
#pragma GCC unroll 3
                for (int l = PAIRS - 2; l >= 0; l--) {
                    even += K(ROWS(row_others)[j][l]) * d[2 * l];
                    odd += K(ROWS(row_others)[j][l]) * d[2 * l + 1];
                }
                *(VECTOR *)(v + 2 * j * point_step) = odd + K(ROWS(row_points)[j]) * even;
                *(VECTOR *)(v + (2 * j + 1) * point_step) = odd - K(ROWS(row_points)[j]) * even;
            }
        }
}

/* The even and the odd part of a polynomial of these numbers, divided by `norm`, at p: at -p their
 * sum is their difference. */
static inline __attribute__((always_inline)) void
ROWS(row_parts)(const VECTOR *numbers, const double p, const double norm, VECTOR *even,
                VECTOR *odd)
{
    *even = K(1 / norm) * numbers[0];
    *odd = K(p / norm) * numbers[1];
#pragma GCC unroll 2
    for (int s = 2; s < STEP; s += 2)
        *even += K(POWER(p, s) / norm) * numbers[s];
#pragma GCC unroll 2
    for (int s = 3; s < STEP; s += 2)
        *odd += K(POWER(p, s) / norm) * numbers[s];
}

/* Likewise, rows of residuals: z = A y of every tile. */
static void ROWS(residual_rows)(const SCALAR *slab, ptrdiff_t line, ptrdiff_t rows,
                                ptrdiff_t tiles, SCALAR *z, ptrdiff_t point_step)
{
    for (ptrdiff_t i = 0; i < rows; i++, slab += line)
        for (ptrdiff_t t = 0; t < tiles; t++, z += LANES) {
            const VECTOR *y = (const VECTOR *)slab + STEP * t;
            *(VECTOR *)(z + 2 * PAIRS * point_step) = y[STEP - 1];
#pragma GCC unroll 4
            for (int j = 0; j < PAIRS; j++) {
                VECTOR even, odd;
                ROWS(row_parts)(y, ROWS(row_points)[j], 1, &even, &odd);
                *(VECTOR *)(z + 2 * j * point_step) = even + odd;
                *(VECTOR *)(z + (2 * j + 1) * point_step) = even - odd;
            }
        }
}

/* The tiles' outputs, from m[tile * POINTS + point], into rows of `width` pixels. What a row's last
 * tile has too much is written over by the next row; behind the last row there is room for it. */
static void ROWS(output_rows)(const SCALAR *m, ptrdiff_t rows, ptrdiff_t tiles, SCALAR *out,
                              ptrdiff_t width)
{
    for (ptrdiff_t i = 0; i < rows; i++, out += width * LANES)
        for (ptrdiff_t t = 0; t < tiles; t++, m += POINTS * LANES) {
            const VECTOR *from = (const VECTOR *)m;
            VECTOR *to = (VECTOR *)out + STEP * t, sums[STEP];
#pragma GCC unroll 4
            for (int j = 0; j < PAIRS; j++) {
                const VECTOR even = from[2 * j] + from[2 * j + 1];
                const VECTOR odd = from[2 * j] - from[2 * j + 1];
#pragma GCC unroll 5
                for (int s = 0; s < STEP; s++) {
                    const VECTOR term = K(POWER(ROWS(row_points)[j], s)) * (s % 2 ? odd : even);
                    sums[s] = j ? sums[s] + term : term;
                }
            }
            sums[STEP - 1] += from[2 * PAIRS];
#pragma GCC unroll 5
            for (int s = 0; s < STEP; s++)
                to[s] = sums[s];
        }
}

/* The rows of `channels` kernels of TAPS x TAPS, to u[point * point_step + channel * TAPS + row],
 * filled up to whole vectors. */
static void ROWS(kernel_rows)(const SCALAR *w, ptrdiff_t channels, ptrdiff_t channel_step,
                              ptrdiff_t row_step, ptrdiff_t column_step, SCALAR *u,
                              ptrdiff_t point_step)
{
    ptrdiff_t c = 0, r = 0;

    for (ptrdiff_t i = 0; i < channels * TAPS; i += LANES, u += LANES) {
        SCALAR few[TAPS][LANES] = {{0}};
        VECTOR g[TAPS];
        for (ptrdiff_t q = 0; q < LANES && c < channels; q++) {
            for (ptrdiff_t s = 0; s < TAPS; s++)
                few[s][q] = w[c * channel_step + r * row_step + s * column_step];
            if (++r == TAPS) {
                r = 0;
                c++;
            }
        }
#pragma GCC unroll 5
        for (int s = 0; s < TAPS; s++)
            g[s] = *(const VECTOR *)few[s];
        *(VECTOR *)(u + 2 * PAIRS * point_step) = g[TAPS - 1];
#pragma GCC unroll 4
        for (int j = 0; j < PAIRS; j++) {
            VECTOR even, odd;
            ROWS(row_parts)(g, ROWS(row_points)[j], ROWS(row_norms)[j], &even, &odd);
            *(VECTOR *)(u + 2 * j * point_step) = odd + even;
            *(VECTOR *)(u + (2 * j + 1) * point_step) = odd - even;
        }
    }
}

/* The gradients of the kernels of `channels` channels, from
 * sums[point * point_step + channel * TAPS + row], filled up to whole vectors. */
static void ROWS(kernel_gradients)(const SCALAR *sums, ptrdiff_t point_step, ptrdiff_t channels,
                                   SCALAR *dw, ptrdiff_t channel_step, ptrdiff_t row_step,
                                   ptrdiff_t column_step)
{
    ptrdiff_t c = 0, r = 0;

    for (ptrdiff_t i = 0; i < channels * TAPS; i += LANES) {
        VECTOR g[TAPS];
#pragma GCC unroll 4
        for (int j = 0; j < PAIRS; j++) {
            const double p = ROWS(row_points)[j], norm = ROWS(row_norms)[j];
            const VECTOR plus = *(const VECTOR *)(sums + 2 * j * point_step + i);
            const VECTOR minus = *(const VECTOR *)(sums + (2 * j + 1) * point_step + i);
#pragma GCC unroll 5
            for (int s = 0; s < TAPS; s++) {
                const VECTOR term = K(POWER(p, s) / norm) * (s % 2 ? plus + minus : plus - minus);
                g[s] = j ? g[s] + term : term;
            }
        }
        g[TAPS - 1] += *(const VECTOR *)(sums + 2 * PAIRS * point_step + i);
        for (ptrdiff_t q = 0; q < LANES && c < channels; q++) {
            for (ptrdiff_t s = 0; s < TAPS; s++)
                dw[c * channel_step + r * row_step + s * column_step] = g[s][q];
            if (++r == TAPS) {
                r = 0;
                c++;
            }
        }
    }
}

static const TYPED(fastconv_winograd_rows) ROWS(winograd_rows) = {
    .input_rows = ROWS(input_rows),
    .residual_rows = ROWS(residual_rows),
    .output_rows = ROWS(output_rows),
    .kernel_rows = ROWS(kernel_rows),
    .kernel_gradients = ROWS(kernel_gradients),
};

#undef TAPS
#undef STEP
#undef POINTS
#undef PAIRS
#undef ROWS
#undef K
#undef SQUARED
#undef POWER
#undef P
#undef Q
#undef R
#undef S
#undef CUBIC
#undef NORM

#include "base/vector_end.h"
