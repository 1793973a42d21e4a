/* stats.c — GET /stats: what the service counts and what the library counts of it, as OpenMetrics text. */
#include "routes.h"

#include <stdarg.h>
#include <stdio.h>

enum { STATS_ROOM = 8192 };

struct page {
    char *at;
    size_t len, room;
};

__attribute__((format(printf, 2, 3))) static void print(struct page *page, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(page->at + page->len, page->room - page->len, format, list);
    va_end(list);
    if (n > 0 && (size_t)n < page->room - page->len)
        page->len += (size_t)n;   /* else it does not fit: the room is more than all lines need at their longest */
}

static void gauge(struct page *page, const char *name, uint64_t value)
{
    print(page, "# TYPE gzserve_%s gauge\ngzserve_%s %llu\n", name, name, (unsigned long long)value);
}

static void counter(struct page *page, const char *name, uint64_t value)
{
    print(page, "# TYPE gzserve_%s counter\ngzserve_%s_total %llu\n", name, name, (unsigned long long)value);
}

static void print_service(struct page *page, const struct service *service)
{
    const struct service_counts *counts = &service->counts;
    counter(page, "connections", counts->connections);
    counter(page, "connections_refused", counts->refused_connections);
    gauge(page, "connections_open", service->conn_count);
    print(page, "# TYPE gzserve_answers counter\n");
    for (unsigned class = 2; class < 6; class++)
        print(page, "gzserve_answers_total{status=\"%uxx\"} %llu\n", class, (unsigned long long)counts->answers[class]);
    counter(page, "answers_cut_off", counts->resets);
    gauge(page, "body_bytes", service->body_bytes);
    counter(page, "file_hits", counts->file_hits);
    counter(page, "file_misses", counts->file_misses);
    gauge(page, "file_cache_bytes", service->files.bytes);
    gauge(page, "file_cache_files", service->files.count);
    gauge(page, "files_open", service->files.open_count);
}

static void print_library(struct page *page, const struct service *service)
{
    struct job_loop_stats loop;
    struct job_pool_stats pool;
    struct job_arena_stats arena;
    struct job_counts counts;
    job_loop_stats(service->loop, &loop);
    job_pool_stats(service->pool, &pool);
    job_arena_stats(job_runtime_arena(service->runtime), &arena);
    job_runtime_counts(service->runtime, &counts);
    counter(page, "loop_turns", loop.turns);
    counter(page, "loop_sleeps", loop.waits);
    gauge(page, "loop_longest_callback_nanoseconds", loop.longest_callback_ns);
    counter(page, "loop_starved", loop.starved);
    gauge(page, "pool_workers", pool.workers);
    counter(page, "pool_tasks", pool.submitted);
    counter(page, "pool_tasks_run", pool.run);
    counter(page, "pool_tasks_cancelled", pool.cancelled);
    counter(page, "pool_tasks_refused", pool.refused);
    gauge(page, "pool_tasks_open", counts.tasks);
    gauge(page, "memory_limit_bytes", arena.limit_bytes);
    gauge(page, "memory_committed_bytes", arena.committed_bytes);
    gauge(page, "memory_used_bytes", arena.used_bytes);
    gauge(page, "bufs", counts.bufs);
    gauge(page, "descriptors", counts.fds);
}

void serve_stats(struct exchange *exchange)
{
    struct job_buf *body = NULL;
    struct page page = {0};
    if (job_buf_alloc(job_runtime_arena(exchange->service->runtime), STATS_ROOM, NULL, &body) < 0) {
        exchange_refuse(exchange, 503);
        return;
    }
    page.at = job_buf_room(body, &page.room);
    print_service(&page, exchange->service);
    print_library(&page, exchange->service);
    print(&page, "# EOF\n");
    (void)job_buf_extend(body, page.len);   /* not more than the room */
    exchange_answer_buf(exchange, 200, "application/openmetrics-text; version=1.0.0; charset=utf-8", page.len, &body);
}
