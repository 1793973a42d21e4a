/* foreign.h — memory that is not an arena's, in slots that are: what views of it hold, and its end. */
#ifndef JOB_MEMORY_FOREIGN_H
#define JOB_MEMORY_FOREIGN_H

struct slot;

/* The last piece of one of its slots is gone; after the last slot the memory is released. Any thread. */
void foreign_put(struct slot *slot);

#endif
