/* starved.h — a loop that waits for memory to receive into, and whoever frees and wakes it. */
#ifndef JOB_MEMORY_STARVED_H
#define JOB_MEMORY_STARVED_H

#include "base/atomic.h"
#include "queue/mailbox.h"

struct job_arena;

/* Why a look for a spare slot found none. */
struct shortage {
    uint64_t frees;              /* arena->frees before the look */
    uint64_t refused_bytes;      /* the least that was claimed and refused; UINT64_MAX: bytes were spare, but no slot that would do */
};

/* A loop that needs slots for its receive ring. The mail is posted to the mailbox when there are some. */
struct starved {
    struct job_mail mail;        /* job_deliver is the loop's; it sets is_registered to false first */
    struct mailbox *mailbox;
    size_t bytes;                /* of the slots that it needs */
    struct starved *next;        /* in the arena's list */
    bool is_registered;          /* loop thread */
    struct shortage shortage;    /* of its look before it registered: what was freed later is worth another, or so many spare bytes */
    atomic_u32 is_mailed;        /* since it registered: set by who posts the mail, before */
};

/* Registers a waiter that found no spare slot, and says why. The caller then looks once more, and sleeps only if there is none. Whoever
 * frees posts the mail, once a registration. Loop thread, not registered. */
void arena_starve(struct job_arena *arena, struct starved *waiter, const struct shortage *shortage);

/* The waiter goes: after this no mail of it will be posted. A mail that was posted already is delivered as ever. Loop thread. */
void arena_unstarve(struct job_arena *arena, struct starved *waiter);

/* After anything that may have made memory spare: wakes those who starve. Any thread. */
void arena_wake_starved(struct job_arena *arena);

#endif
