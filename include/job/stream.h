/* stream.h — a connected socket: received data are bufs, sent bufs queue on the stream.
 *
 * It tells `data`, then `end` once (0: the peer has sent all, sending still works; negative: it failed, -ECONNRESET and the
 * like), and `closed`. No `data` after `end`. An `end` of 0 waits behind data that waits; a failure does not: it is told at once, also to a
 * stream that is paused, and data that waited goes back to its arena. After a failure of either direction nothing more can be sent, what
 * the kernel has begun to send is broken off, and what still arrives is dropped. Calls that return nothing are ignored on a thread that is
 * not the loop's, and the log says so; the others return -EINVAL for a stream that was never opened and is zero.
 */
#ifndef JOB_STREAM_H
#define JOB_STREAM_H

#include <job/buf.h>
#include <job/handle.h>
#include <job/listener.h>

JOB_BEGIN_DECLS

struct job_connection;
struct job_stream;

struct job_stream_events {
    /* Bytes have arrived. Take the buf (job_buf_take(), job_task_give(), job_stream_send(), job_buf_append() …) or leave it: what is
     * left in *in goes back to its arena and counts as consumed. */
    void (*data)(struct job_stream *stream, struct job_buf **in);
    /* The peer sends no more; see above. May be NULL. */
    void (*end)(struct job_stream *stream, int status);
    /* The send queue has become empty. 0: the kernel has taken all; -ECANCELED: all but what job_stream_cancel() has dropped; else
     * negative: the stream failed. What was not sent has gone back to its arena. After job_stream_finish() it comes once, for all. May be
     * NULL. */
    void (*sent)(struct job_stream *stream, int status);
    /* After its last operation and its last task: its memory is yours again. May be NULL. */
    void (*closed)(struct job_stream *stream);
    /* Of job_stream_connect(): 0, or the errno with which it failed (-ECONNREFUSED …, -ETIMEDOUT); then nothing else comes until the
     * stream is closed, and notices only by that. NULL: a failure is told by `end`. */
    void (*connected)(struct job_stream *stream, int status);
    /* There is room to send again: once, when the queue has fallen to the low mark after it was above the high one, or when what refused a
     * send has passed (job_stream_write() said -ENOMEM). May be NULL. */
    void (*writable)(struct job_stream *stream);
};

struct job_stream {
    struct job_handle handle;

    /* The library's. */
    const struct job_stream_events *job_events;
    struct job_buf *job_waiting;        /* received while paused */
    struct job_buf *job_open;           /* where small receives are appended */
    struct job_buf *job_sending;        /* with the kernel */
    struct job_buf *job_queue;          /* to be sent after it */
    uint64_t job_received;
    uint64_t job_sent;
    uint64_t job_queued;                /* bytes to be sent, also those behind places */
    uint32_t job_segments;              /* of what is queued and not with the kernel */
    uint32_t job_high, job_low;         /* marks of the queue; 0: the defaults */
    int job_fd;
    uint32_t job_flags;
    int job_error;                      /* why nothing can be sent any more */
    void *job_receive_op[10];
    void *job_send_op[10];
    void *job_hangup_op[10];
    struct job_mail job_later;          /* for the end of this turn */
    void *job_node[2];
    uint64_t job_deadline[8];           /* the earliest of these, at the latest */
    uint64_t job_idle_ns, job_send_ns;
    uint64_t job_patience_ns;           /* of connect, later of finish */
    uint64_t job_total_ns;              /* when it is over; 0: never */
    uint64_t job_active_ns;             /* when something arrived last, or a wait for the peer began */
    uint64_t job_progress_ns;           /* when the kernel took bytes last, or the first were queued */
    void *job_places[2];                /* reserved and not yet filled, in order */
    uint32_t job_place_count;
    uint32_t job_place_number;          /* of the last one */
    struct job_notice *job_notices;     /* in order */
    struct job_notice **job_notices_end;
    uint64_t job_expected;              /* bytes that the next `data` brings; 0: what comes */
    struct job_buf *job_exact;          /* into which they are received, when they are many */
    void *job_waits[3];                 /* for memory */
    struct job_listener *job_from;      /* that it was accepted from, while that lives */
    void *job_admitted[2];
    struct job_connection *job_connection;   /* being detached: what it will be */
    void (*job_detached)(struct job_stream *stream, struct job_connection **connection);
    int job_begun;                      /* what connect(2) said at once */
    uint32_t job_reserved0;
};

