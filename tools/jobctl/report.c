/* report.c — joins the segment's lines with what /proc says of the same threads, and says what stands out. */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pools.h"
#include "stats/segment.h"
#include "text.h"

static void add_problem(struct report *report, const char *kind, uint32_t tid, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void add_problem(struct report *report, const char *kind, uint32_t tid, const char *format, ...)
{
    if (report->problem_count == REPORT_PROBLEMS_MAX)
        return;
    struct report_problem *problem = &report->problems[report->problem_count++];
    problem->kind = kind;
    problem->tid = tid;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
}

static const struct reader_thread *find_before(const struct report *report, uint64_t inode,
                                               const struct reader_thread *line)
{
    for (unsigned i = 0; i < report->before.count; i++) {
        const struct target_segment *segment = &report->before.segments[i];
        if (segment->inode != inode || segment->result != READER_OK)
            continue;
        for (size_t j = 0; j < segment->snapshot.thread_count; j++) {
            const struct reader_thread *before = &segment->snapshot.threads[j];
            if (before->tid == line->tid && before->started_ns == line->started_ns)
                return before;
        }
    }
    return NULL;
}

/* Many pool threads run the same few functions. A segment that names thousands would have us read symbols for minutes. */
static void name_function(struct report *report, const struct report_runtime *runtime, size_t index)
{
    struct report_thread *thread = &runtime->threads[index];
    thread->function.address = thread->line->function;
    for (size_t i = 0; i < index; i++) {
        if (runtime->threads[i].function.address == thread->line->function) {
            thread->function = runtime->threads[i].function;
            return;
        }
    }
    if (report->named_count++ < REPORT_NAMED_MAX)
        symbol_find(report->target.process.tid, thread->line->function, &report->names, &thread->function);
}

static void join_thread(struct report *report, const struct report_runtime *runtime, size_t index)
{
    const struct target *target = &report->target;
    struct report_thread *thread = &runtime->threads[index];
    const struct reader_thread *line = thread->line = &runtime->segment->snapshot.threads[index];
    thread->doing = line->is_waiting ? REPORT_WAITS : line->function ? REPORT_RUNS : REPORT_BETWEEN;
    if (thread->doing != REPORT_BETWEEN && line->since_ns < target->now_ns)
        thread->for_ns = target->now_ns - line->since_ns;
    thread->before = find_before(report, runtime->segment->inode, line);
    bool is_our_number = target->process.own_pid == (uint32_t)target->pid;
    thread->has_kernel = is_our_number && process_read_thread(target->pid, line->tid, &thread->kernel);
    if (line->function)
        name_function(report, runtime, index);
}

static uint64_t counter_of(const struct snapshot *snapshot, const struct reader_thread *line, const char *name)
{
    for (unsigned i = 0; i < snapshot->counter_count; i++) {
        if (strcmp(snapshot->counters[i], name) == 0)
            return line->counters[i];
    }
    return 0;
}

static void count_tasks(struct report_runtime *runtime)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    uint64_t submitted = 0, done = 0;
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        const struct reader_thread *line = &snapshot->threads[i];
        submitted += counter_of(snapshot, line, "submitted");
        done += counter_of(snapshot, line, "tasks_done");
        runtime->tasks.refused += counter_of(snapshot, line, "refused");
        runtime->tasks.running += line->kind_number == LINE_POOL_THREAD && line->function != 0;
    }
    runtime->tasks.in_flight = submitted > done ? submitted - done : 0;   /* the words are not of one moment */
}

static const char *function_text(const struct symbol *symbol, char *out, size_t room)
{
    if (symbol->name[0])
        (void)snprintf(out, room, "%s()", symbol->name);
    else if (symbol->module[0])
        (void)snprintf(out, room, "%s+0x%llx", symbol->module, (unsigned long long)symbol->offset);
    else
        (void)snprintf(out, room, "the function at 0x%llx", (unsigned long long)symbol->address);
    return out;
}

static const char *kernel_text(const struct report_thread *thread, char *out, size_t room)
{
    if (!thread->has_kernel)
        out[0] = '\0';
    else if (thread->kernel.state == 'R')
        (void)snprintf(out, room, ": it uses the CPU");
    else if (thread->kernel.wchan[0])
        (void)snprintf(out, room, ": it is %s in the kernel, %s", process_state_name(thread->kernel.state),
                       thread->kernel.wchan);
    else
        (void)snprintf(out, room, ": it is %s in the kernel", process_state_name(thread->kernel.state));
    return out;
}

