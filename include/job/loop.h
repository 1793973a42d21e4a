/* loop.h — one io_uring, one thread, all callbacks. */
#ifndef JOB_LOOP_H
#define JOB_LOOP_H

#include <job/arena.h>

JOB_BEGIN_DECLS

struct job_loop;
struct job_call;
struct job_handle;
struct job_task;

/* What waits to be delivered on a loop: a node of the library's inside of calls, tasks and handles. Not for users. */
struct job_mail {
    struct job_mail *job_next;
    void (*job_deliver)(struct job_mail *mail);
    const void *job_ahead;   /* an address that will be read soon, or NULL: only ever prefetched */
};

/* What a loop that closes could not get rid of: a handle, then each of its tasks (of very many the first ones), and at last the operations
 * that the kernel has not given back. Or a worker of it that has ended and left such things behind: that is told when it is known, which
 * may be long before the close. */
struct job_hung {
    const char *what;             /* "stream", "timer", "worker" … for a handle, "task", or for an operation "receive", "send", "poll" … */
    struct job_handle *handle;    /* it, or whose task it is; NULL: an operation */
    unsigned tasks, operations;   /* of the handle, not ended */
    int fd;                       /* of the operation; -1: none */
    uint64_t since_ns;            /* of CLOCK_MONOTONIC: since the start of the operation, the submit of the task, or the loop's close */
    struct job_task *task;        /* NULL: no task */
};

struct job_loop_options {
    struct job_arena *arena;      /* for received data; NULL: the runtime's */
    const char *name;             /* for jobctl and logs; NULL: "loop"; copied, cut to 31 bytes */
    unsigned entries;             /* of the submission queue; 0: 256; a power of two up to 4096 */
    unsigned receive_slots;       /* in the receive ring; 0: 128; a power of two up to 32768 */
    size_t receive_slot_bytes;    /* 0: 16384; one of 4096, 16384, 65536, 262144, 1048576 */
    bool no_spin;                 /* sleep at once when idle: saves CPU, costs latency */
    /* Told by job_loop_close() of each thing that has not ended at its deadline, besides the log; on its thread. May be NULL. */
    void (*hung)(void *arg, const struct job_hung *hung);
    void *hung_arg;
};

struct job_loop_stats {
    uint64_t turns, completions, mails, timers;
    uint64_t waits;               /* times that the loop slept in the kernel */
    uint64_t wakes;               /* system calls that other threads made to wake it */
    uint64_t stale;               /* late or unknown completions, ignored */
    uint64_t starved;             /* times that receives waited for memory */
    uint64_t overflows;           /* completion queue overflows survived */
    uint64_t copied_bytes;        /* by copybreak */
    uint64_t longest_callback_ns;
    unsigned handles, ops;        /* open now, in flight now */
};

/* How long turns took, from when the loop was awake until it could sleep again: what comes from the kernel meanwhile waits for so long.
 * counts[i]: turns of at least 2^i ns and less than 2^(i+1); the last one also longer ones, the first one shorter. */
enum { JOB_LOOP_TURN_BUCKETS = 40 };
struct job_loop_turns {
    uint64_t counts[JOB_LOOP_TURN_BUCKETS];
};

/* A function to call on a loop; the caller supplies the memory, zero but for `run` and `data`, and leaves it alone until `run` begins:
 * then it may be posted again, or freed. */
struct job_call {
    void (*run)(struct job_call *call);
    void *data;                    /* not touched by the library */

    /* The library's. */
    struct job_mail job_mail;
    uint32_t job_state;
    uint32_t job_reserved;
};

/**
 * Opens a loop. Its ring belongs to the thread that first calls job_loop_run(), and from then on all that is for the *loop thread*. Where
 * another function says *before start*, until then any thread may call it, but one at a time: who hands the loop over does so by what
 * orders memory, as pthread_create() does. Nothing checks that, since it may be handed over as often as one likes.
 *
 * @param options  NULL or {0}: defaults
 * @return 0, or
 *         -EINVAL   an argument is NULL, an option is out of range, or the arena's limit cannot hold the receive ring (the sum is logged)
 *         -ENOMEM   no memory
 *         -EMFILE, -ENFILE   no descriptor for the ring, or for what wakes it
 *         -ENOSYS   no io_uring, or older than kernel 6.1; -EPERM: forbidden, by a seccomp filter (of which some say -ENOSYS) or by
 *                   kernel.io_uring_disabled; the log names the cause and the cure; or this is a forked child
 * Thread: any.
 */
JOB_API int job_loop_open(struct job_runtime *runtime, struct job_loop **loop, const struct job_loop_options *options);

