/* port.c — an end on a loop.
 *
 * The end travels, the port stays: whoever posts to a sleeping port knows it by the inbox's head word alone and posts its one mail to the
 * loop. At any time that mail is nowhere, or armed (the inbox's head names us), or due (in a queue of the loop). A port whose mail is on
 * its way waits for it before `closed`.
 *
 *      job_port_open ──▶ open ──close, or the peer's close was taken──▶ closing: deliver what is there ──▶ closed
 *                          └──job_port_take: the end goes──▶ closing without an end ──▶ closed
 *
 * A stopped port sleeps as well while nothing waits, to hear the peer's close; with messages before that it sleeps until it is started.
 *
 * One mail delivers many messages, but only so many a turn (PORT_TURN_MESSAGES, PORT_TURN_NS): a flood delays timers and others' messages
 * by no more. The rest goes on when the loop has seen to those. Nor is a long backlog turned round in one turn. All ports of a loop that
 * have a backlog share so much time a turn as one alone may take (run_due() in loop/turn.c).
 */
#include <errno.h>

#include "loop/handle.h"
#include "message/end.h"
#include "message/port.h"

enum {
    PORT_STARTED = 1,
    PORT_ARMED = 2,        /* whoever posts next posts our mail; or has just done so */
    PORT_DUE = 4,          /* we have queued our mail ourselves */
    PORT_DELIVERING = 8,
    PORT_WAITING = 16,     /* for room: the waiter is registered, or its mail is on its way */
    PORT_LINGERS = 32,     /* closing, and not through: our mail comes, or a delivery goes on */
    PORT_DROPS = 64,       /* closing, and what waits is not delivered */
    PORT_TAKEN = 128,      /* closing, since its end went elsewhere */
};

_Static_assert(sizeof(struct inbox_waiter) <= sizeof ((struct job_port *)0)->job_waiter, "a waiter fits");
_Static_assert(sizeof(struct inbox_sleeper) <= sizeof ((struct job_port *)0)->job_sleeper, "a sleeper fits");

static struct inbox_waiter *waiter_of(struct job_port *port)
{
    return (struct inbox_waiter *)port->job_waiter;
}

static struct inbox_sleeper *sleeper_of(struct job_port *port)
{
    return (struct inbox_sleeper *)port->job_sleeper;
}

static struct job_loop *loop_of(const struct job_port *port)
{
    return port->handle.job_loop;
}

static bool is(const struct job_port *port, uint32_t flags)
{
    return (port->job_flags & flags) != 0;
}

/* A port that waits for nothing does not keep the loop alive. */
static void see_to_idle(struct job_port *port)
{
    bool is_listening = is(port, PORT_STARTED) && port->job_events->message;
    handle_set_idle(&port->handle, !is_listening && !is(port, PORT_WAITING));
}

static void make_due(struct job_port *port)
{
    assert(!is(port, PORT_ARMED | PORT_DUE));
    port->job_flags |= PORT_DUE;
    loop_make_due(loop_of(port), &port->job_mail);
}

/* Any thread. */
static void wake_port(struct inbox_sleeper *sleeper)
{
    struct job_port *port = (struct job_port *)((char *)sleeper - offsetof(struct job_port, job_sleeper));
    mailbox_post(&loop_of(port)->mailbox, &port->job_mail);
}

static void deliver_one(struct job_port *port, struct job_message *message)
{
    const struct job_port_events *events = port->job_events;
    port->job_charge = message->charge;   /* a message that is kept may be gone after the callback */
    port->job_current = message;
    message->current = &port->job_current;
    message->is_referenced = false;
    loop_of(port)->messages_lately = PORT_SLEEPS_LATELY;   /* the next one may be near; the loop finds out whether looking for it pays */
    if (events->message)
        LOOP_CALL(loop_of(port), events->message, (port, message));
    else
        (void)fetch_add_relaxed(&port->job_end->root->dropped, 1);   /* a count: orders nothing */
    struct job_message *left = port->job_current;
    port->job_current = NULL;
    if (left && port->job_end)
        end_done(port->job_end, left);
    else if (left)
        message_give_back(left);   /* the end was taken in the callback, and counted the message */
    else if (port->job_end)
        end_kept(port->job_end, port->job_charge);
}

