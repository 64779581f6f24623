/* The instruction sets: all of the dispatch.
 *
 * One row of the table for each, best first. A family of kernels is written once, in a file that
 * regions.h includes for every row; FASTCONV_TABLE collects what the file made. A new instruction
 * set is a region in regions.h, and here a name in FASTCONV_EACH_ISA and a test. */
#ifndef FASTCONV_ISA_H
#define FASTCONV_ISA_H

#include <stddef.h>

#define FASTCONV_PASTE(a, b) a##b
#define FASTCONV_JOIN(a, b) FASTCONV_PASTE(a, b)

#if defined(__x86_64__) || defined(__i386__)
#define FASTCONV_X86 1
/* Before any region: inside one, the header would declare its intrinsics for that set alone. */
#include <immintrin.h>
#define FASTCONV_EACH_ISA(ROW, name) ROW(avx512, name) ROW(avx2, name) ROW(portable, name)
#else
#define FASTCONV_X86 0
#define FASTCONV_EACH_ISA(ROW, name) ROW(portable, name)
#endif

/* The table of what a family calls `name`. */
#define FASTCONV_ADDRESS(isa, name) &fastconv_##isa##_##name,
#define FASTCONV_TABLE(name) {FASTCONV_EACH_ISA(FASTCONV_ADDRESS, name)}
/* The tables of a loop, for float and for double. Its arguments are said where it is written. */
#define FASTCONV_LOOP(name)                                                                        \
    static __typeof__(&fastconv_portable_##name##_f) const fastconv_##name##_f[] =                 \
        FASTCONV_TABLE(name##_f);                                                                  \
    static __typeof__(&fastconv_portable_##name##_d) const fastconv_##name##_d[] =                 \
        FASTCONV_TABLE(name##_d);
/* The loop for what `x` points to. */
#define FASTCONV_CALL(name, isa, x, ...) FASTCONV_BY_TYPE(x, fastconv_##name)[isa](x, __VA_ARGS__)
/* name_f or name_d, by what `x` points to. */
#define FASTCONV_BY_TYPE(x, name)                                                                  \
    _Generic((x),                                                                                  \
        float *: name##_f,                                                                         \
        const float *: name##_f,                                                                   \
        double *: name##_d,                                                                        \
        const double *: name##_d)

typedef struct {
    const char *name;
    int (*runs)(void); /* whether this CPU, and its operating system, can run it */
} fastconv_isa;

static inline int fastconv_portable_runs(void) { return 1; }

#if FASTCONV_X86
static inline int fastconv_avx2_runs(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static inline int fastconv_avx512_runs(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") != 0;
}
#endif

#define FASTCONV_ISA_ROW(isa, runs) {#isa, fastconv_##isa##_##runs},
static const fastconv_isa fastconv_isas[] __attribute__((unused)) = {
    FASTCONV_EACH_ISA(FASTCONV_ISA_ROW, runs)};

enum { FASTCONV_ISAS = sizeof(fastconv_isas) / sizeof(fastconv_isas[0]) };

#endif
