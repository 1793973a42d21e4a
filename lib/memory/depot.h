/* depot.h — the free slots of one size class of an arena, last in, first out. Any thread. */
#ifndef JOB_MEMORY_DEPOT_H
#define JOB_MEMORY_DEPOT_H

#include "base/atomic.h"
#include "base/limits.h"

struct job_arena;
struct slot;

struct depot {
    atomic_u64 head;   /* a tag in the upper half, index + 1 of the first in the lower */
} __attribute__((aligned(CACHE_LINE)));

/* Of the class of the slots, which are linked by next, first on top. */
void depot_push(struct job_arena *arena, struct slot *first, struct slot *last);

/* Returns how many; beyond these, `slots` is scratch: a lost race leaves slots there that are not the caller's. */
unsigned depot_pop(struct job_arena *arena, unsigned class, struct slot **slots, unsigned max);

/* All of it, linked by next; NULL: empty. */
struct slot *depot_take_all(struct job_arena *arena, unsigned class);

#endif
