/* ring_submit.c — from an op to an entry of the submission queue, and its cancel.
 *
 * Nothing is refused for want of an entry: the queue is submitted and goes on, and what finds none even so waits in a list until the next
 * wait(), in order. A cancel that is dropped is a hang, so cancels wait as well.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/limits.h"
#include "base/sys.h"
#include "engine/ring.h"
#include "memory/arena.h"
#include "memory/buf.h"

/* A disk that has answered many requests at once has nothing to do until the callbacks have run, all of them: it is asked for the next ones
 * as they come. What the kernel does not take now it takes at the next system call. */
static void submit_to_disk(struct ring_engine *ring)
{
    struct io_uring *uring = &ring->uring;
    unsigned submit = io_uring_sq_ready(uring);
    store_release(uring->sq.ktail, uring->sq.sqe_tail);   /* pairs with the kernel's load: liburing's own protocol */
    ring->base.enters++;
    ring->disk_unsubmitted = 0;
    (void)io_uring_enter2((unsigned)uring->ring_fd, submit, 0, 0, NULL, 0);   /* as ring_sqe(): an error comes again */
}

/* A free SQE, submitting first when the queue is full; NULL: not now. */
struct io_uring_sqe *ring_sqe(struct ring_engine *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (sqe || !ring->is_enabled)
        return sqe;
    JOB_MARK(ring_queue_full);
    (void)ring_enter(ring, 0, 0);   /* what it says comes again at the next one */
    return io_uring_get_sqe(&ring->uring);
}

/* The entry's frame is free: the kernel has taken what the entry said before (IORING_FEAT_SUBMIT_STABLE, since 5.5). */
static void prepare_send(struct ring_engine *ring, struct op *op, struct io_uring_sqe *sqe)
{
    struct ring_frame *frame = &ring->frames[sqe - ring->uring.sq.sqes];
    unsigned count = buf_vector(op->send.buf, frame->vector, SEND_SEGMENTS);
    if (count == 1) {
        io_uring_prep_send(sqe, op->fd, frame->vector->iov_base, frame->vector->iov_len, MSG_NOSIGNAL);
        return;
    }
    frame->message = (struct msghdr){.msg_iov = frame->vector, .msg_iovlen = count};
    io_uring_prep_sendmsg(sqe, op->fd, &frame->message, MSG_NOSIGNAL);
}

/* What one receive may bring before others' turn: a share of the arena, so that all of them together cannot empty it
 * (docs/decisions/033). */
static uint32_t receive_cap(const struct ring_engine *ring)
{
    size_t slot = slot_class_bytes(ring->buffers.class);
    size_t share = ring->buffers.arena->limit / RECEIVE_SHARE / (ring->base.in_flight + 1);
    return (uint32_t)min_size(max_size(share, slot), RECEIVE_BURST_BYTES);
}

