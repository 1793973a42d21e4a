/* end.c — channels and their ends: open, post, receive, close, without a loop.
 *
 * A channel is two boxes; an end owns one and may post into the other. It has one owner at a time, whoever holds its pointer: a thread, a
 * port, a message. So nothing in it needs an atomic; what other threads touch is in the boxes.
 *
 * Closing is one message more, which needs no room: the last of those who may post into a box leaves it there, behind all others.
 * A backlog is turned round by steps (queue/inbox.c): a port on a loop takes some a turn, everybody else all at once.
 * Ends in messages that nobody received are closed one after the other, not by recursion: each may have such messages itself.
 */
#include "message/end.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/self.h"
#include "base/sleeper.h"
#include "base/sys.h"
#include "stats/line.h"

static int check_options(const struct job_channel_options *options)
{
    bool is_ok = options->messages_max <= PORT_MESSAGES_MAX && options->bytes_max <= PORT_BYTES_MAX;
    return is_ok ? 0 : -EINVAL;
}

static void end_init(struct job_end *end, struct root *root, struct box *in, struct box *out)
{
    end->root = root;
    end->in = in;
    sender_init(&end->out, out);
    (void)fetch_add_relaxed(&root->ends, 1);   /* ledger: orders nothing */
}

static void forget_box(struct box *box)
{
    bool was_armed;
    if (!box)
        return;
    (void)inbox_close(&box->inbox, &was_armed);
    box_release(box);
}

int job_channel_open(struct job_runtime *runtime, struct job_end **a, struct job_end **b,
                     const struct job_channel_options *options)
{
    static const struct job_channel_options defaults = {0};
    if (!runtime || !a || !b || a == b)
        return -EINVAL;
    options = options ? options : &defaults;
    int err = check_options(options);
    if (err < 0)
        return err;
    struct root *root = (struct root *)runtime;   /* its first member */
    if (root_is_forked(root))
        return -EPERM;
    struct job_end *ends[2] = {alloc_zeroed(root, sizeof **ends), alloc_zeroed(root, sizeof **ends)};
    struct box *boxes[2] = {box_open(root, options), box_open(root, options)};
    if (!ends[0] || !ends[1] || !boxes[0] || !boxes[1])
        goto fail;
    end_init(ends[0], root, boxes[0], boxes[1]);
    end_init(ends[1], root, boxes[1], boxes[0]);
    *a = ends[0];
    *b = ends[1];
    return 0;
fail:
    for (unsigned i = 0; i < 2; i++) {
        forget_box(boxes[i]);
        alloc_free(root, ends[i]);
    }
    return -ENOMEM;
}

/* 0: end->first is the next. What is being turned round is older than all that others push meanwhile. */
static int take_more(struct job_end *end, size_t most)
{
    struct inbox_turning *turning = &end->turning;
    if (!turning->rest) {
        *turning = (struct inbox_turning){.rest = end->left ? end->left : inbox_take(&end->in->inbox)};
        end->left = NULL;
    }
    if (!turning->rest)
        return inbox_is_closed(&end->in->inbox) ? -EPIPE : -EAGAIN;
    if (!inbox_turn(turning, most)) {
        JOB_MARK(end_turns_a_backlog);
        return -EAGAIN;
    }
    end->first = turning->first;
    return 0;
}

int end_look(struct job_end *end, size_t most)
{
    if (end->has_ended)
        return -EPIPE;
    int err = end->first ? 0 : take_more(end, most);
    if (err < 0 || message_of(end->first)->kind != MESSAGE_CLOSE)
        return err;
    end->first = end->first->next;
    assert(!end->first);   /* it is the last one's last */
    end->has_ended = true;
    return -EPIPE;
}

int end_next(struct job_end *end, size_t most, struct job_message **message)
{
    int err = end_look(end, most);
    if (err < 0)
        return err;
    struct job_message *next = message_of(end->first);
    end->first = next->node.next;
    message_arrived(next);
    *message = next;
    return 0;
}

static void close_ends(struct job_end *ends);

static void clear(struct job_message *message)
{
    struct job_end *ends = NULL;
    message_clear(message, &ends);
    if (ends)
        close_ends(ends);
}

static void count_done(struct job_end *end, uint64_t charge)
{
    end->done_count++;
    end->done_bytes += charge;
}

void end_done(struct job_end *end, struct job_message *message)
{
    clear(message);
    count_done(end, message->charge);
    message->node.next = end->done_first ? &end->done_first->node : NULL;
    end->done_first = message;
    if (!end->done_last)
        end->done_last = message;
    if (end->done_count >= PORT_RELEASE)
        end_flush(end);
}

void end_kept(struct job_end *end, uint64_t charge)
{
    count_done(end, charge);
    if (end->done_count >= PORT_RELEASE)
        end_flush(end);
}

void end_flush(struct job_end *end)
{
    if (end->done_first)
        box_put_spares(end->in, end->done_first, end->done_last);
    end->done_first = end->done_last = NULL;
    if (end->done_count > 0) {
        const struct job_loop *loop = self_unless_forked()->loop;
        stats_queue_take(end->in->shown, end->done_count, loop ? loop->now_ns : end->root->now_ns());
        inbox_release(&end->in->inbox, end->done_count, end->done_bytes);
    }
    end->done_count = 0;
    end->done_bytes = 0;
}

