/* ring.c — the io_uring engine.
 *
 * One floor: what kernel 6.1 has, as a bundle (multishot accept and receive, provided buffers, SINGLE_ISSUER, DEFER_TASKRUN, NODROP,
 * EXT_ARG). Below it, or where io_uring is forbidden, open fails and says why. The ring is made disabled and enabled by the first wait():
 * it belongs to that thread.
 *
 * An op:   idle ──start──▶ PENDING (no SQE free) ──▶ KERNEL ──terminal CQE──▶ ENDED ──op_delivered()──▶ idle
 *                                                   KERNEL ──no buffer──▶ STARVED ──slots again──▶ KERNEL
 *          cancelled while PENDING or STARVED: ──▶ ABORTED, whose completion wait() makes up.
 *
 * A completion queue entry says what its op is by index and generation (inflight.c). Entries are copied out and the queue's head is
 * advanced before anybody's callback runs, so callbacks may start as much as they like: a full submission queue is submitted and goes on.
 */
#include "engine/ring.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/annotate.h"
#include "base/bits.h"
#include "base/limits.h"
#include "base/sys.h"
#include "engine/ring_refusal.h"
#include "memory/arena.h"
#include "memory/buf.h"
#include "queue/mailbox.h"

enum {
    CQ_FACTOR = 8,   /* completions of multishot operations outnumber submissions */
};

/* Newer than liburing 2.3. */
#define FEAT_NO_IOWAIT (1U << 17)
#define ENTER_NO_IOWAIT (1U << 7)

/* user_data that are no ops: generation 0. */
enum { KEY_IGNORE = 1, KEY_WAKE = 2 };

static struct ring_engine *ring_of(struct engine *engine)
{
    return container_of(engine, struct ring_engine, base);
}

/* One system call: submits, and waits for `wait` completions until the deadline. 0 or a negative errno. */
static int enter(struct ring_engine *ring, unsigned wait, uint64_t timeout_ns)
{
    struct io_uring *uring = &ring->uring;
    unsigned submit = io_uring_sq_ready(uring);
    store_release(uring->sq.ktail, uring->sq.sqe_tail);   /* pairs with the kernel's load: liburing's own protocol */
    struct __kernel_timespec timeout = {
        .tv_sec = (int64_t)(timeout_ns / 1000000000U), .tv_nsec = (int64_t)(timeout_ns % 1000000000U)};
    struct io_uring_getevents_arg arg = {.ts = timeout_ns == UINT64_MAX ? 0 : (uint64_t)(uintptr_t)&timeout};
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | (wait ? ring->wait_flags : 0);
    ring->base.enters++;
    ring->disk_unsubmitted = 0;
    int rc = io_uring_enter2((unsigned)uring->ring_fd, submit, wait, flags, (sigset_t *)(void *)&arg, sizeof arg);
    return rc < 0 ? rc : 0;
}

/* A disk that has answered many requests at once has nothing to do until the callbacks have run, all of them: it is asked for the next ones
 * as they come. What the kernel does not take now it takes at the next system call. */
static void submit_to_disk(struct ring_engine *ring)
{
    struct io_uring *uring = &ring->uring;
    unsigned submit = io_uring_sq_ready(uring);
    store_release(uring->sq.ktail, uring->sq.sqe_tail);   /* pairs with the kernel's load: liburing's own protocol */
    ring->base.enters++;
    ring->disk_unsubmitted = 0;
    (void)io_uring_enter2((unsigned)uring->ring_fd, submit, 0, 0, NULL, 0);   /* as get_sqe(): an error comes again */
}

/* A free SQE, submitting first when the queue is full; NULL: not now. */
static struct io_uring_sqe *get_sqe(struct ring_engine *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (sqe || !ring->is_enabled)
        return sqe;
    JOB_MARK(ring_queue_full);
    (void)enter(ring, 0, 0);   /* what it says comes again at the next one */
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
static void issue(struct ring_engine *ring, struct op *op)
{
    struct io_uring_sqe *sqe = list_is_empty(&ring->pending) ? get_sqe(ring) : NULL;   /* those who wait come first */
    if (!sqe) {
        op->state = OP_PENDING;
        list_push_back(&ring->pending, &op->starved);
        return;
    }
    op->state = OP_KERNEL;
    prepare(ring, op, sqe);
    ring->disk_unsubmitted += op->kind == OP_READ_AT || op->kind == OP_WRITE_AT;
}

static int ring_start(struct engine *engine, struct op *op)
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
    issue(ring, op);
    /* Not in issue(): what a completion issues again waits for the next turn, or one that ends at once would keep reap() for ever. */
    if (ring->disk_unsubmitted >= SUBMIT_DISK && ring->is_enabled)
        submit_to_disk(ring);
    return 0;
}

