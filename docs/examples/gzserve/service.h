/* service.h — what all connections share: one loop, one pool, the limits. There is no global. */
#ifndef GZSERVE_SERVICE_H
#define GZSERVE_SERVICE_H

#include "file_cache.h"
#include "turns.h"

#include <job/job.h>
#include <time.h>

struct service_options {
    const char *root;                 /* of the files that are served */
    const char *address;              /* numeric; NULL: 127.0.0.1 */
    uint16_t port;                    /* 0: the kernel chooses */
    unsigned workers;                 /* as in struct job_pool_options */
    unsigned queue_limit;
    size_t memory_bytes;              /* as in struct job_runtime_options */
    size_t body_bytes_max;            /* of one request; 0: 16 MiB */
    unsigned connections_max;         /* further ones wait until one of them ends; 0: 10000. At most half of the descriptors */
    uint64_t cpu_max;                 /* how much /cpu may be asked for; 0: 10^7, some seconds */
    uint64_t head_timeout_ns;         /* 0: 10 s */
    uint64_t body_timeout_ns;         /* for each 16 KiB; 0: 10 s */
    size_t body_rate;                 /* bytes a second, of the whole of a body, behind the first time-out; 0: 16384 */
    uint64_t idle_timeout_ns;         /* between two requests; 0: 60 s */
    uint64_t send_timeout_ns;         /* how long a client may take nothing of its answer; 0: 10 s */
    uint64_t queue_timeout_ns;        /* how long a task may wait for a worker until its client hears 503, when the pool has more to do
                                         than it can; 0: 10 s */
};

/* Since the start; /stats shows them. */
struct service_counts {
    uint64_t connections, refused_connections;
    uint64_t answers[6];              /* by the first digit of the status */
    uint64_t resets;                  /* answers that were cut off */
    uint64_t file_hits, file_misses;
};

struct service {
    struct service_options options;
    struct job_runtime *runtime;
    struct job_loop *loop;
    struct job_pool *pool;            /* computes */
    struct job_pool *file_pool;       /* waits for disks */
    struct job_listener listener;
    struct job_signal signals;
    struct file_cache files;
    struct turns looks;               /* of those who open a file */
    struct conn *conns;               /* all that are open */
    struct exchange *spare;           /* for the next requests */
    unsigned conn_count, spare_count;
    size_t body_bytes;                /* that bodies take, until those are answered */
    size_t body_bytes_max;            /* a quarter of the memory: some take twice what is counted (body.c), and others need some */
    struct service_counts counts;
    bool is_draining;
    time_t date_time;
    char date[32];                    /* of date_time, as HTTP writes it */
};

/* Opens everything but the signals and starts to listen. 0 or a negative errno; *what says what failed. To be closed in both cases. */
int service_open(struct service *service, const struct service_options *options, const char **what);

/* No new connections and requests; those that are here are served. */
void service_drain(struct service *service);

/* Closes what is open. 0 or a negative errno. */
int service_close(struct service *service);

/* "Sun, 06 Nov 1994 08:49:37 GMT", now. */
const char *service_date(struct service *service);

#endif
