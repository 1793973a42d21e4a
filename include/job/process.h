/* process.h — child processes: their standard streams are streams of the loop, their end is a callback.
 *
 *      open ──▶ started(0) ──▶ the program runs ──▶ exited ──▶ job_process_close ──▶ closed
 *           └─▶ started(-ENOENT, -EACCES …): there is no child, and there was none
 *
 * The library waits for its own children only, each by a pidfd: those of others are left alone, and no signal handler is needed. A program
 * gets no descriptor but those that are named here, no blocked and no ignored signal.
 */
#ifndef JOB_PROCESS_H
#define JOB_PROCESS_H

#include <job/handle.h>

JOB_BEGIN_DECLS

struct job_stream;
struct job_stream_events;

enum job_stdio {
    JOB_STDIO_INHERIT,   /* ours; closed if ours is */
    JOB_STDIO_NULL,      /* /dev/null */
    JOB_STDIO_STREAM,    /* a stream of this loop: a Unix socket, which a program cannot open anew by /dev/stdout or /dev/stderr */
    JOB_STDIO_FD,        /* a descriptor of the caller's, which stays open until `started` and remains the caller's */
    JOB_STDIO_OUTPUT,    /* of standard error alone: where standard output goes */
};

struct job_process_stdio {
    enum job_stdio how;
    int fd;                                 /* JOB_STDIO_FD */
    struct job_stream *stream;              /* JOB_STDIO_STREAM: opened by job_process_open(), a handle of its own, which is to be closed.
                                               What is sent before the program has started waits for it */
    const struct job_stream_events *events; /* of the stream, as for job_stream_adopt() */
};

/* All that is pointed at must stay until `started`, or `closed` if that comes first. */
struct job_process_options {
    const char *program;          /* a path when it has a slash, else looked for in our PATH. Required */
    char *const *arguments;       /* with its own name first, NULL last; NULL: its name alone */
    char *const *environment;     /* NULL last; NULL: ours, which nobody must change meanwhile */
    const char *directory;        /* to begin in; NULL: ours. A program with a relative path begins there */
    struct job_process_stdio stdio[3];
    const int *descriptors;       /* further ones, as the program's 3, 4 …; still the caller's */
    size_t descriptor_count;      /* at most 64 */
    bool group;                   /* leads a process group of its own: what it starts can be killed with it, and after it; so its pidfd
                                     stays open until the close */
    bool session;                 /* leads a session of its own, and so a group: it has no terminal */
    bool outlives;                /* job_process_close() lets it run on. Else it, while it runs, is killed (SIGKILL) then, with its group.
                                     What it has left behind when it ended is not: see job_process_kill_group() */
};

/* How a program has ended. */
struct job_process_exit {
    int status;                   /* 0; -ECHILD: somebody else has waited for it (waitpid(-1), or SIGCHLD is ignored), and the rest is
                                     not known */
    int code;                     /* 0 to 255; -1: a signal has killed it */
    int signal;                   /* which; 0: none */
    bool has_core;
    uint64_t user_ns, system_ns;  /* CPU time, with what it has waited for of its own children */
    size_t memory_max_bytes;      /* the most that was resident */
};

struct job_process {
    struct job_handle handle;

    /* The library's. */
    void (*job_started)(struct job_process *process, int status);
    void (*job_exited)(struct job_process *process, const struct job_process_exit *exit);
    void (*job_on_closed)(struct job_process *process);
    void *job_spawn;
    void *job_orphan;
    void *job_op[10];
    struct job_mail job_later;
    int job_pidfd;
    int job_pid;
    uint32_t job_state;
    uint32_t job_flags;
    uint64_t job_deadline[8];
    uint64_t job_reserved[4];
};

/**
 * Starts a program, on a thread of job_runtime_calls(): neither fork nor a slow disk holds up the loop.
 *
 * @param started  required; called once on the loop, before its streams tell anything. 0: the program runs; or why there is none: -ENOENT,
 *                 -EACCES, -ENOEXEC, -ENOTDIR, -E2BIG … of chdir(2) and execve(2), -EMFILE, -ENFILE, -EAGAIN (too many processes),
 *                 -ENOMEM, -EPERM. After an error the handle is open all the same, and is to be closed. Not called after
 *                 job_process_close()
 * @param exited   called once on the loop, after `started`; its streams may still have data that they have not told, and their `end` comes
 *                 when all who share them have closed them. Not called after job_process_close(). May be NULL
 * @return 0, or -EINVAL: an argument; -EBADF: a descriptor is not open; -ECANCELED: the loop is closing; -EMFILE, -ENFILE: no descriptors
 *         for its streams; -EAGAIN: 4096 calls of this loop wait already; -ENOMEM; -EPERM: not the loop's thread. On error nothing is open,
 *         no stream either
 * Thread: loop thread, or before start.
 */
JOB_API int job_process_open(struct job_loop *loop, struct job_process *process,
                             const struct job_process_options *options,
                             void (*started)(struct job_process *process, int status),
                             void (*exited)(struct job_process *process, const struct job_process_exit *exit));

/**
 * Sends a signal, by the pidfd: never to another process that has got the same number.
 *
 * @param signal  0: none, only looks whether it could be sent
 * @return 0; -ESRCH: it has not started yet, or has ended; -EINVAL: NULL, or no signal; -EPERM: it runs as another user; or not the loop's
 *         thread
 * Thread: loop thread.
 */
JOB_API int job_process_kill(struct job_process *process, int signal);

/**
 * The same for its whole group: all that it has started and that has not left the group. Also after `exited`, until the close, for what it
 * has left behind, which may hold its streams open: call it in `exited` where nothing shall stay.
 *
 * @return as job_process_kill(), and -EINVAL: it leads no group; -ESRCH: it has ended and has left nobody behind, or this kernel (before
 *         6.9) cannot tell who they are. Before 6.9 a group is known by its number alone: where SIGCHLD is ignored that may be another's
 * Thread: loop thread.
 */
JOB_API int job_process_kill_group(struct job_process *process, int signal);

/** Its number, for people and logs; 0: not started yet, or `exited` has been called. Thread: loop thread. */
JOB_API int job_process_pid(const struct job_process *process);

/**
 * Closes it: a program that runs is killed, or let go (see `outlives`). `closed` (may be NULL) comes later, once; after the end of what was
 * killed. Who was let go is waited for when the next process is started, or when the runtime closes, so that few remain as zombies. Until
 * it has ended that takes a descriptor, which job_counts.fds does not have, and a system call at each start.
 *
 * Thread: loop thread.
 */
JOB_API void job_process_close(struct job_process *process, void (*closed)(struct job_process *process));

JOB_END_DECLS

#endif