/**
 * Runs callbacks until job_loop_stop() is called, or until no handle keeps the loop alive, no task that was submitted for one is in
 * flight, and nothing waits to be delivered. May be called again; always by the same thread, since a ring belongs to the thread
 * that first ran it.
 *
 * @return 0: nothing is left to do; 1: stopped; or -EPERM: another thread runs it or ran it before, or forked; -EBUSY: called
 *         from a callback of a loop; -EINVAL: NULL; -ENOMEM; a negative errno of the kernel when the ring fails for good; or the errno of
 *         a worker that has failed and whose parent has no `error` event, of several the one that was told first
 * Thread: any, which becomes the loop thread, and closes the loop before it ends: afterwards nobody can. While it runs, SIGPIPE and
 * SIGXFSZ are blocked in it, and its time slice is short, so that it is served soon after it has slept (kernel 6.12); threads that it
 * starts meanwhile inherit both.
 */
JOB_API int job_loop_run(struct job_loop *loop);

/** Makes job_loop_run() return 1 at the end of the turn that runs now, or at once if it sleeps. What else this turn has may still be called
 * back, and nothing later: other mail, timers and what the kernel has wait for the next job_loop_run(), or are ended by job_loop_close().
 * Remembered when the loop does not run at the moment: the next job_loop_run() makes one turn without a sleep. Several are one.
 * Thread: any. */
JOB_API void job_loop_stop(struct job_loop *loop);

/**
 * Closes every handle that is still open, runs the loop until all have had their `closed`, and frees it; *loop becomes NULL.
 * NULL is allowed.
 *
 * @param deadline_ns  how long this may take; 0: 5 s. What cannot be drained by then (an op that the kernel does not give
 *                     back, a task that does not end, a close(2) on a thread that waits for a server of NFS or FUSE) is named in
 *                     the log and leaked, never freed. A local file that was written or has no name is closed even later, and may
 *                     take the longer for it
 * @return 0; -ETIMEDOUT: something was leaked, now or earlier by a worker of this loop, *loop is NULL all the same, and
 *         job_runtime_close() says -EBUSY for ever; what job_loop_run() says when the ring fails for good: as after -ETIMEDOUT; or, and
 *         nothing has changed, -EINVAL: loop is NULL; -EBUSY: called from a callback of a loop; -EPERM: not the thread that runs or
 *         ran it, or forked; -ENOMEM
 * Thread: the loop's, after job_loop_run() has returned; any when it never ran; while no other is in a call with this loop.
 */
JOB_API int job_loop_close(struct job_loop **loop, uint64_t deadline_ns);

/**
 * Calls call->run on the loop: soon, once, in the order of one thread's calls. Wakes the loop if it sleeps, with a system call only
 * then.
 *
 * @return 0, or -EINVAL (NULL), -EALREADY: this call is still waiting, -EPERM: forked
 * Thread: any, while nobody closes the loop. Waiting calls keep job_loop_run() from returning 0. Those that a closed loop no longer
 * runs are run by job_loop_close(), on its thread.
 */
JOB_API int job_loop_call(struct job_loop *loop, struct job_call *call);

/** As job_loop_call(), at the end of the turn that runs now: after the other callbacks of this turn, before the loop sleeps.
 * Thread: loop thread. @return as job_loop_call(), and -EPERM on another thread. */
JOB_API int job_loop_defer(struct job_loop *loop, struct job_call *call);

/** The loop's time in ns of CLOCK_MONOTONIC: read once a turn and after each callback. Thread: loop thread. */
JOB_API uint64_t job_loop_now(const struct job_loop *loop);

/** The loop whose callback runs on this thread, or NULL. Thread: any. */
JOB_API struct job_loop *job_loop_current(void);

/** The runtime that it was opened from; NULL for NULL. Thread: any, while nobody closes the loop. */
JOB_API struct job_runtime *job_loop_runtime(const struct job_loop *loop);

/** The arena that it receives into: of its options, a worker's own, or else the runtime's; NULL for NULL. Thread: any, while nobody closes
 * the loop. */
JOB_API struct job_arena *job_loop_arena(const struct job_loop *loop);

/** A snapshot of the counters; `handles` and `ops` are, on other threads, those of the last turn's end. Thread: any. */
JOB_API void job_loop_stats(const struct job_loop *loop, struct job_loop_stats *stats);

/** The histogram of its turns since it was opened; all zero for NULL. Thread: any. */
JOB_API void job_loop_turns(const struct job_loop *loop, struct job_loop_turns *turns);

JOB_END_DECLS

#endif
