/* cache.h — the slots and descriptors that one thread keeps for itself. */
#ifndef JOB_MEMORY_CACHE_H
#define JOB_MEMORY_CACHE_H

#include "memory/slot.h"

/* Gives the calling thread a cache for this arena; nests. -ENOMEM. */
int cache_attach(struct job_arena *arena);

/* The last detach returns what the cache holds. */
void cache_detach(struct job_arena *arena);

/* From the calling thread's cache or from the depot, without growing the arena; NULL when both are empty. */
struct slot *cache_take(struct job_arena *arena, unsigned class);
void cache_put(struct slot *slot);

/* From the calling thread's cache alone; NULL: it has none. */
struct slot *cache_take_own(struct job_arena *arena, unsigned class);

/* A descriptor for a further piece of a slot; NULL: no memory. */
struct job_buf *cache_take_descriptor(struct job_arena *arena);
void cache_put_descriptor(struct job_arena *arena, struct job_buf *buf);

#endif