/* A loop that waits for its kernel, or a pool thread without work, does what it should, for however long. */
static void judge_thread(struct report *report, const struct report_thread *thread)
{
    const struct reader_thread *line = thread->line;
    bool is_loop = line->kind_number == LINE_LOOP;
    uint64_t limit_ns = (uint64_t)(is_loop ? REPORT_LOOP_BLOCKED_MS : REPORT_TASK_LONG_MS) * 1000000U;
    char function[160], kernel[160];
    text_figure duration;
    if (!line->function || thread->for_ns < limit_ns)
        return;
    (void)function_text(&thread->function, function, sizeof function);
    (void)kernel_text(thread, kernel, sizeof kernel);
    (void)text_duration(thread->for_ns, duration);
    if (line->is_waiting)
        add_problem(report, is_loop ? "loop_blocked" : "task_long", line->tid, "%s %s (%u): %s has been waiting for %s: %s",
                    line->kind, line->name, line->tid, function, duration, line->wait);
    else
        add_problem(report, is_loop ? "loop_blocked" : "task_long", line->tid, "%s %s (%u)%s: %s has been running for %s%s",
                    line->kind, line->name, line->tid, is_loop ? " is blocked" : "", function, duration, kernel);
}

static void judge_segment(struct report *report, const struct target_segment *segment)
{
    const struct snapshot *snapshot = &segment->snapshot;
    switch (segment->result) {
    case READER_OK:
        if (snapshot->ignored_tables)
            add_problem(report, "tables_ignored", 0, "%u tables of %s do not lie in its segment: not shown",
                        snapshot->ignored_tables, snapshot->name);
        return;
    case READER_VERSION:
        add_problem(report, "other_version", 0, "a runtime has statistics of layout %u.%u, this jobctl reads 1.x: not shown",
                    snapshot->major, snapshot->minor);
        return;
    case READER_UNSAFE:
        add_problem(report, "not_sealed", 0, "something calls itself job.stats but is not sealed, or has no sensible size: "
                                             "not looked at");
        return;
    case READER_NO_SEGMENT:
        add_problem(report, "no_segment", 0, "something calls itself job.stats but does not begin like it: not shown");
        return;
    case READER_DAMAGED:
        add_problem(report, "damaged", 0, "a segment says that it is larger than it is: not shown");
        return;
    case READER_NO_MEMORY:
        add_problem(report, "no_memory", 0, "no memory to read a segment");
        return;
    }
}

static void judge_worker(struct report *report, const struct snapshot *snapshot, const struct reader_worker *worker)
{
    uint32_t tid = 0;
    for (size_t i = 0; i < snapshot->thread_count; i++) {
        if (snapshot->threads[i].record == worker->thread && strcmp(snapshot->threads[i].name, worker->name) == 0)
            tid = snapshot->threads[i].tid;
    }
    if (worker->state_number == STATS_WORKER_STUCK)
        add_problem(report, "worker_stuck", tid, "worker %s (%" PRIu64 ") was asked to stop and has not within its time",
                    worker->name, worker->id);
    if (worker->state_number == STATS_WORKER_LEFT)
        add_problem(report, "worker_left", 0, "worker %s (%" PRIu64 ") has ended; something on its loop has not",
                    worker->name, worker->id);
}

/* Only two looks can tell a pool that stands from one that is busy. */
static void judge_pool(struct report *report, const struct report_pool *pool)
{
    text_figure interval;
    if (pool->has_rate && pool->waiting > 0 && pool->wait_ns == UINT64_MAX)
        add_problem(report, "pool_stands", 0, "pool %s: %" PRIu64 " tasks wait, and none has begun for %s", pool->pool->name,
                    pool->waiting, text_duration(report->interval_ns, interval));
}

