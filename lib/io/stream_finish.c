/* stream_finish.c — close after what is queued has been sent.
 *
 * A close(2) with unread bytes in the socket resets the connection, and the reset may overtake the answer on its way: the peer would lose
 * it. So: send all, shut down, go on receiving and drop it until the peer has ended too, and close then. Whatever may have brought that
 * nearer calls stream_finish_step(), which looks at the state and not at what happened. Each step renews the patience (stream_timeout.c).
 */
#include <errno.h>

#include "io/stream.h"

void stream_finish_step(struct job_stream *stream)
{
    if (!stream_has(stream, STREAM_FINISHING) || !handle_is_open(&stream->handle))
        return;
    bool is_broken = stream->job_error < 0;
    bool has_sent_all = stream_has(stream, STREAM_SHUT);
    if (is_broken)
        stream_tell_sent(stream, stream->job_error);
    if (is_broken || (has_sent_all && stream_has(stream, STREAM_ENDED)))
        job_stream_close(stream);
}

int job_stream_finish(struct job_stream *stream, uint64_t linger_ns)
{
    int err = stream_check(stream);
    if (err < 0 || stream_has(stream, STREAM_FINISHING))
        return err;
    if (stream_has(stream, STREAM_LEAVING))
        return -EBUSY;
    struct job_loop *loop = stream->handle.job_loop;
    stream_set(stream, STREAM_FINISHING);
    stream_set(stream, STREAM_SHUT_WANTED);
    stream->job_patience_ns = linger_ns ? linger_ns : LINGER_DEFAULT_NS;
    stream->job_progress_ns = loop->root->now_ns();
    stream_receive_drop(stream);   /* not inside `data`, whose buf the user still has: that one is his */
    stream_clear(stream, STREAM_PAUSED);
    if (stream_has(stream, STREAM_TIMED_OUT))
        stream_clear(stream, STREAM_ENDED);   /* that was our end; now the peer's is waited for */
    stream_later(stream, STREAM_LATER_RESUME);
    stream_shut_if_wanted(stream);
    stream_timeout_update(stream);
    stream_later(stream, STREAM_LATER_FINISH);   /* not inside this call: `data` and `end` may be on the stack */
    return 0;
}
