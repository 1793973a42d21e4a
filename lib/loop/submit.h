/* submit.h — a loop's lanes, for its end; and the last task of a handle. */
#ifndef JOB_LOOP_SUBMIT_H
#define JOB_LOOP_SUBMIT_H

#include "loop/loop.h"

/* job_submit() for a handle that is closing, out of handle_kind.last alone. may_wait: behind calls that block. 0; -EAGAIN: the
 * lane is full, or it would wait for such calls; -ENOMEM; on error nothing has changed. */
int loop_submit_last(struct job_pool *pool, struct job_task *task, struct job_handle *handle, bool may_wait);

/* No task of this loop is out: gives its lanes back to their pools. Loop thread. */
void lanes_close(struct job_loop *loop);

/* W2 and W3 of submit.c: whenever the time has been read; before the loop sleeps or stops. Loop thread. */
void loop_watch_lanes(struct job_loop *loop);
void loop_leave_lanes(struct job_loop *loop);

#endif