static void deliver(struct job_port *port)
{
    struct job_loop *loop = loop_of(port);
    uint64_t begin = loop->now_ns;
    port->job_flags |= PORT_DELIVERING;
    for (unsigned count = 0; count < PORT_TURN_MESSAGES && loop->now_ns - begin < PORT_TURN_NS; count++) {
        struct job_message *message;
        if (!port->job_end || (!is(port, PORT_STARTED) && handle_is_open(&port->handle)))
            break;
        int err = end_next(port->job_end, PORT_TURN_STEPS, &message);
        if (err == -EPIPE)
            (void)handle_close(&port->handle);   /* the peer's close; ours, when it is closing already */
        if (err < 0)
            break;
        if (message->kind == MESSAGE_CONTROL)
            port->job_control(port, message);
        else
            deliver_one(port, message);
    }
    port->job_flags &= ~(uint32_t)PORT_DELIVERING;
    if (!port->job_end)
        return;
    end_flush(port->job_end);
    if (end_has_taken(port->job_end) && loop->now_ns == begin)   /* it was turned round, and no callback has taken the time */
        loop_look_at_clock(loop);
}

/* A stopped port whose next is the peer's close. */
static bool has_ended_unheard(struct job_port *port)
{
    bool is_stopped = handle_is_open(&port->handle) && !is(port, PORT_STARTED);
    return is_stopped && end_look(port->job_end, PORT_TURN_STEPS) == -EPIPE;
}

/* After a delivery: sleep, go on, or be through. */
static void settle(struct job_port *port)
{
    struct job_end *end = port->job_end;
    if (handle_is_open(&port->handle)) {
        if (is(port, PORT_ARMED | PORT_DUE) || (!is(port, PORT_STARTED) && end_has_taken(end)))
            return;
        if (!end_has_taken(end) && inbox_arm(&end->in->inbox, sleeper_of(port)))
            port->job_flags |= PORT_ARMED;
        else
            make_due(port);
        return;
    }
    if (end && end_has_taken(end) && !end->has_ended) {
        make_due(port);
        return;
    }
    if (end)
        end_free(end);
    port->job_end = NULL;
    assert(is(port, PORT_LINGERS));
    port->job_flags &= ~(uint32_t)PORT_LINGERS;
    handle_release(&port->handle);
}

static void port_turn(struct job_mail *mail)
{
    struct job_port *port = container_of(mail, struct job_port, job_mail);
    port->job_flags &= ~(uint32_t)(PORT_ARMED | PORT_DUE);
    if (loop_of(port)->is_closing && port->job_end)
        end_drop_messages(port->job_end);   /* it may have been closed before the loop was, with a backlog */
    deliver(port);
    if (has_ended_unheard(port))
        (void)handle_close(&port->handle);
    else
        settle(port);
}

static void room_arrived(struct job_mail *mail)
{
    struct inbox_waiter *waiter = container_of(mail, struct inbox_waiter, mail);
    struct job_port *port = (struct job_port *)((char *)waiter - offsetof(struct job_port, job_waiter));
    port->job_flags &= ~(uint32_t)PORT_WAITING;
    if (!handle_is_open(&port->handle)) {
        handle_release(&port->handle);
        return;
    }
    see_to_idle(port);
    LOOP_CALL(loop_of(port), port->job_events->writable, (port));
}

/* Waits for room no more; a mail that is on its way is waited for. */
static void stop_waiting(struct job_port *port)
{
    if (!is(port, PORT_WAITING))
        return;
    if (inbox_unwait(&port->job_end->out.box->inbox, waiter_of(port)))
        port->job_flags &= ~(uint32_t)PORT_WAITING;
    else
        handle_hold(&port->handle);
}

static void drop_messages(struct job_port *port)
{
    port->job_flags |= PORT_DROPS;
    if (port->job_end)
        end_drop_messages(port->job_end);
}

static void port_close(struct job_handle *handle)
{
    struct job_port *port = container_of(handle, struct job_port, handle);
    if (port->job_end) {
        stop_waiting(port);
        if (end_shut(port->job_end))
            port->job_flags &= ~(uint32_t)PORT_ARMED;
        if (is(port, PORT_DROPS) || !is(port, PORT_STARTED) || loop_of(port)->is_closing)
            drop_messages(port);
    }
    if (!port->job_end && !is(port, PORT_ARMED | PORT_DUE | PORT_DELIVERING))
        return;
    port->job_flags |= PORT_LINGERS;
    handle_hold(handle);
    if (!is(port, PORT_ARMED | PORT_DUE | PORT_DELIVERING))
        make_due(port);
}

static void port_closed(struct job_handle *handle)
{
    struct job_port *port = container_of(handle, struct job_port, handle);
    HANDLE_TELL_CLOSED(port, port->job_events->closed);
}

static const struct handle_kind port_kind = {.name = "port", .close = port_close, .closed = port_closed};

