/* stream.c — the life of a connected socket: accept or adopt, close, and what is done at the end of a turn.
 *
 * Closing: shut the socket down (what waits in the kernel ends), cancel both operations, and close the descriptor only when the
 * last of them has ended: so its number cannot be reused under an operation that is still in flight.
 */
#include "io/stream.h"

#include <errno.h>

#include "io/descriptor.h"
#include "io/listener.h"
#include "io/socket.h"

/* What waits until the end of the turn: so that calls inside of callbacks have the same effect as outside, and what comes together in one
 * turn is done once. In this order, and each looks at the state that the ones before have left:
 *
 *      flag      from                                      what is done
 *      CONNECT   connect(2) said it at once, a cancel      `connected`, or the failure
 *      FLUSH     something was queued, dropped or failed   the next send, or `sent`; and notices that have come true by that
 *      RESUME    resume, attach, finish, a stall           what waits is told, then receives, or watches for a hang-up
 *      ROOM      memory or a place has come                `writable`, if it is owed
 *      NOTICE    job_stream_notify()                       notices that are true already, or failed
 *      FINISH    job_stream_finish()                       close, if all is done
 *      DETACH    the last operation has ended              `detached`
 */
static void deliver_later(struct job_mail *mail)
{
    struct job_stream *stream = job_container_of(mail, struct job_stream, job_later);
    uint32_t what = stream->job_flags;
    stream->job_flags &= ~(uint32_t)STREAM_LATER_ALL;
    if (handle_is_open(&stream->handle) && (what & STREAM_LATER_CONNECT))
        stream_connect_ended(stream);
    if (handle_is_open(&stream->handle) && (what & STREAM_LATER_FLUSH))
        stream_flush(stream);
    if (handle_is_open(&stream->handle) && (what & STREAM_LATER_RESUME))
        stream_receive_resume(stream);
    if (handle_is_open(&stream->handle) && (what & STREAM_LATER_ROOM))
        stream_tell_room(stream);
    bool may_notice = handle_is_open(&stream->handle) && !stream_has(stream, STREAM_UNCONNECTED);
    if (may_notice && (what & (STREAM_LATER_NOTICE | STREAM_LATER_FLUSH)))
        stream_notices_tell(stream, stream->job_error);
    if (what & STREAM_LATER_FINISH)
        stream_finish_step(stream);
    if (handle_is_open(&stream->handle) && (what & STREAM_LATER_DETACH))
        stream_detach(stream);
    handle_release(&stream->handle);
}

/* True: job_later is to be queued. */
static bool ask_for(struct job_stream *stream, enum stream_flag what)
{
    bool is_first = !stream_has(stream, STREAM_LATER);
    stream->job_flags |= (uint32_t)STREAM_LATER | (uint32_t)what;
    if (is_first)
        handle_hold(&stream->handle);
    stream->job_later.job_deliver = deliver_later;
    return is_first;
}

void stream_later(struct job_stream *stream, enum stream_flag what)
{
    if (ask_for(stream, what))
        loop_defer_mail(stream->handle.job_loop, &stream->job_later);
}

void stream_stall(struct job_stream *stream, enum stream_flag what)
{
    if (ask_for(stream, what))
        loop_stall_mail(stream->handle.job_loop, &stream->job_later);
}

int stream_check(const struct job_stream *stream)
{
    return stream ? handle_check(&stream->handle) : -EINVAL;
}

static void stream_closing(struct job_handle *handle)
{
    struct job_stream *stream = job_container_of(handle, struct job_stream, handle);
    bool is_busy = op_is_in_flight(stream_receive_op(stream)) || op_is_in_flight(stream_send_op(stream));
    static const struct linger at_once = {.l_onoff = 1};
    if (stream_has(stream, STREAM_RESET))
        (void)setsockopt(stream->job_fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);   /* the close(2) that follows resets */
    else if (is_busy)
        (void)shutdown(stream->job_fd, SHUT_RDWR);   /* ENOTCONN when the peer was faster */
    stream_receive_cancel(stream);
    stream_send_cancel(stream);
    stream_hangup_cancel(stream);
    stream_receive_drop(stream);
    stream_send_drop(stream);
    stream_timeout_stop(stream);
    stream_memory_forget(stream);
    loop_unstall(handle->job_loop);   /* it may wait there, and would for ever */
}

