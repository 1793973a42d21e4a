/* process_spawn.c — a program is started by vfork's way: the child runs in our memory until it has called execve(2).
 *
 * So nothing is copied however large we are, and the child tells what went wrong by a store. The price is care: until execve(2) it may not
 * touch what others need. It has a stack of its own, runs no handler (all signals are blocked before, and set to their defaults by it
 * before they are let through), allocates nothing, and calls nothing but the kernel. The thread waits meanwhile; it is one that may sleep.
 *
 * The pidfd comes with the child (CLONE_PIDFD), so there is no moment at which its number could be another's. close_range(2) marks all that
 * was not named, also what others have opened without O_CLOEXEC.
 * Rejected: posix_spawn(3): no working directory and no pidfd in all libcs that we know, ignored signals stay ignored.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/annotate.h"
#include "base/root.h"
#include "base/sys.h"
#include "io/process.h"

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000
#endif

/* TSan has a clone(3) of its own, also in a user's program that links us as we are: it takes the child for a fork with memory of its own,
 * changes state that the two share, and lets no thread begin any more. glibc's other name for it is nobody's but glibc's. */
#ifdef __GLIBC__
extern int __clone(int (*function)(void *), void *stack, int flags, void *arg, ...);
#define clone __clone
#endif

enum { SIGNALS_MAX = 64, EXIT_NO_PROGRAM = 127, KERNEL_SIGSET_BYTES = 8, KERNEL_P_PIDFD = 3 };

extern char **environ;

/* What runs in the child: sanitizers would note it as the thread's own. */
#define CHILD __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

/* The kernel's, all zero: SIG_DFL, no flags. */
struct kernel_sigaction {
    uint64_t handler, flags, restorer, mask;
};

/* Also those that we ignore: a program that starts with SIGPIPE ignored does not end when its reader does. */
CHILD static void child_reset_signals(void)
{
    const struct kernel_sigaction standard = {0};
    for (int number = 1; number <= SIGNALS_MAX; number++)
        (void)syscall(SYS_rt_sigaction, number, &standard, NULL, KERNEL_SIGSET_BYTES);   /* SIGKILL and SIGSTOP: EINVAL */
}

CHILD static long child_move_one(struct spawn *spawn, unsigned i)
{
    int from = spawn->from[i];
    if (from < 0) {
        (void)syscall(SYS_close, i);   /* nothing is meant to be there; most often nothing is */
        return 0;
    }
    if (from == (int)i)
        return syscall(SYS_fcntl, from, F_SETFD, 0);
    return syscall(SYS_dup3, from, (int)i, 0);
}

/* Those that stand where others come are moved away first. */
CHILD static long child_move_descriptors(struct spawn *spawn)
{
    for (unsigned i = 0; i < spawn->count; i++) {
        int from = spawn->from[i];
        if (from < 0 || from >= (int)spawn->count || from == (int)i)
            continue;
        long moved = syscall(SYS_fcntl, from, F_DUPFD_CLOEXEC, (int)spawn->count);
        if (moved < 0)
            return moved;
        spawn->from[i] = (int)moved;
    }
    for (unsigned i = 0; i < spawn->count; i++) {
        if (child_move_one(spawn, i) < 0)
            return -1;
    }
    return syscall(SYS_close_range, spawn->count, ~0U, CLOSE_RANGE_CLOEXEC);
}

CHILD static long child_exec(struct spawn *spawn, const char *path)
{
    char *const *environment = spawn->options.environment ? spawn->options.environment : environ;
    char *alone[2] = {(char *)(uintptr_t)spawn->options.program, NULL};
    return syscall(SYS_execve, path, spawn->options.arguments ? spawn->options.arguments : alone, environment);
}

/* The next place of PATH with the program behind it; an empty place is the working directory. NULL: no more, or it is too long. */
CHILD static const char *child_candidate(struct spawn *spawn, const char **search)
{
    const char *at = *search;
    size_t len = 0;
    for (; at[len] != '\0' && at[len] != ':'; len++) {
        if (len < sizeof spawn->path - 2)
            spawn->path[len] = at[len];
    }
    *search = at[len] == ':' ? at + len + 1 : NULL;
    if (len > sizeof spawn->path - 2)
        return NULL;
    if (len == 0)
        spawn->path[len++] = '.';
    spawn->path[len++] = '/';
    for (const char *name = spawn->options.program;; name++) {
        if (len >= sizeof spawn->path)
            return NULL;
        spawn->path[len++] = *name;
        if (*name == '\0')
            return spawn->path;
    }
}

