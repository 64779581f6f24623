/* The loops of one form of Winograd's tiles: input tiles of ROW_POINTS x COLUMN_POINTS pixels, of
 * which kernels of ROW_TAPS x COLUMN_TAPS make output tiles of ROW_STEP x COLUMN_STEP. Included
 * once for each form, whose names end with the taps. */

#define FORM(name) ISA(TYPED(FASTCONV_JOIN(name, FASTCONV_JOIN(ROW_TAPS, COLUMN_TAPS))))
/* What is called so on the axis of the rows, from top to bottom, and on that of the columns. */
#define DOWN(name) ISA(TYPED(FASTCONV_JOIN(name, ROW_TAPS)))
#define ACROSS(name) ISA(TYPED(FASTCONV_JOIN(name, COLUMN_TAPS)))
#define ROW_STEP DOWN(step)
#define ROW_POINTS DOWN(size)
#define COLUMN_STEP ACROSS(step)
#define COLUMN_POINTS ACROSS(size)
#define COUNT (ROW_TAPS * COLUMN_TAPS)

#if ROW_TAPS == 3 && COLUMN_TAPS == 3
/* The free inputs of `count` rows or columns of the stage, which begin `next` vectors apart. */
static void FORM(free_lines)(SCALAR *stage, ptrdiff_t step, ptrdiff_t next, ptrdiff_t count,
                             ptrdiff_t outputs)
{
    for (ptrdiff_t i = 0; i < count; i++)
        DOWN(free_inputs)((VECTOR *)stage + i * next, step, outputs);
}
#endif

/* Both sides of all tiles, `width` pixels wide, to v[point * point_step + tile * tile_step]. The
 * places of the tile after the next are fetched meanwhile. */
#define TILES(name, width, points)                                                                 \
    static void FORM(name)(const SCALAR *stage, ptrdiff_t pitch, ptrdiff_t rows,                   \
                           ptrdiff_t columns, SCALAR *v, ptrdiff_t tile_step,                      \
                           ptrdiff_t point_step)                                                   \
    {                                                                                              \
        for (ptrdiff_t i = 0; i < rows; i++, stage += ROW_STEP * pitch * LANES)                    \
            for (ptrdiff_t j = 0; j < columns; j++, v += tile_step) {                              \
                const VECTOR *tile = (const VECTOR *)(stage + COLUMN_STEP * j * LANES);            \
                VECTOR half[ROW_POINTS][width], row[COLUMN_POINTS];                                \
                _Pragma("GCC unroll 10") for (int s = 0; s < width; s++)                           \
                    DOWN(points)(tile + s, pitch, &half[0][s], width);                             \
                _Pragma("GCC unroll 10") for (int r = 0; r < ROW_POINTS; r++)                      \
                {                                                                                  \
                    ACROSS(points)(half[r], 1, row, 1);                                            \
                    _Pragma("GCC unroll 10") for (int s = 0; s < COLUMN_POINTS; s++)               \
                    {                                                                              \
                        const ptrdiff_t at = (COLUMN_POINTS * r + s) * point_step;                 \
                        __builtin_prefetch(v + 2 * tile_step + at, 1);                             \
                        *(VECTOR *)(v + at) = row[s];                                              \
                    }                                                                              \
                }                                                                                  \
            }                                                                                      \
    }
TILES(input_tiles, COLUMN_POINTS, input_points)
TILES(residual_tiles, COLUMN_STEP, residual_points)

/* The inverse, and the bias: an output tile from m[point * step]. */
static inline __attribute__((always_inline)) void
FORM(output_tile)(const VECTOR *m, ptrdiff_t step, const SCALAR *bias,
                  VECTOR y[ROW_STEP][COLUMN_STEP])
{
    VECTOR half[ROW_STEP][COLUMN_POINTS];

#pragma GCC unroll 10
    for (int s = 0; s < COLUMN_POINTS; s++)
        DOWN(points_output)(m + s * step, COLUMN_POINTS * step, &half[0][s], COLUMN_POINTS);
#pragma GCC unroll 4
    for (int r = 0; r < ROW_STEP; r++) {
        ACROSS(points_output)(half[r], 1, y[r], 1);
#pragma GCC unroll 4
        for (int s = 0; s < COLUMN_STEP; s++)
            y[r][s] = ISA(TYPED(finish))(y[r][s], bias);
    }
}

