/* The tiles of Winograd's convolution along rows. */
#ifndef FASTCONV_WINOGRAD_ROWS_SIZES_H
#define FASTCONV_WINOGRAD_ROWS_SIZES_H

#define FASTCONV_ROW_TAPS 5 /* of a kernel's side */
#define FASTCONV_ROW_STEP 5 /* outputs of a tile */
#define FASTCONV_ROW_POINTS (FASTCONV_ROW_TAPS + FASTCONV_ROW_STEP - 1)

#endif
