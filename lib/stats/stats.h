/* stats.h — the open segment as its writer sees it. */
#ifndef JOB_STATS_STATS_H
#define JOB_STATS_STATS_H

#include <stddef.h>

#include "stats/segment.h"

struct stats {
    struct root *root;
    struct stats_header *header;
    struct stats_line *lines;
    size_t size;
    int fd;
};

#endif