/* All output tiles, from m[point * point_step + tile * tile_step], into `height` x `width` pixels
 * of the stage: what lies beyond them is dropped. */
static void FORM(output_tiles)(const SCALAR *m, ptrdiff_t tile_step, ptrdiff_t point_step,
                               const SCALAR *bias, SCALAR *stage, ptrdiff_t rows,
                               ptrdiff_t columns, ptrdiff_t height, ptrdiff_t width)
{
    /* It is not NULL, and a copy is not written to meanwhile. */
    const VECTOR shift = *(const VECTOR *)bias;

    for (ptrdiff_t i = 0; i < rows; i++)
        for (ptrdiff_t j = 0; j < columns; j++, m += tile_step) {
            VECTOR y[ROW_STEP][COLUMN_STEP];
            VECTOR *to = (VECTOR *)stage + ROW_STEP * i * width + COLUMN_STEP * j;
            FORM(output_tile)((const VECTOR *)m, point_step / LANES, (const SCALAR *)&shift, y);
            if (ROW_STEP * (i + 1) <= height && COLUMN_STEP * (j + 1) <= width) {
#pragma GCC unroll 4
                for (int r = 0; r < ROW_STEP; r++)
#pragma GCC unroll 4
                    for (int s = 0; s < COLUMN_STEP; s++)
                        to[r * width + s] = y[r][s];
            } else {
                for (ptrdiff_t r = 0; r < ROW_STEP && ROW_STEP * i + r < height; r++)
                    for (ptrdiff_t s = 0; s < COLUMN_STEP && COLUMN_STEP * j + s < width; s++)
                        to[r * width + s] = y[r][s];
            }
        }
}

/* Whether the taps of a kernel are neighbours in memory, forwards (1) or backwards (-1). */
#define NEIGHBOURS(way)                                                                            \
    ((ROW_TAPS == 1 || row_step == (way) * COLUMN_TAPS) &&                                         \
     (COLUMN_TAPS == 1 || column_step == (way)))

/* Kernels of few taps are not worth blocks. Compilers have shuffles for three taps. */
#define FEW (2 * COUNT < LANES)

/* A vector of kernels that are neighbours, tap by tap; and back. */
static inline __attribute__((always_inline)) void FORM(split)(const SCALAR *restrict kernels,
                                                              VECTOR *restrict taps)
{
    for (ptrdiff_t q = 0; q < LANES; q++)
#pragma GCC unroll 7
        for (int t = 0; t < COUNT; t++)
            ((SCALAR *)taps)[t * LANES + q] = kernels[q * COUNT + t];
}

static inline __attribute__((always_inline)) void FORM(merge)(const VECTOR *restrict taps,
                                                              SCALAR *restrict kernels)
{
    for (ptrdiff_t q = 0; q < LANES; q++)
#pragma GCC unroll 7
        for (int t = 0; t < COUNT; t++)
            kernels[q * COUNT + t] = ((const SCALAR *)taps)[t * LANES + q];
}

/* Taps that are no neighbours, of one input channel: the first `rows` x `columns`, the others are
 * zeros. */
static inline __attribute__((always_inline)) void
FORM(gather_apart)(const SCALAR *w, ptrdiff_t output_step, ptrdiff_t outputs, ptrdiff_t row_step,
                   ptrdiff_t column_step, ptrdiff_t rows, ptrdiff_t columns, VECTOR *taps)
{
    enum { NEAR = 32 };
    VECTOR near[NEAR];
    const ptrdiff_t down = (rows - 1) * row_step, across = (columns - 1) * column_step;
    const ptrdiff_t length = (down < 0 ? -down : down) + (across < 0 ? -across : across) + 1;
    const ptrdiff_t first = (down < 0 ? down : 0) + (across < 0 ? across : 0);
    /* All that lies between them is turned at once, where that is less work. */
    const int once = outputs == LANES && 2 * length > LANES && length <= NEAR &&
                     output_step >= LANES - length;

    if (once)
        ISA(TYPED(gather))(w + first, output_step, outputs, length, 0, near);
    for (ptrdiff_t t = 0; t < COUNT; t++) {
        const ptrdiff_t at = t / COLUMN_TAPS * row_step + t % COLUMN_TAPS * column_step;
        if (t / COLUMN_TAPS >= rows || t % COLUMN_TAPS >= columns)
            taps[t] = (VECTOR){0};
        else if (once)
            taps[t] = near[at - first];
        else
            ISA(TYPED(gather))(w + at, output_step, outputs, 1, 0, taps + t);
    }
}

