/* task.h — the state word of a task; only task.c changes it, and each transition says what the caller now owes.
 *
 *      IDLE ──submit──▶ QUEUED ──begin──▶ RUNNING ──end──▶ ENDED ──deliver──▶ IDLE
 *                         └─cancel─▶ CANCELLED ──begin──▶ RUNNING (without its function)
 *      RUNNING ──cancel──▶ RUNNING_CANCELLED ──end──▶ ENDED
 */
#ifndef JOB_SCHED_TASK_H
#define JOB_SCHED_TASK_H

#include "base/assert.h"
#include "base/atomic.h"
#include "job/task.h"
#include "queue/mailbox.h"

enum task_state {
    TASK_NEW,                 /* zero memory: not initialised */
    TASK_IDLE,
    TASK_QUEUED,
    TASK_CANCELLED,           /* queued, and will not run */
    TASK_RUNNING,
    TASK_RUNNING_CANCELLED,
    TASK_ENDED,               /* on its way to `done` */
};

enum task_owed {
    TASK_OWES_RUN,            /* call the function, then task_end() */
    TASK_OWES_NO_RUN,         /* task_end() with -ECANCELED */
};

static inline enum task_state task_state(const struct job_task *task)
{
    return (enum task_state)load_relaxed(&task->job_state);   /* who asks owns the task, or wants a hint */
}

/* idle → queued. False: it is not idle. Whoever owns the task. */
bool task_submit(struct job_task *task);

/* A submit that was refused: queued → idle, as if it had not been. Nobody else has seen the task. */
void task_submit_undo(struct job_task *task);

/* Gives back what an idle task owns. Whoever owns the task. */
void task_drop(struct job_task *task);

/* While `done` runs: what the task owns stays with it when `done` returns. */
void task_keep(struct job_task *task);

/* The thread that took it from a queue. */
enum task_owed task_begin(struct job_task *task);

/* running or cancelled → ended. The thread that began it. */
void task_end(struct job_task *task, int status);

/* 0: will not run; -EALREADY; -ENOENT: idle. Whoever may cancel. */
int task_cancel(struct job_task *task);

/* ended → idle, then `done`, then what it left goes back. Who owns the task after its end: the loop, or the pool thread. The task may
 * be gone or queued again when this returns. */
void task_deliver(struct job_task *task);

#endif
