/* descriptor.h — the last thing of a handle that has a descriptor: to close it. */
#ifndef JOB_IO_DESCRIPTOR_H
#define JOB_IO_DESCRIPTOR_H

#include "loop/handle.h"

/* Closes a descriptor of a handle, which no operation of the loop uses any more; a negative one lives elsewhere by now. It leaves the
 * ledger, and listeners of this loop that ran out of descriptors accept again. Loop thread. */
void descriptor_close(struct job_loop *loop, int fd);

enum closer {
    CLOSER_LOOP,          /* close(2) has nothing to do */
    CLOSER_FREE_THREAD,   /* it may sleep for a time; by the loop, if all threads that may be are busy */
    CLOSER_THREAD,        /* it may sleep for ever, as with a server: behind other calls, if need be */
};

/* Closes *fd, unless it is -1; it is -1 then. True: a thread will; false: it is closed, since nobody else shall or no thread takes it.
 * `task` is nobody else's until the handle is closed. Out of handle_kind.last alone, which says the same. */
bool descriptor_close_last(struct job_handle *handle, struct job_task *task, int *fd, enum closer closer);

#endif
