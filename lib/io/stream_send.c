/* stream_send.c — the send queue: bufs linked through their own segments, one operation at a time.
 *
 * Two sends in flight on one socket may interleave when the first is cut short, so there is never more than one. What it did not
 * take is sent again from where it stopped. The queue grows by linking; nothing is allocated.
 *
 * A send only queues: the operation starts at the end of the turn, before the loop enters the kernel, and takes all that has come together
 * by then. So the parts of an answer share a packet, and a send cannot fail for want of an operation: the stream waits for one to end.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/limits.h"
#include "io/stream.h"
#include "memory/arena.h"
#include "memory/buf.h"
#include "memory/owner.h"

static void send_completed(struct op *op, const struct completion *completion);

/* Unless somebody has said it: less the less memory is free, so that queues alone cannot take all of it (docs/decisions/033). */
static size_t high_mark(const struct job_stream *stream)
{
    if (stream->job_high)
        return stream->job_high;
    const struct job_loop *loop = stream->handle.job_loop;
    size_t spare = arena_spare(loop->arena), late = loop->handle_count * STREAM_LATE_SLOTS * loop->receive_slot_bytes;
    size_t share = spare > late ? (spare - late) / QUEUE_SHARE : 0;
    return min_size(max_size(share, SEND_HIGH_LEAST), SEND_HIGH_DEFAULT);
}

static size_t low_mark(const struct job_stream *stream)
{
    return stream->job_low ? stream->job_low : high_mark(stream) / SEND_LOW_SHARE;
}

bool stream_has_to_send(const struct job_stream *stream)
{
    return stream->job_sending || stream->job_queue;
}

void stream_tell_sent(struct job_stream *stream, int status)
{
    if (!stream_has(stream, STREAM_SENT_OWED))
        return;
    stream_clear(stream, STREAM_SENT_OWED);
    if (handle_is_open(&stream->handle) && stream->job_events->sent)   /* also of a stream that finishes */
        LOOP_CALL(stream->handle.job_loop, stream->job_events->sent, (stream, status));
}

static void call_writable(struct job_stream *stream)
{
    if (stream_may_tell(stream) && stream->job_error == 0 && stream->job_events->writable)
        LOOP_CALL(stream->handle.job_loop, stream->job_events->writable, (stream));
}

void stream_tell_room(struct job_stream *stream)
{
    if (!stream_has(stream, STREAM_OWES_ROOM))
        return;
    stream_clear(stream, STREAM_OWES_ROOM);
    call_writable(stream);
}

static void tell_writable(struct job_stream *stream)
{
    if (!stream_has(stream, STREAM_FULL) || stream->job_queued > low_mark(stream))
        return;
    stream_clear(stream, STREAM_FULL);
    call_writable(stream);
}

static void fail_sending(struct job_stream *stream, int err)
{
    stream_fail(stream, err);
    stream_send_drop(stream);
    stream_tell_sent(stream, stream->job_error);
    stream_notices_tell(stream, stream->job_error);
    stream_finish_step(stream);
}

