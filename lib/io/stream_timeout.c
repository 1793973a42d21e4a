/* stream_timeout.c — peers that take too long.
 *
 * Bytes only leave a stamp. The stream's one deadline stands at or before the moment when something may run out; when it passes, what the
 * stamps say is looked at, and it is set anew. So a busy connection pays for a look each time-out and for nothing else, and one whose
 * time-outs are all off has no deadline.
 */
#include <errno.h>

#include "io/stream.h"

static struct deadline *deadline_of(struct job_stream *stream)
{
    return (struct deadline *)stream->job_deadline;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Is it the peer's turn? */
static bool waits_for_peer(const struct job_stream *stream)
{
    bool owes_answer = stream_has(stream, STREAM_PAUSED) || stream->job_place_count > 0;
    return stream_has_to_send(stream) || (!owes_answer && !stream_has(stream, STREAM_ENDED));
}

/* When each of them runs out, TIME_NEVER: it does not run. */
static uint64_t patience_end(const struct job_stream *stream)
{
    return time_after(stream->job_progress_ns, stream->job_patience_ns);
}

static uint64_t send_end(const struct job_stream *stream)
{
    bool runs = stream->job_send_ns > 0 && stream_has_to_send(stream);
    return runs ? time_after(stream->job_progress_ns, stream->job_send_ns) : TIME_NEVER;
}

static uint64_t idle_end(const struct job_stream *stream)
{
    bool runs = stream->job_idle_ns > 0 && waits_for_peer(stream);
    return runs ? time_after(stream->job_active_ns, stream->job_idle_ns) : TIME_NEVER;
}

static uint64_t total_end(const struct job_stream *stream)
{
    return stream->job_total_ns > 0 && !stream_has(stream, STREAM_ENDED) ? stream->job_total_ns : TIME_NEVER;
}

static uint64_t first_end(const struct job_stream *stream)
{
    if (stream->job_error < 0 || stream_has(stream, STREAM_LEAVING))
        return TIME_NEVER;
    if (stream_has(stream, STREAM_FINISHING) || stream_has(stream, STREAM_CONNECTING))
        return patience_end(stream);
    return earlier(earlier(send_end(stream), idle_end(stream)), total_end(stream));
}

void stream_timeout_update(struct job_stream *stream)
{
    uint64_t end = first_end(stream);
    uint64_t set = deadline_of(stream)->at_ns;
    if (end != TIME_NEVER && (set == 0 || end < set))
        deadline_set(stream->handle.job_loop, deadline_of(stream), end);
}

static void run_out(struct job_stream *stream, uint64_t now)
{
    if (stream_has(stream, STREAM_FINISHING)) {
        stream->job_error = -ETIMEDOUT;
        stream_finish_step(stream);
    } else if (stream_has(stream, STREAM_CONNECTING)) {
        stream_connect_failed(stream, -ETIMEDOUT);
    } else if (send_end(stream) <= now || (idle_end(stream) <= now && stream_has_to_send(stream))) {
        stream_fail(stream, -ETIMEDOUT);
    } else {
        stream_receive_stop(stream, STREAM_TIMED_OUT);
    }
}

static void passed(struct deadline *deadline)
{
    struct job_stream *stream = job_container_of(deadline, struct job_stream, job_deadline);
    uint64_t now = stream->handle.job_loop->now_ns;
    if (stream_has(stream, STREAM_LATER_FLUSH))   /* not offered to the peer yet: the loop is the slow one */
        stream->job_progress_ns = stream->job_active_ns = now;
    if (first_end(stream) <= now)
        run_out(stream, now);
    if (handle_is_open(&stream->handle))
        stream_timeout_update(stream);
}

void stream_timeout_init(struct job_stream *stream)
{
    deadline_of(stream)->passed = passed;
}

void stream_timeout_stop(struct job_stream *stream)
{
    deadline_clear(stream->handle.job_loop, deadline_of(stream));
}

/* The clock of the loop stands still while callbacks run; what counts from a call counts from the true time. */
static int set_timeout(struct job_stream *stream, uint64_t *timeout, uint64_t timeout_ns)
{
    int err = stream_check(stream);
    if (err < 0)
        return err;
    uint64_t now = stream->handle.job_loop->root->now_ns();
    *timeout = timeout_ns;
    if (timeout == &stream->job_total_ns && timeout_ns > 0)
        stream->job_total_ns = time_after(now, timeout_ns);
    else if (timeout == &stream->job_idle_ns)
        stream->job_active_ns = now;
    else if (timeout == &stream->job_send_ns)
        stream->job_progress_ns = now;
    stream_timeout_update(stream);
    return 0;
}

int job_stream_set_idle_timeout(struct job_stream *stream, uint64_t timeout_ns)
{
    return set_timeout(stream, stream ? &stream->job_idle_ns : NULL, timeout_ns);
}

int job_stream_set_send_timeout(struct job_stream *stream, uint64_t timeout_ns)
{
    return set_timeout(stream, stream ? &stream->job_send_ns : NULL, timeout_ns);
}

int job_stream_set_deadline(struct job_stream *stream, uint64_t timeout_ns)
{
    return set_timeout(stream, stream ? &stream->job_total_ns : NULL, timeout_ns);
}
