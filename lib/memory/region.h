/* region.h — what other folders need of a region. */
#ifndef JOB_MEMORY_REGION_H
#define JOB_MEMORY_REGION_H

#include "job/region.h"
#include "memory/waitlist.h"

struct root;

struct root *region_root(const struct job_region *region);

/* Who waits; NULL: the region is shared between processes, and they wait in the kernel. */
struct waitlist *region_waitlist(struct job_region *region);

#endif
