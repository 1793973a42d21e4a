/* flow.c — long requests of a file: begun, on its list until they end, told when it closes. */
#include "io/flow.h"

#include <errno.h>

#include "loop/handle.h"

int flow_check(const struct job_file *file)
{
    int err = file ? handle_check(&file->handle) : -EINVAL;
    if (err < 0)
        return err;
    return file->job_fd < 0 ? -EBADF : 0;
}

void flow_begin(struct file_flow *flow, struct job_file *file, void (*file_closes)(struct file_flow *flow))
{
    list_init(&flow->node);
    flow->file_closes = file_closes;
    list_push_back((struct list *)file->job_flows, &flow->node);
    handle_hold(&file->handle);
}

void flow_end(struct file_flow *flow)
{
    list_remove(&flow->node);
}

int flow_wait_for_room(struct job_file_op *op, void (*room)(struct job_task *task))
{
    int err = job_task_when_writable(&op->job_task, room);
    return err == -EINVAL ? FLOW_WAITS_OPERATION : err < 0 ? err : FLOW_WAITS_ROOM;   /* -EINVAL: no pool has refused that task */
}
