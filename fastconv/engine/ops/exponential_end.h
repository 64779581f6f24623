/* Takes back what exponential.h defined. */

#undef MASK
#undef INLINE
#undef INTEGER
#undef NAME
#undef MANTISSA
#undef BIAS
#undef LN2_HIGH
#undef LN2_LOW
#undef POLYNOMIAL
#undef EXP_LIMIT
