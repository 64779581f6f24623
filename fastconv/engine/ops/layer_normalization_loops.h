/* The loops of layer normalisation, written once: layer_normalization.h includes this file for each
 * instruction set and type.
 *
 * h = (x - center) * scale + shift is a row, normalised: `center` is the SCALAR nearest to its mean,
 * and `shift` what the mean is off it. Backward computes h again by the same roundings. Rows shorter
 * than a vector are computed number by number, in doubles.
 *
 * Expects what regions.h defines. */

#include "ops/runs.h"

#define FACTORS NAME(row_factors)
typedef struct {
    SCALAR center, scale, shift;
} FACTORS;

INLINE FACTORS NAME(round_row)(double mean, double inverse)
{
    FACTORS f;
    f.center = (SCALAR)mean;
    f.scale = (SCALAR)inverse;
    f.shift = (SCALAR)((f.center - mean) * inverse);
    return f;
}

#define NORMAL(at) ((LOAD(x + (at)) - f.center) * f.scale + f.shift)

/* The moments of a row: of all of it, or of pieces, joined. */
INLINE void NAME(row_moments)(const SCALAR *x, ptrdiff_t length, fastconv_sums *total)
{
    if (length < LANES) {
        double sum = 0, squares = 0;
        for (ptrdiff_t i = 0; i < length; i++)
            sum += x[i];
        const double mean = sum / length;
        for (ptrdiff_t i = 0; i < length; i++)
            squares += (x[i] - mean) * (x[i] - mean);
        *total = (fastconv_sums){length, mean, squares};
        return;
    }
    *total = (fastconv_sums){0, 0, 0};
    for (ptrdiff_t first = 0; first < length; first += FASTCONV_PIECE) {
        const ptrdiff_t count =
            length - first < FASTCONV_PIECE ? length - first : FASTCONV_PIECE;
        fastconv_sums part = {count, 0, 0};
        NAME(find_moments)((const char *)(x + first), 0, 1, count, &part.first, &part.second);
        fastconv_join_moments(total, &part);
    }
}

INLINE void NAME(normalize_rows)(const fastconv_rows *p, int weighs, int adds)
{
    const SCALAR *x = p->x, *weight = p->weight, *bias = p->bias;
    const ptrdiff_t length = p->length;
    SCALAR *y = p->result;
    for (ptrdiff_t r = 0; r < p->rows; r++, x += length, y += length) {
        fastconv_sums moments;
        NAME(row_moments)(x, length, &moments);
        const double mean = moments.first;
        const double inverse = 1 / sqrt(moments.second / moments.count + p->eps);
        p->mean[r] = mean;
        p->inverse[r] = inverse;
        if (length < LANES) {
            for (ptrdiff_t i = 0; i < length; i++)
                y[i] = (SCALAR)((x[i] - mean) * inverse * (weighs ? weight[i] : 1)
                                + (adds ? bias[i] : 0));
            continue;
        }
        const FACTORS f = NAME(round_row)(mean, inverse);
#define VALUE(i)                                                                                   \
    ({                                                                                             \
        const VECTOR h = NORMAL(i), scaled = weighs ? h * LOAD(weight + (i)) : h;                  \
        adds ? scaled + LOAD(bias + (i)) : scaled;                                                 \
    })
        WRITE_RUN(y, length, p->streams, VALUE)
#undef VALUE
    }
}

#define ROW_LOOP(name) static __attribute__((noinline)) void NAME(name)
ROW_LOOP(normalize)(const fastconv_rows *p)
{
    if (p->weight)
        if (p->bias)
            NAME(normalize_rows)(p, 1, 1);
        else
            NAME(normalize_rows)(p, 1, 0);
    else if (p->bias)
        NAME(normalize_rows)(p, 0, 1);
    else
        NAME(normalize_rows)(p, 0, 0);
}

/* The sums of g and of g h over a row, with g = dy * weight. */
INLINE void NAME(row_sums)(const SCALAR *x, const SCALAR *dy, const SCALAR *weight,
                           ptrdiff_t length, FACTORS f, int weighs, double *sum, double *product)
{
#define PASSED(at) (weighs ? LOAD(g + (at)) * LOAD(w + (at)) : LOAD(g + (at)))
#define ADD_PASSED(j, at)                                                                          \
    {                                                                                              \
        const VECTOR v = PASSED(at);                                                               \
        sums[j] += v;                                                                              \
        products[j] += v * NORMAL(at);                                                             \
    }
#define ADD_LAST(j)                                                                                \
    {                                                                                              \
        sums[j] += NAME(kept)(valid, PASSED(count - LANES));                                       \
        products[j] += NAME(kept)(valid, PASSED(count - LANES) * NORMAL(count - LANES));           \
    }
    *sum = *product = 0;
    const SCALAR *const g_end = dy + length;
    /* Each piece has a vector at least: a shorter end goes with the piece before it. */
    for (const SCALAR *g = dy, *w = weight; g < g_end;) {
        const ptrdiff_t left = g_end - g;
        const ptrdiff_t count = left < FASTCONV_PIECE + LANES ? left : FASTCONV_PIECE;
        const MASK valid = NAME(rest_mask)(count);
        VECTOR sums[SUMS] = {0}, products[SUMS] = {0};
        EACH_VECTOR(count, ADD_PASSED, ADD_LAST)
        *sum += NAME(total)(sums);
        *product += NAME(total)(products);
        g += count;
        x += count;
        w = weighs ? w + count : w;
    }
#undef PASSED
#undef ADD_PASSED
#undef ADD_LAST
}

