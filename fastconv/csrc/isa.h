/* The instruction sets: all of the dispatch.
 *
 * One row of the table for each, best first. A family of kernels is written once, in a file that
 * regions.h includes for every row; FASTCONV_TABLE and FASTCONV_EACH_ISA list what the file made
 * for each row, in this order. A new instruction set is a region in regions.h, a row here and a
 * name in those two. */
#ifndef FASTCONV_ISA_H
#define FASTCONV_ISA_H

#include <stddef.h>

#define FASTCONV_PASTE(a, b) a##b
#define FASTCONV_JOIN(a, b) FASTCONV_PASTE(a, b)

#if defined(__x86_64__) || defined(__i386__)
#define FASTCONV_X86 1
/* Before any region: inside one, the header would declare its intrinsics for that set alone. */
#include <immintrin.h>
#define FASTCONV_EACH_ISA(ROW) ROW(avx512) ROW(avx2) ROW(portable)
#define FASTCONV_TABLE(name) \
    {&fastconv_avx512_##name, &fastconv_avx2_##name, &fastconv_portable_##name}
#else
#define FASTCONV_X86 0
#define FASTCONV_EACH_ISA(ROW) ROW(portable)
#define FASTCONV_TABLE(name) {&fastconv_portable_##name}
#endif

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

static const fastconv_isa fastconv_isas[] __attribute__((unused)) = {
#if FASTCONV_X86
    {"avx512", fastconv_avx512_runs},
    {"avx2", fastconv_avx2_runs},
#endif
    {"portable", fastconv_portable_runs},
};

enum { FASTCONV_ISAS = sizeof(fastconv_isas) / sizeof(fastconv_isas[0]) };

#endif
