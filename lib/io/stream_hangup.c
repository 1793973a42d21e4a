/* stream_hangup.c — a connection that breaks while nobody receives from it, and the end that a receive may miss.
 *
 * A paused stream has no receive in flight once something has arrived, and a receive without memory waits inside the engine: neither would
 * ever hear that the peer has reset the connection, and would hold what it has for it. So a poll that asks for nothing but what is always
 * told is armed then. It costs nothing until it ends, so it stays armed until the stream closes, or until the peer ends its direction: then
 * it would end at once, again and again. A reset behind such a half-close is heard by the next receive or send.
 *
 * An orderly end is told too. It waits behind the data, so nobody needs it but the receive of a Unix socket, with which the poll is armed:
 * the kernel counts 128 wakes of a receive of many completions that it has not come to, and forgets those that follow while it is at work
 * (6.18 does). No data is lost by that, but the end behind them, which nothing follows. A receive that begins anew finds it. A TCP socket
 * says with the last data that something comes.
 */
#include <errno.h>

#include "io/stream.h"

/* The socket says its error once. A receive in flight is to have it: that finds the data first, and the error behind it. Nor is it asked
 * for where the connection is about to be another loop's. */
static bool nobody_receives(const struct job_stream *stream)
{
    const struct op *op = (const struct op *)stream->job_receive_op;
    bool is_received = op_is_in_flight(op) && !stream_has(stream, STREAM_STARVED);
    return handle_is_open(&stream->handle) && !stream_has(stream, STREAM_LEAVING) && !is_received;
}

static void hangup_completed(struct op *op, const struct completion *completion)
{
    struct job_stream *stream = job_container_of(op, struct job_stream, job_hangup_op);
    int err = 0;
    socklen_t len = sizeof err;
    if (completion->res > 0 && nobody_receives(stream))
        (void)getsockopt(stream->job_fd, SOL_SOCKET, SO_ERROR, &err, &len);
    if (err != 0) {
        JOB_MARK(stream_broke_unreceived);
        stream_fail(stream, -err);
        stream_finish_step(stream);
    } else if (completion->res > 0 && stream_has(stream, STREAM_MAY_MISS_END)) {
        stream_clear(stream, STREAM_MAY_MISS_END);   /* a receive that begins from now on finds the end */
        stream_receive_renew(stream);
    }
    stream_detach_step(stream);
    handle_release(&stream->handle);
}

void stream_hangup_watch(struct job_stream *stream)
{
    struct job_loop *loop = stream->handle.job_loop;
    struct op *op = stream_hangup_op(stream);
    if (op_is_in_flight(op) || !handle_is_open(&stream->handle) || stream_has(stream, STREAM_ENDED) ||
        stream_has(stream, STREAM_LEAVING))
        return;
    op->completed = hangup_completed;
    op->kind = OP_POLL;
    op->fd = stream->job_fd;
    op->poll.events = 0;   /* an error, a hang-up and the end are told unasked */
    if (loop->engine->type->start(loop->engine, op) == 0) {
        handle_hold(&stream->handle);
        return;
    }
    JOB_MARK(stream_waits_to_watch);
    stream_stall(stream, STREAM_LATER_RESUME);
}

void stream_hangup_cancel(struct job_stream *stream)
{
    struct engine *engine = stream->handle.job_loop->engine;
    if (op_is_in_flight(stream_hangup_op(stream)))
        engine->type->cancel(engine, stream_hangup_op(stream));
}
