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
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/annotate.h"
#include "base/sys.h"
#include "engine/ring_refusal.h"
#include "memory/arena.h"
#include "queue/mailbox.h"

enum {
    CQ_FACTOR = 8,   /* completions of multishot operations outnumber submissions */
};

/* Newer than liburing 2.3. */
#define FEAT_NO_IOWAIT (1U << 17)
#define ENTER_NO_IOWAIT (1U << 7)

/* One system call: submits, and waits for `wait` completions until the deadline. 0 or a negative errno. */
int ring_enter(struct ring_engine *ring, unsigned wait, uint64_t timeout_ns)
{
    struct io_uring *uring = &ring->uring;
    unsigned submit = io_uring_sq_ready(uring);
    store_release(uring->sq.ktail, uring->sq.sqe_tail);   /* pairs with the kernel's load: liburing's own protocol */
    struct __kernel_timespec timeout = {
        .tv_sec = (int64_t)(timeout_ns / 1000000000U), .tv_nsec = (int64_t)(timeout_ns % 1000000000U)};
    struct io_uring_getevents_arg arg = {.ts = timeout_ns == TIME_NEVER ? 0 : (uint64_t)(uintptr_t)&timeout};
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | (wait ? ring->wait_flags : 0);
    ring->base.enters++;
    ring->disk_unsubmitted = 0;
    int rc = io_uring_enter2((unsigned)uring->ring_fd, submit, wait, flags, (sigset_t *)(void *)&arg, sizeof arg);
    return rc < 0 ? rc : 0;
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

static void reap_wake(struct ring_engine *ring, bool goes_on);

/* Copies completions out, and the ends of ops that never came to the kernel again. */
static unsigned reap(struct ring_engine *ring, struct completion *ready, unsigned max)
{
    unsigned count = 0;
    struct list *node;
    while (count < max && (node = list_pop_front(&ring->aborted))) {
        struct op *op = container_of(node, struct op, starved);
        ready[count++] = (struct completion){.op = op, .res = -ECANCELED};
        ring_end_op(ring, op);
    }
    const struct io_uring_cqe *cqe;
    while (count < max && (cqe = first_cqe(ring))) {
        struct io_uring_cqe copy = *cqe;
        io_uring_cq_advance(&ring->uring, 1);
        if (copy.user_data == KEY_WAKE)
            reap_wake(ring, (copy.flags & IORING_CQE_F_MORE) != 0);
        else
            count += ring_complete(ring, &copy, &ready[count]);
    }
    return count;
}

/* One poll for the engine's whole life, which tells each signal. Nobody reads the eventfd meanwhile: to arm a read anew for each wake
 * made a hand-over between two sleepers 1.3 times as long (docs/decisions/043). What was signalled before it is armed it tells at once. */
static void arm_wake(struct ring_engine *ring)
{
    struct io_uring_sqe *sqe = ring_sqe(ring);
    ring->is_wake_armed = sqe != NULL;   /* else the next wait() tries again before it sleeps */
    if (!sqe)
        return;
    io_uring_prep_poll_multishot(sqe, ring->wake_fd, POLLIN);
    sqe->user_data = KEY_WAKE;
}

static void reap_wake(struct ring_engine *ring, bool goes_on)
{
    annotate_acquire(&ring->wake_fd);
    ring->is_wake_armed = goes_on;
    if (!goes_on && !ring->is_closing)
        arm_wake(ring);
}

static void ring_wake(struct engine *engine)
{
    struct ring_engine *ring = ring_of(engine);
    int fd = ring->wake_fd;
    annotate_release(&ring->wake_fd);
    (void)sys_eventfd_signal(fd);   /* fails only after 2^64 unread signals */
}

static uint64_t ring_woken(struct engine *engine)
{
    struct ring_engine *ring = ring_of(engine);
    uint64_t count = 0;
    if (sys_eventfd_take(ring->wake_fd, &count) == 0)
        ring->woken += count;
    annotate_acquire(&ring->wake_fd);
    return ring->woken;
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
    bool has_end = is_waiting && deadline_ns != TIME_NEVER;
    uint64_t timeout = has_end ? time_left(deadline_ns, ring->base.root->now_ns()) : TIME_NEVER;
    int err = ring_enter(ring, is_waiting && timeout > 0, timeout);
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
    if (ring_starved_are_many(ring))   /* also when a refill came between two batches of one burst */
        ring_buffers_grow(&ring->buffers);
    if (!ring->was_look || !ring->buffers.starved.is_registered)
        ring_buffers_refill(&ring->buffers);
    ring_issue_waiting(ring);
    ring_restart_starved(ring);
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
    err = sys_lift(&ring->uring.ring_fd);
    if (err < 0) {
        io_uring_queue_exit(&ring->uring);
        return err;
    }
    ring->uring.enter_ring_fd = ring->uring.ring_fd;
    annotate_acquire(root);   /* the kernel may map it where another thread's was before */
    (void)io_uring_ring_dontfork(&ring->uring);   /* a child that used it would steal completions */
    if (params.features & FEAT_NO_IOWAIT)
        feature_found(&root->features, FEATURE_NO_IOWAIT);
    feature_found(&root->features, FEATURE_RECEIVE_CAP);   /* until this kernel refuses the first receive */
    ring->may_cap = feature_is_on(&root->features, FEATURE_RECEIVE_CAP);
    if (feature_is_on(&root->features, FEATURE_NO_IOWAIT))
        ring->wait_flags = ENTER_NO_IOWAIT;
    for (unsigned i = 0; i < ring->uring.sq.ring_entries; i++)
        ring->uring.sq.array[i] = i;   /* SQE i stands at place i: ring_enter() only moves the tail */
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

/* The poll of the eventfd is the last thing in flight. */
static void disarm_wake(struct ring_engine *ring)
{
    struct completion none;
    bool is_asked = false;
    ring->is_closing = true;
    while (ring->is_enabled && ring->is_wake_armed) {
        struct io_uring_sqe *sqe = is_asked ? NULL : ring_sqe(ring);
        if (sqe) {
            io_uring_prep_cancel64(sqe, KEY_WAKE, 0);
            sqe->user_data = KEY_IGNORE;
            is_asked = true;
        }
        int err = ring_enter(ring, is_asked, TIME_NEVER);
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
    .woken = ring_woken,
    .close = ring_close,
    .each = ring_each,
};
