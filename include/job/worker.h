/* worker.h — a thread with its own loop, its own memory limit, and a port to its parent.
 *
 *      parent's loop                                     worker's thread
 *      job_worker_open() ─── start message ───────────▶  main(inside, start), on the worker's loop
 *      online  ◀──────────────────────────────────────   (before main)
 *      message ◀──── job_inside_post() ── job_worker_post() ────▶ message
 *      error   ◀──── job_inside_fail()
 *      exit    ◀──── the loop has nothing left to do, job_inside_exit(), job_inside_fail(), job_worker_stop()
 *      closed        all is given back; or
 *      left          the thread has ended, something on its loop has not
 *
 * Events come in that order, each at most once but for messages; all messages of a worker come before its exit. What one worker does,
 * also to fail, reaches no other. To stop is a request: the worker's loop ends its turn, closes all that is open on it (which cancels
 * operations and queued tasks, and stops its own workers), and the thread ends. Two things cannot be stopped, and nobody waits for them
 * without a bound. A callback that does not return: it is reported as `stuck`, and from then on the worker does not keep its parent's loop
 * alive. An operation or a task that does not end, such as a read of a pipe in which nobody writes: the worker's loop is closed without it,
 * it is named in the log, and `left` comes instead of `closed`.
 */
#ifndef JOB_WORKER_H
#define JOB_WORKER_H

#include <job/port.h>

JOB_BEGIN_DECLS

struct job_inside;
struct job_worker;

/* The first callback on the worker's loop. `start` is what was given at open; its items may be taken; it goes back when this returns,
 * unless job_message_keep() was called. The worker ends when its loop has nothing left to do, so open a handle, or listen to the parent by
 * job_inside_listen(). */
typedef void job_worker_main_fn(struct job_inside *inside, struct job_message *start);

struct job_worker_options {
    const char *name;            /* of thread and loop, for jobctl and logs; NULL: "worker"; copied; the thread's is cut to 15 bytes */
    size_t memory_limit_bytes;   /* of an arena of its own, job_inside_arena(); 0: it shares the runtime's. At least 1 MiB */
    size_t stack_bytes;          /* rounded up to pages; 0: the system's default; with a guard page below */
    int nice;                    /* added to the opener's: -20 to 19; below 0 needs the privilege, else it is logged and left */
    const uint64_t *affinity;    /* words of a CPU mask, bit i of word w is CPU 64*w+i, below 1024; NULL: the opener's */
    size_t affinity_words;
    struct job_post start;       /* for main; moved as by job_port_post() */
    struct job_channel_options channel;   /* limits of both directions; its name is not used */
    /* Two times, one after the other; 0: 2 s each, together less than the 5 s that job_loop_close() has by default, or, of a worker that a
     * worker opens, a third of its parent's each. From the request to stop until the worker is `stuck`; and from the end of its loop, by
     * whatever cause, until that loop is closed without what has not ended. The deadline of the close of the parent's loop, which is this
     * time when the parent is itself a worker, must be longer than both for the parent to hear of it. */
    uint64_t stop_timeout_ns;
};

/* What a parent is told. All on its loop; each may be NULL. */
struct job_worker_events {
    void (*online)(struct job_worker *worker);
    void (*message)(struct job_worker *worker, struct job_message *message);   /* as that of a port */
    void (*writable)(struct job_worker *worker);
    /* The worker has failed; its exit code will be 1. Without this handler the parent fails as well: its job_loop_run() returns `err`,
     * or, when it is a worker itself, it fails by job_inside_fail() with `err` and this text. */
    void (*error)(struct job_worker *worker, int err, const char *text);
    /* It was asked to stop `stop_timeout_ns` ago, by whomever, and has not ended. `function` is the callback that runs, or NULL: none,
     * its loop is being closed, or its thread is slow to end (a destructor of thread-local storage), which is told also when nobody has
     * asked, after 100 ms at the earliest. Also logged. It does not keep the parent's loop alive any more; should it end after all, `exit`
     * and the rest come as ever. */
    void (*stuck)(struct job_worker *worker, const void *function);
    void (*exit)(struct job_worker *worker, int code);   /* the thread has ended; 0, what it said, or 1: failed, or stopped */
    /* Nothing of the worker is in the kernel's hands or a thread's: its memory is yours, and that of all that was on its loop. */
    void (*closed)(struct job_worker *worker);
    /* Instead of `closed`: `count` handles and operations on its loop had not ended at the deadline, of which `first` is one (its handle is
     * to be compared, not used). Each is in the log. The struct job_worker is yours again. What belongs to those that have not ended never
     * is: handles, operations, tasks, bufs in them; the kernel or a thread may write there at any time. They stay in job_runtime_counts(),
     * and neither the runtime's close nor that of the parent's loop says 0 any more. */
    void (*left)(struct job_worker *worker, const struct job_hung *first, unsigned count);
};

struct job_worker {
    struct job_handle handle;

    /* The library's. */
    struct job_port job_port;
    const struct job_worker_events *job_events;
    void *job_record;
    uint64_t job_deadline[8];
    struct job_mail job_mail;
    uint64_t job_id;
    uint32_t job_flags;
    uint32_t job_reserved0;
    uint64_t job_reserved[2];
};

struct job_worker_stats {
    uint64_t id;
    char name[32];
    uint64_t started_ns;          /* CLOCK_MONOTONIC */
    uint64_t idle_ns, active_ns;  /* asleep in the kernel, and not; since it is online */
    uint64_t cpu_ns;              /* of the thread */
    uint64_t turns, waits, longest_callback_ns;
    uint64_t memory_used_bytes, memory_limit_bytes;   /* of its own arena; 0 without one */
    unsigned queued_messages;     /* that wait for it */
    uint64_t queued_bytes;
    bool is_stopping;
};

