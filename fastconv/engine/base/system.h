/* What the pool needs of the operating system: threads, clock, and waiting for a number to change.
 *
 * Linux waits by futex; other systems with POSIX threads by one condition variable for all words.
 * Windows has WaitOnAddress, WakeByAddressSingle and QueryPerformanceCounter for the same. */
#ifndef FASTCONV_SYSTEM_H
#define FASTCONV_SYSTEM_H

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* Nanoseconds of a clock that never goes back. */
static inline int64_t fastconv_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Let a core know that a loop waits for another one. */
static inline void fastconv_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

#ifdef __linux__

/* Sleep while `*word` is `value`; it may return at any time before. */
static inline void fastconv_sleep_while(uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

/* Wake who sleeps on `word`, after it was changed. */
static inline void fastconv_wake(uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static inline void fastconv_forget_sleepers(void)
{
}

#else

static pthread_mutex_t fastconv_bed = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fastconv_bell = PTHREAD_COND_INITIALIZER;

static inline void fastconv_sleep_while(uint32_t *word, uint32_t value)
{
    pthread_mutex_lock(&fastconv_bed);
    if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value)
        pthread_cond_wait(&fastconv_bell, &fastconv_bed);
    pthread_mutex_unlock(&fastconv_bed);
}

static inline void fastconv_wake(uint32_t *word)
{
    (void)word;
    pthread_mutex_lock(&fastconv_bed);
    pthread_cond_broadcast(&fastconv_bell);
    pthread_mutex_unlock(&fastconv_bed);
}

/* In a child after a fork, where the lock may be held by a thread that is not there. */
static inline void fastconv_forget_sleepers(void)
{
    pthread_mutex_init(&fastconv_bed, NULL);
    pthread_cond_init(&fastconv_bell, NULL);
}

#endif

/* Give the running thread a name for those who list threads. */
static inline void fastconv_name_thread(const char *name)
{
#ifdef __linux__
    prctl(PR_SET_NAME, name, 0, 0, 0);
#elif defined(__APPLE__)
    pthread_setname_np(name);
#else
    (void)name;
#endif
}

/* Start a thread that nobody waits for and that receives no signal; return whether it started. */
static inline int fastconv_start(void *(*run)(void *), void *argument)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int failed;

    if (pthread_attr_init(&attributes))
        return 0;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, &attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return !failed;
}

#endif
