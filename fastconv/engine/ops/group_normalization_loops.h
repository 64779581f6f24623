/* The loops over the channels of a group, part of normalization_loops.h: many channels are small, so
 * that a call for each would take longer than its numbers. They do with a channel what the loops
 * over planes do with a plane, by the same roundings. */

INLINE NAME(factors) NAME(channel_factors)(const fastconv_group *g, ptrdiff_t c)
{
    const SCALAR *weight = g->weight, *bias = g->bias;
    const fastconv_affine a = {g->mean, g->inverse, weight ? weight[c] : 1, bias ? bias[c] : 0};
    return NAME(round_affine)(&a, 0);
}

/* Channels shorter than a vector are taken together: about so many numbers. */
#define TOGETHER (16 * LANES)

/* Scale and offset for each number of short channels, from channel c on; returns the channel behind
 * them. */
INLINE ptrdiff_t NAME(spread_factors)(const fastconv_group *g, ptrdiff_t c, SCALAR *scales,
                                      SCALAR *offsets)
{
    const ptrdiff_t past = c + TOGETHER / g->size;
    const ptrdiff_t end = past < g->channels ? past : g->channels;
    for (; c < end; c++) {
        const NAME(factors) f = NAME(channel_factors)(g, c);
        for (ptrdiff_t i = 0; i < g->size; i++) {
            *scales++ = f.scale;
            *offsets++ = f.offset;
        }
    }
    return end;
}

/* A vector of which `count` numbers are there: the others are anything, and stay away. */
INLINE VECTOR NAME(get)(const SCALAR *x, ptrdiff_t count)
{
    return count < LANES ? NAME(rest)(x, count) : LOAD(x);
}

INLINE void NAME(put)(SCALAR *y, VECTOR v, ptrdiff_t count)
{
    if (count < LANES)
        memcpy(y, &v, count * SCALAR_BYTES);
    else
        STORE(y) = v;
}

INLINE void NAME(apply_short)(const fastconv_group *g)
{
    const SCALAR center = (SCALAR)g->mean;
    SCALAR scales[TOGETHER], offsets[TOGETHER];
    for (ptrdiff_t c = 0; c < g->channels;) {
        const SCALAR *x = (const SCALAR *)g->x + c * g->size;
        SCALAR *y = (SCALAR *)g->result + c * g->size;
        const ptrdiff_t end = NAME(spread_factors)(g, c, scales, offsets);
        const ptrdiff_t count = (end - c) * g->size;
        for (ptrdiff_t i = 0; i < count; i += LANES) {
            const VECTOR off = NAME(get)(x + i, count - i) - center;
            NAME(put)(y + i, off * LOAD(scales + i) + LOAD(offsets + i), count - i);
        }
        c = end;
    }
}

LOOP(apply_channels)(const fastconv_group *g)
{
    const ptrdiff_t size = g->size;
    const fastconv_planes written = {.streams = g->streams};
    if (size < LANES) {
        NAME(apply_short)(g);
        return;
    }
    /* From the last on: what was read last is near. */
    for (ptrdiff_t c = g->channels - 1; c >= 0; c--) {
        const NAME(factors) f = NAME(channel_factors)(g, c);
        const SCALAR *x = (const SCALAR *)g->x + c * size;
        const SCALAR *const next[3] = {x};
        NAME(normalize_run)(&written, x, NULL, (SCALAR *)g->result + c * size, size, &f, 0, 0, next);
    }
}

