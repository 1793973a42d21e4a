/* ring_complete.c — from an entry of the completion queue to what the caller hears of its op.
 *
 * An operation of many completions that the kernel ends for reasons of its own is begun anew unseen, and so is what was only disturbed.
 */
#include <errno.h>

#include "engine/ring.h"
#include "memory/buf.h"

void ring_end_op(struct ring_engine *ring, struct op *op)
{
    list_remove(&op->starved);   /* perhaps a cancel that still waited for an SQE */
    inflight_remove(&ring->table, op);
    op->state = OP_ENDED;
    ring->base.in_flight--;
}

/* The operation goes on by itself no more: the caller sees `more` all the same, unless it was cancelled. */
static bool go_on(struct ring_engine *ring, struct op *op, struct completion *completion)
{
    completion->more = true;
    list_remove(&op->starved);
    if (op->is_cancelled) {   /* its end comes with the next wait() */
        ring_abort(ring, op);
        return true;
    }
    inflight_renew(&ring->table, op);
    ring_issue(ring, op);
    return true;
}

static bool is_passing_accept_error(int res)
{
    return res == -ECONNABORTED || res == -EAGAIN || res == -EINTR || res == -EPROTO || res == -ENETDOWN ||
           res == -EHOSTDOWN || res == -EHOSTUNREACH || res == -ENETUNREACH;
}

/* True: there is a completion for the caller. */
static bool complete_accept(struct ring_engine *ring, struct op *op, struct completion *completion)
{
    if (completion->more)
        return true;
    if (completion->res >= 0 && !op->accept.is_single)
        return go_on(ring, op, completion);
    if (is_passing_accept_error(completion->res) && !op->is_cancelled) {
        (void)go_on(ring, op, completion);
        return false;
    }
    ring_end_op(ring, op);
    return true;
}

/* Such an operation goes on unseen, or ends if it was cancelled. */
static bool disturbed(struct ring_engine *ring, struct op *op, struct completion *completion)
{
    if (!op->is_cancelled) {
        (void)go_on(ring, op, completion);
        return false;
    }
    completion->res = -ECANCELED;
    ring_end_op(ring, op);
    return true;
}

static bool complete_receive(struct ring_engine *ring, struct op *op, struct completion *completion)
{
    if (completion->res > 0 && !completion->buf)
        completion->res = -EIO;   /* data without a buffer: the kernel does not do that */
    if (completion->more)
        return completion->res > 0;
    if (completion->res > 0)
        return go_on(ring, op, completion);
    if (is_passing_error(completion->res))
        return disturbed(ring, op, completion);
    if (completion->res == -EINVAL && op->is_capped) {   /* a kernel before 6.17 */
        JOB_MARK(ring_receive_uncapped);
        ring->may_cap = false;
        return disturbed(ring, op, completion);
    }
    if (completion->res == -ENOBUFS) {
        ring->base.starved++;
        if (op->is_cancelled) {
            completion->res = -ECANCELED;
        } else {
            JOB_MARK(ring_receive_starves);
            op->state = OP_STARVED;
            list_push_back(&ring->starved, &op->starved);
            inflight_renew(&ring->table, op);
            completion->more = true;
            return true;
        }
    }
    ring_end_op(ring, op);
    return true;
}

bool ring_complete(struct ring_engine *ring, const struct io_uring_cqe *cqe, struct completion *completion)
{
    struct op *op = inflight_find(&ring->table, cqe->user_data);
    bool has_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;   /* without the flag the upper bits mean nothing */
    unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    if (!op || op->state != OP_KERNEL || (has_buffer && op->kind != OP_RECEIVE)) {
        if (has_buffer)
            ring_buffers_put(&ring->buffers, id);
        ring->base.stale += cqe->user_data != KEY_IGNORE;
        return false;
    }
    *completion = (struct completion){.op = op, .res = cqe->res, .more = (cqe->flags & IORING_CQE_F_MORE) != 0};
    if (has_buffer && cqe->res > 0)
        completion->buf = ring_buffers_take(&ring->buffers, id, (size_t)cqe->res);
    else if (has_buffer)
        ring_buffers_put(&ring->buffers, id);
    switch ((enum op_kind)op->kind) {
    case OP_ACCEPT: return complete_accept(ring, op, completion);
    case OP_RECEIVE: return complete_receive(ring, op, completion);
    default:
        completion->more = false;
        if (is_passing_error(completion->res) && op->kind != OP_CLOSE)   /* a close that was interrupted has closed */
            return disturbed(ring, op, completion);
        ring_end_op(ring, op);
        return true;
    }
}
