/* stream.h — what the three files of a stream share: stream.c (life), stream_receive.c, stream_send.c.
 *
 * Receiving:   RECEIVING ──pause, then a buf arrives──▶ cancelled ──resume──▶ RECEIVING;   end of file or error ──▶ ENDED
 * Sending:     idle ──send──▶ one op in flight, the rest queued ──all taken──▶ idle (`sent`);   shutdown ──▶ SHUT
 */
#ifndef JOB_IO_STREAM_H
#define JOB_IO_STREAM_H

#include <sys/socket.h>

#include "engine/engine.h"
#include "job/stream.h"
#include "loop/handle.h"

enum stream_flag {
    STREAM_PAUSED = 1,          /* the user wants no data */
    STREAM_ENDED = 2,           /* the kernel has told the end: end of file or job_error */
    STREAM_END_TOLD = 4,        /* and so have we */
    STREAM_RESUMING = 8,        /* job_resume waits in the deferred queue */
    STREAM_SHUT_WANTED = 16,    /* shut down when the queue is empty */
    STREAM_SHUT = 32,           /* the sending direction is shut down */
    STREAM_DELIVERING = 64,     /* inside `data`: no nested delivery */
    STREAM_RESET = 128,         /* closes by a reset */
};

_Static_assert(sizeof(((struct job_stream *)0)->job_receive_op) >= sizeof(struct op), "op fits");
_Static_assert(sizeof(struct job_stream) <= 768, "an idle connection stays below 1 KiB");

static inline struct op *stream_receive_op(struct job_stream *stream)
{
    return (struct op *)stream->job_receive_op;
}

static inline struct op *stream_send_op(struct job_stream *stream)
{
    return (struct op *)stream->job_send_op;
}

static inline bool stream_has(const struct job_stream *stream, enum stream_flag flag)
{
    return (stream->job_flags & (uint32_t)flag) != 0;
}

static inline void stream_set(struct job_stream *stream, enum stream_flag flag)
{
    stream->job_flags |= (uint32_t)flag;
}

static inline void stream_clear(struct job_stream *stream, enum stream_flag flag)
{
    stream->job_flags &= ~(uint32_t)flag;
}

/* stream_receive.c */
int stream_receive_start(struct job_stream *stream);
void stream_receive_cancel(struct job_stream *stream);
void stream_receive_drop(struct job_stream *stream);              /* frees what waits and the open buf */
void stream_fail(struct job_stream *stream, int err);             /* the stream is broken: tells `end` once */
void stream_open_settle(struct job_stream *stream);               /* gives the open buf away if nobody else uses its slot */

/* stream_send.c */
void stream_send_cancel(struct job_stream *stream);
void stream_send_drop(struct job_stream *stream);                 /* frees the queue, not what the kernel has */

#endif
