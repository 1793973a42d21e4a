/* cache.h — the slots and descriptors that one thread keeps for itself, and the loop that waits for memory. */
#ifndef JOB_MEMORY_CACHE_H
#define JOB_MEMORY_CACHE_H

#include "memory/slot.h"
#include "queue/mailbox.h"

/* A loop that needs slots for its receive ring. The mail is posted to the mailbox when there are some. */
struct starved {
    struct job_mail mail;        /* job_deliver is the loop's; it sets is_registered to false first */
    struct mailbox *mailbox;
    size_t bytes;                /* of the slots that it needs */
    struct starved *next;        /* in the arena's list */
    bool is_registered;          /* loop thread */
    atomic_u32 is_mailed;        /* since it registered: set by who posts the mail, before */
};

/* Gives the calling thread a cache for this arena; nests. -ENOMEM. */
int cache_attach(struct job_arena *arena);

/* The last detach returns what the cache holds. */
void cache_detach(struct job_arena *arena);

/* From the calling thread's cache or from the depot, without growing the arena; NULL when both are empty. */
struct slot *cache_take(struct job_arena *arena, unsigned class);
void cache_put(struct slot *slot);

/* A descriptor for a further piece of a slot; NULL: no memory. */
struct job_buf *cache_take_descriptor(struct job_arena *arena);
void cache_put_descriptor(struct job_arena *arena, struct job_buf *buf);

/* Registers a waiter that found no spare slot; the caller then tries once more to take one, and sleeps only if there is none.
 * Whoever frees posts the mail, once a registration. Loop thread, not registered. */
void arena_starve(struct job_arena *arena, struct starved *waiter);

/* The waiter goes: after this no mail of it will be posted. A mail that was posted already is delivered as ever. Loop thread. */
void arena_unstarve(struct job_arena *arena, struct starved *waiter);

/* After anything that may have made memory spare: wakes those who starve. Any thread. */
void arena_wake_starved(struct job_arena *arena);

#endif
