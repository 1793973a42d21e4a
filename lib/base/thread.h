/* thread.h — how the library starts a thread: it is in the ledger from before it runs until it ends, and all signals are blocked in it,
 * which are for the program's own threads. */
#ifndef JOB_BASE_THREAD_H
#define JOB_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct root;

struct thread_options {
    size_t stack_bytes;          /* 0: as the system's default is */
    const uint64_t *affinity;    /* a bit a CPU; NULL: the CPUs of whoever starts it */
    size_t affinity_words;
};

/* `options` may be NULL. 0; -EINVAL: no such CPU is there; -EAGAIN, -ENOMEM. */
int thread_start(struct root *root, pthread_t *thread, const struct thread_options *options, void *(*run)(void *arg),
                 void *arg);

/* The last that `run` does with the runtime. */
void thread_ends(struct root *root);

/* Adds to the calling thread's nice value; a refusal is told in the log: "WHAT NAME: nice …". */
void thread_add_nice(struct root *root, const char *what, const char *name, int nice);

#endif
