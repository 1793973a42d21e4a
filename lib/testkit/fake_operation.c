/* fake_operation.c — what a request does when it is tried: the real call, without blocking, and the seeded accidents. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/annotate.h"
#include "testkit/fake.h"

enum {
    ROUNDS = 8,               /* completions of one multishot request in one step */
    RECEIVE_MAX = 1 << 20,
};

static int pick_error(struct fake_ring *ring, const int *errors, size_t count)
{
    return errors[dice_below(&ring->dice, count)];
}

/* EINTR, EAGAIN: the request has done nothing, and ends. */
static bool is_transient(struct fake_ring *ring, struct fake_request *request)
{
    static const int errors[] = {-EINTR, -EAGAIN};
    if (!dice_hits(&ring->dice, ring->faults.transient))
        return false;
    fake_world.counts.transients++;
    (void)fake_complete(ring, request, pick_error(ring, errors, 2), false);
    return true;
}

static bool fails(struct fake_ring *ring, struct fake_request *request, unsigned rate, const int *errors, size_t count)
{
    if (!dice_hits(&ring->dice, rate))
        return false;
    fake_world.counts.failed++;
    (void)fake_complete(ring, request, pick_error(ring, errors, count), false);
    return true;
}

static bool ends_without_reason(struct fake_ring *ring)
{
    bool is_full = fake_ready(ring) + 1 >= ring->cq_entries;   /* the kernel ends multishots when it cannot post */
    if (!is_full && !dice_hits(&ring->dice, ring->faults.end_multishot))
        return false;
    fake_world.counts.ended++;
    return true;
}

static size_t shortened(struct fake_ring *ring, size_t len)
{
    if (len < 2 || !dice_hits(&ring->dice, ring->faults.shorten))
        return len;
    fake_world.counts.shortened++;
    return 1 + dice_below(&ring->dice, dice_below(&ring->dice, 2) ? len - 1 : (len < 64 ? len - 1 : 64));
}

static void try_accept(struct fake_ring *ring, struct fake_request *request)
{
    static const int full[] = {-EMFILE, -ENFILE, -ENOMEM};
    static const int passing[] = {-ECONNABORTED, -EPROTO, -ENETDOWN, -EHOSTUNREACH};
    for (int i = 0; i < ROUNDS && !request->has_ended; i++) {
        if (fails(ring, request, ring->faults.fail_accept, full, 3) ||
            fails(ring, request, ring->faults.abort_accept, passing, 4) || is_transient(ring, request))
            return;
        int fd = accept4(request->sqe.fd, NULL, NULL, (int)request->sqe.accept_flags);
        if (fd < 0 && errno == EAGAIN)
            return;
        if (fd < 0)
            (void)fake_complete(ring, request, -errno, false);
        else
            (void)fake_complete(ring, request, fd, request->sqe.ioprio != 0 && !ends_without_reason(ring));
    }
}

static void with_buffer(struct fake_completion *completion, const struct fake_ring *ring, unsigned id)
{
    completion->cqe.flags |= IORING_CQE_F_BUFFER | id << IORING_CQE_BUFFER_SHIFT;
    completion->is_buffer = true;
    completion->target = fake_buffers_at(ring, id)->bytes;
}

/* The last completion, sometimes with a buffer that was picked for nothing. */
static void end_receive(struct fake_ring *ring, struct fake_request *request, int res)
{
    unsigned id;
    struct fake_completion *completion = fake_complete(ring, request, res, false);
    if (!dice_hits(&ring->dice, ring->faults.buffer_on_end) || !fake_buffers_pick(ring, &id))
        return;
    fake_world.counts.unfilled++;
    with_buffer(completion, ring, id);
}

/* Is there anything? The buffer is picked only then. 1, 0: no, or the end with its result. */
static int peek(int fd, int *res)
{
    uint8_t byte;
    ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    if (n > 0)
        return 1;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    *res = n == 0 ? 0 : -errno;
    return -1;
}