/* The taps of `count` input channels and at most LANES output channels, as vectors of the
 * outputs. */
static inline __attribute__((always_inline)) void
FORM(gather_taps)(const SCALAR *w, ptrdiff_t output_step, ptrdiff_t outputs, ptrdiff_t channel_step,
                  ptrdiff_t count, ptrdiff_t row_step, ptrdiff_t column_step, ptrdiff_t rows,
                  ptrdiff_t columns, int together, VECTOR *taps)
{
    const int whole = rows == ROW_TAPS && columns == COLUMN_TAPS;
    const int turned = whole && NEIGHBOURS(-1);
    const SCALAR *first = turned ? w - (COUNT - 1) : w;

    if (!turned && !(whole && NEIGHBOURS(1))) {
        FORM(gather_apart)(w, output_step, outputs, row_step, column_step, rows, columns, taps);
    } else if (FEW && !together && outputs == LANES && output_step == COUNT) {
        /* The kernels of all outputs are neighbours, where the roles of the channels changed. */
        for (int t = 0; t <= COUNT; t++)
            __builtin_prefetch(first + channel_step + t * LANES);
        FORM(split)(first, taps);
    } else {
        ISA(TYPED(gather))(first, output_step, outputs, COUNT * count, together ? 0 : channel_step,
                           taps);
    }
}

/* The kernels of `outputs` output channels, at most a vector, and `channels` input channels,
 * transformed: u[point * point_step + channel * channel_step]. They have `rows` x `columns` taps,
 * and zeros for those that are missing. */
static void FORM(kernels)(const SCALAR *w, ptrdiff_t output_step, ptrdiff_t outputs,
                          ptrdiff_t w_channel_step, ptrdiff_t channels, ptrdiff_t row_step,
                          ptrdiff_t column_step, ptrdiff_t rows, ptrdiff_t columns, SCALAR *u,
                          ptrdiff_t channel_step, ptrdiff_t point_step)
{
    enum { TOGETHER = 144 / COUNT };
    VECTOR taps[TOGETHER * COUNT];
    const int whole = rows == ROW_TAPS && columns == COLUMN_TAPS;
    /* Kernels that are neighbours are gathered in blocks. */
    const int blocks = whole && NEIGHBOURS(1) && w_channel_step == COUNT;
    const ptrdiff_t together = blocks ? TOGETHER : 1;
    /* The last tap may come first. */
    const int turned = whole && NEIGHBOURS(-1);
    const VECTOR *first = turned ? taps + COUNT - 1 : taps;
    const ptrdiff_t step = turned ? -1 : 1;

    for (ptrdiff_t c = 0; c < channels; c += together, w += together * w_channel_step) {
        const ptrdiff_t count = channels - c < together ? channels - c : together;
        FORM(gather_taps)(w, output_step, outputs, w_channel_step, count, row_step, column_step,
                          rows, columns, blocks, taps);
        for (ptrdiff_t i = 0; i < count; i++, u += channel_step) {
            VECTOR half[ROW_POINTS][COLUMN_TAPS], row[COLUMN_POINTS];
            /* The next block comes row by row meanwhile: while this one was gathered, its requests
             * would have waited for each other. */
            if (blocks)
                for (ptrdiff_t q = i * LANES / TOGETHER; q < (i + 1) * LANES / TOGETHER; q++)
                    for (ptrdiff_t t = 0; t < TOGETHER * COUNT; t += LANES)
                        __builtin_prefetch(w + TOGETHER * w_channel_step + q * output_step + t);
#pragma GCC unroll 7
            for (int s = 0; s < COLUMN_TAPS; s++)
                DOWN(kernel_points)(first + COUNT * i + s * step, COLUMN_TAPS * step, &half[0][s],
                                    COLUMN_TAPS);
#pragma GCC unroll 10
            for (int r = 0; r < ROW_POINTS; r++) {
                ACROSS(kernel_points)(half[r], 1, row, 1);
#pragma GCC unroll 10
                for (int s = 0; s < COLUMN_POINTS; s++) {
                    const ptrdiff_t at = (COLUMN_POINTS * r + s) * point_step;
                    __builtin_prefetch(u + 2 * channel_step + at, 1);
                    *(VECTOR *)(u + at) = row[s];
                }
            }
        }
    }
}

