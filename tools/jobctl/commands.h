/* commands.h — what jobctl can do. Each returns the exit code: 0, or 1 with a reason on stderr. */
#ifndef JOBCTL_COMMANDS_H
#define JOBCTL_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "report.h"

enum { EXIT_OK, EXIT_NO_TARGET, EXIT_USAGE };

int command_ps(bool is_json);
int command_stat(pid_t pid, bool is_json, uint64_t interval_ns);

/* The two forms of a report, on stdout. False: memory was short. */
bool stat_print_text(const struct report *report);
void stat_print_json(const struct report *report);

#endif