static void stream_closed(struct job_handle *handle)
{
    struct job_stream *stream = job_container_of(handle, struct job_stream, handle);
    assert(!stream->job_sending && !stream->job_queue);
    assert(!stream->job_waiting && !stream->job_open && !stream->job_exact);
    stream_notices_tell(stream, stream->job_error < 0 ? stream->job_error : -ECANCELED);
    stream_detach_forget(stream);
    descriptor_close(handle->job_loop, stream->job_fd);   /* unless it was detached */
    listener_dismiss(stream);
    HANDLE_TELL_CLOSED(stream, stream->job_events->closed);
}

static bool stream_cancel_all(struct job_handle *handle)
{
    return job_stream_cancel(job_container_of(handle, struct job_stream, handle), JOB_STREAM_ALL) == 0;
}

static const struct handle_kind stream_kind = {
    .name = "stream", .close = stream_closing, .closed = stream_closed, .cancel = stream_cancel_all};

/* The rest of an open has failed: the descriptor is the caller's. */
void stream_abandon(struct job_stream *stream)
{
    (void)fetch_sub_relaxed(&stream->handle.job_loop->root->fds, 1);   /* ledger: orders nothing */
    handle_abandon(&stream->handle);
}

static bool is_unix(int fd)
{
    int domain = 0;
    socklen_t len = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

int stream_open(struct job_loop *loop, struct job_stream *stream, int fd, const struct job_stream_events *events)
{
    int err = handle_open(loop, &stream->handle, sizeof *stream, &stream_kind);
    if (err < 0)
        return err;
    stream->job_events = events;
    stream->job_fd = fd;
    if (is_unix(fd))
        stream_set(stream, STREAM_MAY_MISS_END);
    list_init((struct list *)stream->job_node);
    list_init((struct list *)stream->job_admitted);
    list_init((struct list *)stream->job_places);
    list_init((struct list *)stream->job_waits);
    stream_notices_init(stream);
    stream_timeout_init(stream);
    stream->job_active_ns = loop->now_ns;
    (void)fetch_add_relaxed(&loop->root->fds, 1);   /* ledger: orders nothing */
    return 0;
}

static int stream_start(struct job_loop *loop, struct job_stream *stream, int fd,
                        const struct job_stream_events *events)
{
    int err = stream_open(loop, stream, fd, events);
    if (err < 0)
        return err;
    err = stream_receive_start(stream);
    if (err < 0)
        stream_abandon(stream);
    return err;
}

int job_stream_accept(struct job_stream *stream, struct job_incoming *incoming, const struct job_stream_events *events)
{
    if (!stream || !incoming || incoming->fd < 0 || !incoming->listener || !events || !events->data)
        return -EINVAL;
    int err = stream_start(incoming->listener->handle.job_loop, stream, incoming->fd, events);
    if (err < 0)
        return err;
    incoming->fd = -1;
    if (!job_handle_is_closing(&incoming->listener->handle))
        listener_admit(incoming->listener, stream);
    return 0;
}

int job_stream_adopt(struct job_loop *loop, struct job_stream *stream, int fd, const struct job_stream_events *events)
{
    if (!loop || !stream || !events || !events->data)
        return -EINVAL;
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
        return -errno;
    if (type != SOCK_STREAM)
        return -ENOTSOCK;
    return stream_start(loop, stream, fd, events);
}

void job_stream_close(struct job_stream *stream)
{
    if (stream)
        (void)handle_close(&stream->handle);
}

void job_stream_reset(struct job_stream *stream)
{
    if (!stream || !handle_is_open(&stream->handle))
        return;
    if (loop_check_thread(stream->handle.job_loop) == 0)
        stream_set(stream, STREAM_RESET);
    (void)handle_close(&stream->handle);   /* says what is wrong with another thread */
}

int job_stream_status(const struct job_stream *stream)
{
    if (!stream)
        return 0;
    return stream->job_error == 0 && stream_has(stream, STREAM_TIMED_OUT) ? -ETIMEDOUT : stream->job_error;
}

bool job_stream_can_send(const struct job_stream *stream)
{
    return stream_check_sending(stream) == 0;
}

uint64_t job_stream_received(const struct job_stream *stream)
{
    return stream ? stream->job_received : 0;
}

uint64_t job_stream_sent(const struct job_stream *stream)
{
    return stream ? stream->job_sent : 0;
}

static int text_of(const struct job_stream *stream, bool is_peer, char *text, size_t size)
{
    int err = text ? stream_check(stream) : -EINVAL;
    return err < 0 ? err : socket_text(stream->job_fd, is_peer, text, size);
}

int job_stream_peer(const struct job_stream *stream, char *text, size_t size)
{
    return text_of(stream, true, text, size);
}

int job_stream_local(const struct job_stream *stream, char *text, size_t size)
{
    return text_of(stream, false, text, size);
}
