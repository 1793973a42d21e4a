/* listener.c — accepts connections by one operation with many completions.
 *
 * What the callback does not take is closed. When descriptors run out the operation ends; arming it again at once would spin (1.9 M
 * failing rounds a second, measured), so the listener waits in the loop's fd_waiters until a handle of the loop closes a descriptor, or
 * for a while: another thread, or for ENFILE another process, tells us nothing (docs/decisions/035). Or it gives up a spare descriptor to
 * turn one client away, and tries again: each round is paid by a client that goes. When a standard descriptor is closed, the kernel may
 * have a number where we may have none: one client is lost before that is known, and accepting goes on when a number above 2 is free.
 *
 * With a limit on connections each is accepted by an operation of its own: one with many completions would go beyond it.
 */
#include "io/listener.h"

#include <errno.h>
#include <fcntl.h>

#include "base/sys.h"
#include "io/descriptor.h"
#include "io/socket.h"
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

static struct list *live_list(struct job_listener *listener)
{
    return (struct list *)listener->job_live;
}

static bool is_full(const struct job_listener *listener)
{
    return listener->job_live_max > 0 && listener->job_live_count >= listener->job_live_max;
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
    if (is_full(listener))
        return;   /* until one goes */
    op->accept.is_single = listener->job_live_max > 0;
    op->completed = accept_completed;
    op->kind = OP_ACCEPT;
    op->fd = listener->job_fd;
    if (loop->engine->type->start(loop->engine, op) < 0) {
        wait_for_descriptor(listener);   /* the in-flight table is full: as with descriptors */
        return;
    }
    handle_hold(&listener->handle);
}

/* At the limit each connection that goes lets one more in, and accepting pauses again: strangers decide how often, so the log is told now
 * and then. */
static void tell_of_trouble(struct job_listener *listener, int err, const char *what)
{
    struct job_loop *loop = listener->handle.job_loop;
    if (listener->job_told_ns != 0 && time_since(listener->job_told_ns, loop->now_ns) < LISTEN_TELL_S * JOB_SECOND)
        return;
    listener->job_told_ns = loop->now_ns;
    log_write(&loop->root->log, JOB_LOG_WARNING, "listener on port %u: %s; %s", listener->job_port, job_strerror(err), what);
}

/* The kernel has accepted with number 0, 1 or 2, and no other is free: the client is closed, which is all that turns_away asks for. */
static void place_is_missing(struct job_listener *listener, int err)
{
    listener->job_lacks_place = !listener->job_turns_away;
    tell_of_trouble(listener, err, listener->job_turns_away ? "clients are turned away" : "a client is lost, and accepting pauses");
}

static void connection_arrived(struct job_listener *listener, int fd)
{
    struct job_loop *loop = listener->handle.job_loop;
    fd = sys_lifted(fd);
    if (fd < 0) {
        place_is_missing(listener, fd);
        return;
    }
    line_count(loop->line, COUNTER_ACCEPTED, 1);
    struct job_incoming incoming = {.fd = fd, .listener = listener};
    if (handle_is_open(&listener->handle))
        LOOP_CALL(loop, listener->job_accepted, (listener, &incoming));
    if (incoming.fd >= 0) {
        (void)sys_close(incoming.fd);   /* nobody took it: the peer sees a close */
        listeners_retry(loop);
    }
}

