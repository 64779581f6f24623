/* Takes back what runs.h defined. */

#undef WRITE_RUN
#undef STREAM
#undef DEVIATE
#undef ADD
#undef ADD_REST
#undef ADD_SQUARE
#undef ADD_SQUARE_REST
#undef EACH_VECTOR
#undef LOAD
#undef STORE
#undef SUMS
#undef INLINE
#undef MASK
#undef INTEGER
#undef NAME
#include "base/vector_end.h"
