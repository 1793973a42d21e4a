/* stream.h — what the files of a stream share.
 *
 *   stream.c           its life: accept, adopt, close; what is done at the end of a turn
 *   stream_connect.c   connect
 *   stream_receive.c   data, pause, end
 *   stream_hangup.c    a connection that breaks while nobody receives
 *   stream_send.c      the queue
 *   stream_place.c     places in the queue
 *   stream_notice.c    what becomes of what was queued
 *   stream_exact.c     data of a known length
 *   stream_memory.c    waiting for memory
 *   stream_finish.c    close after what is queued has been sent
 *   stream_cancel.c    ending early what was asked, without closing
 *   stream_timeout.c   when the peer takes too long
 *   stream_detach.c    off this loop, and onto another one
 *
 * Receiving:   RECEIVING ──pause, then a buf arrives──▶ cancelled ──resume──▶ RECEIVING;   end of file or error ──▶ ENDED
 * Sending:     idle ──send──▶ (end of the turn) one op in flight, the rest queued ──all taken──▶ idle (`sent`);   shutdown ──▶ SHUT
 */
#ifndef JOB_IO_STREAM_H
#define JOB_IO_STREAM_H

#include <sys/socket.h>

#include "engine/engine.h"
#include "job/stream.h"
#include "loop/handle.h"

enum stream_flag {
    STREAM_PAUSED = 1 << 0,         /* the user wants no data */
    STREAM_ENDED = 1 << 1,          /* nothing more is received: end of file, failure or time-out */
    STREAM_END_TOLD = 1 << 2,       /* and the user knows */
    STREAM_TIMED_OUT = 1 << 3,      /* ENDED by a time-out; sending works */
    STREAM_SHUT_WANTED = 1 << 4,    /* shut down when the queue is empty */
    STREAM_SHUT = 1 << 5,           /* the sending direction is shut down */
    STREAM_DELIVERING = 1 << 6,     /* inside `data`: no nested delivery */
    STREAM_RESET = 1 << 7,          /* closes by a reset */
    STREAM_FULL = 1 << 8,           /* above the high mark, `writable` not yet told */
    STREAM_SENT_OWED = 1 << 9,      /* something was queued since `sent` was told */
    STREAM_FINISHING = 1 << 10,     /* closes when all is sent and the peer has ended; tells the user but `sent` nothing more */
    STREAM_CONNECTING = 1 << 11,    /* the receive operation connects */
    STREAM_OWES_ROOM = 1 << 12,     /* something was refused: `writable` comes */
    STREAM_SENDS_CANCELLED = 1 << 13,   /* some of what was queued was dropped: `sent` says so */
    STREAM_EXPECT_CANCELLED = 1 << 14,  /* job_exact is given up when the kernel gives it back */
    STREAM_LEAVING = 1 << 15,       /* is being detached: starts nothing and tells nothing more */

    /* what job_later is to do */
    STREAM_LATER = 1 << 16,         /* it is queued */
    STREAM_LATER_FLUSH = 1 << 17,   /* start to send */
    STREAM_LATER_RESUME = 1 << 18,  /* deliver what waited, and receive again */
    STREAM_LATER_FINISH = 1 << 19,  /* look whether all is done */
    STREAM_LATER_CONNECT = 1 << 20, /* connect(2) said at once how it went */
    STREAM_LATER_ROOM = 1 << 21,    /* tell `writable` */
    STREAM_LATER_NOTICE = 1 << 22,  /* tell notices */
    STREAM_LATER_DETACH = 1 << 23,  /* hand the connection over */
    STREAM_LATER_ALL = 0xFF << 16,

    STREAM_HELD = 1 << 24,          /* of a program that has not started: receives, sends and tells nothing yet */
    STREAM_MAY_MISS_END = 1 << 25,  /* its receive may miss the end (stream_hangup.c) */
    STREAM_STARVED = 1 << 26,       /* its receive waits in the engine for memory */

    STREAM_UNCONNECTED = 1 << 27,   /* it could not be connected: that has been told, and until the close nothing else is */

    STREAM_SILENT = STREAM_LEAVING | STREAM_HELD,               /* any of them: tells nothing now */
    STREAM_UNSENT = STREAM_HELD | STREAM_CONNECTING | STREAM_UNCONNECTED,   /* any of them: sends nothing, and tells nothing of that */
    STREAM_UNRECEIVED = STREAM_SILENT | STREAM_CONNECTING,      /* any of them: does not begin to receive */
};

_Static_assert(sizeof(((struct job_stream *)0)->job_receive_op) >= sizeof(struct op), "op fits");
_Static_assert(sizeof(((struct job_stream *)0)->job_send_op) >= sizeof(struct op), "op fits");
_Static_assert(sizeof(((struct job_stream *)0)->job_deadline) >= sizeof(struct deadline), "deadline fits");
_Static_assert(sizeof(struct job_stream) <= 768, "an idle connection stays below 1 KiB");

static inline struct op *stream_receive_op(struct job_stream *stream)
{
    return (struct op *)stream->job_receive_op;
}

static inline struct op *stream_send_op(struct job_stream *stream)
{
    return (struct op *)stream->job_send_op;
}

static inline struct op *stream_hangup_op(struct job_stream *stream)
{
    return (struct op *)stream->job_hangup_op;
}

