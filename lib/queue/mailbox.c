/* mailbox.c — an intrusive stack that also says whether its owner sleeps.
 *
 * States of the head word: NULL: empty, owner awake. SLEEPER (a constant that is no mail): empty, owner asleep or about to be. A mail:
 * the newest of a chain that ends in NULL.
 *
 *   a poster:   P1 read the head   P2 link the mail to it (to NULL instead of SLEEPER)   P3 compare-and-swap the head to the mail
 *               P4 if the head was SLEEPER: call wake, once
 *   the owner:  S1 compare-and-swap NULL to SLEEPER; if there is mail: do not sleep   S2 sleep until `wake`, or something else
 *               S3 compare-and-swap SLEEPER to NULL; if it is gone, a poster took it: one wake is owed
 *
 * Why no mail is lost: "there is mail" and "the owner sleeps" are values of one word, so a poster cannot miss the sleeper, nor the
 * sleeper the mail; there is no store-then-load on two words that would need a fence. The narrowest moment is between S1 and the
 * sleep in S2: a `wake` there must end the sleep that follows, which an eventfd or an event count does.
 * Why a poster may be slow: after P3 without SLEEPER it touches nothing. With it, it still has to call `wake`, on an owner that may
 * have woken by itself and want to go; `wakes_owed` tells the owner how many such calls are on their way, and it waits for them.
 * Rejected: a separate sleeping flag (a fence each for poster and owner, and every poster touches the owner's memory after the mail
 * was delivered, when the owner may be gone); a multi-producer ring (full; waits for preempted producers).
 * Accepted: a wake-up for nothing, when the owner woke by itself at the same moment.
 */
#include "queue/mailbox.h"

#include "base/annotate.h"
#include "base/atomic.h"

/* An address that no mail has; nobody looks behind it. */
static const struct ck_stack_entry sleeper_mark;
#define SLEEPER ((struct ck_stack_entry *)&sleeper_mark)

_Static_assert(sizeof(struct ck_stack_entry) == sizeof(struct job_mail *) && offsetof(struct job_mail, job_next) == 0,
               "a mail begins with a stack entry");

static struct ck_stack_entry *entry_of(struct job_mail *mail)
{
    return (struct ck_stack_entry *)mail;
}

void mailbox_init(struct mailbox *mailbox, void (*wake)(struct mailbox *mailbox))
{
    ck_stack_init(&mailbox->stack);
    mailbox->wake = wake;
    mailbox->wakes_owed = 0;
}

/* Pushes entries that are linked newest first. */
static bool push(struct mailbox *mailbox, struct ck_stack_entry *newest, struct ck_stack_entry *oldest)
{
    struct ck_stack_entry *head = ck_pr_load_ptr(&mailbox->stack.head);
    do {
        oldest->next = head == SLEEPER ? NULL : head;
    } while (!ck_pr_cas_ptr_value(&mailbox->stack.head, head, newest, &head));
    if (head != SLEEPER)
        return head != NULL;
    JOB_MARK(mailbox_poster_wakes);
    mailbox->wake(mailbox);
    return false;
}

bool mailbox_post(struct mailbox *mailbox, struct job_mail *mail)
{
    assert(mail->job_deliver != NULL);
    annotate_give(mail);
    return push(mailbox, entry_of(mail), entry_of(mail));
}

static struct job_mail *reversed(struct job_mail *mail)
{
    struct job_mail *done = NULL;
    while (mail) {
        struct job_mail *next = mail->job_next;
        annotate_take(mail);
        if (mail->job_ahead)
            prefetch_for_write(mail->job_ahead);   /* a chain alone would be fetched one line after the other */
        mail->job_next = done;
        done = mail;
        mail = next;
    }
    return done;
}

void mailbox_post_chain(struct mailbox *mailbox, struct job_mail *first, struct job_mail *last)
{
    assert(last->job_next == NULL);
    for (struct job_mail *mail = first; mail; mail = mail->job_next)
        annotate_give(mail);
    (void)push(mailbox, entry_of(reversed(first)), entry_of(first));
}

struct job_mail *mailbox_take(struct mailbox *mailbox, struct job_mail **last)
{
    if (mailbox_is_empty(mailbox))
        return NULL;
    struct ck_stack_entry *newest = ck_stack_batch_pop_upmc(&mailbox->stack);
    assert(newest != SLEEPER);
    *last = (struct job_mail *)newest;
    return reversed(*last);
}

bool mailbox_is_empty(struct mailbox *mailbox)
{
    struct ck_stack_entry *head = ck_pr_load_ptr(&mailbox->stack.head);
    return head == NULL || head == SLEEPER;
}

bool mailbox_sleep(struct mailbox *mailbox)
{
    JOB_MARK(mailbox_owner_sleeps);
    return ck_pr_cas_ptr(&mailbox->stack.head, NULL, SLEEPER);
}

void mailbox_awake(struct mailbox *mailbox)
{
    if (ck_pr_cas_ptr(&mailbox->stack.head, SLEEPER, NULL))
        return;
    JOB_MARK(mailbox_wake_owed);
    mailbox->wakes_owed++;
}
