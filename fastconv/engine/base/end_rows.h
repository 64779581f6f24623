/* The table of what epilogue.h does to rows that are stored, for each instruction set and scalar
 * type. */
#ifndef FASTCONV_END_ROWS_H
#define FASTCONV_END_ROWS_H

#include "base/isa.h"

#define FASTCONV_EACH "base/end_rows_loops.h"
#include "base/regions.h"

FASTCONV_LOOP(ended)
#define fastconv_end_rows(isa, ...) FASTCONV_CALL(ended, isa, __VA_ARGS__)

#endif