INLINE void NAME(short_gradient)(const SCALAR *x, const SCALAR *dy, const SCALAR *weight,
                                 SCALAR *dx, ptrdiff_t length, double mean, double inverse,
                                 int weighs)
{
    double g[LANES], h[LANES], sum = 0, product = 0;
    for (ptrdiff_t i = 0; i < length; i++) {
        g[i] = (double)dy[i] * (weighs ? weight[i] : 1);
        h[i] = (x[i] - mean) * inverse;
        sum += g[i];
        product += g[i] * h[i];
    }
    for (ptrdiff_t i = 0; i < length; i++)
        dx[i] = (SCALAR)((g[i] - sum / length - h[i] * (product / length)) * inverse);
}

INLINE void NAME(grade_rows)(const fastconv_rows *p, int weighs)
{
    const SCALAR *x = p->x, *dy = p->dy, *weight = p->weight;
    const ptrdiff_t length = p->length;
    const double share = 1.0 / length;
    SCALAR *dx = p->result;
    for (ptrdiff_t r = 0; r < p->rows; r++, x += length, dy += length, dx += length) {
        if (length < LANES) {
            NAME(short_gradient)(x, dy, weight, dx, length, p->mean[r], p->inverse[r], weighs);
            continue;
        }
        const FACTORS f = NAME(round_row)(p->mean[r], p->inverse[r]);
        double sum, product;
        NAME(row_sums)(x, dy, weight, length, f, weighs, &sum, &product);
        const SCALAR level = (SCALAR)(sum * share), slope = (SCALAR)(product * share);
#define VALUE(i)                                                                                   \
    ({                                                                                             \
        const VECTOR v = LOAD(dy + (i)), g = weighs ? v * LOAD(weight + (i)) : v;                  \
        (g - level - NORMAL(i) * slope) * f.scale;                                                 \
    })
        WRITE_RUN(dx, length, p->streams, VALUE)
#undef VALUE
    }
}

ROW_LOOP(gradient)(const fastconv_rows *p)
{
    if (p->weight)
        NAME(grade_rows)(p, 1);
    else
        NAME(grade_rows)(p, 0);
}

/* So many vectors of columns at a time. */
#define COLUMNS 4

/* Add up the columns of `vectors` vectors; of these, the first `known` numbers have come already. */
INLINE void NAME(add_columns)(const SCALAR *x, const SCALAR *dy, ptrdiff_t length, ptrdiff_t rows,
                              const FACTORS *factors, int vectors, ptrdiff_t known, double *sums,
                              ptrdiff_t apart)
{
    VECTOR products[COLUMNS] = {0}, residuals[COLUMNS] = {0};
    for (ptrdiff_t r = 0; r < rows; r++, x += length, dy += length) {
        const FACTORS f = factors[r];
        for (int j = 0; j < vectors; j++) {
            const VECTOR g = LOAD(dy + j * LANES);
            residuals[j] += g;
            products[j] += g * NORMAL(j * LANES);
        }
    }
    for (int j = 0; j < vectors; j++)
        for (ptrdiff_t i = known; i < LANES; i++) {
            sums[j * LANES + i] += products[j][i];
            sums[apart + j * LANES + i] += residuals[j][i];
        }
}

ROW_LOOP(columns)(const fastconv_rows *p, ptrdiff_t first, ptrdiff_t count, double *sums,
                  ptrdiff_t apart)
{
    const SCALAR *x = (const SCALAR *)p->x + first, *dy = (const SCALAR *)p->dy + first;
    const ptrdiff_t length = p->length, rows = p->rows;
    if (count < LANES) {
        for (ptrdiff_t r = 0; r < rows; r++, x += length, dy += length)
            for (ptrdiff_t i = 0; i < count; i++) {
                sums[i] += dy[i] * ((x[i] - p->mean[r]) * p->inverse[r]);
                sums[apart + i] += dy[i];
            }
        return;
    }
    FACTORS factors[FASTCONV_ROWS];
    for (ptrdiff_t r = 0; r < rows; r++)
        factors[r] = NAME(round_row)(p->mean[r], p->inverse[r]);
    ptrdiff_t i = 0;
    for (; i + COLUMNS * LANES <= count; i += COLUMNS * LANES)
        NAME(add_columns)(x + i, dy + i, length, rows, factors, COLUMNS, 0, sums + i, apart);
    for (; i + LANES <= count; i += LANES)
        NAME(add_columns)(x + i, dy + i, length, rows, factors, 1, 0, sums + i, apart);
    if (i < count) {
        const ptrdiff_t last = count - LANES;
        NAME(add_columns)(x + last, dy + last, length, rows, factors, 1, i - last, sums + last,
                          apart);
    }
}

static const fastconv_layer_normalization NAME(layer_normalization) = {
    NAME(normalize),
    NAME(gradient),
    NAME(columns),
};

#undef COLUMNS
#undef ROW_LOOP
#undef NORMAL
#undef FACTORS
#include "ops/runs_end.h"
