/* Flush denormal numbers to zero while a kernel runs, and put the caller's setting back.
 *
 * Denormals cost tens of cycles an operation on many CPUs; a decaying network is full of them.
 * The setting belongs to a thread, so every computing thread calls both functions.
 *
 * x86: MXCSR bits 15 (flush to zero) and 6 (denormals are zero), Intel SDM volume 1, 10.2.3.
 * AArch64: FPCR bit 24 (FZ), Arm ARM section C5.2.8. */
#ifndef FASTCONV_DENORMALS_H
#define FASTCONV_DENORMALS_H

#if defined(__SSE__)
#include <xmmintrin.h>

static inline unsigned long fastconv_flush_denormals(void)
{
    unsigned int saved = _mm_getcsr();
    _mm_setcsr(saved | 0x8040u);
    return saved;
}

static inline void fastconv_restore_denormals(unsigned long saved)
{
    _mm_setcsr((unsigned int)saved);
}

#elif defined(__aarch64__)

static inline unsigned long fastconv_flush_denormals(void)
{
    unsigned long saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"(saved | (1ul << 24)));
    return saved;
}

static inline void fastconv_restore_denormals(unsigned long saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved));
}

#else

static inline unsigned long fastconv_flush_denormals(void) { return 0; }
static inline void fastconv_restore_denormals(unsigned long saved) { (void)saved; }

#endif
#endif
