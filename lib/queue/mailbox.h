/* mailbox.h — what comes to a thread from others: an intrusive stack, taken whole, and a wake function.
 *
 * Never full, nobody waits for a preempted producer. It is all that the layers below the loop know of a loop: completions, room in
 * a lane, memory for a starved ring and calls are all mail, and the loop's drain delivers them without knowing what they are.
 */
#ifndef JOB_QUEUE_MAILBOX_H
#define JOB_QUEUE_MAILBOX_H

#include <ck_stack.h>

#include "base/assert.h"
#include "job/loop.h"

struct mailbox {
    /* any thread */
    struct ck_stack stack;
    /* fixed after init: called by the poster after each post; must be cheap when the owner is awake */
    void (*wake)(struct mailbox *mailbox);
};

void mailbox_init(struct mailbox *mailbox, void (*wake)(struct mailbox *mailbox));

/* Posts a mail; mail->job_deliver is set. The mail belongs to the mailbox until it is delivered. Any thread. */
void mailbox_post(struct mailbox *mailbox, struct job_mail *mail);

/* Posts a chain, linked by job_next from first to last in the order in which it shall be delivered. One exchange, one wake. */
void mailbox_post_chain(struct mailbox *mailbox, struct job_mail *first, struct job_mail *last);

/* Takes everything, oldest first, linked by job_next; NULL when there is nothing. The owner. */
struct job_mail *mailbox_take(struct mailbox *mailbox);

/* A look before sleeping: sequentially consistent, so that either this sees the mail or the poster sees the sleeper. */
bool mailbox_is_empty(struct mailbox *mailbox);

#endif
