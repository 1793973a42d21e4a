/* stat_text.c — a report for people: what stands out first, then memory, threads, counters.
 *
 * Counters are summed up by group: each loop name, and each pool (the threads of a pool are called name/0, name/1 …).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "pools.h"
#include "stats/line.h"
#include "table.h"
#include "text.h"

enum { GROUPS_MAX = 6 };   /* columns of the table of counters: more do not fit into a line */

static void print_feature_list(const struct snapshot *snapshot, const char *title, uint32_t bits)
{
    const char *separator = title;
    for (unsigned i = 0; i < snapshot->feature_count; i++) {
        if (bits >> i & 1) {
            (void)printf("%s%s", separator, snapshot->features[i]);
            separator = ", ";
        }
    }
    if (separator != title)
        (void)putchar('\n');
}

static void print_head(const struct report *report, const struct report_runtime *runtime)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    const struct process *process = &report->target.process;
    text_figure uptime;
    (void)text_duration(time_since(snapshot->opened_ns, report->target.now_ns), uptime);
    (void)printf("%s: process %d (%s), %s, %u threads; open for %s; libjob %s, layout %u.%u\n", snapshot->name,
                 (int)report->target.pid, process->name, process_state_name(process->state), process->threads, uptime,
                 snapshot->version, snapshot->major, snapshot->minor);
    (void)printf("tasks of loops        %" PRIu64 " in flight, %" PRIu64 " running, %" PRIu64 " refused\n",
                 runtime->tasks.in_flight, runtime->tasks.running, runtime->tasks.refused);
    uint32_t on = snapshot->available & ~snapshot->disabled;
    print_feature_list(snapshot, "features on           ", on);
    print_feature_list(snapshot, "turned off            ", snapshot->disabled);
    print_feature_list(snapshot, "not had or not probed ", ~snapshot->available & ~snapshot->disabled);
}

static bool print_arenas(const struct snapshot *snapshot)
{
    static const char *const headings[] = {"ARENA", ">USED", ">COMMITTED", ">LIMIT", ">HELD BY RINGS", ">STARVED", ">REFUSED", NULL};
    struct table_text table;
    text_figure used, committed, limit, held;
    table_open(&table, headings);
    for (size_t i = 0; i < snapshot->arena_count; i++) {
        const struct reader_arena *arena = &snapshot->arenas[i];
        table_cell(&table, "%s", arena->name);
        table_cell(&table, "%s", text_bytes(arena->used_bytes, used));
        table_cell(&table, "%s", text_bytes(arena->committed_bytes, committed));
        table_cell(&table, "%s", text_bytes(arena->limit_bytes, limit));
        table_cell(&table, "%s", text_bytes(arena->held_bytes, held));
        table_cell(&table, "%" PRIu64, arena->starved);
        table_cell(&table, "%" PRIu64, arena->failed);
    }
    (void)putchar('\n');
    return table_print(&table, "", stdout);
}

static void function_cell(struct table_text *table, const char *before, const struct symbol *function)
{
    if (function->name[0])
        table_cell(table, "%s%s() in %s", before, function->name, function->module);
    else if (function->module[0])
        table_cell(table, "%s%s+0x%" PRIx64, before, function->module, function->offset);
    else
        table_cell(table, "%s0x%" PRIx64, before, function->address);
}

static void doing_cell(struct table_text *table, const struct report_thread *thread)
{
    char before[64];
    (void)snprintf(before, sizeof before, "waits: %s, in ", thread->line->wait);
    if (thread->doing == REPORT_BETWEEN)
        table_cell(table, "looks for work");
    else if (thread->doing == REPORT_RUNS)
        function_cell(table, "runs ", &thread->function);
    else if (thread->function.address)
        function_cell(table, before, &thread->function);
    else
        table_cell(table, "waits: %s", thread->line->wait);
}

static void kernel_cells(struct table_text *table, const struct report_thread *thread)
{
    text_figure cpu;
    if (!thread->has_kernel) {
        table_cell(table, "-");
        table_cell(table, "-");
        return;
    }
    const char *state = process_state_name(thread->kernel.state), *wchan = thread->kernel.wchan;
    table_cell(table, "%s", text_duration(thread->kernel.cpu_ns, cpu));
    if (wchan[0] && thread->kernel.state != 'R')
        table_cell(table, "%s in %s", state, wchan);
    else
        table_cell(table, "%s", state);
}

static bool print_threads(const struct report_runtime *runtime)
{
    static const char *const headings[] = {">TID", "KIND", "NAME", "DOES", ">FOR", ">CPU USED", "KERNEL SAYS", NULL};
    struct table_text table;
    text_figure duration;
    table_open(&table, headings);
    for (size_t i = 0; i < runtime->segment->snapshot.thread_count; i++) {
        const struct report_thread *thread = &runtime->threads[i];
        table_cell(&table, "%u", thread->line->tid);
        table_cell(&table, "%s", thread->line->kind);
        table_cell(&table, "%s", thread->line->name);
        doing_cell(&table, thread);
        table_cell(&table, "%s", thread->doing == REPORT_BETWEEN ? "-" : text_duration(thread->for_ns, duration));
        kernel_cells(&table, thread);
    }
    (void)putchar('\n');
    return table_print(&table, "", stdout);
}

struct group {
    uint32_t kind;
    reader_name name;
    unsigned threads;
    uint64_t sums[READER_COUNTERS_MAX], rates[READER_COUNTERS_MAX];
};

