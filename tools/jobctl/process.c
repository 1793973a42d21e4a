/* process.c — reads /proc/PID/status. */
#include "process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void parse_line(const char *line, struct process *process)
{
    const char *last;
    if (sscanf(line, "State: %c", &process->state) == 1 || sscanf(line, "Threads: %u", &process->threads) == 1)
        return;
    if (strncmp(line, "NSpid:", 6) == 0 && (last = strrchr(line, '\t')))   /* from the outermost to its own */
        process->own_pid = (uint32_t)strtoul(last + 1, NULL, 10);
}

int process_read(pid_t pid, struct process *process)
{
    char name[64], line[512];
    *process = (struct process){.state = '?', .own_pid = (uint32_t)pid};
    (void)snprintf(name, sizeof name, "/proc/%d/status", (int)pid);
    FILE *file = fopen(name, "re");
    if (!file)
        return -ESRCH;
    while (fgets(line, sizeof line, file))
        parse_line(line, process);
    (void)fclose(file);   /* was only read */
    return process->state == '?' ? -ESRCH : 0;
}

bool process_is_stopped(const struct process *process)
{
    return process->state == 'T' || process->state == 't';
}

const char *process_state_name(const struct process *process)
{
    switch (process->state) {
    case 'R': return "running";
    case 'S': return "sleeping";
    case 'D': return "blocked";
    case 'T': return "stopped";
    case 't': return "traced";
    case 'Z':
    case 'X': return "exited";
    default: return "unknown";
    }
}

uint64_t process_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);   /* cannot fail */
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}
