#ifndef FASTCONV_RUN_H
#define FASTCONV_RUN_H

#include <stddef.h>

/* Columns first .. first + count of a tile or a panel; at is where they go to or come from, step
 * the distance between them there. All in elements. */
typedef struct {
    ptrdiff_t first, count, at, step;
} fastconv_run;

#endif
