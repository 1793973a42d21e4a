/* stream_receive.c — from the kernel's bufs to the user's `data`.
 *
 * One operation with many completions; each brings a slot of the loop's receive ring, so an idle connection holds no buffer and what
 * arrives can be given to a task as it is. Three things happen on the way:
 *
 *  - Copybreak. A receive below an eighth of its slot is copied behind the stream's *open buf*, a small slot, and the user gets a
 *    piece of that: otherwise a peer that sends single bytes pins a slot a byte. Pieces that meet again in one buf grow together
 *    without a copy. The open buf goes back to the loop when nobody holds a piece of it: an idle stream has none.
 *  - Pause. Immediate for the user: what the kernel still delivers waits on the stream. The operation is cancelled only when
 *    something did arrive meanwhile, so that a pause for the length of a short task costs nothing.
 *  - End. Told once, behind all data.
 */
#include <errno.h>

#include "base/bits.h"
#include "io/stream.h"
#include "memory/buf.h"
#include "memory/slot.h"

static void receive_completed(struct op *op, const struct completion *completion);

int stream_receive_start(struct job_stream *stream)
{
    struct job_loop *loop = stream->handle.job_loop;
    struct op *op = stream_receive_op(stream);
    if (stream_fills(stream))
        return stream_fill_start(stream);
    op->completed = receive_completed;
    op->kind = OP_RECEIVE;
    op->fd = stream->job_fd;
    int err = loop->engine->type->start(loop->engine, op);
    if (err == 0)
        handle_hold(&stream->handle);
    if (err == 0 && stream_has(stream, STREAM_MAY_MISS_END))
        stream_hangup_watch(stream);
    return err;
}

void stream_receive_cancel(struct job_stream *stream)
{
    struct engine *engine = stream->handle.job_loop->engine;
    if (op_is_in_flight(stream_receive_op(stream)))
        engine->type->cancel(engine, stream_receive_op(stream));
}

void stream_receive_renew(struct job_stream *stream)
{
    struct op *op = stream_receive_op(stream);
    if (op_is_in_flight(op) && op->kind == OP_RECEIVE && !stream_has(stream, STREAM_ENDED))
        stream_receive_cancel(stream);   /* ended so, and not paused, it begins anew */
}

static struct list *open_node(struct job_stream *stream)
{
    return (struct list *)stream->job_node;
}

void stream_open_settle(struct job_stream *stream)
{
    struct job_loop *loop = stream->handle.job_loop;
    if (!stream->job_open || !buf_is_alone(stream->job_open))
        return;
    list_remove(open_node(stream));
    if (loop->spare_open) {
        buf_free_kept(&stream->job_open);
        return;
    }
    buf_reset(stream->job_open);
    loop->spare_open = job_buf_take(&stream->job_open);
}

/* An idle stream learns from nobody that a task has freed the last piece of its open buf: each receive looks at two others. */
static void settle_others(struct job_loop *loop)
{
    for (unsigned i = 0; i < 2; i++) {
        struct list *node = list_pop_front(&loop->open_bufs);
        if (!node)
            return;
        list_push_back(&loop->open_bufs, node);
        stream_open_settle((struct job_stream *)((char *)node - offsetof(struct job_stream, job_node)));
    }
}

/* An open buf with room for `len` more bytes, or NULL when memory is short: then the slot itself goes to the user. */
static struct job_buf *open_with_room(struct job_stream *stream, size_t len)
{
    struct job_loop *loop = stream->handle.job_loop;
    size_t room = 0;
    if (stream->job_open) {
        if (buf_is_alone(stream->job_open))
            buf_reset(stream->job_open);
        (void)job_buf_room(stream->job_open, &room);
        if (room >= len)
            return stream->job_open;
        buf_free_kept(&stream->job_open);   /* its pieces live on */
        list_remove(open_node(stream));
    }
    stream->job_open = job_buf_take(&loop->spare_open);
    if (!stream->job_open) {
        if (buf_alloc_spare(loop->arena, len, &stream->job_open) < 0)
            return NULL;
        buf_keep(stream->job_open);
    }
    list_push_back(&loop->open_bufs, open_node(stream));
    return stream->job_open;
}

