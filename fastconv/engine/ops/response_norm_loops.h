/* Local response normalisation, written once: response_norm.h includes this file for each instruction
 * set and type. Plain C, of which compilers make vector code: each loop goes along the pixels.
 *
 * Expects what regions.h defines. */

#define NAME(name) ISA(TYPED(name))
#if SCALAR_BYTES == 4
#define ROOT sqrtf
#else
#define ROOT sqrt
#endif
#define LOOP(name) static __attribute__((noinline)) void NAME(name)
/* So many channels are added by themselves: the error of a long window does not grow with it. */
#define PART 32

LOOP(square)(const SCALAR *restrict x, SCALAR *restrict squares, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++)
        squares[i] = x[i] * x[i];
}

/* The sums over the rows from `first` up to `past`: part by part. */
LOOP(add_rows)(const SCALAR *restrict rows, ptrdiff_t first, ptrdiff_t past, ptrdiff_t count,
               SCALAR *restrict part, SCALAR *restrict sums)
{
    for (ptrdiff_t i = 0; i < count; i++)
        sums[i] = 0;
    for (; first < past; first += PART) {
        const ptrdiff_t end = first + PART < past ? first + PART : past;
        for (ptrdiff_t i = 0; i < count; i++)
            part[i] = rows[first * count + i];
        for (ptrdiff_t row = first + 1; row < end; row++)
            for (ptrdiff_t i = 0; i < count; i++)
                part[i] += rows[row * count + i];
        for (ptrdiff_t i = 0; i < count; i++)
            sums[i] += part[i];
    }
}

/* sums = k + alpha * sums, and powers = sums to the power -beta: of the usual exponents, quarters, by
 * square roots. */
LOOP(raise)(const fastconv_response *p, SCALAR *restrict sums, SCALAR *restrict powers)
{
    const SCALAR alpha = (SCALAR)p->alpha, k = (SCALAR)p->k;
    const ptrdiff_t count = p->count;
    for (ptrdiff_t i = 0; i < count; i++)
        sums[i] = k + alpha * sums[i];
    if (p->beta == 0.75) {
        for (ptrdiff_t i = 0; i < count; i++) {
            const SCALAR root = ROOT(sums[i]);
            powers[i] = 1 / (root * ROOT(root));
        }
    } else if (p->beta == 0.5) {
        for (ptrdiff_t i = 0; i < count; i++)
            powers[i] = 1 / ROOT(sums[i]);
    } else if (p->beta == 1) {
        for (ptrdiff_t i = 0; i < count; i++)
            powers[i] = 1 / sums[i];
    } else {
        for (ptrdiff_t i = 0; i < count; i++)
            powers[i] = (SCALAR)pow(sums[i], -p->beta);
    }
}

#define FIRST(c, before) ((c) > (before) ? (c) - (before) : 0)
#define PAST(c, after) ((c) + (after) < p->channels ? (c) + (after) + 1 : p->channels)
#define ROW(array, c) ((const SCALAR *)(p->array + (c) * p->array##_step))

LOOP(forward)(const fastconv_response *p)
{
    const ptrdiff_t count = p->count;
    SCALAR *squares = p->scratch, *part = squares + p->channels * count;
    SCALAR *sums = part + count, *powers = sums + count;
    for (ptrdiff_t c = 0; c < p->channels; c++)
        NAME(square)(ROW(x, c), squares + c * count, count);
    for (ptrdiff_t c = 0; c < p->channels; c++) {
        const SCALAR *x = ROW(x, c);
        SCALAR *y = (SCALAR *)(p->result + c * p->result_step);
        NAME(add_rows)(squares, FIRST(c, p->before), PAST(c, p->after), count, part, sums);
        NAME(raise)(p, sums, powers);
        for (ptrdiff_t i = 0; i < count; i++)
            y[i] = x[i] * powers[i];
    }
}

/* dx = dy f - 2 alpha beta x (the sum of dy x f / s over the windows that hold the channel), where s
 * is what is raised, and f = s^-beta. */
LOOP(backward)(const fastconv_response *p)
{
    const ptrdiff_t count = p->count;
    const SCALAR factor = (SCALAR)(-2 * p->alpha * p->beta);
    SCALAR *squares = p->scratch, *shares = squares + p->channels * count;
    SCALAR *direct = shares + p->channels * count, *part = direct + p->channels * count;
    SCALAR *sums = part + count, *powers = sums + count;
    for (ptrdiff_t c = 0; c < p->channels; c++)
        NAME(square)(ROW(x, c), squares + c * count, count);
    for (ptrdiff_t c = 0; c < p->channels; c++) {
        const SCALAR *x = ROW(x, c), *dy = ROW(dy, c);
        SCALAR *restrict own = direct + c * count, *restrict share = shares + c * count;
        NAME(add_rows)(squares, FIRST(c, p->before), PAST(c, p->after), count, part, sums);
        NAME(raise)(p, sums, powers);
        for (ptrdiff_t i = 0; i < count; i++) {
            own[i] = dy[i] * powers[i];
            share[i] = own[i] * x[i] / sums[i];
        }
    }
    for (ptrdiff_t c = 0; c < p->channels; c++) {
        const SCALAR *x = ROW(x, c), *own = direct + c * count;
        SCALAR *dx = (SCALAR *)(p->result + c * p->result_step);
        NAME(add_rows)(shares, FIRST(c, p->after), PAST(c, p->before), count, part, sums);
        for (ptrdiff_t i = 0; i < count; i++)
            dx[i] = own[i] + factor * x[i] * sums[i];
    }
}

static const fastconv_response_norm NAME(response_norm) = {NAME(forward), NAME(backward)};

#undef ROW
#undef PAST
#undef FIRST
#undef PART
#undef ROOT
#undef LOOP
#undef NAME
