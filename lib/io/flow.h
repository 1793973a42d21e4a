/* flow.h — what reader and writer share: a long request of a file, which the file's close ends, and which may have to wait for memory. */
#ifndef JOB_IO_FLOW_H
#define JOB_IO_FLOW_H

#include "base/list.h"
#include "job/file.h"

struct file_flow {
    struct list node;                        /* in the file's list, from start to end */
    void (*file_closes)(struct file_flow *flow);
};

/* The file may not be closed, nor the loop end, before flow_end(). 0; -EINVAL, -EBADF, -ECANCELED, -EPERM: nothing has changed. */
int flow_check(const struct job_file *file);
void flow_begin(struct file_flow *flow, struct job_file *file, void (*file_closes)(struct file_flow *flow));

/* Off the list. Whoever ends tells the user, and then lets the file go: the last touch. */
void flow_end(struct file_flow *flow);

/* A request of a flow was refused with -EAGAIN. FLOW_WAITS_ROOM: `room` is called with its task when a thread can take it;
 * FLOW_WAITS_OPERATION: an operation of the loop must end first, and the caller's mail may be stalled until then; or a negative errno. */
enum { FLOW_WAITS_ROOM, FLOW_WAITS_OPERATION };
int flow_wait_for_room(struct job_file_op *op, void (*room)(struct job_task *task));

#endif
