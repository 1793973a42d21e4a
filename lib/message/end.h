/* end.h — one end of a channel: the box that it receives from, and its way into the peer's. What travels.
 *
 *      end a ── in ──▶ box ◀── out (a sender) ── end b
 *        └───── out (a sender) ──▶ box ◀── in ─────┘
 *
 * A box counts who holds it: the end that receives, each sender, each message that was kept.
 */
#ifndef JOB_MESSAGE_END_H
#define JOB_MESSAGE_END_H

#include "loop/loop.h"
#include "message/box.h"

struct job_end {
    struct root *root;
    struct box *in;
    struct sender out;
    /* taken from the inbox and not yet delivered: `first` is next, then what is being turned round, then what was left at the close */
    struct inbox_node *first;
    struct inbox_turning turning;
    struct inbox_node *left;
    /* delivered: their memory and their room go back together */
    struct job_message *done_first, *done_last;
    uint32_t done_count;
    uint64_t done_bytes;
    bool has_ended;              /* the peer's `close` was taken: nothing comes any more */
    struct job_end *next;        /* ends that were in a message that was dropped */
};

struct job_sender {
    struct root *root;
    struct sender out;
    bool is_waiting;             /* for room: the waiter is registered, or its mail is on its way */
    bool is_closed;              /* meanwhile: its mail frees it */
    struct inbox_waiter waiter;
    struct loop_wait wait;       /* on the loop's list while it waits */
    struct job_loop *loop;
    void (*writable)(struct job_sender *sender, void *data);
    void *data;
};

/* The next message; 0, -EAGAIN: none now, -EPIPE: none ever. After `most` steps of turning a backlog round it is -EAGAIN as well, and
 * end_has_taken() says so. The owner, which is not armed. */
int end_next(struct job_end *end, size_t most, struct job_message **message);

/* The same, but the message stays: 0: one waits. */
int end_look(struct job_end *end, size_t most);

/* Is there a message that was taken and not delivered? What others push meanwhile is seen by inbox_arm(). */
static inline bool end_has_taken(const struct job_end *end)
{
    return end->first || end->turning.rest || end->left;
}

/* A message of end_next() was delivered, and goes back; or it lives on, with a reference of the box. */
void end_done(struct job_end *end, struct job_message *message);
void end_kept(struct job_end *end, uint64_t charge);

/* What was delivered goes back: memory, and room. */
void end_flush(struct job_end *end);

/* No more posts to the peer, which is told; nothing comes in any more. True: the end was armed, and nobody will wake it. */
bool end_shut(struct job_end *end);

/* Drops what waits at an end that was shut. */
void end_drop_messages(struct job_end *end);

/* Frees an end that was shut and has no messages. */
void end_free(struct job_end *end);

#endif