/* Replaces a small buf by a piece of the open buf with the same bytes; leaves it as it is when there is no memory. */
static void copybreak(struct job_stream *stream, struct job_buf **in)
{
    struct job_loop *loop = stream->handle.job_loop;
    size_t len = job_buf_len(*in);
    struct job_buf *open = open_with_room(stream, len);
    if (!open || job_buf_write(open, job_buf_data(*in), len) < 0)
        return;
    struct job_buf *rest = NULL;
    if (job_buf_split(&stream->job_open, len, &rest) < 0) {
        int err = job_buf_truncate(open, 0);
        assert(err == 0);
        return;
    }
    job_buf_replace(in, &stream->job_open);
    stream->job_open = rest;
    line_count(loop->line, COUNTER_COPIED_BYTES, len);
    (void)fetch_add_relaxed(&loop->root->copied_bytes, len);   /* a count: orders nothing */
}

static bool is_small(const struct job_stream *stream, const struct job_buf *buf)
{
    const struct job_loop *loop = stream->handle.job_loop;
    return job_buf_len(buf) < (loop->receive_slot_bytes >> COPYBREAK_SHIFT) &&
           feature_is_on(&loop->root->features, FEATURE_COPYBREAK);
}

static bool may_deliver(const struct job_stream *stream)
{
    bool is_held = stream_has(stream, STREAM_PAUSED) || stream_has(stream, STREAM_DELIVERING) ||
                   stream_has(stream, STREAM_SILENT);
    return stream_may_tell(stream) && !is_held;
}

static void tell_data(struct job_stream *stream, struct job_buf *buf)
{
    stream_set(stream, STREAM_DELIVERING);
    LOOP_CALL(stream->handle.job_loop, stream->job_events->data, (stream, &buf));
    stream_clear(stream, STREAM_DELIVERING);
    job_buf_free(&buf);   /* what was left counts as consumed */
    stream_open_settle(stream);
}

static void tell_end(struct job_stream *stream)
{
    if (!stream_has(stream, STREAM_ENDED) || stream_has(stream, STREAM_END_TOLD) || stream_has(stream, STREAM_SILENT))
        return;
    stream_set(stream, STREAM_END_TOLD);
    if (stream_may_tell(stream) && stream->job_events->end)
        LOOP_CALL(stream->handle.job_loop, stream->job_events->end, (stream, job_stream_status(stream)));
}

/* All that waits, then the end. The stream cannot go meanwhile: its memory lives until `closed`, which comes from the deferred queue. */
void stream_deliver(struct job_stream *stream)
{
    struct job_buf *buf;
    while (may_deliver(stream) && (buf = stream_next_data(stream)))
        tell_data(stream, buf);
    if (may_deliver(stream) && !stream->job_waiting)   /* it may wait for memory */
        tell_end(stream);
}

static void enqueue(struct job_stream *stream, struct job_buf *buf)
{
    if (!stream->job_waiting) {
        stream->job_waiting = buf;
        return;
    }
    int err = job_buf_append(stream->job_waiting, &buf);
    assert(err == 0);   /* bounded: the operation is cancelled as soon as something waits */
}

void stream_receive_arrived(struct job_stream *stream, size_t len)
{
    struct job_loop *loop = stream->handle.job_loop;
    stream->job_active_ns = loop->now_ns;
    stream->job_received += len;
    line_count(loop->line, COUNTER_RECEIVED_BYTES, len);
}

static void data_arrived(struct job_stream *stream, struct job_buf *buf)
{
    stream_receive_arrived(stream, job_buf_len(buf));
    settle_others(stream->handle.job_loop);
    if (is_small(stream, buf))
        copybreak(stream, &buf);
    if (may_deliver(stream) && !stream->job_waiting && stream->job_expected == 0) {
        tell_data(stream, buf);
        return;
    }
    enqueue(stream, buf);
    if (stream_has(stream, STREAM_PAUSED))
        stream_receive_cancel(stream);
    stream_deliver(stream);
}

/* A failure or a time-out overtakes what waits: it is told at once, and `data` does not come after `end`. */
void stream_receive_stop(struct job_stream *stream, enum stream_flag why)
{
    if (!stream_has(stream, STREAM_ENDED)) {
        stream->job_flags |= (uint32_t)STREAM_ENDED | (uint32_t)why;
        stream_receive_cancel(stream);
    }
    job_buf_free(&stream->job_waiting);
    stream_exact_drop(stream);
    tell_end(stream);
}