bool end_shut(struct job_end *end)
{
    bool was_armed;
    end->left = inbox_close(&end->in->inbox, &was_armed);
    stats_queue_close(end->in->shown);
    sender_fini(&end->out);
    return was_armed;
}

static void drop_messages(struct job_end *end, struct job_end **ends)
{
    struct job_message *message;
    while (end_next(end, SIZE_MAX, &message) == 0) {
        if (message->kind == MESSAGE_CONTROL)
            continue;
        message_clear(message, ends);
        (void)fetch_add_relaxed(&end->root->dropped, 1);   /* a count: orders nothing */
    }
}

static void close_ends(struct job_end *ends)
{
    while (ends) {
        struct job_end *end = ends;
        ends = end->next;
        (void)end_shut(end);
        drop_messages(end, &ends);
        end_free(end);
    }
}

void end_drop_messages(struct job_end *end)
{
    struct job_end *ends = NULL;
    drop_messages(end, &ends);
    close_ends(ends);
}

void end_free(struct job_end *end)
{
    assert(!end_has_taken(end));
    struct root *root = end->root;
    box_release(end->in);   /* with the memory of all messages */
    (void)fetch_sub_relaxed(&root->ends, 1);   /* ledger: orders nothing */
    alloc_free(root, end);
}

void job_end_close(struct job_end **pointer)
{
    struct job_end *end = pointer ? *pointer : NULL;
    if (!end)
        return;
    *pointer = NULL;
    if (root_is_forked(end->root))   /* messages are not mapped here, and the boxes' figures are the parent's as well */
        return;
    end->next = NULL;
    close_ends(end);
}

int job_end_post(struct job_end *end, const struct job_post *post)
{
    if (!end || !post)
        return -EINVAL;
    if (root_is_forked(end->root))
        return -EPERM;
    return sender_post(&end->out, post, end->in, NULL);
}

/* A thread that sleeps until somebody posts. */
struct blocked {
    struct inbox_sleeper in_inbox;
    struct sleeper sleeper;
};

static void wake_blocked(struct inbox_sleeper *in_inbox)
{
    sleeper_wake(&container_of(in_inbox, struct blocked, in_inbox)->sleeper);
}

/* 0: look again; -ETIMEDOUT; -ECANCELED. */
static int sleep_for_message(struct job_end *end, uint64_t deadline_ns)
{
    struct blocked blocked = {.in_inbox.wake = wake_blocked};
    struct sys_stop stops[SYS_STOPS_MAX];
    struct inbox *inbox = &end->in->inbox;
    if (!inbox_arm(inbox, &blocked.in_inbox))
        return 0;
    const struct self *me = self_unless_forked();
    struct stats_line *line = me->line;
    if (line)
        line_wait(line, JOB_WAIT_MESSAGE, end->root->now_ns());
    int err = sleeper_wait(&blocked.sleeper, end->root, deadline_ns, stops, self_stops(me, stops));
    if (line)
        line_wake(me->root, line, end->root->now_ns());
    if (err == 0)
        return 0;
    if (inbox_disarm(inbox, &blocked.in_inbox))
        return err;
    (void)sleeper_wait(&blocked.sleeper, end->root, TIME_NEVER, NULL, 0);   /* it is on its way, and writes into our stack */
    return 0;
}

int job_end_receive(struct job_end *end, struct job_message **out, int64_t timeout_ns)
{
    if (!end || !out)
        return -EINVAL;
    if (root_is_forked(end->root))
        return -EPERM;
    struct job_message *message;
    uint64_t deadline_ns = timeout_ns < 0 ? TIME_NEVER : time_after(end->root->now_ns(), (uint64_t)timeout_ns);
    int err;
    while ((err = end_next(end, SIZE_MAX, &message)) == -EAGAIN) {
        end_flush(end);
        if (timeout_ns == 0)
            return -EAGAIN;
        if (self_unless_forked()->loop)
            return -EDEADLK;
        err = sleep_for_message(end, deadline_ns);
        if (err < 0)
            return err;
    }
    if (err < 0)
        return err;
    box_retain(end->in);
    end_kept(end, message->charge);
    end_flush(end);   /* this thread may not come back for long */
    *out = message;
    return 0;
}

void message_give_back(struct job_message *message)
{
    struct box *box = message->box;
    clear(message);
    box_put_spares(box, message, message);
    box_release(box);
}

void job_message_free(struct job_message **pointer)
{
    struct job_message *message = pointer ? *pointer : NULL;
    if (!message)
        return;
    if (message->kind == MESSAGE_HELD || message->current) {
        log_write(&message->box->root->log, JOB_LOG_ERROR, "job_message_free(): %s: ignored",
                  message->current ? "a message that was not kept goes back by itself" : "a call is answered, not freed");
        return;
    }
    *pointer = NULL;
    message_give_back(message);
}
