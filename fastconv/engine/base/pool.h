/* Threads that share the tasks of calls, and are never waited for before they have begun one.
 *
 * A call is a job: loops over tasks (phases), one after the other. The caller publishes it and does
 * the tasks itself; workers that are awake, or get a core, join and take tasks too. The caller
 * returns when all tasks are done. It waits for tasks that a worker has begun, never for a worker
 * that has not come: on a busy machine a call costs its share of a core and no more.
 *
 *     caller   publish | own share, then others' | wait for tasks in work | next phase ... | close
 *     worker           | join: own share, then others'    | spin          | next phase ... | leave
 *
 * A worker that has left looks for other jobs for some microseconds, then it sleeps.
 *
 * Each thread of a job has a share of a phase's tasks, side by side, and takes from its front; who
 * has none left takes from the ends of the others' shares. So a thread finds what it had in its
 * caches call after call, as long as all come in time.
 *
 * Any number of callers publish at once. All is done by single atomic steps on words of a job that
 * is never freed; the only lock is around the start of a worker. A worker that comes late to a job
 * finds it closed, or another one in its place, which it may as well join.
 *
 * Worker number w serves callers that may use more than w + 1 threads, so that the callers of a
 * process that may use n have n - 1 workers in all.
 *
 * R. Blumofe and C. Leiserson, "Scheduling multithreaded computations by work stealing", 1999. */
#ifndef FASTCONV_POOL_H
#define FASTCONV_POOL_H

#include <stdlib.h>

#include "base/denormals.h"
#include "base/phase.h"
#include "base/system.h"

enum {
    FASTCONV_MOST_THREADS = 1024,
    FASTCONV_JOBS = 64, /* at once; a caller beyond them computes alone */
    FASTCONV_CACHE_LINE = 64,
    /* Looks at a word between two looks at the clock. */
    FASTCONV_LOOKS = 16,
    /* Sleepers that one thread wakes for a job; each of them wakes as many if there is more to do. */
    FASTCONV_CALLS = 3,
};

/* A share of a phase's tasks that nobody has taken yet. */
typedef struct {
    uint64_t left;  /* the first one and the one past the last, of 32 bits each */
    uint32_t taken; /* whether a worker computes as this thread */
} __attribute__((aligned(FASTCONV_CACHE_LINE))) fastconv_share;

/* A job's state is one word, so that a worker joins the job that it has looked at or none. */
#define FASTCONV_MEMBERS 0xFFFFull         /* workers that have joined and not left */
#define FASTCONV_ONE_TURN (1ull << 48)     /* counts the jobs that were published here */
#define FASTCONV_OPEN (1ull << 62)         /* workers may join */
#define FASTCONV_OWNED (1ull << 63)        /* a caller has it */
static inline int fastconv_helpers(uint64_t state) { return state >> 16 & 0xFFFF; }
static inline int fastconv_limit(uint64_t state) { return state >> 32 & 0xFFFF; }

typedef struct {
    uint64_t state;
    uint32_t round; /* changes when a phase begins and when the job ends */
    int32_t calls;  /* workers that are still to be woken */
    /* The phase: written while nobody can have taken a task of it, read by who has. */
    fastconv_phase phase __attribute__((aligned(FASTCONV_CACHE_LINE)));
    ptrdiff_t bunch; /* tasks are taken so many at a time, for 32 bits to count them */
    uint32_t bunches;
    /* Bunches that are done, and whether the caller sleeps until all are. */
    uint32_t done __attribute__((aligned(FASTCONV_CACHE_LINE)));
    uint32_t waiting;
    fastconv_share shares[FASTCONV_MOST_THREADS];
} fastconv_job;

enum { FASTCONV_COMPUTING, FASTCONV_SPINNING, FASTCONV_SLEEPING };

typedef struct {
    uint32_t state;
} __attribute__((aligned(FASTCONV_CACHE_LINE))) fastconv_worker;

