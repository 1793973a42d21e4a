/* stat_json.c — a report for programs. The keys are a promise: docs/man/jobctl.1.scd lists them. */
#include "commands.h"
#include "json.h"
#include "pools.h"

static void write_features(struct json *json, const struct snapshot *snapshot)
{
    json_open(json, "features", '[');
    for (unsigned i = 0; i < snapshot->feature_count; i++) {
        bool is_available = snapshot->available >> i & 1, is_disabled = snapshot->disabled >> i & 1;
        json_open(json, NULL, '{');
        json_text(json, "name", snapshot->features[i]);
        json_bool(json, "on", is_available && !is_disabled);
        json_bool(json, "available", is_available);
        json_bool(json, "disabled", is_disabled);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void write_arena(struct json *json, const struct reader_arena *arena)
{
    json_open(json, NULL, '{');
    json_text(json, "name", arena->name);
    json_number(json, "opened_ns", arena->opened_ns);
    json_number(json, "limit_bytes", arena->limit_bytes);
    json_number(json, "committed_bytes", arena->committed_bytes);
    json_number(json, "used_bytes", arena->used_bytes);
    json_number(json, "held_bytes", arena->held_bytes);
    json_number(json, "starved", arena->starved);
    json_number(json, "failed", arena->failed);
    json_close(json, '}');
}

static void write_function(struct json *json, const struct symbol *function)
{
    if (function->address == 0) {
        json_null(json, "function");
        return;
    }
    json_open(json, "function", '{');
    json_address(json, "address", function->address);
    json_text(json, "name", function->name[0] ? function->name : NULL);
    json_text(json, "module", function->module[0] ? function->module : NULL);
    json_number(json, "offset", function->offset);
    json_close(json, '}');
}

static void write_kernel(struct json *json, const struct report_thread *thread)
{
    if (!thread->has_kernel) {
        json_null(json, "kernel");
        return;
    }
    json_open(json, "kernel", '{');
    json_text(json, "state", process_state_name(thread->kernel.state));
    json_number(json, "cpu_ns", thread->kernel.cpu_ns);
    json_text(json, "wchan", thread->kernel.wchan[0] ? thread->kernel.wchan : NULL);
    json_close(json, '}');
}

static void write_rates(struct json *json, const struct report *report, const struct snapshot *snapshot,
                        const struct report_thread *thread)
{
    uint64_t rate;
    if (!thread->before) {
        json_null(json, "rates");
        return;
    }
    json_open(json, "rates", '{');
    for (unsigned i = 0; i < snapshot->counter_count; i++) {
        if (report_rate(report, thread, i, &rate))
            json_number(json, snapshot->counters[i], rate);
    }
    json_close(json, '}');
}

static void write_thread(struct json *json, const struct report *report, const struct snapshot *snapshot,
                         const struct report_thread *thread)
{
    const struct reader_thread *line = thread->line;
    json_open(json, NULL, '{');
    json_number(json, "tid", line->tid);
    json_text(json, "kind", line->kind);
    json_text(json, "name", line->name);
    json_text(json, "doing", report_doing_name(thread->doing));
    json_text(json, "wait", line->is_waiting ? line->wait : NULL);
    write_function(json, &thread->function);
    json_number_if(json, "since_ns", thread->doing != REPORT_BETWEEN, line->since_ns);
    json_seconds_if(json, "for_s", thread->doing != REPORT_BETWEEN, thread->for_ns);
    write_kernel(json, thread);
    json_number(json, "started_ns", line->started_ns);
    json_open(json, "counters", '{');
    for (unsigned i = 0; i < snapshot->counter_count; i++)
        json_number(json, snapshot->counters[i], line->counters[i]);
    json_close(json, '}');
    if (report->interval_ns)
        write_rates(json, report, snapshot, thread);
    json_close(json, '}');
}

static void write_runtime(struct json *json, const struct report *report, const struct report_runtime *runtime)
{
    const struct snapshot *snapshot = &runtime->segment->snapshot;
    json_open(json, NULL, '{');
    json_text(json, "name", snapshot->name);
    json_text(json, "version", snapshot->version);
    json_number(json, "layout_major", snapshot->major);
    json_number(json, "layout_minor", snapshot->minor);
    json_number(json, "opened_ns", snapshot->opened_ns);
    json_seconds(json, "uptime_s", time_since(snapshot->opened_ns, report->target.now_ns));
    write_features(json, snapshot);
    json_open(json, "tasks", '{');
    json_number(json, "in_flight", runtime->tasks.in_flight);
    json_number(json, "running", runtime->tasks.running);
    json_number(json, "refused", runtime->tasks.refused);
    json_close(json, '}');
    pools_write(json, report, runtime);
    json_open(json, "arenas", '[');
    for (size_t i = 0; i < snapshot->arena_count; i++)
        write_arena(json, &snapshot->arenas[i]);
    json_close(json, ']');
    json_open(json, "threads", '[');
    for (size_t i = 0; i < snapshot->thread_count; i++)
        write_thread(json, report, snapshot, &runtime->threads[i]);
    json_close(json, ']');
    json_close(json, '}');
}

void report_begin_json(struct json *json, const struct report *report)
{
    const struct process *process = &report->target.process;
    json_open(json, NULL, '{');
    json_number(json, "pid", (uint64_t)report->target.pid);
    json_text(json, "command", process->name);
    json_text(json, "state", process_state_name(process->state));
    json_bool(json, "stopped", process_is_stopped(process));
    json_number(json, "threads", process->threads);
    json_number(json, "now_ns", report->target.now_ns);
    if (report->interval_ns)
        json_seconds(json, "interval_s", report->interval_ns);
    json_open(json, "problems", '[');
    for (unsigned i = 0; i < report->problem_count; i++) {
        json_open(json, NULL, '{');
        json_text(json, "kind", report->problems[i].kind);
        json_number(json, "tid", report->problems[i].tid);
        json_text(json, "text", report->problems[i].text);
        json_close(json, '}');
    }
    json_close(json, ']');
    json_open(json, "runtimes", '[');
}

void report_end_json(struct json *json)
{
    json_close(json, ']');
    json_close(json, '}');
    (void)fputc('\n', json->file);   /* errors of stdout: at the end of main */
}

void report_print_list(const struct report *report, const char *key,
                       void (*write_rows)(struct json *json, const struct report *report,
                                          const struct report_runtime *runtime))
{
    struct json json = {.file = stdout};
    report_begin_json(&json, report);
    for (unsigned i = 0; i < report->runtime_count; i++) {
        json_open(&json, NULL, '{');
        json_text(&json, "name", report->runtimes[i].segment->snapshot.name);
        json_open(&json, key, '[');
        write_rows(&json, report, &report->runtimes[i]);
        json_close(&json, ']');
        json_close(&json, '}');
    }
    report_end_json(&json);
}

void report_write_thread(struct json *json, const char *key, const struct reader_thread *thread)
{
    json_text(json, key, thread ? thread->name : NULL);
    json_number_if(json, "tid", thread != NULL, thread ? thread->tid : 0);
}

void report_write_message(struct json *json, const struct reader_queue *queue, uint64_t now_ns)
{
    uint64_t at_ns = queue ? queue->taken_ns : 0;
    json_number_if(json, "last_message_ns", at_ns != 0, at_ns);
    json_seconds_if(json, "last_message_ago_s", at_ns != 0, time_since(at_ns, now_ns));
}

void stat_print_json(const struct report *report)
{
    struct json json = {.file = stdout};
    report_begin_json(&json, report);
    for (unsigned i = 0; i < report->runtime_count; i++)
        write_runtime(&json, report, &report->runtimes[i]);
    report_end_json(&json);
}