/**
 * Takes an accepted connection and starts receiving.
 *
 * @param incoming  its fd becomes -1 on success
 * @param events    must outlive the stream; `data` is required
 * @return 0, or -EINVAL: an argument is NULL, or it was taken already; -ECANCELED: the loop is closing; -EPERM: not its
 *         thread; -EAGAIN: 2^20 operations are in flight, or no memory for one more; nothing changes on error
 * Thread: loop thread.
 */
JOB_API int job_stream_accept(struct job_stream *stream, struct job_incoming *incoming,
                              const struct job_stream_events *events);

/**
 * Makes a stream of a connected stream socket (TCP or Unix), which the stream owns from then on. The options of the
 * socket stay as they are; TCP_NODELAY is the caller's to set.
 *
 * @return as job_stream_accept(); -ENOTSOCK: not a stream socket; -EBADF: no descriptor. On error the caller still owns fd
 * Thread: loop thread, or before start.
 */
JOB_API int job_stream_adopt(struct job_loop *loop, struct job_stream *stream, int fd,
                             const struct job_stream_events *events);

/* A place in the send queue, for an answer that is not there yet. Yours; it may hold anything before job_stream_reserve(). */
struct job_place {
    struct job_stream *job_stream;      /* NULL: not reserved, or no longer */
    void *job_node[2];
    struct job_buf *job_behind;         /* queued after it, before the next place */
    uint32_t job_number;
    uint32_t job_reserved0;
};

/* What becomes of all that has been queued so far. Yours, and left alone from job_stream_notify() until `released`; it may hold anything
 * but for the two functions, either of which may be NULL. */
struct job_notice {
    /* 0: the kernel has taken all of it; or the errno with which the stream failed; -ECANCELED: it was closed, or some of it cancelled. */
    void (*sent)(struct job_notice *notice, int status);
    /* Nobody reads that memory any more: it has gone back to its arena. Follows `sent`; with a kernel that copies what it takes, at once.
     * */
    void (*released)(struct job_notice *notice);

    /* The library's. */
    struct job_notice *job_next;
    uint64_t job_at;
    uint32_t job_number;
    int32_t job_status;                 /* -ECANCELED: some of it was cancelled */
};

struct job_connect_options {
    uint64_t timeout_ns;              /* 0: 30 s */
    const char *from;                 /* the address of this end, with a port or without; NULL: the kernel chooses */
    struct job_socket_options socket;
};

/**
 * Connects: the stream is open at once, `connected` comes later. Sends are queued meanwhile, and go out then; nothing is received before.
 *
 * @param address  as in job/address.h, with a port; "unix:/path", "unix:@abstract"
 * @param options  NULL or {0}: defaults
 * @return 0, or -EINVAL: an argument is NULL or an address is not numeric; -EMFILE, -EADDRINUSE, -EACCES and what else socket(2),
 *         setsockopt(2) and bind(2) say; -ECANCELED: the loop is closing; -EPERM: not its thread; -EAGAIN: as job_stream_accept(); nothing
 *         is left open on error. What connect(2) says comes by `connected`: of a Unix socket whose backlog is full -EAGAIN
 * Thread: loop thread, or before start.
 * Shutdown: job_stream_close() cancels it; `connected` does not come then. job_stream_finish() waits for it.
 */
JOB_API int job_stream_connect(struct job_loop *loop, struct job_stream *stream, const char *address,
                               const struct job_connect_options *options, const struct job_stream_events *events);

/** The address of the other end, or of this one, as text of at most JOB_ADDRESS_TEXT bytes.
 * @return 0, or -EINVAL: NULL; -ECANCELED: closing; -EPERM: not the loop's thread; -ENOTCONN: not connected yet, or the peer has gone;
 * else as job_address_format(). Thread: loop thread. */
