/* region_waits.h — cells that threads and tasks wait for: shared by the tests of waits. */
#ifndef TESTS_UNIT_LOOP_REGION_WAITS_H
#define TESTS_UNIT_LOOP_REGION_WAITS_H

#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "support/fixture.h"

enum { THREADS = 8, CELL = 16, OTHER = 24, READY = 32 };

static struct job_runtime *runtime;
static struct job_loop *loop;
static struct job_region *region;

static inline void setup(void)
{
    runtime = fixture_runtime();
    ck_assert_ok(job_loop_open(runtime, &loop, NULL));
    ck_assert_ok(job_region_open(runtime, 4096, &region));
}

static inline void teardown(void)
{
    job_region_release(&region);
    ck_assert_ok(job_loop_close(&loop, 0));
    fixture_close(runtime);
}

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

/* Until the thread sleeps in the kernel: then it is in the queue, since it has nothing else to sleep for. */
static inline void await_sleeping(const int *where)
{
    char path[64], text[512];
    int tid;
    while ((tid = __atomic_load_n(where, __ATOMIC_ACQUIRE)) == 0)
        sched_yield();
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    for (;;) {
        FILE *file = fopen(path, "r");
        ck_assert_ptr_nonnull(file);
        ck_assert_ptr_nonnull(fgets(text, sizeof text, file));
        fclose(file);
        const char *state = strrchr(text, ')');
        if (state && state[2] == 'S')
            return;
        sched_yield();
    }
}

#endif
