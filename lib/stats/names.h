/* names.h — what counters, wait reasons and kinds of threads are called, in the segment and by jobctl. */
#ifndef JOB_STATS_NAMES_H
#define JOB_STATS_NAMES_H

#include "stats/line.h"

extern const char job_version_text[];

const char *counter_name(enum counter counter);
const char *wait_name(enum job_wait wait);
const char *line_kind_name(enum line_kind kind);

#endif
