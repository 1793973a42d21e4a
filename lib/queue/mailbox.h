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
    /* any thread: the mails, newest first, or the mark of a sleeping owner */
    struct ck_stack stack;
    /* fixed after init: called by the one poster that found the owner asleep */
    void (*wake)(struct mailbox *mailbox);
    /* owner: how many of its sleeps were ended by a poster, each of whom calls `wake` exactly once */
    uint64_t wakes_owed;
};

void mailbox_init(struct mailbox *mailbox, void (*wake)(struct mailbox *mailbox));

/* Posts a mail; mail->job_deliver is set. The mail belongs to the mailbox until it is delivered. The poster touches neither mail nor
 * mailbox afterwards, unless it found the owner asleep: then it calls `wake`. Returns whether mail was waiting already: the owner is
 * behind. Any thread. */
bool mailbox_post(struct mailbox *mailbox, struct job_mail *mail);

/* Posts a chain, linked by job_next from first to last in the order in which it shall be delivered; the links are reversed here.
 * One exchange, one wake. */
void mailbox_post_chain(struct mailbox *mailbox, struct job_mail *first, struct job_mail *last);

/* Takes everything, oldest first, linked by job_next; NULL when there is nothing. *last is the newest. The owner, awake. */
struct job_mail *mailbox_take(struct mailbox *mailbox, struct job_mail **last);

/* True when there is no mail. The owner; for others an estimate. */
bool mailbox_is_empty(struct mailbox *mailbox);

/* The owner is about to sleep: true when it may, and the next poster will call `wake`; false when there is mail. */
bool mailbox_sleep(struct mailbox *mailbox);

/* The owner is awake again, for whatever reason; after each mailbox_sleep() that returned true. */
void mailbox_awake(struct mailbox *mailbox);

#endif
