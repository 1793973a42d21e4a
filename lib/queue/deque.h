/* deque.h — a bounded work-stealing deque: the owner pushes and takes at the bottom, thieves at the top.
 *
 * A pool thread's own tasks are in one; a loop's lane is one whose owner never takes.
 */
#ifndef JOB_QUEUE_DEQUE_H
#define JOB_QUEUE_DEQUE_H

#include "base/assert.h"
#include "base/atomic.h"
#include "base/limits.h"

struct deque {
    /* fixed after init: not beside what is written, since thieves read it at every look */
    void **slots __attribute__((aligned(CACHE_LINE)));   /* atomic */
    uint64_t mask;
    /* any thread */
    atomic_u64 top __attribute__((aligned(CACHE_LINE)));
    atomic_u64 bottom_seen;   /* deque_poll(): bottom was there once */
    /* the owner's; thieves read bottom */
    atomic_u64 bottom __attribute__((aligned(CACHE_LINE)));
    uint64_t top_seen;        /* top was there once; it only grows */
};

/* slots: memory for `length` of them, a power of two. start: where the indices begin; tests begin near the end. */
void deque_init(struct deque *deque, void **slots, uint64_t length, uint64_t start);

/* False: full. Owner. */
bool deque_push(struct deque *deque, void *item);

/* The newest, or NULL. Owner. */
void *deque_take(struct deque *deque);

/* The oldest, or NULL: empty. Any thread. */
void *deque_steal(struct deque *deque);

/* As deque_steal(), for a deque whose owner never takes: bottom only grows then, and a thief reads it, which the owner writes at every
 * push, only when it has come to the last one that any thief saw. */
void *deque_poll(struct deque *deque);

/* How many items there are, or were a moment ago. Any thread; for the owner it is an upper bound. */
uint64_t deque_count(struct deque *deque);

static inline bool deque_is_empty(struct deque *deque)
{
    return deque_count(deque) == 0;
}

#endif
