/* descriptor.h — the last thing of a handle that has a descriptor: to close it. */
#ifndef JOB_IO_DESCRIPTOR_H
#define JOB_IO_DESCRIPTOR_H

#include "loop/handle.h"

/* Closes a descriptor of a handle, which no operation of the loop uses any more; a negative one lives elsewhere by now. It leaves the
 * ledger, and listeners of this loop that ran out of descriptors accept again. Loop thread. */
void descriptor_close(struct job_loop *loop, int fd);

/* Closes *fd, unless it is -1; it is -1 then. may_sleep: by a thread. True: that has begun; false: it is closed. `task` is nobody else's
 * until the handle is closed. Out of handle_kind.last alone, which says the same. */
bool descriptor_close_last(struct job_handle *handle, struct job_task *task, int *fd, bool may_sleep);

#endif
