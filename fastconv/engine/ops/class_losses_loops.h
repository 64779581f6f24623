/* Cross-entropy of the softmax of scores, and its gradient, written once: class_losses.h includes
 * this file for each instruction set and type.
 *
 * Sums are of pieces in the numbers' own type, and the pieces are added in double precision: the
 * rounding errors of a long running sum would add up, too.
 *
 * Expects what regions.h defines. */

#include "base/vector.h"
#include "ops/exponential.h"
#include "ops/logarithm.h"

/* Numbers of a piece, of which each lane of each sum adds up a part. */
#define PIECE 1024
/* Vectors at a time: each is a chain of operations that wait for each other. */
#define ABREAST 4

/* A NaN may be lost, or stay: it reaches the sum of exponentials. */
INLINE VECTOR NAME(larger)(VECTOR most, VECTOR x) { return NAME(select)(x > most, x, most); }

/* A vector of numbers, of which `count` are there; beyond them it holds zeros. */
INLINE VECTOR NAME(begin)(const SCALAR *x, ptrdiff_t count)
{
    VECTOR v = {0};
    if (count >= LANES)
        return *(const VECTOR *)x;
    memcpy(&v, x, count * SCALAR_BYTES);
    return v;
}

INLINE void NAME(end)(SCALAR *y, VECTOR v, ptrdiff_t count)
{
    if (count >= LANES)
        *(VECTOR *)y = v;
    else
        memcpy(y, &v, count * SCALAR_BYTES);
}

/* The lanes of a vector below `count`, and zeros. */
INLINE VECTOR NAME(first_lanes)(VECTOR v, ptrdiff_t count)
{
    VECTOR kept = {0};
    memcpy(&kept, &v, count * SCALAR_BYTES);
    return kept;
}

INLINE double NAME(lanes_sum)(VECTOR sum)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int lane = 0; lane < half; lane++)
            sum[lane] += sum[lane + half];
    return sum[0];
}

INLINE SCALAR NAME(largest)(const SCALAR *x, ptrdiff_t count)
{
    SCALAR most = x[0];
    ptrdiff_t i = 0;

    if (count >= ABREAST * LANES) {
        VECTOR mosts[ABREAST];
        for (int j = 0; j < ABREAST; j++)
            mosts[j] = *(const VECTOR *)(x + j * LANES);
        for (i = ABREAST * LANES; i + ABREAST * LANES <= count; i += ABREAST * LANES)
            for (int j = 0; j < ABREAST; j++)
                mosts[j] = NAME(larger)(mosts[j], *(const VECTOR *)(x + i + j * LANES));
        mosts[0] = NAME(larger)(NAME(larger)(mosts[0], mosts[1]),
                                NAME(larger)(mosts[2], mosts[3]));
        for (; i + LANES <= count; i += LANES)
            mosts[0] = NAME(larger)(mosts[0], *(const VECTOR *)(x + i));
        most = mosts[0][0];
        for (int lane = 1; lane < LANES; lane++)
            most = mosts[0][lane] > most ? mosts[0][lane] : most;
    }
    for (; i < count; i++)
        most = x[i] > most ? x[i] : most;
    return most;
}

/* The sum of exp(x - most); the terms are left in `y`. */
INLINE double NAME(exp_sum)(const SCALAR *x, SCALAR most, SCALAR *y, ptrdiff_t count)
{
    double total = 0;

    if (count < FASTCONV_FEW_CLASSES) {
        for (ptrdiff_t i = 0; i < count; i += LANES)
            NAME(end)(y + i, NAME(exp_vector)(NAME(begin)(x + i, count - i) - most), count - i);
        for (ptrdiff_t i = 0; i < count; i++)
            total += y[i];
        return total;
    }
    for (ptrdiff_t i = 0; i < count;) {
        const ptrdiff_t past = count - i < PIECE ? count : i + PIECE;
        VECTOR sums[ABREAST] = {0};
        for (; i + ABREAST * LANES <= past; i += ABREAST * LANES)
            for (int j = 0; j < ABREAST; j++) {
                const VECTOR e = NAME(exp_vector)(*(const VECTOR *)(x + i + j * LANES) - most);
                *(VECTOR *)(y + i + j * LANES) = e;
                sums[j] += e;
            }
        for (; i < past; i += LANES) {
            VECTOR e = NAME(exp_vector)(NAME(begin)(x + i, past - i) - most);
            NAME(end)(y + i, e, past - i);
            sums[1] += past - i < LANES ? NAME(first_lanes)(e, past - i) : e;
        }
        i = past;
        total += NAME(lanes_sum)((sums[0] + sums[1]) + (sums[2] + sums[3]));
    }
    return total;
}

/* Whether all classes of a place share in its target. */
INLINE int NAME(shared)(const fastconv_classes *of)
{
    return of->probabilities || of->smoothing;
}

