/* pools.h — what waits in each pool, put together from what its loops and threads have counted. */
#ifndef JOBCTL_POOLS_H
#define JOBCTL_POOLS_H

#include "json.h"
#include "report.h"

/* After the threads. Fills runtime->pools, which has room for all. */
void pools_join(const struct report *report, struct report_runtime *runtime);

/* A table, with an empty line before it; nothing when there is no pool. False: no memory. */
bool pools_print(const struct report *report, const struct report_runtime *runtime);

/* The member "pools". */
void pools_write(struct json *json, const struct report *report, const struct report_runtime *runtime);

#endif
