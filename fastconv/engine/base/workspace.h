/* Memory for one call of a kernel, kept for the next.
 *
 * A few slots hold blocks that are not in use. Taking one and giving one back are single atomic
 * exchanges, so that any thread may call at any time, also in a child after a fork. */
#ifndef FASTCONV_WORKSPACE_H
#define FASTCONV_WORKSPACE_H

#include <stddef.h>
#include <stdlib.h>

enum { FASTCONV_SLOTS = 16 };
/* A block is aligned to a cache line; its size stands in the line before it. */
enum { FASTCONV_LINE = 64 };
/* Larger blocks are not kept. */
#define FASTCONV_KEPT ((size_t)1 << 26)

static void *fastconv_slots[FASTCONV_SLOTS];

static inline size_t fastconv_block_size(const void *block)
{
    return *(const size_t *)((const char *)block - FASTCONV_LINE);
}

static inline void fastconv_free_block(void *block)
{
    if (block)
        free((char *)block - FASTCONV_LINE);
}

/* Return a block of at least `size` bytes, or NULL. */
static void *fastconv_take(size_t size)
{
    void *raw;

    for (int i = 0; i < FASTCONV_SLOTS; i++) {
        void *block = __atomic_exchange_n(&fastconv_slots[i], NULL, __ATOMIC_ACQ_REL);
        if (!block)
            continue;
        if (fastconv_block_size(block) >= size)
            return block;
        /* Too small: a larger one takes its place when this call is done. */
        fastconv_free_block(block);
    }
    if (size > PTRDIFF_MAX - 2 * FASTCONV_LINE)
        return NULL;
    size = (size + FASTCONV_LINE - 1) / FASTCONV_LINE * FASTCONV_LINE;
    if (posix_memalign(&raw, FASTCONV_LINE, size + FASTCONV_LINE))
        return NULL;
    *(size_t *)raw = size;
    return (char *)raw + FASTCONV_LINE;
}

/* Give back what fastconv_take returned. */
static void fastconv_give(void *block)
{
    if (!block)
        return;
    if (fastconv_block_size(block) <= FASTCONV_KEPT)
        for (int i = 0; i < FASTCONV_SLOTS; i++) {
            void *empty = NULL;
            if (__atomic_compare_exchange_n(&fastconv_slots[i], &empty, block, 0,
                                            __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
                return;
        }
    fastconv_free_block(block);
}

/* Free the blocks that are not in use, and return their bytes. */
static size_t fastconv_release(void)
{
    size_t bytes = 0;

    for (int i = 0; i < FASTCONV_SLOTS; i++) {
        void *block = __atomic_exchange_n(&fastconv_slots[i], NULL, __ATOMIC_ACQ_REL);
        if (block)
            bytes += fastconv_block_size(block);
        fastconv_free_block(block);
    }
    return bytes;
}

#endif
