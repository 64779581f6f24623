/* Includes the file FASTCONV_EACH for float and for double. */

#define SCALAR float
#define SCALAR_BYTES 4
#define TYPED(name) FASTCONV_JOIN(name, _f)
#include FASTCONV_EACH
#undef SCALAR
#undef SCALAR_BYTES
#undef TYPED

#define SCALAR double
#define SCALAR_BYTES 8
#define TYPED(name) FASTCONV_JOIN(name, _d)
#include FASTCONV_EACH
#undef SCALAR
#undef SCALAR_BYTES
#undef TYPED
