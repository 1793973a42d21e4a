/* service.c — what is opened, in which order, and how it ends. */
#include "service.h"
#include "conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

enum { LOOKS_MAX = 64 };   /* as many threads as the file pool has: more would wait in its queue */

static void set_options(struct service *service, const struct service_options *options)
{
    struct service_options *set = &service->options;
    *set = *options;
    if (set->body_bytes_max == 0)
        set->body_bytes_max = 16 << 20;
    if (set->connections_max == 0)
        set->connections_max = 10000;
    if (set->cpu_max == 0)
        set->cpu_max = 10000000;
    if (set->head_timeout_ns == 0)
        set->head_timeout_ns = 10 * JOB_SECOND;
    if (set->body_timeout_ns == 0)
        set->body_timeout_ns = 10 * JOB_SECOND;
    if (set->body_rate == 0)
        set->body_rate = 16384;
    if (set->idle_timeout_ns == 0)
        set->idle_timeout_ns = 60 * JOB_SECOND;
    if (set->send_timeout_ns == 0)
        set->send_timeout_ns = 10 * JOB_SECOND;
    if (set->queue_timeout_ns == 0)
        set->queue_timeout_ns = 10 * JOB_SECOND;
}

static unsigned share(rlim_t descriptors, unsigned max)
{
    return descriptors < 1 ? 1 : descriptors < max ? (unsigned)descriptors : max;
}

/* Half of the descriptors are for clients, a quarter for files, a sixteenth for files that are being looked at; the rest is ours. So
 * nobody who asks for many files keeps others out. */
static void share_descriptors(struct service *service)
{
    struct rlimit limit = {.rlim_cur = 1024};
    (void)getrlimit(RLIMIT_NOFILE, &limit);   /* cannot fail; else a number that everybody has */
    if (service->options.connections_max > limit.rlim_cur / 2)
        service->options.connections_max = (unsigned)(limit.rlim_cur / 2);
    service->files.open_max = share(limit.rlim_cur / 4, FILES_MAX);
    turns_init(&service->looks, share(limit.rlim_cur / 16, LOOKS_MAX));
}

static void on_connection(struct job_listener *listener, struct job_incoming *incoming)
{
    struct service *service = job_container_of(listener, struct service, listener);
    service->counts.connections++;
    if (conn_accept(service, incoming) < 0)
        service->counts.refused_connections++;   /* no memory; what is not taken is closed */
}

static int open_pools(struct service *service)
{
    const struct service_options *options = &service->options;
    struct job_pool_options computes = {
        .name = "compute",
        .workers = options->workers,
        .queue_limit = options->queue_limit,
        .nice = 19,
        .shed_target_ns = options->queue_timeout_ns / 2,   /* it ends what has waited twice as long */
    };
    struct job_pool_options waits = {.name = "file", .blocking = true};
    int err = job_pool_open(service->runtime, &service->pool, &computes);
    return err < 0 ? err : job_pool_open(service->runtime, &service->file_pool, &waits);
}

int service_open(struct service *service, const struct service_options *options, const char **what)
{
    struct job_runtime_options named = {.name = "gzserve", .memory_limit_bytes = options->memory_bytes,
                                        .log = job_log_stderr, .log_arg = "gzserve"};
    struct job_loop_options receives = {.receive_slot_bytes = 65536};
    struct job_listener_options listens = {.address = options->address, .port = options->port};
    struct job_arena_stats arena;
    int err;
    *service = (struct service){.files.root = -1};
    set_options(service, options);
    share_descriptors(service);
    *what = options->root;
    if ((err = file_cache_open(&service->files, options->root)) < 0)
        return err;
    *what = "runtime";
    if ((err = job_runtime_open(&service->runtime, &named)) < 0)
        return err;
    job_arena_stats(job_runtime_arena(service->runtime), &arena);
    service->body_bytes_max = arena.limit_bytes / 4;
    service->files.bytes_max = arena.limit_bytes / 16;   /* a file may take four times its size: slots are that far apart */
    *what = "loop";
    if ((err = job_loop_open(service->runtime, &service->loop, &receives)) < 0)
        return err;
    *what = "pool";
    if ((err = open_pools(service)) < 0)
        return err;
    *what = "address";
    listens.connections_max = service->options.connections_max;
    return job_listener_open(service->loop, &service->listener, &listens, on_connection);
}

void service_drain(struct service *service)
{
    service->is_draining = true;
    job_listener_close(&service->listener, NULL);
    for (struct conn *conn = service->conns, *next; conn; conn = next) {
        next = conn->next;
        conn_drain(conn);
    }
}

static void free_spare(struct service *service)
{
    while (service->spare) {
        struct exchange *exchange = service->spare;
        service->spare = exchange->next;
        free(exchange);
    }
}

int service_close(struct service *service)
{
    int err = job_loop_close(&service->loop, 0);
    (void)job_pool_close(&service->pool);        /* refused only to its own tasks */
    (void)job_pool_close(&service->file_pool);
    free_spare(service);
    file_cache_close(&service->files);
    int last_err = job_runtime_close(&service->runtime);
    return err < 0 ? err : last_err;
}

const char *service_date(struct service *service)
{
    time_t now = time(NULL);
    if (now != service->date_time || service->date[0] == '\0') {
        service->date_time = now;
        date_format(now, service->date);
    }
    return service->date;
}
