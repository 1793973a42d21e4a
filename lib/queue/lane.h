/* lane.h — one submitting loop's bounded queue into a pool: one producer, every pool thread a consumer.
 *
 * Full is an answer here (-EAGAIN), and *room* is a mail to the loop. A lane lives as long as its pool's memory, which a loop that uses the
 * lane keeps.
 */
#ifndef JOB_QUEUE_LANE_H
#define JOB_QUEUE_LANE_H

#include "base/limits.h"
#include "base/root.h"
#include "queue/deque.h"
#include "queue/mailbox.h"

struct stats_part;

enum lane_use { LANE_FREE, LANE_USED };

struct lane {
    /* fixed after open */
    void **slots;
    unsigned capacity;
    /* loop thread, while it uses the lane */
    struct mailbox *home;
    struct job_mail room_mail;      /* job_deliver is the loop's */
    void *owner;                    /* the loop's record of this lane */
    /* any thread */
    atomic_u32 use;                 /* enum lane_use */
    atomic_u32 is_room_wanted;      /* set by the loop, taken by the consumer that makes room */
    atomic_u32 is_watched;          /* the loop is awake, and sees to it that what is in here is taken: loop/submit.c */
    struct stats_part *part;        /* the loop's: what it has submitted; here, since is_room_wanted shall not stand beside is_watched */
    struct deque deque;
};

/* capacity: a power of two. NULL: no memory. */
struct lane *lane_open(struct root *root, unsigned capacity);
void lane_free(struct root *root, struct lane *lane);

/* Queues an item; false: full. Loop thread. */
bool lane_push(struct lane *lane, void *item);

/* The oldest item, or NULL; tells the loop when it waits for room and half of the lane is free. Any pool thread. */
void *lane_pop(struct lane *lane);

/* Tasks in it; for the loop an upper bound. Any thread. */
unsigned lane_count(struct lane *lane);

static inline bool lane_is_empty(struct lane *lane)
{
    return lane_count(lane) == 0;
}

/* Has all been taken that any pool thread has seen in it? What there is more stands in the line that the loop writes. Any thread. */
static inline bool lane_looks_empty(const struct lane *lane)
{
    return load_relaxed(&lane->deque.bottom_seen) == load_relaxed(&lane->deque.top);   /* a hint */
}

/* How many went in so far. Any thread. */
static inline uint64_t lane_pushed(struct lane *lane)
{
    return load_relaxed(&lane->deque.bottom);   /* a count; it starts at 0 */
}

/* How many were taken so far. Any thread. */
static inline uint64_t lane_taken(struct lane *lane)
{
    return load_relaxed(&lane->deque.top);   /* a hint */
}

/* Asks for room_mail when half of the lane is free. True: there is room already and no mail will come. Loop thread, no request open. */
bool lane_want_room(struct lane *lane);

#endif
