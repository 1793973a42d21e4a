/* timers.h — a loop and what its timers have told: shared by the tests of timers. */
#ifndef TESTS_UNIT_LOOP_TIMERS_H
#define TESTS_UNIT_LOOP_TIMERS_H

#include "base/bits.h"
#include "base/limits.h"
#include "base/root.h"
#include "loop/deadline.h"
#include "support/fixture.h"

struct probe {
    struct job_timer timer;
    uint64_t due_ns, fired_ns;
    unsigned fired, closed;
    unsigned *sequence, position;
};

static struct job_runtime *runtime;
static struct job_loop *loop;

static inline uint64_t due_of(const struct probe *probe)
{
    return ((const struct deadline *)probe->timer.job_deadline)->at_ns;
}

static inline void teardown(void)
{
    ck_assert_int_eq(job_loop_close(&loop, 0), 0);
    fixture_close(runtime);
}

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

static inline void fired(struct job_timer *timer)
{
    struct probe *probe = job_container_of(timer, struct probe, timer);
    probe->fired++;
    probe->fired_ns = now_ns();
    if (probe->sequence)
        probe->position = (*probe->sequence)++;
}

static inline void closed(struct job_timer *timer)
{
    job_container_of(timer, struct probe, timer)->closed++;
}

#endif
