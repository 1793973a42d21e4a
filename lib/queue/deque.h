/* deque.h — a bounded work-stealing deque: the owner pushes and takes at the bottom, thieves at the top. */
#ifndef JOB_QUEUE_DEQUE_H
#define JOB_QUEUE_DEQUE_H

#include "base/assert.h"
#include "base/atomic.h"
#include "base/limits.h"

struct deque {
    /* any thread */
    atomic_u64 top __attribute__((aligned(CACHE_LINE)));
    /* written by the owner */
    atomic_u64 bottom __attribute__((aligned(CACHE_LINE)));
    void *slots[DEQUE_LENGTH];   /* atomic */
};

void deque_init(struct deque *deque, uint64_t start);

/* False: full. Owner. */
bool deque_push(struct deque *deque, void *item);

/* The newest, or NULL. Owner. */
void *deque_take(struct deque *deque);

/* The oldest, or NULL: empty, or another thief was faster. Any thread. */
void *deque_steal(struct deque *deque);

/* A look before sleeping. Any thread. */
bool deque_is_empty(struct deque *deque);

#endif
