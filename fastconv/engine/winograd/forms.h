/* The forms of Winograd's tiles. */
#ifndef FASTCONV_WINOGRAD_FORMS_H
#define FASTCONV_WINOGRAD_FORMS_H

/* The forms of tiles, by the taps of their kernels. */
typedef struct {
    int row_taps, column_taps;
} fastconv_form;
static const fastconv_form fastconv_forms[] = {{2, 2}, {3, 3}, {5, 5}, {1, 2}, {2, 1}, {1, 3},
                                               {3, 1}, {1, 5}, {5, 1}, {1, 7}, {7, 1}};

#endif
