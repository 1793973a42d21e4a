/* stream_send.c — the send queue: bufs linked through their own segments, one operation at a time.
 *
 * Two sends in flight on one socket may interleave when the first is cut short, so there is never more than one. What it did not
 * take is sent again from where it stopped. The queue grows by linking; nothing is allocated.
 */
#include <errno.h>
#include <string.h>

#include "io/stream.h"
#include "memory/owner.h"

static void send_completed(struct op *op, const struct completion *completion);

static void fail_sending(struct job_stream *stream, int err)
{
    stream_fail(stream, err);
    stream_send_drop(stream);
    job_buf_free(&stream->job_sending);
    if (handle_is_open(&stream->handle) && stream->job_events->sent)
        LOOP_CALL(stream->handle.job_loop, stream->job_events->sent, (stream, err));
}

static void shut_if_wanted(struct job_stream *stream)
{
    if (!stream_has(stream, STREAM_SHUT_WANTED) || stream_has(stream, STREAM_SHUT) || stream->job_sending)
        return;
    stream_set(stream, STREAM_SHUT);
    (void)shutdown(stream->job_fd, SHUT_WR);   /* ENOTCONN: the peer is gone, which receiving will tell */
}

static int send_start(struct job_stream *stream)
{
    struct job_loop *loop = stream->handle.job_loop;
    struct op *op = stream_send_op(stream);
    op->completed = send_completed;
    op->kind = OP_SEND;
    op->fd = stream->job_fd;
    op->send.buf = stream->job_sending;
    int err = loop->engine->type->start(loop->engine, op);
    if (err < 0)
        return err;
    owner_pass(stream->job_sending, BUF_CODE, BUF_OP);
    handle_hold(&stream->handle);
    return 0;
}

/* All that was being sent is with the kernel: the queue is next, or the user is told. */
static void send_next(struct job_stream *stream)
{
    job_buf_free(&stream->job_sending);
    stream->job_sending = job_buf_take(&stream->job_queue);
    owner_pass(stream->job_sending, BUF_QUEUE, BUF_CODE);
    if (stream->job_sending) {
        int err = send_start(stream);
        if (err < 0)
            fail_sending(stream, err);
        return;
    }
    stream_open_settle(stream);
    shut_if_wanted(stream);
    if (stream->job_events->sent)
        LOOP_CALL(stream->handle.job_loop, stream->job_events->sent, (stream, 0));
}

static void send_completed(struct op *op, const struct completion *completion)
{
    struct job_stream *stream = job_container_of(op, struct job_stream, job_send_op);
    assert(stream->job_sending);
    owner_pass(stream->job_sending, BUF_OP, BUF_CODE);
    if (completion->res > 0) {
        stream->job_sent += (uint64_t)completion->res;
        line_count(stream->handle.job_loop->line, COUNTER_SENT_BYTES, (uint64_t)completion->res);
        int err = job_buf_consume(&stream->job_sending, (size_t)completion->res);
        assert(err == 0);   /* the kernel takes no more than it was given */
    }
    if (!handle_is_open(&stream->handle)) {
        job_buf_free(&stream->job_sending);
    } else if (completion->res < 0) {
        fail_sending(stream, completion->res);
    } else if (job_buf_len(stream->job_sending) == 0) {
        send_next(stream);
    } else {
        int err = send_start(stream);
        if (err < 0)
            fail_sending(stream, err);
    }
    handle_release(&stream->handle);
}

static int enqueue(struct job_stream *stream, struct job_buf **buf)
{
    int err = 0;
    owner_pass(stream->job_queue, BUF_QUEUE, BUF_CODE);
    if (stream->job_queue)
        err = job_buf_append(stream->job_queue, buf);
    else
        stream->job_queue = job_buf_take(buf);
    owner_pass(stream->job_queue, BUF_CODE, BUF_QUEUE);
    return err;
}

/* Whether anything may be sent: 0, or the errno that says why not. */
static int check_sending(const struct job_stream *stream)
{
    if (!handle_is_open(&stream->handle))
        return -ECANCELED;
    if (loop_check_thread(stream->handle.job_loop) < 0)
        return -EPERM;
    if (stream->job_error < 0)
        return stream->job_error;
    if (stream_has(stream, STREAM_SHUT_WANTED))
        return -EPIPE;
    return 0;
}

int job_stream_send(struct job_stream *stream, struct job_buf **buf)
{
    if (!stream || !buf || !*buf)
        return -EINVAL;
    int err = check_sending(stream);
    if (err < 0)
        return err;
    owner_check_slow(*buf);
    if (stream->job_sending)
        return enqueue(stream, buf);
    stream->job_sending = job_buf_take(buf);
    err = send_start(stream);
    if (err < 0)
        *buf = job_buf_take(&stream->job_sending);
    return err;
}

/* Into the free room behind what is queued: no slot is taken and no byte is copied twice. False: it does not fit. */
static bool gather(struct job_stream *stream, const void *bytes, size_t len)
{
    size_t room = 0;
    if (!stream->job_queue || len == 0)
        return false;
    owner_pass(stream->job_queue, BUF_QUEUE, BUF_CODE);
    void *at = job_buf_room(stream->job_queue, &room);
    if (len <= room) {
        memcpy(at, bytes, len);
        (void)job_buf_extend(stream->job_queue, len);   /* there is room, so it cannot fail */
    }
    owner_pass(stream->job_queue, BUF_CODE, BUF_QUEUE);
    return len <= room;
}

int job_stream_write(struct job_stream *stream, const void *bytes, size_t len)
{
    if (!stream || (!bytes && len > 0))
        return -EINVAL;
    int err = check_sending(stream);   /* before the arena is touched: on another thread it is not ours to ask for */
    struct job_buf *buf = NULL;
    if (err == 0 && gather(stream, bytes, len))
        return 0;
    if (err == 0)
        err = job_buf_alloc(stream->handle.job_loop->arena, len, NULL, &buf);
    if (err == 0 && len > 0)
        err = job_buf_write(buf, bytes, len);
    if (err == 0)
        err = job_stream_send(stream, &buf);
    job_buf_free(&buf);                /* NULL, unless something failed */
    return err;
}

size_t job_stream_queued(const struct job_stream *stream)
{
    if (!stream)
        return 0;
    return (stream->job_sending ? job_buf_len(stream->job_sending) : 0) +
           (stream->job_queue ? job_buf_len(stream->job_queue) : 0);
}

int job_stream_shutdown(struct job_stream *stream)
{
    if (!stream)
        return -EINVAL;
    if (!handle_is_open(&stream->handle))
        return -ECANCELED;
    if (loop_check_thread(stream->handle.job_loop) < 0)
        return -EPERM;
    if (stream->job_error < 0)
        return stream->job_error;
    stream_set(stream, STREAM_SHUT_WANTED);
    shut_if_wanted(stream);
    return 0;
}

void stream_send_cancel(struct job_stream *stream)
{
    struct engine *engine = stream->handle.job_loop->engine;
    if (op_is_in_flight(stream_send_op(stream)))
        engine->type->cancel(engine, stream_send_op(stream));
}

void stream_send_drop(struct job_stream *stream)
{
    owner_pass(stream->job_queue, BUF_QUEUE, BUF_CODE);
    job_buf_free(&stream->job_queue);
    if (!op_is_in_flight(stream_send_op(stream)))
        job_buf_free(&stream->job_sending);
}