static struct {
    /* Changes when a job is published. */
    uint32_t epoch __attribute__((aligned(FASTCONV_CACHE_LINE)));
    /* Until when another process is thought to want our cores: a time of the clock. */
    int64_t busy_until;
    /* A bit for each job that is open. */
    uint64_t open __attribute__((aligned(FASTCONV_CACHE_LINE)));
    /* Workers that were started, and whether the system refused one: then it is asked no more. */
    int workers __attribute__((aligned(FASTCONV_CACHE_LINE)));
    int refused;
    int64_t spin; /* nanoseconds that a worker without work stays awake */
} fastconv_pool;

/* GOMP_parallel and omp_get_thread_num of an OpenMP library that is in the process, or NULL. Its
 * threads stay awake for milliseconds after each of its loops and have the cores then: where calls of
 * that library and of ours follow each other, its team serves our callers, too, and no worker is
 * called. It has to come, and is waited for, as in the library's own loops. */
static struct {
    void (*parallel)(void (*run)(void *), void *argument, unsigned threads, unsigned flags);
    int (*number)(void);
} fastconv_team;

/* By this symbol threadpoolctl finds the module (fastconv.adapters.threadpoolctl). */
__attribute__((visibility("default"))) extern const int fastconv_pool_marker;
const int fastconv_pool_marker = 1;

static fastconv_worker fastconv_workers[FASTCONV_MOST_THREADS];
static fastconv_job fastconv_jobs[FASTCONV_JOBS];
static pthread_mutex_t fastconv_starting = PTHREAD_MUTEX_INITIALIZER;

/* Two looks at the clock in a loop that does nothing else lie this far apart, in nanoseconds, only
 * if somebody else had the core in between. */
#define FASTCONV_GAP 500000
/* How long one such gap is remembered. */
#define FASTCONV_BUSY 50000000

#define FASTCONV_LOAD(word) __atomic_load_n(word, __ATOMIC_SEQ_CST)
#define FASTCONV_PEEK(word) __atomic_load_n(word, __ATOMIC_ACQUIRE)

/* ---- Tasks ---- */

