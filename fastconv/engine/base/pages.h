/* Memory that begins at a cache line; or at a huge page, where it has several. NumPy asks the system
 * for huge pages likewise: walks through many small ones cost a convolution up to 3 %. */
#ifndef FASTCONV_PAGES_H
#define FASTCONV_PAGES_H

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { FASTCONV_CACHE_LINE = 64, FASTCONV_HUGE_PAGE = 1 << 21 };

/* Write where so many bytes are, to be given to free(); return 0, or an error's number. */
static int fastconv_get_pages(void **data, size_t size)
{
    const int huge = size >= 2 * FASTCONV_HUGE_PAGE;
    const int error = posix_memalign(data, huge ? FASTCONV_HUGE_PAGE : FASTCONV_CACHE_LINE, size);

#ifdef MADV_HUGEPAGE
    if (!error && huge)
        madvise(*data, size, MADV_HUGEPAGE);
#endif
    return error;
}

#endif
