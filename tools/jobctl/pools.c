/* pools.c — how many tasks wait in each pool, and for how long.
 *
 * Each loop counts what it has submitted to a pool, each thread of the pool what it has begun: the difference of the sums waits. So the
 * figure is right also when nothing moves. How long the last tasks had waited, the threads say; how long the next one will, follows from
 * the queue's length and the rate at which tasks begin, for which it takes two looks.
 */
#include "pools.h"

#include <inttypes.h>

#include "table.h"
#include "text.h"

static const struct report_thread *thread_of(const struct report_runtime *runtime, const struct reader_part *part)
{
    for (size_t i = 0; i < runtime->segment->snapshot.thread_count; i++) {
        if (runtime->threads[i].line->record == part->thread)
            return &runtime->threads[i];
    }
    return NULL;
}

static uint64_t begun_of(const struct snapshot *snapshot, const struct reader_pool *pool)
{
    uint64_t begun = pool->begun;
    for (size_t i = 0; i < snapshot->part_count; i++)
        begun += snapshot->parts[i].pool == pool->record ? snapshot->parts[i].begun : 0;
    return begun;
}

static void add_part(const struct report_runtime *runtime, const struct reader_part *part, struct report_pool *sum)
{
    sum->submitted += part->submitted;
    sum->refused += part->refused;
    sum->begun += part->begun;
    sum->shed += part->shed;
    sum->waited_ns = part->waited_ns > sum->waited_ns ? part->waited_ns : sum->waited_ns;
    if (part->is_loop)
        return;
    const struct report_thread *thread = thread_of(runtime, part);
    sum->threads++;
    sum->running += thread && thread->line->function != 0;
}

static uint64_t wait_at_rate(const struct report_pool *pool)
{
    double seconds = pool->rate ? (double)pool->waiting / (double)pool->rate : 0;
    if (pool->waiting > 0 && pool->rate == 0)
        return UINT64_MAX;
    return seconds < 1e9 ? (uint64_t)(seconds * 1e9) : UINT64_MAX - 1;
}

/* The same pool an interval ago. */
static void find_rate(const struct report *report, const struct report_runtime *runtime, struct report_pool *sum)
{
    for (unsigned i = 0; report->interval_ns >= 1000000 && i < report->before.count; i++) {
        const struct target_segment *segment = &report->before.segments[i];
        if (segment->inode != runtime->segment->inode || segment->result != READER_OK)
            continue;
        for (size_t j = 0; j < segment->snapshot.pool_count; j++) {
            const struct reader_pool *before = &segment->snapshot.pools[j];
            if (before->record != sum->pool->record || before->opened_ns != sum->pool->opened_ns)
                continue;
            uint64_t begun = begun_of(&segment->snapshot, before);
            sum->has_rate = begun <= sum->begun;
            if (!sum->has_rate)
                return;
            sum->rate = (uint64_t)((double)(sum->begun - begun) * 1e9 / (double)report->interval_ns);
            sum->wait_ns = sum->begun > begun && sum->rate == 0 ? UINT64_MAX - 1 : wait_at_rate(sum);
            return;
        }
    }
}

void pools_join(const struct report *report, struct report_runtime *runtime)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    for (size_t i = 0; i < snapshot->pool_count; i++) {
        const struct reader_pool *pool = &snapshot->pools[i];
        if (pool->is_closed)
            continue;
        struct report_pool *sum = &runtime->pools[runtime->pool_count++];
        *sum = (struct report_pool){.pool = pool, .submitted = pool->submitted, .begun = pool->begun};
        sum->shed = pool->shed;
        for (size_t j = 0; j < snapshot->part_count; j++) {
            if (snapshot->parts[j].pool == pool->record)
                add_part(runtime, &snapshot->parts[j], sum);
        }
        sum->is_whole = pool->unseen == 0;
        if (sum->is_whole && sum->submitted > sum->begun)   /* the words are not of one moment */
            sum->waiting = sum->submitted - sum->begun;
        find_rate(report, runtime, sum);
    }
}

