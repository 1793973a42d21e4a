/* sender.c — a further way into a box, for any thread.
 *
 * It belongs to one thread at a time. While it waits for room, its mail may be on its way to the loop; a sender that is closed meanwhile is
 * freed by that mail. A loop that closes ends the wait, or delivers the mail that is on its way: nobody posts to it later.
 */
#include <errno.h>

#include "base/alloc.h"
#include "loop/loop.h"
#include "message/end.h"

static int sender_new(struct root *root, struct box *box, struct job_sender **out)
{
    struct job_sender *sender = alloc_zeroed(root, sizeof *sender);
    if (!sender)
        return -ENOMEM;
    sender->root = root;
    list_init(&sender->wait.node);
    sender_init(&sender->out, box);
    (void)fetch_add_relaxed(&root->senders, 1);   /* ledger: orders nothing */
    *out = sender;
    return 0;
}

static void sender_free(struct job_sender *sender)
{
    struct root *root = sender->root;
    sender_fini(&sender->out);
    (void)fetch_sub_relaxed(&root->senders, 1);   /* ledger: orders nothing */
    alloc_free(root, sender);
}

int job_end_sender(struct job_end *end, struct job_sender **sender)
{
    if (!end || !sender)
        return -EINVAL;
    return sender_new(end->root, end->out.box, sender);
}

int job_sender_clone(struct job_sender *sender, struct job_sender **clone)
{
    if (!sender || !clone)
        return -EINVAL;
    return sender_new(sender->root, sender->out.box, clone);
}

int job_sender_post(struct job_sender *sender, const struct job_post *post)
{
    if (!sender || !post)
        return -EINVAL;
    if (root_is_forked(sender->root))
        return -EPERM;
    return sender_post(&sender->out, post, NULL, NULL);
}

static void deliver_writable(struct job_mail *mail)
{
    struct job_sender *sender = container_of(mail, struct job_sender, waiter.mail);
    sender->is_waiting = false;
    list_remove(&sender->wait.node);
    if (sender->is_closed)
        sender_free(sender);
    else
        LOOP_CALL(sender->loop, sender->writable, (sender, sender->data));
}

static void loop_closes(struct loop_wait *wait)
{
    struct job_sender *sender = container_of(wait, struct job_sender, wait);
    if (inbox_unwait(&sender->out.box->inbox, &sender->waiter))
        sender->is_waiting = false;
}

int job_sender_when_writable(struct job_sender *sender, struct job_loop *loop,
                             void (*writable)(struct job_sender *sender, void *data), void *data)
{
    if (!sender || !loop || !writable || loop->root != sender->root)
        return -EINVAL;
    if (loop_check_thread(loop) < 0)
        return -EPERM;
    if (sender->is_waiting)
        return -EALREADY;
    if (loop->is_closing)
        return -ECANCELED;
    sender->is_waiting = true;
    sender->loop = loop;
    sender->writable = writable;
    sender->data = data;
    sender->waiter = (struct inbox_waiter){.mail.job_deliver = deliver_writable, .mailbox = &loop->mailbox,
                                           .bytes = sender->out.refused_bytes};
    sender->wait.loop_closes = loop_closes;
    list_push_back(&loop->waits, &sender->wait.node);
    inbox_wait(&sender->out.box->inbox, &sender->waiter);
    return 0;
}

void job_sender_close(struct job_sender **pointer)
{
    struct job_sender *sender = pointer ? *pointer : NULL;
    if (!sender)
        return;
    *pointer = NULL;
    if (root_is_forked(sender->root))   /* as for job_end_close() */
        return;
    if (sender->is_waiting && !inbox_unwait(&sender->out.box->inbox, &sender->waiter)) {
        sender->is_closed = true;
        return;
    }
    if (sender->is_waiting)
        list_remove(&sender->wait.node);
    sender_free(sender);
}
