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
INLINE VECTOR NAME(larger)(VECTOR most, VECTOR x) { return LARGER(x, most); }

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

/* The scores of some places, copied to the scratch, and their largest. */
INLINE void NAME(gather_scores)(const SCALAR *x, ptrdiff_t classes, ptrdiff_t inner,
                                ptrdiff_t count, ptrdiff_t step, SCALAR *scratch, SCALAR *most)
{
    for (ptrdiff_t c = 0; c < classes; c++, x += inner, scratch += step)
        for (ptrdiff_t i = 0; i < count; i += LANES) {
            VECTOR *largest = (VECTOR *)(most + i);
            const VECTOR v = NAME(begin)(x + i, count - i);
            *(VECTOR *)(scratch + i) = v;
            *largest = c ? NAME(larger)(*largest, v) : v;
        }
}

/* What a place has by its own class: the score is left out where the gradient is wanted. Returns
 * whether some places are ignored. */
INLINE int NAME(own_shares)(const fastconv_classes *of, const ptrdiff_t *target, ptrdiff_t count,
                            const SCALAR *scratch, ptrdiff_t step, const SCALAR *most, SCALAR *own,
                            const fastconv_places *at)
{
    const SCALAR kept = 1 - of->smoothing;
    int ignored = 0;
    for (ptrdiff_t i = 0; i < count; i++) {
        if (target[i] == of->ignored) {
            ignored = 1;
            continue;
        }
        own[i] = NAME(weight)(of, target[i]) * kept;
        at->mass[i] = own[i];
        if (!of->gradient)
            at->score[i] =
                own[i] * ((double)scratch[target[i] * step + i] - (double)most[i]);
    }
    return ignored;
}

/* Replace `width` vectors of places in the scratch by their exponentials, and add these up; where
 * all classes share in the target, add their masses and scores, too. */
INLINE void NAME(exp_columns)(const fastconv_classes *of, const SCALAR *probabilities,
                              ptrdiff_t count, SCALAR *scratch, ptrdiff_t step, const SCALAR *most,
                              const fastconv_places *at, ptrdiff_t first, int width, int shared)
{
    const SCALAR kept = 1 - of->smoothing, part = of->smoothing / of->classes;
    VECTOR mosts[ABREAST];
    for (int j = 0; j < width; j++)
        mosts[j] = *(const VECTOR *)(most + first + j * LANES);
    for (ptrdiff_t c = 0; c < of->classes;) {
        const ptrdiff_t past = of->classes - c < PIECE / LANES ? of->classes : c + PIECE / LANES;
        VECTOR sums[ABREAST] = {0}, shares[ABREAST] = {0}, scores[ABREAST] = {0};
        for (; c < past; c++)
            for (int j = 0; j < width; j++) {
                const ptrdiff_t i = first + j * LANES;
                VECTOR *place = (VECTOR *)(scratch + c * step + i);
                const VECTOR v = *place - mosts[j], e = NAME(exp_vector)(v);
                if (shared) {
                    const VECTOR p = probabilities
                                         ? NAME(begin)(probabilities + c * of->inner + i, count - i)
                                         : (VECTOR){0};
                    const VECTOR q = NAME(weight)(of, c) * (p * kept + part);
                    shares[j] += q;
                    scores[j] += q * v;
                }
                sums[j] += e;
                *place = e;
            }
        for (int j = 0; j < width; j++) {
            NAME(add_lanes)(sums[j], at->total + first + j * LANES);
            if (shared) {
                NAME(add_lanes)(shares[j], at->mass + first + j * LANES);
                NAME(add_lanes)(scores[j], at->score + first + j * LANES);
            }
        }
    }
}