/**
 * Opens a worker: starts its thread, gives it the start message, and returns. The worker keeps the parent's loop alive until it has ended
 * (job_handle_unref() says otherwise; job_loop_close() stops it).
 *
 * @param main     called on the worker's loop
 * @param options  NULL or {0}: defaults
 * @param events   must outlive the worker; NULL: none
 * @return 0, or -EINVAL: an argument or an option; -EMFILE, -ENFILE, -ENOMEM, -EAGAIN: the system refuses the loop or the thread; what
 *         job_port_post() says of the start message; -ECANCELED: the loop is closing; -EPERM: another thread's loop, or forked. No
 *         thread is left behind on error, and the start message's items are still yours
 * Thread: loop thread, or before start.
 */
JOB_API int job_worker_open(struct job_loop *loop, struct job_worker *worker, job_worker_main_fn *main,
                            const struct job_worker_options *options, const struct job_worker_events *events);

/** Unique in the process's runtime and never used again; 0: never opened. It stays after `closed`. Thread: loop thread. */
JOB_API uint64_t job_worker_id(const struct job_worker *worker);

/** As job_port_post(), to the worker; and -ESRCH: it has ended, or was closed. Thread: loop thread. */
JOB_API int job_worker_post(struct job_worker *worker, const struct job_post *post);

/** Asks it to stop; `exit` comes with 1, unless it had ended by itself. Its `main` is not called any more if it has not begun. The
 * handle is referenced from then on, as by job_handle_ref(), so that job_loop_run() does not return before `exit`; by
 * job_worker_stop_by_id() too, when the parent's loop has heard of it. More than once is harmless.
 * @return 0, or -EINVAL: never opened; -ESRCH: it has ended; -EPERM: not the loop's thread. Thread: loop thread. */
JOB_API int job_worker_stop(struct job_worker *worker);

/** Stops it, and drops its messages that are not delivered yet. `exit` and `closed` come as ever. Thread: loop thread. */
JOB_API void job_worker_close(struct job_worker *worker);

/** Each names a worker by its id. @return 0, or -ESRCH: there is none, or it has ended; -EINVAL; -EPERM: in a forked child.
 * job_worker_post_to() as job_port_post(), and -EINVAL when a worker names itself; who is refused with -EAGAIN is not told of room.
 * Thread: any. */
JOB_API int job_worker_stop_by_id(struct job_runtime *runtime, uint64_t id);
JOB_API int job_worker_post_to(struct job_runtime *runtime, uint64_t id, const struct job_post *post);
JOB_API int job_worker_stats(struct job_runtime *runtime, uint64_t id, struct job_worker_stats *stats);

/** The ids of the workers that live, oldest first. @return how many there are, which may be more than `max`. Thread: any. */
JOB_API size_t job_worker_list(struct job_runtime *runtime, uint64_t *ids, size_t max);

/* What a worker knows of itself. On its own thread, until the thread ends. */

/** The worker that this thread is, or NULL. Thread: any. */
JOB_API struct job_inside *job_inside_current(void);

/** Yours; not touched by the library. Thread: the worker's. */
JOB_API void *job_inside_data(const struct job_inside *inside);
JOB_API void job_inside_set_data(struct job_inside *inside, void *data);

/** Its loop, its arena (or the runtime's), its id. Thread: the worker's. */
JOB_API struct job_loop *job_inside_loop(struct job_inside *inside);
JOB_API struct job_arena *job_inside_arena(struct job_inside *inside);
JOB_API uint64_t job_inside_id(const struct job_inside *inside);

struct job_inside_events {
    void (*message)(struct job_inside *inside, struct job_message *message);   /* as that of a port */
    void (*writable)(struct job_inside *inside);
};

/** Hears the parent from now on, which keeps the worker alive (see job_inside_unref()); messages that came before are delivered.
 * NULL: hears it no more.
 * Without `message` in the events it is kept alive as well: messages are dropped and counted.
 * @param events  must outlive the worker
 * @return 0, or -ECANCELED: it is ending; -EINVAL; -EPERM: another thread. Thread: the worker's. */
JOB_API int job_inside_listen(struct job_inside *inside, const struct job_inside_events *events);

/** Whether it keeps the worker alive that it hears its parent: as job_handle_unref() and job_handle_ref(). Unreferenced, the worker hears
 * as long as something else on its loop keeps it, and ends then; what comes later is dropped. Thread: the worker's. */
JOB_API void job_inside_ref(struct job_inside *inside);
JOB_API void job_inside_unref(struct job_inside *inside);

/** As job_port_post(), to the parent; -ECANCELED as well after job_inside_exit() or job_inside_fail(). Thread: the worker's. */
JOB_API int job_inside_post(struct job_inside *inside, const struct job_post *post);

/** Ends the worker with a code, after this turn, in which it hears and posts no more. The first code counts; a worker that was stopped and
 * has said none by the end of its loop has 1, and a failure, also a later one, makes it 1. Thread: the worker's. */
JOB_API void job_inside_exit(struct job_inside *inside, int code);

/** True from when the worker was asked to stop, or has said that it ends: for callbacks that go on for long, which look now and then and
 * return. Costs a load or two. Thread: the worker's. */
JOB_API bool job_inside_is_stopping(const struct job_inside *inside);

/** As job_inside_exit() with code 1, whatever code was said before, after its parent was told of the error (by the code alone while the
 * worker's loop closes). The first failure counts.
 * @param err   a negative errno
 * @param text  copied, cut to 1023 bytes; NULL: none
 * Thread: the worker's. */
JOB_API void job_inside_fail(struct job_inside *inside, int err, const char *text);

JOB_END_DECLS

#endif