static void abort_op(struct ring_engine *ring, struct op *op)
{
    list_remove(&op->starved);
    op->state = OP_ABORTED;
    list_push_back(&ring->aborted, &op->starved);
}

static void issue_cancel(struct ring_engine *ring, struct op *op)
{
    struct io_uring_sqe *sqe = get_sqe(ring);
    if (!sqe) {   /* a cancel that is dropped is a hang */
        list_push_back(&ring->cancels, &op->starved);
        return;
    }
    io_uring_prep_cancel64(sqe, inflight_key(&ring->table, op), 0);
    sqe->user_data = KEY_IGNORE;
}

static void ring_cancel(struct engine *engine, struct op *op)
{
    struct ring_engine *ring = ring_of(engine);
    if (op->is_cancelled || op->state == OP_IDLE || op->state == OP_ENDED)
        return;
    op->is_cancelled = true;
    if (op->state == OP_KERNEL)
        issue_cancel(ring, op);
    else if (op->state != OP_ABORTED)
        abort_op(ring, op);
}

/* What found no SQE before. */
static void issue_waiting(struct ring_engine *ring)
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
        issue(ring, container_of(node, struct op, starved));
}

/* Many connections have data at the same moment; a few that send as fast as they can would empty a ring of any size. */
static bool starved_are_many(const struct ring_engine *ring)
{
    unsigned many = ring->buffers.wanted / 2;
    unsigned count = 0;
    for (const struct list *node = ring->starved.next; node != &ring->starved && count < many; node = node->next)
        count++;
    return count == many && many > 0;
}

/* Receives that found no slot go on when there are some: a few more than there are slots, since those without data only arm. */
static void restart_starved(struct ring_engine *ring)
{
    unsigned budget = ring->buffers.available * 2;
    for (unsigned i = 0; i < budget; i++) {
        struct list *node = list_pop_front(&ring->starved);
        if (!node)
            return;
        JOB_MARK(ring_restarts_starved);
        issue(ring, container_of(node, struct op, starved));
    }
}

static void end_op(struct ring_engine *ring, struct op *op)
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
        abort_op(ring, op);
        return true;
    }
    inflight_renew(&ring->table, op);
    issue(ring, op);
    return true;
}

static bool is_passing_accept_error(int res)
{
    return res == -ECONNABORTED || res == -EAGAIN || res == -EINTR || res == -EPROTO || res == -ENETDOWN ||
           res == -EHOSTDOWN || res == -EHOSTUNREACH || res == -ENETUNREACH;
}

/* The kernel was disturbed, or short of something for a moment: the operation has done nothing. */
static bool is_passing_error(int res)
{
    return res == -EAGAIN || res == -EINTR;
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
    end_op(ring, op);
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
    end_op(ring, op);
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
    end_op(ring, op);
    return true;
}

static void reap_wake(struct ring_engine *ring, int res);

static bool complete(struct ring_engine *ring, const struct io_uring_cqe *cqe, struct completion *completion)
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
        end_op(ring, op);
        return true;
    }
}

/* The oldest entry of the queue as it is. Not io_uring_peek_cqe(): when the queue is empty and the kernel has more to do, that enters the
 * kernel from here, and a peer that sends fast enough keeps it there until the batch is full. */
static const struct io_uring_cqe *first_cqe(struct ring_engine *ring)
{
    const struct io_uring_cqe *cqe;
    unsigned head;
    io_uring_for_each_cqe(&ring->uring, head, cqe) {
        return cqe;
    }
    return NULL;
}

/* Copies completions out, and the ends of ops that never came to the kernel again. */
static unsigned reap(struct ring_engine *ring, struct completion *ready, unsigned max)
{
    unsigned count = 0;
    struct list *node;
    while (count < max && (node = list_pop_front(&ring->aborted))) {
        struct op *op = container_of(node, struct op, starved);
        ready[count++] = (struct completion){.op = op, .res = -ECANCELED};
        end_op(ring, op);
    }
    const struct io_uring_cqe *cqe;
    while (count < max && (cqe = first_cqe(ring))) {
        struct io_uring_cqe copy = *cqe;
        io_uring_cq_advance(&ring->uring, 1);
        if (copy.user_data == KEY_WAKE)
            reap_wake(ring, copy.res);
        else
            count += complete(ring, &copy, &ready[count]);
    }
    return count;
}

