/* The inner loops of depthwise convolution (depthwise_rows.h) for every instruction set, for float
 * and double. */
#ifndef FASTCONV_DEPTHWISE_H
#define FASTCONV_DEPTHWISE_H

#include "isa.h"

/* Taps of one kernel column that share what they load: the most that there is a loop for, of those
 * that divide the column. */
static inline ptrdiff_t fastconv_shared_taps(ptrdiff_t taps)
{
    return taps % 7 == 0 ? 7 : taps % 5 == 0 ? 5 : taps % 3 == 0 ? 3 : taps % 2 == 0 ? 2 : 1;
}

typedef void (*fastconv_correlate_f)(const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                     const ptrdiff_t *, ptrdiff_t, ptrdiff_t, const float *, float,
                                     float *, ptrdiff_t);
typedef void (*fastconv_correlate_d)(const double *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                     const ptrdiff_t *, ptrdiff_t, ptrdiff_t, const double *,
                                     double, double *, ptrdiff_t);
typedef void (*fastconv_accumulate_f)(const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                      const ptrdiff_t *, ptrdiff_t, ptrdiff_t, const float *,
                                      ptrdiff_t, float *);
typedef void (*fastconv_accumulate_d)(const double *, ptrdiff_t, ptrdiff_t, ptrdiff_t,
                                      const ptrdiff_t *, ptrdiff_t, ptrdiff_t, const double *,
                                      ptrdiff_t, double *);
typedef void (*fastconv_copy_f)(float *, ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t, ptrdiff_t);
typedef void (*fastconv_copy_d)(double *, ptrdiff_t, const double *, ptrdiff_t, ptrdiff_t,
                                ptrdiff_t);
typedef void (*fastconv_split_f)(float *, float *, ptrdiff_t, const float *, ptrdiff_t, ptrdiff_t,
                                 ptrdiff_t, int, int);
typedef void (*fastconv_split_d)(double *, double *, ptrdiff_t, const double *, ptrdiff_t, ptrdiff_t,
                                 ptrdiff_t, int, int);
typedef void (*fastconv_merge_f)(float *, ptrdiff_t, const float *, const float *, ptrdiff_t,
                                 ptrdiff_t, ptrdiff_t);
typedef void (*fastconv_merge_d)(double *, ptrdiff_t, const double *, const double *, ptrdiff_t,
                                 ptrdiff_t, ptrdiff_t);

typedef struct {
    int vector_bytes;
    fastconv_correlate_f correlate_f;
    fastconv_accumulate_f accumulate_f;
    fastconv_copy_f copy_f;
    fastconv_split_f split_f;
    fastconv_merge_f merge_f;
    fastconv_correlate_d correlate_d;
    fastconv_accumulate_d accumulate_d;
    fastconv_copy_d copy_d;
    fastconv_split_d split_d;
    fastconv_merge_d merge_d;
} fastconv_depthwise_row;

#define FASTCONV_EACH "depthwise_rows.h"
#include "regions.h"

#define FASTCONV_ROW(isa, _)                                                                     \
    {fastconv_##isa##_vector_bytes_f, fastconv_##isa##_correlate_f, fastconv_##isa##_accumulate_f, \
     fastconv_##isa##_copy_f,       fastconv_##isa##_split_f,     fastconv_##isa##_merge_f,      \
     fastconv_##isa##_correlate_d,  fastconv_##isa##_accumulate_d, fastconv_##isa##_copy_d,      \
     fastconv_##isa##_split_d,      fastconv_##isa##_merge_d},
static const fastconv_depthwise_row fastconv_depthwise[] = {FASTCONV_EACH_ISA(FASTCONV_ROW, _)};
#undef FASTCONV_ROW

#endif
