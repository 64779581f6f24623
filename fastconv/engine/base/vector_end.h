/* Takes back what vector.h defined. */

#undef HALF
#undef QUARTER
#undef EVEN
#undef ODD
#undef EVEN_HALF
#undef ODD_HALF
#undef EVEN_QUARTER
#undef ODD_QUARTER
#undef ZIP_LOW
#undef ZIP_HIGH
#undef LANES
#undef VECTOR
