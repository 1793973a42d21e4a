/* memory_wait.h — whoever on a loop was refused memory, and is called when some has been freed. */
#ifndef JOB_IO_MEMORY_WAIT_H
#define JOB_IO_MEMORY_WAIT_H

#include <stdint.h>

#include "base/list.h"

struct job_loop;

struct memory_wait {
    struct list node;                          /* list_init() before the first use */
    void (*came)(struct memory_wait *wait);    /* off the list: looks once more */
};

/* refused_bytes: a slot's at least, of which too few were spare; UINT64_MAX: memory was refused, but not for want of spare bytes. The
 * caller then looks once more, and goes on or sleeps; `came` is called all the same. Again while it waits: it may ask for less. Loop
 * thread. */
void memory_wait(struct job_loop *loop, struct memory_wait *wait, uint64_t refused_bytes);
void memory_wait_forget(struct memory_wait *wait);

#endif
