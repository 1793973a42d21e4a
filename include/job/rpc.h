/* rpc.h — questions and answers between two loops: calls over a channel.
 *
 *      job_rpc_call(rpc, call, post) ────────▶ call(rpc, message)            at the other end, in the order of the calls
 *      done(call, status, answer) ◀────────── job_rpc_answer(rpc, &message)  at once or later, in any order
 *
 * Both ends of a channel are opened as an rpc, each on its loop; either may call. Question and answer are messages as any other: bytes,
 * and items that move (job/port.h). Each call that was accepted ends in exactly one `done`: with its answer; or without one, with
 * -ETIMEDOUT, with -ECANCELED (job_rpc_cancel(), or this end was closed), or with -EOWNERDEAD (the other end was closed, its loop or
 * its worker has ended, before it answered). An answer that comes after that is dropped with all that it carries, and counted. After
 * -EOWNERDEAD this end is closing too: `closed` follows, and who asks again asks by another channel.
 *
 * Nobody waits for room to answer: whoever calls has limited how many answers may come (calls_max), so two who call each other at their
 * limits go on. Questions are limited as all messages: -EAGAIN, and then `writable`. A call that has timed out or was canceled makes room
 * for another, but the other end may still hold it: it holds no more than calls_max, and answers one that comes beyond with -EBUSY.
 */
#ifndef JOB_RPC_H
#define JOB_RPC_H

#include <job/port.h>

JOB_BEGIN_DECLS

struct job_rpc;
struct job_rpc_call;

struct job_rpc_options {
    const char *name;          /* in the log; NULL: "rpc"; copied, cut to 31 bytes */
    unsigned calls_max;        /* own calls that may be open, or wait at the other end for its answer; 0: 256; at most 65536 */
    uint64_t overdue_ns;       /* an open call that is older is told in the log, and counted; 0: 10 s; UINT64_MAX: never */
};

/* All on the rpc's loop; each may be NULL. */
struct job_rpc_events {
    /* The other end asks. The message is lent: its bytes and its items stay there until it is answered or `closed` has returned. Answer
     * here or later; job_message_free() and job_message_keep() are not for it. Without this handler each is answered with -ENOSYS. One
     * that comes while so many of the caller's are held as it may have open (its calls_max) is answered with -EBUSY, and not told. */
    void (*call)(struct job_rpc *rpc, struct job_message *message);
    /* Once after -EAGAIN: call again. */
    void (*writable)(struct job_rpc *rpc);
    /* The last event, after `done` of all calls. Calls of the other end that were not answered are gone. The memory is yours again. */
    void (*closed)(struct job_rpc *rpc);
};

struct job_rpc {
    struct job_handle handle;

    /* The library's. */
    struct job_port job_port;
    const struct job_rpc_events *job_events;
    void *job_state;
    uint64_t job_reserved[2];
};

/* A question that was asked. Yours, zero but for `done` and `data` before it is used first, and left alone until `done` begins: then it
 * may be used again, or freed. */
struct job_rpc_call {
    /* `answer` is NULL when the other end did not answer; `status` says why. Else `status` is what it has answered. The message goes back
     * when this returns, with the items that were not taken, unless job_message_keep() was called. */
    void (*done)(struct job_rpc_call *call, int status, struct job_message *answer);
    void *data;                /* not touched by the library */

    /* The library's. */
    struct job_rpc *job_rpc;
    void *job_node[2];
    uint64_t job_deadline[8];
    uint64_t job_since_ns;
    uint32_t job_slot;
    uint32_t job_state;
    uint32_t job_reserved0[2];
    uint64_t job_reserved[2];
};

struct job_rpc_stats {
    uint64_t calls;            /* asked by this end */
    uint64_t answered;         /* of them, with an answer */
    uint64_t timed_out, canceled;
    uint64_t dead;             /* that ended with -EOWNERDEAD */
    uint64_t late;             /* answers that came after that, and were dropped */
    uint64_t overdue;          /* calls that were open for longer than overdue_ns */
    uint64_t served;           /* calls of the other end that came here */
    uint64_t stray;            /* messages of the other end that were neither calls nor answers, and were dropped */
    uint64_t refused;          /* calls of the other end that were answered with -EBUSY, since too many were held here */
    unsigned open;             /* calls that wait for an answer */
    unsigned unanswered;       /* calls of the other end that wait for ours */
};

/**
 * Opens an rpc on an end. An rpc that hears calls, or has calls open, keeps the loop alive.
 *
 * @param end      *end becomes NULL on success; whoever has the other end opens an rpc too
 * @param options  NULL or {0}: defaults
 * @param events   must outlive the rpc
 * @return 0, or -EINVAL: an argument is NULL, an option out of range, the end is of another runtime; -ENOMEM; -ECANCELED: the loop is
 *         closing; -EPERM: another thread's loop; nothing changes on error
 * Thread: loop thread, or before start.
 */
JOB_API int job_rpc_open(struct job_loop *loop, struct job_rpc *rpc, struct job_end **end,
                         const struct job_rpc_options *options, const struct job_rpc_events *events);

/**
 * Asks. No callback runs inside this call. All or nothing: on error every item is still yours, and `done` will not come.
 *
 * @param call        `done` is required
 * @param post        as for job_port_post(); NULL: an empty one
 * @param timeout_ns  from this call; 0: none
 * @return 0, or
 *         -EAGAIN    calls_max calls are open, or the other end's queue is full; `writable` comes once there is room
 *         -EBUSY     the call is open, or its `done` is still to come
 *         -EINVAL, -EPIPE (the other end is closed), and what else job_port_post() says
 *         -ECANCELED closing, also since the other end is closed and all it sent has been told; -EPERM: not the loop's thread
 * Thread: loop thread.
 * Shutdown: job_rpc_close(), and a loop that closes, end it with -ECANCELED.
 */
JOB_API int job_rpc_call(struct job_rpc *rpc, struct job_rpc_call *call, const struct job_post *post,
                         uint64_t timeout_ns);

/** Ends a call: `done` comes with -ECANCELED, later, not inside. The other end is not told; its answer is dropped. Nothing happens to a
 * call that is not open. Thread: loop thread. */
JOB_API void job_rpc_cancel(struct job_rpc_call *call);

/**
 * Answers a call of the other end. It is never refused for lack of room.
 *
 * @param call    *call becomes NULL on success, and the message goes back with the items that were not taken
 * @param status  what `done` gets there; any number
 * @param post    as for job_port_post(); NULL: an empty one
 * @return 0, or, and nothing has changed,
 *         -EINVAL     an argument is NULL; *call is not a call that came by this rpc and waits
 *         -EPIPE      the other end is closed; so will this one be, and the call goes with it
 *         -EMSGSIZE   more bytes than the channel's limit
 *         -ECANCELED  closing; -EPERM: not the loop's thread; and what else job_port_post() says but -EAGAIN
 * Thread: loop thread.
 */
JOB_API int job_rpc_answer(struct job_rpc *rpc, struct job_message **call, int status,
                           const struct job_post *post);

/** Reads counts, until `closed` has returned; all zero for one that is zero. Thread: loop thread. */
JOB_API void job_rpc_stats(const struct job_rpc *rpc, struct job_rpc_stats *stats);

/** Closes: own calls end with -ECANCELED, those of the other end that are not answered end there with -EOWNERDEAD, and `closed` comes
 * later. What was answered before still arrives. A second close is ignored. Thread: loop thread. */
JOB_API void job_rpc_close(struct job_rpc *rpc);

JOB_END_DECLS

#endif