JOB_API int job_stream_peer(const struct job_stream *stream, char *text, size_t size);
JOB_API int job_stream_local(const struct job_stream *stream, char *text, size_t size);

/** No `data` from now on, though the kernel may still deliver some bufs: they wait on the stream and come first on resume. `end`
 * waits behind them. That is two bursts at most, each of 256 KiB, or of less where the arena is small or streams are many; on kernels
 * before 6.17 as much as the loop's receive slots hold. Idempotent; after job_stream_finish() nothing. Thread: loop thread. */
JOB_API void job_stream_pause(struct job_stream *stream);

/** `data` again: what waited comes first, from the loop, not inside this call. Idempotent. Thread: loop thread. */
JOB_API void job_stream_resume(struct job_stream *stream);

/** True between pause and resume. Thread: loop thread. */
JOB_API bool job_stream_is_paused(const struct job_stream *stream);

/**
 * Queues a buf for sending. Sends go out in order, whole; the stream owns the buf until the kernel has taken its bytes.
 *
 * @param buf  *buf becomes NULL on success; on error nothing changes
 * @return 0, or -EINVAL: an argument or *buf is NULL, or bufs of another runtime than its own are queued; -EPIPE: shut down already;
 *         -EBUSY: it is being detached; -ECANCELED: closing; -EPERM: not the loop's thread; -EOVERFLOW: more than 2^20 segments would be
 *         queued; or the errno with which the stream failed (-ECONNRESET …)
 * Thread: loop thread.
 * Shutdown: job_stream_close() drops what is queued and gives it back; job_stream_finish() and job_stream_shutdown() send it first.
 */
JOB_API int job_stream_send(struct job_stream *stream, struct job_buf **buf);

/**
 * Queues several bufs in their order: all of them, or none and nothing changes. Whatever is sent in one turn of the loop, by one call or by
 * many, goes to the kernel together, so that a header and a body share a packet: there is nothing to cork.
 *
 * @param bufs  all become NULL on success; count may be 0
 * @return as job_stream_send(). Thread: loop thread
 */
JOB_API int job_stream_send_all(struct job_stream *stream, struct job_buf **bufs, size_t count);

/** Copies bytes and sends them: for short answers of your own. They go into the room behind what is queued, or else into a new buf of the
 * loop's arena. This copy is not counted in `copied_bytes`.
 * @return as job_stream_send(), and -EINVAL: bytes is NULL and len is not 0, or len is above 1 GiB; -ENOMEM: the arena's limit is
 *         reached, and `writable` comes when more than its reserve is free again; nothing was queued on error. Thread: loop thread. */
JOB_API int job_stream_write(struct job_stream *stream, const void *bytes, size_t len);

/**
 * Reserves a place in the send queue: tasks that run in parallel answer in the order in which they were asked. What is sent afterwards
 * waits behind it, and is counted by job_stream_queued(). job_stream_shutdown() waits until all places are filled, job_stream_finish() for
 * each no longer than its linger.
 *
 * @return 0, or -EINVAL: NULL; -EAGAIN: 1024 places are open, and `writable` comes when one of them is filled; -EPIPE, -EBUSY, -ECANCELED,
 *         -EPERM, or the errno with which the stream failed, as job_stream_send(). Thread: loop thread
 * Shutdown: a stream that is closed or fails forgets its places: to fill one is then -ECANCELED.
 */
JOB_API int job_stream_reserve(struct job_stream *stream, struct job_place *place);

/**
 * Fills a place; it is not reserved any more.
 *
 * @param buf  *buf becomes NULL on success; on error nothing changes
 * @return 0, or -EINVAL: NULL, or a buf of another runtime; -ECANCELED: it is not reserved: never, filled, abandoned, or the stream closed
 *         or failed; -EOVERFLOW: as job_stream_send(); -EPERM: not the loop's thread. Thread: loop thread
 */
JOB_API int job_place_fill(struct job_place *place, struct job_buf **buf);

