/* Sums of a piece of many numbers, joined with those of the pieces before it. */
#ifndef FASTCONV_MOMENTS_H
#define FASTCONV_MOMENTS_H

/* Numbers of a piece, about: they are read twice, and stay in the first-level cache. No running sum
 * of a lane has more than 128. */
enum { FASTCONV_PIECE = 2048 };

/* Sums over so many numbers: of the numbers off their mean, or of a residual. */
typedef struct {
    double count;
    double first;  /* the mean, or the sum */
    double second; /* the squares off the mean, or the products with x off its mean */
} fastconv_sums;

/* Add the moments of a part (T. Chan, G. Golub and R. LeVeque, 1979, equation 2.1). */
static inline void fastconv_join_moments(fastconv_sums *total, const fastconv_sums *part)
{
    const double count = total->count + part->count;
    const double off = part->first - total->first;
    if (total->count == 0) {
        *total = *part;
        return;
    }
    total->first += off * (part->count / count);
    total->second += part->second + off * off * (total->count * (part->count / count));
    total->count = count;
}

#endif
