/* rpc.c — a port on which messages are calls and answers: its life.
 *
 *      open ──the port's `closed`: the other end is gone──▶ open calls fail, -EOWNERDEAD ──▶ closing ──▶ closed
 *        └──job_rpc_close(), or the loop closes: open calls end, -ECANCELED; the port is closed──▶ closing ──its `closed`──▶ closed
 *
 * What can be lost is an answer, and that the other end dies is seen by the port's close alone: it is behind all messages of that end, and
 * comes whatever that end was doing, since closing needs no room. So a call is open until one of its ends takes it off the list, all on
 * this loop's thread: exactly one.
 *
 * Why crossed calls cannot block each other: an answer takes its room beyond the limit of the queue that it goes to. At most calls_max
 * wait for one at the other end, also of those that were given up here, since it refuses more; so that many can come at once. Rejected: to
 * keep their room free from the start (a caller would be refused because the other end has asked much); to count a call that was given up
 * as open until its answer comes (one that is never answered would take its place for ever). Accepted: an answer's bytes are bounded each,
 * not as a sum; and who gives up calls while it does not take what comes, has more than calls_max answers in its queue.
 */
#include "message/rpc.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"
#include "message/port.h"

_Static_assert(sizeof(struct list) == sizeof ((struct job_rpc_call *)0)->job_node, "a node fits");
_Static_assert(sizeof(struct deadline) == sizeof ((struct job_rpc_call *)0)->job_deadline, "a deadline fits");

static struct job_rpc *handle_of(struct job_port *port)
{
    return container_of(port, struct job_rpc, job_port);
}

void rpc_see_to_idle(struct rpc *rpc)
{
    struct job_rpc *handle = rpc->handle;
    bool is_waiting = rpc->stats.open > 0 || rpc->is_due || rpc->wants_room || port_awaits_room(&handle->job_port);
    handle_set_idle(&handle->handle, !handle->job_events->call && !is_waiting);
}

static const struct job_rpc_call *call_of(const struct list *node)
{
    return container_of((void *const *)node, struct job_rpc_call, job_node[0]);
}

/* Since when; 0: no call is open. */
static uint64_t oldest_ns(const struct rpc *rpc)
{
    const struct list *node = list_first(&rpc->overdue);
    if (!node)
        node = list_first(&rpc->young);
    return node ? call_of(node)->job_since_ns : 0;
}

void rpc_show(const struct rpc *rpc)
{
    struct stats_rpc *shown = rpc->shown;
    const struct job_rpc_stats *stats = &rpc->stats;
    if (!shown)
        return;
    store_relaxed(&shown->oldest_ns, oldest_ns(rpc));   /* figures for people: no order */
    store_relaxed(&shown->open, stats->open);
    store_relaxed(&shown->unanswered, stats->unanswered);
    store_relaxed(&shown->calls, stats->calls);
    store_relaxed(&shown->answered, stats->answered);
    store_relaxed(&shown->timed_out, stats->timed_out);
    store_relaxed(&shown->canceled, stats->canceled);
    store_relaxed(&shown->dead, stats->dead);
    store_relaxed(&shown->late, stats->late);
    store_relaxed(&shown->overdue, stats->overdue);
    store_relaxed(&shown->served, stats->served);
    store_relaxed(&shown->stray, stats->stray);
}

static void deliver(struct job_mail *mail)
{
    struct rpc *rpc = container_of(mail, struct rpc, mail);
    struct job_rpc *handle = rpc->handle;
    rpc->is_due = false;
    rpc_tell_ended(rpc);
    if (rpc->has_room && handle_is_open(&handle->handle) && handle->job_events->writable) {
        rpc->has_room = false;
        LOOP_CALL(rpc_loop(rpc), handle->job_events->writable, (handle));
    }
    rpc_see_to_idle(rpc);
    handle_release(&handle->handle);
}

void rpc_owe_mail(struct rpc *rpc)
{
    if (rpc->is_due)
        return;
    rpc->is_due = true;
    handle_hold(&rpc->handle->handle);
    loop_defer_mail(rpc_loop(rpc), &rpc->mail);
}

static void look(struct deadline *deadline)
{
    struct rpc *rpc = container_of(deadline, struct rpc, look);
    struct job_loop *loop = rpc_loop(rpc);
    unsigned count = 0;
    struct list *node;
    while ((node = list_first(&rpc->young))) {
        if (loop->now_ns - call_of(node)->job_since_ns < rpc->overdue_ns)
            break;
        list_remove(node);
        list_push_back(&rpc->overdue, node);
        count++;
    }
    rpc->stats.overdue += count;
    rpc_show(rpc);
    if (count > 0)
        log_write(&loop->root->log, JOB_LOG_WARNING, "rpc %s: %u calls have had no answer for %llu ms, of %u that are open",
                  rpc->name, count, (unsigned long long)(rpc->overdue_ns / 1000000), rpc->stats.open);
    rpc_watch(rpc);
}

void rpc_watch(struct rpc *rpc)
{
    const struct list *node = list_first(&rpc->young);
    if (!node || rpc->look.at_ns != 0)
        return;
    uint64_t at_ns = time_after(call_of(node)->job_since_ns, rpc->overdue_ns);
    if (at_ns != TIME_NEVER)
        deadline_set_within(rpc_loop(rpc), &rpc->look, at_ns, rpc->overdue_ns / 4);
}

