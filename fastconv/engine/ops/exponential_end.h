/* Takes back what exponential.h defined. */

#undef MASK
#undef INLINE
#undef INTEGER
#undef NAME
#undef MANTISSA
#undef BIAS
#undef LN2_HIGH
#undef LN2_LOW
#undef DIFFERENCE
#undef EXP_LIMIT
#undef PARTS
#undef PARTS_LOG
#undef PART
#undef ROOTS
#undef LOOKED_UP
#undef FUSED
#undef LARGER
#undef SMALLER
#undef OF_WIDTH
#undef NATIVE
#undef REGISTER
