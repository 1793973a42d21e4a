/* process.c — reads /proc/PID/status, comm, and the stat files of process and threads. */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "text.h"

static void parse_line(const char *line, struct process *process)
{
    const char *last;
    if (sscanf(line, "State: %c", &process->state) == 1 || sscanf(line, "Threads: %u", &process->threads) == 1 ||
        sscanf(line, "Uid: %u", &process->user) == 1)
        return;
    if (strncmp(line, "NSpid:", 6) == 0 && (last = strrchr(line, '\t')))   /* from the outermost to its own */
        process->own_pid = (uint32_t)strtoul(last + 1, NULL, 10);
}

/* A whole small file as a text; false: not there. */
static bool read_file(const char *name, char *text, size_t room)
{
    FILE *file = fopen(name, "re");
    if (!file)
        return false;
    size_t len = fread(text, 1, room - 1, file);
    (void)fclose(file);   /* was only read */
    text[len] = '\0';
    return true;
}

/* The n-th word of a stat file. The name in parentheses may hold anything, so it is looked for from behind. */
static const char *stat_field(const char *text, unsigned n)
{
    const char *at = strrchr(text, ')');
    for (unsigned field = 2; at && field < n; field++)
        at = strchr(at + 1, ' ');
    return at ? at + 1 : NULL;
}

static bool is_in_our_time_namespace(pid_t tid)
{
    char name[64], theirs[64], ours[64];
    (void)snprintf(name, sizeof name, "/proc/%d/ns/time", (int)tid);
    ssize_t their_len = readlink(name, theirs, sizeof theirs), our_len = readlink("/proc/self/ns/time", ours, sizeof ours);
    return their_len > 0 && their_len == our_len && memcmp(theirs, ours, (size_t)our_len) == 0;
}

static uint64_t read_start_ticks(pid_t pid, pid_t tid)
{
    char name[64], text[1024];
    (void)snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
    if (!is_in_our_time_namespace(tid) || !read_file(name, text, sizeof text))
        return 0;
    const char *field = stat_field(text, 22);
    return field ? strtoull(field, NULL, 10) : 0;
}

/* A main thread that calls pthread_exit() is a zombie and has nothing to look at, while the process lives. */
static void find_live_thread(pid_t pid, struct process *process)
{
    char name[64];
    struct process_thread thread;
    (void)snprintf(name, sizeof name, "/proc/%d/task", (int)pid);
    DIR *directory = opendir(name);
    if (!directory)
        return;
    struct dirent *entry;
    while (process_has_exited(process) && (entry = readdir(directory))) {
        uint32_t tid = (uint32_t)strtoul(entry->d_name, NULL, 10);
        if (tid == 0 || !process_read_thread(pid, tid, &thread) || strchr("ZX?", thread.state))
            continue;
        process->tid = (pid_t)tid;
        process->state = thread.state;
    }
    (void)closedir(directory);
}

int process_read(pid_t pid, struct process *process)
{
    char name[64], line[512];
    *process = (struct process){.state = '?', .own_pid = (uint32_t)pid, .tid = pid};
    (void)snprintf(name, sizeof name, "/proc/%d/status", (int)pid);
    FILE *file = fopen(name, "re");
    if (!file)
        return -ESRCH;
    while (fgets(line, sizeof line, file))
        parse_line(line, process);
    (void)fclose(file);   /* was only read */
    (void)snprintf(name, sizeof name, "/proc/%d/comm", (int)pid);
    if (read_file(name, line, sizeof line)) {
        line[strcspn(line, "\n")] = '\0';
        text_clean(line, sizeof line, process->name, sizeof process->name);
    }
    if (process_has_exited(process) && process->threads > 1)
        find_live_thread(pid, process);
    process->start_ticks = read_start_ticks(pid, process->tid);
    return process->state == '?' ? -ESRCH : 0;
}

bool process_read_thread(pid_t pid, uint32_t tid, struct process_thread *thread)
{
    char name[64], text[1024];
    *thread = (struct process_thread){.state = '?'};
    (void)snprintf(name, sizeof name, "/proc/%d/task/%u/stat", (int)pid, tid);
    if (!read_file(name, text, sizeof text))
        return false;
    const char *field = stat_field(text, 3);
    thread->state = field ? *field : '?';
    (void)snprintf(name, sizeof name, "/proc/%d/task/%u/schedstat", (int)pid, tid);
    if (read_file(name, text, sizeof text))
        thread->cpu_ns = strtoull(text, NULL, 10);
    (void)snprintf(name, sizeof name, "/proc/%d/task/%u/wchan", (int)pid, tid);
    if (read_file(name, text, sizeof text) && strcmp(text, "0") != 0)
        text_clean(text, sizeof text, thread->wchan, sizeof thread->wchan);
    return true;
}

bool process_is_stopped(const struct process *process)
{
    return process->state == 'T' || process->state == 't';
}

bool process_has_exited(const struct process *process)
{
    return process->state == 'Z' || process->state == 'X';
}

const char *process_state_name(char state)
{
    switch (state) {
    case 'R': return "running";
    case 'S': return "sleeping";
    case 'D': return "blocked";
    case 'I': return "idle";
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
