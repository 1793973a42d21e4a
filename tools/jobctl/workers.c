/* workers.c — who works: the workers of a process, each with its thread, its memory and its queue. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "json.h"
#include "stats/line.h"
#include "table.h"
#include "text.h"

/* One worker with what the other tables know of it; NULL: they do not. */
struct row {
    const struct reader_worker *worker;
    const struct report_thread *thread;
    const struct reader_arena *arena;
    const struct reader_queue *queue;
    uint64_t age_ns;
    bool has_busy;
    double busy;                  /* share of the time in which its loop was not asleep */
};

/* A thread's record may have become another's since the worker's was copied: the name tells them apart. */
static const struct report_thread *thread_of(const struct report_runtime *runtime, const struct reader_worker *worker)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        const struct reader_thread *line = &snapshot->threads[i];
        if (line->record == worker->thread && strcmp(line->name, worker->name) == 0)
            return &runtime->threads[i];
    }
    return NULL;
}

static uint64_t idle_ns(const struct snapshot *snapshot, const struct reader_thread *line, uint64_t now_ns)
{
    uint64_t idle = 0;
    for (unsigned i = 0; i < snapshot->counter_count; i++) {
        if (strcmp(snapshot->counters[i], "idle_ns") == 0)
            idle = line->counters[i];
    }
    bool is_loops = line->wait_number == JOB_WAIT_KERNEL || line->wait_number == JOB_WAIT_DRAIN;
    bool is_asleep = is_loops && line->since_ns < now_ns;
    return is_asleep ? idle + (now_ns - line->since_ns) : idle;   /* with the sleep that has not ended */
}

/* Since the look before, or since it lives. */
static void find_busy(const struct report *report, const struct snapshot *snapshot, struct row *row)
{
    const struct reader_thread *line = row->thread->line, *before = row->thread->before;
    uint64_t now = report->target.now_ns, idle = idle_ns(snapshot, line, now), from = line->started_ns;
    if (before) {
        from = report->before.now_ns;
        uint64_t idle_before = idle_ns(snapshot, before, from);
        idle = idle > idle_before ? idle - idle_before : 0;
    }
    if (now <= from)
        return;
    double share = 1 - (double)idle / (double)(now - from);
    row->has_busy = true;
    row->busy = share < 0 ? 0 : share;   /* the words are not of one moment */
}

static void join(const struct report *report, const struct report_runtime *runtime, const struct reader_worker *worker,
                 struct row *row)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    *row = (struct row){.worker = worker, .thread = thread_of(runtime, worker)};
    row->age_ns = time_since(worker->opened_ns, report->target.now_ns);
    for (size_t i = 0; i < snapshot->arena_count; i++) {
        if (snapshot->arenas[i].record == worker->arena)
            row->arena = &snapshot->arenas[i];
    }
    for (size_t i = 0; i < snapshot->queue_count; i++) {
        if (snapshot->queues[i].record == worker->queue && strcmp(snapshot->queues[i].name, worker->name) == 0)
            row->queue = &snapshot->queues[i];
    }
    if (row->thread)
        find_busy(report, snapshot, row);
}

static void print_row(struct table_text *table, const struct row *row, uint64_t now_ns)
{
    const struct reader_worker *worker = row->worker;
    text_figure figure;
    table_cell(table, "%" PRIu64, worker->id);
    table_cell(table, "%s", worker->name);
    table_number_if(table, worker->parent != 0, worker->parent);
    table_number_if(table, row->thread != NULL, row->thread ? row->thread->line->tid : 0);
    table_cell(table, "%s", worker->state);
    table_cell(table, "%s", text_duration(row->age_ns, figure));
    if (row->has_busy)
        table_cell(table, "%.1f %%", row->busy * 100);
    else
        table_cell(table, "-");
    bool is_hidden = worker->arena != 0;   /* its record, if it has one, may be another's by now as well */
    table_cell(table, "%s", row->arena ? text_bytes(row->arena->used_bytes, figure) : is_hidden ? "?" : "shared");
    table_cell(table, "%s", row->arena ? text_bytes(row->arena->limit_bytes, figure) : is_hidden ? "?" : "-");
    if (row->queue)
        table_cell(table, "%" PRIu64 " of %" PRIu32, row->queue->waiting, row->queue->limit_messages);
    else
        table_cell(table, "-");
    report_message_cell(table, row->queue, now_ns);
}

static bool workers_print_text(const struct report *report)
{
    static const char *const headings[] = {">ID",   "NAME",     ">PARENT", ">TID",     "STATE", ">AGE", ">BUSY",
                                           ">MEMORY", ">LIMIT", ">WAITING", ">MESSAGE", NULL};
    bool is_any = false;
    for (unsigned i = 0; i < report->problem_count; i++)
        (void)printf("! %s\n", report->problems[i].text);
    for (unsigned i = 0; i < report->runtime_count; i++) {
        const struct report_runtime *runtime = &report->runtimes[i];
        const struct snapshot *snapshot = &runtime->segment->snapshot;
        struct table_text table;
        if (snapshot->worker_count == 0)
            continue;
        table_open(&table, headings);
        for (size_t j = 0; j < snapshot->worker_count; j++) {
            struct row row;
            join(report, runtime, &snapshot->workers[j], &row);
            print_row(&table, &row, report->target.now_ns);
        }
        if (is_any || report->problem_count)
            (void)putchar('\n');
        is_any = true;
        if (!table_print(&table, "", stdout))
            return false;
    }
    if (!is_any)
        (void)puts("no workers");
    return true;
}

static void write_row(struct json *json, const struct row *row, uint64_t now_ns)
{
    const struct reader_worker *worker = row->worker;
    const struct reader_queue *queue = row->queue;
    json_open(json, NULL, '{');
    json_number(json, "id", worker->id);
    json_text(json, "name", worker->name);
    json_number_if(json, "parent", worker->parent != 0, worker->parent);
    json_number_if(json, "tid", row->thread != NULL, row->thread ? row->thread->line->tid : 0);
    json_text(json, "state", worker->state);
    json_number(json, "opened_ns", worker->opened_ns);
    json_seconds(json, "age_s", row->age_ns);
    if (row->has_busy)
        json_share(json, "busy", row->busy);
    else
        json_null(json, "busy");
    json_text(json, "arena", row->arena ? "own" : worker->arena != 0 ? "hidden" : "shared");
    json_number_if(json, "memory_used_bytes", row->arena != NULL, row->arena ? row->arena->used_bytes : 0);
    json_number_if(json, "memory_limit_bytes", row->arena != NULL, row->arena ? row->arena->limit_bytes : 0);
    json_number_if(json, "queued_messages", queue != NULL, queue ? queue->waiting : 0);
    json_number_if(json, "queue_limit_messages", queue != NULL, queue ? queue->limit_messages : 0);
    json_number_if(json, "queued_bytes", queue != NULL, queue ? queue->waiting_bytes : 0);
    json_number_if(json, "queue_limit_bytes", queue != NULL, queue ? queue->limit_bytes : 0);
    json_number_if(json, "messages", queue != NULL, queue ? queue->taken : 0);
    report_write_message(json, queue, now_ns);
    json_close(json, '}');
}

static void write_rows(struct json *json, const struct report *report, const struct report_runtime *runtime)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    for (size_t i = 0; i < snapshot->worker_count; i++) {
        struct row row;
        join(report, runtime, &snapshot->workers[i], &row);
        write_row(json, &row, report->target.now_ns);
    }
}

static void workers_print_json(const struct report *report)
{
    report_print_list(report, "workers", write_rows);
}

const struct view view_workers = {workers_print_text, workers_print_json};