static bool receive_once(struct fake_ring *ring, struct fake_request *request)
{
    static const int errors[] = {-ECONNRESET, -ENOMEM};
    unsigned id;
    int res = 0;
    int is_there = peek(request->sqe.fd, &res);
    if (is_there == 0)
        return false;
    if (is_there < 0)
        return end_receive(ring, request, res), false;
    if (fails(ring, request, ring->faults.fail_receive, errors, 2) || is_transient(ring, request))
        return false;
    if (dice_hits(&ring->dice, ring->faults.no_buffers) || !fake_buffers_pick(ring, &id)) {
        fake_world.counts.starved++;
        (void)fake_complete(ring, request, -ENOBUFS, false);
        return false;
    }
    size_t len = shortened(ring, fake_buffers_at(ring, id)->len);
    if (request->cap > 0 && len > request->cap)
        len = request->cap;
    uint8_t *bytes = fake_alloc(len);
    ssize_t n = recv(request->sqe.fd, bytes, len, MSG_DONTWAIT);
    if (n <= 0)
        fake_die("bytes that were there have gone: somebody else reads from descriptor %d", request->sqe.fd);
    bool is_capped = request->cap > 0 && (size_t)n == request->cap;
    request->cap -= request->cap > 0 ? (size_t)n : 0;
    struct fake_completion *completion = fake_complete(ring, request, (int)n, !is_capped && !ends_without_reason(ring));
    with_buffer(completion, ring, id);
    completion->bytes = bytes;
    completion->len = (size_t)n;
    return !request->has_ended;
}

static void try_receive(struct fake_ring *ring, struct fake_request *request)
{
    for (int i = 0; i < ROUNDS && receive_once(ring, request); i++) {
    }
}

uint64_t fake_sum(const struct fake_request *request)
{
    uint64_t sum = 14695981039346656037U;
    for (unsigned i = 0; i < request->count; i++) {
        const uint8_t *bytes = request->vector[i].iov_base;
        size_t len = request->vector[i].iov_len;
        annotate_unpoison(bytes, len);   /* the kernel sees no poison */
        for (; len > 0; bytes += len < 8 ? len : 8, len -= len < 8 ? len : 8) {
            uint64_t word = len;
            memcpy(&word, bytes, len < 8 ? len : 8);
            sum = (sum ^ word) * 1099511628211U;
        }
    }
    return sum;
}

static void try_send(struct fake_ring *ring, struct fake_request *request)
{
    static const int errors[] = {-EPIPE, -ECONNRESET, -ENOMEM};
    if (fails(ring, request, ring->faults.fail_send, errors, 3) || is_transient(ring, request))
        return;
    if (fake_sum(request) != request->sum)
        fake_die("bytes were changed while they were being sent");
    struct iovec vector[16];
    unsigned count = 0;
    size_t left = shortened(ring, request->len);
    for (; count < request->count && left > 0; count++) {
        vector[count] = request->vector[count];
        if (vector[count].iov_len > left)
            vector[count].iov_len = left;
        left -= vector[count].iov_len;
    }
    struct msghdr message = {.msg_iov = vector, .msg_iovlen = count};
    ssize_t n = sendmsg(request->sqe.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN)
        return;
    (void)fake_complete(ring, request, n < 0 ? -errno : (int)n, false);
}