/** Copies bytes and fills a place with them, as job_stream_write() does. @return as job_place_fill(), and -EINVAL: bytes is NULL and len is
 * not 0, or len is above 1 GiB; -ENOMEM: as job_stream_write(), and the place stays reserved. Thread: loop thread. */
JOB_API int job_place_write(struct job_place *place, const void *bytes, size_t len);

/** Gives a place up: what waits behind it goes on. One that is not reserved is left alone. Thread: loop thread. */
JOB_API void job_place_abandon(struct job_place *place);

/**
 * Asks to be told when all that has been queued so far, also in places that are still open, has been taken by the kernel: at the end of
 * this turn if that is so already. Notices are told in order, those of a stream that closes before its `closed`.
 *
 * @return 0, or -EINVAL: NULL; -ECANCELED: closing; -EPERM; or the errno with which the stream failed. Thread: loop thread
 */
JOB_API int job_stream_notify(struct job_stream *stream, struct job_notice *notice);

/**
 * The next `data` brings exactly `len` bytes, contiguous, in one segment; once: afterwards data comes as it comes, or as the next call
 * says. What has arrived behind them is kept and comes next. More than a receive slot is received straight into the memory that this call
 * allocates, without a copy but for what was on its way. If the peer ends before, `data` brings what there is, and `end` follows.
 *
 * @param len  0: as it comes, also what has been gathered so far
 * @return 0, or -EINVAL: NULL, or above 1 GiB (who believes a peer that announces so much lets it have the memory); -ENOMEM: the arena's
 *         limit; -EBUSY: more than a receive slot was expected, and is being received, or it is being detached; -ECANCELED: closing;
 *         -EPERM; nothing changes on error
 * Thread: loop thread, mostly inside of `data`
 */
JOB_API int job_stream_expect(struct job_stream *stream, size_t len);

/** Bytes queued that the kernel has not taken yet: what backpressure looks at. Thread: loop thread. */
JOB_API size_t job_stream_queued(const struct job_stream *stream);

/**
 * Marks of the send queue, in bytes. Above `high` the stream is full; `writable` is told when it has fallen to `low`. Sends are not refused
 * in between: how much may be queued is the caller's to decide, and pausing the source is the usual answer.
 *
 * @param high  0: 256 KiB, but no more than a 16th of what is free in the loop's arena: streams that stop at this mark leave memory for the
 *              others, however many their peers are that do not read. Who says another mark bounds the sum himself
 * @param low   0: a quarter of high
 * @return 0, or -EINVAL: NULL, low is not below high, or high is above 1 GiB; -ECANCELED; -EPERM. Thread: loop thread
 */
JOB_API int job_stream_set_marks(struct job_stream *stream, size_t high, size_t low);

/** True from a send that left more than the high mark queued until `writable`. Thread: loop thread. */
JOB_API bool job_stream_is_full(const struct job_stream *stream);

/** Ends the sending direction after what is queued (the peer sees end of file); receiving goes on.
 * @return 0, also when repeated; -EINVAL: NULL; -EBUSY: it is being detached; -ECANCELED: closing; -EPERM: not the loop's thread; or the
 * errno with which the stream failed. Thread: loop thread. */
JOB_API int job_stream_shutdown(struct job_stream *stream);

/**
 * Closes when what is queued has been sent: sends it, shuts the sending direction down, waits for the peer's end, and closes. What still
 * arrives is dropped, so that the peer reads the answer and no reset. From the call on there is no callback but `sent`, if it is owed, and
 * `closed`, in which job_stream_status() is 0 when the peer has ended after all was sent. A stream that has failed is closed at once.
 *
 * @param linger_ns  how long each step may take: you to fill the next open place, the peer to take more bytes, and at last to send its end;
 *                   then it is closed all the same, with -ETIMEDOUT as its status. 0: 5 s
 * @return 0, also when repeated; -EINVAL: NULL; -EBUSY: it is being detached; -ECANCELED: closing; -EPERM: not the loop's thread. Thread:
 *         loop thread
 */
