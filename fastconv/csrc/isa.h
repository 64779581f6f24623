/* The instruction sets: all of the dispatch.
 *
 * One row of the table for each, best first. A row holds the register tile (tile.h) in two widths,
 * for float and double: the wide one for rows of pixels, the narrow one for output channels, which
 * often are few. A new instruction set is a region that includes the tiles, and a row. */
#ifndef FASTCONV_ISA_H
#define FASTCONV_ISA_H

#include <stddef.h>

#if defined(__x86_64__) || defined(__i386__)
#define FASTCONV_X86 1
/* Before any region: inside one, the header would declare its intrinsics for that set alone. */
#include <immintrin.h>
#else
#define FASTCONV_X86 0
#endif

/* Rows of every tile. Times two vectors this fills 12 of the 16 registers of SSE2 and AVX2. */
#define FASTCONV_MR 6

typedef void (*fastconv_tile_f)(const float *const *, const ptrdiff_t *, const float *,
                                const ptrdiff_t *, ptrdiff_t, float *, ptrdiff_t);
typedef void (*fastconv_tile_d)(const double *const *, const ptrdiff_t *, const double *,
                                const ptrdiff_t *, ptrdiff_t, double *, ptrdiff_t);

typedef struct {
    const char *name;
    int (*runs)(void); /* whether this CPU, and its operating system, can run it */
    int wide_bytes, narrow_bytes; /* of the tiles' rows */
    fastconv_tile_f wide_f, narrow_f;
    fastconv_tile_d wide_d, narrow_d;
} fastconv_isa;

/* The four tiles of a row are told apart by a suffix. */
#define SCALAR float
#define VECTOR_BYTES 16
#define VECTORS 2
#define TILE fastconv_portable_f
#include "tile.h"
#define SCALAR double
#define VECTOR_BYTES 16
#define VECTORS 2
#define TILE fastconv_portable_d
#include "tile.h"

#if FASTCONV_X86

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define SCALAR float
#define VECTOR_BYTES 32
#define VECTORS 2
#define TILE fastconv_avx2_wide_f
#include "tile.h"
#define SCALAR float
#define VECTOR_BYTES 32
#define VECTORS 1
#define TILE fastconv_avx2_narrow_f
#include "tile.h"
#define SCALAR double
#define VECTOR_BYTES 32
#define VECTORS 2
#define TILE fastconv_avx2_wide_d
#include "tile.h"
#define SCALAR double
#define VECTOR_BYTES 32
#define VECTORS 1
#define TILE fastconv_avx2_narrow_d
#include "tile.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif
#define SCALAR float
#define VECTOR_BYTES 64
#define VECTORS 2
#define TILE fastconv_avx512_wide_f
#include "tile.h"
#define SCALAR float
#define VECTOR_BYTES 64
#define VECTORS 1
#define TILE fastconv_avx512_narrow_f
#include "tile.h"
#define SCALAR double
#define VECTOR_BYTES 64
#define VECTORS 2
#define TILE fastconv_avx512_wide_d
#include "tile.h"
#define SCALAR double
#define VECTOR_BYTES 64
#define VECTORS 1
#define TILE fastconv_avx512_narrow_d
#include "tile.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif /* FASTCONV_X86 */

static int fastconv_portable_runs(void) { return 1; }

#if FASTCONV_X86
static int fastconv_avx2_runs(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int fastconv_avx512_runs(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") != 0;
}
#endif

static const fastconv_isa fastconv_isas[] = {
#if FASTCONV_X86
    {"avx512", fastconv_avx512_runs, 128, 64, fastconv_avx512_wide_f, fastconv_avx512_narrow_f,
     fastconv_avx512_wide_d, fastconv_avx512_narrow_d},
    {"avx2", fastconv_avx2_runs, 64, 32, fastconv_avx2_wide_f, fastconv_avx2_narrow_f,
     fastconv_avx2_wide_d, fastconv_avx2_narrow_d},
#endif
    {"portable", fastconv_portable_runs, 32, 32, fastconv_portable_f, fastconv_portable_f,
     fastconv_portable_d, fastconv_portable_d},
};

enum { FASTCONV_ISAS = sizeof(fastconv_isas) / sizeof(fastconv_isas[0]) };

#endif
