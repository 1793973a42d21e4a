/* inbox.h — a mailbox with a limit, whose owner may change, and which can be closed: what one end of a channel receives.
 *
 * Many threads push, one takes. The owner sleeps under a name of its own (struct inbox_sleeper), so that whoever wakes it needs nothing of
 * the inbox any more, which may belong to another thread by then. What waits is counted; who is refused waits for room.
 */
#ifndef JOB_QUEUE_INBOX_H
#define JOB_QUEUE_INBOX_H

#include <pthread.h>

#include "base/atomic.h"
#include "base/limits.h"
#include "base/list.h"
#include "queue/mailbox.h"

struct inbox_node {
    struct inbox_node *next;
};

/* What was taken together, newest first, while its order is turned round. */
struct inbox_turning {
    struct inbox_node *rest;    /* still newest first; older than all that has been turned */
    struct inbox_node *first;   /* turned: oldest first */
};

/* Who sleeps, and how it is woken: once, by whoever pushes first. */
struct inbox_sleeper {
    void (*wake)(struct inbox_sleeper *sleeper);
};

/* A sender that was refused. The mail is posted once to the mailbox, when there is room, or when the inbox was closed. */
struct inbox_waiter {
    struct list node;            /* under the lock */
    struct job_mail mail;        /* job_deliver is the sender's */
    struct mailbox *mailbox;
    uint64_t bytes;              /* what it wants to push */
};

struct inbox {
    /* any thread */
    uintptr_t head __attribute__((aligned(CACHE_LINE)));   /* atomic; see inbox.c */
    atomic_u64 own_used;
    atomic_u32 has_waiters;
    /* fixed after init */
    uint32_t limit_messages;
    uint64_t limit_bytes;
    atomic_u64 *used;            /* messages in the upper bits, bytes in the lower: own_used, or where others can see it */
    /* under the lock: only who was refused, and who then makes room */
    pthread_mutex_t lock;
    struct list waiters;
};

enum { INBOX_BYTES_BITS = 40 };   /* of `used`: 1 TiB, and 2^24 messages */

/* `used`: a zero word to count in, as long as the inbox lives; NULL: one of its own. */
void inbox_init(struct inbox *inbox, uint32_t limit_messages, uint64_t limit_bytes, atomic_u64 *used);
void inbox_fini(struct inbox *inbox);

/* Takes room for one message. 0; -EAGAIN: the limit; -EMSGSIZE: it never fits; -EPIPE: closed. Any thread. */
int inbox_claim(struct inbox *inbox, uint64_t bytes);

/* Takes the room of one message without bytes, also beyond the limit: for what its receiver has limited in another way. 0, or -EPIPE. */
int inbox_claim_beyond(struct inbox *inbox);

/* Gives room back, and wakes who waits for it. The owner, or who claimed and did not push. */
void inbox_release(struct inbox *inbox, uint32_t messages, uint64_t bytes);

/* Pushes a node, and wakes the owner if it sleeps. False: closed, and the node is still the caller's. Any thread. */
bool inbox_push(struct inbox *inbox, struct inbox_node *node);

/* Registers a sender that was refused. Its mail comes, perhaps at once. The sender's thread. */
void inbox_wait(struct inbox *inbox, struct inbox_waiter *waiter);

/* Ends the wait. False: the mail is posted already, and has still to be delivered. The sender's thread. */
bool inbox_unwait(struct inbox *inbox, struct inbox_waiter *waiter);

/* Takes all, newest first; NULL: nothing. The owner, which is not armed. */
struct inbox_node *inbox_take(struct inbox *inbox);

/* Turns at most so many of turning->rest round. True: all are, from `first` on. */
bool inbox_turn(struct inbox_turning *turning, size_t most);

/* The owner will sleep; the next one who pushes calls sleeper->wake. False: there is something, or it is closed. */
bool inbox_arm(struct inbox *inbox, struct inbox_sleeper *sleeper);

/* The owner does not sleep any more. False: somebody pushed, and `wake` is called, or soon will be. */
bool inbox_disarm(struct inbox *inbox, struct inbox_sleeper *sleeper);

/* Nothing is pushed after this; takes what is there, newest first. *was_armed: the sleeper was still there, and nobody will wake it.
 * The owner. */
struct inbox_node *inbox_close(struct inbox *inbox, bool *was_armed);

bool inbox_is_closed(const struct inbox *inbox);

/* What waits: for statistics. Any thread. */
uint32_t inbox_messages(const struct inbox *inbox);
uint64_t inbox_bytes(const struct inbox *inbox);

#endif
