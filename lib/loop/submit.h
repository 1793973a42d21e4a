/* submit.h — a loop's lanes, for its end. */
#ifndef JOB_LOOP_SUBMIT_H
#define JOB_LOOP_SUBMIT_H

#include "loop/loop.h"

/* No task of this loop is out: gives its lanes back to their pools. Loop thread. */
void lanes_close(struct job_loop *loop);

#endif
