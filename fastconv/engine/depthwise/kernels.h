/* Depthwise convolution: the loops of every instruction set (rows.h), for float and double, and
 * what they read of a plan. */
#ifndef FASTCONV_DEPTHWISE_H
#define FASTCONV_DEPTHWISE_H

#include "base/isa.h"

/* Taps of one kernel column that share what they load: the most that there is a loop for, of those
 * that divide the column. */
static inline ptrdiff_t fastconv_shared_taps(ptrdiff_t taps)
{
    return taps % 7 == 0 ? 7 : taps % 5 == 0 ? 5 : taps % 3 == 0 ? 3 : taps % 2 == 0 ? 2 : 1;
}

/* Runs of so many taps whose sums the registers hold at once. */
static inline __attribute__((always_inline)) ptrdiff_t fastconv_held_runs(ptrdiff_t registers,
                                                                          ptrdiff_t shared)
{
    return shared == 1 ? 9 : shared == 2 ? 4 : shared == 3 ? 3 : (registers == 32 ? 25 : 11) / shared;
}

/* The taps of one phase on each axis, in runs down the kernel's columns. */
typedef struct {
    ptrdiff_t runs, shared;   /* how many, and the taps of each */
    const ptrdiff_t *offsets; /* where each run begins in the input tile */
    ptrdiff_t first_tap;      /* among the taps of all phases */
} fastconv_subkernel;

/* What a row of the input tile holds of the input: from column `first`, a stride apart, the places
 * from `low` to `high`; the others are padding. */
typedef struct {
    ptrdiff_t first, low, high;
} fastconv_span;

/* Of an instruction set; the largest register tile of a correlation has so many rows and vectors. */
typedef struct {
    ptrdiff_t number, vector_bytes, rows, vectors;
} fastconv_registers;

#define FASTCONV_EACH "depthwise/rows.h"
#include "base/regions.h"

FASTCONV_LOOP(correlate)
FASTCONV_LOOP(accumulate)
FASTCONV_LOOP(pack_rows)
FASTCONV_LOOP(interleave)
#define fastconv_correlate(isa, ...) FASTCONV_CALL(correlate, isa, __VA_ARGS__)
#define fastconv_accumulate(isa, ...) FASTCONV_CALL(accumulate, isa, __VA_ARGS__)
#define fastconv_pack_rows(isa, ...) FASTCONV_CALL(pack_rows, isa, __VA_ARGS__)
#define fastconv_interleave(isa, ...) FASTCONV_CALL(interleave, isa, __VA_ARGS__)

static const fastconv_registers *const fastconv_registers_of[] = FASTCONV_TABLE(registers);

#endif
