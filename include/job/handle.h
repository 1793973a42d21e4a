/* handle.h — what lives on a loop from open to `closed`: stream, listener, timer, signal, file, process, watch, port, rpc, subscriber,
 * worker, region waiter, scope.
 *
 * Every handle has the same life: opened → callbacks → job_*_close() (any time, also in its own callback; more than once is
 * harmless) → `closed`, exactly once, from the loop, never inside the call, after its last operation and its last task. After
 * `closed` the library does not touch its memory: that is where to free it.
 *
 * Open clears the memory, but for `data`, so it may hold anything before but a handle that is not `closed` yet: each open of such a one
 * says -EBUSY and changes nothing, if it is on the same loop; on another loop it is not noticed, and both loops lose it. The open looks at
 * what is there for that, so valgrind and MemorySanitizer speak of uninitialised values when it never was written: zero it for them. It is
 * opened anew in `closed`, or later. It must not move until `closed`. To close a handle that was never opened and is zero does nothing.
 */
#ifndef JOB_HANDLE_H
#define JOB_HANDLE_H

#include <job/loop.h>

JOB_BEGIN_DECLS

struct job_handle {
    void *data;                   /* yours; not touched by the library */

    /* The library's. What most calls look at comes last, beside the first fields of the kind of handle: so they share a line of cache. */
    void *job_node[2];
    void (*job_closed)(struct job_handle *handle);
    const void *job_kind;
    void *job_tasks[2];
    struct job_mail job_mail;
    struct job_loop *job_loop;
    uint32_t job_state;
    uint32_t job_pending;         /* operations and tasks in flight */
};

/* What a loop knows of a handle on it. */
struct job_handle_info {
    struct job_handle *handle;
    const char *kind;             /* "stream", "timer" … */
    bool keeps_alive;             /* job_loop_run() does not return because of it: it is referenced, and waits for something */
    bool is_closing;
    unsigned tasks, operations;   /* in flight */
};

/**
 * Calls `each` for every handle that is not closed, in the order in which they were opened: who keeps a loop from returning?
 *
 * @param each  must neither open nor close handles; NULL: they are only counted
 * @return how many keep job_loop_run() from returning; 0 on another thread, and for NULL
 * Thread: loop thread, or before start.
 */
JOB_API size_t job_loop_handles(struct job_loop *loop, void (*each)(void *arg, const struct job_handle_info *info),
                                void *arg);

/** The loop that a handle was opened on, also after `closed`, when that may be gone; NULL: it is zero, or its open has failed. Thread: loop
 * thread. */
JOB_API struct job_loop *job_handle_loop(const struct job_handle *handle);

/** True from the close call on, also after `closed`, until it is opened anew. Thread: loop thread. */
JOB_API bool job_handle_is_closing(const struct job_handle *handle);

/**
 * Asks that all that is in flight for a handle end early, and leaves it open: its queued tasks, as job_task_cancel(); of a file each
 * request, as job_file_cancel(); of a stream all of job_stream_cancel(). Each end comes later, once, with -ECANCELED or as it would have
 * come.
 *
 * @return 0: asked; -ENOENT: nothing is in flight; -EINVAL: NULL, or never opened; -ECANCELED: closing; -EPERM: not the loop's thread
 * Thread: loop thread.
 */
JOB_API int job_handle_cancel(struct job_handle *handle);

/** What to call after its last operation and its last task when its close names nothing else: a job_*_close() with NULL, or
 * job_loop_close(), which closes whatever is open. Kinds that have `closed` among their events call this only without that event. After it
 * the memory is yours. NULL: nothing. Call it after the open. Thread: loop thread, or before start. */
JOB_API void job_handle_on_closed(struct job_handle *handle, void (*closed)(struct job_handle *handle));

/** An unreferenced handle does not keep job_loop_run() from returning. Handles start referenced; both calls are idempotent.
 * job_handle_has_ref() says which of the two was called last, and is false once it closes. Whether it keeps the loop alive is another
 * question, since one that waits for nothing does not either (a port that is stopped, a timer that is not armed): `keeps_alive` of
 * job_loop_handles() answers that. Thread: loop thread. */
JOB_API void job_handle_ref(struct job_handle *handle);
JOB_API void job_handle_unref(struct job_handle *handle);
JOB_API bool job_handle_has_ref(const struct job_handle *handle);

JOB_END_DECLS

#endif
