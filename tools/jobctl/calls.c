/* calls.c — who waits for whose answer: each end on which calls are made and answered. */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "json.h"
#include "table.h"
#include "text.h"

static void print_row(struct table_text *table, const struct snapshot *snapshot, const struct reader_rpc *rpc,
                      uint64_t now_ns)
{
    const struct reader_thread *thread = reader_find_thread(snapshot, rpc->thread);
    text_figure figure;
    table_cell(table, "%s", rpc->name);
    report_thread_cells(table, thread);
    table_cell(table, "%" PRIu32 " of %" PRIu32, rpc->open, rpc->limit_calls);
    table_cell(table, "%s", rpc->oldest_ns ? text_duration(time_since(rpc->oldest_ns, now_ns), figure) : "-");
    table_cell(table, "%" PRIu64, rpc->calls);
    table_cell(table, "%" PRIu64, rpc->answered);
    table_cell(table, "%" PRIu64, rpc->timed_out);
    table_cell(table, "%" PRIu64, rpc->canceled);
    table_cell(table, "%" PRIu64, rpc->dead);
    table_cell(table, "%" PRIu64, rpc->late);
    table_cell(table, "%" PRIu64, rpc->overdue);
    table_cell(table, "%" PRIu64, rpc->served);
    table_cell(table, "%" PRIu32, rpc->unanswered);
    table_cell(table, "%s", text_duration(time_since(rpc->opened_ns, now_ns), figure));
}

static bool calls_print_text(const struct report *report)
{
    static const char *const headings[] = {"RPC",        "LOOP",      ">TID",   ">OPEN", ">OLDEST",  ">CALLS",  ">ANSWERED", ">TIMED OUT",
                                           ">CANCELED", ">DEAD", ">LATE", ">OVERDUE", ">SERVED", ">OWED", ">AGE", NULL};
    bool is_any = false;
    for (unsigned i = 0; i < report->runtime_count; i++) {
        const struct snapshot *snapshot = &report->runtimes[i].segment->snapshot;
        struct table_text table;
        if (snapshot->rpc_count == 0)
            continue;
        table_open(&table, headings);
        for (size_t j = 0; j < snapshot->rpc_count; j++)
            print_row(&table, snapshot, &snapshot->rpcs[j], report->target.now_ns);
        if (is_any)
            (void)putchar('\n');
        is_any = true;
        if (!table_print(&table, "", stdout))
            return false;
    }
    if (!is_any)
        (void)puts("no calls are made or answered");
    return true;
}

static void write_row(struct json *json, const struct snapshot *snapshot, const struct reader_rpc *rpc, uint64_t now_ns)
{
    const struct reader_thread *thread = reader_find_thread(snapshot, rpc->thread);
    json_open(json, NULL, '{');
    json_text(json, "name", rpc->name);
    report_write_thread(json, "loop", thread);
    json_number(json, "open", rpc->open);
    json_number(json, "limit_open", rpc->limit_calls);
    json_number_if(json, "oldest_ns", rpc->oldest_ns != 0, rpc->oldest_ns);
    json_seconds_if(json, "oldest_s", rpc->oldest_ns != 0, time_since(rpc->oldest_ns, now_ns));
    json_seconds(json, "overdue_after_s", rpc->overdue_ns);
    json_number(json, "calls", rpc->calls);
    json_number(json, "answered", rpc->answered);
    json_number(json, "timed_out", rpc->timed_out);
    json_number(json, "canceled", rpc->canceled);
    json_number(json, "dead", rpc->dead);
    json_number(json, "late", rpc->late);
    json_number(json, "overdue", rpc->overdue);
    json_number(json, "served", rpc->served);
    json_number(json, "unanswered", rpc->unanswered);
    json_number(json, "stray", rpc->stray);
    json_number(json, "opened_ns", rpc->opened_ns);
    json_close(json, '}');
}

static void write_rows(struct json *json, const struct report *report, const struct report_runtime *runtime)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    for (size_t i = 0; i < snapshot->rpc_count; i++)
        write_row(json, snapshot, &snapshot->rpcs[i], report->target.now_ns);
}

static void calls_print_json(const struct report *report)
{
    report_print_list(report, "rpcs", write_rows);
}

const struct view view_calls = {calls_print_text, calls_print_json};