/* Write the gradient of some places, by the exponentials in the scratch and their sums. */
INLINE void NAME(grade_places)(const fastconv_classes *of, const SCALAR *probabilities,
                               const ptrdiff_t *target, const SCALAR *scale, SCALAR *y,
                               ptrdiff_t count, SCALAR *scratch, ptrdiff_t step,
                               const SCALAR *own, const fastconv_places *at, int shared)
{
    const SCALAR kept = 1 - of->smoothing, part = of->smoothing / of->classes;
    const ptrdiff_t classes = of->classes, inner = of->inner;
    SCALAR factors[FASTCONV_MOST_PLACES], masses[FASTCONV_MOST_PLACES];
    SCALAR scales[FASTCONV_MOST_PLACES];
    for (ptrdiff_t i = 0; i < step; i++)
        factors[i] = (SCALAR)(1 / at->total[i]), masses[i] = (SCALAR)at->mass[i];
    for (ptrdiff_t i = 0; i < step; i++)
        scales[i] = i < count ? scale[i * of->step] : 0;
    for (ptrdiff_t i = 0; target && i < count; i++)
        scales[i] = target[i] == of->ignored ? 0 : scales[i];
#define SOFTMAX(i) (*(VECTOR *)(row + (i)) * *(VECTOR *)(factors + (i)) * *(VECTOR *)(masses + (i)))
#define WRITE(i, p) NAME(end)(y + c * inner + (i), (p) * *(VECTOR *)(scales + (i)), count - (i));
    for (ptrdiff_t c = 0; c < classes; c++) {
        SCALAR *row = scratch + c * step;
        const SCALAR weight = NAME(weight)(of, c), share = weight * part;
        if (!shared) {
            for (ptrdiff_t i = 0; i < count; i += LANES)
                WRITE(i, SOFTMAX(i))
            continue;
        }
        /* Kept in memory, so that no compiler fuses this product with the difference. */
        for (ptrdiff_t i = 0; i < count; i += LANES)
            *(VECTOR *)(row + i) = SOFTMAX(i);
        for (ptrdiff_t i = 0; i < count; i += LANES)
            if (probabilities) {
                const VECTOR t = NAME(begin)(probabilities + c * inner + i, count - i);
                WRITE(i, *(VECTOR *)(row + i) - weight * (t * kept + part))
            } else {
                WRITE(i, *(VECTOR *)(row + i) - share)
            }
    }
#undef SOFTMAX
#undef WRITE
    SCALAR shares[FASTCONV_MOST_PLACES];
    for (ptrdiff_t i = 0; shared && target && i < count; i++)
        if (target[i] != of->ignored)
            shares[i] = NAME(weight)(of, target[i]) * part;
    for (ptrdiff_t i = 0; target && i < count; i++) {
        if (target[i] == of->ignored)
            continue;
        SCALAR p = scratch[target[i] * step + i];
        p = shared ? p - shares[i] : p * factors[i] * masses[i];
        y[target[i] * inner + i] = (p - own[i]) * scales[i];
    }
}

INLINE void NAME(visit)(const fastconv_classes *of, ptrdiff_t row, ptrdiff_t first,
                        ptrdiff_t count, SCALAR *scratch, const fastconv_places *at, int shared)
{
    const ptrdiff_t step = (count + LANES - 1) / LANES * LANES, place = row * of->inner + first;
    const ptrdiff_t start = row * of->classes * of->inner + first;
    const SCALAR *probabilities =
        of->probabilities ? (const SCALAR *)of->probabilities + start : NULL;
    const ptrdiff_t *target = of->target ? of->target + place : NULL;
    SCALAR most[FASTCONV_MOST_PLACES], own[FASTCONV_MOST_PLACES];
    int ignored = 0;

    NAME(gather_scores)((const SCALAR *)of->scores + start, of->classes, of->inner, count, step,
                        scratch, most);
    memset(at->total, 0, step * sizeof(double));
    memset(at->mass, 0, step * sizeof(double));
    memset(at->score, 0, step * sizeof(double));
    if (target)
        ignored = NAME(own_shares)(of, target, count, scratch, step, most, own, at);
    ptrdiff_t i = 0;
    for (; i + ABREAST * LANES <= step; i += ABREAST * LANES)
        NAME(exp_columns)(of, probabilities, count, scratch, step, most, at, i, ABREAST, shared);
    for (; i < step; i += LANES)
        NAME(exp_columns)(of, probabilities, count, scratch, step, most, at, i, 1, shared);
    if (of->gradient)
        NAME(grade_places)(of, probabilities, target,
                           (const SCALAR *)of->scale + place * of->step,
                           (SCALAR *)of->gradient + start, count, scratch, step, own, at, shared);
    for (i = 0; ignored && i < count; i++)
        if (target[i] == of->ignored)
            at->total[i] = 1, at->mass[i] = 0, at->score[i] = 0;
}

static __attribute__((noinline)) void NAME(block)(const fastconv_classes *of, ptrdiff_t row,
                                                  ptrdiff_t first, ptrdiff_t count, void *scratch,
                                                  const fastconv_places *places)
{
    if (NAME(shared)(of))
        NAME(visit)(of, row, first, count, scratch, places, 1);
    else
        NAME(visit)(of, row, first, count, scratch, places, 0);
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
