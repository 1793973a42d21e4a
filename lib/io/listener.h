/* listener.h — what other handles tell listeners: a descriptor became free, a stream has come or gone. */
#ifndef JOB_IO_LISTENER_H
#define JOB_IO_LISTENER_H

#include "job/stream.h"
#include "loop/loop.h"

/* A descriptor was closed: those of this loop that ran out of descriptors accept again. Loop thread. */
void listeners_retry(struct job_loop *loop);

/* A stream was accepted from a listener, or is closed: it counts there in between, as long as the listener lives. Loop thread. */
void listener_admit(struct job_listener *listener, struct job_stream *stream);
void listener_dismiss(struct job_stream *stream);

#endif
