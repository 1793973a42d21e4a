/* topics.c — who is told what: each topic, and what each of its subscribers has still to hear and has missed.
 *
 * A subscriber's queue names its topic by the number of a record, which may have become another's since. The name, of which the queue has
 * the beginning, tells them apart, and their age: nobody subscribes before there is a topic.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "job/topic.h"
#include "json.h"
#include "table.h"
#include "text.h"

/* What it does when its queue is full. */
static const char *policy_name(uint32_t policy)
{
    static const char *const names[] = {[JOB_TOPIC_DROP_OLDEST] = "drop oldest", [JOB_TOPIC_REFUSE] = "refuse",
                                        [JOB_TOPIC_DISCONNECT] = "disconnect"};
    return policy < sizeof names / sizeof names[0] ? names[policy] : "unknown";
}

static bool listens_to(const struct reader_queue *queue, const struct reader_topic *topic)
{
    bool is_its_record = queue->is_subscriber && queue->topic == topic->record;
    return is_its_record && strcmp(queue->name, topic->cut) == 0 && queue->opened_ns >= topic->opened_ns;
}

static const char *topic_name(const struct snapshot *snapshot, const struct reader_queue *queue)
{
    for (size_t i = 0; i < snapshot->topic_count; i++) {
        if (listens_to(queue, &snapshot->topics[i]))
            return snapshot->topics[i].name;
    }
    return queue->name;
}

static void print_topic(struct table_text *table, const struct reader_topic *topic, uint64_t now_ns)
{
    text_figure figure;
    table_cell(table, "%s", topic->name);
    table_cell(table, "%s", topic->has_ended ? "ended" : "open");
    table_cell(table, "%" PRIu32, topic->subscribers);
    table_cell(table, "%" PRIu64, topic->posts);
    table_cell(table, "%" PRIu64, topic->reached);
    table_cell(table, "%" PRIu64, topic->dropped);
    table_cell(table, "%" PRIu64, topic->refused);
    table_cell(table, "%" PRIu64, topic->disconnected);
    table_cell(table, "%s", text_duration(time_since(topic->opened_ns, now_ns), figure));
}

static void print_subscriber(struct table_text *table, const struct snapshot *snapshot,
                             const struct reader_queue *queue, uint64_t now_ns)
{
    const struct reader_thread *thread = reader_find_thread(snapshot, queue->receiver);
    text_figure figure;
    table_cell(table, "%s", topic_name(snapshot, queue));
    report_thread_cells(table, thread);
    table_cell(table, "%s", policy_name(queue->policy));
    table_cell(table, "%" PRIu64 " of %" PRIu32, queue->waiting, queue->limit_messages);
    table_cell(table, "%s", text_bytes(queue->waiting_bytes, figure));
    table_cell(table, "%s", text_bytes(queue->limit_bytes, figure));
    table_cell(table, "%" PRIu64, queue->taken);
    table_cell(table, "%" PRIu64, queue->dropped);
    table_cell(table, "%" PRIu64, queue->refused);
    report_message_cell(table, queue, now_ns);
    table_cell(table, "%s", text_duration(time_since(queue->opened_ns, now_ns), figure));
}

static bool print_topics(const struct snapshot *snapshot, uint64_t now_ns)
{
    static const char *const headings[] = {"TOPIC",    "STATE",    ">LISTEN",       ">POSTS", ">REACHED",
                                           ">DROPPED", ">REFUSED", ">DISCONNECTED", ">AGE",   NULL};
    struct table_text table;
    table_open(&table, headings);
    for (size_t i = 0; i < snapshot->topic_count; i++)
        print_topic(&table, &snapshot->topics[i], now_ns);
    return table_print(&table, "", stdout);
}

static bool has_subscribers(const struct snapshot *snapshot)
{
    size_t i = 0;
    while (i < snapshot->queue_count && !snapshot->queues[i].is_subscriber)
        i++;
    return i < snapshot->queue_count;
}

/* The slow one of many is what one looks for. */
static bool print_subscribers(const struct snapshot *snapshot, uint64_t now_ns)
{
    static const char *const headings[] = {"SUBSCRIBER TO", "LOOP",     ">TID",     "WHEN FULL", ">WAITING", ">BYTES", ">LIMIT",
                                           ">TAKEN",        ">DROPPED", ">REFUSED", ">MESSAGE",  ">AGE",     NULL};
    struct table_text table;
    if (!has_subscribers(snapshot))
        return true;
    table_open(&table, headings);
    for (size_t i = 0; i < snapshot->queue_count; i++) {
        if (snapshot->queues[i].is_subscriber)
            print_subscriber(&table, snapshot, &snapshot->queues[i], now_ns);
    }
    (void)putchar('\n');
    return table_print(&table, "", stdout);
}

static bool topics_print_text(const struct report *report)
{
    bool is_any = false;
    for (unsigned i = 0; i < report->runtime_count; i++) {
        const struct snapshot *snapshot = &report->runtimes[i].segment->snapshot;
        if (snapshot->topic_count == 0)
            continue;
        if (is_any)
            (void)putchar('\n');
        is_any = true;
        if (!print_topics(snapshot, report->target.now_ns) || !print_subscribers(snapshot, report->target.now_ns))
            return false;
    }
    if (!is_any)
        (void)puts("no topics");
    return true;
}

static void write_subscriber(struct json *json, const struct snapshot *snapshot, const struct reader_queue *queue,
                             uint64_t now_ns)
{
    const struct reader_thread *thread = reader_find_thread(snapshot, queue->receiver);
    json_open(json, NULL, '{');
    report_write_thread(json, "loop", thread);
    json_text(json, "policy", policy_name(queue->policy));
    json_number(json, "waiting_messages", queue->waiting);
    json_number(json, "limit_messages", queue->limit_messages);
    json_number(json, "waiting_bytes", queue->waiting_bytes);
    json_number(json, "limit_bytes", queue->limit_bytes);
    json_number(json, "taken", queue->taken);
    json_number(json, "dropped", queue->dropped);
    json_number(json, "refused", queue->refused);
    report_write_message(json, queue, now_ns);
    json_number(json, "opened_ns", queue->opened_ns);
    json_close(json, '}');
}

static void write_topic(struct json *json, const struct snapshot *snapshot, const struct reader_topic *topic,
                        uint64_t now_ns)
{
    json_open(json, NULL, '{');
    json_text(json, "name", topic->name);
    json_text(json, "state", topic->has_ended ? "ended" : "open");
    json_number(json, "posts", topic->posts);
    json_number(json, "reached", topic->reached);
    json_number(json, "dropped", topic->dropped);
    json_number(json, "refused", topic->refused);
    json_number(json, "disconnected", topic->disconnected);
    json_number(json, "opened_ns", topic->opened_ns);
    json_number(json, "listening", topic->subscribers);
    json_open(json, "subscribers", '[');
    for (size_t i = 0; i < snapshot->queue_count; i++) {
        if (listens_to(&snapshot->queues[i], topic))
            write_subscriber(json, snapshot, &snapshot->queues[i], now_ns);
    }
    json_close(json, ']');
    json_close(json, '}');
}

static void write_rows(struct json *json, const struct report *report, const struct report_runtime *runtime)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    for (size_t i = 0; i < snapshot->topic_count; i++)
        write_topic(json, snapshot, &snapshot->topics[i], report->target.now_ns);
}

static void topics_print_json(const struct report *report)
{
    report_print_list(report, "topics", write_rows);
}

const struct view view_topics = {topics_print_text, topics_print_json};
