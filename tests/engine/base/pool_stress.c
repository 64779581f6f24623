/* The pool by itself, without Python, for stress and for thread sanitizers; see test_pool.py.
 *
 *     pool_stress jobs CALLERS JOBS MOST     random jobs of random callers: each task runs once
 *     pool_stress forks CALLERS JOBS MOST    the same, while the process forks again and again
 *     pool_stress blocked                    the only worker is stuck: others' jobs still end
 *     pool_stress refused                    the system gives no threads
 *     pool_stress widest                     two workers meet in one job, whoever calls them
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pool.h"

enum { TASKS = 300, CALLERS = 64 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static int most_threads; /* no job may use more */
static int computing;    /* tasks that run now */
static int callers;

/* One phase of a job: how often each task has run, and who computes as which thread. */
typedef struct {
    int runs[TASKS];
    int busy[FASTCONV_MOST_THREADS];
    int threads;
} phase_record;

static unsigned next_random(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void count_task(void *context, ptrdiff_t task, int thread)
{
    phase_record *record = context;
    volatile int sum = 0;

    CHECK(thread >= 0 && thread < record->threads);
    CHECK(!__atomic_exchange_n(&record->busy[thread], 1, __ATOMIC_RELAXED));
    CHECK(__atomic_add_fetch(&computing, 1, __ATOMIC_RELAXED) <= callers + most_threads - 1);
    record->runs[task]++; /* not atomic: the pool's order must do */
    for (int i = 0; i < (int)(task * 7919 % 64); i++)
        sum += i;
    __atomic_sub_fetch(&computing, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&record->busy[thread], 0, __ATOMIC_RELAXED);
}

static void random_job(unsigned *state, phase_record *records)
{
    enum { PHASES = 3 };
    int threads = 1 + next_random(state) % most_threads;
    int limit = threads + next_random(state) % (most_threads - threads + 1);
    fastconv_phase phases[PHASES];

    for (int i = 0; i < PHASES; i++) {
        /* Often few tasks, or none. */
        int most = next_random(state) % 2 ? TASKS : 8;

        records[i].threads = threads;
        memset(records[i].runs, 0, sizeof records[i].runs);
        phases[i] = (fastconv_phase){.run = count_task, .context = &records[i]};
        phases[i].tasks = next_random(state) % most;
        phases[i].denormals = next_random(state) % 2;
    }
    fastconv_run(threads, limit, phases, PHASES);
    for (int i = 0; i < PHASES; i++)
        for (int task = 0; task < TASKS; task++)
            CHECK(records[i].runs[task] == (task < phases[i].tasks));
}

static int jobs_each;

static void *call_jobs(void *argument)
{
    unsigned state = (unsigned)(uintptr_t)argument;
    phase_record *records = calloc(3, sizeof *records);

    for (int i = 0; i < jobs_each; i++)
        random_job(&state, records);
    free(records);
    return NULL;
}

static void start_callers(pthread_t *threads, unsigned seed)
{
    for (int i = 0; i < callers; i++)
        CHECK(!pthread_create(&threads[i], NULL, call_jobs, (void *)(uintptr_t)(seed + i)));
}

static void join_callers(pthread_t *threads)
{
    for (int i = 0; i < callers; i++)
        pthread_join(threads[i], NULL);
}

/* Callers come and go, in ten turns. */
static void stress_jobs(void)
{
    pthread_t threads[CALLERS];

    jobs_each = jobs_each / 10 + 1;
    for (unsigned turn = 0; turn < 10; turn++) {
        start_callers(threads, 1000 * turn + 1);
        join_callers(threads);
    }
}

static void stress_forks(void)
{
    pthread_t threads[CALLERS];

    start_callers(threads, 1);
    for (int turn = 0; turn < 20; turn++) {
        int status;
        pid_t child = fork();

        CHECK(child >= 0);
        if (!child) {
            /* The other callers are not here, nor is anybody who could hold a lock. */
            alarm(600);
            computing = 0;
            callers = 1;
            CHECK(FASTCONV_LOAD(&fastconv_pool.workers) == 0);
            jobs_each = 200;
            call_jobs((void *)(uintptr_t)(turn + 7));
            CHECK(most_threads == 1 || FASTCONV_LOAD(&fastconv_pool.workers) > 0);
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    join_callers(threads);
}

static int at_gate, gate_open;

/* Thread 1 is the worker: it waits at the gate; thread 0 helps it in and goes on. */
static void gate_task(void *context, ptrdiff_t task, int thread)
{
    (void)context;
    (void)task;
    if (thread) {
        __atomic_store_n(&at_gate, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&gate_open, __ATOMIC_SEQ_CST))
            usleep(100);
    } else {
        while (!__atomic_load_n(&at_gate, __ATOMIC_SEQ_CST))
            usleep(100);
    }
}

static void *call_gate(void *argument)
{
    fastconv_phase phase = {.run = gate_task, .tasks = 2};

    fastconv_run(2, 2, &phase, 1);
    return argument;
}

static void never_wait_for_who_has_not_begun(void)
{
    phase_record *records = calloc(3, sizeof *records);
    pthread_t other;
    unsigned state = 1;

    most_threads = 2;
    callers = 2;
    CHECK(!pthread_create(&other, NULL, call_gate, NULL));
    while (!__atomic_load_n(&at_gate, __ATOMIC_SEQ_CST))
        usleep(100);
    /* The one worker of two threads is at the gate until these jobs are done. */
    for (int i = 0; i < 1000; i++)
        random_job(&state, records);
    CHECK(FASTCONV_LOAD(&fastconv_pool.workers) == 1);
    __atomic_store_n(&gate_open, 1, __ATOMIC_SEQ_CST);
    pthread_join(other, NULL);
    free(records);
}

static void compute_without_threads(void)
{
    struct rlimit room = {1 << 20, 1 << 20};
    phase_record *records = calloc(3, sizeof *records);
    unsigned state = 1;

    most_threads = 4;
    callers = 1;
    /* There is more in use than that already: no stack can be had. */
    CHECK(!setrlimit(RLIMIT_AS, &room));
    for (int i = 0; i < 1000; i++)
        random_job(&state, records);
    CHECK(fastconv_pool.refused && !fastconv_pool.workers);
    free(records);
}

static int met;

/* Each of three tasks waits for the others: they need three threads. */
static void meet_task(void *context, ptrdiff_t task, int thread)
{
    (void)context;
    (void)task;
    (void)thread;
    __atomic_add_fetch(&met, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&met, __ATOMIC_SEQ_CST) % 3)
        usleep(100);
}

static void all_workers_come(void)
{
    fastconv_phase phases[2] = {{.run = meet_task, .tasks = 3}, {.run = meet_task, .tasks = 3}};

    for (int i = 0; i < 50; i++) {
        fastconv_run(3, 3, phases, 2);
        if (i % 2)
            usleep(2000); /* long enough to fall asleep */
    }
    CHECK(met == 300);
}

int main(int count, char **words)
{
    const char *mode = count > 1 ? words[1] : "";

    CHECK(!fastconv_prepare_pool(50000));
    if (count == 5) {
        callers = atoi(words[2]);
        jobs_each = atoi(words[3]) / callers;
        most_threads = atoi(words[4]);
        CHECK(callers <= CALLERS && most_threads <= FASTCONV_MOST_THREADS);
    }
    if (!strcmp(mode, "jobs") && count == 5)
        stress_jobs();
    else if (!strcmp(mode, "forks") && count == 5)
        stress_forks();
    else if (!strcmp(mode, "blocked"))
        never_wait_for_who_has_not_begun();
    else if (!strcmp(mode, "refused"))
        compute_without_threads();
    else if (!strcmp(mode, "widest"))
        all_workers_come();
    else
        CHECK(!"a mode");
    puts("done");
    return 0;
}