static int spare_descriptor(void)
{
    return sys_lifted(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/* Gives up the spare descriptor for the client that waits longest, who sees an end. False: there is no spare one, or it did not help. */
static bool turn_away(struct job_listener *listener)
{
    if (listener->job_spare_fd < 0)
        listener->job_spare_fd = spare_descriptor();   /* somebody else had taken it */
    if (listener->job_spare_fd < 0)
        return false;
    (void)sys_close(listener->job_spare_fd);
    int fd = accept4(listener->job_fd, NULL, NULL, SOCK_CLOEXEC);   /* the socket does not block */
    if (fd >= 0)
        (void)sys_close(fd);
    listener->job_spare_fd = spare_descriptor();
    return fd >= 0;   /* else nobody is there: the kernel takes a descriptor before it looks, and would fail at once again */
}

/* Passing errors do not come here (the engine goes on), so at once would be in vain. */
static void accept_failed(struct job_listener *listener, int err)
{
    JOB_MARK(listener_out_of_descriptors);
    if ((err == -EMFILE || err == -ENFILE) && listener->job_turns_away && turn_away(listener)) {
        tell_of_trouble(listener, err, "clients are turned away");
        accept_start(listener);
        return;
    }
    tell_of_trouble(listener, err, "accepting pauses");
    wait_for_descriptor(listener);
}

static void accept_completed(struct op *op, const struct completion *completion)
{
    struct job_listener *listener = job_container_of(op, struct job_listener, job_op);
    if (completion->res >= 0)
        connection_arrived(listener, completion->res);
    if (completion->more) {
        if (listener->job_lacks_place)
            listener->handle.job_loop->engine->type->cancel(listener->handle.job_loop->engine, op);
        return;
    }
    if (handle_is_open(&listener->handle)) {
        if (listener->job_lacks_place)
            wait_for_descriptor(listener);
        else if (completion->res < 0)
            accept_failed(listener, completion->res);
        else
            accept_start(listener);
    }
    handle_release(&listener->handle);
}

/* A descriptor that a client could have is free now. */
static bool has_place(void)
{
    int fd = spare_descriptor();
    if (fd >= 0)
        (void)sys_close(fd);
    return fd >= 0;
}

static void retry(struct job_listener *listener)
{
    listener->job_lacks_place = listener->job_lacks_place && !has_place();
    if (listener->job_lacks_place)
        wait_for_descriptor(listener);
    else
        accept_start(listener);
}

void listeners_retry(struct job_loop *loop)
{
    struct list *node;
    struct list waiting;
    deadline_clear(loop, &loop->fd_retry);
    list_init(&waiting);
    list_splice_back(&waiting, &loop->fd_waiters);
    while ((node = list_pop_front(&waiting)))
        retry((struct job_listener *)((char *)node - offsetof(struct job_listener, job_node)));
}

void listener_admit(struct job_listener *listener, struct job_stream *stream)
{
    stream->job_from = listener;
    list_push_back(live_list(listener), (struct list *)stream->job_admitted);
    listener->job_live_count++;
}

void listener_dismiss(struct job_stream *stream)
{
    struct job_listener *listener = stream->job_from;
    if (!listener)
        return;
    bool was_full = is_full(listener);
    stream->job_from = NULL;
    list_remove((struct list *)stream->job_admitted);
    listener->job_live_count--;
    if (was_full && handle_is_open(&listener->handle) && !op_is_in_flight(accept_op(listener)) &&
        list_is_empty(waiter_node(listener)))
        accept_start(listener);
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
    struct list *node;
    while ((node = list_pop_front(live_list(listener))))   /* they live on, and know nobody to tell */
        ((struct job_stream *)((char *)node - offsetof(struct job_stream, job_admitted)))->job_from = NULL;
    socket_path_remove(listener->job_fd, (struct socket_path *)listener->job_path);
    if (listener->job_spare_fd >= 0)
        (void)sys_close(listener->job_spare_fd);
    descriptor_close(handle->job_loop, listener->job_fd);
    HANDLE_TELL_CLOSED(listener, listener->job_on_closed);
}

static const struct handle_kind listener_kind = {.name = "listener", .close = listener_closing, .closed = listener_closed};

static void listener_init(struct job_listener *listener, const struct job_listener_options *options, int fd,
                          uint16_t port)
{
    list_init(waiter_node(listener));
    list_init(live_list(listener));
    listener->job_fd = fd;
    listener->job_port = port;
    listener->job_live_max = options->connections_max;
    listener->job_turns_away = options->turns_away;
    listener->job_spare_fd = options->turns_away ? spare_descriptor() : -1;
    socket_path_note(fd, (struct socket_path *)listener->job_path);
}

int job_listener_open(struct job_loop *loop, struct job_listener *listener, const struct job_listener_options *options,
                      void (*accepted)(struct job_listener *listener, struct job_incoming *incoming))
{
    static const struct job_listener_options defaults = {0};
    struct address address;
    if (!loop || !listener || !accepted)
        return -EINVAL;
    options = options ? options : &defaults;
    if (options->backlog < 0 || address_parse(&address, options->address, options->port) < 0)
        return -EINVAL;
    int err = handle_may_open(loop, &listener->handle);   /* before a path is bound, or a stale one removed */
    if (err < 0)
        return err;
    int fd = socket_listen(&address, &options->socket, options->backlog, options->reuse_port);
    if (fd < 0)
        return fd;
    err = handle_open(loop, &listener->handle, sizeof *listener, &listener_kind);
    assert(err == 0);   /* all that it checks has been checked */
    (void)fetch_add_relaxed(&loop->root->fds, 1);   /* ledger: orders nothing */
    listener_init(listener, options, fd, address_port(&address));
    listener->job_accepted = accepted;
    accept_start(listener);
    return 0;
}

int job_listener_address(const struct job_listener *listener, char *text, size_t size)
{
    int err = listener && text ? handle_check(&listener->handle) : -EINVAL;
    return err < 0 ? err : socket_text(listener->job_fd, false, text, size);
}

uint16_t job_listener_port(const struct job_listener *listener)
{
    return listener ? listener->job_port : 0;
}

void job_listener_close(struct job_listener *listener, void (*closed)(struct job_listener *listener))
{
    if (!listener || !handle_may_close(&listener->handle))
        return;
    listener->job_on_closed = closed;
    (void)handle_close(&listener->handle);
}
