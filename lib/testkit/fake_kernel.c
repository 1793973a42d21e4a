/* fake_kernel.c — the exported half of liburing 2.3, and the one raw call, on rings in this process.
 *
 * Semantics kept from the kernel where the engine leans on them: enter does not wait after a partial submit; completions are posted
 * only by an enter that asks for events (DEFER_TASKRUN), and IORING_SQ_TASKRUN says that there may be some; a full completion queue
 * spills into a backlog that the next enter flushes (NODROP); a ring belongs to the thread that enabled it.
 */
#include "testkit/fake_kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/sys.h"
#include "testkit/fake.h"
#include "testkit/virtual_clock.h"

enum {
    HANG_MS = 3000,          /* of real time, before a sleep in virtual time counts as for ever: loopback may be slow */
    STEPS_MAX = 1000000,     /* of one enter */
    FRUITLESS_MAX = 50000,   /* enters that move nothing and do not sleep, for HANG_MS: the loop spins */
};

/* A ring is known by its descriptor's number alone, as in the kernel: there is one world a process, and one thread in it at a time
 * unless the time is real, when each ring is its own thread's and this mutex guards the list. */
struct fake_world fake_world = {.rings = {&fake_world.rings, &fake_world.rings}};
static pthread_mutex_t rings_mutex = PTHREAD_MUTEX_INITIALIZER;

void fake_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "fake kernel: SEED=%llu: ", (unsigned long long)fake_world.options.seed);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

void *fake_alloc(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    if (!memory)
        fake_die("no memory");
    return memory;
}

void fake_kernel_start(const struct fake_options *options)
{
    if (!list_is_empty(&fake_world.rings))
        fake_die("a ring of the run before is still open");
    fake_world.options = *options;
    fake_world.counts = (struct fake_counts){0};
    fake_world.opened = 0;
}

struct fake_counts fake_kernel_counts(void)
{
    return fake_world.counts;
}

