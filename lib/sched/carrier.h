/* carrier.h — threads of a pool that computes, and how one that blocks lets another have its place. */
#ifndef JOB_SCHED_CARRIER_H
#define JOB_SCHED_CARRIER_H

#include <pthread.h>

#include "base/atomic.h"
#include "base/list.h"

struct job_pool;
struct pool_place;
struct stats_line;
struct stats_part;

/* Of a place (struct pool_place). */
enum place_state { PLACE_HELD, PLACE_OFFERED };

struct carrier {
    /* fixed after start */
    struct job_pool *pool;
    pthread_t thread;
    struct stats_line *line;
    struct stats_part *part;
    /* the thread itself */
    struct pool_place *place;     /* NULL: it has lent it, or waits for one */
    struct pool_place *lent;      /* to try to take back */
    unsigned depth;               /* of job_blocking_enter() */
    unsigned floor;               /* of it the calls of outer tasks, while one of an inline pool runs inside another task */
    /* under the lock */
    struct list node;             /* carriers->all */
    struct list spare;            /* carriers->spares, while it waits */
    bool is_gone;                 /* it only has to be joined */
    /* who calls it, under the lock; then the thread */
    struct pool_place *offer;
    atomic_u32 is_called;         /* the futex */
};

struct carriers {
    /* fixed after open */
    unsigned limit;               /* more than there are places */
    /* under the lock */
    pthread_mutex_t lock;
    struct list all;
    struct list spares;
    unsigned count;               /* that are not gone */
    unsigned started;             /* a number for each, for its name */
};

void carriers_init(struct carriers *carriers, unsigned limit);
void carriers_fini(struct carriers *carriers);

/* A thread with that place. 0 or a negative errno. */
int carrier_start(struct job_pool *pool, struct pool_place *place);

/* After is_ending was set: until all have ended. */
void carriers_join(struct job_pool *pool);

/* Its first place: the one that it was started with, or for. */
struct pool_place *carrier_begin(struct carrier *carrier);

/* The next place that was offered to this thread; NULL: it ends. */
struct pool_place *carrier_wait(struct carrier *carrier);

/* After a task: whoever forgot to leave has left. */
void carrier_settle(struct carrier *carrier);

/* Around a task that runs inside another: it leaves only what it has entered itself, and has left when it has ended. Returns what
 * carrier_unnest() wants. */
unsigned carrier_nest(struct carrier *carrier);
void carrier_unnest(struct carrier *carrier, unsigned outer);

/* pool_thread.c: what a carrier runs. */
void *carrier_main(void *arg);

#endif
