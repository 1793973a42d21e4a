/* stream_detach.c — takes a connection off its stream, and makes a stream of it on another loop.
 *
 *      open ──detach: cancel──▶ leaving ──the last operation has ended──▶ `detached` ──▶ closing without a socket ──▶ closed
 *                                  └──close──▶ closing with it
 *
 * While it leaves, what a cancel comes too late for waits on the stream, as in a pause, and goes along. So does an end. A descriptor
 * must not be used by another loop while this one's kernel ring still has an operation on it: hence the wait for both of them. Whatever
 * ends one calls stream_detach_step(), which looks at the state and not at what happened.
 *
 * The memory of what travels is taken when the detach begins, so that nothing can fail once an operation was cancelled.
 */
#include <errno.h>

#include "io/connection.h"
#include "io/stream.h"

static int check_detach(const struct job_stream *stream)
{
    int err = stream_check(stream);
    if (err < 0)
        return err;
    if (stream_has(stream, STREAM_LEAVING))
        return -EALREADY;
    if (stream->job_error < 0)
        return stream->job_error;
    bool is_sending = stream_has_to_send(stream) || stream->job_queued > 0 || stream->job_place_count > 0 ||
                      stream->job_notices;
    bool is_half_way = stream_has(stream, STREAM_CONNECTING) || stream_has(stream, STREAM_HELD) ||
                       stream_has(stream, STREAM_FINISHING) || stream->job_expected > 0 || stream->job_exact;
    return is_sending || is_half_way ? -EBUSY : 0;
}

int job_stream_detach(struct job_stream *stream,
                      void (*detached)(struct job_stream *stream, struct job_connection **connection))
{
    int err = detached ? check_detach(stream) : -EINVAL;
    if (err < 0)
        return err;
    stream->job_connection = connection_new(stream->handle.job_loop->root);
    if (!stream->job_connection)
        return -ENOMEM;
    stream->job_detached = detached;
    stream_set(stream, STREAM_LEAVING);
    stream_timeout_stop(stream);
    stream_memory_forget(stream);
    stream_receive_cancel(stream);
    stream_hangup_cancel(stream);
    stream_detach_step(stream);
    loop_unstall(stream->handle.job_loop);   /* it may wait there for room to receive */
    return 0;
}

void stream_detach_step(struct job_stream *stream)
{
    if (!stream_has(stream, STREAM_LEAVING) || !handle_is_open(&stream->handle))
        return;
    if (!op_is_in_flight(stream_receive_op(stream)) && !op_is_in_flight(stream_hangup_op(stream)))
        stream_later(stream, STREAM_LATER_DETACH);
}

void stream_detach(struct job_stream *stream)
{
    struct job_connection *connection = stream->job_connection;
    struct job_loop *loop = stream->handle.job_loop;
    assert(!stream_has_to_send(stream) && !op_is_in_flight(stream_send_op(stream)));
    connection->fd = stream->job_fd;
    connection->error = stream->job_error;
    connection->has_ended = stream_has(stream, STREAM_ENDED) && !stream_has(stream, STREAM_TIMED_OUT);
    connection->is_shut = stream_has(stream, STREAM_SHUT);
    connection->waiting = job_buf_take(&stream->job_waiting);
    (void)fetch_add_relaxed(&loop->root->fds, 1);   /* ledger: the stream's own is subtracted when that is closed */
    stream->job_fd = -1;
    stream->job_connection = NULL;
    LOOP_CALL(loop, stream->job_detached, (stream, &connection));
    job_connection_close(&connection);   /* NULL, if it was taken */
    job_stream_close(stream);
}

void stream_detach_forget(struct job_stream *stream)
{
    if (stream->job_connection)
        connection_free(stream->job_connection);
    stream->job_connection = NULL;
}

static void take_over(struct job_stream *stream, struct job_connection *connection)
{
    stream->job_waiting = job_buf_take(&connection->waiting);
    stream->job_error = connection->error;
    if (connection->has_ended || connection->error < 0)
        stream_set(stream, STREAM_ENDED);
    if (connection->is_shut)
        stream->job_flags |= STREAM_SHUT_WANTED | STREAM_SHUT;
    (void)fetch_sub_relaxed(&connection->root->fds, 1);   /* ledger: the stream has its own */
    connection->fd = -1;
    connection_free(connection);
}

int job_stream_attach(struct job_loop *loop, struct job_stream *stream, struct job_connection **connection,
                      const struct job_stream_events *events)
{
    if (!loop || !stream || !connection || !*connection || !events || !events->data ||
        (*connection)->root != loop->root)
        return -EINVAL;
    int err = stream_open(loop, stream, (*connection)->fd, events);
    if (err < 0)
        return err;
    take_over(stream, *connection);
    *connection = NULL;
    stream_later(stream, STREAM_LATER_RESUME);   /* what waits, and then it receives; if there is no room for that yet it tries again */
    return 0;
}
