/* Takes back what vector.h defined. */

#undef HALF
#undef EVEN
#undef EVEN_HALF
#undef ZIP_LOW
#undef ZIP_HIGH
#undef LANES
#undef VECTOR
