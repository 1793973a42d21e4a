/* runtime.h — the root: memory, kernel features, statistics, clock, log hook. Everything is opened from one. */
#ifndef JOB_RUNTIME_H
#define JOB_RUNTIME_H

#include <job/api.h>

JOB_BEGIN_DECLS

struct job_runtime;
struct job_arena;
struct job_pool;

enum job_log_level { JOB_LOG_ERROR, JOB_LOG_WARNING, JOB_LOG_INFO, JOB_LOG_DEBUG };

struct job_runtime_options {
    const char *name;            /* shown by jobctl, copied, cut to 31 bytes; NULL: the program's name */
    size_t memory_limit_bytes;   /* of the default arena, and of regions, which count with it; 0: a quarter of the smallest memory limit
                                    above us, or of RAM */
    /* The library's only voice. Called on any thread, possibly on several at once; text is valid during the call. NULL: silence.
     * It must not call back into the library. job_log_stderr() is one. */
    void (*log)(void *arg, enum job_log_level level, const char *text);
    void *log_arg;
    unsigned blocking_threads;   /* at most so many in job_runtime_calls(); 0: 64; up to 1024 */
    bool no_stats;               /* no statistics segment: jobctl cannot see this process */
};

/* What lives, as the library itself counts it. After everything was closed all are zero, but for what is never reset (copied_bytes,
 * dropped_messages) and for what is the runtime's own: threads (the helper, and idle ones of its pools) and allocations. */
struct job_counts {
    uint64_t bufs;           /* bufs in anybody's hands, views among them; not what a loop keeps to copy short receives into */
    uint64_t views;          /* segments of frozen bytes in anybody's hands */
    uint64_t wraps;          /* pieces of foreign memory that were wrapped or mapped and not yet released */
    uint64_t regions;
    uint64_t tasks;          /* submitted, not yet done */
    uint64_t handles;        /* opened, not yet closed */
    uint64_t fds;            /* descriptors of loops and handles */
    uint64_t threads;        /* of the library; one more, the helper, from the first use of memory until the runtime closes */
    uint64_t allocations;    /* blocks of heap memory besides buffers */
    uint64_t copied_bytes;   /* payload bytes copied by the library of its own accord: small receives, short tails of job_buf_append(),
                                job_buf_flatten(); since open, never reset */
    uint64_t ends;           /* ends of channels, senders, and topics that are open */
    uint64_t dropped_messages;   /* that nobody received before their port was closed; since open */
};

/**
 * Opens a runtime: reads JOB_DISABLE, the container's limits and the kernel's features, creates the statistics segment and
 * the default arena. Two can live side by side in one process. No descriptor of the library's has the number 0, 1 or 2, whether or not
 * standard input, output and error are open.
 *
 * @param runtime  receives the runtime; unchanged on error
 * @param options  NULL or {0}: defaults
 * @return 0, or
 *         -EINVAL   runtime is NULL, blocking_threads is above 1024, or memory_limit_bytes is below 4096, the smallest slot, or above
 *                   4 TiB - 4 MiB
 *         -ENOMEM   no memory or address space
 *         -EMFILE, -ENFILE   no descriptor for the statistics segment
 * Thread: any. After fork() a child opens its own; the parent's may not be touched there (-EPERM from every call that
 * checks, and undefined from those that do not say so). Its ends, senders, topics, news and regions may be closed and released
 * there: their pointers become NULL, and nothing else happens. Bufs and messages are not mapped in a child.
 */
JOB_API int job_runtime_open(struct job_runtime **runtime, const struct job_runtime_options *options);

/**
 * Closes a runtime after everything opened from it. NULL is allowed.
 *
 * @return 0, and *runtime is NULL; or
 *         -EBUSY   something opened from it still lives; its kinds and counts are logged, nothing is freed
 *         -EDEADLK called by the `done` of a task of job_runtime_calls(); nothing is freed. Its function counts as alive: -EBUSY
 *         -EPERM   called in a forked child
 *         -EINVAL  runtime is NULL
 * Thread: any, while no other thread uses the runtime.
 */
JOB_API int job_runtime_close(struct job_runtime **runtime);

/** The default arena, which lives as long as the runtime; NULL for NULL. Thread: any. */
JOB_API struct job_arena *job_runtime_arena(struct job_runtime *runtime);

/** The runtime's blocking pool: for calls that sleep in the kernel, the library's own (paths, writes to files, starts of processes) and
 * yours. It lives as long as the runtime, which alone may stop it, and has no thread until it is used. NULL for NULL.
 * Thread: any. */
JOB_API struct job_pool *job_runtime_calls(struct job_runtime *runtime);

/** Reads what lives; all zero for NULL. Exact when no other thread is at work, a good approximation else. Thread: any. */
JOB_API void job_runtime_counts(const struct job_runtime *runtime, struct job_counts *counts);

/** A log hook: one line on standard error for each message but JOB_LOG_DEBUG, as "arg: level: text". `log_arg` is a string, such as the
 * name of the service, or NULL: "libjob". Thread: any. */
JOB_API void job_log_stderr(void *arg, enum job_log_level level, const char *text);

/** A short English text for an errno value, negative (as returned by every function here) or positive; never NULL. For
 * values that mean something particular in this library the text says so (-ECANCELED, -EAGAIN, -EOWNERDEAD). Thread: any. */
JOB_API const char *job_strerror(int err);

/** "major.minor.patch" of the library that was linked. Thread: any. */
JOB_API const char *job_version(void);

JOB_END_DECLS

#endif
