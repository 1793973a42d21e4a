/* listener.h — what other handles tell listeners: a descriptor became free. */
#ifndef JOB_IO_LISTENER_H
#define JOB_IO_LISTENER_H

#include "loop/loop.h"

/* Listeners of this loop that ran out of descriptors accept again. Called after each close of a descriptor. Loop thread. */
void listeners_retry(struct job_loop *loop);

#endif
