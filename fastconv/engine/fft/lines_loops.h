/* Transforms of lines with a line in each lane, written once for each instruction set and type.
 *
 * Each step of a line splits it by one factor R: "decimation in frequency" on the way there, "in
 * time" on the way back, both in place (J. Cooley, J. Tukey, "An algorithm for the machine
 * calculation of complex Fourier series", 1965; W. Gentleman, G. Sande, "Fast Fourier transforms -
 * for fun and profit", 1966). So nothing is put into order: products of transforms need none. */

#include "base/vector.h"

#define INLINE static inline __attribute__((always_inline))
#define NAME(name) ISA(TYPED(name))
#define CELL (2 * LANES)
#define COMPLEX NAME(complex_vector)
typedef struct {
    VECTOR re, im;
} COMPLEX;

/* Blocks of so many bytes stay in the first-level cache, and take all their steps there. */
enum { NAME(NEAR_BYTES) = 32768 };

INLINE COMPLEX NAME(load)(const SCALAR *x)
{
    return (COMPLEX){*(const VECTOR *)x, *(const VECTOR *)(x + LANES)};
}

INLINE void NAME(store)(COMPLEX a, SCALAR *x)
{
    *(VECTOR *)x = a.re;
    *(VECTOR *)(x + LANES) = a.im;
}

INLINE COMPLEX NAME(add)(COMPLEX a, COMPLEX b)
{
    return (COMPLEX){a.re + b.re, a.im + b.im};
}

INLINE COMPLEX NAME(subtract)(COMPLEX a, COMPLEX b)
{
    return (COMPLEX){a.re - b.re, a.im - b.im};
}

INLINE COMPLEX NAME(scaled)(COMPLEX a, SCALAR by)
{
    return (COMPLEX){a.re * by, a.im * by};
}

/* a times -i, or times i on the way back. */
INLINE COMPLEX NAME(quarter_turn)(const int BACK, COMPLEX a)
{
    return BACK ? (COMPLEX){-a.im, a.re} : (COMPLEX){a.im, -a.re};
}

/* a times a complex number, or its conjugate on the way back. */
INLINE COMPLEX NAME(twiddle)(const int BACK, COMPLEX a, const SCALAR *w)
{
    const VECTOR re = (VECTOR){0} + w[0], im = (VECTOR){0} + w[1];
    return BACK ? (COMPLEX){a.re * re + a.im * im, a.im * re - a.re * im}
                : (COMPLEX){a.re * re - a.im * im, a.im * re + a.re * im};
}

INLINE void NAME(transform_2)(COMPLEX x[2])
{
    const COMPLEX a = x[0], b = x[1];
    x[0] = NAME(add)(a, b);
    x[1] = NAME(subtract)(a, b);
}

INLINE void NAME(transform_3)(const int BACK, COMPLEX x[3])
{
    const COMPLEX sum = NAME(add)(x[1], x[2]);
    const COMPLEX middle = NAME(subtract)(x[0], NAME(scaled)(sum, (SCALAR)0.5));
    const COMPLEX side = NAME(scaled)(
        NAME(quarter_turn)(BACK, NAME(subtract)(x[1], x[2])), (SCALAR)0.86602540378443864676);
    x[0] = NAME(add)(x[0], sum);
    x[1] = NAME(add)(middle, side);
    x[2] = NAME(subtract)(middle, side);
}

INLINE void NAME(transform_4)(const int BACK, COMPLEX x[4])
{
    const COMPLEX a = NAME(add)(x[0], x[2]), b = NAME(subtract)(x[0], x[2]);
    const COMPLEX c = NAME(add)(x[1], x[3]);
    const COMPLEX d = NAME(quarter_turn)(BACK, NAME(subtract)(x[1], x[3]));
    x[0] = NAME(add)(a, c);
    x[1] = NAME(add)(b, d);
    x[2] = NAME(subtract)(a, c);
    x[3] = NAME(subtract)(b, d);
}

INLINE void NAME(transform_5)(const int BACK, COMPLEX x[5])
{
    /* The cosines and sines of a fifth and of two fifths of the circle. */
    const SCALAR c1 = (SCALAR)0.30901699437494742410, c2 = (SCALAR)-0.80901699437494742410;
    const SCALAR s1 = (SCALAR)0.95105651629515357212, s2 = (SCALAR)0.58778525229247312917;
    const COMPLEX a = NAME(add)(x[1], x[4]), b = NAME(add)(x[2], x[3]);
    const COMPLEX c = NAME(quarter_turn)(BACK, NAME(subtract)(x[1], x[4]));
    const COMPLEX d = NAME(quarter_turn)(BACK, NAME(subtract)(x[2], x[3]));
    const COMPLEX p = {x[0].re + a.re * c1 + b.re * c2, x[0].im + a.im * c1 + b.im * c2};
    const COMPLEX q = {x[0].re + a.re * c2 + b.re * c1, x[0].im + a.im * c2 + b.im * c1};
    const COMPLEX r = {c.re * s1 + d.re * s2, c.im * s1 + d.im * s2};
    const COMPLEX s = {c.re * s2 - d.re * s1, c.im * s2 - d.im * s1};
    x[0] = NAME(add)(x[0], NAME(add)(a, b));
    x[1] = NAME(add)(p, r);
    x[2] = NAME(add)(q, s);
    x[3] = NAME(subtract)(q, s);
    x[4] = NAME(subtract)(p, r);
}

