/* scope.h — a handle for tasks and requests that belong to nothing else: to a program, a batch, a part of a service.
 *
 * Tasks, loads of files and look-ups of names belong to a handle: their ends come on its loop, before its `closed`, and its close cancels
 * them. Mostly that is the client's stream. Who has none opens a scope. It does nothing of its own, so it does not keep job_loop_run() from
 * returning; what belongs to it does, until its end has come.
 */
#ifndef JOB_SCOPE_H
#define JOB_SCOPE_H

#include <job/handle.h>

JOB_BEGIN_DECLS

struct job_scope {
    struct job_handle handle;

    /* The library's. */
    void (*job_on_closed)(struct job_scope *scope);
};

/**
 * Opens a scope. What is to belong to it is given &scope->handle.
 *
 * @return 0, or -EINVAL: an argument is NULL; -EBUSY: it is open; -ECANCELED: the loop is closing; -EPERM: another
 *         thread's loop
 * Thread: loop thread, or before start.
 */
JOB_API int job_scope_open(struct job_loop *loop, struct job_scope *scope);

/** Closes it, and cancels what belongs to it: each end comes all the same, and `closed` (may be NULL) after the last, once; a second close
 * is ignored. To cancel and keep it open there is job_handle_cancel(). Thread: loop thread. */
JOB_API void job_scope_close(struct job_scope *scope, void (*closed)(struct job_scope *scope));

JOB_END_DECLS

#endif
