/* fake_request.c — from an entry of the submission queue to a request, and what may not be written there; cancel. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include "testkit/fake.h"

enum {
    DOOM_STEPS = 5,
    CHECK_STEPS = 8,          /* a request that waits is looked at so often: fstat(2) is most of what a step costs */
    VECTOR_MAX = 16,
};

static void must(bool is_so, const struct io_uring_sqe *sqe, const char *what)
{
    if (!is_so)
        fake_die("submission entry (opcode %u, user_data %#llx): %s", sqe->opcode, (unsigned long long)sqe->user_data, what);
}

static bool is_multishot_receive(const struct io_uring_sqe *sqe)
{
    return sqe->opcode == IORING_OP_RECV && sqe->ioprio == IORING_RECV_MULTISHOT;
}

/* An entry holds what its last user left there: who does not fill in all of it finds out here. */
static void check_entry(const struct fake_ring *ring, const struct io_uring_sqe *sqe)
{
    bool has_cap = is_multishot_receive(sqe);   /* the newer sqe->optlen */
    must(sqe->personality == 0 && sqe->addr3 == 0 && (sqe->file_index == 0 || has_cap), sqe, "an unused field is not zero");
    must(sqe->flags == (is_multishot_receive(sqe) ? IOSQE_BUFFER_SELECT : 0), sqe, "flags");
    switch (sqe->opcode) {
    case IORING_OP_ACCEPT:
        must((sqe->ioprio == IORING_ACCEPT_MULTISHOT || sqe->ioprio == 0) && sqe->addr == 0 && sqe->off == 0, sqe, "accept");
        must((sqe->accept_flags & SOCK_CLOEXEC) != 0, sqe, "an accepted descriptor would be inherited");
        return;
    case IORING_OP_RECV:
        if (!is_multishot_receive(sqe)) {
            must(sqe->ioprio == 0 && sqe->addr != 0 && sqe->msg_flags == 0, sqe, "a receive into nothing");
            return;
        }
        must(sqe->addr == 0 && sqe->len == 0, sqe, "a multishot receive");
        must(sqe->buf_group == 0 && ring->buffers.shared, sqe, "no such buffer group");
        return;
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
        must(sqe->ioprio == 0 && (sqe->msg_flags & MSG_NOSIGNAL) != 0, sqe, "a send that may raise SIGPIPE");
        return;
    case IORING_OP_READ: must(sqe->ioprio == 0 && sqe->addr != 0, sqe, "a read into nothing"); return;
    case IORING_OP_WRITEV:
        must(sqe->ioprio == 0 && sqe->addr != 0 && sqe->len > 0 && sqe->rw_flags == 0, sqe, "a write of nothing");
        return;
    case IORING_OP_FSYNC:
        must(sqe->ioprio == 0 && sqe->addr == 0 && sqe->len == 0 && sqe->off == 0, sqe, "a sync of a part");
        must((sqe->fsync_flags & ~IORING_FSYNC_DATASYNC) == 0, sqe, "flags of a sync");
        return;
    case IORING_OP_CLOSE: must(sqe->ioprio == 0 && sqe->addr == 0 && sqe->len == 0, sqe, "close"); return;
    case IORING_OP_POLL_ADD:
        must(sqe->ioprio == 0 && sqe->addr == 0 && (sqe->len & ~IORING_POLL_ADD_MULTI) == 0, sqe, "a poll of another kind");
        return;
    case IORING_OP_ASYNC_CANCEL: must(sqe->ioprio == 0 && sqe->cancel_flags == 0, sqe, "cancel"); return;
    default: must(false, sqe, "unknown opcode");
    }
}

static uint64_t inode_of(int fd)
{
    struct stat status;
    return fstat(fd, &status) < 0 ? 0 : (uint64_t)status.st_ino + 1;
}

static void check_descriptor(const struct fake_request *request)
{
    if (inode_of(request->sqe.fd) != request->inode)
        fake_die("descriptor %d was closed or replaced under a request (opcode %u)", request->sqe.fd, request->sqe.opcode);
}

void fake_request_free(struct fake_request *request)
{
    free(request->vector);
    free(request);
}

