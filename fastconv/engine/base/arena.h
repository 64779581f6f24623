/* Memory for results: one range of addresses, cut into parts that are in use or wait for it.
 *
 * A result takes the smallest gap that holds it, and where two that are free lie side by side they
 * are one: what maps of one size leave is there for those of another. A forward pass that keeps what
 * backward needs stacks it up, and backward takes its own from what it has freed.
 *
 * The addresses cost nothing until they are used, and go back to the system by whole huge pages: what
 * is free has been `touched`, or is made of huge pages that were not. The caller holds the
 * interpreter's lock. */
#ifndef FASTCONV_ARENA_H
#define FASTCONV_ARENA_H

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

#ifdef __APPLE__
#define FASTCONV_DISCARD MADV_FREE
#else
#define FASTCONV_DISCARD MADV_DONTNEED
#endif

enum { FASTCONV_HUGE = 1 << 21 };
/* So many addresses become memory at a time. */
#define FASTCONV_STEP ((size_t)1 << 26)

typedef struct fastconv_part {
    struct fastconv_part *before, *after; /* its neighbours in memory */
    char *data;
    size_t size;
    int used, touched;
} fastconv_part;

/* `grain` divides all sizes; the first `open` bytes may be touched; `waiting` bytes have been, and are
 * not in use. */
typedef struct {
    fastconv_part *first;
    char *data;
    size_t size, open, grain, used, waiting;
} fastconv_arena;

/* Ask for as many addresses as the machine has memory; return 0, or -1 where there are none, or
 * where they are counted. */
static int fastconv_open_arena(fastconv_arena *arena)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t size = page * (size_t)sysconf(_SC_PHYS_PAGES) / FASTCONV_HUGE * FASTCONV_HUGE;
    struct rlimit limit;
    fastconv_part *part;
    char *data;

    if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur != RLIM_INFINITY)
        return -1;
    part = calloc(1, sizeof *part);
    if (!part)
        return -1;
    data = mmap(NULL, size + FASTCONV_HUGE, PROT_NONE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
        free(part);
        return -1;
    }
    part->data = data + (-(size_t)data % FASTCONV_HUGE);
    part->size = size;
#ifdef MADV_HUGEPAGE
    madvise(part->data, size, MADV_HUGEPAGE);
#endif
    *arena = (fastconv_arena){part, part->data, size, 0, page > 16384 ? page : 16384, 0, 0};
    return 0;
}

static size_t fastconv_waits(const fastconv_part *part)
{
    return part->used || !part->touched ? 0 : part->size;
}

/* Cut off what is behind the first `size` bytes of a part; return 0, or -1 without memory. */
static int fastconv_cut(fastconv_part *part, size_t size)
{
    fastconv_part *rest;

    if (part->size == size)
        return 0;
    rest = malloc(sizeof *rest);
    if (!rest)
        return -1;
    *rest = *part;
    rest->before = part;
    rest->data += size;
    rest->size -= size;
    if (rest->after)
        rest->after->before = rest;
    part->after = rest;
    part->size = size;
    return 0;
}

/* Join a part with the one behind it. */
static void fastconv_join(fastconv_part *part)
{
    fastconv_part *after = part->after;

    part->size += after->size;
    part->after = after->after;
    if (part->after)
        part->after->before = part;
    free(after);
}

/* Join a part that is free with neighbours of its kind. */
static void fastconv_settle(fastconv_part *part)
{
    fastconv_part *const after = part->after, *const before = part->before;

    if (after && !after->used && after->touched == part->touched)
        fastconv_join(part);
    if (before && !before->used && before->touched == part->touched)
        fastconv_join(before);
}

/* Return the first part of the smallest gap that holds so many bytes, or NULL. */
static fastconv_part *fastconv_gap(const fastconv_arena *arena, size_t size)
{
    fastconv_part *found = NULL, *part = arena->first;
    size_t least = 0;

    while (part) {
        fastconv_part *const begin = part;
        size_t gap = 0;
        for (; part && !part->used; part = part->after)
            gap += part->size;
        if (gap >= size && (!found || gap < least)) {
            found = begin;
            least = gap;
        }
        if (part)
            part = part->after;
    }
    return found;
}

/* Let the first `end` bytes be touched; return 0, or -1 without memory. */
static int fastconv_open(fastconv_arena *arena, size_t end)
{
    size_t open = (end + FASTCONV_STEP - 1) / FASTCONV_STEP * FASTCONV_STEP;

    if (end <= arena->open)
        return 0;
    open = open < arena->size ? open : arena->size;
    if (mprotect(arena->data + arena->open, open - arena->open, PROT_READ | PROT_WRITE))
        return -1;
    arena->open = open;
    return 0;
}

/* Return a part of so many bytes, which `grain` divides, or NULL without room. */
static fastconv_part *fastconv_take_part(fastconv_arena *arena, size_t size)
{
    fastconv_part *part = fastconv_gap(arena, size);
    size_t rest;

    if (!part || fastconv_open(arena, (size_t)(part->data - arena->data) + size))
        return NULL;
    arena->waiting -= fastconv_waits(part);
    while (part->size < size) {
        const int touched = part->after->touched;
        arena->waiting -= fastconv_waits(part->after);
        fastconv_join(part);
        /* What is left of the last is as it was. */
        part->touched = touched;
    }
    rest = part->size - size;
    if (fastconv_cut(part, size)) {
        arena->waiting += fastconv_waits(part);
        return NULL;
    }
    if (rest && !part->touched) {
        /* The system gives a huge page as a whole. */
        const size_t more = -(size_t)part->after->data % FASTCONV_HUGE;
        if (more && !fastconv_cut(part->after, more)) {
            part->after->touched = 1;
            arena->waiting += more;
        }
    } else {
        arena->waiting += rest;
    }
    part->used = part->touched = 1;
    arena->used += size;
    return part;
}

static void fastconv_give_part(fastconv_arena *arena, fastconv_part *part)
{
    part->used = 0;
    arena->used -= part->size;
    arena->waiting += part->size;
    fastconv_settle(part);
}

/* Give huge pages that wait back to the system, those at the end first, until only `most` bytes wait
 * or there are no more whole ones. */
static void fastconv_trim_arena(fastconv_arena *arena, size_t most)
{
    fastconv_part *part = arena->first;

    if (arena->waiting <= most)
        return;
    while (part->after)
        part = part->after;
    for (fastconv_part *before; part && arena->waiting > most; part = before) {
        const size_t over = arena->waiting - most;
        size_t begin = -(size_t)part->data % FASTCONV_HUGE, end;
        before = part->before;
        if (!fastconv_waits(part) || part->size < begin + FASTCONV_HUGE)
            continue;
        end = begin + (part->size - begin) / FASTCONV_HUGE * FASTCONV_HUGE;
        if (end - begin > over)
            begin = end - (over + FASTCONV_HUGE - 1) / FASTCONV_HUGE * FASTCONV_HUGE;
        if (fastconv_cut(part, end))
            continue;
        if (begin) {
            if (fastconv_cut(part, begin))
                continue;
            part = part->after;
        }
        madvise(part->data, part->size, FASTCONV_DISCARD);
        arena->waiting -= part->size;
        part->touched = 0;
        fastconv_settle(part);
    }
}

#endif
