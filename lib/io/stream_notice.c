/* stream_notice.c — what becomes of what was queued: two events, in memory of the user's.
 *
 * A notice remembers at which byte of the stream it stands. It has come true when so many were sent, and when no place is open that
 * was reserved before it: bytes that come into such a place move it on. One whose bytes were cancelled waits for those before them only:
 * for other notices, and for what the kernel has begun to send. Nor is a failure told while the kernel reads: its operation ends first.
 */
#include <errno.h>

#include "io/stream.h"

void stream_notices_init(struct job_stream *stream)
{
    stream->job_notices = NULL;
    stream->job_notices_end = &stream->job_notices;
}

void stream_notices_cancel(struct job_stream *stream, uint64_t behind)
{
    for (struct job_notice *notice = stream->job_notices; notice; notice = notice->job_next) {
        if (notice->job_at <= behind)
            continue;
        notice->job_status = -ECANCELED;   /* told when those before it are */
        notice->job_at = behind;           /* where the kernel stops to read what is its */
    }
}

void stream_notices_shift(struct job_stream *stream, uint32_t number, uint64_t len)
{
    for (struct job_notice *notice = stream->job_notices; notice; notice = notice->job_next) {
        if (notice->job_status == 0 && (int32_t)(notice->job_number - number) >= 0)
            notice->job_at += len;
    }
}

/* The number of the first place that is open. False: none is. */
static bool first_open(const struct job_stream *stream, uint32_t *number)
{
    const struct list *places = (const struct list *)stream->job_places;
    if (list_is_empty(places))
        return false;
    const struct job_place *first = job_container_of(places->next, struct job_place, job_node);
    *number = first->job_number;
    return true;
}

static bool has_come_true(const struct job_stream *stream, const struct job_notice *notice)
{
    uint32_t open;
    bool may_wait_for_place = notice->job_status == 0 && first_open(stream, &open);
    if (may_wait_for_place && (int32_t)(notice->job_number - open) >= 0)
        return false;
    return notice->job_at <= stream->job_sent;
}

static void tell(struct job_stream *stream, struct job_notice *notice, int status)
{
    struct job_loop *loop = stream->handle.job_loop;
    void (*released)(struct job_notice *notice) = notice->released;
    if (notice->sent)
        LOOP_CALL(loop, notice->sent, (notice, notice->job_status < 0 ? notice->job_status : status));
    if (released)
        LOOP_CALL(loop, released, (notice));
}

void stream_notices_tell(struct job_stream *stream, int status)
{
    struct job_notice *notice;
    if (op_is_in_flight(stream_send_op(stream)))
        status = 0;   /* its end tells the failure */
    while ((notice = stream->job_notices) && (status < 0 || has_come_true(stream, notice))) {
        stream->job_notices = notice->job_next;
        if (!stream->job_notices)
            stream->job_notices_end = &stream->job_notices;
        tell(stream, notice, status);
    }
}

int job_stream_notify(struct job_stream *stream, struct job_notice *notice)
{
    if (!notice)
        return -EINVAL;
    int err = stream_check(stream);
    if (err < 0)
        return err;
    if (stream->job_error < 0)
        return stream->job_error;
    notice->job_next = NULL;
    notice->job_status = 0;
    notice->job_at = stream->job_sent + stream->job_queued;
    notice->job_number = stream->job_place_number;
    *stream->job_notices_end = notice;
    stream->job_notices_end = &notice->job_next;
    stream_later(stream, STREAM_LATER_NOTICE);
    return 0;
}