JOB_API int job_stream_finish(struct job_stream *stream, uint64_t linger_ns);

/**
 * Time-outs; 0 switches one off. They cost nothing per byte. What runs out is told by `end` with -ETIMEDOUT, once, and nothing is received
 * afterwards; the user closes or finishes.
 *
 *  - idle: no byte either way for so long, while the peer is waited for: something is queued, or the stream is neither paused nor has an
 *    open place. A service that computes an answer pauses its stream, or has reserved a place, and is not taken for an idle peer.
 *  - send: something is queued, and the kernel has taken nothing for so long.
 *  - deadline: so long from this call. For what must be whole by then: a header, a request. Peers that send a byte now and then keep
 *    an idle time-out away for ever; this one they cannot.
 *
 * When bytes are queued that nobody takes (idle, send), the stream has failed with -ETIMEDOUT as a whole. Otherwise only receiving is over,
 * and a last answer may be sent before job_stream_finish().
 *
 * @return 0, or -EINVAL: NULL; -ECANCELED: closing; -EPERM: not the loop's thread. Thread: loop thread
 */
JOB_API int job_stream_set_idle_timeout(struct job_stream *stream, uint64_t timeout_ns);
JOB_API int job_stream_set_send_timeout(struct job_stream *stream, uint64_t timeout_ns);
JOB_API int job_stream_set_deadline(struct job_stream *stream, uint64_t timeout_ns);

/* What job_stream_cancel() ends. */
enum job_stream_part {
    JOB_STREAM_CONNECT = 1,   /* `connected` comes with -ECANCELED, and nothing behind it until the stream is closed */
    JOB_STREAM_EXPECT = 2,    /* what was expected comes as it comes, beginning with what has been gathered */
    JOB_STREAM_SEND = 4,      /* what is queued goes back to its arena, but for what the kernel has begun, which is sent whole */
    JOB_STREAM_ALL = 7,
};

/**
 * Asks that something end early; the stream stays open, and may be used for the same again. Nothing is told inside this call. The end comes
 * once, as it would have come: of a connection by `connected`, of sends by `sent` and by their notices, with -ECANCELED each, unless they
 * were through before. What the kernel has begun to send is what was queued when a turn ended; to break that off as well, reset the stream.
 * Places stay reserved, without what was queued behind them; those are given up by job_place_abandon(). A receive of more than a slot may
 * take until the next turn to end: job_stream_expect() says -EBUSY so long.
 *
 * @param what  one or several of enum job_stream_part
 * @return 0: asked; -ENOENT: nothing of that kind is under way; -EINVAL: NULL, or what is 0 or unknown; -ECANCELED: closing; -EPERM: not
 *         the loop's thread
 * Thread: loop thread
 */
JOB_API int job_stream_cancel(struct job_stream *stream, unsigned what);

/** The errno with which the stream failed or timed out; 0: it has not. Until `closed` has returned. After -ETIMEDOUT job_stream_can_send()
 * says whether only receiving is over. Thread: loop thread. */
JOB_API int job_stream_status(const struct job_stream *stream);

/** True while something may be sent: the stream is open, its sending direction is not shut down, and it has not failed. NULL: false.
 * Thread: loop thread. */
JOB_API bool job_stream_can_send(const struct job_stream *stream);

/** Cancels everything: bufs that wait or are queued go back, queued tasks of the stream complete with -ECANCELED, and `closed`
 * comes after the last of them. A second close is ignored. Thread: loop thread. */
JOB_API void job_stream_close(struct job_stream *stream);

/** As job_stream_close(), but a TCP peer is told by a reset (ECONNRESET) and not by an end of file: for answers that were cut off, which
 * must not look complete. A Unix socket has no reset. Thread: loop thread. */
JOB_API void job_stream_reset(struct job_stream *stream);

/** Bytes received and bytes that the kernel has taken, since open. Thread: loop thread. */
JOB_API uint64_t job_stream_received(const struct job_stream *stream);
JOB_API uint64_t job_stream_sent(const struct job_stream *stream);

JOB_END_DECLS

#endif
