/* rpc_answer.c — calls of the other end: received, held, and answered in whatever order.
 *
 * A call stays in the message that it came in, and the rpc lists it until it is answered: so nothing needs to be made when one arrives, and
 * nothing can fail there. What its answer needs to know is in the stamp at the end of the message's room.
 *
 * A caller that gives up its calls has room for new ones, while those that it has given up are still held here. So it says with each call
 * how many it may have open, and what would be one more than that is answered at once.
 */
#include <errno.h>

#include "message/port.h"
#include "message/rpc.h"

static struct job_message *message_of_stamp(struct stamp *stamp)
{
    return (struct job_message *)(void *)((char *)stamp + sizeof *stamp - MESSAGE_BYTES);
}

/* The message is the port's, and goes with what it carries. */
static void refuse(struct rpc *rpc, const struct stamp *call, int status)
{
    static const struct job_post empty = {0};
    struct stamp stamp = {.kind = MESSAGE_ANSWER, .call = call->call, .status = status};
    (void)port_post(&rpc->handle->job_port, &empty, &stamp);   /* no memory for it: the caller is told that it is overdue */
    rpc_show(rpc);
}

void rpc_asked(struct rpc *rpc, struct job_message *message)
{
    struct job_rpc *handle = rpc->handle;
    struct stamp *stamp = message_stamp(message);
    rpc->stats.served++;
    if (!handle->job_events->call) {
        refuse(rpc, stamp, -ENOSYS);
        return;
    }
    if (rpc->stats.unanswered >= stamp->calls_max) {
        JOB_MARK(rpc_holds_what_its_caller_has_given_up);
        rpc->stats.refused++;
        refuse(rpc, stamp, -EBUSY);
        return;
    }
    job_message_keep(message);
    message->kind = MESSAGE_HELD;
    stamp->holder = rpc;
    list_init(&stamp->node);
    list_push_back(&rpc->held, &stamp->node);
    rpc->stats.unanswered++;
    rpc_show(rpc);
    LOOP_CALL(rpc_loop(rpc), handle->job_events->call, (handle, message));
}

static void give_back(struct rpc *rpc, struct stamp *stamp)
{
    list_remove(&stamp->node);
    stamp->holder = NULL;   /* whoever has kept another copy of the pointer is refused */
    rpc->stats.unanswered--;
    rpc_show(rpc);
    message_give_back(message_of_stamp(stamp));
}

int job_rpc_answer(struct job_rpc *handle, struct job_message **call, int status, const struct job_post *post)
{
    static const struct job_post empty = {0};
    int err = rpc_check(handle);
    if (err < 0)
        return err;
    struct rpc *rpc = rpc_of(handle);
    struct job_message *message = call ? *call : NULL;
    if (!message || message->kind != MESSAGE_HELD || message_stamp(message)->holder != rpc)
        return -EINVAL;
    struct stamp *held = message_stamp(message);
    struct stamp stamp = {.kind = MESSAGE_ANSWER, .call = held->call, .status = status};
    err = port_post(&handle->job_port, post ? post : &empty, &stamp);
    if (err < 0)
        return err == -ECANCELED ? -EPIPE : err;   /* the rpc is open, so the port closes since the other end has */
    *call = NULL;
    give_back(rpc, held);
    return 0;
}

void rpc_drop_held(struct rpc *rpc)
{
    struct list *node;
    while ((node = list_first(&rpc->held)))
        give_back(rpc, container_of(node, struct stamp, node));
}
