/* The loops of the kernels of channels.h, for those that call them. */
#ifndef FASTCONV_CHANNELS_STEPS_H
#define FASTCONV_CHANNELS_STEPS_H

#include <stddef.h>

/* The most pixels, and vectors of output channels, of a tile; and the most groups whose channels
 * take turns in a vector. */
#define FASTCONV_CHANNEL_PIXELS 14
#define FASTCONV_CHANNEL_VECTORS 2
#define FASTCONV_CHANNEL_GROUPS 2

/* The loops of a tile, over the input channels and the taps; one more tap is listed than there are. */
typedef struct {
    ptrdiff_t channels, taps;
    const ptrdiff_t *channel_at, *tap_at; /* where they lie in the input */
    ptrdiff_t w_channel, w_tap;           /* from one to the next in the weights */
    ptrdiff_t out_pixel, out_vector;
    int first; /* nothing was added to these sums yet */
} fastconv_channel_loops;

/* The loops of sums of the weight gradient, over lines and their pixels. */
typedef struct {
    ptrdiff_t lines, pixels;
    ptrdiff_t x_line, dy_line, dy_pixel;
    ptrdiff_t sums_row, sums_vector; /* from one input channel, and one vector, to the next */
    int first;
} fastconv_channel_lines;

#endif
