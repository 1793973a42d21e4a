/* stopped_workers.h — what the tests of stopping and of stuck workers share. */
#ifndef TESTS_UNIT_WORKER_STOPPED_WORKERS_H
#define TESTS_UNIT_WORKER_STOPPED_WORKERS_H

#include <sched.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "workers.h"

/* A worker with a worker that counts in a region. */
static struct job_region *counter;

static inline void blocks_until_told(struct job_inside *inside, struct job_message *start)
{
    (void)start;
    uint32_t value = 0;
    post_value(inside, 1);
    while (value == 0) {   /* a callback that does not return */
        ck_assert_ok(job_region_load32(counter, 0, &value));
        sched_yield();
    }
}

/* What hangs leaves a runtime that cannot be closed, so these run in a child, which says by its exit code what it saw: 0, or the number of
 * the line that was not true. */
#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "line %d: %s\n", __LINE__, #condition);                                                    \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static inline void never(struct job_timer *timer)
{
    (void)timer;
}

#endif