/* A vector of kernels that are neighbours, from their taps by blocks. The last block ends with the
 * last tap, and partly comes again. If a block is more than a kernel, what it has too much is
 * written over by the next kernel. */
static inline __attribute__((always_inline)) void FORM(scatter_taps)(const VECTOR *taps,
                                                                     SCALAR *kernels)
{
    for (ptrdiff_t t = 0; t < COUNT; t += LANES) {
        const ptrdiff_t at = t + LANES <= COUNT || COUNT < LANES ? t : COUNT - LANES;
        VECTOR block[LANES];
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            block[q] = COUNT < LANES && q >= COUNT ? (VECTOR){0} : taps[at + q];
        ISA(TYPED(turn))(block);
#pragma GCC unroll 16
        for (ptrdiff_t q = 0; q < LANES; q++)
            if (q < LANES - 1 || COUNT >= LANES)
                *(VECTOR *)(kernels + q * COUNT + at) = block[q];
    }
    if (COUNT < LANES)
        for (ptrdiff_t t = 0; t < COUNT; t++)
            kernels[(LANES - 1) * COUNT + t] = taps[t][LANES - 1];
}

/* The gradients of at most a vector of kernels, from m[point * point_step] to
 * dw[channel * channel_step + row * row_step + column * column_step]: of `rows` x `columns` taps. */
static void FORM(kernel_gradients)(const SCALAR *m, ptrdiff_t point_step, SCALAR *dw,
                                   ptrdiff_t channel_step, ptrdiff_t channels, ptrdiff_t row_step,
                                   ptrdiff_t column_step, ptrdiff_t rows, ptrdiff_t columns)
{
    const ptrdiff_t step = point_step / LANES;
    const int whole = rows == ROW_TAPS && columns == COLUMN_TAPS && channels == LANES &&
                      channel_step == COUNT && NEIGHBOURS(1);
    VECTOR half[ROW_TAPS][COLUMN_POINTS], taps[COUNT];

    if (whole)
        for (ptrdiff_t t = 0; t < COUNT; t++)
            __builtin_prefetch(dw + t * LANES, 1);
    /* What the next vector needs, from the second-level cache. */
    for (ptrdiff_t s = 0; s < ROW_POINTS * COLUMN_POINTS; s++)
        __builtin_prefetch(m + LANES + s * point_step);
#pragma GCC unroll 10
    for (int s = 0; s < COLUMN_POINTS; s++)
        DOWN(points_kernel)((const VECTOR *)m + s * step, COLUMN_POINTS * step, &half[0][s],
                            COLUMN_POINTS);
#pragma GCC unroll 7
    for (int r = 0; r < ROW_TAPS; r++)
        ACROSS(points_kernel)(half[r], 1, taps + COLUMN_TAPS * r, 1);
    if (channel_step == 1 && channels == LANES)
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t s = 0; s < columns; s++)
                *(VECTOR *)(dw + r * row_step + s * column_step) = taps[COLUMN_TAPS * r + s];
    else if (!whole)
        for (ptrdiff_t r = 0; r < rows; r++)
            for (ptrdiff_t s = 0; s < columns; s++)
                for (ptrdiff_t q = 0; q < channels; q++)
                    dw[q * channel_step + r * row_step + s * column_step] =
                        taps[COLUMN_TAPS * r + s][q];
    else if (FEW)
        FORM(merge)(taps, dw);
    else
        FORM(scatter_taps)(taps, dw);
}

#undef TILES
#undef NEIGHBOURS
#undef FEW
#undef FORM
#undef DOWN
#undef ACROSS
#undef ROW_STEP
#undef ROW_POINTS
#undef COLUMN_STEP
#undef COLUMN_POINTS
#undef COUNT
#undef ROW_TAPS
#undef COLUMN_TAPS