INLINE void NAME(transform_8)(const int BACK, COMPLEX x[8])
{
    const SCALAR half = (SCALAR)0.70710678118654752440;
    COMPLEX even[4] = {x[0], x[2], x[4], x[6]}, odd[4] = {x[1], x[3], x[5], x[7]};
    NAME(transform_4)(BACK, even);
    NAME(transform_4)(BACK, odd);
    /* Times the eighth roots of unity. */
    const COMPLEX one = NAME(quarter_turn)(BACK, odd[1]);
    const COMPLEX three = NAME(quarter_turn)(BACK, odd[3]);
    odd[1] = NAME(scaled)(NAME(add)(odd[1], one), half);
    odd[2] = NAME(quarter_turn)(BACK, odd[2]);
    odd[3] = NAME(scaled)(NAME(subtract)(three, odd[3]), half);
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        x[i] = NAME(add)(even[i], odd[i]);
        x[i + 4] = NAME(subtract)(even[i], odd[i]);
    }
}

INLINE void NAME(transform_factor)(const int R, const int BACK, COMPLEX *x)
{
    if (R == 2)
        NAME(transform_2)(x);
    else if (R == 3)
        NAME(transform_3)(BACK, x);
    else if (R == 4)
        NAME(transform_4)(BACK, x);
    else if (R == 5)
        NAME(transform_5)(BACK, x);
    else
        NAME(transform_8)(BACK, x);
}

/* One step of `blocks` blocks of a line, each R times `part` cells. */
INLINE void NAME(step)(const int R, const int BACK, SCALAR *cells, ptrdiff_t part,
                       ptrdiff_t blocks, const SCALAR *twiddles)
{
    for (ptrdiff_t block = 0; block < blocks; block++, cells += R * part * CELL) {
        const SCALAR *w = twiddles;
        for (ptrdiff_t p = 0; p < part; p++, w += 2 * (R - 1)) {
            SCALAR *at = cells + p * CELL;
            COMPLEX x[8];
#pragma GCC unroll 8
            for (int i = 0; i < R; i++)
                x[i] = NAME(load)(at + i * part * CELL);
            if (BACK && part > 1) {
#pragma GCC unroll 8
                for (int i = 1; i < R; i++)
                    x[i] = NAME(twiddle)(1, x[i], w + 2 * (i - 1));
            }
            NAME(transform_factor)(R, BACK, x);
            if (!BACK && part > 1) {
#pragma GCC unroll 8
                for (int i = 1; i < R; i++)
                    x[i] = NAME(twiddle)(0, x[i], w + 2 * (i - 1));
            }
#pragma GCC unroll 8
            for (int i = 0; i < R; i++)
                NAME(store)(x[i], at + i * part * CELL);
        }
    }
}

#define STEPS(way, BACK)                                                                           \
    static void NAME(step_##way)(ptrdiff_t factor, SCALAR *cells, ptrdiff_t part,                  \
                                 ptrdiff_t blocks, const SCALAR *twiddles)                         \
    {                                                                                              \
        if (factor == 4)                                                                           \
            NAME(step)(4, BACK, cells, part, blocks, twiddles);                                    \
        else if (factor == 8)                                                                      \
            NAME(step)(8, BACK, cells, part, blocks, twiddles);                                    \
        else if (factor == 3)                                                                      \
            NAME(step)(3, BACK, cells, part, blocks, twiddles);                                    \
        else if (factor == 5)                                                                      \
            NAME(step)(5, BACK, cells, part, blocks, twiddles);                                    \
        else                                                                                       \
            NAME(step)(2, BACK, cells, part, blocks, twiddles);                                    \
    }
STEPS(forward, 0)
STEPS(inverse, 1)
#undef STEPS

/* The steps from the factor `at` on of a block of `length` cells: one after the other where it is
 * near, and else the first, and the others for each part by itself. */