int job_port_open(struct job_loop *loop, struct job_port *port, struct job_end **end,
                  const struct job_port_events *events)
{
    if (!loop || !port || !end || !*end || !events || (*end)->root != loop->root)
        return -EINVAL;
    int err = handle_open(loop, &port->handle, sizeof *port, &port_kind);
    if (err < 0)
        return err;
    port->job_events = events;
    port->job_end = *end;
    *end = NULL;
    stats_queue_receiver(loop->root->stats, port->job_end->in->shown, loop->line);
    sleeper_of(port)->wake = wake_port;
    port->job_mail.job_deliver = port_turn;
    port->job_flags = PORT_STARTED;
    see_to_idle(port);
    make_due(port);
    return 0;
}

/* May the user call this port? */
static int check(const struct job_port *port)
{
    if (!port || handle_state(&port->handle) == HANDLE_NONE)
        return -EINVAL;
    int err = handle_check(&port->handle);
    return err == -ECANCELED && is(port, PORT_TAKEN) ? -ENXIO : err;
}

int port_post(struct job_port *port, const struct job_post *post, const struct stamp *stamp)
{
    int err = check(port);
    if (err < 0)
        return err;
    struct sender *sender = &port->job_end->out;
    err = sender_post(sender, post, port->job_end->in, stamp);
    if (err != -EAGAIN || !port->job_events->writable || is(port, PORT_WAITING))
        return err;
    *waiter_of(port) = (struct inbox_waiter){
        .mail.job_deliver = room_arrived,
        .mailbox = &loop_of(port)->mailbox,
        .bytes = sender->refused_bytes,
    };
    port->job_flags |= PORT_WAITING;
    see_to_idle(port);
    inbox_wait(&sender->box->inbox, waiter_of(port));
    return err;
}

bool port_awaits_room(const struct job_port *port)
{
    return is(port, PORT_WAITING);
}

int job_port_post(struct job_port *port, const struct job_post *post)
{
    return port_post(port, post, NULL);
}

int job_port_stop(struct job_port *port)
{
    int err = check(port);
    if (err < 0)
        return err;
    port->job_flags &= ~(uint32_t)PORT_STARTED;
    see_to_idle(port);
    return 0;
}

int job_port_start(struct job_port *port)
{
    int err = check(port);
    if (err < 0)
        return err;
    port->job_flags |= PORT_STARTED;
    see_to_idle(port);
    if (!is(port, PORT_ARMED | PORT_DUE | PORT_DELIVERING))
        make_due(port);
    return 0;
}

/* The message whose callback runs outlives the end, which another thread may close before the callback is over. */
static void leave_current(struct job_port *port, struct job_end *end)
{
    if (!is(port, PORT_DELIVERING))
        return;
    end_kept(end, port->job_charge);
    if (port->job_current) {
        box_retain(end->in);
        port->job_current->is_referenced = true;
    }
}

int job_port_take(struct job_port *port, struct job_end **out)
{
    int err = out ? check(port) : -EINVAL;
    if (err < 0)
        return err;
    struct job_end *end = port->job_end;
    stop_waiting(port);
    if (is(port, PORT_ARMED) && inbox_disarm(&end->in->inbox, sleeper_of(port)))
        port->job_flags &= ~(uint32_t)PORT_ARMED;
    leave_current(port, end);
    end_flush(end);
    port->job_end = NULL;
    stats_queue_receiver(end->root->stats, end->in->shown, NULL);
    port->job_flags |= PORT_TAKEN;
    *out = end;
    (void)handle_close(&port->handle);
    return 0;
}

void job_port_close(struct job_port *port)
{
    if (port)
        (void)handle_close(&port->handle);
}

void job_port_close_now(struct job_port *port)
{
    if (!port || handle_state(&port->handle) == HANDLE_NONE || !handle_is_here(&port->handle, "job_port_close_now"))
        return;
    port->job_flags |= PORT_DROPS;
    if (!handle_close(&port->handle) && handle_state(&port->handle) == HANDLE_CLOSING)
        drop_messages(port);
}

static void read_inbox(const struct box *box, unsigned *messages, size_t *bytes)
{
    if (messages)
        *messages = box ? inbox_messages(&box->inbox) : 0;
    if (bytes)
        *bytes = box ? inbox_bytes(&box->inbox) : 0;
}

void job_port_queued(const struct job_port *port, unsigned *messages, size_t *bytes)
{
    read_inbox(port && port->job_end ? port->job_end->in : NULL, messages, bytes);
}

void job_port_unread(const struct job_port *port, unsigned *messages, size_t *bytes)
{
    read_inbox(port && port->job_end ? port->job_end->out.box : NULL, messages, bytes);
}

int job_port_sender(struct job_port *port, struct job_sender **sender)
{
    int err = check(port);
    return err < 0 ? err : job_end_sender(port->job_end, sender);
}

void job_message_keep(struct job_message *message)
{
    if (!message || !message->current)
        return;
    struct job_message **current = message->current;
    message->current = NULL;
    if (!message->is_referenced)
        box_retain(message->box);
    *current = NULL;
}
