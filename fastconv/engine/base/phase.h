/* A loop over tasks, as a kernel gives it to the threads. */
#ifndef FASTCONV_PHASE_H
#define FASTCONV_PHASE_H

#include <stddef.h>

typedef struct {
    /* Called for each task, on any thread and in any order. `thread` is below the number of
     * threads, and no two tasks run at once with the same one: it selects a part of the
     * workspace. */
    void (*run)(void *context, ptrdiff_t task, int thread);
    void *context;
    ptrdiff_t tasks;
    /* Whether denormal numbers count; otherwise they are flushed to zero. */
    int denormals;
    /* Returns what a task costs (costs.pxd), or NULL: nobody has said. The pool does not read it;
     * who weighs how evenly the tasks can be shared calls it, in place of `run` or before. */
    double (*cost)(void *context, ptrdiff_t task);
} fastconv_phase;

#endif
