/* memory_wait.h — whoever on a loop was refused memory, and is called when some has been freed. */
#ifndef JOB_IO_MEMORY_WAIT_H
#define JOB_IO_MEMORY_WAIT_H

#include "base/list.h"

struct job_loop;

struct memory_wait {
    struct list node;                          /* list_init() before the first use */
    void (*came)(struct memory_wait *wait);    /* off the list: looks once more */
};

/* The caller then looks once more, and goes on or sleeps; `came` is called all the same. Again while it waits: nothing. Loop thread. */
void memory_wait(struct job_loop *loop, struct memory_wait *wait);
void memory_wait_forget(struct memory_wait *wait);

#endif
