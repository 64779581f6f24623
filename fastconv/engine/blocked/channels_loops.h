/* Convolution with channels in the lanes: a pixel is a vector, of one number of each of so many
 * channels. The channels of a group lie in one vector, those of two groups by turns:
 *
 *     one group    x0 x1 x2 x3 ...        two groups    x0 x0' x1 x1' x2 x2' ...
 *
 * so that a number of each group, loaded once and repeated, meets all output channels of its own.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"

/* The groups that one load can repeat: what eight bytes hold. */
#define GROUPS (8 / SCALAR_BYTES)
#if GROUPS > 1
typedef long long ISA(pairs) __attribute__((vector_size(VECTOR_BYTES)));
typedef long long ISA(pair) __attribute__((may_alias, aligned(SCALAR_BYTES)));
/* The numbers of two groups, repeated in all lanes. */
#define REPEAT(x) ((VECTOR)((ISA(pairs)){0} + *(const ISA(pair) *)(x)))
#else
#define REPEAT(x) *(x)
#endif

/* A tile of neighbouring pixels and all, or some, output channels of the groups:
 *
 *     out[i * out_pixel + j * out_vector] (+)= sum over c, t of
 *         w[c * w_channel + t * w_tap + j * LANES] *
 *         x[channel_at[c] + tap_at[t] + i * LANES]
 *
 * in the order of the loops; w and out are vectors, and x is a number of each group. */
