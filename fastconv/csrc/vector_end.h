/* Takes back what vector.h defined. */

#undef HALF
#undef EVEN
#undef ZIP_LOW
#undef ZIP_HIGH
#undef LANES
#undef VECTOR