static void on_message(struct job_port *port, struct job_message *message)
{
    struct rpc *rpc = rpc_of(handle_of(port));
    if (message->kind == MESSAGE_CALL) {
        rpc_asked(rpc, message);
        return;
    }
    if (message->kind == MESSAGE_ANSWER) {
        rpc_answered(rpc, message);
        return;
    }
    rpc->stats.stray++;
    rpc_show(rpc);
    (void)fetch_add_relaxed(&rpc_loop(rpc)->root->dropped, 1);   /* a count: orders nothing */
}

static void on_writable(struct job_port *port)
{
    struct job_rpc *handle = handle_of(port);
    if (handle->job_events->writable)
        LOOP_CALL(handle->handle.job_loop, handle->job_events->writable, (handle));
    rpc_see_to_idle(rpc_of(handle));
}

/* All messages of the other end have been delivered: what is open now stays without an answer. */
static void on_closed(struct job_port *port)
{
    struct job_rpc *handle = handle_of(port);
    rpc_fail_calls(rpc_of(handle), -EOWNERDEAD);
    (void)handle_close(&handle->handle);
    handle_release(&handle->handle);   /* what job_rpc_open() has held */
}

static const struct job_port_events port_events = {.message = on_message, .writable = on_writable, .closed = on_closed};

static void rpc_close(struct job_handle *handle)
{
    struct job_rpc *rpc = container_of(handle, struct job_rpc, handle);
    rpc_cancel_calls(rpc_of(rpc));
    job_port_close_now(&rpc->job_port);
}

static void rpc_closed(struct job_handle *handle)
{
    struct job_rpc *public = container_of(handle, struct job_rpc, handle);
    struct rpc *rpc = rpc_of(public);
    struct job_loop *loop = handle->job_loop;
    assert(rpc->stats.open == 0 && list_is_empty(&rpc->ended));
    deadline_clear(loop, &rpc->look);
    HANDLE_TELL_CLOSED(public, public->job_events->closed);   /* their memory is the user's: nothing of `public` is read below */
    rpc_drop_held(rpc);
    stats_rpc_release(rpc->shown);
    alloc_free(loop->root, rpc);
}

static const struct handle_kind rpc_kind = {.name = "rpc", .close = rpc_close, .closed = rpc_closed};

static struct rpc *rpc_new(struct job_rpc *handle, struct root *root, const struct job_rpc_options *options)
{
    unsigned calls = options->calls_max ? options->calls_max : RPC_CALLS_DEFAULT;
    struct rpc *rpc = alloc_zeroed(root, sizeof *rpc + calls * sizeof(struct rpc_slot));
    if (!rpc)
        return NULL;
    rpc->handle = handle;
    rpc->calls_max = calls;
    rpc->overdue_ns = options->overdue_ns ? options->overdue_ns : RPC_OVERDUE_DEFAULT_NS;
    strncpy(rpc->name, options->name ? options->name : "rpc", sizeof rpc->name - 1);
    list_init(&rpc->young);
    list_init(&rpc->overdue);
    list_init(&rpc->ended);
    list_init(&rpc->held);
    rpc->look.passed = look;
    rpc->mail.job_deliver = deliver;
    rpc->shown = stats_rpc_claim(root->stats, &(struct stats_rpc_facts){.name = rpc->name,
                                                                        .overdue_ns = rpc->overdue_ns,
                                                                        .limit_calls = calls,
                                                                        .line = handle->handle.job_loop->line});
    for (uint32_t i = 0; i < calls; i++)
        rpc->slots[i].next_free = i + 1 < calls ? i + 1 : no_slot;
    return rpc;
}

int job_rpc_open(struct job_loop *loop, struct job_rpc *handle, struct job_end **end,
                 const struct job_rpc_options *options, const struct job_rpc_events *events)
{
    static const struct job_rpc_options defaults = {0};
    options = options ? options : &defaults;
    if (!loop || !handle || !end || !*end || !events || (*end)->root != loop->root ||
        options->calls_max > RPC_CALLS_MAX)
        return -EINVAL;
    int err = handle_open(loop, &handle->handle, sizeof *handle, &rpc_kind);
    if (err < 0)
        return err;
    struct rpc *rpc = rpc_new(handle, loop->root, options);
    if (!rpc) {
        handle_abandon(&handle->handle);
        return -ENOMEM;
    }
    handle->job_events = events;
    handle->job_state = rpc;
    err = job_port_open(loop, &handle->job_port, end, &port_events);
    assert(err == 0);   /* all that it checks was checked by handle_open() */
    job_handle_unref(&handle->job_port.handle);   /* the rpc's own handle counts */
    handle_hold(&handle->handle);                 /* until the port is closed */
    rpc_see_to_idle(rpc);
    return 0;
}

int rpc_check(const struct job_rpc *handle)
{
    return handle ? handle_check(&handle->handle) : -EINVAL;
}

void job_rpc_stats(const struct job_rpc *handle, struct job_rpc_stats *stats)
{
    if (!stats)
        return;
    bool was_opened = handle && handle_state(&handle->handle) != HANDLE_NONE;
    *stats = was_opened ? rpc_of(handle)->stats : (struct job_rpc_stats){0};
}

void job_rpc_close(struct job_rpc *handle)
{
    if (handle)
        (void)handle_close(&handle->handle);
}
