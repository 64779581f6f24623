/* What a sum meets after its bias: epilogue.h computes it. */
#ifndef FASTCONV_ENDING_H
#define FASTCONV_ENDING_H

#include <stddef.h>

/* 0 where it is <= 0; cut off below `low` and above `high`; times `low` where it is not > 0. */
enum { FASTCONV_NO_ACTIVATION, FASTCONV_RELU, FASTCONV_CLAMP, FASTCONV_LEAKY };

typedef struct {
    ptrdiff_t residual; /* bytes from a number to its residual; 0 where there is none */
    int activation;
    double low, high;
} fastconv_ending;

#endif