/* By its own rule: the library says so in the log, once. */
static void judge_rpc(struct report *report, const struct snapshot *snapshot, const struct reader_rpc *rpc)
{
    uint64_t now = report->target.now_ns;
    const struct reader_thread *thread = reader_find_thread(snapshot, rpc->thread);
    text_figure duration;
    if (rpc->oldest_ns == 0 || now < rpc->oldest_ns || now - rpc->oldest_ns < rpc->overdue_ns)
        return;
    add_problem(report, "call_overdue", thread ? thread->tid : 0, "rpc %s: a call has had no answer for %s; %" PRIu32 " are open",
                rpc->name, text_duration(now - rpc->oldest_ns, duration), rpc->open);
}

static void judge(struct report *report)
{
    const struct process *process = &report->target.process;
    if (process_is_stopped(process))
        add_problem(report, "stopped", 0, "the process is %s: nothing in it moves, while times go on",
                    process_state_name(process->state));
    for (unsigned i = 0; i < report->target.count; i++)
        judge_segment(report, &report->target.segments[i]);
    for (unsigned i = 0; i < report->runtime_count; i++) {
        const struct report_runtime *runtime = &report->runtimes[i];
        for (size_t j = 0; j < runtime->segment->snapshot.thread_count; j++)
            judge_thread(report, &runtime->threads[j]);
        for (size_t j = 0; j < runtime->pool_count; j++)
            judge_pool(report, &runtime->pools[j]);
        for (size_t j = 0; j < runtime->segment->snapshot.worker_count; j++)
            judge_worker(report, &runtime->segment->snapshot, &runtime->segment->snapshot.workers[j]);
        for (size_t j = 0; j < runtime->segment->snapshot.rpc_count; j++)
            judge_rpc(report, &runtime->segment->snapshot, &runtime->segment->snapshot.rpcs[j]);
    }
}

static int join_runtimes(struct report *report)
{
    for (unsigned i = 0; i < report->target.count; i++) {
        const struct target_segment *segment = &report->target.segments[i];
        if (segment->result != READER_OK || segment->is_inherited)
            continue;
        struct report_runtime *runtime = &report->runtimes[report->runtime_count];
        size_t count = segment->snapshot.thread_count;
        runtime->segment = segment;
        runtime->threads = calloc(count + 1, sizeof *runtime->threads);   /* + 1: never of size 0 */
        runtime->pools = calloc(segment->snapshot.pool_count + 1, sizeof *runtime->pools);
        report->runtime_count++;
        if (!runtime->threads || !runtime->pools)
            return -ENOMEM;
        for (size_t j = 0; j < count; j++)
            join_thread(report, runtime, j);
        count_tasks(runtime);
        pools_join(report, runtime);
    }
    return 0;
}

static void wait_ns(uint64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / 1000000000U), .tv_nsec = (long)(ns % 1000000000U)};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

int report_open(pid_t pid, uint64_t interval_ns, struct report *report)
{
    *report = (struct report){.names.reads = SYMBOL_READS_MAX};
    if (interval_ns) {
        int err = target_read(pid, &report->before);
        if (err < 0) {
            report->target.process = report->before.process;   /* says why */
            return err;
        }
        wait_ns(interval_ns);
    }
    int err = target_read(pid, &report->target);
    if (interval_ns)
        report->interval_ns = report->target.now_ns - report->before.now_ns;
    if (err == 0)
        err = join_runtimes(report);
    if (err == 0)
        judge(report);
    return err;
}

void report_close(struct report *report)
{
    for (unsigned i = 0; i < report->runtime_count; i++) {
        free(report->runtimes[i].threads);
        free(report->runtimes[i].pools);
    }
    report->runtime_count = 0;
    target_free(&report->target);
    target_free(&report->before);
}

bool report_rate(const struct report *report, const struct report_thread *thread, unsigned counter,
                 uint64_t *per_second)
{
    if (!thread->before || report->interval_ns < 1000000)
        return false;
    uint64_t now = thread->line->counters[counter], before = thread->before->counters[counter];
    if (now < before)
        return false;
    *per_second = (uint64_t)((double)(now - before) * 1e9 / (double)report->interval_ns);
    return true;
}

const char *report_doing_name(enum report_doing doing)
{
    static const char *const names[] = {[REPORT_BETWEEN] = "between", [REPORT_RUNS] = "runs", [REPORT_WAITS] = "waits"};
    return names[doing];
}
