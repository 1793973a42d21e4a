/* process.h — what /proc says of a process besides its segments. */
#ifndef JOBCTL_PROCESS_H
#define JOBCTL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process {
    char name[64];         /* the kernel's, clean: text.h */
    char state;            /* as in /proc/PID/stat: R, S, D, T, Z …; of `tid` */
    pid_t tid;             /* the thread by which one sees mappings and descriptors: its first one, or another if that has ended alone */
    uint32_t own_pid;      /* the number by which it knows itself: another one in a PID namespace */
    unsigned threads;
    uid_t user;
    uint64_t start_ticks;  /* with its number: which process this is; 0 when it cannot be compared (another time namespace) */
};

struct process_thread {
    char state;            /* '?': not known */
    uint64_t cpu_ns;       /* that it has used */
    char wchan[64];        /* where in the kernel it sleeps; "" when the kernel does not say */
};

/* 0, or -ESRCH. */
int process_read(pid_t pid, struct process *process);

/* False: no such thread (any more). */
bool process_read_thread(pid_t pid, uint32_t tid, struct process_thread *thread);

bool process_is_stopped(const struct process *process);
bool process_has_exited(const struct process *process);   /* it is a zombie: its number is all that is left */
const char *process_state_name(char state);

/* CLOCK_MONOTONIC in ns. */
uint64_t process_now_ns(void);

#endif