/* The weight of a class. */
INLINE SCALAR NAME(weight)(const fastconv_classes *of, ptrdiff_t class)
{
    return of->weight ? ((const SCALAR *)of->weight)[class] : 1;
}

/* q of the classes from `i` on, less what is the target class's own. */
INLINE VECTOR NAME(shares)(const fastconv_classes *of, const SCALAR *probabilities, ptrdiff_t i,
                           ptrdiff_t count)
{
    const VECTOR zero = {0};
    const VECTOR p = probabilities ? NAME(begin)(probabilities + i, count) : zero;
    const VECTOR w =
        of->weight ? NAME(begin)((const SCALAR *)of->weight + i, count) : zero + 1;
    return w * (p * (SCALAR)(1 - of->smoothing) + (SCALAR)(of->smoothing / of->classes));
}

/* Add the mass and the score of all classes. */
INLINE void NAME(add_shares)(const fastconv_classes *of, const SCALAR *x, SCALAR most,
                             const SCALAR *probabilities, const fastconv_places *place)
{
    for (ptrdiff_t i = 0; i < of->classes;) {
        const ptrdiff_t past = of->classes - i < PIECE ? of->classes : i + PIECE;
        VECTOR masses = {0}, scores = {0};
        for (; i < past; i += LANES) {
            VECTOR q = NAME(shares)(of, probabilities, i, past - i);
            if (past - i < LANES)
                q = NAME(first_lanes)(q, past - i);
            masses += q;
            /* Beyond the end 0 (0 - most), which an infinite one spoils as it does the rest. */
            scores += q * (NAME(begin)(x + i, past - i) - most);
        }
        i = past;
        *place->mass += NAME(lanes_sum)(masses);
        *place->score += NAME(lanes_sum)(scores);
    }
}

static __attribute__((noinline)) void NAME(row)(const fastconv_classes *of, ptrdiff_t n,
                                                const fastconv_places *place)
{
    const ptrdiff_t classes = of->classes, target = of->target ? of->target[n] : 0;
    const SCALAR *x = (const SCALAR *)of->scores + n * classes;
    const SCALAR *probabilities =
        of->probabilities ? (const SCALAR *)of->probabilities + n * classes : NULL;
    SCALAR *y = of->gradient ? (SCALAR *)of->gradient + n * classes : NULL;
    SCALAR few[PIECE], own = 0;

    *place->total = 1, *place->mass = 0, *place->score = 0;
    if (of->target && target == of->ignored) {
        if (y)
            memset(y, 0, classes * SCALAR_BYTES);
        return;
    }
    const SCALAR most = NAME(largest)(x, classes);
    if (NAME(shared)(of))
        NAME(add_shares)(of, x, most, probabilities, place);
    if (of->target) {
        own = NAME(weight)(of, target) * (SCALAR)(1 - of->smoothing);
        *place->mass += own;
        *place->score += own * ((double)x[target] - (double)most);
    }
    if (!y) {
        *place->total = 0;
        for (ptrdiff_t i = 0; i < classes; i += PIECE)
            *place->total +=
                NAME(exp_sum)(x + i, most, few, classes - i < PIECE ? classes - i : PIECE);
        return;
    }
    *place->total = NAME(exp_sum)(x, most, y, classes);
    const SCALAR scale = ((const SCALAR *)of->scale)[n * of->step];
    const SCALAR share = (SCALAR)(1 / *place->total), mass = (SCALAR)*place->mass;
    const SCALAR power = y[target];
    for (ptrdiff_t i = 0; i < classes; i += LANES) {
        VECTOR p = NAME(begin)(y + i, classes - i) * share * mass;
        if (NAME(shared)(of))
            p -= NAME(shares)(of, probabilities, i, classes - i);
        NAME(end)(y + i, p * scale, classes - i);
    }
    if (of->target) {
        SCALAR p = power * share * mass;
        if (NAME(shared)(of))
            p -= NAME(weight)(of, target) * (SCALAR)(of->smoothing / classes);
        y[target] = (p - own) * scale;
    }
}

/* Add the lanes of a vector in double precision. */
INLINE void NAME(add_lanes)(VECTOR v, double *sums)
{
    SCALAR lanes[LANES];
    *(VECTOR *)lanes = v;
    for (int lane = 0; lane < LANES; lane++)
        sums[lane] += lanes[lane];
}