/* Take the first or the last bunch of a share; return whether there was one. */
static inline int fastconv_claim(fastconv_share *share, int last, uint32_t *bunch)
{
    uint64_t left = FASTCONV_PEEK(&share->left);

    for (;;) {
        uint32_t first = (uint32_t)left, end = (uint32_t)(left >> 32);
        uint64_t rest;

        if (first >= end)
            return 0;
        *bunch = last ? end - 1 : first;
        rest = last ? left - (1ull << 32) : left + 1;
        if (__atomic_compare_exchange_n(&share->left, &left, rest, 1, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return 1;
    }
}

/* Do tasks of the present phase until none can be taken; return how many bunches. */
static uint32_t fastconv_do_tasks(fastconv_job *job, int thread, int threads)
{
    uint32_t done = 0, bunch;
    unsigned long saved = 0;
    int flushed = 0;

    for (int i = 0; i < threads; i++) {
        int victim = thread + i < threads ? thread + i : thread + i - threads;

        while (fastconv_claim(&job->shares[victim], i > 0, &bunch)) {
            /* The phase cannot end before this task: only now it may be read. */
            const fastconv_phase *phase = &job->phase;
            ptrdiff_t task = bunch * job->bunch, end = task + job->bunch;

            if (end > phase->tasks)
                end = phase->tasks;
            if (!flushed && !phase->denormals) {
                saved = fastconv_flush_denormals();
                flushed = 1;
            }
            for (; task < end; task++)
                phase->run(phase->context, task, thread);
            done++;
        }
    }
    if (flushed)
        fastconv_restore_denormals(saved);
    return done;
}

/* ---- Workers ---- */

/* Look at a word until it is not `value` or the time has come; return whether it has changed. */
static int fastconv_spin(uint32_t *word, uint32_t value, int64_t end)
{
    int64_t before = fastconv_now();

    while (before < end) {
        int64_t now;

        for (int i = 0; i < FASTCONV_LOOKS; i++) {
            if (FASTCONV_LOAD(word) != value)
                return 1;
            fastconv_pause();
        }
        now = fastconv_now();
        if (now - before > FASTCONV_GAP) {
            __atomic_store_n(&fastconv_pool.busy_until, now + FASTCONV_BUSY, __ATOMIC_RELAXED);
            break;
        }
        before = now;
    }
    return FASTCONV_LOAD(word) != value;
}

/* Until when it pays to stay awake without work. */
static int64_t fastconv_patience(void)
{
    int64_t now = fastconv_now();

    if (now < __atomic_load_n(&fastconv_pool.busy_until, __ATOMIC_RELAXED))
        return now;
    return now + __atomic_load_n(&fastconv_pool.spin, __ATOMIC_RELAXED);
}

/* Tell whether a worker may join a job of this state. */
static inline int fastconv_wants(uint64_t state, int worker)
{
    return state & FASTCONV_OPEN && (int)(state & FASTCONV_MEMBERS) < fastconv_helpers(state) &&
           worker < fastconv_limit(state) - 1;
}

/* Return a job that wants a worker and is not at the round in which it had no task for it, or NULL. */
static fastconv_job *fastconv_find(int worker, const uint32_t *spent)
{
    for (uint64_t open = FASTCONV_LOAD(&fastconv_pool.open); open; open &= open - 1) {
        int number = __builtin_ctzll(open);
        fastconv_job *job = &fastconv_jobs[number];

        if (fastconv_wants(FASTCONV_LOAD(&job->state), worker) &&
            FASTCONV_LOAD(&job->round) != spent[number])
            return job;
    }
    return NULL;
}

/* Join a job as one of its threads; return which one, or 0: it does not want the worker any more. */
static int fastconv_join(fastconv_job *job, int worker, int *threads)
{
    uint64_t state = FASTCONV_LOAD(&job->state);
    int helpers, thread;

    do {
        if (!fastconv_wants(state, worker))
            return 0;
    } while (!__atomic_compare_exchange_n(&job->state, &state, state + 1, 1, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    /* There are as many places as members: one is free. */
    helpers = fastconv_helpers(state);
    thread = worker < helpers ? worker + 1 : 1;
    while (__atomic_exchange_n(&job->shares[thread].taken, 1, __ATOMIC_ACQ_REL))
        thread = thread < helpers ? thread + 1 : 1;
    *threads = helpers + 1;
    return thread;
}

static void fastconv_leave(fastconv_job *job, int thread)
{
    __atomic_store_n(&job->shares[thread].taken, 0, __ATOMIC_RELEASE);
    __atomic_sub_fetch(&job->state, 1, __ATOMIC_SEQ_CST);
}

static void fastconv_call(fastconv_job *job, int limit);

/* Join a job and do tasks of it, as long as it has any; note the round in which it had none. */
static void fastconv_serve(fastconv_job *job, int worker, uint32_t *spent)
{
    int threads, thread = fastconv_join(job, worker, &threads);
    uint32_t round, done, bunches;

    if (!thread)
        return;
    fastconv_call(job, fastconv_limit(FASTCONV_LOAD(&job->state)));
    do {
        round = FASTCONV_LOAD(&job->round);
        done = fastconv_do_tasks(job, thread, threads);
        if (done) {
            /* The phase cannot end before these are counted. */
            bunches = job->bunches;
            if (__atomic_add_fetch(&job->done, done, __ATOMIC_SEQ_CST) == bunches &&
                __atomic_exchange_n(&job->waiting, 0, __ATOMIC_SEQ_CST))
                fastconv_wake(&job->waiting);
        }
    } while (FASTCONV_LOAD(&job->state) & FASTCONV_OPEN &&
             fastconv_spin(&job->round, round, fastconv_patience()));
    spent[job - fastconv_jobs] = round;
    fastconv_leave(job, thread);
}

static void *fastconv_work(void *argument)
{
    int worker = (int)(intptr_t)argument;
    uint32_t *state = &fastconv_workers[worker].state, spent[FASTCONV_JOBS] = {0};

    fastconv_name_thread("fastconv");
    for (;;) {
        int64_t end = fastconv_patience();
        fastconv_job *job;
        uint32_t epoch;

        __atomic_store_n(state, FASTCONV_SPINNING, __ATOMIC_SEQ_CST);
        do {
            epoch = FASTCONV_LOAD(&fastconv_pool.epoch);
            job = fastconv_find(worker, spent);
        } while (!job && fastconv_spin(&fastconv_pool.epoch, epoch, end));
        if (!job) {
            /* Who opens a job looks for sleepers after it; a sleeper looks for jobs after it has
             * said that it sleeps: one of them sees the other. */
            __atomic_store_n(state, FASTCONV_SLEEPING, __ATOMIC_SEQ_CST);
            job = fastconv_find(worker, spent);
            while (!job && FASTCONV_LOAD(state) == FASTCONV_SLEEPING)
                fastconv_sleep_while(state, FASTCONV_SLEEPING);
        }
        __atomic_store_n(state, FASTCONV_COMPUTING, __ATOMIC_SEQ_CST);
        if (job)
            fastconv_serve(job, worker, spent);
    }
    return NULL;
}

/* Have one more worker, for a caller that may use `limit` threads; return whether there is. */
static int fastconv_hire(int limit)
{
    int hired = 0, number;

    if (FASTCONV_LOAD(&fastconv_pool.workers) >= limit - 1 || FASTCONV_LOAD(&fastconv_pool.refused))
        return 0;
    pthread_mutex_lock(&fastconv_starting);
    number = fastconv_pool.workers;
    if (number < limit - 1) {
        hired = fastconv_start(fastconv_work, (void *)(intptr_t)number);
        if (hired)
            __atomic_store_n(&fastconv_pool.workers, number + 1, __ATOMIC_SEQ_CST);
        else
            __atomic_store_n(&fastconv_pool.refused, 1, __ATOMIC_SEQ_CST);
    }
    pthread_mutex_unlock(&fastconv_starting);
    return hired;
}

/* Take one of the calls that a job has left; return whether there was one. */
static inline int fastconv_take_call(fastconv_job *job)
{
    int32_t left = __atomic_load_n(&job->calls, __ATOMIC_RELAXED);

    while (left > 0)
        if (__atomic_compare_exchange_n(&job->calls, &left, left - 1, 1, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return 1;
    return 0;
}

/* Wake some workers for a job, or have new ones. */
static void fastconv_call(fastconv_job *job, int limit)
{
    int workers = FASTCONV_LOAD(&fastconv_pool.workers), most = FASTCONV_CALLS;

    if (workers > limit - 1)
        workers = limit - 1;
    for (int w = 0; w < workers && most; w++) {
        uint32_t sleeping = FASTCONV_SLEEPING;

        if (__atomic_load_n(&job->calls, __ATOMIC_RELAXED) <= 0)
            return;
        if (FASTCONV_LOAD(&fastconv_workers[w].state) != FASTCONV_SLEEPING ||
            !fastconv_take_call(job))
            continue;
        if (__atomic_compare_exchange_n(&fastconv_workers[w].state, &sleeping, FASTCONV_COMPUTING,
                                        0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            fastconv_wake(&fastconv_workers[w].state);
            most--;
        }
    }
    for (; most && workers < limit - 1 && fastconv_take_call(job); most--)
        if (!fastconv_hire(limit))
            return;
}

/* ---- Callers ---- */

/* Return a job for a caller, or NULL: there are too many. */
static fastconv_job *fastconv_own(void)
{
    for (int i = 0; i < FASTCONV_JOBS; i++) {
        fastconv_job *job = &fastconv_jobs[i];
        uint64_t state = FASTCONV_LOAD(&job->state);

        /* One that a worker has not left yet stays as it is: it is not waited for. */
        if (!(state & (FASTCONV_OWNED | FASTCONV_MEMBERS)) &&
            __atomic_compare_exchange_n(&job->state, &state, state | FASTCONV_OWNED, 0,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            return job;
    }
    return NULL;
}

/* Let the workers have a phase. */
static void fastconv_begin(fastconv_job *job, const fastconv_phase *phase, int threads)
{
    uint64_t bunches;

    job->phase = *phase;
    job->bunch = phase->tasks / UINT32_MAX + 1;
    bunches = (phase->tasks + job->bunch - 1) / job->bunch;
    job->bunches = (uint32_t)bunches;
    __atomic_store_n(&job->done, 0, __ATOMIC_RELAXED);
    for (int i = 0; i < threads; i++)
        __atomic_store_n(&job->shares[i].left,
                         bunches * (i + 1) / threads << 32 | bunches * i / threads,
                         __ATOMIC_RELEASE);
    __atomic_add_fetch(&job->round, 1, __ATOMIC_SEQ_CST);
}

/* Let workers join a job; return its state. */
static uint64_t fastconv_open(fastconv_job *job, int threads, int limit)
{
    uint64_t state = FASTCONV_LOAD(&job->state);

    state = (state + FASTCONV_ONE_TURN) & ~FASTCONV_OPEN & ~0xFFFFFFFFFFFFull;
    state |= FASTCONV_OPEN | FASTCONV_OWNED | (uint64_t)limit << 32 | (uint64_t)(threads - 1) << 16;
    __atomic_store_n(&job->calls, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&job->state, state, __ATOMIC_SEQ_CST);
    __atomic_or_fetch(&fastconv_pool.open, 1ull << (job - fastconv_jobs), __ATOMIC_SEQ_CST);
    return state;
}

/* Let workers know of a phase, and call as many as it wants and the job does not have. */
static void fastconv_publish(fastconv_job *job, int threads, int limit)
{
    uint64_t state = FASTCONV_LOAD(&job->state);
    int wanted = threads - 1, callers, workers;

    if (job->bunches <= (uint32_t)wanted)
        wanted = (int)job->bunches - 1;
    if (!(state & FASTCONV_OPEN))
        fastconv_open(job, threads, limit);
    else
        wanted -= (int)(state & FASTCONV_MEMBERS);
    if (wanted <= 0 || FASTCONV_LOAD(&fastconv_team.parallel))
        return;
    __atomic_add_fetch(&fastconv_pool.epoch, 1, __ATOMIC_SEQ_CST);
    /* Other callers compute as well: with them no more than the limit. */
    callers = __builtin_popcountll(FASTCONV_LOAD(&fastconv_pool.open));
    if (wanted > limit - callers)
        wanted = limit - callers;
    workers = FASTCONV_LOAD(&fastconv_pool.workers);
    for (int w = 0; w < workers && w < limit - 1 && wanted > 0; w++)
        wanted -= FASTCONV_LOAD(&fastconv_workers[w].state) == FASTCONV_SPINNING;
    __atomic_store_n(&job->calls, wanted, __ATOMIC_RELAXED);
    if (wanted > 0)
        fastconv_call(job, limit);
}

/* Wait for the tasks that workers are at. */
static void fastconv_finish(fastconv_job *job)
{
    int64_t end = fastconv_patience();

    for (int looks = 1; FASTCONV_PEEK(&job->done) != job->bunches; looks++) {
        fastconv_pause();
        if (looks % FASTCONV_LOOKS || fastconv_now() < end)
            continue;
        __atomic_store_n(&job->waiting, 1, __ATOMIC_SEQ_CST);
        while (FASTCONV_LOAD(&job->done) != job->bunches && FASTCONV_LOAD(&job->waiting))
            fastconv_sleep_while(&job->waiting, 1);
        __atomic_store_n(&job->waiting, 0, __ATOMIC_SEQ_CST);
    }
}

static void fastconv_alone(const fastconv_phase *phase)
{
    unsigned long saved = phase->denormals ? 0 : fastconv_flush_denormals();

    for (ptrdiff_t task = 0; task < phase->tasks; task++)
        phase->run(phase->context, task, 0);
    if (!phase->denormals)
        fastconv_restore_denormals(saved);
}

/* Run phases one after the other in a job, the caller as its thread 0, and close it. */
static void fastconv_run_job(fastconv_job *job, int threads, int limit,
                             const fastconv_phase *phases, ptrdiff_t count)
{
    for (ptrdiff_t i = 0; i < count; i++) {
        uint32_t done;

        if (phases[i].tasks <= 1) {
            fastconv_alone(&phases[i]);
            continue;
        }
        fastconv_begin(job, &phases[i], threads);
        fastconv_publish(job, threads, limit);
        done = fastconv_do_tasks(job, 0, threads);
        if (__atomic_add_fetch(&job->done, done, __ATOMIC_SEQ_CST) != job->bunches)
            fastconv_finish(job);
    }
    __atomic_and_fetch(&fastconv_pool.open, ~(1ull << (job - fastconv_jobs)), __ATOMIC_SEQ_CST);
    __atomic_and_fetch(&job->state, ~(FASTCONV_OPEN | FASTCONV_OWNED), __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&job->round, 1, __ATOMIC_SEQ_CST);
}

/* ---- The team of another library ---- */

typedef struct {
    fastconv_job *job;
    uint64_t turn;
    int threads, limit;
    const fastconv_phase *phases;
    ptrdiff_t count;
} fastconv_region;

/* What each thread of the team does: the one that called is the caller, the others serve it. */
static void fastconv_member(void *argument)
{
    fastconv_region *region = argument;
    fastconv_job *job = region->job;
    int number = fastconv_team.number();
    uint32_t spent[FASTCONV_JOBS];

    if (!number) {
        fastconv_run_job(job, region->threads, region->limit, region->phases, region->count);
        return;
    }
    /* It waits for its caller alone, as its library would have it do. */
    while (number < region->threads) {
        uint64_t state = FASTCONV_LOAD(&job->state);

        if ((state ^ region->turn) / FASTCONV_ONE_TURN)
            return;
        fastconv_serve(job, number - 1, spent);
    }
}

/* Run phases one after the other on at most `threads` threads; in all callers that call with this
 * `limit` or a lower one have less than `limit` workers. */
static void fastconv_run(int threads, int limit, const fastconv_phase *phases, ptrdiff_t count)
{
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned) =
        FASTCONV_LOAD(&fastconv_team.parallel);
    fastconv_job *job = NULL;
    ptrdiff_t most = 0;

    for (ptrdiff_t i = 0; i < count; i++)
        if (phases[i].tasks > most)
            most = phases[i].tasks;
    if (threads > most)
        threads = (int)most;
    if (threads > 1)
        job = fastconv_own();
    if (!job) {
        for (ptrdiff_t i = 0; i < count; i++)
            fastconv_alone(&phases[i]);
    } else if (parallel) {
        fastconv_region region = {job, 0, threads, limit, phases, count};

        region.turn = fastconv_open(job, threads, limit);
        parallel(fastconv_member, &region, 0, 0);
    } else {
        fastconv_run_job(job, threads, limit, phases, count);
    }
}

/* ---- Processes ---- */

/* A child after a fork has only the thread that forked: it begins anew. */
static void fastconv_forget(void)
{
    /* Nor does another library's team survive a fork. */
    fastconv_team.parallel = NULL;
    fastconv_pool.open = 0;
    fastconv_pool.workers = 0;
    fastconv_pool.refused = 0;
    for (int i = 0; i < FASTCONV_JOBS; i++) {
        /* A job that was never published is not touched: its pages are not there. */
        if (!fastconv_jobs[i].round)
            break;
        fastconv_jobs[i].state = 0;
        for (int j = 0; j < FASTCONV_MOST_THREADS; j++)
            fastconv_jobs[i].shares[j] = (fastconv_share){0, 0};
    }
    pthread_mutex_init(&fastconv_starting, NULL);
    fastconv_forget_sleepers();
}

/* Set how long workers spin, and care for forks; return 0, or an error of the system. */
static int fastconv_prepare_pool(int64_t spin)
{
    fastconv_pool.spin = spin;
    return pthread_atfork(NULL, NULL, fastconv_forget);
}

/* Have another library's team in place of the pool's workers; NULL and NULL: no longer. */
static inline void fastconv_borrow_team(void *parallel, void *number)
{
    /* A caller that is in a loop of the team may still ask for its number. */
    if (number)
        __atomic_store_n((void **)&fastconv_team.number, number, __ATOMIC_SEQ_CST);
    __atomic_store_n((void **)&fastconv_team.parallel, parallel, __ATOMIC_SEQ_CST);
}

#endif
