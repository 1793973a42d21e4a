/* park.h — how idle threads sleep and how work wakes them, without a lost wake-up. */
#ifndef JOB_QUEUE_PARK_H
#define JOB_QUEUE_PARK_H

#include "base/assert.h"
#include "base/atomic.h"
#include "base/limits.h"

struct park {
    /* any thread */
    atomic_u32 idlers __attribute__((aligned(CACHE_LINE)));   /* sleepers in the upper half, searchers in the lower */
    atomic_u32 tokens;                                        /* the futex: one for each sleeper that was made a searcher */
    atomic_u64 woken;                                         /* a count */
    /* fixed after init */
    unsigned threads;
};

void park_init(struct park *park, unsigned threads);

/* After work has been made visible: wakes a sleeper if there is one and nobody searches. Any thread. */
void park_notify(struct park *park);

/* For who brings work often and looks again later (park_notify() or park_wake()): wakes a sleeper only if all sleep. Costs a load; without
 * a fence it may miss a thread that is just going to sleep. */
void park_hint(struct park *park);

/* After work has been made visible, by one who will not look again: wakes a sleeper if there is one. Any thread. */
void park_wake(struct park *park);

/* Wakes all: the pool stops. Any thread. */
void park_notify_all(struct park *park);

/* How many threads do not sleep. A hint. */
unsigned park_awake(const struct park *park);

/* A thread without work wants to look into others' queues. True: it is a searcher until park_found() or park_prepare(). False: half of
 * the idle threads search already. */
bool park_search(struct park *park);

/* A searcher has found work. True: it was the last one, and others sleep. Then the caller looks whether there is more work, now and not
 * before this call, and if so calls park_notify(). */
bool park_found(struct park *park);

/* Going to sleep, in this order: prepare; look at every queue; then park_sleep(), or park_cancel() if there was work. */
void park_prepare(struct park *park, bool is_searcher);

/* True: the thread was woken meanwhile and is a searcher now. */
bool park_cancel(struct park *park);

/* Returns as a searcher. */
void park_sleep(struct park *park);

#endif
