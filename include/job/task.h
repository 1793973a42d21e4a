/* task.h — a function to run on a pool. It can own a buf, share regions, and belong to a handle.
 *
 *      idle ──job_submit──▶ queued ──▶ running ──▶ completed ──done()──▶ idle
 *                              └──job_task_cancel──────▲  (-ECANCELED)
 *
 * The caller supplies the memory, usually inside its own struct; the library allocates nothing. From a successful submit until
 * `done` is called the task belongs to the pool: only job_task_cancel() may touch it. In its own `done` it is idle again. Where the
 * hand-over itself counts, let tasks begin at a cache line (_Alignas(64)): a pool thread then touches one line of each, not two, which
 * saves 4 to 6 ns of 40.
 */
#ifndef JOB_TASK_H
#define JOB_TASK_H

#include <job/buf.h>
#include <job/loop.h>
#include <job/pool.h>
#include <job/region.h>

JOB_BEGIN_DECLS

struct job_handle;
struct job_task;

/* Runs on a pool thread. It may take the buf, replace it, leave it; set the status; submit other tasks, without a handle; block if
 * it must, though that takes a worker away. */
typedef void job_task_run_fn(struct job_task *task);

/* Runs on the loop of the handle that the task was submitted for, or, without a handle, on the pool thread (or on the one that closes the
 * pool). `status` is what the task function set (0 by default), or -ECANCELED: it never ran; or -ETIME: it never ran, because it had
 * waited too long in an overloaded pool that sheds (see job_pool_options). The task is idle again in here, still with its buf and its
 * regions: take the old buf out, then it may be given another and be submitted anew; the regions it keeps, so do not share them again. A
 * buf that is still in it when this returns goes back to its arena, and the regions are released, unless it was submitted anew or waits
 * for room. To free the task's memory in here, or to let another thread free it, call job_task_fini() first: without that the memory is in
 * use until this has returned. */
typedef void job_task_done_fn(struct job_task *task, int status);

struct job_task {
    /* Yours while the task is idle, and the task function's while it runs. */
    struct job_buf *buf;
    void *data;                        /* not touched by the library */

    /* The library's: what a pool thread touches. With the above it is one cache line, when the task begins at one. */
    job_task_run_fn *job_run;
    void *job_home;
    struct job_mail job_mail;
    uint32_t job_state;
    int32_t job_status;

    struct job_pool *pool;             /* as given to init, for your job_submit(); not touched by the library */

    /* The library's: what only the submitter touches. */
    job_task_done_fn *job_done;
    struct job_handle *job_handle;
    struct job_pool *job_pool;
    void *job_list[2];
    uint64_t job_queued_ns;            /* since when it waits, by its loop's time; 0: it is not shed */
    bool *job_leaving;
    void (*job_writable)(struct job_task *task);
    struct job_region *job_regions[4];
    uint32_t job_region_count;
    uint32_t job_reserved0;
    struct job_task *job_self;         /* itself while it is not idle; only in checked builds, which do not believe old memory without it */
};

/**
 * Makes an idle task of the caller's memory, whatever that held. A task that owns a buf or regions you end first, by job_task_fini(), else
 * they leak. In a task's own `done` it makes the next task of the same memory. One that is queued or runs must not be initialised: with
 * JOB_CHECKED that stops the program and says so; else the pool goes on with what is not its task any more.
 *
 * @param pool  kept in task->pool; may be NULL
 * @return 0, or -EINVAL: task or run is NULL. `done` may be NULL
 * Thread: any.
 */
JOB_API int job_task_init(struct job_task *task, struct job_pool *pool, job_task_run_fn *run, job_task_done_fn *done);

/**
 * Ends an idle task: its buf goes back to its arena, its regions are released, a wait for room is over. Needed before the memory is freed
 * inside `done`, and for a task that was given a buf and never submitted. Harmless for one that owns nothing, or that was never
 * initialised and is zero.
 *
 * @return 0, or -EBUSY: it is queued or running, nothing changed; -EINVAL: NULL
 * Thread: whichever owns the task.
 */
JOB_API int job_task_fini(struct job_task *task);

/**
 * Gives a buf to a task. The task owns it until the task function takes it, or until the done callback returns; what is left
 * then goes back to its arena.
 *
 * @param buf  *buf becomes NULL on success; on error nothing changes
 * @return 0, or -EBUSY: the task is queued, or runs on another thread, or owns a buf already; -EINVAL: task, buf or *buf is NULL,
 *         or the task was not initialised
 * Thread: whichever owns the task.
 */
JOB_API int job_task_give(struct job_task *task, struct job_buf **buf);

/** Takes the buf out of a task: NULL when it has none, or when the task is queued, or runs on another thread. In the task function
 * and in `done`, or while the task is idle. Thread: whichever owns the task. */
