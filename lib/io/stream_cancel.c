/* stream_cancel.c — ends early what has been asked of a stream, and leaves it open.
 *
 * As everywhere, a cancel is a request: nothing is told inside the call, and each end comes once, as the callback that would have come
 * anyway. What the kernel has begun to send goes out whole, so no buf is cut: only what is queued behind it is dropped.
 */
#include <errno.h>

#include "io/stream.h"
#include "memory/buf.h"
#include "memory/owner.h"

/* `connected` comes with job_error, from stream_connect_ended(). */
static bool cancel_connect(struct job_stream *stream)
{
    if (!stream_has(stream, STREAM_CONNECTING))
        return false;
    stream->job_error = -ECANCELED;
    stream_later(stream, STREAM_LATER_CONNECT);
    return true;
}

static bool cancel_sends(struct job_stream *stream)
{
    size_t begun = job_buf_len(stream->job_sending);
    if (stream->job_queued == begun)
        return false;
    stream_notices_cancel(stream, stream->job_sent + begun);
    stream_queue_drop(stream);
    stream_set(stream, STREAM_SENDS_CANCELLED);
    stream_later(stream, STREAM_LATER_FLUSH);   /* tells `sent`, unless the kernel is at work, whose end does */
    return true;
}

int job_stream_cancel(struct job_stream *stream, unsigned what)
{
    int err = (what & ~(unsigned)JOB_STREAM_ALL) == 0 && what != 0 ? stream_check(stream) : -EINVAL;
    if (err < 0)
        return err;
    bool has_found = false;
    if (what & JOB_STREAM_CONNECT)
        has_found |= cancel_connect(stream);
    if (what & JOB_STREAM_EXPECT)
        has_found |= stream_expect_cancel(stream);
    if (what & JOB_STREAM_SEND)
        has_found |= cancel_sends(stream);
    return has_found ? 0 : -ENOENT;
}