static void will_wait_cell(struct table_text *table, const struct report_pool *pool)
{
    text_figure wait;
    if (!pool->has_rate || !pool->is_whole)
        table_cell(table, "-");
    else if (pool->wait_ns == UINT64_MAX)
        table_cell(table, "stands");
    else
        table_cell(table, "%s", text_duration(pool->wait_ns, wait));
}

bool pools_print(const struct report *report, const struct report_runtime *runtime)
{
    const char *rate = report->interval_ns ? ">BEGUN/S" : NULL;
    const char *const headings[] = {"POOL",   ">THREADS", ">RUN",  ">WAIT", ">LIMIT A LOOP",   ">LAST HAD WAITED",
                                    ">BEGUN", ">REFUSED", ">SHED", rate,    ">NEXT WILL WAIT", NULL};
    struct table_text table;
    text_figure waited;
    if (runtime->pool_count == 0)
        return true;
    table_open(&table, headings);
    for (size_t i = 0; i < runtime->pool_count; i++) {
        const struct report_pool *pool = &runtime->pools[i];
        table_cell(&table, "%s", pool->pool->name);
        table_cell(&table, "%u", pool->threads);
        table_cell(&table, "%u", pool->running);
        if (pool->is_whole)
            table_cell(&table, "%" PRIu64, pool->waiting);
        else
            table_cell(&table, "?");
        table_cell(&table, "%u", pool->pool->limit);
        table_cell(&table, "%s", pool->begun ? text_duration(pool->waited_ns, waited) : "-");
        table_cell(&table, "%" PRIu64, pool->begun);
        table_cell(&table, "%" PRIu64, pool->refused);
        table_cell(&table, "%" PRIu64, pool->shed);
        if (!report->interval_ns)
            continue;
        table_number_if(&table, pool->has_rate, pool->rate);
        will_wait_cell(&table, pool);
    }
    (void)putchar('\n');
    return table_print(&table, "", stdout);
}

static void write_loops(struct json *json, const struct report_runtime *runtime, const struct report_pool *pool)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    json_open(json, "loops", '[');
    for (size_t i = 0; i < snapshot->part_count; i++) {
        const struct reader_part *part = &snapshot->parts[i];
        if (part->pool != pool->pool->record || !part->is_loop)
            continue;
        const struct report_thread *thread = thread_of(runtime, part);
        json_open(json, NULL, '{');
        json_text(json, "name", thread ? thread->line->name : NULL);
        json_number(json, "submitted", part->submitted);
        json_number(json, "refused", part->refused);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void write_wait(struct json *json, const struct report *report, const struct report_pool *pool)
{
    json_number_if(json, "shed_target_ns", pool->pool->shed_target_ns != 0, pool->pool->shed_target_ns);
    json_seconds(json, "waited_s", pool->waited_ns);
    if (!report->interval_ns)
        return;
    json_number_if(json, "begun_rate", pool->has_rate, pool->rate);
    json_seconds_if(json, "wait_s", pool->has_rate && pool->is_whole && pool->wait_ns < UINT64_MAX, pool->wait_ns);
}

void pools_write(struct json *json, const struct report *report, const struct report_runtime *runtime)
{
    json_open(json, "pools", '[');
    for (size_t i = 0; i < runtime->pool_count; i++) {
        const struct report_pool *pool = &runtime->pools[i];
        json_open(json, NULL, '{');
        json_text(json, "name", pool->pool->name);
        json_number(json, "opened_ns", pool->pool->opened_ns);
        json_number(json, "workers", pool->pool->workers);
        json_number(json, "threads", pool->threads);
        json_number(json, "running", pool->running);
        json_number_if(json, "waiting", pool->is_whole, pool->waiting);
        json_number(json, "queue_limit", pool->pool->limit);
        json_number(json, "submitted", pool->submitted);
        json_number(json, "begun", pool->begun);
        json_number(json, "refused", pool->refused);
        json_number(json, "shed", pool->shed);
        write_wait(json, report, pool);
        write_loops(json, runtime, pool);
        json_close(json, '}');
    }
    json_close(json, ']');
}