JOB_API struct job_buf *job_task_take(struct job_task *task);

/**
 * Shares a region with a task: a reference is kept until `done` has returned.
 *
 * @return 0, or -EBUSY: queued or running; -ENOSPC: four are shared already; -EINVAL
 * Thread: whichever owns the task.
 */
JOB_API int job_task_share(struct job_task *task, struct job_region *region);

/** The i-th region that was shared, or NULL. Thread: task, or whichever owns it. */
JOB_API struct job_region *job_task_region(const struct job_task *task, unsigned index);

/** Sets what `done` will be told; 0 or a negative errno by convention. Thread: task. */
JOB_API void job_task_set_status(struct job_task *task, int status);

/**
 * Submits a task to a pool. The pool owns the task and its buf until `done`; nothing is allocated, nothing blocks.
 *
 * With a handle, `done` runs on the handle's loop, and the handle's `closed` comes after it; closing the handle cancels the
 * task if it is still queued. Without (NULL), `done` runs on the pool thread, and there is no bound: -EAGAIN comes only
 * with a handle.
 *
 * @return 0, or
 *         -ENOMEM      the first submit of this loop to this pool, and no memory for its lane; or 256 loops submit to it; or a
 *                      blocking pool has no thread yet and the system refuses one
 *         -EAGAIN      the loop's lane is full; see job_task_when_writable(). Nothing changed: the caller still owns the task and
 *                      its buf
 *         -EBUSY       the task is queued or running already, or waits for room
 *         -ECANCELED   the pool is stopped, or the handle is closing
 *         -EINVAL      pool or task is NULL, the task was not initialised, or the handle was never opened
 *         -EPERM       handle given, and this is not the thread of its loop; or the process has forked
 * Thread: with a handle the loop thread, or before start; without one any thread, also a task.
 * Shutdown: what a stopped pool does not run completes with -ECANCELED and its buf.
 */
JOB_API int job_submit(struct job_pool *pool, struct job_task *task, struct job_handle *handle);

/**
 * Calls `writable` once on the loop, when the pool has room again after -EAGAIN, or has been stopped. The waiting belongs to the
 * handle that the task was refused for; closing it cancels the wait silently, and what the task owns goes back. The task is idle
 * meanwhile; job_task_fini() ends the wait as well.
 *
 * @return 0, or -EALREADY: it waits already; -EINVAL: an argument is NULL, or the task was not refused with -EAGAIN since its last
 *         success; -ECANCELED: the handle is closing, or the pool is closed; -EPERM: not the thread of its loop
 * Thread: loop thread of that handle, which is open.
 */
JOB_API int job_task_when_writable(struct job_task *task, void (*writable)(struct job_task *task));

/**
 * Asks that a queued task not run. The end arrives later, once, through `done`: -ECANCELED if it had not begun, else what it
 * ends with.
 *
 * @return 0: it was queued and will not run; -EALREADY: it runs, has ended, or was cancelled before; -ENOENT: it is idle, or waits
 *         for room; -EINVAL: NULL
 * Thread: the loop thread that submitted it, or any when submitted without a handle, while `done` has not been called.
 */
JOB_API int job_task_cancel(struct job_task *task);

/** True in the task function once somebody has asked to cancel, to close its handle, or to stop the pool: long functions look
 * now and then. One that waits in job_region_wait32(), job_region_wait64() or job_end_receive() need not: the wait ends with -ECANCELED
 * then, and each later one that would wait. Thread: task. */
JOB_API bool job_task_is_cancelled(const struct job_task *task);

/**
 * Says that the task which runs here is about to block: in a call that sleeps in the kernel, or on a lock for long. Another thread goes on
 * in its place meanwhile, so that as many compute as before. For a task that turns out to block; what is known to belongs on
 * job_runtime_calls() or on a pool of its own with `blocking`. Costs a wake-up, so some microseconds. Calls may be nested.
 *
 * @return 0, also where there is nothing to do: in a task of a blocking or of an inline pool; -EAGAIN: the pool's blocked_limit is reached,
 *         or the system refuses a thread, or the pool is closing: the task may block all the same, but takes a worker away, and there is
 *         nothing to leave; -EPERM: no task runs on this thread
 * Thread: task. Shutdown: job_pool_close() waits for the task.
 */
JOB_API int job_blocking_enter(void);

/**
 * The task computes again. It goes on at once, for the rest of it beside the worker that has taken its place if that is at work already; so
 * what computes for long should not do so after it has blocked. A task that ends without this call has left.
 *
 * @return 0, or -EINVAL: it has not entered, or was refused; -EPERM: no task runs on this thread
 * Thread: task.
 */
JOB_API int job_blocking_leave(void);

JOB_END_DECLS

#endif
