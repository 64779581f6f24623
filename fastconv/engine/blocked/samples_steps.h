/* The loops of the kernels of samples.h, for those that call them. */
#ifndef FASTCONV_SAMPLES_STEPS_H
#define FASTCONV_SAMPLES_STEPS_H

#include <stddef.h>

/* A tile has at most so many output channels, and so many pixels; with channels in the lanes it is
 * so many pixels of one output channel. The sums of the weight gradient have at most so many output
 * channels, and so many steps. */
#define FASTCONV_SAMPLE_ROWS 8
#define FASTCONV_SAMPLE_PIXELS 4
#define FASTCONV_LANE_PIXELS 8
#define FASTCONV_SUM_ROWS 4
#define FASTCONV_SUM_STEPS 9

/* The loops of a tile, over the input channels and the taps, the outermost first: how often, and how
 * far from one to the next in the weights and the input. */
typedef struct {
    ptrdiff_t count[3], w_hop[3], x_hop[3];
    ptrdiff_t w_row;              /* from one output channel to the next in the weights */
    ptrdiff_t x_pixel;            /* from one pixel to the next in the input */
    ptrdiff_t out_row, out_pixel; /* from one output channel and one pixel to the next */
} fastconv_sample_loops;

/* The loops of sums of the weight gradient, over lines and pixels, likewise. */
typedef struct {
    ptrdiff_t lines, pixels;
    ptrdiff_t dy_row, sums_row; /* from one output channel to the next */
    ptrdiff_t dy_line, x_line, x_pixel;
    int first;                  /* nothing was added to these sums yet */
} fastconv_sample_lines;

#endif
