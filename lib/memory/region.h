/* region.h — what other folders need of a region. */
#ifndef JOB_MEMORY_REGION_H
#define JOB_MEMORY_REGION_H

#include "job/region.h"

struct root;

struct root *region_root(const struct job_region *region);

#endif
