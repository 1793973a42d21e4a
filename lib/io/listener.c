/* listener.c — accepts connections by one operation with many completions.
 *
 * What the callback does not take is closed. When descriptors run out the operation ends; arming it again at once would spin (1.9 M
 * failing rounds a second, measured), so the listener waits in the loop's fd_waiters until a handle of the loop closes a descriptor, or
 * for a while: another thread, or for ENFILE another process, tells us nothing.
 */
#include "io/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/sys.h"
#include "io/address.h"
#include "job/listener.h"
#include "loop/handle.h"

static struct op *accept_op(struct job_listener *listener)
{
    return (struct op *)listener->job_op;
}

static struct list *waiter_node(struct job_listener *listener)
{
    return (struct list *)listener->job_node;
}

static void accept_completed(struct op *op, const struct completion *completion);

static void retry_passed(struct deadline *deadline)
{
    listeners_retry(container_of(deadline, struct job_loop, fd_retry));
}

static void wait_for_descriptor(struct job_listener *listener)
{
    struct job_loop *loop = listener->handle.job_loop;
    list_push_back(&loop->fd_waiters, waiter_node(listener));
    loop->fd_retry.passed = retry_passed;
    deadline_set(loop, &loop->fd_retry, loop->now_ns + LISTEN_RETRY_NS);
}

static void accept_start(struct job_listener *listener)
{
    struct job_loop *loop = listener->handle.job_loop;
    struct op *op = accept_op(listener);
    op->completed = accept_completed;
    op->kind = OP_ACCEPT;
    op->fd = listener->job_fd;
    if (loop->engine->type->start(loop->engine, op) < 0) {
        wait_for_descriptor(listener);   /* the in-flight table is full: as with descriptors */
        return;
    }
    handle_hold(&listener->handle);
}

static void connection_arrived(struct job_listener *listener, int fd)
{
    struct job_loop *loop = listener->handle.job_loop;
    line_count(loop->line, COUNTER_ACCEPTED, 1);
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);   /* fails on what is not TCP: fine */
    struct job_incoming incoming = {.fd = fd, .listener = listener};
    if (handle_is_open(&listener->handle))
        LOOP_CALL(loop, listener->job_accepted, (listener, &incoming));
    if (incoming.fd >= 0) {
        (void)sys_close(incoming.fd);   /* nobody took it: the peer sees a close */
        listeners_retry(loop);
    }
}

/* At the limit each connection that goes lets one more in, and accepting pauses again: strangers decide how often, so the log is told now
 * and then. */
static void tell_of_pause(struct job_listener *listener, int err)
{
    struct job_loop *loop = listener->handle.job_loop;
    if (listener->job_told_ns != 0 && loop->now_ns - listener->job_told_ns < LISTEN_TELL_S * UINT64_C(1000000000))
        return;
    listener->job_told_ns = loop->now_ns;
    log_write(&loop->root->log, JOB_LOG_WARNING, "listener on port %u: %s; accepting pauses", listener->job_port, job_strerror(err));
}

/* Passing errors do not come here (the engine goes on), so at once would be in vain. */
static void accept_failed(struct job_listener *listener, int err)
{
    JOB_MARK(listener_out_of_descriptors);
    tell_of_pause(listener, err);
    wait_for_descriptor(listener);
}

static void accept_completed(struct op *op, const struct completion *completion)
{
    struct job_listener *listener = job_container_of(op, struct job_listener, job_op);
    if (completion->res >= 0)
        connection_arrived(listener, completion->res);
    if (completion->more)
        return;
    if (handle_is_open(&listener->handle)) {
        if (completion->res < 0)
            accept_failed(listener, completion->res);
        else
            accept_start(listener);
    }
    handle_release(&listener->handle);
}

void listeners_retry(struct job_loop *loop)
{
    struct list *node;
    struct list waiting;
    deadline_clear(loop, &loop->fd_retry);
    list_init(&waiting);
    list_splice_back(&waiting, &loop->fd_waiters);
    while ((node = list_pop_front(&waiting)))
        accept_start((struct job_listener *)((char *)node - offsetof(struct job_listener, job_node)));
}

static void listener_closing(struct job_handle *handle)
{
    struct job_listener *listener = job_container_of(handle, struct job_listener, handle);
    struct job_loop *loop = handle->job_loop;
    list_remove(waiter_node(listener));
    if (op_is_in_flight(accept_op(listener)))
        loop->engine->type->cancel(loop->engine, accept_op(listener));
}

static void listener_closed(struct job_handle *handle)
{
    struct job_listener *listener = job_container_of(handle, struct job_listener, handle);
    (void)sys_close(listener->job_fd);
    (void)fetch_sub_relaxed(&handle->job_loop->root->fds, 1);   /* ledger: orders nothing */
    listeners_retry(handle->job_loop);
    if (listener->job_on_closed)
        LOOP_CALL(handle->job_loop, listener->job_on_closed, (listener));
}

static const struct handle_kind listener_kind = {"listener", listener_closing, listener_closed};

/* A bound, listening socket, or a negative errno. */
static int listen_socket(const struct job_listener_options *options, uint16_t *port)
{
    struct address address;
    int err = address_parse(&address, options->address, options->port);
    if (err < 0)
        return err;
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int one = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
        goto fail;
    if (options->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one) < 0)
        goto fail;
    if (bind(fd, &address.any, address.len) < 0)
        goto fail;
    if (listen(fd, options->backlog ? options->backlog : LISTEN_BACKLOG_DEFAULT) < 0)
        goto fail;
    address.len = sizeof address.in6;
    if (getsockname(fd, &address.any, &address.len) < 0)
        goto fail;
    *port = address_port(&address);
    return fd;
fail:
    err = -errno;
    (void)sys_close(fd);
    return err;
}

int job_listener_open(struct job_loop *loop, struct job_listener *listener, const struct job_listener_options *options,
                      void (*accepted)(struct job_listener *listener, struct job_incoming *incoming))
{
    static const struct job_listener_options defaults = {0};
    if (!loop || !listener || !accepted)
        return -EINVAL;
    options = options ? options : &defaults;
    if (options->backlog < 0)
        return -EINVAL;
    uint16_t port = 0;
    int fd = listen_socket(options, &port);
    if (fd < 0)
        return fd;
    int err = handle_open(loop, &listener->handle, sizeof *listener, &listener_kind);
    if (err < 0) {
        (void)sys_close(fd);
        return err;
    }
    (void)fetch_add_relaxed(&loop->root->fds, 1);   /* ledger: orders nothing */
    list_init(waiter_node(listener));
    listener->job_fd = fd;
    listener->job_port = port;
    listener->job_accepted = accepted;
    accept_start(listener);
    return 0;
}

uint16_t job_listener_port(const struct job_listener *listener)
{
    return listener ? listener->job_port : 0;
}

void job_listener_close(struct job_listener *listener, void (*closed)(struct job_listener *listener))
{
    if (!listener || !handle_is_open(&listener->handle))
        return;
    listener->job_on_closed = closed;
    (void)handle_close(&listener->handle);
}
