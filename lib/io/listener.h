/* listener.h — what other handles tell listeners: a descriptor became free, a stream has come or gone. */
#ifndef JOB_IO_LISTENER_H
#define JOB_IO_LISTENER_H

#include "job/stream.h"
#include "loop/loop.h"

/* Closes a descriptor of a handle, which no operation of the loop uses any more; a negative one lives elsewhere by now. It leaves the
 * ledger, and listeners of this loop that ran out of descriptors accept again. Loop thread. */
void descriptor_close(struct job_loop *loop, int fd);

/* After a close that was not in the ledger. Loop thread. */
void listeners_retry(struct job_loop *loop);

/* A stream was accepted from a listener, or is closed: it counts there in between, as long as the listener lives. Loop thread. */
void listener_admit(struct job_listener *listener, struct job_stream *stream);
void listener_dismiss(struct job_stream *stream);

#endif
