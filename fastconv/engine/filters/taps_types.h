/* Includes taps_loops.h for a floating-point type, and for the unsigned integer of its size.
 *
 * NUMBER is the type, NAME(x) gives a name its suffix, OWN(DO) says which images are read and
 * written in it, PLAIN which without conversion, and AS(type, name, x) is a number as one of an
 * image. */

#define NUMBER_BYTES SCALAR_BYTES

#define NUMBER SCALAR
#define NAME(name) ISA(TYPED(name))
#if SCALAR_BYTES == 4
#define OWN(DO) DO(float, f4)
#define PLAIN FASTCONV_IS_f4, FASTCONV_IS_f4
#else
#define OWN(DO) FASTCONV_EACH_TYPE(DO)
#define PLAIN FASTCONV_IS_f8, FASTCONV_IS_f8
#endif
#define AS(type, name, x) FASTCONV_AS_##name(x)
#include "filters/taps_loops.h"
#undef NUMBER
#undef NAME
#undef OWN
#undef PLAIN
#undef AS

#define AS(type, name, x) ((type)(x))
#if SCALAR_BYTES == 4
#define NUMBER uint32_t
#define NAME(name) ISA(FASTCONV_JOIN(name, _w))
#define OWN(DO)                                                                                    \
    DO(uint8_t, u1)                                                                                \
    DO(uint16_t, u2)                                                                               \
    DO(uint32_t, u4)                                                                               \
    DO(int8_t, i1)                                                                                 \
    DO(int16_t, i2)                                                                                \
    DO(int32_t, i4)
#define PLAIN FASTCONV_IS_u4, FASTCONV_IS_i4
#else
#define NUMBER uint64_t
#define NAME(name) ISA(FASTCONV_JOIN(name, _l))
#define OWN(DO)                                                                                    \
    DO(uint64_t, u8)                                                                               \
    DO(int64_t, i8)
#define PLAIN FASTCONV_IS_u8, FASTCONV_IS_i8
#endif
#include "filters/taps_loops.h"
#undef NUMBER
#undef NAME
#undef OWN
#undef PLAIN
#undef AS

#undef NUMBER_BYTES