/* A vector of places, of which `count` are there, by a column of the scratch. */
INLINE void NAME(column)(const fastconv_classes *of, ptrdiff_t row, ptrdiff_t first,
                         ptrdiff_t count, SCALAR *scratch, ptrdiff_t step, double *total,
                         double *mass, double *score)
{
    const ptrdiff_t classes = of->classes, inner = of->inner, place = row * inner + first;
    const ptrdiff_t start = row * classes * inner + first;
    const SCALAR *x = (const SCALAR *)of->scores + start;
    const SCALAR *probabilities =
        of->probabilities ? (const SCALAR *)of->probabilities + start : NULL;
    const ptrdiff_t *target = of->target ? of->target + place : NULL;
    const SCALAR kept = 1 - of->smoothing, part = of->smoothing / classes;
    const VECTOR zero = {0};
    const int shared = NAME(shared)(of);
    SCALAR own[LANES] = {0};
    VECTOR most = NAME(begin)(x, count);

    for (ptrdiff_t c = 0; c < classes; c++) {
        const VECTOR v = NAME(begin)(x + c * inner, count);
        *(VECTOR *)(scratch + c * step) = v;
        most = NAME(larger)(most, v);
    }
    for (int lane = 0; lane < LANES; lane++)
        total[lane] = 0, mass[lane] = 0, score[lane] = 0;
    if (target) {
        SCALAR mosts[LANES];
        *(VECTOR *)mosts = most;
        for (int lane = 0; lane < count; lane++) {
            if (target[lane] == of->ignored)
                continue;
            own[lane] = NAME(weight)(of, target[lane]) * kept;
            mass[lane] = own[lane];
            score[lane] =
                own[lane] * ((double)scratch[target[lane] * step + lane] - (double)mosts[lane]);
        }
    }
    for (ptrdiff_t c = 0; c < classes;) {
        const ptrdiff_t past = classes - c < PIECE / LANES ? classes : c + PIECE / LANES;
        VECTOR sum = zero, shares = zero, scores = zero;
        for (; c < past; c++) {
            VECTOR *at = (VECTOR *)(scratch + c * step);
            const VECTOR v = *at - most, e = NAME(exp_vector)(v);
            if (shared) {
                const VECTOR p =
                    probabilities ? NAME(begin)(probabilities + c * inner, count) : zero;
                const VECTOR q = NAME(weight)(of, c) * (p * kept + part);
                shares += q;
                scores += q * v;
            }
            sum += e;
            *at = e;
        }
        NAME(add_lanes)(sum, total);
        if (shared) {
            NAME(add_lanes)(shares, mass);
            NAME(add_lanes)(scores, score);
        }
    }
    if (of->gradient) {
        SCALAR factors[LANES], masses[LANES], scales[LANES] = {0}, powers[LANES];
        SCALAR *y = (SCALAR *)of->gradient + start;
        for (int lane = 0; lane < LANES; lane++)
            factors[lane] = (SCALAR)(1 / total[lane]), masses[lane] = (SCALAR)mass[lane];
        for (int lane = 0; lane < count; lane++) {
            if (target && target[lane] == of->ignored)
                continue;
            scales[lane] = ((const SCALAR *)of->scale)[(place + lane) * of->step];
            powers[lane] = scratch[(target ? target[lane] : 0) * step + lane];
        }
        const VECTOR factor = *(VECTOR *)factors, whole = *(VECTOR *)masses;
        const VECTOR scale = *(VECTOR *)scales;
        for (ptrdiff_t c = 0; c < classes; c++) {
            VECTOR p = *(const VECTOR *)(scratch + c * step) * factor * whole;
            if (shared) {
                const VECTOR t =
                    probabilities ? NAME(begin)(probabilities + c * inner, count) : zero;
                p -= NAME(weight)(of, c) * (t * kept + part);
            }
            NAME(end)(y + c * inner, p * scale, count);
        }
        for (int lane = 0; target && lane < count; lane++) {
            if (target[lane] == of->ignored)
                continue;
            SCALAR p = powers[lane] * factors[lane] * masses[lane];
            if (shared)
                p -= NAME(weight)(of, target[lane]) * part;
            y[target[lane] * inner + lane] = (p - own[lane]) * scales[lane];
        }
    }
    for (int lane = 0; target && lane < count; lane++)
        if (target[lane] == of->ignored)
            total[lane] = 1, mass[lane] = 0, score[lane] = 0;
}

static __attribute__((noinline)) void NAME(block)(const fastconv_classes *of, ptrdiff_t row,
                                                  ptrdiff_t first, ptrdiff_t count, void *scratch,
                                                  const fastconv_places *places)
{
    const ptrdiff_t step = (count + LANES - 1) / LANES * LANES;
    for (ptrdiff_t i = 0; i < count; i += LANES)
        NAME(column)(of, row, first + i, count - i < LANES ? count - i : LANES,
                     (SCALAR *)scratch + i, step, places->total + i, places->mass + i,
                     places->score + i);
}

static __attribute__((noinline)) void NAME(logs)(void *all, ptrdiff_t count)
{
    SCALAR *x = all;
    for (ptrdiff_t i = 0; i < count; i += LANES)
        NAME(end)(x + i, NAME(log_vector)(NAME(begin)(x + i, count - i)), count - i);
}

static const fastconv_class_loops NAME(class_loops) = {NAME(row), NAME(block), NAME(logs)};

#undef PIECE
#undef ABREAST
#include "ops/logarithm_end.h"
#include "ops/exponential_end.h"
#include "base/vector_end.h"