static void arm_wake(struct ring_engine *ring)
{
    struct io_uring_sqe *sqe = get_sqe(ring);
    ring->is_wake_armed = sqe != NULL;   /* else the next wait() tries again before it sleeps */
    if (!sqe)
        return;
    io_uring_prep_read(sqe, ring->wake_fd, &ring->wake_count, sizeof ring->wake_count, 0);
    sqe->user_data = KEY_WAKE;
}

static void reap_wake(struct ring_engine *ring, int res)
{
    annotate_acquire(&ring->wake_fd);
    ring->is_wake_armed = false;
    if (res == (int)sizeof ring->wake_count)
        ring->base.woken += ring->wake_count;
    if (!ring->is_closing)
        arm_wake(ring);
}

static void ring_wake(struct engine *engine)
{
    struct ring_engine *ring = ring_of(engine);
    int fd = ring->wake_fd;
    annotate_release(&ring->wake_fd);
    (void)sys_eventfd_signal(fd);   /* fails only after 2^64 unread signals */
}

static int enable(struct ring_engine *ring)
{
    if (ring->base.root->pid != getpid())
        return -EPERM;
    int err = sys_io_uring_register(ring->uring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (err < 0)
        return err;
    ring->is_enabled = true;
    return 0;
}

static bool is_to_reap(struct ring_engine *ring)
{
    return !list_is_empty(&ring->aborted) || io_uring_cq_ready(&ring->uring) > 0;
}

/* Completions that the kernel holds back: deferred work, or an overflow of the queue. */
static bool kernel_holds_some(struct ring_engine *ring)
{
    unsigned flags = load_acquire(ring->uring.sq.kflags);   /* pairs with the kernel's store */
    if (flags & IORING_SQ_CQ_OVERFLOW)
        ring->base.overflows++;
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static int submit_and_wait(struct ring_engine *ring, uint64_t deadline_ns)
{
    bool is_waiting = deadline_ns > 0 && !is_to_reap(ring) && list_is_empty(&ring->pending) &&
                      list_is_empty(&ring->cancels) && ring->is_wake_armed &&
                      (list_is_empty(&ring->starved) || ring->buffers.available == 0);
    if (!is_waiting && io_uring_sq_ready(&ring->uring) == 0 && !kernel_holds_some(ring))
        return 0;   /* no system call for nothing */
    uint64_t timeout = UINT64_MAX;
    if (is_waiting && deadline_ns != UINT64_MAX) {
        uint64_t now = ring->base.root->now_ns();
        timeout = deadline_ns > now ? deadline_ns - now : 0;
    }
    int err = enter(ring, is_waiting && timeout > 0, timeout);
    /* EINTR: a signal. EAGAIN, EBUSY: the kernel is short of memory or its queue is full; what was not taken is still queued. */
    if (err == -ETIME || err == -EINTR || err == -EAGAIN || err == -EBUSY)
        err = 0;
    return err;
}

static int ring_wait(struct engine *engine, uint64_t deadline_ns, struct completion *ready, unsigned max)
{
    struct ring_engine *ring = ring_of(engine);
    if (!ring->is_enabled) {
        int err = enable(ring);
        if (err < 0)
            return err;
    }
    if (!ring->is_wake_armed)
        arm_wake(ring);
    if (starved_are_many(ring))   /* also when a refill came between two batches of one burst */
        ring_buffers_grow(&ring->buffers);
    if (!ring->was_look || !ring->buffers.starved.is_registered)
        ring_buffers_refill(&ring->buffers);
    issue_waiting(ring);
    restart_starved(ring);
    uint64_t look_ns = hunger_look(&ring->hunger, !list_is_empty(&ring->starved));
    int err = submit_and_wait(ring, look_ns < deadline_ns ? look_ns : deadline_ns);
    if (err < 0)
        return err;
    unsigned count = reap(ring, ready, max);
    ring->was_look = count == 0 && look_ns < deadline_ns;
    return (int)count;
}

static int open_uring(struct ring_engine *ring, unsigned entries)
{
    struct root *root = ring->base.root;
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = entries * CQ_FACTOR,
    };
    int err = io_uring_queue_init_params(entries, &ring->uring, &params);
    if (err < 0)
        return ring_refusal(root, err);
    unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE;
    if ((params.features & needed) != needed) {
        io_uring_queue_exit(&ring->uring);
        return ring_refusal(root, -EINVAL);
    }
    annotate_acquire(root);   /* the kernel may map it where another thread's was before */
    (void)io_uring_ring_dontfork(&ring->uring);   /* a child that used it would steal completions */
    if (params.features & FEAT_NO_IOWAIT)
        feature_found(&root->features, FEATURE_NO_IOWAIT);
    feature_found(&root->features, FEATURE_RECEIVE_CAP);   /* until this kernel refuses the first receive */
    ring->may_cap = feature_is_on(&root->features, FEATURE_RECEIVE_CAP);
    if (feature_is_on(&root->features, FEATURE_NO_IOWAIT))
        ring->wait_flags = ENTER_NO_IOWAIT;
    for (unsigned i = 0; i < ring->uring.sq.ring_entries; i++)
        ring->uring.sq.array[i] = i;   /* SQE i stands at place i: enter() only moves the tail */
    return 0;
}

static int ring_open(struct root *root, const struct engine_options *options, struct engine **out)
{
    if (root->pid != getpid())
        return -EPERM;
    struct ring_engine *ring = alloc_lines(root, sizeof *ring);
    if (!ring)
        return -ENOMEM;
    ring->base = (struct engine){.type = &engine_ring, .root = root};
    list_init(&ring->pending);
    list_init(&ring->cancels);
    list_init(&ring->starved);
    ring->hunger = (struct hunger){.who = options->name ? options->name : "engine", .arena = options->arena};
    list_init(&ring->aborted);
    int err = ring->wake_fd = sys_eventfd();
    if (err < 0)
        goto free_ring;
    err = inflight_init(&ring->table, root, options->entries);
    if (err < 0)
        goto close_wake;
    err = open_uring(ring, options->entries);
    if (err < 0)
        goto free_table;
    err = -ENOMEM;
    ring->frames = alloc_zeroed(root, ring->uring.sq.ring_entries * sizeof *ring->frames);
    if (!ring->frames)
        goto exit_uring;
    err = ring_buffers_open(&ring->buffers, root, options->arena, &ring->uring, options->mailbox,
                            options->receive_slots, options->receive_class);
    if (err < 0)
        goto free_frames;
    (void)fetch_add_relaxed(&root->fds, 2);   /* ledger: orders nothing */
    *out = &ring->base;
    return 0;
free_frames:
    alloc_free(root, ring->frames);
exit_uring:
    io_uring_queue_exit(&ring->uring);
free_table:
    inflight_fini(&ring->table);
close_wake:
    (void)sys_close(ring->wake_fd);
free_ring:
    alloc_free(root, ring);
    return err;
}

/* The read of the eventfd is the last thing in flight. Closing the ring would not stop it at once, and it points into memory that goes. */
static void disarm_wake(struct ring_engine *ring)
{
    struct completion none;
    bool is_asked = false;
    ring->is_closing = true;
    while (ring->is_enabled && ring->is_wake_armed) {
        struct io_uring_sqe *sqe = is_asked ? NULL : get_sqe(ring);
        if (sqe) {
            io_uring_prep_cancel64(sqe, KEY_WAKE, 0);
            sqe->user_data = KEY_IGNORE;
            is_asked = true;
        }
        int err = enter(ring, is_asked, UINT64_MAX);
        if (err < 0 && !is_passing_error(err) && err != -EBUSY)
            return;
        unsigned count = reap(ring, &none, 1);
        assert(count == 0);   /* no op is in flight */
    }
}

static unsigned ring_close(struct engine *engine)
{
    struct ring_engine *ring = ring_of(engine);
    struct root *root = engine->root;
    if (engine->in_flight > 0)
        return engine->in_flight;   /* closing the ring would not stop them: everything that they may touch stays */
    disarm_wake(ring);
    annotate_release(root);   /* see open_uring() */
    io_uring_queue_exit(&ring->uring);
    ring_buffers_close(&ring->buffers);
    alloc_free(root, ring->frames);
    inflight_fini(&ring->table);
    (void)sys_close(ring->wake_fd);
    (void)fetch_sub_relaxed(&root->fds, 2);   /* ledger: orders nothing */
    alloc_free(root, ring);
    return 0;
}

static void ring_each(struct engine *engine, void (*fn)(struct op *op, void *arg), void *arg)
{
    struct ring_engine *ring = ring_of(engine);
    for (uint32_t i = 0; i < ring->table.capacity; i++) {
        if (ring->table.entries[i].op)
            fn(ring->table.entries[i].op, arg);
    }
}

const struct engine_type engine_ring = {
    .name = "ring",
    .open = ring_open,
    .start = ring_start,
    .cancel = ring_cancel,
    .wait = ring_wait,
    .wake = ring_wake,
    .close = ring_close,
    .each = ring_each,
};
