/* What the processor itself says about its caches, where no file of the system does. */
#ifndef FASTCONV_CACHE_SIZES_H
#define FASTCONV_CACHE_SIZES_H

#include <stddef.h>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

/* The bytes of the data cache of a level (1, 2 or 3), or 0 where nobody knows. */
static inline ptrdiff_t fastconv_cache_bytes(int level)
{
#if defined(__APPLE__)
    static const char *const names[] = {"hw.l1dcachesize", "hw.l2cachesize", "hw.l3cachesize"};
    long long bytes = 0;
    size_t size = sizeof(bytes);

    if (sysctlbyname(names[level - 1], &bytes, &size, NULL, 0) == 0)
        return (ptrdiff_t)bytes;
#elif defined(__x86_64__) || defined(__i386__)
    /* Deterministic cache parameters: Intel's leaf, and AMD's, which has the same fields. */
    static const unsigned leaves[] = {4, 0x8000001D};

    for (int i = 0; i < 2; i++)
        for (unsigned number = 0; number < 16; number++) {
            unsigned a, b, c, d;
            if (!__get_cpuid_count(leaves[i], number, &a, &b, &c, &d) || (a & 31) == 0)
                break;
            /* Of data (1), or of data and instructions (3). */
            if (((a & 31) == 1 || (a & 31) == 3) && (int)(a >> 5 & 7) == level)
                return (ptrdiff_t)((b >> 22) + 1) * (ptrdiff_t)((b >> 12 & 1023) + 1)
                       * (ptrdiff_t)((b & 4095) + 1) * (ptrdiff_t)(c + (size_t)1);
        }
#else
    (void)level;
#endif
    return 0;
}

#endif