static void copy_vector(struct fake_request *request)
{
    const struct io_uring_sqe *sqe = &request->sqe;
    struct iovec one = {.iov_base = (void *)(uintptr_t)sqe->addr, .iov_len = sqe->len};
    const struct iovec *vector = &one;
    request->count = 1;
    if (sqe->opcode == IORING_OP_SENDMSG) {
        const struct msghdr *message = (const struct msghdr *)(uintptr_t)sqe->addr;
        vector = message->msg_iov;
        request->count = (unsigned)message->msg_iovlen;
    } else if (sqe->opcode == IORING_OP_WRITEV) {
        vector = (const struct iovec *)(uintptr_t)sqe->addr;
        request->count = sqe->len;
    }
    must(request->count <= VECTOR_MAX, sqe, "more segments than the fake knows");
    request->vector = fake_alloc((request->count + 1) * sizeof *vector);
    memcpy(request->vector, vector, request->count * sizeof *vector);
    for (unsigned i = 0; i < request->count; i++)
        request->len += vector[i].iov_len;
    request->sum = fake_sum(request);
}

/* The bytes are read by the kernel when it comes to it; until the end nobody may change them. */
static bool has_vector(const struct io_uring_sqe *sqe)
{
    return sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_SENDMSG || sqe->opcode == IORING_OP_WRITEV;
}

static struct fake_request *find(struct fake_ring *ring, uint64_t key)
{
    list_each(node, &ring->requests) {
        struct fake_request *request = container_of(node, struct fake_request, node);
        if (request->sqe.user_data == key)
            return request;
    }
    return NULL;
}

static short waits_for(const struct fake_request *request)
{
    switch (request->sqe.opcode) {
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_WRITEV: return POLLOUT;
    case IORING_OP_POLL_ADD: return (short)request->sqe.poll32_events;
    default: return POLLIN;
    }
}

static bool is_multishot_poll(const struct io_uring_sqe *sqe)
{
    return sqe->opcode == IORING_OP_POLL_ADD && sqe->len == IORING_POLL_ADD_MULTI;
}

/* Each event of it is told once, as the kernel does: epoll(7) knows which are new. */
static void watch_edges(const struct fake_ring *ring, struct fake_request *request)
{
    struct epoll_event event = {.events = request->sqe.poll32_events | EPOLLET};
    (void)epoll_ctl(ring->fd, EPOLL_CTL_DEL, request->sqe.fd, NULL);   /* of one that has ended */
    if (epoll_ctl(ring->fd, EPOLL_CTL_ADD, request->sqe.fd, &event) < 0)
        fake_die("epoll_ctl: %s", strerror(errno));
    request->tells_edges = true;
}

static struct pollfd polled_for(const struct fake_ring *ring, const struct fake_request *request)
{
    if (request->tells_edges)
        return (struct pollfd){.fd = ring->fd, .events = POLLIN};
    return (struct pollfd){.fd = request->sqe.fd, .events = waits_for(request)};
}

static bool is_ready(const struct fake_ring *ring, const struct fake_request *request)
{
    struct pollfd polled = polled_for(ring, request);
    return poll(&polled, 1, 0) > 0;
}

/* What a cancel finds: nothing, a request that it ends, or one that goes on for a while. */
static int cancel(struct fake_ring *ring, uint64_t key)
{
    struct fake_request *request = find(ring, key);
    fake_world.counts.cancels++;
    if (!request || request->has_ended)
        return -ENOENT;
    check_descriptor(request);
    if (request->doom > 0)
        return -EALREADY;
    if (dice_hits(&ring->dice, ring->faults.cancel_loses)) {
        fake_world.counts.cancels_lost++;
        request->doom = 1 + (unsigned)dice_below(&ring->dice, DOOM_STEPS);
        return -EALREADY;
    }
    if (dice_hits(&ring->dice, ring->faults.data_after_cancel) && is_ready(ring, request))
        fake_try(ring, request);
    if (request->has_ended)
        return -ENOENT;
    (void)fake_complete(ring, request, -ECANCELED, false);
    return 0;
}

