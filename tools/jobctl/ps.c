/* ps.c — looks at every process in /proc, and leaves out those that are none of libjob's or none of the caller's. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "json.h"
#include "stats/line.h"
#include "table.h"
#include "text.h"

struct row {
    const struct target *target;
    const struct snapshot *snapshot;
    uint64_t uptime_ns;
    unsigned loops, workers;
    uint64_t used_bytes, limit_bytes;   /* sums of its arenas */
};

struct list_of {
    bool is_json;
    struct json json;
    struct table_text table;
    unsigned denied;
};

static void sum_up(const struct target *target, const struct snapshot *snapshot, struct row *row)
{
    *row = (struct row){.target = target, .snapshot = snapshot};
    row->uptime_ns = time_since(snapshot->opened_ns, target->now_ns);
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        row->loops += snapshot->threads[i].kind_number == LINE_LOOP;
        row->workers += snapshot->threads[i].kind_number == LINE_POOL_THREAD;
    }
    for (size_t i = 0; i < snapshot->arena_count; i++) {
        row->used_bytes += snapshot->arenas[i].used_bytes;
        row->limit_bytes += snapshot->arenas[i].limit_bytes;
    }
}

static void print_row(struct table_text *table, const struct row *row)
{
    text_figure uptime, used, limit;
    table_cell(table, "%d", (int)row->target->pid);
    table_cell(table, "%s", row->snapshot->name);
    table_cell(table, "%s", process_state_name(row->target->process.state));
    table_cell(table, "%s", text_duration(row->uptime_ns, uptime));
    table_cell(table, "%u", row->target->process.threads);
    table_cell(table, "%u", row->loops);
    table_cell(table, "%u", row->workers);
    table_cell(table, "%s", text_bytes(row->used_bytes, used));
    table_cell(table, "%s", text_bytes(row->limit_bytes, limit));
    table_cell(table, "%s", row->snapshot->version);
}

static void write_row(struct json *json, const struct row *row)
{
    json_open(json, NULL, '{');
    json_number(json, "pid", (uint64_t)row->target->pid);
    json_text(json, "name", row->snapshot->name);
    json_text(json, "command", row->target->process.name);
    json_text(json, "state", process_state_name(row->target->process.state));
    json_seconds(json, "uptime_s", row->uptime_ns);
    json_number(json, "threads", row->target->process.threads);
    json_number(json, "loops", row->loops);
    json_number(json, "workers", row->workers);
    json_number(json, "memory_used_bytes", row->used_bytes);
    json_number(json, "memory_limit_bytes", row->limit_bytes);
    json_text(json, "version", row->snapshot->version);
    json_close(json, '}');
}

/* A layout that is not known here still has a line: it is there. */
static void show_unknown(struct list_of *list, const struct target *target, const struct snapshot *snapshot)
{
    if (list->is_json)
        return;   /* its keys promise figures */
    table_cell(&list->table, "%d", (int)target->pid);
    table_cell(&list->table, "%s", target->process.name);
    table_cell(&list->table, "%s", process_state_name(target->process.state));
    for (unsigned i = 3; i < list->table.columns - 1; i++)
        table_cell(&list->table, "-");
    table_cell(&list->table, "layout %u.%u", snapshot->major, snapshot->minor);
}

static void show_process(struct list_of *list, pid_t pid)
{
    struct target target;
    int err = target_read(pid, &target);
    list->denied += err == -EACCES || err == -EPERM;
    for (unsigned i = 0; err == 0 && i < target.count; i++) {
        const struct target_segment *segment = &target.segments[i];
        struct row row;
        if (segment->result == READER_VERSION)
            show_unknown(list, &target, &segment->snapshot);
        if (segment->result != READER_OK || segment->is_inherited)
            continue;
        sum_up(&target, &segment->snapshot, &row);
        if (list->is_json)
            write_row(&list->json, &row);
        else
            print_row(&list->table, &row);
    }
    target_free(&target);
}

static void begin(struct list_of *list)
{
    static const char *const headings[] = {">PID",      "NAME",    "STATE",        ">UPTIME", ">THREADS", ">LOOPS",
                                           ">WORKERS", ">MEMORY", ">LIMIT", "VERSION", NULL};
    list->json.file = stdout;
    if (!list->is_json) {
        table_open(&list->table, headings);
        return;
    }
    json_open(&list->json, NULL, '{');
    json_open(&list->json, "processes", '[');
}

static bool end(struct list_of *list)
{
    if (list->is_json) {
        json_close(&list->json, ']');
        json_number(&list->json, "denied", list->denied);
        json_close(&list->json, '}');
        (void)fputc('\n', stdout);   /* errors of stdout: at the end of main */
        return true;
    }
    bool is_printed = table_print(&list->table, "", stdout);
    if (list->denied)
        (void)fprintf(stderr, "jobctl: %u processes of others were not looked at: the kernel does not permit it\n", list->denied);
    return is_printed;
}

int command_ps(bool is_json)
{
    struct list_of list = {.is_json = is_json};
    DIR *directory = opendir("/proc");
    if (!directory) {
        (void)fprintf(stderr, "jobctl: /proc: %s\n", strerror(errno));
        return EXIT_NO_TARGET;
    }
    begin(&list);
    struct dirent *entry;
    while ((entry = readdir(directory))) {
        char *rest;
        long pid = strtol(entry->d_name, &rest, 10);
        if (pid > 0 && pid <= INT32_MAX && !*rest)
            show_process(&list, (pid_t)pid);
    }
    (void)closedir(directory);
    if (end(&list))
        return EXIT_OK;
    (void)fputs("jobctl: no memory\n", stderr);
    return EXIT_NO_TARGET;
}
