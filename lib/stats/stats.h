/* stats.h — the open segment as its writer sees it. */
#ifndef JOB_STATS_STATS_H
#define JOB_STATS_STATS_H

#include <stdbool.h>
#include <stddef.h>

#include "stats/segment.h"

struct stats {
    struct root *root;
    struct stats_header *header;
    struct stats_line *lines;     /* STATS_THREADS_MAX */
    struct stats_arena *arenas;   /* STATS_ARENAS_MAX */
    struct stats_queue *queues;   /* STATS_QUEUES_MAX */
    struct stats_worker *workers; /* STATS_WORKERS_MAX */
    struct stats_pool *pools;     /* STATS_POOLS_MAX */
    struct stats_part *parts;     /* STATS_PARTS_MAX */
    struct stats_rpc *rpcs;       /* STATS_RPCS_MAX */
    struct stats_topic *topics;   /* STATS_TOPICS_MAX */
    size_t size;
    int fd;
};

/* Takes a record whose first word is 0 and marks it as being filled in: what is stored from here on is behind the mark
 * for every reader. False: somebody else has it. */
bool stats_record_claim(atomic_u32 *kind, atomic_u32 *generation);

#endif
