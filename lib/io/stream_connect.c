/* stream_connect.c — connect, with a time-out.
 *
 * connect(2) of a non-blocking socket begins it; poll by the ring tells its end. The poll uses the stream's receive operation: the two are
 * never in flight together. A time-out is the stream's deadline like all others; the poll is cancelled then, and what it says later is of
 * no interest. Sends wait in the queue until there is a connection.
 */
#include <errno.h>
#include <poll.h>

#include "base/sys.h"
#include "io/socket.h"
#include "io/stream.h"

static void tell_connected(struct job_stream *stream, int status)
{
    const struct job_stream_events *events = stream->job_events;
    if (!stream_may_tell(stream))
        return;   /* it finishes: `sent` is what it waits for */
    if (status < 0)
        stream_clear(stream, STREAM_SENT_OWED);   /* this is the word of it, also if it is finished after that */
    if (events->connected)
        LOOP_CALL(stream->handle.job_loop, events->connected, (stream, status));
    else if (status < 0 && events->end)
        LOOP_CALL(stream->handle.job_loop, events->end, (stream, status));
}

void stream_connect_failed(struct job_stream *stream, int err)
{
    stream_clear(stream, STREAM_CONNECTING);
    stream_set(stream, STREAM_UNCONNECTED);
    stream->job_error = err;
    stream->job_flags |= (uint32_t)STREAM_ENDED | (uint32_t)STREAM_END_TOLD;
    stream_receive_cancel(stream);
    stream_send_drop(stream);
    tell_connected(stream, err);
    stream_finish_step(stream);
}

static void connected(struct job_stream *stream)
{
    stream_clear(stream, STREAM_CONNECTING);
    stream->job_active_ns = stream->job_progress_ns = stream->handle.job_loop->now_ns;
    stream_timeout_update(stream);
    stream_later(stream, STREAM_LATER_RESUME);   /* receives; paused meanwhile: not */
    if (stream_has_to_send(stream) || stream_has(stream, STREAM_SENDS_CANCELLED))
        stream_later(stream, STREAM_LATER_FLUSH);
    stream_shut_if_wanted(stream);
    tell_connected(stream, 0);
}

/* How it went: the socket knows, once. */
void stream_connect_ended(struct job_stream *stream)
{
    int err = stream->job_error < 0 ? stream->job_error : stream->job_begun;
    socklen_t len = sizeof err;
    if (!stream_has(stream, STREAM_CONNECTING))
        return;   /* it has timed out */
    if (err == 0 && getsockopt(stream->job_fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
        err = errno;
    if (err == 0)
        connected(stream);
    else
        stream_connect_failed(stream, err < 0 ? err : -err);
}

static void poll_completed(struct op *op, const struct completion *completion)
{
    struct job_stream *stream = job_container_of(op, struct job_stream, job_receive_op);
    if (completion->res < 0 && handle_is_open(&stream->handle) && stream_has(stream, STREAM_CONNECTING))
        stream_connect_failed(stream, completion->res);
    else if (handle_is_open(&stream->handle))
        stream_connect_ended(stream);
    handle_release(&stream->handle);
}

static int poll_start(struct job_stream *stream)
{
    struct job_loop *loop = stream->handle.job_loop;
    struct op *op = stream_receive_op(stream);
    op->completed = poll_completed;
    op->kind = OP_POLL;
    op->fd = stream->job_fd;
    op->poll.events = POLLOUT;
    int err = loop->engine->type->start(loop->engine, op);
    if (err == 0)
        handle_hold(&stream->handle);
    return err;
}

/* A socket that has begun to connect, or a negative errno. *begun: what connect(2) said. */
static int begin(const char *text, const struct job_connect_options *options, int *begun)
{
    struct address address, from;
    int err = address_parse(&address, text, ADDRESS_PORT_NEEDED);
    if (err == 0 && options->from)
        err = address_parse(&from, options->from, 0);
    if (err < 0)
        return err;
    int fd = socket_open(&address, &options->socket);
    if (fd < 0)
        return fd;
    if (options->from && bind(fd, &from.any, from.len) < 0) {
        err = -errno;
        (void)sys_close(fd);
        return err;
    }
    *begun = connect(fd, &address.any, address.len) < 0 ? -errno : 0;
    return fd;
}

int job_stream_connect(struct job_loop *loop, struct job_stream *stream, const char *address,
                       const struct job_connect_options *options, const struct job_stream_events *events)
{
    static const struct job_connect_options defaults = {0};
    int begun = 0;
    if (!loop || !stream || !address || !events || !events->data)
        return -EINVAL;
    options = options ? options : &defaults;
    int err = handle_may_open(loop, &stream->handle);   /* before anybody sees a connection */
    if (err < 0)
        return err;
    int fd = begin(address, options, &begun);
    if (fd < 0)
        return fd;
    err = stream_open(loop, stream, fd, events);
    if (err < 0)
        goto close_fd;
    stream_set(stream, STREAM_CONNECTING);
    stream->job_progress_ns = loop->root->now_ns();
    stream->job_patience_ns = options->timeout_ns ? options->timeout_ns : CONNECT_TIMEOUT_DEFAULT_NS;
    err = begun == -EINPROGRESS ? poll_start(stream) : 0;
    if (err < 0)
        goto abandon;
    if (begun != -EINPROGRESS) {
        stream->job_begun = begun;
        stream_later(stream, STREAM_LATER_CONNECT);   /* `connected` does not come inside this call, and what is sent before is queued */
    }
    stream_timeout_update(stream);
    return 0;
abandon:
    stream_abandon(stream);
close_fd:
    (void)sys_close(fd);
    return err;
}