static void prepare(struct ring_engine *ring, struct op *op, struct io_uring_sqe *sqe)
{
    switch ((enum op_kind)op->kind) {
    case OP_ACCEPT:
        io_uring_prep_accept(sqe, op->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        sqe->ioprio = (uint16_t)(op->accept.is_single ? 0 : IORING_ACCEPT_MULTISHOT);
        break;
    case OP_RECEIVE:
        io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        ring_buffers_use(&ring->buffers, ring->is_enabled);
        op->is_capped = ring->may_cap;
        if (op->is_capped)
            sqe->file_index = receive_cap(ring);   /* the kernel's sqe->optlen, at the same place */
        break;
    case OP_SEND:
        prepare_send(ring, op, sqe);
        break;
    case OP_READ:
        io_uring_prep_read(sqe, op->fd, op->read.bytes, op->read.len, (uint64_t)-1);
        break;
    case OP_READ_AT:
        io_uring_prep_read(sqe, op->fd, op->read.bytes, op->read.len, op->read.offset);
        break;
    case OP_WRITE_AT:
        io_uring_prep_writev(sqe, op->fd, op->write.vector, op->write.count, op->write.offset);
        break;
    case OP_SYNC:
        io_uring_prep_fsync(sqe, op->fd, op->sync.is_data_only ? IORING_FSYNC_DATASYNC : 0);
        break;
    case OP_CLOSE:
        io_uring_prep_close(sqe, op->fd);
        break;
    case OP_POLL:
        io_uring_prep_poll_add(sqe, op->fd, op->poll.events);
        break;
    case OP_FILL:
        io_uring_prep_recv(sqe, op->fd, op->read.bytes, op->read.len, 0);
        break;
    case OP_NONE:
    case OP_KINDS:
        assert(op->kind != OP_NONE && op->kind < OP_KINDS);
    }
    sqe->user_data = inflight_key(&ring->table, op);
}

/* Hands an op that is in the table to the kernel, or keeps it until there is an SQE. */
void ring_issue(struct ring_engine *ring, struct op *op)
{
    struct io_uring_sqe *sqe = list_is_empty(&ring->pending) ? ring_sqe(ring) : NULL;   /* those who wait come first */
    if (!sqe) {
        op->state = OP_PENDING;
        list_push_back(&ring->pending, &op->starved);
        return;
    }
    op->state = OP_KERNEL;
    prepare(ring, op, sqe);
    ring->disk_unsubmitted += op->kind == OP_READ_AT || op->kind == OP_WRITE_AT;
}

int ring_start(struct engine *engine, struct op *op)
{
    struct ring_engine *ring = ring_of(engine);
    assert(op->state == OP_IDLE);
    list_init(&op->starved);
    op->since_ns = engine->now_ns;
    op->is_cancelled = false;
    int err = inflight_add(&ring->table, op);
    if (err < 0)
        return err;
    engine->in_flight++;
    ring_issue(ring, op);
    /* Not in ring_issue(): what a completion issues again waits for the next turn, or one that ends at once would keep reap() for ever. */
    if (ring->disk_unsubmitted >= SUBMIT_DISK && ring->is_enabled)
        submit_to_disk(ring);
    return 0;
}

void ring_abort(struct ring_engine *ring, struct op *op)
{
    list_remove(&op->starved);
    op->state = OP_ABORTED;
    list_push_back(&ring->aborted, &op->starved);
}

static void issue_cancel(struct ring_engine *ring, struct op *op)
{
    struct io_uring_sqe *sqe = ring_sqe(ring);
    if (!sqe) {   /* a cancel that is dropped is a hang */
        list_push_back(&ring->cancels, &op->starved);
        return;
    }
    io_uring_prep_cancel64(sqe, inflight_key(&ring->table, op), 0);
    sqe->user_data = KEY_IGNORE;
}

void ring_cancel(struct engine *engine, struct op *op)
{
    struct ring_engine *ring = ring_of(engine);
    if (op->is_cancelled || op->state == OP_IDLE || op->state == OP_ENDED)
        return;
    op->is_cancelled = true;
    if (op->state == OP_KERNEL)
        issue_cancel(ring, op);
    else if (op->state != OP_ABORTED)
        ring_abort(ring, op);
}

/* What found no SQE before. */
void ring_issue_waiting(struct ring_engine *ring)
{
    struct list cancels, pending;
    list_init(&cancels);
    list_splice_back(&cancels, &ring->cancels);
    struct list *node;
    while ((node = list_pop_front(&cancels))) {
        struct op *op = container_of(node, struct op, starved);
        if (op->state == OP_KERNEL)
            issue_cancel(ring, op);
    }
    list_init(&pending);
    list_splice_back(&pending, &ring->pending);
    while ((node = list_pop_front(&pending)))
        ring_issue(ring, container_of(node, struct op, starved));
}

/* Many connections have data at the same moment; a few that send as fast as they can would empty a ring of any size. */
bool ring_starved_are_many(const struct ring_engine *ring)
{
    unsigned many = ring->buffers.wanted / 2;
    unsigned count = 0;
    for (const struct list *node = ring->starved.next; node != &ring->starved && count < many; node = node->next)
        count++;
    return count == many && many > 0;
}

/* Receives that found no slot go on when there are some: a few more than there are slots, since those without data only arm. */
void ring_restart_starved(struct ring_engine *ring)
{
    unsigned budget = ring->buffers.available * 2;
    for (unsigned i = 0; i < budget; i++) {
        struct list *node = list_pop_front(&ring->starved);
        if (!node)
            return;
        JOB_MARK(ring_restarts_starved);
        ring_issue(ring, container_of(node, struct op, starved));
    }
}