/* Has it any of these? */
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

/* May the user be told anything? */
static inline bool stream_may_tell(const struct job_stream *stream)
{
    return handle_is_open(&stream->handle) && !stream_has(stream, STREAM_FINISHING);
}

/* stream.c */
void stream_later(struct job_stream *stream, enum stream_flag what);   /* at the end of this turn, once */
void stream_stall(struct job_stream *stream, enum stream_flag what);   /* when there may be room for an operation */
int stream_check(const struct job_stream *stream);                     /* what calls that return an errno check first */

int stream_open(struct job_loop *loop, struct job_stream *stream, int fd, const struct job_stream_events *events);
void stream_abandon(struct job_stream *stream);

/* stream_connect.c */
void stream_connect_ended(struct job_stream *stream);             /* STREAM_LATER_CONNECT */
void stream_connect_failed(struct job_stream *stream, int err);

/* stream_receive.c */
int stream_receive_start(struct job_stream *stream);
void stream_receive_cancel(struct job_stream *stream);
void stream_receive_renew(struct job_stream *stream);             /* the one in flight may have missed the end */
void stream_receive_arrived(struct job_stream *stream, size_t len);   /* counts */
void stream_receive_ended(struct job_stream *stream, int res);
void stream_deliver(struct job_stream *stream);
void stream_receive_drop(struct job_stream *stream);              /* frees what waits and the open buf */
void stream_receive_resume(struct job_stream *stream);            /* STREAM_LATER_RESUME */
void stream_receive_stop(struct job_stream *stream, enum stream_flag why);   /* nothing more is received: tells `end` once */
void stream_fail(struct job_stream *stream, int err);             /* the stream is broken: tells `end` once */
void stream_open_settle(struct job_stream *stream);               /* gives the open buf away if nobody else uses its slot */

/* stream_hangup.c */
void stream_hangup_watch(struct job_stream *stream);              /* nobody receives now, or on a Unix socket */
void stream_hangup_cancel(struct job_stream *stream);

/* stream_send.c */
void stream_flush(struct job_stream *stream);                     /* STREAM_LATER_FLUSH */
void stream_send_cancel(struct job_stream *stream);
void stream_send_drop(struct job_stream *stream);                 /* frees the queue, not what the kernel has, and forgets the places */
void stream_queue_drop(struct job_stream *stream);                /* frees the queue, also behind places, which stay */
void stream_shut_if_wanted(struct job_stream *stream);
bool stream_has_to_send(const struct job_stream *stream);

void stream_enqueue(struct job_stream *stream, struct job_buf **queue, struct job_buf **buf);   /* both checked */
void stream_count_queued(struct job_stream *stream, size_t len);   /* that many bytes come into the queue, or behind a place */
void stream_sendable(struct job_stream *stream);                  /* something has come into the queue itself */
bool stream_gather(struct job_buf *last, const void *bytes, size_t len);   /* into the room of a queued buf; the caller counts them */
int stream_alloc(struct job_stream *stream, size_t len, struct job_buf **buf);   /* -ENOMEM: `writable` comes when there is memory */
int stream_check_sending(const struct job_stream *stream);
void stream_tell_room(struct job_stream *stream);                 /* STREAM_LATER_ROOM */
void stream_tell_sent(struct job_stream *stream, int status);     /* `sent`, if it is owed */

/* stream_place.c */
struct job_buf **stream_tail(struct job_stream *stream);          /* where what is sent now is queued */
void stream_places_drop(struct job_stream *stream);               /* forgets all, and what waits behind them */
void stream_places_empty(struct job_stream *stream);              /* what waits behind them */

/* stream_notice.c */
void stream_notices_init(struct job_stream *stream);
void stream_notices_tell(struct job_stream *stream, int status);  /* those that have come true; < 0: all, once the kernel reads nothing */
void stream_notices_cancel(struct job_stream *stream, uint64_t behind);   /* those of bytes that will not be sent */
void stream_notices_shift(struct job_stream *stream, uint32_t number, uint64_t len);   /* bytes have come into a place */

/* stream_exact.c */
struct job_buf *stream_next_data(struct job_stream *stream);      /* what `data` is to bring now, or NULL */
bool stream_fills(const struct job_stream *stream);               /* the receive operation is to fill, or fills, job_exact */
int stream_fill_start(struct job_stream *stream);
void stream_exact_drop(struct job_stream *stream);
bool stream_expect_cancel(struct job_stream *stream);             /* false: nothing is expected */

/* stream_memory.c */
void stream_wait_for_memory(struct job_stream *stream);           /* then look once more */
void stream_memory_forget(struct job_stream *stream);

/* stream_finish.c */
void stream_finish_step(struct job_stream *stream);               /* after all that may bring it on */

/* stream_detach.c */
void stream_detach_step(struct job_stream *stream);               /* an operation has ended that was waited for */
void stream_detach(struct job_stream *stream);                    /* STREAM_LATER_DETACH */
void stream_detach_forget(struct job_stream *stream);

/* stream_timeout.c */
void stream_timeout_init(struct job_stream *stream);
void stream_timeout_update(struct job_stream *stream);            /* something may run out earlier than was known */
void stream_timeout_stop(struct job_stream *stream);

#endif
