/* process.h — what /proc says of a process besides its segments. */
#ifndef JOBCTL_PROCESS_H
#define JOBCTL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    char state;          /* as in /proc/PID/stat: R, S, D, T, Z … */
    uint32_t own_pid;    /* the number by which it knows itself: another one in a PID namespace */
    unsigned threads;
};

/* 0, or -ESRCH. */
int process_read(pid_t pid, struct process *process);

bool process_is_stopped(const struct process *process);
const char *process_state_name(const struct process *process);

/* CLOCK_MONOTONIC in ns. */
uint64_t process_now_ns(void);

#endif