/* As kernel 6.1 does for a file that can only block: O_NONBLOCK is honoured, and the request ends with -EAGAIN. */
static bool refuses_to_wait(int fd)
{
    return (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

static bool is_file(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

static void try_read_at(struct fake_ring *ring, struct fake_request *request)
{
    static const int errors[] = {-EIO, -ENOMEM};
    if (fails(ring, request, ring->faults.fail_receive, errors, 2) || is_transient(ring, request))
        return;
    size_t len = shortened(ring, request->sqe.len);
    uint8_t *bytes = fake_alloc(len);
    ssize_t n = pread(request->sqe.fd, bytes, len, (off_t)request->sqe.off);
    struct fake_completion *completion = fake_complete(ring, request, n < 0 ? -errno : (int)n, false);
    completion->target = (void *)(uintptr_t)request->sqe.addr;
    completion->bytes = bytes;
    completion->len = n > 0 ? (size_t)n : 0;
}

static void try_write_at(struct fake_ring *ring, struct fake_request *request)
{
    static const int errors[] = {-ENOSPC, -EIO};
    if (fails(ring, request, ring->faults.fail_send, errors, 2) || is_transient(ring, request))
        return;
    if (fake_sum(request) != request->sum)
        fake_die("bytes were changed while they were being written");
    size_t left = shortened(ring, request->len), done = 0;
    for (unsigned i = 0; i < request->count && left > 0; i++) {
        size_t len = request->vector[i].iov_len < left ? request->vector[i].iov_len : left;
        if (pwrite(request->sqe.fd, request->vector[i].iov_base, len, (off_t)(request->sqe.off + done)) != (ssize_t)len)
            fake_die("a write failed: %s", strerror(errno));
        done += len;
        left -= len;
    }
    (void)fake_complete(ring, request, (int)done, false);
}

static void try_sync(struct fake_ring *ring, struct fake_request *request)
{
    static const int errors[] = {-EIO};
    if (!fails(ring, request, ring->faults.fail_send, errors, 1) && !is_transient(ring, request))
        (void)fake_complete(ring, request, 0, false);   /* durable is not what this world is about */
}

static void try_read(struct fake_ring *ring, struct fake_request *request)
{
    if (is_file(request->sqe.fd))
        return try_read_at(ring, request);
    struct pollfd ready = {.fd = request->sqe.fd, .events = POLLIN};
    if (poll(&ready, 1, 0) == 0) {
        if (refuses_to_wait(request->sqe.fd))
            (void)fake_complete(ring, request, -EAGAIN, false);
        return;
    }
    if (is_transient(ring, request))
        return;
    uint8_t *bytes = fake_alloc(request->sqe.len);
    ssize_t n = read(request->sqe.fd, bytes, request->sqe.len);
    struct fake_completion *completion = fake_complete(ring, request, n < 0 ? -errno : (int)n, false);
    completion->target = (void *)(uintptr_t)request->sqe.addr;
    completion->bytes = bytes;
    completion->len = n > 0 ? (size_t)n : 0;
}

static void try_fill(struct fake_ring *ring, struct fake_request *request)
{
    static const int errors[] = {-ECONNRESET, -ENOMEM};
    if (fails(ring, request, ring->faults.fail_receive, errors, 2) || is_transient(ring, request))
        return;
    size_t len = shortened(ring, request->sqe.len);
    uint8_t *bytes = fake_alloc(len);
    ssize_t n = recv(request->sqe.fd, bytes, len, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
        free(bytes);
        return;
    }
    struct fake_completion *completion = fake_complete(ring, request, n < 0 ? -errno : (int)n, false);
    completion->target = (void *)(uintptr_t)request->sqe.addr;
    completion->bytes = bytes;
    completion->len = n > 0 ? (size_t)n : 0;
}

/* What is new since it was told last. */
static void try_poll_edges(struct fake_ring *ring, struct fake_request *request)
{
    struct epoll_event event;
    if (epoll_wait(ring->fd, &event, 1, 0) > 0)
        (void)fake_complete(ring, request, (int)event.events, !ends_without_reason(ring));
}

static void try_poll(struct fake_ring *ring, struct fake_request *request)
{
    struct pollfd polled = {.fd = request->sqe.fd, .events = (short)request->sqe.poll32_events};
    if (is_transient(ring, request) || poll(&polled, 1, 0) <= 0)
        return;
    (void)fake_complete(ring, request, polled.revents, false);
}

void fake_try(struct fake_ring *ring, struct fake_request *request)
{
    switch (request->sqe.opcode) {
    case IORING_OP_ACCEPT: return try_accept(ring, request);
    case IORING_OP_RECV: return request->sqe.ioprio ? try_receive(ring, request) : try_fill(ring, request);
    case IORING_OP_POLL_ADD: return request->tells_edges ? try_poll_edges(ring, request) : try_poll(ring, request);
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG: return try_send(ring, request);
    case IORING_OP_WRITEV: return try_write_at(ring, request);
    case IORING_OP_FSYNC: return try_sync(ring, request);
    case IORING_OP_READ: return try_read(ring, request);
    case IORING_OP_CLOSE:
        (void)fake_complete(ring, request, close(request->sqe.fd) < 0 ? -errno : 0, false);
        return;
    default: fake_die("opcode %u: a bug of the fake", request->sqe.opcode);
    }
}