void fake_consume(struct fake_ring *ring, const struct io_uring_sqe *sqe)
{
    check_entry(ring, sqe);
    fake_world.counts.submitted++;
    if (sqe->opcode == IORING_OP_ASYNC_CANCEL) {
        fake_complete_key(ring, sqe->user_data, cancel(ring, sqe->addr));
        return;
    }
    must(!find(ring, sqe->user_data), sqe, "a request of this user_data is in flight");
    struct fake_request *request = fake_alloc(sizeof *request);
    request->sqe = *sqe;
    request->inode = inode_of(sqe->fd);
    must(request->inode != 0, sqe, "the descriptor is not open");
    list_init(&request->node);
    list_push_back(&ring->requests, &request->node);
    if (has_vector(sqe))
        copy_vector(request);
    if (is_multishot_poll(sqe))
        watch_edges(ring, request);
    /* Armed on an empty ring a receive fails at once, even when no data is there (kernel 6.1 to 6.18). */
    if (is_multishot_receive(sqe)) {
        request->cap = sqe->file_index;
        fake_buffers_look(ring);
        if (request->cap > 0 && dice_hits(&ring->dice, ring->faults.refuse_cap)) {
            fake_world.counts.uncapped++;
            (void)fake_complete(ring, request, -EINVAL, false);
        } else if (ring->buffers.head == ring->buffers.seen) {
            fake_world.counts.starved++;
            (void)fake_complete(ring, request, -ENOBUFS, false);
        }
    }
}

static void *more(void *memory, size_t bytes)
{
    void *larger = realloc(memory, bytes);
    if (!larger)
        fake_die("no memory");
    return larger;
}

/* The entry of this descriptor, a new one if it has none yet. A stale index is harmless: the entry itself says whose it is. */
static unsigned entry_of(struct fake_ring *ring, unsigned count, int fd)
{
    size_t index = (size_t)fd;
    if (index >= ring->entries_capacity) {
        size_t capacity = index < 32 ? 64 : index * 2;
        ring->entries = more(ring->entries, capacity * sizeof *ring->entries);
        memset(ring->entries + ring->entries_capacity, 0, (capacity - ring->entries_capacity) * sizeof *ring->entries);
        ring->polled = more(ring->polled, capacity * sizeof *ring->polled);
        ring->entries_capacity = capacity;
    }
    unsigned entry = ring->entries[index];
    if (entry < count && ring->polled[entry].fd == fd)
        return entry;
    ring->entries[index] = count;
    ring->polled[count] = (struct pollfd){.fd = fd};
    return count;
}

/* One entry a descriptor, not one a request: poll(2) refuses more entries than the process may have descriptors. */
size_t fake_poll_set(struct fake_ring *ring)
{
    unsigned count = 0;
    list_each(node, &ring->requests) {
        struct fake_request *request = container_of(node, struct fake_request, node);
        if (request->has_ended)
            continue;
        struct pollfd polled = polled_for(ring, request);
        request->entry = entry_of(ring, count, polled.fd);
        ring->polled[request->entry].events |= polled.events;
        if (request->entry == count)
            count++;
    }
    return count;
}

/* What poll(2) has said of the request's own events. */
static short events_of(const struct fake_ring *ring, const struct fake_request *request)
{
    short heard = (short)(polled_for(ring, request).events | POLLERR | POLLHUP | POLLNVAL);
    return ring->polled[request->entry].revents & heard;
}

/* A cancel has lost: the request ends all the same, some steps later. */
static void count_down(struct fake_ring *ring, struct fake_request *request)
{
    ring->has_skipped = true;
    if (--request->doom == 0)
        (void)fake_complete(ring, request, request->sqe.opcode == IORING_OP_READ ? -EINTR : -ECANCELED, false);
}

static bool is_to_be_tried(struct fake_ring *ring, const struct fake_request *request, short revents)
{
    bool never_waits = request->sqe.opcode == IORING_OP_CLOSE || request->sqe.opcode == IORING_OP_FSYNC ||
                       (request->sqe.opcode == IORING_OP_READ && (fcntl(request->sqe.fd, F_GETFL) & O_NONBLOCK));
    if (revents == 0 && !never_waits)
        return false;
    if (!dice_hits(&ring->dice, ring->faults.late))
        return true;
    ring->has_skipped = true;
    return false;
}

void fake_run(struct fake_ring *ring)
{
    ring->step++;
    ring->has_skipped = false;
    size_t count = fake_poll_set(ring);
    if (poll(ring->polled, count, 0) < 0 && errno != EINTR)
        fake_die("poll: %s", strerror(errno));
    list_each(node, &ring->requests) {
        struct fake_request *request = container_of(node, struct fake_request, node);
        if (request->has_ended)
            continue;
        bool is_tried = is_to_be_tried(ring, request, events_of(ring, request));
        if (is_tried || ring->step % CHECK_STEPS == 0)
            check_descriptor(request);
        if (is_tried)
            fake_try(ring, request);
        if (request->doom > 0 && !request->has_ended)
            count_down(ring, request);
    }
}