void stream_fail(struct job_stream *stream, int err)
{
    assert(err < 0);
    if (stream->job_error == 0)
        stream->job_error = err;
    stream_receive_stop(stream, STREAM_ENDED);
    stream_send_cancel(stream);   /* or a peer that reads nothing would hold it, and all behind it */
    bool has_some = stream_has_to_send(stream) || stream->job_place_count > 0 || stream->job_notices;
    if (has_some && handle_is_open(&stream->handle))
        stream_later(stream, STREAM_LATER_FLUSH);   /* which drops it, and says so */
}

static void receive_again(struct job_stream *stream)
{
    if (stream_receive_start(stream) < 0) {
        JOB_MARK(stream_waits_to_receive);
        stream_stall(stream, STREAM_LATER_RESUME);
    }
}

/* The operation has ended: for good, because it was paused, or because the stream closes. */
void stream_receive_ended(struct job_stream *stream, int res)
{
    if (stream_has(stream, STREAM_ENDED))
        return;
    if (res == -ECANCELED) {
        if (stream_has(stream, STREAM_LEAVING))
            return;
        if (!stream_has(stream, STREAM_PAUSED)) {   /* resumed meanwhile */
            JOB_MARK(stream_resumed_before_cancel_ended);
            receive_again(stream);
        } else {
            stream_hangup_watch(stream);
        }
        return;
    }
    if (res < 0) {
        stream_fail(stream, res);
        return;
    }
    stream_set(stream, STREAM_ENDED);
    stream_deliver(stream);
}

static void receive_completed(struct op *op, const struct completion *completion)
{
    struct job_stream *stream = job_container_of(op, struct job_stream, job_receive_op);
    struct job_buf *buf = completion->buf;
    assert((buf != NULL) == (completion->res > 0));
    if (completion->res == -ENOBUFS && completion->more) {
        stream_set(stream, STREAM_STARVED);
        stream_hangup_watch(stream);   /* it goes on when there is memory */
        return;
    }
    stream_clear(stream, STREAM_STARVED);
    if (!stream_may_tell(stream) || stream_has(stream, STREAM_END_TOLD))
        job_buf_free(&buf);   /* after a failed send the cancel may come too late for some data: none is told after `end` */
    else if (buf)
        data_arrived(stream, buf);
    if (completion->more)
        return;
    if (handle_is_open(&stream->handle))
        stream_receive_ended(stream, completion->res > 0 ? -ECANCELED : completion->res);   /* data and the last: it can go on anew */
    stream_finish_step(stream);
    stream_detach_step(stream);
    handle_release(&stream->handle);
}

void stream_receive_drop(struct job_stream *stream)
{
    job_buf_free(&stream->job_waiting);
    stream_exact_drop(stream);
    list_remove(open_node(stream));
    buf_free_kept(&stream->job_open);
}

void job_stream_pause(struct job_stream *stream)
{
    /* One that finishes tells nothing anyway, and must receive to hear of the peer's end. */
    if (stream && handle_is_here(&stream->handle, "job_stream_pause") && !stream_has(stream, STREAM_FINISHING))
        stream_set(stream, STREAM_PAUSED);
}

void stream_receive_resume(struct job_stream *stream)
{
    stream_deliver(stream);
    bool is_wanted = handle_is_open(&stream->handle) && !stream_has(stream, STREAM_PAUSED);
    bool is_in_flight = op_is_in_flight(stream_receive_op(stream));
    bool needs_watch = !is_in_flight || stream_has(stream, STREAM_MAY_MISS_END) || stream_has(stream, STREAM_STARVED);
    if (stream_has(stream, STREAM_UNRECEIVED) || stream_has(stream, STREAM_ENDED))
        return;
    if (is_wanted && !is_in_flight)
        receive_again(stream);
    else if (needs_watch)
        stream_hangup_watch(stream);   /* which does nothing for one that is closed, or has it */
}

void job_stream_resume(struct job_stream *stream)
{
    if (!stream || !handle_is_here(&stream->handle, "job_stream_resume") || !handle_is_open(&stream->handle) ||
        !stream_has(stream, STREAM_PAUSED))
        return;
    stream_clear(stream, STREAM_PAUSED);
    stream->job_active_ns = stream->handle.job_loop->now_ns;
    stream_timeout_update(stream);
    bool is_needed = stream->job_waiting || stream_has(stream, STREAM_ENDED) ||
                     !op_is_in_flight(stream_receive_op(stream));
    if (is_needed)
        stream_later(stream, STREAM_LATER_RESUME);
}

bool job_stream_is_paused(const struct job_stream *stream)
{
    return stream && stream_has(stream, STREAM_PAUSED);
}
