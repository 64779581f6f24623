/* Includes the file FASTCONV_EACH for each instruction set and scalar type, inside a region that
 * tells the compiler which instructions it may use.
 *
 * The file sees SCALAR, SCALAR_BYTES, VECTOR_BYTES, REGISTERS (vector registers of the instruction
 * set), ISA(x), which gives a name the prefix of the instruction set, and TYPED(x), which gives it
 * the suffix of the type. It has no include guard. */

#include "base/isa.h"

#define VECTOR_BYTES 16
#define REGISTERS 16
#define ISA(name) FASTCONV_JOIN(fastconv_portable_, name)
#include "base/scalars.h"
#undef VECTOR_BYTES
#undef REGISTERS
#undef ISA

#if FASTCONV_X86

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
#define VECTOR_BYTES 32
#define REGISTERS 16
#define ISA(name) FASTCONV_JOIN(fastconv_avx2_, name)
#include "base/scalars.h"
#undef VECTOR_BYTES
#undef REGISTERS
#undef ISA
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f")
#endif
#define VECTOR_BYTES 64
#define REGISTERS 32
#define ISA(name) FASTCONV_JOIN(fastconv_avx512_, name)
#include "base/scalars.h"
#undef VECTOR_BYTES
#undef REGISTERS
#undef ISA
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#endif /* FASTCONV_X86 */

#undef FASTCONV_EACH
