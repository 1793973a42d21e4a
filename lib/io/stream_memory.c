/* stream_memory.c — streams that were refused memory, and look again when there is some. */
#include "io/memory_wait.h"
#include "io/stream.h"

static struct memory_wait *wait_of(struct job_stream *stream)
{
    return (struct memory_wait *)stream->job_waits;
}

static void memory_came(struct memory_wait *wait)
{
    struct job_stream *stream = (struct job_stream *)((char *)wait - offsetof(struct job_stream, job_waits));
    if (stream_has(stream, STREAM_OWES_ROOM))
        stream_later(stream, STREAM_LATER_ROOM);
    if (stream->job_expected > 0)
        stream_later(stream, STREAM_LATER_RESUME);
}

void stream_wait_for_memory(struct job_stream *stream)
{
    wait_of(stream)->came = memory_came;
    memory_wait(stream->handle.job_loop, wait_of(stream), UINT64_MAX);
}

void stream_memory_forget(struct job_stream *stream)
{
    memory_wait_forget(wait_of(stream));
}
