/* The loops of transforms (lines_loops.h) for each instruction set and scalar type. */
#ifndef FASTCONV_LINES_H
#define FASTCONV_LINES_H

#include "base/isa.h"
#include "fft/line.h"

#define FASTCONV_EACH "fft/lines_loops.h"
#include "base/regions.h"

/* Of floats and of doubles. */
static const fastconv_line_loops *const fastconv_lines[][FASTCONV_ISAS] = {
    FASTCONV_TABLE(line_loops_f),
    FASTCONV_TABLE(line_loops_d),
};

#endif