void stream_shut_if_wanted(struct job_stream *stream)
{
    bool is_wanted = stream_has(stream, STREAM_SHUT_WANTED) && !stream_has(stream, STREAM_SHUT);
    bool is_early = stream_has_to_send(stream) || stream->job_place_count > 0 || stream_has(stream, STREAM_CONNECTING);
    if (!is_wanted || is_early)
        return;
    stream_set(stream, STREAM_SHUT);
    stream->job_progress_ns = stream->handle.job_loop->now_ns;
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

/* The rest of a send that was cut short, or else all that is queued. False: there is nothing. */
static bool take_next(struct job_stream *stream)
{
    if (!stream->job_sending) {
        stream->job_sending = job_buf_take(&stream->job_queue);
        owner_pass(stream->job_sending, BUF_QUEUE, BUF_CODE);
        if (stream->job_sending)
            stream->job_segments -= (uint32_t)job_buf_segments(stream->job_sending);
    }
    if (stream->job_sending && job_buf_len(stream->job_sending) == 0)
        job_buf_free(&stream->job_sending);   /* empty bufs alone: there is nothing that the kernel could take */
    return stream->job_sending != NULL;
}

static void all_sent(struct job_stream *stream)
{
    stream_open_settle(stream);
    stream_shut_if_wanted(stream);
    bool more_comes = stream_has(stream, STREAM_FINISHING) && stream->job_place_count > 0;   /* then it is told once, for all */
    int status = stream_has(stream, STREAM_SENDS_CANCELLED) ? -ECANCELED : 0;
    if (!more_comes) {
        stream_clear(stream, STREAM_SENDS_CANCELLED);
        stream_tell_sent(stream, status);
    }
    stream_finish_step(stream);
}

void stream_flush(struct job_stream *stream)
{
    if (op_is_in_flight(stream_send_op(stream)) || stream_has(stream, STREAM_UNSENT))
        return;
    if (stream->job_error < 0) {
        fail_sending(stream, stream->job_error);
        return;
    }
    if (!take_next(stream)) {
        if (stream->job_queued == 0)   /* else the rest waits behind a place */
            all_sent(stream);
        return;
    }
    if (send_start(stream) < 0) {
        JOB_MARK(stream_waits_for_an_operation);
        stream_stall(stream, STREAM_LATER_FLUSH);
    }
}

static void took(struct job_stream *stream, size_t len)
{
    struct job_loop *loop = stream->handle.job_loop;
    stream->job_sent += len;
    stream->job_queued -= len;
    stream->job_progress_ns = stream->job_active_ns = loop->now_ns;
    line_count(loop->line, COUNTER_SENT_BYTES, len);
    int err = job_buf_consume(&stream->job_sending, len);
    assert(err == 0);   /* the kernel takes no more than it was given */
    if (job_buf_len(stream->job_sending) == 0)
        job_buf_free(&stream->job_sending);
}

static void send_completed(struct op *op, const struct completion *completion)
{
    struct job_stream *stream = job_container_of(op, struct job_stream, job_send_op);
    assert(stream->job_sending);
    owner_pass(stream->job_sending, BUF_OP, BUF_CODE);
    if (completion->res > 0)
        took(stream, (size_t)completion->res);
    if (!handle_is_open(&stream->handle))
        job_buf_free(&stream->job_sending);
    else if (completion->res < 0)
        fail_sending(stream, completion->res);
    else
        stream_flush(stream);
    if (handle_is_open(&stream->handle))
        stream_notices_tell(stream, stream->job_error);
    tell_writable(stream);
    handle_release(&stream->handle);
}

/* Links a buf behind others in *queue. Cannot fail: what could refuse it was checked. */
void stream_enqueue(struct job_stream *stream, struct job_buf **queue, struct job_buf **buf)
{
    size_t before = job_buf_segments(*queue);
    owner_pass(*queue, BUF_QUEUE, BUF_CODE);
    if (*queue) {
        int err = job_buf_append(*queue, buf);
        assert(err == 0);
    } else {
        *queue = job_buf_take(buf);
    }
    stream->job_segments += (uint32_t)(job_buf_segments(*queue) - before);
    owner_pass(*queue, BUF_CODE, BUF_QUEUE);
}

void stream_sendable(struct job_stream *stream)
{
    if (stream->job_sending)
        return;
    if (!stream_has(stream, STREAM_CONNECTING)) {
        stream->job_progress_ns = stream->job_active_ns = stream->handle.job_loop->now_ns;
        stream_timeout_update(stream);
    }
    stream_later(stream, STREAM_LATER_FLUSH);
}

void stream_count_queued(struct job_stream *stream, size_t len)
{
    stream->job_queued += len;
    stream_set(stream, STREAM_SENT_OWED);
    bool may_be_full = stream->job_high || stream->job_queued > SEND_HIGH_LEAST;   /* small queues do not look at the arena */
    if (may_be_full && stream->job_queued > high_mark(stream))
        stream_set(stream, STREAM_FULL);
    if (stream->job_place_count == 0)
        stream_sendable(stream);
}

/* Whether anything may be sent: 0, or the errno that says why not. */
int stream_check_sending(const struct job_stream *stream)
{
    int err = stream_check(stream);
    if (err < 0)
        return err;
    if (stream->job_error < 0)
        return stream->job_error;
    if (stream_has(stream, STREAM_LEAVING))
        return -EBUSY;
    return stream_has(stream, STREAM_SHUT_WANTED) ? -EPIPE : 0;
}

int job_stream_send_all(struct job_stream *stream, struct job_buf **bufs, size_t count)
{
    if (!stream || (!bufs && count > 0))
        return -EINVAL;
    int err = stream_check_sending(stream);
    if (err < 0)
        return err;
    size_t segments = stream->job_segments, len = 0;
    for (size_t i = 0; i < count; i++) {
        if (!bufs[i] || job_buf_arena(bufs[i])->root != stream->handle.job_loop->root)
            return -EINVAL;
        owner_check_slow(bufs[i]);
        segments += job_buf_segments(bufs[i]);
        len += job_buf_len(bufs[i]);
    }
    if (segments > BUF_SEGMENTS_MAX)
        return -EOVERFLOW;
    for (size_t i = 0; i < count; i++)
        stream_enqueue(stream, stream_tail(stream), &bufs[i]);
    if (count > 0)
        stream_count_queued(stream, len);
    return 0;
}

int job_stream_send(struct job_stream *stream, struct job_buf **buf)
{
    if (!stream || !buf || !*buf)
        return -EINVAL;
    if (stream_check_sending(stream) == 0)
        owner_check_slow(*buf);   /* here, so that the misuse is told with the name of the call */
    return job_stream_send_all(stream, buf, 1);
}

/* No slot is taken and no byte is copied twice. False: it does not fit. */
bool stream_gather(struct job_buf *last, const void *bytes, size_t len)
{
    size_t room = 0;
    if (!last || len == 0)
        return false;
    owner_pass(last, BUF_QUEUE, BUF_CODE);
    void *at = job_buf_room(last, &room);
    if (len <= room) {
        memcpy(at, bytes, len);
        (void)job_buf_extend(last, len);   /* there is room, so it cannot fail */
    }
    owner_pass(last, BUF_CODE, BUF_QUEUE);
    return len <= room;
}

int stream_alloc(struct job_stream *stream, size_t len, struct job_buf **buf)
{
    struct job_arena *arena = stream->handle.job_loop->arena;
    int err = job_buf_alloc(arena, len, NULL, buf);
    if (err != -ENOMEM)
        return err;
    stream_wait_for_memory(stream);
    err = job_buf_alloc(arena, len, NULL, buf);   /* a look after registering */
    if (err < 0)
        stream_set(stream, STREAM_OWES_ROOM);
    return err;
}

int job_stream_write(struct job_stream *stream, const void *bytes, size_t len)
{
    if (!stream || (!bytes && len > 0))
        return -EINVAL;
    int err = stream_check_sending(stream);   /* before the arena is touched: on another thread it is not ours to ask for */
    struct job_buf *buf = NULL;
    if (err == 0 && stream_gather(*stream_tail(stream), bytes, len)) {
        stream_count_queued(stream, len);
        return 0;
    }
    if (err == 0)
        err = stream_alloc(stream, len, &buf);
    if (err == 0 && len > 0)
        err = job_buf_write(buf, bytes, len);
    if (err == 0)
        err = job_stream_send(stream, &buf);
    job_buf_free(&buf);                /* NULL, unless something failed */
    return err;
}

size_t job_stream_queued(const struct job_stream *stream)
{
    return stream ? stream->job_queued : 0;
}

int job_stream_set_marks(struct job_stream *stream, size_t high, size_t low)
{
    size_t highest = high ? high : SEND_HIGH_DEFAULT;
    if (!stream || low >= highest || highest > TOTAL_BYTES_MAX)
        return -EINVAL;
    int err = stream_check(stream);
    if (err < 0)
        return err;
    stream->job_high = (uint32_t)high;
    stream->job_low = (uint32_t)low;
    return 0;
}

bool job_stream_is_full(const struct job_stream *stream)
{
    return stream && stream_has(stream, STREAM_FULL);
}

int job_stream_shutdown(struct job_stream *stream)
{
    int err = stream_check(stream);
    if (err < 0)
        return err;
    if (stream->job_error < 0)
        return stream->job_error;
    if (stream_has(stream, STREAM_LEAVING))
        return -EBUSY;
    stream_set(stream, STREAM_SHUT_WANTED);
    stream_shut_if_wanted(stream);
    return 0;
}

void stream_send_cancel(struct job_stream *stream)
{
    struct engine *engine = stream->handle.job_loop->engine;
    if (op_is_in_flight(stream_send_op(stream)))
        engine->type->cancel(engine, stream_send_op(stream));
}

void stream_queue_drop(struct job_stream *stream)
{
    owner_pass(stream->job_queue, BUF_QUEUE, BUF_CODE);
    job_buf_free(&stream->job_queue);
    stream_places_empty(stream);
    stream->job_queued = job_buf_len(stream->job_sending);
    stream->job_segments = 0;
    if (stream_has(stream, STREAM_FULL) && stream->job_queued <= low_mark(stream)) {
        stream_clear(stream, STREAM_FULL);
        stream_set(stream, STREAM_OWES_ROOM);
    }
    if (stream_has(stream, STREAM_OWES_ROOM) && handle_is_open(&stream->handle))
        stream_later(stream, STREAM_LATER_ROOM);
}

void stream_send_drop(struct job_stream *stream)
{
    if (!op_is_in_flight(stream_send_op(stream)))
        job_buf_free(&stream->job_sending);
    stream_queue_drop(stream);
    stream_places_drop(stream);
}