static bool is_maximum(const char *counter)
{
    return strncmp(counter, "longest_", 8) == 0;
}

static bool is_duration(const char *counter)
{
    size_t len = strlen(counter);
    return len > 3 && strcmp(counter + len - 3, "_ns") == 0;
}

/* The group's name: of a pool thread, what is before the slash. */
static void group_name(const struct reader_thread *line, reader_name name)
{
    memcpy(name, line->name, sizeof(reader_name));
    char *slash = line->kind_number == LINE_POOL_THREAD ? strrchr(name, '/') : NULL;
    if (slash)
        *slash = '\0';
}

static struct group *find_group(struct group *groups, unsigned *count, const struct reader_thread *line)
{
    reader_name name;
    group_name(line, name);
    for (unsigned i = 0; i < *count; i++) {
        if (groups[i].kind == line->kind_number && strcmp(groups[i].name, name) == 0)
            return &groups[i];
    }
    if (*count == GROUPS_MAX)
        return NULL;
    struct group *group = &groups[(*count)++];
    group->kind = line->kind_number;
    memcpy(group->name, name, sizeof name);
    return group;
}

static void add_to_group(const struct report *report, const struct snapshot *snapshot,
                         const struct report_thread *thread, struct group *group)
{
    uint64_t rate;
    group->threads++;
    for (unsigned i = 0; i < snapshot->counter_count; i++) {
        uint64_t value = thread->line->counters[i], *sum = &group->sums[i];
        *sum = !is_maximum(snapshot->counters[i]) ? *sum + value : value > *sum ? value : *sum;
        if (report_rate(report, thread, i, &rate))
            group->rates[i] += rate;
    }
}

static void counter_row(struct table_text *table, const struct report *report, const char *counter, unsigned index,
                        const struct group *groups, unsigned count)
{
    bool is_any = false;
    text_figure duration;
    for (unsigned i = 0; i < count; i++)
        is_any = is_any || groups[i].sums[index] > 0;
    if (!is_any)
        return;
    table_cell(table, "%s", counter);
    for (unsigned i = 0; i < count; i++) {
        uint64_t sum = groups[i].sums[index];
        if (is_duration(counter))
            table_cell(table, "%s", text_duration(sum, duration));
        else
            table_cell(table, "%" PRIu64, sum);
        if (report->interval_ns && is_maximum(counter))
            table_cell(table, "-");
        else if (report->interval_ns)
            table_cell(table, "%" PRIu64 "/s", groups[i].rates[index]);
    }
}

static void open_counter_table(struct table_text *table, const struct report *report, const struct group *groups,
                               unsigned count)
{
    const char *headings[2 * GROUPS_MAX + 2] = {"COUNTER"};
    char titles[GROUPS_MAX][READER_NAME_BYTES + 32];
    unsigned columns = 1;
    for (unsigned i = 0; i < count; i++) {
        const struct group *group = &groups[i];
        if (group->threads > 1)
            (void)snprintf(titles[i], sizeof titles[i], ">%s (%u)", group->name, group->threads);
        else
            (void)snprintf(titles[i], sizeof titles[i], ">%s", group->name);
        headings[columns++] = titles[i];
        if (report->interval_ns)
            headings[columns++] = ">";
    }
    table_open(table, headings);
}

static bool print_counters(const struct report *report, const struct report_runtime *runtime)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    struct group *groups = calloc(GROUPS_MAX, sizeof *groups);
    unsigned count = 0, left_out = 0;
    if (!groups)
        return false;
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        struct group *group = find_group(groups, &count, runtime->threads[i].line);
        if (group)
            add_to_group(report, snapshot, &runtime->threads[i], group);
        else
            left_out++;
    }
    struct table_text table;
    open_counter_table(&table, report, groups, count);
    for (unsigned i = 0; i < snapshot->counter_count; i++)
        counter_row(&table, report, snapshot->counters[i], i, groups, count);
    free(groups);
    (void)putchar('\n');
    bool is_printed = table_print(&table, "", stdout);
    if (left_out)
        (void)printf("counters of %u more threads: --json\n", left_out);
    return is_printed;
}

void report_thread_cells(struct table_text *table, const struct reader_thread *thread)
{
    table_cell(table, "%s", thread ? thread->name : "-");
    table_number_if(table, thread != NULL, thread ? thread->tid : 0);
}

void report_message_cell(struct table_text *table, const struct reader_queue *queue, uint64_t now_ns)
{
    text_figure ago;
    if (queue && queue->taken_ns != 0)
        table_cell(table, "%s ago", text_duration(time_since(queue->taken_ns, now_ns), ago));
    else
        table_cell(table, "-");
}

bool stat_print_text(const struct report *report)
{
    bool is_printed = true;
    for (unsigned i = 0; i < report->problem_count; i++)
        (void)printf("! %s\n", report->problems[i].text);
    if (report->problem_count)
        (void)putchar('\n');
    for (unsigned i = 0; is_printed && i < report->runtime_count; i++) {
        const struct report_runtime *runtime = &report->runtimes[i];
        if (i > 0)
            (void)fputs("\n\n", stdout);
        print_head(report, runtime);
        is_printed = print_arenas(&runtime->segment->snapshot) && pools_print(report, runtime) &&
                     print_threads(runtime) && print_counters(report, runtime);
    }
    return is_printed;
}
