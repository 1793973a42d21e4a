/* ring_refusal.h — why there is no ring here, and what to do about it. */
#ifndef JOB_ENGINE_RING_REFUSAL_H
#define JOB_ENGINE_RING_REFUSAL_H

#include "base/root.h"

/* Logs the cause of a failed set-up and its cure. Returns -ENOSYS (too old or not built in), -EPERM (forbidden), or err itself. */
int ring_refusal(struct root *root, int err);

#endif
