/* rpc_call.c — calls of this end: from job_rpc_call() to `done`.
 *
 *      idle ──job_rpc_call──▶ open ──answer, time-out, or the other end is gone──▶ `done`, idle
 *                              └──canceled, or this end closes──▶ ended ──mail──▶ `done`, idle
 *
 * Whatever takes a call off the open ones frees its slot, so whatever comes later finds another generation there.
 */
#include <errno.h>

#include "message/port.h"
#include "message/rpc.h"

static struct list *node_of(struct job_rpc_call *call)
{
    return (struct list *)call->job_node;
}

static struct job_rpc_call *call_of(struct list *node)
{
    return container_of((void **)node, struct job_rpc_call, job_node[0]);
}

static struct deadline *deadline_of(struct job_rpc_call *call)
{
    return (struct deadline *)call->job_deadline;
}

static uint64_t number_of(const struct rpc *rpc, uint32_t slot)
{
    return (uint64_t)rpc->slots[slot].generation << 32 | slot;
}

/* It is open no more. */
static void take_off(struct rpc *rpc, struct job_rpc_call *call)
{
    struct rpc_slot *slot = &rpc->slots[call->job_slot];
    assert(call->job_state == RPC_CALL_OPEN && slot->call == call);
    list_remove(node_of(call));
    deadline_clear(rpc_loop(rpc), deadline_of(call));
    slot->call = NULL;
    slot->generation++;
    slot->next_free = rpc->first_free;
    rpc->first_free = call->job_slot;
    rpc->stats.open--;
    if (!rpc->wants_room)
        return;
    rpc->wants_room = false;
    rpc->has_room = true;
    rpc_owe_mail(rpc);
}

/* The call is the user's again inside. */
static void tell(struct rpc *rpc, struct job_rpc_call *call, int status, struct job_message *answer)
{
    call->job_state = RPC_CALL_IDLE;
    rpc_show(rpc);
    LOOP_CALL(rpc_loop(rpc), call->done, (call, status, answer));
}

static void is_late(struct deadline *deadline)
{
    struct job_rpc_call *call = (struct job_rpc_call *)((char *)deadline - offsetof(struct job_rpc_call, job_deadline));
    struct rpc *rpc = rpc_of(call->job_rpc);
    take_off(rpc, call);
    rpc->stats.timed_out++;
    tell(rpc, call, -ETIMEDOUT, NULL);
    rpc_see_to_idle(rpc);
}

static void begin(struct rpc *rpc, struct job_rpc_call *call, uint64_t timeout_ns)
{
    struct job_loop *loop = rpc_loop(rpc);
    struct rpc_slot *slot = &rpc->slots[rpc->first_free];
    call->job_rpc = rpc->handle;
    call->job_slot = rpc->first_free;
    call->job_state = RPC_CALL_OPEN;
    call->job_since_ns = loop->now_ns;
    rpc->first_free = slot->next_free;
    slot->call = call;
    list_init(node_of(call));
    list_push_back(&rpc->young, node_of(call));
    *deadline_of(call) = (struct deadline){.passed = is_late};
    if (timeout_ns > 0)
        deadline_set(loop, deadline_of(call), time_after(loop->root->now_ns(), timeout_ns));
    rpc->stats.calls++;
    rpc->stats.open++;
    rpc_show(rpc);
    rpc_watch(rpc);
}

int job_rpc_call(struct job_rpc *handle, struct job_rpc_call *call, const struct job_post *post, uint64_t timeout_ns)
{
    static const struct job_post empty = {0};
    int err = rpc_check(handle);
    if (err < 0)
        return err;
    if (!call || !call->done)
        return -EINVAL;
    if (call->job_state != RPC_CALL_IDLE)
        return -EBUSY;
    struct rpc *rpc = rpc_of(handle);
    if (rpc->first_free == no_slot) {
        rpc->wants_room = true;
        return -EAGAIN;
    }
    struct stamp stamp = {
        .kind = MESSAGE_CALL, .calls_max = rpc->calls_max, .call = number_of(rpc, rpc->first_free)};
    err = port_post(&handle->job_port, post ? post : &empty, &stamp);
    if (err == 0)
        begin(rpc, call, timeout_ns);   /* its answer comes on this thread: not before */
    rpc_see_to_idle(rpc);
    return err == -ECANCELED ? -EPIPE : err;   /* the rpc is open, so the port closes since the other end has */
}

void rpc_answered(struct rpc *rpc, struct job_message *message)
{
    const struct stamp *stamp = message_stamp(message);
    uint32_t slot = (uint32_t)stamp->call;
    assert(slot < rpc->calls_max);
    if (!rpc->slots[slot].call || stamp->call != number_of(rpc, slot)) {
        JOB_MARK(rpc_answer_is_late);
        rpc->stats.late++;
        rpc_show(rpc);
        return;   /* the port drops it */
    }
    struct job_rpc_call *call = rpc->slots[slot].call;
    take_off(rpc, call);
    rpc->stats.answered++;
    tell(rpc, call, stamp->status, message);
    rpc_see_to_idle(rpc);
}

static void end_later(struct rpc *rpc, struct job_rpc_call *call)
{
    take_off(rpc, call);
    rpc->stats.canceled++;
    call->job_state = RPC_CALL_ENDED;
    list_push_back(&rpc->ended, node_of(call));
    rpc_show(rpc);
    rpc_owe_mail(rpc);
}

void job_rpc_cancel(struct job_rpc_call *call)
{
    if (call && call->job_state == RPC_CALL_OPEN && handle_is_here(&call->job_rpc->handle, "job_rpc_cancel"))
        end_later(rpc_of(call->job_rpc), call);
}

static struct job_rpc_call *first_open(struct rpc *rpc)
{
    struct list *node = list_first(&rpc->overdue);
    if (!node)
        node = list_first(&rpc->young);
    return node ? call_of(node) : NULL;
}

void rpc_cancel_calls(struct rpc *rpc)
{
    struct job_rpc_call *call;
    while ((call = first_open(rpc)))
        end_later(rpc, call);
}

void rpc_fail_calls(struct rpc *rpc, int status)
{
    struct job_rpc_call *call;
    while ((call = first_open(rpc))) {
        take_off(rpc, call);
        rpc->stats.dead++;
        tell(rpc, call, status, NULL);
    }
}

void rpc_tell_ended(struct rpc *rpc)
{
    struct list ended, *node;
    list_init(&ended);
    list_splice_back(&ended, &rpc->ended);   /* those that are canceled meanwhile have their own mail */
    while ((node = list_pop_front(&ended)))
        tell(rpc, call_of(node), -ECANCELED, NULL);
}