/* The sums of channels shorter than a vector, of the residuals and products that lie in buffers. */
INLINE void NAME(sums_short)(const fastconv_group *g, double *all_sums, double *all_products)
{
    const SCALAR center = (SCALAR)g->mean;
    const double off = g->mean - center;
    const ptrdiff_t size = g->size;
    const MASK valid = NAME(rest_mask)(size);
    SCALAR residuals[TOGETHER + LANES], weighed[TOGETHER + LANES];
    for (ptrdiff_t c = 0; c < g->channels;) {
        const SCALAR *x = (const SCALAR *)g->x + c * size, *dy = (const SCALAR *)g->dy + c * size;
        const ptrdiff_t past = c + TOGETHER / size;
        const ptrdiff_t end = past < g->channels ? past : g->channels, count = (end - c) * size;
        for (ptrdiff_t i = 0; i < count; i += LANES) {
            const VECTOR v = NAME(get)(dy + i, count - i);
            STORE(residuals + i) = v;
            STORE(weighed + i) = v * (NAME(get)(x + i, count - i) - center);
        }
        for (ptrdiff_t i = 0; c < end; c++, i += size) {
            double sum = residuals[i], product = weighed[i];
            if (size > 1) {
                const VECTOR sums[SUMS] = {NAME(kept)(valid, LOAD(residuals + i))};
                const VECTOR products[SUMS] = {NAME(kept)(valid, LOAD(weighed + i))};
                sum = NAME(total)(sums), product = NAME(total)(products);
            }
            all_sums[c] = sum;
            all_products[c] = product - off * sum;
        }
    }
}

LOOP(channel_sums)(const fastconv_group *g, double *all_sums, double *all_products)
{
    const SCALAR *x = g->x, *dy = g->dy;
    const NAME(factors) f = {.center = (SCALAR)g->mean};
    if (g->size < LANES) {
        NAME(sums_short)(g, all_sums, all_products);
        return;
    }
    for (ptrdiff_t c = 0; c < g->channels; c++) {
        all_sums[c] = all_products[c] = 0;
        for (ptrdiff_t left = g->size; left;) {
            const ptrdiff_t count = left < FASTCONV_PIECE ? left : FASTCONV_PIECE;
            VECTOR sums[SUMS] = {0}, products[SUMS] = {0};
            if (count >= LANES) {
                NAME(add_run)(dy, x, NULL, NULL, count, NAME(rest_mask)(count), &f, FASTCONV_ALL,
                              sums, products);
            } else {
                sums[0] = NAME(rest)(dy, count);
                products[0] = sums[0] * (NAME(rest)(x, count) - f.center);
            }
            const double sum = NAME(total)(sums);
            all_sums[c] += sum;
            all_products[c] += NAME(total)(products) - (g->mean - f.center) * sum;
            left -= count, x += count, dy += count;
        }
    }
}

INLINE void NAME(gradients_short)(const fastconv_group *g, SCALAR slope, SCALAR level)
{
    const SCALAR center = (SCALAR)g->mean;
    SCALAR scales[TOGETHER], offsets[TOGETHER];
    for (ptrdiff_t c = 0; c < g->channels;) {
        const SCALAR *x = (const SCALAR *)g->x + c * g->size;
        const SCALAR *dy = (const SCALAR *)g->dy + c * g->size;
        SCALAR *dx = (SCALAR *)g->result + c * g->size;
        const ptrdiff_t end = NAME(spread_factors)(g, c, scales, offsets);
        const ptrdiff_t count = (end - c) * g->size;
        for (ptrdiff_t i = 0; i < count; i += LANES) {
            const VECTOR v = NAME(get)(dy + i, count - i), from = NAME(get)(x + i, count - i);
            NAME(put)(dx + i, v * LOAD(scales + i) + ((from - center) * slope + level), count - i);
        }
        c = end;
    }
}

LOOP(channel_gradients)(const fastconv_group *g, const fastconv_line *line)
{
    const ptrdiff_t size = g->size;
    const fastconv_planes written = {.streams = g->streams};
    const SCALAR slope = (SCALAR)line->slope;
    const SCALAR level = (SCALAR)(line->level - (g->mean - (SCALAR)g->mean) * line->slope);
    if (size < LANES) {
        NAME(gradients_short)(g, slope, level);
        return;
    }
    for (ptrdiff_t c = g->channels - 1; c >= 0; c--) {
        const NAME(factors) f = NAME(channel_factors)(g, c);
        const SCALAR *x = (const SCALAR *)g->x + c * size, *dy = (const SCALAR *)g->dy + c * size;
        const SCALAR *const next[3] = {x, x, x};
        NAME(grade_run)(&written, dy, x, NULL, (SCALAR *)g->result + c * size, size, &f,
                        FASTCONV_ALL, 1, slope, level, next);
    }
}
#undef TOGETHER
