/* commands.h — what jobctl can do. Each returns the exit code: 0, or 1 with a reason on stderr. */
#ifndef JOBCTL_COMMANDS_H
#define JOBCTL_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "report.h"

enum { EXIT_OK, EXIT_NO_TARGET, EXIT_USAGE };

int command_ps(bool is_json);

/* A view of one process, in its two forms, on stdout. False: memory was short. */
struct view {
    bool (*print_text)(const struct report *report);
    void (*print_json)(const struct report *report);
};

extern const struct view view_stat, view_workers, view_ports, view_calls, view_topics;

int command_view(const struct view *view, pid_t pid, bool is_json, uint64_t interval_ns);

bool stat_print_text(const struct report *report);
void stat_print_json(const struct report *report);

/* What all views have at their beginning, up to the array of runtimes, and at their end. */
struct json;
struct table_text;
void report_begin_json(struct json *json, const struct report *report);
void report_end_json(struct json *json);

/* A view of one list for each runtime: `write_rows` writes what is in it. */
void report_print_list(const struct report *report, const char *key,
                       void (*write_rows)(struct json *json, const struct report *report,
                                          const struct report_runtime *runtime));

/* A thread by its name, under `key`, and its number, in a table in two columns; NULL: it is not shown. */
void report_write_thread(struct json *json, const char *key, const struct reader_thread *thread);
void report_thread_cells(struct table_text *table, const struct reader_thread *thread);

/* When the last message was taken from a queue; NULL, or never yet: nothing. */
void report_write_message(struct json *json, const struct reader_queue *queue, uint64_t now_ns);
void report_message_cell(struct table_text *table, const struct reader_queue *queue, uint64_t now_ns);

#endif