struct fake_faults fake_faults_draw(uint64_t seed, bool hard)
{
    struct dice dice = {seed ^ 0x66616b65U};
    struct fake_faults faults = {.cq_entries = dice_below(&dice, 3) ? 0 : 2U << dice_below(&dice, 3)};
    struct { uint16_t *rate; uint16_t most; bool is_hard; } all[] = {
        {&faults.shorten, 600, false},       {&faults.late, 500, false},
        {&faults.reorder, 500, false},       {&faults.cancel_loses, 700, false},
        {&faults.fail_receive, 20, true},    {&faults.data_after_cancel, 800, false},
        {&faults.fail_send, 20, true},       {&faults.fail_accept, 200, false},
        {&faults.abort_accept, 300, false},  {&faults.transient, 200, false},
        {&faults.refuse_cap, 1000, false},
        {&faults.no_buffers, 200, false},    {&faults.end_multishot, 400, false},
        {&faults.buffer_on_end, 500, false}, {&faults.partial_submit, 400, false},
        {&faults.interrupt, 200, false},     {&faults.refuse, 200, false},
        {&faults.stale, 100, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        bool is_on = dice_below(&dice, 2);
        uint16_t rate = (uint16_t)(1 + dice_below(&dice, all[i].most));
        if (is_on && (hard || !all[i].is_hard))
            *all[i].rate = rate;
    }
    return faults;
}

static struct fake_ring *ring_of(int fd)
{
    struct fake_ring *found = NULL;
    pthread_mutex_lock(&rings_mutex);
    list_each(node, &fake_world.rings) {
        struct fake_ring *ring = container_of(node, struct fake_ring, node);
        if (ring->fd == fd)
            found = ring;
    }
    pthread_mutex_unlock(&rings_mutex);
    if (!found)
        fake_die("descriptor %d is not a ring", fd);
    return found;
}

static struct fake_ring *ring_new(unsigned entries, const struct io_uring_params *params)
{
    struct fake_ring *ring = fake_alloc(sizeof *ring);
    const struct fake_faults *faults = &fake_world.options.faults;
    ring->faults = *faults;
    ring->sq_entries = entries;
    ring->cq_entries = faults->cq_entries ? faults->cq_entries : params->cq_entries;
    ring->sq_mask = ring->sq_entries - 1;
    ring->cq_mask = ring->cq_entries - 1;
    ring->sq_array = fake_alloc(entries * sizeof *ring->sq_array);
    ring->sqes = fake_alloc(entries * sizeof *ring->sqes);
    ring->cqes = fake_alloc(ring->cq_entries * sizeof *ring->cqes);
    memset(ring->sqes, 0x5A, entries * sizeof *ring->sqes);   /* zeroes would hide a field that nobody fills in */
    list_init(&ring->requests);
    list_init(&ring->held);
    list_init(&ring->backlog);
    list_init(&ring->node);
    return ring;
}

static void show(struct fake_ring *ring, struct io_uring *uring, const struct io_uring_params *params)
{
    *uring = (struct io_uring){
        .sq = {.khead = &ring->sq_head, .ktail = &ring->sq_tail, .kring_mask = &ring->sq_mask,
               .kring_entries = &ring->sq_entries, .kflags = &ring->sq_flags, .kdropped = &ring->sq_dropped,
               .array = ring->sq_array, .sqes = ring->sqes, .ring_mask = ring->sq_mask,
               .ring_entries = ring->sq_entries},
        .cq = {.khead = &ring->cq_head, .ktail = &ring->cq_tail, .kring_mask = &ring->cq_mask,
               .kring_entries = &ring->cq_entries, .kflags = &ring->cq_flags, .koverflow = &ring->cq_overflow,
               .cqes = ring->cqes, .ring_mask = ring->cq_mask, .ring_entries = ring->cq_entries},
        .flags = params->flags, .ring_fd = ring->fd, .enter_ring_fd = ring->fd, .features = params->features,
    };
}

int io_uring_queue_init_params(unsigned entries, struct io_uring *uring, struct io_uring_params *params)
{
    if (entries == 0 || (entries & (entries - 1)) || params->cq_entries < entries)
        fake_die("a ring of %u entries and %u completions", entries, params->cq_entries);
    params->features = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_FAST_POLL;
    struct fake_ring *ring = ring_new(entries, params);
    ring->fd = sys_lifted(epoll_create1(EPOLL_CLOEXEC));   /* so that nobody has to */
    if (ring->fd < 0)
        fake_die("epoll_create1: %s", strerror(-ring->fd));
    pthread_mutex_lock(&rings_mutex);
    ring->dice.state = fake_world.options.seed * 7919 + fake_world.opened++;
    list_push_back(&fake_world.rings, &ring->node);
    pthread_mutex_unlock(&rings_mutex);
    show(ring, uring, params);
    return 0;
}

static void drop_completions(struct list *list)
{
    struct list *node;
    while ((node = list_pop_front(list))) {
        struct fake_completion *completion = container_of(node, struct fake_completion, node);
        free(completion->bytes);
        free(completion);
    }
}

void io_uring_queue_exit(struct io_uring *uring)
{
    struct fake_ring *ring = ring_of(uring->ring_fd);
    struct list *node;
    while ((node = list_pop_front(&ring->requests))) {
        struct fake_request *request = container_of(node, struct fake_request, node);
        if (!request->has_ended)   /* closing a ring stops nothing at once: what it points at may still be written */
            fake_die("the ring is closed with a request in flight (opcode %u)", request->sqe.opcode);
        fake_request_free(request);
    }
    drop_completions(&ring->held);
    drop_completions(&ring->backlog);
    pthread_mutex_lock(&rings_mutex);
    list_remove(&ring->node);
    pthread_mutex_unlock(&rings_mutex);
    (void)close(ring->fd);
    free(ring->buffers.lent);
    free(ring->polled);
    free(ring->entries);
    free(ring->sq_array);
    free(ring->sqes);
    free(ring->cqes);
    free(ring);
}

int io_uring_ring_dontfork(struct io_uring *uring)
{
    (void)ring_of(uring->ring_fd);
    return 0;
}

int io_uring_register_buf_ring(struct io_uring *uring, struct io_uring_buf_reg *reg, unsigned flags)
{
    if (flags != 0 || reg->bgid != 0)
        return -EINVAL;
    return fake_buffers_register(ring_of(uring->ring_fd), reg);
}

int __wrap_sys_io_uring_register(int fd, unsigned opcode, void *arg, unsigned count);

int __wrap_sys_io_uring_register(int fd, unsigned opcode, void *arg, unsigned count)
{
    if (opcode != IORING_REGISTER_ENABLE_RINGS || arg || count)
        return -EINVAL;
    struct fake_ring *ring = ring_of(fd);
    if (ring->is_enabled)
        return -EBADFD;
    ring->is_enabled = true;
    ring->issuer = pthread_self();
    return 0;
}

static unsigned consume(struct fake_ring *ring, unsigned to_submit)
{
    unsigned tail = __atomic_load_n(&ring->sq_tail, __ATOMIC_ACQUIRE);   /* the engine's word */
    unsigned queued = tail - ring->sq_head;
    if (queued > ring->sq_entries)
        fake_die("the submission queue holds %u of %u entries", queued, ring->sq_entries);
    unsigned count = to_submit < queued ? to_submit : queued;
    if (count > 1 && dice_hits(&ring->dice, ring->faults.partial_submit)) {
        fake_world.counts.partial++;
        count = 1 + (unsigned)dice_below(&ring->dice, count - 1);
    }
    for (unsigned i = 0; i < count; i++) {
        unsigned index = ring->sq_array[ring->sq_head & ring->sq_mask];
        if (index >= ring->sq_entries)
            fake_die("the submission array points at entry %u of %u", index, ring->sq_entries);
        struct io_uring_sqe sqe = ring->sqes[index];
        memset(&ring->sqes[index], 0x5A, sizeof sqe);   /* consumed: nobody reads it again */
        fake_consume(ring, &sqe);
        __atomic_store_n(&ring->sq_head, ring->sq_head + 1, __ATOMIC_RELEASE);   /* liburing's get_sqe looks */
    }
    return count;
}

static void step(struct fake_ring *ring)
{
    fake_buffers_look(ring);
    fake_run(ring);
    fake_post(ring);
}

/* What the engine may look at instead of entering: completions may be there, and some wait for room. */
static void publish_flags(struct fake_ring *ring)
{
    unsigned flags = list_is_empty(&ring->requests) && list_is_empty(&ring->held) ? 0 : IORING_SQ_TASKRUN;
    if (!list_is_empty(&ring->backlog))
        flags |= IORING_SQ_CQ_OVERFLOW;
    __atomic_store_n(&ring->sq_flags, flags, __ATOMIC_RELEASE);
}

static bool has_work(const struct fake_ring *ring)
{
    return ring->has_skipped || !list_is_empty(&ring->held) || !list_is_empty(&ring->backlog);
}

static int sleep_real(struct fake_ring *ring, const struct __kernel_timespec *timeout)
{
    int milliseconds = -1;
    if (timeout)
        milliseconds = (int)(timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000);
    int rc = poll(ring->polled, fake_poll_set(ring), milliseconds);
    if (rc < 0)
        return -errno;
    return rc == 0 ? -ETIME : 0;
}

static int sleep_virtual(struct fake_ring *ring, const struct __kernel_timespec *timeout)
{
    size_t count = fake_poll_set(ring);
    if (poll(ring->polled, count, timeout ? 0 : HANG_MS) > 0)
        return 0;
    if (!timeout)
        fake_die("the loop sleeps for ever: %zu requests in flight, none of which can end", count);
    virtual_clock_advance((uint64_t)timeout->tv_sec * 1000000000U + (uint64_t)timeout->tv_nsec);
    return -ETIME;
}

static int wait_for(struct fake_ring *ring, unsigned min_complete, const struct __kernel_timespec *timeout)
{
    step(ring);
    for (unsigned steps = 0; fake_ready(ring) < min_complete; steps++) {
        if (steps > STEPS_MAX)
            fake_die("no completion in %u steps: a bug of the fake", steps);
        if (dice_hits(&ring->dice, ring->faults.interrupt)) {
            fake_world.counts.interrupted++;
            return -EINTR;
        }
        if (!has_work(ring)) {
            fake_world.counts.sleeps++;
            ring->fruitless = 0;
            int err = fake_world.options.is_real_time ? sleep_real(ring, timeout) : sleep_virtual(ring, timeout);
            if (err < 0)
                return err;
        }
        step(ring);
    }
    return 0;
}

static int enter(struct fake_ring *ring, unsigned to_submit, unsigned min_complete, unsigned flags,
                 const struct __kernel_timespec *timeout)
{
    static const int refusals[] = {-EAGAIN, -EBUSY};
    if (dice_hits(&ring->dice, ring->faults.refuse)) {
        fake_world.counts.refused++;
        return refusals[dice_below(&ring->dice, 2)];
    }
    unsigned taken = consume(ring, to_submit);
    if (!(flags & IORING_ENTER_GETEVENTS))
        step(ring);   /* what can end while it is submitted ends */
    if (taken < to_submit || !(flags & IORING_ENTER_GETEVENTS))
        return (int)taken;
    int err = wait_for(ring, min_complete, timeout);
    return taken > 0 ? (int)taken : err;
}

/* Not by their number alone: another thread, on which the loop waits, may not have come to run. */
static void check_progress(struct fake_ring *ring)
{
    struct timespec now;
    if (++ring->fruitless < FRUITLESS_MAX)
        return;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t now_ms = now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
    if (ring->fruitless == FRUITLESS_MAX)
        ring->fruitless_since_ms = now_ms;
    if (now_ms - ring->fruitless_since_ms > HANG_MS)
        fake_die("the loop spins: %llu enters without a sleep or a byte", (unsigned long long)ring->fruitless);
    (void)sched_yield();
}

int io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags, sigset_t *argument,
                    size_t size)
{
    struct fake_ring *ring = ring_of((int)fd);
    const struct __kernel_timespec *timeout = NULL;
    if (!ring->is_enabled)
        fake_die("enter before the ring is enabled");
    if (!pthread_equal(ring->issuer, pthread_self()))
        fake_die("enter by a thread that is not the ring's");
    if (flags & IORING_ENTER_EXT_ARG) {
        const struct io_uring_getevents_arg *ext = (const struct io_uring_getevents_arg *)(const void *)argument;
        if (size != sizeof *ext || ext->sigmask)
            fake_die("enter: bad extended argument");
        timeout = (const struct __kernel_timespec *)(uintptr_t)ext->ts;
        if (timeout && (timeout->tv_nsec < 0 || timeout->tv_nsec >= 1000000000))
            fake_die("enter: a time-out that is not normalised");
    }
    fake_world.counts.enters++;
    check_progress(ring);
    int rc = enter(ring, to_submit, min_complete, flags, timeout);
    publish_flags(ring);
    return rc;
}

/* What the inline io_uring_peek_cqe() calls when it sees nothing: as liburing, it enters once if the kernel holds something back. */
int __io_uring_get_cqe(struct io_uring *uring, struct io_uring_cqe **cqe, unsigned submit, unsigned wait,
                       sigset_t *signals)
{
    if (submit || wait || signals)
        fake_die("__io_uring_get_cqe: only a peek is known here");
    if (*uring->sq.kflags & (IORING_SQ_CQ_OVERFLOW | IORING_SQ_TASKRUN))
        (void)io_uring_enter2((unsigned)uring->ring_fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 8);
    unsigned available;
    int err = __io_uring_peek_cqe(uring, cqe, &available);
    return err < 0 ? err : (*cqe ? 0 : -EAGAIN);
}