static inline __attribute__((always_inline)) void
ISA(TYPED(channel_tile))(const int groups, const int vectors, const int pixels, const SCALAR *first_w,
                         const SCALAR *first_x, const fastconv_channel_loops *loops, SCALAR *out)
{
    VECTOR t[FASTCONV_CHANNEL_PIXELS][FASTCONV_CHANNEL_VECTORS];
    const ptrdiff_t *tap_at = loops->tap_at, *past = tap_at + loops->taps;
    const ptrdiff_t w_tap = loops->w_tap;

#pragma GCC unroll 16
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            t[i][j] = (VECTOR){0};
    if (!loops->first) {
#pragma GCC unroll 16
        for (int i = 0; i < pixels; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                t[i][j] = *(const VECTOR *)(out + i * loops->out_pixel + j * loops->out_vector);
    }
    for (ptrdiff_t c = 0; c < loops->channels; c++) {
        const SCALAR *x = first_x + loops->channel_at[c], *w = first_w + c * loops->w_channel;
        ptrdiff_t next = *tap_at;
        for (const ptrdiff_t *at = tap_at; at < past; w += w_tap) {
            const SCALAR *from = x + next;
            VECTOR row[FASTCONV_CHANNEL_VECTORS];
            /* The next address, ahead of the products that wait for it. */
            next = *++at;
            /* No index: load and product stay one operation. */
            __asm__("" : "+r"(from));
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                row[j] = *(const VECTOR *)(w + j * LANES);
#pragma GCC unroll 16
            for (int i = 0; i < pixels; i++)
#pragma GCC unroll 2
                for (int j = 0; j < vectors; j++)
                    if (groups == 1)
                        t[i][j] += from[i * LANES] * row[j];
                    else
                        t[i][j] += REPEAT(from + i * LANES) * row[j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            *(VECTOR *)(out + i * loops->out_pixel + j * loops->out_vector) = t[i][j];
}

/* Sums of the weight gradient for one tap, some input channels and all, or some, output channels:
 *
 *     sums[i * sums_row + j * sums_vector] (+)= sum over m < lines, p < pixels of
 *         x[m * x_line + p * LANES + i * groups] * dy[m * dy_line + p * dy_pixel + j * LANES] */
static inline __attribute__((always_inline)) void
ISA(TYPED(channel_sums))(const int groups, const int vectors, const int rows, const SCALAR *dy,
                         const SCALAR *x, const fastconv_channel_lines *lines, SCALAR *sums)
{
    VECTOR t[FASTCONV_CHANNEL_PIXELS][FASTCONV_CHANNEL_VECTORS];
    const ptrdiff_t dy_pixel = lines->dy_pixel;

#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            t[i][j] = (VECTOR){0};
    if (!lines->first) {
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                t[i][j] = *(const VECTOR *)(sums + i * lines->sums_row + j * lines->sums_vector);
    }
    for (ptrdiff_t m = 0; m < lines->lines; m++) {
        const SCALAR *from = x + m * lines->x_line, *y = dy + m * lines->dy_line;
        for (ptrdiff_t p = lines->pixels; p > 0; p--, from += LANES, y += dy_pixel) {
            VECTOR row[FASTCONV_CHANNEL_VECTORS];
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++)
                row[j] = *(const VECTOR *)(y + j * LANES);
#pragma GCC unroll 16
            for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
                for (int j = 0; j < vectors; j++)
                    if (groups == 1)
                        t[i][j] += from[i] * row[j];
                    else
                        t[i][j] += REPEAT(from + i * groups) * row[j];
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            *(VECTOR *)(sums + i * lines->sums_row + j * lines->sums_vector) = t[i][j];
}

#define BOTH(PIXELS, VECTORS, GROUPED)                                                             \
    static __attribute__((noinline)) void                                                          \
    ISA(TYPED(channel_tile_##PIXELS##x##VECTORS##g##GROUPED))(                                     \
        const SCALAR *w, const SCALAR *x, const fastconv_channel_loops *loops, SCALAR *out)        \
    {                                                                                              \
        ISA(TYPED(channel_tile))(GROUPED, VECTORS, PIXELS, w, x, loops, out);                      \
    }                                                                                              \
    static __attribute__((noinline)) void                                                          \
    ISA(TYPED(channel_sums_##PIXELS##x##VECTORS##g##GROUPED))(                                     \
        const SCALAR *dy, const SCALAR *x, const fastconv_channel_lines *lines, SCALAR *sums)      \
    {                                                                                              \
        ISA(TYPED(channel_sums))(GROUPED, VECTORS, PIXELS, dy, x, lines, sums);                    \
    }
#define EACH_OF_6(X, V, G) X(1, V, G) X(2, V, G) X(3, V, G) X(4, V, G) X(5, V, G) X(6, V, G)
#define EACH_OF_10(X, V, G) EACH_OF_6(X, V, G) X(7, V, G) X(8, V, G) X(9, V, G) X(10, V, G)
#define EACH_OF_14(X, V, G) EACH_OF_10(X, V, G) X(11, V, G) X(12, V, G) X(13, V, G) X(14, V, G)
#if REGISTERS == 32
#define EACH_1 EACH_OF_14
#define EACH_2 EACH_OF_14
#else
#define EACH_1 EACH_OF_10
#define EACH_2 EACH_OF_6
#endif
EACH_1(BOTH, 1, 1)
EACH_2(BOTH, 2, 1)
#if GROUPS > 1
EACH_1(BOTH, 1, 2)
EACH_2(BOTH, 2, 2)
#endif

#define TILE_NAME(PIXELS, VECTORS, GROUPED)                                                        \
    ISA(TYPED(channel_tile_##PIXELS##x##VECTORS##g##GROUPED)),
#define SUMS_NAME(PIXELS, VECTORS, GROUPED)                                                        \
    ISA(TYPED(channel_sums_##PIXELS##x##VECTORS##g##GROUPED)),
static const TYPED(fastconv_channels) ISA(TYPED(channels)) = {
    .lanes = LANES,
    .groups = GROUPS,
#if REGISTERS == 32
    .most = {14, 14},
#else
    .most = {10, 6},
#endif
    .tiles =
        {
            {{EACH_1(TILE_NAME, 1, 1)}, {EACH_2(TILE_NAME, 2, 1)}},
#if GROUPS > 1
            {{EACH_1(TILE_NAME, 1, 2)}, {EACH_2(TILE_NAME, 2, 2)}},
#endif
        },
    .sums =
        {
            {{EACH_1(SUMS_NAME, 1, 1)}, {EACH_2(SUMS_NAME, 2, 1)}},
#if GROUPS > 1
            {{EACH_1(SUMS_NAME, 1, 2)}, {EACH_2(SUMS_NAME, 2, 2)}},
#endif
        },
};

#undef GROUPS
#undef REPEAT
#undef BOTH
#undef TILE_NAME
#undef SUMS_NAME
#undef EACH_OF_6
#undef EACH_OF_10
#undef EACH_OF_14
#undef EACH_1
#undef EACH_2
#include "base/vector_end.h"
