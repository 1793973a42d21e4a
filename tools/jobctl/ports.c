/* ports.c — what waits where: each direction of each channel, with its limits and who receives. */
#include <inttypes.h>
#include <stdio.h>

#include "commands.h"
#include "json.h"
#include "table.h"
#include "text.h"

static void print_row(struct table_text *table, const struct report *report, const struct snapshot *snapshot,
                      const struct reader_queue *queue)
{
    const struct reader_thread *receiver = reader_find_thread(snapshot, queue->receiver);
    uint64_t now = report->target.now_ns;
    text_figure figure;
    table_cell(table, "%s", queue->name);
    report_thread_cells(table, receiver);
    table_cell(table, "%s", queue->is_closed ? "closed" : "open");
    table_cell(table, "%" PRIu64, queue->waiting);
    table_cell(table, "%" PRIu32, queue->limit_messages);
    table_cell(table, "%s", text_bytes(queue->waiting_bytes, figure));
    table_cell(table, "%s", text_bytes(queue->limit_bytes, figure));
    table_cell(table, "%" PRIu64, queue->taken);
    report_message_cell(table, queue, now);
    table_cell(table, "%s", text_duration(time_since(queue->opened_ns, now), figure));
}

/* Queues of subscribers are topics.c's. */
static bool has_channels(const struct snapshot *snapshot)
{
    size_t i = 0;
    while (i < snapshot->queue_count && snapshot->queues[i].is_subscriber)
        i++;
    return i < snapshot->queue_count;
}

static bool ports_print_text(const struct report *report)
{
    static const char *const headings[] = {"CHANNEL", "RECEIVER", ">TID",   "STATE",     ">WAITING", ">LIMIT",
                                           ">BYTES",  ">LIMIT",   ">TAKEN", ">MESSAGE", ">AGE",     NULL};
    bool is_any = false;
    for (unsigned i = 0; i < report->runtime_count; i++) {
        const struct snapshot *snapshot = &report->runtimes[i].segment->snapshot;
        struct table_text table;
        if (!has_channels(snapshot))
            continue;
        table_open(&table, headings);
        for (size_t j = 0; j < snapshot->queue_count; j++) {
            if (!snapshot->queues[j].is_subscriber)
                print_row(&table, report, snapshot, &snapshot->queues[j]);
        }
        if (is_any)
            (void)putchar('\n');
        is_any = true;
        if (!table_print(&table, "", stdout))
            return false;
    }
    if (!is_any)
        (void)puts("no channels");
    return true;
}

static void write_row(struct json *json, const struct snapshot *snapshot, const struct reader_queue *queue,
                      uint64_t now)
{
    const struct reader_thread *receiver = reader_find_thread(snapshot, queue->receiver);
    json_open(json, NULL, '{');
    json_text(json, "channel", queue->name);
    report_write_thread(json, "receiver", receiver);
    json_text(json, "state", queue->is_closed ? "closed" : "open");
    json_number(json, "waiting_messages", queue->waiting);
    json_number(json, "limit_messages", queue->limit_messages);
    json_number(json, "waiting_bytes", queue->waiting_bytes);
    json_number(json, "limit_bytes", queue->limit_bytes);
    json_number(json, "taken", queue->taken);
    report_write_message(json, queue, now);
    json_number(json, "opened_ns", queue->opened_ns);
    json_close(json, '}');
}

static void write_rows(struct json *json, const struct report *report, const struct report_runtime *runtime)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    for (size_t i = 0; i < snapshot->queue_count; i++) {
        if (!snapshot->queues[i].is_subscriber)
            write_row(json, snapshot, &snapshot->queues[i], report->target.now_ns);
    }
}

static void ports_print_json(const struct report *report)
{
    report_print_list(report, "queues", write_rows);
}

const struct view view_ports = {ports_print_text, ports_print_json};
