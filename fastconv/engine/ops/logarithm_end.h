/* Takes back what logarithm.h defined. */

#undef UNSIGNED
#undef SQRT_HALF
#undef ATANH
#undef UNIT
#undef BITS