static void NAME(split)(const fastconv_line *line, ptrdiff_t at, ptrdiff_t length, SCALAR *cells)
{
    const SCALAR *twiddles = line->twiddles;
    const int near = length * CELL * SCALAR_BYTES <= NAME(NEAR_BYTES);
    for (ptrdiff_t blocks = 1; at < line->factors; at++) {
        const ptrdiff_t factor = line->factor[at];
        length /= factor;
        NAME(step_forward)(factor, cells, length, blocks, twiddles + line->first[at]);
        if (!near) {
            for (ptrdiff_t i = 0; i < factor; i++)
                NAME(split)(line, at + 1, length, cells + i * length * CELL);
            return;
        }
        blocks *= factor;
    }
}

static void NAME(join)(const fastconv_line *line, ptrdiff_t at, ptrdiff_t length, SCALAR *cells)
{
    const SCALAR *twiddles = line->twiddles;
    if (at == line->factors)
        return;
    if (length * CELL * SCALAR_BYTES <= NAME(NEAR_BYTES)) {
        ptrdiff_t part = 1;
        for (ptrdiff_t last = line->factors - 1; last >= at; last--) {
            const ptrdiff_t whole = part * line->factor[last];
            NAME(step_inverse)(line->factor[last], cells, part, length / whole,
                               twiddles + line->first[last]);
            part = whole;
        }
        return;
    }
    const ptrdiff_t factor = line->factor[at], part = length / factor;
    for (ptrdiff_t i = 0; i < factor; i++)
        NAME(join)(line, at + 1, part, cells + i * part * CELL);
    NAME(step_inverse)(factor, cells, part, 1, twiddles + line->first[at]);
}

static void NAME(forward)(const fastconv_line *line, void *cells)
{
    NAME(split)(line, 0, line->length, cells);
}

static void NAME(inverse)(const fastconv_line *line, void *cells)
{
    NAME(join)(line, 0, line->length, cells);
}

/* Which of the columns from `column` on are there in row i: low .. high. */
INLINE void NAME(present)(const fastconv_window *window, ptrdiff_t i, ptrdiff_t column,
                          ptrdiff_t width, ptrdiff_t *low, ptrdiff_t *high)
{
    ptrdiff_t from = window->left, to = window->right;
    if (from < window->first - i * window->pitch)
        from = window->first - i * window->pitch;
    if (to > window->end - i * window->pitch)
        to = window->end - i * window->pitch;
    from -= column;
    to -= column;
    *low = from < 0 ? 0 : from;
    *high = i < window->top || i >= window->bottom ? 0 : to > width ? width : to;
}

INLINE VECTOR NAME(read_row)(const fastconv_window *from, ptrdiff_t i, ptrdiff_t column,
                             ptrdiff_t width)
{
    ptrdiff_t low, high;
    NAME(present)(from, i, column, width, &low, &high);
    if (low >= high)
        return (VECTOR){0};
    const char *at = from->data + i * from->row + column * from->column;
    if (high - low == LANES && from->column == SCALAR_BYTES)
        return *(const VECTOR *)at;
    SCALAR lanes[LANES] = {0};
    for (ptrdiff_t j = low; j < high; j++)
        lanes[j] = *(const SCALAR *)(at + j * from->column);
    return *(const VECTOR *)lanes;
}

INLINE void NAME(write_row)(VECTOR x, const fastconv_window *to, ptrdiff_t i, ptrdiff_t column,
                            ptrdiff_t width)
{
    ptrdiff_t low, high;
    NAME(present)(to, i, column, width, &low, &high);
    if (low >= high)
        return;
    char *at = to->data + i * to->row + column * to->column;
    if (high - low == LANES && to->column == SCALAR_BYTES) {
        *(VECTOR *)at = x;
        return;
    }
    SCALAR lanes[LANES];
    *(VECTOR *)lanes = x;
    for (ptrdiff_t j = low; j < high; j++)
        *(SCALAR *)(at + j * to->column) = lanes[j];
}

static void NAME(read_columns)(const fastconv_window *from, ptrdiff_t rows, ptrdiff_t column,
                               ptrdiff_t width, const void *factors, void *cells)
{
    const SCALAR *w = factors;
    SCALAR *to = cells;
    for (ptrdiff_t i = 0; i < rows; i++, w += 2, to += CELL) {
        const COMPLEX x = {NAME(read_row)(from, i, column, width),
                           NAME(read_row)(from, i + rows, column, width)};
        NAME(store)(NAME(twiddle)(0, x, w), to);
    }
}

