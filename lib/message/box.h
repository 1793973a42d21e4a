/* box.h — what one end of a channel receives into: an inbox, and the memory of the messages in it.
 *
 * A box has one owner, the end that receives, and any number of senders. It lives until all of them have let go.
 */
#ifndef JOB_MESSAGE_BOX_H
#define JOB_MESSAGE_BOX_H

#include "base/root.h"
#include "job/port.h"
#include "queue/inbox.h"
#include "stats/segment.h"

/* A control message is the library's own: it takes no room, and its memory is whoever's who pushed it. A call becomes held when its rpc has
 * received it, and gives it back itself. */
enum message_kind { MESSAGE_PLAIN, MESSAGE_CLOSE, MESSAGE_CONTROL, MESSAGE_CALL, MESSAGE_ANSWER, MESSAGE_HELD };

struct rpc;

/* What a call and its answer have besides, at the very end of their room. */
struct stamp {
    enum message_kind kind;
    union {
        int32_t status;             /* of an answer */
        uint32_t calls_max;         /* of a call: how many the caller may have open */
    };
    uint64_t call;                  /* the caller's number for it */
    struct rpc *holder;             /* of a held call, and where it is listed */
    struct list node;
};

struct item {
    enum job_item_kind kind;
    int fd;
    void *what;
};

/* A message, from post until it is given back. The first two cache lines are all that a small one touches. */
struct job_message {
    struct inbox_node node;
    struct box *box;                /* where its memory goes back to */
    uint64_t charge;                /* bytes that it counts with the box */
    struct job_buf *big;            /* the bytes, when `room` does not hold them */
    struct item *items;             /* in `room`, or on the heap */
    struct job_message **current;   /* while its callback runs: where the port notes it */
    uint32_t len;
    uint16_t count;
    uint8_t kind;                   /* enum message_kind */
    bool is_referenced;             /* it holds a reference of its box */
    /* Its room follows, up to MESSAGE_BYTES: bytes first, items and stamp at the end. Messages of control have none. */
};

enum { MESSAGE_ROOM = MESSAGE_BYTES - sizeof(struct job_message) };

static inline uint8_t *message_room(const struct job_message *message)
{
    return (uint8_t *)(uintptr_t)(message + 1);
}

static inline struct stamp *message_stamp(const struct job_message *message)
{
    return (struct stamp *)(void *)(message_room(message) + MESSAGE_ROOM - sizeof(struct stamp));
}

/* A slot of the arena, cut into messages; the first place is this. */
struct message_block {
    struct message_block *next;
    struct slot *slot;
};

struct box {
    struct inbox inbox;
    /* fixed after open */
    struct root *root;
    struct job_arena *arena;
    struct stats_queue *shown;      /* its record in the statistics segment, or NULL */
    /* any thread */
    atomic_u32 references;          /* the owner's and the senders' */
    atomic_u32 senders;             /* the last one posts `close` */
    struct job_message *spare __attribute__((aligned(CACHE_LINE)));   /* atomic: given back by who received, taken whole by who posts */
    struct message_block *blocks;   /* atomic */
    /* under root->travel */
    struct box *carrier;            /* the box in which the owner of this one travels */
    /* posted by whoever drops the last sender */
    struct job_message close;
};

/* One who may post into a box. */
struct sender {
    struct box *box;
    struct job_message *free;       /* messages that it may fill: linked by node */
    uint64_t refused_bytes;         /* of the last post that met a full box */
};

/* NULL: no memory. One reference, for the owner; no sender. */
struct box *box_open(struct root *root, const struct job_channel_options *options);
void box_retain(struct box *box);
void box_release(struct box *box);

/* A sender of a box of which the caller holds one, or which it owns. */
void sender_init(struct sender *sender, struct box *box);
void sender_fini(struct sender *sender);

/* One more of the same, for a single post: with one of the other's places, if it has any. */
void sender_branch(struct sender *sender, struct sender *from);

/* The places that it has not filled go to another of the same box that has none. */
void sender_lend(struct sender *sender, struct sender *to);

/* job_end_post() for one sender; `own` is the box of the end that posts, or NULL; `stamp` NULL: a plain message. An answer takes its room
 * beyond the limit. */
int sender_post(struct sender *sender, const struct job_post *post, const struct box *own, const struct stamp *stamp);

/* Its two halves: the first one copies, and takes the time for that; the second one lets it go: 0, or -EPIPE. */
int sender_fill(struct sender *sender, const struct job_post *post, const struct box *own, const struct stamp *stamp,
                struct job_message **message);
int sender_push(struct sender *sender, const struct job_post *post, struct job_message *message);

/* Messages, linked, whose callbacks are over and whose items are gone, may be filled again. Any thread. */
void box_put_spares(struct box *box, struct job_message *first, struct job_message *last);

/* message.c */

/* What a post carries is whole, ours and given once: what it counts in the box in *room; or a negative errno. */
int post_check(const struct job_post *post, const struct box *to, const struct box *own, uint64_t *room);

/* Copies bytes and notes items; on error nothing has changed. */
int message_fill(struct job_message *message, const struct job_post *post, const struct stamp *stamp);

/* The message is about to leave: what moves is no longer the poster's. */
void post_clear(const struct job_post *post);

/* It could not leave. */
void post_restore(const struct job_post *post, const struct job_message *message);

/* It has not left: undoes message_fill(). */
void message_unfill(struct job_message *message);

/* Drops all that is still in it. Ends go onto *ends, linked by job_end.next, for whoever closes them. */
void message_clear(struct job_message *message, struct job_end **ends);

/* end.c: job_message_free(), also of one that is held. */
void message_give_back(struct job_message *message);

/* Its ends travel no more. */
void message_arrived(struct job_message *message);

static inline struct job_message *message_of(struct inbox_node *node)
{
    return (struct job_message *)node;   /* its first member */
}

#endif