/* As execvp(3): what may not be run is only told when nothing else is found. */
CHILD static int child_search(struct spawn *spawn)
{
    int err = ENOENT;
    for (const char *search = spawn->search; search;) {
        const char *path = child_candidate(spawn, &search);
        if (!path)
            continue;
        (void)child_exec(spawn, path);
        if (errno == EACCES)
            err = EACCES;
        else if (errno != ENOENT && errno != ENOTDIR)
            return errno;
    }
    return err;
}

/* 0 is never returned: then the program runs. */
CHILD static int child_run(struct spawn *spawn)
{
    const struct job_process_options *options = &spawn->options;
    const uint64_t none = 0;
    child_reset_signals();
    if (options->session && syscall(SYS_setsid) < 0)
        return errno;
    if (options->group && !options->session && syscall(SYS_setpgid, 0, 0) < 0)
        return errno;
    if (child_move_descriptors(spawn) < 0)
        return errno;
    if (options->directory && syscall(SYS_chdir, options->directory) < 0)
        return errno;
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, KERNEL_SIGSET_BYTES);
    if (spawn->search)
        return child_search(spawn);
    (void)child_exec(spawn, options->program);
    return errno;
}

CHILD static int child_main(void *arg)
{
    struct spawn *spawn = arg;
    spawn->err = -child_run(spawn);
    (void)syscall(SYS_exit_group, EXIT_NO_PROGRAM);   /* no atexit(3): they are the parent's */
    return EXIT_NO_PROGRAM;
}

/* It has ended before it was a program: nobody else shall see it. */
static void reap_failed(struct spawn *spawn)
{
    long rc;
    do
        rc = syscall(SYS_waitid, KERNEL_P_PIDFD, spawn->pidfd, NULL, WEXITED, NULL);
    while (rc < 0 && errno == EINTR);
    (void)sys_close(spawn->pidfd);
    spawn->pidfd = -1;
}

int spawn_run(struct spawn *spawn)
{
    enum { FLAGS = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD };
    sigset_t all, before;
    uint64_t slice_ns = sys_slice();
    bool has_slices = feature_is_on(&spawn->root->features, FEATURE_SLICES);
    orphans_reap(spawn->root);
    spawn->pidfd = -1;
    spawn->err = 0;
    int err = stdio_open_null(spawn);
    if (err < 0)
        return err;   /* what is open already is closed on the loop */
    if (has_slices)
        sys_set_slice(0);   /* the child inherits it */
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);   /* the child runs in our memory: no handler may */
    spawn->pid = clone(child_main, spawn->stack + sizeof spawn->stack, FLAGS, spawn, &spawn->pidfd);
    err = spawn->pid < 0 ? -errno : spawn->err;
    if (spawn->pid > 0 && err < 0)
        reap_failed(spawn);
    else if (spawn->pid > 0)
        (void)sys_lift(&spawn->pidfd);   /* else it stays: the program runs */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (has_slices)
        sys_set_slice(slice_ns);
    stdio_close_own(spawn);
    return err;
}

static uint64_t ns_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000U + (uint64_t)time.tv_usec * 1000U;
}

int process_reap(int pidfd, struct job_process_exit *exit)
{
    siginfo_t info = {0};
    struct rusage usage = {0};
    *exit = (struct job_process_exit){.code = -1};
    if (syscall(SYS_waitid, KERNEL_P_PIDFD, pidfd, &info, WEXITED | WNOHANG, &usage) < 0) {
        exit->status = -errno;
        return -errno;
    }
    if (info.si_pid == 0)
        return 0;
    exit->user_ns = ns_of(usage.ru_utime);
    exit->system_ns = ns_of(usage.ru_stime);
    exit->memory_max_bytes = (size_t)usage.ru_maxrss * 1024;
    if (info.si_code == CLD_EXITED) {
        exit->code = info.si_status & 0xFF;
    } else {
        exit->signal = info.si_status;
        exit->has_core = info.si_code == CLD_DUMPED;
    }
    return 1;
}