static void NAME(write_columns)(const void *cells, ptrdiff_t rows, ptrdiff_t column,
                                ptrdiff_t width, const void *factors, double scale,
                                const void *bias, const fastconv_window *to)
{
    const SCALAR *w = factors, *from = cells;
    const SCALAR shift = bias ? *(const SCALAR *)bias : 0;
    for (ptrdiff_t i = 0; i < rows; i++, w += 2, from += CELL) {
        const COMPLEX x = NAME(scaled)(NAME(twiddle)(1, NAME(load)(from), w), (SCALAR)scale);
        NAME(write_row)(x.re + shift, to, i, column, width);
        NAME(write_row)(x.im + shift, to, i + rows, column, width);
    }
}

static void NAME(turn_in)(const void *blocks, ptrdiff_t step, ptrdiff_t count, void *cells)
{
    const SCALAR *from = blocks;
    SCALAR *to = cells;
    for (ptrdiff_t j = 0; j < count; j += LANES, from += step, to += LANES * CELL) {
        const ptrdiff_t width = count - j < LANES ? count - j : LANES;
        for (int part = 0; part < CELL; part += LANES) {
            VECTOR block[LANES];
#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++)
                block[i] = *(const VECTOR *)(from + i * CELL + part);
            ISA(TYPED(turn))(block);
            if (width == LANES) {
#pragma GCC unroll 16
                for (int i = 0; i < LANES; i++)
                    *(VECTOR *)(to + i * CELL + part) = block[i];
            } else {
                for (int i = 0; i < width; i++)
                    *(VECTOR *)(to + i * CELL + part) = block[i];
            }
        }
    }
}

static void NAME(turn_out)(const void *cells, ptrdiff_t count, void *blocks, ptrdiff_t step)
{
    const SCALAR *from = cells;
    SCALAR *to = blocks;
    for (ptrdiff_t j = 0; j < count; j += LANES, from += LANES * CELL, to += step) {
        const ptrdiff_t width = count - j < LANES ? count - j : LANES;
        for (int part = 0; part < CELL; part += LANES) {
            VECTOR block[LANES];
            if (width == LANES) {
#pragma GCC unroll 16
                for (int i = 0; i < LANES; i++)
                    block[i] = *(const VECTOR *)(from + i * CELL + part);
            } else {
                for (int i = 0; i < LANES; i++)
                    block[i] = i < width ? *(const VECTOR *)(from + i * CELL + part) : (VECTOR){0};
            }
            ISA(TYPED(turn))(block);
#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++)
                *(VECTOR *)(to + i * CELL + part) = block[i];
        }
    }
}

INLINE void NAME(weigh_cells)(const int CONJUGATE, const SCALAR *x, ptrdiff_t x_step,
                              const SCALAR *w, ptrdiff_t w_step, ptrdiff_t channels,
                              ptrdiff_t count, SCALAR *to)
{
    for (ptrdiff_t i = 0; i < count; i++, x += CELL, w += CELL, to += CELL) {
        COMPLEX sum = {{0}, {0}};
        for (ptrdiff_t c = 0; c < channels; c++) {
            const COMPLEX a = NAME(load)(x + c * x_step), b = NAME(load)(w + c * w_step);
            if (CONJUGATE) {
                sum.re += a.re * b.re + a.im * b.im;
                sum.im += a.im * b.re - a.re * b.im;
            } else {
                sum.re += a.re * b.re - a.im * b.im;
                sum.im += a.im * b.re + a.re * b.im;
            }
        }
        NAME(store)(sum, to);
    }
}

static void NAME(weigh)(const void *x, ptrdiff_t x_step, const void *w, ptrdiff_t w_step,
                        ptrdiff_t channels, ptrdiff_t count, void *to)
{
    NAME(weigh_cells)(0, x, x_step, w, w_step, channels, count, to);
}

static void NAME(weigh_conjugate)(const void *x, ptrdiff_t x_step, const void *w,
                                  ptrdiff_t w_step, ptrdiff_t channels, ptrdiff_t count, void *to)
{
    NAME(weigh_cells)(1, x, x_step, w, w_step, channels, count, to);
}

static void NAME(add_products)(const void *x, const void *r, ptrdiff_t count, double *total)
{
    const SCALAR *a = x, *b = r;
    for (ptrdiff_t i = 0; i < count; i++, a += CELL, b += CELL, total += CELL)
        for (int j = 0; j < LANES; j++) {
            total[j] += a[j] * b[j] + a[LANES + j] * b[LANES + j];
            total[LANES + j] += a[LANES + j] * b[j] - a[j] * b[LANES + j];
        }
}

static const fastconv_line_loops NAME(line_loops) = {
    LANES,
    NAME(forward),
    NAME(inverse),
    NAME(read_columns),
    NAME(write_columns),
    NAME(turn_in),
    NAME(turn_out),
    NAME(weigh),
    NAME(weigh_conjugate),
    NAME(add_products),
};

#undef COMPLEX
#undef CELL
#undef NAME
#undef INLINE
#include "base/vector_end.h"
